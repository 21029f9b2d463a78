import { beforeEach, describe, expect, test } from "@jest/globals";
import { type FakeProvider, fakeProvider } from "../../support/fake_payment_provider.ts";
import { runDueJobs, taskConfig, workerPool } from "../../support/jobs.ts";
import { findViolations } from "../../support/ledger.ts";
import { addPayment, hurry, makeSettlementBooks, type SettlementBooks, standing } from "../../support/settlement.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/* The circuit breaker, whose state all workers share. */
const db = await createTestDatabase();
const owner = db.pool("owner", { max: 8 });
const worker = workerPool(db);
let books: SettlementBooks;
let bank: FakeProvider;
let other: FakeProvider;

beforeEach(async () => {
  await worker.query("select graphile_worker.complete_jobs(array_agg(id)) from graphile_worker.jobs");
  books = await makeSettlementBooks(owner, ["bank", "other"]);
  await owner.query(
    `insert into app_public.settlement_settings
       (tenant_id, provider_code, failure_threshold, open_seconds, probe_seconds)
     values ($1, 'bank', 3, 2, 2)`,
    [books.tenantId],
  );
  bank = fakeProvider("bank");
  other = fakeProvider("other");
});

interface Turn {
  goes: boolean;
  probe_id: string | null;
  wait: number | null;
}

async function acquire(): Promise<Turn> {
  const { rows } = await owner.query<Turn>(
    `select goes, probe_id, extract(epoch from wait_until - clock_timestamp())::float as wait
     from app_private.acquire_call($1, 'bank')`,
    [books.tenantId],
  );
  return rows[0] as Turn;
}

async function report(isSuccess: boolean, probeId: string | null = null): Promise<void> {
  await owner.query("select app_private.report_call($1, 'bank', $2, $3)", [books.tenantId, isSuccess, probeId]);
}

async function circuit(): Promise<Record<string, unknown> | undefined> {
  const { rows } = await owner.query<Record<string, unknown>>(
    `select state, failures, openings, probes_left,
       round(extract(epoch from open_until - clock_timestamp()))::integer as open_for
     from app_public.circuit_breakers where tenant_id = $1 and provider_code = 'bank'`,
    [books.tenantId],
  );
  return rows[0];
}

/** What the circuit waits for has passed. */
async function waitIsOver(): Promise<void> {
  await owner.query("update app_public.circuit_breakers set open_until = clock_timestamp() where state = 'open'");
}

async function fail(times: number): Promise<void> {
  for (let i = 0; i < times; i += 1) await report(false);
}

const eventsOf = async (): Promise<string[]> => {
  const { rows } = await owner.query<{ kind: string }>(
    "select kind from app_private.outbox where tenant_id = $1 and kind like 'circuit.%' order by id",
    [books.tenantId],
  );
  return rows.map(({ kind }) => kind);
};

test("a provider that answers has no row, and nothing is written for it", async () => {
  expect(await acquire()).toEqual({ goes: true, probe_id: null, wait: null });
  await report(true);
  expect(await circuit()).toBeUndefined();
});

test("opens after so many failures in a row, each in time", async () => {
  await fail(2);
  await report(true);
  await fail(2);
  expect(await circuit()).toMatchObject({ state: "closed", failures: 2 });
  await owner.query("update app_public.circuit_breakers set window_started_at = now() - interval '61 seconds'");
  await fail(2);
  expect(await circuit()).toMatchObject({ state: "closed", failures: 2 });
  await fail(1);
  expect(await circuit()).toMatchObject({ state: "open", openings: 1, open_for: 2 });
  const { goes, wait } = await acquire();
  expect(goes).toBe(false);
  expect(wait).toBeGreaterThan(1);
  expect(wait).toBeLessThan(4.1);
  expect(await eventsOf()).toEqual(["circuit.opened"]);
});

test("failures that many workers report at once are all counted, and open it once", async () => {
  await Promise.all(Array.from({ length: 16 }, () => report(false)));
  expect(await circuit()).toMatchObject({ state: "open", openings: 1 });
  expect(await eventsOf()).toEqual(["circuit.opened"]);
});

describe("half open", () => {
  beforeEach(async () => {
    await fail(3);
    await waitIsOver();
  });

  test("lets exactly three probes of eight workers through, and closes when all of them went well", async () => {
    const turns = await Promise.all(Array.from({ length: 40 }, acquire));
    const probes = turns.filter(({ goes }) => goes).map(({ probe_id }) => probe_id);
    expect(probes).toHaveLength(3);
    expect(new Set(probes).size).toBe(3);
    await report(true, probes[0]);
    expect((await acquire()).goes).toBe(false);
    await report(true, probes[1]);
    expect(await circuit()).toMatchObject({ state: "half_open", probes_left: 0 });
    await report(true, probes[2]);
    expect(await circuit()).toMatchObject({ state: "closed", openings: 0, failures: 0 });
    expect((await acquire()).probe_id).toBeNull();
    expect(await eventsOf()).toEqual(["circuit.opened", "circuit.closed"]);
  });

  test("opens again at the first probe that fails, for twice as long; the others count no more", async () => {
    const probes = [await acquire(), await acquire()].map(({ probe_id }) => probe_id);
    await report(false, probes[0]);
    expect(await circuit()).toMatchObject({ state: "open", openings: 2, open_for: 4 });
    await report(true, probes[1]);
    expect(await circuit()).toMatchObject({ state: "open", probes_left: 0 });
  });

  test("a probe whose worker died is given back after its time, once", async () => {
    const probes = [await acquire(), await acquire(), await acquire()].map(({ probe_id }) => probe_id);
    expect((await acquire()).goes).toBe(false);
    await owner.query("update app_private.circuit_probes set started_at = now() - interval '3 seconds' where id = $1", [
      probes[1],
    ]);
    const turns = await Promise.all(Array.from({ length: 10 }, acquire));
    expect(turns.filter(({ goes }) => goes)).toHaveLength(1);
    // It comes back from the dead, and counts for nothing.
    await report(false, probes[1]);
    expect(await circuit()).toMatchObject({ state: "half_open", probes_left: 0 });
  });
});

/** Settles with eight workers at a time until nothing is due. */
async function run(): Promise<void> {
  await runDueJobs(worker, taskConfig(), ({ code }) => Promise.resolve(code === "bank" ? bank : other), 8);
}

describe("an outage", () => {
  test("of which many payments hear: few calls go out, and all settle once when it is over", async () => {
    const ids = [];
    for (let i = 0; i < 60; i += 1) ids.push(await addPayment(owner, books, { amount: 100 + i }));
    bank.outage = "lost";
    await run();
    // Three failures open it; at most eight were on their way by then.
    expect(bank.calls.length).toBeGreaterThanOrEqual(3);
    expect(bank.calls.length).toBeLessThanOrEqual(10);
    const during = bank.calls.length;
    for (let i = 0; i < 3; i += 1) {
      await waitIsOver();
      await hurry(owner, worker);
      await run();
    }
    // Each time that it is tried again, three probes go at most.
    expect(bank.calls.length - during).toBeLessThanOrEqual(9);
    bank.outage = undefined;
    let most = 0;
    let out = 0;
    bank.before = () => {
      out += 1;
      most = Math.max(most, out);
      return Promise.resolve();
    };
    bank.after = () => {
      out -= 1;
      return Promise.resolve();
    };
    for (let i = 0; i < 12; i += 1) {
      await waitIsOver();
      await hurry(owner, worker);
      await run();
    }
    for (const id of ids) expect(await standing(owner, id)).toMatch(/^settled: (bank abandoned, )*bank settled$/);
    expect(bank.books.size).toBe(60);
    expect(most).toBeLessThanOrEqual(8);
    expect(await circuit()).toMatchObject({ state: "closed" });
    expect(await findViolations(owner, books.tenantId)).toEqual([]);
  }, 60_000);

  test("those who wait are told different times", async () => {
    await fail(3);
    const waits = await Promise.all(Array.from({ length: 50 }, async () => (await acquire()).wait ?? 0));
    const tenths = new Set(waits.map((wait) => Math.floor(wait * 10)));
    expect(tenths.size).toBeGreaterThan(8);
  });

  test("new payments go to the fallback of their rule while the circuit is open", async () => {
    await owner.query(
      `insert into app_public.routing_rules (tenant_id, priority, provider_code, fallback_provider_code)
       values ($1, 1, 'bank', 'other')`,
      [books.tenantId],
    );
    const waiting = await addPayment(owner, books);
    await fail(3);
    const routed = await addPayment(owner, books, { provider: null });
    await run();
    expect(await standing(owner, waiting)).toBe("settled: other settled");
    expect(await standing(owner, routed)).toBe("settled: other settled");
    expect(bank.calls).toEqual([]);
    expect(await findViolations(owner, books.tenantId)).toEqual([]);
  });
});
