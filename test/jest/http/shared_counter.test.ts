import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { pino } from "pino";
import {
  CounterUnavailableError,
  type CountHits,
  makeSharedCounter,
  type RateRule,
} from "../../../src/http/shared_counter.ts";

/* How processes count together: here against counters in memory, in rate_limits.test.ts against the database. */
const log = pino({ level: "silent" });
const key = Buffer.alloc(16, 7);
const minute = 60_000;
const start = Date.UTC(2026, 0, 1);

interface World {
  totals: Map<string, number>;
  calls: number;
  /** Answers wait for this. */
  gate: Promise<void>;
  isDown: boolean;
  clock: number;
}

function makeWorld(): World {
  return { totals: new Map(), calls: 0, gate: Promise.resolve(), isDown: false, clock: start };
}

const countIn =
  (world: World): CountHits =>
  async (batch) => {
    world.calls += 1;
    await world.gate;
    if (world.isDown) throw new Error("The database is down.");
    const totals = batch.map((one) => {
      const name = `${one.key.toString("hex")} ${one.windowNumber}`;
      const total = (world.totals.get(name) ?? 0) + one.hits;
      world.totals.set(name, total);
      return total;
    });
    return { totals, clock: world.clock };
  };

const rule = (change: Partial<RateRule>): RateRule => ({
  name: "user",
  limit: 100,
  windowSeconds: 60,
  slack: 10,
  inTrouble: "count alone",
  ...change,
});

const process = (world: World, maxKeys?: number) =>
  makeSharedCounter({
    countHits: countIn(world),
    log,
    now: () => world.clock,
    settleAfterMs: 5,
    ...(maxKeys === undefined ? {} : { maxKeys }),
  });

describe("one process", () => {
  test("admits exactly the limit, however the hits come", async () => {
    for (const slack of [0, 1, 10, 50]) {
      const counter = process(makeWorld());
      const one = rule({ slack });
      const hits = [];
      for (let n = 0; n < 60; n += 1) hits.push(await counter.hit(key, one));
      hits.push(...(await Promise.all(Array.from({ length: 60 }, () => counter.hit(key, one)))));
      expect(hits.filter(({ total }) => total <= one.limit)).toHaveLength(one.limit);
      await counter.stop();
    }
  });
  test("numbers the hits one by one", async () => {
    const counter = process(makeWorld());
    const totals = await Promise.all(Array.from({ length: 30 }, () => counter.hit(key, rule({}))));
    expect(totals.map(({ total }) => total)).toEqual(Array.from({ length: 30 }, (_, n) => n + 1));
    await counter.stop();
  });
  test("asks the database once for many hits, and not at all for what is refused anyway", async () => {
    const world = makeWorld();
    const counter = process(world);
    for (let n = 0; n < 100; n += 1) await counter.hit(key, rule({}));
    await counter.stop();
    expect(world.calls).toBeLessThan(25);
    const before = world.calls;
    for (let n = 0; n < 1000; n += 1) expect((await counter.hit(key, rule({}))).total).toBeGreaterThan(100);
    expect(world.calls).toBe(before);
  });
  test("tells the shared counter every hit before it stops", async () => {
    const world = makeWorld();
    const counter = process(world);
    for (let n = 0; n < 37; n += 1) await counter.hit(key, rule({}));
    await counter.stop();
    expect([...world.totals.values()]).toEqual([37]);
  });
  test("starts anew with the next window, which comes when it said", async () => {
    const world = makeWorld();
    const counter = process(world);
    const one = rule({ limit: 3, slack: 0 });
    for (let n = 1; n <= 3; n += 1) expect((await counter.hit(key, one)).total).toBe(n);
    const refused = await counter.hit(key, one);
    expect(refused.total).toBe(4);
    expect(refused.endsAt - world.clock).toBeLessThanOrEqual(minute);
    world.clock = refused.endsAt - 1;
    expect((await counter.hit(key, one)).total).toBe(4);
    world.clock = refused.endsAt;
    expect((await counter.hit(key, one)).total).toBe(1);
    await counter.stop();
  });
  test("gives keys windows of their own, so that not all come back at once", async () => {
    const world = makeWorld();
    const counter = process(world);
    const ends = await Promise.all(
      [1, 2, 3, 4, 5].map(async (n) => (await counter.hit(Buffer.alloc(16, n * 37), rule({}))).endsAt),
    );
    expect(new Set(ends).size).toBe(5);
    await counter.stop();
  });
  test("remembers so many keys at most, and still admits no more than the limit", async () => {
    const world = makeWorld();
    const counter = process(world, 50);
    const one = rule({ limit: 3, slack: 2 });
    const admitted = new Map<number, number>();
    for (let round = 0; round < 6; round += 1) {
      for (let n = 0; n < 200; n += 1) {
        const other = Buffer.alloc(16);
        other.writeUInt32BE(n, 12);
        const { total } = await counter.hit(other, one);
        if (total <= one.limit) admitted.set(n, (admitted.get(n) ?? 0) + 1);
      }
    }
    expect(Math.max(...admitted.values())).toBe(3);
    await counter.stop();
  });
});

describe("several processes", () => {
  test("exceed the limit by at most the slack of each but one, in any order of hits and answers", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 0, max: 20 }),
        fc.integer({ min: 20, max: 60 }),
        fc.array(fc.integer({ min: 0, max: 99 }), { minLength: 150, maxLength: 300 }),
        async (processes, slack, limit, order) => {
          const world = makeWorld();
          const counters = Array.from({ length: processes }, () => process(world));
          const one = rule({ slack, limit });
          const hits = [];
          for (const number of order) {
            // Every tenth number lets the answers of the database come in.
            if (number % 10 === 0) await new Promise((done) => setImmediate(done));
            hits.push((counters[number % processes] as (typeof counters)[number]).hit(key, one));
          }
          const admitted = (await Promise.all(hits)).filter(({ total }) => total <= limit).length;
          await Promise.all(counters.map((counter) => counter.stop()));
          expect(admitted).toBeGreaterThanOrEqual(Math.min(limit, order.length));
          expect(admitted).toBeLessThanOrEqual(limit + slack * (processes - 1));
        },
      ),
      { numRuns: 200 },
    );
  });
  test("with no slack are exact", async () => {
    const world = makeWorld();
    const counters = Array.from({ length: 4 }, () => process(world));
    const one = rule({ slack: 0 });
    const hits = await Promise.all(
      counters.flatMap((counter) => Array.from({ length: 50 }, () => counter.hit(key, one))),
    );
    expect(hits.filter(({ total }) => total <= one.limit)).toHaveLength(one.limit);
    await Promise.all(counters.map((counter) => counter.stop()));
  });
  test("go by the clock of the database, whatever their own says", async () => {
    const world = makeWorld();
    const late = makeSharedCounter({
      countHits: countIn(world),
      log,
      now: () => world.clock - 45_000,
      settleAfterMs: 5,
    });
    const right = process(world);
    // One hit, to learn the time.
    await late.hit(Buffer.alloc(16, 1), rule({}));
    const first = await right.hit(key, rule({ slack: 0 }));
    const second = await late.hit(key, rule({ slack: 0 }));
    expect(second.total).toBe(2);
    expect(second.endsAt + 45_000).toBe(first.endsAt);
    await Promise.all([late.stop(), right.stop()]);
  });
  test("a process that was started anew knows what was counted before", async () => {
    const world = makeWorld();
    const first = process(world);
    for (let n = 0; n < 90; n += 1) await first.hit(key, rule({}));
    await first.stop();
    const second = process(world);
    expect((await second.hit(key, rule({}))).total).toBe(91);
    await second.stop();
  });
});

describe("while the database cannot count", () => {
  test("a process counts alone, and nobody waits", async () => {
    const world = makeWorld();
    const counter = process(world);
    world.isDown = true;
    const hits = [];
    for (let n = 0; n < 150; n += 1) hits.push(await counter.hit(key, rule({})));
    expect(hits.filter(({ total }) => total <= 100)).toHaveLength(100);
    expect(world.calls).toBeLessThanOrEqual(2);
    // Then what it counted alone counts for all.
    world.isDown = false;
    await new Promise((done) => setTimeout(done, 1_200));
    expect([...world.totals.values()]).toEqual([100]);
    await counter.stop();
  });
  test("a limit that is strict lets nothing pass, and what was refused does not count", async () => {
    const world = makeWorld();
    const counter = process(world);
    const strict = rule({ slack: 0, limit: 3, inTrouble: "refuse" });
    world.isDown = true;
    for (let n = 0; n < 10; n += 1) await expect(counter.hit(key, strict)).rejects.toThrow(CounterUnavailableError);
    world.isDown = false;
    world.clock += 1_001;
    for (let n = 1; n <= 3; n += 1) expect((await counter.hit(key, strict)).total).toBe(n);
    await counter.stop();
  });
  test("an answer that comes late holds up only those who must wait for it", async () => {
    const world = makeWorld();
    const counter = process(world);
    await counter.hit(key, rule({}));
    const { promise, resolve } = Promise.withResolvers<void>();
    world.gate = promise;
    for (let n = 2; n <= 11; n += 1) expect((await counter.hit(key, rule({}))).total).toBe(n);
    const waiting = counter.hit(key, rule({}));
    const first = await Promise.race([waiting, new Promise((done) => setTimeout(() => done("waits"), 50))]);
    expect(first).toBe("waits");
    resolve();
    expect((await waiting).total).toBe(12);
    await counter.stop();
  });
});
