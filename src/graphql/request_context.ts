import type { KeyProvider } from "../crypto/keys.ts";
import type { TargetOptions } from "../http/outbound.ts";
import type { ActingRole } from "../http/tokens.ts";
import type { Caller } from "../identity/caller.ts";
import type { Identity } from "../identity/identity.ts";
import type { Mail } from "../mailer.ts";
import type { Posted } from "../posting/post_together.ts";
import type { PostingQueue } from "../posting/queue.ts";
import type { ReceiptLinks } from "../receipts/links.ts";

declare global {
  namespace Grafast {
    interface Context {
      /** The tenant of the token, for keys; rows of other tenants are out of sight anyway. */
      tenantId: number | null;
      /** The keys of encrypted fields. */
      fieldKeys: KeyProvider;
      /** Sends a message, without anybody waiting for it. */
      sendMail: (mail: Mail) => void;
      receiptLinks: ReceiptLinks;
      /** Which URLs others may have us call. */
      outbound: TargetOptions;
    }
  }
}

/** What a request may be to the database: the role of a token or an API key, or nobody. */
export type RequestRole = ActingRole | "anonymous";

/** How long one statement may run, by role: reports are slow, a mistaken query of a customer must not be. */
const statementTimeouts: Record<RequestRole, string> = {
  anonymous: "2s",
  customer: "5s",
  teller: "10s",
  accountant: "30s",
  auditor: "60s",
  admin: "30s",
  partner: "10s",
  operator: "30s",
};

export interface RequestContextOptions extends Caller {
  fieldKeys: KeyProvider;
  outbound: TargetOptions;
  identity: Identity;
  postings: PostingQueue<Posted>;
  sendMail: (mail: Mail) => void;
  receiptLinks: ReceiptLinks;
}

/** What plans can read of a request, besides its arguments. */
export interface RequestContext {
  pgSettings: Record<string, string>;
  /** The tenant of the token, for keys: rows of other tenants are out of sight anyway. */
  tenantId: number | null;
  /** The user of the token. */
  userId: string | null;
  fieldKeys: KeyProvider;
  outbound: TargetOptions;
  identity: Identity;
  postings: PostingQueue<Posted>;
  sendMail: (mail: Mail) => void;
  receiptLinks: ReceiptLinks;
  caller: Caller;
}

/** What of a caller the database is told. */
export type Asker = Pick<Caller, "claims" | "requestId" | "address">;

export function makeRequestContext(options: RequestContextOptions): RequestContext {
  const { fieldKeys, outbound, identity, postings, sendMail, receiptLinks, ...caller } = options;
  return {
    tenantId: caller.claims?.tenantId ?? null,
    userId: caller.claims?.userId ?? null,
    fieldKeys,
    outbound,
    identity,
    postings,
    sendMail,
    receiptLinks,
    caller,
    pgSettings: makePgSettings(caller),
  };
}

/**
 * The settings that a request has in the database. The only place that chooses a role; only what is
 * listed here of a verified token gets through.
 */
export function makePgSettings({ claims, requestId, address }: Asker): Record<string, string> {
  const role: RequestRole = claims?.role ?? "anonymous";
  return {
    role: `tallystick_${role}`,
    statement_timeout: statementTimeouts[role],
    // Set even without a token, so that nothing of an earlier request could show through.
    "tallystick.tenant_id": String(claims?.tenantId ?? ""),
    "tallystick.user_id": claims?.userId ?? "",
    "tallystick.session_id": claims?.sessionId ?? "",
    "tallystick.request_id": requestId,
    "tallystick.address": address,
  };
}
