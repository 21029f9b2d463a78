-- What has been over for long is removed, and nothing else.
begin;
select plan(9);

select tests.make_tenant('acme');
select tests.session_id('teller', tests.tenant('acme'), tests.user_id('ann'));

create function pg_temp.session(name text, kind text, ended_days_ago integer) returns void language sql as $$
  insert into app_private.sessions (id, tenant_id, user_id, role, kind, created_at, expires_at)
  values (
    tests.user_id(name), tests.tenant('acme'), tests.user_id('ann'),
    case kind when 'api_key' then 'partner' else 'teller' end::app_public.member_role, kind,
    now() - interval '1000 days', now() - make_interval(days => ended_days_ago));
  insert into app_private.refresh_tokens (token_hash, session_id, expires_at)
  values (sha256(name::bytea), tests.user_id(name), now())
$$;
select
  pg_temp.session('fresh', 'login', -1), pg_temp.session('ended', 'login', 29),
  pg_temp.session('old', 'login', 31), pg_temp.session('ancient', 'login', 401),
  pg_temp.session('ancient key', 'api_key', 401);
insert into app_private.password_resets (token_hash, user_id, expires_at) values
  (sha256('old'), tests.user_id('ann'), now() - interval '25 hours'),
  (sha256('new'), tests.user_id('ann'), now() - interval '23 hours');
insert into app_private.registrations (
  id, token_hash, email_ciphertext, email_index, name, password_hash, tenant_id, expires_at
)
select
  tests.user_id(n.name), sha256(n.name::bytea),
  '\x01016b'::bytea || sha256('') || sha256(''), sha256(n.name::bytea), n.name, 'x', tests.tenant('acme'),
  now() - make_interval(hours => n.hours)
from (values ('old', 25), ('new', 23)) as n (name, hours);
insert into app_private.authentication_attempts (kind, subject, failures, last_at, locked_until) values
  ('account', 'old', 3, now() - interval '3 days', null),
  ('account', 'new', 3, now() - interval '1 day', null),
  ('account', 'locked', 3, now() - interval '3 days', now() + interval '1 minute');

create temp table removed as select app_private.purge_sessions(1) as first;
select ok((select first between 4 and 5 from removed), 'a call removes no more of each kind than it is allowed to');
select is((select first + app_private.purge_sessions(100) from removed), 7, 'the next one the rest');
select is(app_private.purge_sessions(100), 0, 'until there is nothing left');
select bag_eq(
  'select u.name from app_private.refresh_tokens r join (values (''fresh''), (''ended''), (''old''), (''ancient''),
    (''ancient key'')) as u (name) on r.token_hash = sha256(u.name::bytea)',
  $$values ('fresh'), ('ended')$$,
  'refresh tokens go 30 days after their session');
select is(
  (select count(*) from app_private.sessions
   where id in (tests.user_id('fresh'), tests.user_id('ended'), tests.user_id('old'))),
  3::bigint, 'sessions are kept');
select is(
  (select array_agg(id) from app_private.sessions where expires_at < now() - interval '400 days'),
  array[tests.user_id('ancient key')], 'for 400 days, those of API keys for ever');
select is((select array_agg(token_hash) from app_private.password_resets), array[sha256('new')],
  'password resets go a day after they expire');
select is((select array_agg(name) from app_private.registrations), array['new'], 'so do registrations');
select bag_eq(
  $$select convert_from(subject, 'UTF8') from app_private.authentication_attempts$$, $$values ('new'), ('locked')$$,
  'attempts are forgotten after two days, unless a lock still holds');

select * from finish();
rollback;
