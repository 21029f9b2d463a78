--! Previous: sha1:2db380bbd300e07b3f98cc11ba496a53ad413e20
--! Hash: sha1:358c51aec04c7497e0d7d9e058b6f9e34e22b886
--! Message: accounts of a partner are stood in line for in order

-- The migration being written. See migrations/README.md.
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
    perform pg_advisory_xact_lock(app_private.account_lock(tenant_id, a.id))
    -- Those that a partner may name come in any order.
    from (select a.id from unnest(v_ids) a (id) order by a.id offset 0) a;
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
