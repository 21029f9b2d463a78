/*
 * Nobody changes or removes what the trail and the events hold, its owner included, whichever table of it
 * they name: the trail, a month of it, or the default partition.
 */
begin;
select plan(47);

select tests.make_books('acme');
insert into app_private.audit_entries (tenant_id, operation, table_name, at)
values (tests.tenant('acme'), 'read', 'accounts', '2001-01-01Z');
select app_private.record_security_event('permission_denied', 'info', '{}', tests.tenant('acme'));
insert into app_private.audit_retirements (tenant_id, starts_at, ends_at, entries, retained_months)
values (tests.tenant('acme'), '2001-01-01Z', '2001-02-01Z', 1, 12);

create temp table kept (name text);
insert into kept values
  ('app_private.audit_entries'), ('app_private.audit_entries_default'), ('app_private.audit_retirements'),
  ('app_private.security_events'), ('app_private.audit_entries_' || to_char(now() at time zone 'UTC', 'YYYY_MM'));
grant select on kept to public;
create temp table statements (statement text);
insert into statements
select s.statement
from kept k
cross join lateral (values
  (format('update %s set tenant_id = 1', k.name)), (format('delete from %s', k.name)), (format('truncate %s', k.name))
) as s (statement);

select throws_ok(statement, 'LG319', null, 'a superuser: ' || statement) from statements;
set local role tallystick_owner;
select throws_ok(s.statement, 'LG319', null, 'the owner: ' || s.statement)
from (
  select format(s.form, k.name) as statement
  from kept k cross join (values ('update %s set tenant_id = 1'), ('delete from %s'), ('truncate %s')) as s (form)
) s;

create function pg_temp.is_refused(role text, statement text) returns text language plpgsql as $$
begin
  perform set_config('role', 'tallystick_' || role, true);
  execute statement;
  return 'done';
exception when insufficient_privilege then
  return 'refused';
end
$$;
reset role;
select is(
  (select string_agg(distinct pg_temp.is_refused(r.role, s.statement), ' ') from statements s),
  'refused', r.role || ' changes and removes nothing')
from unnest('{anonymous,customer,teller,accountant,auditor,admin,partner,operator,worker}'::text[]) as r (role);
select is(
  (select string_agg(distinct pg_temp.is_refused(r.role, s.statement), ' ')
    from (values
      ('insert into app_private.audit_entries (tenant_id, operation, table_name) values (1, ''read'', ''x'')'),
      ('insert into app_private.audit_entries_default (tenant_id, operation, table_name) values (1, ''read'', ''x'')'),
      ('insert into app_private.security_events (kind, severity) values (''permission_denied'', ''info'')')
    ) as s (statement)),
  'refused', r.role || ' forges nothing')
from unnest('{customer,auditor,admin,operator,worker,anonymous}'::text[]) as r (role);

reset role;
select throws_ok(
  $$insert into app_private.audit_entries (tenant_id, operation) values (1, 'update')$$,
  '23514', null, 'a change names its table');
select throws_ok(
  $$select app_private.record_security_event('unheard_of', 'info')$$,
  '23503', null, 'a security event is of a known kind');

select * from finish();
rollback;
