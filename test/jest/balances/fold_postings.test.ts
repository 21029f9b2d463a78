import { expect, test } from "@jest/globals";
import type pg from "pg";
import { openTenant } from "../../support/ledger.ts";
import { actAs, staff } from "../../support/session.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/**
 * The fold finds what was committed from the outbox. These tests commit, because the outbox shows nothing
 * of a database transaction that is still running.
 */
const db = await createTestDatabase();

async function postMany(client: pg.ClientBase, tenantId: number, count: number): Promise<void> {
  await actAs(client, { tenantId, role: "admin", userId: staff });
  await client.query(
    `insert into app_public.accounts (tenant_id, code, currency, name, type, normal_balance)
     select $1, code, 'USD', code, 'asset', 'debit' from unnest(array['left', 'right']) as code
     on conflict do nothing`,
    [tenantId],
  );
  await client.query(
    `select app_public.post_transactions(array_agg(row(
       'posted', array[row(l.id, 'debit', n), row(r.id, 'credit', n)]::app_public.posting_input[],
       null, null, null, null, null, null, null, null)::app_public.transaction_input))
     from generate_series(1, $2::integer) n, app_public.accounts l, app_public.accounts r
     where l.tenant_id = $1 and l.code = 'left' and r.tenant_id = $1 and r.code = 'right'`,
    [tenantId, count],
  );
}

async function countBlocks(client: pg.ClientBase, tenantId: number): Promise<number> {
  const { rows } = await client.query<{ count: string }>(
    "select count(*) from app_hidden.posting_blocks where tenant_id = $1 and level = 0",
    [tenantId],
  );
  return Number(rows[0]?.count);
}

/**
 * Folds until there are as many blocks as expected: a database transaction of another test that was running
 * first holds the fold back, wherever it runs on the server.
 */
async function foldUntil(client: pg.ClientBase, tenantId: number, blocks: number, limit = 65_536): Promise<void> {
  for (let call = 0; call < 200 && (await countBlocks(client, tenantId)) < blocks; call += 1) {
    const { rows } = await client.query<{ folded: string }>("select app_private.fold_postings($1) as folded", [limit]);
    if (rows[0]?.folded === "0") await client.query("select pg_sleep(0.1)");
  }
  expect(await countBlocks(client, tenantId)).toBe(blocks);
}

test("what was committed is folded, once, and what follows later", async () => {
  await db.withClient("owner", async (client) => {
    const tenantId = await openTenant(client);
    await postMany(client, tenantId, 200);
    await foldUntil(client, tenantId, 6);
    await client.query("select app_private.fold_postings()");
    expect(await countBlocks(client, tenantId)).toBe(6);
    await postMany(client, tenantId, 60);
    await foldUntil(client, tenantId, 8);
    const differing = await client.query("select * from checks.posting_blocks_that_differ");
    expect(differing.rows).toEqual([]);
  });
});

test("a call stops at its limit, and the next one goes on", async () => {
  await db.withClient("owner", async (client) => {
    const tenantId = await openTenant(client);
    await postMany(client, tenantId, 1000);
    await foldUntil(client, tenantId, 4, 256);
    await foldUntil(client, tenantId, 30, 256);
  });
});

test("what is still being posted is passed over and folded later, and nobody waits", async () => {
  await db.withClient("owner", (writer) =>
    db.withClient("owner", async (folder) => {
      const tenantId = await openTenant(writer);
      await postMany(writer, tenantId, 64);
      await writer.query("begin");
      await postMany(writer, tenantId, 64);
      await folder.query("set lock_timeout = '1s'");
      await foldUntil(folder, tenantId, 2);
      await folder.query("select app_private.fold_postings()");
      expect(await countBlocks(folder, tenantId)).toBe(2);
      await writer.query("commit");
      await foldUntil(folder, tenantId, 4);
    }),
  );
});

test("two workers at once fold each posting once", async () => {
  const pool = db.pool("worker");
  await db.withClient("owner", async (client) => {
    const tenantId = await openTenant(client);
    await postMany(client, tenantId, 2000);
    await Promise.all(Array.from({ length: 8 }, () => pool.query("select app_private.fold_postings(1024)")));
    await foldUntil(client, tenantId, 62);
    const differing = await client.query("select * from checks.posting_blocks_that_differ");
    expect(differing.rows).toEqual([]);
  });
});

test("a period is not closed over what is being posted into it", async () => {
  await db.withClient("owner", (writer) =>
    db.withClient("owner", async (closer) => {
      const tenantId = await openTenant(writer);
      await postMany(writer, tenantId, 1);
      const period = await writer.query<{ id: string }>(
        "select (app_public.open_period('2020', '2020-01-01Z', '2021-01-01Z')).id",
      );
      await writer.query("begin");
      await postMany(writer, tenantId, 1);
      await actAs(closer, { tenantId, role: "admin", userId: staff });
      await closer.query("set lock_timeout = '300ms'");
      const close = () => closer.query("select app_public.close_period($1)", [period.rows[0]?.id]);
      await expect(close()).rejects.toMatchObject({ code: "55P03" });
      await writer.query("commit");
      await close();
    }),
  );
});
