import type { JobHelpers, Task } from "graphile-worker";
import { expand } from "../../src/schedules/recurrence.ts";

interface ScheduleToPlan {
  tenant_id: number | null;
  id: string;
  rule: string | null;
  time_zone: string;
  starts_at: Date;
  planned_until: Date;
  planned_from: string;
  plan_to: Date;
}

type Query = JobHelpers["query"];

const minute = 60_000;

/**
 * Plans when schedules pay, a month ahead, and pays what is due. Each occurrence is paid in one database
 * transaction that also marks it, so wherever this ends, it goes on from there. Several may run at once: each
 * takes other schedules. A schedule that cannot be worked on does not hold up the others, and fails the job
 * after them. It comes back when the next occurrence is due, if that is before cron does.
 */
const executeDue: Task = async (_payload, helpers) => {
  const { query, abortSignal } = helpers;
  const failures: unknown[] = [];
  const runs = [planNext, executeNext];
  for (const run of runs) {
    // Those that failed, or that another worker is at: they are left to the next run.
    const left: string[] = [];
    while (!abortSignal?.aborted && (await run(query, left, failures)));
  }
  await wakeForNext(helpers);
  if (failures.length > 0) throw failures[0];
};

export default executeDue;

/** Plans one schedule further; false if there is none to plan. */
async function planNext(query: Query, left: string[], failures: unknown[]): Promise<boolean> {
  const { rows } = await query<ScheduleToPlan>(
    "select s.*, s.planned_until::text as planned_from from app_private.next_schedule_to_plan($1::uuid[]) s",
    [left],
  );
  const schedule = rows[0];
  if (schedule?.tenant_id == null) return false;
  try {
    if (!(await plan(query, schedule))) left.push(schedule.id);
  } catch (error) {
    left.push(schedule.id);
    failures.push(error);
  }
  return true;
}

async function plan(query: Query, schedule: ScheduleToPlan): Promise<boolean> {
  const { rule, time_zone: timeZone, starts_at: startsAt, planned_until: from, plan_to: to } = schedule;
  const { occurrences, plannedUntil, isLast } = expand({ rule, timeZone, startsAt }, from, to);
  const { rows } = await query<{ is_taken_in: boolean }>(
    `select app_private.plan_occurrences(
       $1, $2, $3, greatest($4::timestamptz, $3::timestamptz), $5::timestamptz[], $6) as is_taken_in`,
    [
      schedule.tenant_id,
      schedule.id,
      schedule.planned_from,
      plannedUntil.toISOString(),
      occurrences.map((occurrence) => occurrence.toISOString()),
      isLast,
    ],
  );
  return rows[0]?.is_taken_in === true;
}

/** Pays one occurrence; false if nothing is due. */
async function executeNext(query: Query, left: string[], failures: unknown[]): Promise<boolean> {
  const { rows } = await query<{ tenant_id: number | null; id: string }>(
    "select * from app_private.next_due_schedule($1::uuid[])",
    [left],
  );
  const schedule = rows[0];
  if (schedule?.tenant_id == null) return false;
  try {
    const { rows: done } = await query<{ was_due: boolean }>("select app_private.execute_schedule($1, $2) as was_due", [
      schedule.tenant_id,
      schedule.id,
    ]);
    if (done[0]?.was_due !== true) left.push(schedule.id);
  } catch (error) {
    left.push(schedule.id);
    failures.push(error);
  }
  return true;
}

async function wakeForNext({ query, addJob }: JobHelpers): Promise<void> {
  const { rows } = await query<{ next: Date | null }>("select app_private.next_schedule_due_at() as next");
  const next = rows[0]?.next;
  if (!next || next.getTime() >= Date.now() + minute) return;
  await addJob("schedules/execute_due", {}, { jobKey: "schedules/execute_due:next", runAt: next });
}
