import { spawnSync } from "node:child_process";
import { describe, expect, test } from "@jest/globals";
import type pg from "pg";
import { projectRoot } from "../../../src/paths.ts";
import { actAs, staff } from "../../support/session.ts";
import { createTestDatabase } from "../../support/test_database.ts";
import { hasProgram, makeCli, parseTrialBalance } from "./run_cli.ts";

const db = await createTestDatabase();
const cli = makeCli(db);
const hledger = hasProgram("hledger") ? test : test.skip;
const beancount = hasProgram("bean-check") ? test : test.skip;

await cli.run("tenant", "create", "finance");
const finance = `${projectRoot}/test/journals/personal-finance.csv`;
await cli.run("import", finance, "--tenant", "finance", "--rounding-account", "Equity:Rounding");

// Books that no other program would have written: names, texts and times that need care.
await cli.run("tenant", "create", "odd");
const accounts = [
  ["1000", "asset", "USD"],
  ["(petty) cash; box", "asset", "USD"],
  ["Assets:a  b", "asset", "USD"],
  ["Assets:a b", "asset", "USD"],
  ["Assets", "asset", "X"],
  ["*Ünïvérsité:日本:€", "expense", "USD"],
  ["expenses:x-1:-y", "expense", "BIG-18."],
  ["Income:Assets:Sale", "revenue", "BIG-18."],
  ["Assets:b::c", "liability", "X"],
  ["EQUITY:start", "equity", "USD"],
] as const;
const descriptions = [
  "plain",
  "",
  'a "quote" and a \\ backslash\\',
  "two\nlines; and a comment",
  "(not a code) text",
  "* not a status",
  "=2020-01-01 not a date | payee, date:2021-01-01",
  "emoji 🎉 “typographic”   blanks ",
];
await db.withClient("owner", async (client) => {
  const { rows } = await client.query<{ id: number }>("select id from app_public.tenants where slug = 'odd'");
  await actAs(client, { tenantId: Number(rows[0]?.id), role: "accountant", userId: staff });
  await client.query("set role tallystick_accountant");
  await client.query("select app_public.create_currency('X', 0), app_public.create_currency('BIG-18.', 18)");
  const ids = new Map<string, string>();
  for (const [code, type, currency] of accounts) {
    const { rows } = await client.query<{ id: string }>(
      "select (app_public.open_account(code => $1, name => 'Name', type => $2, currency => $3)).id",
      [code, type, currency],
    );
    ids.set(code, rows[0]?.id ?? "");
  }
  const id = (index: number): string => ids.get(accounts[index]?.[0] ?? "") ?? "";
  for (const [index, description] of descriptions.entries()) {
    await post(client, id(index % 4), id(9), "12345", {
      description,
      effectiveAt: `2024-0${index + 1}-05T17:30:00.25Z`,
    });
  }
  await post(client, id(5), id(9), "5", {});
  await post(client, id(6), id(7), "1234567890123456789012345678", {});
  await post(client, id(4), id(8), "7", { effectiveAt: "1066-10-14T00:00:00Z", description: "long ago" });
  const pending = await post(client, id(0), id(9), "100", { kind: "pending", description: "card payment" });
  await client.query(
    `select app_public.post_pending_transaction($1, array[
       row($2, 'debit', 60)::app_public.posting_input, row($3, 'credit', 60)::app_public.posting_input])`,
    [pending, id(0), id(9)],
  );
  const voided = await post(client, id(0), id(9), "900", { kind: "pending" });
  await client.query("select app_public.void_pending_transaction($1)", [voided]);
  await post(client, id(0), id(9), "400", { kind: "pending" });
  const wrong = await post(client, id(0), id(9), "11", { description: "wrong" });
  await client.query("select app_public.reverse_transaction($1)", [wrong]);
});

interface Extra {
  kind?: "posted" | "pending";
  description?: string;
  effectiveAt?: string;
}

async function post(client: pg.Client, debit: string, credit: string, amount: string, extra: Extra): Promise<string> {
  const { rows } = await client.query<{ id: string }>(
    `select (app_public.post_transaction(
       jsonb_populate_record(null::app_public.transaction_input, $1::jsonb))).transaction_id as id`,
    [
      {
        kind: extra.kind ?? "posted",
        description: extra.description || null,
        effective_at: extra.effectiveAt ?? null,
        postings: [
          { account_id: debit, direction: "debit", amount },
          { account_id: credit, direction: "credit", amount },
        ],
      },
    ],
  );
  return rows[0]?.id ?? "";
}

async function trialBalance(tenant: string): Promise<Map<string, string>> {
  const { stdout } = await cli.run("trial-balance", "--tenant", tenant, "--format", "csv");
  return new Map([...parseTrialBalance(stdout)].map(([key, { balance }]) => [key, balance]));
}

function runOn(program: string, args: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, {
    encoding: "utf8",
    env: { ...process.env, LC_ALL: "C.UTF-8" },
  });
  expect({ program, status, output: status === 0 ? stderr : stdout + stderr }).toEqual({
    program,
    status: 0,
    output: "",
  });
  return stdout;
}

/** The balances without those of zero, which other programs leave out. */
function withoutZeros(balances: Map<string, string>): Map<string, string> {
  return new Map([...balances].filter(([, balance]) => /[1-9]/.test(balance)));
}

describe.each(["finance", "odd"])("the books of %s", (tenant) => {
  hledger("pass hledger's strict check, and hledger computes the same balances to the last digit", async () => {
    const { status, stdout } = await cli.run("export", "--tenant", tenant, "--format", "hledger");
    expect(status).toBe(0);
    const file = cli.file(`${tenant}.journal`, stdout);
    runOn("hledger", ["-f", file, "check", "--strict"]);
    const csv = runOn("hledger", ["-f", file, "balance", "--flat", "--no-total", "--layout=bare", "-O", "csv"]);
    const theirs = new Map<string, string>();
    for (const line of csv.trimEnd().split("\n").slice(1)) {
      const [account = "", currency = "", balance = ""] = line.slice(1, -1).split('","');
      theirs.set(`${originals(stdout).get(account) ?? account} ${currency}`, balance);
    }
    expect(withoutZeros(theirs)).toEqual(withoutZeros(await trialBalance(tenant)));
  });

  beancount("pass bean-check, with every balance asserted to the last digit", async () => {
    const { status, stdout } = await cli.run("export", "--tenant", tenant, "--format", "beancount");
    expect(status).toBe(0);
    const names = new Map<string, string>();
    for (const [, name = "", original] of stdout.matchAll(/ open (\S+) .*\n(?: {2}tallystick-account: (".*")\n)?/g)) {
      names.set(original === undefined ? name : (JSON.parse(original) as string), name);
    }
    const codes = new Map<string, string>();
    for (const [, code = "", original] of stdout.matchAll(
      / commodity (\S+)\n(?: {2}tallystick-currency: (".*")\n)?/g,
    )) {
      codes.set(original === undefined ? code : (JSON.parse(original) as string), code);
    }
    const assertions = [...(await trialBalance(tenant))].map(([key, balance]) => {
      const at = key.lastIndexOf(" ");
      return `2099-12-31 balance ${names.get(key.slice(0, at))} ${balance} ~ 0 ${codes.get(key.slice(at + 1))}`;
    });
    expect(assertions.length).toBeGreaterThan(5);
    runOn("bean-check", [cli.file(`${tenant}.beancount`, `${stdout}\n${assertions.join("\n")}\n`)]);
    const wrong = assertions.map((line) => line.replace(/balance (\S+) (-?\d+)/, "balance $1 9$2")).slice(0, 1);
    const broken = cli.file(`${tenant}.wrong.beancount`, `${stdout}\n${wrong.join("\n")}\n`);
    expect(spawnSync("bean-check", [broken]).status).toBe(1);
  });

  test("go through a CSV into the books of another tenant, with the options that the export names", async () => {
    const { status, stdout, stderr } = await cli.run("export", "--tenant", tenant, "--format", "csv");
    expect(status).toBe(0);
    const options = [...stderr.matchAll(/^ {2}(--\S+) (?:'(.*)'|(\S+))$/gm)].flatMap(([, name = "", quoted, plain]) => [
      name,
      quoted ?? plain ?? "",
    ]);
    const copy = `${tenant}-copy`;
    await cli.run("tenant", "create", copy);
    const imported = await cli.run("import", cli.file(`${tenant}.csv`, stdout), "--tenant", copy, ...options);
    expect({ status: imported.status, stderr: imported.stderr }).toMatchObject({ status: 0 });
    const original = await cli.run("trial-balance", "--tenant", tenant, "--format", "csv");
    const copied = await cli.run("trial-balance", "--tenant", copy, "--format", "csv");
    expect(copied.stdout).toBe(original.stdout);
  });
});

/** The names of accounts as they were, from the comments of a journal for hledger. */
function originals(journal: string): Map<string, string> {
  const found = journal.matchAll(/^account (.*?)(?: {2};.*)?\n {4}; tallystick-account: (".*")$/gm);
  return new Map([...found].map(([, name = "", original = '""']) => [name, JSON.parse(original) as string]));
}

test("what is pending and what was voided is left out and counted; what was posted of it is in", async () => {
  const { stdout, stderr } = await cli.run("export", "--tenant", "odd", "--format", "csv");
  expect(stderr).toContain("Exported 14 transactions of odd. 1 pending transaction left out.");
  expect(stdout).toContain("card payment,,1000,0.60,USD,,0.60");
  expect(stdout).not.toContain("9.00");
});

test("says which names it had to change, and keeps the originals", async () => {
  const { stdout, stderr } = await cli.run("export", "--tenant", "odd", "--format", "beancount");
  expect(stderr).toContain("accounts are not legal in Beancount and were changed");
  expect(stderr).toContain("The codes of 2 currencies are not legal in Beancount");
  expect(stdout).toContain('open Expenses:Ünïvérsité:X日本:X USD\n  tallystick-account: "*Ünïvérsité:日本:€"\n');
});

test("writes to a file, and a file that cannot be written is an error", async () => {
  const path = cli.file("out.csv", "");
  const { status, stdout } = await cli.run("export", "-t", "odd", "--format", "csv", "--output", path);
  expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
  const failed = await cli.run("export", "-t", "odd", "--format", "csv", "--output", "/no/such/folder/x.csv");
  expect(failed.status).toBe(1);
  expect(failed.stderr).toContain("/no/such/folder/x.csv");
});
