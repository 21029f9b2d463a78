-- The replay gives the same balances, tells what differs, and repairs it.
begin;
select plan(11);

select tests.make_books('acme');
select tests.make_books('other');
select tests.post('acme', 'ann', 'cash', 30, kind => 'pending', timeout_seconds => 60);
select tests.post('acme', 'ann', 'cash', 40, effective_at => '2026-01-01Z');
create temp table before on commit drop as select * from app_public.account_balances;
create temp table reserved on commit drop as select * from app_private.open_reservations;

select tests.become('admin', tests.tenant('acme'), tests.user_id('x'));
select is_empty('select * from app_public.rebuild_balances()', 'a replay of healthy books differs in nothing');
select is_empty('select * from app_public.rebuild_balances(true)', 'nor does a repair change anything');
select tests.become_superuser();
select results_eq(
  'select * from app_public.account_balances order by tenant_id, account_id',
  'select * from before order by tenant_id, account_id', 'row by row');

set local session_replication_role = replica;
update app_public.account_balances set posted_debits = posted_debits + 7, version = version + 1
where account_id = tests.account('acme', 'cash');
update app_public.account_balances set pending_debits = 0, next_expiry_at = null
where account_id = tests.account('acme', 'ann');
delete from app_public.account_balances where account_id = tests.account('acme', 'rent');
delete from app_private.open_reservations;
set local session_replication_role = origin;

select tests.become('admin', tests.tenant('other'), tests.user_id('x'));
select is_empty('select * from app_public.rebuild_balances(true)', 'another tenant has nothing to repair');
select tests.become('admin', tests.tenant('acme'), tests.user_id('x'));
select results_eq(
  'select account_id, field from app_public.rebuild_balances()
   where account_id <> tests.account(''acme'', ''rent'') order by account_id, field collate "C"',
  $$values (tests.account('acme', 'cash'), 'open_reservation'), (tests.account('acme', 'cash'), 'posted_debits'),
    (tests.account('acme', 'cash'), 'version'), (tests.account('acme', 'ann'), 'open_reservation'),
    (tests.account('acme', 'ann'), 'pending_debits')$$,
  'what differs is told, field by field');
select is(
  (select count(*) from app_public.rebuild_balances()
    where account_id = tests.account('acme', 'rent') and stored is null),
  7::bigint, 'a missing balance too');
select isnt((select count(*) from app_public.rebuild_balances(true)), 0::bigint, 'asked to, it repairs');
select is_empty('select * from app_public.rebuild_balances()', 'after that nothing differs');
select tests.become_superuser();
select results_eq(
  'select * from app_public.account_balances order by tenant_id, account_id',
  'select * from before order by tenant_id, account_id',
  'and the balances are those of before');
select results_eq(
  'select * from app_private.open_reservations order by account_id',
  'select * from reserved order by account_id', 'and so are the reservations');
select tests.become('auditor', tests.tenant('acme'), tests.user_id('x'));
select throws_ok('select app_public.rebuild_balances()', '42501', null, 'only an admin rebuilds');
select tests.become_superuser();
select * from finish();
rollback;
