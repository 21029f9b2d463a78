-- An operator creates tenants, and sees which there are; of their books an operator sees nothing.
begin;
select plan(22);

select tests.make_books('acme');
select tests.become('operator', null, tests.user_id('opal'));

select lives_ok(
  $$select app_public.create_tenant('globex', 'Globex Ltd')$$, 'an operator creates a tenant');
select results_eq(
  $$select slug, name, status from app_public.tenants where slug = 'globex'$$,
  $$values ('globex', 'Globex Ltd', 'active'::app_public.tenant_status)$$, 'and sees it');
select results_eq(
  $$select (app_public.create_tenant('initech', template => 'wallet', currency => 'EUR')).name$$,
  array['initech'], 'the name is the slug unless it is given');
select throws_ok(
  $$select app_public.create_tenant('acme')$$, 'LG318', null, 'a slug is taken once');
select throws_ok(
  $$select app_public.create_tenant('Not a slug')$$, 'LG114', null, 'a slug has a form');
select throws_ok(
  $$select app_public.create_tenant('umbrella', template => 'wallet')$$, 'LG113', null,
  'a chart of accounts needs a currency');
select throws_ok(
  $$select app_public.create_tenant('umbrella', currency => 'EUR')$$, 'LG113', null,
  'and a currency a chart');
select throws_ok(
  $$select app_public.create_tenant('umbrella', template => 'circus', currency => 'EUR')$$, 'LG371', null,
  'an unknown chart is refused');
select throws_ok(
  $$select app_public.create_tenant('umbrella', template => 'wallet', currency => 'NONE')$$, 'LG315', null,
  'so is an unknown currency');
select is_empty(
  $$select from app_public.tenants where slug = 'umbrella'$$, 'and nothing is left of a tenant that was refused');

select throws_ok('select from app_public.accounts', '42501', null, 'an operator reads no accounts');
select throws_ok('select from app_public.postings', '42501', null, 'nor postings');
select throws_ok('select from app_public.invitations', '42501', null, 'nor invitations');
select throws_ok('select from app_public.memberships', '42501', null, 'nor who is a member');
select results_eq(
  'select slug from app_public.tenants order by 1', array['acme', 'globex', 'initech'],
  'an operator sees all tenants');

select tests.become('admin', tests.tenant('acme'), tests.user_id('ada'));
select throws_ok(
  $$select app_public.create_tenant('mine')$$, '42501', null, 'an admin creates no tenant');
select results_eq(
  'select slug from app_public.tenants', array['acme'], 'and sees their own alone');

-- A session is of use to its own user alone.
select tests.become('operator', null, tests.user_id('opal'));
select set_config('tallystick.user_id', tests.user_id('olaf')::text, true);
select throws_ok(
  $$select app_public.create_tenant('mine')$$, 'LG401', null, 'the session of another operator is of no use');

select tests.become_superuser();
select results_eq(
  $$select count(*)::integer from app_public.accounts where tenant_id = tests.tenant('initech')$$,
  $$select count(*)::integer from app_public.chart_template_accounts where template = 'wallet'$$,
  'the accounts of the chart are open');
select results_eq(
  $$select role, permission from app_public.role_permissions where tenant_id = tests.tenant('globex') order by 1, 2$$,
  $$select role, permission from app_public.grantable_permissions
    where by_default and role <> 'operator' order by 1, 2$$,
  'a new tenant gives each role what is given by default');
select throws_ok(
  $$insert into app_public.role_permissions values (tests.tenant('acme'), 'operator', 'tenants.create')$$,
  '23514', null, 'and never an operator anything');
select results_eq(
  $$select kind, severity, user_id from app_private.security_events where tenant_id = tests.tenant('globex')$$,
  $$values ('tenant_created', 'notice'::app_public.severity, tests.user_id('opal'))$$,
  'it is recorded who created it');
select * from finish();
rollback;
