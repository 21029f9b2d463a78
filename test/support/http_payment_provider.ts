import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import {
  type PaymentAnswer,
  type PaymentProvider,
  PaymentProviderError,
} from "../../src/providers/payments/provider.ts";

/** A provider behind HTTP, for workers in other processes: its books are here. */
export interface HttpPaymentProvider {
  url: string;
  /** What was paid, by our reference. */
  books: Map<string, PaymentAnswer>;
  calls: string[];
  /** As long as it is set, what was taken is not answered. */
  holding: Promise<void> | undefined;
  stop(): Promise<void>;
}

export async function startHttpProvider(): Promise<HttpPaymentProvider> {
  const server = createServer(async (request, response) => {
    const reference = request.url?.slice(1) ?? "";
    provider.calls.push(`${request.method} ${reference}`);
    if (request.method === "POST" && !provider.books.has(reference)) {
      const { amount, currency } = (await json(request)) as { amount: string; currency: string };
      provider.books.set(reference, { state: "settled", providerReference: `p-${reference}`, amount, currency });
    }
    await provider.holding;
    const answer = provider.books.get(reference);
    response.writeHead(answer ? 200 : 404, { "content-type": "application/json" }).end(JSON.stringify(answer ?? {}));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const provider: HttpPaymentProvider = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    books: new Map(),
    calls: [],
    holding: undefined,
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
  return provider;
}

/** Speaks to it. */
export function httpProvider(url: string): PaymentProvider {
  const ask = async (reference: string, init: RequestInit = {}): Promise<PaymentAnswer | undefined> => {
    try {
      const answer = await fetch(`${url}/${reference}`, init);
      return answer.status === 404 ? undefined : ((await answer.json()) as PaymentAnswer);
    } catch (error) {
      throw new PaymentProviderError("unknown", "The provider brought no answer.", { cause: error });
    }
  };
  const must = async (answer: Promise<PaymentAnswer | undefined>): Promise<PaymentAnswer> => {
    const given = await answer;
    if (given === undefined) throw new PaymentProviderError("rejected", "The provider does not know it.");
    return given;
  };
  return {
    submit: (request) => must(ask(request.reference, { method: "POST", body: JSON.stringify(request) })),
    status: (reference) => ask(reference),
    cancel: (reference) => must(ask(reference)),
    verifySignature: () => false,
    parseWebhook: () => [],
  };
}
