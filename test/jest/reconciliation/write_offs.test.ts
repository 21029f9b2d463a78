import { beforeEach, expect, test } from "@jest/globals";
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
  type ReconciledBooks,
} from "../../support/reconciliation.ts";
import { actAs } from "../../support/session.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/* What is given up is posted once a second person has agreed, as long as it is still open. */
const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = workerPool(db);
const abe = "00000000-0000-7000-8000-000000000001";
const ada = "00000000-0000-7000-8000-000000000002";
let books: ReconciledBooks;

beforeEach(async () => {
  books = await makeReconciledBooks(owner);
});

async function as(userId: string, text: string, values: unknown[]): Promise<string> {
  const client = await owner.connect();
  try {
    await actAs(client, { tenantId: books.tenantId, role: "accountant", userId });
    const { rows } = await client.query<{ value: string }>(`select (${text})::text as value`, values);
    return rows[0]?.value ?? "";
  } catch (error) {
    return sqlState(error) ?? String(error);
  } finally {
    client.release(true);
  }
}

async function idOf(table: "clearing_items" | "statement_entries"): Promise<string> {
  const { rows } = await owner.query<{ id: string }>(
    `select id from app_public.${table} where tenant_id = $1 order by id desc limit 1`,
    [books.tenantId],
  );
  return rows[0]?.id ?? "";
}

const proposeEntry = "(app_public.propose_write_off('too small to ask', $2, entry_id => $1)).proposal_id";
const proposeItem = "(app_public.propose_write_off('it never came', $2, item_id => $1)).proposal_id";
const approve = "(app_public.approve_proposal($1)).transaction_id is not null";

test("an entry: out of suspense, and no break any more", async () => {
  await importFile(worker, books, csvOf([{ amount: 40 }, { amount: -25 }]));
  await matchAll(worker, books);
  for (const entry of await entryIds()) {
    const proposal = await as(abe, proposeEntry, [entry, books.expense]);
    expect(await as(abe, proposeEntry, [entry, books.expense])).toBe("LG712");
    expect(await as(abe, approve, [proposal])).toBe("LG430");
    expect(await as(ada, approve, [proposal])).toBe("true");
  }
  expect(await breaksOf(owner, books)).toEqual([]);
  expect(await balancesOf(owner, books)).toEqual({ clearing: 15, suspense: 0, statement: 15 });
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
});

async function entryIds(): Promise<string[]> {
  const { rows } = await owner.query<{ id: string }>(
    "select id from app_public.statement_entries where tenant_id = $1 order by id",
    [books.tenantId],
  );
  return rows.map(({ id }) => id);
}

test("an item that no statement has: off the clearing account", async () => {
  const here = await makePayment(owner, books, { amount: 100 });
  await makePayment(owner, books, { amount: 60, kind: "pay_out" });
  await importFile(worker, books, csvOf([lineOf(here)]));
  await matchAll(worker, books);
  const item = await idOf("clearing_items");
  const proposal = await as(abe, proposeItem, [item, books.expense]);
  expect(await as(ada, approve, [proposal])).toBe("true");
  await matchAll(worker, books);
  expect(await breaksOf(owner, books)).toEqual([]);
  expect(await balancesOf(owner, books)).toEqual({ clearing: 100, suspense: 0, statement: 100 });
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
});

test("what is left of a difference", async () => {
  const payment = await makePayment(owner, books, { amount: 100 });
  await importFile(worker, books, csvOf([lineOf(payment, { amount: 97 })]));
  await matchAll(worker, books);
  const [entry, item] = [await idOf("statement_entries"), await idOf("clearing_items")];
  expect(
    await as(abe, "(app_public.match_by_hand(array[$1::uuid], array[$2::uuid])).id is not null", [entry, item]),
  ).toBe("true");
  expect(await breaksOf(owner, books)).toMatchObject([{ kind: "amount_differs", amount: "3" }]);
  expect(await as(ada, approve, [await as(abe, proposeItem, [item, books.expense])])).toBe("true");
  expect(await breaksOf(owner, books)).toEqual([]);
  expect(await balancesOf(owner, books)).toEqual({ clearing: 97, suspense: 0, statement: 97 });
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
});

test("a proposal whose money has been matched meanwhile is refused, and can be rejected", async () => {
  await importFile(worker, books, csvOf([{ amount: 40, reference: "late one" }]));
  await matchAll(worker, books);
  const proposal = await as(abe, proposeEntry, [await idOf("statement_entries"), books.expense]);
  await makePayment(owner, books, { amount: 40, reference: "late one" });
  await matchAll(worker, books);
  expect(await as(ada, approve, [proposal])).toBe("LG714");
  expect(await as(ada, "(app_public.reject_proposal($1, 'found')).id is not null", [proposal])).toBe("true");
  expect(await balancesOf(owner, books)).toEqual({ clearing: 40, suspense: 0, statement: 40 });
});

test("what is refused at once", async () => {
  await importFile(worker, books, csvOf([{ amount: 40 }]));
  const entry = await idOf("statement_entries");
  // Not in suspense yet.
  expect(await as(abe, proposeEntry, [entry, books.expense])).toBe("LG712");
  await matchAll(worker, books);
  expect(await as(abe, proposeEntry, [entry, books.suspense])).toBe("LG712");
  expect(await as(abe, proposeEntry, [abe, books.expense])).toBe("LG710");
  expect(await as(abe, proposeItem, [abe, books.expense])).toBe("LG711");
  expect(await as(abe, "app_public.propose_write_off('why', $1) is null", [books.expense])).toBe("LG712");
  await makePayment(owner, books, { status: "submitted" });
  expect(await as(abe, proposeItem, [await idOf("clearing_items"), books.expense])).toBe("LG712");
});
