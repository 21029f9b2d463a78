-- LG310, LG311, LG312: a reversal is a new transaction with the directions swapped, at most once for each
-- original.
begin;
select plan(20);

select tests.make_books('acme');
create temp table made (name text primary key, id uuid);

create function pg_temp.made(name text)
returns uuid
language sql
as $$
  select m.id from made m where m.name = made.name
$$;

create function pg_temp.outcome_of(item app_public.transaction_input)
returns text
language sql
as $$
  select (tests.outcome('acme', array[item]))[1]
$$;

create function pg_temp.counters()
returns numeric[]
language sql
as $$
  select tests.counters('acme', 'sales') || tests.counters('acme', 'rent')
$$;

insert into made select 'sale', tests.post_item('acme', tests.item(
  postings => tests.lines('acme', 'cash', 'sales', 30) || tests.lines('acme', 'rent', 'cash', 7)
    || tests.lines('acme', 'cash', 'equity', 2, 'USD')));
insert into made select 'undone', tests.post_item('acme', tests.item(
  reverses_id => pg_temp.made('sale'), idempotency_key => 'undo', effective_at => '2024-01-01'));
select is(pg_temp.counters(), array[30, 30, 0, 0, 7, 7, 0, 0]::numeric[],
  'a reversal swaps the directions of all postings');
select is(tests.counters('acme', 'equity', 'USD'), array[2, 100002, 0, 0]::numeric[], 'in every currency');
select is(
  (select array_agg((o.account_id, o.ordinal, o.posted_amount, o.direction) = (r.account_id, r.ordinal,
    r.posted_amount,
      case r.direction when 'debit' then 'credit' else 'debit' end::app_public.direction))
    from app_public.postings o
    full join app_public.postings r on r.tenant_id = o.tenant_id and r.ordinal = o.ordinal
      and r.transaction_id = pg_temp.made('undone')
    where o.transaction_id = pg_temp.made('sale')),
  '{t,t,t,t,t,t}', 'posting by posting, in the same order');
select is(
  (select array[t.kind::text, t.reverses_id::text, t.effective_at::text]
    from app_public.transactions t where t.id = pg_temp.made('undone')),
  array['posted', pg_temp.made('sale')::text, '2024-01-01 00:00:00+00'],
    'it is a posted transaction that names the original');
select is(pg_temp.outcome_of(tests.item(reverses_id => pg_temp.made('sale'))), 'LG311',
  'an original is reversed once');
select is(pg_temp.outcome_of(tests.item(
    reverses_id => pg_temp.made('sale'), idempotency_key => 'undo', effective_at => '2024-01-01')),
  'replayed', 'the same request again is answered as before');
select is(pg_temp.outcome_of(tests.item(reverses_id => pg_temp.made('undone'))), 'posted',
  'a reversal can be reversed');
select is(pg_temp.counters(), array[30, 60, 0, 0, 14, 7, 0, 0]::numeric[], 'which does the original again');
select is(pg_temp.outcome_of(tests.item(reverses_id => pg_temp.made('undone'))), 'LG311', 'and also once');
select is(pg_temp.outcome_of(tests.item(reverses_id => uuidv7())), 'LG310',
  'an unknown transaction is not found');

-- Of a pending transaction and what resolved it
insert into made
select name, tests.post_item('acme', tests.item('pending',
  tests.lines('acme', 'cash', 'sales', 9) || tests.lines('acme', 'rent', 'cash', 3)))
from unnest(array['open', 'voided', 'parted', 'released']) name;
insert into made values
  ('void', tests.post_item('acme', tests.item('void_pending', pending_id => pg_temp.made('voided')))),
  ('part', tests.post_item('acme', tests.item('post_pending', tests.lines('acme', 'cash', 'sales', 4),
    pending_id => pg_temp.made('parted')))),
  ('none', tests.post_item('acme', tests.item('post_pending', tests.lines('acme', 'cash', 'sales', 0),
    pending_id => pg_temp.made('released'))));
select is(pg_temp.outcome_of(tests.item(reverses_id => pg_temp.made('open'))), 'LG312',
  'a pending transaction is not reversed');
select is(pg_temp.outcome_of(tests.item(reverses_id => pg_temp.made('parted'))), 'LG312',
  'nor one that has been posted since');
select is(pg_temp.outcome_of(tests.item(reverses_id => pg_temp.made('void'))), 'LG312', 'nor a void');
select is(pg_temp.outcome_of(tests.item(reverses_id => pg_temp.made('none'))), 'LG312',
  'nor a part of nothing');
select is(pg_temp.outcome_of(tests.item(reverses_id => pg_temp.made('part'))), 'posted',
  'what posted a part of it is reversed');
select is(pg_temp.counters(), array[34, 64, 0, 9, 14, 7, 3, 0]::numeric[],
  'by what it posted, and reserves nothing again');

-- In one batch, and against limits
select is(tests.outcome('acme', array[
    tests.transfer('acme', 'cash', 'ann', 5, idempotency_key => 'gift'),
    tests.item(reverses_id => tests.post('acme', 'cash', 'sales', 1), idempotency_key => 'a'),
    tests.item(reverses_id => pg_temp.made('sale'))
  ]), '{posted,posted,LG311}', 'reversals stand among other items of a batch');
insert into made select 'gift', tests.post('acme', 'cash', 'bob', 100);
select tests.post('acme', 'bob', 'cash', 10050);
select is(pg_temp.outcome_of(tests.item(reverses_id => pg_temp.made('gift'))), 'LG202',
  'a reversal keeps the limits');
select tests.post('acme', 'cash', 'bob', 50);
select is(tests.outcome('acme', array[
    tests.item(reverses_id => pg_temp.made('gift')), tests.item(reverses_id => pg_temp.made('gift'))
  ]), '{posted,LG311}', 'an original is reversed once within a batch');
select is(tests.counters('acme', 'bob'), array[10150, 10150, 0, 0]::numeric[], 'and the account is empty');

select * from finish();
rollback;
