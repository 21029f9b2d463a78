-- Two-phase: LG304 to LG308, LG206. A pending transaction reserves; it is posted, wholly or in part, or
-- voided, once.
begin;
select plan(41);

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

-- Reserve
insert into made select 'first',
  tests.post_item('acme', tests.item('pending', tests.lines('acme', 'cash', 'sales', 70)));
select is(tests.counters('acme', 'sales'), array[0, 0, 0, 70]::numeric[],
  'a pending transaction posts nothing and reserves');
select is(
  (select array_agg(array[p.posted_amount, p.pending_amount]::numeric[] order by p.ordinal)
    from app_public.postings p where p.transaction_id = pg_temp.made('first')),
  array[[0, 70], [0, 70]]::numeric[], 'its postings are reservations');
select is(
  (select tests.balance(r, tests.account('acme', 'bob'))
    from tests.send('acme', array[tests.transfer('acme', 'bob', 'cash', 30, kind => 'pending')]) r),
  array[10000, 9970, 9970]::numeric[], 'what is to go out is pending and no longer available');
select is(
  (select tests.balance(r, tests.account('acme', 'ann'))
    from tests.send('acme', array[tests.transfer('acme', 'cash', 'ann', 30, kind => 'pending')]) r),
  array[10000, 10030, 10000]::numeric[], 'what is to come in is pending and not yet available');

-- Post the whole
select is(pg_temp.outcome_of(tests.item('post_pending', pending_id => pg_temp.made('first'),
  idempotency_key => 'one')),
  'posted', 'a pending transaction can be posted');
select is(tests.counters('acme', 'sales'), array[0, 70, 0, 0]::numeric[],
  'then it is posted and no longer pending');
select is(pg_temp.outcome_of(tests.item('post_pending', pending_id => pg_temp.made('first'))), 'LG305',
  'not posted twice');
select is(pg_temp.outcome_of(tests.item('void_pending', pending_id => pg_temp.made('first'))), 'LG305',
  'not voided after it was posted');
select is(pg_temp.outcome_of(tests.item('post_pending', pending_id => pg_temp.made('first'),
  idempotency_key => 'one')),
  'replayed', 'the same request again is answered as before');
insert into made select 'empty',
  tests.post_item('acme', tests.item('pending', tests.lines('acme', 'cash', 'sales', 5)));
select is(pg_temp.outcome_of(tests.item('post_pending', '{}', pending_id => pg_temp.made('empty'))), 'posted',
  'an empty list of postings is taken');
select is(tests.counters('acme', 'sales'), array[0, 75, 0, 0]::numeric[], 'and means the whole');

-- Void
insert into made select 'second',
  tests.post_item('acme', tests.item('pending', tests.lines('acme', 'cash', 'sales', 9)));
select is(pg_temp.outcome_of(tests.item('void_pending', pending_id => pg_temp.made('second'))), 'posted',
  'it can be voided');
select is(tests.counters('acme', 'sales'), array[0, 75, 0, 0]::numeric[],
  'a void releases and posts nothing');
select is(pg_temp.outcome_of(tests.item('void_pending', pending_id => pg_temp.made('second'))), 'LG306',
  'not voided twice');
select is(pg_temp.outcome_of(tests.item('post_pending', pending_id => pg_temp.made('second'))), 'LG306',
  'not posted after it was voided');

-- What cannot be resolved
select is(pg_temp.outcome_of(tests.item('post_pending', pending_id => uuidv7())), 'LG304',
  'an unknown id is not found');
select is(pg_temp.outcome_of(tests.item('void_pending', pending_id => uuidv7())), 'LG304',
  'nor to be voided');
insert into made select 'posted', tests.post('acme', 'cash', 'sales', 5);
select is(pg_temp.outcome_of(tests.item('post_pending', pending_id => pg_temp.made('posted'))), 'LG308',
  'a posted transaction is not pending');
select is(pg_temp.outcome_of(tests.item('void_pending', pending_id => pg_temp.made('posted'))), 'LG308',
  'nor can it be voided');
select is(
  pg_temp.outcome_of(tests.item('post_pending', pending_id => (
    select t.id from app_public.transactions t where t.pending_id = pg_temp.made('first')))),
  'LG308', 'what posted a pending transaction is not pending itself');

-- A part, of several postings and currencies, with an account that appears twice
insert into made select 'large', tests.post_item('acme', tests.item('pending',
  tests.lines('acme', 'cash', 'sales', 50) || tests.lines('acme', 'cash', 'rent', 20)
    || tests.lines('acme', 'cash', 'equity', 8, 'USD')));
create function pg_temp.part(postings app_public.posting_input[])
returns app_public.transaction_input
language sql
as $$
  select tests.item('post_pending', postings, pending_id => pg_temp.made('large'))
$$;
select is(pg_temp.outcome_of(pg_temp.part(tests.lines('acme', 'cash', 'sales', 51))), 'LG206',
  'more than was reserved is refused');
select is(pg_temp.outcome_of(pg_temp.part(
    tests.lines('acme', 'cash', 'sales', 50) || tests.lines('acme', 'cash', 'rent', 21))), 'LG206',
  'the second posting of an account cannot take what the first has left, nor more than its own');
select is(pg_temp.outcome_of(pg_temp.part(tests.lines('acme', 'cash', 'ann', 1))), 'LG206',
  'an account on which nothing was reserved is refused');
select is(pg_temp.outcome_of(pg_temp.part(tests.lines('acme', 'sales', 'cash', 1))), 'LG206',
  'the other direction is refused');
select is(pg_temp.outcome_of(pg_temp.part(
    tests.lines('acme', 'cash', 'sales', 1) || tests.lines('acme', 'cash', 'sales', 1))), 'LG206',
  'a posting named more often than it was reserved is refused');
select is(pg_temp.outcome_of(pg_temp.part(tests.line(tests.account('acme', 'cash'), 'debit', 3)
    || tests.line(tests.account('acme', 'sales'), 'credit', 2))), 'LG201', 'a part must balance');
select is(pg_temp.outcome_of(pg_temp.part(
    tests.line(tests.account('acme', 'cash'), 'debit', 30)
      || tests.line(tests.account('acme', 'sales'), 'credit', 45)
      || tests.line(tests.account('acme', 'cash'), 'debit', 15) || tests.lines('acme', 'cash', 'rent', 0)
      || tests.lines('acme', 'cash', 'equity', 2, 'USD'))), 'LG206',
  'a third posting of an account that has two is in excess');
select is(pg_temp.outcome_of(pg_temp.part(
    tests.line(tests.account('acme', 'sales'), 'credit', 45)
      || tests.line(tests.account('acme', 'cash'), 'debit', 30)
      || tests.line(tests.account('acme', 'cash'), 'debit', 15)
      || tests.lines('acme', 'cash', 'equity', 2, 'USD'))), 'posted',
  'a part of several postings is taken, named in any order');
select is(tests.counters('acme', 'sales'), array[0, 125, 0, 0]::numeric[],
  'the part is posted, the rest released');
select is(tests.counters('acme', 'rent'), array[0, 0, 0, 0]::numeric[], 'what is not named is released');
select is(tests.counters('acme', 'equity', 'USD'), array[0, 100002, 0, 0]::numeric[], 'in each currency');
select is(
  (select array_agg(array[p.ordinal, p.posted_amount, p.pending_amount]::numeric[] order by p.ordinal)
    from app_public.postings p
    join app_public.transactions t on t.tenant_id = p.tenant_id and t.id = p.transaction_id
    where t.pending_id = pg_temp.made('large')),
  array[[1, 30, -50], [2, 45, -50], [3, 15, -20], [4, 0, -20], [5, 2, -8], [6, 2, -8]]::numeric[],
  'each posting of the pending transaction is answered by one, in its order');
select is(pg_temp.outcome_of(pg_temp.part(tests.lines('acme', 'cash', 'sales', 1))), 'LG305',
  'the rest cannot be posted later');

-- A part of zero on one posting
insert into made select 'zero', tests.post_item('acme', tests.item('pending',
  tests.lines('acme', 'cash', 'sales', 50) || tests.lines('acme', 'cash', 'rent', 20)));
select is(pg_temp.outcome_of(tests.item('post_pending',
    tests.lines('acme', 'cash', 'sales', 0) || tests.lines('acme', 'cash', 'rent', 20),
    pending_id => pg_temp.made('zero'))), 'posted', 'a posting can be posted with zero');
select is(tests.counters('acme', 'rent'), array[0, 20, 0, 0]::numeric[], 'the other is posted');
select is(tests.counters('acme', 'sales'), array[0, 125, 0, 0]::numeric[], 'and the one of zero released');

-- Twice in one batch
insert into made
select name, tests.post_item('acme', tests.item('pending', tests.lines('acme', 'cash', 'sales', 5)))
from unnest(array['twice', 'voided', 'refused']) name;
select is(tests.outcome('acme', array[
    tests.item('post_pending', pending_id => pg_temp.made('twice')),
    tests.item('void_pending', pending_id => pg_temp.made('twice')),
    tests.item('post_pending', pending_id => pg_temp.made('twice'))
  ]), '{posted,LG305,LG305}', 'resolved at most once within a batch');
select is(tests.outcome('acme', array[
    tests.item('void_pending', pending_id => pg_temp.made('voided')),
    tests.item('post_pending', pending_id => pg_temp.made('voided'))
  ]), '{posted,LG306}', 'and the later item is told how');
select is(tests.outcome('acme', array[
    tests.item('post_pending', tests.lines('acme', 'cash', 'sales', 6),
      pending_id => pg_temp.made('refused')),
    tests.item('post_pending', tests.lines('acme', 'cash', 'sales', 4), pending_id => pg_temp.made('refused'))
  ]), '{LG206,posted}', 'a refused attempt does not use the pending transaction up');
select is(
  (select (r.refusal).detail from tests.send('acme', array[
    tests.item('post_pending', pending_id => pg_temp.made('twice'))]) r),
  jsonb_build_object('transactionId', pg_temp.made('twice')), 'the detail names the pending transaction');
select is_empty($$
  select * from app_private.open_reservations r where r.tenant_id = tests.tenant('acme')
$$, 'without a timeout nothing waits to expire');

select * from finish();
rollback;
