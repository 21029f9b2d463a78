/*
 * Schedules: what is let in, who may do what, planning, paying each occurrence once, what becomes of refusals, of
 * outages, pauses and holidays.
 */
begin;
select plan(81);

select tests.make_books('acme');
select tests.make_books('other');
select tests.make_provider('acme', 'bank');
update app_public.tenants set has_kyc_limits = false;
insert into app_public.role_permissions (tenant_id, role, permission)
values (tests.tenant('acme'), 'customer', 'schedules.manage');

-- What schedule_payment takes: a transfer of 100 from ann to bob unless something else is named.
create function pg_temp.input(
  rule text default null, starts_at timestamptz default now() + interval '1 hour', account text default 'ann',
  to_account text default 'bob', amount numeric default 100, kind app_public.payment_kind default 'transfer',
  time_zone text default 'UTC', ends_at timestamptz default null, calendar uuid default null,
  policy app_public.holiday_policy default null, catch_up app_public.catch_up_policy default null,
  retry_days integer default null, key text default null, currency text default null
)
returns app_public.schedule_input language sql stable as $$
  select row(
    kind, tests.account('acme', account), tests.account('acme', to_account), amount, currency, null, null, null, null,
      null,
    rule, time_zone, starts_at, ends_at, calendar, policy, catch_up, retry_days, key
  )::app_public.schedule_input
$$;
create temp table made (name text primary key, id uuid) on commit drop;
grant all on made to public;
create function pg_temp.id(name text) returns uuid language sql stable as $$ select id from made m
  where m.name = id.name $$;
create function pg_temp.schedule(name text) returns app_public.payment_schedules language sql security definer as $$
  select s from app_public.payment_schedules s where s.id = (select m.id from made m where m.name = schedule.name)
$$;
-- Status of each occurrence in order, with why it was left out or failed.
create function pg_temp.occurrences(name text) returns text language sql security definer as $$
  select string_agg(concat_ws(':', o.status, o.skipped_because, o.error_code), ' ' order by o.number)
  from app_public.schedule_occurrences o where o.schedule_id = (pg_temp.schedule(name)).id
$$;
-- Plan the occurrences of a schedule at these times from its start on, as the job does.
create function pg_temp.plan(name text, hours integer[], is_last boolean default false) returns boolean
language sql security definer as $$
  select app_private.plan_occurrences(
    s.tenant_id, s.id, s.planned_until, s.starts_at + max(h.n) * interval '1 hour',
    array_agg(s.starts_at + h.n * interval '1 hour' order by h.n), is_last)
  from pg_temp.schedule(name) s cross join unnest(hours) as h (n)
  group by s.tenant_id, s.id, s.planned_until, s.starts_at
$$;
-- Run what is due so many hours after the start of a schedule, until nothing is.
create function pg_temp.run(name text, hours numeric) returns integer language plpgsql security definer as $$
declare
  v_schedule app_public.payment_schedules := pg_temp.schedule(name);
  v_count integer := 0;
begin
  while app_private.execute_schedule(v_schedule.tenant_id, v_schedule.id,
    v_schedule.starts_at + hours * interval '1 hour') loop
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$;
create function pg_temp.events(name text) returns text language sql security definer as $$
  select string_agg(o.kind, ' ' order by o.number) from app_private.outbox o
  where o.subject_id = (pg_temp.schedule(name)).id
$$;

--------------------------------------------------------------------------------------------------
-- What is let in

select tests.become('teller', tests.tenant('acme'), tests.user_id('tina'));
select throws_ok(format('select app_public.schedule_payment(%s)', c.input), c.code, null, c.input)
from (values
  ('pg_temp.input(kind => ''refund'')', 'LG672'),
  ('pg_temp.input(kind => null)', 'LG603'),
  ('pg_temp.input(to_account => null)', 'LG603'),
  ('pg_temp.input(amount => 0)', 'LG102'),
  ('pg_temp.input(to_account => ''ann'')', 'LG611'),
  ('pg_temp.input(currency => ''USD'')', 'LG613'),
  ('pg_temp.input(''FREQ=MINUTELY'')', 'LG671'),
  ('pg_temp.input(time_zone => ''Europe/Atlantis'')', 'LG672'),
  ('pg_temp.input(time_zone => ''EST5EDT'')', 'LG672'),
  ('pg_temp.input(time_zone => ''europe/berlin'')', 'LG672'),
  ('pg_temp.input(time_zone => null)', 'LG672'),
  ('pg_temp.input(starts_at => null)', 'LG672'),
  ('pg_temp.input(starts_at => now() - interval ''6 minutes'')', 'LG672'),
  ('pg_temp.input(''FREQ=DAILY'', starts_at => now() - interval ''11 years'')', 'LG672'),
  ('pg_temp.input(ends_at => now() + interval ''1 day'')', 'LG672'),
  ('pg_temp.input(''FREQ=DAILY'', ends_at => now())', 'LG672'),
  ('pg_temp.input(''FREQ=DAILY'', ends_at => ''infinity'')', 'LG672'),
  ('pg_temp.input(calendar => uuidv7(), policy => ''skip'')', 'LG675'),
  ('pg_temp.input(policy => ''skip'')', 'LG672'),
  ('pg_temp.input(retry_days => 31)', 'LG672'),
  ('pg_temp.input(key => '''')', 'LG105')
) as c (input, code);

insert into made select 'once', (app_public.schedule_payment(pg_temp.input(key => 'k'))).id;
select is((app_public.schedule_payment(pg_temp.input(key => 'k'))).id, pg_temp.id('once'),
  'the same key is the same schedule');
select throws_ok('select app_public.schedule_payment(pg_temp.input(key => ''k'', amount => 101))', 'LG501', null,
  'another payment under it is refused');
select is(pg_temp.occurrences('once'), 'planned', 'what is paid once is planned at once');
select is((pg_temp.schedule('once')).next_due_at, (pg_temp.schedule('once')).starts_at, 'and due then');
select tests.become_superuser();
select ok(exists (select from graphile_worker.jobs j where j.key = 'schedules/execute_due:now'), 'its job is there');

--------------------------------------------------------------------------------------------------
-- Who may

select tests.become('customer', tests.tenant('acme'), tests.user_id('ann'));
insert into made select 'of ann', (app_public.schedule_payment(pg_temp.input('FREQ=HOURLY'))).id;
select throws_ok('select app_public.schedule_payment(pg_temp.input(account => ''bob'', to_account => ''ann''))',
  'LG301', null,
  'a customer schedules no payment from an account of somebody else');
select throws_ok('select app_public.schedule_payment(pg_temp.input(to_account => ''sales''))', 'LG301', null,
  'nor to one of the books');
select throws_ok('select app_public.pause_schedule(pg_temp.id(''once''))', 'LG670', null,
  'a customer manages no schedule that they did not make');
select is((select count(*) from app_public.payment_schedules), 2::bigint, 'but sees what pays from their account');
select is((select count(*) from app_public.schedule_occurrences), 1::bigint, 'and when');
select tests.become('customer', tests.tenant('acme'), tests.user_id('bob'));
select is((select count(*) from app_public.payment_schedules), 0::bigint, 'who is paid does not see the schedule');
select throws_ok('select app_public.end_schedule(pg_temp.id(''of ann''))', 'LG670', null, 'and does not end it');
select tests.become('admin', tests.tenant('other'), tests.user_id('eve'));
select throws_ok(format(c.statement, pg_temp.id('once')), 'LG670', null, 'of other books: ' || c.statement)
from (values
  ('select app_public.pause_schedule(%L)'), ('select app_public.resume_schedule(%L)'),
  ('select app_public.end_schedule(%L)'), ('select app_public.skip_occurrence(%L, now())')
) as c (statement);
select tests.become_superuser();

--------------------------------------------------------------------------------------------------
-- Planning and paying

select ok(pg_temp.plan('of ann', '{0,1,2,3}'), 'what was worked out is taken in');
select is(
  app_private.plan_occurrences(s.tenant_id, s.id, s.planned_until - interval '1 s', s.planned_until, '{}', false),
  false, 'not from anywhere else than where it stands')
from pg_temp.schedule('of ann') s;
select throws_ok(
  $$select app_private.plan_occurrences(s.tenant_id, s.id, s.planned_until, s.planned_until + interval '2 h',
      array[s.planned_until + interval '2 h', s.planned_until + interval '1 h'], false)
    from pg_temp.schedule('of ann') s$$, 'P0004', null, 'nor in disorder');
select is(pg_temp.run('of ann', -0.1), 0, 'nothing is paid before it is due');
select is(pg_temp.run('of ann', 0), 1, 'it is then');
select is(pg_temp.occurrences('of ann'), 'executed planned planned planned', 'once');
select is(tests.counters('acme', 'bob'), '{0,10100,0,0}', 'the money has moved');
select is(p.idempotency_key || ' ' || p.created_by, format('schedule:%s:%s %s', s.id,
    to_char(s.starts_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), tests.user_id('ann')),
  'its payment has the key of the occurrence, and who scheduled it asked for it')
from pg_temp.schedule('of ann') s
join app_public.schedule_occurrences o on o.schedule_id = s.id and o.status = 'executed'
join app_public.payments p on p.id = o.payment_id;
select is(pg_temp.run('of ann', 3), 0, 'where the rule was not worked out up to now, nothing is paid')
from (select pg_temp.plan('once', '{0}')) x;
select throws_ok(
  format($$update app_public.schedule_occurrences set status = 'skipped', skipped_because = 'end', payment_id = null
    where schedule_id = %L and number = 1$$, pg_temp.id('of ann')), 'LG319', null, 'what was paid stays so');
select throws_ok('delete from app_public.schedule_occurrences', 'LG319', null, 'no occurrence is removed');
select throws_ok(
  format('update app_public.payment_schedules set amount = 1 where id = %L', pg_temp.id('of ann')), 'LG319', null,
  'what a schedule pays stays so');

-- Rights that were lost meanwhile.
delete from app_public.role_permissions where role = 'customer' and permission = 'schedules.manage';
select is(pg_temp.run('of ann', 1), 1, 'an occurrence whose maker may nothing any more');
select is(pg_temp.occurrences('of ann'), 'executed failed:LG402 planned planned', 'fails');
insert into app_public.role_permissions (tenant_id, role, permission)
values (tests.tenant('acme'), 'customer', 'schedules.manage');

-- Skipping, and the end.
select tests.become('customer', tests.tenant('acme'), tests.user_id('ann'));
select lives_ok($$select app_public.skip_occurrence(s.id, s.starts_at + interval '2 hours')
  from pg_temp.schedule('of ann') s$$,
  'an occurrence is left out on request');
select throws_ok($$select app_public.skip_occurrence(s.id, s.starts_at) from pg_temp.schedule('of ann') s$$, 'LG674',
  null,
  'not one that was paid');
select is((pg_temp.schedule('of ann')).next_due_at, (pg_temp.schedule('of ann')).starts_at + interval '3 hours',
  'the next one is due');
select is((app_public.end_schedule(pg_temp.id('of ann'))).status, 'ended', 'a schedule ends by hand');
select throws_ok('select app_public.resume_schedule(pg_temp.id(''of ann''))', 'LG673', null, 'for good');
select tests.become_superuser();
select is(pg_temp.occurrences('of ann'), 'executed failed:LG402 skipped:request skipped:end', 'and pays nothing more');
select is(pg_temp.events('of ann'), 'schedule.created schedule.executed schedule.failed schedule.ended',
  'with an event each');
select is(pg_temp.run('once', 0), 1, 'what is paid once');
select is((pg_temp.schedule('once')).status, 'ended', 'has ended then');

--------------------------------------------------------------------------------------------------
-- Want of money: tried again daily

select tests.become('teller', tests.tenant('acme'), tests.user_id('tina'));
insert into made select 'poor', (app_public.schedule_payment(pg_temp.input(amount => 99999, retry_days => 2))).id;
select tests.become_superuser();
select is(array[pg_temp.run('poor', 0), pg_temp.run('poor', 23), pg_temp.run('poor', 24), pg_temp.run('poor', 48)],
  '{1,0,1,1}', 'a payment for which there is no money is tried again each day');
select is(pg_temp.occurrences('poor') || ' ' || pg_temp.events('poor'),
  'failed:LG202 schedule.created schedule.failed schedule.failed schedule.failed schedule.ended',
  'as often as the schedule says');
select is(o.attempts, 3, 'and counted') from app_public.schedule_occurrences o where o.schedule_id = pg_temp.id('poor');

--------------------------------------------------------------------------------------------------
-- Outages and pauses

select tests.become('teller', tests.tenant('acme'), tests.user_id('tina'));
insert into made
select c.name, (app_public.schedule_payment(pg_temp.input('FREQ=HOURLY', amount => 1,
  catch_up => c.name::app_public.catch_up_policy))).id
from (values ('all'), ('latest'), ('none')) as c (name);
select tests.become_superuser();
select pg_temp.plan(name, '{0,1,2,3,4}') from made where name in ('all', 'latest', 'none') order by name;
select is(array[pg_temp.run('all', 2.5), pg_temp.run('latest', 2.5), pg_temp.run('none', 2.5)], '{3,1,1}',
  'after an outage of hours one works off what was missed');
select is(pg_temp.occurrences('all'), 'executed executed executed planned planned', 'all of it');
select is(pg_temp.occurrences('latest'), 'skipped:outage skipped:outage executed planned planned',
  'or the latest that is due');
select is(pg_temp.occurrences('none'), 'skipped:outage skipped:outage executed planned planned', 'or what is not late');
select is(array[pg_temp.run('latest', 9) , pg_temp.run('none', 9)], '{0,0}', 'not before the rule was worked out');
select ok(pg_temp.plan(name, '{5}', is_last => true)) from made where name in ('latest', 'none') order by name;
select is(array[pg_temp.run('latest', 9), pg_temp.run('none', 9)], '{1,1}', 'when all that is due is late');
select is(pg_temp.occurrences('latest') || ', ' || pg_temp.occurrences('none'),
  'skipped:outage skipped:outage executed skipped:outage skipped:outage executed, '
  || 'skipped:outage skipped:outage executed skipped:outage skipped:outage skipped:outage',
  'the latest is paid all the same, or none');
select is((pg_temp.schedule('none')).status, 'ended', 'a schedule of which nothing is left has ended');

select tests.become('teller', tests.tenant('acme'), tests.user_id('tina'));
select is((app_public.pause_schedule(pg_temp.id('all'))).status, 'paused', 'a schedule is paused');
select is(pg_temp.run('all', 3), 0, 'and pays nothing');
select tests.become_superuser();
update app_public.schedule_occurrences set due_at = now() - interval '1 minute' where schedule_id = pg_temp.id('all')
  and number = 4;
select tests.become('teller', tests.tenant('acme'), tests.user_id('tina'));
select is((app_public.resume_schedule(pg_temp.id('all'))).status, 'active', 'it is resumed');
select is(pg_temp.occurrences('all'), 'executed executed executed skipped:pause planned',
  'without what came due meanwhile');

--------------------------------------------------------------------------------------------------
-- Holidays

select tests.become('accountant', tests.tenant('acme'), tests.user_id('abe'));
insert into made select 'calendar', (app_public.create_holiday_calendar('de', 'Germany', '{}')).id;
select throws_ok('select app_public.create_holiday_calendar(''de'', ''x'')', 'LG676', null,
  'the code of a calendar is unique');
insert into made select 'skip', (app_public.schedule_payment(pg_temp.input(
  'FREQ=DAILY', '2030-05-01 12:00Z', calendar => pg_temp.id('calendar'), policy => 'skip'))).id;
insert into made select 'next', (app_public.schedule_payment(pg_temp.input(
  'FREQ=DAILY', '2030-05-01 12:00Z', calendar => pg_temp.id('calendar'), policy => 'next_business_day'))).id;
select pg_temp.plan('skip', '{0,24}'), pg_temp.plan('next', '{0,24}');
select app_public.add_holidays(pg_temp.id('calendar'), array[('2030-05-01', 'Labour Day')::app_public.holiday_input]);
select is(pg_temp.occurrences('skip'), 'skipped:holiday planned', 'a new holiday leaves out what was planned on it');
select is((pg_temp.schedule('next')).next_due_at, '2030-05-02 12:00Z', 'or moves it');
select app_public.remove_holiday(pg_temp.id('calendar'), '2030-05-01');
select is(pg_temp.occurrences('skip') || (pg_temp.schedule('next')).next_due_at::text,
  'planned planned' || '2030-05-01 12:00Z'::timestamptz, 'and back if it is none any more');
select tests.become_superuser();

select * from finish();
rollback;
