import type { Task } from "graphile-worker";
import { appendAnchors, postAnchors, publishAnchors } from "../../src/sealing/anchors.ts";
import type { TaskServices } from "../../src/worker.ts";

/**
 * Tells the outside the last block hash of each chain: a file, a webhook, or both. What fails is tried again, by
 * the job itself and by the next one; one destination does not wait for the other.
 */
export function makeTask({ config: { anchorFile, anchorUrl } }: TaskServices): Task {
  return async (_payload, helpers) => {
    const failures: unknown[] = [];
    const fail = (error: unknown): void => void failures.push(error);
    if (anchorFile !== undefined) {
      await publishAnchors(helpers, "file", (anchors) => appendAnchors(anchorFile, anchors)).catch(fail);
    }
    if (anchorUrl !== undefined) {
      const tell = (anchors: object[]): Promise<void> => postAnchors(anchorUrl, anchors, helpers.abortSignal);
      await publishAnchors(helpers, "webhook", tell).catch(fail);
    }
    if (failures.length > 0) throw failures.length === 1 ? failures[0] : new AggregateError(failures);
  };
}
