/*
 * Which recurrence rules are let in, and what is said of those that are not; and days that are no business days.
 */
begin;
select plan(71);

select is(app_private.recurrence_rule_fault(r.rule), null, coalesce(r.rule, 'no rule') || ' is a rule')
from (values
  (null), ('FREQ=DAILY'), ('FREQ=HOURLY;BYMINUTE=30'), ('FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR;WKST=SU'),
  ('FREQ=MONTHLY;BYMONTHDAY=-1'), ('FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1'), ('FREQ=MONTHLY;BYDAY=+2TU,-1FR'),
  ('FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29'), ('FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO'), ('FREQ=YEARLY;BYYEARDAY=1,-1'),
  ('FREQ=DAILY;COUNT=9999'), ('FREQ=DAILY;UNTIL=20280229T235959Z'), ('FREQ=DAILY;BYHOUR=9,17;BYMINUTE=0;BYSECOND=0'),
  ('FREQ=MONTHLY;BYMONTH=2,3;BYMONTHDAY=31')
) as r (rule);

select is(app_private.recurrence_rule_fault(r.rule), r.fault, format('%s: %s', r.rule, r.fault))
from (values
  ('', 'parts such as FREQ=MONTHLY;BYMONTHDAY=1, in capitals, at most 500 characters'),
  ('RRULE:FREQ=DAILY', 'parts such as FREQ=MONTHLY;BYMONTHDAY=1, in capitals, at most 500 characters'),
  ('freq=daily', 'parts such as FREQ=MONTHLY;BYMONTHDAY=1, in capitals, at most 500 characters'),
  ('FREQ=DAILY;', 'parts such as FREQ=MONTHLY;BYMONTHDAY=1, in capitals, at most 500 characters'),
  (E'FREQ=DAILY\nDTSTART=1', 'parts such as FREQ=MONTHLY;BYMONTHDAY=1, in capitals, at most 500 characters'),
  ('FREQ=YEARLY;BYYEARDAY=1' || repeat(',1', 300),
    'parts such as FREQ=MONTHLY;BYMONTHDAY=1, in capitals, at most 500 characters'),
  ('FREQ=DAILY;EXDATE=20260101T000000Z', 'EXDATE is no part of a rule'),
  ('FREQ=SECONDLY', 'FREQ is YEARLY, MONTHLY, WEEKLY, DAILY or HOURLY'),
  ('FREQ=MINUTELY;INTERVAL=90', 'FREQ is YEARLY, MONTHLY, WEEKLY, DAILY or HOURLY'),
  ('FREQ=DAILY;INTERVAL=0', 'INTERVAL is 1 to 999'),
  ('FREQ=DAILY;COUNT=10000', 'COUNT is 1 to 9999'),
  ('FREQ=DAILY;UNTIL=20300101', 'UNTIL is a moment in UTC, such as 20301231T235959Z'),
  ('FREQ=DAILY;UNTIL=20300101T000000', 'UNTIL is a moment in UTC, such as 20301231T235959Z'),
  ('FREQ=DAILY;UNTIL=20300231T000000Z', 'UNTIL is a day that there is'),
  ('FREQ=YEARLY;BYMONTH=13', 'BYMONTH is months from 1 to 12'),
  ('FREQ=YEARLY;BYWEEKNO=54', 'BYWEEKNO is weeks from 1 to 53'),
  ('FREQ=YEARLY;BYYEARDAY=367', 'BYYEARDAY is days from 1 to 366'),
  ('FREQ=MONTHLY;BYMONTHDAY=0', 'BYMONTHDAY is days from 1 to 31, or -1 to -31'),
  ('FREQ=MONTHLY;BYMONTHDAY=32', 'BYMONTHDAY is days from 1 to 31, or -1 to -31'),
  ('FREQ=WEEKLY;BYDAY=XX', 'BYDAY is days such as MO, 2TU or -1FR'),
  ('FREQ=DAILY;BYHOUR=24', 'BYHOUR is hours from 0 to 23'),
  ('FREQ=HOURLY;BYMINUTE=0,30', 'BYMINUTE is one minute from 0 to 59'),
  ('FREQ=HOURLY;BYSECOND=0,30', 'BYSECOND is one second from 0 to 59'),
  ('FREQ=HOURLY;BYSECOND=60', 'BYSECOND is one second from 0 to 59'),
  ('FREQ=MONTHLY;BYDAY=MO;BYSETPOS=0', 'BYSETPOS is places from 1 to 366, or -1 to -366'),
  ('FREQ=DAILY;WKST=1', 'WKST is a day such as MO'),
  ('FREQ=DAILY;FREQ=WEEKLY', 'FREQ is given once'),
  ('INTERVAL=2', 'FREQ is given'),
  ('FREQ=DAILY;COUNT=3;UNTIL=20300101T000000Z', 'COUNT or UNTIL, not both'),
  ('FREQ=MONTHLY;BYWEEKNO=3', 'BYWEEKNO is of YEARLY'),
  ('FREQ=MONTHLY;BYYEARDAY=3', 'BYYEARDAY is of YEARLY or HOURLY'),
  ('FREQ=WEEKLY;BYMONTHDAY=3', 'BYMONTHDAY is not of WEEKLY'),
  ('FREQ=WEEKLY;BYDAY=2MO', 'BYDAY has numbers with MONTHLY, or with YEARLY without BYWEEKNO'),
  ('FREQ=YEARLY;BYWEEKNO=3;BYDAY=1MO', 'BYDAY has numbers with MONTHLY, or with YEARLY without BYWEEKNO'),
  ('FREQ=DAILY;BYSETPOS=1', 'BYSETPOS chooses from another BY part'),
  ('FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30', 'BYMONTHDAY is a day of one of its months'),
  ('FREQ=YEARLY;BYMONTH=4,6;BYMONTHDAY=31,-31', 'BYMONTHDAY is a day of one of its months')
) as r (rule, fault);

--------------------------------------------------------------------------------------------------
-- Business days: 2026-05-01 is a Friday and a holiday, 2026-05-04 the Monday after it, a holiday here too

select tests.make_books('acme');
insert into app_public.holiday_calendars (tenant_id, id, code, name)
values (tests.tenant('acme'), md5('calendar')::uuid, 'de', 'Germany');
insert into app_public.holidays (tenant_id, calendar_id, observed_on, name)
select tests.tenant('acme'), md5('calendar')::uuid, d.day, 'x'
from (values ('2026-05-01'::date), ('2026-05-04'), ('2026-10-30')) as d (day);

select is(
  app_private.business_day(tests.tenant('acme'), md5('calendar')::uuid, d.policy::app_public.holiday_policy, d.day),
  d.due_on, format('%s: %s is due on %s', d.policy, d.day, d.due_on))
from (values
  ('skip', '2026-04-30'::date, '2026-04-30'::date), ('skip', '2026-05-01', null), ('skip', '2026-05-02', null),
  ('previous_business_day', '2026-04-30', '2026-04-30'), ('previous_business_day', '2026-05-01', '2026-04-30'),
  ('previous_business_day', '2026-05-04', '2026-04-30'), ('next_business_day', '2026-05-01', '2026-05-05'),
  ('next_business_day', '2026-05-05', '2026-05-05'), ('modified_following', '2026-05-01', '2026-05-05'),
  -- A Saturday at the end of a month, the Friday before it a holiday.
  ('modified_following', '2026-10-31', '2026-10-29'), ('modified_following', '2026-05-30', '2026-05-29'),
  ('modified_following', '2026-05-16', '2026-05-18'), ('previous_business_day', '2026-05-16', '2026-05-15')
) as d (policy, day, due_on);
select is(
  app_private.business_day(tests.tenant('acme'), null, 'none', '2026-05-02'), '2026-05-02',
  'without a calendar every day is one');
select is(
  app_private.due_at(tests.tenant('acme'), md5('calendar')::uuid, 'next_business_day', 'Europe/Berlin',
    '2026-03-28 09:30+01'),
  '2026-03-30 09:30+02', 'what moves keeps its local time of day, also over a change of the clocks');
select is(
  app_private.due_at(tests.tenant('acme'), md5('calendar')::uuid, 'previous_business_day', 'America/New_York',
    '2026-05-02 02:00Z'),
  '2026-05-01 02:00Z', 'the day is that of its time zone: Friday evening in New York, a holiday there');
select throws_ok(
  format($$insert into app_public.payment_schedules (
      tenant_id, kind, account_id, to_account_id, amount, currency, rule, time_zone, starts_at, planned_until,
        created_by)
    values (%s, 'transfer', %L, %L, 1, 'EUR', 'FREQ=MINUTELY', 'UTC', '2026-01-01', '2026-01-01', %L)$$,
    tests.tenant('acme'), tests.account('acme', 'ann'), tests.account('acme', 'bob'), tests.user_id('setup')),
  '23514', null, 'a rule that is none is not even written by the owner');
select is(
  (select app_private.nearest_business_day(tests.tenant('acme'), md5('empty')::uuid, '2026-05-01', 1)),
  null, 'a calendar that is not there has no business days');
select throws_ok(
  format($$insert into app_public.holiday_calendars (tenant_id, code, name, weekend_days)
    values (%s, 'x', 'x', '{1,2,3,4,5,6,7}')$$, tests.tenant('acme')),
  '23514', null, 'a calendar leaves a business day in the week');
select throws_ok(
  format($$insert into app_public.holidays (tenant_id, calendar_id, observed_on, name)
    values (%s, %L, 'infinity', 'x')$$, tests.tenant('acme'), md5('calendar')),
  '23514', null, 'a holiday is a day that there is');

select * from finish();
rollback;
