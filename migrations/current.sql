--! Message: the books

-- The first migration may be run again and again while it is being written, so it starts from nothing.
drop schema if exists app_public, app_hidden, app_private, checks cascade;

create schema app_public;
create schema app_hidden;
create schema app_private;
create schema checks;

-- A function is executable by PUBLIC unless this says otherwise: here every grant is written out.
alter default privileges revoke execute on functions from public;

-- Trusted extension, so the owner need not be superuser: equality inside temporal (GiST) constraints.
create extension if not exists btree_gist;

grant usage on schema app_public, app_hidden to
  tallystick_anonymous, tallystick_customer, tallystick_teller,
  tallystick_accountant, tallystick_auditor, tallystick_admin, tallystick_worker;
grant usage on schema checks to tallystick_accountant, tallystick_auditor, tallystick_admin;
grant usage on schema app_private to tallystick_worker;

--------------------------------------------------------------------------------------------------
-- Errors: every refusal is a row, so that the API, the engine and the docs tell the same sentence.

create table app_public.refusals (
  code text not null,
  name text not null,
  message text not null,
  hint text not null,
  is_retryable boolean not null default false,
  constraint refusals_pkey primary key (code),
  constraint refusals_name_key unique (name),
  constraint refusals_code_is_of_class_lg check (code ~ '^LG[1-9][0-9]{2}$')
);

--!include errors/refusals.sql
--!include errors/refuse.sql
--!include errors/refuse_amount.sql

--------------------------------------------------------------------------------------------------
-- Types

-- Whole minor units. numeric(38,0) would round 0.5 to 1 in silence, bigint cannot hold 10 ETH in wei.
create domain app_public.amount as numeric
  constraint amount_is_whole_minor_units check (
    case
      when value is null or (abs(value) < 1e38 and scale(value) = 0) then true
      else app_private.refuse_amount(value)
    end
  );

create type app_public.direction as enum ('debit', 'credit');
create type app_public.account_type as enum ('asset', 'liability', 'equity', 'revenue', 'expense');
create type app_public.account_status as enum ('open', 'frozen', 'closed');
create type app_public.transaction_kind as enum (
  'posted', 'pending', 'post_pending', 'void_pending', 'expire_pending'
);
create type app_public.batch_mode as enum ('independent', 'atomic');
create type app_public.transaction_status as enum ('pending', 'posted', 'voided', 'expired');

--------------------------------------------------------------------------------------------------
-- Tenants, currencies

create table app_public.tenants (
  id integer generated always as identity,
  slug text not null,
  name text not null,
  created_at timestamptz not null default now(),
  constraint tenants_pkey primary key (id),
  constraint tenants_slug_key unique (slug),
  constraint tenants_slug_is_lower_case_words check (slug ~ '^[a-z][a-z0-9-]{1,62}$'),
  constraint tenants_name_is_1_to_200_characters check (length(name) between 1 and 200)
);

-- ISO 4217 at hand, the same for all tenants.
create table app_public.iso_currencies (
  code text not null,
  name text not null,
  exponent smallint not null,
  constraint iso_currencies_pkey primary key (code),
  constraint iso_currencies_code_is_three_letters check (code ~ '^[A-Z]{3}$'),
  constraint iso_currencies_exponent_is_0_to_4 check (exponent between 0 and 4)
);

create table app_public.currencies (
  tenant_id integer not null,
  code text not null,
  exponent smallint not null,
  name text not null,
  created_at timestamptz not null default now(),
  constraint currencies_pkey primary key (tenant_id, code),
  constraint currencies_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint currencies_code_is_capitals check (code ~ '^[A-Z][A-Z0-9._-]{0,23}$'),
  constraint currencies_exponent_is_0_to_18 check (exponent between 0 and 18),
  constraint currencies_name_is_1_to_200_characters check (length(name) between 1 and 200)
);

--------------------------------------------------------------------------------------------------
-- Chart of accounts

create table app_public.accounts (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  code text not null,
  currency text not null,
  name text not null,
  type app_public.account_type not null,
  normal_balance app_public.direction not null,
  status app_public.account_status not null default 'open',
  minimum_balance app_public.amount,
  maximum_balance app_public.amount,
  parent_id uuid,
  owner_id uuid,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  closed_at timestamptz,
  constraint accounts_pkey primary key (tenant_id, id),
  constraint accounts_code_key unique (tenant_id, code, currency),
  -- What account_balances repeats beside the counters, so that the copy cannot differ.
  constraint accounts_facts_key unique (tenant_id, id, currency, normal_balance),
  constraint accounts_currency_fkey foreign key (tenant_id, currency)
    references app_public.currencies on delete restrict,
  constraint accounts_parent_id_fkey foreign key (tenant_id, parent_id)
    references app_public.accounts on delete restrict,
  constraint accounts_code_is_1_to_200_characters check (length(code) between 1 and 200),
  constraint accounts_code_is_printable check (code !~ '[[:cntrl:]]' and code = btrim(code)),
  constraint accounts_name_is_1_to_200_characters check (length(name) between 1 and 200),
  constraint accounts_minimum_is_below_maximum check (minimum_balance <= maximum_balance),
  constraint accounts_closed_knows_since_when check ((status = 'closed') = (closed_at is not null)),
  constraint accounts_parent_is_another_account check (parent_id <> id),
  constraint accounts_metadata_is_an_object check (jsonb_typeof(metadata) = 'object'),
  constraint accounts_metadata_is_at_most_16_kb check (octet_length(metadata::text) <= 16384)
);

create index accounts_currency_idx on app_public.accounts (tenant_id, currency);
create index accounts_parent_id_idx on app_public.accounts (tenant_id, parent_id)
  where parent_id is not null;
create index accounts_owner_id_idx on app_public.accounts (tenant_id, owner_id)
  where owner_id is not null;
create index accounts_type_idx on app_public.accounts (tenant_id, type);

--------------------------------------------------------------------------------------------------
-- Balances: what the engine needs under the lock, in one narrow row an account.
-- No index but the key, and room on each page: every update is a HOT update.

create table app_public.account_balances (
  tenant_id integer not null,
  currency text not null,
  account_id uuid not null,
  -- Copies of the account's: immutable (held by the foreign key), or mirrored by a trigger of accounts.
  normal_balance app_public.direction not null,
  status app_public.account_status not null default 'open',
  version bigint not null default 0,
  last_created_at timestamptz not null default '-infinity',
  last_effective_at timestamptz not null default '-infinity',
  next_expiry_at timestamptz,
  posted_debits app_public.amount not null default 0,
  posted_credits app_public.amount not null default 0,
  pending_debits app_public.amount not null default 0,
  pending_credits app_public.amount not null default 0,
  expired_debits app_public.amount not null default 0,
  expired_credits app_public.amount not null default 0,
  minimum_balance app_public.amount,
  maximum_balance app_public.amount,
  constraint account_balances_pkey primary key (tenant_id, account_id),
  constraint account_balances_account_id_fkey
    foreign key (tenant_id, account_id, currency, normal_balance)
    references app_public.accounts (tenant_id, id, currency, normal_balance) on delete restrict,
  constraint account_balances_counters_are_not_negative check (
    posted_debits >= 0 and posted_credits >= 0
    and pending_debits >= 0 and pending_credits >= 0
  ),
  constraint account_balances_expired_is_part_of_pending check (
    expired_debits between 0 and pending_debits and expired_credits between 0 and pending_credits
  ),
  constraint account_balances_available_is_at_or_above_minimum check (
    minimum_balance is null or minimum_balance <= case normal_balance
      when 'debit' then posted_debits - posted_credits - pending_credits + expired_credits
      else posted_credits - posted_debits - pending_debits + expired_debits
    end
  ),
  constraint account_balances_highest_is_at_or_below_maximum check (
    maximum_balance is null or maximum_balance >= case normal_balance
      when 'debit' then posted_debits - posted_credits + pending_debits - expired_debits
      else posted_credits - posted_debits + pending_credits - expired_credits
    end
  )
) with (fillfactor = 50);

--------------------------------------------------------------------------------------------------
-- Transactions and postings: append-only.
-- Columns stand in the order that wastes no alignment padding.

create table app_public.transactions (
  tenant_id integer not null,
  kind app_public.transaction_kind not null,
  xact_id xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null,
  effective_at timestamptz not null,
  expires_at timestamptz,
  id uuid not null,
  pending_id uuid,
  reverses_id uuid,
  created_by uuid,
  idempotency_key text,
  fingerprint bytea,
  description text,
  metadata jsonb,
  constraint transactions_pkey primary key (tenant_id, id),
  constraint transactions_pending_id_fkey foreign key (tenant_id, pending_id)
    references app_public.transactions on delete restrict,
  constraint transactions_reverses_id_fkey foreign key (tenant_id, reverses_id)
    references app_public.transactions on delete restrict,
  constraint transactions_resolution_names_its_pending check (
    (kind in ('post_pending', 'void_pending', 'expire_pending')) = (pending_id is not null)
  ),
  constraint transactions_reversal_is_posted check (reverses_id is null or kind = 'posted'),
  constraint transactions_only_pending_expires check (expires_at is null or kind = 'pending'),
  constraint transactions_expires_after_created check (expires_at > created_at),
  constraint transactions_effective_at_is_finite check (isfinite(effective_at)),
  constraint transactions_key_has_its_fingerprint check (
    (idempotency_key is null) = (fingerprint is null)
  ),
  constraint transactions_idempotency_key_is_1_to_255_characters check (
    length(idempotency_key) between 1 and 255
  ),
  constraint transactions_description_is_1_to_1000_characters check (
    length(description) between 1 and 1000
  ),
  constraint transactions_metadata_is_an_object check (jsonb_typeof(metadata) = 'object'),
  constraint transactions_metadata_is_at_most_16_kb check (octet_length(metadata::text) <= 16384)
);

-- At most once: a key takes effect, a pending transaction is resolved, a transaction is reversed.
create unique index transactions_idempotency_key_key
  on app_public.transactions (tenant_id, idempotency_key) where idempotency_key is not null;
create unique index transactions_pending_id_key
  on app_public.transactions (tenant_id, pending_id) where pending_id is not null;
create unique index transactions_reverses_id_key
  on app_public.transactions (tenant_id, reverses_id) where reverses_id is not null;
-- The outbox: readers go on from (xact_id, id) below the snapshot's horizon.
create index transactions_xact_id_idx on app_public.transactions (tenant_id, xact_id, id);
create index transactions_effective_at_idx on app_public.transactions using brin (tenant_id, effective_at);

create table app_public.postings (
  tenant_id integer not null,
  direction app_public.direction not null,
  version bigint not null,
  effective_at timestamptz not null,
  created_at timestamptz not null,
  transaction_id uuid not null,
  account_id uuid not null,
  ordinal smallint not null,
  currency text not null,
  -- What the posting did to the counters of its side.
  posted_amount app_public.amount not null,
  pending_amount app_public.amount not null,
  -- The counters that it left behind.
  posted_debits app_public.amount not null,
  posted_credits app_public.amount not null,
  pending_debits app_public.amount not null,
  pending_credits app_public.amount not null,
  constraint postings_pkey primary key (tenant_id, account_id, version),
  constraint postings_version_is_positive check (version > 0),
  constraint postings_moves_something check (posted_amount > 0 or pending_amount <> 0),
  constraint postings_posted_amount_is_not_negative check (posted_amount >= 0),
  constraint postings_posts_at_most_what_it_releases check (
    pending_amount >= 0 or posted_amount <= -pending_amount
  ),
  constraint postings_reserves_or_posts check (pending_amount <= 0 or posted_amount = 0)
);

create index postings_transaction_id_idx on app_public.postings (tenant_id, transaction_id);

-- Reservations with a time limit that are not resolved yet, an account's share of each: derived from
-- the postings, kept so that limits and balances can leave out what has expired before it is released.
create table app_private.open_reservations (
  tenant_id integer not null,
  account_id uuid not null,
  expires_at timestamptz not null,
  transaction_id uuid not null,
  debits app_public.amount not null,
  credits app_public.amount not null,
  constraint open_reservations_pkey primary key (tenant_id, account_id, expires_at, transaction_id),
  constraint open_reservations_account_id_fkey foreign key (tenant_id, account_id)
    references app_public.accounts on delete restrict,
  constraint open_reservations_transaction_id_fkey foreign key (tenant_id, transaction_id)
    references app_public.transactions on delete restrict
);

create index open_reservations_expires_at_idx on app_private.open_reservations (tenant_id, expires_at);
create index open_reservations_transaction_id_idx
  on app_private.open_reservations (tenant_id, transaction_id);

--------------------------------------------------------------------------------------------------
-- Relay: how far each consumer has read the transactions of each tenant (see relay/relay_live.sql).

create table app_private.relay_cursors (
  tenant_id integer not null,
  consumer text not null,
  xact_id xid8 not null default '0',
  id uuid not null default '00000000-0000-0000-0000-000000000000',
  constraint relay_cursors_pkey primary key (tenant_id, consumer),
  constraint relay_cursors_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict
);

--------------------------------------------------------------------------------------------------
-- Account sets: named roll-ups of accounts and of other sets, of any currency

create table app_public.account_sets (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  code text not null,
  name text not null,
  created_at timestamptz not null default now(),
  constraint account_sets_pkey primary key (tenant_id, id),
  constraint account_sets_code_key unique (tenant_id, code),
  constraint account_sets_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint account_sets_code_is_1_to_200_characters check (length(code) between 1 and 200),
  constraint account_sets_code_is_printable check (code !~ '[[:cntrl:]]' and code = btrim(code)),
  constraint account_sets_name_is_1_to_200_characters check (length(name) between 1 and 200)
);

-- A member is an account or another set. No set holds itself, however far down: a trigger sees to it.
create table app_public.account_set_members (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  account_set_id uuid not null,
  account_id uuid,
  member_set_id uuid,
  created_at timestamptz not null default now(),
  constraint account_set_members_pkey primary key (tenant_id, id),
  constraint account_set_members_account_id_key unique (tenant_id, account_set_id, account_id),
  constraint account_set_members_member_set_id_key unique (tenant_id, account_set_id, member_set_id),
  constraint account_set_members_account_set_id_fkey foreign key (tenant_id, account_set_id)
    references app_public.account_sets on delete restrict,
  constraint account_set_members_account_id_fkey foreign key (tenant_id, account_id)
    references app_public.accounts on delete restrict,
  constraint account_set_members_member_set_id_fkey foreign key (tenant_id, member_set_id)
    references app_public.account_sets on delete restrict,
  constraint account_set_members_is_an_account_or_a_set check (num_nonnulls(account_id, member_set_id) = 1),
  constraint account_set_members_set_is_not_its_own_member check (member_set_id <> account_set_id)
);

create index account_set_members_account_id_idx on app_public.account_set_members (tenant_id, account_id)
  where account_id is not null;
create index account_set_members_member_set_id_idx on app_public.account_set_members (tenant_id, member_set_id)
  where member_set_id is not null;

--------------------------------------------------------------------------------------------------
-- Exchange rates and conversions: see docs/decisions/0004-conversions.md

-- One major unit of the base currency is worth `rate` major units of the quote currency.
create table app_public.exchange_rates (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  base_currency text not null,
  quote_currency text not null,
  rate numeric not null,
  during tstzrange not null,
  created_at timestamptz not null default now(),
  created_by uuid,
  constraint exchange_rates_pkey primary key (tenant_id, id),
  constraint exchange_rates_during_key
    unique (tenant_id, base_currency, quote_currency, during without overlaps),
  constraint exchange_rates_base_currency_fkey foreign key (tenant_id, base_currency)
    references app_public.currencies on delete restrict,
  constraint exchange_rates_quote_currency_fkey foreign key (tenant_id, quote_currency)
    references app_public.currencies on delete restrict,
  constraint exchange_rates_is_between_two_currencies check (base_currency <> quote_currency),
  -- 18 decimals at the most, so that amounts times rates stay exact and of bounded length.
  constraint exchange_rates_rate_is_positive check (rate > 0 and rate < 1e20 and scale(rate) <= 18),
  constraint exchange_rates_during_begins check (
    not isempty(during) and not lower_inf(during) and lower_inc(during) and not upper_inc(during)
  )
);

create index exchange_rates_quote_currency_idx on app_public.exchange_rates (tenant_id, quote_currency);

create table app_public.conversions (
  tenant_id integer not null,
  transaction_id uuid not null,
  sold_currency text not null,
  bought_currency text not null,
  from_account_id uuid not null,
  to_account_id uuid not null,
  rounding_account_id uuid not null,
  rate numeric not null,
  sold_amount app_public.amount not null,
  bought_amount app_public.amount not null,
  -- What the sold amount is worth at the rate, to the last digit, and what rounding left of it.
  exact_amount numeric not null,
  residue numeric not null,
  -- What went to the rounding account (credits positive), and the fraction of a unit that waits.
  rounding_amount app_public.amount not null,
  carried_residue numeric not null,
  constraint conversions_pkey primary key (tenant_id, transaction_id),
  constraint conversions_transaction_id_fkey foreign key (tenant_id, transaction_id)
    references app_public.transactions on delete restrict,
  constraint conversions_from_account_id_fkey foreign key (tenant_id, from_account_id)
    references app_public.accounts on delete restrict,
  constraint conversions_to_account_id_fkey foreign key (tenant_id, to_account_id)
    references app_public.accounts on delete restrict,
  constraint conversions_rounding_account_id_fkey foreign key (tenant_id, rounding_account_id)
    references app_public.accounts on delete restrict,
  constraint conversions_amounts_are_positive check (sold_amount > 0 and bought_amount > 0),
  constraint conversions_rate_is_positive check (rate > 0),
  constraint conversions_loses_nothing check (exact_amount = bought_amount + residue),
  constraint conversions_residue_is_at_most_half_a_unit check (abs(residue) <= 0.5),
  constraint conversions_carries_less_than_a_unit check (abs(carried_residue) < 1)
);

create index conversions_from_account_id_idx on app_public.conversions (tenant_id, from_account_id);
create index conversions_to_account_id_idx on app_public.conversions (tenant_id, to_account_id);
create index conversions_rounding_account_id_idx on app_public.conversions (tenant_id, rounding_account_id);

-- The fraction of a unit that waits for each rounding account. Its lock puts conversions in order.
create table app_private.carried_residues (
  tenant_id integer not null,
  account_id uuid not null,
  residue numeric not null default 0,
  constraint carried_residues_pkey primary key (tenant_id, account_id),
  constraint carried_residues_account_id_fkey foreign key (tenant_id, account_id)
    references app_public.accounts on delete restrict,
  constraint carried_residues_residue_is_less_than_a_unit check (abs(residue) < 1)
);

create type app_public.converted_amount as (
  currency text,
  amount app_public.amount,
  rate numeric,
  exact_amount numeric,
  residue numeric
);

-- What a check found: see checks/verify_ledger.sql
create type app_public.check_result as (
  name text,
  description text,
  rows_checked bigint,
  violations bigint,
  sample jsonb
);

create type app_public.balance_difference as (
  account_id uuid,
  field text,
  stored text,
  recomputed text,
  is_repaired boolean
);

--------------------------------------------------------------------------------------------------
-- Accounting periods: one after the other, never overlapping; a closed one takes no posting.

create table app_public.accounting_periods (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  name text not null,
  during tstzrange not null,
  closed_at timestamptz,
  closed_by uuid,
  created_at timestamptz not null default now(),
  constraint accounting_periods_pkey primary key (tenant_id, id),
  constraint accounting_periods_name_key unique (tenant_id, name),
  constraint accounting_periods_during_key unique (tenant_id, during without overlaps),
  constraint accounting_periods_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint accounting_periods_name_is_1_to_100_characters check (length(name) between 1 and 100),
  -- So nothing that happens now can fall into a closed period: only backdating can.
  constraint accounting_periods_closed_after_its_end check (closed_at >= upper(during)),
  constraint accounting_periods_during_is_bounded check (
    not isempty(during) and not lower_inf(during) and not upper_inf(during)
    and lower_inc(during) and not upper_inc(during)
  )
);

--------------------------------------------------------------------------------------------------
-- Balances in effective time and reports: see docs/decisions/0003-effective-balances.md

-- Sums of 64 × 16^level consecutive postings of an account, derived by a job from what never changes.
-- Block n covers the versions from n × size + 1 to (n + 1) × size.
create table app_hidden.posting_blocks (
  tenant_id integer not null,
  cost integer not null,
  level smallint not null,
  has_entries boolean not null,
  account_id uuid not null,
  block_no bigint not null,
  min_effective_at timestamptz not null,
  max_effective_at timestamptz not null,
  debits app_public.amount not null,
  credits app_public.amount not null,
  constraint posting_blocks_pkey primary key (tenant_id, account_id, level, block_no),
  constraint posting_blocks_account_id_fkey foreign key (tenant_id, account_id)
    references app_public.accounts on delete restrict,
  constraint posting_blocks_level_is_0_to_4 check (level between 0 and 4),
  constraint posting_blocks_effective_at_is_ordered check (min_effective_at <= max_effective_at)
);

-- What a block had posted by each effective time in it, 64 times a row, for blocks out of order.
create table app_hidden.posting_block_entries (
  tenant_id integer not null,
  level smallint not null,
  account_id uuid not null,
  block_no bigint not null,
  effective_at timestamptz not null,
  times timestamptz[] not null,
  debits numeric[] not null,
  credits numeric[] not null,
  constraint posting_block_entries_pkey primary key (tenant_id, account_id, level, block_no, effective_at),
  constraint posting_block_entries_block_no_fkey foreign key (tenant_id, account_id, level, block_no)
    references app_hidden.posting_blocks on delete restrict,
  constraint posting_block_entries_arrays_are_parallel check (
    cardinality(times) between 1 and 64
    and cardinality(debits) = cardinality(times) and cardinality(credits) = cardinality(times)
    and times[1] = effective_at
  )
);
-- Half a page at the most: packing it would cost more than it saves.
alter table app_hidden.posting_block_entries
  alter column times set storage plain,
  alter column debits set storage plain,
  alter column credits set storage plain;

-- The transactions that moved a period's revenue and expense to equity. Income statements leave them out.
create table app_public.closing_transactions (
  tenant_id integer not null,
  transaction_id uuid not null,
  period_id uuid not null,
  constraint closing_transactions_pkey primary key (tenant_id, transaction_id),
  constraint closing_transactions_transaction_id_fkey foreign key (tenant_id, transaction_id)
    references app_public.transactions on delete restrict,
  constraint closing_transactions_period_id_fkey foreign key (tenant_id, period_id)
    references app_public.accounting_periods on delete restrict
);

create index closing_transactions_period_id_idx on app_public.closing_transactions (tenant_id, period_id);

create type app_public.balance as (
  currency text,
  version bigint,
  posted app_public.amount,
  pending app_public.amount,
  available app_public.amount,
  posted_debits app_public.amount,
  posted_credits app_public.amount,
  pending_debits app_public.amount,
  pending_credits app_public.amount
);

create type app_public.statement_line as (
  version bigint,
  created_at timestamptz,
  effective_at timestamptz,
  transaction_id uuid,
  kind app_public.transaction_kind,
  direction app_public.direction,
  currency text,
  amount app_public.amount,
  posted app_public.amount,
  available app_public.amount,
  description text
);

create type app_public.trial_balance_row as (
  account_id uuid,
  code text,
  name text,
  type app_public.account_type,
  currency text,
  debits app_public.amount,
  credits app_public.amount,
  balance app_public.amount
);

create type app_public.report_row as (
  type app_public.account_type,
  account_id uuid,
  code text,
  name text,
  currency text,
  amount app_public.amount
);

create type app_public.total_balance as (
  currency text,
  account_count integer,
  debits app_public.amount,
  credits app_public.amount,
  balance app_public.amount
);

--------------------------------------------------------------------------------------------------
-- What a caller sends to the engine, and what it answers

create type app_public.posting_input as (
  account_id uuid,
  direction app_public.direction,
  amount app_public.amount
);

create type app_public.condition_input as (
  account_id uuid,
  minimum_available app_public.amount,
  version bigint
);

create type app_public.transaction_input as (
  kind app_public.transaction_kind,
  postings app_public.posting_input[],
  idempotency_key text,
  effective_at timestamptz,
  timeout_seconds integer,
  pending_id uuid,
  reverses_id uuid,
  description text,
  metadata jsonb,
  conditions app_public.condition_input[]
);

create type app_public.refusal as (
  code text,
  name text,
  message text,
  detail jsonb,
  hint text,
  is_retryable boolean
);

create type app_public.resulting_balance as (
  account_id uuid,
  currency text,
  version bigint,
  posted app_public.amount,
  pending app_public.amount,
  available app_public.amount
);

create type app_public.transaction_result as (
  transaction_id uuid,
  is_replayed boolean,
  balances app_public.resulting_balance[],
  refusal app_public.refusal
);

--------------------------------------------------------------------------------------------------
/*
 * What the steps of the engine hand to each other: parallel arrays, one element an item, a line or an
 * account. Arrays of scalars are what plpgsql reads and writes fastest, and one unnest turns them into
 * rows again. A line is a posting to be; an account is known by its position in the lock order.
 */
create type app_private.batch_items as (
  kinds app_public.transaction_kind[],
  effective_at timestamptz[],
  timeouts integer[],
  pending_ids uuid[],
  reverses_ids uuid[],
  keys text[],
  fingerprints bytea[],
  descriptions text[],
  metadata jsonb[],
  -- The item before this one with the same key, or with the same transaction to resolve or reverse.
  same_key integer[],
  same_target integer[],
  codes text[],
  details jsonb[],
  -- Whether any item has something to look up under the lock, or an earlier transaction to read.
  has_references boolean,
  has_timeouts boolean,
  has_targets boolean
);

create type app_private.batch_lines as (
  items integer[],
  ordinals integer[],
  accounts integer[],
  account_ids uuid[],
  directions app_public.direction[],
  posted numeric[],
  pending numeric[],
  is_excess boolean[],
  condition_items integer[],
  condition_accounts integer[],
  condition_account_ids uuid[],
  condition_minimums numeric[],
  condition_versions bigint[],
  ids uuid[]
);

create type app_private.batch_accounts as (
  ids uuid[],
  currencies text[],
  is_debit_normal boolean[],
  statuses app_public.account_status[],
  versions bigint[],
  last_created_at timestamptz[],
  last_effective_at timestamptz[],
  next_expiry_at timestamptz[],
  posted_debits numeric[],
  posted_credits numeric[],
  pending_debits numeric[],
  pending_credits numeric[],
  expired_debits numeric[],
  expired_credits numeric[],
  minimums numeric[],
  maximums numeric[]
);

create type app_private.batch_targets as (
  replayed_ids uuid[],
  replayed_fingerprints bytea[],
  kinds app_public.transaction_kind[],
  expires_at timestamptz[],
  resolved_by app_public.transaction_kind[],
  is_reversed boolean[],
  closed_periods text[]
);

-- What becomes of each line; the transaction is null for a line of a refused item.
create type app_private.batch_postings as (
  transaction_ids uuid[],
  created_at timestamptz[],
  effective_at timestamptz[],
  currencies text[],
  is_debit_normal boolean[],
  versions bigint[],
  posted_debits numeric[],
  posted_credits numeric[],
  pending_debits numeric[],
  pending_credits numeric[],
  expired_debits numeric[],
  expired_credits numeric[]
);

create type app_private.batch_decision as (
  codes text[],
  details jsonb[],
  transaction_ids uuid[],
  is_replayed boolean[],
  is_accepted boolean[],
  created_at timestamptz[],
  effective_at timestamptz[],
  postings app_private.batch_postings,
  accounts app_private.batch_accounts
);

-- What a conversion is going to post: see fx/post_conversion__plan.sql
create type app_private.conversion_plan as (
  sold_currency text,
  bought app_public.converted_amount,
  rounding_account_id uuid,
  rounding_amount numeric,
  carried_residue numeric,
  postings app_public.posting_input[]
);

--!include all.sql
