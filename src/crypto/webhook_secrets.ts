import { randomBytes } from "node:crypto";
import type { SecretPlace } from "./api_key_secrets.ts";
import { decryptField, encryptField, type FieldPlace } from "./fields.ts";
import type { KeyProvider } from "./keys.ts";

const prefix = "whsec_";

/** A new secret: 256 random bits, written as Standard Webhooks has it. */
export function newWebhookSecret(): string {
  return `${prefix}${randomBytes(32).toString("base64")}`;
}

/** The key of signatures that a secret stands for. */
export function webhookKey(secret: string): Buffer {
  return Buffer.from(secret.slice(prefix.length), "base64");
}

/** Encrypts the secret of an endpoint for its row. */
export function sealWebhookSecret(keys: KeyProvider, place: SecretPlace, secret: string): Promise<Buffer> {
  return encryptField(keys, fieldOf(place), secret);
}

/** The secret of an endpoint, from secret_ciphertext. */
export function openWebhookSecret(keys: KeyProvider, place: SecretPlace, ciphertext: Buffer): Promise<string> {
  return decryptField(keys, fieldOf(place), ciphertext);
}

function fieldOf({ tenantId, secretId }: SecretPlace): FieldPlace {
  return { tenantId, table: "app_private.webhook_secrets", column: "secret_ciphertext", row: secretId.toLowerCase() };
}
