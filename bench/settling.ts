/**
 * Measures how many payments a second workers settle, each a process of its own, with a provider in the same
 * process that answers after a given time, and how late jobs begin when there are few:
 *   npm run bench:settling -- [--payments 4000] [--workers 1,2] [--concurrency 4,16] [--delay 0]
 * Fsync is on. Writes nothing; the figures are printed.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import pg from "pg";
import { withScratchServer } from "../scripts/scratch_server.ts";
import { projectRoot } from "../src/paths.ts";
import { addPayment, makeSettlementBooks } from "../test/support/settlement.ts";

const { values } = parseArgs({
  options: {
    payments: { type: "string", default: "4000" },
    workers: { type: "string", default: "1,2" },
    concurrency: { type: "string", default: "4,16" },
    delay: { type: "string", default: "0" },
    port: { type: "string" },
    data: { type: "string" },
  },
});
const numbers = (text: string): number[] => text.split(",").map(Number);
const count = Number(values.payments);

await withScratchServer(
  { profile: "durable", port: values.port === undefined ? undefined : Number(values.port), dataDir: values.data },
  async ({ createDatabase }) => {
    const urls = await createDatabase("settling", { migrate: true });
    const owner = new pg.Pool({ connectionString: urls.owner, max: 4 });
    for (const workers of numbers(values.workers))
      for (const concurrency of numbers(values.concurrency)) await measure(owner, urls.worker, workers, concurrency);
    await owner.end();
  },
);

async function measure(owner: pg.Pool, workerUrl: string, workers: number, concurrency: number): Promise<void> {
  const books = await makeSettlementBooks(owner);
  const createdAt = performance.now();
  for (let i = 0; i < count; i += 4)
    await Promise.all([0, 1, 2, 3].map((n) => addPayment(owner, books, { amount: 100 + i + n })));
  const created = (performance.now() - createdAt) / 1000;
  const children = Array.from({ length: workers }, () => startWorker(workerUrl, concurrency));
  const settled = async (): Promise<number> => {
    const { rows } = await owner.query<{ n: number }>(
      "select count(*)::integer as n from app_public.payments where tenant_id = $1 and status = 'settled'",
      [books.tenantId],
    );
    return rows[0]?.n ?? 0;
  };
  // What is measured begins once the processes run.
  while ((await settled()) < count / 10) await sleep(20);
  const first = await settled();
  const startedAt = performance.now();
  while ((await settled()) < count) await sleep(50);
  const seconds = (performance.now() - startedAt) / 1000;
  console.log(
    `${workers} workers × ${concurrency} jobs, ${values.delay} ms: ` +
      `${((count - first) / seconds).toFixed(0)} settled/s` +
      ` (asked for: ${(count / created).toFixed(0)}/s)`,
  );
  await Promise.all(children.map(stop));
}

function startWorker(url: string, concurrency: number): ChildProcess {
  return spawn(process.execPath, ["bench/settling_worker.ts", url, String(concurrency), values.delay], {
    cwd: projectRoot,
    stdio: ["ignore", "ignore", "inherit"],
  });
}

function stop(child: ChildProcess): Promise<unknown> {
  const ended = new Promise((done) => child.once("exit", done));
  child.kill("SIGTERM");
  return ended;
}
