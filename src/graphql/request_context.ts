import type { KeyProvider } from "../crypto/keys.ts";
import type { Claims, Role } from "../http/tokens.ts";

declare global {
  namespace Grafast {
    interface Context {
      /** The tenant of the token, for keys; rows of other tenants are out of sight anyway. */
      tenantId: number | null;
    }
  }
}

/** What a request may be to the database: a token's role, or nobody. */
export type RequestRole = Role | "anonymous";

/** How long one statement may run, by role: reports are slow, a mistaken query of a customer must not be. */
const statementTimeouts: Record<RequestRole, string> = {
  anonymous: "2s",
  customer: "5s",
  teller: "10s",
  accountant: "30s",
  auditor: "60s",
  admin: "30s",
  operator: "30s",
};

export interface RequestContextOptions {
  claims: Claims | undefined;
  requestId: string;
  /** For the fields that the server encrypts and decrypts. */
  fieldKeys: KeyProvider;
  /** The address of the client; empty if there is none that makes sense. */
  address: string;
}

/** What plans can read of a request, besides its arguments. */
export interface RequestContext {
  pgSettings: Record<string, string>;
  /** The tenant of the token, for keys: rows of other tenants are out of sight anyway. */
  tenantId: number | null;
  /** The user of the token. */
  userId: string | null;
  fieldKeys: KeyProvider;
}

/** Who asks, as far as the database is concerned. */
export type Asker = Pick<RequestContextOptions, "claims" | "requestId" | "address">;

export function makeRequestContext({ fieldKeys, ...asker }: RequestContextOptions): RequestContext {
  return {
    tenantId: asker.claims?.tenantId ?? null,
    userId: asker.claims?.userId ?? null,
    fieldKeys,
    pgSettings: makePgSettings(asker),
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
