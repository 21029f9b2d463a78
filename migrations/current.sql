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
-- The migration being written. See migrations/README.md.

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

---- API keys ----

create type app_public.api_key_status as enum ('active', 'expired', 'revoked');

-- A partner acts by API keys alone, and an API key is a partner's.
alter table app_private.sessions
  add constraint sessions_partner_acts_by_api_key check ((role = 'partner') = (kind = 'api_key'));

/*
 * What an API key is beside its session, which has the same id, and which knows its tenant, its user, its
 * scopes and its end. See docs/decisions/0010-partners.md.
 */
create table app_private.api_keys (
  tenant_id integer not null,
  id uuid not null,
  name text not null,
  -- Where requests may come from; null = anywhere.
  allowed_addresses cidr[],
  -- The accounts of this set, and of those in it, beside those that the user of the key owns.
  account_set_id uuid,
  created_at timestamptz not null default now(),
  created_by uuid not null,
  rotated_at timestamptz,
  constraint api_keys_pkey primary key (tenant_id, id),
  constraint api_keys_id_fkey foreign key (id) references app_private.sessions on delete restrict,
  constraint api_keys_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint api_keys_account_set_id_fkey foreign key (tenant_id, account_set_id)
    references app_public.account_sets on delete restrict,
  constraint api_keys_created_by_fkey foreign key (created_by)
    references app_public.users on delete restrict,
  constraint api_keys_name_is_1_to_200_characters check (length(name) between 1 and 200),
  constraint api_keys_allowed_addresses_are_1_to_100 check (
    cardinality(allowed_addresses) between 1 and 100 and array_position(allowed_addresses, null) is null
  )
);

create index api_keys_id_idx on app_private.api_keys (id);
create index api_keys_account_set_id_idx on app_private.api_keys (tenant_id, account_set_id)
  where account_set_id is not null;
create index api_keys_created_by_idx on app_private.api_keys (created_by);

-- The secrets that a key signs with: one, and for a while after a rotation the one before it.
create table app_private.api_key_secrets (
  tenant_id integer not null,
  id uuid not null,
  api_key_id uuid not null,
  secret_ciphertext app_private.ciphertext not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  constraint api_key_secrets_pkey primary key (tenant_id, id),
  constraint api_key_secrets_api_key_id_fkey foreign key (tenant_id, api_key_id)
    references app_private.api_keys on delete restrict
);

create index api_key_secrets_api_key_id_idx on app_private.api_key_secrets (tenant_id, api_key_id);

-- When a key was last used, to the minute: apart, because nobody decides it.
create table app_private.api_key_uses (
  tenant_id integer not null,
  api_key_id uuid not null,
  last_used_at timestamptz not null,
  constraint api_key_uses_pkey primary key (tenant_id, api_key_id),
  constraint api_key_uses_api_key_id_fkey foreign key (tenant_id, api_key_id)
    references app_private.api_keys on delete restrict
);

/*
 * The nonces of signed requests, for as long as their timestamps are taken: none is taken twice, whichever
 * process it reaches and whatever has been restarted meanwhile. So the table is logged and its commits are
 * waited for. Without foreign keys: a row lives for minutes, and the request has just used its key.
 */
create table app_private.api_key_nonces (
  tenant_id integer not null,
  api_key_id uuid not null,
  nonce_hash bytea not null,
  expires_at timestamptz not null,
  constraint api_key_nonces_pkey primary key (tenant_id, api_key_id, nonce_hash),
  constraint api_key_nonces_hash_has_32_bytes check (octet_length(nonce_hash) = 32)
);

create index api_key_nonces_expires_at_idx on app_private.api_key_nonces (tenant_id, expires_at);

-- An API key as its tenant's administrators and auditors see it: never its secret.
create type app_public.api_key as (
  id uuid,
  name text,
  status app_public.api_key_status,
  user_id uuid,
  scopes text[],
  allowed_addresses text[],
  account_set_id uuid,
  created_at timestamptz,
  created_by uuid,
  expires_at timestamptz,
  revoked_at timestamptz,
  rotated_at timestamptz,
  previous_secret_expires_at timestamptz,
  last_used_at timestamptz
);

-- They take an actor now, in place of a tenant.
drop function app_private.post_conversion__plan(
  integer, uuid, uuid, numeric, text, text, text, timestamptz);
drop function app_private.required_conversion_account(integer, text, text);
drop function app_private.required_account(integer, uuid);

--!include errors/refusals.sql
--!include identity/permissions.sql
--!include encryption/encrypted_columns.sql
--!include ledger/authorize_posting.sql
--!include access/partner_accounts.sql
--!include accounts/open_account.sql
--!include accounts/open_account__for_partner.sql
--!include engine/post_batch__decide.sql
--!include engine/post_batch__hide_targets.sql
--!include engine/post_batch__attempt.sql
--!include ledger/post_transaction.sql
--!include ledger/post_transactions.sql
--!include fx/required_conversion_account.sql
--!include fx/post_conversion__plan.sql
--!include fx/post_conversion.sql
--!include api_keys/address.sql
--!include api_keys/api_key_secrets.sql
--!include api_keys/use_api_key.sql
--!include api_keys/api_key.sql
--!include api_keys/create_api_key.sql
--!include api_keys/rotate_api_key.sql
--!include api_keys/revoke_api_key.sql
--!include api_keys/prune_api_keys.sql
--!include api_keys/comments.sql
--!include access/row_level_security.sql
--!include access/partner.sql
-- The migration being written. See migrations/README.md.
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
