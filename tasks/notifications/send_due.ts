import type { JobHelpers, Task } from "graphile-worker";
import { DeliveryError } from "../../src/notifications/email.ts";
import { type DueMessage, makeSender, type Outcome, type Sender } from "../../src/notifications/send.ts";
import type { TaskServices } from "../../src/worker.ts";

/** How many messages go out at a time. */
const lanes = 4;
const minute = 60_000;

/**
 * Sends every message that is due, and comes back when the next one is, if that is before cron does. Taking a
 * message and writing down what came of it are database transactions of their own, before and after it goes out
 * and never around it. One whose worker dies in between goes out again when its lease is over: its receiver knows
 * it by its Message-ID. So: at least once.
 */
export function makeTask({ config }: TaskServices): Task {
  return async (_payload, helpers) => {
    const query = helpers.query as JobHelpers["query"];
    const sender = makeSender(config, (text, values) => query(text, values as never));
    try {
      await Promise.all(Array.from({ length: lanes }, () => sendAll(sender, helpers)));
    } finally {
      sender.close();
    }
    const { rows } = await query<{ next: Date | null }>("select app_private.next_notification_at() as next");
    const next = rows[0]?.next;
    if (!next || next.getTime() > Date.now() + minute) return;
    const jobKey = "notifications/send_due:next";
    await helpers.addJob("notifications/send_due", {}, { jobKey, runAt: next });
  };
}

async function sendAll(sender: Sender, helpers: JobHelpers): Promise<void> {
  while (!helpers.abortSignal?.aborted) {
    const { rows } = await helpers.query<DueMessage>("select * from app_private.take_due_notification()");
    const [message] = rows;
    if (!message) return;
    await sendOne(sender, helpers, message);
  }
}

async function sendOne(sender: Sender, helpers: JobHelpers, message: DueMessage): Promise<void> {
  const { tenant_id, message_id, attempt, channel } = message;
  const outcome = await sender.send(message).catch((error: unknown): Failure => {
    // What is said names nobody.
    const isDelivery = error instanceof DeliveryError;
    const reason = isDelivery ? error.message : `It could not be made (${error instanceof Error ? error.name : "?"}).`;
    helpers.logger.warn(`notification ${message_id} by ${channel}, attempt ${attempt}: ${reason}`);
    return { kind: "failed", reason, isFinal: isDelivery && error.isFinal };
  });
  // One that failed is tried again later; the others are not held up.
  if (outcome.kind === "failed" || outcome.kind === "suppressed") return recordFailure(helpers, message, outcome);
  const words = outcome.kind === "shown" ? [outcome.subject, outcome.text] : [null, null];
  await helpers.query("select app_private.record_notification_sent($1, $2, $3, $4)", [tenant_id, message_id, ...words]);
}

interface Failure {
  kind: "failed";
  reason: string;
  isFinal: boolean;
}

async function recordFailure(
  { query }: JobHelpers,
  { tenant_id, message_id, attempt }: DueMessage,
  outcome: Failure | Extract<Outcome, { kind: "suppressed" }>,
): Promise<void> {
  const isFinal = outcome.kind === "failed" && outcome.isFinal;
  const values = [tenant_id, message_id, attempt, outcome.reason, isFinal, outcome.kind === "suppressed"];
  await query("select app_private.record_notification_failed($1, $2, $3, $4, $5, $6)", values);
}
