import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { openCommandSession } from "../src/cli/ledger.ts";
import { newKeyRing } from "../src/crypto/keys.ts";
import { secretKeys } from "../src/http/token_keys.ts";
import { signToken } from "../src/http/tokens.ts";
import type { DatabaseUrls } from "../src/postgres/bootstrap.ts";
import { simulatedWebhookSecret } from "../src/providers/payments/simulated/server.ts";
import { seededRandom } from "../src/random.ts";
import { compareBooks, type ProviderPayment } from "./books.ts";
import { makePatientClient, type PatientClient } from "./client.ts";
import { freePort, type Phoenix, startPhoenix } from "./processes.ts";

export interface ChaosOptions {
  urls: DatabaseUrls & { superuser: string };
  /** How often something is killed: a worker, the API, connections of the database, the provider. */
  kills: number;
  settlements: number;
  workers?: number;
  seed?: number;
  /** After how long it is given up. Default: 15 minutes. */
  limitMs?: number;
  say: (message: string) => void;
}

export interface ChaosReport {
  settlements: number;
  kills: Record<Victim, number>;
  seconds: number;
  perSecond: number;
  /** How long it took, after a kill of a worker, until payments moved on again; the longest. */
  longestStandstillSeconds: number;
  retriesOfClients: number;
  /** In what the books of the ledger and of the provider differ, and the rows of every check. */
  differences: string[];
}

export type Victim = "worker" | "api" | "connections" | "provider";

const secret = "the-secret-of-the-chaos-has-32-characters-or-more";
const slug = "chaos";
const wallets = 50;

/**
 * Settles payments while it kills workers, the API, connections and the provider at random, and then compares the
 * books of the ledger with those of the provider, to the cent. The same seed asks for the same payments and
 * chooses the same victims; when they fall is up to the machine.
 */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { urls, kills, settlements, workers = 2, seed = 1, limitMs = 15 * 60_000, say } = options;
  const folder = mkdtempSync(join(tmpdir(), "tallystick-chaos-"));
  const owner = new pg.Client({ connectionString: urls.owner });
  await owner.connect();
  const processes: Phoenix[] = [];
  const stopping = new AbortController();
  try {
    const { tenantId, token, accounts } = await prepareBooks(owner);
    const ports = { api: await freePort(), provider: await freePort() };
    const all = await startAll({ urls, ports, folder, workers });
    processes.push(...all);
    const client = makePatientClient(`http://127.0.0.1:${ports.api}/graphql`, token);
    await setUpProvider(client, accounts);
    await tellProvider(ports, "webhook", { url: `http://127.0.0.1:${ports.api}/api/v1/webhooks/payments/${slug}/sim` });
    await tellProvider(ports, "faults", { ...troubles, seed });
    say(`${settlements} payments, ${workers} workers, ${kills} kills.`);
    const started = performance.now();
    const progress = watchProgress(owner, tenantId, stopping.signal);
    const killing = killAround({
      processes: all,
      superuser: urls.superuser,
      kills,
      seed,
      signal: stopping.signal,
      say,
    });
    const keys = await createPayments(client, { settlements, seed, wallets: accounts.wallets });
    const done = await waitUntilFinal(owner, tenantId, { settlements, limitMs, killing, say });
    const seconds = (performance.now() - started) / 1000;
    const killed = await killing;
    const provider = await readReport(ports);
    const differences = [
      ...(done ? [] : [`Not all payments came to an end within ${limitMs / 1000} seconds.`]),
      ...(await compareBooks(owner, tenantId, provider, keys)),
    ];
    return {
      settlements,
      kills: killed,
      seconds,
      perSecond: settlements / seconds,
      longestStandstillSeconds: progress.longestStandstill(),
      retriesOfClients: client.retries,
      differences,
    };
  } finally {
    stopping.abort();
    await Promise.all(processes.map((one) => one.stop().catch(() => undefined)));
    await owner.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What goes wrong at the provider all the time, beside the kills. */
const troubles = {
  rates: {
    fail_before: 0.02,
    fail_after: 0.02,
    reset_before: 0.02,
    reset_after: 0.02,
    rate_limit: 0.02,
    decline: 0.03,
    settle_later: 0.2,
  },
  messageCopies: 2,
  messageJitterMs: 300,
  loseMessages: 0.2,
};

interface Accounts {
  clearing: string;
  suspense: string;
  wallets: string[];
}

/** Books with wallets that have money to pay out. */
async function prepareBooks(owner: pg.Client): Promise<{ tenantId: number; token: string; accounts: Accounts }> {
  const { rows } = await owner.query<{ id: number }>("select id from app_private.create_tenant($1)", [slug]);
  const tenantId = rows[0]?.id ?? 0;
  const { sessionId, userId } = await openCommandSession(owner, { tenantId, role: "admin", seconds: 24 * 3600 });
  await owner.query(
    `select set_config('tallystick.tenant_id', $1, false), set_config('tallystick.user_id', $2, false),
       set_config('tallystick.session_id', $3, false)`,
    [String(tenantId), userId, sessionId],
  );
  const open = async (code: string, type: string): Promise<string> => {
    const opened = await owner.query<{ id: string }>(
      "select (app_public.open_account($1, $1, $2::app_public.account_type, 'EUR')).id",
      [code, type],
    );
    return opened.rows[0]?.id ?? "";
  };
  const accounts: Accounts = {
    clearing: await open("clearing", "asset"),
    suspense: await open("suspense", "liability"),
    wallets: [],
  };
  const cash = await open("cash", "asset");
  for (let n = 1; n <= wallets; n += 1) {
    const wallet = await open(`wallet ${n}`, "liability");
    await owner.query(
      `select app_public.post_transaction(row('posted', array[
         row($1, 'debit', 1000000000)::app_public.posting_input, row($2, 'credit', 1000000000)::app_public.posting_input
       ], null, null, null, null, null, null, null, null)::app_public.transaction_input)`,
      [cash, wallet],
    );
    accounts.wallets.push(wallet);
  }
  const token = signToken({
    keys: secretKeys(secret),
    tenantId,
    role: "admin",
    userId,
    sessionId,
    expiresInSeconds: 24 * 3600,
  });
  return { tenantId, token, accounts };
}

interface StartOptions {
  urls: DatabaseUrls;
  ports: { api: number; provider: number };
  folder: string;
  workers: number;
}

async function startAll({ urls, ports, folder, workers }: StartOptions): Promise<Phoenix[]> {
  const fieldKeys = newKeyRing("chaos");
  const settings = {
    NODE_ENV: "test",
    LOG_LEVEL: "silent",
    TALLYSTICK_JWT_SECRET: secret,
    TALLYSTICK_FIELD_KEYS: fieldKeys,
    TALLYSTICK_SIMULATED_PROVIDER_URL: `http://127.0.0.1:${ports.provider}`,
    TALLYSTICK_RATE_LIMIT_PER_MINUTE: "100000000",
    TALLYSTICK_RATE_LIMIT_ADDRESS_PER_MINUTE: "100000000",
  };
  const start = "src/cli/tallystick.mjs";
  const provider = startPhoenix({
    name: "provider",
    args: [
      "src/providers/payments/simulated/main.ts",
      ...["--port", String(ports.provider), "--secret", secret, "--books", join(folder, "books.jsonl")],
      ...["--webhook-url", `http://127.0.0.1:${ports.api}/api/v1/webhooks/payments/${slug}/sim`],
      "--until-stdin-ends",
    ],
    settings: {},
    ready: /answers at/,
  });
  const api = startPhoenix({
    name: "api",
    args: [start, "start", "--only", "api"],
    settings: { ...settings, PORT: String(ports.api), TALLYSTICK_API_DATABASE_URL: urls.api },
    ready: /is ready/,
  });
  const several = Array.from({ length: workers }, () =>
    startPhoenix({
      name: "worker",
      args: [start, "start", "--only", "worker"],
      settings: { ...settings, TALLYSTICK_WORKER_DATABASE_URL: urls.worker, TALLYSTICK_WORKER_CONCURRENCY: "8" },
      ready: /is ready/,
    }),
  );
  return Promise.all([provider, api, ...several]);
}

async function setUpProvider(client: PatientClient, { clearing, suspense }: Accounts): Promise<void> {
  await client.ask(
    `mutation ($clearing: UUID!, $suspense: UUID!) {
       setPaymentProvider(input: { code: "sim", kind: SIMULATED, name: "Simulated" }) { clientMutationId }
       setPaymentProviderAccount(input: {
         providerCode: "sim", currency: "EUR", clearingAccountId: $clearing, suspenseAccountId: $suspense
       }) { clientMutationId }
     }`,
    { clearing, suspense },
  );
  for (const [kind, value] of [
    ["API_KEY", secret],
    ["WEBHOOK", simulatedWebhookSecret(secret)],
  ]) {
    await client.ask(
      `mutation ($kind: PaymentProviderSecretKind!, $value: String!) {
         setPaymentProviderSecret(input: { providerCode: "sim", kind: $kind, value: $value }) {
           paymentProvider { code }
         }
       }`,
      { kind, value },
    );
  }
}

async function tellProvider(ports: { provider: number }, what: "faults" | "webhook", body: object): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${ports.provider}/${what}`, {
    method: "POST",
    headers: { authorization: `Bearer ${secret}` },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`The provider answered ${await response.text()}.`);
}

async function readReport(ports: { provider: number }): Promise<ProviderPayment[]> {
  const response = await fetch(`http://127.0.0.1:${ports.provider}/report`, {
    headers: { authorization: `Bearer ${secret}` },
  });
  const { payments } = (await response.json()) as { payments: ProviderPayment[] };
  return payments;
}

/** Asks for all payments, several at a time, and tells their idempotency keys. */
async function createPayments(
  client: PatientClient,
  { settlements, seed, wallets }: { settlements: number; seed: number; wallets: string[] },
): Promise<string[]> {
  const random = seededRandom(seed);
  const payments = Array.from({ length: settlements }, (_value, n) => ({
    kind: random() < 0.6 ? "PAY_IN" : "PAY_OUT",
    accountId: wallets[Math.floor(random() * wallets.length)],
    amount: String(1 + Math.floor(random() * 100_000)),
    currency: "EUR",
    providerCode: "sim",
    idempotencyKey: `chaos-${seed}-${n}`,
  }));
  const waiting = [...payments];
  const create = async (): Promise<void> => {
    for (let payment = waiting.shift(); payment; payment = waiting.shift()) {
      await client.ask(
        "mutation ($payment: PaymentInput!) { createPayment(input: { payment: $payment }) { payment { id } } }",
        { payment },
      );
    }
  };
  await Promise.all(Array.from({ length: 8 }, create));
  return payments.map(({ idempotencyKey }) => idempotencyKey);
}

/** Watches how payments come to an end, and how long none does. */
function watchProgress(owner: pg.Client, tenantId: number, signal: AbortSignal): { longestStandstill: () => number } {
  let longest = 0;
  let lastMove = performance.now();
  let last = -1;
  void (async () => {
    while (!signal.aborted) {
      const final = await countFinal(owner, tenantId).catch(() => last);
      const now = performance.now();
      if (final !== last) lastMove = now;
      else longest = Math.max(longest, now - lastMove);
      last = final;
      await sleep(200, undefined, { signal }).catch(() => undefined);
    }
  })();
  return { longestStandstill: () => longest / 1000 };
}

async function countFinal(owner: pg.Client, tenantId: number): Promise<number> {
  const { rows } = await owner.query<{ count: number }>(
    `select count(*)::integer as count from app_public.payments
     where tenant_id = $1 and status in ('settled', 'failed', 'cancelled', 'expired', 'returned')`,
    [tenantId],
  );
  return rows[0]?.count ?? 0;
}

interface WaitOptions {
  settlements: number;
  limitMs: number;
  killing: Promise<unknown>;
  say: (message: string) => void;
}

/** Whether all payments came to an end in time, after everything was killed that was to be. */
async function waitUntilFinal(
  owner: pg.Client,
  tenantId: number,
  { settlements, limitMs, killing, say }: WaitOptions,
): Promise<boolean> {
  const end = Date.now() + limitMs;
  await killing;
  for (let told = 0; Date.now() < end; told += 1) {
    const final = await countFinal(owner, tenantId);
    if (final >= settlements) return true;
    if (told % 25 === 0) say(`${final} of ${settlements} payments have come to an end.`);
    await sleep(200);
  }
  return false;
}

interface KillOptions {
  processes: Phoenix[];
  superuser: string;
  kills: number;
  seed: number;
  signal: AbortSignal;
  say: (message: string) => void;
}

/** Kills something at random, again and again, until it has been often enough. */
async function killAround({
  processes,
  superuser,
  kills,
  seed,
  signal,
  say,
}: KillOptions): Promise<Record<Victim, number>> {
  const random = seededRandom(seed + 1);
  const killed: Record<Victim, number> = { worker: 0, api: 0, connections: 0, provider: 0 };
  const client = new pg.Client({ connectionString: superuser });
  await client.connect();
  try {
    for (let n = 0; n < kills && !signal.aborted; n += 1) {
      await sleep(100 + random() * 900, undefined, { signal }).catch(() => undefined);
      const victim = chooseVictim(random());
      killed[victim] += 1;
      if (victim === "connections") await cutConnections(client, random);
      else {
        const candidates = processes.filter(({ name }) => name === victim);
        await candidates[Math.floor(random() * candidates.length)]?.kill();
      }
      if (n % 10 === 9) say(`${n + 1} of ${kills} kills.`);
    }
    return killed;
  } finally {
    await client.end();
  }
}

function chooseVictim(chance: number): Victim {
  if (chance < 0.45) return "worker";
  if (chance < 0.6) return "api";
  return chance < 0.92 ? "connections" : "provider";
}

/** Ends some of the connections of the API and the workers, in the middle of whatever they do. */
async function cutConnections(client: pg.Client, random: () => number): Promise<void> {
  await client.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and usename in ('tallystick_api', 'tallystick_worker')
       and hashtext(pid::text || $1) % 3 = 0`,
    [String(random())],
  );
}
