import { beforeEach, describe, expect, test } from "@jest/globals";
import { addJob, queuedJobs, runDueJobs, workerPool } from "../../support/jobs.ts";
import { findViolations, mustPost, openAccounts, openTenant, postBatch, transfer } from "../../support/ledger.ts";
import { createTestDatabase } from "../../support/test_database.ts";
import { countersOf } from "../concurrency/crowd.ts";

/* The job that releases what has expired, run by graphile-worker as in production. */
const task = "ledger/expire_pending";
const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = workerPool(db);
const otherWorker = workerPool(db);

interface Books {
  tenantId: number;
  cash: string;
  sales: string;
}

async function openBooks(): Promise<Books> {
  const tenantId = await openTenant(owner);
  const [cash = "", sales = ""] = await openAccounts(owner, tenantId, 2);
  return { tenantId, cash, sales };
}

/** Reserves 1 from sales to cash, `count` times. */
async function reserve({ tenantId, cash, sales }: Books, count: number, timeoutSeconds: number): Promise<string[]> {
  const item = { kind: "pending", postings: transfer(cash, sales, 1), timeoutSeconds } as const;
  const results = await postBatch(
    owner,
    tenantId,
    Array.from({ length: count }, () => item),
  );
  return results.map(({ transactionId }) => String(transactionId));
}

/** How many transactions released each reservation, as a count of those counts. */
async function releases(pendings: string[]): Promise<Record<string, number>> {
  const { rows } = await owner.query<{ times: string; count: number }>(
    `select times::text, count(*)::integer as count
     from (
       select (
         select count(*) from app_public.transactions t where t.kind = 'expire_pending' and t.pending_id = p.id
       ) as times
       from unnest($1::uuid[]) as p (id)
     ) p
     group by times`,
    [pendings],
  );
  return Object.fromEntries(rows.map(({ times, count }) => [times, count]));
}

async function waitUntilExpired(): Promise<void> {
  await owner.query("select pg_sleep(1.05)");
}

beforeEach(async () => {
  await worker.query("select graphile_worker.complete_jobs(array(select id from graphile_worker.jobs))");
});

describe("what has expired", () => {
  test("is released once, in every tenant, and nothing else is", async () => {
    const books = [await openBooks(), await openBooks(), await openBooks()];
    const expired: string[] = [];
    for (const one of books) expired.push(...(await reserve(one, 5, 1)));
    const [first] = books as [Books];
    const lasting = await reserve(first, 2, 1000);
    const [posted = ""] = await reserve(first, 1, 1);
    await mustPost(owner, first.tenantId, { kind: "post_pending", pendingId: posted });
    await waitUntilExpired();
    await addJob(worker, task);
    await runDueJobs(worker);
    expect(await releases(expired)).toEqual({ 1: 15 });
    expect(await releases([...lasting, posted])).toEqual({ 0: 3 });
    expect(await countersOf(owner, first.cash)).toMatchObject({ posted: 1n, pending: 3n - 1n, version: 14 });
    for (const { tenantId } of books) expect(await findViolations(owner, tenantId)).toEqual([]);
    expect(await queuedJobs(worker)).toEqual([]);
  });

  test("is left alone by a second run", async () => {
    const books = await openBooks();
    const expired = await reserve(books, 3, 1);
    await waitUntilExpired();
    await addJob(worker, task);
    await runDueJobs(worker);
    const before = await countersOf(owner, books.cash);
    await addJob(worker, task);
    await runDueJobs(worker);
    expect(await countersOf(owner, books.cash)).toEqual(before);
    expect(await releases(expired)).toEqual({ 1: 3 });
  });

  test("is released once by two workers at once, over several batches", async () => {
    const books = [await openBooks(), await openBooks()];
    const expired: string[] = [];
    for (const one of books) expired.push(...(await reserve(one, 1050, 1)));
    await waitUntilExpired();
    for (let n = 0; n < 2; n += 1) await addJob(worker, task);
    await Promise.all([runDueJobs(worker), runDueJobs(otherWorker)]);
    expect(await queuedJobs(worker)).toEqual([]);
    // A worker leaves a tenant that the other one is at: what that one did not come to is for the next run.
    await addJob(worker, task);
    await runDueJobs(worker);
    expect(await releases(expired)).toEqual({ 1: 2100 });
    // So many new rows at once mislead the planner of the proofs below.
    await owner.query("analyze app_public.transactions, app_public.postings");
    for (const { tenantId, cash } of books) {
      expect(await countersOf(owner, cash)).toMatchObject({ pending: 0n, version: 2100 });
      expect(await findViolations(owner, tenantId)).toEqual([]);
    }
  });
});

describe("the next run", () => {
  test("is left to cron if nothing expires within the minute", async () => {
    await reserve(await openBooks(), 1, 90);
    await addJob(worker, task);
    await runDueJobs(worker);
    expect(await queuedJobs(worker)).toEqual([]);
  });

  test("is at the next expiry, if that is within the minute, and once", async () => {
    const books = await openBooks();
    const [next = ""] = await reserve(books, 1, 30);
    await reserve(books, 1, 40);
    for (let n = 0; n < 2; n += 1) {
      await addJob(worker, task);
      await runDueJobs(worker);
    }
    const { rows } = await owner.query<{ at: Date }>(
      "select date_trunc('milliseconds', expires_at) as at from app_public.transactions where id = $1",
      [next],
    );
    const jobs = await queuedJobs(worker);
    expect(jobs).toMatchObject([{ task, key: `${task}:next`, attempts: 0 }]);
    expect(jobs[0]?.runAt).toEqual(rows[0]?.at);
  });

  test("releases it, without anybody asking", async () => {
    const books = await openBooks();
    const expired = await reserve(books, 1, 1);
    await addJob(worker, task);
    await runDueJobs(worker);
    expect(await releases(expired)).toEqual({ 0: 1 });
    await waitUntilExpired();
    await runDueJobs(worker);
    expect(await releases(expired)).toEqual({ 1: 1 });
  });
});
