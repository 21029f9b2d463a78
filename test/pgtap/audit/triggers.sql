/*
 * Every table is audited or is in the list of exceptions, by the catalog: a new table without its triggers
 * fails here, and so does a column that looks like a secret and is not redacted.
 */
begin;
select plan(17);

create temp view tables as
select c.oid, c.oid::regclass::text as name, c.relname,
  exists (
    select from app_private.audit_exceptions() e
    where e.table_name = coalesce(pg_partition_root(c.oid), c.oid)::regclass::text
  ) as is_exception
from pg_class c
where c.relnamespace::regnamespace::text in ('app_public', 'app_hidden', 'app_private')
  and c.relkind in ('r', 'p');

create temp view wanted as
select t.name, k.task, k.type, k.old, k.new, k.function
from tables t
cross join (values
  ('_900_audit_insert', 4, null, 'new_rows', 'tg__audit'),
  ('_900_audit_update', 16, 'old_rows', 'new_rows', 'tg__audit'),
  ('_900_audit_delete', 8, 'old_rows', null, 'tg__audit'),
  ('_900_audit_truncate', 34, null, null, 'tg__audit_truncate')
) as k (task, type, old, new, function)
where not t.is_exception;

create temp view actual as
select t.name, g.tgname::text as task, g.tgtype::integer as type, g.tgoldtable::text as old, g.tgnewtable::text as new,
  p.proname::text as function
from tables t
join pg_trigger g on g.tgrelid = t.oid and g.tgenabled = 'O'
join pg_proc p on p.oid = g.tgfoid
where p.pronamespace = 'app_private'::regnamespace and p.proname like 'tg\_\_audit%';

select is_empty('select * from wanted except select * from actual',
  'a table that is no exception has its four triggers: include audit/triggers.sql at the end of the migration');
select is_empty('select * from actual except select * from wanted', 'and no table has others');
select cmp_ok((select count(*) from wanted), '>', 60::bigint, 'there are tables to audit');
select is_empty(
  'select table_name from app_private.audit_exceptions() where to_regclass(table_name) is null',
  'every exception is a table');
select is_empty('select table_name from app_private.audit_exceptions() where length(reason) < 10',
  'and has a reason');
select is_empty(
  $$select e.table_name from app_private.audit_exceptions() e
    where e.is_append_only and not exists (
      select from pg_trigger g
      where g.tgrelid = e.table_name::regclass and g.tgfoid = 'app_private.tg__refuse_change'::regproc
        -- before, for each statement, on update, delete and truncate
        and g.tgtype = 58 and g.tgenabled = 'O')$$,
  'what is an exception for being append-only is so');
select is_empty('select relname from tables group by 1 having count(*) > 1',
  'the name of a table says which it is without its schema');

--------------------------------------------------------------------------------------------------
-- What is redacted

create temp view suspicious as
select t.name, a.attname::text as column_name
from tables t
join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
join pg_type y on y.oid = a.atttypid
where not t.is_exception
  and (
    'bytea'::regtype in (y.oid, y.typbasetype, y.typelem)
    or a.attname ~ '(secret|hash|token|ciphertext|password|otp|nonce|salt|_index$)'
  );

select is_empty(
  $$select s.name, s.column_name from suspicious s
    where not exists (
      select from pg_trigger g
      where g.tgrelid = s.name::regclass and g.tgname = '_900_audit_update'
        and s.column_name = any ((string_to_array(encode(g.tgargs, 'escape'), '\000'))[3]::text[])
    )
    except select r.table_name, r.column_name from app_private.audit_redactions() r where not r.is_redacted$$,
  'what is binary or called like a secret is redacted, or listed as harmless');
select is_empty(
  $$select r.table_name, r.column_name from app_private.audit_redactions() r
    where not exists (
      select from pg_attribute a
      where a.attrelid = to_regclass(r.table_name) and a.attname = r.column_name)
    or length(r.reason) < 10$$,
  'what is listed is a column, and has a reason');

create table app_private.keepers (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  name text,
  api_secret text,
  picture bytea,
  constraint keepers_pkey primary key (tenant_id, id)
);
alter table app_private.keepers owner to tallystick_owner;
select set_eq('select name, task from wanted except select name, task from actual',
  $$values ('app_private.keepers', '_900_audit_insert'), ('app_private.keepers', '_900_audit_update'),
    ('app_private.keepers', '_900_audit_delete'), ('app_private.keepers', '_900_audit_truncate')$$,
  'a new table is missing from the audit');
select app_private.attach_audit_triggers();
select is_empty('select * from wanted except select * from actual', 'until the loop has run again');

insert into app_private.keepers (tenant_id, name, api_secret, picture) values (7, 'ann', 'hush', '\xdeadbeef');
update app_private.keepers set api_secret = 'hush hush', picture = null;
select is(
  (select array_agg(before || jsonb_build_object('after', after) - 'id' order by id)
    from app_private.audit_entries where table_name = 'keepers' and operation = 'update'),
  array[$${"api_secret": "[redacted]", "picture": "[redacted]",
    "after": {"api_secret": "[redacted]", "picture": null}}$$::jsonb],
  'a secret that changes is seen to change, and no more');
select is_empty(
  $$select e.id from app_private.audit_entries e
    where e.table_name = 'keepers' and concat(e.before, e.after) ~ 'hush|deadbeef'$$,
  'its value is nowhere');

-- A key can be a secret as well. Two rows, so that the entries of both must find their own before and after.
create table app_private.door_keys (
  token_hash bytea not null,
  tenant_id integer not null,
  door integer not null,
  opened integer not null default 0,
  constraint door_keys_pkey primary key (token_hash, door)
);
select app_private.attach_audit_triggers();
insert into app_private.door_keys (token_hash, tenant_id, door) values ('\xdeadbeef', 7, 1), ('\xbeefdead', 7, 1);
update app_private.door_keys set opened = case token_hash when '\xdeadbeef' then 4 else 5 end;
delete from app_private.door_keys;
select set_eq(
  $$select operation, row_key, before ->> 'opened' as before, after ->> 'opened' as after
    from app_private.audit_entries where table_name = 'door_keys'$$,
  $$values
    ('insert'::app_public.audit_operation, '[redacted]/1', null, '0'), ('insert', '[redacted]/1', null, '0'),
    ('update', '[redacted]/1', '0', '4'), ('update', '[redacted]/1', '0', '5'),
    ('delete', '[redacted]/1', '4', null), ('delete', '[redacted]/1', '5', null)$$,
  'a key that is secret is not told, and still tells the rows apart');
select is_empty(
  $$select e.id from app_private.audit_entries e
    where e.table_name = 'door_keys' and concat(e.row_key, e.before, e.after) ~ 'dead|beef'$$,
  'neither in the key nor among the values');
drop table app_private.door_keys;

--------------------------------------------------------------------------------------------------
-- Every table, every operation: on a copy of each without its constraints, so that any row will do

create function pg_temp.value_of(type oid, n integer) returns text language sql as $$
  select case
    when t.typtype = 'e' then (select e.enumlabel from pg_enum e where e.enumtypid = t.oid order by 1 offset n limit 1)
    when t.typcategory = 'N' then n::text
    when t.typcategory = 'B' then (n = 0)::text
    when t.typname = 'uuid' then md5(n::text)
    when t.typcategory = 'D' then (date '2026-01-01' + n)::text
    else 'row ' || n
  end
  from pg_type t where t.oid = type
$$;

create function pg_temp.operations_seen(table_id regclass) returns text language plpgsql as $$
declare
  v_object record;
  v_keys text[];
  v_row text[];
  v_other text[];
  v_seen text;
  v_last constant uuid := uuidv7();
begin
  for v_object in
    select format('alter table %s drop constraint if exists %I cascade', c.conrelid::regclass, c.conname) as statement
    from pg_constraint c where (c.conrelid = table_id or c.confrelid = table_id) and c.contype in ('c', 'f', 'x', 'u')
    union all
    select format('drop trigger %I on %s', g.tgname, table_id)
    from pg_trigger g where g.tgrelid = table_id and not g.tgisinternal and g.tgname !~ '^_900_'
    union all
    select format('alter table %s alter column %I drop not null', table_id, a.attname)
    from pg_attribute a
    where a.attrelid = table_id and a.attnotnull and a.attnum > 0 and not a.attisdropped and a.attidentity = ''
      and not exists (select from pg_index i where i.indrelid = table_id and i.indisprimary
        and a.attnum = any (i.indkey::int2[]))
    union all
    select format('drop index %s', i.indexrelid::regclass)
    from pg_index i where i.indrelid = table_id and i.indisunique and not i.indisprimary
      and not exists (select from pg_constraint c where c.conindid = i.indexrelid)
  loop
    execute v_object.statement;
  end loop;
  select array_agg(quote_ident(a.attname) order by a.attnum),
    array_agg(quote_literal(pg_temp.value_of(a.atttypid, 0)) order by a.attnum),
    array_agg(quote_ident(a.attname) || ' = ' || quote_literal(pg_temp.value_of(a.atttypid, 1)) order by a.attnum)
  into v_keys, v_row, v_other
  from pg_attribute a join pg_index i on i.indrelid = a.attrelid and a.attnum = any (i.indkey::int2[])
  where a.attrelid = table_id and i.indisprimary and a.attidentity <> 'a';
  if v_keys is null then
    select array['name'], array['''a'''], array['name = ''b'''] into v_keys, v_row, v_other;
  end if;
  execute format('truncate %s cascade', table_id);
  execute format('insert into %s (%s) values (%s)',
    table_id, array_to_string(v_keys, ', '), array_to_string(v_row, ', '));
  execute format('update %s set %s', table_id, array_to_string(v_other, ', '));
  execute format('delete from %s', table_id);
  execute format('insert into %s (%s) values (%s)',
    table_id, array_to_string(v_keys, ', '), array_to_string(v_row, ', '));
  execute format('truncate %s cascade', table_id);
  select string_agg(distinct e.operation::text, ' ' order by e.operation::text) into v_seen
  from app_private.audit_entries e
  where e.id > v_last and e.table_name = (select relname from pg_class where oid = table_id);
  raise exception using errcode = 'P0099', message = v_seen;
exception when sqlstate 'P0099' then
  return sqlerrm;
end
$$;

create temp table seen as
select t.name, pg_temp.operations_seen(t.oid) as operations from tables t where not t.is_exception;
select is_empty(
  $$select name, operations from seen where operations is distinct from 'delete insert truncate update'$$,
  'every operation on every audited table is seen');
select cmp_ok((select count(*) from seen), '>', 15::bigint, 'on all of them');

select * from finish();
rollback;
