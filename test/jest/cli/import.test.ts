import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { formatUnits, parseDecimal, toUnits } from "../../../src/books/decimal.ts";
import { projectRoot } from "../../../src/paths.ts";
import { createTestDatabase } from "../../support/test_database.ts";
import { makeCli, parseTrialBalance } from "./run_cli.ts";

const db = await createTestDatabase();
const cli = makeCli(db);
const journals = `${projectRoot}/test/journals`;
const badRows = `${projectRoot}/test/jest/cli/journals/bad_rows.csv`;
const header = "txnidx,date,account,amount,commodity\n";

/** How many rows the tenant has in each table that an import writes. */
async function countRows(tenant: string): Promise<Record<string, number>> {
  return db.withClient("superuser", async (client) => {
    const { rows } = await client.query<Record<string, number>>(
      `select
         (select count(*)::integer from app_public.transactions x where x.tenant_id = t.id) as transactions,
         (select count(*)::integer from app_public.postings x where x.tenant_id = t.id) as postings,
         (select count(*)::integer from app_public.accounts x where x.tenant_id = t.id) as accounts,
         (select count(*)::integer from app_public.currencies x where x.tenant_id = t.id) as currencies
       from app_public.tenants t where t.slug = $1`,
      [tenant],
    );
    return rows[0] ?? {};
  });
}

async function trialBalance(tenant: string, ...args: string[]): Promise<ReturnType<typeof parseTrialBalance>> {
  const { stdout } = await cli.run("trial-balance", "--tenant", tenant, "--format", "csv", ...args);
  return parseTrialBalance(stdout);
}

const nothing = { transactions: 0, postings: 0, accounts: 0, currencies: 0 };

describe("the journal of personal finance", () => {
  const file = `${journals}/personal-finance.csv`;
  const rounding = ["--rounding-account", "Equity:Rounding", "--rounding-tolerance", "0.01"];

  test("is refused as it is: 180 transactions do not balance, each with its lines; nothing is imported", async () => {
    await cli.run("tenant", "create", "finance");
    const { status, stdout, stderr } = await cli.run("import", file, "--tenant", "finance");
    expect(status).toBe(1);
    expect(stdout).toBe("");
    expect(stderr).toContain("180 transactions refused:");
    expect(stderr.match(/it does not balance/g)).toHaveLength(180);
    expect(stderr).toContain("  lines 42-45 (txnidx 730): it does not balance: debits − credits is -0.00474 USD\n");
    expect(await countRows("finance")).toEqual(nothing);
  });

  test("is imported with a rounding account, and the report counts everything", async () => {
    const { status, stdout, stderr } = await cli.run("import", file, "--tenant", "finance", ...rounding);
    expect({ status, stderr }).toEqual({ status: 0, stderr: expect.not.stringContaining("refused") });
    const facts = stdout.split("\n").map((line) => line.trim().replace(/\s+/g, " "));
    expect(facts).toEqual([
      "Imported personal-finance.csv into the books of finance.",
      "1,035 transactions posted",
      "0 transactions that an earlier import of this file has posted",
      "3,817 postings",
      "2 postings of zero left out",
      "68 accounts created",
      "9 currencies created, with their decimals: USD 5, IRAUSD 2, VACHR 2, VBMPX 3, RGAGX 3, VHT 2, ITOT 2, " +
        "VEA 2, GLD 2",
      "0 transactions refused",
      "180 residues posted to Equity:Rounding, the transactions being off by 0.04201 USD in all",
      "",
    ]);
    expect(await countRows("finance")).toEqual({ transactions: 1035, postings: 3817, accounts: 68, currencies: 9 });
  });

  test("has the balances that hledger computed, for every account and currency but the rounding account", async () => {
    const ours = await trialBalance("finance");
    expect(ours.get("Equity:Rounding USD")?.balance).toBe("-0.04201");
    ours.delete("Equity:Rounding USD");
    const lines = readFileSync(`${journals}/personal-finance.balances.csv`, "utf8").trimEnd().split("\n").slice(1);
    for (const line of lines) {
      const [account = "", balances = ""] = line.slice(1, -1).split('","');
      if (balances === "0") {
        const zeros = [...ours].filter(([key]) => key.startsWith(`${account} `));
        expect(zeros.map(([, { balance }]) => Number(balance))).toEqual(zeros.map(() => 0));
        for (const [key] of zeros) ours.delete(key);
      }
      for (const [amount = "", currency = ""] of balances === "0"
        ? []
        : balances.split(", ").map((b) => b.split(" "))) {
        const key = `${account} ${currency}`;
        expect([key, roundTo(ours.get(key)?.balance ?? "", amount)]).toEqual([key, amount]);
        ours.delete(key);
      }
    }
    expect([...ours.keys()]).toEqual([]);
  });

  test("has exactly the sums of the file's amounts", async () => {
    const sums = new Map<string, bigint>();
    for (const line of readFileSync(file, "utf8").trimEnd().split("\n").slice(1)) {
      const cells = line.slice(1, -1).split('","');
      const key = `${cells[7]} ${cells[9]}`;
      sums.set(key, (sums.get(key) ?? 0n) + scaled(cells[8] ?? ""));
    }
    const ours = await trialBalance("finance");
    ours.delete("Equity:Rounding USD");
    expect(new Map([...ours].map(([key, { balance }]) => [key, scaled(balance)]))).toEqual(sums);
  });

  test("a second import posts nothing and says so", async () => {
    const before = await countRows("finance");
    const { status, stdout } = await cli.run("import", file, "--tenant", "finance", ...rounding);
    expect(status).toBe(0);
    expect(stdout).toContain("Nothing was posted: personal-finance.csv was imported into the books of finance before.");
    expect(stdout).toMatch(/ 1,035 {2}transactions that an earlier import of this file has posted/);
    expect(await countRows("finance")).toEqual(before);
  });

  test("the same file with other options is a conflict that names the field", async () => {
    const { status, stderr } = await cli.run(
      "import",
      file,
      "--tenant",
      "finance",
      "--rounding-account",
      "Equity:Other",
    );
    expect(status).toBe(1);
    expect(stderr).toContain(
      "lines 42-45 (txnidx 730): it was posted from this file before, and now its postings differ",
    );
  });

  test("dates are effective dates, so the books can be seen as of any day", async () => {
    const at = await trialBalance("finance", "--at", "2012-01-01");
    expect(at.get("Assets:US:BofA:Checking USD")?.balance).toBe("3077.70000");
    const before = await trialBalance("finance", "--known-at", "2012-01-01");
    expect([...before.values()].filter(({ debits, credits }) => Number(debits) + Number(credits) !== 0)).toEqual([]);
  });
});

describe("a file with bad rows", () => {
  const expected = [
    "line 1: “colour” is not a column that the import knows; it is left out",
    "lines 2-3 (txnidx 1): the rows of a transaction must stand together, see line 21",
    "lines 4-5 (txnidx 2): line 4: “2024-13-01” is not a date such as 2026-01-31",
    "lines 6-7 (txnidx 3): line 6: the amount “1,000” is not a number",
    "line 8 (txnidx 4): there is one posting only, and a transaction needs two or more",
    "lines 15-16 (txnidx 8): it does not balance: debits − credits is 0.005 USD",
    "lines 17-18 (txnidx 9): line 17: the row has 5 cells and the file has 7 columns",
    "lines 21-23 (txnidx 1): the rows of a transaction must stand together, see line 2; " +
      'line 23: there is a "B" after a closing quote',
    "lines 24-25 (txnidx 12): line 25: the txnidx is empty",
    "lines 26-27 (txnidx 13): line 26: “(Budget:Food)” is a virtual posting, which double entry does not know " +
      "(`hledger print --real` leaves them out)",
    "lines 30-31 (txnidx 15): line 30: the amount has 19 decimals, and 18 is the most",
    "lines 9-10, 28-29: the type of the account “Bank:Current” cannot be told from its name; " +
      "--account-type 'Bank:*=asset', for example, would tell it",
    "lines 11-12: the commodity “$” is not a currency's code; --currency '$=USD', for example, would tell it",
    "lines 13-14: the commodity is empty; --default-currency USD, for example, would tell it",
  ];

  test("is refused as a whole, every fault with its line", async () => {
    await cli.run("tenant", "create", "bad");
    const { status, stdout, stderr } = await cli.run("import", badRows, "--tenant", "bad");
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    const [first, ...rest] = stderr.split("\n");
    expect(first).toBe("14 transactions refused:");
    expect(rest.slice(0, expected.length)).toEqual(expected.map((line) => `  ${line}`));
    expect(stderr).toContain("Nothing was imported.");
    expect(await countRows("bad")).toEqual(nothing);
  });

  test("--keep-going imports the rest, tells all that is left out, and does not call it a success", async () => {
    const { status, stdout, stderr } = await cli.run("import", badRows, "--tenant", "bad", "--keep-going");
    expect(status).toBe(1);
    for (const line of expected) expect(stderr).toContain(`  ${line}\n`);
    expect(stdout).toMatch(/ 1 {2}transactions posted/);
    expect(stdout).toMatch(/ 14 {2}transactions refused/);
    expect(stdout).toMatch(/ 1 {2}postings of zero left out/);
    expect(stdout).toMatch(/ 1 {2}transactions of nothing but zeros left out: lines 19-20/);
    expect([...(await trialBalance("bad"))]).toEqual([
      ["Assets:Bank USD", { debits: "7.000", credits: "0.000", balance: "7.000" }],
      ["Income:Job USD", { debits: "0.000", credits: "7.000", balance: "-7.000" }],
    ]);
  });

  test("the options that it asks for settle what they name, and a second run posts only what was missing", async () => {
    const options = ["--account-type", "Bank:*=asset", "--currency", "$=USD", "--default-currency", "$"];
    const { stdout } = await cli.run("import", badRows, "--tenant", "bad", "--keep-going", ...options);
    expect(stdout).toMatch(/ 4 {2}transactions posted/);
    expect(stdout).toMatch(/ 1 {2}transactions that an earlier import of this file has posted/);
    expect(stdout).toMatch(/ 10 {2}transactions refused/);
    const balances = await trialBalance("bad");
    expect(balances.get("Bank:Current EUR")?.balance).toBe("2.00");
    expect(balances.get("Bank:Current USD")?.balance).toBe("5.000");
  });
});

describe("what the ledger refuses", () => {
  test("takes everything back, unless --keep-going", async () => {
    await cli.run("tenant", "create", "limited");
    const start = cli.file("start.csv", `${header}1,2024-01-01,Assets:Cash,5,USD\n1,2024-01-01,Equity:Start,-5,USD\n`);
    expect((await cli.run("import", start, "--tenant", "limited")).status).toBe(0);
    await db.withClient("superuser", (client) =>
      client.query("update app_public.accounts set minimum_balance = 0 where code = 'Assets:Cash'"),
    );
    const before = await countRows("limited");
    const rows = [
      "1,2024-01-02,Assets:Cash,3,USD\n1,2024-01-02,Income:Gift,-3,USD\n",
      "2,2024-01-03,Assets:Cash,-9,USD\n2,2024-01-03,Expenses:Car,9,USD\n",
      "3,2024-01-04,Assets:Cash,-1,USD\n3,2024-01-04,Expenses:Food,1,USD\n",
    ].join("");
    const file = cli.file("limited.csv", header + rows);
    const refused = await cli.run("import", file, "--tenant", "limited");
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/lines 4-5 \(txnidx 2\): the ledger refuses it: .*minimum balance.* \(LG202; /);
    expect(refused.stderr).toContain("Nothing was imported.");
    expect(await countRows("limited")).toEqual(before);

    const rest = await cli.run("import", file, "--tenant", "limited", "--keep-going");
    expect(rest.status).toBe(1);
    expect(rest.stdout).toMatch(/ 2 {2}transactions posted/);
    expect((await trialBalance("limited")).get("Assets:Cash USD")?.balance).toBe("7.00");
  });
});

describe("columns, names and numbers", () => {
  test("columns come in any order, optional ones may be missing, and the rest is kept as metadata", async () => {
    await cli.run("tenant", "create", "quirks");
    const text =
      "\uFEFFamount,Account,posting-comment,date,txnidx,description,code\r\n" +
      '"1,234.50","Assets:Cash, small",kept,2024-02-29,a-1,"two\r\nlines",77\r\n' +
      "\r\n" +
      '-1234.50,Equity:Start,,2024-02-29,a-1,"two\r\nlines",77\r\n';
    const options = ["--default-currency", "GOLD", "--decimal-mark", "."];
    const { status, stderr } = await cli.run("import", cli.file("q.csv", text), "--tenant", "quirks", ...options);
    expect({ status, refused: stderr.includes("refused") }).toEqual({ status: 0, refused: false });
    const balances = await trialBalance("quirks");
    expect(balances.get("Assets:Cash, small GOLD")?.balance).toBe("1234.50");
    const { rows } = await db.withClient("superuser", (client) =>
      client.query(`select t.description, t.metadata, t.effective_at::text from app_public.transactions t
        join app_public.tenants on tenants.id = t.tenant_id and slug = 'quirks'`),
    );
    expect(rows).toEqual([
      {
        description: "two\r\nlines",
        metadata: { journal: { txnidx: "a-1", code: "77", postings: { 1: { comment: "kept" } } } },
        effective_at: "2024-02-29 00:00:00+00",
      },
    ]);
  });

  test("a name with several currencies is one account for each; decimals come from the data or an option", async () => {
    await cli.run("tenant", "create", "decimals");
    const rows = ["USD 1.00000", "JPY 100.0", "BTC 0.00000001", "OWN 7", "OWNER 7.0", "EUR 3"].flatMap(
      (pair, index) => {
        const [commodity, amount] = pair.split(" ");
        const start = `${index + 1},2024-01-01,`;
        return [`${start}Assets:Wallet,${amount},${commodity}`, `${start}Equity:Start,-${amount},${commodity}`];
      },
    );
    const file = cli.file("decimals.csv", `${header}${rows.join("\n")}\n`);
    const { stdout } = await cli.run("import", file, "-t", "decimals", "--exponent", "EUR=4");
    expect(stdout).toContain("with their decimals: USD 2, JPY 0, BTC 8, OWN 0, OWNER 1, EUR 4\n");
    expect(stdout).toMatch(/ 12 {2}accounts created/);
  });

  test("more decimals than a currency of the books has are refused, not rounded", async () => {
    const file = cli.file("more.csv", `${header}1,2024-01-01,Assets:A,1.005,USD\n1,2024-01-01,Equity:B,-1.005,USD\n`);
    const { status, stderr } = await cli.run("import", file, "-t", "decimals");
    expect(status).toBe(1);
    expect(stderr).toContain("line 2: the amount has 3 decimals, and USD has 2 in the books of decimals");
    const asked = await cli.run("import", file, "-t", "decimals", "--exponent", "USD=3");
    expect(asked.status).toBe(1);
    expect(asked.stderr).toContain("USD has 2 decimals in these books, and that never changes");
  });

  test("an amount beyond what the ledger holds is refused with its line", async () => {
    const huge = "9".repeat(39);
    const file = cli.file(
      "huge.csv",
      `${header}1,2024-01-01,Assets:A,${huge},OWN\n1,2024-01-01,Equity:B,-${huge},OWN\n`,
    );
    const { status, stderr } = await cli.run("import", file, "-t", "decimals");
    expect(status).toBe(1);
    expect(stderr).toContain("lines 2-3 (txnidx 1): an amount has 39 digits or more in minor units");
  });

  test("a residue at the tolerance is posted, one beyond it is refused", async () => {
    await cli.run("tenant", "create", "residues");
    const row = (index: number, debit: string): string =>
      `${index},2024-01-01,Assets:A,${debit},USD\n${index},2024-01-01,Equity:B,-1,USD\n`;
    const file = cli.file("residues.csv", header + row(1, "1.02") + row(2, "1.021") + row(3, "0.99"));
    const rounding = ["--rounding-account", "Odds", "--rounding-tolerance", "0.02", "--account-type", "Odds=expense"];
    const { status, stdout, stderr } = await cli.run("import", file, "-t", "residues", "--keep-going", ...rounding);
    expect(status).toBe(1);
    expect(stderr).toContain("lines 4-5 (txnidx 2): it does not balance: debits − credits is 0.021 USD");
    expect(stdout).toMatch(/ 2 {2}residues posted to Odds, the transactions being off by 0.01 USD in all/);
    expect((await trialBalance("residues")).get("Odds USD")).toEqual({
      debits: "0.010",
      credits: "0.020",
      balance: "-0.010",
    });
    const { rows } = await db.withClient("superuser", (client) =>
      client.query("select distinct type from app_public.accounts where code = 'Odds'"),
    );
    expect(rows).toEqual([{ type: "expense" }]);
  });
});

/** A decimal in units of 10^-18. */
function scaled(text: string): bigint {
  const value = parseDecimal(text);
  const units = value && toUnits(value, 18);
  if (units === undefined) throw new Error(`${text} is not a decimal.`);
  return units;
}

/** Rounds a decimal to as many places as another has, half to even, as hledger prints. */
function roundTo(text: string, like: string): string {
  const places = like.split(".")[1]?.length ?? 0;
  const units = scaled(text);
  const step = 10n ** BigInt(18 - places);
  const size = units < 0n ? -units : units;
  const half = (size % step) * 2n;
  const whole = size / step;
  const rounded = half > step || (half === step && whole % 2n === 1n) ? whole + 1n : whole;
  return formatUnits(units < 0n ? -rounded : rounded, places);
}
