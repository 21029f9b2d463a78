--! Previous: sha1:6c48a8258ded910040447f081598e69c6b7af690
--! Hash: sha1:36038f548eb7dca9e43d345a85b770c1b9780277
--! Message: rate limits

-- The migration being written. See migrations/README.md.

---- http ----

/*
 * Hits by rate limit, caller and window, counted by all processes of the API together. The key is a keyed
 * hash: neither addresses nor users can be read from it. Unlogged, because after a crash of the database
 * a count of the last minute is worth less than a write to disk at every request.
 */
create unlogged table app_private.rate_limit_counters (
  key bytea not null,
  window_number bigint not null,
  hits bigint not null,
  expires_at timestamptz not null,
  constraint rate_limit_counters_pkey primary key (key, window_number),
  constraint rate_limit_counters_key_is_a_hash check (octet_length(key) = 16),
  constraint rate_limit_counters_hits_are_positive check (hits > 0)
) with (fillfactor = 70);
create index rate_limit_counters_expires_at_idx on app_private.rate_limit_counters (expires_at);

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
--! Included http/count_hits.sql
/*
 * Add hits to the counters of rate limits, many at once, and answer with the total of each, in the order
 * of the arguments, and with the clock that all processes of the API go by. It says how many there
 * were and not whether that is too many: limits are the configuration of the API.
 *
 * The rows are taken in the order of their keys, so that two calls never wait for each other in a circle.
 * The same key may come twice: both get the same total.
 */
create or replace function app_hidden.count_hits(
  keys bytea[],
  window_numbers bigint[],
  hits integer[],
  window_seconds integer[],
  out totals bigint[],
  out clock_milliseconds bigint
)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  with counted as (
    insert into app_private.rate_limit_counters as c (key, window_number, hits, expires_at)
    select h.key, h.window_number, sum(h.hits), clock_timestamp() + make_interval(secs => 2 * max(h.window_seconds))
    from unnest(keys, window_numbers, hits, window_seconds) as h (key, window_number, hits, window_seconds)
    group by h.key, h.window_number
    order by h.key, h.window_number
    on conflict (key, window_number) do update set hits = c.hits + excluded.hits
    returning c.key, c.window_number, c.hits
  )
  select
    array(
      select c.hits
      from unnest(keys, window_numbers) with ordinality as h (key, window_number, position)
      join counted c on c.key = h.key and c.window_number = h.window_number
      order by h.position
    ),
    floor(extract(epoch from clock_timestamp()) * 1000)::bigint
$$;

-- The API counts before it knows who asks, so as nobody.
grant execute on function app_hidden.count_hits(bytea[], bigint[], integer[], integer[]) to tallystick_anonymous;
--! EndIncluded http/count_hits.sql
--! Included http/remove_old_rate_limit_counters.sql
/*
 * Remove counters whose window is over, for the worker: up to max_counters a call, so that no call lives
 * long. A counter that is being counted right now is left for the next call.
 */
create or replace function app_private.remove_old_rate_limit_counters(max_counters integer)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_removed integer;
begin
  delete from app_private.rate_limit_counters c
  where c.ctid = any (array(
    select o.ctid
    from app_private.rate_limit_counters o
    where o.expires_at <= clock_timestamp()
    order by o.expires_at
    limit least(greatest(max_counters, 1), 100000)
    for update skip locked
  ));
  get diagnostics v_removed = row_count;
  return v_removed;
end
$$;

grant execute on function app_private.remove_old_rate_limit_counters(integer) to tallystick_worker;
--! EndIncluded http/remove_old_rate_limit_counters.sql
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
