-- A page of a statement: in the order of recording, with the balance after each line, at any depth.
begin;
select plan(18);

select tests.make_books('acme');
select tests.post('acme', 'cash', 'ann', n, effective_at => timestamptz '2026-01-10' - n * interval '1 day')
from generate_series(1, 120) n;
select tests.post('acme', 'ann', 'cash', 60, kind => 'pending');

create function pg_temp.statement(
  page_size integer default 50, after_version bigint default null, before_version bigint default null,
  newest_first boolean default true, recorded_from timestamptz default null,
  recorded_before timestamptz default null
)
returns setof app_public.statement_line language sql as $$
  select (unnest(app_public.accounts_statement(
    a, page_size, after_version, before_version, newest_first, recorded_from, recorded_before))).*
  from app_public.accounts a where a.code = 'ann' and a.id = tests.account('acme', 'ann')
$$;
create function pg_temp.recorded(n bigint) returns timestamptz language sql security definer as $$
  select p.created_at from app_public.postings p
  where p.account_id = tests.account('acme', 'ann') and p.version = n
$$;

select results_eq('select version from pg_temp.statement(3)', 'values (122::bigint), (121), (120)',
  'the newest lines come first');
select results_eq(
  'select version from pg_temp.statement(3, before_version => 120)', 'values (119::bigint), (118), (117)',
  'then those before them');
select results_eq('select version from pg_temp.statement(9, before_version => 3)', 'values (2::bigint), (1)',
  'to the first');
select results_eq('select version from pg_temp.statement(3, newest_first => false)', 'values (1::bigint), (2), (3)',
  'or the oldest come first');
select results_eq(
  'select version from pg_temp.statement(3, 3, newest_first => false)', 'values (4::bigint), (5), (6)',
  'then those after them');
select results_eq(
  'select version from pg_temp.statement(3, 120, newest_first => false)', 'values (121::bigint), (122)',
  'to the last');
select results_eq('select version from pg_temp.statement(9, 5, 9)', 'values (8::bigint), (7), (6)',
  'between two versions');
select is_empty('select from pg_temp.statement(9, 500)', 'after the last line there is none');
select is((select count(*) from pg_temp.statement(1000)), 100::bigint, 'a page has a hundred lines at most');
select is((select count(*) from pg_temp.statement(0)), 1::bigint, 'and one at least');
select results_eq(
  $$select version from pg_temp.statement(9, recorded_from => pg_temp.recorded(5),
    recorded_before => pg_temp.recorded(8))$$,
  'values (7::bigint), (6), (5)', 'recorded from a moment until before another');
select results_eq(
  $$select version from pg_temp.statement(2, recorded_from => pg_temp.recorded(5), newest_first => false)$$,
  'values (5::bigint), (6)', 'recorded from a moment on, the oldest first');
select results_eq(
  $$select kind, direction, amount::numeric, posted::numeric, available::numeric from pg_temp.statement(2)$$,
  $$values ('pending'::app_public.transaction_kind,
    'debit'::app_public.direction, 60::numeric, 17260::numeric, 17200::numeric),
    ('posted', 'credit', 120, 17260, 17260)$$,
  'each line has the balance after it');
select is(
  (select count(*) from pg_temp.statement(100) l
   join app_public.postings p on p.account_id = tests.account('acme', 'ann') and p.version = l.version
   where p.transaction_id = l.transaction_id and p.created_at = l.created_at and p.effective_at = l.effective_at),
  100::bigint, 'and the facts of its posting');

-- What a page of ten lines reads from the indexes of the ledger, in entries, in books without statistics.
create function pg_temp.entries_read() returns bigint language sql volatile as $$
  select sum(pg_stat_get_xact_tuples_returned(i.indexrelid))::bigint
  from pg_index i
  where i.indrelid in ('app_public.transactions'::regclass, 'app_public.postings'::regclass)
$$;
create function pg_temp.read_by_page() returns bigint language plpgsql as $$
declare
  v_before constant bigint := pg_temp.entries_read();
begin
  perform app_public.accounts_statement(a, 10, before_version => 60)
  from app_public.accounts a
  where a.id = tests.account('acme', 'ann');
  return pg_temp.entries_read() - v_before;
end
$$;
select tests.become('accountant', tests.tenant('acme'), tests.user_id('eve'));
select cmp_ok(pg_temp.read_by_page(), '<', 30::bigint, 'a page reads its lines and their transactions alone');
select tests.become('customer', tests.tenant('acme'), tests.user_id('ann'));
select is((select count(*) from pg_temp.statement(100)), 100::bigint, 'a customer reads the own statement');
select is(app_public.statement_line_posted_formatted(l), '172.60',
  'with decimals') from pg_temp.statement(1) l;
select is(
  app_public.accounts_statement(jsonb_populate_record(null::app_public.accounts, jsonb_build_object(
    'tenant_id', tests.tenant('acme'), 'id', tests.account('acme', 'bob')))),
  '{}', 'and no other, whatever row is passed in');

select tests.become_superuser();
select * from finish();
rollback;
