import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { sealAll, verifySealed } from "../../support/seal.ts";
import { createTestDatabase } from "../../support/test_database.ts";
import { makeCli } from "./run_cli.ts";

/* The commands of the seal: export, proof, verify; what they write is what the stand-alone verifier reads. */
const db = await createTestDatabase();
const cli = makeCli(db);
const worker = db.pool("worker");
const owner = db.pool("owner");
const journal = `txnidx,date,account,amount,commodity
1,2024-01-31,Assets:Bank,10.00,USD
1,2024-01-31,Income:Job,-10.00,USD
2,2024-02-29,Expenses:Food,2.50,USD
2,2024-02-29,Assets:Bank,-2.50,USD
`;

await cli.run("tenant", "create", "home");
await cli.run("tenant", "create", "away");
await cli.run("import", cli.file("home.csv", journal), "--tenant", "home");
await sealAll(worker);
const { rows: ids } = await owner.query<{ id: string }>("select id from app_public.transactions order by xact_id, id");
const [first = ""] = ids.map(({ id }) => id);
const { rows: heads } = await owner.query("select app_private.unanchored_heads('file', 9) as anchor");
const anchors = cli.file("anchors.jsonl", heads.map(({ anchor }) => `${JSON.stringify(anchor)}\n`).join(""));

describe("export --format sealed", () => {
  test("writes what the stand-alone verifier takes, and says what is in it", async () => {
    const file = cli.file("home.sealed", "");
    const { status, stderr } = await cli.run("export", "-t", "home", "--format", "sealed", "-o", file);
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: expect.stringMatching(/^Exported \d+ sealed rows of home in 2 blocks, \d+ unsealed\.\n$/),
    });
    expect(verifySealed("ledger", file, "--anchors", anchors)).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(
        /^2 anchors of home compared\nledger: 1 blocks, 2 sealed rows, 0 not sealed yet\naudit: 1 blocks, /,
      ),
    });
  });

  test("books without a transaction are exported as well", async () => {
    const { stdout } = await cli.run("export", "-t", "away", "--format", "sealed");
    const lines = stdout.trimEnd().split("\n");
    expect(lines.filter((line) => JSON.parse(line).stream === "ledger")).toEqual([]);
    expect(verifySealed("ledger", cli.file("away.sealed", stdout))).toMatchObject({ status: 0, found: [] });
  });

  test("books that no block seals yet are exported as unsealed, and say so", async () => {
    await cli.run("tenant", "create", "fresh");
    await cli.run("import", cli.file("fresh.csv", journal), "--tenant", "fresh");
    const file = cli.file("fresh.sealed", "");
    const { stderr } = await cli.run("export", "-t", "fresh", "--format", "sealed", "-o", file);
    const unsealed = Number(/^Exported 0 sealed rows of fresh in 0 blocks, (\d+) unsealed\.\n$/.exec(stderr)?.[1]);
    expect(unsealed).toBeGreaterThan(2);
    expect(verifySealed("ledger", file)).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^ledger: 0 blocks, 0 sealed rows, 2 not sealed yet$/m),
    });
  });

  test("that the audit trail was read for it is in the trail, once", async () => {
    const count = async (): Promise<number> => {
      const { rows } = await owner.query(
        `select count(*) from app_private.audit_entries e join app_public.tenants t on t.id = e.tenant_id
         where t.slug = 'home' and e.operation = 'read' and e.table_name = 'audit_entries'`,
      );
      return Number(rows[0].count);
    };
    const before = await count();
    await cli.run("export", "-t", "home", "--format", "sealed");
    // Once for what is sealed, once for what is not.
    expect((await count()) - before).toBe(2);
  });

  test("an export that claims what no ledger does is not read", async () => {
    const { stdout } = await cli.run("export", "-t", "home", "--format", "sealed");
    const lines = stdout.trimEnd().split("\n");
    const [books = "", chain = "", ...rest] = lines;
    const retention = {
      type: "retention",
      stream: "ledger",
      startsAt: "2020-01-01T00:00:00Z",
      endsAt: "2020-02-01T00:00:00Z",
    };
    for (const forged of [
      [books, chain, JSON.stringify(retention), ...rest],
      [books, chain, chain, ...rest],
      [books, chain.replace('"ledger"', '"toString"'), ...rest],
      [books, chain, JSON.stringify({ type: "row" }), ...rest],
      [books, chain, "{}", ...rest],
    ]) {
      const { status, stdout: said } = verifySealed("ledger", cli.file("forged.sealed", forged.join("\n")));
      expect({ status, said }).toEqual({ status: 2, said: "" });
    }
  });

  test("an export that was cut off is found out", async () => {
    const { stdout } = await cli.run("export", "-t", "home", "--format", "sealed");
    const lines = stdout.trimEnd().split("\n");
    const found = (text: string): string[] =>
      verifySealed("ledger", cli.file("cut.sealed", text)).found.map((line) => line.split(":")[0] ?? "");
    expect(found(stdout)).toEqual([]);
    expect(found(lines.slice(0, -1).join("\n"))).toEqual(["export_incomplete"]);
    expect(found(lines.slice(0, 4).join("\n"))).toEqual(["export_incomplete", "leaves_changed"]);
    expect(found(stdout.slice(0, -200))).toContain("export_incomplete");
    expect(found(lines.filter((_, index) => index !== 3).join("\n"))).toContain("leaves_changed");
  });
});

describe("proof", () => {
  test("writes what the stand-alone verifier takes", async () => {
    const { status, stdout } = await cli.run("proof", first, "-t", "home");
    expect(status).toBe(0);
    expect(verifySealed("proof", cli.file("proof.json", stdout), "--anchors", anchors)).toMatchObject({
      status: 0,
      stdout: expect.stringContaining(`Transaction ${first} is leaf 0 of ledger block 1,`),
    });
  });

  test("of what does not exist says so", async () => {
    const { status, stderr } = await cli.run("proof", first, "-t", "away");
    expect({ status, stderr }).toEqual({ status: 1, stderr: `There is no transaction ${first}.\nCheck the id.\n` });
  });

  test("of what is not sealed yet says so", async () => {
    await cli.run("import", cli.file("away.csv", journal), "--tenant", "away");
    const { rows } = await owner.query<{ id: string }>(
      `select t.id from app_public.transactions t
       join app_public.tenants n on n.id = t.tenant_id where n.slug = 'away'`,
    );
    const { status, stderr } = await cli.run("proof", rows[0]?.id ?? "", "-t", "away");
    expect(status).toBe(1);
    expect(stderr).toContain("The transaction has not been sealed yet.");
  });
});

describe("verify --sealed", () => {
  test("runs the checks of the seal alone, and compares anchors", async () => {
    const { status, stdout } = await cli.run("verify", "-t", "home", "--sealed", "--anchors", anchors);
    const names = [...stdout.matchAll(/^(\w+) +[\d,]+ +0$/gm)].map((match) => match[1]);
    expect({ status, names }).toEqual({
      status: 0,
      names: [
        "relayed_transactions_that_are_missing",
        "seal_blocks_that_differ",
        "sealed_rows_that_differ",
        "anchors_that_differ",
      ],
    });
  });

  test("says which anchors differ; those of other tenants are passed over, and what is none is told", async () => {
    const head = heads
      .map(({ anchor }) => anchor)
      .find(({ tenant, stream }) => tenant === "home" && stream === "ledger");
    const other = { ...head, tenant: "elsewhere", chainId: "00000000-0000-4000-8000-000000000000" };
    const lines = [{ ...head, blockHash: "0".repeat(64) }, other, { ...head, number: 7 }, "no anchor"];
    const file = cli.file("bad.jsonl", lines.map((line) => JSON.stringify(line)).join("\n"));
    const { status, stdout, stderr } = await cli.run("verify", "-t", "home", "--sealed", "--anchors", file);
    expect(status).toBe(1);
    expect(stderr).toContain(`Line 4 of ${file} is no anchor, and was passed over.`);
    expect(stdout).toMatch(/\nanchors_that_differ +2 +2\n/);
    expect(stdout).toMatch(/\{"stream":"ledger","number":1,"problem":"the block was replaced",/);
    expect(stdout).toMatch(/\{"stream":"ledger","number":7,"problem":"the block is missing",/);
  });

  test("a file without an anchor of the tenant is not taken for one that agrees", async () => {
    const { status, stdout } = await cli.run("verify", "-t", "away", "--sealed", "--anchors", cli.file("no.jsonl", ""));
    expect(status).toBe(1);
    expect(stdout).toContain("the file has no anchor of this tenant");
  });

  test("a file of anchors that is not there is an error", async () => {
    const { status, stderr } = await cli.run("verify", "-t", "home", "--sealed", "--anchors", "/no/such.jsonl");
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringMatching(/^\/no\/such\.jsonl cannot be read/),
    });
  });

  test("names the row that was changed", async () => {
    const change = (by: number) =>
      db.withClient("superuser", (client) =>
        client.query(`set session_replication_role = replica;
          update app_public.postings set posted_debits = posted_debits + ${by} where transaction_id = '${first}'`),
      );
    await change(1);
    const { status, stdout } = await cli.run("verify", "-t", "home", "--sealed");
    await change(-1);
    expect(status).toBe(1);
    expect(stdout).toContain(`"row_id":"${first}"`);
  });
});

describe("the stand-alone verifier", () => {
  test("--help tells what it takes, and every finding", () => {
    const { status, stdout } = verifySealed("--help");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^Usage: node verify_sealed\.mjs ledger EXPORT/);
    const source = readFileSync("tools/verify_sealed.mjs", "utf8");
    const named = [...source.matchAll(/(?:findings\.add\(\s*|broken = .*?add\()"(\w+)"/g)].map(
      (match) => match[1] ?? "",
    );
    expect(named.length).toBeGreaterThan(12);
    for (const name of named) expect(stdout).toMatch(new RegExp(`^ {2}${name} `, "m"));
  });

  test("needs nothing but Node.js", () => {
    const imports = [...readFileSync("tools/verify_sealed.mjs", "utf8").matchAll(/\bfrom "([^"]+)"/g)];
    expect(imports.map((match) => match[1]).filter((name) => !name?.startsWith("node:"))).toEqual([]);
  });

  test.each<[string[], string]>([
    [[], "Usage:"],
    [["books", "x"], "Usage:"],
    [["ledger"], "Usage:"],
    [["ledger", "a", "b"], "Usage:"],
    [["ledger", "x", "--anchor", "y"], "--anchor"],
    [["ledger", "/no/such"], "/no/such cannot be read"],
    [["proof", "/no/such"], "/no/such cannot be read"],
    [["proof", "package.json"], "package.json holds no proof"],
    [["ledger", "package.json"], "package.json is no export of a sealed ledger."],
    [["proof", "package.json", "--anchors", "/no/such"], "/no/such cannot be read"],
  ])("with wrong arguments %p ends with status 2", (args, message) => {
    const { status, stdout, stderr } = verifySealed(...args);
    expect({ status, stdout, stderr }).toEqual({ status: 2, stdout: "", stderr: expect.stringContaining(message) });
  });
});
