import { blindIndex, decryptField, encryptField, type FieldPlace, normaliseEmail } from "./fields.ts";
import type { KeyProvider } from "./keys.ts";
import type { SealedEmail } from "./user_contacts.ts";

const column = { table: "app_private.invitation_tokens", column: "email_ciphertext" };

/** Which invitation an address belongs to. */
export interface InvitationPlace {
  tenantId: number;
  invitationId: string;
}

/** Encrypts the address that an invitation is for, and makes its blind index. */
export async function sealInvitationEmail(
  keys: KeyProvider,
  place: InvitationPlace,
  email: string,
): Promise<SealedEmail> {
  return {
    ciphertext: await encryptField(keys, fieldOf(place), email.trim()),
    index: await blindIndex(keys, { ...column, tenantId: place.tenantId }, normaliseEmail(email)),
  };
}

/** The address that an invitation is for, from email_ciphertext. */
export function openInvitationEmail(keys: KeyProvider, place: InvitationPlace, ciphertext: Buffer): Promise<string> {
  return decryptField(keys, fieldOf(place), ciphertext);
}

function fieldOf({ tenantId, invitationId }: InvitationPlace): FieldPlace {
  return { ...column, tenantId, row: invitationId.toLowerCase() };
}
