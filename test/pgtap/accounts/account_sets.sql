-- Account sets: codes, members, no circles, by role and tenant.
begin;
select plan(16);

select tests.make_books('acme');
select tests.make_books('other');
create temp table s on commit drop as
select code, tests.as_tenant(
  tests.tenant('acme'), format('select (app_public.create_account_set(%L, %L)).id', code, code))::uuid as id
from unnest(array['a', 'b', 'c']) as c (code);
create function pg_temp.id(code text) returns uuid language sql security definer as $$
  select s.id from pg_temp.s where s.code = $1
$$;
create function pg_temp.add(outer_code text, inner_code text) returns text language sql as $$
  select format('select app_public.add_set_to_set(%L, %L)', pg_temp.id(outer_code), pg_temp.id(inner_code))
$$;
select tests.become('accountant', tests.tenant('acme'), tests.user_id('x'));

select throws_ok($$select app_public.create_account_set('a', 'again')$$, 'LG352', null, 'the code of a set is unique');
select throws_ok($$select app_public.create_account_set(' a', 'x')$$, 'LG114', null, 'a code has no blank at its ends');
select lives_ok(pg_temp.add('a', 'b'), 'a set is put into another');
select lives_ok(pg_temp.add('a', 'b'), 'twice is once');
select lives_ok(pg_temp.add('b', 'c'), 'and deeper');
select throws_ok(pg_temp.add('a', 'a'), 'LG353', null, 'a set is not put into itself');
select throws_ok(pg_temp.add('c', 'a'), 'LG353', null, 'nor into what it holds, however deep');
select lives_ok(pg_temp.add('a', 'c'), 'two ways to a set are no circle');
select lives_ok(
  format('select app_public.add_account_to_set(%L, %L)', pg_temp.id('c'), tests.account('acme', 'cash')),
  'an account is put into a set');
select lives_ok(
  format('select app_public.add_account_to_set(%L, %L)', pg_temp.id('c'), tests.account('acme', 'cash')),
  'twice is once, too');
select throws_ok(
  format('select app_public.add_account_to_set(%L, %L)', pg_temp.id('c'), tests.account('other', 'cash')),
  'LG301', null,
  'an account of another tenant is not found');
select throws_ok(
  format('select app_public.add_account_to_set(%L, %L)', uuidv7(), tests.account('acme', 'cash')),
  'LG351', null, 'an unknown set is not found');
select is((select count(*) from app_public.account_set_members), 4::bigint, 'members so far');
select lives_ok(format('select app_public.remove_set_from_set(%L, %L), app_public.remove_account_from_set(%L, %L)',
  pg_temp.id('b'), pg_temp.id('c'), pg_temp.id('c'), tests.account('acme', 'cash')), 'both are taken out again');
select is((select count(*) from app_public.account_set_members), 2::bigint, 'members now');
select tests.become('teller', tests.tenant('acme'), tests.user_id('x'));
select throws_ok($$select app_public.create_account_set('t', 't')$$, '42501', null, 'a teller makes no sets');
select tests.become_superuser();
select * from finish();
rollback;
