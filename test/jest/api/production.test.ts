import { describe, expect, test } from "@jest/globals";
import { getIntrospectionQuery } from "graphql";
import { bootApi } from "./_api.ts";

/* The API as it runs in production, but for registered operations, which have a test of their own. */
const api = await bootApi({ NODE_ENV: "production", TALLYSTICK_ALLOW_ANY_OPERATION: "true" });
const base = api.url.replace(/\/graphql$/, "");

describe("in production", () => {
  test.each([
    ["as clients send it", getIntrospectionQuery()],
    ["of one type", '{ __type(name: "Account") { fields { name } } }'],
    ["under another name", "{ a: __schema { types { name } } }"],
    ["through a fragment", "{ ...F } fragment F on Query { __schema { queryType { name } } }"],
    ["in a mutation", "mutation { __schema { types { name } } }"],
    ["in the query in a query", "{ query { __schema { types { name } } } }"],
  ])("introspection %s is refused", async (_name, query) => {
    const answer = await api.ask(query);
    expect(answer.data ?? null).toBeNull();
    expect(answer.errors[0]?.extensions.code).toBe("GRAPHQL_VALIDATION_FAILED");
    expect(answer.text).not.toContain("AccountConnection");
  });
  test("__typename, which clients need, is answered", async () => {
    expect(await api.get("{ __typename currentTenant { __typename } }")).toEqual({
      __typename: "Query",
      currentTenant: { __typename: "Tenant" },
    });
  });
  test.each([
    ["a field", "{ currentTenants { slug } }", {}],
    ["a field of a row", "{ currentTenant { slugg } }", {}],
    ["an argument", "{ accounts(firsst: 1) { nodes { id } } }", {}],
    ["a type", "query ($a: AcountType) { accounts { nodes { id } } }", {}],
    ["a value of an enum", "{ accounts(orderBy: [COD_ASC]) { nodes { id } } }", {}],
    ["a fragment's type", "{ ...F } fragment F on Qery { __typename }", {}],
    ["a directive", "{ __typename @skipp(if: true) }", {}],
    [
      "a field of a variable",
      "mutation ($t: TransactionInput!) { postTransaction(input: { transaction: $t }) { result { transactionId } } }",
      { t: { postingz: [] } },
    ],
    [
      "an enum in a variable",
      "query ($o: [AccountOrderBy!]) { accounts(orderBy: $o) { nodes { id } } }",
      { o: ["COD_ASC"] },
    ],
  ])("a mistake in the name of %s is met with no suggestion", async (_name, query, variables) => {
    const answer = await api.ask(query, variables);
    expect(answer.errors.length).toBeGreaterThan(0);
    expect(answer.text).not.toMatch(/did you mean/i);
  });
  test("there is no GraphiQL, nor a file of it", async () => {
    for (const path of [
      "/",
      "/ruru-static/",
      "/ruru-static/ruru.js",
      "/graphiql",
      "/altair",
      "/playground",
      "/voyager",
    ]) {
      const response = await fetch(`${base}${path}`, { headers: { accept: "text/html" } });
      expect(response.status).toBe(404);
      expect(response.headers.get("content-type")).toContain("application/json");
    }
    const onPath = await fetch(api.url, { headers: { accept: "text/html" } });
    expect([onPath.status, await onPath.text()]).toEqual([405, expect.not.stringContaining("<html")]);
  });
  test("there is no /metrics without a token for it", async () => {
    for (const headers of [{}, { authorization: "Bearer undefined" }, { authorization: `Bearer ${api.token({})}` }]) {
      expect((await fetch(`${base}/metrics`, { headers: headers as Record<string, string> })).status).toBe(404);
    }
  });
  test("the protections of browsers are on", async () => {
    const { headers } = await api.ask("{ __typename }");
    expect(headers.get("strict-transport-security")).toMatch(/max-age=\d{8}; includeSubDomains/);
    expect(headers.get("content-security-policy")).toContain("default-src 'none'");
  });
});

describe("with a token for /metrics", () => {
  test("only who has it reads the figures", async () => {
    const metrics = `${guarded.url.replace(/\/graphql$/, "")}/metrics`;
    const ask = (authorization?: string) => fetch(metrics, { headers: authorization ? { authorization } : {} });
    expect((await ask()).status).toBe(404);
    expect((await ask("Bearer a token for the metricz")).status).toBe(404);
    expect((await ask("a token for the metrics")).status).toBe(404);
    const answer = await ask("Bearer a token for the metrics");
    expect([answer.status, await answer.text()]).toEqual([200, expect.stringContaining("tallystick_pool_connections")]);
  });
});
const guarded = await bootApi({
  NODE_ENV: "production",
  TALLYSTICK_ALLOW_ANY_OPERATION: "true",
  TALLYSTICK_METRICS_TOKEN: "a token for the metrics",
});
