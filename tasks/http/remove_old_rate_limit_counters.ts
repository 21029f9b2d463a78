import type { Task } from "graphile-worker";

const batchSize = 10_000;

/** Removes the counters of rate limits whose time is over. Nothing depends on it but the size of their table. */
const removeOldRateLimitCounters: Task = async (_payload, helpers) => {
  let removed: number;
  do {
    const { rows } = await helpers.query<{ removed: number }>(
      "select app_private.remove_old_rate_limit_counters($1) as removed",
      [batchSize],
    );
    removed = rows[0]?.removed ?? 0;
  } while (removed >= batchSize && !helpers.abortSignal?.aborted);
};

export default removeOldRateLimitCounters;
