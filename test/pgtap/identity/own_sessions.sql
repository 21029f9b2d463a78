-- What people see and end of their sessions; what nobody else does.
begin;
select plan(15);

select tests.make_tenant('acme');
select tests.make_tenant('other');
select tests.become('teller', tests.tenant('acme'), tests.user_id('ann'));
select is(
  (select count(*) from unnest(app_public.own_sessions())), 1::bigint, 'people see the session that they are in');
select ok((select s.is_current from unnest(app_public.own_sessions()) s), 'which is marked');
select tests.session_id('auditor', tests.tenant('other'), tests.user_id('ann'));
select is(
  (select string_agg(s.tenant_name || ' ' || s.role, ', ' order by s.tenant_name)
   from unnest(app_public.own_sessions()) s),
  'acme teller, other auditor', 'and those in other books');
select tests.become('admin', tests.tenant('acme'), tests.user_id('ivo'));
select is(
  (select array_agg(s.role) from unnest(app_public.own_sessions()) s), '{admin}'::app_public.member_role[],
  'an admin sees no sessions of others');
select is(
  app_public.revoke_session(tests.session_id('teller', tests.tenant('acme'), tests.user_id('ann'))), false,
  'and does not end one by its id');
select is(app_public.revoke_member_sessions(tests.user_id('nobody')), 0, 'nobody has no sessions');
select is(app_public.revoke_member_sessions(tests.user_id('ann')), 1, 'but ends those of a member, in these books');
select tests.become('teller', tests.tenant('acme'), tests.user_id('ann'));
select throws_ok('select app_public.revoke_other_sessions()', 'LG401', null, 'a session that ended does nothing');
select is(
  (select array_agg(s.tenant_name) from unnest(app_public.own_sessions()) s), array['other'],
  'what ended is not listed');
select tests.become('auditor', tests.tenant('other'), tests.user_id('ann'));
select is(
  app_public.revoke_session(tests.session_id('auditor', tests.tenant('other'), tests.user_id('ann'))), true,
  'people end their own session');
select throws_ok('select app_public.revoke_other_sessions()', 'LG401', null, 'at once');

-- An API key has no account.
select tests.become_superuser();
update app_private.sessions set kind = 'api_key', role = 'partner' where user_id = tests.user_id('ivo');
select tests.become('admin', tests.tenant('acme'), tests.user_id('ivo'));
select throws_ok('select app_public.revoke_other_sessions()', 'LG401', null, 'an API key ends no sessions');
select is((select count(*) from unnest(app_public.own_sessions())), 0::bigint, 'and is not listed');

select tests.become('auditor', tests.tenant('acme'), tests.user_id('olga'));
select throws_ok(
  $$select app_public.revoke_member_sessions(tests.user_id('ann'))$$, '42501', null, 'an auditor ends no sessions');
select tests.become('anonymous');
select throws_ok('select app_public.own_sessions()', '42501', null, 'nobody has no sessions to see');

select * from finish();
rollback;
