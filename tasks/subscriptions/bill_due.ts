import type { JobHelpers, Task } from "graphile-worker";

interface Subscription {
  tenant_id: number | null;
  id: string;
}

const minute = 60_000;

/**
 * Does what is due for subscriptions: a step at a time, each in one database transaction. Wherever this ends, it
 * goes on from there. Several may run at once: each takes other subscriptions. One that cannot be worked on does
 * not hold up the others, and fails the job after them. It comes back when something is due next, if that is
 * before cron does.
 */
const billDue: Task = async (_payload, { query, addJob, abortSignal }) => {
  // Those that failed, or that another worker is at: they are left to the next run.
  const left: string[] = [];
  const failures: unknown[] = [];
  while (!abortSignal?.aborted) {
    const { rows } = await query<Subscription>("select * from app_private.next_due_subscription($1::uuid[])", [left]);
    const subscription = rows[0];
    if (subscription?.tenant_id == null) break;
    try {
      if (!(await advance(query, subscription))) left.push(subscription.id);
    } catch (error) {
      left.push(subscription.id);
      failures.push(error);
    }
  }
  const { rows } = await query<{ next: Date | null }>("select app_private.next_subscription_action_at() as next");
  const next = rows[0]?.next;
  if (next && next.getTime() < Date.now() + minute) {
    await addJob("subscriptions/bill_due", {}, { jobKey: "subscriptions/bill_due:next", runAt: next });
  }
  if (failures.length > 0) throw failures[0];
};

export default billDue;

async function advance(query: JobHelpers["query"], { tenant_id, id }: Subscription): Promise<boolean> {
  const { rows } = await query<{ was_due: boolean }>("select app_private.advance_subscription($1, $2) as was_due", [
    tenant_id,
    id,
  ]);
  return rows[0]?.was_due === true;
}
