-- Hits of rate limits: counted by whoever asks, read by nobody.
begin;
select plan(14);

create function pg_temp.hits(keys text[], hits integer[], window_number bigint default 7) returns bigint[]
language sql as $$
  select totals
  from app_hidden.count_hits(
    array(select decode(md5(k), 'hex') from unnest(keys) k), array(select window_number from unnest(keys)),
    hits, array(select 60 from unnest(keys)))
$$;

set local role tallystick_anonymous;
select is(pg_temp.hits('{ann}', '{1}'), '{1}'::bigint[], 'the first hit is number one');
select is(pg_temp.hits('{ann}', '{4}'), '{5}'::bigint[], 'hits add up');
select is(pg_temp.hits('{bob,ann,cy}', '{2,1,3}'), '{2,6,3}'::bigint[], 'totals come in the order of the keys');
select is(pg_temp.hits('{bob,bob}', '{1,1}'), '{4,4}'::bigint[], 'a key that comes twice is counted twice');
select is(pg_temp.hits('{ann}', '{1}', 8), '{1}'::bigint[], 'each window has a count of its own');
select is(pg_temp.hits('{}', '{}'), '{}'::bigint[], 'nothing counts nothing');
select throws_ok($$select pg_temp.hits('{ann}', '{0}', 9)$$, '23514', null, 'no hits are none that count');
select throws_ok(
  $$select app_hidden.count_hits(array['an address'::bytea], '{1}', '{1}', '{60}')$$, '23514', null,
  'a key is a hash');
select cmp_ok(
  (select abs(clock_milliseconds - extract(epoch from clock_timestamp()) * 1000)
   from app_hidden.count_hits('{}', '{}', '{}', '{}')),
  '<', 1000::numeric, 'the clock is that of the database');
select throws_ok('select from app_private.rate_limit_counters', '42501', null, 'nobody reads the counters');
reset role;

select is(
  (select relpersistence::text from pg_class where oid = 'app_private.rate_limit_counters'::regclass), 'u',
  'the counters are not worth a write to disk');

update app_private.rate_limit_counters set expires_at = now() - interval '1 second' where window_number = 7;
set local role tallystick_worker;
select is(app_private.remove_old_rate_limit_counters(2), 2, 'old counters are removed, so many a call');
select is(app_private.remove_old_rate_limit_counters(1000), 1, 'until none is left');
reset role;
select results_eq(
  'select window_number from app_private.rate_limit_counters', array[8::bigint], 'a counter in use stays');

select * from finish();
rollback;
