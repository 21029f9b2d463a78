import { afterEach, expect } from "@jest/globals";
import type pg from "pg";
import { findViolations, openTenant, type Queryable, sqlState } from "../../support/ledger.ts";
import { createTestDatabase, type TestDatabase } from "../../support/test_database.ts";

/** Many clients of one database, each on a connection of its own. */
export interface Crowd {
  db: TestDatabase;
  pool: pg.Pool;
  size: number;
  /** Opens a tenant whose books are proven after the test. */
  tenant(): Promise<number>;
  /**
   * Runs `work` once for each client, all at the same time. An error of the database is counted by
   * its code, so that a deadlock cannot hide; `expected` codes are left out of the answer and
   * answered as undefined, others are thrown.
   */
  all<T>(work: (client: pg.PoolClient, number: number) => Promise<T>, expected?: string[]): Promise<(T | undefined)[]>;
}

/**
 * Opens a crowd for a test file. After each test no client has seen a deadlock, and the books of each
 * tenant that it opened are proven.
 */
export async function gatherCrowd(size = 32): Promise<Crowd> {
  const db = await createTestDatabase();
  const pool = db.pool("owner", { max: size + 4, idleTimeoutMillis: 0 });
  const tenants: number[] = [];
  let errors: string[] = [];
  afterEach(async () => {
    const [seen, checked] = [errors, tenants.splice(0)];
    errors = [];
    expect(seen.filter((code) => code === "40P01")).toEqual([]);
    for (const tenantId of checked) expect(await findViolations(pool, tenantId)).toEqual([]);
  });
  return {
    db,
    pool,
    size,
    tenant: async () => {
      const tenantId = await openTenant(pool);
      tenants.push(tenantId);
      return tenantId;
    },
    all: (work, expected = []) => {
      const note = (error: unknown): undefined => {
        const code = sqlState(error);
        if (code !== undefined) errors.push(code);
        if (code === undefined || !expected.includes(code)) throw error;
        return undefined;
      };
      return settle(Array.from({ length: size }, (_, number) => withConnection(pool, work, number).catch(note)));
    },
  };
}

async function withConnection<T>(
  pool: pg.Pool,
  work: (client: pg.PoolClient, number: number) => Promise<T>,
  number: number,
): Promise<T> {
  const client = await pool.connect();
  try {
    const result = await work(client, number);
    client.release();
    return result;
  } catch (error) {
    // Whatever it held, such as a lock that the others wait for, goes with the connection.
    client.release(true);
    throw error;
  }
}

/** Waits for all, then throws what the first failure threw: nothing goes on behind a failed test. */
async function settle<T>(promises: Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(promises);
  const failed = results.find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
  return results.map((result) => (result as PromiseFulfilledResult<T>).value);
}

/** The counters of an account as they are now. */
export async function countersOf(
  db: Queryable,
  accountId: string,
): Promise<{ version: number; posted: bigint; pending: bigint; available: bigint }> {
  const { rows } = await db.query<{ version: string; posted: string; pending: string; available: string }>(
    `select version::text, posted::text, pending::text, available::text
     from (
       select b.version, b.normal_balance,
         case normal_balance when 'debit' then 1 else -1 end * (posted_debits - posted_credits) as posted,
         case normal_balance when 'debit' then 1 else -1 end * (pending_debits - pending_credits) as pending,
         case normal_balance
           when 'debit' then posted_debits - posted_credits - pending_credits
           else posted_credits - posted_debits - pending_debits
         end as available
       from app_public.account_balances b where account_id = $1
     ) b`,
    [accountId],
  );
  const row = rows[0];
  if (row === undefined) throw new Error("No such account.");
  return {
    version: Number(row.version),
    posted: BigInt(row.posted),
    pending: BigInt(row.pending),
    available: BigInt(row.available),
  };
}

/** Waits until a tenant has so many transactions, so that what comes next meets clients in full swing. */
export async function untilPosted(db: Queryable, tenantId: number, count: number): Promise<void> {
  const text = "select count(*)::integer as count from app_public.transactions where tenant_id = $1";
  for (let posted = 0; posted < count; ) {
    const { rows } = await db.query<{ count: number }>(text, [tenantId]);
    posted = rows[0]?.count ?? count;
  }
}

/** How many results answer with each code; an accepted one counts as "posted", a replay as "replayed". */
export function tally(results: { code: string | null; isReplayed: boolean }[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { code, isReplayed } of results) {
    const name = code ?? (isReplayed ? "replayed" : "posted");
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

/** Small whole numbers that look random and are the same each time (mulberry32). */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}
