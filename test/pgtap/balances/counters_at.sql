-- Counters in the past are the sums of the postings that a moment leaves, on either axis and on both, whether one
-- account is asked for or all at once, whoever asks, and however much has been folded into blocks. And a question
-- reads what it needs of the indexes, in books that are new as well, of which PostgreSQL has no statistics.
begin;
select plan(19);

select setseed(0.37);
select tests.make_tenant('acme');
create temp table book (code text, owner text);
insert into book values
  ('pool', null), ('ordered', null), ('backdated', 'ann'), ('shuffled', 'ann'), ('few', 'ann'), ('untouched', null);
grant select on book to public;
select tests.open_account('acme', code, 'asset', owner_id => tests.user_id(owner)) from book;

-- Transactions between an account and the pool, an eighth of them reservations that stay; their effective times by
-- the rule of the account.
create function pg_temp.post_many(code text, count integer) returns void language sql as $$
  select app_private.post_batch(app_private.system_actor(tests.tenant('acme')), array_agg(tests.item(
    case when n % 8 = 0 then 'pending' else 'posted' end::app_public.transaction_kind,
    case when n % 3 = 0 then tests.lines('acme', code, 'pool', n) else tests.lines('acme', 'pool', code, n) end,
    effective_at => timestamptz '2026-01-01' + case code
      when 'ordered' then n * interval '1 minute'
      when 'shuffled' then random() * interval '2 days'
      else n * interval '1 minute' - case when random() < 0.1 then random() * interval '1 day' else interval '0' end
    end
  )), 'atomic')
  from generate_series(1, count) n
  group by n / 200
  order by n / 200
$$;

-- Moments on either axis or both: before the first posting, between postings, those of postings, after the last.
create temp table question (n integer, as_of timestamptz, known_at timestamptz);
-- What the postings themselves answer.
create temp table answer (
  n integer, code text, version bigint,
  posted_debits numeric, posted_credits numeric, pending_debits numeric, pending_credits numeric
);
grant select on question, answer to public;

create function pg_temp.ask() returns void language sql as $$
  delete from question;
  delete from answer;
  insert into question
  select n,
    case when n % 3 = 2 then null when n % 10 = 0 then 'infinity'
      -- Where a block begins.
      when n % 4 = 0 then (
        select p.effective_at
        from app_public.postings p
        where p.account_id = tests.account('acme', 'ordered') and p.version = 1 + b.version % 20 * 64
      )
      else date_bin('1 minute', timestamptz '2025-12-31 12:00' + random() * interval '3 days', timestamptz '2025-12-31')
    end,
    case when n % 3 = 0 then null when n % 7 = 0 then '-infinity' when n % 11 = 0 then 'infinity'
      -- Those of postings, and just before.
      else (
        select p.created_at - n % 2 * interval '1 microsecond'
        from app_public.postings p
        where p.account_id = tests.account('acme', 'pool') and p.version = b.version
      )
    end
  from (
    select n, 1 + floor(random() * b.version)::bigint as version
    from generate_series(1, 60) n
    join app_public.account_balances b on b.account_id = tests.account('acme', 'pool')
  ) b;
  insert into answer
  select q.n, b.code, coalesce(max(p.version), 0),
    coalesce(sum(p.posted_amount::numeric) filter (where p.direction = 'debit' and p.is_effective), 0),
    coalesce(sum(p.posted_amount::numeric) filter (where p.direction = 'credit' and p.is_effective), 0),
    case when q.as_of is null then
      coalesce(sum(p.pending_amount::numeric) filter (where p.direction = 'debit'), 0) end,
    case when q.as_of is null then
      coalesce(sum(p.pending_amount::numeric) filter (where p.direction = 'credit'), 0) end
  from question q
  cross join book b
  left join lateral (
    select p.*, q.as_of is null or p.effective_at <= q.as_of as is_effective
    from app_public.postings p
    where p.tenant_id = tests.tenant('acme') and p.account_id = tests.account('acme', b.code)
      and (q.known_at is null or p.created_at <= q.known_at)
  ) p on true
  group by q.n, q.as_of, b.code
$$;

-- What is answered otherwise than by the postings: of some accounts, asked for all at once or one by one.
create function pg_temp.mismatches(codes text[], is_one_by_one boolean default false)
returns table (n integer, code text)
language sql
as $$
  select coalesce(a.n, r.n), coalesce(a.code, r.code)
  from (select a.* from answer a where a.code = any (codes)) a
  full join (
    select q.n, b.code, c.version, c.posted_debits, c.posted_credits, c.pending_debits, c.pending_credits
    from question q
    cross join lateral (
      select array_agg(tests.account('acme', b.code)) as ids
      from book b
      group by case when is_one_by_one then b.code end
    ) g
    cross join lateral app_hidden.counters_at(tests.tenant('acme'), g.ids, q.as_of, q.known_at) c
    join book b on tests.account('acme', b.code) = c.account_id
  ) r on (r.n, r.code) = (a.n, a.code)
  where (r.version, r.posted_debits, r.posted_credits, r.pending_debits, r.pending_credits)
    is distinct from (a.version, a.posted_debits, a.posted_credits, a.pending_debits, a.pending_credits)
$$;

-- How many entries of the indexes of postings and blocks a question about an account reads at worst. Out of order
-- these are sixteen stretches of 64 postings that no higher block covers yet, and what finds them.
create function pg_temp.entries_read() returns bigint language sql volatile as $$
  select sum(pg_stat_get_xact_tuples_returned(i.indexrelid))::bigint
  from pg_index i
  where i.indrelid in (
    'app_public.postings'::regclass, 'app_hidden.posting_blocks'::regclass,
    'app_hidden.posting_block_entries'::regclass
  )
$$;
create function pg_temp.worst_read(code text) returns bigint language plpgsql as $$
declare
  v_account_id constant uuid := tests.account('acme', code);
  v_worst bigint := 0;
  v_before bigint;
  v_question record;
begin
  for v_question in select q.as_of, q.known_at from question q order by q.n loop
    v_before := pg_temp.entries_read();
    perform from app_hidden.counters_at(
      tests.tenant('acme'), array[v_account_id], v_question.as_of, v_question.known_at);
    v_worst := greatest(v_worst, pg_temp.entries_read() - v_before);
  end loop;
  return v_worst;
end
$$;

create function pg_temp.fold(max_postings bigint) returns void language sql as $$
  select app_private.fold_account(tests.tenant('acme'), tests.account('acme', b.code), max_postings) from book b
$$;

select pg_temp.post_many('few', 30);
select pg_temp.post_many(code, 1500) from unnest(array['ordered', 'backdated', 'shuffled']) as code;
select pg_temp.ask();

select is_empty($$select * from pg_temp.mismatches(array(select code from book))$$, 'not folded: all at once agree');
select is_empty($$select * from pg_temp.mismatches(array(select code from book), true)$$,
  'not folded: one by one they agree');

select pg_temp.fold(1000);
select is_empty($$select * from pg_temp.mismatches(array(select code from book))$$, 'folded partly: all at once agree');
select is_empty($$select * from pg_temp.mismatches(array(select code from book), true)$$,
  'folded partly: one by one they agree');

select pg_temp.fold(100000);
select is_empty($$select * from pg_temp.mismatches(array(select code from book))$$, 'folded: all at once agree');
select is_empty($$select * from pg_temp.mismatches(array(select code from book), true)$$,
  'folded: one by one they agree');

select pg_temp.post_many('shuffled', 500);
select pg_temp.ask();
select is_empty($$select * from pg_temp.mismatches(array(select code from book))$$,
  'posted since: all at once agree');
select is_empty($$select * from pg_temp.mismatches(array(select code from book), true)$$,
  'posted since: one by one they agree');
select cmp_ok(
  (select count(distinct (c.posted_debits, c.posted_credits)) from answer c where c.code = 'pool'), '>', 40::bigint,
  'the answers differ from each other');

select tests.become('accountant', tests.tenant('acme'), tests.user_id('eve'));
select is_empty($$select * from pg_temp.mismatches(array(select code from book))$$, 'staff is answered alike');
select is_empty($$select * from pg_temp.mismatches(array(select code from book), true)$$, 'one by one, too');
select cmp_ok(pg_temp.worst_read('ordered'), '<', 200::bigint, 'staff: a long history is not read');
select cmp_ok(pg_temp.worst_read('pool'), '<', 1100::bigint, 'nor one out of order');

select tests.become('customer', tests.tenant('acme'), tests.user_id('ann'));
select is_empty($$select * from pg_temp.mismatches(array['backdated', 'shuffled', 'few'])$$,
  'a customer is answered alike, about the own accounts only');
select is_empty($$select * from pg_temp.mismatches(array['backdated', 'shuffled', 'few'], true)$$, 'one by one, too');
select cmp_ok(pg_temp.worst_read('shuffled'), '<', 1100::bigint, 'a customer: a long history is not read');
select is(pg_temp.worst_read('pool'), 0::bigint, 'nothing is read of an account of others');

select tests.become('customer', tests.tenant('acme'), tests.user_id('bob'));
select is_empty($$select * from pg_temp.mismatches('{}')$$, 'who has no account is answered nothing');
select is_empty($$select * from pg_temp.mismatches('{}', true)$$, 'one by one, neither');

select tests.become_superuser();
select * from finish();
rollback;
