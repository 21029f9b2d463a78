-- What several requests ask for is posted by one batch, each in the name of who asks.
begin;
select plan(9);

select tests.make_books('acme');
select tests.make_books('rival');

create function pg_temp.together(users text[], roles text[], amounts numeric[])
returns setof app_public.transaction_result
language sql
as $$
  select r.*
  from unnest(app_hidden.post_together(
    tests.tenant('acme'),
    array(select tests.session_id(u.role, tests.tenant('acme'), tests.user_id(u.name))
      from unnest(users, roles) with ordinality as u (name, role, n) order by u.n),
    array(select tests.user_id(u.name) from unnest(users) with ordinality as u (name, n) order by u.n),
    array(select tests.item('posted', tests.lines('acme', 'cash', 'equity', a.amount))
      from unnest(amounts) with ordinality as a (amount, n) order by a.n)
  )) r
$$;

create temp table answered as
select row_number() over () as n, t.*
from pg_temp.together('{ann,bob,ann,bob}', '{teller,teller,auditor,teller}', '{1,2,3,-4}') t;

select results_eq('select (refusal).code from answered order by n', $$values (null), (null), ('LG402'), ('LG102')$$,
  'each is posted or refused by itself');
select results_eq(
  'select t.created_by from answered a join app_public.transactions t on t.id = a.transaction_id order by a.n',
  $$values (tests.user_id('ann')), (tests.user_id('bob'))$$, 'each in the name of who asked');
select is((
    select count(distinct t.xact_id)::integer
    from answered a join app_public.transactions t on t.id = a.transaction_id
  ), 1, 'by one database transaction');
select is((select (refusal).detail from answered where n = 3), '{"permission": "transactions.post"}'::jsonb,
  'who lacks a permission is told which');
select is_empty('select from app_private.audit_entries where operation = ''refused''',
  'what is refused is recorded by who asked for it');

-- The session is that of the user and the tenant, or it is none.
select results_eq($$
  select (r.refusal).code
  from unnest(app_hidden.post_together(
    tests.tenant('acme'),
    array[
      tests.session_id('teller', tests.tenant('acme'), tests.user_id('ann')),
      tests.session_id('teller', tests.tenant('rival'), tests.user_id('ann')),
      null
    ],
    array[tests.user_id('bob'), tests.user_id('ann'), tests.user_id('ann')],
    array(select tests.item('posted', tests.lines('acme', 'cash', 'equity', 1)) from generate_series(1, 3))
  )) r $$, $$values ('LG401'), ('LG401'), ('LG401')$$,
  'a session of somebody else, of other books, or none, is refused');

-- Thresholds
insert into app_public.transaction_thresholds (tenant_id, currency, second_factor_amount)
values (tests.tenant('acme'), 'EUR', 100);
create temp table sessions as
select
  tests.session_id('teller', tests.tenant('acme'), tests.user_id('ann')) as ann,
  tests.session_id('teller', tests.tenant('acme'), tests.user_id('bob')) as bob;
update app_private.sessions set second_factor_at = now() where id = (select bob from sessions);
update app_private.sessions set second_factor_at = null where id = (select ann from sessions);
select results_eq(
  $$select (refusal).code, transaction_id is not null
    from pg_temp.together('{ann,bob,ann}', '{teller,teller,teller}', '{100,100,1}')$$,
  $$values ('LG406', false), (null, false), (null, true)$$,
  'those with a fresh second factor are left to be asked again where the first has none');
select results_eq(
  $$select (refusal).code, transaction_id is not null
    from pg_temp.together('{bob,ann}', '{teller,teller}', '{100,1}')$$,
  $$values (null::text, true), (null, false)$$, 'and the other way round');

update app_public.tenants set status = 'suspended' where id = tests.tenant('acme');
select results_eq($$select (refusal).code from pg_temp.together('{ann,bob}', '{teller,teller}', '{1,1}')$$,
  $$values ('LG403'), ('LG403')$$, 'nothing is posted for a tenant that is suspended');

select * from finish();
rollback;
