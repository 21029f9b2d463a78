-- Who sees what: each role its own, nothing of another tenant or customer, and nobody writes.
begin;
select plan(46);

select tests.make_books('acme');
select tests.make_books('other');
select tests.post('acme', 'ann', 'bob', 500);

-- Rows that a role sees in a table, as text, or the code of the refusal.
create function pg_temp.rows_of(role text, tenant integer, usr uuid, relation text) returns text
language plpgsql volatile as $$
declare
  v_count bigint;
begin
  perform tests.become(role, tenant, usr);
  begin
    execute 'select count(*) from ' || relation into v_count;
  exception when insufficient_privilege then
    perform tests.become_superuser();
    return '42501';
  end;
  perform tests.become_superuser();
  return v_count::text;
end
$$;

-- Staff: all of their tenant. 8 accounts, 5 transactions, 10 postings each, EUR and USD.
select is(
  pg_temp.rows_of(r.role, tests.tenant('acme'), tests.user_id('x'), 'app_public.' || t.name),
  t.rows, format('a %s sees the %s of the tenant and no others', r.role, t.name))
from unnest(array['teller', 'accountant', 'auditor', 'admin']) as r (role)
cross join (values
  ('accounts', '8'), ('account_balances', '8'), ('transactions', '5'), ('postings', '10'), ('currencies', '2')
) as t (name, rows);

-- Ann: her account, the two transactions on it, her side of them.
select is(
  pg_temp.rows_of('customer', tests.tenant('acme'), tests.user_id('ann'), 'app_public.' || t.name),
  t.rows, format('a customer sees their own %s only', t.name))
from (values
  ('tenants', '1'), ('accounts', '1'), ('account_balances', '1'), ('transactions', '2'), ('postings', '2'),
  ('currencies', '2'), ('exchange_rates', '0'), ('conversions', '0')
) as t (name, rows);

select is(
  pg_temp.rows_of('customer', tests.tenant('acme'), tests.user_id('nobody'), 'app_public.' || t.name),
  '0', format('a customer without an account sees no %s', t.name))
from unnest(array['accounts', 'account_balances', 'transactions', 'postings']) as t (name);

select is(
  pg_temp.rows_of('customer', tests.tenant('other'), tests.user_id('ann'), 'app_public.postings'),
  '1', 'the same user in another tenant sees what is theirs there');

select is(
  pg_temp.rows_of('customer', tests.tenant('acme'), tests.user_id('ann'), 'app_public.' || t.name),
  '42501', format('a customer may not read %s', t.name))
from unnest(array['accounting_periods', 'account_sets']) as t (name);

select is(
  pg_temp.rows_of('anonymous', tests.tenant('acme'), tests.user_id('ann'), 'app_public.' || t.name),
  '42501', format('anonymous may not read %s', t.name))
from unnest(array['tenants', 'accounts', 'postings', 'currencies']) as t (name);

select isnt(pg_temp.rows_of('anonymous', null, null, 'app_public.refusals'), '0', 'anonymous reads the refusals');
select is(
  pg_temp.rows_of('admin', null, null, 'app_public.accounts'), '0',
  'without a tenant, even an admin sees no accounts');
select is(
  pg_temp.rows_of('worker', tests.tenant('acme'), null, 'app_public.postings'), '42501',
  'the worker reads no table');
select is(
  pg_temp.rows_of('auditor', tests.tenant('acme'), null, 'app_private.open_reservations'), '42501',
  'nobody reads app_private');

select tests.become('admin', tests.tenant('acme'), tests.user_id('x'));
select throws_ok(
  'insert into app_public.currencies (tenant_id, code, exponent, name) values (1, ''X'', 0, ''x'')', '42501', null,
  'an admin inserts into no table');
select throws_ok('update app_public.accounts set name = ''x''', '42501', null, 'an admin updates no table');
select throws_ok('delete from app_public.postings', '42501', null, 'an admin deletes from no table');

select tests.become_superuser();
select * from finish();
rollback;
