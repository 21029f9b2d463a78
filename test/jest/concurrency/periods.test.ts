import { describe, expect, test } from "@jest/globals";
import type pg from "pg";
import { openAccounts, postBatch, sqlState, transfer } from "../../support/ledger.ts";
import { actAs, staff } from "../../support/session.ts";
import { gatherCrowd, randomNumbers, tally, untilPosted } from "./crowd.ts";

/* The books are closed while clients post backdated transactions into them: nothing lands after the close. */
const crowd = await gatherCrowd(24);

/** Runs one call of an API function as the accountant of a tenant, and tells what it answers. */
async function asAccountant<T extends pg.QueryResultRow>(
  client: pg.PoolClient,
  tenantId: number,
  text: string,
  values: unknown[],
): Promise<T | undefined> {
  await actAs(client, { tenantId, role: "accountant", userId: staff });
  await client.query("begin");
  try {
    await client.query("set local role tallystick_accountant");
    const { rows } = await client.query<T>(text, values);
    // Held a little, so that the others come up against a close that has not been committed.
    await client.query("select pg_sleep(0.03)");
    await client.query("commit");
    return rows[0];
  } catch (error) {
    await client.query("rollback");
    throw error;
  }
}

async function openPeriod(tenantId: number, name: string, from: string, to: string): Promise<string> {
  const client = await crowd.pool.connect();
  try {
    const text = "select id from app_public.open_period($1, $2, $3)";
    return String((await asAccountant<{ id: string }>(client, tenantId, text, [name, from, to]))?.id);
  } finally {
    client.release();
  }
}

/** Posts one transaction after the other until the period of one is closed. Tells how each was answered. */
async function postUntilClosed(client: pg.PoolClient, tenantId: number, next: () => [string, string, string]) {
  const answers = [];
  do {
    const [debit, credit, effectiveAt] = next();
    answers.push(...(await postBatch(client, tenantId, [{ postings: transfer(debit, credit, 1), effectiveAt }])));
  } while (answers.at(-1)?.code === null && answers.length < 200);
  return answers;
}

async function close(client: pg.PoolClient, tenantId: number, period: string): Promise<void> {
  await asAccountant(client, tenantId, "select app_public.close_period($1)", [period]);
}

describe("closing a period while all post into it", () => {
  test("nothing lands after the close, and the year-end close takes all that landed before", async () => {
    const tenantId = await crowd.tenant();
    const cash = await openAccounts(crowd.pool, tenantId, 4);
    const sales = await openAccounts(crowd.pool, tenantId, 4, { type: "revenue" });
    const [retained = ""] = await openAccounts(crowd.pool, tenantId, 1, { type: "equity" });
    const period = await openPeriod(tenantId, "2025", "2025-01-01Z", "2026-01-01Z");
    const results = await crowd.all(async (client, number) => {
      if (number > 0) {
        const [debit = "", credit = ""] = [cash[number % 4], sales[(number >> 2) % 4]];
        return postUntilClosed(client, tenantId, () => [debit, credit, "2025-06-30T12:00:00Z"]);
      }
      await untilPosted(client, tenantId, 50);
      await asAccountant(
        client,
        tenantId,
        "select app_public.close_period($1, (select code from app_public.accounts where id = $2))",
        [period, retained],
      );
      return [];
    });
    const counts = tally(results.flatMap((answers) => answers ?? []));
    expect(counts).toEqual({ posted: expect.any(Number), LG309: crowd.size - 1 });
    const { rows } = await crowd.pool.query(
      `select b.account_id = $2 as is_equity, sum(b.posted_credits::numeric - b.posted_debits)::integer as balance
       from app_public.account_balances b
       join app_public.accounts a on a.id = b.account_id
       where b.tenant_id = $1 and a.type <> 'asset'
       group by 1 order by 1`,
      [tenantId, retained],
    );
    expect(rows).toEqual([
      { is_equity: false, balance: 0 },
      { is_equity: true, balance: counts["posted"] },
    ]);
  });

  test("of many that close it, one does, and the others are told that it is closed", async () => {
    const tenantId = await crowd.tenant();
    const accounts = await openAccounts(crowd.pool, tenantId, 2);
    const period = await openPeriod(tenantId, "2025", "2025-01-01Z", "2026-01-01Z");
    const closed = await crowd.all(
      async (client, number) => {
        if (number % 3 === 0) {
          await untilPosted(client, tenantId, 20);
          await close(client, tenantId, period);
          return "closed";
        }
        await postUntilClosed(client, tenantId, () => [accounts[0] ?? "", accounts[1] ?? "", "2025-06-30T12:00:00Z"]);
        return "posted";
      },
      ["LG331"],
    );
    expect(closed.filter((answer) => answer === "closed")).toHaveLength(1);
    expect(closed.filter((answer) => answer === undefined)).toHaveLength(7);
  });

  test("several are closed in their order, while others post into all of them and new ones are opened", async () => {
    const tenantId = await crowd.tenant();
    const accounts = await openAccounts(crowd.pool, tenantId, 6);
    const months = ["2025-01", "2025-02", "2025-03", "2025-04"];
    const periods: string[] = [];
    for (const [i, month] of months.entries())
      periods.push(await openPeriod(tenantId, month, `${month}-01Z`, `2025-0${i + 2}-01Z`));
    // One before what is closed by then, two that overlap, one more.
    const extraYears = ["2024", "2026", "2026", "2027"];
    const refusedToOpen: string[] = [];
    const tooEarly: number[] = [];
    const results = await crowd.all(async (client, number) => {
      const period = periods[number];
      if (period !== undefined) {
        for (;;) {
          try {
            // The last one tries first.
            await untilPosted(client, tenantId, 20 * (periods.length - number));
            await close(client, tenantId, period);
            return [];
          } catch (error) {
            // An earlier one is open still.
            if (sqlState(error) !== "LG333") throw error;
            tooEarly.push(number);
          }
        }
      }
      const year = extraYears[number - periods.length];
      if (year !== undefined) {
        const isClosed = "select from app_public.accounting_periods where id = $1 and closed_at is not null";
        while (year < "2025" && (await client.query(isClosed, [periods[0]])).rowCount === 0);
        const values = [`extra ${number}`, `${year}-01-01Z`, `${year}-06-01Z`];
        try {
          await asAccountant(client, tenantId, "select id from app_public.open_period($1, $2, $3)", values);
        } catch (error) {
          refusedToOpen.push(`${year} ${sqlState(error)}`);
        }
        return [];
      }
      const random = randomNumbers(number);
      return postUntilClosed(client, tenantId, () => {
        const debit = random(6);
        const month = months[random(4)];
        return [accounts[debit] ?? "", accounts[(debit + 1 + random(5)) % 6] ?? "", `${month}-15T00:00:00Z`];
      });
    });
    expect(tally(results.flatMap((answers) => answers ?? []))).toMatchObject({ LG309: 16 });
    expect(tooEarly.length).toBeGreaterThan(0);
    expect(refusedToOpen.sort()).toEqual(["2024 LG336", "2026 LG334"]);
    const { rows } = await crowd.pool.query<{ late: number; open: number }>(
      `select
         (select count(*)::integer from app_public.transactions t
          join app_public.accounting_periods p on p.tenant_id = t.tenant_id and t.effective_at <@ p.during
          where t.tenant_id = $1 and t.created_at > p.closed_at) as late,
         (select count(*)::integer from app_public.accounting_periods p
          where p.tenant_id = $1 and p.id = any ($2) and p.closed_at is null) as open`,
      [tenantId, periods],
    );
    expect(rows).toEqual([{ late: 0, open: 0 }]);
  });
});

test("a period is closed, or one is opened before it: never both", async () => {
  const tenants: { tenantId: number; period: string }[] = [];
  for (let pair = 0; pair < crowd.size / 2; pair += 1) {
    const tenantId = await crowd.tenant();
    tenants.push({ tenantId, period: await openPeriod(tenantId, "2025", "2025-01-01Z", "2026-01-01Z") });
  }
  const done = await crowd.all(
    async (client, number) => {
      const { tenantId, period } = tenants[number >> 1] ?? { tenantId: 0, period: "" };
      // Who of a pair comes first changes from pair to pair.
      await client.query("select pg_sleep($1)", [(number % 4 === 1 || number % 4 === 2 ? 0 : 10) / 1000]);
      if (number % 2 === 0) await asAccountant(client, tenantId, "select app_public.close_period($1)", [period]);
      else
        await asAccountant(client, tenantId, "select app_public.open_period('2024', '2024-01-01Z', '2025-01-01Z')", []);
      return true;
    },
    ["LG333", "LG336"],
  );
  const pairs = tenants.map((_, pair) => [done[2 * pair], done[2 * pair + 1]].filter((one) => one === true).length);
  expect(pairs).toEqual(tenants.map(() => 1));
});
