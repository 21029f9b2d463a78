import { expect, test } from "@jest/globals";
import { addJob, runDueJobs, workerPool } from "../../support/jobs.ts";
import { openTenant } from "../../support/ledger.ts";
import { createTestDatabase } from "../../support/test_database.ts";

const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = workerPool(db);
const task = "api_keys/prune";

async function addNonces(count: number, age: string): Promise<void> {
  const tenantId = await openTenant(owner);
  await owner.query(
    `insert into app_private.api_key_nonces (tenant_id, api_key_id, nonce_hash, expires_at)
     select $1, uuidv7(), sha256(n::text::bytea), now() - $2::interval from generate_series(1, $3::integer) n`,
    [tenantId, age, count],
  );
}
const nonces = async (): Promise<number> => {
  const { rows } = await owner.query("select count(*)::integer as count from app_private.api_key_nonces");
  return rows[0].count as number;
};

test("nonces whose time is over are removed, of all tenants and in batches; the others stay", async () => {
  await addNonces(10_500, "1 second");
  await addNonces(10, "1 day");
  await addNonces(7, "-1 minute");
  await addJob(worker, task);
  await runDueJobs(worker);
  expect(await nonces()).toBe(7);
});

test("a second run changes nothing", async () => {
  await addJob(worker, task);
  await runDueJobs(worker);
  expect(await nonces()).toBe(7);
});
