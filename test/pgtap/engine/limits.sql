-- LG202, LG203: the limits of an account, what is pending counting against them.
begin;
select plan(26);

select tests.make_books('acme');
select tests.open_account('acme', 'till', 'asset', minimum_balance => 0, maximum_balance => 100);
select tests.open_account('acme', 'card', 'liability', minimum_balance => -50, maximum_balance => 50);
create temp table made (name text primary key, id uuid);

create function pg_temp.outcome_of(item app_public.transaction_input)
returns text
language sql
as $$
  select (tests.outcome('acme', array[item]))[1]
$$;

-- Debit-normal
select is(pg_temp.outcome_of(tests.transfer('acme', 'till', 'equity', 101)), 'LG203',
  'above the maximum is refused');
select is(pg_temp.outcome_of(tests.transfer('acme', 'till', 'equity', 100)), 'posted',
  'the maximum itself is taken');
select is(pg_temp.outcome_of(tests.transfer('acme', 'till', 'equity', 1)), 'LG203', 'one more is refused');
select is(pg_temp.outcome_of(tests.transfer('acme', 'equity', 'till', 101)), 'LG202',
  'below the minimum is refused');
select is(pg_temp.outcome_of(tests.transfer('acme', 'equity', 'till', 100)), 'posted',
  'the minimum itself is taken');
select is(
  (select (r.refusal).detail - 'accountId'
    from tests.send('acme', array[tests.transfer('acme', 'equity', 'till', 7)]) r),
  '{"minimumBalance": "0", "shortBy": "7"}', 'the detail of LG202 tells the limit and what is missing');
select is(
  (select (r.refusal).detail - 'accountId'
    from tests.send('acme', array[tests.transfer('acme', 'till', 'equity', 103)]) r),
  '{"maximumBalance": "100", "overBy": "3"}', 'the detail of LG203 tells the limit and what is too much');

-- Credit-normal
select is(pg_temp.outcome_of(tests.transfer('acme', 'card', 'cash', 51)), 'LG202',
  'a debit beyond the minimum of a liability is refused');
select is(pg_temp.outcome_of(tests.transfer('acme', 'card', 'cash', 50)), 'posted',
  'a negative minimum is a credit line');
select is(pg_temp.outcome_of(tests.transfer('acme', 'cash', 'card', 101)), 'LG203',
  'a credit beyond the maximum of a liability is refused');
select is(pg_temp.outcome_of(tests.transfer('acme', 'cash', 'card', 50)), 'posted', 'back to nothing');

-- Pending out counts against the minimum, pending in does not help.
insert into made select 'in',
  tests.post_item('acme', tests.transfer('acme', 'till', 'equity', 40, kind => 'pending'));
select is(pg_temp.outcome_of(tests.transfer('acme', 'equity', 'till', 1)), 'LG202',
  'what is only to come cannot be spent');
select is(pg_temp.outcome_of(tests.transfer('acme', 'till', 'equity', 61)), 'LG203',
  'what is to come counts against the maximum');
select is(pg_temp.outcome_of(tests.transfer('acme', 'till', 'equity', 60)), 'posted',
  'up to the maximum with it');
insert into made select 'out',
  tests.post_item('acme', tests.transfer('acme', 'equity', 'till', 25, kind => 'pending'));
select is(pg_temp.outcome_of(tests.transfer('acme', 'equity', 'till', 36)), 'LG202',
  'what is reserved cannot be spent again');
select is(pg_temp.outcome_of(tests.transfer('acme', 'equity', 'till', 36, kind => 'pending')), 'LG202',
  'nor reserved again');
select is(pg_temp.outcome_of(tests.transfer('acme', 'till', 'equity', 1)), 'LG203',
  'what is to go does not make room under the maximum');
select is(pg_temp.outcome_of(tests.transfer('acme', 'equity', 'till', 35)), 'posted',
  'what is left can be spent');
select is(pg_temp.outcome_of(tests.item('post_pending',
  pending_id => (select id from made where name = 'out'))),
  'posted', 'a reservation at the limit can be posted');
select is(pg_temp.outcome_of(tests.item('void_pending',
  pending_id => (select id from made where name = 'in'))),
  'posted', 'a void releases the room');
select is(tests.counters('acme', 'till'), array[160, 160, 0, 0]::numeric[],
  'the till is empty, nothing pending');

-- A whole transaction counts, not its postings one by one.
select is(pg_temp.outcome_of(tests.item(
    postings => tests.lines('acme', 'rent', 'till', 30) || tests.lines('acme', 'till', 'equity', 30))),
  'posted', 'an account may dip below its limit within a transaction');
select is(pg_temp.outcome_of(tests.item('pending',
    tests.lines('acme', 'rent', 'till', 30) || tests.lines('acme', 'till', 'equity', 30))),
  'LG202', 'but a reservation in does not cover a reservation out');

-- A refusal of one item leaves the others of the batch their room.
select is(tests.outcome('acme', array[
    tests.transfer('acme', 'till', 'equity', 60),
    tests.transfer('acme', 'till', 'equity', 60),
    tests.transfer('acme', 'till', 'equity', 40),
    tests.transfer('acme', 'equity', 'till', 101),
    tests.transfer('acme', 'equity', 'till', 100)
  ]), '{posted,LG203,posted,LG202,posted}', 'items of a batch are decided in order, each by itself');
select throws_ok($$select * from tests.send('acme', array[
    tests.transfer('acme', 'till', 'equity', 60), tests.transfer('acme', 'till', 'equity', 60)], 'atomic')$$,
  'LG203', null, 'an atomic batch fails with its first refusal');
select is(tests.counters('acme', 'till'), array[290, 290, 0, 0]::numeric[], 'and leaves nothing behind');

select * from finish();
rollback;
