import type { Logger } from "pino";

/** One limit: how many hits of one key a window may have, and how the processes count together. */
export interface RateRule {
  name: string;
  limit: number;
  windowSeconds: number;
  /**
   * Hits of one key that a process may admit ahead of the shared counter. The limit is exceeded by at most
   * this many for each process but one; 0 asks the database each time and is exact.
   */
  slack: number;
  /** What holds while the database cannot count: each process counts alone, or nothing is admitted. */
  inTrouble: "count alone" | "refuse";
}

/** What is known of a key after a hit. */
export interface Hit {
  /** Hits in the window, this one included. */
  total: number;
  /** When the window ends, in milliseconds since 1970 by the clock of this process. */
  endsAt: number;
}

/** Hits of one key that the shared counter has not heard of yet. */
export interface Unsettled {
  /** 16 bytes. */
  key: Buffer;
  windowNumber: number;
  hits: number;
  windowSeconds: number;
}

/** Adds hits to the shared counters, and tells the total of each in order, and the time there. */
export type CountHits = (batch: Unsettled[]) => Promise<{ totals: number[]; clock: number }>;

export interface SharedCounter {
  /** Counts a hit; throws a CounterUnavailableError if it must be counted and cannot be. */
  hit(key: Buffer, rule: RateRule): Promise<Hit>;
  /** Tells the shared counters what they have not heard yet. */
  stop(): Promise<void>;
}

/** The database cannot count, and the limit does not let anything pass uncounted. */
export class CounterUnavailableError extends Error {
  constructor() {
    super("The requests cannot be counted at this moment.");
    this.name = "CounterUnavailableError";
  }
}

export interface SharedCounterOptions {
  countHits: CountHits;
  log: Logger;
  /** Milliseconds since 1970; for tests. */
  now?: () => number;
  /** How long hits wait for company before they are settled. */
  settleAfterMs?: number;
  /** Keys remembered at a time: the memory of an attack from many addresses. */
  maxKeys?: number;
}

/** What this process knows of a key in a window. */
interface Tally {
  rule: RateRule;
  key: Buffer;
  windowNumber: number;
  endsAt: number;
  /** The total that the shared counter last told; undefined before it did. */
  known: number | undefined;
  /** Hits that are being told to it. */
  inFlight: number;
  /** Hits that have not been told to it. */
  unsettled: number;
  waiting: Waiter[];
}

interface Waiter {
  resolve(hit: Hit): void;
  reject(error: Error): void;
}

const maxBatch = 500;
const retryAfterMs = 1_000;

/**
 * Counts hits in this process and settles them with the counters that all processes share, in batches: a
 * hit waits for the database only if this process does not know yet how many there were in the window, or
 * has admitted as many on its own as the rule's slack. While one batch is on its way the next one gathers.
 *
 * Why the limit is exceeded by at most slack × (processes − 1): a process admits only while what it last
 * heard plus what it has not settled stays within the limit. The one that heard last knows of all that was
 * settled before; each of the others has at most its slack beyond that.
 */
export function makeSharedCounter(options: SharedCounterOptions): SharedCounter {
  const { countHits, log, now = Date.now, settleAfterMs = 200, maxKeys = 100_000 } = options;
  const tallies = new Map<string, Tally>();
  const unsettled = new Set<Tally>();
  // The clock of the database minus ours: windows begin for all processes at the same time.
  let clockOffset = 0;
  let isInTrouble = false;
  let retryAt = 0;
  let settling: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;

  const tallyOf = (key: Buffer, rule: RateRule): Tally => {
    const time = now();
    const length = rule.windowSeconds * 1000;
    // Each key has windows of its own, so that not everybody who was refused comes back in the same instant.
    const shifted = time + clockOffset + (key.readUInt32BE(0) % length);
    const windowNumber = Math.floor(shifted / length);
    const name = key.toString("latin1");
    const found = tallies.get(name);
    if (found?.windowNumber === windowNumber) return found;
    tallies.delete(name);
    if (tallies.size >= maxKeys) makeRoom(tallies, time);
    const endsAt = time + (length - (shifted % length));
    const tally: Tally = { rule, key, windowNumber, endsAt, known: undefined, inFlight: 0, unsettled: 0, waiting: [] };
    tallies.set(name, tally);
    return tally;
  };

  /** Keeps it to be settled; while nothing can be, the oldest gives way to the newest. */
  const keep = (tally: Tally): void => {
    unsettled.add(tally);
    if (!isInTrouble || unsettled.size <= maxKeys) return;
    for (const oldest of unsettled) {
      unsettled.delete(oldest);
      return;
    }
  };

  const settleOnce = async (): Promise<void> => {
    const batch = [...unsettled].slice(0, maxBatch).map((tally) => {
      unsettled.delete(tally);
      const { unsettled: hits, waiting } = tally;
      Object.assign(tally, { unsettled: 0, inFlight: hits, waiting: [] });
      return { tally, hits, waiting };
    });
    try {
      const { totals, clock } = await countHits(
        batch.map(({ tally: { key, windowNumber, rule }, hits }) => ({
          key,
          windowNumber,
          hits,
          windowSeconds: rule.windowSeconds,
        })),
      );
      clockOffset = clock - now();
      if (isInTrouble) log.info("requests are counted in the database again");
      isInTrouble = false;
      for (const [index, { tally, waiting }] of batch.entries()) {
        const total = totals[index] ?? 0;
        tally.known = total;
        tally.inFlight = 0;
        // Those who waited come after those who did not.
        for (const [rank, waiter] of waiting.entries()) {
          waiter.resolve({ total: total - waiting.length + rank + 1, endsAt: tally.endsAt });
        }
      }
    } catch (error) {
      if (!isInTrouble) log.warn({ err: error }, "requests cannot be counted in the database");
      isInTrouble = true;
      retryAt = now() + retryAfterMs;
      for (const { tally, hits, waiting } of batch) {
        const isRefusing = tally.rule.inTrouble === "refuse";
        tally.inFlight = 0;
        // What is refused because it could not be counted does not count.
        tally.unsettled += isRefusing ? hits - waiting.length : hits;
        if (tally.unsettled > 0 && tally.endsAt > now()) keep(tally);
        for (const [rank, waiter] of waiting.entries()) {
          if (isRefusing) waiter.reject(new CounterUnavailableError());
          else waiter.resolve({ total: localTotal(tally) - waiting.length + rank + 1, endsAt: tally.endsAt });
        }
      }
    }
  };

  const settleNow = (): void => {
    if (settling !== undefined) return;
    clearTimeout(timer);
    timer = undefined;
    settling = settleOnce().finally(() => {
      settling = undefined;
      if (unsettled.size === 0) return;
      const isAwaited = [...unsettled].some(
        ({ waiting, unsettled: hits, rule }) => waiting.length > 0 || hits > rule.slack / 2,
      );
      if (isAwaited && !isInTrouble) settleNow();
      else settleLater(isInTrouble ? retryAfterMs : settleAfterMs);
    });
  };

  const settleLater = (ms: number): void => {
    timer ??= setTimeout(settleNow, ms).unref();
  };

  const hit = (key: Buffer, rule: RateRule): Promise<Hit> => {
    const tally = tallyOf(key, rule);
    const isFull = (tally.known !== undefined || isInTrouble) && localTotal(tally) >= rule.limit;
    // What is refused anyway needs no counting, and costs the database nothing.
    if (isFull) return Promise.resolve({ total: rule.limit + 1, endsAt: tally.endsAt });
    const isRefusing = isInTrouble && rule.inTrouble === "refuse";
    if (isRefusing && now() < retryAt) return Promise.reject(new CounterUnavailableError());
    tally.unsettled += 1;
    keep(tally);
    if (isInTrouble && !isRefusing) {
      settleLater(retryAfterMs);
      return Promise.resolve({ total: localTotal(tally), endsAt: tally.endsAt });
    }
    if (tally.known !== undefined && tally.inFlight + tally.unsettled <= rule.slack) {
      // Settled at half the slack, so that in a steady stream nobody has to wait.
      if (tally.unsettled > rule.slack / 2) settleNow();
      else settleLater(settleAfterMs);
      return Promise.resolve({ total: localTotal(tally), endsAt: tally.endsAt });
    }
    return new Promise((resolve, reject) => {
      tally.waiting.push({ resolve, reject });
      settleNow();
    });
  };

  const stop = async (): Promise<void> => {
    await settling;
    if (unsettled.size > 0) await settleOnce();
    clearTimeout(timer);
  };

  return { hit, stop };
}

function localTotal({ known = 0, inFlight, unsettled }: Tally): number {
  return known + inFlight + unsettled;
}

/** Forgets windows that are over, or else the keys that came first: whoever comes back waits for the database. */
function makeRoom(tallies: Map<string, Tally>, time: number): void {
  const before = tallies.size;
  for (const [name, { endsAt }] of tallies) if (endsAt <= time) tallies.delete(name);
  if (tallies.size < before) return;
  for (const name of [...tallies.keys()].slice(0, Math.ceil(before / 10))) tallies.delete(name);
}
