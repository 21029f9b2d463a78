import type { Task } from "graphile-worker";
import { currentConfig } from "../../src/config.ts";
import { appendAnchors, postAnchors, publishAnchors } from "../../src/sealing/anchors.ts";

/**
 * Tells the outside the last block hash of each chain: a file, a webhook, or both. What fails is tried again, by
 * the job itself and by the next one; one destination does not wait for the other.
 */
const publish: Task = async (_payload, helpers) => {
  const { anchorFile, anchorUrl } = currentConfig();
  const failures: unknown[] = [];
  if (anchorFile !== undefined) {
    await publishAnchors(helpers, "file", (anchors) => appendAnchors(anchorFile, anchors)).catch((error) =>
      failures.push(error),
    );
  }
  if (anchorUrl !== undefined) {
    const tell = (anchors: object[]): Promise<void> => postAnchors(anchorUrl, anchors, helpers.abortSignal);
    await publishAnchors(helpers, "webhook", tell).catch((error) => failures.push(error));
  }
  if (failures.length > 0) throw failures.length === 1 ? failures[0] : new AggregateError(failures);
};

export default publish;
