import { expect, test } from "@jest/globals";
import { workerPool } from "../../support/jobs.ts";
import { findViolations, sqlState } from "../../support/ledger.ts";
import {
  balancesOf,
  breaksOf,
  csvOf,
  importFile,
  lineOf,
  makePayment,
  makeReconciledBooks,
  matchAll,
} from "../../support/reconciliation.ts";
import { actAs } from "../../support/session.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/* Several who match, confirm and reject at once: every entry is matched once, and every payment settles once. */
const db = await createTestDatabase();
const owner = db.pool("owner", { max: 10 });
const worker = workerPool(db);
const user = (number: number): string => `00000000-0000-7000-8000-${String(number).padStart(12, "0")}`;

/** Runs `work` as accountants side by side; tells the code of each refusal, or "done". */
async function asPeople(tenantId: number, calls: [string, unknown[]][]): Promise<string[]> {
  return Promise.all(
    calls.map(async ([text, values], number) => {
      const client = await owner.connect();
      try {
        await actAs(client, { tenantId, role: "accountant", userId: user(number + 1) });
        return await client.query(text, values).then(
          () => "done",
          (error: unknown) => sqlState(error) ?? "unknown",
        );
      } finally {
        client.release(true);
      }
    }),
  );
}

test("two matchers at once do what one does", async () => {
  const books = await makeReconciledBooks(owner);
  const lines = [];
  for (let n = 0; n < 12; n += 1)
    lines.push(
      lineOf(await makePayment(owner, books, { amount: 100 + n, status: n % 2 === 0 ? "settled" : "submitted" })),
    );
  await importFile(worker, books, csvOf([...lines, { amount: 5000 }, { amount: -7000 }]));
  await Promise.all([matchAll(worker, books), matchAll(worker, books), matchAll(worker, books)]);
  expect((await breaksOf(owner, books)).map(({ amount }) => amount)).toEqual(["5000", "7000"]);
  const total = lines.reduce((sum, { amount }) => sum + amount, 0) - 2000;
  expect(await balancesOf(owner, books)).toEqual({ clearing: total, suspense: -2000, statement: total });
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
});

test("of many who confirm and reject a match exactly one decides", async () => {
  const books = await makeReconciledBooks(owner);
  for (let round = 0; round < 4; round += 1) {
    await makePayment(owner, books, { amount: 777 + round, status: "submitted" });
    await importFile(worker, books, csvOf([{ amount: 777 + round }]));
    await matchAll(worker, books);
    const { rows } = await owner.query<{ id: string }>(
      "select id from app_public.reconciliation_matches where tenant_id = $1 and status = 'proposed'",
      [books.tenantId],
    );
    expect(rows).toHaveLength(1);
    const outcomes = await asPeople(
      books.tenantId,
      [0, 1, 2, 3, 4, 5].map((n) => [
        n % 2 === 0 ? "select app_public.confirm_match($1)" : "select app_public.reject_match($1, 'no')",
        [rows[0]?.id],
      ]),
    );
    expect(outcomes.sort()).toEqual(["LG708", "LG708", "LG708", "LG708", "LG708", "done"]);
  }
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
});

test("people who match the same entry with different payments, while the job runs", async () => {
  const books = await makeReconciledBooks(owner);
  for (let n = 0; n < 4; n += 1) await makePayment(owner, books, { amount: 600, reference: `maybe ${n}` });
  await importFile(worker, books, csvOf([{ amount: 600, reference: "one of them" }]));
  const { rows } = await owner.query<{ entry: string; item: string }>(
    `select e.id as entry, i.id as item from app_public.statement_entries e, app_public.clearing_items i
     where e.tenant_id = $1 and i.tenant_id = $1`,
    [books.tenantId],
  );
  const [outcomes] = await Promise.all([
    asPeople(
      books.tenantId,
      rows.map(({ entry, item }) => [
        "select app_public.match_by_hand(array[$1::uuid], array[$2::uuid])",
        [entry, item],
      ]),
    ),
    matchAll(worker, books),
    matchAll(worker, books),
  ]);
  expect(outcomes.filter((outcome) => outcome === "done")).toHaveLength(1);
  expect(outcomes.filter((outcome) => outcome === "LG709")).toHaveLength(3);
  await matchAll(worker, books);
  expect(await balancesOf(owner, books)).toEqual({ clearing: 2400, suspense: 0, statement: 600 });
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
});

test("a payment that settles by an answer and by a statement at once settles once", async () => {
  const books = await makeReconciledBooks(owner);
  const payments = [];
  for (let n = 0; n < 10; n += 1)
    payments.push(await makePayment(owner, books, { amount: 50 + n, status: "submitted" }));
  await importFile(worker, books, csvOf(payments.map((payment) => lineOf(payment))));
  await Promise.all([
    matchAll(worker, books),
    ...payments.map(({ id }) =>
      owner.query("select app_private.settle_payment(app_private.system_actor($1), $1, $2)", [books.tenantId, id]),
    ),
  ]);
  await matchAll(worker, books);
  expect(await breaksOf(owner, books)).toEqual([]);
  expect(await balancesOf(owner, books)).toEqual({ clearing: 545, suspense: 0, statement: 545 });
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
});
