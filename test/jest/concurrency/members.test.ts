import { randomBytes } from "node:crypto";
import { expect, test } from "@jest/globals";
import type pg from "pg";
import { makeInvitation } from "../../../src/tenants/invite.ts";
import { fieldKeys } from "../../support/field_keys.ts";
import { sqlState } from "../../support/ledger.ts";
import { actAs, ensureSession } from "../../support/session.ts";
import { gatherCrowd } from "./crowd.ts";

/* Who belongs to a tenant, while many decide about it at the same time. */
const crowd = await gatherCrowd(20);

async function makeUser(db: Pick<pg.ClientBase, "query">): Promise<string> {
  const { rows } = await db.query<{ id: string }>("insert into app_public.users (name) values ('x') returning id");
  return String(rows[0]?.id);
}

/** An admin of the tenant, signed in. */
async function makeAdmin(db: Pick<pg.ClientBase, "query">, tenantId: number): Promise<string> {
  const id = await makeUser(db);
  await db.query("insert into app_public.memberships (tenant_id, user_id, role) values ($1, $2, 'admin')", [
    tenantId,
    id,
  ]);
  await ensureSession(db, { tenantId, role: "admin", userId: id });
  return id;
}

/** Invites as an operator does, and answers with the hash of the token. */
async function invite(tenantId: number, email = `${randomBytes(4).toString("hex")}@example.com`): Promise<Buffer> {
  const { id, tokenHash, emailCiphertext, emailIndex } = await makeInvitation(fieldKeys("test"), { tenantId, email });
  await crowd.pool.query("select from app_private.invite($1, null, 'teller', $2, $3, $4, $5)", [
    tenantId,
    id,
    tokenHash,
    emailCiphertext,
    emailIndex,
  ]);
  return tokenHash;
}

/** Runs a function of the API as an admin, and holds its locks for a moment before it commits. */
async function act(client: pg.PoolClient, tenantId: number, userId: string, call: string): Promise<string> {
  await actAs(client, { tenantId, role: "admin", userId });
  await client.query("begin");
  try {
    await client.query("set local role tallystick_admin");
    await client.query(`select from app_public.${call}`);
    await client.query("select pg_sleep(0.02)");
    await client.query("commit");
    return "done";
  } catch (error) {
    await client.query("rollback");
    const code = sqlState(error);
    if (code === undefined) throw error;
    return code;
  }
}

async function activeAdmins(tenantId: number): Promise<number> {
  const { rows } = await crowd.pool.query<{ count: number }>(
    `select count(*)::integer as count from app_public.memberships m join app_public.users u on u.id = m.user_id
     where m.tenant_id = $1 and m.role = 'admin' and m.status = 'active' and u.status = 'active'`,
    [tenantId],
  );
  return Number(rows[0]?.count);
}

function count(answers: (string | undefined)[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const answer of answers) counts[String(answer)] = (counts[String(answer)] ?? 0) + 1;
  return counts;
}

test("an invitation is accepted once, whoever else has its token", async () => {
  const tenantId = await crowd.tenant();
  const tokenHash = await invite(tenantId);
  const answers = await crowd.all(async (client) => {
    const userId = await makeUser(client);
    await client.query("begin");
    try {
      await client.query("select from app_private.accept_invitation($1, $2)", [tokenHash, userId]);
      // The others come while this one has not committed.
      await client.query("select pg_sleep(0.05)");
      await client.query("commit");
      return "joined";
    } catch (error) {
      await client.query("rollback");
      return sqlState(error);
    }
  });
  expect(count(answers)).toEqual({ joined: 1, LG373: crowd.size - 1 });
  const { rows } = await crowd.pool.query("select from app_public.memberships where tenant_id = $1", [tenantId]);
  expect(rows).toHaveLength(1);
});

test("of many who invite the same address, the newest invitation alone is open", async () => {
  const tenantId = await crowd.tenant();
  await crowd.all(() => invite(tenantId, "same@example.com"));
  const { rows } = await crowd.pool.query(
    "select from app_public.invitations where tenant_id = $1 and revoked_at is null",
    [tenantId],
  );
  expect(rows).toHaveLength(1);
});

test("one who accepts while the invitation is revoked joins or does not: never both", async () => {
  const tenantId = await crowd.tenant();
  const admin = await makeAdmin(crowd.pool, tenantId);
  for (let round = 0; round < 5; round += 1) {
    const tokenHash = await invite(tenantId);
    const { rows } = await crowd.pool.query<{ id: string }>(
      "select invitation_id as id from app_private.invitation_tokens where token_hash = $1",
      [tokenHash],
    );
    const id = String(rows[0]?.id);
    const userId = await makeUser(crowd.pool);
    const [accepted, revoked] = await crowd.all(async (client, number) => {
      if (number === 1) return act(client, tenantId, admin, `revoke_invitation('${id}')`);
      if (number > 1) return undefined;
      return client
        .query("select from app_private.accept_invitation($1, $2)", [tokenHash, userId])
        .then(() => "done")
        .catch(sqlState);
    });
    expect([`${accepted} ${revoked}`]).toContainEqual(expect.stringMatching(/^(done LG373|LG372 done)$/));
  }
});

test.each(["change_member_role('$', 'teller')", "disable_member('$')"])(
  "admins who all %s the next one: one is left, and nobody waits in a circle",
  async (call) => {
    const tenantId = await crowd.tenant();
    const admins: string[] = [];
    for (let number = 0; number < crowd.size; number += 1) admins.push(await makeAdmin(crowd.pool, tenantId));
    const answers = await crowd.all((client, number) =>
      act(client, tenantId, String(admins[number]), call.replace("$", String(admins[(number + 1) % crowd.size]))),
    );
    // Whoever was demoted before their own turn came has no session any more.
    const { done = 0, LG401 = 0, ...others } = count(answers);
    expect(others).toEqual({});
    expect(done + LG401).toBe(crowd.size);
    expect(await activeAdmins(tenantId)).toBe(crowd.size - done);
    expect(await activeAdmins(tenantId)).toBeGreaterThanOrEqual(1);
  },
);

test("two admins demote each other: one succeeds", async () => {
  for (let round = 0; round < 10; round += 1) {
    const tenantId = await crowd.tenant();
    const [one, other] = [await makeAdmin(crowd.pool, tenantId), await makeAdmin(crowd.pool, tenantId)];
    const answers = await crowd.all(async (client, number) => {
      if (number === 0) return act(client, tenantId, one, `change_member_role('${other}', 'teller')`);
      if (number === 1) return act(client, tenantId, other, `change_member_role('${one}', 'teller')`);
      return undefined;
    });
    expect(count(answers.slice(0, 2))).toEqual({ done: 1, LG401: 1 });
    expect(await activeAdmins(tenantId)).toBe(1);
  }
});

test.each(["read committed", "repeatable read", "serializable"])(
  "statements that remove each other's last admin at %s never both succeed",
  async (level) => {
    const tenantId = await crowd.tenant();
    const [one, other] = [await makeAdmin(crowd.pool, tenantId), await makeAdmin(crowd.pool, tenantId)];
    const begun = Promise.withResolvers<void>();
    let ready = 0;
    const answers = await crowd.all(async (client, number) => {
      if (number > 1) return undefined;
      await client.query(`begin isolation level ${level}`);
      try {
        await client.query("select count(*) from app_public.memberships");
        ready += 1;
        if (ready === 2) begun.resolve();
        await begun.promise;
        const victim = number === 0 ? one : other;
        await client.query("update app_public.memberships set role = 'teller' where tenant_id = $1 and user_id = $2", [
          tenantId,
          victim,
        ]);
        await client.query("commit");
        return "done";
      } catch (error) {
        await client.query("rollback");
        return sqlState(error);
      }
    });
    expect(answers.slice(0, 2).filter((answer) => answer === "done")).toHaveLength(1);
    expect(await activeAdmins(tenantId)).toBe(1);
  },
);

test("an operator disables a user while the other admin is demoted: an admin is left", async () => {
  for (let round = 0; round < 10; round += 1) {
    const tenantId = await crowd.tenant();
    const [one, other] = [await makeAdmin(crowd.pool, tenantId), await makeAdmin(crowd.pool, tenantId)];
    const answers = await crowd.all(async (client, number) => {
      if (number === 0) return act(client, tenantId, one, `change_member_role('${other}', 'teller')`);
      if (number > 1) return undefined;
      return client
        .query("select from app_private.set_user_status($1, 'disabled')", [one])
        .then(() => "done")
        .catch(sqlState);
    });
    expect(answers.slice(0, 2).filter((answer) => answer === "done")).toHaveLength(1);
    expect(await activeAdmins(tenantId)).toBe(1);
  }
});
