import { z } from "zod";
import { CsvSplitter } from "../books/csv.ts";
import { formatUnits } from "../books/decimal.ts";
import { type Statement, type StatementEntry, StatementError } from "./statement.ts";

const paymentForm = z.object({
  reference: z.string().min(1).max(140),
  id: z.string().min(1).max(120),
  kind: z.enum(["pay_in", "pay_out", "refund"]),
  amount: z.string().regex(/^\d{1,38}$/),
  currency: z.string().min(1).max(24),
  exponent: z.coerce.number().int().min(0).max(18),
  state: z.enum(["submitted", "settled", "failed", "cancelled", "returned"]),
  errorCode: z.string().max(100).optional(),
  at: z.iso.datetime(),
});
type Payment = z.infer<typeof paymentForm>;

/**
 * Reads the report of the simulated provider, in JSON or CSV: all payments in its books. What settled moved money,
 * what came back moved it twice; the rest moved none. A statement for each currency, without balances: the next
 * report tells all of it again, and what was imported is known by its id.
 */
export function parseReport(text: string, { id }: { id: string }): Statement[] {
  const payments = text.trimStart().startsWith("{") ? readJson(text) : readCsv(text);
  const byCurrency = new Map<string, StatementEntry[]>();
  for (const payment of payments) {
    const entries = byCurrency.get(payment.currency) ?? [];
    entries.push(...entriesOf(payment));
    byCurrency.set(payment.currency, entries);
  }
  return [...byCurrency]
    .filter(([, entries]) => entries.length > 0)
    .map(([currency, entries]) => ({
      id,
      account: "",
      currency,
      kind: "notification",
      createdAt: undefined,
      from: undefined,
      to: undefined,
      openingBalance: undefined,
      closingBalance: undefined,
      entries,
    }));
}

function readJson(text: string): Payment[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new StatementError("The report is no JSON.", { cause: error });
  }
  const report = z.object({ payments: z.array(paymentForm) }).safeParse(value);
  if (!report.success) throw faultOf(report.error, "The report does not have the form of one.");
  return report.data.payments;
}

/** The names that differ in CSV. */
const names: Record<string, string> = { error_code: "errorCode", time: "at" };

function readCsv(text: string): Payment[] {
  const [header, ...records] = new CsvSplitter().push(text, true);
  if (!header) throw new StatementError("The report is empty.");
  return records.map(({ line, cells, fault }) => {
    const place = `line ${line}`;
    if (fault !== undefined) throw new StatementError(`The line cannot be read: ${fault}.`, { place });
    const fields = header.cells.map((name, index) => [names[name] ?? name, cells[index] || undefined]);
    const payment = paymentForm.safeParse(Object.fromEntries(fields));
    if (!payment.success) throw faultOf(payment.error, "The line is no payment.", place);
    return payment.data;
  });
}

function faultOf(error: z.ZodError, message: string, place = error.issues[0]?.path.join(".")): StatementError {
  return new StatementError(`${message} ${error.issues[0]?.message ?? ""}`.trimEnd(), { place });
}

function entriesOf(payment: Payment): StatementEntry[] {
  const isIn = payment.kind === "pay_in";
  const entry: StatementEntry = {
    id: payment.id,
    entryId: payment.id,
    bankReference: payment.id,
    endToEndId: payment.reference,
    reference: undefined,
    amount: formatUnits(BigInt(payment.amount), payment.exponent),
    currency: payment.currency,
    direction: isIn ? "credit" : "debit",
    isReversal: false,
    status: "booked",
    bookedOn: payment.at.slice(0, 10),
    valueOn: undefined,
    counterparty: undefined,
    returnReason: undefined,
  };
  if (payment.state === "settled") return [entry];
  if (payment.state !== "returned") return [];
  const back: StatementEntry = {
    ...entry,
    id: `${payment.id}:returned`,
    entryId: `${payment.id}:returned`,
    direction: isIn ? "debit" : "credit",
    returnReason: payment.errorCode ?? "returned",
  };
  return [entry, back];
}
