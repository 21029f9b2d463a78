import type { Task } from "graphile-worker";

/** Keeps jobs that have failed for good as dead letters, of those that a worker died of or could not keep itself. */
const task: Task = async (_payload, { query, logger }) => {
  const { rows } = await query<{ count: number }>("select app_jobs.bury_jobs() as count");
  const count = rows[0]?.count ?? 0;
  if (count > 0) logger.warn(`${count} jobs that had failed for good are dead letters now`);
};

export default task;
