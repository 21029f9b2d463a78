/*
 * What a payment was asked to be stays so, whoever writes, and what belongs to a payment in the ledger is resolved
 * and reversed by the payment alone.
 */
begin;
select plan(35);

select tests.make_books('acme');
select tests.make_provider('acme', 'bank');
select tests.make_provider('acme', 'other');
create temp table made (name text primary key, id uuid) on commit drop;
insert into made values
  ('later', tests.pay('acme',
    tests.payment('acme', 'pay_in', 'ann', 5, provider_code => 'bank', execute_at => now() + interval '1 day'))),
  ('live', tests.pay('acme', tests.payment('acme', 'pay_out', 'ann', 10, provider_code => 'bank'))),
  ('done', tests.pay('acme', tests.payment('acme', 'transfer', 'ann', 10, to_account => 'bob')));
grant all on made to public;
create function pg_temp.payment(name text) returns app_public.payments language sql security definer as $$
  select p from app_public.payments p join made m on m.id = p.id where m.name = payment.name
$$;

--------------------------------------------------------------------------------------------------
-- The row

set local role tallystick_owner;
select throws_ok(
  format('update app_public.payments set %I = %s where id = %L', c.name, c.value, (pg_temp.payment(c.payment)).id),
  'LG609', null, format('%s of one that is %s is kept', c.name, (pg_temp.payment(c.payment)).status))
from (values
  ('live', 'kind', $$'pay_in'$$), ('live', 'debit_account_id', 'credit_account_id'),
  ('live', 'credit_account_id', 'debit_account_id'), ('live', 'currency', $$'USD'$$), ('live', 'amount', 'amount + 1'),
  ('live', 'provider_code', $$'other'$$), ('live', 'counterparty_id', 'id'), ('live', 'reference', $$'x'$$),
  ('live', 'description', $$'x'$$), ('live', 'metadata', $$'{"a": 1}'$$), ('live', 'execute_at', $$now() + '1 s'$$),
  ('live', 'expires_at', 'now()'), ('live', 'created_by', 'id'), ('live', 'created_at', 'now()'),
  ('live', 'id', 'uuidv7()'), ('later', 'credit_account_id', 'debit_account_id'), ('later', 'amount', '6'),
  ('done', 'refund_of_id', 'id')
) as c (payment, name, value);
select throws_ok('delete from app_public.payments', 'LG609', null, 'none is removed');
set constraints all immediate;
select throws_ok('truncate app_public.payments cascade', 'LG609', null, 'not even all at once');
select throws_ok('update app_public.payment_moves set reason = ''x''', 'LG319', null, 'nor is a move changed');
select lives_ok(
  format($$update app_public.payments set provider_code = 'other', debit_account_id = %L where id = %L$$,
    tests.account('acme', 'clearing:other'), (pg_temp.payment('later')).id),
  'one that has reserved nothing takes another provider');
select lives_ok(
  format($$update app_public.payments set provider_reference = 'P 1' where id = %L$$, (pg_temp.payment('live')).id),
  'what its provider calls it is noted');
select throws_ok(
  format($$update app_public.payments set provider_reference = 'P 2' where id = %L$$, (pg_temp.payment('live')).id),
  'LG609', null, 'once');
set local role none;

--------------------------------------------------------------------------------------------------
-- Its transactions

select tests.become('accountant', tests.tenant('acme'), tests.user_id('abe'));
select throws_ok(
  format(c.statement, (pg_temp.payment('live')).pending_transaction_id), 'LG610', null, 'refused: ' || c.statement)
from (values
  ('select app_public.void_pending_transaction(%L)'), ('select app_public.post_pending_transaction(%L)'),
  ('select app_public.post_transaction(tests.item(''void_pending'', pending_id => %L))'),
  ('select app_public.post_transactions(array[tests.item(''post_pending'', pending_id => %L)])'),
  ('select app_public.propose_transaction(tests.item(''post_pending'', pending_id => %L), ''why'')')
) as c (statement);
select throws_ok(
  format(c.statement, (pg_temp.payment('done')).settlement_transaction_id), 'LG610', null, 'refused: ' || c.statement)
from (values
  ('select app_public.reverse_transaction(%L)'),
  ('select app_public.post_transaction(tests.item(reverses_id => %L))')
) as c (statement);
select tests.become_superuser();
create temp table free as
select
  tests.post('acme', 'ann', 'cash', 1, kind => 'pending') as pending_id, tests.post('acme', 'cash', 'ann', 1) as id;
grant select on free to public;
select tests.become('accountant', tests.tenant('acme'), tests.user_id('abe'));
select lives_ok(format('select app_public.void_pending_transaction(%L)', pending_id), 'others are voided') from free;
select lives_ok(format('select app_public.reverse_transaction(%L)', id), 'and reversed') from free;
select tests.become_superuser();

select tests.make_api_key('acme', 'shop', account_set_id => null);
update app_public.payments set status = status;
select tests.become_partner('acme', 'shop');
select throws_ok(
  format('select app_public.void_pending_transaction(%L)', (pg_temp.payment('live')).pending_transaction_id),
  'LG304', null, 'to a partner the transaction of somebody else is none');

select tests.become_superuser();
select is(
  (select count(*) from app_public.payments p where p.tenant_id = tests.tenant('acme') and p.amount in (5, 10)),
  3::bigint, 'and all is as it was');

select * from finish();
rollback;
