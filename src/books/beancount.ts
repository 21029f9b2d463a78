import { type AccountType, parseAccountType } from "./account_types.ts";
import {
  type BooksWriter,
  type ExportedBooks,
  type ExportedTransaction,
  formatPosting,
  mapNames,
} from "./exported_books.ts";

const roots: Record<AccountType, string> = {
  asset: "Assets",
  liability: "Liabilities",
  equity: "Equity",
  revenue: "Income",
  expense: "Expenses",
};

/** Writes a file that `bean-check` accepts. Names that Beancount does not allow are mapped, and say so. */
export function makeBeancountWriter(books: ExportedBooks): BooksWriter {
  const typed = new Map(books.accounts.map(({ code, type }) => [code, type]));
  const accounts = mapNames(typed.keys(), (code) => toLegalAccount(code, typed.get(code) ?? "equity"));
  const currencies = mapNames(
    books.currencies.map(({ code }) => code),
    toLegalCurrency,
  );
  const accountOf = (code: string): string => accounts.get(code) ?? code;
  const currencyOf = (code: string): string => currencies.get(code) ?? code;
  const currenciesOf = Map.groupBy(books.accounts, ({ code }) => code);
  const opened = toLegalDate(books.firstDate ?? "1970-01-01");
  const changed = [...accounts].filter(([code, name]) => code !== name).length;
  // Beancount computes with 28 digits. What it reads is exact, but its sums of longer amounts are not.
  let longAmounts = 0;
  const changedCurrencies = [...currencies].filter(([code, name]) => code !== name).length;

  return {
    header: () => {
      const lines = [`;; The books of ${books.tenant}, exported by Tallystick.`, ""];
      for (const { code, name } of books.currencies) {
        lines.push(`${opened} commodity ${currencyOf(code)}`);
        if (currencyOf(code) !== code) lines.push(`  tallystick-currency: ${quoteText(code)}`);
        if (name !== code) lines.push(`  name: ${quoteText(name)}`);
      }
      lines.push("");
      for (const [code, name] of accounts) {
        const own = (currenciesOf.get(code) ?? []).map(({ currency }) => currencyOf(currency));
        lines.push(`${opened} open ${name} ${own.join(",")}`);
        if (code !== name) lines.push(`  tallystick-account: ${quoteText(code)}`);
      }
      return `${lines.join("\n")}\n`;
    },
    transaction: (transaction) => {
      const lines = [headline(transaction), ...facts(transaction)];
      for (const posting of transaction.postings) {
        const { account, currency, comment, status } = posting;
        if (posting.amount.toString().replace("-", "").length > 28) longAmounts += 1;
        const flag = status === "!" ? "! " : "";
        lines.push(`  ${flag}${accountOf(account)}  ${formatPosting(posting)} ${currencyOf(currency)}`);
        if (comment !== "") lines.push(`    comment: ${quoteText(comment)}`);
      }
      return `\n${lines.join("\n")}\n`;
    },
    notes: () => [
      ...(changed === 0
        ? []
        : [
            `The names of ${changed} accounts are not legal in Beancount and were changed; tallystick-account at ` +
              "each `open` holds the original.",
          ]),
      ...(changedCurrencies === 0
        ? []
        : [
            `The codes of ${changedCurrencies} currencies are not legal in Beancount and were changed; ` +
              "tallystick-currency at each `commodity` holds the original.",
          ]),
      ...(longAmounts === 0
        ? []
        : [`${longAmounts} amounts have more than 28 digits, which is as many as Beancount computes with.`]),
    ],
  };
}

function headline({ date, description, source }: ExportedTransaction): string {
  return `${toLegalDate(date)} ${source.status === "!" ? "!" : "*"} ${quoteText(description)}`;
}

function facts({ id, date, time, reverses, source }: ExportedTransaction): string[] {
  const lines = [`  id: "${id}"`];
  if (toLegalDate(date) !== date) lines.push(`  effective-on: "${date}"`);
  if (time !== undefined) lines.push(`  time: "${time}Z"`);
  if (reverses !== undefined) lines.push(`  reverses: "${reverses}"`);
  if (source.code) lines.push(`  code: ${quoteText(source.code)}`);
  if (source.date2) lines.push(`  date2: ${quoteText(source.date2)}`);
  if (source.comment) lines.push(`  comment: ${quoteText(source.comment)}`);
  return lines;
}

function quoteText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced.
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ");
  return `"${line.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

/** Beancount reads the years 1700 to 2099. */
function toLegalDate(date: string): string {
  if (date < "1700-01-01") return "1700-01-01";
  return date > "2099-12-31" ? "2099-12-31" : date;
}

/**
 * The first part is one of five roots and follows from the type; each other part starts with a capital or
 * a digit and goes on with letters, digits and hyphens.
 */
function toLegalAccount(code: string, type: AccountType): string {
  const parts = code.split(":");
  const rest = parts.length > 1 && parseAccountType(parts[0] ?? "") === type ? parts.slice(1) : parts;
  return [roots[type], ...rest.map(toLegalPart)].join(":");
}

function toLegalPart(part: string): string {
  const clean = part
    .normalize("NFC")
    .replace(/[^\p{L}\p{Nd}]+/gu, "-")
    .replace(/^-+|-+$/g, "");
  const capital = clean.replace(/^\p{Ll}/u, (letter) => letter.toUpperCase());
  return /^[\p{Lu}\p{Nd}]/u.test(capital) ? capital : `X${capital}`;
}

/** Two to 24 capitals, digits and marks; the first a letter, the last no mark. */
function toLegalCurrency(code: string): string {
  const trimmed = code.replace(/[._-]+$/, "");
  return trimmed.length > 1 ? trimmed : `${trimmed}X`;
}
