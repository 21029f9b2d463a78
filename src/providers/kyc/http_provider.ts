import { z } from "zod";
import { type CheckAnswer, type KycProvider, ProviderError } from "./provider.ts";
import { isSignedBy } from "./signature.ts";

export interface HttpProviderOptions {
  /** Where the provider answers, such as https://kyc.example.com/v1. */
  url: string;
  /** Shared with the provider: sent with requests, and the key of its signatures. */
  secret: string;
  /** After how long a call is given up. Default: 10 seconds. */
  timeoutMs?: number;
}

const answerForm = z.object({
  id: z.string().min(1).max(200),
  status: z.enum(["submitted", "passed", "failed", "needs_information"]),
  finding: z.string().max(1000).optional(),
});

const webhookForm = z.object({ reference: z.string().max(200) });

/** A provider over HTTP with JSON: the simulated one speaks the same. */
export function httpProvider({ url, secret, timeoutMs = 10_000 }: HttpProviderOptions): KycProvider {
  const call = async (path: string, init: RequestInit = {}): Promise<CheckAnswer> => {
    const response = await fetch(`${url}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${secret}`, "content-type": "application/json", ...init.headers },
      signal: AbortSignal.timeout(timeoutMs),
      redirect: "error",
    }).catch((error: unknown) => {
      throw new ProviderError("The provider of verifications does not answer.", { cause: error });
    });
    const text = await response.text().catch(() => "");
    if (!response.ok) throw new ProviderError(`The provider of verifications answered with status ${response.status}.`);
    const answer = answerForm.safeParse(parse(text));
    if (!answer.success) throw new ProviderError("The provider of verifications answered with something else.");
    return answer.data;
  };
  return {
    submitCheck: (request) =>
      call("/checks", {
        method: "POST",
        body: JSON.stringify(request),
        headers: { "idempotency-key": request.reference },
      }),
    getCheck: (id) => call(`/checks/${encodeURIComponent(id)}`),
    readWebhook: ({ body, signature }) => {
      if (!isSignedBy(secret, body, signature)) return undefined;
      return webhookForm.safeParse(parse(body.toString("utf8"))).data;
    },
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
