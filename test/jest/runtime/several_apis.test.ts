import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, jest, test } from "@jest/globals";
import { secretKeys } from "../../../src/http/token_keys.ts";
import { signToken } from "../../../src/http/tokens.ts";
import { projectRoot } from "../../../src/paths.ts";
import { actAs, sessionId, staff } from "../../support/session.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/** Two processes of the API on one database, as behind a load balancer: they count together, and go one by one. */
jest.setTimeout(120_000);
const secret = "the secret of both processes, of 32 characters or more";
const running = new Set<ChildProcess>();
// Before the database's own hook, which wants nobody connected.
afterAll(async () => {
  for (const child of running) {
    child.kill("SIGTERM");
    await once(child, "exit");
  }
});
const db = await createTestDatabase();

interface Api {
  url: string;
  child: ChildProcess;
  said: () => string;
}

async function startApi(settings: Record<string, string> = {}): Promise<Api> {
  const child = spawn(process.execPath, ["src/cli/tallystick.mjs", "start", "--only", "api"], {
    cwd: projectRoot,
    env: {
      PATH: process.env["PATH"],
      NODE_ENV: "test",
      PORT: "0",
      LOG_LEVEL: "error",
      TALLYSTICK_API_DATABASE_URL: db.urls.api,
      TALLYSTICK_JWT_SECRET: secret,
      TALLYSTICK_RATE_LIMIT_PER_MINUTE: "100",
      ...settings,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  child.once("exit", () => running.delete(child));
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk: Buffer) => (text += chunk.toString()));
  for (const end = Date.now() + 60_000; !/http:\/\/\S+\/graphql/.test(text); await sleep(20)) {
    if (child.exitCode !== null || Date.now() > end) throw new Error(`It did not start:\n${text}`);
  }
  return { url: /http:\/\/[\d.]+:\d+/.exec(text)?.[0] ?? "", child, said: () => text };
}

const tenantId = await db.withClient("owner", async (client) => {
  const { rows } = await client.query<{ id: number }>("select id from app_private.create_tenant('acme')");
  await actAs(client, { tenantId: rows[0]?.id ?? 0, role: "admin", userId: staff });
  return rows[0]?.id ?? 0;
});
const session = { tenantId, role: "admin" as const, userId: staff };
const token = (userId = staff) =>
  signToken({
    keys: secretKeys(secret),
    ...session,
    userId,
    sessionId: sessionId(session),
    expiresInSeconds: 900,
  });

async function ask(api: Api, query = "{ currentTenant { slug } }", userId = staff): Promise<Response> {
  return fetch(`${api.url}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token(userId)}` },
    body: JSON.stringify({ query }),
  });
}

const one = await startApi({ TALLYSTICK_DRAIN_SECONDS: "2" });
const other = await startApi();

describe("two processes", () => {
  test("count one user's requests together, within the stated bound", async () => {
    const user = "00000000-0000-7000-8000-00000000f001";
    for (let attempt = 0; ; attempt += 1) {
      const first = await ask(one, undefined, user);
      const left = Number(/"user"; r=\d+; t=(\d+)/.exec(first.headers.get("ratelimit") ?? "")?.[1]);
      if (left >= 15 || attempt > 2) break;
      // A window that ends soon is not for this test.
      await sleep(1000 * left + 1000);
    }
    let admitted = 1;
    const ends = new Map<Api, boolean>();
    for (let n = 0; ends.size < 2 && n < 400; n += 1) {
      const api = n % 2 === 0 ? one : other;
      const { status } = await ask(api, undefined, user);
      if (status === 200) admitted += 1;
      else ends.set(api, status === 429);
    }
    expect([...ends.values()]).toEqual([true, true]);
    // 100 and the 2 % that the second process may admit before it hears of the last ones of the first.
    expect(admitted).toBeGreaterThanOrEqual(100);
    expect(admitted).toBeLessThanOrEqual(102);
  });

  test("are both ready; one that is told to stop says so before it is gone, and the other serves on", async () => {
    const ready = async (api: Api): Promise<number> => (await fetch(`${api.url}/readyz`)).status;
    expect([await ready(one), await ready(other)]).toEqual([200, 200]);
    one.child.kill("SIGTERM");
    while ((await ready(one)) === 200) await sleep(20);
    expect(await ready(one)).toBe(503);
    expect(await (await fetch(`${one.url}/readyz`)).json()).toEqual({ status: "stopping" });
    // What still comes while the load balancer has not noticed is served.
    expect((await ask(one)).status).toBe(200);
    expect((await fetch(`${one.url}/livez`)).status).toBe(200);
    expect([await ready(other), (await ask(other)).status]).toEqual([200, 200]);
    await once(one.child, "exit");
    expect(one.child.exitCode).toBe(0);
    await expect(fetch(`${one.url}/livez`)).rejects.toThrow();
    expect((await ask(other)).status).toBe(200);
  });

  test("tell the database what they counted before they stop, and whoever comes next goes on from there", async () => {
    const user = "00000000-0000-7000-8000-00000000f002";
    const counted = async (): Promise<number> => {
      const { rows } = await db
        .pool("owner")
        .query<{ hits: string }>("select coalesce(sum(hits), 0) as hits from app_private.rate_limit_counters");
      return Number(rows[0]?.hits);
    };
    // What came before has been told by then.
    await sleep(500);
    const before = await counted();
    const started = Date.now();
    const first = await ask(other, undefined, user);
    const windowLeft = 1000 * Number(/"user"; r=\d+; t=(\d+)/.exec(first.headers.get("ratelimit") ?? "")?.[1]);
    for (let n = 1; n < 30; n += 1) await ask(other, undefined, user);
    other.child.kill("SIGTERM");
    await once(other.child, "exit");
    // Each counts for the user and for the tenant.
    expect((await counted()) - before).toBe(60);
    const next = await startApi();
    const { headers } = await ask(next, undefined, user);
    const remaining = Number(/"user"; r=(\d+)/.exec(headers.get("ratelimit") ?? "")?.[1]);
    if (Date.now() - started < windowLeft - 2_000) expect(remaining).toBe(69);
    expect(other.said()).not.toMatch(/were not counted|Error/);
  });

  test("a request under way is finished by the process that stops", async () => {
    const api = await startApi();
    await db.withClient("owner", (client) =>
      client.query(`create or replace function app_public.current_tenant() returns app_public.tenants
        language sql volatile as 'select t from app_public.tenants t, pg_sleep(1)'`),
    );
    const answer = ask(api);
    await sleep(300);
    api.child.kill("SIGTERM");
    const response = await answer;
    expect(response.status).toBe(200);
    expect(response.headers.get("connection")).toBe("close");
    await once(api.child, "exit");
    expect(api.child.exitCode).toBe(0);
  });
});
