-- What an admin decides for the tenant: its settings, and from which amounts on others must approve.
begin;
select plan(33);

select tests.make_books('acme');
select tests.make_books('other');
select tests.become('admin', tests.tenant('acme'), tests.user_id('ada'));

select results_eq(
  $$select name, is_registration_open, second_factor_roles, invitation_lifetime_seconds, session_lifetime_seconds
    from app_public.tenants$$,
  $$values ('acme', false, '{}'::app_public.member_role[], 604800, 2592000)$$,
  'nobody registers by themselves, an invitation is good for a week, a login for 30 days');
select lives_ok(
  $$select app_public.update_tenant_settings(
    name => 'Acme Ltd', is_registration_open => true, second_factor_roles => '{admin,teller,admin}',
    invitation_lifetime_seconds => 3600, session_lifetime_seconds => 300)$$,
  'an admin changes all settings');
select results_eq(
  $$select name, is_registration_open, second_factor_roles, invitation_lifetime_seconds, session_lifetime_seconds
    from app_public.tenants$$,
  $$values ('Acme Ltd', true, '{teller,admin}'::app_public.member_role[], 3600, 300)$$,
  'and they are changed');
select throws_ok(
  $$select app_public.update_tenant_settings()$$, 'LG404', null,
  'what needs a second factor needs it at once, from admins too');
select tests.become_superuser();
update app_private.sessions set second_factor_at = now();
select tests.become('admin', tests.tenant('acme'), tests.user_id('ada'));
select results_eq(
  $$select t.name, t.is_registration_open, t.second_factor_roles, t.invitation_lifetime_seconds,
      t.session_lifetime_seconds
    from app_public.update_tenant_settings() t$$,
  $$values ('Acme Ltd', true, '{teller,admin}'::app_public.member_role[], 3600, 300)$$,
  'what is left out stays');
select results_eq(
  $$select (app_public.update_tenant_settings(second_factor_roles => '{}')).second_factor_roles$$,
  $$values ('{}'::app_public.member_role[])$$, 'an empty list asks nobody for a second factor');
select throws_ok(
  $$select app_public.update_tenant_settings(name => '')$$, 'LG114', null, 'a name is not empty');
select throws_ok(
  $$select app_public.update_tenant_settings(name => repeat('x', 201))$$, 'LG114', null, 'nor long');
select throws_ok(
  $$select app_public.update_tenant_settings(second_factor_roles => '{partner}')$$, 'LG413', null,
  'a program has no second factor');
select throws_ok(
  $$select app_public.update_tenant_settings(second_factor_roles => '{operator}')$$, 'LG413', null,
  'an operator is none of the tenant''s');
select throws_ok(
  $$select app_public.update_tenant_settings(second_factor_roles => '{null}')$$, 'LG413', null, 'no role is none');
select throws_ok(
  $$select app_public.update_tenant_settings(invitation_lifetime_seconds => 3599)$$, 'LG160', null,
  'an invitation is good for an hour at least');
select throws_ok(
  $$select app_public.update_tenant_settings(invitation_lifetime_seconds => 7776001)$$, 'LG160', null,
  'and for 90 days at most');
select throws_ok(
  $$select app_public.update_tenant_settings(session_lifetime_seconds => 299)$$, 'LG160', null,
  'a login lasts 5 minutes at least');
select throws_ok(
  $$select app_public.update_tenant_settings(session_lifetime_seconds => 31536001)$$, 'LG160', null,
  'and a year at most');

-- Thresholds.
select results_eq(
  $$select t.currency, t.approval_amount, t.second_factor_amount
    from app_public.set_transaction_threshold('EUR', 100000, 50000) t$$,
  $$values ('EUR', 100000::app_public.amount, 50000::app_public.amount)$$, 'an admin sets thresholds');
select results_eq(
  $$select t.approval_amount, t.second_factor_amount
    from app_public.set_transaction_threshold('EUR', second_factor_amount => 7) t$$,
  $$values (null::app_public.amount, 7::app_public.amount)$$, 'one that is left out is taken away');
select lives_ok(
  $$select app_public.set_transaction_threshold('CHF', 1)$$, 'a currency of ISO 4217 is taken up for it');
select throws_ok(
  $$select app_public.set_transaction_threshold('NONE', 1)$$, 'LG315', null, 'another must be there');
select throws_ok(
  $$select app_public.set_transaction_threshold('EUR', 0)$$, 'LG160', null, 'zero is no threshold');
select throws_ok(
  $$select app_public.set_transaction_threshold('EUR', 5, -1)$$, 'LG160', null, 'nor is less');

select results_eq(
  $$select t.currency, t.approval_amount from app_public.set_transaction_threshold('CHF') t$$,
  $$values ('CHF', null::app_public.amount)$$, 'both left out');
select results_eq(
  'select currency from app_public.transaction_thresholds', array['EUR'], 'nothing is left of them');
select lives_ok(
  $$select app_public.set_transaction_threshold('CHF', 1)$$, 'and set again');

select tests.become('teller', tests.tenant('acme'), tests.user_id('tess'));
select throws_ok(
  $$select app_public.update_tenant_settings(name => 'Mine')$$, '42501', null, 'a teller changes no setting');
select throws_ok(
  $$select app_public.set_transaction_threshold('EUR')$$, '42501', null, 'nor a threshold');
select results_eq(
  'select currency from app_public.transaction_thresholds order by 1', array['CHF', 'EUR'],
  'but knows the thresholds');
select tests.become('accountant', tests.tenant('acme'), tests.user_id('amir'));
select throws_ok(
  $$select app_public.set_transaction_threshold('EUR')$$, '42501', null, 'an accountant does not either');

select tests.become('admin', tests.tenant('other'), tests.user_id('oz'));
select results_eq(
  $$select name, is_registration_open from app_public.tenants$$, $$values ('other', false)$$,
  'the settings of another tenant are its own');
select is_empty('select from app_public.transaction_thresholds', 'and so are its thresholds');

-- The permission is the inner wall.
select tests.become_superuser();
delete from app_public.role_permissions
where tenant_id = tests.tenant('other') and role = 'admin' and permission = 'tenant.manage';
select tests.become('admin', tests.tenant('other'), tests.user_id('oz'));
select throws_ok(
  $$select app_public.update_tenant_settings(name => 'Mine')$$, 'LG402', null,
  'an admin without the permission changes no setting');
select throws_ok(
  $$select app_public.set_transaction_threshold('EUR')$$, 'LG402', null, 'nor a threshold');

select tests.become_superuser();
select results_eq(
  $$select kind, count(*)::integer from app_private.security_events
    where tenant_id = tests.tenant('acme') group by 1 order by 1$$,
  $$values ('tenant_settings_changed', 3), ('threshold_set', 5)$$, 'each change is recorded');
select * from finish();
rollback;
