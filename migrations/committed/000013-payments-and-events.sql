--! Previous: sha1:eb5141d32353ad06cfc0dd49baa3d7f8487468b9
--! Hash: sha1:79768f1effb855ed7ca17794592282c0d23690f2
--! Message: payments and events

---- payments and events ----

/*
 * What the ledger may ask of the job queue. The queue belongs to the worker, and so do these functions.
 */
create schema app_jobs authorization tallystick_worker;

--------------------------------------------------------------------------------------------------
-- Events: what happened, in one numbered stream a tenant, for webhooks, notifications and subscribers

create table app_public.event_kinds (
  kind text not null,
  description text not null,
  constraint event_kinds_pkey primary key (kind),
  constraint event_kinds_kind_is_dotted check (kind ~ '^[a-z][a-z_]*(\.[a-z][a-z_]*)+$')
);

create table app_public.events (
  tenant_id integer not null,
  number bigint not null,
  id uuid not null,
  kind text not null,
  subject_id uuid not null,
  data jsonb not null default '{}',
  occurred_at timestamptz not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint events_pkey primary key (tenant_id, number),
  constraint events_id_key unique (tenant_id, id),
  constraint events_tenant_id_fkey foreign key (tenant_id) references app_public.tenants on delete restrict,
  constraint events_kind_fkey foreign key (kind) references app_public.event_kinds on delete restrict,
  constraint events_number_is_positive check (number > 0),
  constraint events_data_is_an_object check (jsonb_typeof(data) = 'object'),
  constraint events_data_is_at_most_16_kb check (octet_length(data::text) <= 16384)
);

create index events_kind_idx on app_public.events (kind);
create index events_subject_id_idx on app_public.events (tenant_id, subject_id, number);

-- What rare, heavy intents say about themselves, until the relay has taken it into the stream. Transactions
-- are not in here: they are their own outbox.
create table app_private.outbox (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  xact_id xid8 not null default pg_current_xact_id(),
  kind text not null,
  subject_id uuid not null,
  data jsonb not null default '{}',
  created_at timestamptz not null default clock_timestamp(),
  constraint outbox_pkey primary key (tenant_id, id),
  constraint outbox_tenant_id_fkey foreign key (tenant_id) references app_public.tenants on delete restrict,
  constraint outbox_kind_fkey foreign key (kind) references app_public.event_kinds on delete restrict
);

create index outbox_xact_id_idx on app_private.outbox (tenant_id, xact_id, id);
create index outbox_kind_idx on app_private.outbox (kind);

-- How far each stream has come, and whether anybody wants to hear of every transaction.
create table app_private.event_streams (
  tenant_id integer not null,
  last_number bigint not null default 0,
  xact_id xid8 not null default '0',
  id uuid not null default '00000000-0000-0000-0000-000000000000',
  has_transactions boolean not null default false,
  constraint event_streams_pkey primary key (tenant_id),
  constraint event_streams_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict
);

--------------------------------------------------------------------------------------------------
-- Payments: money on its way in, out or across, from request to settlement

create type app_public.payment_kind as enum ('pay_in', 'pay_out', 'transfer', 'refund');
create type app_public.payment_status as enum (
  'requested', 'reserved', 'submitted', 'settled', 'failed', 'cancelled', 'expired', 'returned'
);
create type app_public.payment_provider_kind as enum ('simulated', 'stripe', 'bank_file');

create table app_public.payment_providers (
  tenant_id integer not null,
  code text not null,
  kind app_public.payment_provider_kind not null,
  name text not null,
  is_enabled boolean not null default true,
  settings jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint payment_providers_pkey primary key (tenant_id, code),
  constraint payment_providers_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint payment_providers_code_is_a_slug check (code ~ '^[a-z][a-z0-9_-]{0,49}$'),
  constraint payment_providers_name_is_1_to_200_characters check (length(name) between 1 and 200),
  constraint payment_providers_settings_is_an_object check (jsonb_typeof(settings) = 'object'),
  constraint payment_providers_settings_is_at_most_16_kb check (octet_length(settings::text) <= 16384)
);

-- Where the money is that a provider holds for us or owes us: an account of ours for each currency.
create table app_public.payment_provider_accounts (
  tenant_id integer not null,
  provider_code text not null,
  currency text not null,
  clearing_account_id uuid not null,
  suspense_account_id uuid not null,
  constraint payment_provider_accounts_pkey primary key (tenant_id, provider_code, currency),
  constraint payment_provider_accounts_provider_code_fkey foreign key (tenant_id, provider_code)
    references app_public.payment_providers on delete restrict,
  constraint payment_provider_accounts_currency_fkey foreign key (tenant_id, currency)
    references app_public.currencies on delete restrict,
  constraint payment_provider_accounts_clearing_account_id_fkey foreign key (tenant_id, clearing_account_id)
    references app_public.accounts on delete restrict,
  constraint payment_provider_accounts_suspense_account_id_fkey foreign key (tenant_id, suspense_account_id)
    references app_public.accounts on delete restrict,
  constraint payment_provider_accounts_are_two check (clearing_account_id <> suspense_account_id)
);

create index payment_provider_accounts_currency_idx on app_public.payment_provider_accounts (tenant_id, currency);
create index payment_provider_accounts_clearing_account_id_idx
  on app_public.payment_provider_accounts (tenant_id, clearing_account_id);
create index payment_provider_accounts_suspense_account_id_idx
  on app_public.payment_provider_accounts (tenant_id, suspense_account_id);

-- Whom money comes from or goes to outside. What identifies their account there is encrypted, in a table
-- of its own.
create table app_public.counterparties (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  name text not null,
  owner_id uuid,
  account_hint text,
  bic text,
  country text,
  metadata jsonb not null default '{}',
  archived_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint counterparties_pkey primary key (tenant_id, id),
  constraint counterparties_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint counterparties_owner_id_fkey foreign key (tenant_id, owner_id)
    references app_public.memberships on delete restrict,
  constraint counterparties_name_is_1_to_140_characters check (length(name) between 1 and 140),
  constraint counterparties_account_hint_is_at_most_8_characters check (length(account_hint) between 1 and 8),
  constraint counterparties_bic_has_its_form check (bic ~ '^[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$'),
  constraint counterparties_country_has_two_letters check (country ~ '^[A-Z]{2}$'),
  constraint counterparties_metadata_is_an_object check (jsonb_typeof(metadata) = 'object'),
  constraint counterparties_metadata_is_at_most_16_kb check (octet_length(metadata::text) <= 16384)
);

create index counterparties_owner_id_idx on app_public.counterparties (tenant_id, owner_id)
  where owner_id is not null;

create table app_private.counterparty_accounts (
  tenant_id integer not null,
  counterparty_id uuid not null,
  account_ciphertext app_private.ciphertext not null,
  updated_at timestamptz not null default now(),
  constraint counterparty_accounts_pkey primary key (tenant_id, counterparty_id),
  constraint counterparty_accounts_counterparty_id_fkey foreign key (tenant_id, counterparty_id)
    references app_public.counterparties on delete restrict
);

create table app_public.payments (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  kind app_public.payment_kind not null,
  status app_public.payment_status not null default 'requested',
  move_number integer not null default 1,
  debit_account_id uuid not null,
  credit_account_id uuid not null,
  currency text not null,
  amount app_public.amount not null,
  provider_code text,
  provider_reference text,
  counterparty_id uuid,
  refund_of_id uuid,
  reference text,
  description text,
  metadata jsonb not null default '{}',
  idempotency_key text,
  fingerprint bytea,
  execute_at timestamptz not null default now(),
  expires_at timestamptz,
  pending_transaction_id uuid,
  settlement_transaction_id uuid,
  return_transaction_id uuid,
  created_by uuid,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default now(),
  constraint payments_pkey primary key (tenant_id, id),
  constraint payments_currency_fkey foreign key (tenant_id, currency)
    references app_public.currencies on delete restrict,
  constraint payments_debit_account_id_fkey foreign key (tenant_id, debit_account_id)
    references app_public.accounts on delete restrict,
  constraint payments_credit_account_id_fkey foreign key (tenant_id, credit_account_id)
    references app_public.accounts on delete restrict,
  constraint payments_provider_code_fkey foreign key (tenant_id, provider_code)
    references app_public.payment_providers on delete restrict,
  constraint payments_counterparty_id_fkey foreign key (tenant_id, counterparty_id)
    references app_public.counterparties on delete restrict,
  constraint payments_refund_of_id_fkey foreign key (tenant_id, refund_of_id)
    references app_public.payments on delete restrict,
  constraint payments_pending_transaction_id_fkey foreign key (tenant_id, pending_transaction_id)
    references app_public.transactions on delete restrict,
  constraint payments_settlement_transaction_id_fkey foreign key (tenant_id, settlement_transaction_id)
    references app_public.transactions on delete restrict,
  constraint payments_return_transaction_id_fkey foreign key (tenant_id, return_transaction_id)
    references app_public.transactions on delete restrict,
  constraint payments_amount_is_positive check (amount > 0),
  constraint payments_accounts_are_two check (debit_account_id <> credit_account_id),
  constraint payments_refund_names_its_payment check ((kind = 'refund') = (refund_of_id is not null)),
  constraint payments_outside_has_a_provider check (
    kind = 'refund' or (kind = 'transfer') = (provider_code is null)
  ),
  constraint payments_reserved_has_its_transaction check (
    status in ('requested', 'cancelled', 'expired', 'failed') or pending_transaction_id is not null
  ),
  constraint payments_settled_has_its_transaction check (
    (status in ('settled', 'returned')) = (settlement_transaction_id is not null)
  ),
  constraint payments_returned_has_its_transaction check (
    (status = 'returned') = (return_transaction_id is not null)
  ),
  constraint payments_key_has_its_fingerprint check ((idempotency_key is null) = (fingerprint is null)),
  constraint payments_idempotency_key_is_1_to_255_characters check (length(idempotency_key) between 1 and 255),
  constraint payments_reference_is_1_to_140_characters check (length(reference) between 1 and 140),
  constraint payments_description_is_1_to_1000_characters check (length(description) between 1 and 1000),
  constraint payments_metadata_is_an_object check (jsonb_typeof(metadata) = 'object'),
  constraint payments_metadata_is_at_most_16_kb check (octet_length(metadata::text) <= 16384)
);

create unique index payments_idempotency_key_key
  on app_public.payments (tenant_id, idempotency_key) where idempotency_key is not null;
create unique index payments_provider_reference_key
  on app_public.payments (tenant_id, provider_code, provider_reference) where provider_reference is not null;
create index payments_currency_idx on app_public.payments (tenant_id, currency);
create index payments_debit_account_id_idx on app_public.payments (tenant_id, debit_account_id, id);
create index payments_credit_account_id_idx on app_public.payments (tenant_id, credit_account_id, id);
create index payments_provider_code_idx on app_public.payments (tenant_id, provider_code, id)
  where provider_code is not null;
create index payments_counterparty_id_idx on app_public.payments (tenant_id, counterparty_id, id)
  where counterparty_id is not null;
create index payments_refund_of_id_idx on app_public.payments (tenant_id, refund_of_id)
  where refund_of_id is not null;
create unique index payments_pending_transaction_id_key
  on app_public.payments (tenant_id, pending_transaction_id) where pending_transaction_id is not null;
create unique index payments_settlement_transaction_id_key
  on app_public.payments (tenant_id, settlement_transaction_id) where settlement_transaction_id is not null;
create unique index payments_return_transaction_id_key
  on app_public.payments (tenant_id, return_transaction_id) where return_transaction_id is not null;
create index payments_status_idx on app_public.payments (tenant_id, status, id);
create index payments_reference_idx on app_public.payments (tenant_id, reference) where reference is not null;

-- The moves that a payment may make; null is before there was any.
create table app_private.payment_moves_allowed (
  from_status app_public.payment_status not null,
  to_status app_public.payment_status not null,
  constraint payment_moves_allowed_pkey primary key (from_status, to_status)
);

/*
 * Each move of a payment, for ever. Constraints alone keep the chain: a move starts where the one before it
 * ended, is one of those allowed, and the payment stands where its last move ended.
 */
create table app_public.payment_moves (
  tenant_id integer not null,
  payment_id uuid not null,
  number integer not null,
  from_status app_public.payment_status,
  to_status app_public.payment_status not null,
  previous_number integer generated always as (nullif(number - 1, 0)) stored,
  transaction_id uuid,
  error_code text,
  reason text,
  moved_by uuid,
  session_id uuid,
  created_at timestamptz not null default clock_timestamp(),
  constraint payment_moves_pkey primary key (tenant_id, payment_id, number),
  constraint payment_moves_end_key unique (tenant_id, payment_id, number, to_status),
  constraint payment_moves_payment_id_fkey foreign key (tenant_id, payment_id)
    references app_public.payments on delete restrict,
  constraint payment_moves_previous_number_fkey
    foreign key (tenant_id, payment_id, previous_number, from_status)
    references app_public.payment_moves (tenant_id, payment_id, number, to_status) on delete restrict,
  constraint payment_moves_from_status_fkey foreign key (from_status, to_status)
    references app_private.payment_moves_allowed on delete restrict,
  constraint payment_moves_transaction_id_fkey foreign key (tenant_id, transaction_id)
    references app_public.transactions on delete restrict,
  constraint payment_moves_first_comes_from_nowhere check ((number = 1) = (from_status is null)),
  constraint payment_moves_start_as_requested check (number > 1 or to_status = 'requested'),
  constraint payment_moves_error_code_is_1_to_100_characters check (length(error_code) between 1 and 100),
  constraint payment_moves_reason_is_1_to_1000_characters check (length(reason) between 1 and 1000)
);

create index payment_moves_from_status_idx on app_public.payment_moves (from_status, to_status);
create index payment_moves_previous_number_idx
  on app_public.payment_moves (tenant_id, payment_id, previous_number, from_status);
create unique index payment_moves_transaction_id_key
  on app_public.payment_moves (tenant_id, transaction_id) where transaction_id is not null;

alter table app_public.payments
  add constraint payments_move_number_fkey foreign key (tenant_id, id, move_number, status)
    references app_public.payment_moves (tenant_id, payment_id, number, to_status) on delete restrict
    deferrable initially deferred;
create index payments_move_number_idx on app_public.payments (tenant_id, id, move_number, status);

--! Included jobs/add_job.sql
/*
 * Add a job to the queue in the database transaction of the caller: it is there if that commits, and only
 * then. For rare, heavy intents such as a payment, never for postings: they are relayed (relay/, events/).
 *
 * Made in the name of the worker, who alone owns the queue. A job with the key of one that waits replaces it.
 * Named queues are not offered: they advance one job a poll.
 */
set role tallystick_worker;

create or replace function app_jobs.add_job(
  task text,
  payload jsonb default '{}',
  key text default null,
  run_at timestamptz default null,
  max_attempts integer default 25,
  priority integer default 0
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Null comes back where the job of the same key is being taken at this instant and many ask for it at
  -- once: then the job is added without a key, for once too often is harmless and never is not.
  if (graphile_worker.add_job(
    add_job.task, add_job.payload::json, null, add_job.run_at, add_job.max_attempts, add_job.key,
    add_job.priority)).id is null
  then
    perform graphile_worker.add_job(
      add_job.task, add_job.payload::json, null, add_job.run_at, add_job.max_attempts, null, add_job.priority);
  end if;
end
$$;

revoke execute on function app_jobs.add_job(text, jsonb, text, timestamptz, integer, integer) from public;
grant usage on schema app_jobs to tallystick_owner;
grant execute on function app_jobs.add_job(text, jsonb, text, timestamptz, integer, integer) to tallystick_owner;

set role tallystick_owner;
--! EndIncluded jobs/add_job.sql
--! Included events/event_kinds.sql
/*
 * The kinds of events that there are. The part before the dot says what `subject_id` is the id of.
 */
insert into app_public.event_kinds (kind, description) values
  ('payment.cancelled', 'A payment was cancelled before the provider paid it.'),
  ('payment.expired', 'A payment was not submitted in time.'),
  ('payment.failed', 'A payment failed, and what it had reserved is free again.'),
  ('payment.requested', 'A payment was asked for.'),
  ('payment.reserved', 'The money of a payment is reserved.'),
  ('payment.returned', 'A payment that had settled came back.'),
  ('payment.settled', 'A payment settled: its money is posted.'),
  ('payment.submitted', 'A payment was handed to its provider.'),
  ('transaction.expired', 'A pending transaction expired.'),
  ('transaction.pending', 'A transaction reserved money.'),
  ('transaction.posted', 'A transaction was posted, also one that had been pending.'),
  ('transaction.voided', 'A pending transaction was voided.')
on conflict (kind) do update set description = excluded.description;
--! EndIncluded events/event_kinds.sql
--! Included events/record_event.sql
/*
 * Say that something happened, in the database transaction in which it does. The relay gives it its number in
 * the stream. Not for postings: transactions are read from the ledger itself.
 */
create or replace function app_private.record_event(
  tenant_id integer,
  kind text,
  subject_id uuid,
  data jsonb default '{}'
)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  insert into app_private.outbox (tenant_id, kind, subject_id, data)
  values (record_event.tenant_id, record_event.kind, record_event.subject_id, record_event.data)
$$;

/*
 * Somebody wants to hear of every transaction from now on: the stream begins to hold them. Costs a row for
 * each, which is why it is not so before.
 */
create or replace function app_private.stream_transactions(tenant_id integer)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  insert into app_private.event_streams (tenant_id, xact_id, has_transactions)
  values (stream_transactions.tenant_id, pg_snapshot_xmin(pg_current_snapshot()), true)
  on conflict on constraint event_streams_pkey do update
  set has_transactions = true,
    xact_id = case when event_streams.has_transactions then event_streams.xact_id else excluded.xact_id end,
    id = case
      when event_streams.has_transactions then event_streams.id
      else '00000000-0000-0000-0000-000000000000'
    end
$$;
--! EndIncluded events/record_event.sql
--! Included events/relay_events.sql
/*
 * Take what has happened into the streams of events: from the outbox, and from the ledger itself for those
 * tenants of which somebody wants to hear of every transaction. Both are read in the order (xact_id, id), up
 * to the oldest database transaction that is still running, so that nothing that commits late is skipped.
 *
 * Numbers of a stream are without gaps: who reads them holds the lock of the stream. Several workers may call
 * this at once; each stream is taken by one of them. Returns how many events it made.
 */
create or replace function app_private.relay_events(batch_size integer default 1000)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_stream app_private.event_streams;
  v_made integer;
  v_count integer := 0;
begin
  insert into app_private.event_streams (tenant_id)
  select t.id
  from app_public.tenants t
  where not exists (select from app_private.event_streams s where s.tenant_id = t.id)
  on conflict do nothing;

  for v_stream in
    select s.*
    from app_private.event_streams s
    where exists (
        select from app_private.outbox o
        where o.tenant_id = s.tenant_id and o.xact_id < pg_snapshot_xmin(pg_current_snapshot())
      )
      or s.has_transactions and exists (
        select from app_public.transactions t
        where t.tenant_id = s.tenant_id and (t.xact_id, t.id) > (s.xact_id, s.id)
          and t.xact_id < pg_snapshot_xmin(pg_current_snapshot())
      )
    order by s.tenant_id
    for update of s skip locked
  loop
    v_made := app_private.relay_stream(v_stream, relay_events.batch_size);
    v_count := v_count + v_made;
  end loop;
  return v_count;
end
$$;

grant execute on function app_private.relay_events(integer) to tallystick_worker;

/*
 * The same for one stream, whose row the caller has locked.
 */
create or replace function app_private.relay_stream(stream app_private.event_streams, batch_size integer)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_horizon constant xid8 := pg_snapshot_xmin(pg_current_snapshot());
  v_last record;
  v_event_ids uuid[];
  v_payment_ids uuid[];
  v_made integer;
begin
  with
  waiting as (
    select o.xact_id, o.id, o.kind, o.subject_id, o.data, o.created_at, true as is_from_outbox
    from app_private.outbox o
    where o.tenant_id = stream.tenant_id and o.xact_id < v_horizon
    order by o.xact_id, o.id
    limit batch_size
  ),
  posted as (
    select t.xact_id, t.id,
      case t.kind
        when 'pending' then 'transaction.pending'
        when 'void_pending' then 'transaction.voided'
        when 'expire_pending' then 'transaction.expired'
        else 'transaction.posted'
      end as kind,
      t.id as subject_id,
      jsonb_strip_nulls(jsonb_build_object('pendingId', t.pending_id, 'reversesId', t.reverses_id)) as data,
      t.created_at, false
    from app_public.transactions t
    where stream.has_transactions and t.tenant_id = stream.tenant_id
      and (t.xact_id, t.id) > (stream.xact_id, stream.id) and t.xact_id < v_horizon
    order by t.xact_id, t.id
    limit batch_size
  ),
  taken as (
    select w.*, row_number() over (order by w.xact_id, w.created_at, w.id) as n
    from (select * from waiting union all select * from posted) w
    order by w.xact_id, w.created_at, w.id
    limit batch_size
  ),
  made as (
    insert into app_public.events (tenant_id, number, id, kind, subject_id, data, occurred_at)
    select stream.tenant_id, stream.last_number + t.n, t.id, t.kind, t.subject_id, t.data, t.created_at
    from taken t
    order by t.n
    returning id, number, kind, subject_id
  ),
  removed as (
    delete from app_private.outbox o
    using taken t
    where o.tenant_id = stream.tenant_id and o.id = t.id and t.is_from_outbox
  )
  select
    (select array_agg(m.id order by m.number) from made m),
    (select array_agg(distinct m.subject_id) from made m where m.kind like 'payment.%'),
    (select count(*) from made)
  into v_event_ids, v_payment_ids, v_made;

  select t.xact_id, t.id into v_last
  from app_public.transactions t
  where t.tenant_id = stream.tenant_id and t.id = any (v_event_ids)
  order by t.xact_id desc, t.id desc
  limit 1;
  update app_private.event_streams s
  set last_number = stream.last_number + v_made,
    xact_id = coalesce(v_last.xact_id, s.xact_id),
    id = coalesce(v_last.id, s.id)
  where s.tenant_id = stream.tenant_id;

  perform app_private.notify_ids(format('tallystick:%s:events', stream.tenant_id), v_event_ids);
  perform app_private.notify_ids(format('tallystick:%s:payments', stream.tenant_id), v_payment_ids)
  where v_payment_ids is not null;
  return v_made;
end
$$;
--! EndIncluded events/relay_events.sql
--! Included events/access.sql
/*
 * The kinds of events are the same for everyone; the stream of a tenant is read by those who run it.
 */
drop policy if exists select_signed_in on app_public.event_kinds;
create policy select_signed_in on app_public.event_kinds for select to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (true);

grant select on app_public.event_kinds to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

drop policy if exists select_staff on app_public.events;
create policy select_staff on app_public.events for select to
  tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_public.events to tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded events/access.sql
--! Included events/comments.sql
/*
 * What GraphQL says about events.
 */
comment on table app_public.event_kinds is $$
@behavior +query:resource:connection

A kind of event. Kinds are only ever added.
$$;
comment on column app_public.event_kinds.kind is $$
@behavior +attribute:filterBy +attribute:orderBy

The name: what the event is about, a dot, and what happened to it.
$$;
comment on column app_public.event_kinds.description is 'What it says.';

comment on table app_public.events is $$
@behavior +query:resource:connection

Something that happened in the books. The events of a tenant are one stream, numbered without a gap; what
happened later, as the database saw it, has the higher number. Transactions are in it from when on a webhook or
notification asks for them.
$$;
comment on column app_public.events.number is $$
@behavior +attribute:filterBy +attribute:orderBy

Its place in the stream, from 1 on.
$$;
comment on column app_public.events.id is 'The id of the event: whoever is told twice knows it by this.';
comment on column app_public.events.kind is $$
@behavior +attribute:filterBy

What happened.
$$;
comment on column app_public.events.subject_id is $$
@behavior +attribute:filterBy

The id of what it happened to: of the payment, for kinds that begin with `payment.`.
$$;
comment on column app_public.events.data is 'The facts that matter most; the rest is read by the id.';
comment on column app_public.events.occurred_at is 'When it happened.';
comment on column app_public.events.created_at is 'When it was taken into the stream.';
comment on constraint events_kind_fkey on app_public.events is '@behavior -*';
--! EndIncluded events/comments.sql
--! Included payments/payment_moves_allowed.sql
/*
 * The moves that a payment may make. Failed, cancelled, expired and returned are final.
 *
 *   requested ──▶ reserved ──▶ submitted ──▶ settled ──▶ returned
 *       │            │  └─────────────────────▲
 *       │            │            │
 *       └────────────┴────────────┴──▶ failed | cancelled | expired
 *
 * Only what was handed to a provider is submitted: a transfer between our own accounts goes from reserved to
 * settled.
 */
insert into app_private.payment_moves_allowed (from_status, to_status) values
  ('requested', 'reserved'),
  ('requested', 'failed'),
  ('requested', 'cancelled'),
  ('requested', 'expired'),
  ('reserved', 'submitted'),
  ('reserved', 'settled'),
  ('reserved', 'failed'),
  ('reserved', 'cancelled'),
  ('reserved', 'expired'),
  ('submitted', 'settled'),
  ('submitted', 'failed'),
  ('submitted', 'cancelled'),
  ('submitted', 'expired'),
  ('settled', 'returned')
on conflict do nothing;
--! EndIncluded payments/payment_moves_allowed.sql
--! Included payments/move_payment.sql
/*
 * Lock a payment for a move. The row is locked before anything of the ledger is, by everyone.
 */
create or replace function app_private.lock_payment(tenant_id integer, id uuid)
returns app_public.payments
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_payment app_public.payments;
begin
  select p.* into v_payment
  from app_public.payments p
  where p.tenant_id = lock_payment.tenant_id and p.id = lock_payment.id
  for no key update;
  if not found then
    perform app_private.refuse('LG601', jsonb_build_object('paymentId', lock_payment.id));
  end if;
  return v_payment;
end
$$;

/*
 * Move a payment that the caller has locked: add the move, and let the payment stand where it ends. The
 * transaction is the one that the move posted: the reservation, its settlement or its release, the return.
 */
create or replace function app_private.move_payment(
  actor app_private.actor,
  payment app_public.payments,
  to_status app_public.payment_status,
  transaction_id uuid default null,
  error_code text default null,
  reason text default null
)
returns app_public.payments
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_payment app_public.payments;
begin
  if not exists (
    select from app_private.payment_moves_allowed m
    where m.from_status = payment.status and m.to_status = move_payment.to_status
  ) then
    perform app_private.refuse('LG602', jsonb_build_object(
      'paymentId', payment.id, 'status', payment.status, 'to', move_payment.to_status));
  end if;
  insert into app_public.payment_moves (
    tenant_id, payment_id, number, from_status, to_status, transaction_id, error_code, reason, moved_by, session_id
  ) values (
    payment.tenant_id, payment.id, payment.move_number + 1, payment.status, move_payment.to_status,
    move_payment.transaction_id, move_payment.error_code, move_payment.reason, actor.user_id, actor.session_id
  );
  update app_public.payments p set
    status = move_payment.to_status,
    move_number = payment.move_number + 1,
    pending_transaction_id =
      case when move_payment.to_status = 'reserved' then move_payment.transaction_id else p.pending_transaction_id end,
    settlement_transaction_id =
      case when move_payment.to_status = 'settled' then move_payment.transaction_id else p.settlement_transaction_id end,
    return_transaction_id =
      case when move_payment.to_status = 'returned' then move_payment.transaction_id else p.return_transaction_id end,
    updated_at = now()
  where p.tenant_id = payment.tenant_id and p.id = payment.id
  returning * into v_payment;
  perform app_private.record_payment_event(v_payment, move_payment.error_code);
  return v_payment;
end
$$;

-- Say in the stream of events where a payment stands now.
create or replace function app_private.record_payment_event(payment app_public.payments, error_code text default null)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select app_private.record_event(
    payment.tenant_id, 'payment.' || payment.status::text, payment.id,
    jsonb_strip_nulls(jsonb_build_object(
      'kind', payment.kind, 'amount', payment.amount::text, 'currency', payment.currency,
      'reference', payment.reference, 'moveNumber', payment.move_number, 'errorCode', error_code)))
$$;
--! EndIncluded payments/move_payment.sql
--! Included payments/append_only.sql
-- The moves of a payment are its history: added, never changed or removed.
create or replace trigger _200_refuse_change
  before update or delete or truncate on app_public.payment_moves
  for each statement execute function app_private.tg__refuse_change();
--! EndIncluded payments/append_only.sql
--! Included payments/access.sql
/*
 * Staff see every payment of their tenant; a customer those that touch an account of theirs, and their own
 * counterparties.
 */
do $$
declare
  v_table regclass;
begin
  foreach v_table in array array[
    'app_public.payment_providers', 'app_public.payment_provider_accounts', 'app_public.counterparties',
    'app_public.payments', 'app_public.payment_moves'
  ]::regclass[] loop
    execute format('drop policy if exists select_staff on %s', v_table);
    execute format(
      'create policy select_staff on %s for select to
        tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
        using (tenant_id = (select app_hidden.current_tenant_id()))', v_table);
    execute format(
      'grant select on %s to
        tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin', v_table);
  end loop;
end
$$;

drop policy if exists select_own_counterparties on app_public.counterparties;
create policy select_own_counterparties on app_public.counterparties for select to tallystick_customer
  using (
    tenant_id = (select app_hidden.current_tenant_id()) and owner_id = (select app_hidden.current_user_id())
  );

-- The accounts in the array are those that the customer owns.
drop policy if exists select_own_payments on app_public.payments;
create policy select_own_payments on app_public.payments for select to tallystick_customer
  using (
    tenant_id = (select app_hidden.current_tenant_id())
    and (
      debit_account_id = any ((select app_hidden.current_user_account_ids())::uuid[])
      or credit_account_id = any ((select app_hidden.current_user_account_ids())::uuid[])
    )
  );

-- The payments in the subquery are those that the customer may see: their policy holds in here too.
drop policy if exists select_own_payments on app_public.payment_moves;
create policy select_own_payments on app_public.payment_moves for select to tallystick_customer
  using (
    tenant_id = (select app_hidden.current_tenant_id())
    and exists (
      select
      from app_public.payments p
      where p.tenant_id = (select app_hidden.current_tenant_id()) and p.id = payment_moves.payment_id
    )
  );

grant select on app_public.counterparties, app_public.payments, app_public.payment_moves to tallystick_customer;
--! EndIncluded payments/access.sql
--! Included payments/comments.sql
/*
 * What GraphQL says about payments.
 */
comment on type app_public.payment_kind is
  'Where the money of a payment goes: in, out, between accounts of ours, or back.';
comment on type app_public.payment_status is 'Where a payment stands.';
comment on type app_public.payment_provider_kind is 'How a provider is spoken to.';

comment on table app_public.payment_providers is $$
@behavior +query:resource:connection

Somebody who moves money outside for the tenant: a bank, a card processor.
$$;
comment on column app_public.payment_providers.code is $$
@behavior +attribute:filterBy +attribute:orderBy

The short name that is unique in the tenant.
$$;
comment on column app_public.payment_providers.kind is 'How it is spoken to.';
comment on column app_public.payment_providers.name is 'The name for people.';
comment on column app_public.payment_providers.is_enabled is 'Whether new payments may go through it.';
comment on column app_public.payment_providers.settings is
  'What its kind needs to know and is no secret, such as the account that a bank debits.';
comment on column app_public.payment_providers.created_at is 'When it was set up.';
comment on column app_public.payment_providers.updated_at is 'When its settings last changed.';

comment on table app_public.payment_provider_accounts is $$
The accounts of ours that stand for what a provider holds, in one currency.
$$;
comment on column app_public.payment_provider_accounts.provider_code is 'The provider.';
comment on column app_public.payment_provider_accounts.currency is 'The currency.';
comment on column app_public.payment_provider_accounts.clearing_account_id is
  'The account whose balance is what the provider should hold for us, or owe us.';
comment on column app_public.payment_provider_accounts.suspense_account_id is
  'The account that takes money of which nobody knows yet what it is for.';

comment on table app_public.counterparties is $$
@behavior +query:resource:connection +type:node

Somebody outside whom money comes from or goes to.
$$;
comment on column app_public.counterparties.id is $$
@behavior +attribute:orderBy

The id of the counterparty.
$$;
comment on column app_public.counterparties.name is 'Their name, as their bank knows it.';
comment on column app_public.counterparties.owner_id is $$
@behavior +attribute:filterBy

The customer whose counterparty it is; null = anybody of the tenant.
$$;
comment on column app_public.counterparties.account_hint is
  'The end of the number of their account. The whole is stored encrypted.';
comment on column app_public.counterparties.bic is 'The BIC of their bank.';
comment on column app_public.counterparties.country is 'Their country, as ISO 3166 has it: two letters.';
comment on column app_public.counterparties.metadata is 'What the caller keeps beside it.';
comment on column app_public.counterparties.archived_at is 'From when on they take no new payments.';
comment on column app_public.counterparties.created_at is 'When they were added.';
comment on column app_public.counterparties.updated_at is 'When they last changed.';

comment on table app_public.payments is $$
@behavior +query:resource:connection +type:node

An intent to move money in, out or across. It reserves the money in the ledger first, and posts it when it
settles: the ledger and the payment never disagree.
$$;
comment on column app_public.payments.id is $$
@behavior +attribute:orderBy

The id of the payment, and what providers know it by.
$$;
comment on column app_public.payments.kind is 'Where the money goes.';
comment on column app_public.payments.status is $$
@behavior +attribute:filterBy

Where the payment stands.
$$;
comment on column app_public.payments.move_number is 'How many moves it has made.';
comment on column app_public.payments.debit_account_id is $$
@behavior +attribute:filterBy

The id of the account that is debited: of the provider for money that comes in.
$$;
comment on column app_public.payments.credit_account_id is $$
@behavior +attribute:filterBy

The id of the account that is credited: of the provider for money that goes out.
$$;
comment on column app_public.payments.currency is 'The currency.';
comment on column app_public.payments.amount is 'The amount, in minor units, without fees.';
comment on column app_public.payments.provider_code is $$
@behavior +attribute:filterBy

The provider; null = between accounts of ours.
$$;
comment on column app_public.payments.provider_reference is $$
@behavior +attribute:filterBy

What the provider calls the payment.
$$;
comment on column app_public.payments.counterparty_id is $$
@behavior +attribute:filterBy

The id of whom the money comes from or goes to.
$$;
comment on column app_public.payments.refund_of_id is $$
@behavior +attribute:filterBy

The id of the payment that this one gives back, in whole or in part.
$$;
comment on column app_public.payments.reference is $$
@behavior +attribute:filterBy

What the other side reads on its statement.
$$;
comment on column app_public.payments.description is 'What it is for.';
comment on column app_public.payments.metadata is 'What the caller keeps beside it.';
comment on column app_public.payments.idempotency_key is $$
@behavior +attribute:filterBy

The retry token of the caller.
$$;
comment on column app_public.payments.fingerprint is '@behavior -*';
comment on column app_public.payments.execute_at is 'When it is to be executed.';
comment on column app_public.payments.expires_at is 'When it is given up if it was not submitted.';
comment on column app_public.payments.pending_transaction_id is 'The id of the transaction that reserves its money.';
comment on column app_public.payments.settlement_transaction_id is 'The id of the transaction that posted it.';
comment on column app_public.payments.return_transaction_id is 'The id of the transaction that took it back.';
comment on column app_public.payments.created_by is 'Who asked for it; null = the ledger itself.';
comment on column app_public.payments.created_at is 'When it was asked for.';
comment on column app_public.payments.updated_at is 'When it last moved.';

comment on table app_public.payment_moves is 'A move of a payment from one status to another. Moves are never changed.';
comment on column app_public.payment_moves.payment_id is 'The id of the payment.';
comment on column app_public.payment_moves.number is $$
@behavior +attribute:orderBy

The place of the move in the history of the payment, from 1 on.
$$;
comment on column app_public.payment_moves.from_status is 'Where it stood; null = before there was any.';
comment on column app_public.payment_moves.to_status is 'Where it stands since.';
comment on column app_public.payment_moves.previous_number is '@behavior -*';
comment on column app_public.payment_moves.transaction_id is 'The id of the transaction that the move posted.';
comment on column app_public.payment_moves.error_code is 'Why it failed, as a code of the provider or of ours.';
comment on column app_public.payment_moves.reason is 'Why, in words.';
comment on column app_public.payment_moves.moved_by is 'Who moved it; null = the ledger itself.';
comment on column app_public.payment_moves.session_id is '@behavior -*';
comment on column app_public.payment_moves.created_at is 'When.';
comment on constraint payment_moves_previous_number_fkey on app_public.payment_moves is '@behavior -*';
comment on constraint payments_move_number_fkey on app_public.payments is '@behavior -*';
--! EndIncluded payments/comments.sql
--! Included errors/refusals.sql
/*
 * Every refusal that the ledger can answer. The third character groups them: 1 shape, 2 balance, 3 state,
 * 4 access, 5 idempotency, 6 payments, 7 statements and messages. A code never changes its meaning.
 * docs/error_codes.md is generated from these rows. Names follow TigerBeetle's where it has the same refusal.
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
    'Transactions, postings and the audit trail are never changed or removed.',
    'Post a reversal instead of changing a transaction.', false),
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

  ('LG370', 'tenant_not_found',
    'There is no such tenant.',
    'Check the slug.', false),
  ('LG371', 'chart_template_not_found',
    'There is no such chart of accounts.',
    'Ask for `chartTemplates` to see those that there are.', false),
  ('LG372', 'invitation_not_found',
    'There is no such invitation.',
    'Check the link. An invitation that was revoked is not found either.', false),
  ('LG373', 'invitation_already_accepted',
    'The invitation has been accepted already.',
    'Sign in. An invitation is good for one person.', false),
  ('LG374', 'invitation_expired',
    'The invitation has expired.',
    'Ask for a new one.', false),
  ('LG375', 'member_not_found',
    'There is no such member.',
    'Check the id of the user.', false),
  ('LG376', 'already_a_member',
    'The user is a member already.',
    'Change the role of the member, or enable them again, instead.', false),
  ('LG377', 'last_admin',
    'An active tenant keeps an active admin: this one is the last.',
    'Make somebody else an admin first. An operator may also suspend the tenant.', false),
  ('LG378', 'user_not_found',
    'There is no such user.',
    'Check the id of the user.', false),
  ('LG390', 'proposal_not_found',
    'There is no such proposal.',
    'Check the id.', false),
  ('LG391', 'proposal_already_decided',
    'The proposal has been approved, rejected or withdrawn already.',
    'Nothing is left to do. See the detail for what was decided.', false),
  ('LG392', 'proposal_expired',
    'The time to approve the proposal has passed.',
    'Propose the transaction anew, under another idempotency key.', false),
  ('LG393', 'invalid_proposal_expiry',
    'A proposal must expire in the future, within 90 days.',
    'Leave expiresAt out to give it seven days.', false),
  ('LG394', 'proposal_already_posted',
    'The transaction of the proposal has been posted already, under the same idempotency key.',
    'Nothing is left to do. See the detail for the transaction.', false),

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
  ('LG410', 'permission_not_grantable',
    'The role can never be given this permission.',
    'Ask for `grantablePermissions` to see what each role can be given.', false),
  ('LG411', 'permission_kept',
    'Admins keep the permission to change permissions.',
    'Take other permissions away instead.', false),
  ('LG412', 'own_membership',
    'Nobody changes their own membership.',
    'Ask another admin.', false),
  ('LG413', 'role_not_assignable',
    'A person is a customer, a teller, an accountant, an auditor or an admin; a program stays a partner.',
    'Choose one of these roles. Operators are made on the command line, partners with their API keys.', false),

  ('LG420', 'malformed_signature',
    'The Authorization header of a signed request is not in its form.',
    'See docs/how-to/partner-api-keys.md for the form. The detail names what is wrong with it.', false),
  ('LG421', 'signature_refused',
    'The API key or the signature is not right.',
    'Compare what you sign with the test vectors in docs/api-key-vectors.json, and check key and secret.', false),
  ('LG422', 'signature_out_of_time',
    'The timestamp of the signature is more than five minutes away from the time of the server.',
    'Set the clock, and sign each request at the time of sending it.', false),
  ('LG423', 'nonce_reused',
    'A request with this nonce has been taken already.',
    'Sign each request anew, with a nonce of its own: also one that is sent again.', false),
  ('LG424', 'address_not_allowed',
    'Requests with this API key are not taken from this address.',
    'Ask the administrator who made the key for which addresses it is.', false),
  ('LG425', 'api_key_ended',
    'The API key has expired or was revoked.',
    'Ask an administrator of the tenant for a new key.', false),
  ('LG426', 'api_key_not_found',
    'There is no such API key.',
    'Check the id.', false),
  ('LG427', 'invalid_api_key',
    'An API key cannot be made like this.',
    'See the detail for the field and what it may hold.', false),
  ('LG429', 'account_beyond_parent',
    'An account that a partner opens is like the account that it is opened under, and its own.',
    'Take type, side and currency of the parent, stay within its limits, begin the code with its code.', false),
  ('LG405', 'approval_required',
    'A transaction of this amount needs the approval of a second person.',
    'Propose it with `proposeTransaction`, for somebody else to approve. See the detail for the threshold.', false),
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
  ('LG190', 'unknown_check',
    'There is no check of this name.',
    'Leave the names out to run all checks: the answer names them.', false),
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
  ('LG450', 'not_sealed_yet',
    'The transaction has not been sealed yet.',
    'Ask again in a minute: a job seals what has been settled.', true),
  ('LG451', 'missing_from_its_block',
    'The transaction lies where all have been sealed, but its block does not hold it.',
    'It was changed or put there past the ledger. Run verifyLedger.', false),
  ('LG430', 'own_proposal',
    'Nobody approves or rejects what they proposed themselves.',
    'Ask somebody else to decide, or withdraw the proposal.', false),
  ('LG431', 'person_required',
    'Proposals are decided by people, not by programs.',
    'Sign in as a person who may approve.', false),
  ('LG432', 'proposer_may_not_post',
    'Whoever proposed the transaction may no longer post it.',
    'Reject the proposal, or propose the transaction in your own name.', false),
  ('LG433', 'not_own_proposal',
    'Only whoever made a proposal withdraws it.',
    'Reject it instead, if you may approve.', false),
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
  ('LG470', 'invalid_credentials',
    'The e-mail address or the password is not right.',
    'Check both. Who has forgotten the password can have it reset.', false),
  ('LG471', 'too_many_attempts',
    'There were too many attempts that failed.',
    'Wait for as many seconds as the detail and the header Retry-After say.', true),
  ('LG472', 'not_a_member',
    'You do not belong to these books.',
    'Check which books were named. To join, accept an invitation or register.', false),
  ('LG473', 'code_required',
    'The account asks for a one-time password.',
    'Send the same request again with a code of your authenticator, or a recovery code.', false),
  ('LG474', 'invalid_code',
    'The one-time password is not right, or was used already.',
    'Send the next code that your authenticator shows. Check that its clock is right.', false),
  ('LG475', 'invalid_link',
    'The link is not good, or not any more.',
    'Ask for a new one. Each is good for one use and a limited time.', false),
  ('LG476', 'sign_in_busy',
    'Too many people are signing in at this moment.',
    'Wait for as many seconds as the detail and the header Retry-After say, and send the same request again.', true),
  ('LG477', 'unsuitable_password',
    'The password is too short, too long or too easy to guess.',
    'Choose 12 to 256 characters that others would not think of. See the detail for the rule.', false),
  ('LG478', 'invalid_refresh_token',
    'The refresh token is not good, or not any more.',
    'Sign in again.', false),
  ('LG480', 'registration_closed',
    'These books are not open to strangers.',
    'Ask an admin of the books for an invitation.', false),
  ('LG481', 'second_factor_active',
    'There is a second factor already.',
    'Disable it first, or go on using it.', false),
  ('LG482', 'second_factor_missing',
    'There is no second factor.',
    'Set one up with `enrolSecondFactor`.', false),
  ('LG483', 'second_factor_not_fresh',
    'This takes a second factor that was shown within the last five minutes.',
    'Confirm the session with `confirmSecondFactor`, then send the same request again.', false),

  ('LG464', 'origin_not_allowed',
    'Web pages of this origin may not open web sockets here.',
    'Add the origin to TALLYSTICK_CORS_ORIGINS.', false),

  ('LG601', 'payment_not_found',
    'There is no such payment.',
    'Check the id. A payment of somebody else looks the same as none.', false),
  ('LG602', 'payment_in_another_state',
    'The payment cannot make this move from where it stands.',
    'Read the payment again. See the detail for where it stands.', false),

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
  ('app_private.api_key_secrets', 'secret_ciphertext', 'id'),
  ('app_private.counterparty_accounts', 'account_ciphertext', 'counterparty_id'),
  ('app_private.invitation_tokens', 'email_ciphertext', 'invitation_id'),
  ('app_private.registrations', 'email_ciphertext', 'id'),
  ('app_private.second_factors', 'secret_ciphertext', 'user_id'),
  ('app_private.user_contacts', 'email_ciphertext', 'user_id'),
  ('app_private.user_contacts', 'phone_ciphertext', 'user_id'),
  ('app_public.kyc_evidence', 'reference_ciphertext', 'id')
on conflict (table_name, column_name) do update set row_column = excluded.row_column;
--! EndIncluded encryption/encrypted_columns.sql
--! Included audit/exceptions.sql
/*
 * The tables that are not audited, and why. Every other table of the ledger is: a test compares.
 * What is append-only is its own history; that it is, is tested too.
 */
create or replace function app_private.audit_exceptions()
returns table (table_name text, is_append_only boolean, reason text)
language sql
immutable
as $$
  values
    ('app_public.transactions', true, 'History itself.'),
    ('app_public.postings', true, 'History itself.'),
    ('app_public.conversions', true, 'History itself.'),
    ('app_public.closing_transactions', true, 'History itself.'),
    ('app_public.seal_blocks', true, 'History itself.'),
    ('app_private.seal_leaves', true, 'History itself.'),
    ('app_private.seal_anchors', true, 'History itself.'),
    ('app_public.kyc_decisions', true, 'History itself.'),
    ('app_public.payment_moves', true, 'History itself.'),
    ('app_private.audit_entries', true, 'The trail itself.'),
    ('app_private.security_events', true, 'History itself.'),
    ('app_public.account_balances', false, 'Follows from the postings, and is checked against them.'),
    ('app_private.open_reservations', false, 'Follows from pending transactions, and is checked against them.'),
    ('app_private.carried_residues', false, 'Follows from conversions, and is checked against them.'),
    ('app_hidden.posting_blocks', false, 'Follows from the postings, and is checked against them.'),
    ('app_hidden.posting_block_entries', false, 'Follows from the postings, and is checked against them.'),
    ('app_private.seal_chains', false, 'Follows from the blocks, and is checked against them.'),
    ('app_private.outflow_windows', false, 'Follows from the postings, and is checked against them.'),
    ('app_private.api_key_nonces', false, 'What was seen in the last minutes; nobody decides it.'),
    ('app_private.api_key_uses', false, 'When a key was last used; nobody decides it.'),
    ('app_private.rate_limit_counters', false, 'Counts of a minute; nobody decides them.'),
    ('app_private.authentication_attempts', false, 'Counts of attempts; those that matter are security events.'),
    ('app_private.refresh_tokens', false, 'Each row tells when it was made and used; reuse is a security event.'),
    ('app_public.events', false, 'Follows from what happened, each in a table of its own.'),
    ('app_private.outbox', false, 'On its way into the stream of events.'),
    ('app_private.event_streams', false, 'How far a stream has come; nobody decides it.'),
    ('app_private.relay_cursors', false, 'How far a reader has come; nobody decides it.'),
    ('app_private.security_event_cursor', false, 'How far a reader has come; nobody decides it.')
$$;
--! EndIncluded audit/exceptions.sql
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
--! Included audit/triggers.sql
/*
 * Give every table its audit triggers, but those that app_private.audit_exceptions lists. Run at the end of
 * every migration that makes a table or a column: it includes this file again.
 *
 * Statements, not rows, so that a thousand rows cost one insert. What a trigger needs to know of its table
 * is in its arguments, read from the catalog here: the trigger itself looks nothing up.
 */
create or replace function app_private.attach_audit_triggers()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_table record;
  v_arguments text;
begin
  for v_table in
    select c.oid::regclass as id,
      case
        when c.oid = 'app_public.tenants'::regclass then 'id'
        when exists (
          select from pg_attribute a
          where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
        ) then 'tenant_id'
        else ''
      end as tenant_column,
      array(
        select a.attname
        from pg_index i
        cross join lateral unnest(i.indkey::int2[]) with ordinality as k (attnum, n)
        join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
        where i.indrelid = c.oid and i.indisprimary and a.attname <> 'tenant_id'
        order by k.n
      ) as key_columns,
      app_private.redacted_columns(c.oid) as redacted,
      exists (
        select from app_private.audit_exceptions() e
        where to_regclass(e.table_name) in (c.oid, pg_partition_root(c.oid))
      ) as is_exception
    from pg_class c
    where c.relnamespace::regnamespace::text in ('app_public', 'app_hidden', 'app_private')
      and c.relkind in ('r', 'p')
  loop
    if v_table.is_exception then
      execute format('drop trigger if exists _900_audit_insert on %s', v_table.id);
      execute format('drop trigger if exists _900_audit_update on %s', v_table.id);
      execute format('drop trigger if exists _900_audit_delete on %s', v_table.id);
      execute format('drop trigger if exists _900_audit_truncate on %s', v_table.id);
      continue;
    end if;
    v_arguments := format('%L, %L, %L', v_table.tenant_column, v_table.key_columns, v_table.redacted);
    execute format(
      'create or replace trigger _900_audit_insert after insert on %s referencing new table as new_rows
      for each statement execute function app_private.tg__audit(%s)', v_table.id, v_arguments);
    execute format(
      'create or replace trigger _900_audit_update after update on %s
      referencing old table as old_rows new table as new_rows
      for each statement execute function app_private.tg__audit(%s)', v_table.id, v_arguments);
    execute format(
      'create or replace trigger _900_audit_delete after delete on %s referencing old table as old_rows
      for each statement execute function app_private.tg__audit(%s)', v_table.id, v_arguments);
    execute format(
      'create or replace trigger _900_audit_truncate before truncate on %s
      for each statement execute function app_private.tg__audit_truncate(%L)',
      v_table.id, v_table.tenant_column);
  end loop;
end
$$;

select app_private.attach_audit_triggers();
--! EndIncluded audit/triggers.sql
