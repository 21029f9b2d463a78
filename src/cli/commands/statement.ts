import { readFileSync } from "node:fs";
import { SingleBar } from "cli-progress";
import { Command, Option } from "commander";
import { type ImportedStatement, importStatements } from "../../statements/import.ts";
import {
  guessFormat,
  readStatementFile,
  type StatementFile,
  type StatementFormat,
  statementFormats,
} from "../../statements/read.ts";
import { StatementError } from "../../statements/statement.ts";
import { parseUuid, tenantOption } from "../arguments.ts";
import { inTransaction, type Ledgers, type TenantLedger } from "../ledger.ts";
import { CommandError, count, say } from "../output.ts";

interface ImportArguments {
  tenant: string;
  provider: string;
  format?: StatementFormat;
  user?: string;
}

const examples = `
Examples:
  $ npx tallystick statement import 2026-11-20.xml --tenant home --provider bank
  $ npx tallystick statement import november.csv --tenant home --provider bank --format csv

Formats: camt (ISO 20022 camt.053), csv (see docs/how-to/reconcile-statements.md), report (of the simulated
provider). Each statement must begin with the balance that the last one ended with, and come to its closing
balance. The file is imported whole or not at all, and the same file again does nothing.
Exit status: 0 imported, or known already; 1 refused or failed; 2 wrong arguments.`;

/** What is done with statements of providers. */
export function statementCommand(ledgers: Ledgers): Command {
  return new Command("statement")
    .summary("import statements of banks and other providers")
    .description("What banks and other payment providers say about the accounts that they keep for a tenant.")
    .addCommand(importCommand(ledgers));
}

function importCommand(ledgers: Ledgers): Command {
  return new Command("import")
    .summary("import a statement")
    .description("Imports the statements of a file. Its entries are matched to payments and postings after that.")
    .argument("<file>", "the file")
    .addOption(tenantOption())
    .requiredOption("-p, --provider <code>", "the payment provider whose statement it is")
    .addOption(
      new Option("--format <format>", "the form of the file; default: what it looks like").choices(statementFormats),
    )
    .option("--user <uuid>", "the user who is recorded as the one who imported", parseUuid)
    .addHelpText("after", examples)
    .action(async (path: string, options: ImportArguments) => {
      const file = await readFile(path, options.format);
      const { tenant, user } = options;
      await ledgers.withTenant({ tenant, role: "accountant", user }, async (ledger) => {
        const imported = await importFile(ledger, file, options.provider);
        process.stdout.write(describe(path, imported));
        const isNew = imported.some(({ isKnown }) => !isKnown);
        if (isNew) say("\nThe worker matches them to payments and postings. What it cannot match is in suspense.");
        say(`Next: the query reconciliationBreakList, or npx tallystick verify --tenant ${tenant}`);
      });
    });
}

async function readFile(path: string, format: StatementFormat | undefined): Promise<StatementFile> {
  let content: Buffer;
  try {
    content = readFileSync(path);
  } catch (error) {
    throw new CommandError(`The file ${path} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
  try {
    return await readStatementFile(content, format ?? guessFormat(path, content));
  } catch (error) {
    throw asCommandError(error, path);
  }
}

function asCommandError(error: unknown, path: string): unknown {
  if (!(error instanceof StatementError)) return error;
  const place = error.place === undefined ? "" : ` (${error.place})`;
  return new CommandError(`${path}${place}: ${error.message} (LG700)`, "Nothing was imported.");
}

async function importFile(
  { client }: TenantLedger,
  file: StatementFile,
  providerCode: string,
): Promise<ImportedStatement[]> {
  const total = file.statements.reduce((sum, { entries }) => sum + entries.length, 0);
  const bar = process.stderr.isTTY
    ? new SingleBar({
        format: "importing {bar} {value}/{total} entries",
        stream: process.stderr,
        clearOnComplete: true,
      })
    : undefined;
  bar?.start(total, 0);
  const run = async <Row>(text: string, values: unknown[]): Promise<readonly Row[]> =>
    (await client.query(text, values)).rows as Row[];
  try {
    return await inTransaction(client, () =>
      importStatements({ run }, file, { providerCode, onEntries: (entries) => void bar?.increment(entries) }),
    );
  } catch (error) {
    throw asCommandError(error, "The statement");
  } finally {
    bar?.stop();
  }
}

function describe(path: string, imported: readonly ImportedStatement[]): string {
  if (imported.length === 0) return `${path} tells nothing new.\n`;
  return imported
    .map(({ reference, currency, isKnown, entries, skipped }) => {
      if (isKnown) return `${reference} (${currency}) was imported from this file before.\n`;
      const left = skipped === 0 ? "" : `, ${count(skipped, "entry", "entries")} left out`;
      return `Imported ${reference} (${currency}): ${count(entries, "entry", "entries")}${left}.\n`;
    })
    .join("");
}
