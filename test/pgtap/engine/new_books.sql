-- A session that began while the books were empty does not read more the fuller they get: the plans that it made
-- then, without statistics, look everything up by its key.
begin;
select plan(5);

select tests.make_books('acme');

-- What a step reads from the indexes of the tables of the ledger, in entries.
create function pg_temp.entries_read()
returns bigint
language sql
volatile
as $$
  select sum(pg_stat_get_xact_tuples_returned(i.indexrelid))::bigint
  from pg_index i
  where i.indrelid in ('app_public.transactions'::regclass, 'app_public.postings'::regclass)
$$;

create function pg_temp.keyed(key text, kind app_public.transaction_kind default 'posted')
returns app_public.transaction_input
language sql
as $$
  select tests.item(kind, tests.lines('acme', 'cash', 'bob', 1), key)
$$;

create function pg_temp.entries_read_by(items app_public.transaction_input[])
returns bigint
language plpgsql
as $$
declare
  v_before constant bigint := pg_temp.entries_read();
begin
  perform tests.send('acme', items);
  return pg_temp.entries_read() - v_before;
end
$$;

-- The plans of this session are made now.
create temp table begun as
select
  pg_temp.entries_read_by(array[pg_temp.keyed('first')]) as by_key,
  pg_temp.entries_read_by(array[tests.item('void_pending', pending_id =>
    tests.post('acme', 'cash', 'bob', 1, 'EUR', 'pending'))]) as by_target;
select cmp_ok((select by_key from begun), '>', 0::bigint, 'what is read is counted');

select tests.send('acme', array(select pg_temp.keyed('key ' || n) from generate_series(1, 500) n));
create temp table full_books as
select
  pg_temp.entries_read_by(array[pg_temp.keyed('last')]) as by_key,
  pg_temp.entries_read_by(array[pg_temp.keyed('key 250')]) as by_replay,
  pg_temp.entries_read_by(array(select pg_temp.keyed('new ' || n) from generate_series(1, 10) n)) as by_keys,
  pg_temp.entries_read_by(array[tests.item('void_pending', pending_id =>
    tests.post('acme', 'cash', 'bob', 1, 'EUR', 'pending'))]) as by_target;
select cmp_ok((select by_key from full_books), '<', 40::bigint, 'a key is looked up, not searched for');
select cmp_ok((select by_replay from full_books), '<', 40::bigint, 'also one that is taken');
select cmp_ok((select by_keys from full_books), '<', 400::bigint, 'so are several at once');
select cmp_ok((select by_target from full_books), '<', 40::bigint, 'so is what is resolved');

select * from finish();
rollback;
