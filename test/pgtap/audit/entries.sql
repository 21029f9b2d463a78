/*
 * What an entry of the audit trail holds: who, from where, what before and what after.
 */
begin;
select plan(22);

select tests.make_books('acme');

create function pg_temp.entries(of_table text, of_operation text default null)
returns setof app_private.audit_entries
language sql
stable
security definer
as $$
  select e.* from app_private.audit_entries e
  where e.table_name = of_table and (of_operation is null or e.operation::text = of_operation)
    and e.tenant_id in (0, tests.tenant('acme'))
  order by e.id desc
$$;

--------------------------------------------------------------------------------------------------
-- By a request

select tests.become('admin', tests.tenant('acme'), tests.user_id('adele'));
select set_config('tallystick.request_id', 'request-1', true), set_config('tallystick.address', '203.0.113.7', true);
select app_public.set_account_limits(tests.account('acme', 'ann'), minimum_balance => -50, maximum_balance => 1e37);
select tests.become_superuser();

prepare last as select e.* from pg_temp.entries('accounts', 'update') e limit 1;
create temp table changed as execute last;
select is((select row_key from changed), tests.account('acme', 'ann')::text, 'the row is named by its key');
select is((select before - 'updated_at' from changed), '{"minimum_balance": "0", "maximum_balance": null}',
  'what was there before, of the columns that changed');
select is((select after - 'updated_at' from changed),
  format('{"minimum_balance": "-50", "maximum_balance": "1%s"}', repeat('0', 37))::jsonb,
  'what is there after, numbers in all their digits');
select is((select user_id from changed), tests.user_id('adele'), 'who did it');
select is((select session_id from changed),
  tests.session_id('admin', tests.tenant('acme'), tests.user_id('adele')), 'in which session');
select is((select request_role from changed), 'tallystick_admin', 'by which role');
select is((select host(address) || ' ' || request_id from changed), '203.0.113.7 request-1',
  'from where, in which request');
select is((select tenant_id from changed), tests.tenant('acme'), 'in whose books');
select is((select xact_id from changed), pg_current_xact_id(), 'in which database transaction');
select cmp_ok((select at from changed), '>', now(), 'when, by the clock');

select ok(
  (select (e.after ->> 'code') = 'bob' and e.before is null from pg_temp.entries('accounts', 'insert') e limit 1),
  'a new row is there in full');
select ok((select not e.after ? 'tenant_id' from pg_temp.entries('accounts', 'insert') e limit 1),
  'without the tenant, which the entry has');

--------------------------------------------------------------------------------------------------
-- At the database itself

set local role tallystick_owner;
set local application_name = 'psql of a DBA';
update app_public.accounts set name = 'Something else' where tenant_id = tests.tenant('acme') and code = 'cash';
reset role;
create temp table by_hand as select e.* from pg_temp.entries('accounts', 'update') e limit 2;
select is((select count(*) from by_hand), 2::bigint, 'one statement, an entry for each row');
select ok((select bool_and(user_id is null and request_role = 'tallystick_owner' and database_user = session_user
    and application_name = 'psql of a DBA') from by_hand),
  'somebody at the database is seen without being signed in');
select tests.become('admin', tests.tenant('acme'), tests.user_id('adele'));
set local role tallystick_owner;
update app_public.accounts set name = 'Mine' where tenant_id = tests.tenant('acme') and code = 'rent';
select tests.become_superuser();
select is((select database_user from pg_temp.entries('accounts', 'update') limit 1), session_user::text,
  'who claims to be somebody is still seen as the login that they are');

select results_eq(
  'select count(*) from pg_temp.entries(''accounts'', ''update'')', 'values (4::bigint)', 'so far there are four');
update app_public.accounts set name = name where tenant_id = tests.tenant('acme');
select results_eq(
  'select count(*) from pg_temp.entries(''accounts'', ''update'')', 'values (4::bigint)',
  'an update that changes nothing leaves none');
update app_public.tenants set name = 'Acme Ltd' where id = tests.tenant('acme');
select is((select tenant_id from pg_temp.entries('tenants', 'update')), tests.tenant('acme'),
  'a tenant is of its own books');
update app_public.users set name = 'Adele' where id = tests.user_id('adele');
select is((select tenant_id from pg_temp.entries('users', 'update')), 0, 'a user is of no books');

insert into app_public.role_permissions (tenant_id, role, permission)
values (tests.tenant('acme'), 'partner', 'accounts.open');
update app_public.role_permissions set permission = 'transactions.convert'
where tenant_id = tests.tenant('acme') and permission = 'accounts.open' and role = 'partner';
select set_eq(
  $$select row_key, before is null as b, after is null as a from pg_temp.entries('role_permissions', 'update')$$,
  $$values ('partner/accounts.open', false, true), ('partner/transactions.convert', true, false)$$,
  'a row whose key changes is told in both of its versions');

--------------------------------------------------------------------------------------------------
-- Readings that other functions record

select tests.become('admin', tests.tenant('acme'), tests.user_id('adele'));
set local role tallystick_owner;
select app_private.record_read('user_contacts', array['a', 'b'], 'call back');
select tests.become_superuser();
select set_eq(
  $$select row_key, action, user_id from pg_temp.entries('user_contacts', 'read')$$,
  $$values ('a', 'call back', tests.user_id('adele')), ('b', 'call back', tests.user_id('adele'))$$,
  'what was read is told row by row');
select is_empty(
  $$select e.id from app_private.audit_entries e
    where e.table_name in ('transactions', 'postings', 'account_balances', 'open_reservations')$$,
  'posting leaves no entry: its history is the ledger');

select * from finish();
rollback;
