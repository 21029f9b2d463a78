import { describe, expect, test } from "@jest/globals";
import { staff } from "../../support/session.ts";
import { bootApi } from "../api/_api.ts";

/* The audit trail over GraphQL: what an auditor asks, and that asking is in it. */
const api = await bootApi();
const { books, otherBooks, db } = api;
const auditor = "00000000-0000-7000-8000-00000000a0d1";
const asAuditor = { role: "auditor", user: auditor } as const;

interface Entry {
  operation: string;
  tableName: string;
  rowKey: string;
  before: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
  userId: string | null;
  address: string | null;
}

const trailQuery = /* GraphQL */ `
  query Trail($filter: AuditEntryFilter, $first: Int, $after: Cursor, $orderBy: [AuditEntryOrderBy!]) {
    auditEntries(filter: $filter, first: $first, after: $after, orderBy: $orderBy) {
      nodes { id at operation tableName rowKey before after userId sessionId requestRole address databaseUser }
      pageInfo { hasNextPage endCursor }
    }
  }
`;

async function trail(variables: object, caller: object = asAuditor): Promise<Entry[]> {
  const data = await api.get(trailQuery, variables as Record<string, unknown>, caller);
  return data.auditEntries.nodes as Entry[];
}

const readings = async (): Promise<number> =>
  db.withClient("superuser", async (client) => {
    const { rows } = await client.query<{ n: string }>(
      `select count(*) as n from app_private.audit_entries
       where operation = 'read' and user_id = $1 and tenant_id = $2 and address is not null`,
      [auditor, books.tenant],
    );
    return Number(rows[0]?.n);
  });

test("an auditor learns who changed a limit, and from what to what", async () => {
  await api.get(
    `mutation ($id: UUID!) {
      setAccountLimits(input: { id: $id, minimumBalance: "-90071992547409931" }) { account { id } }
    }`,
    { id: books.wallet },
  );
  const filter = {
    tableName: { equalTo: "accounts" },
    rowKey: { equalTo: books.wallet },
    operation: { equalTo: "UPDATE" },
  };
  const [entry] = await trail({ filter, orderBy: ["ID_DESC"] });
  expect(entry).toMatchObject({
    operation: "UPDATE",
    userId: staff,
    requestRole: "tallystick_admin",
    databaseUser: "tallystick_api",
    address: "127.0.0.1",
    before: { minimum_balance: null },
    after: { minimum_balance: "-90071992547409931" },
  });
});

test("each query of the trail is an entry of it, however many pages are read", async () => {
  const before = await readings();
  let after: string | null = null;
  const seen: string[] = [];
  for (let page = 0; page < 3; page += 1) {
    const data = await api.get(trailQuery, { first: 4, after, orderBy: ["ID_ASC"] }, asAuditor);
    seen.push(...data.auditEntries.nodes.map(({ id }: { id: string }) => id));
    after = data.auditEntries.pageInfo.endCursor as string;
  }
  expect(new Set(seen).size).toBe(12);
  expect([...seen].sort()).toEqual(seen);
  expect(await readings()).toBe(before + 3);
});

test("so are a count, and each list of a document", async () => {
  await db.withClient("owner", (client) =>
    client.query("select app_private.record_security_event('permission_denied', 'info', '{}', $1)", [books.tenant]),
  );
  const before = await readings();
  await api.get("{ auditEntries { totalCount } }", {}, asAuditor);
  const counted = await readings();
  expect(counted).toBeGreaterThan(before);
  await api.get("{ a: auditEntries(first: 1) { nodes { id } } securityEvents { nodes { id } } }", {}, asAuditor);
  expect(await readings()).toBe(counted + 2);
});

describe("filters", () => {
  test.each([
    ["actor", { userId: { equalTo: staff } }, (entry: Entry) => entry.userId === staff],
    ["operation", { operation: { equalTo: "READ" } }, (entry: Entry) => entry.operation === "READ"],
    ["table", { tableName: { equalTo: "accounts" } }, (entry: Entry) => entry.tableName === "accounts"],
    ["time", { at: { greaterThan: "2020-01-01T00:00:00Z" } }, () => true],
  ])("by %s", async (_what, filter, holds) => {
    const found = await trail({ filter });
    expect(found.length).toBeGreaterThan(0);
    expect(found.filter((entry) => !holds(entry))).toEqual([]);
  });

  test("by a time at which there was nothing", async () => {
    expect(await trail({ filter: { at: { lessThan: "2020-01-01T00:00:00Z" } } })).toEqual([]);
  });
});

test("another tenant's auditor finds none of it", async () => {
  const caller = { ...asAuditor, tenant: otherBooks.tenant };
  expect(await trail({ filter: { rowKey: { equalTo: books.wallet } } }, caller)).toEqual([]);
  const answer = await api.get(
    "{ auditEntries(filter: { operation: { notEqualTo: READ } }) { totalCount } }",
    {},
    caller,
  );
  const { rows } = await db.withClient("superuser", (client) =>
    client.query<{ n: number }>(
      "select count(*)::integer as n from app_private.audit_entries where tenant_id = $1 and operation <> 'read'",
      [otherBooks.tenant],
    ),
  );
  expect(answer.auditEntries.totalCount).toBe(rows[0]?.n);
});

test.each(["customer", "teller", "accountant", "anonymous"] as const)("a %s reads nothing of it", async (role) => {
  for (const field of ["auditEntries", "securityEvents", "securityEventKinds"]) {
    const answer = await api.ask(`{ ${field} { nodes { __typename } } }`, {}, { role });
    expect(answer.errors[0]?.extensions.code).toBe("LG402");
    expect(answer.data?.[field] ?? null).toBeNull();
  }
});
