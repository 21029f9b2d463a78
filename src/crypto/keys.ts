import { randomBytes } from "node:crypto";
import { readFileSync, statSync } from "node:fs";

/**
 * Where field encryption gets its keys. Asynchronous, so that a key management service fits: what it hands
 * out are data keys of 32 bytes, which the ledger keeps in memory only.
 */
export interface KeyProvider {
  /** The id of the key that new values are encrypted with. */
  currentKeyId(): Promise<string>;
  /** The key with this id; an UnknownKeyError if there is none. */
  getKey(id: string): Promise<Buffer>;
  /** The root of the keys of blind indexes. It stays when the others are rotated. */
  getIndexKey(): Promise<Buffer>;
}

/** The keys that a setting or a file names. */
export interface KeyRing {
  currentId: string;
  keys: ReadonlyMap<string, Buffer>;
  indexKey: Buffer;
}

/** A value was encrypted with a key that is not known here. */
export class UnknownKeyError extends Error {
  constructor(id: string, known: Iterable<string>) {
    super(`The field key ${JSON.stringify(id)} is not known here. Known are: ${[...known].join(", ")}.`);
    this.name = "UnknownKeyError";
  }
}

/** The name of the key of blind indexes among the others. */
const indexId = "index";
const idForm = /^[A-Za-z0-9._-]{1,32}$/;
const keyBytes = 32;

/**
 * Reads keys from `id:base64,id:base64,…,index:base64`, where the first is the current one, or from JSON:
 * `{"current": "id", "keys": {"id": "base64"}, "index": "base64"}`. What is wrong is thrown, never with a
 * key in the message.
 */
export function parseKeyRing(text: string): KeyRing {
  return text.trimStart().startsWith("{") ? parseJson(text) : parseList(text);
}

function parseList(text: string): KeyRing {
  const pairs = text
    .split(/[,\n]/)
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map((part): [string, string] => {
      const at = part.indexOf(":");
      if (at < 1) throw new Error("should be a list of id:base64, separated by commas");
      return [part.slice(0, at), part.slice(at + 1)];
    });
  const ids = pairs.map(([id]) => id);
  const repeated = ids.find((id, index) => ids.indexOf(id) !== index);
  if (repeated !== undefined) throw new Error(`names the key ${repeated} twice`);
  const others = pairs.filter(([id]) => id !== indexId);
  return makeKeyRing(others[0]?.[0], others, pairs.find(([id]) => id === indexId)?.[1]);
}

function parseJson(text: string): KeyRing {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error("is no valid JSON");
  }
  const { current, keys, index } = value as { current?: unknown; keys?: unknown; index?: unknown };
  if (typeof current !== "string") throw new Error('should say which key is the current one, in "current"');
  if (typeof keys !== "object" || keys === null) throw new Error('should hold the keys by their ids, in "keys"');
  const pairs = Object.entries(keys).map(([id, key]): [string, string] => [id, String(key)]);
  return makeKeyRing(current, pairs, typeof index === "string" ? index : undefined);
}

function makeKeyRing(current: string | undefined, pairs: [string, string][], index: string | undefined): KeyRing {
  if (current === undefined) throw new Error("should name one key or more");
  if (index === undefined) throw new Error(`should name the key of blind indexes, as ${indexId}`);
  const keys = new Map(pairs.map(([id, key]) => [checkId(id), decodeKey(id, key)]));
  if (!keys.has(current)) throw new Error(`has no key ${JSON.stringify(current)}, which should be the current one`);
  const indexKey = decodeKey(indexId, index);
  const all = [...keys.values(), indexKey];
  if (new Set(all.map((key) => key.toString("hex"))).size < all.length) {
    throw new Error("uses the same key under two ids");
  }
  return { currentId: current, keys, indexKey };
}

function checkId(id: string): string {
  if (id !== indexId && idForm.test(id)) return id;
  throw new Error("should have key ids of 1 to 32 letters, digits, dots, hyphens and underscores");
}

function decodeKey(id: string, text: string): Buffer {
  const key = /^[A-Za-z0-9+/_-]{43}=?$/.test(text) ? Buffer.from(text, "base64") : undefined;
  if (key?.length !== keyBytes) throw new Error(`should give the key ${id} as ${keyBytes} bytes in base64`);
  return key;
}

/** A new key in base64. */
export function newKey(): string {
  return randomBytes(keyBytes).toString("base64");
}

/** A new key and a new key of blind indexes, as parseKeyRing takes them. */
export function newKeyRing(id: string): string {
  return `${id}:${newKey()},${indexId}:${newKey()}`;
}

/** The keys of a setting: they stay as they are until the process ends. */
export function fixedKeys(ring: KeyRing): KeyProvider {
  return {
    currentKeyId: async () => ring.currentId,
    getKey: async (id) => requireKey(ring, id),
    getIndexKey: async () => ring.indexKey,
  };
}

/**
 * The keys of a file, which is read again when it changes: a new key needs no restart. A file that has
 * become unreadable, or that holds something else, is told by an error at the next use.
 */
export function fileKeys(path: string): KeyProvider {
  let stamp = "";
  let ring: KeyRing | undefined;
  const read = (): KeyRing => {
    const { mtimeMs, size, ino } = statSync(path);
    const now = `${mtimeMs} ${size} ${ino}`;
    if (!ring || now !== stamp) {
      try {
        ring = readKeyFile(path);
      } catch (error) {
        throw new Error(`The file of field keys, ${path}, ${(error as Error).message}.`, { cause: error });
      }
      stamp = now;
    }
    return ring;
  };
  return {
    currentKeyId: async () => read().currentId,
    getKey: async (id) => requireKey(read(), id),
    getIndexKey: async () => read().indexKey,
  };
}

/** Reads a file of keys. What is wrong is thrown as the end of a sentence about the file. */
export function readKeyFile(path: string): KeyRing {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`should name a file that can be read (${(error as NodeJS.ErrnoException).code})`, { cause: error });
  }
  return parseKeyRing(text);
}

function requireKey(ring: KeyRing, id: string): Buffer {
  const key = ring.keys.get(id);
  if (!key) throw new UnknownKeyError(id, ring.keys.keys());
  return key;
}
