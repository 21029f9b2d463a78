import { describe, expect, test } from "@jest/globals";
import { limits } from "../../../src/graphql/limits.ts";
import { type Answer, bootApi } from "./_api.ts";

const api = await bootApi();

function expectRefused(answer: Answer, code: string, name: string): void {
  expect(answer.data ?? null).toBeNull();
  expect(answer.errors[0]?.extensions).toMatchObject({ code, name, isRetryable: false, hint: expect.any(String) });
}

describe("pages", () => {
  const sizeOf = async (args: string): Promise<number> =>
    (await api.get(`{ isoCurrencies${args} { nodes { code } } }`)).isoCurrencies.nodes.length;

  test("hold 20 rows unless the caller says otherwise", async () => {
    expect(await sizeOf("")).toBe(20);
    expect(await sizeOf("(first: null)")).toBe(20);
  });
  test("hold 100 rows at most", async () => {
    expect(await sizeOf("(first: 100)")).toBe(100);
    for (const first of [101, 2147483647, -1]) {
      const answer = await api.ask("query ($first: Int) { isoCurrencies(first: $first) { nodes { code } } }", {
        first,
      });
      expect(answer.data).toEqual({ isoCurrencies: null });
      expect(answer.errors[0]?.extensions).toMatchObject({ code: "LG161", detail: { first, maximum: 100 } });
    }
  });
  test("are capped inside other rows too", async () => {
    const answer = await api.ask("{ accounts { nodes { postings(first: 101) { nodes { version } } } } }");
    expect(answer.errors[0]?.extensions.code).toBe("LG161");
  });
  test.each(["last: 5", 'before: "x"', "offset: 5"])("do not take %s", async (argument) => {
    const answer = await api.ask(`{ accounts(${argument}) { nodes { id } } }`);
    expect(answer.errors[0]?.extensions.code).toBe("GRAPHQL_VALIDATION_FAILED");
  });
  test("do not take a cursor that is none", async () => {
    for (const after of ["x", "W10=", "e30="]) {
      const answer = await api.ask("query ($after: Cursor) { accounts(after: $after) { nodes { id } } }", { after });
      expect(answer.data).toEqual({ accounts: null });
      expect(answer.errors[0]?.extensions.code).toMatch(/^LG165$/);
    }
  });
});

describe("documents", () => {
  const nest = (times: number, inner: string): string => (times === 0 ? inner : `parent { ${nest(times - 1, inner)} }`);

  test("are not nested too deeply", async () => {
    expectRefused(await api.ask(`{ accounts { nodes { ${nest(12, "id")} } } }`), "LG162", "query_too_deep");
    const answer = await api.ask(`{ accounts { nodes { ${nest(3, "id")} } } }`);
    expect(answer.errors).toEqual([]);
  });
  test("do not nest lists too deeply", async () => {
    const lists = (times: number): string =>
      times === 0
        ? "id"
        : `postings { nodes { transaction { postings { nodes { account { ${lists(times - 1)} } } } } } }`;
    expectRefused(await api.ask(`{ accounts { nodes { ${lists(2)} } } }`), "LG162", "query_too_deep");
  });
  test("nested through fragments count too", async () => {
    const fragments = Array.from({ length: 9 }, (_, n) => `fragment F${n} on Account { parent { ...F${n + 1} } }`);
    const query = `{ accounts { nodes { ...F0 } } } ${fragments.join(" ")} fragment F9 on Account { id }`;
    expectRefused(await api.ask(query), "LG162", "query_too_deep");
  });
  test("do not have too many aliases", async () => {
    const aliases = (count: number): string =>
      `{ currentTenant { ${Array.from({ length: count }, (_, n) => `a${n}: slug`).join(" ")} } }`;
    expect((await api.ask(aliases(limits.aliases))).errors).toEqual([]);
    expectRefused(await api.ask(aliases(limits.aliases + 1)), "LG163", "query_too_large");
  });
  test("with aliases multiplied through fragments count each time", async () => {
    const fragment = `fragment F on Tenant { ${Array.from({ length: 10 }, (_, n) => `a${n}: slug`).join(" ")} }`;
    const query = `{ a: currentTenant { ...F } b: currentTenant { ...F } c: currentTenant { ...F } } ${fragment}`;
    expectRefused(await api.ask(query), "LG163", "query_too_large");
  });
  test("do not have too many root fields", async () => {
    expectRefused(
      await api.ask(`{ ${"currentTenant { slug } ".repeat(limits.rootFields + 1)} }`),
      "LG163",
      "query_too_large",
    );
  });
  test("do not have too many fields", async () => {
    expectRefused(
      await api.ask(`{ currentTenant { ${"slug ".repeat(limits.fields + 1)} } }`),
      "LG163",
      "query_too_large",
    );
  });
  test("do not have too many directives", async () => {
    const directives = "@include(if: true) ".repeat(limits.directives + 1);
    expectRefused(await api.ask(`{ currentTenant { slug ${directives} } }`), "LG163", "query_too_large");
  });
  test("are not too long", async () => {
    const answer = await api.ask(`{ currentTenant { slug } } ${"#".repeat(limits.characters)}`);
    expect(answer.status).toBe(400);
    expectRefused(answer, "LG163", "query_too_large");
  });
  test("with fragments in a circle are refused by GraphQL itself", async () => {
    const answer = await api.ask("{ accounts { nodes { ...A } } } fragment A on Account { parent { ...A } }");
    expect(answer.data ?? null).toBeNull();
    expect(answer.errors.length).toBeGreaterThan(0);
  });
  test("of introspection, as clients send them, pass", async () => {
    const { getIntrospectionQuery } = await import("graphql");
    const answer = await api.ask(getIntrospectionQuery());
    expect(answer.errors).toEqual([]);
    expect(answer.data.__schema.types.length).toBeGreaterThan(50);
  });
});

describe("requests", () => {
  test("are not too large", async () => {
    const answer = await api.send(
      JSON.stringify({ query: "{ currentTenant { slug } }", variables: { x: "y".repeat(2_100_000) } }),
    );
    expect(answer.status).toBe(413);
    expectRefused(answer, "LG164", "body_too_large");
  });
  test.each([
    ["a list", '[{"query":"{ currentTenant { slug } }"}]'],
    ["no query", "{}"],
    ["a query that is no text", '{"query":1}'],
    ["variables that are no object", '{"query":"{ currentTenant { slug } }","variables":[1]}'],
    ["no JSON", "{"],
    ["a lone text", '"x"'],
  ])("with %s are answered with 400", async (_name, body) => {
    const answer = await api.send(body);
    expect(answer.status).toBe(400);
    expect(answer.errors[0]?.extensions.code).toBe("BAD_REQUEST");
  });
  test("other than POST are answered with 405", async () => {
    const response = await fetch(`${api.url}?query={currentTenant{slug}}`);
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe("POST");
  });
});

describe("statements of a request", () => {
  test.each([
    ["anonymous", "2s"],
    ["customer", "5s"],
    ["auditor", "1min"],
  ] as const)("of the role %s run for %s at most", async (role, timeout) => {
    await api.db.withClient("superuser", async (client) => {
      await client.query(`
        create or replace function app_public.timeout_of_this() returns text language sql stable
          as 'select current_setting(''statement_timeout'')';
        grant execute on function app_public.timeout_of_this() to public`);
    });
    const { makePgSettings } = await import("../../../src/graphql/request_context.ts");
    const user = api.books.customer;
    const claims =
      role === "anonymous" ? undefined : { role, tenantId: 1, userId: user, sessionId: user, expiresAt: 0 };
    const pgSettings = makePgSettings({ claims, requestId: "x", address: "" });
    const shown = await api.db.withRollback("api", async (client) => {
      for (const [name, value] of Object.entries(pgSettings))
        await client.query("select set_config($1, $2, true)", [name, value]);
      return (await client.query<{ shown: string }>("select app_public.timeout_of_this() as shown")).rows[0]?.shown;
    });
    expect(shown).toBe(timeout);
  });
});
