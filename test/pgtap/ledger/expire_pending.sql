-- The job that releases what has expired.
begin;
select plan(10);

select tests.make_books('acme');
select tests.make_books('other');
select tests.post('acme', 'ann', 'cash', n, kind => 'pending', timeout_seconds => 1) from generate_series(1, 5) n;
select tests.post('acme', 'ann', 'cash', 100, kind => 'pending', timeout_seconds => 1000);
select tests.post('other', 'bob', 'cash', 7, kind => 'pending', timeout_seconds => 1);

create temp table sweep (
  tenant_id integer, expired integer, refused integer, next_expiry_at timestamptz
) on commit drop;
grant all on sweep to tallystick_worker;

select tests.become('worker');
select results_eq(
  'select tenant_id, expired, refused from app_private.expire_pending(10)',
  'values (null::integer, 0, 0)', 'nothing is due yet');
select ok(next_expiry_at between clock_timestamp() and clock_timestamp() + interval '1 second', 'but soon')
from app_private.expire_pending(10);
select pg_sleep(1.1);
insert into sweep select * from app_private.expire_pending(3);
insert into sweep select * from app_private.expire_pending(3);
insert into sweep select * from app_private.expire_pending(3);
insert into sweep select * from app_private.expire_pending(3);
select is((select sum(expired) from sweep), 6::bigint, 'each is released once, a batch at a time');
select is((select sum(refused) from sweep), 0::bigint, 'and none is refused');
select is((select count(distinct tenant_id) from sweep), 2::bigint, 'tenant by tenant');
select is((select tenant_id from app_private.expire_pending(3)), null, 'then nothing is left to do');
select tests.become_superuser();
select is(
  (select pending_debits::numeric from app_public.account_balances
    where account_id = tests.account('acme', 'ann')),
  100::numeric,
  'what has not expired is still reserved');
select is_empty('select from checks.open_reservations_that_differ', 'the reservations are those of the transactions');
select is_empty('select from checks.resolutions_that_do_not_fit', 'and each release fits');
select tests.become('teller', tests.tenant('acme'), tests.user_id('x'));
select throws_ok('select app_private.expire_pending(1)', '42501', null, 'nobody but the worker runs it');
select tests.become_superuser();
select * from finish();
rollback;
