import { readdirSync, readFileSync } from "node:fs";
import type pg from "pg";

/** Microseconds of processor that were used so far; the difference of two readings counts. */
export type ProcessorClock = () => Promise<number>;

const ticksPerSecond = 100;

/** The processor time of a database server with all its processes. Linux alone tells; elsewhere it is not known. */
export async function serverClock(client: pg.Client): Promise<ProcessorClock> {
  const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid");
  const postmaster = statOf(rows[0]?.pid ?? 0)?.parent;
  if (postmaster === undefined) return async () => Number.NaN;
  return async () => {
    // Processes that have ended are counted by their parent.
    let ticks = statOf(postmaster)?.withEnded ?? 0;
    for (const name of readdirSync("/proc")) {
      const stat = /^\d+$/.test(name) ? statOf(Number(name)) : undefined;
      if (stat?.parent === postmaster) ticks += stat.own;
    }
    return (ticks * 1_000_000) / ticksPerSecond;
  };
}

/** The processor time of one process. */
export function processClock(pid: number): ProcessorClock {
  return async () => ((statOf(pid)?.withEnded ?? Number.NaN) * 1_000_000) / ticksPerSecond;
}

/** The processor time of several together. */
export function sumOfClocks(clocks: ProcessorClock[]): ProcessorClock {
  return async () => {
    const times = await Promise.all(clocks.map((clock) => clock()));
    return times.reduce((sum, time) => sum + time, 0);
  };
}

function statOf(pid: number): { parent: number; own: number; withEnded: number } | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  // What follows the name of the program, which may hold blanks; see proc(5).
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [parent, user, system, endedUser, endedSystem] = [1, 11, 12, 13, 14].map((n) => Number(fields[n])) as [
    number,
    number,
    number,
    number,
    number,
  ];
  return { parent, own: user + system, withEnded: user + system + endedUser + endedSystem };
}
