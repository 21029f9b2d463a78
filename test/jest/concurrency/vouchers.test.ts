import { describe, expect, test } from "@jest/globals";
import type { Queryable } from "../../support/ledger.ts";
import { openAccount } from "../../support/ledger.ts";
import { actAs, staff } from "../../support/session.ts";
import { gatherCrowd } from "./crowd.ts";

/* A hundred clients at one voucher: it is redeemed once, to the last unit, and what it owed is what was paid. */
const crowd = await gatherCrowd(100);

interface Books {
  tenantId: number;
  campaignId: string;
  account: string;
}

interface Redemption {
  transactionId: string | null;
  amount: string | null;
  rest: string | null;
  isReplayed: boolean;
  code: string | null;
}

async function act(db: Queryable, tenantId: number): Promise<void> {
  await actAs(db, { tenantId, role: "accountant", userId: staff });
}

async function openBooks(): Promise<Books> {
  const tenantId = await crowd.tenant();
  const client = await crowd.pool.connect();
  try {
    await act(client, tenantId);
    const cash = await openAccount(client, tenantId);
    const liability = await openAccount(client, tenantId, { type: "liability" });
    const breakage = await openAccount(client, tenantId, { type: "revenue" });
    const account = await openAccount(client, tenantId, { type: "liability" });
    const { rows } = await client.query<{ id: string }>(
      "select id from app_public.create_voucher_campaign('crowd', 'Crowd', $1, $2, $3)",
      [cash, liability, breakage],
    );
    return { tenantId, account, campaignId: rows[0]?.id ?? "" };
  } finally {
    client.release();
  }
}

async function issue(db: Queryable, books: Books, amount: number, key?: string): Promise<(string | null)[]> {
  await act(db, books.tenantId);
  const { rows } = await db.query<{ code: string | null }>(
    `select v.code from app_public.issue_vouchers($1, 2, $2, null, $3) i, unnest(i.vouchers) v`,
    [books.campaignId, amount, key],
  );
  return rows.map(({ code }) => code);
}

async function redeem(
  db: Queryable,
  books: Books,
  code: string,
  amount: number | null,
  key?: string,
): Promise<Redemption> {
  await act(db, books.tenantId);
  const { rows } = await db.query<Redemption>(
    `select r.transaction_id as "transactionId", r.amount::text, r.rest_amount::text as rest,
       r.is_replayed as "isReplayed", (r.refusal).code
     from app_public.redeem_voucher($1, $2, $3, $4) r`,
    [code, books.account, amount, key],
  );
  if (!rows[0]) throw new Error("There is no answer.");
  return rows[0];
}

async function oneVoucher(books: Books, amount: number): Promise<string> {
  const client = await crowd.pool.connect();
  try {
    return (await issue(client, books, amount))[0] ?? "";
  } finally {
    client.release();
  }
}

function count(answers: (Redemption | undefined)[], rule: (answer: Redemption) => boolean): number {
  return answers.filter((answer) => answer !== undefined && rule(answer)).length;
}

describe("a voucher at which 100 clients are", () => {
  test("is redeemed as a whole by one of them", async () => {
    const books = await openBooks();
    const code = await oneVoucher(books, 1000);
    const answers = await crowd.all((client) => redeem(client, books, code, null));
    expect(count(answers, ({ amount }) => amount === "1000")).toBe(1);
    expect(count(answers, (one) => one.code === "LG652")).toBe(99);
  });

  test("is redeemed in parts as far as it goes", async () => {
    const books = await openBooks();
    const code = await oneVoucher(books, 1000);
    const answers = await crowd.all((client, number) => redeem(client, books, code, 30, `part ${number}`));
    expect(count(answers, ({ amount }) => amount === "30")).toBe(33);
    expect(count(answers, (one) => one.code === "LG652")).toBe(67);
    const rests = answers.flatMap((one) => (one?.rest ? [Number(one.rest)] : []));
    expect(rests.sort((one, other) => one - other)).toEqual(Array.from({ length: 33 }, (_, i) => 10 + 30 * i));
  });

  test("is redeemed once by one key, whoever asks how often", async () => {
    const books = await openBooks();
    const code = await oneVoucher(books, 1000);
    const answers = await crowd.all((client) => redeem(client, books, code, 30, "the key"));
    expect(count(answers, ({ isReplayed }) => !isReplayed)).toBe(1);
    expect(new Set(answers.map((answer) => answer?.transactionId)).size).toBe(1);
  });

  test("is redeemed or cancelled, and never both", async () => {
    const books = await openBooks();
    const code = await oneVoucher(books, 1000);
    const answers = await crowd.all(
      async (client, number) => {
        if (number % 10 > 0) return redeem(client, books, code, 50);
        await act(client, books.tenantId);
        await client.query(
          `select app_public.cancel_voucher(v.id, 'test') from app_public.vouchers v
           where v.tenant_id = $1 and v.code_hash = app_private.voucher_code_hash($2)`,
          [books.tenantId, code],
        );
        return undefined;
      },
      ["LG652"],
    );
    const { rows } = await crowd.pool.query<{ redeemed: number; rest: string; moves: string[] }>(
      `select sum(m.amount) filter (where m.kind = 'redeemed')::integer as redeemed, min(v.rest_amount)::text as rest
       from app_public.voucher_moves m join app_public.vouchers v on v.id = m.voucher_id
       where m.tenant_id = $1 and v.code_hash = app_private.voucher_code_hash($2)`,
      [books.tenantId, code],
    );
    expect(rows).toEqual([{ redeemed: 50 * count(answers, (one) => one.amount === "50") || null, rest: "0" }]);
  });
});

test("one key issues once, and tells the codes to one of those who ask at once", async () => {
  const books = await openBooks();
  const answers = await crowd.all((client) => issue(client, books, 10, "the key"));
  expect(answers.filter((codes) => codes?.every((code) => code !== null))).toHaveLength(1);
  const { rows } = await crowd.pool.query("select from app_public.vouchers where tenant_id = $1", [books.tenantId]);
  expect(rows).toHaveLength(2);
});

test("ten thousand vouchers are issued at once, and no two codes are alike", async () => {
  const books = await openBooks();
  const client = await crowd.pool.connect();
  try {
    await act(client, books.tenantId);
    const { rows } = await client.query<{ codes: number }>(
      `select count(distinct v.code)::integer as codes
       from app_public.issue_vouchers($1, 10000, 5) i, unnest(i.vouchers) v`,
      [books.campaignId],
    );
    expect(rows).toEqual([{ codes: 10_000 }]);
  } finally {
    client.release();
  }
});
