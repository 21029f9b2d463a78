import { afterAll, afterEach } from "@jest/globals";
import pg from "pg";
import type { DatabaseUrls } from "../../src/postgres/bootstrap.ts";
import { withClient } from "../../src/postgres/client.ts";
import { withUrl } from "../../src/postgres/urls.ts";
import { type TestServerAddress, templates } from "./server.ts";

export type Login = keyof DatabaseUrls | "superuser";

/** A migrated database of one test file's own. */
export interface TestDatabase {
  name: string;
  /** Connection URLs, one a login. `superuser` sees everything and is bound by nothing. */
  urls: DatabaseUrls & { superuser: string };
  /** Runs `work` on a connection of its own. What it does stays done. */
  withClient<T>(login: Login, work: (client: pg.Client) => Promise<T>): Promise<T>;
  /** Runs `work` inside a database transaction that is rolled back at the end. */
  withRollback<T>(login: Login, work: (client: pg.Client) => Promise<T>): Promise<T>;
  /** A pool that is ended after the last test of the file. */
  pool(login: Login, options?: pg.PoolConfig): pg.Pool;
}

export interface TestDatabaseOptions {
  /** With pgTAP and the helpers of its files. */
  pgtap?: boolean;
  /** "all": thousands of tests that only tell what was done before the first of them. Default: each test is checked. */
  checkAfter?: "each" | "all";
}

/**
 * Copies the migrated template for this test file. Call it at the top level of the file:
 *
 *     const db = await createTestDatabase();
 *
 * After each test it fails if a database transaction was left open; after the last one it fails
 * if a connection was left open, and drops the database.
 */
export async function createTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const address = serverAddress();
  const admin = new pg.Client({ connectionString: address.superuserUrl, application_name: "test hygiene" });
  admin.on("error", () => undefined);
  await admin.connect();
  const name = `test_${process.pid}_${Math.random().toString(36).slice(2, 10)}`;
  await cloneTemplate(admin, name, options.pgtap ? templates.pgtap : templates.plain);
  const on = (url: string): string => withUrl(url, { database: name });
  const urls = {
    owner: on(address.owner),
    api: on(address.api),
    worker: on(address.worker),
    superuser: on(address.superuserUrl),
  };
  const pools: pg.Pool[] = [];
  if (options.checkAfter !== "all") afterEach(() => assertNothingOpen(admin, name, "idle in transaction"));
  afterAll(async () => {
    await Promise.all(pools.map((pool) => pool.end()));
    try {
      await assertNothingOpen(admin, name, "any");
    } finally {
      await admin.query(`drop database if exists ${name} with (force)`);
      await admin.end();
    }
  });
  return {
    name,
    urls,
    withClient: (login, work) => withClient(urls[login], work),
    withRollback: (login, work) => withClient(urls[login], (client) => rolledBack(client, work)),
    pool: (login, poolOptions) => {
      const pool = new pg.Pool({ connectionString: urls[login], max: 4, ...poolOptions });
      pools.push(pool);
      return pool;
    },
  };
}

function serverAddress(): TestServerAddress {
  const text = process.env["TALLYSTICK_TEST_SERVER"];
  if (text === undefined)
    throw new Error("No test server is running. Run tests with `npm test` or `npm run test:file`.");
  return JSON.parse(text) as TestServerAddress;
}

/** Rights on a database are not copied with it, so they are granted again (see afterReset.sql). */
async function cloneTemplate(admin: pg.Client, name: string, template: string): Promise<void> {
  // Copied as files: block by block, through the log, takes three times as long.
  await admin.query(`create database ${name} template ${template} owner tallystick_owner strategy file_copy`);
  await admin.query(`revoke all on database ${name} from public;
    grant connect on database ${name} to tallystick_api, tallystick_worker;
    grant create on database ${name} to tallystick_worker`);
}

async function rolledBack<T>(client: pg.Client, work: (client: pg.Client) => Promise<T>): Promise<T> {
  await client.query("begin");
  try {
    return await work(client);
  } finally {
    await client.query("rollback");
  }
}

/** Fails if the database still has sessions; a session that is just closing gets a moment. */
async function assertNothingOpen(admin: pg.Client, name: string, what: "any" | "idle in transaction"): Promise<void> {
  const filter = what === "any" ? "true" : "state like 'idle in transaction%'";
  for (let attempt = 0; ; attempt += 1) {
    const { rows } = await admin.query<{ line: string }>(
      `select format('  %s as %s, %s: %s', application_name, usename, state, left(query, 100)) as line
         from pg_stat_activity where datname = $1 and backend_type = 'client backend' and ${filter}`,
      [name],
    );
    if (rows.length === 0) return;
    const problem = what === "any" ? "connections open" : "database transactions open";
    if (attempt === 20) throw new Error([`The tests left ${problem}:`, ...rows.map((row) => row.line)].join("\n"));
    await admin.query("select pg_sleep(0.05)");
  }
}
