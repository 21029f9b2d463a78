import { beforeEach, describe, expect, test } from "@jest/globals";
import { workerPool } from "../../support/jobs.ts";
import { findViolations, mustPost, openAccount, transfer } from "../../support/ledger.ts";
import { makeProvider } from "../../support/payments.ts";
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
  today,
} from "../../support/reconciliation.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/* Every difference that may be between a statement and the books, planted and found. */
const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = workerPool(db);
let books: ReconciledBooks;

beforeEach(async () => {
  books = await makeReconciledBooks(owner);
});

async function reconcile(...lines: Parameters<typeof csvOf>[0][number][]): Promise<void> {
  await importFile(worker, books, csvOf(lines));
  await matchAll(worker, books);
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
}

async function statusOf(id: string): Promise<string | undefined> {
  const { rows } = await owner.query<{ status: string }>(
    "select status from app_public.payments where tenant_id = $1 and id = $2",
    [books.tenantId, id],
  );
  return rows[0]?.status;
}

describe("what agrees", () => {
  test("payments that have settled are matched, and nothing is posted", async () => {
    const one = await makePayment(owner, books, { amount: 1000 });
    const two = await makePayment(owner, books, { amount: 700, kind: "pay_out" });
    await reconcile(lineOf(one), lineOf(two));
    expect(await breaksOf(owner, books)).toEqual([]);
    expect(await balancesOf(owner, books)).toEqual({ clearing: 300, suspense: 0, statement: 300 });
  });

  test("a payment that was only submitted settles by the statement", async () => {
    const payment = await makePayment(owner, books, { status: "submitted" });
    await reconcile(lineOf(payment));
    expect(await statusOf(payment.id)).toBe("settled");
    expect(await breaksOf(owner, books)).toEqual([]);
    expect(await balancesOf(owner, books)).toEqual({ clearing: 1000, suspense: 0, statement: 1000 });
  });

  test("the reference of the provider, and references that a bank has folded", async () => {
    const one = await makePayment(owner, books, { providerReference: "PSP-77/1" });
    const two = await makePayment(owner, books, { amount: 500, reference: "Invoice 4711 b" });
    await reconcile(
      { amount: one.amount, providerReference: "psp771" },
      { amount: two.amount, reference: "INVOICE-4711-B" },
    );
    expect(await breaksOf(owner, books)).toEqual([]);
  });

  test("one entry for several payments", async () => {
    const payments = [];
    for (const amount of [100, 200, 300])
      payments.push(
        await makePayment(owner, books, { amount, kind: "pay_out", reference: "Salaries 11", status: "submitted" }),
      );
    await reconcile({ amount: -600, reference: "SALARIES 11" });
    expect(await breaksOf(owner, books)).toEqual([]);
    for (const { id } of payments) expect(await statusOf(id)).toBe("settled");
    expect(await balancesOf(owner, books)).toEqual({ clearing: -600, suspense: 0, statement: -600 });
  });

  test("several entries for one payment", async () => {
    const payment = await makePayment(owner, books, { amount: 900, status: "submitted" });
    await reconcile(lineOf(payment, { amount: 400 }), lineOf(payment, { amount: 500 }));
    expect(await breaksOf(owner, books)).toEqual([]);
    expect(await statusOf(payment.id)).toBe("settled");
  });

  test("what was posted on the clearing account by hand", async () => {
    await mustPost(owner, books.tenantId, {
      idempotencyKey: "bank fee 11",
      postings: transfer(books.expense, books.clearing, 250),
    });
    await reconcile({ amount: -250, reference: "bank fee 11" });
    expect(await breaksOf(owner, books)).toEqual([]);
    expect(await balancesOf(owner, books)).toEqual({ clearing: -250, suspense: 0, statement: -250 });
  });

  test("what was reversed before a statement had it is expected no longer", async () => {
    const id = await mustPost(owner, books.tenantId, { postings: transfer(books.expense, books.clearing, 250) });
    await mustPost(owner, books.tenantId, { reversesId: id });
    const payment = await makePayment(owner, books);
    await reconcile(lineOf(payment));
    expect(await breaksOf(owner, books)).toEqual([]);
  });

  test("the balance that the first statement begins with is money like any other", async () => {
    const capital = await openAccount(owner, books.tenantId, { type: "equity" });
    await importFile(worker, books, csvOf([{ amount: 100, reference: "unknown" }], 5000));
    await matchAll(worker, books);
    expect(await balancesOf(owner, books)).toEqual({ clearing: 5100, suspense: 5100, statement: 5100 });
    await mustPost(owner, books.tenantId, { postings: transfer(books.clearing, capital, 5000) });
    await matchAll(worker, books);
    expect((await breaksOf(owner, books)).map(({ amount, proposed }) => [amount, proposed])).toContainEqual([
      "5000",
      true,
    ]);
    expect(await findViolations(owner, books.tenantId)).toEqual([]);
  });
});

describe("what does not", () => {
  test("ours is missing: its money is in suspense until the payment comes", async () => {
    await reconcile({ amount: 1234, reference: "who knows", day: today(5) });
    expect(await breaksOf(owner, books)).toEqual([
      {
        kind: "payment_missing",
        amount: "1234",
        flow: "in",
        payment: null,
        reference: "who knows",
        age: "days_2_to_7",
        proposed: false,
      },
    ]);
    expect(await balancesOf(owner, books)).toEqual({ clearing: 1234, suspense: 1234, statement: 1234 });

    const late = await makePayment(owner, books, { amount: 1234, reference: "Who knows?", status: "submitted" });
    await matchAll(worker, books);
    expect(await breaksOf(owner, books)).toEqual([]);
    expect(await statusOf(late.id)).toBe("settled");
    expect(await balancesOf(owner, books)).toEqual({ clearing: 1234, suspense: 0, statement: 1234 });
    expect(await findViolations(owner, books.tenantId)).toEqual([]);
  });

  test("theirs is missing, from when on it is late", async () => {
    const here = await makePayment(owner, books);
    const late = await makePayment(owner, books, { amount: 300, daysAgo: 12 });
    await makePayment(owner, books, { amount: 400 });
    await reconcile(lineOf(here));
    expect(await breaksOf(owner, books, 2)).toEqual([
      {
        kind: "entry_missing",
        amount: "300",
        flow: "in",
        payment: late.id,
        reference: null,
        age: "days_8_to_30",
        proposed: false,
      },
    ]);
    await reconcile(lineOf(late));
    expect(await breaksOf(owner, books, 2)).toEqual([]);
  });

  test("another amount, told once for both sides", async () => {
    const payment = await makePayment(owner, books, { amount: 1000, daysAgo: 40 });
    await reconcile(lineOf(payment, { amount: 990 }));
    expect(await breaksOf(owner, books)).toMatchObject([
      { kind: "amount_differs", amount: "990", payment: payment.id },
    ]);
    expect(await balancesOf(owner, books)).toEqual({ clearing: 1990, suspense: 990, statement: 990 });
  });

  test("a payment that was submitted does not settle by another amount", async () => {
    const payment = await makePayment(owner, books, { status: "submitted" });
    await reconcile(lineOf(payment, { amount: 990 }));
    expect(await statusOf(payment.id)).toBe("submitted");
    expect(await breaksOf(owner, books)).toMatchObject([{ kind: "amount_differs", payment: payment.id }]);
  });

  test("within the tolerance of a rule it matches, and what is left stays open", async () => {
    const first = await makePayment(owner, books, { status: "submitted" });
    await reconcile(lineOf(first, { amount: 980 }));
    await owner.query("update app_public.matching_rules set tolerance = 20 where tenant_id = $1 and priority = 20", [
      books.tenantId,
    ]);
    const second = await makePayment(owner, books, { amount: 500 });
    await reconcile(lineOf(second, { amount: 521 }));
    expect(await statusOf(first.id)).toBe("settled");
    expect(await breaksOf(owner, books)).toMatchObject([
      { kind: "amount_differs", amount: "20", payment: first.id },
      { kind: "amount_differs", amount: "521", payment: second.id },
    ]);
    expect(await balancesOf(owner, books)).toEqual({ clearing: 2021, suspense: 521, statement: 1501 });
  });

  test("an entry that came twice", async () => {
    const payment = await makePayment(owner, books);
    await reconcile(lineOf(payment), lineOf(payment));
    expect(await breaksOf(owner, books)).toMatchObject([{ kind: "duplicate", amount: "1000", payment: payment.id }]);
    expect(await balancesOf(owner, books)).toEqual({ clearing: 2000, suspense: 1000, statement: 2000 });
  });

  test("another currency", async () => {
    await owner.query(
      `with a as (select $1::integer as t) insert into app_public.payment_provider_accounts
         (tenant_id, provider_code, currency, clearing_account_id, suspense_account_id)
       select t, 'bank', 'EUR', $2, $3 from a`,
      [
        books.tenantId,
        await openAccount(owner, books.tenantId, { currency: "EUR" }),
        await openAccount(owner, books.tenantId, { currency: "EUR", type: "liability" }),
      ],
    );
    const payment = await makePayment(owner, books, { daysAgo: 3 });
    await reconcile(lineOf(payment, { currency: "EUR" }));
    expect(await breaksOf(owner, books)).toMatchObject([
      { kind: "currency_differs", amount: "1000", payment: payment.id },
    ]);
  });

  test("money that came back returns its payment", async () => {
    const payment = await makePayment(owner, books, { kind: "pay_out", status: "submitted" });
    await reconcile(lineOf(payment), lineOf(payment, { amount: 1000, returnReason: "AC04" }));
    expect(await statusOf(payment.id)).toBe("returned");
    expect(await breaksOf(owner, books)).toEqual([]);
    expect(await balancesOf(owner, books)).toEqual({ clearing: 0, suspense: 0, statement: 0 });
  });

  test("a reference that several payments share settles none of them by itself", async () => {
    const one = await makePayment(owner, books, { reference: "rent", status: "submitted" });
    const two = await makePayment(owner, books, { reference: "rent", status: "submitted" });
    await reconcile({ amount: 1000, reference: "Rent" });
    expect([await statusOf(one.id), await statusOf(two.id)]).toEqual(["submitted", "submitted"]);
    expect(await breaksOf(owner, books, 1)).toMatchObject([{ amount: "1000", proposed: true }]);
  });

  test("amount and date alone are proposed, within the window", async () => {
    await makePayment(owner, books, { amount: 77, daysAgo: 2 });
    await makePayment(owner, books, { amount: 88, daysAgo: 9 });
    await reconcile({ amount: 77 }, { amount: 88 });
    const proposed = (await breaksOf(owner, books, 30)).map((one) => [one.amount, one.proposed]);
    expect(proposed).toEqual([
      ["77", true],
      ["88", false],
    ]);
  });

  test("the statements of another provider say nothing about this one", async () => {
    await makeProvider(owner, books.tenantId, { code: "other" });
    const payment = await makePayment(owner, books, { daysAgo: 3 });
    await importFile(worker, books, csvOf([lineOf(payment)]), { providerCode: "other" });
    await matchAll(worker, books);
    expect(await breaksOf(owner, books)).toMatchObject([{ kind: "provider_differs", payment: payment.id }]);
  });
});
