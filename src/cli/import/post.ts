import { formatUnits, maxScale, powerOfTen } from "../../books/decimal.ts";
import {
  type Accepted,
  accountKey,
  type ExactPosting,
  type ImportRules,
  judge,
  typeToOpen,
} from "../../books/import_rules.ts";
import { type JournalOptions, type JournalTransaction, readJournal } from "../../books/journal.ts";
import type { TenantLedger } from "../ledger.ts";
import { CommandError, count, describeError } from "../output.ts";
import type { Books } from "./books.ts";
import { Refused } from "./refused.ts";
import type { Survey } from "./survey.ts";

export interface PostOptions extends JournalOptions {
  ledger: TenantLedger;
  path: string;
  rules: ImportRules;
  survey: Survey;
  books: Books;
  /** Commit batch by batch, and let the refused stay out. Otherwise it is everything or nothing. */
  keepGoing: boolean;
  onPosted?: (transactions: number) => void;
}

/** What the import did. */
export interface Outcome {
  posted: number;
  /** Transactions that an earlier import of the same file has posted. */
  replayed: number;
  postings: number;
  zeroPostings: number;
  /** Transactions of nothing but zeros, which leave nothing to post. */
  empty: { from: number; to: number }[];
  residues: Map<string, { count: number; sum: bigint }>;
  currenciesCreated: { code: string; exponent: number }[];
  accountsCreated: { account: string; currency: string }[];
  /** What the ledger itself refused. */
  refused: Refused;
  /** Without --keep-going, a refusal takes everything back. */
  committed: boolean;
}

interface Item {
  transaction: JournalTransaction;
  accepted: Accepted;
}

interface PostedRow {
  transaction_id: string | null;
  is_replayed: boolean | null;
  code: string | null;
  message: string | null;
  detail: Record<string, unknown> | null;
}

const tooLarge = powerOfTen(38);

/** The engine takes ten times as much; above this nothing is gained. */
const batchSize = { transactions: 1_000, postings: 10_000 };

/**
 * Reads the file a second time and posts it in batches. While the database posts one batch, the next
 * one is read.
 */
export async function postJournal(options: PostOptions): Promise<Outcome> {
  const { ledger, keepGoing, survey, books } = options;
  const poster = new Poster(options);
  if (!keepGoing) {
    await ledger.client.query("begin");
    await lockAccounts(ledger, survey, books);
  }
  try {
    let underWay: Promise<void> = Promise.resolve();
    for await (const batch of poster.readBatches()) {
      await underWay;
      underWay = poster.post(batch);
      // It is awaited above; until then a failure must not count as nobody's.
      underWay.catch(() => undefined);
    }
    await underWay;
  } catch (error) {
    if (!keepGoing) await ledger.client.query("rollback").catch(() => undefined);
    throw new CommandError(describeError(error), whatIsLeft(poster.outcome, keepGoing));
  }
  const { outcome } = poster;
  outcome.committed = keepGoing || outcome.refused.isEmpty;
  if (!keepGoing) await ledger.client.query(outcome.committed ? "commit" : "rollback");
  return outcome;
}

function whatIsLeft(outcome: Outcome, keepGoing: boolean): string {
  if (!keepGoing) return "The import stopped, and nothing of it was kept.";
  const posted = outcome.posted + outcome.replayed;
  if (posted === 0) return "The import stopped before it posted anything.";
  return `The import stopped with ${count(posted, "transaction")} posted. Run it again to go on from there.`;
}

/**
 * All accounts of the file that others can see are locked at once and in the engine's order, so that an
 * import that holds them to its end cannot run into a deadlock with whoever posts meanwhile.
 */
async function lockAccounts({ client, tenantId }: TenantLedger, survey: Survey, books: Books): Promise<void> {
  const ids = [...survey.accountKeys].flatMap((key) => books.accounts.get(key)?.id ?? []);
  const { rows } = await client.query<{ role: string }>("select current_user as role");
  // Row locks are the owner's: a request role may not even update a balance.
  await client.query("set local role tallystick_owner");
  await client.query("select pg_advisory_xact_lock_shared(app_private.books_lock($1))", [tenantId]);
  await client.query(
    `select from app_public.account_balances where tenant_id = $1 and account_id = any ($2)
      order by account_id for no key update`,
    [tenantId, ids],
  );
  await client.query("select set_config('role', $1, true)", [rows[0]?.role]);
}

class Poster {
  readonly outcome: Outcome = {
    posted: 0,
    replayed: 0,
    postings: 0,
    zeroPostings: 0,
    empty: [],
    residues: new Map(),
    currenciesCreated: [],
    accountsCreated: [],
    refused: new Refused(),
    committed: false,
  };
  readonly #options: PostOptions;

  constructor(options: PostOptions) {
    this.#options = options;
  }

  async *readBatches(): AsyncGenerator<Item[]> {
    const { path, rules, survey } = this.#options;
    const changed = (): Error => new CommandError(`${path} was changed while it was being read.`);
    let batch: Item[] = [];
    let postings = 0;
    const reading = readJournal(path, this.#options);
    for (;;) {
      const { value, done } = await reading.next();
      if (done) {
        if (value.sha256 !== survey.sha256) throw changed();
        if (batch.length > 0) yield batch;
        return;
      }
      for (const transaction of value) {
        if ("problem" in transaction || survey.refused.has(transaction)) continue;
        const accepted = judge(transaction, rules);
        // The first reading has accepted it; only a file that changed can say otherwise.
        if (!accepted.accepted) throw changed();
        if (!this.#hasSomethingToPost(transaction, accepted.postings)) continue;
        batch.push({ transaction, accepted });
        postings += accepted.postings.length;
        if (batch.length < batchSize.transactions && postings < batchSize.postings) continue;
        yield batch;
        batch = [];
        postings = 0;
      }
    }
  }

  #hasSomethingToPost(transaction: JournalTransaction, postings: ExactPosting[]): boolean {
    const { outcome } = this;
    if (postings.length === 0) outcome.empty.push({ from: transaction.firstLine, to: transaction.lastLine });
    const isTooLarge = postings.some((posting) => this.#toMinorUnits(posting) >= tooLarge);
    if (isTooLarge) outcome.refused.add(transaction, ["an amount has 39 digits or more in minor units"]);
    return postings.length > 0 && !isTooLarge;
  }

  async post(batch: Item[]): Promise<void> {
    const all = batch.flatMap(({ accepted }) => accepted.postings);
    await this.#createCurrencies(all);
    await this.#openAccounts(all);
    const { rows } = await this.#options.ledger.client.query<PostedRow>(
      `select r.transaction_id, r.is_replayed, (r.refusal).code, (r.refusal).message, (r.refusal).detail
         from unnest(app_public.post_transactions(transactions => array(
                select t from jsonb_populate_recordset(null::app_public.transaction_input, $1::jsonb) as t
              ))) with ordinality as r (transaction_id, is_replayed, balances, refusal, n)
        order by r.n`,
      [JSON.stringify(batch.map((item) => this.#toInput(item)))],
    );
    batch.forEach((item, index) => {
      const row = rows[index];
      if (row) this.#count(item, row);
    });
    this.#options.onPosted?.(this.outcome.posted + this.outcome.replayed);
  }

  #toInput({ transaction, accepted }: Item): object {
    const { survey } = this.#options;
    return {
      kind: "posted",
      idempotency_key: `import:${survey.sha256}:${transaction.txnidx}`,
      effective_at: `${transaction.date}T00:00:00Z`,
      description: transaction.description || null,
      metadata: { journal: describeSource(transaction, accepted.postings) },
      postings: accepted.postings.map((posting) => ({
        account_id: this.#accountOf(posting).id,
        direction: posting.amount > 0n ? "debit" : "credit",
        amount: this.#toMinorUnits(posting).toString(),
      })),
    };
  }

  #accountOf({ account, currency }: ExactPosting): { id: string } {
    const found = this.#options.books.accounts.get(accountKey(account, currency));
    if (!found) throw new Error(`The account ${account} (${currency}) was not opened.`);
    return found;
  }

  /** Without the sign. What the survey settled has room for every decimal of the file. */
  #toMinorUnits({ amount, currency }: ExactPosting): bigint {
    const size = amount < 0n ? -amount : amount;
    const step = powerOfTen(maxScale - this.#exponentOf(currency));
    if (size % step !== 0n) throw new Error(`${formatUnits(amount, maxScale)} has too many decimals for ${currency}.`);
    return size / step;
  }

  #exponentOf(currency: string): number {
    const { books, rules, survey } = this.#options;
    return (
      books.currencies.get(currency) ??
      rules.exponents.get(currency)?.exponent ??
      survey.exponents.exponentOf(currency, books.isoCurrencies.get(currency))
    );
  }

  async #createCurrencies(postings: ExactPosting[]): Promise<void> {
    const { ledger, books } = this.#options;
    for (const code of new Set(postings.map(({ currency }) => currency))) {
      if (books.currencies.has(code)) continue;
      const exponent = this.#exponentOf(code);
      await ledger.client.query("select app_public.create_currency(code => $1, exponent => $2)", [code, exponent]);
      books.currencies.set(code, exponent);
      this.outcome.currenciesCreated.push({ code, exponent });
    }
  }

  async #openAccounts(postings: ExactPosting[]): Promise<void> {
    const { ledger, books, rules } = this.#options;
    const missing = new Map<string, ExactPosting>();
    for (const posting of postings) {
      const key = accountKey(posting.account, posting.currency);
      if (!books.accounts.has(key)) missing.set(key, posting);
    }
    if (missing.size === 0) return;
    const wanted = [...missing.values()].map(({ account, currency }) => ({
      code: account,
      currency,
      type: typeToOpen(account, currency, rules),
    }));
    const { rows } = await ledger.client.query<{ id: string }>(
      `select (app_public.open_account(code => w.code, name => w.code, type => w.type, currency => w.currency)).id
         from rows from (
           jsonb_to_recordset($1::jsonb) as (code text, currency text, type app_public.account_type)
         ) with ordinality as w (code, currency, type, n)
        order by w.n`,
      [JSON.stringify(wanted)],
    );
    wanted.forEach(({ code, currency, type }, index) => {
      const id = rows[index]?.id;
      if (id !== undefined && type) books.accounts.set(accountKey(code, currency), { id, type });
      this.outcome.accountsCreated.push({ account: code, currency });
    });
  }

  #count({ transaction, accepted }: Item, row: PostedRow): void {
    const { outcome } = this;
    if (row.code !== null) {
      outcome.refused.add(transaction, [this.#describeRefusal(row)]);
      return;
    }
    if (row.is_replayed) {
      outcome.replayed += 1;
      return;
    }
    outcome.posted += 1;
    outcome.postings += accepted.postings.length;
    outcome.zeroPostings += accepted.zeroPostings;
    for (const [currency, sum] of accepted.residues) {
      const residue = outcome.residues.get(currency) ?? { count: 0, sum: 0n };
      outcome.residues.set(currency, { count: residue.count + 1, sum: residue.sum + sum });
    }
  }

  #describeRefusal({ code, message, detail }: PostedRow): string {
    if (code === "LG501") {
      const field = String(detail?.["field"] ?? "something");
      return `it was posted from this file before, and now its ${field} differ; give the options of then (LG501)`;
    }
    const { accountId, ...facts } = detail ?? {};
    const account = [...this.#options.books.accounts].find(([, { id }]) => id === accountId)?.[0].replace("\0", " ");
    const told = Object.entries({ ...(account === undefined ? {} : { account }), ...facts });
    const more = told.map(([name, value]) => `${name} ${String(value)}`).join(", ");
    return `the ledger refuses it: ${message} (${[code, more].filter(Boolean).join("; ")})`;
  }
}

/** What the ledger has no column for is kept in the transaction's metadata, and exported from there. */
function describeSource(transaction: JournalTransaction, postings: ExactPosting[]): object {
  const { txnidx, status, code, comment, date2 } = transaction;
  const notes = postings.flatMap((posting, index) => {
    const note = withoutEmpty({ status: posting.status, comment: posting.comment });
    return Object.keys(note).length > 0 ? [[String(index + 1), note]] : [];
  });
  return {
    ...withoutEmpty({ txnidx, status, code, comment, date2 }),
    ...(notes.length > 0 ? { postings: Object.fromEntries(notes) } : {}),
  };
}

function withoutEmpty(facts: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== ""));
}
