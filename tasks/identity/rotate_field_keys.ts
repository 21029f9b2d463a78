import type { Task } from "graphile-worker";
import { describeFailures, type RotationQueries, rotateFieldKeys } from "../../src/crypto/rotate.ts";
import type { TaskServices } from "../../src/worker.ts";

/**
 * Encrypts anew what an old field key encrypted. It runs every night, and does nothing unless the current
 * key has changed. Each batch is a database transaction of its own; see src/crypto/rotate.ts.
 */
export function makeTask({ config }: TaskServices): Task {
  return async (_payload, helpers) => {
    const query: RotationQueries = (text, values) => helpers.query(text, values as never);
    const result = await rotateFieldKeys({
      keys: config.fieldKeys,
      query,
      signal: helpers.abortSignal,
      onProgress: ({ table, column, keyId, rotated }) =>
        helpers.logger.info(`${rotated} values of ${table}.${column} are encrypted with ${keyId} now`),
    });
    // The job fails, so that it is seen: what does not decrypt is lost, or its key is missing here.
    if (result.failures.length > 0) throw new Error(describeFailures(result));
  };
}
