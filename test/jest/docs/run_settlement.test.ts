import { beforeAll, expect, test } from "@jest/globals";
import { readExamples } from "../../support/examples.ts";
import { fakeProvider } from "../../support/fake_payment_provider.ts";
import { runDueJobs, taskConfig, workerPool } from "../../support/jobs.ts";
import { makeProvider } from "../../support/payments.ts";
import { bootApi } from "../api/_api.ts";

/** The requests of docs/how-to/run-settlement.md run in order, while a provider fails. */
const api = await bootApi();
const worker = workerPool(api.db);
const examples = readExamples("docs/how-to/run-settlement.md");
const ids = new Map<string, string>();
const broken = fakeProvider();
broken.outage = "broken";

beforeAll(async () => {
  await api.db.withClient("owner", async (client) => {
    for (const code of ["bank", "backup"]) await makeProvider(client, api.books.tenant, { code });
  });
});

/** Runs the next request of the page, which is to have this name. */
async function next(name: string) {
  const example = examples.shift();
  expect(example?.query).toMatch(new RegExp(`^(query|mutation) ${name}\\b`));
  const variables = (example?.variables ?? "{}").replace(/<(\w+)>/g, (_, key: string) => ids.get(key) ?? key);
  return api.get(example?.query ?? "", JSON.parse(variables) as Record<string, unknown>);
}

async function bury(): Promise<void> {
  await worker.query("update graphile_worker._private_jobs set max_attempts = 1");
  await runDueJobs(worker, taskConfig(), () => Promise.resolve(broken));
  await worker.query("select app_jobs.bury_jobs()");
}

test("the settings and the routes", async () => {
  expect(await next("Settings")).toEqual({
    setSettlementSettings: {
      settlementSetting: {
        maxAttempts: 5,
        maxAsks: 60,
        retrySeconds: 2,
        pollSeconds: 5,
        failureThreshold: 3,
        openSeconds: 10,
        probes: 3,
      },
    },
    setPaymentErrorPolicy: { paymentErrorPolicy: { errorCode: "limit_*", action: "RETRY" } },
  });
  const { large, others } = await next("Route");
  expect([large.routingRule.priority, others.routingRule.priority]).toEqual([10, 20]);
});

test("a payment that fails for good, its attempts and its dead letter", async () => {
  const { createPayment } = await api.get(
    `mutation ($payment: PaymentInput!) {
      createPayment(input: { payment: $payment }) { payment { id providerCode } } }`,
    { payment: { kind: "PAY_IN", accountId: api.books.wallet, amount: "100" } },
  );
  expect(createPayment.payment.providerCode).toBe("bank");
  ids.set("payment", createPayment.payment.id);
  await bury();
  const { paymentAttempts } = await next("Attempts");
  expect(paymentAttempts.nodes).toMatchObject([
    { number: 1, providerCode: "bank", status: "CALLING", answeredAt: null },
  ]);
});

test("the circuit is tripped and reset", async () => {
  expect(await next("Circuits")).toEqual({ circuitBreakers: { nodes: [] } });
  const { tripCircuitBreaker } = await next("Trip");
  expect(tripCircuitBreaker.circuitBreaker).toMatchObject({ state: "OPEN", reason: "Maintenance until noon." });
  const { resetCircuitBreaker } = await next("Reset");
  expect(resetCircuitBreaker.circuitBreaker.state).toBe("CLOSED");
});

test("the dead letter is rerun, and the next one discarded", async () => {
  const { deadLetters } = await next("DeadLetters");
  expect(deadLetters.nodes).toMatchObject([{ source: "PAYMENT", subjectId: ids.get("payment"), reason: "job_failed" }]);
  ids.set("letter", deadLetters.nodes[0].id);
  expect((await next("Rerun")).rerunDeadLetter.deadLetter.resolution).toBe("RERUN");
  // Its call that never ended counts as out for half a minute.
  await api.db.withClient("owner", (client) =>
    client.query("update app_public.payment_attempts set called_at = called_at - interval '31 seconds'"),
  );
  await bury();
  const again = await api.get("{ deadLetters(filter: { resolvedAt: { isNull: true } }) { nodes { id } } }");
  ids.set("letter", again.deadLetters.nodes[0].id);
  expect((await next("Discard")).discardDeadLetter.deadLetter).toEqual({
    resolution: "DISCARDED",
    note: "Paid by hand.",
  });
  expect(examples).toEqual([]);
});
