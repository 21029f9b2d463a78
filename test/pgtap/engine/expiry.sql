-- LG307, LG321: a timeout holds from its instant on, before anything has released the reservation.
begin;
select plan(30);

select tests.make_books('acme');
select tests.open_account('acme', 'till', 'asset', minimum_balance => 0, maximum_balance => 100);
select tests.post('acme', 'till', 'equity', 50);
create temp table made (name text primary key, id uuid);

create function pg_temp.made(name text)
returns uuid
language sql
as $$
  select m.id from made m where m.name = made.name
$$;

create function pg_temp.outcome_of(item app_public.transaction_input, may_expire boolean default false)
returns text
language sql
as $$
  select (tests.outcome('acme', array[item], may_expire))[1]
$$;

create function pg_temp.pending(name text, debit text, credit text, amount numeric, timeout_seconds integer)
returns void
language sql
as $$
  insert into made select name,
    tests.post('acme', debit, credit, amount, 'EUR', 'pending', null, null, timeout_seconds)
$$;

select pg_temp.pending('long', 'cash', 'till', 1, 3600);
select pg_temp.pending('out', 'cash', 'till', 45, 1);
select pg_temp.pending('in', 'till', 'cash', 35, 1);
select pg_temp.pending('other', 'till', 'sales', 5, 1);
select pg_temp.pending('forever', 'cash', 'rent', 5, null);
select is(
  (select t.expires_at - t.created_at from app_public.transactions t where t.id = pg_temp.made('long')),
  interval '1 hour', 'it expires its timeout after it was recorded');

-- Before its instant it counts, both ways.
select is(pg_temp.outcome_of(tests.transfer('acme', 'cash', 'till', 5)), 'LG202',
  'reserved: only 4 are left to spend');
select is(pg_temp.outcome_of(tests.transfer('acme', 'till', 'cash', 11)), 'LG203',
  'reserved: there is room for 10 more');
select is(pg_temp.outcome_of(tests.item('expire_pending', pending_id => pg_temp.made('out')), true), 'LG321',
  'it does not expire before its instant');
select is(pg_temp.outcome_of(tests.item('expire_pending', pending_id => pg_temp.made('forever')), true),
  'LG321',
  'without a timeout it never expires');

select pg_sleep(1.05);

-- From its instant on it counts no more, and can be neither posted nor voided.
select is(pg_temp.outcome_of(tests.item('post_pending', pending_id => pg_temp.made('out'))), 'LG307',
  'it can no longer be posted');
select is(pg_temp.outcome_of(tests.item('post_pending', tests.lines('acme', 'cash', 'till', 1),
  pending_id => pg_temp.made('out'))),
  'LG307', 'nor a part of it');
select is(pg_temp.outcome_of(tests.item('void_pending', pending_id => pg_temp.made('out'))), 'LG307',
  'nor voided');
select is(pg_temp.outcome_of(tests.item('expire_pending', pending_id => pg_temp.made('out'))), 'LG110',
  'a client cannot release it');
select is(tests.counters('acme', 'till'), array[50, 0, 40, 46]::numeric[],
  'the counters still hold what nobody has released');
select is(pg_temp.outcome_of(tests.item(postings => tests.lines('acme', 'cash', 'rent', 1),
    conditions => tests.condition(tests.account('acme', 'till'), 49))), 'posted',
  'a condition leaves out what has expired at once');
select is(pg_temp.outcome_of(tests.item(postings => tests.lines('acme', 'cash', 'rent', 1),
    conditions => tests.condition(tests.account('acme', 'till'), 50))), 'LG205', 'but not what has not');
select is(pg_temp.outcome_of(tests.transfer('acme', 'till', 'cash', 51)), 'LG203', 'the maximum holds');
select is(pg_temp.outcome_of(tests.transfer('acme', 'till', 'cash', 50)), 'posted',
  'the maximum leaves out what has expired');
select is(pg_temp.outcome_of(tests.transfer('acme', 'cash', 'till', 100)), 'LG202', 'the minimum holds');
select is(
  (select tests.balance(r, tests.account('acme', 'till'))
    from tests.send('acme', array[tests.transfer('acme', 'cash', 'till', 90)]) r),
  array[10, 4, 9]::numeric[], 'so does the minimum, and the available balance that is answered');
select is(
  (select array[b.expired_debits, b.expired_credits]::numeric[] from app_public.account_balances b
    where b.account_id = tests.account('acme', 'till')),
  array[40, 45]::numeric[], 'the row knows what has expired of its pending counters');

-- The job releases it.
select is(pg_temp.outcome_of(tests.item('expire_pending', pending_id => pg_temp.made('out')), true), 'posted',
  'the job of the ledger releases it');
select is(tests.counters('acme', 'till'), array[100, 90, 40, 1]::numeric[],
  'then it is gone from the counters');
select is(
  (select array[b.expired_debits, b.expired_credits]::numeric[] from app_public.account_balances b
    where b.account_id = tests.account('acme', 'till')),
  array[40, 0]::numeric[], 'and from what has expired');
select is(pg_temp.outcome_of(tests.item('expire_pending', pending_id => pg_temp.made('out')), true), 'LG307',
  'it expires once');
select is(pg_temp.outcome_of(tests.item('post_pending', pending_id => pg_temp.made('out'))), 'LG307',
  'it stays expired');
select is(tests.outcome('acme', array[
    tests.item('expire_pending', pending_id => pg_temp.made('in')),
    tests.item('expire_pending', pending_id => pg_temp.made('in')),
    tests.item('expire_pending', pending_id => pg_temp.made('other')),
    tests.item('expire_pending', pending_id => pg_temp.made('long')),
    tests.item('expire_pending', pending_id => uuidv7())
  ], true), '{posted,LG307,posted,LG321,LG304}', 'many are released in one batch, each once');
select is(tests.counters('acme', 'till'), array[100, 90, 0, 1]::numeric[],
  'what has not expired stays reserved');
select is(
  (select array[b.expired_debits, b.expired_credits]::numeric[] from app_public.account_balances b
    where b.account_id = tests.account('acme', 'till')),
  array[0, 0]::numeric[], 'nothing expired is left');
select results_eq(
  $$select r.transaction_id, r.account_id, r.debits::numeric, r.credits::numeric
    from app_private.open_reservations r
    where r.tenant_id = tests.tenant('acme') order by r.debits$$,
  $$values (pg_temp.made('long'), tests.account('acme', 'till'), 0::numeric, 1::numeric),
      (pg_temp.made('long'), tests.account('acme', 'cash'), 1, 0)$$,
  'only the open reservation with a timeout is remembered');
select is(pg_temp.outcome_of(tests.item('post_pending', pending_id => pg_temp.made('long'))), 'posted',
  'before its instant it can be posted');
select is_empty($$
  select * from app_private.open_reservations r where r.tenant_id = tests.tenant('acme')
$$, 'and is remembered no longer');
select is(pg_temp.outcome_of(tests.item(reverses_id => (
    select t.id from app_public.transactions t where t.pending_id = pg_temp.made('out')))), 'LG312',
  'an expiry cannot be reversed');
select is(pg_temp.outcome_of(tests.item('void_pending', pending_id => pg_temp.made('forever'))), 'posted',
  'without a timeout it can be voided at any time');

select * from finish();
rollback;
