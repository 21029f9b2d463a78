import { EventEmitter } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Logger as GraphileLogger, run, type Task, type TaskList, type WorkerEvents } from "graphile-worker";
import pg from "pg";
import type { Logger } from "pino";
import type { RunningPart } from "./api.ts";
import type { Config } from "./config.ts";
import { startHeartbeat } from "./heartbeat.ts";
import { startWorkerHttp } from "./http/worker_app.ts";
import { tasksFolder } from "./paths.ts";
import type { FindPaymentProvider } from "./payments/settle.ts";
import { logBrokenConnections } from "./postgres/pool.ts";
import { makeFindPaymentProvider } from "./providers/payments/registry.ts";
import { startRelay } from "./relay.ts";
import { startSecurityLog } from "./security_log.ts";
import { makeWorkerMetrics } from "./worker_metrics.ts";

export interface WorkerOptions {
  config: Config;
  /** The URL of the login tallystick_worker. */
  databaseUrl: string;
  log: Logger;
  /** Who moves the money. Default: the providers that the tenants have set up. */
  findPaymentProvider?: FindPaymentProvider;
  /** Told if the worker ends without being asked to: the process should end and be restarted. */
  onFatal: (error: Error) => void;
}

/** Starts the job worker in this process. */
export async function startWorker({ config, databaseUrl, log, onFatal, ...rest }: WorkerOptions): Promise<RunningPart> {
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    // One for LISTEN, one for housekeeping, one each for relay, heartbeat and security events, and what jobs use.
    max: Math.min(config.workerConcurrency, maxJobConnections) + 5,
    application_name: "tallystick-worker",
  });
  logBrokenConnections(pool, log);
  const findPaymentProvider =
    rest.findPaymentProvider ??
    makeFindPaymentProvider({ config, keys: config.fieldKeys, query: (text, values) => pool.query(text, values) });
  const taskList = await loadTasks({ config, findPaymentProvider });
  await keepAuditTrail(pool, config);
  const events: WorkerEvents = new EventEmitter();
  const burials = buryFailedJobs(events, pool, log);
  const metrics = makeWorkerMetrics(pool, events);
  const named = Promise.withResolvers<string>();
  events.once("pool:create", ({ workerPool }) => named.resolve(workerPool.id));
  const runner = await run({
    pgPool: pool,
    taskList,
    crontab: readCrontab(),
    concurrency: config.workerConcurrency,
    noHandleSignals: true,
    logger: bridgeLogger(log),
    events,
    preset: { worker: queueSettings(config) },
  });
  const heartbeat = startHeartbeat({ pool, log, workerId: await named.promise });
  const http = config.workerPort === undefined ? undefined : await startWorkerHttp({ config, metrics });
  const parts = [startRelay({ pool, log }), startSecurityLog({ pool, log }), ...(http ? [http] : [])];
  let stopping = false;
  const ended = runner.promise.then(
    () => stopping || onFatal(new Error("The worker ended by itself.")),
    (error: unknown) => stopping || onFatal(error instanceof Error ? error : new Error(String(error))),
  );
  const stop = async (): Promise<void> => {
    stopping = true;
    await Promise.all(parts.map((part) => part.stop()));
    await runner.stop().catch((error: unknown) => log.warn({ err: error }, "the worker did not stop cleanly"));
    await ended;
    await burials.stop();
    // It lives as long as it has jobs.
    await heartbeat.stop();
    await pool.end();
  };
  return { ...(http && { url: http.url }), stop };
}

/** Jobs wait for providers most of the time, so there are fewer connections than jobs. */
const maxJobConnections = 12;

/**
 * Several jobs are fetched and completed at a time, which settles three times as many payments a second. What is
 * fetched waits for seconds at most before another worker gets it.
 */
function queueSettings({ workerConcurrency }: Config): GraphileConfig.WorkerOptions {
  return {
    localQueue: { size: workerConcurrency, ttl: 5_000 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  };
}

/**
 * Keeps a job that has failed for the last time as a dead letter, at once. Where that fails too, the job
 * jobs/bury_failed finds it.
 */
function buryFailedJobs(events: WorkerEvents, pool: pg.Pool, log: Logger): RunningPart {
  const running = new Set<Promise<unknown>>();
  events.on("job:failed", ({ job, error }) => {
    const message = error instanceof Error ? error.message : String(error);
    const burial = pool
      .query("select app_jobs.bury_jobs(job_id => $1, error => $2)", [job.id, message])
      .catch((problem: unknown) => log.warn({ err: problem }, "a job that failed for good could not be kept yet"))
      .finally(() => running.delete(burial));
    running.add(burial);
  });
  return { stop: async () => void (await Promise.all(running)) };
}

/** Tells the database for how long the trail is kept: what the jobs remove is decided there. */
async function keepAuditTrail(pool: pg.Pool, { auditRetentionMonths }: Config): Promise<void> {
  try {
    await pool.query("select app_private.set_audit_retention($1)", [auditRetentionMonths ?? null]);
  } catch (error) {
    await pool.end();
    throw error;
  }
}

/** What a task may need besides the database. */
export interface TaskServices {
  config: Config;
  findPaymentProvider: FindPaymentProvider;
}

/**
 * Loads every task: `tasks/<domain>/<verb_noun>.ts` is the task `<domain>/<verb_noun>`, the same
 * string that SQL passes to `add_job`. Files that start with an underscore are shared helpers. The default
 * export is the task; one that needs the configuration exports `makeTask` instead, which makes it.
 */
export async function loadTasks(services: TaskServices, folder = tasksFolder): Promise<TaskList> {
  const tasks: Record<string, Task> = {};
  const names = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: "utf8" }).sort() : [];
  for (const name of names) {
    const identifier = /^([a-z0-9_]+\/[a-z0-9][a-z0-9_]*)\.ts$/.exec(name.replaceAll("\\", "/"))?.[1];
    if (identifier === undefined) continue;
    const module = (await import(pathToFileURL(join(folder, name)).href)) as TaskModule;
    const task = module.makeTask ? module.makeTask(services) : module.default;
    if (typeof task !== "function") {
      throw new Error(`tasks/${name} has no default export that is a function. Export the task as its default.`);
    }
    tasks[identifier] = task;
  }
  return tasks as TaskList;
}

interface TaskModule {
  default?: Task;
  makeTask?: (services: TaskServices) => Task;
}

/** The schedule, in graphile-worker's crontab format. */
function readCrontab(): string {
  const path = join(tasksFolder, "crontab");
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

function bridgeLogger(log: Logger): GraphileLogger {
  const levels = { error: "error", warning: "warn", info: "debug", debug: "trace" } as const;
  return new GraphileLogger((scope) => (level, message, meta) => {
    log[levels[level as keyof typeof levels] ?? "debug"]({ ...scope, ...meta }, message);
  });
}
