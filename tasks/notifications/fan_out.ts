import type { Task } from "graphile-worker";

/**
 * Makes the messages of the events that have come, and the receipts of the payments that settled: of one tenant
 * when it is woken, of all when cron asks. What is due goes out at once, by jobs of its own. Several may run at once:
 * each tenant is told by one of them.
 */
const fanOut: Task = async (payload, helpers) => {
  const tenantId = (payload as { tenantId?: number } | null)?.tenantId ?? null;
  let told = 0;
  let last: number;
  do {
    const { rows } = await helpers.query<{ told: string }>(
      "select app_private.fan_out_notifications(tenant_id => $1) as told",
      [tenantId],
    );
    last = Number(rows[0]?.told ?? 0);
    told += last;
  } while (last > 0 && !helpers.abortSignal?.aborted);
  if (told === 0) return;
  for (const task of ["notifications/send_due", "receipts/record_pdfs"]) {
    // Whoever waits for a payment goes first.
    await helpers.addJob(task, {}, { jobKey: task, priority: 10 });
  }
};

export default fanOut;
