import type { SecretPlace } from "./api_key_secrets.ts";
import { decryptField, encryptField, type FieldPlace } from "./fields.ts";
import type { KeyProvider } from "./keys.ts";

/** Encrypts a secret of a payment provider for its row. */
export function sealProviderSecret(keys: KeyProvider, place: SecretPlace, secret: string): Promise<Buffer> {
  return encryptField(keys, fieldOf(place), secret);
}

/** The secret of a payment provider, from secret_ciphertext. */
export function openProviderSecret(keys: KeyProvider, place: SecretPlace, ciphertext: Buffer): Promise<string> {
  return decryptField(keys, fieldOf(place), ciphertext);
}

function fieldOf({ tenantId, secretId }: SecretPlace): FieldPlace {
  const row = secretId.toLowerCase();
  return { tenantId, table: "app_private.payment_provider_secrets", column: "secret_ciphertext", row };
}
