import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeEach, describe, expect, test } from "@jest/globals";
import { deliverToEndpoint } from "../../../src/webhooks/deliver.ts";
import { fieldKeys } from "../../support/field_keys.ts";
import { noProvider, queuedJobs, runDueJobs, taskConfig, workerPool } from "../../support/jobs.ts";
import { mustPost, openAccounts, openTenant, transfer } from "../../support/ledger.ts";
import { relayAll } from "../../support/relay.ts";
import { createTestDatabase } from "../../support/test_database.ts";
import {
  addEndpoint,
  asAdmin,
  type Received,
  rotate,
  startReceiver,
  type Told,
  verified,
} from "../../support/webhooks.ts";

/* The job that tells endpoints of events, with receivers that misbehave. */
const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = workerPool(db);
const config = taskConfig({ TALLYSTICK_WEBHOOKS_ALLOW_PRIVATE: "true" });
const receiver = await startReceiver();
afterAll(() => receiver.stop());
let tenantId = 0;

beforeEach(async () => {
  receiver.received.length = 0;
  receiver.connections = 0;
  receiver.answerWith(204);
  await worker.query("select graphile_worker.complete_jobs(array_agg(id)) from graphile_worker.jobs");
  // Those of other tests hear of nothing any more.
  await owner.query(
    "update app_public.webhook_endpoints set status = 'archived', disabled_because = null, disabled_at = null",
  );
  tenantId = await openTenant(owner);
});

/** Events of payments that nobody made; their subjects in order. */
async function happen(count: number, kind = "payment.settled"): Promise<string[]> {
  const { rows } = await owner.query<{ subject: string }>(
    `with made as (select uuidv7() as subject, n from generate_series(1, $1::integer) n)
     select m.subject from made m, lateral app_private.record_event($2, $3, m.subject, jsonb_build_object('n', m.n)) e
     order by m.n`,
    [count, tenantId, kind],
  );
  return rows.map((row) => row.subject);
}

async function relayAndRun(): Promise<void> {
  await relayAll(worker);
  await runDueJobs(worker, config);
}

/** What is new is no emergency. */
async function makeOld(): Promise<void> {
  await owner.query("update app_public.events set created_at = created_at - interval '11 seconds'");
}

/** Lets the time of the next attempt come. */
async function hasten(id: string): Promise<void> {
  await owner.query(
    `update app_public.webhook_positions set next_attempt_at = now()
     where endpoint_id = $1 and next_attempt_at is not null`,
    [id],
  );
  await makeOld();
  await worker.query("select app_private.wake_idle_webhooks()");
  await runDueJobs(worker, config);
}

interface Position {
  number: number;
  attempts: number;
  isFailing: boolean;
  isLeased: boolean;
  wait: number | null;
  status: string;
  because: string | null;
}

async function read(id: string): Promise<Position | undefined> {
  const { rows } = await owner.query<Position>(
    `select p.number::integer, p.attempts, p.failing_since is not null as "isFailing",
       p.lease_id is not null as "isLeased",
       extract(epoch from p.next_attempt_at - clock_timestamp())::integer as wait, e.status,
       e.disabled_because as because
     from app_public.webhook_positions p
     join app_public.webhook_endpoints e on e.tenant_id = p.tenant_id and e.id = p.endpoint_id
     where p.endpoint_id = $1`,
    [id],
  );
  return rows[0];
}

async function attempts(id: string): Promise<
  {
    outcome: string;
    number: number;
    attempt: number;
    status: number | null;
    error: string | null;
    answer: string | null;
  }[]
> {
  const { rows } = await owner.query(
    `select outcome, event_number::integer as number, attempt, status_code as status, error, answer
     from app_public.webhook_deliveries where endpoint_id = $1 order by id`,
    [id],
  );
  return rows;
}

const numbers = (received: Received[]): number[] =>
  received.map(({ body }) => Number((JSON.parse(body) as Told).data.number));
const subjects = (received: Received[]): string[] =>
  received.map(({ body }) => (JSON.parse(body) as Told).data.subjectId);

describe("a delivery", () => {
  test("is signed so that the package of Standard Webhooks takes it, and says what happened", async () => {
    const { secret } = await addEndpoint(db, tenantId, receiver.url);
    const [subject] = await happen(1);
    await relayAndRun();
    const [first] = receiver.received;
    const told = verified(first as Received, secret);
    expect(told).toEqual({
      type: "payment.settled",
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      data: { n: 1, number: "1", subjectId: subject },
    });
    expect(first?.headers["webhook-id"]).toMatch(/^[0-9a-f-]{36}$/);
    expect(() => verified({ ...(first as Received), body: `${first?.body} ` }, secret)).toThrow();
    expect(() => verified(first as Received, `whsec_${Buffer.alloc(32).toString("base64")}`)).toThrow();
  });

  test("of a transaction holds its postings", async () => {
    const { secret } = await addEndpoint(db, tenantId, receiver.url, ["transaction.*"]);
    const [cash = "", sales = ""] = await openAccounts(owner, tenantId, 2);
    const id = await mustPost(owner, tenantId, {
      postings: transfer(cash, sales, "12345678901234567890"),
      description: "Große Lieferung",
    });
    await relayAndRun();
    const told = verified(receiver.received[0] as Received, secret);
    expect(told.data["transaction"]).toMatchObject({
      id,
      kind: "POSTED",
      description: "Große Lieferung",
      postings: [
        { accountId: cash, direction: "DEBIT", amount: "12345678901234567890", currency: "USD", version: "1" },
        { accountId: sales, direction: "CREDIT", amount: "12345678901234567890", currency: "USD", version: "1" },
      ],
    });
  });

  test("goes only to who listens to its kind, and never to another tenant", async () => {
    const payments = await addEndpoint(db, tenantId, `${receiver.url}/payments`, ["payment.failed", "payment.settled"]);
    const failures = await addEndpoint(db, tenantId, `${receiver.url}/failures`, ["payment.failed"]);
    const here = tenantId;
    tenantId = await openTenant(owner);
    const foreign = await addEndpoint(db, tenantId, `${receiver.url}/foreign`);
    tenantId = here;
    await happen(3);
    await relayAndRun();
    expect(receiver.received).toHaveLength(3);
    for (const request of receiver.received) verified(request, payments.secret);
    expect(await read(failures.id)).toMatchObject({ attempts: 0 });
    expect(await read(foreign.id)).toMatchObject({ number: 0 });
  });

  test("goes over one connection, and each event once, in order", async () => {
    const { id } = await addEndpoint(db, tenantId, receiver.url);
    const happened = await happen(200);
    await relayAndRun();
    expect(subjects(receiver.received)).toEqual(happened);
    expect(receiver.connections).toBe(1);
    expect(await read(id)).toMatchObject({ number: 200, attempts: 0, isLeased: false });
  });

  test("that repeats the signature or the secret shows neither in the list", async () => {
    const { id, secret } = await addEndpoint(db, tenantId, receiver.url);
    receiver.answerWith((response, { headers }) => {
      response.end(`\u0000ok ${secret} ${headers["webhook-signature"]} ${"x".repeat(5000)}`);
    });
    await happen(1);
    await relayAndRun();
    const [delivery] = await attempts(id);
    expect(delivery?.answer).toMatch(/^ok \[removed\] \[removed\] x+$/);
    expect(delivery?.answer).toHaveLength(1024);
  });

  test("is refused where the URL leads to this network, unless that is allowed", async () => {
    const { id } = await addEndpoint(db, tenantId, receiver.url);
    await happen(1);
    await relayAll(worker);
    await runDueJobs(worker, taskConfig());
    expect(receiver.received).toEqual([]);
    expect(await attempts(id)).toMatchObject([
      { outcome: "failed", status: null, error: "The URL should begin with https." },
    ]);
  });
});

describe("a secret that is rotated", () => {
  test("counts beside the new one until its time is over", async () => {
    const { id, secret: first } = await addEndpoint(db, tenantId, receiver.url);
    const { secret: second } = await rotate(db, tenantId, id, 3600);
    await happen(1);
    await relayAndRun();
    for (const secret of [first, second]) verified(receiver.received[0] as Received, secret);
    const { secret: third } = await rotate(db, tenantId, id, 3600);
    await happen(1);
    await relayAndRun();
    for (const secret of [second, third]) verified(receiver.received[1] as Received, secret);
    expect(() => verified(receiver.received[1] as Received, first)).toThrow();
    const { secret: fourth } = await rotate(db, tenantId, id, 0);
    await happen(1);
    await relayAndRun();
    verified(receiver.received[2] as Received, fourth);
    expect(() => verified(receiver.received[2] as Received, third)).toThrow();
  });

  test("ends by itself", async () => {
    const { id, secret: first } = await addEndpoint(db, tenantId, receiver.url);
    const { secret: second } = await rotate(db, tenantId, id, 3600);
    await owner.query(
      "update app_private.webhook_secrets set expires_at = now() where endpoint_id = $1 and expires_at is not null",
      [id],
    );
    await happen(1);
    await relayAndRun();
    verified(receiver.received[0] as Received, second);
    expect(() => verified(receiver.received[0] as Received, first)).toThrow();
  });
});

describe("an endpoint that fails", () => {
  test("gets no later event before the one that it did not take, and waits longer each time", async () => {
    const { id } = await addEndpoint(db, tenantId, receiver.url);
    await happen(3);
    receiver.answerWith(500);
    await relayAndRun();
    for (const [attempt, low, high] of [
      [1, 3, 7],
      [2, 23, 37],
      [3, 95, 145],
      [4, 715, 1085],
      [5, 2875, 4325],
      [6, 17_275, 25_925],
      [7, 69_115, 103_685],
      [8, 69_115, 103_685],
    ] as const) {
      const position = await read(id);
      expect(position).toMatchObject({ number: 0, attempts: attempt, isFailing: true, isLeased: false });
      expect(position?.wait).toBeGreaterThanOrEqual(low);
      expect(position?.wait).toBeLessThanOrEqual(high);
      await hasten(id);
    }
    expect(new Set(numbers(receiver.received))).toEqual(new Set([1]));
    expect(new Set(receiver.received.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    receiver.answerWith(200);
    receiver.received.length = 0;
    await hasten(id);
    expect(numbers(receiver.received)).toEqual([1, 2, 3]);
    expect(await read(id)).toMatchObject({ number: 3, attempts: 0, isFailing: false });
  });

  test("does not hold up others, and is not asked before its time by new events", async () => {
    const { id } = await addEndpoint(db, tenantId, "http://127.0.0.1:1/");
    const other = await addEndpoint(db, tenantId, receiver.url);
    await happen(1);
    await relayAndRun();
    await happen(2);
    await relayAll(worker);
    const isDue = async (key: string): Promise<boolean | undefined> =>
      (await queuedJobs(worker))
        .filter((job) => job.key?.endsWith(key))
        .some(({ runAt }) => runAt.getTime() <= Date.now());
    expect([await isDue(id), await isDue(other.id)]).toEqual([false, true]);
    await runDueJobs(worker, config);
    expect(numbers(receiver.received)).toEqual([1, 2, 3]);
    expect((await attempts(id)).map(({ error }) => error)).toEqual(["The connection failed (ECONNREFUSED)."]);
    expect(await read(other.id)).toMatchObject({ number: 3 });
  });

  test.each([
    ["a redirect", 302],
    ["a refusal", 400],
    ["no change", 304],
  ])("answers with %s, which is no delivery", async (_name, status) => {
    const { id } = await addEndpoint(db, tenantId, receiver.url);
    receiver.answerWith((response) => response.writeHead(status, { location: receiver.url }).end());
    await happen(1);
    await relayAndRun();
    expect(await attempts(id)).toMatchObject([{ outcome: "failed", status, attempt: 1 }]);
    expect(receiver.received).toHaveLength(1);
  });

  test("for five days is disabled, which the tenant is told; enabled again, it goes on or skips", async () => {
    const { id } = await addEndpoint(db, tenantId, receiver.url, ["payment.*"]);
    const watch = await addEndpoint(db, tenantId, receiver.url, ["webhook_endpoint.*"]);
    await happen(2);
    receiver.answerWith(503);
    await relayAndRun();
    await owner.query(
      "update app_public.webhook_positions set failing_since = now() - interval '5 days' where endpoint_id = $1",
      [id],
    );
    await hasten(id);
    expect(await read(id)).toMatchObject({ status: "disabled", because: "failing", number: 0, wait: null });
    receiver.answerWith(204);
    receiver.received.length = 0;
    await relayAndRun();
    expect(verified(receiver.received[0] as Received, watch.secret)).toMatchObject({
      type: "webhook_endpoint.disabled",
      data: { subjectId: id, because: "FAILING", nextNumber: "1" },
    });
    const { rows } = await owner.query(
      `select severity, detail ->> 'because' as because from app_private.security_events
       where tenant_id = $1 and kind = 'webhook_endpoint_given_up'`,
      [tenantId],
    );
    expect(rows).toEqual([{ severity: "warning", because: "failing" }]);
    await happen(1);
    await hasten(id);
    expect(receiver.received).toHaveLength(1);
    await asAdmin(db, tenantId, (client) => client.query("select app_public.enable_webhook_endpoint($1)", [id]));
    await relayAndRun();
    expect(numbers(receiver.received.slice(1))).toEqual([1, 2, 4]);
    await asAdmin(db, tenantId, async (client) => {
      await client.query("select app_public.disable_webhook_endpoint($1)", [id]);
      await happen(2);
      await relayAll(worker);
      await client.query("select app_public.enable_webhook_endpoint($1, true)", [id]);
    });
    await happen(1);
    await relayAndRun();
    expect(numbers(receiver.received.slice(4))).toEqual([7]);
  });

  test("and says that it is gone is disabled at once", async () => {
    const { id } = await addEndpoint(db, tenantId, receiver.url);
    receiver.answerWith(410);
    await happen(1);
    await relayAndRun();
    expect(await read(id)).toMatchObject({ status: "disabled", because: "gone" });
    await worker.query("update graphile_worker._private_jobs set run_at = now()");
    await runDueJobs(worker, config);
    expect(receiver.received).toHaveLength(1);
    expect(await queuedJobs(worker)).toEqual([]);
  });

  test("with a secret that does not decrypt is an endpoint that fails, not a job", async () => {
    const { id } = await addEndpoint(db, tenantId, receiver.url);
    await owner.query("update app_private.webhook_secrets set id = uuidv7() where endpoint_id = $1", [id]);
    await happen(1);
    await relayAndRun();
    expect(await attempts(id)).toMatchObject([{ outcome: "failed", error: "The request could not be made." }]);
    expect(receiver.received).toEqual([]);
    expect(await read(id)).toMatchObject({ attempts: 1, isLeased: false });
  });
});

describe("redelivery", () => {
  test("tells everything again from any event on, and passes over what is not taken", async () => {
    const { id } = await addEndpoint(db, tenantId, receiver.url);
    await happen(5);
    await relayAndRun();
    const firstIds = receiver.received.map(({ headers }) => headers["webhook-id"]);
    const from = (number: number): Promise<unknown> =>
      asAdmin(db, tenantId, (client) =>
        client.query("select app_public.redeliver_webhook_events($1, $2)", [id, number]),
      );
    await from(3);
    await runDueJobs(worker, config);
    expect(numbers(receiver.received)).toEqual([1, 2, 3, 4, 5, 3, 4, 5]);
    expect(receiver.received.slice(5).map(({ headers }) => headers["webhook-id"])).toEqual(firstIds.slice(2));
    receiver.answerWith((response, { body }) => response.writeHead(body.includes('"n": 1') ? 422 : 204).end());
    receiver.received.length = 0;
    await happen(2);
    await relayAndRun();
    expect(numbers(receiver.received)).toEqual([6]);
    await from(7);
    await runDueJobs(worker, config);
    expect(numbers(receiver.received)).toEqual([6, 7]);
  });

  test("while a request is on its way: what comes of that changes nothing any more", async () => {
    const { id } = await addEndpoint(db, tenantId, receiver.url);
    await happen(3);
    await relayAndRun();
    await happen(1);
    await relayAll(worker);
    let redelivered: Promise<unknown> | undefined;
    receiver.answerWith((response, { body }) => {
      redelivered ??= asAdmin(db, tenantId, (client) =>
        client.query("select app_public.redeliver_webhook_events($1, 2)", [id]),
      );
      void redelivered.then(() => response.writeHead(body.includes('"number": "4"') ? 200 : 204).end());
    });
    await runDueJobs(worker, config);
    expect(numbers(receiver.received)).toEqual([1, 2, 3, 4, 2, 3, 4]);
    expect(await read(id)).toMatchObject({ number: 4, isLeased: false });
  });
});

describe("a worker", () => {
  const services = {
    query: worker.query.bind(worker) as never,
    keys: fieldKeys("test"),
    allowPrivate: true,
    onError: () => undefined,
  };

  test("that died in the middle is followed by another, when its lease is over", async () => {
    const { id } = await addEndpoint(db, tenantId, receiver.url);
    await happen(2);
    await relayAll(worker);
    await worker.query("select graphile_worker.complete_jobs(array_agg(id)) from graphile_worker.jobs");
    // What is left of it: the endpoint was taken, and nothing was written after.
    const taken = await worker.query("select * from app_private.take_webhook_delivery($1, $2, $3)", [
      tenantId,
      id,
      randomUUID(),
    ]);
    expect(taken.rows).toHaveLength(1);
    await runDueJobs(worker, config);
    expect(receiver.received).toEqual([]);
    const [job] = await queuedJobs(worker);
    expect((job?.runAt.getTime() ?? 0) - Date.now()).toBeLessThan(61_000);
    expect((job?.runAt.getTime() ?? 0) - Date.now()).toBeGreaterThan(50_000);
    await owner.query("update app_public.webhook_positions set lease_expires_at = now() where endpoint_id = $1", [id]);
    await worker.query("update graphile_worker._private_jobs set run_at = now()");
    await runDueJobs(worker, config);
    expect(numbers(receiver.received)).toEqual([1, 2]);
  });

  test("whose lease was taken over records what it did, and moves nothing", async () => {
    const { id } = await addEndpoint(db, tenantId, receiver.url);
    await happen(1);
    await relayAll(worker);
    const lease = randomUUID();
    await worker.query("select * from app_private.take_webhook_delivery($1, $2, $3)", [tenantId, id, lease]);
    await owner.query("update app_public.webhook_positions set lease_expires_at = now() where endpoint_id = $1", [id]);
    await worker.query("select * from app_private.take_webhook_delivery($1, $2, $3)", [tenantId, id, randomUUID()]);
    const { rows } = await worker.query(
      "select * from app_private.record_webhook_delivery($1, $2, $3, 1, 1, 200, null, null, 5)",
      [tenantId, id, lease],
    );
    expect(rows).toEqual([]);
    expect(await read(id)).toMatchObject({ number: 0, isLeased: true });
    expect(await attempts(id)).toHaveLength(1);
  });

  test("that stops gives the endpoint back, and the attempt does not count", async () => {
    const { id } = await addEndpoint(db, tenantId, receiver.url);
    await happen(1);
    await relayAll(worker);
    const stop = new AbortController();
    receiver.answerWith(() => stop.abort());
    await deliverToEndpoint({ ...services, signal: stop.signal }, { tenantId, endpointId: id });
    expect(await read(id)).toMatchObject({ number: 0, attempts: 0, isLeased: false });
    receiver.answerWith(204);
    await runDueJobs(worker, config);
    expect(numbers(receiver.received)).toEqual([1, 1]);
  });

  test("is one of several that want the same endpoint, and alone gets it", async () => {
    const { id } = await addEndpoint(db, tenantId, receiver.url);
    const happened = await happen(30);
    await relayAll(worker);
    receiver.answerWith((response) => void sleep(5).then(() => response.writeHead(204).end()));
    const key = { tenantId, endpointId: id };
    await Promise.all(Array.from({ length: 4 }, () => deliverToEndpoint({ ...services, signal: undefined }, key)));
    expect(subjects(receiver.received)).toEqual(happened);
  });

  test("keeps half of its jobs for others", async () => {
    const slow: string[] = [];
    for (let n = 0; n < 3; n += 1) slow.push((await addEndpoint(db, tenantId, receiver.url)).id);
    await happen(1);
    await relayAll(worker);
    const { makeTask } = await import("../../../tasks/webhooks/deliver.ts");
    const task = makeTask({ config: { ...config, workerConcurrency: 4 }, findPaymentProvider: noProvider });
    const { promise, resolve } = Promise.withResolvers<void>();
    receiver.answerWith((response) => void promise.then(() => response.writeHead(204).end()));
    const helpers = { query: worker.query.bind(worker), logger: console, abortSignal: undefined } as never;
    const running = slow.map((endpointId) => task({ tenantId, endpointId }, helpers));
    await running[2];
    expect(receiver.received.length).toBeLessThanOrEqual(2);
    resolve();
    await Promise.all(running);
    const { rows } = await worker.query(
      "select count(*)::integer as waiting from graphile_worker._private_jobs where key like $1 and run_at > now()",
      [`%${slow[2]}`],
    );
    expect(rows).toEqual([{ waiting: 1 }]);
  });
});

test("what is new while an endpoint is being told is told before it is given back", async () => {
  const { id } = await addEndpoint(db, tenantId, receiver.url);
  await happen(1);
  await relayAll(worker);
  let isFirst = true;
  receiver.answerWith(async (response) => {
    if (isFirst) {
      isFirst = false;
      await happen(1);
      await relayAll(worker);
    }
    response.writeHead(204).end();
  });
  await deliverToEndpoint(
    {
      query: worker.query.bind(worker) as never,
      keys: fieldKeys("test"),
      allowPrivate: true,
      signal: undefined,
      onError: () => undefined,
    },
    { tenantId, endpointId: id },
  );
  expect(numbers(receiver.received)).toEqual([1, 2]);
});

test("an endpoint whose job was lost is found, and one that waits for its time is not", async () => {
  const { id } = await addEndpoint(db, tenantId, receiver.url);
  const failing = await addEndpoint(db, tenantId, "http://127.0.0.1:1/");
  await happen(1);
  await relayAndRun();
  await happen(1);
  await relayAll(worker);
  await worker.query("select graphile_worker.complete_jobs(array_agg(id)) from graphile_worker.jobs");
  await makeOld();
  await worker.query("select app_private.wake_idle_webhooks()");
  const keys = (await queuedJobs(worker)).map(({ key }) => key);
  expect(keys).toContain(`webhooks/deliver:${tenantId}:${id}`);
  expect(keys).not.toContain(`webhooks/deliver:${tenantId}:${failing.id}`);
  await runDueJobs(worker, config);
  expect(await read(id)).toMatchObject({ number: 2 });
  expect(await read(failing.id)).toMatchObject({ number: 0, attempts: 1 });
});

test("a test event goes to the endpoint alone that it is for", async () => {
  const tried = await addEndpoint(db, tenantId, receiver.url, ["payment.failed"]);
  await addEndpoint(db, tenantId, receiver.url, ["*"]);
  await asAdmin(db, tenantId, (client) => client.query("select app_public.send_test_event($1)", [tried.id]));
  await relayAndRun();
  expect(receiver.received).toHaveLength(1);
  expect(verified(receiver.received[0] as Received, tried.secret)).toMatchObject({
    type: "webhook_endpoint.tested",
    data: { subjectId: tried.id },
  });
});
