-- Counting what may be guesswork: free attempts, a pause that doubles, and no lock for ever.
begin;
select plan(26);

create function pg_temp.charge(kind text, times integer default 1, subject text default 'x')
returns integer language plpgsql as $$
declare
  v_wait integer;
begin
  for i in 1..times loop
    v_wait := app_private.charge_attempt(kind, subject::bytea);
  end loop;
  return v_wait;
end
$$;
-- As if the pause were over.
create function pg_temp.wait(kind text) returns void language sql as $$
  update app_private.authentication_attempts a set locked_until = clock_timestamp() where a.kind = wait.kind
$$;
create function pg_temp.pause(kind text) returns integer language sql as $$
  select round(extract(epoch from a.locked_until - a.last_at))::integer
  from app_private.authentication_attempts a where a.kind = pause.kind and a.subject = 'x'
$$;

select is(pg_temp.charge('account', 10), null, 'ten attempts on an account are free');
select is(pg_temp.pause('account'), null, 'and lock nothing');
select is(pg_temp.charge('account'), null, 'the eleventh goes on');
select is(pg_temp.pause('account'), 1, 'and locks for a second');
select is(pg_temp.charge('account'), 1, 'the next has to wait that long');
select is(pg_temp.charge('account', 100), 1, 'what is tried meanwhile makes it no longer');
select pg_temp.wait('account');
select is(pg_temp.charge('account'), null, 'after the pause one attempt goes on');
select is(pg_temp.pause('account'), 2, 'and the pause doubles');
select pg_temp.wait('account');
select pg_temp.charge('account');
select is(pg_temp.pause('account'), 4, 'each time');
update app_private.authentication_attempts set failures = 5000, locked_until = null;
select is(pg_temp.charge('account'), null, 'however often it was tried');
select is(pg_temp.pause('account'), 900, 'the pause is a quarter of an hour at most');
select is(pg_temp.charge('account', 1, 'y'), null, 'another account is not concerned');
select is(pg_temp.charge('user', 1, 'x'), null, 'nor is another kind of the same subject');

select app_private.forgive_attempts('account', 'x');
select is(pg_temp.charge('account', 10), null, 'a success clears what was counted');
update app_private.authentication_attempts set last_at = now() - interval '25 hours';
select is(pg_temp.charge('account', 10), null, 'and so does a quiet day');
select is(pg_temp.charge('account'), null, 'which begins anew');
select is(pg_temp.pause('account'), 1, 'from the first attempt on');

select is(pg_temp.charge('address', 50), null, 'fifty attempts from one address are free');
select app_private.refund_attempt('address', 'x');
select is(pg_temp.charge('address'), null, 'one that succeeded is not counted');
select is(pg_temp.pause('address'), null, 'but it takes nothing else away');
select is(pg_temp.charge('mail', 4), null, 'three messages and one more');
select is(pg_temp.charge('mail'), 1, 'are enough for an address');

select is(app_private.address_subject('192.0.2.1'), '192.0.2.1'::bytea, 'an IPv4 address is counted by itself');
select is(
  app_private.address_subject('2001:db8:1:2:3:4:5:6'), app_private.address_subject('2001:db8:1:2::1'),
  'of IPv6 the network of 64 bits');
select isnt(
  app_private.address_subject('2001:db8:1:2:3:4:5:6'), app_private.address_subject('2001:db8:1:3::1'),
  'and no more');
update app_private.authentication_attempts set failures = 15, locked_until = null where kind = 'account';
select pg_temp.charge('account');
select is(
  (select array_agg(kind || ' ' || severity) from app_private.security_events), array['attempts_locked warning'],
  'a lock that begins to hurt is told, once');

select * from finish();
rollback;
