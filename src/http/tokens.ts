import type { TokenKeys, TokenPayload } from "./token_keys.ts";

/** What a token may make of a request; each is the PostgreSQL role `tallystick_<role>`. */
export const roles = ["customer", "teller", "accountant", "auditor", "admin", "operator"] as const;
export type Role = (typeof roles)[number];
/** Who acts: by a token, or as a partner by an API key. */
export type ActingRole = Role | "partner";
/** Those that belong to a tenant. */
export const tenantRoles = roles.filter((role) => role !== "operator");

/** What a verified token says, or an API key stands for. Nothing else of them is used. */
export interface Claims {
  userId: string;
  /** The session that the token was made for, or the API key itself: the database asks whether it is still open. */
  sessionId: string;
  /** Null for an operator, who belongs to no tenant. */
  tenantId: number | null;
  role: ActingRole;
  /** Seconds since 1970. */
  expiresAt: number;
}

/** The token is refused with LG460, or with LG461 if it was right but has expired. */
export class TokenError extends Error {
  readonly code: "LG460" | "LG461";
  constructor(code: "LG460" | "LG461") {
    super(code === "LG461" ? "The token has expired." : "The token is not valid.");
    this.name = "TokenError";
    this.code = code;
  }
}

export const tokenAudience = "tallystick";
export const tokenIssuer = "tallystick";

export interface SignTokenOptions {
  keys: TokenKeys;
  tenantId: number | null;
  role: Role;
  userId: string;
  sessionId: string;
  expiresInSeconds: number;
}

/** Signs an access token for a session. */
export function signToken({ keys, tenantId, role, userId, sessionId, expiresInSeconds }: SignTokenOptions): string {
  const now = Math.floor(Date.now() / 1000);
  return keys.sign({
    iss: tokenIssuer,
    aud: tokenAudience,
    sub: userId,
    sid: sessionId,
    tenant_id: tenantId,
    role,
    iat: now,
    exp: now + expiresInSeconds,
  });
}

const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Verifies a token and picks the claims that count; throws a TokenError. */
export function verifyToken(token: string, keys: TokenKeys): Claims {
  const { iss, aud, nbf, sub, sid, tenant_id: tenantId, role, exp } = readPayload(token, keys);
  const now = Date.now() / 1000;
  const isComplete =
    iss === tokenIssuer &&
    aud === tokenAudience &&
    (nbf === undefined || (typeof nbf === "number" && nbf <= now)) &&
    typeof sub === "string" &&
    uuidForm.test(sub) &&
    typeof sid === "string" &&
    uuidForm.test(sid) &&
    (role === "operator" ? tenantId === null : isTenantId(tenantId)) &&
    typeof exp === "number" &&
    roles.some((known) => known === role);
  if (!isComplete) throw new TokenError("LG460");
  if (exp <= now) throw new TokenError("LG461");
  return {
    userId: sub.toLowerCase(),
    sessionId: sid.toLowerCase(),
    tenantId: tenantId as number | null,
    role: role as Role,
    expiresAt: exp,
  };
}

function readPayload(token: string, keys: TokenKeys): TokenPayload {
  try {
    return keys.verify(token);
  } catch {
    throw new TokenError("LG460");
  }
}

function isTenantId(value: unknown): boolean {
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value < 2 ** 31;
}

/** The token of an Authorization header; undefined if there is no header. */
export function bearerToken(header: unknown): string | undefined {
  if (header === undefined || header === "") return undefined;
  const match = typeof header === "string" ? /^Bearer +([\w.~+/-]+=*) *$/i.exec(header) : null;
  if (!match?.[1]) throw new TokenError("LG460");
  return match[1];
}
