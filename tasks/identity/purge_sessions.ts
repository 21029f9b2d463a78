import type { Task } from "graphile-worker";

const batchSize = 1000;

/**
 * Removes sessions, refresh tokens, links and counts of attempts that have been over for long, a batch at a
 * time. Killed at any line it has removed whole batches, and the next run goes on.
 */
const purgeSessions: Task = async (_payload, helpers) => {
  let removed: number;
  do {
    const { rows } = await helpers.query<{ removed: number }>("select app_private.purge_sessions($1) as removed", [
      batchSize,
    ]);
    removed = rows[0]?.removed ?? 0;
  } while (removed > 0 && !helpers.abortSignal?.aborted);
};

export default purgeSessions;
