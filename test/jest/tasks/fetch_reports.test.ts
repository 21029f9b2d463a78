import { afterAll, expect, test } from "@jest/globals";
import { simulatedProvider } from "../../../src/providers/payments/simulated/client.ts";
import { startSimulatedPaymentProvider } from "../../../src/providers/payments/simulated/server.ts";
import { addJob, queuedJobs, runDueJobs, taskConfig, workerPool } from "../../support/jobs.ts";
import { findViolations } from "../../support/ledger.ts";
import { makeProvider } from "../../support/payments.ts";
import { balancesOf, breaksOf, makePayment, makeReconciledBooks } from "../../support/reconciliation.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/* The job that fetches what the simulated provider has in its books, and the one that it wakes. */
const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = workerPool(db);
const secret = "the secret of the simulated provider";
const server = await startSimulatedPaymentProvider({ port: 0, secret });
afterAll(() => server.stop());
const provider = simulatedProvider({ url: server.url, apiKey: secret, webhookSecrets: [] });

test("what is new is imported and matched; a provider that is away holds up nobody", async () => {
  const books = await makeReconciledBooks(owner);
  await makeProvider(owner, books.tenantId, { code: "away" });
  const payment = await makePayment(owner, books, { amount: 450, status: "submitted" });
  const reference = payment.id.replaceAll("-", "");
  await provider.submit({ reference, kind: "pay_in", amount: "450", currency: "USD", exponent: 2 });
  await provider.submit({ reference: "of nobody", kind: "pay_out", amount: "70", currency: "USD", exponent: 2 });
  // Nobody settles by asking here.
  await worker.query("delete from graphile_worker._private_jobs");
  const find = async ({ code }: { code: string }): Promise<typeof provider> => {
    if (code === "bank") return provider;
    throw new Error(`${code} does not answer.`);
  };
  for (let round = 0; round < 2; round += 1) {
    await addJob(worker, "reconciliation/fetch_reports");
    await runDueJobs(worker, taskConfig(), find);
  }
  expect(await queuedJobs(worker)).toEqual([]);
  expect(await balancesOf(owner, books)).toEqual({ clearing: 380, suspense: -70, statement: 380 });
  expect(await breaksOf(owner, books)).toMatchObject([{ kind: "payment_missing", amount: "70", flow: "out" }]);
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
});
