-- LG101 and LG204: what an amount is, and how far counters go.
begin;
select plan(21);

select tests.make_books('acme');
create function pg_temp.cast_of(value text)
returns text
language sql
as $$
  select format('select tests.lines(''acme'', ''cash'', ''equity'', %L::numeric)', value)
$$;

select throws_ok(pg_temp.cast_of('0.5'), 'LG101', null, 'a fraction is refused, not rounded');
select throws_ok(pg_temp.cast_of('1.00'), 'LG101', null, 'decimals are refused even if they are zeros');
select throws_ok(pg_temp.cast_of('NaN'), 'LG101', null, 'not-a-number is refused');
select throws_ok(pg_temp.cast_of('Infinity'), 'LG101', null, 'infinity is refused');
select throws_ok(pg_temp.cast_of('-Infinity'), 'LG101', null, 'negative infinity is refused');
select throws_ok(pg_temp.cast_of('1e38'), 'LG101', null, '10^38 is refused');
select throws_ok(pg_temp.cast_of('-1e38'), 'LG101', null, '-10^38 is refused');
select lives_ok(pg_temp.cast_of(repeat('9', 38)), '10^38 - 1 is an amount');
select lives_ok(pg_temp.cast_of('1e3'), 'a whole number in scientific notation is an amount');
select throws_ok('select ''2.5''::app_public.amount', 'LG101', null,
  'a cast of text is refused with the code');

-- A counter holds up to 10^38 - 1; an item that would pass it is refused alone.
select tests.open_account('acme', 'vault', 'asset');
select tests.open_account('acme', 'mint', 'liability');
select tests.open_account('acme', 'press', 'liability');
select is(tests.outcome('acme', array[
    tests.item(postings => tests.lines('acme', 'vault', 'mint', 1e38 - 2)),
    tests.item(postings => tests.lines('acme', 'vault', 'press', 2)),
    tests.item(postings => tests.lines('acme', 'vault', 'press', 1)),
    tests.item(postings => tests.lines('acme', 'vault', 'press', 1))
  ]), '{posted,LG204,posted,LG204}', 'an overflow refuses only its item of an independent batch');
select is(tests.counters('acme', 'vault'), array[1e38 - 1, 0, 0, 0], 'the counter stands at 10^38 - 1');
select is(
  (select tests.balance(r, tests.account('acme', 'vault'))
    from tests.send('acme',
      array[tests.item(postings => tests.lines('acme', 'cash', 'vault', 1e38 - 100002))]) r),
  null::numeric[], 'a refused item has no balances');
select is(tests.outcome('acme',
  array[tests.item(postings => tests.lines('acme', 'rent', 'vault', 1e38 - 1))]),
  '{posted}', 'the other counter of the account has room of its own');
select is(
  (select b.posted_debits - b.posted_credits from app_public.account_balances b
    where b.account_id = tests.account('acme', 'vault')),
  0::numeric, 'the balance is exact at the far end');
select is(tests.outcome('acme', array[tests.item('pending', tests.lines('acme', 'vault', 'press', 1))]),
  '{LG204}', 'what is pending counts with what is posted');
select is(tests.outcome('acme', array[
    tests.item('pending', tests.lines('acme', 'sales', 'press', 1e38 - 3)),
    tests.item('posted', tests.lines('acme', 'sales', 'mint', 1)),
    tests.item('posted', tests.lines('acme', 'sales', 'mint', 2))
  ]), '{posted,posted,LG204}', 'a reservation takes room from what is posted later');
select is(tests.outcome('acme', array[tests.item(
    postings => tests.lines('acme', 'rent', 'bob', 1e38 - 1) || tests.lines('acme', 'rent', 'bob', 1))]),
  '{LG204}', 'two postings that pass it together are refused');
select is(
  (select (r.refusal).detail ->> 'accountId'
    from tests.send('acme', array[tests.item(postings => tests.lines('acme', 'vault', 'press', 1))]) r),
  tests.account('acme', 'vault')::text, 'the detail names the account');
select throws_ok(
  $$select *
    from tests.send('acme', array[tests.item(postings => tests.lines('acme', 'vault', 'press', 1))],
    'atomic')$$,
  'LG204', null, 'an atomic batch is refused as a whole');
select is(tests.counters('acme', 'vault'), array[1e38 - 1, 1e38 - 1, 0, 0],
  'a refusal leaves the counters alone');

select * from finish();
rollback;
