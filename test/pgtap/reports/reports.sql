-- Trial balance, balance sheet and income statement.
begin;
select plan(19);

select tests.make_books('acme');
select tests.make_books('other');
select tests.post('acme', 'cash', 'sales', 900, effective_at => '2026-01-10');
select tests.post('acme', 'rent', 'cash', 400, effective_at => '2026-01-20');
select tests.post('acme', 'cash', 'sales', 50, effective_at => '2026-02-01');
create temp table moment as
  select max(created_at) as at from app_public.transactions where tenant_id = tests.tenant('acme');
grant select on moment to public;
select tests.post('acme', 'cash', 'sales', 7, effective_at => '2026-01-15');

select tests.become('auditor', tests.tenant('acme'), tests.user_id('eve'));

select results_eq(
  $$select code, currency, debits::numeric, credits::numeric, balance::numeric
    from unnest(app_public.trial_balance())$$,
  $$values
    ('ann', 'EUR', 0.0, 10000.0, -10000.0), ('bob', 'EUR', 0.0, 10000.0, -10000.0),
    ('cash', 'EUR', 120957.0, 400.0, 120557.0), ('cash', 'USD', 100000.0, 0.0, 100000.0),
    ('equity', 'EUR', 0.0, 100000.0, -100000.0), ('equity', 'USD', 0.0, 100000.0, -100000.0),
    ('rent', 'EUR', 400.0, 0.0, 400.0), ('sales', 'EUR', 0.0, 957.0, -957.0)$$,
  'the trial balance has a row for each account');
select results_eq(
  $$select code, balance::numeric from unnest(app_public.trial_balance('2026-01-31')) where balance <> 0$$,
  $$values ('cash', 507.0), ('rent', 400.0), ('sales', -907.0)$$, 'at an effective time');
select is((select count(*) from unnest(app_public.trial_balance('2000-01-01'))), 8::bigint,
  'accounts at zero are there');
select results_eq(
  $$select code, balance::numeric
    from moment, unnest(app_public.trial_balance('2026-01-31', moment.at)) where balance <> 0$$,
  $$values ('cash', 500.0), ('rent', 400.0), ('sales', -900.0)$$, 'on both axes');
select is_empty(
  $$select t.currency from (
      select * from unnest(app_public.trial_balance())
      union all select * from unnest(app_public.trial_balance('2026-01-12'))
      union all select r.* from moment, unnest(app_public.trial_balance(null, moment.at)) r
    ) t group by t.currency having sum(t.debits::numeric) <> sum(t.credits::numeric)$$,
  'debits equal credits in each currency');
select is(
  (select app_public.trial_balance_row_balance_formatted(t)
    from unnest(app_public.trial_balance()) t where code = 'rent'),
  '4.00', 'with decimals');

select results_eq(
  $$select type::text, name, currency, amount::numeric
    from unnest(app_public.balance_sheet('2026-01-31')) where amount <> 0$$,
  $$values ('asset', 'cash', 'EUR', 507.0), ('equity', 'Current earnings', 'EUR', 507.0)$$,
  'the balance sheet shows what was earned as equity');
select is_empty(
  $$select currency from unnest(array[app_public.balance_sheet(), app_public.balance_sheet('2026-01-12')]) r
    group by currency
    having sum(case type when 'asset' then r.amount::numeric else -r.amount::numeric end) <> 0$$,
  'assets equal liabilities and equity in each currency');

select results_eq(
  $$select type::text, code, amount::numeric from unnest(app_public.income_statement('2026-01-01',
    '2026-02-01'))$$,
  $$values ('revenue', 'sales', 907.0), ('expense', 'rent', 400.0)$$,
  'the income statement has what is effective from the start until before the end');
select results_eq(
  $$select code, amount::numeric from unnest(app_public.income_statement())$$,
  $$values ('sales', 957.0), ('rent', 400.0)$$, 'or all of it');
select results_eq(
  $$select code, amount::numeric from moment, unnest(app_public.income_statement('2026-01-12', null, moment.at))$$,
  $$values ('sales', 50.0), ('rent', 400.0)$$, 'as known at a recorded moment');
select throws_ok(
  $$select app_public.income_statement('2026-02-01', '2026-02-01')$$, 'LG130', null,
    'it ends after it starts');

select tests.become('teller', tests.tenant('other'), tests.user_id('tom'));
select is(
  (select sum(debits::numeric) from unnest(app_public.trial_balance()) where code = 'sales'), 0::numeric,
  'each tenant has its own books');
select is(
  (select sum(amount::numeric) from unnest(app_public.income_statement())), 0::numeric, 'and its own income');

select tests.become('accountant');
select throws_ok('select app_public.income_statement()', 'LG401', null, 'no tenant, no income statement');
select is(app_public.trial_balance(), '{}', 'and no trial balance');

select tests.become('customer', tests.tenant('acme'), tests.user_id('ann'));
select throws_ok('select app_public.trial_balance()', '42501', null, 'a customer reads no trial balance');
select throws_ok('select app_public.balance_sheet()', '42501', null, 'nor a balance sheet');
select throws_ok('select app_public.income_statement()', '42501', null, 'nor an income statement');

select tests.become_superuser();
select * from finish();
rollback;
