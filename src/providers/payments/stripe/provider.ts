import Stripe from "stripe";
import { type PaymentAnswer, type PaymentProvider, PaymentProviderError, type PaymentRequest } from "../provider.ts";
import { paymentIdOf } from "../reference.ts";
import { toStripeAmount } from "./amounts.ts";
import { answerOf, isSignedByStripe, metadataKeys, parseStripeEvent, readStripeObject } from "./events.ts";

export interface StripeProviderOptions {
  apiKey: string;
  /** What its messages are signed with: two while they are in rotation. */
  webhookSecrets: readonly string[];
  /** Where it answers. Default: the API of Stripe. */
  url?: string | undefined;
  /** After how long a call is given up. Default: 20 seconds. */
  timeoutMs?: number;
}

/**
 * Stripe, over its own package. Our reference is the idempotency key, and is in the metadata. Money comes in by
 * payment intents, goes out by payouts, and back by refunds.
 */
export function stripeProvider(options: StripeProviderOptions): PaymentProvider {
  const stripe = new Stripe(options.apiKey, {
    ...addressOf(options.url),
    timeout: options.timeoutMs ?? 20_000,
    // When to try again is decided by the settlement, which asks first. A connection that is cut the package tries
    // once more all the same, by the same key.
    maxNetworkRetries: 0,
    telemetry: false,
  });
  return {
    submit: (request) => asking(async () => read(await create(stripe, request))),
    status: (reference, providerReference) =>
      asking(() => find(stripe, reference, providerReference)).catch((error: PaymentProviderError) => {
        // That a question was refused says nothing about the payment.
        const { outcome, message, errorCode } = error;
        throw new PaymentProviderError(outcome === "rejected" ? "unknown" : outcome, message, {
          cause: error,
          errorCode,
        });
      }),
    cancel: (reference, providerReference) => asking(() => cancel(stripe, reference, providerReference)),
    verifySignature: (message, now) => isSignedByStripe(options.webhookSecrets, message, now),
    parseWebhook: parseStripeEvent,
  };
}

function addressOf(url: string | undefined): Pick<Stripe.StripeConfig, "protocol" | "host" | "port"> {
  if (url === undefined) return {};
  const { protocol, hostname, port } = new URL(url);
  const isPlain = protocol === "http:";
  return { protocol: isPlain ? "http" : "https", host: hostname, port: port || (isPlain ? "80" : "443") };
}

function read(object: unknown): PaymentAnswer {
  return answerOf(readStripeObject(object));
}

async function create(stripe: Stripe, request: PaymentRequest): Promise<unknown> {
  const amount = toStripeAmount({ ...request, isPayout: request.kind === "pay_out" });
  const metadata = { [metadataKeys.reference]: request.reference, [metadataKeys.exponent]: String(request.exponent) };
  const shared = { amount, metadata };
  const currency = request.currency.toLowerCase();
  const idempotency = { idempotencyKey: request.reference };
  if (request.kind === "refund") {
    const payment_intent = await refundedIntent(stripe, request);
    return stripe.refunds.create({ ...shared, payment_intent }, idempotency);
  }
  if (request.kind === "pay_out") {
    const destination = request.counterparty?.account;
    if (destination !== undefined && !/^(ba|card)_\w{1,100}$/.test(destination)) throw invalidAccount("ba_… or card_…");
    const text = request.text === undefined ? {} : { description: request.text };
    return stripe.payouts.create({ ...shared, ...text, currency, ...(destination && { destination }) }, idempotency);
  }
  return stripe.paymentIntents.create(intentOf(request, { ...shared, currency }), idempotency);
}

/**
 * With a payment method on file we confirm it ourselves. Without one the intent waits for the customer, whom the
 * application asks; until then it is submitted.
 */
function intentOf(
  { counterparty, text }: PaymentRequest,
  shared: { amount: number; currency: string; metadata: Record<string, string> },
): Stripe.PaymentIntentCreateParams {
  const described = text === undefined ? shared : { ...shared, description: text };
  const methods = { enabled: true, allow_redirects: "never" } as const;
  if (!counterparty) return { ...described, automatic_payment_methods: { enabled: true } };
  const match = /^(?:(cus_\w{1,100})\/)?(pm_\w{1,100})$/.exec(counterparty.account);
  if (!match?.[2]) throw invalidAccount("pm_… or cus_…/pm_…");
  return {
    ...described,
    metadata: { ...shared.metadata, tallystick_confirmed: "true" },
    automatic_payment_methods: methods,
    ...(match[1] && { customer: match[1] }),
    payment_method: match[2],
    confirm: true,
    off_session: true,
  };
}

async function refundedIntent(stripe: Stripe, { refundOf }: PaymentRequest): Promise<string> {
  if (refundOf?.providerReference) return refundOf.providerReference;
  const found = refundOf && (await find(stripe, refundOf.reference, undefined));
  if (found) return found.providerReference;
  throw new PaymentProviderError("rejected", "Stripe does not know the payment that is refunded.", {
    errorCode: "not_found",
  });
}

function invalidAccount(form: string): PaymentProviderError {
  return new PaymentProviderError("rejected", `The account of the counterparty is not of the form ${form}.`, {
    errorCode: "invalid_account",
  });
}

/** By its id, if we know it; else by the reference in the metadata. */
async function find(
  stripe: Stripe,
  reference: string,
  providerReference: string | undefined,
): Promise<PaymentAnswer | undefined> {
  if (providerReference !== undefined) return read(await retrieve(stripe, providerReference));
  const query = `metadata["${metadataKeys.reference}"]:"${reference.replaceAll(/["\\]/g, "")}"`;
  const intents = await stripe.paymentIntents.search({ query, limit: 1 });
  if (intents.data[0]) return read(intents.data[0]);
  const since = { created: { gte: createdAfter(reference) }, limit: 100 };
  return (
    (await findIn(stripe.payouts.list(since), reference)) ??
    (await findIn(stripe.refunds.list(since), reference)) ??
    // The search lags behind by up to a minute; the list does not.
    (await findIn(stripe.paymentIntents.list(since), reference))
  );
}

function retrieve(stripe: Stripe, id: string): Promise<unknown> {
  if (id.startsWith("pi_")) return stripe.paymentIntents.retrieve(id);
  return id.startsWith("po_") ? stripe.payouts.retrieve(id) : stripe.refunds.retrieve(id);
}

const maxListed = 1_000;

async function findIn(list: AsyncIterable<object>, reference: string): Promise<PaymentAnswer | undefined> {
  let listed = 0;
  for await (const item of list) {
    const object = readStripeObject(item);
    if (object.metadata?.[metadataKeys.reference] === reference) return answerOf(object);
    listed += 1;
    // That it is not among so many does not say that it is not there.
    if (listed >= maxListed) throw new PaymentProviderError("unknown", "Stripe has too many objects to look through.");
  }
  return undefined;
}

/** Our references are UUIDs of version 7, which tell when the payment was asked for: Stripe's object is younger. */
function createdAfter(reference: string): number {
  const id = paymentIdOf(reference);
  const ms = id?.[14] === "7" ? Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16) : Date.now() - 86_400_000;
  return Math.floor(ms / 1000) - 300;
}

async function cancel(
  stripe: Stripe,
  reference: string,
  providerReference: string | undefined,
): Promise<PaymentAnswer> {
  const id = providerReference ?? (await find(stripe, reference, undefined))?.providerReference;
  if (id === undefined) {
    throw new PaymentProviderError("rejected", "Stripe does not know the payment.", { errorCode: "not_found" });
  }
  try {
    if (id.startsWith("pi_")) return read(await stripe.paymentIntents.cancel(id));
    return read(await (id.startsWith("po_") ? stripe.payouts.cancel(id) : stripe.refunds.cancel(id)));
  } catch (error) {
    // Too late: the answer tells how it stands.
    if (error instanceof Stripe.errors.StripeInvalidRequestError) return read(await retrieve(stripe, id));
    throw error;
  }
}

/** Runs a call, and says what it means that there is no answer. */
async function asking<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw error instanceof PaymentProviderError ? error : toProviderError(error);
  }
}

function toProviderError(error: unknown): PaymentProviderError {
  if (!(error instanceof Stripe.errors.StripeError)) {
    return new PaymentProviderError("unknown", "Stripe answered with something else.", { cause: error });
  }
  const errorCode = error.decline_code ?? error.code ?? (error.detail as { code?: string } | undefined)?.code;
  const message = error.message.slice(0, 1000) || "Stripe refused.";
  return new PaymentProviderError(outcomeOf(error), message, { cause: error, errorCode: errorCode ?? error.type });
}

const unreached = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]);

function outcomeOf(error: InstanceType<typeof Stripe.errors.StripeError>): PaymentProviderError["outcome"] {
  const { errors } = Stripe;
  if (error instanceof errors.StripeConnectionError) {
    const code = (error.detail as { code?: string } | undefined)?.code;
    return code !== undefined && unreached.has(code) ? "unavailable" : "unknown";
  }
  // The key was used for something else, or is in use: what became of that is to be asked for.
  if (error instanceof errors.StripeIdempotencyError || error.statusCode === 409) return "unknown";
  if (error instanceof errors.StripeRateLimitError) return "unavailable";
  // Our key is not good, or not for this: nothing was taken.
  if (error instanceof errors.StripeAuthenticationError || error instanceof errors.StripePermissionError) {
    return "unavailable";
  }
  if (error instanceof errors.StripeCardError || error instanceof errors.StripeInvalidRequestError) return "rejected";
  return "unknown";
}
