import { createSecretKey, type KeyObject } from "node:crypto";
import jwt from "jsonwebtoken";

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
  /** TALLYSTICK_JWT_SECRET. */
  secret: string;
  tenantId: number | null;
  role: Role;
  userId: string;
  sessionId: string;
  /** Default: 15 minutes. */
  expiresInSeconds?: number;
}

/** Signs an access token for a session. */
export function signToken(options: SignTokenOptions): string {
  const { secret, tenantId, role, userId, sessionId, expiresInSeconds = 15 * 60 } = options;
  return jwt.sign({ tenant_id: tenantId, role, sid: sessionId }, tokenKey(secret), {
    algorithm: "HS256",
    subject: userId,
    audience: tokenAudience,
    issuer: tokenIssuer,
    expiresIn: expiresInSeconds,
  });
}

/** A key is made once: verifying with a string would make it anew each time, at four times the cost. */
export function tokenKey(secret: string): KeyObject {
  return createSecretKey(Buffer.from(secret, "utf8"));
}

const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Verifies a token and picks the claims that count; throws a TokenError. */
export function verifyToken(token: string, key: KeyObject): Claims {
  let payload: unknown;
  try {
    payload = jwt.verify(token, key, { algorithms: ["HS256"], audience: tokenAudience, issuer: tokenIssuer });
  } catch (error) {
    throw new TokenError(error instanceof jwt.TokenExpiredError ? "LG461" : "LG460");
  }
  const claims = (typeof payload === "object" && payload !== null ? payload : {}) as Record<string, unknown>;
  const { sub, sid, tenant_id: tenantId, role, exp } = claims;
  const isComplete =
    typeof sub === "string" &&
    uuidForm.test(sub) &&
    typeof sid === "string" &&
    uuidForm.test(sid) &&
    (role === "operator" ? tenantId === null : isTenantId(tenantId)) &&
    typeof exp === "number" &&
    roles.some((known) => known === role);
  if (!isComplete) throw new TokenError("LG460");
  return {
    userId: sub.toLowerCase(),
    sessionId: sid.toLowerCase(),
    tenantId: tenantId as number | null,
    role: role as Role,
    expiresAt: exp,
  };
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
