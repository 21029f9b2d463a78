import pg from "pg";
import { seededRandom } from "../src/random.ts";
import type { Round } from "./figures.ts";
import type { ProcessorClock } from "./processor.ts";

/** What one client sends next, and how many transfers that makes. */
export interface Statement {
  /** The same for the same text: the statement is prepared under it. */
  name: string;
  text: string;
  values: unknown[];
  transfers: number;
  /** Told the rows of the answer. */
  answered?: (rows: Record<string, unknown>[]) => void;
  /** The database may say no, which is an answer like any other. */
  mayBeRefused?: boolean;
}

/** What a client sends, one statement after the other. Made once for each client, which it may remember. */
export type Script = (random: () => number, client: number) => () => Statement;

/** A load that goes on where it stopped in the round before. */
export type Load = (seconds: number) => Promise<Round & { transfers: number }>;

export interface ConnectionOptions {
  url: string;
  count: number;
  /** Run once on each before anything is measured. */
  prepare?: (client: pg.Client, index: number) => Promise<void>;
}

/** Opens connections, one a client, and closes them whatever happens. */
export async function withConnections<T>(
  { url, count, prepare }: ConnectionOptions,
  work: (clients: pg.Client[]) => Promise<T>,
): Promise<T> {
  const clients = Array.from({ length: count }, () => new pg.Client({ connectionString: url }));
  try {
    await Promise.all(
      clients.map(async (client, index) => {
        await client.connect();
        await prepare?.(client, index);
      }),
    );
    return await work(clients);
  } finally {
    await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
  }
}

/**
 * A load of one statement at a time on each connection, with the next sent as soon as the answer is there.
 * `seed` must be another for each load of a database: idempotency keys are drawn from it.
 */
export function sqlLoad(clients: pg.Client[], script: Script, seed: string, clock: ProcessorClock): Load {
  const next = clients.map((_, index) => script(randomOf(`${seed} ${index}`), index));
  return async (seconds) => {
    const times: number[] = [];
    const processor = await clock();
    const own = process.cpuUsage();
    const started = performance.now();
    const end = started + seconds * 1000;
    const counts = await Promise.all(
      clients.map(async (client, index) => {
        const made = await runClient(client, next[index] as () => Statement, end, times);
        return { made, seconds: (performance.now() - started) / 1000 };
      }),
    );
    const elapsed = (performance.now() - started) / 1000;
    const { user, system } = process.cpuUsage(own);
    const used = (await clock()) - processor;
    const transfers = counts.reduce((sum, { made }) => sum + made, 0);
    return {
      // Each client by its own time: who is done waits for nobody.
      value: counts.reduce((sum, { made, seconds: taken }) => sum + made / taken, 0),
      ...quantiles(times),
      serverCpu: used / transfers,
      clientCpu: (user + system) / 1_000_000 / elapsed,
      transfers,
    };
  };
}

async function runClient(client: pg.Client, next: () => Statement, end: number, times: number[]): Promise<number> {
  let transfers = 0;
  let at = performance.now();
  while (at < end) {
    const { name, text, values, transfers: made, answered, mayBeRefused } = next();
    try {
      const { rows } = await client.query<Record<string, unknown>>({ name, text, values });
      answered?.(rows);
    } catch (error) {
      if (!mayBeRefused || !(error instanceof pg.DatabaseError) || !error.code?.startsWith("LG")) throw error;
    }
    transfers += made;
    const now = performance.now();
    times.push(now - at);
    at = now;
  }
  return transfers;
}

/** The middle of some times, and what 95 and 99 of 100 stay within. */
export function quantiles(times: number[]): { p50: number; p95: number; p99: number } {
  const sorted = Float64Array.from(times).sort();
  const quantile = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN;
  return { p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99) };
}

/** A generator with a text for a seed, of which a number is made (FNV-1a). */
export function randomOf(seed: string): () => number {
  let state = 0x811c9dc5;
  for (let n = 0; n < seed.length; n += 1) state = Math.imul(state ^ seed.charCodeAt(n), 0x01000193);
  return seededRandom(state >>> 0);
}

/** One of several that take turns. */
export interface Contestant {
  name: string;
  load: Load;
}

export interface Turns {
  rounds: number;
  seconds: number;
  /** How long the pass before the first round is; default: a second. */
  warming?: number;
  progress: (what: string) => void;
}

/**
 * Lets contestants take turns, all of them in each round, so that what the machine does besides meets all of them
 * alike. A short pass before warms plans and pages, and is not counted.
 */
export async function inTurns(
  contestants: Contestant[],
  { rounds, seconds, warming = Math.min(1, seconds), progress }: Turns,
): Promise<Map<string, Round[]>> {
  const results = new Map<string, Round[]>(contestants.map(({ name }) => [name, []]));
  for (const { name, load } of contestants) {
    progress(`${name}, warming`);
    await load(warming);
  }
  for (let round = 1; round <= rounds; round += 1)
    for (const { name, load } of contestants) {
      progress(`${name}, round ${round} of ${rounds}`);
      results.get(name)?.push(await load(seconds));
    }
  return results;
}
