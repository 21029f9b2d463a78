import { type AccountType, type TypeRule, typeOfAccount } from "./account_types.ts";
import { type Decimal, formatShort, maxScale, toUnits } from "./decimal.ts";
import { faultOfName, type JournalTransaction } from "./journal.ts";

/** What the caller of an import decides, and what the tenant's books have decided already. */
export interface ImportRules {
  /** From the name of a commodity in the file to the code of a currency. */
  currencyCodes: ReadonlyMap<string, string>;
  defaultCurrency: string | undefined;
  typeRules: readonly TypeRule[];
  /** Exponents that are settled: asked for, or of currencies that the tenant has. */
  exponents: ReadonlyMap<string, { exponent: number; why: string }>;
  rounding: { account: string; tolerance: Decimal } | undefined;
  /** Types of accounts that exist, by name and currency (see accountKey). */
  existingTypes: ReadonlyMap<string, AccountType>;
}

/** A posting at the widest scale there is, so that it is exact whatever the exponent will be. */
export interface ExactPosting {
  account: string;
  currency: string;
  /** Debits positive, in units of 10^-18. */
  amount: bigint;
  status: string;
  comment: string;
}

export interface Accepted {
  /** Nothing of zero; the residues, if any, come last. */
  postings: ExactPosting[];
  /** By currency, what the transaction was off by; the postings hold the opposite on the rounding account. */
  residues: Map<string, bigint>;
  zeroPostings: number;
}

/** Names that the file uses and nobody can place. They are told once each, not once a transaction. */
export interface UnknownName {
  kind: "account" | "commodity";
  name: string;
}

export type Verdict = ({ accepted: true } & Accepted) | { accepted: false; problems: string[]; unknown: UnknownName[] };

const currencyCode = /^[A-Z][A-Z0-9._-]{0,23}$/;

export function isCurrencyCode(text: string): boolean {
  return currencyCode.test(text);
}

/** An account is known by its name and its currency. */
export function accountKey(account: string, currency: string): string {
  return `${account}\0${currency}`;
}

/** The currency that a commodity of the file stands for; undefined if that cannot be told. */
export function currencyOf(commodity: string, rules: ImportRules): string | undefined {
  const name = commodity === "" ? rules.defaultCurrency : commodity;
  if (name === undefined) return undefined;
  const code = rules.currencyCodes.get(name) ?? name;
  return isCurrencyCode(code) ? code : undefined;
}

/** The type of an account that the import opens, or finds. */
export function typeToOpen(account: string, currency: string, rules: ImportRules): AccountType | undefined {
  const existing = rules.existingTypes.get(accountKey(account, currency));
  const type = existing ?? typeOfAccount(account, rules.typeRules);
  // Where fractions go is nobody's income: equity, unless something says otherwise.
  return type ?? (account === rules.rounding?.account ? "equity" : undefined);
}

/** Decides whether a transaction of the file can be posted, by the file and the rules alone. */
export function judge(transaction: JournalTransaction, rules: ImportRules): Verdict {
  const problems = [...transaction.problems];
  const unknown: UnknownName[] = [];
  const postings: ExactPosting[] = [];
  let zeroPostings = 0;
  if (transaction.problems.length === 0 && transaction.postings.length < 2) {
    problems.push("there is one posting only, and a transaction needs two or more");
  }
  if (transaction.postings.length > 9_000) problems.push("there are more than 9,000 postings");
  for (const { line, account, commodity, amount, status, comment } of transaction.postings) {
    const currency = currencyOf(commodity, rules);
    if (currency === undefined) {
      unknown.push({ kind: "commodity", name: commodity });
      continue;
    }
    // What is no name at all has been said already, with its line.
    const isName = faultOfName(account) === undefined;
    if (isName && typeToOpen(account, currency, rules) === undefined) unknown.push({ kind: "account", name: account });
    if (amount === undefined) continue;
    const settled = rules.exponents.get(currency);
    if (settled !== undefined && amount.scale > settled.exponent) {
      problems.push(`line ${line}: the amount has ${amount.scale} decimals, and ${settled.why}`);
    }
    const exact = toUnits(amount, maxScale) ?? 0n;
    if (exact === 0n) zeroPostings += 1;
    else postings.push({ account, currency, amount: exact, status, comment });
  }
  if (problems.length > 0 || unknown.length > 0) return { accepted: false, problems, unknown };
  return settleResidues(postings, zeroPostings, rules);
}

function settleResidues(postings: ExactPosting[], zeroPostings: number, rules: ImportRules): Verdict {
  const sums = new Map<string, bigint>();
  for (const { currency, amount } of postings) sums.set(currency, (sums.get(currency) ?? 0n) + amount);
  const residues = new Map([...sums].filter(([, sum]) => sum !== 0n));
  const problems: string[] = [];
  const tolerance = rules.rounding ? (toUnits(rules.rounding.tolerance, maxScale) ?? 0n) : 0n;
  for (const [currency, sum] of residues) {
    const off = `it does not balance: debits − credits is ${formatShort(sum, maxScale)} ${currency}`;
    const size = sum < 0n ? -sum : sum;
    if (!rules.rounding || size > tolerance) problems.push(off);
    else postings.push({ account: rules.rounding.account, currency, amount: -sum, status: "", comment: "rounding" });
  }
  if (problems.length > 0) return { accepted: false, problems, unknown: [] };
  return { accepted: true, postings, residues, zeroPostings };
}

/** The exponent that a currency needs for the amounts of a file. */
export class ExponentSurvey {
  readonly #decimals = new Map<string, { significant: number; usual: number }>();

  add(currency: string, amount: Decimal): void {
    const seen = this.#decimals.get(currency) ?? { significant: 0, usual: 0 };
    seen.significant = Math.max(seen.significant, amount.scale);
    // 70.00 says that there may be hundredths; 4.862000000000 only that something was multiplied.
    seen.usual = Math.max(seen.usual, Math.min(amount.written, 2));
    this.#decimals.set(currency, seen);
  }

  has(currency: string): boolean {
    return this.#decimals.has(currency);
  }

  currencies(): string[] {
    return [...this.#decimals.keys()];
  }

  /** `iso`: the exponent of the standard, if the currency is one of ISO 4217. */
  exponentOf(currency: string, iso: number | undefined): number {
    const seen = this.#decimals.get(currency) ?? { significant: 0, usual: 2 };
    return Math.max(seen.significant, iso ?? seen.usual);
  }
}
