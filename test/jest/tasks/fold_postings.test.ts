import { expect, test } from "@jest/globals";
import { addJob, queuedJobs, runDueJobs, workerPool } from "../../support/jobs.ts";
import { findViolations, openAccounts, openTenant, postBatch, transfer } from "../../support/ledger.ts";
import { createTestDatabase } from "../../support/test_database.ts";
import { randomNumbers } from "../concurrency/crowd.ts";

/* The job that folds postings into blocks, run by graphile-worker as in production. */
const task = "ledger/fold_postings";
const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = workerPool(db);
const otherWorker = workerPool(db);
const random = randomNumbers(1);
const blockSize = 64;

interface Books {
  tenantId: number;
  accounts: [string, string];
}

async function openBooks(): Promise<Books> {
  const tenantId = await openTenant(owner);
  const [cash = "", sales = ""] = await openAccounts(owner, tenantId, 2);
  return { tenantId, accounts: [cash, sales] };
}

/** Posts `count` transactions whose effective times come in no order. */
async function post({ tenantId, accounts }: Books, count: number): Promise<void> {
  const items = Array.from({ length: count }, () => ({
    postings: transfer(...accounts, 1 + random(100)),
    effectiveAt: new Date(Date.UTC(2025, random(12), 1 + random(28), random(24))).toISOString(),
  }));
  for (const { code } of await postBatch(owner, tenantId, items)) expect(code).toBeNull();
}

/** What is folded: the blocks with all that is in them, and how many postings of each account they cover. */
async function folded({ tenantId }: Books): Promise<{ blocks: string; covered: number[] }> {
  const { rows } = await owner.query<{ blocks: string; covered: number[] }>(
    `select
       (select json_agg(b order by b.account_id, b.level, b.block_no)::text
        from app_hidden.posting_blocks b where b.tenant_id = $1)
       || (select coalesce(json_agg(e order by e.account_id, e.level, e.block_no, e.effective_at), '[]')::text
           from app_hidden.posting_block_entries e where e.tenant_id = $1) as blocks,
       array(
         select count(b.account_id)::integer * ${blockSize}
         from app_public.accounts a
         left join app_hidden.posting_blocks b on b.tenant_id = a.tenant_id and b.account_id = a.id and b.level = 0
         where a.tenant_id = $1
         group by a.id
       ) as covered`,
    [tenantId],
  );
  return rows[0] ?? { blocks: "", covered: [] };
}

/** The balance of the first account on the first of each month, as the function for it and as a plain sum. */
async function balances({ tenantId, accounts }: Books): Promise<{ answered: string[]; summed: string[] }> {
  const { rows } = await owner.query<{ answered: string; summed: string }>(
    `select (a.debits - a.credits)::text as answered,
       (select coalesce(sum(case p.direction when 'debit' then 1 else -1 end * p.posted_amount::numeric), 0)::text
        from app_public.postings p
        where p.tenant_id = $1 and p.account_id = $2 and p.effective_at <= m) as summed
     from generate_series(timestamptz '2025-01-01Z', timestamptz '2026-01-01Z', interval '1 month') as m
     cross join (select version from app_public.account_balances where account_id = $2) b
     cross join lateral app_hidden.posted_as_of($1, array[$2::uuid], array[b.version], m) a
     order by m`,
    [tenantId, accounts[0]],
  );
  return { answered: rows.map((row) => row.answered), summed: rows.map((row) => row.summed) };
}

/** Runs the job until so much is covered: another database transaction on the server may hold it up. */
async function foldAll(books: Books[], postings: number): Promise<void> {
  const whole = postings - (postings % blockSize);
  for (let attempt = 0; attempt < 100; attempt += 1) {
    await addJob(worker, task);
    await addJob(worker, task);
    await Promise.all([runDueJobs(worker), runDueJobs(otherWorker)]);
    const covered = (await Promise.all(books.map(folded))).flatMap((one) => one.covered);
    if (covered.every((count) => count >= whole)) return;
    await owner.query("select pg_sleep(0.1)");
  }
}

test("folds what has been posted, and a second time changes nothing", async () => {
  const books = await openBooks();
  await post(books, 1100);
  const before = await balances(books);
  expect(before.answered).toEqual(before.summed);
  await foldAll([books], 1100);
  const first = await folded(books);
  expect(first.covered).toEqual([1088, 1088]);
  expect(await balances(books)).toEqual(before);
  await addJob(worker, task);
  await runDueJobs(worker);
  expect(await folded(books)).toEqual(first);
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
  expect(await queuedJobs(worker)).toEqual([]);
});

test("goes on where it stopped, with two workers at once and while others post", async () => {
  const books = [await openBooks(), await openBooks(), await openBooks()];
  for (let round = 1; round <= 4; round += 1) {
    await Promise.all([...books.map((one) => post(one, 150)), foldAll([], 0)]);
  }
  await foldAll(books, 600);
  for (const one of books) {
    expect((await folded(one)).covered).toEqual([576, 576]);
    const { answered, summed } = await balances(one);
    expect(answered).toEqual(summed);
    expect(await findViolations(owner, one.tenantId)).toEqual([]);
  }
  expect(await queuedJobs(worker)).toEqual([]);
});
