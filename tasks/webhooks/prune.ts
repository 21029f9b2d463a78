import type { Task } from "graphile-worker";

const batchSize = 10_000;

/** Removes old attempts to deliver, and secrets whose time is over: only the size of the tables depends on it. */
const pruneWebhooks: Task = async (_payload, helpers) => {
  let removed: number;
  do {
    const { rows } = await helpers.query<{ removed: number }>("select app_private.prune_webhooks($1) as removed", [
      batchSize,
    ]);
    removed = rows[0]?.removed ?? 0;
  } while (removed >= batchSize && !helpers.abortSignal?.aborted);
};

export default pruneWebhooks;
