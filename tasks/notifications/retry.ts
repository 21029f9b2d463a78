import type { Task } from "graphile-worker";

/** Sends a message again that had failed: what a dead letter is run again as. */
const retry: Task = async (payload, helpers) => {
  const { tenantId, messageId } = payload as { tenantId: number; messageId: string };
  await helpers.query("select app_private.requeue_notification($1, $2)", [tenantId, messageId]);
  await helpers.addJob("notifications/send_due", {}, { jobKey: "notifications/send_due" });
};

export default retry;
