import pg from "pg";
import { seededRandom } from "../src/random.ts";

/** What one client sends, and how many transfers each statement makes. */
export interface Statement {
  text: string;
  values: unknown[];
  transfers: number;
}

export interface Load {
  url: string;
  clients: number;
  seconds: number;
  /** Run once on each connection before the clock starts. Clients are counted from 0. */
  prepare?: (client: pg.Client, index: number) => Promise<void>;
  /** The next statement of a client; `random` is the client's own generator. */
  next: (random: () => number, index: number) => Statement;
}

/** Runs statements from several connections for some seconds; tells the transfers a second. */
export async function transfersPerSecond(load: Load): Promise<number> {
  const clients = await Promise.all(
    Array.from({ length: load.clients }, async (_, index) => {
      const client = new pg.Client({ connectionString: load.url });
      await client.connect();
      await load.prepare?.(client, index);
      return client;
    }),
  );
  try {
    const started = performance.now();
    const end = started + load.seconds * 1000;
    const counts = await Promise.all(clients.map((client, index) => runClient(client, load, index, end)));
    const elapsed = (performance.now() - started) / 1000;
    return counts.reduce((sum, count) => sum + count, 0) / elapsed;
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}

async function runClient(client: pg.Client, load: Load, index: number, end: number): Promise<number> {
  const random = seededRandom(index + 1);
  let transfers = 0;
  while (performance.now() < end) {
    const statement = load.next(random, index);
    await client.query({ name: "load", text: statement.text, values: statement.values });
    transfers += statement.transfers;
  }
  return transfers;
}

/** The middle one of some figures. */
export function median(figures: number[]): number {
  const sorted = [...figures].sort((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}
