-- An admin gives permissions to roles and takes them away, within what a role may ever be given.
begin;
select plan(24);

select tests.make_books('acme');
select tests.make_books('other');
select tests.become('admin', tests.tenant('acme'), tests.user_id('ada'));

select results_eq(
  $$select p.role, p.permission from app_public.revoke_permission('teller', 'transactions.post') p$$,
  $$values ('teller'::app_public.member_role, 'transactions.post')$$, 'a permission is taken away');
select tests.become('teller', tests.tenant('acme'), tests.user_id('tess'));
select throws_ok(
  format('select app_public.post_transaction(%L)', tests.transfer('acme', 'cash', 'equity', 1)),
  'LG402', null, 'and is gone at once, for a session that was open');
select tests.become('teller', tests.tenant('other'), tests.user_id('tom'));
select lives_ok(
  format('select app_public.post_transaction(%L)', tests.transfer('other', 'cash', 'equity', 1)),
  'in these books alone');

select tests.become('admin', tests.tenant('acme'), tests.user_id('ada'));
select lives_ok(
  $$select app_public.revoke_permission('teller', 'transactions.post')$$, 'taking it away again changes nothing');
select lives_ok(
  $$select app_public.grant_permission('teller', 'transactions.post')$$, 'it is given back');
select lives_ok(
  $$select app_public.grant_permission('teller', 'transactions.post')$$, 'giving it again changes nothing');
select tests.become('teller', tests.tenant('acme'), tests.user_id('tess'));
select lives_ok(
  format('select app_public.post_transaction(%L)', tests.transfer('acme', 'cash', 'equity', 1)),
  'and holds at once');

select tests.become('admin', tests.tenant('acme'), tests.user_id('ada'));
select lives_ok(
  $$select app_public.grant_permission('partner', 'accounts.open')$$,
  'what a role does not have by default can be given, where it may be');
select throws_ok(
  $$select app_public.grant_permission('customer', 'transactions.post')$$, 'LG410', null,
  'beyond the bound nothing is given');
select throws_ok(
  $$select app_public.grant_permission('auditor', 'accounts.open')$$, 'LG410', null, 'an auditor never writes');
select throws_ok(
  $$select app_public.grant_permission('teller', 'permissions.manage')$$, 'LG410', null,
  'nobody but an admin gives permissions');
select throws_ok(
  $$select app_public.grant_permission('teller', 'members.manage')$$, 'LG410', null, 'or manages members');
select throws_ok(
  $$select app_public.grant_permission('operator', 'tenants.create')$$, 'LG410', null,
  'an operator is none of the tenant''s');
select throws_ok(
  $$select app_public.grant_permission('admin', 'tenants.create')$$, 'LG410', null,
  'and an admin is never given what operators may');
select throws_ok(
  $$select app_public.grant_permission('admin', 'no.such')$$, 'LG410', null, 'a permission has to be there');
select throws_ok(
  $$select app_public.revoke_permission('admin', 'no.such')$$, 'LG410', null, 'also to be taken away');
select throws_ok(
  $$select app_public.revoke_permission('admin', 'permissions.manage')$$, 'LG411', null,
  'admins keep the permission to change permissions');
select lives_ok(
  $$select app_public.revoke_permission('admin', 'members.manage')$$, 'but no other');
select throws_ok(
  $$select app_public.disable_member(tests.user_id('setup'))$$, 'LG402', null, 'which holds for them too');

select tests.become('accountant', tests.tenant('acme'), tests.user_id('amir'));
select throws_ok(
  $$select app_public.grant_permission('accountant', 'ledger.rebuild')$$, '42501', null,
  'an accountant gives nothing');
select throws_ok(
  $$select app_public.revoke_permission('teller', 'transactions.post')$$, '42501', null, 'and takes nothing');

select tests.become_superuser();
select results_eq(
  $$select kind, count(*)::integer from app_private.security_events
    where tenant_id = tests.tenant('acme') group by 1 order by 1$$,
  $$values ('permission_granted', 2), ('permission_revoked', 2)$$, 'each change is recorded, and nothing else');
select set_config('role', 'tallystick_owner', true);
select throws_ok(
  $$delete from app_public.role_permissions where permission = 'permissions.manage'$$, 'LG411', null,
  'not even the owner takes it from admins');
select throws_ok(
  $$update app_public.role_permissions set role = 'teller' where permission = 'permissions.manage'$$,
  'LG411', null, 'or gives it to others instead');
select tests.become_superuser();
select * from finish();
rollback;
