import { describe, expect, test } from "@jest/globals";
import { type Kind, mustPost, openAccount, openAccounts, postOne, transfer } from "../../support/ledger.ts";
import { countersOf, gatherCrowd, randomNumbers, tally } from "./crowd.ts";

/* Many clients resolve or reverse the same transaction: exactly one of them does. */
const crowd = await gatherCrowd(32);

describe("resolving one pending transaction", () => {
  test("of many that post or void it, exactly one wins, and the others are told what happened", async () => {
    const tenantId = await crowd.tenant();
    const [cash = "", sales = ""] = [
      await openAccount(crowd.pool, tenantId),
      await openAccount(crowd.pool, tenantId, { type: "revenue" }),
    ];
    for (let round = 0; round < 8; round += 1) {
      const before = await countersOf(crowd.pool, cash);
      const postings = transfer(cash, sales, 10);
      const pendingId = await mustPost(crowd.pool, tenantId, { kind: "pending", postings });
      const random = randomNumbers(round);
      const kinds = Array.from({ length: crowd.size }, (): Kind => (random(2) === 0 ? "post_pending" : "void_pending"));
      const results = await crowd.all((client, number) =>
        postOne(client, tenantId, { kind: kinds[number] ?? "post_pending", pendingId }),
      );
      const winner = results.findIndex((result) => result?.code === null);
      const told = kinds[winner] === "post_pending" ? "LG305" : "LG306";
      expect(tally(results.filter((result) => result !== undefined))).toEqual({ posted: 1, [told]: 31 });
      const after = await countersOf(crowd.pool, cash);
      expect(after.posted - before.posted).toBe(kinds[winner] === "post_pending" ? 10n : 0n);
      expect(after.pending).toBe(0n);
    }
  });

  test("around the instant of expiry it is either posted before or expired after, once", async () => {
    const tenantId = await crowd.tenant();
    const accounts = await openAccounts(crowd.pool, tenantId, 4);
    const pendings: string[] = [];
    for (let i = 0; i < 8; i += 1) {
      const postings = transfer(accounts[i % 4] ?? "", accounts[(i + 1) % 4] ?? "", 5);
      pendings.push(await mustPost(crowd.pool, tenantId, { kind: "pending", postings, timeoutSeconds: 1 }));
      await crowd.pool.query("select pg_sleep(0.02)");
    }
    const results = await crowd.all(async (client, number) => {
      const pendingId = pendings[number % 8] ?? "";
      const codes: (string | null)[] = [];
      // Early posters and late expirers of the same transaction, closing in on its last instant.
      const isExpiry = number >= 16;
      const { rows } = await client.query<{ left: number }>(
        `select extract(epoch from expires_at - clock_timestamp())::float8 as left
         from app_public.transactions where id = $1`,
        [pendingId],
      );
      const early = isExpiry ? 0.005 : number % 3 === 0 ? 0.004 : 0.001;
      await client.query("select pg_sleep($1)", [Math.max(0, (rows[0]?.left ?? 0) - early)]);
      for (let i = 0; i < 50; i += 1) {
        const kind = isExpiry ? "expire_pending" : "post_pending";
        const { code } = await postOne(client, tenantId, { kind, pendingId }, { mayExpire: true });
        codes.push(code);
        if (code === null || code === "LG305" || (code === "LG307" && isExpiry)) break;
      }
      return { isExpiry, codes };
    });
    for (const answer of results) {
      for (const code of answer?.codes ?? [])
        expect([null, "LG305", "LG307", ...(answer?.isExpiry ? ["LG321"] : [])]).toContain(code);
    }
    const { rows } = await crowd.pool.query<{ ok: boolean; count: number }>(
      `select bool_and((r.kind = 'post_pending') = (r.created_at < p.expires_at)) as ok, count(*)::integer as count
       from app_public.transactions p
       join app_public.transactions r on r.tenant_id = p.tenant_id and r.pending_id = p.id
       where p.tenant_id = $1`,
      [tenantId],
    );
    expect(rows[0]).toEqual({ ok: true, count: 8 });
  });
});

test("of many that reverse one transaction, exactly one does", async () => {
  const tenantId = await crowd.tenant();
  const [cash = "", sales = ""] = await openAccounts(crowd.pool, tenantId, 2);
  for (let round = 0; round < 8; round += 1) {
    const reversesId = await mustPost(crowd.pool, tenantId, { postings: transfer(cash, sales, 10) });
    const results = await crowd.all((client) => postOne(client, tenantId, { reversesId }));
    expect(tally(results.filter((result) => result !== undefined))).toEqual({ posted: 1, LG311: 31 });
    expect((await countersOf(crowd.pool, cash)).posted).toBe(0n);
  }
});

test("a part is posted once, whoever asks for which part", async () => {
  const tenantId = await crowd.tenant();
  const [cash = "", sales = "", tax = ""] = await openAccounts(crowd.pool, tenantId, 3);
  const pendingId = await mustPost(crowd.pool, tenantId, {
    kind: "pending",
    postings: [...transfer(cash, sales, 50), ...transfer(cash, tax, 9)],
    timeoutSeconds: 600,
  });
  const results = await crowd.all((client, number) =>
    postOne(client, tenantId, { kind: "post_pending", pendingId, postings: transfer(cash, sales, number + 1) }),
  );
  expect(tally(results.filter((result) => result !== undefined))).toEqual({ posted: 1, LG305: 31 });
  const winner = results.findIndex((result) => result?.code === null);
  expect(await countersOf(crowd.pool, cash)).toMatchObject({ posted: BigInt(winner + 1), pending: 0n });
  expect(await countersOf(crowd.pool, tax)).toMatchObject({ posted: 0n, pending: 0n });
});
