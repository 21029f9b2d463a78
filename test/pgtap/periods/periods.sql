-- Opening and closing accounting periods, and the year-end close.
begin;
select plan(40);

select tests.make_books('acme');
select tests.make_books('other');
select tests.open_account('acme', 'sales', 'revenue', 'USD');
select tests.open_account('acme', 'retained', 'equity');
select tests.post('acme', 'cash', 'sales', 900, effective_at => '2024-03-01');
select tests.post('acme', 'rent', 'cash', 400, effective_at => '2024-12-31 23:59:59.999999+00');
select tests.post('acme', 'cash', 'sales', 30, 'USD', effective_at => '2024-06-01');
select tests.post('acme', 'cash', 'sales', 77, effective_at => '2025-01-01 00:00+00');
create function pg_temp.amount(code text, as_of timestamptz, currency text default 'EUR')
returns numeric language sql as $$
  select balance
  from unnest(app_public.trial_balance(as_of)) t
  where t.code = amount.code and t.currency = amount.currency
$$;
create temp table period (name text, id uuid);
grant all on period to public;

select tests.become('accountant', tests.tenant('acme'), tests.user_id('carol'));

select throws_ok($$select app_public.open_period('', '2024-01-01', '2025-01-01')$$, 'LG114', null,
  'a period has a name');
select throws_ok($$select app_public.open_period('2024', '2025-01-01', '2024-01-01')$$, 'LG130', null,
  'it ends after it starts');
select throws_ok($$select app_public.open_period('2024', '2025-01-01', 'infinity')$$, 'LG130', null,
  'it does end');
insert into period select '2024', (app_public.open_period('2024', '2024-01-01 00:00+00',
  '2025-01-01 00:00+00')).id;
select throws_ok($$select app_public.open_period('again', '2024-12-01', '2025-02-01')$$, 'LG334', null,
  'periods do not overlap');
select throws_ok($$select app_public.open_period('2024', '2030-12-01', '2030-12-02')$$, 'LG335', null,
  'a name is used once');
insert into period select '2025', (app_public.open_period('2025', '2025-01-01 00:00+00',
  '2026-01-01 00:00+00')).id;
insert into period select 'long', (app_public.open_period('long', '2026-01-01 00:00+00', '2090-01-01')).id;

select throws_ok($$select app_public.close_period(tests.user_id('none'))$$, 'LG330', null,
  'an unknown period is not closed');
select throws_ok(format('select app_public.close_period(%L)', id), 'LG332', null,
  'one that has not ended is not closed')
from period where name = 'long';
select throws_ok(format('select app_public.close_period(%L)', id), 'LG333', null,
  'one after an open one is not closed')
from period where name = '2025';
select throws_ok(format('select app_public.close_period(%L, %L)', id, 'cash'), 'LG337', null,
  'retained earnings are equity')
from period where name = '2024';
select throws_ok(format('select app_public.close_period(%L, %L)', id, 'retained'), 'LG337', null,
  'retained earnings are needed in each currency with income')
from period where name = '2024';
select tests.open_account('acme', 'retained', 'equity', 'USD');

select tests.become('accountant', tests.tenant('acme'), tests.user_id('carol'));
select isnt((app_public.close_period(id, 'retained')).closed_at, null,
  'a year is closed') from period where name = '2024';
select is(closed_by, tests.user_id('carol'), 'by somebody')
from app_public.accounting_periods where name = '2024';
select is(pg_temp.amount('sales', '2025-01-01 00:00+00') , -77::numeric,
  'revenue starts the next year with what is effective in it');
select is(pg_temp.amount('sales', '2024-12-31 23:59:59+00'), -900::numeric,
  'up to the last microsecond nothing is moved');
select is(pg_temp.amount('sales', '2024-12-31 23:59:59.999999+00'), 0::numeric,
  'at the last microsecond revenue is');
select is(pg_temp.amount('rent', '2024-12-31 23:59:59.999999+00'), 0::numeric, 'and expense');
select is(pg_temp.amount('retained', '2025-01-01'), -500::numeric, 'to equity');
select is(pg_temp.amount('retained', '2025-01-01', 'USD'), -30::numeric, 'in each currency');
select is((select count(*) from app_public.closing_transactions), 2::bigint, 'by a transaction for each');
select results_eq(
  $$select code, currency, amount::numeric from unnest(app_public.income_statement('2024-01-01 00:00+00',
    '2025-01-01 00:00+00'))$$,
  $$values ('sales', 'EUR', 900.0), ('sales', 'USD', 30.0), ('rent', 'EUR', 400.0)$$,
  'the income statement of the year leaves the close out');
select results_eq(
  $$select code, currency, amount::numeric from unnest(app_public.income_statement())$$,
  $$values ('sales', 'EUR', 977.0), ('sales', 'USD', 30.0), ('rent', 'EUR', 400.0)$$,
  'and so does that of all times');
select is_empty(
  $$select from unnest(app_public.balance_sheet('2024-12-31 23:59:59.999999+00'))
    where account_id is null and amount <> 0$$,
  'no current earnings are left in the balance sheet');
select throws_ok(format('select app_public.close_period(%L)', id), 'LG331', null, 'it is closed once')
from period where name = '2024';
select throws_ok($$select app_public.open_period('2023', '2023-01-01', '2024-01-01')$$, 'LG336', null,
  'none is opened before it');
select throws_ok($$select tests.post('acme', 'cash', 'sales', 1, effective_at => '2024-12-31 12:00+00')$$,
  'LG309', null,
  'nothing is posted into it');
select lives_ok($$select tests.post('acme', 'cash', 'sales', 1, effective_at => '2025-01-01 00:00+00')$$,
  'but after it');

-- Reversing a closing entry earns nothing either.
select lives_ok($$
  select app_public.reverse_transaction(transaction_id, effective_at => '2025-06-01')
  from app_public.closing_transactions$$, 'a close can be reversed in the next period');
select is(
  (select sum(amount::numeric) from unnest(app_public.income_statement('2025-01-01 00:00+00'))
   where type = 'revenue'),
  78::numeric, 'which is not revenue');
select isnt((app_public.close_period(id, 'retained')).closed_at, null,
  'the next year is closed') from period where name = '2025';
select is(pg_temp.amount('retained', '2026-01-01'), -578::numeric,
  'and moves what the earlier close did not');

select tests.make_tenant('empty');
select tests.become('admin', tests.tenant('empty'), tests.user_id('x'));
insert into period select 'empty', (app_public.open_period('empty', '2024-01-01', '2025-01-01')).id;
select isnt((app_public.close_period(id, 'retained')).closed_at, null,
  'a period with nothing to move is closed')
from period where name = 'empty';
select is_empty('select from app_public.closing_transactions',
  'without a transaction, and seeing none of another tenant');
select throws_ok(format('select app_public.close_period(%L)', id), 'LG330', null,
  'nor closing a period of another tenant')
from period where name = 'long';

select tests.become('teller', tests.tenant('acme'), tests.user_id('tom'));
select throws_ok($$select app_public.open_period('x', '2020-01-01', '2021-01-01')$$, '42501', null,
  'a teller opens no period');
select throws_ok($$select app_public.close_period(tests.user_id('none'))$$, '42501', null, 'and closes none');
select tests.become('auditor', tests.tenant('acme'), tests.user_id('eve'));
select throws_ok($$select app_public.close_period(tests.user_id('none'))$$, '42501', null,
  'nor does an auditor');
select is((select count(*) from app_public.closing_transactions), 4::bigint, 'who sees what was closed');
select tests.become('customer', tests.tenant('acme'), tests.user_id('ann'));
select throws_ok($$select app_public.open_period('x', '2020-01-01', '2021-01-01')$$, '42501', null,
  'nor a customer');
select throws_ok('select from app_public.closing_transactions', '42501', null, 'who sees nothing of it');
select tests.become_superuser();
select throws_ok('delete from app_public.closing_transactions', 'LG319', null,
  'what was closed stays recorded');
select * from finish();
rollback;
