--! Previous: sha1:36038f548eb7dca9e43d345a85b770c1b9780277
--! Hash: sha1:b284b71a1e60b8f2f9fc8521856adc76fb013c4b
--! Message: audit trail

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
-- By operation, those that are rare. Partial, because an enum is no index condition under row level security:
-- its operators are not leakproof.
create index audit_entries_refused_idx on app_private.audit_entries (tenant_id, id) where operation = 'refused';
create index audit_entries_read_idx on app_private.audit_entries (tenant_id, id) where operation = 'read';
create index audit_entries_delete_idx on app_private.audit_entries (tenant_id, id) where operation = 'delete';
create index audit_entries_truncate_idx on app_private.audit_entries (tenant_id, id) where operation = 'truncate';

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
  ('other_tenant_probe', 'Somebody asked for something by an id that belongs to other books.', true,
    null, null)
on conflict (kind) do update set
  description = excluded.description,
  is_for_operators = excluded.is_for_operators,
  refusal_code = excluded.refusal_code,
  refusal_severity = excluded.refusal_severity;
--! EndIncluded audit/security_event_kinds.sql

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
  ('LG207', 'exceeds_velocity_limit',
    'The transaction would take more out of an account in a day or a month than the level of its owner allows.',
    'What is reserved counts too. Wait for the next day or month, or have the owner verified for more.', false),
  ('LG208', 'exceeds_transaction_limit',
    'The transaction would take more out of an account at once than the level of its owner allows.',
    'Take out less, or have the owner verified for a higher level.', false),
  ('LG209', 'exceeds_kyc_balance',
    'The transaction would leave more on an account than the level of its owner allows.',
    'Pending amounts count. Have the owner verified for a higher level.', false),

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
    'Transactions, postings and the audit trail are never changed or removed.',
    'Post a reversal instead of changing a transaction.', false),
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
  ('LG380', 'customer_not_found',
    'There is no such customer.',
    'Check the id. Somebody who belongs to other books is not found either.', false),
  ('LG381', 'kyc_case_not_found',
    'There is no such verification case, evidence or detail.',
    'Check the id.', false),
  ('LG382', 'kyc_case_in_another_state',
    'A verification case in this state does not take this step.',
    'See the detail for the state that it is in.', false),
  ('LG383', 'kyc_case_open_already',
    'The customer has a verification case that is not decided yet.',
    'Go on with that one. See the detail for its id.', false),
  ('LG384', 'kyc_evidence_missing',
    'A verification case is reviewed only with evidence that is new since the last review.',
    'Submit evidence first.', false),
  ('LG385', 'kyc_check_not_passed',
    'A verification case is approved only when the last check of the provider has passed.',
    'Wait for the check. See the detail for where it stands.', false),
  ('LG386', 'decided_by_somebody_involved',
    'Who is verified, opened the case or submitted evidence for it does not decide it.',
    'Let another person decide.', false),
  ('LG387', 'kyc_level_too_high',
    'A verification case is approved for the level that it asked for, or a lower one.',
    'Open another case for a higher level.', false),
  ('LG388', 'invalid_kyc_value',
    'A level, limit, reason or time of a verification is outside what it may be.',
    'See the detail for the field and its rule.', false),
  ('LG389', 'invalid_customer_detail',
    'A detail of the customer does not have the form of its kind.',
    'See the detail for the field and its rule.', false),

  ('LG401', 'not_signed_in',
    'There is no session, or it has ended.',
    'Sign in, and send the access token in the Authorization header.', false),
  ('LG402', 'forbidden',
    'The role of the request may not do this.',
    'Ask an admin of the tenant for the permission that the detail names, or sign in with a role that has it.', false),
  ('LG403', 'tenant_suspended',
    'The books are suspended: nothing is written to them.',
    'Ask the operator of the installation.', false),
  ('LG404', 'second_factor_required',
    'This role acts only after a second factor.',
    'Confirm the session with a one-time password, then send the same request again.', false),

  ('LG405', 'approval_required',
    'A transaction of this amount needs the approval of a second person.',
    'Propose it instead of posting it. See the detail for the threshold.', false),
  ('LG406', 'second_factor_required_for_amount',
    'A transaction of this amount needs a fresh second factor.',
    'Confirm the session with a one-time password, then send the same request within five minutes.', false),

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
  ('LG166', 'query_too_costly',
    'The operation could answer with more than one request may ask for.',
    'Ask for smaller pages or fewer fields, or split it. See the detail for its cost and the maximum.', false),
  ('LG167', 'unknown_operation',
    'Only operations that were registered are taken here, and this is none of them.',
    'Send the hash of a registered operation: see docs/how-to/lock-down-the-api.md.', false),
  ('LG168', 'value_too_deep',
    'A value is nested too deeply.',
    'See the detail for how deep a value may be.', false),
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

  ('LG464', 'origin_not_allowed',
    'Web pages of this origin may not open web sockets here.',
    'Add the origin to TALLYSTICK_CORS_ORIGINS.', false),

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
--! Included identity/permissions.sql
/*
 * The permissions that there are; which role may ever be given each; whether a new tenant gives it. A role
 * of the database bounds them: a permission never allows what the role is not granted. A tenant that there
 * is already is given a new permission once, when it becomes grantable by default.
 */
insert into app_public.permissions (permission, description) values
  ('account_sets.manage', 'Make account sets and change what is in them.'),
  ('accounts.close', 'Close accounts.'),
  ('accounts.freeze', 'Freeze accounts.'),
  ('accounts.open', 'Open accounts.'),
  ('accounts.set_limits', 'Set the limits of accounts.'),
  ('accounts.unfreeze', 'Lift the freeze of accounts.'),
  ('accounts.update', 'Change names and metadata of accounts.'),
  ('audit.read', 'Read the audit trail and the security events.'),
  ('currencies.create', 'Take up currencies.'),
  ('customer_details.set', 'Set sensitive details of customers; a customer sets their own.'),
  ('exchange_rates.set', 'Set exchange rates.'),
  ('kyc.decide', 'Decide verification cases of others.'),
  ('kyc.set_limits', 'Set what each level of verification allows.'),
  ('kyc.submit', 'Open verification cases and submit evidence; a customer for themselves.'),
  ('ledger.rebuild', 'Rebuild balances from the postings.'),
  ('periods.manage', 'Open and close accounting periods.'),
  ('sensitive.read', 'Read sensitive values in full, each time with a purpose; a customer reads their own.'),
  ('transactions.convert', 'Post conversions between currencies.'),
  ('transactions.post', 'Post transactions, and post or void pending ones.'),
  ('transactions.reverse', 'Reverse transactions.')
on conflict (permission) do update set description = excluded.description;

with grantable as (
  insert into app_public.grantable_permissions (role, permission, by_default) values
    ('accountant', 'account_sets.manage', true),
    ('admin', 'account_sets.manage', true),
    ('accountant', 'accounts.close', true),
    ('admin', 'accounts.close', true),
    ('teller', 'accounts.freeze', true),
    ('accountant', 'accounts.freeze', true),
    ('admin', 'accounts.freeze', true),
    ('teller', 'accounts.open', true),
    ('accountant', 'accounts.open', true),
    ('admin', 'accounts.open', true),
    ('partner', 'accounts.open', false),
    ('accountant', 'accounts.set_limits', true),
    ('admin', 'accounts.set_limits', true),
    ('accountant', 'accounts.unfreeze', true),
    ('admin', 'accounts.unfreeze', true),
    ('accountant', 'accounts.update', true),
    ('admin', 'accounts.update', true),
    ('auditor', 'audit.read', true),
    ('admin', 'audit.read', true),
    ('operator', 'audit.read', true),
    ('accountant', 'currencies.create', true),
    ('admin', 'currencies.create', true),
    ('customer', 'customer_details.set', true),
    ('teller', 'customer_details.set', true),
    ('admin', 'customer_details.set', true),
    ('accountant', 'exchange_rates.set', true),
    ('admin', 'exchange_rates.set', true),
    ('accountant', 'kyc.decide', true),
    ('admin', 'kyc.decide', true),
    ('accountant', 'kyc.set_limits', false),
    ('admin', 'kyc.set_limits', true),
    ('customer', 'kyc.submit', true),
    ('teller', 'kyc.submit', true),
    ('admin', 'kyc.submit', true),
    ('admin', 'ledger.rebuild', true),
    ('accountant', 'periods.manage', true),
    ('admin', 'periods.manage', true),
    ('customer', 'sensitive.read', true),
    ('accountant', 'sensitive.read', false),
    ('admin', 'sensitive.read', false),
    ('teller', 'transactions.convert', true),
    ('accountant', 'transactions.convert', true),
    ('admin', 'transactions.convert', true),
    ('partner', 'transactions.convert', false),
    ('teller', 'transactions.post', true),
    ('accountant', 'transactions.post', true),
    ('admin', 'transactions.post', true),
    ('partner', 'transactions.post', true),
    ('accountant', 'transactions.reverse', true),
    ('admin', 'transactions.reverse', true)
  on conflict (role, permission) do nothing
  returning role, permission, by_default
)
insert into app_public.role_permissions (tenant_id, role, permission)
select t.id, g.role, g.permission
from grantable g
cross join app_public.tenants t
where g.by_default and g.role <> 'operator'
on conflict do nothing;
--! EndIncluded identity/permissions.sql
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
--! Included engine/post_batch__attempt.sql
/*
 * One attempt at a batch: the steps in their order. See post_batch.
 */
create or replace function app_private.post_batch__attempt(
  actor app_private.actor,
  items app_public.transaction_input[],
  mode app_public.batch_mode,
  may_expire boolean,
  is_approved boolean
)
returns app_public.transaction_result[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  tenant_id constant integer := actor.tenant_id;
  v_items app_private.batch_items;
  v_lines app_private.batch_lines;
  v_accounts app_private.batch_accounts;
  v_targets app_private.batch_targets;
  v_rules app_private.batch_rules;
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
  if actor.has_thresholds or actor.has_kyc_limits then
    v_rules := app_private.post_batch__read_rules(actor, is_approved, v_accounts, v_at);
  end if;
  v_decision := app_private.post_batch__decide(
    tenant_id, v_at, v_items, v_lines, v_accounts, v_targets, v_rules);

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
  elsif cardinality(array_remove(v_decision.codes, null)) > 0 then
    perform app_private.record_refused_items(actor, v_items.keys, v_decision.codes, v_decision.details);
  end if;

  if true = any (v_decision.is_accepted) then
    perform app_private.post_batch__write(tenant_id, actor.user_id, v_items, v_lines, v_decision);
  end if;
  return app_private.post_batch__results(tenant_id, v_lines, v_decision);
end
$$;
--! EndIncluded engine/post_batch__attempt.sql
--! Included checks/audit_entries_without_partition.sql
create or replace view checks.audit_entries_without_partition with (security_invoker = true) as
select d.tenant_id, d.id, d.at
from app_private.audit_entries_default d;

grant select on checks.audit_entries_without_partition to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.audit_entries_without_partition is $$
Every entry of the audit trail is in the partition of its month: the job that makes partitions ahead runs.
$$;
--! EndIncluded checks/audit_entries_without_partition.sql
--! Included audit/append_only.sql
/*
 * What the trail and the events hold is never changed or removed: see ledger/tg__refuse_change.sql. Each
 * partition has the trigger of its own, by app_private.make_audit_partition: a trigger of statements does
 * not reach a statement that names the partition.
 */
create or replace trigger _200_refuse_change
  before update or delete or truncate on app_private.audit_entries
  for each statement execute function app_private.tg__refuse_change();

create or replace trigger _200_refuse_change
  before update or delete or truncate on app_private.audit_entries_default
  for each statement execute function app_private.tg__refuse_change();

create or replace trigger _200_refuse_change
  before update or delete or truncate on app_private.audit_retirements
  for each statement execute function app_private.tg__refuse_change();

create or replace trigger _200_refuse_change
  before update or delete or truncate on app_private.security_events
  for each statement execute function app_private.tg__refuse_change();
--! EndIncluded audit/append_only.sql
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
  select coalesce(record_read.tenant_id, 0), 'read', regexp_replace(record_read.table_name, '^.*\.', ''), k.row_key, purpose
  from unnest(coalesce(row_keys, array[null::text])) as k (row_key)
$$;
--! EndIncluded audit/record_read.sql
--! Included kyc/kyc_checks.sql
/*
 * The checks of the provider, for the job that asks it: tasks/identity/run_kyc_checks.ts.
 *
 * Taking one pushes its next turn into the future, so that another worker leaves it alone meanwhile, and
 * takes it over if this one dies. Waits grow with the attempts: 30 seconds at first, an hour at most. The id
 * of the check is the idempotency key at the provider, so asking twice is asking once.
 */
create or replace function app_private.take_due_kyc_check(
  out tenant_id integer,
  out id uuid,
  out case_id uuid,
  out level smallint,
  out provider_reference text
)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  update app_public.kyc_checks k
  set attempts = k.attempts + 1,
    due_at = now() + least(interval '30 seconds' * 2 ^ least(k.attempts, 10), interval '1 hour'),
    updated_at = now()
  from (
    select d.tenant_id, d.id
    from app_public.kyc_checks d
    where d.due_at <= now()
    order by d.due_at
    limit 1
    for update skip locked
  ) due
  join app_public.kyc_checks c on c.tenant_id = due.tenant_id and c.id = due.id
  join app_public.kyc_cases a on a.tenant_id = c.tenant_id and a.id = c.case_id
  where k.tenant_id = due.tenant_id and k.id = due.id
  returning k.tenant_id, k.id, k.case_id, a.requested_level, k.provider_reference
$$;

-- The evidence of the case of a check, as ciphertexts, for the provider. Recorded as read by nobody in person.
create or replace function app_private.kyc_check_evidence(tenant_id integer, id uuid)
returns table (evidence_id uuid, kind app_public.kyc_evidence_kind, ciphertext bytea)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  with evidence as (
    select e.id, e.kind, e.reference_ciphertext, e.created_at
    from app_public.kyc_checks k
    join app_public.kyc_evidence e on e.tenant_id = k.tenant_id and e.case_id = k.case_id
    where k.tenant_id = kyc_check_evidence.tenant_id and k.id = kyc_check_evidence.id
  ),
  recorded as (
    insert into app_private.sensitive_reads (tenant_id, table_name, row_key, column_name, purpose)
    select kyc_check_evidence.tenant_id, 'app_public.kyc_evidence', e.id::text, 'reference',
      'check ' || kyc_check_evidence.id || ' at the provider'
    from evidence e
  ),
  audited as materialized (
    select app_private.record_read(
      'app_public.kyc_evidence', array_agg(e.id::text), 'reference: check ' || kyc_check_evidence.id,
      kyc_check_evidence.tenant_id)
    from evidence e
    having count(*) > 0
  )
  select e.id, e.kind, e.reference_ciphertext::bytea from evidence e cross join audited order by e.created_at
$$;

/*
 * Take down what the provider answered. What a check found is final: a later answer changes nothing. A need
 * for more information sends the case back; everything else waits for a person.
 */
create or replace function app_private.record_kyc_check(
  tenant_id integer,
  id uuid,
  status app_public.kyc_check_status,
  provider_reference text,
  finding text default null
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_check app_public.kyc_checks;
begin
  update app_public.kyc_checks k set
    status = record_kyc_check.status,
    provider_reference = record_kyc_check.provider_reference,
    finding = left(record_kyc_check.finding, 1000),
    due_at = case when record_kyc_check.status = 'submitted' then k.due_at end,
    updated_at = now()
  where k.tenant_id = record_kyc_check.tenant_id and k.id = record_kyc_check.id
    and k.status in ('queued', 'submitted') and record_kyc_check.status <> 'queued'
  returning * into v_check;
  if not found then
    return false;
  end if;
  if v_check.status = 'needs_information' then
    update app_public.kyc_cases c set status = 'needs_information', message = v_check.finding
    where c.tenant_id = v_check.tenant_id and c.id = v_check.case_id and c.status = 'in_review';
  end if;
  return true;
end
$$;

/*
 * The provider says that there is news about a check: it is asked at once, instead of when its turn comes.
 * What the news are is never taken from a message.
 */
create or replace function app_hidden.hasten_kyc_check(tenant_id integer, id uuid)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  update app_public.kyc_checks k set due_at = now(), attempts = 0
  where k.tenant_id = hasten_kyc_check.tenant_id and k.id = hasten_kyc_check.id and k.status = 'submitted'
$$;

grant execute on function
  app_private.take_due_kyc_check(),
  app_private.kyc_check_evidence(integer, uuid),
  app_private.record_kyc_check(integer, uuid, app_public.kyc_check_status, text, text)
to tallystick_worker;

grant execute on function app_hidden.hasten_kyc_check(integer, uuid) to tallystick_anonymous;
--! EndIncluded kyc/kyc_checks.sql
--! Included kyc/record_sensitive_read.sql
/*
 * Record that somebody is about to read a sensitive value in full. In the database transaction that hands
 * the ciphertext out, so that none is handed out without its record.
 */
create or replace function app_private.record_sensitive_read(
  actor app_private.actor,
  table_name text,
  row_key text,
  column_name text,
  purpose text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if length(btrim(purpose)) between 1 and 200 then
    insert into app_private.sensitive_reads (
      tenant_id, table_name, row_key, column_name, purpose, read_by, session_id, request_id
    ) values (
      actor.tenant_id, record_sensitive_read.table_name, record_sensitive_read.row_key,
      record_sensitive_read.column_name, btrim(record_sensitive_read.purpose), actor.user_id, actor.session_id,
      nullif(current_setting('tallystick.request_id', true), '')
    );
    perform app_private.record_read(
      record_sensitive_read.table_name, array[record_sensitive_read.row_key],
      record_sensitive_read.column_name || ': ' || btrim(record_sensitive_read.purpose), actor.tenant_id);
  else
    perform app_private.refuse('LG114', jsonb_build_object('field', 'purpose', 'rule', '1 to 200 characters'));
  end if;
end
$$;
--! EndIncluded kyc/record_sensitive_read.sql
--! Included audit/record_refused_items.sql
/*
 * Write down the items of a batch that were refused while others were posted: their refusals are part of
 * the result, so nothing is rolled back and they belong to the same database transaction.
 */
create or replace function app_private.record_refused_items(
  actor app_private.actor,
  idempotency_keys text[],
  codes text[],
  details jsonb[]
)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  insert into app_private.audit_entries (
    tenant_id, operation, user_id, session_id, table_name, row_key, action, after
  )
  select
    actor.tenant_id, 'refused', actor.user_id, actor.session_id, 'transactions',
    coalesce(d.detail ->> 'accountId', d.detail ->> 'transactionId', d.detail ->> 'pendingId'),
    'postTransactions',
    jsonb_strip_nulls(jsonb_build_object(
      'code', d.code, 'item', (d.n - 1)::text, 'idempotencyKey', d.idempotency_key,
      'detail', nullif(d.detail, '{}')))
  from unnest(codes, details, idempotency_keys) with ordinality as d (code, detail, idempotency_key, n)
  where d.code is not null
$$;
--! EndIncluded audit/record_refused_items.sql
--! Included audit/record_refusals.sql
/*
 * Look for ids in the books of others, and tell the operators of those that are there. Called after the
 * answer, which was the same as for an id that is nowhere: what is found changes nothing that the caller,
 * or anybody of their tenant, can see. Every table of the API whose key is an id takes part.
 */
create or replace function app_private.record_probes(ids uuid[], action text)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := app_hidden.current_tenant_id();
  v_table regclass;
  v_found uuid[];
begin
  for v_table in
    select i.indrelid
    from pg_index i
    join pg_class c on c.oid = i.indrelid and c.relkind = 'r'
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and a.attnum = i.indkey[0]
    join pg_attribute b on b.attrelid = c.oid and b.attname = 'id' and b.attnum = i.indkey[1]
    where i.indisprimary and i.indnatts = 2 and b.atttypid = 'uuid'::regtype
      and c.relnamespace = 'app_public'::regnamespace
    order by c.relname
  loop
    execute format(
      'select array_agg(i.id) from (select distinct i.id from unnest($1) as i (id)) i
      where exists (
        select from app_public.tenants t
        where t.id <> $2 and exists (select from %s r where r.tenant_id = t.id and r.id = i.id)
      )', v_table)
    into v_found
    using ids, v_tenant_id;
    if v_found is not null then
      perform app_private.record_security_event('other_tenant_probe', 'warning', jsonb_build_object(
        'table', (select c.relname from pg_class c where c.oid = v_table), 'ids', to_jsonb(v_found), 'action', action));
    end if;
  end loop;
end
$$;

/*
 * The ids that the refused items of this request's batches named and that were answered as unknown.
 */
create or replace function app_private.unknown_ids_of_request()
returns uuid[]
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select array_agg(u.id)
  from (
    select distinct e.row_key::uuid as id
    from app_private.audit_entries e
    join app_public.refusals r on r.code = e.after ->> 'code' and r.name like '%_not_found'
    where e.tenant_id = app_hidden.current_tenant_id()
      and e.user_id = app_hidden.current_user_id()
      -- What was written a moment ago, by the time that is in the ids.
      and e.id > uuidv7(interval '-10 minutes')
      and e.at > now() - interval '10 minutes'
      and e.operation = 'refused'
      and e.request_id = nullif(current_setting('tallystick.request_id', true), '')
      and pg_input_is_valid(e.row_key, 'uuid')
    limit 100
  ) u
$$;

/*
 * Write down what was refused to a request, after its own database transaction was rolled back. The server
 * calls this in another one, with the settings of that request: who it was comes from them alone.
 *
 *   [{"code": "LG202", "action": "postTransaction", "isChange": true, "detail": {…}, "ids": […]}]
 *
 * A refused change by somebody who is signed in goes to the audit trail; a refusal that is a security event
 * to the security events; ids that the answer called unknown are looked for in the books of others. Refused
 * items of a batch are in the trail already: hasRefusedItems asks to look for the ids of those.
 */
create or replace function app_hidden.record_refusals(refusals jsonb)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_refusal record;
  v_tenant_id constant integer := app_hidden.current_tenant_id();
begin
  for v_refusal in
    select
      left(r.value ->> 'code', 40) as code,
      left(r.value ->> 'action', 100) as action,
      coalesce((r.value ->> 'isChange')::boolean, false) as is_change,
      case
        when octet_length((r.value -> 'detail')::text) <= 4096 then nullif(r.value -> 'detail', '{}')
        else '"too long"'
      end as detail,
      array(
        select i.id::uuid
        from jsonb_array_elements_text(coalesce(r.value -> 'ids', '[]')) as i (id)
        where pg_input_is_valid(i.id, 'uuid')
        limit 100
      ) || case when (r.value ->> 'hasRefusedItems')::boolean then app_private.unknown_ids_of_request() end as ids,
      k.kind, k.refusal_severity
    from jsonb_array_elements(refusals) r
    left join app_public.security_event_kinds k on k.refusal_code = r.value ->> 'code'
    limit 100
  loop
    if v_refusal.is_change and app_hidden.current_user_id() is not null then
      insert into app_private.audit_entries (tenant_id, operation, row_key, action, after)
      values (
        coalesce(v_tenant_id, 0), 'refused',
        coalesce(
          v_refusal.detail ->> 'accountId', v_refusal.detail ->> 'transactionId',
          v_refusal.detail ->> 'pendingId'),
        v_refusal.action,
        jsonb_strip_nulls(jsonb_build_object('code', v_refusal.code, 'detail', v_refusal.detail))
      );
    end if;
    if v_refusal.kind is not null then
      perform app_private.record_security_event(
        v_refusal.kind, v_refusal.refusal_severity,
        jsonb_strip_nulls(jsonb_build_object('action', v_refusal.action, 'detail', v_refusal.detail)));
    end if;
    if v_tenant_id is not null and cardinality(v_refusal.ids) > 0 then
      perform app_private.record_probes(v_refusal.ids, v_refusal.action);
    end if;
  end loop;
end
$$;

grant execute on function app_hidden.record_refusals(jsonb) to
  tallystick_anonymous, tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor,
  tallystick_admin, tallystick_partner, tallystick_operator;
--! EndIncluded audit/record_refusals.sql
--! Included audit/slug_of_tenant.sql
/*
 * The short name of a tenant, for an operator, who sees no table of tenants; for others that of their own.
 */
create or replace function app_hidden.slug_of_tenant(tenant_id integer)
returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select t.slug
  from app_public.tenants t
  where t.id = slug_of_tenant.tenant_id
    and (
      t.id = app_hidden.current_tenant_id()
      or current_setting('role', true) = 'tallystick_operator'
    )
$$;

grant execute on function app_hidden.slug_of_tenant(integer) to
  tallystick_auditor, tallystick_admin, tallystick_operator;
--! EndIncluded audit/slug_of_tenant.sql
--! Included audit/make_audit_partitions.sql
/*
 * Make the partition of the audit trail for a month, given as a day of it. Rows of that month that found no
 * partition and went to the default one move over; they are the same rows, so that what sealed them holds.
 * Attaching asks for no lock that writers of the trail would wait for, but of the default partition, which
 * nobody writes to.
 */
create or replace function app_private.make_audit_partition(month date)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_first constant date := date_trunc('month', month)::date;
  v_starts_at constant timestamptz := v_first::timestamp at time zone 'UTC';
  v_ends_at constant timestamptz := (v_first + interval '1 month') at time zone 'UTC';
  v_name constant text := 'audit_entries_' || to_char(v_first, 'YYYY_MM');
  v_columns constant text := (
    select string_agg(quote_ident(a.attname), ', ' order by a.attnum)
    from pg_attribute a
    where a.attrelid = 'app_private.audit_entries'::regclass and a.attnum > 0 and not a.attisdropped
  );
begin
  execute format(
    'create table app_private.%I (like app_private.audit_entries including defaults including constraints)',
    v_name);
  execute format('alter table app_private.%I enable row level security, force row level security', v_name);
  execute format(
    'create policy owner_all on app_private.%I to tallystick_owner using (true) with check (true)', v_name);
  if exists (
    select from app_private.audit_entries_default d where d.at >= v_starts_at and d.at < v_ends_at
  ) then
    alter table app_private.audit_entries_default disable trigger _200_refuse_change;
    execute format(
      'with moved as (
        delete from app_private.audit_entries_default d where d.at >= $1 and d.at < $2 returning %2$s
      )
      insert into app_private.%1$I (%2$s) select %2$s from moved', v_name, v_columns)
    using v_starts_at, v_ends_at;
    alter table app_private.audit_entries_default enable trigger _200_refuse_change;
  end if;
  execute format(
    'alter table app_private.audit_entries attach partition app_private.%I for values from (%L) to (%L)',
    v_name, v_starts_at, v_ends_at);
  execute format(
    'create trigger _200_refuse_change before update or delete or truncate on app_private.%I
    for each statement execute function app_private.tg__refuse_change()', v_name);
end
$$;

/*
 * Make the partitions that are missing: from this month on as many months ahead, and those of rows that
 * are in the default one. Tells how many it made. Waits for a lock for a moment only: whoever reads the
 * trail for long must not make its writers wait; the job comes again.
 */
create or replace function app_private.make_audit_partitions(months_ahead integer default 6)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_months date[];
  v_month date;
  v_made integer := 0;
begin
  -- The upper half sets the key apart from other advisory locks.
  perform pg_advisory_xact_lock(7154::bigint << 32);
  v_months := array(
    select m.month::date
    from generate_series(
      date_trunc('month', now() at time zone 'UTC'),
      date_trunc('month', now() at time zone 'UTC') + make_interval(months => months_ahead),
      interval '1 month'
    ) m (month)
    union
    select date_trunc('month', d.at at time zone 'UTC')::date from app_private.audit_entries_default d
    order by 1
  );
  foreach v_month in array v_months loop
    if to_regclass('app_private.audit_entries_' || to_char(v_month, 'YYYY_MM')) is null then
      perform app_private.make_audit_partition(v_month);
      v_made := v_made + 1;
    end if;
  end loop;
  return v_made;
end
$$;

grant execute on function app_private.make_audit_partitions(integer) to tallystick_worker;
--! EndIncluded audit/make_audit_partitions.sql
--! Included audit/retire_audit_partitions.sql
/*
 * For how many months the trail is kept, by the configuration of the installation; null = for ever. The
 * worker says so when it starts. A change of it is in the trail.
 */
create or replace function app_private.set_audit_retention(months integer)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into app_private.audit_retention as r (months) values (set_audit_retention.months)
  on conflict on constraint audit_retention_pkey do update set months = excluded.months
  where r.months is distinct from excluded.months
$$;

grant execute on function app_private.set_audit_retention(integer) to tallystick_worker;

/*
 * Remove the oldest partition of the trail that has ended more months ago than the trail is kept, and write
 * down for each tenant what it held. Tells its name; null if there is none. One a call, so that the lock on
 * the trail, which its writers wait for, is held for a moment.
 */
create or replace function app_private.retire_audit_partition()
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_months constant integer := (select r.months from app_private.audit_retention r);
  v_name text;
  v_starts_at timestamptz;
  v_ends_at timestamptz;
begin
  perform pg_advisory_xact_lock(7154::bigint << 32);
  select p.name, p.month at time zone 'UTC', (p.month + interval '1 month') at time zone 'UTC'
  into v_name, v_starts_at, v_ends_at
  from (
    select c.relname as name, to_timestamp(right(c.relname, 7), 'YYYY_MM')::timestamp as month
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'app_private.audit_entries'::regclass
      and c.relname ~ '^audit_entries_[0-9]{4}_[0-9]{2}$'
  ) p
  where (p.month + interval '1 month') at time zone 'UTC' <= now() - make_interval(months => v_months)
  order by p.month
  limit 1;
  if v_name is null then
    return null;
  end if;
  execute format(
    'insert into app_private.audit_retirements (tenant_id, starts_at, ends_at, entries, retained_months)
    select e.tenant_id, $1, $2, count(*), $3
    from app_private.%I e
    group by e.tenant_id', v_name)
  using v_starts_at, v_ends_at, v_months;
  execute format('alter table app_private.audit_entries detach partition app_private.%I', v_name);
  execute format('drop table app_private.%I', v_name);
  return v_name;
end
$$;

grant execute on function app_private.retire_audit_partition() to tallystick_worker;
--! EndIncluded audit/retire_audit_partitions.sql
--! Included audit/take_security_events.sql
/*
 * The next security events for the log of the server, below the oldest database transaction that still
 * runs, so that none that commits late is passed over. The cursor is locked until the caller commits: one
 * process at a time tells them, and those that a crash kept from the log come again.
 */
create or replace function app_private.take_security_events(batch_size integer)
returns setof app_private.security_events
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_cursor app_private.security_event_cursor;
  v_event app_private.security_events;
begin
  select c.id, c.xact_id, c.event_id into v_cursor
  from app_private.security_event_cursor c
  for update skip locked;
  if not found then
    return;
  end if;
  for v_event in
    select e.*
    from app_private.security_events e
    where (e.xact_id, e.id) > (v_cursor.xact_id, v_cursor.event_id)
      and e.xact_id < pg_snapshot_xmin(pg_current_snapshot())
    order by e.xact_id, e.id
    limit batch_size
  loop
    return next v_event;
  end loop;
  if v_event.id is not null then
    update app_private.security_event_cursor c set xact_id = v_event.xact_id, event_id = v_event.id;
  end if;
end
$$;

grant execute on function app_private.take_security_events(integer) to tallystick_worker;
--! EndIncluded audit/take_security_events.sql
--! Included audit/access.sql
/*
 * Who reads the trail and the events, and that no row of them is read unrecorded: the policies call
 * audit_reading_is_recorded as (select …), which PostgreSQL runs once a query, before the first row. It
 * asks for the permission, writes the entry, and only then are there rows. So it holds for any query by
 * any tool in a request role, and nothing above has to remember it.
 *
 * A tenant's auditor and admin see what is of the tenant. An operator sees what is of no tenant, and the
 * security events of all.
 */
create or replace function app_hidden.audit_reading_is_recorded(table_name text)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if app_hidden.current_tenant_id() is null then
    perform app_private.authorize_operator('audit.read');
  else
    perform app_private.authorize('audit.read');
  end if;
  perform app_private.record_read(table_name, null, 'audit');
  return true;
end
$$;

grant execute on function app_hidden.audit_reading_is_recorded(text) to
  tallystick_auditor, tallystick_admin, tallystick_operator;

drop policy if exists select_auditor on app_private.audit_entries;
create policy select_auditor on app_private.audit_entries for select to
  tallystick_auditor, tallystick_admin
  using (
    tenant_id = (select app_hidden.current_tenant_id())
    and (select app_hidden.audit_reading_is_recorded('audit_entries'))
  );

drop policy if exists select_operator on app_private.audit_entries;
create policy select_operator on app_private.audit_entries for select to tallystick_operator
  using (tenant_id = 0 and (select app_hidden.audit_reading_is_recorded('audit_entries')));

grant select on app_private.audit_entries to
  tallystick_auditor, tallystick_admin, tallystick_operator;

-- For the check that the default partition is empty: which rows, not what is in them.
drop policy if exists select_staff on app_private.audit_entries_default;
create policy select_staff on app_private.audit_entries_default for select to
  tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select (tenant_id, id, at) on app_private.audit_entries_default to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

drop policy if exists select_signed_in on app_public.security_event_kinds;
create policy select_signed_in on app_public.security_event_kinds for select to
  tallystick_auditor, tallystick_admin, tallystick_operator
  using (true);

grant select on app_public.security_event_kinds to
  tallystick_auditor, tallystick_admin, tallystick_operator;

drop policy if exists select_auditor on app_private.security_events;
create policy select_auditor on app_private.security_events for select to
  tallystick_auditor, tallystick_admin
  using (
    tenant_id = (select app_hidden.current_tenant_id())
    and kind in (select k.kind from app_public.security_event_kinds k where not k.is_for_operators)
    and (select app_hidden.audit_reading_is_recorded('security_events'))
  );

drop policy if exists select_operator on app_private.security_events;
create policy select_operator on app_private.security_events for select to tallystick_operator
  using ((select app_hidden.audit_reading_is_recorded('security_events')));

grant select on app_private.security_events to
  tallystick_auditor, tallystick_admin, tallystick_operator;
--! EndIncluded audit/access.sql
--! Included audit/audit_entries.sql
/*
 * The audit trail as GraphQL shows it. Rights and the record of the reading are those of the table: see
 * audit/access.sql.
 */
create or replace view app_public.audit_entries with (security_invoker = true) as
select
  e.tenant_id, e.id, e.at, e.operation, e.table_name, e.row_key, e.action, e.before, e.after,
  e.user_id, e.session_id, e.request_role, e.request_id, e.address, e.database_user, e.application_name
from app_private.audit_entries e;

grant select on app_public.audit_entries to
  tallystick_auditor, tallystick_admin, tallystick_operator;

comment on type app_public.audit_operation is 'What an entry of the audit trail tells of.';

comment on view app_public.audit_entries is $$
@primaryKey id
@behavior +query:resource:connection

The audit trail: every change of what is not itself append-only, every refused change, and every reading of
what is sensitive, this trail among it. Entries are never changed. Each query of this list is an entry, too.
$$;
comment on column app_public.audit_entries.id is $$
@behavior +attribute:orderBy

The id, a UUID of version 7: ids sort in the order in which the entries were written.
$$;
comment on column app_public.audit_entries.at is $$
@notNull
@behavior +attribute:filterBy

When it was written.
$$;
comment on column app_public.audit_entries.operation is $$
@notNull
@behavior +attribute:filterBy

What happened.
$$;
comment on column app_public.audit_entries.table_name is $$
@behavior +attribute:filterBy

The table, as the database names it, such as `accounts`. None for what was refused.
$$;
comment on column app_public.audit_entries.row_key is $$
@behavior +attribute:filterBy

The key of the row, such as the id of the account; keys of several columns are joined with a slash. For
what was refused: the account or transaction that the refusal names.
$$;
comment on column app_public.audit_entries.action is
  'For what was refused: the field of the API that was called. For what was read: what for.';
comment on column app_public.audit_entries.before is $$
The values before, as columns of the table: those that changed, or all of a row that was deleted. Numbers
are strings. A secret is shown as "[redacted]".
$$;
comment on column app_public.audit_entries.after is $$
The values after, in the same form: those that changed, or all of a row that was inserted. For what was
refused: the code and the detail of the refusal.
$$;
comment on column app_public.audit_entries.user_id is $$
@behavior +attribute:filterBy

The user who acted; none where nobody was signed in: a job, or somebody at the database itself.
$$;
comment on column app_public.audit_entries.session_id is 'The session in which the user acted.';
comment on column app_public.audit_entries.request_role is 'The role of the database that acted.';
comment on column app_public.audit_entries.request_id is
  'The id of the request: the header X-Request-Id of its answer, and the log, have the same.';
comment on column app_public.audit_entries.address is 'The address of the client.';
comment on column app_public.audit_entries.database_user is $$
@notNull

The login of the database. Where it is neither that of the API nor that of the worker, somebody was at the
database itself, and the fields about the request are what they claimed.
$$;
comment on column app_public.audit_entries.application_name is 'What the program called itself that was connected.';
--! EndIncluded audit/audit_entries.sql
--! Included audit/security_events.sql
/*
 * The security events as GraphQL shows them. Rights are those of the table: see audit/access.sql.
 */
create or replace view app_public.security_events with (security_invoker = true) as
select
  e.tenant_id, e.id, e.at, e.kind, e.severity, app_hidden.slug_of_tenant(e.tenant_id) as books,
  e.user_id, e.session_id, e.address, e.request_id, e.detail
from app_private.security_events e;

grant select on app_public.security_events to
  tallystick_auditor, tallystick_admin, tallystick_operator;

comment on view app_public.security_events is $$
@primaryKey id
@behavior +query:resource:connection

What the security of the books is told by: denied permissions, ended sessions, tokens that were used twice.
Events are never changed. Each query of this list is an entry of the audit trail.
$$;
comment on column app_public.security_events.id is $$
@behavior +attribute:orderBy

The id, a UUID of version 7: ids sort in the order in which the events were recorded.
$$;
comment on column app_public.security_events.at is $$
@notNull
@behavior +attribute:filterBy

When it was recorded.
$$;
comment on column app_public.security_events.kind is $$
@notNull
@behavior +attribute:filterBy

What happened: one of `securityEventKinds`.
$$;
comment on column app_public.security_events.severity is $$
@notNull
@behavior +attribute:filterBy

How grave it is.
$$;
comment on column app_public.security_events.books is
  'The short name of the books that it is about, if it is about some.';
comment on column app_public.security_events.user_id is $$
@behavior +attribute:filterBy

The user it is about, if one is known.
$$;
comment on column app_public.security_events.session_id is 'The session of the request.';
comment on column app_public.security_events.address is 'The address of the client.';
comment on column app_public.security_events.request_id is
  'The id of the request: the header X-Request-Id of its answer, and the log, have the same.';
comment on column app_public.security_events.detail is 'What else is known of it.';

comment on table app_public.security_event_kinds is $$
@behavior +query:resource:connection

A kind of security event.
$$;
comment on column app_public.security_event_kinds.kind is 'The name, such as `permission_denied`.';
comment on column app_public.security_event_kinds.description is 'What happened.';
comment on column app_public.security_event_kinds.is_for_operators is
  'Whether only operators see events of this kind.';
comment on column app_public.security_event_kinds.refusal_code is
  'The refusal that is recorded as an event of this kind, if one is.';
comment on column app_public.security_event_kinds.refusal_severity is 'And how grave that is.';
comment on constraint security_event_kinds_refusal_code_fkey on app_public.security_event_kinds is '@behavior -*';
--! EndIncluded audit/security_events.sql
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
    ('app_public.kyc_decisions', true, 'History itself.'),
    ('app_private.sensitive_reads', true, 'History itself; the trail has each of these readings.'),
    ('app_private.audit_entries', true, 'The trail itself.'),
    ('app_private.security_events', true, 'History itself.'),
    ('app_public.account_balances', false, 'Follows from the postings, and is checked against them.'),
    ('app_private.open_reservations', false, 'Follows from pending transactions, and is checked against them.'),
    ('app_private.carried_residues', false, 'Follows from conversions, and is checked against them.'),
    ('app_hidden.posting_blocks', false, 'Follows from the postings, and is checked against them.'),
    ('app_hidden.posting_block_entries', false, 'Follows from the postings, and is checked against them.'),
    ('app_private.outflow_windows', false, 'Follows from the postings, and is checked against them.'),
    ('app_private.rate_limit_counters', false, 'Counts of a minute; nobody decides them.'),
    ('app_private.relay_cursors', false, 'How far a reader has come; nobody decides it.'),
    ('app_private.security_event_cursor', false, 'How far a reader has come; nobody decides it.')
$$;
--! EndIncluded audit/exceptions.sql
--! Included audit/redactions.sql
/*
 * Columns whose values the audit trail leaves out or shows against the rule. The rule is: what is binary,
 * or named like a secret, is redacted. So a column that nobody thought of is not shown; one that is
 * harmless in spite of its name, or secret in spite of it, is listed here with the reason.
 */
create or replace function app_private.audit_redactions()
returns table (table_name text, column_name text, is_redacted boolean, reason text)
language sql
immutable
as $$
  select r.table_name, r.column_name, r.is_redacted, r.reason
  from (values (null::text, null::text, null::boolean, null::text)) r (table_name, column_name, is_redacted, reason)
  where r.table_name is not null
$$;

-- The columns of a table whose values the audit trail must not hold.
create or replace function app_private.redacted_columns(table_id regclass)
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(a.attname::text order by a.attnum), '{}')
  from pg_attribute a
  join pg_class c on c.oid = a.attrelid
  join pg_type t on t.oid = a.atttypid
  left join app_private.audit_redactions() r
    on r.table_name = c.relnamespace::regnamespace::text || '.' || c.relname and r.column_name = a.attname
  where a.attrelid = table_id and a.attnum > 0 and not a.attisdropped
    and coalesce(
      r.is_redacted,
      'bytea'::regtype in (t.oid, t.typbasetype, t.typelem)
        or a.attname ~ '(secret|hash|token|ciphertext|password|passphrase|pin$|otp|totp|nonce|salt|_index$)'
    )
$$;
--! EndIncluded audit/redactions.sql
--! Included audit/tg__audit.sql
/*
 * What the audit trail holds of a row: its key in the order of the primary key, without the tenant.
 */
create or replace function app_private.audit_row_key(in_row jsonb, key_columns text[])
returns text
language sql
immutable
as $$
  select string_agg(in_row ->> k.name, '/' order by k.n)
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
      app_private.audit_row_key(n.in_row, v_key_columns), app_private.audit_values(n.in_row, null, v_redacted)
    from (select to_jsonb(r) as in_row from new_rows r) n;
  elsif TG_OP = 'DELETE' then
    insert into app_private.audit_entries (tenant_id, operation, table_name, row_key, before)
    select
      coalesce((o.in_row ->> v_tenant_column)::integer, 0), 'delete', TG_TABLE_NAME,
      app_private.audit_row_key(o.in_row, v_key_columns), app_private.audit_values(o.in_row, null, v_redacted)
    from (select to_jsonb(r) as in_row from old_rows r) o;
  elsif TG_OP = 'UPDATE' then
    -- A row whose key was changed finds no partner: both of its versions are written down in full.
    insert into app_private.audit_entries (tenant_id, operation, table_name, row_key, before, after)
    select
      tenant_id, 'update', TG_TABLE_NAME, row_key,
      app_private.audit_values(o.in_row, n.in_row, v_redacted),
      app_private.audit_values(n.in_row, o.in_row, v_redacted)
    from (
      select to_jsonb(r) as in_row, coalesce((to_jsonb(r) ->> v_tenant_column)::integer, 0) as tenant_id,
        app_private.audit_row_key(to_jsonb(r), v_key_columns) as row_key
      from old_rows r
    ) o
    full join (
      select to_jsonb(r) as in_row, coalesce((to_jsonb(r) ->> v_tenant_column)::integer, 0) as tenant_id,
        app_private.audit_row_key(to_jsonb(r), v_key_columns) as row_key
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

select app_private.make_audit_partitions();

---- every table of the above ----

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
