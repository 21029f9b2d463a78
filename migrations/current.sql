-- The migration being written. See migrations/README.md.

---- tenants ----

alter table app_public.tenants
  -- Whether strangers may register, as customers.
  add column is_registration_open boolean not null default false,
  add column invitation_lifetime_seconds integer not null default 604800,
  -- How long a login lasts at most, however often it is refreshed.
  add column session_lifetime_seconds integer not null default 2592000,
  add constraint tenants_invitation_lifetime_is_1_hour_to_90_days check (
    invitation_lifetime_seconds between 3600 and 7776000
  ),
  add constraint tenants_session_lifetime_is_5_minutes_to_1_year check (
    session_lifetime_seconds between 300 and 31536000
  );

-- What an operator may do is no choice of a tenant.
alter table app_public.role_permissions
  add constraint role_permissions_role_is_of_a_tenant check (role <> 'operator');

-- Who is asked to join. To whom it was sent, and what opens it, is in a table that no request role sees.
create table app_public.invitations (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  role app_public.member_role not null,
  invited_by uuid,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  accepted_at timestamptz,
  accepted_by uuid,
  revoked_at timestamptz,
  constraint invitations_pkey primary key (tenant_id, id),
  constraint invitations_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint invitations_invited_by_fkey foreign key (invited_by)
    references app_public.users on delete restrict,
  constraint invitations_accepted_by_fkey foreign key (accepted_by)
    references app_public.users on delete restrict,
  constraint invitations_role_is_of_people check (role not in ('partner', 'operator')),
  constraint invitations_expires_after_created check (expires_at > created_at),
  constraint invitations_accepted_knows_by_whom check ((accepted_at is null) = (accepted_by is null)),
  constraint invitations_accepted_before_expiry check (accepted_at < expires_at),
  constraint invitations_accepted_or_revoked check (accepted_at is null or revoked_at is null)
);

create index invitations_invited_by_idx on app_public.invitations (invited_by);
create index invitations_accepted_by_idx on app_public.invitations (accepted_by);

/*
 * The token of an invitation, as a hash, and the address that it is for, encrypted, with a blind index. It
 * is found by the token before any tenant is known, hence the key. A hash of 256 random bits tells nothing.
 */
create table app_private.invitation_tokens (
  token_hash bytea not null,
  tenant_id integer not null,
  invitation_id uuid not null,
  email_ciphertext app_private.ciphertext not null,
  email_index app_private.blind_index not null,
  constraint invitation_tokens_pkey primary key (token_hash),
  constraint invitation_tokens_invitation_id_key unique (tenant_id, invitation_id),
  constraint invitation_tokens_invitation_id_fkey foreign key (tenant_id, invitation_id)
    references app_public.invitations on delete restrict,
  constraint invitation_tokens_hash_is_sha_256 check (octet_length(token_hash) = 32),
  constraint invitation_tokens_email_is_at_most_2_kb check (octet_length(email_ciphertext) <= 2048)
);

create index invitation_tokens_email_index_idx on app_private.invitation_tokens (tenant_id, email_index);

-- Charts of accounts to begin with, the same for everyone. A parent comes before its children.
create table app_public.chart_templates (
  template text not null,
  name text not null,
  description text not null,
  constraint chart_templates_pkey primary key (template),
  constraint chart_templates_template_is_lower_case_words check (template ~ '^[a-z][a-z0-9-]{1,62}$')
);

create table app_public.chart_template_accounts (
  template text not null,
  position integer not null,
  code text not null,
  name text not null,
  type app_public.account_type not null,
  normal_balance app_public.direction not null,
  parent_code text,
  minimum_balance app_public.amount,
  maximum_balance app_public.amount,
  constraint chart_template_accounts_pkey primary key (template, position),
  constraint chart_template_accounts_code_key unique (template, code),
  constraint chart_template_accounts_template_fkey foreign key (template)
    references app_public.chart_templates on delete restrict,
  constraint chart_template_accounts_parent_code_fkey foreign key (template, parent_code)
    references app_public.chart_template_accounts (template, code) on delete restrict,
  constraint chart_template_accounts_minimum_is_not_above_zero check (minimum_balance <= 0),
  constraint chart_template_accounts_maximum_is_not_below_zero check (maximum_balance >= 0)
);

create index chart_template_accounts_parent_code_idx
  on app_public.chart_template_accounts (template, parent_code);

--!include errors/refusals.sql
--!include identity/permissions.sql
--!include templates/chart_templates.sql
--!include templates/apply_template.sql
--!include tenants/set_tenant_status.sql
--!include tenants/create_tenant.sql
--!include tenants/suspend_tenant.sql
--!include tenants/update_tenant_settings.sql
--!include tenants/set_transaction_threshold.sql
--!include tenants/grant_permission.sql
--!include tenants/tg_role_permissions__keep.sql
--!include tenants/lock_members.sql
--!include tenants/tg__keep_an_admin.sql
--!include tenants/change_membership.sql
--!include tenants/disable_user.sql
--!include tenants/invite.sql
--!include tenants/invite_member.sql
--!include tenants/read_invitation_emails.sql
--!include tenants/revoke_invitation.sql
--!include tenants/accept_invitation.sql
--!include access/row_level_security.sql
--!include access/tenant.sql
--!include access/members.sql
--!include identity/comments.sql
--!include accounts/comments.sql
--!include tenants/comments.sql

---- authentication ----

-- The API itself, while it finds out who is asking: no request of GraphQL ever runs as this.
grant usage on schema app_hidden to tallystick_authenticator;

alter table app_private.sessions
  -- From where the session was opened, with what, and when it was last refreshed.
  add column address inet,
  add column user_agent text,
  add column last_used_at timestamptz not null default now(),
  add constraint sessions_user_agent_is_at_most_300_characters check (length(user_agent) <= 300);

-- The password of a person: Argon2id with its parameters and salt, in the form of the PHC string format.
create table app_private.credentials (
  user_id uuid not null,
  password_hash text not null,
  changed_at timestamptz not null default now(),
  constraint credentials_pkey primary key (user_id),
  constraint credentials_user_id_fkey foreign key (user_id)
    references app_public.users on delete restrict,
  constraint credentials_password_hash_is_argon2id check (
    password_hash ~ '^\$argon2id\$v=19\$m=[0-9]+,t=[0-9]+,p=[0-9]+\$[A-Za-z0-9+/]{22,86}\$[A-Za-z0-9+/]{43,86}$'
  )
);

-- The one-time passwords (TOTP) of a person: the encrypted secret, and the last time step that was used up.
create table app_private.second_factors (
  user_id uuid not null,
  secret_ciphertext app_private.ciphertext not null,
  created_at timestamptz not null default now(),
  activated_at timestamptz,
  last_step bigint,
  constraint second_factors_pkey primary key (user_id),
  constraint second_factors_user_id_fkey foreign key (user_id)
    references app_public.users on delete restrict,
  constraint second_factors_active_has_used_a_step check ((activated_at is null) = (last_step is null))
);

-- What stands in for a one-time password, once each. A hash of 80 random bits tells nothing.
create table app_private.recovery_codes (
  user_id uuid not null,
  code_hash bytea not null,
  used_at timestamptz,
  constraint recovery_codes_pkey primary key (user_id, code_hash),
  constraint recovery_codes_user_id_fkey foreign key (user_id)
    references app_private.second_factors on delete restrict,
  constraint recovery_codes_code_hash_is_sha_256 check (octet_length(code_hash) = 32)
);

/*
 * Refresh tokens: the family of a session, each made when the one before it was used. The unique index
 * lets a family have one token that is unused, so that it cannot fork. A used token keeps its successor,
 * sealed with a key that only the token itself gives, for a client whose answer got lost.
 */
create table app_private.refresh_tokens (
  token_hash bytea not null,
  session_id uuid not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz,
  successor_hash bytea,
  sealed_successor bytea,
  constraint refresh_tokens_pkey primary key (token_hash),
  constraint refresh_tokens_session_id_fkey foreign key (session_id)
    references app_private.sessions on delete restrict,
  constraint refresh_tokens_token_hash_is_sha_256 check (octet_length(token_hash) = 32),
  constraint refresh_tokens_used_knows_its_successor check ((used_at is null) = (successor_hash is null)),
  constraint refresh_tokens_sealed_successor_has_32_bytes check (octet_length(sealed_successor) = 32)
);

create index refresh_tokens_session_id_idx on app_private.refresh_tokens (session_id);
create unique index refresh_tokens_unused_key on app_private.refresh_tokens (session_id) where used_at is null;

create table app_private.password_resets (
  token_hash bytea not null,
  user_id uuid not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz,
  constraint password_resets_pkey primary key (token_hash),
  constraint password_resets_user_id_fkey foreign key (user_id)
    references app_public.users on delete restrict,
  constraint password_resets_token_hash_is_sha_256 check (octet_length(token_hash) = 32)
);

create index password_resets_user_id_idx on app_private.password_resets (user_id);

/*
 * Who asked to join, until they show that the address is theirs: there is no user before. The password is
 * that of a new user; who has an account confirms with the one that they have.
 */
create table app_private.registrations (
  id uuid not null,
  token_hash bytea not null,
  email_ciphertext app_private.ciphertext not null,
  email_index app_private.blind_index not null,
  name text not null,
  password_hash text not null,
  tenant_id integer not null,
  invitation_hash bytea,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  completed_at timestamptz,
  constraint registrations_pkey primary key (id),
  constraint registrations_token_hash_key unique (token_hash),
  constraint registrations_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint registrations_token_hash_is_sha_256 check (octet_length(token_hash) = 32),
  constraint registrations_name_is_1_to_200_characters check (length(name) between 1 and 200)
);

create index registrations_tenant_id_idx on app_private.registrations (tenant_id);

/*
 * How often something was tried that may be guesswork, by whom it is against (an account, by the blind
 * index of its address, whether there is one or not) and by where it comes from.
 */
create table app_private.authentication_attempts (
  kind text not null,
  subject bytea not null,
  failures integer not null,
  last_at timestamptz not null,
  locked_until timestamptz,
  constraint authentication_attempts_pkey primary key (kind, subject)
);

create index authentication_attempts_last_at_idx on app_private.authentication_attempts (last_at);

create type app_public.session as (
  id uuid,
  tenant_name text,
  role app_public.member_role,
  address text,
  user_agent text,
  created_at timestamptz,
  last_used_at timestamptz,
  expires_at timestamptz,
  second_factor_at timestamptz,
  is_current boolean
);

create type app_public.second_factor_status as (
  is_active boolean,
  recovery_codes_left integer
);

--!include errors/refusals.sql
--!include access/row_level_security.sql
--!include encryption/encrypted_columns.sql
--!include identity/permissions.sql
--!include identity/attempts.sql
--!include identity/required_session.sql
--!include identity/revoke_user_sessions.sql
--!include identity/use_code.sql
--!include identity/begin_login.sql
--!include identity/open_login.sql
--!include identity/record_failed_login.sql
--!include identity/rotate_refresh_token.sql
--!include identity/end_session.sql
--!include identity/begin_reauthentication.sql
--!include identity/change_password.sql
--!include identity/reset_password.sql
--!include identity/register.sql
--!include identity/second_factor.sql
--!include identity/sessions.sql
--!include identity/purge_sessions.sql
--!include identity/sessions_comments.sql
--!include audit/record_read.sql
--!include access/row_level_security.sql
--!include audit/triggers.sql

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
