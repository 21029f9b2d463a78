/**
 * Measures what signing in costs those who post: throughput and latency of postTransaction over GraphQL, with
 * and without fifty logins at once, in turns, on a server and an API process of its own:
 *   npm run bench:signing-in -- [--rounds 5] [--logins 50] [--clients 4]
 * At the cost that is configured for production. Writes bench/results/signing_in.md.
 */
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import pg from "pg";
import { withScratchServer } from "../scripts/scratch_server.ts";
import { fixedKeys, newKeyRing, parseKeyRing } from "../src/crypto/keys.ts";
import { sealUserEmail } from "../src/crypto/user_contacts.ts";
import { makePasswords } from "../src/identity/passwords.ts";
import { projectRoot } from "../src/paths.ts";
import { newId } from "../src/random.ts";
import { type Books, openBooks } from "./books.ts";
import { startApi } from "./children.ts";
import { median } from "./figures.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    logins: { type: "string", default: "50" },
    clients: { type: "string", default: "4" },
  },
});
const rounds = Number(values.rounds);
const logins = Number(values.logins);
const clients = Number(values.clients);
const cost = { memoryKib: 47_104, passes: 2 };
const password = "correct horse battery";
const mutation = `mutation ($transaction: TransactionInput!) {
  postTransaction(input: { transaction: $transaction }) { result { transactionId } } }`;
const say = (message: string): void => void process.stderr.write(`${message}\n`);

interface Measured {
  postsPerSecond: number;
  p50: number;
  p99: number;
}

interface Wave extends Measured {
  /** How long the last of the logins took. */
  seconds: number;
}

/** How many passwords the API hashes at a time. */
const variants = [
  { name: "1 password at a time (the default on two cores)", concurrency: 1 },
  { name: "2 at a time", concurrency: 2 },
  { name: "4 at a time, all threads of libuv", concurrency: 4 },
];

const lines: string[] = [];
await withScratchServer({ profile: "durable" }, async ({ createDatabase }) => {
  const urls = await createDatabase("bench");
  const books = await openBooks(urls, "bench", 1000);
  const ring = newKeyRing("bench");
  const emails = await addPeople(urls.owner, books.tenantId, ring);
  for (const { name, concurrency } of variants) {
    const api = await startApi(urls.api, {
      TALLYSTICK_FIELD_KEYS: ring,
      TALLYSTICK_ARGON2_MEMORY_KIB: String(cost.memoryKib),
      TALLYSTICK_ARGON2_PASSES: String(cost.passes),
      TALLYSTICK_HASHING_CONCURRENCY: String(concurrency),
    });
    try {
      const tokens = await signInAll(api.url, emails.slice(0, 1));
      const token = tokens[0] ?? "";
      await postFor(api.url, token, books, sleep(2_000));
      const quiet: Measured[] = [];
      const busy: Wave[] = [];
      for (let round = 0; round < rounds; round += 1) {
        say(`${name}, round ${round + 1}`);
        quiet.push(await postFor(api.url, token, books, sleep(4_000)));
        const started = performance.now();
        const wave = signInAll(api.url, emails);
        const measured = await postFor(api.url, token, books, wave);
        busy.push({ ...measured, seconds: (performance.now() - started) / 1000 });
      }
      lines.push(row(name, quiet, busy));
    } finally {
      await api.stop();
    }
  }
});

const report = [
  `${logins} logins at once beside ${clients} clients that post over GraphQL;`,
  `${new Date().toISOString().slice(0, 10)},`,
  `${cpus().length} cores (${cpus()[0]?.model.trim()}) for database, API and clients together. Argon2id with`,
  `${cost.memoryKib} KiB and ${cost.passes} passes. Medians of ${rounds} rounds, in turns.`,
  "",
  "| passwords hashed | posts/s without | posts/s with | ratio | p50 ms without / with | p99 ms without / with " +
    "| all signed in after |",
  "| --- | --: | --: | --: | --: | --: | --: |",
  ...lines,
].join("\n");
writeFileSync(join(projectRoot, "bench/results/signing_in.md"), `${report}\n`);
console.log(report);

function row(name: string, quiet: Measured[], busy: Wave[]): string {
  const of = <T extends Measured>(all: T[], pick: (one: T) => number): number => median(all.map(pick));
  const [without, withLogins] = [of(quiet, (one) => one.postsPerSecond), of(busy, (one) => one.postsPerSecond)];
  const pair = (pick: (one: Measured) => number): string =>
    `${of(quiet, pick).toFixed(1)} / ${of(busy, pick).toFixed(1)}`;
  const cells = [
    name,
    without.toFixed(0),
    withLogins.toFixed(0),
    (withLogins / without).toFixed(2),
    pair(({ p50 }) => p50),
    pair(({ p99 }) => p99),
    `${of(busy, ({ seconds }) => seconds).toFixed(1)} s`,
  ];
  return `| ${cells.join(" | ")} |`;
}

/** Tellers with passwords. All have the same hash: what counts is what verifying one costs. */
async function addPeople(ownerUrl: string, tenantId: number, ring: string): Promise<string[]> {
  const keys = fixedKeys(parseKeyRing(ring));
  const hash = await makePasswords({ cost, gate: (work) => work() }).hash(password);
  const client = new pg.Client({ connectionString: ownerUrl });
  await client.connect();
  const emails: string[] = [];
  for (let index = 0; index < logins; index += 1) {
    const userId = newId();
    const email = `person.${index}@example.com`;
    const { ciphertext, index: blind } = await sealUserEmail(keys, userId, email);
    await client.query("insert into app_public.users (id, name) values ($1, 'Somebody')", [userId]);
    await client.query("select app_private.set_user_email($1, $2, $3)", [userId, ciphertext, blind]);
    await client.query("insert into app_private.credentials (user_id, password_hash) values ($1, $2)", [userId, hash]);
    await client.query("insert into app_public.memberships (tenant_id, user_id, role) values ($1, $2, 'teller')", [
      tenantId,
      userId,
    ]);
    emails.push(email);
  }
  await client.end();
  return emails;
}

async function signInAll(url: string, emails: string[]): Promise<string[]> {
  return Promise.all(
    emails.map(async (email) => {
      const response = await send(`${url}/api/v1/auth/login`, { email, password });
      const body = (await response.json()) as { accessToken?: string };
      if (!body.accessToken) throw new Error(`Nobody was signed in: ${JSON.stringify(body)}`);
      return body.accessToken;
    }),
  );
}

/** Posts from some clients, one after the other each, until something else is done. */
async function postFor(url: string, token: string, books: Books, until: Promise<unknown>): Promise<Measured> {
  let isOver = false;
  void until.then(() => {
    isOver = true;
  });
  const times: number[] = [];
  const started = performance.now();
  const client = async (index: number): Promise<void> => {
    for (let count = index; !isOver; count += clients) {
      const at = performance.now();
      const [debit, credit] = [count * 2, count * 2 + 1].map((n) => books.accountIds[n % books.accountIds.length]);
      const postings = [
        { accountId: debit, direction: "DEBIT", amount: "1" },
        { accountId: credit, direction: "CREDIT", amount: "1" },
      ];
      const body = { query: mutation, variables: { transaction: { postings } } };
      const response = await send(`${url}/graphql`, body, { authorization: `Bearer ${token}` });
      const answer = (await response.json()) as { errors?: unknown };
      if (answer.errors) throw new Error(JSON.stringify(answer));
      times.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: clients }, (_value, index) => client(index)));
  await until;
  const seconds = (performance.now() - started) / 1000;
  const sorted = times.sort((one, other) => one - other);
  const quantile = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN;
  return { postsPerSecond: times.length / seconds, p50: quantile(0.5), p99: quantile(0.99) };
}

function send(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, milliseconds));
}
