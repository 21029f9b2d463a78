import { beforeAll, describe, expect, test } from "@jest/globals";
import { buildClientSchema, type GraphQLObjectType, getIntrospectionQuery, isListType, isNonNullType } from "graphql";
import { bootApi, postMutation, transfer } from "./_api.ts";

const api = await bootApi();
const { books, otherBooks } = api;
const stranger = { tenant: otherBooks.tenant } as const;
let posted: { id: string; nodeId: string };
let nodeIds: string[];

beforeAll(async () => {
  await api.get(postMutation, transfer(books.cash, books.wallet, "500", { idempotencyKey: "first" }));
  const data = await api.get(`{
    transactions { nodes { id nodeId postings { nodes { nodeId } } } } accounts { nodes { nodeId } } }`);
  posted = data.transactions.nodes[0];
  nodeIds = [
    ...data.transactions.nodes.flatMap((node: { nodeId: string; postings: { nodes: { nodeId: string }[] } }) => [
      node.nodeId,
      ...node.postings.nodes.map((posting) => posting.nodeId),
    ]),
    ...data.accounts.nodes.map((node: { nodeId: string }) => node.nodeId),
  ];
});

describe("an admin of other books", () => {
  test("finds nothing of these by id, code or key", async () => {
    const data = await api.get(
      `query ($account: UUID!, $transaction: UUID!) {
        account(id: $account) { id }
        transaction(id: $transaction) { id }
        transactionByIdempotencyKey(key: "first") { id }
        accountByCode(code: "nobody has this", currency: "USD") { id }
      }`,
      { account: books.cash, transaction: posted.id },
      stranger,
    );
    expect(data).toEqual({ account: null, transaction: null, transactionByIdempotencyKey: null, accountByCode: null });
  });

  test("finds nothing of these by node id", async () => {
    expect(nodeIds.length).toBeGreaterThan(4);
    for (const nodeId of nodeIds) {
      const own = await api.get("query ($nodeId: ID!) { node(nodeId: $nodeId) { nodeId } }", { nodeId });
      expect(own.node).toEqual({ nodeId });
      const other = await api.get("query ($nodeId: ID!) { node(nodeId: $nodeId) { nodeId } }", { nodeId }, stranger);
      expect(other.node).toBeNull();
    }
  });

  test("sees none of these in filters and sums", async () => {
    const data = await api.get(
      `query ($account: UUID!, $transaction: UUID!) {
        postings(filter: { accountId: { equalTo: $account } }) { totalCount aggregates { sum { postedAmount } } }
        transactions(filter: { id: { equalTo: $transaction } }) { totalCount }
      }`,
      { account: books.cash, transaction: posted.id },
      stranger,
    );
    expect(data.postings).toEqual({ totalCount: 0, aggregates: { sum: { postedAmount: "0" } } });
    expect(data.transactions.totalCount).toBe(0);
  });

  test("can neither post to these accounts nor resolve or reverse these transactions", async () => {
    const into = await api.ask(postMutation, transfer(otherBooks.cash, books.wallet, "1"), stranger);
    expect(into.errors[0]?.extensions.code).toBe("LG301");
    const reverse = await api.ask(
      "mutation ($id: UUID!) { reverseTransaction(input: { transactionId: $id }) { result { transactionId } } }",
      { id: posted.id },
      stranger,
    );
    expect(reverse.errors[0]?.extensions.code).toBe("LG310");
    const resolve = await api.ask(
      "mutation ($id: UUID!) { voidPendingTransaction(input: { pendingId: $id }) { result { transactionId } } }",
      { id: posted.id },
      stranger,
    );
    expect(resolve.errors[0]?.extensions.code).toBe("LG304");
  });
});

test("no root field shows anything of the other books", async () => {
  // Every list of the schema, whatever it is called and whoever adds it.
  const schema = buildClientSchema(await api.get(getIntrospectionQuery()));
  const fields = Object.values((schema.getQueryType() as GraphQLObjectType).getFields());
  const lists = fields.filter((field) => /Connection$/.test(String(field.type)));
  expect(lists.length).toBeGreaterThan(4);
  const ids = new Set<string>();
  for (const field of lists) {
    const connection = (isNonNullType(field.type) ? field.type.ofType : field.type) as GraphQLObjectType;
    const nodes = connection.getFields()["nodes"]?.type;
    const unwrap = (type: unknown): unknown => (isNonNullType(type) || isListType(type) ? unwrap(type.ofType) : type);
    const node = unwrap(nodes) as GraphQLObjectType;
    if (!node.getFields()["id"]) continue;
    if (field.args.some((argument) => isNonNullType(argument.type) && argument.defaultValue === undefined)) continue;
    const query = `{ ${field.name}(first: 100) { nodes { id } } }`;
    const [here, there] = await Promise.all([api.get(query), api.get(query, {}, stranger)]);
    const there_ = new Set(there[field.name].nodes.map((one: { id: string }) => one.id));
    for (const { id } of here[field.name].nodes) {
      ids.add(id);
      expect(there_.has(id)).toBe(false);
    }
  }
  expect(ids.size).toBeGreaterThan(3);
});

describe("a customer", () => {
  const customer = { role: "customer", user: books.customer } as const;

  test("sees their own account and nothing else", async () => {
    const data = await api.get("{ accounts { nodes { code } } postings { nodes { account { code } } } }", {}, customer);
    expect(data.accounts.nodes).toEqual([{ code: "wallet" }]);
    expect(data.postings.nodes).toEqual([{ account: { code: "wallet" } }]);
  });
  test("sees a transaction on it, with their own posting alone", async () => {
    const { transaction } = await api.get(
      "query ($id: UUID!) { transaction(id: $id) { id postings { nodes { account { code } } } } }",
      { id: posted.id },
      customer,
    );
    expect(transaction).toEqual({ id: posted.id, postings: { nodes: [{ account: { code: "wallet" } }] } });
  });
  test("finds no other account by id or node id", async () => {
    const data = await api.get("query ($id: UUID!) { account(id: $id) { id } }", { id: books.cash }, customer);
    expect(data.account).toBeNull();
  });
  test("of these books sees nothing of others", async () => {
    const data = await api.get("{ accounts { nodes { code } } }", {}, { ...customer, tenant: otherBooks.tenant });
    expect(data.accounts.nodes).toEqual([]);
  });
});

describe("who may do what", () => {
  const post = (role: "customer" | "teller" | "accountant" | "auditor" | "admin" | "anonymous") =>
    api.ask(postMutation, transfer(books.cash, books.sales, "1"), { role });
  test.each(["teller", "accountant", "admin"] as const)("the role %s posts", async (role) => {
    expect((await post(role)).errors).toEqual([]);
  });
  test.each(["customer", "auditor", "anonymous"] as const)("the role %s does not post", async (role) => {
    expect((await post(role)).errors[0]?.extensions).toMatchObject({ code: "LG402", name: "forbidden" });
  });
  test("anyone may read the kinds of refusals", async () => {
    const data = await api.get("{ refusalKinds(first: 1) { nodes { code name } } }", {}, { role: "anonymous" });
    expect(data.refusalKinds.nodes).toEqual([{ code: "LG101", name: "invalid_amount" }]);
  });
});
