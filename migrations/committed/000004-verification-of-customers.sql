--! Previous: sha1:9fc0c1dfd1eb3b3d5702c745e81407cb9b9427d6
--! Hash: sha1:6c48a8258ded910040447f081598e69c6b7af690
--! Message: verification of customers

---- field encryption, verification of customers ----

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
  ('LG207', 'exceeds_velocity_limit',
    'The transaction would take more out of an account in a day or a month than the level of its owner allows.',
    'What is reserved counts too. Wait for the next day or month, or have the owner verified for more.', false),
  ('LG208', 'exceeds_transaction_limit',
    'The transaction would take more out of an account at once than the level of its owner allows.',
    'Take out less, or have the owner verified for a higher level.', false),
  ('LG209', 'exceeds_kyc_balance',
    'The transaction would leave more on an account than the level of its owner allows.',
    'Pending amounts count. Have the owner verified for a higher level.', false),

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
  ('LG380', 'customer_not_found',
    'There is no such customer.',
    'Check the id. Somebody who belongs to other books is not found either.', false),
  ('LG381', 'kyc_case_not_found',
    'There is no such verification case, evidence or detail.',
    'Check the id.', false),
  ('LG382', 'kyc_case_in_another_state',
    'A verification case in this state does not take this step.',
    'See the detail for the state that it is in.', false),
  ('LG383', 'kyc_case_open_already',
    'The customer has a verification case that is not decided yet.',
    'Go on with that one. See the detail for its id.', false),
  ('LG384', 'kyc_evidence_missing',
    'A verification case is reviewed only with evidence that is new since the last review.',
    'Submit evidence first.', false),
  ('LG385', 'kyc_check_not_passed',
    'A verification case is approved only when the last check of the provider has passed.',
    'Wait for the check. See the detail for where it stands.', false),
  ('LG386', 'decided_by_somebody_involved',
    'Who is verified, opened the case or submitted evidence for it does not decide it.',
    'Let another person decide.', false),
  ('LG387', 'kyc_level_too_high',
    'A verification case is approved for the level that it asked for, or a lower one.',
    'Open another case for a higher level.', false),
  ('LG388', 'invalid_kyc_value',
    'A level, limit, reason or time of a verification is outside what it may be.',
    'See the detail for the field and its rule.', false),
  ('LG389', 'invalid_customer_detail',
    'A detail of the customer does not have the form of its kind.',
    'See the detail for the field and its rule.', false),

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

  ('LG405', 'approval_required',
    'A transaction of this amount needs the approval of a second person.',
    'Propose it instead of posting it. See the detail for the threshold.', false),
  ('LG406', 'second_factor_required_for_amount',
    'A transaction of this amount needs a fresh second factor.',
    'Confirm the session with a one-time password, then send the same request within five minutes.', false),

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
  ('LG166', 'query_too_costly',
    'The operation could answer with more than one request may ask for.',
    'Ask for smaller pages or fewer fields, or split it. See the detail for its cost and the maximum.', false),
  ('LG167', 'unknown_operation',
    'Only operations that were registered are taken here, and this is none of them.',
    'Send the hash of a registered operation: see docs/how-to/lock-down-the-api.md.', false),
  ('LG168', 'value_too_deep',
    'A value is nested too deeply.',
    'See the detail for how deep a value may be.', false),
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

  ('LG464', 'origin_not_allowed',
    'Web pages of this origin may not open web sockets here.',
    'Add the origin to TALLYSTICK_CORS_ORIGINS.', false),

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
  ('customer_details.set', 'Set sensitive details of customers; a customer sets their own.'),
  ('exchange_rates.set', 'Set exchange rates.'),
  ('kyc.decide', 'Decide verification cases of others.'),
  ('kyc.set_limits', 'Set what each level of verification allows.'),
  ('kyc.submit', 'Open verification cases and submit evidence; a customer for themselves.'),
  ('ledger.rebuild', 'Rebuild balances from the postings.'),
  ('periods.manage', 'Open and close accounting periods.'),
  ('sensitive.read', 'Read sensitive values in full, each time with a purpose; a customer reads their own.'),
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
    ('customer', 'customer_details.set', true),
    ('teller', 'customer_details.set', true),
    ('admin', 'customer_details.set', true),
    ('accountant', 'exchange_rates.set', true),
    ('admin', 'exchange_rates.set', true),
    ('accountant', 'kyc.decide', true),
    ('admin', 'kyc.decide', true),
    ('accountant', 'kyc.set_limits', false),
    ('admin', 'kyc.set_limits', true),
    ('customer', 'kyc.submit', true),
    ('teller', 'kyc.submit', true),
    ('admin', 'kyc.submit', true),
    ('admin', 'ledger.rebuild', true),
    ('accountant', 'periods.manage', true),
    ('admin', 'periods.manage', true),
    ('customer', 'sensitive.read', true),
    ('accountant', 'sensitive.read', false),
    ('admin', 'sensitive.read', false),
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
--! Included encryption/encrypted_columns.sql
/*
 * Every column that holds ciphertexts: a test fails for one that is missing, and the rotation job would
 * never reach it.
 */
insert into app_private.encrypted_columns (table_name, column_name, row_column) values
  ('app_hidden.customer_details', 'bank_account_ciphertext', 'user_id'),
  ('app_hidden.customer_details', 'email_ciphertext', 'user_id'),
  ('app_hidden.customer_details', 'identity_document_ciphertext', 'user_id'),
  ('app_hidden.customer_details', 'phone_ciphertext', 'user_id'),
  ('app_private.user_contacts', 'email_ciphertext', 'user_id'),
  ('app_private.user_contacts', 'phone_ciphertext', 'user_id'),
  ('app_public.kyc_evidence', 'reference_ciphertext', 'id')
on conflict (table_name, column_name) do update set row_column = excluded.row_column;
--! EndIncluded encryption/encrypted_columns.sql
--! Included encryption/ciphertext_key_id.sql
-- The id of the key that a value was encrypted with: it stands in front of it.
create or replace function app_private.ciphertext_key_id(ciphertext app_private.ciphertext)
returns text
language sql
immutable
strict
parallel safe
as $$
  select convert_from(substring(ciphertext::bytea from 3 for get_byte(ciphertext, 1)), 'SQL_ASCII')
$$;
--! EndIncluded encryption/ciphertext_key_id.sql
--! Included encryption/user_contacts.sql
/*
 * How to reach a user, and who a user is by their e-mail address. Called by the functions that sign in,
 * register and invite; whoever calls has made sure that it may. src/crypto/user_contacts.ts makes the
 * ciphertexts and the index.
 *
 * False if another user has the address already: the caller decides whether that may be told.
 */
create or replace function app_private.set_user_email(
  user_id uuid,
  email_ciphertext app_private.ciphertext,
  email_index app_private.blind_index
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  insert into app_private.user_contacts (user_id, email_ciphertext, email_index)
  values (set_user_email.user_id, set_user_email.email_ciphertext, set_user_email.email_index)
  on conflict on constraint user_contacts_pkey do update set
    email_ciphertext = excluded.email_ciphertext,
    email_index = excluded.email_index,
    updated_at = now();
  return true;
exception when unique_violation then
  return false;
end
$$;

create or replace function app_private.set_user_phone(user_id uuid, phone_ciphertext app_private.ciphertext)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into app_private.user_contacts (user_id, phone_ciphertext)
  values (set_user_phone.user_id, set_user_phone.phone_ciphertext)
  on conflict on constraint user_contacts_pkey do update set
    phone_ciphertext = excluded.phone_ciphertext,
    updated_at = now()
$$;

-- Null if nobody has this address.
create or replace function app_private.user_id_by_email(email_index app_private.blind_index)
returns uuid
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select c.user_id from app_private.user_contacts c where c.email_index = user_id_by_email.email_index
$$;
--! EndIncluded encryption/user_contacts.sql
--! Included encryption/rotation.sql
/*
 * What the rotation of field keys needs: the values that another key than the current one encrypted, and a
 * way to put a new ciphertext in the place of one that is still there. src/crypto/rotate.ts is between.
 * The statements are made from app_private.encrypted_columns alone, never from what a caller says.
 */
create or replace function app_private.encrypted_column(
  table_name text,
  column_name text,
  out relation regclass,
  out row_column text,
  out row_type text,
  out tenant_expression text
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  select e.table_name::regclass, e.row_column, format_type(r.atttypid, r.atttypmod),
    case when t.attname is null then '0::integer' else 't.tenant_id' end
  into strict relation, row_column, row_type, tenant_expression
  from app_private.encrypted_columns e
  join pg_attribute r on r.attrelid = e.table_name::regclass and r.attname = e.row_column
  left join pg_attribute t
    on t.attrelid = e.table_name::regclass and t.attname = 'tenant_id' and not t.attisdropped
  where e.table_name = encrypted_column.table_name and e.column_name = encrypted_column.column_name;
end
$$;

-- The registry, for those who may not read its table.
create or replace function app_private.ciphertext_columns()
returns setof app_private.encrypted_columns
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select * from app_private.encrypted_columns order by table_name, column_name
$$;

-- The next values of a column that have another key, in the order of tenant and row, after one of them.
create or replace function app_private.stale_ciphertexts(
  table_name text,
  column_name text,
  current_key_id text,
  batch_size integer,
  after_tenant_id integer default null,
  after_row text default null
)
returns table (tenant_id integer, row_id text, ciphertext bytea)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_column record;
begin
  v_column := app_private.encrypted_column(stale_ciphertexts.table_name, stale_ciphertexts.column_name);
  return query execute format(
    $sql$
      select %1$s, t.%2$I::text, t.%3$I::bytea
      from %4$s t
      where t.%3$I is not null
        and app_private.ciphertext_key_id(t.%3$I) <> $1
        and ($3 is null or (%1$s, t.%2$I) > ($2, $3::%5$s))
      order by %1$s, t.%2$I
      limit $4
    $sql$,
    v_column.tenant_expression, v_column.row_column, stale_ciphertexts.column_name, v_column.relation,
    v_column.row_type)
  using current_key_id, after_tenant_id, after_row, batch_size;
end
$$;

/*
 * Put new ciphertexts in the place of those that are still there: one that was written anew in between stays
 * as it is. How many were replaced.
 */
create or replace function app_private.replace_ciphertexts(
  table_name text,
  column_name text,
  tenant_ids integer[],
  row_ids text[],
  expected bytea[],
  replacements bytea[]
)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_column record;
  v_replaced integer;
begin
  v_column := app_private.encrypted_column(replace_ciphertexts.table_name, replace_ciphertexts.column_name);
  execute format(
    $sql$
      update %4$s t set %3$I = n.replacement
      from unnest($1, $2, $3, $4) as n (tenant_id, row_id, expected, replacement)
      where %1$s = n.tenant_id and t.%2$I = n.row_id::%5$s and t.%3$I = n.expected
    $sql$,
    v_column.tenant_expression, v_column.row_column, replace_ciphertexts.column_name, v_column.relation,
    v_column.row_type)
  using tenant_ids, row_ids, expected, replacements;
  get diagnostics v_replaced = row_count;
  return v_replaced;
end
$$;

-- How many values of each encrypted column each key encrypted. Reads every one of them.
create or replace function app_private.ciphertext_counts()
returns table (table_name text, column_name text, key_id text, ciphertexts bigint)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_column record;
begin
  for v_column in
    select e.table_name, e.column_name from app_private.encrypted_columns e order by 1, 2
  loop
    return query execute format(
      $sql$
        select $1, $2, app_private.ciphertext_key_id(t.%1$I), count(*)
        from %2$s t
        where t.%1$I is not null
        group by 3
        order by 3
      $sql$,
      v_column.column_name, v_column.table_name::regclass)
    using v_column.table_name, v_column.column_name;
  end loop;
end
$$;

grant execute on function
  app_private.ciphertext_columns(),
  app_private.stale_ciphertexts(text, text, text, integer, integer, text),
  app_private.replace_ciphertexts(text, text, integer[], text[], bytea[], bytea[]),
  app_private.ciphertext_counts()
to tallystick_worker;
--! EndIncluded encryption/rotation.sql
--! Included kyc/kyc_limits_flag.sql
/*
 * A tenant with limits by level is marked, so that the posting of the others need not look for them.
 */
create or replace function app_private.tg_kyc_level_limits__flag()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := coalesce(new.tenant_id, old.tenant_id);
begin
  -- Two that change limits at once do so one after the other.
  perform from app_public.tenants t where t.id = v_tenant_id for no key update;
  update app_public.tenants t
  set has_kyc_limits = exists (
    select from app_public.kyc_level_limits l where l.tenant_id = v_tenant_id
  )
  where t.id = v_tenant_id;
  return null;
end
$$;

create or replace trigger _500_flag
  after insert or delete on app_public.kyc_level_limits
  for each row execute function app_private.tg_kyc_level_limits__flag();
--! EndIncluded kyc/kyc_limits_flag.sql
--! Included kyc/kyc_level_at.sql
/*
 * The level of a customer at a moment. A profile that has expired counts as level 0 from that instant on,
 * whatever a job has done; so does a user without a profile. No SET clause: the planner inlines it.
 */
create or replace function app_hidden.kyc_level_at(tenant_id integer, user_id uuid, at timestamptz)
returns smallint
language sql
stable
parallel safe
as $$
  select coalesce(
    (
      select p.level
      from app_public.kyc_profiles p
      where p.tenant_id = kyc_level_at.tenant_id and p.user_id = kyc_level_at.user_id
        and p.status = 'verified' and p.expires_at > kyc_level_at.at
    ),
    0::smallint)
$$;

grant execute on function app_hidden.kyc_level_at(integer, uuid, timestamptz) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded kyc/kyc_level_at.sql
--! Included kyc/posted_out_before.sql
/*
 * What had been posted out of an account when a moment began: the counter that the last posting before it
 * left behind. The search gallops back from the newest posting, so it takes as many probes of the primary
 * key as the logarithm of the number of postings since then, and none where there are none.
 */
create or replace function app_private.posted_out_before(
  tenant_id integer,
  account_id uuid,
  is_debit_normal boolean,
  moment timestamptz
)
returns numeric
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  -- A version before the moment (0 counts as one), and one that is not.
  v_low bigint;
  v_high bigint;
  v_middle bigint;
  v_step bigint := 1;
  v_is_before boolean;
  v_out numeric;
  v_found numeric;
begin
  select b.version, b.last_created_at < posted_out_before.moment,
    case when posted_out_before.is_debit_normal then b.posted_credits else b.posted_debits end
  into v_high, v_is_before, v_found
  from app_public.account_balances b
  where b.tenant_id = posted_out_before.tenant_id and b.account_id = posted_out_before.account_id;
  if v_is_before then
    return v_found;
  end if;

  -- Gallop back.
  v_found := 0;
  v_low := v_high;
  loop
    v_low := greatest(v_low - v_step, 0);
    v_step := v_step * 2;
    exit when v_low = 0;
    select p.created_at < posted_out_before.moment,
      case when posted_out_before.is_debit_normal then p.posted_credits else p.posted_debits end
    into v_is_before, v_out
    from app_public.postings p
    where p.tenant_id = posted_out_before.tenant_id and p.account_id = posted_out_before.account_id
      and p.version = v_low;
    if v_is_before then
      v_found := v_out;
      exit;
    end if;
    v_high := v_low;
  end loop;

  -- Halve what lies between.
  while v_high - v_low > 1 loop
    v_middle := (v_low + v_high) / 2;
    select p.created_at < posted_out_before.moment,
      case when posted_out_before.is_debit_normal then p.posted_credits else p.posted_debits end
    into v_is_before, v_out
    from app_public.postings p
    where p.tenant_id = posted_out_before.tenant_id and p.account_id = posted_out_before.account_id
      and p.version = v_middle;
    if v_is_before then
      v_low := v_middle;
      v_found := v_out;
    else
      v_high := v_middle;
    end if;
  end loop;
  return v_found;
end
$$;
--! EndIncluded kyc/posted_out_before.sql
--! Included kyc/begin_outflow_windows.sql
/*
 * Look up what had been posted out of an account when the day and the month of a moment began, and keep it.
 * The first posting of a day finds it in the counters; a search is needed only where limits came later.
 */
create or replace function app_private.begin_outflow_windows(
  tenant_id integer,
  account_id uuid,
  is_debit_normal boolean,
  at timestamptz
)
returns app_private.outflow_windows
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  insert into app_private.outflow_windows as w (
    tenant_id, account_id, day, out_before_day, month, out_before_month
  )
  select
    begin_outflow_windows.tenant_id, begin_outflow_windows.account_id,
    m.day, app_private.posted_out_before(tenant_id, account_id, is_debit_normal, m.day),
    m.month, coalesce(
      (
        select k.out_before_month
        from app_private.outflow_windows k
        where k.tenant_id = begin_outflow_windows.tenant_id and k.account_id = begin_outflow_windows.account_id
          and k.month = m.month
      ),
      app_private.posted_out_before(tenant_id, account_id, is_debit_normal, m.month))
  from (select date_trunc('day', at, 'UTC') as day, date_trunc('month', at, 'UTC') as month) m
  on conflict on constraint outflow_windows_pkey do update set
    day = excluded.day,
    out_before_day = excluded.out_before_day,
    month = excluded.month,
    out_before_month = excluded.out_before_month
  returning *
$$;
--! EndIncluded kyc/begin_outflow_windows.sql
--! Included kyc/velocity_ceilings.sql
/*
 * What the engine asks under the lock of the accounts, in a statement of its own: those of them that are
 * limited by the level of their owner at this moment, and by what.
 *
 *   out_ceiling      what posted out + pending out may not pass (LG207): the least, over the windows, of
 *                    what had been posted out when the window began and the limit
 *   maximum_out      what one transaction may take out (LG208)
 *   maximum_balance  what may be on it, pending in counted (LG209)
 *
 * Out is the side that makes the balance smaller. What has left counts on the day that it left, and what is
 * reserved counts as long as it is reserved, whenever that was: so a reservation that is voided gives its
 * part back, and none made on earlier days lets more leave on a later one. Days and months are those of UTC.
 *
 * Volatile: what a day and a month began with is looked up once, at the first posting in them, and kept.
 */
create or replace function app_private.velocity_ceilings(
  tenant_id integer,
  account_ids uuid[],
  at timestamptz
)
returns table (account_id uuid, out_ceiling numeric, maximum_out numeric, maximum_balance numeric)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_day constant timestamptz := date_trunc('day', velocity_ceilings.at, 'UTC');
  v_account record;
  v_window app_private.outflow_windows;
begin
  if not exists (select from app_public.tenants t where t.id = velocity_ceilings.tenant_id and t.has_kyc_limits) then
    return;
  end if;
  for v_account in
    select a.id, a.normal_balance = 'debit' as is_debit_normal,
      l.maximum_balance, l.maximum_transaction, l.maximum_out_per_day, l.maximum_out_per_month,
      w.day, w.out_before_day, w.out_before_month
    from app_public.accounts a
    join app_public.kyc_level_limits l
      on l.tenant_id = velocity_ceilings.tenant_id
      and l.level = app_hidden.kyc_level_at(velocity_ceilings.tenant_id, a.owner_id, velocity_ceilings.at)
      and l.currency = a.currency
    left join app_private.outflow_windows w
      on w.tenant_id = velocity_ceilings.tenant_id and w.account_id = a.id
    where a.tenant_id = velocity_ceilings.tenant_id
      and a.id = any (velocity_ceilings.account_ids)
      and a.owner_id is not null
  loop
    account_id := v_account.id;
    maximum_out := v_account.maximum_transaction;
    maximum_balance := v_account.maximum_balance;
    out_ceiling := null;
    if v_account.maximum_out_per_day is not null or v_account.maximum_out_per_month is not null then
      if v_account.day is distinct from v_day then
        v_window := app_private.begin_outflow_windows(tenant_id, account_id, v_account.is_debit_normal, at);
        v_account.out_before_day := v_window.out_before_day;
        v_account.out_before_month := v_window.out_before_month;
      end if;
      out_ceiling := least(
        v_account.out_before_day::numeric + v_account.maximum_out_per_day,
        v_account.out_before_month::numeric + v_account.maximum_out_per_month);
    end if;
    return next;
  end loop;
end
$$;
--! EndIncluded kyc/velocity_ceilings.sql
--! Included kyc/record_sensitive_read.sql
/*
 * Record that somebody is about to read a sensitive value in full. In the database transaction that hands
 * the ciphertext out, so that none is handed out without its record.
 */
create or replace function app_private.record_sensitive_read(
  actor app_private.actor,
  table_name text,
  row_key text,
  column_name text,
  purpose text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if length(btrim(purpose)) between 1 and 200 then
    insert into app_private.sensitive_reads (
      tenant_id, table_name, row_key, column_name, purpose, read_by, session_id, request_id
    ) values (
      actor.tenant_id, record_sensitive_read.table_name, record_sensitive_read.row_key,
      record_sensitive_read.column_name, btrim(record_sensitive_read.purpose), actor.user_id, actor.session_id,
      nullif(current_setting('tallystick.request_id', true), '')
    );
  else
    perform app_private.refuse('LG114', jsonb_build_object('field', 'purpose', 'rule', '1 to 200 characters'));
  end if;
end
$$;
--! EndIncluded kyc/record_sensitive_read.sql
--! Included kyc/open_kyc_case.sql
/*
 * Whom an actor may act for: themselves if they are a customer, any customer of the tenant otherwise. The
 * answer for somebody else is the same whether or not they exist.
 */
create or replace function app_private.customer_for(actor app_private.actor, user_id uuid)
returns uuid
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id constant uuid := coalesce(customer_for.user_id, actor.user_id);
begin
  if actor.role = 'customer' and v_user_id <> actor.user_id or not exists (
    select
    from app_public.memberships m
    where m.tenant_id = actor.tenant_id and m.user_id = v_user_id and m.role = 'customer'
  ) then
    perform app_private.refuse('LG380', jsonb_build_object('userId', v_user_id));
  end if;
  return v_user_id;
end
$$;

/*
 * Open a verification case for a customer: the customer does, or staff on their behalf.
 */
create or replace function app_public.open_kyc_case(requested_level integer, user_id uuid default null)
returns app_public.kyc_cases
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_actor constant app_private.actor := app_private.authorize('kyc.submit');
  v_user_id constant uuid := app_private.customer_for(v_actor, open_kyc_case.user_id);
  v_case app_public.kyc_cases;
begin
  if open_kyc_case.requested_level not between 1 and 3 then
    perform app_private.refuse('LG388', jsonb_build_object('field', 'requestedLevel', 'rule', 'a level from 1 to 3'));
  end if;
  insert into app_public.kyc_profiles (tenant_id, user_id) values (v_actor.tenant_id, v_user_id)
  on conflict do nothing;
  insert into app_public.kyc_cases (tenant_id, user_id, requested_level, opened_by)
  values (v_actor.tenant_id, v_user_id, open_kyc_case.requested_level, v_actor.user_id)
  on conflict (tenant_id, user_id) where status in ('open', 'in_review', 'needs_information') do nothing
  returning * into v_case;
  if not found then
    perform app_private.refuse('LG383', (
      select jsonb_build_object('caseId', c.id)
      from app_public.kyc_cases c
      where c.tenant_id = v_actor.tenant_id and c.user_id = v_user_id
        and c.status in ('open', 'in_review', 'needs_information')));
  end if;
  return v_case;
end
$$;

grant execute on function app_public.open_kyc_case(integer, uuid) to
  tallystick_customer, tallystick_teller, tallystick_admin;

comment on function app_public.open_kyc_case(integer, uuid) is $$
Opens a case to verify a customer for a level from 1 to 3. A customer opens their own; staff name whose it is.
$$;
--! EndIncluded kyc/open_kyc_case.sql
--! Included kyc/kyc_evidence.sql
/*
 * A case, locked, of a customer that the actor may act for. Another tenant has none, and a customer has
 * their own only.
 */
create or replace function app_private.lock_kyc_case(actor app_private.actor, id uuid)
returns app_public.kyc_cases
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_case app_public.kyc_cases;
begin
  select * into v_case
  from app_public.kyc_cases c
  where c.tenant_id = actor.tenant_id and c.id = lock_kyc_case.id
    and (actor.role <> 'customer' or c.user_id = actor.user_id)
  for no key update;
  if not found then
    perform app_private.refuse('LG381', jsonb_build_object('id', lock_kyc_case.id));
  end if;
  return v_case;
end
$$;

/*
 * Add evidence to a case that is still being gathered. Called by src/graphql/kyc.ts, which encrypts the
 * reference for the id that it gives the evidence.
 */
create or replace function app_hidden.submit_kyc_evidence(
  case_id uuid,
  evidence_id uuid,
  kind app_public.kyc_evidence_kind,
  reference_ciphertext bytea
)
returns uuid
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor constant app_private.actor := app_private.authorize('kyc.submit');
  v_case constant app_public.kyc_cases := app_private.lock_kyc_case(v_actor, submit_kyc_evidence.case_id);
begin
  if v_case.status not in ('open', 'needs_information') then
    perform app_private.refuse('LG382', jsonb_build_object('status', v_case.status));
  end if;
  insert into app_public.kyc_evidence (tenant_id, id, case_id, kind, reference_ciphertext, submitted_by)
  values (
    v_actor.tenant_id, submit_kyc_evidence.evidence_id, v_case.id, submit_kyc_evidence.kind,
    submit_kyc_evidence.reference_ciphertext, v_actor.user_id
  );
  return submit_kyc_evidence.evidence_id;
end
$$;

grant execute on function app_hidden.submit_kyc_evidence(uuid, uuid, app_public.kyc_evidence_kind, bytea) to
  tallystick_customer, tallystick_teller, tallystick_admin;

/*
 * Hand a case over for review: the provider is asked to check what is new in it.
 */
create or replace function app_public.start_kyc_review(id uuid)
returns app_public.kyc_cases
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_actor constant app_private.actor := app_private.authorize('kyc.submit');
  v_case app_public.kyc_cases := app_private.lock_kyc_case(v_actor, start_kyc_review.id);
begin
  if v_case.status not in ('open', 'needs_information') then
    perform app_private.refuse('LG382', jsonb_build_object('status', v_case.status));
  end if;
  if not exists (
    select
    from app_public.kyc_evidence e
    where e.tenant_id = v_case.tenant_id and e.case_id = v_case.id
      and e.created_at > coalesce(
        (
          select max(k.created_at)
          from app_public.kyc_checks k
          where k.tenant_id = v_case.tenant_id and k.case_id = v_case.id
        ),
        '-infinity')
  ) then
    perform app_private.refuse('LG384');
  end if;
  insert into app_public.kyc_checks (tenant_id, case_id) values (v_case.tenant_id, v_case.id);
  update app_public.kyc_cases c set status = 'in_review', message = null
  where c.tenant_id = v_case.tenant_id and c.id = v_case.id
  returning * into v_case;
  return v_case;
end
$$;

grant execute on function app_public.start_kyc_review(uuid) to
  tallystick_customer, tallystick_teller, tallystick_admin;

comment on function app_public.start_kyc_review(uuid) is $$
Hands a verification case over for review. The provider checks it, then a person decides; nothing can be added
to it unless more information is asked for.
$$;

/*
 * The ciphertext of one piece of evidence, for whoever may read it in full; that it was read is recorded.
 */
create or replace function app_hidden.reveal_kyc_evidence(evidence_id uuid, purpose text)
returns table (tenant_id integer, ciphertext bytea)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_actor constant app_private.actor := app_private.authorize('sensitive.read');
begin
  perform app_private.record_sensitive_read(
    v_actor, 'app_public.kyc_evidence', reveal_kyc_evidence.evidence_id::text, 'reference',
    reveal_kyc_evidence.purpose);
  return query
  select e.tenant_id, e.reference_ciphertext::bytea
  from app_public.kyc_evidence e
  join app_public.kyc_cases c on c.tenant_id = e.tenant_id and c.id = e.case_id
  where e.tenant_id = v_actor.tenant_id and e.id = reveal_kyc_evidence.evidence_id
    and (v_actor.role <> 'customer' or c.user_id = v_actor.user_id);
  if not found then
    perform app_private.refuse('LG381', jsonb_build_object('id', reveal_kyc_evidence.evidence_id));
  end if;
end
$$;

grant execute on function app_hidden.reveal_kyc_evidence(uuid, text) to
  tallystick_customer, tallystick_accountant, tallystick_admin;
--! EndIncluded kyc/kyc_evidence.sql
--! Included kyc/kyc_case_moves.sql
/*
 * The states of a verification case. Approved and rejected are final.
 *
 *   open ──▶ in_review ──▶ approved
 *     │        │  ▲  └────▶ rejected
 *     │        ▼  │
 *     │   needs_information
 *     └──────────────────▶ rejected
 */
insert into app_private.kyc_case_moves (from_status, to_status) values
  ('open', 'in_review'),
  ('open', 'rejected'),
  ('in_review', 'needs_information'),
  ('in_review', 'approved'),
  ('in_review', 'rejected'),
  ('needs_information', 'in_review'),
  ('needs_information', 'rejected')
on conflict do nothing;

create or replace function app_private.tg_kyc_cases__move()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if new.status <> old.status and not exists (
    select from app_private.kyc_case_moves m where m.from_status = old.status and m.to_status = new.status
  ) then
    perform app_private.refuse('LG382', jsonb_build_object('status', old.status));
  end if;
  if (new.tenant_id, new.id, new.user_id, new.requested_level, new.opened_by, new.created_at)
    is distinct from (old.tenant_id, old.id, old.user_id, old.requested_level, old.opened_by, old.created_at)
  then
    perform app_private.refuse('LG319', jsonb_build_object('table', TG_TABLE_NAME, 'operation', TG_OP));
  end if;
  new.updated_at := now();
  return new;
end
$$;

create or replace trigger _200_move
  before update on app_public.kyc_cases
  for each row execute function app_private.tg_kyc_cases__move();

create or replace trigger _210_refuse_change
  before delete or truncate on app_public.kyc_cases
  for each statement execute function app_private.tg__refuse_change();

create or replace trigger _200_refuse_change
  before update or delete or truncate on app_public.kyc_decisions
  for each statement execute function app_private.tg__refuse_change();

-- The reference itself may be encrypted anew, with another key.
create or replace trigger _200_refuse_change
  before update of tenant_id, id, case_id, kind, submitted_by, created_at or delete or truncate
  on app_public.kyc_evidence
  for each statement execute function app_private.tg__refuse_change();

create or replace trigger _200_refuse_change
  before update or delete or truncate on app_private.sensitive_reads
  for each statement execute function app_private.tg__refuse_change();
--! EndIncluded kyc/kyc_case_moves.sql
--! Included kyc/decide_kyc_case.sql
/*
 * Decide a case that is in review. Two pairs of eyes: not the customer and not who opened it, which a
 * constraint of kyc_decisions holds too; nor who submitted evidence, which its trigger holds.
 */
create or replace function app_public.decide_kyc_case(
  id uuid,
  decision app_public.kyc_case_status,
  reason text,
  level integer default null,
  expires_at timestamptz default null,
  message text default null
)
returns app_public.kyc_cases
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_actor constant app_private.actor := app_private.authorize('kyc.decide');
  v_case app_public.kyc_cases;
  v_level integer;
  v_expires_at timestamptz;
begin
  perform app_private.decide_kyc_case__check(
    decide_kyc_case.decision, decide_kyc_case.reason, decide_kyc_case.expires_at, decide_kyc_case.message);
  v_case := app_private.lock_kyc_case(v_actor, decide_kyc_case.id);
  if not exists (
    select
    from app_private.kyc_case_moves m
    where m.from_status = v_case.status and m.to_status = decide_kyc_case.decision
  ) then
    perform app_private.refuse('LG382', jsonb_build_object('status', v_case.status));
  end if;
  if decide_kyc_case.decision = 'approved' then
    v_level := coalesce(decide_kyc_case.level, v_case.requested_level);
    v_expires_at := coalesce(decide_kyc_case.expires_at, now() + interval '1 year');
    if v_level not between 1 and v_case.requested_level then
      perform app_private.refuse('LG387', jsonb_build_object('requestedLevel', v_case.requested_level));
    end if;
    perform app_private.decide_kyc_case__require_check(v_case);
  end if;

  insert into app_public.kyc_decisions (
    tenant_id, case_id, customer_id, opened_by, status, level, expires_at, reason, decided_by
  ) values (
    v_case.tenant_id, v_case.id, v_case.user_id, v_case.opened_by, decide_kyc_case.decision, v_level,
    v_expires_at, decide_kyc_case.reason, v_actor.user_id
  );
  update app_public.kyc_cases c set status = decide_kyc_case.decision, message = decide_kyc_case.message
  where c.tenant_id = v_case.tenant_id and c.id = v_case.id
  returning * into v_case;
  update app_public.kyc_profiles p set
    level = coalesce(v_level, p.level),
    status = case
      when v_case.status = 'approved' then 'verified'::app_public.kyc_status
      when v_case.status = 'rejected' and p.status = 'unverified' then 'rejected'
      else p.status
    end,
    expires_at = coalesce(v_expires_at, p.expires_at),
    updated_at = now()
  where p.tenant_id = v_case.tenant_id and p.user_id = v_case.user_id
    and v_case.status in ('approved', 'rejected');
  return v_case;
end
$$;

create or replace function app_private.decide_kyc_case__check(
  decision app_public.kyc_case_status,
  reason text,
  expires_at timestamptz,
  message text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_field text;
  v_rule text;
begin
  select f.field, f.rule into v_field, v_rule
  from (values
    ('decision', 'APPROVED, REJECTED or NEEDS_INFORMATION',
      decision in ('approved', 'rejected', 'needs_information')),
    ('reason', '1 to 1000 characters', length(reason) between 1 and 1000),
    ('message', '1 to 1000 characters', message is null or length(message) between 1 and 1000),
    ('expiresAt', 'within ten years from now',
      expires_at is null or expires_at > now() and expires_at < now() + interval '10 years')
  ) as f (field, rule, is_met)
  where f.is_met is not true
  limit 1;
  if found then
    perform app_private.refuse('LG388', jsonb_build_object('field', v_field, 'rule', v_rule));
  end if;
end
$$;

-- The last check of a case must have passed before it is approved.
create or replace function app_private.decide_kyc_case__require_check(kyc_case app_public.kyc_cases)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_status app_public.kyc_check_status;
begin
  select k.status into v_status
  from app_public.kyc_checks k
  where k.tenant_id = kyc_case.tenant_id and k.case_id = kyc_case.id
  order by k.created_at desc
  limit 1;
  if v_status is distinct from 'passed' then
    perform app_private.refuse('LG385', jsonb_build_object('checkStatus', v_status));
  end if;
end
$$;

create or replace function app_private.tg_kyc_decisions__four_eyes()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if new.decided_by in (new.customer_id, new.opened_by) or exists (
    select
    from app_public.kyc_evidence e
    where e.tenant_id = new.tenant_id and e.case_id = new.case_id and e.submitted_by = new.decided_by
  ) then
    perform app_private.refuse('LG386');
  end if;
  return new;
end
$$;

create or replace trigger _210_four_eyes
  before insert on app_public.kyc_decisions
  for each row execute function app_private.tg_kyc_decisions__four_eyes();

grant execute on function app_public.decide_kyc_case(
  uuid, app_public.kyc_case_status, text, integer, timestamptz, text
) to tallystick_accountant, tallystick_admin;

comment on function app_public.decide_kyc_case(
  uuid, app_public.kyc_case_status, text, integer, timestamptz, text
) is $$
Decides a verification case: APPROVED, for which the last check of the provider must have passed, REJECTED or
NEEDS_INFORMATION. Who is verified, opened the case or submitted evidence for it does not decide it. The reason
stays with the staff; the message is for the customer.
$$;
--! EndIncluded kyc/decide_kyc_case.sql
--! Included kyc/customer_details.sql
/*
 * Sensitive details of customers, as ciphertexts. src/graphql/customer_details.ts encrypts and decrypts; these
 * decide who may set and read what. A detail that is given as null stays; one that is given as an empty
 * bytea is taken away.
 */
create or replace function app_hidden.set_customer_details(
  user_id uuid,
  email bytea default null,
  phone bytea default null,
  bank_account bytea default null,
  identity_document bytea default null
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_actor constant app_private.actor := app_private.authorize('customer_details.set');
  v_user_id constant uuid := app_private.customer_for(v_actor, set_customer_details.user_id);
begin
  insert into app_hidden.customer_details as d (
    tenant_id, user_id, email_ciphertext, phone_ciphertext, bank_account_ciphertext,
    identity_document_ciphertext, updated_by
  ) values (
    v_actor.tenant_id, v_user_id, nullif(email, ''), nullif(phone, ''), nullif(bank_account, ''),
    nullif(identity_document, ''), v_actor.user_id
  )
  on conflict on constraint customer_details_pkey do update set
    email_ciphertext = case when email is null then d.email_ciphertext else excluded.email_ciphertext end,
    phone_ciphertext = case when phone is null then d.phone_ciphertext else excluded.phone_ciphertext end,
    bank_account_ciphertext =
      case when bank_account is null then d.bank_account_ciphertext else excluded.bank_account_ciphertext end,
    identity_document_ciphertext = case
      when identity_document is null then d.identity_document_ciphertext
      else excluded.identity_document_ciphertext
    end,
    updated_at = now(),
    updated_by = excluded.updated_by;
end
$$;

grant execute on function app_hidden.set_customer_details(uuid, bytea, bytea, bytea, bytea) to
  tallystick_customer, tallystick_teller, tallystick_admin;

/*
 * The ciphertext of one detail, for whoever may read it in full; that it was read is recorded.
 */
create or replace function app_hidden.reveal_customer_detail(
  user_id uuid,
  detail app_public.customer_detail,
  purpose text
)
returns table (tenant_id integer, customer_id uuid, ciphertext bytea)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_actor constant app_private.actor := app_private.authorize('sensitive.read');
  v_user_id constant uuid := app_private.customer_for(v_actor, reveal_customer_detail.user_id);
begin
  perform app_private.record_sensitive_read(
    v_actor, 'app_hidden.customer_details', v_user_id::text, reveal_customer_detail.detail::text,
    reveal_customer_detail.purpose);
  return query
  select d.tenant_id, d.user_id, (case reveal_customer_detail.detail
    when 'email' then d.email_ciphertext
    when 'phone' then d.phone_ciphertext
    when 'bank_account' then d.bank_account_ciphertext
    when 'identity_document' then d.identity_document_ciphertext
  end)::bytea
  from app_hidden.customer_details d
  where d.tenant_id = v_actor.tenant_id and d.user_id = v_user_id;
end
$$;

grant execute on function app_hidden.reveal_customer_detail(uuid, app_public.customer_detail, text) to
  tallystick_customer, tallystick_accountant, tallystick_admin;
--! EndIncluded kyc/customer_details.sql
--! Included kyc/kyc_checks.sql
/*
 * The checks of the provider, for the job that asks it: tasks/identity/run_kyc_checks.ts.
 *
 * Taking one pushes its next turn into the future, so that another worker leaves it alone meanwhile, and
 * takes it over if this one dies. Waits grow with the attempts: 30 seconds at first, an hour at most. The id
 * of the check is the idempotency key at the provider, so asking twice is asking once.
 */
create or replace function app_private.take_due_kyc_check(
  out tenant_id integer,
  out id uuid,
  out case_id uuid,
  out level smallint,
  out provider_reference text
)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  update app_public.kyc_checks k
  set attempts = k.attempts + 1,
    due_at = now() + least(interval '30 seconds' * 2 ^ least(k.attempts, 10), interval '1 hour'),
    updated_at = now()
  from (
    select d.tenant_id, d.id
    from app_public.kyc_checks d
    where d.due_at <= now()
    order by d.due_at
    limit 1
    for update skip locked
  ) due
  join app_public.kyc_checks c on c.tenant_id = due.tenant_id and c.id = due.id
  join app_public.kyc_cases a on a.tenant_id = c.tenant_id and a.id = c.case_id
  where k.tenant_id = due.tenant_id and k.id = due.id
  returning k.tenant_id, k.id, k.case_id, a.requested_level, k.provider_reference
$$;

-- The evidence of the case of a check, as ciphertexts, for the provider. Recorded as read by nobody in person.
create or replace function app_private.kyc_check_evidence(tenant_id integer, id uuid)
returns table (evidence_id uuid, kind app_public.kyc_evidence_kind, ciphertext bytea)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  with evidence as (
    select e.id, e.kind, e.reference_ciphertext, e.created_at
    from app_public.kyc_checks k
    join app_public.kyc_evidence e on e.tenant_id = k.tenant_id and e.case_id = k.case_id
    where k.tenant_id = kyc_check_evidence.tenant_id and k.id = kyc_check_evidence.id
  ),
  recorded as (
    insert into app_private.sensitive_reads (tenant_id, table_name, row_key, column_name, purpose)
    select kyc_check_evidence.tenant_id, 'app_public.kyc_evidence', e.id::text, 'reference',
      'check ' || kyc_check_evidence.id || ' at the provider'
    from evidence e
  )
  select e.id, e.kind, e.reference_ciphertext::bytea from evidence e order by e.created_at
$$;

/*
 * Take down what the provider answered. What a check found is final: a later answer changes nothing. A need
 * for more information sends the case back; everything else waits for a person.
 */
create or replace function app_private.record_kyc_check(
  tenant_id integer,
  id uuid,
  status app_public.kyc_check_status,
  provider_reference text,
  finding text default null
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_check app_public.kyc_checks;
begin
  update app_public.kyc_checks k set
    status = record_kyc_check.status,
    provider_reference = record_kyc_check.provider_reference,
    finding = left(record_kyc_check.finding, 1000),
    due_at = case when record_kyc_check.status = 'submitted' then k.due_at end,
    updated_at = now()
  where k.tenant_id = record_kyc_check.tenant_id and k.id = record_kyc_check.id
    and k.status in ('queued', 'submitted') and record_kyc_check.status <> 'queued'
  returning * into v_check;
  if not found then
    return false;
  end if;
  if v_check.status = 'needs_information' then
    update app_public.kyc_cases c set status = 'needs_information', message = v_check.finding
    where c.tenant_id = v_check.tenant_id and c.id = v_check.case_id and c.status = 'in_review';
  end if;
  return true;
end
$$;

/*
 * The provider says that there is news about a check: it is asked at once, instead of when its turn comes.
 * What the news are is never taken from a message.
 */
create or replace function app_hidden.hasten_kyc_check(tenant_id integer, id uuid)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  update app_public.kyc_checks k set due_at = now(), attempts = 0
  where k.tenant_id = hasten_kyc_check.tenant_id and k.id = hasten_kyc_check.id and k.status = 'submitted'
$$;

grant execute on function
  app_private.take_due_kyc_check(),
  app_private.kyc_check_evidence(integer, uuid),
  app_private.record_kyc_check(integer, uuid, app_public.kyc_check_status, text, text)
to tallystick_worker;

grant execute on function app_hidden.hasten_kyc_check(integer, uuid) to tallystick_anonymous;
--! EndIncluded kyc/kyc_checks.sql
--! Included kyc/set_kyc_level_limit.sql
/*
 * Set what customers of a level may have and move in a currency. The row goes when nothing is limited.
 */
create or replace function app_public.set_kyc_level_limit(
  level integer,
  currency text,
  maximum_balance app_public.amount default null,
  maximum_transaction app_public.amount default null,
  maximum_out_per_day app_public.amount default null,
  maximum_out_per_month app_public.amount default null
)
returns app_public.kyc_level_limits
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant_id constant integer := (app_private.authorize('kyc.set_limits')).tenant_id;
  v_limit app_public.kyc_level_limits;
begin
  if set_kyc_level_limit.level not between 0 and 3 then
    perform app_private.refuse('LG388', jsonb_build_object('field', 'level', 'rule', 'a level from 0 to 3'));
  end if;
  if least(
    set_kyc_level_limit.maximum_balance, set_kyc_level_limit.maximum_transaction,
    set_kyc_level_limit.maximum_out_per_day, set_kyc_level_limit.maximum_out_per_month
  ) < 0 then
    perform app_private.refuse('LG388', jsonb_build_object('field', 'maximum', 'rule', 'no limit below zero'));
  end if;
  perform app_private.ensure_currency(v_tenant_id, set_kyc_level_limit.currency);

  v_limit := row(
    v_tenant_id, set_kyc_level_limit.level, set_kyc_level_limit.currency, set_kyc_level_limit.maximum_balance,
    set_kyc_level_limit.maximum_transaction, set_kyc_level_limit.maximum_out_per_day,
    set_kyc_level_limit.maximum_out_per_month, now());
  if coalesce(
    set_kyc_level_limit.maximum_balance, set_kyc_level_limit.maximum_transaction,
    set_kyc_level_limit.maximum_out_per_day, set_kyc_level_limit.maximum_out_per_month
  ) is null then
    delete from app_public.kyc_level_limits l
    where l.tenant_id = v_tenant_id and l.level = v_limit.level and l.currency = v_limit.currency;
  else
    insert into app_public.kyc_level_limits (
      tenant_id, level, currency, maximum_balance, maximum_transaction, maximum_out_per_day,
      maximum_out_per_month, updated_at
    ) values (
      v_limit.tenant_id, v_limit.level, v_limit.currency, v_limit.maximum_balance,
      v_limit.maximum_transaction, v_limit.maximum_out_per_day, v_limit.maximum_out_per_month,
      v_limit.updated_at
    )
    on conflict on constraint kyc_level_limits_pkey do update set
      maximum_balance = excluded.maximum_balance,
      maximum_transaction = excluded.maximum_transaction,
      maximum_out_per_day = excluded.maximum_out_per_day,
      maximum_out_per_month = excluded.maximum_out_per_month,
      updated_at = excluded.updated_at;
  end if;
  return v_limit;
end
$$;

grant execute on function app_public.set_kyc_level_limit(
  integer, text, app_public.amount, app_public.amount, app_public.amount, app_public.amount
) to tallystick_accountant, tallystick_admin;

comment on function app_public.set_kyc_level_limit(
  integer, text, app_public.amount, app_public.amount, app_public.amount, app_public.amount
) is $$
Sets what customers of a level may have on an account and move out of it, in minor units of the currency. A
limit that is left out is taken away. It holds from now on, for every account that has an owner.
$$;
--! EndIncluded kyc/set_kyc_level_limit.sql
--! Included kyc/kyc_profiles_current_level.sql
-- The level that counts now.
create or replace function app_public.kyc_profiles_current_level(profile app_public.kyc_profiles)
returns smallint
language sql
stable
as $$
  select app_hidden.kyc_level_at(profile.tenant_id, profile.user_id, clock_timestamp())
$$;

grant execute on function app_public.kyc_profiles_current_level(app_public.kyc_profiles) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.kyc_profiles_current_level(app_public.kyc_profiles) is
  'The level that counts now: that of the profile until it expires, 0 from that instant on.';

/*
 * A profile by its customer: the own one if nobody is named.
 */
create or replace function app_public.kyc_profile(user_id uuid default null)
returns app_public.kyc_profiles
language sql
stable
as $$
  select p.*
  from app_public.kyc_profiles p
  where p.tenant_id = app_hidden.current_tenant_id()
    and p.user_id = coalesce(kyc_profile.user_id, app_hidden.current_user_id())
$$;

grant execute on function app_public.kyc_profile(uuid) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.kyc_profile(uuid) is
  'How far a customer is verified: the own profile if nobody is named; null for who has none.';

-- A case by its id.
create or replace function app_public.kyc_case(id uuid)
returns app_public.kyc_cases
language sql
stable
as $$
  select c.*
  from app_public.kyc_cases c
  where c.tenant_id = app_hidden.current_tenant_id() and c.id = kyc_case.id
$$;

grant execute on function app_public.kyc_case(uuid) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.kyc_case(uuid) is 'A verification case by its id; null if there is none.';
--! EndIncluded kyc/kyc_profiles_current_level.sql
--! Included kyc/comments.sql
/*
 * What GraphQL says about the verification of customers.
 */
comment on type app_public.customer_detail is 'A kind of sensitive detail of a customer.';
comment on type app_public.kyc_status is 'Whether a customer is verified.';
comment on type app_public.kyc_case_status is 'Where a verification case stands.';
comment on type app_public.kyc_evidence_kind is 'What a piece of evidence shows.';
comment on type app_public.kyc_check_status is 'Where the check of a provider stands.';

comment on column app_public.tenants.has_kyc_limits is
  'Whether the level of a customer limits what their accounts may hold and move.';

comment on table app_public.kyc_profiles is $$
@behavior +query:resource:connection +type:node

How far a customer is verified.
$$;
comment on column app_public.kyc_profiles.user_id is $$
@behavior +attribute:orderBy

The id of the customer.
$$;
comment on column app_public.kyc_profiles.level is
  'The level that was last granted, 0 to 3; currentLevel tells what counts now.';
comment on column app_public.kyc_profiles.status is 'Whether the customer is verified.';
comment on column app_public.kyc_profiles.expires_at is 'From when on the level counts as 0.';
comment on column app_public.kyc_profiles.created_at is 'When the first case was opened.';
comment on column app_public.kyc_profiles.updated_at is 'When the profile last changed.';

comment on table app_public.kyc_cases is $$
@behavior +query:resource:connection +type:node

A request to verify a customer for a level.
$$;
comment on column app_public.kyc_cases.id is $$
@behavior +attribute:orderBy

The id of the case.
$$;
comment on column app_public.kyc_cases.user_id is $$
@behavior +attribute:filterBy

The id of the customer.
$$;
comment on column app_public.kyc_cases.requested_level is 'The level that is asked for, 1 to 3.';
comment on column app_public.kyc_cases.status is $$
@behavior +attribute:filterBy

Where the case stands.
$$;
comment on column app_public.kyc_cases.message is 'What the customer is asked for or told.';
comment on column app_public.kyc_cases.opened_by is 'Who opened the case.';
comment on column app_public.kyc_cases.created_at is 'When the case was opened.';
comment on column app_public.kyc_cases.updated_at is 'When the case last moved.';

comment on table app_public.kyc_evidence is 'A document that was named for a case. It is kept elsewhere.';
comment on column app_public.kyc_evidence.id is 'The id of the piece of evidence.';
comment on column app_public.kyc_evidence.case_id is 'The id of the case.';
comment on column app_public.kyc_evidence.kind is 'What it shows.';
comment on column app_public.kyc_evidence.reference_ciphertext is '@behavior -*';
comment on column app_public.kyc_evidence.submitted_by is 'Who submitted it.';
comment on column app_public.kyc_evidence.created_at is 'When it was submitted.';

comment on table app_public.kyc_checks is 'What a provider was asked about a case, and what it found.';
comment on column app_public.kyc_checks.id is 'The id of the check: the idempotency key at the provider.';
comment on column app_public.kyc_checks.case_id is 'The id of the case.';
comment on column app_public.kyc_checks.status is 'Where the check stands.';
comment on column app_public.kyc_checks.provider_reference is 'What the provider calls it.';
comment on column app_public.kyc_checks.finding is 'What the provider says about it.';
comment on column app_public.kyc_checks.attempts is 'How often the provider was asked.';
comment on column app_public.kyc_checks.due_at is 'When the provider is asked next.';
comment on column app_public.kyc_checks.created_at is 'When the check was asked for.';
comment on column app_public.kyc_checks.updated_at is 'When the provider was last asked.';

comment on table app_public.kyc_decisions is 'What a person decided about a case, and why.';
comment on column app_public.kyc_decisions.id is 'The id of the decision.';
comment on column app_public.kyc_decisions.case_id is 'The id of the case.';
comment on column app_public.kyc_decisions.customer_id is 'The id of the customer.';
comment on column app_public.kyc_decisions.opened_by is 'Who opened the case.';
comment on column app_public.kyc_decisions.status is 'What the case became.';
comment on column app_public.kyc_decisions.level is 'The level that was granted.';
comment on column app_public.kyc_decisions.expires_at is 'Until when it was granted.';
comment on column app_public.kyc_decisions.reason is 'Why, for the staff.';
comment on column app_public.kyc_decisions.decided_by is 'Who decided.';
comment on column app_public.kyc_decisions.created_at is 'When it was decided.';

comment on table app_public.kyc_level_limits is $$
@behavior +query:resource:connection

What a customer of a level may hold on an account in a currency, and move out of it.
$$;
comment on column app_public.kyc_level_limits.level is 'The level, 0 to 3.';
comment on column app_public.kyc_level_limits.currency is 'The currency of the account and of the limits.';
comment on column app_public.kyc_level_limits.maximum_balance is
  'What may be on an account, pending amounts counted, in minor units; no limit if null.';
comment on column app_public.kyc_level_limits.maximum_transaction is
  'What one transaction may take out of an account, in minor units; no limit if null.';
comment on column app_public.kyc_level_limits.maximum_out_per_day is
  'What may leave an account on a day (UTC), what is reserved counted, in minor units; no limit if null.';
comment on column app_public.kyc_level_limits.maximum_out_per_month is
  'What may leave an account in a month (UTC), what is reserved counted, in minor units; no limit if null.';
comment on column app_public.kyc_level_limits.updated_at is 'When the limits were last set.';

comment on constraint kyc_profiles_user_id_fkey on app_public.kyc_profiles is '@behavior -*';
comment on constraint kyc_cases_user_id_fkey on app_public.kyc_cases is '@behavior -*';
comment on constraint kyc_level_limits_currency_fkey on app_public.kyc_level_limits is '@behavior -*';
comment on constraint kyc_evidence_case_id_fkey on app_public.kyc_evidence is $$
@fieldName case
@foreignFieldName evidence
@forwardDescription The case.
@backwardDescription The evidence that was submitted for the case.
$$;
comment on constraint kyc_checks_case_id_fkey on app_public.kyc_checks is $$
@fieldName case
@foreignFieldName checks
@forwardDescription The case.
@backwardDescription What a provider was asked about the case. For the staff.
$$;
comment on constraint kyc_decisions_case_id_fkey on app_public.kyc_decisions is $$
@fieldName case
@foreignFieldName decisions
@forwardDescription The case.
@backwardDescription What was decided about the case. For the staff.
$$;
--! EndIncluded kyc/comments.sql
--! Included access/kyc.sql
/*
 * Who sees what about customers: staff all of their tenant, a customer what is their own. What the provider
 * found and why somebody decided is for the staff alone.
 */
drop policy if exists select_staff on app_hidden.customer_details;
create policy select_staff on app_hidden.customer_details for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

drop policy if exists select_own_details on app_hidden.customer_details;
create policy select_own_details on app_hidden.customer_details for select to tallystick_customer
  using (
    tenant_id = (select app_hidden.current_tenant_id()) and user_id = (select app_hidden.current_user_id())
  );

grant select on app_hidden.customer_details to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

drop policy if exists select_staff on app_public.kyc_profiles;
create policy select_staff on app_public.kyc_profiles for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

drop policy if exists select_own_profile on app_public.kyc_profiles;
create policy select_own_profile on app_public.kyc_profiles for select to tallystick_customer
  using (
    tenant_id = (select app_hidden.current_tenant_id()) and user_id = (select app_hidden.current_user_id())
  );

grant select on app_public.kyc_profiles to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

drop policy if exists select_staff on app_public.kyc_cases;
create policy select_staff on app_public.kyc_cases for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

drop policy if exists select_own_cases on app_public.kyc_cases;
create policy select_own_cases on app_public.kyc_cases for select to tallystick_customer
  using (
    tenant_id = (select app_hidden.current_tenant_id()) and user_id = (select app_hidden.current_user_id())
  );

grant select on app_public.kyc_cases to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

drop policy if exists select_staff on app_public.kyc_evidence;
create policy select_staff on app_public.kyc_evidence for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

-- The cases in the subquery are those that the customer may see: their policy holds in here too.
drop policy if exists select_own_cases on app_public.kyc_evidence;
create policy select_own_cases on app_public.kyc_evidence for select to tallystick_customer
  using (
    tenant_id = (select app_hidden.current_tenant_id())
    and exists (
      select
      from app_public.kyc_cases c
      where c.tenant_id = (select app_hidden.current_tenant_id()) and c.id = kyc_evidence.case_id
    )
  );

grant select on app_public.kyc_evidence to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

drop policy if exists select_staff on app_public.kyc_checks;
create policy select_staff on app_public.kyc_checks for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_public.kyc_checks to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

drop policy if exists select_staff on app_public.kyc_decisions;
create policy select_staff on app_public.kyc_decisions for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_public.kyc_decisions to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

drop policy if exists select_signed_in on app_public.kyc_level_limits;
create policy select_signed_in on app_public.kyc_level_limits for select to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_public.kyc_level_limits to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

-- Reached through a view of checks alone.
drop policy if exists select_staff on app_private.outflow_windows;
create policy select_staff on app_private.outflow_windows for select to
  tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_private.outflow_windows to
  tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded access/kyc.sql
--! Included checks/exceeded_kyc_limits.sql
/*
 * What can be proven afterwards. Levels and limits change, and the books do not keep what they were, so only
 * what happened since the last change of both counts: the outflow of the day of the newest posting, where
 * neither changed on it, and the balance where the newest posting is later than both and added to it. What
 * had been reserved is left out, since the limits may have been wider then. Older days are the audit
 * trail's to tell.
 */
create or replace view checks.exceeded_kyc_limits with (security_invoker = true) as
with limited as (
  select
    b.tenant_id, b.account_id, b.normal_balance, b.version, b.last_created_at,
    date_trunc('day', b.last_created_at, 'UTC') as day,
    greatest(l.updated_at, coalesce(p.updated_at, '-infinity')) as changed_at,
    l.level = app_hidden.kyc_level_at(
      a.tenant_id, a.owner_id, date_trunc('day', b.last_created_at, 'UTC')) as is_same_all_day,
    l.maximum_balance, l.maximum_transaction,
    least(l.maximum_out_per_day, l.maximum_out_per_month) as maximum_out,
    case b.normal_balance
      when 'debit' then b.posted_debits::numeric - b.posted_credits
      else b.posted_credits::numeric - b.posted_debits
    end as balance
  from app_public.accounts a
  join app_public.account_balances b on b.tenant_id = a.tenant_id and b.account_id = a.id
  left join app_public.kyc_profiles p on p.tenant_id = a.tenant_id and p.user_id = a.owner_id
  join app_public.kyc_level_limits l
    on l.tenant_id = a.tenant_id and l.currency = a.currency
    and l.level = app_hidden.kyc_level_at(a.tenant_id, a.owner_id, b.last_created_at)
  where a.owner_id is not null and b.version > 0
)
select l.tenant_id, l.account_id, r.rule, r.maximum::numeric as maximum, r.amount
from limited l
cross join lateral app_hidden.versions_at(
  l.tenant_id, array[l.account_id], l.day - interval '1 microsecond'
) v
cross join lateral (
  select sum(t.amount) as total, max(t.amount) as largest
  from (
    select sum(p.posted_amount::numeric) as amount
    from app_public.postings p
    where p.tenant_id = l.tenant_id and p.account_id = l.account_id and p.version > v.version
      and p.direction <> l.normal_balance and p.pending_amount = 0
    group by p.transaction_id
  ) t
) o
cross join lateral (
  values ('maximum_out', l.maximum_out, o.total), ('maximum_transaction', l.maximum_transaction, o.largest)
) as r (rule, maximum, amount)
where l.is_same_all_day and l.changed_at < l.day and r.amount > r.maximum
union all
select l.tenant_id, l.account_id, 'maximum_balance', l.maximum_balance::numeric, l.balance
from limited l
join app_public.postings p
  on p.tenant_id = l.tenant_id and p.account_id = l.account_id and p.version = l.version
where l.changed_at < l.last_created_at and l.balance > l.maximum_balance
  and p.direction = l.normal_balance and p.posted_amount > 0 and p.pending_amount = 0;

grant select on checks.exceeded_kyc_limits to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.exceeded_kyc_limits is $$
No account of a customer passes the limits of their level: on the day of its newest posting, where level and
limits were the same all day, and in its balance.
$$;
--! EndIncluded checks/exceeded_kyc_limits.sql
--! Included checks/outflow_windows_that_differ.sql
create or replace view checks.outflow_windows_that_differ with (security_invoker = true) as
select w.tenant_id, w.account_id, c.starts_at, c.stored::numeric as stored, coalesce(p.posted_out, 0) as recomputed
from app_private.outflow_windows w
join app_public.accounts a on a.tenant_id = w.tenant_id and a.id = w.account_id
cross join lateral (
  values (w.day, w.out_before_day), (w.month, w.out_before_month)
) as c (starts_at, stored)
left join lateral app_hidden.versions_at(
  w.tenant_id, array[w.account_id], c.starts_at - interval '1 microsecond'
) v on true
left join lateral (
  select case a.normal_balance when 'debit' then p.posted_credits else p.posted_debits end::numeric as posted_out
  from app_public.postings p
  where p.tenant_id = w.tenant_id and p.account_id = w.account_id and p.version = v.version
) p on true
where c.stored <> coalesce(p.posted_out, 0);

grant select on checks.outflow_windows_that_differ to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.outflow_windows_that_differ is $$
What is kept of the outflow of an account before its day and month is what the postings say.
$$;
--! EndIncluded checks/outflow_windows_that_differ.sql
---- velocity ----
alter type app_private.actor add attribute has_kyc_limits boolean;
alter type app_private.batch_rules
  add attribute out_ceilings numeric[],
  add attribute maximum_outs numeric[],
  add attribute maximum_balances numeric[];
drop function app_private.post_batch__read_rules(app_private.actor, boolean, text[]);
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
    s.tenant_id, s.user_id, s.id, s.role, s.second_factor_at, t.has_thresholds, t.has_kyc_limits,
    case
      when s.revoked_at is not null or s.expires_at <= now() then 'LG401'
      when t.status = 'suspended' then 'LG403'
      when p.permission is null or not authorize.permission = any (coalesce(s.scopes, array[p.permission]))
        then 'LG402'
      when s.second_factor_at is null and s.role = any (t.second_factor_roles) then 'LG404'
    end
  into v_actor.tenant_id, v_actor.user_id, v_actor.session_id, v_actor.role, v_actor.second_factor_at,
    v_actor.has_thresholds, v_actor.has_kyc_limits, v_fault
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
  select row(tenant_id, null, null, null, null, false, false)::app_private.actor
$$;
--! EndIncluded identity/authorize.sql
--! Included engine/post_batch__read_rules.sql
/*
 * Step 4b, only where the tenant has such rules, by account: from which sum on a transaction needs a second
 * person, or a second factor, in its currency, and what the level of its owner allows. A second factor is good
 * for five minutes; once a second person has agreed, there is no approval to ask for.
 *
 * A statement of its own after the lock, so that it sees what those waited for have committed.
 */
create or replace function app_private.post_batch__read_rules(
  actor app_private.actor,
  is_approved boolean,
  accounts app_private.batch_accounts,
  at timestamptz
)
returns app_private.batch_rules
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_rules app_private.batch_rules;
begin
  if actor.has_thresholds then
    select
      array_agg(case when not is_approved then t.approval_amount::numeric end order by c.n),
      array_agg(
        case when actor.second_factor_at is null or actor.second_factor_at < now() - interval '5 minutes'
          then t.second_factor_amount::numeric
        end order by c.n
      )
    into v_rules.approval_amounts, v_rules.second_factor_amounts
    from unnest(accounts.currencies) with ordinality as c (currency, n)
    left join app_public.transaction_thresholds t
      on t.tenant_id = actor.tenant_id and t.currency = c.currency;
  end if;
  if actor.has_kyc_limits then
    select
      array_agg(v.out_ceiling order by a.n),
      array_agg(v.maximum_out order by a.n),
      array_agg(v.maximum_balance order by a.n)
    into v_rules.out_ceilings, v_rules.maximum_outs, v_rules.maximum_balances
    from unnest(accounts.ids) with ordinality as a (id, n)
    left join app_private.velocity_ceilings(actor.tenant_id, accounts.ids, at) v on v.account_id = a.id;
  end if;
  return v_rules;
end
$$;

/*
 * The refusal of one transaction by these rules, with its detail; null when none applies. Its debits are
 * summed by currency.
 */
create or replace function app_private.post_batch__broken_rule(
  rules app_private.batch_rules,
  account_currencies text[],
  accounts integer[],
  is_debit boolean[],
  amounts numeric[],
  out code text,
  out detail jsonb
)
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select
    case when d.amount >= d.approval_amount then 'LG405' else 'LG406' end,
    jsonb_build_object('currency', d.currency, 'amount', d.amount::text, 'threshold',
      case when d.amount >= d.approval_amount then d.approval_amount else d.second_factor_amount end::text)
  from (
    select
      account_currencies[l.account] as currency, sum(l.amount) as amount,
      min(rules.approval_amounts[l.account]) as approval_amount,
      min(rules.second_factor_amounts[l.account]) as second_factor_amount
    from unnest(accounts, is_debit, amounts) as l (account, is_debit, amount)
    where l.is_debit
    group by 1
  ) d
  where d.amount >= d.approval_amount or d.amount >= d.second_factor_amount
  order by d.amount >= d.approval_amount desc nulls last, d.currency
  limit 1
$$;
--! EndIncluded engine/post_batch__read_rules.sql
--! Included engine/post_batch__decide.sql
/*
 * Step 6: decide each item in sequence, in memory. An item sees what the accepted items before it left,
 * so that a batch answers as its items one at a time would.
 *
 * The first refusal wins, in this order, which is tested:
 *   shape (LG1xx, found before) → key (LG501) → target (LG304–LG308, LG310–LG312) → account unknown
 *   (LG301) → more than reserved (LG206) → unbalanced (LG201) → closed, frozen (LG303, LG302) → period
 *   (LG309) → approval, second factor (LG405, LG406) → conditions (LG205, or LG301) → overflow and
 *   limits (LG204, LG202, LG203) → what the level of the owner allows (LG208, LG207, LG209)
 * Faults of one step are told for the first line, or condition, that has one.
 *
 * One long function, because plpgsql changes an element of an array in place only in a local variable:
 * handing arrays to a helper would copy them for every item.
 */
create or replace function app_private.post_batch__decide(
  tenant_id integer,
  at timestamptz,
  items app_private.batch_items,
  lines app_private.batch_lines,
  accounts app_private.batch_accounts,
  targets app_private.batch_targets,
  rules app_private.batch_rules
)
returns app_private.batch_decision
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  -- Items
  v_kinds app_public.transaction_kind[] := items.kinds;
  v_effective_at timestamptz[] := items.effective_at;
  v_keys text[] := items.keys;
  v_fingerprints bytea[] := items.fingerprints;
  v_same_key integer[] := items.same_key;
  v_same_target integer[] := items.same_target;
  v_codes text[] := items.codes;
  v_details jsonb[] := items.details;
  v_count integer := coalesce(cardinality(items.kinds), 0);
  v_has_references boolean := items.has_references;
  v_has_timeouts boolean := items.has_timeouts;
  v_has_thresholds boolean := rules.approval_amounts is not null;
  v_has_kyc_limits boolean := rules.out_ceilings is not null;
  v_replayed_ids uuid[] := targets.replayed_ids;
  v_replayed_fingerprints bytea[] := targets.replayed_fingerprints;
  v_ids uuid[] := array_fill(null::uuid, array[v_count]);
  v_is_replayed boolean[] := array_fill(false, array[v_count]);
  v_is_accepted boolean[] := array_fill(false, array[v_count]);
  v_created_at timestamptz[] := array_fill(null::timestamptz, array[v_count]);
  -- The item whose key, or whose resolution of a target, took effect: this one or one before it.
  v_key_owner integer[] := array_fill(null::integer, array[v_count]);
  v_target_owner integer[] := array_fill(null::integer, array[v_count]);
  -- Lines
  l_items integer[] := lines.items;
  l_accounts integer[] := lines.accounts;
  l_is_debit boolean[] := lines.is_debit;
  l_posted numeric[] := lines.posted;
  l_pending numeric[] := lines.pending;
  l_count integer := coalesce(cardinality(lines.items), 0);
  l_transaction_ids uuid[] := array_fill(null::uuid, array[l_count]);
  l_created_at timestamptz[] := array_fill(null::timestamptz, array[l_count]);
  l_effective_at timestamptz[] := array_fill(null::timestamptz, array[l_count]);
  l_currencies text[] := array_fill(null::text, array[l_count]);
  l_is_debit_normal boolean[] := array_fill(null::boolean, array[l_count]);
  l_expired_debits numeric[] := array_fill(0::numeric, array[l_count]);
  l_expired_credits numeric[] := array_fill(0::numeric, array[l_count]);
  l_versions bigint[] := array_fill(null::bigint, array[l_count]);
  l_posted_debits numeric[] := array_fill(null::numeric, array[l_count]);
  l_posted_credits numeric[] := array_fill(null::numeric, array[l_count]);
  l_pending_debits numeric[] := array_fill(null::numeric, array[l_count]);
  l_pending_credits numeric[] := array_fill(null::numeric, array[l_count]);
  -- Accounts
  a_currencies text[] := accounts.currencies;
  a_is_debit_normal boolean[] := accounts.is_debit_normal;
  a_statuses app_public.account_status[] := accounts.statuses;
  a_versions bigint[] := accounts.versions;
  a_last_created_at timestamptz[] := accounts.last_created_at;
  a_last_effective_at timestamptz[] := accounts.last_effective_at;
  a_next_expiry_at timestamptz[] := accounts.next_expiry_at;
  a_posted_debits numeric[] := accounts.posted_debits;
  a_posted_credits numeric[] := accounts.posted_credits;
  a_pending_debits numeric[] := accounts.pending_debits;
  a_pending_credits numeric[] := accounts.pending_credits;
  a_expired_debits numeric[] := accounts.expired_debits;
  a_expired_credits numeric[] := accounts.expired_credits;
  a_minimums numeric[] := accounts.minimums;
  a_maximums numeric[] := accounts.maximums;
  -- What one transaction takes out of an account, and which.
  a_taken numeric[] := array_fill(0::numeric, array[coalesce(cardinality(accounts.ids), 0)]);
  a_taken_by integer[] := array_fill(0, array[coalesce(cardinality(accounts.ids), 0)]);
  c_items integer[] := lines.condition_items;
  -- What no account, or no line, of the batch has need not be looked for in each.
  v_is_rising boolean := at > all (accounts.last_created_at);
  v_is_one_currency boolean := accounts.currencies[1] = all (accounts.currencies);
  v_are_all_open boolean := 'open' = all (accounts.statuses);
  v_has_pending boolean := 0 <> any (lines.pending);
  v_has_limits boolean :=
    cardinality(array_remove(accounts.minimums, null)) > 0
    or cardinality(array_remove(accounts.maximums, null)) > 0;
  v_has_expired boolean := 0 <> any (accounts.expired_debits || accounts.expired_credits);
  -- The item at hand
  v_next integer := 1;
  v_first integer;
  v_last integer;
  v_code text;
  v_detail jsonb;
  v_difference text;
  v_owner integer;
  v_kind app_public.transaction_kind;
  v_time timestamptz;
  v_posted numeric;
  v_pending numeric;
  v_is_mixed boolean;
  v_limit numeric;
  v_value numeric;
  a integer;
  c integer := 1;
  v_first_condition integer;
begin
  for i in 1 .. v_count loop
    v_code := v_codes[i];
    v_detail := null;
    v_kind := v_kinds[i];
    v_owner := null;
    v_first := v_next;
    while v_next <= l_count and l_items[v_next] = i loop
      v_next := v_next + 1;
    end loop;
    v_last := v_next - 1;
    v_first_condition := c;
    while c_items[c] = i loop
      c := c + 1;
    end loop;

    if v_has_references then
      -- The same key: stored before, or taken by an item before this one.
      if v_code is null and v_keys[i] is not null then
        v_owner := v_key_owner[v_same_key[i]];
        if v_owner is null and v_replayed_ids[i] is not null then
          v_owner := i;
          v_ids[i] := v_replayed_ids[i];
        end if;
        if v_owner is not null then
          v_difference := app_private.fingerprint_difference(
            v_fingerprints[i], coalesce(v_replayed_fingerprints[v_owner], v_fingerprints[v_owner]));
          if v_difference is null then
            v_ids[i] := v_ids[v_owner];
            v_is_replayed[i] := true;
          else
            v_code := 'LG501';
            v_detail := jsonb_build_object('field', v_difference, 'transactionId', v_ids[v_owner]);
          end if;
        end if;
      end if;

      -- The transaction to resolve or to reverse.
      if v_code is null and not v_is_replayed[i] then
        if items.pending_ids[i] is not null then
          v_code := case
            when targets.kinds[i] is null then 'LG304'
            when targets.kinds[i] <> 'pending' then 'LG308'
            -- Without lines it has come up since they were read: it was not there yet.
            when v_first > v_last then 'LG304'
            else case coalesce(targets.resolved_by[i], v_kinds[v_target_owner[v_same_target[i]]])
              when 'post_pending' then 'LG305'
              when 'void_pending' then 'LG306'
              when 'expire_pending' then 'LG307'
              else case
                when v_kind <> 'expire_pending' and targets.expires_at[i] <= at then 'LG307'
                when v_kind = 'expire_pending' and coalesce(targets.expires_at[i] > at, true) then 'LG321'
              end
            end
          end;
        elsif items.reverses_ids[i] is not null then
          v_code := case
            when targets.kinds[i] is null or targets.kinds[i] = 'posted' and v_first > v_last then 'LG310'
            when v_first > v_last then 'LG312'
            when targets.is_reversed[i] or v_target_owner[v_same_target[i]] is not null then 'LG311'
          end;
        end if;
        if v_code is not null then
          v_detail := jsonb_build_object(
            'transactionId', coalesce(items.pending_ids[i], items.reverses_ids[i]));
        end if;
      end if;
    end if;

    -- Accounts known, lines within what was reserved, debits equal to credits.
    if v_code is null and not v_is_replayed[i] then
      v_posted := 0;
      v_pending := 0;
      v_is_mixed := false;
      -- Each item a microsecond after the one before it, so that the times of every account rise.
      v_time := at + i * interval '1 microsecond';
      for p in v_first .. v_last loop
        a := l_accounts[p];
        if a is null then
          v_code := 'LG301';
          v_detail := jsonb_build_object('accountId', lines.account_ids[p]);
          exit;
        end if;
        if not v_is_rising and a_last_created_at[a] >= v_time then
          v_time := a_last_created_at[a] + interval '1 microsecond';
        end if;
        if not v_is_one_currency and a_currencies[a] <> a_currencies[l_accounts[v_first]] then
          v_is_mixed := true;
        end if;
        if l_is_debit[p] then
          v_posted := v_posted + l_posted[p];
        else
          v_posted := v_posted - l_posted[p];
        end if;
        if v_has_pending then
          v_pending := v_pending + case when l_is_debit[p] then l_pending[p] else -l_pending[p] end;
        end if;
      end loop;

      if v_code is null and v_kind = 'post_pending' and true = any (lines.is_excess[v_first : v_last]) then
        v_code := 'LG206';
        v_detail := jsonb_build_object('transactionId', items.pending_ids[i]);
      end if;

      if v_code is null and (v_posted <> 0 or v_pending <> 0 or v_is_mixed) then
        v_detail := app_private.post_batch__imbalance(a_currencies,
          l_accounts[v_first : v_last], lines.directions[v_first : v_last],
          l_posted[v_first : v_last], l_pending[v_first : v_last]);
        v_code := case when v_detail is not null then 'LG201' end;
      end if;

      -- Closed and frozen accounts take nothing but the release of what they hold.
      if v_code is null and not v_are_all_open then
        for p in v_first .. v_last loop
          a := l_accounts[p];
          if a_statuses[a] <> 'open' and (l_posted[p] > 0 or l_pending[p] > 0) then
            v_code := case when a_statuses[a] = 'closed' then 'LG303' else 'LG302' end;
            v_detail := jsonb_build_object('accountId', accounts.ids[a]);
            exit;
          end if;
        end loop;
      end if;

      if v_code is null and targets.closed_periods[i] is not null then
        v_code := 'LG309';
        v_detail := jsonb_build_object(
          'period', targets.closed_periods[i], 'effectiveAt', v_effective_at[i]);
      end if;

      -- What resolves a pending transaction was asked about when it was made.
      if v_code is null and v_has_thresholds and v_kind in ('posted', 'pending') then
        select r.code, r.detail into v_code, v_detail
        from app_private.post_batch__broken_rule(
          rules, a_currencies, l_accounts[v_first : v_last], l_is_debit[v_first : v_last],
          case when v_kind = 'posted' then l_posted[v_first : v_last] else l_pending[v_first : v_last] end
        ) r;
      end if;

      -- What the caller asserted, before this item touches anything.
      if v_code is null then
        for k in v_first_condition .. c - 1 loop
          a := lines.condition_accounts[k];
          if a is null then
            v_code := 'LG301';
            v_detail := jsonb_build_object('accountId', lines.condition_account_ids[k]);
            exit;
          end if;
          v_value := case when a_is_debit_normal[a]
            then a_posted_debits[a] - a_posted_credits[a] - a_pending_credits[a] + a_expired_credits[a]
            else a_posted_credits[a] - a_posted_debits[a] - a_pending_debits[a] + a_expired_debits[a]
          end;
          if v_value < lines.condition_minimums[k] or a_versions[a] <> lines.condition_versions[k] then
            v_code := 'LG205';
            v_detail := jsonb_build_object('accountId', accounts.ids[a],
              'available', v_value::text, 'version', a_versions[a]::text);
            exit;
          end if;
        end loop;
      end if;
    end if;

    -- Apply, line by line; a refusal below takes it back.
    if v_code is null and not v_is_replayed[i] then
      v_ids[i] := uuidv7();
      v_is_accepted[i] := true;
      v_created_at[i] := v_time;
      if v_effective_at[i] is null then
        v_effective_at[i] := v_time;
      end if;
      for p in v_first .. v_last loop
        a := l_accounts[p];
        if l_is_debit[p] then
          a_posted_debits[a] := a_posted_debits[a] + l_posted[p];
        else
          a_posted_credits[a] := a_posted_credits[a] + l_posted[p];
        end if;
        if v_has_pending then
          if l_is_debit[p] then
            a_pending_debits[a] := a_pending_debits[a] + l_pending[p];
          else
            a_pending_credits[a] := a_pending_credits[a] + l_pending[p];
          end if;
          if v_kind = 'expire_pending' then
            if l_is_debit[p] then
              a_expired_debits[a] := a_expired_debits[a] + l_pending[p];
            else
              a_expired_credits[a] := a_expired_credits[a] + l_pending[p];
            end if;
          end if;
        end if;
        if v_has_expired then
          l_expired_debits[p] := a_expired_debits[a];
          l_expired_credits[p] := a_expired_credits[a];
        end if;
        a_versions[a] := a_versions[a] + 1;
        l_transaction_ids[p] := v_ids[i];
        l_created_at[p] := v_time;
        l_effective_at[p] := v_effective_at[i];
        l_currencies[p] := a_currencies[a];
        l_is_debit_normal[p] := a_is_debit_normal[a];
        l_versions[p] := a_versions[a];
        l_posted_debits[p] := a_posted_debits[a];
        l_posted_credits[p] := a_posted_credits[a];
        l_pending_debits[p] := a_pending_debits[a];
        l_pending_credits[p] := a_pending_credits[a];
      end loop;

      -- The limits, on what the whole transaction left; a release alone cannot pass one.
      for p in v_first .. v_last loop
        a := l_accounts[p];
        if a_posted_debits[a] + a_pending_debits[a] >= 1e38
          or a_posted_credits[a] + a_pending_credits[a] >= 1e38
        then
          v_code := 'LG204';
          v_detail := jsonb_build_object('accountId', accounts.ids[a]);
          exit;
        end if;
        continue when not v_has_limits;
        v_limit := a_minimums[a];
        if v_limit is not null then
          v_value := case when a_is_debit_normal[a]
            then a_posted_debits[a] - a_posted_credits[a] - a_pending_credits[a] + a_expired_credits[a]
            else a_posted_credits[a] - a_posted_debits[a] - a_pending_debits[a] + a_expired_debits[a]
          end;
          if v_value < v_limit then
            v_code := 'LG202';
            v_detail := jsonb_build_object('accountId', accounts.ids[a],
              'minimumBalance', v_limit::text, 'shortBy', (v_limit - v_value)::text);
            exit;
          end if;
        end if;
        v_limit := a_maximums[a];
        if v_limit is not null then
          v_value := case when a_is_debit_normal[a]
            then a_posted_debits[a] - a_posted_credits[a] + a_pending_debits[a] - a_expired_debits[a]
            else a_posted_credits[a] - a_posted_debits[a] + a_pending_credits[a] - a_expired_credits[a]
          end;
          if v_value > v_limit then
            v_code := 'LG203';
            v_detail := jsonb_build_object('accountId', accounts.ids[a],
              'maximumBalance', v_limit::text, 'overBy', (v_value - v_limit)::text);
            exit;
          end if;
        end if;
      end loop;

      -- What the level of the owner of an account allows. What leaves it is summed over the transaction.
      if v_code is null and v_has_kyc_limits then
        for p in v_first .. v_last loop
          a := l_accounts[p];
          v_value := l_posted[p] + l_pending[p];
          continue when v_value <= 0;
          if l_is_debit[p] <> a_is_debit_normal[a] then
            a_taken[a] := v_value + case when a_taken_by[a] = i then a_taken[a] else 0 end;
            a_taken_by[a] := i;
            if a_taken[a] > rules.maximum_outs[a] then
              v_code := 'LG208';
              v_detail := jsonb_build_object('accountId', accounts.ids[a],
                'maximumTransaction', rules.maximum_outs[a]::text,
                'overBy', (a_taken[a] - rules.maximum_outs[a])::text);
              exit;
            end if;
            v_value := case when l_is_debit[p]
              then a_posted_debits[a] + a_pending_debits[a] - a_expired_debits[a]
              else a_posted_credits[a] + a_pending_credits[a] - a_expired_credits[a]
            end;
            if v_value > rules.out_ceilings[a] then
              v_code := 'LG207';
              v_detail := jsonb_build_object('accountId', accounts.ids[a],
                'overBy', (v_value - rules.out_ceilings[a])::text);
              exit;
            end if;
          else
            v_value := case when a_is_debit_normal[a]
              then a_posted_debits[a] - a_posted_credits[a] + a_pending_debits[a] - a_expired_debits[a]
              else a_posted_credits[a] - a_posted_debits[a] + a_pending_credits[a] - a_expired_credits[a]
            end;
            if v_value > rules.maximum_balances[a] then
              v_code := 'LG209';
              v_detail := jsonb_build_object('accountId', accounts.ids[a],
                'maximumBalance', rules.maximum_balances[a]::text,
                'overBy', (v_value - rules.maximum_balances[a])::text);
              exit;
            end if;
          end if;
        end loop;
      end if;

      if v_code is null then
        for p in v_first .. v_last loop
          a := l_accounts[p];
          a_last_created_at[a] := v_time;
          if v_effective_at[i] > a_last_effective_at[a] then
            a_last_effective_at[a] := v_effective_at[i];
          end if;
          if v_has_timeouts and items.timeouts[i] is not null then
            a_next_expiry_at[a] := least(a_next_expiry_at[a],
              v_time + make_interval(secs => items.timeouts[i]));
          end if;
        end loop;
      else
        v_ids[i] := null;
        v_is_accepted[i] := false;
        for p in v_first .. v_last loop
          a := l_accounts[p];
          l_transaction_ids[p] := null;
          a_versions[a] := a_versions[a] - 1;
          if l_is_debit[p] then
            a_posted_debits[a] := a_posted_debits[a] - l_posted[p];
            a_pending_debits[a] := a_pending_debits[a] - l_pending[p];
          else
            a_posted_credits[a] := a_posted_credits[a] - l_posted[p];
            a_pending_credits[a] := a_pending_credits[a] - l_pending[p];
          end if;
        end loop;
      end if;
    end if;

    v_codes[i] := v_code;
    v_details[i] := v_detail;
    if v_has_references then
      v_key_owner[i] := coalesce(v_key_owner[v_same_key[i]], v_owner,
        case when v_is_accepted[i] then i end);
      v_target_owner[i] := coalesce(v_target_owner[v_same_target[i]],
        case when v_is_accepted[i] then i end);
    end if;
  end loop;

  accounts.versions := a_versions;
  accounts.last_created_at := a_last_created_at;
  accounts.last_effective_at := a_last_effective_at;
  accounts.next_expiry_at := a_next_expiry_at;
  accounts.posted_debits := a_posted_debits;
  accounts.posted_credits := a_posted_credits;
  accounts.pending_debits := a_pending_debits;
  accounts.pending_credits := a_pending_credits;
  accounts.expired_debits := a_expired_debits;
  accounts.expired_credits := a_expired_credits;
  return row(
    v_codes, v_details, v_ids, v_is_replayed, v_is_accepted, v_created_at, v_effective_at,
    row(
      l_transaction_ids, l_created_at, l_effective_at, l_currencies, l_is_debit_normal, l_versions,
      l_posted_debits, l_posted_credits, l_pending_debits, l_pending_credits,
      l_expired_debits, l_expired_credits
    )::app_private.batch_postings,
    accounts
  )::app_private.batch_decision;
end
$$;
--! EndIncluded engine/post_batch__decide.sql
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
  v_rules app_private.batch_rules;
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
  if actor.has_thresholds or actor.has_kyc_limits then
    v_rules := app_private.post_batch__read_rules(actor, is_approved, v_accounts, v_at);
  end if;
  v_decision := app_private.post_batch__decide(
    tenant_id, v_at, v_items, v_lines, v_accounts, v_targets, v_rules);

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
