--! Previous: sha1:32925d00a902517f3db352689fc59b72d2e5e8d1
--! Hash: sha1:9fc0c1dfd1eb3b3d5702c745e81407cb9b9427d6
--! Message: thresholds

-- The migration being written. See migrations/README.md.
---- engine ----
alter table app_public.tenants add column has_thresholds boolean not null default false;
alter type app_private.actor add attribute has_thresholds boolean;
alter type app_private.batch_lines add attribute is_debit boolean[];
create type app_private.batch_rules as (
  approval_amounts numeric[],
  second_factor_amounts numeric[]
);
drop function app_private.post_batch__decide(
  integer, timestamptz, app_private.batch_items, app_private.batch_lines, app_private.batch_accounts,
  app_private.batch_targets);
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
--! Included identity/authorize.sql
/*
 * Who acts, and that they may: the first thing that every function does that writes. The role of the
 * database is the outer wall (its grants), the permission the inner one.
 *
 * One query by primary keys, and volatile, so that it reads what has been committed up to now: a session
 * that was revoked, a tenant that was suspended and a permission that was taken away hold at once.
 */
create or replace function app_private.authorize(permission text)
returns app_private.actor
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor app_private.actor;
  v_fault text;
begin
  select
    s.tenant_id, s.user_id, s.id, s.role, s.second_factor_at, t.has_thresholds,
    case
      when s.revoked_at is not null or s.expires_at <= now() then 'LG401'
      when t.status = 'suspended' then 'LG403'
      when p.permission is null or not authorize.permission = any (coalesce(s.scopes, array[p.permission]))
        then 'LG402'
      when s.second_factor_at is null and s.role = any (t.second_factor_roles) then 'LG404'
    end
  into v_actor.tenant_id, v_actor.user_id, v_actor.session_id, v_actor.role, v_actor.second_factor_at,
    v_actor.has_thresholds, v_fault
  from app_private.sessions s
  join app_public.tenants t on t.id = s.tenant_id
  left join app_public.role_permissions p
    on p.tenant_id = s.tenant_id and p.role = s.role and p.permission = authorize.permission
  where s.id = app_hidden.current_session_id()
    and s.tenant_id = app_hidden.current_tenant_id()
    and s.user_id = app_hidden.current_user_id();
  if not found then
    perform app_private.refuse('LG401');
  end if;
  if v_fault is not null then
    perform app_private.refuse(
      v_fault,
      case when v_fault = 'LG402' then jsonb_build_object('permission', permission) else '{}' end);
  end if;
  return v_actor;
end
$$;

/*
 * The same for those who run the installation: an operator has no tenant, and the permissions that the
 * role has by default.
 */
create or replace function app_private.authorize_operator(permission text)
returns app_private.actor
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor app_private.actor;
begin
  select null, s.user_id, s.id, s.role, s.second_factor_at
  into v_actor.tenant_id, v_actor.user_id, v_actor.session_id, v_actor.role, v_actor.second_factor_at
  from app_private.sessions s
  join app_private.operators o on o.user_id = s.user_id
  where s.id = app_hidden.current_session_id()
    and s.role = 'operator'
    and s.user_id = app_hidden.current_user_id()
    and s.revoked_at is null
    and s.expires_at > now();
  if not found then
    perform app_private.refuse('LG401');
  end if;
  if not exists (
    select
    from app_public.grantable_permissions g
    where g.role = 'operator' and g.permission = authorize_operator.permission and g.by_default
  ) then
    perform app_private.refuse('LG402', jsonb_build_object('permission', permission));
  end if;
  return v_actor;
end
$$;

/*
 * The ledger itself, where it acts on nobody's behalf: a job that expires what is due.
 */
create or replace function app_private.system_actor(tenant_id integer)
returns app_private.actor
language sql
immutable
as $$
  select row(tenant_id, null, null, null, null, false)::app_private.actor
$$;
--! EndIncluded identity/authorize.sql
--! Included identity/comments.sql
/*
 * What GraphQL says about users, memberships and permissions.
 */
comment on type app_public.member_role is 'What somebody is to a tenant; an operator runs the installation.';
comment on type app_public.user_kind is 'Whether a user is a person or a program.';
comment on type app_public.user_status is 'Whether a user, or a membership, is in use.';
comment on type app_public.tenant_status is 'Whether books are written to.';
comment on type app_public.severity is 'How grave a security event is.';

comment on column app_public.tenants.status is 'A suspended tenant is read, but nothing is written to its books.';
comment on column app_public.tenants.second_factor_roles is
  'The roles whose sessions do nothing before a second factor.';

comment on column app_public.tenants.has_thresholds is '@behavior -*';

comment on table app_public.users is $$
Somebody who acts: a person or a service. A user may belong to several tenants, with another role in each.
$$;
comment on column app_public.users.id is 'The id of the user.';
comment on column app_public.users.kind is 'Whether the user is a person or a service.';
comment on column app_public.users.name is 'The name for people.';
comment on column app_public.users.status is 'A disabled user has no session and cannot sign in.';
comment on column app_public.users.created_at is 'When the user came to be.';
comment on column app_public.users.disabled_at is 'Since when the user has been disabled.';

comment on table app_public.memberships is $$
What a user is to these books: one role.
$$;
comment on column app_public.memberships.user_id is 'The id of the user.';
comment on column app_public.memberships.role is 'What the user is to these books.';
comment on column app_public.memberships.status is 'A disabled membership has no session and cannot sign in.';
comment on column app_public.memberships.created_at is 'When the user joined.';

comment on table app_public.permissions is $$
@behavior +query:resource:connection

Something that a role may be allowed to do.
$$;
comment on column app_public.permissions.permission is 'The name, such as `transactions.post`.';
comment on column app_public.permissions.description is 'What it allows.';

comment on table app_public.grantable_permissions is $$
@behavior +query:resource:connection

What a role may ever be given, by any tenant.
$$;
comment on column app_public.grantable_permissions.role is 'The role.';
comment on column app_public.grantable_permissions.permission is 'The permission.';
comment on column app_public.grantable_permissions.by_default is 'Whether a new tenant gives it to the role.';

comment on table app_public.role_permissions is $$
@behavior +query:resource:connection

What a role may do in these books.
$$;
comment on column app_public.role_permissions.role is 'The role.';
comment on column app_public.role_permissions.permission is 'The permission.';

comment on table app_public.transaction_thresholds is $$
@behavior +query:resource:connection

From which amount on a transaction needs a second person, or a second factor: measured against the sum of
its debits in the currency.
$$;
comment on column app_public.transaction_thresholds.currency is 'The currency of the amounts.';
comment on column app_public.transaction_thresholds.approval_amount is
  'From this amount on, in minor units, another person must approve. None: nobody need.';
comment on column app_public.transaction_thresholds.second_factor_amount is
  'From this amount on, in minor units, a fresh second factor is needed. None: never.';

comment on constraint grantable_permissions_permission_fkey on app_public.grantable_permissions is '@behavior -*';
comment on constraint role_permissions_role_fkey on app_public.role_permissions is '@behavior -*';
comment on constraint transaction_thresholds_currency_fkey on app_public.transaction_thresholds is '@behavior -*';
--! EndIncluded identity/comments.sql
--! Included ledger/tg_transaction_thresholds__flag.sql
/*
 * A tenant with thresholds is marked, so that the posting of the others need not look for them.
 */
create or replace function app_private.tg_transaction_thresholds__flag()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := coalesce(new.tenant_id, old.tenant_id);
begin
  -- Two that change thresholds at once do so one after the other.
  perform from app_public.tenants t where t.id = v_tenant_id for no key update;
  update app_public.tenants t
  set has_thresholds = exists (
    select from app_public.transaction_thresholds h where h.tenant_id = v_tenant_id
  )
  where t.id = v_tenant_id;
  return null;
end
$$;

create or replace trigger _500_flag
  after insert or delete on app_public.transaction_thresholds
  for each row execute function app_private.tg_transaction_thresholds__flag();
--! EndIncluded ledger/tg_transaction_thresholds__flag.sql
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
    (select array_agg(distinct k.account_id order by k.account_id) from line k where k.account_id is not null),
    array_agg(direction = 'debit' order by n, ordinal) filter (where direction is not null)
  from line
$$;
--! EndIncluded engine/post_batch__read_lines.sql
--! Included engine/post_batch__read_rules.sql
/*
 * Step 4b, only where the tenant has such rules: from which sum on a transaction needs a second person, or
 * a second factor, by account, each having one currency. A second factor is good for five minutes; for the
 * ledger itself, and once a second person has agreed, there is nothing to ask.
 */
create or replace function app_private.post_batch__read_rules(
  actor app_private.actor,
  is_approved boolean,
  currencies text[]
)
returns app_private.batch_rules
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select
    array_agg(case when not is_approved then t.approval_amount::numeric end order by c.n),
    array_agg(
      case when actor.second_factor_at is null or actor.second_factor_at < now() - interval '5 minutes'
        then t.second_factor_amount::numeric
      end order by c.n
    )
  from unnest(currencies) with ordinality as c (currency, n)
  left join app_public.transaction_thresholds t
    on t.tenant_id = actor.tenant_id and t.currency = c.currency
$$;

/*
 * The refusal of one transaction by these rules, with its detail; null when none applies. Its debits are
 * summed by currency.
 */
create or replace function app_private.post_batch__broken_rule(
  rules app_private.batch_rules,
  account_currencies text[],
  accounts integer[],
  is_debit boolean[],
  amounts numeric[],
  out code text,
  out detail jsonb
)
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select
    case when d.amount >= d.approval_amount then 'LG405' else 'LG406' end,
    jsonb_build_object('currency', d.currency, 'amount', d.amount::text, 'threshold',
      case when d.amount >= d.approval_amount then d.approval_amount else d.second_factor_amount end::text)
  from (
    select
      account_currencies[l.account] as currency, sum(l.amount) as amount,
      min(rules.approval_amounts[l.account]) as approval_amount,
      min(rules.second_factor_amounts[l.account]) as second_factor_amount
    from unnest(accounts, is_debit, amounts) as l (account, is_debit, amount)
    where l.is_debit
    group by 1
  ) d
  where d.amount >= d.approval_amount or d.amount >= d.second_factor_amount
  order by d.amount >= d.approval_amount desc nulls last, d.currency
  limit 1
$$;
--! EndIncluded engine/post_batch__read_rules.sql
--! Included engine/post_batch__decide.sql
/*
 * Step 6: decide each item in sequence, in memory. An item sees what the accepted items before it left,
 * so that a batch answers as its items one at a time would.
 *
 * The first refusal wins, in this order, which is tested:
 *   shape (LG1xx, found before) → key (LG501) → target (LG304–LG308, LG310–LG312) → account unknown
 *   (LG301) → more than reserved (LG206) → unbalanced (LG201) → closed, frozen (LG303, LG302) → period
 *   (LG309) → approval, second factor (LG405, LG406) → conditions (LG205, or LG301) → overflow and
 *   limits (LG204, LG202, LG203)
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
  targets app_private.batch_targets,
  rules app_private.batch_rules
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
  v_has_timeouts boolean := items.has_timeouts;
  v_has_rules boolean := rules.approval_amounts is not null;
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
  l_is_debit boolean[] := lines.is_debit;
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
  -- What no account, or no line, of the batch has need not be looked for in each.
  v_is_rising boolean := at > all (accounts.last_created_at);
  v_is_one_currency boolean := accounts.currencies[1] = all (accounts.currencies);
  v_are_all_open boolean := 'open' = all (accounts.statuses);
  v_has_pending boolean := 0 <> any (lines.pending);
  v_has_limits boolean :=
    cardinality(array_remove(accounts.minimums, null)) > 0
    or cardinality(array_remove(accounts.maximums, null)) > 0;
  v_has_expired boolean := 0 <> any (accounts.expired_debits || accounts.expired_credits);
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
      -- Each item a microsecond after the one before it, so that the times of every account rise.
      v_time := at + i * interval '1 microsecond';
      for p in v_first .. v_last loop
        a := l_accounts[p];
        if a is null then
          v_code := 'LG301';
          v_detail := jsonb_build_object('accountId', lines.account_ids[p]);
          exit;
        end if;
        if not v_is_rising and a_last_created_at[a] >= v_time then
          v_time := a_last_created_at[a] + interval '1 microsecond';
        end if;
        if not v_is_one_currency and a_currencies[a] <> a_currencies[l_accounts[v_first]] then
          v_is_mixed := true;
        end if;
        if l_is_debit[p] then
          v_posted := v_posted + l_posted[p];
        else
          v_posted := v_posted - l_posted[p];
        end if;
        if v_has_pending then
          v_pending := v_pending + case when l_is_debit[p] then l_pending[p] else -l_pending[p] end;
        end if;
      end loop;

      if v_code is null and v_kind = 'post_pending' and true = any (lines.is_excess[v_first : v_last]) then
        v_code := 'LG206';
        v_detail := jsonb_build_object('transactionId', items.pending_ids[i]);
      end if;

      if v_code is null and (v_posted <> 0 or v_pending <> 0 or v_is_mixed) then
        v_detail := app_private.post_batch__imbalance(a_currencies,
          l_accounts[v_first : v_last], lines.directions[v_first : v_last],
          l_posted[v_first : v_last], l_pending[v_first : v_last]);
        v_code := case when v_detail is not null then 'LG201' end;
      end if;

      -- Closed and frozen accounts take nothing but the release of what they hold.
      if v_code is null and not v_are_all_open then
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

      -- What resolves a pending transaction was asked about when it was made.
      if v_code is null and v_has_rules and v_kind in ('posted', 'pending') then
        select r.code, r.detail into v_code, v_detail
        from app_private.post_batch__broken_rule(
          rules, a_currencies, l_accounts[v_first : v_last], l_is_debit[v_first : v_last],
          case when v_kind = 'posted' then l_posted[v_first : v_last] else l_pending[v_first : v_last] end
        ) r;
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
      v_ids[i] := uuidv7();
      v_is_accepted[i] := true;
      v_created_at[i] := v_time;
      if v_effective_at[i] is null then
        v_effective_at[i] := v_time;
      end if;
      for p in v_first .. v_last loop
        a := l_accounts[p];
        if l_is_debit[p] then
          a_posted_debits[a] := a_posted_debits[a] + l_posted[p];
        else
          a_posted_credits[a] := a_posted_credits[a] + l_posted[p];
        end if;
        if v_has_pending then
          if l_is_debit[p] then
            a_pending_debits[a] := a_pending_debits[a] + l_pending[p];
          else
            a_pending_credits[a] := a_pending_credits[a] + l_pending[p];
          end if;
          if v_kind = 'expire_pending' then
            if l_is_debit[p] then
              a_expired_debits[a] := a_expired_debits[a] + l_pending[p];
            else
              a_expired_credits[a] := a_expired_credits[a] + l_pending[p];
            end if;
          end if;
        end if;
        if v_has_expired then
          l_expired_debits[p] := a_expired_debits[a];
          l_expired_credits[p] := a_expired_credits[a];
        end if;
        a_versions[a] := a_versions[a] + 1;
        l_transaction_ids[p] := v_ids[i];
        l_created_at[p] := v_time;
        l_effective_at[p] := v_effective_at[i];
        l_currencies[p] := a_currencies[a];
        l_is_debit_normal[p] := a_is_debit_normal[a];
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
        continue when not v_has_limits;
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

      if v_code is null then
        for p in v_first .. v_last loop
          a := l_accounts[p];
          a_last_created_at[a] := v_time;
          if v_effective_at[i] > a_last_effective_at[a] then
            a_last_effective_at[a] := v_effective_at[i];
          end if;
          if v_has_timeouts and items.timeouts[i] is not null then
            a_next_expiry_at[a] := least(a_next_expiry_at[a],
              v_time + make_interval(secs => items.timeouts[i]));
          end if;
        end loop;
      else
        v_ids[i] := null;
        v_is_accepted[i] := false;
        for p in v_first .. v_last loop
          a := l_accounts[p];
          l_transaction_ids[p] := null;
          a_versions[a] := a_versions[a] - 1;
          if l_is_debit[p] then
            a_posted_debits[a] := a_posted_debits[a] - l_posted[p];
            a_pending_debits[a] := a_pending_debits[a] - l_pending[p];
          else
            a_posted_credits[a] := a_posted_credits[a] - l_posted[p];
            a_pending_credits[a] := a_pending_credits[a] - l_pending[p];
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
  if actor.has_thresholds then
    v_rules := app_private.post_batch__read_rules(actor, is_approved, v_accounts.currencies);
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
  end if;

  if true = any (v_decision.is_accepted) then
    perform app_private.post_batch__write(tenant_id, actor.user_id, v_items, v_lines, v_decision);
  end if;
  return app_private.post_batch__results(tenant_id, v_lines, v_decision);
end
$$;
--! EndIncluded engine/post_batch__attempt.sql
