import { normaliseEmail } from "../crypto/fields.ts";
import { openInvitationEmail } from "../crypto/invitations.ts";
import { sealUserEmail, userEmailIndex } from "../crypto/user_contacts.ts";
import { newId } from "../random.ts";
import type { Caller } from "./caller.ts";
import { hashToken, newToken } from "./one_time.ts";
import { checkNewPassword } from "./password_rules.ts";
import { RefusedError } from "./refused.ts";
import { openRegistrationEmail, sealRegistrationEmail } from "./secrets.ts";
import { login, openLogin } from "./sign_in.ts";
import {
  checkEmail,
  checkWait,
  type IdentityTools,
  linkLifetimes,
  onlyRow,
  type SignInResult,
  sendLater,
  type TenantChoice,
} from "./tools.ts";

export interface RegisterInput {
  email: string;
  password: string;
  /** The name for people. */
  name: string;
  /** The slug of the books to join, where they are open to strangers. */
  tenant?: string | null;
  /** Or the token of an invitation. */
  invitation?: string | null;
}

/**
 * Asks to join. The answer is the same whether the address has an account or not: a message is sent to it,
 * with a token for confirmRegistration. Who comes by the invitation that was sent to this very address
 * has shown already that it is theirs, and is signed in.
 */
export async function register(tools: IdentityTools, caller: Caller, input: RegisterInput): Promise<SignInResult> {
  await tools.admit(caller);
  const email = checkEmail(input.email);
  const name = input.name.trim();
  if (name.length < 1 || name.length > 200) {
    throw new RefusedError("LG114", { field: "name", rule: "1 to 200 characters" });
  }
  const invitation = await findInvitation(tools, caller, input.invitation);
  // Nothing is hashed for books that are closed.
  const tenantId = invitation?.tenantId ?? (await findOpenTenant(tools, caller, input.tenant));
  checkNewPassword(input.password, email);
  const passwordHash = await tools.passwords.hash(input.password);
  const id = newId();
  const { token, hash } = newToken();
  const { outcome, is_known, tenant_name } = onlyRow(
    await tools.call<{ outcome: "invited" | "sent" | "silent"; is_known: boolean; tenant_name: string }>(
      caller,
      "begin_registration",
      [
        id,
        hash,
        await sealRegistrationEmail(tools.fieldKeys, { tenantId, id }, email),
        await userEmailIndex(tools.fieldKeys, email),
        name,
        passwordHash,
        tenantId,
        invitation?.hash ?? null,
        invitation !== null && normaliseEmail(invitation.email) === normaliseEmail(email),
        `${linkLifetimes.registrationSeconds} seconds`,
      ],
    ),
  );
  if (outcome === "invited") return complete(tools, caller, { token, password: input.password });
  if (outcome === "sent") {
    sendLater(tools, {
      kind: "confirm_registration",
      to: email,
      token,
      expiresAt: new Date(Date.now() + linkLifetimes.registrationSeconds * 1000),
      // Who has an account confirms with the password that they have.
      facts: { books: tenant_name, hasAccount: is_known },
      tenantId,
    });
  }
  return { signedIn: null, choices: null };
}

interface InvitationRow {
  tenant_id: number;
  invitation_id: string;
  email_ciphertext: Buffer;
}

/** An invitation by its token, and the address that it was sent to; refused if it is not good. */
async function findInvitation(
  tools: IdentityTools,
  caller: Caller,
  token: string | null | undefined,
): Promise<{ hash: Buffer; tenantId: number; email: string } | null> {
  if (!token) return null;
  const hash = hashToken(token);
  if (!hash) throw new RefusedError("LG372");
  const row = onlyRow(await tools.call<InvitationRow>(caller, "find_invitation", [hash]));
  const place = { tenantId: row.tenant_id, invitationId: row.invitation_id };
  return {
    hash,
    tenantId: row.tenant_id,
    email: await openInvitationEmail(tools.fieldKeys, place, row.email_ciphertext),
  };
}

async function findOpenTenant(tools: IdentityTools, caller: Caller, slug: string | null | undefined): Promise<number> {
  const rows = await tools.call<{ find_open_tenant: number }>(caller, "find_open_tenant", [slug ?? null]);
  return onlyRow(rows).find_open_tenant;
}

/**
 * Accepts an invitation in the name of who is signed in. To work in those books, sign in to them.
 */
export async function acceptInvitation(
  tools: IdentityTools,
  caller: Caller,
  input: { token: string },
): Promise<TenantChoice> {
  await tools.admit(caller);
  const hash = hashToken(input.token);
  if (!hash) throw new RefusedError("LG372");
  return onlyRow(await tools.call<TenantChoice>(caller, "accept_own_invitation", [hash]));
}

export interface ConfirmRegistrationInput {
  token: string;
  /** The password that was chosen; that of the account, if the address has one. */
  password: string;
  /** A one-time password, if the account has a second factor. */
  code?: string | null;
}

interface RegistrationRow {
  retry_after_seconds: number | null;
  id: string;
  email_ciphertext: Buffer;
  tenant_id: number;
  tenant_slug: string;
  user_id: string | null;
  password_hash: string | null;
}

/**
 * Shows that the address is one's own, and the password too: so nobody's account gets the password of a
 * stranger who registered with their address. Then it signs in.
 */
export async function confirmRegistration(
  tools: IdentityTools,
  caller: Caller,
  input: ConfirmRegistrationInput,
): Promise<SignInResult> {
  await tools.admit(caller);
  return complete(tools, caller, input);
}

async function complete(
  tools: IdentityTools,
  caller: Caller,
  { token, password, code }: ConfirmRegistrationInput,
): Promise<SignInResult> {
  const tokenHash = hashToken(token);
  const [row] = tokenHash ? await tools.call<RegistrationRow>(caller, "find_registration", [tokenHash]) : [];
  if (!row) throw new RefusedError("LG475");
  checkWait(row.retry_after_seconds);
  const isRight = await tools.passwords.verify(password, row.password_hash);
  if (!isRight || row.password_hash === null) throw new RefusedError("LG470");
  const email = await openRegistrationEmail(
    tools.fieldKeys,
    { tenantId: row.tenant_id, id: row.id },
    row.email_ciphertext,
  );
  const userId = row.user_id ?? newId();
  const { ciphertext, index } = await sealUserEmail(tools.fieldKeys, userId, email);
  const { complete_registration: made } = onlyRow(
    await tools.call<{ complete_registration: string | null }>(caller, "complete_registration", [
      tokenHash,
      row.password_hash,
      userId,
      ciphertext,
      index,
    ]),
  );
  if (made === null) throw new RefusedError("LG475");
  // Who had an account signs in as always, with the second factor that they may have.
  if (row.user_id !== null) return login(tools, caller, { email, password, tenant: row.tenant_slug, code });
  return openLogin(tools, caller, {
    index,
    userId: made,
    verifiedHash: row.password_hash,
    tenant: row.tenant_slug,
    proof: { step: null, recoveryHash: null },
    newHash: null,
  });
}
