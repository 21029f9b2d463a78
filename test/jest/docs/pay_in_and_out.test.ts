import { beforeAll, describe, expect, test } from "@jest/globals";
import { type Example, readExamples } from "../../support/examples.ts";
import { movePayment } from "../../support/payments.ts";
import { readProjectFile } from "../../support/project_files.ts";
import { bootApi, type Caller, postMutation, transfer } from "../api/_api.ts";

/** Runs the examples of docs/how-to/pay-in-and-out.md in order, each by whom the line above it names. */
const api = await bootApi();
const page = "docs/how-to/pay-in-and-out.md";
const lines = readProjectFile(page).split("\n");
const examples = readExamples(page);
const ids = new Map<string, string>();
const people: Record<string, Caller> = {
  teller: { role: "teller", user: "00000000-0000-7000-8000-000000000b01" },
  admin: {},
};

beforeAll(async () => {
  const opened = await api.get(`mutation {
    clearing: openAccount(input: { code: "1200", name: "At the bank", type: ASSET, currency: "USD" }) { account { id } }
    suspense: openAccount(input: { code: "2900", name: "Unknown", type: LIABILITY, currency: "USD" }) { account { id } }
    savings: openAccount(input: { code: "2100", name: "Savings", type: LIABILITY, currency: "USD" }) { account { id } }
  }`);
  for (const [name, { account }] of Object.entries(opened as Record<string, { account: { id: string } }>))
    ids.set(name, account.id);
  ids.set("wallet", api.books.wallet).set("tomorrow", new Date(Date.now() + 86_400_000).toISOString());
  await api.get(postMutation, transfer(api.books.cash, api.books.wallet, "10000"));
});

/** Who sends an example, by the last line of text before it. */
function senderOf({ line }: Example): Caller {
  const [, name = ""] =
    lines
      .slice(0, line)
      .join("\n")
      .match(/.*by the\s(\w+):/s) ?? [];
  const sender = people[name];
  if (!sender) throw new Error(`The line before line ${line} says nobody that is known: ${name}.`);
  return sender;
}

async function run(example: Example): Promise<unknown> {
  const filled = (text: string): string => text.replace(/<(\w+)>/g, (_, name: string) => ids.get(name) ?? `no ${name}`);
  const data = await api.get(filled(example.query), JSON.parse(filled(example.variables)), senderOf(example));
  for (const [name, made] of Object.entries(data as Record<string, { payment?: Row; counterparty?: Row } | null>)) {
    const id = made?.payment?.id ?? made?.counterparty?.id;
    if (id !== undefined) ids.set(name, id);
  }
  return data;
}

interface Row {
  id?: string;
}

describe("the examples run, in order, and answer", () => {
  test.each([
    ["a provider", 0, { setPaymentProvider: { paymentProvider: { code: "bank", isEnabled: true } } }],
    ["a pay-in", 1, { order: { payment: { status: "RESERVED", pendingTransaction: { status: "PENDING" } } } }],
    [
      "where it stands, once the provider has the money",
      2,
      {
        payment: {
          status: "SETTLED",
          settlementTransaction: { status: "POSTED" },
          refundableAmount: "5000",
          moves: { nodes: [{ toStatus: "REQUESTED" }, { toStatus: "RESERVED" }, { toStatus: "SETTLED" }] },
        },
      },
    ],
    ["a refund", 3, { refund: { payment: { status: "RESERVED", refundOf: { refundableAmount: "3500" } } } }],
    ["a counterparty", 4, { carol: { counterparty: { name: "Carol Jones", accountHint: "••••5555" } } }],
    ["a pay-out", 5, { wages: { payment: { status: "RESERVED", counterparty: { name: "Carol Jones" } } } }],
    [
      "a cancellation",
      6,
      { cancelPayment: { payment: { status: "CANCELLED", moves: { nodes: [{}, {}, { reason: "Paid in cash" }] } } } },
    ],
    ["transfers", 7, { now: { payment: { status: "SETTLED" } }, later: { payment: { status: "REQUESTED" } } }],
    ["a permission", 8, { grantPermission: {} }],
  ])("%s", async (what, index, answer) => {
    if (what.startsWith("where it stands"))
      await movePayment(api.db.pool("owner"), api.books.tenant, ids.get("order") ?? "", "settle");
    const example = examples[index];
    if (!example) throw new Error("There is no such example.");
    expect(await run(example)).toMatchObject(answer);
  });

  test("and there are no others", () => expect(examples).toHaveLength(9));
});
