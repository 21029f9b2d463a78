import { decryptField, encryptField, type FieldPlace } from "../crypto/fields.ts";
import type { KeyProvider } from "../crypto/keys.ts";

/** Users belong to no tenant, so neither do the secrets of their authenticators. */
function secretPlace(userId: string): FieldPlace {
  return { tenantId: 0, table: "app_private.second_factors", column: "secret_ciphertext", row: userId.toLowerCase() };
}

/** Encrypts the secret of a user's authenticator. */
export function sealSecret(keys: KeyProvider, userId: string, secret: string): Promise<Buffer> {
  return encryptField(keys, secretPlace(userId), secret);
}

/** The secret of a user's authenticator. */
export function openSecret(keys: KeyProvider, userId: string, ciphertext: Buffer): Promise<string> {
  return decryptField(keys, secretPlace(userId), ciphertext);
}

/** The address of somebody who asked to join, until they have shown that it is theirs. */
export interface RegistrationPlace {
  tenantId: number;
  id: string;
}

export function sealRegistrationEmail(keys: KeyProvider, place: RegistrationPlace, email: string): Promise<Buffer> {
  return encryptField(keys, fieldOf(place), email);
}

export function openRegistrationEmail(
  keys: KeyProvider,
  place: RegistrationPlace,
  ciphertext: Buffer,
): Promise<string> {
  return decryptField(keys, fieldOf(place), ciphertext);
}

function fieldOf({ tenantId, id }: RegistrationPlace): FieldPlace {
  return { tenantId, table: "app_private.registrations", column: "email_ciphertext", row: id.toLowerCase() };
}
