import { expect, test } from "@jest/globals";
import { questions } from "../../../bench/parts/reads.ts";
import { openAccount, openTenant } from "../../support/ledger.ts";
import { actAs, staff } from "../../support/session.ts";
import { createTestDatabase } from "../../support/test_database.ts";

const db = await createTestDatabase();

test.each(questions)("$name is asked once, as the API asks it", async ({ sql }) => {
  await db.withRollback("superuser", async (client) => {
    const tenantId = await openTenant(client);
    const accountId = await openAccount(client, tenantId);
    await actAs(client, { tenantId, role: "accountant", userId: staff });
    await client.query("set local track_functions = 'pl'");
    await client.query(`prepare question (uuid, timestamptz, bigint) as ${sql}`);
    await client.query(`execute question ('${accountId}', now() - interval '1 day', 1)`);
    await client.query("deallocate question");
    const { rows } = await client.query<{ name: string; calls: string }>(
      `select p.proname as name, pg_stat_get_xact_function_calls(p.oid) as calls
       from pg_proc p
       where p.pronamespace = 'app_public'::regnamespace and pg_stat_get_xact_function_calls(p.oid) > 0`,
    );
    expect(rows.filter(({ calls }) => calls !== "1")).toEqual([]);
    if (sql.includes("accounts_balance")) expect(rows).toEqual([{ name: "accounts_balance", calls: "1" }]);
  });
});
