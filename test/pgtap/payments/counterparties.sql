/*
 * Counterparties: whose they are, who changes them, and that their accounts are read for payments alone. Providers
 * and their accounts.
 */
begin;
select plan(44);

select tests.make_books('acme');
select tests.make_books('other');
select tests.make_provider('acme', 'bank');
insert into app_public.role_permissions (tenant_id, role, permission)
select tests.tenant('acme'), 'customer', p from unnest('{payments.create,counterparties.manage}'::text[]) as p;
select tests.session_id('customer', tests.tenant('acme'), tests.user_id(n)) from unnest('{ann,bob}'::text[]) as n;

create temp table made (like app_public.payments) on commit drop;
grant all on made to public;
create function pg_temp.be(role text, name text) returns void language sql as $$
  select tests.become(role, tests.tenant('acme'), tests.user_id(name))
$$;
create function pg_temp.code(statement text) returns text language plpgsql as $$
begin
  execute statement;
  return 'done';
exception when others then
  return sqlstate;
end
$$;
-- A counterparty by its name, always with the same id.
create function pg_temp.id_of(name text) returns uuid language sql as $$ select md5('counterparty ' || name)::uuid $$;
create function pg_temp.add(name text, owner text default null, bic text default null, country text default null,
  metadata jsonb default null) returns text language sql as $$
  select pg_temp.code(format('select app_hidden.add_counterparty(%L, %L, %L, %L, %L, %L, %L, %L)',
    pg_temp.id_of(name), name, tests.user_id(owner), tests.ciphertext(), '••••3000', bic, country, metadata))
$$;

--------------------------------------------------------------------------------------------------
-- Whose they are

select pg_temp.be('customer', 'ann');
select is(pg_temp.add('Carol'), 'done', 'a customer adds a counterparty');
select is((select c.owner_id from app_public.counterparties c), tests.user_id('ann'), 'which is theirs');
select is(pg_temp.add('Dave', 'bob'), 'LG380', 'and none for somebody else');
select is(pg_temp.code('select * from app_private.counterparty_accounts'), '42501', 'nobody reads the account');
select pg_temp.be('customer', 'bob');
select is((select count(*) from app_public.counterparties), 0::bigint, 'to another customer it is not there');
select is((app_public.counterparty(pg_temp.id_of('Carol'))).id, null, 'not even by id');
select is(pg_temp.code(format('select app_public.update_counterparty(%L, %L)', pg_temp.id_of('Carol'), 'x')), 'LG606',
  'nor to be changed');
select is(pg_temp.code(format('select app_public.archive_counterparty(%L)', pg_temp.id_of('Carol'))), 'LG606',
  'or archived');
select is(
  pg_temp.code(format('select app_public.create_payment(%L)',
    tests.payment('acme', 'pay_out', 'bob', 1, counterparty_id => pg_temp.id_of('Carol')))), 'LG606',
  'nor to be paid');
select pg_temp.be('teller', 'tina');
select is(pg_temp.add('Shop', null, 'DEUTDEFF500', 'DE', '{"a": 1}'), 'done', 'staff add one that all share');
select is(pg_temp.add('Eve', 'bob'), 'done', 'or one of a customer');
select is(pg_temp.add('Mallory', 'tina'), 'LG380', 'of customers alone');
select is(pg_temp.add('Nobody', 'nobody'), 'LG380', 'of those that there are');
select is((select count(*) from app_public.counterparties), 3::bigint, 'and see them all');
select is(pg_temp.add(''), 'LG616', 'a name is needed');
select is(pg_temp.add('a', bic => 'x'), 'LG616', 'a BIC has its form');
select is(pg_temp.add('a', country => 'Germany'), 'LG616', 'so has a country');
select is(pg_temp.add('a', metadata => '[]'), 'LG107', 'metadata are an object');
select is(
  (select concat_ws(' ', c.name, c.bic, c.country, c.metadata)
    from app_public.update_counterparty(pg_temp.id_of('Shop'), country => 'AT') c),
  'Shop DEUTDEFF500 AT {"a": 1}', 'what is left out stays');
select is(pg_temp.code(format('select app_public.update_counterparty(%L, bic => ''x'')', pg_temp.id_of('Shop'))),
  'LG616', 'what is given has its form');
select is(pg_temp.code(format('select app_public.update_counterparty(%L)', tests.user_id('x'))), 'LG606',
  'what is not there is not changed');

--------------------------------------------------------------------------------------------------
-- Paid

select pg_temp.be('customer', 'bob');
insert into made
select (app_public.create_payment(
  tests.payment('acme', 'pay_out', 'bob', 1, counterparty_id => pg_temp.id_of('Shop')))).*;
select is((select m.counterparty_id from made m), pg_temp.id_of('Shop'), 'a customer pays one that all share');
select is(pg_temp.code(format('select app_public.create_payment(%L)',
  tests.payment('acme', 'pay_out', 'bob', 1, counterparty_id => pg_temp.id_of('Eve')))), 'done', 'and one of theirs');
select pg_temp.be('teller', 'tina');
select isnt((app_public.archive_counterparty(pg_temp.id_of('Shop'))).archived_at, null, 'one may be archived');
select is(pg_temp.code(format('select app_public.create_payment(%L)',
  tests.payment('acme', 'pay_out', 'bob', 1, counterparty_id => pg_temp.id_of('Shop')))), 'LG606',
  'and takes no new payments then');
select tests.become_superuser();
select is(
  (app_private.take_settlement(m.tenant_id, m.id, 1)).account_ciphertext, tests.ciphertext(),
  'those on their way go on') from made m;
select results_eq(
  $$select row_key, action from app_private.audit_entries
    where operation = 'read' and table_name = 'counterparty_accounts'$$,
  (select format('values (%L, %L)', pg_temp.id_of('Shop'), 'account: payment ' || m.id) from made m),
  'and that their account was read is recorded');

--------------------------------------------------------------------------------------------------
-- Providers

select pg_temp.be('admin', 'ada');
select is(
  (app_public.set_payment_provider('card', 'stripe', 'Cards', '{"a": 1}')).is_enabled, true, 'a provider is set up');
select is(
  (select concat_ws(' ', p.name, p.settings, p.is_enabled)
    from app_public.set_payment_provider('card', 'stripe', 'Card', null, false) p),
  'Card {"a": 1} f', 'and changed; settings that are left out stay');
select is(pg_temp.code($$select app_public.set_payment_provider('card', 'simulated', 'x')$$), 'LG617',
  'its kind stays');
select is(
  pg_temp.code($$select app_public.set_payment_provider('Card', 'stripe', 'x')$$), 'LG114', 'a code has its form');
select is(pg_temp.code($$select app_public.set_payment_provider('card', 'stripe', '')$$), 'LG114', 'so has a name');
select is(pg_temp.code($$select app_public.set_payment_provider('card', 'stripe', 'x', '[]')$$), 'LG160',
  'settings are an object');
select is(
  pg_temp.code(format('select app_public.set_payment_provider_account(%L, %L, %L, %L)', a.provider, a.currency,
    a.clearing, a.suspense)),
  a.outcome, a.what)
from (values
  ('card', 'EUR', tests.account('acme', 'cash'), tests.account('acme', 'rent'), 'done', 'its accounts are named'),
  ('card', 'EUR', tests.account('acme', 'cash'), tests.account('acme', 'sales'), 'done', 'and changed'),
  ('card', 'USD', tests.account('acme', 'cash'), tests.account('acme', 'rent'), 'LG613', 'in their currency'),
  ('card', 'EUR', tests.account('acme', 'cash'), tests.account('acme', 'cash'), 'LG611', 'two of them'),
  ('card', 'EUR', tests.account('acme', 'cash'), tests.account('other', 'rent'), 'LG301', 'of these books'),
  ('none', 'EUR', tests.account('acme', 'cash'), tests.account('acme', 'rent'), 'LG605', 'of a provider that there is')
) as a (provider, currency, clearing, suspense, outcome, what);
select is(
  pg_temp.code(format('select app_public.create_payment(%L)',
    tests.payment('acme', 'pay_out', 'bob', 1, provider_code => 'card'))), 'LG605',
  'one that is not enabled takes no payments');
select is((app_public.set_payment_provider('card', 'stripe', 'Cards')).is_enabled, true, 'until it is');
select is(
  pg_temp.code(format('select app_public.create_payment(%L)', tests.payment('acme', 'pay_out', 'bob', 1))), 'LG603',
  'with two for the currency a payment names one');
select is(
  pg_temp.code(format('select app_public.create_payment(%L)',
    tests.payment('acme', 'pay_out', 'bob', 1, provider_code => 'card'))), 'done', 'and it takes it');
select pg_temp.be('accountant', 'abe');
select is(pg_temp.code($$select app_public.set_payment_provider('new', 'stripe', 'x')$$), '42501',
  'only admins set up providers');

select * from finish();
rollback;
