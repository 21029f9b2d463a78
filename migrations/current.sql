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

--!include errors/refusals.sql
--!include identity/permissions.sql
--!include events/event_kinds.sql
--!include checks/receipt_numbers_with_gaps.sql
--!include checks/receipts_that_do_not_fit.sql
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
--!include notifications/first_event_needed.sql
--!include events/prune_events.sql
--!include events/wake_consumers.sql

--!include access/row_level_security.sql
--!include audit/triggers.sql
