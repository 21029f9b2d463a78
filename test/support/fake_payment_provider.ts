import {
  type PaymentAnswer,
  type PaymentProvider,
  PaymentProviderError,
  type PaymentRequest,
} from "../../src/providers/payments/provider.ts";

/** What a call does: `lost` and `taken` bring no answer, without and with the payment having been taken. */
export type Fault = "broken" | "lost" | "rejected" | "taken" | "unavailable" | { code: string; outcome: Outcome };
type Outcome = PaymentProviderError["outcome"];

/** A provider in this process that keeps books of its own, and fails where it is told to. */
export interface FakeProvider extends PaymentProvider {
  /** What was paid, by our reference: a reference is paid once, however often it is asked for. */
  books: Map<string, PaymentAnswer>;
  /** Every call, in order. */
  calls: string[];
  requests: PaymentRequest[];
  /** What the next calls do; those after them succeed. */
  faults: Fault[];
  /** What every call does as long as it is set. */
  outage: Fault | undefined;
  /** What a payment that is taken answers with. Default: settled. */
  answer: (request: PaymentRequest) => Partial<PaymentAnswer>;
  /** Awaited inside every call, before anything is done and before it answers. */
  before: (call: string) => Promise<void>;
  after: (call: string) => Promise<void>;
}

export function fakeProvider(name = "fake"): FakeProvider {
  const fail = (fault: Fault): never => {
    if (fault === "broken") throw new Error("The provider has a mistake.");
    const known = typeof fault === "object" ? fault : undefined;
    const outcome = known?.outcome ?? (fault === "rejected" || fault === "unavailable" ? fault : ("unknown" as const));
    throw new PaymentProviderError(outcome, `${name} says ${outcome}`, { errorCode: known?.code });
  };
  const perform = async <T>(call: string, work: () => T): Promise<T> => {
    provider.calls.push(call);
    await provider.before(call);
    const fault = provider.outage ?? provider.faults.shift();
    const result = fault === undefined || fault === "taken" ? work() : fail(fault);
    await provider.after(call);
    return fault === undefined ? result : fail(fault);
  };
  const take = (request: PaymentRequest): PaymentAnswer => {
    provider.requests.push(request);
    const known = provider.books.get(request.reference);
    if (known) return known;
    const { reference, amount, currency } = request;
    const answer = {
      state: "settled" as const,
      providerReference: `${name}-${reference}`,
      amount,
      currency,
      ...provider.answer(request),
    };
    provider.books.set(reference, answer);
    return answer;
  };
  const provider: FakeProvider = {
    books: new Map(),
    calls: [],
    requests: [],
    faults: [],
    outage: undefined,
    answer: () => ({}),
    before: () => Promise.resolve(),
    after: () => Promise.resolve(),
    submit: (request) => perform("submit", () => take(request)),
    status: (reference) => perform("status", () => provider.books.get(reference)),
    cancel: (reference) =>
      perform("cancel", () => {
        const known = provider.books.get(reference);
        if (known === undefined) throw new PaymentProviderError("rejected", "nothing to cancel");
        if (known.state === "submitted") known.state = "cancelled";
        return known;
      }),
    verifySignature: () => false,
    parseWebhook: () => [],
  };
  return provider;
}
