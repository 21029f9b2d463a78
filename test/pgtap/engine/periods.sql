-- LG309 and backdating: effective when the caller says, unless that lies in a closed period.
begin;
select plan(15);

select tests.make_books('acme');
select tests.make_books('other');
insert into app_public.accounting_periods (tenant_id, name, during, closed_at)
values
  (tests.tenant('acme'), '2023', '[2023-01-01, 2024-01-01)', now()),
  (tests.tenant('acme'), '2024', '[2024-01-01, 2025-01-01)', null);

create function pg_temp.outcome_at(at timestamptz)
returns text
language sql
as $$
  select (tests.outcome('acme', array[tests.transfer('acme', 'cash', 'sales', 5, effective_at => at)]))[1]
$$;

select is(pg_temp.outcome_at('2023-01-01'), 'LG309', 'the first moment of a closed period is closed');
select is(pg_temp.outcome_at('2023-12-31 23:59:59.999999'), 'LG309', 'so is its last');
select is(pg_temp.outcome_at('2024-01-01'), 'posted', 'the moment after is not');
select is(pg_temp.outcome_at('2022-12-31 23:59:59.999999'), 'posted',
  'nor is the moment before, in no period at all');
select is(pg_temp.outcome_at('2024-06-01'), 'posted', 'an open period takes backdated postings');
select is(pg_temp.outcome_at('2090-01-01'), 'posted', 'the future is taken');
select is(
  (select (r.refusal).detail from tests.send('acme',
    array[tests.transfer('acme', 'cash', 'sales', 5, effective_at => '2023-05-01Z')]) r),
  '{"period": "2023", "effectiveAt": "2023-05-01T00:00:00+00:00"}',
    'the detail names the period and the time');
select is(tests.outcome('other',
  array[tests.transfer('other', 'cash', 'sales', 5, effective_at => '2023-05-01')]),
  '{posted}', 'a period of other books closes nothing here');

-- Pending transactions are recorded and resolved each at its own effective time.
create temp table made (id uuid);
insert into made select tests.post('acme', 'cash', 'sales', 5, 'EUR', 'pending');
select is(tests.outcome('acme', array[
    tests.transfer('acme', 'cash', 'sales', 5, kind => 'pending', effective_at => '2023-05-01')
  ]), '{LG309}', 'nothing is reserved in a closed period');
select is(tests.outcome('acme', array[
    tests.item('post_pending', pending_id => (select id from made), effective_at => '2023-05-01')
  ]), '{LG309}', 'a pending transaction is not posted into one');
select is(tests.outcome('acme', array[
    tests.item('void_pending', pending_id => (select id from made), effective_at => '2023-05-01')
  ]), '{LG309}', 'nor voided in one');
select is(tests.outcome('acme', array[
    tests.item('post_pending', pending_id => (select id from made), effective_at => '2024-05-01')
  ]), '{posted}', 'but posted beside it');
select is(
  (select array_agg(distinct p.effective_at = t.effective_at and p.created_at = t.created_at)
    from app_public.postings p
    join app_public.transactions t on t.tenant_id = p.tenant_id and t.id = p.transaction_id
    where p.tenant_id = tests.tenant('acme')),
  '{t}', 'every posting carries the times of its transaction');
select is(tests.outcome('acme', array[
    tests.transfer('acme', 'cash', 'sales', 5, effective_at => '2023-05-01'),
    tests.transfer('acme', 'cash', 'sales', 5),
    tests.transfer('acme', 'cash', 'sales', 5, effective_at => '2024-05-01')
  ]), '{LG309,posted,posted}', 'each item of a batch is held to its own time');
select throws_ok(
  $$update app_public.accounting_periods set closed_at = now() where tenant_id = tests.tenant('acme')
      and during @> timestamptz '2024-02-01'; insert into app_public.accounting_periods (tenant_id, name,
        during, closed_at)
    values (tests.tenant('acme'), 'now', tstzrange(now() - interval '1 day', now() + interval '1 day'),
      now())$$,
  '23514', null, 'a period is not closed before its end, so now is always open');

select * from finish();
rollback;
