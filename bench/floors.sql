-- What the figures are compared with. Nothing here is part of the ledger.
create schema floor;

-- Floor S: the barest durable transfer: two row locks in order, two balance updates, one insert.
create table floor.accounts (id integer primary key, balance bigint not null default 0) with (fillfactor = 50);
create table floor.transfers (
  id bigint generated always as identity primary key,
  debit integer not null,
  credit integer not null,
  amount bigint not null
);

create function floor.transfer(debit integer, credit integer, amount bigint)
returns bigint
language plpgsql
volatile
as $$
declare
  v_id bigint;
begin
  perform from floor.accounts a where a.id in (debit, credit) order by a.id for no key update;
  update floor.accounts a set balance = a.balance - amount where a.id = debit;
  update floor.accounts a set balance = a.balance + amount where a.id = credit;
  insert into floor.transfers (debit, credit, amount) values (debit, credit, amount) returning id into v_id;
  return v_id;
end
$$;

-- Floor B: the rows that a batch writes, with the same columns and indexes, inserted in bulk with no logic.
create table floor.transactions (like app_public.transactions including defaults including generated including indexes);
create table floor.postings (like app_public.postings including defaults including generated including indexes);
-- Stands for the versions of all accounts: each batch takes numbers that no other has.
create sequence floor.versions increment 100000;

/*
 * The columns that a table has today, of those that are known, and what to put into each. So what is written in bulk
 * follows the schema. A column that is new and must be filled is named in an error: add it where it is missed.
 */
create function floor.columns_of(target regclass, known jsonb, out names text, out expressions text)
language plpgsql
stable
as $$
declare
  v_unknown text;
begin
  select
    string_agg(quote_ident(a.attname), ', ' order by a.attnum) filter (where known ? a.attname::text),
    string_agg(known ->> a.attname, ', ' order by a.attnum) filter (where known ? a.attname::text),
    string_agg(a.attname, ', ') filter (where a.attnotnull and not a.atthasdef and not known ? a.attname::text)
  into names, expressions, v_unknown
  from pg_attribute a
  where a.attrelid = target and a.attnum > 0 and not a.attisdropped;
  if v_unknown is not null then
    raise exception 'The bench does not know what to put into % of %.', v_unknown, target;
  end if;
end
$$;

do $do$
declare
  v_transactions record;
  v_postings record;
begin
  select * into v_transactions
  from floor.columns_of('floor.transactions', $json${
    "tenant_id": "1", "kind": "'posted'", "created_at": "now()", "effective_at": "now()", "id": "t.id",
    "created_by": "created_by", "idempotency_key": "t.key", "fingerprint": "sha256(t.key::bytea)"
  }$json$);
  select * into v_postings
  from floor.columns_of('floor.postings', $json${
    "tenant_id": "1", "direction": "case a.n % 2 when 1 then 'debit' else 'credit' end::app_public.direction",
    "version": "v_version + a.n", "effective_at": "now()", "created_at": "now()", "transaction_id": "t.id",
    "account_id": "a.id", "ordinal": "1 + (a.n - 1) % v_size", "currency": "'USD'",
    "posted_amount": "a.amount", "pending_amount": "0", "posted_debits": "10000 + a.n",
    "posted_credits": "10000 + a.n", "pending_debits": "0", "pending_credits": "0"
  }$json$);
  execute format($create$
    create function floor.insert_batch(accounts uuid[], amounts bigint[], keys text[], created_by uuid)
    returns bigint
    language plpgsql
    volatile
    as $$
    declare
      v_version constant bigint := nextval('floor.versions');
      v_size constant integer := cardinality(accounts) / cardinality(keys);
    begin
      with ids as materialized (
        select uuidv7() as id, k.key, k.n from unnest(keys) with ordinality as k (key, n)
      ),
      new_transactions as (
        insert into floor.transactions (%1$s)
        select %2$s from ids t
      )
      insert into floor.postings (%3$s)
      select %4$s
      from unnest(accounts, amounts) with ordinality as a (id, amount, n)
      join ids t on t.n = (a.n - 1) / v_size + 1;
      return cardinality(keys);
    end
    $$
  $create$, v_transactions.names, v_transactions.expressions, v_postings.names, v_postings.expressions);
end
$do$;

grant usage on schema floor to public;
grant all on all tables in schema floor to public;
grant all on all sequences in schema floor to public;
