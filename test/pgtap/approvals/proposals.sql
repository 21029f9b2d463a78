-- Four eyes: a transaction is proposed by one person and approved by another.
begin;
select plan(73);

select tests.make_books('acme');
select tests.make_books('other');
update app_public.accounts set maximum_balance = 50000
where tenant_id = tests.tenant('acme') and code = 'ann';

-- The answer of a function to somebody, as text, or the code of the refusal.
create function pg_temp.answer(role text, name text, statement text, slug text default 'acme')
returns text
language plpgsql
as $$
declare
  v_answer text;
begin
  perform tests.become(role, tests.tenant(slug), tests.user_id(name));
  execute statement into v_answer;
  perform tests.become_superuser();
  return v_answer;
exception when others then
  perform tests.become_superuser();
  return SQLSTATE;
end
$$;

create function pg_temp.propose(
  item app_public.transaction_input,
  role text default 'teller',
  name text default 'tina',
  expires_at timestamptz default null
)
returns text
language sql
as $$
  select pg_temp.answer(role, name,
    format('select (app_public.propose_transaction(%L, %L, %L)).id', item, 'the rent', expires_at))
$$;

create function pg_temp.approve(id text, role text default 'accountant', name text default 'zoe',
  slug text default 'acme')
returns text
language sql
as $$
  select pg_temp.answer(role, name, format('select (app_public.approve_proposal(%L)).transaction_id', id), slug)
$$;

create function pg_temp.status(id text)
returns text
language sql
as $$
  select app_public.transaction_proposals_status(p)
  from app_public.transaction_proposals p where p.id = status.id::uuid
$$;

-- A refused call takes back what it made, so whoever decides has a session before.
select tests.session_id('accountant', tests.tenant('acme'), tests.user_id('zack'));
select tests.session_id('teller', tests.tenant('acme'), tests.user_id('tom'));

create temp table made (name text primary key, id text) on commit drop;
create function pg_temp.made(name text) returns text language sql as 'select m.id from made m where m.name = made.name';

--------------------------------------------------------------------------------------------------
-- From the proposal to the transaction

insert into made values ('plain', pg_temp.propose(
  tests.item(postings => tests.lines('acme', 'cash', 'ann', 700), idempotency_key => 'k1',
    description => 'Rent', metadata => '{"a": 1}', effective_at => '2026-01-02',
    conditions => tests.condition(tests.account('acme', 'ann'), 5))));
select is(tests.counters('acme', 'ann'), array[0, 10000, 0, 0]::numeric[], 'a proposal moves and reserves nothing');
select is(pg_temp.status(pg_temp.made('plain')), 'open', 'it is open');
select is(
  (select (p.reason, p.proposed_by, p.expires_at - now() between '6 days 23 hours' and '7 days')::text
    from app_public.transaction_proposals p where p.id = pg_temp.made('plain')::uuid),
  format('("the rent",%s,t)', tests.user_id('tina')), 'it keeps who and why, and is open for seven days');
select is(
  pg_temp.answer('auditor', 'otto', 'select count(*) from app_public.open_proposals()'), '1',
  'and is in the list of what is open');
select is(pg_temp.propose(
    tests.item(postings => tests.lines('acme', 'cash', 'ann', 700), idempotency_key => 'k1',
      description => 'Rent', metadata => '{"a": 1}', effective_at => '2026-01-02',
      conditions => tests.condition(tests.account('acme', 'ann'), 5))),
  pg_temp.made('plain'), 'the same request under the same key is the same proposal');
select is(pg_temp.propose(
    tests.item(postings => tests.lines('acme', 'cash', 'ann', 701), idempotency_key => 'k1')),
  'LG501', 'another one is refused');

insert into made values ('posted', pg_temp.approve(pg_temp.made('plain')));
select is(
  (select row(t.created_by, t.idempotency_key, t.description, t.metadata, t.effective_at)::text
    from app_public.transactions t where t.id = pg_temp.made('posted')::uuid),
  row(tests.user_id('tina'), 'k1', 'Rent', '{"a": 1}'::jsonb, '2026-01-02'::timestamptz)::text,
  'approved, it is posted as it was proposed, in the name of the proposer');
select is(
  (select row(d.outcome, d.proposed_by, d.decided_by, d.transaction_id)::text
    from app_public.proposal_decisions d where d.proposal_id = pg_temp.made('plain')::uuid),
  row('approved', tests.user_id('tina'), tests.user_id('zoe'), pg_temp.made('posted'))::text,
  'and both people are known');
select is(pg_temp.status(pg_temp.made('plain')), 'approved', 'it is approved');
select is(
  pg_temp.answer('auditor', 'otto', format(
    'select (app_public.transactions_proposal(t)).id from app_public.transactions t where t.id = %L',
    pg_temp.made('posted'))),
  pg_temp.made('plain'), 'the transaction leads to its proposal');
select is(pg_temp.approve(pg_temp.made('plain'), name => 'zack'), 'LG391', 'it is approved once');
select is(tests.counters('acme', 'ann'), array[0, 10700, 0, 0]::numeric[], 'and posted once');

--------------------------------------------------------------------------------------------------
-- Nobody approves their own

insert into made values ('own', pg_temp.propose(
  tests.item(postings => tests.lines('acme', 'cash', 'ann', 1)), 'admin', 'zoe'));
select is(pg_temp.approve(pg_temp.made('own'), 'admin', 'zoe'), 'LG430', 'not by who proposed');
select is(pg_temp.approve(pg_temp.made('own'), 'accountant', 'zoe'), 'LG430',
  'nor by them in another session and role');
select is(
  pg_temp.answer('admin', 'zoe', format('select app_public.reject_proposal(%L, ''no'')', pg_temp.made('own'))),
  'LG430', 'nor rejected');
select throws_ok(
  format($$insert into app_public.proposal_decisions (tenant_id, proposal_id, proposed_by, outcome, decided_by,
    transaction_id)
    select p.tenant_id, p.id, p.proposed_by, 'approved', p.proposed_by, %L
    from app_public.transaction_proposals p where p.id = %L$$, pg_temp.made('posted'), pg_temp.made('own')),
  '23514', null, 'a constraint holds it, whoever writes');
select throws_ok(
  format($$insert into app_public.proposal_decisions (tenant_id, proposal_id, proposed_by, outcome, decided_by, reason)
    select p.tenant_id, p.id, tests.user_id('zack'), 'rejected', p.proposed_by, 'no'
    from app_public.transaction_proposals p where p.id = %L$$, pg_temp.made('own')),
  '23503', null, 'and another that the proposer is the proposer');
update app_public.users set kind = 'service' where id = tests.user_id('zack');
select is(pg_temp.approve(pg_temp.made('own'), name => 'zack'), 'LG431', 'nor by a service');
update app_public.users set kind = 'person' where id = tests.user_id('zack');
update app_private.sessions set kind = 'api_key', role = 'partner' where user_id = tests.user_id('zack');
select is(pg_temp.approve(pg_temp.made('own'), name => 'zack'), 'LG402', 'nor by an API key, which may never');
update app_private.sessions set kind = 'login', role = 'accountant' where user_id = tests.user_id('zack');
select is(pg_temp.approve(pg_temp.made('own'), 'teller', 'tom'), 'LG402', 'nor by a teller who has not the permission');
insert into app_public.role_permissions values (tests.tenant('acme'), 'teller', 'transactions.approve');
select matches(pg_temp.approve(pg_temp.made('own'), 'teller', 'tom'), '^[0-9a-f-]{36}$', 'but by one who has');
select is(pg_temp.approve(pg_temp.made('own'), slug => 'other'), 'LG390', 'another tenant knows no such proposal');
select is(
  pg_temp.answer('admin', 'zoe', 'select count(*) from app_public.transaction_proposals', 'other'), '0',
  'and sees none');
select is(
  pg_temp.answer('customer', 'ann', 'select count(*) from app_public.transaction_proposals'), '42501',
  'nor does a customer');

--------------------------------------------------------------------------------------------------
-- Rejected, withdrawn, expired

insert into made values
  ('rejected', pg_temp.propose(tests.item(postings => tests.lines('acme', 'cash', 'ann', 1)))),
  ('withdrawn', pg_temp.propose(tests.item(postings => tests.lines('acme', 'cash', 'ann', 1)))),
  ('expired', pg_temp.propose(tests.item(postings => tests.lines('acme', 'cash', 'ann', 1))));
select is(
  pg_temp.answer('accountant', 'zoe', format('select app_public.reject_proposal(%L, ''  '')',
    pg_temp.made('rejected'))),
  'LG114', 'a rejection needs a reason');
select is(
  pg_temp.answer('accountant', 'zoe', format('select (app_public.reject_proposal(%L, ''no'')).id',
    pg_temp.made('rejected'))),
  pg_temp.made('rejected'), 'somebody else rejects it');
select is(pg_temp.status(pg_temp.made('rejected')), 'rejected', 'it is rejected');
select is(pg_temp.approve(pg_temp.made('rejected')), 'LG391', 'and can no longer be approved');
select is(
  pg_temp.answer('accountant', 'zoe', format('select app_public.withdraw_proposal(%L)', pg_temp.made('withdrawn'))),
  'LG433', 'nobody else withdraws it');
select is(
  pg_temp.answer('teller', 'tina', format('select (app_public.withdraw_proposal(%L)).id', pg_temp.made('withdrawn'))),
  pg_temp.made('withdrawn'), 'whoever proposed it does');
select is(pg_temp.status(pg_temp.made('withdrawn')), 'withdrawn', 'it is withdrawn');
select is(pg_temp.approve(pg_temp.made('withdrawn')), 'LG391', 'and can no longer be approved');
select is(pg_temp.propose(tests.item(postings => tests.lines('acme', 'cash', 'ann', 1)), expires_at => now()),
  'LG393', 'it must expire in the future');
select is(
  pg_temp.propose(tests.item(postings => tests.lines('acme', 'cash', 'ann', 1)), expires_at => 'infinity'),
  'LG393', 'and within 90 days');
set local session_replication_role = replica;
update app_public.transaction_proposals set created_at = now() - interval '2 days', expires_at = now() - interval '1 s'
where id = pg_temp.made('expired')::uuid;
reset session_replication_role;
select is(pg_temp.status(pg_temp.made('expired')), 'expired', 'its time passes');
select is(pg_temp.approve(pg_temp.made('expired')), 'LG392', 'and then it can no longer be approved');
select is(
  pg_temp.answer('auditor', 'otto', 'select count(*) from app_public.open_proposals()'), '0',
  'nothing of this is in the list of what is open');

--------------------------------------------------------------------------------------------------
-- Only what could be posted is proposed, and what could no longer be posted stays open

select is(pg_temp.propose(item), code, 'a proposal is refused as its posting is: ' || code)
from (values
  (tests.item(postings => tests.line(tests.account('acme', 'cash'), 'debit', 1)), 'LG103'),
  (tests.item(postings => tests.line(tests.account('acme', 'cash'), 'debit', 1)
    || tests.line(tests.account('acme', 'ann'), 'credit', 2)), 'LG201'),
  (tests.item(postings => tests.lines('acme', 'ann', 'cash', 99999)), 'LG202'),
  (tests.item(postings => tests.line(tests.account('acme', 'cash'), 'debit', 1)
    || tests.line(tests.account('other', 'ann'), 'credit', 1)), 'LG301'),
  (tests.item('post_pending', pending_id => tests.account('acme', 'cash')), 'LG304'),
  (tests.item(reverses_id => tests.account('acme', 'cash')), 'LG402')
) as f (item, code);
select is(pg_temp.answer('teller', 'tina', format('select app_public.propose_transaction(%L, %L)',
  tests.item(postings => tests.lines('acme', 'cash', 'ann', 1)), '')), 'LG114', 'it needs a reason');

insert into made values ('refused', pg_temp.propose(tests.item(postings => tests.lines('acme', 'ann', 'cash', 10000))));
select tests.post('acme', 'ann', 'cash', 5000);
select is(pg_temp.approve(pg_temp.made('refused')), 'LG202', 'an approval whose posting is refused tells why');
select is(pg_temp.status(pg_temp.made('refused')), 'open', 'and the proposal stays open');
select tests.post('acme', 'cash', 'ann', 5000);
select matches(pg_temp.approve(pg_temp.made('refused')), '^[0-9a-f-]{36}$', 'until it can be posted');

insert into made values ('gone', pg_temp.propose(
  tests.item(postings => tests.lines('acme', 'cash', 'ann', 1), idempotency_key => 'k2')));
select tests.post('acme', 'cash', 'ann', 1, idempotency_key => 'k2');
select is(pg_temp.approve(pg_temp.made('gone')), 'LG394',
  'what has been posted under its key by another way is not approved');

insert into made values
  ('of the disabled', pg_temp.propose(tests.item(postings => tests.lines('acme', 'cash', 'ann', 1)))),
  ('of the deprived', pg_temp.propose(tests.item(postings => tests.lines('acme', 'cash', 'ann', 1)), 'teller', 'tess'));
update app_public.memberships set status = 'disabled' where user_id = tests.user_id('tina');
select is(pg_temp.approve(pg_temp.made('of the disabled')), 'LG432', 'nor what a member proposed who is disabled now');
delete from app_public.role_permissions
where tenant_id = tests.tenant('acme') and role = 'teller' and permission = 'transactions.post';
select is(pg_temp.approve(pg_temp.made('of the deprived')), 'LG432', 'or may no longer post');

--------------------------------------------------------------------------------------------------
-- Every kind

insert into made values ('pending', pg_temp.propose(
  tests.item('pending', tests.lines('acme', 'cash', 'ann', 300), timeout_seconds => 60), 'accountant', 'abe'));
insert into made values ('reserved', pg_temp.approve(pg_temp.made('pending')));
select is((tests.counters('acme', 'ann'))[4], 300.0, 'an approved pending transaction reserves');
insert into made values ('part', pg_temp.propose(
  tests.item('post_pending', tests.lines('acme', 'cash', 'ann', 100), pending_id => pg_temp.made('reserved')::uuid),
  'accountant', 'abe'));
insert into made values ('reversal', pg_temp.propose(
  tests.item(reverses_id => pg_temp.made('posted')::uuid), 'accountant', 'abe'));
select matches(pg_temp.approve(pg_temp.made('part')), '^[0-9a-f-]{36}$', 'so does one that posts a part');
select is((tests.counters('acme', 'ann'))[4], 0.0, 'which releases the rest');
select matches(pg_temp.approve(pg_temp.made('reversal')), '^[0-9a-f-]{36}$', 'and one that reverses');

--------------------------------------------------------------------------------------------------
-- What the threshold refuses is approved: a transaction, a reversal, a conversion

select tests.open_account('acme', c.code, c.type::app_public.account_type, c.currency)
from (values
  ('trading', 'equity', 'EUR'), ('trading', 'equity', 'USD'), ('rounding', 'equity', 'USD'),
  ('wallet', 'liability', 'EUR'), ('wallet', 'liability', 'USD')
) as c (code, type, currency);
select tests.post('acme', 'cash', 'wallet', 50000);
select tests.as_tenant(
  tests.tenant('acme'), $$select app_public.set_exchange_rate('EUR', 'USD', 1.25, '2020-01-01Z')$$);
insert into made values ('large', tests.post('acme', 'cash', 'equity', 2000)::text);
insert into app_public.transaction_thresholds (tenant_id, currency, approval_amount, second_factor_amount)
values (tests.tenant('acme'), 'EUR', 1000, 5000);

create function pg_temp.convert(function text, reason text)
returns text
language sql
as $$
  select format('app_public.%s(%L, %L, 4000, ''trading'', ''rounding''%s, idempotency_key => ''fx'')',
    function, tests.account('acme', 'wallet'), tests.account('acme', 'wallet', 'USD'), reason)
$$;
select is(
  pg_temp.answer('accountant', 'abe', format('select (app_public.post_transaction(%L)).transaction_id',
    tests.item(postings => tests.lines('acme', 'cash', 'equity', 1000)))),
  'LG405', 'from the threshold on nobody posts alone');
select is(
  pg_temp.answer('accountant', 'abe', format('select (app_public.reverse_transaction(%L)).transaction_id',
    pg_temp.made('large'))),
  'LG405', 'nor reverses');
select is(
  pg_temp.answer('accountant', 'abe', 'select (' || pg_temp.convert('post_conversion', '') || ').transaction_id'),
  'LG405', 'nor converts');
insert into made values
  ('large posting', pg_temp.propose(
    tests.item(postings => tests.lines('acme', 'cash', 'equity', 1000)), 'accountant', 'abe')),
  ('large reversal', pg_temp.propose(tests.item(reverses_id => pg_temp.made('large')::uuid), 'accountant', 'abe')),
  ('large conversion', pg_temp.answer('accountant', 'abe',
    'select (' || pg_temp.convert('propose_conversion', ', ''why''') || ').id'));
select is(
  pg_temp.answer('accountant', 'abe', 'select (' || pg_temp.convert('propose_conversion', ', ''why''') || ').id'),
  pg_temp.made('large conversion'), 'a conversion is proposed once under its key');
select is(
  pg_temp.answer('accountant', 'abe', 'select (' || replace(pg_temp.convert('propose_conversion', ', ''why'''),
    '4000', '4001') || ').id'),
  'LG501', 'and another one under the same key is refused');
select is(
  pg_temp.answer('accountant', 'abe', 'select (' || replace(pg_temp.convert('propose_conversion', ', ''why'''),
    'trading', 'none') || ').id'),
  'LG501', 'whatever it differs in');
select is(
  pg_temp.answer('accountant', 'abe', replace(replace(
    'select (' || pg_temp.convert('propose_conversion', ', ''why''') || ').id', '''trading''', '''none'''), '''fx''',
      '''fx2''')),
  'LG343', 'one that could not be posted is refused as its posting is');
select matches(pg_temp.approve(pg_temp.made(m)), '^[0-9a-f-]{36}$', 'two people do: ' || m)
from unnest(array['large posting', 'large reversal', 'large conversion']) m;
select is(
  (select c.bought_amount from app_public.conversions c where c.transaction_id = (
    select d.transaction_id from app_public.proposal_decisions d
    where d.proposal_id = pg_temp.made('large conversion')::uuid)),
  5000::app_public.amount, 'a conversion at the rate of the moment');
select is(
  pg_temp.propose(tests.item(postings => tests.lines('acme', 'cash', 'equity', 5000)), 'accountant', 'abe'),
  'LG406', 'who proposes needs the second factor that posting needs');
update app_private.sessions set second_factor_at = now() where user_id = tests.user_id('abe');
insert into made values ('larger', pg_temp.propose(
  tests.item(postings => tests.lines('acme', 'cash', 'equity', 5000)), 'accountant', 'abe'));
select is(pg_temp.approve(pg_temp.made('larger')), 'LG406', 'so does who approves');
update app_private.sessions set second_factor_at = now() where user_id = tests.user_id('zoe');
select matches(pg_temp.approve(pg_temp.made('larger')), '^[0-9a-f-]{36}$', 'and with it approves');
select is_empty('select * from checks.approvals_that_do_not_fit', 'all of them posted what was proposed');
select is_empty('select * from checks.transactions_without_approval', 'and what had to be approved was');

--------------------------------------------------------------------------------------------------
-- Nothing of it changes

select throws_ok('update app_public.transaction_proposals set reason = ''x''', 'LG319', null,
  'a proposal never changes');
select throws_ok('delete from app_public.proposal_decisions', 'LG319', null, 'nor does a decision');
select throws_ok('truncate app_public.proposed_postings', 'LG319', null, 'nor what was proposed');

select * from finish();
rollback;
