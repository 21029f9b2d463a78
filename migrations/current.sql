-- The migration being written. See migrations/README.md.

---- codes with letters ----

alter table app_public.refusals drop constraint refusals_code_is_of_class_lg;
alter table app_public.refusals
  add constraint refusals_code_is_of_class_lg check (code ~ '^LG[1-9][0-9A-Z]{2}$');

---- words ----

-- Codes of refusals may hold letters.
alter table app_public.refusals drop constraint if exists refusals_code_is_of_class_lg;
alter table app_public.refusals
  add constraint refusals_code_is_of_class_lg check (code ~ '^LG[1-9][0-9A-Z]{2}$');

---- posting together ----

drop function app_private.post_batch(
  app_private.actor, app_public.transaction_input[], app_public.batch_mode, boolean, boolean);
drop function app_private.post_batch__attempt(
  app_private.actor, app_public.transaction_input[], app_public.batch_mode, boolean, boolean);
drop function app_private.post_batch__write(
  integer, uuid, app_private.batch_items, app_private.batch_lines, app_private.batch_decision);

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
  constraint webhook_endpoints_url_is_http check (
    url ~ '^https?://[^[:space:][:cntrl:]/?#@\\]+([/?#][^[:space:][:cntrl:]]*)?$'),
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
  secret_ciphertext app_private.ciphertext not null,
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

alter table app_public.payments
  add column needs_approval boolean not null default false,
  add constraint payments_approval_is_asked_for_by_somebody check (not needs_approval or created_by is not null),
  add constraint payments_created_by_key unique (tenant_id, id, created_by);
create index payments_needs_approval_idx on app_public.payments (tenant_id, id) where needs_approval;

-- What another person has decided about a payment that needed it.
create table app_public.payment_decisions (
  tenant_id integer not null,
  payment_id uuid not null,
  created_by uuid not null,
  is_approved boolean not null,
  decided_at timestamptz not null default clock_timestamp(),
  decided_by uuid not null,
  reason text,
  constraint payment_decisions_pkey primary key (tenant_id, payment_id),
  constraint payment_decisions_payment_id_fkey foreign key (tenant_id, payment_id, created_by)
    references app_public.payments (tenant_id, id, created_by) on delete restrict,
  constraint payment_decisions_decided_by_fkey foreign key (tenant_id, decided_by)
    references app_public.memberships on delete restrict,
  constraint payment_decisions_nobody_decides_their_own check (decided_by <> created_by),
  constraint payment_decisions_rejection_has_a_reason check (is_approved = (reason is null)),
  constraint payment_decisions_reason_is_1_to_1000_characters check (length(reason) between 1 and 1000)
);

create index payment_decisions_decided_by_idx on app_public.payment_decisions (tenant_id, decided_by);

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

---- providers ----

-- What a provider is spoken to with: `api_key`, which requests show, and `webhook`, which messages are signed with.
create table app_private.payment_provider_secrets (
  tenant_id integer not null,
  id uuid not null,
  provider_code text not null,
  kind text not null,
  secret_ciphertext app_private.ciphertext not null,
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz,
  constraint payment_provider_secrets_pkey primary key (tenant_id, id),
  constraint payment_provider_secrets_provider_code_fkey foreign key (tenant_id, provider_code)
    references app_public.payment_providers on delete restrict,
  constraint payment_provider_secrets_kind_is_known check (kind in ('api_key', 'webhook'))
);

create index payment_provider_secrets_provider_code_idx
  on app_private.payment_provider_secrets (tenant_id, provider_code, kind);
create unique index payment_provider_secrets_present_key
  on app_private.payment_provider_secrets (tenant_id, provider_code, kind) where expires_at is null;

-- The messages of providers whose signatures were good, each once.
create table app_private.provider_messages (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  provider_code text not null,
  message_id text not null,
  news jsonb not null,
  received_at timestamptz not null default clock_timestamp(),
  processed_at timestamptz,
  is_unmatched boolean not null default false,
  constraint provider_messages_pkey primary key (tenant_id, id),
  constraint provider_messages_message_id_key unique (tenant_id, provider_code, message_id),
  constraint provider_messages_provider_code_fkey foreign key (tenant_id, provider_code)
    references app_public.payment_providers on delete restrict,
  constraint provider_messages_message_id_is_1_to_255_characters check (length(message_id) between 1 and 255),
  constraint provider_messages_news_is_a_list check (jsonb_typeof(news) = 'array'),
  constraint provider_messages_news_is_at_most_64_kb check (octet_length(news::text) <= 65536),
  constraint provider_messages_unmatched_was_processed check (not is_unmatched or processed_at is not null)
);

create index provider_messages_processed_at_idx on app_private.provider_messages (tenant_id, processed_at);

-- Files of credit transfers for banks.
create table app_private.bank_files (
  tenant_id integer not null,
  provider_code text not null,
  number integer not null,
  settings jsonb not null,
  item_count integer not null,
  control_sum numeric not null,
  sha256 bytea,
  closed_at timestamptz not null default now(),
  written_at timestamptz,
  constraint bank_files_pkey primary key (tenant_id, provider_code, number),
  constraint bank_files_provider_code_fkey foreign key (tenant_id, provider_code)
    references app_public.payment_providers on delete restrict,
  constraint bank_files_number_is_positive check (number > 0),
  constraint bank_files_item_count_is_positive check (item_count > 0),
  constraint bank_files_control_sum_is_positive check (control_sum > 0),
  constraint bank_files_sha256_is_32_bytes check (octet_length(sha256) = 32),
  constraint bank_files_written_has_its_hash check (written_at is null or sha256 is not null)
);

create index bank_files_written_at_idx
  on app_private.bank_files (tenant_id, provider_code, number) where written_at is null;

-- What they are asked to transfer. The number of the account is encrypted.
create table app_private.bank_file_items (
  tenant_id integer not null,
  id uuid not null,
  provider_code text not null,
  reference text not null,
  kind app_public.payment_kind not null,
  amount app_public.amount not null,
  currency text not null,
  exponent integer not null,
  execution_on date not null,
  counterparty_name text,
  account_ciphertext app_private.ciphertext,
  counterparty_bic text,
  counterparty_country text,
  remittance text,
  created_at timestamptz not null default clock_timestamp(),
  cancelled_at timestamptz,
  file_number integer,
  constraint bank_file_items_pkey primary key (tenant_id, id),
  constraint bank_file_items_reference_key unique (tenant_id, provider_code, reference),
  constraint bank_file_items_provider_code_fkey foreign key (tenant_id, provider_code)
    references app_public.payment_providers on delete restrict,
  constraint bank_file_items_currency_fkey foreign key (tenant_id, currency)
    references app_public.currencies on delete restrict,
  constraint bank_file_items_file_number_fkey foreign key (tenant_id, provider_code, file_number)
    references app_private.bank_files on delete restrict,
  constraint bank_file_items_reference_is_32_hex_digits check (reference ~ '^[0-9a-f]{32}$'),
  constraint bank_file_items_amount_is_positive check (amount > 0),
  constraint bank_file_items_exponent_is_0_to_5 check (exponent between 0 and 5),
  constraint bank_file_items_goes_to_somebody check (
    kind = 'pay_in' or (counterparty_name is not null and account_ciphertext is not null)
  ),
  constraint bank_file_items_cancelled_is_in_no_file check (cancelled_at is null or file_number is null),
  constraint bank_file_items_pay_in_is_in_no_file check (kind <> 'pay_in' or file_number is null),
  constraint bank_file_items_counterparty_name_is_at_most_140_characters check (length(counterparty_name) <= 140),
  constraint bank_file_items_remittance_is_at_most_140_characters check (length(remittance) <= 140)
);

create index bank_file_items_currency_idx on app_private.bank_file_items (tenant_id, currency);
create index bank_file_items_file_number_idx on app_private.bank_file_items (tenant_id, provider_code, file_number);

---- fees ----

--------------------------------------------------------------------------------------------------
-- What payments are charged: fee schedules, VAT, splits. A row holds during a time and never changes but for
-- its end, so no later decision touches an earlier payment.

create type app_public.fee_method as enum ('fixed', 'percent', 'tiered');
create type app_public.fee_tier_mode as enum ('graduated', 'whole');
create type app_public.fee_bearer as enum ('payer', 'payee', 'account');
create type app_public.fee_rounding as enum ('half_even', 'half_up');
create type app_public.vat_treatment as enum ('none', 'exclusive', 'inclusive');
create type app_public.charge_refund_policy as enum ('none', 'proportional');
create type app_public.charge_kind as enum ('fee', 'vat', 'split');

create table app_public.fee_schedules (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  code text not null,
  name text not null,
  payment_kind app_public.payment_kind not null,
  currency text not null,
  account_set_id uuid,
  provider_code text,
  priority integer not null default 0,
  method app_public.fee_method not null,
  fixed_amount app_public.amount not null default 0,
  rate_millionths integer not null default 0,
  tier_mode app_public.fee_tier_mode,
  minimum_amount app_public.amount,
  maximum_amount app_public.amount,
  rounding app_public.fee_rounding not null default 'half_even',
  bearer app_public.fee_bearer not null,
  bearer_account_id uuid,
  beneficiary_account_id uuid,
  split_code text,
  vat_treatment app_public.vat_treatment not null default 'none',
  vat_jurisdiction text,
  vat_category text,
  vat_account_id uuid,
  refund_policy app_public.charge_refund_policy not null default 'none',
  during tstzrange not null,
  -- What a schedule is for, beside its kind and currency: nulls would never be equal in a unique key.
  scope text generated always as (coalesce(account_set_id::text, '') || ' ' || coalesce(provider_code, '')) stored,
  created_at timestamptz not null default now(),
  created_by uuid,
  constraint fee_schedules_pkey primary key (tenant_id, id),
  constraint fee_schedules_during_key
    unique (tenant_id, code, payment_kind, currency, scope, during without overlaps),
  constraint fee_schedules_currency_fkey foreign key (tenant_id, currency)
    references app_public.currencies on delete restrict,
  constraint fee_schedules_account_set_id_fkey foreign key (tenant_id, account_set_id)
    references app_public.account_sets on delete restrict,
  constraint fee_schedules_provider_code_fkey foreign key (tenant_id, provider_code)
    references app_public.payment_providers on delete restrict,
  constraint fee_schedules_bearer_account_id_fkey foreign key (tenant_id, bearer_account_id)
    references app_public.accounts on delete restrict,
  constraint fee_schedules_beneficiary_account_id_fkey foreign key (tenant_id, beneficiary_account_id)
    references app_public.accounts on delete restrict,
  constraint fee_schedules_vat_account_id_fkey foreign key (tenant_id, vat_account_id)
    references app_public.accounts on delete restrict,
  constraint fee_schedules_code_is_a_slug check (code ~ '^[a-z][a-z0-9_-]{0,49}$'),
  constraint fee_schedules_name_is_1_to_200_characters check (length(name) between 1 and 200),
  constraint fee_schedules_method_has_its_amounts check (
    case method
      when 'fixed' then fixed_amount > 0 and rate_millionths = 0
      when 'percent' then fixed_amount >= 0 and rate_millionths between 1 and 1000000
      else fixed_amount = 0 and rate_millionths = 0
    end
  ),
  constraint fee_schedules_tiers_have_a_mode check ((method = 'tiered') = (tier_mode is not null)),
  constraint fee_schedules_minimum_is_not_negative check (minimum_amount >= 0),
  constraint fee_schedules_maximum_is_positive check (maximum_amount > 0),
  constraint fee_schedules_minimum_is_below_maximum check (minimum_amount <= maximum_amount),
  -- The other side of a payment from or to the outside is the provider, who pays what was agreed.
  constraint fee_schedules_bearer_is_ours check (
    case payment_kind
      when 'pay_in' then bearer <> 'payer'
      when 'transfer' then provider_code is null
      else bearer <> 'payee'
    end
  ),
  constraint fee_schedules_bearer_has_its_account check ((bearer = 'account') = (bearer_account_id is not null)),
  constraint fee_schedules_goes_to_an_account_or_a_split check (
    num_nonnulls(beneficiary_account_id, split_code) = 1
  ),
  constraint fee_schedules_bearer_is_not_beneficiary check (bearer_account_id <> beneficiary_account_id),
  constraint fee_schedules_vat_is_complete check (
    num_nonnulls(vat_jurisdiction, vat_category, vat_account_id)
      = case vat_treatment when 'none' then 0 else 3 end
  ),
  constraint fee_schedules_during_begins check (
    not isempty(during) and not lower_inf(during) and lower_inc(during) and not upper_inc(during)
  )
);

create index fee_schedules_payment_kind_idx on app_public.fee_schedules (tenant_id, payment_kind, currency);
create index fee_schedules_currency_idx on app_public.fee_schedules (tenant_id, currency);
create index fee_schedules_account_set_id_idx on app_public.fee_schedules (tenant_id, account_set_id)
  where account_set_id is not null;
create index fee_schedules_provider_code_idx on app_public.fee_schedules (tenant_id, provider_code)
  where provider_code is not null;
create index fee_schedules_bearer_account_id_idx on app_public.fee_schedules (tenant_id, bearer_account_id)
  where bearer_account_id is not null;
create index fee_schedules_beneficiary_account_id_idx
  on app_public.fee_schedules (tenant_id, beneficiary_account_id) where beneficiary_account_id is not null;
create index fee_schedules_vat_account_id_idx on app_public.fee_schedules (tenant_id, vat_account_id)
  where vat_account_id is not null;

create table app_public.fee_tiers (
  tenant_id integer not null,
  fee_schedule_id uuid not null,
  from_amount app_public.amount not null,
  rate_millionths integer not null default 0,
  fixed_amount app_public.amount not null default 0,
  constraint fee_tiers_pkey primary key (tenant_id, fee_schedule_id, from_amount),
  constraint fee_tiers_fee_schedule_id_fkey foreign key (tenant_id, fee_schedule_id)
    references app_public.fee_schedules on delete restrict,
  constraint fee_tiers_from_amount_is_not_negative check (from_amount >= 0),
  constraint fee_tiers_rate_is_at_most_the_whole check (rate_millionths between 0 and 1000000),
  constraint fee_tiers_fixed_amount_is_not_negative check (fixed_amount >= 0)
);

create table app_public.vat_rates (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  jurisdiction text not null,
  category text not null,
  rate_millionths integer not null,
  during tstzrange not null,
  created_at timestamptz not null default now(),
  created_by uuid,
  constraint vat_rates_pkey primary key (tenant_id, id),
  constraint vat_rates_during_key unique (tenant_id, jurisdiction, category, during without overlaps),
  constraint vat_rates_tenant_id_fkey foreign key (tenant_id) references app_public.tenants on delete restrict,
  constraint vat_rates_jurisdiction_has_its_form check (jurisdiction ~ '^[A-Z]{2}(-[A-Z0-9]{1,3})?$'),
  constraint vat_rates_category_is_a_slug check (category ~ '^[a-z][a-z0-9_-]{0,49}$'),
  constraint vat_rates_rate_is_at_most_the_whole check (rate_millionths between 0 and 1000000),
  constraint vat_rates_during_begins check (
    not isempty(during) and not lower_inf(during) and lower_inc(during) and not upper_inc(during)
  )
);

-- A rule with an account splits what payments bring to that account; one without is for fees, which name it.
create table app_public.split_rules (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  code text not null,
  name text not null,
  currency text not null,
  account_id uuid,
  refund_policy app_public.charge_refund_policy not null default 'proportional',
  during tstzrange not null,
  created_at timestamptz not null default now(),
  created_by uuid,
  constraint split_rules_pkey primary key (tenant_id, id),
  constraint split_rules_during_key unique (tenant_id, code, currency, during without overlaps),
  -- An account is split by one rule at a time. Null is never equal to null, as is wanted here.
  constraint split_rules_account_id_key unique (tenant_id, account_id, during without overlaps),
  constraint split_rules_currency_fkey foreign key (tenant_id, currency)
    references app_public.currencies on delete restrict,
  constraint split_rules_account_id_fkey foreign key (tenant_id, account_id)
    references app_public.accounts on delete restrict,
  constraint split_rules_code_is_a_slug check (code ~ '^[a-z][a-z0-9_-]{0,49}$'),
  constraint split_rules_name_is_1_to_200_characters check (length(name) between 1 and 200),
  constraint split_rules_during_begins check (
    not isempty(during) and not lower_inf(during) and lower_inc(during) and not upper_inc(during)
  )
);

create index split_rules_currency_idx on app_public.split_rules (tenant_id, currency);
create index split_rules_account_id_idx on app_public.split_rules (tenant_id, account_id)
  where account_id is not null;

create table app_public.split_shares (
  tenant_id integer not null,
  split_rule_id uuid not null,
  number integer not null,
  account_id uuid not null,
  rate_millionths integer,
  fixed_amount app_public.amount,
  -- No rate and no amount: whoever gets what the others leave.
  is_remainder boolean generated always as (rate_millionths is null and fixed_amount is null) stored,
  constraint split_shares_pkey primary key (tenant_id, split_rule_id, number),
  constraint split_shares_account_id_key unique (tenant_id, split_rule_id, account_id),
  constraint split_shares_split_rule_id_fkey foreign key (tenant_id, split_rule_id)
    references app_public.split_rules on delete restrict,
  constraint split_shares_account_id_fkey foreign key (tenant_id, account_id)
    references app_public.accounts on delete restrict,
  constraint split_shares_number_is_positive check (number > 0),
  constraint split_shares_is_a_rate_or_an_amount check (num_nonnulls(rate_millionths, fixed_amount) <= 1),
  constraint split_shares_rate_is_at_most_the_whole check (rate_millionths between 1 and 1000000),
  constraint split_shares_fixed_amount_is_positive check (fixed_amount > 0)
);

create unique index split_shares_remainder_key on app_public.split_shares (tenant_id, split_rule_id)
  where is_remainder;
create index split_shares_account_id_idx on app_public.split_shares (tenant_id, account_id);

-- What a payment was charged, or what a refund gives back of it: from whom, to whom, by which rule.
create table app_public.payment_charges (
  tenant_id integer not null,
  payment_id uuid not null,
  number integer not null,
  kind app_public.charge_kind not null,
  fee_schedule_id uuid,
  vat_rate_id uuid,
  split_rule_id uuid,
  base_amount app_public.amount not null,
  amount app_public.amount not null,
  debit_account_id uuid not null,
  credit_account_id uuid not null,
  refund_policy app_public.charge_refund_policy not null,
  refunded_payment_id uuid,
  refunded_number integer,
  constraint payment_charges_pkey primary key (tenant_id, payment_id, number),
  constraint payment_charges_payment_id_fkey foreign key (tenant_id, payment_id)
    references app_public.payments on delete restrict,
  constraint payment_charges_fee_schedule_id_fkey foreign key (tenant_id, fee_schedule_id)
    references app_public.fee_schedules on delete restrict,
  constraint payment_charges_vat_rate_id_fkey foreign key (tenant_id, vat_rate_id)
    references app_public.vat_rates on delete restrict,
  constraint payment_charges_split_rule_id_fkey foreign key (tenant_id, split_rule_id)
    references app_public.split_rules on delete restrict,
  constraint payment_charges_debit_account_id_fkey foreign key (tenant_id, debit_account_id)
    references app_public.accounts on delete restrict,
  constraint payment_charges_credit_account_id_fkey foreign key (tenant_id, credit_account_id)
    references app_public.accounts on delete restrict,
  constraint payment_charges_refunded_number_fkey foreign key (tenant_id, refunded_payment_id, refunded_number)
    references app_public.payment_charges on delete restrict,
  constraint payment_charges_refunded_number_key unique (tenant_id, refunded_payment_id, refunded_number, payment_id),
  constraint payment_charges_number_is_positive check (number > 0),
  constraint payment_charges_amount_is_positive check (amount > 0),
  constraint payment_charges_accounts_are_two check (debit_account_id <> credit_account_id),
  constraint payment_charges_kind_has_its_rule check (
    case kind
      when 'fee' then fee_schedule_id is not null and vat_rate_id is null
      when 'vat' then num_nonnulls(fee_schedule_id, vat_rate_id) = 2 and split_rule_id is null
      else split_rule_id is not null and num_nonnulls(fee_schedule_id, vat_rate_id) = 0
    end
  ),
  constraint payment_charges_refund_names_its_charge check (
    (refunded_payment_id is null) = (refunded_number is null)
  )
);

create index payment_charges_fee_schedule_id_idx on app_public.payment_charges (tenant_id, fee_schedule_id)
  where fee_schedule_id is not null;
create index payment_charges_vat_rate_id_idx on app_public.payment_charges (tenant_id, vat_rate_id)
  where vat_rate_id is not null;
create index payment_charges_split_rule_id_idx on app_public.payment_charges (tenant_id, split_rule_id)
  where split_rule_id is not null;
create index payment_charges_debit_account_id_idx on app_public.payment_charges (tenant_id, debit_account_id);
create index payment_charges_credit_account_id_idx on app_public.payment_charges (tenant_id, credit_account_id);

create type app_public.fee_tier_input as (
  from_amount app_public.amount,
  rate_millionths integer,
  fixed_amount app_public.amount
);

create type app_public.fee_schedule_input as (
  code text,
  name text,
  payment_kind app_public.payment_kind,
  currency text,
  account_set_id uuid,
  provider_code text,
  priority integer,
  method app_public.fee_method,
  fixed_amount app_public.amount,
  rate_millionths integer,
  tier_mode app_public.fee_tier_mode,
  tiers app_public.fee_tier_input[],
  minimum_amount app_public.amount,
  maximum_amount app_public.amount,
  rounding app_public.fee_rounding,
  bearer app_public.fee_bearer,
  bearer_account_id uuid,
  beneficiary_account_id uuid,
  split_code text,
  vat_treatment app_public.vat_treatment,
  vat_jurisdiction text,
  vat_category text,
  vat_account_id uuid,
  refund_policy app_public.charge_refund_policy,
  valid_from timestamptz,
  valid_to timestamptz
);

create type app_public.split_share_input as (
  account_id uuid,
  rate_millionths integer,
  fixed_amount app_public.amount
);

create type app_public.quoted_charge as (
  kind app_public.charge_kind,
  code text,
  base_amount app_public.amount,
  amount app_public.amount,
  debit_account_id uuid,
  credit_account_id uuid,
  is_given_back boolean
);

create type app_public.quoted_posting as (
  account_id uuid,
  direction app_public.direction,
  amount app_public.amount
);

create type app_public.payment_quote as (
  currency text,
  amount app_public.amount,
  charges app_public.quoted_charge[],
  postings app_public.quoted_posting[]
);

---- vouchers ----

create type app_public.voucher_status as enum ('open', 'spent', 'expired', 'cancelled');
create type app_public.voucher_move_kind as enum ('issued', 'redeemed', 'expired', 'cancelled');

create table app_public.voucher_campaigns (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  code text not null,
  name text not null,
  currency text not null,
  funding_account_id uuid not null,
  liability_account_id uuid not null,
  breakage_account_id uuid not null,
  created_at timestamptz not null default now(),
  created_by uuid,
  constraint voucher_campaigns_pkey primary key (tenant_id, id),
  constraint voucher_campaigns_code_key unique (tenant_id, code),
  constraint voucher_campaigns_currency_fkey foreign key (tenant_id, currency)
    references app_public.currencies on delete restrict,
  constraint voucher_campaigns_funding_account_id_fkey foreign key (tenant_id, funding_account_id)
    references app_public.accounts on delete restrict,
  constraint voucher_campaigns_liability_account_id_fkey foreign key (tenant_id, liability_account_id)
    references app_public.accounts on delete restrict,
  constraint voucher_campaigns_breakage_account_id_fkey foreign key (tenant_id, breakage_account_id)
    references app_public.accounts on delete restrict,
  constraint voucher_campaigns_code_is_a_slug check (code ~ '^[a-z][a-z0-9_-]{0,49}$'),
  constraint voucher_campaigns_name_is_1_to_200_characters check (length(name) between 1 and 200),
  constraint voucher_campaigns_liability_is_another_account check (
    liability_account_id not in (funding_account_id, breakage_account_id)
  )
);

create index voucher_campaigns_currency_idx on app_public.voucher_campaigns (tenant_id, currency);
create index voucher_campaigns_funding_account_id_idx
  on app_public.voucher_campaigns (tenant_id, funding_account_id);
create index voucher_campaigns_liability_account_id_idx
  on app_public.voucher_campaigns (tenant_id, liability_account_id);
create index voucher_campaigns_breakage_account_id_idx
  on app_public.voucher_campaigns (tenant_id, breakage_account_id);

create table app_public.voucher_issues (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  campaign_id uuid not null,
  voucher_count integer not null,
  amount app_public.amount not null,
  expires_at timestamptz,
  transaction_id uuid not null,
  idempotency_key text,
  created_at timestamptz not null default now(),
  created_by uuid,
  constraint voucher_issues_pkey primary key (tenant_id, id),
  constraint voucher_issues_campaign_id_fkey foreign key (tenant_id, campaign_id)
    references app_public.voucher_campaigns on delete restrict,
  constraint voucher_issues_transaction_id_fkey foreign key (tenant_id, transaction_id)
    references app_public.transactions on delete restrict,
  constraint voucher_issues_voucher_count_is_1_to_10000 check (voucher_count between 1 and 10000),
  constraint voucher_issues_amount_is_positive check (amount > 0),
  constraint voucher_issues_idempotency_key_is_1_to_255_characters check (
    length(idempotency_key) between 1 and 255
  )
);

create index voucher_issues_campaign_id_idx on app_public.voucher_issues (tenant_id, campaign_id, id);
create unique index voucher_issues_transaction_id_key on app_public.voucher_issues (tenant_id, transaction_id);
create unique index voucher_issues_idempotency_key_key
  on app_public.voucher_issues (tenant_id, idempotency_key) where idempotency_key is not null;

create table app_public.vouchers (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  issue_id uuid not null,
  -- SHA-256 of the code, which has 80 random bits and is kept nowhere.
  code_hash bytea not null,
  code_hint text not null,
  amount app_public.amount not null,
  rest_amount app_public.amount not null,
  status app_public.voucher_status not null default 'open',
  move_number integer not null default 1,
  expires_at timestamptz,
  updated_at timestamptz not null default now(),
  constraint vouchers_pkey primary key (tenant_id, id),
  constraint vouchers_code_hash_key unique (tenant_id, code_hash),
  constraint vouchers_issue_id_fkey foreign key (tenant_id, issue_id)
    references app_public.voucher_issues on delete restrict,
  constraint vouchers_code_hash_has_32_bytes check (octet_length(code_hash) = 32),
  constraint vouchers_code_hint_has_4_characters check (length(code_hint) = 4),
  constraint vouchers_amount_is_positive check (amount > 0),
  constraint vouchers_rest_is_at_most_the_amount check (rest_amount between 0 and amount),
  constraint vouchers_open_has_a_rest check ((status = 'open') = (rest_amount > 0))
);

create index vouchers_issue_id_idx on app_public.vouchers (tenant_id, issue_id);
create index vouchers_expires_at_idx on app_public.vouchers (tenant_id, expires_at, id)
  where status = 'open' and expires_at is not null;

/*
 * What became of a voucher, for ever. Constraints alone keep the sum: a move starts with the rest that the one
 * before it left, takes its amount from it, and the voucher has the rest that its last move left.
 */
create table app_public.voucher_moves (
  tenant_id integer not null,
  voucher_id uuid not null,
  number integer not null,
  kind app_public.voucher_move_kind not null,
  amount app_public.amount not null,
  rest_amount app_public.amount not null,
  previous_number integer generated always as (nullif(number - 1, 0)) stored,
  previous_rest_amount app_public.amount,
  transaction_id uuid not null,
  account_id uuid,
  asked_amount app_public.amount,
  idempotency_key text,
  reason text,
  moved_by uuid,
  created_at timestamptz not null default clock_timestamp(),
  constraint voucher_moves_pkey primary key (tenant_id, voucher_id, number),
  constraint voucher_moves_rest_amount_key unique (tenant_id, voucher_id, number, rest_amount),
  constraint voucher_moves_voucher_id_fkey foreign key (tenant_id, voucher_id)
    references app_public.vouchers on delete restrict,
  constraint voucher_moves_previous_number_fkey
    foreign key (tenant_id, voucher_id, previous_number, previous_rest_amount)
    references app_public.voucher_moves (tenant_id, voucher_id, number, rest_amount) on delete restrict,
  constraint voucher_moves_transaction_id_fkey foreign key (tenant_id, transaction_id)
    references app_public.transactions on delete restrict,
  constraint voucher_moves_account_id_fkey foreign key (tenant_id, account_id)
    references app_public.accounts on delete restrict,
  constraint voucher_moves_amount_is_positive check (amount > 0),
  constraint voucher_moves_rest_is_not_negative check (rest_amount >= 0),
  constraint voucher_moves_start_as_issued check (
    (number = 1) = (kind = 'issued') and (number = 1) = (previous_rest_amount is null)
  ),
  constraint voucher_moves_amount_leaves_the_rest check (
    rest_amount = case when number = 1 then amount::numeric else previous_rest_amount - amount end
  ),
  constraint voucher_moves_end_leaves_nothing check (kind not in ('expired', 'cancelled') or rest_amount = 0),
  constraint voucher_moves_redeemed_has_its_account check ((kind = 'redeemed') = (account_id is not null)),
  constraint voucher_moves_idempotency_key_is_1_to_255_characters check (
    length(idempotency_key) between 1 and 255
  ),
  constraint voucher_moves_reason_is_1_to_1000_characters check (length(reason) between 1 and 1000)
);

create index voucher_moves_previous_number_idx
  on app_public.voucher_moves (tenant_id, voucher_id, previous_number, previous_rest_amount);
create index voucher_moves_transaction_id_idx on app_public.voucher_moves (tenant_id, transaction_id);
create index voucher_moves_account_id_idx on app_public.voucher_moves (tenant_id, account_id)
  where account_id is not null;
create unique index voucher_moves_idempotency_key_key
  on app_public.voucher_moves (tenant_id, idempotency_key) where idempotency_key is not null;

alter table app_public.vouchers
  add constraint vouchers_move_number_fkey foreign key (tenant_id, id, move_number, rest_amount)
    references app_public.voucher_moves (tenant_id, voucher_id, number, rest_amount) on delete restrict
    deferrable initially deferred;
create index vouchers_move_number_idx on app_public.vouchers (tenant_id, id, move_number, rest_amount);

create type app_public.issued_voucher as (
  id uuid,
  code text,
  code_hint text
);

create type app_public.voucher_issue_result as (
  issue_id uuid,
  transaction_id uuid,
  is_replayed boolean,
  vouchers app_public.issued_voucher[]
);

create type app_public.voucher_redemption as (
  voucher_id uuid,
  transaction_id uuid,
  amount app_public.amount,
  rest_amount app_public.amount,
  is_replayed boolean,
  refusal app_public.refusal
);

---- merchants ----

create type app_public.settlement_schedule as enum ('daily', 'weekly');
create type app_public.settlement_line_kind as enum ('sale', 'refund', 'other', 'payout_returned', 'payout_failed');

-- Who sells through us: an account on which sales come together, and when and where what is on it is paid out.
create table app_public.merchants (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  code text not null,
  name text not null,
  account_id uuid not null,
  currency text not null,
  provider_code text not null,
  counterparty_id uuid not null,
  schedule app_public.settlement_schedule not null default 'daily',
  -- 1 = Monday.
  weekday integer,
  time_zone text not null,
  -- Minutes of the day after which the business day ends: 1440 = at midnight.
  cut_off_minutes integer not null default 1440,
  minimum_payout app_public.amount not null default 1,
  hold_days integer not null default 0,
  is_enabled boolean not null default true,
  -- The last business day that was looked at, whether there was anything to settle or not.
  settled_through date not null,
  settlement_number integer not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint merchants_pkey primary key (tenant_id, id),
  constraint merchants_code_key unique (tenant_id, code),
  constraint merchants_account_id_key unique (tenant_id, account_id),
  constraint merchants_account_id_fkey foreign key (tenant_id, account_id)
    references app_public.accounts on delete restrict,
  constraint merchants_currency_fkey foreign key (tenant_id, currency)
    references app_public.currencies on delete restrict,
  constraint merchants_provider_code_fkey foreign key (tenant_id, provider_code)
    references app_public.payment_providers on delete restrict,
  constraint merchants_counterparty_id_fkey foreign key (tenant_id, counterparty_id)
    references app_public.counterparties on delete restrict,
  constraint merchants_code_is_a_slug check (code ~ '^[a-z][a-z0-9_-]{0,49}$'),
  constraint merchants_name_is_1_to_200_characters check (length(name) between 1 and 200),
  constraint merchants_weekday_fits_the_schedule check ((schedule = 'weekly') = (weekday is not null)),
  constraint merchants_weekday_is_1_to_7 check (weekday between 1 and 7),
  constraint merchants_cut_off_is_within_the_day check (cut_off_minutes between 1 and 1440),
  constraint merchants_minimum_payout_is_positive check (minimum_payout > 0),
  constraint merchants_hold_days_is_0_to_365 check (hold_days between 0 and 365),
  constraint merchants_settlement_number_is_not_negative check (settlement_number >= 0)
);

create index merchants_currency_idx on app_public.merchants (tenant_id, currency);
create index merchants_provider_code_idx on app_public.merchants (tenant_id, provider_code);
create index merchants_counterparty_id_idx on app_public.merchants (tenant_id, counterparty_id);

/*
 * What a merchant was settled, once a business day. Constraints alone keep the chain: a settlement takes up the
 * postings of the account after those of the one before it, and the sum that it left; and it adds up.
 */
create table app_public.merchant_settlements (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  merchant_id uuid not null,
  number integer not null,
  business_day date not null,
  ends_at timestamptz not null,
  first_version bigint not null,
  last_version bigint not null,
  previous_number integer generated always as (nullif(number - 1, 0)) stored,
  previous_version bigint generated always as (first_version - 1) stored,
  carried_in_amount app_public.amount not null,
  sales_amount app_public.amount not null,
  refunds_amount app_public.amount not null,
  fees_amount app_public.amount not null,
  other_amount app_public.amount not null,
  payout_amount app_public.amount not null,
  payout_fees_amount app_public.amount not null,
  carried_out_amount app_public.amount not null,
  payment_id uuid,
  payout_refusal text,
  created_at timestamptz not null default clock_timestamp(),
  constraint merchant_settlements_pkey primary key (tenant_id, id),
  constraint merchant_settlements_business_day_key unique (tenant_id, merchant_id, business_day),
  constraint merchant_settlements_end_key
    unique (tenant_id, merchant_id, number, last_version, carried_out_amount),
  constraint merchant_settlements_number_key unique (tenant_id, merchant_id, number),
  constraint merchant_settlements_merchant_id_fkey foreign key (tenant_id, merchant_id)
    references app_public.merchants on delete restrict,
  constraint merchant_settlements_previous_number_fkey
    foreign key (tenant_id, merchant_id, previous_number, previous_version, carried_in_amount)
    references app_public.merchant_settlements (tenant_id, merchant_id, number, last_version, carried_out_amount)
    on delete restrict,
  constraint merchant_settlements_payment_id_fkey foreign key (tenant_id, payment_id)
    references app_public.payments on delete restrict,
  constraint merchant_settlements_number_is_positive check (number > 0),
  constraint merchant_settlements_first_begins_at_one check (
    number > 1 or first_version = 1 and carried_in_amount = 0
  ),
  constraint merchant_settlements_versions_are_in_order check (last_version >= first_version - 1),
  constraint merchant_settlements_adds_up check (
    carried_in_amount::numeric + sales_amount + refunds_amount + fees_amount + other_amount
      = payout_amount::numeric + payout_fees_amount + carried_out_amount
  ),
  constraint merchant_settlements_payout_is_not_negative check (payout_amount >= 0 and payout_fees_amount >= 0),
  constraint merchant_settlements_payout_has_its_payment check ((payout_amount > 0) = (payment_id is not null)),
  constraint merchant_settlements_refused_has_no_payment check (payout_refusal is null or payment_id is null)
);

create index merchant_settlements_previous_number_idx on app_public.merchant_settlements
  (tenant_id, merchant_id, previous_number, previous_version, carried_in_amount);
create unique index merchant_settlements_payment_id_key
  on app_public.merchant_settlements (tenant_id, payment_id) where payment_id is not null;

-- What a settlement is made of: a posting on the account of the merchant, or an earlier payout that failed.
create table app_public.merchant_settlement_lines (
  tenant_id integer not null,
  settlement_id uuid not null,
  number integer not null,
  merchant_id uuid not null,
  kind app_public.settlement_line_kind not null,
  version bigint,
  transaction_id uuid,
  payment_id uuid,
  gross_amount app_public.amount not null,
  fees_amount app_public.amount not null,
  amount app_public.amount not null,
  constraint merchant_settlement_lines_pkey primary key (tenant_id, settlement_id, number),
  constraint merchant_settlement_lines_settlement_id_fkey foreign key (tenant_id, settlement_id)
    references app_public.merchant_settlements on delete restrict,
  constraint merchant_settlement_lines_merchant_id_fkey foreign key (tenant_id, merchant_id)
    references app_public.merchants on delete restrict,
  constraint merchant_settlement_lines_transaction_id_fkey foreign key (tenant_id, transaction_id)
    references app_public.transactions on delete restrict,
  constraint merchant_settlement_lines_payment_id_fkey foreign key (tenant_id, payment_id)
    references app_public.payments on delete restrict,
  constraint merchant_settlement_lines_amount_is_gross_and_fees check (
    amount = gross_amount::numeric + fees_amount
  ),
  constraint merchant_settlement_lines_is_a_posting_or_a_payout check (
    case kind
      when 'payout_failed' then version is null and transaction_id is null and payment_id is not null
      else num_nonnulls(version, transaction_id) = 2
    end
  )
);

-- A posting is settled once, and a payout that failed is taken back once.
create unique index merchant_settlement_lines_version_key
  on app_public.merchant_settlement_lines (tenant_id, merchant_id, version) where version is not null;
create unique index merchant_settlement_lines_failed_key
  on app_public.merchant_settlement_lines (tenant_id, payment_id) where kind = 'payout_failed';
create index merchant_settlement_lines_merchant_id_idx
  on app_public.merchant_settlement_lines (tenant_id, merchant_id);
create index merchant_settlement_lines_transaction_id_idx
  on app_public.merchant_settlement_lines (tenant_id, transaction_id) where transaction_id is not null;
create index merchant_settlement_lines_payment_id_idx
  on app_public.merchant_settlement_lines (tenant_id, payment_id) where payment_id is not null;

create type app_public.merchant_input as (
  code text,
  name text,
  account_id uuid,
  provider_code text,
  counterparty_id uuid,
  schedule app_public.settlement_schedule,
  weekday integer,
  time_zone text,
  cut_off_minutes integer,
  minimum_payout app_public.amount,
  hold_days integer,
  is_enabled boolean
);

---- schedules ----

--!include schedules/recurrence_rule_fault.sql

create type app_public.schedule_status as enum ('active', 'paused', 'ended');
create type app_public.occurrence_status as enum ('planned', 'executed', 'skipped', 'failed');
create type app_public.holiday_policy as enum (
  'none', 'skip', 'previous_business_day', 'next_business_day', 'modified_following'
);
create type app_public.catch_up_policy as enum ('all', 'latest', 'none');
create type app_public.skip_reason as enum ('holiday', 'request', 'outage', 'pause', 'end');

-- Which days are no business days: some days of every week, and the dates in app_public.holidays.
create table app_public.holiday_calendars (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  code text not null,
  name text not null,
  weekend_days smallint[] not null default '{6,7}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint holiday_calendars_pkey primary key (tenant_id, id),
  constraint holiday_calendars_code_key unique (tenant_id, code),
  constraint holiday_calendars_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint holiday_calendars_code_is_a_slug check (code ~ '^[a-z][a-z0-9_-]{0,49}$'),
  constraint holiday_calendars_name_is_1_to_200_characters check (length(name) between 1 and 200),
  constraint holiday_calendars_weekend_days_leave_a_day check (
    weekend_days <@ '{1,2,3,4,5,6,7}' and not weekend_days @> '{1,2,3,4,5,6,7}'
    and cardinality(weekend_days) <= 6 and coalesce(array_ndims(weekend_days), 1) = 1)
);

create table app_public.holidays (
  tenant_id integer not null,
  calendar_id uuid not null,
  observed_on date not null,
  name text not null,
  constraint holidays_pkey primary key (tenant_id, calendar_id, observed_on),
  constraint holidays_calendar_id_fkey foreign key (tenant_id, calendar_id)
    references app_public.holiday_calendars on delete restrict,
  constraint holidays_observed_on_is_of_our_time check (observed_on between '1970-01-01' and '2199-12-31'),
  constraint holidays_name_is_1_to_200_characters check (length(name) between 1 and 200)
);

-- A payment that is made on its own: once at a date, or again and again by a rule.
create table app_public.payment_schedules (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  status app_public.schedule_status not null default 'active',
  kind app_public.payment_kind not null,
  account_id uuid not null,
  to_account_id uuid,
  amount app_public.amount not null,
  currency text not null,
  provider_code text,
  counterparty_id uuid,
  reference text,
  description text,
  metadata jsonb not null default '{}',
  rule text,
  time_zone text not null,
  starts_at timestamptz not null,
  ends_at timestamptz,
  holiday_calendar_id uuid,
  holiday_policy app_public.holiday_policy not null default 'none',
  catch_up app_public.catch_up_policy not null default 'all',
  retry_days smallint not null default 0,
  planned_until timestamptz not null,
  is_fully_planned boolean not null default false,
  last_number integer not null default 0,
  next_due_at timestamptz,
  idempotency_key text,
  fingerprint bytea,
  created_by uuid not null,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default now(),
  ended_at timestamptz,
  constraint payment_schedules_pkey primary key (tenant_id, id),
  constraint payment_schedules_currency_fkey foreign key (tenant_id, currency)
    references app_public.currencies on delete restrict,
  constraint payment_schedules_account_id_fkey foreign key (tenant_id, account_id)
    references app_public.accounts on delete restrict,
  constraint payment_schedules_to_account_id_fkey foreign key (tenant_id, to_account_id)
    references app_public.accounts on delete restrict,
  constraint payment_schedules_provider_code_fkey foreign key (tenant_id, provider_code)
    references app_public.payment_providers on delete restrict,
  constraint payment_schedules_counterparty_id_fkey foreign key (tenant_id, counterparty_id)
    references app_public.counterparties on delete restrict,
  constraint payment_schedules_holiday_calendar_id_fkey foreign key (tenant_id, holiday_calendar_id)
    references app_public.holiday_calendars on delete restrict,
  constraint payment_schedules_created_by_fkey foreign key (tenant_id, created_by)
    references app_public.memberships on delete restrict,
  constraint payment_schedules_kind_is_no_refund check (kind <> 'refund'),
  constraint payment_schedules_amount_is_positive check (amount > 0),
  constraint payment_schedules_transfer_names_where_to check ((kind = 'transfer') = (to_account_id is not null)),
  constraint payment_schedules_outside_has_a_provider check ((kind = 'transfer') = (provider_code is null)),
  constraint payment_schedules_reference_is_1_to_140_characters check (length(reference) between 1 and 140),
  constraint payment_schedules_description_is_1_to_1000_characters check (length(description) between 1 and 1000),
  constraint payment_schedules_metadata_is_an_object check (jsonb_typeof(metadata) = 'object'),
  constraint payment_schedules_metadata_is_at_most_16_kb check (octet_length(metadata::text) <= 16384),
  constraint payment_schedules_rule_is_sound check (app_private.recurrence_rule_fault(rule) is null),
  constraint payment_schedules_time_zone_is_1_to_64_characters check (length(time_zone) between 1 and 64),
  constraint payment_schedules_starts_at_is_whole_seconds check (starts_at = date_trunc('second', starts_at, 'UTC')),
  constraint payment_schedules_ends_after_its_start check (ends_at > starts_at),
  constraint payment_schedules_end_is_of_a_rule check (rule is not null or ends_at is null),
  constraint payment_schedules_policy_has_its_calendar check (
    (holiday_calendar_id is null) = (holiday_policy = 'none')),
  constraint payment_schedules_retry_days_is_0_to_30 check (retry_days between 0 and 30),
  constraint payment_schedules_ended_at_is_of_the_ended check ((status = 'ended') = (ended_at is not null)),
  constraint payment_schedules_ended_has_nothing_due check (status <> 'ended' or next_due_at is null),
  constraint payment_schedules_key_has_its_fingerprint check ((idempotency_key is null) = (fingerprint is null)),
  constraint payment_schedules_idempotency_key_is_1_to_255_characters
    check (length(idempotency_key) between 1 and 255)
);

create unique index payment_schedules_idempotency_key_key
  on app_public.payment_schedules (tenant_id, idempotency_key) where idempotency_key is not null;
create index payment_schedules_currency_idx on app_public.payment_schedules (tenant_id, currency);
create index payment_schedules_account_id_idx on app_public.payment_schedules (tenant_id, account_id, id);
create index payment_schedules_to_account_id_idx on app_public.payment_schedules (tenant_id, to_account_id, id)
  where to_account_id is not null;
create index payment_schedules_provider_code_idx on app_public.payment_schedules (tenant_id, provider_code)
  where provider_code is not null;
create index payment_schedules_counterparty_id_idx on app_public.payment_schedules (tenant_id, counterparty_id)
  where counterparty_id is not null;
create index payment_schedules_holiday_calendar_id_idx
  on app_public.payment_schedules (tenant_id, holiday_calendar_id) where holiday_calendar_id is not null;
create index payment_schedules_created_by_idx on app_public.payment_schedules (tenant_id, created_by);
create index payment_schedules_next_due_at_idx on app_public.payment_schedules (tenant_id, next_due_at)
  where status = 'active';
create index payment_schedules_planned_until_idx on app_public.payment_schedules (tenant_id, planned_until)
  where status = 'active' and not is_fully_planned;

-- Each time that a schedule pays, planned ahead. What was executed has its payment, and is never changed.
create table app_public.schedule_occurrences (
  tenant_id integer not null,
  schedule_id uuid not null,
  occurs_at timestamptz not null,
  number integer not null,
  due_at timestamptz not null,
  status app_public.occurrence_status not null default 'planned',
  attempts integer not null default 0,
  payment_id uuid,
  error_code text,
  skipped_because app_public.skip_reason,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint schedule_occurrences_pkey primary key (tenant_id, schedule_id, occurs_at),
  constraint schedule_occurrences_number_key unique (tenant_id, schedule_id, number),
  constraint schedule_occurrences_schedule_id_fkey foreign key (tenant_id, schedule_id)
    references app_public.payment_schedules on delete restrict,
  constraint schedule_occurrences_payment_id_fkey foreign key (tenant_id, payment_id)
    references app_public.payments on delete restrict,
  constraint schedule_occurrences_number_is_positive check (number > 0),
  constraint schedule_occurrences_attempts_is_not_negative check (attempts >= 0),
  constraint schedule_occurrences_executed_has_its_payment check ((status = 'executed') = (payment_id is not null)),
  constraint schedule_occurrences_skipped_has_its_reason check (
    (status = 'skipped') = (skipped_because is not null)),
  constraint schedule_occurrences_failed_has_its_code check (status <> 'failed' or error_code is not null),
  constraint schedule_occurrences_error_code_has_its_form check (error_code ~ '^[0-9A-Z]{5}$')
);

create unique index schedule_occurrences_payment_id_key
  on app_public.schedule_occurrences (tenant_id, payment_id) where payment_id is not null;
create index schedule_occurrences_due_at_idx
  on app_public.schedule_occurrences (tenant_id, schedule_id, due_at) where status = 'planned';

create type app_public.schedule_input as (
  kind app_public.payment_kind,
  account_id uuid,
  to_account_id uuid,
  amount app_public.amount,
  currency text,
  provider_code text,
  counterparty_id uuid,
  reference text,
  description text,
  metadata jsonb,
  rule text,
  time_zone text,
  starts_at timestamptz,
  ends_at timestamptz,
  holiday_calendar_id uuid,
  holiday_policy app_public.holiday_policy,
  catch_up app_public.catch_up_policy,
  retry_days integer,
  idempotency_key text
);

create type app_public.holiday_input as (
  observed_on date,
  name text
);

--------------------------------------------------------------------------------------------------
-- Subscriptions: plans, periods, invoices

create type app_public.plan_interval as enum ('day', 'week', 'month', 'year');
create type app_public.proration_policy as enum ('none', 'by_day', 'by_second');
create type app_public.dunning_outcome as enum ('cancel', 'pause');
create type app_public.subscription_status as enum (
  'trialing', 'active', 'past_due', 'paused', 'cancelled', 'ended'
);
create type app_public.invoice_status as enum ('open', 'paid', 'void', 'uncollectible');
create type app_public.invoice_line_kind as enum ('period', 'unused', 'remaining', 'carried');

-- What is subscribed to. What a plan asks for never changes: make another plan, and move subscriptions to it.
create table app_public.plans (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  code text not null,
  name text not null,
  price app_public.amount not null,
  currency text not null,
  interval_unit app_public.plan_interval not null,
  interval_count smallint not null default 1,
  time_zone text not null default 'UTC',
  trial_days smallint not null default 0,
  trial_notice_days smallint not null default 3,
  proration app_public.proration_policy not null default 'by_second',
  dunning_outcome app_public.dunning_outcome not null default 'cancel',
  merchant_account_id uuid not null,
  archived_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint plans_pkey primary key (tenant_id, id),
  constraint plans_code_key unique (tenant_id, code),
  constraint plans_currency_fkey foreign key (tenant_id, currency)
    references app_public.currencies on delete restrict,
  constraint plans_merchant_account_id_fkey foreign key (tenant_id, merchant_account_id)
    references app_public.accounts on delete restrict,
  constraint plans_code_is_a_slug check (code ~ '^[a-z][a-z0-9_-]{0,49}$'),
  constraint plans_name_is_1_to_200_characters check (length(name) between 1 and 200),
  constraint plans_price_is_not_negative check (price >= 0),
  constraint plans_interval_count_is_1_to_366 check (interval_count between 1 and 366),
  constraint plans_time_zone_is_1_to_64_characters check (length(time_zone) between 1 and 64),
  constraint plans_trial_days_is_0_to_730 check (trial_days between 0 and 730),
  constraint plans_trial_notice_days_is_0_to_60 check (trial_notice_days between 0 and 60)
);

create index plans_currency_idx on app_public.plans (tenant_id, currency);
create index plans_merchant_account_id_idx on app_public.plans (tenant_id, merchant_account_id);

-- When an invoice that was not paid is tried again: so many days after it was due.
create table app_public.plan_dunning_steps (
  tenant_id integer not null,
  plan_id uuid not null,
  number smallint not null,
  after_days smallint not null,
  constraint plan_dunning_steps_pkey primary key (tenant_id, plan_id, number),
  constraint plan_dunning_steps_plan_id_fkey foreign key (tenant_id, plan_id)
    references app_public.plans on delete restrict,
  constraint plan_dunning_steps_number_is_1_to_20 check (number between 1 and 20),
  constraint plan_dunning_steps_after_days_is_1_to_90 check (after_days between 1 and 90)
);

-- The moves that a subscription may make.
create table app_private.subscription_moves_allowed (
  from_status app_public.subscription_status not null,
  to_status app_public.subscription_status not null,
  constraint subscription_moves_allowed_pkey primary key (from_status, to_status)
);

create table app_public.subscriptions (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  plan_id uuid not null,
  account_id uuid not null,
  provider_code text,
  counterparty_id uuid,
  quantity integer not null,
  status app_public.subscription_status not null,
  move_number integer not null default 1,
  anchor_at timestamptz not null,
  anchor_number integer not null default 1,
  period_number integer not null default 0,
  period_starts_at timestamptz not null,
  period_ends_at timestamptz not null,
  trial_ends_at timestamptz,
  trial_notice_at timestamptz,
  cancels_at_period_end boolean not null default false,
  last_line_number integer not null default 0,
  next_action_at timestamptz,
  created_by uuid,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default now(),
  constraint subscriptions_pkey primary key (tenant_id, id),
  constraint subscriptions_plan_id_fkey foreign key (tenant_id, plan_id)
    references app_public.plans on delete restrict,
  constraint subscriptions_account_id_fkey foreign key (tenant_id, account_id)
    references app_public.accounts on delete restrict,
  constraint subscriptions_provider_code_fkey foreign key (tenant_id, provider_code)
    references app_public.payment_providers on delete restrict,
  constraint subscriptions_counterparty_id_fkey foreign key (tenant_id, counterparty_id)
    references app_public.counterparties on delete restrict,
  constraint subscriptions_quantity_is_1_to_1000000 check (quantity between 1 and 1000000),
  constraint subscriptions_period_number_is_not_negative check (period_number >= 0),
  constraint subscriptions_anchor_number_is_positive check (anchor_number between 1 and period_number + 1),
  constraint subscriptions_period_ends_after_its_start check (period_ends_at > period_starts_at),
  constraint subscriptions_trial_has_its_end check (status <> 'trialing' or trial_ends_at is not null),
  constraint subscriptions_counterparty_is_of_a_provider check (provider_code is not null or counterparty_id is null),
  constraint subscriptions_over_has_nothing_to_do check (
    status not in ('paused', 'cancelled', 'ended') or next_action_at is null)
);

create unique index subscriptions_account_id_key on app_public.subscriptions (tenant_id, account_id, plan_id)
  where status not in ('cancelled', 'ended');
create index subscriptions_account_id_idx on app_public.subscriptions (tenant_id, account_id, id);
create index subscriptions_plan_id_idx on app_public.subscriptions (tenant_id, plan_id, id);
create index subscriptions_provider_code_idx on app_public.subscriptions (tenant_id, provider_code)
  where provider_code is not null;
create index subscriptions_counterparty_id_idx on app_public.subscriptions (tenant_id, counterparty_id)
  where counterparty_id is not null;
create index subscriptions_next_action_at_idx on app_public.subscriptions (tenant_id, next_action_at)
  where next_action_at is not null;

-- Each move of a subscription, for ever: the chain is kept by constraints alone, as that of payments is.
create table app_public.subscription_moves (
  tenant_id integer not null,
  subscription_id uuid not null,
  number integer not null,
  from_status app_public.subscription_status,
  to_status app_public.subscription_status not null,
  previous_number integer generated always as (nullif(number - 1, 0)) stored,
  reason text,
  moved_by uuid,
  created_at timestamptz not null default clock_timestamp(),
  constraint subscription_moves_pkey primary key (tenant_id, subscription_id, number),
  constraint subscription_moves_end_key unique (tenant_id, subscription_id, number, to_status),
  constraint subscription_moves_subscription_id_fkey foreign key (tenant_id, subscription_id)
    references app_public.subscriptions on delete restrict,
  constraint subscription_moves_previous_number_fkey
    foreign key (tenant_id, subscription_id, previous_number, from_status)
    references app_public.subscription_moves (tenant_id, subscription_id, number, to_status) on delete restrict,
  constraint subscription_moves_from_status_fkey foreign key (from_status, to_status)
    references app_private.subscription_moves_allowed on delete restrict,
  constraint subscription_moves_first_comes_from_nowhere check ((number = 1) = (from_status is null)),
  constraint subscription_moves_start_in_use check (number > 1 or to_status in ('trialing', 'active')),
  constraint subscription_moves_reason_is_1_to_1000_characters check (length(reason) between 1 and 1000)
);

create index subscription_moves_from_status_idx on app_public.subscription_moves (from_status, to_status);
create index subscription_moves_previous_number_idx
  on app_public.subscription_moves (tenant_id, subscription_id, previous_number, from_status);

alter table app_public.subscriptions
  add constraint subscriptions_move_number_fkey foreign key (tenant_id, id, move_number, status)
    references app_public.subscription_moves (tenant_id, subscription_id, number, to_status) on delete restrict
    deferrable initially deferred;
create index subscriptions_move_number_idx on app_public.subscriptions (tenant_id, id, move_number, status);

-- What is asked for a period: one invoice each, paid by one payment or given up.
create table app_public.subscription_invoices (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  subscription_id uuid not null,
  period_number integer not null,
  period_starts_at timestamptz not null,
  period_ends_at timestamptz not null,
  plan_id uuid not null,
  currency text not null,
  amount app_public.amount not null,
  status app_public.invoice_status not null default 'open',
  attempts integer not null default 0,
  payment_id uuid,
  due_at timestamptz not null,
  next_attempt_at timestamptz,
  paid_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default now(),
  constraint subscription_invoices_pkey primary key (tenant_id, id),
  constraint subscription_invoices_period_number_key unique (tenant_id, subscription_id, period_number),
  constraint subscription_invoices_subscription_id_fkey foreign key (tenant_id, subscription_id)
    references app_public.subscriptions on delete restrict,
  constraint subscription_invoices_plan_id_fkey foreign key (tenant_id, plan_id)
    references app_public.plans on delete restrict,
  constraint subscription_invoices_currency_fkey foreign key (tenant_id, currency)
    references app_public.currencies on delete restrict,
  constraint subscription_invoices_payment_id_fkey foreign key (tenant_id, payment_id)
    references app_public.payments on delete restrict,
  constraint subscription_invoices_period_number_is_positive check (period_number > 0),
  constraint subscription_invoices_period_ends_after_its_start check (period_ends_at > period_starts_at),
  constraint subscription_invoices_amount_is_not_negative check (amount >= 0),
  constraint subscription_invoices_attempts_is_not_negative check (attempts >= 0),
  constraint subscription_invoices_paid_has_its_time check ((status = 'paid') = (paid_at is not null)),
  constraint subscription_invoices_paid_has_its_payment check (status <> 'paid' or (amount = 0) = (payment_id is null)),
  constraint subscription_invoices_only_open_is_tried check (status = 'open' or next_attempt_at is null)
);

create unique index subscription_invoices_subscription_id_key
  on app_public.subscription_invoices (tenant_id, subscription_id) where status = 'open';
create index subscription_invoices_plan_id_idx on app_public.subscription_invoices (tenant_id, plan_id);
create index subscription_invoices_currency_idx on app_public.subscription_invoices (tenant_id, currency);
create unique index subscription_invoices_payment_id_key
  on app_public.subscription_invoices (tenant_id, payment_id) where payment_id is not null;
create index subscription_invoices_status_idx on app_public.subscription_invoices (tenant_id, status, id);

-- What an invoice is made of; without an invoice, what the next one will be made of.
create table app_public.subscription_invoice_lines (
  tenant_id integer not null,
  subscription_id uuid not null,
  number integer not null,
  invoice_id uuid,
  kind app_public.invoice_line_kind not null,
  amount app_public.amount not null,
  plan_id uuid not null,
  quantity integer not null,
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint subscription_invoice_lines_pkey primary key (tenant_id, subscription_id, number),
  constraint subscription_invoice_lines_subscription_id_fkey foreign key (tenant_id, subscription_id)
    references app_public.subscriptions on delete restrict,
  constraint subscription_invoice_lines_invoice_id_fkey foreign key (tenant_id, invoice_id)
    references app_public.subscription_invoices on delete restrict,
  constraint subscription_invoice_lines_plan_id_fkey foreign key (tenant_id, plan_id)
    references app_public.plans on delete restrict,
  constraint subscription_invoice_lines_number_is_positive check (number > 0),
  constraint subscription_invoice_lines_quantity_is_positive check (quantity > 0),
  constraint subscription_invoice_lines_amount_has_the_sign_of_its_kind check (
    kind = 'carried' or kind = 'unused' and amount <= 0 or kind in ('period', 'remaining') and amount >= 0)
);

create index subscription_invoice_lines_invoice_id_idx
  on app_public.subscription_invoice_lines (tenant_id, invoice_id, number) where invoice_id is not null;
create index subscription_invoice_lines_waiting_idx
  on app_public.subscription_invoice_lines (tenant_id, subscription_id) where invoice_id is null;
create index subscription_invoice_lines_plan_id_idx on app_public.subscription_invoice_lines (tenant_id, plan_id);

-- Each attempt to have an invoice paid: the payment that was asked for, or why it was refused.
create table app_public.subscription_charges (
  tenant_id integer not null,
  invoice_id uuid not null,
  number integer not null,
  payment_id uuid,
  error_code text,
  created_at timestamptz not null default clock_timestamp(),
  constraint subscription_charges_pkey primary key (tenant_id, invoice_id, number),
  constraint subscription_charges_invoice_id_fkey foreign key (tenant_id, invoice_id)
    references app_public.subscription_invoices on delete restrict,
  constraint subscription_charges_payment_id_fkey foreign key (tenant_id, payment_id)
    references app_public.payments on delete restrict,
  constraint subscription_charges_number_is_positive check (number > 0),
  constraint subscription_charges_refused_has_its_code check ((payment_id is null) = (error_code is not null)),
  constraint subscription_charges_error_code_has_its_form check (error_code ~ '^[0-9A-Z]{5}$')
);

create unique index subscription_charges_payment_id_key
  on app_public.subscription_charges (tenant_id, payment_id) where payment_id is not null;

create type app_public.plan_input as (
  code text,
  name text,
  price app_public.amount,
  interval_unit app_public.plan_interval,
  interval_count integer,
  time_zone text,
  trial_days integer,
  trial_notice_days integer,
  proration app_public.proration_policy,
  dunning_days integer[],
  dunning_outcome app_public.dunning_outcome,
  merchant_account_id uuid
);

-- What a change of a subscription costs.
create type app_public.subscription_change as (
  unused_amount app_public.amount,
  remaining_amount app_public.amount,
  restarts_period boolean,
  due_now app_public.amount,
  next_invoice_at timestamptz,
  next_invoice_amount app_public.amount
);

---- reconciliation ----

create type app_public.statement_format as enum ('camt', 'csv', 'report');
create type app_public.money_flow as enum ('in', 'out');
create type app_public.clearing_item_kind as enum ('payment', 'return', 'transaction');
create type app_public.matching_rule_kind as enum (
  'provider_reference', 'reference', 'one_to_many', 'many_to_one', 'amount_and_date'
);
create type app_public.match_status as enum ('proposed', 'confirmed', 'rejected');
create type app_public.break_kind as enum (
  'payment_missing', 'entry_missing', 'amount_differs', 'duplicate', 'currency_differs', 'provider_differs'
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
create index reconciliation_matches_status_idx on app_public.reconciliation_matches (tenant_id, status, id);

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

---- notifications and receipts ----

create type app_public.notification_channel as enum ('email', 'sms', 'chat', 'in_app');
create type app_public.notification_audience as enum ('owner', 'teller', 'accountant', 'auditor', 'admin');
create type app_public.notification_status as enum ('queued', 'sent', 'delivered', 'failed', 'suppressed');
create type app_public.notification_digest as enum ('none', 'hourly', 'daily');

--------------------------------------------------------------------------------------------------
-- What there is to tell, in which words, and to whom

create table app_public.notification_kinds (
  kind text not null,
  description text not null,
  -- Quiet hours and digests do not hold it up.
  is_urgent boolean not null default false,
  -- About the account of a person, sent by the server itself: nobody can turn it off, and it has no row.
  is_direct boolean not null default false,
  -- Who is told where the tenant has no rule of its own.
  audience app_public.notification_audience not null default 'owner',
  channels app_public.notification_channel[] not null default '{}',
  -- What a message of this kind knows, for templates to be tried on.
  sample jsonb not null,
  constraint notification_kinds_pkey primary key (kind),
  constraint notification_kinds_kind_is_dotted check (kind ~ '^[a-z][a-z_]*(\.[a-z][a-z_]*)+$'),
  constraint notification_kinds_sample_is_an_object check (jsonb_typeof(sample) = 'object'),
  constraint notification_kinds_channels_are_known check (array_position(channels, null) is null)
);

create table app_public.default_notification_templates (
  kind text not null,
  channel app_public.notification_channel not null,
  language text not null,
  subject text,
  body text not null,
  constraint default_notification_templates_pkey primary key (kind, channel, language),
  constraint default_notification_templates_kind_fkey foreign key (kind)
    references app_public.notification_kinds on delete restrict,
  constraint default_notification_templates_language_is_a_tag check (language ~ '^[a-z]{2,3}(-[A-Z]{2})?$')
);

create table app_public.notification_templates (
  tenant_id integer not null,
  kind text not null,
  channel app_public.notification_channel not null,
  language text not null,
  subject text,
  body text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint notification_templates_pkey primary key (tenant_id, kind, channel, language),
  constraint notification_templates_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint notification_templates_kind_fkey foreign key (kind)
    references app_public.notification_kinds on delete restrict,
  constraint notification_templates_language_is_a_tag check (language ~ '^[a-z]{2,3}(-[A-Z]{2})?$'),
  constraint notification_templates_subject_is_one_line
    check (length(subject) between 1 and 200 and subject !~ '[\x01-\x1f\x7f]'),
  constraint notification_templates_subject_is_of_its_channel
    check ((channel in ('email', 'in_app')) = (subject is not null)),
  constraint notification_templates_body_is_1_to_20000_characters check (length(body) between 1 and 20000)
);

create index notification_templates_kind_idx on app_public.notification_templates (kind);

create table app_public.notification_rules (
  tenant_id integer not null,
  kind text not null,
  audience app_public.notification_audience not null,
  channels app_public.notification_channel[] not null,
  updated_at timestamptz not null default now(),
  constraint notification_rules_pkey primary key (tenant_id, kind, audience),
  constraint notification_rules_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint notification_rules_kind_fkey foreign key (kind)
    references app_public.event_kinds on delete restrict,
  constraint notification_rules_channels_are_known check (array_position(channels, null) is null)
);

create index notification_rules_kind_idx on app_public.notification_rules (kind);

create table app_public.notification_settings (
  tenant_id integer not null,
  language text not null default 'en',
  time_zone text not null default 'UTC',
  receipts_numbered boolean not null default false,
  updated_at timestamptz not null default now(),
  constraint notification_settings_pkey primary key (tenant_id),
  constraint notification_settings_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint notification_settings_language_is_a_tag check (language ~ '^[a-z]{2,3}(-[A-Z]{2})?$'),
  constraint notification_settings_time_zone_is_1_to_64_characters check (length(time_zone) between 1 and 64)
);

--------------------------------------------------------------------------------------------------
-- What people want of it

create table app_public.notification_profiles (
  tenant_id integer not null,
  user_id uuid not null,
  language text,
  time_zone text,
  quiet_from text,
  quiet_to text,
  digest app_public.notification_digest not null default 'none',
  attach_receipts boolean not null default false,
  updated_at timestamptz not null default now(),
  constraint notification_profiles_pkey primary key (tenant_id, user_id),
  constraint notification_profiles_user_id_fkey foreign key (tenant_id, user_id)
    references app_public.memberships on delete restrict,
  constraint notification_profiles_language_is_a_tag check (language ~ '^[a-z]{2,3}(-[A-Z]{2})?$'),
  constraint notification_profiles_time_zone_is_1_to_64_characters check (length(time_zone) between 1 and 64),
  constraint notification_profiles_quiet_from_is_a_time check (quiet_from ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'),
  constraint notification_profiles_quiet_to_is_a_time check (quiet_to ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'),
  constraint notification_profiles_quiet_hours_have_two_ends check ((quiet_from is null) = (quiet_to is null)),
  constraint notification_profiles_quiet_hours_leave_some check (quiet_from <> quiet_to)
);

create table app_public.notification_preferences (
  tenant_id integer not null,
  user_id uuid not null,
  pattern text not null,
  channel app_public.notification_channel not null,
  is_enabled boolean not null,
  updated_at timestamptz not null default now(),
  constraint notification_preferences_pkey primary key (tenant_id, user_id, pattern, channel),
  constraint notification_preferences_user_id_fkey foreign key (tenant_id, user_id)
    references app_public.memberships on delete restrict,
  constraint notification_preferences_pattern_has_its_form
    check (pattern ~ '^(\*|[a-z][a-z_]*(\.[a-z][a-z_]*)*\.(\*|[a-z][a-z_]*))$' and length(pattern) <= 100)
);

--------------------------------------------------------------------------------------------------
-- What was told

create table app_public.notifications (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  user_id uuid not null,
  -- No foreign key: what was told is kept for longer than the stream of events is.
  event_id uuid not null,
  kind text not null,
  channel app_public.notification_channel not null,
  status app_public.notification_status not null default 'queued',
  -- What the message is about; the words are made when it is sent.
  facts jsonb not null,
  -- The words of what is shown in the app.
  subject text,
  body text,
  read_at timestamptz,
  -- When the mail is due that this one is a part of; null where it goes by itself.
  digest_at timestamptz,
  -- What the receiver knows the message by; that of a digest is given when it is first taken.
  message_id uuid,
  attempts integer not null default 0,
  next_attempt_at timestamptz,
  sent_at timestamptz,
  reason text,
  created_at timestamptz not null default clock_timestamp(),
  constraint notifications_pkey primary key (tenant_id, id),
  constraint notifications_once_key unique (tenant_id, user_id, event_id, channel),
  constraint notifications_user_id_fkey foreign key (tenant_id, user_id)
    references app_public.memberships on delete restrict,
  constraint notifications_kind_fkey foreign key (kind)
    references app_public.event_kinds on delete restrict,
  constraint notifications_facts_is_an_object check (jsonb_typeof(facts) = 'object'),
  constraint notifications_facts_is_at_most_32_kb check (octet_length(facts::text) <= 32768),
  constraint notifications_queued_is_due_some_time check ((status = 'queued') = (next_attempt_at is not null)),
  constraint notifications_sent_knows_when check ((status in ('sent', 'delivered')) = (sent_at is not null)),
  constraint notifications_unsent_knows_why check (status not in ('failed', 'suppressed') or reason is not null),
  constraint notifications_words_are_of_the_app check (
    (channel = 'in_app' and status = 'delivered') = (body is not null) and (subject is null or body is not null)
  ),
  constraint notifications_read_is_of_the_app check (read_at is null or body is not null),
  constraint notifications_digest_is_of_mails check (digest_at is null or channel = 'email'),
  constraint notifications_attempts_are_not_negative check (attempts >= 0)
);

create index notifications_event_id_idx on app_public.notifications (tenant_id, event_id);
create index notifications_kind_idx on app_public.notifications (kind);
create index notifications_due_idx on app_public.notifications (tenant_id, next_attempt_at)
  where next_attempt_at is not null;
create index notifications_message_id_idx on app_public.notifications (tenant_id, message_id)
  where message_id is not null and next_attempt_at is not null;
create index notifications_unread_idx on app_public.notifications (tenant_id, user_id, id)
  where body is not null and read_at is null;
create index notifications_user_id_idx on app_public.notifications (tenant_id, user_id, id);

-- How far the stream of events of a tenant has been told.
create table app_private.notification_cursors (
  tenant_id integer not null,
  number bigint not null default 0,
  constraint notification_cursors_pkey primary key (tenant_id),
  constraint notification_cursors_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict
);

-- What happened before there were notifications is not told now.
insert into app_private.notification_cursors (tenant_id, number)
select s.tenant_id, s.last_number from app_private.event_streams s;

--------------------------------------------------------------------------------------------------
-- Receipts

create table app_private.receipt_counters (
  tenant_id integer not null,
  last_number bigint not null default 0,
  constraint receipt_counters_pkey primary key (tenant_id),
  constraint receipt_counters_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict
);

create table app_public.receipts (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  payment_id uuid not null,
  number bigint,
  facts jsonb not null,
  issued_by uuid,
  issued_at timestamptz not null default clock_timestamp(),
  constraint receipts_pkey primary key (tenant_id, id),
  constraint receipts_payment_id_key unique (tenant_id, payment_id),
  constraint receipts_number_key unique (tenant_id, number),
  constraint receipts_payment_id_fkey foreign key (tenant_id, payment_id)
    references app_public.payments on delete restrict,
  constraint receipts_number_is_positive check (number > 0),
  constraint receipts_facts_is_an_object check (jsonb_typeof(facts) = 'object')
);

-- The form of each receipt as it was first made, by its hash.
create table app_public.receipt_pdfs (
  tenant_id integer not null,
  receipt_id uuid not null,
  sha256 bytea not null,
  bytes integer not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint receipt_pdfs_pkey primary key (tenant_id, receipt_id),
  constraint receipt_pdfs_receipt_id_fkey foreign key (tenant_id, receipt_id)
    references app_public.receipts on delete restrict,
  constraint receipt_pdfs_sha256_has_32_bytes check (octet_length(sha256) = 32),
  constraint receipt_pdfs_bytes_are_some check (bytes > 0)
);

--!include schedules/recurrence_rule_fault.sql

--!include schedules/recurrence_rule_fault.sql

--!include schedules/recurrence_rule_fault.sql

--!include schedules/recurrence_rule_fault.sql

--!include schedules/recurrence_rule_fault.sql

--!include schedules/recurrence_rule_fault.sql

--!include errors/refusals.sql
--!include identity/permissions.sql
--!include audit/security_event_kinds.sql
--!include identity/authorize.sql
--!include encryption/encrypted_columns.sql
--!include ledger/tg_transactions__check.sql
--!include ledger/tg_postings__check.sql
--!include engine/post_batch__write.sql
--!include engine/post_batch__attempt.sql
--!include engine/post_batch.sql
--!include payments/refuse_payment_transactions.sql
--!include engine/post_together.sql
--!include ledger/authorize_posting.sql
--!include ledger/post_pending_transaction.sql
--!include ledger/void_pending_transaction.sql
--!include ledger/reverse_transaction.sql
--!include jobs/bury_jobs.sql
--!include jobs/dead_workers.sql
--!include events/event_kinds.sql
--!include events/relay_events.sql
--!include events/wake_consumers.sql
--!include events/access.sql
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
--!include notifications/first_event_needed.sql
--!include events/prune_events.sql
--!include webhooks/append_only.sql
--!include webhooks/access.sql
--!include webhooks/comments.sql
--!include payments/payment_moves_allowed.sql
--!include payments/move_payment.sql
--!include payments/may_pay_with.sql
--!include payments/payment_fingerprint.sql
--!include payments/payment_route.sql
--!include payments/payment_of_input.sql
--!include payments/payment_postings.sql
--!include payments/payment_threshold.sql
--!include payments/post_for_payment.sql
--!include payments/lock_waiting_payment.sql
--!include payments/reserve_payment.sql
--!include payments/submit_payment.sql
--!include payments/settle_payment.sql
--!include payments/release_payment.sql
--!include payments/return_payment.sql
--!include payments/reroute_payment.sql
--!include payments/expire_payments.sql
--!include payments/insert_payment.sql
--!include payments/create_payment.sql
--!include payments/approve_payment.sql
--!include payments/reject_payment.sql
--!include payments/cancel_payment.sql
--!include payments/counterparties.sql
--!include payments/set_payment_provider.sql
--!include payments/payment.sql
--!include payments/tg_payments__keep.sql
--!include payments/append_only.sql
--!include payments/access.sql
--!include payments/comments.sql
--!include providers/set_payment_provider_secret.sql
--!include providers/read_payment_provider.sql
--!include providers/take_provider_message.sql
--!include providers/process_provider_message.sql
--!include providers/prune_providers.sql
--!include providers/bank_file_items.sql
--!include providers/bank_files.sql
--!include providers/access.sql
--!include settlement/settings.sql
--!include settlement/dead_letters.sql
--!include settlement/circuit_breakers.sql
--!include settlement/trip_circuit_breaker.sql
--!include settlement/reset_circuit_breaker.sql
--!include settlement/route_payment.sql
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
--!include approvals/approve_proposal.sql
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
--!include fees/round_ratio.sql
--!include fees/account_sets_above.sql
--!include fees/fee_amount.sql
--!include fees/split_amount.sql
--!include fees/payment_charges_of.sql
--!include fees/charges_given_back.sql
--!include fees/charged_postings.sql
--!include fees/keep_charge_rules.sql
--!include fees/set_fee_schedule.sql
--!include fees/end_fee_schedule.sql
--!include fees/set_vat_rate.sql
--!include fees/set_split_rule.sql
--!include fees/quote_payment.sql
--!include fees/access.sql
--!include fees/comments.sql
--!include vouchers/voucher_codes.sql
--!include vouchers/voucher_attempts.sql
--!include vouchers/create_voucher_campaign.sql
--!include vouchers/issue_vouchers.sql
--!include vouchers/redeem_voucher.sql
--!include vouchers/end_vouchers.sql
--!include vouchers/cancel_voucher.sql
--!include vouchers/expire_vouchers.sql
--!include vouchers/keep_vouchers.sql
--!include vouchers/access.sql
--!include vouchers/comments.sql
--!include schedules/recurrence_rule_fault.sql
--!include schedules/business_days.sql
--!include schedules/lock_schedule.sql
--!include schedules/refresh_schedule.sql
--!include schedules/plan_occurrences.sql
--!include schedules/execute_schedule.sql
--!include schedules/schedule_payment.sql
--!include schedules/set_schedule_status.sql
--!include schedules/holiday_calendars.sql
--!include schedules/keep_schedules.sql
--!include schedules/access.sql
--!include schedules/comments.sql
--!include subscriptions/periods.sql
--!include subscriptions/subscription_change.sql
--!include subscriptions/create_plan.sql
--!include subscriptions/subscription_moves_allowed.sql
--!include subscriptions/move_subscription.sql
--!include subscriptions/invoices.sql
--!include subscriptions/advance_subscription.sql
--!include subscriptions/subscribe.sql
--!include subscriptions/change_subscription.sql
--!include subscriptions/cancel_subscription.sql
--!include subscriptions/keep_subscriptions.sql
--!include subscriptions/access.sql
--!include subscriptions/comments.sql
--!include merchants/set_merchant.sql
--!include merchants/settle_merchant.sql
--!include merchants/keep_settlements.sql
--!include merchants/access.sql
--!include merchants/comments.sql
--!include checks/bank_files_that_differ.sql
--!include checks/event_streams_with_gaps.sql
--!include checks/events_of_missing_transactions.sql
--!include checks/merchant_settlements_that_differ.sql
--!include checks/payment_attempts_that_do_not_fit.sql
--!include checks/payments_without_a_job.sql
--!include checks/outbox_rows_left_behind.sql
--!include checks/payments_unlike_their_moves.sql
--!include checks/payments_unlike_their_transactions.sql
--!include checks/payments_without_approval.sql
--!include checks/payment_charges_that_differ.sql
--!include checks/receipt_numbers_with_gaps.sql
--!include checks/receipts_that_do_not_fit.sql
--!include checks/refunds_over_their_payment.sql
--!include checks/schedule_occurrences_that_differ.sql
--!include checks/schedules_past_their_end.sql
--!include checks/tenant_flags_that_differ.sql
--!include checks/subscription_invoices_that_differ.sql
--!include checks/subscriptions_that_differ.sql
--!include checks/transactions_without_approval.sql
--!include checks/vouchers_that_differ.sql
--!include checks/webhook_positions_out_of_range.sql
--!include checks/clearing_accounts_that_differ.sql
--!include checks/reconciled_amounts_that_differ.sql
--!include checks/statements_that_do_not_add_up.sql
--!include checks/suspense_accounts_that_differ.sql
--!include access/partner.sql
--!include identity/attempts.sql
--!include notifications/notification_kinds.sql
--!include notifications/default_templates.sql
--!include notifications/due_at.sql
--!include notifications/notification_template.sql
--!include notifications/set_notification_template.sql
--!include notifications/set_notification_rule.sql
--!include notifications/set_notification_preference.sql
--!include notifications/own_notifications.sql
--!include receipts/issue_receipt.sql
--!include receipts/receipt.sql
--!include receipts/append_only.sql
--!include receipts/access.sql
--!include receipts/comments.sql
--!include notifications/fan_out_notifications.sql
--!include notifications/send_notifications.sql
--!include notifications/access.sql
--!include notifications/comments.sql
--!include audit/exceptions.sql
--!include access/row_level_security.sql
--!include audit/triggers.sql
