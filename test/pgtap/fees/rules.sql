/*
 * Setting and ending what payments are charged by: what is refused, what follows what, and that nothing that has
 * begun changes.
 */
begin;
select plan(90);

select tests.make_books('acme');
select tests.make_books('other');
select tests.make_provider('acme', 'bank');
select tests.open_account('acme', 'vat', 'liability');

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
-- Fee schedules

-- A schedule that is right, with what a test changes of it; accounts by their codes.
create function pg_temp.schedule(change jsonb default '{}') returns app_public.fee_schedule_input
language sql stable as $$
  select jsonb_populate_record(
    null::app_public.fee_schedule_input,
    '{"code": "card", "payment_kind": "pay_in", "currency": "EUR", "method": "percent", "rate_millionths": 29000,
      "bearer": "payee"}'
      || jsonb_build_object('beneficiary_account_id', tests.account('acme', 'sales'))
      || jsonb_build_object('vat_account', null) || change)
$$;
create function pg_temp.set(change jsonb default '{}', role text default 'accountant') returns uuid
language sql as $$
  select pg_temp.ask(role, format('select (app_public.set_fee_schedule(%L)).id', pg_temp.schedule(change)))::uuid
$$;
create function pg_temp.account(code text) returns jsonb language sql stable as $$
  select to_jsonb(tests.account('acme', code))
$$;

select is(
  pg_temp.detail(format('select pg_temp.set(%L)', w.change::jsonb)), w.refusal,
  format('refused: %s', regexp_replace(w.change, '\s+', ' ', 'g')))
from (values
  ('{"code": "Card"}', 'LG641 code'), ('{"code": null}', 'LG641 code'), ('{"name": ""}', 'LG641 name'),
  ('{"payment_kind": null}', 'LG641 paymentKind'), ('{"currency": null}', 'LG641 currency'),
  ('{"payment_kind": "transfer", "provider_code": "bank"}', 'LG641 providerCode'),
  ('{"provider_code": "none"}', 'LG641 providerCode'), ('{"method": null}', 'LG641 method'),
  ('{"method": "fixed"}', 'LG641 fixedAmount'), ('{"method": "fixed", "fixed_amount": 0}', 'LG641 fixedAmount'),
  ('{"fixed_amount": -1}', 'LG641 fixedAmount'),
  ('{"method": "fixed", "fixed_amount": 1}', 'LG641 rateMillionths'),
  ('{"rate_millionths": 0}', 'LG641 rateMillionths'), ('{"rate_millionths": 1000001}', 'LG641 rateMillionths'),
  ('{"tier_mode": "whole"}', 'LG641 tierMode'),
  ('{"method": "tiered", "rate_millionths": null}', 'LG641 tierMode'),
  ('{"method": "tiered", "rate_millionths": null, "tier_mode": "whole"}', 'LG641 tiers'),
  ('{"tiers": [{"from_amount": 0}]}', 'LG641 tiers'),
  ('{"method": "tiered", "rate_millionths": null, "tier_mode": "whole", "tiers": [{"from_amount": 1}]}', 'LG641 tiers'),
  ('{"method": "tiered", "rate_millionths": null, "tier_mode": "whole", "tiers": [{"from_amount": 0}, {}]}',
    'LG641 tiers'),
  ('{"method": "tiered", "rate_millionths": null, "tier_mode": "whole",
    "tiers": [{"from_amount": 0}, {"from_amount": 0}]}', 'LG641 tiers'),
  ('{"method": "tiered", "rate_millionths": null, "tier_mode": "whole",
    "tiers": [{"from_amount": 0, "rate_millionths": -1}]}', 'LG641 tiers'),
  ('{"method": "tiered", "rate_millionths": null, "tier_mode": "whole",
    "tiers": [{"from_amount": 0, "fixed_amount": -1}]}', 'LG641 tiers'),
  ('{"minimum_amount": -1}', 'LG641 minimumAmount'), ('{"maximum_amount": 0}', 'LG641 maximumAmount'),
  ('{"minimum_amount": 2, "maximum_amount": 1}', 'LG641 maximumAmount'),
  ('{"bearer": "payer"}', 'LG641 bearer'), ('{"bearer": null}', 'LG641 bearer'),
  ('{"payment_kind": "pay_out"}', 'LG641 bearer'), ('{"payment_kind": "refund"}', 'LG641 bearer'),
  ('{"bearer": "account"}', 'LG641 bearerAccountId'),
  ('{"beneficiary_account_id": null}', 'LG641 beneficiaryAccountId'),
  ('{"split_code": "shared"}', 'LG641 beneficiaryAccountId'),
  ('{"vat_treatment": "exclusive"}', 'LG641 vatTreatment'), ('{"vat_category": "standard"}', 'LG641 vatTreatment'),
  ('{"valid_from": "2026-01-01Z"}', 'LG641 validFrom'), ('{"valid_from": "infinity"}', 'LG641 validFrom'),
  ('{"valid_to": "2026-01-01Z"}', 'LG641 validTo'), ('{"valid_to": "infinity"}', 'LG641 validTo'),
  ('{"currency": "USD"}', 'LG641 beneficiaryAccountId'),
  ('{"beneficiary_account_id": null, "split_code": "none"}', 'LG645'),
  ('{"account_set_id": "00000000-0000-7000-8000-000000000000"}', 'LG351'),
  ('{"beneficiary_account_id": "00000000-0000-7000-8000-000000000000"}', 'LG301')
) as w (change, refusal);
select is(
  pg_temp.detail(format('select pg_temp.set(%L)', jsonb_build_object(
    'bearer', 'account', 'bearer_account_id', tests.account('acme', 'sales')))),
  'LG641 beneficiaryAccountId', 'nobody bears what they get');
select is(
  pg_temp.detail(format('select pg_temp.set(%L)', jsonb_build_object(
    'beneficiary_account_id', tests.account('other', 'sales')))),
  'LG301', 'an account of other books is none');
select throws_ok($$select pg_temp.set(role => 'teller')$$, '42501', null, 'a teller sets no fees');

create temp table made (name text, id uuid) on commit drop;
insert into made select 'first', pg_temp.set();
insert into made select 'second', pg_temp.set(jsonb_build_object('valid_from', now() + interval '1 day'));
create function pg_temp.during(name text) returns tstzrange language sql as $$
  select s.during from app_public.fee_schedules s join made m using (id) where m.name = during.name
$$;
select is(pg_temp.during('first'), tstzrange(now(), now() + interval '1 day'), 'what follows ends what was before it');
select is(pg_temp.during('second'), tstzrange(now() + interval '1 day', null), 'and holds until further notice');
select throws_ok(
  format('select pg_temp.set(%L)', jsonb_build_object('valid_to', now() + interval '1 hour')),
  'LG643', null, 'two of the same code never overlap');
select lives_ok(
  format('select pg_temp.set(%L)', c.change || jsonb_build_object('valid_to', now() + interval '1 hour')),
  format('but one for something else may hold at the same time: %s', c.change))
from (values ('{"code": "other"}'::jsonb), ('{"provider_code": "bank"}'),
  ('{"payment_kind": "transfer"}')) as c (change);

create function pg_temp.finish(name text, ends_at timestamptz, role text default 'accountant') returns text
language sql as $$
  select pg_temp.ask(role, format('select (app_public.end_fee_schedule(%L, %L)).during', m.id, ends_at))
  from made m where m.name = finish.name
$$;
select throws_ok($$select pg_temp.finish('second', '2026-01-01Z')$$, 'LG641', null, 'nothing ends in the past');
select throws_ok($$select pg_temp.finish('first', now() + interval '2 days')$$, 'LG641', null,
  'nor later than it does already');
select throws_ok($$select pg_temp.finish('second', null, 'teller')$$, '42501', null, 'a teller ends none');
select throws_ok(
  $$select pg_temp.ask('accountant', 'select app_public.end_fee_schedule(uuidv7())')$$, 'LG640', null,
  'what is not there does not end');
select is(
  pg_temp.finish('first', now() + interval '1 hour'), tstzrange(now(), now() + interval '1 hour')::text,
  'a schedule ends at a time to come');
select lives_ok($$select pg_temp.finish('second', null)$$, 'one that has not begun');
select is(pg_temp.during('second'), null, 'is removed');

insert into made select 'tiers', pg_temp.set('{"code": "tiers", "method": "tiered", "rate_millionths": null,
  "tier_mode": "graduated", "tiers": [{"from_amount": 0, "fixed_amount": 1}, {"from_amount": 10}]}');
set local session_replication_role = replica;
update app_public.fee_schedules set created_at = now() - interval '1 hour' where code = 'tiers';
set local session_replication_role = origin;
select throws_ok(format(w.statement, m.id), 'LG648', null, format('not even the owner: %s', left(w.statement, 60)))
from made m, (values
  ('update app_public.fee_schedules set rate_millionths = 1 where id <> %L'),
  ('update app_public.fee_schedules set during = tstzrange(lower(during) - interval ''1 day'', null) where id = %L'),
  ('delete from app_public.fee_schedules where id = %L'),
  ('update app_public.fee_tiers set fixed_amount = 2 where fee_schedule_id = %L'),
  ('delete from app_public.fee_tiers where fee_schedule_id = %L'),
  ('insert into app_public.fee_tiers (tenant_id, fee_schedule_id, from_amount)
    select tenant_id, id, 5 from app_public.fee_schedules where id = %L')
) as w (statement)
where m.name = 'tiers';

--------------------------------------------------------------------------------------------------
-- VAT

select is(
  pg_temp.detail(format('select pg_temp.ask(''accountant'', %L)', format(
    'select app_public.set_vat_rate(%L, %L, %L, %L, %L)', w.jurisdiction, w.category, w.rate, w.valid_from,
      w.valid_to))),
  w.refusal, format('a rate like %s is refused', w))
from (values
  ('de', 'standard', 1, null::text, null::text, 'LG647 jurisdiction'), ('DE', 'Standard', 1, null, null,
    'LG647 category'),
  ('DE', 'standard', -1, null, null, 'LG647 rateMillionths'), ('DE', 'standard', 1000001, null, null,
    'LG647 rateMillionths'),
  ('DE', 'standard', 1, '2026-01-01Z', null, 'LG647 validFrom'), ('DE', 'standard', 1, null, '2026-01-01Z',
    'LG647 validTo')
) as w (jurisdiction, category, rate, valid_from, valid_to, refusal);
select throws_ok(
  $$select pg_temp.ask('teller', 'select app_public.set_vat_rate(''DE'', ''standard'', 1)')$$, '42501', null,
  'a teller sets no rate');
select is(
  pg_temp.ask('accountant', 'select (app_public.set_vat_rate(''DE'', ''standard'', 190000)).during'),
  tstzrange(now(), null)::text, 'a rate holds until further notice');
select is(
  pg_temp.ask('accountant', format('select (app_public.set_vat_rate(%L, %L, 160000, %L)).rate_millionths',
    'DE', 'standard', now() + interval '1 day')), '160000', 'and another one follows it');
select is(
  (select array_agg(r.during order by r.during) from app_public.vat_rates r),
  array[tstzrange(now(), now() + interval '1 day'), tstzrange(now() + interval '1 day', null)], 'without a gap');
select throws_ok(
  format('select pg_temp.ask(''accountant'', %L)', format(
    'select app_public.set_vat_rate(%L, %L, 1, null, %L)', 'DE', 'standard', now() + interval '1 hour')),
  'LG643', null, 'and no overlap');
select throws_ok('update app_public.vat_rates set rate_millionths = 1', 'LG648', null, 'no rate changes');

--------------------------------------------------------------------------------------------------
-- Splits

-- Shares as code:rate or code=amount or code.
create function pg_temp.split(shares text, account text default null, valid_to timestamptz default null,
  role text default 'accountant', code text default 'shared', currency text default 'EUR') returns uuid
language sql as $$
  select pg_temp.ask(role, format('select (app_public.set_split_rule(%L, %L, %L::app_public.split_share_input[],
    account_id => %L, valid_to => %L)).id', code, currency,
    (select array_agg(row(tests.account('acme', (regexp_match(s.share, '^\w+'))[1]),
      (regexp_match(s.share, ':(-?\d+)'))[1], (regexp_match(s.share, '=(-?\d+)'))[1])::app_public.split_share_input
      order by s.n)
      from regexp_split_to_table(shares, ' ') with ordinality s (share, n)),
    tests.account('acme', account), valid_to))::uuid
$$;
select is(
  pg_temp.detail(format('select pg_temp.split(%L, currency => %L, code => %L)', w.shares, w.currency, w.code)),
  w.refusal, format('a split like %s is refused', w))
from (values
  ('sales', 'EUR', 'Shared', 'LG646 code'), ('ann ann:1', 'EUR', 'shared', 'LG646 shares'),
  ('ann bob', 'EUR', 'shared', 'LG646 shares'), ('ann:1 bob:1', 'EUR', 'shared', 'LG646 shares'),
  ('ann bob:0', 'EUR', 'shared', 'LG646 shares'), ('ann bob=0', 'EUR', 'shared', 'LG646 shares'),
  ('ann bob:600000 sales:400001', 'EUR', 'shared', 'LG646 shares'), ('ann', 'USD', 'shared', 'LG646 shares')
) as w (shares, currency, code, refusal);
select throws_ok($$select pg_temp.split('ann', role => 'teller')$$, '42501', null, 'a teller sets no split');
insert into made select 'split', pg_temp.split('ann bob:250000', account => 'sales');
select throws_ok($$select pg_temp.split('ann', account => 'sales', code => 'twice')$$, 'LG643', null,
  'an account is split by one rule at a time');
select throws_ok('update app_public.split_shares set rate_millionths = 1 where number = 2', 'LG648', null,
  'no share changes');
select is(
  pg_temp.ask('accountant', format('select (app_public.end_split_rule(%L, %L)).during', m.id,
    now() + interval '1 hour')),
  tstzrange(now(), now() + interval '1 hour')::text, 'a rule ends')
from made m where m.name = 'split';
select throws_ok(
  $$select pg_temp.ask('accountant', 'select app_public.end_split_rule(uuidv7())')$$, 'LG645', null,
  'and one that is not there does not');

select * from finish();
rollback;
