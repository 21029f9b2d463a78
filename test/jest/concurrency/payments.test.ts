import { describe, expect, test } from "@jest/globals";
import { openAccount, sqlState } from "../../support/ledger.ts";
import {
  insertPayment,
  type Move,
  makeProvider,
  movePayment,
  moves,
  type PaymentInput,
} from "../../support/payments.ts";
import { countersOf, gatherCrowd, randomNumbers } from "./crowd.ts";

/*
 * Many clients at one payment: what it moves is moved once, whoever wins. After each test the books are proven,
 * and with them that payments and ledger agree.
 */
const crowd = await gatherCrowd(32);
const later = { providerCode: "bank" };

/** Books with a provider, and two deposits, the first of which has 1000.00. */
async function openBooks(): Promise<{ tenantId: number; wallet: string; other: string; clearing: string }> {
  const tenantId = await crowd.tenant();
  const { clearing } = await makeProvider(crowd.pool, tenantId);
  await makeProvider(crowd.pool, tenantId, { code: "spare" });
  const wallet = await openAccount(crowd.pool, tenantId, { type: "liability", minimum: 0 });
  const other = await openAccount(crowd.pool, tenantId, { type: "liability", minimum: 0 });
  const { id } = await insertPayment(crowd.pool, tenantId, {
    kind: "pay_in",
    accountId: wallet,
    amount: 100_000,
    ...later,
  });
  await movePayment(crowd.pool, tenantId, id, "settle");
  return { tenantId, wallet, other, clearing };
}

/** What became of a try: the status that the payment has then, or the code of the refusal. */
async function outcomeOf(work: Promise<{ status: string }>): Promise<string> {
  return work.then(
    ({ status }) => status,
    (error: unknown) => {
      const code = sqlState(error);
      if (code?.startsWith("LG") !== true) throw error;
      return code;
    },
  );
}

const counted = (outcomes: (string | undefined)[]): Record<string, number> =>
  Object.fromEntries(
    [...new Set(outcomes)].sort().map((outcome) => [outcome, outcomes.filter((other) => other === outcome).length]),
  );

describe("one payment", () => {
  test("asked for by many under one key is one payment", async () => {
    const { tenantId, wallet } = await openBooks();
    const input: PaymentInput = { kind: "pay_out", accountId: wallet, amount: 700, idempotencyKey: "k", ...later };
    const rows = await crowd.all((client) => insertPayment(client, tenantId, input));
    expect(new Set(rows.map((row) => row?.id)).size).toBe(1);
    expect(await countersOf(crowd.pool, wallet)).toMatchObject({ posted: 100_000n, pending: -700n });
  });

  test("settled by many is settled once", async () => {
    const { tenantId, wallet } = await openBooks();
    const { id } = await insertPayment(crowd.pool, tenantId, {
      kind: "pay_out",
      accountId: wallet,
      amount: 700,
      ...later,
    });
    const outcomes = await crowd.all((client) => outcomeOf(movePayment(client, tenantId, id, "settle")));
    expect(counted(outcomes)).toEqual({ settled: 32 });
    expect(await countersOf(crowd.pool, wallet)).toMatchObject({ posted: 99_300n, pending: 0n });
  });

  test("settled, failed and cancelled at once ends one way, which all others are told", async () => {
    const { tenantId, wallet } = await openBooks();
    const ends: [Move, string][] = [
      ["settle", "settled"],
      ["fail", "failed"],
      ["cancel", "cancelled"],
      ["expire", "expired"],
    ];
    for (let round = 0; round < 8; round += 1) {
      const before = await countersOf(crowd.pool, wallet);
      const input: PaymentInput = { kind: "pay_out", accountId: wallet, amount: 10, ...later };
      const { id } = await insertPayment(crowd.pool, tenantId, input);
      const outcomes = await crowd.all((client, number) =>
        outcomeOf(movePayment(client, tenantId, id, ends[(number + round) % 4]?.[0] ?? "settle")),
      );
      const [end] = Object.keys(counted(outcomes)).filter((outcome) => !outcome.startsWith("LG"));
      expect(counted(outcomes)).toEqual({ LG602: 24, [end ?? ""]: 8 });
      const after = await countersOf(crowd.pool, wallet);
      expect(before.posted - after.posted).toBe(end === "settled" ? 10n : 0n);
      expect(after.pending).toBe(0n);
    }
  });

  test("given back by many is given back within what it was", async () => {
    const { tenantId, wallet, other } = await openBooks();
    const { id } = await insertPayment(crowd.pool, tenantId, {
      kind: "transfer",
      accountId: wallet,
      toAccountId: other,
      amount: 1000,
    });
    const outcomes = await crowd.all((client) =>
      outcomeOf(insertPayment(client, tenantId, { kind: "refund", refundOfId: id, amount: 100 })),
    );
    expect(counted(outcomes)).toEqual({ LG608: 22, settled: 10 });
    expect(await countersOf(crowd.pool, other)).toMatchObject({ posted: 0n });
  });

  test("expires or is submitted, never both", async () => {
    const { tenantId, wallet } = await openBooks();
    const ids: string[] = [];
    for (let i = 0; i < 16; i += 1) {
      const expiresAt = new Date(Date.now() + 1500).toISOString();
      const input: PaymentInput = { kind: "pay_out", accountId: wallet, amount: 10, expiresAt, ...later };
      ids.push((await insertPayment(crowd.pool, tenantId, input)).id);
    }
    await crowd.pool.query("select pg_sleep(1.6)");
    const outcomes = await crowd.all(async (client, number) => {
      if (number >= 16) {
        await client.query("select app_private.expire_payments(4)");
        return undefined;
      }
      return outcomeOf(movePayment(client, tenantId, ids[number] ?? "", "submit"));
    });
    await crowd.pool.query("select app_private.expire_payments(100)");
    const { rows } = await crowd.pool.query<{ id: string; status: string }>(
      "select id, status from app_public.payments where tenant_id = $1 and id = any ($2)",
      [tenantId, ids],
    );
    const statuses = ids.map((id) => rows.find((row) => row.id === id)?.status);
    expect(statuses).toEqual(outcomes.slice(0, 16).map((told) => (told === "submitted" ? told : "expired")));
  });
});

/*
 * A property: whatever many clients do in whatever order, each payment ends in a state that its moves explain, and
 * the balances are what the states say. The seed is in the name of a test that fails.
 */
describe.each([1, 2, 3, 4])("any moves of many payments by many clients, seed %i", (seed) => {
  test("keep payments and ledger in agreement", async () => {
    const { tenantId, wallet, other } = await openBooks();
    const ids: string[] = [];
    await crowd.all(async (client, number) => {
      const random = randomNumbers(seed * 1000 + number);
      for (let step = 0; step < 25; step += 1) await outcomeOf(act(client, random));
    });
    async function act(client: Parameters<typeof insertPayment>[0], random: (below: number) => number) {
      const id = ids[random(Math.max(ids.length, 1))];
      const choice = random(10);
      if (choice < 3 || id === undefined) {
        const made = await insertPayment(client, tenantId, inputOf(random));
        ids.push(made.id);
        return made;
      }
      if (choice === 3) {
        const made = await insertPayment(client, tenantId, { kind: "refund", refundOfId: id, amount: 1 + random(300) });
        ids.push(made.id);
        return made;
      }
      if (choice === 4) {
        const { rows } = await client.query<{ id: string; status: string }>(
          `select p.id, p.status
           from app_private.reroute_payment(app_private.system_actor($1), $1, $2, $3) p`,
          [tenantId, id, random(2) === 0 ? "bank" : "spare"],
        );
        return rows[0] ?? { id, status: "none" };
      }
      return movePayment(client, tenantId, id, moves[random(moves.length)] ?? "submit");
    }
    function inputOf(random: (below: number) => number): PaymentInput {
      const [accountId, toAccountId] = random(2) === 0 ? [wallet, other] : [other, wallet];
      const amount = 1 + random(500);
      const kind = (["pay_in", "pay_out", "transfer"] as const)[random(3)] ?? "pay_in";
      return kind === "transfer"
        ? { kind, accountId, toAccountId, amount }
        : { kind, accountId, amount, providerCode: random(2) === 0 ? "bank" : "spare" };
    }

    expect(ids.length).toBeGreaterThan(100);
    const { rows } = await crowd.pool.query<{ balances: string[]; payments: string[] }>(
      `select
         array[
           sum(b.posted_credits - b.posted_debits), sum(b.pending_credits - b.pending_debits)
         ]::text[] as balances,
         (
           select array[
             coalesce(sum(p.amount * s.sign) filter (where p.status = 'settled'), 0),
             coalesce(sum(p.amount * s.sign) filter (where p.status in ('reserved', 'submitted')), 0)
           ]::text[]
           from app_public.payments p
           cross join lateral (
             select (p.credit_account_id = any ($2))::integer - (p.debit_account_id = any ($2))::integer as sign
           ) s
           where p.tenant_id = $1
         ) as payments
       from app_public.account_balances b
       where b.tenant_id = $1 and b.account_id = any ($2)`,
      [tenantId, [wallet, other]],
    );
    expect(rows[0]?.balances).toEqual(rows[0]?.payments);
  });
});
