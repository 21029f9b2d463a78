/*
 * What the pgTAP files share, in a schema of its own. Installed once in a test database, after pgTAP:
 * npm test does so, and elsewhere `psql -f test/pgtap/support/helpers.sql` does, as superuser.
 *
 *   select tests.become('customer', tests.tenant('acme'), tests.user_id('ann'));  -- from here on, ann
 *   select tests.become_superuser();                                              -- and back
 *   select tests.make_books('acme');   -- a tenant with a chart of accounts, see below
 *   select tests.post('acme', 'cash', 'equity', 1000);
 *
 * The functions that make things run as superuser, so they work under every role; what they do is what
 * the functions of the ledger do, in the name of the user "setup".
 */
drop schema if exists tests cascade;
create schema tests;
grant usage on schema tests to public;

-- A user's id by a name, always the same.
create function tests.user_id(name text)
returns uuid
language sql
immutable
as $$
  select md5('user ' || name)::uuid
$$;

/*
 * A session of a user who is a member of a tenant by a role, made if there is none: what a login would give.
 * A role that is no member's, such as anonymous or worker, has none.
 */
create function tests.session_id(role text, tenant_id integer, user_id uuid)
returns uuid
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant uuid := md5(concat_ws(' ', 'session', role, tenant_id, user_id))::uuid;
begin
  if user_id is null or role not in ('customer', 'teller', 'accountant', 'auditor', 'admin', 'partner', 'operator')
    or tenant_id is null and role <> 'operator'
  then
    return null;
  end if;
  insert into app_public.users (id, name) values (session_id.user_id, role) on conflict do nothing;
  if role = 'operator' then
    insert into app_private.operators (user_id) values (session_id.user_id) on conflict do nothing;
  else
    insert into app_public.memberships (tenant_id, user_id, role)
    select t.id, session_id.user_id, role::app_public.member_role
    from app_public.tenants t
    where t.id = session_id.tenant_id
    on conflict do nothing;
  end if;
  insert into app_private.sessions (id, tenant_id, user_id, role, kind, expires_at)
  select v_id, t.id, session_id.user_id, role::app_public.member_role,
    case role when 'partner' then 'api_key' else 'login' end, 'infinity'
  from (select) one
  left join app_public.tenants t on t.id = session_id.tenant_id
  where role = 'operator' or t.id is not null
  on conflict do nothing;
  return v_id;
end
$$;

-- Be somebody: the request role (without its prefix), the tenant, the user, in a session. Holds until the
-- end of the database transaction. No definer: PostgreSQL refuses to set a role inside one.
create function tests.become(role text, tenant_id integer default null, user_id uuid default null)
returns void
language sql
volatile
as $$
  select
    set_config('tallystick.session_id', coalesce(tests.session_id(role, tenant_id, user_id)::text, ''), true),
    set_config('role', 'tallystick_' || role, true),
    set_config('tallystick.tenant_id', coalesce(tenant_id::text, ''), true),
    set_config('tallystick.user_id', coalesce(user_id::text, ''), true)
$$;

-- Who psql or the harness signed in as, with no tenant and no user.
create function tests.become_superuser()
returns void
language sql
volatile
as $$
  select
    set_config('role', 'none', true),
    set_config('tallystick.session_id', '', true),
    set_config('tallystick.tenant_id', '', true),
    set_config('tallystick.user_id', '', true)
$$;

-- Run a statement in the name of a tenant and the user "setup", and give back its first value as text.
create function tests.as_tenant(tenant_id integer, statement text)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant constant text := coalesce(current_setting('tallystick.tenant_id', true), '');
  v_user constant text := coalesce(current_setting('tallystick.user_id', true), '');
  v_session constant text := coalesce(current_setting('tallystick.session_id', true), '');
  v_setup constant uuid := tests.user_id('setup');
  v_result text;
begin
  perform set_config('tallystick.tenant_id', tenant_id::text, true);
  perform set_config('tallystick.user_id', v_setup::text, true);
  perform set_config('tallystick.session_id', tests.session_id('admin', tenant_id, v_setup)::text, true);
  execute statement into v_result;
  perform set_config('tallystick.tenant_id', v_tenant, true);
  perform set_config('tallystick.user_id', v_user, true);
  perform set_config('tallystick.session_id', v_session, true);
  return v_result;
end
$$;

create function tests.make_tenant(slug text)
returns integer
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select (app_private.create_tenant(slug)).id
$$;

-- A tenant's id by its slug, whoever asks.
create function tests.tenant(slug text)
returns integer
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select t.id from app_public.tenants t where t.slug = tenant.slug
$$;

create function tests.open_account(
  slug text,
  code text,
  type app_public.account_type,
  currency text default 'EUR',
  owner_id uuid default null,
  minimum_balance numeric default null,
  maximum_balance numeric default null,
  parent_id uuid default null
)
returns uuid
language sql
volatile
as $$
  select tests.as_tenant(tests.tenant(slug), format(
    'select (app_public.open_account(
      code => %L, name => %L, type => %L, currency => %L, owner_id => %L,
      minimum_balance => %L, maximum_balance => %L, parent_id => %L)).id',
    code, code, type, currency, owner_id, minimum_balance, maximum_balance, parent_id
  ))::uuid
$$;

-- An account's id by its code, whoever asks.
create function tests.account(slug text, code text, currency text default 'EUR')
returns uuid
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select a.id
  from app_public.accounts a
  where a.tenant_id = tests.tenant(slug) and a.code = account.code and a.currency = account.currency
$$;

/*
 * A transaction of two postings as the input of post_transaction, and posted. A pending one with a
 * time limit: kind => 'pending', timeout_seconds => 60.
 */
create function tests.transfer(
  slug text,
  debit text,
  credit text,
  amount numeric,
  currency text default 'EUR',
  kind app_public.transaction_kind default 'posted',
  idempotency_key text default null,
  effective_at timestamptz default null,
  timeout_seconds integer default null
)
returns app_public.transaction_input
language sql
stable
as $$
  select row(
    kind,
    array[
      row(tests.account(slug, debit, currency), 'debit', amount),
      row(tests.account(slug, credit, currency), 'credit', amount)
    ]::app_public.posting_input[],
    idempotency_key, effective_at, timeout_seconds, null, null, null, null, null
  )::app_public.transaction_input
$$;

create function tests.post(
  slug text,
  debit text,
  credit text,
  amount numeric,
  currency text default 'EUR',
  kind app_public.transaction_kind default 'posted',
  idempotency_key text default null,
  effective_at timestamptz default null,
  timeout_seconds integer default null
)
returns uuid
language sql
volatile
as $$
  select tests.as_tenant(tests.tenant(slug), format(
    'select (app_public.post_transaction(%L::app_public.transaction_input)).transaction_id',
    tests.transfer(slug, debit, credit, amount, currency, kind, idempotency_key, effective_at, timeout_seconds)
  ))::uuid
$$;

/*
 * Books to try things on: cash, equity, sales, rent in EUR, cash and equity in USD, and two deposits
 * that may not be overdrawn, of ann and of bob; 1000.00 each in cash, 100.00 on each deposit.
 */
create function tests.make_books(slug text)
returns integer
language plpgsql
volatile
as $$
begin
  perform tests.make_tenant(slug);
  perform tests.open_account(slug, 'cash', 'asset');
  perform tests.open_account(slug, 'equity', 'equity');
  perform tests.open_account(slug, 'sales', 'revenue');
  perform tests.open_account(slug, 'rent', 'expense');
  perform tests.open_account(slug, 'cash', 'asset', 'USD');
  perform tests.open_account(slug, 'equity', 'equity', 'USD');
  perform tests.open_account(slug, 'ann', 'liability', owner_id => tests.user_id('ann'), minimum_balance => 0);
  perform tests.open_account(slug, 'bob', 'liability', owner_id => tests.user_id('bob'), minimum_balance => 0);
  perform tests.post(slug, 'cash', 'equity', 100000);
  perform tests.post(slug, 'cash', 'equity', 100000, 'USD');
  perform tests.post(slug, 'cash', 'ann', 10000);
  perform tests.post(slug, 'cash', 'bob', 10000);
  return tests.tenant(slug);
end
$$;

/*
 * For the tests of the engine: any item, and the outcome of a batch.
 *   select tests.outcome('acme', array[tests.item(postings => tests.lines('acme', 'cash', 'equity', 5))]);
 */
create function tests.item(
  kind app_public.transaction_kind default null,
  postings app_public.posting_input[] default null,
  idempotency_key text default null,
  effective_at timestamptz default null,
  timeout_seconds integer default null,
  pending_id uuid default null,
  reverses_id uuid default null,
  description text default null,
  metadata jsonb default null,
  conditions app_public.condition_input[] default null
)
returns app_public.transaction_input
language sql
stable
as $$
  select row(
    kind, postings, idempotency_key, effective_at, timeout_seconds, pending_id, reverses_id,
    description, metadata, conditions
  )::app_public.transaction_input
$$;

-- One posting of an item, as a list of one.
create function tests.line(account_id uuid, direction app_public.direction, amount numeric)
returns app_public.posting_input[]
language sql
immutable
as $$
  select array[row(account_id, direction, amount)::app_public.posting_input]
$$;

-- The two postings of a transfer between accounts by their codes.
create function tests.lines(slug text, debit text, credit text, amount numeric, currency text default 'EUR')
returns app_public.posting_input[]
language sql
stable
as $$
  select tests.line(tests.account(slug, debit, currency), 'debit', amount)
    || tests.line(tests.account(slug, credit, currency), 'credit', amount)
$$;

-- One condition on an account, as a list of one.
create function tests.condition(
  account_id uuid,
  minimum_available numeric default null,
  version bigint default null
)
returns app_public.condition_input[]
language sql
immutable
as $$
  select array[row(account_id, minimum_available, version)::app_public.condition_input]
$$;

-- Send a batch to the engine itself: with the rights of its own job, if it may expire.
create function tests.send(
  slug text,
  items app_public.transaction_input[],
  mode app_public.batch_mode default 'independent',
  may_expire boolean default false
)
returns setof app_public.transaction_result
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select * from unnest(app_private.post_batch(
    app_private.system_actor(tests.tenant(slug)), items, mode, may_expire))
$$;

-- One word an item: posted, replayed, or the code of its refusal.
create function tests.outcome(
  slug text,
  items app_public.transaction_input[],
  may_expire boolean default false
)
returns text[]
language sql
volatile
as $$
  select array_agg(coalesce((r.refusal).code, case when r.is_replayed then 'replayed' else 'posted' end))
  from tests.send(slug, items, 'independent', may_expire) r
$$;

-- Post one item that must be accepted, and tell its id.
create function tests.post_item(
  slug text,
  item app_public.transaction_input,
  may_expire boolean default false
)
returns uuid
language sql
volatile
as $$
  select r.transaction_id from tests.send(slug, array[item], 'atomic', may_expire) r
$$;

-- The counters of an account: posted debits, posted credits, pending debits, pending credits.
create function tests.counters(slug text, code text, currency text default 'EUR')
returns numeric[]
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select array[b.posted_debits, b.posted_credits, b.pending_debits, b.pending_credits]::numeric[]
  from app_public.account_balances b
  where b.tenant_id = tests.tenant(counters.slug)
    and b.account_id = tests.account(counters.slug, counters.code, counters.currency)
$$;

-- The balance of an account that the last transaction of this batch result left: posted, pending, available.
create function tests.balance(result app_public.transaction_result, account_id uuid)
returns numeric[]
language sql
immutable
as $$
  select array[b.posted, b.pending, b.available]::numeric[]
  from unnest(result.balances) b
  where b.account_id = balance.account_id
$$;

/*
 * Seal everything, what this database transaction wrote too: nothing is sealed of one that still runs, so the
 * rows are made to look like those of an old one.
 */
create function tests.seal_all(max_leaves integer default 8192)
returns void
language plpgsql
volatile
as $$
begin
  perform set_config('session_replication_role', 'replica', true);
  update app_public.transactions set xact_id = '3' where xact_id = pg_current_xact_id();
  update app_private.audit_entries set xact_id = '3' where xact_id = pg_current_xact_id();
  perform set_config('session_replication_role', 'origin', true);
  while app_private.seal(max_leaves) > 0 loop
  end loop;
end
$$;

/*
 * For the tests of API keys: a ciphertext of the right form, and a key of a tenant, made by an admin. Its
 * user is tests.user_id(name), so that accounts can be opened for it beforehand.
 */
create function tests.ciphertext()
returns bytea
language sql
immutable
as $$
  select '\x010174'::bytea || decode(repeat('00', 28), 'hex')
$$;

create function tests.make_api_key(
  slug text,
  name text,
  scopes text[] default '{ledger.read,transactions.post}',
  account_set_id uuid default null,
  allowed_addresses text[] default null
)
returns uuid
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id constant uuid := md5('key ' || slug || name)::uuid;
begin
  insert into app_public.users (id, kind, name) values (tests.user_id(name), 'service', name)
  on conflict do nothing;
  insert into app_public.memberships (tenant_id, user_id, role)
  values (tests.tenant(slug), tests.user_id(name), 'partner')
  on conflict do nothing;
  perform tests.as_tenant(tests.tenant(slug), format(
    'select app_hidden.create_api_key(%L, %L, %L, %L, %L, now() + ''1 day'', %L, %L, %L)',
    v_id, md5('secret ' || v_id)::uuid, tests.ciphertext(), name, scopes, allowed_addresses,
    account_set_id, tests.user_id(name)));
  return v_id;
end
$$;

-- Be a program that signs with a key made by make_api_key.
create function tests.become_partner(slug text, name text)
returns void
language sql
volatile
as $$
  select
    set_config('tallystick.session_id', md5('key ' || slug || name)::uuid::text, true),
    set_config('role', 'tallystick_partner', true),
    set_config('tallystick.tenant_id', tests.tenant(slug)::text, true),
    set_config('tallystick.user_id', tests.user_id(name)::text, true)
$$;

/*
 * For the tests of payments: a provider with its accounts in EUR, called clearing:<code> and suspense:<code>.
 */
create function tests.make_provider(slug text, code text, kind app_public.payment_provider_kind default 'simulated')
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into app_public.payment_providers (tenant_id, code, kind, name)
  values (tests.tenant(slug), code, make_provider.kind, code);
  insert into app_public.payment_provider_accounts (
    tenant_id, provider_code, currency, clearing_account_id, suspense_account_id
  ) values (
    tests.tenant(slug), code, 'EUR',
    tests.open_account(slug, 'clearing:' || code, 'asset'), tests.open_account(slug, 'suspense:' || code, 'liability')
  );
  return code;
end
$$;

-- What create_payment takes, of the accounts by their codes.
create function tests.payment(
  slug text,
  kind app_public.payment_kind,
  account text default null,
  amount numeric default null,
  to_account text default null,
  currency text default null,
  provider_code text default null,
  counterparty_id uuid default null,
  refund_of_id uuid default null,
  reference text default null,
  description text default null,
  metadata jsonb default null,
  idempotency_key text default null,
  execute_at timestamptz default null,
  expires_at timestamptz default null
)
returns app_public.payment_input
language sql
stable
as $$
  select row(
    kind, tests.account(slug, account), tests.account(slug, to_account), amount, currency, provider_code,
    counterparty_id, refund_of_id, reference, description, metadata, idempotency_key, execute_at, expires_at
  )::app_public.payment_input
$$;

-- A payment in the name of the ledger itself; tells its id.
create function tests.pay(slug text, input app_public.payment_input)
returns uuid
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select (app_private.insert_payment(app_private.system_actor(tests.tenant(slug)), input)).id
$$;

grant execute on all functions in schema tests to public;
