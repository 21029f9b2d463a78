-- A partner converts between its accounts, through trading accounts that it sees as well; codes of others are none.
begin;
select plan(12);

select tests.make_books('acme');
select tests.open_account('acme', a.code, a.type::app_public.account_type, a.currency)
from (values
  ('ann', 'liability', 'USD'), ('carl', 'liability', 'USD'), ('trading', 'equity', 'EUR'), ('trading', 'equity', 'USD'),
  ('rounding', 'revenue', 'USD'), ('hidden', 'equity', 'EUR'), ('hidden', 'equity', 'USD')
) as a (code, type, currency);
select tests.as_tenant(
  tests.tenant('acme'), $$select app_public.set_exchange_rate('EUR', 'USD', 1.1, '2026-01-01Z')$$);
create temp table sets (id uuid);
insert into sets select tests.as_tenant(tests.tenant('acme'),
  $$select (app_public.create_account_set('shops', 'Shops')).id$$)::uuid;
select tests.as_tenant(tests.tenant('acme'), format('select app_public.add_account_to_set(%L, %L)', s.id, a.id))
from sets s, app_public.accounts a
where a.tenant_id = tests.tenant('acme') and (a.code in ('ann', 'trading', 'rounding'));
insert into app_public.role_permissions values (tests.tenant('acme'), 'partner', 'transactions.convert');
select tests.make_api_key('acme', 'shop', '{ledger.read,transactions.convert}', (select id from sets));

create function pg_temp.convert(
  source uuid default tests.account('acme', 'ann'), target uuid default tests.account('acme', 'ann', 'USD'),
  trading text default 'trading', rounding text default 'rounding', amount numeric default 100
) returns text language plpgsql as $$
declare
  v_detail text;
begin
  perform tests.become_partner('acme', 'shop');
  perform app_public.post_conversion(source, target, amount, trading, rounding);
  perform tests.become_superuser();
  return 'done';
exception when others then
  get stacked diagnostics v_detail = pg_exception_detail;
  perform tests.become_superuser();
  return SQLSTATE || ' ' || (nullif(v_detail, '')::jsonb - 'name')::text;
end
$$;

select is(pg_temp.convert(), 'done', 'a partner converts');
select is(pg_temp.convert(source => a.id), format('LG301 {"accountId": "%s"}', a.id), a.rule)
from (values
  (tests.account('acme', 'bob'), 'not from an account that it does not see'), (uuidv7(), 'which is as one that is none')
) a (id, rule);
select is(pg_temp.convert(target => a.id), format('LG301 {"accountId": "%s"}', a.id), a.rule)
from (values
  (tests.account('acme', 'carl', 'USD'), 'not to one either'), (uuidv7(), 'which is as one that is none, too')
) a (id, rule);
select is(pg_temp.convert(trading => a.code), format('LG343 {"code": "%s", "currency": "EUR"}', a.code), a.rule)
from (values
  ('hidden', 'not through a trading account that it does not see'), ('nothing', 'which is as one that is none')
) a (code, rule);
select is(pg_temp.convert(rounding => a.code), format('LG343 {"code": "%s", "currency": "USD"}', a.code), a.rule)
from (values
  ('hidden', 'nor with such an account for what rounding leaves'), ('nothing', 'as one that is none')
) a (code, rule);
select tests.become_partner('acme', 'shop');
select is((select count(*) from app_public.conversions), 1::bigint, 'a partner sees its conversions');
select is(
  (app_public.convert_amount(100, 'EUR', 'USD')).amount::numeric, 110::numeric, 'and asks what an amount is worth');
select is(
  (select array_agg(a) from unnest(app_public.allocate(10, '{1,1,1}')) a), '{4,3,3}'::app_public.amount[],
  'and allocates');

select tests.become_superuser();
select * from finish();
rollback;
