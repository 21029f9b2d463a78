import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import type { Logger } from "pino";
import type { RunningPart } from "./api.ts";

export interface HeartbeatOptions {
  /** Connects as tallystick_worker. */
  pool: pg.Pool;
  log: Logger;
  /** What the queue calls this worker: the id by which it locks jobs. */
  workerId: string;
}

const beatMs = 5_000;
/** After the database was away: until the others have had the time to say that they live. */
const roundsToWait = 3;

/**
 * Says every five seconds that this worker lives, and frees the jobs of those that have not said so for fifteen
 * (migrations/fixtures/jobs/dead_workers.sql). So the jobs of a killed worker are free after 20 seconds at most.
 */
export function startHeartbeat({ pool, log, workerId }: HeartbeatOptions): RunningPart {
  const stopping = new AbortController();
  const loop = async (): Promise<void> => {
    let roundsLeft = 0;
    while (!stopping.signal.aborted) {
      try {
        await pool.query("select app_private.see_worker($1)", [workerId]);
        if (roundsLeft === 0) await freeJobsOfDeadWorkers(pool, log);
        else roundsLeft -= 1;
      } catch (error) {
        if (stopping.signal.aborted) break;
        roundsLeft = roundsToWait;
        log.warn({ err: error }, "the worker could not say that it lives");
      }
      await sleep(beatMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  };
  const ended = loop();
  return {
    stop: async () => {
      stopping.abort();
      await ended;
      await pool.query("select app_private.forget_worker($1)", [workerId]).catch((error: unknown) => {
        log.warn({ err: error }, "the worker could not say that it stops");
      });
    },
  };
}

/** Frees the jobs of workers that are not seen any more; how many workers those were. */
export async function freeJobsOfDeadWorkers(pool: pg.Pool, log: Logger): Promise<number> {
  const { rows } = await pool.query<{ workers: string[] }>("select app_jobs.free_jobs_of_dead_workers() as workers");
  const workers = rows[0]?.workers ?? [];
  if (workers.length > 0) log.warn({ workers }, "the jobs of workers that died are free again");
  return workers.length;
}
