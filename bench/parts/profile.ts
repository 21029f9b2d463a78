import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { withClient } from "../../src/postgres/client.ts";
import type { Bench } from "../bench.ts";
import type { Urls } from "../books.ts";
import { type Figure, figureOf } from "../figures.ts";
import { sqlLoad } from "../load.ts";
import { postingScript } from "../scripts.ts";
import { nameOf, pickOf, type ShapeName, withTellers } from "./sql.ts";

const part = "profile";

/**
 * Where the time of posting goes inside the server. With one client the time of a function or a statement is close
 * to its processor time; what clients wait for is seen with many.
 */
export async function profile(bench: Bench): Promise<Figure[]> {
  return bench.withCopy(part, (urls) =>
    withClient(urls.superuser, async (superuser) => {
      await superuser.query("create extension if not exists pg_stat_statements");
      const figures: Figure[] = [];
      for (const size of [1, 1000]) {
        figures.push(...(await functions(bench, urls, superuser, size)));
        figures.push(...(await statements(bench, urls, superuser, size)));
      }
      for (const [size, clients, shape] of [
        [1, 16, "uniform"],
        [1, 64, "one credited by all"],
        [1000, 2, "uniform"],
      ] as const)
        figures.push(...(await waits(bench, urls, superuser, { size, clients, shape })));
      return figures;
    }),
  );
}

interface Posting {
  size: number;
  clients: number;
  shape: ShapeName;
}

/** Posts in one way, and tells how many transfers were made by the time all connections are closed. */
async function postFor(
  bench: Bench,
  urls: Urls,
  { size, clients, shape }: Posting,
  during: () => Promise<void> = async () => undefined,
): Promise<number> {
  const { books, options, clock } = bench;
  runs += 1;
  const seed = `${options.seed} ${part} ${runs}`;
  return withTellers(bench, urls, clients, async (connections) => {
    const load = sqlLoad(connections, postingScript(books, pickOf(bench, shape), { size }), seed, clock);
    const warming = await load(Math.min(1, options.seconds));
    const [measured] = await Promise.all([load(options.seconds), during()]);
    return warming.transfers + measured.transfers;
  });
}

let runs = 0;

/** Runs `work` while connections to the database are opened with a setting that only a superuser may change. */
async function withSetting<T>(superuser: pg.Client, name: string, value: string, work: () => Promise<T>): Promise<T> {
  const database = superuser.escapeIdentifier(superuser.database ?? "");
  await superuser.query(`alter database ${database} set ${name} = ${value}`);
  try {
    return await work();
  } finally {
    await superuser.query(`alter database ${database} reset ${name}`);
  }
}

/** The time that each function takes by itself, without what it calls. Functions that are inlined are not seen. */
async function functions(bench: Bench, urls: Urls, superuser: pg.Client, size: number): Promise<Figure[]> {
  const posting: Posting = { size, clients: 1, shape: "uniform" };
  const about = `${nameOf({ ...posting, shapes: [] }, "uniform")}, function`;
  bench.progress(about);
  await superuser.query("select pg_stat_reset()");
  const transfers = await withSetting(superuser, "track_functions", "'all'", () => postFor(bench, urls, posting));
  const { rows } = await superuser.query<{ name: string; calls: string; self: number }>(
    `select schemaname || '.' || funcname as name, calls, self_time as self from pg_stat_user_functions
     order by self_time desc`,
  );
  return shares(
    about,
    transfers,
    rows.map(({ name, calls, self }) => ({ name, calls: Number(calls), milliseconds: self })),
  );
}

/** The time of each statement, those inside of functions and those of foreign keys too; outer ones hold inner ones. */
async function statements(bench: Bench, urls: Urls, superuser: pg.Client, size: number): Promise<Figure[]> {
  const posting: Posting = { size, clients: 1, shape: "uniform" };
  const about = `${nameOf({ ...posting, shapes: [] }, "uniform")}, statement`;
  bench.progress(about);
  await superuser.query("select pg_stat_statements_reset()");
  const transfers = await withSetting(superuser, "pg_stat_statements.track", "'all'", () =>
    postFor(bench, urls, posting),
  );
  const { rows } = await superuser.query<{ query: string; calls: string; milliseconds: number; isTop: boolean }>(
    `select s.query, s.calls, s.total_exec_time as milliseconds, s.toplevel as "isTop"
     from pg_stat_statements s
     join pg_database d on d.oid = s.dbid
     where d.datname = current_database() and s.userid <> (select oid from pg_roles where rolname = current_user)
     order by s.total_exec_time desc`,
  );
  return shares(
    about,
    transfers,
    rows
      .filter(({ isTop }) => !isTop)
      .map(({ query, calls, milliseconds }) => ({ name: shortened(query), calls: Number(calls), milliseconds })),
  );
}

function shortened(query: string): string {
  const text = query
    .replaceAll(/\/\*.*?\*\/|--.*$/gms, " ")
    .replaceAll(/\s+/g, " ")
    .trim();
  return text.length > 90 ? `${text.slice(0, 89)}…` : text;
}

function shares(
  about: string,
  transfers: number,
  rows: { name: string; calls: number; milliseconds: number }[],
): Figure[] {
  const all = rows.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  return rows
    .filter(({ milliseconds }) => milliseconds / all >= 0.01)
    .map(({ name, calls, milliseconds }) => ({
      ...figureOf({ part, name: `${about} ${name}`, unit: "µs/transfer" }, [
        { value: (milliseconds * 1000) / transfers },
      ]),
      ratio: milliseconds / all,
      details: { callsPerTransfer: calls / transfers },
    }));
}

/** What the sessions of a load are doing whenever one looks. */
async function waits(bench: Bench, urls: Urls, superuser: pg.Client, posting: Posting): Promise<Figure[]> {
  const about = `${nameOf({ ...posting, shapes: [] }, posting.shape)}, waits for`;
  bench.progress(about);
  const seen = new Map<string, number>();
  await postFor(bench, urls, posting, async () => {
    const end = performance.now() + bench.options.seconds * 1000;
    while (performance.now() < end) {
      const { rows } = await superuser.query<{ name: string; count: number }>(
        `select case
             when state <> 'active' then 'nothing: the client is to send'
             when wait_event is null then 'nothing: it runs, or waits for a processor'
             else wait_event_type || ' ' || wait_event
           end as name, count(*)::integer as count
         from pg_stat_activity
         where datname = current_database() and usename = 'tallystick_api'
         group by 1`,
      );
      for (const { name, count } of rows) seen.set(name, (seen.get(name) ?? 0) + count);
      await sleep(20);
    }
  });
  const all = [...seen.values()].reduce((sum, count) => sum + count, 0);
  if (all === 0) throw new Error("No session of the load was seen.");
  return [...seen]
    .filter(([, count]) => count / all >= 0.01)
    .sort(([, one], [, other]) => other - one)
    .map(([name, count]) => figureOf({ part, name: `${about} ${name}`, unit: "%" }, [{ value: (count * 100) / all }]));
}
