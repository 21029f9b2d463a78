import { createHash } from "node:crypto";
import type { Queryable } from "./ledger.ts";

export interface SessionOf {
  tenantId: number | null;
  role: string;
  userId: string;
}

/** Somebody who works for any tenant. */
export const staff = "00000000-0000-7000-8000-00000000aaaa";

/** The id of the session that `ensureSession` makes: always the same for the same three. */
export function sessionId({ tenantId, role, userId }: SessionOf): string {
  const hash = createHash("md5").update(`session ${role} ${tenantId} ${userId}`).digest("hex");
  return hash.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}

/** Makes what a login would find and make: the user, their membership and a session. Needs the owner's login. */
export async function ensureSession(db: Queryable, of: SessionOf): Promise<string> {
  const { tenantId, role, userId } = of;
  const id = sessionId(of);
  await db.query("insert into app_public.users (id, name) values ($1, $2) on conflict do nothing", [userId, role]);
  if (tenantId === null) {
    await db.query("insert into app_private.operators (user_id) values ($1) on conflict do nothing", [userId]);
  } else {
    await db.query(
      `insert into app_public.memberships (tenant_id, user_id, role) values ($1, $2, $3)
       on conflict do nothing`,
      [tenantId, userId, role],
    );
  }
  await db.query(
    `insert into app_private.sessions (id, tenant_id, user_id, role, kind, expires_at)
     values ($1, $2, $3, $4, $5, 'infinity') on conflict do nothing`,
    [id, tenantId, userId, role, role === "partner" ? "api_key" : "login"],
  );
  return id;
}

/** Makes the rest of a connection act in a session of this user; not the role, so that the owner can too. */
export async function actAs(db: Queryable, of: SessionOf): Promise<void> {
  const id = await ensureSession(db, of);
  await db.query(
    `select set_config('tallystick.tenant_id', $1, false), set_config('tallystick.user_id', $2, false),
            set_config('tallystick.session_id', $3, false)`,
    [String(of.tenantId ?? ""), of.userId, id],
  );
}
