import { Command, Option } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import { apiKeyCommand } from "./commands/api_key.ts";
import { exportCommand } from "./commands/export.ts";
import { importCommand } from "./commands/import.ts";
import { keysCommand } from "./commands/keys.ts";
import { operationsCommand } from "./commands/operations.ts";
import { operatorCommand } from "./commands/operator.ts";
import { proofCommand } from "./commands/proof.ts";
import { simulateKycCommand } from "./commands/simulate_kyc.ts";
import { statementCommand } from "./commands/statement.ts";
import { tenantCommand } from "./commands/tenant.ts";
import { tokenCommand } from "./commands/token.ts";
import { trialBalanceCommand } from "./commands/trial_balance.ts";
import { verifyCommand } from "./commands/verify.ts";
import { Ledgers } from "./ledger.ts";
import { say } from "./output.ts";

const overview = `
A first hour:
  $ npx tallystick start                                run the ledger, with demonstration books
  $ npx tallystick tenant create home                   books of your own
  $ npx tallystick import books.csv --tenant home       fill them from a journal
  $ npx tallystick trial-balance --tenant home          see what is in them
  $ npx tallystick verify --tenant home                 prove them

The database is that of DATABASE_URL, or the embedded one in TALLYSTICK_DATA_DIR (.data).
\`npx tallystick COMMAND --help\` tells more. Exit status: 0 done, 1 refused or failed, 2 wrong arguments.`;

/** The command-line tool. Each command sets the exit status; parsing mistakes are thrown. */
export function makeProgram(environment: Record<string, string | undefined>): Command {
  const ledgers = new Ledgers(environment);
  const program = new Command("tallystick")
    .description("A double-entry ledger that is a PostgreSQL database first.")
    .version(packageJson.version)
    .addHelpText("after", overview)
    .addCommand(startCommand(ledgers))
    .addCommand(migrateCommand(ledgers))
    .addCommand(tenantCommand(ledgers))
    .addCommand(operatorCommand(ledgers))
    .addCommand(tokenCommand(ledgers))
    .addCommand(apiKeyCommand(ledgers))
    .addCommand(keysCommand(ledgers))
    .addCommand(importCommand(ledgers))
    .addCommand(exportCommand(ledgers))
    .addCommand(statementCommand(ledgers))
    .addCommand(trialBalanceCommand(ledgers))
    .addCommand(verifyCommand(ledgers))
    .addCommand(proofCommand(ledgers))
    .addCommand(simulateKycCommand(ledgers))
    .addCommand(operationsCommand());
  for (const command of [program, ...program.commands, ...program.commands.flatMap(({ commands }) => commands)]) {
    command.exitOverride().showHelpAfterError("(add --help for what the command takes)");
  }
  return program;
}

function startCommand(ledgers: Ledgers): Command {
  const examples = `
Examples:
  $ npx tallystick start
  $ PORT=8080 npx tallystick start
  $ DATABASE_URL=postgres://… npx tallystick start --only worker`;
  return new Command("start")
    .summary("run the ledger")
    .description(
      "Starts the database (embedded, unless DATABASE_URL is set), the API and the worker. Ctrl-C stops them.",
    )
    .addOption(new Option("--only <part>", "one part, on a database that is migrated").choices(["api", "worker"]))
    .addHelpText("after", examples)
    .action(async (options: { only?: "api" | "worker" }) => {
      // The server is loaded for this command only: the others answer sooner without it.
      const { start } = await import("../start.ts");
      process.exitCode = await start(ledgers.readConfig(), { ...options, say });
    });
}

function migrateCommand(ledgers: Ledgers): Command {
  const examples = `
Examples:
  $ npx tallystick migrate
  $ DATABASE_URL=postgres://tallystick_owner:…@db.example.com/tallystick npx tallystick migrate`;
  return new Command("migrate")
    .summary("bring the database to the newest migration")
    .description("Prepares the database, making it if need be, and brings it to the newest migration.")
    .addHelpText("after", examples)
    .action(async () => {
      const { openDatabase } = await import("../postgres/database.ts");
      const database = await openDatabase(ledgers.readConfig(), { migrate: true, say });
      await database.close();
      say("The database is up to date.");
    });
}
