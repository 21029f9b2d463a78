import { beforeAll, expect, test } from "@jest/globals";
import { readExamples } from "../../support/examples.ts";
import { workerPool } from "../../support/jobs.ts";
import { findViolations, openAccount } from "../../support/ledger.ts";
import { makeProvider } from "../../support/payments.ts";
import { importFile, makePayment, matchAll, type ReconciledBooks } from "../../support/reconciliation.ts";
import { bootApi, type Caller } from "../api/_api.ts";

/** Runs the examples of docs/how-to/reconcile-statements.md in order. */
const api = await bootApi();
const owner = api.db.pool("owner");
const worker = workerPool(api.db);
const examples = readExamples("docs/how-to/reconcile-statements.md");
const ids = new Map<string, string>();
const accountant: Caller = { role: "accountant", user: "00000000-0000-7000-8000-000000000b01" };
const admin: Caller = { role: "admin", user: "00000000-0000-7000-8000-000000000b02" };
let books: ReconciledBooks;

beforeAll(async () => {
  const tenantId = api.books.tenant;
  const { clearing, suspense } = await makeProvider(owner, tenantId, { code: "bank" });
  const expense = await openAccount(owner, tenantId, { type: "expense" });
  books = { tenantId, account: await openAccount(owner, tenantId, { type: "liability" }), clearing, suspense, expense };
  const payment = await makePayment(owner, books, { amount: 1200, status: "submitted" });
  ids.set("payment", payment.id).set("expense", expense);
});

// biome-ignore lint/suspicious/noExplicitAny: each test knows the shape of what it asked for.
async function run(number: number, caller = accountant): Promise<any> {
  const { query = "", variables = "{}" } = examples[number] ?? {};
  const filled = variables.replace(/<(\w+)>/g, (_, name: string) => ids.get(name) ?? `no ${name}`);
  return api.get(query, JSON.parse(filled), caller);
}

test("a statement is imported once", async () => {
  const statements = [{ openingBalance: "0", closingBalance: "850", entryCount: 2 }];
  expect(await run(0)).toMatchObject({ importStatement: { isKnown: false, statements } });
  expect(await run(0)).toMatchObject({ importStatement: { isKnown: true, statements } });
});

test("a file that cannot be read, and one that is too large, say so", async () => {
  const { query = "" } = examples[0] ?? {};
  const bad = await api.ask(query, { content: "entry_id,amount\n" }, accountant);
  expect(bad.errors[0]?.extensions).toMatchObject({ code: "LG700", detail: { place: "line 1" } });
  const large = await api.ask(query, { content: "x".repeat(1_500_001) }, accountant);
  expect(large.errors[0]?.extensions).toMatchObject({ code: "LG715" });
});

test("a rule is changed, and the job matches", async () => {
  expect(await run(1)).toEqual({ setMatchingRule: { matchingRule: { name: "Our reference", tolerance: "5" } } });
  await matchAll(worker, books);
});

test("what is left is a break", async () => {
  const { reconciliationBreakList, reconciliationBreakTotals } = await run(2);
  expect(reconciliationBreakList.nodes).toMatchObject([
    { kind: "PAYMENT_MISSING", amountFormatted: "3.50", currencyCode: "USD", flow: "OUT" },
  ]);
  expect(reconciliationBreakTotals).toMatchObject([{ kind: "PAYMENT_MISSING", breakCount: 1, amount: "350" }]);
  ids.set("entry", reconciliationBreakList.nodes[0].entryId);
});

test("it is written off by two people", async () => {
  const { proposeWriteOff } = await run(3);
  expect(proposeWriteOff.writeOff.amount).toBe("350");
  ids.set("proposal", proposeWriteOff.writeOff.proposalId);
  const alone = await api.ask(examples[4]?.query ?? "", { proposal: ids.get("proposal") }, accountant);
  expect(alone.errors[0]?.extensions.code).toBe("LG430");
  await run(4, admin);
  expect((await run(2)).reconciliationBreakList.nodes).toEqual([]);
});

test("the day is reported once, and never changes", async () => {
  const record = (): Promise<unknown> => worker.query("select app_private.record_reconciliation_reports('2026-11-20')");
  await record();
  const first = await run(5);
  expect(first).toMatchObject({
    reconciliationReport: [{ providerCode: "bank", clearingBalance: "850", suspenseBalance: "0", breakCount: 0 }],
    reconciledAccounts: {
      nodes: [{ figures: { statementBalance: "850", inFlightAmount: "0", unexplainedAmount: "0" } }],
    },
  });
  await importFile(worker, books, "entry_id,booked_on,amount,currency\nlate,2026-11-21,1.00,USD\n");
  await matchAll(worker, books);
  await record();
  expect((await run(5)).reconciliationReport).toEqual(first.reconciliationReport);
  const events = await owner.query(
    "select from app_private.outbox where tenant_id = $1 and kind = 'reconciliation.reported'",
    [books.tenantId],
  );
  expect(events.rowCount).toBe(1);
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
});
