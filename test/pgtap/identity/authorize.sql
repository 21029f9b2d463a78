-- Who may write: each refusal of authorize, which comes first, and that a session counts for nobody else.
begin;
select plan(33);

select tests.make_books('acme');
select tests.make_books('other');

create function pg_temp.call(permission text default 'transactions.post') returns text language sql as $$
  select format('select (app_private.authorize(%L)).role', permission)
$$;
create function pg_temp.session(set_clause text) returns void language plpgsql as $$
begin
  execute format('update app_private.sessions set %s where id = app_hidden.current_session_id()', set_clause);
end
$$;
-- The context of a request, as the owner, who alone may call authorize itself.
create function pg_temp.as_teller() returns void language sql as $$
  select
    tests.become_superuser(),
    set_config(
      'tallystick.session_id',
      tests.session_id('teller', tests.tenant('acme'), tests.user_id('tess'))::text, true),
    set_config('tallystick.tenant_id', tests.tenant('acme')::text, true),
    set_config('tallystick.user_id', tests.user_id('tess')::text, true)
$$;

select pg_temp.as_teller();
select is(
  (select (a.tenant_id, a.user_id, a.session_id, a.role)::text from app_private.authorize('transactions.post') a),
  (tests.tenant('acme'), tests.user_id('tess'), app_hidden.current_session_id(), 'teller')::text,
  'who has a session and the permission is told who they are');
select throws_ok(pg_temp.call('transactions.reverse'), 'LG402', null, 'what the role was not given is refused');
select throws_ok(pg_temp.call('no.such'), 'LG402', null, 'so is a permission that there is none of');

-- The context must be that of the session, wholly.
select set_config('tallystick.tenant_id', tests.tenant('other')::text, true);
select throws_ok(pg_temp.call(), 'LG401', null, 'a session of one tenant counts for no other');
select pg_temp.as_teller();
select set_config('tallystick.user_id', tests.user_id('bob')::text, true);
select throws_ok(pg_temp.call(), 'LG401', null, 'nor for another user');
select pg_temp.as_teller();
select set_config('tallystick.session_id', '', true);
select throws_ok(pg_temp.call(), 'LG401', null, 'without a session nothing is written');
select set_config('tallystick.session_id', gen_random_uuid()::text, true);
select throws_ok(pg_temp.call(), 'LG401', null, 'nor with one that there is none of');

-- Scopes narrow, and never widen.
select pg_temp.as_teller();
select pg_temp.session($$scopes = '{transactions.post}'$$);
select lives_ok(pg_temp.call(), 'a session with scopes does what is among them');
select throws_ok(pg_temp.call('accounts.open'), 'LG402', null, 'and not what the role alone may');
select pg_temp.session($$scopes = '{transactions.reverse}'$$);
select throws_ok(pg_temp.call('transactions.reverse'), 'LG402', null, 'nor what the scopes alone name');
select pg_temp.session($$scopes = '{}'$$);
select throws_ok(pg_temp.call(), 'LG402', null, 'a session without any scope does nothing');
select pg_temp.session('scopes = null');

-- A permission that is taken away holds at once.
delete from app_public.role_permissions
where tenant_id = tests.tenant('acme') and role = 'teller' and permission = 'transactions.post';
select throws_ok(pg_temp.call(), 'LG402', null, 'a permission that the tenant took away is gone');
insert into app_public.role_permissions values (tests.tenant('acme'), 'teller', 'transactions.post');

-- The second factor.
update app_public.tenants set second_factor_roles = '{teller}' where slug = 'acme';
select throws_ok(pg_temp.call(), 'LG404', null, 'a role that needs a second factor writes nothing before it');
select pg_temp.session('second_factor_at = now()');
select is(
  (app_private.authorize('transactions.post')).second_factor_at, now(),
  'and writes after it, and the engine is told when that was');
select pg_temp.session('second_factor_at = null');

-- Precedence: session, suspension, permission, second factor.
select throws_ok(pg_temp.call('no.such'), 'LG402', null,
  'a permission that is not held comes before the second factor');
update app_public.tenants set status = 'suspended' where slug = 'acme';
select throws_ok(pg_temp.call('no.such'), 'LG403', null, 'suspension comes before permissions');
select throws_ok(pg_temp.call(), 'LG403', null, 'a suspended tenant writes nothing');
select pg_temp.session($$revoked_at = now(), revoked_because = 'test'$$);
select throws_ok(pg_temp.call(), 'LG401', null, 'a revoked session comes before suspension');
update app_public.tenants set status = 'active', second_factor_roles = '{}' where slug = 'acme';
select throws_ok(pg_temp.call(), 'LG401', null, 'and is refused in books that are active');
select pg_temp.session('revoked_at = null, revoked_because = null');
select lives_ok(pg_temp.call(), 'what was changed for these tests is as before');
select pg_temp.session($$created_at = now() - interval '2 hours', expires_at = now()$$);
select throws_ok(pg_temp.call(), 'LG401', null, 'a session ends at the instant that it expires');
select pg_temp.session($$expires_at = now() + interval '1 second'$$);
select lives_ok(pg_temp.call(), 'and not before');

-- What sessions stand on.
update app_public.memberships set status = 'disabled' where user_id = tests.user_id('tess');
select throws_ok(pg_temp.call(), 'LG401', null, 'a membership that is disabled ends its sessions');
select is(
  (select revoked_because from app_private.sessions where id = app_hidden.current_session_id()),
  'membership changed', 'which know why');

-- Operators.
create function pg_temp.operate(permission text) returns text language sql as $$
  select format('select (app_private.authorize_operator(%L)).role', permission)
$$;
select tests.become('operator', null, tests.user_id('olga'));
reset role;
select is(
  (select (a.tenant_id is null, a.user_id, a.role)::text from app_private.authorize_operator('tenants.create') a),
  (true, tests.user_id('olga'), 'operator')::text, 'an operator belongs to no tenant');
select throws_ok(pg_temp.operate('transactions.post'), 'LG402', null, 'an operator moves no money');
select throws_ok(pg_temp.call(), 'LG401', null, 'and is nobody in books');
select set_config('tallystick.tenant_id', tests.tenant('acme')::text, true);
select throws_ok(pg_temp.call(), 'LG401', null, 'of whatever tenant');
select set_config('tallystick.tenant_id', '', true);
select pg_temp.session($$revoked_at = now(), revoked_because = 'test'$$);
select throws_ok(pg_temp.operate('tenants.create'), 'LG401', null, 'the revoked session of an operator is refused');
select pg_temp.session('revoked_at = null, revoked_because = null');
select pg_temp.session($$created_at = now() - interval '1 hour', expires_at = now()$$);
select throws_ok(pg_temp.operate('tenants.create'), 'LG401', null, 'so is one that has expired');
select pg_temp.session($$expires_at = 'infinity'$$);
delete from app_private.operators where user_id = tests.user_id('olga');
select throws_ok(pg_temp.operate('tenants.create'), 'LG401', null, 'and who is an operator no more');

-- The functions are out of reach of every request.
select tests.become('admin', tests.tenant('acme'), tests.user_id('ivo'));
select throws_ok($$select app_private.authorize('transactions.post')$$, '42501', null,
  'no role calls authorize itself');
select throws_ok(
  $$select app_private.open_session(1, gen_random_uuid(), 'admin', 'login', 'infinity')$$, '42501', null,
  'and none opens a session');

select * from finish();
rollback;
