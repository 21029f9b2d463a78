import { randomBytes } from "node:crypto";
import express, { type Request, type RequestHandler, Router } from "express";
import type { Logger } from "pino";
import type { RefusalRecorder } from "../audit/refusal_recorder.ts";
import type { KeyProvider } from "../crypto/keys.ts";
import { openProviderSecret } from "../crypto/provider_secrets.ts";
import type { RefusalCatalog } from "../graphql/refusals.ts";
import { makePgSettings } from "../graphql/request_context.ts";
import type { CallDatabase } from "../identity/database.ts";
import type { PaymentNews, ProviderMessage } from "../providers/payments/provider.ts";
import { parseSimulatedMessage } from "../providers/payments/simulated/client.ts";
import { isSignedByStripe, parseStripeEvent } from "../providers/payments/stripe/events.ts";
import { isSignedMessage } from "../webhooks/verify.ts";
import { callerOf } from "./caller.ts";
import { clientAddress } from "./client_address.ts";
import { sendRefusal, sendStandardError } from "./error_response.ts";
import type { RateLimits } from "./rate_limits.ts";
import { requestIdOf } from "./request_id.ts";

export interface PaymentWebhooksOptions {
  callDatabase: CallDatabase;
  fieldKeys: KeyProvider;
  rateLimits: RateLimits;
  refusals: RefusalCatalog;
  recorder: RefusalRecorder;
  log: Logger;
}

/** Stripe's largest events have some 100 KB. */
const maxBytes = 262_144;

/** How each kind signs its messages and what they say; banks send files. */
const kinds = {
  simulated: { isSigned: isSignedMessage, parse: parseSimulatedMessage },
  stripe: { isSigned: isSignedByStripe, parse: parseStripeEvent },
};

/**
 * Where payment providers tell their news. Whoever is not the provider learns nothing: a tenant or provider that
 * there is not is answered as a wrong signature is, after the same work. A message is written down together with
 * the job that acts on it, and answered after that is committed; the same message again is written down once.
 */
export function paymentWebhooks(options: PaymentWebhooksOptions): Router {
  const router = Router();
  const readBytes = express.raw({ type: () => true, limit: maxBytes, inflate: false });
  router.post(
    "/api/v1/webhooks/payments/:tenantSlug/:providerCode",
    options.rateLimits.limitAddress,
    readBytes,
    takeMessage(options),
  );
  return router;
}

function takeMessage(options: PaymentWebhooksOptions): RequestHandler {
  const { callDatabase, refusals, log } = options;
  return async (request, response) => {
    const body: unknown = request.body;
    const message = { body: Buffer.isBuffer(body) ? body : Buffer.alloc(0), headers: headersOf(request) };
    const sender = await findSender(options, request);
    const isSigned = kinds[sender.kind].isSigned(sender.secrets, message);
    if (!isSigned || sender.tenantId === undefined) {
      refuseSignature(options, request);
      return sendRefusal(response, refusals, { status: 401, code: "LG681" });
    }
    let news: PaymentNews[];
    try {
      news = kinds[sender.kind].parse(message);
    } catch (error) {
      log.warn({ err: error, provider: sender.providerCode }, "a message of a payment provider could not be read");
      return sendStandardError(response, { status: 400, code: "BAD_REQUEST" });
    }
    const [first] = news;
    // About something else: there is nothing to do, and nothing to send again.
    if (first) {
      const values = [sender.tenantId, sender.providerCode, first.messageId, JSON.stringify(news)];
      await callDatabase(callerOf(request), "take_provider_message", values);
    }
    response.status(202).end();
  };
}

interface Sender {
  /** Undefined: there is no such tenant or provider. */
  tenantId: number | undefined;
  providerCode: string;
  kind: keyof typeof kinds;
  secrets: string[];
}

interface SecretRow {
  tenant_id: number;
  kind: Sender["kind"];
  secret_id: string;
  secret_ciphertext: Buffer;
}

/** Who should have signed. Where there is nobody, a secret that nobody knows. */
async function findSender({ callDatabase, fieldKeys }: PaymentWebhooksOptions, request: Request): Promise<Sender> {
  const slug = String(request.params["tenantSlug"]);
  const providerCode = String(request.params["providerCode"]);
  // What no tenant or provider can be called is not looked for: the database does not even take every character.
  const rows = [slug, providerCode].every((name) => /^[a-z][a-z0-9_-]{0,62}$/.test(name))
    ? await callDatabase<SecretRow>(callerOf(request), "find_provider_secrets", [slug, providerCode])
    : [];
  const [row] = rows;
  if (!row) {
    const kind = request.headers["stripe-signature"] === undefined ? "simulated" : "stripe";
    const secrets = [`whsec_${randomBytes(32).toString("base64")}`];
    return { tenantId: undefined, providerCode, kind, secrets };
  }
  const secrets = await Promise.all(
    rows.map(({ tenant_id: tenantId, secret_id: secretId, secret_ciphertext }) =>
      openProviderSecret(fieldKeys, { tenantId, secretId }, secret_ciphertext),
    ),
  );
  return { tenantId: row.tenant_id, providerCode, kind: row.kind, secrets };
}

/** A security event, of which many from one address are one. */
function refuseSignature({ recorder }: PaymentWebhooksOptions, request: Request): void {
  const settings = makePgSettings({
    claims: undefined,
    requestId: requestIdOf(request),
    address: clientAddress(request),
  });
  const { tenantSlug, providerCode } = request.params;
  const shown = (name: unknown): string =>
    String(name)
      .replace(/[^a-z0-9_-]/g, "?")
      .slice(0, 63);
  const detail = { tenant: shown(tenantSlug), provider: shown(providerCode) };
  recorder.record(settings, [{ code: "LG681", action: "paymentWebhook", detail }]);
}

function headersOf(request: Request): ProviderMessage["headers"] {
  return Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : value]),
  );
}
