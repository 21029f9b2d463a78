import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import type { RunningPart } from "../../../src/api.ts";
import { createLogger } from "../../../src/log.ts";
import { projectRoot } from "../../../src/paths.ts";
import type { PaymentId } from "../../../src/payments/settle.ts";
import { startWorker } from "../../../src/worker.ts";
import { type FakeProvider, fakeProvider } from "../../support/fake_payment_provider.ts";
import { httpProvider, startHttpProvider } from "../../support/http_payment_provider.ts";
import { queuedJobs, taskConfig, workerPool } from "../../support/jobs.ts";
import { findViolations } from "../../support/ledger.ts";
import {
  addPayment,
  deadLetters,
  makeSettlementBooks,
  type SettlementBooks,
  standing,
} from "../../support/settlement.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/* Whole workers: killed, stopped, side by side, and what they show of themselves. */
const db = await createTestDatabase();
const owner = db.pool("owner");
const queue = workerPool(db);
const provider = await startHttpProvider();
const children = new Set<ChildProcess>();
const workers = new Set<RunningPart>();
let books: SettlementBooks;

beforeAll(async () => {
  books = await makeSettlementBooks(owner);
});
afterEach(async () => {
  await Promise.all([...workers].map((worker) => worker.stop()));
  workers.clear();
});
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await provider.stop();
});

async function start(
  findPaymentProvider: () => Promise<FakeProvider | ReturnType<typeof httpProvider>>,
  settings: Record<string, string> = {},
): Promise<RunningPart> {
  const config = taskConfig({ TALLYSTICK_WORKER_CONCURRENCY: "4", ...settings });
  const worker = await startWorker({
    config,
    databaseUrl: db.urls.worker,
    log: createLogger(config),
    onFatal: (error) => {
      throw error;
    },
    findPaymentProvider,
  });
  workers.add(worker);
  return worker;
}

/** A worker in a process of its own. */
async function spawnWorker(): Promise<ChildProcess> {
  const child = spawn(process.execPath, ["test/support/settling_worker.ts", db.urls.worker, provider.url], {
    cwd: projectRoot,
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.add(child);
  child.once("exit", () => children.delete(child));
  await hears(child, "ready");
  return child;
}

function hears(child: ChildProcess, word: string): Promise<void> {
  return new Promise((done) => child.stdout?.on("data", (chunk: Buffer) => chunk.toString().includes(word) && done()));
}

async function until(what: () => boolean | Promise<boolean>, ms = 30_000): Promise<number> {
  const startedAt = performance.now();
  while (!(await what())) {
    if (performance.now() - startedAt > ms) throw new Error("It did not come true in time.");
    await sleep(25);
  }
  return performance.now() - startedAt;
}

const isSettled = (id: PaymentId) => async (): Promise<boolean> => (await standing(owner, id)).startsWith("settled");

test("the jobs of a killed process are free within 30 seconds, and each payment is made once", async () => {
  const hold = Promise.withResolvers<void>();
  provider.holding = hold.promise;
  const child = await spawnWorker();
  const ids = [];
  for (let i = 0; i < 8; i += 1) ids.push(await addPayment(owner, books, { amount: 100 + i }));
  // Four are out, and taken; the others wait in the memory of the process.
  await until(() => provider.books.size === 4);
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
  provider.holding = undefined;
  hold.resolve();
  await start(() => Promise.resolve(httpProvider(provider.url)));
  const waits = await Promise.all(ids.map((id) => until(isSettled(id), 40_000)));
  expect(Math.max(...waits)).toBeLessThan(30_000);
  expect(provider.books.size).toBe(8);
  expect(provider.calls.filter((call) => call.startsWith("POST"))).toHaveLength(8);
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
}, 60_000);

test("a process that is told to stop finishes what it has begun, and hands back the rest", async () => {
  const child = await spawnWorker();
  const hold = Promise.withResolvers<void>();
  provider.holding = hold.promise;
  const before = provider.books.size;
  const ids = [];
  for (let i = 0; i < 6; i += 1) ids.push(await addPayment(owner, books));
  await until(() => provider.books.size === before + 4);
  const stopped = hears(child, "stopped");
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await sleep(300);
  provider.holding = undefined;
  hold.resolve();
  await stopped;
  expect(await exited).toEqual([0, null]);
  const statuses = await Promise.all(ids.map((id) => standing(owner, id)));
  expect(statuses.filter((status) => status.startsWith("settled"))).toHaveLength(4);
  const jobs = await queuedJobs(queue);
  expect(jobs.filter(({ isRunning }) => isRunning)).toEqual([]);
  expect(jobs.filter(({ task }) => task === "payments/settle")).toHaveLength(2);
  const { rows } = await owner.query("select id from app_private.workers");
  expect(rows).toEqual([]);
  await start(() => Promise.resolve(httpProvider(provider.url)));
  await Promise.all(ids.map((id) => until(isSettled(id))));
}, 60_000);

test("three workers side by side settle each payment once", async () => {
  const before = provider.calls.filter((call) => call.startsWith("POST")).length;
  const ids = [];
  for (let i = 0; i < 60; i += 1) ids.push(await addPayment(owner, books));
  for (let i = 0; i < 3; i += 1) await start(() => Promise.resolve(httpProvider(provider.url)));
  await Promise.all(ids.map((id) => until(isSettled(id))));
  expect(provider.calls.filter((call) => call.startsWith("POST")).length - before).toBe(60);
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
});

test("a poison job is a dead letter as soon as its attempts are used up, and off the queue", async () => {
  const broken = fakeProvider();
  broken.outage = "broken";
  const id = await addPayment(owner, books);
  await queue.query("update graphile_worker._private_jobs set max_attempts = 1");
  const worker = await start(() => Promise.resolve(broken), { TALLYSTICK_WORKER_PORT: "0" });
  await until(async () => (await deadLetters(owner, books.tenantId)).length > 0);
  expect(await deadLetters(owner, books.tenantId)).toEqual(["payment job_failed"]);
  const { rows } = await owner.query("select subject_id, payload, detail from app_public.dead_letters");
  expect(rows).toEqual([
    {
      subject_id: id.paymentId,
      payload: id,
      detail: { attempts: 1, error: "The provider has a mistake." },
    },
  ]);
  expect((await queuedJobs(queue)).filter(({ task }) => task === "payments/settle")).toEqual([]);

  const text = await (await fetch(`${worker.url}/metrics`)).text();
  expect(text).toMatch(/^tallystick_job_seconds_count\{task="payments\/settle",outcome="error"\} 1$/m);
  expect(text).toMatch(/^tallystick_job_lag_seconds_count\{task="payments\/settle"\} 1$/m);
  expect(text).toMatch(/^tallystick_jobs_failed_for_good_total\{task="payments\/settle"\} 1$/m);
  expect(text).toMatch(/^tallystick_dead_letters_open\{books="[^"]+",source="payment"\} 1$/m);
  expect(await (await fetch(`${worker.url}/livez`)).json()).toEqual({ status: "ok" });
});

test("a job that killed its worker at its last attempt is found, and kept", async () => {
  const id = await addPayment(owner, books);
  await queue.query(
    `update graphile_worker._private_jobs
     set attempts = max_attempts, locked_by = 'worker-that-died', locked_at = now() - interval '16 seconds'
     where key = $1`,
    [`payment:${id.tenantId}:${id.paymentId}`],
  );
  await queue.query("select app_jobs.free_jobs_of_dead_workers()");
  await queue.query("select app_jobs.bury_jobs()");
  const { rows } = await owner.query("select reason from app_public.dead_letters where subject_id = $1", [
    id.paymentId,
  ]);
  expect(rows).toEqual([{ reason: "worker_died" }]);
});
