import { setTimeout as sleep } from "node:timers/promises";
import { runOnce } from "graphile-worker";
import type pg from "pg";
import { type Config, loadConfig } from "../../src/config.ts";
import type { FindPaymentProvider } from "../../src/payments/settle.ts";
import { quietWorkerLogger } from "../../src/postgres/quiet_logger.ts";
import { loadTasks } from "../../src/worker.ts";
import { fieldKeySetting } from "./field_keys.ts";
import type { Queryable } from "./ledger.ts";
import type { TestDatabase } from "./test_database.ts";

/** The configuration that tasks see, and what a test changes of it. */
export function taskConfig(settings: Record<string, string> = {}): Config {
  return loadConfig({
    NODE_ENV: "test",
    TALLYSTICK_JWT_SECRET: "the secret of the tests of the jobs",
    TALLYSTICK_FIELD_KEYS: fieldKeySetting("test"),
    ...settings,
  });
}

/** A pool for one worker; a connection that breaks is reported by the query that needs it. */
export function workerPool(db: TestDatabase): pg.Pool {
  const pool = db.pool("worker");
  pool.on("error", () => undefined);
  pool.on("connect", (client) => client.on("error", () => undefined));
  return pool;
}

/** For tests that settle no payments. */
export const noProvider: FindPaymentProvider = ({ code }) => Promise.reject(new Error(`There is no provider ${code}.`));

/** Adds a job, as SQL would: to run now, and beside others of its kind. */
export async function addJob(worker: Queryable, task: string): Promise<void> {
  await worker.query("select graphile_worker.add_job($1)", [task]);
}

/** One worker with the tasks of the project: it runs every job that is due, and is done. */
export async function runDueJobs(
  worker: pg.Pool,
  config = taskConfig(),
  findPaymentProvider: FindPaymentProvider = noProvider,
  concurrency = 1,
): Promise<void> {
  const taskList = await loadTasks({ config, findPaymentProvider });
  await runOnce({ pgPool: worker, taskList, concurrency, noHandleSignals: true, logger: quietWorkerLogger });
  // The last job is taken off the queue a moment after its worker has ended.
  while ((await queuedJobs(worker)).some(({ isRunning }) => isRunning)) await sleep(5);
}

export interface Job {
  task: string;
  key: string | null;
  runAt: Date;
  isRunning: boolean;
  attempts: number;
  lastError: string | null;
}

/** The jobs that wait, run or have failed. */
export async function queuedJobs(worker: Queryable): Promise<Job[]> {
  const { rows } = await worker.query<Job>(
    `select task_identifier as task, key, run_at as "runAt", locked_at is not null as "isRunning", attempts,
       last_error as "lastError"
     from graphile_worker.jobs order by run_at`,
  );
  return rows;
}
