/*
 * What payments are charged: the arithmetic, which schedule applies, who bears it, VAT, splits, what refunds give
 * back, and that a quote tells what is posted.
 */
begin;
select plan(82);

select tests.make_books('acme');
select tests.make_provider('acme', 'bank');
select tests.make_provider('acme', 'card');
select tests.open_account('acme', a.code, a.type::app_public.account_type)
from (values ('vat', 'liability'), ('promo', 'expense'), ('partner', 'liability'), ('agent',
  'liability')) as a (code, type);
update app_public.tenants set has_kyc_limits = false;

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

-- A schedule; what ends in "account" names one by its code.
create function pg_temp.set(change jsonb) returns uuid language sql as $$
  select pg_temp.ask('accountant', format('select (app_public.set_fee_schedule(%L)).id', jsonb_populate_record(
    null::app_public.fee_schedule_input,
    (
      select jsonb_object_agg(
        case when e.key ~ 'account$' then e.key || '_id' else e.key end,
        case when e.key ~ 'account$' then to_jsonb(tests.account('acme', e.value #>> '{}')) else e.value end)
      from jsonb_each('{"code": "fee", "currency": "EUR", "payment_kind": "transfer", "method": "fixed",
        "bearer": "payer", "beneficiary_account": "sales"}' || change) e
    ))))::uuid
$$;
-- No schedule and no split holds any more.
create function pg_temp.clear() returns void language plpgsql as $$
begin
  perform set_config('session_replication_role', 'replica', true);
  update app_public.fee_schedules set during = tstzrange(now() - interval '2 days', now() - interval '1 day')
  where upper_inf(during) and code not like 'old%';
  update app_public.fee_schedules set code = 'old-' || left(md5(id::text), 8) where code not like 'old%';
  update app_public.split_rules set during = tstzrange(now() - interval '2 days', now() - interval '1 day'),
    code = 'old-' || left(md5(id::text), 8), account_id = null;
  perform set_config('session_replication_role', 'origin', true);
end
$$;

--------------------------------------------------------------------------------------------------
-- Rounding

select is(app_private.round_ratio(r.n, r.d, r.rounding::app_public.fee_rounding), r.rounded::numeric,
  format('%s / %s, %s', r.n, r.d, r.rounding))
from (values
  (5, 2, 'half_even', 2), (7, 2, 'half_even', 4), (5, 2, 'half_up', 3), (7, 2, 'half_up', 4), (1, 3, 'half_up', 0),
  (2, 3, 'half_even', 1), (0, 7, 'half_up', 0), (1, 2, 'half_even', 0),
  -- A half of a divisor that no decimal shows.
  (357, 238, 'half_even', 2), (119, 238, 'half_up', 1), (118, 238, 'half_up', 0), (119, 238, 'half_even', 0)
) as r (n, d, rounding, rounded);
select is(
  app_private.round_ratio(99999999999999999999999999999999999999 * 999999::numeric, 1000000),
  99999899999999999999999999999999999999::numeric, 'the largest amounts are worked out exactly');

--------------------------------------------------------------------------------------------------
-- What a fee is

-- The fee on each of some amounts, by a schedule that is taken back again.
create function pg_temp.fees(change jsonb, amounts numeric[]) returns numeric[] language plpgsql as $$
declare
  v_fees numeric[];
begin
  perform pg_temp.set(change);
  select array_agg(app_private.fee_amount(s, a.amount) order by a.n) into v_fees
  from app_public.fee_schedules s, unnest(amounts) with ordinality a (amount, n)
  where upper_inf(s.during);
  raise exception sqlstate 'P0099' using message = coalesce(v_fees::text, 'none');
exception when sqlstate 'P0099' then
  return sqlerrm::numeric[];
end
$$;
select is(pg_temp.fees(f.change::jsonb, f.amounts), f.fees,
  format('%s: %s', f.fees, regexp_replace(f.change, '\s+', ' ', 'g')))
from (values
  ('{"fixed_amount": 25}', array[1, 1000000]::numeric[], array[25, 25]::numeric[]),
  ('{"method": "percent", "rate_millionths": 29000, "fixed_amount": 30}', array[10000, 0, 17], array[320, 30, 30]),
  ('{"method": "percent", "rate_millionths": 25000}', array[20, 60, 100], array[0, 2, 2]),
  ('{"method": "percent", "rate_millionths": 25000, "rounding": "half_up"}', array[20, 60, 100], array[1, 2, 3]),
  ('{"method": "percent", "rate_millionths": 10000, "minimum_amount": 50, "maximum_amount": 500}',
    array[100, 5000, 20000, 90000], array[50, 50, 200, 500]),
  -- Rounded once: three tiers that each come to a third of a unit make one unit.
  ('{"method": "tiered", "tier_mode": "graduated", "tiers": [{"from_amount": 0, "rate_millionths": 333333},
    {"from_amount": 1, "rate_millionths": 333333}, {"from_amount": 2, "rate_millionths": 333334}]}',
    array[1, 2, 3], array[0, 1, 1]),
  ('{"method": "tiered", "tier_mode": "graduated", "tiers": [{"from_amount": 1000, "rate_millionths": 10000},
    {"from_amount": 0, "rate_millionths": 20000, "fixed_amount": 10}, {"from_amount": 5000, "fixed_amount": 100}]}',
    array[0, 500, 999, 1000, 2000, 5000, 9999], array[10, 20, 30, 30, 40, 170, 170]),
  ('{"method": "tiered", "tier_mode": "whole", "tiers": [{"from_amount": 1000, "rate_millionths": 10000},
    {"from_amount": 0, "rate_millionths": 20000, "fixed_amount": 10}, {"from_amount": 5000, "fixed_amount": 100}]}',
    array[0, 500, 999, 1000, 2000, 5000, 9999], array[10, 20, 30, 10, 20, 100, 100])
) as f (change, amounts, fees);

--------------------------------------------------------------------------------------------------
-- A payment, its quote, and what it posts

-- The postings that a quote tells: account and signed amount, debits positive.
create function pg_temp.quote(input app_public.payment_input) returns text language sql as $$
  select string_agg(format('%s %s', a.code, case p.direction when 'debit' then p.amount::numeric else -p.amount end),
    ', '
    order by p.n)
  from (select pg_temp.ask('teller', format('select app_public.quote_payment(%L)',
    input))::app_public.payment_quote as q) q
  cross join lateral unnest((q.q).postings) with ordinality as p (account_id, direction, amount, n)
  join app_public.accounts a on a.id = p.account_id
$$;
-- What a payment has reserved, in the same words.
create function pg_temp.reserved(payment_id uuid) returns text language sql as $$
  select string_agg(format('%s %s', a.code,
    case q.direction when 'debit' then q.pending_amount::numeric else -q.pending_amount end), ', ' order by q.ordinal)
  from app_public.payments p
  join app_public.postings q on q.tenant_id = p.tenant_id and q.transaction_id = p.pending_transaction_id
  join app_public.accounts a on a.tenant_id = q.tenant_id and a.id = q.account_id
  where p.id = payment_id
$$;
create function pg_temp.transfer(amount numeric) returns app_public.payment_input language sql stable as $$
  select tests.payment('acme', 'transfer', 'ann', amount, to_account => 'bob')
$$;
-- The quote, if it is what is then reserved; the payment is taken back.
create function pg_temp.both(input app_public.payment_input) returns text language plpgsql as $$
declare
  v_quote text := pg_temp.quote(input);
  v_id uuid;
  v_reserved text;
begin
  v_id := tests.pay('acme', input);
  v_reserved := pg_temp.reserved(v_id);
  raise exception sqlstate 'P0099'
  using message = case when v_quote = v_reserved then v_quote else format('%s <> %s', v_quote, v_reserved) end;
exception when sqlstate 'P0099' then
  return sqlerrm;
end
$$;

select is(pg_temp.both(pg_temp.transfer(1000)), 'ann 1000, bob -1000', 'without a schedule there is no charge');
-- The schedules of a moment, and what a payment then posts.
create function pg_temp.with(schedules jsonb, input app_public.payment_input) returns text language plpgsql as $$
declare
  v_schedule jsonb;
  v_told text;
begin
  for v_schedule in select * from jsonb_array_elements(schedules) loop
    perform pg_temp.set(v_schedule);
  end loop;
  v_told := pg_temp.both(input);
  raise exception sqlstate 'P0099' using message = v_told;
exception when sqlstate 'P0099' then
  return sqlerrm;
end
$$;
select pg_temp.ask('accountant', 'select (app_public.set_vat_rate(''DE'', ''standard'', 190000)).id');
select is(pg_temp.with(w.schedules::jsonb, w.input), w.posted, w.what)
from (values
  ('who pays bears it', '[{"fixed_amount": 25}]', pg_temp.transfer(1000), 'ann 1025, bob -1000, sales -25'),
  ('who is paid bears it', '[{"fixed_amount": 25, "bearer": "payee"}]', pg_temp.transfer(1000),
    'ann 1000, bob -975, sales -25'),
  ('an account of its own bears it', '[{"fixed_amount": 25, "bearer": "account", "bearer_account": "promo"}]',
    pg_temp.transfer(1000), 'ann 1000, bob -1000, promo 25, sales -25'),
  ('a commission goes to a partner', '[{"fixed_amount": 25, "beneficiary_account": "partner"}]',
    pg_temp.transfer(1000), 'ann 1025, bob -1000, partner -25'),
  ('nobody is charged in favour of themselves',
    '[{"fixed_amount": 25, "bearer": "payee", "beneficiary_account": "bob"}]',
    pg_temp.transfer(1000), 'ann 1000, bob -1000'),
  ('fees of two codes add up', '[{"fixed_amount": 25}, {"code": "tax", "fixed_amount": 5, "bearer": "payee"}]',
    pg_temp.transfer(1000), 'ann 1025, bob -995, sales -30'),
  ('a fee that takes all leaves nothing', '[{"fixed_amount": 10, "bearer": "payee"}]', pg_temp.transfer(10),
    'ann 10, sales -10'),
  ('a fee on a pay-in', '[{"payment_kind": "pay_in", "fixed_amount": 25, "bearer": "payee"}]',
    tests.payment('acme', 'pay_in', 'ann', 1000, provider_code => 'bank'), 'clearing:bank 1000, ann -975, sales -25'),
  ('a fee on a pay-out', '[{"payment_kind": "pay_out", "fixed_amount": 25}]',
    tests.payment('acme', 'pay_out', 'ann', 1000, provider_code => 'bank'), 'ann 1025, clearing:bank -1000, sales -25'),
  ('a fee of another kind of payment', '[{"payment_kind": "pay_in", "fixed_amount": 25, "bearer": "payee"}]',
    pg_temp.transfer(1000), 'ann 1000, bob -1000'),
  ('a fee of another provider', '[{"payment_kind": "pay_out", "fixed_amount": 25, "provider_code": "card"}]',
    tests.payment('acme', 'pay_out', 'ann', 1000, provider_code => 'bank'), 'ann 1000, clearing:bank -1000'),
  ('one for the provider comes before one for all', '[{"payment_kind": "pay_out", "fixed_amount": 25},
    {"payment_kind": "pay_out", "fixed_amount": 7, "provider_code": "bank"}]',
    tests.payment('acme', 'pay_out', 'ann', 1000, provider_code => 'bank'), 'ann 1007, clearing:bank -1000, sales -7'),
  ('but a higher priority comes before that', '[{"payment_kind": "pay_out", "fixed_amount": 25, "priority": 1},
    {"payment_kind": "pay_out", "fixed_amount": 7, "provider_code": "bank"}]',
    tests.payment('acme', 'pay_out', 'ann', 1000, provider_code => 'bank'), 'ann 1025, clearing:bank -1000, sales -25'),
  ('VAT comes on top', '[{"fixed_amount": 250, "vat_treatment": "exclusive", "vat_jurisdiction": "DE",
    "vat_category": "standard", "vat_account": "vat"}]', pg_temp.transfer(1000),
    'ann 1298, bob -1000, sales -250, vat -48'),
  ('VAT rounded half up', '[{"fixed_amount": 250, "rounding": "half_up", "vat_treatment": "exclusive",
    "vat_jurisdiction": "DE", "vat_category": "standard", "vat_account": "vat"}]', pg_temp.transfer(1000),
    'ann 1298, bob -1000, sales -250, vat -48'),
  ('VAT of 50 at 19 %', '[{"fixed_amount": 50, "vat_treatment": "exclusive", "vat_jurisdiction": "DE",
    "vat_category": "standard", "vat_account": "vat"}]', pg_temp.transfer(1000),
    'ann 1060, bob -1000, sales -50, vat -10'),
  ('VAT is within the fee', '[{"fixed_amount": 119, "vat_treatment": "inclusive", "vat_jurisdiction": "DE",
    "vat_category": "standard", "vat_account": "vat", "bearer": "payee"}]', pg_temp.transfer(1000),
    'ann 1000, bob -881, sales -100, vat -19'),
  ('VAT of a fee that is too small for any', '[{"fixed_amount": 1, "vat_treatment": "inclusive",
    "vat_jurisdiction": "DE", "vat_category": "standard", "vat_account": "vat"}]', pg_temp.transfer(1000),
    'ann 1001, bob -1000, sales -1')
) as w (what, schedules, input, posted);

select throws_ok(
  format('select pg_temp.with(%L, pg_temp.transfer(10))', '[{"fixed_amount": 11, "bearer": "payee"}]'),
  'LG642', null, 'nobody is charged more than they get');
select throws_ok(
  format('select pg_temp.with(%L, pg_temp.transfer(10))', '[{"fixed_amount": 1, "vat_treatment": "exclusive",
    "vat_jurisdiction": "FR", "vat_category": "standard", "vat_account": "vat"}]'),
  'LG644', null, 'a fee whose VAT nobody knows is refused');

--------------------------------------------------------------------------------------------------
-- Account sets

create temp table sets on commit drop as
select pg_temp.ask('accountant', format('select (app_public.create_account_set(%L, ''x'')).id', s.code))::uuid as id,
  s.code
from (values ('inner'), ('outer')) s (code);
select pg_temp.ask('accountant', format('select (app_public.add_account_to_set(%L, %L)).id',
  (select id from sets where code = 'inner'), tests.account('acme', 'ann')));
select pg_temp.ask('accountant', format('select (app_public.add_set_to_set(%L, %L)).id',
  (select id from sets where code = 'outer'), (select id from sets where code = 'inner')));
select is(
  pg_temp.with(jsonb_build_array(
    '{"fixed_amount": 25}'::jsonb,
    jsonb_build_object('fixed_amount', 1, 'bearer', w.bearer, 'account_set_id', (select id from sets
      where code = 'outer'))),
    pg_temp.transfer(1000)),
  w.posted, w.what)
from (values
  ('payer', 'a set is that of who bears the fee, however far down', 'ann 1001, bob -1000, sales -1'),
  ('payee', 'and not of the other one', 'ann 1025, bob -1000, sales -25')
) as w (bearer, what, posted);

--------------------------------------------------------------------------------------------------
-- Splits

create function pg_temp.split(shares text, account text default null) returns uuid language sql as $$
  select pg_temp.ask('accountant', format(
    'select (app_public.set_split_rule(''shared'', ''EUR'', %L::app_public.split_share_input[], account_id => %L)).id',
    (select array_agg(row(tests.account('acme', (regexp_match(s.share, '^\w+'))[1]),
      (regexp_match(s.share, ':(\d+)'))[1], (regexp_match(s.share, '=(\d+)'))[1])::app_public.split_share_input
        order by s.n)
      from regexp_split_to_table(shares, ' ') with ordinality s (share, n)),
    tests.account('acme', account)))::uuid
$$;
create function pg_temp.shares(shares text, amount numeric) returns text language plpgsql as $$
declare
  v_told text;
  v_id uuid;
begin
  v_id := pg_temp.split(shares);
  select string_agg(a.code || ' ' || s.share, ', ') into v_told
  from app_private.split_amount(tests.tenant('acme'), v_id, amount) s
  join app_public.accounts a on a.id = s.account_id;
  raise exception sqlstate 'P0099' using message = coalesce(v_told, 'nothing');
exception when sqlstate 'P0099' then
  return sqlerrm;
end
$$;
select is(pg_temp.shares(s.shares, s.amount), s.told, format('%s of %s', s.shares, s.amount))
from (values
  ('ann', 10, 'ann 10'), ('ann bob:250000', 10, 'ann 8, bob 2'), ('ann bob:250000', 1, 'ann 1'),
  ('ann bob:333333 agent:333333', 100, 'ann 34, bob 33, agent 33'),
  ('ann=3 bob=4 agent', 10, 'ann 3, bob 4, agent 3'), ('ann=3 bob=4 agent', 5, 'ann 3, bob 2'),
  ('ann=3 bob=4 agent', 2, 'ann 2'), ('agent:500000 ann=3 bob', 11, 'agent 4, ann 3, bob 4'),
  ('ann bob:1000000', 10, 'bob 10'), ('ann', 0, 'nothing')
) as s (shares, amount, told);
create temp table large on commit drop as select pg_temp.split('ann bob:333333 agent:1 partner=7') as id;
select is(
  (select sum(s.share::numeric) from large l, app_private.split_amount(
    tests.tenant('acme'), l.id, 99999999999999999999999999999999999999) s),
  99999999999999999999999999999999999999::numeric, 'no unit of the largest amount is lost');
select pg_temp.clear();

select pg_temp.split('partner:250000 agent=5 sales');
select is(
  pg_temp.with('[{"fixed_amount": 100, "beneficiary_account": null, "split_code": "shared",
    "vat_treatment": "exclusive",
    "vat_jurisdiction": "DE", "vat_category": "standard", "vat_account": "vat"}]', pg_temp.transfer(1000)),
  'ann 1119, bob -1000, partner -24, agent -5, sales -71, vat -19', 'a fee is shared, its VAT is not');
select pg_temp.clear();
select pg_temp.split('bob partner:100000', 'bob');
select is(
  pg_temp.with('[{"fixed_amount": 100, "bearer": "payee"}]', pg_temp.transfer(1000)),
  'ann 1000, bob -810, sales -100, partner -90', 'what a payment brings to an account is shared, less its fees');
select is(
  pg_temp.both(tests.payment('acme', 'pay_out', 'bob', 1000, provider_code => 'bank')), 'bob 1000, clearing:bank -1000',
  'but not what it pays out');

--------------------------------------------------------------------------------------------------
-- What is charged stays, and refunds

select pg_temp.set('{"method": "percent", "rate_millionths": 100000, "bearer": "payee", "refund_policy": "proportional",
  "vat_treatment": "exclusive", "vat_jurisdiction": "DE", "vat_category": "standard", "vat_account": "vat"}');
select pg_temp.set('{"code": "kept", "fixed_amount": 3}');
create temp table paid on commit drop as select tests.pay('acme', pg_temp.transfer(1000)) as id;
select is(pg_temp.reserved(id), 'ann 1003, bob -793, sales -103, vat -19, partner -88', 'the payment') from paid;
select is((select p.status from app_public.payments p join paid using (id)), 'settled', 'is settled');
select results_eq(
  $$select c.kind, c.base_amount::numeric, c.amount::numeric, a.code, b.code, c.refund_policy
    from app_public.payment_charges c join paid on paid.id = c.payment_id
    join app_public.accounts a on a.id = c.debit_account_id join app_public.accounts b on b.id = c.credit_account_id
    order by c.number$$,
  $$values
    ('fee'::app_public.charge_kind, 1000::numeric, 100::numeric, 'bob', 'sales',
      'proportional'::app_public.charge_refund_policy),
    ('vat', 100, 19, 'bob', 'vat', 'proportional'), ('fee', 1000, 3, 'ann', 'sales', 'none'),
    ('split', 881, 88, 'bob', 'partner', 'proportional')$$,
  'what it was charged is written down');
select pg_temp.set(jsonb_build_object('code', 'kept', 'fixed_amount', 500, 'valid_from', now() + interval '1 hour'));
select is(
  (select count(*) from app_public.payment_charges c join paid on paid.id = c.payment_id), 4::bigint,
  'and does not change with the schedules');
select throws_ok('update app_public.payment_charges set amount = 1', 'LG319', null, 'nor by anybody');

create function pg_temp.refund(amount numeric) returns app_public.payment_input language sql as $$
  select tests.payment('acme', 'refund', amount => refund.amount, refund_of_id => p.id) from paid p
$$;
select is(pg_temp.both(pg_temp.refund(1000)), 'bob 793, ann -1000, sales 100, vat 19, partner 88',
  'a refund of all gives back what its policy says');
select is(pg_temp.both(pg_temp.refund(1)), 'bob 1, ann -1', 'one of a little gives back what that comes to');
select is(pg_temp.both(pg_temp.refund(333)), 'bob 265, ann -333, sales 33, vat 6, partner 29', 'or a third');
create temp table refunds on commit drop as
select a.amount, tests.pay('acme', pg_temp.refund(a.amount)) as id from (values (333), (1)) a (amount);
insert into refunds select a.amount, tests.pay('acme', pg_temp.refund(a.amount)) from (values (100), (499)) a (amount);
insert into refunds select null, tests.pay('acme', pg_temp.refund(null));
select results_eq(
  $$select g.refunded_number, sum(g.amount::numeric) from app_public.payment_charges g join refunds r
    on r.id = g.payment_id
    group by 1 order by 1$$,
  'values (1, 100::numeric), (2, 19), (4, 88)', 'in parts exactly as much is given back as was taken');
select is(
  (select array[(tests.counters('acme', 'sales'))[2] - (tests.counters('acme', 'sales'))[1],
    (tests.counters('acme', 'vat'))[2] - (tests.counters('acme', 'vat'))[1],
    (tests.counters('acme', 'partner'))[2] - (tests.counters('acme', 'partner'))[1]]),
  array[3, 0, 0]::numeric[], 'and only what is kept is left');

-- A refund that fails counts for nothing.
select pg_temp.clear();
select pg_temp.set('{"payment_kind": "pay_in", "method": "percent", "rate_millionths": 100000, "bearer": "payee",
  "refund_policy": "proportional"}');
truncate paid;
insert into paid select tests.pay('acme', tests.payment('acme', 'pay_in', 'ann', 1000, provider_code => 'bank'));
select lives_ok(format('select app_private.settle_payment(app_private.system_actor(%1$s), %1$s, %2$L, ''x'')',
  tests.tenant('acme'), id), 'a pay-in settles') from paid;
create temp table failed on commit drop as select tests.pay('acme', pg_temp.refund(400)) as id;
select is(pg_temp.reserved(id), 'ann 360, clearing:bank -400, sales 40', 'its refund holds its charges back')
  from failed;
select is(pg_temp.both(pg_temp.refund(600)), 'ann 540, clearing:bank -600, sales 60', 'the rest with it');
select lives_ok(format('select app_private.fail_payment(app_private.system_actor(%1$s), %1$s, %2$L, ''no'')',
  tests.tenant('acme'), id), 'the refund fails') from failed;
select is(pg_temp.both(pg_temp.refund(1000)), 'ann 900, clearing:bank -1000, sales 100', 'and all can be given back');
select lives_ok(format('select app_private.return_payment(app_private.system_actor(%1$s), %1$s, %2$L, ''no'')',
  tests.tenant('acme'), id), 'a payment that comes back') from paid;
select is(
  (select sum(case q.direction when 'debit' then q.posted_amount::numeric else -q.posted_amount end)
    from app_public.postings q join app_public.payments p on q.transaction_id in (p.settlement_transaction_id,
      p.return_transaction_id)
    join paid on paid.id = p.id where q.account_id = tests.account('acme', 'sales')),
  0::numeric, 'takes its charges with it');

-- A payment for later is charged what was agreed when it was asked for.
create temp table later on commit drop as
select tests.pay('acme', tests.payment(
  'acme', 'pay_in', 'ann', 1000, provider_code => 'bank', execute_at => now() + interval '1 day')) as id;
select pg_temp.clear();
set local session_replication_role = replica;
update app_public.payments set execute_at = now() where execute_at > now();
set local session_replication_role = origin;
select lives_ok(format('select app_private.reserve_payment(app_private.system_actor(%1$s), %1$s, %2$L)',
  tests.tenant('acme'), id), 'a payment for later is reserved') from later;
select is(pg_temp.reserved(id), 'clearing:bank 1000, ann -900, sales -100', 'with the charges of when it was asked for')
from later;
select is_empty('select * from checks.payment_charges_that_differ', 'what was charged is what was posted');
select is_empty('select * from checks.unbalanced_transactions', 'and all of it balances');

--------------------------------------------------------------------------------------------------
-- Who asks for a quote

select throws_ok(
  format('select pg_temp.ask(''auditor'', %L)', format('select app_public.quote_payment(%L)', pg_temp.transfer(1))),
  '42501', null, 'an auditor asks for no quote');
select throws_ok(
  format('select pg_temp.ask(''customer'', %L)', format('select app_public.quote_payment(%L)', pg_temp.transfer(1))),
  'LG402', null, 'a customer only where the tenant lets customers pay');
select throws_ok(
  $$select pg_temp.quote(tests.payment('acme', 'refund', amount => 1, refund_of_id => uuidv7()))$$, 'LG601', null,
  'there is no quote for the refund of nothing');

select * from finish();
rollback;
