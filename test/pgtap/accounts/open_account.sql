-- Opening accounts.
begin;
select plan(16);

select tests.make_books('acme');
select tests.make_books('other');
create function pg_temp.open(args text) returns text language sql as $$
  select format('select app_public.open_account(%s)', args)
$$;
select tests.become('teller', tests.tenant('acme'), tests.user_id('x'));

select results_eq(
  $$select (app_public.open_account('the ' || t, 'x', t, 'EUR')).normal_balance
    from unnest(enum_range(null::app_public.account_type)) t$$,
  array['debit', 'credit', 'credit', 'credit', 'debit']::app_public.direction[],
  'the type gives the normal balance');
select results_eq(
  $$select (app_public.open_account('contra', 'x', 'asset', 'EUR', normal_balance => 'credit')).normal_balance$$,
  array['credit'::app_public.direction], 'a contra account overrides it');
select results_eq(
  format(
    $$select (app_public.open_account('child', 'x', 'asset', 'EUR', parent_id => %L)).parent_id$$,
    tests.account('acme', 'cash')),
  array[tests.account('acme', 'cash')], 'an account has a parent');
select throws_ok(
  pg_temp.open(format($$'child2', 'x', 'asset', 'EUR', parent_id => %L$$, tests.account('other', 'cash'))),
  'LG301', null,
  'but none of another tenant');
select lives_ok(pg_temp.open($$'cash', 'x', 'asset', 'CHF'$$), 'a code may be used again in another currency');
select throws_ok(pg_temp.open($$'cash', 'x', 'asset', 'EUR'$$), 'LG314', null, 'not in the same');
select throws_ok(pg_temp.open(a.args), a.code, null, a.rule)
from (values
  ($$'', 'x', 'asset', 'EUR'$$, 'LG114', 'a code is not empty'),
  ($$' x', 'x', 'asset', 'EUR'$$, 'LG114', 'nor does it begin with a blank'),
  ($$e'x\ny', 'x', 'asset', 'EUR'$$, 'LG114', 'nor hold control characters'),
  ($$'y', '', 'asset', 'EUR'$$, 'LG114', 'a name is not empty'),
  ($$'y', 'x', 'asset', 'NIX'$$, 'LG315', 'the currency is known'),
  ($$'y', 'x', 'asset', 'EUR', metadata => '[]'$$, 'LG107', 'metadata is an object'),
  ($$'y', 'x', 'asset', 'EUR', minimum_balance => 2, maximum_balance => 1$$, 'LG115', 'limits are in order'),
  ($$'y', 'x', 'asset', 'EUR', minimum_balance => 1$$, 'LG317', 'and an empty account is within them')
) as a (args, code, rule);
select is(
  (select count(*) from app_public.account_balances b
    join app_public.accounts a on a.id = b.account_id where a.code = 'contra'),
  1::bigint, 'every account has its balance at once');
select tests.become('customer', tests.tenant('acme'), tests.user_id('ann'));
select throws_ok(pg_temp.open($$'z', 'x', 'asset', 'EUR'$$), '42501', null, 'a customer opens none');
select tests.become_superuser();
select * from finish();
rollback;
