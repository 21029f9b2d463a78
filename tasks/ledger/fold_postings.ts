import type { Task } from "graphile-worker";

const batchSize = 65_536;

/**
 * Folds new postings into the blocks that make balances at an effective time fast. Nothing depends on it
 * but speed. Several may run at once: each takes another tenant. Each call is a database transaction of
 * its own, so that none lives long.
 */
const foldPostings: Task = async (_payload, helpers) => {
  let folded: number;
  do {
    const { rows } = await helpers.query<{ folded: string }>("select app_private.fold_postings($1) as folded", [
      batchSize,
    ]);
    folded = Number(rows[0]?.folded ?? 0);
  } while (folded >= batchSize && !helpers.abortSignal?.aborted);
};

export default foldPostings;
