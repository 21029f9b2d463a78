-- What the level of a customer limits: the rows, who sets them, and what the engine asks.
begin;
select plan(34);

select tests.make_books('acme');
select tests.make_books('rival');

create function pg_temp.set_limit(
  level integer,
  maximum_out_per_day numeric,
  maximum_out_per_month numeric default null
)
returns app_public.kyc_level_limits
language sql
as $$
  select app_public.set_kyc_level_limit(level, 'EUR', 500000, 2500, maximum_out_per_day, maximum_out_per_month)
$$;

create function pg_temp.verify(name text, level integer, expires_at timestamptz)
returns void
language sql
security definer
as $$
  insert into app_public.memberships (tenant_id, user_id, role)
  values (tests.tenant('acme'), tests.user_id(name), 'customer') on conflict do nothing;
  insert into app_public.kyc_profiles (tenant_id, user_id, level, status, expires_at)
  values (tests.tenant('acme'), tests.user_id(name), level, 'verified', expires_at)
  on conflict on constraint kyc_profiles_pkey do update set level = excluded.level, expires_at = excluded.expires_at
$$;

create function pg_temp.ceilings(at timestamptz, slug text default 'acme')
returns table (code text, out_ceiling numeric, maximum_out numeric, maximum_balance numeric)
language sql
security definer
as $$
  select a.code, c.out_ceiling, c.maximum_out, c.maximum_balance
  from app_private.velocity_ceilings(
    tests.tenant(slug),
    array(select id from app_public.accounts where tenant_id = tests.tenant(slug) and currency = 'EUR'),
    at) c
  join app_public.accounts a on a.tenant_id = tests.tenant(slug) and a.id = c.account_id
  order by a.code
$$;

insert into app_public.users (id, name) values (tests.user_id('ann'), 'Ann'), (tests.user_id('bob'), 'Bob');

--------------------------------------------------------------------------------------------------
-- Who sets them

select is((select t.has_kyc_limits from app_public.tenants t where t.slug = 'acme'), false,
  'no tenant has limits at first');
select is_empty($$select * from pg_temp.ceilings(now())$$, 'and nothing is limited');
select tests.become('accountant', tests.tenant('acme'), tests.user_id('accountant'));
select throws_ok($$select pg_temp.set_limit(0, 1000)$$, 'LG402', null,
  'an accountant may not set them unless the tenant says so');
select tests.become('teller', tests.tenant('acme'), tests.user_id('teller'));
select throws_ok($$select pg_temp.set_limit(0, 1000)$$, '42501', null, 'a teller never');
select tests.become('admin', tests.tenant('acme'), tests.user_id('admin'));
select throws_ok($$select pg_temp.set_limit(4, 1000)$$, 'LG388', null, 'there are levels from 0 to 3');
select throws_ok($$select pg_temp.set_limit(0, -1)$$, 'LG388', null, 'and no limits below zero');
select throws_ok(
  $$select app_public.set_kyc_level_limit(0, 'NOPE', 1)$$, 'LG315', null, 'nor for a currency that there is not');
select lives_ok($$select pg_temp.set_limit(0, 1000, 5000)$$, 'an admin sets limits');
select lives_ok($$select pg_temp.set_limit(2, 20000)$$, 'for each level');
select tests.become('customer', tests.tenant('acme'), tests.user_id('ann'));
select results_eq(
  'select level::integer, maximum_out_per_day::numeric from app_public.kyc_level_limits order by 1',
  $$values (0, 1000::numeric), (2, 20000::numeric)$$, 'a customer sees them');
select tests.become('customer', tests.tenant('rival'), tests.user_id('bob'));
select is_empty('select * from app_public.kyc_level_limits', 'but not those of others');
select tests.become_superuser();
select results_eq(
  $$select slug, has_kyc_limits from app_public.tenants where slug in ('acme', 'rival') order by 1$$,
  $$values ('acme', true), ('rival', false)$$, 'the tenant is marked, and no other');

--------------------------------------------------------------------------------------------------
-- Levels

-- By tomorrow nothing has been posted out: the limits alone count.
select results_eq(
  $$select * from pg_temp.ceilings(now() + interval '1 day')$$,
  $$values ('ann', 1000::numeric, 2500::numeric, 500000::numeric), ('bob', 1000, 2500, 500000)$$,
  'accounts with an owner are limited, at level 0 where nobody is verified');
select is_empty($$select * from pg_temp.ceilings(now(), 'rival')$$, 'accounts of other books are not');
select pg_temp.verify('ann', 2, '2100-01-01Z');
select is(
  (select out_ceiling from pg_temp.ceilings('2099-12-31 23:59:59.999999Z') where code = 'ann'),
  20000::numeric, 'a verified customer has the limits of their level');
select is(
  (select out_ceiling from pg_temp.ceilings('2100-01-01Z') where code = 'ann'),
  1000::numeric, 'until the instant of its expiry, whatever jobs have run');
select pg_temp.verify('ann', 1, '2100-01-01Z');
select is_empty(
  $$select * from pg_temp.ceilings('2099-01-01Z') where code = 'ann'$$,
  'a level for which no row says anything is not limited');
select tests.become('admin', tests.tenant('acme'), tests.user_id('admin'));
select app_public.set_kyc_level_limit(1, 'EUR', maximum_balance => 7);
select tests.become_superuser();
select results_eq(
  $$select * from pg_temp.ceilings('2099-01-01Z') where code = 'ann'$$,
  $$values ('ann', null::numeric, null::numeric, 7::numeric)$$, 'what is null is not limited');

--------------------------------------------------------------------------------------------------
-- What has left already

select pg_temp.verify('ann', 2, '2100-01-01Z');
select tests.post('acme', 'ann', 'cash', 300);
select tests.post('acme', 'cash', 'ann', 100);
select tests.post('acme', 'ann', 'cash', 200);
select is(
  (select out_ceiling from pg_temp.ceilings(clock_timestamp()) where code = 'ann'),
  20000::numeric, 'what left today is below the ceiling: it began at nothing');
select is(
  (select out_ceiling from pg_temp.ceilings(clock_timestamp() + interval '1 day') where code = 'ann'),
  20500::numeric, 'tomorrow begins with what left until then');
select tests.post('acme', 'ann', 'cash', 50, kind => 'pending');
select is(
  (select out_ceiling from pg_temp.ceilings(clock_timestamp() + interval '1 day') where code = 'ann'),
  20500::numeric, 'what is only reserved has not left: it counts against tomorrow as well');
select tests.become('admin', tests.tenant('acme'), tests.user_id('admin'));
select pg_temp.set_limit(2, 20000, 20100);
select tests.become_superuser();
-- Of two windows the narrower one counts: the day begins with 500, the month with nothing.
set local session_replication_role = replica;
update app_public.postings set created_at = date_trunc('day', now(), 'UTC') - interval '1 hour'
where account_id = tests.account('acme', 'ann') and version <= 2;
set local session_replication_role = origin;
select is(
  (select out_ceiling from pg_temp.ceilings(date_trunc('day', now(), 'UTC') + interval '23 hours') where code = 'ann'),
  case when date_trunc('day', now(), 'UTC') = date_trunc('month', now(), 'UTC') then 20300 else 20100 end::numeric,
  'the least of day and month counts');
select tests.become('admin', tests.tenant('acme'), tests.user_id('admin'));
select pg_temp.set_limit(2, 20000, 900000);
select tests.become_superuser();
select is(
  (select out_ceiling from pg_temp.ceilings(date_trunc('day', now(), 'UTC') + interval '23 hours') where code = 'ann'),
  20300::numeric, 'what left yesterday is what today began with');

-- A debit-normal account of a customer: out is the credit side.
select tests.open_account('acme', 'loan', 'asset', owner_id => tests.user_id('bob'));
select tests.post('acme', 'loan', 'equity', 900);
select tests.post('acme', 'cash', 'loan', 400);
select is(
  (select out_ceiling from pg_temp.ceilings(clock_timestamp() + interval '1 day') where code = 'loan'),
  1400::numeric, 'out is the side that makes the balance smaller');

-- The search finds what reading everything finds, for any moment and any length.
select tests.open_account('acme', 'busy', 'liability', owner_id => tests.user_id('bob'));
select pg_temp.verify('bob', 3, '2100-01-01Z');
select tests.post('acme', 'busy', 'cash', n) from generate_series(1, 70) n;
delete from app_public.kyc_profiles where user_id = tests.user_id('bob');
select is_empty(
  $$
    with history as (
      select version, created_at, posted_debits::numeric as out
      from app_public.postings where account_id = tests.account('acme', 'busy')
    ),
    moments as (
      select created_at + offset_us * interval '1 microsecond' as moment
      from history, unnest(array[-1, 0, 1]) as offset_us
      union all select '-infinity' union all select 'infinity' union all select '2020-01-01Z'
    )
    select moment from moments m
    where app_private.posted_out_before(tests.tenant('acme'), tests.account('acme', 'busy'), false, m.moment)
      is distinct from coalesce((select max(h.out) from history h where h.created_at < m.moment), 0)
  $$,
  'what had left by any moment is found');
select is(
  app_private.posted_out_before(tests.tenant('acme'), tests.open_account('acme', 'new', 'liability'), false, now()),
  0::numeric, 'nothing, where nothing was posted');

--------------------------------------------------------------------------------------------------
-- Taking limits away

select tests.become('admin', tests.tenant('acme'), tests.user_id('admin'));
select app_public.set_kyc_level_limit(n, 'EUR') from generate_series(0, 1) n;
select is((select t.has_kyc_limits from app_public.tenants t where t.slug = 'acme'), true,
  'while some are left the tenant is marked');
select app_public.set_kyc_level_limit(2, 'EUR');
select is((select t.has_kyc_limits from app_public.tenants t where t.slug = 'acme'), false,
  'and no longer after the last');
select tests.become_superuser();
select is_empty($$select * from pg_temp.ceilings(now())$$, 'then nothing is limited');

--------------------------------------------------------------------------------------------------
-- What is proven afterwards

create function pg_temp.exceeded()
returns text
language sql
security definer
as $$
  select string_agg(format('%s %s %s>%s', a.code, e.rule, e.amount, e.maximum), ', ' order by a.code, e.rule)
  from checks.exceeded_kyc_limits e join app_public.accounts a on a.tenant_id = e.tenant_id and a.id = e.account_id
$$;

insert into app_public.kyc_level_limits (tenant_id, level, currency, maximum_balance, maximum_transaction,
  maximum_out_per_day, updated_at)
values (tests.tenant('acme'), 0, 'EUR', 10000, 45, 2000, '2020-01-01Z');
select is(
  pg_temp.exceeded(), 'busy maximum_out 2485>2000, busy maximum_transaction 70>45, loan maximum_transaction 400>45',
  'the outflow of the day, and of one transaction');
update app_public.kyc_level_limits set updated_at = now() where tenant_id = tests.tenant('acme');
select is(pg_temp.exceeded(), null, 'unless the limits are younger');
-- The ledger itself is not held to them, and so can pass them here.
select tests.post_item('acme', tests.item('posted', tests.lines('acme', 'cash', 'bob', 5000)));
update app_public.kyc_level_limits set maximum_balance = 8000 where tenant_id = tests.tenant('acme');
select is(pg_temp.exceeded(), 'bob maximum_balance 15000>8000', 'a balance that was added to since');
select tests.post('acme', 'bob', 'cash', 10);
select is(pg_temp.exceeded(), null, 'but not one that was there before');
select is(
  (select count(*)::integer from checks.exceeded_kyc_limits where tenant_id = tests.tenant('rival')), 0,
  'other books have nothing to do with it');

select * from finish();
rollback;
