-- The migration being written. See migrations/README.md.

---- access ----

create type app_public.proposal_outcome as enum ('approved', 'rejected', 'withdrawn');
create type app_public.proposal_status as enum ('open', 'approved', 'rejected', 'withdrawn', 'expired');

/*
 * A transaction that waits for a second person, and what was decided about it: rows that are added and never
 * changed. The key of a decision allows one, and a check sees to it that it is another person's.
 */
create table app_public.transaction_proposals (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  proposed_by uuid not null,
  reason text not null,
  kind app_public.transaction_kind not null,
  idempotency_key text,
  fingerprint bytea,
  effective_at timestamptz,
  timeout_seconds integer,
  pending_id uuid,
  reverses_id uuid,
  description text,
  metadata jsonb,
  conditions jsonb,
  constraint transaction_proposals_pkey primary key (tenant_id, id),
  -- For the foreign key by which a decision knows who proposed.
  constraint transaction_proposals_proposed_by_key unique (tenant_id, id, proposed_by),
  constraint transaction_proposals_proposed_by_fkey foreign key (tenant_id, proposed_by)
    references app_public.memberships on delete restrict,
  constraint transaction_proposals_pending_id_fkey foreign key (tenant_id, pending_id)
    references app_public.transactions on delete restrict,
  constraint transaction_proposals_reverses_id_fkey foreign key (tenant_id, reverses_id)
    references app_public.transactions on delete restrict,
  constraint transaction_proposals_expires_after_created check (expires_at > created_at),
  constraint transaction_proposals_reason_is_1_to_1000_characters check (length(reason) between 1 and 1000),
  constraint transaction_proposals_key_has_its_fingerprint check (
    (idempotency_key is null) = (fingerprint is null)
  ),
  constraint transaction_proposals_conditions_are_a_list check (jsonb_typeof(conditions) = 'array')
);

create unique index transaction_proposals_idempotency_key_key
  on app_public.transaction_proposals (tenant_id, idempotency_key) where idempotency_key is not null;
create index transaction_proposals_proposed_by_idx on app_public.transaction_proposals (tenant_id, proposed_by);
create index transaction_proposals_expires_at_idx on app_public.transaction_proposals (tenant_id, expires_at);
create index transaction_proposals_pending_id_idx on app_public.transaction_proposals (tenant_id, pending_id)
  where pending_id is not null;
create index transaction_proposals_reverses_id_idx on app_public.transaction_proposals (tenant_id, reverses_id)
  where reverses_id is not null;

create table app_public.proposed_postings (
  tenant_id integer not null,
  proposal_id uuid not null,
  ordinal integer not null,
  account_id uuid not null,
  direction app_public.direction not null,
  amount app_public.amount not null,
  constraint proposed_postings_pkey primary key (tenant_id, proposal_id, ordinal),
  constraint proposed_postings_proposal_id_fkey foreign key (tenant_id, proposal_id)
    references app_public.transaction_proposals on delete restrict,
  constraint proposed_postings_account_id_fkey foreign key (tenant_id, account_id)
    references app_public.accounts on delete restrict
);

create index proposed_postings_account_id_idx on app_public.proposed_postings (tenant_id, account_id);

create table app_public.proposed_conversions (
  tenant_id integer not null,
  proposal_id uuid not null,
  from_account_id uuid not null,
  to_account_id uuid not null,
  amount app_public.amount not null,
  trading_code text not null,
  rounding_code text not null,
  constraint proposed_conversions_pkey primary key (tenant_id, proposal_id),
  constraint proposed_conversions_proposal_id_fkey foreign key (tenant_id, proposal_id)
    references app_public.transaction_proposals on delete restrict,
  constraint proposed_conversions_from_account_id_fkey foreign key (tenant_id, from_account_id)
    references app_public.accounts on delete restrict,
  constraint proposed_conversions_to_account_id_fkey foreign key (tenant_id, to_account_id)
    references app_public.accounts on delete restrict
);

create index proposed_conversions_from_account_id_idx
  on app_public.proposed_conversions (tenant_id, from_account_id);
create index proposed_conversions_to_account_id_idx on app_public.proposed_conversions (tenant_id, to_account_id);

-- A conversion that is asked for: what convert takes.
create type app_private.conversion_request as (
  from_account_id uuid,
  to_account_id uuid,
  amount numeric,
  trading_code text,
  rounding_code text,
  idempotency_key text,
  effective_at timestamptz,
  description text,
  metadata jsonb
);

create table app_public.proposal_decisions (
  tenant_id integer not null,
  proposal_id uuid not null,
  proposed_by uuid not null,
  outcome app_public.proposal_outcome not null,
  decided_at timestamptz not null default clock_timestamp(),
  decided_by uuid not null,
  reason text,
  transaction_id uuid,
  constraint proposal_decisions_pkey primary key (tenant_id, proposal_id),
  constraint proposal_decisions_transaction_id_key unique (tenant_id, transaction_id),
  constraint proposal_decisions_proposal_id_fkey foreign key (tenant_id, proposal_id, proposed_by)
    references app_public.transaction_proposals (tenant_id, id, proposed_by) on delete restrict,
  constraint proposal_decisions_decided_by_fkey foreign key (tenant_id, decided_by)
    references app_public.memberships on delete restrict,
  constraint proposal_decisions_transaction_id_fkey foreign key (tenant_id, transaction_id)
    references app_public.transactions on delete restrict,
  -- Four eyes: whoever proposed may take it back, and nothing else.
  constraint proposal_decisions_nobody_approves_their_own check (
    (outcome = 'withdrawn') = (decided_by = proposed_by)
  ),
  constraint proposal_decisions_approval_names_its_transaction check (
    (outcome = 'approved') = (transaction_id is not null)
  ),
  constraint proposal_decisions_rejection_has_a_reason check (
    (outcome = 'rejected') = (reason is not null)
  ),
  constraint proposal_decisions_reason_is_1_to_1000_characters check (length(reason) between 1 and 1000)
);

create index proposal_decisions_decided_by_idx on app_public.proposal_decisions (tenant_id, decided_by);

-- What the threshold of approval was, and since when; null = none.
create table app_private.approval_thresholds (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  currency text not null,
  amount app_public.amount,
  since timestamptz not null default clock_timestamp(),
  constraint approval_thresholds_pkey primary key (tenant_id, id),
  constraint approval_thresholds_currency_fkey foreign key (tenant_id, currency)
    references app_public.currencies on delete restrict
);

create index approval_thresholds_currency_idx on app_private.approval_thresholds (tenant_id, currency, since);

insert into app_private.approval_thresholds (tenant_id, currency, amount)
select t.tenant_id, t.currency, t.approval_amount
from app_public.transaction_thresholds t;

/*
 * The key carries the transaction along, so that the transactions of a customer are found in this index
 * alone: see access/ledger.sql.
 */
alter table app_public.postings
  drop constraint postings_pkey,
  add constraint postings_pkey primary key (tenant_id, account_id, version) include (transaction_id);

--!include errors/refusals.sql
--!include identity/permissions.sql
--!include identity/authorize_reading.sql
--!include reports/trial_balance.sql
--!include reports/balance_sheet.sql
--!include reports/income_statement.sql
--!include checks/verify_ledger.sql
--!include ledger/authorize_posting.sql
--!include ledger/post_transaction.sql
--!include ledger/post_transactions.sql
--!include fx/post_conversion.sql
--!include approvals/required_reason.sql
--!include approvals/lock_open_proposal.sql
--!include approvals/transaction_of_proposal.sql
--!include approvals/post_proposed.sql
--!include approvals/insert_proposal.sql
--!include approvals/propose_transaction.sql
--!include approvals/propose_conversion.sql
--!include approvals/approve_proposal.sql
--!include approvals/reject_proposal.sql
--!include approvals/withdraw_proposal.sql
--!include approvals/transaction_proposal.sql
--!include access/row_level_security.sql
--!include access/identity.sql
--!include access/ledger.sql
--!include approvals/tg_transaction_thresholds__keep_history.sql
--!include approvals/access.sql
--!include approvals/comments.sql
--!include checks/approvals_that_do_not_fit.sql
--!include checks/transactions_without_approval.sql
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
