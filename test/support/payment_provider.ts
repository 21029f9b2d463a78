import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { PaymentRequest, ProviderMessage } from "../../src/providers/payments/provider.ts";
import { referenceOf } from "../../src/providers/payments/reference.ts";
import { newId } from "../../src/random.ts";

/** A payment to ask a provider for. */
export function paymentRequest(changes: Partial<PaymentRequest> = {}): PaymentRequest {
  return { reference: referenceOf(newId()), kind: "pay_out", amount: "1250", currency: "EUR", exponent: 2, ...changes };
}

export interface MessageCatcher {
  url: string;
  messages: ProviderMessage[];
  /** Resolves when there are so many. */
  reached(count: number): Promise<void>;
  /** How the next ones are answered. Default: 202. */
  answers: number[];
  stop(): Promise<void>;
}

/** Where webhooks are sent to in tests: it keeps what comes, as it came. */
export async function catchMessages(): Promise<MessageCatcher> {
  const messages: ProviderMessage[] = [];
  const answers: number[] = [];
  let wake = (): void => undefined;
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    messages.push({ body: Buffer.concat(chunks), headers: request.headers as Record<string, string> });
    response.writeHead(answers.shift() ?? 202).end();
    wake();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    messages,
    answers,
    reached: async (count) => {
      while (messages.length < count) await new Promise<void>((resolve) => (wake = resolve));
    },
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}
