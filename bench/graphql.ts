/**
 * Measures posting through GraphQL, beside a bare HTTP server that calls the same function (floor H):
 *   npm run bench:graphql -- [--seconds 3] [--rounds 3] [--accounts 10000]
 * Writes bench/results/graphql.md.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import pg from "pg";
import { withScratchServer } from "../scripts/scratch_server.ts";
import { openCommandSession } from "../src/cli/ledger.ts";
import { newKeyRing } from "../src/crypto/keys.ts";
import { secretKeys } from "../src/http/token_keys.ts";
import { signToken } from "../src/http/tokens.ts";
import { projectRoot } from "../src/paths.ts";
import type { DatabaseUrls } from "../src/postgres/bootstrap.ts";
import { seededRandom } from "../src/random.ts";
import { type Books, openBooks } from "./books.ts";
import { median } from "./figures.ts";
import { type HttpFigures, loadHttp } from "./http_load.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "3" },
    rounds: { type: "string", default: "3" },
    accounts: { type: "string", default: "10000" },
  },
});
const secret = "the secret of the benchmark, 32 characters or more";
const say = (text: string): void => void process.stderr.write(`${text}\n`);

interface Shape {
  name: string;
  connections: number;
  /** How many transfers a request holds; 1 = the mutation of one. */
  size: number;
  isHot?: boolean;
}

const shapes: Shape[] = [
  ...[1, 10, 50, 200].map((connections) => ({
    name: `one at a time, ${connections} connections`,
    connections,
    size: 1,
  })),
  { name: "one at a time, 50 connections, one hot account", connections: 50, size: 1, isHot: true },
  ...[100, 1000].map((size) => ({ name: `batches of ${size}, 2 connections`, connections: 2, size })),
];

const single = `mutation ($transaction: TransactionInput!) {
  postTransaction(input: { transaction: $transaction }) { result { transactionId balances { accountId available } } }
}`;
const many = `mutation ($transactions: [TransactionInput]!) {
  postTransactions(input: { transactions: $transactions, mode: INDEPENDENT }) { results { transactionId } }
}`;

const lines: string[] = [];
await withScratchServer({ profile: "durable" }, async ({ createDatabase }) => {
  const urls = await createDatabase("bench");
  const books = await openBooks(urls, "bench", Number(values.accounts));
  const { sessionId, userId } = await openSession(urls.owner, books.tenantId);
  const token = signToken({
    keys: secretKeys(secret),
    tenantId: books.tenantId,
    role: "admin",
    userId,
    sessionId,
    expiresInSeconds: 3600,
  });
  const api = await startProcess(["src/cli/tallystick.mjs", "start", "--only", "api"], apiSettings(urls));
  const floor = await startProcess(["bench/floor_http.ts", urls.api, String(books.tenantId), userId, sessionId], {});
  try {
    for (const shape of shapes) lines.push(await measure(shape, books, { api: api.url, floor: floor.url, token }));
  } finally {
    for (const { child } of [api, floor]) {
      child.kill("SIGTERM");
      await once(child, "exit");
    }
  }
});
report();

async function measure(
  shape: Shape,
  books: Books,
  { api, floor, token }: { api: string; floor: string; token: string },
): Promise<string> {
  say(shape.name);
  const ofGraphql = (seconds: number): Promise<HttpFigures> =>
    loadHttp({
      url: api,
      headers: { authorization: `Bearer ${token}` },
      connections: shape.connections,
      seconds,
      next: requestsOf(shape, books),
      check: (body) => {
        if (body.includes('"errors"')) throw new Error(body.slice(0, 1000));
      },
    });
  const ofFloor = (seconds: number): Promise<HttpFigures> =>
    loadHttp({
      url: floor,
      headers: {},
      connections: shape.connections,
      seconds,
      next: bareRequestsOf(shape, books),
      check: (body) => {
        if (!body.includes("transactionId")) throw new Error(body.slice(0, 1000));
      },
    });
  const hasFloor = shape.size === 1;
  await ofGraphql(1);
  if (hasFloor) await ofFloor(1);
  const graphql: HttpFigures[] = [];
  const floors: HttpFigures[] = [];
  for (let round = 0; round < Number(values.rounds); round += 1) {
    if (hasFloor) floors.push(await ofFloor(Number(values.seconds)));
    graphql.push(await ofGraphql(Number(values.seconds)));
  }
  return row(shape.name, graphql, floors);
}

function row(name: string, graphql: HttpFigures[], floors: HttpFigures[]): string {
  const of = (figures: HttpFigures[], key: keyof HttpFigures): number => median(figures.map((one) => one[key]));
  const rate = of(graphql, "transfersPerSecond");
  const floor = of(floors, "transfersPerSecond");
  const times = (["p50", "p95", "p99"] as const).map((key) => of(graphql, key).toFixed(1)).join(" / ");
  const beside = floors.length > 0 ? [floor.toFixed(0), (rate / floor).toFixed(2)] : ["", ""];
  return `| ${[name, rate.toFixed(0), times, ...beside].join(" | ")} |`;
}

function report(): void {
  const text = [
    "# Posting through GraphQL",
    "",
    `${new Date().toISOString().slice(0, 10)}, ${cpus().length} cores (${cpus()[0]?.model.trim()}); database, API and`,
    `clients together. Medians of ${values.rounds} rounds, in turns with floor H: a bare HTTP server that calls the`,
    "same function in a database transaction.",
    "",
    "| what | transfers/s | p50 / p95 / p99 ms | floor H | ratio |",
    "| --- | ---: | ---: | ---: | ---: |",
    ...lines,
  ].join("\n");
  writeFileSync(join(projectRoot, "bench/results/graphql.md"), `${text}\n`);
  console.log(text);
}

type Next = (index: number) => { body: string; transfers: number };

function picker({ isHot }: Shape, { accountIds }: Books): () => object[] {
  const random = seededRandom(1);
  const some = (): number => Math.floor(random() * accountIds.length);
  return () => {
    const debit = isHot ? 1 + Math.floor(random() * (accountIds.length - 1)) : some();
    const credit = isHot ? 0 : (debit + 1 + Math.floor(random() * (accountIds.length - 1))) % accountIds.length;
    const amount = String(1 + Math.floor(random() * 10_000));
    return [
      { accountId: accountIds[debit], direction: "DEBIT", amount },
      { accountId: accountIds[credit], direction: "CREDIT", amount },
    ];
  };
}

function requestsOf(shape: Shape, books: Books): Next {
  const pick = picker(shape, books);
  if (shape.size === 1) {
    return () => ({
      body: JSON.stringify({ query: single, variables: { transaction: { postings: pick() } } }),
      transfers: 1,
    });
  }
  return () => ({
    body: JSON.stringify({
      query: many,
      variables: { transactions: Array.from({ length: shape.size }, () => ({ postings: pick() })) },
    }),
    transfers: shape.size,
  });
}

function bareRequestsOf(shape: Shape, books: Books): Next {
  const pick = picker(shape, books);
  return () => ({ body: JSON.stringify({ postings: pick() }), transfers: 1 });
}

async function openSession(url: string, tenantId: number): Promise<{ sessionId: string; userId: string }> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await openCommandSession(client, { tenantId, role: "admin", seconds: 24 * 3600 });
  } finally {
    await client.end();
  }
}

function apiSettings(urls: DatabaseUrls): Record<string, string> {
  return {
    NODE_ENV: "test",
    PORT: "0",
    TALLYSTICK_API_DATABASE_URL: urls.api,
    TALLYSTICK_JWT_SECRET: secret,
    TALLYSTICK_FIELD_KEYS: newKeyRing("bench"),
    TALLYSTICK_RATE_LIMIT_PER_MINUTE: "100000000",
    TALLYSTICK_RATE_LIMIT_TENANT_PER_MINUTE: "100000000",
  };
}

async function startProcess(
  args: string[],
  settings: Record<string, string>,
): Promise<{ url: string; child: ChildProcess }> {
  const child = spawn(process.execPath, args, {
    cwd: projectRoot,
    stdio: ["ignore", "ignore", "pipe"],
    env: { PATH: process.env["PATH"], ...settings },
  });
  const url = await new Promise<string>((resolve, reject) => {
    let said = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      const found = /API +(http:\S+\/graphql)/.exec(said)?.[1];
      if (found) resolve(found);
    });
    child.once("exit", () => reject(new Error(`It did not start: ${said}`)));
  });
  return { url, child };
}
