import { expect, test } from "@jest/globals";
import { pino } from "pino";
import { loadConfig } from "../../../src/config.ts";
import { startWorker } from "../../../src/worker.ts";
import { addJob, queuedJobs, runDueJobs, workerPool } from "../../support/jobs.ts";
import { sealAll } from "../../support/seal.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/* The jobs that make the months of the audit trail and remove them by the rule. */
const db = await createTestDatabase();
const worker = workerPool(db);

const partitions = async (): Promise<string[]> => {
  const { rows } = await db.withClient("superuser", (client) =>
    client.query<{ name: string }>(
      `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
       where i.inhparent = 'app_private.audit_entries'::regclass order by 1`,
    ),
  );
  return rows.map(({ name }) => name);
};

const asOwner = (text: string): Promise<unknown> => db.withClient("owner", (client) => client.query(text));

const runJob = async (task: string): Promise<void> => {
  await addJob(worker, task);
  await runDueJobs(worker);
  expect(await queuedJobs(worker)).toEqual([]);
};

await asOwner("select app_private.create_tenant('acme')");

const writeOldEntries = (months: number[]): Promise<unknown> =>
  asOwner(`insert into app_private.audit_entries (tenant_id, operation, table_name, at)
    select (select id from app_public.tenants), 'read', 'accounts', now() - make_interval(months => m) from unnest(array[${months.join()}]) m`);

test("the job makes the months ahead, and nothing the second time", async () => {
  const before = await partitions();
  expect(before.length).toBeGreaterThan(7);
  // Six months ahead are there after a migration: take two away, as if two months had passed.
  const last = before.filter((name) => /\d$/.test(name)).slice(-2);
  for (const name of last) await asOwner(`drop table app_private.${name}`);
  await runJob("audit/make_partitions");
  expect(await partitions()).toEqual(before);
  await runJob("audit/make_partitions");
  expect(await partitions()).toEqual(before);
});

test("a worker keeps to the retention that it is configured with, and to none without", async () => {
  await writeOldEntries([14, 15, 30]);
  await runJob("audit/make_partitions");
  const before = await partitions();
  await runJob("audit/retire_partitions");
  expect(await partitions()).toEqual(before);

  const config = loadConfig({
    NODE_ENV: "test",
    DATABASE_URL: db.urls.owner,
    TALLYSTICK_JWT_SECRET: "a secret of thirty-two characters or more",
    TALLYSTICK_AUDIT_RETENTION_MONTHS: "24",
  });
  const part = await startWorker({
    config,
    databaseUrl: db.urls.worker,
    log: pino({ level: "silent" }),
    onFatal: () => {},
  });
  await part.stop();
  await runJob("audit/retire_partitions");
  expect((await partitions()).length).toBe(before.length);
  // What is not sealed yet stays: its hashes are what proves later that it was there.
  await sealAll(worker);
  await runJob("audit/retire_partitions");
  expect((await partitions()).length).toBe(before.length - 1);
  await runJob("audit/retire_partitions");
  expect((await partitions()).length).toBe(before.length - 1);
});

test.each(["11", "0", "many"])("a retention of %s months does not start", (months) => {
  expect(() => loadConfig({ NODE_ENV: "test", TALLYSTICK_AUDIT_RETENTION_MONTHS: months })).toThrow(
    /TALLYSTICK_AUDIT_RETENTION_MONTHS should be a whole number from 12/,
  );
});

test("a job that is killed halfway leaves a month whole or gone, and the next one goes on", async () => {
  await asOwner("select app_private.set_audit_retention(12)");
  await sealAll(worker);
  const before = await partitions();
  const victim = await worker.connect();
  await victim.query("begin");
  await victim.query("select app_private.retire_audit_partition()");
  const { rows } = await victim.query<{ pid: number }>("select pg_backend_pid() as pid");
  await db.withClient("superuser", (client) => client.query("select pg_terminate_backend($1)", [rows[0]?.pid]));
  await victim.query("select 1").catch(() => undefined);
  victim.release(true);
  expect(await partitions()).toEqual(before);
  const count = "select count(*)::integer as n from app_private.audit_retirements";
  const retirements = async (): Promise<number | undefined> =>
    (await db.withClient("superuser", (client) => client.query<{ n: number }>(count))).rows[0]?.n;
  const written = (await retirements()) ?? 0;
  await runJob("audit/retire_partitions");
  expect((await partitions()).length).toBe(before.length - 2);
  expect(await retirements()).toBe(written + 2);
});

test("two workers at once make each month once", async () => {
  await writeOldEntries([2, 3, 4, 5]);
  const before = await partitions();
  await Promise.all([1, 2, 3].map(() => worker.query("select app_private.make_audit_partitions(9)")));
  expect((await partitions()).length).toBe(before.length + 4 + 3);
});
