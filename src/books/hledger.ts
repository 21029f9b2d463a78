import type { AccountType } from "./account_types.ts";
import { formatUnits } from "./decimal.ts";
import {
  type BooksWriter,
  type ExportedBooks,
  type ExportedTransaction,
  formatPosting,
  mapNames,
} from "./exported_books.ts";

const typeLetters: Record<AccountType, string> = {
  asset: "A",
  liability: "L",
  equity: "E",
  revenue: "R",
  expense: "X",
};

/** Writes a journal that `hledger check --strict` accepts: accounts and commodities are declared. */
export function makeHledgerWriter(books: ExportedBooks): BooksWriter {
  const names = mapNames(
    books.accounts.map(({ code }) => code),
    toLegalName,
  );
  const nameOf = (code: string): string => names.get(code) ?? code;
  const changed = [...names].filter(([code, name]) => code !== name);
  const types = new Map(books.accounts.map(({ code, type }) => [code, type]));

  return {
    header: () => {
      const lines = [`; The books of ${books.tenant}, exported by Tallystick.`, "", "decimal-mark .", ""];
      for (const { code, exponent } of books.currencies) {
        // A commodity without decimals still needs the mark, or hledger could not tell what it is.
        lines.push(
          `commodity ${exponent === 0 ? "1000." : formatUnits(1000n * 10n ** BigInt(exponent), exponent)} "${code}"`,
        );
      }
      lines.push("");
      for (const [code, name] of names) {
        const type = types.get(code);
        lines.push(`account ${name}${type ? `  ; type: ${typeLetters[type]}` : ""}`);
        if (code !== name) lines.push(`    ; tallystick-account: ${JSON.stringify(code)}`);
      }
      return `${lines.join("\n")}\n`;
    },
    transaction: (transaction) => {
      const lines = [headline(transaction), ...comments(transaction)];
      for (const posting of transaction.postings) {
        const status = /^[*!]$/.test(posting.status) ? `${posting.status} ` : "";
        const comment = posting.comment === "" ? "" : `  ; ${oneLine(posting.comment)}`;
        lines.push(
          `    ${status}${nameOf(posting.account)}  ${formatPosting(posting)} "${posting.currency}"${comment}`,
        );
      }
      return `\n${lines.join("\n")}\n`;
    },
    notes: () =>
      changed.length === 0
        ? []
        : [
            `The names of ${changed.length} accounts are not legal in hledger and were changed; the comment ` +
              "tallystick-account at each `account` holds the original.",
          ],
  };
}

function headline({ date, description, source }: ExportedTransaction): string {
  const status = source.status === "" || source.status === "!" ? source.status : "*";
  const code = source.code !== undefined && /^[^()\r\n]+$/.test(source.code) ? source.code : "";
  const text = toLegalDescription(description);
  // Without a code, a description in parentheses would be read as one; without a status, a star as that.
  const guard = code !== "" ? `(${code})` : /^[(*!]/.test(text) ? "()" : "";
  const second = source.date2 ? `=${source.date2}` : "";
  return [`${date}${second}`, status || (/^[*!]/.test(text) ? "*" : ""), guard, text]
    .filter((part) => part !== "")
    .join(" ");
}

function comments({ id, time, reverses, description, source }: ExportedTransaction): string[] {
  const lines = [`    ; id: ${id}`];
  if (time !== undefined) lines.push(`    ; time: ${time}Z`);
  if (reverses !== undefined) lines.push(`    ; reverses: ${reverses}`);
  if (source.comment) lines.push(`    ; ${oneLine(source.comment)}`);
  if (toLegalDescription(description) !== description) {
    lines.push(`    ; tallystick-description: ${JSON.stringify(description)}`);
  }
  return lines;
}

/** hledger knows no escapes: a semicolon would start a comment, and a line is a line. */
function toLegalDescription(description: string): string {
  return oneLine(description).replaceAll(";", ",").trim();
}

function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced.
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ");
}

/** Two blanks end a name, a semicolon starts a comment, and some first characters mean something. */
function toLegalName(code: string): string {
  const name = code
    .replace(/\s+/gu, " ")
    .replaceAll(";", ",")
    .replace(/^[([*!=~]/, "_$&");
  return name.split(":").every((part) => part !== "")
    ? name
    : name
        .split(":")
        .map((part) => part || "_")
        .join(":");
}
