/*
 * What somebody can do with psql and the rights of a request role, whatever they set: they see what their
 * settings say, because a login that may set them is trusted to tell the truth about who asks, and they write
 * nothing without a session of theirs. See docs/architecture.md, "What a login means".
 */
begin;
select plan(47);

select tests.make_books('acme');
select tests.make_books('other');
select tests.session_id('admin', tests.tenant('other'), tests.user_id('olaf'));

create temp table probed (role text) on commit drop;
insert into probed values ('anonymous'), ('customer'), ('teller'), ('accountant'), ('auditor'), ('admin'),
  ('partner'), ('operator');

-- The code of the refusal of a statement, or "done".
create function pg_temp.attempt(role text, statement text) returns text
language plpgsql as $$
begin
  perform tests.become(role, case when role <> 'operator' then tests.tenant('acme') end, tests.user_id('eve'));
  execute statement;
  perform tests.become_superuser();
  return 'done';
exception when others then
  perform tests.become_superuser();
  return sqlstate;
end
$$;

--------------------------------------------------------------------------------------------------
-- Out of the role, out of the database, into files: refused by PostgreSQL itself

select is(
  (select string_agg(distinct pg_temp.attempt(p.role, a.statement), ' ') from probed p), a.code,
  'no request role may: ' || a.statement)
from (values
  ('select pg_read_file(''PG_VERSION'')', '42501'),
  ('select pg_ls_dir(''.'')', '42501'),
  ('copy app_public.refusals to program ''true''', '42501'),
  ('copy (select 1) to ''/tmp/x''', '42501'),
  ('select lo_import(''/etc/passwd'')', '42501'),
  ('select rolpassword from pg_authid', '42501'),
  ('select current_setting(''data_directory'')', '42501'),
  ('set session_replication_role = replica', '42501'),
  ('alter table app_public.accounts disable row level security', '42501'),
  ('alter table app_public.postings disable trigger all', '42501'),
  ('create table app_public.mine (a integer)', '42501'),
  ('create function app_public.mine() returns integer language sql as ''select 1''', '42501'),
  ('create schema mine', '42501'),
  ('create extension if not exists file_fdw', '42501'),
  ('create table public.mine (a integer)', '42501'),
  ('select * from graphile_worker._private_jobs', '42501'),
  ('select * from graphile_migrate.migrations', '42501'),
  ('select app_private.system_actor(1)', '42501'),
  ('select app_private.authorize(''x'')', '42501'),
  ('select * from app_private.sessions', '42501')
) as a (statement, code);

--------------------------------------------------------------------------------------------------
-- What PostgreSQL tells everybody about itself says nothing about rows

select is(
  pg_temp.attempt(p.role, $q$do $do$ begin
    if exists (select from pg_stats where schemaname ~ '^app_') then raise sqlstate 'ZZ001'; end if; end $do$ $q$),
  'done', 'a ' || p.role || ' reads no statistics of columns')
from probed p;
select is(
  pg_temp.attempt(p.role, $q$do $do$ begin
    if exists (select from pg_stat_activity where query <> '<insufficient privilege>'
      and usename is distinct from current_user)
    then raise sqlstate 'ZZ001'; end if; end $do$ $q$),
  'done', 'nor the queries of others')
from probed p;

--------------------------------------------------------------------------------------------------
-- Settings are not enough to write: a session must agree with them, and its id is a secret

create function pg_temp.spoofed(role text, tenant_id integer, user_id uuid, session_id uuid) returns text
language plpgsql as $$
begin
  perform set_config('role', 'tallystick_' || role, true), set_config('tallystick.tenant_id', tenant_id::text, true),
    set_config('tallystick.user_id', user_id::text, true),
    set_config('tallystick.session_id', coalesce(session_id::text, ''), true);
  perform app_public.create_account_set('mine', 'x');
  perform tests.become_superuser();
  return 'done';
exception when others then
  perform tests.become_superuser();
  return sqlstate;
end
$$;
select is(
  pg_temp.spoofed('admin', tests.tenant('other'), tests.user_id('olaf'), s.session_id), 'LG401',
  'an admin of other books is not whoever says so, ' || s.told)
from (values
  (null, 'without a session'),
  (tests.session_id('admin', tests.tenant('acme'), tests.user_id('eve')), 'with a session of their own'),
  (gen_random_uuid(), 'with a guessed one')
) as s (session_id, told);
select is(
  pg_temp.spoofed('admin', tests.tenant('other'), tests.user_id('eve'),
    tests.session_id('admin', tests.tenant('acme'), tests.user_id('eve'))),
  'LG401', 'a session is of one tenant');
select is(
  pg_temp.spoofed('admin', tests.tenant('acme'), tests.user_id('olaf'),
    tests.session_id('admin', tests.tenant('acme'), tests.user_id('eve'))),
  'LG401', 'and of one user');
select is(
  pg_temp.spoofed('admin', tests.tenant('acme'), tests.user_id('eve'),
    tests.session_id('teller', tests.tenant('acme'), tests.user_id('eve'))),
  'LG402', 'and has the permissions of its own role, whatever the role of the database');

--------------------------------------------------------------------------------------------------
-- Rows that are hidden are hidden before anything of the caller runs on them

create function tests.tell(value numeric) returns boolean language plpgsql cost 0.0000001 as $$
begin
  perform set_config('tests.told', current_setting('tests.told', true) || ' ' || value, false);
  return true;
end
$$;
grant execute on function tests.tell(numeric) to public;
create function pg_temp.told_to(role text, name text, relation text) returns bigint
language plpgsql as $$
begin
  perform set_config('tests.told', '', false);
  perform tests.become(role, tests.tenant('acme'), tests.user_id(name));
  execute relation;
  perform tests.become_superuser();
  return cardinality(string_to_array(btrim(current_setting('tests.told')), ' '));
end
$$;
select is(
  pg_temp.told_to('customer', 'ann', 'select count(*) from app_public.postings where tests.tell(posted_amount)'),
  (select count(*) from app_public.postings where account_id = tests.account('acme', 'ann')),
  'a function of the caller is run on the postings of a customer alone');
select is(
  pg_temp.told_to('customer', 'ann', 'select count(*) from app_public.transactions
    where tests.tell(extract(epoch from created_at))'),
  (select count(distinct transaction_id) from app_public.postings where account_id = tests.account('acme', 'ann')),
  'and on their transactions alone');
select is(
  pg_temp.told_to('auditor', 'otto', 'select count(*) from app_public.postings where tests.tell(posted_amount)'),
  (select count(*) from app_public.postings where tenant_id = tests.tenant('acme')),
  'of an auditor on those of the tenant alone');
select is(
  pg_temp.attempt('customer', 'select count(*) from app_public.postings where 1 / (posted_amount - 100000) = 0'),
  'done', 'no error tells of an amount that is hidden');
select is(
  (select count(*) from pg_proc p where p.proleakproof and p.pronamespace::regnamespace::text ~ '^(app_|checks)'),
  0::bigint, 'none of our functions claims to be leak-proof');

select * from finish();
rollback;
