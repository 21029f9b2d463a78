import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type CsvRecord, CsvSplitter } from "./csv.ts";
import { type Decimal, type DecimalMark, maxScale, parseDecimal } from "./decimal.ts";

/** The columns that `hledger print -O csv` writes, in its order. Those that must be there come first below. */
export const journalColumns = [
  "txnidx",
  "date",
  "date2",
  "status",
  "code",
  "description",
  "comment",
  "account",
  "amount",
  "commodity",
  "credit",
  "debit",
  "posting-status",
  "posting-comment",
] as const;

type Column = (typeof journalColumns)[number];

const requiredColumns: readonly Column[] = ["txnidx", "date", "account", "amount"];

/** What the rows of one transaction share. */
const sharedColumns = ["date", "date2", "status", "code", "description", "comment"] as const;

/** One posting of a journal. `amount` is missing if it cannot be read; the reason is a problem then. */
export interface JournalPosting {
  line: number;
  account: string;
  commodity: string;
  amount: Decimal | undefined;
  status: string;
  comment: string;
}

/** The rows of a journal that stand together under one txnidx. */
export interface JournalTransaction extends Record<(typeof sharedColumns)[number], string> {
  txnidx: string;
  firstLine: number;
  lastLine: number;
  postings: JournalPosting[];
  /** What is wrong with its rows, each with its line. */
  problems: string[];
}

/** A line that belongs to no transaction, such as a header with an unknown column. */
export interface StrayProblem {
  line: number;
  problem: string;
}

export interface JournalOptions {
  /** The columns' decimal mark where numbers carry group marks too; without it `1,234` is refused. */
  decimalMark?: DecimalMark | undefined;
  onBytes?: (bytes: number) => void;
}

/** What a reading of the whole file tells at its end. */
export interface JournalSummary {
  sha256: string;
  rows: number;
}

/**
 * Reads a journal as a stream, some transactions at a time, in memory for those only. Whatever cannot
 * be read becomes a problem, with its line; reading always goes on to the end.
 */
export async function* readJournal(
  path: string,
  options: JournalOptions = {},
): AsyncGenerator<(JournalTransaction | StrayProblem)[], JournalSummary> {
  const hash = createHash("sha256");
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const splitter = new CsvSplitter();
  const grouper = new Grouper(options.decimalMark);
  for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 })) {
    const bytes = chunk as Buffer;
    hash.update(bytes);
    options.onBytes?.(bytes.length);
    yield grouper.take(splitter.push(decoder.decode(bytes, { stream: true })));
  }
  yield [...grouper.take(splitter.push(decoder.decode(), true)), ...grouper.finish()];
  return { sha256: hash.digest("hex"), rows: grouper.rows };
}

class Grouper {
  rows = 0;
  #columns: Map<Column, number> | undefined;
  #width = 0;
  #current: JournalTransaction | undefined;
  readonly #decimalMark: DecimalMark | undefined;

  constructor(decimalMark: DecimalMark | undefined) {
    this.#decimalMark = decimalMark;
  }

  take(records: CsvRecord[]): (JournalTransaction | StrayProblem)[] {
    const out: (JournalTransaction | StrayProblem)[] = [];
    for (const record of records) {
      if (this.#columns === undefined) out.push(...this.#takeHeader(record));
      else this.#takeRow(record, out);
    }
    return out;
  }

  finish(): (JournalTransaction | StrayProblem)[] {
    if (this.#columns === undefined)
      return [{ line: 1, problem: "the file is empty: there is no line of column names" }];
    const last = this.#current;
    this.#current = undefined;
    return last ? [last] : [];
  }

  #takeHeader({ line, cells, fault }: CsvRecord): StrayProblem[] {
    const problems: string[] = fault === undefined ? [] : [fault];
    const columns = new Map<Column, number>();
    const names = cells.map((cell) => cell.trim().toLowerCase());
    names.forEach((name, index) => {
      const column = journalColumns.find((known) => known === name);
      if (column === undefined) problems.push(`${quote(name)} is not a column that the import knows; it is left out`);
      else if (columns.has(column)) problems.push(`the column ${quote(name)} is there twice; the first one counts`);
      else columns.set(column, index);
    });
    const missing = requiredColumns.filter((column) => !columns.has(column));
    if (missing.length > 0) {
      problems.push(`there is no column ${missing.map(quote).join(" or ")}; line 1 must name the columns`);
    }
    this.#columns = columns;
    this.#width = cells.length;
    return problems.map((problem) => ({ line, problem }));
  }

  #takeRow({ line, cells, fault }: CsvRecord, out: (JournalTransaction | StrayProblem)[]): void {
    this.rows += 1;
    const text = (column: Column): string => {
      const index = this.#columns?.get(column);
      return index === undefined ? "" : (cells[index] ?? "").trim();
    };
    const txnidx = text("txnidx");
    let fatal = fault;
    if (fault === undefined && cells.length !== this.#width) {
      fatal = `the row has ${cells.length} cells and the file has ${this.#width} columns`;
    } else if (fault === undefined && txnidx === "") fatal = "the txnidx is empty";
    // A row that cannot be told apart spoils the transaction that it stands in or follows.
    if (fatal !== undefined && (txnidx === "" || !this.#columns?.has("txnidx"))) {
      if (this.#current) this.#spoil(this.#current, line, fatal);
      else out.push({ line, problem: fatal });
      return;
    }
    if (this.#current?.txnidx !== txnidx) {
      if (this.#current) out.push(this.#current);
      this.#current = startTransaction(txnidx, line, text);
    }
    const current = this.#current;
    current.lastLine = line;
    // What the rows share is taken from the first one that can be read.
    if (fatal === undefined && current.postings.length === 0) Object.assign(current, readShared(text));
    if (cells.some((cell) => cell.includes("\0") || cell.includes("\uFFFD"))) {
      this.#spoil(current, line, "there are bytes in the row that are not text in UTF-8");
    }
    if (fatal === undefined) readPosting(current, line, text, this.#decimalMark);
    else this.#spoil(current, line, fatal);
  }

  #spoil(transaction: JournalTransaction, line: number, problem: string): void {
    transaction.lastLine = line;
    transaction.problems.push(`line ${line}: ${problem}`);
  }
}

type ReadCell = (column: Column) => string;

function readShared(text: ReadCell): Pick<JournalTransaction, (typeof sharedColumns)[number]> {
  const cells = sharedColumns.map((column) => [column, text(column)]);
  return Object.fromEntries(cells) as Pick<JournalTransaction, (typeof sharedColumns)[number]>;
}

function startTransaction(txnidx: string, line: number, text: ReadCell): JournalTransaction {
  const shared = readShared(text);
  const transaction = { txnidx, firstLine: line, lastLine: line, postings: [], problems: [] as string[], ...shared };
  const say = (problem: string): void => void transaction.problems.push(`line ${line}: ${problem}`);
  if (!isDate(shared.date)) say(`${quote(shared.date)} is not a date such as 2026-01-31`);
  if (shared.date2 !== "" && !isDate(shared.date2)) say(`${quote(shared.date2)} in date2 is not a date`);
  if ([...txnidx].length > 100) say("the txnidx has more than 100 characters");
  if ([...shared.description].length > 1000) say("the description has more than 1000 characters");
  return transaction;
}

function readPosting(
  transaction: JournalTransaction,
  line: number,
  text: ReadCell,
  mark: DecimalMark | undefined,
): void {
  const say = (problem: string): void => void transaction.problems.push(`line ${line}: ${problem}`);
  for (const column of sharedColumns) {
    if (text(column) !== transaction[column]) {
      say(`the ${column} ${quote(text(column))} is not that of the transaction, ${quote(transaction[column])}`);
    }
  }
  const account = text("account");
  const fault = faultOfName(account);
  if (fault !== undefined) say(fault);
  const amount = readAmount(text, mark, say);
  transaction.postings.push({
    line,
    account,
    commodity: text("commodity"),
    amount,
    status: text("posting-status"),
    comment: text("posting-comment"),
  });
}

function readAmount(
  text: ReadCell,
  mark: DecimalMark | undefined,
  say: (problem: string) => void,
): Decimal | undefined {
  const read = (column: Column): Decimal | undefined => {
    const value = parseDecimal(text(column), mark);
    if (value === undefined) say(`the ${column} ${quote(text(column))} is not a number`);
    else if (value.scale > maxScale) say(`the ${column} has ${value.scale} decimals, and ${maxScale} is the most`);
    else if (value.digits.toString().length > 60) say(`the ${column} is too large`);
    else return value;
    return undefined;
  };
  const amount = read("amount");
  if (amount === undefined) return undefined;
  // The file says each amount twice. Where both are there they must agree.
  for (const [side, sign] of [["credit", -1n] as const, ["debit", 1n] as const]) {
    if (text(side) === "") continue;
    const repeated = read(side);
    if (repeated === undefined) return undefined;
    if (repeated.digits * sign === amount.digits && repeated.scale === amount.scale) continue;
    say(`the amount ${quote(text("amount"))} and the ${side} ${quote(text(side))} do not agree`);
    return undefined;
  }
  return amount;
}

/** Why a name cannot be the code of an account, if it cannot. */
export function faultOfName(name: string): string | undefined {
  if (name === "") return "the account is empty";
  if ([...name].length > 200) return "the account has more than 200 characters";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  if (/[\u0000-\u001f\u007f-\u009f]/.test(name)) return "there is a control character in the account";
  if (/^(\(.*\)|\[.*\])$/s.test(name)) {
    const what = `${quote(name)} is a virtual posting, which double entry does not know`;
    return `${what} (\`hledger print --real\` leaves them out)`;
  }
  return undefined;
}

function isDate(text: string): boolean {
  const match = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text);
  if (!match || match[1] === "0000") return false;
  const date = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
}

/** A text of the file inside a sentence, shortened. */
export function quote(text: string): string {
  const short = [...text].length > 60 ? `${[...text].slice(0, 57).join("")}…` : text;
  return `“${short}”`;
}
