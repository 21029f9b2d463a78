import { randomBytes } from "node:crypto";
import { decryptField, encryptField, type FieldPlace } from "./fields.ts";
import type { KeyProvider } from "./keys.ts";

/** Which secret of which tenant. */
export interface SecretPlace {
  tenantId: number;
  secretId: string;
}

/** A new secret: 256 random bits, with a prefix by which people and scanners know it. */
export function newApiKeySecret(): string {
  return `tsk_${randomBytes(32).toString("base64url")}`;
}

/** Encrypts the secret of an API key for its row. */
export function sealApiKeySecret(keys: KeyProvider, place: SecretPlace, secret: string): Promise<Buffer> {
  return encryptField(keys, fieldOf(place), secret);
}

/** The secret of an API key, from secret_ciphertext. */
export function openApiKeySecret(keys: KeyProvider, place: SecretPlace, ciphertext: Buffer): Promise<string> {
  return decryptField(keys, fieldOf(place), ciphertext);
}

function fieldOf({ tenantId, secretId }: SecretPlace): FieldPlace {
  return { tenantId, table: "app_private.api_key_secrets", column: "secret_ciphertext", row: secretId.toLowerCase() };
}
