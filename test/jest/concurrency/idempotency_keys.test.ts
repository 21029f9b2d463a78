import { expect, test } from "@jest/globals";
import { openAccounts, postBatch, postOne, sqlState, transfer } from "../../support/ledger.ts";
import { countersOf, gatherCrowd, randomNumbers, tally } from "./crowd.ts";

/* The same keys from many clients at the same time: each takes effect once. */
const crowd = await gatherCrowd(32);

test("one key and payload from all has one effect, and all get its id and balances", async () => {
  const tenantId = await crowd.tenant();
  const [cash = "", sales = ""] = await openAccounts(crowd.pool, tenantId, 2);
  for (let round = 1; round <= 8; round += 1) {
    const item = { postings: transfer(cash, sales, 10), idempotencyKey: `round ${round}`, metadata: { round } };
    const results = (await crowd.all((client) => postOne(client, tenantId, item))).filter((r) => r !== undefined);
    expect(tally(results)).toEqual({ posted: 1, replayed: 31 });
    expect(new Set(results.map((result) => result.transactionId)).size).toBe(1);
    expect(new Set(results.map((result) => JSON.stringify(result.balances))).size).toBe(1);
    expect(await countersOf(crowd.pool, cash)).toMatchObject({ version: round, posted: BigInt(10 * round) });
  }
});

test("one key with other payloads on other accounts takes effect once, and the others are told LG501", async () => {
  const tenantId = await crowd.tenant();
  const accounts = await openAccounts(crowd.pool, tenantId, 2 * crowd.size);
  for (let round = 1; round <= 8; round += 1) {
    const results = await crowd.all((client, number) =>
      postOne(client, tenantId, {
        postings: transfer(accounts[2 * number] ?? "", accounts[2 * number + 1] ?? "", 10),
        idempotencyKey: `round ${round}`,
      }),
    );
    const answered = results.filter((result) => result !== undefined);
    expect(tally(answered)).toEqual({ posted: 1, LG501: 31 });
    const winner = answered.find((result) => result.code === null)?.transactionId;
    for (const { code, detail } of answered)
      if (code !== null) expect(detail).toMatchObject({ transactionId: winner, field: "postings" });
  }
});

test("the same keys in other orders, in batches on other accounts, neither deadlock nor double", async () => {
  const tenantId = await crowd.tenant();
  const accounts = await openAccounts(crowd.pool, tenantId, 2 * crowd.size);
  const keys = Array.from({ length: 40 }, (_, i) => `key ${i}`);
  const results = await crowd.all(async (client, number) => {
    const random = randomNumbers(number);
    const [debit = "", credit = ""] = accounts.slice(2 * number);
    const items = Array.from({ length: 25 }, () => ({
      postings: transfer(debit, credit, 1),
      idempotencyKey: keys[random(keys.length)] ?? "",
    }));
    // LG502 asks for just this: the same request again.
    for (;;) {
      try {
        return await postBatch(client, tenantId, items);
      } catch (error) {
        if (sqlState(error) !== "LG502") throw error;
      }
    }
  });
  const counts = tally(results.flatMap((answers) => answers ?? []));
  expect(Object.keys(counts).sort()).toEqual(["LG501", "posted", "replayed"]);
  const { rows } = await crowd.pool.query<{ count: number }>(
    "select count(*)::integer as count from app_public.transactions where tenant_id = $1",
    [tenantId],
  );
  expect(rows[0]?.count).toBe(counts["posted"]);
  expect(counts["posted"]).toBeLessThanOrEqual(keys.length);
});
