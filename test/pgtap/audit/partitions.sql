/*
 * The months of the trail: made ahead, none missing, rows that found none moved; removed by the rule alone,
 * which keeps a year at least and writes down what it removed.
 */
begin;
select plan(27);

select tests.make_books('acme');
select tests.make_books('other');

create function pg_temp.months() returns setof text language sql as $$
  select right(c.relname, 7) from pg_inherits i join pg_class c on c.oid = i.inhrelid
  where i.inhparent = 'app_private.audit_entries'::regclass and c.relname ~ '_[0-9]{4}_[0-9]{2}$' order by 1
$$;
create function pg_temp.month(n integer) returns text language sql as $$
  select to_char(date_trunc('month', now() at time zone 'UTC') + make_interval(months => n), 'YYYY_MM')
$$;

select set_has('select pg_temp.months()', 'select pg_temp.month(n) from generate_series(0, 6) n',
  'a migrated database has this month and six more');
select is(app_private.make_audit_partitions(6), 0, 'made twice, none is made');
select is(app_private.make_audit_partitions(8), 2, 'further ahead, what is missing is made');
select is_empty('select id from app_private.audit_entries_default', 'and the default partition is empty');

select set_config('timezone', 'Pacific/Auckland', true);
select is(app_private.make_audit_partitions(9), 1, 'months are those of UTC, wherever the session is');
insert into app_private.audit_entries (tenant_id, operation, table_name, at)
select tests.tenant('acme'), 'read', 'x', date_trunc('month', now() at time zone 'UTC') at time zone 'UTC'
  + make_interval(months => n) from generate_series(0, 9) n;
select is_empty('select id from app_private.audit_entries_default', 'so that no moment falls between two');

--------------------------------------------------------------------------------------------------
-- Rows that found no partition

insert into app_private.audit_entries (tenant_id, operation, table_name, row_key, at)
select tests.tenant(t.slug), 'read', 'x', 'late ' || n, '2020-02-10Z'::timestamptz + make_interval(months => n)
from (values ('acme'), ('other')) t (slug) cross join generate_series(0, 1) n;
create temp table stray as select e.* from app_private.audit_entries_default e;
select is((select count(*) from stray), 4::bigint, 'what fits no month goes to the default partition');
select is((select count(*) from checks.audit_entries_without_partition), 4::bigint, 'and the check says so');
select is(app_private.make_audit_partitions(), 2, 'the next run makes their months');
select is_empty('select id from app_private.audit_entries_default', 'and moves them there');
select set_eq(
  $$select to_jsonb(e) from app_private.audit_entries e where e.at < '2021-01-01Z'$$,
  'select to_jsonb(s) from stray s', 'every field as it was');
select throws_ok('delete from app_private.audit_entries_default', 'LG319', null,
  'which is closed to changes as before');
select throws_ok('delete from app_private.audit_entries_2020_02', 'LG319', null, 'like the new month');
select ok(
  (select bool_and(c.relrowsecurity and c.relforcerowsecurity and c.relowner = 'tallystick_owner'::regrole)
    from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'app_private.audit_entries'::regclass),
  'every partition has forced row level security and belongs to the owner');
select is_empty(
  $$select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'app_private.audit_entries'::regclass and (
      (select count(*) from pg_index x where x.indrelid = c.oid and x.indisvalid) <> 9
      or (select count(*) from pg_trigger g where g.tgrelid = c.oid) <> 1)$$,
  'and the indexes and the trigger');

--------------------------------------------------------------------------------------------------
-- Retention

select is(app_private.retire_audit_partition(), null, 'without a rule nothing is removed');
select throws_ok('select app_private.set_audit_retention(11)', '23514', null, 'less than a year is refused');
select app_private.set_audit_retention(12);
select is((select after ->> 'months' from app_private.audit_entries where table_name = 'audit_retention'), '12',
  'who sets the rule is in the trail');
select app_private.set_audit_retention(12);
select is((select count(*) from app_private.audit_entries where table_name = 'audit_retention'), 1::bigint,
  'a worker that starts again sets nothing anew');

-- The first month that the rule keeps, and the last that it does not.
insert into app_private.audit_entries (tenant_id, operation, table_name, at)
select tests.tenant('acme'), 'read', 'x',
  date_trunc('month', now() at time zone 'UTC') at time zone 'UTC' - make_interval(months => n)
from unnest(array[12, 13]) n;
select app_private.make_audit_partitions();

select is(app_private.retire_audit_partition(), null, 'what is not sealed is not removed');
select tests.seal_all();
select is(app_private.retire_audit_partition(), 'audit_entries_2020_02', 'the oldest month goes first');
select is(app_private.retire_audit_partition(), 'audit_entries_2020_03', 'one a call');
select is(app_private.retire_audit_partition(), 'audit_entries_' || pg_temp.month(-13), 'then what ended a year ago');
select is(app_private.retire_audit_partition(), null, 'and no month of which a day is younger than that');
select is((select pg_temp.months() limit 1), pg_temp.month(-12), 'it is still there');
select set_eq(
  $$select tenant_id, starts_at, ends_at, entries, retained_months from app_private.audit_retirements
    where starts_at < '2021-01-01Z'$$,
  $$select tests.tenant(t.slug), m.s::timestamptz, m.e::timestamptz, 1::bigint, 12
    from (values ('acme'), ('other')) t (slug)
    cross join (values ('2020-02-01Z', '2020-03-01Z'), ('2020-03-01Z', '2020-04-01Z')) m (s, e)$$,
  'what was removed is written down, tenant by tenant');
select is(
  (select count(*) from app_private.audit_entries
    where table_name = 'audit_retirements' and tenant_id = tests.tenant('acme')), 3::bigint,
  'in the trail, too');

select * from finish();
rollback;
