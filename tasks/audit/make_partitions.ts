import type { Task } from "graphile-worker";

const monthsAhead = 6;

/**
 * Makes the partitions of the audit trail for the months to come. If it never ran, entries would go to the
 * default partition, where a check finds them; the next run moves them to their months.
 */
const makePartitions: Task = async (_payload, helpers) => {
  const { rows } = await helpers.query<{ made: number }>("select app_private.make_audit_partitions($1) as made", [
    monthsAhead,
  ]);
  if (rows[0]?.made) helpers.logger.info(`Made ${rows[0].made} partitions of the audit trail.`);
};

export default makePartitions;
