import { argon2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import type { Gate } from "./gate.ts";

/** What one hash costs. */
export interface Argon2Cost {
  memoryKib: number;
  passes: number;
}

export interface Passwords {
  /** The Argon2id hash of a password, in the PHC string format: with its parameters and salt. */
  hash(password: string): Promise<string>;
  /**
   * Whether it is the password of this hash. Without a hash, because there is no such account, it takes as
   * long, and it is not.
   */
  verify(password: string, hash: string | null): Promise<boolean>;
  /** Whether the hash was made at another cost than today's. */
  isOutdated(hash: string): boolean;
}

const saltBytes = 16;
const hashBytes = 32;
const derive = promisify(argon2);

interface ParsedHash {
  cost: Argon2Cost;
  parallelism: number;
  salt: Buffer;
  hash: Buffer;
}

/** Hashes and verifies passwords on the threads of libuv, as many at a time as the gate lets through. */
export function makePasswords({ cost, gate }: { cost: Argon2Cost; gate: Gate }): Passwords {
  const today = `m=${cost.memoryKib},t=${cost.passes},p=1`;
  const nobody: ParsedHash = { cost, parallelism: 1, salt: randomBytes(saltBytes), hash: randomBytes(hashBytes) };
  return {
    async hash(password) {
      const salt = randomBytes(saltBytes);
      const hash = await gate(() => compute(password, { cost, parallelism: 1, salt, hash: nobody.hash }));
      return `$argon2id$v=19$${today}$${unpadded(salt)}$${unpadded(hash)}`;
    },
    async verify(password, hash) {
      const parsed = hash === null ? nobody : parseHash(hash);
      return timingSafeEqual(await gate(() => compute(password, parsed)), parsed.hash) && parsed !== nobody;
    },
    isOutdated: (hash) => hash.split("$")[3] !== today,
  };
}

function compute(password: string, { cost, parallelism, salt, hash }: ParsedHash): Promise<Buffer> {
  return derive("argon2id", {
    message: password,
    nonce: salt,
    parallelism,
    tagLength: hash.length,
    memory: cost.memoryKib,
    passes: cost.passes,
  });
}

function parseHash(text: string): ParsedHash {
  const match = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/.exec(text);
  if (!match) throw new Error("A stored password has no form that is known.");
  const [, memory, passes, parallelism, salt = "", hash = ""] = match;
  return {
    cost: { memoryKib: Number(memory), passes: Number(passes) },
    parallelism: Number(parallelism),
    salt: Buffer.from(salt, "base64"),
    hash: Buffer.from(hash, "base64"),
  };
}

function unpadded(bytes: Buffer): string {
  return bytes.toString("base64").replace(/=+$/, "");
}
