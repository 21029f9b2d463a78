-- The charts of accounts that come with the ledger, and applying them.
begin;
select plan(21);

-- Each chart is sound by itself.
select results_eq(
  'select template from app_public.chart_templates order by 1',
  array['bank', 'marketplace', 'small-company', 'wallet'], 'there are four charts');
select is_empty(
  $$select template, type from app_public.chart_templates
    cross join unnest(enum_range(null::app_public.account_type)) t (type)
    except select template, type from app_public.chart_template_accounts$$,
  'each has accounts of every type');
select is_empty(
  $$select a.template, a.code from app_public.chart_template_accounts a
    join app_public.chart_template_accounts p on p.template = a.template and p.code = a.parent_code
    where p.position >= a.position$$,
  'a parent comes before its children');
select is_empty(
  $$select a.template, a.code from app_public.chart_template_accounts a
    join app_public.chart_template_accounts p on p.template = a.template and p.code = a.parent_code
    where p.type <> a.type or p.maximum_balance is distinct from 0 or p.minimum_balance is distinct from 0$$,
  'it is a heading of the same type');
select is_empty(
  $$select template, code from app_public.chart_template_accounts a
    where maximum_balance = 0 and name !~ 'one account below this for each' and not exists (
      select from app_public.chart_template_accounts c where c.template = a.template and c.parent_code = a.code)$$,
  'a heading has something below it, or says what belongs there');
select is_empty(
  $$select template from app_public.chart_templates t where 2 > (
      select count(*) from app_public.chart_template_accounts a
      where a.template = t.template
        and (a.normal_balance = 'debit') <> (a.type in ('asset', 'expense')))$$,
  'each has contra accounts');
select is_empty(
  $$select template from app_public.chart_templates t where not exists (
      select from app_public.chart_template_accounts a
      where a.template = t.template and a.type = 'equity' and a.name = 'Retained earnings')$$,
  'and an account to close the year to');
select is_empty(
  $$select template from app_public.chart_templates t where not exists (
      select from app_public.chart_template_accounts a
      where a.template = t.template and a.type = 'equity' and a.name = 'Currency trading')$$,
  'and one to trade currencies against');

select tests.make_books('acme');
select tests.make_tenant('other');
select tests.become('accountant', tests.tenant('acme'), tests.user_id('amir'));
select results_eq(
  $$select count(*)::integer from app_public.apply_template('small-company', 'EUR')$$,
  $$select count(*)::integer from app_public.chart_template_accounts where template = 'small-company'$$,
  'an accountant opens all accounts of a chart');
select results_eq(
  $$select a.code, a.name, a.type, a.normal_balance, a.minimum_balance, a.maximum_balance, p.code
    from app_public.accounts a left join app_public.accounts p on p.id = a.parent_id
    where a.code ~ '^[0-9]' order by a.code$$,
  $$select code, name, type, normal_balance, minimum_balance, maximum_balance, parent_code
    from app_public.chart_template_accounts where template = 'small-company' order by code$$,
  'as the chart says');
select is_empty(
  $$select app_public.apply_template('small-company', 'EUR')$$, 'applying it again opens nothing');
select results_eq(
  $$select count(*)::integer from app_public.apply_template('small-company', 'USD')$$,
  $$select count(*)::integer from app_public.chart_template_accounts where template = 'small-company'$$,
  'another currency has accounts of its own');
select is_empty(
  $$select a.code from app_public.accounts a join app_public.accounts p on p.id = a.parent_id
    where p.currency <> a.currency$$,
  'below parents of its own');
select throws_ok(
  $$select tests.post('acme', '1000', '3010', 1)$$, 'LG203', null, 'a heading takes no posting');
select lives_ok(
  $$select tests.post('acme', '1020', '3010', 100)$$, 'the others do');
select throws_ok(
  $$select tests.post('acme', '1020', '1010', 1)$$, 'LG202', null, 'an empty till gives nothing');

select tests.open_account('acme', 'assets:bank', 'liability', 'GBP');
select results_eq(
  $$select count(*)::integer from app_public.apply_template('wallet', 'GBP')$$,
  $$select count(*)::integer - 1 from app_public.chart_template_accounts where template = 'wallet'$$,
  'an account that is there already');
select results_eq(
  $$select name, type from app_public.accounts where code = 'assets:bank'$$,
  $$values ('assets:bank', 'liability'::app_public.account_type)$$, 'stays as it is');

select tests.become('teller', tests.tenant('acme'), tests.user_id('tess'));
select throws_ok(
  $$select app_public.apply_template('bank', 'EUR')$$, '42501', null, 'a teller applies no chart');
select tests.become_superuser();
delete from app_public.role_permissions where permission = 'charts.apply' and role = 'accountant';
select tests.become('accountant', tests.tenant('acme'), tests.user_id('amir'));
select throws_ok(
  $$select app_public.apply_template('bank', 'EUR')$$, 'LG402', null, 'nor an accountant without the permission');
select tests.become_superuser();
select is_empty(
  $$select from app_public.accounts where tenant_id = tests.tenant('other')$$, 'other books stay as they are');
select * from finish();
rollback;
