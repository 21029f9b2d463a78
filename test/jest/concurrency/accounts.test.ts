import { expect, test } from "@jest/globals";
import type pg from "pg";
import { openAccount, openAccounts, postBatch, sqlState, transfer } from "../../support/ledger.ts";
import { actAs, staff } from "../../support/session.ts";
import { countersOf, gatherCrowd, tally, untilPosted } from "./crowd.ts";

/* An account is frozen, limited or closed with the functions of the API while clients post to it. */
const crowd = await gatherCrowd(24);

/** Runs one function of the API as the accountant; it is committed a little later, with the others waiting. */
async function change(client: pg.PoolClient, tenantId: number, call: string, values: unknown[]): Promise<number> {
  await actAs(client, { tenantId, role: "accountant", userId: staff });
  await client.query("begin");
  try {
    await client.query("set local role tallystick_accountant");
    const { rows } = await client.query<{ id: string }>(`select id from app_public.${call}`, values);
    const { version } = await countersOf(client, String(rows[0]?.id));
    await client.query("select pg_sleep(0.05)");
    await client.query("commit");
    return version;
  } catch (error) {
    await client.query("rollback");
    throw error;
  }
}

/** Sends the same batch until it is refused, at most 300 times. Tells how each item was answered. */
async function postUntilRefused(
  client: pg.PoolClient,
  tenantId: number,
  items: Parameters<typeof postBatch>[2],
): Promise<Awaited<ReturnType<typeof postBatch>>> {
  const answers = [];
  do answers.push(...(await postBatch(client, tenantId, items)));
  while (answers.at(-1)?.code === null && answers.length < 300 * items.length);
  return answers;
}

test("freezing: what was posted before counts, and nothing is posted after", async () => {
  const tenantId = await crowd.tenant();
  const [frozen = "", other = ""] = await openAccounts(crowd.pool, tenantId, 2);
  let atFreeze = -1;
  const results = await crowd.all(async (client, number) => {
    if (number > 0) return postUntilRefused(client, tenantId, [{ postings: transfer(frozen, other, 1) }]);
    await untilPosted(client, tenantId, 50);
    atFreeze = await change(client, tenantId, "freeze_account($1)", [frozen]);
    return [];
  });
  expect(tally(results.flatMap((answers) => answers ?? []))).toEqual({ posted: atFreeze, LG302: crowd.size - 1 });
  expect((await countersOf(crowd.pool, frozen)).version).toBe(atFreeze);
});

test("setting a minimum: it is refused if the balance is below already, and holds from then on", async () => {
  const tenantId = await crowd.tenant();
  const source = await openAccount(crowd.pool, tenantId, { type: "liability" });
  const [sink = ""] = await openAccounts(crowd.pool, tenantId, 1);
  let minimum = 0;
  const refused: string[] = [];
  const results = await crowd.all(async (client, number) => {
    if (number > 0) {
      const kind = number % 2 === 0 ? "pending" : "posted";
      return postUntilRefused(client, tenantId, [{ kind, postings: transfer(source, sink, 7) }]);
    }
    // The first minimum is too late by then: what is available falls all the time.
    await untilPosted(client, tenantId, 50);
    for (;;) {
      try {
        await change(client, tenantId, "set_account_limits($1, $2)", [source, minimum]);
        return [];
      } catch (error) {
        if (sqlState(error) !== "LG317") throw error;
        refused.push("LG317");
        minimum = Number((await countersOf(client, source)).available) - 1000;
      }
    }
  });
  expect(refused.length).toBeGreaterThan(0);
  expect(tally(results.flatMap((answers) => answers ?? []))["LG202"]).toBe(crowd.size - 1);
  const { available } = await countersOf(crowd.pool, source);
  expect(available).toBeGreaterThanOrEqual(BigInt(minimum));
  expect(available).toBeLessThan(BigInt(minimum + 7));
});

test("closing: only between transactions that leave it empty, and nothing is posted after", async () => {
  const tenantId = await crowd.tenant();
  const [closing = "", other = ""] = await openAccounts(crowd.pool, tenantId, 2);
  // Each batch fills the account and empties it: no one else ever sees it filled.
  const items = [{ postings: transfer(closing, other, 1) }, { postings: transfer(other, closing, 1) }];
  let atClose = -1;
  const results = await crowd.all(async (client, number) => {
    if (number > 0) return postUntilRefused(client, tenantId, items);
    await untilPosted(client, tenantId, 50);
    atClose = await change(client, tenantId, "close_account($1)", [closing]);
    return [];
  });
  const counts = tally(results.flatMap((answers) => answers ?? []));
  expect(counts).toEqual({ posted: atClose, LG303: 2 * (crowd.size - 1) });
  expect(await countersOf(crowd.pool, closing)).toMatchObject({ version: atClose, posted: 0n });
});
