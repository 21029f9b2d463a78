/*
 * Asking for a payment: what each kind takes, what it reserves, its job and its event, the same request again,
 * refunds, payments for later, and who may name which accounts.
 */
begin;
select plan(59);

select tests.make_books('acme');
select tests.make_books('other');
select tests.make_provider('acme', 'bank');
update app_public.tenants set has_kyc_limits = false;
insert into app_public.role_permissions (tenant_id, role, permission)
select tests.tenant('acme'), r.role, 'payments.create'
from unnest('{customer,partner}'::app_public.member_role[]) as r (role);

-- The status of a payment and the counters of the accounts by which it is known: ann, bob, the provider.
create function pg_temp.counters() returns text language sql as $$
  select concat_ws(' ',
    tests.counters('acme', 'ann'), tests.counters('acme', 'bob'), tests.counters('acme', 'clearing:bank'))
$$;
create function pg_temp.of(id uuid) returns app_public.payments language sql security definer as $$
  select p from app_public.payments p where p.id = of.id
$$;
create function pg_temp.moves(id uuid) returns text language sql security definer as $$
  select string_agg(concat_ws('>', m.from_status, m.to_status), ' ' order by m.number)
  from app_public.payment_moves m where m.payment_id = moves.id
$$;
create function pg_temp.jobs(id uuid) returns text language sql security definer as $$
  select string_agg(j.task_identifier || case when j.run_at > now() then ' later' else ' now' end, ', ')
  from graphile_worker.jobs j where j.key = format('payment:%s:%s', tests.tenant('acme'), jobs.id)
$$;
create function pg_temp.detail(statement text) returns jsonb language plpgsql as $$
declare
  v_detail text;
begin
  execute statement;
  return null;
exception when others then
  get stacked diagnostics v_detail = pg_exception_detail;
  return v_detail::jsonb || jsonb_build_object('code', sqlstate);
end
$$;
create temp table made (name text primary key, id uuid) on commit drop;
grant all on made to public;

--------------------------------------------------------------------------------------------------
-- What a payment reserves

select tests.become('teller', tests.tenant('acme'), tests.user_id('tina'));
insert into made select 'out', (app_public.create_payment(tests.payment('acme', 'pay_out', 'ann', 4000))).id;
select is(pg_temp.counters(), '{0,10000,4000,0} {0,10000,0,0} {0,0,0,4000}',
  'a pay-out reserves from its account to the account of the provider');
select is(pg_temp.moves(id), 'requested requested>reserved', 'its moves are kept') from made where name = 'out';
select is(pg_temp.jobs(id), 'payments/settle now', 'its job is there') from made where name = 'out';
select is(
  (select t.metadata from app_public.transactions t where t.id = (pg_temp.of(m.id)).pending_transaction_id),
  jsonb_build_object('paymentId', m.id), 'the transaction names the payment')
from made m where name = 'out';
select is((pg_temp.of(id)).created_by, tests.user_id('tina'), 'and it who asked for it') from made where name = 'out';

insert into made select 'in', (app_public.create_payment(
  tests.payment('acme', 'pay_in', 'bob', 500, currency => 'EUR', provider_code => 'bank', reference => 'R 1'))).id;
select is(pg_temp.counters(), '{0,10000,4000,0} {0,10000,0,500} {0,0,500,4000}', 'a pay-in reserves the other way');

insert into made select 'transfer', (app_public.create_payment(
  tests.payment('acme', 'transfer', 'ann', 1000, to_account => 'bob', description => 'Lunch'))).id;
select is(pg_temp.counters(), '{1000,10000,4000,0} {0,11000,0,500} {0,0,500,4000}', 'a transfer is posted');
select is(pg_temp.moves(id), 'requested requested>reserved reserved>settled', 'at once')
from made where name = 'transfer';
select is(pg_temp.jobs(id), null, 'and needs no job') from made where name = 'transfer';
select results_eq(
  $$select o.kind::text from app_private.outbox o join made m on m.id = o.subject_id and m.name = 'transfer'
    order by o.number$$,
  array['payment.requested', 'payment.reserved', 'payment.settled'], 'each move is an event')
from (select tests.become_superuser()) x;
select tests.become('teller', tests.tenant('acme'), tests.user_id('tina'));
select is(
  pg_temp.detail($$select app_public.create_payment(tests.payment('acme', 'pay_out', 'ann', 5001))$$) ->> 'code',
  'LG202',
  'what the account does not have is refused');
select is((select count(*) from app_public.payments where amount = 5001), 0::bigint, 'and nothing is left of it');

--------------------------------------------------------------------------------------------------
-- What each kind takes

select is(
  pg_temp.detail(format('select app_public.create_payment(%L)', tests.payment('acme', k.kind::app_public.payment_kind,
    k.account, k.amount, to_account => k.to_account, currency => k.currency, provider_code => k.provider,
    refund_of_id => k.refund_of, counterparty_id => k.counterparty)))
    - '{name,kind,paymentId,accountId,counterpartyId,status,currency,rule,amount}'::text[],
  k.expected::jsonb, concat_ws(' ', k.kind, k.expected))
from (values
  (null, 'ann', 1, null, null, null, null::uuid, null::uuid, '{"code": "LG603", "field": "kind"}'),
  ('pay_out', null, 1, null, null, null, null, null, '{"code": "LG603", "field": "accountId"}'),
  ('pay_out', 'ann', null, null, null, null, null, null, '{"code": "LG603", "field": "amount"}'),
  ('transfer', 'ann', 1, null, null, null, null, null, '{"code": "LG603", "field": "toAccountId"}'),
  ('refund', null, 1, null, null, null, null, null, '{"code": "LG603", "field": "refundOfId"}'),
  ('pay_in', 'ann', 1, 'bob', null, null, null, null, '{"code": "LG604", "field": "toAccountId"}'),
  ('transfer', 'ann', 1, 'bob', null, 'bank', null, null, '{"code": "LG604", "field": "providerCode"}'),
  ('transfer', 'ann', 1, 'bob', null, null, null, tests.user_id('x'), '{"code": "LG604", "field": "counterpartyId"}'),
  ('pay_out', 'ann', 0, null, null, null, null, null, '{"code": "LG102"}'),
  ('pay_out', 'ann', 1, null, 'USD', null, null, null, '{"code": "LG613", "currencyOfAccount": "EUR"}'),
  ('pay_out', 'ann', 1, null, null, 'none', null, null, '{"code": "LG605", "providerCode": "none"}'),
  ('pay_out', 'ann', 1, null, null, null, null, tests.user_id('x'), '{"code": "LG606"}'),
  ('pay_out', 'clearing:bank', 1, null, null, null, null, null, '{"code": "LG611"}'),
  ('transfer', 'ann', 1, 'ann', null, null, null, null, '{"code": "LG611"}')
) as k (kind, account, amount, to_account, currency, provider, refund_of, counterparty, expected);

select is(
  pg_temp.detail(format('select app_public.create_payment(%L)',
    tests.payment('acme', 'pay_out', 'ann', 1, reference => k.reference, description => k.description,
      metadata => k.metadata::jsonb, idempotency_key => k.key, execute_at => k.execute_at::timestamptz,
      expires_at => k.expires_at::timestamptz))) ->> 'code',
  k.code, k.what)
from (values
  ('a reference that is too long', repeat('x', 141), null, null, null, null, null, 'LG114'),
  ('an empty description', null, '', null, null, null, null, 'LG106'),
  ('metadata that is no object', null, null, '[]', null, null, null, 'LG107'),
  ('an empty key', null, null, null, '', null, null, 'LG105'),
  ('executed in a century', null, null, null, null, '2126-01-01', null, 'LG612'),
  ('executed at no time', null, null, null, null, 'infinity', null, 'LG612'),
  ('expired already', null, null, null, null, null, '2026-01-01', 'LG612')
) as k (what, reference, description, metadata, key, execute_at, expires_at, code);
select is(
  pg_temp.detail(format('select app_public.create_payment(%L)',
    row('pay_out', tests.account('other', 'ann'), null, 1, null, null, null, null, null, null, null, null, null, null)
      ::app_public.payment_input)) ->> 'code',
  'LG301', 'an account of other books is none');

--------------------------------------------------------------------------------------------------
-- The same request again

insert into made select 'key', (app_public.create_payment(
  tests.payment('acme', 'pay_out', 'bob', 10, idempotency_key => 'k 1', metadata => '{"a": 1}'))).id;
select is(
  (app_public.create_payment(
    tests.payment('acme', 'pay_out', 'bob', 10, idempotency_key => 'k 1', metadata => '{"a": 1}'))).id,
  id, 'answers with the same payment') from made where name = 'key';
select is((tests.counters('acme', 'bob'))[3], 10::numeric, 'and reserves once');
select is(
  pg_temp.detail($$select app_public.create_payment(
    tests.payment('acme', 'pay_out', 'bob', 11, idempotency_key => 'k 1', metadata => '{"a": 2}'))$$)
    - 'name',
  jsonb_build_object('code', 'LG501', 'field', 'amount', 'paymentId', id),
  'and the same key with another payload with the first field that differs') from made where name = 'key';

--------------------------------------------------------------------------------------------------
-- Refunds

select is(
  pg_temp.detail(format('select app_public.create_payment(%L)', tests.payment('acme', 'refund', refund_of_id => id)))
    ->> 'code',
  'LG607', format('what is no settled pay-in or transfer is not given back: %s', name))
from made where name in ('in', 'out');
insert into made select 'part', (app_public.create_payment(
  tests.payment('acme', 'refund', amount => 300, refund_of_id => id))).id from made where name = 'transfer';
select is(
  to_jsonb(pg_temp.of(r.id)) -> 'debit_account_id' || (to_jsonb(pg_temp.of(r.id)) -> 'credit_account_id'),
  to_jsonb(array[tests.account('acme', 'bob'), tests.account('acme', 'ann')]),
  'a refund goes the other way')
from made r where name = 'part';
select is((pg_temp.of(id)).status, 'settled', 'and one of a transfer settles at once') from made where name = 'part';
select is(
  pg_temp.detail(format('select app_public.create_payment(%L)',
    tests.payment('acme', 'refund', amount => 701, refund_of_id => id))) - 'name',
  jsonb_build_object('code', 'LG608', 'paymentId', id, 'refundable', '700'),
  'refunds stay within their payment') from made where name = 'transfer';
insert into made select 'rest', (app_public.create_payment(tests.payment('acme', 'refund', refund_of_id => id))).id
from made where name = 'transfer';
select is((pg_temp.of(id)).amount::numeric, 700::numeric, 'a refund without an amount is of the rest')
from made where name = 'rest';
select is(
  pg_temp.detail(format('select app_public.create_payment(%L)', tests.payment('acme', 'refund', refund_of_id => id)))
    ->> 'code', 'LG608', 'and then there is none') from made where name = 'transfer';
select is(
  pg_temp.detail(format('select app_public.create_payment(%L)',
    tests.payment('acme', 'refund', refund_of_id => tests.user_id('x')))) ->> 'code',
  'LG601', 'a payment that is not there is not given back');

--------------------------------------------------------------------------------------------------
-- For later

insert into made select 'later', (app_public.create_payment(
  tests.payment('acme', 'pay_out', 'ann', 20, execute_at => now() + interval '1 day'))).id;
select is(concat_ws(' ', (pg_temp.of(id)).status, pg_temp.jobs(id)), 'requested payments/settle later',
  'a payment for later waits for its job') from made where name = 'later';
select is((tests.counters('acme', 'ann'))[3], 4000::numeric, 'and reserves nothing');
select tests.become_superuser();
select is((app_private.reserve_payment(app_private.system_actor(tenant_id), tenant_id, id)).status, 'requested',
  'it is not reserved before its time')
from app_public.payments where execute_at > now();
set local session_replication_role = replica;
update app_public.payments set execute_at = now() where execute_at > now();
set local session_replication_role = origin;
select is(
  (app_private.reserve_payment(app_private.system_actor(tests.tenant('acme')), tests.tenant('acme'), id)).status,
  'reserved', 'then it is') from made where name = 'later';
select is(
  (app_private.reserve_payment(app_private.system_actor(tests.tenant('acme')), tests.tenant('acme'), id)).status,
  'reserved', 'once') from made where name = 'later';
insert into made select 'short', tests.pay('acme',
  tests.payment('acme', 'transfer', 'ann', 9000, to_account => 'bob', execute_at => now() + interval '1 day'));
set local session_replication_role = replica;
update app_public.payments set execute_at = now() where execute_at > now();
set local session_replication_role = origin;
select is(concat_ws(' ', p.status, m.error_code), 'failed LG202', 'where funds are short by then it fails')
from made
cross join lateral app_private.reserve_payment(
  app_private.system_actor(tests.tenant('acme')), tests.tenant('acme'), made.id) p
join app_public.payment_moves m on m.payment_id = p.id and m.number = p.move_number
where made.name = 'short';

--------------------------------------------------------------------------------------------------
-- Customers and partners

select tests.become('customer', tests.tenant('acme'), tests.user_id('ann'));
select is(
  coalesce(pg_temp.detail(format('select app_public.create_payment(%L)', tests.payment(
    'acme', k.kind::app_public.payment_kind, k.account, 1, to_account => k.to_account,
    refund_of_id => (select m.id from made m where m.name = k.refund_of))))
    ->> 'code', 'made'),
  k.outcome, format('a customer: %s %s %s', k.kind, k.account, k.to_account))
from (values
  ('pay_out', 'ann', null, null, 'made'), ('pay_out', 'bob', null, null, 'LG301'),
  ('pay_in', 'ann', null, null, 'made'), ('pay_in', 'bob', null, null, 'LG301'),
  ('transfer', 'ann', 'bob', null, 'made'), ('transfer', 'bob', 'ann', null, 'LG301'),
  ('transfer', 'ann', 'sales', null, 'LG301'), ('refund', null, null, 'transfer', 'LG601')
) as k (kind, account, to_account, refund_of, outcome);
select is(
  pg_temp.detail($$select app_public.create_payment(
    tests.payment('acme', 'pay_out', 'ann', 10, idempotency_key => 'k 1'))$$) - 'name',
  '{"code": "LG501"}', 'a key that somebody else has used tells nothing of their payment');

select * from finish();
rollback;
