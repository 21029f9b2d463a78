import type { Task } from "graphile-worker";

const batchSize = 1000;

/**
 * Takes what is left of vouchers that have expired to the breakage accounts, a batch at a time. Several may run at
 * once: vouchers that one is at are left to it.
 */
const expireVouchers: Task = async (_payload, helpers) => {
  let sweep: { expired: number; refused: number } | undefined;
  do {
    const { rows } = await helpers.query<{ expired: number; refused: number }>(
      "select * from app_private.expire_vouchers($1)",
      [batchSize],
    );
    sweep = rows[0];
  } while (sweep !== undefined && sweep.expired > 0 && !helpers.abortSignal?.aborted);
  if (sweep !== undefined && sweep.refused > 0) {
    helpers.logger.warn(`The vouchers of ${sweep.refused} tenants could not expire: an account refuses them.`);
  }
};

export default expireVouchers;
