import { Command } from "commander";
import { tenantOption } from "../arguments.ts";
import type { Ledgers, TenantLedger } from "../ledger.ts";
import { count, formatTable, say, type TableColumn } from "../output.ts";

/** What one check found: each row of its view is a violation. */
interface CheckResult {
  name: string;
  /** The rule that holds if nothing is found. */
  description: string;
  rowsChecked: number;
  violations: number;
  /** The first of the rows. */
  sample: Record<string, unknown>[];
}

const examples = `
Example:
  $ npx tallystick verify --tenant home

Each check is a view in the schema "checks" whose rows are violations, so zero rows is proof.
Exit status: 0 nothing was found; 1 something was, and its rows are shown.`;

export function verifyCommand(ledgers: Ledgers): Command {
  return new Command("verify")
    .summary("prove the books")
    .description("Runs every check on the books of a tenant and shows the rows that offend, if there are any.")
    .addOption(tenantOption())
    .addHelpText("after", examples)
    .action(async ({ tenant }: { tenant: string }) => {
      const results = await ledgers.withTenant({ tenant, role: "auditor" }, runChecks);
      const table = results.map(({ name, rowsChecked, violations }) => [
        name,
        rowsChecked.toLocaleString("en-GB"),
        violations.toLocaleString("en-GB"),
      ]);
      process.stdout.write(`${formatTable(columns, table)}\n`);
      const broken = results.filter(({ violations }) => violations > 0);
      for (const result of broken) process.stdout.write(`\n${describeBroken(result)}\n`);
      if (broken.length === 0) {
        say(`The books of ${tenant} are sound: ${count(results.length, "check")}, nothing found.`);
        return;
      }
      say(`The books of ${tenant} are NOT sound: ${count(broken.length, "check")} found something.`);
      process.exitCode = 1;
    });
}

const columns: TableColumn[] = [
  { title: "check" },
  { title: "rows checked", align: "right" },
  { title: "violations", align: "right" },
];

async function runChecks({ client }: TenantLedger): Promise<CheckResult[]> {
  const { rows } = await client.query<CheckResult & { rowsChecked: string; violations: string }>(
    `select name, description, rows_checked as "rowsChecked", violations, sample
       from app_public.verify_ledger() order by name`,
  );
  return rows.map((row) => ({ ...row, rowsChecked: Number(row.rowsChecked), violations: Number(row.violations) }));
}

function describeBroken({ name, description, violations, sample }: CheckResult): string {
  const rest = violations - sample.length;
  return [
    `${name}: ${description.replace(/\s+/g, " ")}`,
    ...sample.map((row) => `  ${JSON.stringify(row)}`),
    ...(rest > 0 ? [`  … and ${count(rest, "row")} more: select * from checks.${name}`] : []),
  ].join("\n");
}
