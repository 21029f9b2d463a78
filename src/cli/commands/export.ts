import { Command, Option } from "commander";
import { makeBeancountWriter } from "../../books/beancount.ts";
import type { BooksWriter, ExportedBooks } from "../../books/exported_books.ts";
import { makeHledgerWriter } from "../../books/hledger.ts";
import { makeCsvWriter } from "../../books/journal_csv.ts";
import { tenantOption } from "../arguments.ts";
import { countPending, readExportedBooks, readTransactions } from "../export/read.ts";
import { exportSealed } from "../export/sealed.ts";
import type { Ledgers, TenantLedger } from "../ledger.ts";
import { count, openSink, type Sink, say } from "../output.ts";

const writers = {
  hledger: makeHledgerWriter,
  beancount: makeBeancountWriter,
  csv: makeCsvWriter,
} satisfies Record<string, (books: ExportedBooks) => BooksWriter>;

type JournalFormat = keyof typeof writers;

interface ExportArguments {
  tenant: string;
  format: JournalFormat | "sealed";
  output?: string;
}

const examples = `
Examples:
  $ npx tallystick export --tenant home --format hledger > home.journal && hledger -f home.journal check
  $ npx tallystick export --tenant home --format beancount --output home.beancount && bean-check home.beancount
  $ npx tallystick export --tenant home --format csv --output home.csv
  $ npx tallystick export --tenant home --format sealed --output home.sealed
  $ node tools/verify_sealed.mjs ledger home.sealed

The csv has the columns that \`npx tallystick import\` reads. Dates are in UTC. What is pending has not moved any
balance and is left out; notes about that, and about names that had to change, go to standard error. The sealed
format has every row as it is stored, with the blocks that seal it, for whoever checks them without the database.`;

export function exportCommand(ledgers: Ledgers): Command {
  return new Command("export")
    .summary("write the books for hledger or Beancount, as CSV, or with their seal")
    .description("Writes all transactions of a tenant, as they stand at this moment, with every digit.")
    .addOption(tenantOption())
    .addOption(
      new Option("--format <format>", "what to write")
        .choices([...Object.keys(writers), "sealed"])
        .makeOptionMandatory(),
    )
    .option("-o, --output <file>", "where to write it; default: standard output")
    .addHelpText("after", examples)
    .action(async ({ tenant, format, output }: ExportArguments) => {
      const notes = await ledgers.withTenant({ tenant, role: "auditor" }, async (ledger) => {
        // One snapshot for all of it: the books balance at every instant, so the export does.
        // Reading the audit trail is recorded in it, so only the rest is read-only.
        const access = format === "sealed" ? "read write" : "read only";
        await ledger.client.query(`begin isolation level repeatable read ${access}`);
        const sink = openSink(output);
        const told = await (format === "sealed" ? exportSeal(ledger, sink) : exportJournal(ledger, sink, format));
        await sink.close();
        await ledger.client.query("commit");
        return told;
      });
      for (const note of notes) say(note);
    });
}

async function exportJournal(ledger: TenantLedger, sink: Sink, format: JournalFormat): Promise<string[]> {
  const pending = await countPending(ledger);
  const writer = writers[format](await readExportedBooks(ledger));
  await sink.write(writer.header());
  let transactions = 0;
  for await (const some of readTransactions(ledger)) {
    transactions += some.length;
    await sink.write(some.map((transaction) => writer.transaction(transaction)).join(""));
  }
  const left = pending === 0 ? "" : ` ${count(pending, "pending transaction")} left out.`;
  return [`Exported ${count(transactions, "transaction")} of ${ledger.slug}.${left}`, ...writer.notes()];
}

async function exportSeal(ledger: TenantLedger, sink: Sink): Promise<string[]> {
  const { blocks, leaves, unsealed } = await exportSealed(ledger, sink);
  return [
    `Exported ${count(leaves, "sealed row")} of ${ledger.slug} in ${count(blocks, "block")}, ${unsealed} unsealed.`,
  ];
}
