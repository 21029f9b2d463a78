-- ISO 4217 at hand.
begin;
select plan(8);
select is((select count(*) from app_public.iso_currencies), 165::bigint, 'all codes in use that have a minor unit');
select results_eq(
  'select exponent::integer from app_public.iso_currencies
    where code in (''EUR'', ''JPY'', ''KWD'', ''CLF'', ''ISK'', ''UYW'') order by code',
  array[4, 2, 0, 0, 3, 4], 'exponents as the standard has them');
select is_empty(
  $$select from app_public.iso_currencies where code in ('XAU', 'XXX', 'HRK', 'ANG')$$,
  'no codes without a minor unit, none withdrawn');
select tests.make_tenant('acme');
select tests.become('accountant', tests.tenant('acme'), tests.user_id('x'));
select lives_ok(
  $$select app_public.open_account('cash', 'Cash', 'asset', 'JPY')$$,
  'an account in one of them needs no creating');
select throws_ok(
  $$select app_public.open_account('gold', 'Gold', 'asset', 'XAU')$$,
  'LG315', null, 'gold has no exponent until one is chosen');
select lives_ok($$select app_public.create_currency('XAU', 6)$$, 'so it is created with one');
select throws_ok($$select app_public.create_currency('XAU', 6)$$, 'LG316', null, 'once');
select throws_ok($$select app_public.create_currency('eur', 2)$$, 'LG116', null, 'a code is in capitals');
select tests.become_superuser();
select * from finish();
rollback;
