---- field encryption ----

/*
 * A value that the server encrypted (src/crypto/fields.ts): version, length of the key id, key id, nonce
 * of 12 bytes, ciphertext, tag of 16 bytes. So a plaintext is not stored by mistake.
 */
create domain app_private.ciphertext as bytea
  constraint ciphertext_has_its_form check (
    octet_length(value) between 31 and 70000
    and get_byte(value, 0) = 1
    and get_byte(value, 1) between 1 and 32
    and octet_length(value) >= 30 + get_byte(value, 1)
  );

-- A keyed hash of a value (HMAC-SHA256), by which an encrypted one is looked up.
create domain app_private.blind_index as bytea
  constraint blind_index_has_32_bytes check (octet_length(value) = 32);

/*
 * Every column that holds ciphertexts, with the column that names a row within its tenant. The names are
 * part of what each ciphertext is bound to: who renames a table or column keeps the old name here.
 */
create table app_private.encrypted_columns (
  table_name text not null,
  column_name text not null,
  row_column text not null,
  constraint encrypted_columns_pkey primary key (table_name, column_name),
  constraint encrypted_columns_table_name_is_qualified check (table_name ~ '^[a-z_]+\.[a-z_]+$')
);

-- How to reach a user. Users belong to no tenant, so neither does this.
create table app_private.user_contacts (
  user_id uuid not null,
  email_ciphertext app_private.ciphertext,
  email_index app_private.blind_index,
  phone_ciphertext app_private.ciphertext,
  updated_at timestamptz not null default now(),
  constraint user_contacts_pkey primary key (user_id),
  constraint user_contacts_email_index_key unique (email_index),
  constraint user_contacts_user_id_fkey foreign key (user_id)
    references app_public.users on delete restrict,
  constraint user_contacts_email_has_its_index check ((email_ciphertext is null) = (email_index is null))
);

--!include access/row_level_security.sql
--!include encryption/encrypted_columns.sql
--!include encryption/ciphertext_key_id.sql
--!include encryption/user_contacts.sql

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
