import { Command } from "commander";
import pg from "pg";
import { compareAnchors } from "../anchors.ts";
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
  /** All of the rows, of a check that found any. */
  rows: Record<string, unknown>[];
}

interface VerifyArguments {
  tenant: string;
  sealed?: boolean;
  anchors?: string;
}

/** The checks of the seal. */
const sealChecks = ["relayed_transactions_that_are_missing", "seal_blocks_that_differ", "sealed_rows_that_differ"];

const examples = `
Examples:
  $ npx tallystick verify --tenant home
  $ npx tallystick verify --tenant home --sealed --anchors /mnt/worm/anchors.jsonl

Each check is a view in the schema "checks" whose rows are violations, so zero rows is proof.
Exit status: 0 nothing was found; 1 something was, and its rows are shown.`;

export function verifyCommand(ledgers: Ledgers): Command {
  return new Command("verify")
    .summary("prove the books")
    .description("Runs every check on the books of a tenant and shows the rows that offend, if there are any.")
    .addOption(tenantOption())
    .option("--sealed", "run only the checks of the seal")
    .option("--anchors <file>", "compare the blocks with anchors that were kept elsewhere")
    .addHelpText("after", examples)
    .action(async ({ tenant, sealed = false, anchors }: VerifyArguments) => {
      const results = await ledgers.withTenant({ tenant, role: "auditor" }, async (ledger) => [
        ...(await runChecks(ledger, sealed ? sealChecks : null)),
        ...(anchors === undefined ? [] : [await checkAnchors(ledger, anchors)]),
      ]);
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

async function runChecks({ client }: TenantLedger, names: string[] | null): Promise<CheckResult[]> {
  const { rows: found } = await client.query<{
    name: string;
    description: string;
    rowsChecked: string;
    violations: string;
  }>(
    `select name, description, rows_checked as "rowsChecked", violations
       from app_public.verify_ledger($1) order by name`,
    [names],
  );
  const results: CheckResult[] = [];
  for (const { name, description, rowsChecked, violations } of found) {
    const rows = violations === "0" ? [] : await offendingRows(client, name);
    results.push({ name, description, rowsChecked: Number(rowsChecked), violations: Number(violations), rows });
  }
  return results;
}

/** What was told to the outside, as one more check. */
async function checkAnchors(ledger: TenantLedger, path: string): Promise<CheckResult> {
  const { compared, differing } = await compareAnchors(ledger, path);
  return {
    name: "anchors_that_differ",
    description: "Each block that was anchored is there as it was anchored.",
    rowsChecked: compared,
    violations: differing.length,
    rows: differing,
  };
}

/** The view itself, since verify_ledger answers with the first rows only. */
async function offendingRows(client: pg.Client, check: string): Promise<Record<string, unknown>[]> {
  const { rows } = await client.query<{ row: Record<string, unknown> }>(
    `select to_jsonb(violation) as row from checks.${pg.escapeIdentifier(check)} violation`,
  );
  return rows.map(({ row }) => row);
}

function describeBroken({ name, description, rows }: CheckResult): string {
  return [`${name}: ${description.replace(/\s+/g, " ")}`, ...rows.map((row) => `  ${JSON.stringify(row)}`)].join("\n");
}
