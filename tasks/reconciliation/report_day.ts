import type { Task } from "graphile-worker";
import { z } from "zod";

const payload = z.object({ _cron: z.object({ ts: z.iso.datetime({ offset: true }) }).optional() }).nullish();
const day = 86_400_000;

/**
 * Records how reconciliation stood at the end of a day (UTC): of the day before the one that the schedule meant,
 * however late the job runs. What is recorded already stays as it is.
 */
const reportDay: Task = async (given, { query }) => {
  const meant = payload.parse(given)?._cron?.ts;
  const date = new Date((meant === undefined ? Date.now() : Date.parse(meant)) - day).toISOString().slice(0, 10);
  await query("select app_private.record_reconciliation_reports($1)", [date]);
};

export default reportDay;
