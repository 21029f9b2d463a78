import { describe, expect, test } from "@jest/globals";
import { pino } from "pino";
import { GraphQLError } from "postgraphile/graphql";
import { makeMaskError } from "../../../src/graphql/mask_error.ts";
import type { RefusalCatalog } from "../../../src/graphql/refusals.ts";
import { bootApi } from "./_api.ts";

// Functions that fail in every way that PostgreSQL can, made before the server reads the schema.
const faults: Record<string, string> = {
  division: "perform 1 / 0;",
  syntax: "execute 'selec secret_column from app_private.nowhere';",
  missing_table: "execute 'select * from app_public.no_such_table';",
  permission: "execute 'select * from app_private.open_reservations';",
  unique: "raise unique_violation using constraint = 'secret_key', detail = 'Key (secret)=(42) already exists.';",
  foreign_key: "raise foreign_key_violation using constraint = 'secret_fkey';",
  check_rule: "raise check_violation using constraint = 'secret_check', message = 'new row for relation \"secret\"';",
  not_null: "raise not_null_violation using column = 'secret';",
  exclusion: "raise exclusion_violation using constraint = 'secret_excl';",
  deadlock: "raise deadlock_detected using detail = 'Process 42 waits for secret';",
  serialization: "raise serialization_failure;",
  lock_timeout: "raise lock_not_available;",
  slow: "perform set_config('statement_timeout', '200ms', true); raise query_canceled;",
  bad_text: "perform 'secret'::uuid;",
  out_of_range: "perform 99999999999::integer;",
  bad_date: "perform 'secret'::timestamptz;",
  far_date: "perform '2026-13-45'::timestamptz;",
  own_error: "raise exception 'a secret of ours' using errcode = 'P0001', detail = 'secret', hint = 'secret';",
  internal: "raise internal_error using message = 'secret at secret.c:42';",
  assertion: "assert false, 'a secret assertion';",
  shutdown: "raise admin_shutdown;",
};

const expected: Record<string, string> = {
  permission: "LG402",
  unique: "LG362",
  foreign_key: "LG362",
  check_rule: "LG362",
  exclusion: "LG362",
  not_null: "LG160",
  deadlock: "LG360",
  serialization: "LG360",
  lock_timeout: "LG360",
  slow: "LG361",
  bad_text: "LG160",
  out_of_range: "LG160",
  bad_date: "LG160",
  far_date: "LG160",
  shutdown: "LG363",
};

const api = await bootApi({}, async (db) => {
  await db.withClient("owner", async (client) => {
    for (const [name, body] of Object.entries(faults)) {
      await client.query(`create function app_public.fault_${name}() returns integer language plpgsql volatile
        as $fault$ begin ${body} return 1; end $fault$;
        grant execute on function app_public.fault_${name}() to tallystick_admin, tallystick_customer`);
    }
  });
});

const fieldOf = (name: string): string =>
  `fault${name.replace(/(?:^|_)(\w)/g, (_match, letter: string) => letter.toUpperCase())}`;

describe("an error of the database never shows its insides", () => {
  test.each(Object.keys(faults))("%s", async (name) => {
    const answer = await api.ask(`mutation { ${fieldOf(name)}(input: {}) { result } }`);
    expect(answer.status).toBe(200);
    const error = answer.errors[0];
    expect(error).toBeDefined();
    expect(answer.text).not.toMatch(
      /secret|select|selec|no_such_table|app_private|open_reservations|P0001|stack|\.c:|relation|constraint|at line/i,
    );
    const code = expected[name];
    if (code === undefined) {
      expect(error?.message).toMatch(/^An internal error occurred\. It is logged under [\w-]{12}\.$/);
      expect(error?.extensions).toEqual({
        code: "INTERNAL_SERVER_ERROR",
        name: "internal_server_error",
        detail: {},
        hint: expect.any(String),
        isRetryable: false,
        errorId: expect.stringMatching(/^[\w-]{12}$/),
      });
      expect(api.log()).toContain(error?.extensions.errorId);
    } else {
      expect(error?.extensions).toEqual({
        code,
        name: expect.stringMatching(/^[a-z_]+$/),
        detail: {},
        hint: expect.any(String),
        isRetryable: ["LG360", "LG363"].includes(code),
      });
    }
  });
});

test("after an error the connection serves the next request as if nothing had been", async () => {
  for (let round = 0; round < 12; round += 1) {
    await api.ask("mutation { faultSyntax(input: {}) { result } }");
    expect(await api.get("{ currentTenant { slug } }")).toEqual({ currentTenant: { slug: "acme" } });
  }
});

test("a statement that runs into its timeout is answered with LG361", async () => {
  await api.db.withClient("owner", (client) =>
    client.query(`create or replace function app_public.fault_slow() returns integer language plpgsql volatile
      as $$ begin perform pg_sleep(8); return 1; end $$`),
  );
  const started = Date.now();
  const answer = await api.ask(
    "mutation { faultSlow(input: {}) { result } }",
    {},
    { role: "customer", user: api.books.customer },
  );
  expect(answer.errors[0]?.extensions).toMatchObject({ code: "LG361", name: "timed_out", isRetryable: false });
  expect(Date.now() - started).toBeLessThan(7_000);
});

test("a refusal passes with its code, name, detail, hint and whether to try again", async () => {
  const answer = await api.ask(
    `mutation { createCurrency(input: { code: "usd", exponent: 2 }) { currency { code } } }`,
  );
  expect(answer.errors).toEqual([
    {
      message: "A currency needs a code of capitals and digits and an exponent from 0 to 18.",
      locations: expect.any(Array),
      path: ["createCurrency"],
      extensions: {
        code: "LG116",
        name: "invalid_currency",
        detail: { currency: "usd" },
        hint: expect.any(String),
        isRetryable: false,
      },
    },
  ]);
});

describe("errors of GraphQL itself keep a standard code", () => {
  test("syntax", async () => {
    const answer = await api.ask("{ currentTenant { slug ");
    expect(answer.errors[0]?.extensions.code).toBe("GRAPHQL_PARSE_FAILED");
  });
  test("an unknown field", async () => {
    const answer = await api.ask("{ currentTenant { slugg } }");
    expect(answer.errors[0]?.extensions.code).toBe("GRAPHQL_VALIDATION_FAILED");
  });
  test("a variable of the wrong type", async () => {
    const answer = await api.ask("query ($id: UUID!) { account(id: $id) { id } }", {});
    expect(answer.errors[0]?.extensions.code).toBe("BAD_USER_INPUT");
  });
});

test.each(["not a uuid", ""])("the malformed id %p is refused, wherever it stands", async (id) => {
  const written = await api.ask(`{ account(id: "${id}") { id } }`);
  expect(written.errors[0]?.extensions.code).toBe("GRAPHQL_VALIDATION_FAILED");
  const sent = await api.ask("query ($id: UUID!) { account(id: $id) { id } }", { id });
  expect(sent.errors[0]?.extensions.code).toBe("BAD_USER_INPUT");
  const nodeId = Buffer.from(JSON.stringify(["Account", id])).toString("base64");
  const node = await api.ask("query ($nodeId: ID!) { node(nodeId: $nodeId) { nodeId } }", { nodeId });
  expect(node.data.node).toBeNull();
});

describe("in production", () => {
  const log = pino({ level: "silent" });
  const refusals: RefusalCatalog = new Map();
  const suggestion = new GraphQLError('Cannot query field "slugg" on type "Tenant". Did you mean "slug"?');

  test("no name of the schema is suggested", () => {
    const mask = makeMaskError({ refusals, log, isProduction: true });
    expect(mask(suggestion).message).toBe('Cannot query field "slugg" on type "Tenant".');
    const label = new GraphQLError(
      'Value "CASHH" does not exist in "AccountType" enum. Did you mean the enum value "ASSET" or "EQUITY"?',
    );
    expect(mask(label).message).toBe('Value "CASHH" does not exist in "AccountType" enum.');
  });
  test("elsewhere it is", () => {
    const mask = makeMaskError({ refusals, log, isProduction: false });
    expect(mask(suggestion).message).toContain("Did you mean");
  });
});
