import { userEmailIndex } from "../crypto/user_contacts.ts";
import { type Role, roles, signToken } from "../http/tokens.ts";
import type { Caller } from "./caller.ts";
import { hashRecoveryCode, hashToken, newToken, openSuccessor, sealSuccessor } from "./one_time.ts";
import { RefusedError } from "./refused.ts";
import { openSecret } from "./secrets.ts";
import {
  checkEmail,
  checkWait,
  type IdentityTools,
  onlyRow,
  type SignedIn,
  type SignInResult,
  type TenantChoice,
} from "./tools.ts";
import { isTotpCode, totpStep } from "./totp.ts";

export interface LoginInput {
  email: string;
  password: string;
  /** The slug of the books; may be left out by who belongs to one tenant, and by operators. */
  tenant?: string | null;
  /** A one-time password or a recovery code, of who has a second factor. */
  code?: string | null;
}

interface LoginRow {
  retry_after_seconds: number | null;
  user_id: string | null;
  password_hash: string | null;
  second_factor_ciphertext: Buffer | null;
  last_step: string | null;
}

/**
 * Signs in with a password. Every failure that has to do with the password answers alike, and takes as long:
 * one hash is computed in each case. What else is wrong is only told to who knows the password.
 */
export async function login(tools: IdentityTools, caller: Caller, input: LoginInput): Promise<SignInResult> {
  await tools.admit(caller);
  const index = await userEmailIndex(tools.fieldKeys, checkEmail(input.email));
  const row = onlyRow(await tools.call<LoginRow>(caller, "begin_login", [index]));
  checkWait(row.retry_after_seconds);
  const isRight = await tools.passwords.verify(input.password, row.password_hash);
  const fail = async (code: "LG470" | "LG474"): Promise<never> => {
    const reason = code === "LG470" ? "password" : "second factor";
    await tools.call(caller, "record_failed_login", [index, reason]);
    throw new RefusedError(code);
  };
  if (!isRight || row.user_id === null || row.password_hash === null) return fail("LG470");
  const proof = await proveSecondFactor(tools, row, input.code);
  if (proof === "wrong") return fail("LG474");
  const newHash = tools.passwords.isOutdated(row.password_hash) ? await tools.passwords.hash(input.password) : null;
  return openLogin(tools, caller, {
    index,
    userId: row.user_id,
    verifiedHash: row.password_hash,
    tenant: input.tenant ?? null,
    proof,
    newHash,
  });
}

/** How somebody shows their second factor: the time step of a code, or the hash of a recovery code. */
export interface SecondFactorProof {
  step: number | null;
  recoveryHash: Buffer | null;
}

const noProof: SecondFactorProof = { step: null, recoveryHash: null };

/** Compares a code with the secret. Whether it was used before is decided by the database. */
export async function proveSecondFactor(
  tools: IdentityTools,
  row: Pick<LoginRow, "user_id" | "second_factor_ciphertext" | "last_step">,
  given: string | null | undefined,
): Promise<SecondFactorProof | "wrong"> {
  const { user_id: userId, second_factor_ciphertext: ciphertext, last_step: lastStep } = row;
  if (userId === null || ciphertext === null) return noProof;
  const code = given?.replace(/\s/g, "") ?? "";
  if (code === "") throw new RefusedError("LG473");
  if (!isTotpCode(code)) return { step: null, recoveryHash: hashRecoveryCode(code) };
  const secret = await openSecret(tools.fieldKeys, userId, ciphertext);
  const step = await totpStep(secret, code, lastStep === null ? null : Number(lastStep));
  return step === undefined ? "wrong" : { step, recoveryHash: null };
}

interface OpenRow {
  outcome: "opened" | "stale" | "code_required" | "code_used" | "no_membership" | "choose_tenant";
  session_id: string;
  tenant_id: number | null;
  slug: string | null;
  role: string;
  refresh_expires_at: Date;
  second_factor_at: Date | null;
  choices: TenantChoice[] | null;
}

export interface OpenLoginOptions {
  index: Buffer;
  userId: string;
  verifiedHash: string;
  tenant: string | null;
  proof: SecondFactorProof;
  newHash: string | null;
}

/** Opens the session of somebody whose password is right. */
export async function openLogin(
  tools: IdentityTools,
  caller: Caller,
  { index, userId, verifiedHash, tenant, proof, newHash }: OpenLoginOptions,
): Promise<SignInResult> {
  const { token: refreshToken, hash } = newToken();
  const idle = `${tools.lifetimes.idleSeconds} seconds`;
  const row = onlyRow(
    await tools.call<OpenRow>(caller, "open_login", [
      index,
      userId,
      verifiedHash,
      tenant,
      proof.step,
      proof.recoveryHash,
      hash,
      idle,
      caller.userAgent,
      newHash,
    ]),
  );
  switch (row.outcome) {
    case "opened":
      return { signedIn: makeSignedIn(tools, { ...row, user_id: userId }, refreshToken), choices: null };
    case "choose_tenant":
      return { signedIn: null, choices: row.choices };
    case "no_membership":
      throw new RefusedError("LG472");
    case "code_required":
      throw new RefusedError("LG473");
    case "code_used":
      await tools.call(caller, "record_failed_login", [index, "second factor"]);
      throw new RefusedError("LG474");
    case "stale":
      throw new RefusedError("LG470");
  }
}

type SessionRow = Pick<
  OpenRow,
  "session_id" | "tenant_id" | "slug" | "role" | "refresh_expires_at" | "second_factor_at"
> & { user_id: string };

function makeSignedIn(tools: IdentityTools, row: SessionRow, refreshToken: string): SignedIn {
  const role = requireRole(row.role);
  // A token never outlives its session.
  const left = Math.ceil((row.refresh_expires_at.getTime() - Date.now()) / 1000);
  const expiresIn = Math.max(1, Math.min(tools.lifetimes.accessTokenSeconds, left));
  const claims = { tenantId: row.tenant_id, role, userId: row.user_id, sessionId: row.session_id };
  return {
    accessToken: signToken({ keys: tools.tokenKeys, ...claims, expiresInSeconds: expiresIn }),
    expiresIn,
    refreshToken,
    refreshTokenExpiresAt: row.refresh_expires_at,
    userId: row.user_id,
    sessionId: row.session_id,
    tenant: row.slug,
    role,
    secondFactorAt: row.second_factor_at,
  };
}

function requireRole(name: string): Role {
  const role = roles.find((known) => known === name);
  if (!role) throw new Error(`Nobody signs in as ${name}.`);
  return role;
}

interface RotatedRow extends SessionRow {
  outcome: "rotated" | "repeated" | "reused" | "ended";
  known_successor: Buffer | null;
}

/**
 * Exchanges a refresh token for a new one and a new access token. Of two at once one rotates the token, and
 * both get its one successor. See decision 9.
 */
export async function refresh(
  tools: IdentityTools,
  caller: Caller,
  input: { refreshToken: string },
): Promise<SignedIn> {
  const hash = hashToken(input.refreshToken);
  if (!hash) throw new RefusedError("LG478");
  const successor = newToken();
  const sealed = sealSuccessor(input.refreshToken, successor.token);
  const idle = `${tools.lifetimes.idleSeconds} seconds`;
  const row = onlyRow(
    await tools.call<RotatedRow>(caller, "rotate_refresh_token", [hash, successor.hash, sealed, idle]),
  );
  if (row.outcome === "rotated") return makeSignedIn(tools, row, successor.token);
  if (row.outcome === "repeated" && row.known_successor) {
    return makeSignedIn(tools, row, openSuccessor(input.refreshToken, row.known_successor));
  }
  if (row.outcome === "reused") {
    tools.log.warn({ requestId: caller.requestId }, "a refresh token was used a second time: its session is over");
  }
  throw new RefusedError("LG478");
}

/** Ends the session of a refresh token, or else that of the access token. Says nothing about either. */
export async function logout(
  tools: IdentityTools,
  caller: Caller,
  input: { refreshToken?: string | null },
): Promise<void> {
  const given = input.refreshToken;
  const hash = given == null ? null : hashToken(given);
  // A token that is none must not end the session of somebody's access token instead.
  if (hash === undefined) return;
  await tools.call(caller, "end_session", [hash]);
}
