--! Previous: -
--! Hash: sha1:52be1f5f72d6fe482f2c992dc420c2a1958ea86a
--! Message: the books

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

--! Included errors/refusals.sql
/*
 * Every refusal that the ledger can answer. The second digit groups them: 1 shape, 2 balance,
 * 3 state, 4 access, 5 idempotency. A code never changes its meaning. docs/error_codes.md is
 * generated from these rows. Names follow TigerBeetle's where it has the same refusal.
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
    'Transactions and postings are never changed or removed.',
    'Post a reversal instead.', false),
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

  ('LG401', 'not_signed_in',
    'The request names no tenant or no user.',
    'Send a valid token in the Authorization header.', false),
  ('LG402', 'forbidden',
    'The role of the token may not do this.',
    'Use a token of a role that may.', false),

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
--! Included errors/refuse.sql
/*
 * Raise a refusal: the sentence and the hint come from app_public.refusals, the detail from the caller.
 * The only place that raises an error of class LG.
 */
create or replace function app_private.refuse(code text, detail jsonb default '{}')
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_refusal app_public.refusals;
begin
  select r.code, r.name, r.message, r.hint, r.is_retryable into strict v_refusal
  from app_public.refusals r where r.code = refuse.code;
  raise exception using
    errcode = v_refusal.code,
    message = v_refusal.message,
    detail = (jsonb_build_object('name', v_refusal.name) || refuse.detail)::text,
    hint = v_refusal.hint;
end
$$;
--! EndIncluded errors/refuse.sql
--! Included errors/refuse_amount.sql
/*
 * The check of the domain app_public.amount calls this for a value that it refuses, so that even a
 * failed cast answers with a typed refusal. Everyone who may name an amount may execute it.
 */
create or replace function app_private.refuse_amount(value numeric)
returns boolean
language plpgsql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform app_private.refuse('LG101', jsonb_build_object('value', left(value::text, 60)));
  return false;
end
$$;

grant execute on function app_private.refuse_amount(numeric) to public;
--! EndIncluded errors/refuse_amount.sql

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

--! Included all.sql
-- The load order of today's source: every file of this folder, once. The drift test runs it.
--! Included errors/refusals.sql
/*
 * Every refusal that the ledger can answer. The second digit groups them: 1 shape, 2 balance,
 * 3 state, 4 access, 5 idempotency. A code never changes its meaning. docs/error_codes.md is
 * generated from these rows. Names follow TigerBeetle's where it has the same refusal.
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
    'Transactions and postings are never changed or removed.',
    'Post a reversal instead.', false),
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

  ('LG401', 'not_signed_in',
    'The request names no tenant or no user.',
    'Send a valid token in the Authorization header.', false),
  ('LG402', 'forbidden',
    'The role of the token may not do this.',
    'Use a token of a role that may.', false),

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
--! Included errors/refuse.sql
/*
 * Raise a refusal: the sentence and the hint come from app_public.refusals, the detail from the caller.
 * The only place that raises an error of class LG.
 */
create or replace function app_private.refuse(code text, detail jsonb default '{}')
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_refusal app_public.refusals;
begin
  select r.code, r.name, r.message, r.hint, r.is_retryable into strict v_refusal
  from app_public.refusals r where r.code = refuse.code;
  raise exception using
    errcode = v_refusal.code,
    message = v_refusal.message,
    detail = (jsonb_build_object('name', v_refusal.name) || refuse.detail)::text,
    hint = v_refusal.hint;
end
$$;
--! EndIncluded errors/refuse.sql
--! Included errors/refuse_amount.sql
/*
 * The check of the domain app_public.amount calls this for a value that it refuses, so that even a
 * failed cast answers with a typed refusal. Everyone who may name an amount may execute it.
 */
create or replace function app_private.refuse_amount(value numeric)
returns boolean
language plpgsql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform app_private.refuse('LG101', jsonb_build_object('value', left(value::text, 60)));
  return false;
end
$$;

grant execute on function app_private.refuse_amount(numeric) to public;
--! EndIncluded errors/refuse_amount.sql
--! Included errors/refusal.sql
/*
 * A refusal as a value, for an item of an independent batch. The same facts that refuse() raises.
 */
create or replace function app_private.refusal(code text, detail jsonb)
returns app_public.refusal
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select row(r.code, r.name, r.message, coalesce(refusal.detail, '{}'), r.hint, r.is_retryable)::app_public.refusal
  from app_public.refusals r
  where r.code = refusal.code
$$;
--! EndIncluded errors/refusal.sql
--! Included identity/current_context.sql
/*
 * Who is asking. The server sets these settings for each request from a verified token; nothing else
 * does. A setting reads as an empty string after the transaction that set it, hence the nullif.
 * No SET clause: the planner inlines them, and policies call them as (select …), once a query.
 */
create or replace function app_hidden.current_tenant_id()
returns integer
language sql
stable
parallel safe
as $$
  select nullif(current_setting('tallystick.tenant_id', true), '')::integer
$$;

create or replace function app_hidden.current_user_id()
returns uuid
language sql
stable
parallel safe
as $$
  select nullif(current_setting('tallystick.user_id', true), '')::uuid
$$;

/*
 * The tenant of the request, or the refusal LG401 where there is none. For functions that act.
 */
create or replace function app_private.required_tenant_id()
returns integer
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if app_hidden.current_tenant_id() is null then
    perform app_private.refuse('LG401');
  end if;
  return app_hidden.current_tenant_id();
end
$$;

grant execute on function app_hidden.current_tenant_id(), app_hidden.current_user_id() to
  tallystick_anonymous, tallystick_customer, tallystick_teller,
  tallystick_accountant, tallystick_auditor, tallystick_admin, tallystick_worker;
--! EndIncluded identity/current_context.sql
--! Included accounts/tg_accounts__mirror.sql
/*
 * Keep the copy of what the engine reads under the lock. The update waits for whoever is posting to the
 * account, and whoever posts next sees it: a freeze holds from its commit on. Limits that the balance
 * is outside of already violate a constraint of account_balances.
 */
create or replace function app_private.tg_accounts__mirror()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if TG_OP = 'INSERT' then
    insert into app_public.account_balances (
      tenant_id, account_id, currency, normal_balance, status, minimum_balance, maximum_balance
    ) values (
      NEW.tenant_id, NEW.id, NEW.currency, NEW.normal_balance, NEW.status,
      NEW.minimum_balance, NEW.maximum_balance
    );
  elsif (NEW.status, NEW.minimum_balance, NEW.maximum_balance)
    is distinct from (OLD.status, OLD.minimum_balance, OLD.maximum_balance)
  then
    update app_public.account_balances b set
      status = NEW.status,
      minimum_balance = NEW.minimum_balance,
      maximum_balance = NEW.maximum_balance
    where b.tenant_id = NEW.tenant_id and b.account_id = NEW.id;
  end if;
  return null;
end
$$;

create or replace trigger _500_mirror
  after insert or update on app_public.accounts
  for each row execute function app_private.tg_accounts__mirror();
--! EndIncluded accounts/tg_accounts__mirror.sql
--! Included accounts/currencies.sql
/*
 * Make sure that a tenant has a currency: one of ISO 4217 is taken up, another must be there.
 */
create or replace function app_private.ensure_currency(tenant_id integer, code text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from app_public.currencies c
    where c.tenant_id = ensure_currency.tenant_id and c.code = ensure_currency.code
  ) then
    return;
  end if;
  insert into app_public.currencies (tenant_id, code, exponent, name)
  select ensure_currency.tenant_id, i.code, i.exponent, i.name
  from app_public.iso_currencies i where i.code = ensure_currency.code
  on conflict do nothing;
  if not found and not exists (
    select from app_public.iso_currencies i where i.code = ensure_currency.code
  ) then
    perform app_private.refuse('LG315', jsonb_build_object('currency', ensure_currency.code));
  end if;
end
$$;

/*
 * Create a currency of the tenant's own, or take one of ISO 4217 up by name.
 */
create or replace function app_public.create_currency(
  code text,
  exponent integer default null,
  name text default null
)
returns app_public.currencies
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant_id constant integer := app_private.required_tenant_id();
  v_iso app_public.iso_currencies;
  v_currency app_public.currencies;
begin
  select * into v_iso from app_public.iso_currencies i where i.code = create_currency.code;
  if create_currency.code !~ '^[A-Z][A-Z0-9._-]{0,23}$'
    or coalesce(create_currency.exponent, v_iso.exponent) is null
    or create_currency.exponent not between 0 and 18
    or length(create_currency.name) not between 1 and 200
  then
    perform app_private.refuse('LG116', jsonb_build_object('currency', left(create_currency.code, 60)));
  end if;
  insert into app_public.currencies (tenant_id, code, exponent, name)
  values (
    v_tenant_id, create_currency.code, coalesce(create_currency.exponent, v_iso.exponent),
    coalesce(create_currency.name, v_iso.name, create_currency.code)
  )
  on conflict do nothing
  returning * into v_currency;
  if not found then
    perform app_private.refuse('LG316', jsonb_build_object('currency', create_currency.code));
  end if;
  return v_currency;
end
$$;

grant execute on function app_public.create_currency(text, integer, text) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.create_currency(text, integer, text) is $$
Creates a currency. The exponent is the number of decimals of its major unit (USD 2, JPY 0, BTC 8) and
never changes; that of an ISO 4217 code may be left out.
$$;
--! EndIncluded accounts/currencies.sql
--! Included accounts/create_tenant.sql
/*
 * Create a tenant. Not exposed: an operator does this, with the command-line tool.
 */
create or replace function app_private.create_tenant(slug text, name text default null)
returns app_public.tenants
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant app_public.tenants;
begin
  if create_tenant.slug !~ '^[a-z][a-z0-9-]{1,62}$' then
    perform app_private.refuse('LG114', jsonb_build_object(
      'field', 'slug', 'rule', 'a lower-case letter, then 1 to 62 of a-z, 0-9 and -'));
  end if;
  insert into app_public.tenants (slug, name)
  values (create_tenant.slug, coalesce(create_tenant.name, create_tenant.slug))
  on conflict (slug) do nothing
  returning * into v_tenant;
  if not found then
    perform app_private.refuse('LG318', jsonb_build_object('slug', create_tenant.slug));
  end if;
  return v_tenant;
end
$$;
--! EndIncluded accounts/create_tenant.sql
--! Included accounts/open_account.sql
/*
 * Open an account. The normal balance follows from the type, unless the account is a contra account.
 */
create or replace function app_public.open_account(
  code text,
  name text,
  type app_public.account_type,
  currency text,
  normal_balance app_public.direction default null,
  parent_id uuid default null,
  owner_id uuid default null,
  minimum_balance app_public.amount default null,
  maximum_balance app_public.amount default null,
  metadata jsonb default null
)
returns app_public.accounts
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant_id constant integer := app_private.required_tenant_id();
  v_account app_public.accounts;
begin
  if length(open_account.code) not between 1 and 200
    or open_account.code ~ '[[:cntrl:]]' or open_account.code <> btrim(open_account.code)
  then
    perform app_private.refuse('LG114', jsonb_build_object(
      'field', 'code', 'rule', '1 to 200 printable characters, no blank at either end'));
  end if;
  if length(open_account.name) not between 1 and 200 then
    perform app_private.refuse('LG114', jsonb_build_object('field', 'name', 'rule', '1 to 200 characters'));
  end if;
  if jsonb_typeof(open_account.metadata) <> 'object' or octet_length(open_account.metadata::text) > 16384 then
    perform app_private.refuse('LG107');
  end if;
  if open_account.minimum_balance > open_account.maximum_balance then
    perform app_private.refuse('LG115');
  end if;
  if open_account.minimum_balance > 0 or open_account.maximum_balance < 0 then
    perform app_private.refuse('LG317', jsonb_build_object('available', '0'));
  end if;
  if open_account.parent_id is not null and not exists (
    select from app_public.accounts a where a.tenant_id = v_tenant_id and a.id = open_account.parent_id
  ) then
    perform app_private.refuse('LG301', jsonb_build_object('accountId', open_account.parent_id));
  end if;
  perform app_private.ensure_currency(v_tenant_id, open_account.currency);

  insert into app_public.accounts (
    tenant_id, code, currency, name, type, normal_balance, minimum_balance, maximum_balance,
    parent_id, owner_id, metadata
  ) values (
    v_tenant_id, open_account.code, open_account.currency, open_account.name, open_account.type,
    coalesce(
      open_account.normal_balance,
      case when open_account.type in ('asset', 'expense') then 'debit' else 'credit' end::app_public.direction
    ),
    open_account.minimum_balance, open_account.maximum_balance, open_account.parent_id,
    open_account.owner_id, coalesce(open_account.metadata, '{}')
  )
  on conflict on constraint accounts_code_key do nothing
  returning * into v_account;
  if not found then
    perform app_private.refuse('LG314', jsonb_build_object(
      'code', open_account.code, 'currency', open_account.currency));
  end if;
  return v_account;
end
$$;

grant execute on function app_public.open_account(
  text, text, app_public.account_type, text, app_public.direction, uuid, uuid,
  app_public.amount, app_public.amount, jsonb
) to tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.open_account(
  text, text, app_public.account_type, text, app_public.direction, uuid, uuid,
  app_public.amount, app_public.amount, jsonb
) is $$
Opens an account of one currency. The code is unique per currency. A currency of ISO 4217 is taken up by
itself; another must have been created. Debit is the normal balance of assets and expenses, credit that of
the others; `normalBalance` overrides it for a contra account. Limits are in minor units; none means none.
$$;
--! EndIncluded accounts/open_account.sql
--! Included ledger/tg__refuse_change.sql
/*
 * Transactions and postings are appended, never changed or removed, whoever tries.
 */
create or replace function app_private.tg__refuse_change()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform app_private.refuse('LG319', jsonb_build_object('table', TG_TABLE_NAME, 'operation', TG_OP));
  return null;
end
$$;
--! EndIncluded ledger/tg__refuse_change.sql
--! Included ledger/tg_transactions__check.sql
/*
 * Each new transaction has two postings or more. Transactions and their postings are written by one
 * statement, so the postings are there when this runs.
 */
create or replace function app_private.tg_transactions__check()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id uuid;
begin
  select t.id into v_id
  from new_transactions t
  where (
    select count(*)
    from (
      select from app_public.postings p
      where p.tenant_id = t.tenant_id and p.transaction_id = t.id
      limit 2
    ) p
  ) < 2
  limit 1;
  if found then
    perform app_private.refuse('LG103', jsonb_build_object('transactionId', v_id));
  end if;
  return null;
end
$$;
--! EndIncluded ledger/tg_transactions__check.sql
--! Included ledger/tg_postings__check.sql
/*
 * The postings of a statement, whoever wrote it. Each transaction: debits equal credits in each currency,
 * and the postings fit its kind and times; it was written by the same database transaction, so that
 * nothing is added to it later. Each posting carries on the version and the counters of the posting
 * before it, in its account's currency; the last one of each account left what the balance says.
 *
 * Stands in for foreign keys from postings to transactions and accounts, set-wise: parents are never
 * changed or removed, so a check at insert is enough, and the row lock that each foreign key would take
 * on the account is saved.
 */
create or replace function app_private.tg_postings__check()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
-- Each look-up by key: a plan that reads a whole index while it is short must not live on in a session.
set enable_hashjoin = off
set enable_mergejoin = off
set enable_sort = off
as $$
declare
  v_fault record;
begin
  select g.transaction_id, g.posted <> 0 or g.pending <> 0 as is_unbalanced into v_fault
  from (
    select
      p.tenant_id, p.transaction_id, p.currency,
      sum(case when p.direction = 'debit' then p.posted_amount::numeric else -p.posted_amount end) as posted,
      sum(case when p.direction = 'debit' then p.pending_amount::numeric else -p.pending_amount end) as pending,
      max(p.posted_amount::numeric) as highest_posted,
      min(p.pending_amount::numeric) as lowest_pending,
      max(p.pending_amount::numeric) as highest_pending,
      min(p.created_at) as created_at,
      min(p.effective_at) as effective_at,
      max(p.created_at) = min(p.created_at) and max(p.effective_at) = min(p.effective_at) as is_one_time
    from new_postings p
    group by p.tenant_id, p.transaction_id, p.currency
  ) g
  left join app_public.transactions t
    on t.tenant_id = g.tenant_id and t.id = g.transaction_id
    and t.created_at = g.created_at and t.effective_at = g.effective_at and g.is_one_time
    and case t.kind
      when 'posted' then g.lowest_pending = 0 and g.highest_pending = 0
      when 'pending' then g.highest_posted = 0 and g.lowest_pending > 0
      when 'post_pending' then g.highest_pending < 0
      else g.highest_posted = 0 and g.highest_pending < 0
    end
  -- Not in the join condition: the index on xact_id would find all that this database transaction wrote.
  where g.posted <> 0 or g.pending <> 0 or t.id is null or t.xact_id <> pg_current_xact_id()
  limit 1;
  if found then
    perform app_private.refuse(
      case when v_fault.is_unbalanced then 'LG201' else 'LG320' end,
      jsonb_build_object('transactionId', v_fault.transaction_id));
  end if;

  -- Each posting against the one before it: of this statement, or stored; the last one of each account
  -- against its balance. A null in the key of a join saves the probe.
  select p.account_id into v_fault
  from (
    select
      n.*,
      lag(n.version) over w as before_version,
      lag(n.transaction_id) over w as before_transaction_id,
      lag(n.created_at) over w as before_created_at,
      lag(n.currency) over w as before_currency,
      lag(n.posted_debits) over w as before_posted_debits,
      lag(n.posted_credits) over w as before_posted_credits,
      lag(n.pending_debits) over w as before_pending_debits,
      lag(n.pending_credits) over w as before_pending_credits,
      lead(n.version) over w as after_version
    from new_postings n
    window w as (partition by n.tenant_id, n.account_id order by n.version)
  ) p
  -- A range of one, in order: while the table is small and without statistics, only the order (and
  -- enable_sort) makes the planner take the primary key and not another index that begins with the tenant.
  left join lateral (
    select b.version, b.currency, b.created_at,
      b.posted_debits, b.posted_credits, b.pending_debits, b.pending_credits
    from app_public.postings b
    where b.tenant_id = p.tenant_id and b.account_id = p.account_id
      and b.version between
        case when p.before_version is null then p.version - 1 end
        and case when p.before_version is null then p.version - 1 end
    order by b.version desc
    limit 1
  ) q on true
  left join app_public.account_balances b
    on b.tenant_id = p.tenant_id
    and b.account_id = case when p.after_version is null then p.account_id end
  where coalesce(p.before_version, q.version, 0) <> p.version - 1
    or coalesce(p.before_currency, q.currency, p.currency) <> p.currency
    or coalesce(p.before_created_at, q.created_at) >= p.created_at
      and p.before_transaction_id is distinct from p.transaction_id
    or p.posted_debits::numeric <> coalesce(p.before_posted_debits, q.posted_debits, 0)
      + case when p.direction = 'debit' then p.posted_amount::numeric else 0 end
    or p.posted_credits::numeric <> coalesce(p.before_posted_credits, q.posted_credits, 0)
      + case when p.direction = 'credit' then p.posted_amount::numeric else 0 end
    or p.pending_debits::numeric <> coalesce(p.before_pending_debits, q.pending_debits, 0)
      + case when p.direction = 'debit' then p.pending_amount::numeric else 0 end
    or p.pending_credits::numeric <> coalesce(p.before_pending_credits, q.pending_credits, 0)
      + case when p.direction = 'credit' then p.pending_amount::numeric else 0 end
    or p.after_version is null and (
      b.account_id is null or b.currency <> p.currency or b.version <> p.version
      or b.posted_debits <> p.posted_debits or b.posted_credits <> p.posted_credits
      or b.pending_debits <> p.pending_debits or b.pending_credits <> p.pending_credits
    )
  limit 1;
  if found then
    perform app_private.refuse('LG320', jsonb_build_object('accountId', v_fault.account_id));
  end if;
  return null;
end
$$;
--! EndIncluded ledger/tg_postings__check.sql
--! Included ledger/triggers.sql
create or replace trigger _200_refuse_change
  before update or delete or truncate on app_public.transactions
  for each statement execute function app_private.tg__refuse_change();

create or replace trigger _200_refuse_change
  before update or delete or truncate on app_public.postings
  for each statement execute function app_private.tg__refuse_change();

create or replace trigger _210_check
  after insert on app_public.transactions
  referencing new table as new_transactions
  for each statement execute function app_private.tg_transactions__check();

create or replace trigger _210_check
  after insert on app_public.postings
  referencing new table as new_postings
  for each statement execute function app_private.tg_postings__check();
--! EndIncluded ledger/triggers.sql
--! Included engine/books_lock.sql
/*
 * The key of the advisory lock on the books of a tenant: shared by whoever posts, exclusive for
 * whoever closes a period. The upper half sets it apart from other advisory locks.
 */
create or replace function app_private.books_lock(tenant_id integer)
returns bigint
language sql
immutable
as $$
  select (7151::bigint << 32) + tenant_id
$$;
--! EndIncluded engine/books_lock.sql
--! Included engine/fingerprint.sql
/*
 * The fingerprint of a request: 16 bytes of the SHA-256 of all its fields, by which two requests are the
 * same or not, then two bytes for each field, by which the first one that differs can be named. The
 * order of the fields is that of fingerprint_difference.
 */
create or replace function app_private.fingerprint(fields text[])
returns bytea
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select substr(sha256(convert_to(fields::text, 'UTF8')), 1, 16) || string_agg(
    case
      when f.value is null then '\x0000'::bytea
      else substr(sha256(convert_to(f.value, 'UTF8')), 1, 2)
    end,
    ''::bytea order by f.n
  )
  from unnest(fields) with ordinality as f (value, n)
$$;

/*
 * The name of the first field in which two requests differ; null when they are the same.
 */
create or replace function app_private.fingerprint_difference(one bytea, other bytea)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select case when substr(one, 1, 16) <> substr(other, 1, 16) then coalesce(
    (
      select f.name
      from unnest(array[
        'kind', 'pendingId', 'reversesId', 'postings', 'effectiveAt', 'timeoutSeconds', 'description',
        'metadata', 'conditions'
      ]) with ordinality as f (name, n)
      where substr(one, (15 + 2 * f.n)::integer, 2) <> substr(other, (15 + 2 * f.n)::integer, 2)
      order by f.n
      limit 1
    ),
    -- One chance in 65,536 that the two bytes agree although the field does not.
    'postings'
  ) end
$$;
--! EndIncluded engine/fingerprint.sql
--! Included engine/batch_lines__of_targets.sql
/*
 * The lines of the items that resolve a pending transaction or reverse a posted one. A part-post names
 * postings of the pending transaction again by account and direction (the first to the first, the
 * second to the second, where an account appears twice), with the amount to post; what is not named
 * posts nothing and is released. A named posting that reserved less, or nothing, is in excess.
 */
create or replace function app_private.batch_lines__of_targets(
  tenant_id integer,
  items app_public.transaction_input[]
)
returns table (
  n integer,
  ordinal bigint,
  account_id uuid,
  direction app_public.direction,
  posted numeric,
  pending numeric,
  is_excess boolean,
  minimum_available numeric,
  version bigint
)
language sql
stable
rows 100
set search_path = pg_catalog, pg_temp
as $$
  with item as (
    select i.n::integer as n, i.kind, i.postings, i.pending_id, i.reverses_id
    from unnest(items) with ordinality as i (
      kind, postings, idempotency_key, effective_at, timeout_seconds, pending_id, reverses_id,
      description, metadata, conditions, n
    )
    where coalesce(i.pending_id, i.reverses_id) is not null
  ),
  original as (
    select
      item.n, item.kind, item.reverses_id, coalesce(cardinality(item.postings), 0) = 0 as is_whole,
      p.ordinal, p.account_id, p.direction, p.posted_amount::numeric as posted_amount,
      p.pending_amount::numeric as pending_amount,
      row_number() over (partition by item.n, p.account_id, p.direction order by p.ordinal) as nth
    from item
    join app_public.postings p
      on p.tenant_id = batch_lines__of_targets.tenant_id
      and p.transaction_id = coalesce(item.pending_id, item.reverses_id)
  ),
  part as (
    select
      item.n, p.account_id, p.direction, p.amount::numeric as amount,
      row_number() over (partition by item.n, p.account_id, p.direction order by p.ordinal) as nth
    from item
    cross join lateral unnest(item.postings) with ordinality as p (account_id, direction, amount, ordinal)
    where item.kind = 'post_pending'
  )
  select
    coalesce(o.n, part.n),
    o.ordinal::bigint,
    coalesce(o.account_id, part.account_id),
    case
      when o.reverses_id is null then coalesce(o.direction, part.direction)
      when o.direction = 'debit' then 'credit'
      else 'debit'
    end,
    case
      when o.reverses_id is not null then o.posted_amount
      when o.kind <> 'post_pending' then 0
      when o.is_whole then o.pending_amount
      else coalesce(part.amount, 0)
    end,
    case when o.reverses_id is null then -coalesce(o.pending_amount, 0) else 0 end,
    coalesce(part.amount > coalesce(o.pending_amount, 0), false)
      or o.n is null,
    null::numeric,
    null::bigint
  from original o
  full join part using (n, account_id, direction, nth)
  -- A part-post that posted nothing on an account has nothing there to reverse.
  where o.reverses_id is null or o.posted_amount > 0
$$;
--! EndIncluded engine/batch_lines__of_targets.sql
--! Included engine/batch_lines.sql
/*
 * The lines that the items of a batch ask for, one row each, in order: those that the caller wrote, and
 * those that resolve or reverse an earlier transaction, which are read from its postings. A posting of
 * zero in a part-post only releases. A line with no direction is a condition.
 */
create or replace function app_private.batch_lines(
  tenant_id integer,
  items app_public.transaction_input[],
  has_targets boolean
)
returns table (
  n integer,
  ordinal bigint,
  account_id uuid,
  direction app_public.direction,
  posted numeric,
  pending numeric,
  is_excess boolean,
  minimum_available numeric,
  version bigint
)
language plpgsql
stable
rows 1000
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select
    i.n::integer, p.ordinal, p.account_id, p.direction,
    case when i.kind = 'pending' then 0 else p.amount::numeric end,
    case when i.kind = 'pending' then p.amount::numeric else 0 end,
    false, null::numeric, null::bigint
  from unnest(items) with ordinality as i (
    kind, postings, idempotency_key, effective_at, timeout_seconds, pending_id, reverses_id,
    description, metadata, conditions, n
  )
  cross join lateral unnest(i.postings) with ordinality as p (account_id, direction, amount, ordinal)
  where coalesce(i.kind, 'posted') in ('posted', 'pending') and i.reverses_id is null
  union all
  select
    i.n::integer, c.ordinal, c.account_id, null, null, null, null,
    c.minimum_available::numeric, c.version
  from unnest(items) with ordinality as i (
    kind, postings, idempotency_key, effective_at, timeout_seconds, pending_id, reverses_id,
    description, metadata, conditions, n
  )
  cross join lateral unnest(i.conditions) with ordinality
    as c (account_id, minimum_available, version, ordinal);

  if has_targets then
    return query
    select
      t.n, t.ordinal, t.account_id, t.direction, t.posted, t.pending, t.is_excess, t.minimum_available,
      t.version
    from app_private.batch_lines__of_targets(tenant_id, items) t;
  end if;
end
$$;
--! EndIncluded engine/batch_lines.sql
--! Included engine/resulting_balance.sql
/*
 * Counters as balances. With "in" for the normal side and "out" for the other:
 *   posted = posted in − posted out
 *   pending = (posted + pending) in − (posted + pending) out
 *   available = posted in − (posted + pending − expired) out
 */
create or replace function app_private.resulting_balance(
  account_id uuid,
  currency text,
  is_debit_normal boolean,
  version bigint,
  posted_debits numeric,
  posted_credits numeric,
  pending_debits numeric,
  pending_credits numeric,
  expired_debits numeric default 0,
  expired_credits numeric default 0
)
returns app_public.resulting_balance
language sql
immutable
as $$
  select row(
    account_id, currency, version,
    case when is_debit_normal then posted_debits - posted_credits else posted_credits - posted_debits end,
    case when is_debit_normal
      then posted_debits + pending_debits - posted_credits - pending_credits
      else posted_credits + pending_credits - posted_debits - pending_debits
    end,
    case when is_debit_normal
      then posted_debits - posted_credits - pending_credits + expired_credits
      else posted_credits - posted_debits - pending_debits + expired_debits
    end
  )::app_public.resulting_balance
$$;

/*
 * The balances that a transaction left on its accounts, as they were then.
 */
create or replace function app_private.resulting_balances_of(tenant_id integer, transaction_id uuid)
returns app_public.resulting_balance[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select array_agg(app_private.resulting_balance(
    p.account_id, p.currency, b.normal_balance = 'debit', p.version,
    p.posted_debits, p.posted_credits, p.pending_debits, p.pending_credits
  ) order by p.account_id)
  from (
    select distinct on (p.account_id) p.*
    from app_public.postings p
    where p.tenant_id = resulting_balances_of.tenant_id
      and p.transaction_id = resulting_balances_of.transaction_id
    order by p.account_id, p.version desc
  ) p
  join app_public.account_balances b
    on b.tenant_id = resulting_balances_of.tenant_id and b.account_id = p.account_id
$$;
--! EndIncluded engine/resulting_balance.sql
--! Included engine/post_batch__read_items.sql
/*
 * Step 1: the items as arrays, each with the first fault of its shape, if any. What a kind takes:
 *   posted, pending   two postings or more; timeout_seconds for pending only
 *   posted            with reverses_id and no postings: the reversal of that transaction
 *   post_pending      pending_id, and postings for a part of it
 *   void_pending      pending_id
 *   expire_pending    pending_id; only the engine's own job may ask for it
 */
create or replace function app_private.post_batch__read_items(
  items app_public.transaction_input[],
  may_expire boolean
)
returns app_private.batch_items
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with item as (
    select
      i.n::integer as n,
      coalesce(i.kind, 'posted') as kind,
      i.postings, i.idempotency_key, i.effective_at, i.timeout_seconds, i.pending_id, i.reverses_id,
      i.description, i.metadata, i.conditions,
      coalesce(i.kind, 'posted') in ('posted', 'pending') as is_new,
      coalesce(cardinality(i.postings), 0) as posting_count,
      l.is_incomplete, l.lowest_amount
    from unnest(items) with ordinality as i (
      kind, postings, idempotency_key, effective_at, timeout_seconds, pending_id, reverses_id,
      description, metadata, conditions, n
    )
    cross join lateral (
      select
        bool_or(p.account_id is null or p.direction is null or p.amount is null) as is_incomplete,
        min(p.amount) as lowest_amount
      from unnest(i.postings) as p (account_id, direction, amount)
    ) l
  ),
  judged as (
    select
      item.*,
      case
        when length(idempotency_key) not between 1 and 255 then 'LG105'
        when length(description) not between 1 and 1000 then 'LG106'
        when jsonb_typeof(metadata) <> 'object' or octet_length(metadata::text) > 16384 then 'LG107'
        when effective_at < '0001-01-01Z' or effective_at >= '10000-01-01Z' then 'LG109'
        when timeout_seconds is not null
          and (kind <> 'pending' or timeout_seconds not between 1 and 315360000) then 'LG108'
        when kind = 'expire_pending' and not may_expire
          or pending_id is not null and is_new
          or reverses_id is not null and (kind <> 'posted' or posting_count > 0)
          or posting_count > 0 and kind in ('void_pending', 'expire_pending') then 'LG110'
        when pending_id is null and not is_new then 'LG113'
        when posting_count > 10000 then 'LG112'
        when is_new and reverses_id is null and posting_count < 2 then 'LG103'
        when is_incomplete then 'LG104'
        when lowest_amount < 0 or lowest_amount = 0 and is_new then 'LG102'
      end as code,
      case when idempotency_key is not null then app_private.fingerprint(array[
        kind::text, pending_id::text, reverses_id::text, nullif(postings, '{}')::text,
        extract(epoch from effective_at)::text, timeout_seconds::text, description, metadata::text,
        nullif(conditions, '{}')::text
      ]) end as fingerprint
    from item
  )
  select
    array_agg(kind order by n),
    array_agg(effective_at order by n),
    array_agg(timeout_seconds order by n),
    array_agg(pending_id order by n),
    array_agg(reverses_id order by n),
    array_agg(idempotency_key order by n),
    array_agg(fingerprint order by n),
    array_agg(description order by n),
    array_agg(metadata order by n),
    null::integer[],
    null::integer[],
    array_agg(code order by n),
    array_agg(null::jsonb order by n),
    coalesce(bool_or(num_nonnulls(idempotency_key, effective_at, pending_id, reverses_id) > 0), false),
    coalesce(bool_or(timeout_seconds is not null), false),
    coalesce(bool_or(coalesce(pending_id, reverses_id) is not null), false)
  from judged
$$;
--! EndIncluded engine/post_batch__read_items.sql
--! Included engine/post_batch__link_items.sql
/*
 * Step 1b, only where items have a key or a target: link each to the item before it with the same one,
 * so that a key or a resolution taken earlier in the batch is found as one taken before the batch.
 */
create or replace function app_private.post_batch__link_items(items app_private.batch_items)
returns app_private.batch_items
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  select
    array_agg(case when l.idempotency_key is not null then l.same_key end order by l.n),
    array_agg(case when l.target is not null then l.same_target end order by l.n)
  into items.same_key, items.same_target
  from (
    select
      i.n, i.idempotency_key, coalesce(i.pending_id, i.reverses_id) as target,
      lag(i.n) over (partition by i.idempotency_key order by i.n)::integer as same_key,
      lag(i.n) over (partition by coalesce(i.pending_id, i.reverses_id) order by i.n)::integer as same_target
    from unnest(items.keys, items.pending_ids, items.reverses_ids)
      with ordinality as i (idempotency_key, pending_id, reverses_id, n)
  ) l;
  return items;
end
$$;
--! EndIncluded engine/post_batch__link_items.sql
--! Included engine/post_batch__read_lines.sql
/*
 * Step 2: the lines as arrays, and the ids of their accounts in lock order. An account is known by its
 * place in that order, as if all of them existed; see post_batch__forget_unknown for when they do not.
 */
create or replace function app_private.post_batch__read_lines(
  tenant_id integer,
  items app_public.transaction_input[],
  has_targets boolean
)
returns app_private.batch_lines
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with line as (
    select
      l.n, l.ordinal::integer as ordinal, l.account_id, l.direction, l.posted, l.pending, l.is_excess,
      l.minimum_available, l.version,
      dense_rank() over (order by l.account_id)::integer as position
    from app_private.batch_lines(tenant_id, items, has_targets) l
  )
  select
    array_agg(n order by n, ordinal) filter (where direction is not null),
    array_agg(ordinal order by n, ordinal) filter (where direction is not null),
    array_agg(position order by n, ordinal) filter (where direction is not null),
    array_agg(account_id order by n, ordinal) filter (where direction is not null),
    array_agg(direction order by n, ordinal) filter (where direction is not null),
    array_agg(posted order by n, ordinal) filter (where direction is not null),
    array_agg(pending order by n, ordinal) filter (where direction is not null),
    array_agg(is_excess order by n, ordinal) filter (where direction is not null),
    array_agg(n order by n, ordinal) filter (where direction is null),
    array_agg(position order by n, ordinal) filter (where direction is null),
    array_agg(account_id order by n, ordinal) filter (where direction is null),
    array_agg(minimum_available order by n, ordinal) filter (where direction is null),
    array_agg(version order by n, ordinal) filter (where direction is null),
    (select array_agg(distinct k.account_id order by k.account_id) from line k where k.account_id is not null)
  from line
$$;
--! EndIncluded engine/post_batch__read_lines.sql
--! Included engine/post_batch__lock_accounts.sql
/*
 * Step 3: lock all accounts of the batch in one statement, in the order of their key, so that two
 * batches can wait for each other but never in a circle. Everything read here is read under the lock:
 * status and limits stand in account_balances for that reason, since a joined row would be read at the
 * snapshot from before the wait.
 */
create or replace function app_private.post_batch__lock_accounts(tenant_id integer, ids uuid[])
returns app_private.batch_accounts
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select
    array_agg(b.account_id), array_agg(b.currency), array_agg(b.normal_balance = 'debit'),
    array_agg(b.status), array_agg(b.version), array_agg(b.last_created_at),
    array_agg(b.last_effective_at), array_agg(b.next_expiry_at),
    array_agg(b.posted_debits::numeric), array_agg(b.posted_credits::numeric),
    array_agg(b.pending_debits::numeric), array_agg(b.pending_credits::numeric),
    array_agg(b.expired_debits::numeric), array_agg(b.expired_credits::numeric),
    array_agg(b.minimum_balance::numeric), array_agg(b.maximum_balance::numeric)
  from (
    select *
    from app_public.account_balances
    where account_balances.tenant_id = post_batch__lock_accounts.tenant_id
      and account_balances.account_id = any (ids)
    order by account_balances.account_id
    for no key update
  ) b
$$;
--! EndIncluded engine/post_batch__lock_accounts.sql
--! Included engine/post_batch__forget_unknown.sql
/*
 * Step 3b, only where an account of the batch does not exist: give the lines the places of their
 * accounts among those that do; a line of an unknown account has none.
 */
create or replace function app_private.post_batch__forget_unknown(
  lines app_private.batch_lines,
  known_ids uuid[]
)
returns app_private.batch_lines
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  lines.accounts := app_private.positions_of(lines.account_ids, known_ids);
  lines.condition_accounts := app_private.positions_of(lines.condition_account_ids, known_ids);
  return lines;
end
$$;

/*
 * Where each of some values stands in a list; null for one that does not.
 */
create or replace function app_private.positions_of(needles uuid[], list uuid[])
returns integer[]
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select array_agg(l.position::integer order by n.n)
  from unnest(needles) with ordinality as n (id, n)
  left join unnest(list) with ordinality as l (id, position) using (id)
$$;
--! EndIncluded engine/post_batch__forget_unknown.sql
--! Included engine/post_batch__expire.sql
/*
 * Step 4, only where a reservation of a locked account has passed its time: how much of the pending
 * counters has expired at this moment, so that limits leave it out before the job releases it.
 */
create or replace function app_private.post_batch__expire(
  tenant_id integer,
  accounts app_private.batch_accounts,
  at timestamptz
)
returns app_private.batch_accounts
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  select
    array_agg(coalesce(e.debits, 0) order by a.position),
    array_agg(coalesce(e.credits, 0) order by a.position),
    array_agg(e.next_expiry_at order by a.position)
  into accounts.expired_debits, accounts.expired_credits, accounts.next_expiry_at
  from unnest(accounts.ids) with ordinality as a (id, position)
  cross join lateral (
    select
      sum(r.debits::numeric) filter (where r.expires_at <= post_batch__expire.at) as debits,
      sum(r.credits::numeric) filter (where r.expires_at <= post_batch__expire.at) as credits,
      min(r.expires_at) as next_expiry_at
    from app_private.open_reservations r
    where r.tenant_id = post_batch__expire.tenant_id and r.account_id = a.id
  ) e;
  return accounts;
end
$$;
--! EndIncluded engine/post_batch__expire.sql
--! Included engine/post_batch__read_targets.sql
/*
 * Step 5, under the lock: what the items refer to, one element an item. Transactions that carry an
 * item's key already, the state of the transactions to resolve or reverse, and closed periods.
 */
create or replace function app_private.post_batch__read_targets(
  tenant_id integer,
  items app_private.batch_items,
  at timestamptz
)
returns app_private.batch_targets
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select
    array_agg(replayed.id order by i.n),
    array_agg(replayed.fingerprint order by i.n),
    array_agg(target.kind order by i.n),
    array_agg(target.expires_at order by i.n),
    array_agg(resolution.kind order by i.n),
    array_agg(reversal.id is not null order by i.n),
    array_agg(period.name order by i.n)
  from unnest(items.keys, items.pending_ids, items.reverses_ids, items.effective_at)
    with ordinality as i (idempotency_key, pending_id, reverses_id, effective_at, n)
  left join app_public.transactions replayed
    on replayed.tenant_id = post_batch__read_targets.tenant_id
    and replayed.idempotency_key = i.idempotency_key
  left join app_public.transactions target
    on target.tenant_id = post_batch__read_targets.tenant_id
    and target.id = coalesce(i.pending_id, i.reverses_id)
  left join app_public.transactions resolution
    on resolution.tenant_id = post_batch__read_targets.tenant_id
    and resolution.pending_id = i.pending_id
  left join app_public.transactions reversal
    on reversal.tenant_id = post_batch__read_targets.tenant_id
    and reversal.reverses_id = i.reverses_id
  left join app_public.accounting_periods period
    on period.tenant_id = post_batch__read_targets.tenant_id
    and period.closed_at is not null
    and period.during @> coalesce(i.effective_at, post_batch__read_targets.at)
$$;
--! EndIncluded engine/post_batch__read_targets.sql
--! Included engine/post_batch__imbalance.sql
/*
 * The first currency, by code, in which the lines do not balance, with the difference; null when all do.
 */
create or replace function app_private.post_batch__imbalance(
  currencies text[],
  accounts integer[],
  directions app_public.direction[],
  posted numeric[],
  pending numeric[]
)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object('currency', s.currency, 'difference', s.difference::text)
  from (
    select
      currencies[l.account] as currency,
      sum(case when l.direction = 'debit' then l.posted else -l.posted end) as posted_difference,
      sum(case when l.direction = 'debit' then l.posted + l.pending else -l.posted - l.pending end)
        as difference
    from unnest(accounts, directions, posted, pending) as l (account, direction, posted, pending)
    group by 1
  ) s
  where s.difference <> 0 or s.posted_difference <> 0
  order by s.currency
  limit 1
$$;
--! EndIncluded engine/post_batch__imbalance.sql
--! Included engine/post_batch__decide.sql
/*
 * Step 6: decide each item in sequence, in memory. An item sees what the accepted items before it left,
 * so that a batch answers as its items one at a time would.
 *
 * The first refusal wins, in this order, which is tested:
 *   shape (LG1xx, found before) → key (LG501) → target (LG304–LG308, LG310–LG312) → account unknown
 *   (LG301) → more than reserved (LG206) → unbalanced (LG201) → closed, frozen (LG303, LG302) → period
 *   (LG309) → conditions (LG205, or LG301) → overflow and limits (LG204, LG202, LG203)
 * Faults of one step are told for the first line, or condition, that has one.
 *
 * One long function, because plpgsql changes an element of an array in place only in a local variable:
 * handing arrays to a helper would copy them for every item.
 */
create or replace function app_private.post_batch__decide(
  tenant_id integer,
  at timestamptz,
  items app_private.batch_items,
  lines app_private.batch_lines,
  accounts app_private.batch_accounts,
  targets app_private.batch_targets
)
returns app_private.batch_decision
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  -- Items
  v_kinds app_public.transaction_kind[] := items.kinds;
  v_effective_at timestamptz[] := items.effective_at;
  v_keys text[] := items.keys;
  v_fingerprints bytea[] := items.fingerprints;
  v_same_key integer[] := items.same_key;
  v_same_target integer[] := items.same_target;
  v_codes text[] := items.codes;
  v_details jsonb[] := items.details;
  v_count integer := coalesce(cardinality(items.kinds), 0);
  v_has_references boolean := items.has_references;
  v_replayed_ids uuid[] := targets.replayed_ids;
  v_replayed_fingerprints bytea[] := targets.replayed_fingerprints;
  v_ids uuid[] := array_fill(null::uuid, array[v_count]);
  v_is_replayed boolean[] := array_fill(false, array[v_count]);
  v_is_accepted boolean[] := array_fill(false, array[v_count]);
  v_created_at timestamptz[] := array_fill(null::timestamptz, array[v_count]);
  -- The item whose key, or whose resolution of a target, took effect: this one or one before it.
  v_key_owner integer[] := array_fill(null::integer, array[v_count]);
  v_target_owner integer[] := array_fill(null::integer, array[v_count]);
  -- Lines
  l_items integer[] := lines.items;
  l_accounts integer[] := lines.accounts;
  l_directions app_public.direction[] := lines.directions;
  l_posted numeric[] := lines.posted;
  l_pending numeric[] := lines.pending;
  l_count integer := coalesce(cardinality(lines.items), 0);
  l_transaction_ids uuid[] := array_fill(null::uuid, array[l_count]);
  l_created_at timestamptz[] := array_fill(null::timestamptz, array[l_count]);
  l_effective_at timestamptz[] := array_fill(null::timestamptz, array[l_count]);
  l_currencies text[] := array_fill(null::text, array[l_count]);
  l_is_debit_normal boolean[] := array_fill(null::boolean, array[l_count]);
  l_expired_debits numeric[] := array_fill(0::numeric, array[l_count]);
  l_expired_credits numeric[] := array_fill(0::numeric, array[l_count]);
  l_versions bigint[] := array_fill(null::bigint, array[l_count]);
  l_posted_debits numeric[] := array_fill(null::numeric, array[l_count]);
  l_posted_credits numeric[] := array_fill(null::numeric, array[l_count]);
  l_pending_debits numeric[] := array_fill(null::numeric, array[l_count]);
  l_pending_credits numeric[] := array_fill(null::numeric, array[l_count]);
  -- Accounts
  a_currencies text[] := accounts.currencies;
  a_is_debit_normal boolean[] := accounts.is_debit_normal;
  a_statuses app_public.account_status[] := accounts.statuses;
  a_versions bigint[] := accounts.versions;
  a_last_created_at timestamptz[] := accounts.last_created_at;
  a_last_effective_at timestamptz[] := accounts.last_effective_at;
  a_next_expiry_at timestamptz[] := accounts.next_expiry_at;
  a_posted_debits numeric[] := accounts.posted_debits;
  a_posted_credits numeric[] := accounts.posted_credits;
  a_pending_debits numeric[] := accounts.pending_debits;
  a_pending_credits numeric[] := accounts.pending_credits;
  a_expired_debits numeric[] := accounts.expired_debits;
  a_expired_credits numeric[] := accounts.expired_credits;
  a_minimums numeric[] := accounts.minimums;
  a_maximums numeric[] := accounts.maximums;
  c_items integer[] := lines.condition_items;
  -- The item at hand
  v_next integer := 1;
  v_first integer;
  v_last integer;
  v_code text;
  v_detail jsonb;
  v_difference text;
  v_owner integer;
  v_kind app_public.transaction_kind;
  v_time timestamptz;
  v_posted numeric;
  v_pending numeric;
  v_is_mixed boolean;
  v_limit numeric;
  v_value numeric;
  a integer;
  c integer := 1;
  v_first_condition integer;
begin
  for i in 1 .. v_count loop
    v_code := v_codes[i];
    v_detail := null;
    v_kind := v_kinds[i];
    v_owner := null;
    v_first := v_next;
    while v_next <= l_count and l_items[v_next] = i loop
      v_next := v_next + 1;
    end loop;
    v_last := v_next - 1;
    v_first_condition := c;
    while c_items[c] = i loop
      c := c + 1;
    end loop;

    if v_has_references then
      -- The same key: stored before, or taken by an item before this one.
      if v_code is null and v_keys[i] is not null then
        v_owner := v_key_owner[v_same_key[i]];
        if v_owner is null and v_replayed_ids[i] is not null then
          v_owner := i;
          v_ids[i] := v_replayed_ids[i];
        end if;
        if v_owner is not null then
          v_difference := app_private.fingerprint_difference(
            v_fingerprints[i], coalesce(v_replayed_fingerprints[v_owner], v_fingerprints[v_owner]));
          if v_difference is null then
            v_ids[i] := v_ids[v_owner];
            v_is_replayed[i] := true;
          else
            v_code := 'LG501';
            v_detail := jsonb_build_object('field', v_difference, 'transactionId', v_ids[v_owner]);
          end if;
        end if;
      end if;

      -- The transaction to resolve or to reverse.
      if v_code is null and not v_is_replayed[i] then
        if items.pending_ids[i] is not null then
          v_code := case
            when targets.kinds[i] is null then 'LG304'
            when targets.kinds[i] <> 'pending' then 'LG308'
            -- Without lines it has come up since they were read: it was not there yet.
            when v_first > v_last then 'LG304'
            else case coalesce(targets.resolved_by[i], v_kinds[v_target_owner[v_same_target[i]]])
              when 'post_pending' then 'LG305'
              when 'void_pending' then 'LG306'
              when 'expire_pending' then 'LG307'
              else case
                when v_kind <> 'expire_pending' and targets.expires_at[i] <= at then 'LG307'
                when v_kind = 'expire_pending' and coalesce(targets.expires_at[i] > at, true) then 'LG321'
              end
            end
          end;
        elsif items.reverses_ids[i] is not null then
          v_code := case
            when targets.kinds[i] is null or targets.kinds[i] = 'posted' and v_first > v_last then 'LG310'
            when v_first > v_last then 'LG312'
            when targets.is_reversed[i] or v_target_owner[v_same_target[i]] is not null then 'LG311'
          end;
        end if;
        if v_code is not null then
          v_detail := jsonb_build_object(
            'transactionId', coalesce(items.pending_ids[i], items.reverses_ids[i]));
        end if;
      end if;
    end if;

    -- Accounts known, lines within what was reserved, debits equal to credits.
    if v_code is null and not v_is_replayed[i] then
      v_posted := 0;
      v_pending := 0;
      v_is_mixed := false;
      v_time := at;
      for p in v_first .. v_last loop
        a := l_accounts[p];
        if a is null then
          v_code := 'LG301';
          v_detail := jsonb_build_object('accountId', lines.account_ids[p]);
          exit;
        end if;
        if a_last_created_at[a] >= v_time then
          v_time := a_last_created_at[a] + interval '1 microsecond';
        end if;
        if a_currencies[a] <> a_currencies[l_accounts[v_first]] then
          v_is_mixed := true;
        end if;
        if l_directions[p] = 'debit' then
          v_posted := v_posted + l_posted[p];
          v_pending := v_pending + l_pending[p];
        else
          v_posted := v_posted - l_posted[p];
          v_pending := v_pending - l_pending[p];
        end if;
      end loop;

      if v_code is null and v_kind = 'post_pending' and true = any (lines.is_excess[v_first : v_last]) then
        v_code := 'LG206';
        v_detail := jsonb_build_object('transactionId', items.pending_ids[i]);
      end if;

      if v_code is null and (v_posted <> 0 or v_pending <> 0 or v_is_mixed) then
        v_detail := app_private.post_batch__imbalance(a_currencies,
          l_accounts[v_first : v_last], l_directions[v_first : v_last],
          l_posted[v_first : v_last], l_pending[v_first : v_last]);
        v_code := case when v_detail is not null then 'LG201' end;
      end if;

      -- Closed and frozen accounts take nothing but the release of what they hold.
      if v_code is null then
        for p in v_first .. v_last loop
          a := l_accounts[p];
          if a_statuses[a] <> 'open' and (l_posted[p] > 0 or l_pending[p] > 0) then
            v_code := case when a_statuses[a] = 'closed' then 'LG303' else 'LG302' end;
            v_detail := jsonb_build_object('accountId', accounts.ids[a]);
            exit;
          end if;
        end loop;
      end if;

      if v_code is null and targets.closed_periods[i] is not null then
        v_code := 'LG309';
        v_detail := jsonb_build_object(
          'period', targets.closed_periods[i], 'effectiveAt', v_effective_at[i]);
      end if;

      -- What the caller asserted, before this item touches anything.
      if v_code is null then
        for k in v_first_condition .. c - 1 loop
          a := lines.condition_accounts[k];
          if a is null then
            v_code := 'LG301';
            v_detail := jsonb_build_object('accountId', lines.condition_account_ids[k]);
            exit;
          end if;
          v_value := case when a_is_debit_normal[a]
            then a_posted_debits[a] - a_posted_credits[a] - a_pending_credits[a] + a_expired_credits[a]
            else a_posted_credits[a] - a_posted_debits[a] - a_pending_debits[a] + a_expired_debits[a]
          end;
          if v_value < lines.condition_minimums[k] or a_versions[a] <> lines.condition_versions[k] then
            v_code := 'LG205';
            v_detail := jsonb_build_object('accountId', accounts.ids[a],
              'available', v_value::text, 'version', a_versions[a]::text);
            exit;
          end if;
        end loop;
      end if;
    end if;

    -- Apply, line by line; a refusal below takes it back.
    if v_code is null and not v_is_replayed[i] then
      for p in v_first .. v_last loop
        a := l_accounts[p];
        if l_directions[p] = 'debit' then
          a_posted_debits[a] := a_posted_debits[a] + l_posted[p];
          if l_pending[p] <> 0 then
            a_pending_debits[a] := a_pending_debits[a] + l_pending[p];
            if v_kind = 'expire_pending' then
              a_expired_debits[a] := a_expired_debits[a] + l_pending[p];
            end if;
          end if;
        else
          a_posted_credits[a] := a_posted_credits[a] + l_posted[p];
          if l_pending[p] <> 0 then
            a_pending_credits[a] := a_pending_credits[a] + l_pending[p];
            if v_kind = 'expire_pending' then
              a_expired_credits[a] := a_expired_credits[a] + l_pending[p];
            end if;
          end if;
        end if;
        a_versions[a] := a_versions[a] + 1;
        l_versions[p] := a_versions[a];
        l_posted_debits[p] := a_posted_debits[a];
        l_posted_credits[p] := a_posted_credits[a];
        l_pending_debits[p] := a_pending_debits[a];
        l_pending_credits[p] := a_pending_credits[a];
      end loop;

      -- The limits, on what the whole transaction left; a release alone cannot pass one.
      for p in v_first .. v_last loop
        a := l_accounts[p];
        if a_posted_debits[a] + a_pending_debits[a] >= 1e38
          or a_posted_credits[a] + a_pending_credits[a] >= 1e38
        then
          v_code := 'LG204';
          v_detail := jsonb_build_object('accountId', accounts.ids[a]);
          exit;
        end if;
        v_limit := a_minimums[a];
        if v_limit is not null then
          v_value := case when a_is_debit_normal[a]
            then a_posted_debits[a] - a_posted_credits[a] - a_pending_credits[a] + a_expired_credits[a]
            else a_posted_credits[a] - a_posted_debits[a] - a_pending_debits[a] + a_expired_debits[a]
          end;
          if v_value < v_limit then
            v_code := 'LG202';
            v_detail := jsonb_build_object('accountId', accounts.ids[a],
              'minimumBalance', v_limit::text, 'shortBy', (v_limit - v_value)::text);
            exit;
          end if;
        end if;
        v_limit := a_maximums[a];
        if v_limit is not null then
          v_value := case when a_is_debit_normal[a]
            then a_posted_debits[a] - a_posted_credits[a] + a_pending_debits[a] - a_expired_debits[a]
            else a_posted_credits[a] - a_posted_debits[a] + a_pending_credits[a] - a_expired_credits[a]
          end;
          if v_value > v_limit then
            v_code := 'LG203';
            v_detail := jsonb_build_object('accountId', accounts.ids[a],
              'maximumBalance', v_limit::text, 'overBy', (v_value - v_limit)::text);
            exit;
          end if;
        end if;
      end loop;

      if v_code is not null then
        for p in v_first .. v_last loop
          a := l_accounts[p];
          if l_directions[p] = 'debit' then
            a_posted_debits[a] := a_posted_debits[a] - l_posted[p];
            a_pending_debits[a] := a_pending_debits[a] - l_pending[p];
          else
            a_posted_credits[a] := a_posted_credits[a] - l_posted[p];
            a_pending_credits[a] := a_pending_credits[a] - l_pending[p];
          end if;
          a_versions[a] := a_versions[a] - 1;
        end loop;
      else
        v_ids[i] := uuidv7();
        v_is_accepted[i] := true;
        v_created_at[i] := v_time;
        v_effective_at[i] := coalesce(v_effective_at[i], v_time);
        for p in v_first .. v_last loop
          a := l_accounts[p];
          l_transaction_ids[p] := v_ids[i];
          l_created_at[p] := v_time;
          l_effective_at[p] := v_effective_at[i];
          l_currencies[p] := a_currencies[a];
          l_is_debit_normal[p] := a_is_debit_normal[a];
          if a_expired_debits[a] <> 0 or a_expired_credits[a] <> 0 then
            l_expired_debits[p] := a_expired_debits[a];
            l_expired_credits[p] := a_expired_credits[a];
          end if;
          a_last_created_at[a] := v_time;
          if v_effective_at[i] > a_last_effective_at[a] then
            a_last_effective_at[a] := v_effective_at[i];
          end if;
          if items.timeouts[i] is not null then
            a_next_expiry_at[a] := least(a_next_expiry_at[a],
              v_time + make_interval(secs => items.timeouts[i]));
          end if;
        end loop;
      end if;
    end if;

    v_codes[i] := v_code;
    v_details[i] := v_detail;
    if v_has_references then
      v_key_owner[i] := coalesce(v_key_owner[v_same_key[i]], v_owner,
        case when v_is_accepted[i] then i end);
      v_target_owner[i] := coalesce(v_target_owner[v_same_target[i]],
        case when v_is_accepted[i] then i end);
    end if;
  end loop;

  accounts.versions := a_versions;
  accounts.last_created_at := a_last_created_at;
  accounts.last_effective_at := a_last_effective_at;
  accounts.next_expiry_at := a_next_expiry_at;
  accounts.posted_debits := a_posted_debits;
  accounts.posted_credits := a_posted_credits;
  accounts.pending_debits := a_pending_debits;
  accounts.pending_credits := a_pending_credits;
  accounts.expired_debits := a_expired_debits;
  accounts.expired_credits := a_expired_credits;
  return row(
    v_codes, v_details, v_ids, v_is_replayed, v_is_accepted, v_created_at, v_effective_at,
    row(
      l_transaction_ids, l_created_at, l_effective_at, l_currencies, l_is_debit_normal, l_versions,
      l_posted_debits, l_posted_credits, l_pending_debits, l_pending_credits,
      l_expired_debits, l_expired_credits
    )::app_private.batch_postings,
    accounts
  )::app_private.batch_decision;
end
$$;
--! EndIncluded engine/post_batch__decide.sql
--! Included engine/post_batch__write.sql
/*
 * Step 7: write what was decided: transactions, postings and balances in one statement, so that the
 * statement-level triggers of each table see the rows of all three.
 */
create or replace function app_private.post_batch__write(
  tenant_id integer,
  created_by uuid,
  items app_private.batch_items,
  lines app_private.batch_lines,
  decision app_private.batch_decision
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_accounts app_private.batch_accounts := decision.accounts;
  v_postings app_private.batch_postings := decision.postings;
begin
  with new_transactions as (
    insert into app_public.transactions (
      tenant_id, kind, created_at, effective_at, expires_at, id, pending_id, reverses_id, created_by,
      idempotency_key, fingerprint, description, metadata
    )
    select
      post_batch__write.tenant_id, i.kind, i.created_at, i.effective_at,
      i.created_at + make_interval(secs => i.timeout_seconds), i.id, i.pending_id, i.reverses_id,
      post_batch__write.created_by, i.idempotency_key, i.fingerprint, i.description, i.metadata
    from unnest(
      items.kinds, items.timeouts, items.pending_ids, items.reverses_ids, items.keys,
      items.fingerprints, items.descriptions, items.metadata,
      decision.transaction_ids, decision.is_accepted, decision.created_at, decision.effective_at
    ) with ordinality as i (
      kind, timeout_seconds, pending_id, reverses_id, idempotency_key,
      fingerprint, description, metadata, id, is_accepted, created_at, effective_at, n
    )
    where i.is_accepted
    -- Two batches that bring the same keys wait for each other in one order.
    order by i.idempotency_key, i.n
  ),
  new_postings as (
    insert into app_public.postings (
      tenant_id, direction, version, effective_at, created_at, transaction_id, account_id, ordinal,
      currency, posted_amount, pending_amount,
      posted_debits, posted_credits, pending_debits, pending_credits
    )
    select
      post_batch__write.tenant_id, l.direction, l.version, l.effective_at, l.created_at, l.transaction_id,
      l.account_id, l.ordinal, l.currency, l.posted, l.pending,
      l.posted_debits, l.posted_credits, l.pending_debits, l.pending_credits
    from unnest(
      lines.ordinals, lines.account_ids, lines.directions, lines.posted, lines.pending,
      v_postings.transaction_ids, v_postings.created_at, v_postings.effective_at,
      v_postings.currencies, v_postings.versions, v_postings.posted_debits, v_postings.posted_credits,
      v_postings.pending_debits, v_postings.pending_credits
    ) as l (
      ordinal, account_id, direction, posted, pending, transaction_id, created_at, effective_at,
      currency, version, posted_debits, posted_credits, pending_debits, pending_credits
    )
    where l.transaction_id is not null
  )
  update app_public.account_balances b set
    version = a.version,
    last_created_at = a.last_created_at,
    last_effective_at = a.last_effective_at,
    next_expiry_at = a.next_expiry_at,
    posted_debits = a.posted_debits,
    posted_credits = a.posted_credits,
    pending_debits = a.pending_debits,
    pending_credits = a.pending_credits,
    expired_debits = a.expired_debits,
    expired_credits = a.expired_credits
  from unnest(
    v_accounts.ids, v_accounts.versions, v_accounts.last_created_at, v_accounts.last_effective_at,
    v_accounts.next_expiry_at, v_accounts.posted_debits, v_accounts.posted_credits,
    v_accounts.pending_debits, v_accounts.pending_credits,
    v_accounts.expired_debits, v_accounts.expired_credits
  ) as a (
    id, version, last_created_at, last_effective_at, next_expiry_at, posted_debits, posted_credits,
    pending_debits, pending_credits, expired_debits, expired_credits
  )
  where b.tenant_id = post_batch__write.tenant_id
    and b.account_id = a.id
    and b.version <> a.version;

  if items.has_targets then
    delete from app_private.open_reservations r
    using unnest(items.pending_ids, decision.is_accepted) as i (pending_id, is_accepted)
    where r.tenant_id = post_batch__write.tenant_id
      and r.transaction_id = i.pending_id
      and i.is_accepted;
  end if;
  if items.has_timeouts then
    insert into app_private.open_reservations (
      tenant_id, account_id, expires_at, transaction_id, debits, credits
    )
    select
      post_batch__write.tenant_id, l.account_id,
      decision.created_at[l.item] + make_interval(secs => items.timeouts[l.item]),
      decision.transaction_ids[l.item],
      coalesce(sum(l.pending) filter (where l.direction = 'debit'), 0),
      coalesce(sum(l.pending) filter (where l.direction = 'credit'), 0)
    from unnest(lines.items, lines.account_ids, lines.directions, lines.pending)
      as l (item, account_id, direction, pending)
    where decision.is_accepted[l.item] and items.timeouts[l.item] is not null
    group by l.item, l.account_id;
  end if;
end
$$;
--! EndIncluded engine/post_batch__write.sql
--! Included engine/post_batch__results.sql
/*
 * Step 8: the answer, one result an item: the transaction and the balances that it left, or the refusal.
 * A replayed item answers with the balances that the original left, from its postings. (They do not tell
 * what had expired by then without being released: available counts that as reserved in a replay.)
 */
create or replace function app_private.post_batch__results(
  tenant_id integer,
  lines app_private.batch_lines,
  decision app_private.batch_decision
)
returns app_public.transaction_result[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with written as (
    select distinct on (l.item, l.account_id) l.*
    from unnest(
      lines.items, lines.account_ids, (decision.postings).transaction_ids, (decision.postings).currencies,
      (decision.postings).is_debit_normal, (decision.postings).versions,
      (decision.postings).posted_debits, (decision.postings).posted_credits,
      (decision.postings).pending_debits, (decision.postings).pending_credits,
      (decision.postings).expired_debits, (decision.postings).expired_credits
    ) as l (
      item, account_id, transaction_id, currency, is_debit_normal, version,
      posted_debits, posted_credits, pending_debits, pending_credits, expired_debits, expired_credits
    )
    where l.transaction_id is not null
    order by l.item, l.account_id, l.version desc
  ),
  balance as (
    select
      w.item,
      array_agg(app_private.resulting_balance(
        w.account_id, w.currency, w.is_debit_normal, w.version,
        w.posted_debits, w.posted_credits, w.pending_debits, w.pending_credits,
        w.expired_debits, w.expired_credits
      )) as balances
    from written w
    group by w.item
  )
  select array_agg(
    row(
      case when d.code is null then d.transaction_id end,
      d.is_replayed,
      case
        when d.is_replayed then app_private.resulting_balances_of(tenant_id, d.transaction_id)
        else b.balances
      end,
      case when d.code is not null then app_private.refusal(d.code, d.detail) end
    )::app_public.transaction_result
    order by d.n
  )
  from unnest(decision.transaction_ids, decision.is_replayed, decision.codes, decision.details)
    with ordinality as d (transaction_id, is_replayed, code, detail, n)
  left join balance b on b.item = d.n
$$;
--! EndIncluded engine/post_batch__results.sql
--! Included engine/post_batch__attempt.sql
/*
 * One attempt at a batch: the steps in their order. See post_batch.
 */
create or replace function app_private.post_batch__attempt(
  tenant_id integer,
  created_by uuid,
  items app_public.transaction_input[],
  mode app_public.batch_mode,
  may_expire boolean
)
returns app_public.transaction_result[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_items app_private.batch_items;
  v_lines app_private.batch_lines;
  v_accounts app_private.batch_accounts;
  v_targets app_private.batch_targets;
  v_decision app_private.batch_decision;
  v_at timestamptz;
begin
  v_items := app_private.post_batch__read_items(items, may_expire);
  if v_items.has_references and cardinality(items) > 1 then
    v_items := app_private.post_batch__link_items(v_items);
  end if;
  v_lines := app_private.post_batch__read_lines(tenant_id, items, v_items.has_targets);
  if cardinality(v_lines.items) > 100000 then
    perform app_private.refuse('LG111', jsonb_build_object('postings', cardinality(v_lines.items)));
  end if;
  -- Shared by all batches; closing a period takes it exclusively, so that none slips into it.
  perform pg_advisory_xact_lock_shared(app_private.books_lock(tenant_id));
  v_accounts := app_private.post_batch__lock_accounts(tenant_id, v_lines.ids);
  v_at := clock_timestamp();
  if cardinality(v_accounts.ids) is distinct from cardinality(v_lines.ids) then
    v_lines := app_private.post_batch__forget_unknown(v_lines, v_accounts.ids);
  end if;
  if v_at >= any (v_accounts.next_expiry_at) then
    v_accounts := app_private.post_batch__expire(tenant_id, v_accounts, v_at);
  end if;
  if v_items.has_references then
    v_targets := app_private.post_batch__read_targets(tenant_id, v_items, v_at);
  end if;
  v_decision := app_private.post_batch__decide(tenant_id, v_at, v_items, v_lines, v_accounts, v_targets);

  -- All or nothing: the first refusal is raised, and nothing has been written.
  if mode = 'atomic' then
    for i in 1 .. cardinality(items) loop
      if v_decision.codes[i] is not null then
        perform app_private.refuse(
          v_decision.codes[i],
          -- What an earlier item of this batch would have become is no transaction.
          coalesce(v_decision.details[i], '{}')
            - case when v_targets.replayed_ids[i] is null and v_decision.codes[i] = 'LG501'
              then 'transactionId' else '' end
            || case when cardinality(items) > 1 then jsonb_build_object('item', i - 1) else '{}' end);
      end if;
    end loop;
  end if;

  if true = any (v_decision.is_accepted) then
    perform app_private.post_batch__write(tenant_id, created_by, v_items, v_lines, v_decision);
  end if;
  return app_private.post_batch__results(tenant_id, v_lines, v_decision);
end
$$;
--! EndIncluded engine/post_batch__attempt.sql
--! Included engine/post_batch.sql
/*
 * The one write path: everything that moves money comes through here. See docs/ledger-model.md.
 *
 * Takes a batch, one transaction being a batch of one. Items succeed or are refused one by one
 * (independent), or all together (atomic: the first refusal is raised). The result of a batch is the
 * result of its items one at a time, in order.
 *
 * Steps: check the shape → read the lines → lock all accounts in one ordered statement → look up keys
 * and targets under the lock → decide in memory → write with one statement → answer.
 *
 * Not granted to anyone: the functions of app_public call it once they know the tenant and the caller.
 */
create or replace function app_private.post_batch(
  tenant_id integer,
  created_by uuid,
  items app_public.transaction_input[],
  mode app_public.batch_mode,
  may_expire boolean default false
)
returns app_public.transaction_result[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
-- One plan for every size of batch, by the indexes alone: what the steps look up is always found by key,
-- and a plan made while a table was small must not live on in a session.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
begin
  if coalesce(cardinality(items), 0) not between 1 and 10000 then
    perform app_private.refuse('LG111', jsonb_build_object('transactions', coalesce(cardinality(items), 0)));
  end if;
  -- One transaction without a key has nothing to try again, and is spared the savepoint.
  if cardinality(items) = 1 and (items[1]).idempotency_key is null then
    return app_private.post_batch__attempt(tenant_id, created_by, items, mode, may_expire);
  end if;
  for v_attempt in 1 .. 3 loop
    begin
      return app_private.post_batch__attempt(tenant_id, created_by, items, mode, may_expire);
    exception when unique_violation then
      -- Another batch has taken one of these keys, for other accounts, since we looked it up. It has
      -- committed by now, so the next attempt finds the key taken.
    end;
  end loop;
  perform app_private.refuse('LG502');
end
$$;
--! EndIncluded engine/post_batch.sql
--! Included ledger/post_transaction.sql
/*
 * Post one transaction. A refusal is raised.
 */
create or replace function app_public.post_transaction(transaction app_public.transaction_input)
returns app_public.transaction_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return (app_private.post_batch(
    app_private.required_tenant_id(), app_hidden.current_user_id(), array[transaction], 'atomic'))[1];
end
$$;

grant execute on function app_public.post_transaction(app_public.transaction_input) to
  tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.post_transaction(app_public.transaction_input) is $$
Posts one transaction and answers with the balances that it left. A refusal is an error with a code of
class LG, and nothing is posted then. Give an idempotency key: the same request sent again then answers
with the original result, marked `isReplayed`.
$$;
--! EndIncluded ledger/post_transaction.sql
--! Included ledger/post_transactions.sql
/*
 * Post a batch of transactions.
 */
create or replace function app_public.post_transactions(
  transactions app_public.transaction_input[],
  mode app_public.batch_mode default 'independent'
)
returns app_public.transaction_result[]
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return app_private.post_batch(
    app_private.required_tenant_id(), app_hidden.current_user_id(), transactions,
    coalesce(mode, 'independent'));
end
$$;

grant execute on function app_public.post_transactions(app_public.transaction_input[], app_public.batch_mode) to
  tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.post_transactions(app_public.transaction_input[], app_public.batch_mode) is $$
Posts up to 10,000 transactions in one go, as if one after the other, and answers with one result each,
in order. INDEPENDENT (the default): each is posted or refused by itself, a refusal being part of its
result. ATOMIC: all are posted, or the first refusal is an error, whose detail names the `item`.
$$;
--! EndIncluded ledger/post_transactions.sql
--! Included ledger/post_pending_transaction.sql
/*
 * Post a pending transaction, wholly or in part.
 */
create or replace function app_public.post_pending_transaction(
  pending_id uuid,
  postings app_public.posting_input[] default null,
  idempotency_key text default null,
  effective_at timestamptz default null,
  description text default null,
  metadata jsonb default null
)
returns app_public.transaction_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return (app_private.post_batch(
    app_private.required_tenant_id(), app_hidden.current_user_id(),
    array[row(
      'post_pending', postings, idempotency_key, effective_at, null, pending_id, null,
      description, metadata, null
    )::app_public.transaction_input],
    'atomic'))[1];
end
$$;

grant execute on function app_public.post_pending_transaction(
  uuid, app_public.posting_input[], text, timestamptz, text, jsonb
) to tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.post_pending_transaction(
  uuid, app_public.posting_input[], text, timestamptz, text, jsonb
) is $$
Posts a pending transaction. Without `postings` the whole of it; with them a part: each names a posting of
the pending transaction by account and direction, with the amount to post, at most what it reserved. What
is not posted is released.
$$;
--! EndIncluded ledger/post_pending_transaction.sql
--! Included ledger/void_pending_transaction.sql
/*
 * Void a pending transaction: release all that it reserved.
 */
create or replace function app_public.void_pending_transaction(
  pending_id uuid,
  idempotency_key text default null,
  description text default null,
  metadata jsonb default null
)
returns app_public.transaction_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return (app_private.post_batch(
    app_private.required_tenant_id(), app_hidden.current_user_id(),
    array[row(
      'void_pending', null, idempotency_key, null, null, pending_id, null, description, metadata, null
    )::app_public.transaction_input],
    'atomic'))[1];
end
$$;

grant execute on function app_public.void_pending_transaction(uuid, text, text, jsonb) to
  tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.void_pending_transaction(uuid, text, text, jsonb) is $$
Voids a pending transaction: all that it reserved is released, nothing is posted.
$$;
--! EndIncluded ledger/void_pending_transaction.sql
--! Included ledger/reverse_transaction.sql
/*
 * Reverse a posted transaction: a new one with the directions swapped.
 */
create or replace function app_public.reverse_transaction(
  transaction_id uuid,
  idempotency_key text default null,
  effective_at timestamptz default null,
  description text default null,
  metadata jsonb default null
)
returns app_public.transaction_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return (app_private.post_batch(
    app_private.required_tenant_id(), app_hidden.current_user_id(),
    array[row(
      'posted', null, idempotency_key, effective_at, null, null, transaction_id,
      description, metadata, null
    )::app_public.transaction_input],
    'atomic'))[1];
end
$$;

grant execute on function app_public.reverse_transaction(uuid, text, timestamptz, text, jsonb) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.reverse_transaction(uuid, text, timestamptz, text, jsonb) is $$
Reverses a posted transaction: a new transaction with the directions swapped, linked to the original. At
most once for each original. Effective now, unless `effectiveAt` says otherwise.
$$;
--! EndIncluded ledger/reverse_transaction.sql
--! Included currencies/iso_currencies.sql
/*
 * ISO 4217 as of 2026: the codes in use (list one), with the decimals of their major unit. A tenant takes
 * one up by opening an account in it.
 *
 * Left out are the codes for which the standard gives no minor unit: precious metals (XAU, XAG, XPD, XPT),
 * XDR and the other units of account, XTS and XXX. The exponent of a currency never changes, so nobody
 * should get one by chance: whoever wants gold creates XAU with the exponent that fits.
 */
insert into app_public.iso_currencies (code, exponent, name) values
  ('AED', 2, 'United Arab Emirates Dirham'),
  ('AFN', 2, 'Afghani'),
  ('ALL', 2, 'Lek'),
  ('AMD', 2, 'Armenian Dram'),
  ('AOA', 2, 'Kwanza'),
  ('ARS', 2, 'Argentine Peso'),
  ('AUD', 2, 'Australian Dollar'),
  ('AWG', 2, 'Aruban Florin'),
  ('AZN', 2, 'Azerbaijan Manat'),
  ('BAM', 2, 'Convertible Mark'),
  ('BBD', 2, 'Barbados Dollar'),
  ('BDT', 2, 'Taka'),
  ('BHD', 3, 'Bahraini Dinar'),
  ('BIF', 0, 'Burundi Franc'),
  ('BMD', 2, 'Bermudian Dollar'),
  ('BND', 2, 'Brunei Dollar'),
  ('BOB', 2, 'Boliviano'),
  ('BOV', 2, 'Mvdol'),
  ('BRL', 2, 'Brazilian Real'),
  ('BSD', 2, 'Bahamian Dollar'),
  ('BTN', 2, 'Ngultrum'),
  ('BWP', 2, 'Pula'),
  ('BYN', 2, 'Belarusian Ruble'),
  ('BZD', 2, 'Belize Dollar'),
  ('CAD', 2, 'Canadian Dollar'),
  ('CDF', 2, 'Congolese Franc'),
  ('CHE', 2, 'WIR Euro'),
  ('CHF', 2, 'Swiss Franc'),
  ('CHW', 2, 'WIR Franc'),
  ('CLF', 4, 'Unidad de Fomento'),
  ('CLP', 0, 'Chilean Peso'),
  ('CNY', 2, 'Yuan Renminbi'),
  ('COP', 2, 'Colombian Peso'),
  ('COU', 2, 'Unidad de Valor Real'),
  ('CRC', 2, 'Costa Rican Colon'),
  ('CUP', 2, 'Cuban Peso'),
  ('CVE', 2, 'Cabo Verde Escudo'),
  ('CZK', 2, 'Czech Koruna'),
  ('DJF', 0, 'Djibouti Franc'),
  ('DKK', 2, 'Danish Krone'),
  ('DOP', 2, 'Dominican Peso'),
  ('DZD', 2, 'Algerian Dinar'),
  ('EGP', 2, 'Egyptian Pound'),
  ('ERN', 2, 'Nakfa'),
  ('ETB', 2, 'Ethiopian Birr'),
  ('EUR', 2, 'Euro'),
  ('FJD', 2, 'Fiji Dollar'),
  ('FKP', 2, 'Falkland Islands Pound'),
  ('GBP', 2, 'Pound Sterling'),
  ('GEL', 2, 'Lari'),
  ('GHS', 2, 'Ghana Cedi'),
  ('GIP', 2, 'Gibraltar Pound'),
  ('GMD', 2, 'Dalasi'),
  ('GNF', 0, 'Guinean Franc'),
  ('GTQ', 2, 'Quetzal'),
  ('GYD', 2, 'Guyana Dollar'),
  ('HKD', 2, 'Hong Kong Dollar'),
  ('HNL', 2, 'Lempira'),
  ('HTG', 2, 'Gourde'),
  ('HUF', 2, 'Forint'),
  ('IDR', 2, 'Rupiah'),
  ('ILS', 2, 'New Israeli Sheqel'),
  ('INR', 2, 'Indian Rupee'),
  ('IQD', 3, 'Iraqi Dinar'),
  ('IRR', 2, 'Iranian Rial'),
  ('ISK', 0, 'Iceland Krona'),
  ('JMD', 2, 'Jamaican Dollar'),
  ('JOD', 3, 'Jordanian Dinar'),
  ('JPY', 0, 'Yen'),
  ('KES', 2, 'Kenyan Shilling'),
  ('KGS', 2, 'Som'),
  ('KHR', 2, 'Riel'),
  ('KMF', 0, 'Comorian Franc'),
  ('KPW', 2, 'North Korean Won'),
  ('KRW', 0, 'Won'),
  ('KWD', 3, 'Kuwaiti Dinar'),
  ('KYD', 2, 'Cayman Islands Dollar'),
  ('KZT', 2, 'Tenge'),
  ('LAK', 2, 'Lao Kip'),
  ('LBP', 2, 'Lebanese Pound'),
  ('LKR', 2, 'Sri Lanka Rupee'),
  ('LRD', 2, 'Liberian Dollar'),
  ('LSL', 2, 'Loti'),
  ('LYD', 3, 'Libyan Dinar'),
  ('MAD', 2, 'Moroccan Dirham'),
  ('MDL', 2, 'Moldovan Leu'),
  ('MGA', 2, 'Malagasy Ariary'),
  ('MKD', 2, 'Denar'),
  ('MMK', 2, 'Kyat'),
  ('MNT', 2, 'Tugrik'),
  ('MOP', 2, 'Pataca'),
  ('MRU', 2, 'Ouguiya'),
  ('MUR', 2, 'Mauritius Rupee'),
  ('MVR', 2, 'Rufiyaa'),
  ('MWK', 2, 'Malawi Kwacha'),
  ('MXN', 2, 'Mexican Peso'),
  ('MXV', 2, 'Mexican Unidad de Inversion (UDI)'),
  ('MYR', 2, 'Malaysian Ringgit'),
  ('MZN', 2, 'Mozambique Metical'),
  ('NAD', 2, 'Namibia Dollar'),
  ('NGN', 2, 'Naira'),
  ('NIO', 2, 'Cordoba Oro'),
  ('NOK', 2, 'Norwegian Krone'),
  ('NPR', 2, 'Nepalese Rupee'),
  ('NZD', 2, 'New Zealand Dollar'),
  ('OMR', 3, 'Rial Omani'),
  ('PAB', 2, 'Balboa'),
  ('PEN', 2, 'Sol'),
  ('PGK', 2, 'Kina'),
  ('PHP', 2, 'Philippine Peso'),
  ('PKR', 2, 'Pakistan Rupee'),
  ('PLN', 2, 'Zloty'),
  ('PYG', 0, 'Guarani'),
  ('QAR', 2, 'Qatari Rial'),
  ('RON', 2, 'Romanian Leu'),
  ('RSD', 2, 'Serbian Dinar'),
  ('RUB', 2, 'Russian Ruble'),
  ('RWF', 0, 'Rwanda Franc'),
  ('SAR', 2, 'Saudi Riyal'),
  ('SBD', 2, 'Solomon Islands Dollar'),
  ('SCR', 2, 'Seychelles Rupee'),
  ('SDG', 2, 'Sudanese Pound'),
  ('SEK', 2, 'Swedish Krona'),
  ('SGD', 2, 'Singapore Dollar'),
  ('SHP', 2, 'Saint Helena Pound'),
  ('SLE', 2, 'Leone'),
  ('SOS', 2, 'Somali Shilling'),
  ('SRD', 2, 'Surinam Dollar'),
  ('SSP', 2, 'South Sudanese Pound'),
  ('STN', 2, 'Dobra'),
  ('SVC', 2, 'El Salvador Colon'),
  ('SYP', 2, 'Syrian Pound'),
  ('SZL', 2, 'Lilangeni'),
  ('THB', 2, 'Baht'),
  ('TJS', 2, 'Somoni'),
  ('TMT', 2, 'Turkmenistan New Manat'),
  ('TND', 3, 'Tunisian Dinar'),
  ('TOP', 2, 'Pa’anga'),
  ('TRY', 2, 'Turkish Lira'),
  ('TTD', 2, 'Trinidad and Tobago Dollar'),
  ('TWD', 2, 'New Taiwan Dollar'),
  ('TZS', 2, 'Tanzanian Shilling'),
  ('UAH', 2, 'Hryvnia'),
  ('UGX', 0, 'Uganda Shilling'),
  ('USD', 2, 'US Dollar'),
  ('USN', 2, 'US Dollar (Next day)'),
  ('UYI', 0, 'Uruguay Peso en Unidades Indexadas (UI)'),
  ('UYU', 2, 'Peso Uruguayo'),
  ('UYW', 4, 'Unidad Previsional'),
  ('UZS', 2, 'Uzbekistan Sum'),
  ('VED', 2, 'Bolívar Soberano (digital)'),
  ('VES', 2, 'Bolívar Soberano'),
  ('VND', 0, 'Dong'),
  ('VUV', 0, 'Vatu'),
  ('WST', 2, 'Tala'),
  ('XAD', 2, 'Arab Accounting Dinar'),
  ('XAF', 0, 'CFA Franc BEAC'),
  ('XCD', 2, 'East Caribbean Dollar'),
  ('XCG', 2, 'Caribbean Guilder'),
  ('XOF', 0, 'CFA Franc BCEAO'),
  ('XPF', 0, 'CFP Franc'),
  ('YER', 2, 'Yemeni Rial'),
  ('ZAR', 2, 'Rand'),
  ('ZMW', 2, 'Zambian Kwacha'),
  ('ZWG', 2, 'Zimbabwe Gold')
on conflict (code) do update set
  exponent = excluded.exponent,
  name = excluded.name;
--! EndIncluded currencies/iso_currencies.sql
--! Included access/current_user_account_ids.sql
/*
 * The accounts of the user who asks. Policies call it as (select …), once a query.
 */
create or replace function app_hidden.current_user_account_ids()
returns uuid[]
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(a.id), '{}')
  from app_public.accounts a
  where a.tenant_id = app_hidden.current_tenant_id() and a.owner_id = app_hidden.current_user_id()
$$;

grant execute on function app_hidden.current_user_account_ids() to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded access/current_user_account_ids.sql
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
--! Included access/everyone.sql
/*
 * What is the same for all tenants, and no secret: anyone may read it, signed in or not.
 */
drop policy if exists select_everyone on app_public.refusals;
create policy select_everyone on app_public.refusals for select to
  tallystick_anonymous, tallystick_customer, tallystick_teller,
  tallystick_accountant, tallystick_auditor, tallystick_admin
  using (true);

grant select on app_public.refusals to
  tallystick_anonymous, tallystick_customer, tallystick_teller,
  tallystick_accountant, tallystick_auditor, tallystick_admin;

drop policy if exists select_everyone on app_public.iso_currencies;
create policy select_everyone on app_public.iso_currencies for select to
  tallystick_anonymous, tallystick_customer, tallystick_teller,
  tallystick_accountant, tallystick_auditor, tallystick_admin
  using (true);

grant select on app_public.iso_currencies to
  tallystick_anonymous, tallystick_customer, tallystick_teller,
  tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded access/everyone.sql
--! Included access/tenant.sql
/*
 * Everyone who is signed in sees their own tenant and its currencies, without which an amount cannot be
 * read. Accounting periods are the staff's.
 * The context is called as (select …), so that it is read once a query and can be an index condition.
 */
drop policy if exists select_own_tenant on app_public.tenants;
create policy select_own_tenant on app_public.tenants for select to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (id = (select app_hidden.current_tenant_id()));

grant select on app_public.tenants to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

drop policy if exists select_own_tenant on app_public.currencies;
create policy select_own_tenant on app_public.currencies for select to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_public.currencies to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

drop policy if exists select_staff on app_public.accounting_periods;
create policy select_staff on app_public.accounting_periods for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_public.accounting_periods to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded access/tenant.sql
--! Included access/ledger.sql
/*
 * Who reads the ledger: staff all of their tenant's, a customer the accounts that they own and what
 * happened on them. Nobody but the owner's functions writes, so there is no other grant and no policy
 * for writing.
 *
 * The accounts of a customer are read once a query, as an array, and are an index condition of the rest.
 */
drop policy if exists select_staff on app_public.accounts;
create policy select_staff on app_public.accounts for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

drop policy if exists select_customer on app_public.accounts;
create policy select_customer on app_public.accounts for select to tallystick_customer
  using (
    tenant_id = (select app_hidden.current_tenant_id())
    and owner_id = (select app_hidden.current_user_id())
  );

grant select on app_public.accounts to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

drop policy if exists select_staff on app_public.account_balances;
create policy select_staff on app_public.account_balances for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

drop policy if exists select_customer on app_public.account_balances;
create policy select_customer on app_public.account_balances for select to tallystick_customer
  using (
    tenant_id = (select app_hidden.current_tenant_id())
    and account_id = any ((select app_hidden.current_user_account_ids())::uuid[])
  );

grant select on app_public.account_balances to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

drop policy if exists select_staff on app_public.postings;
create policy select_staff on app_public.postings for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

drop policy if exists select_customer on app_public.postings;
create policy select_customer on app_public.postings for select to tallystick_customer
  using (
    tenant_id = (select app_hidden.current_tenant_id())
    and account_id = any ((select app_hidden.current_user_account_ids())::uuid[])
  );

grant select on app_public.postings to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

drop policy if exists select_staff on app_public.transactions;
create policy select_staff on app_public.transactions for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

-- The postings in the subquery are those that the customer may see: their policy holds in here too.
drop policy if exists select_customer on app_public.transactions;
create policy select_customer on app_public.transactions for select to tallystick_customer
  using (
    tenant_id = (select app_hidden.current_tenant_id())
    and exists (
      select
      from app_public.postings p
      where p.tenant_id = (select app_hidden.current_tenant_id()) and p.transaction_id = transactions.id
    )
  );

grant select on app_public.transactions to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded access/ledger.sql
--! Included errors/refusal_catalog.sql
/*
 * All refusals, for the server to read when it starts: errors that do not come from a function of the
 * ledger (a bad token, a page too large) are answered in the same words.
 */
create or replace function app_hidden.refusal_catalog()
returns setof app_public.refusals
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select r.code, r.name, r.message, r.hint, r.is_retryable
  from app_public.refusals r
  order by r.code
$$;

grant execute on function app_hidden.refusal_catalog() to tallystick_anonymous;
--! EndIncluded errors/refusal_catalog.sql
--! Included accounts/format_amount.sql
/*
 * Minor units as a decimal at an exponent: 1234 at 2 is 12.34, -5 at 2 is -0.05, 7 at 0 is 7.
 * Multiplied, because a product of numerics is exact; a quotient is cut off at some 16 digits.
 */
create or replace function app_hidden.format_amount(amount numeric, exponent integer)
returns text
language sql
immutable
parallel safe
as $$
  select (amount * ('1e-' || exponent)::numeric)::text
$$;

/*
 * The same at the exponent of a currency of the tenant. Null where the caller sees no such currency.
 */
create or replace function app_hidden.format_amount_of(amount numeric, currency text)
returns text
language sql
stable
parallel safe
as $$
  select app_hidden.format_amount(amount, c.exponent)
  from app_public.currencies c
  where c.tenant_id = (select app_hidden.current_tenant_id()) and c.code = currency
$$;

grant execute on function
  app_hidden.format_amount(numeric, integer), app_hidden.format_amount_of(numeric, text)
to tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_worker;
--! EndIncluded accounts/format_amount.sql
--! Included accounts/account.sql
/*
 * One account of the tenant, by id. The tenant is never an argument: it comes from the token.
 * Security invoker: row level security decides what the caller may see; nothing found is null.
 */
create or replace function app_public.account(id uuid)
returns app_public.accounts
language sql
stable
as $$
  select a.*
  from app_public.accounts a
  where a.tenant_id = (select app_hidden.current_tenant_id()) and a.id = account.id
$$;

grant execute on function app_public.account(uuid) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.account(uuid) is $$
The account with this id, or null where there is none that the caller may see.
$$;

/*
 * The same by code. A code names one account a currency.
 */
create or replace function app_public.account_by_code(code text, currency text)
returns app_public.accounts
language sql
stable
as $$
  select a.*
  from app_public.accounts a
  where a.tenant_id = (select app_hidden.current_tenant_id())
    and a.code = account_by_code.code
    and a.currency = account_by_code.currency
$$;

grant execute on function app_public.account_by_code(text, text) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.account_by_code(text, text) is $$
The account with this code in this currency, or null where there is none that the caller may see.
$$;
--! EndIncluded accounts/account.sql
--! Included accounts/currency.sql
/*
 * One currency of the tenant, by code.
 */
create or replace function app_public.currency(code text)
returns app_public.currencies
language sql
stable
as $$
  select c.*
  from app_public.currencies c
  where c.tenant_id = (select app_hidden.current_tenant_id()) and c.code = currency.code
$$;

grant execute on function app_public.currency(text) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.currency(text) is $$
The currency with this code, or null if the books have none.
$$;
--! EndIncluded accounts/currency.sql
--! Included accounts/current_tenant.sql
/*
 * Whose books the caller is looking at.
 */
create or replace function app_public.current_tenant()
returns app_public.tenants
language sql
stable
as $$
  select t.*
  from app_public.tenants t
  where t.id = (select app_hidden.current_tenant_id())
$$;

grant execute on function app_public.current_tenant() to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.current_tenant() is $$
The owner of the books that the token opens.
$$;
--! EndIncluded accounts/current_tenant.sql
--! Included accounts/accounts_limits_formatted.sql
/*
 * The limits of an account as decimals. Every amount that people read has such a field beside it:
 * the name of the amount and "Formatted".
 */
create or replace function app_public.accounts_minimum_balance_formatted(account app_public.accounts)
returns text
language sql
stable
as $$
  select app_hidden.format_amount_of(account.minimum_balance, account.currency)
$$;

create or replace function app_public.accounts_maximum_balance_formatted(account app_public.accounts)
returns text
language sql
stable
as $$
  select app_hidden.format_amount_of(account.maximum_balance, account.currency)
$$;

grant execute on function
  app_public.accounts_minimum_balance_formatted(app_public.accounts),
  app_public.accounts_maximum_balance_formatted(app_public.accounts)
to tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.accounts_minimum_balance_formatted(app_public.accounts) is $$
The minimum balance as a decimal at the exponent of the currency, such as "12.34".
$$;
comment on function app_public.accounts_maximum_balance_formatted(app_public.accounts) is $$
The maximum balance as a decimal at the exponent of the currency, such as "12.34".
$$;
--! EndIncluded accounts/accounts_limits_formatted.sql
--! Included ledger/transaction.sql
/*
 * One transaction of the tenant, by id.
 */
create or replace function app_public.transaction(id uuid)
returns app_public.transactions
language sql
stable
as $$
  select t.*
  from app_public.transactions t
  where t.tenant_id = (select app_hidden.current_tenant_id()) and t.id = transaction.id
$$;

grant execute on function app_public.transaction(uuid) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.transaction(uuid) is $$
The transaction with this id, or null where there is none that the caller may see.
$$;

/*
 * The same by idempotency key: what a caller asks whose answer got lost.
 */
create or replace function app_public.transaction_by_idempotency_key(key text)
returns app_public.transactions
language sql
stable
as $$
  select t.*
  from app_public.transactions t
  where t.tenant_id = (select app_hidden.current_tenant_id()) and t.idempotency_key = key
$$;

grant execute on function app_public.transaction_by_idempotency_key(text) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.transaction_by_idempotency_key(text) is $$
The transaction that took effect under this idempotency key, or null where there is none that the caller
may see.
$$;
--! EndIncluded ledger/transaction.sql
--! Included ledger/transactions_status.sql
/*
 * What has become of a transaction. A pending one that nobody resolved in time is expired from that
 * instant on, before the job that releases it has run.
 */
create or replace function app_public.transactions_status(transaction app_public.transactions)
returns app_public.transaction_status
language sql
stable
as $$
  select case coalesce(
    (
      select r.kind
      from app_public.transactions r
      where r.tenant_id = transaction.tenant_id
        and r.pending_id = transaction.id
        and transaction.kind = 'pending'
    ),
    transaction.kind
  )
    when 'pending' then
      case when transaction.expires_at <= clock_timestamp() then 'expired' else 'pending' end
    when 'void_pending' then 'voided'
    when 'expire_pending' then 'expired'
    else 'posted'
  end::app_public.transaction_status
$$;

grant execute on function app_public.transactions_status(app_public.transactions) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.transactions_status(app_public.transactions) is $$
What has become of the transaction: a pending one is PENDING until it is posted, voided or its time has
passed. A transaction that posts or voids an earlier one is POSTED or VOIDED itself.
$$;
--! EndIncluded ledger/transactions_status.sql
--! Included ledger/postings_amount.sql
/*
 * The amount of a posting, as people speak of it: what it posted, or else what it reserved or released.
 */
create or replace function app_public.postings_amount(posting app_public.postings)
returns app_public.amount
language sql
stable
as $$
  select case
    when posting.posted_amount > 0 then posting.posted_amount
    else abs(posting.pending_amount)
  end::app_public.amount
$$;

create or replace function app_public.postings_amount_formatted(posting app_public.postings)
returns text
language sql
stable
as $$
  select app_hidden.format_amount_of(
    case
      when posting.posted_amount > 0 then posting.posted_amount
      else abs(posting.pending_amount)
    end,
    posting.currency
  )
$$;

grant execute on function
  app_public.postings_amount(app_public.postings),
  app_public.postings_amount_formatted(app_public.postings)
to tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.postings_amount(app_public.postings) is $$
The amount in minor units: what the posting posted, or else what it reserved or released.
$$;
comment on function app_public.postings_amount_formatted(app_public.postings) is $$
The amount as a decimal at the exponent of the currency, such as "12.34".
$$;
--! EndIncluded ledger/postings_amount.sql
--! Included ledger/resulting_balance_formatted.sql
/*
 * The balances that a posting left, as decimals.
 */
create or replace function app_public.resulting_balance_posted_formatted(balance app_public.resulting_balance)
returns text
language sql
stable
as $$
  select app_hidden.format_amount_of(balance.posted, balance.currency)
$$;

create or replace function app_public.resulting_balance_pending_formatted(balance app_public.resulting_balance)
returns text
language sql
stable
as $$
  select app_hidden.format_amount_of(balance.pending, balance.currency)
$$;

create or replace function app_public.resulting_balance_available_formatted(
  balance app_public.resulting_balance
)
returns text
language sql
stable
as $$
  select app_hidden.format_amount_of(balance.available, balance.currency)
$$;

grant execute on function
  app_public.resulting_balance_posted_formatted(app_public.resulting_balance),
  app_public.resulting_balance_pending_formatted(app_public.resulting_balance),
  app_public.resulting_balance_available_formatted(app_public.resulting_balance)
to tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.resulting_balance_posted_formatted(app_public.resulting_balance) is $$
The posted balance as a decimal at the exponent of the currency, such as "12.34".
$$;
comment on function app_public.resulting_balance_pending_formatted(app_public.resulting_balance) is $$
The pending balance as a decimal at the exponent of the currency, such as "12.34".
$$;
comment on function app_public.resulting_balance_available_formatted(app_public.resulting_balance) is $$
The available balance as a decimal at the exponent of the currency, such as "12.34".
$$;
--! EndIncluded ledger/resulting_balance_formatted.sql
--! Included errors/comments.sql
comment on table app_public.refusals is $$
@name refusal_kinds
@behavior +query:resource:connection

A refusal that the ledger can answer with. Errors carry its code, name and hint in their `extensions`.
$$;
comment on column app_public.refusals.code is $$
@behavior +attribute:filterBy +attribute:orderBy

LG and three digits. The first tells the group: 1 shape, 2 balance, 3 state, 4 access, 5 idempotency. A code
never changes its meaning.
$$;
comment on column app_public.refusals.name is 'The same as a word.';
comment on column app_public.refusals.message is 'What is wrong, as a sentence.';
comment on column app_public.refusals.hint is 'What to do about it.';
comment on column app_public.refusals.is_retryable is
  'Whether the same request may succeed if it is sent again.';
--! EndIncluded errors/comments.sql
--! Included accounts/comments.sql
/*
 * What GraphQL says about tenants, currencies and accounts. A comment is the description of its type or
 * field; lines that start with @ are read by PostGraphile: what is exposed, and under which name.
 * Filters and orders are on indexed columns only. Amounts are in minor units: each says so.
 */
comment on schema app_public is 'What GraphQL exposes.';
comment on schema app_hidden is 'The same rights as app_public, but not exposed.';
comment on schema app_private is 'Reached only through security definer functions.';
comment on schema checks is 'Views whose rows are violations of an invariant of the ledger.';

comment on domain app_public.amount is $$
An amount of money in minor units (cents, satoshi, wei): a string of digits, with a minus sign in front if
it is negative. 12.34 USD is "1234". As input a JSON number is taken too, if it is a whole number that JSON
holds exactly; anything else is refused with LG101.
$$;
comment on type app_public.direction is 'The side of a posting.';
comment on type app_public.account_type is
  'What an account stands for in the balance sheet or income statement.';
comment on type app_public.account_status is 'Whether an account takes postings.';

comment on table app_public.tenants is $$
The owner of a set of books. Nothing crosses from one to another.
$$;
comment on column app_public.tenants.id is '@behavior -*';
comment on column app_public.tenants.slug is 'The short name that is unique in this installation.';
comment on column app_public.tenants.name is 'The name for people.';
comment on column app_public.tenants.created_at is 'When the books were opened.';

comment on table app_public.iso_currencies is $$
@behavior +query:resource:connection

A currency of ISO 4217, ready to be taken up: opening an account in it does that.
$$;
comment on column app_public.iso_currencies.code is 'The three letters of ISO 4217.';
comment on column app_public.iso_currencies.name is 'The name for people.';
comment on column app_public.iso_currencies.exponent is 'How many decimals the major unit has.';

comment on table app_public.currencies is $$
@behavior +query:resource:connection +type:node

A unit of account of these books: one of ISO 4217 or one of their own.
$$;
comment on column app_public.currencies.code is $$
@behavior +attribute:filterBy +attribute:orderBy

The code, such as USD, BTC or POINTS.
$$;
comment on column app_public.currencies.exponent is $$
How many decimals the major unit has: USD 2, JPY 0, BTC 8. An amount of minor units divided by ten to the
power of the exponent is the amount in major units. Never changes.
$$;
comment on column app_public.currencies.name is 'The name for people.';
comment on column app_public.currencies.created_at is 'When these books took the currency up.';

comment on table app_public.accounts is $$
@behavior +query:resource:connection +type:node

A bucket of exactly one currency. Its balances follow from its postings; nothing else changes them.
$$;
comment on column app_public.accounts.id is $$
@behavior +attribute:orderBy

The id, a UUID of version 7: ids sort in the order in which the accounts were opened.
$$;
comment on column app_public.accounts.code is $$
@behavior +attribute:filterBy +attribute:orderBy

The code in the chart of accounts, unique in each currency.
$$;
comment on column app_public.accounts.currency is $$
@behavior +attribute:filterBy

The code of the currency. Never changes.
$$;
comment on column app_public.accounts.name is 'The name for people.';
comment on column app_public.accounts.type is $$
@behavior +attribute:filterBy

What the account stands for. Never changes.
$$;
comment on column app_public.accounts.normal_balance is $$
The side that makes the balance larger: debit for assets and expenses, credit for the others, and the
opposite for a contra account. Never changes.
$$;
comment on column app_public.accounts.status is 'Whether the account takes postings.';
comment on column app_public.accounts.closed_at is 'When the account was closed; null until then.';
comment on column app_public.accounts.minimum_balance is $$
The lowest available balance that a transaction may leave, in minor units. Pending amounts count. Null means
no limit.
$$;
comment on column app_public.accounts.maximum_balance is $$
The highest balance that a transaction may leave, in minor units. Pending amounts count. Null means no limit.
$$;
comment on column app_public.accounts.parent_id is $$
@behavior +attribute:filterBy

The id of the account that this one is part of in the chart of accounts.
$$;
comment on column app_public.accounts.owner_id is $$
@behavior +attribute:filterBy

The user whose account this is. A customer sees their own accounts only.
$$;
comment on column app_public.accounts.metadata is
  'Facts of the caller''s own, a JSON object of at most 16 KB.';
comment on column app_public.accounts.created_at is 'When the account was opened.';
comment on column app_public.accounts.updated_at is 'When its name, status, limits or metadata last changed.';
comment on constraint accounts_currency_fkey on app_public.accounts is $$
@fieldName currency
@foreignFieldName accounts
@forwardDescription The currency of the account.
@backwardDescription The accounts in this currency.
$$;
comment on constraint accounts_parent_id_fkey on app_public.accounts is $$
@fieldName parent
@foreignFieldName children
@forwardDescription The account that this one is part of in the chart of accounts.
@backwardDescription The accounts that are part of this one in the chart of accounts.
$$;

-- The balances of an account are shown by functions: what has expired must be left out at that instant.
comment on table app_public.account_balances is $$
@behavior -*

The counters of each account, as its last posting left them.
$$;

comment on table app_public.accounting_periods is $$
@behavior +query:resource:connection +type:node

A span of time of the books. Once it is closed, no posting takes effect in it.
$$;
comment on column app_public.accounting_periods.id is $$
@behavior +attribute:orderBy

The id, a UUID.
$$;
comment on column app_public.accounting_periods.name is $$
@behavior +attribute:filterBy +attribute:orderBy

The name for people, such as 2026-Q1.
$$;
comment on column app_public.accounting_periods.during is 'From the start, inclusive, to the end, exclusive.';
comment on column app_public.accounting_periods.closed_at is 'When it was closed; null while it is open.';
comment on column app_public.accounting_periods.closed_by is 'The user who closed it.';
comment on column app_public.accounting_periods.created_at is 'When it was made.';
--! EndIncluded accounts/comments.sql
--! Included ledger/comments.sql
/*
 * What GraphQL says about transactions and postings, and about what callers send and get back.
 * See accounts/comments.sql for how it is read.
 */
comment on type app_public.transaction_kind is 'What a transaction does.';
comment on type app_public.transaction_status is 'What has become of a transaction.';
comment on type app_public.batch_mode is
  'Whether the transactions of a batch succeed or fail one by one or together.';

comment on table app_public.transactions is $$
@behavior +query:resource:connection +type:node
@unique tenant_id,pending_id
@unique tenant_id,reverses_id

An event that moves money: two postings or more whose debits equal their credits in each currency. It never
changes; what happens to it later is another transaction.
$$;
comment on column app_public.transactions.id is $$
@behavior +attribute:filterBy +attribute:orderBy

The id, a UUID of version 7: ids sort in the order in which the transactions were recorded.
$$;
comment on column app_public.transactions.kind is 'What the transaction does.';
comment on column app_public.transactions.xact_id is '@behavior -*';
comment on column app_public.transactions.created_at is 'When the ledger recorded it.';
comment on column app_public.transactions.effective_at is $$
@behavior +attribute:filterBy

When it happened in business terms; the caller may backdate it.
$$;
comment on column app_public.transactions.expires_at is $$
When a pending transaction stops reserving, unless it has been posted or voided. Null means never.
$$;
comment on column app_public.transactions.pending_id is $$
@behavior +attribute:filterBy

The id of the pending transaction that this one posts, voids or expires.
$$;
comment on column app_public.transactions.reverses_id is $$
@behavior +attribute:filterBy

The id of the transaction that this one reverses.
$$;
comment on column app_public.transactions.created_by is 'The user who posted it.';
comment on column app_public.transactions.idempotency_key is $$
@behavior +attribute:filterBy

The retry token of the caller. It takes effect at most once.
$$;
comment on column app_public.transactions.fingerprint is '@behavior -*';
comment on column app_public.transactions.description is 'What it is for, in words.';
comment on column app_public.transactions.metadata is
  'Facts of the caller''s own, a JSON object of at most 16 KB.';
comment on constraint transactions_pending_id_fkey on app_public.transactions is $$
@fieldName pending
@foreignSingleFieldName resolvedBy
@forwardDescription The pending transaction that this one posts, voids or expires.
@backwardDescription The transaction that posted, voided or expired this pending one.
$$;
comment on constraint transactions_reverses_id_fkey on app_public.transactions is $$
@fieldName reverses
@foreignSingleFieldName reversedBy
@forwardDescription The transaction that this one reverses.
@backwardDescription The transaction that reversed this one.
$$;

-- Statement triggers stand in for these foreign keys (see tg_postings__check), so they are told here.
comment on table app_public.postings is
  E'@behavior +query:resource:connection +type:node +resource:aggregates +resource:groupedAggregates\n'
  '@foreignKey (tenant_id, transaction_id) references app_public.transactions (tenant_id, id)'
  '|@fieldName transaction|@foreignFieldName postings'
  '|@forwardDescription The transaction that this posting is part of.'
  '|@backwardDescription The postings of the transaction.\n'
  '@foreignKey (tenant_id, account_id) references app_public.accounts (tenant_id, id)'
  '|@fieldName account|@foreignFieldName postings'
  '|@forwardDescription The account that this posting is on.'
  '|@backwardDescription The postings of the account, in the order in which they were recorded.\n'
  '@foreignKey (tenant_id, currency) references app_public.currencies (tenant_id, code)'
  '|@fieldName currency|@foreignFieldName postings|@backwardBehavior -*'
  '|@forwardDescription The currency of the posting.\n\n'
  'One debit or credit of a transaction on one account. It never changes.';
comment on column app_public.postings.direction is $$
@behavior +attribute:groupBy +attribute:orderBy
@groupOnly

The side: debit or credit.
$$;
comment on column app_public.postings.version is $$
@behavior +attribute:filterBy +attribute:orderBy

The number of the posting on its account: 1, 2, 3 and so on without a gap.
$$;
comment on column app_public.postings.effective_at is $$
@behavior +attribute:filterBy +attribute:groupBy +attribute:orderBy
@groupOnly

When it happened in business terms.
$$;
comment on column app_public.postings.created_at is $$
When the ledger recorded it; rises from posting to posting of an account.
$$;
comment on column app_public.postings.transaction_id is $$
@behavior +attribute:filterBy

The id of the transaction.
$$;
comment on column app_public.postings.account_id is $$
@behavior +attribute:filterBy +attribute:groupBy +attribute:orderBy
@groupOnly

The id of the account.
$$;
comment on column app_public.postings.ordinal is
  'The place of the posting in its transaction: 1, 2, 3 and so on.';
comment on column app_public.postings.currency is $$
@behavior +attribute:groupBy +attribute:orderBy
@groupOnly

The code of the currency: that of the account.
$$;
comment on column app_public.postings.posted_amount is $$
@behavior +sum:attribute:aggregate

What it added to the posted balance of its side, in minor units.
$$;
comment on column app_public.postings.pending_amount is $$
@behavior +sum:attribute:aggregate

What it added to the pending amount of its side, in minor units: above zero where it reserves, below zero
where it releases.
$$;
comment on column app_public.postings.posted_debits is
  'All posted debits of the account after this posting, in minor units.';
comment on column app_public.postings.posted_credits is
  'All posted credits of the account after this posting, in minor units.';
comment on column app_public.postings.pending_debits is
  'All pending debits of the account after this posting, in minor units.';
comment on column app_public.postings.pending_credits is
  'All pending credits of the account after this posting, in minor units.';

comment on type app_public.posting_input is 'One debit or credit of a transaction to be posted.';
comment on column app_public.posting_input.account_id is 'The id of the account.';
comment on column app_public.posting_input.direction is 'The side: debit or credit.';
comment on column app_public.posting_input.amount is 'How much, in minor units; greater than zero.';

comment on type app_public.condition_input is $$
What the caller takes for granted about an account. It is checked under the lock that the posting holds: if it
does not hold, nothing is posted and the answer is LG205.
$$;
comment on column app_public.condition_input.account_id is 'The id of the account.';
comment on column app_public.condition_input.minimum_available is $$
At least this much must be available before the transaction, in minor units.
$$;
comment on column app_public.condition_input.version is $$
The account must be at this version: nobody has posted to it since the caller read it.
$$;

comment on type app_public.transaction_input is $$
A transaction to be posted. POSTED (the default) and PENDING take two postings or more, and a PENDING one may
have a timeout. POSTED with `reversesId` and no postings reverses that transaction. POST_PENDING takes
`pendingId`, and postings to post a part. VOID_PENDING takes `pendingId` alone.
$$;
comment on column app_public.transaction_input.kind is 'What it shall do; POSTED if left out.';
comment on column app_public.transaction_input.postings is 'The debits and credits, equal in each currency.';
comment on column app_public.transaction_input.idempotency_key is $$
The retry token of the caller, 1 to 255 characters: a request sent twice takes effect once.
$$;
comment on column app_public.transaction_input.effective_at is
  'When it happened in business terms; now if left out.';
comment on column app_public.transaction_input.timeout_seconds is
  'After how many seconds a pending transaction expires.';
comment on column app_public.transaction_input.pending_id is 'The pending transaction to post or void.';
comment on column app_public.transaction_input.reverses_id is 'The transaction to reverse.';
comment on column app_public.transaction_input.description is
  'What it is for, in words: 1 to 1000 characters.';
comment on column app_public.transaction_input.metadata is
  'Facts of the caller''s own, a JSON object of at most 16 KB.';
comment on column app_public.transaction_input.conditions is
  'What the caller takes for granted about accounts.';

comment on type app_public.resulting_balance is $$
The balances of an account right after a transaction. Posted counts what has been posted; pending counts what
is reserved as well, both ways; available is posted less what is reserved to leave.
$$;
comment on column app_public.resulting_balance.account_id is 'The id of the account.';
comment on column app_public.resulting_balance.currency is 'The code of the currency.';
comment on column app_public.resulting_balance.version is 'The number of the account''s last posting.';
comment on column app_public.resulting_balance.posted is 'The posted balance, in minor units.';
comment on column app_public.resulting_balance.pending is
  'The balance with everything pending posted, in minor units.';
comment on column app_public.resulting_balance.available is $$
The posted balance less what pending transactions have reserved, in minor units.
$$;

comment on type app_public.refusal is 'Why a transaction was refused. Nothing of it was posted.';
comment on column app_public.refusal.code is
  'The code of the refusal, LG and three digits: a code never changes its meaning.';
comment on column app_public.refusal.name is 'The same as a word.';
comment on column app_public.refusal.message is 'What is wrong, as a sentence.';
comment on column app_public.refusal.detail is 'The facts of this case.';
comment on column app_public.refusal.hint is 'What to do about it.';
comment on column app_public.refusal.is_retryable is
  'Whether the same request may succeed if it is sent again.';

comment on type app_public.transaction_result is
  'What became of one transaction that was sent: posted, replayed or refused.';
comment on column app_public.transaction_result.transaction_id is
  'The id of the transaction; null if it was refused.';
comment on column app_public.transaction_result.is_replayed is $$
True if the idempotency key had taken effect before: this is the result of then.
$$;
comment on column app_public.transaction_result.balances is 'The balances that it left on its accounts.';
comment on column app_public.transaction_result.refusal is 'Why it was refused; null if it was not.';
--! EndIncluded ledger/comments.sql
--! Included identity/has_migration.sql
/*
 * Whether a migration has been applied here: the server asks before it calls itself ready. Null asks for
 * none, and the books being there is enough.
 */
create or replace function app_hidden.has_migration(filename text)
returns boolean
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if has_migration.filename is null then
    return true;
  end if;
  return exists (
    select from graphile_migrate.migrations m where m.filename = has_migration.filename
  );
exception when undefined_table or invalid_schema_name or insufficient_privilege then
  return false;
end
$$;

grant execute on function app_hidden.has_migration(text) to tallystick_anonymous;
--! EndIncluded identity/has_migration.sql
--! Included relay/notify_ids.sql
/*
 * Tell listeners about rows: their ids alone, for the payload of a notification is short (8,000 bytes)
 * and is not bound by row level security. Each listener reads the rows back with its own rights.
 */
create or replace function app_private.notify_ids(channel text, ids uuid[])
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select pg_notify(channel, json_build_object('ids', ids[n : n + 149])::text)
  from generate_series(1, cardinality(ids), 150) as chunk (n)
$$;
--! EndIncluded relay/notify_ids.sql
--! Included relay/relay_live.sql
/*
 * Tell subscribers what has been posted since the last call. The ledger is its own outbox: this reads on
 * in the order (xact_id, id) from a cursor per tenant, up to the oldest database transaction that is
 * still running. Below that everything is settled, so nothing that commits late is ever skipped. The price:
 * a database transaction that has written something and stays open, anywhere on the server, holds up
 * what subscribers are told until it ends. idle_in_transaction_session_timeout bounds that.
 *
 * The cursor and the notifications are one database transaction: neither goes without the other. Several
 * workers may call this at once; each tenant's cursor is locked by one of them, and the others pass it by.
 * Returns how many transactions it told about: if there were as many as `batch_size`, there may be more.
 */
create or replace function app_private.relay_live(batch_size integer default 1000)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_cursor app_private.relay_cursors;
  v_xact_id xid8;
  v_ids uuid[];
  v_account_ids uuid[];
  v_count integer := 0;
begin
  insert into app_private.relay_cursors (tenant_id, consumer)
  select t.id, 'live'
  from app_public.tenants t
  where not exists (
    select from app_private.relay_cursors c where c.tenant_id = t.id and c.consumer = 'live'
  )
  on conflict do nothing;

  for v_cursor in
    select c.*
    from app_private.relay_cursors c
    where c.consumer = 'live'
      and exists (
        select from app_public.transactions t
        where t.tenant_id = c.tenant_id
          and (t.xact_id, t.id) > (c.xact_id, c.id)
          and t.xact_id < pg_snapshot_xmin(pg_current_snapshot())
      )
    order by c.tenant_id
    for update of c skip locked
  loop
    select array_agg(t.id order by t.xact_id, t.id), max(t.xact_id)
    into v_ids, v_xact_id
    from (
      select t.xact_id, t.id
      from app_public.transactions t
      where t.tenant_id = v_cursor.tenant_id
        and (t.xact_id, t.id) > (v_cursor.xact_id, v_cursor.id)
        and t.xact_id < pg_snapshot_xmin(pg_current_snapshot())
      order by t.xact_id, t.id
      limit relay_live.batch_size
    ) t;
    continue when v_ids is null;

    select array_agg(distinct p.account_id) into v_account_ids
    from app_public.postings p
    where p.tenant_id = v_cursor.tenant_id and p.transaction_id = any (v_ids);

    perform app_private.notify_ids(format('tallystick:%s:transactions', v_cursor.tenant_id), v_ids);
    perform app_private.notify_ids(format('tallystick:%s:balances', v_cursor.tenant_id), v_account_ids);
    update app_private.relay_cursors c
    set xact_id = v_xact_id, id = v_ids[cardinality(v_ids)]
    where c.tenant_id = v_cursor.tenant_id and c.consumer = 'live';
    v_count := v_count + cardinality(v_ids);
  end loop;
  return v_count;
end
$$;

grant execute on function app_private.relay_live(integer) to tallystick_worker;
--! EndIncluded relay/relay_live.sql
--! Included balances/access.sql
/*
 * Blocks, their entries and open reservations say nothing that the postings do not say, so they are read
 * by whoever may read the postings. Balances are read with the caller's rights, so there is no second
 * place that decides who sees an account.
 */
do $$
declare
  v_table regclass;
begin
  foreach v_table in array array[
    'app_hidden.posting_blocks', 'app_hidden.posting_block_entries', 'app_private.open_reservations'
  ]::regclass[] loop
    execute format('drop policy if exists select_staff on %s', v_table);
    execute format(
      'create policy select_staff on %s for select to
        tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
        using (tenant_id = (select app_hidden.current_tenant_id()))', v_table);
    execute format('drop policy if exists select_customer on %s', v_table);
    execute format(
      'create policy select_customer on %s for select to tallystick_customer
        using (
          tenant_id = (select app_hidden.current_tenant_id())
          and account_id = any ((select app_hidden.current_user_account_ids())::uuid[])
        )', v_table);
    execute format(
      'grant select on %s to
        tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin',
      v_table);
  end loop;
end
$$;

/*
 * The table is out of reach in app_private; through this view it is read with the caller's own rights.
 */
create or replace view app_hidden.open_reservations with (security_invoker = true) as
  select r.tenant_id, r.account_id, r.expires_at, r.transaction_id, r.debits, r.credits
  from app_private.open_reservations r;

grant select on app_hidden.open_reservations to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded balances/access.sql
--! Included balances/balance_of.sql
/*
 * Counters as a balance. With "in" for the normal side and "out" for the other:
 *   posted = posted in − posted out
 *   pending = (posted + pending) in − (posted + pending) out
 *   available = posted in − (posted + pending) out
 */
create or replace function app_hidden.balance_of(
  currency text,
  normal_balance app_public.direction,
  version bigint,
  posted_debits numeric,
  posted_credits numeric,
  pending_debits numeric,
  pending_credits numeric
)
returns app_public.balance
language sql
immutable
parallel safe
as $$
  select row(
    currency, version,
    case normal_balance when 'debit' then posted_debits - posted_credits else posted_credits - posted_debits end,
    case normal_balance
      when 'debit' then posted_debits + pending_debits - posted_credits - pending_credits
      else posted_credits + pending_credits - posted_debits - pending_debits
    end,
    case normal_balance
      when 'debit' then posted_debits - posted_credits - pending_credits
      else posted_credits - posted_debits - pending_debits
    end,
    posted_debits, posted_credits, pending_debits, pending_credits
  )::app_public.balance
$$;

grant execute on function app_hidden.balance_of(
  text, app_public.direction, bigint, numeric, numeric, numeric, numeric
) to tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded balances/balance_of.sql
--! Included balances/posted_as_of.sql
/*
 * What had been posted on each of some accounts, of its postings up to a version, in effective time up to
 * and including a moment. The core of every balance at an effective time; see
 * docs/decisions/0003-effective-balances.md.
 *
 * The versions are covered by the largest blocks that fit, 64 × 16^level postings each. A block that lies
 * wholly before the moment adds its sums, one wholly after it adds nothing. One that straddles it is
 * looked up in its entries where it has any, or else replaced by the sixteen blocks inside it; at level 0
 * its 64 postings are read. What has not been folded into blocks yet is read as postings, so the answer
 * never depends on the job that folds.
 *
 * Takes arrays, so that a report over all accounts asks once. The settings keep the plan to index probes:
 * statistics of a table that has grown since they were taken must not turn them into scans. Whatever a
 * probe looks for is computed beforehand, in a step of its own: under row level security an index answers
 * only conditions that cannot fail, and arithmetic can.
 */
create or replace function app_hidden.posted_as_of(
  tenant_id integer,
  account_ids uuid[],
  versions bigint[],
  as_of timestamptz
)
returns table (account_id uuid, debits numeric, credits numeric)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_material = off
set enable_bitmapscan = off
set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with recursive question as materialized (
    select q.account_id, q.version, least(q.version >> 6, coalesce((
      select b.block_no + 1
      from app_hidden.posting_blocks b
      where b.tenant_id = posted_as_of.tenant_id and b.account_id = q.account_id and b.level = 0
      order by b.block_no desc
      limit 1
    ), 0)) as blocks
    from unnest(posted_as_of.account_ids, posted_as_of.versions) as q (account_id, version)
  ),
  run (account_id, level, from_no, before_no) as materialized (
    select q.account_id, l.level,
      case when l.level < 4 then q.blocks >> (4 * l.level + 4) << 4 else 0 end,
      q.blocks >> (4 * l.level)
    from question q
    cross join generate_series(0, 4) as l (level)
  ),
  cover (
    account_id, level, block_no, max_effective_at, has_entries, debits, credits,
    inner_level, inner_from_no, inner_before_no
  ) as (
    select r.account_id, b.level, b.block_no, b.max_effective_at, b.has_entries, b.debits, b.credits,
      b.level - 1, b.block_no << 4, (b.block_no + 1) << 4
    from run r
    join app_hidden.posting_blocks b
      on b.tenant_id = posted_as_of.tenant_id and b.account_id = r.account_id and b.level = r.level
      and b.block_no >= r.from_no and b.block_no < r.before_no
      and b.min_effective_at <= posted_as_of.as_of
    union all
    select c.account_id, b.level, b.block_no, b.max_effective_at, b.has_entries, b.debits, b.credits,
      b.level - 1, b.block_no << 4, (b.block_no + 1) << 4
    from cover c
    join app_hidden.posting_blocks b
      on b.tenant_id = posted_as_of.tenant_id and b.account_id = c.account_id and b.level = c.inner_level
      and b.block_no >= c.inner_from_no and b.block_no < c.inner_before_no
      and b.min_effective_at <= posted_as_of.as_of
    where c.max_effective_at > posted_as_of.as_of and c.level > 0 and not c.has_entries
  ),
  -- Stretches of postings to read: straddling blocks of level 0, and what is not folded.
  stretch (account_id, after_version, last_version) as materialized (
    select c.account_id, c.block_no << 6, (c.block_no + 1) << 6
    from cover c
    where c.max_effective_at > posted_as_of.as_of and c.level = 0
    union all
    select q.account_id, q.blocks << 6, q.version from question q
  ),
  part (account_id, debits, credits) as (
    select c.account_id, c.debits::numeric, c.credits::numeric
    from cover c
    where c.max_effective_at <= posted_as_of.as_of
    union all
    select c.account_id,
      e.debits[width_bucket(posted_as_of.as_of, e.times)],
      e.credits[width_bucket(posted_as_of.as_of, e.times)]
    from cover c
    cross join lateral (
      select e.times, e.debits, e.credits
      from app_hidden.posting_block_entries e
      where e.tenant_id = posted_as_of.tenant_id and e.account_id = c.account_id
        and e.level = c.level and e.block_no = c.block_no
        and e.effective_at <= posted_as_of.as_of
      order by e.effective_at desc
      limit 1
    ) e
    where c.max_effective_at > posted_as_of.as_of and c.has_entries
    union all
    select s.account_id, p.debits, p.credits
    from stretch s
    cross join lateral (
      select
        sum(p.posted_amount::numeric) filter (where p.direction = 'debit') as debits,
        sum(p.posted_amount::numeric) filter (where p.direction = 'credit') as credits
      from app_public.postings p
      where p.tenant_id = posted_as_of.tenant_id and p.account_id = s.account_id
        and p.version > s.after_version and p.version <= s.last_version
        and p.effective_at <= posted_as_of.as_of
    ) p
  )
  -- Each account has a part at least: its last stretch.
  select p.account_id, coalesce(sum(p.debits), 0), coalesce(sum(p.credits), 0)
  from part p
  group by p.account_id;
end
$$;

grant execute on function app_hidden.posted_as_of(integer, uuid[], bigint[], timestamptz) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded balances/posted_as_of.sql
--! Included balances/versions_at.sql
/*
 * The version of each of some accounts at a recorded moment: the number of its postings created until
 * then. The time of creation never falls from one version to the next, so halving finds it: about twenty
 * probes of the primary key in a million postings, and no index of its own.
 */
create or replace function app_hidden.versions_at(
  tenant_id integer,
  account_ids uuid[],
  known_at timestamptz
)
returns table (account_id uuid, version bigint)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_material = off
set enable_bitmapscan = off
set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with recursive search (account_id, low, high) as (
    select b.account_id,
      case when b.last_created_at <= versions_at.known_at then b.version else 0 end,
      b.version
    from app_public.account_balances b
    where b.tenant_id = versions_at.tenant_id and b.account_id = any (versions_at.account_ids)
    union all
    select s.account_id,
      case when p.created_at <= versions_at.known_at then s.middle else s.low end,
      case when p.created_at <= versions_at.known_at then s.high else s.middle - 1 end
    from (
      select s.account_id, s.low, s.high, (s.low + s.high + 1) / 2 as middle
      from search s
      where s.low < s.high
      -- Keeps the sum out of the condition below: row level security would not let an index answer it.
      offset 0
    ) s
    join app_public.postings p
      on p.tenant_id = versions_at.tenant_id and p.account_id = s.account_id and p.version = s.middle
  )
  select s.account_id, s.low from search s where s.low = s.high;
end
$$;

grant execute on function app_hidden.versions_at(integer, uuid[], timestamptz) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded balances/versions_at.sql
--! Included balances/counters_at.sql
/*
 * The counters of some accounts: now, as known at a recorded moment, at an effective time, or both.
 * Every balance in the past and every report comes through here. Pending amounts have no effective time
 * (a reservation takes effect when it is posted), so they are null where one is asked for.
 */
create or replace function app_hidden.counters_at(
  tenant_id integer,
  account_ids uuid[],
  as_of timestamptz default null,
  known_at timestamptz default null
)
returns table (
  account_id uuid,
  version bigint,
  posted_debits numeric,
  posted_credits numeric,
  pending_debits numeric,
  pending_credits numeric
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_ids uuid[];
  v_versions bigint[];
begin
  -- As the books stand: the counters answer, where nothing is effective later than the time asked for.
  return query
  select b.account_id, b.version, b.posted_debits::numeric, b.posted_credits::numeric,
    case when as_of is null then b.pending_debits::numeric end,
    case when as_of is null then b.pending_credits::numeric end
  from app_public.account_balances b
  where b.tenant_id = counters_at.tenant_id and b.account_id = any (counters_at.account_ids)
    and (known_at is null or b.last_created_at <= known_at)
    and (as_of is null or b.last_effective_at <= as_of);
  if as_of is null and known_at is null then
    return;
  end if;

  select array_agg(b.account_id), array_agg(b.version) into v_ids, v_versions
  from app_public.account_balances b
  where b.tenant_id = counters_at.tenant_id and b.account_id = any (counters_at.account_ids)
    and (b.last_created_at > known_at or b.last_effective_at > as_of);
  if v_ids is null then
    return;
  end if;
  if known_at is not null then
    select array_agg(v.account_id), array_agg(v.version) into v_ids, v_versions
    from app_hidden.versions_at(counters_at.tenant_id, v_ids, known_at) v;
  end if;

  if as_of is null then
    return query
    select q.account_id, q.version,
      coalesce(p.posted_debits, 0), coalesce(p.posted_credits, 0),
      coalesce(p.pending_debits, 0), coalesce(p.pending_credits, 0)
    from unnest(v_ids, v_versions) as q (account_id, version)
    left join lateral (
      select p.posted_debits::numeric as posted_debits, p.posted_credits::numeric as posted_credits,
        p.pending_debits::numeric as pending_debits, p.pending_credits::numeric as pending_credits
      from app_public.postings p
      where p.tenant_id = counters_at.tenant_id and p.account_id = q.account_id and p.version = q.version
    ) p on true;
  else
    return query
    select q.account_id, q.version, p.debits, p.credits, null::numeric, null::numeric
    from unnest(v_ids, v_versions) as q (account_id, version)
    join app_hidden.posted_as_of(counters_at.tenant_id, v_ids, v_versions, as_of) p using (account_id);
  end if;
end
$$;

grant execute on function app_hidden.counters_at(integer, uuid[], timestamptz, timestamptz) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded balances/counters_at.sql
--! Included balances/accounts_balance.sql
/*
 * The balance of an account. The caller's row level security decides which account has one: of another
 * there is none, whatever row is passed in.
 * Now is one probe; whatever has expired at this very moment is left out of what is available, before
 * any job has released it. In the past, see counters_at.
 */
create or replace function app_public.accounts_balance(
  account app_public.accounts,
  as_of timestamptz default null,
  known_at timestamptz default null
)
returns app_public.balance
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_now constant timestamptz := clock_timestamp();
  v_balance app_public.account_balances;
  v_debits numeric := 0;
  v_credits numeric := 0;
begin
  select * into v_balance
  from app_public.account_balances b
  where b.tenant_id = account.tenant_id and b.account_id = account.id;
  if not found then
    return null;
  end if;

  if as_of is not null or known_at is not null then
    select c.version, c.posted_debits, c.posted_credits, c.pending_debits, c.pending_credits
    into v_balance.version, v_balance.posted_debits, v_balance.posted_credits,
      v_balance.pending_debits, v_balance.pending_credits
    from app_hidden.counters_at(account.tenant_id, array[account.id], as_of, known_at) c;
  elsif v_balance.next_expiry_at <= v_now then
    select coalesce(sum(r.debits::numeric), 0), coalesce(sum(r.credits::numeric), 0)
    into v_debits, v_credits
    from app_hidden.open_reservations r
    where r.tenant_id = account.tenant_id and r.account_id = account.id and r.expires_at <= v_now;
  end if;
  return app_hidden.balance_of(
    v_balance.currency, v_balance.normal_balance, v_balance.version,
    v_balance.posted_debits, v_balance.posted_credits,
    v_balance.pending_debits - v_debits, v_balance.pending_credits - v_credits);
end
$$;

grant execute on function app_public.accounts_balance(app_public.accounts, timestamptz, timestamptz) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.accounts_balance(app_public.accounts, timestamptz, timestamptz) is $$
The balance of the account: now, or in the past. `knownAt` asks for what the books said at a recorded
moment: everything recorded until then counts, nothing that was recorded later. `asOf` asks for an
effective time: everything effective until then counts, however late it was recorded. Both together ask
what the books said at `knownAt` about `asOf`. With `asOf` only the posted amounts are told; `pending` and
`available` are null, because a reservation has no effective time before it is posted. A moment that has
only just passed may still gain what is being recorded while you ask.
$$;
--! EndIncluded balances/accounts_balance.sql
--! Included balances/fold_account.sql
/*
 * Fold the postings of an account into blocks, up to a number of postings, and say how many were folded.
 * A block at level 0 sums 64 postings, one at the next level sixteen of the level below, up to level 4.
 *
 * The cost of a block is an upper bound of what a question about a moment inside it takes, in probes: 4 for
 * reading the postings of level 0; above, what the blocks inside it that straddle the moment take together.
 * Where postings come nearly in effective order few of them do, and the bound stays low. A block that
 * would cost more than 12 gets entries, and costs one. Blocks of level 4 (four million postings) get none:
 * sorting that many would hold a snapshot open for too long.
 *
 * Blocks only ever gain: a complete block never changes, because its postings do not. Nothing that posts
 * is blocked, and whoever asks meanwhile reads postings instead. All levels of a stretch are written in one
 * database transaction, which posted_as_of relies on.
 */
create or replace function app_private.fold_account(
  tenant_id integer,
  account_id uuid,
  max_postings bigint default 65536
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_from bigint;
  v_to bigint;
begin
  select coalesce(max(b.block_no) + 1, 0) into v_from
  from app_hidden.posting_blocks b
  where b.tenant_id = fold_account.tenant_id and b.account_id = fold_account.account_id and b.level = 0;
  select least(b.version >> 6, v_from + greatest(max_postings >> 6, 1)) into v_to
  from app_public.account_balances b
  where b.tenant_id = fold_account.tenant_id and b.account_id = fold_account.account_id;
  if v_to is null or v_to <= v_from then
    return 0;
  end if;

  insert into app_hidden.posting_blocks (
    tenant_id, account_id, level, block_no, min_effective_at, max_effective_at, debits, credits,
    cost, has_entries
  )
  select
    fold_account.tenant_id, fold_account.account_id, 0, (p.version - 1) >> 6,
    min(p.effective_at), max(p.effective_at),
    coalesce(sum(p.posted_amount::numeric) filter (where p.direction = 'debit'), 0),
    coalesce(sum(p.posted_amount::numeric) filter (where p.direction = 'credit'), 0),
    case when min(p.effective_at) < max(p.effective_at) then 4 else 0 end, false
  from app_public.postings p
  where p.tenant_id = fold_account.tenant_id and p.account_id = fold_account.account_id
    and p.version > v_from << 6 and p.version <= v_to << 6
  group by (p.version - 1) >> 6;
  for v_level in 1 .. 4 loop
    exit when v_to >> (4 * v_level) = v_from >> (4 * v_level);
    perform app_private.fold_account__level(
      tenant_id, account_id, v_level, v_from >> (4 * v_level), v_to >> (4 * v_level));
  end loop;
  return (v_to - v_from) << 6;
end
$$;

/*
 * The blocks of one level from one number to before another, out of those of the level below.
 */
create or replace function app_private.fold_account__level(
  tenant_id integer,
  account_id uuid,
  level integer,
  from_no bigint,
  to_no bigint
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
begin
  -- A child straddles the moments from its first effective time to before its last: two steps of what
  -- the children straddle together.
  with step as (
    select b.block_no >> 4 as block_no, s.at, s.debits, s.credits,
      sum(s.cost) over (
        partition by b.block_no >> 4 order by s.at, s.cost rows between unbounded preceding and current row
      ) as cost
    from app_hidden.posting_blocks b
    cross join lateral (
      values
        (b.min_effective_at, b.cost, b.debits::numeric, b.credits::numeric),
        (b.max_effective_at, -b.cost, 0, 0)
    ) as s (at, cost, debits, credits)
    where b.tenant_id = fold_account__level.tenant_id and b.account_id = fold_account__level.account_id
      and b.level = fold_account__level.level - 1
      and b.block_no >= from_no << 4 and b.block_no < to_no << 4
  )
  insert into app_hidden.posting_blocks (
    tenant_id, account_id, level, block_no, min_effective_at, max_effective_at, debits, credits,
    cost, has_entries
  )
  select
    fold_account__level.tenant_id, fold_account__level.account_id, fold_account__level.level, s.block_no,
    min(s.at), max(s.at), sum(s.debits), sum(s.credits),
    case when max(s.cost) >= 12 and fold_account__level.level < 4 then 1 else max(s.cost) + 1 end,
    max(s.cost) >= 12 and fold_account__level.level < 4
  from step s
  group by s.block_no;

  perform app_private.fold_account__entries(tenant_id, account_id, level, b.block_no)
  from app_hidden.posting_blocks b
  where b.tenant_id = fold_account__level.tenant_id and b.account_id = fold_account__level.account_id
    and b.level = fold_account__level.level and b.block_no >= from_no and b.block_no < to_no
    and b.has_entries;
end
$$;

/*
 * The entries of a block: for each effective time that occurs in it, what its postings had posted by then.
 * Sixty-four of them share a row as sorted arrays, which is found by one probe and searched by halving:
 * a third of the space of single rows, and a sixty-fourth of the index.
 */
create or replace function app_private.fold_account__entries(
  tenant_id integer,
  account_id uuid,
  level integer,
  block_no bigint
)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
  insert into app_hidden.posting_block_entries (
    tenant_id, account_id, level, block_no, effective_at, times, debits, credits
  )
  select
    fold_account__entries.tenant_id, fold_account__entries.account_id,
    fold_account__entries.level, fold_account__entries.block_no,
    min(e.effective_at),
    array_agg(e.effective_at order by e.effective_at),
    array_agg(e.debits order by e.effective_at),
    array_agg(e.credits order by e.effective_at)
  from (
    select
      s.effective_at,
      sum(s.debits) over ascending as debits,
      sum(s.credits) over ascending as credits,
      row_number() over ascending as n
    from (
      select
        p.effective_at,
        coalesce(sum(p.posted_amount::numeric) filter (where p.direction = 'debit'), 0) as debits,
        coalesce(sum(p.posted_amount::numeric) filter (where p.direction = 'credit'), 0) as credits
      from app_public.postings p
      where p.tenant_id = fold_account__entries.tenant_id
        and p.account_id = fold_account__entries.account_id
        and p.version > fold_account__entries.block_no << (6 + 4 * fold_account__entries.level)
        and p.version <= (fold_account__entries.block_no + 1) << (6 + 4 * fold_account__entries.level)
      group by p.effective_at
    ) s
    window ascending as (order by s.effective_at rows unbounded preceding)
  ) e
  group by (e.n - 1) >> 6
$$;
--! EndIncluded balances/fold_account.sql
--! Included balances/fold_postings.sql
/*
 * Fold what has been posted since the last time, for every tenant, and say how many postings were looked
 * at or folded. Nothing depends on it but speed: see posted_as_of. An answer of `max_postings` or more says
 * that there may be more to do: call it again.
 *
 * What to fold is found from the outbox: the accounts of the transactions since the cursor, below the
 * horizon of those still running. An account whose last block is not full is found again by its next
 * posting. One worker folds a tenant at a time; a second one passes it over. Each call stops after about
 * `max_postings`, so that its snapshot does not live long.
 */
create or replace function app_private.fold_postings(max_postings integer default 65536)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
as $$
declare
  v_tenant_id integer;
  v_total bigint := 0;
begin
  insert into app_private.relay_cursors (tenant_id, consumer)
  select t.id, 'fold'
  from app_public.tenants t
  where not exists (
    select from app_private.relay_cursors c where c.tenant_id = t.id and c.consumer = 'fold'
  )
  on conflict do nothing;
  for v_tenant_id in
    select c.tenant_id from app_private.relay_cursors c where c.consumer = 'fold' order by c.tenant_id
  loop
    v_total := v_total + app_private.fold_postings__of_tenant(v_tenant_id, max_postings - v_total);
    exit when v_total >= max_postings;
  end loop;
  return v_total;
end
$$;

create or replace function app_private.fold_postings__of_tenant(tenant_id integer, max_postings bigint)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_cursor xid8;
  v_horizon constant xid8 := pg_snapshot_xmin(pg_current_snapshot());
  v_next xid8;
  v_account record;
  v_total bigint := 0;
  v_seen bigint;
  v_is_done boolean := true;
begin
  select c.xact_id into v_cursor
  from app_private.relay_cursors c
  where c.tenant_id = fold_postings__of_tenant.tenant_id and c.consumer = 'fold'
  for no key update skip locked;
  if not found then
    return 0;
  end if;

  loop
    -- A step of about a thousand transactions, and whole database transactions always.
    select t.xact_id into v_next
    from app_public.transactions t
    where t.tenant_id = fold_postings__of_tenant.tenant_id
      and t.xact_id >= v_cursor and t.xact_id < v_horizon
    order by t.xact_id, t.id
    limit 1 offset 1000;
    v_next := coalesce((v_next::text::numeric + 1)::text::xid8, v_horizon);
    v_seen := 0;
    for v_account in
      select p.account_id, count(*) as postings
      from app_public.transactions t
      join app_public.postings p on p.tenant_id = t.tenant_id and p.transaction_id = t.id
      where t.tenant_id = fold_postings__of_tenant.tenant_id
        and t.xact_id >= v_cursor and t.xact_id < v_next
      group by p.account_id
    loop
      v_seen := v_seen + v_account.postings;
      v_total := v_total + app_private.fold_account(
        tenant_id, v_account.account_id, max_postings - v_total);
      v_is_done := v_total < max_postings;
      exit when not v_is_done;
    end loop;
    -- What was left undone is found again from the same cursor. Only what was folded may end a step
    -- early: a step that ended for what it had looked at would look at the same again for ever.
    exit when not v_is_done;
    v_total := v_total + v_seen;
    v_cursor := v_next;
    exit when v_cursor >= v_horizon or v_total >= max_postings;
  end loop;

  update app_private.relay_cursors c set xact_id = v_cursor
  where c.tenant_id = fold_postings__of_tenant.tenant_id and c.consumer = 'fold' and c.xact_id < v_cursor;
  return v_total;
end
$$;

grant execute on function app_private.fold_postings(integer) to tallystick_worker;
--! EndIncluded balances/fold_postings.sql
--! Included balances/accounts_statement.sql
/*
 * A page of the statement of an account. Versions have no gaps, so a page is a range of the primary key at
 * any depth, and each posting carries the counters that it left, so nothing is summed. The bounds in
 * recorded time are turned into versions first.
 *
 * There is no statement in effective order: a running balance in that order changes for all later lines
 * with each backdated posting, and an index on it would be paid for by every posting. Ask for
 * balance(asOf) at the moments of interest instead.
 */
create or replace function app_public.accounts_statement(
  account app_public.accounts,
  page_size integer default 50,
  after_version bigint default null,
  before_version bigint default null,
  newest_first boolean default true,
  recorded_from timestamptz default null,
  recorded_before timestamptz default null
)
returns app_public.statement_line[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_bitmapscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_size constant integer := least(greatest(coalesce(page_size, 50), 1), 100);
  v_lines app_public.statement_line[];
  v_is_debit_normal boolean;
  v_after bigint := coalesce(after_version, 0);
  v_last bigint;
begin
  select b.normal_balance = 'debit', least(b.version, before_version - 1)
  into v_is_debit_normal, v_last
  from app_public.account_balances b
  where b.tenant_id = account.tenant_id and b.account_id = account.id;
  if recorded_from is not null then
    select greatest(v_after, v.version) into v_after
    from app_hidden.versions_at(
      account.tenant_id, array[account.id], recorded_from - interval '1 microsecond') v;
  end if;
  if recorded_before is not null then
    select least(v_last, v.version) into v_last
    from app_hidden.versions_at(
      account.tenant_id, array[account.id], recorded_before - interval '1 microsecond') v;
  end if;
  if newest_first then
    v_after := greatest(v_after, v_last - v_size);
  else
    v_last := least(v_last, v_after + v_size);
  end if;

  select array_agg(
    row(
      p.version, p.created_at, p.effective_at, p.transaction_id, t.kind, p.direction, p.currency,
      case when p.posted_amount > 0 then p.posted_amount else abs(p.pending_amount) end,
      case when v_is_debit_normal
        then p.posted_debits - p.posted_credits
        else p.posted_credits - p.posted_debits
      end,
      case when v_is_debit_normal
        then p.posted_debits - p.posted_credits - p.pending_credits
        else p.posted_credits - p.posted_debits - p.pending_debits
      end,
      t.description
    )::app_public.statement_line
    order by case when newest_first then -p.version else p.version end
  ) into v_lines
  from app_public.postings p
  join app_public.transactions t on t.tenant_id = p.tenant_id and t.id = p.transaction_id
  where p.tenant_id = account.tenant_id and p.account_id = account.id
    and p.version > v_after and p.version <= v_last;
  return coalesce(v_lines, '{}');
end
$$;

grant execute on function app_public.accounts_statement(
  app_public.accounts, integer, bigint, bigint, boolean, timestamptz, timestamptz
) to tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.accounts_statement(
  app_public.accounts, integer, bigint, bigint, boolean, timestamptz, timestamptz
) is $$
A page of the statement of the account: one line for each posting, in the order in which they were recorded, with
the balance after it. `pageSize` is at most 100. With `newestFirst` (the default) ask for the next page with
`beforeVersion`, the version of the last line; otherwise with `afterVersion`. `recordedFrom` and
`recordedBefore` narrow it to what was recorded in that time, the latter being left out itself.
$$;
--! EndIncluded balances/accounts_statement.sql
--! Included balances/total_of.sql
/*
 * The totals of some accounts by currency. What row level security hides from the caller is not counted.
 */
create or replace function app_hidden.total_of(
  tenant_id integer,
  account_ids uuid[],
  as_of timestamptz,
  known_at timestamptz
)
returns app_public.total_balance[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(t.total order by (t.total).currency), '{}')
  from (
    select row(
      b.currency, count(*), sum(c.posted_debits), sum(c.posted_credits),
      sum(c.posted_debits) - sum(c.posted_credits)
    )::app_public.total_balance as total
    from app_hidden.counters_at(total_of.tenant_id, account_ids, as_of, known_at) c
    join app_public.account_balances b
      on b.tenant_id = total_of.tenant_id and b.account_id = c.account_id
    group by b.currency
  ) t
$$;

grant execute on function app_hidden.total_of(integer, uuid[], timestamptz, timestamptz) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded balances/total_of.sql
--! Included balances/accounts_subtree_balances.sql
/*
 * The roll-up of an account and all accounts under it. Union, not union all: an account counts once.
 */
create or replace function app_public.accounts_subtree_balances(
  account app_public.accounts,
  as_of timestamptz default null,
  known_at timestamptz default null
)
returns app_public.total_balance[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with recursive tree (id) as (
    select account.id
    union
    select a.id
    from tree t
    join app_public.accounts a on a.tenant_id = account.tenant_id and a.parent_id = t.id
  )
  select app_hidden.total_of(account.tenant_id, array(select t.id from tree t), as_of, known_at)
$$;

grant execute on function app_public.accounts_subtree_balances(
  app_public.accounts, timestamptz, timestamptz
) to tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.accounts_subtree_balances(
  app_public.accounts, timestamptz, timestamptz
) is $$
What the account and all accounts under it add up to, by currency: now, or in the past as for `balance`.
Only accounts that you may see are counted.
$$;
--! EndIncluded balances/accounts_subtree_balances.sql
--! Included balances/account_sets_balances.sql
/*
 * The roll-up of an account set: its accounts and those of the sets in it. Union, not union all, and
 * distinct ids: an account counts once, however many ways lead to it. A customer sees no sets.
 */
create or replace function app_public.account_sets_balances(
  account_set app_public.account_sets,
  as_of timestamptz default null,
  known_at timestamptz default null
)
returns app_public.total_balance[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with recursive tree (id) as (
    select account_set.id
    union
    select m.member_set_id
    from tree t
    join app_public.account_set_members m
      on m.tenant_id = account_set.tenant_id and m.account_set_id = t.id and m.member_set_id is not null
  )
  select app_hidden.total_of(
    account_set.tenant_id,
    array(
      select distinct m.account_id
      from tree t
      join app_public.account_set_members m
        on m.tenant_id = account_set.tenant_id and m.account_set_id = t.id and m.account_id is not null
    ),
    as_of, known_at
  )
$$;

grant execute on function app_public.account_sets_balances(
  app_public.account_sets, timestamptz, timestamptz
) to tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.account_sets_balances(
  app_public.account_sets, timestamptz, timestamptz
) is $$
What the accounts of the set, and of the sets in it, add up to, by currency: now, or in the past as for
`balance` of an account. An account counts once, however many ways lead to it.
$$;
--! EndIncluded balances/account_sets_balances.sql
--! Included balances/formatted.sql
/*
 * The balances of an account, and the lines of its statement, as decimals.
 */
create or replace function app_public.balance_posted_formatted(balance app_public.balance)
returns text
language sql
stable
as $$
  select app_hidden.format_amount_of(balance.posted, balance.currency)
$$;

create or replace function app_public.balance_pending_formatted(balance app_public.balance)
returns text
language sql
stable
as $$
  select app_hidden.format_amount_of(balance.pending, balance.currency)
$$;

create or replace function app_public.balance_available_formatted(balance app_public.balance)
returns text
language sql
stable
as $$
  select app_hidden.format_amount_of(balance.available, balance.currency)
$$;

create or replace function app_public.statement_line_amount_formatted(line app_public.statement_line)
returns text
language sql
stable
as $$
  select app_hidden.format_amount_of(line.amount, line.currency)
$$;

create or replace function app_public.statement_line_posted_formatted(line app_public.statement_line)
returns text
language sql
stable
as $$
  select app_hidden.format_amount_of(line.posted, line.currency)
$$;

grant execute on function
  app_public.balance_posted_formatted(app_public.balance),
  app_public.balance_pending_formatted(app_public.balance),
  app_public.balance_available_formatted(app_public.balance),
  app_public.statement_line_amount_formatted(app_public.statement_line),
  app_public.statement_line_posted_formatted(app_public.statement_line)
to tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.balance_posted_formatted(app_public.balance) is $$
The posted balance as a decimal at the exponent of its currency, such as "12.34".
$$;
comment on function app_public.balance_pending_formatted(app_public.balance) is $$
The pending balance as a decimal at the exponent of its currency, such as "12.34".
$$;
comment on function app_public.balance_available_formatted(app_public.balance) is $$
The available balance as a decimal at the exponent of its currency, such as "12.34".
$$;
comment on function app_public.statement_line_amount_formatted(app_public.statement_line) is $$
The amount as a decimal at the exponent of its currency, such as "12.34".
$$;
comment on function app_public.statement_line_posted_formatted(app_public.statement_line) is $$
The posted balance after this line as a decimal at the exponent of its currency, such as "12.34".
$$;
--! EndIncluded balances/formatted.sql
--! Included balances/comments.sql
/*
 * What GraphQL says about balances and statements. See accounts/comments.sql for how it is read.
 */
comment on table app_hidden.posting_blocks is $$
Sums of consecutive postings of an account, for balances at an effective time.
$$;
comment on table app_hidden.posting_block_entries is 'What a block had posted by each effective time in it.';

comment on type app_public.balance is $$
The balances of an account. Posted counts what has been posted; pending counts what is reserved as well, both
ways; available is posted less what is reserved to leave. A reservation whose time has passed is left out.
$$;
comment on column app_public.balance.currency is 'The code of the currency.';
comment on column app_public.balance.version is 'The number of the last posting that was known.';
comment on column app_public.balance.posted is 'The posted balance, in minor units.';
comment on column app_public.balance.pending is $$
The balance with everything pending posted, in minor units. Null at an effective time.
$$;
comment on column app_public.balance.available is $$
The posted balance less what pending transactions have reserved, in minor units. Null at an effective time.
As known in the past, it is what the books said then: a reservation counts until its release was recorded.
$$;
comment on column app_public.balance.posted_debits is 'The sum of all posted debits, in minor units.';
comment on column app_public.balance.posted_credits is 'The sum of all posted credits, in minor units.';
comment on column app_public.balance.pending_debits is $$
The pending debits, in minor units. Null at an effective time.
$$;
comment on column app_public.balance.pending_credits is $$
The pending credits, in minor units. Null at an effective time.
$$;

comment on type app_public.statement_line is 'A posting on a statement, with the balance after it.';
comment on column app_public.statement_line.version is $$
The number of the posting on its account: 1, 2, 3 and so on without a gap. It asks for the next page.
$$;
comment on column app_public.statement_line.created_at is 'When the ledger recorded it.';
comment on column app_public.statement_line.effective_at is 'When it happened in business terms.';
comment on column app_public.statement_line.transaction_id is 'The id of the transaction.';
comment on column app_public.statement_line.kind is $$
What the transaction did: only POSTED and POST_PENDING move the posted balance.
$$;
comment on column app_public.statement_line.direction is 'The side: debit or credit.';
comment on column app_public.statement_line.currency is 'The code of the currency.';
comment on column app_public.statement_line.amount is $$
The amount in minor units: what the posting posted, or else what it reserved or released.
$$;
comment on column app_public.statement_line.posted is 'The posted balance after this line, in minor units.';
comment on column app_public.statement_line.available is $$
The available balance after this line, in minor units: posted less what was reserved to leave.
$$;
comment on column app_public.statement_line.description is 'What the transaction is for, in words.';

comment on type app_public.total_balance is 'What several accounts of one currency add up to.';
comment on column app_public.total_balance.currency is 'The code of the currency.';
comment on column app_public.total_balance.account_count is 'How many accounts were counted, each once.';
comment on column app_public.total_balance.debits is 'The sum of all posted debits, in minor units.';
comment on column app_public.total_balance.credits is 'The sum of all posted credits, in minor units.';
comment on column app_public.total_balance.balance is 'Debits less credits, in minor units.';
--! EndIncluded balances/comments.sql
--! Included balances/posting_blocks_that_differ.sql
/*
 * Blocks are derived, and balances at an effective time are read from them: a block that differs from its
 * postings, one that is missing below the last, or entries that differ would give a wrong answer.
 */
create or replace view checks.posting_blocks_that_differ with (security_invoker = true) as
select x.tenant_id, x.account_id, d.level, d.block_no
from (
  select b.tenant_id, b.account_id, coalesce(max(b.block_no) filter (where b.level = 0) + 1, 0) as blocks
  from app_hidden.posting_blocks b
  group by b.tenant_id, b.account_id
) x
-- Account by account, so that whoever asks about one tenant does not read the others.
cross join lateral (
  with base as materialized (
    select
      (p.version - 1) >> 6 as block_no, count(*) as postings,
      min(p.effective_at) as min_effective_at, max(p.effective_at) as max_effective_at,
      coalesce(sum(p.posted_amount::numeric) filter (where p.direction = 'debit'), 0) as debits,
      coalesce(sum(p.posted_amount::numeric) filter (where p.direction = 'credit'), 0) as credits
    from app_public.postings p
    where p.tenant_id = x.tenant_id and p.account_id = x.account_id and p.version <= x.blocks << 6
    group by (p.version - 1) >> 6
  ),
  wanted as (
    select l.level, p.block_no >> (4 * l.level) as block_no, sum(p.postings) as postings,
      min(p.min_effective_at) as min_effective_at, max(p.max_effective_at) as max_effective_at,
      sum(p.debits) as debits, sum(p.credits) as credits
    from base p
    cross join generate_series(0, 4) as l (level)
    where p.block_no >> (4 * l.level) < x.blocks >> (4 * l.level)
    group by l.level, p.block_no >> (4 * l.level)
  )
  select coalesce(b.level::integer, w.level) as level, coalesce(b.block_no, w.block_no) as block_no
  from (
    select b.level, b.block_no, b.min_effective_at, b.max_effective_at, b.debits, b.credits
    from app_hidden.posting_blocks b
    where b.tenant_id = x.tenant_id and b.account_id = x.account_id
  ) b
  full join wanted w on w.level = b.level and w.block_no = b.block_no
  where b.block_no is null or w.block_no is null
    or w.postings <> 1::bigint << (6 + 4 * w.level)
    or w.min_effective_at <> b.min_effective_at or w.max_effective_at <> b.max_effective_at
    or w.debits <> b.debits or w.credits <> b.credits
) d
union
select b.tenant_id, b.account_id, b.level, b.block_no
from app_hidden.posting_blocks b
cross join lateral (
  select array_agg(row(s.effective_at, s.debits, s.credits) order by s.effective_at) as entries
  from (
    select p.effective_at,
      sum(coalesce(sum(p.posted_amount::numeric) filter (where p.direction = 'debit'), 0))
        over (order by p.effective_at) as debits,
      sum(coalesce(sum(p.posted_amount::numeric) filter (where p.direction = 'credit'), 0))
        over (order by p.effective_at) as credits
    from app_public.postings p
    where p.tenant_id = b.tenant_id and p.account_id = b.account_id
      and p.version > b.block_no << (6 + 4 * b.level)
      and p.version <= (b.block_no + 1) << (6 + 4 * b.level)
    group by p.effective_at
  ) s
) w
left join lateral (
  select array_agg(row(u.effective_at, u.debits, u.credits) order by u.effective_at) as entries
  from app_hidden.posting_block_entries e
  cross join lateral unnest(e.times, e.debits, e.credits) as u (effective_at, debits, credits)
  where e.tenant_id = b.tenant_id and e.account_id = b.account_id
    and e.level = b.level and e.block_no = b.block_no
) h on true
where b.has_entries and h.entries is distinct from w.entries;

grant select on checks.posting_blocks_that_differ to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.posting_blocks_that_differ is $$
A block sums its postings, its entries tell the same by effective time, and none is missing below the last.
$$;
--! EndIncluded balances/posting_blocks_that_differ.sql
--! Included reports/trial_balance.sql
/*
 * The trial balance: every account with its posted sums. One statement, so one snapshot: what is posted
 * meanwhile is in it as a whole or not at all, and the debits of a currency equal its credits. An array,
 * so that no page size can cut it.
 */
create or replace function app_public.trial_balance(
  as_of timestamptz default null,
  known_at timestamptz default null
)
returns app_public.trial_balance_row[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(
    row(
      a.id, a.code, a.name, a.type, a.currency, c.posted_debits, c.posted_credits,
      c.posted_debits - c.posted_credits
    )::app_public.trial_balance_row
    order by a.code, a.currency
  ), '{}')
  from app_hidden.counters_at(
    app_hidden.current_tenant_id(),
    array(select a.id from app_public.accounts a where a.tenant_id = app_hidden.current_tenant_id()),
    as_of, known_at
  ) c
  join app_public.accounts a on a.tenant_id = app_hidden.current_tenant_id() and a.id = c.account_id
$$;

grant execute on function app_public.trial_balance(timestamptz, timestamptz) to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.trial_balance(timestamptz, timestamptz) is $$
The trial balance: one row for each account, those at zero too, ordered by code and currency. Now, or at an
effective time (`asOf`), or as the books were known at a recorded moment (`knownAt`), or both. The debits of
each currency equal its credits.
$$;
--! EndIncluded reports/trial_balance.sql
--! Included reports/balance_sheet.sql
/*
 * The balance sheet. Each amount is on the normal side of its type, so that a contra account is below zero.
 * What has been earned and not moved to equity yet is a row of its own: with it, assets equal liabilities
 * and equity in each currency at any time, because debits equal credits.
 */
create or replace function app_public.balance_sheet(
  as_of timestamptz default null,
  known_at timestamptz default null
)
returns app_public.report_row[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with line as (
    select a.*, c.posted_debits - c.posted_credits as balance
    from app_hidden.counters_at(
      app_hidden.current_tenant_id(),
      array(select a.id from app_public.accounts a where a.tenant_id = app_hidden.current_tenant_id()),
      as_of, known_at
    ) c
    join app_public.accounts a on a.tenant_id = app_hidden.current_tenant_id() and a.id = c.account_id
  ),
  report as (
    select l.type, l.id, l.code, l.name, l.currency,
      case l.type when 'asset' then l.balance else -l.balance end as amount
    from line l
    where l.type in ('asset', 'liability', 'equity')
    union all
    select 'equity', null, null, 'Current earnings', l.currency, -sum(l.balance)
    from line l
    where l.type in ('revenue', 'expense')
    group by l.currency
  )
  select coalesce(array_agg(
    row(r.type, r.id, r.code, r.name, r.currency, r.amount)::app_public.report_row
    order by r.type, r.code nulls last, r.currency
  ), '{}')
  from report r
$$;

grant execute on function app_public.balance_sheet(timestamptz, timestamptz) to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.balance_sheet(timestamptz, timestamptz) is $$
The balance sheet: assets, liabilities and equity by account, each amount on the normal side of its type. What
was earned and has not been moved to equity by a year-end close is the equity row "Current earnings", which
has no account. In each currency assets equal liabilities and equity. Now, or in the past as for `trialBalance`.
$$;
--! EndIncluded reports/balance_sheet.sql
--! Included reports/closing_balances.sql
/*
 * What closing entries, their reversals, and the reversals of those have posted on each account in a time:
 * debits less credits.
 */
create or replace function app_private.closing_balances(
  tenant_id integer,
  starts_at timestamptz,
  ends_at timestamptz,
  known_at timestamptz
)
returns table (account_id uuid, balance numeric)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with recursive closing (id) as (
    select c.transaction_id
    from app_public.closing_transactions c
    where c.tenant_id = closing_balances.tenant_id
    union
    select t.id
    from closing c
    join app_public.transactions t on t.tenant_id = closing_balances.tenant_id and t.reverses_id = c.id
  )
  select p.account_id,
    sum(case when p.direction = 'debit' then p.posted_amount::numeric else -p.posted_amount end)
  from closing c
  join app_public.postings p on p.tenant_id = closing_balances.tenant_id and p.transaction_id = c.id
  where (starts_at is null or p.effective_at >= starts_at)
    and (ends_at is null or p.effective_at < ends_at)
    and (known_at is null or p.created_at <= known_at)
  group by p.account_id
$$;
--! EndIncluded reports/closing_balances.sql
--! Included reports/income_statement.sql
/*
 * The income statement: revenue and expense of a time, on their normal sides. Entries that closed a period
 * are left out, and reversals of such entries with them: they move what was earned, they earn nothing.
 * Definer only because it refuses, and refusals are raised in app_private; it filters by tenant itself.
 */
create or replace function app_public.income_statement(
  starts_at timestamptz default null,
  ends_at timestamptz default null,
  known_at timestamptz default null
)
returns app_public.report_row[]
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant_id constant integer := app_private.required_tenant_id();
  v_ids uuid[];
  v_rows app_public.report_row[];
begin
  if starts_at >= ends_at then
    perform app_private.refuse('LG130', jsonb_build_object('startsAt', starts_at, 'endsAt', ends_at));
  end if;
  select array_agg(a.id) into v_ids
  from app_public.accounts a
  where a.tenant_id = v_tenant_id and a.type in ('revenue', 'expense');

  select array_agg(
    row(
      a.type, a.id, a.code, a.name, a.currency,
      case a.type when 'expense' then 1 else -1 end
        * (l.balance - coalesce(f.balance, 0) - coalesce(c.balance, 0))
    )::app_public.report_row
    order by a.type, a.code, a.currency
  ) into v_rows
  from (
    select l.account_id, l.posted_debits - l.posted_credits as balance
    from app_hidden.counters_at(v_tenant_id, v_ids, ends_at - interval '1 microsecond', known_at) l
  ) l
  join app_public.accounts a on a.tenant_id = v_tenant_id and a.id = l.account_id
  left join (
    select f.account_id, f.posted_debits - f.posted_credits as balance
    from app_hidden.counters_at(v_tenant_id, v_ids, starts_at - interval '1 microsecond', known_at) f
    where starts_at is not null
  ) f on f.account_id = l.account_id
  left join app_private.closing_balances(v_tenant_id, starts_at, ends_at, known_at) c
    on c.account_id = l.account_id;
  return coalesce(v_rows, '{}');
end
$$;

grant execute on function app_public.income_statement(timestamptz, timestamptz, timestamptz) to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.income_statement(timestamptz, timestamptz, timestamptz) is $$
The income statement: revenue and expense by account, effective from `startsAt` until before `endsAt`, each
amount on the normal side of its type. Entries that closed a period are left out. Without `startsAt` from the
beginning of the books, without `endsAt` to their end. `knownAt` asks for the books of a recorded moment.
$$;
--! EndIncluded reports/income_statement.sql
--! Included reports/formatted.sql
/*
 * The amounts of reports as decimals.
 */
create or replace function app_public.trial_balance_row_debits_formatted(line app_public.trial_balance_row)
returns text
language sql
stable
as $$
  select app_hidden.format_amount_of(line.debits, line.currency)
$$;

create or replace function app_public.trial_balance_row_credits_formatted(line app_public.trial_balance_row)
returns text
language sql
stable
as $$
  select app_hidden.format_amount_of(line.credits, line.currency)
$$;

create or replace function app_public.trial_balance_row_balance_formatted(line app_public.trial_balance_row)
returns text
language sql
stable
as $$
  select app_hidden.format_amount_of(line.balance, line.currency)
$$;

create or replace function app_public.report_row_amount_formatted(line app_public.report_row)
returns text
language sql
stable
as $$
  select app_hidden.format_amount_of(line.amount, line.currency)
$$;

create or replace function app_public.total_balance_balance_formatted(total app_public.total_balance)
returns text
language sql
stable
as $$
  select app_hidden.format_amount_of(total.balance, total.currency)
$$;

grant execute on function
  app_public.trial_balance_row_debits_formatted(app_public.trial_balance_row),
  app_public.trial_balance_row_credits_formatted(app_public.trial_balance_row),
  app_public.trial_balance_row_balance_formatted(app_public.trial_balance_row),
  app_public.report_row_amount_formatted(app_public.report_row)
to tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;
grant execute on function app_public.total_balance_balance_formatted(app_public.total_balance) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.trial_balance_row_debits_formatted(app_public.trial_balance_row) is $$
The debits as a decimal at the exponent of its currency, such as "12.34".
$$;
comment on function app_public.trial_balance_row_credits_formatted(app_public.trial_balance_row) is $$
The credits as a decimal at the exponent of its currency, such as "12.34".
$$;
comment on function app_public.trial_balance_row_balance_formatted(app_public.trial_balance_row) is $$
The balance as a decimal at the exponent of its currency, such as "12.34".
$$;
comment on function app_public.report_row_amount_formatted(app_public.report_row) is $$
The amount as a decimal at the exponent of its currency, such as "12.34".
$$;
comment on function app_public.total_balance_balance_formatted(app_public.total_balance) is $$
The balance as a decimal at the exponent of its currency, such as "12.34".
$$;
--! EndIncluded reports/formatted.sql
--! Included reports/comments.sql
/*
 * What GraphQL says about reports. See accounts/comments.sql for how it is read.
 */
comment on type app_public.trial_balance_row is 'An account in a trial balance.';
comment on column app_public.trial_balance_row.account_id is 'The id of the account.';
comment on column app_public.trial_balance_row.code is 'The code of the account.';
comment on column app_public.trial_balance_row.name is 'The name of the account.';
comment on column app_public.trial_balance_row.type is 'What the account stands for.';
comment on column app_public.trial_balance_row.currency is 'The code of the currency.';
comment on column app_public.trial_balance_row.debits is 'The sum of all posted debits, in minor units.';
comment on column app_public.trial_balance_row.credits is 'The sum of all posted credits, in minor units.';
comment on column app_public.trial_balance_row.balance is 'Debits less credits, in minor units.';

comment on type app_public.report_row is 'A row of a balance sheet or an income statement.';
comment on column app_public.report_row.type is $$
Where it belongs: under assets, liabilities, equity, revenue or expense.
$$;
comment on column app_public.report_row.account_id is 'The id of the account; null for current earnings.';
comment on column app_public.report_row.code is 'The code of the account; null for current earnings.';
comment on column app_public.report_row.name is 'The name of the account, or "Current earnings".';
comment on column app_public.report_row.currency is 'The code of the currency.';
comment on column app_public.report_row.amount is $$
The amount in minor units, on the normal side of the type: above zero for a debit of assets and expenses, and
for a credit of the others.
$$;
--! EndIncluded reports/comments.sql
--! Included periods/open_period.sql
/*
 * Open an accounting period. The exclusion constraint of the table decides what overlaps, also against a
 * period that somebody else is opening at this moment; what it was is found out afterwards.
 * A period before a closed one would be closed after it, and its year-end close would move again what
 * the later one moved: it is refused.
 */
create or replace function app_public.open_period(name text, starts_at timestamptz, ends_at timestamptz)
returns app_public.accounting_periods
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant_id constant integer := app_private.required_tenant_id();
  v_during tstzrange;
  v_period app_public.accounting_periods;
  v_other app_public.accounting_periods;
begin
  if length(open_period.name) between 1 and 100 is not true then
    perform app_private.refuse('LG114', jsonb_build_object('field', 'name', 'rule', '1 to 100 characters'));
  end if;
  if (isfinite(starts_at) and isfinite(ends_at) and starts_at < ends_at) is not true then
    perform app_private.refuse('LG130', jsonb_build_object('startsAt', starts_at, 'endsAt', ends_at));
  end if;
  v_during := tstzrange(starts_at, ends_at);
  -- Whoever closes a period holds this exclusively, so that none is opened before it meanwhile.
  perform pg_advisory_xact_lock_shared(app_private.books_lock(v_tenant_id));
  select p.* into v_other
  from app_public.accounting_periods p
  where p.tenant_id = v_tenant_id and p.closed_at is not null and p.during >> v_during
  order by p.during
  limit 1;
  if found then
    perform app_private.refuse('LG336', jsonb_build_object('period', v_other.name));
  end if;

  insert into app_public.accounting_periods (tenant_id, name, during)
  values (v_tenant_id, open_period.name, v_during)
  on conflict do nothing
  returning * into v_period;
  if not found then
    select p.* into v_other
    from app_public.accounting_periods p
    where p.tenant_id = v_tenant_id and p.during && v_during
    order by p.during
    limit 1;
    if found then
      perform app_private.refuse('LG334', jsonb_build_object('period', v_other.name));
    end if;
    perform app_private.refuse('LG335', jsonb_build_object('period', open_period.name));
  end if;
  return v_period;
end
$$;

grant execute on function app_public.open_period(text, timestamptz, timestamptz) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.open_period(text, timestamptz, timestamptz) is $$
Opens an accounting period from `startsAt` until before `endsAt`. Periods do not overlap, and none is opened
before a closed one. A period changes nothing until it is closed.
$$;
--! EndIncluded periods/open_period.sql
--! Included periods/close_period__entries.sql
/*
 * The entries that move revenue and expense to equity: for each currency the balance that each account has
 * at the end of a period goes to the retained earnings account of that currency. Earlier closes are part
 * of those balances, so only what they left is moved. A closed account is left out: nothing can be posted
 * to it, and it is empty by now. A thousand accounts a transaction, so that none grows too large.
 */
create or replace function app_private.close_period__entries(
  tenant_id integer,
  period_name text,
  ends_at timestamptz,
  retained_earnings_code text
)
returns app_public.transaction_input[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with line as (
    select a.id, a.currency, c.posted_debits - c.posted_credits as balance,
      (row_number() over (partition by a.currency order by a.code) - 1) / 1000 as part
    from app_hidden.counters_at(
      close_period__entries.tenant_id,
      array(
        select a.id from app_public.accounts a
        where a.tenant_id = close_period__entries.tenant_id
          and a.type in ('revenue', 'expense') and a.status <> 'closed'
      ),
      ends_at - interval '1 microsecond'
    ) c
    join app_public.accounts a on a.tenant_id = close_period__entries.tenant_id and a.id = c.account_id
    where c.posted_debits <> c.posted_credits
  ),
  entry as (
    select l.currency, l.part, l.id, -l.balance as amount
    from line l
    union all
    select l.currency, l.part,
      (
        select a.id from app_public.accounts a
        where a.tenant_id = close_period__entries.tenant_id and a.code = retained_earnings_code
          and a.currency = l.currency and a.type = 'equity'
      ),
      sum(l.balance)
    from line l
    group by l.currency, l.part
    having sum(l.balance) <> 0
  ),
  item as (
    select e.currency, e.part, array_agg(row(
      e.id, case when e.amount > 0 then 'debit' else 'credit' end, abs(e.amount)
    )::app_public.posting_input order by e.id) as postings
    from entry e
    group by e.currency, e.part
  )
  select array_agg(row(
    'posted', i.postings, null, ends_at - interval '1 microsecond', null, null, null,
    'Close of ' || period_name, null, null
  )::app_public.transaction_input order by i.currency, i.part)
  from item i
$$;
--! EndIncluded periods/close_period__entries.sql
--! Included periods/close_period.sql
/*
 * Close an accounting period: from here on nothing is posted into it (LG309). The lock on the books waits
 * for what is being posted and holds off what comes next, so nothing slips in between.
 *
 * Refuses in this order: unknown (LG330), closed already (LG331), not ended yet (LG332), an earlier one
 * open (LG333), no retained earnings account for a currency (LG337), and whatever refuses the entries.
 */
create or replace function app_public.close_period(
  period_id uuid,
  retained_earnings_code text default null
)
returns app_public.accounting_periods
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant_id constant integer := app_private.required_tenant_id();
  v_period app_public.accounting_periods;
  v_earlier text;
begin
  perform pg_advisory_xact_lock(app_private.books_lock(v_tenant_id));
  select * into v_period
  from app_public.accounting_periods p
  where p.tenant_id = v_tenant_id and p.id = close_period.period_id;
  if not found then
    perform app_private.refuse('LG330', jsonb_build_object('periodId', close_period.period_id));
  elsif v_period.closed_at is not null then
    perform app_private.refuse('LG331', jsonb_build_object(
      'period', v_period.name, 'closedAt', v_period.closed_at));
  elsif upper(v_period.during) > clock_timestamp() then
    perform app_private.refuse('LG332', jsonb_build_object(
      'period', v_period.name, 'endsAt', upper(v_period.during)));
  end if;
  select p.name into v_earlier
  from app_public.accounting_periods p
  where p.tenant_id = v_tenant_id and p.closed_at is null and p.during << v_period.during
  order by p.during
  limit 1;
  if found then
    perform app_private.refuse('LG333', jsonb_build_object(
      'period', v_period.name, 'earlierPeriod', v_earlier));
  end if;

  if retained_earnings_code is not null then
    perform app_private.close_period__post(v_tenant_id, v_period, retained_earnings_code);
  end if;
  update app_public.accounting_periods p
  set closed_at = clock_timestamp(), closed_by = app_hidden.current_user_id()
  where p.tenant_id = v_tenant_id and p.id = v_period.id
  returning * into v_period;
  return v_period;
end
$$;

/*
 * Post the entries of a year-end close, and record them as such.
 */
create or replace function app_private.close_period__post(
  tenant_id integer,
  period app_public.accounting_periods,
  retained_earnings_code text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_entries constant app_public.transaction_input[] := app_private.close_period__entries(
    tenant_id, period.name, upper(period.during), retained_earnings_code);
  v_results app_public.transaction_result[];
  v_currency text;
begin
  if v_entries is null then
    return;
  end if;
  select b.currency into v_currency
  from unnest(v_entries) e
  cross join lateral unnest(e.postings) p
  join app_public.account_balances b
    on b.tenant_id = close_period__post.tenant_id and b.account_id = (e.postings[1]).account_id
  where p.account_id is null
  order by b.currency
  limit 1;
  if found then
    perform app_private.refuse('LG337', jsonb_build_object(
      'code', retained_earnings_code, 'currency', v_currency));
  end if;

  v_results := app_private.post_batch(tenant_id, app_hidden.current_user_id(), v_entries, 'atomic');
  insert into app_public.closing_transactions (tenant_id, transaction_id, period_id)
  select close_period__post.tenant_id, r.transaction_id, period.id
  from unnest(v_results) r;
end
$$;

grant execute on function app_public.close_period(uuid, text) to tallystick_accountant, tallystick_admin;

comment on function app_public.close_period(uuid, text) is $$
Closes an accounting period: nothing more can be posted into it. It must have ended, and the periods before it
must be closed. With `retainedEarningsCode`, the code of an equity account in each currency concerned, it
first moves the balances of revenue and expense to that account, effective at the last microsecond of the
period: the year-end close. It is final.
$$;
--! EndIncluded periods/close_period.sql
--! Included periods/access.sql
/*
 * Which transactions closed a period is the staff's to read.
 */
drop policy if exists select_staff on app_public.closing_transactions;
create policy select_staff on app_public.closing_transactions for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_public.closing_transactions to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

create or replace trigger _200_refuse_change
  before update or delete or truncate on app_public.closing_transactions
  for each statement execute function app_private.tg__refuse_change();

comment on table app_public.closing_transactions is $$
A transaction that moved revenue and expense to equity when an accounting period was closed.
$$;
comment on column app_public.closing_transactions.transaction_id is 'The id of the transaction.';
comment on column app_public.closing_transactions.period_id is 'The id of the period.';
comment on constraint closing_transactions_transaction_id_fkey on app_public.closing_transactions is $$
@fieldName transaction
@foreignSingleFieldName closing
@forwardDescription The transaction.
@backwardDescription What it closed, if it closed an accounting period.
$$;
comment on constraint closing_transactions_period_id_fkey on app_public.closing_transactions is $$
@fieldName period
@foreignFieldName closingTransactions
@forwardDescription The period that it closed.
@backwardDescription The transactions that moved its revenue and expense to equity.
$$;
--! EndIncluded periods/access.sql
--! Included accounts/lock_account.sql
/*
 * Lock an account's balance, as posting to it does, and bring up to date how much of what is pending has
 * expired. Whatever changes an account does this first and touches app_public.accounts after: in that
 * order nothing waits in a circle, and what is read here is what the next posting will find.
 */
create or replace function app_private.lock_account(tenant_id integer, account_id uuid)
returns app_public.account_balances
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_balance app_public.account_balances;
  v_now timestamptz;
begin
  select b.* into v_balance
  from app_public.account_balances b
  where b.tenant_id = lock_account.tenant_id and b.account_id = lock_account.account_id
  for no key update;
  if not found then
    perform app_private.refuse('LG301', jsonb_build_object('accountId', lock_account.account_id));
  end if;
  v_now := clock_timestamp();
  if v_balance.next_expiry_at <= v_now then
    update app_public.account_balances b set
      expired_debits = e.debits,
      expired_credits = e.credits
    from (
      select coalesce(sum(r.debits::numeric), 0) as debits, coalesce(sum(r.credits::numeric), 0) as credits
      from app_private.open_reservations r
      where r.tenant_id = lock_account.tenant_id and r.account_id = lock_account.account_id
        and r.expires_at <= v_now
    ) e
    where b.tenant_id = lock_account.tenant_id and b.account_id = lock_account.account_id
    returning b.* into v_balance;
  end if;
  return v_balance;
end
$$;
--! EndIncluded accounts/lock_account.sql
--! Included accounts/set_account_status.sql
/*
 * Change the status of an account under the lock that posting takes. Closed is final; asking for the
 * status that an account has already changes nothing.
 */
create or replace function app_private.set_account_status(
  tenant_id integer,
  account_id uuid,
  status app_public.account_status
)
returns app_public.accounts
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_balance constant app_public.account_balances := app_private.lock_account(tenant_id, account_id);
  v_account app_public.accounts;
begin
  if v_balance.status = 'closed' and set_account_status.status <> 'closed' then
    perform app_private.refuse('LG303', jsonb_build_object('accountId', account_id));
  end if;
  if set_account_status.status = 'closed' and (
    v_balance.posted_debits::numeric <> v_balance.posted_credits
    or v_balance.pending_debits > 0 or v_balance.pending_credits > 0
  ) then
    perform app_private.refuse('LG313', jsonb_build_object(
      'accountId', account_id,
      'postedDebits', v_balance.posted_debits::text, 'postedCredits', v_balance.posted_credits::text,
      'pendingDebits', v_balance.pending_debits::text, 'pendingCredits', v_balance.pending_credits::text));
  end if;
  update app_public.accounts a set status = set_account_status.status
  where a.tenant_id = set_account_status.tenant_id and a.id = set_account_status.account_id
    and a.status <> set_account_status.status;
  select a.* into v_account
  from app_public.accounts a
  where a.tenant_id = set_account_status.tenant_id and a.id = set_account_status.account_id;
  return v_account;
end
$$;
--! EndIncluded accounts/set_account_status.sql
--! Included accounts/freeze_account.sql
/*
 * Freeze an account. Whoever is posting to it at this moment is waited for; whoever posts next is refused.
 */
create or replace function app_public.freeze_account(id uuid)
returns app_public.accounts
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select s.*
  from app_private.set_account_status(app_private.required_tenant_id(), freeze_account.id, 'frozen') s
$$;

grant execute on function app_public.freeze_account(uuid) to
  tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.freeze_account(uuid) is $$
Freezes an account: from now on it takes no postings, except those that release what is pending (a void,
an expiry). Freezing a frozen account changes nothing. A closed one is refused.
$$;
--! EndIncluded accounts/freeze_account.sql
--! Included accounts/unfreeze_account.sql
/*
 * Let a frozen account take postings again.
 */
create or replace function app_public.unfreeze_account(id uuid)
returns app_public.accounts
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select s.*
  from app_private.set_account_status(app_private.required_tenant_id(), unfreeze_account.id, 'open') s
$$;

grant execute on function app_public.unfreeze_account(uuid) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.unfreeze_account(uuid) is $$
Opens a frozen account again. An open account stays as it is. A closed one is refused: closing is final.
$$;
--! EndIncluded accounts/unfreeze_account.sql
--! Included accounts/close_account.sql
/*
 * Close an account for good.
 */
create or replace function app_public.close_account(id uuid)
returns app_public.accounts
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select s.*
  from app_private.set_account_status(app_private.required_tenant_id(), close_account.id, 'closed') s
$$;

grant execute on function app_public.close_account(uuid) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.close_account(uuid) is $$
Closes an account for good. Its posted balance must be zero and nothing may be pending on it. Its history
stays, and so does its code. Closing a closed account changes nothing.
$$;
--! EndIncluded accounts/close_account.sql
--! Included accounts/set_account_limits.sql
/*
 * Set both limits of an account. They are checked here against the balance under the lock, and again by
 * the constraints of account_balances, which the mirror trigger meets.
 */
create or replace function app_public.set_account_limits(
  id uuid,
  minimum_balance app_public.amount default null,
  maximum_balance app_public.amount default null
)
returns app_public.accounts
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := app_private.required_tenant_id();
  v_balance app_public.account_balances;
  v_account app_public.accounts;
  v_available numeric;
  v_highest numeric;
begin
  if set_account_limits.minimum_balance > set_account_limits.maximum_balance then
    perform app_private.refuse('LG115');
  end if;
  v_balance := app_private.lock_account(v_tenant_id, set_account_limits.id);
  if v_balance.status = 'closed' then
    perform app_private.refuse('LG303', jsonb_build_object('accountId', set_account_limits.id));
  end if;
  if v_balance.normal_balance = 'debit' then
    v_available := v_balance.posted_debits::numeric - v_balance.posted_credits
      - v_balance.pending_credits + v_balance.expired_credits;
    v_highest := v_balance.posted_debits::numeric - v_balance.posted_credits
      + v_balance.pending_debits - v_balance.expired_debits;
  else
    v_available := v_balance.posted_credits::numeric - v_balance.posted_debits
      - v_balance.pending_debits + v_balance.expired_debits;
    v_highest := v_balance.posted_credits::numeric - v_balance.posted_debits
      + v_balance.pending_credits - v_balance.expired_credits;
  end if;
  if v_available < set_account_limits.minimum_balance or v_highest > set_account_limits.maximum_balance then
    perform app_private.refuse('LG317', jsonb_build_object(
      'accountId', set_account_limits.id, 'available', v_available::text, 'highest', v_highest::text));
  end if;
  update app_public.accounts a set
    minimum_balance = set_account_limits.minimum_balance,
    maximum_balance = set_account_limits.maximum_balance
  where a.tenant_id = v_tenant_id and a.id = set_account_limits.id
  returning a.* into v_account;
  return v_account;
end
$$;

grant execute on function app_public.set_account_limits(uuid, app_public.amount, app_public.amount) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.set_account_limits(uuid, app_public.amount, app_public.amount) is $$
Sets both limits of an account, in minor units; a limit that is left out is taken away. The available
balance may not fall below the minimum, nor what is posted and pending rise above the maximum, pending
amounts counted. Refused where the balance of the moment is outside already.
$$;
--! EndIncluded accounts/set_account_limits.sql
--! Included accounts/update_account.sql
/*
 * Change what may change about an account: its name and its metadata.
 */
create or replace function app_public.update_account(
  id uuid,
  name text default null,
  metadata jsonb default null
)
returns app_public.accounts
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := app_private.required_tenant_id();
  v_account app_public.accounts;
begin
  if length(update_account.name) not between 1 and 200 then
    perform app_private.refuse('LG114', jsonb_build_object('field', 'name', 'rule', '1 to 200 characters'));
  end if;
  if jsonb_typeof(update_account.metadata) <> 'object'
    or octet_length(update_account.metadata::text) > 16384
  then
    perform app_private.refuse('LG107');
  end if;
  update app_public.accounts a set
    name = coalesce(update_account.name, a.name),
    metadata = coalesce(update_account.metadata, a.metadata)
  where a.tenant_id = v_tenant_id and a.id = update_account.id
  returning a.* into v_account;
  if not found then
    perform app_private.refuse('LG301', jsonb_build_object('accountId', update_account.id));
  end if;
  return v_account;
end
$$;

grant execute on function app_public.update_account(uuid, text, jsonb) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.update_account(uuid, text, jsonb) is $$
Changes the name and the metadata of an account; what is left out stays. The metadata is replaced as a
whole. Code, currency, type, normal balance and parent never change.
$$;
--! EndIncluded accounts/update_account.sql
--! Included accounts/tg_accounts__keep.sql
/*
 * What is true of an account stays true, whoever updates it: its identity and the facts that its history
 * was written under never change, closed is final, and no account is removed.
 */
create or replace function app_private.tg_accounts__keep()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if TG_OP <> 'UPDATE' then
    perform app_private.refuse('LG350', jsonb_build_object('operation', TG_OP));
  end if;
  if (NEW.tenant_id, NEW.id, NEW.code, NEW.currency, NEW.type, NEW.normal_balance, NEW.created_at)
    is distinct from
    (OLD.tenant_id, OLD.id, OLD.code, OLD.currency, OLD.type, OLD.normal_balance, OLD.created_at)
    or NEW.parent_id is distinct from OLD.parent_id
  then
    perform app_private.refuse('LG350', jsonb_build_object('accountId', OLD.id));
  end if;
  if OLD.status = 'closed' and NEW.status <> 'closed' then
    perform app_private.refuse('LG303', jsonb_build_object('accountId', OLD.id));
  end if;
  -- By the clock, like the times of postings: whoever closes holds the lock that posting takes.
  NEW.closed_at := case
    when OLD.status = 'closed' then OLD.closed_at
    when NEW.status = 'closed' then clock_timestamp()
  end;
  NEW.updated_at := now();
  return NEW;
end
$$;

create or replace trigger _200_keep
  before update or delete on app_public.accounts
  for each row execute function app_private.tg_accounts__keep();

create or replace trigger _210_keep
  before truncate on app_public.accounts
  for each statement execute function app_private.tg_accounts__keep();
--! EndIncluded accounts/tg_accounts__keep.sql
--! Included accounts/account_sets.sql
/*
 * An account set of the tenant, or the refusal LG351.
 */
create or replace function app_private.required_account_set(tenant_id integer, id uuid)
returns app_public.account_sets
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_set app_public.account_sets;
begin
  select s.* into v_set
  from app_public.account_sets s
  where s.tenant_id = required_account_set.tenant_id and s.id = required_account_set.id;
  if not found then
    perform app_private.refuse('LG351', jsonb_build_object('accountSetId', required_account_set.id));
  end if;
  return v_set;
end
$$;

/*
 * No set holds itself, however far down. Who nests sets takes turns, per tenant: two that each close
 * half of a circle would not see each other otherwise.
 */
create or replace function app_private.tg_account_set_members__refuse_circle()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_advisory_xact_lock((7152::bigint << 32) + NEW.tenant_id);
  if exists (
    with recursive below as (
      select NEW.member_set_id as id
      union
      select m.member_set_id
      from below b
      join app_public.account_set_members m
        on m.tenant_id = NEW.tenant_id and m.account_set_id = b.id and m.member_set_id is not null
    )
    select from below b where b.id = NEW.account_set_id
  ) then
    perform app_private.refuse('LG353', jsonb_build_object(
      'accountSetId', NEW.account_set_id, 'memberSetId', NEW.member_set_id));
  end if;
  return null;
end
$$;

create or replace trigger _200_refuse_circle
  after insert or update on app_public.account_set_members
  for each row when (NEW.member_set_id is not null)
  execute function app_private.tg_account_set_members__refuse_circle();
--! EndIncluded accounts/account_sets.sql
--! Included accounts/create_account_set.sql
/*
 * Create an account set.
 */
create or replace function app_public.create_account_set(code text, name text)
returns app_public.account_sets
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant_id constant integer := app_private.required_tenant_id();
  v_set app_public.account_sets;
begin
  if length(create_account_set.code) not between 1 and 200
    or create_account_set.code ~ '[[:cntrl:]]' or create_account_set.code <> btrim(create_account_set.code)
  then
    perform app_private.refuse('LG114', jsonb_build_object(
      'field', 'code', 'rule', '1 to 200 printable characters, no blank at either end'));
  end if;
  if length(create_account_set.name) not between 1 and 200 then
    perform app_private.refuse('LG114', jsonb_build_object('field', 'name', 'rule', '1 to 200 characters'));
  end if;
  insert into app_public.account_sets (tenant_id, code, name)
  values (v_tenant_id, create_account_set.code, create_account_set.name)
  on conflict on constraint account_sets_code_key do nothing
  returning * into v_set;
  if not found then
    perform app_private.refuse('LG352', jsonb_build_object('code', create_account_set.code));
  end if;
  return v_set;
end
$$;

grant execute on function app_public.create_account_set(text, text) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.create_account_set(text, text) is $$
Creates an account set: a named roll-up of accounts and of other sets. The code is unique.
$$;
--! EndIncluded accounts/create_account_set.sql
--! Included accounts/add_account_to_set.sql
/*
 * Put an account into a set.
 */
create or replace function app_public.add_account_to_set(account_set_id uuid, account_id uuid)
returns app_public.account_sets
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := app_private.required_tenant_id();
  v_set constant app_public.account_sets :=
    app_private.required_account_set(v_tenant_id, add_account_to_set.account_set_id);
begin
  if not exists (
    select from app_public.accounts a
    where a.tenant_id = v_tenant_id and a.id = add_account_to_set.account_id
  ) then
    perform app_private.refuse('LG301', jsonb_build_object('accountId', add_account_to_set.account_id));
  end if;
  insert into app_public.account_set_members (tenant_id, account_set_id, account_id)
  values (v_tenant_id, v_set.id, add_account_to_set.account_id)
  on conflict on constraint account_set_members_account_id_key do nothing;
  return v_set;
end
$$;

grant execute on function app_public.add_account_to_set(uuid, uuid) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.add_account_to_set(uuid, uuid) is $$
Puts an account into an account set. An account that is in it already stays.
$$;
--! EndIncluded accounts/add_account_to_set.sql
--! Included accounts/add_set_to_set.sql
/*
 * Nest one set in another.
 */
create or replace function app_public.add_set_to_set(account_set_id uuid, member_set_id uuid)
returns app_public.account_sets
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := app_private.required_tenant_id();
  v_set constant app_public.account_sets :=
    app_private.required_account_set(v_tenant_id, add_set_to_set.account_set_id);
begin
  perform app_private.required_account_set(v_tenant_id, add_set_to_set.member_set_id);
  if add_set_to_set.member_set_id = v_set.id then
    perform app_private.refuse('LG353', jsonb_build_object(
      'accountSetId', v_set.id, 'memberSetId', v_set.id));
  end if;
  insert into app_public.account_set_members (tenant_id, account_set_id, member_set_id)
  values (v_tenant_id, v_set.id, add_set_to_set.member_set_id)
  on conflict on constraint account_set_members_member_set_id_key do nothing;
  return v_set;
end
$$;

grant execute on function app_public.add_set_to_set(uuid, uuid) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.add_set_to_set(uuid, uuid) is $$
Puts an account set into another. No set may hold itself, neither directly nor through other sets.
$$;
--! EndIncluded accounts/add_set_to_set.sql
--! Included accounts/remove_account_from_set.sql
/*
 * Take an account out of a set.
 */
create or replace function app_public.remove_account_from_set(account_set_id uuid, account_id uuid)
returns app_public.account_sets
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := app_private.required_tenant_id();
  v_set constant app_public.account_sets :=
    app_private.required_account_set(v_tenant_id, remove_account_from_set.account_set_id);
begin
  delete from app_public.account_set_members m
  where m.tenant_id = v_tenant_id and m.account_set_id = v_set.id
    and m.account_id = remove_account_from_set.account_id;
  return v_set;
end
$$;

grant execute on function app_public.remove_account_from_set(uuid, uuid) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.remove_account_from_set(uuid, uuid) is $$
Takes an account out of an account set. An account that is not in it directly changes nothing.
$$;
--! EndIncluded accounts/remove_account_from_set.sql
--! Included accounts/remove_set_from_set.sql
/*
 * Take a set out of another.
 */
create or replace function app_public.remove_set_from_set(account_set_id uuid, member_set_id uuid)
returns app_public.account_sets
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := app_private.required_tenant_id();
  v_set constant app_public.account_sets :=
    app_private.required_account_set(v_tenant_id, remove_set_from_set.account_set_id);
begin
  delete from app_public.account_set_members m
  where m.tenant_id = v_tenant_id and m.account_set_id = v_set.id
    and m.member_set_id = remove_set_from_set.member_set_id;
  return v_set;
end
$$;

grant execute on function app_public.remove_set_from_set(uuid, uuid) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.remove_set_from_set(uuid, uuid) is $$
Takes an account set out of another. A set that is not in it directly changes nothing.
$$;
--! EndIncluded accounts/remove_set_from_set.sql
--! Included ledger/expire_pending.sql
/*
 * Release what has expired, for the worker: up to max_transactions of one tenant a call, so that no lock
 * is held longer than a batch takes. The task calls again until `expired` is zero.
 * Expiry itself needs no job: from its instant on a pending transaction can no longer be posted, and
 * limits and balances leave it out. This writes down the release, as a transaction of its own.
 *
 * Any number of workers may call it: a tenant that another one is at is left to it, and a transaction
 * that was resolved meanwhile is refused by the engine and counts as refused.
 */
create or replace function app_private.expire_pending(
  max_transactions integer,
  out tenant_id integer,
  out expired integer,
  out refused integer,
  out next_expiry_at timestamptz
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_due integer;
  v_items app_public.transaction_input[];
begin
  expired := 0;
  refused := 0;
  -- In no fixed order, so that a tenant whose batch is refused does not hold up the others for ever.
  for v_due in
    select t.id
    from app_public.tenants t
    where exists (
      select from app_private.open_reservations r where r.tenant_id = t.id and r.expires_at <= v_now
    )
    order by random()
  loop
    -- The upper half sets the key apart from other advisory locks.
    if pg_try_advisory_xact_lock((7153::bigint << 32) + v_due) then
      tenant_id := v_due;
      exit;
    end if;
  end loop;
  if tenant_id is not null then
    select array_agg(
      row('expire_pending', null, null, null, null, d.transaction_id, null, null, null, null)
        ::app_public.transaction_input
    )
    into v_items
    from (
      select r.transaction_id
      from app_private.open_reservations r
      where r.tenant_id = expire_pending.tenant_id and r.expires_at <= v_now
      group by r.transaction_id
      order by min(r.expires_at), r.transaction_id
      limit least(greatest(max_transactions, 1), 10000)
    ) d;
    select count(*) filter (where result.refusal is null), count(*) filter (where result.refusal is not null)
    into expired, refused
    from unnest(app_private.post_batch(tenant_id, null, v_items, 'independent', true)) as result;
  end if;
  select min(n.expires_at) into next_expiry_at
  from app_public.tenants t
  cross join lateral (
    select min(r.expires_at) as expires_at
    from app_private.open_reservations r
    where r.tenant_id = t.id and r.expires_at > v_now
  ) n;
end
$$;

grant execute on function app_private.expire_pending(integer) to tallystick_worker;
--! EndIncluded ledger/expire_pending.sql
--! Included allocation/allocate.sql
/*
 * Split an amount by ratios, to the last unit: each share is the exact one rounded towards zero, and the
 * units that are left go to the largest remainders, the first winning where they are equal. All in whole
 * numbers: the ratios are scaled up first, so nothing is ever rounded.
 */
create or replace function app_public.allocate(amount app_public.amount, ratios numeric[])
returns app_public.amount[]
language plpgsql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_shares app_public.amount[];
begin
  if coalesce(array_ndims(ratios), 0) <> 1 or cardinality(ratios) > 10000
    or exists (
      select from unnest(ratios) as r (ratio)
      -- The first comparison refuses NaN and infinity too, which count as greater than any number.
      where ratio is null or ratio < 0 or ratio >= 1e38 or scale(ratio) > 38
    )
    or not exists (select from unnest(ratios) as r (ratio) where ratio > 0)
  then
    perform app_private.refuse('LG141');
  end if;

  with scaled as (
    select
      r.n,
      r.ratio * ('1e' || (select max(scale(x.ratio)) from unnest(ratios) as x (ratio)))::numeric as ratio
    from unnest(ratios) with ordinality as r (ratio, n)
  ),
  divided as (
    select
      s.n,
      div(abs(amount::numeric) * s.ratio, t.total) as share,
      mod(abs(amount::numeric) * s.ratio, t.total) as remainder
    from scaled s
    cross join (select sum(scaled.ratio) as total from scaled) t
  ),
  ranked as (
    select
      d.n, d.share,
      row_number() over (order by d.remainder desc, d.n)
        <= abs(amount::numeric) - sum(d.share) over () as is_rounded_up
    from divided d
  )
  select array_agg(
    trunc(sign(amount::numeric) * (r.share + case when r.is_rounded_up then 1 else 0 end)) order by r.n)
  into v_shares
  from ranked r;
  return v_shares;
end
$$;

grant execute on function app_public.allocate(app_public.amount, numeric[]) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.allocate(app_public.amount, numeric[]) is $$
Splits an amount of minor units by ratios without losing one: the shares sum to the amount, and each differs
from the exact share by less than one unit. What rounding leaves goes to the largest remainders, the first
winning where they are equal, so the same question always has the same answer. A ratio of zero gets nothing; a
negative amount splits like a positive one.
$$;
--! EndIncluded allocation/allocate.sql
--! Included fx/round_half_even.sql
/*
 * Round to a whole number, halves to the even one, so that many conversions do not drift to one side.
 */
create or replace function app_private.round_half_even(value numeric)
returns numeric
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select case
    when abs(value - trunc(value)) = 0.5 then trunc(value) + mod(trunc(value), 2)
    else round(value)
  end
$$;
--! EndIncluded fx/round_half_even.sql
--! Included fx/required_conversion_account.sql
/*
 * An account of the tenant by its id, or the refusal LG301.
 */
create or replace function app_private.required_account(tenant_id integer, id uuid)
returns app_public.accounts
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_account app_public.accounts;
begin
  select a.* into v_account
  from app_public.accounts a
  where a.tenant_id = required_account.tenant_id and a.id = required_account.id;
  if not found then
    perform app_private.refuse('LG301', jsonb_build_object('accountId', required_account.id));
  end if;
  return v_account;
end
$$;

/*
 * The trading or rounding account of a currency, by its code, or the refusal LG343.
 */
create or replace function app_private.required_conversion_account(
  tenant_id integer,
  code text,
  currency text
)
returns uuid
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id uuid;
begin
  select a.id into v_id
  from app_public.accounts a
  where a.tenant_id = required_conversion_account.tenant_id
    and a.code = required_conversion_account.code and a.currency = required_conversion_account.currency;
  if not found then
    perform app_private.refuse('LG343', jsonb_build_object('code', code, 'currency', currency));
  end if;
  return v_id;
end
$$;
--! EndIncluded fx/required_conversion_account.sql
--! Included fx/rate_at.sql
/*
 * The rate between two currencies at a time: the one that was set, or else the inverse of the one that
 * was set the other way round, rounded to 18 decimals, or more for a large one. That
 * decimal is then *the* rate: it is stored with the conversion, and all that follows is exact.
 */
create or replace function app_private.rate_at(
  tenant_id integer,
  from_currency text,
  to_currency text,
  at timestamptz
)
returns numeric
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    (
      select r.rate
      from app_public.exchange_rates r
      where r.tenant_id = rate_at.tenant_id
        and r.base_currency = from_currency and r.quote_currency = to_currency and r.during @> at
    ),
    (
      -- A rate has at most 20 digits before the point, so 45 decimals hold what is asked for.
      select trim_scale(round(1::numeric(60, 45) / r.rate, 18 + greatest(0, ceil(log(r.rate))::integer)))
      from app_public.exchange_rates r
      where r.tenant_id = rate_at.tenant_id
        and r.base_currency = to_currency and r.quote_currency = from_currency and r.during @> at
    )
  )
$$;
--! EndIncluded fx/rate_at.sql
--! Included fx/convert_exactly.sql
/*
 * What an amount is worth in another currency at a time: exactly, in whole units, and what lies between.
 * The exponents of the two currencies shift the decimal point. Raises LG340 where no rate is known.
 */
create or replace function app_private.convert_exactly(
  tenant_id integer,
  amount numeric,
  from_currency text,
  to_currency text,
  at timestamptz
)
returns app_public.converted_amount
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_rate constant numeric := app_private.rate_at(tenant_id, from_currency, to_currency, at);
  v_shift integer;
  v_exact numeric;
  v_rounded numeric;
begin
  if v_rate is null then
    perform app_private.refuse('LG340', jsonb_build_object(
      'from', from_currency, 'to', to_currency, 'at', at));
  end if;
  select t.exponent - f.exponent into v_shift
  from app_public.currencies f, app_public.currencies t
  where f.tenant_id = convert_exactly.tenant_id and f.code = from_currency
    and t.tenant_id = convert_exactly.tenant_id and t.code = to_currency;
  -- Multiplied by a literal power of ten: a product of numerics is exact, a quotient is not.
  v_exact := trim_scale(amount * v_rate * ('1e' || v_shift)::numeric);
  v_rounded := app_private.round_half_even(v_exact);
  if abs(v_rounded) >= 1e38 then
    perform app_private.refuse('LG204');
  end if;
  return row(to_currency, v_rounded, v_rate, v_exact, v_exact - v_rounded)::app_public.converted_amount;
end
$$;
--! EndIncluded fx/convert_exactly.sql
--! Included fx/convert_amount.sql
/*
 * Ask what an amount is worth, without posting anything.
 */
create or replace function app_public.convert_amount(
  amount app_public.amount,
  from_currency text,
  to_currency text,
  at timestamptz default null
)
returns app_public.converted_amount
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select c.*
  from app_private.convert_exactly(
    app_private.required_tenant_id(), amount, from_currency, to_currency, coalesce(at, now())
  ) c
$$;

grant execute on function app_public.convert_amount(app_public.amount, text, text, timestamptz) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.convert_amount(app_public.amount, text, text, timestamptz) is $$
What an amount is worth in another currency at the rate of a time (now, if left out): the exact value, the
value in whole minor units (halves rounded to the even one) and the residue between them. Posts nothing.
$$;

comment on type app_public.converted_amount is $$
An amount in another currency: exact amount = amount + residue.
$$;
--! EndIncluded fx/convert_amount.sql
--! Included fx/set_exchange_rate.sql
/*
 * Set a rate for a time. A new rate without an end ends the one without an end before it; any other
 * overlap is refused, by the temporal constraint of the table.
 */
create or replace function app_public.set_exchange_rate(
  base_currency text,
  quote_currency text,
  rate numeric,
  valid_from timestamptz default null,
  valid_to timestamptz default null
)
returns app_public.exchange_rates
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant_id constant integer := app_private.required_tenant_id();
  v_from constant timestamptz := coalesce(set_exchange_rate.valid_from, now());
  v_rate app_public.exchange_rates;
begin
  -- Compared this way round, NaN and infinity are refused too.
  if not (set_exchange_rate.rate > 0 and set_exchange_rate.rate < 1e20)
    or scale(trim_scale(set_exchange_rate.rate)) > 18
    or set_exchange_rate.base_currency = set_exchange_rate.quote_currency
    or not isfinite(v_from) or not isfinite(set_exchange_rate.valid_to)
    or set_exchange_rate.valid_to <= v_from
  then
    perform app_private.refuse('LG140');
  end if;
  perform app_private.ensure_currency(v_tenant_id, set_exchange_rate.base_currency);
  perform app_private.ensure_currency(v_tenant_id, set_exchange_rate.quote_currency);

  if set_exchange_rate.valid_to is null then
    update app_public.exchange_rates r set during = tstzrange(lower(r.during), v_from)
    where r.tenant_id = v_tenant_id
      and r.base_currency = set_exchange_rate.base_currency
      and r.quote_currency = set_exchange_rate.quote_currency
      and upper_inf(r.during) and lower(r.during) < v_from;
  end if;
  insert into app_public.exchange_rates (
    tenant_id, base_currency, quote_currency, rate, during, created_by
  ) values (
    v_tenant_id, set_exchange_rate.base_currency, set_exchange_rate.quote_currency,
    trim_scale(set_exchange_rate.rate), tstzrange(v_from, set_exchange_rate.valid_to),
    app_hidden.current_user_id()
  )
  returning * into v_rate;
  return v_rate;
exception when exclusion_violation then
  perform app_private.refuse('LG342', jsonb_build_object(
    'baseCurrency', set_exchange_rate.base_currency, 'quoteCurrency', set_exchange_rate.quote_currency,
    'validFrom', v_from));
end
$$;

grant execute on function app_public.set_exchange_rate(text, text, numeric, timestamptz, timestamptz) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.set_exchange_rate(text, text, numeric, timestamptz, timestamptz) is $$
Sets an exchange rate: what one major unit of the base currency is worth in major units of the quote
currency, with at most 18 decimals, from `validFrom` (now, if left out) until `validTo` (open). A rate
without an end ends the one without an end before it. Rates of two currencies never overlap in time.
$$;
--! EndIncluded fx/set_exchange_rate.sql
--! Included fx/post_conversion__plan.sql
/*
 * The postings of a conversion, and what it does to the residue that is carried. A retry with the key of
 * an earlier conversion of the same facts gets the postings of that one, whatever the rate is now.
 * The row of the rounding account in carried_residues is locked before any balance: conversions that
 * share it take turns, in one order.
 */
create or replace function app_private.post_conversion__plan(
  tenant_id integer,
  from_account_id uuid,
  to_account_id uuid,
  amount numeric,
  trading_code text,
  rounding_code text,
  idempotency_key text,
  at timestamptz
)
returns app_private.conversion_plan
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_from app_public.accounts := app_private.required_account(tenant_id, from_account_id);
  v_to app_public.accounts := app_private.required_account(tenant_id, to_account_id);
  v_trading_from uuid;
  v_trading_to uuid;
  v_plan app_private.conversion_plan;
  v_up constant app_public.direction := v_to.normal_balance;
  v_down constant app_public.direction := case when v_up = 'debit' then 'credit' else 'debit' end;
  v_sign constant integer := case when v_up = 'credit' then 1 else -1 end;
  v_rounding numeric;
begin
  if v_from.currency = v_to.currency or v_from.normal_balance <> v_to.normal_balance then
    perform app_private.refuse('LG344', jsonb_build_object(
      'fromAccountId', from_account_id, 'toAccountId', to_account_id));
  end if;
  v_trading_from := app_private.required_conversion_account(tenant_id, trading_code, v_from.currency);
  v_trading_to := app_private.required_conversion_account(tenant_id, trading_code, v_to.currency);
  v_plan.rounding_account_id := app_private.required_conversion_account(
    tenant_id, rounding_code, v_to.currency);
  v_plan.sold_currency := v_from.currency;

  insert into app_private.carried_residues (tenant_id, account_id)
  values (post_conversion__plan.tenant_id, v_plan.rounding_account_id)
  on conflict on constraint carried_residues_pkey do nothing;
  select r.residue into v_plan.carried_residue
  from app_private.carried_residues r
  where r.tenant_id = post_conversion__plan.tenant_id and r.account_id = v_plan.rounding_account_id
  for update;

  select array_agg(
    row(p.account_id, p.direction, p.posted_amount)::app_public.posting_input order by p.ordinal)
  into v_plan.postings
  from app_public.transactions t
  join app_public.conversions c on c.tenant_id = t.tenant_id and c.transaction_id = t.id
  join app_public.postings p on p.tenant_id = t.tenant_id and p.transaction_id = t.id
  where t.tenant_id = post_conversion__plan.tenant_id
    and t.idempotency_key = post_conversion__plan.idempotency_key
    and c.from_account_id = v_from.id and c.to_account_id = v_to.id
    and c.sold_amount = post_conversion__plan.amount
    and c.rounding_account_id = v_plan.rounding_account_id;
  if v_plan.postings is not null then
    return v_plan;
  end if;

  v_plan.bought := app_private.convert_exactly(tenant_id, amount, v_from.currency, v_to.currency, at);
  if (v_plan.bought).amount = 0 then
    perform app_private.refuse('LG341', jsonb_build_object(
      'exactAmount', (v_plan.bought).exact_amount::text));
  end if;
  -- Towards zero: less than a unit stays, on either side of it.
  v_plan.carried_residue := v_plan.carried_residue + v_sign * (v_plan.bought).residue;
  v_plan.rounding_amount := trunc(v_plan.carried_residue);
  v_plan.carried_residue := v_plan.carried_residue - v_plan.rounding_amount;
  v_rounding := v_sign * v_plan.rounding_amount;

  select array_agg(row(l.account_id, l.direction, l.amount)::app_public.posting_input order by l.n)
  into v_plan.postings
  from (values
    (1, v_from.id, v_down, amount),
    (2, v_trading_from, v_up, amount),
    (3, v_to.id, v_up, (v_plan.bought).amount::numeric),
    (4, v_trading_to, v_down, (v_plan.bought).amount + v_rounding),
    (5, v_plan.rounding_account_id, case when v_rounding > 0 then v_up else v_down end, abs(v_rounding))
  ) as l (n, account_id, direction, amount)
  where l.amount > 0;
  return v_plan;
end
$$;
--! EndIncluded fx/post_conversion__plan.sql
--! Included fx/post_conversion.sql
/*
 * Convert: take an amount from an account and give its worth in another currency to another account, in
 * one transaction, through the trading accounts of both currencies. See docs/decisions/0004-conversions.md.
 *
 * Rounding leaves a residue below one unit. It is carried, exactly, per rounding account, and as soon as
 * a whole unit has come together it is posted there, within the conversion that completes it.
 */
create or replace function app_public.post_conversion(
  from_account_id uuid,
  to_account_id uuid,
  amount app_public.amount,
  trading_code text,
  rounding_code text,
  idempotency_key text default null,
  effective_at timestamptz default null,
  description text default null,
  metadata jsonb default null
)
returns app_public.transaction_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := app_private.required_tenant_id();
  v_plan app_private.conversion_plan;
  v_result app_public.transaction_result;
begin
  if amount is null or amount <= 0 then
    perform app_private.refuse('LG102');
  end if;
  v_plan := app_private.post_conversion__plan(
    v_tenant_id, from_account_id, to_account_id, amount, trading_code, rounding_code,
    idempotency_key, coalesce(effective_at, now()));

  v_result := (app_private.post_batch(
    v_tenant_id, app_hidden.current_user_id(),
    array[row(
      'posted', v_plan.postings, idempotency_key, effective_at, null, null, null, description, metadata, null
    )::app_public.transaction_input],
    'atomic'))[1];

  if not v_result.is_replayed then
    insert into app_public.conversions (
      tenant_id, transaction_id, sold_currency, bought_currency, from_account_id, to_account_id,
      rounding_account_id, rate, sold_amount, bought_amount, exact_amount, residue,
      rounding_amount, carried_residue
    ) values (
      v_tenant_id, v_result.transaction_id, v_plan.sold_currency, (v_plan.bought).currency,
      from_account_id, to_account_id, v_plan.rounding_account_id, (v_plan.bought).rate, amount,
      (v_plan.bought).amount, (v_plan.bought).exact_amount, (v_plan.bought).residue,
      v_plan.rounding_amount, v_plan.carried_residue
    );
    update app_private.carried_residues r set residue = v_plan.carried_residue
    where r.tenant_id = v_tenant_id and r.account_id = v_plan.rounding_account_id;
  end if;
  return v_result;
end
$$;

grant execute on function app_public.post_conversion(
  uuid, uuid, app_public.amount, text, text, text, timestamptz, text, jsonb
) to tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.post_conversion(
  uuid, uuid, app_public.amount, text, text, text, timestamptz, text, jsonb
) is $$
Converts: takes `amount` from one account and gives its worth in another currency to another account, at the
exchange rate of the effective time, in one transaction. Both accounts must have the same normal balance.
The other sides are the trading accounts: the accounts with the code `tradingCode`, one in each currency.
What rounding leaves is kept exactly and goes to the account `roundingCode` of the currency that is bought,
as soon as it makes a whole minor unit: a conversion neither makes nor loses money. The same idempotency
key answers with the original, even if the rate has changed since.
$$;
--! EndIncluded fx/post_conversion.sql
--! Included fx/triggers.sql
-- What a conversion was is history, like its postings.
create or replace trigger _200_refuse_change
  before update or delete or truncate on app_public.conversions
  for each statement execute function app_private.tg__refuse_change();
--! EndIncluded fx/triggers.sql
--! Included checks/account_sets_in_a_circle.sql
create or replace view checks.account_sets_in_a_circle with (security_invoker = true) as
with recursive below as (
  select m.tenant_id, m.account_set_id, m.member_set_id
  from app_public.account_set_members m
  where m.member_set_id is not null
  union
  select b.tenant_id, b.account_set_id, m.member_set_id
  from below b
  join app_public.account_set_members m
    on m.tenant_id = b.tenant_id and m.account_set_id = b.member_set_id and m.member_set_id is not null
)
select b.tenant_id, b.account_set_id
from below b
where b.member_set_id = b.account_set_id;

grant select on checks.account_sets_in_a_circle to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.account_sets_in_a_circle is $$
No account set holds itself, neither directly nor through other sets.
$$;
--! EndIncluded checks/account_sets_in_a_circle.sql
--! Included checks/balances_that_differ.sql
create or replace view checks.balances_that_differ with (security_invoker = true) as
select
  b.tenant_id, b.account_id, b.version, p.postings, p.last_version,
  b.posted_debits, p.posted_debits as sum_of_posted_debits,
  b.posted_credits, p.posted_credits as sum_of_posted_credits,
  b.pending_debits, p.pending_debits as sum_of_pending_debits,
  b.pending_credits, p.pending_credits as sum_of_pending_credits
from app_public.account_balances b
left join (
  select
    p.tenant_id, p.account_id,
    count(*) as postings,
    max(p.version) as last_version,
    max(p.created_at) as last_created_at,
    max(p.effective_at) as last_effective_at,
    coalesce(sum(p.posted_amount::numeric) filter (where p.direction = 'debit'), 0) as posted_debits,
    coalesce(sum(p.posted_amount::numeric) filter (where p.direction = 'credit'), 0) as posted_credits,
    coalesce(sum(p.pending_amount::numeric) filter (where p.direction = 'debit'), 0) as pending_debits,
    coalesce(sum(p.pending_amount::numeric) filter (where p.direction = 'credit'), 0) as pending_credits
  from app_public.postings p
  group by p.tenant_id, p.account_id
) p on p.tenant_id = b.tenant_id and p.account_id = b.account_id
left join app_public.postings l
  on l.tenant_id = b.tenant_id and l.account_id = b.account_id and l.version = b.version
where b.version <> coalesce(p.postings, 0)
  or b.version <> coalesce(p.last_version, 0)
  or b.last_created_at <> coalesce(p.last_created_at, '-infinity')
  or b.last_effective_at <> coalesce(p.last_effective_at, '-infinity')
  or b.posted_debits <> coalesce(p.posted_debits, 0)
  or b.posted_credits <> coalesce(p.posted_credits, 0)
  or b.pending_debits <> coalesce(p.pending_debits, 0)
  or b.pending_credits <> coalesce(p.pending_credits, 0)
  or b.posted_debits <> coalesce(l.posted_debits::numeric, 0)
  or b.posted_credits <> coalesce(l.posted_credits::numeric, 0)
  or b.pending_debits <> coalesce(l.pending_debits::numeric, 0)
  or b.pending_credits <> coalesce(l.pending_credits::numeric, 0);

grant select on checks.balances_that_differ to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.balances_that_differ is $$
The counters of an account are the sums of its postings, and those of its last posting.
$$;
--! EndIncluded checks/balances_that_differ.sql
--! Included checks/balances_unlike_their_account.sql
create or replace view checks.balances_unlike_their_account with (security_invoker = true) as
select
  a.tenant_id, a.id as account_id, b.account_id is null as lacks_balance,
  a.status, b.status as balance_status,
  a.minimum_balance, b.minimum_balance as balance_minimum_balance,
  a.maximum_balance, b.maximum_balance as balance_maximum_balance
from app_public.accounts a
left join app_public.account_balances b on b.tenant_id = a.tenant_id and b.account_id = a.id
where b.account_id is null
  or (a.currency, a.normal_balance, a.status) <> (b.currency, b.normal_balance, b.status)
  or a.minimum_balance is distinct from b.minimum_balance
  or a.maximum_balance is distinct from b.maximum_balance;

grant select on checks.balances_unlike_their_account to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.balances_unlike_their_account is $$
What a balance repeats of its account is the same there, and every account has its balance.
$$;
--! EndIncluded checks/balances_unlike_their_account.sql
--! Included checks/broken_posting_chains.sql
create or replace view checks.broken_posting_chains with (security_invoker = true) as
select c.tenant_id, c.account_id, c.version, c.transaction_id, c.version_before
from (
  select
    p.*,
    lag(p.version) over w as version_before,
    lag(p.posted_debits::numeric, 1, 0) over w as posted_debits_before,
    lag(p.posted_credits::numeric, 1, 0) over w as posted_credits_before,
    lag(p.pending_debits::numeric, 1, 0) over w as pending_debits_before,
    lag(p.pending_credits::numeric, 1, 0) over w as pending_credits_before
  from app_public.postings p
  window w as (partition by p.tenant_id, p.account_id order by p.version)
) c
where c.version <> coalesce(c.version_before, 0) + 1
  or c.posted_debits <> c.posted_debits_before
    + case when c.direction = 'debit' then c.posted_amount::numeric else 0 end
  or c.posted_credits <> c.posted_credits_before
    + case when c.direction = 'credit' then c.posted_amount::numeric else 0 end
  or c.pending_debits <> c.pending_debits_before
    + case when c.direction = 'debit' then c.pending_amount::numeric else 0 end
  or c.pending_credits <> c.pending_credits_before
    + case when c.direction = 'credit' then c.pending_amount::numeric else 0 end;

grant select on checks.broken_posting_chains to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.broken_posting_chains is $$
The postings of an account are numbered without a gap, and each carries the counters that it left.
$$;
--! EndIncluded checks/broken_posting_chains.sql
--! Included checks/conversions_that_do_not_add_up.sql
create or replace view checks.conversions_that_do_not_add_up with (security_invoker = true) as
-- Each by itself: the exact amount at the stored rate, and the postings that moved it.
select
  c.tenant_id, c.transaction_id, c.rounding_account_id, c.exact_amount,
  c.sold_amount * c.rate * ('1e' || (b.exponent - s.exponent))::numeric as expected_amount,
  null::numeric as difference
from app_public.conversions c
join app_public.currencies s on s.tenant_id = c.tenant_id and s.code = c.sold_currency
join app_public.currencies b on b.tenant_id = c.tenant_id and b.code = c.bought_currency
cross join lateral (
  select
    coalesce(sum(p.posted_amount::numeric) filter (where p.account_id = c.from_account_id), 0) as sold,
    coalesce(sum(p.posted_amount::numeric) filter (where p.account_id = c.to_account_id), 0) as bought,
    coalesce(sum(case when p.direction = 'credit' then p.posted_amount::numeric else -p.posted_amount end)
      filter (where p.account_id = c.rounding_account_id), 0) as rounding
  from app_public.postings p
  where p.tenant_id = c.tenant_id and p.transaction_id = c.transaction_id
) p
where c.exact_amount <> c.sold_amount * c.rate * ('1e' || (b.exponent - s.exponent))::numeric
  or c.exact_amount <> c.bought_amount + c.residue
  or p.sold <> c.sold_amount or p.bought <> c.bought_amount or p.rounding <> c.rounding_amount
union all
-- All that share a rounding account: residues = posted to it + carried. A residue counts as the
-- direction in which the bought account is paid.
select
  c.tenant_id, null, c.rounding_account_id, null, null,
  sum(case when a.normal_balance = 'credit' then c.residue else -c.residue end)
    - sum(c.rounding_amount::numeric) - coalesce(min(r.residue), 0)
from app_public.conversions c
join app_public.accounts a on a.tenant_id = c.tenant_id and a.id = c.to_account_id
left join app_private.carried_residues r
  on r.tenant_id = c.tenant_id and r.account_id = c.rounding_account_id
group by c.tenant_id, c.rounding_account_id
having sum(case when a.normal_balance = 'credit' then c.residue else -c.residue end)
  - sum(c.rounding_amount::numeric) - coalesce(min(r.residue), 0) <> 0;

grant select on checks.conversions_that_do_not_add_up to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.conversions_that_do_not_add_up is $$
A conversion neither makes nor loses money: value at the rate = what was bought + residue, and the residues
are on the rounding account or carried.
$$;
--! EndIncluded checks/conversions_that_do_not_add_up.sql
--! Included checks/created_at_not_rising.sql
create or replace view checks.created_at_not_rising with (security_invoker = true) as
select c.tenant_id, c.account_id, c.version, c.transaction_id, c.created_at, c.created_at_before
from (
  select
    p.tenant_id, p.account_id, p.version, p.transaction_id, p.created_at,
    lag(p.created_at) over w as created_at_before,
    lag(p.transaction_id) over w as transaction_id_before
  from app_public.postings p
  window w as (partition by p.tenant_id, p.account_id order by p.version)
) c
where c.created_at < c.created_at_before
  or c.created_at = c.created_at_before and c.transaction_id <> c.transaction_id_before;

grant select on checks.created_at_not_rising to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.created_at_not_rising is $$
On an account, each transaction is recorded later than the one before it.
$$;
--! EndIncluded checks/created_at_not_rising.sql
--! Included checks/duplicated_idempotency_keys.sql
create or replace view checks.duplicated_idempotency_keys with (security_invoker = true) as
select t.tenant_id, t.idempotency_key, array_agg(t.id) as transaction_ids
from app_public.transactions t
where t.idempotency_key is not null
group by t.tenant_id, t.idempotency_key
having count(*) > 1;

grant select on checks.duplicated_idempotency_keys to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.duplicated_idempotency_keys is $$
An idempotency key takes effect at most once.
$$;
--! EndIncluded checks/duplicated_idempotency_keys.sql
--! Included checks/exceeded_limits.sql
create or replace view checks.exceeded_limits with (security_invoker = true) as
select
  a.tenant_id, a.id as account_id, a.minimum_balance, a.maximum_balance, c.available, c.highest
from app_public.accounts a
join app_public.account_balances b on b.tenant_id = a.tenant_id and b.account_id = a.id
cross join lateral (
  select
    case a.normal_balance
      when 'debit' then b.posted_debits::numeric - b.posted_credits - b.pending_credits + b.expired_credits
      else b.posted_credits::numeric - b.posted_debits - b.pending_debits + b.expired_debits
    end as available,
    case a.normal_balance
      when 'debit' then b.posted_debits::numeric - b.posted_credits + b.pending_debits - b.expired_debits
      else b.posted_credits::numeric - b.posted_debits + b.pending_credits - b.expired_credits
    end as highest
) c
where c.available < a.minimum_balance or c.highest > a.maximum_balance;

grant select on checks.exceeded_limits to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.exceeded_limits is $$
No account is outside its limits, pending amounts counted, as the account itself states them.
$$;
--! EndIncluded checks/exceeded_limits.sql
--! Included checks/open_reservations_that_differ.sql
create or replace view checks.open_reservations_that_differ with (security_invoker = true) as
with due as (
  select
    p.tenant_id, p.account_id, p.transaction_id, t.expires_at,
    coalesce(sum(p.pending_amount::numeric) filter (where p.direction = 'debit'), 0) as debits,
    coalesce(sum(p.pending_amount::numeric) filter (where p.direction = 'credit'), 0) as credits
  from app_public.transactions t
  join app_public.postings p on p.tenant_id = t.tenant_id and p.transaction_id = t.id
  where t.kind = 'pending' and t.expires_at is not null
    and not exists (
      select from app_public.transactions r where r.tenant_id = t.tenant_id and r.pending_id = t.id
    )
  group by p.tenant_id, p.account_id, p.transaction_id, t.expires_at
)
select
  tenant_id, account_id, transaction_id, expires_at,
  d.debits, d.credits, r.debits as kept_debits, r.credits as kept_credits, b.next_expiry_at
from due d
full join app_private.open_reservations r using (tenant_id, account_id, transaction_id, expires_at)
left join app_public.account_balances b using (tenant_id, account_id)
where d.debits is null or r.debits is null
  or d.debits <> r.debits or d.credits <> r.credits
  -- The balance must look at its reservations no later than the first of them expires.
  or b.next_expiry_at is null or b.next_expiry_at > expires_at;

grant select on checks.open_reservations_that_differ to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.open_reservations_that_differ is $$
What is kept of reservations with a time limit is what their transactions reserved and is not resolved.
$$;
--! EndIncluded checks/open_reservations_that_differ.sql
--! Included checks/orphaned_postings.sql
create or replace view checks.orphaned_postings with (security_invoker = true) as
select
  p.tenant_id, p.account_id, p.version, p.transaction_id,
  a.id is null as lacks_account, t.id is null as lacks_transaction
from app_public.postings p
left join app_public.accounts a on a.tenant_id = p.tenant_id and a.id = p.account_id
left join app_public.transactions t on t.tenant_id = p.tenant_id and t.id = p.transaction_id
where a.id is null or t.id is null;

grant select on checks.orphaned_postings to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.orphaned_postings is $$
Every posting belongs to a transaction and to an account of its own tenant.
$$;
--! EndIncluded checks/orphaned_postings.sql
--! Included checks/pending_transactions_resolved_twice.sql
create or replace view checks.pending_transactions_resolved_twice with (security_invoker = true) as
select t.tenant_id, t.pending_id, array_agg(t.id) as resolved_by
from app_public.transactions t
where t.pending_id is not null
group by t.tenant_id, t.pending_id
having count(*) > 1;

grant select on checks.pending_transactions_resolved_twice to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.pending_transactions_resolved_twice is $$
A pending transaction is posted, voided or expired at most once.
$$;
--! EndIncluded checks/pending_transactions_resolved_twice.sql
--! Included checks/postings_in_another_currency.sql
create or replace view checks.postings_in_another_currency with (security_invoker = true) as
select p.tenant_id, p.account_id, p.version, p.transaction_id, p.currency, a.currency as account_currency
from app_public.postings p
join app_public.accounts a on a.tenant_id = p.tenant_id and a.id = p.account_id
where p.currency <> a.currency;

grant select on checks.postings_in_another_currency to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.postings_in_another_currency is $$
A posting is in the currency of its account.
$$;
--! EndIncluded checks/postings_in_another_currency.sql
--! Included checks/postings_on_closed_accounts.sql
create or replace view checks.postings_on_closed_accounts with (security_invoker = true) as
select a.tenant_id, a.id as account_id, a.closed_at, p.version, p.transaction_id
from app_public.accounts a
join app_public.postings p
  on p.tenant_id = a.tenant_id and p.account_id = a.id and p.created_at > a.closed_at
where a.status = 'closed' and (p.posted_amount > 0 or p.pending_amount > 0)
union all
select a.tenant_id, a.id, a.closed_at, b.version, null
from app_public.accounts a
join app_public.account_balances b on b.tenant_id = a.tenant_id and b.account_id = a.id
where a.status = 'closed'
  and (b.posted_debits <> b.posted_credits or b.pending_debits <> 0 or b.pending_credits <> 0);

grant select on checks.postings_on_closed_accounts to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.postings_on_closed_accounts is $$
A closed account is empty, and took nothing after it was closed.
$$;
--! EndIncluded checks/postings_on_closed_accounts.sql
--! Included checks/postings_unlike_their_transaction.sql
create or replace view checks.postings_unlike_their_transaction with (security_invoker = true) as
select p.tenant_id, p.transaction_id, p.account_id, p.version, t.kind, p.posted_amount, p.pending_amount
from app_public.postings p
join app_public.transactions t on t.tenant_id = p.tenant_id and t.id = p.transaction_id
where p.created_at <> t.created_at
  or p.effective_at <> t.effective_at
  or not case t.kind
    when 'posted' then p.pending_amount = 0
    when 'pending' then p.posted_amount = 0 and p.pending_amount > 0
    when 'post_pending' then p.pending_amount < 0
    else p.posted_amount = 0 and p.pending_amount < 0
  end;

grant select on checks.postings_unlike_their_transaction to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.postings_unlike_their_transaction is $$
A posting has the times of its transaction, and does what its kind says: post, reserve or release.
$$;
--! EndIncluded checks/postings_unlike_their_transaction.sql
--! Included checks/resolutions_that_do_not_fit.sql
create or replace view checks.resolutions_that_do_not_fit with (security_invoker = true) as
with resolution as (
  select
    r.tenant_id, r.id, r.kind, r.pending_id,
    t.kind is distinct from 'pending'
      or (r.kind = 'expire_pending') <> coalesce(r.created_at >= t.expires_at, false) as is_out_of_turn
  from app_public.transactions r
  left join app_public.transactions t on t.tenant_id = r.tenant_id and t.id = r.pending_id
  where r.pending_id is not null
),
side as (
  select
    r.tenant_id, r.id, p.account_id, p.direction,
    -- The pending amounts of both sum to zero; the posted amount is at most what was released.
    sum(p.pending_amount::numeric) as left_over,
    sum(p.posted_amount::numeric + p.pending_amount) filter (where p.transaction_id = r.id) as excess
  from resolution r
  join app_public.postings p on p.tenant_id = r.tenant_id and p.transaction_id in (r.id, r.pending_id)
  group by r.tenant_id, r.id, p.account_id, p.direction
)
select r.tenant_id, r.id as transaction_id, r.kind, r.pending_id
from resolution r
left join (
  select s.tenant_id, s.id
  from side s
  where s.left_over <> 0 or s.excess > 0
  group by s.tenant_id, s.id
) s on s.tenant_id = r.tenant_id and s.id = r.id
where r.is_out_of_turn or s.id is not null;

grant select on checks.resolutions_that_do_not_fit to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.resolutions_that_do_not_fit is $$
What resolves a pending transaction releases all that it reserved, in time, and posts no more.
$$;
--! EndIncluded checks/resolutions_that_do_not_fit.sql
--! Included checks/reversals_that_do_not_fit.sql
create or replace view checks.reversals_that_do_not_fit with (security_invoker = true) as
with line as (
  select r.tenant_id, r.id as transaction_id, r.reverses_id, p.account_id,
    case when p.transaction_id = r.id then p.direction
      when p.direction = 'debit' then 'credit'::app_public.direction
      else 'debit'
    end as direction,
    case when p.transaction_id = r.id then p.posted_amount::numeric else -p.posted_amount end as amount
  from app_public.transactions r
  join app_public.postings p on p.tenant_id = r.tenant_id and p.transaction_id in (r.id, r.reverses_id)
  where r.reverses_id is not null
)
select l.tenant_id, l.transaction_id, l.reverses_id, l.account_id, l.direction, sum(l.amount) as difference
from line l
group by l.tenant_id, l.transaction_id, l.reverses_id, l.account_id, l.direction
having sum(l.amount) <> 0;

grant select on checks.reversals_that_do_not_fit to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.reversals_that_do_not_fit is $$
A reversal posts what its original posted, with the directions swapped.
$$;
--! EndIncluded checks/reversals_that_do_not_fit.sql
--! Included checks/transactions_in_closed_periods.sql
create or replace view checks.transactions_in_closed_periods with (security_invoker = true) as
select t.tenant_id, t.id as transaction_id, t.effective_at, t.created_at, p.id as period_id, p.closed_at
from app_public.accounting_periods p
join app_public.transactions t
  on t.tenant_id = p.tenant_id and t.effective_at >= lower(p.during) and t.effective_at < upper(p.during)
where t.created_at > p.closed_at
  -- What moved the result to equity is part of the closing itself.
  and not exists (
    select
    from app_public.closing_transactions c
    where c.tenant_id = t.tenant_id and c.transaction_id = t.id and c.period_id = p.id
  );

grant select on checks.transactions_in_closed_periods to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.transactions_in_closed_periods is $$
No transaction was recorded in a period after it was closed.
$$;
--! EndIncluded checks/transactions_in_closed_periods.sql
--! Included checks/transactions_reversed_twice.sql
create or replace view checks.transactions_reversed_twice with (security_invoker = true) as
select t.tenant_id, t.reverses_id, array_agg(t.id) as reversed_by
from app_public.transactions t
where t.reverses_id is not null
group by t.tenant_id, t.reverses_id
having count(*) > 1;

grant select on checks.transactions_reversed_twice to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.transactions_reversed_twice is $$
A transaction is reversed at most once.
$$;
--! EndIncluded checks/transactions_reversed_twice.sql
--! Included checks/transactions_with_too_few_postings.sql
create or replace view checks.transactions_with_too_few_postings with (security_invoker = true) as
select t.tenant_id, t.id as transaction_id, t.kind, coalesce(p.postings, 0) as postings
from app_public.transactions t
left join (
  select p.tenant_id, p.transaction_id, count(*) as postings
  from app_public.postings p
  group by p.tenant_id, p.transaction_id
) p on p.tenant_id = t.tenant_id and p.transaction_id = t.id
where coalesce(p.postings, 0) < 2;

grant select on checks.transactions_with_too_few_postings to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.transactions_with_too_few_postings is $$
Every transaction has two postings or more.
$$;
--! EndIncluded checks/transactions_with_too_few_postings.sql
--! Included checks/unbalanced_transactions.sql
create or replace view checks.unbalanced_transactions with (security_invoker = true) as
select
  p.tenant_id, p.transaction_id, p.currency,
  sum(case when p.direction = 'debit' then p.posted_amount::numeric else -p.posted_amount end)
    as posted_difference,
  sum(case when p.direction = 'debit' then p.pending_amount::numeric else -p.pending_amount end)
    as pending_difference
from app_public.postings p
group by p.tenant_id, p.transaction_id, p.currency
having sum(case when p.direction = 'debit' then p.posted_amount::numeric else -p.posted_amount end) <> 0
  or sum(case when p.direction = 'debit' then p.pending_amount::numeric else -p.pending_amount end) <> 0;

grant select on checks.unbalanced_transactions to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.unbalanced_transactions is $$
Debits equal credits, in each transaction and currency, both in what it posts and in what it reserves.
$$;
--! EndIncluded checks/unbalanced_transactions.sql
--! Included accounts/account_balances_comments.sql
comment on column app_public.account_balances.currency is 'The currency of the account.';
comment on column app_public.account_balances.account_id is 'The account.';
comment on column app_public.account_balances.normal_balance is 'The normal balance of the account.';
comment on column app_public.account_balances.status is 'The status of the account.';
comment on column app_public.account_balances.version is
  'The number of its last posting: how many it has had.';
comment on column app_public.account_balances.last_created_at is 'When its last posting was recorded.';
comment on column app_public.account_balances.last_effective_at is
  'The latest effective time of its postings.';
comment on column app_public.account_balances.next_expiry_at is
  'Not later than the first of its open reservations expires; null if none does.';
comment on column app_public.account_balances.posted_debits is 'The sum of its posted debits.';
comment on column app_public.account_balances.posted_credits is 'The sum of its posted credits.';
comment on column app_public.account_balances.pending_debits is 'The sum of its pending debits.';
comment on column app_public.account_balances.pending_credits is 'The sum of its pending credits.';
comment on column app_public.account_balances.expired_debits is
  'The pending debits that had expired and were not released yet, when last looked at.';
comment on column app_public.account_balances.expired_credits is
  'The pending credits that had expired and were not released yet, when last looked at.';
comment on column app_public.account_balances.minimum_balance is 'The minimum balance of the account.';
comment on column app_public.account_balances.maximum_balance is 'The maximum balance of the account.';
--! EndIncluded accounts/account_balances_comments.sql
--! Included accounts/account_sets_comments.sql
comment on table app_public.account_sets is $$
@behavior +query:resource:connection +type:node

A named roll-up of accounts and of other sets, of any currency.
$$;
comment on column app_public.account_sets.id is $$
@behavior +attribute:orderBy

The id of the set.
$$;
comment on column app_public.account_sets.code is $$
@behavior +attribute:filterBy +attribute:orderBy

What the set is called for short; unique.
$$;
comment on column app_public.account_sets.name is 'What the set is called.';
comment on column app_public.account_sets.created_at is 'When the set was created.';

comment on table app_public.account_set_members is
  'That an account, or another set, is in a set.';
comment on column app_public.account_set_members.id is 'The id of the membership.';
comment on column app_public.account_set_members.account_set_id is 'The set that holds the member.';
comment on column app_public.account_set_members.account_id is 'The account that is in it, unless a set is.';
comment on column app_public.account_set_members.member_set_id is
  'The set that is in it, unless an account is.';
comment on column app_public.account_set_members.created_at is 'When the member was put in.';

comment on constraint account_set_members_account_set_id_fkey on app_public.account_set_members is $$
@fieldName accountSet
@foreignFieldName members
@forwardDescription The set.
@backwardDescription The accounts and sets that are part of this set.
$$;
comment on constraint account_set_members_account_id_fkey on app_public.account_set_members is $$
@fieldName account
@foreignFieldName memberships
@forwardDescription The account that is part of it.
@backwardDescription The sets that the account is part of.
$$;
comment on constraint account_set_members_member_set_id_fkey on app_public.account_set_members is $$
@fieldName memberSet
@foreignFieldName memberships
@forwardDescription The set that is part of it.
@backwardDescription The sets that this set is part of.
$$;
--! EndIncluded accounts/account_sets_comments.sql
--! Included fx/comments.sql
comment on table app_public.exchange_rates is $$
@behavior +query:resource:connection +type:node

What a currency is worth in another during a time. Rates of the same two currencies never overlap.
$$;
comment on column app_public.exchange_rates.id is $$
@behavior +attribute:orderBy

The id of the rate.
$$;
comment on column app_public.exchange_rates.base_currency is $$
@behavior +attribute:filterBy

The currency of which one major unit is priced.
$$;
comment on column app_public.exchange_rates.quote_currency is $$
@behavior +attribute:filterBy

The currency in which it is priced.
$$;
comment on column app_public.exchange_rates.rate is
  'What one major unit of the base currency is worth, in major units of the quote currency.';
comment on column app_public.exchange_rates.during is
  'When the rate is valid: from its start until before its end.';
comment on column app_public.exchange_rates.created_at is 'When the rate was recorded.';
comment on column app_public.exchange_rates.created_by is 'The user who set the rate.';

comment on table app_public.conversions is
  'What a conversion was, to the last digit: exact amount = bought amount + residue.';
comment on column app_public.conversions.transaction_id is 'The transaction that moved the money.';
comment on column app_public.conversions.sold_currency is 'The currency that was converted.';
comment on column app_public.conversions.bought_currency is 'The currency that it was converted to.';
comment on column app_public.conversions.from_account_id is
  'The account from which the sold amount was taken.';
comment on column app_public.conversions.to_account_id is 'The account to which the bought amount was given.';
comment on column app_public.conversions.rounding_account_id is
  'The account that takes what rounding leaves.';
comment on column app_public.conversions.rate is
  'The rate of the conversion: bought currency per sold currency, in major units.';
comment on column app_public.conversions.sold_amount is 'What was taken, in minor units.';
comment on column app_public.conversions.bought_amount is 'What was given for it, in whole minor units.';
comment on column app_public.conversions.exact_amount is
  'What the sold amount was worth at the rate, unrounded.';
comment on column app_public.conversions.residue is
  'What rounding left: at most half a minor unit, of either sign.';
comment on column app_public.conversions.rounding_amount is
  'What this conversion posted to the rounding account, in whole minor units, credits positive.';
comment on column app_public.conversions.carried_residue is
  'The fraction of a minor unit that waits for the rounding account after this conversion, credits positive.';

comment on column app_public.converted_amount.currency is 'The currency of the amount.';
comment on column app_public.converted_amount.amount is
  'The worth in whole minor units, halves to the even one.';
comment on column app_public.converted_amount.rate is 'The rate, in major units.';
comment on column app_public.converted_amount.exact_amount is 'The worth in minor units, unrounded.';
comment on column app_public.converted_amount.residue is 'The exact amount less the amount.';

-- How the rows refer to others. The lists of rates and conversions of an account or currency are left out.
comment on constraint exchange_rates_base_currency_fkey on app_public.exchange_rates is $$
@fieldName baseCurrency
@backwardBehavior -*
@forwardDescription The currency that is priced.
$$;
comment on constraint exchange_rates_quote_currency_fkey on app_public.exchange_rates is $$
@fieldName quoteCurrency
@backwardBehavior -*
@forwardDescription The currency that it is priced in.
$$;
comment on constraint conversions_transaction_id_fkey on app_public.conversions is $$
@fieldName transaction
@foreignSingleFieldName conversion
@forwardDescription The transaction that moved the money.
@backwardDescription How the transaction turned one currency into another, if it did.
$$;
comment on constraint conversions_from_account_id_fkey on app_public.conversions is $$
@fieldName fromAccount
@backwardBehavior -*
@forwardDescription The account from which the sold amount was taken.
$$;
comment on constraint conversions_to_account_id_fkey on app_public.conversions is $$
@fieldName toAccount
@backwardBehavior -*
@forwardDescription The account to which the bought amount was given.
$$;
comment on constraint conversions_rounding_account_id_fkey on app_public.conversions is $$
@fieldName roundingAccount
@backwardBehavior -*
@forwardDescription The account that takes what rounding leaves.
$$;
--! EndIncluded fx/comments.sql
--! Included checks/comments.sql
comment on column app_public.check_result.name is 'The name of the check: a view of the schema checks.';
comment on column app_public.check_result.description is 'The rule that the check proves.';
comment on column app_public.check_result.rows_checked is 'How many rows of the books the check looked at.';
comment on column app_public.check_result.violations is 'How many of them break the rule.';
comment on column app_public.check_result.sample is 'Up to ten that do, numbers as strings.';

comment on column app_public.balance_difference.account_id is 'The account.';
comment on column app_public.balance_difference.field is
  'What differs: a column of the balance, or a reservation.';
comment on column app_public.balance_difference.stored is 'What is kept; null if it is missing.';
comment on column app_public.balance_difference.recomputed is
  'What the postings say; null if there should be none.';
comment on column app_public.balance_difference.is_repaired is 'Whether it has been put right.';
--! EndIncluded checks/comments.sql
--! Included checks/verify_ledger__tables.sql
/*
 * The tables of a tenant's books that a view reads, by name, from the catalog.
 */
create or replace function app_private.verify_ledger__tables(view_id oid)
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(distinct format('%I.%I', n.nspname, t.relname)), '{}')
  from pg_rewrite w
  join pg_depend d
    on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
  join pg_class t on t.oid = d.refobjid and t.relkind in ('r', 'p')
  join pg_namespace n on n.oid = t.relnamespace
  join pg_attribute a on a.attrelid = t.oid and a.attname = 'tenant_id'
  where w.ev_class = view_id
$$;

/*
 * How many rows of a tenant each of the tables holds, added to what has been counted before.
 */
create or replace function app_private.verify_ledger__count(tenant_id integer, tables text[], counted jsonb)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_table text;
  v_rows bigint;
begin
  foreach v_table in array tables loop
    if not counted ? v_table then
      execute 'select count(*) from ' || v_table || ' where tenant_id = $1' into v_rows using tenant_id;
      counted := counted || jsonb_build_object(v_table, v_rows);
    end if;
  end loop;
  return counted;
end
$$;
--! EndIncluded checks/verify_ledger__tables.sql
--! Included checks/verify_ledger.sql
/*
 * Run every check for the tenant of the request. The list of checks is the catalog's: each view of the
 * schema checks is one, its rows are violations, its comment says what must hold. A new view runs by
 * itself. STABLE, so that all of them look at one and the same moment.
 */
create or replace function app_public.verify_ledger()
returns setof app_public.check_result
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set work_mem = '128MB'
set jit = off
as $$
declare
  v_tenant_id constant integer := app_private.required_tenant_id();
  v_check record;
  v_result app_public.check_result;
  v_rows jsonb := '{}';
begin
  for v_check in
    select
      v.relname as name,
      btrim(obj_description(v.oid, 'pg_class'), E'\n') as description,
      app_private.verify_ledger__tables(v.oid) as tables
    from pg_class v
    where v.relnamespace = 'checks'::regnamespace and v.relkind = 'v'
    order by v.relname
  loop
    v_result.name := v_check.name;
    v_result.description := v_check.description;
    v_rows := app_private.verify_ledger__count(v_tenant_id, v_check.tables, v_rows);
    select coalesce(sum((v_rows ->> t.name)::bigint), 0) into v_result.rows_checked
    from unnest(v_check.tables) as t (name);
    execute format(
      'with violation as materialized (select * from checks.%I where tenant_id = $1)
      select
        (select count(*) from violation),
        (
          select coalesce(jsonb_agg((
            select jsonb_object_agg(f.key,
              case when jsonb_typeof(f.value) = ''number'' then to_jsonb(f.value #>> ''{}'') else f.value end)
            from jsonb_each(to_jsonb(s) - ''tenant_id'') f
          )), ''[]'')
          from (select * from violation limit 10) s
        )', v_check.name)
    into v_result.violations, v_result.sample
    using v_tenant_id;
    return next v_result;
  end loop;
end
$$;

grant execute on function app_public.verify_ledger() to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.verify_ledger() is $$
@behavior -queryField:resource:connection +queryField:resource:list
@listSuffix omit
@allRows

Proves the books: runs every check over the whole ledger and answers with one result each. No violations in
any of them means that every rule held for every row.
$$;

comment on type app_public.check_result is $$
What one check found: its name, the rule that it proves, how many rows it looked at, how many of them break
the rule, and up to ten of those.
$$;
--! EndIncluded checks/verify_ledger.sql
--! Included checks/recomputed_balances.sql
/*
 * What the balances of a tenant must be, by its postings alone: the event replay. One row an account.
 */
create or replace function app_private.recomputed_balances(tenant_id integer)
returns table (
  account_id uuid,
  version bigint,
  last_created_at timestamptz,
  last_effective_at timestamptz,
  posted_debits numeric,
  posted_credits numeric,
  pending_debits numeric,
  pending_credits numeric
)
language sql
stable
rows 1000
set search_path = pg_catalog, pg_temp
as $$
  select
    a.id,
    count(p.version),
    coalesce(max(p.created_at), '-infinity'),
    coalesce(max(p.effective_at), '-infinity'),
    coalesce(sum(p.posted_amount::numeric) filter (where p.direction = 'debit'), 0),
    coalesce(sum(p.posted_amount::numeric) filter (where p.direction = 'credit'), 0),
    coalesce(sum(p.pending_amount::numeric) filter (where p.direction = 'debit'), 0),
    coalesce(sum(p.pending_amount::numeric) filter (where p.direction = 'credit'), 0)
  from app_public.accounts a
  left join app_public.postings p on p.tenant_id = a.tenant_id and p.account_id = a.id
  where a.tenant_id = recomputed_balances.tenant_id
  group by a.id
$$;

/*
 * What open_reservations must hold for a tenant, by its transactions and postings alone.
 */
create or replace function app_private.recomputed_reservations(tenant_id integer)
returns table (account_id uuid, expires_at timestamptz, transaction_id uuid, debits numeric, credits numeric)
language sql
stable
rows 1000
set search_path = pg_catalog, pg_temp
as $$
  select
    p.account_id, t.expires_at, t.id,
    coalesce(sum(p.pending_amount::numeric) filter (where p.direction = 'debit'), 0),
    coalesce(sum(p.pending_amount::numeric) filter (where p.direction = 'credit'), 0)
  from app_public.transactions t
  join app_public.postings p on p.tenant_id = t.tenant_id and p.transaction_id = t.id
  where t.tenant_id = recomputed_reservations.tenant_id
    and t.kind = 'pending' and t.expires_at is not null
    and not exists (
      select from app_public.transactions r where r.tenant_id = t.tenant_id and r.pending_id = t.id
    )
  group by p.account_id, t.expires_at, t.id
$$;
--! EndIncluded checks/recomputed_balances.sql
--! Included checks/rebuild_balances__repair.sql
/*
 * Make balances and reservations what the postings say. The caller holds the lock on the books; the rows
 * are locked in the order in which postings lock them.
 */
create or replace function app_private.rebuild_balances__repair(tenant_id integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform
  from app_public.account_balances b
  where b.tenant_id = rebuild_balances__repair.tenant_id
  order by b.account_id
  for update;

  delete from app_private.open_reservations r where r.tenant_id = rebuild_balances__repair.tenant_id;
  insert into app_private.open_reservations (
    tenant_id, account_id, expires_at, transaction_id, debits, credits
  )
  select rebuild_balances__repair.tenant_id, e.account_id, e.expires_at, e.transaction_id, e.debits, e.credits
  from app_private.recomputed_reservations(rebuild_balances__repair.tenant_id) e;

  insert into app_public.account_balances (tenant_id, account_id, currency, normal_balance, status)
  select a.tenant_id, a.id, a.currency, a.normal_balance, a.status
  from app_public.accounts a
  where a.tenant_id = rebuild_balances__repair.tenant_id
  on conflict on constraint account_balances_pkey do nothing;

  update app_public.account_balances b set
    status = a.status,
    minimum_balance = a.minimum_balance,
    maximum_balance = a.maximum_balance,
    version = e.version,
    last_created_at = e.last_created_at,
    last_effective_at = e.last_effective_at,
    posted_debits = e.posted_debits,
    posted_credits = e.posted_credits,
    pending_debits = e.pending_debits,
    pending_credits = e.pending_credits,
    next_expiry_at = r.next_expiry_at,
    expired_debits = coalesce(r.expired_debits, 0),
    expired_credits = coalesce(r.expired_credits, 0)
  from app_private.recomputed_balances(rebuild_balances__repair.tenant_id) e
  join app_public.accounts a on a.tenant_id = rebuild_balances__repair.tenant_id and a.id = e.account_id
  left join (
    select
      o.account_id,
      min(o.expires_at) as next_expiry_at,
      sum(o.debits::numeric) filter (where o.expires_at <= clock_timestamp()) as expired_debits,
      sum(o.credits::numeric) filter (where o.expires_at <= clock_timestamp()) as expired_credits
    from app_private.open_reservations o
    where o.tenant_id = rebuild_balances__repair.tenant_id
    group by o.account_id
  ) r on r.account_id = e.account_id
  where b.tenant_id = rebuild_balances__repair.tenant_id and b.account_id = e.account_id;
exception when check_violation then
  -- The postings themselves are outside the limits of the account, so it must be widened first.
  perform app_private.refuse('LG317');
end
$$;
--! EndIncluded checks/rebuild_balances__repair.sql
--! Included checks/rebuild_balances.sql
/*
 * Replay: recompute all balances from the postings, tell what differs, and put it right if asked. Nothing
 * is posted meanwhile: the books are locked as for closing a period. Postings are never touched; what
 * is wrong there is for verify_ledger to find.
 */
create or replace function app_public.rebuild_balances(repair boolean default false)
returns setof app_public.balance_difference
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := app_private.required_tenant_id();
begin
  perform pg_advisory_xact_lock(app_private.books_lock(v_tenant_id));
  return query
    select
      coalesce(e.account_id, s.account_id), f.field, f.stored, f.recomputed, coalesce(repair, false)
    from app_private.recomputed_balances(v_tenant_id) e
    full join (
      select b.* from app_public.account_balances b where b.tenant_id = v_tenant_id
    ) s on s.account_id = e.account_id
    cross join lateral (values
      ('version', s.version::text, e.version::text),
      ('last_created_at', s.last_created_at::text, e.last_created_at::text),
      ('last_effective_at', s.last_effective_at::text, e.last_effective_at::text),
      ('posted_debits', s.posted_debits::text, e.posted_debits::text),
      ('posted_credits', s.posted_credits::text, e.posted_credits::text),
      ('pending_debits', s.pending_debits::text, e.pending_debits::text),
      ('pending_credits', s.pending_credits::text, e.pending_credits::text)
    ) as f (field, stored, recomputed)
    where f.stored is distinct from f.recomputed
    order by 1, 2;
  return query
    select
      coalesce(e.account_id, r.account_id), 'open_reservation',
      '-' || r.debits || ' +' || r.credits, '-' || e.debits || ' +' || e.credits, coalesce(repair, false)
    from app_private.recomputed_reservations(v_tenant_id) e
    full join (
      select o.* from app_private.open_reservations o where o.tenant_id = v_tenant_id
    ) r using (account_id, transaction_id, expires_at)
    where e.debits is distinct from r.debits::numeric or e.credits is distinct from r.credits::numeric
    order by 1, 3;
  if repair then
    perform app_private.rebuild_balances__repair(v_tenant_id);
  end if;
end
$$;

grant execute on function app_public.rebuild_balances(boolean) to tallystick_admin;

comment on function app_public.rebuild_balances(boolean) is $$
Recomputes every balance from the postings and answers with what differs, none of it in books that are in
order. With `repair` the balances are put right. Postings are not touched, and nothing is posted meanwhile.
$$;

comment on type app_public.balance_difference is $$
A value that is kept of an account and differs from what its postings add up to.
$$;
--! EndIncluded checks/rebuild_balances.sql
--! Included access/account_sets.sql
/*
 * Account sets are the staff's: they name accounts that no customer owns.
 */
drop policy if exists select_staff on app_public.account_sets;
create policy select_staff on app_public.account_sets for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_public.account_sets to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

drop policy if exists select_staff on app_public.account_set_members;
create policy select_staff on app_public.account_set_members for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_public.account_set_members to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded access/account_sets.sql
--! Included access/exchange.sql
/*
 * Exchange rates are shown to everyone who is signed in, a conversion to whoever sees one of its accounts.
 */
drop policy if exists select_own_tenant on app_public.exchange_rates;
create policy select_own_tenant on app_public.exchange_rates for select to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_public.exchange_rates to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

drop policy if exists select_staff on app_public.conversions;
create policy select_staff on app_public.conversions for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

drop policy if exists select_customer on app_public.conversions;
create policy select_customer on app_public.conversions for select to tallystick_customer
  using (
    tenant_id = (select app_hidden.current_tenant_id())
    and (
      from_account_id = any ((select app_hidden.current_user_account_ids())::uuid[])
      or to_account_id = any ((select app_hidden.current_user_account_ids())::uuid[])
    )
  );

grant select on app_public.conversions to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

-- Reached through a view of checks alone: nobody may name a table of app_private.
drop policy if exists select_staff on app_private.carried_residues;
create policy select_staff on app_private.carried_residues for select to
  tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_private.carried_residues to
  tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded access/exchange.sql
--! EndIncluded all.sql
