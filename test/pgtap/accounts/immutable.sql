-- What of an account may change, and what may not, whoever tries.
begin;
select plan(15);

select tests.make_books('acme');
select tests.become('admin', tests.tenant('acme'), tests.user_id('x'));
select results_eq(
  format(
    $$select (a).name, (a).metadata from app_public.update_account(%L, 'Ann''s', '{"tier": 1}') a$$,
    tests.account('acme', 'ann')),
  $$values ('Ann''s'::text, '{"tier": 1}'::jsonb)$$, 'name and metadata change');
select results_eq(
  format($$select (a).name from app_public.update_account(%L) a$$, tests.account('acme', 'ann')),
  $$values ('Ann''s'::text)$$, 'what is left out stays');
select throws_ok(
  format('select app_public.update_account(%L, %L)', tests.account('acme', 'ann'), ''),
  'LG114', null, 'an empty name is refused');
select throws_ok(
  format('select app_public.update_account(%L, null, %L)', tests.account('acme', 'ann'), '[]'),
  'LG107', null, 'metadata is an object');
select throws_ok(
  format('select app_public.update_account(%L)', tests.user_id('no account')),
  'LG301', null, 'an unknown account is not found');

select tests.become_superuser();
select set_config('role', 'tallystick_owner', true);
select throws_ok(
  format('update app_public.accounts set %s where id = %L', c.change, tests.account('acme', 'ann')),
  'LG350', null, format('the owner cannot set %s', c.change))
from unnest(array[
  'tenant_id = tenant_id + 1', 'id = uuidv7()', $$code = 'x'$$, $$currency = 'USD'$$, $$type = 'asset'$$,
  $$normal_balance = 'debit'$$, 'parent_id = uuidv7()', 'created_at = now() - interval ''1 day'''
]) as c (change);
select throws_ok('delete from app_public.accounts', 'LG350', null, 'no account is removed');
select throws_ok('truncate app_public.accounts cascade', 'LG350', null, 'nor all of them at once');
select tests.become_superuser();
select * from finish();
rollback;
