import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { secretKeys } from "../../../src/http/token_keys.ts";
import { verifyToken } from "../../../src/http/tokens.ts";
import { makeGate } from "../../../src/identity/gate.ts";
import { hashToken } from "../../../src/identity/one_time.ts";
import { makePasswords } from "../../../src/identity/passwords.ts";
import { makeTemporaryDirectory } from "../../../src/postgres/secrets.ts";
import { createTestDatabase } from "../../support/test_database.ts";
import { jwtSecret, makeCli, parseTrialBalance, removeFolder, runCli } from "./run_cli.ts";

const db = await createTestDatabase();
const cli = makeCli(db);
const user = "0191f3a4-0000-7000-8000-000000000001";
const journal =
  "txnidx,date,account,amount,commodity\n" +
  "1,2024-01-31,Assets:Bank,10.00,USD\n1,2024-01-31,Income:Job,-10.00,USD\n" +
  "2,2024-02-29,Expenses:Food,2.50,USD\n2,2024-02-29,Assets:Bank,-2.50,USD\n";

await cli.run("tenant", "create", "home", "--name", "Our home");
await cli.run("import", cli.file("home.csv", journal), "--tenant", "home");

describe("help", () => {
  const ofTenants = [
    "tenant create",
    "tenant invite-admin",
    "tenant suspend",
    "tenant resume",
    "tenant list",
    "operator add",
    "operator remove",
  ];
  const commands = ["start", "migrate", "tenant", "operator", ...ofTenants, "token", "import", "export"];
  const ofKeys = ["api-key", "api-key create", "api-key list", "api-key revoke"];
  test.each([...commands, ...ofKeys, "trial-balance", "verify", "proof", "operations", "operations collect"])(
    "%s --help tells what it does and shows examples",
    async (name) => {
      const { status, stdout, stderr } = await cli.run(...name.split(" "), "--help");
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      expect(stdout).toContain(`Usage: tallystick ${name} `);
      if (!["tenant", "operator", "api-key", "operations"].includes(name))
        expect(stdout).toMatch(new RegExp(`\\n {2}\\$ .*npx tallystick ${name}`));
    },
  );

  test("tallystick --help lists every command and what to do first", async () => {
    const { stdout } = await cli.run("--help");
    const others = ["api-key", "trial-balance", "verify", "proof", "operations"];
    for (const name of [...commands.filter((c) => !c.includes(" ")), ...others]) {
      expect(stdout).toMatch(new RegExp(`\\n {2}${name} .*[a-z]`));
    }
    expect(stdout).toContain("$ npx tallystick import books.csv --tenant home");
  });
});

describe("a wrong argument says what is wrong, and the exit status is 2", () => {
  test.each<[string[], string]>([
    [["impotr"], "(Did you mean import?)"],
    [[], "Usage: tallystick"],
    [["import"], "required option '-t, --tenant <slug>' not specified"],
    [["import", "-t", "home"], "missing required argument 'file'"],
    [["import", "x.csv", "-t", "home", "--account-type", "asset"], "It should have the form 'GLOB=type'"],
    [["import", "x.csv", "-t", "home", "--account-type", "A=money"], "asset, liability, equity, revenue, expense"],
    [["import", "x.csv", "-t", "home", "--currency", "$=usd"], "A currency's code is 1 to 24 characters"],
    [["import", "x.csv", "-t", "home", "--exponent", "USD=19"], "a whole number from 0 to 18"],
    [["import", "x.csv", "-t", "home", "--rounding-tolerance", "-1"], "It should be an amount such as 0.01."],
    [
      ["import", "x.csv", "-t", "home", "--rounding-tolerance", "0.01"],
      "--rounding-tolerance needs --rounding-account",
    ],
    [["export", "-t", "home", "--format", "xml"], "Allowed choices are hledger, beancount, csv, sealed."],
    [["export", "-t", "home"], "required option '--format <format>' not specified"],
    [["trial-balance", "-t", "home", "--at", "2024-02-30"], "It should be a date or a time such as"],
    [["tenant", "create", "x", "--admin-email", "nobody"], "It should be an e-mail address."],
    [["tenant", "invite-admin", "home", "a b@c"], "It should be an e-mail address."],
    [["token", "-t", "home", "-u", user, "-r", "owner"], "customer, teller, accountant, auditor, admin"],
    [["token", "-t", "home", "-u", "me", "-r", "teller"], "It should be a UUID"],
    [["token", "-t", "home", "-u", user, "-r", "teller", "--expires-in", "1y"], "such as 90s, 15m, 8h or 30d"],
  ])("%p", async (args, message) => {
    const { status, stdout, stderr } = await cli.run(...args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain(message);
  });
});

describe("what cannot be done says why and what to do, and the exit status is 1", () => {
  test.each<[string[], RegExp]>([
    [["import", "/no/such.csv", "-t", "home"], /There is no file \/no\/such\.csv\./],
    [["import", "/tmp", "-t", "home"], /\/tmp is not a regular file\./],
    [
      ["import", cli.file("same.csv", journal), "-t", "away"],
      /There is no tenant away\. There are: home[\s\S]*tenant create away/,
    ],
    [["tenant", "create", "home"], /There is a tenant with this slug already\. \(LG318\)/],
    [["tenant", "create", "Home!"], /LG114/],
    [["tenant", "create", "new", "--template", "wallet"], /--template and --currency go together\./],
    [["tenant", "create", "new", "--template", "circus", "--currency", "EUR"], /There is no such chart.* \(LG371\)/],
    [["tenant", "invite-admin", "away", "ada@example.com"], /There is no such tenant\. \(LG370\)/],
    [["operator", "remove", "opal@example.com"], /opal@example\.com is no operator\./],
    [["tenant", "suspend", "away"], /There is no such tenant\. \(LG370\)/],
  ])("%p", async (args, message) => {
    const { status, stdout, stderr } = await cli.run(...args);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n +at /);
  });

  test("a database that does not answer", async () => {
    const { status, stderr } = await runCli(["tenant", "list"], { DATABASE_URL: "postgres://a:b@127.0.0.1:9/x" });
    expect(status).toBe(1);
    expect(stderr).toMatch(/The database does not answer .*\n.*`npx tallystick start`/);
  });
});

describe("tenant", () => {
  test("list shows the tenants: none is left of those that were refused", async () => {
    const { stdout } = await cli.run("tenant", "list");
    expect(stdout).toMatch(/^slug +name +status +created\n[─ ]+\nhome +Our home +active +\d{4}-\d{2}-\d{2}\n$/);
  });

  test("suspend and resume", async () => {
    expect((await cli.run("tenant", "suspend", "home")).stdout).toBe("The tenant home is suspended.\n");
    expect((await cli.run("tenant", "list")).stdout).toMatch(/home .* suspended/);
    expect((await cli.run("tenant", "resume", "home")).stdout).toBe("The tenant home is active.\n");
    expect((await cli.run("tenant", "list")).stdout).toMatch(/home .* active/);
  });

  test("create opens a chart of accounts, and prints the token of the admin's invitation alone", async () => {
    const chart = ["--template", "wallet", "--currency", "EUR"];
    const { status, stdout, stderr } = await cli.run(
      "tenant",
      "create",
      "pay",
      ...chart,
      "--admin-email",
      "Ada@example.com",
    );
    expect(status).toBe(0);
    expect(stderr).toContain("Ada@example.com");
    expect(stdout).toMatch(/^[\w-]{43}\n$/);
    const again = await cli.run("tenant", "invite-admin", "pay", "bea@example.com");
    expect(again.stdout).toMatch(/^[\w-]{43}\n$/);
    await db.withClient("owner", async (client) => {
      const { rows: counts } = await client.query(
        `select count(*)::integer as accounts from app_public.accounts a
         join app_public.tenants t on t.id = a.tenant_id where t.slug = 'pay'`,
      );
      expect(counts).toEqual([{ accounts: 29 }]);
      for (const [token, userId] of [
        [stdout, user],
        [again.stdout, user.replace(/1$/, "2")],
      ] as const) {
        await client.query("insert into app_public.users (id, name) values ($1, 'x')", [userId]);
        const { rows } = await client.query("select role from app_private.accept_invitation($1, $2)", [
          hashToken(token.trim()),
          userId,
        ]);
        expect(rows).toEqual([{ role: "admin" }]);
      }
    });
  });
});

test("operator add prints a password of who is new, operator remove ends it", async () => {
  const added = await cli.run("operator", "add", "Opal@Example.com", "--name", "Opal");
  expect(added.stdout).toMatch(/^[\w-]{20}\n$/);
  const passwords = makePasswords({
    cost: { memoryKib: 64, passes: 1 },
    gate: makeGate({ concurrency: 1, queue: 1 }),
  });
  const { rows } = await db.withClient("superuser", (client) =>
    client.query(`select u.name, c.password_hash as hash from app_private.operators o
      join app_public.users u on u.id = o.user_id join app_private.credentials c on c.user_id = u.id`),
  );
  expect(rows).toEqual([{ name: "Opal", hash: expect.stringMatching(/^\$argon2id\$/) }]);
  expect(await passwords.verify(added.stdout.trim(), rows[0].hash)).toBe(true);
  const again = await cli.run("operator", "add", "opal@example.com");
  expect(again).toMatchObject({
    status: 0,
    stdout: "",
    stderr: expect.stringContaining("the password that they have"),
  });
  const removed = await cli.run("operator", "remove", "opal@example.com");
  expect(removed.stdout).toBe("opal@example.com is an operator no longer.\n");
  expect((await cli.run("operator", "remove", "opal@example.com")).status).toBe(1);
});

describe("token", () => {
  test("prints a token alone, which the API takes for what was asked", async () => {
    const { status, stdout, stderr } = await cli.run(
      "token",
      "-t",
      "home",
      "-r",
      "teller",
      "-u",
      user,
      "--expires-in",
      "1h",
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    const claims = verifyToken(stdout.trim(), secretKeys(jwtSecret));
    expect(claims).toMatchObject({ userId: user, role: "teller" });
    expect(claims.expiresAt - Date.now() / 1000).toBeGreaterThan(3_500);
    const { rows } = await db.withClient("superuser", (c) =>
      c.query("select id from app_public.tenants where slug = 'home'"),
    );
    expect(claims.tenantId).toBe(rows[0].id);
  });
});

describe("trial-balance", () => {
  test("as a table for people, with totals", async () => {
    const { stdout } = await cli.run("trial-balance", "-t", "home");
    expect(stdout.split("\n")).toEqual([
      "account        currency  debits  credits  balance",
      "─────────────  ────────  ──────  ───────  ───────",
      "Assets:Bank    USD        10.00     2.50     7.50",
      "Expenses:Food  USD         2.50     0.00     2.50",
      "Income:Job     USD         0.00    10.00   -10.00",
      "in all         USD        12.50    12.50     0.00",
      "",
    ]);
  });

  test("as JSON, amounts as text", async () => {
    const { stdout } = await cli.run("trial-balance", "-t", "home", "--format", "json");
    expect(JSON.parse(stdout)[0]).toEqual({
      account: "Assets:Bank",
      currency: "USD",
      debits: "10.00",
      credits: "2.50",
      balance: "7.50",
    });
  });

  test.each([
    ["--at", "2024-01-30", undefined],
    ["--at", "2024-01-31", "10.00"],
    ["--at", "2024-02-28T23:59:59Z", "10.00"],
    ["--at", "2024-02-29T01:00:00+01:00", "7.50"],
    ["--known-at", "2020-01-01", undefined],
    ["--known-at", "2999-01-01", "7.50"],
  ])("%s %s", async (option, time, balance) => {
    const { stdout } = await cli.run("trial-balance", "-t", "home", "--format", "csv", option, time);
    const found = parseTrialBalance(stdout).get("Assets:Bank USD")?.balance;
    expect(found === "0.00" ? undefined : found).toBe(balance);
  });
});

describe("verify", () => {
  test("runs every check, and sound books are told to be so", async () => {
    const { status, stdout, stderr } = await cli.run("verify", "-t", "home");
    expect({ status, stderr }).toMatchObject({ status: 0, stderr: expect.stringContaining("are sound") });
    expect(stdout).toMatch(/^check +rows checked +violations\n[─ ]+\n(\S+ +\d+ +0\n)+$/);
  });

  test("shows the offending rows of broken books, and the exit status is 1", async () => {
    await db.withClient("superuser", (client) =>
      client.query(`set session_replication_role = replica;
        update app_public.account_balances set posted_debits = posted_debits + 1
        where account_id = (select id from app_public.accounts where code = 'Assets:Bank')`),
    );
    const { status, stdout, stderr } = await cli.run("verify", "-t", "home");
    expect(status).toBe(1);
    expect(stderr).toContain("are NOT sound");
    expect(stdout).toMatch(/\nbalances_that_differ +\d+ +1\n/);
    expect(stdout).toMatch(/\n\nbalances_that_differ: .+\n {2}\{"[^\n]*\}\n/);
  });

  test("leaves none of the rows out, however many there are", async () => {
    await db.withClient("superuser", (client) =>
      client.query(`set session_replication_role = replica;
        insert into app_public.accounts (tenant_id, code, currency, name, type, normal_balance)
        select t.id, 'lost ' || n, c.code, 'Without a balance', 'asset', 'debit'
        from app_public.tenants t
        join lateral (select code from app_public.currencies where tenant_id = t.id limit 1) c on true
        cross join generate_series(1, 25) n
        where t.slug = 'home'`),
    );
    const { stdout } = await cli.run("verify", "-t", "home");
    const counted = [...stdout.matchAll(/^\S+ +[\d,]+ +([\d,]+)$/gm)].map((match) =>
      Number(match[1]?.replace(",", "")),
    );
    const shown = stdout.match(/^ {2}\{".*\}$/gm) ?? [];
    expect(shown.length).toBeGreaterThan(25);
    expect(shown).toHaveLength(counted.reduce((sum, count) => sum + count, 0));
  });
});

test("an import that is interrupted keeps nothing, and shows no progress bar where nobody watches", async () => {
  await cli.run("tenant", "create", "interrupted");
  const rows = Array.from(
    { length: 20_000 },
    (_, n) => `${n},2024-01-01,Assets:A,1,USD\n${n},2024-01-01,Equity:B,-1,USD\n`,
  );
  const file = cli.file("long.csv", `txnidx,date,account,amount,commodity\n${rows.join("")}`);
  const running = cli.start("import", file, "-t", "interrupted");
  await db.withClient("superuser", async (client) => {
    const posting = `select from pg_stat_activity
      where datname = $1 and query like '%post_transactions%' and pid <> pg_backend_pid()`;
    while ((await client.query(posting, [db.name])).rowCount === 0) await new Promise((done) => setTimeout(done, 5));
    running.child.kill("SIGINT");
    const { status, stderr } = await running.result;
    expect({ status, stderr }).toEqual({
      status: 130,
      stderr: "Stopped (SIGINT). What was not finished has not been kept.\n",
    });
    const { rows: left } = await client.query(
      "select count(*)::integer as number from app_public.accounts where code = 'Assets:A'",
    );
    expect(left).toEqual([{ number: 0 }]);
  });
});

describe("without DATABASE_URL", () => {
  const dataDir = makeTemporaryDirectory("tallystick-cli-data-");
  afterAll(() => removeFolder(dataDir));
  const run = (...args: string[]) => runCli(args, { TALLYSTICK_DATA_DIR: dataDir });

  test("an empty data directory is no ledger, and it says how to make one", async () => {
    const { status, stderr } = await run("tenant", "list");
    expect(status).toBe(1);
    expect(stderr).toContain(`There is no ledger in ${dataDir}.\n`);
    expect(stderr).toContain("`npx tallystick start`");
  });

  test("the embedded server is up for the command only, and what was written stays", async () => {
    expect((await run("migrate")).status).toBe(0);
    const created = await run("tenant", "create", "kept");
    expect(created.status).toBe(0);
    expect(created.stderr).toContain("The ledger is not running; its database is up for this command only.");
    expect(existsSync(join(dataDir, "postgres", "postmaster.pid"))).toBe(false);
    expect((await run("tenant", "list")).stdout).toContain("kept");
  }, 60_000);
});
