/*
 * Each check is empty on healthy books, and finds what a superuser breaks with the triggers disabled. The
 * breakages are rows: the name of the check, and the statements that break what it proves, in books of
 * their own, so that one test cannot help another. The same breakage in the other tenant stays unseen.
 */
begin;

-- A transaction above the threshold, which stood for longer than a posting takes, and below it another.
create function pg_temp.make_approval(slug text) returns void language plpgsql as $$
declare
  v_proposal text;
begin
  perform tests.open_account(slug, a.code, a.type::app_public.account_type, 'GBP')
  from (values ('cash', 'asset'), ('equity', 'equity')) as a (code, type);
  insert into app_public.transaction_thresholds (tenant_id, currency, approval_amount)
  values (tests.tenant(slug), 'GBP', 900);
  perform set_config('session_replication_role', 'replica', true);
  update app_private.approval_thresholds set since = now() - interval '2 minutes';
  perform set_config('session_replication_role', 'origin', true);
  perform tests.post(slug, 'cash', 'equity', 899, 'GBP');
  perform tests.become('teller', tests.tenant(slug), tests.user_id('tina'));
  v_proposal := (app_public.propose_transaction(
    tests.transfer(slug, 'cash', 'equity', 900, 'GBP', idempotency_key => 'approved'), 'large')).id;
  perform tests.become('accountant', tests.tenant(slug), tests.user_id('zoe'));
  perform app_public.approve_proposal(v_proposal::uuid);
  perform tests.become_superuser();
end
$$;

-- A payment with a fee of which a refund gave a part back, and vouchers of which one was redeemed in part.
create function pg_temp.make_charges(slug text) returns void language plpgsql as $$
declare
  v_tenant constant integer := tests.tenant(slug);
  v_paid uuid;
  v_issue app_public.voucher_issue_result;
begin
  perform tests.as_tenant(v_tenant, format('select app_public.set_fee_schedule(%L)', jsonb_populate_record(
    null::app_public.fee_schedule_input, jsonb_build_object('code', 'fee', 'payment_kind', 'transfer',
      'currency', 'EUR', 'method', 'fixed', 'fixed_amount', 10, 'bearer', 'payer', 'refund_policy', 'proportional',
      'beneficiary_account_id', tests.account(slug, 'sales')))));
  v_paid := tests.pay(slug, tests.payment(slug, 'transfer', 'ann', 100, to_account => 'bob'));
  perform tests.pay(slug, tests.payment(slug, 'refund', amount => 50, refund_of_id => v_paid));
  perform tests.open_account(slug, 'vouchers', 'liability');
  v_issue := tests.as_tenant(v_tenant, format(
    'select app_public.issue_vouchers((app_public.create_voucher_campaign(%L, %L, %L, %L, %L)).id, 2, 100)', 'spring',
    'Spring', tests.account(slug, 'cash'), tests.account(slug, 'vouchers'), tests.account(slug, 'sales')));
  perform tests.as_tenant(v_tenant, format('select app_public.redeem_voucher(%L, %L, 40)',
    (v_issue.vouchers[1]).code, tests.account(slug, 'bob')));
end
$$;

-- Payments of every status, a part of one given back, and one that another person had to approve.
create function pg_temp.make_payments(slug text) returns void language plpgsql as $$
declare
  v_tenant constant integer := tests.tenant(slug);
  v_actor constant app_private.actor := app_private.system_actor(v_tenant);
  v_status text;
  v_id uuid;
begin
  perform tests.make_provider(slug, 'bank');
  perform tests.pay(slug, tests.payment(slug, 'pay_out', 'wallet', 11, execute_at => now() + interval '1 day'));
  foreach v_status in array '{reserved,submitted,settled,returned,failed,cancelled}'::text[] loop
    v_id := tests.pay(slug, tests.payment(slug, 'pay_in', 'wallet', 12, provider_code => 'bank'));
    continue when v_status = 'reserved';
    perform app_private.submit_payment(v_actor, v_tenant, v_id);
    if v_status in ('settled', 'returned') then
      perform app_private.settle_payment(v_actor, v_tenant, v_id);
    end if;
    case v_status
      when 'returned' then perform app_private.return_payment(v_actor, v_tenant, v_id, 'AC04', 'Closed.');
      when 'failed' then perform app_private.fail_payment(v_actor, v_tenant, v_id, 'declined', 'No.');
      when 'cancelled' then perform app_private.void_payment(v_actor, v_tenant, v_id, 'cancelled');
      else null;
    end case;
  end loop;
  perform tests.make_provider(slug, 'other');
  v_id := tests.pay(slug, tests.payment(slug, 'pay_out', 'wallet', 13, provider_code => 'bank'));
  perform app_private.reroute_payment(v_actor, v_tenant, v_id, 'other');
  v_id := tests.pay(slug, tests.payment(slug, 'transfer', 'wallet', 14, to_account => 'sales'));
  perform tests.pay(slug, tests.payment(slug, 'refund', amount => 5, refund_of_id => v_id));
  perform tests.become('teller', v_tenant, tests.user_id('tina'));
  v_id := (app_public.create_payment(row('transfer', tests.account(slug, 'cash', 'GBP'),
    tests.account(slug, 'equity', 'GBP'), 950, null, null, null, null, null, null, null, null, null, null))).id;
  perform tests.become('accountant', v_tenant, tests.user_id('zoe'));
  perform app_public.approve_payment(v_id);
  perform tests.become_superuser();
end
$$;

-- A statement of two entries, of which one matches a payment and the other nothing.
create function pg_temp.make_reconciliation(slug text) returns void language plpgsql as $$
declare
  v_tenant constant integer := tests.tenant(slug);
  v_actor constant app_private.actor := app_private.system_actor(v_tenant);
  v_payment app_public.payments;
  v_statement_id uuid;
begin
  perform tests.make_provider(slug, 'told');
  v_payment := app_private.insert_payment(v_actor, tests.payment(slug, 'pay_in', 'sales', 70, provider_code => 'told'));
  perform app_private.submit_payment(v_actor, v_tenant, v_payment.id);
  perform app_private.settle_payment(v_actor, v_tenant, v_payment.id);
  select b.statement_id into v_statement_id
  from app_private.begin_statement(v_tenant, 'told', 'EUR', 'S1', sha256('S1'), 1) b;
  perform app_private.add_statement_entries(v_tenant, v_statement_id, 'told', 'EUR', jsonb_build_array(
    jsonb_build_object('entryId', 'a', 'ordinal', 1, 'flow', 'in', 'amount', 70, 'bookedAt', now(),
      'endToEndId', v_payment.id),
    jsonb_build_object('entryId', 'b', 'ordinal', 2, 'flow', 'in', 'amount', 30, 'bookedAt', now())));
  perform app_private.complete_statement(v_tenant, v_statement_id, 'told', 'EUR', jsonb_build_object(
    'reference', 'S1', 'format', 'csv', 'filePosition', 1, 'fileHash', encode(sha256('S1'), 'hex')));
  perform app_private.collect_clearing_items(v_tenant, 'told', 'EUR');
  perform app_private.find_matches(v_tenant, 'told', 'EUR');
  perform app_private.confirm_found_matches(v_tenant, 'told', 'EUR');
  perform app_private.place_entries(v_tenant, 'told', 'EUR');
end
$$;

-- A payment that settled at the second attempt.
create function pg_temp.make_settlement(slug text) returns void language plpgsql as $$
declare
  v_actor constant app_private.actor := app_private.system_actor(tests.tenant(slug));
  v_payment app_public.payments;
begin
  perform tests.make_provider(slug, 'settler');
  v_payment := app_private.insert_payment(
    v_actor, tests.payment(slug, 'pay_in', 'ann', 50, provider_code => 'settler'));
  perform app_private.take_settlement(v_payment.tenant_id, v_payment.id, 1);
  perform app_private.record_settlement_error(v_payment.tenant_id, v_payment.id, 1, 1, 'unavailable');
  update app_public.payment_attempts set next_at = null where payment_id = v_payment.id;
  perform app_private.take_settlement(v_payment.tenant_id, v_payment.id, 1);
  perform app_private.record_settlement_answer(
    v_payment.tenant_id, v_payment.id, 2, 1, 'settled', 'ref', 50, 'EUR');
end
$$;

-- A merchant who was settled for yesterday, with what came since: it is made to wait for less than no day.
create function pg_temp.make_merchant(slug text) returns void language plpgsql as $$
declare
  v_tenant constant integer := tests.tenant(slug);
  v_id uuid;
begin
  perform tests.open_account(slug, 'shop', 'liability');
  insert into app_public.counterparties (tenant_id, id, name) values (v_tenant, tests.user_id('shop bank'), 'Shop Ltd');
  v_id := tests.as_tenant(v_tenant, format('select (app_public.set_merchant(%L)).id', jsonb_populate_record(
    null::app_public.merchant_input, jsonb_build_object('code', 'shop', 'account_id', tests.account(slug, 'shop'),
      'provider_code', 'bank', 'counterparty_id', tests.user_id('shop bank'), 'time_zone', 'UTC'))));
  perform tests.pay(slug, tests.payment(slug, 'transfer', 'ann', 30, to_account => 'shop'));
  perform set_config('session_replication_role', 'replica', true);
  alter table app_public.merchants drop constraint if exists merchants_hold_days_is_0_to_365;
  update app_public.merchants set settled_through = settled_through - 1, hold_days = -3 where id = v_id;
  perform set_config('session_replication_role', 'origin', true);
  perform app_private.settle_merchant(v_tenant, v_id);
end
$$;

-- Numbered receipts of what has settled.
create function pg_temp.make_receipts(slug text) returns void language sql as $$
  insert into app_public.notification_settings (tenant_id, receipts_numbered) values (tests.tenant(slug), true);
  select app_private.issue_receipt(p.tenant_id, p.id, null)
  from app_public.payments p
  where p.tenant_id = tests.tenant(slug) and p.status in ('settled', 'returned');
$$;

-- A schedule that has paid and one that will, a subscription that is paid for.
create function pg_temp.make_standing(slug text) returns void language plpgsql as $$
declare
  v_tenant constant integer := tests.tenant(slug);
  v_id uuid;
begin
  perform tests.become('accountant', v_tenant, tests.user_id('abe'));
  perform app_public.schedule_payment(row('transfer', tests.account(slug, 'wallet'), tests.account(slug, 'sales'), 3,
    null, null, null, null, null, null, null, 'UTC', now() + interval '1 day', null, null, null, null, null, null));
  v_id := (app_public.schedule_payment(row('transfer', tests.account(slug, 'wallet'), tests.account(slug, 'sales'), 3,
    null, null, null, null, null, null, null, 'UTC', now(), null, null, null, null, null, null))).id;
  perform app_public.subscribe((app_public.create_plan(row('gold', 'Gold', 7, 'month', null, null, null, null, null,
    null, null, tests.account(slug, 'sales')))).id, tests.account(slug, 'wallet'));
  perform tests.become_superuser();
  perform app_private.execute_schedule(v_tenant, v_id);
end
$$;

-- Books with something of everything in them, so that healthy is not the same as empty.
create function pg_temp.make(slug text) returns void language plpgsql as $$
declare
  v_pending uuid;
begin
  perform tests.make_books(slug);
  perform tests.open_account(slug, 'empty', 'asset');
  perform tests.as_tenant(
    tests.tenant(slug), format('select app_public.close_account(%L)', tests.account(slug, 'empty')));
  perform tests.open_account(slug, c.code, 'equity', c.currency)
  from (values
    ('trading', 'EUR'), ('trading', 'USD'), ('rounding', 'USD'), ('wallet', 'EUR'), ('wallet', 'USD')
  ) as c (code, currency);
  perform tests.post(slug, 'cash', 'wallet', 5000);
  perform tests.as_tenant(
    tests.tenant(slug), $q$select app_public.set_exchange_rate('EUR', 'USD', 1.0833, '2020-01-01Z')$q$);
  perform tests.as_tenant(tests.tenant(slug), format(
    $q$select app_public.post_conversion(%L, %L, 1001, 'trading', 'rounding')$q$,
    tests.account(slug, 'wallet'), tests.account(slug, 'wallet', 'USD')));
  v_pending := tests.post(slug, 'ann', 'cash', 10, kind => 'pending');
  perform tests.as_tenant(tests.tenant(slug), format('select app_public.post_pending_transaction(%L)', v_pending));
  v_pending := tests.post(slug, 'ann', 'cash', 20, kind => 'pending', timeout_seconds => 60);
  perform tests.as_tenant(tests.tenant(slug), format('select app_public.void_pending_transaction(%L)', v_pending));
  perform tests.post(slug, 'ann', 'cash', 30, kind => 'pending', timeout_seconds => 60);
  perform tests.as_tenant(tests.tenant(slug), format('select app_public.reverse_transaction(%L)',
    tests.post(slug, 'rent', 'cash', 40, idempotency_key => 'k')));
  perform tests.as_tenant(tests.tenant(slug), format($q$select app_public.add_set_to_set(
    (app_public.create_account_set('outer', 'x')).id, (app_public.create_account_set('inner', 'x')).id)$q$));
  perform pg_temp.make_approval(slug);
  perform pg_temp.make_charges(slug);
  perform pg_temp.make_payments(slug);
  perform tests.as_tenant(
    tests.tenant(slug), $q$select app_public.set_kyc_level_limit(0, 'EUR', 1000000, 1000000, 1000000)$q$);
  perform app_private.record_event(tests.tenant(slug), 'payment.settled', uuidv7()) from generate_series(1, 3);
  perform app_private.relay_events();
  perform tests.as_tenant(tests.tenant(slug), $q$select app_hidden.create_webhook_endpoint(
    uuidv7(), uuidv7(), tests.ciphertext(), 'https://example.com/', '{payment.*}')::text$q$);
  perform pg_temp.make_settlement(slug);
  perform pg_temp.make_standing(slug);
  perform pg_temp.make_reconciliation(slug);
  perform pg_temp.make_receipts(slug);
  perform pg_temp.make_merchant(slug);
  perform app_private.velocity_ceilings(
    tests.tenant(slug), array[tests.account(slug, 'ann'), tests.account(slug, 'bob')], now());
end
$$;
select pg_temp.make('acme');
select pg_temp.make('other');
select tests.seal_all();
select app_private.record_anchors(
  'file', (select jsonb_agg(a) from app_private.unanchored_heads('file', 10) a));

-- a is an id of the account ann, c of cash; t of the first transaction of ann; p of a pending one.
create temp table breakage (name text, statements text) on commit drop;
insert into breakage values
  ('schedule_occurrences_that_differ',
    'update payment_schedules set amount = 4 where tenant_id = :tenant and status = ''ended'''),
  ('schedule_occurrences_that_differ',
    'update schedule_occurrences set number = 9 where tenant_id = :tenant and status = ''planned'''),
  ('schedules_past_their_end',
    'update payment_schedules set next_due_at = now() where tenant_id = :tenant and status = ''active'''),
  ('schedules_past_their_end',
    'update payment_schedules set status = ''active'', ended_at = null
      where tenant_id = :tenant and status = ''ended'''),
  ('schedules_past_their_end',
    'update schedule_occurrences set updated_at = now() + interval ''1 hour'' where tenant_id = :tenant
      and status = ''executed'''),
  ('subscription_invoices_that_differ', 'update subscription_invoices set amount = 8 where tenant_id = :tenant'),
  ('subscription_invoices_that_differ',
    'update subscription_invoice_lines set amount = 8 where tenant_id = :tenant'),
  ('subscription_invoices_that_differ', 'delete from subscription_charges where tenant_id = :tenant'),
  ('subscription_invoices_that_differ',
    'update payments p set status = ''submitted'', settlement_transaction_id = null
      from subscription_invoices i
      where i.tenant_id = :tenant and p.tenant_id = i.tenant_id and p.id = i.payment_id'),
  ('subscriptions_that_differ', 'update subscriptions set status = ''past_due'' where tenant_id = :tenant'),
  ('subscriptions_that_differ', 'delete from subscription_invoices where tenant_id = :tenant'),
  ('subscriptions_that_differ',
    'update subscription_invoices set status = ''open'', paid_at = null where tenant_id = :tenant;
      update subscriptions set status = ''trialing'', trial_ends_at = now() where tenant_id = :tenant;
      update subscription_moves set to_status = ''trialing'' where tenant_id = :tenant'),
  ('unbalanced_transactions',
    'update postings set posted_amount = posted_amount + 1 where account_id = :a and version = 1'),
  ('transactions_with_too_few_postings', 'delete from postings where account_id = :a and version = 1'),
  ('orphaned_postings', 'delete from transactions where id = :t'),
  ('orphaned_postings', 'update postings set account_id = uuidv7() where account_id = :a and version = 1'),
  ('postings_in_another_currency', 'update postings set currency = ''USD'' where account_id = :a and version = 1'),
  ('postings_unlike_their_transaction',
    'update postings set effective_at = effective_at - interval ''1 day''
      where account_id = :a and version = 1'),
  ('postings_unlike_their_transaction', 'update transactions set kind = ''pending'' where id = :t'),
  ('broken_posting_chains', 'delete from postings where account_id = :c and version = 2'),
  ('broken_posting_chains',
    'update postings set posted_debits = posted_debits + 1 where account_id = :c and version = 2'),
  ('created_at_not_rising',
    'update postings set created_at = created_at - interval ''1 day'' where account_id = :c and version = 2'),
  ('balances_that_differ', 'update account_balances set posted_debits = posted_debits + 1 where account_id = :c'),
  ('balances_that_differ',
    'delete from postings where account_id = :c
      and version = (select max(version) from postings where account_id = :c)'),
  ('balances_unlike_their_account', 'update account_balances set status = ''frozen'' where account_id = :a'),
  ('balances_unlike_their_account', 'delete from account_balances where account_id = :a'),
  ('exceeded_limits', 'update accounts set minimum_balance = 1000000 where id = :a'),
  ('exceeded_kyc_limits',
    'update kyc_level_limits set maximum_balance = 1, updated_at = ''2020-01-01Z'' where tenant_id = :tenant'),
  ('outflow_windows_that_differ',
    'update app_private.outflow_windows set out_before_day = 1 where account_id = :a'),
  ('pending_transactions_resolved_twice',
    'drop index transactions_pending_id_key;
      insert into transactions (tenant_id, id, kind, pending_id, created_at, effective_at)
      select tenant_id, uuidv7(), kind, pending_id, created_at, effective_at
      from transactions where tenant_id = :tenant and pending_id is not null limit 1'),
  ('transactions_reversed_twice',
    'drop index transactions_reverses_id_key;
      insert into transactions (tenant_id, id, kind, reverses_id, created_at, effective_at)
      select tenant_id, uuidv7(), kind, reverses_id, created_at, effective_at
      from transactions where tenant_id = :tenant and reverses_id is not null'),
  ('duplicated_idempotency_keys',
    'drop index transactions_idempotency_key_key;
      update transactions set idempotency_key = ''k'', fingerprint = ''\x00'' where id = :t'),
  ('resolutions_that_do_not_fit',
    'update transactions set expires_at = created_at + interval ''1 us''
      where tenant_id = :tenant and kind = ''pending'''),
  ('resolutions_that_do_not_fit',
    'update postings set pending_amount = pending_amount - 1
      where transaction_id in (select id from transactions where tenant_id = :tenant and kind = ''void_pending'')'),
  ('reversals_that_do_not_fit',
    'update postings set posted_amount = posted_amount + 1
      where transaction_id in (select id from transactions where tenant_id = :tenant and reverses_id is not null)'),
  ('transactions_in_closed_periods',
    'insert into accounting_periods (tenant_id, name, during, closed_at)
      values (:tenant, ''p'', ''[2020-01-01Z,2021-01-01Z)'', ''2021-01-02Z'');
      update transactions set effective_at = ''2020-06-01Z'' where id = :t'),
  ('postings_on_closed_accounts',
    'update accounts set status = ''closed'', closed_at = created_at - interval ''1 day'' where id = :a'),
  ('account_sets_in_a_circle',
    'insert into account_set_members (tenant_id, account_set_id, member_set_id)
      select tenant_id, member_set_id, account_set_id
      from account_set_members where tenant_id = :tenant'),
  ('open_reservations_that_differ', 'delete from app_private.open_reservations where tenant_id = :tenant'),
  ('open_reservations_that_differ', 'update account_balances set next_expiry_at = null where account_id = :a'),
  ('conversions_that_do_not_add_up', 'update conversions set rate = rate + 0.0001 where tenant_id = :tenant'),
  ('conversions_that_do_not_add_up', 'update app_private.carried_residues set residue = 0 where tenant_id = :tenant'),
  ('sealed_rows_that_differ', 'update transactions set description = ''x'' where id = :t'),
  ('sealed_rows_that_differ', 'update app_private.seal_leaves set ids = ids || ids[1:1],
      leaf_hashes = leaf_hashes || leaf_hashes[1:1] where tenant_id = :tenant'),
  ('seal_blocks_that_differ', 'update seal_blocks set latest_at = now() where tenant_id = :tenant'),
  ('seal_blocks_that_differ',
    'update app_private.seal_anchors set chain_id = gen_random_uuid() where tenant_id = :tenant'),
  ('seal_blocks_that_differ', 'update app_private.seal_chains set number = number + 1
      where tenant_id = :tenant and stream = ''ledger'''),
  ('sealed_rows_that_differ',
    'update app_private.audit_entries set database_user = ''x'' where tenant_id = :tenant'),
  ('audit_retirements_that_differ',
    'insert into app_private.audit_retirements (tenant_id, starts_at, ends_at, entries, retained_months)
      select :tenant, date_trunc(''month'', now(), ''UTC''),
        date_trunc(''month'', now(), ''UTC'') + interval ''1 month'', leaf_count, 12
      from seal_blocks where tenant_id = :tenant and stream = ''audit'''),
  ('audit_retirements_that_differ',
    'insert into app_private.audit_retirements (tenant_id, starts_at, ends_at, entries, retained_months)
      values (:tenant, ''2020-01-01Z'', ''2020-02-01Z'', 1, 12)'),
  ('relayed_transactions_that_are_missing',
    'insert into app_private.relay_cursors (tenant_id, consumer, id) values (:tenant, ''live'', uuidv7())'),
  ('approvals_that_do_not_fit', 'update proposed_postings set amount = amount + 1 where tenant_id = :tenant'),
  ('approvals_that_do_not_fit',
    'update transactions set created_by = null where tenant_id = :tenant and idempotency_key = ''approved'''),
  ('transactions_without_approval', 'delete from proposal_decisions where tenant_id = :tenant'),
  ('transactions_without_approval',
    'update app_private.approval_thresholds set amount = 899 where tenant_id = :tenant'),
  ('merchant_settlements_that_differ', 'update merchant_settlement_lines set gross_amount = gross_amount + 1,
      amount = amount + 1 where tenant_id = :tenant'),
  ('merchant_settlements_that_differ', 'delete from merchant_settlement_lines where tenant_id = :tenant'),
  ('merchant_settlements_that_differ', 'update merchant_settlement_lines set version = version + 100
      where tenant_id = :tenant'),
  ('merchant_settlements_that_differ', 'update merchant_settlements set last_version = last_version + 100,
      number = number + 1 where tenant_id = :tenant'),
  ('merchant_settlements_that_differ', 'update payments p set amount = p.amount + 1
      from merchant_settlements s where s.payment_id = p.id and s.tenant_id = :tenant'),
  ('payment_charges_that_differ', 'update payment_charges set amount = amount + 1
      where tenant_id = :tenant and refunded_number is null'),
  ('payment_charges_that_differ', 'delete from payment_charges where tenant_id = :tenant'),
  ('payment_charges_that_differ', 'update payment_charges set amount = 11
      where tenant_id = :tenant and refunded_number is not null'),
  ('vouchers_that_differ', 'update vouchers set rest_amount = rest_amount - 1 where tenant_id = :tenant'),
  ('vouchers_that_differ', 'delete from vouchers where tenant_id = :tenant and rest_amount = 100'),
  ('vouchers_that_differ', 'update voucher_moves set transaction_id = :t
      where tenant_id = :tenant and kind = ''redeemed'''),
  ('vouchers_that_differ', 'update account_balances b set posted_debits = b.posted_debits + 1
      from voucher_campaigns c where c.liability_account_id = b.account_id and c.tenant_id = :tenant'),
  ('payment_charges_that_differ',
    'update payments set amount = amount + 1 where tenant_id = :tenant and status = ''submitted'''),
  ('payment_charges_that_differ',
    'update payments set debit_account_id = :c where tenant_id = :tenant and status = ''reserved'''),
  ('payments_unlike_their_transactions',
    'update transactions set kind = ''void_pending'' where tenant_id = :tenant
      and id in (select settlement_transaction_id from payments where status = ''settled'')'),
  ('payments_unlike_their_transactions',
    'delete from transactions t using payments p where p.tenant_id = :tenant and p.status = ''failed''
      and t.tenant_id = p.tenant_id and t.pending_id = p.pending_transaction_id'),
  ('payments_unlike_their_transactions',
    'insert into transactions (tenant_id, id, kind, reverses_id, created_at, effective_at)
      select tenant_id, uuidv7(), ''posted'', settlement_transaction_id, now(), now()
      from payments where tenant_id = :tenant and status = ''settled'' and provider_code is not null'),
  ('payments_unlike_their_moves',
    'update payments set status = ''cancelled'' where tenant_id = :tenant and status = ''submitted'''),
  ('payments_unlike_their_moves', 'delete from payment_moves where tenant_id = :tenant and number = 2'),
  ('payments_unlike_their_moves',
    'update payments p set pending_transaction_id = m.transaction_id from payment_moves m
      where p.tenant_id = :tenant and p.provider_code = ''other'' and m.tenant_id = p.tenant_id
        and m.payment_id = p.id and m.number = 2'),
  ('payments_without_approval', 'delete from payment_decisions where tenant_id = :tenant'),
  ('payments_without_approval',
    'update payment_decisions set is_approved = false, reason = ''x'' where tenant_id = :tenant'),
  ('payments_without_approval', 'update payments set needs_approval = false where tenant_id = :tenant'),
  ('refunds_over_their_payment', 'update payments set amount = 15 where tenant_id = :tenant and kind = ''refund'''),
  ('refunds_over_their_payment',
    'update payments set credit_account_id = :c where tenant_id = :tenant and kind = ''refund'''),
  ('tenant_flags_that_differ', 'update tenants set has_thresholds = false where id = :tenant'),
  ('tenant_flags_that_differ', 'delete from kyc_level_limits where tenant_id = :tenant'),
  ('posting_blocks_that_differ',
    'insert into app_hidden.posting_blocks (tenant_id, cost, level, has_entries, account_id, block_no,
      min_effective_at, max_effective_at, debits, credits)
      values (:tenant, 0, 0, false, :a, 0, now(), now(), 1, 0)'),
  ('payments_without_a_job',
    'delete from graphile_worker._private_jobs where key like ''payment:'' || :tenant || '':%'';
      update payments set status = ''submitted'', settlement_transaction_id = null, return_transaction_id = null
      where tenant_id = :tenant and pending_transaction_id is not null'),
  ('payment_attempts_that_do_not_fit',
    'update payment_attempts set status = ''settled'' where tenant_id = :tenant and number = 1'),
  ('payment_attempts_that_do_not_fit',
    'update payment_attempts set number = 9 where tenant_id = :tenant and number = 2'),
  ('payment_attempts_that_do_not_fit',
    'update payments set status = ''reserved'', settlement_transaction_id = null
      where tenant_id = :tenant and status = ''settled'''),
  ('audit_entries_without_partition',
    'insert into app_private.audit_entries (tenant_id, operation, at, table_name)
      values (:tenant, ''read'', ''2001-01-01Z'', ''accounts'')'),
  ('event_streams_with_gaps',
    'update app_private.event_streams set last_number = last_number + 1 where tenant_id = :tenant'),
  ('event_streams_with_gaps', 'update events set number = number + 500 where tenant_id = :tenant and number = 2'),
  ('event_streams_with_gaps', 'delete from events where tenant_id = :tenant and number = 1'),
  ('event_streams_with_gaps', 'delete from app_private.event_streams where tenant_id = :tenant'),
  ('events_of_missing_transactions',
    'update events set kind = ''transaction.posted'' where tenant_id = :tenant and number = 1'),
  ('outbox_rows_left_behind',
    'insert into app_private.outbox (tenant_id, kind, subject_id, created_at)
      values (:tenant, ''payment.settled'', uuidv7(), now() - interval ''61 minutes'')'),
  ('receipt_numbers_with_gaps', 'update receipts set number = 100 where tenant_id = :tenant and number = 2'),
  ('receipt_numbers_with_gaps', 'update receipts set number = null where tenant_id = :tenant and number = 1'),
  ('receipt_numbers_with_gaps',
    'update app_private.receipt_counters set last_number = last_number + 1 where tenant_id = :tenant'),
  ('receipts_that_do_not_fit',
    'update receipts set facts = jsonb_set(facts, ''{amount}'', ''1'') where tenant_id = :tenant and number = 1'),
  ('receipts_that_do_not_fit', 'update receipts set payment_id = uuidv7() where tenant_id = :tenant and number = 1'),
  ('bank_files_that_differ',
    'insert into app_private.bank_files (tenant_id, provider_code, number, settings, item_count, control_sum, sha256)
      values (:tenant, ''none'', 1, ''{}'', 1, 1, pg_catalog.sha256(''''))'),
  ('clearing_accounts_that_differ',
    'update clearing_items set amount = amount + 1 where tenant_id = :tenant and provider_code = ''told'''),
  ('clearing_accounts_that_differ',
    'update reconciled_accounts set closing_balance = closing_balance - 1 where tenant_id = :tenant'),
  ('clearing_accounts_that_differ',
    'delete from clearing_items where tenant_id = :tenant and provider_code = ''told'';
      update entry_positions set matched_amount = matched_amount - 1, is_placed = false
      where tenant_id = :tenant and matched_amount > 0'),
  ('reconciled_amounts_that_differ',
    'update entry_positions set suspense_amount = 29, matched_amount = 1
      where tenant_id = :tenant and suspense_amount > 0'),
  ('reconciled_amounts_that_differ', 'delete from reconciliation_match_lines where tenant_id = :tenant'),
  ('reconciled_amounts_that_differ', 'update clearing_items set flow = ''out'' where tenant_id = :tenant'),
  ('reconciled_amounts_that_differ', 'update suspense_moves set amount = amount + 1 where tenant_id = :tenant'),
  ('statements_that_do_not_add_up', 'delete from statement_entries where tenant_id = :tenant and entry_key = ''b'''),
  ('statements_that_do_not_add_up', 'update statements set opening_balance = 5 where tenant_id = :tenant'),
  ('statements_that_do_not_add_up', 'update statements set closing_balance = 5 where tenant_id = :tenant'),
  ('suspense_accounts_that_differ',
    'update entry_positions set suspense_amount = suspense_amount - 1, matched_amount = matched_amount + 1
      where tenant_id = :tenant and suspense_amount > 0'),
  ('suspense_accounts_that_differ',
    'update account_balances b set posted_debits = b.posted_debits + 1
      from reconciled_accounts a where a.suspense_account_id = b.account_id and a.tenant_id = :tenant'),
  ('webhook_positions_out_of_range', 'update webhook_positions set number = number + 500 where tenant_id = :tenant');

select plan((
  (select count(*) from breakage) + 1
  + (select count(*) from pg_class v where v.relnamespace = 'checks'::regnamespace and v.relkind = 'v')
)::integer);

select is(
  tests.as_tenant(tests.tenant('acme'), format(
    'select count(*) from checks.%I where tenant_id = %s', v.relname, tests.tenant('acme'))),
  '0', format('%s is empty on healthy books', v.relname))
from pg_class v where v.relnamespace = 'checks'::regnamespace and v.relkind = 'v' order by v.relname;

-- Break, count what the check tells each tenant through verify_ledger, and take it back.
create function pg_temp.found(name text, statements text) returns text language plpgsql as $$
declare
  v_acme bigint;
  v_other bigint;
  v_statements text := replace(replace(replace(replace(statements,
    ':tenant', tests.tenant('acme')::text),
    ':a', quote_literal(tests.account('acme', 'ann'))),
    ':c', quote_literal(tests.account('acme', 'cash'))),
    ':t', quote_literal((
      select transaction_id from app_public.postings
      where account_id = tests.account('acme', 'ann') and version = 1)));
begin
  perform set_config('session_replication_role', 'replica', true);
  perform set_config('search_path', 'app_public, pg_temp, tap', true);
  execute v_statements;
  perform set_config('session_replication_role', 'origin', true);
  perform tests.become('auditor', tests.tenant('acme'), tests.user_id('otto'));
  select v.violations into v_acme from app_public.verify_ledger() v where v.name = found.name;
  perform tests.become('auditor', tests.tenant('other'), tests.user_id('otto'));
  select sum(v.violations) into v_other from app_public.verify_ledger() v;
  perform tests.become_superuser();
  raise exception using errcode = 'P0099', message = (v_acme > 0) || ' ' || v_other;
exception when sqlstate 'P0099' then
  return sqlerrm;
end
$$;
select is(
  pg_temp.found(b.name, b.statements),
  'true 0',
  format('%s finds it, for its own tenant only: %s', b.name,
    left(regexp_replace(b.statements, '\s+', ' ', 'g'), 60)))
from breakage b;

select is_empty(
  $$select relname::text from pg_class where relnamespace = 'checks'::regnamespace and relkind = 'v'
    except select name from breakage$$,
  'no check is without a breakage that it finds');

select * from finish();
rollback;
