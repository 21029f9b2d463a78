-- The migration being written. See migrations/README.md.
---- API keys ----

create type app_public.api_key_status as enum ('active', 'expired', 'revoked');

-- A partner acts by API keys alone, and an API key is a partner's.
alter table app_private.sessions
  add constraint sessions_partner_acts_by_api_key check ((role = 'partner') = (kind = 'api_key'));

/*
 * What an API key is beside its session, which has the same id, and which knows its tenant, its user, its
 * scopes and its end. See docs/decisions/0010-partners.md.
 */
create table app_private.api_keys (
  tenant_id integer not null,
  id uuid not null,
  name text not null,
  -- Where requests may come from; null = anywhere.
  allowed_addresses cidr[],
  -- The accounts of this set, and of those in it, beside those that the user of the key owns.
  account_set_id uuid,
  created_at timestamptz not null default now(),
  created_by uuid not null,
  rotated_at timestamptz,
  constraint api_keys_pkey primary key (tenant_id, id),
  constraint api_keys_id_fkey foreign key (id) references app_private.sessions on delete restrict,
  constraint api_keys_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint api_keys_account_set_id_fkey foreign key (tenant_id, account_set_id)
    references app_public.account_sets on delete restrict,
  constraint api_keys_created_by_fkey foreign key (created_by)
    references app_public.users on delete restrict,
  constraint api_keys_name_is_1_to_200_characters check (length(name) between 1 and 200),
  constraint api_keys_allowed_addresses_are_1_to_100 check (
    cardinality(allowed_addresses) between 1 and 100 and array_position(allowed_addresses, null) is null
  )
);

create index api_keys_id_idx on app_private.api_keys (id);
create index api_keys_account_set_id_idx on app_private.api_keys (tenant_id, account_set_id)
  where account_set_id is not null;
create index api_keys_created_by_idx on app_private.api_keys (created_by);

-- The secrets that a key signs with: one, and for a while after a rotation the one before it.
create table app_private.api_key_secrets (
  tenant_id integer not null,
  id uuid not null,
  api_key_id uuid not null,
  secret_ciphertext app_private.ciphertext not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  constraint api_key_secrets_pkey primary key (tenant_id, id),
  constraint api_key_secrets_api_key_id_fkey foreign key (tenant_id, api_key_id)
    references app_private.api_keys on delete restrict
);

create index api_key_secrets_api_key_id_idx on app_private.api_key_secrets (tenant_id, api_key_id);

-- When a key was last used, to the minute: apart, because nobody decides it.
create table app_private.api_key_uses (
  tenant_id integer not null,
  api_key_id uuid not null,
  last_used_at timestamptz not null,
  constraint api_key_uses_pkey primary key (tenant_id, api_key_id),
  constraint api_key_uses_api_key_id_fkey foreign key (tenant_id, api_key_id)
    references app_private.api_keys on delete restrict
);

/*
 * The nonces of signed requests, for as long as their timestamps are taken: none is taken twice, whichever
 * process it reaches and whatever has been restarted meanwhile. So the table is logged and its commits are
 * waited for. Without foreign keys: a row lives for minutes, and the request has just used its key.
 */
create table app_private.api_key_nonces (
  tenant_id integer not null,
  api_key_id uuid not null,
  nonce_hash bytea not null,
  expires_at timestamptz not null,
  constraint api_key_nonces_pkey primary key (tenant_id, api_key_id, nonce_hash),
  constraint api_key_nonces_hash_has_32_bytes check (octet_length(nonce_hash) = 32)
);

create index api_key_nonces_expires_at_idx on app_private.api_key_nonces (tenant_id, expires_at);

-- An API key as its tenant's administrators and auditors see it: never its secret.
create type app_public.api_key as (
  id uuid,
  name text,
  status app_public.api_key_status,
  user_id uuid,
  scopes text[],
  allowed_addresses text[],
  account_set_id uuid,
  created_at timestamptz,
  created_by uuid,
  expires_at timestamptz,
  revoked_at timestamptz,
  rotated_at timestamptz,
  previous_secret_expires_at timestamptz,
  last_used_at timestamptz
);

-- They take an actor now, in place of a tenant.
drop function app_private.post_conversion__plan(
  integer, uuid, uuid, numeric, text, text, text, timestamptz);
drop function app_private.required_conversion_account(integer, text, text);
drop function app_private.required_account(integer, uuid);

--!include errors/refusals.sql
--!include audit/security_event_kinds.sql
--!include audit/exceptions.sql
--!include identity/permissions.sql
--!include encryption/encrypted_columns.sql
--!include ledger/authorize_posting.sql
--!include access/partner_accounts.sql
--!include accounts/open_account.sql
--!include accounts/open_account__for_partner.sql
--!include engine/post_batch__decide.sql
--!include engine/post_batch__hide_targets.sql
--!include engine/post_batch__attempt.sql
--!include ledger/post_transaction.sql
--!include ledger/post_transactions.sql
--!include fx/required_conversion_account.sql
--!include fx/post_conversion__plan.sql
--!include fx/post_conversion.sql
--!include api_keys/address.sql
--!include api_keys/api_key_secrets.sql
--!include api_keys/use_api_key.sql
--!include api_keys/api_key.sql
--!include api_keys/create_api_key.sql
--!include api_keys/rotate_api_key.sql
--!include api_keys/revoke_api_key.sql
--!include api_keys/prune_api_keys.sql
--!include api_keys/comments.sql
--!include access/row_level_security.sql
--!include access/partner.sql
--!include audit/triggers.sql
