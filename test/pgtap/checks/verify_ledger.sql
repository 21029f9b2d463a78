-- verifyLedger: every check of the catalog, for the tenant of the request, for those who may ask.
begin;
select plan(9);

select tests.make_books('acme');
select tests.become('auditor', tests.tenant('acme'), tests.user_id('x'));
select is(
  (select array_agg(name order by name collate "C") from app_public.verify_ledger()),
  (
    select array_agg(relname::text order by relname)
    from pg_class where relnamespace = 'checks'::regnamespace and relkind = 'v'
  ),
  'every view of the schema checks is run');
select is_empty(
  'select name from app_public.verify_ledger() where violations <> 0 or sample <> ''[]''',
  'healthy books have no violations');
select is_empty(
  'select name from app_public.verify_ledger() where description !~ ''^[A-Z].*[.]$''',
  'each says in a sentence what it proves');
select is(
  (select rows_checked from app_public.verify_ledger() where name = 'unbalanced_transactions'),
  8::bigint, 'and how many rows it looked at');

select tests.become_superuser();
set local role tallystick_owner;
create view checks.too_many_accounts as
select tenant_id, code, 12345678901234567890 as big
from app_public.accounts
where currency = 'USD'
order by code;
comment on view checks.too_many_accounts is 'There are no accounts in dollars.';
select tests.become('accountant', tests.tenant('acme'), tests.user_id('x'));
select results_eq(
  $$select violations, rows_checked, sample, description from app_public.verify_ledger()
    where name = 'too_many_accounts'$$,
  $$values (2::bigint, 8::bigint,
    '[{"big": "12345678901234567890", "code": "cash"}, {"big": "12345678901234567890", "code": "equity"}]'::jsonb,
    'There are no accounts in dollars.'::text)$$,
  'a new check runs by itself, with the offending rows and numbers as strings');
select tests.become('accountant');
select throws_ok('select app_public.verify_ledger()', 'LG401', null, 'without a tenant there is nothing to verify');
select tests.become('teller', tests.tenant('acme'));
select throws_ok('select app_public.verify_ledger()', '42501', null, 'a teller does not verify');
select tests.become('customer', tests.tenant('acme'));
select throws_ok('select app_public.verify_ledger()', '42501', null, 'nor does a customer');
select throws_ok('select * from checks.unbalanced_transactions', '42501', null, 'nor read a check');
select tests.become_superuser();
select * from finish();
rollback;
