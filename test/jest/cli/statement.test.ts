import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { makeProvider } from "../../support/payments.ts";
import { createTestDatabase } from "../../support/test_database.ts";
import { runCli } from "./run_cli.ts";

/* Statements from the command line. */
const db = await createTestDatabase();
const folder = await mkdtemp(join(tmpdir(), "statements-"));
afterAll(() => rm(folder, { recursive: true }));

test("imports a file once, says what it did, and refuses what is none", async () => {
  const owner = db.pool("owner");
  const { rows } = await owner.query<{ id: number }>("select id from app_private.create_tenant('home')");
  const tenantId = rows[0]?.id ?? 0;
  await owner.query(
    "insert into app_public.currencies (tenant_id, code, exponent, name) values ($1, 'USD', 2, 'Dollar')",
    [tenantId],
  );
  await makeProvider(owner, tenantId, { code: "bank" });
  const path = join(folder, "november.csv");
  const run = (file: string) =>
    runCli(["statement", "import", file, "--tenant", "home", "--provider", "bank"], { DATABASE_URL: db.urls.owner });
  writeFileSync(path, "entry_id,booked_on,amount,currency,balance\na,2026-11-20,5.00,USD,5.00\n");
  expect(await run(path)).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/^Imported \w+ \(USD\): 1 entry\.\n$/),
  });
  expect(await run(path)).toMatchObject({
    status: 0,
    stdout: expect.stringContaining("was imported from this file before"),
  });
  writeFileSync(path, "entry_id,booked_on,amount,currency,balance\nb,2026-11-21,5.00,USD,11.00\n");
  expect(await run(path)).toMatchObject({ status: 1, stderr: expect.stringContaining('"difference": "100"') });
  writeFileSync(path, "entry_id,amount\n");
  expect(await run(path)).toMatchObject({ status: 1, stderr: expect.stringContaining("LG700") });
});
