import { afterAll, describe, expect, test } from "@jest/globals";
import { type Client, createClient } from "graphql-ws";
import WebSocket from "ws";
import { runDueJobs, taskConfig, workerPool } from "../../support/jobs.ts";
import { relayAll } from "../../support/relay.ts";
import { type Received, startReceiver, verified } from "../../support/webhooks.ts";
import { bootApi, postMutation, transfer } from "./_api.ts";

/* Webhooks as a tenant sees them: over GraphQL, and at a receiver. */
const api = await bootApi({ TALLYSTICK_WEBHOOKS_ALLOW_PRIVATE: "true" });
const { books, otherBooks } = api;
const worker = workerPool(api.db);
const config = taskConfig({ TALLYSTICK_WEBHOOKS_ALLOW_PRIVATE: "true" });
const receiver = await startReceiver();
const clients: Client[] = [];
afterAll(async () => {
  await Promise.all(clients.map((client) => client.dispose()));
  await receiver.stop();
});

const create = /* GraphQL */ `
  mutation ($input: CreateWebhookEndpointInput!) {
    createWebhookEndpoint(input: $input) {
      secret
      webhookEndpoint { id url status eventKinds position { number attempts } }
    }
  }
`;
const list = /* GraphQL */ `
  {
    webhookEndpoints {
      nodes {
        id
        status
        position { number attempts failingSince nextAttemptAt }
        deliveries { nodes { eventNumber eventKind attempt outcome statusCode error answer } }
      }
    }
  }
`;

test("an endpoint is made, told, listed, and its secret shown once", async () => {
  const input = { url: receiver.url, eventKinds: ["transaction.*"], description: "Shop" };
  const { createWebhookEndpoint: made } = await api.get(create, { input });
  expect(made.secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
  expect(made.webhookEndpoint).toMatchObject({ url: receiver.url, status: "ENABLED", position: { number: "0" } });
  receiver.answerWith((response) => response.writeHead(200).end("thanks"));
  await api.get(postMutation, transfer(books.cash, books.wallet, "2500"));
  await relayAll(worker);
  await runDueJobs(worker, config);
  const told = verified(receiver.received[0] as Received, made.secret);
  expect(told).toMatchObject({
    type: "transaction.posted",
    data: { transaction: { postings: [{ accountId: books.cash, amount: "2500" }, { accountId: books.wallet }] } },
  });
  const { webhookEndpoints } = await api.get(list);
  expect(webhookEndpoints.nodes).toMatchObject([
    {
      position: { number: "1", attempts: 0, failingSince: null },
      deliveries: {
        nodes: [{ eventNumber: "1", attempt: 1, outcome: "DELIVERED", statusCode: 200, error: null, answer: "thanks" }],
      },
    },
  ]);
  expect(JSON.stringify(await api.get(list))).not.toContain("whsec_");
  expect((await api.get(list, {}, { tenant: otherBooks.tenant })).webhookEndpoints.nodes).toEqual([]);
  const { errors } = await api.ask(list, {}, { role: "accountant" });
  expect(errors[0]?.extensions.code).toBe("LG402");
});

test("the rest of its life", async () => {
  const { createWebhookEndpoint: made } = await api.get(create, {
    input: { url: receiver.url, eventKinds: ["payment.*"] },
  });
  const { id } = made.webhookEndpoint;
  const change = async (text: string): Promise<Record<string, unknown>> =>
    Object.values(await api.get(`mutation { ${text} }`))[0] as Record<string, unknown>;
  expect(
    await change(
      `updateWebhookEndpoint(input: { id: "${id}", eventKinds: ["*"] }) { webhookEndpoint { url eventKinds } }`,
    ),
  ).toEqual({ webhookEndpoint: { url: receiver.url, eventKinds: ["*"] } });
  const rotated = await change(`rotateWebhookSecret(input: { id: "${id}", overlapSeconds: 60 }) { secret }`);
  receiver.received.length = 0;
  await change(`sendTestEvent(input: { id: "${id}" }) { webhookEndpoint { id } }`);
  await relayAll(worker);
  await runDueJobs(worker, config);
  const test = receiver.received.find(({ body }) => body.includes("webhook_endpoint.tested")) as Received;
  for (const secret of [made.secret, String(rotated["secret"])]) verified(test, secret);
  for (const [name, status] of [
    ["disable", "DISABLED"],
    ["enable", "ENABLED"],
    ["archive", "ARCHIVED"],
  ])
    expect(await change(`${name}WebhookEndpoint(input: { id: "${id}" }) { webhookEndpoint { status } }`)).toEqual({
      webhookEndpoint: { status },
    });
});

describe("a URL that is not called", () => {
  test.each([
    ["with a user", "https://user:secret@example.com/"],
    ["that is none", "nonsense"],
    ["of another kind", "ftp://example.com/"],
  ])("is refused: one %s", async (_name, url) => {
    const { errors } = await api.ask(create, { input: { url, eventKinds: ["*"] } });
    expect(errors[0]).toMatchObject({ extensions: { code: "LG720", detail: { reason: "url" } } });
  });

  test("is not even looked up for those who may not make endpoints", async () => {
    const variables = { input: { url: "https://127.0.0.1/", eventKinds: ["*"] } };
    for (const role of ["customer", "teller", "accountant", "auditor", "anonymous"] as const) {
      const { errors } = await api.ask(create, variables, { role });
      expect([role, errors[0]?.extensions.code]).toEqual([role, expect.stringMatching(/^LG40[12]$/)]);
    }
  });
});

test("staff who see the stream are told of each event as it happens, of their own tenant alone", async () => {
  const subscribe = (role: "accountant" | "customer", tenant: number): { values: unknown[] } => {
    const values: unknown[] = [];
    const client = createClient({
      url: api.url.replace("http", "ws"),
      webSocketImpl: WebSocket,
      connectionParams: { authorization: `Bearer ${api.token({ role, tenant })}` },
      retryAttempts: 0,
      onNonLazyError: () => undefined,
    });
    clients.push(client);
    client.subscribe(
      { query: "subscription { eventOccurred { event { number kind subjectId } } }" },
      {
        next: (value) => values.push(value.errors ?? value.data),
        error: (error) => values.push(error),
        complete: () => undefined,
      },
    );
    return { values };
  };
  for (const tenant of [books.tenant, otherBooks.tenant])
    await api.get("{ currentTenant { slug } }", {}, { tenant, role: "accountant" });
  const ours = subscribe("accountant", books.tenant);
  const theirs = subscribe("accountant", otherBooks.tenant);
  const subject = books.cash;
  const end = Date.now() + 10_000;
  while (ours.values.length === 0 && Date.now() < end) {
    await api.db.withClient("owner", (client) =>
      client.query("select app_private.record_event($1, 'payment.settled', $2)", [books.tenant, subject]),
    );
    await relayAll(worker);
    await new Promise((done) => setTimeout(done, 50));
  }
  expect(ours.values[0]).toMatchObject({ eventOccurred: { event: { kind: "payment.settled", subjectId: subject } } });
  expect(theirs.values).toEqual([]);
});
