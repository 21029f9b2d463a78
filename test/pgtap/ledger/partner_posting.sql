-- What a partner posts: on its accounts alone, and of others it does not even learn that they are there.
begin;
select plan(51);

select tests.make_books('acme');
select tests.make_books('other');

create temp table sets (id uuid);
insert into sets select tests.as_tenant(tests.tenant('acme'),
  $$select (app_public.create_account_set('shops', 'Shops')).id$$)::uuid;
select tests.as_tenant(tests.tenant('acme'), format('select app_public.add_account_to_set(%L, %L)',
  s.id, tests.account('acme', a.code)))
from sets s, (values ('ann'), ('bob')) a (code);
select tests.open_account('acme', 'float', 'liability', owner_id => tests.user_id('shop'), minimum_balance => 0);
select tests.make_api_key('acme', 'shop', '{ledger.read,transactions.post}', (select id from sets));
select tests.make_api_key('acme', 'reader', '{ledger.read}', (select id from sets));
select tests.make_api_key('acme', 'writer', '{transactions.post}', (select id from sets));
create temp table made (name text primary key, id uuid);
grant select, insert on made to public;
insert into made values
  ('foreign', tests.post('acme', 'cash', 'equity', 5, idempotency_key => 'k-foreign')),
  ('foreign pending', tests.post('acme', 'cash', 'equity', 5, kind => 'pending')),
  ('half foreign pending', tests.post('acme', 'cash', 'ann', 5, kind => 'pending')),
  ('half foreign', tests.post('acme', 'cash', 'ann', 5, idempotency_key => 'k-half')),
  ('own pending of staff', tests.post('acme', 'ann', 'bob', 5, kind => 'pending'));
create function pg_temp.made(name text) returns uuid language sql as $$
  select m.id from made m where m.name = made.name
$$;

-- What a key meets: "done", or code and detail.
create function pg_temp.attempt(name text, statement text) returns text
language plpgsql as $$
declare
  v_detail text;
begin
  perform tests.become_partner('acme', attempt.name);
  execute statement;
  perform tests.become_superuser();
  return 'done';
exception when others then
  get stacked diagnostics v_detail = pg_exception_detail;
  perform tests.become_superuser();
  return concat_ws(' ', SQLSTATE, (nullif(v_detail, '')::jsonb - 'name')::text);
end
$$;
-- A transfer between accounts by their ids, as SQL.
create function pg_temp.transfer(
  debit uuid, credit uuid, idempotency_key text default null, conditions app_public.condition_input[] default null
) returns text language sql as $$
  select format('select app_public.post_transaction(%L::app_public.transaction_input)', tests.item(
    postings => tests.line(debit, 'debit', 1) || tests.line(credit, 'credit', 1),
    idempotency_key => idempotency_key, conditions => conditions))
$$;
create function pg_temp.own() returns uuid language sql as $$ select tests.account('acme', 'ann') $$;
create temp table out_of_sight (what text, id uuid);
insert into out_of_sight values
  ('an account outside of the set', tests.account('acme', 'cash')),
  ('an account of other books', tests.account('other', 'ann')),
  ('an account that is none', uuidv7());

select is(pg_temp.attempt('shop', pg_temp.transfer(pg_temp.own(), tests.account('acme', 'bob'))), 'done',
  'a partner posts between accounts of its set');
select is(pg_temp.attempt('shop', pg_temp.transfer(pg_temp.own(), tests.account('acme', 'float'))), 'done',
  'and the accounts that its user owns');
select is(
  (select array_agg(distinct t.created_by) from app_public.transactions t
    join app_public.postings p on p.transaction_id = t.id
    where p.account_id = tests.account('acme', 'float')),
  array[tests.user_id('shop')], 'in the name of its user');
select is(pg_temp.attempt('writer', pg_temp.transfer(pg_temp.own(), tests.account('acme', 'bob'))), 'done',
  'a key that cannot read posts all the same');
select is(pg_temp.attempt('reader', pg_temp.transfer(pg_temp.own(), tests.account('acme', 'bob'))),
  'LG402 {"permission": "transactions.post"}', 'a key without the scope does not');

-- Foreign and unknown answer alike: the same code, the same detail, at the same place of the precedence.
select is(pg_temp.attempt('shop', pg_temp.transfer(o.id, pg_temp.own())),
  format('LG301 {"accountId": "%s"}', o.id), format('%s is not found as debit', o.what)) from out_of_sight o;
select is(pg_temp.attempt('shop', pg_temp.transfer(pg_temp.own(), o.id)),
  format('LG301 {"accountId": "%s"}', o.id), format('%s is not found as credit', o.what)) from out_of_sight o;
select is(
  pg_temp.attempt('shop',
    pg_temp.transfer(pg_temp.own(), tests.account('acme', 'bob'), null, tests.condition(o.id, 0))),
  format('LG301 {"accountId": "%s"}', o.id), format('%s is not found in a condition', o.what)) from out_of_sight o;
select is(
  pg_temp.attempt('shop', format('select app_public.post_transaction(%L::app_public.transaction_input)', tests.item(
    postings => tests.line(o.id, 'debit', 7) || tests.line(pg_temp.own(), 'credit', 1)))),
  format('LG301 {"accountId": "%s"}', o.id), format('%s is not found before the balance is asked', o.what))
from out_of_sight o;
select tests.become_partner('acme', 'shop');
select results_eq(
  format($$select (r.refusal).code from unnest(app_public.post_transactions(%L)) r$$, array[
    tests.transfer('acme', 'ann', 'bob', 1), tests.transfer('acme', 'cash', 'bob', 1),
    tests.transfer('other', 'ann', 'bob', 1), tests.transfer('acme', 'bob', 'ann', 1)]),
  array[null, 'LG301', 'LG301', null], 'in a batch too, item by item');
select tests.become_superuser();

-- Transactions of others
select is(
  pg_temp.attempt('shop', format('select app_public.%s(%L)', f.name, coalesce(pg_temp.made(t.name), u.id))),
  format('LG304 {"transactionId": "%s"}', coalesce(pg_temp.made(t.name), u.id)),
  format('%s of %s finds nothing', f.name, t.name))
from (values ('void_pending_transaction'), ('post_pending_transaction')) f (name)
cross join (values ('foreign pending'), ('half foreign pending'), ('foreign'), ('unknown')) t (name)
cross join (select uuidv7()) u (id);
select is(
  pg_temp.attempt('shop',
    format('select app_public.void_pending_transaction(%L)', pg_temp.made('own pending of staff'))),
  'done', 'a pending transaction on accounts of the partner alone is its to resolve');
select tests.become_partner('acme', 'shop');
insert into made
select 'own pending',
  (app_public.post_transaction(tests.item('pending', tests.lines('acme', 'ann', 'bob', 9)))).transaction_id;
select tests.become_superuser();
select is(
  pg_temp.attempt('shop', format('select app_public.post_pending_transaction(%L)', pg_temp.made('own pending'))),
  'done', 'as is its own');
select is(
  pg_temp.attempt('shop', format('select app_public.post_pending_transaction(%L)', pg_temp.made('own pending'))),
  format('LG305 {"transactionId": "%s"}', pg_temp.made('own pending')), 'of which it learns what has become');

-- Reversals are not for partners, by whichever way; nor for a teller.
select is(pg_temp.attempt('shop', format('select app_public.reverse_transaction(%L)', pg_temp.made('own pending'))),
  '42501', 'a partner does not reverse');
select is(
  pg_temp.attempt('shop', format('select app_public.post_transaction(%L)',
    tests.item(reverses_id => pg_temp.made('half foreign')))),
  'LG402 {"permission": "transactions.reverse"}', 'nor by posting a reversal');
select is(
  pg_temp.attempt('shop', format('select app_public.post_transactions(%L)',
    array[tests.item(reverses_id => pg_temp.made('half foreign'))])),
  'LG402 {"permission": "transactions.reverse"}', 'nor in a batch');

-- Idempotency keys of others: taken, and nothing more is told; not even by sending the very same request.
select is(pg_temp.attempt('shop', pg_temp.transfer(pg_temp.own(), tests.account('acme', 'bob'), k.key)), 'LG501 {}',
  format('of the key %s it learns that it is taken', k.key))
from (values ('k-foreign'), ('k-half')) k (key);
select is(
  pg_temp.attempt('shop', format('select app_public.post_transaction(%L)',
    tests.transfer('acme', 'cash', 'ann', 5, idempotency_key => 'k-half'))),
  'LG501 {}', 'the same request is no replay for it');
select tests.become_partner('acme', 'shop');
select results_eq(
  format($$select (r.refusal).code, (r.refusal).detail, r.transaction_id is not null, r.is_replayed
    from unnest(app_public.post_transactions(%L)) r$$, array[
    tests.transfer('acme', 'ann', 'bob', 1, idempotency_key => 'k-half'),
    tests.transfer('acme', 'ann', 'bob', 1, idempotency_key => 'k-half'),
    tests.transfer('acme', 'ann', 'bob', 1, idempotency_key => 'k-own'),
    tests.transfer('acme', 'ann', 'bob', 1, idempotency_key => 'k-own')]),
  $$values ('LG501', '{}'::jsonb, false, false), ('LG501', '{}', false, false),
    (null, null, true, false), (null, null, true, true)$$,
  'in a batch too; its own are replayed');
select tests.become_superuser();

-- Opening accounts: like the one above, and the partner's own.
insert into app_public.role_permissions values (tests.tenant('acme'), 'partner', 'accounts.open');
select tests.make_api_key('acme', 'opener', '{accounts.open}', (select id from sets));
create function pg_temp.open(args text, key text default 'opener') returns text language sql as $$
  select pg_temp.attempt(key, format(
    'select app_public.open_account(name => ''n'', parent_id => %L, %s)', tests.account('acme', 'ann'), args))
$$;
select is(pg_temp.open($$code => 'ann-1', type => 'liability', currency => 'EUR', minimum_balance => 0$$), 'done',
  'a partner opens an account under one that it sees');
select results_eq(
  $$select owner_id, normal_balance::text from app_public.accounts where code = 'ann-1'$$,
  format($$values (%L::uuid, 'credit')$$, tests.user_id('opener')), 'and its user owns it');
select is(pg_temp.open(a.args), format('LG429 {"field": "%s"}', a.field), format('not with another %s', a.field))
from (values
  ($$code => 'ann-2', type => 'asset', currency => 'EUR', minimum_balance => 0$$, 'type'),
  ($$code => 'ann-2', type => 'liability', currency => 'EUR', minimum_balance => 0, normal_balance => 'debit'$$,
    'normalBalance'),
  ($$code => 'ann-2', type => 'liability', currency => 'USD', minimum_balance => 0$$, 'currency'),
  ($$code => 'ann-2', type => 'liability', currency => 'EUR'$$, 'minimumBalance'),
  ($$code => 'ann-2', type => 'liability', currency => 'EUR', minimum_balance => -1$$, 'minimumBalance'),
  ($$code => 'cash', type => 'liability', currency => 'EUR', minimum_balance => 0$$, 'code'),
  (format($$code => 'ann-2', type => 'liability', currency => 'EUR', minimum_balance => 0, owner_id => %L$$,
    tests.user_id('ann')),
    'ownerId')
) a (args, field);
select is(pg_temp.attempt('opener', 'select app_public.open_account(''x'', ''x'', ''liability'', ''EUR'')'),
  'LG429 {"field": "parentId"}', 'not without one above it');
select is(
  pg_temp.attempt('opener', format(
    'select app_public.open_account(''x'', ''x'', ''liability'', ''EUR'', parent_id => %L)', o.id)),
  format('LG301 {"accountId": "%s"}', o.id), format('not under %s', o.what)) from out_of_sight o;
select is(pg_temp.open($$code => 'ann-2', type => 'liability', currency => 'EUR', minimum_balance => 0$$, 'shop'),
  'LG402 {"permission": "accounts.open"}', 'not without the scope');

-- The end of the key
select tests.as_tenant(tests.tenant('acme'), format('select app_public.revoke_api_key(%L)', md5('key acmeshop')::uuid));
select is(pg_temp.attempt('shop', pg_temp.transfer(pg_temp.own(), tests.account('acme', 'bob'))), 'LG401 {}',
  'a revoked key posts nothing');

select * from finish();
rollback;
