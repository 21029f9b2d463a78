import { statSync } from "node:fs";
import { SingleBar } from "cli-progress";
import { Command, Option } from "commander";
import type { TypeRule } from "../../books/account_types.ts";
import { type Decimal, type DecimalMark, parseDecimal } from "../../books/decimal.ts";
import type { ImportRules } from "../../books/import_rules.ts";
import { faultOfName } from "../../books/journal.ts";
import {
  collectCurrency,
  collectExponent,
  collectTypeRule,
  parseCommodity,
  parseTolerance,
  parseUuid,
  tenantOption,
} from "../arguments.ts";
import { type Books, readBooks } from "../import/books.ts";
import { postJournal } from "../import/post.ts";
import { describeOutcome, describeRefused } from "../import/report.ts";
import { describeUnused, surveyJournal } from "../import/survey.ts";
import type { Ledgers } from "../ledger.ts";
import { CommandError, say } from "../output.ts";

interface ImportArguments {
  tenant: string;
  accountType?: TypeRule[];
  currency?: Map<string, string>;
  defaultCurrency?: string;
  exponent?: Map<string, number>;
  roundingAccount?: string;
  roundingTolerance?: Decimal;
  decimalMark?: DecimalMark;
  keepGoing?: boolean;
  user?: string;
}

const examples = `
Examples:
  $ hledger -f my.journal print --infer-equity -O csv > books.csv
  $ npx tallystick tenant create home
  $ npx tallystick import books.csv --tenant home
  $ npx tallystick import books.csv --tenant home --currency '$=USD' --account-type 'Bank:*=asset'
  $ npx tallystick import books.csv --tenant home --rounding-account Equity:Rounding --rounding-tolerance 0.01

The whole file is checked before anything is written. If anything in it is refused, nothing is imported,
unless --keep-going is given. An import may be run again: what it has posted before is not posted twice.
Exit status: 0 all of the file is in the books; 1 something was refused or failed; 2 wrong arguments.`;

export function importCommand(ledgers: Ledgers): Command {
  return new Command("import")
    .summary("import a journal from a CSV file")
    .description("Imports a journal: the CSV that `hledger print --infer-equity -O csv` writes.")
    .argument("<file>", "the CSV file")
    .addOption(tenantOption())
    .option(
      "--account-type <glob=type>",
      "the type of the accounts that match; repeatable, the first match counts",
      collectTypeRule,
    )
    .option(
      "--currency <commodity=code>",
      "the currency that a commodity of the file stands for; repeatable",
      collectCurrency,
    )
    .option("--default-currency <commodity>", "what an amount without a commodity is in", parseCommodity)
    .option(
      "--exponent <code=decimals>",
      "the decimals of a currency that is created; default: those of the data; repeatable",
      collectExponent,
    )
    .option("--rounding-account <name>", "post what transactions are off by to this account")
    .option(
      "--rounding-tolerance <amount>",
      "the most that a transaction may be off by (default: 0.01)",
      parseTolerance,
    )
    .addOption(
      new Option("--decimal-mark <mark>", "the decimal mark, if there are marks between thousands too").choices([
        ".",
        ",",
      ]),
    )
    .option("--keep-going", "import what can be imported, and list the rest")
    .option("--user <uuid>", "the user who is recorded as the one who posted", parseUuid)
    .addHelpText("after", examples)
    .action(async (file: string, options: ImportArguments, command: Command) => {
      const fault = faultOfRounding(options);
      if (fault !== undefined) command.error(`error: ${fault}`);
      process.exitCode = await runImport(ledgers, file, options);
    });
}

async function runImport(ledgers: Ledgers, path: string, options: ImportArguments): Promise<number> {
  const { tenant, exponent: exponents = new Map<string, number>(), keepGoing = false } = options;
  const size = sizeOf(path);
  const who = { tenant, role: "accountant", user: options.user } as const;
  return ledgers.withTenant(who, async (ledger) => {
    const books = await readBooks(ledger);
    refuseExponents(exponents, books);
    const rules = makeRules(options, books);
    const progress = new Progress(size);
    const reading = { decimalMark: options.decimalMark, onBytes: (bytes: number) => progress.add(bytes) };
    progress.start("checking");
    const survey = await surveyJournal(path, rules, reading).finally(() => progress.stop());

    for (const line of describeUnused(survey, rules, exponents.keys())) say(`Note: ${line}`);
    if (!survey.refused.isEmpty && !keepGoing) {
      for (const line of describeRefused(survey.refused, false)) say(line);
      return 1;
    }
    progress.start("posting");
    const outcome = await postJournal({ ...reading, ledger, path, rules, survey, books, keepGoing }).finally(() =>
      progress.stop(),
    );
    for (const refused of [survey.refused, outcome.refused]) {
      for (const line of describeRefused(refused, keepGoing)) say(line);
    }
    if (!outcome.committed) return 1;
    const about = { path, tenant, roundingAccount: options.roundingAccount };
    process.stdout.write(`${describeOutcome(outcome, survey, about).join("\n")}\n`);
    say(`\nNext: npx tallystick trial-balance --tenant ${tenant}`);
    return survey.refused.isEmpty && outcome.refused.isEmpty ? 0 : 1;
  });
}

function sizeOf(path: string): number {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) throw new CommandError(`There is no file ${path}.`);
  // It is read twice: once to check, once to post.
  if (!stat.isFile())
    throw new CommandError(`${path} is not a regular file. Save what should be imported to a file first.`);
  return stat.size;
}

function faultOfRounding({ roundingAccount, roundingTolerance }: ImportArguments): string | undefined {
  if (roundingAccount !== undefined) {
    const fault = faultOfName(roundingAccount);
    return fault === undefined ? undefined : `--rounding-account: ${fault}.`;
  }
  if (roundingTolerance === undefined) return undefined;
  return "--rounding-tolerance needs --rounding-account, which says where the residues go.";
}

const aCent: Decimal = parseDecimal("0.01") ?? { digits: 1n, scale: 2, written: 2 };

function makeRules(options: ImportArguments, books: Books): ImportRules {
  const { roundingAccount: account, roundingTolerance: tolerance = aCent } = options;
  const existing = [...books.currencies].map(([code, exponent]) => {
    const why = `${code} has ${exponent} in the books of ${options.tenant}, which is for good`;
    return [code, { exponent, why }] as const;
  });
  const asked = [...(options.exponent ?? [])].map(([code, exponent]) => {
    return [code, { exponent, why: `--exponent gives ${code} ${exponent}` }] as const;
  });
  return {
    currencyCodes: options.currency ?? new Map(),
    defaultCurrency: options.defaultCurrency,
    typeRules: options.accountType ?? [],
    exponents: new Map([...asked, ...existing]),
    rounding: account === undefined ? undefined : { account, tolerance },
    existingTypes: new Map([...books.accounts].map(([key, { type }]) => [key, type])),
  };
}

/** The exponent of a currency never changes, so asking for another one than it has is a mistake. */
function refuseExponents(asked: Map<string, number>, books: Books): void {
  for (const [code, exponent] of asked) {
    const existing = books.currencies.get(code);
    if (existing === undefined || existing === exponent) continue;
    throw new CommandError(
      `--exponent ${code}=${exponent}: ${code} has ${existing} decimals in these books, and that never changes.`,
    );
  }
}

/** A bar for a person who waits; nothing where nobody watches. */
class Progress {
  readonly #size: number;
  #bar: SingleBar | undefined;

  constructor(size: number) {
    this.#size = size;
  }

  start(what: string): void {
    if (!process.stderr.isTTY) return;
    this.#bar = new SingleBar({
      format: `${what.padEnd(8)} {bar} {percentage}%  {eta_formatted} left`,
      stream: process.stderr,
      hideCursor: true,
      clearOnComplete: true,
    });
    this.#bar.start(this.#size, 0);
  }

  add(bytes: number): void {
    this.#bar?.increment(bytes);
  }

  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}
