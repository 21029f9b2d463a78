/** What a provider is asked to do with a payment. */
export interface PaymentRequest {
  /** Ours, the same for ever: what the provider knows the payment by, and the key that makes asking twice once. */
  reference: string;
  kind: "pay_in" | "pay_out" | "refund";
  /** Minor units, as a string of digits. */
  amount: string;
  currency: string;
  /** How many of the digits of `amount` are behind the point. */
  exponent: number;
  /** What the other side reads on its statement. */
  text?: string | undefined;
  /** Whom the money comes from or goes to, with the number of their account in clear. */
  counterparty?: { name: string; account: string; bic?: string | undefined; country?: string | undefined } | undefined;
  /** For refunds: our reference, and the provider's, of the payment that is given back. */
  refundOf?: { reference: string; providerReference: string } | undefined;
}

/** Where a payment stands with the provider. */
export interface PaymentAnswer {
  state: "submitted" | "settled" | "failed" | "cancelled" | "returned";
  /** What the provider calls it. */
  providerReference: string;
  /**
   * What was moved in fact, in minor units; it should be what was asked for, and is compared. Of a payment that
   * moved nothing: what it would have moved.
   */
  amount: string;
  currency: string;
  /** Why it failed or came back, as the provider codes it. */
  errorCode?: string | undefined;
  message?: string | undefined;
}

/** News about a payment, from a message of the provider whose signature was good. */
export interface PaymentNews extends PaymentAnswer {
  /** The id of the message: the same message again is the same news. */
  messageId: string;
  /** Ours. */
  reference: string;
  occurredAt: Date;
}

/** A message as it arrived: the bytes that were signed, and the headers in lower case. */
export interface ProviderMessage {
  body: Buffer;
  headers: Record<string, string | undefined>;
}

/**
 * Somebody who moves money outside. Every call may be repeated: `reference` makes it the same payment. A call
 * that does not bring an answer throws a PaymentProviderError.
 */
export interface PaymentProvider {
  /** Asks for a payment. */
  submit(request: PaymentRequest): Promise<PaymentAnswer>;
  /** How a payment stands, by our reference; undefined if the provider has never heard of it. */
  status(reference: string, providerReference?: string): Promise<PaymentAnswer | undefined>;
  /** Asks that a payment be not made. The answer tells whether that was still possible. */
  cancel(reference: string, providerReference?: string): Promise<PaymentAnswer>;
  /** Whether a message was signed by the provider within the time window. */
  verifySignature(message: ProviderMessage, now?: Date): boolean;
  /** What a message says about payments; none if it is about something else. Verify it first. */
  parseWebhook(message: ProviderMessage): PaymentNews[];
  /** All payments in its books, for reconciliation, where it tells them over its API: see src/statements/report.ts. */
  fetchReport?(): Promise<Buffer>;
}

/**
 * The provider brought no answer. What that means for the payment:
 * - `unknown`: it may have been taken (time-out, connection lost, 5xx): ask before trying again;
 * - `unavailable`: it was surely not taken (connection refused, 429, 503 before reading): try again later;
 * - `rejected`: it was refused for good, and trying again would be in vain.
 */
export class PaymentProviderError extends Error {
  readonly outcome: "unknown" | "unavailable" | "rejected";
  /** The provider's own code, if it gave one. */
  readonly errorCode: string | undefined;

  constructor(
    outcome: PaymentProviderError["outcome"],
    message: string,
    options: ErrorOptions & { errorCode?: string | undefined } = {},
  ) {
    super(message, options);
    this.name = "PaymentProviderError";
    this.outcome = outcome;
    this.errorCode = options.errorCode;
  }
}
