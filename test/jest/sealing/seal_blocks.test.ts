import { expect, test } from "@jest/globals";
import type pg from "pg";
import { addJob, queuedJobs, runDueJobs, workerPool } from "../../support/jobs.ts";
import { findViolations, mustPost, openAccounts, openTenant, postBatch, transfer } from "../../support/ledger.ts";
import { horizonPassed, sealAll, sealOnce } from "../../support/seal.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/* The job that seals, run by graphile-worker as in production. */
const task = "sealing/seal_blocks";
const db = await createTestDatabase();
const owner = db.pool("owner", { max: 12 });
const worker = workerPool(db);
const otherWorker = workerPool(db);

interface Books {
  tenantId: number;
  accounts: string[];
}

async function openBooks(accounts = 2): Promise<Books> {
  const tenantId = await openTenant(owner);
  return { tenantId, accounts: await openAccounts(owner, tenantId, accounts) };
}

async function post({ tenantId, accounts }: Books, count: number, client: pg.ClientBase | pg.Pool = owner) {
  const [debit = "", credit = ""] = accounts;
  await postBatch(
    client,
    tenantId,
    Array.from({ length: count }, () => ({ postings: transfer(debit, credit, 1) })),
  );
}

/** The blocks of a tenant: "number: first-last". */
async function blocks({ tenantId }: Books): Promise<string[]> {
  const { rows } = await owner.query<{ block: string }>(
    `select format('%s: %s-%s', number, first_position, last_position) as block
     from app_public.seal_blocks where tenant_id = $1 and stream = 'ledger' order by number`,
    [tenantId],
  );
  return rows.map(({ block }) => block);
}

/** The transactions in the order of the ledger, and in the order of the leaves. */
async function orders({ tenantId }: Books): Promise<{ ledger: string[]; leaves: string[] }> {
  const { rows: ledger } = await owner.query<{ id: string }>(
    "select id from app_public.transactions where tenant_id = $1 order by xact_id, id",
    [tenantId],
  );
  const { rows: leaves } = await owner.query<{ id: string }>(
    `select id from app_hidden.sealed_leaves where tenant_id = $1 and stream = 'ledger' order by number, leaf_index`,
    [tenantId],
  );
  return { ledger: ledger.map(({ id }) => id), leaves: leaves.map(({ id }) => id) };
}

test("seals what has been posted, in its order, and a second time changes nothing", async () => {
  const books = await openBooks();
  await post(books, 5);
  await horizonPassed(worker);
  await addJob(worker, task);
  await runDueJobs(worker);
  expect(await blocks(books)).toEqual(["1: 1-5"]);
  await addJob(worker, task);
  await runDueJobs(worker);
  expect(await blocks(books)).toEqual(["1: 1-5"]);
  await post(books, 3);
  await sealAll(worker);
  expect(await blocks(books)).toEqual(["1: 1-5", "2: 6-8"]);
  const { ledger, leaves } = await orders(books);
  expect(leaves).toEqual(ledger);
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
  expect((await queuedJobs(worker)).map(({ lastError }) => lastError)).toEqual([]);
});

test("a block holds as many as are asked for, and the next one goes on", async () => {
  const books = await openBooks();
  await post(books, 10);
  await sealAll(worker, 4);
  expect(await blocks(books)).toEqual(["1: 1-4", "2: 5-8", "3: 9-10"]);
});

test("nothing is sealed before what is still being posted, and nobody waits for the other", async () => {
  const books = await openBooks();
  await db.withClient("owner", async (writer) => {
    await post(books, 2);
    await horizonPassed(worker);
    await writer.query("begin");
    await post(books, 1, writer);
    // Another account, so that the writers do not meet each other.
    const other = { tenantId: books.tenantId, accounts: await openAccounts(owner, books.tenantId, 2) };
    await post(other, 1);
    await worker.query("set lock_timeout = '1s'");
    await sealOnce(worker);
    expect(await blocks(books)).toEqual(["1: 1-2"]);
    await writer.query("commit");
    await sealAll(worker);
    expect(await blocks(books)).toEqual(["1: 1-2", "2: 3-4"]);
    const { ledger, leaves } = await orders(books);
    expect(leaves).toEqual(ledger);
  });
});

test("posting goes on while a sealing database transaction is open", async () => {
  const books = await openBooks();
  await post(books, 20);
  await horizonPassed(worker);
  await db.withClient("worker", async (sealer) => {
    await sealer.query("begin");
    await sealer.query("select app_private.seal()");
    await db.withClient("owner", async (writer) => {
      await writer.query("set lock_timeout = '100ms'; set statement_timeout = '5s'");
      await post(books, 10, writer);
      const id = await mustPost(writer, books.tenantId, {
        kind: "pending",
        postings: transfer(books.accounts[0] ?? "", books.accounts[1] ?? "", 5),
      });
      await mustPost(writer, books.tenantId, { kind: "void_pending", pendingId: id });
    });
    expect(await blocks(books)).toEqual([]);
    await sealer.query("commit");
  });
  expect(await blocks(books)).toEqual(["1: 1-20"]);
  await sealAll(worker);
  expect(await blocks(books)).toEqual(["1: 1-20", "2: 21-32"]);
});

test("two sealers at once make one chain, and the second passes the first by", async () => {
  const books = await openBooks();
  await sealAll(worker);
  await post(books, 6);
  await horizonPassed(worker);
  await db.withClient("worker", async (first) => {
    await first.query("begin");
    await first.query("select app_private.seal(3)");
    await otherWorker.query("set lock_timeout = '100ms'");
    expect(await sealOnce(otherWorker, 3)).toBe(0);
    await first.query("commit");
  });
  await sealAll(otherWorker, 3);
  expect(await blocks(books)).toEqual(["1: 1-3", "2: 4-6"]);
});

test("a sealer that is killed leaves nothing half done", async () => {
  const books = await openBooks();
  await post(books, 6);
  await horizonPassed(worker);
  await db.withClient("worker", async (sealer) => {
    sealer.on("error", () => undefined);
    await sealer.query("begin");
    await sealer.query("select app_private.seal()");
    const { rows } = await sealer.query<{ pid: number }>("select pg_backend_pid() as pid");
    await db.withClient("superuser", (c) => c.query("select pg_terminate_backend($1, 5000)", [rows[0]?.pid]));
  });
  expect(await blocks(books)).toEqual([]);
  await sealAll(worker);
  expect(await blocks(books)).toEqual(["1: 1-6"]);
});

test("several sealers while many post: each transaction once, in its order, and the checks are empty", async () => {
  const tenants = [await openBooks(24), await openBooks(24)];
  let posting = true;
  const write = async (n: number): Promise<void> => {
    const client = await owner.connect();
    try {
      for (let round = 0; round < 15; round += 1) {
        const { tenantId, accounts = [] } = tenants[round % 2] ?? { tenantId: 0 };
        const own = { tenantId, accounts: accounts.slice(2 * n, 2 * n + 2) };
        await client.query("begin");
        await post(own, 3, client);
        await client.query("select pg_sleep($1)", [(n * 7 + round * 3) / 4000]);
        await post(own, 2, client);
        await client.query("commit");
      }
    } finally {
      client.release();
    }
  };
  const sealing = [worker, otherWorker].map(async (pool) => {
    while (posting) await sealOnce(pool, 7);
  });
  await Promise.all(Array.from({ length: 8 }, (_, n) => write(n)));
  posting = false;
  await Promise.all(sealing);
  await sealAll(worker, 7);
  for (const books of tenants) {
    const { ledger, leaves } = await orders(books);
    expect(ledger.length).toBeGreaterThanOrEqual(8 * 7 * 5);
    expect(leaves).toEqual(ledger);
    expect((await blocks(books)).length).toBeGreaterThan(5);
    expect(await findViolations(owner, books.tenantId)).toEqual([]);
  }
});
