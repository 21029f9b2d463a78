-- An account and all accounts under it, by currency.
begin;
select plan(5);

select tests.make_books('acme');
select tests.open_account('acme', 'bank', 'asset');
select tests.open_account('acme', 'bank:one', 'asset', parent_id => tests.account('acme', 'bank'));
select tests.open_account('acme', 'bank:one:a', 'asset', parent_id => tests.account('acme', 'bank:one'));
select tests.open_account('acme', 'bank:usd', 'asset', 'USD', parent_id => tests.account('acme', 'bank'));
select tests.post('acme', 'bank:one', 'equity', 100, effective_at => '2026-01-01');
select tests.post('acme', 'bank:one:a', 'equity', 20, effective_at => '2026-01-02');
select tests.post('acme', 'equity', 'bank', 3, effective_at => '2026-01-03');
select tests.post('acme', 'bank:usd', 'equity', 5, 'USD', effective_at => '2026-01-02');

create function pg_temp.total(code text, as_of timestamptz default null)
returns table (currency text, account_count integer, debits numeric, credits numeric, balance numeric)
language sql as $$
  select t.currency, t.account_count, t.debits::numeric, t.credits::numeric, t.balance::numeric
  from app_public.accounts a
  cross join lateral unnest(app_public.accounts_subtree_balances(a, as_of)) t
  where a.id = tests.account('acme', total.code)
$$;

select results_eq(
  $$select * from pg_temp.total('bank')$$, $$values ('EUR', 3, 120.0, 3.0, 117.0), ('USD', 1, 5.0, 0.0, 5.0)$$,
  'the account and all under it, by currency');
select results_eq(
  $$select * from pg_temp.total('bank:one')$$, $$values ('EUR', 2, 120.0, 0.0, 120.0)$$,
    'not what is above or beside it');
select results_eq(
  $$select * from pg_temp.total('bank', '2026-01-02')$$,
  $$values ('EUR', 3, 120.0, 0.0, 120.0), ('USD', 1, 5.0, 0.0, 5.0)$$, 'at an effective time');

select tests.become('customer', tests.tenant('acme'), tests.user_id('ann'));
select results_eq(
  $$select * from pg_temp.total('ann')$$, $$values ('EUR', 1, 0.0, 10000.0, -10000.0)$$,
    'a customer sees the own account');
select is_empty($$select * from pg_temp.total('bank')$$, 'and no other');

select tests.become_superuser();
select * from finish();
rollback;
