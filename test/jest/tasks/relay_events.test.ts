import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, describe, expect, test } from "@jest/globals";
import { pino } from "pino";
import { relayEventsOnce, startRelay } from "../../../src/relay.ts";
import { mustPost, openAccounts, openTenant, transfer } from "../../support/ledger.ts";
import { relayAll } from "../../support/relay.ts";
import { createTestDatabase } from "../../support/test_database.ts";
import { randomNumbers } from "../concurrency/crowd.ts";

/* The streams of events: no gap, nothing twice, nothing in the wrong order, however late it commits. */
const db = await createTestDatabase();
const writers = 10;
const owner = db.pool("owner", { max: writers + 2 });
const [relay, otherRelay] = [db.pool("worker"), db.pool("worker")];
const log = pino({ level: "silent" });

// Things that several writers change, each change numbered under the lock of its row, as those of payments are.
beforeAll(async () => {
  await db.withClient("superuser", (client) =>
    client.query(`create table public.things (id uuid primary key, changes integer not null default 0);
      grant all on public.things to tallystick_owner`),
  );
});

interface Event {
  number: string;
  id: string;
  kind: string;
  subject: string;
  change: number | null;
}

async function stream(tenantId: number): Promise<Event[]> {
  const { rows } = await owner.query<Event>(
    `select number, id, kind, subject_id as subject, (data ->> 'change')::integer as change
     from app_public.events where tenant_id = $1 order by number`,
    [tenantId],
  );
  return rows;
}

async function record(tenantId: number, subject: string): Promise<void> {
  await owner.query("select app_private.record_event($1, 'payment.settled', $2)", [tenantId, subject]);
}

async function untilCount(tenantId: number, count: number, ms = 15_000): Promise<Event[]> {
  const end = Date.now() + ms;
  for (;;) {
    const events = await stream(tenantId);
    if (events.length >= count || Date.now() > end) return events;
    await sleep(20);
  }
}

test("two relays number what many writers do: each event once, in the order of what it is about", async () => {
  const tenantId = await openTenant(owner);
  const accounts = await openAccounts(owner, tenantId, 2 * writers);
  await owner.query("select app_private.stream_transactions($1)", [tenantId]);
  const things = Array.from({ length: 3 }, () => randomUUID()).sort();
  await owner.query("insert into public.things (id) select unnest($1::uuid[])", [things]);
  const posted: string[] = [];
  const write = async (number: number): Promise<void> => {
    const random = randomNumbers(number);
    const client = await owner.connect();
    try {
      for (let round = 0; round < 12; round += 1) {
        await client.query("begin");
        // The id of the database transaction is older than what others do to the same things meanwhile.
        await client.query("select pg_current_xact_id(), pg_sleep($1)", [random(20) / 1000]);
        const postings = transfer(accounts[2 * number] ?? "", accounts[2 * number + 1] ?? "", 1);
        posted.push(await mustPost(client, tenantId, { postings }));
        for (const thing of things.filter(() => random(2) === 0)) {
          await client.query(
            `with changed as (update public.things set changes = changes + 1 where id = $2 returning changes)
             select app_private.record_event($1, 'payment.settled', $2, jsonb_build_object('change', changes))
             from changed`,
            [tenantId, thing],
          );
        }
        await client.query("select pg_sleep($1)", [random(10) / 1000]);
        await client.query("commit");
      }
    } finally {
      client.release();
    }
  };
  const warnings: string[] = [];
  const strict = pino({ level: "warn" }, { write: (line: string) => void warnings.push(line) });
  const parts = [relay, otherRelay].map((pool) => startRelay({ pool, log: strict, idleMs: 2 }));
  let events: Event[];
  try {
    await Promise.all(Array.from({ length: writers }, (_, number) => write(number)));
    const { rows } = await owner.query<{ changes: number }>(
      "select sum(changes)::integer as changes from public.things",
    );
    events = await untilCount(tenantId, (rows[0]?.changes ?? 0) + posted.length);
    expect(events).toHaveLength((rows[0]?.changes ?? 0) + posted.length);
  } finally {
    await Promise.all(parts.map((part) => part.stop()));
  }
  expect(warnings).toEqual([]);
  expect(events.map(({ number }) => Number(number))).toEqual(events.map((_, index) => index + 1));
  expect(
    events
      .filter(({ kind }) => kind === "transaction.posted")
      .map(({ subject }) => subject)
      .sort(),
  ).toEqual([...posted].sort());
  for (const thing of things) {
    const changes = events.filter(({ subject }) => subject === thing).map(({ change }) => change);
    expect(changes).toEqual(changes.map((_, index) => index + 1));
  }
}, 60_000);

describe("a database transaction that stays open", () => {
  test("holds up events of transactions, and no others; it comes itself when it commits", async () => {
    const tenantId = await openTenant(owner);
    const [debit = "", credit = ""] = await openAccounts(owner, tenantId, 2);
    await owner.query("select app_private.stream_transactions($1)", [tenantId]);
    await relayAll(relay);
    const [late, early] = [randomUUID(), randomUUID()];
    const client = await owner.connect();
    let id: string;
    try {
      await client.query("begin");
      await client.query("select app_private.record_event($1, 'payment.settled', $2)", [tenantId, late]);
      id = await mustPost(owner, tenantId, { postings: transfer(debit, credit, 1) });
      await record(tenantId, early);
      await relayEventsOnce(relay);
      expect((await stream(tenantId)).map(({ subject }) => subject)).toEqual([early]);
      await client.query("commit");
    } finally {
      client.release();
    }
    await relayAll(relay);
    expect((await stream(tenantId)).map(({ subject }) => subject)).toEqual([early, id, late]);
  });

  test("and is rolled back leaves no trace and no gap", async () => {
    const tenantId = await openTenant(owner);
    const client = await owner.connect();
    try {
      await client.query("begin");
      await client.query("select app_private.record_event($1, 'payment.settled', $2)", [tenantId, randomUUID()]);
      await record(tenantId, randomUUID());
      while ((await relayEventsOnce(relay)) > 0);
      await client.query("rollback");
    } finally {
      client.release();
    }
    await record(tenantId, randomUUID());
    await relayAll(relay);
    expect((await stream(tenantId)).map(({ number }) => number)).toEqual(["1", "2"]);
  });
});

/** An endpoint that has come to this event. */
async function listenAt(tenantId: number, number: number): Promise<string> {
  const { rows } = await owner.query<{ id: string }>(
    `with u as (insert into app_public.users (name) values ('x') returning id),
     e as (
       insert into app_public.webhook_endpoints (tenant_id, url, event_kinds, created_by)
       select $1, 'https://example.com/', '{payment.*}', u.id from u returning tenant_id, id
     )
     insert into app_public.webhook_positions (tenant_id, endpoint_id, number)
     select e.tenant_id, e.id, $2 from e returning endpoint_id as id`,
    [tenantId, number],
  );
  return rows[0]?.id ?? "";
}

test("tenants with much to tell do not keep another waiting", async () => {
  const busy: number[] = [];
  for (let n = 0; n < 12; n += 1) busy.push(await openTenant(owner));
  const other = await openTenant(owner);
  for (const tenantId of busy) {
    await owner.query("select app_private.record_event($1, 'payment.settled', uuidv7()) from generate_series(1, 300)", [
      tenantId,
    ]);
  }
  await record(other, randomUUID());
  // Ten of thirteen tenants have their turn in each pass.
  for (let pass = 0; pass < 15; pass += 1) await relay.query("select app_private.relay_events(batch_size => 5)");
  expect(await stream(other)).toHaveLength(1);
  await relayAll(relay);
  for (const tenantId of busy) expect(await stream(tenantId)).toHaveLength(300);
});

test("a thousand tenants with nothing to tell cost next to nothing", async () => {
  await owner.query(
    "insert into app_public.tenants (slug, name) select 'idle-' || n, 'Idle' from generate_series(1, 1000) n",
  );
  await owner.query(
    "insert into app_private.event_streams (tenant_id) select id from app_public.tenants on conflict do nothing",
  );
  await relayAll(relay);
  await db.withClient("superuser", (client) => client.query("vacuum app_private.outbox, app_private.event_streams"));
  await db.withClient("owner", async (client) => {
    // The first call reads the catalog.
    await client.query("select app_private.tenants_to_relay()");
    const { rows } = await client.query<{ "QUERY PLAN": [{ Plan: Record<string, number> }] }>(
      "explain (analyze, buffers, format json) select app_private.tenants_to_relay()",
    );
    const { "Shared Hit Blocks": hit = 0, "Shared Read Blocks": read = 0 } = rows[0]?.["QUERY PLAN"][0].Plan ?? {};
    expect(hit + read).toBeGreaterThan(0);
    expect(hit + read).toBeLessThan(50);
  });
});

test("a relay asks an idle server for nothing but whether something was written", async () => {
  const asked: string[] = [];
  const watched = {
    query: (query: { name: string; text: string; values?: unknown[] }) => {
      asked.push(query.name);
      return relay.query(query);
    },
  } as unknown as typeof relay;
  await relayAll(relay);
  const part = startRelay({ pool: watched, log, idleMs: 5 });
  try {
    // Other test files write on the same server: sometimes they pause.
    const isIdle = (): boolean => /(relay_snapshot,){10}$/.test(`${asked.join(",")},`);
    const end = Date.now() + 20_000;
    while (!isIdle() && Date.now() < end) await sleep(5);
    expect(isIdle()).toBe(true);
    const tenantId = await openTenant(owner);
    await record(tenantId, randomUUID());
    expect(await untilCount(tenantId, 1)).toHaveLength(1);
  } finally {
    await part.stop();
  }
});

test("who listens is woken by one job, in the database transaction that makes the events", async () => {
  const tenantId = await openTenant(owner);
  const id = await listenAt(tenantId, 0);
  const jobs = async (): Promise<number> => {
    const { rowCount } = await relay.query("select from graphile_worker.jobs where key like $1", [`%${id}`]);
    return rowCount ?? 0;
  };
  await record(tenantId, randomUUID());
  const client = await relay.connect();
  try {
    await client.query("begin");
    await client.query("select app_private.relay_events()");
    await client.query("rollback");
    expect(await jobs()).toBe(0);
  } finally {
    client.release();
  }
  for (let n = 0; n < 3; n += 1) {
    await record(tenantId, randomUUID());
    await relayAll(relay);
  }
  expect(await jobs()).toBe(1);
});

test("old events are removed from the beginning, in batches, but none that an endpoint is to be told of", async () => {
  const tenantId = await openTenant(owner);
  for (let n = 0; n < 10; n += 1) await record(tenantId, randomUUID());
  await relayAll(relay);
  await owner.query(
    "update app_public.events set created_at = now() - interval '8 days' where tenant_id = $1 and number <= 8",
    [tenantId],
  );
  // Notifications have read all of it.
  await owner.query(
    `insert into app_private.notification_cursors (tenant_id, number) values ($1, 10)
     on conflict (tenant_id) do update set number = excluded.number`,
    [tenantId],
  );
  const prune = async (batch: number): Promise<number[]> => {
    await relay.query("select app_private.prune_events(7, $1)", [batch]);
    return (await stream(tenantId)).map(({ number }) => Number(number));
  };
  expect(await prune(2)).toEqual([3, 4, 5, 6, 7, 8, 9, 10]);
  const id = await listenAt(tenantId, 4);
  expect(await prune(100)).toEqual([5, 6, 7, 8, 9, 10]);
  await owner.query(
    `update app_public.webhook_endpoints
     set status = 'disabled', disabled_because = 'failing', disabled_at = now() where id = $1`,
    [id],
  );
  expect(await prune(100)).toEqual([9, 10]);
  expect(await prune(100)).toEqual([9, 10]);
  const { rows: gaps } = await owner.query("select * from checks.event_streams_with_gaps where tenant_id = $1", [
    tenantId,
  ]);
  expect(gaps).toEqual([]);
  await expect(relay.query("select app_private.prune_events(6, 1)")).rejects.toThrow("seven days");
});
