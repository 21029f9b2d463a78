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
