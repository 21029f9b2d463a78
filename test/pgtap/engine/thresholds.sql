-- From some amount on a transaction needs a second person, or a fresh second factor.
begin;
select plan(17);

select tests.make_books('acme');
select tests.make_books('rival');
insert into app_public.transaction_thresholds (tenant_id, currency, approval_amount, second_factor_amount)
values
  (tests.tenant('acme'), 'EUR', 1000, 500),
  (tests.tenant('acme'), 'USD', null, 100);
create temp table made as
select tests.post('acme', 'cash', 'equity', 400, 'EUR', 'pending') as pending;
-- Made by the ledger itself, which asks nobody.
insert into made
select r.transaction_id
from tests.send('acme', array[tests.item('pending', tests.lines('acme', 'cash', 'equity', 5000))]) r;
insert into made
select r.transaction_id
from tests.send('acme', array[tests.item('posted', tests.lines('acme', 'cash', 'sales', 5000))]) r;
grant select on made to tallystick_accountant;

-- The code of the refusal, and what the detail says of it.
create function pg_temp.attempt(item app_public.transaction_input)
returns text
language plpgsql
as $$
declare
  v_state text;
  v_detail text;
begin
  perform app_public.post_transaction(item);
  return 'posted';
exception when others then
  get stacked diagnostics v_state = returned_sqlstate, v_detail = pg_exception_detail;
  return concat_ws(' ', v_state, v_detail::jsonb ->> 'currency', v_detail::jsonb ->> 'amount',
    v_detail::jsonb ->> 'threshold');
end
$$;

create function pg_temp.transfer(
  amount numeric,
  currency text default 'EUR',
  kind app_public.transaction_kind default 'posted'
)
returns app_public.transaction_input
language sql
as $$
  select tests.item(kind, tests.lines('acme', 'cash', 'equity', amount, currency))
$$;

select is((select t.has_thresholds from app_public.tenants t where t.slug = 'acme'), true,
  'a tenant with thresholds is marked');
select is((select t.has_thresholds from app_public.tenants t where t.slug = 'rival'), false, 'and no other');

select tests.become('accountant', tests.tenant('acme'), tests.user_id('ann'));
select is(pg_temp.attempt(pg_temp.transfer(499)), 'posted', 'below both amounts nobody is asked');
select is(pg_temp.attempt(pg_temp.transfer(500)), 'LG406 EUR 500 500', 'from the amount on a second factor is needed');
select is(pg_temp.attempt(pg_temp.transfer(999, 'EUR', 'pending')), 'LG406 EUR 999 500', 'for a reservation as well');
select is(pg_temp.attempt(pg_temp.transfer(1000)), 'LG405 EUR 1000 1000', 'approval is asked for first');
select is(pg_temp.attempt(pg_temp.transfer(1000, 'USD')), 'LG406 USD 1000 100', 'each currency has its own amounts');
select is(pg_temp.attempt(tests.item('posted',
    tests.lines('acme', 'cash', 'equity', 300) || tests.lines('acme', 'cash', 'sales', 300))),
  'LG406 EUR 600 500', 'the debits of a transaction are summed');
select is(pg_temp.attempt(tests.item('posted',
    tests.lines('acme', 'cash', 'equity', 499) || tests.lines('acme', 'cash', 'equity', 99, 'USD'))),
  'posted', 'currency by currency');
select is(pg_temp.attempt(tests.item('posted',
    tests.lines('acme', 'cash', 'equity', 1000) || tests.lines('acme', 'cash', 'equity', 100, 'USD'))),
  'LG405 EUR 1000 1000', 'the gravest is told');
select throws_ok(
  format('select app_public.reverse_transaction(%L)',
    (select m.pending from made m offset 2 limit 1)),
  'LG405', null, 'a reversal is asked about by its own debits');
select lives_ok(
  format('select app_public.post_pending_transaction(%L)', (select m.pending from made m offset 1 limit 1)),
  'what posts a reservation was asked about when the reservation was made');
select is(
  (select array_agg((r.refusal).code)
   from app_public.post_transactions(array[pg_temp.transfer(1), pg_temp.transfer(1000), pg_temp.transfer(2)]) p
   cross join lateral unnest(p) r),
  array[null, 'LG405', null], 'in a batch each is asked about by itself');

select tests.become_superuser();
update app_private.sessions s set second_factor_at = now() - interval '6 minutes'
where s.user_id = tests.user_id('ann');
select tests.become('accountant', tests.tenant('acme'), tests.user_id('ann'));
select is(pg_temp.attempt(pg_temp.transfer(500)), 'LG406 EUR 500 500', 'a second factor is fresh for five minutes');
select tests.become_superuser();
update app_private.sessions s set second_factor_at = now() - interval '4 minutes'
where s.user_id = tests.user_id('ann');
select tests.become('accountant', tests.tenant('acme'), tests.user_id('ann'));
select is(pg_temp.attempt(pg_temp.transfer(500)), 'posted', 'and then good');
select is(pg_temp.attempt(pg_temp.transfer(1000)), 'LG405 EUR 1000 1000', 'but it is no second person');

select tests.become_superuser();
delete from app_public.transaction_thresholds where tenant_id = tests.tenant('acme');
select is((select t.has_thresholds from app_public.tenants t where t.slug = 'acme'), false,
  'without thresholds the mark is gone');

select * from finish();
rollback;
