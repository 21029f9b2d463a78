import Stripe from "stripe";
import { z } from "zod";
import type { PaymentAnswer, PaymentNews, ProviderMessage } from "../provider.ts";
import { fromStripeAmount, stripeExponent } from "./amounts.ts";

/** What we leave in the metadata of each object: our reference, and the decimals of our currency. */
export const metadataKeys = { reference: "tallystick_reference", exponent: "tallystick_exponent" } as const;

const toleranceSeconds = 300;
const text = (length: number): z.ZodType<string | undefined> =>
  z
    .string()
    .transform((value) => value.slice(0, length))
    .nullish()
    .transform((value) => value ?? undefined) as z.ZodType<string | undefined>;

const problem = z.object({ code: text(100), decline_code: text(100), message: text(1000) }).nullish();

/** The parts of a payment intent, payout or refund that matter here. */
const objectForm = z.object({
  id: z.string().min(1).max(200),
  object: z.enum(["payment_intent", "payout", "refund"]),
  status: z.string().max(100).nullish(),
  amount: z.number().int().min(0),
  amount_received: z.number().int().min(0).nullish(),
  currency: z.string().min(3).max(3),
  metadata: z.record(z.string(), z.string()).nullish(),
  confirmation_method: z.string().nullish(),
  last_payment_error: problem,
  failure_code: text(100),
  failure_message: text(1000),
  failure_reason: text(100),
});

export type StripeObject = z.infer<typeof objectForm>;

const eventForm = z.object({
  id: z.string().min(1).max(200),
  type: z.string().max(200),
  created: z.number().int(),
  data: z.object({
    object: z.looseObject({ object: z.string() }),
    previous_attributes: z.looseObject({ status: z.string().optional() }).nullish(),
  }),
});

const chargeForm = z.object({ refunds: z.object({ data: z.array(objectForm) }).nullish() });

/** Whether Stripe signed the message with one of the secrets, and no longer ago than the tolerance. */
export function isSignedByStripe(secrets: readonly string[], message: ProviderMessage, now = new Date()): boolean {
  const header = message.headers["stripe-signature"];
  if (header === undefined || message.body.length === 0) return false;
  // The package refuses what is too old, and takes what is of the future.
  const seconds = Number(/(?:^|,)t=(\d{1,12})(?:,|$)/.exec(header)?.[1] ?? Number.NaN);
  if (!(seconds <= now.getTime() / 1000 + toleranceSeconds)) return false;
  return secrets.some((secret) => {
    try {
      Stripe.webhooks.constructEvent(message.body, header, secret, toleranceSeconds, undefined, now.getTime());
      return true;
    } catch {
      return false;
    }
  });
}

/** What an event says about payments; nothing if it is about something else. */
export function parseStripeEvent({ body }: Pick<ProviderMessage, "body">): PaymentNews[] {
  const event = eventForm.safeParse(JSON.parse(body.toString("utf8")));
  if (!event.success) return [];
  const { id: messageId, created, data, type } = event.data;
  const wasPaid = data.previous_attributes?.status === "paid";
  return objectsOf(data.object).map((object) => ({
    ...answerOf(object, { wasPaid, hasFailed: type === "payment_intent.payment_failed" }),
    messageId,
    reference: (object.metadata?.[metadataKeys.reference] ?? "").slice(0, 200),
    occurredAt: new Date(created * 1000),
  }));
}

/** A charge that was refunded tells of its refunds, in the versions of the API that list them there. */
function objectsOf(object: { object: string }): StripeObject[] {
  const read = objectForm.safeParse(object);
  if (read.success) return [read.data];
  return object.object === "charge" ? (chargeForm.safeParse(object).data?.refunds?.data ?? []) : [];
}

/** Reads an object of an answer. */
export function readStripeObject(object: unknown): StripeObject {
  return objectForm.parse(object);
}

/** Where an object of Stripe stands, in our words. */
export function answerOf(
  object: StripeObject,
  { wasPaid = false, hasFailed = false }: { wasPaid?: boolean; hasFailed?: boolean } = {},
): PaymentAnswer {
  const currency = object.currency.toUpperCase();
  const given = object.metadata?.[metadataKeys.exponent];
  const exponent = given !== undefined && /^\d{1,2}$/.test(given) ? Number(given) : stripeExponent(currency);
  const state = stateOf(object, hasFailed);
  const moved = state === "settled" ? (object.amount_received ?? object.amount) : object.amount;
  const error = object.last_payment_error;
  return {
    // A payout may fail days after it was paid: then it has come back.
    state: wasPaid && state === "failed" ? "returned" : state,
    providerReference: object.id,
    amount: fromStripeAmount(moved, currency, exponent),
    currency,
    errorCode: object.failure_code ?? object.failure_reason ?? error?.decline_code ?? error?.code,
    message: object.failure_message ?? error?.message,
  };
}

const states: Record<string, PaymentAnswer["state"]> = {
  succeeded: "settled",
  paid: "settled",
  canceled: "cancelled",
  failed: "failed",
};

/** All other states are on the way. One that we confirmed ourselves and that failed is tried no more. */
function stateOf(
  { object, status, metadata, last_payment_error }: StripeObject,
  hasFailed: boolean,
): PaymentAnswer["state"] {
  const isOurs = metadata?.["tallystick_confirmed"] === "true";
  const isRefused = hasFailed || (last_payment_error !== undefined && last_payment_error !== null);
  if (object === "payment_intent" && status === "requires_payment_method" && isOurs && isRefused) return "failed";
  return states[status ?? ""] ?? "submitted";
}
