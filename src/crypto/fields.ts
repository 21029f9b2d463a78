import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from "node:crypto";
import type { KeyProvider } from "./keys.ts";

/**
 * A column of the database that holds encrypted values. The table app_private.encrypted_columns has a row
 * for each: the rotation job works from it.
 */
export interface EncryptedColumn {
  table: string;
  column: string;
}

/** Where one value belongs. It decrypts there and nowhere else. */
export interface FieldPlace extends EncryptedColumn {
  /** 0 for what belongs to no tenant. */
  tenantId: number;
  /** The id of the row. */
  row: string;
}

/** A ciphertext is damaged, was moved from another place, or was never one. */
export class DecryptionError extends Error {
  constructor({ table, column }: EncryptedColumn, why: string) {
    super(`A value of ${table}.${column} does not decrypt: ${why}.`);
    this.name = "DecryptionError";
  }
}

const version = 1;
const nonceBytes = 12;
const tagBytes = 16;

/**
 * Encrypts a value for its place, by AES-256-GCM with the current key. The result describes itself:
 * version (1 byte), length of the key id (1 byte), key id, nonce (12 bytes, random), ciphertext, tag
 * (16 bytes). Everything before the nonce and the whole place are authenticated with it.
 */
export async function encryptField(keys: KeyProvider, place: FieldPlace, plaintext: string): Promise<Buffer> {
  const keyId = await keys.currentKeyId();
  const header = Buffer.concat([Buffer.from([version, keyId.length]), Buffer.from(keyId, "latin1")]);
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv("aes-256-gcm", await keys.getKey(keyId), nonce);
  cipher.setAAD(associatedData(header, place));
  return Buffer.concat([header, nonce, cipher.update(plaintext, "utf8"), cipher.final(), cipher.getAuthTag()]);
}

/** Decrypts a value of this place, with whichever known key it was encrypted. */
export async function decryptField(keys: KeyProvider, place: FieldPlace, ciphertext: Buffer): Promise<string> {
  const { header, body } = split(place, ciphertext);
  const key = await keys.getKey(header.toString("latin1", 2));
  const decipher = createDecipheriv("aes-256-gcm", key, body.subarray(0, nonceBytes), { authTagLength: tagBytes });
  decipher.setAAD(associatedData(header, place));
  decipher.setAuthTag(body.subarray(-tagBytes));
  try {
    return Buffer.concat([decipher.update(body.subarray(nonceBytes, -tagBytes)), decipher.final()]).toString("utf8");
  } catch {
    throw new DecryptionError(place, "it is damaged, or belongs to another row, column, table or tenant");
  }
}

/** The id of the key that a value was encrypted with. */
export function keyIdOf(place: EncryptedColumn, ciphertext: Buffer): string {
  return split(place, ciphertext).header.toString("latin1", 2);
}

function split(place: EncryptedColumn, ciphertext: Buffer): { header: Buffer; body: Buffer } {
  if (ciphertext[0] !== version) throw new DecryptionError(place, "it has no form that is known");
  const headerBytes = 2 + (ciphertext[1] ?? 0);
  const body = ciphertext.subarray(headerBytes);
  if (headerBytes === 2 || body.length < nonceBytes + tagBytes) throw new DecryptionError(place, "it is cut short");
  return { header: ciphertext.subarray(0, headerBytes), body };
}

/** JSON, in which no two places look alike, whatever is in their names. */
function associatedData(header: Buffer, { tenantId, table, column, row }: FieldPlace): Buffer {
  return Buffer.concat([header, Buffer.from(JSON.stringify([tenantId, table, column, row]), "utf8")]);
}

/**
 * The blind index of a value: the same for the same normalised value of one column and one tenant, and
 * without the key it says nothing. Look-ups compare it; unique constraints stand on it.
 */
export async function blindIndex(
  keys: KeyProvider,
  { tenantId, table, column }: Omit<FieldPlace, "row">,
  normalised: string,
): Promise<Buffer> {
  const info = JSON.stringify(["tallystick blind index", version, tenantId, table, column]);
  const key = Buffer.from(hkdfSync("sha256", await keys.getIndexKey(), "", info, 32));
  return createHmac("sha256", key).update(normalised, "utf8").digest();
}

/** How an e-mail address is compared: NFKC, without blanks around it, in lower case. */
export function normaliseEmail(text: string): string {
  return text.normalize("NFKC").trim().toLowerCase().normalize("NFKC");
}

/** How a telephone number is compared: NFKC, digits alone, with a plus in front where there was one. */
export function normalisePhone(text: string): string {
  const plain = text.normalize("NFKC").trim();
  return (plain.startsWith("+") ? "+" : "") + plain.replace(/\D/g, "");
}
