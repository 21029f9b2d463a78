import { afterAll, beforeEach, describe, expect, test } from "@jest/globals";
import { type SimulatedProvider, startSimulatedProvider } from "../../../src/providers/kyc/simulated.ts";
import { addCustomer } from "../../support/customers.ts";
import { fieldKeys } from "../../support/field_keys.ts";
import { addJob, queuedJobs, runDueJobs, taskConfig, workerPool } from "../../support/jobs.ts";
import { openTenant } from "../../support/ledger.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/* The job that asks the provider of verifications, with a provider that misbehaves. */
const task = "identity/run_kyc_checks";
const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = workerPool(db);
const secret = "the secret that is shared with the provider of verifications";
const provider: SimulatedProvider = await startSimulatedProvider({ port: 0, secret, checkMs: 0 });
afterAll(() => provider.stop());
const config = taskConfig({ TALLYSTICK_KYC_PROVIDER_URL: provider.url, TALLYSTICK_KYC_PROVIDER_SECRET: secret });
const tenantId = await openTenant(owner);

beforeEach(async () => {
  provider.setFaults({ delayMs: 0, failures: 0, failAfterTaking: false });
  await owner.query("delete from app_public.kyc_checks");
});

/** A case in review, with one piece of evidence and a check that waits. */
async function addCheck(): Promise<string> {
  const { caseId } = await addCustomer(owner, fieldKeys("test"), tenantId);
  const { rows } = await owner.query<{ id: string }>(
    "insert into app_public.kyc_checks (tenant_id, case_id) values ($1, $2) returning id",
    [tenantId, caseId],
  );
  return rows[0]?.id ?? "";
}

interface Row {
  status: string;
  attempts: number;
  reference: string | null;
  wait: number | null;
}

async function read(id: string): Promise<Row | undefined> {
  const { rows } = await owner.query<Row>(
    `select status, attempts, provider_reference as reference,
       round(extract(epoch from due_at - updated_at))::integer as wait
     from app_public.kyc_checks where id = $1`,
    [id],
  );
  return rows[0];
}

async function run(): Promise<void> {
  await addJob(worker, task);
  await runDueJobs(worker, config);
  expect(await queuedJobs(worker)).toEqual([]);
}

async function runLater(): Promise<void> {
  await owner.query("update app_public.kyc_checks set due_at = now() where due_at is not null");
  await run();
}

test("hands a check over once, and asks how it stands after that", async () => {
  const slow = await startSimulatedProvider({ port: 0, secret, checkMs: 60_000 });
  const slowConfig = taskConfig({ TALLYSTICK_KYC_PROVIDER_URL: slow.url, TALLYSTICK_KYC_PROVIDER_SECRET: secret });
  const id = await addCheck();
  for (const attempts of [1, 2, 3]) {
    await owner.query("update app_public.kyc_checks set due_at = now() where due_at is not null");
    await addJob(worker, task);
    await runDueJobs(worker, slowConfig);
    expect(await read(id)).toMatchObject({ status: "submitted", attempts, wait: 30 * 2 ** (attempts - 1) });
  }
  expect(slow.checks.size).toBe(1);
  await slow.stop();
});

test("what is not due is left alone", async () => {
  const id = await addCheck();
  await owner.query("update app_public.kyc_checks set due_at = now() + interval '1 minute'");
  await run();
  expect(await read(id)).toMatchObject({ status: "queued", attempts: 0 });
});

test("does nothing while there is no provider", async () => {
  const id = await addCheck();
  await addJob(worker, task);
  await runDueJobs(worker, taskConfig());
  expect(await read(id)).toMatchObject({ status: "queued", attempts: 0 });
});

describe("a provider that fails", () => {
  test("is asked again later, and holds up no other check", async () => {
    const [first, second] = [await addCheck(), await addCheck()];
    provider.setFaults({ failures: 1 });
    await run();
    const rows = [await read(first), await read(second)];
    expect(rows.map((row) => row?.status).sort()).toEqual(["passed", "queued"]);
    expect(rows.find((row) => row?.status === "queued")).toMatchObject({ attempts: 1, wait: 30 });
    await runLater();
    expect((await read(first))?.status).toBe("passed");
    expect((await read(second))?.status).toBe("passed");
  });

  test("after it has taken the check in: it is the same check when it is asked again", async () => {
    const id = await addCheck();
    provider.setFaults({ failures: 1, failAfterTaking: true });
    await run();
    expect(await read(id)).toMatchObject({ status: "queued", reference: null });
    const taken = provider.checks.get(`${tenantId}.${id}`);
    expect(taken).toBeDefined();
    await runLater();
    expect(await read(id)).toMatchObject({ status: "passed", reference: expect.stringMatching(/^sim_/) });
    expect(provider.checks.get(`${tenantId}.${id}`)).toBe(taken);
  });

  test("that is not there at all", async () => {
    const id = await addCheck();
    await addJob(worker, task);
    await runDueJobs(
      worker,
      taskConfig({ TALLYSTICK_KYC_PROVIDER_URL: "http://127.0.0.1:9", TALLYSTICK_KYC_PROVIDER_SECRET: secret }),
    );
    expect(await read(id)).toMatchObject({ status: "queued", attempts: 1 });
  });

  test("that does not know the secret of ours", async () => {
    const id = await addCheck();
    await addJob(worker, task);
    await runDueJobs(
      worker,
      taskConfig({ TALLYSTICK_KYC_PROVIDER_URL: provider.url, TALLYSTICK_KYC_PROVIDER_SECRET: "z".repeat(32) }),
    );
    expect(await read(id)).toMatchObject({ status: "queued", attempts: 1 });
    expect(provider.checks.has(`${tenantId}.${id}`)).toBe(false);
  });
});

test("two workers at once ask about each check once", async () => {
  const ids = await Promise.all(Array.from({ length: 12 }, () => addCheck()));
  provider.setFaults({ delayMs: 20 });
  const other = workerPool(db);
  await Promise.all([addJob(worker, task), addJob(worker, task)]);
  await Promise.all([runDueJobs(worker, config), runDueJobs(other, config)]);
  for (const id of ids) expect(await read(id)).toMatchObject({ status: "passed", attempts: 1 });
});

test("a worker that died while it asked is followed by another", async () => {
  const id = await addCheck();
  // What is left of it: the check was taken, and nothing was written after.
  await worker.query("select app_private.take_due_kyc_check()");
  await run();
  expect(await read(id)).toMatchObject({ status: "queued", attempts: 1 });
  await runLater();
  expect(await read(id)).toMatchObject({ status: "passed", attempts: 2 });
});

test("what the provider says twice, or too late, changes nothing", async () => {
  const id = await addCheck();
  await run();
  const answer = async (status: string): Promise<unknown> => {
    const { rows } = await worker.query<{ recorded: boolean }>(
      "select app_private.record_kyc_check($1, $2, $3::app_public.kyc_check_status, 'other') as recorded",
      [tenantId, id, status],
    );
    return rows[0]?.recorded;
  };
  expect(await answer("failed")).toBe(false);
  expect(await answer("submitted")).toBe(false);
  expect(await read(id)).toMatchObject({ status: "passed", reference: expect.stringMatching(/^sim_/) });
});

test("evidence that does not decrypt is no reason to ask without it", async () => {
  const id = await addCheck();
  await owner.query(
    `update app_public.kyc_evidence e set reference_ciphertext =
       (select o.reference_ciphertext from app_public.kyc_evidence o where o.id <> e.id order by o.created_at limit 1)
     where case_id = (select case_id from app_public.kyc_checks where id = $1)`,
    [id],
  );
  await addJob(worker, task);
  await runDueJobs(worker, config);
  expect((await queuedJobs(worker))[0]?.lastError).toContain("kyc_evidence.reference_ciphertext does not decrypt");
  expect(provider.checks.has(`${tenantId}.${id}`)).toBe(false);
  await worker.query("select graphile_worker.complete_jobs(array_agg(id)) from graphile_worker.jobs");
});
