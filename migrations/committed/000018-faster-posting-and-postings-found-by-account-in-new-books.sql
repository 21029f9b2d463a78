--! Previous: sha1:4b3ced22a3a5e3078e0130a1abe9f746d86a770b
--! Hash: sha1:2db380bbd300e07b3f98cc11ba496a53ad413e20
--! Message: faster posting, and postings found by account in new books

-- The migration being written. See migrations/README.md.
---- faster posting ----
do $do$
begin
  alter type app_private.batch_accounts add attribute places tid[];
exception when duplicate_column then
  -- Applied before: see migrations/README.md.
end
$do$;
--! Included engine/account_lock.sql
/*
 * The key of the advisory lock at which transactions of few accounts queue up for one: see post_batch__attempt.
 * Two accounts with the same key only wait for each other for nothing.
 */
create or replace function app_private.account_lock(tenant_id integer, account_id uuid)
returns bigint
language sql
immutable
as $$
  select uuid_hash_extended(account_id, tenant_id)
$$;
--! EndIncluded engine/account_lock.sql
--! Included engine/fingerprint.sql
/*
 * What a field adds to a fingerprint. Becomes a part of the statement that asks: stable, as convert_to is said to be,
 * which would stay a call otherwise.
 */
create or replace function app_private.fingerprint_of_field(value text)
returns bytea
language sql
stable
as $$
  select coalesce(substr(sha256(convert_to(value, 'UTF8')), 1, 2), '\x0000')
$$;

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
  select substr(sha256(convert_to(fields::text, 'UTF8')), 1, 16)
    || string_agg(app_private.fingerprint_of_field(f.value), ''::bytea order by f.n)
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
--! Included engine/batch_lines.sql
/*
 * The lines that the items of a batch ask for, one row each, in order: those that the caller wrote, and
 * those that resolve or reverse an earlier transaction, which are read from its postings. A posting of
 * zero in a part-post only releases. A line with no direction is a condition.
 *
 * Becomes a part of the statement that asks, so it has no settings of its own.
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
language sql
stable
rows 1000
as $$
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
    as c (account_id, minimum_available, version, ordinal)
  union all
  select
    t.n, t.ordinal, t.account_id, t.direction, t.posted, t.pending, t.is_excess, t.minimum_available, t.version
  from app_private.batch_lines__of_targets(tenant_id, items) t
  where has_targets
$$;
--! EndIncluded engine/batch_lines.sql
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
      l.is_incomplete, l.lowest_amount, l.fields
    from unnest(items) with ordinality as i (
      kind, postings, idempotency_key, effective_at, timeout_seconds, pending_id, reverses_id,
      description, metadata, conditions, n
    )
    cross join lateral (
      select
        bool_or(p.account_id is null or p.direction is null or p.amount is null) as is_incomplete,
        min(p.amount) as lowest_amount,
        -- What app_private.fingerprint is given, made here once for each item.
        case when i.idempotency_key is not null then array[
          coalesce(i.kind, 'posted')::text, i.pending_id::text, i.reverses_id::text, nullif(i.postings, '{}')::text,
          extract(epoch from i.effective_at)::text, i.timeout_seconds::text, i.description, i.metadata::text,
          nullif(i.conditions, '{}')::text
        ] end as fields
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
      -- app_private.fingerprint(fields), written out: in a batch its call takes three times as long as the hashes.
      case when idempotency_key is not null then
        substr(sha256(convert_to(fields::text, 'UTF8')), 1, 16)
        || app_private.fingerprint_of_field(fields[1]) || app_private.fingerprint_of_field(fields[2])
        || app_private.fingerprint_of_field(fields[3]) || app_private.fingerprint_of_field(fields[4])
        || app_private.fingerprint_of_field(fields[5]) || app_private.fingerprint_of_field(fields[6])
        || app_private.fingerprint_of_field(fields[7]) || app_private.fingerprint_of_field(fields[8])
        || app_private.fingerprint_of_field(fields[9])
      end as fingerprint
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
    array_agg(b.minimum_balance::numeric), array_agg(b.maximum_balance::numeric),
    array_agg(b.ctid)
  from (
    select *, account_balances.ctid
    from app_public.account_balances
    where account_balances.tenant_id = post_batch__lock_accounts.tenant_id
      and account_balances.account_id = any (ids)
    order by account_balances.account_id
    for no key update
  ) b
$$;
--! EndIncluded engine/post_batch__lock_accounts.sql
--! Included engine/post_batch__read_targets.sql
/*
 * Step 5, under the lock: what the items refer to, one element an item. Transactions that carry an
 * item's key already, the state of the transactions to resolve or reverse, and closed periods.
 *
 * Null when there is nothing to tell, as nearly always: no item has a target or a time of its own, and all keys,
 * which are asked for at once, are new.
 */
create or replace function app_private.post_batch__read_targets(
  tenant_id integer,
  items app_private.batch_items,
  at timestamptz
)
returns app_private.batch_targets
language plpgsql
stable
set search_path = pg_catalog, pg_temp
-- Ranges of one, in order: a plan made while the tables are new, and without statistics, takes the index of the order
-- (and enable_sort) and not any that begins with the tenant, of which it would read all for as long as it lives.
set enable_sort = off
as $$
declare
  v_targets app_private.batch_targets;
begin
  if not items.has_targets and cardinality(array_remove(items.effective_at, null)) = 0 then
    perform from app_public.transactions t
    where t.tenant_id = post_batch__read_targets.tenant_id and t.idempotency_key = any (items.keys)
    order by t.idempotency_key
    limit 1;
    if not found then
      return null;
    end if;
  end if;
  select
    array_agg(replayed.id order by i.n),
    array_agg(replayed.fingerprint order by i.n),
    array_agg(target.kind order by i.n),
    array_agg(target.expires_at order by i.n),
    array_agg(resolution.kind order by i.n),
    array_agg(reversal.id is not null order by i.n),
    array_agg(period.name order by i.n)
  into v_targets
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
    and period.during @> coalesce(i.effective_at, post_batch__read_targets.at);
  return v_targets;
end
$$;
--! EndIncluded engine/post_batch__read_targets.sql
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
    v_accounts.expired_debits, v_accounts.expired_credits, v_accounts.places
  ) as a (
    id, version, last_created_at, last_effective_at, next_expiry_at, posted_debits, posted_credits,
    pending_debits, pending_credits, expired_debits, expired_credits, place
  )
  -- Where they lay when they were locked, which is where they lie still: found without the index.
  where b.ctid = a.place
    and b.tenant_id = post_batch__write.tenant_id
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
--! Included engine/post_batch__attempt.sql
/*
 * One attempt at a batch: the steps in their order. See post_batch.
 */
create or replace function app_private.post_batch__attempt(
  actor app_private.actor,
  items app_public.transaction_input[],
  mode app_public.batch_mode,
  may_expire boolean,
  is_approved boolean,
  authors uuid[]
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
  v_ids uuid[];
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
  -- An account that a partner may not name is unknown, from here on.
  v_ids := case when actor.role = 'partner'
    then app_private.partner_accounts_among(actor, v_lines.ids)
    else v_lines.ids
  end;
  -- Where many wait for a row, each that gets it wakes all the others, who follow its new version; here they stand in
  -- line and look at the row when it is their turn. In the order of the rows, and only before this database
  -- transaction has written anything: nobody who holds a row waits here, so there is no circle. Larger batches do
  -- without: they would need thousands of these locks.
  if cardinality(v_ids) <= 16 and pg_current_xact_id_if_assigned() is null then
    perform pg_advisory_xact_lock(app_private.account_lock(tenant_id, a.id)) from unnest(v_ids) a (id);
  end if;
  v_accounts := app_private.post_batch__lock_accounts(tenant_id, v_ids);
  v_at := clock_timestamp();
  if cardinality(v_accounts.ids) is distinct from cardinality(v_lines.ids) then
    v_lines := app_private.post_batch__forget_unknown(v_lines, v_accounts.ids);
  end if;
  if v_at >= any (v_accounts.next_expiry_at) then
    v_accounts := app_private.post_batch__expire(tenant_id, v_accounts, v_at);
  end if;
  if v_items.has_references then
    v_targets := app_private.post_batch__read_targets(tenant_id, v_items, v_at);
    if actor.role = 'partner' then
      v_targets := app_private.post_batch__hide_targets(actor, v_items, v_targets);
    end if;
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
  elsif authors is null and cardinality(array_remove(v_decision.codes, null)) > 0 then
    perform app_private.record_refused_items(actor, v_items.keys, v_decision.codes, v_decision.details);
  end if;

  if true = any (v_decision.is_accepted) then
    perform app_private.post_batch__write(
      tenant_id, actor.user_id, authors, v_items, v_lines, v_decision);
  end if;
  return app_private.post_batch__results(tenant_id, v_lines, v_decision);
end
$$;
--! EndIncluded engine/post_batch__attempt.sql
--! Included engine/post_together.sql
/*
 * Post what several requests ask for that arrived together, each a transaction of its own and each in the name
 * of who asks: one batch of the engine instead of as many. The API calls this in the place of
 * app_public.post_transaction, with the sessions of tokens that it has verified; what a request is answered is
 * the same.
 *
 * All are of one tenant. Each is answered with its result or with the refusal of it alone; or with neither:
 * other rules hold for who asks than for the first of them, and it is to be asked again.
 */
create or replace function app_hidden.post_together(
  tenant_id integer,
  session_ids uuid[],
  user_ids uuid[],
  transactions app_public.transaction_input[]
)
returns app_public.transaction_result[]
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count constant integer := coalesce(cardinality(transactions), 0);
  v_faults text[];
  v_details jsonb[];
  v_actors app_private.actor[];
  v_taken integer[] := '{}';
  v_posted app_public.transaction_result[];
  v_results app_public.transaction_result[] := array_fill(null::app_public.transaction_result, array[v_count]);
begin
  select array_agg(a.fault order by a.n), array_agg(a.detail order by a.n), array_agg(a.actor order by a.n)
  into v_faults, v_details, v_actors
  from app_private.posting_actors(tenant_id, session_ids, user_ids, transactions) a;

  for i in 1 .. v_count loop
    if v_faults[i] is not null then
      v_results[i] := row(null, false, null, app_private.refusal(v_faults[i], v_details[i]));
    elsif cardinality(v_taken) = 0
      or app_private.have_same_rules(v_actors[i], v_actors[v_taken[1]])
    then
      v_taken := v_taken || i;
    end if;
  end loop;

  if cardinality(v_taken) > 0 then
    v_posted := app_private.post_batch(
      v_actors[v_taken[1]],
      array(select transactions[t.i] from unnest(v_taken) with ordinality as t (i, n) order by t.n),
      'independent',
      authors => array(select user_ids[t.i] from unnest(v_taken) with ordinality as t (i, n) order by t.n));
    for n in 1 .. cardinality(v_taken) loop
      v_results[v_taken[n]] := v_posted[n];
    end loop;
  end if;
  return v_results;
end
$$;

grant execute on function
  app_hidden.post_together(integer, uuid[], uuid[], app_public.transaction_input[])
to tallystick_authenticator;

/*
 * Who asks for each transaction, and what keeps them from it: what app_private.authorize_posting says of one.
 */
create or replace function app_private.posting_actors(
  tenant_id integer,
  session_ids uuid[],
  user_ids uuid[],
  transactions app_public.transaction_input[]
)
returns table (n bigint, actor app_private.actor, fault text, detail jsonb)
language sql
volatile
set search_path = pg_catalog, pg_temp
-- Each look-up by key, also by a plan that was made while there were few sessions.
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
  select
    i.n,
    a.actor,
    coalesce(f.fault, case when y.payment_id is not null then 'LG610' end),
    case
      when f.fault = 'LG402' then jsonb_build_object('permission', f.permission)
      when f.fault is null and y.payment_id is not null then
        jsonb_build_object('transactionId', a.target_id, 'paymentId', y.payment_id)
      else '{}'
    end
  from unnest(session_ids, user_ids) with ordinality as i (session_id, user_id, n)
  join app_public.tenants t on t.id = posting_actors.tenant_id
  left join app_private.sessions s
    on s.id = i.session_id and s.tenant_id = t.id and s.user_id = i.user_id
  cross join lateral (
    select
      row(
        s.tenant_id, s.user_id, s.id, s.role, s.second_factor_at, t.has_thresholds, t.has_kyc_limits
      )::app_private.actor as actor,
      coalesce(transactions[i.n].pending_id, transactions[i.n].reverses_id) as target_id
  ) a
  left join lateral (
    select p.permission, app_private.access_fault(s, t, p.permission, r.permission is not null) as fault
    from unnest(array[
      'transactions.post',
      case when transactions[i.n].reverses_id is not null then 'transactions.reverse' end
    ]) with ordinality as p (permission, place)
    left join app_public.role_permissions r
      on r.tenant_id = t.id and r.role = s.role and r.permission = p.permission
    where p.permission is not null
    order by (app_private.access_fault(s, t, p.permission, r.permission is not null) is null), p.place
    limit 1
  ) f on true
  cross join lateral (
    -- Not asked at all for what resolves and reverses nothing: the call by itself takes longer than all of the above.
    select case
      when a.target_id is not null then app_private.payment_of_transaction(a.actor, a.target_id)
    end as payment_id
  ) y
$$;

/*
 * Whether the engine may take two actors for one: what it looks at besides the user is the same for both.
 */
create or replace function app_private.have_same_rules(one app_private.actor, other app_private.actor)
returns boolean
language sql
stable
as $$
  select
    one.tenant_id = other.tenant_id
    and (one.session_id = other.session_id or 'partner' not in (one.role, other.role))
    and (
      not one.has_thresholds
      or coalesce(one.second_factor_at >= now() - interval '5 minutes', false)
        = coalesce(other.second_factor_at >= now() - interval '5 minutes', false)
    )
$$;
--! EndIncluded engine/post_together.sql
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
    cross join lateral (
      select b.level, b.block_no, b.max_effective_at, b.has_entries, b.debits, b.credits
      from app_hidden.posting_blocks b
      where b.tenant_id = posted_as_of.tenant_id and b.account_id = r.account_id and b.level = r.level
        and b.block_no >= r.from_no and b.block_no < r.before_no
        and b.min_effective_at <= posted_as_of.as_of
      offset 0
    ) b
    union all
    select c.account_id, b.level, b.block_no, b.max_effective_at, b.has_entries, b.debits, b.credits,
      b.level - 1, b.block_no << 4, (b.block_no + 1) << 4
    from cover c
    cross join lateral (
      select b.level, b.block_no, b.max_effective_at, b.has_entries, b.debits, b.credits
      from app_hidden.posting_blocks b
      where b.tenant_id = posted_as_of.tenant_id and b.account_id = c.account_id and b.level = c.inner_level
        and b.block_no >= c.inner_from_no and b.block_no < c.inner_before_no
        and b.min_effective_at <= posted_as_of.as_of
      offset 0
    ) b
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
set enable_sort = off
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
    -- A range of one, in order: one probe for each account, whatever the planner knows of a table that is new.
    cross join lateral (
      select p.created_at
      from app_public.postings p
      where p.tenant_id = versions_at.tenant_id and p.account_id = s.account_id
        and p.version between s.middle and s.middle
      order by p.version
      limit 1
    ) p
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
-- A plan made while the tables are new takes the index of the order, and none of which it would read a whole tenant.
set enable_sort = off
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
      where p.tenant_id = counters_at.tenant_id and p.account_id = q.account_id
        and p.version between q.version and q.version
      order by p.version
      limit 1
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
set enable_sort = off
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
  -- In order, and one transaction for each line: so they are probed by their keys, whatever the planner knows of
  -- tables that are new.
  from (
    select
      p.tenant_id, p.version, p.created_at, p.effective_at, p.transaction_id, p.direction, p.currency,
      p.posted_amount, p.pending_amount, p.posted_debits, p.posted_credits, p.pending_debits, p.pending_credits
    from app_public.postings p
    where p.tenant_id = account.tenant_id and p.account_id = account.id
      and p.version > v_after and p.version <= v_last
    order by p.version
    limit v_size
  ) p
  cross join lateral (
    select t.kind, t.description
    from app_public.transactions t
    where t.tenant_id = p.tenant_id and t.id between p.transaction_id and p.transaction_id
    order by t.id
    limit 1
  ) t;
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
