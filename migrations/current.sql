-- The migration being written. See migrations/README.md.

---- audit ----

create type app_public.audit_operation as enum (
  'insert', 'update', 'delete', 'truncate', 'refused', 'read'
);

/*
 * Who changed what, what was refused, and who read what is sensitive. Partitioned by month of `at`.
 * What belongs to no tenant has tenant_id 0: no tenant has that id, so no policy of a tenant shows it.
 *
 * Who acts is a matter of the defaults, so that no insert can forget or choose it. database_user is what
 * nobody can feign: where it is not the login of the API or of the worker, somebody was at the database,
 * and the settings of the request are what that somebody wrote into them.
 */
create table app_private.audit_entries (
  tenant_id integer not null,
  operation app_public.audit_operation not null,
  xact_id xid8 not null default pg_current_xact_id(),
  at timestamptz not null default clock_timestamp(),
  id uuid not null default uuidv7(),
  user_id uuid default app_hidden.current_user_id(),
  session_id uuid default app_hidden.current_session_id(),
  address inet default
    coalesce(nullif(current_setting('tallystick.address', true), '')::inet, inet_client_addr()),
  request_role text default nullif(current_setting('role', true), 'none'),
  request_id text default nullif(current_setting('tallystick.request_id', true), ''),
  database_user text not null default session_user,
  application_name text default nullif(current_setting('application_name', true), ''),
  table_name text,
  row_key text,
  action text,
  before jsonb,
  after jsonb,
  constraint audit_entries_pkey primary key (tenant_id, id, at),
  constraint audit_entries_names_a_table_unless_refused check (
    table_name is not null or operation = 'refused'
  )
) partition by range (at);

-- What seals the trail reads on in this order, below the horizon.
create index audit_entries_xact_id_idx on app_private.audit_entries (tenant_id, xact_id, id);
-- Pages by each filter, newest first.
create index audit_entries_table_name_idx on app_private.audit_entries (tenant_id, table_name, id);
create index audit_entries_row_key_idx on app_private.audit_entries (tenant_id, row_key, id);
create index audit_entries_user_id_idx on app_private.audit_entries (tenant_id, user_id, id);
create index audit_entries_operation_idx on app_private.audit_entries (tenant_id, operation, id);

-- Takes what no month does, so that no change ever fails for want of a partition. It should be empty.
create table app_private.audit_entries_default partition of app_private.audit_entries default;

-- For how many months the trail is kept; null = for ever. One row, written by the worker when it starts.
create table app_private.audit_retention (
  id boolean not null default true,
  months integer,
  constraint audit_retention_pkey primary key (id),
  constraint audit_retention_is_one_row check (id),
  constraint audit_retention_is_a_year_or_more check (months >= 12)
);

-- What was removed by that rule: a month of entries of a tenant.
create table app_private.audit_retirements (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  entries bigint not null,
  retained_months integer not null,
  retired_at timestamptz not null default now(),
  constraint audit_retirements_pkey primary key (tenant_id, id),
  constraint audit_retirements_starts_before_it_ends check (starts_at < ends_at)
);

-- Every kind of security event; a refusal of this code is one, too.
create table app_public.security_event_kinds (
  kind text not null,
  description text not null,
  is_for_operators boolean not null default false,
  refusal_code text,
  refusal_severity app_public.severity,
  constraint security_event_kinds_pkey primary key (kind),
  constraint security_event_kinds_refusal_code_key unique (refusal_code),
  constraint security_event_kinds_refusal_code_fkey foreign key (refusal_code)
    references app_public.refusals on delete restrict,
  constraint security_event_kinds_kind_is_lower_case_words check (kind ~ '^[a-z][a-z0-9_]{1,62}$'),
  constraint security_event_kinds_refusal_has_a_severity check (
    (refusal_code is null) = (refusal_severity is null)
  )
);

--!include audit/security_event_kinds.sql

alter table app_private.security_events
  add column xact_id xid8 not null default pg_current_xact_id(),
  add constraint security_events_kind_fkey foreign key (kind)
    references app_public.security_event_kinds on delete restrict;

create index security_events_kind_idx on app_private.security_events (kind, id);
create index security_events_xact_id_idx on app_private.security_events (xact_id, id);

-- How far the log of the server has told the security events.
create table app_private.security_event_cursor (
  id boolean not null default true,
  xact_id xid8 not null default '0',
  event_id uuid not null default '00000000-0000-0000-0000-000000000000',
  constraint security_event_cursor_pkey primary key (id),
  constraint security_event_cursor_is_one_row check (id)
);
insert into app_private.security_event_cursor default values;

--!include errors/refusals.sql
--!include identity/permissions.sql
--!include access/row_level_security.sql
--!include engine/post_batch__attempt.sql
--!include checks/audit_entries_without_partition.sql
--!include audit/append_only.sql
--!include audit/record_read.sql
--!include audit/record_refused_items.sql
--!include audit/record_refusals.sql
--!include audit/slug_of_tenant.sql
--!include audit/make_audit_partitions.sql
--!include audit/retire_audit_partitions.sql
--!include audit/take_security_events.sql
--!include audit/access.sql
--!include audit/audit_entries.sql
--!include audit/security_events.sql
--!include audit/redactions.sql
--!include audit/tg__audit.sql

select app_private.make_audit_partitions();

---- sealing ----

-- Two chains of blocks a tenant.
do $$
begin
  if to_regtype('app_public.seal_stream') is null then
    create type app_public.seal_stream as enum ('ledger', 'audit');
    create domain app_public.sha256 as text
      constraint sha256_is_64_hexadecimal_digits check (value ~ '^[0-9a-f]{64}$');
  end if;
end
$$;

-- How far each chain has come, and its last block. The id names the chain in block headers and anchors, so
-- that neither tells the number of the tenant, and a chain that was begun anew is another one.
create table if not exists app_private.seal_chains (
  tenant_id integer not null,
  stream app_public.seal_stream not null,
  chain_id uuid not null,
  number integer not null,
  position bigint not null,
  block_hash app_public.sha256 not null,
  xact_id xid8 not null,
  id uuid not null,
  constraint seal_chains_pkey primary key (tenant_id, stream),
  constraint seal_chains_chain_id_key unique (tenant_id, stream, chain_id),
  constraint seal_chains_number_is_positive check (number > 0)
);

create table if not exists app_public.seal_blocks (
  tenant_id integer not null,
  stream app_public.seal_stream not null,
  number integer not null,
  leaf_count integer not null,
  first_position bigint not null,
  last_position bigint not null,
  earliest_at timestamptz not null,
  latest_at timestamptz not null,
  sealed_at timestamptz not null,
  chain_id uuid not null,
  merkle_root app_public.sha256 not null,
  previous_hash app_public.sha256,
  block_hash app_public.sha256 not null,
  constraint seal_blocks_pkey primary key (tenant_id, stream, number),
  constraint seal_blocks_chain_id_fkey foreign key (tenant_id, stream, chain_id)
    references app_private.seal_chains (tenant_id, stream, chain_id) on delete restrict,
  constraint seal_blocks_number_is_positive check (number > 0),
  constraint seal_blocks_first_has_no_previous check ((number = 1) = (previous_hash is null)),
  constraint seal_blocks_positions_are_those_of_the_leaves check (
    leaf_count > 0 and first_position > 0 and last_position - first_position + 1 = leaf_count
  )
);

create index if not exists seal_blocks_chain_id_idx on app_public.seal_blocks (tenant_id, stream, chain_id, number);

-- The leaves of each block, in their order, and where it ends in the stream. One row a block: no index is
-- written for each transaction.
create table if not exists app_private.seal_leaves (
  tenant_id integer not null,
  stream app_public.seal_stream not null,
  number integer not null,
  last_xact_id xid8 not null,
  last_id uuid not null,
  ids uuid[] not null,
  leaf_hashes bytea[] not null,
  constraint seal_leaves_pkey primary key (tenant_id, stream, number),
  constraint seal_leaves_last_id_key unique (tenant_id, stream, last_xact_id, last_id),
  constraint seal_leaves_number_fkey foreign key (tenant_id, stream, number)
    references app_public.seal_blocks on delete restrict,
  constraint seal_leaves_each_id_has_a_hash check (cardinality(ids) = cardinality(leaf_hashes))
);

-- Hashes do not compress: trying would only cost time.
alter table app_private.seal_leaves alter column ids set storage external;
alter table app_private.seal_leaves alter column leaf_hashes set storage external;

-- The heads that were told to the outside, which an owner who rewrites a chain cannot take back.
create table if not exists app_private.seal_anchors (
  tenant_id integer not null,
  stream app_public.seal_stream not null,
  destination text not null,
  number integer not null,
  chain_id uuid not null,
  block_hash app_public.sha256 not null,
  anchored_at timestamptz not null default clock_timestamp(),
  constraint seal_anchors_pkey primary key (tenant_id, stream, destination, chain_id, number),
  constraint seal_anchors_number_fkey foreign key (tenant_id, stream, number)
    references app_public.seal_blocks on delete restrict,
  constraint seal_anchors_destination_is_a_file_or_a_webhook check (destination in ('file', 'webhook'))
);

create index if not exists seal_anchors_number_idx on app_private.seal_anchors (tenant_id, stream, number);

do $$
begin
  if to_regtype('app_public.ledger_head') is null then
    create type app_public.ledger_head as (
      stream app_public.seal_stream,
      block app_public.seal_blocks,
      sealed bigint,
      unsealed bigint,
      anchored_number integer
    );
    create type app_public.inclusion_proof as (
      transaction_id uuid,
      content text,
      leaf_hash app_public.sha256,
      leaf_index integer,
      siblings app_public.sha256[],
      block app_public.seal_blocks,
      following_blocks app_public.seal_blocks[]
    );
  end if;
end
$$;

-- It takes the names of checks now.
drop function if exists app_public.verify_ledger();

--!include errors/refusals.sql
--!include access/row_level_security.sql
--!include sealing/hashes.sql
--!include sealing/merkle_root.sql
--!include sealing/canonical_forms.sql
--!include sealing/ledger_leaves.sql
--!include sealing/sealed_leaves.sql
--!include sealing/audit_leaves.sql
--!include sealing/retired_blocks.sql
--!include sealing/next_leaves.sql
--!include sealing/seal_next_block.sql
--!include sealing/seal.sql
--!include sealing/out_of_reach.sql
--!include sealing/access.sql
--!include sealing/exported_blocks.sql
--!include sealing/exported_transactions.sql
--!include sealing/exported_audit_entries.sql
--!include sealing/ledger_head.sql
--!include sealing/inclusion_proof.sql
--!include sealing/exported_proof.sql
--!include sealing/anchors.sql
--!include sealing/comments.sql
--!include checks/audit_retirements_that_differ.sql
--!include checks/sealed_rows_that_differ.sql
--!include checks/seal_blocks_that_differ.sql
--!include checks/relayed_transactions_that_are_missing.sql
--!include checks/verify_ledger__tables.sql
--!include checks/verify_ledger.sql
--!include audit/retire_audit_partitions.sql
--!include audit/exceptions.sql
--!include audit/triggers.sql
