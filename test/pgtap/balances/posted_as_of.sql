-- Balances at an effective time equal the plain sum of the postings, whatever order they came in and
-- however much of them has been folded into blocks.
begin;
select plan(18);

select setseed(0.42);
select tests.make_tenant('acme');
select tests.open_account('acme', code, 'asset')
from unnest(array['pool', 'ordered', 'backdated', 'shuffled', 'by-day', 'one-day']) as code;

-- Transactions between an account and the pool, their effective times by the rule of the account.
create function pg_temp.post_many(code text, count integer) returns void language sql as $$
  select app_private.post_batch(app_private.system_actor(tests.tenant('acme')), array_agg(row(
    'posted',
    array[
      row(tests.account('acme', code), case when n % 3 = 0 then 'debit' else 'credit' end, n),
      row(tests.account('acme', 'pool'), case when n % 3 = 0 then 'credit' else 'debit' end, n)
    ]::app_public.posting_input[],
    null,
    timestamptz '2026-01-01' + case code
      when 'ordered' then n * interval '1 minute'
      when 'backdated' then n * interval '1 minute'
        - case when random() < 0.1 then random() * interval '2 days' else interval '0' end
      when 'shuffled' then random() * interval '4 days'
      when 'by-day' then floor(random() * 4) * interval '1 day'
      else interval '0'
    end,
    null, null, null, null, null, null
  )::app_public.transaction_input), 'atomic')
  from generate_series(1, count) n
  group by n / 500
  order by n / 500
$$;

-- How often a random question is answered otherwise than by reading all postings. Half of the moments
-- asked for are effective times that occur.
create function pg_temp.mismatches(code text, questions integer) returns bigint language sql as $$
  select count(*)
  from (
    select a.tenant_id, a.id,
      date_bin(
        (array['1 microsecond', '1 minute', '1 day'])[1 + n % 3]::interval,
        timestamptz '2025-12-31' + random() * interval '6 days', timestamptz '2025-12-31'
      ) as as_of,
      floor(random() * (b.version + 1))::bigint as version
    from app_public.accounts a
    join app_public.account_balances b on b.tenant_id = a.tenant_id and b.account_id = a.id
    cross join generate_series(1, questions) n
    where a.tenant_id = tests.tenant('acme') and a.code = mismatches.code
  ) q
  cross join lateral app_hidden.posted_as_of(q.tenant_id, array[q.id], array[q.version], q.as_of) r
  cross join lateral (
    select
      coalesce(sum(p.posted_amount::numeric) filter (where p.direction = 'debit'), 0) as debits,
      coalesce(sum(p.posted_amount::numeric) filter (where p.direction = 'credit'), 0) as credits
    from app_public.postings p
    where p.tenant_id = q.tenant_id and p.account_id = q.id
      and p.version <= q.version and p.effective_at <= q.as_of
  ) s
  where (r.debits, r.credits) is distinct from (s.debits, s.credits)
$$;

create function pg_temp.fold(code text, max_postings bigint) returns bigint language sql as $$
  select app_private.fold_account(tests.tenant('acme'), tests.account('acme', code), max_postings)
$$;

select pg_temp.post_many(code, 4000)
from unnest(array['ordered', 'backdated', 'shuffled', 'by-day', 'one-day']) as code;

select is(pg_temp.mismatches(code, 20), 0::bigint, 'not folded: ' || code || ' agrees')
from unnest(array['pool', 'ordered', 'backdated', 'shuffled', 'by-day', 'one-day']) as code;

select is(pg_temp.fold('pool', 5000), 4992::bigint, 'whole blocks up to the limit are folded');
select pg_temp.fold(code, 2000)
from unnest(array['ordered', 'backdated', 'shuffled', 'by-day', 'one-day']) as code;
select is(
  (select sum(pg_temp.mismatches(code, 30))
   from unnest(array['pool', 'ordered', 'backdated', 'shuffled', 'by-day', 'one-day']) as code),
  0::numeric, 'folded partly: all agree');

select pg_temp.fold(code, 100000)
from unnest(array['pool', 'ordered', 'backdated', 'shuffled', 'by-day', 'one-day']) as code;
select is(pg_temp.mismatches(code, 100), 0::bigint, 'folded wholly: ' || code || ' agrees')
from unnest(array['pool', 'ordered', 'backdated', 'shuffled', 'by-day', 'one-day']) as code;
select is(pg_temp.fold('pool', 100000), 0::bigint, 'folding again folds nothing');

select pg_temp.post_many('shuffled', 700);
select is(
  pg_temp.mismatches('shuffled', 50) + pg_temp.mismatches('pool', 50), 0::bigint,
  'posted since: what is not folded is counted');

select is(
  (select max(level)::integer from app_hidden.posting_blocks
   where account_id = tests.account('acme', 'pool')), 2,
  'twenty thousand postings make blocks of level 2');
select is(
  (select array_agg(distinct a.code order by a.code) from app_hidden.posting_block_entries e
   join app_public.accounts a on a.tenant_id = e.tenant_id and a.id = e.account_id),
  array['backdated', 'by-day', 'pool', 'shuffled'],
  'only accounts out of order have entries');

select * from finish();
rollback;
