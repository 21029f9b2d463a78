import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { DatabaseUrls } from "../src/postgres/bootstrap.ts";
import { withClient } from "../src/postgres/client.ts";
import { median, transfersPerSecond } from "./load.ts";
import { actAs, type Books, type Figure, postingLoad, uniformOver } from "./posting.ts";

interface Options {
  rounds: number;
  seconds: number;
  progress: (name: string) => void;
}

/**
 * What sealing costs those who post: the same load with and without a worker that seals all that is settled every
 * second, sixty times as often as in production. Then how fast a backlog is sealed, checked and proven.
 */
export async function measureSealing(urls: DatabaseUrls, books: Books, options: Options): Promise<Figure[]> {
  const { rounds, seconds, progress } = options;
  const worker = new pg.Client({ connectionString: urls.worker });
  await worker.connect();
  try {
    await sealAll(worker);
    const posting: Figure[] = [];
    const backlogs: number[] = [];
    for (const [name, clients, size] of [
      ["one at a time, 8 clients, while sealing", 8, 1],
      ["batches of 100, 2 clients, while sealing", 2, 100],
    ] as const) {
      progress(name);
      const load = postingLoad([books], { name, clients, size, pick: uniformOver(books.accountIds.length) }, seconds);
      const without: number[] = [];
      const during: number[] = [];
      for (let round = 0; round < rounds; round += 1) {
        without.push(await transfersPerSecond(load));
        backlogs.push(await sealAll(worker));
        during.push(await whileSealing(worker, () => transfersPerSecond(load)));
      }
      posting.push({
        name,
        unit: "transfers/s",
        value: median(during),
        floorName: "without sealing",
        floor: median(without),
      });
    }
    await sealAll(worker);
    progress("verifying the seal");
    return [
      ...posting,
      { name: "sealing a backlog", unit: "transactions/s", value: median(backlogs) },
      ...(await check(urls, books)),
    ];
  } finally {
    await worker.end();
  }
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

async function check(urls: DatabaseUrls, { tenantId }: Books): Promise<Figure[]> {
  return withClient(urls.owner, async (client) => {
    await actAs(client, tenantId);
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
    return [
      { name: "verifying sealed rows", unit: "transactions/s", value: (Number(count) * 1000) / verifying },
      { name: "inclusion proof", unit: "ms", value: median(proofs) },
    ];
  });
}
