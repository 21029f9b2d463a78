/*
 * The style sheet of the database, executable over its catalog: a new object is covered by itself, and
 * one that is granted to anybody fails until it has its line below.
 */
begin;
select plan(26);

create temp view ours as
select oid, nspname from pg_namespace where nspname in ('app_public', 'app_hidden', 'app_private', 'checks');

create temp view our_tables as
select c.oid, c.oid::regclass::text as name, o.nspname, c.relname, c.relrowsecurity, c.relforcerowsecurity
from pg_class c join ours o on o.oid = c.relnamespace
where c.relkind in ('r', 'p');

-- Those of a tenant: all but what is the same for everyone, and the tenants themselves.
create temp view tenant_tables as
select * from our_tables
where name not in (
  'app_private.audit_retention',
  'app_private.authentication_attempts',
  'app_private.credentials',
  'app_private.encrypted_columns',
  'app_private.invitation_tokens',
  'app_private.kyc_case_moves',
  'app_private.operators',
  'app_private.password_resets',
  'app_private.payment_moves_allowed',
  'app_private.rate_limit_counters',
  'app_private.recovery_codes',
  'app_private.refresh_tokens',
  'app_private.registrations',
  'app_private.second_factors',
  'app_private.security_event_cursor',
  'app_private.security_events',
  'app_private.sessions',
  'app_private.subscription_moves_allowed',
  'app_private.user_contacts',
  'app_private.workers',
  'app_public.chart_template_accounts',
  'app_public.chart_templates',
  'app_public.default_error_policies',
  'app_public.default_notification_templates',
  'app_public.event_kinds',
  'app_public.grantable_permissions',
  'app_public.iso_currencies',
  'app_public.notification_kinds',
  'app_public.permissions',
  'app_public.refusals',
  'app_public.security_event_kinds',
  'app_public.tenants',
  'app_public.users'
);

create temp view our_functions as
select p.*, p.oid::regprocedure::text as signature, o.nspname
from pg_proc p join ours o on o.oid = p.pronamespace;

--------------------------------------------------------------------------------------------------
-- Access

/*
 * Who may do what: privilege, object, roles. `signed-in` is customer, teller, accountant, auditor and
 * admin; `staff` the same without customer. Nothing is granted to any other role but the owner. No write
 * to any table: all writing is done by functions.
 */
create temp table granted (privilege text, object text, roles text) on commit drop;
insert into granted values
  ('execute', 'app_hidden.accept_own_invitation', 'authenticator'),
  ('execute', 'app_hidden.activate_second_factor', 'authenticator'),
  ('execute', 'app_hidden.add_counterparty', 'customer teller accountant admin'),
  ('execute', 'app_hidden.add_statement_entries', 'accountant admin'),
  ('execute', 'app_hidden.api_key_secrets', 'authenticator'),
  ('execute', 'app_hidden.audit_entry_count', 'accountant auditor admin'),
  ('execute', 'app_hidden.audit_leaf_hashes', 'accountant auditor admin'),
  ('execute', 'app_hidden.audit_reading_is_recorded', 'auditor admin operator'),
  ('execute', 'app_hidden.authorize_provider_secret', 'admin'),
  ('execute', 'app_hidden.authorize_reading', 'staff'),
  ('execute', 'app_hidden.authorize_webhooks', 'admin'),
  ('execute', 'app_hidden.balance_of', 'signed-in partner'),
  ('execute', 'app_hidden.begin_import', 'accountant admin'),
  ('execute', 'app_hidden.begin_login', 'authenticator'),
  ('execute', 'app_hidden.begin_reauthentication', 'authenticator'),
  ('execute', 'app_hidden.begin_registration', 'authenticator'),
  ('execute', 'app_hidden.begin_statement', 'accountant admin'),
  ('execute', 'app_hidden.block_hash', 'accountant auditor admin'),
  ('execute', 'app_hidden.canonical_posting', 'accountant auditor admin'),
  ('execute', 'app_hidden.canonical_time', 'staff'),
  ('execute', 'app_hidden.canonical_transaction', 'accountant auditor admin'),
  ('execute', 'app_hidden.change_password', 'authenticator'),
  ('execute', 'app_hidden.compared_anchors', 'accountant auditor admin'),
  ('execute', 'app_hidden.complete_registration', 'authenticator'),
  ('execute', 'app_hidden.complete_statement', 'accountant admin'),
  ('execute', 'app_hidden.confirm_second_factor', 'authenticator'),
  ('execute', 'app_hidden.consumed', 'signed-in'),
  ('execute', 'app_hidden.count_hits', 'anonymous'),
  ('execute', 'app_hidden.counters_at', 'signed-in partner'),
  ('execute', 'app_hidden.create_api_key', 'admin'),
  ('execute', 'app_hidden.create_webhook_endpoint', 'admin'),
  ('execute', 'app_hidden.current_partner_account_ids', 'partner'),
  ('execute', 'app_hidden.current_session_id', 'signed-in anonymous partner operator worker'),
  ('execute', 'app_hidden.current_tenant_id', 'signed-in anonymous partner operator worker'),
  ('execute', 'app_hidden.current_user_account_ids', 'signed-in'),
  ('execute', 'app_hidden.current_user_id', 'signed-in anonymous partner operator worker'),
  ('execute', 'app_hidden.direct_words', 'authenticator'),
  ('execute', 'app_hidden.disable_second_factor', 'authenticator'),
  ('execute', 'app_hidden.due_times', 'signed-in'),
  ('execute', 'app_hidden.end_session', 'authenticator'),
  ('execute', 'app_hidden.enrol_second_factor', 'authenticator'),
  ('execute', 'app_hidden.exported_proof', 'accountant auditor admin'),
  ('execute', 'app_hidden.find_invitation', 'authenticator'),
  ('execute', 'app_hidden.find_open_tenant', 'authenticator'),
  ('execute', 'app_hidden.find_password_reset', 'authenticator'),
  ('execute', 'app_hidden.find_provider_secrets', 'authenticator'),
  ('execute', 'app_hidden.find_registration', 'authenticator'),
  ('execute', 'app_hidden.format_amount', 'signed-in partner worker'),
  ('execute', 'app_hidden.format_amount_of', 'signed-in partner worker'),
  ('execute', 'app_hidden.has_demo_people', 'anonymous'),
  ('execute', 'app_hidden.has_migration', 'anonymous'),
  ('execute', 'app_hidden.has_permission', 'staff'),
  ('execute', 'app_hidden.hasten_kyc_check', 'anonymous'),
  ('execute', 'app_hidden.known_entry_keys', 'accountant admin'),
  ('execute', 'app_hidden.known_statement', 'accountant admin'),
  ('execute', 'app_hidden.kyc_level_at', 'signed-in'),
  ('execute', 'app_hidden.leaf_hash', 'accountant auditor admin'),
  ('execute', 'app_hidden.linked_receipt', 'authenticator'),
  ('execute', 'app_hidden.merkle_level', 'accountant auditor admin'),
  ('execute', 'app_hidden.merkle_root', 'accountant auditor admin'),
  ('execute', 'app_hidden.notification_sample', 'accountant admin'),
  ('execute', 'app_hidden.open_login', 'authenticator'),
  ('execute', 'app_hidden.period_start', 'signed-in'),
  ('execute', 'app_hidden.post_together', 'authenticator'),
  ('execute', 'app_hidden.has_payment_job', 'accountant auditor admin'),
  ('execute', 'app_hidden.posted_as_of', 'signed-in partner'),
  ('execute', 'app_hidden.read_invitation_emails', 'admin'),
  ('execute', 'app_hidden.record_failed_login', 'authenticator'),
  ('execute', 'app_hidden.record_refusals', 'signed-in anonymous partner operator'),
  ('execute', 'app_hidden.refusal_catalog', 'anonymous'),
  ('execute', 'app_hidden.refuse_schedule_times', 'signed-in'),
  ('execute', 'app_hidden.renew_recovery_codes', 'authenticator'),
  ('execute', 'app_hidden.request_password_reset', 'authenticator'),
  ('execute', 'app_hidden.reset_password', 'authenticator'),
  ('execute', 'app_hidden.reveal_customer_detail', 'customer accountant admin'),
  ('execute', 'app_hidden.reveal_kyc_evidence', 'customer accountant admin'),
  ('execute', 'app_hidden.rotate_api_key', 'admin'),
  ('execute', 'app_hidden.rotate_refresh_token', 'authenticator'),
  ('execute', 'app_hidden.rotate_webhook_secret', 'admin'),
  ('execute', 'app_hidden.set_customer_details', 'customer teller admin'),
  ('execute', 'app_hidden.set_payment_provider_secret', 'admin'),
  ('execute', 'app_hidden.set_notification_template', 'accountant admin'),
  ('execute', 'app_hidden.slug_of_tenant', 'auditor admin operator'),
  ('execute', 'app_hidden.submit_kyc_evidence', 'customer teller admin'),
  ('execute', 'app_hidden.subscription_change', 'signed-in'),
  ('execute', 'app_hidden.take_provider_message', 'authenticator'),
  ('execute', 'app_hidden.total_of', 'signed-in partner'),
  ('execute', 'app_hidden.update_webhook_endpoint', 'admin'),
  ('execute', 'app_hidden.use_api_key', 'authenticator'),
  ('execute', 'app_hidden.utc_text', 'accountant auditor admin'),
  ('execute', 'app_hidden.versions_at', 'signed-in partner'),
  ('execute', 'app_private.add_bank_file_item', 'worker'),
  ('execute', 'app_private.bank_file_decimal', 'accountant auditor admin'),
  ('execute', 'app_private.advance_subscription', 'worker'),
  ('execute', 'app_private.bank_file_item', 'worker'),
  ('execute', 'app_private.bank_files_to_close', 'worker'),
  ('execute', 'app_private.bank_files_to_write', 'worker'),
  ('execute', 'app_private.cancel_bank_file_item', 'worker'),
  ('execute', 'app_private.ciphertext_columns', 'worker'),
  ('execute', 'app_private.ciphertext_counts', 'worker'),
  ('execute', 'app_private.close_bank_file', 'worker'),
  ('execute', 'app_private.accounts_to_reconcile', 'worker'),
  ('execute', 'app_private.add_statement_entries', 'worker'),
  ('execute', 'app_private.begin_import', 'worker'),
  ('execute', 'app_private.begin_statement', 'worker'),
  ('execute', 'app_private.collect_clearing_items', 'worker'),
  ('execute', 'app_private.complete_statement', 'worker'),
  ('execute', 'app_private.confirm_found_matches', 'worker'),
  ('execute', 'app_private.add_dead_letter', 'worker'),
  ('execute', 'app_private.apply_provider_answer', 'worker'),
  ('execute', 'app_private.bury_job', 'worker'),
  ('execute', 'app_private.circuit_states', 'worker'),
  ('execute', 'app_private.due_merchants', 'worker'),
  ('execute', 'app_private.execute_schedule', 'worker'),
  ('execute', 'app_private.expire_payments', 'worker'),
  ('execute', 'app_private.expire_pending', 'worker'),
  ('execute', 'app_private.fan_out_notifications', 'worker'),
  ('execute', 'app_private.expire_vouchers', 'worker'),
  ('execute', 'app_private.find_matches', 'worker'),
  ('execute', 'app_private.fold_postings', 'worker'),
  ('execute', 'app_private.items_of_bank_file', 'worker'),
  ('execute', 'app_private.kyc_check_evidence', 'worker'),
  ('execute', 'app_private.make_audit_partitions', 'worker'),
  ('execute', 'app_private.next_due_schedule', 'worker'),
  ('execute', 'app_private.next_due_subscription', 'worker'),
  ('execute', 'app_private.next_schedule_due_at', 'worker'),
  ('execute', 'app_private.next_schedule_to_plan', 'worker'),
  ('execute', 'app_private.next_subscription_action_at', 'worker'),
  ('execute', 'app_private.plan_occurrences', 'worker'),
  ('execute', 'app_private.process_provider_message', 'worker'),
  ('execute', 'app_private.known_entry_keys', 'worker'),
  ('execute', 'app_private.known_statement', 'worker'),
  ('execute', 'app_private.payments_to_return', 'worker'),
  ('execute', 'app_private.payments_to_settle', 'worker'),
  ('execute', 'app_private.place_entries', 'worker'),
  ('execute', 'app_private.forget_worker', 'worker'),
  ('execute', 'app_private.open_dead_letters', 'worker'),
  ('execute', 'app_private.providers_to_report', 'worker'),
  ('execute', 'app_private.next_notification_at', 'worker'),
  ('execute', 'app_private.prune_api_keys', 'worker'),
  ('execute', 'app_private.prune_events', 'worker'),
  ('execute', 'app_private.prune_providers', 'worker'),
  ('execute', 'app_private.prune_webhooks', 'worker'),
  ('execute', 'app_private.purge_sessions', 'worker'),
  ('execute', 'app_private.put_off_webhook_job', 'worker'),
  ('execute', 'app_private.read_payment_provider', 'worker'),
  ('execute', 'app_private.readd_lost_payment_jobs', 'worker'),
  ('execute', 'app_private.record_anchors', 'worker'),
  ('execute', 'app_private.record_bank_file_hash', 'worker'),
  ('execute', 'app_private.record_bank_file_written', 'worker'),
  ('execute', 'app_private.record_kyc_check', 'worker'),
  ('execute', 'app_private.record_reconciliation_reports', 'worker'),
  ('execute', 'app_private.record_settlement_answer', 'worker'),
  ('execute', 'app_private.record_settlement_error', 'worker'),
  ('execute', 'app_private.receipt_for_mail', 'worker'),
  ('execute', 'app_private.receipts_without_pdf', 'worker'),
  ('execute', 'app_private.record_notification_failed', 'worker'),
  ('execute', 'app_private.record_notification_sent', 'worker'),
  ('execute', 'app_private.record_receipt_pdf', 'worker'),
  ('execute', 'app_private.record_webhook_delivery', 'worker'),
  ('execute', 'app_private.relay_events', 'worker'),
  ('execute', 'app_private.relay_live', 'worker'),
  ('execute', 'app_private.release_webhook_endpoint', 'worker'),
  ('execute', 'app_private.remove_old_rate_limit_counters', 'worker'),
  ('execute', 'app_private.replace_ciphertexts', 'worker'),
  ('execute', 'app_private.requeue_notification', 'worker'),
  ('execute', 'app_private.retire_audit_partition', 'worker'),
  ('execute', 'app_private.return_by_statement', 'worker'),
  ('execute', 'app_private.seal', 'worker'),
  ('execute', 'app_private.see_worker', 'worker'),
  ('execute', 'app_private.set_audit_retention', 'worker'),
  ('execute', 'app_private.settle_by_statement', 'worker'),
  ('execute', 'app_private.settle_merchant', 'worker'),
  ('execute', 'app_private.stale_ciphertexts', 'worker'),
  ('execute', 'app_private.take_due_kyc_check', 'worker'),
  ('execute', 'app_private.take_due_notification', 'worker'),
  ('execute', 'app_private.take_security_events', 'worker'),
  ('execute', 'app_private.take_settlement', 'worker'),
  ('execute', 'app_private.take_webhook_delivery', 'worker'),
  ('execute', 'app_private.unanchored_heads', 'worker'),
  ('execute', 'app_private.wake_idle_webhooks', 'worker'),
  ('execute', 'app_private.workers_not_seen', 'worker'),
  ('execute', 'app_public.account', 'signed-in partner'),
  ('execute', 'app_public.account_by_code', 'signed-in partner'),
  ('execute', 'app_public.account_sets_balances', 'staff'),
  ('execute', 'app_public.accounts_balance', 'signed-in partner'),
  ('execute', 'app_public.accounts_maximum_balance_formatted', 'signed-in partner'),
  ('execute', 'app_public.accounts_minimum_balance_formatted', 'signed-in partner'),
  ('execute', 'app_public.accounts_statement', 'signed-in partner'),
  ('execute', 'app_public.accounts_subtree_balances', 'signed-in partner'),
  ('execute', 'app_public.add_account_to_set', 'accountant admin'),
  ('execute', 'app_public.add_holidays', 'accountant admin'),
  ('execute', 'app_public.add_set_to_set', 'accountant admin'),
  ('execute', 'app_public.allocate', 'signed-in partner'),
  ('execute', 'app_public.api_key', 'auditor admin'),
  ('execute', 'app_public.api_keys', 'auditor admin'),
  ('execute', 'app_public.apply_template', 'accountant admin'),
  ('execute', 'app_public.approve_payment', 'teller accountant admin'),
  ('execute', 'app_public.approve_proposal', 'teller accountant admin'),
  ('execute', 'app_public.archive_counterparty', 'customer teller accountant admin'),
  ('execute', 'app_public.archive_plan', 'accountant admin'),
  ('execute', 'app_public.archive_webhook_endpoint', 'admin'),
  ('execute', 'app_public.balance_available_formatted', 'signed-in partner'),
  ('execute', 'app_public.balance_pending_formatted', 'signed-in partner'),
  ('execute', 'app_public.balance_posted_formatted', 'signed-in partner'),
  ('execute', 'app_public.balance_sheet', 'staff'),
  ('execute', 'app_public.cancel_subscription', 'customer teller accountant admin'),
  ('execute', 'app_public.cancel_voucher', 'accountant admin'),
  ('execute', 'app_public.cancel_voucher_issue', 'accountant admin'),
  ('execute', 'app_public.cancel_payment', 'customer teller accountant admin partner'),
  ('execute', 'app_public.change_member_role', 'admin'),
  ('execute', 'app_public.change_subscription', 'customer teller accountant admin'),
  ('execute', 'app_public.close_account', 'accountant admin'),
  ('execute', 'app_public.close_period', 'accountant admin'),
  ('execute', 'app_public.confirm_match', 'accountant admin'),
  ('execute', 'app_public.convert_amount', 'signed-in partner'),
  ('execute', 'app_public.counterparty', 'signed-in'),
  ('execute', 'app_public.create_account_set', 'accountant admin'),
  ('execute', 'app_public.create_currency', 'accountant admin'),
  ('execute', 'app_public.create_holiday_calendar', 'accountant admin'),
  ('execute', 'app_public.create_payment', 'customer teller accountant admin partner'),
  ('execute', 'app_public.create_plan', 'accountant admin'),
  ('execute', 'app_public.create_tenant', 'operator'),
  ('execute', 'app_public.create_voucher_campaign', 'accountant admin'),
  ('execute', 'app_public.currency', 'signed-in partner'),
  ('execute', 'app_public.current_tenant', 'signed-in partner'),
  ('execute', 'app_public.decide_kyc_case', 'accountant admin'),
  ('execute', 'app_public.disable_member', 'admin'),
  ('execute', 'app_public.disable_user', 'operator'),
  ('execute', 'app_public.disable_webhook_endpoint', 'admin'),
  ('execute', 'app_public.discard_dead_letter', 'accountant admin'),
  ('execute', 'app_public.enable_member', 'admin'),
  ('execute', 'app_public.enable_user', 'operator'),
  ('execute', 'app_public.enable_webhook_endpoint', 'admin'),
  ('execute', 'app_public.end_fee_schedule', 'accountant admin'),
  ('execute', 'app_public.end_schedule', 'customer teller accountant admin'),
  ('execute', 'app_public.end_split_rule', 'accountant admin'),
  ('execute', 'app_public.freeze_account', 'teller accountant admin'),
  ('execute', 'app_public.grant_permission', 'admin'),
  ('execute', 'app_public.inclusion_proof', 'staff'),
  ('execute', 'app_public.income_statement', 'staff'),
  ('execute', 'app_public.invite_admin', 'operator'),
  ('execute', 'app_public.invite_member', 'admin'),
  ('execute', 'app_public.issue_receipt', 'customer teller accountant admin'),
  ('execute', 'app_public.issue_vouchers', 'accountant admin'),
  ('execute', 'app_public.kyc_case', 'signed-in'),
  ('execute', 'app_public.kyc_profile', 'signed-in'),
  ('execute', 'app_public.kyc_profiles_current_level', 'signed-in'),
  ('execute', 'app_public.ledger_head', 'staff'),
  ('execute', 'app_public.mark_notifications_read', 'signed-in'),
  ('execute', 'app_public.match_by_hand', 'accountant admin'),
  ('execute', 'app_public.open_account', 'teller accountant admin partner'),
  ('execute', 'app_public.open_kyc_case', 'customer teller admin'),
  ('execute', 'app_public.open_period', 'accountant admin'),
  ('execute', 'app_public.open_proposals', 'staff'),
  ('execute', 'app_public.own_notifications', 'signed-in'),
  ('execute', 'app_public.own_second_factor', 'signed-in operator'),
  ('execute', 'app_public.own_sessions', 'signed-in operator'),
  ('execute', 'app_public.pause_schedule', 'customer teller accountant admin'),
  ('execute', 'app_public.pause_subscription', 'customer teller accountant admin'),
  ('execute', 'app_public.payment', 'signed-in partner'),
  ('execute', 'app_public.payment_by_idempotency_key', 'signed-in partner'),
  ('execute', 'app_public.payments_amount_formatted', 'signed-in partner'),
  ('execute', 'app_public.payments_refundable_amount', 'signed-in partner'),
  ('execute', 'app_public.post_conversion', 'teller accountant admin partner'),
  ('execute', 'app_public.post_pending_transaction', 'teller accountant admin partner'),
  ('execute', 'app_public.post_transaction', 'teller accountant admin partner'),
  ('execute', 'app_public.post_transactions', 'teller accountant admin partner'),
  ('execute', 'app_public.postings_amount', 'signed-in partner'),
  ('execute', 'app_public.postings_amount_formatted', 'signed-in partner'),
  ('execute', 'app_public.preview_subscription_change', 'signed-in'),
  ('execute', 'app_public.propose_conversion', 'teller accountant admin'),
  ('execute', 'app_public.propose_transaction', 'teller accountant admin'),
  ('execute', 'app_public.propose_write_off', 'accountant admin'),
  ('execute', 'app_public.proposed_postings_amount_formatted', 'staff'),
  ('execute', 'app_public.quote_payment', 'customer teller accountant admin partner'),
  ('execute', 'app_public.rebuild_balances', 'admin'),
  ('execute', 'app_public.receipt', 'signed-in'),
  ('execute', 'app_public.receipts_pdf_sha256', 'signed-in'),
  ('execute', 'app_public.redeem_voucher', 'customer teller accountant admin'),
  ('execute', 'app_public.redeliver_webhook_events', 'admin'),
  ('execute', 'app_public.reject_payment', 'teller accountant admin'),
  ('execute', 'app_public.reconciled_accounts_figures', 'accountant auditor admin'),
  ('execute', 'app_public.reconciliation_break_amount_formatted', 'accountant auditor admin'),
  ('execute', 'app_public.reconciliation_break_list', 'accountant auditor admin'),
  ('execute', 'app_public.reconciliation_break_totals', 'accountant auditor admin'),
  ('execute', 'app_public.reconciliation_report', 'accountant auditor admin'),
  ('execute', 'app_public.reject_match', 'accountant admin'),
  ('execute', 'app_public.reject_proposal', 'teller accountant admin'),
  ('execute', 'app_public.remove_account_from_set', 'accountant admin'),
  ('execute', 'app_public.remove_holiday', 'accountant admin'),
  ('execute', 'app_public.remove_routing_rule', 'accountant admin'),
  ('execute', 'app_public.remove_set_from_set', 'accountant admin'),
  ('execute', 'app_public.report_row_amount_formatted', 'staff'),
  ('execute', 'app_public.rerun_dead_letter', 'accountant admin'),
  ('execute', 'app_public.reset_circuit_breaker', 'accountant admin'),
  ('execute', 'app_public.reset_notification_template', 'accountant admin'),
  ('execute', 'app_public.resulting_balance_available_formatted', 'signed-in partner'),
  ('execute', 'app_public.resulting_balance_pending_formatted', 'signed-in partner'),
  ('execute', 'app_public.resulting_balance_posted_formatted', 'signed-in partner'),
  ('execute', 'app_public.resume_schedule', 'customer teller accountant admin'),
  ('execute', 'app_public.resume_subscription', 'customer teller accountant admin'),
  ('execute', 'app_public.resume_tenant', 'operator'),
  ('execute', 'app_public.reverse_transaction', 'accountant admin'),
  ('execute', 'app_public.revoke_api_key', 'admin'),
  ('execute', 'app_public.revoke_invitation', 'admin'),
  ('execute', 'app_public.revoke_member_sessions', 'admin'),
  ('execute', 'app_public.revoke_other_sessions', 'signed-in operator'),
  ('execute', 'app_public.revoke_permission', 'admin'),
  ('execute', 'app_public.revoke_session', 'signed-in operator'),
  ('execute', 'app_public.schedule_payment', 'customer teller accountant admin'),
  ('execute', 'app_public.seal_blocks_header', 'staff'),
  ('execute', 'app_public.send_test_event', 'admin'),
  ('execute', 'app_public.set_account_limits', 'accountant admin'),
  ('execute', 'app_public.set_exchange_rate', 'accountant admin'),
  ('execute', 'app_public.set_fee_schedule', 'accountant admin'),
  ('execute', 'app_public.set_kyc_level_limit', 'accountant admin'),
  ('execute', 'app_public.set_merchant', 'accountant admin'),
  ('execute', 'app_public.set_split_rule', 'accountant admin'),
  ('execute', 'app_public.set_payment_provider', 'admin'),
  ('execute', 'app_public.set_payment_provider_account', 'admin'),
  ('execute', 'app_public.set_matching_rule', 'accountant admin'),
  ('execute', 'app_public.set_payment_error_policy', 'accountant admin'),
  ('execute', 'app_public.set_routing_rule', 'accountant admin'),
  ('execute', 'app_public.set_settlement_settings', 'accountant admin'),
  ('execute', 'app_public.set_notification_preference', 'signed-in'),
  ('execute', 'app_public.set_notification_profile', 'signed-in'),
  ('execute', 'app_public.set_notification_rule', 'accountant admin'),
  ('execute', 'app_public.set_notification_settings', 'accountant admin'),
  ('execute', 'app_public.set_transaction_threshold', 'admin'),
  ('execute', 'app_public.set_vat_rate', 'accountant admin'),
  ('execute', 'app_public.skip_occurrence', 'customer teller accountant admin'),
  ('execute', 'app_public.start_kyc_review', 'customer teller admin'),
  ('execute', 'app_public.statement', 'accountant auditor admin'),
  ('execute', 'app_public.statement_entries_amount_formatted', 'accountant auditor admin'),
  ('execute', 'app_public.statement_entries_status', 'accountant auditor admin'),
  ('execute', 'app_public.statement_line_amount_formatted', 'signed-in partner'),
  ('execute', 'app_public.statement_line_posted_formatted', 'signed-in partner'),
  ('execute', 'app_public.subscribe', 'customer teller accountant admin'),
  ('execute', 'app_public.suspend_tenant', 'operator'),
  ('execute', 'app_public.total_balance_balance_formatted', 'signed-in partner'),
  ('execute', 'app_public.transaction', 'signed-in partner'),
  ('execute', 'app_public.transaction_by_idempotency_key', 'signed-in partner'),
  ('execute', 'app_public.transaction_proposal', 'staff'),
  ('execute', 'app_public.transaction_proposals_status', 'staff'),
  ('execute', 'app_public.transactions_proposal', 'staff'),
  ('execute', 'app_public.transactions_status', 'signed-in partner'),
  ('execute', 'app_public.trial_balance', 'staff'),
  ('execute', 'app_public.trial_balance_row_balance_formatted', 'staff'),
  ('execute', 'app_public.trial_balance_row_credits_formatted', 'staff'),
  ('execute', 'app_public.trial_balance_row_debits_formatted', 'staff'),
  ('execute', 'app_public.trip_circuit_breaker', 'accountant admin'),
  ('execute', 'app_public.unfreeze_account', 'accountant admin'),
  ('execute', 'app_public.unread_notification_count', 'signed-in'),
  ('execute', 'app_public.update_account', 'accountant admin'),
  ('execute', 'app_public.update_counterparty', 'customer teller accountant admin'),
  ('execute', 'app_public.update_tenant_settings', 'admin'),
  ('execute', 'app_public.verify_ledger', 'accountant auditor admin'),
  ('execute', 'app_public.void_pending_transaction', 'teller accountant admin partner'),
  ('execute', 'app_public.withdraw_proposal', 'teller accountant admin'),
  ('select', 'app_hidden.audit_retirements', 'accountant auditor admin'),
  ('select', 'app_hidden.customer_details', 'signed-in'),
  ('select', 'app_hidden.exported_audit_entries', 'auditor admin'),
  ('select', 'app_hidden.exported_blocks', 'accountant auditor admin'),
  ('select', 'app_hidden.exported_transactions', 'accountant auditor admin'),
  ('select', 'app_hidden.ledger_leaves', 'accountant auditor admin'),
  ('select', 'app_hidden.open_reservations', 'signed-in partner'),
  ('select', 'app_hidden.posting_block_entries', 'signed-in partner'),
  ('select', 'app_hidden.posting_blocks', 'signed-in partner'),
  ('select', 'app_hidden.retired_blocks', 'accountant auditor admin'),
  ('select', 'app_hidden.seal_chains', 'accountant auditor admin'),
  ('select', 'app_hidden.sealed_leaves', 'accountant auditor admin'),
  ('select', 'app_private.approval_thresholds', 'accountant auditor admin'),
  ('select', 'app_private.audit_entries', 'auditor admin operator'),
  ('select', 'app_private.audit_entries_default.at', 'accountant auditor admin'),
  ('select', 'app_private.audit_entries_default.id', 'accountant auditor admin'),
  ('select', 'app_private.audit_entries_default.tenant_id', 'accountant auditor admin'),
  ('select', 'app_private.audit_retirements', 'accountant auditor admin'),
  ('select', 'app_private.bank_file_items.amount', 'accountant auditor admin'),
  ('select', 'app_private.bank_file_items.exponent', 'accountant auditor admin'),
  ('select', 'app_private.bank_file_items.file_number', 'accountant auditor admin'),
  ('select', 'app_private.bank_file_items.provider_code', 'accountant auditor admin'),
  ('select', 'app_private.bank_file_items.tenant_id', 'accountant auditor admin'),
  ('select', 'app_private.bank_files.control_sum', 'accountant auditor admin'),
  ('select', 'app_private.bank_files.item_count', 'accountant auditor admin'),
  ('select', 'app_private.bank_files.number', 'accountant auditor admin'),
  ('select', 'app_private.bank_files.provider_code', 'accountant auditor admin'),
  ('select', 'app_private.bank_files.sha256', 'accountant auditor admin'),
  ('select', 'app_private.bank_files.tenant_id', 'accountant auditor admin'),
  ('select', 'app_private.carried_residues', 'accountant auditor admin'),
  ('select', 'app_private.event_streams', 'accountant auditor admin'),
  ('select', 'app_private.open_reservations', 'signed-in partner'),
  ('select', 'app_private.outbox', 'accountant auditor admin'),
  ('select', 'app_private.outflow_windows', 'accountant auditor admin'),
  ('select', 'app_private.receipt_counters', 'accountant auditor admin'),
  ('select', 'app_private.relay_cursors', 'accountant auditor admin'),
  ('select', 'app_private.seal_anchors', 'accountant auditor admin'),
  ('select', 'app_private.seal_chains', 'accountant auditor admin'),
  ('select', 'app_private.seal_leaves', 'accountant auditor admin'),
  ('select', 'app_private.security_events', 'auditor admin operator'),
  ('select', 'app_public.account_balances', 'signed-in partner'),
  ('select', 'app_public.account_set_members', 'staff'),
  ('select', 'app_public.account_sets', 'staff'),
  ('select', 'app_public.accounting_periods', 'staff'),
  ('select', 'app_public.accounts', 'signed-in partner'),
  ('select', 'app_public.audit_entries', 'auditor admin operator'),
  ('select', 'app_public.chart_template_accounts', 'signed-in operator'),
  ('select', 'app_public.chart_templates', 'signed-in operator'),
  ('select', 'app_public.clearing_items', 'accountant auditor admin'),
  ('select', 'app_public.circuit_breakers', 'staff'),
  ('select', 'app_public.closing_transactions', 'staff'),
  ('select', 'app_public.conversions', 'signed-in partner'),
  ('select', 'app_public.counterparties', 'signed-in'),
  ('select', 'app_public.currencies', 'signed-in partner'),
  ('select', 'app_public.entry_positions', 'accountant auditor admin'),
  ('select', 'app_public.dead_letters', 'staff'),
  ('select', 'app_public.default_error_policies', 'staff'),
  ('select', 'app_public.default_notification_templates', 'signed-in'),
  ('select', 'app_public.event_kinds', 'signed-in'),
  ('select', 'app_public.events', 'accountant auditor admin'),
  ('select', 'app_public.exchange_rates', 'signed-in partner'),
  ('select', 'app_public.fee_schedules', 'staff'),
  ('select', 'app_public.fee_tiers', 'staff'),
  ('select', 'app_public.grantable_permissions', 'signed-in partner operator'),
  ('select', 'app_public.holiday_calendars', 'signed-in'),
  ('select', 'app_public.holidays', 'signed-in'),
  ('select', 'app_public.invitations', 'auditor admin'),
  ('select', 'app_public.iso_currencies', 'signed-in anonymous partner'),
  ('select', 'app_public.kyc_cases', 'signed-in'),
  ('select', 'app_public.kyc_checks', 'staff'),
  ('select', 'app_public.kyc_decisions', 'staff'),
  ('select', 'app_public.kyc_evidence', 'signed-in'),
  ('select', 'app_public.kyc_level_limits', 'signed-in'),
  ('select', 'app_public.kyc_profiles', 'signed-in'),
  ('select', 'app_public.matching_rules', 'accountant auditor admin'),
  ('select', 'app_public.memberships', 'signed-in partner'),
  ('select', 'app_public.merchant_settlement_lines', 'signed-in'),
  ('select', 'app_public.merchant_settlements', 'signed-in'),
  ('select', 'app_public.merchants', 'signed-in'),
  ('select', 'app_public.payment_charges', 'signed-in'),
  ('select', 'app_public.payment_decisions', 'signed-in partner'),
  ('select', 'app_public.payment_attempts', 'signed-in partner'),
  ('select', 'app_public.payment_error_policies', 'staff'),
  ('select', 'app_public.notification_kinds', 'signed-in'),
  ('select', 'app_public.notification_preferences', 'signed-in'),
  ('select', 'app_public.notification_profiles', 'signed-in'),
  ('select', 'app_public.notification_rules', 'staff'),
  ('select', 'app_public.notification_settings', 'signed-in'),
  ('select', 'app_public.notification_templates', 'staff'),
  ('select', 'app_public.notifications', 'signed-in'),
  ('select', 'app_public.payment_moves', 'signed-in partner'),
  ('select', 'app_public.payment_provider_accounts', 'staff'),
  ('select', 'app_public.payment_providers', 'signed-in partner'),
  ('select', 'app_public.payment_schedules', 'signed-in'),
  ('select', 'app_public.payments', 'signed-in partner'),
  ('select', 'app_public.permissions', 'signed-in partner operator'),
  ('select', 'app_public.plan_dunning_steps', 'signed-in'),
  ('select', 'app_public.plans', 'signed-in'),
  ('select', 'app_public.postings', 'signed-in partner'),
  ('select', 'app_public.proposal_decisions', 'staff'),
  ('select', 'app_public.proposed_conversions', 'staff'),
  ('select', 'app_public.proposed_postings', 'staff'),
  ('select', 'app_public.receipt_pdfs', 'signed-in'),
  ('select', 'app_public.receipts', 'signed-in'),
  ('select', 'app_public.reconciled_accounts', 'accountant auditor admin'),
  ('select', 'app_public.reconciliation_match_lines', 'accountant auditor admin'),
  ('select', 'app_public.reconciliation_matches', 'accountant auditor admin'),
  ('select', 'app_public.reconciliation_reports', 'accountant auditor admin'),
  ('select', 'app_public.refusals', 'signed-in anonymous partner'),
  ('select', 'app_public.role_permissions', 'signed-in partner'),
  ('select', 'app_public.routing_rules', 'staff'),
  ('select', 'app_public.schedule_occurrences', 'signed-in'),
  ('select', 'app_public.seal_blocks', 'staff'),
  ('select', 'app_public.security_event_kinds', 'auditor admin operator'),
  ('select', 'app_public.security_events', 'auditor admin operator'),
  ('select', 'app_public.split_rules', 'staff'),
  ('select', 'app_public.split_shares', 'staff'),
  ('select', 'app_public.statement_entries', 'accountant auditor admin'),
  ('select', 'app_public.statements', 'accountant auditor admin'),
  ('select', 'app_public.subscription_charges', 'signed-in'),
  ('select', 'app_public.subscription_invoice_lines', 'signed-in'),
  ('select', 'app_public.subscription_invoices', 'signed-in'),
  ('select', 'app_public.subscription_moves', 'signed-in'),
  ('select', 'app_public.subscriptions', 'signed-in'),
  ('select', 'app_public.suspense_moves', 'accountant auditor admin'),
  ('select', 'app_public.settlement_settings', 'staff'),
  ('select', 'app_public.tenants', 'signed-in partner operator'),
  ('select', 'app_public.transaction_proposals', 'staff'),
  ('select', 'app_public.transaction_thresholds', 'staff'),
  ('select', 'app_public.transactions', 'signed-in partner'),
  ('select', 'app_public.users', 'signed-in partner operator'),
  ('select', 'app_public.vat_rates', 'staff'),
  ('select', 'app_public.voucher_campaigns', 'staff'),
  ('select', 'app_public.voucher_issues', 'staff'),
  ('select', 'app_public.voucher_moves', 'staff'),
  ('select', 'app_public.vouchers', 'staff'),
  ('select', 'app_public.webhook_deliveries', 'auditor admin'),
  ('select', 'app_public.webhook_endpoints', 'auditor admin'),
  ('select', 'app_public.webhook_positions', 'accountant auditor admin'),
  ('select', 'app_public.write_offs', 'accountant auditor admin'),
  ('select', 'checks.account_sets_in_a_circle', 'accountant auditor admin'),
  ('select', 'checks.approvals_that_do_not_fit', 'accountant auditor admin'),
  ('select', 'checks.audit_entries_without_partition', 'accountant auditor admin'),
  ('select', 'checks.audit_retirements_that_differ', 'accountant auditor admin'),
  ('select', 'checks.balances_that_differ', 'accountant auditor admin'),
  ('select', 'checks.balances_unlike_their_account', 'accountant auditor admin'),
  ('select', 'checks.bank_files_that_differ', 'accountant auditor admin'),
  ('select', 'checks.broken_posting_chains', 'accountant auditor admin'),
  ('select', 'checks.clearing_accounts_that_differ', 'accountant auditor admin'),
  ('select', 'checks.conversions_that_do_not_add_up', 'accountant auditor admin'),
  ('select', 'checks.created_at_not_rising', 'accountant auditor admin'),
  ('select', 'checks.duplicated_idempotency_keys', 'accountant auditor admin'),
  ('select', 'checks.event_streams_with_gaps', 'accountant auditor admin'),
  ('select', 'checks.events_of_missing_transactions', 'accountant auditor admin'),
  ('select', 'checks.exceeded_kyc_limits', 'accountant auditor admin'),
  ('select', 'checks.exceeded_limits', 'accountant auditor admin'),
  ('select', 'checks.merchant_settlements_that_differ', 'accountant auditor admin'),
  ('select', 'checks.open_reservations_that_differ', 'accountant auditor admin'),
  ('select', 'checks.orphaned_postings', 'accountant auditor admin'),
  ('select', 'checks.outbox_rows_left_behind', 'accountant auditor admin'),
  ('select', 'checks.outflow_windows_that_differ', 'accountant auditor admin'),
  ('select', 'checks.payment_charges_that_differ', 'accountant auditor admin'),
  ('select', 'checks.payments_unlike_their_moves', 'accountant auditor admin'),
  ('select', 'checks.payments_unlike_their_transactions', 'accountant auditor admin'),
  ('select', 'checks.payments_without_approval', 'accountant auditor admin'),
  ('select', 'checks.payment_attempts_that_do_not_fit', 'accountant auditor admin'),
  ('select', 'checks.payments_without_a_job', 'accountant auditor admin'),
  ('select', 'checks.pending_transactions_resolved_twice', 'accountant auditor admin'),
  ('select', 'checks.posting_blocks_that_differ', 'accountant auditor admin'),
  ('select', 'checks.postings_in_another_currency', 'accountant auditor admin'),
  ('select', 'checks.postings_on_closed_accounts', 'accountant auditor admin'),
  ('select', 'checks.postings_unlike_their_transaction', 'accountant auditor admin'),
  ('select', 'checks.receipt_numbers_with_gaps', 'accountant auditor admin'),
  ('select', 'checks.receipts_that_do_not_fit', 'accountant auditor admin'),
  ('select', 'checks.refunds_over_their_payment', 'accountant auditor admin'),
  ('select', 'checks.reconciled_amounts_that_differ', 'accountant auditor admin'),
  ('select', 'checks.relayed_transactions_that_are_missing', 'accountant auditor admin'),
  ('select', 'checks.resolutions_that_do_not_fit', 'accountant auditor admin'),
  ('select', 'checks.reversals_that_do_not_fit', 'accountant auditor admin'),
  ('select', 'checks.schedule_occurrences_that_differ', 'accountant auditor admin'),
  ('select', 'checks.schedules_past_their_end', 'accountant auditor admin'),
  ('select', 'checks.seal_blocks_that_differ', 'accountant auditor admin'),
  ('select', 'checks.sealed_rows_that_differ', 'accountant auditor admin'),
  ('select', 'checks.subscription_invoices_that_differ', 'accountant auditor admin'),
  ('select', 'checks.subscriptions_that_differ', 'accountant auditor admin'),
  ('select', 'checks.tenant_flags_that_differ', 'accountant auditor admin'),
  ('select', 'checks.statements_that_do_not_add_up', 'accountant auditor admin'),
  ('select', 'checks.suspense_accounts_that_differ', 'accountant auditor admin'),
  ('select', 'checks.transactions_in_closed_periods', 'accountant auditor admin'),
  ('select', 'checks.transactions_reversed_twice', 'accountant auditor admin'),
  ('select', 'checks.transactions_with_too_few_postings', 'accountant auditor admin'),
  ('select', 'checks.transactions_without_approval', 'accountant auditor admin'),
  ('select', 'checks.unbalanced_transactions', 'accountant auditor admin'),
  ('select', 'checks.vouchers_that_differ', 'accountant auditor admin'),
  ('select', 'checks.webhook_positions_out_of_range', 'accountant auditor admin'),
  ('usage', 'app_hidden', 'signed-in anonymous partner operator worker authenticator'),
  ('usage', 'app_private', 'worker'),
  ('usage', 'app_public', 'signed-in anonymous partner operator worker'),
  ('usage', 'checks', 'accountant auditor admin');

create temp view granted_roles as
select g.privilege, g.object, 'tallystick_' || r.role as role
from granted g
cross join lateral regexp_split_to_table(
  replace(replace(g.roles, 'signed-in', 'customer staff'), 'staff', 'teller accountant auditor admin'), ' '
) as r (role);

create temp view actual_grants as
select lower(a.privilege_type) as privilege, a.object, coalesce(r.rolname, 'PUBLIC') as role
from (
  select (aclexplode(c.relacl)).*, c.oid::regclass::text as object
  from pg_class c join ours o on o.oid = c.relnamespace
  union all
  select (aclexplode(t.attacl)).*, c.name || '.' || t.attname
  from pg_attribute t join our_tables c on c.oid = t.attrelid
  union all
  select (aclexplode(coalesce(f.proacl, acldefault('f', f.proowner)))).*, f.nspname || '.' || f.proname
  from our_functions f
  union all
  select (aclexplode(n.nspacl)).*, n.nspname
  from pg_namespace n join ours o on o.oid = n.oid
) a
left join pg_roles r on r.oid = a.grantee
where r.rolname is distinct from 'tallystick_owner';

select is_empty(
  'select * from actual_grants where role <> ''PUBLIC'' except select privilege, object, role from granted_roles',
  'nothing is granted that is not in the list');
select is_empty(
  'select privilege, object, role from granted_roles except select * from actual_grants',
  'everything in the list is granted');
select is(
  (select string_agg(privilege || ' ' || object, ', ') from actual_grants where role = 'PUBLIC'),
  'execute app_private.refuse_amount',
  'PUBLIC executes nothing but what the check of amounts needs');
select is_empty(
  'select name from our_tables where not (relrowsecurity and relforcerowsecurity)',
  'row level security is enabled and forced on every table');
select is_empty(
  $$select name from our_tables t where not exists (
    select from pg_policy p where p.polrelid = t.oid and p.polname = 'owner_all'
    and p.polroles = array['tallystick_owner'::regrole::oid] and pg_get_expr(p.polqual, p.polrelid) = 'true')$$,
  'the owner''s functions work on every table');
select is_empty(
  $$select t.name, p.polname from pg_policy p join our_tables t on t.oid = p.polrelid
    where p.polname <> 'owner_all' and (p.polcmd <> 'r' or p.polname !~ '^select_[a-z_]+$' or 0 = any (p.polroles))$$,
  'every other policy is for reading, by named roles, and called select_…');
select is_empty(
  $$select tablename, policyname from pg_policies p join ours o on o.nspname = p.schemaname
    where regexp_replace(qual, '\( SELECT app_hidden\.current_\w+\(\) AS current_\w+\)', '', 'g') ~ 'current_'$$,
  'policies read the context once a query');
select is_empty(
  $$select c.oid::regclass from pg_class c join ours o on o.oid = c.relnamespace
    where c.relkind = 'v' and not coalesce('security_invoker=true' = any (c.reloptions), false)$$,
  'a view shows nobody more than its tables do');
select is_empty(
  $$select c.oid::regclass from pg_class c join ours o on o.oid = c.relnamespace
    where c.relowner <> 'tallystick_owner'::regrole
    union all select oid from our_functions where proowner <> 'tallystick_owner'::regrole$$,
  'everything belongs to the owner');

--------------------------------------------------------------------------------------------------
-- Functions

select is_empty(
  $$select signature from our_functions where prosecdef
    and not coalesce('search_path=pg_catalog, pg_temp' = any (proconfig), false)$$,
  'security definer comes with the exact search_path');
select is_empty(
  $$select signature from our_functions f join pg_language l on l.oid = f.prolang where l.lanname = 'plpgsql'
    and not coalesce('search_path=pg_catalog, pg_temp' = any (proconfig), false)$$,
  'so does plpgsql');
select is_empty(
  'select nspname, proname from our_functions group by 1, 2 having count(*) > 1',
  'no function is overloaded');
select is_empty(
  $$select signature from our_functions
    where provariadic <> 0 or (prorettype = 'record'::regtype and proargmodes is null)$$,
  'none is variadic or returns a bare record');
select is_empty(
  $$select signature from our_functions f join pg_language l on l.oid = f.prolang
    where f.prorettype = 'trigger'::regtype and f.proname !~ '^tg_(_|[a-z_]+?__)[a-z_]+$'$$,
  'trigger functions are called tg__task or tg_table__task');

--------------------------------------------------------------------------------------------------
-- Tables

select is_empty(
  $$select i.indexrelid::regclass from pg_index i join tenant_tables t on t.oid = i.indrelid
    where (select a.attname from pg_attribute a where a.attrelid = i.indrelid and a.attnum = i.indkey[0])
      is distinct from 'tenant_id'
      and not (not i.indisunique and exists (
        select from pg_constraint c
        where c.contype = 'f' and c.conrelid = i.indrelid and c.conkey[1] = i.indkey[0]
          and c.confrelid not in (select oid from tenant_tables)))$$,
  'tenant_id comes first in every key and index of what a tenant owns, but for references to what is of no tenant');
select is_empty(
  $$select c.conname from pg_constraint c join tenant_tables t on t.oid = c.conrelid
    where c.contype = 'f'
      and c.confrelid in (select oid from tenant_tables union all select 'app_public.tenants'::regclass)
      and 'tenant_id' <> (
        select a.attname from pg_attribute a where a.attrelid = c.conrelid and a.attnum = c.conkey[1])$$,
  'and in every foreign key to what a tenant owns, so that none crosses tenants');
select is_empty(
  $$select conname from pg_constraint c join our_tables t on t.oid = c.conrelid
    where c.contype = 'f' and c.confdeltype <> 'r'$$,
  'what is referred to is not deleted');
select is_empty(
  $$select c.conrelid::regclass, c.conname from pg_constraint c join our_tables t on t.oid = c.conrelid
    where c.contype = 'f' and not exists (
      select from pg_index i where i.indrelid = c.conrelid
        and (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey[1:2]
    )$$,
  'every foreign key has an index that starts with its first columns');
select is_empty(
  $$select t.name, c.conname from pg_constraint c join our_tables t on t.oid = c.conrelid
    where not (select p.relispartition from pg_class p where p.oid = t.oid) and c.contype <> 't' and (
      not starts_with(c.conname, t.relname || '_') or c.conname !~ case c.contype
        when 'p' then '_pkey$' when 'u' then '_key$' when 'f' then '_fkey$'
        when 'c' then '_[a-z0-9]+_[a-z0-9_]+$' else '_not_null$|_key$' end
      or (c.contype = 'c' and c.conname ~ '_check[0-9]*$'))$$,
  'constraints are named after their table (a partition has those of its parent), a check by its rule in words');
select is_empty(
  $$select i.indexrelid::regclass from pg_index i join our_tables t on t.oid = i.indrelid
    join pg_class c on c.oid = i.indexrelid
    where not c.relispartition
      and (not starts_with(c.relname, t.relname || '_') or c.relname !~ '_(pkey|key|idx)$')$$,
  'so are indexes');
select is_empty(
  $$select t.name, g.tgname from pg_trigger g join our_tables t on t.oid = g.tgrelid
    where not g.tgisinternal and g.tgname !~ '^_[0-9]{3}_[a-z_]+$'$$,
  'triggers are called _NNN_task');
select is_empty(
  $$select t.name, a.attname, format_type(a.atttypid, a.atttypmod)
    from pg_attribute a join our_tables t on t.oid = a.attrelid
    where a.attnum > 0 and not a.attisdropped
      and format_type(a.atttypid, a.atttypmod)
        ~ '^(real|double precision|money|timestamp.* without|time |character|json)(\W|$)'$$,
  'no floats, no times without a zone, no varchar(n), no json');
select is_empty(
  $$select t.name, a.attname from pg_attribute a join our_tables t on t.oid = a.attrelid
    join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where pg_get_expr(d.adbin, d.adrelid) ~ 'nextval'$$,
  'no serials');

--------------------------------------------------------------------------------------------------
-- Documentation

select is_empty(
  $$select signature from our_functions where nspname = 'app_public' and obj_description(oid, 'pg_proc') is null$$,
  'every function that is exposed has a comment');
select is_empty(
  $$select oid::regclass::text from pg_class
    where relnamespace = 'app_public'::regnamespace and relkind in ('r', 'p', 'v')
      and obj_description(oid, 'pg_class') is null
    union all
    select oid::regclass::text from pg_class
    where relnamespace = 'checks'::regnamespace and obj_description(oid, 'pg_class') is null
    union all
    select t.oid::regtype::text from pg_type t left join pg_class c on c.oid = t.typrelid
    where t.typnamespace = 'app_public'::regnamespace and t.typelem = 0
      and (t.typtype in ('e', 'd') or c.relkind = 'c')
      and coalesce(obj_description(t.oid, 'pg_type'), obj_description(c.oid, 'pg_class')) is null$$,
  'so has every table, view and type');
select is_empty(
  $$select c.oid::regclass, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relnamespace = 'app_public'::regnamespace and c.relkind in ('r', 'p', 'v', 'c')
      and a.attnum > 0 and not a.attisdropped and a.attname <> 'tenant_id'
      and col_description(c.oid, a.attnum) is null$$,
  'so has every column but tenant_id, which no client sees');

select * from finish();
rollback;
