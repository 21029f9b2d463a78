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
--!include errors/refusals.sql
--!include identity/authorize.sql
--!include identity/comments.sql
--!include ledger/tg_transaction_thresholds__flag.sql
--!include engine/post_batch__read_lines.sql
--!include engine/post_batch__read_rules.sql
--!include engine/post_batch__decide.sql
--!include engine/post_batch__attempt.sql
