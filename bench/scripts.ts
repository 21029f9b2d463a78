import type { Books } from "./books.ts";
import type { Script, Statement } from "./load.ts";
import type { Pick } from "./shapes.ts";

/** How what is posted looks, but for who pays whom. */
export interface Form {
  /** How many transactions a statement posts; 1 = the function for one. */
  size: number;
  /** How many postings a transaction has: 2, 4, … */
  postings?: number;
  /** Which share of the transactions has no cover, and is refused. */
  refusals?: number;
  /** Whether each transaction has an idempotency key. Default: it has. */
  withKeys?: boolean;
  /** Each transaction is pending first, and resolved like this by the next statement. */
  resolution?: "post_pending" | "void_pending";
}

const postOne = "select transaction_id from app_public.post_transaction($1)";
const postMany = `
  select count(*) filter (where r.refusal is distinct from null)::integer as refused
  from unnest(app_public.post_transactions($1)) r`;
const postManyForIds = `
  select r.transaction_id, (r.refusal is distinct from null)::integer as refused
  from unnest(app_public.post_transactions($1)) r`;

/** What a client sends who posts through the functions that are granted. */
export function postingScript(books: Books, pick: Pick, form: Form): Script {
  return (random) => {
    const write = transactionWriter(books, pick, form, random);
    let pending: string[] = [];
    const takeIds = (rows: Record<string, unknown>[]): void => {
      pending = rows.map((row) => String(row["transaction_id"]));
      mustHaveRefused(rows, form);
    };
    return () => {
      if (pending.length > 0) {
        const kind = form.resolution ?? "void_pending";
        const items = pending.map((id) => write.resolution(kind, id));
        pending = [];
        return statementOf(items, form);
      }
      const items = Array.from({ length: form.size }, write.transaction);
      return form.resolution ? { ...statementOf(items, form, true), answered: takeIds } : statementOf(items, form);
    };
  };
}

function statementOf(items: string[], form: Form, forIds = false): Statement {
  const transfers = items.length;
  if (form.size === 1) {
    const mayBeRefused = form.refusals !== undefined;
    return { name: "post one", text: postOne, values: [items[0]], transfers, mayBeRefused };
  }
  // Elements of an array; what is quoted in them is escaped once more.
  const values = [`{${items.map((item) => `"${item.replaceAll('"', '\\"')}"`).join(",")}}`];
  return forIds
    ? { name: "post many for ids", text: postManyForIds, values, transfers }
    : { name: "post many", text: postMany, values, transfers, answered: (rows) => mustHaveRefused(rows, form) };
}

/** A load whose transactions are refused would be fast, and would mean nothing. */
function mustHaveRefused(rows: Record<string, unknown>[], { refusals = 0, size }: Form): void {
  if (size === 1) return;
  const refused = rows.reduce((sum, row) => sum + Number(row["refused"]), 0);
  if (refused > 0 !== refusals > 0) throw new Error(`${refused} of a batch of ${size} were refused.`);
}

interface Writer {
  transaction: () => string;
  resolution: (kind: string, id: string) => string;
}

/** Values of app_public.transaction_input, as PostgreSQL reads them. */
function transactionWriter({ accountIds, places }: Books, pick: Pick, form: Form, random: () => number): Writer {
  const { postings = 2, refusals = 0, withKeys = true } = form;
  const key = (): string => (withKeys ? seededKey(random) : "");
  return {
    transaction: () => {
      const kind = form.resolution ? "pending" : "posted";
      const isRefused = refusals > 0 && random() < refusals;
      let lines = "";
      for (let n = 0; n < postings; n += 2) {
        const [debit, credit] = pick(random);
        const amount = 1 + Math.floor(random() * 10_000);
        const from = accountIds[isRefused ? places.empty : debit];
        lines += `${n > 0 ? "," : ""}""(${from},debit,${amount})"",""(${accountIds[credit]},credit,${amount})""`;
      }
      return `(${kind},"{${lines}}",${key()},,,,,,,)`;
    },
    resolution: (kind, id) => `(${kind},,${key()},,,${id},,,,)`,
  };
}

/** An idempotency key as clients make them, which are UUIDs by chance; the same in each run. */
export function seededKey(random: () => number): string {
  let digits = "";
  for (let n = 0; n < 4; n += 1)
    digits += Math.floor(random() * 4294967296)
      .toString(16)
      .padStart(8, "0");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Floor S: one bare transfer after the other. */
export function bareTransfers(pick: Pick): Script {
  return (random) => () => {
    const [debit, credit] = pick(random);
    return {
      name: "floor S",
      text: "select floor.transfer($1, $2, $3)",
      values: [debit + 1, credit + 1, 1 + Math.floor(random() * 10_000)],
      transfers: 1,
    };
  };
}

/** Floor B: the rows that as many transactions have, inserted in bulk. */
export function bareInserts({ accountIds }: Books, createdBy: string, pick: Pick, form: Form): Script {
  const { size, postings = 2, withKeys = true } = form;
  if (!withKeys) throw new Error("Floor B writes keys.");
  return (random) => () => {
    const accounts: (string | undefined)[] = [];
    const amounts: number[] = [];
    const keys: string[] = [];
    for (let n = 0; n < size; n += 1) {
      keys.push(seededKey(random));
      for (let line = 0; line < postings; line += 2) {
        const amount = 1 + Math.floor(random() * 10_000);
        for (const place of pick(random)) {
          accounts.push(accountIds[place]);
          amounts.push(amount);
        }
      }
    }
    return {
      name: "floor B",
      text: "select floor.insert_batch($1, $2, $3, $4)",
      values: [`{${accounts.join(",")}}`, `{${amounts.join(",")}}`, `{${keys.join(",")}}`, createdBy],
      transfers: size,
    };
  };
}
