import { setTimeout as sleep } from "node:timers/promises";

/** Calls the API until it answers: a lost answer is asked for again, with the same idempotency key. */
export interface PatientClient {
  /** The data of an operation; throws what it was refused with. */
  ask<Data>(query: string, variables: object): Promise<Data>;
  /** How often it had to ask again. */
  readonly retries: number;
}

interface Answer {
  data?: unknown;
  errors?: { message: string; extensions?: { code?: string; isRetryable?: boolean } }[];
}

const giveUpMs = 120_000;

/** Makes a client of one session. */
export function makePatientClient(url: string, token: string): PatientClient {
  let retries = 0;
  const once = async (body: string): Promise<Answer | undefined> => {
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body,
        signal: AbortSignal.timeout(20_000),
      });
      return response.status >= 500 ? undefined : ((await response.json()) as Answer);
    } catch {
      return undefined;
    }
  };
  return {
    get retries() {
      return retries;
    },
    ask: async <Data>(query: string, variables: object) => {
      const body = JSON.stringify({ query, variables });
      const end = Date.now() + giveUpMs;
      for (;;) {
        const answer = await once(body);
        const error = answer?.errors?.[0];
        if (answer && !error) return answer.data as Data;
        const isLost = !answer || error?.extensions?.isRetryable === true;
        if (!isLost || Date.now() > end) throw new Error(JSON.stringify(error ?? "The API did not answer."));
        retries += 1;
        await sleep(50 + Math.random() * 100);
      }
    },
  };
}
