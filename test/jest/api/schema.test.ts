import { describe, expect, test } from "@jest/globals";
import {
  buildSchema,
  type GraphQLNamedType,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isObjectType,
  isSpecifiedScalarType,
} from "graphql";
import { printApiSchema } from "../../../src/graphql/print_schema.ts";
import { identityOperations } from "../../../src/identity/identity.ts";
import { createTestDatabase } from "../../support/test_database.ts";

const db = await createTestDatabase();
const sdl = await printApiSchema(db.urls.api);
const schema = buildSchema(sdl);
const types = Object.values(schema.getTypeMap()).filter(
  (type) => !type.name.startsWith("__") && !isSpecifiedScalarType(type),
);

interface Named {
  at: string;
  name: string;
  description: string | null | undefined;
  type?: string;
}

/** Everything that has a name: types, fields, arguments, labels. */
function* everything(type: GraphQLNamedType): Generator<Named> {
  yield { at: type.name, name: type.name, description: type.description };
  if (isEnumType(type)) {
    for (const { name, description } of type.getValues()) yield { at: `${type.name}.${name}`, name, description };
  }
  if (!isObjectType(type) && !isInterfaceType(type) && !isInputObjectType(type)) return;
  for (const field of Object.values(type.getFields())) {
    const at = `${type.name}.${field.name}`;
    yield { at, name: field.name, description: field.description, type: String(field.type) };
    if (!("args" in field)) continue;
    for (const argument of field.args) {
      const { name, description } = argument;
      yield { at: `${at}(${name})`, name, description, type: String(argument.type) };
    }
  }
}

const all = types.flatMap((type) => [...everything(type)]);

describe("every name", () => {
  test("has a description that is a sentence", () => {
    const bare = all.filter(
      ({ description }) => !description || !/^[A-Z"`(]/.test(description) || !/[.!?)]$/.test(description),
    );
    expect(bare.map(({ at, description }) => `${at}: ${description}`)).toEqual([]);
  });

  test("leaves out the tenant, row ids and the seams of composite keys", () => {
    const bad = /tenantId|ByTenant|rowId|InputRecord|RecordInput|AndRow|fingerprint|xactId|ByNodeId|RowInput/i;
    expect(all.filter(({ name }) => bad.test(name)).map(({ at }) => at)).toEqual([]);
    // No column, no argument: operators name a tenant by its slug, everyone else has the one of their token.
    const named = all.filter(({ at, name }) => at.includes(".") && /tenant/i.test(name)).map(({ at }) => at);
    // Who signs in has no token yet, and says where.
    const signingIn = /^(LoginInput|RegisterInput|SignedIn|TenantChoice)\.tenant$|^Session\.tenantName$/;
    const fields = new RegExp(`^\\w+Payload\\.tenant$|^(Query|Mutation)\\.[a-zA-Z]+$|${signingIn.source}`);
    expect(named.filter((at) => !fields.test(at))).toEqual([]);
  });

  test("is camelCase, or CONSTANT_CASE where it is a label", () => {
    const labels = new Set(types.filter(isEnumType).map((type) => type.name));
    const odd = all.filter(({ at, name }) => {
      const [owner, member] = at.split(".");
      if (member === undefined) return !/^[A-Z][A-Za-z0-9]*$/.test(name);
      return labels.has(owner ?? "") ? !/^[A-Z][A-Z0-9_]*$/.test(name) : !/^[a-z][A-Za-z0-9]*$/.test(name);
    });
    expect(odd.map(({ at }) => at)).toEqual([]);
  });
});

test("every amount says that it is in minor units, or what it is the formatted form of", () => {
  const amounts = all.filter(({ type, at }) => /^\[?Amount!?\]?!?$/.test(type ?? "") && !/Filter\./.test(at));
  expect(amounts.length).toBeGreaterThan(10);
  expect(amounts.filter(({ description }) => !/minor unit/i.test(description ?? "")).map(({ at }) => at)).toEqual([]);
});

test("everything is written by functions, under the names that are promised", async () => {
  const mutations = Object.keys(schema.getMutationType()?.getFields() ?? {});
  const promised =
    "openAccount freezeAccount closeAccount setAccountLimits postTransaction postTransactions " +
    "postPendingTransaction voidPendingTransaction reverseTransaction closePeriod";
  expect(mutations).toEqual(expect.arrayContaining(promised.split(" ")));
  expect(Object.keys(schema.getQueryType()?.getFields() ?? {})).toEqual(
    expect.arrayContaining(["trialBalance", "verifyLedger"]),
  );
  const functions = await db.withClient("superuser", async (client) => {
    const { rows } = await client.query<{ name: string }>(`
      select proname as name from pg_proc
      where pronamespace in ('app_public'::regnamespace, 'app_hidden'::regnamespace) and provolatile = 'v'`);
    return new Set(rows.map(({ name }) => name.replace(/_(\w)/g, (_match, letter: string) => letter.toUpperCase())));
  });
  // Those that need what the database must not have, passwords and keys, call functions as a role of their own; a
  // statement is read from its file first, and imported in steps.
  const inNode = new Set<string>([...identityOperations, "importStatement"]);
  expect(mutations.filter((name) => !functions.has(name) && !inNode.has(name))).toEqual([]);
});

test("filters and orders are on columns that an index begins with, after the tenant", async () => {
  const indexed = await db.withClient("superuser", async (client) => {
    const { rows } = await client.query<{ column: string }>(`
      select c.relname || '.' || a.attname as column
      from pg_index i
      join pg_class c on c.oid = i.indrelid
      join pg_class x on x.oid = i.indexrelid
      join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'app_public'
      cross join lateral unnest(i.indkey::smallint[]) with ordinality as k (attnum, place)
      join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
      where k.place <= 3 and a.attname <> 'tenant_id'`);
    return new Set(rows.map((row) => row.column));
  });
  const tables: Record<string, string> = {
    Account: "accounts",
    Transaction: "transactions",
    Posting: "postings",
    Currency: "currencies",
    AccountingPeriod: "accounting_periods",
    RefusalKind: "refusals",
    Tenant: "tenants",
    Membership: "memberships",
    Invitation: "invitations",
  };
  const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  const used: string[] = [];
  for (const [typeName, table] of Object.entries(tables)) {
    const filter = schema.getType(`${typeName}Filter`);
    const names = isInputObjectType(filter) ? Object.keys(filter.getFields()) : [];
    const order = schema.getType(`${typeName}OrderBy`);
    const labels = isEnumType(order) ? order.getValues().map(({ name }) => name) : [];
    for (const name of names) used.push(`${table}.${snake(name)}`);
    for (const label of labels) {
      const column = label.replace(/_(ASC|DESC)$/, "").toLowerCase();
      if (!["natural", "primary_key"].includes(column)) used.push(`${table}.${column}`);
    }
  }
  expect(used.length).toBeGreaterThan(10);
  const columns = used.map((column) => column.replace(/currency_code$/, "currency"));
  // Read through the index of the account or transaction that is asked for, never alone.
  const inside = new Set(["postings.effective_at"]);
  expect(columns.filter((column) => !indexed.has(column) && !inside.has(column))).toEqual([]);
});

test("a table that nobody has opened is not there, whatever is granted on it", async () => {
  await db.withClient("owner", (client) =>
    client.query(`
      create table app_public.forgotten_things (tenant_id integer not null, id uuid primary key, secret text);
      grant select, insert, update, delete on app_public.forgotten_things to tallystick_admin;
      create function app_public.forgotten_action() returns integer language sql volatile as 'select 1'`),
  );
  const text = await printApiSchema(db.urls.api);
  expect(text).not.toMatch(/forgotten/i);
});
