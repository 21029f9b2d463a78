-- Conversions: balanced per currency, exact to the last fraction, nothing made and nothing lost.
begin;
select plan(26);

select tests.make_books('acme');
select tests.open_account(
  'acme', a.code, a.type::app_public.account_type, a.currency,
  case when a.code = 'ann' then tests.user_id('ann') end)
from (values
  ('ann', 'liability', 'USD'), ('trading', 'equity', 'EUR'), ('trading', 'equity', 'USD'),
  ('rounding', 'revenue', 'EUR'), ('rounding', 'revenue', 'USD')
) as a (code, type, currency);
select tests.as_tenant(
  tests.tenant('acme'), $$select app_public.set_exchange_rate('EUR', 'USD', 1.0833, '2026-01-01Z')$$);

create function pg_temp.convert(
  amount numeric, key text default null, source text default 'EUR', target text default 'USD', code text default 'ann'
) returns text language sql as $$
  select format('select app_public.post_conversion(%L, %L, %L, ''trading'', ''rounding'', %L)',
    tests.account('acme', code, source), tests.account('acme', code, target), amount, key)
$$;
create function pg_temp.balance(code text, unit text) returns numeric language sql security definer as $$
  select b.posted_credits::numeric - b.posted_debits from app_public.account_balances b
  where b.account_id = tests.account('acme', code, unit)
$$;
select tests.become('teller', tests.tenant('acme'), tests.user_id('x'));

select lives_ok(pg_temp.convert(101, 'k1'), 'a conversion: 101 × 1.0833 = 109.4133');
select results_eq(
  $$select pg_temp.balance('ann', 'EUR'), pg_temp.balance('ann', 'USD'),
    pg_temp.balance('trading', 'EUR'), pg_temp.balance('trading', 'USD')$$,
  $$values (9899::numeric, 109::numeric, 101::numeric, -109::numeric)$$,
  'goes through the trading account of each currency');
select results_eq(
  $$select rate, exact_amount, residue, rounding_amount::numeric, carried_residue
    from app_public.conversions$$,
  $$values (1.0833::numeric, 109.4133::numeric, 0.4133::numeric, 0::numeric, 0.4133::numeric)$$,
  'the rate and the exact residue are kept');
select lives_ok(pg_temp.convert(101), 'another: 0.8266 are carried');
select is(pg_temp.balance('rounding', 'USD'), 0::numeric, 'less than a unit is not posted');
select lives_ok(pg_temp.convert(101), 'a third: 1.2399');
select is(pg_temp.balance('rounding', 'USD'), 1::numeric, 'a whole unit is posted where it can be seen');
select is(
  pg_temp.balance('trading', 'USD'),
  -328::numeric, 'so the trading account is at 3 × 109.4133 = 328.2399, but for the fraction that waits');
select results_eq(
  $$select carried_residue from app_public.conversions order by transaction_id desc limit 1$$,
  array[0.2399], 'and the fraction waits');

-- Retries.
select lives_ok(
  $$select tests.as_tenant(tests.tenant('acme'),
    'select app_public.set_exchange_rate(''EUR'', ''USD'', 2.7)')$$,
  'the rate changes');
select results_eq(
  format('select (q.r).is_replayed from (%s) q (r)', pg_temp.convert(101, 'k1')),
  array[true], 'the same key answers with the original all the same');
select is((select count(*) from app_public.conversions), 3::bigint, 'and converts nothing');
select throws_ok(pg_temp.convert(102, 'k1'), 'LG501', null, 'the same key for another amount is a conflict');
select lives_ok(pg_temp.convert(101), 'a new conversion');
select is(
  (select exact_amount from app_public.conversions order by transaction_id desc limit 1),
  272.7::numeric, 'has the new rate');

-- Refusals.
select throws_ok(pg_temp.convert(0), 'LG102', null, 'nothing is not converted');
select throws_ok(pg_temp.convert(10000000), 'LG202', null, 'limits hold');
select throws_ok(pg_temp.convert(1, null, 'EUR', 'EUR'), 'LG344', null, 'not within a currency');
select throws_ok(pg_temp.convert(1, null, 'USD', 'EUR', 'nobody'), 'LG301', null, 'not from nowhere');
select throws_ok(
  format('select app_public.post_conversion(%L, %L, 1, ''nix'', ''rounding'')',
    tests.account('acme', 'ann'), tests.account('acme', 'ann', 'USD')),
  'LG343', null, 'not without a trading account');
select throws_ok(
  format('select app_public.post_conversion(%L, %L, 1, ''trading'', ''rounding'')',
    tests.account('acme', 'cash'), tests.account('acme', 'ann', 'USD')),
  'LG344', null, 'not from an asset to a liability');
select throws_ok(pg_temp.convert(1, null, 'USD', 'EUR'), 'LG341', null, 'not for less than half a unit');

-- Assets: the other way round, and many of them.
do $$
begin
  perform tests.post('acme', 'cash', 'ann', 1000000);
  for i in 1 .. 60 loop
    execute pg_temp.convert(i * 37, null, 'USD', 'EUR', 'cash');
    execute pg_temp.convert(i * 41, null, 'EUR', 'USD', case when i % 2 = 0 then 'cash' else 'ann' end);
  end loop;
end
$$;
select tests.become_superuser();
select is_empty(
  $$select * from checks.conversions_that_do_not_add_up where tenant_id = tests.tenant('acme')$$,
  'after 120 more, value in = value out + residue');
select is_empty(
  $$select from checks.unbalanced_transactions where tenant_id = tests.tenant('acme')$$, 'and all balance');
select throws_ok('update app_public.conversions set rate = 1', 'LG319', null, 'a conversion is never changed');
select tests.become('accountant', tests.tenant('acme'), tests.user_id('x'));
select is_empty($$select name from app_public.verify_ledger() where violations > 0$$, 'the books are proven');
select tests.become_superuser();
select * from finish();
rollback;
