-- The migration being written. See migrations/README.md.
---- faster posting ----
do $do$
begin
  alter type app_private.batch_accounts add attribute places tid[];
exception when duplicate_column then
  -- Applied before: see migrations/README.md.
end
$do$;
--!include engine/account_lock.sql
--!include engine/fingerprint.sql
--!include engine/batch_lines.sql
--!include engine/post_batch__read_items.sql
--!include engine/post_batch__lock_accounts.sql
--!include engine/post_batch__read_targets.sql
--!include engine/post_batch__write.sql
--!include engine/post_batch__attempt.sql
--!include engine/post_together.sql
--!include balances/posted_as_of.sql
--!include balances/versions_at.sql
--!include balances/counters_at.sql
--!include balances/accounts_statement.sql
