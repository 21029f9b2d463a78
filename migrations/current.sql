-- The migration being written. See migrations/README.md.

---- words ----
--!include errors/refusals.sql

---- webhooks ----

-- The outbox is a queue: what is in it was committed, and is taken in the order in which it was put in. A number
-- of a sequence keeps that order where a clock that is set back does not.
alter table app_private.outbox add column number bigint generated always as identity;
alter table app_private.outbox drop constraint outbox_pkey;
alter table app_private.outbox add constraint outbox_pkey primary key (tenant_id, number);
drop index app_private.outbox_xact_id_idx;
alter table app_private.outbox drop column xact_id;

-- The last number that was removed because it was old.
alter table app_private.event_streams add column pruned_number bigint not null default 0;
alter table app_private.event_streams add constraint event_streams_pruned_number_was_reached
  check (pruned_number between 0 and last_number);

-- A reader of some kinds finds its next event without reading those between.
drop index app_public.events_kind_idx;
create index events_kind_idx on app_public.events (kind, tenant_id, number);

create type app_public.webhook_endpoint_status as enum ('enabled', 'disabled', 'archived');
create type app_public.webhook_disabling_reason as enum ('by_hand', 'failing', 'gone');

-- Where a tenant wants to hear of events.
create table app_public.webhook_endpoints (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  url text not null,
  description text,
  event_kinds text[] not null,
  status app_public.webhook_endpoint_status not null default 'enabled',
  disabled_because app_public.webhook_disabling_reason,
  disabled_at timestamptz,
  created_by uuid not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint webhook_endpoints_pkey primary key (tenant_id, id),
  constraint webhook_endpoints_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint webhook_endpoints_created_by_fkey foreign key (created_by)
    references app_public.users on delete restrict,
  constraint webhook_endpoints_url_is_http check (url ~ '^https?://[^[:space:][:cntrl:]]+$'),
  constraint webhook_endpoints_url_is_at_most_2000_characters check (length(url) <= 2000),
  constraint webhook_endpoints_description_is_1_to_1000_characters check (length(description) between 1 and 1000),
  constraint webhook_endpoints_event_kinds_are_1_to_100 check (
    array_ndims(event_kinds) = 1 and cardinality(event_kinds) between 1 and 100
    and array_position(event_kinds, null) is null),
  constraint webhook_endpoints_disabled_for_a_reason check (
    (status = 'disabled') = (disabled_because is not null) and (status = 'disabled') = (disabled_at is not null))
);

create index webhook_endpoints_created_by_idx on app_public.webhook_endpoints (created_by);

-- How far an endpoint has come, and who is telling it. Apart from the endpoint, for it changes with every event.
create table app_public.webhook_positions (
  tenant_id integer not null,
  endpoint_id uuid not null,
  number bigint not null,
  attempts integer not null default 0,
  failing_since timestamptz,
  next_attempt_at timestamptz,
  delivered_at timestamptz,
  lease_id uuid,
  lease_expires_at timestamptz,
  constraint webhook_positions_pkey primary key (tenant_id, endpoint_id),
  constraint webhook_positions_endpoint_id_fkey foreign key (tenant_id, endpoint_id)
    references app_public.webhook_endpoints on delete restrict,
  constraint webhook_positions_number_is_not_negative check (number >= 0),
  constraint webhook_positions_attempts_is_not_negative check (attempts >= 0),
  constraint webhook_positions_lease_has_an_end check ((lease_id is null) = (lease_expires_at is null))
) with (fillfactor = 70);

-- What deliveries are signed with: one that counts for good, and while it is rotated the one before.
create table app_private.webhook_secrets (
  tenant_id integer not null,
  id uuid not null,
  endpoint_id uuid not null,
  secret_ciphertext bytea not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  constraint webhook_secrets_pkey primary key (tenant_id, id),
  constraint webhook_secrets_endpoint_id_fkey foreign key (tenant_id, endpoint_id)
    references app_public.webhook_endpoints on delete restrict
);

create index webhook_secrets_endpoint_id_idx on app_private.webhook_secrets (tenant_id, endpoint_id);

create type app_public.webhook_delivery_outcome as enum ('delivered', 'failed');

-- Each attempt to tell an endpoint of an event.
create table app_public.webhook_deliveries (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  endpoint_id uuid not null,
  event_number bigint not null,
  event_id uuid not null,
  event_kind text not null,
  attempt integer not null,
  outcome app_public.webhook_delivery_outcome not null,
  status_code integer,
  error text,
  answer text,
  duration_ms integer not null,
  next_attempt_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  constraint webhook_deliveries_pkey primary key (tenant_id, id),
  constraint webhook_deliveries_endpoint_id_fkey foreign key (tenant_id, endpoint_id)
    references app_public.webhook_endpoints on delete restrict,
  constraint webhook_deliveries_event_kind_fkey foreign key (event_kind)
    references app_public.event_kinds on delete restrict,
  constraint webhook_deliveries_attempt_is_positive check (attempt > 0),
  constraint webhook_deliveries_error_is_at_most_500_characters check (length(error) <= 500),
  constraint webhook_deliveries_answer_is_at_most_1024_characters check (length(answer) <= 1024),
  constraint webhook_deliveries_duration_ms_is_not_negative check (duration_ms >= 0)
);

create index webhook_deliveries_endpoint_id_idx
  on app_public.webhook_deliveries (tenant_id, endpoint_id, event_number, attempt);
create index webhook_deliveries_event_kind_idx on app_public.webhook_deliveries (event_kind);

--!include errors/refusals.sql
--!include identity/permissions.sql
--!include audit/security_event_kinds.sql
--!include encryption/encrypted_columns.sql
--!include audit/exceptions.sql
--!include events/event_kinds.sql
--!include events/relay_events.sql
--!include events/wake_consumers.sql
--!include webhooks/wake_webhooks.sql
--!include webhooks/lock_webhook_endpoint.sql
--!include webhooks/create_webhook_endpoint.sql
--!include webhooks/update_webhook_endpoint.sql
--!include webhooks/rotate_webhook_secret.sql
--!include webhooks/set_webhook_endpoint_status.sql
--!include webhooks/send_test_event.sql
--!include webhooks/redeliver_webhook_events.sql
--!include webhooks/next_webhook_event.sql
--!include webhooks/webhook_body.sql
--!include webhooks/take_webhook_delivery.sql
--!include webhooks/record_webhook_delivery.sql
--!include webhooks/housekeeping.sql
--!include events/prune_events.sql
--!include events/access.sql
--!include webhooks/append_only.sql
--!include webhooks/access.sql
--!include webhooks/comments.sql
--!include checks/event_streams_with_gaps.sql
--!include checks/events_of_missing_transactions.sql
--!include checks/outbox_rows_left_behind.sql
--!include checks/webhook_positions_out_of_range.sql

--!include access/row_level_security.sql
--!include audit/triggers.sql

---- payments ----

create type app_public.payment_input as (
  kind app_public.payment_kind,
  account_id uuid,
  to_account_id uuid,
  amount app_public.amount,
  currency text,
  provider_code text,
  counterparty_id uuid,
  refund_of_id uuid,
  reference text,
  description text,
  metadata jsonb,
  idempotency_key text,
  execute_at timestamptz,
  expires_at timestamptz
);

-- What is to be given up, in the order in which it is.
create index payments_expires_at_idx on app_public.payments (tenant_id, expires_at)
  where expires_at is not null and status in ('requested', 'reserved');

-- Once it was handed to a provider, only the provider ends it.
delete from app_private.payment_moves_allowed where (from_status, to_status) = ('submitted', 'expired');

--!include errors/refusals.sql
--!include identity/permissions.sql
--!include payments/payment_moves_allowed.sql
--!include payments/move_payment.sql
--!include payments/may_pay_with.sql
--!include payments/payment_fingerprint.sql
--!include payments/payment_route.sql
--!include payments/payment_of_input.sql
--!include payments/payment_postings.sql
--!include payments/post_for_payment.sql
--!include payments/reserve_payment.sql
--!include payments/submit_payment.sql
--!include payments/settle_payment.sql
--!include payments/release_payment.sql
--!include payments/return_payment.sql
--!include payments/reroute_payment.sql
--!include payments/expire_payments.sql
--!include payments/insert_payment.sql
--!include payments/create_payment.sql
--!include payments/tg_payments__keep.sql
--!include payments/refuse_payment_transactions.sql
--!include payments/access.sql
--!include payments/comments.sql
--!include ledger/authorize_posting.sql
--!include ledger/post_pending_transaction.sql
--!include ledger/void_pending_transaction.sql
--!include ledger/reverse_transaction.sql
--!include access/partner.sql
--!include access/row_level_security.sql
--!include audit/triggers.sql

---- reconciliation ----

create type app_public.statement_format as enum ('camt', 'csv', 'report');
create type app_public.money_flow as enum ('in', 'out');
create type app_public.clearing_item_kind as enum ('payment', 'return', 'transaction');
create type app_public.matching_rule_kind as enum (
  'provider_reference', 'reference', 'one_to_many', 'many_to_one', 'amount_and_date'
);
create type app_public.match_status as enum ('proposed', 'confirmed', 'rejected');
create type app_public.break_kind as enum (
  'payment_missing', 'entry_missing', 'amount_differs', 'duplicate', 'currency_differs'
);
create type app_public.break_age as enum ('days_0_to_1', 'days_2_to_7', 'days_8_to_30', 'days_over_30');
create type app_public.statement_entry_status as enum ('imported', 'unmatched', 'proposed', 'matched', 'written_off');

--------------------------------------------------------------------------------------------------
-- Statements: what providers say, as they said it

-- A clearing account that is held against the statements of its provider. Each has accounts of its own: with a
-- shared one nobody could say which provider a difference belongs to. Its row is the lock of all that is done
-- about them.
alter table app_public.payment_provider_accounts
  add constraint payment_provider_accounts_accounts_key
    unique (tenant_id, provider_code, currency, clearing_account_id, suspense_account_id);

create table app_public.reconciled_accounts (
  tenant_id integer not null,
  provider_code text not null,
  currency text not null,
  clearing_account_id uuid not null,
  suspense_account_id uuid not null,
  closing_balance app_public.amount not null default 0,
  last_statement_id uuid,
  collected_version bigint not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint reconciled_accounts_pkey primary key (tenant_id, provider_code, currency),
  -- From now on the provider keeps these accounts.
  constraint reconciled_accounts_provider_code_fkey
    foreign key (tenant_id, provider_code, currency, clearing_account_id, suspense_account_id)
    references app_public.payment_provider_accounts
      (tenant_id, provider_code, currency, clearing_account_id, suspense_account_id)
    on delete restrict,
  constraint reconciled_accounts_clearing_account_id_fkey foreign key (tenant_id, clearing_account_id)
    references app_public.accounts on delete restrict,
  constraint reconciled_accounts_suspense_account_id_fkey foreign key (tenant_id, suspense_account_id)
    references app_public.accounts on delete restrict,
  constraint reconciled_accounts_clearing_account_id_key unique (tenant_id, clearing_account_id),
  constraint reconciled_accounts_suspense_account_id_key unique (tenant_id, suspense_account_id),
  constraint reconciled_accounts_collected_version_is_not_negative check (collected_version >= 0)
);

create table app_public.statements (
  tenant_id integer not null,
  id uuid not null,
  number bigint not null,
  previous_number bigint generated always as (nullif(number - 1, 0)) stored,
  provider_code text not null,
  currency text not null,
  format app_public.statement_format not null,
  reference text not null,
  file_hash bytea not null,
  file_position integer not null,
  opening_balance app_public.amount not null,
  closing_balance app_public.amount not null,
  entry_count integer not null,
  skipped_count integer not null default 0,
  starts_at timestamptz,
  ends_at timestamptz,
  imported_by uuid,
  created_at timestamptz not null default clock_timestamp(),
  constraint statements_pkey primary key (tenant_id, id),
  constraint statements_number_key unique (tenant_id, provider_code, currency, number),
  constraint statements_end_key unique (tenant_id, provider_code, currency, number, closing_balance),
  constraint statements_reference_key unique (tenant_id, provider_code, currency, reference),
  constraint statements_file_hash_key unique (tenant_id, provider_code, file_hash, file_position),
  constraint statements_provider_code_fkey foreign key (tenant_id, provider_code, currency)
    references app_public.reconciled_accounts on delete restrict,
  -- A statement begins with what the one before it ended with.
  constraint statements_opening_balance_fkey
    foreign key (tenant_id, provider_code, currency, previous_number, opening_balance)
    references app_public.statements (tenant_id, provider_code, currency, number, closing_balance)
    on delete restrict,
  constraint statements_number_is_positive check (number > 0),
  constraint statements_reference_is_1_to_140_characters check (length(reference) between 1 and 140),
  constraint statements_file_hash_has_32_bytes check (octet_length(file_hash) = 32),
  constraint statements_file_position_is_positive check (file_position > 0),
  constraint statements_counts_are_not_negative check (entry_count >= 0 and skipped_count >= 0),
  constraint statements_ends_after_it_starts check (ends_at >= starts_at)
);

alter table app_public.reconciled_accounts
  add constraint reconciled_accounts_last_statement_id_fkey foreign key (tenant_id, last_statement_id)
    references app_public.statements on delete restrict;

create index reconciled_accounts_last_statement_id_idx
  on app_public.reconciled_accounts (tenant_id, last_statement_id);

-- Entries come in batches, the statement last, in one database transaction: the foreign key is looked at when
-- that commits, so that there is never a part of a statement.
create table app_public.statement_entries (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  statement_id uuid not null,
  ordinal integer not null,
  provider_code text not null,
  currency text not null,
  entry_key text not null,
  flow app_public.money_flow not null,
  amount app_public.amount not null,
  booked_at timestamptz not null,
  value_at timestamptz,
  reference text,
  end_to_end_id text,
  provider_reference text,
  counterparty_name text,
  counterparty_hint text,
  return_reason text,
  description text,
  created_at timestamptz not null default clock_timestamp(),
  constraint statement_entries_pkey primary key (tenant_id, id),
  constraint statement_entries_ordinal_key unique (tenant_id, statement_id, ordinal),
  constraint statement_entries_entry_key_key unique (tenant_id, provider_code, currency, entry_key),
  -- For the foreign key by which its position has the same facts.
  constraint statement_entries_amount_key unique (tenant_id, id, provider_code, currency, flow, amount),
  constraint statement_entries_statement_id_fkey foreign key (tenant_id, statement_id)
    references app_public.statements on delete restrict deferrable initially deferred,
  constraint statement_entries_provider_code_fkey foreign key (tenant_id, provider_code, currency)
    references app_public.reconciled_accounts on delete restrict,
  constraint statement_entries_ordinal_is_not_negative check (ordinal >= 0),
  constraint statement_entries_entry_key_is_1_to_140_characters check (length(entry_key) between 1 and 140),
  constraint statement_entries_amount_is_positive check (amount > 0),
  constraint statement_entries_reference_is_1_to_140_characters check (length(reference) between 1 and 140),
  constraint statement_entries_end_to_end_id_is_1_to_140_characters check (length(end_to_end_id) between 1 and 140),
  constraint statement_entries_provider_reference_is_1_to_140_characters
    check (length(provider_reference) between 1 and 140),
  constraint statement_entries_counterparty_name_is_1_to_140_characters
    check (length(counterparty_name) between 1 and 140),
  constraint statement_entries_counterparty_hint_is_1_to_8_characters
    check (length(counterparty_hint) between 1 and 8),
  constraint statement_entries_return_reason_is_1_to_100_characters check (length(return_reason) between 1 and 100),
  constraint statement_entries_description_is_1_to_1000_characters check (length(description) between 1 and 1000)
);

-- What an entry may call an item by: the letters and digits of a reference, in lower case.
create table app_private.statement_entry_keys (
  tenant_id integer not null,
  key text not null,
  entry_id uuid not null,
  is_of_provider boolean not null,
  constraint statement_entry_keys_pkey primary key (tenant_id, key, is_of_provider, entry_id),
  constraint statement_entry_keys_entry_id_fkey foreign key (tenant_id, entry_id)
    references app_public.statement_entries on delete restrict,
  constraint statement_entry_keys_key_is_a_key check (key ~ '^[a-z0-9]{3,140}$')
);

create index statement_entry_keys_entry_id_idx on app_private.statement_entry_keys (tenant_id, entry_id);

-- How much of an entry is matched, in suspense and written off. That these never come to more than the entry is
-- a check, not a habit.
create table app_public.entry_positions (
  tenant_id integer not null,
  entry_id uuid not null,
  provider_code text not null,
  currency text not null,
  flow app_public.money_flow not null,
  amount app_public.amount not null,
  is_placed boolean not null default false,
  matched_amount app_public.amount not null default 0,
  suspense_amount app_public.amount not null default 0,
  written_off_amount app_public.amount not null default 0,
  updated_at timestamptz not null default now(),
  constraint entry_positions_pkey primary key (tenant_id, entry_id),
  constraint entry_positions_entry_id_fkey
    foreign key (tenant_id, entry_id, provider_code, currency, flow, amount)
    references app_public.statement_entries (tenant_id, id, provider_code, currency, flow, amount)
    on delete restrict,
  constraint entry_positions_amounts_are_not_negative check (
    matched_amount >= 0 and suspense_amount >= 0 and written_off_amount >= 0
  ),
  constraint entry_positions_amounts_are_those_of_the_entry check (
    case
      when is_placed then matched_amount + suspense_amount + written_off_amount = amount
      else matched_amount < amount and suspense_amount = 0 and written_off_amount = 0
    end
  )
);

create index entry_positions_open_idx on app_public.entry_positions (tenant_id, provider_code, currency, entry_id)
  where not is_placed or suspense_amount > 0;

create index entry_positions_unplaced_idx on app_public.entry_positions (tenant_id, provider_code, currency, entry_id)
  where not is_placed;

--------------------------------------------------------------------------------------------------
-- Clearing items: what the books expect on those statements

create table app_public.clearing_items (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  provider_code text not null,
  currency text not null,
  kind app_public.clearing_item_kind not null,
  payment_id uuid,
  transaction_id uuid,
  flow app_public.money_flow not null,
  amount app_public.amount not null,
  matched_amount app_public.amount not null default 0,
  written_off_amount app_public.amount not null default 0,
  is_void boolean not null default false,
  expected_at timestamptz not null default clock_timestamp(),
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default now(),
  constraint clearing_items_pkey primary key (tenant_id, id),
  constraint clearing_items_provider_code_fkey foreign key (tenant_id, provider_code, currency)
    references app_public.payment_provider_accounts on delete restrict,
  constraint clearing_items_payment_id_fkey foreign key (tenant_id, payment_id)
    references app_public.payments on delete restrict,
  constraint clearing_items_transaction_id_fkey foreign key (tenant_id, transaction_id)
    references app_public.transactions on delete restrict,
  constraint clearing_items_is_of_a_payment_or_a_transaction check ((kind = 'transaction') = (payment_id is null)),
  constraint clearing_items_is_posted_or_a_payment check (kind = 'payment' or transaction_id is not null),
  constraint clearing_items_amount_is_positive check (amount > 0),
  constraint clearing_items_amounts_are_those_of_the_item check (
    matched_amount >= 0 and written_off_amount >= 0 and matched_amount + written_off_amount <= amount
  ),
  constraint clearing_items_only_posted_is_matched check (
    transaction_id is not null or matched_amount + written_off_amount = 0
  ),
  constraint clearing_items_void_is_not_matched check (not is_void or matched_amount + written_off_amount = 0)
);

create unique index clearing_items_payment_id_key on app_public.clearing_items (tenant_id, payment_id, kind)
  where payment_id is not null;
create unique index clearing_items_transaction_id_key on app_public.clearing_items (tenant_id, transaction_id)
  where transaction_id is not null;
create index clearing_items_provider_code_idx on app_public.clearing_items (tenant_id, provider_code, currency);
create index clearing_items_open_idx on app_public.clearing_items (tenant_id, provider_code, currency, id)
  where not is_void and matched_amount + written_off_amount < amount;

create table app_private.clearing_item_keys (
  tenant_id integer not null,
  key text not null,
  item_id uuid not null,
  is_of_provider boolean not null,
  constraint clearing_item_keys_pkey primary key (tenant_id, key, is_of_provider, item_id),
  constraint clearing_item_keys_item_id_fkey foreign key (tenant_id, item_id)
    references app_public.clearing_items on delete restrict,
  constraint clearing_item_keys_key_is_a_key check (key ~ '^[a-z0-9]{3,140}$')
);

create index clearing_item_keys_item_id_idx on app_private.clearing_item_keys (tenant_id, item_id);

--------------------------------------------------------------------------------------------------
-- Matches

create table app_public.matching_rules (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  name text not null,
  priority integer not null,
  kind app_public.matching_rule_kind not null,
  provider_code text,
  tolerance app_public.amount not null default 0,
  days_before integer not null default 0,
  days_after integer not null default 3,
  is_automatic boolean not null default false,
  is_enabled boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint matching_rules_pkey primary key (tenant_id, id),
  constraint matching_rules_name_key unique (tenant_id, name),
  constraint matching_rules_priority_key unique (tenant_id, priority),
  constraint matching_rules_provider_code_fkey foreign key (tenant_id, provider_code)
    references app_public.payment_providers on delete restrict,
  constraint matching_rules_tenant_id_fkey foreign key (tenant_id) references app_public.tenants on delete restrict,
  constraint matching_rules_name_is_1_to_100_characters check (length(name) between 1 and 100),
  constraint matching_rules_priority_is_1_to_1000 check (priority between 1 and 1000),
  constraint matching_rules_tolerance_is_not_negative check (tolerance >= 0),
  constraint matching_rules_amount_and_date_is_exact check (kind <> 'amount_and_date' or tolerance = 0),
  constraint matching_rules_window_is_at_most_a_year check (
    days_before between 0 and 366 and days_after between 0 and 366
  )
);

create index matching_rules_provider_code_idx on app_public.matching_rules (tenant_id, provider_code)
  where provider_code is not null;

create table app_public.reconciliation_matches (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  provider_code text not null,
  currency text not null,
  rule_id uuid,
  priority integer not null default 0,
  status app_public.match_status not null default 'proposed',
  is_automatic boolean not null default false,
  proposed_by uuid,
  created_at timestamptz not null default clock_timestamp(),
  decided_by uuid,
  decided_at timestamptz,
  reason text,
  constraint reconciliation_matches_pkey primary key (tenant_id, id),
  constraint reconciliation_matches_provider_code_fkey foreign key (tenant_id, provider_code, currency)
    references app_public.reconciled_accounts on delete restrict,
  constraint reconciliation_matches_rule_id_fkey foreign key (tenant_id, rule_id)
    references app_public.matching_rules on delete restrict,
  constraint reconciliation_matches_decided_has_its_time check ((status = 'proposed') = (decided_at is null)),
  constraint reconciliation_matches_somebody_decided check (decided_by is null or decided_at is not null),
  constraint reconciliation_matches_reason_is_1_to_1000_characters check (length(reason) between 1 and 1000)
);

create index reconciliation_matches_rule_id_idx on app_public.reconciliation_matches (tenant_id, rule_id)
  where rule_id is not null;
create index reconciliation_matches_open_idx
  on app_public.reconciliation_matches (tenant_id, provider_code, currency, priority, id) where status = 'proposed';
create index reconciliation_matches_provider_code_idx
  on app_public.reconciliation_matches (tenant_id, provider_code, currency, status, id);

create table app_public.reconciliation_match_lines (
  tenant_id integer not null,
  match_id uuid not null,
  entry_id uuid not null,
  item_id uuid not null,
  amount app_public.amount not null,
  constraint reconciliation_match_lines_pkey primary key (tenant_id, match_id, entry_id, item_id),
  constraint reconciliation_match_lines_match_id_fkey foreign key (tenant_id, match_id)
    references app_public.reconciliation_matches on delete restrict,
  constraint reconciliation_match_lines_entry_id_fkey foreign key (tenant_id, entry_id)
    references app_public.statement_entries on delete restrict,
  constraint reconciliation_match_lines_item_id_fkey foreign key (tenant_id, item_id)
    references app_public.clearing_items on delete restrict,
  constraint reconciliation_match_lines_amount_is_positive check (amount > 0)
);

create index reconciliation_match_lines_entry_id_idx
  on app_public.reconciliation_match_lines (tenant_id, entry_id);
create index reconciliation_match_lines_item_id_idx on app_public.reconciliation_match_lines (tenant_id, item_id);

--------------------------------------------------------------------------------------------------
-- Suspense: money of entries that nobody knows, in a place of its own

-- Each transaction that moved the money of an entry into suspense, above zero, or out of it.
create table app_public.suspense_moves (
  tenant_id integer not null,
  transaction_id uuid not null,
  entry_id uuid not null,
  amount app_public.amount not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint suspense_moves_pkey primary key (tenant_id, transaction_id),
  constraint suspense_moves_transaction_id_fkey foreign key (tenant_id, transaction_id)
    references app_public.transactions on delete restrict,
  constraint suspense_moves_entry_id_fkey foreign key (tenant_id, entry_id)
    references app_public.statement_entries on delete restrict,
  constraint suspense_moves_moves_something check (amount <> 0)
);

create index suspense_moves_entry_id_idx on app_public.suspense_moves (tenant_id, entry_id);

-- What is given up, of an entry or of an item, by a proposal that a second person approves.
create table app_public.write_offs (
  tenant_id integer not null,
  proposal_id uuid not null,
  provider_code text not null,
  currency text not null,
  entry_id uuid,
  item_id uuid,
  account_id uuid not null,
  amount app_public.amount not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint write_offs_pkey primary key (tenant_id, proposal_id),
  constraint write_offs_proposal_id_fkey foreign key (tenant_id, proposal_id)
    references app_public.transaction_proposals on delete restrict,
  constraint write_offs_provider_code_fkey foreign key (tenant_id, provider_code, currency)
    references app_public.reconciled_accounts on delete restrict,
  constraint write_offs_entry_id_fkey foreign key (tenant_id, entry_id)
    references app_public.statement_entries on delete restrict,
  constraint write_offs_item_id_fkey foreign key (tenant_id, item_id)
    references app_public.clearing_items on delete restrict,
  constraint write_offs_account_id_fkey foreign key (tenant_id, account_id)
    references app_public.accounts on delete restrict,
  constraint write_offs_is_of_an_entry_or_an_item check (num_nonnulls(entry_id, item_id) = 1),
  constraint write_offs_amount_is_positive check (amount > 0)
);

create index write_offs_entry_id_idx on app_public.write_offs (tenant_id, entry_id) where entry_id is not null;
create index write_offs_item_id_idx on app_public.write_offs (tenant_id, item_id) where item_id is not null;
create index write_offs_account_id_idx on app_public.write_offs (tenant_id, account_id);
create index write_offs_provider_code_idx on app_public.write_offs (tenant_id, provider_code, currency);

--------------------------------------------------------------------------------------------------
-- The report of a day, and what functions answer with

create type app_public.reconciliation_figures as (
  clearing_balance app_public.amount,
  statement_balance app_public.amount,
  in_flight_amount app_public.amount,
  unplaced_amount app_public.amount,
  suspense_balance app_public.amount,
  unexplained_amount app_public.amount,
  imported_count integer,
  imported_amount app_public.amount,
  matched_count integer,
  matched_amount app_public.amount,
  proposed_count integer,
  unmatched_count integer,
  unmatched_amount app_public.amount,
  written_off_count integer,
  written_off_amount app_public.amount,
  break_count integer,
  break_amount app_public.amount,
  oldest_break_at timestamptz
);

create table app_public.reconciliation_reports (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  report_date date not null,
  provider_code text not null,
  currency text not null,
  clearing_balance app_public.amount not null,
  statement_balance app_public.amount not null,
  in_flight_amount app_public.amount not null,
  unplaced_amount app_public.amount not null,
  suspense_balance app_public.amount not null,
  unexplained_amount app_public.amount not null,
  imported_count integer not null,
  imported_amount app_public.amount not null,
  matched_count integer not null,
  matched_amount app_public.amount not null,
  proposed_count integer not null,
  unmatched_count integer not null,
  unmatched_amount app_public.amount not null,
  written_off_count integer not null,
  written_off_amount app_public.amount not null,
  break_count integer not null,
  break_amount app_public.amount not null,
  oldest_break_at timestamptz,
  breaks jsonb not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint reconciliation_reports_pkey primary key (tenant_id, id),
  constraint reconciliation_reports_report_date_key unique (tenant_id, report_date, provider_code, currency),
  constraint reconciliation_reports_provider_code_fkey foreign key (tenant_id, provider_code, currency)
    references app_public.reconciled_accounts on delete restrict,
  constraint reconciliation_reports_breaks_are_a_list check (jsonb_typeof(breaks) = 'array')
);

create index reconciliation_reports_provider_code_idx
  on app_public.reconciliation_reports (tenant_id, provider_code, currency, report_date);

create type app_public.reconciliation_break as (
  kind app_public.break_kind,
  provider_code text,
  currency text,
  flow app_public.money_flow,
  amount app_public.amount,
  entry_id uuid,
  item_id uuid,
  payment_id uuid,
  proposed_match_id uuid,
  since timestamptz,
  age_days integer,
  age app_public.break_age
);

create type app_public.break_total as (
  kind app_public.break_kind,
  provider_code text,
  currency text,
  age app_public.break_age,
  break_count integer,
  amount app_public.amount
);

--!include errors/refusals.sql
--!include identity/permissions.sql
--!include events/event_kinds.sql
--!include audit/exceptions.sql
--!include reconciliation/reference_key.sql
--!include reconciliation/lock_reconciled_account.sql
--!include reconciliation/matching_rules.sql
--!include reconciliation/expect_payment.sql
--!include reconciliation/import_statement.sql
--!include reconciliation/collect_clearing_items.sql
--!include reconciliation/open_sides.sql
--!include reconciliation/find_matches.sql
--!include reconciliation/move_suspense.sql
--!include reconciliation/settle_by_statement.sql
--!include reconciliation/confirm_matches.sql
--!include reconciliation/decide_match.sql
--!include reconciliation/match_by_hand.sql
--!include reconciliation/propose_write_off.sql
--!include reconciliation/reconciliation_breaks.sql
--!include reconciliation/reconciliation_report.sql
--!include reconciliation/statement.sql
--!include reconciliation/append_only.sql
--!include reconciliation/access.sql
--!include reconciliation/comments.sql
--!include approvals/approve_proposal.sql
--!include checks/clearing_accounts_that_differ.sql
--!include checks/reconciled_amounts_that_differ.sql
--!include checks/statements_that_do_not_add_up.sql
--!include checks/suspense_accounts_that_differ.sql
--!include access/row_level_security.sql
--!include audit/triggers.sql
