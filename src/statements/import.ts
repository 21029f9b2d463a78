import { maxScale, parseDecimal, toUnits } from "../books/decimal.ts";
import type { StatementFile, StatementFormat } from "./read.ts";
import { type Statement, type StatementEntry, StatementError } from "./statement.ts";

/** Runs a query in the database transaction of the import. */
export type RunQuery = <Row>(text: string, values: unknown[]) => Promise<readonly Row[]>;

/** The steps of an import in SQL: those for people, or the job's for a tenant. */
export interface ImportSteps {
  run: RunQuery;
  /** Undefined: the tenant of the session, by the permission of its user. */
  tenantId?: number | undefined;
}

/** What came of one statement. */
export interface ImportedStatement {
  id: string;
  currency: string;
  reference: string;
  /** The very file was imported before: nothing was done. */
  isKnown: boolean;
  entries: number;
  /** Entries that were left out: announced only, or imported before. */
  skipped: number;
  openingBalance: string;
  closingBalance: string;
}

export interface ImportOptions {
  providerCode: string;
  /** Told of every batch that was written. */
  onEntries?: (count: number) => void;
}

const batchSize = 2_000;

/**
 * Imports what a file holds, all of it or, with an error, nothing: the caller has begun a database transaction.
 * The rules are SQL's; here amounts become minor units, and entries come in batches.
 */
export async function importStatements(
  steps: ImportSteps,
  { format, hash, statements }: StatementFile,
  options: ImportOptions,
): Promise<ImportedStatement[]> {
  const exponents = await readExponents(steps);
  const imported: ImportedStatement[] = [];
  for (const [index, statement] of statements.entries()) {
    const file = { format, hash, position: index + 1 };
    imported.push(...(await importStatement({ steps, exponents, file, ...options }, statement)));
  }
  return imported;
}

interface Import extends ImportOptions {
  steps: ImportSteps;
  exponents: ReadonlyMap<string, number>;
  file: { format: StatementFormat; hash: Buffer; position: number };
}

/** Which decimals the currencies of the tenant have; a refusal for whoever may not import. */
async function readExponents(steps: ImportSteps): Promise<ReadonlyMap<string, number>> {
  const rows = await call<{ code: string; exponent: number }>(steps, "begin_import", []);
  return new Map(rows.map(({ code, exponent }) => [code, exponent]));
}

async function importStatement(job: Import, statement: Statement): Promise<ImportedStatement[]> {
  const { steps, file, providerCode } = job;
  const currency = currencyOf(statement);
  const exponent = job.exponents.get(currency);
  if (exponent === undefined) throw new StatementError(`These books have no currency ${currency}.`);
  const rows = await freshRows(job, statement, currency, exponent);
  const skipped = statement.entries.length - rows.length;
  const hasBalances = statement.openingBalance !== undefined || statement.closingBalance !== undefined;
  // A list that tells nothing new, again and again, is no statement.
  if (rows.length === 0 && !hasBalances) return [];
  const [begun] = await call<{ statement_id: string; is_known: boolean }>(steps, "begin_statement", [
    providerCode,
    currency,
    statement.id,
    file.hash,
    file.position,
  ]);
  if (!begun) throw new Error("The ledger began no statement.");
  if (!begun.is_known) {
    for (let at = 0; at < rows.length; at += batchSize) {
      const batch = rows.slice(at, at + batchSize);
      await call(steps, "add_statement_entries", [begun.statement_id, providerCode, currency, JSON.stringify(batch)]);
      job.onEntries?.(batch.length);
    }
  }
  const header = {
    format: file.format,
    reference: statement.id,
    fileHash: file.hash.toString("hex"),
    filePosition: file.position,
    openingBalance: balanceOf(statement.openingBalance, exponent),
    closingBalance: balanceOf(statement.closingBalance, exponent),
    startsAt: statement.from === undefined ? undefined : `${statement.from}T00:00:00Z`,
    endsAt: statement.to === undefined ? undefined : `${statement.to}T23:59:59.999999Z`,
    skippedCount: skipped,
  };
  const [made] = await call<Made>(steps, begun.is_known ? "known_statement" : "complete_statement", [
    begun.statement_id,
    ...(begun.is_known ? [] : [providerCode, currency, JSON.stringify(header)]),
  ]);
  if (!made) throw new Error("The ledger completed no statement.");
  return [
    {
      id: begun.statement_id,
      currency,
      reference: made.reference,
      isKnown: begun.is_known,
      entries: made.entry_count,
      skipped: made.skipped_count,
      openingBalance: made.opening_balance,
      closingBalance: made.closing_balance,
    },
  ];
}

interface Made {
  reference: string;
  entry_count: number;
  skipped_count: number;
  opening_balance: string;
  closing_balance: string;
}

/** Calls a step: the function for people, or the one of the same name for the job, which names the tenant first. */
async function call<Row>({ run, tenantId }: ImportSteps, name: string, values: unknown[]): Promise<readonly Row[]> {
  const all = tenantId === undefined ? values : [tenantId, ...values];
  const places = all.map((_, index) => `$${index + 1}`).join(", ");
  const schema = tenantId === undefined ? "app_hidden" : "app_private";
  return run<Row>(`select * from ${schema}.${name}(${places})`, all);
}

/**
 * The entries as SQL takes them: booked ones, and of a list without balances those that were not imported before.
 * Of a whole statement, what was imported before is a fault that SQL refuses.
 */
async function freshRows(job: Import, statement: Statement, currency: string, exponent: number): Promise<EntryRow[]> {
  const isWhole = statement.openingBalance !== undefined || statement.closingBalance !== undefined;
  const prefix = job.file.format === "camt" ? `${statement.id}/` : "";
  const rows = statement.entries.flatMap((entry, index) => toRow(entry, { currency, exponent, prefix, index }));
  if (isWhole || rows.length === 0) return rows;
  const keys = rows.map(({ entryId }) => entryId);
  const known = await call<{ entry_key: string }>(job.steps, "known_entry_keys", [job.providerCode, currency, keys]);
  const knownKeys = new Set(known.map((row) => row.entry_key));
  return rows.filter(({ entryId }) => !knownKeys.has(entryId));
}

interface EntryRow {
  entryId: string;
  ordinal: number;
  flow: "in" | "out";
  amount: string;
  bookedAt: string;
  [fact: string]: string | number | undefined;
}

interface RowContext {
  currency: string;
  exponent: number;
  prefix: string;
  index: number;
}

/** Nothing for what is only announced, and for what moves nothing. */
function toRow(entry: StatementEntry, { currency, exponent, prefix, index }: RowContext): EntryRow[] {
  const place = `entry ${entry.id}`;
  if (entry.status !== "booked") return [];
  if (entry.currency !== currency) {
    throw new StatementError(`The entry is in ${entry.currency}, the account in ${currency}.`, { place });
  }
  const units = unitsOf(entry.amount, exponent, place);
  if (units === 0n) return [];
  if (entry.bookedOn === undefined) throw new StatementError("The entry has no day of booking.", { place });
  return [
    {
      entryId: cut(`${prefix}${entry.id}`, 140) ?? entry.id,
      ordinal: index + 1,
      flow: entry.direction === "credit" ? "in" : "out",
      amount: units.toString(),
      bookedAt: `${entry.bookedOn}T00:00:00Z`,
      valueAt: entry.valueOn === undefined ? undefined : `${entry.valueOn}T00:00:00Z`,
      reference: cut(entry.reference, 140),
      endToEndId: cut(entry.endToEndId, 140),
      providerReference: cut(entry.bankReference, 140),
      counterpartyName: cut(entry.counterparty?.name, 140),
      // The whole number is nobody's business here: its end tells two apart.
      counterpartyHint: cut(entry.counterparty?.account?.slice(-4), 8),
      returnReason: cut(entry.returnReason ?? (entry.isReversal ? "reversal" : undefined), 100),
      description:
        entry.reference !== undefined && entry.reference.length > 140 ? cut(entry.reference, 1000) : undefined,
    },
  ];
}

function cut(text: string | undefined, length: number): string | undefined {
  const trimmed = text?.trim();
  // By code points, as PostgreSQL counts.
  return trimmed ? [...trimmed].slice(0, length).join("") : undefined;
}

function unitsOf(amount: string, exponent: number, place: string): bigint {
  const decimal = parseDecimal(amount);
  const units = decimal && decimal.scale <= maxScale ? toUnits(decimal, exponent) : undefined;
  if (units === undefined) throw new StatementError(`${amount} is no amount with ${exponent} decimals.`, { place });
  return units;
}

function balanceOf(balance: Statement["openingBalance"], exponent: number): string | undefined {
  return balance && unitsOf(balance.amount, exponent, "balance").toString();
}

/** The currency of the account: where the file does not say, that of its balances or its first entry. */
function currencyOf({ currency, openingBalance, closingBalance, entries }: Statement): string {
  const found = currency ?? openingBalance?.currency ?? closingBalance?.currency ?? entries[0]?.currency;
  if (found === undefined) throw new StatementError("The file does not say in which currency the account is.");
  const odd = [openingBalance, closingBalance].find((balance) => balance && balance.currency !== found);
  if (odd) throw new StatementError(`A balance is in ${odd.currency}, the account in ${found}.`);
  return found;
}
