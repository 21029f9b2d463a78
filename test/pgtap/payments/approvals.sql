/*
 * Four eyes and second factors for payments, cancelling, and what customers and partners may do with those of
 * others.
 */
begin;
select plan(48);

select tests.make_books('acme');
select tests.make_provider('acme', 'bank');
insert into app_public.role_permissions (tenant_id, role, permission)
select tests.tenant('acme'), r.role, 'payments.create'
from unnest('{customer,partner}'::app_public.member_role[]) as r (role);
insert into app_public.role_permissions (tenant_id, role, permission)
values (tests.tenant('acme'), 'teller', 'transactions.approve');
insert into app_public.transaction_thresholds (tenant_id, currency, approval_amount, second_factor_amount)
values (tests.tenant('acme'), 'EUR', 1000, 500);
create temp table made (name text primary key, id uuid) on commit drop;
grant all on made to public;

create function pg_temp.be(role text, name text) returns void language sql as $$
  select tests.become(role, tests.tenant('acme'), tests.user_id(name))
$$;
create function pg_temp.of(name text) returns app_public.payments language sql security definer as $$
  select p from app_public.payments p join made m on m.id = p.id where m.name = of.name
$$;
create function pg_temp.code(statement text) returns text language plpgsql as $$
begin
  execute statement;
  return 'done';
exception when others then
  return sqlstate;
end
$$;
create function pg_temp.confirm(role text, name text, at timestamptz default now()) returns void
language sql security definer as $$
  update app_private.sessions set second_factor_at = confirm.at
  where id = tests.session_id(confirm.role, tests.tenant('acme'), tests.user_id(confirm.name))
$$;
create function pg_temp.jobs(id uuid) returns bigint language sql security definer as $$
  select count(*) from graphile_worker.jobs j where j.key = format('payment:%s:%s', tests.tenant('acme'), jobs.id)
$$;

--------------------------------------------------------------------------------------------------
-- Asked for

select pg_temp.be('teller', 'tina');
select is(
  pg_temp.code($$select app_public.create_payment(tests.payment('acme', 'pay_out', 'ann', 500))$$), 'LG406',
  'an amount that needs a second factor is refused without');
select is(
  pg_temp.code($$select app_public.create_payment(
    tests.payment('acme', 'pay_out', 'ann', 500, execute_at => now() + '1 day'))$$), 'LG406',
  'one for later too: nobody is at hand then');
select is(
  pg_temp.code($$select app_public.create_payment(tests.payment('acme', 'pay_out', 'ann', 499))$$), 'done',
  'below it is not');
select pg_temp.confirm('teller', 'tina');
select is(
  pg_temp.code($$select app_public.create_payment(tests.payment('acme', 'pay_out', 'ann', 999))$$), 'done',
  'nor after a second factor');
insert into made
select n.name, (app_public.create_payment(tests.payment('acme', n.kind::app_public.payment_kind, 'ann', n.amount,
  to_account => n.to_account, idempotency_key => n.name, execute_at => n.execute_at))).id
from (values
  ('out', 'pay_out', 1000, null, null), ('rejected', 'pay_out', 1001, null, null),
  ('back', 'pay_out', 1002, null, null),
  ('across', 'transfer', 1003, 'bob', null), ('large', 'pay_out', 90000, null, null),
  ('later', 'pay_out', 1004, null, now() + interval '1 day')
) as n (name, kind, amount, to_account, execute_at);
select is(
  (select string_agg(concat_ws(' ', m.name, (pg_temp.of(m.name)).status, (pg_temp.of(m.name)).needs_approval), ', '
    order by m.name) from made m),
  'across requested t, back requested t, large requested t, later requested t, out requested t, rejected requested t',
  'at the threshold a payment waits');
select is((tests.counters('acme', 'ann'))[3], 499 + 999::numeric, 'and reserves nothing');
select is((select sum(pg_temp.jobs(m.id)) from made m), 0::numeric, 'nor has it a job');
select is(
  (app_public.create_payment(tests.payment('acme', 'pay_out', 'ann', 1000, idempotency_key => 'out'))).id,
  (pg_temp.of('out')).id, 'the same request is the same payment that waits');
select tests.become_superuser();
select is(
  (app_private.reserve_payment(app_private.system_actor(tests.tenant('acme')), tests.tenant('acme'),
    (pg_temp.of('out')).id)).status, 'requested', 'its job would leave it waiting');
set local role tallystick_owner;
select throws_ok(
  $$select app_private.reserve_locked_payment(app_private.system_actor(tests.tenant('acme')), pg_temp.of('out'))$$,
  'LG405', null, 'and nobody reserves it past the decision, not even the owner');
set local role none;

--------------------------------------------------------------------------------------------------
-- Decided

select pg_temp.be('teller', 'tina');
select is(pg_temp.code(format('select app_public.approve_payment(%L)', (pg_temp.of('out')).id)), 'LG430',
  'nobody approves their own');
select is(pg_temp.code(format('select app_public.reject_payment(%L, ''x'')', (pg_temp.of('out')).id)), 'LG430',
  'nor rejects it');
select pg_temp.be('teller', 'theo');
select is(pg_temp.code(format('select app_public.approve_payment(%L)', (pg_temp.of('out')).id)), 'LG406',
  'who approves needs a second factor where the amount does');
select pg_temp.confirm('teller', 'theo', now() - interval '6 minutes');
select is(pg_temp.code(format('select app_public.approve_payment(%L)', (pg_temp.of('out')).id)), 'LG406',
  'a fresh one');
select pg_temp.confirm('teller', 'theo');
select is((app_public.approve_payment((pg_temp.of('out')).id)).status, 'reserved', 'then it is reserved');
select is(pg_temp.jobs((pg_temp.of('out')).id), 1::bigint, 'and has its job');
select results_eq(
  format('select d.is_approved, d.created_by, d.decided_by from app_public.payment_decisions d where d.payment_id = %L',
    (pg_temp.of('out')).id),
  format('values (true, %L::uuid, %L::uuid)', tests.user_id('tina'), tests.user_id('theo')), 'both names are kept');
select is(pg_temp.code(format('select app_public.approve_payment(%L)', (pg_temp.of('out')).id)), 'LG615', 'once');
select is(pg_temp.code(format('select app_public.approve_payment(%L)', tests.user_id('x'))), 'LG601',
  'what is not there is not approved');
select is(pg_temp.code(format('select app_public.reject_payment(%L, '' '')', (pg_temp.of('rejected')).id)), 'LG114',
  'a rejection has a reason');
select is((app_public.reject_payment((pg_temp.of('rejected')).id, 'No.')).status, 'cancelled',
  'what is rejected is cancelled');
select is(
  (select concat_ws(' ', v.error_code, v.reason) from app_public.payment_moves v
    where v.payment_id = (pg_temp.of('rejected')).id and v.number = 2),
  'rejected No.', 'and says why');
select is((app_public.approve_payment((pg_temp.of('across')).id)).status, 'settled', 'a transfer settles at once');
select is(pg_temp.code(format('select app_public.approve_payment(%L)', (pg_temp.of('large')).id)), 'LG202',
  'an approval does not make money');
select is((pg_temp.of('large')).status, 'requested', 'and the payment goes on waiting');
select is(concat_ws(' ', (app_public.approve_payment((pg_temp.of('later')).id)).status,
  pg_temp.jobs((pg_temp.of('later')).id)), 'requested 1', 'one for later waits for its time');
select tests.become_superuser();
delete from app_public.role_permissions
where tenant_id = tests.tenant('acme') and role = 'teller' and permission = 'payments.create';
select pg_temp.be('teller', 'theo');
select is(pg_temp.code(format('select app_public.approve_payment(%L)', (pg_temp.of('back')).id)), 'LG432',
  'whoever asked for it must still be allowed to');
select tests.become_superuser();
insert into app_public.role_permissions (tenant_id, role, permission)
values (tests.tenant('acme'), 'teller', 'payments.create');
set local role tallystick_owner;
select throws_ok(
  format('insert into app_public.payment_decisions (tenant_id, payment_id, created_by, is_approved, decided_by)
    select tenant_id, id, created_by, true, created_by from app_public.payments where id = %L',
    (pg_temp.of('back')).id),
  '23514', null, 'no row says that somebody approved their own');
select throws_ok(
  format('insert into app_public.payment_decisions (tenant_id, payment_id, created_by, is_approved, decided_by)
    select tenant_id, id, %L, true, created_by from app_public.payments where id = %L',
    tests.user_id('theo'), (pg_temp.of('back')).id),
  '23503', null, 'nor that somebody else had asked for it');
select throws_ok('update app_public.payment_decisions set is_approved = false', 'LG319', null, 'a decision stays');
set local role none;

--------------------------------------------------------------------------------------------------
-- Cancelled

select pg_temp.be('teller', 'tina');
select is((app_public.cancel_payment((pg_temp.of('back')).id, 'Mistake.')).status, 'cancelled',
  'one that waits is taken back');
select is((app_public.cancel_payment((pg_temp.of('out')).id)).status, 'cancelled', 'one that is reserved is cancelled');
select is((app_public.cancel_payment((pg_temp.of('out')).id)).status, 'cancelled', 'twice is once');
select is((tests.counters('acme', 'ann'))[3], 499 + 999::numeric, 'and what it reserved is free');
select is(pg_temp.code(format('select app_public.cancel_payment(%L)', (pg_temp.of('across')).id)), 'LG602',
  'what has settled is not');
insert into made select 'sent', (app_public.create_payment(tests.payment('acme', 'pay_out', 'ann', 7))).id;
select tests.become_superuser();
select app_private.take_settlement(tests.tenant('acme'), id, 1) from made where name = 'sent';
delete from graphile_worker._private_jobs;
select pg_temp.be('accountant', 'abe');
select is((app_public.cancel_payment((pg_temp.of('sent')).id)).status, 'submitted',
  'of one that was handed to its provider the provider decides');
select isnt(
  (select a.cancel_requested_at from app_public.payment_attempts a where a.payment_id = (pg_temp.of('sent')).id),
  null, 'which is to be asked');
select is(pg_temp.jobs((pg_temp.of('sent')).id), 1::bigint, 'by its job');
--------------------------------------------------------------------------------------------------
-- Those of others

select pg_temp.be('customer', 'ann');
insert into made select 'ann', (app_public.create_payment(
  tests.payment('acme', 'pay_out', 'ann', 5, provider_code => 'bank'))).id;
select is(pg_temp.code(format('select app_public.cancel_payment(%L)', (pg_temp.of('large')).id)), 'LG601',
  'a customer does not cancel what others asked for, though it debits their account');
select is((app_public.cancel_payment((pg_temp.of('ann')).id)).status, 'cancelled', 'but what they did');
insert into made select 'high', (app_public.create_payment(
  tests.payment('acme', 'pay_out', 'ann', 1500, provider_code => 'bank'))).id;
select is((pg_temp.of('high')).needs_approval, true, 'a customer waits for an approval as others do');
select is(
  (select count(*) from app_public.payments p join made m on m.id = p.id where m.name in ('high', 'across')),
  2::bigint, 'a customer sees the payments of their accounts');
select is((app_public.payment((pg_temp.of('high')).id)).id, (pg_temp.of('high')).id, 'by id');
select is(
  app_public.payments_amount_formatted(app_public.payment((pg_temp.of('high')).id)), '15.00', 'with its amount');
select pg_temp.be('customer', 'bob');
select is((app_public.payment((pg_temp.of('high')).id)).id, null, 'and those of nobody else');
select is(app_public.payments_refundable_amount(app_public.payment((pg_temp.of('across')).id)), 1003::app_public.amount,
  'who was paid sees what may be given back');
select is(
  (app_public.create_payment(
    tests.payment('acme', 'refund', amount => 3, refund_of_id => (pg_temp.of('across')).id))).status,
  'settled', 'and gives it back');
select pg_temp.be('auditor', 'otto');
select is(
  (select sum(violations) from app_public.verify_ledger('{
    payments_unlike_their_transactions,payments_unlike_their_moves,payments_without_approval,
    refunds_over_their_payment,transactions_without_approval}')),
  0::numeric, 'and the books are well');

select * from finish();
rollback;
