import { beforeEach, expect, test } from "@jest/globals";
import { runOnce } from "graphile-worker";
import type pg from "pg";
import { quietWorkerLogger } from "../../../src/postgres/quiet_logger.ts";
import settleMerchants from "../../../tasks/merchants/settle_merchants.ts";
import expireVouchers from "../../../tasks/vouchers/expire_vouchers.ts";
import { addJob, workerPool } from "../../support/jobs.ts";
import { findViolations, mustPost, openAccount, openTenant, transfer } from "../../support/ledger.ts";
import { makeProvider } from "../../support/payments.ts";
import { actAs, staff } from "../../support/session.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/* The jobs that settle merchants and end vouchers, run by graphile-worker, two at once, and killed. */
const db = await createTestDatabase();
const owner = db.pool("owner", { max: 4 });
const workers = [workerPool(db), workerPool(db)];
const tasks = { "merchants/settle_merchants": settleMerchants, "vouchers/expire_vouchers": expireVouchers };

/** One worker that runs nothing but these tasks. */
async function run(pgPool: pg.Pool): Promise<void> {
  await runOnce({ pgPool, taskList: tasks, concurrency: 1, noHandleSignals: true, logger: quietWorkerLogger });
}

interface Books {
  tenantId: number;
  cash: string;
  shops: string[];
}

/** A tenant with merchants, each of whom has sold for 100 yesterday, in ten postings. */
async function openBooks(merchants: number): Promise<Books> {
  const tenantId = await openTenant(owner);
  const shops: string[] = [];
  const cash = await openAccount(owner, tenantId);
  await makeProvider(owner, tenantId);
  await db.withClient("owner", async (client) => {
    await actAs(client, { tenantId, role: "accountant", userId: staff });
    const { rows } = await client.query<{ id: string }>(
      "insert into app_public.counterparties (tenant_id, name) values ($1, 'Shop Ltd') returning id",
      [tenantId],
    );
    for (let i = 0; i < merchants; i += 1) {
      const shop = await openAccount(client, tenantId, { type: "liability", minimum: 0 });
      const input = { code: `shop-${i}`, account_id: shop, provider_code: "bank", counterparty_id: rows[0]?.id };
      await client.query("select app_public.set_merchant(jsonb_populate_record(null::app_public.merchant_input, $1))", [
        JSON.stringify({ ...input, time_zone: "UTC" }),
      ]);
      shops.push(shop);
    }
  });
  for (const shop of shops)
    for (let i = 0; i < 10; i += 1) await mustPost(owner, tenantId, { postings: transfer(cash, shop, 10) });
  await age(tenantId, 1);
  return { tenantId, cash, shops };
}

/** Makes all that a tenant has so many days older. */
async function age(tenantId: number, days: number): Promise<void> {
  await db.withClient("superuser", async (client) => {
    await client.query("set session_replication_role = replica");
    const older: [string, string][] = [
      ["transactions", "created_at"],
      ["postings", "created_at"],
      ["account_balances", "last_created_at"],
      ["merchants", "settled_through"],
      ["merchant_settlements", "business_day"],
    ];
    for (const [table, column] of older)
      await client.query(
        `update app_public.${table} set ${column} = ${column} - make_interval(days => $2) where tenant_id = $1`,
        [tenantId, days],
      );
  });
}

/** What was settled: how many settlements, payments and lines, and what was paid out. */
async function settled(tenantId: number): Promise<object | undefined> {
  const { rows } = await owner.query<object>(
    `select count(*)::integer as settlements, sum(s.payout_amount)::integer as paid,
       (select count(*)::integer from app_public.payments p where p.tenant_id = $1) as payments,
       (select count(*)::integer from app_public.merchant_settlement_lines l where l.tenant_id = $1) as lines
     from app_public.merchant_settlements s where s.tenant_id = $1`,
    [tenantId],
  );
  return rows[0];
}

beforeEach(async () => {
  await workers[0]?.query("select graphile_worker.complete_jobs(array(select id from graphile_worker.jobs))");
});

test("two workers settle every merchant once, and a second run changes nothing", async () => {
  const books = await openBooks(12);
  for (let round = 0; round < 2; round += 1) {
    for (const worker of workers) await addJob(worker, "merchants/settle_merchants");
    await Promise.all(workers.map(run));
    expect(await settled(books.tenantId)).toEqual({ settlements: 12, paid: 1200, payments: 12, lines: 120 });
  }
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
});

test("workers that are killed at any moment settle every merchant once in the end", async () => {
  const books = await openBooks(20);
  let isDone = false;
  let kills = 0;
  const killing = db.withClient("superuser", async (client) => {
    // Seeded, so that a run can be repeated: the moments are random enough by themselves.
    for (let i = 0; !isDone && i < 400; i += 1) {
      await client.query("select pg_sleep($1)", [((i * 7919) % 13) / 1000]);
      const { rows } = await client.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and usename = 'tallystick_worker' and state = 'active'
           and query like '%settle_merchant%' limit 1`,
      );
      kills += rows.length;
    }
  });
  const settleAll = async (worker: pg.Pool): Promise<void> => {
    for (let attempt = 0; attempt < 400; attempt += 1) {
      const { rows } = await owner.query("select from app_public.merchant_settlements where tenant_id = $1", [
        books.tenantId,
      ]);
      if (rows.length >= books.shops.length) return;
      await call(worker);
    }
  };
  await Promise.all(workers.map(settleAll)).finally(() => {
    isDone = true;
  });
  await killing;
  expect(kills).toBeGreaterThan(0);
  expect(await settled(books.tenantId)).toEqual({ settlements: 20, paid: 2000, payments: 20, lines: 200 });
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
}, 120_000);

/** Runs the task by itself; a connection that is killed under it is not its fault. */
async function call(worker: pg.Pool): Promise<void> {
  const helpers = { query: (text: string, values: unknown[]) => worker.query(text, values) };
  await Promise.resolve(settleMerchants({}, helpers as never)).catch((error: unknown) => {
    const errors = error instanceof AggregateError ? error.errors : [error];
    for (const one of errors as { message: string }[])
      if (!/terminat|Connection|connection|ECONN/.test(one.message)) throw one;
  });
}

test("a sale that commits while its day is being settled is left for the next day, and not left out", async () => {
  const books = await openBooks(1);
  const [shop = ""] = books.shops;
  await db.withClient("owner", async (late) => {
    await late.query("begin");
    await mustPost(late, books.tenantId, { postings: transfer(books.cash, shop, 7) });
    // The payout needs the account that the sale has locked, so it waits for that, and counts without it.
    const settling = (async () => {
      await addJob(workers[0] as pg.Pool, "merchants/settle_merchants");
      await run(workers[0] as pg.Pool);
    })();
    await late.query("select pg_sleep(0.3)");
    await late.query("commit");
    await settling;
  });
  expect(await settled(books.tenantId)).toMatchObject({ settlements: 1, paid: 100, lines: 10 });
  await age(books.tenantId, 1);
  await addJob(workers[0] as pg.Pool, "merchants/settle_merchants");
  await run(workers[0] as pg.Pool);
  expect(await settled(books.tenantId)).toMatchObject({ settlements: 2, paid: 107, lines: 11 });
});

test("vouchers expire once, and a frozen account of one tenant does not hold up others", async () => {
  const made: { tenantId: number; liability: string }[] = [];
  for (let i = 0; i < 2; i += 1) {
    const tenantId = await openTenant(owner);
    await db.withClient("owner", async (client) => {
      await actAs(client, { tenantId, role: "accountant", userId: staff });
      const [cash, liability, breakage] = [
        await openAccount(client, tenantId),
        await openAccount(client, tenantId, { type: "liability" }),
        await openAccount(client, tenantId, { type: "revenue" }),
      ];
      await client.query(
        `select app_public.issue_vouchers(
           (app_public.create_voucher_campaign('c', 'C', $1, $2, $3)).id, 1500, 5,
           clock_timestamp() + interval '1 second')`,
        [cash, liability, breakage],
      );
      if (i === 0) await client.query("select app_public.freeze_account($1)", [breakage]);
      made.push({ tenantId, liability });
    });
  }
  await owner.query("select pg_sleep(1.1)");
  for (const worker of workers) await addJob(worker, "vouchers/expire_vouchers");
  await Promise.all(workers.map(run));
  const { rows } = await owner.query(
    `select v.status::text, count(*)::integer from app_public.vouchers v
     where v.tenant_id = any ($1) group by v.tenant_id, v.status order by v.tenant_id`,
    [made.map(({ tenantId }) => tenantId)],
  );
  expect(rows).toEqual([
    { status: "open", count: 1500 },
    { status: "expired", count: 1500 },
  ]);
  for (const { tenantId } of made) expect(await findViolations(owner, tenantId)).toEqual([]);
});
