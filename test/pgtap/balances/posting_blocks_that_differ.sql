-- The check of the blocks finds what is planted in them, and nothing in sound ones.
begin;
select plan(6);

select tests.make_books('acme');
select tests.post('acme', 'cash',
  'sales', n, effective_at => timestamptz '2026-01-01' + (n * 7919 % 1024) * interval '1 hour')
from generate_series(1, 1100) n;
select app_private.fold_account(tests.tenant('acme'), tests.account('acme', code)) from unnest(array['cash',
  'sales']) code;
select ok(exists (select from app_hidden.posting_block_entries), 'there are blocks with entries');
select is_empty('select * from checks.posting_blocks_that_differ', 'sound blocks are found sound');

-- Each corruption by itself, taken back after it.
create function pg_temp.found_after(corruption text) returns bigint language plpgsql as $$
declare
  v_count bigint;
begin
  begin
    set local session_replication_role = replica;
    execute corruption;
    select count(*) into v_count from checks.posting_blocks_that_differ where tenant_id = tests.tenant('acme');
    raise exception 'taken back';
  exception when raise_exception then
    return v_count;
  end;
end
$$;

select is(pg_temp.found_after($$update app_hidden.posting_blocks set debits = debits + 1
  where level = 0 and block_no = 3 and account_id = tests.account('acme', 'cash')$$), 1::bigint,
    'a changed sum is found');
select is(pg_temp.found_after($$delete from app_hidden.posting_blocks
  where level = 0 and block_no = 3 and account_id = tests.account('acme', 'cash')$$), 1::bigint,
    'a missing block is found');
select is(pg_temp.found_after($$update app_hidden.posting_blocks set max_effective_at = min_effective_at
  where level = 1 and account_id = tests.account('acme', 'sales')$$), 1::bigint, 'a changed span is found');
select is(pg_temp.found_after($$update app_hidden.posting_block_entries set credits[5] = credits[5] + 1
  where effective_at = (select min(effective_at) from app_hidden.posting_block_entries)
    and account_id = tests.account('acme', 'sales')$$), 1::bigint, 'a changed entry is found');

select * from finish();
rollback;
