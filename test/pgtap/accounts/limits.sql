-- Limits are set against the balance of the moment, and hold from then on.
begin;
select plan(13);

select tests.make_books('acme');

create function pg_temp.limits(code text, lowest text, highest text) returns text language sql as $$
  select format('select app_public.set_account_limits(%L, %s, %s)', tests.account('acme', code), lowest, highest)
$$;
select tests.become('accountant', tests.tenant('acme'), tests.user_id('x'));

select lives_ok(pg_temp.limits('ann', '0', '20000'), 'limits around the balance are set');
select throws_ok($$select tests.post('acme', 'cash', 'ann', 10001)$$, 'LG203', null, 'the maximum holds');
select throws_ok($$select tests.post('acme', 'ann', 'cash', 10001)$$, 'LG202', null, 'the minimum holds');
select throws_ok(pg_temp.limits('ann', '2', '1'), 'LG115', null, 'a minimum above the maximum is refused');
select throws_ok(pg_temp.limits('ann', '10001', 'null'), 'LG317', null, 'a minimum above what is available is refused');
select throws_ok(pg_temp.limits('ann', 'null', '9999'), 'LG317', null, 'a maximum below the balance is refused');
select lives_ok(pg_temp.limits('ann', 'null', 'null'), 'null takes a limit away');
select lives_ok($$select tests.post('acme', 'ann', 'cash', 10001)$$, 'then nothing is limited');
select lives_ok(
  $$select tests.post('acme', 'ann', 'bob', 700, kind => 'pending', timeout_seconds => 1)$$, 'a reservation');
select throws_ok(pg_temp.limits('ann', '-1', 'null'), 'LG317', null, 'counts');
select pg_sleep(1.05);
select lives_ok(pg_temp.limits('ann', '-1', 'null'), 'until it has expired, released or not');
select throws_ok(pg_temp.limits('ann', '1.5', 'null'), 'LG101', null, 'a limit is a whole number of minor units');
select tests.become('teller', tests.tenant('acme'), tests.user_id('x'));
select throws_ok(pg_temp.limits('ann', 'null', 'null'), '42501', null, 'a teller sets no limits');
select tests.become_superuser();
select * from finish();
rollback;
