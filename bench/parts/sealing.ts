import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { withClient } from "../../src/postgres/client.ts";
import type { Bench } from "../bench.ts";
import { actAs, type Urls } from "../books.ts";
import { type Figure, figureOf, median, type Round } from "../figures.ts";
import { sqlLoad } from "../load.ts";
import { postingScript } from "../scripts.ts";
import { nameOf, pickOf, withTellers } from "./sql.ts";

const part = "sealing";

/**
 * What sealing costs those who post: the same load with and without a worker that seals all that is settled every
 * second, sixty times as often as in production. Then how fast a backlog is sealed, checked and proven.
 */
export async function sealing(bench: Bench): Promise<Figure[]> {
  return bench.withCopy(part, (urls) =>
    withClient(urls.worker, async (worker) => {
      await sealAll(worker);
      const figures: Figure[] = [];
      const backlogs: Round[] = [];
      const groups = [
        { size: 1, clients: 16 },
        { size: 100, clients: 2 },
      ];
      for (const group of bench.options.full ? groups : groups.slice(1))
        figures.push(await measureWhileSealing(bench, urls, worker, group, backlogs));
      bench.progress("sealing, verifying and proving");
      backlogs.push({ value: await sealAll(worker) });
      figures.push(figureOf({ part, name: "sealing a backlog", unit: "transactions/s" }, backlogs));
      return [...figures, ...(await check(urls, bench.books.tenantId))];
    }),
  );
}

async function measureWhileSealing(
  bench: Bench,
  urls: Urls,
  worker: pg.Client,
  group: { size: number; clients: number },
  backlogs: Round[],
): Promise<Figure> {
  const { books, options, clock, progress } = bench;
  const name = nameOf({ ...group, shapes: [], what: "while sealing" }, "uniform");
  return withTellers(bench, urls, group.clients, async (clients) => {
    const script = postingScript(books, pickOf(bench, "uniform"), group);
    const load = sqlLoad(clients, script, `${options.seed} ${name}`, clock);
    const without: Round[] = [];
    const during: Round[] = [];
    await load(Math.min(1, options.seconds));
    for (let round = 1; round <= options.rounds; round += 1) {
      progress(`${name}, round ${round} of ${options.rounds}`);
      without.push(await load(options.seconds));
      backlogs.push({ value: await sealAll(worker) });
      during.push(await whileSealing(worker, () => load(options.seconds)));
    }
    return figureOf({ part, name, unit: "transfers/s", floorName: "without sealing" }, during, without);
  });
}

/** Seals all there is, and tells how many transactions a second. */
async function sealAll(worker: pg.Client): Promise<number> {
  const started = performance.now();
  let total = 0;
  for (;;) {
    const { rows } = await worker.query<{ sealed: number }>("select app_private.seal() as sealed");
    const sealed = rows[0]?.sealed ?? 0;
    if (sealed === 0) return (total * 1000) / (performance.now() - started);
    total += sealed;
  }
}

async function whileSealing<T>(worker: pg.Client, work: () => Promise<T>): Promise<T> {
  let isDone = false;
  const sealing = (async () => {
    while (!isDone) {
      await sealAll(worker);
      await sleep(1000);
    }
  })();
  try {
    return await work();
  } finally {
    isDone = true;
    await sealing;
  }
}

async function check(urls: Urls, tenantId: number): Promise<Figure[]> {
  return withClient(urls.owner, async (client) => {
    await actAs(client, tenantId, "admin");
    const timed = async (text: string, values: unknown[]): Promise<number> => {
      const started = performance.now();
      await client.query(text, values);
      return performance.now() - started;
    };
    const { rows } = await client.query<{ id: string; count: string }>(
      "select min(id::text) as id, count(*) from app_public.transactions where tenant_id = $1",
      [tenantId],
    );
    const { id, count } = rows[0] ?? { id: "", count: "0" };
    const verifying = await timed("select app_public.verify_ledger(array['sealed_rows_that_differ'])", []);
    const proofs: number[] = [];
    for (let n = 0; n < 20; n += 1) proofs.push(await timed("select app_public.inclusion_proof($1)", [id]));
    const unit = "transactions/s";
    return [
      figureOf({ part, name: "verifying sealed rows", unit }, [{ value: (Number(count) * 1000) / verifying }]),
      figureOf({ part, name: "an inclusion proof", unit: "ms" }, [{ value: median(proofs) }]),
    ];
  });
}
