import { expect, test } from "@jest/globals";
import { addJob, queuedJobs, runDueJobs, workerPool } from "../../support/jobs.ts";
import { findViolations, openAccount, openTenant } from "../../support/ledger.ts";
import { insertPayment, makeProvider, movePayment } from "../../support/payments.ts";
import { createTestDatabase } from "../../support/test_database.ts";
import { countersOf } from "../concurrency/crowd.ts";

/* The job that gives up payments that were not submitted in time, run by graphile-worker as in production. */
const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = workerPool(db);

const inTheFuture = (ms: number): string => new Date(Date.now() + ms).toISOString();

test("what is due of every tenant expires, and nothing that was handed to a provider", async () => {
  const wallets: string[] = [];
  const tenants: number[] = [];
  for (let i = 0; i < 2; i += 1) {
    const tenantId = await openTenant(owner);
    const { code: providerCode } = await makeProvider(owner, tenantId);
    const accountId = await openAccount(owner, tenantId, { type: "liability" });
    const out = { kind: "pay_out", accountId, amount: 10, providerCode } as const;
    // More than one batch.
    for (let n = 0; n < 101; n += 1) await insertPayment(owner, tenantId, { ...out, expiresAt: inTheFuture(400) });
    const { id } = await insertPayment(owner, tenantId, { ...out, expiresAt: inTheFuture(400) });
    await movePayment(owner, tenantId, id, "submit");
    await insertPayment(owner, tenantId, { ...out, expiresAt: inTheFuture(600_000) });
    wallets.push(accountId);
    tenants.push(tenantId);
  }
  await owner.query("select pg_sleep(0.5)");
  // The jobs that would hand them to their provider are no part of this.
  await worker.query("update graphile_worker._private_jobs set run_at = now() + interval '1 hour'");
  await addJob(worker, "payments/expire_due");
  await runDueJobs(worker);
  expect(new Set((await queuedJobs(worker)).map(({ task }) => task))).toEqual(new Set(["payments/settle"]));
  const { rows } = await owner.query<{ status: string; count: number }>(
    "select status, count(*)::integer as count from app_public.payments group by status order by status",
  );
  expect(rows).toEqual([
    { status: "reserved", count: 2 },
    { status: "submitted", count: 2 },
    { status: "expired", count: 202 },
  ]);
  for (const wallet of wallets) expect(await countersOf(owner, wallet)).toMatchObject({ pending: -20n });
  for (const tenantId of tenants) expect(await findViolations(owner, tenantId)).toEqual([]);
});
