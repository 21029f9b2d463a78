import { Command, Option } from "commander";
import { formatCsv } from "../../books/csv.ts";
import { formatUnits } from "../../books/decimal.ts";
import { parseMoment, tenantOption } from "../arguments.ts";
import type { Ledgers, TenantLedger } from "../ledger.ts";
import { formatTable, say, type TableColumn } from "../output.ts";

interface TrialBalanceArguments {
  tenant: string;
  at?: string;
  knownAt?: string;
  format: "table" | "csv" | "json";
}

/** One line: amounts in minor units. */
interface Line {
  account: string;
  currency: string;
  exponent: number;
  debits: bigint;
  credits: bigint;
}

const examples = `
Examples:
  $ npx tallystick trial-balance --tenant home
  $ npx tallystick trial-balance --tenant home --at 2025-12-31 --format csv > year_end.csv
  $ npx tallystick trial-balance --tenant home --at 2025-12-31 --known-at 2026-01-15T09:00:00+01:00

--at asks by when things happened, --known-at by when the ledger learnt of them. A date alone means the end of
that day; a time without a zone is UTC. Pending transactions do not count. balance = debits − credits.`;

export function trialBalanceCommand(ledgers: Ledgers): Command {
  return new Command("trial-balance")
    .summary("show the balance of every account")
    .description("Shows the debits, the credits and the balance of every account, now or at a time.")
    .addOption(tenantOption())
    .option("--at <time>", "count what happened up to this time; default: everything", parseMoment)
    .option("--known-at <time>", "count what was recorded up to this time; default: everything", parseMoment)
    .addOption(new Option("--format <format>", "how to write it").choices(["table", "csv", "json"]).default("table"))
    .addHelpText("after", examples)
    .action(async (options: TrialBalanceArguments) => {
      const lines = await ledgers.withTenant({ tenant: options.tenant, role: "auditor" }, (ledger) =>
        readTrialBalance(ledger, options),
      );
      process.stdout.write(`${formats[options.format](lines)}\n`);
      if (lines.length === 0) say("There are no accounts yet. `npx tallystick import --help` tells how to get some.");
    });
}

async function readTrialBalance({ client, tenantId }: TenantLedger, options: TrialBalanceArguments): Promise<Line[]> {
  const { rows } = await client.query<{ [Name in keyof Line]: string }>(
    `select t.code as account, t.currency, c.exponent, t.debits, t.credits
       from unnest(app_public.trial_balance(as_of => $2, known_at => $3)) t
       join app_public.currencies c on c.tenant_id = $1 and c.code = t.currency
      order by t.code, t.currency`,
    [tenantId, options.at ?? null, options.knownAt ?? null],
  );
  return rows.map(({ account, currency, exponent, debits, credits }) => ({
    account,
    currency,
    exponent: Number(exponent),
    debits: BigInt(debits),
    credits: BigInt(credits),
  }));
}

const names = ["account", "currency", "debits", "credits", "balance"] as const;

function toCells({ account, currency, exponent, debits, credits }: Line): string[] {
  return [account, currency, ...[debits, credits, debits - credits].map((units) => formatUnits(units, exponent))];
}

const formats: Record<TrialBalanceArguments["format"], (lines: Line[]) => string> = {
  csv: (lines) => [[...names], ...lines.map(toCells)].map(formatCsv).join("\n"),
  json: (lines) => {
    const objects = lines.map((line) => {
      const cells = toCells(line);
      return Object.fromEntries(names.map((name, index) => [name, cells[index]]));
    });
    return JSON.stringify(objects, null, 2);
  },
  table: (lines) => {
    const columns: TableColumn[] = names.map((title, index) => ({ title, align: index < 2 ? "left" : "right" }));
    return formatTable(columns, [...lines.map(toCells), ...totals(lines).map(toCells)]);
  },
};

/** Debits and credits of each currency, which are equal. */
function totals(lines: Line[]): Line[] {
  const sums = new Map<string, Line>();
  for (const line of lines) {
    const sum = sums.get(line.currency) ?? { ...line, account: "in all", debits: 0n, credits: 0n };
    sums.set(line.currency, { ...sum, debits: sum.debits + line.debits, credits: sum.credits + line.credits });
  }
  return [...sums.values()].sort((a, b) => (a.currency < b.currency ? -1 : 1));
}
