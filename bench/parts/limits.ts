import { readFileSync } from "node:fs";
import { join } from "node:path";
import type pg from "pg";
import { projectRoot } from "../../src/paths.ts";
import { withClient } from "../../src/postgres/client.ts";
import type { Bench } from "../bench.ts";
import { type Books, beRequest, openBooks, openSession, type Session, type Urls } from "../books.ts";
import { type Child, startApi, startChild } from "../children.ts";
import { type Figure, figureOf } from "../figures.ts";
import { type HttpRequest, httpLoad } from "../http_load.ts";
import { inTurns, type Load, randomOf, type Script, sqlLoad, withConnections } from "../load.ts";
import { processClock } from "../processor.ts";
import { bareInserts, bareTransfers, postingScript, seededKey } from "../scripts.ts";
import type { Pick } from "../shapes.ts";
import { requestsOf, tokenOf } from "./graphql.ts";
import { pickOf, withTellers } from "./sql.ts";
import { post, relationSizes } from "./storage.ts";

const part = "limits";

/** A step between a floor and the ledger. */
interface Rung {
  name: string;
  load: Load;
}

/**
 * What binds the figures: steps between the floors and the ledger, in turns. How much of the distance are rows that
 * anybody would have to write, how much is waiting for each other, how much is HTTP, and how much are rules.
 */
export async function limits(bench: Bench): Promise<Figure[]> {
  const ladders = await withSteps(bench, async (urls) => [
    ...(await singles(bench, urls, 16)),
    ...(await singles(bench, urls, 1)),
    ...(await batches(bench, urls)),
    ...(await requests(bench, urls)),
  ]);
  return [...ladders, ...(await withSteps(bench, (urls) => bytes(bench, urls)))];
}

function withSteps<T>(bench: Bench, work: (urls: Urls) => Promise<T>): Promise<T> {
  return bench.withCopy(part, async (urls) => {
    await withClient(urls.superuser, async (client) => {
      await client.query(readFileSync(join(projectRoot, "bench/limits.sql"), "utf8"));
      await client.query("vacuum analyze floor.ledger_balances");
    });
    return work(urls);
  });
}

/** Measures steps in turns, each beside the first one. */
async function ladder(
  { options, progress }: Bench,
  about: { what: string; unit: string; floorName: string },
  rungs: Rung[],
): Promise<Figure[]> {
  const { what, unit, floorName } = about;
  const named = rungs.map(({ name, load }) => ({ name: `${what}: ${name}`, load }));
  const chosen = named.filter(({ name }, n) => n === 0 || options.match.test(name));
  if (!named.some(({ name }) => options.match.test(name))) return [];
  const rounds = await inTurns(chosen, { ...options, progress });
  const floors = rounds.get(chosen[0]?.name ?? "");
  return chosen.map(({ name }, n) =>
    figureOf({ part, name, unit, floorName }, rounds.get(name) ?? [], n === 0 ? [] : floors),
  );
}

/** One transfer a call: the barest one, one with the rows of the ledger, a call that writes nothing, the ledger. */
function singles(bench: Bench, urls: Urls, clients: number): Promise<Figure[]> {
  const { books, options, clock } = bench;
  const pick = pickOf(bench, "uniform");
  const what = `one at a time, ${clients === 1 ? "1 client" : `${clients} clients`}`;
  return withTellers(bench, urls, clients, (tellers, { userId }) => {
    const rung = (name: string, script: Script): Rung => ({
      name,
      load: sqlLoad(tellers, script, `${options.seed} ${part} ${what} ${name}`, clock),
    });
    return ladder(bench, { what, unit: "calls/s", floorName: "S" }, [
      rung("floor S", bareTransfers(pick)),
      rung("floor R, the rows of the ledger", bareRows(books, userId, pick)),
      rung("who acts, and nothing else", emptyCalls),
      rung("the ledger", postingScript(books, pick, { size: 1 })),
    ]);
  });
}

function bareRows({ tenantId, accountIds }: Books, createdBy: string, pick: Pick): Script {
  return (random) => () => {
    const [debit, credit] = pick(random);
    return {
      name: "floor R",
      text: "select floor.post_rows($1, $2, $3, $4, $5, $6)",
      values: [
        tenantId,
        accountIds[debit],
        accountIds[credit],
        1 + Math.floor(random() * 10_000),
        seededKey(random),
        createdBy,
      ],
      transfers: 1,
    };
  };
}

const emptyCalls: Script = () => () => ({
  name: "who acts",
  text: "select floor.find_out_who_acts()",
  values: [],
  transfers: 1,
});

/** Batches of 1,000: with both cores and with one, with and without balances, sharing accounts or not. */
async function batches(bench: Bench, urls: Urls): Promise<Figure[]> {
  const { books, options, clock, progress } = bench;
  progress("books of their own");
  const own = await openBooks(urls, "bench-own", books.count);
  await withClient(urls.superuser, (client) => client.query("vacuum analyze"));
  const pick = pickOf(bench, "uniform");
  const what = "batches of 1,000";
  const form = { size: 1000 };
  return withTellers(bench, urls, 2, (tellers, { userId }) =>
    withTellersOf(urls, [books, own], (ofTwo) => {
      const rung = (name: string, clients: pg.Client[], script: Script): Rung => ({
        name,
        load: sqlLoad(clients, script, `${options.seed} ${part} ${what} ${name}`, clock),
      });
      const one = tellers.slice(0, 1);
      const bare = bareInserts(books, userId, pick, form);
      const inBooksOfTheirOwn = (withKeys: boolean): Script => {
        const scripts = [books, own].map((its) => postingScript(its, pick, { ...form, withKeys }));
        return (random, client) => (scripts[client] as Script)(random, client);
      };
      return ladder(bench, { what, unit: "transfers/s", floorName: "B" }, [
        rung("floor B, 2 clients", tellers, bare),
        rung("floor B, 1 client", one, bare),
        rung("floor B and the balances, 1 client", one, withBalances(bare, books)),
        rung("the ledger, 1 client", one, postingScript(books, pick, form)),
        rung("the ledger, 2 clients", tellers, postingScript(books, pick, form)),
        rung("the ledger, 2 clients in books of their own", ofTwo, inBooksOfTheirOwn(true)),
        rung("the ledger, 2 clients in books of their own, no keys", ofTwo, inBooksOfTheirOwn(false)),
      ]);
    }),
  );
}

/** Runs `work` with a teller of each of some tenants. */
async function withTellersOf<T>(urls: Urls, books: Books[], work: (clients: pg.Client[]) => Promise<T>): Promise<T> {
  const sessions: Session[] = [];
  for (const { tenantId } of books) sessions.push(await openSession(urls, tenantId, "teller"));
  const prepare = (client: pg.Client, index: number): Promise<void> =>
    beRequest(client, "teller", sessions[index] as Session);
  return withConnections({ url: urls.api, count: books.length, prepare }, work);
}

function withBalances(script: Script, { tenantId }: Books): Script {
  return (random, client) => {
    const next = script(random, client);
    return () => {
      const { values, transfers } = next();
      return {
        name: "floor B and the balances",
        text: "select floor.insert_batch_with_balances($1, $2, $3, $4, $5)",
        values: [...values, tenantId],
        transfers,
      };
    };
  };
}

/** Single mutations beside a question that needs no table, through the same API, and beside bare HTTP. */
async function requests(bench: Bench, urls: Urls): Promise<Figure[]> {
  const { books, options, clock } = bench;
  const session = await openSession(urls, books.tenantId, "teller");
  const children: Child[] = [];
  try {
    const echo = await startChild(["bench/floor_echo.ts"]);
    children.push(echo);
    const api = await startApi(urls.api);
    children.push(api);
    const rung = (name: string, child: Child, next: () => HttpRequest, mustHave: string): Rung => ({
      name,
      load: httpLoad({
        urls: [child === api ? `${api.url}/graphql` : child.url],
        headers: { authorization: `Bearer ${tokenOf(session)}` },
        connections: 50,
        next,
        check: (body) => {
          if (!body.includes(mustHave) || body.includes('"errors"')) throw new Error(body.slice(0, 1000));
        },
        clock,
        apiClock: processClock(child.pid),
      }),
    });
    const mutations = (of: string): (() => HttpRequest) =>
      requestsOf(1, books, pickOf(bench, "uniform"), randomOf(`${options.seed} ${part} ${of}`));
    const trivial = JSON.stringify({ query: "{ __typename }" });
    return await ladder(bench, { what: "50 connections", unit: "requests/s", floorName: "echo" }, [
      rung("an echo of a mutation, node:http alone", echo, mutations("echo"), "postTransaction"),
      rung("{ __typename } through the API", api, () => ({ body: trivial, transfers: 1 }), '"Query"'),
      rung("a single mutation through the API", api, mutations("API"), '"transactionId"'),
    ]);
  } finally {
    for (const child of children) await child.stop();
  }
}

/** A table or a B-tree, and the least bytes that it takes for what is in it. A BRIN index has a few pages in all. */
const growing = `
  select c.oid::regclass::text as name, c.relkind = 'i' as "isIndex", floor.least_bytes(c.oid) as least
  from pg_class c
  left join pg_index i on i.indexrelid = c.oid
  where coalesce(i.indrelid, c.oid) in ('app_public.transactions'::regclass, 'app_public.postings'::regclass)
    and (c.relkind = 'r' or c.relam = (select a.oid from pg_am a where a.amname = 'btree'))
  order by coalesce(i.indrelid, c.oid)::regclass::text desc, c.relkind desc, name`;

interface Growing {
  name: string;
  isIndex: boolean;
  least: string;
}

/**
 * The bytes of a transfer beside the least that its columns and keys can take by the layout of pages: as they were
 * posted, and rewritten without a gap, which shows that the least is about right.
 */
async function bytes(bench: Bench, urls: Urls): Promise<Figure[]> {
  const { books, options, progress } = bench;
  const what = "bytes of a transfer";
  if (!options.match.test(what)) return [];
  progress(what);
  await post(bench, urls, postingScript(books, pickOf(bench, "uniform"), { size: 1000 }), 20_000);
  return withClient(urls.superuser, async (superuser) => {
    // Of all that there is: the short history of the copy is of the same kind.
    const { rows: counted } = await superuser.query<{ count: string }>("select count(*) from app_public.transactions");
    const perTransfer = (size: number | string | undefined): number => Number(size) / Number(counted[0]?.count);
    const { rows: relations } = await superuser.query<Growing>(growing);
    const posted = await relationSizes(superuser);
    for (const { name, isIndex } of relations)
      if (isIndex) await superuser.query(`alter index ${name} set (fillfactor = 100)`);
    await superuser.query("vacuum full app_public.transactions, app_public.postings");
    const packed = await relationSizes(superuser);
    const figuresOf = (name: string, some: Growing[]): Figure[] => {
      const sum = (sizeOf: (one: Growing) => number): number => some.reduce((total, one) => total + sizeOf(one), 0);
      const least = { value: sum((one) => perTransfer(one.least)) };
      return (
        [
          ["as posted", posted],
          ["without a gap", packed],
        ] as const
      ).map(([how, sizes]) =>
        figureOf(
          { part, name: `${name}, ${how}`, unit: "bytes/transfer", floorName: "least" },
          [{ value: sum((one) => perTransfer(sizes.get(one.name))) }],
          [least],
        ),
      );
    };
    return [
      ...figuresOf(what, relations),
      ...relations
        .filter(({ least }) => perTransfer(least) >= 1)
        .flatMap((one) => figuresOf(`${what}, ${one.name}`, [one])),
    ];
  });
}
