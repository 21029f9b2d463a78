-- The balance of an account now, as known at a recorded moment, at an effective time, and both.
begin;
select plan(22);

select tests.make_books('acme');
select tests.make_books('other');

create function pg_temp.balance(code text, as_of timestamptz default null, known_at timestamptz default null)
returns app_public.balance language sql as $$
  select app_public.accounts_balance(a, as_of, known_at)
  from app_public.accounts a where a.code = balance.code and a.currency = 'EUR'
    and a.tenant_id = coalesce(app_hidden.current_tenant_id(), tests.tenant('acme'))
$$;
create function pg_temp.recorded(id uuid) returns timestamptz language sql security definer as $$
  select created_at from app_public.transactions t where t.id = recorded.id
$$;
create temp table posted (name text, id uuid);
grant select on posted to public;

insert into posted values
  ('first', tests.post('acme', 'cash', 'ann', 500, effective_at => '2026-01-10')),
  ('backdated', tests.post('acme', 'cash', 'ann', 70, effective_at => '2026-01-05')),
  ('future', tests.post('acme', 'cash', 'ann', 9, effective_at => '2090-01-01')),
  ('pending', tests.post('acme', 'ann', 'cash', 300, kind => 'pending'));
select tests.post('acme', 'cash', 'bob', 25, kind => 'pending');

select is((pg_temp.balance('ann')).posted::numeric, 10579::numeric, 'posted counts what is posted');
select is((pg_temp.balance('ann')).available::numeric, 10279::numeric,
  'available leaves out what is reserved');
select is((pg_temp.balance('ann')).pending::numeric, 10279::numeric, 'pending counts what is reserved');
select is((pg_temp.balance('bob')).available::numeric, 10000::numeric, 'what may come in is not available');
select is((pg_temp.balance('cash')).pending::numeric, 120304::numeric, 'pending counts both ways');
select is((pg_temp.balance('ann')).version, 5::bigint, 'the version is the number of the last posting');
select is(app_public.balance_posted_formatted(pg_temp.balance('ann')), null,
  'no tenant, no currency to format by');

select is((pg_temp.balance('ann', '2026-01-04')).posted::numeric, 0::numeric,
  'before the first effective time: nothing');
select is((pg_temp.balance('ann', '2026-01-05')).posted::numeric, 70::numeric,
  'an effective time counts itself');
select is((pg_temp.balance('ann', '2026-01-10')).posted::numeric, 570::numeric,
  'a backdated posting counts from its effective time');
select is((pg_temp.balance('ann', 'infinity')).posted::numeric, 10579::numeric,
  'at the end of time everything counts');
select is((pg_temp.balance('ann', '2026-01-10')).available, null,
  'no available balance at an effective time');
select is((pg_temp.balance('ann', null, '-infinity')).posted::numeric, 0::numeric,
  'before the first record: nothing');
select is((pg_temp.balance('ann', null, p.at)).posted::numeric, 10500::numeric,
  'as known at a moment: what was recorded until then')
from (select pg_temp.recorded(id) as at from posted where name = 'first') p;
select is((pg_temp.balance('ann', '2026-01-10', p.at)).posted::numeric, 500::numeric,
  'both: what was known then about an effective time')
from (select pg_temp.recorded(id) as at from posted where name = 'first') p;
select is((pg_temp.balance('ann', null, p.at - interval '1 microsecond')).available::numeric, 10579::numeric,
  'as known just before the reservation')
from (select pg_temp.recorded(id) as at from posted where name = 'pending') p;

-- A reservation that has expired at this instant and that nobody has released.
select tests.post('acme', 'bob', 'cash', 4000, kind => 'pending', timeout_seconds => 1);
select is((pg_temp.balance('bob')).available::numeric, 6000::numeric, 'a reservation counts until its time');
select pg_sleep(1.1);
select is((pg_temp.balance('bob')).available::numeric, 10000::numeric, 'and no longer from that instant on');

select tests.become('customer', tests.tenant('acme'), tests.user_id('ann'));
select is((pg_temp.balance('ann', 'infinity')).posted::numeric, 10579::numeric,
  'a customer sees the own balance');
select is(app_public.balance_posted_formatted(pg_temp.balance('ann')), '105.79', 'as a decimal too');
-- A row made up by the caller opens nothing: what is read is what the caller may see.
select is(
  app_public.accounts_balance(
    jsonb_populate_record(null::app_public.accounts, jsonb_build_object(
      'tenant_id', tests.tenant('acme'), 'id', tests.account('acme', 'bob')))),
  null, 'and no other, whatever row is passed in');
select tests.become('admin', tests.tenant('other'), tests.user_id('x'));
select is(
  app_public.accounts_balance(
    jsonb_populate_record(null::app_public.accounts, jsonb_build_object(
      'tenant_id', tests.tenant('acme'), 'id', tests.account('acme', 'bob'))), '2026-01-10'),
  null, 'nothing crosses tenants');

select tests.become_superuser();
select * from finish();
rollback;
