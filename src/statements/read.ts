import { createHash } from "node:crypto";
import { parseCamt } from "./camt.ts";
import { parseStatementCsv } from "./csv.ts";
import { parseReport } from "./report.ts";
import { type Statement, StatementError } from "./statement.ts";

export const statementFormats = ["camt", "csv", "report"] as const;
export type StatementFormat = (typeof statementFormats)[number];

/** What a file holds, and what it is known by. */
export interface StatementFile {
  format: StatementFormat;
  hash: Buffer;
  statements: Statement[];
}

/** Reads a file of statements. Throws a StatementError if it is not what it should be. */
export async function readStatementFile(content: Buffer, format: StatementFormat): Promise<StatementFile> {
  const hash = createHash("sha256").update(content).digest();
  return { format, hash, statements: await parse(content, format, hash.toString("hex").slice(0, 32)) };
}

async function parse(content: Buffer, format: StatementFormat, id: string): Promise<Statement[]> {
  if (format === "camt") {
    const statements = await parseCamt(content);
    // The statement of the day tells the same entries again.
    if (statements.every(({ kind }) => kind === "statement")) return statements;
    throw new StatementError("A notification (camt.054) is no statement: import the camt.053 that follows it.");
  }
  const text = decode(content);
  return format === "csv" ? parseStatementCsv(text, { id }) : parseReport(text, { id });
}

function decode(content: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch (error) {
    throw new StatementError("The file is not in UTF-8.", { cause: error });
  }
}

/** The format that a file seems to have. */
export function guessFormat(path: string, content: Buffer): StatementFormat {
  const start = content
    .toString("utf8", 0, 512)
    .replace(/^\uFEFF/, "")
    .trimStart();
  if (start.startsWith("<")) return "camt";
  if (start.startsWith("{") || /^reference,id,kind,/.test(start)) return "report";
  if (/\.xml$/i.test(path)) return "camt";
  return "csv";
}
