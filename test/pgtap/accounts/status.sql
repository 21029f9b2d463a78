-- Freezing, unfreezing and closing accounts.
begin;
select plan(20);

select tests.make_books('acme');
select tests.make_books('other');

create function pg_temp.call(name text, code text) returns text language sql as $$
  select format('select (app_public.%I(%L)).status', name, tests.account('acme', code))
$$;

select tests.become('accountant', tests.tenant('acme'), tests.user_id('x'));
select results_eq(
  pg_temp.call('freeze_account', 'ann'),
  array['frozen'::app_public.account_status], 'an open account is frozen');
select results_eq(
  pg_temp.call('freeze_account', 'ann'),
  array['frozen'::app_public.account_status], 'freezing it again changes nothing');
select throws_ok($$select tests.post('acme', 'cash', 'ann', 1)$$, 'LG302', null, 'a frozen account takes no posting');
select results_eq(
  pg_temp.call('unfreeze_account', 'ann'),
  array['open'::app_public.account_status], 'a frozen account is opened again');
select lives_ok($$select tests.post('acme', 'cash', 'ann', 1)$$, 'and takes postings again');
select throws_ok(pg_temp.call('close_account', 'ann'), 'LG313', null, 'an account with a balance is not closed');
select lives_ok($$select tests.post('acme', 'ann', 'cash', 10001)$$, 'once it is empty');
select lives_ok($$select tests.post('acme', 'sales', 'ann', 5, kind => 'pending')$$, 'but something is pending');
select throws_ok(
  pg_temp.call('close_account', 'ann'), 'LG313', null, 'an account with something pending is not closed');
select lives_ok(format($$select app_public.void_pending_transaction(%L)$$, (
  select p.transaction_id from app_public.postings p
  where p.account_id = tests.account('acme', 'ann') and p.pending_amount > 0)), 'once that is voided');
select results_eq(
  pg_temp.call('close_account', 'ann'),
  array['closed'::app_public.account_status], 'an empty account is closed');
select results_eq(
  pg_temp.call('close_account', 'ann'),
  array['closed'::app_public.account_status], 'closing it again changes nothing');
select throws_ok($$select tests.post('acme', 'cash', 'ann', 1)$$, 'LG303', null, 'a closed account takes no posting');
select throws_ok(pg_temp.call('unfreeze_account', 'ann'), 'LG303', null, 'closing is final: it is not opened again');
select throws_ok(pg_temp.call('freeze_account', 'ann'), 'LG303', null, 'nor frozen');

select tests.become('accountant', tests.tenant('other'), tests.user_id('x'));
select throws_ok(pg_temp.call('freeze_account', 'bob'), 'LG301', null, 'an account of another tenant is not found');
select tests.become('teller', tests.tenant('acme'), tests.user_id('x'));
select results_eq(
  pg_temp.call('freeze_account', 'bob'), array['frozen'::app_public.account_status], 'a teller freezes');
select throws_ok(pg_temp.call('unfreeze_account', 'bob'), '42501', null, 'a teller does not unfreeze');
select throws_ok(pg_temp.call('close_account', 'bob'), '42501', null, 'a teller does not close');

-- Whoever writes to the table itself meets the same rule.
select tests.become_superuser();
select set_config('role', 'tallystick_owner', true);
select throws_ok(
  format($$update app_public.accounts set status = 'open' where id = %L$$, tests.account('acme', 'ann')),
  'LG303', null, 'not even the owner opens a closed account');
select tests.become_superuser();
select * from finish();
rollback;
