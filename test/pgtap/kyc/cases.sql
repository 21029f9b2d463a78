-- Verification cases: who opens, submits, decides and sees; the moves; four eyes; what is never changed.
begin;
select plan(58);

select tests.make_books('acme');
select tests.make_books('rival');

create function pg_temp.be(role text, name text, slug text default 'acme')
returns void
language sql
as $$
  select tests.become(role, tests.tenant(slug), tests.user_id(name))
$$;

create function pg_temp.sealed(filler text)
returns bytea
language sql
as $$
  select decode('0102', 'hex') || 'k1'::bytea || sha256(filler::bytea)
$$;

-- Known to everyone here, whoever reads.
create function pg_temp.case_of(name text)
returns uuid
language sql
security definer
as $$
  select c.id from app_public.kyc_cases c
  where c.tenant_id = tests.tenant('acme') and c.user_id = tests.user_id(name)
  order by c.created_at desc, c.id desc limit 1
$$;

create function pg_temp.submit(name text)
returns uuid
language sql
as $$
  select app_hidden.submit_kyc_evidence(
    pg_temp.case_of(name), gen_random_uuid(), 'identity_document', pg_temp.sealed(name))
$$;

-- What the provider answers to the check that waits, as the worker takes it down.
create function pg_temp.check_found(status app_public.kyc_check_status, finding text default null)
returns boolean
language sql
security definer
as $$
  select app_private.record_kyc_check(k.tenant_id, k.id, check_found.status, 'p1', check_found.finding)
  from app_public.kyc_checks k order by k.created_at desc limit 1
$$;

create function pg_temp.decide(name text, decision app_public.kyc_case_status, level integer default null)
returns app_public.kyc_case_status
language sql
as $$
  select (app_public.decide_kyc_case(pg_temp.case_of(name), decision, 'seen', level, message => 'told')).status
$$;

-- Members of the two books.
select pg_temp.be('customer', 'bob', 'rival');
select tests.become_superuser();
select pg_temp.be('teller', 'tom');
select tests.become_superuser();

--------------------------------------------------------------------------------------------------
-- Opening

select pg_temp.be('customer', 'ann');
select throws_ok($$select app_public.open_kyc_case(0)$$, 'LG388', null, 'there is a case for levels from 1');
select throws_ok($$select app_public.open_kyc_case(4)$$, 'LG388', null, 'to 3');
select throws_ok(
  $$select app_public.open_kyc_case(1, tests.user_id('tom'))$$, 'LG380', null, 'a customer opens none for others');
select is(
  (select c.status from app_public.open_kyc_case(2) c), 'open', 'a customer opens a case');
select throws_ok(
  $$select app_public.open_kyc_case(1)$$, 'LG383', null, 'and no second one while that is undecided');
select is(
  (select p.level::integer || ' ' || p.status from app_public.kyc_profile() p), '0 unverified',
  'which makes a profile at level 0');
select pg_temp.be('teller', 'tom');
select throws_ok(
  $$select app_public.open_kyc_case(1, tests.user_id('nobody'))$$, 'LG380', null,
  'staff open cases for customers of theirs');
select throws_ok(
  $$select app_public.open_kyc_case(1, tests.user_id('tom'))$$, 'LG380', null, 'not for staff');
select throws_ok(
  $$select app_public.open_kyc_case(1, tests.user_id('bob'))$$, 'LG380', null, 'nor for customers of others');
select pg_temp.be('accountant', 'amy');
select throws_ok($$select app_public.open_kyc_case(1, tests.user_id('ann'))$$, '42501', null,
  'an accountant opens none');
select pg_temp.be('auditor', 'ada');
select throws_ok($$select app_public.open_kyc_case(1, tests.user_id('ann'))$$, '42501', null, 'nor does an auditor');

--------------------------------------------------------------------------------------------------
-- Evidence and review

select pg_temp.be('customer', 'ann');
select throws_ok(
  format('select app_public.start_kyc_review(%L)', pg_temp.case_of('ann')), 'LG384', null,
  'no review without evidence');
select ok(pg_temp.submit('ann') is not null, 'a customer submits evidence');
select pg_temp.be('customer', 'eve');
select throws_ok($$select pg_temp.submit('ann')$$, 'LG381', null, 'but none for others');
select throws_ok(
  format('select app_public.start_kyc_review(%L)', pg_temp.case_of('ann')), 'LG381', null, 'whose cases are not found');
select throws_ok(
  format('select app_public.start_kyc_review(%L)', gen_random_uuid()), 'LG381', null,
  'just as those that are not there');
select pg_temp.be('admin', 'mallory', 'rival');
select throws_ok($$select pg_temp.submit('ann')$$, 'LG381', null, 'nor are they found from other books');
select throws_ok(
  format('select app_public.decide_kyc_case(%L, %L, %L)', pg_temp.case_of('ann'), 'rejected', 'x'), 'LG381', null,
  'and not decided there');
select pg_temp.be('admin', 'boss');
select throws_ok($$select pg_temp.decide('ann', 'approved')$$, 'LG382', null, 'an open case is not approved');
select pg_temp.be('customer', 'ann');
select is(
  (select c.status from app_public.start_kyc_review(pg_temp.case_of('ann')) c), 'in_review', 'then it is reviewed');
select throws_ok($$select pg_temp.submit('ann')$$, 'LG382', null, 'and nothing is added to it meanwhile');

--------------------------------------------------------------------------------------------------
-- The provider

select tests.become_superuser();
select results_eq(
  'select case_id, level::integer from app_private.take_due_kyc_check()',
  $$select pg_temp.case_of('ann'), 2$$, 'the check waits for the worker');
select is((select id from app_private.take_due_kyc_check()), null, 'which takes it once at a time');
select is(
  (select count(*)::integer from app_private.audit_entries where operation = 'read'), 0,
  'nobody has read the evidence yet');
select is(
  (select count(*)::integer from app_public.kyc_checks k, app_private.kyc_check_evidence(k.tenant_id, k.id)), 1,
  'the worker reads it');
select is(
  (
    select string_agg(concat_ws(' ', r.table_name, r.action), ',')
    from app_private.audit_entries r where r.operation = 'read' and r.user_id is null
  ),
  (select 'kyc_evidence reference: check ' || k.id from app_public.kyc_checks k), 'and that is recorded');
select pg_temp.be('admin', 'boss');
select throws_ok($$select pg_temp.decide('ann', 'approved')$$, 'LG385', null, 'before the check nothing is approved');
select ok(pg_temp.check_found('needs_information', 'The picture is dark.'), 'the provider may need more');
select ok(not pg_temp.check_found('passed'), 'what it found is final');
select pg_temp.be('customer', 'ann');
select is(
  (select c.status || ': ' || c.message from app_public.kyc_case(pg_temp.case_of('ann')) c),
  'needs_information: The picture is dark.', 'the customer is told');
select throws_ok(
  format('select app_public.start_kyc_review(%L)', pg_temp.case_of('ann')), 'LG384', null,
  'a new review needs new evidence');
select pg_temp.be('teller', 'tom');
select ok(pg_temp.submit('ann') is not null, 'which staff may submit for them');
select is(
  (select c.status from app_public.start_kyc_review(pg_temp.case_of('ann')) c), 'in_review', 'and hand over');
select ok(pg_temp.check_found('passed'), 'this time it passes');

--------------------------------------------------------------------------------------------------
-- Four eyes

select tests.become_superuser();
insert into app_public.grantable_permissions (role, permission, by_default) values ('customer',
  'kyc.decide', true), ('teller', 'kyc.decide', true);
insert into app_public.role_permissions (tenant_id, role, permission)
values (tests.tenant('acme'), 'customer', 'kyc.decide'), (tests.tenant('acme'), 'teller', 'kyc.decide');
grant execute on function app_public.decide_kyc_case(uuid, app_public.kyc_case_status, text, integer, timestamptz, text)
  to tallystick_customer, tallystick_teller;
select pg_temp.be('customer', 'ann');
select throws_ok($$select pg_temp.decide('ann', 'approved')$$, 'LG386', null,
  'whatever is granted, nobody decides about themselves');
select pg_temp.be('teller', 'tom');
select throws_ok($$select pg_temp.decide('ann', 'approved')$$, 'LG386', null, 'nor does who submitted evidence');
select tests.become_superuser();
set local session_replication_role = replica;
select throws_ok(
  $$insert into app_public.kyc_decisions (tenant_id, case_id, customer_id, opened_by, status, reason, decided_by)
    select tenant_id, id, user_id, opened_by, 'rejected', 'x', opened_by from app_public.kyc_cases$$,
  '23514', null, 'a constraint holds it where triggers do not run');
set local session_replication_role = origin;
select pg_temp.be('admin', 'boss');
select throws_ok($$select pg_temp.decide('ann', 'approved', 3)$$, 'LG387', null, 'no higher level than was asked for');
select throws_ok($$select pg_temp.decide('ann', 'open')$$, 'LG388', null, 'a decision is one of three');
select throws_ok(
  format('select app_public.decide_kyc_case(%L, %L, %L, expires_at => %L)', pg_temp.case_of('ann'), 'approved', 'x',
  '2020-01-01Z'),
  'LG388', null, 'it does not expire in the past');
select throws_ok(
  format('select app_public.decide_kyc_case(%L, %L, %L)', pg_temp.case_of('ann'), 'approved', ''), 'LG388', null,
  'and has a reason');
select is(pg_temp.decide('ann', 'approved', 1), 'approved', 'another person approves');
select throws_ok($$select pg_temp.decide('ann', 'rejected')$$, 'LG382', null, 'which is final');
select pg_temp.be('customer', 'ann');
select is(
  (
    select format('%s %s %s', p.level, p.status, app_public.kyc_profiles_current_level(p))
    from app_public.kyc_profile() p
  ),
  '1 verified 1', 'the customer has the level that was granted');

--------------------------------------------------------------------------------------------------
-- Rejection, and a second case

select app_public.open_kyc_case(3);
select pg_temp.be('admin', 'boss');
select is(pg_temp.decide('ann', 'rejected'), 'rejected', 'an open case may be rejected');
select is(
  (select format('%s %s', p.level, p.status) from app_public.kyc_profile(tests.user_id('ann')) p), '1 verified',
  'which takes no level away');
select is(
  (select count(*)::integer from app_public.kyc_profile(tests.user_id('bob')) p where p.user_id is not null), 0,
  'customers of others have no profile here');

--------------------------------------------------------------------------------------------------
-- What is seen, and never changed

select pg_temp.be('customer', 'eve');
select is_empty('select id from app_public.kyc_cases', 'a customer sees no case of others');
select is_empty('select id from app_public.kyc_evidence', 'no evidence');
select is_empty('select user_id from app_public.kyc_profiles', 'no profile');
select pg_temp.be('customer', 'ann');
select is((select count(*)::integer from app_public.kyc_evidence), 2, 'but all of their own evidence');
select throws_ok('select id from app_public.kyc_decisions', '42501', null, 'why it was decided is for the staff');
select pg_temp.be('auditor', 'ada');
select is((select count(*)::integer from app_public.kyc_decisions), 2, 'who see it');
select pg_temp.be('auditor', 'max', 'rival');
select is_empty(
  'select id from app_public.kyc_cases union all select id from app_public.kyc_decisions
    union all select id from app_public.kyc_checks union all select id from app_public.kyc_evidence',
  'those of other books see nothing');
select tests.become_superuser();
select throws_ok('update app_public.kyc_decisions set reason = ''y''', 'LG319', null, 'decisions are never changed');
select throws_ok('update app_public.kyc_evidence set kind = ''selfie''', 'LG319', null, 'nor is evidence');
select lives_ok(
  'update app_public.kyc_evidence set reference_ciphertext = reference_ciphertext',
  'but for its encryption with another key');
select throws_ok(
  $$update app_public.kyc_cases set status = 'open' where status = 'approved'$$, 'LG382', null,
  'a case makes no other moves, whoever tries');

select * from finish();
rollback;
