import { basename } from "node:path";
import { formatShort, maxScale } from "../../books/decimal.ts";
import { count } from "../output.ts";
import type { Outcome } from "./post.ts";
import { formatLines, type Refused } from "./refused.ts";
import type { Survey } from "./survey.ts";

export interface ReportOptions {
  path: string;
  tenant: string;
  roundingAccount: string | undefined;
}

/** The closing report of an import that was kept. */
export function describeOutcome(outcome: Outcome, survey: Survey, options: ReportOptions): string[] {
  const refused = survey.refused.transactions + outcome.refused.transactions;
  const fact = (value: number, text: string): string => `  ${value.toLocaleString("en-GB").padStart(9)}  ${text}`;
  const { currenciesCreated, accountsCreated } = outcome;
  const lines = [
    headline(outcome, survey, options),
    fact(outcome.posted, "transactions posted"),
    fact(outcome.replayed, "transactions that an earlier import of this file has posted"),
    fact(outcome.postings, "postings"),
    fact(outcome.zeroPostings, "postings of zero left out"),
    fact(accountsCreated.length, "accounts created"),
    fact(currenciesCreated.length, `currencies created${describeCurrencies(currenciesCreated)}`),
    fact(refused, "transactions refused"),
  ];
  if (outcome.empty.length > 0) {
    lines.push(fact(outcome.empty.length, `transactions of nothing but zeros left out: ${formatLines(outcome.empty)}`));
  }
  for (const [currency, { count: number, sum }] of outcome.residues) {
    const total = `${formatShort(sum, maxScale)} ${currency}`;
    lines.push(
      fact(number, `residues posted to ${options.roundingAccount}, the transactions being off by ${total} in all`),
    );
  }
  return lines;
}

function headline({ posted, replayed }: Outcome, survey: Survey, { path, tenant }: ReportOptions): string {
  const name = basename(path);
  if (posted > 0) return `Imported ${name} into the books of ${tenant}.`;
  if (survey.transactions === 0) return `Nothing was posted: there are no transactions in ${name}.`;
  if (replayed > 0) return `Nothing was posted: ${name} was imported into the books of ${tenant} before.`;
  return `Nothing of ${name} was posted.`;
}

function describeCurrencies(created: Outcome["currenciesCreated"]): string {
  if (created.length === 0) return "";
  return `, with their decimals: ${created.map(({ code, exponent }) => `${code} ${exponent}`).join(", ")}`;
}

/** What was refused, with its lines, and what that means. */
export function describeRefused(refused: Refused, keepGoing: boolean): string[] {
  if (refused.isEmpty) return [];
  const number = refused.transactions;
  const what = number === 0 ? "The file is not as it should be:" : `${count(number, "transaction")} refused:`;
  const then = keepGoing
    ? []
    : [
        "",
        "Nothing was imported. Mend the file or add the options named above, or import the rest with --keep-going.",
        ...(refused.describe().some((line) => line.includes("does not balance"))
          ? ["Fractions of a cent can go to an account of their own: --rounding-account Equity:Rounding."]
          : []),
      ];
  return [what, ...refused.describe(), ...then];
}
