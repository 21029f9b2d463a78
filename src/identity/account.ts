import { openUserEmail, userEmailIndex } from "../crypto/user_contacts.ts";
import type { Caller } from "./caller.ts";
import { hashToken, newRecoveryCodes, newToken } from "./one_time.ts";
import { checkNewPassword } from "./password_rules.ts";
import { RefusedError } from "./refused.ts";
import { openSecret, sealSecret } from "./secrets.ts";
import { proveSecondFactor } from "./sign_in.ts";
import { checkEmail, checkWait, type IdentityTools, linkLifetimes, onlyRow, sendLater } from "./tools.ts";
import { newTotpSecret, totpStep } from "./totp.ts";

/* What people do with their own account: the password, and the second factor. */

interface ReauthenticationRow {
  retry_after_seconds: number | null;
  user_id: string;
  password_hash: string | null;
  second_factor_ciphertext: Buffer | null;
  is_active: boolean;
  last_step: string | null;
  email_ciphertext: Buffer | null;
}

async function beginReauthentication(tools: IdentityTools, caller: Caller): Promise<ReauthenticationRow> {
  await tools.admit(caller);
  const row = onlyRow(await tools.call<ReauthenticationRow>(caller, "begin_reauthentication", []));
  checkWait(row.retry_after_seconds);
  return row;
}

/** The account of who is signed in, and knows the password; otherwise LG470. */
async function reauthenticate(
  tools: IdentityTools,
  caller: Caller,
  password: string,
): Promise<ReauthenticationRow & { password_hash: string }> {
  const row = await beginReauthentication(tools, caller);
  const isRight = await tools.passwords.verify(password, row.password_hash);
  if (!isRight || row.password_hash === null) throw new RefusedError("LG470");
  return { ...row, password_hash: row.password_hash };
}

async function emailOf(tools: IdentityTools, userId: string, ciphertext: Buffer | null): Promise<string> {
  return ciphertext ? openUserEmail(tools.fieldKeys, userId, ciphertext) : "";
}

export interface ChangePasswordInput {
  currentPassword: string;
  newPassword: string;
}

/** Changes the password, and ends all other sessions. */
export async function changePassword(tools: IdentityTools, caller: Caller, input: ChangePasswordInput): Promise<void> {
  const row = await reauthenticate(tools, caller, input.currentPassword);
  checkNewPassword(input.newPassword, await emailOf(tools, row.user_id, row.email_ciphertext));
  const hash = await tools.passwords.hash(input.newPassword);
  const { change_password: isChanged } = onlyRow(
    await tools.call<{ change_password: boolean }>(caller, "change_password", [row.password_hash, hash]),
  );
  if (!isChanged) throw new RefusedError("LG470");
}

/**
 * Sends a token to the address, if somebody has it. The answer is the same if nobody has, and comes before
 * anything is looked up, so that it takes as long.
 */
export async function requestPasswordReset(
  tools: IdentityTools,
  caller: Caller,
  input: { email: string },
): Promise<void> {
  await tools.admit(caller);
  const email = checkEmail(input.email);
  const failed = (error: unknown): void =>
    tools.log.error({ err: error, requestId: caller.requestId }, "a password reset could not be prepared");
  setImmediate(() => void preparePasswordReset(tools, caller, email).catch(failed));
}

async function preparePasswordReset(tools: IdentityTools, caller: Caller, email: string): Promise<void> {
  const index = await userEmailIndex(tools.fieldKeys, email);
  const { token, hash } = newToken();
  const seconds = linkLifetimes.passwordResetSeconds;
  const [row] = await tools.call<{ user_id: string; email_ciphertext: Buffer }>(caller, "request_password_reset", [
    index,
    hash,
    `${seconds} seconds`,
  ]);
  if (!row) return;
  sendLater(tools, {
    kind: "reset_password",
    // As its person wrote it, not as the caller did.
    to: await emailOf(tools, row.user_id, row.email_ciphertext),
    token,
    expiresAt: new Date(Date.now() + seconds * 1000),
    facts: {},
    userId: row.user_id,
  });
}

/** Sets a new password with a token that was sent, and ends all sessions. Does not sign in. */
export async function resetPassword(
  tools: IdentityTools,
  caller: Caller,
  input: { token: string; newPassword: string },
): Promise<void> {
  await tools.admit(caller);
  const tokenHash = hashToken(input.token);
  const [row] = tokenHash
    ? await tools.call<{ user_id: string; email_ciphertext: Buffer | null }>(caller, "find_password_reset", [tokenHash])
    : [];
  // Nothing is hashed for who has no token.
  if (!row) throw new RefusedError("LG475");
  checkNewPassword(input.newPassword, await emailOf(tools, row.user_id, row.email_ciphertext));
  const hash = await tools.passwords.hash(input.newPassword);
  const { reset_password: isReset } = onlyRow(
    await tools.call<{ reset_password: boolean }>(caller, "reset_password", [tokenHash, hash]),
  );
  if (!isReset) throw new RefusedError("LG475");
}

/** Begins to set up a second factor. The secret is shown here, and never again. */
export async function enrolSecondFactor(
  tools: IdentityTools,
  caller: Caller,
  input: { password: string },
): Promise<{ secret: string; uri: string }> {
  const row = await reauthenticate(tools, caller, input.password);
  const { secret, uri } = newTotpSecret(await emailOf(tools, row.user_id, row.email_ciphertext));
  await tools.call(caller, "enrol_second_factor", [await sealSecret(tools.fieldKeys, row.user_id, secret)]);
  return { secret, uri };
}

/** Activates the second factor with a first code of it. The recovery codes are shown here, and never again. */
export async function activateSecondFactor(
  tools: IdentityTools,
  caller: Caller,
  input: { code: string },
): Promise<{ recoveryCodes: string[]; secondFactorAt: Date }> {
  const row = await beginReauthentication(tools, caller);
  if (row.second_factor_ciphertext === null) throw new RefusedError("LG482");
  if (row.is_active) throw new RefusedError("LG481");
  const secret = await openSecret(tools.fieldKeys, row.user_id, row.second_factor_ciphertext);
  const step = await totpStep(secret, input.code.replace(/\s/g, ""), null);
  if (step === undefined) throw new RefusedError("LG474");
  const { codes, hashes } = newRecoveryCodes();
  const { activate_second_factor: secondFactorAt } = onlyRow(
    await tools.call<{ activate_second_factor: Date | null }>(caller, "activate_second_factor", [
      row.second_factor_ciphertext,
      step,
      hashes,
    ]),
  );
  if (secondFactorAt === null) throw new RefusedError("LG474");
  return { recoveryCodes: codes, secondFactorAt };
}

/** Shows the second factor in this session: the step-up that roles and amounts ask for. */
export async function confirmSecondFactor(
  tools: IdentityTools,
  caller: Caller,
  input: { code: string },
): Promise<{ secondFactorAt: Date }> {
  const row = await beginReauthentication(tools, caller);
  if (!row.is_active) throw new RefusedError("LG482");
  const proof = await proveSecondFactor(tools, row, input.code);
  if (proof === "wrong") throw new RefusedError("LG474");
  const { confirm_second_factor: secondFactorAt } = onlyRow(
    await tools.call<{ confirm_second_factor: Date | null }>(caller, "confirm_second_factor", [
      proof.step,
      proof.recoveryHash,
    ]),
  );
  if (secondFactorAt === null) throw new RefusedError("LG474");
  return { secondFactorAt };
}

/** Does without a second factor from now on. */
export async function disableSecondFactor(
  tools: IdentityTools,
  caller: Caller,
  input: { password: string },
): Promise<void> {
  await reauthenticate(tools, caller, input.password);
  await tools.call(caller, "disable_second_factor", []);
}

/** New recovery codes; the old ones are good no more. */
export async function renewRecoveryCodes(
  tools: IdentityTools,
  caller: Caller,
  input: { password: string },
): Promise<{ recoveryCodes: string[] }> {
  await reauthenticate(tools, caller, input.password);
  const { codes, hashes } = newRecoveryCodes();
  await tools.call(caller, "renew_recovery_codes", [hashes]);
  return { recoveryCodes: codes };
}
