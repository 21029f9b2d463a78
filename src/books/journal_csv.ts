import { type AccountType, typeByName } from "./account_types.ts";
import { formatCsv } from "./csv.ts";
import { formatUnits, parseDecimal } from "./decimal.ts";
import { type BooksWriter, type ExportedBooks, formatPosting } from "./exported_books.ts";
import { ExponentSurvey } from "./import_rules.ts";
import { journalColumns } from "./journal.ts";

/** Writes the columns that the import reads, so that it can be imported into other books. */
export function makeCsvWriter(books: ExportedBooks): BooksWriter {
  let number = 0;
  const survey = new ExponentSurvey();
  return {
    header: () => `${formatCsv(journalColumns)}\n`,
    transaction: ({ date, description, source, postings }) => {
      number += 1;
      const rows = postings.map((posting) => {
        const { account, currency, amount, exponent, status, comment } = posting;
        const written = parseDecimal(formatPosting(posting));
        if (written) survey.add(currency, written);
        const size = formatUnits(amount < 0n ? -amount : amount, exponent);
        const shared = [String(number), date, source.date2 ?? "", source.status ?? "*", source.code ?? ""];
        return formatCsv([
          ...shared,
          description,
          source.comment ?? "",
          account,
          formatPosting(posting),
          currency,
          amount < 0n ? size : "",
          amount < 0n ? "" : size,
          status,
          comment,
        ]);
      });
      return `${rows.join("\n")}\n`;
    },
    notes: () => {
      const types = books.accounts.filter(needsRule).map(({ code, type }) => typeOption(code, type));
      const exponents = books.currencies
        .filter(({ code, exponent }) => survey.has(code) && survey.exponentOf(code, undefined) !== exponent)
        .map(({ code, exponent }) => `--exponent ${code}=${exponent}`);
      const options = [...new Set([...types, ...exponents])];
      if (options.length === 0) return [];
      return [
        "The file does not say these types and decimals; an import into other books takes them as options:",
        ...options.map((option) => `  ${option}`),
      ];
    },
  };
}

function needsRule({ code, type }: { code: string; type: AccountType }): boolean {
  return typeByName(code) !== type;
}

function typeOption(code: string, type: AccountType): string {
  return `--account-type '${code.replaceAll("'", "'\\''")}=${type}'`;
}
