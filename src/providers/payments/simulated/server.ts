import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { signedHeaders, type WebhookMessage } from "../../../webhooks/signature.ts";
import type { PaymentRequest } from "../provider.ts";
import { type BookedPayment, type Books, newPayment, openBooks, reportCsv } from "./books.ts";
import { type Fault, type FaultBox, type FaultChanges, type Faults, makeFaultBox } from "./faults.ts";

export interface SimulatedPaymentProviderOptions {
  port: number;
  host?: string;
  /** What requests show as `Authorization: Bearer …`. */
  secret: string;
  /** What messages are signed with. Default: made from the secret, see simulatedWebhookSecret. */
  webhookSecret?: string | undefined;
  /** Where messages go; nowhere until it is set. */
  webhookUrl?: string | undefined;
  /** The file of the books. Default: in memory. */
  booksPath?: string | undefined;
}

export interface SimulatedPaymentProvider {
  readonly url: string;
  readonly webhookSecret: string;
  /** What it has taken, as it stands. */
  payments(): BookedPayment[];
  /** Everything but the wishes in requests; what is left out stays. */
  setFaults(changes: FaultChanges): Faults;
  setWebhookUrl(url: string | undefined): void;
  /** Something that happens outside: a settled payment comes back. */
  returnPayment(reference: string, errorCode?: string): Promise<void>;
  stop(): Promise<void>;
}

/** The secret that messages are signed with where nobody chose one. */
export function simulatedWebhookSecret(secret: string): string {
  return `whsec_${Buffer.from(secret.padEnd(32, "=")).subarray(0, 64).toString("base64")}`;
}

const requestForm = z.object({
  reference: z.string().min(1).max(200),
  kind: z.enum(["pay_in", "pay_out", "refund"]),
  amount: z.string().regex(/^[1-9]\d{0,37}$/),
  currency: z.string().min(1).max(20),
  exponent: z.number().int().min(0).max(18),
  text: z.string().max(1000).optional(),
  counterparty: z.object({ name: z.string(), account: z.string() }).optional(),
  refundOf: z.object({ reference: z.string(), providerReference: z.string() }).optional(),
});

/**
 * A payment provider to try things with: real HTTP and books of its own that survive its end, nothing behind it.
 * `reference` makes a payment: the same again is answered the same, with other facts it is a conflict. What goes
 * wrong is set by POST /faults, and wished by the payments themselves (faults.ts).
 *
 *   POST /payments                     takes a payment
 *   GET  /payments/<reference>         tells how it stands
 *   POST /payments/<reference>/cancel  gives up one that is not settled
 *   POST /payments/<reference>/return  lets a settled one come back: {"errorCode": "AC04"}
 *   GET  /report, /report?format=csv   the books
 *   POST /faults, GET /faults          what goes wrong
 *   POST /webhook                      where messages go: {"url": "…"}
 */
export async function startSimulatedPaymentProvider(
  options: SimulatedPaymentProviderOptions,
): Promise<SimulatedPaymentProvider> {
  const books = await openBooks(options.booksPath);
  const box = makeFaultBox();
  const webhookSecret = options.webhookSecret ?? simulatedWebhookSecret(options.secret);
  const messages = makeMessages({ box, webhookSecret, url: options.webhookUrl });
  const life = makeLife(books, messages);
  const server = createServer((request, response) => {
    route({ box, books, life, messages, secret: options.secret, refuse }, request, response).catch((error: unknown) => {
      if (!response.headersSent) answer(response, 400, { error: "bad_request", message: String(error) });
    });
  });
  const listen = async (port: number): Promise<void> => {
    server.listen(port, options.host ?? "127.0.0.1");
    await once(server, "listening");
  };
  let reopening: Promise<unknown> | undefined;
  const stopping = new AbortController();
  const refuse = (ms: number): void => {
    const { port } = server.address() as AddressInfo;
    server.close();
    // Who asked for it is still answered.
    setTimeout(() => server.closeAllConnections(), 20);
    reopening = sleep(ms, undefined, { signal: stopping.signal })
      .then(() => listen(port))
      .catch(() => undefined);
  };
  await listen(options.port);
  const url = `http://${options.host ?? "127.0.0.1"}:${(server.address() as AddressInfo).port}`;
  life.resume();
  return {
    url,
    webhookSecret,
    payments: books.list,
    setFaults: (changes) => applyFaults(box, changes, refuse),
    setWebhookUrl: messages.setUrl,
    returnPayment: (reference, errorCode) => life.comeBack(reference, errorCode),
    stop: async () => {
      stopping.abort();
      await reopening;
      life.stop();
      messages.stop();
      await close(server);
      await books.close();
    },
  };
}

function applyFaults(box: FaultBox, changes: FaultChanges, refuse: (ms: number) => void): Faults {
  const faults = box.set(changes);
  if (faults.refuseMs > 0) {
    refuse(faults.refuseMs);
    return box.set({ refuseMs: 0 });
  }
  return faults;
}

interface Parts {
  box: FaultBox;
  books: Books;
  life: Life;
  messages: Messages;
  secret: string;
  refuse: (ms: number) => void;
}

async function route(parts: Parts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { box, books, life, messages } = parts;
  const body = await readBody(request);
  if (request.headers.authorization !== `Bearer ${parts.secret}`) {
    return answer(response, 401, { error: "unauthorized" });
  }
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://provider");
  const what = `${request.method} ${pathname}`;
  if (what === "POST /faults") return answer(response, 200, applyFaults(box, parse(body), parts.refuse));
  if (what === "GET /faults") return answer(response, 200, box.faults);
  if (what === "POST /webhook") {
    messages.setUrl(z.object({ url: z.url() }).parse(parse(body)).url);
    return answer(response, 200, {});
  }
  if (what === "GET /report") return report(books, searchParams.get("format"), response);
  if (box.faults.down === "reset") return void request.socket.destroy();
  if (box.faults.down === "unavailable") return answer(response, 503, { error: "unavailable" });
  if (box.faults.delayMs > 0) await sleep(box.faults.delayMs);
  if (what === "POST /payments") return submit(parts, requestForm.parse(parse(body)), response);
  const match = /^\/payments\/([^/]{1,600})(?:\/(cancel|return))?$/.exec(pathname);
  const reference = decodeURIComponent(match?.[1] ?? "");
  if (!books.find(reference)) return answer(response, 404, { error: "not_found" });
  if (request.method === "POST" && match?.[2] === "cancel") await life.cancel(reference);
  if (request.method === "POST" && match?.[2] === "return") {
    await life.comeBack(reference, z.object({ errorCode: z.string().optional() }).parse(parse(body)).errorCode);
  }
  await tell(books, reference, response);
}

async function submit({ box, books, life }: Parts, request: PaymentRequest, response: ServerResponse): Promise<void> {
  const fault = box.forSubmission(request);
  if (fault?.name === "fail_before") return answer(response, 500, { error: "on_purpose" });
  if (fault?.name === "rate_limit") return answer(response, 429, { error: "rate_limit" });
  if (fault?.name === "reset_before") return void response.socket?.destroy();
  const known = books.find(request.reference);
  if (known && !isSame(known, request)) {
    return answer(response, 409, { error: "reference_conflict", message: "The reference is of another payment." });
  }
  if (!known) await life.take(request, fault, box.faults);
  if (fault?.name === "time_out_after") return;
  if (fault?.name === "reset_after") return void response.socket?.destroy();
  if (fault?.name === "fail_after") return answer(response, 500, { error: "on_purpose" });
  await tell(books, request.reference, response);
}

function isSame(known: BookedPayment, request: PaymentRequest): boolean {
  return known.kind === request.kind && known.requested === request.amount && known.currency === request.currency;
}

/** What is told is on the disk. */
async function tell(books: Books, reference: string, response: ServerResponse): Promise<void> {
  await books.written();
  const payment = books.find(reference);
  if (payment) answer(response, 200, publicForm(payment));
}

function publicForm({ id, reference, state, amount, currency, errorCode, message, at }: BookedPayment): object {
  return { id, reference, state, amount, currency, errorCode, message, at };
}

async function report(books: Books, format: string | null, response: ServerResponse): Promise<void> {
  await books.written();
  if (format === "csv") {
    response.writeHead(200, { "content-type": "text/csv; charset=utf-8" }).end(reportCsv(books.list()));
  } else answer(response, 200, { payments: books.list() });
}

interface Life {
  take(request: PaymentRequest, fault: Fault | undefined, faults: Faults): Promise<void>;
  cancel(reference: string): Promise<void>;
  comeBack(reference: string, errorCode?: string): Promise<void>;
  /** Goes on where the books of an earlier process ended. */
  resume(): void;
  stop(): void;
}

/** What becomes of payments in time. */
function makeLife(books: Books, messages: Messages): Life {
  const timers = new Set<NodeJS.Timeout>();
  const after = (time: string | undefined, work: () => Promise<void>): void => {
    if (time === undefined) return;
    const timer = setTimeout(
      () => {
        timers.delete(timer);
        void work();
      },
      Math.max(0, Date.parse(time) - Date.now()),
    );
    timers.add(timer);
  };
  const move = async (payment: BookedPayment, changes: Partial<BookedPayment>): Promise<void> => {
    const moved = { ...payment, ...changes, at: new Date().toISOString() };
    await books.write(moved);
    messages.send(moved);
  };
  const moveFrom = async (
    reference: string,
    state: BookedPayment["state"],
    changes: Partial<BookedPayment>,
  ): Promise<void> => {
    const payment = books.find(reference);
    if (payment?.state === state) await move(payment, changes);
  };
  const comeBack = (reference: string, errorCode = "AC04"): Promise<void> =>
    moveFrom(reference, "settled", { state: "returned", errorCode, message: "Returned by the receiver." });
  const schedule = ({ reference, state, settlesAt, returnsAt }: BookedPayment): void => {
    if (state === "submitted") after(settlesAt, () => moveFrom(reference, "submitted", { state: "settled" }));
    if (state === "submitted" || state === "settled") after(returnsAt, () => comeBack(reference));
  };
  return {
    take: async (request, fault, faults) => {
      const payment = newPayment(request, fateOf(request, fault, faults));
      await books.write(payment);
      messages.send(payment);
      schedule(payment);
    },
    cancel: (reference) => moveFrom(reference, "submitted", { state: "cancelled" }),
    comeBack,
    resume: () => {
      for (const payment of books.list()) schedule(payment);
    },
    stop: () => {
      for (const timer of timers) clearTimeout(timer);
    },
  };
}

function fateOf(request: PaymentRequest, fault: Fault | undefined, faults: Faults): Partial<BookedPayment> {
  const { name, value } = fault ?? {};
  if (name === "decline") {
    return { state: "failed", errorCode: value ?? "insufficient_funds", message: "Declined." };
  }
  const wait = Number(/^\d{1,8}$/.exec(value ?? "")?.[0] ?? 1000);
  const settleMs = name === "settle_later" ? wait : faults.settleMs;
  const at = (ms: number): string => new Date(Date.now() + ms).toISOString();
  return {
    ...(name === "wrong_amount" ? { amount: String(BigInt(request.amount) - 1n) } : {}),
    ...(settleMs > 0 ? { state: "submitted", settlesAt: at(settleMs) } : {}),
    ...(name === "return" ? { returnsAt: at(settleMs + wait) } : {}),
  };
}

interface Messages {
  send(payment: BookedPayment): void;
  setUrl(url: string | undefined): void;
  stop(): void;
}

const attempts = 5;

/** Tells news, signed as Standard Webhooks has it. One that is not taken is sent again a few times. */
function makeMessages(options: { box: FaultBox; webhookSecret: string; url: string | undefined }): Messages {
  const stopping = new AbortController();
  let { url } = options;
  const deliver = async (to: string, message: WebhookMessage, delayMs: number): Promise<void> => {
    const { signal } = stopping;
    await sleep(delayMs, undefined, { signal });
    for (let attempt = 1; attempt <= attempts; attempt += 1) {
      const response = await fetch(to, {
        method: "POST",
        body: message.body,
        headers: signedHeaders(message, [options.webhookSecret]),
        redirect: "error",
        signal: AbortSignal.any([signal, AbortSignal.timeout(10_000)]),
      }).catch(() => undefined);
      await response?.body?.cancel().catch(() => undefined);
      if (response?.ok) return;
      await sleep(100 * 2 ** attempt, undefined, { signal });
    }
  };
  return {
    setUrl: (to) => {
      url = to;
    },
    send: (payment) => {
      const { copies, delayMs } = options.box.forMessage();
      if (url === undefined) return;
      const type = `payment.${payment.state}`;
      const body = JSON.stringify({ type, timestamp: payment.at, data: publicForm(payment) });
      const message = { id: `msg_${randomUUID()}`, body };
      const to = url;
      for (let copy = 0; copy < copies; copy += 1) void deliver(to, message, delayMs).catch(() => undefined);
    },
    stop: () => stopping.abort(),
  };
}

function parse(body: Buffer): Record<string, unknown> {
  return JSON.parse(body.toString("utf8")) as Record<string, unknown>;
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

async function close(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}
