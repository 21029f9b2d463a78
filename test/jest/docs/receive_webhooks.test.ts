import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "@jest/globals";
import { readExamples } from "../../support/examples.ts";
import { runDueJobs, taskConfig, workerPool } from "../../support/jobs.ts";
import { readProjectFile } from "../../support/project_files.ts";
import { relayAll } from "../../support/relay.ts";
import { bootApi, postMutation, transfer } from "../api/_api.ts";

/** The requests of docs/how-to/receive-webhooks.md run in order, and its receiver takes what it is told. */
const allow = { TALLYSTICK_WEBHOOKS_ALLOW_PRIVATE: "true" };
const api = await bootApi(allow);
const worker = workerPool(api.db);
const page = "docs/how-to/receive-webhooks.md";
const [create, ...later] = readExamples(page);
const program = /```js\n([\s\S]*?)```/.exec(readProjectFile(page))?.[1] ?? "";
const ids = new Map<string, string>();
let receiver: ChildProcess | undefined;
let said = "";
afterAll(async () => {
  if (receiver?.exitCode !== null) return;
  receiver.kill();
  await once(receiver, "exit");
});

async function run(example: typeof create) {
  const variables = (example?.variables ?? "").replace(/<([\w ]+)>/g, (_match, name: string) => ids.get(name) ?? name);
  return api.get(example?.query ?? "", JSON.parse(variables) as Record<string, unknown>);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Starts the program of the page. */
async function listen(port: number, secret: string): Promise<void> {
  receiver = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    env: { PORT: String(port), WEBHOOK_SECRET: secret },
    stdio: ["ignore", "pipe", "inherit"],
  });
  receiver.stdout?.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  for (let n = 0; n < 200; n += 1) {
    const answers = await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body: "{}" }).catch(() => undefined);
    if (answers) return expect(answers.status).toBe(400);
    await sleep(50);
  }
}

async function deliver(): Promise<void> {
  await relayAll(worker);
  await runDueJobs(worker, taskConfig(allow));
  await sleep(100);
}

test("a receiver gets what happens, and knows what it has got already", async () => {
  const port = await freePort();
  ids.set("receiver", `http://127.0.0.1:${port}/`);
  const { createWebhookEndpoint: made } = await run(create);
  ids.set("endpoint", made.webhookEndpoint.id);
  await listen(port, made.secret);
  for (const amount of ["5", "6"]) await api.get(postMutation, transfer(api.books.cash, api.books.wallet, amount));
  await deliver();
  expect(said).toBe("transaction.posted 1\ntransaction.posted 2\n");
  const answers = [];
  for (const example of later) {
    answers.push(await run(example));
    await deliver();
  }
  // Told again, the events are the same; the test event is new; with the secret that came first all is well.
  expect(said).toBe("transaction.posted 1\ntransaction.posted 2\nwebhook_endpoint.tested 3\n");
  const { webhookEndpoints } = answers[0];
  expect(webhookEndpoints.nodes[0].deliveries.nodes).toMatchObject([
    { eventNumber: "2", outcome: "DELIVERED", statusCode: 204 },
    { eventNumber: "1", outcome: "DELIVERED", statusCode: 204 },
  ]);
  const { rows } = await worker.query("select 1 from graphile_worker.jobs where last_error is not null");
  expect(rows).toEqual([]);
  await api.get(postMutation, transfer(api.books.cash, api.books.wallet, "7"));
  await deliver();
  expect(said).toContain("transaction.posted 4\n");
}, 60_000);
