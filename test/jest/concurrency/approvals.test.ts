import { expect, test } from "@jest/globals";
import { openAccount, sqlState } from "../../support/ledger.ts";
import { actAs } from "../../support/session.ts";
import { countersOf, gatherCrowd } from "./crowd.ts";

/* Many people decide about the same proposal at once: one decision takes effect, and posts once or not at all. */
const crowd = await gatherCrowd(16);
const user = (number: number): string => `00000000-0000-7000-8000-${String(number).padStart(12, "0")}`;
const proposer = user(900);

test("of many who approve, reject or withdraw at once exactly one decides", async () => {
  const tenantId = await crowd.tenant();
  const [cash, sales] = [
    await openAccount(crowd.pool, tenantId),
    await openAccount(crowd.pool, tenantId, { type: "revenue" }),
  ];
  for (let round = 0; round < 6; round += 1) {
    const before = await countersOf(crowd.pool, cash);
    const proposalId = await propose(tenantId, cash, sales, `round ${round}`);
    const outcomes = await crowd.all(async (client, number) => {
      const isProposer = number === 0;
      const userId = isProposer ? proposer : user(100 + number);
      await actAs(client, { tenantId, role: isProposer ? "teller" : "accountant", userId });
      const call = isProposer
        ? "withdraw_proposal($1)"
        : round > 1 && number % 2 === 0
          ? "reject_proposal($1, 'no')"
          : "approve_proposal($1)";
      return client.query(`select app_public.${call}`, [proposalId]).then(
        () => call.replace(/_.*/, ""),
        (error: unknown) => sqlState(error),
      );
    });
    const winners = outcomes.filter((outcome) => outcome !== "LG391");
    expect(winners).toEqual([expect.stringMatching(/^(approve|reject|withdraw)$/)]);
    const after = await countersOf(crowd.pool, cash);
    expect(after.posted - before.posted).toBe(winners[0] === "approve" ? 10n : 0n);
    const { rows } = await crowd.pool.query(
      "select count(*)::integer as n from app_public.proposal_decisions where tenant_id = $1 and proposal_id = $2",
      [tenantId, proposalId],
    );
    expect(rows).toEqual([{ n: 1 }]);
  }
});

test("the same proposal sent by many at once is one", async () => {
  const tenantId = await crowd.tenant();
  const [cash, sales] = [
    await openAccount(crowd.pool, tenantId),
    await openAccount(crowd.pool, tenantId, { type: "revenue" }),
  ];
  const ids = await crowd.all(async (client) => {
    await actAs(client, { tenantId, role: "teller", userId: proposer });
    const { rows } = await client.query<{ id: string }>(proposeSql, [cash, sales, "the same key"]);
    return rows[0]?.id;
  });
  expect(new Set(ids).size).toBe(1);
});

const proposeSql = `select (app_public.propose_transaction(
  row('posted', array[
    row($1::uuid, 'debit', 10)::app_public.posting_input, row($2::uuid, 'credit', 10)::app_public.posting_input
  ], $3::text, null, null, null, null, null, null, null)::app_public.transaction_input, 'why')).id`;

async function propose(tenantId: number, cash: string, sales: string, key: string): Promise<string> {
  const client = await crowd.pool.connect();
  try {
    await actAs(client, { tenantId, role: "teller", userId: proposer });
    const { rows } = await client.query<{ id: string }>(proposeSql, [cash, sales, key]);
    return rows[0]?.id ?? "";
  } finally {
    client.release();
  }
}
