import { beforeAll, expect, test } from "@jest/globals";
import fc from "fast-check";
import type pg from "pg";
import { actAs, ensureSession, sessionId, staff } from "../../support/session.ts";
import { bootApi, type Caller } from "../api/_api.ts";

/*
 * GraphQL and psql give the same rows to the same role: for random filters, orders and pages, what a list of the
 * API answers is what a query of its own answers that is written in SQL here and run by the same role.
 */
const api = await bootApi();
const pool = api.db.pool("api");
const [ann, bob] = [api.books.customer, "00000000-0000-7000-8000-0000000000b0"];

interface Field {
  /** In GraphQL, and in SQL. */
  name: string;
  column: string;
  type: string;
  values: unknown[];
}

interface List {
  name: string;
  table: string;
  /** What tells the rows apart, in GraphQL and in SQL. */
  key: [string[], string[]];
  orders: Record<string, string>;
  fields: Field[];
}

const lists = new Map<string, List>();

beforeAll(async () => {
  await api.db.withClient("owner", async (client) => {
    for (const { tenant } of [api.books, api.otherBooks]) await fill(client, tenant);
  });
  // Values that are there, in these books or in others, and one that is not.
  const values = async (sql: string): Promise<unknown[]> =>
    (await api.db.withClient("superuser", (client) => client.query<{ v: unknown }>(sql))).rows.map((row) => row.v);
  const uuids = async (sql: string): Promise<unknown[]> => [
    ...(await values(sql)),
    "00000000-0000-7000-8000-00000000dead",
  ];
  const accountIds = await uuids("select id as v from app_public.accounts");
  const transactionIds = await uuids("select id as v from app_public.transactions");
  const times = await values("select distinct effective_at::text as v from app_public.transactions order by 1 limit 9");
  const primary = { PRIMARY_KEY_ASC: "", PRIMARY_KEY_DESC: "" };
  const all: List[] = [
    {
      name: "accounts",
      table: "accounts",
      key: [["id"], ["id"]],
      orders: { ...primary, ID_ASC: "id", ID_DESC: "id desc", CODE_ASC: "code", CODE_DESC: "code desc" },
      fields: [
        { name: "code", column: "code", type: "text", values: ["cash", "wallet", "w", "", "wallet 2", "nobody"] },
        { name: "currencyCode", column: "currency", type: "text", values: ["USD", "EUR", "XXX"] },
        { name: "ownerId", column: "owner_id", type: "uuid", values: [ann, bob, staff] },
        { name: "parentId", column: "parent_id", type: "uuid", values: accountIds },
      ],
    },
    {
      name: "transactions",
      table: "transactions",
      key: [["id"], ["id"]],
      orders: { ...primary, ID_ASC: "id", ID_DESC: "id desc" },
      fields: [
        { name: "id", column: "id", type: "uuid", values: transactionIds },
        { name: "effectiveAt", column: "effective_at", type: "timestamptz", values: times },
        { name: "idempotencyKey", column: "idempotency_key", type: "text", values: ["key 1", "key", "key 7", "none"] },
        { name: "pendingId", column: "pending_id", type: "uuid", values: transactionIds },
        { name: "reversesId", column: "reverses_id", type: "uuid", values: transactionIds },
      ],
    },
    {
      name: "postings",
      table: "postings",
      key: [
        ["accountId", "version"],
        ["account_id", "version::text"],
      ],
      orders: { ...primary, VERSION_ASC: "version", VERSION_DESC: "version desc" },
      fields: [
        { name: "accountId", column: "account_id", type: "uuid", values: accountIds },
        { name: "transactionId", column: "transaction_id", type: "uuid", values: transactionIds },
        { name: "effectiveAt", column: "effective_at", type: "timestamptz", values: times },
        { name: "version", column: "version", type: "bigint", values: ["1", "2", "3", "20", "-1"] },
      ],
    },
  ];
  for (const list of all) lists.set(list.name, list);
});

/** Accounts of two customers and of the house, and transactions of every kind among them. */
async function fill(client: pg.Client, tenantId: number): Promise<void> {
  await actAs(client, { tenantId, role: "admin", userId: staff });
  await client.query(
    `do $$
     declare
       v_ids uuid[] := array(select a.id from app_public.accounts a where a.tenant_id = ${tenantId} order by a.code);
       v_id uuid;
     begin
       for i in 1 .. 6 loop
         v_ids := v_ids || (app_public.open_account('wallet ' || i, 'w', 'liability', 'USD',
           owner_id => (array['${ann}', '${bob}', null])[1 + i % 3]::uuid, parent_id => v_ids[1 + i % 2])).id;
       end loop;
       for i in 1 .. 60 loop
         v_id := (app_public.post_transaction(row(
           case i % 5 when 0 then 'pending' else 'posted' end, array[
             row(v_ids[1 + i % 9], 'debit', i)::app_public.posting_input,
             row(v_ids[1 + (i * 4 + 1) % 9], 'credit', i)::app_public.posting_input
           ], case when i % 3 = 0 then 'key ' || i % 10 || ' ' || i end,
             timestamptz '2026-01-01Z' + i % 7 * interval '1 day',
           null, null, null, null, null, null)::app_public.transaction_input)).transaction_id;
         if i % 10 = 0 then
           perform app_public.post_pending_transaction(v_id);
         elsif i % 11 = 0 and i % 5 <> 0 then
           perform app_public.reverse_transaction(v_id);
         end if;
       end loop;
     end
     $$`,
  );
}

const operators: Record<string, string> = {
  equalTo: "=",
  notEqualTo: "<>",
  lessThan: "<",
  lessThanOrEqualTo: "<=",
  greaterThan: ">",
  greaterThanOrEqualTo: ">=",
};

interface Condition {
  field: string;
  operator: string;
  value: unknown;
}

const condition = (field: Field): fc.Arbitrary<Condition> =>
  fc.oneof(
    fc.record({
      field: fc.constant(field.name),
      operator: fc.constantFrom(...Object.keys(operators)),
      value: fc.constantFrom(...field.values),
    }),
    fc.record({ field: fc.constant(field.name), operator: fc.constant("isNull"), value: fc.boolean() }),
    fc.record({
      field: fc.constant(field.name),
      operator: fc.constant("in"),
      value: fc.array(fc.constantFrom(...field.values), { maxLength: 4 }),
    }),
    ...(field.type === "text"
      ? [
          fc.record({
            field: fc.constant(field.name),
            operator: fc.constant("startsWith"),
            value: fc.constantFrom(...field.values),
          }),
        ]
      : []),
  );

/** A condition in SQL, its values as parameters. */
function toSql(list: List, { field, operator, value }: Condition, values: unknown[]): string {
  const { column, type } = list.fields.find(({ name }) => name === field) as Field;
  if (operator === "isNull") return `${column} is ${value === true ? "" : "not "}null`;
  values.push(value);
  if (operator === "in") return `${column} = any ($${values.length}::${type}[])`;
  if (operator === "startsWith") return `starts_with(${column}, $${values.length})`;
  return `${column} ${operators[operator]} $${values.length}::${type}`;
}

interface Question {
  of: string;
  conditions: Condition[];
  order: string;
  first: number;
}

function questions(list: List): fc.Arbitrary<Question> {
  return fc.record({
    of: fc.constant(list.name),
    conditions: fc.uniqueArray(fc.oneof(...list.fields.map(condition)), {
      maxLength: 3,
      selector: ({ field }) => field,
    }),
    order: fc.constantFrom(...Object.keys(list.orders)),
    first: fc.integer({ min: 1, max: 12 }),
  });
}

interface Rows {
  rows: string[];
  total: number;
}

/** The first three pages, by cursor. */
async function byGraphql({ of, conditions, order, first }: Question, caller: Caller): Promise<Rows> {
  const list = lists.get(of) as List;
  const type = { accounts: "Account", transactions: "Transaction", postings: "Posting" }[list.name];
  const filter = Object.fromEntries(conditions.map(({ field, operator, value }) => [field, { [operator]: value }]));
  const query = `query ($filter: ${type}Filter, $after: Cursor) {
    ${list.name}(filter: $filter, first: ${first}, after: $after, orderBy: [${order}]) {
      totalCount pageInfo { endCursor hasNextPage } nodes { ${list.key[0].join(" ")} } } }`;
  const rows: string[] = [];
  let after: string | null = null;
  for (let page = 0; page < 3; page += 1) {
    const data = await api.get(query, { ...(conditions.length > 0 ? { filter } : {}), after }, caller);
    const { totalCount, pageInfo, nodes } = data[list.name];
    rows.push(...nodes.map((node: Record<string, string>) => list.key[0].map((name) => node[name]).join(" ")));
    after = pageInfo.endCursor;
    if (!pageInfo.hasNextPage || page === 2) return { rows, total: totalCount };
  }
  throw new Error("There are three pages.");
}

/** The same from a query of our own, by the role itself. */
async function bySql(
  { of, conditions, order, first }: Question,
  caller: Required<Pick<Caller, "tenant" | "role" | "user">>,
): Promise<Rows> {
  const list = lists.get(of) as List;
  const values: unknown[] = [];
  const where = conditions.map((one) => toSql(list, one, values)).join(" and ") || "true";
  // Where the order leaves rows equal, the primary key decides, in the same direction.
  const direction = order.endsWith("DESC") ? " desc" : "";
  const primary = list.key[1].map((column) => `${column.replace("::text", "")}${direction}`).join(", ");
  const by = [list.orders[order], primary].filter((part) => part !== "").join(", ");
  const settings = {
    role: `tallystick_${caller.role}`,
    "tallystick.tenant_id": String(caller.tenant),
    "tallystick.user_id": caller.user,
    "tallystick.session_id": sessionId({ tenantId: caller.tenant, role: caller.role, userId: caller.user }),
  };
  const client = await pool.connect();
  try {
    await client.query("begin");
    await client.query("select set_config(key, value, true) from json_each_text($1)", [JSON.stringify(settings)]);
    const key = list.key[1].join(" || ' ' || ");
    const { rows } = await client.query<{ key: string; total: string }>(
      `select ${key} as key, count(*) over () as total from app_public.${list.table} where ${where} order by ${by}`,
      values,
    );
    return { rows: rows.slice(0, 3 * first).map((row) => row.key), total: Number(rows[0]?.total ?? 0) };
  } finally {
    await client.query("rollback");
    client.release();
  }
}

test.each(["customer", "teller", "auditor"] as const)(
  "a %s gets the same rows of both",
  async (role) => {
    const callers = [api.books.tenant, api.otherBooks.tenant].flatMap((tenant) =>
      (role === "customer" ? [ann, bob] : [staff]).map((user) => ({ tenant, role, user })),
    );
    await api.db.withClient("owner", async (client) => {
      for (const { tenant, user } of callers) await ensureSession(client, { tenantId: tenant, role, userId: user });
    });
    let seen = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(...[...lists.values()].map(questions)),
        fc.constantFrom(...callers),
        async (question, caller) => {
          const [here, there] = await Promise.all([byGraphql(question, caller), bySql(question, caller)]);
          expect(here).toEqual(there);
          seen += here.rows.length;
        },
      ),
      { numRuns: 80 },
    );
    // Not all of the questions may have been answered with nothing.
    expect(seen).toBeGreaterThan(60);
  },
  60_000,
);
