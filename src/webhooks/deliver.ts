import { randomUUID } from "node:crypto";
import type { KeyProvider } from "../crypto/keys.ts";
import { openWebhookSecret } from "../crypto/webhook_secrets.ts";
import { makeOutboundAgents, type OutboundAgents, OutboundError, safeRequest } from "../http/outbound.ts";
import { signedHeaders } from "./signature.ts";

/** What a delivery needs of the worker. */
export interface DeliveryServices {
  query: <Row extends object>(text: string, values: unknown[]) => Promise<{ rows: Row[] }>;
  keys: KeyProvider;
  allowPrivate: boolean;
  signal: AbortSignal | undefined;
  /** Told of what should not happen, such as a secret that does not decrypt. */
  onError: (error: unknown) => void;
}

export interface EndpointKey {
  tenantId: number;
  endpointId: string;
}

/** A row of app_private.take_webhook_delivery. */
interface Delivery {
  event_number: string;
  event_id: string;
  attempt: number;
  url: string;
  body: string;
  secret_ids: string[];
  secret_ciphertexts: Buffer[];
}

/** What came of an attempt, as the list of deliveries shows it. */
interface Attempt {
  status: number | null;
  error: string | null;
  answer: string | null;
  durationMs: number;
}

type Outcome = Omit<Attempt, "durationMs">;

const timeoutMs = 15_000;
const maxAnswerBytes = 65_536;
const shownAnswer = 1024;
// After that another endpoint has its turn.
const turnMs = 5_000;
const turnEvents = 500;

/**
 * Tells an endpoint of what waits for it, one event after the other, over one connection: the next only when the
 * one before it was delivered. Ends when nothing is left, when an attempt fails, or when its turn is over. The
 * reads and writes are database transactions of their own, before and after each request and never around it.
 */
export async function deliverToEndpoint(services: DeliveryServices, endpoint: EndpointKey): Promise<void> {
  const { query, signal } = services;
  const { tenantId, endpointId } = endpoint;
  const key = [tenantId, endpointId, randomUUID()];
  const agents = makeOutboundAgents();
  const endsAt = Date.now() + turnMs;
  try {
    const { rows } = await query<Delivery>("select * from app_private.take_webhook_delivery($1, $2, $3)", key);
    let delivery = rows[0];
    for (let told = 0; delivery !== undefined; told += 1) {
      const isOver = told >= turnEvents || Date.now() >= endsAt || signal?.aborted;
      const made = isOver ? undefined : await send(services, { tenantId, delivery, agents });
      if (made === undefined) {
        await query("select app_private.release_webhook_endpoint($1, $2, $3)", key);
        return;
      }
      delivery = await record(services, key, delivery, made);
    }
  } finally {
    agents.close();
  }
}

/** Writes down what came of an attempt; the next delivery, if there is one to make now. */
async function record(
  { query }: DeliveryServices,
  key: unknown[],
  { event_number, attempt }: Delivery,
  { status, error, answer, durationMs }: Attempt,
): Promise<Delivery | undefined> {
  const { rows } = await query<Delivery>(
    "select * from app_private.record_webhook_delivery($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    [...key, event_number, attempt, status, error, answer, durationMs],
  );
  return rows[0];
}

interface AttemptOptions {
  tenantId: number;
  delivery: Delivery;
  agents: OutboundAgents;
}

/** Makes an attempt. Whatever goes wrong is one that failed, but for our own end: undefined. */
async function send(services: DeliveryServices, options: AttemptOptions): Promise<Attempt | undefined> {
  const startedAt = performance.now();
  const outcome = await request(services, options).catch((error: unknown) => outcomeOf(services, error));
  return outcome && { ...outcome, durationMs: Math.round(performance.now() - startedAt) };
}

function outcomeOf({ onError }: DeliveryServices, error: unknown): Outcome | undefined {
  if (error instanceof OutboundError) {
    return error.reason === "aborted" ? undefined : { status: null, error: error.message, answer: null };
  }
  onError(error);
  return { status: null, error: "The request could not be made.", answer: null };
}

async function request(
  { keys, allowPrivate, signal }: DeliveryServices,
  { tenantId, delivery, agents }: AttemptOptions,
): Promise<Outcome> {
  const { url, body, event_id: id, secret_ids, secret_ciphertexts } = delivery;
  const secrets = await Promise.all(
    secret_ids.map((secretId, index) =>
      openWebhookSecret(keys, { tenantId, secretId }, secret_ciphertexts[index] ?? Buffer.alloc(0)),
    ),
  );
  const headers = signedHeaders({ id, body }, secrets);
  const { status, body: answer } = await safeRequest(url, {
    method: "POST",
    headers,
    body,
    timeoutMs,
    maxBytes: maxAnswerBytes,
    allowPrivate,
    agents,
    signal,
  });
  const isTaken = status >= 200 && status < 300;
  const hidden = [...secrets, ...(headers["webhook-signature"] ?? "").split(" ")];
  return { status, error: isTaken ? null : `The answer has status ${status}.`, answer: shown(answer, hidden) };
}

/** The beginning of an answer, as text that can be stored and shown: what it repeats of our secrets is left out. */
function shown(answer: Buffer, hidden: string[]): string | null {
  let text = answer.toString("utf8");
  for (const secret of hidden) text = text.replaceAll(secret, "[removed]");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is removed.
  const printable = text.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, "").slice(0, shownAnswer);
  return printable.toWellFormed() || null;
}
