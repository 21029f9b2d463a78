import { beforeEach, describe, expect, test } from "@jest/globals";
import { addJob, queuedJobs, runDueJobs, workerPool } from "../../support/jobs.ts";
import { findViolations } from "../../support/ledger.ts";
import { createTestDatabase } from "../../support/test_database.ts";
import { openBooks, schedule } from "./_books.ts";

/* The job that plans schedules and pays what is due, run by graphile-worker as in production. */
const task = "schedules/execute_due";
const db = await createTestDatabase();
const owner = db.pool("owner");
const superuser = db.pool("superuser");
const worker = workerPool(db);
const otherWorker = workerPool(db);

const hour = 3_600_000;
const wholeSecond = (ms: number): number => Math.floor(ms / 1000) * 1000;
const fromNow = (ms: number): string => new Date(wholeSecond(Date.now() + ms)).toISOString();

async function run(...pools: (typeof worker)[]): Promise<void> {
  for (const pool of pools) await addJob(pool, task);
  await Promise.all(pools.map((pool) => runDueJobs(pool)));
}

/** How many occurrences of a schedule there are of each status, or reason for which they were left out. */
async function outcome(id: string): Promise<Record<string, number>> {
  const { rows } = await owner.query<{ what: string; count: number }>(
    `select coalesce(skipped_because::text, status::text) as what, count(*)::integer as count
     from app_public.schedule_occurrences where schedule_id = $1 group by 1`,
    [id],
  );
  return Object.fromEntries(rows.map(({ what, count }) => [what, count]));
}

/** How many payments there are, and how many of them are of an occurrence. */
async function payments(tenantId: number): Promise<[all: number, ofOccurrences: number]> {
  const { rows } = await owner.query<{ all: number; of: number }>(
    `select count(*)::integer as all, count(o.payment_id)::integer as of
     from app_public.payments p
     left join app_public.schedule_occurrences o on o.tenant_id = p.tenant_id and o.payment_id = p.id
     where p.tenant_id = $1`,
    [tenantId],
  );
  return [rows[0]?.all ?? 0, rows[0]?.of ?? 0];
}

/** Lets a schedule be as if it had been made so long ago and no worker had run since. */
async function outageOf(ms: number, id: string): Promise<void> {
  await superuser.query(
    `begin; set local session_replication_role = replica;
     update app_public.payment_schedules set planned_until = now() - '${ms} ms'::interval where id = '${id}'; commit`,
  );
}

beforeEach(async () => {
  await worker.query("select graphile_worker.complete_jobs(array(select id from graphile_worker.jobs))");
});

describe("a schedule", () => {
  test("is planned as far as its rule goes within 45 days, and paid when it is due", async () => {
    const books = await openBooks(db);
    const id = await schedule(db, books, { rule: "FREQ=DAILY;COUNT=9", starts_at: fromNow(4000) });
    await run(worker);
    expect(await outcome(id)).toEqual({ planned: 9 });
    expect(await queuedJobs(worker)).toMatchObject([{ key: `${task}:next` }]);
    await owner.query("select pg_sleep(4.1)");
    await runDueJobs(worker);
    expect(await outcome(id)).toEqual({ executed: 1, planned: 8 });
    expect(await payments(books.tenantId)).toEqual([1, 1]);
    expect(await findViolations(owner, books.tenantId)).toEqual([]);
  });

  test("of one date is paid and has ended", async () => {
    const books = await openBooks(db);
    const id = await schedule(db, books, { starts_at: fromNow(-1000) });
    // schedulePayment itself has added the job.
    await runDueJobs(worker);
    expect(await outcome(id)).toEqual({ executed: 1 });
    const { rows } = await owner.query("select status from app_public.payment_schedules where id = $1", [id]);
    expect(rows).toEqual([{ status: "ended" }]);
  });

  test("of a rule that never occurs has ended", async () => {
    const books = await openBooks(db);
    const rule = "FREQ=MONTHLY;BYDAY=1MO;BYMONTHDAY=20";
    const id = await schedule(db, books, { rule, starts_at: fromNow(hour) });
    await run(worker);
    const { rows } = await owner.query("select status from app_public.payment_schedules where id = $1", [id]);
    expect([rows, await outcome(id)]).toEqual([[{ status: "ended" }], {}]);
  });

  test("that cannot be worked on does not hold up the others", async () => {
    const books = await openBooks(db);
    const broken = await schedule(db, books, { rule: "FREQ=DAILY", starts_at: fromNow(hour) });
    const sound = await schedule(db, books, { starts_at: fromNow(-1000) });
    await superuser.query(
      `begin; set local session_replication_role = replica;
       update app_public.payment_schedules set time_zone = 'Europe/Atlantis' where id = '${broken}'; commit`,
    );
    await run(worker);
    expect([await outcome(broken), await outcome(sound)]).toEqual([{}, { executed: 1 }]);
    const failed = (await queuedJobs(worker)).map(({ lastError }) => lastError);
    await superuser.query("update app_public.payment_schedules set status = 'paused' where id = $1", [broken]);
    expect(failed).toContainEqual(expect.stringMatching(/Atlantis/i));
  });
});

describe("after an outage of nine and a half hours of an hourly schedule", () => {
  test.each([
    ["all", { executed: 10, planned: expect.any(Number) }],
    ["latest", { executed: 1, outage: 9, planned: expect.any(Number) }],
    ["none", { executed: 1, outage: 9, planned: expect.any(Number) }],
  ])("%s of what was missed is made up for", async (catchUp, expected) => {
    const books = await openBooks(db);
    const startsAt = fromNow(-9.5 * hour);
    const id = await schedule(db, books, { rule: "FREQ=HOURLY", starts_at: startsAt, catch_up: catchUp });
    await outageOf(9.6 * hour, id);
    await run(worker);
    expect(await outcome(id)).toEqual(expected);
    const { rows } = await owner.query<{ at: Date }>(
      "select max(occurs_at) as at from app_public.schedule_occurrences where schedule_id = $1 and status = 'executed'",
      [id],
    );
    // The latest of them, in every case.
    expect(rows[0]?.at).toEqual(new Date(Date.parse(startsAt) + 9 * hour));
    expect(await findViolations(owner, books.tenantId)).toEqual([]);
  });

  test("none is paid twice by two workers at once, or by one that comes after them", async () => {
    const books = await openBooks(db);
    const ids: string[] = [];
    for (let n = 0; n < 4; n += 1) {
      const id = await schedule(db, books, { rule: "FREQ=HOURLY", starts_at: fromNow(-9.5 * hour) });
      await outageOf(9.6 * hour, id);
      ids.push(id);
    }
    await run(worker, otherWorker);
    await run(worker);
    for (const id of ids) expect(await outcome(id)).toMatchObject({ executed: 10 });
    expect(await payments(books.tenantId)).toEqual([40, 40]);
    const { rows } = await owner.query(
      "select sum(amount)::text as sum from app_public.payments where tenant_id = $1",
      [books.tenantId],
    );
    expect(rows).toEqual([{ sum: "4000" }]);
    expect(await findViolations(owner, books.tenantId)).toEqual([]);
  });

  test("a worker that is killed at any moment leaves each paid once", async () => {
    const books = await openBooks(db);
    const id = await schedule(db, books, { rule: "FREQ=HOURLY", starts_at: fromNow(-30.5 * hour) });
    await outageOf(30.6 * hour, id);
    // Its connections die under it, wherever it is; what it had not committed is gone.
    for (let kills = 0; kills < 6; kills += 1) {
      const dying = run(worker).catch(() => undefined);
      await owner.query("select pg_sleep($1)", [0.01 + kills * 0.02]);
      await superuser.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where usename = 'tallystick_worker' and datname = current_database()`,
      );
      await dying;
      await superuser.query(
        "update graphile_worker._private_jobs set locked_at = null, locked_by = null, run_at = now()",
      );
    }
    // The pool of the killed may not know yet which of its connections are dead.
    await run(workerPool(db));
    expect(await outcome(id)).toMatchObject({ executed: 31 });
    expect(await payments(books.tenantId)).toEqual([31, 31]);
    expect(await findViolations(owner, books.tenantId)).toEqual([]);
  });
});
