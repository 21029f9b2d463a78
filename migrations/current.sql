-- The migration being written. See migrations/README.md.
--!include engine/batch_lines__of_targets.sql
--!include engine/post_batch__read_targets.sql
--!include ledger/tg_postings__check.sql
--!include ledger/tg_transactions__check.sql
--!include engine/post_batch__write.sql
alter table app_public.payment_attempts add column if not exists cancel_reason text;
alter table app_public.payment_attempts
  drop constraint if exists payment_attempts_cancel_reason_is_1_to_1000_characters;
alter table app_public.payment_attempts
  add constraint payment_attempts_cancel_reason_is_1_to_1000_characters
    check (length(cancel_reason) between 1 and 1000);
drop function if exists app_private.request_cancellation(app_private.actor, app_public.payments);
--!include errors/refusals.sql
--!include payments/cancel_payment.sql
--!include payments/set_payment_provider.sql
--!include reconciliation/settle_by_statement.sql
--!include settlement/access.sql
--!include settlement/apply_provider_answer.sql
--!include settlement/attempts.sql
--!include settlement/comments.sql
--!include settlement/dead_letters.sql
--!include settlement/record_settlement.sql
--!include settlement/rerun_dead_letter.sql
--!include settlement/reset_circuit_breaker.sql
--!include vouchers/create_voucher_campaign.sql
--!include vouchers/redeem_voucher.sql
--!include access/row_level_security.sql
--!include audit/triggers.sql
