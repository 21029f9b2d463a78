-- What the part `limits` compares with: steps between the floors and the ledger. Nothing here is part of the ledger.

-- Floor R: the rows of the ledger without its rules: copies of its tables with their columns, indexes and check
-- constraints; no triggers, no foreign keys, no row level security.
create table floor.ledger_transactions (like app_public.transactions
  including defaults including generated including indexes including constraints including storage);
create table floor.ledger_postings (like app_public.postings
  including defaults including generated including indexes including constraints including storage);
create table floor.ledger_balances (like app_public.account_balances
  including defaults including generated including indexes including constraints including storage);
do $$
begin
  -- The space that is left on each page for updates is not copied with the columns.
  execute (
    select format('alter table floor.ledger_balances set (%s)', array_to_string(c.reloptions, ', '))
    from pg_class c
    where c.oid = 'app_public.account_balances'::regclass and c.reloptions is not null
  );
end
$$;
insert into floor.ledger_balances select * from app_public.account_balances;

/*
 * One transfer as rows: two balances locked in order and changed, a transaction and two postings written, with the
 * counters that they leave. No tenant is asked for, no key looked up, no limit but those of the check constraints.
 */
do $do$
declare
  v_transactions record;
  v_postings record;
begin
  select * into v_transactions
  from floor.columns_of('floor.ledger_transactions', $json${
    "tenant_id": "tenant", "kind": "'posted'", "created_at": "v_at", "effective_at": "v_at", "id": "v_id",
    "created_by": "created_by", "idempotency_key": "key", "fingerprint": "sha256(key::bytea)"
  }$json$);
  select * into v_postings
  from floor.columns_of('floor.ledger_postings', $json${
    "tenant_id": "tenant", "direction": "l.direction::app_public.direction", "version": "(l.balance).version",
    "effective_at": "v_at", "created_at": "v_at", "transaction_id": "v_id", "account_id": "(l.balance).account_id",
    "ordinal": "l.ordinal", "currency": "(l.balance).currency", "posted_amount": "amount", "pending_amount": "0",
    "posted_debits": "(l.balance).posted_debits", "posted_credits": "(l.balance).posted_credits",
    "pending_debits": "(l.balance).pending_debits", "pending_credits": "(l.balance).pending_credits"
  }$json$);
  execute format($create$
    create function floor.post_rows(tenant integer, debit uuid, credit uuid, amount bigint, key text, created_by uuid)
    returns uuid
    language plpgsql
    volatile
    as $$
    declare
      v_id constant uuid := uuidv7();
      v_at timestamptz;
      v_debit floor.ledger_balances;
      v_credit floor.ledger_balances;
    begin
      perform from floor.ledger_balances b
      where b.tenant_id = tenant and b.account_id in (debit, credit)
      order by b.account_id
      for no key update;
      v_at := clock_timestamp();
      update floor.ledger_balances b
      set version = b.version + 1, posted_debits = b.posted_debits + amount, last_created_at = v_at,
        last_effective_at = v_at
      where b.tenant_id = tenant and b.account_id = debit
      returning b.* into v_debit;
      update floor.ledger_balances b
      set version = b.version + 1, posted_credits = b.posted_credits + amount, last_created_at = v_at,
        last_effective_at = v_at
      where b.tenant_id = tenant and b.account_id = credit
      returning b.* into v_credit;
      insert into floor.ledger_transactions (%1$s) values (%2$s);
      insert into floor.ledger_postings (%3$s)
      select %4$s from (values (1, 'debit', v_debit), (2, 'credit', v_credit)) as l (ordinal, direction, balance);
      return v_id;
    end
    $$
  $create$, v_transactions.names, v_transactions.expressions, v_postings.names, v_postings.expressions);
end
$do$;

-- Floor B, and the balances that a batch changes.
create function floor.insert_batch_with_balances(
  accounts uuid[],
  amounts bigint[],
  keys text[],
  created_by uuid,
  tenant integer
)
returns bigint
language plpgsql
volatile
as $$
begin
  update floor.ledger_balances b
  set version = b.version + l.count, posted_debits = b.posted_debits + l.debits,
    posted_credits = b.posted_credits + l.credits, last_created_at = now(),
    last_effective_at = greatest(b.last_effective_at, now())
  from (
    select a.id, count(*) as count, coalesce(sum(a.amount) filter (where a.n % 2 = 1), 0) as debits,
      coalesce(sum(a.amount) filter (where a.n % 2 = 0), 0) as credits
    from unnest(accounts, amounts) with ordinality as a (id, amount, n)
    group by a.id
  ) l
  where b.tenant_id = tenant and b.account_id = l.id;
  return floor.insert_batch(accounts, amounts, keys, created_by);
end
$$;

-- A call that finds out who acts, and writes nothing: what any function of the ledger does first.
create function floor.find_out_who_acts()
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return (app_private.authorize('transactions.post')).tenant_id;
end
$$;
alter function floor.find_out_who_acts() owner to tallystick_owner;

/*
 * The bytes that values take one after the other, each where its type may begin. A short text or number has a header
 * of one byte and begins anywhere.
 */
create function floor.aligned_bytes(sizes integer[], alignments integer[], is_packed boolean[])
returns integer
language plpgsql
immutable
as $$
declare
  v_bytes integer := 0;
begin
  for n in 1 .. cardinality(sizes) loop
    continue when sizes[n] is null;
    if not (is_packed[n] and sizes[n] <= 127) then
      v_bytes := ceil(v_bytes::numeric / alignments[n]) * alignments[n];
    end if;
    v_bytes := v_bytes + sizes[n];
  end loop;
  return v_bytes;
end
$$;

/*
 * The least bytes of a tuple of these sizes, with the pointer to it: a header, a bit for each column where one is null,
 * the values, all of it in steps of the longest alignment. A tuple of a table has a header of 23 bytes, one of an
 * index 8, and bits for 32 columns.
 */
create function floor.tuple_bytes(is_index boolean, sizes integer[], alignments integer[], is_packed boolean[])
returns integer
language sql
immutable
as $$
  select 4 + 8 * (
    ceil((
      case when is_index then 8 else 23 end
        + case
          when array_position(sizes, null) is null then 0 when is_index then 4 else ceil(cardinality(sizes) / 8.0)
        end
    ) / 8.0)
    + ceil(floor.aligned_bytes(sizes, alignments, is_packed) / 8.0)
  )::integer
$$;

/*
 * The columns of a table or an index, as a query over the table names them: their names, their sizes, where each may
 * begin, and whether it may be packed.
 */
create function floor.layout_of(
  relation regclass,
  out names text,
  out sizes text,
  out alignments integer[],
  out is_packed boolean[]
)
language sql
stable
as $$
  select
    string_agg(quote_ident(t.attname), ', ' order by t.n),
    'array[' || string_agg(case t.attlen
      when -1 then format('pg_column_size(%I)', t.attname)
      else format('case when %I is not null then %s end', t.attname, t.attlen)
    end, ', ' order by t.n) || ']',
    array_agg(case t.attalign when 'c' then 1 when 's' then 2 when 'i' then 4 else 8 end order by t.n),
    array_agg(t.attlen = -1 and t.attstorage <> 'p' order by t.n)
  from (
    select a.attname, a.attlen, a.attalign, a.attstorage, a.attnum::bigint as n
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid and c.relkind = 'r'
    where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
    union all
    select a.attname, a.attlen, a.attalign, a.attstorage, k.n
    from pg_index i
    cross join lateral unnest(i.indkey) with ordinality as k (attnum, n)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indexrelid = relation
  ) t
$$;

/*
 * The least bytes that a table or a B-tree takes for what is in it, if pages were filled to the last byte. Of each
 * page a table keeps 24 bytes for itself, and a leaf of a B-tree 40. The upper levels of a B-tree, and the keys that
 * bound its leaves, are left out. Where a B-tree is not unique, equal keys are one tuple, with six bytes for each row.
 */
create function floor.least_bytes(relation regclass)
returns numeric
language plpgsql
stable
as $$
declare
  v_index pg_index;
  v_layout record;
  v_is_index boolean;
  v_bytes numeric;
begin
  select * into v_index from pg_index i where i.indexrelid = relation;
  v_is_index := found;
  select * into v_layout from floor.layout_of(relation);
  execute format(
    'select sum(
       floor.tuple_bytes($1, k.sizes, $2, $3) + case when k.count > 1 then ceil(6 * k.count / 8.0) * 8 else 0 end
     )
     from (select %1$s as sizes, count(*) as count from %2$s where %3$s group by %4$s) k',
    v_layout.sizes,
    coalesce(v_index.indrelid, relation)::regclass,
    coalesce(pg_get_expr(v_index.indpred, v_index.indrelid), 'true'),
    case when v_is_index and not v_index.indisunique then v_layout.names else 'ctid, ' || v_layout.names end
  ) into v_bytes using v_is_index, v_layout.alignments, v_layout.is_packed;
  return coalesce(v_bytes * 8192 / (8192 - case when v_is_index then 40 else 24 end), 0);
end
$$;

grant all on all tables in schema floor to public;
