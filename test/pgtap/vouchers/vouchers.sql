/*
 * Vouchers: issued with what they owe, redeemed wholly or in part, cancelled, expired; and what is told to whom
 * tries codes.
 */
begin;
select plan(69);

select tests.make_books('acme');
select tests.open_account('acme', v.code, v.type::app_public.account_type, v.currency)
from (values
  ('vouchers', 'liability', 'EUR'), ('other vouchers', 'liability', 'EUR'), ('breakage', 'revenue', 'EUR'),
  ('vouchers', 'liability', 'USD'), ('breakage', 'revenue', 'USD')
) as v (code, type, currency);

-- The first value of a statement that somebody of acme runs, as text.
create function pg_temp.ask(role text, name text, statement text) returns text language plpgsql as $$
declare
  v_answer text;
begin
  perform tests.become(role, tests.tenant('acme'), tests.user_id(name));
  execute statement into v_answer;
  perform tests.become_superuser();
  return v_answer;
end
$$;

--------------------------------------------------------------------------------------------------
-- Campaigns

create function pg_temp.create_campaign(
  code text, name text, funding text, liability text, breakage text, currency text
) returns text language sql as $$
  select pg_temp.ask('accountant', 'abe', format(
    'select (app_public.create_voucher_campaign(%L, %L, %L, %L, %L)).currency', code, name,
    coalesce(tests.account('acme', funding), uuidv7()), tests.account('acme', liability),
    tests.account('acme', breakage, currency)))
$$;
select is(
  pg_temp.create_campaign('spring', 'Spring', 'cash', 'vouchers', 'breakage', 'EUR'), 'EUR',
  'a campaign has the currency of its accounts');
create temp table campaign on commit drop as
select c.id from app_public.voucher_campaigns c where c.code = 'spring';

select throws_ok(
  format('select pg_temp.create_campaign(%L, %L, %L, %L, %L, %L)', w.code, w.name, w.funding, w.liability,
    w.breakage, w.currency),
  w.refusal, null, format('a campaign like %s is refused', w))
from (values
  ('Spring', 'x', 'cash', 'vouchers', 'breakage', 'EUR', 'LG656'),
  ('', 'x', 'cash', 'vouchers', 'breakage', 'EUR', 'LG656'),
  ('a', '', 'cash', 'vouchers', 'breakage', 'EUR', 'LG656'),
  ('a', 'x', 'cash', 'cash', 'breakage', 'EUR', 'LG656'),
  ('a', 'x', 'vouchers', 'vouchers', 'breakage', 'EUR', 'LG656'),
  ('a', 'x', 'cash', 'vouchers', 'vouchers', 'EUR', 'LG656'),
  ('a', 'x', 'cash', 'vouchers', 'breakage', 'USD', 'LG656'),
  ('a', 'x', 'nothing', 'vouchers', 'breakage', 'EUR', 'LG301'),
  ('spring', 'x', 'cash', 'vouchers', 'breakage', 'EUR', 'LG658'),
  ('a', 'x', 'cash', 'ann', 'breakage', 'EUR', 'LG656'),
  ('a', 'x', 'vouchers', 'other vouchers', 'breakage', 'EUR', 'LG656'),
  ('a', 'x', 'cash', 'other vouchers', 'vouchers', 'EUR', 'LG656')
) as w (code, name, funding, liability, breakage, currency, refusal);

--------------------------------------------------------------------------------------------------
-- Issuing

create function pg_temp.issue(
  voucher_count integer, amount numeric, expires_at timestamptz, key text, campaign_id uuid default null,
  role text default 'accountant'
) returns app_public.voucher_issue_result language sql as $$
  select pg_temp.ask(role, 'abe', format(
    'select app_public.issue_vouchers(%L, %L, %L, %L, %L)', coalesce(campaign_id, (select c.id from campaign c)),
    voucher_count, amount, expires_at, key))::app_public.voucher_issue_result
$$;
create temp table issued on commit drop as
select (i).* from pg_temp.issue(3, 1000, now() + interval '1 day', 'issue 1') i;
create temp table voucher on commit drop as
select v.id, v.code, v.code_hint, row_number() over (order by v.id)::integer as n
from issued i, unnest(i.vouchers) v;
select results_eq(
  'select count(*), count(distinct code), bool_and(code ~ ''^([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}$''),
    bool_and(right(code, 4) = code_hint) from voucher',
  'values (3::bigint, 3::bigint, true, true)', 'each voucher has a code of its own');
select is(tests.counters('acme', 'vouchers'), array[0, 3000, 0, 0]::numeric[], 'what they owe is posted');
select is(
  (select jsonb_build_object('replayed', r.is_replayed, 'issue', r.issue_id, 'code', (r.vouchers[1]).code,
      'ids', (select array_agg(v.id order by v.id) from unnest(r.vouchers) v))
    from pg_temp.issue(3, 1000, now() + interval '1 day', 'issue 1') r),
  (select jsonb_build_object('replayed', true, 'issue', i.issue_id, 'code', null,
    'ids', (select array_agg(v.id order by v.id) from voucher v)) from issued i),
  'the same key answers with the same vouchers, without their codes');
select throws_ok(
  'select pg_temp.issue(4, 1000, now() + interval ''1 day'', ''issue 1'')',
  'LG501', null, 'the same key for something else is a conflict');
select is(tests.counters('acme', 'vouchers'), array[0, 3000, 0, 0]::numeric[], 'nothing was posted by either');
select throws_ok(
  format('select pg_temp.issue(%L, %L, %L, %L)', w.voucher_count, w.amount, w.expires_at, w.key),
  w.refusal, null, format('an issue like %s is refused', w))
from (values
  (0, 1, null::timestamptz, null, 'LG656'), (10001, 1, null, null, 'LG656'), (1, 0, null, null, 'LG656'),
  (1, -1, null, null, 'LG656'), (1, 1, now(), null, 'LG656'), (1, 1, 'infinity', null, 'LG656'),
  (1, 1, null, '', 'LG105'), (10000, 1e37::numeric, null, null, 'LG101')
) as w (voucher_count, amount, expires_at, key, refusal);
select throws_ok(
  'select pg_temp.issue(1, 1, null, null, uuidv7())', 'LG655', null, 'of no campaign there are none');
select throws_ok(
  'select pg_temp.issue(1, 1, null, null, role => ''teller'')', '42501', null, 'a teller issues none');

--------------------------------------------------------------------------------------------------
-- Redeeming

create function pg_temp.redeem_code(
  code text, account text, amount numeric, key text, role text, name text, currency text default 'EUR'
) returns text language sql as $$
  select coalesce((r.refusal).code || ' ' || (r.refusal).detail::text,
    concat_ws(' ', case when r.is_replayed then 'replayed' end, r.amount, r.rest_amount))
  from (
    select pg_temp.ask(role, name, format('select app_public.redeem_voucher(%L, %L, %L, %L)',
      redeem_code.code, tests.account('acme', account, currency), amount, key))::app_public.voucher_redemption as r
  ) a, lateral (select (a.r).*) r
$$;
create function pg_temp.redeem(n integer, account text, amount numeric default null, key text default null,
  role text default 'teller', name text default 'tina') returns text language sql as $$
  select pg_temp.redeem_code(v.code, account, amount, key, role, name) from voucher v where v.n = redeem.n
$$;
select is(pg_temp.redeem(1, 'ann', 300), '300 700', 'a part of a voucher is redeemed');
select is(tests.counters('acme', 'ann'), array[0, 10300, 0, 0]::numeric[], 'and is on the account');
select is(pg_temp.redeem(1, 'ann', 200, 'k'), '200 500', 'another part, with a key');
select is(pg_temp.redeem(1, 'ann', 200, 'k'), 'replayed 200 500', 'which takes effect once');
select throws_ok($$select pg_temp.redeem(1, 'ann', 201, 'k')$$, 'LG501', null, 'and is not for another amount');
select throws_ok($$select pg_temp.redeem(1, 'bob', 200, 'k')$$, 'LG501', null, 'nor for another account');
select throws_ok($$select pg_temp.redeem(2, 'ann', 200, 'k')$$, 'LG501', null, 'nor for another voucher');
select is(pg_temp.redeem(1, 'ann', 501), 'LG652 {"restAmount": "500"}', 'no more than is left');
select is(
  pg_temp.redeem_code(v.code, 'cash', null, null, 'teller', 'tina', 'USD'),
  'LG657 {"currency": "EUR", "accountCurrency": "USD"}', 'nor into another currency')
from voucher v where n = 1;
select is(pg_temp.redeem(1, 'ann'), '500 0', 'the rest is redeemed without an amount');
select is(pg_temp.redeem(1, 'ann'), 'LG652 {"restAmount": "0"}', 'and then nothing is left');
select throws_ok($$select pg_temp.redeem(2, 'vouchers', 100)$$, 'LG659', null,
  'an account that owes vouchers takes none: it would owe what no voucher has');
select is_empty('select * from checks.vouchers_that_differ', 'all that is owed is left of vouchers');
select throws_ok($$select pg_temp.redeem(2, 'ann', 0)$$, 'LG102', null, 'nothing is no amount');
select throws_ok($$select pg_temp.redeem(2, 'ann', 1, '')$$, 'LG105', null, 'an empty key is none');
select is(
  pg_temp.redeem_code(
    replace(replace(replace(lower(v.code), '-', ' '), '0', 'o'), '1', 'l'), 'ann', 1, null, 'teller', 'tina'),
  '1 999', 'a code may be typed in small letters, with blanks, O for 0 and L for 1')
from voucher v where n = 2;
select is(pg_temp.redeem(2, 'ann', 99, null, 'customer', 'ann'), '99 900',
  'a customer redeems into an account of theirs');
select throws_ok($$select pg_temp.redeem(2, 'bob', 1, null, 'customer', 'ann')$$, 'LG301', null, 'and into no other');

-- Guesses are counted and cost pauses, but not good codes.
create function pg_temp.guess() returns text language sql as $$
  select left(pg_temp.redeem_code('NOPE-NOPE-NOPE-NOPE', 'ann', null, null, 'customer', 'ann'), 5)
$$;
select is(
  (select array_agg(distinct g.told) from (select pg_temp.guess() as told from generate_series(1, 11)) g),
  array['LG650'], 'codes that nobody was given are answered alike');
select is(pg_temp.guess(), 'LG653', 'after ten of them the next one has to wait');
select matches(pg_temp.redeem(2, 'ann', 1, null, 'customer', 'ann'), '^LG653 \{"seconds": \d+\}$',
  'and so has a good code');
select is(pg_temp.redeem(2, 'ann', 100), '100 800', 'others need not wait');

--------------------------------------------------------------------------------------------------
-- Ending

create function pg_temp.cancel(n integer, reason text, role text default 'accountant') returns text language sql as $$
  select pg_temp.ask(role, 'abe', format('select (app_public.cancel_voucher(%L, %L)).status', v.id, reason))
  from voucher v where v.n = cancel.n
$$;
select throws_ok($$select pg_temp.cancel(2, 'lost', 'teller')$$, '42501', null, 'a teller cancels none');
select throws_ok($$select pg_temp.cancel(2, ' ')$$, 'LG114', null, 'nobody cancels without a reason');
select is(pg_temp.cancel(2, 'lost'), 'cancelled', 'a voucher is cancelled');
select is(pg_temp.redeem(2, 'ann', 1), 'LG654 {}', 'and not redeemed any more');
select is(pg_temp.cancel(2, 'lost'), 'cancelled', 'cancelled again it stays so');
select throws_ok($$select pg_temp.cancel(1, 'why')$$, 'LG652', null, 'what is spent cannot be cancelled');
select is(tests.counters('acme', 'vouchers'), array[2000, 3000, 0, 0]::numeric[],
  'what was left of it is where it came from');
select is(
  (select sum(v.rest_amount::numeric) from app_public.vouchers v), 1000::numeric, 'and the rests are what is owed');

set local session_replication_role = replica;
update app_public.vouchers set expires_at = now() - interval '1 second' where id = (select id from voucher where n = 3);
set local session_replication_role = origin;
select is(left(pg_temp.redeem(3, 'ann'), 5), 'LG651', 'from its expiry on a voucher is not redeemed, before any job');
select throws_ok($$select pg_temp.cancel(3, 'late')$$, 'LG651', null, 'nor cancelled');
select is(pg_temp.ask('worker', null, 'select app_private.expire_vouchers(10)'), '(1,0)', 'the job ends it');
select is(pg_temp.ask('worker', null, 'select app_private.expire_vouchers(10)'), '(0,0)', 'once');
select is(tests.counters('acme', 'breakage'), array[0, 1000, 0, 0]::numeric[], 'what was left of it is breakage');

create temp table lost on commit drop as select (i).* from pg_temp.issue(2, 70, null, null) i;
select is(
  pg_temp.ask('accountant', 'abe', format(
    'select (app_public.cancel_voucher_issue(%L, ''codes lost'')).voucher_count', l.issue_id)),
  '2', 'an issue is cancelled as a whole') from lost l;
select is(
  (select array_agg(distinct v.status) from app_public.vouchers v, lost l where v.issue_id = l.issue_id),
  array['cancelled']::app_public.voucher_status[], 'all of its vouchers are cancelled');
select is(
  (select count(*) from checks.vouchers_that_differ), 0::bigint, 'rests, moves and postings agree');
select throws_ok('update app_public.vouchers set amount = 1', 'LG319', null, 'not even the owner changes a voucher');
select throws_ok('delete from app_public.voucher_moves', 'LG319', null, 'nor what became of it');
select results_eq(
  $$select kind, count(*) from app_private.outbox where kind like 'voucher.%' group by 1 order by 1$$,
  $$values ('voucher.cancelled', 3::bigint), ('voucher.expired', 1), ('voucher.redeemed', 6)$$,
  'each step is told');

set constraints all immediate;
select * from finish();
rollback;
