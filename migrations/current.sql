-- The migration being written. See migrations/README.md.

---- access ----

create type app_public.proposal_outcome as enum ('approved', 'rejected', 'withdrawn');
create type app_public.proposal_status as enum ('open', 'approved', 'rejected', 'withdrawn', 'expired');

/*
 * A transaction that waits for a second person, and what was decided about it: rows that are added and never
 * changed. The key of a decision allows one, and a check sees to it that it is another person's.
 */
create table app_public.transaction_proposals (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  proposed_by uuid not null,
  reason text not null,
  kind app_public.transaction_kind not null,
  idempotency_key text,
  fingerprint bytea,
  effective_at timestamptz,
  timeout_seconds integer,
  pending_id uuid,
  reverses_id uuid,
  description text,
  metadata jsonb,
  conditions jsonb,
  constraint transaction_proposals_pkey primary key (tenant_id, id),
  -- For the foreign key by which a decision knows who proposed.
  constraint transaction_proposals_proposed_by_key unique (tenant_id, id, proposed_by),
  constraint transaction_proposals_proposed_by_fkey foreign key (tenant_id, proposed_by)
    references app_public.memberships on delete restrict,
  constraint transaction_proposals_pending_id_fkey foreign key (tenant_id, pending_id)
    references app_public.transactions on delete restrict,
  constraint transaction_proposals_reverses_id_fkey foreign key (tenant_id, reverses_id)
    references app_public.transactions on delete restrict,
  constraint transaction_proposals_expires_after_created check (expires_at > created_at),
  constraint transaction_proposals_reason_is_1_to_1000_characters check (length(reason) between 1 and 1000),
  constraint transaction_proposals_key_has_its_fingerprint check (
    (idempotency_key is null) = (fingerprint is null)
  ),
  constraint transaction_proposals_conditions_are_a_list check (jsonb_typeof(conditions) = 'array')
);

create unique index transaction_proposals_idempotency_key_key
  on app_public.transaction_proposals (tenant_id, idempotency_key) where idempotency_key is not null;
create index transaction_proposals_proposed_by_idx on app_public.transaction_proposals (tenant_id, proposed_by);
create index transaction_proposals_expires_at_idx on app_public.transaction_proposals (tenant_id, expires_at);
create index transaction_proposals_pending_id_idx on app_public.transaction_proposals (tenant_id, pending_id)
  where pending_id is not null;
create index transaction_proposals_reverses_id_idx on app_public.transaction_proposals (tenant_id, reverses_id)
  where reverses_id is not null;

create table app_public.proposed_postings (
  tenant_id integer not null,
  proposal_id uuid not null,
  ordinal integer not null,
  account_id uuid not null,
  direction app_public.direction not null,
  amount app_public.amount not null,
  constraint proposed_postings_pkey primary key (tenant_id, proposal_id, ordinal),
  constraint proposed_postings_proposal_id_fkey foreign key (tenant_id, proposal_id)
    references app_public.transaction_proposals on delete restrict,
  constraint proposed_postings_account_id_fkey foreign key (tenant_id, account_id)
    references app_public.accounts on delete restrict
);

create index proposed_postings_account_id_idx on app_public.proposed_postings (tenant_id, account_id);

create table app_public.proposed_conversions (
  tenant_id integer not null,
  proposal_id uuid not null,
  from_account_id uuid not null,
  to_account_id uuid not null,
  amount app_public.amount not null,
  trading_code text not null,
  rounding_code text not null,
  constraint proposed_conversions_pkey primary key (tenant_id, proposal_id),
  constraint proposed_conversions_proposal_id_fkey foreign key (tenant_id, proposal_id)
    references app_public.transaction_proposals on delete restrict,
  constraint proposed_conversions_from_account_id_fkey foreign key (tenant_id, from_account_id)
    references app_public.accounts on delete restrict,
  constraint proposed_conversions_to_account_id_fkey foreign key (tenant_id, to_account_id)
    references app_public.accounts on delete restrict
);

create index proposed_conversions_from_account_id_idx
  on app_public.proposed_conversions (tenant_id, from_account_id);
create index proposed_conversions_to_account_id_idx on app_public.proposed_conversions (tenant_id, to_account_id);

-- A conversion that is asked for: what convert takes.
create type app_private.conversion_request as (
  from_account_id uuid,
  to_account_id uuid,
  amount numeric,
  trading_code text,
  rounding_code text,
  idempotency_key text,
  effective_at timestamptz,
  description text,
  metadata jsonb
);

create table app_public.proposal_decisions (
  tenant_id integer not null,
  proposal_id uuid not null,
  proposed_by uuid not null,
  outcome app_public.proposal_outcome not null,
  decided_at timestamptz not null default clock_timestamp(),
  decided_by uuid not null,
  reason text,
  transaction_id uuid,
  constraint proposal_decisions_pkey primary key (tenant_id, proposal_id),
  constraint proposal_decisions_transaction_id_key unique (tenant_id, transaction_id),
  constraint proposal_decisions_proposal_id_fkey foreign key (tenant_id, proposal_id, proposed_by)
    references app_public.transaction_proposals (tenant_id, id, proposed_by) on delete restrict,
  constraint proposal_decisions_decided_by_fkey foreign key (tenant_id, decided_by)
    references app_public.memberships on delete restrict,
  constraint proposal_decisions_transaction_id_fkey foreign key (tenant_id, transaction_id)
    references app_public.transactions on delete restrict,
  -- Four eyes: whoever proposed may take it back, and nothing else.
  constraint proposal_decisions_nobody_approves_their_own check (
    (outcome = 'withdrawn') = (decided_by = proposed_by)
  ),
  constraint proposal_decisions_approval_names_its_transaction check (
    (outcome = 'approved') = (transaction_id is not null)
  ),
  constraint proposal_decisions_rejection_has_a_reason check (
    (outcome = 'rejected') = (reason is not null)
  ),
  constraint proposal_decisions_reason_is_1_to_1000_characters check (length(reason) between 1 and 1000)
);

create index proposal_decisions_decided_by_idx on app_public.proposal_decisions (tenant_id, decided_by);

-- What the threshold of approval was, and since when; null = none.
create table app_private.approval_thresholds (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  currency text not null,
  amount app_public.amount,
  since timestamptz not null default clock_timestamp(),
  constraint approval_thresholds_pkey primary key (tenant_id, id),
  constraint approval_thresholds_currency_fkey foreign key (tenant_id, currency)
    references app_public.currencies on delete restrict
);

create index approval_thresholds_currency_idx on app_private.approval_thresholds (tenant_id, currency, since);

insert into app_private.approval_thresholds (tenant_id, currency, amount)
select t.tenant_id, t.currency, t.approval_amount
from app_public.transaction_thresholds t;

/*
 * The key carries the transaction along, so that the transactions of a customer are found in this index
 * alone: see access/ledger.sql.
 */
alter table app_public.postings
  drop constraint postings_pkey,
  add constraint postings_pkey primary key (tenant_id, account_id, version) include (transaction_id);

--!include errors/refusals.sql
--!include identity/permissions.sql
--!include identity/authorize_reading.sql
--!include reports/trial_balance.sql
--!include reports/balance_sheet.sql
--!include reports/income_statement.sql
--!include checks/verify_ledger.sql
--!include ledger/authorize_posting.sql
--!include ledger/post_transaction.sql
--!include ledger/post_transactions.sql
--!include fx/post_conversion.sql
--!include approvals/required_reason.sql
--!include approvals/lock_open_proposal.sql
--!include approvals/transaction_of_proposal.sql
--!include approvals/post_proposed.sql
--!include approvals/insert_proposal.sql
--!include approvals/propose_transaction.sql
--!include approvals/propose_conversion.sql
--!include approvals/approve_proposal.sql
--!include approvals/reject_proposal.sql
--!include approvals/withdraw_proposal.sql
--!include approvals/transaction_proposal.sql
--!include access/row_level_security.sql
--!include access/identity.sql
--!include access/ledger.sql
--!include approvals/tg_transaction_thresholds__keep_history.sql
--!include approvals/access.sql
--!include approvals/comments.sql
--!include checks/approvals_that_do_not_fit.sql
--!include checks/transactions_without_approval.sql
--!include fx/post_conversion__plan.sql
--!include access/partner.sql
--!include audit/triggers.sql
