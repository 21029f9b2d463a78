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
---- posting together ----
drop function app_private.post_batch(
  app_private.actor, app_public.transaction_input[], app_public.batch_mode, boolean, boolean);
drop function app_private.post_batch__attempt(
  app_private.actor, app_public.transaction_input[], app_public.batch_mode, boolean, boolean);
drop function app_private.post_batch__write(
  integer, uuid, app_private.batch_items, app_private.batch_lines, app_private.batch_decision);
--!include identity/authorize.sql
--!include engine/post_batch__write.sql
--!include engine/post_batch__attempt.sql
--!include engine/post_batch.sql
--!include engine/post_together.sql
--!include ledger/tg_transactions__check.sql
--!include ledger/tg_postings__check.sql

---- settlement ----

create type app_public.payment_attempt_status as enum (
  'started', 'calling', 'unknown', 'accepted', 'settled', 'failed', 'abandoned'
);
create type app_public.provider_call as enum ('submit', 'ask', 'cancel');
create type app_public.payment_error_action as enum ('retry', 'fail', 'ask');
create type app_public.circuit_state as enum ('closed', 'open', 'half_open');
create type app_public.dead_letter_source as enum ('payment', 'job', 'webhook', 'message');
create type app_public.dead_letter_resolution as enum ('rerun', 'discarded');

--------------------------------------------------------------------------------------------------
-- How each provider is dealt with, and who goes where

create table app_public.settlement_settings (
  tenant_id integer not null,
  provider_code text not null,
  max_attempts integer not null default 8,
  max_asks integer not null default 60,
  retry_seconds integer not null default 2,
  max_retry_seconds integer not null default 3600,
  poll_seconds integer not null default 5,
  max_poll_seconds integer not null default 3600,
  failure_threshold integer not null default 5,
  window_seconds integer not null default 60,
  open_seconds integer not null default 30,
  probes integer not null default 3,
  probe_seconds integer not null default 60,
  updated_at timestamptz not null default now(),
  constraint settlement_settings_pkey primary key (tenant_id, provider_code),
  constraint settlement_settings_provider_code_fkey foreign key (tenant_id, provider_code)
    references app_public.payment_providers on delete restrict,
  constraint settlement_settings_max_attempts_is_1_to_100 check (max_attempts between 1 and 100),
  constraint settlement_settings_max_asks_is_1_to_1000 check (max_asks between 1 and 1000),
  constraint settlement_settings_retry_rises check (retry_seconds between 1 and max_retry_seconds),
  constraint settlement_settings_max_retry_is_a_day check (max_retry_seconds <= 86400),
  constraint settlement_settings_poll_rises check (poll_seconds between 1 and max_poll_seconds),
  constraint settlement_settings_max_poll_is_a_day check (max_poll_seconds <= 86400),
  constraint settlement_settings_failure_threshold_is_1_to_1000 check (failure_threshold between 1 and 1000),
  constraint settlement_settings_window_is_1_to_3600 check (window_seconds between 1 and 3600),
  constraint settlement_settings_open_is_1_to_3600 check (open_seconds between 1 and 3600),
  constraint settlement_settings_probes_is_1_to_100 check (probes between 1 and 100),
  constraint settlement_settings_probe_is_1_to_3600 check (probe_seconds between 1 and 3600)
);

-- What an error of a provider means for the payment: by kind of provider for everyone, and by provider of a
-- tenant, which goes before.
create table app_public.default_error_policies (
  provider_kind app_public.payment_provider_kind not null,
  error_code text not null,
  action app_public.payment_error_action not null,
  constraint default_error_policies_pkey primary key (provider_kind, error_code),
  constraint default_error_policies_error_code_is_a_pattern check (error_code ~ '^[A-Za-z0-9_.:-]{1,100}\*?$')
);

create table app_public.payment_error_policies (
  tenant_id integer not null,
  provider_code text not null,
  error_code text not null,
  action app_public.payment_error_action not null,
  updated_at timestamptz not null default now(),
  constraint payment_error_policies_pkey primary key (tenant_id, provider_code, error_code),
  constraint payment_error_policies_provider_code_fkey foreign key (tenant_id, provider_code)
    references app_public.payment_providers on delete restrict,
  constraint payment_error_policies_error_code_is_a_pattern check (error_code ~ '^[A-Za-z0-9_.:-]{1,100}\*?$')
);

create table app_public.routing_rules (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  priority integer not null,
  kind app_public.payment_kind,
  currency text,
  minimum_amount app_public.amount,
  maximum_amount app_public.amount,
  account_set_id uuid,
  provider_code text not null,
  fallback_provider_code text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint routing_rules_pkey primary key (tenant_id, id),
  constraint routing_rules_priority_key unique (tenant_id, priority),
  constraint routing_rules_currency_fkey foreign key (tenant_id, currency)
    references app_public.currencies on delete restrict,
  constraint routing_rules_account_set_id_fkey foreign key (tenant_id, account_set_id)
    references app_public.account_sets on delete restrict,
  constraint routing_rules_provider_code_fkey foreign key (tenant_id, provider_code)
    references app_public.payment_providers on delete restrict,
  constraint routing_rules_fallback_provider_code_fkey foreign key (tenant_id, fallback_provider_code)
    references app_public.payment_providers on delete restrict,
  constraint routing_rules_priority_is_1_to_100000 check (priority between 1 and 100000),
  constraint routing_rules_are_about_what_leaves_or_comes check (kind in ('pay_in', 'pay_out')),
  constraint routing_rules_minimum_is_positive check (minimum_amount > 0),
  constraint routing_rules_amounts_are_a_range check (minimum_amount <= maximum_amount),
  constraint routing_rules_fallback_is_another check (fallback_provider_code <> provider_code)
);

create index routing_rules_currency_idx on app_public.routing_rules (tenant_id, currency)
  where currency is not null;
create index routing_rules_account_set_id_idx on app_public.routing_rules (tenant_id, account_set_id)
  where account_set_id is not null;
create index routing_rules_provider_code_idx on app_public.routing_rules (tenant_id, provider_code);
create index routing_rules_fallback_provider_code_idx
  on app_public.routing_rules (tenant_id, fallback_provider_code) where fallback_provider_code is not null;

--------------------------------------------------------------------------------------------------
-- Attempts: what was asked of providers, and what came of it

create table app_public.payment_attempts (
  tenant_id integer not null,
  payment_id uuid not null,
  number integer not null,
  provider_code text not null,
  status app_public.payment_attempt_status not null default 'started',
  fence integer not null default 0,
  last_call app_public.provider_call,
  asks integer not null default 0,
  error_code text,
  error_message text,
  provider_reference text,
  started_at timestamptz not null default clock_timestamp(),
  called_at timestamptz,
  answered_at timestamptz,
  next_at timestamptz,
  late_answer_at timestamptz,
  late_answer text,
  cancel_requested_at timestamptz,
  job_id bigint,
  probe_id uuid,
  constraint payment_attempts_pkey primary key (tenant_id, payment_id, number),
  constraint payment_attempts_payment_id_fkey foreign key (tenant_id, payment_id)
    references app_public.payments on delete restrict,
  constraint payment_attempts_provider_code_fkey foreign key (tenant_id, provider_code)
    references app_public.payment_providers on delete restrict,
  constraint payment_attempts_number_is_positive check (number > 0),
  constraint payment_attempts_each_call_has_a_fence check (
    fence >= 0 and (fence > 0) = (called_at is not null) and (fence > 0) = (last_call is not null)
  ),
  constraint payment_attempts_started_was_not_called check ((status = 'started') = (fence = 0)),
  constraint payment_attempts_calling_has_no_answer check (status <> 'calling' or answered_at is null),
  constraint payment_attempts_answer_follows_a_call check (answered_at >= called_at),
  constraint payment_attempts_asks_is_not_negative check (asks >= 0),
  constraint payment_attempts_late_answer_has_its_time check ((late_answer is null) = (late_answer_at is null)),
  constraint payment_attempts_error_code_is_1_to_100_characters check (length(error_code) between 1 and 100),
  constraint payment_attempts_error_message_is_1_to_1000_characters
    check (length(error_message) between 1 and 1000),
  constraint payment_attempts_late_answer_is_1_to_1000_characters check (length(late_answer) between 1 and 1000)
);

create unique index payment_attempts_open_key on app_public.payment_attempts (tenant_id, payment_id)
  where status in ('started', 'calling', 'unknown', 'accepted');
create index payment_attempts_provider_code_idx
  on app_public.payment_attempts (tenant_id, provider_code, payment_id, number);

--------------------------------------------------------------------------------------------------
-- Circuit breakers

create table app_public.circuit_breakers (
  tenant_id integer not null,
  provider_code text not null,
  id uuid not null default uuidv7(),
  state app_public.circuit_state not null default 'closed',
  failures integer not null default 0,
  window_started_at timestamptz,
  openings integer not null default 0,
  opened_at timestamptz,
  open_until timestamptz,
  probes_left integer not null default 0,
  tripped_by uuid,
  reason text,
  updated_at timestamptz not null default now(),
  constraint circuit_breakers_pkey primary key (tenant_id, provider_code),
  constraint circuit_breakers_id_key unique (tenant_id, id),
  constraint circuit_breakers_provider_code_fkey foreign key (tenant_id, provider_code)
    references app_public.payment_providers on delete restrict,
  constraint circuit_breakers_tripped_by_fkey foreign key (tenant_id, tripped_by)
    references app_public.memberships on delete restrict,
  constraint circuit_breakers_counts_are_not_negative check (
    failures >= 0 and openings >= 0 and probes_left >= 0
  ),
  constraint circuit_breakers_open_has_its_times check (
    (state = 'closed') = (opened_at is null) and (state = 'closed') = (open_until is null)
  ),
  constraint circuit_breakers_only_half_open_probes check (
    state = 'half_open' or probes_left = 0
  ),
  constraint circuit_breakers_tripped_is_open_with_a_reason check (
    tripped_by is null or state = 'open' and reason is not null
  ),
  constraint circuit_breakers_reason_is_1_to_1000_characters check (length(reason) between 1 and 1000)
);

create index circuit_breakers_tripped_by_idx on app_public.circuit_breakers (tenant_id, tripped_by)
  where tripped_by is not null;

-- The probes that are out. One that is not back in time is given back: its worker is dead.
create table app_private.circuit_probes (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  provider_code text not null,
  started_at timestamptz not null default clock_timestamp(),
  constraint circuit_probes_pkey primary key (tenant_id, id),
  constraint circuit_probes_provider_code_fkey foreign key (tenant_id, provider_code)
    references app_public.circuit_breakers on delete restrict
);

create index circuit_probes_provider_code_idx on app_private.circuit_probes (tenant_id, provider_code);

--------------------------------------------------------------------------------------------------
-- Dead letters, and the workers that are alive

create table app_public.dead_letters (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  source app_public.dead_letter_source not null,
  subject_id uuid,
  task text not null,
  payload jsonb not null,
  reason text not null,
  detail jsonb not null default '{}',
  created_at timestamptz not null default clock_timestamp(),
  resolved_at timestamptz,
  resolution app_public.dead_letter_resolution,
  resolved_by uuid,
  note text,
  constraint dead_letters_pkey primary key (tenant_id, id),
  constraint dead_letters_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint dead_letters_resolved_by_fkey foreign key (tenant_id, resolved_by)
    references app_public.memberships on delete restrict,
  constraint dead_letters_payment_has_its_id check (source <> 'payment' or subject_id is not null),
  constraint dead_letters_task_is_1_to_100_characters check (length(task) between 1 and 100),
  constraint dead_letters_payload_is_at_most_4_kb check (octet_length(payload::text) <= 4096),
  constraint dead_letters_reason_is_a_slug check (reason ~ '^[a-z][a-z0-9_]{0,49}$'),
  constraint dead_letters_detail_is_an_object check (jsonb_typeof(detail) = 'object'),
  constraint dead_letters_detail_is_at_most_16_kb check (octet_length(detail::text) <= 16384),
  constraint dead_letters_resolved_at_once check (
    (resolved_at is null) = (resolution is null) and (resolved_at is null) = (resolved_by is null)
  ),
  constraint dead_letters_discarded_has_its_note check (resolution <> 'discarded' or note is not null),
  constraint dead_letters_note_is_1_to_1000_characters check (length(note) between 1 and 1000)
);

create unique index dead_letters_open_key on app_public.dead_letters (tenant_id, source, subject_id, reason)
  where resolved_at is null and subject_id is not null;
create index dead_letters_subject_id_idx on app_public.dead_letters (tenant_id, subject_id, id)
  where subject_id is not null;
create index dead_letters_resolved_by_idx on app_public.dead_letters (tenant_id, resolved_by)
  where resolved_by is not null;

create table app_private.workers (
  id text not null,
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default clock_timestamp(),
  constraint workers_pkey primary key (id),
  constraint workers_id_is_1_to_100_characters check (length(id) between 1 and 100)
);
-- The migration being written. See migrations/README.md.

-- What the worker is to do about a payment next, with all that it needs for it.
create type app_private.settlement_step as (
  call app_public.provider_call,
  attempt_number integer,
  fence integer,
  provider_code text,
  provider_reference text,
  kind app_public.payment_kind,
  amount app_public.amount,
  currency text,
  exponent smallint,
  reference text,
  counterparty_id uuid,
  counterparty_name text,
  counterparty_bic text,
  counterparty_country text,
  account_ciphertext bytea,
  refund_of_id uuid,
  refund_of_provider_reference text
);

--!include errors/refusals.sql
--!include identity/permissions.sql
--!include audit/security_event_kinds.sql
--!include events/event_kinds.sql
--!include jobs/bury_jobs.sql
--!include jobs/dead_workers.sql
--!include settlement/settings.sql
--!include settlement/dead_letters.sql
--!include settlement/circuit_breakers.sql
--!include settlement/trip_circuit_breaker.sql
--!include settlement/reset_circuit_breaker.sql
--!include settlement/route_payment.sql
--!include payments/payment_of_input.sql
--!include settlement/attempts.sql
--!include settlement/record_settlement.sql
--!include settlement/apply_provider_answer.sql
--!include settlement/take_settlement.sql
--!include settlement/payments_without_a_job.sql
--!include settlement/rerun_dead_letter.sql
--!include settlement/discard_dead_letter.sql
--!include settlement/settings_of_providers.sql
--!include settlement/routing_rules.sql
--!include settlement/default_error_policies.sql
--!include settlement/metrics.sql
--!include settlement/access.sql
--!include settlement/comments.sql
--!include checks/payment_attempts_that_do_not_fit.sql
--!include checks/payments_without_a_job.sql
--!include audit/exceptions.sql
--!include access/row_level_security.sql
--!include audit/triggers.sql
