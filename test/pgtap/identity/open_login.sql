-- Opening a session: nothing may have changed since the password was verified.
begin;
select plan(25);

select tests.make_tenant('acme');
select tests.make_tenant('other');
insert into app_public.users (id, name) values (tests.user_id('ann'), 'Ann');
insert into app_private.user_contacts (user_id, email_ciphertext, email_index)
values (tests.user_id('ann'), '\x01016b'::bytea || sha256('') || sha256(''), sha256('ann'));

create function pg_temp.hash(salt text) returns text language sql as $$
  select '$argon2id$v=19$m=64,t=1,p=1$' || rpad(salt, 22, 'A') || '$' || rpad('', 43, 'A')
$$;
insert into app_private.credentials (user_id, password_hash) values (tests.user_id('ann'), pg_temp.hash('one'));

create sequence pg_temp.tokens;
create function pg_temp.login(
  tenant text default null, hash text default 'one', step bigint default null, recovery text default null,
  new_hash text default null
)
returns setof record language sql as $$
  select l.outcome, l.slug, l.role::text, l.choices
  from app_hidden.open_login(
    sha256('ann'), tests.user_id('ann'), pg_temp.hash(login.hash), login.tenant, login.step, sha256(recovery::bytea),
    sha256(nextval('pg_temp.tokens')::text::bytea), interval '1 hour', 'pgTAP', pg_temp.hash(login.new_hash)) l
$$;
create function pg_temp.outcome(
  tenant text default null, hash text default 'one', step bigint default null, recovery text default null,
  new_hash text default null
)
returns text language sql as $$
  select concat_ws(' ', l.outcome, l.slug, l.role, l.choices -> 0 ->> 'tenant', l.choices -> 1 ->> 'tenant')
  from pg_temp.login(tenant, hash, step, recovery, new_hash)
    as l (outcome text, slug text, role text, choices jsonb)
$$;

select is(pg_temp.outcome(), 'no_membership', 'who belongs nowhere does not sign in');
insert into app_public.memberships (tenant_id, user_id, role)
values (tests.tenant('acme'), tests.user_id('ann'), 'teller');
select is(pg_temp.outcome(), 'opened acme teller', 'who belongs to one tenant need not name it');
select is(pg_temp.outcome('acme'), 'opened acme teller', 'and may');
select is(pg_temp.outcome('other'), 'no_membership', 'but names no other');
select is(pg_temp.outcome('nowhere'), 'no_membership', 'as if it were not there');
select is(pg_temp.outcome(hash => 'two'), 'stale', 'a password that was changed meanwhile opens nothing');
update app_public.users set status = 'disabled', disabled_at = now() where id = tests.user_id('ann');
select is(pg_temp.outcome(), 'stale', 'nor does one of somebody who was disabled meanwhile');
update app_public.users set status = 'active', disabled_at = null where id = tests.user_id('ann');
update app_public.memberships set status = 'disabled';
select is(pg_temp.outcome(), 'no_membership', 'a membership that is disabled counts for nothing');
update app_public.memberships set status = 'active', role = 'partner';
select is(pg_temp.outcome(), 'no_membership', 'nor does that of a program');
update app_public.memberships set role = 'teller';
insert into app_public.memberships (tenant_id, user_id, role)
values (tests.tenant('other'), tests.user_id('ann'), 'auditor');
select is(pg_temp.outcome(), 'choose_tenant acme other', 'who belongs to several chooses');
select is(pg_temp.outcome('other'), 'opened other auditor', 'and is what they are there');

-- What is kept.
select is(
  (select array_agg(distinct s.user_agent) from app_private.sessions s where s.kind = 'login'), array['pgTAP'],
  'a session knows with what it was opened');
select is(
  (select count(*) from app_private.sessions s join app_private.refresh_tokens r on r.session_id = s.id
   where r.expires_at = s.expires_at and r.used_at is null),
  3::bigint, 'and begins with one refresh token, which ends with it');
update app_public.tenants set session_lifetime_seconds = 300 where slug = 'other';
select pg_temp.outcome('other');
select is(
  (select max(s.expires_at - s.created_at) < interval '6 minutes' from app_private.sessions s
   where s.created_at = now() and s.tenant_id = tests.tenant('other') and s.expires_at < now() + interval '30 minutes'),
  true, 'no session lasts longer than its tenant allows');
select is(pg_temp.outcome('acme', new_hash => 'two'), 'opened acme teller', 'a hash may be renewed');
select is(pg_temp.outcome('acme', hash => 'one'), 'stale', 'and then the old one is good no more');
select is(pg_temp.outcome('acme', hash => 'two'), 'opened acme teller', 'but the new one is');

-- Attempts.
select app_private.charge_attempt('account', sha256('ann'));
select pg_temp.outcome('acme', hash => 'two');
select is(
  (select count(*) from app_private.authentication_attempts where kind = 'account'), 0::bigint,
  'a success clears what was counted against the account');

-- The second factor.
insert into app_private.second_factors (user_id, secret_ciphertext)
values (tests.user_id('ann'), '\x01016b'::bytea || sha256('') || sha256(''));
select is(pg_temp.outcome('acme', 'two'), 'opened acme teller', 'a second factor counts when it is active');
update app_private.second_factors set activated_at = now(), last_step = 100;
insert into app_private.recovery_codes (user_id, code_hash) values (tests.user_id('ann'), sha256('code'));
select is(pg_temp.outcome('acme', 'two'), 'code_required acme teller', 'from then on nothing opens without');
select is(pg_temp.outcome('acme', 'two', 100), 'code_used acme teller', 'a step that was used opens nothing');
select is(pg_temp.outcome('acme', 'two', 101), 'opened acme teller', 'a later one does');
select is(pg_temp.outcome('acme', 'two', 101), 'code_used acme teller', 'once');
select is(
  array[pg_temp.outcome('acme', 'two', null, 'code'), pg_temp.outcome('acme', 'two', null, 'code')],
  array['opened acme teller', 'code_used acme teller'], 'so does a recovery code');

-- Operators.
insert into app_private.operators (user_id) values (tests.user_id('ann'));
select is(
  array[pg_temp.outcome(null, 'two', 102), pg_temp.outcome('acme', 'two', 103)],
  array['opened operator', 'opened acme teller'], 'an operator belongs nowhere, unless a tenant is named');

select * from finish();
rollback;
