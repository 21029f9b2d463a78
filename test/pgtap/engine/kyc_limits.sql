-- What the level of a customer allows, as the engine holds them to it.
begin;
select plan(15);

select tests.make_books('acme');
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
  return concat_ws(' ', v_state, v_detail::jsonb ->> 'overBy');
end
$$;

create function pg_temp.take(amount numeric, kind app_public.transaction_kind default 'posted')
returns app_public.transaction_input
language sql
as $$
  select tests.item(kind, tests.lines('acme', 'ann', 'cash', amount))
$$;

select tests.become('admin', tests.tenant('acme'), tests.user_id('admin'));
select app_public.set_kyc_level_limit(0, 'EUR',
  maximum_balance => 12000, maximum_transaction => 400, maximum_out_per_day => 1000);

select is(pg_temp.attempt(pg_temp.take(400)), 'posted', 'as much as the level allows at once may leave');
select is(pg_temp.attempt(pg_temp.take(401)), 'LG208 1', 'more may not');
select is(pg_temp.attempt(tests.item('posted',
    tests.lines('acme', 'ann', 'cash', 300) || tests.lines('acme', 'ann', 'sales', 150))),
  'LG208 50', 'nor in several postings of one transaction');
select is(pg_temp.attempt(pg_temp.take(401, 'pending')), 'LG208 1', 'nor reserved');
select is(pg_temp.attempt(tests.item('posted', tests.lines('acme', 'cash', 'ann', 2000))),
  'posted', 'what comes in is not counted as leaving');
select is(pg_temp.attempt(tests.item('posted', tests.lines('acme', 'cash', 'ann', 401))),
  'LG209 1', 'but the balance has its maximum');
select is(pg_temp.attempt(tests.item('pending', tests.lines('acme', 'cash', 'ann', 401))),
  'LG209 1', 'with what is pending');
select is(pg_temp.attempt(pg_temp.take(350, 'pending')), 'posted', 'a reservation counts against the day');
select is(pg_temp.attempt(pg_temp.take(300)), 'LG207 50', 'with what left before');
select is(
  (select array_agg((r.refusal).code)
   from app_public.post_transactions(array[pg_temp.take(200), pg_temp.take(100), pg_temp.take(50)]) p
   cross join lateral unnest(p) r),
  array[null, 'LG207', null], 'each of a batch by itself, in order: what was refused does not count');
select is(pg_temp.attempt(pg_temp.take(1)), 'LG207 1', 'the day is used up');
select lives_ok(
  $$select app_public.void_pending_transaction(t.id) from app_public.transactions t
    where t.kind = 'pending'$$, 'what is voided');
select is(pg_temp.attempt(pg_temp.take(350)), 'posted', 'gives its part of the day back');
select is(pg_temp.attempt(tests.item('posted', tests.lines('acme', 'cash', 'equity', 5000))),
  'posted', 'accounts of nobody have no such limits');

select tests.become_superuser();
select is(
  (select (r.refusal).code from tests.send('acme', array[pg_temp.take(400)]) r), null,
  'the ledger itself is not held to them');

select * from finish();
rollback;
