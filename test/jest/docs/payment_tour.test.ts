import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "@jest/globals";
import { createClient } from "graphql-ws";
import { pino } from "pino";
import WebSocket from "ws";
import type { RunningPart } from "../../../src/api.ts";
import { demoProviderSecret, startDemoProvider } from "../../../src/demo/payment_provider.ts";
import { demoPeople, demoTenant } from "../../../src/demo/people.ts";
import { makeTemporaryDirectory } from "../../../src/postgres/secrets.ts";
import { startWorker } from "../../../src/worker.ts";
import { demoSecret, seedTestDemo } from "../../support/demo.ts";
import { readExamples } from "../../support/examples.ts";
import { taskConfig } from "../../support/jobs.ts";
import { readProjectFile } from "../../support/project_files.ts";
import { type Answer, bootApi } from "../api/_api.ts";

/* The payment of README.md, from request to receipt, with the provider that `npm start` runs and a worker. */
const dataDir = makeTemporaryDirectory("tallystick-tour-");
const provider = await startDemoProvider({ dataDir, secret: demoSecret });
let worker: RunningPart | undefined;
afterAll(async () => {
  await worker?.stop();
  await provider.stop();
  rmSync(dataDir, { recursive: true, force: true });
});
const settings = { TALLYSTICK_SIMULATED_PROVIDER_URL: provider.url };
const api = await bootApi(settings);
await seedTestDemo(api.db);
await provider.tell(api.url.replace("/graphql", ""));
worker = await startWorker({
  config: taskConfig(settings),
  databaseUrl: api.db.urls.worker,
  log: pino({ level: "silent" }),
  onFatal: (error) => {
    throw error;
  },
});

const examples = new Map(readExamples("README.md").map(({ query }) => [/\w+ (\w+)/.exec(query)?.[1], query]));
const { rows } = await api.db.withClient("owner", (client) =>
  client.query<{ tenant: number; ada: string }>(
    `select t.id as tenant, a.id as ada
     from app_public.tenants t join app_public.accounts a on a.tenant_id = t.id and a.code = $2 where t.slug = $1`,
    [demoTenant, /finds\s+the id of `([^`]+)`/.exec(readProjectFile("README.md"))?.[1]],
  ),
);
const { tenant = 0, ada = "" } = rows[0] ?? {};
const admin = { tenant, role: "admin", user: demoPeople.admin.userId } as const;

async function run(name: string, variables: Record<string, unknown> = {}): Promise<Answer["data"]> {
  return api.get(examples.get(name) ?? "", variables, admin);
}

async function eventually<T>(read: () => Promise<T>, isReached: (value: T) => boolean): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    const value = await read();
    if (isReached(value) || attempt > 1600) return value;
    await sleep(50);
  }
}

async function breakProvider(down: "no" | "unavailable"): Promise<void> {
  await fetch(`${provider.url}/faults`, {
    method: "POST",
    headers: { authorization: `Bearer ${demoProviderSecret(demoSecret)}` },
    body: JSON.stringify({ down }),
  });
}

test("a payment is watched, settles, has its history and its receipt", async () => {
  const seen: string[] = [];
  await api.get("{ currentTenant { slug } }", {}, admin);
  const client = createClient({
    url: api.url.replace("http", "ws"),
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${api.token(admin)}` },
  });
  client.subscribe(
    { query: examples.get("Watch") ?? "" },
    {
      next: ({ data }) =>
        void seen.push((data as { paymentMoved: { payment: { status: string } } }).paymentMoved.payment.status),
      error: () => undefined,
      complete: () => undefined,
    },
  );
  await sleep(500);
  const { createPayment } = await run("PayIn", { ada });
  expect(createPayment.payment).toMatchObject({ status: "RESERVED", provider: { code: "simulated" } });
  const id = createPayment.payment.id as string;
  const { payment } = await eventually(
    () => run("Paid", { payment: id }),
    ({ payment: found }) => found.receipt !== null && seen.includes("SETTLED"),
  );
  expect(payment.status).toBe("SETTLED");
  expect(payment.moves.nodes.map(({ toStatus }: { toStatus: string }) => toStatus)).toEqual([
    "REQUESTED",
    "RESERVED",
    "SUBMITTED",
    "SETTLED",
  ]);
  expect(payment.settlementTransaction.postings.nodes).toHaveLength(2);
  // The port of this API is none that it could have known before.
  const { pathname, search } = new URL(payment.receipt.pdfUrl);
  const pdf = await fetch(`${api.url.replace("/graphql", "")}${pathname}${search}`);
  expect([pdf.status, pdf.headers.get("content-type")]).toEqual([200, "application/pdf"]);
  expect(
    Buffer.from(await pdf.arrayBuffer())
      .subarray(0, 5)
      .toString(),
  ).toBe("%PDF-");
  expect(seen.at(-1)).toBe("SETTLED");
  await client.dispose();
});

test("a provider that breaks opens the circuit, and all payments settle once it is mended", async () => {
  await breakProvider("unavailable");
  const pay = examples
    .get("PayIn")
    ?.replace(`idempotencyKey: "tour"`, "idempotencyKey: $key")
    .replace("($ada: UUID!)", "($ada: UUID!, $key: String!)");
  for (let n = 0; n < 8; n += 1) await api.get(pay ?? "", { ada, key: `broken ${n}` }, admin);
  const { circuitBreakers } = await eventually(
    () => run("Circuit"),
    (data) => data.circuitBreakers.nodes[0]?.state === "OPEN",
  );
  expect(circuitBreakers.nodes).toMatchObject([{ provider: { code: "simulated" }, state: "OPEN" }]);
  await breakProvider("no");
  // Nobody waits for its time in a test: the reset is what an accountant may do by hand.
  await api.get(
    `mutation { resetCircuitBreaker(input: { providerCode: "simulated" }) { clientMutationId } }`,
    {},
    admin,
  );
  const { payments } = await eventually(
    () => run("Circuit"),
    (data) => data.payments.nodes.length === 0,
  );
  expect(payments.nodes).toEqual([]);
  const { payments: settled } = await api.get(
    "{ payments(filter: { status: { equalTo: SETTLED } }) { totalCount } }",
    {},
    admin,
  );
  expect(settled.totalCount).toBe(9);
}, 120_000);
