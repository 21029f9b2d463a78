import type { Task } from "graphile-worker";

const maxLeaves = 8192;

/**
 * Seals what has been settled, a block or so a call, until there is nothing left; then the new heads are
 * published. Several may run at once: each passes by the chains that another one is at. Each call is a database
 * transaction of its own, so that a killed job loses at most the block that it was making.
 */
const sealBlocks: Task = async (_payload, helpers) => {
  let total = 0;
  let sealed: number;
  do {
    const { rows } = await helpers.query<{ sealed: number }>("select app_private.seal($1) as sealed", [maxLeaves]);
    sealed = rows[0]?.sealed ?? 0;
    total += sealed;
  } while (sealed > 0 && !helpers.abortSignal?.aborted);
  if (total > 0) {
    await helpers.addJob("sealing/publish_anchors", {}, { jobKey: "sealing/publish_anchors" });
  }
};

export default sealBlocks;
