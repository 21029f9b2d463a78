-- Rates: valid for a time, never two at once, found at a time.
begin;
select plan(25);

select tests.make_tenant('acme');
select tests.make_tenant('other');
select tests.become('accountant', tests.tenant('acme'), tests.user_id('x'));

select lives_ok($$select app_public.set_exchange_rate('EUR', 'USD', 1.10, '2026-01-01Z')$$, 'a rate without an end');
select lives_ok($$select app_public.set_exchange_rate('EUR', 'USD', 1.20, '2026-02-01Z')$$, 'the next one');
select results_eq(
  $$select rate, during from app_public.exchange_rates order by during$$,
  $$values (1.1::numeric, tstzrange('2026-01-01Z', '2026-02-01Z')), (1.2, tstzrange('2026-02-01Z', null))$$,
  'ends the one before it');
select throws_ok(
  $$select app_public.set_exchange_rate('EUR', 'USD', 1.3, '2026-02-01Z')$$,
  'LG342', null, 'two from the same moment are refused');
select throws_ok(
  $$select app_public.set_exchange_rate('EUR', 'USD', 1.3, '2026-01-15Z', '2026-01-16Z')$$,
  'LG342', null, 'an overlap is refused');
select throws_ok(
  $$select app_public.set_exchange_rate('EUR', 'USD', 1.3, '2025-12-15Z')$$,
  'LG342', null, 'one without an end cannot be put before others');
select lives_ok(
  $$select app_public.set_exchange_rate('EUR', 'USD', 1.05, '2025-12-01Z', '2026-01-01Z')$$,
  'rates may meet');
select throws_ok(
  format('select app_public.set_exchange_rate(%s)', a.args), 'LG140', null, format('%s is refused', a.args))
from unnest(array[
  '''EUR'', ''USD'', 0', '''EUR'', ''USD'', -1', '''EUR'', ''USD'', ''NaN''', '''EUR'', ''USD'', ''Infinity''',
  '''EUR'', ''EUR'', 1',
  '''EUR'', ''USD'', 1e20', '''EUR'', ''USD'', 1e-19', '''EUR'', ''USD'', 1, ''2030-01-02Z'', ''2030-01-01Z'''
]) as a (args);
select throws_ok($$select app_public.set_exchange_rate('EUR', 'NIX', 1)$$, 'LG315', null, 'a currency must be there');

select results_eq(
  $$select amount::numeric, exact_amount, residue
    from app_public.convert_amount(12345, 'EUR', 'USD', '2026-01-31Z')$$,
  $$values (13580::numeric, 13579.5::numeric, -0.5::numeric)$$,
  'the rate of the time, and a half goes to the even one');
select is(
  (app_public.convert_amount(12335, 'EUR', 'USD', '2026-01-31Z')).amount::numeric,
  13568::numeric, 'which may be below');
select results_eq(
  $$select amount::numeric, exact_amount from app_public.convert_amount(12345, 'EUR', 'USD', '2026-02-01Z')$$,
  $$values (14814::numeric, 14814::numeric)$$, 'a rate is valid from its first moment');
select throws_ok(
  $$select app_public.convert_amount(1, 'EUR', 'USD', '2025-11-30Z')$$, 'LG340', null, 'no rate for a time');
select results_eq($$select amount::numeric, rate from app_public.convert_amount(12000, 'USD', 'EUR', '2026-02-01Z')$$,
  $$values (10000::numeric, 0.8333333333333333333::numeric)$$, 'the other way round, the inverse to 19 decimals');
select lives_ok(
  $$select app_public.set_exchange_rate('EUR', 'JPY', 160.5, '2026-01-01Z'),
    app_public.set_exchange_rate('EUR', 'KWD', 0.3333, '2026-01-01Z')$$,
  'other exponents');
select results_eq(
  $$select c.amount::numeric, c.exact_amount
    from unnest(array['JPY', 'KWD']) u, app_public.convert_amount(1001, 'EUR', u, '2026-01-01Z') c$$,
  $$values (1607::numeric, 1606.605::numeric), (3336, 3336.333)$$, 'shift the decimal point');

select tests.become('accountant', tests.tenant('other'), tests.user_id('x'));
select throws_ok(
  $$select app_public.convert_amount(1, 'EUR', 'USD', '2026-01-31Z')$$,
  'LG340', null, 'the rates of another tenant do not count');
select tests.become('teller', tests.tenant('acme'), tests.user_id('x'));
select throws_ok($$select app_public.set_exchange_rate('EUR', 'USD', 1)$$, '42501', null, 'a teller sets no rate');
select tests.become_superuser();
select * from finish();
rollback;
