import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { Webhook } from "standardwebhooks";
import { projectRoot } from "../../../src/paths.ts";
import { type PaymentProvider, PaymentProviderError } from "../../../src/providers/payments/provider.ts";
import { simulatedProvider } from "../../../src/providers/payments/simulated/client.ts";
import {
  type SimulatedPaymentProvider,
  simulatedWebhookSecret,
  startSimulatedPaymentProvider,
} from "../../../src/providers/payments/simulated/server.ts";
import { catchMessages, type MessageCatcher, paymentRequest } from "../../support/payment_provider.ts";

/* The simulated provider: a server with books of its own, its faults, and the client of it. */
const secret = "the secret that is shared with the simulated provider";
const folder = mkdtempSync(join(tmpdir(), "tallystick-simulated-"));
afterAll(() => rmSync(folder, { recursive: true }));

let server: SimulatedPaymentProvider;
let client: PaymentProvider;
let catcher: MessageCatcher;
const clientOf = (to: SimulatedPaymentProvider, timeoutMs = 2_000): PaymentProvider =>
  simulatedProvider({ url: to.url, apiKey: secret, webhookSecrets: [to.webhookSecret], timeoutMs });

beforeEach(async () => {
  catcher = await catchMessages();
  server = await startSimulatedPaymentProvider({ port: 0, secret, webhookUrl: catcher.url });
  client = clientOf(server);
});
afterEach(async () => {
  await server.stop();
  await catcher.stop();
});

/** How a call failed. */
async function failure(call: Promise<unknown>): Promise<PaymentProviderError> {
  const error = await call.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  if (error instanceof PaymentProviderError) return error;
  throw error ?? new Error("It did not fail.");
}

describe("a payment", () => {
  test("is taken once, whoever asks how often", async () => {
    const request = paymentRequest();
    const answers = await Promise.all([client.submit(request), client.submit(request), client.submit(request)]);
    expect(answers[0]).toMatchObject({ state: "settled", amount: "1250", currency: "EUR" });
    expect(answers).toEqual([answers[0], answers[0], answers[0]]);
    expect(await client.status(request.reference)).toEqual(answers[0]);
    expect(server.payments()).toHaveLength(1);
  });

  test.each([{ amount: "1251" }, { currency: "USD" }, { kind: "pay_in" as const }])(
    "of the same reference and other facts is a conflict: %j",
    async (changes) => {
      const request = paymentRequest();
      await client.submit(request);
      const error = await failure(client.submit({ ...request, ...changes }));
      expect(error).toMatchObject({ outcome: "unknown", errorCode: "reference_conflict" });
      expect(server.payments()).toHaveLength(1);
    },
  );

  test("that was never asked for is not known", async () => {
    expect(await client.status("never")).toBeUndefined();
    expect(await failure(client.cancel("never"))).toMatchObject({ outcome: "rejected", errorCode: "not_found" });
  });

  test("may settle later, and be given up until then", async () => {
    const [first, second] = [paymentRequest(), paymentRequest()];
    server.setFaults({ settleMs: 500 });
    expect(await client.submit(first)).toMatchObject({ state: "submitted" });
    // So late that it is given up before, on a slow machine as well.
    server.setFaults({ settleMs: 60_000 });
    expect(await client.submit(second)).toMatchObject({ state: "submitted" });
    expect(await client.cancel(second.reference)).toMatchObject({ state: "cancelled" });
    await catcher.reached(4);
    expect(await client.status(first.reference)).toMatchObject({ state: "settled" });
    expect(await client.cancel(first.reference)).toMatchObject({ state: "settled" });
    expect(await client.status(second.reference)).toMatchObject({ state: "cancelled" });
  });

  test("comes back when the outside wants it", async () => {
    const request = paymentRequest();
    await client.submit(request);
    await server.returnPayment(request.reference, "MD07");
    expect(await client.status(request.reference)).toMatchObject({ state: "returned", errorCode: "MD07" });
  });

  test("shows the key, and nobody without it is told anything", async () => {
    const stranger = simulatedProvider({ url: server.url, apiKey: "another", webhookSecrets: [] });
    expect(await failure(stranger.submit(paymentRequest()))).toMatchObject({ outcome: "unavailable" });
    expect((await fetch(`${server.url}/report`)).status).toBe(401);
    expect(server.payments()).toHaveLength(0);
  });
});

describe("what goes wrong on purpose", () => {
  const quick = (): PaymentProvider => clientOf(server, 200);

  test.each([
    ["fail_before", "unknown", false],
    ["fail_after", "unknown", true],
    ["time_out_after", "unknown", true],
    ["reset_before", "unknown", false],
    ["reset_after", "unknown", true],
    ["rate_limit", "unavailable", false],
  ] as const)("%s", async (fault, outcome, isTaken) => {
    server.setFaults({ next: [fault] });
    const request = paymentRequest();
    expect((await failure(quick().submit(request))).outcome).toBe(outcome);
    expect(await client.status(request.reference)).toEqual(
      isTaken ? expect.objectContaining({ state: "settled" }) : undefined,
    );
    expect(await client.submit(request)).toMatchObject({ state: "settled" });
    expect(server.payments()).toHaveLength(1);
  });

  test("wrong_amount, decline and return", async () => {
    server.setFaults({ next: ["wrong_amount", "decline=account_closed", "return=50"] });
    expect(await client.submit(paymentRequest())).toMatchObject({ state: "settled", amount: "1249" });
    const declined = { state: "failed", errorCode: "account_closed", amount: "1250" };
    expect(await client.submit(paymentRequest())).toMatchObject(declined);
    const returned = paymentRequest();
    expect(await client.submit(returned)).toMatchObject({ state: "settled" });
    await catcher.reached(4);
    expect(await client.status(returned.reference)).toMatchObject({ state: "returned", errorCode: "AC04" });
  });

  test("is wished by a payment itself, for its first attempt", async () => {
    const byAmount = paymentRequest({ amount: "666004" });
    const byText = paymentRequest({ text: "Rent simulate:fail_before" });
    for (const request of [byAmount, byText]) {
      expect(await failure(client.submit(request))).toMatchObject({ outcome: "unknown", errorCode: "on_purpose" });
      expect(await client.submit(request)).toMatchObject({ state: "settled" });
    }
    const declined = { state: "failed", errorCode: "suspected_fraud" };
    expect(await client.submit(paymentRequest({ amount: "666003" }))).toMatchObject(declined);
  });

  test("happens to a share of all, the same for the same seed", async () => {
    const draw = async (): Promise<(string | undefined)[]> => {
      server.setFaults({ seed: 7, rates: { decline: 0.3, fail_before: 0.2 } });
      const states: (string | undefined)[] = [];
      for (let n = 0; n < 30; n += 1) {
        states.push(
          await client.submit(paymentRequest()).then(
            ({ state }) => state,
            () => "error",
          ),
        );
      }
      return states;
    };
    const first = await draw();
    expect(new Set(first)).toEqual(new Set(["settled", "failed", "error"]));
    expect(await draw()).toEqual(first);
  });

  test("down: nothing is taken, and the faults can still be set", async () => {
    const request = paymentRequest();
    server.setFaults({ down: "unavailable" });
    expect(await failure(client.submit(request))).toMatchObject({ outcome: "unavailable" });
    server.setFaults({ down: "reset" });
    expect(await failure(client.status(request.reference))).toMatchObject({ outcome: "unknown" });
    const init = { method: "POST", headers: { authorization: `Bearer ${secret}` } };
    const set = (faults: object): Promise<Response> =>
      fetch(`${server.url}/faults`, { ...init, body: JSON.stringify(faults) });
    expect((await set({ down: "maybe" })).status).toBe(400);
    expect((await set({ down: "no", refuseMs: 200 })).status).toBe(200);
    expect(await failure(client.submit(request))).toMatchObject({ outcome: "unavailable", errorCode: "ECONNREFUSED" });
    await sleep(300);
    expect(await client.submit(request)).toMatchObject({ state: "settled" });
  });

  test("slow answers are waited for, and given up", async () => {
    server.setFaults({ delayMs: 300 });
    const request = paymentRequest();
    expect(await failure(quick().submit(request))).toMatchObject({ outcome: "unknown" });
    server.setFaults({ delayMs: 0 });
    await sleep(300);
    expect(server.payments()).toHaveLength(1);
  });
});

describe("messages", () => {
  test("are signed as Standard Webhooks has it", async () => {
    const request = paymentRequest();
    const answer = await client.submit(request);
    await catcher.reached(1);
    const [message] = catcher.messages;
    if (!message) throw new Error("There is no message.");
    const known = new Webhook(server.webhookSecret);
    expect(known.verify(message.body, message.headers as Record<string, string>)).toMatchObject({
      type: "payment.settled",
    });
    expect(client.verifySignature(message)).toBe(true);
    expect(client.parseWebhook(message)).toEqual([
      {
        ...answer,
        reference: request.reference,
        messageId: message.headers["webhook-id"],
        occurredAt: expect.any(Date),
      },
    ]);
    const [altered, other] = [Buffer.from(message.body), simulatedWebhookSecret("another secret, which is not ours")];
    altered[20] = (altered[20] ?? 0) ^ 1;
    expect(client.verifySignature({ ...message, body: altered })).toBe(false);
    expect(client.verifySignature(message, new Date(Date.now() + 301_000))).toBe(false);
    expect(client.verifySignature(message, new Date(Date.now() - 301_000))).toBe(false);
    const stranger = simulatedProvider({ url: server.url, apiKey: secret, webhookSecrets: [other] });
    expect(stranger.verifySignature(message)).toBe(false);
    const rotating = simulatedProvider({
      url: server.url,
      apiKey: secret,
      webhookSecrets: [other, server.webhookSecret],
    });
    expect(rotating.verifySignature(message)).toBe(true);
  });

  test("are lost, doubled and out of order where that is wished, and sent again until they are taken", async () => {
    server.setFaults({ nextMessages: [{ copies: 0 }, { copies: 2 }, { delayMs: 300 }, {}] });
    const requests = [paymentRequest(), paymentRequest(), paymentRequest(), paymentRequest()];
    for (const request of requests) await client.submit(request);
    await catcher.reached(4);
    const told = catcher.messages.flatMap((message) => client.parseWebhook(message));
    expect(told.map(({ reference }) => requests.findIndex((one) => one.reference === reference)).slice(-1)).toEqual([
      2,
    ]);
    expect(told.map(({ reference }) => requests.findIndex((one) => one.reference === reference)).sort()).toEqual([
      1, 1, 2, 3,
    ]);
    expect(new Set(told.map(({ messageId }) => messageId)).size).toBe(3);
    catcher.answers.push(500, 503);
    await client.submit(paymentRequest());
    await catcher.reached(7);
    const ids = catcher.messages.slice(4).map(({ headers }) => headers["webhook-id"]);
    expect(new Set(ids).size).toBe(1);
  });

  test("about something else say nothing of payments", () => {
    for (const body of ["", "null", "{}", '{"data":{"state":"paid"}}']) {
      expect(client.parseWebhook({ body: Buffer.from(body), headers: { "webhook-id": "msg_1" } })).toEqual([]);
    }
  });
});

describe("the books", () => {
  test("are told as JSON and as CSV", async () => {
    const request = paymentRequest({ reference: 'a "b", c' });
    await client.submit(request);
    const get = (query: string): Promise<Response> =>
      fetch(`${server.url}/report${query}`, { headers: { authorization: `Bearer ${secret}` } });
    expect(await (await get("")).json()).toEqual({ payments: server.payments() });
    const [header, row] = (await (await get("?format=csv")).text()).split("\r\n");
    expect(header).toBe("reference,id,kind,amount,currency,exponent,state,error_code,taken_at,time");
    expect(row).toMatch(/^"a ""b"", c",simpay_[0-9a-f-]{36},pay_out,1250,EUR,2,settled,,2/);
  });

  test("survive the end of the process, and what was to happen later happens", async () => {
    const booksPath = join(folder, "books", "payments.jsonl");
    const run = async (): Promise<{ url: string; kill: () => Promise<void> }> => {
      const main = "src/providers/payments/simulated/main.ts";
      const child = spawn(process.execPath, [main, "--port", "0", "--secret", secret, "--books", booksPath], {
        cwd: projectRoot,
        stdio: ["ignore", "pipe", "inherit"],
      });
      const [line] = (await once(child.stdout, "data")) as [Buffer];
      const url = /http:\S+(?=\.)/.exec(line.toString())?.[0] ?? "";
      const kill = async (): Promise<void> => {
        child.kill("SIGKILL");
        await once(child, "exit");
      };
      return { url, kill };
    };
    const secretOf = simulatedWebhookSecret(secret);
    const clientAt = (url: string): PaymentProvider =>
      simulatedProvider({ url, apiKey: secret, webhookSecrets: [secretOf] });
    const [settled, later, lost] = [paymentRequest(), paymentRequest({ text: "simulate:settle_later=500" }), "half"];
    const first = await run();
    const answer = await clientAt(first.url).submit(settled);
    expect(await clientAt(first.url).submit(later)).toMatchObject({ state: "submitted" });
    await first.kill();
    appendFileSync(booksPath, `{"reference":"${lost}","amou`);
    await sleep(500);
    const second = await run();
    const client = clientAt(second.url);
    expect(await client.status(settled.reference)).toEqual(answer);
    expect(await client.submit(settled)).toEqual(answer);
    expect(await client.status(lost)).toBeUndefined();
    for (let n = 0; n < 50 && (await client.status(later.reference))?.state !== "settled"; n += 1) await sleep(20);
    expect(await client.status(later.reference)).toMatchObject({ state: "settled" });
    await second.kill();
    const lines = readFileSync(booksPath, "utf8").trim().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { state: string }).state)).toEqual([
      "settled",
      "submitted",
      "settled",
    ]);
  }, 20_000);
});
