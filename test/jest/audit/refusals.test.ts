import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "@jest/globals";
import type pg from "pg";
import { pino } from "pino";
import { startApi } from "../../../src/api.ts";
import { startRefusalRecorder } from "../../../src/audit/refusal_recorder.ts";
import { loadConfig } from "../../../src/config.ts";
import { staff } from "../../support/session.ts";
import { bootApi, postMutation, secret, transfer } from "../api/_api.ts";

/* What the API refuses is written down, once, in the name of who asked, and after the answer. */
const api = await bootApi({ TALLYSTICK_TRUST_PROXY: "1" });
const { books, otherBooks, db } = api;

interface Entry {
  requestId: string;
  action: string;
  rowKey: string | null;
  userId: string;
  role: string;
  address: string;
  after: { code: string; detail?: Record<string, unknown> };
}

const refused = async (requestId: string): Promise<Entry[]> =>
  db.withClient("superuser", async (client) => {
    const { rows } = await client.query<Entry>(
      `select request_id as "requestId", action, row_key as "rowKey", user_id as "userId", request_role as role,
         host(address) as address, after
       from app_private.audit_entries where operation = 'refused' and request_id = $1 order by id`,
      [requestId],
    );
    return rows;
  });

interface Event {
  kind: string;
  tenant: number | null;
  userId: string | null;
  requestId: string;
  address: string;
  detail: Record<string, unknown>;
}

const events = async (kind: string): Promise<Event[]> =>
  db.withClient("superuser", async (client) => {
    const { rows } = await client.query<Event>(
      `select kind, tenant_id as tenant, user_id as "userId", request_id as "requestId",
         host(address) as address, detail
       from app_private.security_events where kind = $1 order by id`,
      [kind],
    );
    return rows;
  });

/** Asks again until there is an answer, or long enough. */
async function eventually<T>(find: () => Promise<T[]>, count = 1): Promise<T[]> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const found = await find();
    if (found.length >= count) return found;
    await sleep(50);
  }
  return find();
}

/** Long enough for whatever would have been recorded to be there. */
const settle = (): Promise<void> => sleep(1_300);

const send = (
  query: string,
  variables: object,
  headers: Record<string, string> = {},
  role: "admin" | "teller" = "admin",
) => api.send(JSON.stringify({ query, variables }), { authorization: `Bearer ${api.token({ role })}`, ...headers });

describe("a refused movement of money", () => {
  test("is in the trail, with who, from where and why", async () => {
    const answer = await send(postMutation, transfer(books.cash, otherBooks.cash, "5"), {
      "x-request-id": "refused-1",
      "x-forwarded-for": "10.0.0.1, 2001:db8::7",
    });
    expect(answer.errors[0]?.extensions.code).toBe("LG301");
    expect(await eventually(() => refused("refused-1"))).toEqual([
      {
        requestId: "refused-1",
        action: "postTransaction",
        rowKey: otherBooks.cash,
        userId: staff,
        role: "tallystick_admin",
        address: "2001:db8::7",
        after: { code: "LG301", detail: expect.objectContaining({ accountId: otherBooks.cash }) },
      },
    ]);
  });

  test("is there once for each field, by the name of the field", async () => {
    // The keys of the answer are the caller's choice, and name nothing.
    const query = `mutation ($t: TransactionInput!) {
      account: postTransaction(input: { transaction: $t }) { result { transactionId } }
      freezeAccount(input: { id: "${books.tenant}2345678-0000-4000-8000-000000000000" }) { account { id } }
    }`;
    await send(query, { t: transfer(books.cash, books.sales, "0").transaction }, { "x-request-id": "refused-2" });
    const found = await eventually(() => refused("refused-2"), 2);
    await settle();
    expect((await refused("refused-2")).map(({ action, after }) => [action, after.code])).toEqual(
      found.map(({ action, after }) => [action, after.code]),
    );
    expect(found.map(({ action, after }) => [action, after.code])).toEqual([
      ["postTransaction", "LG102"],
      ["freezeAccount", "LG301"],
    ]);
  });

  test("is not there if nothing was refused", async () => {
    const answer = await send(postMutation, transfer(books.cash, books.sales, "5"), { "x-request-id": "accepted-1" });
    expect(answer.errors).toEqual([]);
    await settle();
    expect(await refused("accepted-1")).toEqual([]);
  });

  test("is there for each refused item of a batch, whatever the client asked to see", async () => {
    const query = `mutation ($ts: [TransactionInput!]!) {
      postTransactions(input: { transactions: $ts, mode: INDEPENDENT }) { results { transactionId } }
    }`;
    const ts = [otherBooks.sales, books.sales, books.cash].map((to) => transfer(books.cash, to, "5").transaction);
    const answer = await send(query, { ts }, { "x-request-id": "refused-3" });
    expect(answer.errors).toEqual([]);
    const found = await refused("refused-3");
    expect(found.map(({ action, after }) => [action, after.code])).toContainEqual(["postTransactions", "LG301"]);
    const probes = await eventually(async () =>
      (await events("other_tenant_probe")).filter((e) => e.requestId === "refused-3"),
    );
    expect(probes[0]?.detail).toMatchObject({ table: "accounts", ids: [otherBooks.sales] });
  });
});

describe("a security event", () => {
  test("tells of a denied permission, and of a denied table", async () => {
    const headers = { "x-request-id": "denied-1" };
    await db.withClient("owner", (client) =>
      client.query(
        `delete from app_public.role_permissions
         where tenant_id = $1 and role = 'admin' and permission = 'accounts.close'`,
        [books.tenant],
      ),
    );
    await send(
      "mutation ($id: UUID!) { closeAccount(input: { id: $id }) { account { id } } }",
      { id: books.wallet },
      headers,
    );
    const found = await eventually(async () =>
      (await events("permission_denied")).filter((e) => e.requestId === "denied-1"),
    );
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({ tenant: books.tenant, userId: staff });
    expect(found[0]?.detail).toMatchObject({ action: "closeAccount" });
    expect(await refused("denied-1")).toHaveLength(1);

    await send("{ auditEntries { nodes { id } } }", {}, { "x-request-id": "denied-2" }, "teller");
    expect(
      await eventually(async () => (await events("permission_denied")).filter((e) => e.requestId === "denied-2")),
    ).toHaveLength(1);
  });

  test("tells of a session that has ended", async () => {
    const user = "00000000-0000-7000-8000-00000000eeee";
    await api.ask("{ currentTenant { slug } }", {}, { user });
    await db.withClient("owner", (client) =>
      client.query("update app_private.sessions set revoked_at = now(), revoked_because = 'test' where user_id = $1", [
        user,
      ]),
    );
    await api.ask(postMutation, transfer(books.cash, books.sales, "5"), { user });
    expect((await eventually(() => events("ended_session_used")))[0]).toMatchObject({ userId: user });
  });

  test("tells of bad tokens, once a second for an address", async () => {
    for (let i = 0; i < 20; i += 1) {
      const answer = await api.send("{}", { authorization: "Bearer x.y.z", "x-forwarded-for": "192.0.2.9" });
      expect(answer.status).toBe(401);
    }
    await settle();
    const found = (await events("invalid_token")).filter(({ address }) => address === "192.0.2.9");
    expect(found.length).toBeGreaterThan(0);
    expect(found.length).toBeLessThan(4);
    expect(
      found.reduce((sum, { detail }) => sum + Number((detail["detail"] as { count?: number })?.count ?? 1), 0),
    ).toBe(20);
  });

  test.each([
    ["an argument", `{ account(id: "<id>") { id } }`, {}],
    [
      "a variable, under an alias, in a fragment",
      "query ($x: UUID!) { ...F } fragment F on Query { a: account(id: $x) { id } }",
      { x: "<id>" },
    ],
    ["a node id", `query ($x: ID!) { node(nodeId: $x) { nodeId } }`, { x: "<node>" }],
  ])(
    "tells the operators of an id of other books in %s, after an answer like any other",
    async (_what, query, variables) => {
      const node = (id: string): string => Buffer.from(JSON.stringify(["Account", id])).toString("base64");
      const fill = (text: string, id: string): string => text.replace("<node>", node(id)).replace("<id>", id);
      const ask = (id: string, requestId: string) =>
        send(fill(query, id), JSON.parse(fill(JSON.stringify(variables), id)) as object, { "x-request-id": requestId });
      const other = await ask(otherBooks.wallet, "probe-of-other");
      const nowhere = await ask("00000000-0000-4000-8000-000000000000", "probe-of-none");
      const own = await ask(books.wallet, "probe-of-own");
      expect(other.text).toBe(nowhere.text);
      expect(own.text).not.toBe(other.text);
      const found = await eventually(async () =>
        (await events("other_tenant_probe")).filter((e) => e.requestId === "probe-of-other"),
      );
      await settle();
      expect(found[0]).toMatchObject({ tenant: books.tenant, userId: staff, detail: { ids: [otherBooks.wallet] } });
      const rest = (await events("other_tenant_probe")).filter((e) => /^probe-of-(none|own)$/.test(e.requestId));
      expect(rest).toEqual([]);
      await db.withClient("superuser", (client) =>
        client.query(
          `set session_replication_role = replica;
           delete from app_private.security_events where kind = 'other_tenant_probe'`,
        ),
      );
    },
  );
});

describe("the recorder", () => {
  test("writes what is waiting before the server has stopped", async () => {
    const config = loadConfig({
      NODE_ENV: "test",
      PORT: "0",
      TALLYSTICK_JWT_SECRET: secret,
      DATABASE_URL: db.urls.owner,
    });
    const second = await startApi({ config, databaseUrl: db.urls.api, log: pino({ level: "silent" }) });
    const headers = { authorization: `Bearer ${api.token({})}`, "content-type": "application/json" };
    const body = JSON.stringify({ query: postMutation, variables: transfer(books.cash, books.sales, "0") });
    await Promise.all(
      Array.from({ length: 120 }, () =>
        fetch(`${second.url}/graphql`, { method: "POST", headers: { ...headers, "x-request-id": "stopping-1" }, body }),
      ),
    );
    await second.stop();
    expect(await refused("stopping-1")).toHaveLength(120);
  });

  test("loses nothing while the database is out of reach, and keeps to its bounds", async () => {
    const lines: string[] = [];
    const log = pino({ level: "error" }, { write: (line: string) => void lines.push(line) });
    const pool = db.pool("api", { pipeline: true } as object);
    let isDown = true;
    const connect = pool.connect.bind(pool) as () => Promise<never>;
    pool.connect = (() =>
      isDown
        ? Promise.reject(Object.assign(new Error("down"), { code: "ECONNREFUSED" }))
        : connect()) as typeof pool.connect;
    const recorder = startRefusalRecorder({ pool, log, stopMs: 50_000 });
    const settings = (id: string): Record<string, string> => ({
      role: "tallystick_admin",
      "tallystick.tenant_id": String(books.tenant),
      "tallystick.user_id": staff,
      "tallystick.request_id": id,
    });
    for (let i = 0; i < 5_010; i += 1) recorder.record(settings("outage-1"), [{ code: "LG202", isChange: true }]);
    expect(lines).toHaveLength(10);
    await sleep(200);
    isDown = false;
    // One that the database refuses does not take the others with it, and is told to the log.
    recorder.record({ ...settings("outage-2"), role: "nobody" }, [{ code: "LG202", isChange: true }]);
    await recorder.stop();
    expect(await refused("outage-1")).toHaveLength(5_000);
    expect(lines.length).toBeGreaterThan(10);
  }, 60_000);

  test("stops in time, however much is waiting, and tells the log what it could not write", async () => {
    const lines: string[] = [];
    const log = pino({ level: "error" }, { write: (line: string) => void lines.push(line) });
    let written = 0;
    const client = {
      query: async (query: string | { name?: string }) => {
        await sleep(20);
        if (typeof query !== "string" && query.name === "record_refusals") written += 1;
      },
      release: () => undefined,
    };
    const pool = { connect: () => Promise.resolve(client) } as unknown as pg.Pool;
    const recorder = startRefusalRecorder({ pool, log, stopMs: 300 });
    const settings = { "tallystick.user_id": staff };
    for (let i = 0; i < 5_000; i += 1) recorder.record(settings, [{ code: "LG202" }]);
    const before = performance.now();
    await recorder.stop();
    expect(performance.now() - before).toBeLessThan(1_500);
    expect(written).toBeGreaterThan(0);
    expect(lines.length).toBeGreaterThan(0);
    expect(written + lines.length).toBe(5_000);
  });
});
