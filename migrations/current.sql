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

--!include errors/refusals.sql
--!include identity/current_context.sql
--!include identity/permissions.sql
--!include audit/record_security_event.sql
--!include identity/authorize.sql
--!include identity/open_session.sql
--!include identity/revoke_sessions.sql
drop function app_private.post_batch(integer, uuid, app_public.transaction_input[], app_public.batch_mode, boolean);
drop function app_private.post_batch__attempt(
  integer, uuid, app_public.transaction_input[], app_public.batch_mode, boolean);
drop function app_private.close_period__post(integer, app_public.accounting_periods, text);
--!include accounts/create_tenant.sql
--!include engine/post_batch__attempt.sql
--!include engine/post_batch.sql
--!include ledger/void_pending_transaction.sql
--!include ledger/post_pending_transaction.sql
--!include ledger/reverse_transaction.sql
--!include ledger/post_transaction.sql
--!include ledger/post_transactions.sql
--!include ledger/expire_pending.sql
--!include periods/open_period.sql
--!include periods/close_period.sql
--!include fx/post_conversion.sql
--!include fx/set_exchange_rate.sql
--!include accounts/open_account.sql
--!include accounts/update_account.sql
--!include accounts/freeze_account.sql
--!include accounts/unfreeze_account.sql
--!include accounts/close_account.sql
--!include accounts/set_account_limits.sql
--!include accounts/add_set_to_set.sql
--!include accounts/add_account_to_set.sql
--!include accounts/remove_account_from_set.sql
--!include accounts/remove_set_from_set.sql
--!include accounts/create_account_set.sql
--!include accounts/currencies.sql
--!include checks/rebuild_balances.sql
--!include access/row_level_security.sql
--!include access/identity.sql
--!include identity/comments.sql
