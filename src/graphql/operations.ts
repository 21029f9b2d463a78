import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Config, ConfigError } from "../config.ts";

/** Registered operations: documents by their SHA-256 hash, in hexadecimal. */
export type Operations = ReadonlyMap<string, string>;

/** What decides which operations a client may send. */
export interface OperationRules {
  /** Undefined: none are registered, and any is taken. */
  operations: Operations | undefined;
  /** Those that are not registered are taken too. */
  allowAny: boolean;
}

/** The hash by which a document is known. */
export function hashOfDocument(document: string): string {
  return createHash("sha256").update(document, "utf8").digest("hex");
}

/** The name of the file of a document. */
export function fileOfHash(hash: string): string {
  return `${hash}.graphql`;
}

/** Reads a folder of documents; throws if one is not what its name says. */
export function readOperations(folder: string): Operations {
  const names = readdirSync(folder).filter((name) => name.endsWith(".graphql"));
  const operations = new Map(
    names.map((name) => {
      const document = readFileSync(join(folder, name), "utf8");
      const hash = hashOfDocument(document);
      if (name !== fileOfHash(hash)) {
        throw new ConfigError([`${join(folder, name)} is not what its name says: the SHA-256 of its text is ${hash}.`]);
      }
      return [hash, document] as const;
    }),
  );
  if (operations.size === 0) throw new ConfigError([`${folder} (TALLYSTICK_PERSISTED_OPERATIONS) has no operation.`]);
  return operations;
}

/** The rules of a configuration. Production takes registered operations only, unless it is told otherwise. */
export function loadOperationRules(
  config: Pick<Config, "environment" | "persistedOperations" | "allowAnyOperation">,
): OperationRules {
  const { environment, persistedOperations: folder, allowAnyOperation: allowAny } = config;
  if (folder !== undefined) return { operations: readFolder(folder), allowAny };
  if (environment === "production" && !allowAny) {
    throw new ConfigError([
      "TALLYSTICK_PERSISTED_OPERATIONS is required in production: a folder that `npx tallystick operations collect` " +
        "made. TALLYSTICK_ALLOW_ANY_OPERATION=true lets clients send any operation instead.",
    ]);
  }
  return { operations: undefined, allowAny: true };
}

function readFolder(folder: string): Operations {
  try {
    return readOperations(folder);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError([`TALLYSTICK_PERSISTED_OPERATIONS cannot be read: ${String(error)}.`]);
  }
}

/** What a client may send in place of a document, or beside it. */
export interface OperationPayload {
  query?: unknown;
  documentId?: unknown;
  id?: unknown;
  extensions?: unknown;
}

/** The operation that a payload means: the hash of a registered one, a document, or undefined if it may not be sent. */
export function chooseOperation(
  payload: OperationPayload,
  { operations, allowAny }: OperationRules,
): { documentId: string } | { query: string } | undefined {
  const hash = hashOfPayload(payload);
  if (hash !== undefined && operations?.has(hash)) return { documentId: hash };
  return allowAny && typeof payload.query === "string" && payload.query !== "" ? { query: payload.query } : undefined;
}

/** Apollo sends `extensions.persistedQuery.sha256Hash`, Relay `documentId` or `id`; some write `sha256:` before it. */
function hashOfPayload({ documentId, id, extensions }: OperationPayload): string | undefined {
  const persisted = (extensions as { persistedQuery?: { sha256Hash?: unknown } } | null | undefined)?.persistedQuery;
  const hash = [persisted?.sha256Hash, documentId, id].find((value) => typeof value === "string");
  return typeof hash === "string" ? hash.replace(/^sha256:/, "").toLowerCase() : undefined;
}
