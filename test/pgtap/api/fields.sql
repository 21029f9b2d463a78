-- What the API shows beside the columns: formatted amounts, the status of a transaction, look-ups by id.
begin;
select plan(20);

select is(app_hidden.format_amount(1234, 2), '12.34', 'minor units are shown as a decimal');
select is(app_hidden.format_amount(-5, 2), '-0.05', 'a small negative amount keeps its sign and its zeros');
select is(app_hidden.format_amount(7, 0), '7', 'a currency without decimals has no point');
select is(
  app_hidden.format_amount(10000000000000000000000000000000000001, 18), '10000000000000000000.000000000000000001',
  'no digit is lost, however many there are');
select is(app_hidden.format_amount(null, 2), null, 'no amount is no text');

select tests.make_books('acme');
select tests.make_books('other');

create function pg_temp.a_transaction(slug text) returns uuid language sql volatile as $$
  select t.id from app_public.transactions t where t.tenant_id = tests.tenant(slug) order by t.id limit 1
$$;
create function pg_temp.an_account(slug text) returns app_public.accounts language sql volatile as $$
  select a from app_public.accounts a where a.tenant_id = tests.tenant(slug) order by a.id limit 1
$$;
create temporary table known as
select
  pg_temp.a_transaction('acme') as transaction_id,
  (pg_temp.an_account('acme')).id as account_id,
  (pg_temp.an_account('acme')).code as code,
  (pg_temp.an_account('acme')).currency as currency;
grant select on known to public;

-- For each role: its own tenant's, and not another's.
create function pg_temp.finds(role text, slug text) returns text language plpgsql volatile as $$
declare
  v_found text;
begin
  perform tests.become(role, tests.tenant(slug), tests.user_id('nobody'));
  select concat_ws(' ',
    (app_public.account(k.account_id)).code,
    (app_public.account_by_code(k.code, k.currency)).id = k.account_id,
    (app_public.transaction(k.transaction_id)).id = k.transaction_id,
    (app_public.current_tenant()).slug)
  into v_found from known k;
  perform tests.become_superuser();
  return v_found;
end
$$;

select is(
  pg_temp.finds(r.role, 'acme'), (select code || ' t t acme' from known),
  format('a %s finds accounts and transactions of the tenant', r.role))
from unnest(array['teller', 'accountant', 'auditor', 'admin']) as r (role);
select alike(
  pg_temp.finds(r.role, 'other'), '%other', format('a %s of another tenant does not find them by id', r.role))
from unnest(array['teller', 'accountant', 'auditor', 'admin']) as r (role);
select is(pg_temp.finds('customer', 'acme'), 'acme', 'a customer who owns no account finds the tenant alone');

create function pg_temp.kind_of(kind app_public.transaction_kind, expires_at timestamptz)
returns text language plpgsql volatile as $$
declare
  v_transaction app_public.transactions;
begin
  select t.* into v_transaction from app_public.transactions t where t.id = (select transaction_id from known);
  v_transaction.kind := kind;
  v_transaction.expires_at := expires_at;
  return app_public.transactions_status(v_transaction);
end
$$;
select is(pg_temp.kind_of('posted', null), 'posted', 'a posted transaction is POSTED');
select is(pg_temp.kind_of('pending', null), 'pending', 'a pending one is PENDING');
select is(pg_temp.kind_of('pending', now() - interval '1 s'), 'expired', 'and EXPIRED once its time has passed');
select is(pg_temp.kind_of('void_pending', null), 'voided', 'one that voids is VOIDED');
select is(pg_temp.kind_of('post_pending', null), 'posted', 'one that posts is POSTED');
select is(pg_temp.kind_of('expire_pending', null), 'expired', 'one that expires is EXPIRED');

select * from finish();
rollback;
