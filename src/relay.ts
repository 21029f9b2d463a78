import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import type { Logger } from "pino";
import type { RunningPart } from "./api.ts";

export interface RelayOptions {
  /** Connects as tallystick_worker. */
  pool: pg.Pool;
  log: Logger;
  /** How long to wait when there was nothing to tell. Default: 100 ms. */
  idleMs?: number;
}

const batchSize = 1000;
const errorWaitMs = 1000;

/**
 * Tells subscribers what has been posted, from app_private.relay_live, and takes what has happened into the
 * streams of events. Any number of these may run, in any number of processes: the cursor of each tenant is
 * locked while one of them moves it.
 */
export function startRelay({ pool, log, idleMs = 100 }: RelayOptions): RunningPart {
  const stopping = new AbortController();
  const pause = (ms: number): Promise<unknown> =>
    sleep(ms, undefined, { signal: stopping.signal }).catch(() => undefined);
  const loop = async (): Promise<void> => {
    // What the database looked like when there was nothing to tell.
    let told: string | undefined;
    while (!stopping.signal.aborted) {
      try {
        const snapshot = await readSnapshot(pool);
        const count = snapshot === told ? 0 : Math.max(await relayOnce(pool), await relayEventsOnce(pool));
        told = count === 0 ? snapshot : undefined;
        if (count < batchSize) await pause(idleMs);
      } catch (error) {
        if (stopping.signal.aborted) return;
        log.warn({ err: error }, "the relay failed and goes on");
        await pause(errorWaitMs);
      }
    }
  };
  const ended = loop();
  return {
    stop: async () => {
      stopping.abort();
      await ended;
    },
  };
}

/** One step of the relay: how many transactions it told about. */
export async function relayOnce(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ told: number }>({
    name: "relay_live",
    text: "select app_private.relay_live(batch_size => $1) as told",
    values: [batchSize],
  });
  return rows[0]?.told ?? 0;
}

/** One step of the streams of events: how many it made. */
export async function relayEventsOnce(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ made: number }>({
    name: "relay_events",
    text: "select app_private.relay_events(batch_size => $1) as made",
    values: [batchSize],
  });
  return rows[0]?.made ?? 0;
}

/**
 * Changes with each database transaction that writes something and begins or ends. While it is the same there is
 * nothing new, for any tenant: an idle server is asked for nothing else.
 */
async function readSnapshot(pool: pg.Pool): Promise<string | undefined> {
  const { rows } = await pool.query<{ snapshot: string }>({
    name: "relay_snapshot",
    text: "select pg_current_snapshot()::text as snapshot",
  });
  return rows[0]?.snapshot;
}
