-- Sensitive details of customers: who sets them, who sees which ciphertexts, and that reading is recorded.
begin;
select plan(23);

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

create function pg_temp.reveal(name text, purpose text default 'a call')
returns bytea
language sql
as $$
  select ciphertext from app_hidden.reveal_customer_detail(tests.user_id(name), 'bank_account', purpose)
$$;

create function pg_temp.recorded()
returns text
language sql
security definer
as $$
  select string_agg(format('%s %s by %s', r.table_name, r.action, u.name), ', ' order by r.id)
  from app_private.audit_entries r
  join app_public.users u on u.id = r.user_id
  where r.tenant_id = tests.tenant('acme') and r.operation = 'read' and r.row_key = tests.user_id('ann')::text
$$;

-- Members of the two books.
select pg_temp.be('customer', 'eve');
select pg_temp.be('customer', 'bob', 'rival');

select pg_temp.be('customer', 'ann');
select lives_ok(
  $$select app_hidden.set_customer_details(
    tests.user_id('ann'), email => pg_temp.sealed('e'), bank_account => pg_temp.sealed('b'))$$,
  'a customer sets their own details');
select throws_ok(
  $$select app_hidden.set_customer_details(tests.user_id('eve'), email => pg_temp.sealed('e'))$$, 'LG380', null,
  'and nobody else''s');
select throws_ok(
  $$select app_hidden.set_customer_details(tests.user_id('ann'), phone => '+49301234567')$$, '23514', null,
  'what is not encrypted is not stored');
select app_hidden.set_customer_details(tests.user_id('ann'), phone => pg_temp.sealed('p'), bank_account => '');
select results_eq(
  'select email_ciphertext::bytea, phone_ciphertext::bytea, bank_account_ciphertext::bytea
    from app_hidden.customer_details',
  $$select pg_temp.sealed('e'), pg_temp.sealed('p'), null::bytea$$,
  'null leaves a detail as it is, an empty value takes it away');
select app_hidden.set_customer_details(tests.user_id('ann'), bank_account => pg_temp.sealed('b2'));

select pg_temp.be('teller', 'tom');
select lives_ok(
  $$select app_hidden.set_customer_details(tests.user_id('eve'), email => pg_temp.sealed('e'))$$,
  'staff set those of customers');
select throws_ok(
  $$select app_hidden.set_customer_details(tests.user_id('bob'), email => pg_temp.sealed('e'))$$, 'LG380', null,
  'but not of customers of others');
select is((select count(*)::integer from app_hidden.customer_details), 2, 'a teller sees that they are there');
select throws_ok($$select pg_temp.reveal('ann')$$, '42501', null, 'but reads none in full');
select pg_temp.be('accountant', 'amy');
select throws_ok($$select pg_temp.reveal('ann')$$, 'LG402', null, 'an accountant does not either');
select throws_ok(
  $$select app_hidden.set_customer_details(tests.user_id('ann'))$$, '42501', null, 'nor sets any');
select pg_temp.be('admin', 'boss');
select throws_ok($$select pg_temp.reveal('ann')$$, 'LG402', null, 'nor does an admin');
select is((select count(*)::integer from app_hidden.customer_details), 2, 'who sees that they are there');
select pg_temp.be('auditor', 'ada');
select is((select count(*)::integer from app_hidden.customer_details), 2, 'as an auditor does');
select throws_ok($$select pg_temp.reveal('ann')$$, '42501', null, 'who never reads them in full');

-- The tenant gives the permission to its admins.
select tests.become_superuser();
insert into app_public.role_permissions (tenant_id, role, permission)
values (tests.tenant('acme'), 'admin', 'sensitive.read');
select is(pg_temp.recorded(), null, 'so far nothing was read, and nothing recorded');
select pg_temp.be('admin', 'boss');
select is(pg_temp.reveal('ann'), pg_temp.sealed('b2'), 'with the permission an admin reads');
select throws_ok($$select pg_temp.reveal('ann', ' ')$$, 'LG114', null, 'never without a purpose');
select throws_ok($$select pg_temp.reveal('bob')$$, 'LG380', null, 'and none of other books');
select pg_temp.be('customer', 'ann');
select is(pg_temp.reveal('ann', 'my own'), pg_temp.sealed('b2'), 'a customer reads their own');
select throws_ok($$select pg_temp.reveal('eve')$$, 'LG380', null, 'and nobody else''s');
select is(
  pg_temp.recorded(),
  'customer_details bank_account: a call by admin, customer_details bank_account: my own by customer',
  'every reading is recorded');
select pg_temp.be('customer', 'eve');
select is((select count(*)::integer from app_hidden.customer_details), 1, 'a customer sees none but their own');
select pg_temp.be('admin', 'max', 'rival');
select is_empty('select user_id from app_hidden.customer_details', 'those of other books see nothing');

select * from finish();
rollback;
