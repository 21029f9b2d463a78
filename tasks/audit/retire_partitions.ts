import type { Task } from "graphile-worker";

/**
 * Removes the months of the audit trail that are older than TALLYSTICK_AUDIT_RETENTION_MONTHS, one in each
 * database transaction, and none if that is not set. What is removed is written down in SQL.
 */
const retirePartitions: Task = async (_payload, helpers) => {
  let retired: string | null;
  do {
    const { rows } = await helpers.query<{ name: string | null }>(
      "select app_private.retire_audit_partition() as name",
    );
    retired = rows[0]?.name ?? null;
    if (retired !== null) helpers.logger.info(`Retired ${retired}.`);
  } while (retired !== null && !helpers.abortSignal?.aborted);
};

export default retirePartitions;
