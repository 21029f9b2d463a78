---- audit ----

--!include audit/tg__audit.sql
-- The one above takes what is redacted, too.
drop function if exists app_private.audit_row_key(jsonb, text[]);

--!include audit/security_event_kinds.sql
--!include audit/record_read.sql
--!include audit/exceptions.sql
--!include audit/triggers.sql

---- API keys ----

-- The role that verifies passwords asks for them too, and no request of GraphQL can.
revoke execute on function
  app_hidden.api_key_secrets(uuid), app_hidden.use_api_key(uuid, uuid, bytea, timestamptz, text)
from tallystick_anonymous;

--!include audit/security_event_kinds.sql
--!include api_keys/api_key_secrets.sql
--!include api_keys/use_api_key.sql

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
