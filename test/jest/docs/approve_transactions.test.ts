import { beforeAll, describe, expect, test } from "@jest/globals";
import { type Example, readExamples } from "../../support/examples.ts";
import { readProjectFile } from "../../support/project_files.ts";
import { bootApi, type Caller, postMutation, transfer } from "../api/_api.ts";

/** Runs the examples of docs/how-to/approve-transactions.md in order, each by whom the line above it names. */
const api = await bootApi();
const page = "docs/how-to/approve-transactions.md";
const lines = readProjectFile(page).split("\n");
const examples = readExamples(page);
const ids = new Map<string, string>();
const people: Record<string, Caller> = {
  teller: { role: "teller", user: "00000000-0000-7000-8000-000000000a01" },
  accountant: { role: "accountant", user: "00000000-0000-7000-8000-000000000a02" },
};

beforeAll(async () => {
  const { cash, rent } = await api.get(`mutation {
    cash: openAccount(input: { code: "1000", name: "Cash", type: ASSET, currency: "USD" }) { account { id } }
    rent: openAccount(input: { code: "6000", name: "Rent", type: EXPENSE, currency: "USD" }) { account { id } }
  }`);
  ids.set("cash", cash.account.id).set("rent", rent.account.id);
  await api.db.withClient("owner", (client) =>
    client.query(
      `insert into app_public.transaction_thresholds (tenant_id, currency, approval_amount) values ($1, 'USD', 100000)`,
      [api.books.tenant],
    ),
  );
});

/** Who sends an example, by the last line of text before it. */
function senderOf({ line }: Example): Caller {
  const [, name = ""] =
    lines
      .slice(0, line)
      .join("\n")
      .match(/.*by the (\w+):/s) ?? [];
  const sender = people[name];
  if (!sender) throw new Error(`The line before line ${line} says nobody that is known: ${name}.`);
  return sender;
}

async function run(example: Example): Promise<Record<string, { transactionProposal?: { id?: string } }>> {
  const variables = example.variables.replace(/<(\w+)>/g, (_, name: string) => ids.get(name) ?? `no ${name}`);
  const data = await api.get(example.query, JSON.parse(variables), senderOf(example));
  for (const [name, made] of Object.entries(data as Record<string, { transactionProposal?: { id?: string } }>)) {
    const id = made?.transactionProposal?.id;
    if (id !== undefined) ids.set(name, id);
  }
  return data;
}

test("without a second person it is refused", async () => {
  const posting = transfer(ids.get("rent") ?? "", ids.get("cash") ?? "", "250000");
  const { errors } = await api.ask(postMutation, posting, people["teller"]);
  expect(errors[0]?.extensions).toMatchObject({ code: "LG405", detail: { threshold: "100000", amount: "250000" } });
});

describe("the examples run, in order, and answer", () => {
  test.each([
    [
      "a proposal that is open",
      0,
      {
        payment: { transactionProposal: { status: "OPEN", postings: { nodes: [{ amountFormatted: "2500.00" }, {}] } } },
      },
    ],
    [
      "what waits",
      1,
      { openProposals: { nodes: [{ reason: "Rent of March, invoice 4711", proposer: { role: "TELLER" } }] } },
    ],
    [
      "a transaction that knows both people",
      2,
      {
        approval: {
          result: {
            balances: expect.arrayContaining([expect.objectContaining({ posted: "250000" })]),
            transaction: {
              proposal: {
                proposer: { user: { name: "teller" } },
                decision: { outcome: "APPROVED", decider: { user: { name: "accountant" } } },
              },
            },
          },
        },
      },
    ],
    ["two proposals, without a key", 3, {}],
    [
      "a rejection",
      4,
      {
        rejectProposal: {
          transactionProposal: { status: "REJECTED", decision: { reason: "There is no invoice" } },
        },
      },
    ],
    ["a withdrawal", 5, { withdrawProposal: { transactionProposal: { status: "WITHDRAWN" } } }],
  ])("%s", async (_, index, answer) => {
    const example = examples[index];
    if (!example) throw new Error("There is no such example.");
    expect(await run(example)).toMatchObject(answer);
  });

  test("and there are no others", () => expect(examples).toHaveLength(6));
});

test("the proposer cannot approve, whatever else they are", async () => {
  const proposed = await api.get(
    `mutation ($transaction: TransactionInput!) {
      proposeTransaction(input: { transaction: $transaction, reason: "mine" }) { transactionProposal { id } } }`,
    transfer(api.books.cash, api.books.sales, "100000"),
    people["accountant"],
  );
  const { errors } = await api.ask(
    "mutation ($id: UUID!) { approveProposal(input: { proposalId: $id }) { result { transactionId } } }",
    { id: proposed.proposeTransaction.transactionProposal.id },
    people["accountant"],
  );
  expect(errors[0]?.extensions.code).toBe("LG430");
});
