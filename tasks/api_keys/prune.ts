import type { Task } from "graphile-worker";

const batchSize = 10_000;

/** Removes nonces and secrets of API keys whose time is over. Nothing depends on it but the size of their tables. */
const pruneApiKeys: Task = async (_payload, helpers) => {
  let removed: number;
  do {
    const { rows } = await helpers.query<{ removed: number }>("select app_private.prune_api_keys($1) as removed", [
      batchSize,
    ]);
    removed = rows[0]?.removed ?? 0;
  } while (removed >= batchSize && !helpers.abortSignal?.aborted);
};

export default pruneApiKeys;
