import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import Stripe from "stripe";
import { type PaymentProvider, PaymentProviderError } from "../../../src/providers/payments/provider.ts";
import { fromStripeAmount, toStripeAmount } from "../../../src/providers/payments/stripe/amounts.ts";
import { stripeProvider } from "../../../src/providers/payments/stripe/provider.ts";
import { newId } from "../../../src/random.ts";
import { paymentRequest } from "../../support/payment_provider.ts";
import { type StripeServer, startStripeServer } from "../../support/stripe_server.ts";

/* Stripe over its own package, against a server that speaks as Stripe does. */
let stripe: StripeServer;
let provider: PaymentProvider;
const secrets = ["whsec_the_new_one", "whsec_the_old_one"];
const card = { name: "Ann", account: "cus_1/pm_card_visa" };

beforeEach(async () => {
  stripe = await startStripeServer();
  provider = stripeProvider({ apiKey: stripe.apiKey, url: stripe.url, webhookSecrets: secrets, timeoutMs: 300 });
});
afterEach(() => stripe.stop());

async function failure(call: Promise<unknown>): Promise<PaymentProviderError> {
  const error = await call.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  if (error instanceof PaymentProviderError) return error;
  throw error ?? new Error("It did not fail.");
}

const payIn = (changes = {}) =>
  paymentRequest({ kind: "pay_in", reference: newId(), counterparty: card, text: "Rent", ...changes });

describe("money in", () => {
  test("is a payment intent that we confirm, with our reference in it", async () => {
    const request = payIn();
    const answer = await provider.submit(request);
    expect(answer).toMatchObject({ state: "settled", amount: "1250", currency: "EUR" });
    const given = stripe.objects.get(answer.providerReference)?.["given"];
    expect(given).toMatchObject({
      amount: "1250",
      currency: "eur",
      customer: "cus_1",
      payment_method: "pm_card_visa",
      confirm: "true",
      off_session: "true",
      description: "Rent",
      "metadata[tallystick_reference]": request.reference,
    });
    expect(await provider.submit(request)).toEqual(answer);
    expect(stripe.objects.size).toBe(1);
  });

  test("without a payment method waits for the customer", async () => {
    const request = payIn({ counterparty: undefined });
    const answer = await provider.submit(request);
    expect(answer.state).toBe("submitted");
    expect(await provider.cancel(request.reference, answer.providerReference)).toMatchObject({ state: "cancelled" });
  });

  test("that is on its way is found by our reference, also while the search lags behind", async () => {
    const request = payIn({ counterparty: { name: "Ann", account: "pm_slow" } });
    const answer = await provider.submit(request);
    expect(answer.state).toBe("submitted");
    expect(await provider.status(request.reference)).toEqual(answer);
    stripe.isSearchBehind = true;
    expect(await provider.status(request.reference)).toEqual(answer);
    expect(await provider.status(request.reference, answer.providerReference)).toEqual(answer);
    expect(await provider.status(newId())).toBeUndefined();
  });

  test("that is declined is a rejection with the code of the bank, and stays one", async () => {
    const request = payIn({ counterparty: { name: "Ann", account: "pm_card_chargeDeclined" } });
    for (const _attempt of [1, 2]) {
      const error = await failure(provider.submit(request));
      expect(error).toMatchObject({ outcome: "rejected", errorCode: "insufficient_funds" });
    }
    expect(await provider.status(request.reference)).toMatchObject({
      state: "failed",
      errorCode: "insufficient_funds",
    });
  });

  test("from an account that is none of Stripe's is not asked for", async () => {
    const request = payIn({ counterparty: { name: "Ann", account: "DE89370400440532013000" } });
    expect(await failure(provider.submit(request))).toMatchObject({
      outcome: "rejected",
      errorCode: "invalid_account",
    });
    expect(stripe.calls).toEqual([]);
  });
});

describe("money out and back", () => {
  test("is a payout, which is paid later", async () => {
    const request = paymentRequest({ reference: newId(), counterparty: { name: "Ann", account: "ba_1" } });
    const answer = await provider.submit(request);
    expect(answer).toMatchObject({ state: "submitted", amount: "1250" });
    const object = stripe.objects.get(answer.providerReference);
    expect(object?.["given"]).toMatchObject({ destination: "ba_1", currency: "eur" });
    if (object) object["status"] = "paid";
    expect(await provider.status(request.reference)).toMatchObject({ state: "settled" });
    expect(await provider.cancel(request.reference)).toMatchObject({ state: "settled" });
  });

  test("is a refund of the payment intent, whose id may have been lost", async () => {
    const paid = payIn();
    const { providerReference } = await provider.submit(paid);
    const refund = { kind: "refund" as const, reference: newId(), amount: "250" };
    for (const known of [providerReference, ""]) {
      const refundOf = { reference: paid.reference, providerReference: known };
      const answer = await provider.submit(paymentRequest({ ...refund, reference: newId(), refundOf }));
      expect(answer).toMatchObject({ state: "settled", amount: "250", currency: "EUR" });
      expect(stripe.objects.get(answer.providerReference)?.["given"]).toMatchObject({
        payment_intent: providerReference,
      });
    }
    const unknown = { reference: newId(), providerReference: "" };
    expect(await failure(provider.submit(paymentRequest({ ...refund, refundOf: unknown })))).toMatchObject({
      outcome: "rejected",
      errorCode: "not_found",
    });
  });
});

describe("what goes wrong", () => {
  test.each([
    ["429", "unavailable", "rate_limit", false],
    ["409", "unknown", "lock_timeout", false],
    ["500 before", "unknown", undefined, false],
    ["500 after", "unknown", undefined, true],
    ["hang after", "unknown", undefined, true],
  ] as const)("%s is %s", async (fault, outcome, errorCode, isTaken) => {
    stripe.faults.push(fault);
    const request = payIn();
    const error = await failure(provider.submit(request));
    expect(error.outcome).toBe(outcome);
    if (errorCode !== undefined) expect(error.errorCode).toBe(errorCode);
    expect(await provider.status(request.reference)).toEqual(
      isTaken ? expect.objectContaining({ state: "settled" }) : undefined,
    );
    expect(await provider.submit(request)).toMatchObject({ state: "settled" });
    expect([...stripe.objects.keys()]).toHaveLength(1);
    // The package makes no attempts of its own.
    expect(stripe.calls.filter((call) => call === "POST /v1/payment_intents")).toHaveLength(2);
  });

  test("a connection that is cut is tried once more by the package, by the same key", async () => {
    stripe.faults.push("reset", "reset");
    const request = payIn();
    expect((await failure(provider.submit(request))).outcome).toBe("unknown");
    expect(stripe.calls).toHaveLength(2);
    expect(await provider.submit(request)).toMatchObject({ state: "settled" });
    expect([...stripe.objects.keys()]).toHaveLength(1);
  });

  test("a question that is refused says nothing about the payment", async () => {
    const error = await failure(provider.status(newId(), "pi_of_another_account"));
    expect(error).toMatchObject({ outcome: "unknown", errorCode: "resource_missing" });
  });

  test("the key that was used for something else is no refusal", async () => {
    const request = payIn();
    await provider.submit(request);
    expect(await failure(provider.submit({ ...request, amount: "1" }))).toMatchObject({ outcome: "unknown" });
  });

  test("nobody there, and a key that is not good: nothing was taken", async () => {
    const nobody = stripeProvider({ apiKey: stripe.apiKey, url: "http://127.0.0.1:9", webhookSecrets: [] });
    expect(await failure(nobody.submit(payIn()))).toMatchObject({ outcome: "unavailable", errorCode: "ECONNREFUSED" });
    const stranger = stripeProvider({ apiKey: "sk_test_other", url: stripe.url, webhookSecrets: [] });
    expect(await failure(stranger.submit(payIn()))).toMatchObject({ outcome: "unavailable" });
  });

  test("the message of an error holds no key", async () => {
    const stranger = stripeProvider({ apiKey: "sk_test_other_and_secret", url: stripe.url, webhookSecrets: [] });
    const error = await failure(stranger.submit(payIn()));
    expect(JSON.stringify([error.message, error.errorCode])).not.toContain("sk_test_other_and_secret");
  });
});

describe("amounts", () => {
  test.each([
    // What a tenant counts in, and what Stripe does.
    ["1250", "EUR", 2, false, 1250],
    ["12500000", "EUR", 6, false, 1250],
    ["500", "JPY", 0, false, 500],
    ["50000", "JPY", 2, false, 500],
    ["5120", "KWD", 3, false, 5120],
    ["512", "KWD", 2, false, 5120],
    ["5", "ISK", 0, false, 500],
    ["500", "ISK", 2, false, 500],
    ["1045", "HUF", 2, false, 1045],
    ["1000", "HUF", 2, true, 1000],
    ["8000", "TWD", 2, true, 8000],
  ] as const)("%s of %s with %i decimals", (amount, currency, exponent, isPayout, expected) => {
    expect(toStripeAmount({ amount, currency, exponent, isPayout })).toBe(expected);
    expect(fromStripeAmount(expected, currency, exponent)).toBe(amount);
  });

  test.each([
    ["1", "EUR", 3, false],
    ["50", "JPY", 2, false],
    ["5124", "KWD", 3, false],
    ["550", "ISK", 2, false],
    ["1045", "HUF", 2, true],
    ["9007199254740992", "EUR", 2, false],
  ] as const)("%s of %s with %i decimals is not moved", (amount, currency, exponent, isPayout) => {
    expect(() => toStripeAmount({ amount, currency, exponent, isPayout })).toThrow(PaymentProviderError);
  });
});

describe("an event", () => {
  const body = (type: string, object: object, previous?: object): Buffer =>
    Buffer.from(
      JSON.stringify({ id: "evt_1", type, created: 1_700_000_000, data: { object, previous_attributes: previous } }),
    );
  const sign = (payload: Buffer, secret: string, at = Date.now()): Record<string, string> => ({
    "stripe-signature": Stripe.webhooks.generateTestHeaderString({
      payload: payload.toString(),
      secret,
      timestamp: Math.floor(at / 1000),
    }),
  });
  const intent = {
    id: "pi_1",
    object: "payment_intent",
    status: "succeeded",
    amount: 500,
    amount_received: 500,
    currency: "jpy",
    metadata: { tallystick_reference: "our reference", tallystick_exponent: "2", tallystick_confirmed: "true" },
  };
  const payout = { ...intent, id: "po_1", object: "payout", status: "paid", amount_received: undefined };
  const parse = (type: string, object: object, previous?: object) =>
    provider.parseWebhook({ body: body(type, object, previous), headers: {} });

  test("counts if one of the secrets signed it within the time", () => {
    const payload = body("payout.paid", payout);
    for (const secret of secrets)
      expect(provider.verifySignature({ body: payload, headers: sign(payload, secret) })).toBe(true);
    const headers = sign(payload, "whsec_the_new_one");
    const altered = Buffer.from(payload.toString().replace("500", "900"));
    expect(provider.verifySignature({ body: altered, headers })).toBe(false);
    expect(provider.verifySignature({ body: payload, headers: {} })).toBe(false);
    expect(provider.verifySignature({ body: Buffer.alloc(0), headers })).toBe(false);
    expect(provider.verifySignature({ body: payload, headers: sign(payload, "whsec_another") })).toBe(false);
    for (const ms of [301_000, -301_000]) {
      const late = sign(payload, "whsec_the_new_one", Date.now() - ms);
      expect(provider.verifySignature({ body: payload, headers: late })).toBe(false);
      expect(provider.verifySignature({ body: payload, headers }, new Date(Date.now() + ms))).toBe(false);
    }
  });

  test("tells where a payment stands, in our units", () => {
    expect(parse("payment_intent.succeeded", intent)).toEqual([
      {
        messageId: "evt_1",
        reference: "our reference",
        occurredAt: new Date(1_700_000_000_000),
        state: "settled",
        providerReference: "pi_1",
        amount: "50000",
        currency: "JPY",
        errorCode: undefined,
        message: undefined,
      },
    ]);
    expect(parse("payment_intent.canceled", { ...intent, status: "canceled" })).toMatchObject([{ state: "cancelled" }]);
    const last_payment_error = { code: "card_declined", decline_code: "expired_card", message: "It has expired." };
    const failed = { ...intent, status: "requires_payment_method", last_payment_error };
    expect(parse("payment_intent.payment_failed", failed)).toMatchObject([
      { state: "failed", errorCode: "expired_card" },
    ]);
    // The customer may try another card where it is the customer who pays.
    const open = { ...failed, metadata: { ...intent.metadata, tallystick_confirmed: "false" } };
    expect(parse("payment_intent.payment_failed", open)).toMatchObject([{ state: "submitted" }]);
  });

  test("tells of payouts that failed, before they were paid and after", () => {
    expect(parse("payout.paid", payout)).toMatchObject([{ state: "settled", amount: "50000" }]);
    const failed = { ...payout, status: "failed", failure_code: "account_closed", failure_message: "It is closed." };
    expect(parse("payout.failed", failed)).toMatchObject([{ state: "failed", errorCode: "account_closed" }]);
    expect(parse("payout.failed", failed, { status: "paid" })).toMatchObject([{ state: "returned" }]);
  });

  test("tells of refunds, by themselves and in their charge", () => {
    const refund = { ...payout, id: "re_1", object: "refund", status: "succeeded" };
    const expected = [{ state: "settled", providerReference: "re_1", reference: "our reference" }];
    expect(parse("refund.updated", refund)).toMatchObject(expected);
    const charge = { id: "ch_1", object: "charge", amount: 500, refunds: { object: "list", data: [refund] } };
    expect(parse("charge.refunded", charge)).toMatchObject(expected);
    expect(parse("charge.refunded", { ...charge, refunds: null })).toEqual([]);
  });

  test("about something that we did not ask for has no reference of ours", () => {
    expect(parse("payment_intent.succeeded", { ...intent, metadata: {} })).toMatchObject([
      { reference: "", amount: "500", currency: "JPY" },
    ]);
  });

  test("about something else tells nothing", () => {
    expect(parse("customer.created", { id: "cus_1", object: "customer" })).toEqual([]);
    expect(provider.parseWebhook({ body: Buffer.from("[]"), headers: {} })).toEqual([]);
  });
});
