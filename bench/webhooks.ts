/**
 * Measures how soon and how fast receivers of webhooks are told, on a server of its own with durable settings, one
 * worker and receivers on the same machine, and what the relay costs when nothing happens:
 *   npm run bench:webhooks -- [--samples 200] [--events 6000] [--tenants 1000]
 * Writes bench/results/webhooks.md.
 */
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import pg from "pg";
import { pino } from "pino";
import { withScratchServer } from "../scripts/scratch_server.ts";
import { loadConfig } from "../src/config.ts";
import { projectRoot } from "../src/paths.ts";
import { withClient } from "../src/postgres/client.ts";
import { startRelay } from "../src/relay.ts";
import { startWorker } from "../src/worker.ts";
import { fieldKeySetting } from "../test/support/field_keys.ts";
import { mustPost, openAccounts, openTenant, transfer } from "../test/support/ledger.ts";
import { addEndpoint, type ClientSource, type Receiver, startReceiver } from "../test/support/webhooks.ts";

const { values } = parseArgs({
  options: {
    samples: { type: "string", default: "200" },
    events: { type: "string", default: "6000" },
    tenants: { type: "string", default: "1000" },
  },
});
const samples = Number(values.samples);
const events = Number(values.events);
const tenants = Number(values.tenants);
const log = pino({ level: "warn" });
const lines: string[] = [];

function tell(line: string): void {
  lines.push(line);
  console.log(line);
}

await withScratchServer({ profile: "durable" }, async ({ createDatabase }) => {
  const urls = await createDatabase("bench");
  await withClient(urls.superuser, (client) => client.query("alter database bench set track_functions = 'all'"));
  const owner = new pg.Pool({ connectionString: urls.owner, max: 4 });
  const receiver = await startReceiver();
  const run = {
    owner,
    receiver,
    db: { withClient: <T>(_login: unknown, work: (client: pg.Client) => Promise<T>) => withClient(urls.owner, work) },
  };
  try {
    await measureIdle(owner, urls.worker);
    const config = loadConfig({
      NODE_ENV: "test",
      TALLYSTICK_JWT_SECRET: "the secret of the benchmark of webhooks",
      TALLYSTICK_FIELD_KEYS: fieldKeySetting("test"),
      TALLYSTICK_WEBHOOKS_ALLOW_PRIVATE: "true",
    });
    const worker = await startWorker({ config, databaseUrl: urls.worker, log, onFatal: (error) => log.fatal(error) });
    try {
      for (const about of ["payment", "transaction"] as const) await measureLatency(run, about);
      for (const endpoints of [1, 4]) await measureThroughput(run, endpoints);
    } finally {
      await worker.stop();
    }
  } finally {
    await receiver.stop();
    await owner.end();
  }
});
const day = new Date().toISOString().slice(0, 10);
const machine = `${cpus().length} cores (${cpus()[0]?.model ?? "unknown"}), everything on one machine`;
writeFileSync(
  join(projectRoot, "bench/results/webhooks.md"),
  `# Webhooks\n\n${day}, ${machine}.\n\n${lines.map((line) => `- ${line}`).join("\n")}\n`,
);

interface Run {
  owner: pg.Pool;
  receiver: Receiver;
  db: ClientSource;
}

/** From the commit of what happens to the arrival of the request, with pauses in between so that the relay sleeps. */
async function measureLatency({ owner, receiver, db }: Run, about: "payment" | "transaction"): Promise<void> {
  const tenantId = await openTenant(owner);
  const [debit = "", credit = ""] = await openAccounts(owner, tenantId, 2);
  await addEndpoint(db, tenantId, receiver.url, [`${about}.*`]);
  const waits: number[] = [];
  for (let n = 0; n < samples; n += 1) {
    const before = receiver.received.length;
    if (about === "transaction") await mustPost(owner, tenantId, { postings: transfer(debit, credit, 1) });
    else await record(owner, tenantId, 1);
    const committedAt = Date.now();
    while (receiver.received.length === before) await sleep(1);
    waits.push((receiver.received.at(-1)?.at ?? 0) - committedAt);
    await sleep(Math.random() * 200);
  }
  waits.sort((a, b) => a - b);
  const at = (share: number): number => waits[Math.floor(share * (waits.length - 1))] ?? 0;
  tell(
    `Commit of a ${about} to the request: median ${at(0.5)} ms, 95 % within ${at(0.95)} ms, all within ${at(1)} ms.`,
  );
}

/** A backlog, told by one worker of four jobs at a time. */
async function measureThroughput({ owner, receiver, db }: Run, endpoints: number): Promise<void> {
  receiver.received.length = 0;
  const tenantIds: number[] = [];
  for (let n = 0; n < endpoints; n += 1) tenantIds.push(await openTenant(owner));
  for (const tenantId of tenantIds) await addEndpoint(db, tenantId, receiver.url, ["*"]);
  const startedAt = performance.now();
  for (const tenantId of tenantIds) await record(owner, tenantId, events / endpoints);
  while (receiver.received.length < events) await sleep(5);
  const rate = Math.round(events / ((performance.now() - startedAt) / 1000));
  tell(`${events} events for ${endpoints === 1 ? "one endpoint" : `${endpoints} endpoints`}: ${rate} a second.`);
}

async function record(owner: pg.Pool, tenantId: number, count: number): Promise<void> {
  await owner.query("select app_private.record_event($1, 'payment.settled', $2) from generate_series(1, $3::integer)", [
    tenantId,
    randomUUID(),
    count,
  ]);
}

/** What the relay costs the database with many tenants of which none does anything, and with one that does. */
async function measureIdle(owner: pg.Pool, workerUrl: string): Promise<void> {
  await owner.query(
    `insert into app_public.tenants (slug, name) select 'idle-' || n, 'Idle' from generate_series(1, $1::integer) n`,
    [tenants],
  );
  await owner.query(`select app_private.stream_transactions(id) from app_public.tenants`);
  const pool = new pg.Pool({ connectionString: workerUrl, max: 2 });
  const relay = startRelay({ pool, log });
  try {
    await sleep(3_000);
    tell(`The relay with ${tenants} idle tenants whose streams hold transactions: ${await costOf(owner, 5, false)}.`);
    tell(`The same while something is written elsewhere all the time: ${await costOf(owner, 5, true)}.`);
  } finally {
    await relay.stop();
    await pool.end();
  }
}

/** The time that statements of the relay take in the server, as a share of one core. */
async function costOf(owner: pg.Pool, seconds: number, isBusy: boolean): Promise<string> {
  const spent = async (): Promise<number> => {
    const { rows } = await owner.query<{ ms: number }>(
      `select coalesce(sum(total_time), 0) as ms from pg_stat_user_functions
       where funcname in ('relay_live', 'relay_events')`,
    );
    return rows[0]?.ms ?? 0;
  };
  const before = await spent();
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    if (isBusy) await owner.query("select pg_current_xact_id()");
    await sleep(20);
  }
  await sleep(1_500);
  return `${(((await spent()) - before) / (seconds * 10)).toFixed(2)} % of a core`;
}
