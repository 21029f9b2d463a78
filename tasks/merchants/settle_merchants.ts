import type { Task } from "graphile-worker";

const batchSize = 1000;

interface DueMerchant {
  tenant_id: number;
  merchant_id: string;
}

/**
 * Settles merchants whose business day is over, a day of a merchant at a time, each in a database transaction of its
 * own. Several may run at once: a merchant that one is at is left to it. One that fails does not hold up the others,
 * but makes the job fail in the end, so that it comes back.
 */
const settleMerchants: Task = async (_payload, helpers) => {
  const { rows } = await helpers.query<DueMerchant>("select * from app_private.due_merchants($1)", [batchSize]);
  const errors: unknown[] = [];
  for (const { tenant_id, merchant_id } of rows) {
    try {
      let isSettled = true;
      while (isSettled && !helpers.abortSignal?.aborted) {
        const { rows } = await helpers.query<{ settled: boolean }>(
          "select app_private.settle_merchant($1, $2) as settled",
          [tenant_id, merchant_id],
        );
        isSettled = rows[0]?.settled ?? false;
      }
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw new AggregateError(errors, `${errors.length} merchants could not be settled.`);
};

export default settleMerchants;
