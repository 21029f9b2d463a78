import { sealInvitationEmail } from "../crypto/invitations.ts";
import type { KeyProvider } from "../crypto/keys.ts";
import { newToken } from "../identity/one_time.ts";
import { newId } from "../random.ts";

/** A new invitation as the database takes it; the token is for the one who invites, and kept nowhere. */
export interface NewInvitation {
  id: string;
  token: string;
  tokenHash: Buffer;
  emailCiphertext: Buffer;
  emailIndex: Buffer;
}

/** Makes up the id, unless there is one, and the token of an invitation, and encrypts the address. */
export async function makeInvitation(
  keys: KeyProvider,
  { id = newId(), tenantId, email }: { id?: string; tenantId: number; email: string },
): Promise<NewInvitation> {
  const { token, hash } = newToken();
  const { ciphertext, index } = await sealInvitationEmail(keys, { tenantId, invitationId: id }, email);
  return { id, token, tokenHash: hash, emailCiphertext: ciphertext, emailIndex: index };
}
