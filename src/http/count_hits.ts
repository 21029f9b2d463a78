import type pg from "pg";
import type { CountHits } from "./shared_counter.ts";

const countSql = {
  name: "count_hits",
  text: `select totals::text[], clock_milliseconds::text as clock
    from app_hidden.count_hits($1::bytea[], $2::bigint[], $3::integer[], $4::integer[])`,
};

const timeoutMs = 2_000;

/**
 * Counts in the database, as the anonymous role, in one round trip: the four statements are sent at once.
 * The pool must have been made with `pipeline: true`.
 */
export function countInDatabase(pool: pg.Pool): CountHits {
  return async (batch) => {
    const client = await pool.connect();
    let broken: Error | undefined;
    try {
      const answers = [
        client.query("begin; set local role tallystick_anonymous; set local statement_timeout = '1s'"),
        client.query<{ totals: string[]; clock: string }>({
          ...countSql,
          values: [
            batch.map(({ key }) => key),
            batch.map(({ windowNumber }) => windowNumber),
            batch.map(({ hits }) => hits),
            batch.map(({ windowSeconds }) => windowSeconds),
          ],
        }),
        client.query("commit"),
      ] as const;
      // All are waited for, so that none fails unseen; but not for ever, should the network swallow them.
      const outcomes = await within(timeoutMs, Promise.allSettled(answers));
      const failure = outcomes.find((outcome) => outcome.status === "rejected");
      if (failure) throw failure.reason;
      const row = (await answers[1]).rows[0];
      return { totals: row?.totals.map(Number) ?? [], clock: Number(row?.clock) };
    } catch (error) {
      broken = error instanceof Error ? error : new Error(String(error));
      throw error;
    } finally {
      // After an error the connection is closed: it is cheaper than finding out in which state it is.
      client.release(broken);
    }
  };
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error("The database did not answer in time.")), ms);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
