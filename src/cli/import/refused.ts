import type { UnknownName } from "../../books/import_rules.ts";
import type { JournalTransaction } from "../../books/journal.ts";
import { quote } from "../../books/journal.ts";

interface LineRange {
  from: number;
  to: number;
}

interface RefusedTransaction extends LineRange {
  txnidx: string;
  reasons: string[];
}

/**
 * What is not imported, with its lines. A name that nobody can place is told once, with all the lines
 * that wait for it, however many transactions use it.
 */
export class Refused {
  /** Lines that belong to no transaction. */
  readonly strays: { line: number; problem: string }[] = [];
  readonly #transactions = new Map<number, RefusedTransaction>();
  readonly #names = new Map<string, UnknownName & { lines: LineRange[] }>();

  get transactions(): number {
    return this.#transactions.size;
  }

  get isEmpty(): boolean {
    return this.#transactions.size === 0 && this.strays.length === 0;
  }

  has(transaction: JournalTransaction): boolean {
    return this.#transactions.has(transaction.firstLine);
  }

  add(transaction: JournalTransaction | RefusedTransaction, reasons: string[], unknown: UnknownName[] = []): void {
    const { from, to } =
      "from" in transaction ? transaction : { from: transaction.firstLine, to: transaction.lastLine };
    const refused = this.#transactions.get(from) ?? { from, to, txnidx: transaction.txnidx, reasons: [] };
    refused.reasons.push(...reasons);
    this.#transactions.set(from, refused);
    for (const name of unknown) {
      const key = `${name.kind} ${name.name}`;
      const entry = this.#names.get(key) ?? { ...name, lines: [] };
      if (entry.lines.at(-1)?.from !== from) entry.lines.push({ from, to });
      this.#names.set(key, entry);
    }
  }

  /** All of it, as lines for people. */
  describe(): string[] {
    const lines = this.strays.map(({ line, problem }) => `  line ${line}: ${problem}`);
    const named = [...this.#transactions.values()].filter(({ reasons }) => reasons.length > 0);
    for (const { from, to, txnidx, reasons } of named.sort((a, b) => a.from - b.from)) {
      lines.push(`  ${formatLines([{ from, to }])} (txnidx ${txnidx}): ${[...new Set(reasons)].join("; ")}`);
    }
    for (const { kind, name, lines: ranges } of this.#names.values()) {
      lines.push(`  ${formatLines(ranges)}: ${describeUnknown(kind, name)}`);
    }
    return lines;
  }
}

function describeUnknown(kind: UnknownName["kind"], name: string): string {
  if (kind === "account") {
    const parent = name.includes(":") ? `${name.split(":", 1)[0]}:*` : name;
    const what = `the type of the account ${quote(name)} cannot be told from its name`;
    return `${what}; --account-type '${parent}=asset', for example, would tell it`;
  }
  if (name === "") return "the commodity is empty; --default-currency USD, for example, would tell it";
  return `the commodity ${quote(name)} is not a currency's code; --currency '${name}=USD', for example, would tell it`;
}

/** Line numbers for people: neighbours are joined, so 2-3 and 4-5 become 2-5. */
export function formatLines(ranges: readonly LineRange[]): string {
  const joined: LineRange[] = [];
  for (const { from, to } of ranges) {
    const last = joined.at(-1);
    if (last && from <= last.to + 1) last.to = Math.max(last.to, to);
    else joined.push({ from, to });
  }
  const parts = joined.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`));
  const single = joined.length === 1 && joined[0]?.from === joined[0]?.to;
  return `${single ? "line" : "lines"} ${parts.join(", ")}`;
}
