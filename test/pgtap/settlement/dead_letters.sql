/*
 * Dead letters, circuit breakers, routing rules and the settings of providers, as people handle them.
 */
begin;
select plan(51);

select tests.make_books('acme');
select tests.make_books('other');
select tests.make_provider('acme', 'bank');
select tests.make_provider('acme', 'backup');
select tests.make_provider('other', 'bank');
insert into app_public.role_permissions (tenant_id, role, permission)
values (tests.tenant('acme'), 'accountant', 'settlement.manage');

create function pg_temp.payment() returns uuid language sql as $$
  select (app_private.insert_payment(app_private.system_actor(tests.tenant('acme')),
    tests.payment('acme', 'pay_out', 'ann', 100, provider_code => 'bank'))).id
$$;
create function pg_temp.jobs(id uuid) returns bigint language sql security definer as $$
  select count(*) from graphile_worker.jobs j
  where j.key = format('payment:%s:%s', tests.tenant('acme'), jobs.id) and j.attempts < j.max_attempts
$$;
create function pg_temp.letter(id uuid) returns app_public.dead_letters language sql security definer as $$
  select d from app_public.dead_letters d where d.id = letter.id
$$;
create function pg_temp.bury(id uuid) returns uuid language plpgsql as $$
begin
  delete from graphile_worker._private_jobs j where j.key = format('payment:%s:%s', tests.tenant('acme'), bury.id);
  return app_private.add_dead_letter(tests.tenant('acme'), 'payment', bury.id, 'payments/settle',
    jsonb_build_object('tenantId', tests.tenant('acme'), 'paymentId', bury.id), 'no_answer');
end
$$;
create temp table made (name text primary key, id uuid, letter uuid) on commit drop;
grant all on made to public;
insert into made (name, id) values ('a', pg_temp.payment()), ('b', pg_temp.payment());
update made set letter = pg_temp.bury(id);

--------------------------------------------------------------------------------------------------
-- Dead letters

select is(app_private.add_dead_letter(d.tenant_id, d.source, d.subject_id, d.task, d.payload, d.reason), null,
  'what is open already is not added again')
from app_public.dead_letters d join made m on m.letter = d.id where m.name = 'a';
select is((select count(*)::integer from app_private.outbox o where o.kind = 'dead_letter.added'), 2,
  'each is an event');
select is(app_private.readd_lost_payment_jobs(), 0, 'a payment that is parked has not lost its job');

select tests.become('teller', tests.tenant('acme'), tests.user_id('tina'));
select is((select count(*)::integer from app_public.dead_letters), 2, 'a teller sees them');
select throws_ok(format('select app_public.rerun_dead_letter(%L)', letter), '42501', null, 'and decides nothing')
from made where name = 'a';
select tests.become('accountant', tests.tenant('other'), tests.user_id('abe'));
select throws_ok(format('select app_public.rerun_dead_letter(%L)', letter), 'LG621', null,
  'those of others are not there') from made where name = 'a';
select throws_ok(format('select app_public.discard_dead_letter(%L, %L)', letter, 'why'), 'LG621', null,
  'nor to be discarded') from made where name = 'a';

select tests.become('accountant', tests.tenant('acme'), tests.user_id('abe'));
select is((app_public.rerun_dead_letter(letter)).resolution::text, 'rerun', 'an accountant has one tried again')
from made where name = 'a';
select is(pg_temp.jobs(id), 1::bigint, 'its job is there again') from made where name = 'a';
select is((pg_temp.letter(letter)).resolved_by, tests.user_id('abe'), 'who decided is kept') from made where name = 'a';
select throws_ok(format('select app_public.rerun_dead_letter(%L)', letter), 'LG622', null, 'once')
from made where name = 'a';
select throws_ok(format('select app_public.discard_dead_letter(%L, %L)', letter, 'why'), 'LG622', null,
  'what was tried again is not discarded') from made where name = 'a';
select throws_ok(format('select app_public.discard_dead_letter(%L, %L)', letter, ' '), 'LG114', null,
  'discarding needs a reason') from made where name = 'b';
select is((app_public.discard_dead_letter(letter, 'paid by hand')).note, 'paid by hand', 'which is kept')
from made where name = 'b';
select is(pg_temp.jobs(id), 0::bigint, 'what was discarded has no job') from made where name = 'b';
select tests.become_superuser();
select ok(app_private.is_parked(tests.tenant('acme'), id), 'and goes on no further') from made where name = 'b';
select is(app_private.readd_lost_payment_jobs(), 0, 'nor does it get its job back');
select tests.become('accountant', tests.tenant('acme'), tests.user_id('abe'));
select throws_ok(format('select app_public.discard_dead_letter(%L, %L)', letter, 'x'), 'LG622', null,
  'it is discarded once') from made where name = 'b';
select is((app_public.rerun_dead_letter(letter)).resolution::text, 'rerun', 'but one may change one''s mind')
from made where name = 'b';
select is(pg_temp.jobs(id), 1::bigint, 'and it goes on') from made where name = 'b';
select tests.become_superuser();

insert into made (name, letter) select 'job', app_private.add_dead_letter(
  tests.tenant('acme'), 'job', null, 'some/task', '{"id": 7}', 'job_failed');
select tests.become('accountant', tests.tenant('acme'), tests.user_id('abe'));
select lives_ok(format('select app_public.rerun_dead_letter(%L)', letter), 'any job is tried again')
from made where name = 'job';
select tests.become_superuser();
select is((select array_agg(j.payload::text) from graphile_worker._private_jobs j join graphile_worker._private_tasks t
  on t.id = j.task_id where t.identifier = 'some/task'), array['{"id": 7}'], 'with what it was told');

--------------------------------------------------------------------------------------------------
-- Jobs that have failed for good

select is(app_private.bury_job('payments/settle', '{"tenantId": 1}', null, 25, 'x'), null,
  'a settlement job that was replaced while it ran leaves nothing behind');
select ok(app_private.bury_job('webhooks/deliver', jsonb_build_object('tenantId', tests.tenant('acme')), null, 3, 'no'),
  'a job of a tenant');
select is((select d.source || ' ' || d.reason || ' ' || (d.detail ->> 'error') from app_public.dead_letters d
  where d.task = 'webhooks/deliver'), 'job job_failed no', 'is a dead letter of the tenant');
select ok(app_private.bury_job('ledger/fold_postings', '{}', null, 25, 'no'), 'a job of the installation');
select is((select e.detail ->> 'task' from app_private.security_events e where e.kind = 'job_failed'),
  'ledger/fold_postings', 'is an event for those who run it');
select ok(app_private.bury_job('x/y', '{"tenantId": "1 or 1=1"}', null, 1, 'no'), 'whatever its payload is');

--------------------------------------------------------------------------------------------------
-- Circuit breakers

select tests.become('accountant', tests.tenant('acme'), tests.user_id('abe'));
select throws_ok($$select app_public.trip_circuit_breaker('nobody', 'why')$$, 'LG620', null,
  'a provider must be there');
select throws_ok($$select app_public.trip_circuit_breaker('bank', '')$$, 'LG114', null, 'tripping needs a reason');
select is((app_public.trip_circuit_breaker('bank', 'fraud')).open_until, 'infinity', 'a person opens it for ever');
select is((select c.tripped_by from app_public.circuit_breakers c), tests.user_id('abe'), 'and is named');
select tests.become_superuser();
select is((select a.goes from app_private.acquire_call(tests.tenant('acme'), 'bank') a), false, 'no call goes');
select is((select a.goes from app_private.acquire_call(tests.tenant('other'), 'bank') a), true, 'but those of others');
insert into made (name, id)
values ('waits', pg_temp.payment()), ('polls', pg_temp.payment()), ('parked', pg_temp.payment());
insert into app_public.payment_attempts (
  tenant_id, payment_id, number, provider_code, status, fence, last_call, called_at, answered_at, next_at
)
select tests.tenant('acme'), m.id, 1, 'bank', s.status::app_public.payment_attempt_status, s.fence,
  case when s.fence > 0 then 'submit' end::app_public.provider_call, case when s.fence > 0 then now() end,
  case when s.fence > 0 then now() end, now() + interval '1 hour'
from (values ('waits', 'started', 0), ('polls', 'accepted', 1), ('parked', 'unknown', 1)) s (name, status, fence)
join made m on m.name = s.name;
select app_private.add_settlement_job(tests.tenant('acme'), m.id, now() + interval '1 hour')
from made m where m.name in ('waits', 'polls');
select pg_temp.bury(m.id) from made m where m.name = 'parked';
create function pg_temp.waiting() returns text language sql security definer as $$
  select string_agg(m.name, ' ' order by m.name)
  from made m
  join graphile_worker.jobs j on j.key = format('payment:%s:%s', tests.tenant('acme'), m.id) and j.run_at > now()
$$;
select is(pg_temp.waiting(), 'polls waits', 'payments wait');
select tests.become('accountant', tests.tenant('acme'), tests.user_id('abe'));
select is((app_public.reset_circuit_breaker('bank')).state::text, 'closed', 'until a person resets it');
select is(pg_temp.waiting(), 'polls',
  'then those that were to call it go on at once; one that it has taken already is asked about in its time');
select is((select string_agg(m.name, ' ' order by m.name) from made m join app_public.payment_attempts a
  on a.payment_id = m.id where a.next_at is not null), 'polls', 'and have nothing more to wait for');
select is(pg_temp.jobs(id), 0::bigint, 'one that was left to people stays there') from made where name = 'parked';
select is((app_public.reset_circuit_breaker('bank')).state::text, 'closed', 'which may be done twice');
select tests.become_superuser();
update app_public.payment_attempts a set asks = 60 from made m where m.name = 'parked' and a.payment_id = m.id;
select tests.become('accountant', tests.tenant('acme'), tests.user_id('abe'));
select app_public.rerun_dead_letter(d.id) from app_public.dead_letters d join made m on m.id = d.subject_id
where m.name = 'parked';
select tests.become_superuser();
select is((app_private.take_settlement(tests.tenant('acme'), m.id, 7)).call::text, 'ask',
  'one whose questions were used up is asked about again once it is rerun') from made m where m.name = 'parked';
select is((select array_agg(e.kind order by e.id) from app_private.security_events e where e.kind like 'circuit%'),
  '{circuit_tripped,circuit_reset}', 'both are security events');
select is((select array_agg(o.kind order by o.id) from app_private.outbox o where o.kind like 'circuit.%'),
  '{circuit.opened,circuit.closed}', 'and events');

--------------------------------------------------------------------------------------------------
-- Routing rules

select tests.become('accountant', tests.tenant('acme'), tests.user_id('abe'));
select lives_ok(
  $$select app_public.set_routing_rule(20, 'bank', fallback_provider_code => 'backup'),
    app_public.set_routing_rule(10, 'backup', kind => 'pay_out', minimum_amount => 1000, maximum_amount => 2000)$$,
  'rules are set');
select throws_ok($$select app_public.set_routing_rule(30, 'bank', kind => 'refund')$$, 'LG160', null,
  'a refund goes back the way that its payment came');
select throws_ok($$select app_public.set_routing_rule(30, 'bank', fallback_provider_code => 'bank')$$, 'LG160', null,
  'a fallback is another provider');
select tests.become_superuser();
create function pg_temp.route(kind app_public.payment_kind, amount numeric) returns text language sql as $$
  select app_private.route_payment(tests.tenant('acme'), kind, 'EUR', amount, tests.account('acme', 'ann'))
$$;
select is(
  array[pg_temp.route('pay_out', 999), pg_temp.route('pay_out', 1000), pg_temp.route('pay_out', 2000),
    pg_temp.route('pay_out', 2001), pg_temp.route('pay_in', 1500)],
  '{bank,backup,backup,bank,bank}', 'the first rule that fits decides');
update app_public.payment_providers set is_enabled = false where tenant_id = tests.tenant('acme') and code = 'bank';
select is(pg_temp.route('pay_out', 1), 'backup', 'a provider that takes nothing new is passed over');
update app_public.payment_providers set is_enabled = true;
select app_private.open_circuit(app_private.lock_circuit(tests.tenant('acme'), 'bank'));
select is(pg_temp.route('pay_out', 1), 'backup', 'and one whose circuit is open');
select app_private.open_circuit(app_private.lock_circuit(tests.tenant('acme'), 'backup'));
select is(pg_temp.route('pay_out', 1), 'bank', 'unless that of the fallback is, too');
select is((app_private.insert_payment(app_private.system_actor(tests.tenant('acme')),
  tests.payment('acme', 'pay_out', 'ann', 1000))).provider_code, 'backup',
  'a payment that names no provider is routed');

select * from finish();
rollback;
