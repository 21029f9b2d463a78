import { expect, test } from "@jest/globals";
import { workerPool } from "../../support/jobs.ts";
import { findViolations, openAccount, sqlState } from "../../support/ledger.ts";
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

/* Money that a statement takes back after it was spent: in suspense until a person has found it. */
const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = workerPool(db);
const abe = "00000000-0000-7000-8000-000000000001";
const books = await makeReconciledBooks(owner);

async function as(role: "accountant" | "admin", text: string, values: unknown[]): Promise<string | undefined> {
  const client = await owner.connect();
  try {
    await actAs(client, { tenantId: books.tenantId, role, userId: abe });
    const { rows } = await client.query<{ value: string }>(`select (${text})::text as value`, values);
    return rows[0]?.value;
  } catch (error) {
    return sqlState(error);
  } finally {
    client.release(true);
  }
}

const transfer = `(app_public.post_transaction(row('posted', array[
  row($1, 'debit', 700)::app_public.posting_input, row($2, 'credit', 700)::app_public.posting_input
], null, null, null, null, null, null, null, null)::app_public.transaction_input)).transaction_id is not null`;

async function reconcile(...lines: Parameters<typeof csvOf>[0][number][]): Promise<void> {
  await importFile(worker, books, csvOf(lines));
  await matchAll(worker, books);
}

test("is in suspense, and the payment is left to people, who return it once the money is there", async () => {
  const account = await openAccount(owner, books.tenantId, { type: "liability", minimum: 0 });
  const payment = await makePayment(owner, { ...books, account });
  await reconcile(lineOf(payment));
  expect(await balancesOf(owner, books)).toEqual({ clearing: 1000, suspense: 0, statement: 1000 });
  expect(await as("accountant", transfer, [account, books.account])).toBe("true");
  await reconcile(lineOf(payment, { amount: -1000, returnReason: "MD06" }));
  expect(await balancesOf(owner, books)).toEqual({ clearing: 0, suspense: -1000, statement: 0 });
  const { rows } = await owner.query<{ id: string; reason: string }>(
    "select id, reason from app_public.dead_letters where tenant_id = $1",
    [books.tenantId],
  );
  expect(rows).toMatchObject([{ reason: "return_refused" }]);
  // People have it now: however many there are like it, they keep no other return from being booked.
  const { rows: toReturn } = await owner.query("select from app_private.payments_to_return($1, $2, 'USD')", [
    books.tenantId,
    "bank",
  ]);
  expect(toReturn).toEqual([]);
  const rerun = "(app_public.rerun_dead_letter($1)).resolution";
  expect(await as("accountant", rerun, [rows[0]?.id])).toBe("LG202");
  expect(await as("accountant", transfer, [books.expense, account])).toBe("true");
  expect(await as("accountant", rerun, [rows[0]?.id])).toBe("rerun");
  await matchAll(worker, books);
  expect(await balancesOf(owner, books)).toEqual({ clearing: 0, suspense: 0, statement: 0 });
  expect(await breaksOf(owner, books)).toEqual([]);
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
});

test("a provider that is reconciled keeps its accounts", async () => {
  const other = await openAccount(owner, books.tenantId);
  const set = "(app_public.set_payment_provider_account('bank', 'USD', $1, $2)).currency";
  expect(await as("admin", set, [other, books.suspense])).toBe("LG618");
  expect(await as("admin", set, [books.clearing, other])).toBe("LG618");
  expect(await as("admin", set, [books.clearing, books.suspense])).toBe("USD");
});
