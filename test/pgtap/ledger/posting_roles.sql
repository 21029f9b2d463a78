-- Who may post: each role × each public function that moves money.
begin;
select plan(48);

select tests.make_books('acme');
create temp table made (role text, name text, id uuid);
insert into made
select role, name, tests.post('acme', 'cash', 'bob', 1, 'EUR', kind)
from unnest(array['anonymous', 'customer', 'teller', 'accountant', 'auditor', 'admin']) role,
  (values ('to post', 'pending'::app_public.transaction_kind), ('to void', 'pending'),
    ('to reverse', 'posted')) m (name, kind);

-- The code of the error that a role meets, or "done".
create function pg_temp.attempt(role text, statement text)
returns text
language plpgsql
as $$
begin
  perform tests.become(role, tests.tenant('acme'), tests.user_id('zoe'));
  execute statement;
  perform tests.become_superuser();
  return 'done';
exception when others then
  perform tests.become_superuser();
  return SQLSTATE;
end
$$;

create function pg_temp.made(role text, name text)
returns uuid
language sql
as $$
  select m.id from made m where m.role = made.role and m.name = made.name
$$;

create temp table may (n integer generated always as identity, role text, call text, statement text,
  expected text);
insert into may (role, call, statement, expected)
select r.role, c.call, c.statement, case when r.role = any (c.roles) then 'done' else '42501' end
from unnest(array['anonymous', 'customer', 'teller', 'accountant', 'auditor', 'admin']) r (role)
cross join lateral (values
  ('post_transaction',
    format('select app_public.post_transaction(%L)', tests.transfer('acme', 'cash', 'bob', 1)),
    array['teller', 'accountant', 'admin']),
  ('post_transactions',
    format('select app_public.post_transactions(%L)', array[tests.transfer('acme', 'cash', 'bob', 1)]),
    array['teller', 'accountant', 'admin']),
  ('post_pending_transaction',
    format('select app_public.post_pending_transaction(%L)', pg_temp.made(r.role, 'to post')),
    array['teller', 'accountant', 'admin']),
  ('void_pending_transaction',
    format('select app_public.void_pending_transaction(%L)', pg_temp.made(r.role, 'to void')),
    array['teller', 'accountant', 'admin']),
  ('reverse_transaction',
    format('select app_public.reverse_transaction(%L)', pg_temp.made(r.role, 'to reverse')),
    array['accountant', 'admin'])
) c (call, statement, roles);

select is(pg_temp.attempt(m.role, m.statement), m.expected,
  format('%s %s %s', m.role, case m.expected when 'done' then 'may' else 'may not' end, m.call))
from may m order by m.n;

-- Not past the functions
select is(pg_temp.attempt(role, 'select app_private.post_batch(1, null, null, ''atomic'')'), '42501',
  role || ' cannot call the engine itself')
from unnest(array['anonymous', 'customer', 'teller', 'accountant', 'auditor', 'admin']) role;
select is(pg_temp.attempt(role, 'insert into app_public.transactions (tenant_id) values (1)'), '42501',
  role || ' cannot write transactions')
from unnest(array['teller', 'accountant', 'admin']) role;
select is(pg_temp.attempt(role, 'insert into app_public.postings (tenant_id) values (1)'), '42501',
  role || ' cannot write postings')
from unnest(array['teller', 'accountant', 'admin']) role;
select is(pg_temp.attempt(role, 'update app_public.account_balances set version = 0'), '42501', role
  || ' cannot write balances')
from unnest(array['teller', 'accountant', 'admin']) role;

-- Who did it, and for whom
select is(
  (select array_agg(distinct t.created_by) from app_public.transactions t
    where t.tenant_id = tests.tenant('acme') and t.created_by <> tests.user_id('setup')),
  array[tests.user_id('zoe')], 'the transaction keeps who posted it');
create function pg_temp.without_tenant()
returns text
language plpgsql
as $$
begin
  perform tests.become('teller');
  perform app_public.post_transaction(null);
  return 'done';
exception when others then
  perform tests.become_superuser();
  return SQLSTATE;
end
$$;
select is(pg_temp.without_tenant(), 'LG401', 'a request without a tenant is refused');
select is(pg_temp.attempt('teller', 'select app_public.post_transaction(tests.item(postings => '
    || quote_literal(tests.lines('acme', 'bob', 'cash', 1000000)) || '))'), 'LG202',
  'a refusal of one transaction is an error with its code');

select * from finish();
rollback;
