import { describe, expect, test } from "@jest/globals";
import { accessOf, readAccess } from "../../../scripts/access.ts";
import { differingLines } from "../../../scripts/catalog.ts";
import { readProjectFile } from "../../support/project_files.ts";
import { createTestDatabase } from "../../support/test_database.ts";

const db = await createTestDatabase();
const reviewed = readProjectFile("schema/access.txt");

test("schema/access.txt says what the database allows", async () => {
  expect(differingLines(reviewed, await readAccess(db.urls.superuser))).toEqual([]);
});

describe("a line of it is missing after", () => {
  test.each([
    ["create table app_public.surprise (tenant_id integer)", "table app_public.surprise: NO ROW LEVEL SECURITY"],
    ["create table public.surprise (a integer)", "table public.surprise: NO ROW LEVEL SECURITY"],
    ["create view app_hidden.surprise as select 1", "view app_hidden.surprise"],
    ["create sequence app_private.surprise", "sequence app_private.surprise"],
    ["create schema surprise", "schema surprise"],
    [
      "create function app_public.surprise() returns integer language sql security definer as 'select 1'",
      "definer function app_public.surprise()",
    ],
    ["grant select on app_private.sessions to tallystick_teller", "  select: teller"],
    ["grant update (name) on app_public.accounts to tallystick_teller", "  update of column name: teller"],
    ["grant tallystick_admin to tallystick_customer", "role customer:, may become admin"],
    ["alter role tallystick_teller bypassrls", "role teller: bypassrls"],
    [
      "create policy surprise on app_private.sessions for select to tallystick_teller using (true)",
      "  policy surprise for select to teller",
    ],
    ["alter table app_public.postings no force row level security", "table app_public.postings: NOT FORCED"],
  ])("%s", async (statement, line) => {
    const after = await db.withRollback("superuser", async (client) => {
      await client.query(statement);
      return accessOf(client);
    });
    expect(differingLines(reviewed, after)).toContain(`+ ${line}`);
  });
});
