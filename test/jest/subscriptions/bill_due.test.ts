import { beforeEach, expect, test } from "@jest/globals";
import { addJob, queuedJobs, runDueJobs, workerPool } from "../../support/jobs.ts";
import { findViolations } from "../../support/ledger.ts";
import { createTestDatabase } from "../../support/test_database.ts";
import { asAdmin, type Books, openBooks } from "../schedules/_books.ts";

/* The job that bills subscriptions, run by graphile-worker as in production. */
const task = "subscriptions/bill_due";
const db = await createTestDatabase();
const owner = db.pool("owner");
const superuser = db.pool("superuser");
const worker = workerPool(db);
const otherWorker = workerPool(db);

async function run(...pools: (typeof worker)[]): Promise<void> {
  for (const _ of pools) await addJob(worker, task);
  await Promise.all(pools.map((pool) => runDueJobs(pool)));
}

async function subscribe(books: Books, price: string, trialDays: number): Promise<string> {
  const plan = {
    code: `plan-${price}`,
    name: "Gold",
    price,
    interval_unit: "day",
    trial_days: trialDays,
    merchant_account_id: books.sales,
  };
  const { id } = await asAdmin<{ id: string }>(
    db,
    books,
    `select s.id from app_public.create_plan(jsonb_populate_record(null::app_public.plan_input, $1)) p
     cross join lateral app_public.subscribe(p.id, $2) s`,
    [JSON.stringify(plan), books.ann],
  );
  return id;
}

/** Lets a subscription be as if it had begun so many days earlier, and nobody had billed since. */
async function daysAgo(days: number, id: string): Promise<void> {
  await superuser.query(
    `begin; set local session_replication_role = replica;
     update app_public.subscriptions s set anchor_at = anchor_at - interval '${days} days',
       period_starts_at = period_starts_at - interval '${days} days',
       period_ends_at = period_ends_at - interval '${days} days',
       trial_ends_at = trial_ends_at - interval '${days} days',
       next_action_at = next_action_at - interval '${days} days'
     where id = '${id}'; commit`,
  );
}

async function invoices(id: string): Promise<Record<string, number>> {
  const { rows } = await owner.query<{ status: string; count: number }>(
    `select status::text, count(*)::integer as count
     from app_public.subscription_invoices where subscription_id = $1 group by 1`,
    [id],
  );
  return Object.fromEntries(rows.map(({ status, count }) => [status, count]));
}

async function paidTo(account: string): Promise<string | undefined> {
  const { rows } = await owner.query<{ credits: string }>(
    "select posted_credits::text as credits from app_public.account_balances where account_id = $1",
    [account],
  );
  return rows[0]?.credits;
}

beforeEach(async () => {
  await worker.query("select graphile_worker.complete_jobs(array(select id from graphile_worker.jobs))");
});

test("each period is billed once by two workers at once, also those that were missed", async () => {
  const books = await openBooks(db);
  const ids: string[] = [];
  for (const price of ["10", "11", "12"]) ids.push(await subscribe(books, price, 0));
  for (const id of ids) await daysAgo(20, id);
  await run(worker, otherWorker);
  await run(worker);
  for (const id of ids) expect(await invoices(id)).toEqual({ paid: 21 });
  expect(await paidTo(books.sales)).toBe(String(21 * (10 + 11 + 12)));
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
});

test("a trial is billed when it ends, and the job comes back for what is due within the minute", async () => {
  const books = await openBooks(db);
  const id = await subscribe(books, "100", 1);
  await run(worker);
  expect(await invoices(id)).toEqual({});
  await superuser.query(
    `update app_public.subscriptions
     set period_ends_at = now() + interval '2 s', next_action_at = now() + interval '2 s' where id = $1`,
    [id],
  );
  await run(worker);
  expect(await queuedJobs(worker)).toMatchObject([{ task, key: `${task}:next` }]);
  await owner.query("select pg_sleep(2.1)");
  await runDueJobs(worker);
  expect(await invoices(id)).toEqual({ paid: 1 });
  expect(await paidTo(books.sales)).toBe("100");
});

test("what cannot be paid is tried again as the plan says, and then given up", async () => {
  const books = await openBooks(db);
  const id = await subscribe(books, "60000", 0);
  const statuses: string[] = [];
  for (let day = 0; day < 9; day += 1) {
    await superuser.query(
      `begin; set local session_replication_role = replica;
       update app_public.subscriptions set next_action_at = next_action_at - interval '1 day',
         period_ends_at = period_ends_at - interval '1 day', period_starts_at = period_starts_at - interval '1 day',
         anchor_at = anchor_at - interval '1 day' where id = '${id}';
       update app_public.subscription_invoices set due_at = due_at - interval '1 day',
         next_attempt_at = next_attempt_at - interval '1 day' where subscription_id = '${id}'; commit`,
    );
    await run(worker);
    const { rows } = await owner.query<{ now: string }>(
      `select s.status || ' ' || max(i.attempts) as now
       from app_public.subscriptions s join app_public.subscription_invoices i on i.subscription_id = s.id
       where s.id = $1 group by s.status`,
      [id],
    );
    statuses.push(rows[0]?.now ?? "");
  }
  expect(statuses).toEqual([
    "past_due 1",
    "past_due 2",
    "past_due 2",
    "past_due 3",
    "past_due 3",
    "past_due 4",
    "past_due 4",
    "cancelled 5",
    "cancelled 5",
  ]);
  expect(await invoices(id)).toEqual({ paid: 1, uncollectible: 1 });
  expect(await paidTo(books.sales)).toBe("60000");
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
});
