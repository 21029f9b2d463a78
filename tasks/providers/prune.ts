import type { Task } from "graphile-worker";

const batchSize = 10_000;

/** Removes old messages of payment providers, and secrets whose time is over. */
const pruneProviders: Task = async (_payload, helpers) => {
  let removed: number;
  do {
    const { rows } = await helpers.query<{ removed: number }>("select app_private.prune_providers($1) as removed", [
      batchSize,
    ]);
    removed = rows[0]?.removed ?? 0;
  } while (removed >= batchSize && !helpers.abortSignal?.aborted);
};

export default pruneProviders;
