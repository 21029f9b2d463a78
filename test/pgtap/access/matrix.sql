/*
 * Every role × every table and view × reading, inserting, updating, deleting, truncating × rows of the own
 * tenant and of another. What each may read is one line a relation below, reviewed by people; a relation
 * without a line fails, and so does one that has no rows to be tried on.
 *
 * Writing has no lines: no role writes to any relation by itself.
 */
begin;

create temp table expected (
  relation text primary key,
  -- role:rows, all other roles being refused. Rows: tenant = all of the own tenant's and no other; own = some
  -- of these; all = those of all tenants; nobodys = those of no tenant; none = no row, without a refusal.
  readers text not null,
  -- False where these books have no such rows.
  has_rows boolean not null default true
) on commit drop;
insert into expected values
  ('app_hidden.audit_retirements', 'accountant:tenant admin:tenant auditor:tenant'),
  ('app_hidden.customer_details', 'accountant:tenant admin:tenant auditor:tenant customer:own teller:tenant'),
  ('app_hidden.exported_audit_entries', 'admin:tenant auditor:tenant'),
  ('app_hidden.exported_blocks', 'accountant:tenant admin:tenant auditor:tenant'),
  ('app_hidden.exported_transactions', 'accountant:tenant admin:tenant auditor:tenant'),
  ('app_hidden.ledger_leaves', 'accountant:tenant admin:tenant auditor:tenant'),
  ('app_hidden.open_reservations',
    'accountant:tenant admin:tenant auditor:tenant customer:own partner:own teller:tenant'),
  ('app_hidden.posting_block_entries',
    'accountant:tenant admin:tenant auditor:tenant customer:own partner:own teller:tenant'),
  ('app_hidden.posting_blocks', 'accountant:tenant admin:tenant auditor:tenant customer:own partner:own teller:tenant'),
  ('app_hidden.retired_blocks', 'accountant:none admin:none auditor:none'),
  ('app_hidden.seal_chains', 'accountant:tenant admin:tenant auditor:tenant'),
  ('app_hidden.sealed_leaves', 'accountant:none admin:none auditor:none'),
  ('app_private.api_key_nonces', ''),
  ('app_private.api_key_secrets', ''),
  ('app_private.api_key_uses', ''),
  ('app_private.api_keys', ''),
  ('app_private.approval_thresholds', ''),
  ('app_private.audit_entries', ''),
  ('app_private.audit_leaves', ''),
  ('app_private.audit_retention', ''),
  ('app_private.audit_retirements', ''),
  ('app_private.authentication_attempts', ''),
  ('app_private.bank_file_items', ''),
  ('app_private.bank_files', ''),
  ('app_private.carried_residues', ''),
  ('app_private.clearing_item_keys', ''),
  ('app_private.circuit_probes', ''),
  ('app_private.counterparty_accounts', ''),
  ('app_private.credentials', ''),
  ('app_private.encrypted_columns', ''),
  ('app_private.event_streams', ''),
  ('app_private.invitation_tokens', ''),
  ('app_private.kyc_case_moves', ''),
  ('app_private.notification_cursors', ''),
  ('app_private.open_reservations', ''),
  ('app_private.operators', ''),
  ('app_private.outbox', ''),
  ('app_private.outflow_windows', ''),
  ('app_private.password_resets', ''),
  ('app_private.payment_moves_allowed', ''),
  ('app_private.payment_provider_secrets', ''),
  ('app_private.provider_messages', ''),
  ('app_private.rate_limit_counters', ''),
  ('app_private.receipt_counters', ''),
  ('app_private.recovery_codes', ''),
  ('app_private.refresh_tokens', ''),
  ('app_private.registrations', ''),
  ('app_private.relay_cursors', ''),
  ('app_private.seal_anchors', ''),
  ('app_private.seal_chains', ''),
  ('app_private.seal_leaves', ''),
  ('app_private.second_factors', ''),
  ('app_private.security_event_cursor', ''),
  ('app_private.security_events', ''),
  ('app_private.sessions', ''),
  ('app_private.statement_entry_keys', ''),
  ('app_private.subscription_moves_allowed', ''),
  ('app_private.user_contacts', ''),
  ('app_private.webhook_secrets', ''),
  ('app_private.workers', ''),
  ('app_public.account_balances',
    'accountant:tenant admin:tenant auditor:tenant customer:own partner:own teller:tenant'),
  ('app_public.account_set_members', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.account_sets', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.accounting_periods', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.accounts', 'accountant:tenant admin:tenant auditor:tenant customer:own partner:own teller:tenant'),
  ('app_public.audit_entries', 'admin:tenant auditor:tenant operator:nobodys'),
  ('app_public.chart_template_accounts', 'accountant:all admin:all auditor:all customer:all operator:all teller:all'),
  ('app_public.chart_templates', 'accountant:all admin:all auditor:all customer:all operator:all teller:all'),
  ('app_public.clearing_items', 'accountant:tenant admin:tenant auditor:tenant'),
  ('app_public.circuit_breakers', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.closing_transactions', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.conversions', 'accountant:tenant admin:tenant auditor:tenant customer:own partner:own teller:tenant'),
  ('app_public.counterparties', 'accountant:tenant admin:tenant auditor:tenant customer:own teller:tenant'),
  ('app_public.currencies',
    'accountant:tenant admin:tenant auditor:tenant customer:tenant partner:tenant teller:tenant'),
  ('app_public.entry_positions', 'accountant:tenant admin:tenant auditor:tenant'),
  ('app_public.dead_letters', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.default_error_policies', 'accountant:all admin:all auditor:all teller:all'),
  ('app_public.default_notification_templates', 'accountant:all admin:all auditor:all customer:all teller:all'),
  ('app_public.event_kinds', 'accountant:all admin:all auditor:all customer:all teller:all'),
  ('app_public.events', 'accountant:tenant admin:tenant auditor:tenant'),
  ('app_public.exchange_rates',
    'accountant:tenant admin:tenant auditor:tenant customer:tenant partner:tenant teller:tenant'),
  ('app_public.fee_schedules', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.fee_tiers', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.grantable_permissions',
    'accountant:all admin:all auditor:all customer:all operator:all partner:all teller:all'),
  ('app_public.holiday_calendars', 'accountant:tenant admin:tenant auditor:tenant customer:tenant teller:tenant'),
  ('app_public.holidays', 'accountant:tenant admin:tenant auditor:tenant customer:tenant teller:tenant'),
  ('app_public.invitations', 'admin:tenant auditor:tenant'),
  ('app_public.iso_currencies',
    'accountant:all admin:all anonymous:all auditor:all customer:all partner:all teller:all'),
  ('app_public.kyc_cases', 'accountant:tenant admin:tenant auditor:tenant customer:own teller:tenant'),
  ('app_public.kyc_checks', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.kyc_decisions', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.kyc_evidence', 'accountant:tenant admin:tenant auditor:tenant customer:own teller:tenant'),
  ('app_public.kyc_level_limits', 'accountant:tenant admin:tenant auditor:tenant customer:tenant teller:tenant'),
  ('app_public.kyc_profiles', 'accountant:tenant admin:tenant auditor:tenant customer:own teller:tenant'),
  ('app_public.matching_rules', 'accountant:tenant admin:tenant auditor:tenant'),
  ('app_public.memberships', 'accountant:tenant admin:tenant auditor:tenant customer:own partner:own teller:tenant'),
  ('app_public.merchant_settlement_lines', 'accountant:tenant admin:tenant auditor:tenant customer:own teller:tenant'),
  ('app_public.merchant_settlements', 'accountant:tenant admin:tenant auditor:tenant customer:own teller:tenant'),
  ('app_public.merchants', 'accountant:tenant admin:tenant auditor:tenant customer:own teller:tenant'),
  ('app_public.payment_charges', 'accountant:tenant admin:tenant auditor:tenant customer:own teller:tenant'),
  ('app_public.payment_decisions',
    'accountant:tenant admin:tenant auditor:tenant customer:none partner:none teller:tenant'),
  ('app_public.payment_attempts',
    'accountant:tenant admin:tenant auditor:tenant customer:none partner:none teller:tenant'),
  ('app_public.payment_error_policies', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.notification_kinds', 'accountant:all admin:all auditor:all customer:all teller:all'),
  ('app_public.notification_preferences', 'accountant:none admin:none auditor:none customer:own teller:none'),
  ('app_public.notification_profiles', 'accountant:none admin:none auditor:none customer:own teller:none'),
  ('app_public.notification_rules', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.notification_settings', 'accountant:tenant admin:tenant auditor:tenant customer:tenant teller:tenant'),
  ('app_public.notification_templates', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.notifications', 'accountant:none admin:tenant auditor:tenant customer:own teller:none'),
  ('app_public.payment_moves', 'accountant:tenant admin:tenant auditor:tenant customer:own partner:own teller:tenant'),
  ('app_public.payment_provider_accounts', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.payment_providers',
    'accountant:tenant admin:tenant auditor:tenant customer:none partner:none teller:tenant'),
  ('app_public.payment_schedules', 'accountant:tenant admin:tenant auditor:tenant customer:own teller:tenant'),
  ('app_public.payments', 'accountant:tenant admin:tenant auditor:tenant customer:own partner:own teller:tenant'),
  ('app_public.permissions', 'accountant:all admin:all auditor:all customer:all operator:all partner:all teller:all'),
  ('app_public.plan_dunning_steps', 'accountant:tenant admin:tenant auditor:tenant customer:tenant teller:tenant'),
  ('app_public.plans', 'accountant:tenant admin:tenant auditor:tenant customer:tenant teller:tenant'),
  ('app_public.postings', 'accountant:tenant admin:tenant auditor:tenant customer:own partner:own teller:tenant'),
  ('app_public.proposal_decisions', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.proposed_conversions', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.proposed_postings', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.receipt_pdfs', 'accountant:tenant admin:tenant auditor:tenant customer:own teller:tenant'),
  ('app_public.receipts', 'accountant:tenant admin:tenant auditor:tenant customer:own teller:tenant'),
  ('app_public.reconciled_accounts', 'accountant:tenant admin:tenant auditor:tenant'),
  ('app_public.reconciliation_match_lines', 'accountant:tenant admin:tenant auditor:tenant'),
  ('app_public.reconciliation_matches', 'accountant:tenant admin:tenant auditor:tenant'),
  ('app_public.reconciliation_reports', 'accountant:tenant admin:tenant auditor:tenant'),
  ('app_public.refusals', 'accountant:all admin:all anonymous:all auditor:all customer:all partner:all teller:all'),
  ('app_public.role_permissions',
    'accountant:tenant admin:tenant auditor:tenant customer:tenant partner:tenant teller:tenant'),
  ('app_public.routing_rules', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.schedule_occurrences', 'accountant:tenant admin:tenant auditor:tenant customer:own teller:tenant'),
  ('app_public.seal_blocks', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.security_event_kinds', 'admin:all auditor:all operator:all'),
  ('app_public.security_events', 'admin:tenant auditor:tenant operator:all'),
  ('app_public.split_rules', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.split_shares', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.statement_entries', 'accountant:tenant admin:tenant auditor:tenant'),
  ('app_public.statements', 'accountant:tenant admin:tenant auditor:tenant'),
  ('app_public.subscription_charges', 'accountant:tenant admin:tenant auditor:tenant customer:own teller:tenant'),
  ('app_public.subscription_invoice_lines', 'accountant:tenant admin:tenant auditor:tenant customer:own teller:tenant'),
  ('app_public.subscription_invoices', 'accountant:tenant admin:tenant auditor:tenant customer:own teller:tenant'),
  ('app_public.subscription_moves', 'accountant:tenant admin:tenant auditor:tenant customer:own teller:tenant'),
  ('app_public.subscriptions', 'accountant:tenant admin:tenant auditor:tenant customer:own teller:tenant'),
  ('app_public.suspense_moves', 'accountant:tenant admin:tenant auditor:tenant'),
  ('app_public.settlement_settings', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.tenants', 'accountant:own admin:own auditor:own customer:own operator:all partner:own teller:own'),
  ('app_public.transaction_proposals', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.transaction_thresholds', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.transactions', 'accountant:tenant admin:tenant auditor:tenant customer:own partner:own teller:tenant'),
  ('app_public.users', 'accountant:own admin:own auditor:own customer:own operator:own partner:own teller:own'),
  ('app_public.vat_rates', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.voucher_campaigns', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.voucher_issues', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.voucher_moves', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.vouchers', 'accountant:tenant admin:tenant auditor:tenant teller:tenant'),
  ('app_public.webhook_deliveries', 'admin:tenant auditor:tenant'),
  ('app_public.webhook_endpoints', 'admin:tenant auditor:tenant'),
  ('app_public.webhook_positions', 'accountant:tenant admin:tenant auditor:tenant'),
  ('app_public.write_offs', 'accountant:tenant admin:tenant auditor:tenant');
-- Of these there are rows only once blocks have been sealed and retired.
update expected set has_rows = false
where relation in ('app_hidden.retired_blocks', 'app_hidden.sealed_leaves');
create temp table probed (role text primary key, name text) on commit drop;
insert into probed values
  ('anonymous', null), ('customer', 'ann'), ('teller', 'tina'), ('accountant', 'abe'), ('auditor', 'otto'),
  ('admin', 'ada'), ('partner', 'ann'), ('operator', 'olga'), ('worker', null), ('api', null), ('authenticator', null);

--------------------------------------------------------------------------------------------------
-- Two tenants with rows in every table

create function pg_temp.fill(slug text) returns void language plpgsql as $$
declare
  v_tenant constant integer := tests.make_books(slug);
  v_proposal uuid;
begin
  perform tests.open_account(slug, c.code, c.type::app_public.account_type, c.currency, tests.user_id(c.owner))
  from (values
    ('trading', 'equity', 'EUR', null), ('trading', 'equity', 'USD', null), ('rounding', 'equity', 'USD', null),
    ('wallet', 'liability', 'EUR', 'ann'), ('wallet', 'liability', 'USD', 'ann'),
    ('vault', 'liability', 'EUR', 'bob'), ('vault', 'liability', 'USD', 'bob')
  ) as c (code, type, currency, owner);
  perform tests.post(slug, 'cash', 'wallet', 5000);
  perform tests.post(slug, 'cash', 'vault', 5000);
  perform tests.as_tenant(v_tenant, $q$select app_public.set_exchange_rate('EUR', 'USD', 1.0833, '2020-01-01Z')$q$);
  perform tests.as_tenant(v_tenant, format(
    $q$select app_public.post_conversion(%L, %L, 1001, 'trading', 'rounding')$q$,
    tests.account(slug, a.code), tests.account(slug, a.code, 'USD')))
  from (values ('wallet'), ('vault')) as a (code);
  perform tests.post(slug, a.code, 'cash', 10, kind => 'pending', timeout_seconds => 600)
  from (values ('ann'), ('bob')) as a (code);
  perform tests.as_tenant(v_tenant, $q$select app_public.add_set_to_set(
    (app_public.create_account_set('outer', 'x')).id, (app_public.create_account_set('inner', 'x')).id)$q$);
  perform tests.post(slug, 'cash', 'sales', 70, effective_at => '2020-01-02');
  perform tests.as_tenant(v_tenant, $q$select app_public.close_period(
    (app_public.open_period('2020', '2020-01-01Z', '2021-01-01Z')).id, 'equity')$q$);
  insert into app_public.transaction_thresholds (tenant_id, currency, approval_amount) values (v_tenant, 'EUR', 100000);
  perform tests.session_id(p.role, case when p.role <> 'operator' then v_tenant end, tests.user_id(p.name))
  from probed p;
  perform tests.become('teller', v_tenant, tests.user_id('tina'));
  v_proposal := (app_public.propose_transaction(tests.transfer(slug, 'cash', 'ann', 1), 'why')).id;
  perform app_public.propose_conversion(
    tests.account(slug, 'wallet'), tests.account(slug, 'wallet', 'USD'), 10, 'trading', 'rounding', 'why');
  perform tests.become('accountant', v_tenant, tests.user_id('abe'));
  perform app_public.reject_proposal(v_proposal, 'no');
  perform tests.become_superuser();
  perform app_private.record_security_event(k.kind, 'info', '{}', v_tenant)
  from app_public.security_event_kinds k where not k.is_for_operators limit 1;
end
$$;
select pg_temp.fill('acme');
select pg_temp.fill('other');

/*
 * A row for ann and one for bob in each table that these books have left empty, whatever it is for: each id in
 * it is that of ann, or of bob, so that rows of theirs refer to rows of theirs. Only who may read it matters
 * here, so foreign keys, triggers and checks are off.
 */
create function pg_temp.fill_empty(slug text) returns void language plpgsql as $$
declare
  v_table regclass;
  v_of_tenant text;
  v_has_rows boolean;
  v_columns text;
  v_values text;
begin
  insert into app_public.accounts (tenant_id, id, owner_id, code, name, currency, type, normal_balance)
  select tests.tenant(slug), tests.user_id(n.name), tests.user_id(n.name), 'of ' || n.name, 'x', 'EUR', 'asset', 'debit'
  from (values ('ann'), ('bob')) as n (name);
  for v_table, v_of_tenant in
    select c.oid, case when a.attnum is null then '' else 'where tenant_id = ' || tests.tenant(slug) end
    from pg_class c left join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
    where c.relnamespace::regnamespace::text in ('app_public', 'app_hidden', 'app_private')
      and c.relkind in ('r', 'p') and not c.relispartition
  loop
    execute format('select exists (select from %s %s)', v_table, v_of_tenant) into v_has_rows;
    continue when v_has_rows;
    execute coalesce((
      select string_agg(format('alter table %s drop constraint %I', v_table, k.conname), '; ')
      from pg_constraint k where k.conrelid = v_table and k.contype = 'c'), 'select 1');
    select
      string_agg(quote_ident(a.attname), ', ' order by a.attnum),
      string_agg(case
        when a.attname = 'tenant_id' then tests.tenant(slug)::text
        -- What is found by an id alone, before a tenant is known, has one of its own in each tenant.
        when t.typname = 'uuid' and v_of_tenant <> '' and exists (
          select from pg_constraint p
          where p.conrelid = v_table and p.contype = 'p' and p.conkey = array[a.attnum]
        ) then format('tests.user_id(n.name || %L)', slug)
        when t.typname = 'uuid' then 'tests.user_id(n.name)'
        when t.typcategory = 'S' then format('%L || n.name', slug)
        when t.typcategory = 'N' then 'n.number'
        when t.typname = 'bytea' then format('convert_to(%L || n.name, ''UTF8'')', slug)
        when t.typcategory = 'E' then format(
          '(enum_range(null::%1$s))[least(n.number, cardinality(enum_range(null::%1$s)))]', format_type(t.oid, null))
        else format('%L::%s', case
          when t.typcategory in ('A', 'R') then case t.typcategory when 'A' then '{}' else '(,)' end
          when t.typname in ('jsonb', 'json') then '{}'
          when t.typcategory = 'D' then '2026-01-01Z'
          when t.typcategory = 'B' then 'true'
          when t.typcategory = 'I' then '127.0.0.1'
          else '1'
        end, format_type(a.atttypid, a.atttypmod))
      end, ', ' order by a.attnum)
    into v_columns, v_values
    from pg_attribute a
    join pg_type d on d.oid = a.atttypid
    join pg_type t on t.oid = coalesce(nullif(d.typbasetype, 0), d.oid)
    where a.attrelid = v_table and a.attnum > 0 and not a.attisdropped and a.attidentity = '' and a.attgenerated = ''
      and (a.attnotnull and not a.atthasdef or t.typname = 'uuid');
    execute case when v_columns is null then format('insert into %s default values', v_table) else format(
      'insert into %s (%s) select %s from (values (''ann'', 1), (''bob'', 2)) as n (name, number)
      on conflict do nothing',
      v_table, v_columns, v_values) end;
  end loop;
end
$$;
do $$
declare
  v_constraint record;
begin
  for v_constraint in
    select k.contypid::regtype as domain, k.conname
    from pg_constraint k
    where k.contypid <> 0 and k.contype = 'c' and k.connamespace::regnamespace::text ~ '^app_'
  loop
    execute format('alter domain %s drop constraint %I', v_constraint.domain, v_constraint.conname);
  end loop;
end
$$;
set constraints all immediate;
set local session_replication_role = replica;
select pg_temp.fill_empty('acme');
select pg_temp.fill_empty('other');
set local session_replication_role = origin;

--------------------------------------------------------------------------------------------------
-- What there is, and what each role gets of it

create temp table relation on commit drop as
select c.oid, c.oid::regclass::text as name, c.relkind,
  case
    when c.oid = 'app_public.tenants'::regclass then 'id'
    when exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id') then 'tenant_id'
  end as tenant_column,
  (select quote_ident(a.attname) from pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and a.attidentity = '' and a.attgenerated = '' limit 1) as any_column,
  array[0, 0, 0]::bigint[] as rows
from pg_class c
where c.relnamespace in (
    select n.oid from pg_namespace n where n.nspname in ('app_public', 'app_hidden', 'app_private', 'checks')
  )
  and c.relkind in ('r', 'p', 'v', 'm', 'f')
  and not c.relispartition;

create temp table tenant on commit drop as select t.id from app_public.tenants t;
grant select on tenant to public;

-- Rows of acme, of others and of no tenant, as the role at hand sees them; all are ours where there are no tenants.
create function pg_temp.rows_of(relation text, tenant_column text, tenant_id integer) returns bigint[]
language plpgsql as $$
declare
  v_rows bigint[];
begin
  execute format(
    'select array[
      count(*) filter (where %1$s is not distinct from %2$s),
      count(*) filter (where %1$s <> %2$s and %1$s in (select t.id from tenant t)),
      count(*) filter (where %1$s is null or %1$s not in (select t.id from tenant t))
    ] from %3$s',
    coalesce(tenant_column, tenant_id::text), tenant_id, relation) into v_rows;
  return v_rows;
end
$$;
update relation r set rows = pg_temp.rows_of(r.name, r.tenant_column, tests.tenant('acme'));
grant select on relation to public;
-- What the checks find in rows that are made up is read by whoever may verify; the others find nothing.
insert into expected
select r.name, format('accountant:%1$s admin:%1$s auditor:%1$s', case when r.rows[1] > 0 then 'tenant' else 'none' end),
  r.rows[1] > 0
from relation r where r.name like 'checks.%';

-- An operator has no tenant.
create function pg_temp.become(role text, name text) returns void language sql as $$
  select tests.become(role, case when role <> 'operator' then tests.tenant('acme') end, tests.user_id(name))
$$;

-- One word for what a role reads of a relation.
create function pg_temp.reads(role text, name text, r relation) returns text
language plpgsql as $$
declare
  v_rows bigint[];
  v_all bigint[];
begin
  -- Anew each time: some reading leaves a row of its own.
  v_all := pg_temp.rows_of(r.name, r.tenant_column, tests.tenant('acme'));
  perform pg_temp.become(role, name);
  v_rows := pg_temp.rows_of(r.name, r.tenant_column, tests.tenant('acme'));
  perform tests.become_superuser();
  return case
    when v_rows = array[0, 0, 0]::bigint[] then 'none'
    when v_rows = v_all and (v_all[2] > 0 or r.tenant_column is null) then 'all'
    when v_rows[2] > 0 then 'LEAK'
    when v_rows[1] = 0 then 'nobodys'
    when r.tenant_column = 'tenant_id' and v_rows[1] = v_all[1] then 'tenant'
    else 'own'
  end;
exception when insufficient_privilege then
  perform tests.become_superuser();
  return 'refused';
end
$$;

-- What a role writes to a relation, if anything: the commands that are not refused.
create function pg_temp.writes(role text, name text, r relation) returns text
language plpgsql as $$
declare
  v_command text;
  v_done text[] := '{}';
begin
  foreach v_command in array array[
    'insert into %1$s default values',
    'update %1$s set %2$s = %2$s where %3$s', 'update %1$s set %2$s = %2$s where not %3$s',
    'delete from %1$s where %3$s', 'delete from %1$s where not %3$s', 'truncate %1$s'
  ] loop
    begin
      perform pg_temp.become(role, name);
      execute format(v_command, r.name, r.any_column,
        coalesce(r.tenant_column || ' = ' || tests.tenant('acme'), 'true'));
      v_done := v_done || v_command;
    exception
      -- A view that cannot be written at all says so before it looks at privileges; and where row level
      -- security alone has refused, the grant is missing as the first wall.
      when insufficient_privilege or object_not_in_prerequisite_state or wrong_object_type then
        if has_table_privilege('tallystick_' || role, r.oid, 'insert, update, delete, truncate')
          or has_any_column_privilege('tallystick_' || role, r.oid, 'insert, update')
        then
          v_done := v_done || v_command;
        end if;
      when others then v_done := v_done || (v_command || ' ' || sqlstate);
    end;
    perform tests.become_superuser();
  end loop;
  return nullif(array_to_string(v_done, '; '), '');
end
$$;

select plan((select 3 + 3 * count(*) from expected e join relation r on r.name = e.relation)::integer);

select is_empty(
  'select name from relation except select relation from expected',
  'every relation has its line in the table of this file');
select is_empty('select relation from expected except select name from relation', 'and every line its relation');
select is_empty(
  'select c.oid::regclass from pg_class c where c.relispartition and c.relacl is not null
    and exists (select from aclexplode(c.relacl) a where a.grantee <> c.relowner)',
  'partitions are reached through their table alone');
select ok(
  e.has_rows = (r.rows[1] > 0 and (r.rows[2] > 0 or r.tenant_column is null)),
  format('%s has rows to be tried on', e.relation))
from expected e join relation r on r.name = e.relation order by e.relation;
select is(
  (
    select coalesce(string_agg(a.role || ':' || a.rows, ' ' order by a.role), '')
    from (select p.role, pg_temp.reads(p.role, p.name, r) as rows from probed p) a
    where a.rows <> 'refused'
  ),
  e.readers, format('who reads %s', e.relation))
from expected e join relation r on r.name = e.relation order by e.relation;
select is(
  (
    select string_agg(a.role || ': ' || a.written, ' ' order by a.role)
    from (select p.role, pg_temp.writes(p.role, p.name, r) as written from probed p) a
  ),
  null, format('nobody writes %s', e.relation))
from expected e join relation r on r.name = e.relation order by e.relation;

select * from finish();
rollback;
