-- The migration being written. See migrations/README.md.
---- audit ----

create type app_public.audit_operation as enum (
  'insert', 'update', 'delete', 'truncate', 'refused', 'read'
);

/*
 * Who changed what, what was refused, and who read what is sensitive. Partitioned by month of `at`.
 * What belongs to no tenant has tenant_id 0: no tenant has that id, so no policy of a tenant shows it.
 *
 * Who acts is a matter of the defaults, so that no insert can forget or choose it. database_user is what
 * nobody can feign: where it is not the login of the API or of the worker, somebody was at the database,
 * and the settings of the request are what that somebody wrote into them.
 */
create table app_private.audit_entries (
  tenant_id integer not null,
  operation app_public.audit_operation not null,
  xact_id xid8 not null default pg_current_xact_id(),
  at timestamptz not null default clock_timestamp(),
  id uuid not null default uuidv7(),
  user_id uuid default app_hidden.current_user_id(),
  session_id uuid default app_hidden.current_session_id(),
  address inet default
    coalesce(nullif(current_setting('tallystick.address', true), '')::inet, inet_client_addr()),
  request_role text default nullif(current_setting('role', true), 'none'),
  request_id text default nullif(current_setting('tallystick.request_id', true), ''),
  database_user text not null default session_user,
  application_name text default nullif(current_setting('application_name', true), ''),
  table_name text,
  row_key text,
  action text,
  before jsonb,
  after jsonb,
  constraint audit_entries_pkey primary key (tenant_id, id, at),
  constraint audit_entries_names_a_table_unless_refused check (
    table_name is not null or operation = 'refused'
  )
) partition by range (at);

-- What seals the trail reads on in this order, below the horizon.
create index audit_entries_xact_id_idx on app_private.audit_entries (tenant_id, xact_id, id);
-- Pages by each filter, newest first.
create index audit_entries_table_name_idx on app_private.audit_entries (tenant_id, table_name, id);
create index audit_entries_row_key_idx on app_private.audit_entries (tenant_id, row_key, id);
create index audit_entries_user_id_idx on app_private.audit_entries (tenant_id, user_id, id);
-- By operation, those that are rare. Partial, because an enum is no index condition under row level security:
-- its operators are not leakproof.
create index audit_entries_refused_idx on app_private.audit_entries (tenant_id, id) where operation = 'refused';
create index audit_entries_read_idx on app_private.audit_entries (tenant_id, id) where operation = 'read';
create index audit_entries_delete_idx on app_private.audit_entries (tenant_id, id) where operation = 'delete';
create index audit_entries_truncate_idx on app_private.audit_entries (tenant_id, id) where operation = 'truncate';

-- Takes what no month does, so that no change ever fails for want of a partition. It should be empty.
create table app_private.audit_entries_default partition of app_private.audit_entries default;

-- For how many months the trail is kept; null = for ever. One row, written by the worker when it starts.
create table app_private.audit_retention (
  id boolean not null default true,
  months integer,
  constraint audit_retention_pkey primary key (id),
  constraint audit_retention_is_one_row check (id),
  constraint audit_retention_is_a_year_or_more check (months >= 12)
);

-- What was removed by that rule: a month of entries of a tenant.
create table app_private.audit_retirements (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  entries bigint not null,
  retained_months integer not null,
  retired_at timestamptz not null default now(),
  constraint audit_retirements_pkey primary key (tenant_id, id),
  constraint audit_retirements_starts_before_it_ends check (starts_at < ends_at)
);

-- Every kind of security event; a refusal of this code is one, too.
create table app_public.security_event_kinds (
  kind text not null,
  description text not null,
  is_for_operators boolean not null default false,
  refusal_code text,
  refusal_severity app_public.severity,
  constraint security_event_kinds_pkey primary key (kind),
  constraint security_event_kinds_refusal_code_key unique (refusal_code),
  constraint security_event_kinds_refusal_code_fkey foreign key (refusal_code)
    references app_public.refusals on delete restrict,
  constraint security_event_kinds_kind_is_lower_case_words check (kind ~ '^[a-z][a-z0-9_]{1,62}$'),
  constraint security_event_kinds_refusal_has_a_severity check (
    (refusal_code is null) = (refusal_severity is null)
  )
);

--!include audit/security_event_kinds.sql

alter table app_private.security_events
  add column xact_id xid8 not null default pg_current_xact_id(),
  add constraint security_events_kind_fkey foreign key (kind)
    references app_public.security_event_kinds on delete restrict;

create index security_events_kind_idx on app_private.security_events (kind, id);
create index security_events_xact_id_idx on app_private.security_events (xact_id, id);

-- How far the log of the server has told the security events.
create table app_private.security_event_cursor (
  id boolean not null default true,
  xact_id xid8 not null default '0',
  event_id uuid not null default '00000000-0000-0000-0000-000000000000',
  constraint security_event_cursor_pkey primary key (id),
  constraint security_event_cursor_is_one_row check (id)
);
insert into app_private.security_event_cursor default values;

--!include errors/refusals.sql
--!include identity/permissions.sql
--!include access/row_level_security.sql
--!include engine/post_batch__attempt.sql
--!include checks/audit_entries_without_partition.sql
--!include audit/append_only.sql
--!include audit/record_read.sql
--!include kyc/kyc_checks.sql
--!include kyc/record_sensitive_read.sql
--!include audit/record_refused_items.sql
--!include audit/record_refusals.sql
--!include audit/slug_of_tenant.sql
--!include audit/make_audit_partitions.sql
--!include audit/retire_audit_partitions.sql
--!include audit/take_security_events.sql
--!include audit/access.sql
--!include audit/audit_entries.sql
--!include audit/security_events.sql
--!include audit/exceptions.sql
--!include audit/redactions.sql
--!include audit/tg__audit.sql
--!include audit/triggers.sql

select app_private.make_audit_partitions();

---- every table of the above ----

--!include access/row_level_security.sql
--!include audit/triggers.sql
