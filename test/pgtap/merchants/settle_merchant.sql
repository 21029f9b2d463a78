/*
 * Settling merchants: what a business day comes to, what is paid out and what is carried over, each posting once.
 */
begin;
select plan(69);

select tests.make_books('acme');
select tests.make_provider('acme', 'bank');
select tests.make_provider('acme', 'cards');
select tests.open_account('acme', 'shop', 'liability', owner_id => tests.user_id('bob'), minimum_balance => 0);
update app_public.tenants set has_kyc_limits = false;
insert into app_public.counterparties (tenant_id, id, name)
values (tests.tenant('acme'), tests.user_id('shop bank'), 'Shop Ltd');

create function pg_temp.ask(role text, statement text) returns text language plpgsql as $$
declare
  v_answer text;
begin
  perform tests.become(role, tests.tenant('acme'), tests.user_id('abe'));
  execute statement into v_answer;
  perform tests.become_superuser();
  return v_answer;
end
$$;
create function pg_temp.set(change jsonb default '{}', role text default 'accountant') returns uuid language sql as $$
  select pg_temp.ask(role, format('select (app_public.set_merchant(%L)).id', jsonb_populate_record(
    null::app_public.merchant_input, jsonb_build_object('code', 'shop', 'account_id', tests.account('acme', 'shop'),
      'provider_code', 'bank', 'counterparty_id', tests.user_id('shop bank'), 'time_zone', 'UTC') || change)))::uuid
$$;
create function pg_temp.detail(statement text) returns text language plpgsql as $$
declare
  v_detail text;
begin
  execute statement;
  return null;
exception when others then
  get stacked diagnostics v_detail = pg_exception_detail;
  return concat_ws(' ', sqlstate, v_detail::jsonb ->> 'field');
end
$$;

--------------------------------------------------------------------------------------------------
-- Setting up

select is(pg_temp.detail(format('select pg_temp.set(%L)', w.change::jsonb)), w.refusal, format('refused: %s', w.change))
from (values
  ('{"code": "Shop"}', 'LG66A code'), ('{"code": null}', 'LG66A code'), ('{"name": ""}', 'LG66A name'),
  ('{"account_id": null}', 'LG66A accountId'), ('{"provider_code": null}', 'LG66A providerCode'),
  ('{"counterparty_id": null}', 'LG66A counterpartyId'), ('{"schedule": "weekly"}', 'LG66A weekday'),
  ('{"weekday": 1}', 'LG66A weekday'), ('{"schedule": "weekly", "weekday": 8}', 'LG66A weekday'),
  ('{"time_zone": null}', 'LG66A timeZone'), ('{"time_zone": "Nowhere"}', 'LG66A timeZone'),
  ('{"cut_off_minutes": 0}', 'LG66A cutOffMinutes'), ('{"cut_off_minutes": 1441}', 'LG66A cutOffMinutes'),
  ('{"minimum_payout": 0}', 'LG66A minimumPayout'), ('{"hold_days": -1}', 'LG66A holdDays'),
  ('{"provider_code": "none"}', 'LG605'), ('{"counterparty_id": "00000000-0000-7000-8000-000000000000"}', 'LG606'),
  ('{"account_id": "00000000-0000-7000-8000-000000000000"}', 'LG301')
) as w (change, refusal);
select is(
  pg_temp.detail(format('select pg_temp.set(%L)', jsonb_build_object('account_id', tests.account('acme', 'cash')))),
  'LG66A accountId', 'the account holds what is owed to the merchant');
select throws_ok($$select pg_temp.set(role => 'teller')$$, '42501', null, 'a teller sets up no merchant');
create temp table shop on commit drop as select pg_temp.set('{"minimum_payout": 100}') as id;
select is(pg_temp.set('{"minimum_payout": 200, "name": "The shop"}'), id, 'a merchant is changed by its code')
  from shop;
select throws_ok(format('select pg_temp.set(%L)', jsonb_build_object('account_id', tests.account('acme', 'ann'))),
  'LG66B', null, 'but keeps its account');
select throws_ok($$select pg_temp.set('{"code": "twin"}')$$, 'LG66B', null, 'which no other merchant has');
select throws_ok('delete from app_public.merchants', 'LG66B', null, 'nobody removes one');

--------------------------------------------------------------------------------------------------
-- Business days

create function pg_temp.merchant(schedule text, weekday integer, settled_through date, time_zone text default 'UTC',
  cut_off_minutes integer default 1440) returns app_public.merchants language sql as $$
  select jsonb_populate_record(null::app_public.merchants, jsonb_build_object('schedule', schedule, 'weekday', weekday,
    'settled_through', settled_through, 'time_zone', time_zone, 'cut_off_minutes', cut_off_minutes))
$$;
select is(app_private.next_business_day(pg_temp.merchant(d.schedule, d.weekday, d.settled_through::date)), d.next::date,
  format('%s %s after %s', d.schedule, d.weekday, d.settled_through))
from (values
  ('daily', null::integer, '2026-11-20', '2026-11-21'),
  -- A Friday.
  ('weekly', 5, '2026-11-20', '2026-11-27'), ('weekly', 6, '2026-11-20', '2026-11-21'),
  ('weekly', 4, '2026-11-20', '2026-11-26'), ('weekly', 1, '2026-11-22', '2026-11-23')
) as d (schedule, weekday, settled_through, next);
select is(
  app_private.business_day_end(pg_temp.merchant('daily', null, null, d.zone, d.minutes), d.day::date),
    d.ends_at::timestamptz,
  format('%s ends in %s after %s minutes', d.day, d.zone, d.minutes))
from (values
  ('UTC', 1440, '2026-11-20', '2026-11-21 00:00Z'), ('Europe/Berlin', 1020, '2026-11-20', '2026-11-20 16:00Z'),
  -- The clocks were changed on that day, the wall shows the same.
  ('Europe/Berlin', 1020, '2026-10-25', '2026-10-25 16:00Z'), ('Europe/Berlin', 1020, '2026-10-24',
    '2026-10-24 15:00Z'),
  ('America/New_York', 1440, '2026-07-01', '2026-07-02 04:00Z')
) as d (zone, minutes, day, ends_at);

--------------------------------------------------------------------------------------------------
-- Settling

-- A day passes: all that there is, is a day older.
create function pg_temp.sleep() returns void language plpgsql as $$
begin
  perform set_config('session_replication_role', 'replica', true);
  update app_public.transactions set created_at = created_at - interval '1 day';
  update app_public.postings set created_at = created_at - interval '1 day';
  update app_public.merchants set settled_through = settled_through - 1;
  -- Those that are kept apart by their day are moved in an order that keeps them apart.
  update app_public.merchant_settlements set business_day = business_day - 1000;
  update app_public.merchant_settlements set business_day = business_day + 999;
  perform set_config('session_replication_role', 'origin', true);
end
$$;
create function pg_temp.settle() returns text language sql as $$
  select pg_temp.ask('worker', format('select app_private.settle_merchant(%s, %L)', tests.tenant('acme'), id)) from shop
$$;
-- The last settlement in one line.
create function pg_temp.settled() returns text language sql as $$
  select format('%s: in %s, sales %s, refunds %s, fees %s, other %s, paid %s, its fees %s, out %s%s', s.number,
    s.carried_in_amount, s.sales_amount, s.refunds_amount, s.fees_amount, s.other_amount, s.payout_amount,
    s.payout_fees_amount, s.carried_out_amount, ', ' || s.payout_refusal)
  from app_public.merchant_settlements s order by s.number desc limit 1
$$;
create function pg_temp.sell(amount numeric) returns uuid language sql as $$
  select tests.pay('acme', tests.payment('acme', 'transfer', 'ann', amount, to_account => 'shop'))
$$;
create function pg_temp.end_payout(how text) returns void language sql as $$
  select case how
    when 'settled' then app_private.settle_payment(
      app_private.system_actor(p.tenant_id), p.tenant_id, p.id, p.id::text)
    when 'returned' then app_private.return_payment(app_private.system_actor(p.tenant_id), p.tenant_id, p.id)
    else app_private.fail_payment(app_private.system_actor(p.tenant_id), p.tenant_id, p.id, 'no')
  end
  from app_public.merchant_settlements s
  join app_public.payments p on p.tenant_id = s.tenant_id and p.id = s.payment_id
  order by s.number desc limit 1
$$;

select pg_temp.ask('accountant', format('select (app_public.set_fee_schedule(%L)).id', jsonb_populate_record(
  null::app_public.fee_schedule_input, jsonb_build_object('code', 'sale', 'payment_kind', 'transfer', 'currency', 'EUR',
    'method', 'percent', 'rate_millionths', 100000, 'bearer', 'payee', 'refund_policy', 'proportional',
    'beneficiary_account_id', tests.account('acme', 'sales')))));
create temp table sale on commit drop as select pg_temp.sell(1000) as id;
select pg_temp.sell(500);
select tests.pay('acme', tests.payment('acme', 'refund', amount => 400, refund_of_id => id)) from sale;
select is(pg_temp.settle(), 'false', 'a day that is not over is not settled');
select is_empty('select * from app_private.due_merchants(10)', 'nor due');
select pg_temp.sleep();
select results_eq('select merchant_id from app_private.due_merchants(10)', 'select id from shop', 'then it is due');
select is(pg_temp.settle(), 'true', 'and settled');
select is(pg_temp.settled(),
  '1: in 0, sales 1500, refunds -400, fees -110, other 0, paid 990, its fees 0, out 0',
    'sales, refunds and fees are netted');
select is(tests.counters('acme', 'shop'), array[360, 1350, 990, 0]::numeric[], 'and the payout is reserved');
select results_eq(
  $$select l.kind::text, l.version, l.gross_amount::numeric, l.fees_amount::numeric, l.amount::numeric
    from app_public.merchant_settlement_lines l order by l.number$$,
  $$values ('sale', 2::bigint, 1000::numeric, -100::numeric, 900::numeric), ('sale', 4, 500, -50, 450),
    ('refund', 6, -400, 40, -360)$$, 'line by line');
select is(
  (select concat_ws(' ', p.kind, p.amount, p.provider_code, p.counterparty_id = tests.user_id('shop bank'),
      p.metadata ->> 'merchantSettlementId' = s.id::text)
    from app_public.payments p join app_public.merchant_settlements s on s.payment_id = p.id),
  'pay_out 990 bank t t', 'the payout is a payment to the merchant');
select is(pg_temp.settle(), 'false', 'the day is settled once');
select is((select count(*) from app_public.merchant_settlements), 1::bigint, 'and no more');

select pg_temp.end_payout('settled');
select pg_temp.sleep();
select is(pg_temp.settle(), 'true', 'a day without anything');
select is((select count(*) from app_public.merchant_settlements), 1::bigint, 'has no settlement');

-- What the payout posted is no line. Less than the minimum is carried over.
select pg_temp.sell(100);
select pg_temp.sleep();
select pg_temp.settle();
select is(pg_temp.settled(), '2: in 0, sales 100, refunds 0, fees -10, other 0, paid 0, its fees 0, out 90',
  'less than the minimum is carried over');
select pg_temp.sell(200);
select pg_temp.sleep();
select pg_temp.settle();
select is(pg_temp.settled(), '3: in 90, sales 200, refunds 0, fees -20, other 0, paid 270, its fees 0, out 0',
  'and paid out with what comes after it');

-- A payout that fails is paid out again, once.
select pg_temp.end_payout('failed');
select pg_temp.sleep();
select pg_temp.settle();
select is(pg_temp.settled(), '4: in 0, sales 0, refunds 0, fees 0, other 270, paid 270, its fees 0, out 0',
  'a payout that failed is paid out again');
select pg_temp.end_payout('settled');
select pg_temp.sleep();
select pg_temp.settle();
select is((select count(*) from app_public.merchant_settlements), 4::bigint, 'once');
-- One that comes back, too.
select pg_temp.end_payout('returned');
select pg_temp.sleep();
select pg_temp.settle();
select is(pg_temp.settled(), '5: in 0, sales 0, refunds 0, fees 0, other 270, paid 270, its fees 0, out 0',
  'and one that came back');
select pg_temp.end_payout('settled');

-- What the merchant owes is carried over, too: a manual debit below what there is.
select pg_temp.ask('accountant', format('select (app_public.set_account_limits(%L, -1000, null)).id',
  tests.account('acme', 'shop')));
select tests.post('acme', 'shop', 'cash', 300);
select pg_temp.sleep();
select pg_temp.settle();
select is(pg_temp.settled(), '6: in 0, sales 0, refunds 0, fees 0, other -300, paid 0, its fees 0, out -300',
  'what the merchant owes is carried over');
select pg_temp.sell(1000);
select pg_temp.sleep();
select pg_temp.settle();
select is(pg_temp.settled(), '7: in -300, sales 1000, refunds 0, fees -100, other 0, paid 600, its fees 0, out 0',
  'and taken off what comes after it');
select pg_temp.end_payout('settled');

-- A payout that is refused does not keep the day open.
update app_public.payment_providers set is_enabled = false where code = 'bank';
select pg_temp.sell(1000);
select pg_temp.sleep();
select is(pg_temp.settle(), 'true', 'a day whose payout is refused is settled');
select is(pg_temp.settled(), '8: in 0, sales 1000, refunds 0, fees -100, other 0, paid 0, its fees 0, out 900, LG605',
  'with the refusal, and its sum is carried over');
update app_public.payment_providers set is_enabled = true where code = 'bank';

-- The fees of a payout come out of the same sum.
select pg_temp.ask('accountant', format('select (app_public.set_fee_schedule(%L)).id', jsonb_populate_record(
  null::app_public.fee_schedule_input, jsonb_build_object('code', 'payout', 'payment_kind', 'pay_out', 'currency',
    'EUR',
    'method', 'percent', 'rate_millionths', 10000, 'fixed_amount', 25, 'bearer', 'payer',
    'beneficiary_account_id', tests.account('acme', 'sales')))));
select pg_temp.sleep();
select pg_temp.settle();
select is(pg_temp.settled(), '9: in 900, sales 0, refunds 0, fees 0, other 0, paid 866, its fees 34, out 0',
  'what was carried over is paid out, less the fees of the payout');
select pg_temp.end_payout('failed');
select pg_temp.sleep();
select pg_temp.settle();
select is(pg_temp.settled(), '10: in 0, sales 0, refunds 0, fees 34, other 866, paid 866, its fees 34, out 0',
  'which come back when it fails');
select pg_temp.end_payout('settled');

-- What is held waits; what was refunded meanwhile is not paid out.
select pg_temp.set('{"hold_days": 2, "minimum_payout": 1}');
create temp table held on commit drop as select pg_temp.sell(1000) as id;
select pg_temp.sleep();
select pg_temp.settle();
select is((select count(*) from app_public.merchant_settlements), 10::bigint, 'what is held is not settled yet');
select pg_temp.sleep();
select tests.pay('acme', tests.payment('acme', 'refund', amount => 800, refund_of_id => id)) from held;
select pg_temp.settle();
select pg_temp.sleep();
select pg_temp.settle();
select is(pg_temp.settled(), '11: in 0, sales 1000, refunds 0, fees -100, other 0, paid 153, its fees 27, out 720',
  'no more is paid out than is available');
select pg_temp.end_payout('settled');
select pg_temp.sleep();
select pg_temp.settle();
select pg_temp.sleep();
select pg_temp.settle();
select is(pg_temp.settled(), '12: in 720, sales 0, refunds -800, fees 80, other 0, paid 0, its fees 0, out 0',
  'and the refund is settled when its days are over');

-- Several days that were missed are settled one by one.
select pg_temp.set();
select pg_temp.sell(100);
select pg_temp.sleep();
select pg_temp.sell(200);
select pg_temp.sleep();
select is(concat_ws(' ', pg_temp.settle(), pg_temp.settle(), pg_temp.settle()), 'true true false',
  'missed days are settled one by one');
select results_eq(
  $$select s.number, s.sales_amount::numeric, s.business_day - (now() at time zone 'UTC')::date
    from app_public.merchant_settlements s where s.number > 12 order by 1$$,
  'values (13, 100::numeric, -2), (14, 200, -1)', 'each with what was sold on it');

-- One that is not enabled, and one of a tenant that is suspended, wait.
select pg_temp.set('{"is_enabled": false}');
select pg_temp.sleep();
select is(concat_ws(' ', pg_temp.settle(), (select count(*) from app_private.due_merchants(10))), 'false 0',
  'one that is not enabled is not settled');
select pg_temp.set();
update app_public.tenants set status = 'suspended' where id = tests.tenant('acme');
select is(concat_ws(' ', pg_temp.settle(), (select count(*) from app_private.due_merchants(10))), 'false 0',
  'nor one of books that are suspended');
update app_public.tenants set status = 'active' where id = tests.tenant('acme');

select is_empty('select * from checks.merchant_settlements_that_differ', 'all of it adds up');
select is_empty('select * from checks.payment_charges_that_differ', 'and so do the charges');
select throws_ok('update app_public.merchant_settlements set payout_amount = 1', 'LG319', null,
  'what was settled stays');

-- A customer sees the merchant whose account is theirs.
select is(pg_temp.ask('customer', 'select count(*) from app_public.merchants'), '0',
  'a customer sees no merchant of others');
select tests.become('customer', tests.tenant('acme'), tests.user_id('bob'));
select is(
  (select concat_ws(' ', (select count(*) from app_public.merchants), (select count(*)
    from app_public.merchant_settlements),
    (select count(*) > 10 from app_public.merchant_settlement_lines))),
  '1 14 t', 'but their own, with its settlements');

select tests.become_superuser();
select * from finish();
rollback;
