/*
 * Reconciliation as people handle it: statements that do not fit, rules of matching, matches that are decided, what
 * is in suspense, and writing off by two people. Each refusal by its code, each role by what it may.
 */
begin;
select plan(60);

select tests.make_books('acme');
select tests.make_books('other');
select tests.make_provider('acme', 'bank');
select tests.make_provider('acme', 'second');
select tests.make_provider('other', 'bank');

-- The first value of a statement that somebody runs, as text.
create function pg_temp.ask(role text, name text, statement text, slug text default 'acme') returns text
language plpgsql as $$
declare
  v_answer text;
begin
  perform tests.become(role, tests.tenant(slug), tests.user_id(name));
  execute statement into v_answer;
  perform tests.become_superuser();
  return v_answer;
end
$$;

-- A statement of the bank: entries with an id, an amount in cents (below zero: out) and a reference of ours.
create function pg_temp.import(
  reference text, lines jsonb, opening text default null, closing text default null, provider text default 'bank'
) returns uuid language plpgsql as $$
declare
  v_tenant constant integer := tests.tenant('acme');
  v_id uuid;
begin
  v_id := (app_private.begin_statement(v_tenant, provider, 'EUR', reference, sha256(reference::bytea), 1)).statement_id;
  perform app_private.add_statement_entries(v_tenant, v_id, provider, 'EUR', (
    select jsonb_agg(jsonb_build_object(
      'entryId', l.line ->> 0, 'ordinal', l.n, 'flow', case when (l.line ->> 1)::numeric > 0 then 'in' else 'out' end,
      'amount', abs((l.line ->> 1)::numeric), 'bookedAt', now(), 'reference', l.line ->> 2))
    from jsonb_array_elements(lines) with ordinality as l (line, n)));
  return (app_private.complete_statement(v_tenant, v_id, provider, 'EUR', jsonb_build_object(
    'format', 'csv', 'reference', reference, 'fileHash', encode(sha256(reference::bytea), 'hex'), 'filePosition', 1,
    'openingBalance', opening, 'closingBalance', closing))).id;
end
$$;

-- What the job does, but for settling and returning payments.
create function pg_temp.match() returns void language plpgsql as $$
declare
  v_tenant constant integer := tests.tenant('acme');
begin
  perform app_private.collect_clearing_items(v_tenant, 'bank', 'EUR');
  perform app_private.find_matches(v_tenant, 'bank', 'EUR');
  perform app_private.confirm_found_matches(v_tenant, 'bank', 'EUR');
  perform app_private.place_entries(v_tenant, 'bank', 'EUR');
end
$$;

-- A pay-in that has settled.
create function pg_temp.paid(amount numeric, reference text) returns uuid language plpgsql as $$
declare
  v_tenant constant integer := tests.tenant('acme');
  v_id constant uuid := tests.pay('acme', tests.payment(
    'acme', 'pay_in', 'ann', amount, provider_code => 'bank', reference => reference));
begin
  perform app_private.submit_payment(app_private.system_actor(v_tenant), v_tenant, v_id);
  perform app_private.settle_payment(app_private.system_actor(v_tenant), v_tenant, v_id);
  return v_id;
end
$$;
create function pg_temp.entry(key text) returns uuid language sql as $$
  select e.id from app_public.statement_entries e where e.tenant_id = tests.tenant('acme') and e.entry_key = key
$$;
create function pg_temp.item(payment_id uuid) returns uuid language sql as $$
  select i.id from app_public.clearing_items i where i.payment_id = item.payment_id
$$;
create function pg_temp.suspense() returns numeric language sql as $$
  select c[2] - c[1] from tests.counters('acme', 'suspense:bank') c
$$;

--------------------------------------------------------------------------------------------------
-- Statements

create temp table paid on commit drop as
select r.reference, pg_temp.paid(r.amount, r.reference) as id
from (values ('order 1', 100), ('order 2', 250), ('order 3', 70)) r (reference, amount);

select throws_ok($$select pg_temp.import('s', '[["a", 5]]', '0', '6')$$, 'LG702', null,
  'a statement that does not add up is refused');
select lives_ok($$select pg_temp.import('s1', '[["e1", 100, "order 1"], ["e2", 40, "nobody knows"]]', '0', '140')$$,
  'one that does is imported');
select throws_ok($$select pg_temp.import('s1', '[["e9", 5]]')$$, 'LG704', null, 'under its reference once');
select throws_ok($$select pg_temp.import('s2', '[["e1", 5]]')$$, 'LG705', null, 'with each entry once');
select throws_ok($$select pg_temp.import('s2', '[["e3", 5], ["e3", 5]]')$$, 'LG705', null, 'also within itself');
select throws_ok($$select pg_temp.import('s2', '[["e3", 5]]', '141', '146')$$, 'LG703', null,
  'the next one begins where it ended');
select throws_ok($$select app_private.begin_statement(tests.tenant('acme'), 'bank', 'USD', 'x', sha256('x'), 1)$$,
  'LG701', null, 'a currency in which the provider has no accounts is refused');

--------------------------------------------------------------------------------------------------
-- What matches, and what is in suspense

select is(pg_temp.suspense(), 0::numeric, 'nothing is in suspense before the job has run');
select pg_temp.match();
select is((select m.status::text from app_public.reconciliation_matches m
  join app_public.reconciliation_match_lines l on l.tenant_id = m.tenant_id and l.match_id = m.id
  where l.entry_id = pg_temp.entry('e1')), 'confirmed', 'an entry with our reference and amount is matched');
select is(pg_temp.suspense(), 40::numeric, 'what matches nothing is in suspense');
select is(tests.counters('acme', 'clearing:bank'), array[460, 0, 0, 0]::numeric[],
  'so that the clearing account is the bank''s balance and what it has yet to tell of');
select is_empty('select * from checks.suspense_accounts_that_differ', 'suspense is what is open of entries');
select pg_temp.match();
select is(pg_temp.suspense(), 40::numeric, 'another run moves nothing');

select throws_ok(
  format('insert into app_public.suspense_moves (tenant_id, transaction_id, entry_id, amount)
    select tenant_id, transaction_id, entry_id, 1 from app_public.suspense_moves limit 1'), '23505', null,
  'a transaction moves one entry''s money');
select throws_ok('update app_public.suspense_moves set amount = 1', 'LG319', null, 'which is never changed');

--------------------------------------------------------------------------------------------------
-- Rules of matching

create function pg_temp.rule(arguments text, role text default 'accountant') returns text language sql as $$
  select pg_temp.ask(role, 'abe', format('select (app_public.set_matching_rule(%s)).priority', arguments))
$$;
select is(pg_temp.rule($$'mine', 'reference', 25, tolerance => 5$$), '25', 'an accountant sets a rule');
select is(pg_temp.rule($$'mine', 'reference', 26$$), '26', 'and changes it');
select throws_ok(format('select pg_temp.rule(%L)', r.arguments), 'LG713', null, r.description)
from (values
  ($$'mine', 'reference', 10$$, 'two rules do not have one priority'),
  ($$'x', 'reference', 60, provider_code => 'nobody'$$, 'a rule is of a provider that there is'),
  ($$'', 'reference', 60$$, 'a rule has a name'),
  ($$'x', 'reference', 60, tolerance => -1$$, 'no tolerance is below zero'),
  ($$'x', 'amount_and_date', 60, days_after => -1$$, 'nor are days')
) as r (arguments, description);
select tests.become_superuser();

--------------------------------------------------------------------------------------------------
-- Matches that people decide

select pg_temp.import('s3', '[["e3", 250], ["e4", 69, "order 3"]]');
select pg_temp.match();
create temp table proposed on commit drop as
select m.id from app_public.reconciliation_matches m
join app_public.reconciliation_match_lines l on l.tenant_id = m.tenant_id and l.match_id = m.id
where l.entry_id = pg_temp.entry('e3') and m.status = 'proposed';
select is((select count(*)::integer from proposed), 1, 'an amount and a date alone are proposed');
select is(pg_temp.suspense(), 359::numeric, 'and are in suspense until somebody has decided');

create function pg_temp.decide(call text, role text default 'accountant', slug text default 'acme') returns text
language sql as $$
  select pg_temp.ask(role, 'abe', format('select (app_public.%s).status', call), slug)
$$;
create temp table calls on commit drop as
select format(c.call, p.id) as call
from proposed p, (values ('confirm_match(%L)'), ('reject_match(%L, ''no'')')) c (call);
select throws_ok(format('select pg_temp.decide(%L, %L)', c.call, r.role), '42501', null,
  format('%s: not by a %s', left(c.call, 13), r.role))
from calls c, (values ('customer'), ('teller'), ('auditor')) r (role);
select tests.become_superuser();
select throws_ok(format('select pg_temp.decide(%L, slug => %L)', c.call, 'other'), 'LG707', null,
  format('%s: not in other books', left(c.call, 13))) from calls c;
select tests.become_superuser();
select throws_ok(format('select pg_temp.decide(%L)', format('reject_match(%L, %L)', p.id, ' ')), 'LG114', null,
  'rejecting needs a reason') from proposed p;
select tests.become_superuser();
select is(pg_temp.decide(format('reject_match(%L, %L)', p.id, 'another order')), 'rejected', 'a match is rejected')
from proposed p;
select throws_ok(format('select pg_temp.decide(%L)', c.call), 'LG708', null,
  format('%s: once decided it stays', left(c.call, 13))) from calls c;
select tests.become_superuser();
select pg_temp.match();
select is((select count(*)::integer
  from app_public.reconciliation_match_lines l
  join app_public.reconciliation_matches m on m.id = l.match_id
  where l.entry_id = pg_temp.entry('e3') and m.status = 'proposed'), 0, 'nor is it proposed again');

create function pg_temp.by_hand(entries uuid[], items uuid[], role text default 'accountant', slug text default 'acme')
returns text language sql as $$
  select pg_temp.ask(role, 'abe', format('select (app_public.match_by_hand(%L, %L)).status', entries, items), slug)
$$;
create temp table side on commit drop as
select array[pg_temp.entry('e3')] as entries, array[pg_temp.item(p.id)] as items
from paid p
where p.reference = 'order 2';
select throws_ok(format('select pg_temp.by_hand(%L, %L, %L)', s.entries, s.items, r.role), '42501', null,
  format('matching by hand: not by a %s', r.role)) from side s, (values ('teller'), ('auditor')) r (role);
select tests.become_superuser();
select throws_ok(format('select pg_temp.by_hand(%L, %L, slug => %L)', s.entries, s.items, 'other'), 'LG710', null,
  'nor in other books') from side s;
select tests.become_superuser();
select throws_ok(format('select pg_temp.by_hand(%L, %L)', s.entries, '{}'), 'LG711', null, 'it takes both sides')
from side s;
select tests.become_superuser();
select is(pg_temp.by_hand(s.entries, s.items), 'confirmed', 'a person matches what no rule did') from side s;
select is(pg_temp.suspense(), 109::numeric, 'and the money leaves suspense');
select throws_ok(format('select pg_temp.by_hand(%L, %L)', s.entries, s.items), 'LG709', null, 'once') from side s;
select tests.become_superuser();

--------------------------------------------------------------------------------------------------
-- Writing off, by two people

create function pg_temp.write_off(
  entry uuid, account uuid, name text default 'abe', role text default 'accountant', slug text default 'acme'
) returns uuid language sql as $$
  select pg_temp.ask(role, name, format(
    'select (app_public.propose_write_off(%L, %L, entry_id => %L)).proposal_id', 'nobody asks', account, entry),
    slug)::uuid
$$;
create function pg_temp.approve(proposal uuid, name text, role text default 'accountant') returns text
language sql as $$
  select pg_temp.ask(role, name, format(
    'select (app_public.approve_proposal(%L)).transaction_id is not null', proposal))
$$;
select throws_ok(
  format('select pg_temp.write_off(%L, %L, role => %L)', pg_temp.entry('e2'), tests.account('acme', 'sales'), r.role),
  '42501', null, format('writing off: not by a %s', r.role)) from (values ('teller'), ('auditor')) r (role);
select tests.become_superuser();
select throws_ok(
  format('select pg_temp.write_off(%L, %L, slug => %L)', pg_temp.entry('e2'), tests.account('other', 'sales'), 'other'),
  'LG710', null, 'nor in other books');
select tests.become_superuser();
select throws_ok(
  format('select pg_temp.write_off(%L, %L)', pg_temp.entry('e2'), tests.account('acme', a.code)), 'LG712', null,
  format('not against %s', a.code)) from (values ('clearing:bank'), ('suspense:bank')) a (code);
select tests.become_superuser();
select throws_ok(
  format('select pg_temp.write_off(%L, %L)', pg_temp.entry('e1'), tests.account('acme', 'sales')), 'LG712', null,
  'nor what is matched');
select tests.become_superuser();
select throws_ok(
  format('select pg_temp.write_off(%L, %L)', pg_temp.entry('e2'), tests.account('acme', 'cash', 'USD')), 'LG201', null,
  'nor in another currency');
select tests.become_superuser();
create temp table proposal on commit drop as
select pg_temp.write_off(pg_temp.entry('e2'), tests.account('acme', 'sales')) as id;
select is(pg_temp.suspense(), 109::numeric, 'proposing moves nothing');
select throws_ok(
  format('select pg_temp.write_off(%L, %L)', pg_temp.entry('e2'), tests.account('acme', 'sales')), 'LG712', null,
  'it is proposed once');
select tests.become_superuser();
select throws_ok(format('select pg_temp.approve(%L, %L)', p.id, 'abe'), 'LG430', null,
  'who proposed does not approve') from proposal p;
select tests.become_superuser();
select throws_ok(format('select pg_temp.approve(%L, %L, %L)', p.id, 'olga', 'auditor'), '42501', null,
  'nor does an auditor') from proposal p;
select tests.become_superuser();
select is(pg_temp.approve(p.id, 'zoe'), 'true', 'another person does') from proposal p;
select is(pg_temp.suspense(), 69::numeric, 'and it is posted');
select is(
  (select format('%s %s', w.amount, d.proposed_by <> d.decided_by) from app_public.write_offs w
    join app_public.proposal_decisions d on d.tenant_id = w.tenant_id and d.proposal_id = w.proposal_id
    join proposal p on p.id = w.proposal_id), '40 t', 'with the amount, and who they were');
select is_empty('select * from checks.suspense_accounts_that_differ', 'suspense is what is open of entries, still');

-- The bank keeps its accounts.
select throws_ok(
  format('select pg_temp.ask(%L, %L, %L)', 'admin', 'ivo', format(
    'select app_public.set_payment_provider_account(%L, %L, %L, %L)', 'bank', 'EUR', tests.account('acme', 'cash'),
    tests.account('acme', 'suspense:bank'))), 'LG618', null, 'a provider that is reconciled keeps its accounts');

select * from finish();
rollback;
