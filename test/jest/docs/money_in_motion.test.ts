import { beforeAll, describe, expect, test } from "@jest/globals";
import settleMerchants from "../../../tasks/merchants/settle_merchants.ts";
import { type Example, readExamples } from "../../support/examples.ts";
import { makeProvider } from "../../support/payments.ts";
import { readProjectFile } from "../../support/project_files.ts";
import { actAs, staff } from "../../support/session.ts";
import { bootApi, type Caller, postMutation, transfer } from "../api/_api.ts";

/** Runs the examples of charge-fees, redeem-vouchers and pay-merchants in order, each by whom its first line names. */
const api = await bootApi();
const ids = new Map<string, string>();
const people: Record<string, Caller> = {
  teller: { role: "teller", user: "00000000-0000-7000-8000-000000000b01" },
  accountant: { role: "accountant", user: "00000000-0000-7000-8000-000000000b02" },
  customer: { role: "customer", user: api.books.customer },
};

beforeAll(async () => {
  const types = {
    ann: "liability",
    bob: "liability",
    partner: "liability",
    vat: "liability",
    vouchers: "liability",
    shop: "liability",
    fees: "revenue",
    breakage: "revenue",
    costs: "expense",
  } as const;
  await api.db.withClient("owner", async (client) => {
    await actAs(client, { tenantId: api.books.tenant, role: "admin", userId: staff });
    for (const [name, type] of Object.entries(types)) {
      const { rows } = await client.query<{ id: string }>(
        `select id from app_public.open_account(
           code => $1, name => $1, type => $2::app_public.account_type, currency => 'USD')`,
        [name, type],
      );
      ids.set(name, rows[0]?.id ?? "");
    }
    await makeProvider(client, api.books.tenant);
    const { rows } = await client.query<{ id: string }>(
      "insert into app_public.counterparties (tenant_id, name) values ($1, 'The Shop Ltd') returning id",
      [api.books.tenant],
    );
    ids.set("counterparty", rows[0]?.id ?? "");
  });
  ids.set("cash", api.books.cash).set("wallet", api.books.wallet);
  for (const name of ["ann", "bob"])
    await api.get(postMutation, transfer(api.books.cash, ids.get(name) ?? "", "50000"));
});

/** Who sends an example, by the last line of text before it. */
function senderOf(page: string, { line }: Example): Caller {
  const before = readProjectFile(page).split("\n").slice(0, line).join("\n");
  const name = /.*Sent by the (\w+):/s.exec(before)?.[1] ?? "";
  const sender = people[name];
  if (!sender) throw new Error(`The line before line ${line} of ${page} says nobody that is known: ${name}.`);
  return sender;
}

/** The first id in an answer, however deep. */
function idIn(answer: unknown): string | undefined {
  if (typeof answer !== "object" || answer === null) return undefined;
  if ("id" in answer && typeof answer.id === "string") return answer.id;
  for (const inner of Object.values(answer)) {
    const id = idIn(inner);
    if (id !== undefined) return id;
  }
  return undefined;
}

async function run(page: string, index: number): Promise<unknown> {
  const example = readExamples(page)[index];
  if (!example) throw new Error(`There is no example ${index} in ${page}.`);
  const variables = example.variables.replace(/<(\w+)>/g, (_, name: string) => ids.get(name) ?? `no ${name}`);
  const data = await api.get(example.query, JSON.parse(variables), senderOf(page, example));
  for (const [name, made] of Object.entries(data as object)) {
    const id = idIn(made);
    if (id !== undefined) ids.set(name, id);
  }
  return data;
}

const posting = (code: string, direction: string, amount: string): object =>
  expect.objectContaining({ account: { code }, direction, amount });

describe("charging fees", () => {
  const page = "docs/how-to/charge-fees.md";
  test("rules are set", async () => {
    expect(await run(page, 0)).toMatchObject({ fee: { feeSchedule: { code: "service" } } });
  });

  test("a quote tells the charges and the postings", async () => {
    const { quotePayment } = (await run(page, 1)) as { quotePayment: { charges: object[]; postings: object[] } };
    expect(quotePayment.charges).toMatchObject([
      { kind: "FEE", code: "referral", amount: "75", creditAccountId: ids.get("partner") },
      { kind: "FEE", code: "service", amount: "20", creditAccountId: ids.get("costs") },
      { kind: "FEE", code: "service", amount: "300", creditAccountId: ids.get("fees") },
      { kind: "VAT", code: "service", amount: "61", creditAccountId: ids.get("vat") },
    ]);
    expect(quotePayment.postings).toContainEqual({ accountId: ids.get("bob"), direction: "CREDIT", amount: "9544" });
  });

  test("a payment posts them", async () => {
    const { sale } = (await run(page, 2)) as { sale: { payment: { settlementTransaction: unknown } } };
    expect(sale.payment).toMatchObject({
      status: "SETTLED",
      charges: { nodes: [{ amount: "75" }, { amount: "20" }, { amount: "300" }, { amount: "61" }] },
      settlementTransaction: {
        postings: {
          nodes: expect.arrayContaining([
            posting("ann", "DEBIT", "10000"),
            posting("bob", "CREDIT", "9544"),
            posting("vat", "CREDIT", "61"),
          ]),
        },
      },
    });
  });

  test("a refund gives a part of them back", async () => {
    expect(await run(page, 3)).toMatchObject({
      part: {
        payment: {
          charges: {
            nodes: [
              { amount: "7", refundedCharge: { amount: "20" } },
              { amount: "100", refundedCharge: { amount: "300" } },
              { amount: "20", refundedCharge: { amount: "61" } },
            ],
          },
        },
      },
    });
  });

  test("a schedule ends", async () => {
    expect(await run(page, 4)).toMatchObject({
      endFeeSchedule: { feeSchedule: { code: "referral", during: { end: { inclusive: false } } } },
    });
  });

  test("and there are no other examples", () => expect(readExamples(page)).toHaveLength(5));
});

describe("vouchers", () => {
  const page = "docs/how-to/redeem-vouchers.md";
  test("are issued", async () => {
    await run(page, 0);
    const { issue } = (await run(page, 1)) as {
      issue: { result: { isReplayed: boolean; vouchers: { id: string; code: string; codeHint: string }[] } };
    };
    const [one, other] = issue.result.vouchers;
    expect(one?.code.endsWith(one.codeHint)).toBe(true);
    ids.set("code", one?.code ?? "").set("voucher", other?.id ?? "");
  });

  test("are redeemed in part and whole, and then no more", async () => {
    expect(await run(page, 2)).toMatchObject({
      part: { result: { amount: "2000", restAmount: "3000", refusal: null } },
      rest: { result: { amount: "3000", restAmount: "0", refusal: null } },
      again: { result: { amount: null, refusal: { code: "LG652", detail: { restAmount: "0" } } } },
    });
  });

  test("are cancelled", async () => {
    expect(await run(page, 3)).toMatchObject({
      cancelVoucher: {
        voucher: {
          status: "CANCELLED",
          restAmount: "0",
          moves: { nodes: [{ kind: "ISSUED" }, { kind: "CANCELLED" }] },
        },
      },
    });
  });

  test("guesses are counted over the API, too: the answer is no error, so that the count stays", async () => {
    const query = `mutation ($id: UUID!) {
      redeemVoucher(input: { code: "ABCD-EFGH", accountId: $id }) { result { refusal { code detail } } } }`;
    const codes: string[] = [];
    for (let i = 0; i < 12; i += 1) {
      const answer = await api.get(query, { id: api.books.wallet }, people["customer"]);
      codes.push(answer.redeemVoucher.result.refusal.code);
    }
    expect(codes).toEqual([...Array.from({ length: 11 }, () => "LG650"), "LG653"]);
  });

  test("and there are no other examples", () => expect(readExamples(page)).toHaveLength(4));
});

describe("merchants", () => {
  const page = "docs/how-to/pay-merchants.md";
  test("are set up", async () => {
    expect(await run(page, 0)).toMatchObject({
      setMerchant: { merchant: { schedule: "DAILY", minimumPayout: "1000" } },
    });
  });

  test("are settled", async () => {
    await api.get(
      "mutation ($payment: PaymentInput!) { createPayment(input: { payment: $payment }) { payment { id } } }",
      { payment: { kind: "TRANSFER", accountId: ids.get("ann"), toAccountId: ids.get("shop"), amount: "10000" } },
      people["teller"],
    );
    await api.db.withClient("superuser", async (client) => {
      await client.query("set session_replication_role = replica");
      await client.query("update app_public.postings set created_at = created_at - interval '2 days'");
      await client.query("update app_public.merchants set settled_through = settled_through - 2");
    });
    await api.db.withClient("worker", async (client) => {
      await settleMerchants({}, { query: (text: string, values: unknown[]) => client.query(text, values) } as never);
    });
    expect(await run(page, 1)).toMatchObject({
      merchantSettlements: {
        nodes: [
          {
            number: 1,
            salesAmount: "10000",
            feesAmount: "-381",
            payoutAmount: "9619",
            carriedOutAmount: "0",
            payoutRefusal: null,
            payment: { status: "RESERVED", amount: "9619" },
            lines: { nodes: [{ kind: "SALE", grossAmount: "10000", feesAmount: "-381", amount: "9619" }] },
          },
        ],
      },
    });
  });

  test("and there are no other examples", () => expect(readExamples(page)).toHaveLength(2));
});
