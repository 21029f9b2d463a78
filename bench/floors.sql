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
create table floor.transactions (like app_public.transactions including defaults including indexes);
create table floor.postings (like app_public.postings including indexes);

create function floor.insert_batch(accounts uuid[], versions bigint)
returns void
language plpgsql
volatile
as $$
begin
  with ids as materialized (
    select uuidv7() as id, n from generate_series(1, cardinality(accounts) / 2) n
  ),
  new_transactions as (
    insert into floor.transactions (tenant_id, kind, created_at, effective_at, id)
    select 1, 'posted', now(), now(), ids.id from ids
  )
  insert into floor.postings (
    tenant_id, direction, version, effective_at, created_at, transaction_id, account_id, ordinal, currency,
    posted_amount, pending_amount, posted_debits, posted_credits, pending_debits, pending_credits
  )
  select
    1, case a.n % 2 when 1 then 'debit' else 'credit' end::app_public.direction, versions + a.n, now(), now(),
    ids.id, a.id, 2 - a.n % 2, 'USD', 100, 0, 1000, 1000, 0, 0
  from unnest(accounts) with ordinality as a (id, n)
  join ids on ids.n = (a.n + 1) / 2;
end
$$;
