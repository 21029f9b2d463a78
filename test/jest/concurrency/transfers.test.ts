import { describe, expect, test } from "@jest/globals";
import {
  mustPost,
  openAccount,
  openAccounts,
  postBatch,
  type Queryable,
  sqlState,
  type TransactionInput,
  transfer,
} from "../../support/ledger.ts";
import { countersOf, gatherCrowd, randomNumbers, tally } from "./crowd.ts";

/* Clients that move money on the same accounts at the same time: nothing is lost, doubled or deadlocked. */
const crowd = await gatherCrowd(32);

describe("accounts that all share", () => {
  test("transfers in opposite directions on two accounts neither deadlock nor get lost", async () => {
    const tenantId = await crowd.tenant();
    const [left = "", right = ""] = await openAccounts(crowd.pool, tenantId, 2);
    await crowd.all(async (client, number) => {
      const [debit, credit] = number % 2 === 0 ? [left, right] : [right, left];
      const amount = number % 2 === 0 ? 3 : 2;
      for (let i = 0; i < 25; i += 1) await mustPost(client, tenantId, { postings: transfer(debit, credit, amount) });
    });
    expect(await countersOf(crowd.pool, left)).toMatchObject({ version: 800, posted: 400n });
    expect(await countersOf(crowd.pool, right)).toMatchObject({ version: 800, posted: -400n });
  });

  test("a hot account credited by all ends at the exact sum", async () => {
    const tenantId = await crowd.tenant();
    const hot = await openAccount(crowd.pool, tenantId, { type: "liability" });
    const payers = await openAccounts(crowd.pool, tenantId, crowd.size);
    await crowd.all(async (client, number) => {
      for (let i = 0; i < 10; i += 1) {
        const item = { postings: transfer(payers[number] ?? "", hot, number + 1) };
        for (const { code } of await postBatch(client, tenantId, [item, item])) expect(code).toBeNull();
      }
    });
    const each = Array.from({ length: crowd.size }, (_, number) => BigInt(20 * (number + 1)));
    expect((await countersOf(crowd.pool, hot)).posted).toBe(each.reduce((sum, amount) => sum + amount));
  });

  test("an account with a minimum debited by all is never below it, and loses nothing", async () => {
    const tenantId = await crowd.tenant();
    const [source = "", sink = ""] = [
      await openAccount(crowd.pool, tenantId, { type: "liability", minimum: 0 }),
      await openAccount(crowd.pool, tenantId),
    ];
    await mustPost(crowd.pool, tenantId, { postings: transfer(sink, source, 1000) });
    const results = await crowd.all(async (client, number) => {
      const kind = number % 2 === 0 ? "pending" : "posted";
      const answers = [];
      for (let i = 0; i < 8; i += 1)
        answers.push(...(await postBatch(client, tenantId, [{ kind, postings: transfer(source, sink, 7) }])));
      return answers;
    });
    // 1000 can go, in sevens: 142 of them.
    expect(tally(results.flatMap((answers) => answers ?? []))).toEqual({ posted: 142, LG202: 114 });
    expect((await countersOf(crowd.pool, source)).available).toBe(6n);
  });

  test("an account with a maximum is never above it", async () => {
    const tenantId = await crowd.tenant();
    const [source = "", capped = ""] = [
      await openAccount(crowd.pool, tenantId),
      await openAccount(crowd.pool, tenantId, { maximum: 500 }),
    ];
    const results = await crowd.all((client, number) =>
      postBatch(
        client,
        tenantId,
        Array.from({ length: 4 }, (_, i) => ({
          kind: (number + i) % 2 === 0 ? "pending" : "posted",
          postings: transfer(capped, source, 6),
        })),
      ),
    );
    expect(tally(results.flatMap((answers) => answers ?? []))).toEqual({ posted: 83, LG203: 45 });
  });

  test("batches of mixed sizes on shared accounts in any order neither deadlock nor lose anything", async () => {
    const tenantId = await crowd.tenant();
    const accounts = await openAccounts(crowd.pool, tenantId, 12);
    accounts.push(...(await openAccounts(crowd.pool, tenantId, 4, { type: "liability", minimum: -200, maximum: 200 })));
    const expected = new Map(accounts.map((id) => [id, 0n]));
    await crowd.all(async (client, number) => {
      const random = randomNumbers(number);
      for (const size of [1, 12, 3, 40, 7, 1]) {
        const items = Array.from({ length: size }, () => {
          const postings = Array.from({ length: 1 + random(3) }, () => {
            const [debit, credit] = [accounts[random(16)] ?? "", accounts[random(16)] ?? ""];
            return transfer(debit, credit, 1 + random(50));
          });
          return { postings: postings.flat() } satisfies TransactionInput;
        });
        const results = await postBatch(client, tenantId, items);
        for (const [i, { code }] of results.entries()) {
          if (code !== null) expect(["LG202", "LG203"]).toContain(code);
          else for (const p of items[i]?.postings ?? []) addTo(expected, p);
        }
      }
    });
    for (const [id, sum] of expected) {
      const sign = accounts.indexOf(id) < 12 ? 1n : -1n;
      expect((await countersOf(crowd.pool, id)).posted).toBe(sign * sum);
    }
  }, 60_000);
});

function addTo(
  sums: Map<string, bigint>,
  posting: { accountId?: string | null; direction?: string | null; amount?: unknown },
): void {
  const id = posting.accountId ?? "";
  const amount = BigInt(Number(posting.amount));
  sums.set(id, (sums.get(id) ?? 0n) + (posting.direction === "debit" ? amount : -amount));
}

describe("transactions of few accounts", () => {
  test("stand in line for an account, and look at its row when it is their turn", async () => {
    const tenantId = await crowd.tenant();
    const [hot = "", other = ""] = await openAccounts(crowd.pool, tenantId, 2);
    await crowd.db.withClient("owner", (first) =>
      crowd.db.withClient("owner", async (second) => {
        const pid = await processOf(second);
        await first.query("begin");
        await mustPost(first, tenantId, { postings: transfer(hot, other, 1) });
        const answer = mustPost(second, tenantId, { postings: transfer(hot, other, 1) });
        expect(await waitOf(pid)).toBe("advisory");
        await first.query("commit");
        await answer;
      }),
    );
    expect((await countersOf(crowd.pool, hot)).version).toBe(2);
  });

  test("do not stand in line behind one that waits for a row which they hold", async () => {
    const tenantId = await crowd.tenant();
    const [hot = "", ...others] = await openAccounts(crowd.pool, tenantId, 20);
    await crowd.db.withClient("owner", (first) =>
      crowd.db.withClient("owner", async (second) => {
        const pid = await processOf(second);
        await first.query("begin");
        // More accounts than stand in line: their rows are held, and no place in it.
        const batch = others.map((other) => ({ postings: transfer(hot, other, 1) }));
        for (const { code } of await postBatch(first, tenantId, batch)) expect(code).toBeNull();
        const answer = mustPost(second, tenantId, { postings: transfer(hot, others[0] ?? "", 1) });
        expect(await waitOf(pid)).toBe("transactionid");
        await mustPost(first, tenantId, { postings: transfer(hot, others[1] ?? "", 1) });
        await first.query("commit");
        await answer;
      }),
    );
    expect((await countersOf(crowd.pool, hot)).version).toBe(21);
  });
});

async function processOf(client: Queryable): Promise<number> {
  const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid");
  return rows[0]?.pid ?? 0;
}

/** What a client waits for, as soon as it waits for a lock. */
async function waitOf(pid: number): Promise<string> {
  for (;;) {
    const { rows } = await crowd.pool.query<{ wait_event: string }>(
      "select wait_event from pg_stat_activity where pid = $1 and wait_event_type = 'Lock'",
      [pid],
    );
    if (rows[0]) return rows[0].wait_event;
  }
}

describe("the books change while all post", () => {
  test("a freeze holds from its commit on, and lets no posting slip in", async () => {
    const tenantId = await crowd.tenant();
    const [frozen = "", other = ""] = await openAccounts(crowd.pool, tenantId, 2);
    let atFreeze = -1;
    const results = await crowd.all(async (client, number) => {
      if (number === 0) {
        await client.query("select pg_sleep(0.05)");
        await client.query("begin");
        await client.query("update app_public.accounts set status = 'frozen' where id = $1", [frozen]);
        atFreeze = (await countersOf(client, frozen)).version;
        await client.query("select pg_sleep(0.05)");
        await client.query("commit");
        return [];
      }
      const answers = [];
      do answers.push(...(await postBatch(client, tenantId, [{ postings: transfer(frozen, other, 1) }])));
      while (answers.at(-1)?.code === null && answers.length < 100);
      return answers;
    });
    const counts = tally(results.flatMap((answers) => answers ?? []));
    expect(counts["posted"]).toBe(atFreeze);
    expect(counts).toEqual({ posted: atFreeze, LG302: crowd.size - 1 });
    expect((await countersOf(crowd.pool, frozen)).version).toBe(atFreeze);
  });

  test("no posting slips into a period that is being closed", async () => {
    const tenantId = await crowd.tenant();
    const accounts = await openAccounts(crowd.pool, tenantId, 8);
    await crowd.pool.query(
      `insert into app_public.accounting_periods (tenant_id, name, during)
       values ($1, '2025', '[2025-01-01, 2026-01-01)')`,
      [tenantId],
    );
    let atClose = -1;
    const results = await crowd.all(async (client, number) => {
      if (number === 0) {
        await client.query("select pg_sleep(0.05)");
        await client.query("begin");
        await client.query("select pg_advisory_xact_lock(app_private.books_lock($1))", [tenantId]);
        await client.query(
          "update app_public.accounting_periods set closed_at = clock_timestamp() where tenant_id = $1",
          [tenantId],
        );
        atClose = await countTransactions(client, tenantId);
        await client.query("select pg_sleep(0.05)");
        await client.query("commit");
        return [];
      }
      const postings = transfer(accounts[number % 8] ?? "", accounts[(number + 3) % 8] ?? "", 1);
      const item = { postings, effectiveAt: "2025-06-30T12:00:00Z" };
      const answers = [];
      do answers.push(...(await postBatch(client, tenantId, [item])));
      while (answers.at(-1)?.code === null && answers.length < 100);
      return answers;
    });
    expect(tally(results.flatMap((answers) => answers ?? []))).toEqual({ posted: atClose, LG309: crowd.size - 1 });
    expect(await countTransactions(crowd.pool, tenantId)).toBe(atClose);
  });
});

async function countTransactions(db: Parameters<typeof countersOf>[0], tenantId: number): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    "select count(*)::integer as count from app_public.transactions where tenant_id = $1",
    [tenantId],
  );
  return rows[0]?.count ?? -1;
}

test("a batch whose connection is killed has an effect wholly or not at all, and once after a retry", async () => {
  const tenantId = await crowd.tenant();
  const accounts = await openAccounts(crowd.pool, tenantId, 6);
  const size = 60;
  let killed = 0;
  await crowd.all(async (client, number) => {
    if (number >= 16) return;
    const items = Array.from({ length: size }, (_, i) => ({
      postings: transfer(accounts[(number + i) % 6] ?? "", accounts[(number + 2 * i + 1) % 6] ?? "", 1),
      idempotencyKey: `${number}/${i}`,
    }));
    // Killed in the middle, killed when it is done but before the client may know, and again.
    for (const moment of ["middle", "end", "middle", "never"]) {
      const results = await crowd.db.withClient("owner", async (victim) => {
        const { rows } = await victim.query<{ pid: number }>("select pg_backend_pid() as pid");
        const answer = postBatch(victim, tenantId, items).catch(nothingUnlessDeadlock);
        if (moment === "middle") await client.query("select pg_sleep($1)", [((number * 7) % 16) / 400]);
        if (moment === "end") await answer;
        if (moment !== "never") await client.query("select pg_terminate_backend($1)", [rows[0]?.pid]);
        return answer;
      });
      if (results.length === 0) killed += 1;
      else expect([{ posted: size }, { replayed: size }]).toContainEqual(tally(results));
      if (moment === "end" || moment === "never") expect(results.length).toBe(size);
    }
  });
  expect(killed).toBeGreaterThan(0);
  expect(await countTransactions(crowd.pool, tenantId)).toBe(16 * size);
});

/** A killed client has no results; a deadlock must not pass for a kill. */
function nothingUnlessDeadlock(error: unknown): [] {
  if (sqlState(error) === "40P01") throw error;
  return [];
}
