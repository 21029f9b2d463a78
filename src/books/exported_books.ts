import { createHash } from "node:crypto";
import type { AccountType } from "./account_types.ts";
import { formatUnits } from "./decimal.ts";

/** What the writers of export formats are given: books as plain values, amounts in minor units. */
export interface ExportedBooks {
  tenant: string;
  currencies: { code: string; exponent: number; name: string }[];
  accounts: { code: string; currency: string; type: AccountType; name: string }[];
  /** The day of the earliest transaction, if there is one. */
  firstDate: string | undefined;
}

export interface ExportedTransaction {
  id: string;
  /** YYYY-MM-DD, in UTC. */
  date: string;
  /** The time of that day, such as 17:30:00.5, unless it is midnight. */
  time: string | undefined;
  description: string;
  /** The id of the transaction that this one reverses. */
  reverses: string | undefined;
  /** What an import noted down because the ledger has no column for it. */
  source: { status?: string; code?: string; comment?: string; date2?: string };
  postings: ExportedPosting[];
}

export interface ExportedPosting {
  account: string;
  currency: string;
  exponent: number;
  /** Debits positive. */
  amount: bigint;
  comment: string;
  status: string;
}

/** Writes books in one format, piece by piece. */
export interface BooksWriter {
  header(): string;
  transaction(transaction: ExportedTransaction): string;
  /** What the reader of the export should know, each one a sentence. */
  notes(): string[];
}

export function formatPosting({ amount, exponent }: ExportedPosting): string {
  return formatUnits(amount, exponent);
}

/**
 * Gives every name a legal one. Names that become the same are told apart by a piece of their hash, so a
 * name is always mapped to the same legal one as long as the others stay.
 */
export function mapNames(names: Iterable<string>, toLegal: (name: string) => string): Map<string, string> {
  const byLegal = new Map<string, string[]>();
  for (const name of new Set(names)) {
    const legal = toLegal(name);
    byLegal.set(legal, [...(byLegal.get(legal) ?? []), name]);
  }
  const mapped = new Map<string, string>();
  for (const [legal, all] of byLegal) {
    // A name that is legal as it is keeps itself.
    for (const name of all) mapped.set(name, all.length === 1 || name === legal ? legal : `${legal}-${hashOf(name)}`);
  }
  return mapped;
}

function hashOf(name: string): string {
  return createHash("sha256").update(name).digest("hex").slice(0, 8).toUpperCase();
}
