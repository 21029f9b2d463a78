/*
 * The audit trail is sealed like the ledger: a chain a tenant, and one for what belongs to none. What the
 * retention rule removed stays provable, and excuses nothing else.
 */
begin;
select plan(20);

select tests.make_books('acme');
insert into app_private.audit_entries (tenant_id, operation, table_name, row_key, at)
select t.id, 'read', 'x', 'entry ' || n, '2020-02-10Z'::timestamptz + make_interval(months => n / 3)
from (values (tests.tenant('acme')), (0)) t (id) cross join generate_series(0, 5) n;
select app_private.make_audit_partitions();
select tests.seal_all();

create temp view blocks as
select b.number, b.leaf_count, b.earliest_at, b.latest_at
from app_public.seal_blocks b where b.tenant_id = tests.tenant('acme') and b.stream = 'audit';

select is(
  (select sum(leaf_count) from blocks),
  (select count(*) from app_private.audit_entries where tenant_id = tests.tenant('acme')),
  'all of the trail of a tenant is sealed');
select ok((select count(*) from blocks) >= 3, 'in several blocks');
select is_empty(
  $$select number from blocks
    where date_trunc('month', earliest_at, 'UTC') <> date_trunc('month', latest_at, 'UTC')$$,
  'none of which spans two months');
select ok(
  exists (select from app_public.seal_blocks where tenant_id = 0 and stream = 'audit')
    and not exists (select from app_public.seal_blocks where tenant_id = 0 and stream = 'ledger'),
  'what belongs to no tenant has a chain of its own');
select is_empty('select * from checks.sealed_rows_that_differ', 'sound rows are found sound');
select is_empty('select * from checks.seal_blocks_that_differ', 'and sound blocks');

-- An entry that was tampered with, in the words of the check; everything is taken back.
create function pg_temp.found(statements text) returns text language plpgsql as $$
declare
  v_found text;
begin
  set local session_replication_role = replica;
  execute statements;
  set local session_replication_role = origin;
  select string_agg(concat_ws(' ', d.stream, d.problem, e.row_key), ', ' order by d.problem, e.row_key) into v_found
  from checks.sealed_rows_that_differ d
  left join pg_temp.kept e on e.id = d.row_id
  where d.tenant_id = tests.tenant('acme');
  raise exception using errcode = 'P0099', message = coalesce(v_found, 'nothing');
exception when sqlstate 'P0099' then
  return sqlerrm;
end $$;
create temp table kept as select id, row_key from app_private.audit_entries where row_key ~ '^entry';

select is(pg_temp.found($$update app_private.audit_entries set user_id = uuidv7() where row_key = 'entry 1'$$),
  'audit changed entry 1', 'somebody else did it: found');
select is(pg_temp.found($$update app_private.audit_entries set after = '{"x": "1"}'
  where row_key = 'entry 1' and tenant_id <> 0$$), 'audit changed entry 1', 'something else was done: found');
select is(pg_temp.found($$delete from app_private.audit_entries where row_key = 'entry 1' and tenant_id <> 0$$),
  'audit missing entry 1', 'it was not done at all: found');
select is(pg_temp.found($$insert into app_private.audit_entries (tenant_id, operation, table_name, xact_id)
  values (tests.tenant('acme'), 'read', 'x', '2')$$), 'audit not in the seal', 'it was done long ago: found');
select is(pg_temp.found('drop table app_private.audit_entries_2020_02'),
  'audit missing entry 0, audit missing entry 1, audit missing entry 2', 'a month that nobody retired: found');

--------------------------------------------------------------------------------------------------
-- Retention

select app_private.set_audit_retention(12);
select is(app_private.retire_audit_partition(), 'audit_entries_2020_02', 'a month that is sealed is retired');
select is_empty(
  'select * from checks.sealed_rows_that_differ',
  'its entries are not missing');
select is_empty('select * from checks.audit_retirements_that_differ', 'and it was as many as were sealed');
select is_empty('select * from checks.seal_blocks_that_differ', 'its leaves are still those of its blocks');
select is(pg_temp.found($$delete from app_private.audit_entries where row_key = 'entry 4' and tenant_id <> 0$$),
  'audit missing entry 4', 'it excuses nothing of another month');

create function pg_temp.retirement_found(statements text) returns bigint language plpgsql as $$
declare
  v_count bigint;
begin
  set local session_replication_role = replica;
  execute statements;
  set local session_replication_role = origin;
  select count(*) into v_count from checks.audit_retirements_that_differ where tenant_id = tests.tenant('acme');
  raise exception using errcode = 'P0099', message = v_count;
exception when sqlstate 'P0099' then
  return sqlerrm;
end $$;
select is(pg_temp.retirement_found($$update app_private.audit_retirements set entries = entries - 1$$), 1::bigint,
  'a month that was less than was sealed is found');
select is(
  pg_temp.retirement_found($$
    insert into app_private.audit_retirements (tenant_id, starts_at, ends_at, entries, retained_months)
    values (tests.tenant('acme'), '2020-03-01Z', '2020-04-01Z', 3, 12);
    delete from app_private.audit_entries where row_key = 'entry 4' and tenant_id <> 0$$),
  1::bigint, 'a record of a retirement that never was does not cover an entry that is gone');

-- In a request.
select tests.become('auditor', tests.tenant('acme'), tests.user_id('x'));
select is(
  (select count(*) from app_hidden.audit_leaf_hashes(0)), 0::bigint,
  'nobody is told the hashes of others by asking for them');
select is(app_hidden.audit_entry_count(0, '-infinity', 'infinity'), 0::bigint, 'nor how many they are');
select tests.become_superuser();

select * from finish();
rollback;
