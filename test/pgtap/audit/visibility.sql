/*
 * Who reads the trail and the events: role by role, tenant by tenant. And that nobody does unrecorded.
 */
begin;
select plan(31);

select tests.make_books('acme');
select tests.make_books('other');
select app_private.record_security_event('permission_denied', 'warning', '{}', tests.tenant('acme'));
select app_private.record_security_event('other_tenant_probe', 'warning', '{}', tests.tenant('acme'));
select app_private.record_security_event('invalid_token', 'warning', '{}', null);

-- How many rows a role sees, or the code of its refusal.
create function pg_temp.sees(role text, of_table text, slug text default 'acme', condition text default 'true')
returns text language plpgsql as $$
declare
  v_rows bigint;
begin
  perform tests.become(role, tests.tenant(slug), tests.user_id(role));
  execute format('select count(*) from %s where %s', of_table, condition) into v_rows;
  perform tests.become_superuser();
  return v_rows;
exception when others then
  return sqlstate;
end
$$;

create function pg_temp.readings(role text) returns bigint language sql as $$
  select count(*) from app_private.audit_entries e
  where e.operation = 'read' and e.user_id = tests.user_id(role) and e.action = 'audit'
$$;

select is(pg_temp.sees(r.role, t.name), '42501', format('%s does not read %s', r.role, t.name))
from unnest('{anonymous,customer,teller,accountant,partner,worker}'::text[]) as r (role)
cross join unnest('{app_public.audit_entries,app_public.security_events}'::text[]) as t (name);

select cmp_ok(pg_temp.sees(r.role, 'app_public.audit_entries')::integer, '>', 10,
  r.role || ' reads the trail of the tenant')
from unnest('{auditor,admin}'::text[]) as r (role);
select is(
  pg_temp.sees('auditor', 'app_public.audit_entries', 'acme', format('tenant_id <> %s', tests.tenant('acme'))), '0',
  'and no entry of another tenant, or of none');
select is(
  pg_temp.sees('auditor', 'app_public.audit_entries', 'other',
    format('row_key = %L', tests.account('acme', 'cash'))), '0',
  'an auditor of another tenant does not find an account by its key');
select is(pg_temp.sees('operator', 'app_public.audit_entries', null, 'tenant_id <> 0'), '0',
  'an operator sees nothing of any tenant in the trail');
select cmp_ok(
  pg_temp.sees('operator', 'app_public.audit_entries', null, 'table_name = ''users''')::integer, '>', 0,
  'but what is of no tenant');

select is(pg_temp.sees(r.role, 'app_public.security_events'), '1',
  r.role || ' sees the events of the tenant, but not what would tell of other books')
from unnest('{auditor,admin}'::text[]) as r (role);
select is(pg_temp.sees('auditor', 'app_public.security_events', 'other'), '0', 'and none of another');
select is(pg_temp.sees('operator', 'app_public.security_events', null), '3', 'an operator sees all events');
select is(
  pg_temp.sees('operator', 'app_public.security_events', null, 'books = ''acme'''), '2', 'and whose they are');

--------------------------------------------------------------------------------------------------
-- Readings are recorded

create temp table before_reading as select pg_temp.readings('auditor') as n;
select pg_temp.sees('auditor', 'app_public.audit_entries', 'acme', 'false and row_key = ''x''');
select is(pg_temp.readings('auditor') - (select n from before_reading), 0::bigint,
  'what cannot read a row is no reading');
select pg_temp.sees('auditor', 'app_public.audit_entries', 'acme', 'row_key = ''nothing has this key''');
select is(pg_temp.readings('auditor') - (select n from before_reading), 1::bigint,
  'a query that finds nothing is recorded all the same');
select is(pg_temp.sees('auditor', 'app_private.audit_entries'), '42501', 'the table itself is out of reach');
select pg_temp.sees('auditor', 'app_public.audit_entries a join app_public.audit_entries b using (id)');
select cmp_ok(pg_temp.readings('auditor') - (select n from before_reading), '>=', 2::bigint,
  'so is one that reads it twice');
select is(
  (select e.table_name || ' ' || e.request_role || ' ' || (e.session_id is not null)
    from app_private.audit_entries e
    where e.operation = 'read' and e.user_id = tests.user_id('auditor') order by e.id desc limit 1),
  'audit_entries tallystick_auditor true', 'who read what, in which session');

delete from app_public.role_permissions
where permission = 'audit.read' and tenant_id = tests.tenant('acme') and role = 'auditor';
select is(pg_temp.sees('auditor', 'app_public.audit_entries'), 'LG402', 'without the permission nothing is read');
update app_private.sessions set revoked_at = now(), revoked_because = 'test' where user_id = tests.user_id('admin');
select is(pg_temp.sees('admin', 'app_public.security_events'), 'LG401', 'nor in a session that has ended');
set local transaction read only;
select is(pg_temp.sees('auditor', 'app_public.audit_entries', 'other'), '25006', 'nor where it could not be recorded');

select * from finish();
rollback;
