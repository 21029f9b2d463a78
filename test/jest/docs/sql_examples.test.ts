import { describe, expect, test } from "@jest/globals";
import { seedTestDemo } from "../../support/demo.ts";
import { readProjectFile } from "../../support/project_files.ts";
import { parseTap } from "../../support/tap.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/** The SQL blocks of the how-to pages for DBAs and testers run as they stand. */
const db = await createTestDatabase({ pgtap: true });
await seedTestDemo(db);

function sqlBlocks(path: string): string[] {
  return [...readProjectFile(path).matchAll(/```sql\n([\s\S]*?)```/g)].map((match) => match[1] ?? "");
}

describe("how to operate the database", () => {
  const blocks = sqlBlocks("docs/how-to/operate-the-database.md");

  test("an auditor sees every account with its balance", async () => {
    const results = await db.withClient("owner", (client) => client.query(blocks[0] ?? ""));
    const accounts = [results].flat().find(({ command, rows }) => command === "SELECT" && "posted" in (rows[0] ?? {}));
    expect(accounts?.rows).toHaveLength(17);
  });

  test("the checks are empty for the owner, who sees every tenant", async () => {
    const results = await db.withClient("owner", (client) => client.query(blocks[1] ?? ""));
    expect([results].flat().map(({ rows }) => rows)).toEqual([[], []]);
  });

  test("an administrator compares and repairs the balances", async () => {
    const results = await db.withClient("owner", (client) => client.query(blocks[2] ?? ""));
    expect(
      [results]
        .flat()
        .slice(1)
        .map(({ rows }) => rows),
    ).toEqual([[], []]);
  });
});

test("the pgTAP file of the how-to for testers passes", async () => {
  const [file = ""] = sqlBlocks("docs/how-to/test-the-ledger.md");
  const results = await db.withClient("superuser", async (client) => {
    await client.query("set search_path = tap, public");
    return client.query(file);
  });
  const lines = [results].flat().flatMap(({ rows }) => rows.flatMap((row) => Object.values(row)));
  const { planned, assertions } = parseTap(lines.join("\n"));
  expect(planned).toBe(1);
  expect(assertions).toMatchObject([{ ok: true, description: "a teller cannot close an account" }]);
});
