-- What a partner sees: the accounts that its user owns and those of its set, and what happened on them.
begin;
select plan(86);

select tests.make_books('acme');
select tests.make_books('other');

-- acme: the set "shops" holds ann, and through the set "more" bob. The key "both" is bound to it and its user owns
-- "float"; "owner" has no set and its user owns "till"; "inner" is bound to "more".
create function pg_temp.make_set(slug text, code text) returns uuid language sql as $$
  select tests.as_tenant(tests.tenant(slug),
    format('select (app_public.create_account_set(%L, %L)).id', code, code))::uuid
$$;
create temp table sets (name text, id uuid);
grant select on sets to public;
insert into sets values ('shops', pg_temp.make_set('acme', 'shops')), ('more', pg_temp.make_set('acme', 'more')),
  ('empty', pg_temp.make_set('acme', 'empty')), ('other', pg_temp.make_set('other', 'shops'));
create function pg_temp.set_id(name text) returns uuid language sql as $$
  select s.id from sets s where s.name = set_id.name
$$;
select tests.as_tenant(tests.tenant('acme'), format('select app_public.add_account_to_set(%L, %L)',
  pg_temp.set_id('shops'), tests.account('acme', 'ann')));
select tests.as_tenant(tests.tenant('acme'), format('select app_public.add_set_to_set(%L, %L)',
  pg_temp.set_id('shops'), pg_temp.set_id('more')));
select tests.as_tenant(tests.tenant('acme'), format('select app_public.add_account_to_set(%L, %L)',
  pg_temp.set_id('more'), tests.account('acme', 'bob')));
select tests.as_tenant(tests.tenant('other'), format('select app_public.add_account_to_set(%L, %L)',
  pg_temp.set_id('other'), tests.account('other', 'ann')));
select tests.open_account('acme', 'float', 'liability', owner_id => tests.user_id('both'), minimum_balance => 0);
select tests.open_account('acme', 'till', 'liability', owner_id => tests.user_id('owner'), minimum_balance => 0);
-- The same user owns an account in other books.
select tests.open_account('other', 'till', 'liability', owner_id => tests.user_id('owner'), minimum_balance => 0);
select tests.make_api_key('acme', 'both', account_set_id => pg_temp.set_id('shops'));
select tests.make_api_key('acme', 'inner', account_set_id => pg_temp.set_id('more'));
select tests.make_api_key('acme', 'owner');
select tests.make_api_key('acme', 'none', account_set_id => pg_temp.set_id('empty'));
select tests.make_api_key('acme', 'writer', '{transactions.post}', pg_temp.set_id('shops'));
select tests.make_api_key('other', 'foreign', account_set_id => pg_temp.set_id('other'));
select tests.post('acme', 'ann', 'bob', 500);
select tests.post('acme', 'ann', 'float', 300);
select tests.post('acme', 'cash', 'till', 700);
select tests.post('acme', 'ann', 'cash', 50, kind => 'pending', timeout_seconds => 60);

-- Rows that a key sees in a table, as text, or the code of the refusal.
create function pg_temp.rows_of(slug text, name text, relation text) returns text
language plpgsql volatile as $$
declare
  v_count bigint;
begin
  perform tests.become_partner(slug, name);
  begin
    execute 'select count(*) from ' || relation into v_count;
  exception when insufficient_privilege then
    perform tests.become_superuser();
    return '42501';
  end;
  perform tests.become_superuser();
  return v_count::text;
end
$$;
create function pg_temp.codes_of(slug text, name text) returns text
language plpgsql volatile as $$
declare
  v_codes text;
begin
  perform tests.become_partner(slug, name);
  select string_agg(a.code, ' ' order by a.code) into v_codes from app_public.accounts a;
  perform tests.become_superuser();
  return v_codes;
end
$$;

select is(pg_temp.codes_of('acme', k.name), k.codes, format('the key %s sees the accounts %s', k.name, k.codes))
from (values
  ('both', 'ann bob float'), ('inner', 'bob'), ('owner', 'till'), ('none', null), ('writer', null)
) as k (name, codes);
select is(pg_temp.codes_of('other', 'foreign'), 'ann', 'a key of other books sees theirs');
select is(pg_temp.codes_of('other', 'both'), null, 'a key shows nothing in other books than its own');

select is(pg_temp.rows_of('acme', k.name, t.relation), k.rows[t.n],
  format('the key %s sees %s rows of %s', k.name, k.rows[t.n], t.relation))
from (values
  ('both', array['3', '3', '7', '5', '1', '1', '2', '0', '0', '1', '1']),
  ('inner', array['1', '1', '2', '2', '0', '1', '2', '0', '0', '1', '1']),
  ('owner', array['1', '1', '1', '1', '0', '1', '2', '0', '0', '1', '1']),
  ('none', array['0', '0', '0', '0', '0', '1', '2', '0', '0', '1', '1']),
  ('writer', array['0', '0', '0', '0', '0', '1', '2', '0', '0', '1', '1'])
) as k (name, rows)
cross join unnest(array[
  'app_public.accounts', 'app_public.account_balances', 'app_public.postings', 'app_public.transactions',
  'app_hidden.open_reservations', 'app_public.tenants', 'app_public.currencies', 'app_public.exchange_rates',
  'app_public.conversions', 'app_public.memberships', 'app_public.users'
]) with ordinality as t (relation, n);

select is(pg_temp.rows_of('acme', 'both', t.relation), '42501', format('a partner may not read %s', t.relation))
from unnest(array[
  'app_public.account_sets', 'app_public.account_set_members', 'app_public.accounting_periods',
  'app_public.transaction_thresholds', 'app_private.api_keys', 'app_private.api_key_secrets',
  'app_private.api_key_nonces', 'app_private.api_key_uses', 'app_private.sessions',
  'checks.unbalanced_transactions'
]) as t (relation);

-- How PostgreSQL would find what a query asks for.
create function pg_temp.plan_of(query text) returns text language plpgsql as $$
declare
  v_line text;
  v_plan text := '';
begin
  for v_line in execute 'explain (costs off) ' || query loop
    v_plan := v_plan || v_line || chr(10);
  end loop;
  return v_plan;
end
$$;

-- Ids of what is there, but not the partner's
create temp table ids as select
  tests.account('acme', 'cash') as cash, tests.account('other', 'ann') as other_ann,
  (select t.id from app_public.transactions t join app_public.postings p on p.transaction_id = t.id
    where p.account_id = tests.account('acme', 'till')) as foreign_transaction;
grant select on ids to public;
select tests.become_partner('acme', 'both');
select is((app_public.account(i.cash)).id, null, 'an account outside of the set is not found by id') from ids i;
select is((app_public.account(i.other_ann)).id, null, 'nor one of other books') from ids i;
select is((app_public.account_by_code('cash', 'EUR')).id, null, 'nor by code');
select is((app_public.transaction(i.foreign_transaction)).id, null, 'nor a transaction on other accounts') from ids i;
select is(
  (app_public.accounts_balance((select a from app_public.accounts a where a.code = 'ann'))).posted::numeric,
  9200::numeric,
  'the balance of an account in the set is told');
select is(
  cardinality(app_public.accounts_statement((select a from app_public.accounts a where a.code = 'ann'))), 4,
  'and its statement');

-- The accounts are read once, and are a condition of the index, not a filter behind it.
set local enable_seqscan = off;
set local enable_bitmapscan = off;
select matches(pg_temp.plan_of('select from app_public.' || t.query), t.condition, t.query || ' is found by the index')
from (values
  ('accounts', 'accounts_\w+_key.*\n.*Index Cond: .*id = ANY \(\(InitPlan'),
  ('account_balances', 'account_balances_pkey.*\n.*Index Cond: .*account_id = ANY \(\(InitPlan'),
  ('postings where version = 1', 'postings_pkey.*\n.*Index Cond: .*account_id = ANY \(\(InitPlan')
) t (query, condition);

-- What changes, changes at once.
select tests.become_superuser();
select tests.as_tenant(tests.tenant('acme'), format('select app_public.remove_set_from_set(%L, %L)',
  pg_temp.set_id('shops'), pg_temp.set_id('more')));
select is(pg_temp.codes_of('acme', 'both'), 'ann float', 'what leaves the set leaves the sight of the key');
delete from app_public.role_permissions
where tenant_id = tests.tenant('acme') and role = 'partner' and permission = 'ledger.read';
select is(pg_temp.codes_of('acme', 'both'), null, 'without the permission of the role a partner reads nothing');
insert into app_public.role_permissions values (tests.tenant('acme'), 'partner', 'ledger.read');
select is(pg_temp.codes_of('acme', 'both'), 'ann float', 'and with it again');
select tests.as_tenant(tests.tenant('acme'), format(
  'select app_public.revoke_api_key(%L)', md5('key acmeboth')::uuid));
select is(pg_temp.codes_of('acme', 'both'), null, 'a key that is revoked sees nothing, whoever asks in its name');
update app_private.sessions set created_at = now() - interval '2 days', expires_at = now()
where id = md5('key acmeowner')::uuid;
select is(pg_temp.codes_of('acme', 'owner'), null, 'nor does one that has expired');

select * from finish();
rollback;
