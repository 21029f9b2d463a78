-- Signing out ends the session of the token, or that of the request, and no other.
begin;
select plan(7);

select tests.make_tenant('acme');
select tests.session_id('teller', tests.tenant('acme'), tests.user_id('ann')),
  tests.session_id('teller', tests.tenant('acme'), tests.user_id('bob'));
insert into app_private.refresh_tokens (token_hash, session_id, expires_at)
select sha256('ann'), s.id, 'infinity' from app_private.sessions s where s.user_id = tests.user_id('ann');

create function pg_temp.be(session_of text, name text) returns void language sql as $$
  select
    set_config('tallystick.session_id', coalesce((
      select s.id from app_private.sessions s where s.user_id = tests.user_id(session_of))::text, ''), true),
    set_config('tallystick.user_id', coalesce(tests.user_id(name)::text, ''), true)
$$;
create function pg_temp.open() returns bigint language sql as $$
  select count(*) from app_private.sessions where revoked_at is null
$$;

select lives_ok('select app_hidden.end_session()', 'nobody signs out of nothing');
select is(pg_temp.open(), 2::bigint, 'and ends nothing');
select pg_temp.be('bob', 'ann');
select app_hidden.end_session();
select is(pg_temp.open(), 2::bigint, 'the session of somebody else is not that of the request');
select app_hidden.end_session(sha256('nobody'));
select is(pg_temp.open(), 2::bigint, 'a token that there is none of ends nothing, whoever asks');
select app_hidden.end_session(sha256('ann'));
select is(
  (select array_agg(user_id || ' ' || revoked_because) from app_private.sessions where revoked_at is not null),
  array[tests.user_id('ann') || ' signed out'], 'a refresh token ends the session that it belongs to');
select pg_temp.be('bob', 'bob');
update app_private.sessions set kind = 'api_key', role = 'partner' where user_id = tests.user_id('bob');
select app_hidden.end_session();
select is(pg_temp.open(), 1::bigint, 'an API key does not sign out');
update app_private.sessions set kind = 'login', role = 'teller' where user_id = tests.user_id('bob');
select app_hidden.end_session();
select is(pg_temp.open(), 0::bigint, 'a request ends its own session');

select * from finish();
rollback;
