import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newKeyRing } from "../crypto/keys.ts";

/** Passwords and keys that Tallystick made up itself, kept in the data directory (mode 0600). */
export interface Secrets {
  superuserPassword: string;
  ownerPassword: string;
  apiPassword: string;
  workerPassword: string;
  jwtSecret: string;
  /** The keys of field encryption, in the form of TALLYSTICK_FIELD_KEYS. */
  fieldKeys: string;
  /** What the passwords of the people of the demonstration are made from. */
  demoSecret: string;
}

const password = (): string => randomBytes(32).toString("base64url");
const makers: Record<keyof Secrets, () => string> = {
  superuserPassword: password,
  ownerPassword: password,
  apiPassword: password,
  workerPassword: password,
  jwtSecret: password,
  fieldKeys: () => newKeyRing("local"),
  demoSecret: password,
};
const names = Object.keys(makers) as (keyof Secrets)[];

/**
 * Creates the data directory if needed. Others may pass through it (0711) because the database
 * server, which may run as another user, keeps its own private directory inside.
 */
export function ensureDataDirectory(dataDir: string): void {
  if (existsSync(dataDir)) return;
  mkdirSync(dataDir, { recursive: true, mode: 0o711 });
  chmodSync(dataDir, 0o711);
}

/** A new directory under the system's temporary one, which the database server may pass through. */
export function makeTemporaryDirectory(prefix: string): string {
  const path = mkdtempSync(join(tmpdir(), prefix));
  chmodSync(path, 0o711);
  return path;
}

/** The secrets of a data directory, as far as there are any. */
export function readSecrets(dataDir: string): Partial<Secrets> {
  const path = join(dataDir, "secrets.json");
  return existsSync(path) ? parseSecrets(path) : {};
}

/** Reads the secrets of a data directory and makes up those that are missing. */
export function loadSecrets(dataDir: string): Secrets {
  ensureDataDirectory(dataDir);
  const path = join(dataDir, "secrets.json");
  const known = readSecrets(dataDir);
  const missing = names.filter((name) => known[name] === undefined);
  const secrets = { ...known } as Secrets;
  if (missing.length === 0) return secrets;
  for (const name of missing) secrets[name] = makers[name]();
  // Written aside and renamed: a crash leaves the old file or the new one, never half of one.
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(secrets, null, 2)}\n`, { mode: 0o600 });
  renameSync(draft, path);
  return secrets;
}

function parseSecrets(path: string): Partial<Secrets> {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Partial<Secrets>;
  } catch (error) {
    throw new Error(`${path} is not readable as JSON. Restore it, or remove the data directory to start afresh.`, {
      cause: error,
    });
  }
}

/**
 * The SCRAM-SHA-256 verifier of a password, in the form PostgreSQL stores. Sending this instead
 * of the password keeps the password out of the server's memory, log and statistics.
 */
export function scramVerifier(password: string): string {
  const iterations = 4096;
  const salt = randomBytes(16);
  const salted = pbkdf2Sync(password.normalize("NFKC"), salt, iterations, 32, "sha256");
  const hmac = (text: string): Buffer => createHmac("sha256", salted).update(text).digest();
  const storedKey = createHash("sha256").update(hmac("Client Key")).digest("base64");
  const serverKey = hmac("Server Key").toString("base64");
  return `SCRAM-SHA-256$${iterations}:${salt.toString("base64")}$${storedKey}:${serverKey}`;
}
