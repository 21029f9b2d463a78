import { Command, Option } from "commander";
import { makeBeancountWriter } from "../../books/beancount.ts";
import type { BooksWriter, ExportedBooks } from "../../books/exported_books.ts";
import { makeHledgerWriter } from "../../books/hledger.ts";
import { makeCsvWriter } from "../../books/journal_csv.ts";
import { tenantOption } from "../arguments.ts";
import { countPending, readExportedBooks, readTransactions } from "../export/read.ts";
import type { Ledgers } from "../ledger.ts";
import { count, openSink, say } from "../output.ts";

const writers = {
  hledger: makeHledgerWriter,
  beancount: makeBeancountWriter,
  csv: makeCsvWriter,
} satisfies Record<string, (books: ExportedBooks) => BooksWriter>;

interface ExportArguments {
  tenant: string;
  format: keyof typeof writers;
  output?: string;
}

const examples = `
Examples:
  $ npx tallystick export --tenant home --format hledger > home.journal && hledger -f home.journal check
  $ npx tallystick export --tenant home --format beancount --output home.beancount && bean-check home.beancount
  $ npx tallystick export --tenant home --format csv --output home.csv

The csv has the columns that \`npx tallystick import\` reads. Dates are in UTC. What is pending has not moved any
balance and is left out; notes about that, and about names that had to change, go to standard error.`;

export function exportCommand(ledgers: Ledgers): Command {
  return new Command("export")
    .summary("write the books for hledger or Beancount, or as CSV")
    .description("Writes all transactions of a tenant, as they stand at this moment, with every digit.")
    .addOption(tenantOption())
    .addOption(new Option("--format <format>", "what to write").choices(Object.keys(writers)).makeOptionMandatory())
    .option("-o, --output <file>", "where to write it; default: standard output")
    .addHelpText("after", examples)
    .action(async (options: ExportArguments) => {
      const notes = await ledgers.withTenant({ tenant: options.tenant, role: "auditor" }, async (ledger) => {
        // One snapshot for all of it: the books balance at every instant, so the export does.
        await ledger.client.query("begin isolation level repeatable read read only");
        const pending = await countPending(ledger);
        const writer = writers[options.format](await readExportedBooks(ledger));
        const sink = openSink(options.output);
        await sink.write(writer.header());
        let transactions = 0;
        for await (const some of readTransactions(ledger)) {
          transactions += some.length;
          await sink.write(some.map((transaction) => writer.transaction(transaction)).join(""));
        }
        await sink.close();
        await ledger.client.query("commit");
        const left = pending === 0 ? "" : ` ${count(pending, "pending transaction")} left out.`;
        return [`Exported ${count(transactions, "transaction")} of ${options.tenant}.${left}`, ...writer.notes()];
      });
      for (const note of notes) say(note);
    });
}
