-- LG201: debits equal credits, in each currency by itself.
begin;
select plan(10);

select tests.make_books('acme');

create function pg_temp.refusal_of(postings app_public.posting_input[])
returns app_public.refusal
language sql
as $$
  select r.refusal from tests.send('acme', array[tests.item(postings => postings)]) r
$$;

select is((pg_temp.refusal_of(
    tests.line(tests.account('acme', 'cash'), 'debit', 5)
      || tests.line(tests.account('acme', 'sales'), 'credit', 4)
  )).code, 'LG201', 'debits above credits are refused');
select is((pg_temp.refusal_of(
    tests.line(tests.account('acme', 'cash'), 'debit', 5)
      || tests.line(tests.account('acme', 'sales'), 'credit', 6)
  )).detail, '{"currency": "EUR", "difference": "-1"}', 'the detail tells the currency and the difference');
select is((pg_temp.refusal_of(
    tests.line(tests.account('acme', 'cash'), 'debit', 5)
      || tests.line(tests.account('acme', 'sales'), 'debit', 5)
  )).code, 'LG201', 'two debits do not balance');
select is((pg_temp.refusal_of(
    tests.line(tests.account('acme', 'cash'), 'debit', 5)
      || tests.line(tests.account('acme', 'equity', 'USD'), 'credit', 5)
  )).detail, '{"currency": "EUR", "difference": "5"}',
    'one currency does not balance another; the first by code is told');
select is((pg_temp.refusal_of(
    tests.lines('acme', 'cash', 'sales', 5) || tests.line(tests.account('acme', 'cash', 'USD'), 'debit', 3)
      || tests.line(tests.account('acme', 'equity', 'USD'), 'credit', 4)
  )).detail, '{"currency": "USD", "difference": "-1"}', 'each currency must balance');
select is((pg_temp.refusal_of(
    tests.lines('acme', 'cash', 'sales', 5) || tests.lines('acme', 'cash', 'equity', 7, 'USD')
  )).code, null, 'several currencies that each balance are taken');
select is((pg_temp.refusal_of(
    tests.line(tests.account('acme', 'cash'), 'debit', 9)
      || tests.line(tests.account('acme', 'sales'), 'credit', 4)
      || tests.line(tests.account('acme', 'rent'), 'credit', 3)
        || tests.line(tests.account('acme', 'cash'), 'credit', 2)
  )).code, null, 'one debit and three credits balance, an account appearing twice');
select is(
  (select array_agg(array[p.version - b.first, p.ordinal] order by p.version)
    from app_public.postings p
    cross join lateral (
      select min(q.version) as first from app_public.postings q
      where q.transaction_id = p.transaction_id and q.account_id = p.account_id
    ) b
    where p.account_id = tests.account('acme', 'cash') and p.transaction_id = (
      select t.id from app_public.transactions t where t.tenant_id = tests.tenant('acme')
      order by t.created_at desc, t.id desc limit 1
    )),
  array[array[0, 1], array[1, 4]]::bigint[], 'an account that appears twice takes its postings in order');
select is(
  tests.outcome('acme', array[tests.item('pending',
    tests.lines('acme', 'cash', 'sales', 5) || tests.line(tests.account('acme', 'cash'), 'debit', 1))]),
  '{LG201}', 'a pending transaction must balance too');
select is(tests.counters('acme', 'rent'), array[0, 3, 0, 0]::numeric[], 'refused transactions left nothing');

select * from finish();
rollback;
