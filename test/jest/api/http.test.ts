import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "@jest/globals";
import pg from "pg";
import { pino } from "pino";
import { startApi } from "../../../src/api.ts";
import { loadConfig } from "../../../src/config.ts";
import { checkLogin, UnsafeLoginError } from "../../../src/http/check_login.ts";
import { fieldKeySetting } from "../../support/field_keys.ts";
import { bootApi, secret } from "./_api.ts";

const api = await bootApi({
  TALLYSTICK_CORS_ORIGINS: "https://app.example.com",
  TALLYSTICK_RATE_LIMIT_PER_MINUTE: "30",
});
const base = api.url.replace(/\/graphql$/, "");
const query = "{ currentTenant { slug } }";

describe("health", () => {
  test("/livez answers", async () => {
    const response = await fetch(`${base}/livez`);
    expect([response.status, await response.json()]).toEqual([200, { status: "ok" }]);
  });
  test("/readyz knows the database and its migrations", async () => {
    const response = await fetch(`${base}/readyz`);
    expect([response.status, await response.json()]).toEqual([200, { status: "ok" }]);
  });
  test("/metrics has our own figures", async () => {
    await api.ask("{ nothing }");
    const text = await (await fetch(`${base}/metrics`)).text();
    expect(text).toContain("tallystick_http_request_seconds_bucket");
    expect(text).toContain("tallystick_pool_connections");
    expect(text).toMatch(/tallystick_graphql_errors_total\{code="GRAPHQL_VALIDATION_FAILED"\} [1-9]/);
  });
  test("other paths are 404, in the same shape", async () => {
    const response = await fetch(`${base}/nothing`);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ errors: [{ extensions: { code: "NOT_FOUND" } }] });
  });
  test("there is no GraphiQL outside development", async () => {
    expect((await fetch(`${base}/`, { headers: { accept: "text/html" } })).status).toBe(404);
  });
});

describe("headers", () => {
  test("every answer has a request id; that of a proxy is kept", async () => {
    const own = await api.ask(query);
    expect(own.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
    const given = await api.send(JSON.stringify({ query }), { "x-request-id": "from-the-proxy-1" });
    expect(given.headers.get("x-request-id")).toBe("from-the-proxy-1");
    const bad = await api.send(JSON.stringify({ query }), { "x-request-id": "<script>" });
    expect(bad.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  });
  test("the usual protections are set, and the server does not tell what it is", async () => {
    const { headers } = await api.ask(query);
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(headers.get("strict-transport-security")).toContain("max-age");
    expect(headers.get("x-powered-by")).toBeNull();
  });
  test.each([
    ["https://app.example.com", "https://app.example.com"],
    ["https://evil.example.com", null],
  ])("the origin %s is allowed as %s", async (origin, allowed) => {
    const response = await fetch(api.url, {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST" },
    });
    expect(response.headers.get("access-control-allow-origin")).toBe(allowed);
  });
});

test("a request is one line of the log, which says once who sent it, and nothing of what", async () => {
  const known = "from-the-proxy-2";
  const answer = await api.send(JSON.stringify({ query }), {
    "x-request-id": known,
    authorization: `Bearer ${api.token({ role: "teller" })}`,
  });
  expect(answer.status).toBe(200);
  const find = (): string[] =>
    api
      .log()
      .split("\n")
      .filter((line) => line.includes(known));
  while (find().length === 0) await sleep(10);
  const [line = "", ...more] = find();
  expect(more).toEqual([]);
  expect(JSON.parse(line)).toEqual({
    level: 30,
    time: expect.anything(),
    pid: expect.any(Number),
    hostname: expect.any(String),
    address: "127.0.0.1",
    tenantId: api.books.tenant,
    userId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    role: "teller",
    req: { id: known, method: "POST", url: "/graphql" },
    res: { statusCode: 200 },
    responseTime: expect.any(Number),
    msg: "request completed",
  });
  for (const name of ["address", "tenantId", "userId", "role", "req", "res"])
    expect(line.split(`"${name}":`)).toHaveLength(2);
});

test("too many requests of one user are answered with 429 and LG462; others go on", async () => {
  const user = "00000000-0000-7000-8000-00000000ffff";
  const answers = [];
  for (let n = 0; n < 31; n += 1) answers.push(await api.ask(query, {}, { user }));
  expect(answers.slice(0, 30).every(({ status }) => status === 200)).toBe(true);
  expect(answers[30]?.status).toBe(429);
  expect(answers[30]?.headers.get("retry-after")).toMatch(/^\d+$/);
  expect(answers[30]?.errors[0]?.extensions).toMatchObject({ code: "LG462", isRetryable: true });
  expect((await api.ask(query)).status).toBe(200);
});

describe("the server refuses to start as a login with rights of its own", () => {
  const config = loadConfig({
    NODE_ENV: "test",
    PORT: "0",
    TALLYSTICK_JWT_SECRET: secret,
    TALLYSTICK_FIELD_KEYS: fieldKeySetting("test"),
    DATABASE_URL: "postgres://x/y",
  });
  const log = pino({ level: "silent" });

  test.each([
    ["superuser", "superuser"],
    ["owner", "owns"],
    ["worker", "owns"],
  ] as const)("as the %s", async (login, problem) => {
    const attempt = startApi({ config, databaseUrl: api.db.urls[login], log });
    await expect(attempt).rejects.toThrow(UnsafeLoginError);
    await expect(attempt).rejects.toThrow(problem);
  });

  test.each([
    ["bypasses row level security", "alter role %s bypassrls", "bypasses row level security"],
    ["inherits", "grant tallystick_admin to %s with inherit true", "inherits the rights of tallystick_admin"],
    [
      "may become the owner",
      "grant tallystick_owner to %s with inherit false, set true",
      "may become pg_database_owner, tallystick_owner",
    ],
    ["may create roles", "alter role %s createrole", "may create roles"],
  ])("that %s", async (_name, change, problem) => {
    const role = `test_login_${Math.random().toString(36).slice(2, 10)}`;
    await api.db.withClient("superuser", async (client) => {
      await client.query(`create role ${role} login password 'x' noinherit`);
      await client.query(`grant connect on database ${api.db.name} to ${role}`);
      await client.query(change.replace("%s", role));
    });
    const url = new URL(api.db.urls.api);
    url.username = role;
    url.password = "x";
    const pool = new pg.Pool({ connectionString: url.toString(), max: 1 });
    try {
      await expect(checkLogin(pool)).rejects.toThrow(problem);
    } finally {
      await pool.end();
      await api.db.withClient("superuser", (client) =>
        client.query(`revoke all on database ${api.db.name} from ${role}; drop role ${role}`),
      );
    }
  });

  test("and starts as tallystick_api", async () => {
    const pool = new pg.Pool({ connectionString: api.db.urls.api, max: 1 });
    await expect(checkLogin(pool)).resolves.toBeUndefined();
    await pool.end();
  });
});

test("stopping lets a request under way finish", async () => {
  const config = loadConfig({
    NODE_ENV: "test",
    PORT: "0",
    TALLYSTICK_JWT_SECRET: secret,
    TALLYSTICK_FIELD_KEYS: fieldKeySetting("test"),
    DATABASE_URL: api.db.urls.owner,
  });
  const server = await startApi({ config, databaseUrl: api.db.urls.api, log: pino({ level: "silent" }) });
  // A request whose account is locked by somebody else takes as long as that lasts.
  await api.db.withClient("owner", async (client) => {
    await client.query("begin");
    await client.query("select from app_public.account_balances where account_id = $1 for update", [api.books.cash]);
    const { postMutation, transfer } = await import("./_api.ts");
    const answer = fetch(`${server.url}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${api.token({})}` },
      body: JSON.stringify({ query: postMutation, variables: transfer(api.books.cash, api.books.sales, "1") }),
    });
    await new Promise((done) => setTimeout(done, 300));
    const stopped = server.stop();
    await new Promise((done) => setTimeout(done, 100));
    await client.query("commit");
    const body = (await (await answer).json()) as { data: { postTransaction: { result: { transactionId: string } } } };
    expect(body.data.postTransaction.result.transactionId).toBeDefined();
    await stopped;
    await expect(fetch(`${server.url}/livez`)).rejects.toThrow();
  });
});

test("a connection that the database ends is answered as unavailable, and the next request works", async () => {
  await api.db.withClient("superuser", async (client) => {
    await client.query("begin");
    await client.query("select from app_public.account_balances where account_id = $1 for update", [api.books.cash]);
    const { postMutation, transfer } = await import("./_api.ts");
    const answer = api.ask(postMutation, transfer(api.books.cash, api.books.sales, "1"));
    // As soon as it waits for the row.
    for (let ended = 0; ended === 0; ) {
      await client.query("select pg_stat_clear_snapshot(), pg_sleep(0.02)");
      const { rowCount } = await client.query(`select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and usename = 'tallystick_api' and wait_event_type = 'Lock'`);
      ended = rowCount ?? 0;
    }
    await client.query("rollback");
    expect((await answer).errors[0]?.extensions).toMatchObject({ code: "LG363", isRetryable: true });
  });
  expect((await api.ask(query)).errors).toEqual([]);
});
