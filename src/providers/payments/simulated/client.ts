import { z } from "zod";
import { isSignedMessage } from "../../../webhooks/verify.ts";
import {
  type PaymentAnswer,
  type PaymentNews,
  type PaymentProvider,
  PaymentProviderError,
  type ProviderMessage,
} from "../provider.ts";

export interface SimulatedProviderOptions {
  /** Where it answers, such as http://127.0.0.1:5691. */
  url: string;
  /** What requests show. */
  apiKey: string;
  /** What its messages are signed with: two while they are in rotation. */
  webhookSecrets: readonly string[];
  /** After how long a call is given up. Default: 10 seconds. */
  timeoutMs?: number;
}

const answerForm = z.object({
  id: z.string().min(1).max(200),
  reference: z.string().min(1).max(200),
  state: z.enum(["submitted", "settled", "failed", "cancelled", "returned"]),
  amount: z.string().regex(/^\d{1,38}$/),
  currency: z.string().min(1).max(20),
  errorCode: z.string().max(100).optional(),
  message: z.string().max(1000).optional(),
});
const messageForm = z.object({ timestamp: z.iso.datetime(), data: answerForm });
const errorForm = z.object({ error: z.string().max(100) });

/** The simulated provider, over HTTP. */
export function simulatedProvider(options: SimulatedProviderOptions): PaymentProvider {
  const { url, apiKey, webhookSecrets, timeoutMs = 10_000 } = options;
  const call = async (path: string, init: RequestInit = {}): Promise<{ status: number; body: unknown }> => {
    try {
      const response = await fetch(`${url}${path}`, {
        ...init,
        headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
        signal: AbortSignal.timeout(timeoutMs),
        redirect: "error",
      });
      return { status: response.status, body: parse(await response.text()) };
    } catch (error) {
      throw noAnswer(error);
    }
  };
  const ask = async (path: string, init?: RequestInit): Promise<PaymentAnswer | undefined> => {
    const { status, body } = await call(path, init);
    if (status === 404) return undefined;
    if (status !== 200) throw refused(status, body);
    return readAnswer(body);
  };
  const pathOf = (reference: string): string => `/payments/${encodeURIComponent(reference)}`;
  return {
    submit: async (request) => {
      const answer = await ask("/payments", { method: "POST", body: JSON.stringify(request) });
      if (!answer) throw new PaymentProviderError("unknown", "The provider answered a payment with 404.");
      return answer;
    },
    status: (reference) => ask(pathOf(reference)),
    cancel: async (reference) => {
      const answer = await ask(`${pathOf(reference)}/cancel`, { method: "POST", body: "{}" });
      if (answer) return answer;
      throw new PaymentProviderError("rejected", "The provider does not know the payment.", { errorCode: "not_found" });
    },
    verifySignature: (message, now) => isSignedMessage(webhookSecrets, message, now),
    parseWebhook: parseSimulatedMessage,
    fetchReport: async () => {
      const { status, body } = await call("/report");
      if (status !== 200) throw refused(status, body);
      return Buffer.from(JSON.stringify(body));
    },
  };
}

/** What a message of the simulated provider says; nothing if it is about something else. */
export function parseSimulatedMessage({ body, headers }: ProviderMessage): PaymentNews[] {
  const message = messageForm.safeParse(parse(body.toString("utf8")));
  const messageId = headers["webhook-id"];
  if (!message.success || messageId === undefined) return [];
  const { reference } = message.data.data;
  const occurredAt = new Date(message.data.timestamp);
  return [{ ...readAnswer(message.data.data), messageId, reference, occurredAt }];
}

function readAnswer(body: unknown): PaymentAnswer {
  const read = answerForm.safeParse(body);
  if (!read.success) throw new PaymentProviderError("unknown", "The provider answered with something else.");
  const { id, state, amount, currency, errorCode, message } = read.data;
  return { state, providerReference: id, amount, currency, errorCode, message };
}

/** Nothing was taken if nobody was there to take it. */
function noAnswer(error: unknown): PaymentProviderError {
  const codes = [error, (error as Error).cause].map((one) => (one as { code?: string } | undefined)?.code);
  const isUnreached = codes.some((code) => code !== undefined && unreached.has(code));
  return new PaymentProviderError(isUnreached ? "unavailable" : "unknown", "The provider does not answer.", {
    cause: error,
    errorCode: codes.find((code) => typeof code === "string"),
  });
}

const unreached = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]);

/** What an answer without success means. 409: the reference is another payment's, which is to be asked for. */
function refused(status: number, body: unknown): PaymentProviderError {
  const errorCode = errorForm.safeParse(body).data?.error;
  const outcome = outcomes[status] ?? (status >= 400 && status < 500 ? "rejected" : "unknown");
  return new PaymentProviderError(outcome, `The provider answered with status ${status}.`, { errorCode });
}

const outcomes: Record<number, PaymentProviderError["outcome"]> = {
  401: "unavailable",
  403: "unavailable",
  408: "unknown",
  409: "unknown",
  429: "unavailable",
  503: "unavailable",
};

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
