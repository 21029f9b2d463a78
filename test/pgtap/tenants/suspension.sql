-- A suspended tenant is read, and nothing is written to it.
begin;
select plan(17);

select tests.make_books('acme');
select tests.make_books('other');
select tests.become('operator', null, tests.user_id('opal'));
select results_eq(
  $$select (app_public.suspend_tenant('acme')).status$$,
  array['suspended'::app_public.tenant_status], 'an operator suspends a tenant');
select results_eq(
  $$select (app_public.suspend_tenant('acme')).status$$,
  array['suspended'::app_public.tenant_status], 'suspending it again changes nothing');
select throws_ok(
  $$select app_public.suspend_tenant('nowhere')$$, 'LG370', null, 'a tenant that is not there is not found');

select tests.become('admin', tests.tenant('acme'), tests.user_id('ada'));
select throws_ok(
  $$select tests.post('acme', 'cash', 'equity', 1)$$, 'LG403', null, 'nothing is posted to its books');
select throws_ok(
  $$select app_public.open_account('new', 'New', 'asset', 'EUR')$$, 'LG403', null, 'no account is opened');
select throws_ok(
  $$select app_public.update_tenant_settings(name => 'Mine')$$, 'LG403', null, 'no setting is changed');
select throws_ok(
  $$select app_public.disable_member(tests.user_id('setup'))$$, 'LG403', null, 'no member either');
select throws_ok(
  $$select app_public.grant_permission('partner', 'accounts.open')$$, 'LG403', null, 'nor a permission');
select is(
  (select count(*)::integer from app_public.accounts), 8, 'everything is read as before');
select throws_ok(
  $$select app_public.resume_tenant('acme')$$, '42501', null, 'an admin does not resume it');
select throws_ok(
  $$select app_public.suspend_tenant('other')$$, '42501', null, 'nor suspend another');

select tests.become('teller', tests.tenant('other'), tests.user_id('tess'));
select lives_ok($$select tests.post('other', 'cash', 'equity', 1)$$, 'the others go on');

select tests.become('operator', null, tests.user_id('opal'));
select results_eq(
  $$select (app_public.resume_tenant('acme')).status$$,
  array['active'::app_public.tenant_status], 'an operator resumes it');
select results_eq(
  $$select (app_public.resume_tenant('acme')).status$$,
  array['active'::app_public.tenant_status], 'resuming it again changes nothing');
select tests.become('admin', tests.tenant('acme'), tests.user_id('ada'));
select lives_ok(
  $$select tests.post('acme', 'cash', 'equity', 1)$$, 'the session from before posts again');

select tests.become_superuser();
select results_eq(
  $$select kind, user_id from app_private.security_events where tenant_id = tests.tenant('acme') order by id$$,
  $$values ('tenant_suspended', tests.user_id('opal')), ('tenant_resumed', tests.user_id('opal'))$$,
  'both are recorded once');

-- A permission that operators no longer have is refused.
update app_public.grantable_permissions set by_default = false where permission = 'tenants.suspend';
select tests.become('operator', null, tests.user_id('opal'));
select throws_ok(
  $$select app_public.suspend_tenant('acme')$$, 'LG402', null, 'an operator without the permission does not');
select tests.become_superuser();
select * from finish();
rollback;
