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

---- field encryption ----

/*
 * A value that the server encrypted (src/crypto/fields.ts): version, length of the key id, key id, nonce
 * of 12 bytes, ciphertext, tag of 16 bytes. So a plaintext is not stored by mistake.
 */
create domain app_private.ciphertext as bytea
  constraint ciphertext_has_its_form check (
    octet_length(value) between 31 and 70000
    and get_byte(value, 0) = 1
    and get_byte(value, 1) between 1 and 32
    and octet_length(value) >= 30 + get_byte(value, 1)
  );

-- A keyed hash of a value (HMAC-SHA256), by which an encrypted one is looked up.
create domain app_private.blind_index as bytea
  constraint blind_index_has_32_bytes check (octet_length(value) = 32);

/*
 * Every column that holds ciphertexts, with the column that names a row within its tenant. The names are
 * part of what each ciphertext is bound to: who renames a table or column keeps the old name here.
 */
create table app_private.encrypted_columns (
  table_name text not null,
  column_name text not null,
  row_column text not null,
  constraint encrypted_columns_pkey primary key (table_name, column_name),
  constraint encrypted_columns_table_name_is_qualified check (table_name ~ '^[a-z_]+\.[a-z_]+$')
);

-- How to reach a user. Users belong to no tenant, so neither does this.
create table app_private.user_contacts (
  user_id uuid not null,
  email_ciphertext app_private.ciphertext,
  email_index app_private.blind_index,
  phone_ciphertext app_private.ciphertext,
  updated_at timestamptz not null default now(),
  constraint user_contacts_pkey primary key (user_id),
  constraint user_contacts_email_index_key unique (email_index),
  constraint user_contacts_user_id_fkey foreign key (user_id)
    references app_public.users on delete restrict,
  constraint user_contacts_email_has_its_index check ((email_ciphertext is null) = (email_index is null))
);

--------------------------------------------------------------------------------------------------
-- Customers: sensitive details, verification, and what a level allows

create type app_public.customer_detail as enum ('email', 'phone', 'bank_account', 'identity_document');
create type app_public.kyc_status as enum ('unverified', 'verified', 'rejected');
create type app_public.kyc_case_status as enum (
  'open', 'in_review', 'needs_information', 'approved', 'rejected'
);
create type app_public.kyc_evidence_kind as enum (
  'identity_document', 'proof_of_address', 'source_of_funds', 'selfie'
);
create type app_public.kyc_check_status as enum (
  'queued', 'submitted', 'passed', 'failed', 'needs_information'
);

create table app_hidden.customer_details (
  tenant_id integer not null,
  user_id uuid not null,
  email_ciphertext app_private.ciphertext,
  phone_ciphertext app_private.ciphertext,
  bank_account_ciphertext app_private.ciphertext,
  identity_document_ciphertext app_private.ciphertext,
  updated_at timestamptz not null default now(),
  updated_by uuid,
  constraint customer_details_pkey primary key (tenant_id, user_id),
  constraint customer_details_user_id_fkey foreign key (tenant_id, user_id)
    references app_public.memberships on delete restrict
);

-- Who has read sensitive data in full, and what for.
create table app_private.sensitive_reads (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  table_name text not null,
  row_key text not null,
  column_name text not null,
  purpose text not null,
  read_by uuid,
  session_id uuid,
  request_id text,
  created_at timestamptz not null default clock_timestamp(),
  constraint sensitive_reads_pkey primary key (tenant_id, id),
  constraint sensitive_reads_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict
);

create table app_public.kyc_profiles (
  tenant_id integer not null,
  user_id uuid not null,
  level smallint not null default 0,
  status app_public.kyc_status not null default 'unverified',
  expires_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint kyc_profiles_pkey primary key (tenant_id, user_id),
  constraint kyc_profiles_user_id_fkey foreign key (tenant_id, user_id)
    references app_public.memberships on delete restrict,
  constraint kyc_profiles_level_is_0_to_3 check (level between 0 and 3),
  constraint kyc_profiles_level_is_of_the_verified check ((status = 'verified') = (level > 0)),
  constraint kyc_profiles_verified_expires check ((status = 'verified') = (expires_at is not null))
);

create table app_public.kyc_cases (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  user_id uuid not null,
  requested_level smallint not null,
  status app_public.kyc_case_status not null default 'open',
  message text,
  opened_by uuid not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint kyc_cases_pkey primary key (tenant_id, id),
  -- What a decision repeats, so that a constraint there can keep apart who asks and who decides.
  constraint kyc_cases_people_key unique (tenant_id, id, user_id, opened_by),
  constraint kyc_cases_user_id_fkey foreign key (tenant_id, user_id)
    references app_public.memberships on delete restrict,
  constraint kyc_cases_requested_level_is_1_to_3 check (requested_level between 1 and 3),
  constraint kyc_cases_message_is_1_to_1000_characters check (length(message) between 1 and 1000)
);

create unique index kyc_cases_undecided_key
  on app_public.kyc_cases (tenant_id, user_id) where status in ('open', 'in_review', 'needs_information');
create index kyc_cases_user_id_idx on app_public.kyc_cases (tenant_id, user_id, id);
create index kyc_cases_status_idx on app_public.kyc_cases (tenant_id, status, id);

-- The moves that a case may make.
create table app_private.kyc_case_moves (
  from_status app_public.kyc_case_status not null,
  to_status app_public.kyc_case_status not null,
  constraint kyc_case_moves_pkey primary key (from_status, to_status)
);

-- References to documents, which are kept elsewhere.
create table app_public.kyc_evidence (
  tenant_id integer not null,
  id uuid not null,
  case_id uuid not null,
  kind app_public.kyc_evidence_kind not null,
  reference_ciphertext app_private.ciphertext not null,
  submitted_by uuid not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint kyc_evidence_pkey primary key (tenant_id, id),
  constraint kyc_evidence_case_id_fkey foreign key (tenant_id, case_id)
    references app_public.kyc_cases on delete restrict
);

create index kyc_evidence_case_id_idx on app_public.kyc_evidence (tenant_id, case_id, id);

-- What a provider was asked about a case, and what it found.
create table app_public.kyc_checks (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  case_id uuid not null,
  status app_public.kyc_check_status not null default 'queued',
  provider_reference text,
  finding text,
  attempts integer not null default 0,
  due_at timestamptz default now(),
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default now(),
  constraint kyc_checks_pkey primary key (tenant_id, id),
  constraint kyc_checks_case_id_fkey foreign key (tenant_id, case_id)
    references app_public.kyc_cases on delete restrict,
  constraint kyc_checks_waiting_is_due check ((status in ('queued', 'submitted')) = (due_at is not null)),
  constraint kyc_checks_submitted_has_reference check (status = 'queued' or provider_reference is not null),
  constraint kyc_checks_finding_is_1_to_1000_characters check (length(finding) between 1 and 1000)
);

create index kyc_checks_case_id_idx on app_public.kyc_checks (tenant_id, case_id, id);
create index kyc_checks_due_at_idx on app_public.kyc_checks (tenant_id, due_at) where due_at is not null;

-- Who decided what about a case, and why. Rows are only added.
create table app_public.kyc_decisions (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  case_id uuid not null,
  customer_id uuid not null,
  opened_by uuid not null,
  status app_public.kyc_case_status not null,
  level smallint,
  expires_at timestamptz,
  reason text not null,
  decided_by uuid not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint kyc_decisions_pkey primary key (tenant_id, id),
  constraint kyc_decisions_case_id_fkey foreign key (tenant_id, case_id, customer_id, opened_by)
    references app_public.kyc_cases (tenant_id, id, user_id, opened_by) on delete restrict,
  constraint kyc_decisions_status_is_a_decision check (status in ('needs_information', 'approved', 'rejected')),
  constraint kyc_decisions_approved_has_level check (
    (status = 'approved') = (level between 1 and 3 and expires_at is not null)
  ),
  constraint kyc_decisions_reason_is_1_to_1000_characters check (length(reason) between 1 and 1000),
  constraint kyc_decisions_decided_by_somebody_else check (decided_by not in (customer_id, opened_by))
);

create index kyc_decisions_case_id_idx on app_public.kyc_decisions (tenant_id, case_id, customer_id, opened_by);

-- What a customer of a level may have and move, for each account in a currency; null = no limit.
create table app_public.kyc_level_limits (
  tenant_id integer not null,
  level smallint not null,
  currency text not null,
  maximum_balance app_public.amount,
  maximum_transaction app_public.amount,
  maximum_out_per_day app_public.amount,
  maximum_out_per_month app_public.amount,
  updated_at timestamptz not null default now(),
  constraint kyc_level_limits_pkey primary key (tenant_id, level, currency),
  constraint kyc_level_limits_currency_fkey foreign key (tenant_id, currency)
    references app_public.currencies on delete restrict,
  constraint kyc_level_limits_level_is_0_to_3 check (level between 0 and 3),
  constraint kyc_level_limits_are_not_negative check (
    maximum_balance >= 0 and maximum_transaction >= 0
    and maximum_out_per_day >= 0 and maximum_out_per_month >= 0
  )
);

create index kyc_level_limits_currency_idx on app_public.kyc_level_limits (tenant_id, currency);

-- What had been posted out of an account when its current day and month began: derived from the postings,
-- and kept so that the limits of a level cost the posting one look, not a search.
create table app_private.outflow_windows (
  tenant_id integer not null,
  account_id uuid not null,
  day timestamptz not null,
  out_before_day app_public.amount not null,
  month timestamptz not null,
  out_before_month app_public.amount not null,
  constraint outflow_windows_pkey primary key (tenant_id, account_id),
  constraint outflow_windows_account_id_fkey foreign key (tenant_id, account_id)
    references app_public.accounts on delete restrict
) with (fillfactor = 70);

alter table app_public.tenants add column has_kyc_limits boolean not null default false;

--!include errors/refusals.sql
--!include identity/permissions.sql
--!include access/row_level_security.sql
--!include encryption/encrypted_columns.sql
--!include encryption/ciphertext_key_id.sql
--!include encryption/user_contacts.sql
--!include encryption/rotation.sql
--!include kyc/kyc_limits_flag.sql
--!include kyc/kyc_level_at.sql
--!include kyc/posted_out_before.sql
--!include kyc/begin_outflow_windows.sql
--!include kyc/velocity_ceilings.sql
--!include kyc/record_sensitive_read.sql
--!include kyc/open_kyc_case.sql
--!include kyc/kyc_evidence.sql
--!include kyc/kyc_case_moves.sql
--!include kyc/decide_kyc_case.sql
--!include kyc/customer_details.sql
--!include kyc/kyc_checks.sql
--!include kyc/set_kyc_level_limit.sql
--!include kyc/kyc_profiles_current_level.sql
--!include kyc/comments.sql
--!include access/kyc.sql
--!include checks/exceeded_kyc_limits.sql
--!include checks/outflow_windows_that_differ.sql
---- velocity ----
alter type app_private.actor add attribute has_kyc_limits boolean;
alter type app_private.batch_rules
  add attribute out_ceilings numeric[],
  add attribute maximum_outs numeric[],
  add attribute maximum_balances numeric[];
drop function app_private.post_batch__read_rules(app_private.actor, boolean, text[]);
--!include identity/authorize.sql
--!include engine/post_batch__read_rules.sql
--!include engine/post_batch__decide.sql
--!include engine/post_batch__attempt.sql

---- http ----

/*
 * Hits by rate limit, caller and window, counted by all processes of the API together. The key is a keyed
 * hash: neither addresses nor users can be read from it. Unlogged, because after a crash of the database
 * a count of the last minute is worth less than a write to disk at every request.
 */
create unlogged table app_private.rate_limit_counters (
  key bytea not null,
  window_number bigint not null,
  hits bigint not null,
  expires_at timestamptz not null,
  constraint rate_limit_counters_pkey primary key (key, window_number),
  constraint rate_limit_counters_key_is_a_hash check (octet_length(key) = 16),
  constraint rate_limit_counters_hits_are_positive check (hits > 0)
) with (fillfactor = 70);
create index rate_limit_counters_expires_at_idx on app_private.rate_limit_counters (expires_at);

--!include access/row_level_security.sql
--!include http/count_hits.sql
--!include http/remove_old_rate_limit_counters.sql
--!include errors/refusals.sql

---- every table of the above ----

--!include access/row_level_security.sql
--!include audit/triggers.sql
