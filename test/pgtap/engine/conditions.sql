-- LG205: what the caller asserts is checked under the lock, before the item touches anything.
begin;
select plan(12);

select tests.make_books('acme');

create function pg_temp.with_condition(condition app_public.condition_input[])
returns app_public.transaction_input
language sql
as $$
  select tests.item(postings => tests.lines('acme', 'cash', 'ann', 10), conditions => condition)
$$;

create function pg_temp.outcome_of(condition app_public.condition_input[])
returns text
language sql
as $$
  select (tests.outcome('acme', array[pg_temp.with_condition(condition)]))[1]
$$;

select is(pg_temp.outcome_of(tests.condition(tests.account('acme', 'bob'), 10000)), 'posted',
  'a minimum that holds is taken, on an account beside the postings too');
select is(pg_temp.outcome_of(tests.condition(tests.account('acme', 'bob'), 10001)), 'LG205',
  'a minimum that does not hold is refused');
select is(pg_temp.outcome_of(tests.condition(tests.account('acme', 'bob'), version => 1)), 'posted',
  'a version that holds is taken');
select is(pg_temp.outcome_of(tests.condition(tests.account('acme', 'bob'), version => 0)), 'LG205',
  'an older version is refused');
select is(pg_temp.outcome_of(tests.condition(tests.account('acme', 'bob'), version => 2)), 'LG205',
  'a later version is refused');
select is(pg_temp.outcome_of(tests.condition(tests.account('acme', 'ann'), 10020)), 'posted',
  'what the item brings does not count: the balance before it does, and that has 20 more by now');
select is(pg_temp.outcome_of(tests.condition(tests.account('acme', 'ann'), 10031)), 'LG205',
  'and one above what is there is refused');
select is(pg_temp.outcome_of(tests.condition(uuidv7(), 0)), 'LG301',
  'a condition needs an account that exists');
select is(
  (select (r.refusal).detail from tests.send('acme', array[pg_temp.with_condition(
    tests.condition(tests.account('acme', 'bob'), 1) || tests.condition(tests.account('acme', 'ann'), 50000)
      || tests.condition(tests.account('acme', 'bob'), 20000))]) r),
  jsonb_build_object('accountId', tests.account('acme', 'ann'), 'available', '10030', 'version', '4'),
  'the detail is that of the first condition that does not hold, with what holds now');
select is(tests.outcome('acme', array[
    pg_temp.with_condition(tests.condition(tests.account('acme', 'ann'), version => 4)),
    pg_temp.with_condition(tests.condition(tests.account('acme', 'ann'), version => 4)),
    pg_temp.with_condition(tests.condition(tests.account('acme', 'ann'), 10040))
  ]), '{posted,LG205,posted}', 'a condition sees the items before it in the batch');
select tests.post('acme', 'ann', 'cash', 10000, kind => 'pending');
select is(pg_temp.outcome_of(tests.condition(tests.account('acme', 'ann'), 51)), 'LG205',
  'what is reserved is not available');
select is(pg_temp.outcome_of(tests.condition(tests.account('acme', 'ann'), 50)), 'posted',
  'what is not reserved is');

select * from finish();
rollback;
