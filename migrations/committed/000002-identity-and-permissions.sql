--! Previous: sha1:52be1f5f72d6fe482f2c992dc420c2a1958ea86a
--! Hash: sha1:32925d00a902517f3db352689fc59b72d2e5e8d1
--! Message: identity and permissions

---- identity and permissions ----

grant usage on schema app_public, app_hidden to tallystick_partner, tallystick_operator;

create type app_public.member_role as enum (
  'customer', 'teller', 'accountant', 'auditor', 'admin', 'partner', 'operator'
);
create type app_public.user_kind as enum ('person', 'service');
create type app_public.user_status as enum ('active', 'disabled');
create type app_public.tenant_status as enum ('active', 'suspended');
create type app_public.severity as enum ('info', 'notice', 'warning', 'critical');

alter table app_public.tenants
  add column status app_public.tenant_status not null default 'active',
  -- A session of one of these roles does nothing before its second factor.
  add column second_factor_roles app_public.member_role[] not null default '{}',
  add constraint tenants_second_factor_roles_are_of_people check (
    not second_factor_roles && '{partner,operator}'
    and array_position(second_factor_roles, null) is null
  );

-- People and services. They belong to no tenant: a membership ties them to one.
create table app_public.users (
  id uuid not null default uuidv7(),
  kind app_public.user_kind not null default 'person',
  name text not null,
  status app_public.user_status not null default 'active',
  created_at timestamptz not null default now(),
  disabled_at timestamptz,
  constraint users_pkey primary key (id),
  constraint users_name_is_1_to_200_characters check (length(name) between 1 and 200),
  constraint users_disabled_knows_since_when check ((status = 'disabled') = (disabled_at is not null))
);

create table app_public.memberships (
  tenant_id integer not null,
  user_id uuid not null,
  role app_public.member_role not null,
  status app_public.user_status not null default 'active',
  created_at timestamptz not null default now(),
  constraint memberships_pkey primary key (tenant_id, user_id),
  constraint memberships_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint memberships_user_id_fkey foreign key (user_id)
    references app_public.users on delete restrict,
  constraint memberships_role_is_of_a_tenant check (role <> 'operator')
);

create index memberships_user_id_idx on app_public.memberships (user_id);

-- Who runs the installation: makes and suspends tenants, and sees the books of none.
create table app_private.operators (
  user_id uuid not null,
  created_at timestamptz not null default now(),
  constraint operators_pkey primary key (user_id),
  constraint operators_user_id_fkey foreign key (user_id)
    references app_public.users on delete restrict
);

/*
 * Whoever acts does so in a session: a login, a command, an API key. Access tokens carry its id, and each
 * function that writes looks here, so that a revoked session moves no money however long its token lasts.
 */
create table app_private.sessions (
  id uuid not null default uuidv7(),
  tenant_id integer,
  user_id uuid not null,
  role app_public.member_role not null,
  kind text not null,
  -- Of the permissions of the role, only these; null = all of them.
  scopes text[],
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  revoked_because text,
  second_factor_at timestamptz,
  constraint sessions_pkey primary key (id),
  constraint sessions_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint sessions_user_id_fkey foreign key (user_id)
    references app_public.users on delete restrict,
  constraint sessions_operator_has_no_tenant check ((role = 'operator') = (tenant_id is null)),
  constraint sessions_kind_is_known check (kind in ('login', 'command', 'api_key')),
  constraint sessions_expires_after_created check (expires_at > created_at),
  constraint sessions_revoked_knows_why check ((revoked_at is null) = (revoked_because is null))
);

create index sessions_tenant_id_idx on app_private.sessions (tenant_id, user_id);
create index sessions_user_id_idx on app_private.sessions (user_id);

--------------------------------------------------------------------------------------------------
-- Permissions: what a role may ever be given is fixed here; what it has, each tenant decides within that.

create table app_public.permissions (
  permission text not null,
  description text not null,
  constraint permissions_pkey primary key (permission),
  constraint permissions_permission_is_a_dotted_name check (permission ~ '^[a-z_]+\.[a-z_]+$')
);

create table app_public.grantable_permissions (
  role app_public.member_role not null,
  permission text not null,
  by_default boolean not null,
  constraint grantable_permissions_pkey primary key (role, permission),
  constraint grantable_permissions_permission_fkey foreign key (permission)
    references app_public.permissions on delete restrict
);

create index grantable_permissions_permission_idx on app_public.grantable_permissions (permission);

create table app_public.role_permissions (
  tenant_id integer not null,
  role app_public.member_role not null,
  permission text not null,
  constraint role_permissions_pkey primary key (tenant_id, role, permission),
  constraint role_permissions_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint role_permissions_role_fkey foreign key (role, permission)
    references app_public.grantable_permissions on delete restrict
);

create index role_permissions_role_idx on app_public.role_permissions (role, permission);

-- From which sum of debits in a currency on a transaction needs a second person, or a second factor.
create table app_public.transaction_thresholds (
  tenant_id integer not null,
  currency text not null,
  approval_amount app_public.amount,
  second_factor_amount app_public.amount,
  constraint transaction_thresholds_pkey primary key (tenant_id, currency),
  constraint transaction_thresholds_currency_fkey foreign key (tenant_id, currency)
    references app_public.currencies on delete restrict,
  constraint transaction_thresholds_amounts_are_positive check (
    approval_amount > 0 and second_factor_amount > 0
  )
);

--------------------------------------------------------------------------------------------------
-- Security events

create table app_private.security_events (
  tenant_id integer,
  id uuid not null default uuidv7(),
  at timestamptz not null default clock_timestamp(),
  kind text not null,
  severity app_public.severity not null,
  user_id uuid,
  session_id uuid,
  address inet,
  request_id text,
  detail jsonb not null default '{}',
  constraint security_events_pkey primary key (id),
  constraint security_events_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict
);

create index security_events_tenant_id_idx on app_private.security_events (tenant_id, id);

-- Who acts, as authorize found out.
create type app_private.actor as (
  tenant_id integer,
  user_id uuid,
  session_id uuid,
  role app_public.member_role,
  second_factor_at timestamptz
);

-- In whose name the command line acts when nobody is named.
insert into app_public.users (id, kind, name)
values ('00000000-0000-7000-8000-000000000001', 'service', 'Command line');

--! Included errors/refusals.sql
/*
 * Every refusal that the ledger can answer. The second digit groups them: 1 shape, 2 balance,
 * 3 state, 4 access, 5 idempotency. A code never changes its meaning. docs/error_codes.md is
 * generated from these rows. Names follow TigerBeetle's where it has the same refusal.
 */
insert into app_public.refusals (code, name, message, hint, is_retryable) values
  ('LG101', 'invalid_amount',
    'An amount must be a whole number of minor units below 10^38.',
    'Send the amount in minor units, as a string of digits: 12.34 USD is "1234".', false),
  ('LG102', 'amount_must_be_positive',
    'The amount of a posting must be greater than zero.',
    'Swap the direction instead of the sign, and leave out postings of zero.', false),
  ('LG103', 'too_few_postings',
    'A transaction needs at least two postings.',
    'Name at least one debit and one credit.', false),
  ('LG104', 'incomplete_posting',
    'A posting needs an account, a direction and an amount.',
    'Fill in all three fields of every posting.', false),
  ('LG105', 'invalid_idempotency_key',
    'An idempotency key must have 1 to 255 characters.',
    'Use one fresh random value, such as a UUID, for each intended transaction.', false),
  ('LG106', 'invalid_description',
    'A description must have 1 to 1000 characters.',
    'Shorten it, leave it out, or put longer facts into the metadata.', false),
  ('LG107', 'invalid_metadata',
    'Metadata must be a JSON object of at most 16 KB.',
    'Keep references in the metadata and the documents elsewhere.', false),
  ('LG108', 'invalid_timeout',
    'A timeout must be between 1 second and 10 years, and only a pending transaction has one.',
    'Leave the timeout out, or set kind to PENDING.', false),
  ('LG109', 'invalid_effective_at',
    'The effective time must be a moment between the years 1 and 9999.',
    'Leave it out to mean now.', false),
  ('LG110', 'field_not_allowed',
    'A field was given that this kind of transaction does not take.',
    'See the description of TransactionInput for what each kind takes.', false),
  ('LG111', 'invalid_batch',
    'A batch must hold 1 to 10000 transactions with at most 100000 postings in all.',
    'Split it into several batches.', false),
  ('LG112', 'too_many_postings',
    'A transaction may have at most 10000 postings.',
    'Split it into several transactions.', false),
  ('LG113', 'missing_field',
    'A field that this kind of transaction needs is missing.',
    'See the description of TransactionInput for what each kind takes.', false),
  ('LG114', 'invalid_text',
    'A code or name is empty, too long, or holds characters that it may not hold.',
    'See the detail for the field and what it may hold.', false),
  ('LG115', 'invalid_limits',
    'The minimum balance of an account must not be above its maximum balance.',
    'Swap the two, or leave one of them out.', false),
  ('LG116', 'invalid_currency',
    'A currency needs a code of capitals and digits and an exponent from 0 to 18.',
    'Give the exponent of a currency that is not in ISO 4217.', false),
  ('LG130', 'invalid_period',
    'A period must start before it ends, and both must be moments.',
    'Swap the two, or give the end as the moment at which the next period starts.', false),

  ('LG201', 'unbalanced',
    'Debits and credits of a transaction must be equal in each currency.',
    'See the detail for the currency and the difference.', false),
  ('LG202', 'exceeds_minimum_balance',
    'The transaction would take an account below its minimum balance.',
    'Pending amounts count. See the detail for the account and by how much it falls short.', false),
  ('LG203', 'exceeds_maximum_balance',
    'The transaction would take an account above its maximum balance.',
    'Pending amounts count. See the detail for the account and by how much it goes over.', false),
  ('LG204', 'overflows_balance',
    'The transaction would take a counter of an account to 10^38 or above.',
    'Use another account, or a currency with a smaller exponent.', false),
  ('LG205', 'condition_not_met',
    'A condition that the caller asserted does not hold.',
    'Read the account again and decide anew. See the detail for what holds now.', false),
  ('LG206', 'exceeds_pending_transaction_amount',
    'More was to be posted than the pending transaction reserved.',
    'Post at most what each posting of the pending transaction reserved.', false),

  ('LG301', 'account_not_found',
    'There is no such account.',
    'Check the id. An account of other books is not found either.', false),
  ('LG302', 'account_frozen',
    'A frozen account takes no postings.',
    'Unfreeze the account first. Voids and expiries are taken all the same.', false),
  ('LG303', 'account_closed',
    'A closed account takes no postings.',
    'Use another account: closing is final.', false),
  ('LG304', 'pending_transaction_not_found',
    'There is no such pending transaction.',
    'Check the id.', false),
  ('LG305', 'pending_transaction_already_posted',
    'The pending transaction has been posted already.',
    'Nothing is left to do. To undo it, reverse the transaction that posted it.', false),
  ('LG306', 'pending_transaction_already_voided',
    'The pending transaction has been voided already.',
    'Nothing is left to do.', false),
  ('LG307', 'pending_transaction_expired',
    'The pending transaction has expired.',
    'Make a new one.', false),
  ('LG308', 'transaction_not_pending',
    'The transaction is not pending.',
    'Only a transaction of kind PENDING can be posted or voided.', false),
  ('LG309', 'period_closed',
    'The effective time lies in a closed accounting period.',
    'Use an effective time after the closed period.', false),
  ('LG310', 'transaction_not_found',
    'There is no such transaction.',
    'Check the id.', false),
  ('LG311', 'transaction_already_reversed',
    'The transaction has been reversed already.',
    'Nothing is left to do. To undo the reversal, reverse the transaction that reversed it.', false),
  ('LG312', 'transaction_not_reversible',
    'Only a transaction that has posted can be reversed.',
    'Void a pending transaction instead.', false),
  ('LG313', 'account_not_empty',
    'An account is closed only when nothing is on it and nothing is pending.',
    'Move the balance away and resolve what is pending.', false),
  ('LG314', 'account_code_taken',
    'There is an account with this code and currency already.',
    'Use the account that exists, or another code.', false),
  ('LG315', 'currency_not_found',
    'There is no such currency.',
    'Create the currency first, with its exponent. Those of ISO 4217 need no creating.', false),
  ('LG316', 'currency_exists',
    'There is a currency with this code already.',
    'Use it: the exponent of a currency never changes.', false),
  ('LG317', 'limits_already_exceeded',
    'The balance of the account is outside these limits already.',
    'Bring the balance inside the limits first. Pending amounts count.', false),
  ('LG318', 'tenant_slug_taken',
    'There is a tenant with this slug already.',
    'Use another slug.', false),
  ('LG319', 'history_is_immutable',
    'Transactions and postings are never changed or removed.',
    'Post a reversal instead.', false),
  ('LG320', 'inconsistent_posting',
    'A posting does not fit its transaction, its account or the posting before it.',
    'Post through the functions of the ledger: they keep the counters.', false),

  ('LG321', 'pending_transaction_not_expired',
    'The pending transaction has not expired yet.',
    'Void it, or wait until its time has passed.', false),
  ('LG330', 'period_not_found',
    'There is no such accounting period.',
    'Check the id.', false),
  ('LG331', 'period_already_closed',
    'The accounting period has been closed already.',
    'Nothing is left to do.', false),
  ('LG332', 'period_not_ended',
    'An accounting period is closed only when it has ended.',
    'Wait for its end. See the detail for when that is.', false),
  ('LG333', 'earlier_period_open',
    'An earlier accounting period is still open.',
    'Close the periods in their order. See the detail for the one to close first.', false),
  ('LG334', 'period_overlaps',
    'The accounting period overlaps another one.',
    'Let it start where the other one ends. See the detail for its name.', false),
  ('LG335', 'period_name_taken',
    'There is an accounting period with this name already.',
    'Use another name.', false),
  ('LG336', 'period_before_closed',
    'An accounting period cannot be opened before one that is closed.',
    'Open periods in their order. See the detail for the closed one.', false),
  ('LG337', 'retained_earnings_account_not_found',
    'There is no equity account with the code for retained earnings in a currency with income.',
    'Open an account of type equity with this code in the currency that the detail names.', false),

  ('LG401', 'not_signed_in',
    'There is no session, or it has ended.',
    'Sign in, and send the access token in the Authorization header.', false),
  ('LG402', 'forbidden',
    'The role of the request may not do this.',
    'Ask an admin of the tenant for the permission that the detail names, or sign in with a role that has it.', false),
  ('LG403', 'tenant_suspended',
    'The books are suspended: nothing is written to them.',
    'Ask the operator of the installation.', false),
  ('LG404', 'second_factor_required',
    'This role acts only after a second factor.',
    'Confirm the session with a one-time password, then send the same request again.', false),

  -- Requests that never reach a function of the ledger: src/graphql and src/http answer with these.
  ('LG140', 'invalid_exchange_rate',
    'A rate must be positive, with at most 18 decimals, between two currencies, and end after it begins.',
    'Give the worth of one major unit of the base currency in major units of the quote currency.', false),
  ('LG141', 'invalid_allocation',
    'Ratios must be finite, not negative, not more than 10000, and not all of them zero.',
    'Give each share a ratio of zero or more, one of them above zero.', false),
  ('LG160', 'invalid_value',
    'A value has a form that its field does not take.',
    'See the description of the field for what it takes.', false),
  ('LG161', 'page_too_large',
    'A page holds 0 to 100 rows.',
    'Ask for `first: 100` at most, and go on with `after: endCursor`.', false),
  ('LG162', 'query_too_deep',
    'The query is nested too deeply.',
    'Split it into several queries.', false),
  ('LG163', 'query_too_large',
    'The query asks for too much at once.',
    'Use fewer aliases, fields and directives, or split it into several queries.', false),
  ('LG164', 'body_too_large',
    'The body of the request is too large.',
    'Send large batches in several requests.', false),
  ('LG165', 'invalid_cursor',
    'The cursor does not belong to this list in this order.',
    'Pass `endCursor` of the page before, with the same `orderBy` and `filter`.', false),
  ('LG340', 'exchange_rate_not_found',
    'There is no exchange rate between these currencies for this time.',
    'Set a rate that is valid at the effective time of the conversion.', false),
  ('LG341', 'conversion_too_small',
    'The amount is worth less than half of the smallest unit of the other currency.',
    'Convert a larger amount.', false),
  ('LG342', 'exchange_rate_overlaps',
    'Another rate is valid during a part of this time.',
    'A rate without an end ends the one without an end before it; no other overlap is taken.', false),
  ('LG343', 'conversion_account_missing',
    'There is no trading or rounding account for this currency.',
    'Open an account with the code and the currency named in the detail.', false),
  ('LG344', 'accounts_not_convertible',
    'A conversion needs two accounts of different currencies with the same normal balance.',
    'Convert from one deposit to another, or from one asset to another.', false),
  ('LG350', 'account_is_immutable',
    'Code, currency, type, normal balance and parent of an account never change; none is removed.',
    'Open another account, and close this one.', false),
  ('LG351', 'account_set_not_found',
    'There is no such account set.',
    'Check the id.', false),
  ('LG352', 'account_set_code_taken',
    'There is an account set with this code already.',
    'Use the set that exists, or another code.', false),
  ('LG353', 'account_set_holds_itself',
    'An account set cannot hold itself, neither directly nor through other sets.',
    'Leave the set out, or take the other one out of it first.', false),
  ('LG360', 'conflict',
    'The request met another one on the same rows.',
    'Send the same request again.', true),
  ('LG361', 'timed_out',
    'The request took too long and was stopped; nothing was written.',
    'Ask for less at once.', false),
  ('LG362', 'inconsistent_change',
    'The change does not fit what is already there.',
    'Read it again and decide anew.', false),
  ('LG363', 'unavailable',
    'The ledger cannot be reached at this moment.',
    'Send the same request again in a little while.', true),
  ('LG460', 'invalid_token',
    'The token is not valid.',
    'Send `Authorization: Bearer <token>` with a token made for this ledger.', false),
  ('LG461', 'token_expired',
    'The token has expired.',
    'Ask for a new token.', false),
  ('LG462', 'too_many_requests',
    'Too many requests in too short a time.',
    'Wait for as many seconds as the header Retry-After says.', true),
  ('LG463', 'subscriptions_only',
    'Only subscriptions are taken over a web socket.',
    'Send queries and mutations as POST requests.', false),

  ('LG501', 'idempotency_key_conflict',
    'The idempotency key was used for another transaction.',
    'Use a fresh key for each intended transaction. See the detail for the first field that differs.', false),
  ('LG502', 'idempotency_key_in_use',
    'Another request is using the idempotency key at this moment.',
    'Send the same request again.', true)
on conflict (code) do update set
  name = excluded.name,
  message = excluded.message,
  hint = excluded.hint,
  is_retryable = excluded.is_retryable;
--! EndIncluded errors/refusals.sql
--! Included identity/current_context.sql
/*
 * Who is asking. The server sets these settings for each request from a verified token; nothing else
 * does. A setting reads as an empty string after the transaction that set it, hence the nullif.
 * No SET clause: the planner inlines them, and policies call them as (select …), once a query.
 */
create or replace function app_hidden.current_tenant_id()
returns integer
language sql
stable
parallel safe
as $$
  select nullif(current_setting('tallystick.tenant_id', true), '')::integer
$$;

create or replace function app_hidden.current_user_id()
returns uuid
language sql
stable
parallel safe
as $$
  select nullif(current_setting('tallystick.user_id', true), '')::uuid
$$;

-- The session that the access token or the API key names: see app_private.sessions.
create or replace function app_hidden.current_session_id()
returns uuid
language sql
stable
parallel safe
as $$
  select nullif(current_setting('tallystick.session_id', true), '')::uuid
$$;

/*
 * The tenant of the request, or the refusal LG401 where there is none. For functions that read; those that
 * write call authorize.
 */
create or replace function app_private.required_tenant_id()
returns integer
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if app_hidden.current_tenant_id() is null then
    perform app_private.refuse('LG401');
  end if;
  return app_hidden.current_tenant_id();
end
$$;

grant execute on function
  app_hidden.current_tenant_id(), app_hidden.current_user_id(), app_hidden.current_session_id()
to
  tallystick_anonymous, tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor,
  tallystick_admin, tallystick_partner, tallystick_operator, tallystick_worker;
--! EndIncluded identity/current_context.sql
--! Included identity/permissions.sql
/*
 * The permissions that there are; which role may ever be given each; whether a new tenant gives it. A role
 * of the database bounds them: a permission never allows what the role is not granted. A tenant that there
 * is already is given a new permission once, when it becomes grantable by default.
 */
insert into app_public.permissions (permission, description) values
  ('account_sets.manage', 'Make account sets and change what is in them.'),
  ('accounts.close', 'Close accounts.'),
  ('accounts.freeze', 'Freeze accounts.'),
  ('accounts.open', 'Open accounts.'),
  ('accounts.set_limits', 'Set the limits of accounts.'),
  ('accounts.unfreeze', 'Lift the freeze of accounts.'),
  ('accounts.update', 'Change names and metadata of accounts.'),
  ('currencies.create', 'Take up currencies.'),
  ('exchange_rates.set', 'Set exchange rates.'),
  ('ledger.rebuild', 'Rebuild balances from the postings.'),
  ('periods.manage', 'Open and close accounting periods.'),
  ('transactions.convert', 'Post conversions between currencies.'),
  ('transactions.post', 'Post transactions, and post or void pending ones.'),
  ('transactions.reverse', 'Reverse transactions.')
on conflict (permission) do update set description = excluded.description;

with grantable as (
  insert into app_public.grantable_permissions (role, permission, by_default) values
    ('accountant', 'account_sets.manage', true),
    ('admin', 'account_sets.manage', true),
    ('accountant', 'accounts.close', true),
    ('admin', 'accounts.close', true),
    ('teller', 'accounts.freeze', true),
    ('accountant', 'accounts.freeze', true),
    ('admin', 'accounts.freeze', true),
    ('teller', 'accounts.open', true),
    ('accountant', 'accounts.open', true),
    ('admin', 'accounts.open', true),
    ('partner', 'accounts.open', false),
    ('accountant', 'accounts.set_limits', true),
    ('admin', 'accounts.set_limits', true),
    ('accountant', 'accounts.unfreeze', true),
    ('admin', 'accounts.unfreeze', true),
    ('accountant', 'accounts.update', true),
    ('admin', 'accounts.update', true),
    ('accountant', 'currencies.create', true),
    ('admin', 'currencies.create', true),
    ('accountant', 'exchange_rates.set', true),
    ('admin', 'exchange_rates.set', true),
    ('admin', 'ledger.rebuild', true),
    ('accountant', 'periods.manage', true),
    ('admin', 'periods.manage', true),
    ('teller', 'transactions.convert', true),
    ('accountant', 'transactions.convert', true),
    ('admin', 'transactions.convert', true),
    ('partner', 'transactions.convert', false),
    ('teller', 'transactions.post', true),
    ('accountant', 'transactions.post', true),
    ('admin', 'transactions.post', true),
    ('partner', 'transactions.post', true),
    ('accountant', 'transactions.reverse', true),
    ('admin', 'transactions.reverse', true)
  on conflict (role, permission) do nothing
  returning role, permission, by_default
)
insert into app_public.role_permissions (tenant_id, role, permission)
select t.id, g.role, g.permission
from grantable g
cross join app_public.tenants t
where g.by_default and g.role <> 'operator'
on conflict do nothing;
--! EndIncluded identity/permissions.sql
--! Included audit/record_security_event.sql
/*
 * Record a security event, in the name of the request unless told otherwise. What is recorded inside a
 * database transaction that is rolled back is lost: events of raised refusals are recorded apart.
 */
create or replace function app_private.record_security_event(
  kind text,
  severity app_public.severity,
  detail jsonb default '{}',
  tenant_id integer default app_hidden.current_tenant_id(),
  user_id uuid default app_hidden.current_user_id()
)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into app_private.security_events (
    tenant_id, kind, severity, user_id, session_id, address, request_id, detail
  ) values (
    tenant_id, kind, severity, user_id, app_hidden.current_session_id(),
    nullif(current_setting('tallystick.address', true), '')::inet,
    nullif(current_setting('tallystick.request_id', true), ''), detail
  )
$$;
--! EndIncluded audit/record_security_event.sql
--! Included identity/authorize.sql
/*
 * Who acts, and that they may: the first thing that every function does that writes. The role of the
 * database is the outer wall (its grants), the permission the inner one.
 *
 * One query by primary keys, and volatile, so that it reads what has been committed up to now: a session
 * that was revoked, a tenant that was suspended and a permission that was taken away hold at once.
 */
create or replace function app_private.authorize(permission text)
returns app_private.actor
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor app_private.actor;
  v_fault text;
begin
  select
    s.tenant_id, s.user_id, s.id, s.role, s.second_factor_at,
    case
      when s.revoked_at is not null or s.expires_at <= now() then 'LG401'
      when t.status = 'suspended' then 'LG403'
      when p.permission is null or not authorize.permission = any (coalesce(s.scopes, array[p.permission]))
        then 'LG402'
      when s.second_factor_at is null and s.role = any (t.second_factor_roles) then 'LG404'
    end
  into v_actor.tenant_id, v_actor.user_id, v_actor.session_id, v_actor.role, v_actor.second_factor_at, v_fault
  from app_private.sessions s
  join app_public.tenants t on t.id = s.tenant_id
  left join app_public.role_permissions p
    on p.tenant_id = s.tenant_id and p.role = s.role and p.permission = authorize.permission
  where s.id = app_hidden.current_session_id()
    and s.tenant_id = app_hidden.current_tenant_id()
    and s.user_id = app_hidden.current_user_id();
  if not found then
    perform app_private.refuse('LG401');
  end if;
  if v_fault is not null then
    perform app_private.refuse(
      v_fault,
      case when v_fault = 'LG402' then jsonb_build_object('permission', permission) else '{}' end);
  end if;
  return v_actor;
end
$$;

/*
 * The same for those who run the installation: an operator has no tenant, and the permissions that the
 * role has by default.
 */
create or replace function app_private.authorize_operator(permission text)
returns app_private.actor
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor app_private.actor;
begin
  select null, s.user_id, s.id, s.role, s.second_factor_at
  into v_actor.tenant_id, v_actor.user_id, v_actor.session_id, v_actor.role, v_actor.second_factor_at
  from app_private.sessions s
  join app_private.operators o on o.user_id = s.user_id
  where s.id = app_hidden.current_session_id()
    and s.role = 'operator'
    and s.user_id = app_hidden.current_user_id()
    and s.revoked_at is null
    and s.expires_at > now();
  if not found then
    perform app_private.refuse('LG401');
  end if;
  if not exists (
    select
    from app_public.grantable_permissions g
    where g.role = 'operator' and g.permission = authorize_operator.permission and g.by_default
  ) then
    perform app_private.refuse('LG402', jsonb_build_object('permission', permission));
  end if;
  return v_actor;
end
$$;

/*
 * The ledger itself, where it acts on nobody's behalf: a job that expires what is due.
 */
create or replace function app_private.system_actor(tenant_id integer)
returns app_private.actor
language sql
immutable
as $$
  select row(tenant_id, null, null, null, null)::app_private.actor
$$;
--! EndIncluded identity/authorize.sql
--! Included identity/open_session.sql
/*
 * Open a session. Whoever calls this has made sure who it is for.
 */
create or replace function app_private.open_session(
  tenant_id integer,
  user_id uuid,
  role app_public.member_role,
  kind text,
  expires_at timestamptz,
  scopes text[] default null,
  second_factor_at timestamptz default null
)
returns uuid
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into app_private.sessions (tenant_id, user_id, role, kind, expires_at, scopes, second_factor_at)
  values (
    open_session.tenant_id, open_session.user_id, open_session.role, open_session.kind,
    open_session.expires_at, open_session.scopes, open_session.second_factor_at
  )
  returning id
$$;

/*
 * A session for a command of somebody who holds the owner's login. A user who is new to the ledger is
 * taken in as a service, with a membership of the role; no user means the command line itself.
 */
create or replace function app_private.open_command_session(
  tenant_id integer,
  user_id uuid,
  role app_public.member_role,
  expires_at timestamptz
)
returns table (session_id uuid, acting_user_id uuid)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_user_id constant uuid :=
    coalesce(open_command_session.user_id, '00000000-0000-7000-8000-000000000001');
begin
  insert into app_public.users (id, kind, name)
  values (v_user_id, 'service', 'Service ' || v_user_id)
  on conflict (id) do nothing;
  insert into app_public.memberships (tenant_id, user_id, role)
  values (open_command_session.tenant_id, v_user_id, open_command_session.role)
  on conflict on constraint memberships_pkey do nothing;
  return query
  select
    app_private.open_session(
      open_command_session.tenant_id, v_user_id, open_command_session.role, 'command',
      open_command_session.expires_at, null, now()),
    v_user_id;
end
$$;
--! EndIncluded identity/open_session.sql
--! Included identity/revoke_sessions.sql
/*
 * Sessions end with what they stand on: a user or a membership that is disabled, a role that changes, a
 * tenant that is suspended. So that authorize need not look further than the session.
 */
create or replace function app_private.revoke_sessions(
  because text,
  tenant_id integer default null,
  user_id uuid default null
)
returns integer
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  with revoked as (
    update app_private.sessions s
    set revoked_at = clock_timestamp(), revoked_because = because
    where s.revoked_at is null
      and (s.tenant_id = revoke_sessions.tenant_id or revoke_sessions.tenant_id is null)
      and (s.user_id = revoke_sessions.user_id or revoke_sessions.user_id is null)
      and coalesce(revoke_sessions.tenant_id::text, revoke_sessions.user_id::text) is not null
    returning 1
  )
  select count(*)::integer from revoked
$$;

create or replace function app_private.tg_users__revoke_sessions()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform app_private.revoke_sessions('user disabled', user_id => new.id);
  return null;
end
$$;

create or replace function app_private.tg_memberships__revoke_sessions()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform app_private.revoke_sessions('membership changed', old.tenant_id, old.user_id);
  return null;
end
$$;

create or replace trigger _500_revoke_sessions
  after update of status on app_public.users
  for each row when (old.status = 'active' and new.status = 'disabled')
  execute function app_private.tg_users__revoke_sessions();

create or replace trigger _500_revoke_sessions
  after update of status, role on app_public.memberships
  for each row when ((old.status, old.role) is distinct from (new.status, new.role))
  execute function app_private.tg_memberships__revoke_sessions();
--! EndIncluded identity/revoke_sessions.sql
drop function app_private.post_batch(integer, uuid, app_public.transaction_input[], app_public.batch_mode, boolean);
drop function app_private.post_batch__attempt(
  integer, uuid, app_public.transaction_input[], app_public.batch_mode, boolean);
drop function app_private.close_period__post(integer, app_public.accounting_periods, text);
--! Included accounts/create_tenant.sql
/*
 * Create a tenant. Not exposed: an operator does this, with the command-line tool.
 */
create or replace function app_private.create_tenant(slug text, name text default null)
returns app_public.tenants
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant app_public.tenants;
begin
  if create_tenant.slug !~ '^[a-z][a-z0-9-]{1,62}$' then
    perform app_private.refuse('LG114', jsonb_build_object(
      'field', 'slug', 'rule', 'a lower-case letter, then 1 to 62 of a-z, 0-9 and -'));
  end if;
  insert into app_public.tenants (slug, name)
  values (create_tenant.slug, coalesce(create_tenant.name, create_tenant.slug))
  on conflict (slug) do nothing
  returning * into v_tenant;
  if not found then
    perform app_private.refuse('LG318', jsonb_build_object('slug', create_tenant.slug));
  end if;
  insert into app_public.role_permissions (tenant_id, role, permission)
  select v_tenant.id, g.role, g.permission
  from app_public.grantable_permissions g
  where g.by_default and g.role <> 'operator';
  return v_tenant;
end
$$;
--! EndIncluded accounts/create_tenant.sql
--! Included engine/post_batch__attempt.sql
/*
 * One attempt at a batch: the steps in their order. See post_batch.
 */
create or replace function app_private.post_batch__attempt(
  actor app_private.actor,
  items app_public.transaction_input[],
  mode app_public.batch_mode,
  may_expire boolean,
  is_approved boolean
)
returns app_public.transaction_result[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  tenant_id constant integer := actor.tenant_id;
  v_items app_private.batch_items;
  v_lines app_private.batch_lines;
  v_accounts app_private.batch_accounts;
  v_targets app_private.batch_targets;
  v_decision app_private.batch_decision;
  v_at timestamptz;
begin
  v_items := app_private.post_batch__read_items(items, may_expire);
  if v_items.has_references and cardinality(items) > 1 then
    v_items := app_private.post_batch__link_items(v_items);
  end if;
  v_lines := app_private.post_batch__read_lines(tenant_id, items, v_items.has_targets);
  if cardinality(v_lines.items) > 100000 then
    perform app_private.refuse('LG111', jsonb_build_object('postings', cardinality(v_lines.items)));
  end if;
  -- Shared by all batches; closing a period takes it exclusively, so that none slips into it.
  perform pg_advisory_xact_lock_shared(app_private.books_lock(tenant_id));
  v_accounts := app_private.post_batch__lock_accounts(tenant_id, v_lines.ids);
  v_at := clock_timestamp();
  if cardinality(v_accounts.ids) is distinct from cardinality(v_lines.ids) then
    v_lines := app_private.post_batch__forget_unknown(v_lines, v_accounts.ids);
  end if;
  if v_at >= any (v_accounts.next_expiry_at) then
    v_accounts := app_private.post_batch__expire(tenant_id, v_accounts, v_at);
  end if;
  if v_items.has_references then
    v_targets := app_private.post_batch__read_targets(tenant_id, v_items, v_at);
  end if;
  v_decision := app_private.post_batch__decide(tenant_id, v_at, v_items, v_lines, v_accounts, v_targets);

  -- All or nothing: the first refusal is raised, and nothing has been written.
  if mode = 'atomic' then
    for i in 1 .. cardinality(items) loop
      if v_decision.codes[i] is not null then
        perform app_private.refuse(
          v_decision.codes[i],
          -- What an earlier item of this batch would have become is no transaction.
          coalesce(v_decision.details[i], '{}')
            - case when v_targets.replayed_ids[i] is null and v_decision.codes[i] = 'LG501'
              then 'transactionId' else '' end
            || case when cardinality(items) > 1 then jsonb_build_object('item', i - 1) else '{}' end);
      end if;
    end loop;
  end if;

  if true = any (v_decision.is_accepted) then
    perform app_private.post_batch__write(tenant_id, actor.user_id, v_items, v_lines, v_decision);
  end if;
  return app_private.post_batch__results(tenant_id, v_lines, v_decision);
end
$$;
--! EndIncluded engine/post_batch__attempt.sql
--! Included engine/post_batch.sql
/*
 * The one write path: everything that moves money comes through here. See docs/ledger-model.md.
 *
 * Takes a batch, one transaction being a batch of one. Items succeed or are refused one by one
 * (independent), or all together (atomic: the first refusal is raised). The result of a batch is the
 * result of its items one at a time, in order.
 *
 * Steps: check the shape → read the lines → lock all accounts in one ordered statement → look up keys
 * and targets under the lock → decide in memory → write with one statement → answer.
 *
 * Not granted to anyone: the functions of app_public call it with the actor that authorize found.
 * is_approved: a second person has agreed, or the ledger itself posts; thresholds of approval are past.
 */
create or replace function app_private.post_batch(
  actor app_private.actor,
  items app_public.transaction_input[],
  mode app_public.batch_mode,
  may_expire boolean default false,
  is_approved boolean default false
)
returns app_public.transaction_result[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
-- One plan for every size of batch, by the indexes alone: what the steps look up is always found by key,
-- and a plan made while a table was small must not live on in a session.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
begin
  if coalesce(cardinality(items), 0) not between 1 and 10000 then
    perform app_private.refuse('LG111', jsonb_build_object('transactions', coalesce(cardinality(items), 0)));
  end if;
  -- One transaction without a key has nothing to try again, and is spared the savepoint.
  if cardinality(items) = 1 and (items[1]).idempotency_key is null then
    return app_private.post_batch__attempt(actor, items, mode, may_expire, is_approved);
  end if;
  for v_attempt in 1 .. 3 loop
    begin
      return app_private.post_batch__attempt(actor, items, mode, may_expire, is_approved);
    exception when unique_violation then
      -- Another batch has taken one of these keys, for other accounts, since we looked it up. It has
      -- committed by now, so the next attempt finds the key taken.
    end;
  end loop;
  perform app_private.refuse('LG502');
end
$$;
--! EndIncluded engine/post_batch.sql
--! Included ledger/void_pending_transaction.sql
/*
 * Void a pending transaction: release all that it reserved.
 */
create or replace function app_public.void_pending_transaction(
  pending_id uuid,
  idempotency_key text default null,
  description text default null,
  metadata jsonb default null
)
returns app_public.transaction_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return (app_private.post_batch(
    app_private.authorize('transactions.post'),
    array[row(
      'void_pending', null, idempotency_key, null, null, pending_id, null, description, metadata, null
    )::app_public.transaction_input],
    'atomic'))[1];
end
$$;

grant execute on function app_public.void_pending_transaction(uuid, text, text, jsonb) to
  tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.void_pending_transaction(uuid, text, text, jsonb) is $$
Voids a pending transaction: all that it reserved is released, nothing is posted.
$$;
--! EndIncluded ledger/void_pending_transaction.sql
--! Included ledger/post_pending_transaction.sql
/*
 * Post a pending transaction, wholly or in part.
 */
create or replace function app_public.post_pending_transaction(
  pending_id uuid,
  postings app_public.posting_input[] default null,
  idempotency_key text default null,
  effective_at timestamptz default null,
  description text default null,
  metadata jsonb default null
)
returns app_public.transaction_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return (app_private.post_batch(
    app_private.authorize('transactions.post'),
    array[row(
      'post_pending', postings, idempotency_key, effective_at, null, pending_id, null,
      description, metadata, null
    )::app_public.transaction_input],
    'atomic'))[1];
end
$$;

grant execute on function app_public.post_pending_transaction(
  uuid, app_public.posting_input[], text, timestamptz, text, jsonb
) to tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.post_pending_transaction(
  uuid, app_public.posting_input[], text, timestamptz, text, jsonb
) is $$
Posts a pending transaction. Without `postings` the whole of it; with them a part: each names a posting of
the pending transaction by account and direction, with the amount to post, at most what it reserved. What
is not posted is released.
$$;
--! EndIncluded ledger/post_pending_transaction.sql
--! Included ledger/reverse_transaction.sql
/*
 * Reverse a posted transaction: a new one with the directions swapped.
 */
create or replace function app_public.reverse_transaction(
  transaction_id uuid,
  idempotency_key text default null,
  effective_at timestamptz default null,
  description text default null,
  metadata jsonb default null
)
returns app_public.transaction_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return (app_private.post_batch(
    app_private.authorize('transactions.reverse'),
    array[row(
      'posted', null, idempotency_key, effective_at, null, null, transaction_id,
      description, metadata, null
    )::app_public.transaction_input],
    'atomic'))[1];
end
$$;

grant execute on function app_public.reverse_transaction(uuid, text, timestamptz, text, jsonb) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.reverse_transaction(uuid, text, timestamptz, text, jsonb) is $$
Reverses a posted transaction: a new transaction with the directions swapped, linked to the original. At
most once for each original. Effective now, unless `effectiveAt` says otherwise.
$$;
--! EndIncluded ledger/reverse_transaction.sql
--! Included ledger/post_transaction.sql
/*
 * Post one transaction. A refusal is raised.
 */
create or replace function app_public.post_transaction(transaction app_public.transaction_input)
returns app_public.transaction_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return (app_private.post_batch(
    app_private.authorize('transactions.post'), array[transaction], 'atomic'))[1];
end
$$;

grant execute on function app_public.post_transaction(app_public.transaction_input) to
  tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.post_transaction(app_public.transaction_input) is $$
Posts one transaction and answers with the balances that it left. A refusal is an error with a code of
class LG, and nothing is posted then. Give an idempotency key: the same request sent again then answers
with the original result, marked `isReplayed`.
$$;
--! EndIncluded ledger/post_transaction.sql
--! Included ledger/post_transactions.sql
/*
 * Post a batch of transactions.
 */
create or replace function app_public.post_transactions(
  transactions app_public.transaction_input[],
  mode app_public.batch_mode default 'independent'
)
returns app_public.transaction_result[]
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return app_private.post_batch(
    app_private.authorize('transactions.post'), transactions, coalesce(mode, 'independent'));
end
$$;

grant execute on function app_public.post_transactions(app_public.transaction_input[], app_public.batch_mode) to
  tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.post_transactions(app_public.transaction_input[], app_public.batch_mode) is $$
Posts up to 10,000 transactions in one go, as if one after the other, and answers with one result each,
in order. INDEPENDENT (the default): each is posted or refused by itself, a refusal being part of its
result. ATOMIC: all are posted, or the first refusal is an error, whose detail names the `item`.
$$;
--! EndIncluded ledger/post_transactions.sql
--! Included ledger/expire_pending.sql
/*
 * Release what has expired, for the worker: up to max_transactions of one tenant a call, so that no lock
 * is held longer than a batch takes. The task calls again until `expired` is zero.
 * Expiry itself needs no job: from its instant on a pending transaction can no longer be posted, and
 * limits and balances leave it out. This writes down the release, as a transaction of its own.
 *
 * Any number of workers may call it: a tenant that another one is at is left to it, and a transaction
 * that was resolved meanwhile is refused by the engine and counts as refused.
 */
create or replace function app_private.expire_pending(
  max_transactions integer,
  out tenant_id integer,
  out expired integer,
  out refused integer,
  out next_expiry_at timestamptz
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_due integer;
  v_items app_public.transaction_input[];
begin
  expired := 0;
  refused := 0;
  -- In no fixed order, so that a tenant whose batch is refused does not hold up the others for ever.
  for v_due in
    select t.id
    from app_public.tenants t
    where exists (
      select from app_private.open_reservations r where r.tenant_id = t.id and r.expires_at <= v_now
    )
    order by random()
  loop
    -- The upper half sets the key apart from other advisory locks.
    if pg_try_advisory_xact_lock((7153::bigint << 32) + v_due) then
      tenant_id := v_due;
      exit;
    end if;
  end loop;
  if tenant_id is not null then
    select array_agg(
      row('expire_pending', null, null, null, null, d.transaction_id, null, null, null, null)
        ::app_public.transaction_input
    )
    into v_items
    from (
      select r.transaction_id
      from app_private.open_reservations r
      where r.tenant_id = expire_pending.tenant_id and r.expires_at <= v_now
      group by r.transaction_id
      order by min(r.expires_at), r.transaction_id
      limit least(greatest(max_transactions, 1), 10000)
    ) d;
    select count(*) filter (where result.refusal is null), count(*) filter (where result.refusal is not null)
    into expired, refused
    from unnest(app_private.post_batch(
      app_private.system_actor(tenant_id), v_items, 'independent', may_expire => true)) as result;
  end if;
  select min(n.expires_at) into next_expiry_at
  from app_public.tenants t
  cross join lateral (
    select min(r.expires_at) as expires_at
    from app_private.open_reservations r
    where r.tenant_id = t.id and r.expires_at > v_now
  ) n;
end
$$;

grant execute on function app_private.expire_pending(integer) to tallystick_worker;
--! EndIncluded ledger/expire_pending.sql
--! Included periods/open_period.sql
/*
 * Open an accounting period. The exclusion constraint of the table decides what overlaps, also against a
 * period that somebody else is opening at this moment; what it was is found out afterwards.
 * A period before a closed one would be closed after it, and its year-end close would move again what
 * the later one moved: it is refused.
 */
create or replace function app_public.open_period(name text, starts_at timestamptz, ends_at timestamptz)
returns app_public.accounting_periods
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant_id constant integer := (app_private.authorize('periods.manage')).tenant_id;
  v_during tstzrange;
  v_period app_public.accounting_periods;
  v_other app_public.accounting_periods;
begin
  if length(open_period.name) between 1 and 100 is not true then
    perform app_private.refuse('LG114', jsonb_build_object('field', 'name', 'rule', '1 to 100 characters'));
  end if;
  if (isfinite(starts_at) and isfinite(ends_at) and starts_at < ends_at) is not true then
    perform app_private.refuse('LG130', jsonb_build_object('startsAt', starts_at, 'endsAt', ends_at));
  end if;
  v_during := tstzrange(starts_at, ends_at);
  -- Whoever closes a period holds this exclusively, so that none is opened before it meanwhile.
  perform pg_advisory_xact_lock_shared(app_private.books_lock(v_tenant_id));
  select p.* into v_other
  from app_public.accounting_periods p
  where p.tenant_id = v_tenant_id and p.closed_at is not null and p.during >> v_during
  order by p.during
  limit 1;
  if found then
    perform app_private.refuse('LG336', jsonb_build_object('period', v_other.name));
  end if;

  insert into app_public.accounting_periods (tenant_id, name, during)
  values (v_tenant_id, open_period.name, v_during)
  on conflict do nothing
  returning * into v_period;
  if not found then
    select p.* into v_other
    from app_public.accounting_periods p
    where p.tenant_id = v_tenant_id and p.during && v_during
    order by p.during
    limit 1;
    if found then
      perform app_private.refuse('LG334', jsonb_build_object('period', v_other.name));
    end if;
    perform app_private.refuse('LG335', jsonb_build_object('period', open_period.name));
  end if;
  return v_period;
end
$$;

grant execute on function app_public.open_period(text, timestamptz, timestamptz) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.open_period(text, timestamptz, timestamptz) is $$
Opens an accounting period from `startsAt` until before `endsAt`. Periods do not overlap, and none is opened
before a closed one. A period changes nothing until it is closed.
$$;
--! EndIncluded periods/open_period.sql
--! Included periods/close_period.sql
/*
 * Close an accounting period: from here on nothing is posted into it (LG309). The lock on the books waits
 * for what is being posted and holds off what comes next, so nothing slips in between.
 *
 * Refuses in this order: unknown (LG330), closed already (LG331), not ended yet (LG332), an earlier one
 * open (LG333), no retained earnings account for a currency (LG337), and whatever refuses the entries.
 */
create or replace function app_public.close_period(
  period_id uuid,
  retained_earnings_code text default null
)
returns app_public.accounting_periods
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_actor constant app_private.actor := app_private.authorize('periods.manage');
  v_tenant_id constant integer := v_actor.tenant_id;
  v_period app_public.accounting_periods;
  v_earlier text;
begin
  perform pg_advisory_xact_lock(app_private.books_lock(v_tenant_id));
  select * into v_period
  from app_public.accounting_periods p
  where p.tenant_id = v_tenant_id and p.id = close_period.period_id;
  if not found then
    perform app_private.refuse('LG330', jsonb_build_object('periodId', close_period.period_id));
  elsif v_period.closed_at is not null then
    perform app_private.refuse('LG331', jsonb_build_object(
      'period', v_period.name, 'closedAt', v_period.closed_at));
  elsif upper(v_period.during) > clock_timestamp() then
    perform app_private.refuse('LG332', jsonb_build_object(
      'period', v_period.name, 'endsAt', upper(v_period.during)));
  end if;
  select p.name into v_earlier
  from app_public.accounting_periods p
  where p.tenant_id = v_tenant_id and p.closed_at is null and p.during << v_period.during
  order by p.during
  limit 1;
  if found then
    perform app_private.refuse('LG333', jsonb_build_object(
      'period', v_period.name, 'earlierPeriod', v_earlier));
  end if;

  if retained_earnings_code is not null then
    perform app_private.close_period__post(v_actor, v_period, retained_earnings_code);
  end if;
  update app_public.accounting_periods p
  set closed_at = clock_timestamp(), closed_by = v_actor.user_id
  where p.tenant_id = v_tenant_id and p.id = v_period.id
  returning * into v_period;
  return v_period;
end
$$;

/*
 * Post the entries of a year-end close, and record them as such.
 */
create or replace function app_private.close_period__post(
  actor app_private.actor,
  period app_public.accounting_periods,
  retained_earnings_code text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_entries constant app_public.transaction_input[] := app_private.close_period__entries(
    actor.tenant_id, period.name, upper(period.during), retained_earnings_code);
  v_results app_public.transaction_result[];
  v_currency text;
begin
  if v_entries is null then
    return;
  end if;
  select b.currency into v_currency
  from unnest(v_entries) e
  cross join lateral unnest(e.postings) p
  join app_public.account_balances b
    on b.tenant_id = actor.tenant_id and b.account_id = (e.postings[1]).account_id
  where p.account_id is null
  order by b.currency
  limit 1;
  if found then
    perform app_private.refuse('LG337', jsonb_build_object(
      'code', retained_earnings_code, 'currency', v_currency));
  end if;

  v_results := app_private.post_batch(actor, v_entries, 'atomic', is_approved => true);
  insert into app_public.closing_transactions (tenant_id, transaction_id, period_id)
  select actor.tenant_id, r.transaction_id, period.id
  from unnest(v_results) r;
end
$$;

grant execute on function app_public.close_period(uuid, text) to tallystick_accountant, tallystick_admin;

comment on function app_public.close_period(uuid, text) is $$
Closes an accounting period: nothing more can be posted into it. It must have ended, and the periods before it
must be closed. With `retainedEarningsCode`, the code of an equity account in each currency concerned, it
first moves the balances of revenue and expense to that account, effective at the last microsecond of the
period: the year-end close. It is final.
$$;
--! EndIncluded periods/close_period.sql
--! Included fx/post_conversion.sql
/*
 * Convert: take an amount from an account and give its worth in another currency to another account, in
 * one transaction, through the trading accounts of both currencies. See docs/decisions/0004-conversions.md.
 *
 * Rounding leaves a residue below one unit. It is carried, exactly, per rounding account, and as soon as
 * a whole unit has come together it is posted there, within the conversion that completes it.
 */
create or replace function app_public.post_conversion(
  from_account_id uuid,
  to_account_id uuid,
  amount app_public.amount,
  trading_code text,
  rounding_code text,
  idempotency_key text default null,
  effective_at timestamptz default null,
  description text default null,
  metadata jsonb default null
)
returns app_public.transaction_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor constant app_private.actor := app_private.authorize('transactions.convert');
  v_tenant_id constant integer := v_actor.tenant_id;
  v_plan app_private.conversion_plan;
  v_result app_public.transaction_result;
begin
  if amount is null or amount <= 0 then
    perform app_private.refuse('LG102');
  end if;
  v_plan := app_private.post_conversion__plan(
    v_tenant_id, from_account_id, to_account_id, amount, trading_code, rounding_code,
    idempotency_key, coalesce(effective_at, now()));

  v_result := (app_private.post_batch(
    v_actor,
    array[row(
      'posted', v_plan.postings, idempotency_key, effective_at, null, null, null, description, metadata, null
    )::app_public.transaction_input],
    'atomic'))[1];

  if not v_result.is_replayed then
    insert into app_public.conversions (
      tenant_id, transaction_id, sold_currency, bought_currency, from_account_id, to_account_id,
      rounding_account_id, rate, sold_amount, bought_amount, exact_amount, residue,
      rounding_amount, carried_residue
    ) values (
      v_tenant_id, v_result.transaction_id, v_plan.sold_currency, (v_plan.bought).currency,
      from_account_id, to_account_id, v_plan.rounding_account_id, (v_plan.bought).rate, amount,
      (v_plan.bought).amount, (v_plan.bought).exact_amount, (v_plan.bought).residue,
      v_plan.rounding_amount, v_plan.carried_residue
    );
    update app_private.carried_residues r set residue = v_plan.carried_residue
    where r.tenant_id = v_tenant_id and r.account_id = v_plan.rounding_account_id;
  end if;
  return v_result;
end
$$;

grant execute on function app_public.post_conversion(
  uuid, uuid, app_public.amount, text, text, text, timestamptz, text, jsonb
) to tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.post_conversion(
  uuid, uuid, app_public.amount, text, text, text, timestamptz, text, jsonb
) is $$
Converts: takes `amount` from one account and gives its worth in another currency to another account, at the
exchange rate of the effective time, in one transaction. Both accounts must have the same normal balance.
The other sides are the trading accounts: the accounts with the code `tradingCode`, one in each currency.
What rounding leaves is kept exactly and goes to the account `roundingCode` of the currency that is bought,
as soon as it makes a whole minor unit: a conversion neither makes nor loses money. The same idempotency
key answers with the original, even if the rate has changed since.
$$;
--! EndIncluded fx/post_conversion.sql
--! Included fx/set_exchange_rate.sql
/*
 * Set a rate for a time. A new rate without an end ends the one without an end before it; any other
 * overlap is refused, by the temporal constraint of the table.
 */
create or replace function app_public.set_exchange_rate(
  base_currency text,
  quote_currency text,
  rate numeric,
  valid_from timestamptz default null,
  valid_to timestamptz default null
)
returns app_public.exchange_rates
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant_id constant integer := (app_private.authorize('exchange_rates.set')).tenant_id;
  v_from constant timestamptz := coalesce(set_exchange_rate.valid_from, now());
  v_rate app_public.exchange_rates;
begin
  -- Compared this way round, NaN and infinity are refused too.
  if not (set_exchange_rate.rate > 0 and set_exchange_rate.rate < 1e20)
    or scale(trim_scale(set_exchange_rate.rate)) > 18
    or set_exchange_rate.base_currency = set_exchange_rate.quote_currency
    or not isfinite(v_from) or not isfinite(set_exchange_rate.valid_to)
    or set_exchange_rate.valid_to <= v_from
  then
    perform app_private.refuse('LG140');
  end if;
  perform app_private.ensure_currency(v_tenant_id, set_exchange_rate.base_currency);
  perform app_private.ensure_currency(v_tenant_id, set_exchange_rate.quote_currency);

  if set_exchange_rate.valid_to is null then
    update app_public.exchange_rates r set during = tstzrange(lower(r.during), v_from)
    where r.tenant_id = v_tenant_id
      and r.base_currency = set_exchange_rate.base_currency
      and r.quote_currency = set_exchange_rate.quote_currency
      and upper_inf(r.during) and lower(r.during) < v_from;
  end if;
  insert into app_public.exchange_rates (
    tenant_id, base_currency, quote_currency, rate, during, created_by
  ) values (
    v_tenant_id, set_exchange_rate.base_currency, set_exchange_rate.quote_currency,
    trim_scale(set_exchange_rate.rate), tstzrange(v_from, set_exchange_rate.valid_to),
    app_hidden.current_user_id()
  )
  returning * into v_rate;
  return v_rate;
exception when exclusion_violation then
  perform app_private.refuse('LG342', jsonb_build_object(
    'baseCurrency', set_exchange_rate.base_currency, 'quoteCurrency', set_exchange_rate.quote_currency,
    'validFrom', v_from));
end
$$;

grant execute on function app_public.set_exchange_rate(text, text, numeric, timestamptz, timestamptz) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.set_exchange_rate(text, text, numeric, timestamptz, timestamptz) is $$
Sets an exchange rate: what one major unit of the base currency is worth in major units of the quote
currency, with at most 18 decimals, from `validFrom` (now, if left out) until `validTo` (open). A rate
without an end ends the one without an end before it. Rates of two currencies never overlap in time.
$$;
--! EndIncluded fx/set_exchange_rate.sql
--! Included accounts/open_account.sql
/*
 * Open an account. The normal balance follows from the type, unless the account is a contra account.
 */
create or replace function app_public.open_account(
  code text,
  name text,
  type app_public.account_type,
  currency text,
  normal_balance app_public.direction default null,
  parent_id uuid default null,
  owner_id uuid default null,
  minimum_balance app_public.amount default null,
  maximum_balance app_public.amount default null,
  metadata jsonb default null
)
returns app_public.accounts
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant_id constant integer := (app_private.authorize('accounts.open')).tenant_id;
  v_account app_public.accounts;
begin
  if length(open_account.code) not between 1 and 200
    or open_account.code ~ '[[:cntrl:]]' or open_account.code <> btrim(open_account.code)
  then
    perform app_private.refuse('LG114', jsonb_build_object(
      'field', 'code', 'rule', '1 to 200 printable characters, no blank at either end'));
  end if;
  if length(open_account.name) not between 1 and 200 then
    perform app_private.refuse('LG114', jsonb_build_object('field', 'name', 'rule', '1 to 200 characters'));
  end if;
  if jsonb_typeof(open_account.metadata) <> 'object' or octet_length(open_account.metadata::text) > 16384 then
    perform app_private.refuse('LG107');
  end if;
  if open_account.minimum_balance > open_account.maximum_balance then
    perform app_private.refuse('LG115');
  end if;
  if open_account.minimum_balance > 0 or open_account.maximum_balance < 0 then
    perform app_private.refuse('LG317', jsonb_build_object('available', '0'));
  end if;
  if open_account.parent_id is not null and not exists (
    select from app_public.accounts a where a.tenant_id = v_tenant_id and a.id = open_account.parent_id
  ) then
    perform app_private.refuse('LG301', jsonb_build_object('accountId', open_account.parent_id));
  end if;
  perform app_private.ensure_currency(v_tenant_id, open_account.currency);

  insert into app_public.accounts (
    tenant_id, code, currency, name, type, normal_balance, minimum_balance, maximum_balance,
    parent_id, owner_id, metadata
  ) values (
    v_tenant_id, open_account.code, open_account.currency, open_account.name, open_account.type,
    coalesce(
      open_account.normal_balance,
      case when open_account.type in ('asset', 'expense') then 'debit' else 'credit' end::app_public.direction
    ),
    open_account.minimum_balance, open_account.maximum_balance, open_account.parent_id,
    open_account.owner_id, coalesce(open_account.metadata, '{}')
  )
  on conflict on constraint accounts_code_key do nothing
  returning * into v_account;
  if not found then
    perform app_private.refuse('LG314', jsonb_build_object(
      'code', open_account.code, 'currency', open_account.currency));
  end if;
  return v_account;
end
$$;

grant execute on function app_public.open_account(
  text, text, app_public.account_type, text, app_public.direction, uuid, uuid,
  app_public.amount, app_public.amount, jsonb
) to tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.open_account(
  text, text, app_public.account_type, text, app_public.direction, uuid, uuid,
  app_public.amount, app_public.amount, jsonb
) is $$
Opens an account of one currency. The code is unique per currency. A currency of ISO 4217 is taken up by
itself; another must have been created. Debit is the normal balance of assets and expenses, credit that of
the others; `normalBalance` overrides it for a contra account. Limits are in minor units; none means none.
$$;
--! EndIncluded accounts/open_account.sql
--! Included accounts/update_account.sql
/*
 * Change what may change about an account: its name and its metadata.
 */
create or replace function app_public.update_account(
  id uuid,
  name text default null,
  metadata jsonb default null
)
returns app_public.accounts
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := (app_private.authorize('accounts.update')).tenant_id;
  v_account app_public.accounts;
begin
  if length(update_account.name) not between 1 and 200 then
    perform app_private.refuse('LG114', jsonb_build_object('field', 'name', 'rule', '1 to 200 characters'));
  end if;
  if jsonb_typeof(update_account.metadata) <> 'object'
    or octet_length(update_account.metadata::text) > 16384
  then
    perform app_private.refuse('LG107');
  end if;
  update app_public.accounts a set
    name = coalesce(update_account.name, a.name),
    metadata = coalesce(update_account.metadata, a.metadata)
  where a.tenant_id = v_tenant_id and a.id = update_account.id
  returning a.* into v_account;
  if not found then
    perform app_private.refuse('LG301', jsonb_build_object('accountId', update_account.id));
  end if;
  return v_account;
end
$$;

grant execute on function app_public.update_account(uuid, text, jsonb) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.update_account(uuid, text, jsonb) is $$
Changes the name and the metadata of an account; what is left out stays. The metadata is replaced as a
whole. Code, currency, type, normal balance and parent never change.
$$;
--! EndIncluded accounts/update_account.sql
--! Included accounts/freeze_account.sql
/*
 * Freeze an account. Whoever is posting to it at this moment is waited for; whoever posts next is refused.
 */
create or replace function app_public.freeze_account(id uuid)
returns app_public.accounts
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select s.*
  from app_private.authorize('accounts.freeze') a
  cross join lateral app_private.set_account_status(a.tenant_id, freeze_account.id, 'frozen') s
$$;

grant execute on function app_public.freeze_account(uuid) to
  tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.freeze_account(uuid) is $$
Freezes an account: from now on it takes no postings, except those that release what is pending (a void,
an expiry). Freezing a frozen account changes nothing. A closed one is refused.
$$;
--! EndIncluded accounts/freeze_account.sql
--! Included accounts/unfreeze_account.sql
/*
 * Let a frozen account take postings again.
 */
create or replace function app_public.unfreeze_account(id uuid)
returns app_public.accounts
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select s.*
  from app_private.authorize('accounts.unfreeze') a
  cross join lateral app_private.set_account_status(a.tenant_id, unfreeze_account.id, 'open') s
$$;

grant execute on function app_public.unfreeze_account(uuid) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.unfreeze_account(uuid) is $$
Opens a frozen account again. An open account stays as it is. A closed one is refused: closing is final.
$$;
--! EndIncluded accounts/unfreeze_account.sql
--! Included accounts/close_account.sql
/*
 * Close an account for good.
 */
create or replace function app_public.close_account(id uuid)
returns app_public.accounts
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select s.*
  from app_private.authorize('accounts.close') a
  cross join lateral app_private.set_account_status(a.tenant_id, close_account.id, 'closed') s
$$;

grant execute on function app_public.close_account(uuid) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.close_account(uuid) is $$
Closes an account for good. Its posted balance must be zero and nothing may be pending on it. Its history
stays, and so does its code. Closing a closed account changes nothing.
$$;
--! EndIncluded accounts/close_account.sql
--! Included accounts/set_account_limits.sql
/*
 * Set both limits of an account. They are checked here against the balance under the lock, and again by
 * the constraints of account_balances, which the mirror trigger meets.
 */
create or replace function app_public.set_account_limits(
  id uuid,
  minimum_balance app_public.amount default null,
  maximum_balance app_public.amount default null
)
returns app_public.accounts
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := (app_private.authorize('accounts.set_limits')).tenant_id;
  v_balance app_public.account_balances;
  v_account app_public.accounts;
  v_available numeric;
  v_highest numeric;
begin
  if set_account_limits.minimum_balance > set_account_limits.maximum_balance then
    perform app_private.refuse('LG115');
  end if;
  v_balance := app_private.lock_account(v_tenant_id, set_account_limits.id);
  if v_balance.status = 'closed' then
    perform app_private.refuse('LG303', jsonb_build_object('accountId', set_account_limits.id));
  end if;
  if v_balance.normal_balance = 'debit' then
    v_available := v_balance.posted_debits::numeric - v_balance.posted_credits
      - v_balance.pending_credits + v_balance.expired_credits;
    v_highest := v_balance.posted_debits::numeric - v_balance.posted_credits
      + v_balance.pending_debits - v_balance.expired_debits;
  else
    v_available := v_balance.posted_credits::numeric - v_balance.posted_debits
      - v_balance.pending_debits + v_balance.expired_debits;
    v_highest := v_balance.posted_credits::numeric - v_balance.posted_debits
      + v_balance.pending_credits - v_balance.expired_credits;
  end if;
  if v_available < set_account_limits.minimum_balance or v_highest > set_account_limits.maximum_balance then
    perform app_private.refuse('LG317', jsonb_build_object(
      'accountId', set_account_limits.id, 'available', v_available::text, 'highest', v_highest::text));
  end if;
  update app_public.accounts a set
    minimum_balance = set_account_limits.minimum_balance,
    maximum_balance = set_account_limits.maximum_balance
  where a.tenant_id = v_tenant_id and a.id = set_account_limits.id
  returning a.* into v_account;
  return v_account;
end
$$;

grant execute on function app_public.set_account_limits(uuid, app_public.amount, app_public.amount) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.set_account_limits(uuid, app_public.amount, app_public.amount) is $$
Sets both limits of an account, in minor units; a limit that is left out is taken away. The available
balance may not fall below the minimum, nor what is posted and pending rise above the maximum, pending
amounts counted. Refused where the balance of the moment is outside already.
$$;
--! EndIncluded accounts/set_account_limits.sql
--! Included accounts/add_set_to_set.sql
/*
 * Nest one set in another.
 */
create or replace function app_public.add_set_to_set(account_set_id uuid, member_set_id uuid)
returns app_public.account_sets
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := (app_private.authorize('account_sets.manage')).tenant_id;
  v_set constant app_public.account_sets :=
    app_private.required_account_set(v_tenant_id, add_set_to_set.account_set_id);
begin
  perform app_private.required_account_set(v_tenant_id, add_set_to_set.member_set_id);
  if add_set_to_set.member_set_id = v_set.id then
    perform app_private.refuse('LG353', jsonb_build_object(
      'accountSetId', v_set.id, 'memberSetId', v_set.id));
  end if;
  insert into app_public.account_set_members (tenant_id, account_set_id, member_set_id)
  values (v_tenant_id, v_set.id, add_set_to_set.member_set_id)
  on conflict on constraint account_set_members_member_set_id_key do nothing;
  return v_set;
end
$$;

grant execute on function app_public.add_set_to_set(uuid, uuid) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.add_set_to_set(uuid, uuid) is $$
Puts an account set into another. No set may hold itself, neither directly nor through other sets.
$$;
--! EndIncluded accounts/add_set_to_set.sql
--! Included accounts/add_account_to_set.sql
/*
 * Put an account into a set.
 */
create or replace function app_public.add_account_to_set(account_set_id uuid, account_id uuid)
returns app_public.account_sets
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := (app_private.authorize('account_sets.manage')).tenant_id;
  v_set constant app_public.account_sets :=
    app_private.required_account_set(v_tenant_id, add_account_to_set.account_set_id);
begin
  if not exists (
    select from app_public.accounts a
    where a.tenant_id = v_tenant_id and a.id = add_account_to_set.account_id
  ) then
    perform app_private.refuse('LG301', jsonb_build_object('accountId', add_account_to_set.account_id));
  end if;
  insert into app_public.account_set_members (tenant_id, account_set_id, account_id)
  values (v_tenant_id, v_set.id, add_account_to_set.account_id)
  on conflict on constraint account_set_members_account_id_key do nothing;
  return v_set;
end
$$;

grant execute on function app_public.add_account_to_set(uuid, uuid) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.add_account_to_set(uuid, uuid) is $$
Puts an account into an account set. An account that is in it already stays.
$$;
--! EndIncluded accounts/add_account_to_set.sql
--! Included accounts/remove_account_from_set.sql
/*
 * Take an account out of a set.
 */
create or replace function app_public.remove_account_from_set(account_set_id uuid, account_id uuid)
returns app_public.account_sets
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := (app_private.authorize('account_sets.manage')).tenant_id;
  v_set constant app_public.account_sets :=
    app_private.required_account_set(v_tenant_id, remove_account_from_set.account_set_id);
begin
  delete from app_public.account_set_members m
  where m.tenant_id = v_tenant_id and m.account_set_id = v_set.id
    and m.account_id = remove_account_from_set.account_id;
  return v_set;
end
$$;

grant execute on function app_public.remove_account_from_set(uuid, uuid) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.remove_account_from_set(uuid, uuid) is $$
Takes an account out of an account set. An account that is not in it directly changes nothing.
$$;
--! EndIncluded accounts/remove_account_from_set.sql
--! Included accounts/remove_set_from_set.sql
/*
 * Take a set out of another.
 */
create or replace function app_public.remove_set_from_set(account_set_id uuid, member_set_id uuid)
returns app_public.account_sets
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := (app_private.authorize('account_sets.manage')).tenant_id;
  v_set constant app_public.account_sets :=
    app_private.required_account_set(v_tenant_id, remove_set_from_set.account_set_id);
begin
  delete from app_public.account_set_members m
  where m.tenant_id = v_tenant_id and m.account_set_id = v_set.id
    and m.member_set_id = remove_set_from_set.member_set_id;
  return v_set;
end
$$;

grant execute on function app_public.remove_set_from_set(uuid, uuid) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.remove_set_from_set(uuid, uuid) is $$
Takes an account set out of another. A set that is not in it directly changes nothing.
$$;
--! EndIncluded accounts/remove_set_from_set.sql
--! Included accounts/create_account_set.sql
/*
 * Create an account set.
 */
create or replace function app_public.create_account_set(code text, name text)
returns app_public.account_sets
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant_id constant integer := (app_private.authorize('account_sets.manage')).tenant_id;
  v_set app_public.account_sets;
begin
  if length(create_account_set.code) not between 1 and 200
    or create_account_set.code ~ '[[:cntrl:]]' or create_account_set.code <> btrim(create_account_set.code)
  then
    perform app_private.refuse('LG114', jsonb_build_object(
      'field', 'code', 'rule', '1 to 200 printable characters, no blank at either end'));
  end if;
  if length(create_account_set.name) not between 1 and 200 then
    perform app_private.refuse('LG114', jsonb_build_object('field', 'name', 'rule', '1 to 200 characters'));
  end if;
  insert into app_public.account_sets (tenant_id, code, name)
  values (v_tenant_id, create_account_set.code, create_account_set.name)
  on conflict on constraint account_sets_code_key do nothing
  returning * into v_set;
  if not found then
    perform app_private.refuse('LG352', jsonb_build_object('code', create_account_set.code));
  end if;
  return v_set;
end
$$;

grant execute on function app_public.create_account_set(text, text) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.create_account_set(text, text) is $$
Creates an account set: a named roll-up of accounts and of other sets. The code is unique.
$$;
--! EndIncluded accounts/create_account_set.sql
--! Included accounts/currencies.sql
/*
 * Make sure that a tenant has a currency: one of ISO 4217 is taken up, another must be there.
 */
create or replace function app_private.ensure_currency(tenant_id integer, code text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from app_public.currencies c
    where c.tenant_id = ensure_currency.tenant_id and c.code = ensure_currency.code
  ) then
    return;
  end if;
  insert into app_public.currencies (tenant_id, code, exponent, name)
  select ensure_currency.tenant_id, i.code, i.exponent, i.name
  from app_public.iso_currencies i where i.code = ensure_currency.code
  on conflict do nothing;
  if not found and not exists (
    select from app_public.iso_currencies i where i.code = ensure_currency.code
  ) then
    perform app_private.refuse('LG315', jsonb_build_object('currency', ensure_currency.code));
  end if;
end
$$;

/*
 * Create a currency of the tenant's own, or take one of ISO 4217 up by name.
 */
create or replace function app_public.create_currency(
  code text,
  exponent integer default null,
  name text default null
)
returns app_public.currencies
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant_id constant integer := (app_private.authorize('currencies.create')).tenant_id;
  v_iso app_public.iso_currencies;
  v_currency app_public.currencies;
begin
  select * into v_iso from app_public.iso_currencies i where i.code = create_currency.code;
  if create_currency.code !~ '^[A-Z][A-Z0-9._-]{0,23}$'
    or coalesce(create_currency.exponent, v_iso.exponent) is null
    or create_currency.exponent not between 0 and 18
    or length(create_currency.name) not between 1 and 200
  then
    perform app_private.refuse('LG116', jsonb_build_object('currency', left(create_currency.code, 60)));
  end if;
  insert into app_public.currencies (tenant_id, code, exponent, name)
  values (
    v_tenant_id, create_currency.code, coalesce(create_currency.exponent, v_iso.exponent),
    coalesce(create_currency.name, v_iso.name, create_currency.code)
  )
  on conflict do nothing
  returning * into v_currency;
  if not found then
    perform app_private.refuse('LG316', jsonb_build_object('currency', create_currency.code));
  end if;
  return v_currency;
end
$$;

grant execute on function app_public.create_currency(text, integer, text) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.create_currency(text, integer, text) is $$
Creates a currency. The exponent is the number of decimals of its major unit (USD 2, JPY 0, BTC 8) and
never changes; that of an ISO 4217 code may be left out.
$$;
--! EndIncluded accounts/currencies.sql
--! Included checks/rebuild_balances.sql
/*
 * Replay: recompute all balances from the postings, tell what differs, and put it right if asked. Nothing
 * is posted meanwhile: the books are locked as for closing a period. Postings are never touched; what
 * is wrong there is for verify_ledger to find.
 */
create or replace function app_public.rebuild_balances(repair boolean default false)
returns setof app_public.balance_difference
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := (app_private.authorize('ledger.rebuild')).tenant_id;
begin
  perform pg_advisory_xact_lock(app_private.books_lock(v_tenant_id));
  return query
    select
      coalesce(e.account_id, s.account_id), f.field, f.stored, f.recomputed, coalesce(repair, false)
    from app_private.recomputed_balances(v_tenant_id) e
    full join (
      select b.* from app_public.account_balances b where b.tenant_id = v_tenant_id
    ) s on s.account_id = e.account_id
    cross join lateral (values
      ('version', s.version::text, e.version::text),
      ('last_created_at', s.last_created_at::text, e.last_created_at::text),
      ('last_effective_at', s.last_effective_at::text, e.last_effective_at::text),
      ('posted_debits', s.posted_debits::text, e.posted_debits::text),
      ('posted_credits', s.posted_credits::text, e.posted_credits::text),
      ('pending_debits', s.pending_debits::text, e.pending_debits::text),
      ('pending_credits', s.pending_credits::text, e.pending_credits::text)
    ) as f (field, stored, recomputed)
    where f.stored is distinct from f.recomputed
    order by 1, 2;
  return query
    select
      coalesce(e.account_id, r.account_id), 'open_reservation',
      '-' || r.debits || ' +' || r.credits, '-' || e.debits || ' +' || e.credits, coalesce(repair, false)
    from app_private.recomputed_reservations(v_tenant_id) e
    full join (
      select o.* from app_private.open_reservations o where o.tenant_id = v_tenant_id
    ) r using (account_id, transaction_id, expires_at)
    where e.debits is distinct from r.debits::numeric or e.credits is distinct from r.credits::numeric
    order by 1, 3;
  if repair then
    perform app_private.rebuild_balances__repair(v_tenant_id);
  end if;
end
$$;

grant execute on function app_public.rebuild_balances(boolean) to tallystick_admin;

comment on function app_public.rebuild_balances(boolean) is $$
Recomputes every balance from the postings and answers with what differs, none of it in books that are in
order. With `repair` the balances are put right. Postings are not touched, and nothing is posted meanwhile.
$$;

comment on type app_public.balance_difference is $$
A value that is kept of an account and differs from what its postings add up to.
$$;
--! EndIncluded checks/rebuild_balances.sql
--! Included access/row_level_security.sql
/*
 * Row level security on every table, forced, so that it binds the owner too: a table that nobody thought
 * of shows nothing to anyone. The functions of the ledger run as the owner; for them owner_all opens the
 * table, and they filter by tenant themselves. A constant true costs nothing: the planner drops it.
 *
 * Forced row level security has two effects to know of: the owner cannot COPY into a table (insert, or
 * COPY into a temporary table), and a policy does not bind foreign keys, which PostgreSQL checks without.
 *
 * A loop, so that this file also covers a table that a later migration makes: it includes it again.
 */
do $$
declare
  v_table regclass;
begin
  for v_table in
    select c.oid
    from pg_catalog.pg_class c
    where c.relnamespace::regnamespace::text in ('app_public', 'app_hidden', 'app_private')
      and c.relkind in ('r', 'p')
  loop
    execute format('alter table %s enable row level security', v_table);
    execute format('alter table %s force row level security', v_table);
    execute format('drop policy if exists owner_all on %s', v_table);
    execute format(
      'create policy owner_all on %s to tallystick_owner using (true) with check (true)', v_table);
  end loop;
end
$$;
--! EndIncluded access/row_level_security.sql
--! Included access/identity.sql
/*
 * Who belongs to a tenant, and what its roles may do. A user is seen by themselves, and by the staff of
 * the tenants that they belong to.
 */
drop policy if exists select_own_membership on app_public.memberships;
create policy select_own_membership on app_public.memberships for select to
  tallystick_customer, tallystick_partner
  using (
    tenant_id = (select app_hidden.current_tenant_id()) and user_id = (select app_hidden.current_user_id())
  );

drop policy if exists select_staff on app_public.memberships;
create policy select_staff on app_public.memberships for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_public.memberships to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_partner;

drop policy if exists select_self on app_public.users;
create policy select_self on app_public.users for select to
  tallystick_customer, tallystick_partner, tallystick_operator
  using (id = (select app_hidden.current_user_id()));

-- The memberships in the subquery are those that the staff may see: their policy holds in here too.
drop policy if exists select_staff on app_public.users;
create policy select_staff on app_public.users for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (exists (
    select
    from app_public.memberships m
    where m.tenant_id = (select app_hidden.current_tenant_id()) and m.user_id = users.id
  ));

grant select on app_public.users to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_partner, tallystick_operator;

drop policy if exists select_signed_in on app_public.permissions;
create policy select_signed_in on app_public.permissions for select to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_partner, tallystick_operator
  using (true);

grant select on app_public.permissions to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_partner, tallystick_operator;

drop policy if exists select_signed_in on app_public.grantable_permissions;
create policy select_signed_in on app_public.grantable_permissions for select to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_partner, tallystick_operator
  using (true);

grant select on app_public.grantable_permissions to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_partner, tallystick_operator;

drop policy if exists select_signed_in on app_public.role_permissions;
create policy select_signed_in on app_public.role_permissions for select to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_partner
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_public.role_permissions to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_partner;

drop policy if exists select_staff on app_public.transaction_thresholds;
create policy select_staff on app_public.transaction_thresholds for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_public.transaction_thresholds to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded access/identity.sql
--! Included identity/comments.sql
/*
 * What GraphQL says about users, memberships and permissions.
 */
comment on type app_public.member_role is 'What somebody is to a tenant; an operator runs the installation.';
comment on type app_public.user_kind is 'Whether a user is a person or a program.';
comment on type app_public.user_status is 'Whether a user, or a membership, is in use.';
comment on type app_public.tenant_status is 'Whether books are written to.';
comment on type app_public.severity is 'How grave a security event is.';

comment on column app_public.tenants.status is 'A suspended tenant is read, but nothing is written to its books.';
comment on column app_public.tenants.second_factor_roles is
  'The roles whose sessions do nothing before a second factor.';

comment on table app_public.users is $$
Somebody who acts: a person or a service. A user may belong to several tenants, with another role in each.
$$;
comment on column app_public.users.id is 'The id of the user.';
comment on column app_public.users.kind is 'Whether the user is a person or a service.';
comment on column app_public.users.name is 'The name for people.';
comment on column app_public.users.status is 'A disabled user has no session and cannot sign in.';
comment on column app_public.users.created_at is 'When the user came to be.';
comment on column app_public.users.disabled_at is 'Since when the user has been disabled.';

comment on table app_public.memberships is $$
What a user is to these books: one role.
$$;
comment on column app_public.memberships.user_id is 'The id of the user.';
comment on column app_public.memberships.role is 'What the user is to these books.';
comment on column app_public.memberships.status is 'A disabled membership has no session and cannot sign in.';
comment on column app_public.memberships.created_at is 'When the user joined.';

comment on table app_public.permissions is $$
@behavior +query:resource:connection

Something that a role may be allowed to do.
$$;
comment on column app_public.permissions.permission is 'The name, such as `transactions.post`.';
comment on column app_public.permissions.description is 'What it allows.';

comment on table app_public.grantable_permissions is $$
@behavior +query:resource:connection

What a role may ever be given, by any tenant.
$$;
comment on column app_public.grantable_permissions.role is 'The role.';
comment on column app_public.grantable_permissions.permission is 'The permission.';
comment on column app_public.grantable_permissions.by_default is 'Whether a new tenant gives it to the role.';

comment on table app_public.role_permissions is $$
@behavior +query:resource:connection

What a role may do in these books.
$$;
comment on column app_public.role_permissions.role is 'The role.';
comment on column app_public.role_permissions.permission is 'The permission.';

comment on table app_public.transaction_thresholds is $$
@behavior +query:resource:connection

From which amount on a transaction needs a second person, or a second factor: measured against the sum of
its debits in the currency.
$$;
comment on column app_public.transaction_thresholds.currency is 'The currency of the amounts.';
comment on column app_public.transaction_thresholds.approval_amount is
  'From this amount on, in minor units, another person must approve. None: nobody need.';
comment on column app_public.transaction_thresholds.second_factor_amount is
  'From this amount on, in minor units, a fresh second factor is needed. None: never.';

comment on constraint grantable_permissions_permission_fkey on app_public.grantable_permissions is '@behavior -*';
comment on constraint role_permissions_role_fkey on app_public.role_permissions is '@behavior -*';
comment on constraint transaction_thresholds_currency_fkey on app_public.transaction_thresholds is '@behavior -*';
--! EndIncluded identity/comments.sql
