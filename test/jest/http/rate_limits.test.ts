import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "@jest/globals";
import type { RequestHandler } from "express";
import { pino } from "pino";
import type { Config } from "../../../src/config.ts";
import { authenticate } from "../../../src/http/authenticate.ts";
import { countInDatabase } from "../../../src/http/count_hits.ts";
import { makeRateLimits, makeRateRules, type RateLimits } from "../../../src/http/rate_limits.ts";
import { type CountHits, makeSharedCounter, type RateRule } from "../../../src/http/shared_counter.ts";
import { secretKeys } from "../../../src/http/token_keys.ts";
import { signToken } from "../../../src/http/tokens.ts";
import { logBrokenConnections } from "../../../src/postgres/pool.ts";
import { addJob, runDueJobs, workerPool } from "../../support/jobs.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/* Counting in the database; what the API makes of it is tested in api/rate_limits.test.ts. */
const db = await createTestDatabase();
const log = pino({ level: "silent" });
const secret = "the secret of these tests, 32 characters or more";
const key = (n: number): Buffer => Buffer.alloc(16, n);

/** A connection as the API has one for counting. */
function connect(): CountHits {
  const pool = db.pool("api", { max: 1, pipeline: true } as object);
  logBrokenConnections(pool, log);
  return countInDatabase(pool);
}

function counters(count: number) {
  return Array.from({ length: count }, () => makeSharedCounter({ countHits: connect(), log }));
}

const rule = (change: Partial<RateRule>): RateRule => ({
  name: "user",
  limit: 100,
  // So long that none ends during a test: windows of all keys began years ago.
  windowSeconds: 1_000_000_000,
  slack: 0,
  inTrouble: "count alone",
  ...change,
});

test("connections count together: exactly without slack, and within the stated bound with it", async () => {
  for (const [n, slack] of [0, 2, 10].entries()) {
    const processes = counters(4);
    const one = rule({ slack });
    const hits = await Promise.all(
      processes.map(async (counter) => {
        const answers = [];
        for (let round = 0; round < 80; round += 1) answers.push(await counter.hit(key(n + 1), one));
        return answers.filter(({ total }) => total <= one.limit).length;
      }),
    );
    const admitted = hits.reduce((sum, count) => sum + count, 0);
    await Promise.all(processes.map((counter) => counter.stop()));
    expect(admitted).toBeGreaterThanOrEqual(100);
    expect(admitted).toBeLessThanOrEqual(100 + slack * 3);
  }
});

test("many keys at once are counted in few statements, by several connections without a deadlock", async () => {
  const processes = counters(3);
  const keys = Array.from({ length: 300 }, (_, n) => Buffer.from(`a key no. ${n}`.padEnd(16)));
  const totals = await Promise.all(
    processes.map(async (counter, start) => {
      // Each in another order.
      const order = keys.map((_, n) => keys[(n * 7 + start * 100) % keys.length] as Buffer);
      return (await Promise.all(order.map((one) => counter.hit(one, rule({}))))).map(({ total }) => total);
    }),
  );
  await Promise.all(processes.map((counter) => counter.stop()));
  expect(totals.flat().reduce((sum, total) => sum + total, 0)).toBe(300 * (1 + 2 + 3));
});

test("counters whose window is over are removed by the job", async () => {
  const owner = db.pool("owner");
  const worker = workerPool(db);
  const [counter] = counters(1);
  await counter?.hit(key(99), rule({}));
  await owner.query("update app_private.rate_limit_counters set expires_at = now() where key <> $1", [key(99)]);
  await addJob(worker, "http/remove_old_rate_limit_counters");
  await runDueJobs(worker);
  const { rows } = await owner.query<{ key: Buffer }>("select key from app_private.rate_limit_counters");
  expect(rows.map((row) => row.key)).toEqual([key(99)]);
  await counter?.stop();
});

test("a counter that another process is updating is neither lost nor waited for by the job", async () => {
  const owner = db.pool("owner");
  await owner.query("update app_private.rate_limit_counters set expires_at = now()");
  await db.withClient("owner", async (client) => {
    await client.query("begin");
    await client.query("update app_private.rate_limit_counters set hits = hits + 1");
    const removal = db.withClient("worker", (other) =>
      other.query<{ removed: number }>("select app_private.remove_old_rate_limit_counters(10) as removed"),
    );
    const first = await Promise.race([removal, sleep(3_000, undefined, { ref: false })]);
    expect(first?.rows[0]?.removed).toBe(0);
    await client.query("commit");
  });
});

test("counting goes on after the database has ended the connection", async () => {
  const [counter] = counters(1);
  const one = rule({ slack: 5 });
  expect((await counter?.hit(key(50), one))?.total).toBe(1);
  await db.withClient("superuser", (client) =>
    client.query(`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and usename = 'tallystick_api'`),
  );
  for (let n = 2; n <= 20; n += 1) expect((await counter?.hit(key(50), one))?.total).toBe(n);
  await sleep(1_500);
  await counter?.stop();
  const { rows } = await db
    .pool("owner")
    .query<{ hits: string }>("select hits from app_private.rate_limit_counters where key = $1", [key(50)]);
  expect(rows).toEqual([{ hits: "20" }]);
});

test("a database that says nothing is waited for two seconds, and its connection not used again", async () => {
  const released: unknown[] = [];
  const client = { query: () => new Promise(() => undefined), release: (error: unknown) => released.push(error) };
  const counter = makeSharedCounter({ countHits: countInDatabase({ connect: async () => client } as never), log });
  const started = Date.now();
  expect((await counter.hit(key(60), rule({}))).total).toBe(1);
  expect(Date.now() - started).toBeLessThan(5_000);
  expect(released).toEqual([expect.any(Error)]);
  // From then on nobody waits.
  for (let n = 2; n <= 5; n += 1) expect((await counter.hit(key(60), rule({}))).total).toBe(n);
});

test("a table that somebody has locked does not hold up requests", async () => {
  const [counter] = counters(1);
  await db.withClient("owner", async (client) => {
    await client.query("begin; lock table app_private.rate_limit_counters in access exclusive mode");
    const started = Date.now();
    for (let n = 1; n <= 5; n += 1) expect((await counter?.hit(key(61), rule({})))?.total).toBe(n);
    expect(Date.now() - started).toBeLessThan(4_000);
    await client.query("rollback");
  });
  await counter?.stop();
});

describe("the rules", () => {
  test("leave 2 % of a limit to each process, and nothing of a small one", () => {
    const rules = makeRateRules({ user: 600, address: 40, key: 100, tenant: 12_000, signIn: 20 });
    expect(Object.values(rules).map(({ name, limit, slack }) => [name, limit, slack])).toEqual([
      ["address", 40, 0],
      ["user", 600, 12],
      ["tenant", 12_000, 50],
      ["key", 100, 2],
      ["sign-in", 20, 0],
    ]);
  });
  test("let nothing sign in uncounted, and all else pass while the database cannot count", () => {
    const rules = makeRateRules({ user: 1, address: 1, key: 1, tenant: 1, signIn: 1 });
    const refusing = Object.values(rules).filter(({ inTrouble }) => inTrouble === "refuse");
    expect(refusing.map(({ name }) => name)).toEqual(["sign-in"]);
  });
});

/** What a handler makes of a request: nothing, an error, or a status. */
function pass(handler: RequestHandler, request: object): Promise<unknown> {
  return new Promise((resolve) => {
    const response = {
      headersSent: false,
      append: () => response,
      setHeader: () => response,
      status: (status: number) => ({ json: (body: object) => resolve({ status, ...body }) }),
    };
    handler(request as never, response as never, resolve);
  });
}

function limitsWith(limits: Partial<Config["rateLimits"]>, countHits: CountHits) {
  const words = { code: "LG462", name: "too_many_requests", message: "", hint: "", isRetryable: true };
  return makeRateLimits({
    config: { jwtSecret: secret, rateLimits: { user: 9, address: 9, key: 9, tenant: 9, signIn: 5, ...limits } },
    refusals: new Map([["LG462", words]]),
    countHits,
    log,
  });
}

describe("the limits of a caller", () => {
  const keys = secretKeys(secret);
  const request = (userId: string, tenantId: number) => {
    const token = signToken({ keys, tenantId, role: "teller", userId, sessionId: userId, expiresInSeconds: 60 });
    return { headers: { authorization: `Bearer ${token}` }, ip: "192.0.2.1", app: { get: () => false } };
  };
  const user = (n: number): string => `00000000-0000-7000-8000-00000000000${n}`;
  /** Passes all handlers until one refuses, and tells which limit it was. */
  const send = async (limits: RateLimits, userId: string, tenantId = 1): Promise<string | undefined> => {
    const one = request(userId, tenantId);
    await pass(authenticate(keys), one);
    for (const handler of [limits.limitAddress, ...limits.limitCaller]) {
      const answer = (await pass(handler, one)) as
        | { errors: { extensions: { detail: { limit: string } } }[] }
        | undefined;
      if (answer) return answer.errors[0]?.extensions.detail.limit;
    }
    return undefined;
  };
  /** Counters in memory, all in one window. */
  const inMemory = (): CountHits => {
    const totals = new Map<string, number>();
    return async (batch) => ({
      totals: batch.map(({ key: one, hits }) => {
        const total = (totals.get(one.toString("hex")) ?? 0) + hits;
        totals.set(one.toString("hex"), total);
        return total;
      }),
      clock: Date.now(),
    });
  };

  test("who is over their own takes nothing from the others of the tenant, who have one together", async () => {
    const limits = limitsWith({ user: 10, tenant: 15 }, inMemory());
    const answers = [];
    for (let n = 0; n < 100; n += 1) answers.push(await send(limits, user(1)));
    expect(answers.map((answer) => answer ?? "passes")).toEqual([
      ...Array(10).fill("passes"),
      ...Array(90).fill("user"),
    ]);
    const others = [];
    for (let n = 0; n < 8; n += 1) others.push((await send(limits, user(2))) ?? "passes");
    expect(others).toEqual([...Array(5).fill("passes"), ...Array(3).fill("tenant")]);
    expect(await send(limits, user(2), 2)).toBeUndefined();
    await limits.stop();
  });
});

describe("signing in", () => {
  const counted = connect();
  const request = { ip: "192.0.2.50", headers: {}, socket: {}, app: { get: () => false } };

  test("is counted exactly, by whichever process", async () => {
    const [one, other] = [limitsWith({}, counted), limitsWith({}, counted)];
    for (const process of [one, other, one, other, other]) await process.admitSignIn("192.0.2.50");
    await expect(one.admitSignIn("192.0.2.50")).rejects.toMatchObject({ code: "LG462" });
    await expect(other.admitSignIn("192.0.2.50")).rejects.toMatchObject({ code: "LG462" });
    await other.admitSignIn("192.0.2.51");
    await Promise.all([one.stop(), other.stop()]);
  });

  test("stops while nobody can count; everything else goes on", async () => {
    const broken = limitsWith({}, () => Promise.reject(new Error("The database is down.")));
    await expect(broken.admitSignIn("192.0.2.50")).rejects.toMatchObject({ code: "LG363" });
    expect(await pass(broken.limitAddress, request)).toBeUndefined();
    await broken.stop();
  });
});
