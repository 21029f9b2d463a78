import { randomUUID } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import { type Answer, bootApi, postMutation, transfer } from "./_api.ts";

const api = await bootApi();
const { cash, sales, wallet } = api.books;

test("a transaction is posted and comes back with its postings and the balances that it left", async () => {
  const data = await api.get(postMutation, transfer(cash, sales, "1234"));
  const { result } = data.postTransaction;
  expect(result).toMatchObject({
    isReplayed: false,
    refusal: null,
    transaction: {
      id: result.transactionId,
      status: "POSTED",
      kind: "POSTED",
      postings: {
        nodes: [
          { direction: "DEBIT", amount: "1234", amountFormatted: "12.34", account: { code: "cash" } },
          { direction: "CREDIT", amount: "1234", amountFormatted: "12.34", account: { code: "sales" } },
        ],
      },
    },
  });
  const balance = result.balances.find((one: { accountId: string }) => one.accountId === cash);
  expect(balance).toEqual({
    accountId: cash,
    posted: "1234",
    pending: "1234",
    available: "1234",
    version: "1",
    account: { code: "cash" },
  });
});

test("the same key and request answer with the original, marked as replayed", async () => {
  const request = transfer(cash, sales, "5", { idempotencyKey: randomUUID() });
  const first = (await api.get(postMutation, request)).postTransaction.result;
  const second = (await api.get(postMutation, request)).postTransaction.result;
  expect(second).toEqual({ ...first, isReplayed: true });
  const { transactionByIdempotencyKey: found } = await api.get(
    "query ($key: String!) { transactionByIdempotencyKey(key: $key) { id } }",
    { key: (request.transaction as { idempotencyKey: string }).idempotencyKey },
  );
  expect(found.id).toBe(first.transactionId);
});

test("the same key with another request is a conflict that names the first field that differs", async () => {
  const key = { idempotencyKey: randomUUID() };
  await api.get(postMutation, transfer(cash, sales, "5", key));
  const answer = await api.ask(postMutation, transfer(cash, sales, "6", key));
  expect(answer.status).toBe(200);
  expect(answer.errors[0]).toMatchObject({
    message: expect.stringMatching(/^The idempotency key was used/),
    path: ["postTransaction"],
    extensions: { code: "LG501", name: "idempotency_key_conflict", isRetryable: false },
  });
  expect(answer.errors[0]?.extensions.detail).toHaveProperty("field");
});

const batchMutation = /* GraphQL */ `
  mutation ($transactions: [TransactionInput!]!, $mode: BatchMode) {
    postTransactions(input: { transactions: $transactions, mode: $mode }) {
      results { transactionId isReplayed transaction { id } refusal { code name message detail hint isRetryable } }
    }
  }
`;

test("a batch answers one result each, in order", async () => {
  const transactions = [transfer(cash, sales, "1"), transfer(cash, randomUUID(), "2"), transfer(cash, sales, "3")].map(
    (one) => one.transaction,
  );
  const data = await api.get(batchMutation, { transactions });
  const { results } = data.postTransactions;
  expect(results).toHaveLength(3);
  expect(results[0].transaction.id).toBe(results[0].transactionId);
  expect(results[1]).toMatchObject({
    transactionId: null,
    transaction: null,
    refusal: { code: "LG301", name: "account_not_found", isRetryable: false },
  });
  expect(results[2].refusal).toBeNull();
});

test("an atomic batch is refused as a whole", async () => {
  const before = await countPostings();
  const transactions = [transfer(cash, sales, "1"), transfer(cash, randomUUID(), "2")].map((one) => one.transaction);
  const answer = await api.ask(batchMutation, { transactions, mode: "ATOMIC" });
  expect(answer.errors[0]?.extensions.code).toBe("LG301");
  expect(await countPostings()).toBe(before);
});

async function countPostings(): Promise<number> {
  return (await api.get("{ postings(first: 0) { totalCount } }")).postings.totalCount;
}

describe("two-phase", () => {
  const pending = async (more: object = {}): Promise<string> => {
    const request = transfer(cash, wallet, "100", { kind: "PENDING", ...more });
    return (await api.get(postMutation, request)).postTransaction.result.transactionId;
  };
  const status = async (id: string): Promise<unknown> =>
    (await api.get("query ($id: UUID!) { transaction(id: $id) { status resolvedBy { kind } } }", { id })).transaction;

  test("a pending transaction is posted in part", async () => {
    const id = await pending();
    expect(await status(id)).toEqual({ status: "PENDING", resolvedBy: null });
    const data = await api.get(
      `mutation ($id: UUID!, $cash: UUID!, $wallet: UUID!) {
        postPendingTransaction(input: { pendingId: $id, postings: [
          { accountId: $cash, direction: DEBIT, amount: "40" }, { accountId: $wallet, direction: CREDIT, amount: "40" }
        ] }) { result { transaction { kind pending { id } postings { nodes { amount pendingAmount } } } } }
      }`,
      { id, cash, wallet },
    );
    expect(data.postPendingTransaction.result.transaction).toEqual({
      kind: "POST_PENDING",
      pending: { id },
      postings: {
        nodes: [
          { amount: "40", pendingAmount: "-100" },
          { amount: "40", pendingAmount: "-100" },
        ],
      },
    });
    expect(await status(id)).toEqual({ status: "POSTED", resolvedBy: { kind: "POST_PENDING" } });
  });

  test("a pending transaction is voided", async () => {
    const id = await pending();
    await api.get(
      "mutation ($id: UUID!) { voidPendingTransaction(input: { pendingId: $id }) { result { transactionId } } }",
      {
        id,
      },
    );
    expect(await status(id)).toEqual({ status: "VOIDED", resolvedBy: { kind: "VOID_PENDING" } });
  });

  test("a pending transaction is expired from its instant on, before any job has run", async () => {
    const id = await pending({ timeoutSeconds: 1 });
    expect(await status(id)).toEqual({ status: "PENDING", resolvedBy: null });
    await new Promise((done) => setTimeout(done, 1100));
    expect(await status(id)).toEqual({ status: "EXPIRED", resolvedBy: null });
  });
});

test("a transaction is reversed, and both know each other", async () => {
  const { transactionId: id } = (await api.get(postMutation, transfer(cash, sales, "7"))).postTransaction.result;
  const data = await api.get(
    `mutation ($id: UUID!) { reverseTransaction(input: { transactionId: $id }) {
       result { transaction { id reverses { id reversedBy { id } } } } } }`,
    { id },
  );
  const reversal = data.reverseTransaction.result.transaction;
  expect(reversal.reverses).toEqual({ id, reversedBy: { id: reversal.id } });
});

test("relations read naturally from an account", async () => {
  const { account } = await api.get(
    `query ($id: UUID!) { account(id: $id) {
      code currency { code exponent } parent { code } children { nodes { code } }
      postings(first: 2, orderBy: [VERSION_ASC]) {
        nodes { version direction amount transaction { id postings { nodes { account { code } } } } }
        pageInfo { hasNextPage endCursor }
      } } }`,
    { id: cash },
  );
  expect(account).toMatchObject({ code: "cash", currency: { code: "USD", exponent: 2 }, parent: null });
  expect(account.postings.nodes.map((node: { version: string }) => node.version)).toEqual(["1", "2"]);
  expect(account.postings.nodes[0].transaction.postings.nodes).toEqual([
    { account: { code: "cash" } },
    { account: { code: "sales" } },
  ]);
  expect(account.postings.pageInfo.hasNextPage).toBe(true);
});

test("pages follow each other without a gap or a repeat", async () => {
  const query = `query ($id: UUID!, $after: Cursor) { account(id: $id) {
    postings(first: 3, after: $after, orderBy: [VERSION_DESC]) {
      nodes { version } pageInfo { hasNextPage endCursor } } } }`;
  const versions: number[] = [];
  for (let after: string | null = null; ; ) {
    const { postings }: Answer["data"] = (await api.get(query, { id: cash, after })).account;
    versions.push(...postings.nodes.map((node: { version: string }) => Number(node.version)));
    after = postings.pageInfo.endCursor;
    if (!postings.pageInfo.hasNextPage) break;
  }
  expect(versions).toEqual(Array.from({ length: versions.length }, (_, index) => versions.length - index));
  expect(versions.length).toBeGreaterThan(5);
});

test("sums by day and currency agree with the postings", async () => {
  const { account } = await api.get(
    `query ($id: UUID!) { account(id: $id) { postings(first: 100) {
      nodes { postedAmount }
      aggregates { sum { postedAmount } }
      groupedAggregates(groupBy: [EFFECTIVE_AT_TRUNCATED_TO_DAY, CURRENCY_CODE]) { keys sum { postedAmount } }
    } } }`,
    { id: cash },
  );
  const { nodes, aggregates, groupedAggregates } = account.postings;
  const total = nodes.reduce((sum: bigint, node: { postedAmount: string }) => sum + BigInt(node.postedAmount), 0n);
  expect(aggregates.sum.postedAmount).toBe(String(total));
  const day = `${new Date().toISOString().slice(0, 10)}T00:00:00.000000+00:00`;
  expect(groupedAggregates).toEqual([{ keys: [day, "USD"], sum: { postedAmount: String(total) } }]);
});

test("an account is opened, with its limits in minor units and as decimals", async () => {
  const data = await api.get(
    `mutation { openAccount(input: {
         code: "1100", name: "Bank", type: ASSET, currency: "JPY", minimumBalance: "-500" }) {
       account { code type normalBalance status minimumBalance minimumBalanceFormatted currency { exponent } } } }`,
  );
  expect(data.openAccount.account).toEqual({
    code: "1100",
    type: "ASSET",
    normalBalance: "DEBIT",
    status: "OPEN",
    minimumBalance: "-500",
    minimumBalanceFormatted: "-500",
    currency: { exponent: 0 },
  });
});
