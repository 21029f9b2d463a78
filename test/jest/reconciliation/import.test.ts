import { beforeEach, describe, expect, test } from "@jest/globals";
import { camtXml } from "../../support/camt.ts";
import { workerPool } from "../../support/jobs.ts";
import { findViolations, openAccount, sqlState } from "../../support/ledger.ts";
import { makeProvider } from "../../support/payments.ts";
import {
  balancesOf,
  breaksOf,
  csvOf,
  importFile,
  makePayment,
  makeReconciledBooks,
  matchAll,
  type ReconciledBooks,
} from "../../support/reconciliation.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/* Statements come into the books whole and once, each where the last one ended. */
const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = workerPool(db);
let books: ReconciledBooks;

beforeEach(async () => {
  books = await makeReconciledBooks(owner);
});

async function counts(): Promise<{ statements: number; entries: number }> {
  const { rows } = await owner.query<{ statements: number; entries: number }>(
    `select (select count(*)::integer from app_public.statements where tenant_id = $1) as statements,
       (select count(*)::integer from app_public.statement_entries where tenant_id = $1 and ordinal > 0) as entries`,
    [books.tenantId],
  );
  return rows[0] ?? { statements: -1, entries: -1 };
}

async function refusal(work: Promise<unknown>): Promise<object> {
  const error = await work.then(
    () => new Error("It was not refused."),
    (one: Error & { detail?: string }) => one,
  );
  const detail = "detail" in error && error.detail?.startsWith("{") ? error.detail : "{}";
  return { code: sqlState(error), ...(JSON.parse(detail) as object) };
}

const statement = (id: string, opening: string, closing: string, amounts: string[]): string =>
  camtXml({
    id,
    currency: "USD",
    opening,
    closing,
    entries: amounts.map((amount, index) => ({
      amount: amount.replace("-", ""),
      direction: amount.startsWith("-") ? "DBIT" : "CRDT",
      text: `${id} ${index}`,
    })),
  });

describe("the same again", () => {
  test("a statement with balances: nothing is done", async () => {
    const file = csvOf([{ amount: 100 }, { amount: -30 }], 0);
    const [first] = await importFile(worker, books, file);
    const [second] = await importFile(worker, books, file);
    expect(first).toMatchObject({ isKnown: false, entries: 2, openingBalance: "0", closingBalance: "70" });
    expect(second).toEqual({ ...first, isKnown: true });
    expect(await counts()).toEqual({ statements: 1, entries: 2 });
  });

  test("a list without balances: what it tells anew is imported", async () => {
    await importFile(worker, books, csvOf([{ id: "a", amount: 100 }]));
    const file = csvOf([
      { id: "a", amount: 100 },
      { id: "b", amount: 200 },
    ]);
    expect(await importFile(worker, books, file)).toMatchObject([{ entries: 1, skipped: 1, openingBalance: "100" }]);
    expect(await importFile(worker, books, file)).toEqual([]);
    expect(await counts()).toEqual({ statements: 2, entries: 2 });
  });

  test("by several at once: it is there once", async () => {
    const file = csvOf([{ amount: 100 }], 0);
    const all = await Promise.all([1, 2, 3, 4].map(() => importFile(worker, books, file)));
    expect(all.flat().filter(({ isKnown }) => !isKnown)).toHaveLength(1);
    expect(await counts()).toEqual({ statements: 1, entries: 1 });
  });

  test("an entry in another statement, or twice in one, is refused, and all of its file", async () => {
    await importFile(worker, books, csvOf([{ id: "a", amount: 100 }], 0));
    const again = csvOf(
      [
        { id: "b", amount: 5 },
        { id: "a", amount: 7 },
      ],
      100,
    );
    expect(await refusal(importFile(worker, books, again))).toMatchObject({ code: "LG705", entryId: "a" });
    const twice = csvOf(
      [
        { id: "c", amount: 5 },
        { id: "c", amount: 7 },
      ],
      100,
    );
    expect(await refusal(importFile(worker, books, twice))).toMatchObject({ code: "LG705", entryId: "c" });
    expect(await counts()).toEqual({ statements: 1, entries: 1 });
  });
});

describe("balances", () => {
  test("entries that are missing are told by the difference", async () => {
    const file = statement("S1", "0.00", "12.00", ["10.00"]);
    expect(await refusal(importFile(worker, books, file, { format: "camt" }))).toMatchObject({
      code: "LG702",
      openingBalance: "0",
      entries: "1000",
      closingBalance: "1200",
      difference: "200",
    });
    expect(await counts()).toEqual({ statements: 0, entries: 0 });
  });

  test("a statement that is missing too", async () => {
    await importFile(worker, books, statement("S1", "5.00", "15.00", ["10.00"]), { format: "camt" });
    const third = statement("S3", "20.00", "19.00", ["-1.00"]);
    expect(await refusal(importFile(worker, books, third, { format: "camt" }))).toMatchObject({
      code: "LG703",
      expected: "1500",
      openingBalance: "2000",
      difference: "500",
    });
    await importFile(worker, books, statement("S2", "15.00", "20.00", ["5.00"]), { format: "camt" });
    await importFile(worker, books, third, { format: "camt" });
    await matchAll(worker, books);
    // 5.00 of it is what the first began with.
    expect(await balancesOf(owner, books)).toEqual({ clearing: 1900, suspense: 1900, statement: 1900 });
    expect(await findViolations(owner, books.tenantId)).toEqual([]);
  });

  test("another statement under the same reference is refused", async () => {
    await importFile(worker, books, statement("S1", "0.00", "10.00", ["10.00"]), { format: "camt" });
    const other = statement("S1", "10.00", "11.00", ["1.00"]);
    expect(await refusal(importFile(worker, books, other, { format: "camt" }))).toMatchObject({
      code: "LG704",
      reference: "S1",
    });
  });

  test("there is never a part of a statement", async () => {
    const client = await worker.connect();
    await client.query("begin");
    const { rows } = await client.query("select * from app_private.begin_statement($1, 'bank', 'USD', 'S1', $2, 1)", [
      books.tenantId,
      Buffer.alloc(32),
    ]);
    await client.query("select app_private.add_statement_entries($1, $2, 'bank', 'USD', $3)", [
      books.tenantId,
      rows[0]?.statement_id,
      JSON.stringify([{ entryId: "a", ordinal: 1, flow: "in", amount: "5", bookedAt: "2026-11-20T00:00:00Z" }]),
    ]);
    const outcome = await refusal(client.query("commit"));
    client.release();
    expect(outcome).toMatchObject({ code: "23503" });
    expect(await counts()).toEqual({ statements: 0, entries: 0 });
  });

  test("nothing is added to a statement that is complete", async () => {
    const [made] = await importFile(worker, books, csvOf([{ amount: 100 }], 0));
    const adding = worker.query("select app_private.add_statement_entries($1, $2, 'bank', 'USD', '[]')", [
      books.tenantId,
      made?.id,
    ]);
    expect(await refusal(adding)).toMatchObject({ code: "LG704" });
  });
});

describe("accounts", () => {
  test("a currency in which the provider has none is refused", async () => {
    const file = csvOf([{ amount: 1, currency: "EUR" }]);
    expect(await refusal(importFile(worker, books, file))).toMatchObject({ code: "LG701", currency: "EUR" });
    expect(await refusal(importFile(worker, books, csvOf([{ amount: 1 }]), { providerCode: "none" }))).toMatchObject({
      code: "LG701",
    });
  });

  test("two providers do not share one", async () => {
    await makeProvider(owner, books.tenantId, { code: "second" });
    await owner.query(
      `update app_public.payment_provider_accounts set clearing_account_id = $2
       where tenant_id = $1 and provider_code = 'second'`,
      [books.tenantId, books.clearing],
    );
    await importFile(worker, books, csvOf([{ amount: 1 }]));
    expect(await refusal(importFile(worker, books, csvOf([{ amount: 1 }]), { providerCode: "second" }))).toMatchObject({
      code: "LG706",
    });
  });

  test("those that are reconciled stay the provider's", async () => {
    await importFile(worker, books, csvOf([{ amount: 1 }]));
    const other = await openAccount(owner, books.tenantId);
    const change = owner.query(
      "update app_public.payment_provider_accounts set clearing_account_id = $2 where tenant_id = $1",
      [books.tenantId, other],
    );
    expect(await refusal(change)).toMatchObject({ code: "23503" });
  });
});

describe("the report of the simulated provider", () => {
  const report = (payments: object[]): string =>
    JSON.stringify({
      payments: payments.map((payment, n) => ({
        id: `simpay_${n}`,
        currency: "USD",
        exponent: 2,
        at: "2026-11-20T10:00:00.000Z",
        ...payment,
      })),
    });

  test("tells everything each time, and is imported as it grows", async () => {
    const one = await makePayment(owner, books, { status: "submitted", amount: 500 });
    const two = await makePayment(owner, books, { kind: "pay_out", status: "submitted", amount: 300 });
    const first = { reference: one.id.replaceAll("-", ""), kind: "pay_in", amount: "500" };
    const second = { reference: two.id.replaceAll("-", ""), kind: "pay_out", amount: "300" };
    const options = { format: "report" } as const;
    await importFile(
      worker,
      books,
      report([
        { ...first, state: "settled" },
        { ...second, state: "submitted" },
      ]),
      options,
    );
    await matchAll(worker, books);
    expect(await balancesOf(owner, books)).toEqual({ clearing: 500, suspense: 0, statement: 500 });
    const later = report([
      { ...first, state: "settled" },
      { ...second, state: "returned", errorCode: "AC04" },
    ]);
    expect(await importFile(worker, books, later, options)).toMatchObject([{ entries: 2, skipped: 1 }]);
    await matchAll(worker, books);
    expect(await importFile(worker, books, later, options)).toEqual([]);
    expect(await breaksOf(owner, books)).toEqual([]);
    expect(await balancesOf(owner, books)).toEqual({ clearing: 500, suspense: 0, statement: 500 });
    expect(await findViolations(owner, books.tenantId)).toEqual([]);
  });
});
