/*
 * Subscriptions: plans, trials, periods, what is billed, changes in the middle of a period, dunning, pauses and
 * ends, and who may do what.
 */
begin;
select plan(92);

select tests.make_books('acme');
select tests.make_books('other');
select tests.make_provider('acme', 'bank');
update app_public.tenants set has_kyc_limits = false;
insert into app_public.role_permissions (tenant_id, role, permission)
values (tests.tenant('acme'), 'customer', 'subscriptions.manage');

create function pg_temp.plan(
  code text, price numeric default 3000, unit app_public.plan_interval default 'month', trial integer default null,
  proration app_public.proration_policy default null, dunning integer[] default null,
  outcome app_public.dunning_outcome default null, merchant text default 'sales', notice integer default null,
  zone text default null, count integer default null, name text default 'Gold'
)
returns app_public.plan_input language sql stable as $$
  select row(code, name, price, unit, count, zone, trial, notice, proration, dunning, outcome,
    tests.account('acme', merchant))::app_public.plan_input
$$;
create temp table made (name text primary key, id uuid) on commit drop;
grant all on made to public;
create function pg_temp.id(name text) returns uuid language sql stable as $$ select id from made m
  where m.name = id.name $$;
create function pg_temp.sub(name text) returns app_public.subscriptions language sql security definer as $$
  select s from app_public.subscriptions s where s.id = (select m.id from made m where m.name = sub.name)
$$;
create function pg_temp.invoices(name text) returns text language sql security definer as $$
  select string_agg(i.status || ':' || i.amount, ' ' order by i.period_number)
  from app_public.subscription_invoices i where i.subscription_id = (pg_temp.sub(name)).id
$$;
create function pg_temp.lines(name text) returns text language sql security definer as $$
  select string_agg(l.kind || ':' || l.amount || case when l.invoice_id is null then '?' else '' end, ' '
    order by l.number)
  from app_public.subscription_invoice_lines l where l.subscription_id = (pg_temp.sub(name)).id
$$;
create function pg_temp.moves(name text) returns text language sql security definer as $$
  select string_agg(m.to_status::text, ' ' order by m.number)
  from app_public.subscription_moves m where m.subscription_id = (pg_temp.sub(name)).id
$$;
create function pg_temp.events(name text) returns text language sql security definer as $$
  select string_agg(replace(o.kind, 'subscription.', ''), ' ' order by o.number) from app_private.outbox o
  where o.subject_id = (pg_temp.sub(name)).id
$$;
-- Do what is due at a moment, until nothing is.
create function pg_temp.run(name text, at timestamptz) returns integer language plpgsql security definer as $$
declare
  v_count integer := 0;
begin
  while app_private.advance_subscription(tests.tenant('acme'), (pg_temp.sub(name)).id, at) loop
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$;
-- Make the present period of a subscription another one, as if it had begun then: all tests run at one moment.
create function pg_temp.shift(name text, starts_at timestamptz, ends_at timestamptz) returns void
language plpgsql security definer as $$
begin
  update app_public.subscriptions s
  set anchor_at = starts_at, anchor_number = s.period_number, period_starts_at = starts_at, period_ends_at = ends_at
  where s.id = (pg_temp.sub(name)).id;
end
$$;

--------------------------------------------------------------------------------------------------
-- Periods and their parts

select is(
  (select string_agg(to_char(app_hidden.period_start('2026-01-31 09:00Z', 'month', 1, 'UTC', n) at time zone 'UTC',
    'MM-DD'), ' ' order by n)
    from generate_series(0, 4) n),
  '01-31 02-28 03-31 04-30 05-31', 'months are counted from the anchor, so that the 31st comes back');
select is(app_hidden.period_start('2028-02-29 12:00Z', 'year', 1, 'UTC', 1), '2029-02-28 12:00Z',
  'a year after February 29');
select is(app_hidden.period_start('2026-03-28 09:00+01', 'day', 1, 'Europe/Berlin', 1), '2026-03-29 09:00+02',
  'a day of 23 hours is one');
select is(app_hidden.period_start('2026-03-28 09:00+01', 'week', 2, 'Europe/Berlin', 1), '2026-04-11 09:00+02',
  'two weeks');
select is(
  array[
    app_hidden.consumed(100, '2026-01-01Z', '2026-01-31Z', '2026-01-01Z', 'by_second', 'UTC'),
    app_hidden.consumed(100, '2026-01-01Z', '2026-01-31Z', '2026-01-11Z', 'by_second', 'UTC'),
    app_hidden.consumed(100, '2026-01-01Z', '2026-01-31Z', '2026-02-11Z', 'by_second', 'UTC'),
    app_hidden.consumed(3, '2026-01-01Z', '2026-01-03Z', '2026-01-02Z', 'by_second', 'UTC'),
    app_hidden.consumed(100, '2026-01-01Z', '2026-01-31Z', '2026-01-10 23:59Z', 'by_day', 'UTC')
  ],
  '{0,33,100,2,30}',
  'parts of a price: nothing, a third, all of it; a half is rounded up; days that have passed whole');
-- However a period is parted, at one price, its parts are the price; at any prices each part is within one unit.
select is_empty(
  $$with parting as (
      select r.n as seed, (mod(r.n * 7919, 100000) + 1)::numeric as price,
        array(select make_interval(secs => mod(r.n * i * 104729, 2592000)) from generate_series(1, 12) i
          order by 1) as cuts,
        case when mod(r.n, 2) = 0 then 'by_day' else 'by_second' end::app_public.proration_policy as policy
      from generate_series(1, 300) r (n)
    ),
    part as (
      select p.*, c.n, app_hidden.consumed(p.price, '2026-03-01Z', '2026-03-31Z',
          case when c.n > 12 then '2026-03-31Z' else '2026-03-01Z'::timestamptz + p.cuts[c.n] end, p.policy,
            'Europe/Berlin')
        - app_hidden.consumed(p.price, '2026-03-01Z', '2026-03-31Z',
          case when c.n = 1 then '2026-03-01Z' else '2026-03-01Z'::timestamptz + p.cuts[c.n - 1] end, p.policy,
            'Europe/Berlin') as amount
      from parting p cross join generate_series(1, 13) c (n)
    )
    select seed from part group by seed, price having sum(amount) <> price or min(amount) < 0$$,
  'in 300 periods parted in thirteen no minor unit is made or lost');
select is(app_hidden.consumed(1e37, '2026-01-01Z', '2027-01-01Z',
  '2026-01-01Z'::timestamptz + interval '1 microsecond', 'by_second', 'UTC'),
  317097919837645865043125, 'the arithmetic is exact for any amount');

--------------------------------------------------------------------------------------------------
-- Plans

select tests.become('accountant', tests.tenant('acme'), tests.user_id('abe'));
select throws_ok(format('select app_public.create_plan(%s)', c.input), c.code, null, c.input)
from (values
  ('pg_temp.plan(''Gold'')', 'LG67B'), ('pg_temp.plan(''gold'', price => -1)', 'LG67B'),
  ('pg_temp.plan(''gold'', price => null)', 'LG67B'), ('pg_temp.plan(''gold'', unit => null)', 'LG67B'),
  ('pg_temp.plan(''gold'', count => 0)', 'LG67B'), ('pg_temp.plan(''gold'', trial => 731)', 'LG67B'),
  ('pg_temp.plan(''gold'', notice => 61)', 'LG67B'), ('pg_temp.plan(''gold'', dunning => ''{3,1}'')', 'LG67B'),
  ('pg_temp.plan(''gold'', dunning => ''{0}'')', 'LG67B'), ('pg_temp.plan(''gold'', dunning => ''{91}'')', 'LG67B'),
  ('pg_temp.plan(''gold'', name => '''')', 'LG67B'), ('pg_temp.plan(''gold'', zone => ''x'')', 'LG672'),
  ('pg_temp.plan(''gold'', merchant => ''nobody'')', 'LG301')
) as c (input, code);
insert into made
select c.code, (app_public.create_plan(pg_temp.plan(c.code, c.price, c.unit, c.trial, c.proration, c.dunning,
  c.outcome))).id
from (values
  ('gold', 3000, 'month'::app_public.plan_interval, null::integer, null::app_public.proration_policy, null::integer[],
    null::app_public.dunning_outcome),
  ('silver', 1000, 'month', null, null, null, null),
  ('yearly', 9000, 'year', null, null, null, null),
  ('trial', 700, 'week', 14, 'none', '{2}', 'pause'),
  ('dear', 99999, 'month', null, null, null, null),
  ('free', 0, 'day', null, null, null, null)
) as c (code, price, unit, trial, proration, dunning, outcome);
select throws_ok('select app_public.create_plan(pg_temp.plan(''gold''))', 'LG67C', null,
  'the code of a plan is unique');
select is((select array_agg(d.after_days order by d.number) from app_public.plan_dunning_steps d
  where d.plan_id = pg_temp.id('gold')),
  '{1,3,5,7}'::smallint[], 'unpaid invoices are tried again after 1, 3, 5 and 7 days');

--------------------------------------------------------------------------------------------------
-- Subscribing, and who may

select tests.become('customer', tests.tenant('acme'), tests.user_id('ann'));
insert into made select 'ann gold', (app_public.subscribe(pg_temp.id('gold'), tests.account('acme', 'ann'))).id;
select is(pg_temp.invoices('ann gold') || ' ' || pg_temp.lines('ann gold') || ' ' || (pg_temp.sub('ann gold')).status,
  'paid:3000 period:3000 active', 'the first period is paid at once');
select is(tests.counters('acme', 'ann'), '{3000,10000,0,0}', 'from the account');
select is((pg_temp.sub('ann gold')).next_action_at, (pg_temp.sub('ann gold')).period_ends_at,
  'the next one is due at its end');
select throws_ok(format('select app_public.subscribe(%L, %L)', pg_temp.id('gold'), tests.account('acme', 'ann')),
  'LG67F', null,
  'an account subscribes to a plan once');
select throws_ok(format('select app_public.subscribe(%L, %L)', pg_temp.id('dear'), tests.account('acme', 'ann')),
  'LG202', null,
  'what the account cannot pay is refused');
select is((select count(*) from app_public.subscriptions), 1::bigint, 'and no subscription comes of it');
select throws_ok(format('select app_public.subscribe(%L, %L)', pg_temp.id('gold'), tests.account('acme', 'bob')),
  'LG301', null,
  'a customer does not subscribe for others');
select throws_ok(format('select app_public.subscribe(%L, %L)', uuidv7(), tests.account('acme', 'ann')), 'LG67A', null,
  'a plan that is not there');
select throws_ok(format('select app_public.subscribe(%L, %L, 0)', pg_temp.id('silver'), tests.account('acme', 'ann')),
  'LG67H', null, 'no quantity');
select throws_ok(format('select app_public.subscribe(%L, %L, counterparty_id => %L)', pg_temp.id('silver'),
  tests.account('acme', 'ann'), uuidv7()),
  'LG67H', null, 'a counterparty without a provider');
select tests.become('customer', tests.tenant('acme'), tests.user_id('bob'));
select is((select count(*) from app_public.subscriptions) + (select count(*) from app_public.subscription_invoices)
  + (select count(*) from app_public.subscription_invoice_lines) + (select count(*) from app_public.subscription_moves)
  + (select count(*) from app_public.subscription_charges), 0::bigint, 'a customer sees no subscription of others');
select is((app_public.preview_subscription_change(pg_temp.id('ann gold'), quantity => 2)) is null, true,
  'nor what its change would cost');
select throws_ok('select app_public.cancel_subscription(pg_temp.id(''ann gold''))', 'LG67D', null, 'nor cancels it');
select tests.become('admin', tests.tenant('other'), tests.user_id('eve'));
select throws_ok(format(c.statement, pg_temp.id('ann gold')), 'LG67D', null, 'of other books: ' || c.statement)
from (values
  ('select app_public.change_subscription(%L)'), ('select app_public.cancel_subscription(%L)'),
  ('select app_public.pause_subscription(%L)'), ('select app_public.resume_subscription(%L)')
) as c (statement);
select throws_ok(format('select app_public.archive_plan(%L)', pg_temp.id('gold')), 'LG67A', null,
  'a plan of other books');

--------------------------------------------------------------------------------------------------
-- Changes in the middle of a period: ten of thirty days have passed

select pg_temp.shift('ann gold', now() - interval '10 days', now() + interval '20 days');
select tests.become('customer', tests.tenant('acme'), tests.user_id('ann'));
select is(row(p.unused_amount, p.remaining_amount, p.restarts_period, p.due_now, p.next_invoice_amount)::text,
  '(-2000,4000,f,0,8000)', 'what a change would cost')
from app_public.preview_subscription_change(pg_temp.id('ann gold'), quantity => 2) p;
select lives_ok('select app_public.change_subscription(pg_temp.id(''ann gold''), quantity => 2)', 'more of it');
select is(pg_temp.lines('ann gold'), 'period:3000 unused:-2000? remaining:4000?',
  'is credited at the old price and charged at the new one');
select lives_ok('select app_public.change_subscription(pg_temp.id(''ann gold''), quantity => 1)',
  'and less of it again');
select is(pg_temp.lines('ann gold'), 'period:3000 unused:-2000? remaining:4000? unused:-4000? remaining:2000?',
  'takes all of that back');
select lives_ok(format('select app_public.change_subscription(pg_temp.id(''ann gold''), %L)', pg_temp.id('silver')),
  'a cheaper plan');
select tests.become_superuser();
select is(pg_temp.run('ann gold', now() + interval '20 days'), 1, 'the next period begins');
select is(pg_temp.invoices('ann gold'), 'paid:3000 paid:0', 'its invoice has the credit');
select is(pg_temp.lines('ann gold'),
  'period:3000 unused:-2000 remaining:4000 unused:-4000 remaining:2000 '
  || 'unused:-2000 remaining:667 period:1000 carried:333 carried:-333?',
  'and what that leaves is carried on');
select is(pg_temp.run('ann gold', (pg_temp.sub('ann gold')).period_ends_at), 1, 'to the one after');
select is(pg_temp.invoices('ann gold'), 'paid:3000 paid:0 paid:667', 'which asks for the rest');
select is(tests.counters('acme', 'ann'), '{3667,10000,0,0}', 'of the account');
select throws_ok('update app_public.subscription_invoice_lines set amount = amount + 1', 'LG319', null,
  'a line never changes');
select throws_ok('update app_public.subscription_invoices set amount = amount + 1', 'LG319', null, 'nor an invoice');
select throws_ok('update app_public.plans set price = price + 1', 'LG319', null, 'nor a plan');

-- Another interval begins at once.
select pg_temp.shift('ann gold', now() - interval '15 days', now() + interval '15 days');
select tests.become('customer', tests.tenant('acme'), tests.user_id('ann'));
select throws_ok(format('select app_public.change_subscription(pg_temp.id(''ann gold''), %L)', pg_temp.id('yearly')),
  'LG202', null,
  'a change that the account cannot pay is refused');
select is((pg_temp.sub('ann gold')).plan_id, pg_temp.id('silver'), 'as a whole');
select tests.become_superuser();
select tests.post('acme', 'cash', 'ann', 20000);
select tests.become('customer', tests.tenant('acme'), tests.user_id('ann'));
select is(row(p.unused_amount, p.remaining_amount, p.restarts_period, p.due_now, p.next_invoice_amount)::text,
  '(-500,0,t,8500,9000)', 'what a change of the interval would cost')
from app_public.preview_subscription_change(pg_temp.id('ann gold'), pg_temp.id('yearly')) p;
select is((app_public.change_subscription(pg_temp.id('ann gold'), pg_temp.id('yearly'))).period_ends_at,
  now() + interval '1 year',
  'a period of the new interval begins');
select is(pg_temp.invoices('ann gold'), 'paid:3000 paid:0 paid:667 paid:8500', 'and is paid at once, less the credit');

--------------------------------------------------------------------------------------------------
-- A trial, dunning to a pause, and resuming

select tests.become('teller', tests.tenant('acme'), tests.user_id('tina'));
insert into made select 'trial of bob', (app_public.subscribe(pg_temp.id('trial'), tests.account('acme', 'bob'),
  20)).id;
select tests.become_superuser();
select is(pg_temp.moves('trial of bob') || coalesce(pg_temp.invoices('trial of bob'), ' nothing'), 'trialing nothing',
  'a trial is free');
select is((pg_temp.sub('trial of bob')).next_action_at,
  (pg_temp.sub('trial of bob')).trial_ends_at - interval '3 days', 'its end is told before');
select is(pg_temp.run('trial of bob', (pg_temp.sub('trial of bob')).trial_notice_at), 1, 'once');
select is(pg_temp.run('trial of bob', (pg_temp.sub('trial of bob')).trial_ends_at), 1,
  'at its end the first period is billed');
select is(pg_temp.moves('trial of bob') || ' ' || pg_temp.invoices('trial of bob'), 'trialing past_due open:14000',
  'what cannot be paid is past due');
select is((pg_temp.sub('trial of bob')).next_action_at,
  (pg_temp.sub('trial of bob')).trial_ends_at + interval '2 days', 'and tried again when the plan says');
select is(array[pg_temp.run('trial of bob', (pg_temp.sub('trial of bob')).next_action_at - interval '1 s'),
  pg_temp.run('trial of bob', (pg_temp.sub('trial of bob')).next_action_at)], '{0,1}', 'not before');
select is(pg_temp.moves('trial of bob') || ' ' || pg_temp.invoices('trial of bob'),
  'trialing past_due paused uncollectible:14000',
  'after the last step it is given up, and the subscription paused');
select is(pg_temp.events('trial of bob'),
  'created trial_ending invoiced payment_failed past_due payment_failed paused', 'with an event each');
select tests.become('teller', tests.tenant('acme'), tests.user_id('tina'));
select throws_ok('select app_public.resume_subscription(pg_temp.id(''trial of bob''))', 'LG202', null,
  'resuming is paid at once, or refused');
select tests.become_superuser();
select tests.post('acme', 'cash', 'bob', 20000);
select tests.become('teller', tests.tenant('acme'), tests.user_id('tina'));
select is((app_public.resume_subscription(pg_temp.id('trial of bob'))).status, 'active', 'with money it is');
select is(pg_temp.invoices('trial of bob'), 'uncollectible:14000 paid:14000', 'and a period of its own begins');

-- Pausing, and the end of a period.
select is((app_public.pause_subscription(pg_temp.id('trial of bob'))).next_action_at, null,
  'a subscription is paused by hand');
select is((app_public.resume_subscription(pg_temp.id('trial of bob'))).next_action_at,
  (pg_temp.sub('trial of bob')).period_ends_at,
  'and goes on with the period that was paid');
select is((app_public.cancel_subscription(pg_temp.id('trial of bob'))).status, 'active',
  'one that is cancelled stays in use');
select tests.become_superuser();
select is(pg_temp.run('trial of bob', (pg_temp.sub('trial of bob')).period_ends_at), 1, 'until the end of its period');
select is((pg_temp.sub('trial of bob')).status, 'ended', 'and ends then');
select tests.become('teller', tests.tenant('acme'), tests.user_id('tina'));
select throws_ok('select app_public.resume_subscription(pg_temp.id(''trial of bob''))', 'LG67E', null, 'for good');

-- Paid in time after all, cancelled at once, periods missed in an outage.
insert into made select 'silver of bob', (app_public.subscribe(pg_temp.id('silver'), tests.account('acme', 'bob'))).id;
select tests.become_superuser();
select is(pg_temp.run('silver of bob', (pg_temp.sub('silver of bob')).anchor_at + interval '3 months'), 3,
  'what was missed in an outage is made up for period by period');
select is(pg_temp.invoices('silver of bob'), 'paid:1000 paid:1000 paid:1000 paid:1000', 'each of them once');
select tests.become('teller', tests.tenant('acme'), tests.user_id('tina'));
select pg_temp.shift('silver of bob', now() - interval '1 day', now() + interval '3 days');
select is((app_public.cancel_subscription(pg_temp.id('silver of bob'), false, 'Moved')).status, 'cancelled',
  'one is cancelled at once');
select is(pg_temp.lines('silver of bob'), 'period:1000 period:1000 period:1000 period:1000 unused:-750?',
  'what is left of its period is a credit');

-- From outside: the subscription is in use while the provider has not answered.
insert into made select 'outside', (app_public.subscribe(pg_temp.id('silver'), tests.account('acme', 'bob'),
  provider_code => 'bank')).id;
select is(pg_temp.invoices('outside') || ' ' || (pg_temp.sub('outside')).status, 'open:1000 active',
  'a payment by a provider is waited for');
select throws_ok('select app_public.cancel_subscription(pg_temp.id(''outside''), false)', 'LG67E', null,
  'also before it is cancelled at once');
select tests.become_superuser();
create function pg_temp.payment(name text) returns uuid language sql as $$
  select i.payment_id from app_public.subscription_invoices i where i.subscription_id = pg_temp.id(name)
    and i.status <> 'void'
  order by i.period_number desc limit 1
$$;
select app_private.submit_payment(app_private.system_actor(tests.tenant('acme')), tests.tenant('acme'),
  pg_temp.payment('outside'), 'P 1');
delete from graphile_worker._private_jobs;
select app_private.settle_payment(app_private.system_actor(tests.tenant('acme')), tests.tenant('acme'),
  pg_temp.payment('outside'), 'P 1');
select ok(exists (select from graphile_worker.jobs j where j.key = 'subscriptions/bill_due:now'),
  'when it settles the job is told');
select is((app_private.next_due_subscription(at => now())).id, pg_temp.id('outside'), 'and finds it');
select is(pg_temp.run('outside', now()), 1, 'what became of it is taken down');
select is(pg_temp.invoices('outside') || ' ' || (pg_temp.sub('outside')).status, 'paid:1000 active', 'it is paid');
select app_private.return_payment(app_private.system_actor(tests.tenant('acme')), tests.tenant('acme'),
  pg_temp.payment('outside'), 'AC04', 'x');
select is(pg_temp.run('outside', now()), 1, 'and if it comes back');
select is(pg_temp.invoices('outside') || ' ' || (pg_temp.sub('outside')).status, 'open:1000 past_due',
  'it is past due');

select is(tests.as_tenant(tests.tenant('acme'), format('select count(*) from checks.%I', c.name)), '0',
  'nothing is wrong by ' || c.name)
from (values ('subscription_invoices_that_differ'), ('subscriptions_that_differ')) as c (name);

select * from finish();
rollback;
