import type { Logger } from "pino";
import type { KeyProvider } from "../crypto/keys.ts";
import { isEmailAddress } from "../email_address.ts";
import type { TokenKeys } from "../http/token_keys.ts";
import type { Role } from "../http/tokens.ts";
import type { Mail, Mailer } from "../mailer.ts";
import type { Caller } from "./caller.ts";
import type { CallDatabase } from "./database.ts";
import type { Passwords } from "./passwords.ts";
import { RefusedError } from "./refused.ts";

/** What the operations on accounts and sessions work with. */
export interface IdentityTools {
  call: CallDatabase;
  passwords: Passwords;
  fieldKeys: KeyProvider;
  tokenKeys: TokenKeys;
  mailer: Mailer;
  log: Logger;
  lifetimes: Lifetimes;
  /** Counts what may be guesswork, and refuses more of it than the limits allow. */
  admit: (caller: Caller) => Promise<void>;
}

export interface Lifetimes {
  accessTokenSeconds: number;
  /** How long a session lasts without being refreshed. */
  idleSeconds: number;
}

/** How long the links in messages are good for. */
export const linkLifetimes = { registrationSeconds: 24 * 3600, passwordResetSeconds: 30 * 60 } as const;

/** A session that is open, and what a client needs of it. */
export interface SignedIn {
  accessToken: string;
  /** Seconds. */
  expiresIn: number;
  refreshToken: string;
  refreshTokenExpiresAt: Date;
  userId: string;
  sessionId: string;
  /** The slug; null for an operator. */
  tenant: string | null;
  role: Role;
  secondFactorAt: Date | null;
}

/** Books that a person may sign in to. */
export interface TenantChoice {
  tenant: string;
  name: string;
  role: Role;
}

/** Either a session, or the books to choose from. */
export interface SignInResult {
  signedIn: SignedIn | null;
  choices: TenantChoice[] | null;
}

/** The address as it was written, if it can be one; otherwise LG160. */
export function checkEmail(email: string): string {
  if (!isEmailAddress(email)) throw new RefusedError("LG160", { field: "email", rule: "an e-mail address" });
  return email.trim();
}

/** Refuses with LG471 who has to wait. */
export function checkWait(retryAfterSeconds: number | null | undefined): void {
  if (retryAfterSeconds != null) throw new RefusedError("LG471", { retryAfterSeconds });
}

/** A row that a function of the database always answers with. */
export function onlyRow<Row>(rows: Row[]): Row {
  const [row] = rows;
  if (row === undefined) throw new Error("The database answered with no row.");
  return row;
}

/**
 * Sends a message without making the caller wait: how long that takes, and whether it works, would tell who
 * has an account.
 */
export function sendLater({ mailer, log }: Pick<IdentityTools, "mailer" | "log">, mail: Mail): void {
  const failed = (error: unknown): void =>
    log.error({ err: error instanceof Error ? error.name : "unknown", kind: mail.kind }, "a message was not sent");
  setImmediate(() => void mailer(mail).catch(failed));
}
