-- The accounts of a set and of the sets in it, by currency.
begin;
select plan(5);

select tests.make_books('acme');
select tests.make_books('other');
create function pg_temp.act(statement text) returns uuid language sql as $$
  select tests.as_tenant(tests.tenant('acme'), statement)::uuid
$$;
create temp table made as
select code, pg_temp.act(format('select (app_public.create_account_set(%L, %L)).id', code, code)) as id
from unnest(array['all', 'money', 'deposits', 'none']) as code;
grant select on made to public;
create function pg_temp.put(account text, code text, currency text default 'EUR') returns uuid language sql as $$
  select pg_temp.act(format('select (app_public.add_account_to_set(%L, %L)).id',
    (select m.id from made m where m.code = put.code), tests.account('acme', account, currency)))
$$;
select pg_temp.put('cash', 'money'), pg_temp.put('cash', 'money', 'USD'), pg_temp.put('ann', 'deposits'),
  pg_temp.put('bob', 'deposits'), pg_temp.put('ann', 'all'), pg_temp.put('cash', 'all');
select pg_temp.act(format('select (app_public.add_set_to_set(%L, %L)).id',
  (select id from made where code = 'all'), (select id from made where code = inner_code)))
from unnest(array['money', 'deposits']) as inner_code;
select tests.post('acme', 'cash', 'ann', 5, effective_at => '2026-01-01');

create function pg_temp.total(code text, as_of timestamptz default null)
returns table (currency text, account_count integer, balance numeric)
language sql as $$
  select t.currency, t.account_count, t.balance::numeric
  from app_public.account_sets s
  cross join lateral unnest(app_public.account_sets_balances(s, as_of)) t
  where s.id = (select m.id from made m where m.code = total.code)
$$;

select tests.become('auditor', tests.tenant('acme'), tests.user_id('eve'));
select results_eq($$select * from pg_temp.total('deposits')$$, $$values ('EUR', 2, -20005.0)$$,
  'the accounts of a set');
select results_eq(
  $$select * from pg_temp.total('all')$$, $$values ('EUR', 3, 100000.0), ('USD', 1, 100000.0)$$,
  'and of the sets in it, each account once');
select results_eq(
  $$select * from pg_temp.total('all', '2026-01-02')$$, $$values ('EUR', 3, 0.0), ('USD', 1, 0.0)$$,
  'at an effective time');
select is_empty($$select * from pg_temp.total('none')$$, 'an empty set adds up to nothing');
select tests.become('auditor', tests.tenant('other'), tests.user_id('x'));
select is_empty($$select * from pg_temp.total('all')$$, 'nothing crosses tenants');

select tests.become_superuser();
select * from finish();
rollback;
