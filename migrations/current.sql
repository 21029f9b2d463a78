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
