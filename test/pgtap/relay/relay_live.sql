-- The relay reads on from a cursor per tenant, and never past a database transaction that still runs. What
-- several workers and late commits do to it is tested in test/jest/api/subscriptions.test.ts.
begin;
select plan(6);

select tests.make_books('acme');

select is(app_private.relay_live(), 0, 'what this very database transaction has posted is not settled, so not told');
select is(
  (select count(*) from app_private.relay_cursors c where c.tenant_id = tests.tenant('acme') and c.consumer = 'live'),
  1::bigint, 'each tenant gets a cursor');
select is(
  (select c.xact_id::text from app_private.relay_cursors c where c.tenant_id = tests.tenant('acme')),
  '0', 'which stays where it is as long as there is nothing to tell');

select tests.become('admin', tests.tenant('acme'), tests.user_id('ann'));
select throws_ok(
  'select app_private.relay_live()', '42501', null, 'no request role may move the cursors');
select throws_ok(
  'select count(*) from app_private.relay_cursors', '42501', null, 'or see them');
select tests.become_superuser();

select set_config('role', 'tallystick_worker', true);
select lives_ok('select app_private.relay_live()', 'the worker may move them');
select tests.become_superuser();

select * from finish();
rollback;
