import { CsvSplitter } from "../books/csv.ts";
import { formatShort, maxScale, parseDecimal, toUnits } from "../books/decimal.ts";
import { type Statement, type StatementBalance, type StatementEntry, StatementError } from "./statement.ts";

/** The columns of a statement in CSV. Others are passed over. */
const requiredColumns = ["entry_id", "booked_on", "amount", "currency"] as const;
const optionalColumns = [
  "direction",
  "value_on",
  "status",
  "reference",
  "end_to_end_id",
  "provider_reference",
  "counterparty",
  "counterparty_account",
  "return_reason",
  "balance",
] as const;

type Column = (typeof requiredColumns | typeof optionalColumns)[number];

export interface CsvOptions {
  /** What the statement is called: the file does not say. */
  id: string;
  /** The most entries that are taken. Default: 1,000,000. */
  maxEntries?: number;
}

interface Line {
  entry: StatementEntry;
  /** What the account held after the entry. */
  balance: bigint | undefined;
  place: string;
}

/**
 * Reads a statement in CSV: a header, then a line an entry. Amounts are decimals, with a sign or a direction. With
 * a column `balance`, what the account held after each entry, the statement has an opening and a closing balance,
 * and every line is held against it. Lines of several currencies are as many statements.
 */
export function parseStatementCsv(text: string, { id, maxEntries = 1_000_000 }: CsvOptions): Statement[] {
  const [header, ...records] = new CsvSplitter().push(text, true);
  if (!header || header.fault !== undefined) throw new StatementError("The file has no header.", { place: "line 1" });
  if (records.length > maxEntries) throw new StatementError(`The file has more than ${maxEntries} entries.`);
  const cellOf = readHeader(header.cells);
  const byCurrency = new Map<string, Line[]>();
  for (const { line, cells, fault } of records) {
    const place = `line ${line}`;
    if (fault !== undefined) throw new StatementError(`The line cannot be read: ${fault}.`, { place });
    const read = readLine((column) => cellOf(cells, column), place);
    const lines = byCurrency.get(read.entry.currency);
    if (lines) lines.push(read);
    else byCurrency.set(read.entry.currency, [read]);
  }
  if (byCurrency.size === 0) throw new StatementError("There is no entry in the file.");
  return [...byCurrency].map(([currency, lines]) => toStatement(id, currency, lines));
}

/** How to find a column in a line. */
function readHeader(cells: readonly string[]): (line: readonly string[], column: Column) => string | undefined {
  const names = cells.map((cell) => cell.trim().toLowerCase());
  const missing = requiredColumns.filter((column) => !names.includes(column));
  if (missing.length > 0) throw new StatementError(`There is no column ${missing.join(", ")}.`, { place: "line 1" });
  const twice = names.find((name, index) => name !== "" && names.indexOf(name) !== index);
  if (twice !== undefined) throw new StatementError(`There are two columns ${twice}.`, { place: "line 1" });
  const places = new Map(names.map((name, index) => [name, index]));
  return (line, column) => line[places.get(column) ?? -1]?.trim() || undefined;
}

function readLine(cell: (column: Column) => string | undefined, place: string): Line {
  const must = (column: Column): string => {
    const text = cell(column);
    if (text === undefined) throw new StatementError(`There is no ${column}.`, { place });
    return text;
  };
  const units = readUnits(must("amount"), place);
  const balance = cell("balance");
  const name = cell("counterparty");
  const account = cell("counterparty_account")?.replaceAll(" ", "");
  const entryId = must("entry_id");
  return {
    entry: {
      id: entryId,
      entryId,
      bankReference: cell("provider_reference"),
      endToEndId: cell("end_to_end_id"),
      reference: cell("reference"),
      amount: formatShort(units < 0n ? -units : units, maxScale),
      currency: must("currency"),
      direction: readDirection(cell("direction"), units, place),
      isReversal: false,
      status: readStatus(cell("status"), place),
      bookedOn: readDay(must("booked_on"), place),
      valueOn: readDay(cell("value_on"), place),
      counterparty: name === undefined && account === undefined ? undefined : { name, account },
      returnReason: cell("return_reason"),
    },
    balance: balance === undefined ? undefined : readUnits(balance, place),
    place,
  };
}

/** In 10^-18: no currency has smaller units. */
function readUnits(text: string, place: string): bigint {
  const decimal = parseDecimal(text);
  const units = decimal && toUnits(decimal, maxScale);
  if (units === undefined) throw new StatementError(`${text} is not an amount such as 12.34.`, { place });
  return units;
}

function readDirection(text: string | undefined, units: bigint, place: string): StatementEntry["direction"] {
  if (text === undefined) return units < 0n ? "debit" : "credit";
  if (text !== "credit" && text !== "debit") {
    throw new StatementError(`${text} is neither credit nor debit.`, { place });
  }
  if (units < 0n) throw new StatementError("An amount with a direction has no sign.", { place });
  return text;
}

function readStatus(text: string | undefined, place: string): StatementEntry["status"] {
  if (text === undefined || text === "booked") return "booked";
  if (text === "pending" || text === "information") return text;
  throw new StatementError(`The status ${text} is none of booked, pending and information.`, { place });
}

function readDay(text: string | undefined, place: string): string | undefined {
  if (text === undefined) return undefined;
  const day = /^\d{4}-\d\d-\d\d$/.exec(text)?.[0];
  if (day === undefined || Number.isNaN(Date.parse(day))) {
    throw new StatementError(`${text} is not a date such as 2026-11-21.`, { place });
  }
  return day;
}

function toStatement(id: string, currency: string, lines: readonly Line[]): Statement {
  const booked = lines.filter(({ entry }) => entry.status === "booked");
  const [opening, closing] = balancesOf(booked, currency);
  const days = booked.map(({ entry }) => entry.bookedOn ?? "").sort();
  return {
    id,
    account: "",
    currency,
    kind: opening ? "statement" : "notification",
    createdAt: undefined,
    from: days[0],
    to: days.at(-1),
    openingBalance: opening,
    closingBalance: closing,
    entries: lines.map(({ entry }) => entry),
  };
}

/** What the account held before the first entry and after the last; nothing if the file does not say. */
function balancesOf(lines: readonly Line[], currency: string): (StatementBalance | undefined)[] {
  const [first] = lines;
  if (first?.balance === undefined) {
    const stray = lines.find(({ balance }) => balance !== undefined);
    if (stray) throw new StatementError("There is a balance on some lines only.", { place: stray.place });
    return [];
  }
  const opening = first.balance - signed(first.entry);
  let held = opening;
  for (const { entry, balance, place } of lines) {
    held += signed(entry);
    if (balance === held) continue;
    const found = balance === undefined ? "none" : formatShort(balance, maxScale);
    throw new StatementError(`The balance should be ${formatShort(held, maxScale)}, and is ${found}.`, { place });
  }
  const on = (units: bigint, day = ""): StatementBalance => ({
    amount: formatShort(units, maxScale),
    currency,
    on: day,
  });
  return [on(opening, first.entry.bookedOn), on(held, lines.at(-1)?.entry.bookedOn)];
}

function signed({ amount, direction }: StatementEntry): bigint {
  const units = readUnits(amount, "");
  return direction === "credit" ? units : -units;
}
