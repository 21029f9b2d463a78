-- What a tenant may keep from a role that its database role could read.
begin;
select plan(13);

select tests.make_books('acme');
select tests.make_books('other');
-- Sessions, and so members, of both tenants.
select tests.session_id(m.role, tests.tenant(m.slug), tests.user_id(m.name))
from (values
  ('teller', 'acme', 'tina'), ('auditor', 'acme', 'otto'), ('teller', 'other', 'oscar')
) as m (role, slug, name);

-- The answer to somebody, or the code of the refusal.
create function pg_temp.answer(role text, name text, statement text)
returns text
language plpgsql
as $$
declare
  v_answer text;
begin
  perform tests.become(role, tests.tenant('acme'), tests.user_id(name));
  execute statement into v_answer;
  perform tests.become_superuser();
  return v_answer;
exception when others then
  perform tests.become_superuser();
  return SQLSTATE;
end
$$;

create temp table reading (permission text, statement text) on commit drop;
insert into reading values
  ('reports.read', 'select ''read'' from app_public.trial_balance() limit 1'),
  ('reports.read', 'select ''read'' from app_public.balance_sheet() limit 1'),
  ('reports.read', 'select ''read'' from app_public.income_statement() limit 1'),
  ('ledger.verify', 'select ''read'' from app_public.verify_ledger() limit 1');

select is(pg_temp.answer('auditor', 'otto', r.statement), 'read', 'an auditor may: ' || r.statement) from reading r;
select is(
  pg_temp.answer('teller', 'tina',
    'select count(*) from app_public.memberships m join app_public.users u on u.id = m.user_id'),
  '3', 'a teller sees the members of the tenant and nobody else');

delete from app_public.role_permissions
where tenant_id = tests.tenant('acme') and permission in ('reports.read', 'ledger.verify', 'members.read');
select is(pg_temp.answer('auditor', 'otto', r.statement), 'LG402', 'without the permission not: ' || r.statement)
from reading r;
select is(pg_temp.answer('teller', 'tina', 'select string_agg(m.user_id::text, '' '') from app_public.memberships m'),
  tests.user_id('tina')::text, 'without members.read they see themselves');
select is(pg_temp.answer('teller', 'tina', 'select string_agg(u.id::text, '' '') from app_public.users u'),
  tests.user_id('tina')::text, 'and no other user');

update app_private.sessions set revoked_at = now(), revoked_because = 'test'
where user_id = tests.user_id('otto');
select is(pg_temp.answer('auditor', 'otto', r.statement), 'LG401', 'nor in a session that has ended')
from reading r limit 1;
update app_public.tenants set second_factor_roles = '{teller}' where id = tests.tenant('acme');
insert into app_public.role_permissions values (tests.tenant('acme'), 'teller', 'reports.read');
select is(pg_temp.answer('teller', 'tina', r.statement), 'LG404', 'nor before a second factor that the role needs')
from reading r limit 1;

select tests.become_superuser();
select * from finish();
rollback;
