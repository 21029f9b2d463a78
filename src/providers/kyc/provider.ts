/** What a provider that verifies people is asked. */
export interface CheckRequest {
  /** Ours. Sent again it is the same check: the idempotency key. */
  reference: string;
  level: number;
  evidence: { kind: string; reference: string }[];
}

/** What a provider says about a check. */
export interface CheckAnswer {
  /** The provider's own. */
  id: string;
  status: "submitted" | "passed" | "failed" | "needs_information";
  finding?: string | undefined;
}

/**
 * A provider that verifies people. A call that fails throws a ProviderError, and is made again later: every
 * call may be repeated.
 */
export interface KycProvider {
  submitCheck(request: CheckRequest): Promise<CheckAnswer>;
  getCheck(id: string): Promise<CheckAnswer>;
  /**
   * Verifies a message of the provider and tells which check has news, by our reference; undefined if the
   * message is not the provider's. What the news are is asked with getCheck, never read from here.
   */
  readWebhook(message: { body: Buffer; signature: string | undefined }): { reference: string } | undefined;
}

/** The provider did not do what was asked: it may later. */
export class ProviderError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "ProviderError";
  }
}
