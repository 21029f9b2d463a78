import type { Task } from "graphile-worker";

interface Sweep {
  tenant_id: number | null;
  expired: number;
  next_expiry_at: Date | null;
}

const batchSize = 1000;
const minute = 60_000;

/**
 * Releases what has expired, a batch at a time, and comes back when the next reservation expires, if
 * that is before cron does. Several may run at once: each takes another tenant.
 */
const expirePending: Task = async (_payload, helpers) => {
  let sweep: Sweep | undefined;
  do {
    const { rows } = await helpers.query<Sweep>("select * from app_private.expire_pending($1)", [batchSize]);
    sweep = rows[0];
  } while (sweep?.tenant_id != null && sweep.expired > 0);

  const next = sweep?.next_expiry_at;
  if (next && next.getTime() < Date.now() + minute) {
    await helpers.addJob(
      "ledger/expire_pending",
      {},
      {
        jobKey: "ledger/expire_pending:next",
        runAt: next,
      },
    );
  }
};

export default expirePending;
