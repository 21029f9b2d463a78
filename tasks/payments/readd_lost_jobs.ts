import type { Task } from "graphile-worker";

/** Gives payments that stand still a job again. There should be none: the log tells of each. */
const task: Task = async (_payload, { query, logger }) => {
  const { rows } = await query<{ count: number }>("select app_private.readd_lost_payment_jobs() as count");
  const count = rows[0]?.count ?? 0;
  if (count > 0) logger.error(`${count} payments had lost their job`);
};

export default task;
