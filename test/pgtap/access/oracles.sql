/*
 * What belongs to another tenant, or to another customer, is as if it did not exist: the same answer, and the
 * same work. Work is counted, not timed: scans, rows and pages of every table and index of ours, which do not
 * depend on how busy the machine is. Each question is asked with an id that is another's and with one that
 * nobody has.
 */
begin;

select tests.make_books('acme');
select tests.make_books('other');
create temp table foreign_id (kind text, id text) on commit drop;

-- Something of each kind that only the other tenant has.
create function pg_temp.make_foreign() returns void language plpgsql as $$
declare
  v_other constant integer := tests.tenant('other');
  v_set uuid;
begin
  insert into foreign_id values
    ('account', tests.open_account('other', 'secret', 'liability', owner_id => tests.user_id('ann'))),
    ('code', 'secret'),
    ('pending', tests.post('other', 'cash', 'ann', 5, kind => 'pending')),
    ('transaction', tests.post('other', 'cash', 'ann', 5, idempotency_key => 'key of the other')),
    ('key', 'key of the other');
  insert into foreign_id values
    ('set', tests.as_tenant(v_other, 'select (app_public.create_account_set(''secret'', ''x'')).id')),
    ('period', tests.as_tenant(v_other,
      'select (app_public.open_period(''secret'', ''2019-01-01Z'', ''2020-01-01Z'')).id'));
  perform tests.become('teller', v_other, tests.user_id('tina'));
  v_set := (app_public.propose_transaction(tests.transfer('other', 'cash', 'ann', 7), 'why')).id;
  perform tests.become_superuser();
  insert into foreign_id values ('proposal', v_set);
end
$$;
select pg_temp.make_foreign();
select tests.post('acme', 'cash', 'ann', 5, idempotency_key => 'key of our own');
select tests.session_id(r.role, tests.tenant('acme'), tests.user_id('eve'))
from unnest(array['customer', 'teller', 'accountant', 'auditor', 'admin']) r (role);

--------------------------------------------------------------------------------------------------
-- A question, its answer, and the work that it took

-- Scans, rows returned and fetched, pages asked for, of all of our tables and indexes in this transaction.
create function pg_temp.work() returns bigint[] language sql as $$
  select array[
    sum(pg_stat_get_xact_numscans(c.oid)), sum(pg_stat_get_xact_tuples_returned(c.oid)),
    sum(pg_stat_get_xact_tuples_fetched(c.oid)), sum(pg_stat_get_xact_tuples_inserted(c.oid)),
    sum(pg_stat_get_xact_tuples_updated(c.oid)), sum(pg_stat_get_xact_blocks_fetched(c.oid))
  ]::bigint[]
  from pg_class c
  where c.relnamespace::regnamespace::text ~ '^(app_|checks)' and c.relkind in ('r', 'i')
$$;

create type pg_temp.outcome as (answer text, work bigint[]);
create function pg_temp.ask(role text, statement text) returns pg_temp.outcome
language plpgsql as $$
declare
  v_before bigint[];
  v_outcome pg_temp.outcome;
  v_detail text;
begin
  v_before := pg_temp.work();
  perform tests.become(role, tests.tenant('acme'), tests.user_id('eve'));
  begin
    execute statement into v_outcome.answer;
  exception when others then
    get stacked diagnostics v_detail = pg_exception_detail;
    v_outcome.answer := sqlstate || ' ' || sqlerrm || ' ' || v_detail;
  end;
  perform tests.become_superuser();
  v_outcome.work := array(
    select a - b from unnest(pg_temp.work(), v_before) with ordinality as w (a, b, n) order by n);
  return v_outcome;
end
$$;

create temp table question (n integer generated always as identity, role text, kind text,
  statement text) on commit drop;
insert into question (role, kind, statement)
select r.role, q.kind, q.statement
from (values
  ('account', 'select row(a.*)::text from app_public.account(:id) a'),
  ('account', 'select count(*)::text from app_public.accounts where id = :id'),
  ('account', 'select count(*)::text from app_public.accounts where parent_id = :id'),
  ('account', 'select count(*)::text from app_public.account_balances where account_id = :id'),
  ('account',
    'select concat(count(*), sum(posted_amount), max(version)) from app_public.postings where account_id = :id'),
  ('code', 'select row(a.*)::text from app_public.account_by_code(:id, ''EUR'') a'),
  ('code', 'select count(*)::text from app_public.accounts where code = :id'),
  ('transaction', 'select row(t.*)::text from app_public.transaction(:id) t'),
  ('transaction', 'select count(*)::text from app_public.transactions where id = :id'),
  ('transaction', 'select count(*)::text from app_public.transactions where reverses_id = :id'),
  ('transaction', 'select concat(count(*), sum(posted_amount)) from app_public.postings where transaction_id = :id'),
  ('pending', 'select count(*)::text from app_public.transactions where pending_id = :id'),
  ('key', 'select row(t.*)::text from app_public.transaction_by_idempotency_key(:id) t')
) as q (kind, statement)
cross join unnest(array['customer', 'teller', 'auditor', 'admin']) as r (role)
union all
select 'admin', q.kind, q.statement
from (values
  ('proposal', 'select row(p.*)::text from app_public.transaction_proposal(:id) p'),
  ('proposal', 'select count(*)::text from app_public.proposal_decisions where proposal_id = :id'),
  ('set', 'select count(*)::text from app_public.account_set_members where account_set_id = :id'),
  ('period', 'select count(*)::text from app_public.closing_transactions where period_id = :id'),
  ('account', 'select app_public.freeze_account(:id)::text'),
  ('account', 'select app_public.close_account(:id)::text'),
  ('account', 'select app_public.update_account(:id, ''x'')::text'),
  ('account', 'select app_public.set_account_limits(:id, 5)::text'),
  ('account', 'select app_public.open_account(''x'', ''x'', ''asset'', ''EUR'', parent_id => :id)::text'),
  ('account', 'select app_public.add_account_to_set(tests.user_id(''nobody''), :id)::text'),
  ('account', 'select app_public.post_transaction(tests.item(postings =>
    tests.line(:id, ''debit'', 1) || tests.line(tests.account(''acme'', ''cash''), ''credit'', 1)))::text'),
  ('account', 'select app_public.post_transaction(tests.item(
    postings => tests.lines(''acme'', ''cash'', ''ann'', 1), conditions => tests.condition(:id, 5)))::text'),
  ('account', 'select app_public.post_conversion(:id, :id, 1, ''a'', ''b'')::text'),
  ('account', 'select app_public.propose_transaction(tests.item(postings =>
    tests.line(:id, ''debit'', 1) || tests.line(tests.account(''acme'', ''cash''), ''credit'', 1)), ''why'')::text'),
  ('pending', 'select app_public.void_pending_transaction(:id)::text'),
  ('pending', 'select app_public.post_pending_transaction(:id)::text'),
  ('transaction', 'select app_public.reverse_transaction(:id)::text'),
  ('proposal', 'select app_public.approve_proposal(:id)::text'),
  ('proposal', 'select app_public.reject_proposal(:id, ''x'')::text'),
  ('proposal', 'select app_public.withdraw_proposal(:id)::text'),
  ('set', 'select app_public.add_account_to_set(:id, tests.account(''acme'', ''cash''))::text'),
  ('period', 'select app_public.close_period(:id)::text')
) as q (kind, statement);

-- What is another's, and what nobody has: an id of the same form and age, a text of the same length.
create function pg_temp.with_id(statement text, id text) returns text language sql as $$
  select replace(statement, ':id', quote_literal(id) || case when id ~ '^[0-9a-f-]{36}$' then '::uuid' else '' end)
$$;
create function pg_temp.nobodys(id text) returns text language sql as $$
  select case when id ~ '^[0-9a-f-]{36}$' then overlay(id placing 'dead' from 33)
    else overlay(id placing '~' from 1) end
$$;

create temp table asked (n integer, of_other pg_temp.outcome, of_nobody pg_temp.outcome) on commit drop;
-- Once for plans and caches, which follow the role, and once to count.
do $$
declare
  v_question record;
  v_asked asked;
begin
  for v_question in select q.*, f.id from question q join foreign_id f using (kind) loop
    for i in 1 .. 2 loop
      v_asked.n := v_question.n;
      v_asked.of_other := pg_temp.ask(v_question.role, pg_temp.with_id(v_question.statement, v_question.id));
      v_asked.of_nobody := pg_temp.ask(
        v_question.role, pg_temp.with_id(v_question.statement, pg_temp.nobodys(v_question.id)));
    end loop;
    insert into asked select v_asked.*;
  end loop;
end
$$;

select plan((select 4 + 2 * count(*) from question)::integer);

select is(
  replace((a.of_other).answer, f.id, '…'), replace((a.of_nobody).answer, pg_temp.nobodys(f.id), '…'),
  format('same answer to a %s: %s', q.role, q.statement))
from asked a join question q using (n) join foreign_id f using (kind) order by q.n;
select is(
  (a.of_other).work, (a.of_nobody).work, format('same work for a %s: %s', q.role, q.statement))
from asked a join question q using (n) join foreign_id f using (kind) order by q.n;
select isnt(
  (pg_temp.ask('admin', format('select app_public.freeze_account(%L)', tests.account('acme', 'rent')))).work,
  (pg_temp.ask('admin', 'select app_public.freeze_account(gen_random_uuid())')).work,
  'the count of work tells what is there from what is not');

--------------------------------------------------------------------------------------------------
-- What is unique is so within the tenant: what another has taken is free here

select is(left((pg_temp.ask('admin', statement)).answer, 2), 'ok', 'free here: ' || statement)
from (values
  ('select ''ok'' || app_public.open_account(''secret'', ''x'', ''asset'', ''EUR'')'),
  ('select ''ok'' || app_public.create_account_set(''secret'', ''x'')'),
  ('select ''ok'' || app_public.post_transaction('
    'tests.transfer(''acme'', ''cash'', ''ann'', 1, idempotency_key => ''key of the other''))')
) as u (statement);

select * from finish();
rollback;
