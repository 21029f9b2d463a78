import { z } from "zod";
import { seededRandom } from "../../../random.ts";
import type { PaymentRequest } from "../provider.ts";

/** What may go wrong with one submission. */
export const faultNames = [
  /** Status 500, and nothing was taken. */
  "fail_before",
  /** Taken, and then status 500. */
  "fail_after",
  /** Taken, and never answered. */
  "time_out_after",
  /** The connection is cut, and nothing was taken. */
  "reset_before",
  /** Taken, and then the connection is cut. */
  "reset_after",
  /** Status 429: surely not taken. */
  "rate_limit",
  /** Another amount is moved than was asked for: one minor unit less. */
  "wrong_amount",
  /** Refused with a code: `decline=account_closed`; without one it is insufficient_funds. */
  "decline",
  /** Submitted first and settled later, whatever the settings are: after a second or `settle_later=<ms>`. */
  "settle_later",
  /** Settled, and returned later: after a second or `return=<ms>`. */
  "return",
] as const;

export interface Fault {
  name: (typeof faultNames)[number];
  /** What stands behind the equals sign. */
  value?: string | undefined;
}

const faultText = z
  .string()
  .refine((text) => readFault(text) !== undefined, { error: `should be one of ${faultNames.join(", ")}` });

const milliseconds = z.number().int().min(0).max(86_400_000);
const share = z.number().min(0).max(1);

/** What goes wrong on purpose, until it is set otherwise. What a request to POST /faults leaves out stays. */
export const faultsForm = z.strictObject({
  /** Each answer waits this long. */
  delayMs: milliseconds.default(0),
  /** Payments are submitted first, and settled so much later. 0: settled in the answer. */
  settleMs: milliseconds.default(0),
  /** `unavailable`: everything but POST /faults answers 503. `reset`: connections are cut. */
  down: z.enum(["no", "unavailable", "reset"]).default("no"),
  /** The socket is closed for so long, so that connections are refused; then it is opened again. */
  refuseMs: milliseconds.default(0),
  /** What happens to the next submissions, one each; an empty text is nothing. */
  next: z
    .array(z.union([z.literal(""), faultText]))
    .max(10_000)
    .default([]),
  /** The share of other submissions that each of these happens to, drawn with the seed. */
  rates: z.partialRecord(z.enum(faultNames), share).default({}),
  seed: z.number().int().default(1),
  /** What happens to the next messages, one each: how often each is sent (0: lost) and how late. */
  nextMessages: z
    .array(z.strictObject({ copies: z.number().int().min(0).max(10).default(1), delayMs: milliseconds.default(0) }))
    .max(10_000)
    .default([]),
  /** All others: how often each is sent, up to how late by chance, and the share that is lost. */
  messageCopies: z.number().int().min(0).max(10).default(1),
  messageJitterMs: milliseconds.default(0),
  loseMessages: share.default(0),
});

export type Faults = z.infer<typeof faultsForm>;
export type FaultChanges = Partial<z.input<typeof faultsForm>>;

/** Reads a fault such as `decline=account_closed`; undefined for what is none. */
export function readFault(text: string): Fault | undefined {
  const match = /^([a-z_]+)(?:=([A-Za-z0-9_.-]{1,100}))?$/.exec(text);
  const name = faultNames.find((known) => known === match?.[1]);
  return name && { name, value: match?.[2] };
}

/** Amounts that mean a fault to a payment, whatever the currency: docs/how-to/connect-a-provider.md lists them too. */
export const magicAmounts: Readonly<Record<string, string>> = {
  "666001": "decline=insufficient_funds",
  "666002": "decline=account_closed",
  "666003": "decline=suspected_fraud",
  "666004": "fail_before",
  "666005": "fail_after",
  "666006": "time_out_after",
  "666007": "reset_after",
  "666008": "wrong_amount",
  "666009": "return",
  "666010": "settle_later",
};

export interface FaultBox {
  readonly faults: Faults;
  set(changes: FaultChanges): Faults;
  /** What is to go wrong with a submission. */
  forSubmission(request: PaymentRequest): Fault | undefined;
  /** How often and how late a message is sent. */
  forMessage(): { copies: number; delayMs: number };
}

/**
 * Decides what goes wrong. A wish in the request itself (`simulate:<fault>` in the text, or a magic amount) counts
 * for the first attempt of each reference only, so that the next one gets through.
 */
export function makeFaultBox(): FaultBox {
  let faults = faultsForm.parse({});
  let random = seededRandom(faults.seed);
  const tried = new Set<string>();

  const wishOf = ({ reference, text, amount }: PaymentRequest): Fault | undefined => {
    if (tried.has(reference)) return undefined;
    tried.add(reference);
    const wish = /\bsimulate:([a-z_]+(?:=[A-Za-z0-9_.-]+)?)/.exec(text ?? "")?.[1] ?? magicAmounts[amount];
    return wish === undefined ? undefined : readFault(wish);
  };
  return {
    get faults() {
      return faults;
    },
    set: (changes) => {
      faults = faultsForm.parse({ ...faults, ...changes });
      if ("seed" in changes) random = seededRandom(faults.seed);
      return faults;
    },
    forSubmission: (request) => {
      const wish = wishOf(request);
      if (wish) return wish;
      const next = faults.next.shift();
      if (next !== undefined) return readFault(next);
      for (const name of faultNames) if (random() < (faults.rates[name] ?? 0)) return { name };
      return undefined;
    },
    forMessage: () => {
      const next = faults.nextMessages.shift();
      if (next) return next;
      const delayMs = Math.floor(random() * faults.messageJitterMs);
      return random() < faults.loseMessages ? { copies: 0, delayMs: 0 } : { copies: faults.messageCopies, delayMs };
    },
  };
}
