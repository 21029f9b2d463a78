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
--!include encryption/rotation.sql
