/**
 * Measures how many payments a second workers settle, each a process of its own, with a provider in the same
 * process that answers after a given time; how late payments are begun under a load; and how soon those of a worker
 * that was killed go on with another:
 *   npm run bench:settling -- [--payments 4000] [--workers 1,2] [--concurrency 4,16] [--delay 0] [--rates 10,50]
 * Fsync is on. Writes nothing; the figures are printed.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import pg from "pg";
import { withScratchServer } from "../scripts/scratch_server.ts";
import { projectRoot } from "../src/paths.ts";
import { addPayment, makeSettlementBooks, type SettlementBooks } from "../test/support/settlement.ts";

const { values } = parseArgs({
  options: {
    payments: { type: "string", default: "4000" },
    workers: { type: "string", default: "1,2" },
    concurrency: { type: "string", default: "4,16" },
    delay: { type: "string", default: "0" },
    rates: { type: "string", default: "10,50" },
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
    for (const rate of numbers(values.rates)) await measureLag(owner, urls.worker, rate);
    await measureRecovery(owner, urls.worker);
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
  const settled = (): Promise<number> => countOf(owner, books, "settled");
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

/** From asking for a payment to the first call of its provider, and to its end, with so many a second asked for. */
async function measureLag(owner: pg.Pool, workerUrl: string, rate: number): Promise<void> {
  const books = await makeSettlementBooks(owner);
  const worker = startWorker(workerUrl, 4);
  await addPayment(owner, books);
  await allSettled(owner, books);
  const asked: Promise<unknown>[] = [];
  for (let i = 0; i < rate * 15; i += 1) {
    asked.push(addPayment(owner, books, { amount: 100 + i }));
    await sleep(1000 / rate);
  }
  await Promise.all(asked);
  await allSettled(owner, books);
  const { rows } = await owner.query<{ begun: number[]; ended: number[] }>(
    `select
       percentile_disc(array[0.5, 0.95, 1]) within group (
         order by (extract(epoch from a.called_at - r.created_at) * 1000)::integer) as begun,
       percentile_disc(array[0.5, 0.95, 1]) within group (
         order by (extract(epoch from s.created_at - r.created_at) * 1000)::integer) as ended
     from app_public.payment_attempts a
     join app_public.payment_moves r
       on r.tenant_id = a.tenant_id and r.payment_id = a.payment_id and r.to_status = 'reserved'
     join app_public.payment_moves s
       on s.tenant_id = a.tenant_id and s.payment_id = a.payment_id and s.to_status = 'settled'
     where a.tenant_id = $1`,
    [books.tenantId],
  );
  const told = (times = [] as number[]): string => `median ${times[0]} ms, 95 % within ${times[1]}, all ${times[2]} ms`;
  console.log(`${rate} asked for a second, 1 worker × 4 jobs: begun after ${told(rows[0]?.begun)};`);
  console.log(`  settled after ${told(rows[0]?.ended)}`);
  await stop(worker);
}

/** What a worker had under way when it was killed is settled by another, which was there already. */
async function measureRecovery(owner: pg.Pool, workerUrl: string): Promise<void> {
  const books = await makeSettlementBooks(owner);
  // It answers too late for anything to be settled before the kill.
  const killed = startWorker(workerUrl, 8, "60000");
  await Promise.all(Array.from({ length: 8 }, (_, n) => addPayment(owner, books, { amount: 100 + n })));
  while ((await countOf(owner, books, "submitted")) < 8) await sleep(20);
  const other = startWorker(workerUrl, 8, "0");
  await sleep(3_000);
  killed.kill("SIGKILL");
  const startedAt = performance.now();
  await allSettled(owner, books);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`8 payments of a worker that was killed: all settled by another after ${seconds} s`);
  await stop(other);
}

async function allSettled(owner: pg.Pool, books: SettlementBooks): Promise<void> {
  while ((await countOf(owner, books, "settled")) < (await countOf(owner, books))) await sleep(50);
}

async function countOf(owner: pg.Pool, { tenantId }: SettlementBooks, status?: string): Promise<number> {
  const { rows } = await owner.query<{ n: number }>(
    `select count(*)::integer as n
     from app_public.payments
     where tenant_id = $1 and ($2::text is null or status::text = $2)`,
    [tenantId, status],
  );
  return rows[0]?.n ?? 0;
}

function startWorker(url: string, concurrency: number, delay = values.delay): ChildProcess {
  return spawn(process.execPath, ["bench/settling_worker.ts", url, String(concurrency), delay], {
    cwd: projectRoot,
    stdio: ["ignore", "ignore", "inherit"],
  });
}

function stop(child: ChildProcess): Promise<unknown> {
  const ended = new Promise((done) => child.once("exit", done));
  child.kill("SIGTERM");
  return ended;
}
