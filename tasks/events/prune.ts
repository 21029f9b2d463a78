import type { Task } from "graphile-worker";
import type { TaskServices } from "../../src/worker.ts";

const batchSize = 10_000;

/** Removes events that are older than they are kept, once everybody who is told of them was told. */
export function makeTask({ config }: TaskServices): Task {
  return async (_payload, helpers) => {
    let removed: number;
    do {
      const { rows } = await helpers.query<{ removed: number }>("select app_private.prune_events($1, $2) as removed", [
        config.eventRetentionDays,
        batchSize,
      ]);
      removed = rows[0]?.removed ?? 0;
    } while (removed > 0 && !helpers.abortSignal?.aborted);
  };
}
