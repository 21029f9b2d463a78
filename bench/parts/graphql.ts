import { secretKeys } from "../../src/http/token_keys.ts";
import { signToken } from "../../src/http/tokens.ts";
import type { Bench } from "../bench.ts";
import { type Books, openSession, type Session, type Urls } from "../books.ts";
import { type Child, startApi, startChild, tokenSecret } from "../children.ts";
import { type Figure, figureOf, type Round } from "../figures.ts";
import { type HttpRequest, httpLoad } from "../http_load.ts";
import { inTurns, type Load, randomOf, sqlLoad } from "../load.ts";
import { processClock, sumOfClocks } from "../processor.ts";
import { postingScript, seededKey } from "../scripts.ts";
import type { Pick } from "../shapes.ts";
import { pickOf, type ShapeName, withTellers } from "./sql.ts";

const part = "graphql";

/** V8 compiles what runs often in the first seconds; a server runs for weeks. */
const warmingOf = ({ seconds }: { seconds: number }): number => 5 * seconds;

interface Case {
  connections: number;
  /** How many transactions a request holds; 1 = the mutation of one. */
  size: number;
  shape: ShapeName;
  /** How many API processes the connections are dealt out to, if not to one. */
  processes?: 2;
}

const quick: Case[] = [
  { connections: 1, size: 1, shape: "uniform" },
  { connections: 50, size: 1, shape: "uniform" },
  { connections: 2, size: 1000, shape: "uniform" },
];

const full: Case[] = [
  ...[1, 10, 50, 200].map((connections) => ({ connections, size: 1, shape: "uniform" as ShapeName })),
  { connections: 50, size: 1, shape: "Zipf" },
  { connections: 50, size: 1, shape: "one credited by all" },
  { connections: 50, size: 1, shape: "uniform", processes: 2 },
  { connections: 2, size: 100, shape: "uniform" },
  { connections: 2, size: 1000, shape: "uniform" },
];

const single = `mutation ($transaction: TransactionInput!) {
  postTransaction(input: { transaction: $transaction }) { result { transactionId balances { accountId available } } }
}`;
const many = `mutation ($transactions: [TransactionInput]!) {
  postTransactions(input: { transactions: $transactions, mode: INDEPENDENT }) {
    results { transactionId refusal { code } }
  }
}`;

const reads: { name: string; query: string }[] = [
  {
    name: "an account with its balance",
    query: "query ($id: UUID!) { account(id: $id) { code name balance { posted pending available } } }",
  },
  {
    name: "an account with its first 20 postings",
    query: `query ($id: UUID!) {
      account(id: $id) { code postings(first: 20) { nodes { version direction amount transaction { id kind } } } }
    }`,
  },
];

/**
 * Posting through GraphQL as a teller, by a process of its own. Single mutations beside floor H, a bare HTTP server
 * that calls the same function; batches beside the same batches over SQL; two processes beside one.
 */
export async function graphql(bench: Bench): Promise<Figure[]> {
  const figures: Figure[] = [];
  await bench.withCopy(part, async (urls) => {
    const session = await openSession(urls, bench.books.tenantId, "teller");
    const children: Child[] = [];
    try {
      const api = await startApi(urls.api);
      children.push(api);
      const { tenantId, userId, sessionId } = session;
      const floor = await startChild(["bench/floor_http.ts", urls.api, String(tenantId), userId, sessionId]);
      children.push(floor);
      for (const one of bench.options.full ? full : quick) {
        if (!bench.options.match.test(nameOf(one))) continue;
        if (one.processes !== undefined) {
          const second = await startApi(urls.api);
          children.push(second);
          figures.push(await measureProcesses(bench, session, one, [api, second]));
          await second.stop();
        } else figures.push(await measure(bench, urls, session, one, { api, floor }));
      }
      for (const { name, query } of reads)
        if (bench.options.match.test(name)) figures.push(await measureRead(bench, session, api, { name, query }));
    } finally {
      for (const child of children) await child.stop();
    }
  });
  return figures;
}

function nameOf({ connections, size, shape, processes }: Case): string {
  const how = size === 1 ? "one at a time" : `batches of ${size.toLocaleString("en-US")}`;
  const name = `${how}, ${connections === 1 ? "1 connection" : `${connections} connections`}, ${shape}`;
  return processes === undefined ? name : `${name}, ${processes} API processes`;
}

async function measure(
  bench: Bench,
  urls: Urls,
  session: Session,
  one: Case,
  { api, floor }: { api: Child; floor: Child },
): Promise<Figure> {
  const { books, options, clock, progress } = bench;
  const name = nameOf(one);
  const pick = pickOf(bench, one.shape);
  const seed = `${options.seed} ${part} ${name}`;
  const ofApi = loadOf(bench, session, one, [api], seed);
  const compare = async (floorName: string, floorLoad: Load): Promise<Figure> => {
    const contestants = [
      { name: `floor ${floorName} of ${name}`, load: floorLoad },
      { name, load: ofApi },
    ];
    const rounds = await inTurns(contestants, { ...options, warming: warmingOf(options), progress });
    const of = (contestant: string): Round[] => rounds.get(contestant) ?? [];
    return figureOf({ part, name, unit: "transfers/s", floorName }, of(name), of(`floor ${floorName} of ${name}`));
  };
  if (one.size === 1) {
    return compare(
      "H",
      httpLoad({
        urls: [floor.url],
        headers: {},
        connections: one.connections,
        next: bareRequestsOf(books, pick, randomOf(`${seed} floor`)),
        check: (body) => {
          if (!body.includes("transactionId")) throw new Error(body.slice(0, 1000));
        },
        clock,
        apiClock: processClock(floor.pid),
      }),
    );
  }
  return withTellers(bench, urls, one.connections, (clients) =>
    compare("SQL", sqlLoad(clients, postingScript(books, pick, { size: one.size }), `${seed} SQL`, clock)),
  );
}

/** What several API processes on one database bring, beside one of them that has all connections. */
async function measureProcesses(bench: Bench, session: Session, one: Case, apis: Child[]): Promise<Figure> {
  const name = nameOf(one);
  const seed = `${bench.options.seed} ${part} ${name}`;
  const alone = `${name}, the first alone`;
  const contestants = [
    { name: alone, load: loadOf(bench, session, one, apis.slice(0, 1), `${seed} alone`) },
    { name, load: loadOf(bench, session, one, apis, seed) },
  ];
  const rounds = await inTurns(contestants, {
    ...bench.options,
    warming: warmingOf(bench.options),
    progress: bench.progress,
  });
  const about = { part, name, unit: "transfers/s", floorName: "1 process" };
  return figureOf(about, rounds.get(name) ?? [], rounds.get(alone) ?? []);
}

/** Posts through one API or several. `seed` must be another for each load: idempotency keys are drawn from it. */
function loadOf(bench: Bench, session: Session, { connections, size, shape }: Case, apis: Child[], seed: string): Load {
  return httpLoad({
    urls: apis.map(({ url }) => `${url}/graphql`),
    headers: { authorization: `Bearer ${tokenOf(session)}` },
    connections,
    next: requestsOf(size, bench.books, pickOf(bench, shape), randomOf(seed)),
    check: (body) => {
      if (body.includes('"errors"') || body.includes('"refusal":{')) throw new Error(body.slice(0, 1000));
    },
    clock: bench.clock,
    apiClock: sumOfClocks(apis.map(({ pid }) => processClock(pid))),
  });
}

/** Questions about accounts drawn by chance. */
async function measureRead(
  { books, options, clock, progress }: Bench,
  session: Session,
  api: Child,
  { name, query }: { name: string; query: string },
): Promise<Figure> {
  const random = randomOf(`${options.seed} ${part} ${name}`);
  const load = httpLoad({
    urls: [`${api.url}/graphql`],
    headers: { authorization: `Bearer ${tokenOf(session)}` },
    connections: 10,
    next: () => {
      const id = books.accountIds[Math.floor(random() * books.count)];
      return { body: JSON.stringify({ query, variables: { id } }), transfers: 1 };
    },
    check: (body) => {
      if (body.includes('"errors"') || !body.includes('"code"')) throw new Error(body.slice(0, 1000));
    },
    clock,
    apiClock: processClock(api.pid),
  });
  const rounds = await inTurns([{ name, load }], { ...options, warming: warmingOf(options), progress });
  return figureOf({ part, name: `${name}, 10 connections`, unit: "answers/s" }, rounds.get(name) ?? []);
}

export function tokenOf({ tenantId, userId, sessionId }: Session): string {
  const keys = secretKeys(tokenSecret);
  return signToken({ keys, tenantId, role: "teller", userId, sessionId, expiresInSeconds: 24 * 3600 });
}

function transactionOf({ accountIds }: Books, pick: Pick, random: () => number): object {
  const [debit, credit] = pick(random);
  const amount = String(1 + Math.floor(random() * 10_000));
  return {
    idempotencyKey: seededKey(random),
    postings: [
      { accountId: accountIds[debit], direction: "DEBIT", amount },
      { accountId: accountIds[credit], direction: "CREDIT", amount },
    ],
  };
}

export function requestsOf(size: number, books: Books, pick: Pick, random: () => number): () => HttpRequest {
  return () => {
    const transactions = Array.from({ length: size }, () => transactionOf(books, pick, random));
    const body =
      size === 1
        ? { query: single, variables: { transaction: transactions[0] } }
        : { query: many, variables: { transactions } };
    return { body: JSON.stringify(body), transfers: size };
  };
}

function bareRequestsOf(books: Books, pick: Pick, random: () => number): () => HttpRequest {
  return () => ({ body: JSON.stringify(transactionOf(books, pick, random)), transfers: 1 });
}
