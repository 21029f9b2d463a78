import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Logger as GraphileLogger, run, type Task, type TaskList } from "graphile-worker";
import pg from "pg";
import type { Logger } from "pino";
import type { RunningPart } from "./api.ts";
import type { Config } from "./config.ts";
import { tasksFolder } from "./paths.ts";
import { logBrokenConnections } from "./postgres/pool.ts";
import { startRelay } from "./relay.ts";
import { startSecurityLog } from "./security_log.ts";

export interface WorkerOptions {
  config: Config;
  /** The URL of the login tallystick_worker. */
  databaseUrl: string;
  log: Logger;
  /** Told if the worker ends without being asked to: the process should end and be restarted. */
  onFatal: (error: Error) => void;
}

/** Starts the job worker in this process. */
export async function startWorker({ config, databaseUrl, log, onFatal }: WorkerOptions): Promise<RunningPart> {
  const taskList = await loadTasks({ config });
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    // One connection a job, one for LISTEN, one for housekeeping, one for the relay, one for security events.
    max: config.workerConcurrency + 4,
    application_name: "tallystick-worker",
  });
  logBrokenConnections(pool, log);
  await keepAuditTrail(pool, config);
  const runner = await run({
    pgPool: pool,
    taskList,
    crontab: readCrontab(),
    concurrency: config.workerConcurrency,
    noHandleSignals: true,
    logger: bridgeLogger(log),
  });
  const relay = startRelay({ pool, log });
  const securityLog = startSecurityLog({ pool, log });
  let stopping = false;
  const ended = runner.promise.then(
    () => stopping || onFatal(new Error("The worker ended by itself.")),
    (error: unknown) => stopping || onFatal(error instanceof Error ? error : new Error(String(error))),
  );
  const stop = async (): Promise<void> => {
    stopping = true;
    await Promise.all([relay.stop(), securityLog.stop()]);
    await runner.stop().catch((error: unknown) => log.warn({ err: error }, "the worker did not stop cleanly"));
    await ended;
    await pool.end();
  };
  return { stop };
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
