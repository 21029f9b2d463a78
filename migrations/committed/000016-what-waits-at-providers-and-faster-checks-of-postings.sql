--! Previous: sha1:58e56b0c10f7b6aa1b7bcc107b8c5968d3f309bb
--! Hash: sha1:0743b0a81ce5f4455a134a745d0063f2005acb80
--! Message: what waits at providers, and faster checks of postings

-- The migration being written. See migrations/README.md.
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
-- As in post_batch__read_targets.
set enable_sort = off
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
    cross join lateral (
      select t.ordinal, t.account_id, t.direction, t.posted_amount, t.pending_amount
      from app_public.postings t
      where t.tenant_id = batch_lines__of_targets.tenant_id
        and t.transaction_id between coalesce(item.pending_id, item.reverses_id)
          and coalesce(item.pending_id, item.reverses_id)
      order by t.transaction_id
      offset 0
    ) p
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
-- Ranges of one, in order: a plan made while the tables are new, and without statistics, takes the index of the order
-- (and enable_sort) and not any that begins with the tenant, of which it would read all for as long as it lives.
set enable_sort = off
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
  left join lateral (
    select t.id, t.fingerprint
    from app_public.transactions t
    where t.tenant_id = post_batch__read_targets.tenant_id
      and t.idempotency_key between i.idempotency_key and i.idempotency_key
    order by t.idempotency_key
    limit 1
  ) replayed on true
  left join lateral (
    select t.kind, t.expires_at
    from app_public.transactions t
    where t.tenant_id = post_batch__read_targets.tenant_id
      and t.id between coalesce(i.pending_id, i.reverses_id) and coalesce(i.pending_id, i.reverses_id)
    order by t.id
    limit 1
  ) target on true
  left join lateral (
    select t.kind
    from app_public.transactions t
    where t.tenant_id = post_batch__read_targets.tenant_id and t.pending_id between i.pending_id and i.pending_id
    order by t.pending_id
    limit 1
  ) resolution on true
  left join lateral (
    select t.id
    from app_public.transactions t
    where t.tenant_id = post_batch__read_targets.tenant_id and t.reverses_id between i.reverses_id and i.reverses_id
    order by t.reverses_id
    limit 1
  ) reversal on true
  left join app_public.accounting_periods period
    on period.tenant_id = post_batch__read_targets.tenant_id
    and period.closed_at is not null
    and period.during @> coalesce(i.effective_at, post_batch__read_targets.at)
$$;
--! EndIncluded engine/post_batch__read_targets.sql
--! Included ledger/tg_postings__check.sql
/*
 * The postings of a statement, whoever wrote it. Each transaction: debits equal credits in each currency, so
 * that it has two postings or more; they fit its kind and times; it was written by the same database
 * transaction, so that nothing is added to it later. Each posting carries on the version and the counters of
 * the posting before it, in its account's currency; the last one of each account left what the balance says.
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
      max(p.created_at) = min(p.created_at) and max(p.effective_at) = min(p.effective_at) as is_one_time,
      bool_or(
        coalesce(q.version, 0) <> p.version - 1
        or q.currency <> p.currency
        or q.created_at >= p.created_at and q.transaction_id <> p.transaction_id
        or p.posted_debits::numeric <> coalesce(q.posted_debits, 0)
          + case when p.direction = 'debit' then p.posted_amount::numeric else 0 end
        or p.posted_credits::numeric <> coalesce(q.posted_credits, 0)
          + case when p.direction = 'credit' then p.posted_amount::numeric else 0 end
        or p.pending_debits::numeric <> coalesce(q.pending_debits, 0)
          + case when p.direction = 'debit' then p.pending_amount::numeric else 0 end
        or p.pending_credits::numeric <> coalesce(q.pending_credits, 0)
          + case when p.direction = 'credit' then p.pending_amount::numeric else 0 end
        or b.account_id is null or b.currency <> p.currency or b.version < p.version
        or b.version = p.version and (
          b.posted_debits <> p.posted_debits or b.posted_credits <> p.posted_credits
          or b.pending_debits <> p.pending_debits or b.pending_credits <> p.pending_credits
        )
        -- A balance that is further on has come there by the next posting.
        or b.version > p.version and not exists (
          select
          from app_public.postings f
          where f.tenant_id = p.tenant_id and f.account_id = p.account_id
            and f.version between p.version + 1 and p.version + 1
          order by f.version
          offset 0
        )
      ) as is_off_chain
    -- By account, which is how the indexes are read that are asked for each: neighbours are found in the same pages.
    from (select n.* from new_postings n order by n.tenant_id, n.account_id, n.version offset 0) p
    -- The posting before: of this statement, or of any before it. A range of one, in order: while the table is small
    -- and without statistics, only the order (and enable_sort) makes the planner take the primary key and not
    -- another index that begins with the tenant.
    left join lateral (
      select f.version, f.transaction_id, f.currency, f.created_at,
        f.posted_debits, f.posted_credits, f.pending_debits, f.pending_credits
      from app_public.postings f
      where f.tenant_id = p.tenant_id and f.account_id = p.account_id
        and f.version between p.version - 1 and p.version - 1
      order by f.version
      offset 0
    ) q on true
    left join app_public.account_balances b on b.tenant_id = p.tenant_id and b.account_id = p.account_id
    group by p.tenant_id, p.transaction_id, p.currency
  ) g
  left join lateral (
    select f.id, f.xact_id, f.kind, f.created_at, f.effective_at
    from app_public.transactions f
    where f.tenant_id = g.tenant_id and f.id between g.transaction_id and g.transaction_id
    order by f.id
    offset 0
  ) t
    on t.created_at = g.created_at and t.effective_at = g.effective_at and g.is_one_time
    and case t.kind
      when 'posted' then g.lowest_pending = 0 and g.highest_pending = 0
      when 'pending' then g.highest_posted = 0 and g.lowest_pending > 0
      when 'post_pending' then g.highest_pending < 0
      else g.highest_posted = 0 and g.highest_pending < 0
    end
  -- Not in the join condition: the index on xact_id would find all that this database transaction wrote.
  where g.posted <> 0 or g.pending <> 0 or g.is_off_chain or t.id is null or t.xact_id <> pg_current_xact_id()
  limit 1;
  if found then
    perform app_private.refuse(
      case when v_fault.is_unbalanced then 'LG201' else 'LG320' end,
      jsonb_build_object('transactionId', v_fault.transaction_id));
  end if;
  return null;
end
$$;
--! EndIncluded ledger/tg_postings__check.sql
--! Included ledger/tg_transactions__check.sql
/*
 * Each new transaction has a posting, and with it two or more, since these balance: see tg_postings__check.
 * Transactions and their postings are written by one statement, so the postings are there when this runs.
 *
 * A range of one, in order, and no sorting: else the plan that a session makes while the books are new reads all
 * postings of the tenant, for every transaction, until the session ends or the tables are analyzed.
 */
create or replace function app_private.tg_transactions__check()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_sort = off
as $$
declare
  v_id uuid;
begin
  select t.id into v_id
  from new_transactions t
  where (
    select p.transaction_id
    from app_public.postings p
    where p.tenant_id = t.tenant_id and p.transaction_id between t.id and t.id
    order by p.transaction_id
    limit 1
  ) is null
  limit 1;
  if found then
    perform app_private.refuse('LG103', jsonb_build_object('transactionId', v_id));
  end if;
  return null;
end
$$;
--! EndIncluded ledger/tg_transactions__check.sql
--! Included engine/post_batch__write.sql
/*
 * Step 7: write what was decided: transactions, postings and balances in one statement, so that the
 * statement-level triggers of each table see the rows of all three.
 */
create or replace function app_private.post_batch__write(
  tenant_id integer,
  created_by uuid,
  authors uuid[],
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
      case when authors is null then post_batch__write.created_by else authors[i.n] end,
      i.idempotency_key, i.fingerprint, i.description, i.metadata
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
    -- Neighbours in the index of accounts together.
    order by l.account_id, l.version
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
alter table app_public.payment_attempts add column if not exists cancel_reason text;
alter table app_public.payment_attempts
  drop constraint if exists payment_attempts_cancel_reason_is_1_to_1000_characters;
alter table app_public.payment_attempts
  add constraint payment_attempts_cancel_reason_is_1_to_1000_characters
    check (length(cancel_reason) between 1 and 1000);
drop function if exists app_private.request_cancellation(app_private.actor, app_public.payments);
--! Included errors/refusals.sql
/*
 * Every refusal that the ledger can answer. The third character groups them: 1 shape, 2 balance, 3 state,
 * 4 access, 5 idempotency, 6 payments, 7 statements and messages. A code never changes its meaning.
 * docs/error_codes.md is generated from these rows. Names follow TigerBeetle's where it has the same refusal.
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

  ('LG370', 'tenant_not_found',
    'There is no such tenant.',
    'Check the slug.', false),
  ('LG371', 'chart_template_not_found',
    'There is no such chart of accounts.',
    'Ask for `chartTemplates` to see those that there are.', false),
  ('LG372', 'invitation_not_found',
    'There is no such invitation.',
    'Check the link. An invitation that was revoked is not found either.', false),
  ('LG373', 'invitation_already_accepted',
    'The invitation has been accepted already.',
    'Sign in. An invitation is good for one person.', false),
  ('LG374', 'invitation_expired',
    'The invitation has expired.',
    'Ask for a new one.', false),
  ('LG375', 'member_not_found',
    'There is no such member.',
    'Check the id of the user.', false),
  ('LG376', 'already_a_member',
    'The user is a member already.',
    'Change the role of the member, or enable them again, instead.', false),
  ('LG377', 'last_admin',
    'An active tenant keeps an active admin: this one is the last.',
    'Make somebody else an admin first. An operator may also suspend the tenant.', false),
  ('LG378', 'user_not_found',
    'There is no such user.',
    'Check the id of the user.', false),
  ('LG390', 'proposal_not_found',
    'There is no such proposal.',
    'Check the id.', false),
  ('LG391', 'proposal_already_decided',
    'The proposal has been approved, rejected or withdrawn already.',
    'Nothing is left to do. See the detail for what was decided.', false),
  ('LG392', 'proposal_expired',
    'The time to approve the proposal has passed.',
    'Propose the transaction anew, under another idempotency key.', false),
  ('LG393', 'invalid_proposal_expiry',
    'A proposal must expire in the future, within 90 days.',
    'Leave expiresAt out to give it seven days.', false),
  ('LG394', 'proposal_already_posted',
    'The transaction of the proposal has been posted already, under the same idempotency key.',
    'Nothing is left to do. See the detail for the transaction.', false),

  ('LG401', 'not_signed_in',
    'There is no session, or it has ended.',
    'Sign in, and send the access token in the Authorization header.', false),
  ('LG402', 'forbidden',
    'The role of the request may not do this.',
    'Sign in with a role that may. Where the detail names a permission, an admin of the tenant can give it.', false),
  ('LG403', 'tenant_suspended',
    'The books are suspended: nothing is written to them.',
    'Ask the operator of the installation.', false),
  ('LG404', 'second_factor_required',
    'This role acts only after a second factor.',
    'Confirm the session with a one-time password, then send the same request again.', false),
  ('LG410', 'permission_not_grantable',
    'The role can never be given this permission.',
    'Ask for `grantablePermissions` to see what each role can be given.', false),
  ('LG411', 'permission_kept',
    'Admins keep the permission to change permissions.',
    'Take other permissions away instead.', false),
  ('LG412', 'own_membership',
    'Nobody changes their own membership.',
    'Ask another admin.', false),
  ('LG413', 'role_not_assignable',
    'A person is a customer, a teller, an accountant, an auditor or an admin; a program stays a partner.',
    'Choose one of these roles. Operators are made on the command line, partners with their API keys.', false),

  ('LG420', 'malformed_signature',
    'The Authorization header of a signed request is not in its form.',
    'See docs/how-to/partner-api-keys.md for the form. The detail names what is wrong with it.', false),
  ('LG421', 'signature_refused',
    'The API key or the signature is not right.',
    'Compare what you sign with the test vectors in docs/api-key-vectors.json, and check key and secret.', false),
  ('LG422', 'signature_out_of_time',
    'The timestamp of the signature is more than five minutes away from the time of the server.',
    'Set the clock, and sign each request at the time of sending it.', false),
  ('LG423', 'nonce_reused',
    'A request with this nonce has been taken already.',
    'Sign each request anew, with a nonce of its own: also one that is sent again.', false),
  ('LG424', 'address_not_allowed',
    'Requests with this API key are not taken from this address.',
    'Ask the administrator who made the key for which addresses it is.', false),
  ('LG425', 'api_key_ended',
    'The API key has expired or was revoked.',
    'Ask an administrator of the tenant for a new key.', false),
  ('LG426', 'api_key_not_found',
    'There is no such API key.',
    'Check the id.', false),
  ('LG427', 'invalid_api_key',
    'An API key cannot be made like this.',
    'See the detail for the field and what it may hold.', false),
  ('LG429', 'account_beyond_parent',
    'An account that a partner opens is like the account that it is opened under, and its own.',
    'Take type, side and currency of the parent, stay within its limits, begin the code with its code.', false),
  ('LG405', 'approval_required',
    'A transaction of this amount needs the approval of a second person.',
    'Propose it with `proposeTransaction`, for somebody else to approve. See the detail for the threshold.', false),
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
  ('LG190', 'unknown_check',
    'There is no check of this name.',
    'Leave the names out to run all checks: the answer names them.', false),
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
  ('LG450', 'not_sealed_yet',
    'The transaction has not been sealed yet.',
    'Ask again in a minute: a job seals what has been settled.', true),
  ('LG451', 'missing_from_its_block',
    'The transaction lies where all have been sealed, but its block does not hold it.',
    'It was changed or put there past the ledger. Run verifyLedger.', false),
  ('LG430', 'own_proposal',
    'Nobody approves or rejects what they proposed themselves.',
    'Ask somebody else to decide, or withdraw or cancel it.', false),
  ('LG431', 'person_required',
    'Proposals and payments are approved by people, not by programs.',
    'Sign in as a person who may approve.', false),
  ('LG432', 'proposer_may_not_post',
    'Whoever proposed the transaction or payment may no longer make it.',
    'Reject it, or propose it in your own name.', false),
  ('LG433', 'not_own_proposal',
    'Only whoever made a proposal withdraws it.',
    'Reject it instead, if you may approve.', false),
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
  ('LG470', 'invalid_credentials',
    'The e-mail address or the password is not right.',
    'Check both. Who has forgotten the password can have it reset.', false),
  ('LG471', 'too_many_attempts',
    'There were too many attempts that failed.',
    'Wait for as many seconds as the detail and the header Retry-After say.', true),
  ('LG472', 'not_a_member',
    'You do not belong to these books.',
    'Check which books were named. To join, accept an invitation or register.', false),
  ('LG473', 'code_required',
    'The account asks for a one-time password.',
    'Send the same request again with a code of your authenticator, or a recovery code.', false),
  ('LG474', 'invalid_code',
    'The one-time password is not right, or was used already.',
    'Send the next code that your authenticator shows. Check that its clock is right.', false),
  ('LG475', 'invalid_link',
    'The link is not good, or not any more.',
    'Ask for a new one. Each is good for one use and a limited time.', false),
  ('LG476', 'sign_in_busy',
    'Too many people are signing in at this moment.',
    'Wait for as many seconds as the detail and the header Retry-After say, and send the same request again.', true),
  ('LG477', 'unsuitable_password',
    'The password is too short, too long or too easy to guess.',
    'Choose 12 to 256 characters that others would not think of. See the detail for the rule.', false),
  ('LG478', 'invalid_refresh_token',
    'The refresh token is not good, or not any more.',
    'Sign in again.', false),
  ('LG480', 'registration_closed',
    'These books are not open to strangers.',
    'Ask an admin of the books for an invitation.', false),
  ('LG481', 'second_factor_active',
    'There is a second factor already.',
    'Disable it first, or go on using it.', false),
  ('LG482', 'second_factor_missing',
    'There is no second factor.',
    'Set one up with `enrolSecondFactor`.', false),
  ('LG483', 'second_factor_not_fresh',
    'This takes a second factor that was shown within the last five minutes.',
    'Confirm the session with `confirmSecondFactor`, then send the same request again.', false),

  ('LG464', 'origin_not_allowed',
    'Web pages of this origin may not open web sockets here.',
    'Add the origin to TALLYSTICK_CORS_ORIGINS.', false),

  ('LG601', 'payment_not_found',
    'There is no such payment.',
    'Check the id. A payment of somebody else looks the same as none.', false),
  ('LG602', 'payment_in_another_state',
    'The payment cannot make this move from where it stands.',
    'Read the payment again. See the detail for where it stands.', false),
  ('LG603', 'payment_field_missing',
    'A field that this kind of payment needs is missing.',
    'See the description of PaymentInput for what each kind takes.', false),
  ('LG604', 'payment_field_not_allowed',
    'A field was given that this kind of payment does not take.',
    'See the description of PaymentInput for what each kind takes.', false),
  ('LG605', 'payment_provider_not_found',
    'No provider of this code takes new payments in this currency.',
    'Name another provider, or have an admin set one up and give it accounts in the currency.', false),
  ('LG606', 'counterparty_not_found',
    'There is no such counterparty.',
    'Check the id. One that was archived takes no new payments.', false),
  ('LG607', 'payment_not_refundable',
    'Only a pay-in or a transfer that has settled can be given back.',
    'Cancel a payment that has not settled. See the detail for where it stands.', false),
  ('LG608', 'refund_exceeds_payment',
    'The refunds of a payment cannot be more than the payment.',
    'See the detail for how much may still be given back.', false),
  ('LG609', 'payment_is_immutable',
    'What a payment was asked to be never changes, and no payment is removed.',
    'Cancel it, and ask for another one.', false),
  ('LG610', 'transaction_belongs_to_payment',
    'The transaction belongs to a payment, which alone resolves or reverses it.',
    'Cancel or refund the payment instead. See the detail for its id.', false),
  ('LG611', 'payment_accounts_equal',
    'A payment needs two different accounts.',
    'Name another account.', false),
  ('LG612', 'invalid_payment_time',
    'A time of the payment is outside what it may be.',
    'See the detail for the field and its rule.', false),
  ('LG613', 'payment_currency_differs',
    'A payment and its accounts are in one currency.',
    'Leave the currency out, name accounts in it, or convert first.', false),
  ('LG614', 'provider_reference_differs',
    'The provider calls this payment something else.',
    'See the detail for what it is called, and look for another payment.', false),
  ('LG615', 'payment_not_waiting',
    'The payment does not wait for the decision of another person.',
    'Read the payment again. See the detail for where it stands.', false),
  ('LG616', 'invalid_counterparty',
    'A fact of the counterparty does not have its form.',
    'See the detail for the field and its rule.', false),
  ('LG617', 'payment_provider_kind_fixed',
    'There is a provider of another kind under this code, and its kind never changes.',
    'Set up another provider under another code.', false),
  ('LG618', 'payment_provider_is_reconciled',
    'Statements of the provider have been imported for these accounts, so it keeps them.',
    'Set up another provider under another code, with the other accounts.', false),

  ('LG680', 'provider_takes_no_secret',
    'The provider is spoken to without secrets.',
    'A bank takes files from a folder: there is nothing to set.', false),
  ('LG681', 'provider_signature_refused',
    'The message is not signed as it should be.',
    'Sign it with the secret that both sides know, and send it within five minutes.', false),
  ('LG682', 'invalid_provider_secret',
    'The secret does not have the form of its kind.',
    'Copy it again from the provider. See the detail for what it looks like.', false),

  ('LG700', 'statement_not_readable',
    'The statement cannot be read in the format that was named.',
    'See the detail for the place and the fault. Nothing of the file was imported.', false),
  ('LG701', 'provider_account_missing',
    'The provider has no accounts in this currency.',
    'Check the provider and the currency, or set up its clearing and suspense account in it.', false),
  ('LG702', 'statement_does_not_add_up',
    'The opening balance and the entries of the statement do not come to its closing balance.',
    'Ask for the statement anew: entries are missing or too many. See the detail for the difference.', false),
  ('LG703', 'statement_not_continuous',
    'The statement does not begin with the balance that the last one ended with.',
    'Import the statements between first, in order. See the detail for the difference.', false),
  ('LG704', 'statement_taken',
    'Another statement with this reference has been imported.',
    'A statement never changes. Ask the provider why there are two.', false),
  ('LG705', 'statement_entry_taken',
    'An entry with this id has been imported, or the file has it twice.',
    'Leave out what has been imported. See the detail for the entry.', false),
  ('LG706', 'clearing_account_shared',
    'Another provider that is reconciled has the same clearing or suspense account.',
    'Give each provider accounts of its own in each currency.', false),
  ('LG707', 'match_not_found',
    'There is no such match.',
    'Check the id.', false),
  ('LG708', 'match_already_decided',
    'The match has been confirmed or rejected already.',
    'See the detail for which. Match by hand what is still open.', false),
  ('LG709', 'match_does_not_fit',
    'The entries and what they should match do not fit, or some of it is matched already.',
    'Choose what is open, of one provider and currency, and going one way.', false),
  ('LG710', 'statement_entry_not_found',
    'There is no such entry of a statement.',
    'Check the ids. At least one is needed.', false),
  ('LG711', 'clearing_item_not_found',
    'There is nothing like this expected on a statement.',
    'Check the ids. At least one is needed.', false),
  ('LG712', 'cannot_be_written_off',
    'This cannot be written off.',
    'See the detail: nothing of it is open, or a proposal to write it off waits already.', false),
  ('LG713', 'invalid_matching_rule',
    'The matching rule is not valid.',
    'See the detail for the field.', false),
  ('LG714', 'write_off_out_of_date',
    'What is open is no longer what the proposal writes off.',
    'Reject the proposal, and propose what is left.', false),
  ('LG715', 'statement_too_large',
    'The statement is too large to be sent like this.',
    'Import it with `tallystick statement import`.', false),
  ('LG716', 'payment_did_not_settle',
    'The match was not confirmed, because a payment of it cannot be settled by it.',
    'Read the payment: its provider, amount or state contradicts the statement.', false),

  ('LG620', 'unknown_payment_provider',
    'There is no such payment provider.',
    'Check its code.', false),
  ('LG621', 'dead_letter_not_found',
    'There is no such dead letter.',
    'Check the id.', false),
  ('LG622', 'dead_letter_is_resolved',
    'Somebody has decided about the dead letter already.',
    'Read it again. See the detail for what was decided.', false),
  ('LG623', 'unknown_provider_answer',
    'A provider does not put it like that.',
    'The state is submitted, settled, failed, cancelled or returned.', false),
  ('LG624', 'routing_rule_not_found',
    'There is no such routing rule.',
    'Check the id.', false),
  ('LG670', 'schedule_not_found',
    'There is no such schedule.',
    'Check the id. A schedule of somebody else looks the same as none.', false),
  ('LG671', 'invalid_recurrence_rule',
    'The recurrence rule is not one that can be used.',
    'Give a rule of RFC 5545, at most hourly, such as FREQ=MONTHLY;BYMONTHDAY=-1. The detail names what is wrong.',
    false),
  ('LG672', 'invalid_schedule',
    'A schedule cannot be like this.',
    'See the detail for the field and its rule.', false),
  ('LG673', 'schedule_in_another_state',
    'The schedule does not take this where it stands.',
    'See the detail for where it stands. One that has ended stays so: make another.', false),
  ('LG674', 'occurrence_not_planned',
    'No occurrence of the schedule is planned for this time.',
    'Take the time from the planned occurrences of the schedule. One that was paid is past skipping.', false),
  ('LG675', 'holiday_calendar_not_found',
    'There is no such holiday calendar.',
    'Check the id.', false),
  ('LG676', 'holiday_calendar_code_taken',
    'There is a holiday calendar with this code already.',
    'Use it, or another code.', false),
  ('LG677', 'invalid_holiday',
    'A holiday or a weekend cannot be like this.',
    'See the detail for the field and its rule.', false),
  ('LG67A', 'plan_not_found',
    'There is no such plan.',
    'Check the id.', false),
  ('LG67B', 'invalid_plan',
    'A plan cannot be like this.',
    'See the detail for the field and its rule.', false),
  ('LG67C', 'plan_code_taken',
    'There is a plan with this code already.',
    'Use another code: what a plan asks for never changes.', false),
  ('LG67D', 'subscription_not_found',
    'There is no such subscription.',
    'Check the id. A subscription of somebody else looks the same as none.', false),
  ('LG67E', 'subscription_in_another_state',
    'The subscription does not take this where it stands.',
    'See the detail for where it stands.', false),
  ('LG67F', 'already_subscribed',
    'The account subscribes to this plan already.',
    'Change the quantity of that subscription. See the detail for its id.', false),
  ('LG67G', 'plan_does_not_fit',
    'The plan does not fit the account or the subscription.',
    'See the detail for what differs.', false),
  ('LG67H', 'invalid_subscription',
    'A subscription cannot be like this.',
    'See the detail for the field and its rule.', false),

  ('LG720', 'webhook_url_not_allowed',
    'Events are not sent to this URL.',
    'Give a URL that begins with https and leads to a public address. The detail names what is wrong.', false),
  ('LG721', 'unknown_event_kind',
    'There is no such kind of events.',
    'Choose from eventKinds; payment.* stands for all of them about payments, * for everything.', false),
  ('LG722', 'webhook_endpoint_not_found',
    'There is no such endpoint of webhooks.',
    'Check the id.', false),
  ('LG723', 'webhook_endpoint_not_in_use',
    'The endpoint of webhooks is disabled or archived.',
    'Enable it, or make a new one if it is archived.', false),
  ('LG724', 'too_many_webhook_endpoints',
    'The tenant has as many endpoints of webhooks as it may have.',
    'Archive one that is not needed any more.', false),
  ('LG725', 'event_number_out_of_range',
    'There is no event with this number, or it is not kept any more.',
    'Choose a number from the first to the last of the detail, or the one after it to pass over all.', false),
  ('LG726', 'invalid_overlap',
    'An old secret cannot count for that long.',
    'See the detail for what is possible.', false),

  ('LG640', 'fee_schedule_not_found',
    'There is no such fee schedule.',
    'Check the id among `feeSchedules`.', false),
  ('LG641', 'invalid_fee_schedule',
    'A fee schedule cannot be set like this.',
    'See the detail for the field and what it may hold.', false),
  ('LG642', 'charges_exceed_amount',
    'The charges are more than what the payee gets.',
    'Ask `quotePayment` for the charges, and pay more or change the fee schedules.', false),
  ('LG643', 'validity_overlaps',
    'Another row is valid at that time already.',
    'Choose a time that does not overlap, or leave the end out to follow the one that is valid now.', false),
  ('LG644', 'vat_rate_not_found',
    'No rate of VAT is known for the jurisdiction and category of a fee.',
    'Set one with `setVatRate`.', false),
  ('LG645', 'split_rule_not_found',
    'No split rule of this code is valid.',
    'Set one with `setSplitRule`, or check the code and the currency.', false),
  ('LG646', 'invalid_split_rule',
    'A split rule cannot be set like this.',
    'See the detail for the field and what it may hold.', false),
  ('LG647', 'invalid_vat_rate',
    'A rate of VAT cannot be set like this.',
    'See the detail for the field and what it may hold.', false),
  ('LG648', 'charge_rule_is_immutable',
    'What payments are charged by never changes, but for its end, and that only for times to come.',
    'Set a new one, which follows it.', false),
  ('LG650', 'voucher_not_found',
    'There is no such voucher.',
    'Check the code, or the id.', false),
  ('LG651', 'voucher_expired',
    'The voucher has expired.',
    'Ask whoever issued it. See the detail for when it expired.', false),
  ('LG652', 'exceeds_voucher',
    'There is less left of the voucher than that.',
    'Leave the amount out to redeem what is left. See the detail for how much that is.', false),
  ('LG653', 'too_many_voucher_codes',
    'Too many codes were tried that are none.',
    'Wait for as many seconds as the detail says.', true),
  ('LG654', 'voucher_cancelled',
    'The voucher was cancelled.',
    'Ask whoever issued it.', false),
  ('LG655', 'voucher_campaign_not_found',
    'There is no such voucher campaign or issue.',
    'Check the id among `voucherCampaigns` or `voucherIssues`.', false),
  ('LG656', 'invalid_voucher_request',
    'A campaign cannot be made, or vouchers cannot be issued, like this.',
    'See the detail for the field and what it may hold.', false),
  ('LG657', 'voucher_in_another_currency',
    'The voucher is in another currency than the account.',
    'Redeem it into an account in its currency, which the detail names.', false),
  ('LG658', 'voucher_campaign_code_taken',
    'There is a voucher campaign with this code already.',
    'Choose another code.', false),
  ('LG659', 'account_owes_vouchers',
    'Vouchers are not redeemed into an account that owes vouchers.',
    'Redeem it into the account of whom it is for.', false),
  ('LG66A', 'invalid_merchant',
    'A merchant cannot be set up like this.',
    'See the detail for the field and what it may hold.', false),
  ('LG66B', 'merchant_account_is_kept',
    'A merchant keeps its account, and no two merchants share one.',
    'Set up another merchant under another code for another account.', false),
  ('LG740', 'invalid_notification_template',
    'The template cannot be used.',
    'See the detail for the field and what is wrong with it.', false),
  ('LG741', 'notification_kind_not_found',
    'There is no such kind of notification, or none for this channel.',
    'See `notificationKinds` for those that there are.', false),
  ('LG742', 'invalid_time_zone',
    'There is no such time zone.',
    'Name it as the IANA does, such as Europe/Berlin.', false),
  ('LG743', 'invalid_quiet_hours',
    'Quiet hours need a beginning and another time as their end, such as 22:00 and 07:00.',
    'Give both, with two digits each, or neither.', false),
  ('LG744', 'invalid_language',
    'That is no tag of a language.',
    'Send two or three small letters, such as de, and perhaps a country, such as de-AT.', false),
  ('LG745', 'invalid_notification_preference',
    'That is no pattern of kinds of notifications, or there are too many preferences.',
    'Name a kind, such as payment.settled, or payment.*, or *.', false),
  ('LG747', 'payment_not_settled',
    'There is no receipt for a payment that did not settle.',
    'Wait until it has settled.', false),
  ('LG748', 'receipt_differs',
    'The receipt cannot be made as it was when it was issued.',
    'Tell whoever runs the server: it makes receipts in another way than before.', false),
  ('LG749', 'link_not_valid',
    'The link is not valid, or no longer.',
    'Sign in, and ask for the receipt again.', false),

  ('LG501', 'idempotency_key_conflict',
    'The idempotency key was used for another transaction or payment.',
    'Use a fresh key for each one intended. See the detail for the first field that differs.', false),
  ('LG502', 'idempotency_key_in_use',
    'Another request is using the idempotency key at this moment.',
    'Send the same request again.', true)
on conflict (code) do update set
  name = excluded.name,
  message = excluded.message,
  hint = excluded.hint,
  is_retryable = excluded.is_retryable;
--! EndIncluded errors/refusals.sql
--! Included payments/cancel_payment.sql
/*
 * Cancel a payment. Of one that its provider may have, the provider is asked by its job, and decides.
 */
create or replace function app_public.cancel_payment(payment_id uuid, reason text default null)
returns app_public.payments
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor constant app_private.actor := app_private.authorize('payments.create');
  v_reason constant text := case when reason is not null then app_private.required_reason(reason) end;
  v_payment constant app_public.payments := app_private.lock_payment(v_actor.tenant_id, payment_id);
begin
  if not app_private.may_handle_payment(v_actor, v_payment) then
    perform app_private.refuse('LG601', jsonb_build_object('paymentId', payment_id));
  elsif v_payment.status = 'cancelled' then
    return v_payment;
  elsif v_payment.status = 'submitted' then
    return app_private.request_cancellation(v_actor, v_payment, v_reason);
  end if;
  return app_private.release_payment(v_actor, v_payment, 'cancelled', null, v_reason);
end
$$;

grant execute on function app_public.cancel_payment(uuid, text) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.cancel_payment(uuid, text) is $$
Cancels a payment: what it has reserved is free again. One that its provider may have stays SUBMITTED until the
provider, which is asked to, has said whether that was still possible.
$$;
--! EndIncluded payments/cancel_payment.sql
--! Included payments/set_payment_provider.sql
/*
 * Set up a provider, or change it. How it is spoken to never changes: payments are on their way through it.
 */
create or replace function app_public.set_payment_provider(
  code text,
  kind app_public.payment_provider_kind,
  name text,
  settings jsonb default null,
  is_enabled boolean default true
)
returns app_public.payment_providers
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant_id constant integer := (app_private.authorize('payment_providers.manage')).tenant_id;
  v_provider app_public.payment_providers;
begin
  if set_payment_provider.code !~ '^[a-z][a-z0-9_-]{0,49}$' then
    perform app_private.refuse('LG114', jsonb_build_object(
      'field', 'code', 'rule', 'a lower-case letter, then up to 49 lower-case letters, digits, _ and -'));
  elsif length(set_payment_provider.name) not between 1 and 200 then
    perform app_private.refuse('LG114', jsonb_build_object('field', 'name', 'rule', '1 to 200 characters'));
  elsif jsonb_typeof(set_payment_provider.settings) <> 'object'
    or octet_length(set_payment_provider.settings::text) > 16384
  then
    perform app_private.refuse('LG160', jsonb_build_object(
      'field', 'settings', 'rule', 'a JSON object of at most 16 KB'));
  end if;
  insert into app_public.payment_providers as p (tenant_id, code, kind, name, settings, is_enabled)
  values (
    v_tenant_id, set_payment_provider.code, set_payment_provider.kind, set_payment_provider.name,
    coalesce(set_payment_provider.settings, '{}'), coalesce(set_payment_provider.is_enabled, true)
  )
  on conflict on constraint payment_providers_pkey do update set
    name = excluded.name,
    settings = case when set_payment_provider.settings is null then p.settings else excluded.settings end,
    is_enabled = excluded.is_enabled,
    updated_at = now()
  where p.kind = set_payment_provider.kind
  returning * into v_provider;
  if not found then
    perform app_private.refuse('LG617', jsonb_build_object('code', set_payment_provider.code));
  end if;
  return v_provider;
end
$$;

/*
 * Name the accounts that stand for what a provider holds in a currency. Payments that have begun keep those that
 * they began with.
 */
create or replace function app_public.set_payment_provider_account(
  provider_code text,
  currency text,
  clearing_account_id uuid,
  suspense_account_id uuid
)
returns app_public.payment_provider_accounts
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant_id constant integer := (app_private.authorize('payment_providers.manage')).tenant_id;
  v_accounts app_public.payment_provider_accounts;
  v_account_id uuid;
  v_currency text;
begin
  if not exists (
    select
    from app_public.payment_providers p
    where p.tenant_id = v_tenant_id and p.code = set_payment_provider_account.provider_code
  ) then
    perform app_private.refuse('LG605', jsonb_build_object(
      'providerCode', set_payment_provider_account.provider_code,
      'currency', set_payment_provider_account.currency));
  elsif set_payment_provider_account.clearing_account_id = set_payment_provider_account.suspense_account_id then
    perform app_private.refuse('LG611', jsonb_build_object(
      'accountId', set_payment_provider_account.clearing_account_id));
  end if;
  foreach v_account_id in array array[
    set_payment_provider_account.clearing_account_id, set_payment_provider_account.suspense_account_id
  ] loop
    v_currency := app_private.currency_of_account(v_tenant_id, v_account_id, true);
    if v_currency is distinct from set_payment_provider_account.currency then
      perform app_private.refuse('LG613', jsonb_build_object(
        'currency', set_payment_provider_account.currency, 'currencyOfAccount', v_currency));
    end if;
  end loop;
  insert into app_public.payment_provider_accounts (
    tenant_id, provider_code, currency, clearing_account_id, suspense_account_id
  ) values (
    v_tenant_id, set_payment_provider_account.provider_code, set_payment_provider_account.currency,
    set_payment_provider_account.clearing_account_id, set_payment_provider_account.suspense_account_id
  )
  on conflict on constraint payment_provider_accounts_pkey do update set
    clearing_account_id = excluded.clearing_account_id,
    suspense_account_id = excluded.suspense_account_id
  returning * into v_accounts;
  return v_accounts;
exception when foreign_key_violation then
  -- The accounts themselves were looked at above: what refers to these is their reconciliation.
  perform app_private.refuse('LG618', jsonb_build_object(
    'providerCode', set_payment_provider_account.provider_code, 'currency', set_payment_provider_account.currency));
end
$$;

grant execute on function
  app_public.set_payment_provider(text, app_public.payment_provider_kind, text, jsonb, boolean),
  app_public.set_payment_provider_account(text, text, uuid, uuid)
to tallystick_admin;

comment on function app_public.set_payment_provider(
  text, app_public.payment_provider_kind, text, jsonb, boolean
) is $$
Sets up a provider of payments, or changes it. Its kind never changes; settings that are left out stay.
$$;
comment on function app_public.set_payment_provider_account(text, text, uuid, uuid) is $$
Names the accounts that stand for what a provider holds for the tenant in a currency, and for what nobody knows
yet what it is for. Both are in that currency. From the first statement of the provider on they stay.
$$;
--! EndIncluded payments/set_payment_provider.sql
--! Included reconciliation/settle_by_statement.sql
/*
 * The payments that a statement settles: a match that may confirm itself names them, and they have not settled
 * by another way yet.
 */
create or replace function app_private.payments_to_settle(
  tenant_id integer,
  provider_code text,
  currency text,
  batch_size integer default 200
)
returns setof uuid
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select distinct i.payment_id
  from app_public.reconciliation_matches m
  join app_public.reconciliation_match_lines l on l.tenant_id = m.tenant_id and l.match_id = m.id
  join app_public.clearing_items i on i.tenant_id = l.tenant_id and i.id = l.item_id
  where m.tenant_id = payments_to_settle.tenant_id and m.provider_code = payments_to_settle.provider_code
    and m.currency = payments_to_settle.currency and m.status = 'proposed' and m.is_automatic
    and i.transaction_id is null and not i.is_void
  limit batch_size
$$;

grant execute on function app_private.payments_to_settle(integer, text, text, integer) to tallystick_worker;

/*
 * Settle a payment because a statement has it. Whether it settled is answered; if it did not, the matches that
 * counted on it are left to people.
 */
create or replace function app_private.settle_by_statement(tenant_id integer, payment_id uuid)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  begin
    perform app_private.answer_by_statement(settle_by_statement.tenant_id, settle_by_statement.payment_id);
  exception when others then
    -- What the ledger refuses, a person decides. Anything else is tried again.
    if sqlstate not like 'LG%' then
      raise;
    end if;
  end;
  if exists (
    select from app_public.clearing_items i
    where i.tenant_id = settle_by_statement.tenant_id and i.payment_id = settle_by_statement.payment_id
      and i.kind = 'payment' and i.transaction_id is not null
  ) then
    return true;
  end if;
  update app_public.reconciliation_matches m
  set is_automatic = false
  where m.tenant_id = settle_by_statement.tenant_id and m.status = 'proposed' and m.is_automatic
    and exists (
      select
      from app_public.reconciliation_match_lines l
      join app_public.clearing_items i on i.tenant_id = l.tenant_id and i.id = l.item_id
      where l.tenant_id = m.tenant_id and l.match_id = m.id and i.payment_id = settle_by_statement.payment_id
    );
  return false;
end
$$;

grant execute on function app_private.settle_by_statement(integer, uuid) to tallystick_worker;

/*
 * What a statement says about a payment, handed to where all answers of providers go: it settled, with the amount
 * that it was made for. A difference within the tolerance of a rule is no reason to doubt it, and stays open
 * beside it.
 */
create or replace function app_private.answer_by_statement(tenant_id integer, payment_id uuid)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_payment app_public.payments;
  v_reference text;
begin
  select p.* into v_payment
  from app_public.payments p
  where p.tenant_id = answer_by_statement.tenant_id and p.id = answer_by_statement.payment_id;
  select e.provider_reference into v_reference
  from app_public.clearing_items i
  join app_public.reconciliation_match_lines l on l.tenant_id = i.tenant_id and l.item_id = i.id
  join app_public.reconciliation_matches m
    on m.tenant_id = l.tenant_id and m.id = l.match_id and m.status = 'proposed'
  join app_public.statement_entries e on e.tenant_id = l.tenant_id and e.id = l.entry_id
  where i.tenant_id = v_payment.tenant_id and i.payment_id = v_payment.id
    and e.provider_reference is not null
    -- A reference that several entries or payments have, as those of a batch do, belongs to none of them.
    and not exists (
      select
      from app_private.statement_entry_keys k
      where k.tenant_id = e.tenant_id and k.key = app_private.reference_key(e.provider_reference)
        and k.is_of_provider and k.entry_id <> e.id
    )
    and not exists (
      select from app_public.payments o
      where o.tenant_id = v_payment.tenant_id and o.provider_code = v_payment.provider_code
        and o.provider_reference = e.provider_reference and o.id <> v_payment.id
    )
  order by m.priority, m.id
  limit 1;
  perform app_private.apply_provider_answer(
    v_payment.tenant_id, v_payment.id, 'settled', coalesce(v_payment.provider_reference, v_reference),
    v_payment.amount, v_payment.currency, null, null, 'statement');
end
$$;

/*
 * The payments that a statement says came back: an entry that gives a reason for a return, the other way, with
 * the reference and the amount of a payment that has settled.
 */
create or replace function app_private.payments_to_return(
  tenant_id integer,
  provider_code text,
  currency text,
  batch_size integer default 200
)
returns table (payment_id uuid, entry_id uuid)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select distinct on (p.id) p.id, e.id
  from app_public.reconciled_accounts a
  cross join lateral app_private.open_entries(a, 1000) o
  join app_public.statement_entries e
    on e.tenant_id = a.tenant_id and e.id = o.id and e.return_reason is not null
  join app_private.statement_entry_keys k on k.tenant_id = a.tenant_id and k.entry_id = e.id
  join app_private.clearing_item_keys c
    on c.tenant_id = a.tenant_id and c.key = k.key and c.is_of_provider = k.is_of_provider
  join app_public.clearing_items i
    on i.tenant_id = a.tenant_id and i.id = c.item_id and i.kind = 'payment' and i.transaction_id is not null
    and i.provider_code = a.provider_code and i.currency = a.currency
    and i.flow <> e.flow and i.amount = o.open_amount
  join app_public.payments p on p.tenant_id = a.tenant_id and p.id = i.payment_id and p.status = 'settled'
  where a.tenant_id = payments_to_return.tenant_id and a.provider_code = payments_to_return.provider_code
    and a.currency = payments_to_return.currency
    -- One that the ledger has refused is left to people: rerun_dead_letter books it.
    and not exists (
      select
      from app_public.dead_letters d
      where d.tenant_id = p.tenant_id and d.subject_id = p.id and d.source = 'payment'
        and d.reason = 'return_refused' and d.resolution is distinct from 'rerun'
    )
  order by p.id, e.booked_at, e.id
  limit batch_size
$$;

grant execute on function app_private.payments_to_return(integer, text, text, integer) to tallystick_worker;

/*
 * Return a payment because a statement says that it came back. Whether it did is answered.
 */
create or replace function app_private.return_by_statement(tenant_id integer, payment_id uuid, entry_id uuid)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_payment app_public.payments;
  v_entry app_public.statement_entries;
begin
  select p.* into v_payment
  from app_public.payments p
  where p.tenant_id = return_by_statement.tenant_id and p.id = return_by_statement.payment_id;
  select e.* into v_entry
  from app_public.statement_entries e
  where e.tenant_id = return_by_statement.tenant_id and e.id = return_by_statement.entry_id;
  perform app_private.apply_provider_answer(
    v_payment.tenant_id, v_payment.id, 'returned', v_payment.provider_reference, v_payment.amount,
    v_payment.currency, v_entry.return_reason, v_entry.description, 'statement');
  return exists (
    select from app_public.payments p
    where p.tenant_id = v_payment.tenant_id and p.id = v_payment.id and p.status = 'returned'
  );
exception when others then
  if sqlstate not like 'LG%' then
    raise;
  end if;
  return false;
end
$$;

grant execute on function app_private.return_by_statement(integer, uuid, uuid) to tallystick_worker;
--! EndIncluded reconciliation/settle_by_statement.sql
--! Included settlement/access.sql
/*
 * Staff see how their payments are settled; customers see the payments themselves.
 */
do $$
declare
  v_table regclass;
begin
  foreach v_table in array array[
    'app_public.circuit_breakers', 'app_public.dead_letters', 'app_public.payment_attempts',
    'app_public.payment_error_policies', 'app_public.routing_rules', 'app_public.settlement_settings'
  ]::regclass[] loop
    execute format('drop policy if exists select_staff on %s', v_table);
    execute format(
      'create policy select_staff on %s for select to
        tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
        using (tenant_id = (select app_hidden.current_tenant_id()))', v_table);
    execute format(
      'grant select on %s to
        tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin', v_table);
  end loop;
end
$$;

/*
 * What of a payment is for staff alone is not there for who owns it. Were it refused, their whole payment would be:
 * a relation is read with it, and a client that has just paid would be told that it may not.
 */
do $$
declare
  v_table regclass;
begin
  foreach v_table in array array[
    'app_public.payment_providers', 'app_public.payment_decisions', 'app_public.payment_attempts'
  ]::regclass[] loop
    execute format('drop policy if exists select_nothing on %s', v_table);
    execute format(
      'create policy select_nothing on %s for select to tallystick_customer, tallystick_partner
        using (false)', v_table);
    execute format('grant select on %s to tallystick_customer, tallystick_partner', v_table);
  end loop;
end
$$;

-- The defaults are the same for everyone.
drop policy if exists select_staff on app_public.default_error_policies;
create policy select_staff on app_public.default_error_policies for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (true);

grant select on app_public.default_error_policies to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded settlement/access.sql
--! Included settlement/apply_provider_answer.sql
/*
 * What a provider says about a payment, by an answer, a webhook or a statement: the one place where that
 * changes a payment. Saying it again changes nothing, and the order in which things are said does not matter:
 * what is older than where the payment stands is passed over, and a return may come before the settlement.
 *
 * Only the very amount settles or returns a payment. Another amount, another name for the same payment, another
 * provider than the one that has it, or the contrary of what is booked for good: all that changes nothing and
 * is left to people, as a dead letter and a security event. A return that the ledger refuses, because the money
 * has been spent since, is left to them too: rerun_dead_letter books it once that is possible.
 *
 * `source` is answer, webhook or statement. Name the provider wherever it is known. Answers with what became of
 * it: applied, unchanged, or the reason of the dead letter.
 */
create or replace function app_private.apply_provider_answer(
  tenant_id integer,
  payment_id uuid,
  state text,
  provider_reference text,
  amount app_public.amount,
  currency text,
  error_code text,
  message text,
  source text,
  provider_code text default null
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor constant app_private.actor := app_private.system_actor(tenant_id);
  v_payment app_public.payments;
  v_doubt text;
  v_reference text;
begin
  v_payment := app_private.lock_payment(tenant_id, payment_id);
  if app_private.is_old_news(v_payment, state) then
    return 'unchanged';
  end if;
  v_reference := case
    -- A bank may call it otherwise on its statement.
    when source = 'statement' then coalesce(v_payment.provider_reference, provider_reference)
    else provider_reference
  end;
  v_doubt := app_private.doubt_of_answer(v_payment, state, v_reference, amount, currency, source, provider_code);
  if v_doubt is not null then
    perform app_private.doubt_payment(v_payment, v_doubt, jsonb_strip_nulls(jsonb_build_object(
      'source', source, 'state', state, 'providerCode', coalesce(provider_code, v_payment.provider_code),
      'providerReference', provider_reference, 'amount', amount::text, 'currency', currency,
      'errorCode', error_code, 'expectedAmount', v_payment.amount::text, 'expectedCurrency', v_payment.currency,
      'status', v_payment.status)));
    return v_doubt;
  end if;
  if state = 'submitted' or v_payment.status = 'reserved' and state in ('settled', 'returned') then
    v_payment := app_private.submit_payment(v_actor, tenant_id, payment_id, v_reference);
  end if;
  if state = 'settled' or state = 'returned' and v_payment.status = 'submitted' then
    v_payment := app_private.settle_payment(v_actor, tenant_id, payment_id, v_reference);
  end if;
  if state = 'returned' then
    v_doubt := app_private.return_or_park(v_payment, left(error_code, 100), nullif(left(message, 1000), ''), source);
    v_payment := app_private.lock_payment(tenant_id, payment_id);
  elsif state = 'failed' then
    v_payment := app_private.fail_payment(
      v_actor, tenant_id, payment_id, left(coalesce(error_code, 'failed'), 100), nullif(left(message, 1000), ''));
  elsif state = 'cancelled' then
    v_payment := app_private.void_payment(
      v_actor, tenant_id, payment_id, 'cancelled',
      coalesce(app_private.cancel_reason_of(v_payment), nullif(left(message, 1000), '')));
  end if;
  perform app_private.note_answer(v_payment, provider_reference, error_code, message);
  return coalesce(v_doubt, 'applied');
end
$$;

grant execute on function app_private.apply_provider_answer(
  integer, uuid, text, text, app_public.amount, text, text, text, text, text
) to tallystick_worker;

/*
 * Whether a state is no news for a payment: it stands there, or has been there.
 */
create or replace function app_private.is_old_news(payment app_public.payments, state text)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_old constant boolean := case state
    when 'submitted' then payment.status not in ('requested', 'reserved', 'submitted')
    when 'settled' then payment.status in ('settled', 'returned')
    when 'returned' then payment.status = 'returned'
    when 'failed' then payment.status in ('failed', 'cancelled', 'expired')
    when 'cancelled' then payment.status in ('failed', 'cancelled', 'expired')
  end;
begin
  if v_is_old is null then
    perform app_private.refuse('LG623', jsonb_build_object('state', state));
  end if;
  return v_is_old;
end
$$;

/*
 * Why an answer cannot be taken as it is; null if it can.
 */
create or replace function app_private.doubt_of_answer(
  payment app_public.payments,
  state text,
  provider_reference text,
  amount app_public.amount,
  currency text,
  source text,
  provider_code text
)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select case
    when provider_code <> payment.provider_code or payment.provider_code is null then 'wrong_provider'
    when payment.status = 'requested'
      or payment.status not in ('reserved', 'submitted') and not (payment.status = 'settled' and state = 'returned')
      then 'contradiction'
    when payment.status = 'reserved' and source <> 'statement' then 'contradiction'
    when provider_reference <> payment.provider_reference then 'wrong_reference'
    when exists (
      select
      from app_public.payments p
      where p.tenant_id = payment.tenant_id and p.provider_code = payment.provider_code
        and p.provider_reference = doubt_of_answer.provider_reference and p.id <> payment.id
    ) then 'wrong_reference'
    when state in ('settled', 'returned')
      and (amount, currency) is distinct from (payment.amount, payment.currency) then 'wrong_amount'
  end
$$;

/*
 * Book that a payment has come back; where the ledger refuses that, leave it to people. The payment stays settled
 * until then, and the money that its provider has taken is in suspense once a statement tells of it. Null if it
 * is booked.
 */
create or replace function app_private.return_or_park(
  payment app_public.payments,
  error_code text,
  message text,
  source text
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_refusal jsonb;
begin
  perform app_private.return_payment(
    app_private.system_actor(payment.tenant_id), payment.tenant_id, payment.id, return_or_park.error_code,
    return_or_park.message);
  return null;
exception when others then
  if not app_private.is_final_refusal(sqlstate) then
    raise;
  end if;
  get stacked diagnostics v_refusal = pg_exception_detail;
  perform app_private.park_payment(payment, 'return_refused', jsonb_strip_nulls(jsonb_build_object(
    'source', source, 'providerCode', payment.provider_code, 'errorCode', return_or_park.error_code,
    'message', return_or_park.message, 'code', sqlstate, 'refusal', v_refusal)));
  return 'return_refused';
end
$$;

-- Leave a payment to people, and tell those who watch over security, once.
create or replace function app_private.doubt_payment(payment app_public.payments, reason text, detail jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if app_private.park_payment(payment, reason, detail) is not null then
    perform app_private.record_security_event(
      'provider_answer_doubted', 'warning',
      jsonb_build_object('paymentId', payment.id, 'reason', reason) || detail, payment.tenant_id, null);
  end if;
end
$$;

-- Let the newest attempt stand where its payment does.
create or replace function app_private.note_answer(
  payment app_public.payments,
  provider_reference text,
  error_code text,
  message text
)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  update app_public.payment_attempts a
  set status = case
      when payment.status = 'submitted' then 'accepted'
      when payment.status in ('settled', 'returned') then 'settled'
      else 'failed'
    end::app_public.payment_attempt_status,
    asks = case when a.status in ('calling', 'unknown') then 0 else a.asks end,
    provider_reference = coalesce(left(note_answer.provider_reference, 255), a.provider_reference),
    error_code = nullif(left(note_answer.error_code, 100), ''),
    error_message = nullif(left(note_answer.message, 1000), ''),
    next_at = case when payment.status = 'submitted' then a.next_at end
  where a.tenant_id = payment.tenant_id and a.payment_id = payment.id
    and a.fence > 0
    and a.number = (app_private.newest_attempt(payment.tenant_id, payment.id)).number
$$;
--! EndIncluded settlement/apply_provider_answer.sql
--! Included settlement/attempts.sql
/*
 * What is known of a payment from its attempts.
 */

-- The attempt that counts; all null if there is none.
create or replace function app_private.newest_attempt(tenant_id integer, payment_id uuid)
returns app_public.payment_attempts
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select a
  from app_public.payment_attempts a
  where a.tenant_id = newest_attempt.tenant_id and a.payment_id = newest_attempt.payment_id
  order by a.number desc
  limit 1
$$;

create or replace function app_private.are_books_suspended(tenant_id integer)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from app_public.tenants t where t.id = are_books_suspended.tenant_id and t.status = 'suspended'
  )
$$;

-- Whether a provider may have it: one was called, and has not said for certain that it does not.
create or replace function app_private.may_be_with_provider(payment app_public.payments)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select
    from app_public.payment_attempts a
    where a.tenant_id = payment.tenant_id and a.payment_id = payment.id and a.status not in ('started', 'failed')
  )
$$;

-- Whether its provider has been given it as often as it is to be, since a person last had it tried again.
create or replace function app_private.attempts_are_used_up(payment app_public.payments)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select count(*) >= (app_private.settlement_settings_of(payment.tenant_id, payment.provider_code)).max_attempts
  from app_public.payment_attempts a
  where a.tenant_id = payment.tenant_id and a.payment_id = payment.id and a.provider_code = payment.provider_code
    and a.fence > 0
    and a.started_at > coalesce((
      select max(d.resolved_at)
      from app_public.dead_letters d
      where d.tenant_id = payment.tenant_id and d.subject_id = payment.id and d.resolution = 'rerun'
    ), '-infinity')
$$;

/*
 * Send a payment that no provider may have through the other one that a rule names. False if there is none.
 */
create or replace function app_private.fall_back(payment app_public.payments)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_provider_code text;
begin
  if payment.kind not in ('pay_in', 'pay_out') or app_private.may_be_with_provider(payment) then
    return false;
  end if;
  v_provider_code := app_private.fallback_provider(payment);
  if v_provider_code is null then
    return false;
  end if;
  perform app_private.reroute_payment(
    app_private.system_actor(payment.tenant_id), payment.tenant_id, payment.id, v_provider_code,
    format('The provider %s did not take it.', payment.provider_code));
  return true;
end
$$;

-- Let the attempt that counts go on at once, as if its provider had not been asked yet.
create or replace function app_private.begin_new_round(payment app_public.payments)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  update app_public.payment_attempts a
  set asks = 0, next_at = null
  where a.tenant_id = payment.tenant_id and a.payment_id = payment.id
    and a.number = (app_private.newest_attempt(payment.tenant_id, payment.id)).number
$$;

/*
 * Stop going on with a payment by itself, and leave it to people.
 */
create or replace function app_private.park_payment(payment app_public.payments, reason text, detail jsonb)
returns uuid
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  return app_private.add_dead_letter(
    payment.tenant_id, 'payment', payment.id, 'payments/settle',
    jsonb_build_object('tenantId', payment.tenant_id, 'paymentId', payment.id), park_payment.reason,
    park_payment.detail);
end
$$;

/*
 * Cancel a payment that was handed to its provider, which the caller has locked: at once where no provider has
 * it yet, and else by asking the provider, which its job does, also where the payment had been left to people.
 */
create or replace function app_private.request_cancellation(
  actor app_private.actor,
  payment app_public.payments,
  reason text default null
)
returns app_public.payments
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_attempt constant app_public.payment_attempts := app_private.newest_attempt(payment.tenant_id, payment.id);
begin
  if v_attempt.status in ('calling', 'unknown', 'accepted') then
    update app_public.payment_attempts a
    set cancel_requested_at = clock_timestamp(),
      cancel_reason = coalesce(request_cancellation.reason, a.cancel_reason),
      asks = 0,
      next_at = null
    where a.tenant_id = payment.tenant_id and a.payment_id = payment.id and a.number = v_attempt.number;
    perform app_private.add_payment_job(payment, now());
    return payment;
  end if;
  return app_private.void_payment(
    actor, payment.tenant_id, payment.id, 'cancelled',
    coalesce(request_cancellation.reason, app_private.cancel_reason_of(payment)));
end
$$;

-- Why somebody wanted a payment cancelled that its provider had; null if nobody did, or gave no reason.
create or replace function app_private.cancel_reason_of(payment app_public.payments)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select (app_private.newest_attempt(payment.tenant_id, payment.id)).cancel_reason
$$;
--! EndIncluded settlement/attempts.sql
--! Included settlement/comments.sql
/*
 * What GraphQL says about settlement.
 */
comment on type app_public.payment_attempt_status is 'Where an attempt stands.';
comment on type app_public.provider_call is 'What a provider is asked.';
comment on type app_public.payment_error_action is 'What is done about an error of a provider.';
comment on type app_public.circuit_state is 'Whether calls to a provider go through.';
comment on type app_public.dead_letter_source is 'What kind of work ended as a dead letter.';
comment on type app_public.dead_letter_resolution is 'What a person decided about a dead letter.';

comment on table app_public.settlement_settings is $$
@behavior +query:resource:connection

How a provider is dealt with, where the tenant has set it. Others are dealt with by the values that
`setSettlementSettings` starts from.
$$;
comment on column app_public.settlement_settings.provider_code is 'The provider.';
comment on column app_public.settlement_settings.max_attempts is
  'How often a payment is handed to it, before another one takes it or a person decides; 8 unless set.';
comment on column app_public.settlement_settings.max_asks is
  'How often it is asked about a payment of which it is not known whether it has it; 60 unless set.';
comment on column app_public.settlement_settings.retry_seconds is
  'The first wait before it is tried again, which doubles each time; 2 unless set.';
comment on column app_public.settlement_settings.max_retry_seconds is 'The longest of these waits; 3600 unless set.';
comment on column app_public.settlement_settings.poll_seconds is
  'The first wait before it is asked how a payment that it took stands, which doubles each time; 5 unless set.';
comment on column app_public.settlement_settings.max_poll_seconds is 'The longest of these waits; 3600 unless set.';
comment on column app_public.settlement_settings.failure_threshold is
  'How many calls in a row that bring no answer open its circuit; 5 unless set.';
comment on column app_public.settlement_settings.window_seconds is 'In how much time; 60 unless set.';
comment on column app_public.settlement_settings.open_seconds is
  'How long the circuit stays open at first; it doubles each time that a probe fails, up to 16 times. 30 unless set.';
comment on column app_public.settlement_settings.probes is
  'How many calls must go well before the circuit closes; 3 unless set.';
comment on column app_public.settlement_settings.probe_seconds is
  'After how long a probe that is not back does not count; 60 unless set.';
comment on column app_public.settlement_settings.updated_at is 'When it was last set.';
comment on constraint settlement_settings_provider_code_fkey on app_public.settlement_settings is $$
@fieldName provider
@foreignSingleFieldName settlementSettings
@forwardDescription The provider.
@backwardDescription How it is dealt with, where the tenant has set it.
$$;

comment on table app_public.default_error_policies is $$
@behavior +query:resource:connection

What an error of a kind of provider means, unless the tenant sets it otherwise. Other errors mean what their
outcome says: one that was surely not taken is tried again, one that was refused lets the payment fail.
$$;
comment on column app_public.default_error_policies.provider_kind is 'The kind of provider.';
comment on column app_public.default_error_policies.error_code is
  'The code, as the provider gives it; an asterisk at the end stands for anything.';
comment on column app_public.default_error_policies.action is 'What is done.';

comment on table app_public.payment_error_policies is $$
@behavior +query:resource:connection

What an error of a provider means to the tenant. The longest code that fits decides.
$$;
comment on column app_public.payment_error_policies.provider_code is $$
@behavior +attribute:filterBy

The provider.
$$;
comment on column app_public.payment_error_policies.error_code is
  'The code, as the provider gives it; an asterisk at the end stands for anything.';
comment on column app_public.payment_error_policies.action is 'What is done.';
comment on column app_public.payment_error_policies.updated_at is 'When it was last set.';
comment on constraint payment_error_policies_provider_code_fkey on app_public.payment_error_policies is $$
@fieldName provider
@foreignFieldName errorPolicies
@forwardDescription The provider.
@backwardDescription What its errors mean to the tenant.
$$;

comment on table app_public.routing_rules is $$
@behavior +query:resource:connection

Which provider payments go to that name none. The rule with the lowest priority number that fits decides.
$$;
comment on column app_public.routing_rules.id is 'The id of the rule.';
comment on column app_public.routing_rules.priority is $$
@behavior +attribute:orderBy

Its place: lower numbers go before.
$$;
comment on column app_public.routing_rules.kind is 'The kind of payments that it is for; null = any.';
comment on column app_public.routing_rules.currency is 'Their currency; null = any.';
comment on column app_public.routing_rules.minimum_amount is
  'The least amount that it is for, in minor units; null = any.';
comment on column app_public.routing_rules.maximum_amount is
  'The largest amount that it is for, in minor units; null = any.';
comment on column app_public.routing_rules.account_set_id is
  'The id of the set of accounts that it is for, of those that pay or are paid; null = any.';
comment on column app_public.routing_rules.provider_code is 'The provider that they go to.';
comment on column app_public.routing_rules.fallback_provider_code is
  'The provider that takes over where the first one cannot be reached and surely does not have the payment.';
comment on column app_public.routing_rules.created_at is 'When it was made.';
comment on column app_public.routing_rules.updated_at is 'When it was last set.';
comment on constraint routing_rules_currency_fkey on app_public.routing_rules is '@behavior -*';
comment on constraint routing_rules_account_set_id_fkey on app_public.routing_rules is $$
@fieldName accountSet
@backwardBehavior -*
@forwardDescription The set of accounts that it is for.
$$;
comment on constraint routing_rules_provider_code_fkey on app_public.routing_rules is $$
@fieldName provider
@backwardBehavior -*
@forwardDescription The provider that they go to.
$$;
comment on constraint routing_rules_fallback_provider_code_fkey on app_public.routing_rules is $$
@fieldName fallbackProvider
@backwardBehavior -*
@forwardDescription The provider that takes over.
$$;

comment on table app_public.payment_attempts is $$
@behavior +query:resource:connection

A try to have a payment made by a provider: it is handed over once, and asked about until it is known what became
of it.
$$;
comment on column app_public.payment_attempts.payment_id is $$
@behavior +attribute:filterBy

The id of the payment.
$$;
comment on column app_public.payment_attempts.number is $$
@behavior +attribute:orderBy

The place of the attempt among those of its payment, from 1 on.
$$;
comment on column app_public.payment_attempts.provider_code is $$
@behavior +attribute:filterBy

The provider.
$$;
comment on column app_public.payment_attempts.status is $$
@behavior +attribute:filterBy

Where it stands.
$$;
comment on column app_public.payment_attempts.fence is
  'How many calls it has made. What a call brings counts only as long as there is no newer one.';
comment on column app_public.payment_attempts.last_call is 'What the provider was asked last.';
comment on column app_public.payment_attempts.asks is
  'How often the provider was asked about it, since it was taken or not known to be taken.';
comment on column app_public.payment_attempts.error_code is 'The error that it met last, as the provider codes it.';
comment on column app_public.payment_attempts.error_message is 'And in words.';
comment on column app_public.payment_attempts.provider_reference is 'What the provider called the payment.';
comment on column app_public.payment_attempts.started_at is 'When it was begun.';
comment on column app_public.payment_attempts.called_at is
  'When the last call went out: written and committed before it did.';
comment on column app_public.payment_attempts.answered_at is
  'When that call was over. Null while it is out, or if its worker died.';
comment on column app_public.payment_attempts.next_at is 'When it goes on.';
comment on column app_public.payment_attempts.late_answer_at is
  'When an answer came to a call that did not count any more.';
comment on column app_public.payment_attempts.late_answer is 'What that answer was. It changed nothing.';
comment on column app_public.payment_attempts.cancel_requested_at is
  'When somebody wanted the payment cancelled.';
comment on column app_public.payment_attempts.cancel_reason is 'And why, in their words.';
comment on column app_public.payment_attempts.job_id is '@behavior -*';
comment on column app_public.payment_attempts.probe_id is '@behavior -*';
comment on constraint payment_attempts_payment_id_fkey on app_public.payment_attempts is $$
@fieldName payment
@foreignFieldName attempts
@forwardDescription The payment.
@backwardDescription The tries to have it made by a provider.
$$;
comment on constraint payment_attempts_provider_code_fkey on app_public.payment_attempts is $$
@fieldName provider
@backwardBehavior -*
@forwardDescription The provider.
$$;

comment on table app_public.circuit_breakers is $$
@behavior +query:resource:connection

Whether calls to a provider go through. Providers that have always answered have none.
$$;
comment on column app_public.circuit_breakers.id is 'The id, by which events name it.';
comment on column app_public.circuit_breakers.provider_code is 'The provider.';
comment on column app_public.circuit_breakers.state is 'Whether calls go through.';
comment on column app_public.circuit_breakers.failures is 'How many calls in a row have brought no answer.';
comment on column app_public.circuit_breakers.window_started_at is 'When the first of them was.';
comment on column app_public.circuit_breakers.openings is 'How often it has opened since it was last closed.';
comment on column app_public.circuit_breakers.opened_at is 'Since when it is not closed.';
comment on column app_public.circuit_breakers.open_until is
  'When calls are tried again; never for one that a person opened.';
comment on column app_public.circuit_breakers.probes_left is
  'How many calls still go through to find out whether the provider is back.';
comment on column app_public.circuit_breakers.tripped_by is 'The id of the user who opened it by hand.';
comment on column app_public.circuit_breakers.reason is 'And why.';
comment on column app_public.circuit_breakers.updated_at is 'When it last changed.';
comment on constraint circuit_breakers_provider_code_fkey on app_public.circuit_breakers is $$
@fieldName provider
@foreignSingleFieldName circuitBreaker
@forwardDescription The provider.
@backwardDescription Whether calls to it go through; none if it has always answered.
$$;
comment on constraint circuit_breakers_tripped_by_fkey on app_public.circuit_breakers is $$
@fieldName tripper
@backwardBehavior -*
@forwardDescription Who opened it, as a member of the tenant.
$$;

comment on table app_public.dead_letters is $$
@behavior +query:resource:connection

Work that goes on no further by itself, until a person has it tried again or discards it.
$$;
comment on column app_public.dead_letters.id is $$
@behavior +attribute:filterBy +attribute:orderBy

The id, a UUID of version 7: ids sort in the order in which they came.
$$;
comment on column app_public.dead_letters.source is $$
@behavior +attribute:filterBy

What kind of work it was.
$$;
comment on column app_public.dead_letters.subject_id is $$
@behavior +attribute:filterBy

The id of what it is about: of the payment, where that is its source.
$$;
comment on column app_public.dead_letters.task is 'The task that would try again.';
comment on column app_public.dead_letters.payload is 'And what it is told.';
comment on column app_public.dead_letters.reason is $$
@behavior +attribute:filterBy

Why it goes on no further, in one word.
$$;
comment on column app_public.dead_letters.detail is 'What else is known of that.';
comment on column app_public.dead_letters.created_at is 'Since when.';
comment on column app_public.dead_letters.resolved_at is $$
@behavior +attribute:filterBy

When a person decided about it; null while it waits for that.
$$;
comment on column app_public.dead_letters.resolution is 'What they decided.';
comment on column app_public.dead_letters.resolved_by is 'The id of the user who decided.';
comment on column app_public.dead_letters.note is 'Why they discarded it.';
comment on constraint dead_letters_resolved_by_fkey on app_public.dead_letters is $$
@fieldName resolver
@backwardBehavior -*
@forwardDescription Who decided, as a member of the tenant.
$$;
--! EndIncluded settlement/comments.sql
--! Included settlement/dead_letters.sql
/*
 * Dead letters: work that goes on no further by itself, kept until a person decides. Whoever adds one says
 * which task with which payload would try again: ids only, since the payload is shown. One that is open
 * already, for the same reason about the same thing, is the same one: null is answered then.
 */
create or replace function app_private.add_dead_letter(
  tenant_id integer,
  source app_public.dead_letter_source,
  subject_id uuid,
  task text,
  payload jsonb,
  reason text,
  detail jsonb default '{}'
)
returns uuid
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_id uuid;
begin
  insert into app_public.dead_letters as d (tenant_id, source, subject_id, task, payload, reason, detail)
  values (tenant_id, source, subject_id, task, payload, reason, detail)
  on conflict do nothing
  returning d.id into v_id;
  if v_id is not null then
    perform app_private.record_event(tenant_id, 'dead_letter.added', v_id, jsonb_strip_nulls(jsonb_build_object(
      'source', source, 'subjectId', subject_id, 'task', task, 'reason', reason)));
  end if;
  return v_id;
end
$$;

grant execute on function
  app_private.add_dead_letter(integer, app_public.dead_letter_source, uuid, text, jsonb, text, jsonb)
to tallystick_worker;

/*
 * A payment that goes on no further by itself: a person has not decided yet, or has decided that it should
 * not be tried again. What its provider says about it still counts. Who wants it cancelled since has the provider
 * asked to, as often as it is asked about anything.
 */
create or replace function app_private.is_parked(tenant_id integer, payment_id uuid)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select
    from app_public.dead_letters d
    where d.tenant_id = is_parked.tenant_id and d.subject_id = is_parked.payment_id and d.source = 'payment'
      and d.resolution is distinct from 'rerun'
      and not exists (
        select
        from app_public.payment_attempts a
        where a.tenant_id = d.tenant_id and a.payment_id = d.subject_id and a.cancel_requested_at > d.created_at
          and a.asks < (app_private.settlement_settings_of(a.tenant_id, a.provider_code)).max_asks
      )
  )
$$;

/*
 * A dead letter of the tenant, locked, or the refusal: there is none, or it is decided. Whoever discarded one
 * may change their mind; what was tried again is a new matter.
 */
create or replace function app_private.lock_dead_letter(
  tenant_id integer,
  id uuid,
  resolution app_public.dead_letter_resolution
)
returns app_public.dead_letters
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_letter app_public.dead_letters;
begin
  select d.* into v_letter
  from app_public.dead_letters d
  where d.tenant_id = lock_dead_letter.tenant_id and d.id = lock_dead_letter.id
  for no key update;
  if not found then
    perform app_private.refuse('LG621', jsonb_build_object('deadLetterId', lock_dead_letter.id));
  end if;
  if v_letter.resolution is not null and (v_letter.resolution, lock_dead_letter.resolution) <> ('discarded', 'rerun')
  then
    perform app_private.refuse('LG622', jsonb_build_object(
      'deadLetterId', lock_dead_letter.id, 'resolution', v_letter.resolution));
  end if;
  return v_letter;
end
$$;
--! EndIncluded settlement/dead_letters.sql
--! Included settlement/record_settlement.sql
/*
 * The recovery point after a call: what the provider answered. No state means that it has never heard of the
 * payment. An answer to any call but the newest comes late: it is noted, and changes nothing.
 */
create or replace function app_private.record_settlement_answer(
  tenant_id integer,
  payment_id uuid,
  attempt_number integer,
  fence integer,
  state text default null,
  provider_reference text default null,
  amount app_public.amount default null,
  currency text default null,
  error_code text default null,
  message text default null
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_payment constant app_public.payments := app_private.lock_payment(tenant_id, payment_id);
  v_attempt app_public.payment_attempts;
begin
  v_attempt := app_private.end_call(
    v_payment, attempt_number, fence, concat_ws(' ', coalesce(state, 'unheard_of'), error_code), true);
  if v_attempt.number is null then
    return;
  elsif state is not null then
    perform app_private.apply_provider_answer(
      tenant_id, payment_id, state, provider_reference, amount, currency, error_code, message, 'answer',
      v_attempt.provider_code);
  elsif v_attempt.status = 'accepted' then
    perform app_private.park_payment(v_payment, 'forgotten', jsonb_build_object(
      'providerCode', v_attempt.provider_code));
  else
    perform app_private.abandon_attempt(v_payment, v_attempt);
    return;
  end if;
  perform app_private.poll_later(v_attempt);
end
$$;

grant execute on function app_private.record_settlement_answer(
  integer, uuid, integer, integer, text, text, app_public.amount, text, text, text
) to tallystick_worker;

/*
 * The recovery point after a call that brought no answer. `outcome` is that of a PaymentProviderError: unknown
 * is asked about, whatever a policy says; the policy decides about the others.
 */
create or replace function app_private.record_settlement_error(
  tenant_id integer,
  payment_id uuid,
  attempt_number integer,
  fence integer,
  outcome text,
  error_code text default null,
  message text default null
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_payment constant app_public.payments :=
    app_private.lock_payment(record_settlement_error.tenant_id, record_settlement_error.payment_id);
  v_code constant text := coalesce(nullif(left(record_settlement_error.error_code, 100), ''), outcome);
  v_message constant text := nullif(left(record_settlement_error.message, 1000), '');
  v_attempt app_public.payment_attempts;
  v_action app_public.payment_error_action;
begin
  v_attempt := app_private.end_call(
    v_payment, record_settlement_error.attempt_number, record_settlement_error.fence,
    concat_ws(' ', outcome, v_code), outcome = 'rejected');
  if v_attempt.number is null then
    return;
  end if;
  v_action := case
    when outcome = 'unknown' or v_attempt.last_call <> 'submit' then 'ask'
    else app_private.error_action(v_attempt, outcome, v_code)
  end;
  update app_public.payment_attempts a
  set status = case when v_action = 'ask' then a.status else 'failed' end,
    error_code = v_code,
    error_message = v_message
  where a.tenant_id = v_attempt.tenant_id and a.payment_id = v_attempt.payment_id and a.number = v_attempt.number
  returning * into v_attempt;
  if v_payment.status <> 'submitted' then
    -- A message of the provider has decided it meanwhile.
    return;
  elsif v_action = 'ask' then
    perform app_private.call_later(v_attempt, v_attempt.asks + 1);
  elsif v_action = 'fail' then
    perform app_private.fail_payment(
      app_private.system_actor(v_payment.tenant_id), v_payment.tenant_id, v_payment.id, v_code, v_message);
  elsif v_attempt.cancel_requested_at is not null then
    perform app_private.request_cancellation(app_private.system_actor(v_payment.tenant_id), v_payment);
  elsif not app_private.fall_back(v_payment) then
    perform app_private.call_later(v_attempt, v_attempt.number);
  end if;
end
$$;

grant execute on function app_private.record_settlement_error(integer, uuid, integer, integer, text, text, text)
to tallystick_worker;

/*
 * End a call of a payment that the caller has locked, and tell the circuit. Nothing comes back of a call that
 * has been fenced off meanwhile: that it came late, and what it brought, is noted in its attempt.
 */
create or replace function app_private.end_call(
  payment app_public.payments,
  attempt_number integer,
  fence integer,
  brought text,
  is_success boolean
)
returns app_public.payment_attempts
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_newest constant app_public.payment_attempts := app_private.newest_attempt(payment.tenant_id, payment.id);
  v_attempt app_public.payment_attempts;
begin
  if (v_newest.number, v_newest.fence) <> (end_call.attempt_number, end_call.fence)
    or v_newest.answered_at is not null
  then
    update app_public.payment_attempts a
    set late_answer_at = clock_timestamp(), late_answer = left(brought, 1000)
    where a.tenant_id = payment.tenant_id and a.payment_id = payment.id and a.number = end_call.attempt_number;
    return null;
  end if;
  update app_public.payment_attempts a
  set answered_at = clock_timestamp(),
    probe_id = null,
    status = case a.status when 'calling' then 'unknown' else a.status end
  where a.tenant_id = payment.tenant_id and a.payment_id = payment.id and a.number = v_newest.number
  returning * into v_attempt;
  perform app_private.report_call(
    v_newest.tenant_id, v_newest.provider_code, end_call.is_success, v_newest.probe_id);
  return v_attempt;
end
$$;

/*
 * The provider has never heard of a payment whose submission brought no answer: it is submitted again, under
 * the same reference. Where somebody wants it cancelled, that is done instead.
 */
create or replace function app_private.abandon_attempt(
  payment app_public.payments,
  attempt app_public.payment_attempts
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  update app_public.payment_attempts a
  set status = 'abandoned'
  where a.tenant_id = attempt.tenant_id and a.payment_id = attempt.payment_id and a.number = attempt.number;
  if payment.status <> 'submitted' then
    return;
  elsif attempt.cancel_requested_at is not null then
    perform app_private.void_payment(
      app_private.system_actor(payment.tenant_id), payment.tenant_id, payment.id, 'cancelled',
      attempt.cancel_reason);
  else
    perform app_private.call_later(attempt, attempt.number);
  end if;
end
$$;

-- Go on with an attempt after a wait that grows with n.
create or replace function app_private.call_later(attempt app_public.payment_attempts, n integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_settings constant app_public.settlement_settings :=
    app_private.settlement_settings_of(attempt.tenant_id, attempt.provider_code);
  v_next_at constant timestamptz :=
    clock_timestamp() + app_private.backoff(n, v_settings.retry_seconds, v_settings.max_retry_seconds);
begin
  update app_public.payment_attempts a
  set next_at = v_next_at
  where a.tenant_id = attempt.tenant_id and a.payment_id = attempt.payment_id and a.number = attempt.number;
  perform app_private.add_settlement_job(attempt.tenant_id, attempt.payment_id, v_next_at);
end
$$;

/*
 * A provider has the payment and has not settled it yet: ask again later, and ever later. A message or a
 * statement of the provider may say it before.
 */
create or replace function app_private.poll_later(attempt app_public.payment_attempts)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_settings constant app_public.settlement_settings :=
    app_private.settlement_settings_of(attempt.tenant_id, attempt.provider_code);
  v_next_at constant timestamptz := clock_timestamp()
    + app_private.backoff(attempt.asks + 1, v_settings.poll_seconds, v_settings.max_poll_seconds);
begin
  update app_public.payment_attempts a
  set next_at = v_next_at
  where a.tenant_id = attempt.tenant_id and a.payment_id = attempt.payment_id and a.number = attempt.number
    and a.status = 'accepted';
  if found then
    perform app_private.add_settlement_job(attempt.tenant_id, attempt.payment_id, v_next_at);
  end if;
end
$$;

-- Add the job of a payment, to run then. It replaces one that waits.
create or replace function app_private.add_settlement_job(
  tenant_id integer,
  payment_id uuid,
  run_at timestamptz default now()
)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select app_private.add_payment_job(p, add_settlement_job.run_at)
  from app_public.payments p
  where p.tenant_id = add_settlement_job.tenant_id and p.id = add_settlement_job.payment_id
$$;

-- Whether a code is the pattern, or begins with what the pattern has before its final asterisk.
create or replace function app_private.matches_pattern(code text, pattern text)
returns boolean
language sql
immutable
as $$
  select case when right(pattern, 1) = '*' then starts_with(code, rtrim(pattern, '*')) else code = pattern end
$$;

/*
 * What is done about an error: what the tenant says of this provider, what holds for all providers of its
 * kind, or else what its outcome means. The longest pattern goes before.
 */
create or replace function app_private.error_action(
  attempt app_public.payment_attempts,
  outcome text,
  error_code text
)
returns app_public.payment_error_action
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    (
      select e.action
      from app_public.payment_error_policies e
      where e.tenant_id = attempt.tenant_id and e.provider_code = attempt.provider_code
        and app_private.matches_pattern(error_action.error_code, e.error_code)
      order by length(e.error_code) desc
      limit 1
    ),
    (
      select e.action
      from app_public.default_error_policies e
      join app_public.payment_providers p on p.kind = e.provider_kind
      where p.tenant_id = attempt.tenant_id and p.code = attempt.provider_code
        and app_private.matches_pattern(error_action.error_code, e.error_code)
      order by length(e.error_code) desc
      limit 1
    ),
    case when outcome = 'rejected' then 'fail' else 'retry' end::app_public.payment_error_action)
$$;
--! EndIncluded settlement/record_settlement.sql
--! Included settlement/rerun_dead_letter.sql
/*
 * Try again what ended as a dead letter: the job is added anew, with all its attempts. A payment starts a new
 * round of attempts and questions too, and at once. A return that was refused is booked here and now, in the name
 * of who decides; the refusal, if it is still one, is theirs to read.
 */
create or replace function app_public.rerun_dead_letter(dead_letter_id uuid)
returns app_public.dead_letters
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor constant app_private.actor := app_private.authorize('dead_letters.manage');
  v_letter app_public.dead_letters :=
    app_private.lock_dead_letter(v_actor.tenant_id, dead_letter_id, 'rerun');
begin
  update app_public.dead_letters d
  set resolved_at = clock_timestamp(), resolution = 'rerun', resolved_by = v_actor.user_id
  where d.tenant_id = v_letter.tenant_id and d.id = v_letter.id
  returning * into v_letter;
  if v_letter.source = 'payment' and v_letter.reason = 'return_refused' then
    perform app_private.return_payment(
      v_actor, v_letter.tenant_id, v_letter.subject_id, v_letter.detail ->> 'errorCode',
      v_letter.detail ->> 'message');
  elsif v_letter.source = 'payment' then
    perform app_private.begin_new_round(app_private.lock_payment(v_letter.tenant_id, v_letter.subject_id));
    perform app_private.add_settlement_job(v_letter.tenant_id, v_letter.subject_id)
    where not app_private.is_parked(v_letter.tenant_id, v_letter.subject_id);
  else
    perform app_jobs.add_job(v_letter.task, v_letter.payload);
  end if;
  return v_letter;
end
$$;

grant execute on function app_public.rerun_dead_letter(uuid) to tallystick_accountant, tallystick_admin;

comment on function app_public.rerun_dead_letter(uuid) is $$
Tries again what ended as a dead letter. A payment is asked about first wherever its provider may know it:
nothing is paid twice by this. A return that was refused is booked at once, or refused again with the reason.
$$;
--! EndIncluded settlement/rerun_dead_letter.sql
--! Included settlement/reset_circuit_breaker.sql
/*
 * Close the circuit of a provider by hand, whoever or whatever opened it, and let the payments that wait for the
 * provider go on.
 */
create or replace function app_public.reset_circuit_breaker(provider_code text)
returns app_public.circuit_breakers
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor constant app_private.actor := app_private.authorize('circuit_breakers.manage');
  v_circuit app_public.circuit_breakers;
begin
  perform app_private.required_provider(v_actor.tenant_id, provider_code);
  v_circuit := app_private.lock_circuit(v_actor.tenant_id, provider_code);
  if v_circuit.state = 'closed' then
    return v_circuit;
  end if;
  v_circuit := app_private.close_circuit(v_circuit);
  perform app_private.wake_payments(v_circuit.tenant_id, v_circuit.provider_code);
  perform app_private.record_security_event('circuit_reset', 'notice', jsonb_build_object(
    'providerCode', provider_code));
  return v_circuit;
end
$$;

/*
 * Let payments that wait before they call their provider again do so now: as many as one statement can, those
 * that have waited for longest first. Those that it has taken already, and is asked about from time to time, are
 * left alone.
 *
 * Payments are locked before the breaker, which the caller has locked: so none is waited for here. One that is
 * locked is under way, and waits for the breaker itself, which is closed then.
 */
create or replace function app_private.wake_payments(
  tenant_id integer,
  provider_code text,
  batch_size integer default 2000
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_payments app_public.payments[];
begin
  select array_agg(w) into v_payments
  from (
    select p.*
    from app_public.payments p
    cross join lateral app_private.newest_attempt(p.tenant_id, p.id) a
    where p.tenant_id = wake_payments.tenant_id and p.provider_code = wake_payments.provider_code
      and p.status in ('reserved', 'submitted')
      and a.status <> 'accepted' and a.next_at > clock_timestamp()
    order by p.id
    limit batch_size
    for no key update of p skip locked
  ) w;
  update app_public.payment_attempts a
  set next_at = null
  from unnest(v_payments) p
  where a.tenant_id = p.tenant_id and a.payment_id = p.id and a.next_at is not null;
  perform app_private.add_payment_job(p, now())
  from unnest(v_payments) p
  where not app_private.is_parked(p.tenant_id, p.id);
  return coalesce(cardinality(v_payments), 0);
end
$$;

grant execute on function app_public.reset_circuit_breaker(text) to tallystick_accountant, tallystick_admin;

comment on function app_public.reset_circuit_breaker(text) is $$
Lets calls to a provider through again. Payments that wait for it go on at once; where there are thousands of them,
the last ones within the time that they wait for a closed circuit anyway.
$$;
--! EndIncluded settlement/reset_circuit_breaker.sql
--! Included vouchers/create_voucher_campaign.sql
/*
 * Create a voucher campaign: which accounts its vouchers move money between.
 */
create or replace function app_public.create_voucher_campaign(
  code text,
  name text,
  funding_account_id uuid,
  liability_account_id uuid,
  breakage_account_id uuid
)
returns app_public.voucher_campaigns
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_actor constant app_private.actor := app_private.authorize('vouchers.issue');
  v_funding app_public.accounts;
  v_liability app_public.accounts;
  v_breakage app_public.accounts;
  v_campaign app_public.voucher_campaigns;
begin
  if create_voucher_campaign.code !~ '^[a-z][a-z0-9_-]{0,49}$' then
    perform app_private.refuse('LG656', jsonb_build_object(
      'field', 'code', 'rule', 'a small letter, then up to 49 small letters, digits, hyphens and underscores'));
  end if;
  if length(create_voucher_campaign.name) not between 1 and 200 then
    perform app_private.refuse('LG656', jsonb_build_object('field', 'name', 'rule', '1 to 200 characters'));
  end if;
  v_funding := app_private.required_account(v_actor, create_voucher_campaign.funding_account_id);
  v_liability := app_private.required_account(v_actor, create_voucher_campaign.liability_account_id);
  v_breakage := app_private.required_account(v_actor, create_voucher_campaign.breakage_account_id);
  if v_liability.type <> 'liability' or v_liability.normal_balance <> 'credit' then
    perform app_private.refuse('LG656', jsonb_build_object(
      'field', 'liabilityAccountId', 'rule', 'a liability account with normal balance credit'));
  end if;
  if v_funding.currency <> v_liability.currency or v_breakage.currency <> v_liability.currency
    or v_liability.id in (v_funding.id, v_breakage.id)
  then
    perform app_private.refuse('LG656', jsonb_build_object(
      'field', 'liabilityAccountId', 'rule', 'an account of its own, in the currency of the other two'));
  end if;
  perform app_private.refuse_shared_voucher_account(v_liability, v_funding.id, v_breakage.id);
  insert into app_public.voucher_campaigns (
    tenant_id, code, name, currency, funding_account_id, liability_account_id, breakage_account_id, created_by
  ) values (
    v_actor.tenant_id, create_voucher_campaign.code, create_voucher_campaign.name, v_liability.currency,
    v_funding.id, v_liability.id, v_breakage.id, v_actor.user_id
  )
  on conflict on constraint voucher_campaigns_code_key do nothing
  returning * into v_campaign;
  if not found then
    perform app_private.refuse('LG658', jsonb_build_object('code', create_voucher_campaign.code));
  end if;
  return v_campaign;
end
$$;

/*
 * Refuse accounts by which the books of vouchers would not add up: a liability account owes what is left of vouchers,
 * those of several campaigns perhaps, and nothing else; so it is empty before, and no other side of a campaign.
 */
create or replace function app_private.refuse_shared_voucher_account(
  liability app_public.accounts,
  funding_id uuid,
  breakage_id uuid
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_field text;
begin
  -- One campaign after the other: each looks at the accounts of all.
  perform pg_advisory_xact_lock(hashtextextended('voucher campaigns', liability.tenant_id));
  v_field := case
    when exists (
      select from app_public.voucher_campaigns c
      where c.tenant_id = liability.tenant_id and c.liability_account_id = funding_id
    ) then 'fundingAccountId'
    when exists (
      select from app_public.voucher_campaigns c
      where c.tenant_id = liability.tenant_id and c.liability_account_id = breakage_id
    ) then 'breakageAccountId'
    when exists (
      select from app_public.voucher_campaigns c
      where c.tenant_id = liability.tenant_id and liability.id in (c.funding_account_id, c.breakage_account_id)
    ) then 'liabilityAccountId'
    when not exists (
      select from app_public.voucher_campaigns c
      where c.tenant_id = liability.tenant_id and c.liability_account_id = liability.id
    ) and exists (
      select from app_public.account_balances b
      where b.tenant_id = liability.tenant_id and b.account_id = liability.id
        and (b.posted_debits::numeric <> b.posted_credits or b.pending_debits + b.pending_credits::numeric > 0)
    ) then 'liabilityAccountId'
  end;
  if v_field is not null then
    perform app_private.refuse('LG656', jsonb_build_object(
      'field', v_field, 'rule', 'an account on which there is nothing but what vouchers owe, or none of those'));
  end if;
end
$$;

grant execute on function app_public.create_voucher_campaign(text, text, uuid, uuid, uuid) to
  tallystick_accountant, tallystick_admin;

comment on function app_public.create_voucher_campaign(text, text, uuid, uuid, uuid) is $$
Creates a voucher campaign: issuing takes from the funding account what the liability account then owes to whoever
has a voucher; what is left of a voucher that expires goes to the breakage account. Nothing but vouchers may move
on the liability account. A campaign never changes.
$$;
--! EndIncluded vouchers/create_voucher_campaign.sql
--! Included vouchers/redeem_voucher.sql
/*
 * Redeem a voucher, wholly or in part. What is wrong with the voucher is part of the answer, not an error: an
 * error would undo the count of the attempts.
 *
 * The row of the voucher is locked first, then the accounts, by everyone. Who knows a code has 80 bits of proof,
 * so they are told that it expired or was spent; who does not is told the same whatever they try.
 */
create or replace function app_public.redeem_voucher(
  code text,
  account_id uuid,
  amount app_public.amount default null,
  idempotency_key text default null
)
returns app_public.voucher_redemption
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_actor constant app_private.actor := app_private.authorize('vouchers.redeem');
  v_account app_public.accounts;
  v_voucher app_public.vouchers;
  v_seconds integer;
  v_redemption app_public.voucher_redemption;
begin
  if amount <= 0 then
    perform app_private.refuse('LG102');
  end if;
  if length(idempotency_key) not between 1 and 255 then
    perform app_private.refuse('LG105');
  end if;
  v_account := app_private.required_account(v_actor, account_id);
  if v_actor.role = 'customer' and v_account.owner_id is distinct from v_actor.user_id then
    perform app_private.refuse('LG301', jsonb_build_object('accountId', account_id));
  elsif exists (
    -- Nothing but vouchers is on it.
    select
    from app_public.voucher_campaigns c
    where c.tenant_id = v_actor.tenant_id and c.liability_account_id = redeem_voucher.account_id
  ) then
    perform app_private.refuse('LG659', jsonb_build_object('accountId', account_id));
  end if;
  v_seconds := app_private.voucher_attempts_locked(v_actor);
  if v_seconds is not null then
    return app_private.voucher_refusal('LG653', jsonb_build_object('seconds', v_seconds));
  end if;
  select v.* into v_voucher
  from app_public.vouchers v
  where v.tenant_id = v_actor.tenant_id and v.code_hash = app_private.voucher_code_hash(code)
  for no key update;
  if not found then
    perform app_private.charge_voucher_attempt(v_actor);
    return app_private.voucher_refusal('LG650', '{}');
  end if;
  v_redemption := app_private.redeem_voucher__replay(v_voucher, account_id, amount, idempotency_key);
  if v_redemption.voucher_id is null then
    v_redemption := app_private.redeem_voucher__refuse(v_voucher, v_account, amount);
  end if;
  if v_redemption.voucher_id is null and v_redemption.refusal is null then
    v_redemption := app_private.redeem_voucher__write(v_actor, v_voucher, account_id, amount, idempotency_key);
  end if;
  return v_redemption;
exception when unique_violation then
  -- The key was used for another voucher at the same time.
  perform app_private.refuse('LG501', jsonb_build_object('field', 'code'));
end
$$;

create or replace function app_private.voucher_refusal(code text, detail jsonb)
returns app_public.voucher_redemption
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select row(null, null, null, null, false, app_private.refusal(code, detail))::app_public.voucher_redemption
$$;

-- What the key did before: the same redemption, or a conflict. Null if it did nothing.
create or replace function app_private.redeem_voucher__replay(
  voucher app_public.vouchers,
  account_id uuid,
  amount app_public.amount,
  idempotency_key text
)
returns app_public.voucher_redemption
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  v_move app_public.voucher_moves;
  v_field text;
begin
  select m.* into v_move
  from app_public.voucher_moves m
  where m.tenant_id = voucher.tenant_id and m.idempotency_key = redeem_voucher__replay.idempotency_key;
  if not found then
    return null;
  end if;
  v_field := case
    when v_move.voucher_id <> voucher.id then 'code'
    when v_move.account_id <> account_id then 'accountId'
    when v_move.asked_amount is distinct from amount then 'amount'
  end;
  if v_field is not null then
    perform app_private.refuse('LG501', jsonb_build_object('field', v_field));
  end if;
  return row(
    v_move.voucher_id, v_move.transaction_id, v_move.amount, v_move.rest_amount, true, null
  )::app_public.voucher_redemption;
end
$$;

-- Why a voucher cannot be redeemed like this; null if it can. Its row is locked.
create or replace function app_private.redeem_voucher__refuse(
  voucher app_public.vouchers,
  account app_public.accounts,
  amount app_public.amount
)
returns app_public.voucher_redemption
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_currency text;
begin
  if voucher.status = 'cancelled' then
    return app_private.voucher_refusal('LG654', '{}');
  end if;
  if voucher.status = 'expired' or voucher.status = 'open' and voucher.expires_at <= clock_timestamp() then
    return app_private.voucher_refusal('LG651', jsonb_build_object('expiresAt', voucher.expires_at));
  end if;
  if voucher.rest_amount < greatest(redeem_voucher__refuse.amount, 1) then
    return app_private.voucher_refusal('LG652', jsonb_build_object('restAmount', voucher.rest_amount::text));
  end if;
  select c.currency into v_currency
  from app_public.voucher_issues i
  join app_public.voucher_campaigns c on c.tenant_id = i.tenant_id and c.id = i.campaign_id
  where i.tenant_id = voucher.tenant_id and i.id = voucher.issue_id;
  if v_currency <> account.currency then
    return app_private.voucher_refusal('LG657', jsonb_build_object(
      'currency', v_currency, 'accountCurrency', account.currency));
  end if;
  return null;
end
$$;

create or replace function app_private.redeem_voucher__write(
  actor app_private.actor,
  voucher app_public.vouchers,
  account_id uuid,
  amount app_public.amount,
  idempotency_key text
)
returns app_public.voucher_redemption
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_amount constant app_public.amount := coalesce(redeem_voucher__write.amount, voucher.rest_amount);
  v_rest constant app_public.amount := voucher.rest_amount - v_amount;
  v_liability_account_id uuid;
  v_transaction_id uuid;
begin
  select c.liability_account_id into strict v_liability_account_id
  from app_public.voucher_issues i
  join app_public.voucher_campaigns c on c.tenant_id = i.tenant_id and c.id = i.campaign_id
  where i.tenant_id = voucher.tenant_id and i.id = voucher.issue_id;
  v_transaction_id := app_private.post_voucher_money(
    actor, v_liability_account_id, redeem_voucher__write.account_id, v_amount,
    jsonb_build_object('voucherId', voucher.id));
  insert into app_public.voucher_moves (
    tenant_id, voucher_id, number, kind, amount, rest_amount, previous_rest_amount, transaction_id, account_id,
    asked_amount, idempotency_key, moved_by
  ) values (
    voucher.tenant_id, voucher.id, voucher.move_number + 1, 'redeemed', v_amount, v_rest, voucher.rest_amount,
    v_transaction_id, redeem_voucher__write.account_id, redeem_voucher__write.amount,
    redeem_voucher__write.idempotency_key, actor.user_id
  );
  update app_public.vouchers v set
    rest_amount = v_rest,
    status = case when v_rest = 0 then 'spent' else 'open' end::app_public.voucher_status,
    move_number = voucher.move_number + 1,
    updated_at = now()
  where v.tenant_id = voucher.tenant_id and v.id = voucher.id;
  perform app_private.record_event(
    voucher.tenant_id, 'voucher.redeemed', voucher.id,
    jsonb_build_object(
      'amount', v_amount::text, 'restAmount', v_rest::text, 'accountId', redeem_voucher__write.account_id));
  return row(voucher.id, v_transaction_id, v_amount, v_rest, false, null)::app_public.voucher_redemption;
end
$$;

grant execute on function app_public.redeem_voucher(text, uuid, app_public.amount, text) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.redeem_voucher(text, uuid, app_public.amount, text) is $$
Redeems a voucher into an account: the amount, or all that is left of it. A customer redeems into an account of their
own. What is wrong with the voucher is told by `refusal`, and nothing is posted then; codes that nobody was given
are counted, and after ten of them each further one costs a pause. Give an idempotency key: a voucher that can be
redeemed in parts would otherwise be redeemed twice by a request that is sent twice.
$$;
--! EndIncluded vouchers/redeem_voucher.sql
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
