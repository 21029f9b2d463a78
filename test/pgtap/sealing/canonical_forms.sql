-- What is hashed, and that nothing which is stored is left out of it.
begin;
select plan(16);

select tests.make_books('acme');

-- The tree of RFC 6962: checked against its own definition, for every size up to 40.
create function pg_temp.tree(hashes bytea[]) returns bytea language sql as $$
  select case cardinality(hashes)
    when 1 then hashes[1]
    else sha256('\x01'::bytea || pg_temp.tree(hashes[:k]) || pg_temp.tree(hashes[k + 1:]))
  end
  from (select (2 ^ (ceil(log(2, cardinality(hashes)::numeric)) - 1))::integer as k) s
$$;
create temp table trees as
select n, array(select sha256(i::text::bytea) from generate_series(1, n) i) as hashes
from generate_series(1, 40) n;
select is_empty(
  $$select n from trees where app_hidden.merkle_root(hashes) is distinct from encode(pg_temp.tree(hashes), 'hex')$$,
  'the root is that of a Merkle tree as RFC 6962 defines it');
select is(app_hidden.merkle_root('{}'), null, 'nothing has no root');

-- From each leaf, the siblings lead to the root: the algorithm of RFC 9162, 2.1.3.2.
create function pg_temp.climb(leaf bytea, index integer, size integer, siblings text[]) returns text
language plpgsql as $$
declare
  v_hash bytea := leaf;
  v_at integer := index;
  v_last integer := size - 1;
  v_used integer := 0;
begin
  while v_last > 0 loop
    if v_at % 2 = 1 or v_at < v_last then
      v_used := v_used + 1;
      v_hash := case v_at % 2
        when 1 then sha256('\x01'::bytea || decode(siblings[v_used], 'hex') || v_hash)
        else sha256('\x01'::bytea || v_hash || decode(siblings[v_used], 'hex'))
      end;
    end if;
    v_at := v_at >> 1;
    v_last := v_last >> 1;
  end loop;
  return case when v_used = cardinality(siblings) then encode(v_hash, 'hex') end;
end $$;
select is_empty(
  $$select n, i from trees, generate_series(0, n - 1) i
    where pg_temp.climb(hashes[i + 1], i, n, app_hidden.merkle_siblings(hashes, i))
      is distinct from app_hidden.merkle_root(hashes)$$,
  'the siblings of every leaf of every tree lead to its root');

select isnt(app_hidden.leaf_hash('x'), sha256('x'), 'a leaf is hashed with a byte before it');
select isnt(
  encode(app_hidden.leaf_hash('x'), 'hex'), app_hidden.block_hash('x'), 'and with another one than a header');

-- Times and settings.
select is(app_hidden.canonical_time('2026-11-21T10:44:26.355534Z'), '1795257866.355534', 'a time is seconds, exactly');
select is(app_hidden.canonical_time('1969-12-31T23:59:59.5Z'), '-0.500000', 'before 1970 as well');
select is(app_hidden.canonical_time('infinity'), 'Infinity', 'and where it never ends');
select isnt(app_hidden.canonical_time('0044-03-15Z'), app_hidden.canonical_time('0044-03-15Z BC'), 'of either era');

create temp table before as select id, content from app_hidden.ledger_leaves where tenant_id = tests.tenant('acme');
set local timezone = 'Asia/Kathmandu';
set local datestyle = 'German, DMY';
set local bytea_output = 'escape';
set local intervalstyle = 'sql_standard';
set local extra_float_digits = -15;
set local xmloption = 'content';
select is_empty(
  $$select id from before join app_hidden.ledger_leaves l using (id) where l.content <> before.content$$,
  'the settings of a session change nothing');
reset timezone;
reset datestyle;
reset bytea_output;
select is_empty(
  $$select id from before where jsonb_typeof(content::jsonb) <> 'array' or content::jsonb ->> 1 <> id::text$$,
  'the content is JSON');

/*
 * Every column that is stored: changed by itself, it changes the hash. A column that somebody adds later is
 * in this list by itself, and fails until it has its place in the canonical form, or here.
 */
create function pg_temp.hashes() returns bytea[] language sql as $$
  select
    array(select leaf_hash from app_hidden.ledger_leaves where tenant_id = tests.tenant('acme') order by id)
    || array(select leaf_hash from app_private.audit_leaves where tenant_id = tests.tenant('acme') order by id)
$$;
create function pg_temp.unhashed(row_table regclass, condition text) returns text[] language plpgsql as $$
declare
  v_column record;
  v_before bytea[] := pg_temp.hashes();
  v_missed text[] := '{}';
begin
  set local session_replication_role = replica;
  for v_column in
    select a.attname as name, format_type(a.atttypid, null) as type
    from pg_attribute a
    where a.attrelid = row_table and a.attnum > 0 and not a.attisdropped
  loop
    begin
      execute format('update %s set %I = %s where %s', row_table, v_column.name,
        case v_column.type
          when 'uuid' then 'gen_random_uuid()'
          when 'text' then format('%I || ''x''', v_column.name)
          when 'jsonb' then '''{"x": 1}'''
          when 'bytea' then '''\x99'''
          when 'timestamp with time zone' then format('%I + interval ''1 us''', v_column.name)
          when 'xid8' then '''77'''
          when 'inet' then '''10.0.0.9'''
          when 'app_public.audit_operation' then '''truncate'''
          when 'app_public.direction' then
            format('case %I when ''debit'' then ''credit'' else ''debit'' end::app_public.direction', v_column.name)
          when 'app_public.transaction_kind' then '''void_pending'''
          else format('%I + 1', v_column.name)
        end, condition);
      raise exception using errcode = 'P0099', message = pg_temp.hashes() = v_before;
    exception when sqlstate 'P0099' then
      if sqlerrm::boolean then
        v_missed := v_missed || v_column.name::text;
      end if;
    end;
  end loop;
  set local session_replication_role = origin;
  return v_missed;
end $$;

-- A transaction that has all that one can have, for a null is no value to change; no rule is to hinder it.
do $$
declare
  v_check record;
begin
  for v_check in
    select c.conrelid::regclass as name, c.conname from pg_constraint c
    where c.contype = 'c' and c.conrelid in (
      'app_public.transactions'::regclass, 'app_public.postings'::regclass, 'app_private.audit_entries'::regclass
    )
  loop
    execute format('alter table %s drop constraint %I', v_check.name, v_check.conname);
  end loop;
end $$;
set local session_replication_role = replica;
update app_public.transactions set
  expires_at = now(), pending_id = uuidv7(), reverses_id = uuidv7(), created_by = uuidv7(),
  idempotency_key = 'k', fingerprint = '\x01', description = 'd', metadata = '{}'
where id = (
  select transaction_id from app_public.postings where account_id = tests.account('acme', 'bob') and version = 1
);
insert into app_private.audit_entries (
  tenant_id, operation, user_id, session_id, address, request_role, request_id, application_name, table_name, row_key,
  action, before, after
) values (
  tests.tenant('acme'), 'read', uuidv7(), uuidv7(), '10.0.0.1', 'r', 'q', 'n', 't', 'everything', 'a', '{}', '{}'
);
set local session_replication_role = origin;

select is_empty(
  $$select v.key from app_public.transactions t cross join lateral jsonb_each(to_jsonb(t)) v
    where t.description = 'd' and v.value = 'null'
    union all
    select v.key from app_private.audit_entries e cross join lateral jsonb_each(to_jsonb(e)) v
    where e.row_key = 'everything' and v.value = 'null'$$,
  'the rows that are changed have a value in every column');
select is(
  pg_temp.unhashed('app_public.transactions', $$description = 'd'$$), '{}',
  'every column of a transaction is hashed');
select is(
  pg_temp.unhashed('app_public.postings',
    format('account_id = %L and version = 1', tests.account('acme', 'bob'))),
  '{}', 'and every column of its postings');
select is(
  pg_temp.unhashed('app_private.audit_entries', $$row_key = 'everything'$$), '{}',
  'and every column of an entry of the audit trail');

-- That the test itself can fail.
alter table app_public.transactions add column note text default 'n';
select is(
  pg_temp.unhashed('app_public.transactions', $$description = 'd'$$), '{note}',
  'a column that is added and not hashed is found');

select * from finish();
rollback;
