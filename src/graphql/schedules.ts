import "./graphile.ts";
import { loadOneWithPgClient } from "postgraphile/@dataplan/pg";
import { object, type Step } from "postgraphile/grafast";
import { extendSchema, gql } from "postgraphile/utils";
import { nextOccurrences } from "../schedules/recurrence.ts";
import type { PgQueries } from "./request_facts.ts";

/**
 * When schedules will pay. The occurrences of a rule are worked out here, as the job does that plans them; what
 * rules there may be and which days are holidays is decided by SQL.
 */
export const SchedulesPlugin = extendSchema((build) => {
  const executor = build.input.pgRegistry.pgResources["payment_schedules"]?.executor;
  if (!executor) throw new Error("The table payment_schedules is not exposed.");
  return {
    typeDefs: gql`
      extend type Query {
        """
        When a payment would be made if it were scheduled like this: checked as schedulePayment checks it, and
        nothing is saved.
        """
        previewOccurrences(
          """
          When it recurs, as a rule of RFC 5545; once if left out.
          """
          rule: String
          """
          The time zone of IANA in which the rule is read.
          """
          timeZone: String!
          """
          The first moment and, in the time zone, the time of day.
          """
          startsAt: Datetime!
          """
          Until when it recurs, exclusive; as the rule says if left out.
          """
          endsAt: Datetime
          """
          The id of the calendar of days that are no business days.
          """
          holidayCalendarId: UUID
          """
          When it is due if it falls on no business day.
          """
          holidayPolicy: HolidayPolicy
          """
          How many occurrences, 1 to 100.
          """
          first: Int = 10
        ): [PreviewedOccurrence!]
      }

      extend type PaymentSchedule {
        """
        When it will pay next, also beyond what has been planned; nothing if it has ended.
        """
        nextOccurrences(
          """
          How many occurrences, 1 to 100.
          """
          first: Int = 10
        ): [PreviewedOccurrence!]
      }

      """
      A time that a schedule will pay.
      """
      type PreviewedOccurrence {
        """
        When the rule occurs.
        """
        occursAt: Datetime!
        """
        When it is paid; null if it is left out, for a holiday or on request.
        """
        dueAt: Datetime
      }
    `,
    objects: {
      Query: {
        plans: {
          previewOccurrences: (_$root, fieldArgs) =>
            loadOneWithPgClient(
              executor,
              object({
                rule: fieldArgs.getRaw("rule"),
                timeZone: fieldArgs.getRaw("timeZone"),
                startsAt: fieldArgs.getRaw("startsAt"),
                endsAt: fieldArgs.getRaw("endsAt"),
                calendarId: fieldArgs.getRaw("holidayCalendarId"),
                policy: fieldArgs.getRaw("holidayPolicy"),
                first: fieldArgs.getRaw("first"),
              }) as Step<PreviewInput>,
              (client, inputs) => Promise.all(inputs.map((input) => preview(client as PgQueries, input))),
            ),
        },
      },
      PaymentSchedule: {
        plans: {
          nextOccurrences: ($schedule, fieldArgs) =>
            loadOneWithPgClient(
              executor,
              object({ id: $schedule.get("id"), first: fieldArgs.getRaw("first") }) as Step<NextInput>,
              (client, inputs) => Promise.all(inputs.map((input) => next(client as PgQueries, input))),
            ),
        },
      },
    },
  };
}, "SchedulesPlugin");

interface PreviewInput {
  rule: string | null | undefined;
  timeZone: string;
  startsAt: string;
  endsAt: string | null | undefined;
  calendarId: string | null | undefined;
  policy: string | null | undefined;
  first: number | null | undefined;
}

interface NextInput {
  id: string;
  first: number | null | undefined;
}

interface PreviewedOccurrence {
  occursAt: string;
  dueAt: string | null;
}

async function preview(client: PgQueries, input: PreviewInput): Promise<PreviewedOccurrence[]> {
  const { rule = null, timeZone, endsAt = null, calendarId = null, policy = null } = input;
  const { rows } = await client.query<{ starts_at: string; now: string; ends_at: string | null }>({
    text: `select to_json(date_trunc('second', $3::timestamptz, 'UTC')) #>> '{}' as starts_at,
        to_json($4::timestamptz) #>> '{}' as ends_at, to_json(now()) #>> '{}' as now
      from app_hidden.refuse_schedule_times($1, $2, $3, $4, $5, $6::app_public.holiday_policy)`,
    values: [rule, timeZone, input.startsAt, endsAt, calendarId, policy],
  });
  const [row] = rows;
  if (!row) return [];
  const startsAt = new Date(row.starts_at);
  const after = new Date(Math.max(startsAt.getTime() - 1000, rule === null ? 0 : Date.parse(row.now)));
  const occurrences = nextOccurrences(
    { rule, timeZone, startsAt },
    after,
    countOf(input.first),
    row.ends_at === null ? null : new Date(row.ends_at),
  );
  const due = await client.query<PreviewedOccurrence>({
    text: `select to_json(d.occurs_at) #>> '{}' as "occursAt", to_json(d.due_at) #>> '{}' as "dueAt"
      from app_hidden.due_times($1, $2::app_public.holiday_policy, $3, $4::timestamptz[]) d`,
    values: [calendarId, policy ?? "none", timeZone, occurrences.map((occurrence) => occurrence.toISOString())],
  });
  return [...due.rows];
}

interface ScheduleRow {
  rule: string | null;
  time_zone: string;
  starts_at: string;
  ends_at: string | null;
  after: string;
  holiday_calendar_id: string | null;
  holiday_policy: string;
}

/** Row level security decides whose schedules are seen here. */
async function next(client: PgQueries, { id, first }: NextInput): Promise<PreviewedOccurrence[]> {
  const { rows } = await client.query<ScheduleRow>({
    text: `select rule, time_zone, to_json(starts_at) #>> '{}' as starts_at, to_json(ends_at) #>> '{}' as ends_at,
        to_json(greatest(now(), starts_at - interval '1 second')) #>> '{}' as after,
        holiday_calendar_id, holiday_policy
      from app_public.payment_schedules
      where tenant_id = app_hidden.current_tenant_id() and id = $1 and status <> 'ended'`,
    values: [id],
  });
  const [schedule] = rows;
  if (!schedule) return [];
  const occurrences = nextOccurrences(
    { rule: schedule.rule, timeZone: schedule.time_zone, startsAt: new Date(schedule.starts_at) },
    new Date(schedule.after),
    countOf(first),
    schedule.ends_at === null ? null : new Date(schedule.ends_at),
  );
  const due = await client.query<PreviewedOccurrence>({
    text: `select to_json(d.occurs_at) #>> '{}' as "occursAt",
        case when o.skipped_because is null then to_json(coalesce(o.due_at, d.due_at)) #>> '{}' end as "dueAt"
      from app_hidden.due_times($2, $3::app_public.holiday_policy, $4, $5::timestamptz[]) d
      left join app_public.schedule_occurrences o
        on o.tenant_id = app_hidden.current_tenant_id() and o.schedule_id = $1 and o.occurs_at = d.occurs_at
      order by d.occurs_at`,
    values: [
      id,
      schedule.holiday_calendar_id,
      schedule.holiday_policy,
      schedule.time_zone,
      occurrences.map((occurrence) => occurrence.toISOString()),
    ],
  });
  return [...due.rows];
}

function countOf(first: number | null | undefined): number {
  return Math.min(Math.max(first ?? 10, 1), 100);
}
