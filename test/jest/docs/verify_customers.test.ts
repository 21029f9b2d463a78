import { afterAll, describe, expect, test } from "@jest/globals";
import { startSimulatedProvider } from "../../../src/providers/kyc/simulated.ts";
import { readExamples } from "../../support/examples.ts";
import { addJob, runDueJobs, taskConfig, workerPool } from "../../support/jobs.ts";
import { bootApi, type Caller } from "../api/_api.ts";

/** Runs the examples of docs/how-to/verify-customers.md in order, each as the one that its first line names. */
const secret = "the secret that is shared with the provider of verifications";
const provider = await startSimulatedProvider({ port: 0, secret, checkMs: 0 });
afterAll(() => provider.stop());
const api = await bootApi();
const worker = workerPool(api.db);
const examples = readExamples("docs/how-to/verify-customers.md");
let caseId = "";

/** What the worker does every minute. */
async function work(): Promise<void> {
  await addJob(worker, "identity/run_kyc_checks");
  const settings = { TALLYSTICK_KYC_PROVIDER_URL: provider.url, TALLYSTICK_KYC_PROVIDER_SECRET: secret };
  await runDueJobs(worker, taskConfig(settings));
}

test("there are examples", () => {
  expect(examples.length).toBeGreaterThan(7);
});

describe("the example", () => {
  test.each(examples.map((example) => [example.line, example] as const))("of line %i runs", async (_line, example) => {
    const role = /^# as the (customer|admin)\n/.exec(example.query)?.[1];
    expect(role).toBeDefined();
    const caller: Caller = role === "customer" ? { role, user: api.books.customer } : { role: "admin" };
    const answer = await api.ask(example.query, JSON.parse(example.variables.replaceAll("<case>", caseId)), caller);
    expect(answer.errors).toEqual([]);
    const { openKycCase } = answer.data as { openKycCase?: { kycCase: { id: string } } };
    caseId = openKycCase?.kycCase.id ?? caseId;
    await work();
  });
});

test("after them the customer is verified", async () => {
  const data = await api.get(
    "{ kycProfile { currentLevel status } }",
    {},
    { role: "customer", user: api.books.customer },
  );
  expect(data).toEqual({ kycProfile: { currentLevel: 2, status: "VERIFIED" } });
});
