-- Admins decide who is what to the tenant. Nobody changes themselves, and an admin is left.
begin;
select plan(48);

select tests.make_books('acme');
select tests.make_books('other');
-- "setup" is an admin of both, as the one who made the books: out of the way of what is tested here.
set local session_replication_role = replica;
update app_public.users set kind = 'service' where id = tests.user_id('setup');
set local session_replication_role = origin;

create function pg_temp.member(tenant text, name text) returns text language sql as $$
  select m.role || ' ' || m.status from app_public.memberships m
  where m.tenant_id = tests.tenant(tenant) and m.user_id = tests.user_id(name)
$$;
-- How many sessions of somebody are open in a tenant.
create function pg_temp.sessions(tenant text, name text) returns integer
language sql security definer set search_path = pg_catalog, pg_temp as $$
  select count(*)::integer from app_private.sessions s
  where s.tenant_id = tests.tenant(tenant) and s.user_id = tests.user_id(name) and s.revoked_at is null
$$;
select tests.session_id('teller', tests.tenant('acme'), tests.user_id('tess'));
select tests.session_id('customer', tests.tenant('other'), tests.user_id('tess'));
select tests.session_id('auditor', tests.tenant('other'), tests.user_id('oona'));
select tests.session_id('partner', tests.tenant('acme'), tests.user_id('shop'));

select tests.become('admin', tests.tenant('acme'), tests.user_id('ada'));
select results_eq(
  $$select m.role, m.status from app_public.change_member_role(tests.user_id('tess'), 'accountant') m$$,
  $$values ('accountant'::app_public.member_role, 'active'::app_public.user_status)$$,
  'an admin changes the role of a member');
select is(pg_temp.sessions('acme', 'tess'), 0, 'whose sessions end at once');
select is(pg_temp.sessions('other', 'tess'), 1, 'in these books alone');
select lives_ok(
  $$select app_public.change_member_role(tests.user_id('tess'), 'teller')$$, 'and back');
select tests.become_superuser();
update app_private.sessions set revoked_at = null, revoked_because = null
where user_id = tests.user_id('tess');
select tests.become('admin', tests.tenant('acme'), tests.user_id('ada'));
select lives_ok(
  $$select app_public.change_member_role(tests.user_id('tess'), 'teller')$$,
  'the role that a member has already');
select is(pg_temp.sessions('acme', 'tess'), 1, 'ends no session');

select throws_ok(
  $$select app_public.change_member_role(tests.user_id('ada'), 'teller')$$, 'LG412', null,
  'nobody changes their own role');
select throws_ok(
  $$select app_public.disable_member(tests.user_id('ada'))$$, 'LG412', null, 'or disables themselves');
select throws_ok(
  $$select app_public.change_member_role(tests.user_id('tess'), 'operator')$$, 'LG413', null,
  'nobody is made an operator');
select throws_ok(
  $$select app_public.change_member_role(tests.user_id('tess'), 'partner')$$, 'LG413', null,
  'or a person a partner');
select throws_ok(
  $$select app_public.change_member_role(tests.user_id('shop'), 'admin')$$, 'LG413', null,
  'or a partner an admin');
select throws_ok(
  $$select app_public.change_member_role(tests.user_id('oona'), 'teller')$$, 'LG375', null,
  'a member of another tenant is not found');
select throws_ok(
  $$select app_public.change_member_role(tests.user_id('nobody'), 'teller')$$, 'LG375', null,
  'just as one who is nowhere');
select throws_ok(
  $$select app_public.disable_member(tests.user_id('oona'))$$, 'LG375', null, 'nor to be disabled');
select throws_ok(
  $$select app_public.enable_member(tests.user_id('oona'))$$, 'LG375', null, 'or enabled');

select results_eq(
  $$select m.role, m.status from app_public.disable_member(tests.user_id('tess')) m$$,
  $$values ('teller'::app_public.member_role, 'disabled'::app_public.user_status)$$,
  'an admin disables a member');
select is(pg_temp.sessions('acme', 'tess'), 0, 'whose sessions end at once');
select lives_ok(
  $$select app_public.disable_member(tests.user_id('tess'))$$, 'disabling them again changes nothing');
select lives_ok(
  $$select app_public.disable_member(tests.user_id('shop'))$$, 'a partner is disabled as well');
select is(pg_temp.sessions('acme', 'shop'), 0, 'with its keys');
select results_eq(
  $$select m.role, m.status from app_public.enable_member(tests.user_id('tess')) m$$,
  $$values ('teller'::app_public.member_role, 'active'::app_public.user_status)$$,
  'an admin enables them again');
select is(pg_temp.sessions('acme', 'tess'), 0, 'and the sessions of before stay ended');

select tests.become('teller', tests.tenant('acme'), tests.user_id('tess'));
select throws_ok(
  $$select app_public.change_member_role(tests.user_id('tess'), 'admin')$$, '42501', null,
  'a teller makes nobody anything');
select tests.become('auditor', tests.tenant('acme'), tests.user_id('olga'));
select throws_ok(
  $$select app_public.disable_member(tests.user_id('tess'))$$, '42501', null, 'nor does an auditor');

-- An admin is left.
select tests.become('admin', tests.tenant('acme'), tests.user_id('ben'));
select lives_ok(
  $$select app_public.change_member_role(tests.user_id('ada'), 'auditor')$$,
  'one of two admins is demoted');
select is(pg_temp.member('acme', 'ada'), 'auditor active', 'and is an admin no longer');
select tests.become('admin', tests.tenant('acme'), tests.user_id('setup'));
select throws_ok(
  $$select app_public.change_member_role(tests.user_id('ben'), 'teller')$$, 'LG377', null,
  'the last admin is not demoted');
select throws_ok(
  $$select app_public.disable_member(tests.user_id('ben'))$$, 'LG377', null,
  'or disabled: a service does not count as an admin');
select is(pg_temp.member('acme', 'ben'), 'admin active', 'and stays what they are');
select lives_ok(
  $$select app_public.change_member_role(tests.user_id('ada'), 'admin')$$, 'once another admin is there');
select lives_ok(
  $$select app_public.disable_member(tests.user_id('ben'))$$, 'the first is disabled');
select throws_ok(
  $$select app_public.disable_member(tests.user_id('ada'))$$, 'LG377', null, 'a disabled admin does not count');

select tests.become_superuser();
select set_config('role', 'tallystick_owner', true);
select throws_ok(
  $$update app_public.memberships set role = 'teller' where user_id = tests.user_id('ada')$$, 'LG377', null,
  'not even the owner demotes the last one');
select throws_ok(
  $$delete from app_public.memberships where user_id = tests.user_id('ada')$$, 'LG377', null, 'or removes them');
select throws_ok(
  $$update app_public.users set status = 'disabled', disabled_at = now() where id = tests.user_id('ada')$$,
  'LG377', null, 'or disables the user');
select throws_ok(
  $$update app_public.users set kind = 'service' where id = tests.user_id('ada')$$,
  'LG377', null, 'or makes a program of the person');

-- Users are disabled by operators, in every tenant at once.
select tests.become_superuser();
select tests.session_id('teller', tests.tenant('acme'), tests.user_id('ty'));
select tests.session_id('customer', tests.tenant('other'), tests.user_id('ty'));
select tests.become('operator', null, tests.user_id('opal'));
select throws_ok(
  $$select app_public.disable_user(tests.user_id('ada'))$$, 'LG377', null,
  'the last admin of an active tenant is not disabled');
select results_eq(
  $$select (app_public.disable_user(tests.user_id('ty'))).status$$,
  array['disabled'::app_public.user_status], 'an operator disables a user');
select is(pg_temp.sessions('acme', 'ty') + pg_temp.sessions('other', 'ty'), 0, 'and all sessions end at once');
select results_eq(
  $$select (app_public.enable_user(tests.user_id('ty'))).disabled_at$$,
  array[null::timestamptz], 'and enables them again');
select throws_ok(
  $$select app_public.disable_user(tests.user_id('nobody'))$$, 'LG378', null, 'a user has to be there');
select throws_ok(
  $$select app_public.disable_user(tests.user_id('opal'))$$, 'LG412', null, 'nobody disables themselves');
select lives_ok(
  $$select app_public.suspend_tenant('acme'), app_public.disable_user(tests.user_id('ada'))$$,
  'where a tenant is suspended its last admin can be stopped');
select tests.become('admin', tests.tenant('other'), tests.user_id('oz'));
select throws_ok(
  $$select app_public.disable_user(tests.user_id('tess'))$$, '42501', null, 'an admin disables no user');

select tests.become_superuser();
update app_public.grantable_permissions set by_default = false where permission = 'users.disable';
select tests.become('operator', null, tests.user_id('opal'));
select throws_ok(
  $$select app_public.disable_user(tests.user_id('ty'))$$, 'LG402', null,
  'an operator without the permission disables nobody');
select throws_ok(
  $$select app_public.enable_user(tests.user_id('ada'))$$, 'LG402', null, 'and enables nobody');
select tests.become('admin', tests.tenant('other'), tests.user_id('oz'));
select throws_ok(
  $$select app_public.enable_user(tests.user_id('ada'))$$, '42501', null, 'nor does an admin');
select tests.become_superuser();
select results_eq(
  $$select kind, count(*)::integer from app_private.security_events
    where kind ~ 'member|user' group by 1 order by 1$$,
  $$values ('membership_changed', 8), ('user_disabled', 2), ('user_enabled', 1)$$,
  'each change is recorded, and nothing else');
select * from finish();
rollback;
