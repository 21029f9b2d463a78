import type { Task } from "graphile-worker";

const batchSize = 100;

/** Gives up the payments that were not handed to their provider in time: those of one tenant at a time. */
const expireDue: Task = async (_payload, helpers) => {
  let expired: number | undefined;
  do {
    const { rows } = await helpers.query<{ expired: number }>("select app_private.expire_payments($1) as expired", [
      batchSize,
    ]);
    expired = rows[0]?.expired;
  } while (expired !== undefined && expired > 0);
};

export default expireDue;
