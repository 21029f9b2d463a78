-- Sessions: opening them, and what ends them.
begin;
select plan(22);

select tests.make_tenant('acme');
select tests.make_tenant('other');

insert into app_public.users (id, name) values (tests.user_id('ann'), 'Ann'), (tests.user_id('bob'), 'Bob');
insert into app_public.memberships (tenant_id, user_id, role)
select t.id, u.id, 'teller'
from app_public.tenants t, app_public.users u
where t.slug in ('acme', 'other') and u.name in ('Ann', 'Bob');

create function pg_temp.open(slug text, name text, kind text default 'login') returns uuid language sql as $$
  select app_private.open_session(
    tests.tenant(slug), tests.user_id(name),
    case kind when 'api_key' then 'partner' else 'teller' end::app_public.member_role, kind,
    now() + interval '1 hour')
$$;
create function pg_temp.live() returns text language sql as $$
  select string_agg(t.slug || ' ' || lower(u.name) || ' ' || s.kind, ', ' order by t.slug, u.name, s.kind)
  from app_private.sessions s
  join app_public.tenants t on t.id = s.tenant_id
  join app_public.users u on u.id = s.user_id
  where s.revoked_at is null
$$;
create function pg_temp.again() returns void language sql as $$
  update app_private.sessions set revoked_at = null, revoked_because = null
$$;

select isnt(pg_temp.open('acme', 'ann'), null, 'a session has an id');
select is(
  (select (scopes, revoked_at, second_factor_at)::text from app_private.sessions), '(,,)',
  'a session has all permissions of its role, and no second factor, unless told otherwise');
select throws_ok(
  $$select app_private.open_session(null, tests.user_id('ann'), 'teller', 'login', 'infinity')$$,
  '23514', null, 'who is no operator has a tenant');
select throws_ok(
  $$select app_private.open_session(tests.tenant('acme'), tests.user_id('ann'), 'operator', 'login', 'infinity')$$,
  '23514', null, 'an operator has none');
select throws_ok(
  $$select app_private.open_session(tests.tenant('acme'), tests.user_id('ann'), 'teller', 'guess', 'infinity')$$,
  '23514', null, 'the kinds of sessions are known');
select throws_ok(
  $$select app_private.open_session(tests.tenant('acme'), tests.user_id('ann'), 'teller', 'login', now())$$,
  '23514', null, 'a session does not end before it begins');

select pg_temp.open('acme', 'bob'), pg_temp.open('other', 'ann'), pg_temp.open('other', 'bob'),
  pg_temp.open('acme', 'ann', 'command'), pg_temp.open('acme', 'ann', 'api_key');
select is(app_private.revoke_sessions('test'), 0, 'nobody in particular is nobody at all');
select is(app_private.revoke_sessions('test', tests.tenant('acme'), tests.user_id('ann')), 3,
  'all sessions of a user in a tenant end');
select is(pg_temp.live(), 'acme bob login, other ann login, other bob login', 'and no others');
select is(app_private.revoke_sessions('test', tests.tenant('acme'), tests.user_id('ann')), 0, 'once');
select pg_temp.again();
select is(app_private.revoke_sessions('test', user_id => tests.user_id('ann')), 4, 'of a user, in all tenants');
select is(pg_temp.live(), 'acme bob login, other bob login', 'and of nobody else');
select pg_temp.again();
select is(app_private.revoke_sessions('test', tests.tenant('other')), 2, 'or of a tenant');

-- What a session stands on.
select pg_temp.again();
update app_public.memberships set role = 'accountant'
where tenant_id = tests.tenant('acme') and user_id = tests.user_id('ann');
select is(
  pg_temp.live(), 'acme bob login, other ann login, other bob login', 'a role that changes ends sessions there');
update app_public.memberships set role = 'accountant'
where tenant_id = tests.tenant('other') and user_id = tests.user_id('ann');
select pg_temp.again();
update app_public.memberships set role = 'accountant' where user_id = tests.user_id('ann');
select matches(pg_temp.live(), 'acme ann login', 'a change to the same role ends none');
update app_public.users set status = 'disabled', disabled_at = now() where id = tests.user_id('ann');
select is(pg_temp.live(), 'acme bob login, other bob login', 'a user who is disabled has no session anywhere');
select is(
  (select array_agg(distinct revoked_because) from app_private.sessions where user_id = tests.user_id('ann')),
  array['user disabled'], 'and it is kept why');

-- What people end themselves.
select pg_temp.again();
select is(
  app_private.revoke_user_sessions(tests.user_id('bob'), 'test', (
    select id from app_private.sessions where user_id = tests.user_id('bob') and tenant_id = tests.tenant('acme'))),
  1, 'all sessions of a person but one end');
select matches(pg_temp.live(), 'acme bob login', 'the one is kept');
select is(app_private.revoke_user_sessions(tests.user_id('ann'), 'test'), 3, 'or all of them');
select matches(pg_temp.live(), 'acme ann api_key', 'but API keys, which are no logins');
select is(app_private.revoke_user_sessions(tests.user_id('ann'), 'test'), 0, 'once');

select * from finish();
rollback;
