import type pg from "pg";
import { withClient } from "../../src/postgres/client.ts";
import type { Bench } from "../bench.ts";
import { beRequest, openSession, type Urls } from "../books.ts";
import { type Figure, figureOf } from "../figures.ts";
import { randomOf, type Script, withConnections } from "../load.ts";
import { bareTransfers, postingScript } from "../scripts.ts";
import { pairs, uniform } from "../shapes.ts";
import { walPosition, walSince } from "../wal.ts";

const part = "storage";

/**
 * What a transfer of two postings takes on disk, by table and index, and in the write-ahead log. As in production,
 * a transfer has an idempotency key and no description.
 */
export async function storage(bench: Bench): Promise<Figure[]> {
  return bench.withCopy(part, (urls) =>
    withClient(urls.superuser, async (superuser) => [
      ...(await sizes(bench, urls, superuser)),
      ...(await logged(bench, urls, superuser)),
    ]),
  );
}

async function sizes(bench: Bench, urls: Urls, superuser: pg.Client): Promise<Figure[]> {
  const { books, options, progress } = bench;
  const transfers = options.full ? 200_000 : Math.min(30_000, options.postings);
  const pick = pairs(uniform(books.count));
  // Versions that updates leave behind are there from the start, so that what grows is what was posted.
  await post(bench, urls, postingScript(books, pick, { size: 1000 }), 10_000);
  const before = await relationSizes(superuser);
  progress(`${transfers.toLocaleString("en-US")} transfers on disk`);
  await post(bench, urls, postingScript(books, pick, { size: 1000 }), transfers);
  const after = await relationSizes(superuser);
  const unit = "bytes/transfer";
  const grown = [...after].map(([name, size]) => ({ name, value: (size - (before.get(name) ?? 0)) / transfers }));
  const hot = await hotShare(superuser);
  const total = grown.reduce((sum, { value }) => sum + value, 0);
  return [
    figureOf({ part, name: "on disk, tables and indexes", unit }, [{ value: total }]),
    ...grown
      .filter(({ value }) => value >= total / 100)
      .sort((one, other) => other.value - one.value)
      .map(({ name, value }) => ({
        ...figureOf({ part, name: `on disk, ${name}`, unit }, [{ value }]),
        ratio: value / total,
      })),
    figureOf({ part, name: "updates of balances that touch no index (HOT)", unit: "%" }, [{ value: hot * 100 }]),
  ];
}

async function hotShare(superuser: pg.Client): Promise<number> {
  const { rows } = await superuser.query<{ share: number | null }>(
    `select n_tup_hot_upd / nullif(n_tup_upd, 0)::double precision as share
     from pg_stat_user_tables
     where relid = 'app_public.account_balances'::regclass`,
  );
  return rows[0]?.share ?? Number.NaN;
}

/** Bytes of every table and index, as they are after a checkpoint. */
export async function relationSizes(superuser: pg.Client): Promise<Map<string, number>> {
  await superuser.query("checkpoint");
  const { rows } = await superuser.query<{ name: string; size: string }>(
    `select c.oid::regclass::text as name, pg_relation_size(c.oid) as size
     from pg_class c
     where c.relkind in ('r', 'i', 't', 'm', 'S') and c.relnamespace <> 'pg_catalog'::regnamespace`,
  );
  return new Map(rows.map(({ name, size }) => [name, Number(size)]));
}

async function logged(bench: Bench, urls: Urls, superuser: pg.Client): Promise<Figure[]> {
  const pick = pairs(uniform(bench.books.count));
  const figures: Figure[] = [];
  for (const [name, script, transfers] of [
    ["one at a time", postingScript(bench.books, pick, { size: 1 }), 2000],
    ["batches of 1,000", postingScript(bench.books, pick, { size: 1000 }), 10_000],
    ["floor S", bareTransfers(pick), 2000],
  ] as const) {
    bench.progress(`the log of ${name}`);
    const position = await walPosition(superuser);
    await post(bench, urls, script, transfers);
    const { total, images, byRelation } = await walSince(superuser, position);
    const unit = "bytes/transfer";
    const lean = total - images;
    figures.push(
      figureOf({ part, name: `log, ${name}`, unit }, [{ value: lean / transfers }]),
      figureOf({ part, name: `log, ${name}, with images of pages after a checkpoint`, unit }, [
        { value: total / transfers },
      ]),
      ...[...byRelation]
        .filter(([, bytes]) => bytes >= lean / 100)
        .sort(([, one], [, other]) => other - one)
        .map(([relation, bytes]) => ({
          ...figureOf({ part, name: `log, ${name}, ${relation}`, unit }, [{ value: bytes / transfers }]),
          ratio: bytes / lean,
        })),
    );
  }
  return figures;
}

let posted = 0;

/** Posts so many transfers over one connection, as a teller. */
export async function post({ books, options }: Bench, urls: Urls, script: Script, transfers: number): Promise<void> {
  const session = await openSession(urls, books.tenantId, "teller");
  await withConnections({ url: urls.api, count: 1 }, async ([client]) => {
    if (!client) return;
    await beRequest(client, "teller", session);
    posted += 1;
    const next = script(randomOf(`${options.seed} storage ${posted}`), 0);
    for (let made = 0; made < transfers; ) {
      const { name, text, values, transfers: more, answered } = next();
      const { rows } = await client.query({ name, text, values });
      answered?.(rows);
      made += more;
    }
  });
}
