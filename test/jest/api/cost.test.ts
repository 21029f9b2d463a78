import { describe, expect, test } from "@jest/globals";
import { buildSchema, getOperationAST, isObjectType, parse, validate } from "graphql";
import { makeCostOf } from "../../../src/graphql/cost.ts";
import { assumedLengths, weights } from "../../../src/graphql/cost_weights.ts";
import { limits } from "../../../src/graphql/limits.ts";
import { readProjectFile } from "../../support/project_files.ts";
import { bootApi, postMutation, transfer } from "./_api.ts";

const api = await bootApi({ TALLYSTICK_MAX_QUERY_COST: "5000" });
// From a text, so that no server is needed: costs are known before anything runs.
const schema = buildSchema(readProjectFile("schema/api.graphql"));
const costOf = makeCostOf(schema);

function cost(query: string, variables: Record<string, unknown> = {}): number {
  const document = parse(query);
  expect(validate(schema, document)).toEqual([]);
  const operation = getOperationAST(document);
  if (!operation) throw new Error("There is no operation.");
  return costOf(document, operation, variables).cost;
}

const accounts = (first: string, inner: string): string => `{ accounts${first} { nodes { ${inner} } } }`;

describe("the cost of a query", () => {
  test("is about the number of objects in its answer", () => {
    expect(cost("{ currentTenant { slug name } }")).toBe(2);
    expect(cost(accounts("(first: 100)", "id code"))).toBe(121);
    expect(cost(accounts("(first: 100)", "postings(first: 100) { nodes { amount } }"))).toBe(11_201);
  });
  test("takes 20 rows where nothing is said, and at most 100", () => {
    expect(cost(accounts("", "id"))).toBe(cost(accounts("(first: 20)", "id")));
    for (const first of ["1000", "2147483647", "-1"]) {
      expect(cost(accounts(`(first: ${first})`, "id"))).toBe(cost(accounts("(first: 100)", "id")));
    }
  });
  test("reads page sizes from variables, their defaults, and nothing else for a full page", () => {
    const query = "query ($first: Int) { accounts(first: $first) { nodes { id } } }";
    expect(cost(query, { first: 7 })).toBe(cost(accounts("(first: 7)", "id")));
    expect(cost(query, {})).toBe(cost(accounts("", "id")));
    expect(cost(query, { first: "7" })).toBe(cost(accounts("(first: 100)", "id")));
    expect(cost("query ($first: Int = 3) { accounts(first: $first) { nodes { id } } }")).toBe(
      cost(accounts("(first: 3)", "id")),
    );
  });
  test("counts fragments as often as they are spread, and edges like nodes", () => {
    const fragment = "fragment F on Account { id code name } ";
    expect(cost(fragment + accounts("(first: 50)", "...F"))).toBe(cost(accounts("(first: 50)", "id code name")));
    expect(cost("{ accounts(first: 50) { edges { node { id } } } }")).toBeGreaterThanOrEqual(
      cost(accounts("(first: 50)", "id")),
    );
  });
  test("counts a fragment for the page that it stands in", () => {
    const fragment = "fragment P on AccountConnection { nodes { id } } ";
    const both = "{ a: accounts(first: 100) { ...P } b: accounts(first: 1) { ...P } }";
    expect(cost(fragment + both)).toBe(Math.ceil(cost(accounts("(first: 100)", "id")) + 2.1));
  });
  test("takes conditions to hold, and every type of an interface to come", () => {
    expect(cost("{ accounts(first: 50) @skip(if: true) { nodes { id } } }")).toBe(cost(accounts("(first: 50)", "id")));
    expect(
      cost('{ node(nodeId: "x") { ... on Account { postings(first: 100) { nodes { amount } } } } }'),
    ).toBeGreaterThan(100);
  });
  test("is high for what reads many rows, each time that it does", () => {
    expect(cost("{ postings { totalCount } }")).toBeGreaterThan(500);
    expect(cost(accounts("(first: 20)", "postings { aggregates { sum { postedAmount } } }"))).toBeGreaterThan(10_000);
    expect(cost("{ verifyLedger { violations } }")).toBeGreaterThan(20_000);
  });
  test("of a batch goes by its length", () => {
    const mutation = `mutation ($transactions: [TransactionInput!]!) {
      postTransactions(input: { transactions: $transactions }) {
        results { transactionId refusal { code name message hint isRetryable detail } } } }`;
    const one = cost(mutation, { transactions: [{}] });
    const many = cost(mutation, { transactions: Array.from({ length: 10_000 }, () => ({})) });
    expect(one).toBeLessThan(110);
    // What the documentation shows, at the greatest length that a batch has, is within the default limit.
    expect(many).toBeGreaterThan(20_000);
    expect(many).toBeLessThan(50_000);
  });
  test("is finite and counted quickly, however fragments multiply", () => {
    const fragments = Array.from({ length: 40 }, (_, n) => `fragment F${n} on Account { ...F${n + 1} ...F${n + 1} }`);
    const started = performance.now();
    const query = `{ accounts(first: 100) { nodes { ...F0 } } } ${fragments.join(" ")} fragment F40 on Account { id }`;
    expect(cost(query)).toBeGreaterThan(1e12);
    expect(performance.now() - started).toBeLessThan(500);
  });
});

describe("every weight", () => {
  const names = [...Object.keys(weights), ...Object.keys(assumedLengths)];
  test.each(names)("of %s is that of a field", (name) => {
    const [type = "", field = ""] = name.split(".");
    const types = Object.values(schema.getTypeMap())
      .filter(isObjectType)
      .filter((one) => (type.startsWith("*") ? one.name.endsWith(type.slice(1)) : one.name === type));
    expect(types.some((one) => field in one.getFields())).toBe(true);
  });
});

describe("the API", () => {
  test("refuses what costs more than the maximum, and says both; nothing was read", async () => {
    const answer = await api.ask(accounts("(first: 100)", "postings(first: 100) { nodes { amount } }"));
    expect(answer.data ?? null).toBeNull();
    expect(answer.errors).toMatchObject([
      {
        extensions: {
          code: "LG166",
          name: "query_too_costly",
          detail: { cost: 11_201, maximum: 5_000 },
          isRetryable: false,
        },
      },
    ]);
  });
  test("looks at the variables of each request, not at those of the first", async () => {
    const query = "query ($n: Int) { accounts(first: $n) { nodes { postings(first: $n) { nodes { amount } } } } }";
    expect((await api.ask(query, { n: 10 })).errors).toEqual([]);
    expect((await api.ask(query, { n: 100 })).errors[0]?.extensions.code).toBe("LG166");
    expect((await api.ask(query, { n: 10 })).errors).toEqual([]);
  });
  test("refuses a mutation before it writes", async () => {
    const before = await api.get("{ transactions { totalCount } }");
    const lists =
      "balances { account { postings(first: 100) { nodes { transaction { id reversedBy { reverses { id } } } } } } }";
    const mutation = postMutation.replace("isReplayed", `isReplayed all: ${lists} more: ${lists}`);
    const answer = await api.ask(mutation, transfer(api.books.cash, api.books.sales, "5"));
    expect(answer.errors[0]?.extensions.code).toBe("LG166");
    expect(await api.get("{ transactions { totalCount } }")).toEqual(before);
  });
  test("refuses an operation of several that is too costly, and runs the others", async () => {
    const large = accounts("(first: 100)", "postings(first: 100) { nodes { amount } }");
    const query = `query Small { currentTenant { slug } } query Large ${large}`;
    const send = (operationName: string) =>
      api.send(JSON.stringify({ query, operationName }), { authorization: `Bearer ${api.token({})}` });
    expect((await send("Small")).errors).toEqual([]);
    expect((await send("Large")).errors[0]?.extensions.code).toBe("LG166");
  });
});

describe("root fields", () => {
  const many = "currentTenant { slug } ".repeat(limits.rootFields + 1);
  test.each([
    ["of a query", `{ ${many} }`],
    ["in a fragment", `{ ...F } fragment F on Query { ${many} }`],
    ["in a field without a name of its own", `{ ... { ${many} } }`],
    ["of the query in a query", `{ query { ${many} } }`],
    [
      "of the query in a payload",
      `mutation { updateAccount(input: { id: "00000000-0000-7000-8000-000000000000" }) { query { ${many} } } }`,
    ],
  ])("%s are counted", async (_name, query) => {
    const answer = await api.ask(query);
    expect(answer.errors[0]?.extensions).toMatchObject({ code: "LG163", detail: { maximum: limits.rootFields } });
  });
});

test("words are counted before anything is made of them", async () => {
  const answer = await api.ask(
    `{ accounts(filter: { id: { in: [${"1 ".repeat(limits.tokens)}] } }) { nodes { id } } }`,
  );
  expect(answer.errors[0]?.extensions).toMatchObject({ code: "LG163", detail: { maximum: limits.tokens } });
  expect(answer.errors[0]?.extensions.detail).toHaveProperty("tokens");
});

describe("documents that take long to check", () => {
  const fragments = Array.from({ length: 50 }, (_, n) => `fragment F${n} on Tenant { ...F${n + 1} ...F${n + 1} }`);
  const doubling = fragments.join(" ");
  const quickly = async (query: string): Promise<string | undefined> => {
    const started = performance.now();
    const answer = await api.ask(query);
    expect(performance.now() - started).toBeLessThan(1_500);
    return answer.errors[0]?.extensions.code;
  };
  test.each([
    ["thousands of fields that must be compared", `{ currentTenant { ${"slug ".repeat(3_900)} } }`, "LG163"],
    ["thousands of tokens", `{ currentTenant { slug } ${"a ".repeat(8_000)} }`, "LG163"],
    [
      "a thousand fragments",
      `{ currentTenant { slug } } ${Array.from({ length: 700 }, (_, n) => `fragment F${n} on Tenant{id}`).join("")}`,
      "LG163",
    ],
    ["braces in braces", "{a".repeat(1_200) + "}".repeat(1_200), "LG162"],
    ["lists in lists", `{ a(b: ${"[".repeat(2_400)}${"]".repeat(2_400)}) }`, /^(LG162|GRAPHQL_VALIDATION_FAILED)$/],
    [
      "types in types",
      `query ($a: ${"[".repeat(2_400)}Int${"]".repeat(2_400)}) { a }`,
      /^(LG162|GRAPHQL_VALIDATION_FAILED)$/,
    ],
    ["fragments that double", `{ currentTenant { ...F0 } } ${doubling} fragment F50 on Tenant { slug }`, "LG163"],
    [
      "fragments in a circle",
      "{ currentTenant { ...A } } fragment A on Tenant { ...B } fragment B on Tenant { ...A }",
      "GRAPHQL_VALIDATION_FAILED",
    ],
    ["a wrong field thousands of times", `{ ${"nothing ".repeat(900)} }`, "GRAPHQL_VALIDATION_FAILED"],
  ])("%s", async (_name, query, code) => {
    const found = await quickly(query);
    if (code instanceof RegExp) expect(found).toMatch(code);
    else expect(found).toBe(code);
  });
});
