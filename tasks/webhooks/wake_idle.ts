import type { Task } from "graphile-worker";

/** Adds a job for each endpoint that waits without one, should one ever have been lost. */
const wakeIdle: Task = async (_payload, helpers) => {
  const { rows } = await helpers.query<{ woken: number }>("select app_private.wake_idle_webhooks() as woken");
  const woken = rows[0]?.woken ?? 0;
  if (woken > 0) helpers.logger.warn(`${woken} endpoints of webhooks waited without a job`);
};

export default wakeIdle;
