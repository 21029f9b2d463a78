--! Previous: sha1:d59f3aeb9de3375bd3deaf3b9444b38774524d69
--! Hash: sha1:06eb34c195c53415afa2a9cd27c735c3ea65dda7
--! Message: security events of keys and members

-- The migration being written. See migrations/README.md.
---- audit ----

--! Included audit/tg__audit.sql
/*
 * What the audit trail names a row by: its key in the order of the primary key, without the tenant. A key may
 * be secret, too, such as the hash of a token.
 */
create or replace function app_private.audit_row_key(in_row jsonb, key_columns text[], redacted text[])
returns text
language sql
immutable
as $$
  select string_agg(case when k.name = any (redacted) then '[redacted]' else in_row ->> k.name end, '/' order by k.n)
  from unnest(key_columns) with ordinality as k (name, n)
$$;

/*
 * The columns of a row that differ from another version of it; all of them, if there is none. A number is
 * a string of digits, as everywhere in the API. A redacted column shows that it is set, never its value.
 */
create or replace function app_private.audit_values(in_row jsonb, other jsonb, redacted text[])
returns jsonb
language sql
immutable
as $$
  select jsonb_object_agg(
    c.key,
    case
      when c.key = any (redacted) and c.value <> 'null' then '"[redacted]"'
      when jsonb_typeof(c.value) = 'number' then to_jsonb(c.value #>> '{}')
      else c.value
    end)
  from jsonb_each(in_row) c
  where c.key <> 'tenant_id' and (other is null or c.value is distinct from other -> c.key)
$$;

/*
 * Write down what a statement did to a table, one entry a row. Who did it is told by the defaults of
 * app_private.audit_entries. An update that changes nothing leaves no entry.
 * Arguments, by audit/triggers.sql: the column of the tenant, those of the key, those that are redacted.
 */
create or replace function app_private.tg__audit()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_column constant text := TG_ARGV[0];
  v_key_columns constant text[] := TG_ARGV[1];
  v_redacted constant text[] := TG_ARGV[2];
begin
  if TG_OP = 'INSERT' then
    insert into app_private.audit_entries (tenant_id, operation, table_name, row_key, after)
    select
      coalesce((n.in_row ->> v_tenant_column)::integer, 0), 'insert', TG_TABLE_NAME,
      app_private.audit_row_key(n.in_row, v_key_columns, v_redacted),
      app_private.audit_values(n.in_row, null, v_redacted)
    from (select to_jsonb(r) as in_row from new_rows r) n;
  elsif TG_OP = 'DELETE' then
    insert into app_private.audit_entries (tenant_id, operation, table_name, row_key, before)
    select
      coalesce((o.in_row ->> v_tenant_column)::integer, 0), 'delete', TG_TABLE_NAME,
      app_private.audit_row_key(o.in_row, v_key_columns, v_redacted),
      app_private.audit_values(o.in_row, null, v_redacted)
    from (select to_jsonb(r) as in_row from old_rows r) o;
  elsif TG_OP = 'UPDATE' then
    -- A row whose key was changed finds no partner: both of its versions are written down in full.
    insert into app_private.audit_entries (tenant_id, operation, table_name, row_key, before, after)
    select
      tenant_id, 'update', TG_TABLE_NAME,
      app_private.audit_row_key(coalesce(n.in_row, o.in_row), v_key_columns, v_redacted),
      app_private.audit_values(o.in_row, n.in_row, v_redacted),
      app_private.audit_values(n.in_row, o.in_row, v_redacted)
    from (
      select to_jsonb(r) as in_row, coalesce((to_jsonb(r) ->> v_tenant_column)::integer, 0) as tenant_id,
        app_private.audit_row_key(to_jsonb(r), v_key_columns, '{}') as row_key
      from old_rows r
    ) o
    full join (
      select to_jsonb(r) as in_row, coalesce((to_jsonb(r) ->> v_tenant_column)::integer, 0) as tenant_id,
        app_private.audit_row_key(to_jsonb(r), v_key_columns, '{}') as row_key
      from new_rows r
    ) n using (tenant_id, row_key)
    where o.in_row is distinct from n.in_row;
  end if;
  return null;
end
$$;

/*
 * A truncation tells no rows: before it happens, each tenant that loses some is told how many.
 */
create or replace function app_private.tg__audit_truncate()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  execute format(
    'insert into app_private.audit_entries (tenant_id, operation, table_name, before)
    select coalesce(t.tenant_id, 0), ''truncate'', %L, jsonb_build_object(''rows'', count(*)::text)
    from (select %s as tenant_id from %s) t
    group by 1',
    TG_TABLE_NAME, coalesce(quote_ident(nullif(TG_ARGV[0], '')), '0'), TG_RELID::regclass);
  return null;
end
$$;
--! EndIncluded audit/tg__audit.sql
-- The one above takes what is redacted, too.
drop function if exists app_private.audit_row_key(jsonb, text[]);

--! Included audit/security_event_kinds.sql
/*
 * The kinds of security events. Whoever records another one adds it here. Those for operators are shown
 * to no tenant: that an id exists in other books must not be learnt from the events of one's own.
 * A refusal_code makes each refusal with it an event: app_hidden.record_refusals does that.
 */
insert into app_public.security_event_kinds
  (kind, description, is_for_operators, refusal_code, refusal_severity)
values
  ('ended_session_used', 'A request came in a session that has ended.', false, 'LG401', 'warning'),
  ('permission_denied', 'Somebody tried what they may not do.', false, 'LG402', 'warning'),
  ('suspended_tenant_used', 'Somebody tried to write to suspended books.', false, 'LG403', 'notice'),
  ('second_factor_missing', 'Somebody acted without the second factor that their role needs.', false,
    'LG404', 'notice'),
  ('invalid_token', 'A request came with a token that was not made here, or was changed.', true,
    'LG460', 'warning'),
  ('signature_refused', 'A request was signed with a wrong secret, or with an API key that is none.', true,
    'LG421', 'warning'),
  ('api_key_refused', 'A rightly signed request was refused: its key, its time, its address or its nonce.', false,
    null, null),
  ('attempts_locked', 'Somebody who guesses has to wait.', false, null, null),
  ('invitation_accepted', 'Somebody accepted an invitation.', false, null, null),
  ('invitation_revoked', 'An invitation was revoked.', false, null, null),
  ('member_invited', 'Somebody was invited.', false, null, null),
  ('membership_changed', 'A member got another role, or was disabled or enabled.', false, null, null),
  ('operator_added', 'Somebody became an operator.', true, null, null),
  ('operator_removed', 'Somebody is an operator no more.', true, null, null),
  ('password_changed', 'Somebody changed their password.', false, null, null),
  ('password_reset', 'A password was reset with a token from a message.', false, null, null),
  ('password_reset_requested', 'Somebody asked for a password to be reset.', false, null, null),
  ('permission_granted', 'A role was given a permission.', false, null, null),
  ('permission_revoked', 'A permission was taken from a role.', false, null, null),
  ('recovery_code_used', 'Somebody used a recovery code in place of a one-time password.', false, null, null),
  ('recovery_codes_renewed', 'Somebody made new recovery codes.', false, null, null),
  ('refresh_token_reused', 'A refresh token was used a second time: somebody has a copy. Its session is over.', false,
    null, null),
  ('registered', 'Somebody registered.', false, null, null),
  ('second_factor_activated', 'Somebody set up a second factor.', false, null, null),
  ('second_factor_disabled', 'Somebody does without a second factor from now on.', false, null, null),
  ('sessions_revoked', 'An admin ended the sessions of a member.', false, null, null),
  ('sign_in_failed', 'Somebody tried to sign in with a wrong password or code.', false, null, null),
  ('signed_in', 'Somebody signed in.', false, null, null),
  ('tenant_created', 'A tenant was created.', false, null, null),
  ('tenant_resumed', 'A tenant was resumed.', false, null, null),
  ('tenant_settings_changed', 'The settings of a tenant were changed.', false, null, null),
  ('tenant_suspended', 'A tenant was suspended.', false, null, null),
  ('threshold_set', 'The amounts that need a second person or a second factor were changed.', false, null, null),
  ('user_disabled', 'A user was disabled.', false, null, null),
  ('user_enabled', 'A user was enabled.', false, null, null),
  ('other_tenant_probe', 'Somebody asked for something by an id that belongs to other books.', true,
    null, null)
on conflict (kind) do update set
  description = excluded.description,
  is_for_operators = excluded.is_for_operators,
  refusal_code = excluded.refusal_code,
  refusal_severity = excluded.refusal_severity;
--! EndIncluded audit/security_event_kinds.sql
--! Included audit/record_read.sql
/*
 * Write down that rows were read whose reading is sensitive, one entry a row; without keys, that the table
 * was. The name of the table may have its schema in front. Whoever shows such rows calls this first, in
 * the same database transaction.
 */
create or replace function app_private.record_read(
  table_name text,
  row_keys text[],
  purpose text,
  tenant_id integer default app_hidden.current_tenant_id()
)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into app_private.audit_entries (tenant_id, operation, table_name, row_key, action)
  select
    coalesce(record_read.tenant_id, 0), 'read', regexp_replace(record_read.table_name, '^.*\.', ''), k.row_key,
    purpose
  from unnest(coalesce(row_keys, array[null::text])) as k (row_key)
$$;
--! EndIncluded audit/record_read.sql
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
    ('app_private.relay_cursors', false, 'How far a reader has come; nobody decides it.'),
    ('app_private.security_event_cursor', false, 'How far a reader has come; nobody decides it.')
$$;
--! EndIncluded audit/exceptions.sql
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

---- API keys ----

-- The role that verifies passwords asks for them too, and no request of GraphQL can.
revoke execute on function
  app_hidden.api_key_secrets(uuid), app_hidden.use_api_key(uuid, uuid, bytea, timestamptz, text)
from tallystick_anonymous;

--! Included audit/security_event_kinds.sql
/*
 * The kinds of security events. Whoever records another one adds it here. Those for operators are shown
 * to no tenant: that an id exists in other books must not be learnt from the events of one's own.
 * A refusal_code makes each refusal with it an event: app_hidden.record_refusals does that.
 */
insert into app_public.security_event_kinds
  (kind, description, is_for_operators, refusal_code, refusal_severity)
values
  ('ended_session_used', 'A request came in a session that has ended.', false, 'LG401', 'warning'),
  ('permission_denied', 'Somebody tried what they may not do.', false, 'LG402', 'warning'),
  ('suspended_tenant_used', 'Somebody tried to write to suspended books.', false, 'LG403', 'notice'),
  ('second_factor_missing', 'Somebody acted without the second factor that their role needs.', false,
    'LG404', 'notice'),
  ('invalid_token', 'A request came with a token that was not made here, or was changed.', true,
    'LG460', 'warning'),
  ('signature_refused', 'A request was signed with a wrong secret, or with an API key that is none.', true,
    'LG421', 'warning'),
  ('api_key_refused', 'A rightly signed request was refused: its key, its time, its address or its nonce.', false,
    null, null),
  ('attempts_locked', 'Somebody who guesses has to wait.', false, null, null),
  ('invitation_accepted', 'Somebody accepted an invitation.', false, null, null),
  ('invitation_revoked', 'An invitation was revoked.', false, null, null),
  ('member_invited', 'Somebody was invited.', false, null, null),
  ('membership_changed', 'A member got another role, or was disabled or enabled.', false, null, null),
  ('operator_added', 'Somebody became an operator.', true, null, null),
  ('operator_removed', 'Somebody is an operator no more.', true, null, null),
  ('password_changed', 'Somebody changed their password.', false, null, null),
  ('password_reset', 'A password was reset with a token from a message.', false, null, null),
  ('password_reset_requested', 'Somebody asked for a password to be reset.', false, null, null),
  ('permission_granted', 'A role was given a permission.', false, null, null),
  ('permission_revoked', 'A permission was taken from a role.', false, null, null),
  ('recovery_code_used', 'Somebody used a recovery code in place of a one-time password.', false, null, null),
  ('recovery_codes_renewed', 'Somebody made new recovery codes.', false, null, null),
  ('refresh_token_reused', 'A refresh token was used a second time: somebody has a copy. Its session is over.', false,
    null, null),
  ('registered', 'Somebody registered.', false, null, null),
  ('second_factor_activated', 'Somebody set up a second factor.', false, null, null),
  ('second_factor_disabled', 'Somebody does without a second factor from now on.', false, null, null),
  ('sessions_revoked', 'An admin ended the sessions of a member.', false, null, null),
  ('sign_in_failed', 'Somebody tried to sign in with a wrong password or code.', false, null, null),
  ('signed_in', 'Somebody signed in.', false, null, null),
  ('tenant_created', 'A tenant was created.', false, null, null),
  ('tenant_resumed', 'A tenant was resumed.', false, null, null),
  ('tenant_settings_changed', 'The settings of a tenant were changed.', false, null, null),
  ('tenant_suspended', 'A tenant was suspended.', false, null, null),
  ('threshold_set', 'The amounts that need a second person or a second factor were changed.', false, null, null),
  ('user_disabled', 'A user was disabled.', false, null, null),
  ('user_enabled', 'A user was enabled.', false, null, null),
  ('other_tenant_probe', 'Somebody asked for something by an id that belongs to other books.', true,
    null, null)
on conflict (kind) do update set
  description = excluded.description,
  is_for_operators = excluded.is_for_operators,
  refusal_code = excluded.refusal_code,
  refusal_severity = excluded.refusal_severity;
--! EndIncluded audit/security_event_kinds.sql
--! Included api_keys/api_key_secrets.sql
/*
 * The secrets that a request with this key may be signed with, encrypted; none where there is no such key.
 * For the server, before it knows who is asking: src/http/api_keys.ts.
 */
create or replace function app_hidden.api_key_secrets(key_id uuid)
returns table (tenant_id integer, secret_id uuid, secret_ciphertext bytea)
language sql
stable
rows 2
security definer
set search_path = pg_catalog, pg_temp
as $$
  select s.tenant_id, s.id, s.secret_ciphertext
  from app_private.api_keys k
  join app_private.api_key_secrets s on s.tenant_id = k.tenant_id and s.api_key_id = k.id
  where k.id = key_id and (s.expires_at is null or s.expires_at > now())
  order by s.created_at desc
$$;

grant execute on function app_hidden.api_key_secrets(uuid) to tallystick_authenticator;
--! EndIncluded api_keys/api_key_secrets.sql
--! Included api_keys/use_api_key.sql
/*
 * Let a signed request in, or say why not: the second step of authentication, after the server has found
 * the signature to be right. So nobody without the secret gets here, to fill the table of nonces or to
 * learn anything of a key. In one call: whether the key is in use, whether the secret still counts, the
 * time, the address, and that the nonce is new.
 *
 * The nonce is kept ten minutes longer than its timestamp is taken, so that a clock that is set back, or a
 * standby whose clock is behind, opens no gap. Two requests with one nonce wait for each other at the
 * primary key, in whichever processes they are.
 *
 * A refusal is an answer, not an error: what is recorded here must stay.
 */
create or replace function app_hidden.use_api_key(
  key_id uuid,
  secret_id uuid,
  nonce_hash bytea,
  signed_at timestamptz,
  address text
)
returns table (refusal_code text, tenant_id integer, user_id uuid, expires_at timestamptz)
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now constant timestamptz := clock_timestamp();
  v_key record;
  v_code text;
begin
  select
    s.tenant_id, s.user_id, s.expires_at, k.allowed_addresses, u.last_used_at,
    s.revoked_at is not null or s.expires_at <= v_now as is_over,
    exists (
      select
      from app_private.api_key_secrets x
      where x.tenant_id = k.tenant_id and x.id = use_api_key.secret_id and x.api_key_id = k.id
        and (x.expires_at is null or x.expires_at > v_now)
    ) as has_secret
  into v_key
  from app_private.sessions s
  join app_private.api_keys k on k.tenant_id = s.tenant_id and k.id = s.id
  join app_private.api_key_uses u on u.tenant_id = k.tenant_id and u.api_key_id = k.id
  where s.id = use_api_key.key_id;
  v_code := case
    when not found or not v_key.has_secret then 'LG421'
    when v_key.is_over then 'LG425'
    when (use_api_key.signed_at between v_now - interval '5 minutes' and v_now + interval '5 minutes')
      is not true then 'LG422'
    when not app_private.is_allowed_address(use_api_key.address, v_key.allowed_addresses) then 'LG424'
  end;
  if v_code is null then
    insert into app_private.api_key_nonces (tenant_id, api_key_id, nonce_hash, expires_at)
    values (
      v_key.tenant_id, use_api_key.key_id, use_api_key.nonce_hash,
      use_api_key.signed_at + interval '15 minutes'
    )
    on conflict do nothing;
    if not found then
      v_code := 'LG423';
    end if;
  end if;
  if v_code is not null then
    -- Here, because the API cannot tell whose key it is; but for LG421, which it records for all keys alike.
    perform app_private.record_security_event(
      'api_key_refused', 'warning',
      jsonb_build_object('apiKeyId', use_api_key.key_id, 'code', v_code),
      v_key.tenant_id, v_key.user_id)
    where v_code <> 'LG421';
    return query select v_code, null::integer, null::uuid, null::timestamptz;
    return;
  end if;
  if v_key.last_used_at < v_now - interval '1 minute' then
    perform app_private.touch_api_key(v_key.tenant_id, use_api_key.key_id);
  end if;
  return query select null::text, v_key.tenant_id, v_key.user_id, v_key.expires_at;
end
$$;

grant execute on function app_hidden.use_api_key(uuid, uuid, bytea, timestamptz, text) to tallystick_authenticator;

/*
 * Note that a key has been used. Of requests at the same moment one does it, and none waits.
 */
create or replace function app_private.touch_api_key(tenant_id integer, api_key_id uuid)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  update app_private.api_key_uses u
  set last_used_at = clock_timestamp()
  from (
    select o.tenant_id, o.api_key_id
    from app_private.api_key_uses o
    where o.tenant_id = touch_api_key.tenant_id and o.api_key_id = touch_api_key.api_key_id
    for no key update skip locked
  ) free
  where u.tenant_id = free.tenant_id and u.api_key_id = free.api_key_id
$$;
--! EndIncluded api_keys/use_api_key.sql
