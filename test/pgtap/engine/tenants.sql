-- What belongs to other books is simply not found: not used, not confirmed, not changed.
begin;
select plan(15);

select tests.make_books('acme');
select tests.make_books('rival');
create temp table theirs as
select
  tests.post('rival', 'cash', 'sales', 10) as posted,
  tests.post('rival', 'cash', 'sales', 10, 'EUR', 'pending') as pending,
  tests.post('rival', 'cash', 'sales', 10, 'EUR', 'pending', null, null, 1) as expired,
  tests.account('rival', 'cash') as cash,
  tests.account('rival', 'sales') as sales;

create temp view books as
select
  (select jsonb_agg(to_jsonb(b) order by b.account_id) from app_public.account_balances b
    where b.tenant_id = tests.tenant('rival')) as balances,
  (select count(*) from app_public.transactions t where t.tenant_id = tests.tenant('rival')) as transactions,
  (select count(*) from app_private.open_reservations r
    where r.tenant_id = tests.tenant('rival')) as reservations;
create temp table before as select * from books;

create function pg_temp.outcome_of(item app_public.transaction_input, may_expire boolean default false)
returns text
language sql
as $$
  select (tests.outcome('acme', array[item], may_expire))[1]
$$;

select is(pg_temp.outcome_of(tests.item(postings => tests.line(cash, 'debit', 1)
  || tests.line(sales, 'credit', 1))),
  'LG301', 'accounts of other books are not found') from theirs;
select is(pg_temp.outcome_of(tests.item(
    postings => tests.line(cash, 'debit', 1) || tests.line(tests.account('acme', 'sales'), 'credit', 1))),
  'LG301', 'nor one among accounts of these books') from theirs;
select is(pg_temp.outcome_of(tests.item('pending', tests.line(tests.account('acme', 'cash'), 'debit', 1)
  || tests.line(sales, 'credit', 1))),
  'LG301', 'nor to reserve') from theirs;
select is(pg_temp.outcome_of(tests.item(
    postings => tests.lines('acme', 'cash', 'sales', 1), conditions => tests.condition(cash, 0))),
  'LG301', 'nor in a condition') from theirs;
select is(
  (select (r.refusal).detail from tests.send('acme', array[tests.item(
    postings => tests.line(cash, 'debit', 1) || tests.line(sales, 'credit', 1))]) r),
  jsonb_build_object('accountId', cash), 'and the detail tells nothing but the id that was sent') from theirs;
select is(pg_temp.outcome_of(tests.item('post_pending', pending_id => pending)), 'LG304',
  'a pending transaction of other books is not found') from theirs;
select is(pg_temp.outcome_of(tests.item('post_pending', tests.line(cash, 'debit', 1)
  || tests.line(sales, 'credit', 1),
  pending_id => pending)), 'LG304', 'nor to post a part of') from theirs;
select is(pg_temp.outcome_of(tests.item('void_pending', pending_id => pending)), 'LG304', 'nor to void')
  from theirs;
select is(pg_temp.outcome_of(tests.item('post_pending', pending_id => posted)), 'LG304',
  'whether it is pending is not told') from theirs;
select is(pg_temp.outcome_of(tests.item(reverses_id => posted)), 'LG310',
  'a transaction of other books is not found') from theirs;
select is(pg_temp.outcome_of(tests.item(reverses_id => pending)), 'LG310',
  'nor is it told that it could not be reversed') from theirs;
select pg_sleep(1.05);
select is(pg_temp.outcome_of(tests.item('expire_pending', pending_id => expired), true), 'LG304',
  'the job of these books does not release theirs') from theirs;
select is(tests.outcome('acme', array[
    tests.transfer('acme', 'cash', 'sales', 1),
    tests.item(postings => tests.line((select cash from theirs), 'debit', 1)
      || tests.line((select sales from theirs), 'credit', 1)),
    tests.transfer('acme', 'cash', 'sales', 1)
  ]), '{posted,LG301,posted}', 'the items beside it are posted');
select results_eq('select * from books', 'select * from before', 'nothing of the other books has changed');
select throws_ok($$
    insert into app_public.transactions (tenant_id, kind, created_at, effective_at, id, pending_id)
    select tests.tenant('acme'), 'void_pending', now(), now(), uuidv7(), pending from theirs
  $$, '23503', null, 'nor can a row name a transaction of other books, whoever writes it');

select * from finish();
rollback;
