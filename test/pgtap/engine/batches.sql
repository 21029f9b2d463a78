-- LG111 and the two modes: items succeed or fail one by one, or all together.
begin;
select plan(17);

select tests.make_books('acme');
select tests.open_account('acme', 'till', 'asset', minimum_balance => 0);

create function pg_temp.transfers(count integer)
returns app_public.transaction_input[]
language sql
as $$
  select array_agg(tests.transfer('acme', 'cash', 'sales', 1)) from generate_series(1, count)
$$;

create function pg_temp.detail_of(statement text)
returns jsonb
language plpgsql
as $$
declare
  v_detail text;
begin
  execute statement;
  return null;
exception when others then
  get stacked diagnostics v_detail = pg_exception_detail;
  return v_detail::jsonb;
end
$$;

select throws_ok($$select * from tests.send('acme', '{}')$$, 'LG111', null, 'a batch of nothing is refused');
select throws_ok($$select * from tests.send('acme', null)$$, 'LG111', null, 'so is no batch at all');
select throws_ok($$select * from tests.send('acme', array_fill(tests.item(), array[10001]))$$, 'LG111', null,
  'so are more than 10,000 transactions');
select is((select count(*)::integer from tests.send('acme', array_fill(tests.item(), array[10000]))), 10000,
  '10,000 transactions are taken, each with its answer');
select throws_ok($$
    select * from tests.send('acme', array_fill(tests.item(postings => (
      select array_agg(l) from generate_series(1, 5000), unnest(tests.lines('acme', 'cash', 'sales', 1)) l
    )), array[11]))
  $$, 'LG111', null, 'more than 100,000 postings in all are refused');

-- One by one
create temp table results as
select r.*, row_number() over () as n
from tests.send('acme', array[
  tests.transfer('acme', 'till', 'equity', 10),
  tests.transfer('acme', 'cash', 'till', 11),
  tests.item(),
  tests.transfer('acme', 'cash', 'till', 10)
]) r;
select is((select array_agg(coalesce((refusal).code, 'posted') order by n) from results),
  '{posted,LG202,LG103,posted}', 'an independent batch answers each item in its place');
select is((select array_agg(transaction_id is not null order by n) from results), '{t,f,f,t}',
  'only what was posted has an id');
select is(
  (select row(refusal)::text from results where n = 3),
  (select row(row(r.code, r.name, r.message, '{}'::jsonb, r.hint, r.is_retryable)::app_public.refusal)::text
    from app_public.refusals r where r.code = 'LG103'),
  'a refusal tells all that the catalogue knows of it');
select is((select tests.balance(r, tests.account('acme', 'till')) from tests.send('acme', array[
    tests.transfer('acme', 'till', 'equity', 3)]) r), array[3, 3, 3]::numeric[],
      'an answer tells the balances it left');
select is((select array_agg(tests.balance(r, tests.account('acme', 'till'))) from tests.send('acme', array[
    tests.transfer('acme', 'till', 'equity', 3), tests.transfer('acme', 'cash', 'till', 1)]) r),
  array[[6, 6, 6], [5, 5, 5]]::numeric[], 'within a batch those that each item left');
select is((select array_agg(b.account_id order by b.account_id) = array_agg(b.account_id)
  from tests.send('acme', array[tests.item(postings => tests.lines('acme', 'cash', 'sales', 1)
    || tests.lines('acme', 'cash', 'rent', 1) || tests.lines('acme', 'rent', 'cash', 1))]) r,
      unnest(r.balances) b
  having count(*) = 3), true, 'one balance an account, in the order of their ids');

-- All together
select is((select count(*)::integer from tests.send('acme', pg_temp.transfers(50), 'atomic') r
  where r.transaction_id is not null),
  50, 'an atomic batch posts all');
select throws_ok($$select *
  from tests.send('acme', pg_temp.transfers(3) || tests.item() || tests.transfer('acme', 'cash', 'till', 99),
  'atomic')$$,
  'LG103', null, 'or refuses with the first refusal');
select is(pg_temp.detail_of($$select tests.send('acme', pg_temp.transfers(3)
  || tests.transfer('acme', 'cash', 'till', 99), 'atomic')$$),
  jsonb_build_object('item', 3, 'name', 'exceeds_minimum_balance', 'accountId', tests.account('acme', 'till'),
    'minimumBalance', '0', 'shortBy', '94'),
  'the detail names the item, counted from zero');
select is(pg_temp.detail_of($$select tests.send('acme', array[tests.transfer('acme', 'cash', 'till', 99)],
  'atomic')$$) ? 'item', false,
  'a batch of one names no item');
select is(tests.counters('acme', 'sales'), array[0, 51, 0, 0]::numeric[],
  'what was refused has left nothing');
select is(tests.outcome('acme', array[tests.transfer('acme', 'cash', 'sales', 1, idempotency_key => 'k')]),
  '{posted}',
  'and the books go on');

select * from finish();
rollback;
