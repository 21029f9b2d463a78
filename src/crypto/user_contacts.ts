import { blindIndex, decryptField, encryptField, type FieldPlace, normaliseEmail } from "./fields.ts";
import type { KeyProvider } from "./keys.ts";

/** Users belong to no tenant, so neither do their addresses. */
const table = { tenantId: 0, table: "app_private.user_contacts" };
const emailColumn = { ...table, column: "email_ciphertext" };
const phoneColumn = { ...table, column: "phone_ciphertext" };

/** An e-mail address as app_private.set_user_email takes it. */
export interface SealedEmail {
  ciphertext: Buffer;
  index: Buffer;
}

/** Encrypts the e-mail address of a user, as they wrote it, and makes its blind index. */
export async function sealUserEmail(keys: KeyProvider, userId: string, email: string): Promise<SealedEmail> {
  return {
    ciphertext: await encryptField(keys, placeOf(emailColumn, userId), email.trim()),
    index: await userEmailIndex(keys, email),
  };
}

/** What app_private.user_id_by_email looks for. */
export function userEmailIndex(keys: KeyProvider, email: string): Promise<Buffer> {
  return blindIndex(keys, emailColumn, normaliseEmail(email));
}

/** The e-mail address of a user, from email_ciphertext. */
export function openUserEmail(keys: KeyProvider, userId: string, ciphertext: Buffer): Promise<string> {
  return decryptField(keys, placeOf(emailColumn, userId), ciphertext);
}

/** Encrypts the telephone number of a user. */
export function sealUserPhone(keys: KeyProvider, userId: string, phone: string): Promise<Buffer> {
  return encryptField(keys, placeOf(phoneColumn, userId), phone.trim());
}

/** The telephone number of a user, from phone_ciphertext. */
export function openUserPhone(keys: KeyProvider, userId: string, ciphertext: Buffer): Promise<string> {
  return decryptField(keys, placeOf(phoneColumn, userId), ciphertext);
}

function placeOf(column: Omit<FieldPlace, "row">, userId: string): FieldPlace {
  return { ...column, row: userId.toLowerCase() };
}
