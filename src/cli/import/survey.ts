import { accountKey, currencyOf, ExponentSurvey, type ImportRules, judge } from "../../books/import_rules.ts";
import { type JournalOptions, type JournalTransaction, quote, readJournal } from "../../books/journal.ts";
import { Refused } from "./refused.ts";

/** What the first reading of the file found out: nothing has been written yet. */
export interface Survey {
  sha256: string;
  rows: number;
  transactions: number;
  refused: Refused;
  /** What the amounts of the file ask of the currencies that are not settled yet. */
  exponents: ExponentSurvey;
  /** The accounts of all accepted postings (see accountKey), those for residues included. */
  accountKeys: Set<string>;
  /** The names that stand in the columns account and commodity. */
  accounts: Set<string>;
  commodities: Set<string>;
}

/** Reads the whole file once and judges every transaction by what the file and the rules say. */
export async function surveyJournal(path: string, rules: ImportRules, options: JournalOptions): Promise<Survey> {
  const refused = new Refused();
  const exponents = new ExponentSurvey();
  const seen = new Map<string, { firstLine: number; lastLine: number }>();
  const accountKeys = new Set<string>();
  const accounts = new Set<string>();
  const commodities = new Set<string>();
  let transactions = 0;
  const take = (transaction: JournalTransaction): void => {
    transactions += 1;
    for (const { account, commodity, amount } of transaction.postings) {
      accounts.add(account);
      commodities.add(commodity === "" ? (rules.defaultCurrency ?? "") : commodity);
      const currency = currencyOf(commodity, rules);
      if (currency !== undefined && amount !== undefined) exponents.add(currency, amount);
    }
    const earlier = seen.get(transaction.txnidx);
    if (earlier !== undefined) refuseRepeated(transaction, earlier);
    else seen.set(transaction.txnidx, { firstLine: transaction.firstLine, lastLine: transaction.lastLine });
    const verdict = judge(transaction, rules);
    if (!verdict.accepted) refused.add(transaction, verdict.problems, verdict.unknown);
    else for (const { account, currency } of verdict.postings) accountKeys.add(accountKey(account, currency));
  };
  const refuseRepeated = (later: JournalTransaction, earlier: { firstLine: number; lastLine: number }): void => {
    const { txnidx } = later;
    const where = (line: number): string => `the rows of a transaction must stand together, see line ${line}`;
    refused.add(later, [where(earlier.firstLine)]);
    refused.add({ from: earlier.firstLine, to: earlier.lastLine, txnidx, reasons: [] }, [where(later.firstLine)]);
  };

  const reading = readJournal(path, options);
  for (;;) {
    const { value, done } = await reading.next();
    if (done) return { ...value, transactions, refused, exponents, accountKeys, accounts, commodities };
    for (const item of value) {
      if ("problem" in item) refused.strays.push(item);
      else take(item);
    }
  }
}

/** Options that name something which is not in the file are mostly slips of the pen. */
export function describeUnused(survey: Survey, rules: ImportRules, exponents: Iterable<string>): string[] {
  const { accounts, commodities } = survey;
  const used = new Set(survey.exponents.currencies());
  const globs = rules.typeRules.filter(({ matches }) => ![...accounts, rules.rounding?.account ?? ""].some(matches));
  const names = [
    ...globs.map(({ glob }) => ["--account-type", glob] as const),
    ...[...rules.currencyCodes.keys()].filter((name) => !commodities.has(name)).map((n) => ["--currency", n] as const),
    ...[...exponents].filter((code) => !used.has(code)).map((code) => ["--exponent", code] as const),
  ];
  return names.map(([option, name]) => `${option} ${quote(name)} matches nothing in the file.`);
}
