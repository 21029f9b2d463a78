import { afterAll, describe, expect, test } from "@jest/globals";
import { makeFindPaymentProvider } from "../../../src/providers/payments/registry.ts";
import { faultsForm, magicAmounts } from "../../../src/providers/payments/simulated/faults.ts";
import { startSimulatedPaymentProvider } from "../../../src/providers/payments/simulated/server.ts";
import { readExamples } from "../../support/examples.ts";
import { fieldKeys } from "../../support/field_keys.ts";
import { runDueJobs, taskConfig, workerPool } from "../../support/jobs.ts";
import { openAccount } from "../../support/ledger.ts";
import { readProjectFile } from "../../support/project_files.ts";
import { addPayment, standing } from "../../support/settlement.ts";
import { bootApi } from "../api/_api.ts";

/** Runs the examples of docs/how-to/connect-a-provider.md in order, and pays through the provider that they set up. */
const path = "docs/how-to/connect-a-provider.md";
const key = "a-key-of-eight-characters-or-more";
const api = await bootApi();
const owner = api.db.pool("owner");
const worker = workerPool(api.db);
const provider = await startSimulatedPaymentProvider({ port: 0, secret: key });
afterAll(() => provider.stop());
const { tenant } = api.books;
const clearing = await openAccount(owner, tenant, { currency: "USD" });
const suspense = await openAccount(owner, tenant, { currency: "USD", type: "liability" });
const examples = readExamples(path);

test("there are examples", () => {
  expect(examples.length).toBe(5);
});

describe("the example", () => {
  test.each(examples.map((example) => [example.line, example] as const))("of line %i runs", async (_line, example) => {
    const variables = example.variables.replace("<clearing>", clearing).replace("<suspense>", suspense);
    const { errors } = await api.ask(example.query, JSON.parse(variables));
    expect(errors).toEqual([]);
  });
});

test("after them a payment settles through the provider", async () => {
  const config = taskConfig({ TALLYSTICK_SIMULATED_PROVIDER_URL: provider.url });
  const query = <Row extends object>(text: string, values: unknown[]): Promise<{ rows: Row[] }> =>
    worker.query<Row & Record<string, unknown>>(text, values);
  const account = await openAccount(owner, tenant, { currency: "USD", type: "liability" });
  const id = await addPayment(owner, { tenantId: tenant, account, clearing: {} }, { provider: "try" });
  await runDueJobs(worker, config, makeFindPaymentProvider({ config, keys: fieldKeys("test"), query }));
  expect(await standing(owner, id)).toBe("settled: try settled");
});

test("the page tells every fault and every amount", () => {
  const page = readProjectFile(path);
  for (const name of Object.keys(faultsForm.shape)) expect(page).toContain(`\`${name}\``);
  for (const amount of Object.keys(magicAmounts)) expect(page).toContain(amount);
});
