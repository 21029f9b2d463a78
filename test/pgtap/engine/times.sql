-- created_at rises strictly per account across transactions, versions have no gap, the clock is not the
-- caller's.
begin;
select plan(8);

select tests.make_books('acme');
select tests.outcome('acme', (
  select array_agg(tests.item(
    case when g % 5 = 0 then 'pending' else 'posted' end::app_public.transaction_kind,
    tests.lines('acme', 'cash', 'sales', g) || tests.lines('acme', 'rent', 'cash', 1),
    effective_at => timestamptz '2024-06-01' - g * interval '1 hour'))
  from generate_series(1, 50) g
));
select tests.post('acme', 'cash', 'sales', 5);
create temp view history as
select p.account_id, p.version, p.created_at, p.transaction_id,
  lag(p.version, 1, 0::bigint) over w as version_before,
  lag(p.created_at, 1, '-infinity') over w as created_before,
  lag(p.transaction_id) over w as transaction_before
from app_public.postings p
where p.tenant_id = tests.tenant('acme')
window w as (partition by p.account_id order by p.version);

select cmp_ok((select count(*)::integer from history), '>', 200, 'there is a history to look at');
select is_empty($$select * from history where version <> version_before + 1$$,
  'the versions of an account have no gap');
select is_empty($$
  select * from history where created_at <= created_before and transaction_id is distinct
    from transaction_before
$$, 'created_at rises strictly from one transaction of an account to the next');
select is_empty($$
  select * from history where created_at <> created_before and transaction_id = transaction_before
$$, 'the postings of one transaction have one created_at');
select is(
  (select max(b.last_effective_at) < now() + interval '1 minute' from app_public.account_balances b
    where b.account_id = tests.account('acme', 'cash')),
  true, 'backdating does not move the last effective time back');
select is_empty($$
  select * from app_public.account_balances b
  cross join lateral (
    select
      coalesce(max(p.version), 0) as version,
      coalesce(max(p.created_at), '-infinity') as created_at,
      coalesce(max(p.effective_at), '-infinity') as effective_at
    from app_public.postings p
    where p.tenant_id = b.tenant_id and p.account_id = b.account_id
  ) p
  where b.tenant_id = tests.tenant('acme')
    and (b.version, b.last_created_at, b.last_effective_at) <> (p.version, p.created_at, p.effective_at)
$$, 'the balance carries the last version and times of its postings');

-- Even if the clock has gone back since.
update app_public.account_balances set last_created_at = clock_timestamp() + interval '1 hour'
where account_id = tests.account('acme', 'rent');
create temp table made as
select 1 as n, tests.post('acme', 'rent', 'bob', 5) as id;
insert into made select 2, tests.post('acme', 'cash', 'bob', 5);
select is(
  (select array_agg(p.created_at - q.created_at order by p.version)
    from app_public.postings p
    join app_public.transactions q on q.tenant_id = p.tenant_id and q.id = (select id from made where n = 1)
    where p.transaction_id = (select id from made where n = 2)),
  array[interval '1 microsecond', interval '1 microsecond'],
  'an account that met a later time hands it on to the next');
select cmp_ok(
  (select t.created_at from app_public.transactions t where t.id = (select id from made where n = 1)),
  '>', clock_timestamp() + interval '59 minutes',
  'a clock that went back does not take created_at with it');

select * from finish();
rollback;
