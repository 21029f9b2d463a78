import { type Channel, checkTemplate, type Rendered, renderTemplate, type Template, type View } from "./templates.ts";
import { type Facts, type Reader, viewOf } from "./words.ts";

/** What a message is made of, as the database hands it out. */
export interface Words {
  /** The best words there are for its reader; null for a channel that has none. */
  template: (Template & { language: string; isOwn: boolean }) | null;
  /** Those that come with the ledger. */
  fallback: (Template & { language: string }) | null;
  /** What words of this kind may name. */
  sample: Facts;
}

export interface Message {
  channel: Channel;
  words: Words;
  facts: Facts;
  reader: Omit<Reader, "language">;
  /** What the server adds to the facts, such as a link. */
  more?: View;
}

/**
 * Makes a message. Words of the tenant that cannot be used, which came past the check of them, are replaced by those
 * that come with the ledger.
 */
export function compose({ channel, words, facts, reader, more }: Message): Rendered {
  const { template, fallback, sample } = words;
  const isUsable = template !== null && !(template.isOwn && faultOf(template, sample, reader));
  const chosen = isUsable ? template : fallback;
  if (chosen === null) throw new Error("There are no words for this message.");
  return renderTemplate(channel, chosen, viewOf(facts, { ...reader, language: chosen.language }, more));
}

/** What words of a kind may name: all that its sample does, and what the server adds to it. */
export function sampleView(sample: Facts, reader: Reader): View {
  const hasReceipt = sample["receiptId"] !== undefined;
  return viewOf(sample, reader, hasReceipt ? { receiptUrl: "https://example.com/receipt.pdf" } : {});
}

function faultOf(template: Template & { language: string }, sample: Facts, reader: Message["reader"]): boolean {
  try {
    checkTemplate(template, sampleView(sample, { ...reader, language: template.language }));
    return false;
  } catch {
    return true;
  }
}
