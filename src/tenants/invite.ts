import { createHash, randomBytes } from "node:crypto";
import { sealInvitationEmail } from "../crypto/invitations.ts";
import type { KeyProvider } from "../crypto/keys.ts";

/** A new invitation as the database takes it; the token is for the one who invites, and kept nowhere. */
export interface NewInvitation {
  id: string;
  token: string;
  tokenHash: Buffer;
  emailCiphertext: Buffer;
  emailIndex: Buffer;
}

/** Makes up the token of an invitation, with the id that the database gave, and encrypts the address. */
export async function makeInvitation(
  keys: KeyProvider,
  { id, tenantId, email }: { id: string; tenantId: number; email: string },
): Promise<NewInvitation> {
  const token = randomBytes(32).toString("base64url");
  const { ciphertext, index } = await sealInvitationEmail(keys, { tenantId, invitationId: id }, email);
  return { id, token, tokenHash: hashInvitationToken(token), emailCiphertext: ciphertext, emailIndex: index };
}

/** What the database knows of a token. It has 256 random bits, so a plain hash will do. */
export function hashInvitationToken(token: string): Buffer {
  return createHash("sha256").update(token, "utf8").digest();
}
