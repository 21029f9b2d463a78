-- People join by invitation: once, in time, as what they were invited to be.
begin;
select plan(46);

select tests.make_books('acme');
select tests.make_books('other');

-- What the server would send: a token's hash, a ciphertext, a blind index.
create function pg_temp.hash(name text) returns bytea language sql as $$
  select sha256(convert_to(name, 'UTF8'))
$$;
create function pg_temp.sealed(name text) returns bytea language sql as $$
  select '\x010474657374'::bytea || pg_temp.hash(name)
$$;
create function pg_temp.invite(name text, role app_public.member_role, token text default null)
returns uuid language sql as $$
  select (app_public.invite_member(
    role, tests.user_id('invitation ' || coalesce(token, name)), pg_temp.hash(coalesce(token, name)),
    pg_temp.sealed(name), pg_temp.hash('index ' || name))).id
$$;
create function pg_temp.accept(token text, name text) returns app_public.member_role
language sql security definer set search_path = pg_catalog, pg_temp as $$
  insert into app_public.users (id, name) values (tests.user_id(name), name) on conflict do nothing;
  select (app_private.accept_invitation(sha256(convert_to(token, 'UTF8')), tests.user_id(name))).role
$$;

select tests.become('admin', tests.tenant('acme'), tests.user_id('ada'));
select lives_ok($$select pg_temp.invite('tess', 'teller')$$, 'an admin invites');
select results_eq(
  $$select role, invited_by, expires_at - created_at, accepted_at is null, revoked_at is null
    from app_public.invitations$$,
  $$values ('teller'::app_public.member_role, tests.user_id('ada'), interval '7 days', true, true)$$,
  'and sees the invitation');
select throws_ok('select from app_private.invitation_tokens', '42501', null, 'but nothing of its token');
select throws_ok(
  $$select pg_temp.invite('x', 'operator')$$, 'LG413', null, 'nobody is invited to be an operator');
select throws_ok(
  $$select pg_temp.invite('x', 'partner')$$, 'LG413', null, 'or a partner');
select throws_ok(
  $$select app_public.invite_member(
    'teller', tests.user_id('x'), '\x00', pg_temp.sealed('x'), pg_temp.hash('x'))$$,
  '23514', null, 'a token is kept as its hash');
select throws_ok(
  $$select app_public.invite_member(
    'teller', tests.user_id('x'), pg_temp.hash('x'), 'tess@example.com', pg_temp.hash('x'))$$,
  '23514', null, 'an address is not kept in clear');
select lives_ok(
  $$select app_public.update_tenant_settings(invitation_lifetime_seconds => 3600)$$, 'a shorter lifetime');
select lives_ok($$select pg_temp.invite('late', 'customer')$$, 'holds for the next invitation');
select results_eq(
  $$select expires_at - created_at from app_public.invitations where role = 'customer'$$,
  array[interval '1 hour'], 'and for that one');

-- Addresses are read by who manages members, and each reading is recorded.
select results_eq(
  format('select email_ciphertext from app_hidden.read_invitation_emails(array[%L::uuid, %L::uuid])',
    tests.user_id('invitation tess'), tests.user_id('nothing')),
  $$values (pg_temp.sealed('tess'))$$, 'an admin is handed the encrypted address');
select tests.become_superuser();
select results_eq(
  $$select tenant_id, table_name, row_key, action, user_id from app_private.audit_entries where operation = 'read'$$,
  $$values (tests.tenant('acme'), 'invitation_tokens', tests.user_id('invitation tess')::text,
    'email_ciphertext: invitations', tests.user_id('ada'))$$,
  'and the trail has that they were');
select tests.become('admin', tests.tenant('other'), tests.user_id('oz'));
select is_empty(
  format('select from app_hidden.read_invitation_emails(array[%L::uuid])', tests.user_id('invitation tess')),
  'the admin of another tenant is handed nothing');
select tests.become('auditor', tests.tenant('acme'), tests.user_id('olga'));
select throws_ok(
  format('select from app_hidden.read_invitation_emails(array[%L::uuid])', tests.user_id('invitation tess')),
  '42501', null, 'nor is an auditor');

select tests.become('teller', tests.tenant('acme'), tests.user_id('tom'));
select throws_ok($$select pg_temp.invite('x', 'customer')$$, '42501', null, 'a teller invites nobody');
select throws_ok('select from app_public.invitations', '42501', null, 'and sees no invitation');
select tests.become('auditor', tests.tenant('acme'), tests.user_id('olga'));
select results_eq(
  'select count(*)::integer from app_public.invitations', array[2], 'an auditor sees them');
select tests.become('admin', tests.tenant('other'), tests.user_id('oz'));
select is_empty('select from app_public.invitations', 'another tenant does not');
select throws_ok(
  format('select app_public.revoke_invitation(%L)', tests.user_id('invitation tess')), 'LG372', null,
  'nor revokes them');

-- Accepting.
select tests.become_superuser();
select is(pg_temp.accept('tess', 'tess'), 'teller', 'who accepts becomes what they were invited to be');
select results_eq(
  $$select tenant_id, role, status from app_public.memberships where user_id = tests.user_id('tess')$$,
  $$values (tests.tenant('acme'), 'teller'::app_public.member_role, 'active'::app_public.user_status)$$,
  'in the tenant that invited');
select results_eq(
  $$select accepted_by from app_public.invitations where accepted_at is not null$$,
  array[tests.user_id('tess')], 'the invitation knows by whom');
select throws_ok(
  $$select pg_temp.accept('tess', 'eve')$$, 'LG373', null, 'an invitation is accepted once');
select throws_ok(
  $$select pg_temp.accept('tess', 'tess')$$, 'LG373', null, 'by the same person too');
select throws_ok(
  $$select pg_temp.accept('guess', 'eve')$$, 'LG372', null, 'a token that is not there is not found');

select tests.become('admin', tests.tenant('acme'), tests.user_id('ada'));
select lives_ok($$select pg_temp.invite('tess', 'admin', 'again')$$, 'somebody who joined is invited again');
select throws_ok(
  $$select pg_temp.accept('again', 'tess')$$, 'LG376', null, 'a member is not made something else by it');
select lives_ok(
  $$select app_public.disable_member(tests.user_id('tess'))$$, 'a member who was disabled');
select throws_ok(
  $$select pg_temp.accept('again', 'tess')$$, 'LG376', null, 'does not come back by it either');

-- Revoking, replacing, expiring.
select lives_ok(
  format('select app_public.revoke_invitation(%L)', tests.user_id('invitation again')), 'an admin revokes');
select lives_ok(
  format('select app_public.revoke_invitation(%L)', tests.user_id('invitation again')),
  'revoking again changes nothing');
select throws_ok(
  $$select pg_temp.accept('again', 'eve')$$, 'LG372', null, 'a revoked invitation opens nothing');
select throws_ok(
  format('select app_public.revoke_invitation(%L)', tests.user_id('invitation tess')), 'LG373', null,
  'one that was accepted is not revoked');
select throws_ok(
  $$select app_public.revoke_invitation(tests.user_id('x'))$$, 'LG372', null, 'one that is not there is not found');
select lives_ok(
  $$select pg_temp.invite('ned', 'teller', 'ned 1'), pg_temp.invite('ned', 'auditor', 'ned 2')$$,
  'of two invitations for one address');
select throws_ok($$select pg_temp.accept('ned 1', 'ned')$$, 'LG372', null, 'the older one opens nothing');
select is(pg_temp.accept('ned 2', 'ned'), 'auditor', 'the newer one counts');
select tests.become_superuser();
update app_public.invitations set created_at = now() - interval '2 hours', expires_at = now()
where id = tests.user_id('invitation late');
select throws_ok(
  $$select pg_temp.accept('late', 'late')$$, 'LG374', null, 'an invitation that has expired opens nothing');

-- Only active people join, and not a tenant that is suspended.
select tests.become('operator', null, tests.user_id('opal'));
select lives_ok(
  $$select app_public.invite_admin(
    'other', tests.user_id('i'), pg_temp.hash('boss'), pg_temp.sealed('boss'), pg_temp.hash('index boss'))$$,
  'an operator invites the admin of a tenant');
select throws_ok(
  $$select app_public.invite_admin(
    'nowhere', tests.user_id('j'), pg_temp.hash('b'), pg_temp.sealed('b'), pg_temp.hash('b'))$$,
  'LG370', null, 'which must be there');
select tests.become_superuser();
insert into app_public.users (id, name, kind, status, disabled_at) values
  (tests.user_id('gone'), 'Gone', 'person', 'disabled', now()),
  (tests.user_id('robot'), 'Robot', 'service', 'active', null);
select throws_ok($$select pg_temp.accept('boss', 'gone')$$, 'LG378', null, 'a disabled user does not join');
select throws_ok($$select pg_temp.accept('boss', 'robot')$$, 'LG378', null, 'nor does a program');
update app_public.tenants set status = 'suspended' where slug = 'other';
select throws_ok($$select pg_temp.accept('boss', 'bea')$$, 'LG403', null, 'nobody joins a suspended tenant');
update app_public.tenants set status = 'active' where slug = 'other';
select is(pg_temp.accept('boss', 'bea'), 'admin', 'once it is resumed the admin joins');
select results_eq(
  $$select kind, severity, user_id from app_private.security_events
    where tenant_id = tests.tenant('other') order by id$$,
  $$values
    ('member_invited', 'info'::app_public.severity, tests.user_id('opal')),
    ('invitation_accepted', 'notice', tests.user_id('bea'))$$,
  'both are recorded');
select is_empty(
  $$select from app_private.security_events where detail::text ~ 'token|email'$$,
  'and neither tokens nor addresses');
select * from finish();
rollback;
