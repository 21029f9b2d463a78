--! Previous: sha1:dd7e4f8fa4ab1ba1df3d7f606c6103708f5c8670
--! Hash: sha1:d59f3aeb9de3375bd3deaf3b9444b38774524d69
--! Message: access

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
    'Ask an admin of the tenant for the permission that the detail names, or sign in with a role that has it.', false),
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
  ('LG430', 'own_proposal',
    'Nobody approves or rejects what they proposed themselves.',
    'Ask somebody else to decide, or withdraw the proposal.', false),
  ('LG431', 'person_required',
    'Proposals are decided by people, not by programs.',
    'Sign in as a person who may approve.', false),
  ('LG432', 'proposer_may_not_post',
    'Whoever proposed the transaction may no longer post it.',
    'Reject the proposal, or propose the transaction in your own name.', false),
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

  ('LG464', 'origin_not_allowed',
    'Web pages of this origin may not open web sockets here.',
    'Add the origin to TALLYSTICK_CORS_ORIGINS.', false),

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
--! Included identity/permissions.sql
/*
 * The permissions that there are; which role may ever be given each; whether a new tenant gives it. A role
 * of the database bounds them: a permission never allows what the role is not granted. A tenant that there
 * is already is given a new permission once, when it becomes grantable by default.
 */
insert into app_public.permissions (permission, description) values
  ('account_sets.manage', 'Make account sets and change what is in them.'),
  ('accounts.close', 'Close accounts.'),
  ('accounts.freeze', 'Freeze accounts.'),
  ('accounts.open', 'Open accounts.'),
  ('accounts.set_limits', 'Set the limits of accounts.'),
  ('accounts.unfreeze', 'Lift the freeze of accounts.'),
  ('accounts.update', 'Change names and metadata of accounts.'),
  ('api_keys.manage', 'Create, rotate and revoke API keys of partners.'),
  ('audit.read', 'Read the audit trail and the security events.'),
  ('charts.apply', 'Open the accounts of a chart of accounts that comes with the ledger.'),
  ('currencies.create', 'Take up currencies.'),
  ('customer_details.set', 'Set sensitive details of customers; a customer sets their own.'),
  ('exchange_rates.set', 'Set exchange rates.'),
  ('kyc.decide', 'Decide verification cases of others.'),
  ('kyc.set_limits', 'Set what each level of verification allows.'),
  ('kyc.submit', 'Open verification cases and submit evidence; a customer for themselves.'),
  ('ledger.read', 'Read accounts, balances and transactions: for API keys, since people read by their role.'),
  ('ledger.rebuild', 'Rebuild balances from the postings.'),
  ('ledger.verify', 'Run the checks over the books.'),
  ('members.manage', 'Invite people, change what they are to the tenant, disable and enable them.'),
  ('members.read', 'See who belongs to the tenant.'),
  ('periods.manage', 'Open and close accounting periods.'),
  ('permissions.manage', 'Give permissions to roles, and take them away.'),
  ('reports.read', 'Read the trial balance, the balance sheet and the income statement.'),
  ('sensitive.read', 'Read sensitive values in full, each time with a purpose; a customer reads their own.'),
  ('sessions.revoke', 'End the sessions of members.'),
  ('tenant.manage', 'Change the settings of the tenant, and from which amounts on others must approve.'),
  ('tenants.create', 'Create tenants, and invite their admins.'),
  ('tenants.suspend', 'Suspend tenants, and resume them.'),
  ('transactions.approve', 'Approve or reject the transactions that somebody else proposed.'),
  ('transactions.convert', 'Post conversions between currencies.'),
  ('transactions.post', 'Post transactions, and post or void pending ones.'),
  ('transactions.reverse', 'Reverse transactions.'),
  ('users.disable', 'Disable users, and enable them again.')
on conflict (permission) do update set description = excluded.description;

with grantable as (
  insert into app_public.grantable_permissions (role, permission, by_default) values
    ('accountant', 'account_sets.manage', true),
    ('admin', 'account_sets.manage', true),
    ('accountant', 'accounts.close', true),
    ('admin', 'accounts.close', true),
    ('teller', 'accounts.freeze', true),
    ('accountant', 'accounts.freeze', true),
    ('admin', 'accounts.freeze', true),
    ('teller', 'accounts.open', true),
    ('accountant', 'accounts.open', true),
    ('admin', 'accounts.open', true),
    ('partner', 'accounts.open', false),
    ('accountant', 'accounts.set_limits', true),
    ('admin', 'accounts.set_limits', true),
    ('accountant', 'accounts.unfreeze', true),
    ('admin', 'accounts.unfreeze', true),
    ('accountant', 'accounts.update', true),
    ('admin', 'accounts.update', true),
    ('admin', 'api_keys.manage', true),
    ('auditor', 'audit.read', true),
    ('admin', 'audit.read', true),
    ('operator', 'audit.read', true),
    ('accountant', 'charts.apply', true),
    ('admin', 'charts.apply', true),
    ('accountant', 'currencies.create', true),
    ('admin', 'currencies.create', true),
    ('customer', 'customer_details.set', true),
    ('teller', 'customer_details.set', true),
    ('admin', 'customer_details.set', true),
    ('accountant', 'exchange_rates.set', true),
    ('admin', 'exchange_rates.set', true),
    ('accountant', 'kyc.decide', true),
    ('admin', 'kyc.decide', true),
    ('accountant', 'kyc.set_limits', false),
    ('admin', 'kyc.set_limits', true),
    ('customer', 'kyc.submit', true),
    ('teller', 'kyc.submit', true),
    ('admin', 'kyc.submit', true),
    ('partner', 'ledger.read', true),
    ('admin', 'ledger.rebuild', true),
    ('accountant', 'ledger.verify', true),
    ('auditor', 'ledger.verify', true),
    ('admin', 'ledger.verify', true),
    ('admin', 'members.manage', true),
    ('teller', 'members.read', true),
    ('accountant', 'members.read', true),
    ('auditor', 'members.read', true),
    ('admin', 'members.read', true),
    ('accountant', 'periods.manage', true),
    ('admin', 'periods.manage', true),
    ('admin', 'permissions.manage', true),
    ('teller', 'reports.read', true),
    ('accountant', 'reports.read', true),
    ('auditor', 'reports.read', true),
    ('admin', 'reports.read', true),
    ('customer', 'sensitive.read', true),
    ('accountant', 'sensitive.read', false),
    ('admin', 'sensitive.read', false),
    ('admin', 'sessions.revoke', true),
    ('admin', 'tenant.manage', true),
    ('operator', 'tenants.create', true),
    ('operator', 'tenants.suspend', true),
    ('teller', 'transactions.approve', false),
    ('accountant', 'transactions.approve', true),
    ('admin', 'transactions.approve', true),
    ('teller', 'transactions.convert', true),
    ('accountant', 'transactions.convert', true),
    ('admin', 'transactions.convert', true),
    ('partner', 'transactions.convert', false),
    ('teller', 'transactions.post', true),
    ('accountant', 'transactions.post', true),
    ('admin', 'transactions.post', true),
    ('partner', 'transactions.post', true),
    ('accountant', 'transactions.reverse', true),
    ('admin', 'transactions.reverse', true),
    ('operator', 'users.disable', true)
  on conflict (role, permission) do nothing
  returning role, permission, by_default
)
insert into app_public.role_permissions (tenant_id, role, permission)
select t.id, g.role, g.permission
from grantable g
cross join app_public.tenants t
where g.by_default and g.role <> 'operator'
on conflict do nothing;
--! EndIncluded identity/permissions.sql
--! Included identity/authorize_reading.sql
/*
 * The tenant of whoever asks, if they may read this; otherwise the refusal. For functions that read what a
 * tenant may keep from a role that its database role could read: the same as authorize, but stable, and the
 * books of a suspended tenant are read.
 */
create or replace function app_hidden.authorize_reading(permission text)
returns integer
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id integer;
  v_fault text;
begin
  select
    s.tenant_id,
    case
      when s.revoked_at is not null or s.expires_at <= now() then 'LG401'
      when p.permission is null
        or not authorize_reading.permission = any (coalesce(s.scopes, array[p.permission])) then 'LG402'
      when s.second_factor_at is null and s.role = any (t.second_factor_roles) then 'LG404'
    end
  into v_tenant_id, v_fault
  from app_private.sessions s
  join app_public.tenants t on t.id = s.tenant_id
  left join app_public.role_permissions p
    on p.tenant_id = s.tenant_id and p.role = s.role and p.permission = authorize_reading.permission
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
  return v_tenant_id;
end
$$;

/*
 * Whether whoever asks has a permission, for policies, which call it as (select …), once a query: rows that
 * they may not read are not there.
 */
create or replace function app_hidden.has_permission(permission text)
returns boolean
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select
    from app_private.sessions s
    join app_public.role_permissions p
      on p.tenant_id = s.tenant_id and p.role = s.role and p.permission = has_permission.permission
    where s.id = app_hidden.current_session_id()
      and s.tenant_id = app_hidden.current_tenant_id()
      and s.user_id = app_hidden.current_user_id()
      and s.revoked_at is null
      and s.expires_at > now()
      and (s.scopes is null or has_permission.permission = any (s.scopes))
  )
$$;

grant execute on function app_hidden.authorize_reading(text), app_hidden.has_permission(text) to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded identity/authorize_reading.sql
--! Included reports/trial_balance.sql
/*
 * The trial balance: every account with its posted sums. One statement, so one snapshot: what is posted
 * meanwhile is in it as a whole or not at all, and the debits of a currency equal its credits. An array,
 * so that no page size can cut it.
 */
create or replace function app_public.trial_balance(
  as_of timestamptz default null,
  known_at timestamptz default null
)
returns app_public.trial_balance_row[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(
    row(
      a.id, a.code, a.name, a.type, a.currency, c.posted_debits, c.posted_credits,
      c.posted_debits - c.posted_credits
    )::app_public.trial_balance_row
    order by a.code, a.currency
  ), '{}')
  from app_hidden.counters_at(
    app_hidden.authorize_reading('reports.read'),
    array(select a.id from app_public.accounts a where a.tenant_id = app_hidden.current_tenant_id()),
    as_of, known_at
  ) c
  join app_public.accounts a on a.tenant_id = app_hidden.current_tenant_id() and a.id = c.account_id
$$;

grant execute on function app_public.trial_balance(timestamptz, timestamptz) to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.trial_balance(timestamptz, timestamptz) is $$
The trial balance: one row for each account, those at zero too, ordered by code and currency. Now, or at an
effective time (`asOf`), or as the books were known at a recorded moment (`knownAt`), or both. The debits of
each currency equal its credits.
$$;
--! EndIncluded reports/trial_balance.sql
--! Included reports/balance_sheet.sql
/*
 * The balance sheet. Each amount is on the normal side of its type, so that a contra account is below zero.
 * What has been earned and not moved to equity yet is a row of its own: with it, assets equal liabilities
 * and equity in each currency at any time, because debits equal credits.
 */
create or replace function app_public.balance_sheet(
  as_of timestamptz default null,
  known_at timestamptz default null
)
returns app_public.report_row[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with line as (
    select a.*, c.posted_debits - c.posted_credits as balance
    from app_hidden.counters_at(
      app_hidden.authorize_reading('reports.read'),
      array(select a.id from app_public.accounts a where a.tenant_id = app_hidden.current_tenant_id()),
      as_of, known_at
    ) c
    join app_public.accounts a on a.tenant_id = app_hidden.current_tenant_id() and a.id = c.account_id
  ),
  report as (
    select l.type, l.id, l.code, l.name, l.currency,
      case l.type when 'asset' then l.balance else -l.balance end as amount
    from line l
    where l.type in ('asset', 'liability', 'equity')
    union all
    select 'equity', null, null, 'Current earnings', l.currency, -sum(l.balance)
    from line l
    where l.type in ('revenue', 'expense')
    group by l.currency
  )
  select coalesce(array_agg(
    row(r.type, r.id, r.code, r.name, r.currency, r.amount)::app_public.report_row
    order by r.type, r.code nulls last, r.currency
  ), '{}')
  from report r
$$;

grant execute on function app_public.balance_sheet(timestamptz, timestamptz) to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.balance_sheet(timestamptz, timestamptz) is $$
The balance sheet: assets, liabilities and equity by account, each amount on the normal side of its type. What
was earned and has not been moved to equity by a year-end close is the equity row "Current earnings", which
has no account. In each currency assets equal liabilities and equity. Now, or in the past as for `trialBalance`.
$$;
--! EndIncluded reports/balance_sheet.sql
--! Included reports/income_statement.sql
/*
 * The income statement: revenue and expense of a time, on their normal sides. Entries that closed a period
 * are left out, and reversals of such entries with them: they move what was earned, they earn nothing.
 * Definer only because it refuses, and refusals are raised in app_private; it filters by tenant itself.
 */
create or replace function app_public.income_statement(
  starts_at timestamptz default null,
  ends_at timestamptz default null,
  known_at timestamptz default null
)
returns app_public.report_row[]
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant_id constant integer := app_hidden.authorize_reading('reports.read');
  v_ids uuid[];
  v_rows app_public.report_row[];
begin
  if starts_at >= ends_at then
    perform app_private.refuse('LG130', jsonb_build_object('startsAt', starts_at, 'endsAt', ends_at));
  end if;
  select array_agg(a.id) into v_ids
  from app_public.accounts a
  where a.tenant_id = v_tenant_id and a.type in ('revenue', 'expense');

  select array_agg(
    row(
      a.type, a.id, a.code, a.name, a.currency,
      case a.type when 'expense' then 1 else -1 end
        * (l.balance - coalesce(f.balance, 0) - coalesce(c.balance, 0))
    )::app_public.report_row
    order by a.type, a.code, a.currency
  ) into v_rows
  from (
    select l.account_id, l.posted_debits - l.posted_credits as balance
    from app_hidden.counters_at(v_tenant_id, v_ids, ends_at - interval '1 microsecond', known_at) l
  ) l
  join app_public.accounts a on a.tenant_id = v_tenant_id and a.id = l.account_id
  left join (
    select f.account_id, f.posted_debits - f.posted_credits as balance
    from app_hidden.counters_at(v_tenant_id, v_ids, starts_at - interval '1 microsecond', known_at) f
    where starts_at is not null
  ) f on f.account_id = l.account_id
  left join app_private.closing_balances(v_tenant_id, starts_at, ends_at, known_at) c
    on c.account_id = l.account_id;
  return coalesce(v_rows, '{}');
end
$$;

grant execute on function app_public.income_statement(timestamptz, timestamptz, timestamptz) to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.income_statement(timestamptz, timestamptz, timestamptz) is $$
The income statement: revenue and expense by account, effective from `startsAt` until before `endsAt`, each
amount on the normal side of its type. Entries that closed a period are left out. Without `startsAt` from the
beginning of the books, without `endsAt` to their end. `knownAt` asks for the books of a recorded moment.
$$;
--! EndIncluded reports/income_statement.sql
--! Included checks/verify_ledger.sql
/*
 * Run every check for the tenant of the request. The list of checks is the catalog's: each view of the
 * schema checks is one, its rows are violations, its comment says what must hold. A new view runs by
 * itself. STABLE, so that all of them look at one and the same moment.
 */
create or replace function app_public.verify_ledger()
returns setof app_public.check_result
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set work_mem = '128MB'
set jit = off
as $$
declare
  v_tenant_id constant integer := app_hidden.authorize_reading('ledger.verify');
  v_check record;
  v_result app_public.check_result;
  v_rows jsonb := '{}';
begin
  for v_check in
    select
      v.relname as name,
      btrim(obj_description(v.oid, 'pg_class'), E'\n') as description,
      app_private.verify_ledger__tables(v.oid) as tables
    from pg_class v
    where v.relnamespace = 'checks'::regnamespace and v.relkind = 'v'
    order by v.relname
  loop
    v_result.name := v_check.name;
    v_result.description := v_check.description;
    v_rows := app_private.verify_ledger__count(v_tenant_id, v_check.tables, v_rows);
    select coalesce(sum((v_rows ->> t.name)::bigint), 0) into v_result.rows_checked
    from unnest(v_check.tables) as t (name);
    execute format(
      'with violation as materialized (select * from checks.%I where tenant_id = $1)
      select
        (select count(*) from violation),
        (
          select coalesce(jsonb_agg((
            select jsonb_object_agg(f.key,
              case when jsonb_typeof(f.value) = ''number'' then to_jsonb(f.value #>> ''{}'') else f.value end)
            from jsonb_each(to_jsonb(s) - ''tenant_id'') f
          )), ''[]'')
          from (select * from violation limit 10) s
        )', v_check.name)
    into v_result.violations, v_result.sample
    using v_tenant_id;
    return next v_result;
  end loop;
end
$$;

grant execute on function app_public.verify_ledger() to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.verify_ledger() is $$
@behavior -queryField:resource:connection +queryField:resource:list
@listSuffix omit
@allRows

Proves the books: runs every check over the whole ledger and answers with one result each. No violations in
any of them means that every rule held for every row.
$$;

comment on type app_public.check_result is $$
What one check found: its name, the rule that it proves, how many rows it looked at, how many of them break
the rule, and up to ten of those.
$$;
--! EndIncluded checks/verify_ledger.sql
--! Included ledger/authorize_posting.sql
/*
 * Who acts, and that they may post these transactions. A reversal is a permission of its own, also where it
 * comes as one of many.
 */
create or replace function app_private.authorize_posting(transactions app_public.transaction_input[])
returns app_private.actor
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor constant app_private.actor := app_private.authorize('transactions.post');
begin
  if exists (select from unnest(transactions) t where t.reverses_id is not null) then
    perform app_private.authorize('transactions.reverse');
  end if;
  return v_actor;
end
$$;
--! EndIncluded ledger/authorize_posting.sql
--! Included ledger/post_transaction.sql
/*
 * Post one transaction. A refusal is raised.
 */
create or replace function app_public.post_transaction(transaction app_public.transaction_input)
returns app_public.transaction_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return (app_private.post_batch(
    app_private.authorize_posting(array[transaction]), array[transaction], 'atomic'))[1];
end
$$;

grant execute on function app_public.post_transaction(app_public.transaction_input) to
  tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.post_transaction(app_public.transaction_input) is $$
Posts one transaction and answers with the balances that it left. A refusal is an error with a code of
class LG, and nothing is posted then. Give an idempotency key: the same request sent again then answers
with the original result, marked `isReplayed`.
$$;
--! EndIncluded ledger/post_transaction.sql
--! Included ledger/post_transactions.sql
/*
 * Post a batch of transactions.
 */
create or replace function app_public.post_transactions(
  transactions app_public.transaction_input[],
  mode app_public.batch_mode default 'independent'
)
returns app_public.transaction_result[]
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return app_private.post_batch(
    app_private.authorize_posting(transactions), transactions, coalesce(mode, 'independent'));
end
$$;

grant execute on function app_public.post_transactions(app_public.transaction_input[], app_public.batch_mode) to
  tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.post_transactions(app_public.transaction_input[], app_public.batch_mode) is $$
Posts up to 10,000 transactions in one go, as if one after the other, and answers with one result each,
in order. INDEPENDENT (the default): each is posted or refused by itself, a refusal being part of its
result. ATOMIC: all are posted, or the first refusal is an error, whose detail names the `item`.
$$;
--! EndIncluded ledger/post_transactions.sql
--! Included fx/post_conversion.sql
/*
 * Convert: take an amount from an account and give its worth in another currency to another account, in
 * one transaction, through the trading accounts of both currencies. See docs/decisions/0004-conversions.md.
 *
 * Rounding leaves a residue below one unit. It is carried, exactly, per rounding account, and as soon as
 * a whole unit has come together it is posted there, within the conversion that completes it.
 */
create or replace function app_private.convert(
  actor app_private.actor,
  request app_private.conversion_request,
  is_approved boolean default false
)
returns app_public.transaction_result
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := actor.tenant_id;
  v_plan app_private.conversion_plan;
  v_result app_public.transaction_result;
begin
  if request.amount is null or request.amount <= 0 then
    perform app_private.refuse('LG102');
  end if;
  v_plan := app_private.post_conversion__plan(
    actor, request.from_account_id, request.to_account_id, request.amount, request.trading_code,
    request.rounding_code, request.idempotency_key, coalesce(request.effective_at, now()));

  v_result := (app_private.post_batch(
    actor,
    array[row(
      'posted', v_plan.postings, request.idempotency_key, request.effective_at, null, null, null,
      request.description, request.metadata, null
    )::app_public.transaction_input],
    'atomic', is_approved => is_approved))[1];

  if not v_result.is_replayed then
    insert into app_public.conversions (
      tenant_id, transaction_id, sold_currency, bought_currency, from_account_id, to_account_id,
      rounding_account_id, rate, sold_amount, bought_amount, exact_amount, residue,
      rounding_amount, carried_residue
    ) values (
      v_tenant_id, v_result.transaction_id, v_plan.sold_currency, (v_plan.bought).currency,
      request.from_account_id, request.to_account_id, v_plan.rounding_account_id, (v_plan.bought).rate,
      request.amount,
      (v_plan.bought).amount, (v_plan.bought).exact_amount, (v_plan.bought).residue,
      v_plan.rounding_amount, v_plan.carried_residue
    );
    update app_private.carried_residues r set residue = v_plan.carried_residue
    where r.tenant_id = v_tenant_id and r.account_id = v_plan.rounding_account_id;
  end if;
  return v_result;
end
$$;

create or replace function app_public.post_conversion(
  from_account_id uuid,
  to_account_id uuid,
  amount app_public.amount,
  trading_code text,
  rounding_code text,
  idempotency_key text default null,
  effective_at timestamptz default null,
  description text default null,
  metadata jsonb default null
)
returns app_public.transaction_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return app_private.convert(
    app_private.authorize('transactions.convert'),
    row(
      from_account_id, to_account_id, amount, trading_code, rounding_code, idempotency_key, effective_at,
      description, metadata
    )::app_private.conversion_request);
end
$$;

grant execute on function app_public.post_conversion(
  uuid, uuid, app_public.amount, text, text, text, timestamptz, text, jsonb
) to tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.post_conversion(
  uuid, uuid, app_public.amount, text, text, text, timestamptz, text, jsonb
) is $$
Converts: takes `amount` from one account and gives its worth in another currency to another account, at the
exchange rate of the effective time, in one transaction. Both accounts must have the same normal balance.
The other sides are the trading accounts: the accounts with the code `tradingCode`, one in each currency.
What rounding leaves is kept exactly and goes to the account `roundingCode` of the currency that is bought,
as soon as it makes a whole minor unit: a conversion neither makes nor loses money. The same idempotency
key answers with the original, even if the rate has changed since.
$$;
--! EndIncluded fx/post_conversion.sql
--! Included approvals/required_reason.sql
/*
 * A reason in words, or the refusal of one that is empty or too long.
 */
create or replace function app_private.required_reason(reason text)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if length(btrim(reason)) between 1 and 1000 then
    return btrim(reason);
  end if;
  perform app_private.refuse('LG114', jsonb_build_object('field', 'reason', 'rule', '1 to 1000 characters'));
  return null;
end
$$;
--! EndIncluded approvals/required_reason.sql
--! Included approvals/lock_open_proposal.sql
/*
 * The proposal, locked until the end of the database transaction, or the refusal: there is none, it has been
 * decided, its time has passed. Two who decide at once come one after the other, and the second is refused.
 */
create or replace function app_private.lock_open_proposal(tenant_id integer, proposal_id uuid)
returns app_public.transaction_proposals
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_proposal app_public.transaction_proposals;
  v_outcome app_public.proposal_outcome;
begin
  select p.* into v_proposal
  from app_public.transaction_proposals p
  where p.tenant_id = lock_open_proposal.tenant_id and p.id = lock_open_proposal.proposal_id
  for no key update;
  if not found then
    perform app_private.refuse('LG390', jsonb_build_object('proposalId', proposal_id));
  end if;
  select d.outcome into v_outcome
  from app_public.proposal_decisions d
  where d.tenant_id = lock_open_proposal.tenant_id and d.proposal_id = lock_open_proposal.proposal_id;
  if found then
    perform app_private.refuse('LG391', jsonb_build_object('proposalId', proposal_id, 'outcome', v_outcome));
  end if;
  if v_proposal.expires_at <= clock_timestamp() then
    perform app_private.refuse('LG392', jsonb_build_object(
      'proposalId', proposal_id, 'expiredAt', v_proposal.expires_at));
  end if;
  return v_proposal;
end
$$;
--! EndIncluded approvals/lock_open_proposal.sql
--! Included approvals/transaction_of_proposal.sql
/*
 * What a proposal proposes, as the engine takes it.
 */
create or replace function app_private.transaction_of_proposal(proposal app_public.transaction_proposals)
returns app_public.transaction_input
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select row(
    proposal.kind,
    (
      select array_agg(row(p.account_id, p.direction, p.amount)::app_public.posting_input order by p.ordinal)
      from app_public.proposed_postings p
      where p.tenant_id = proposal.tenant_id and p.proposal_id = proposal.id
    ),
    proposal.idempotency_key, proposal.effective_at, proposal.timeout_seconds, proposal.pending_id,
    proposal.reverses_id, proposal.description, proposal.metadata,
    (
      select array_agg(
        row(c."accountId", c."minimumAvailable", c.version)::app_public.condition_input order by c.ordinality)
      from rows from (
        jsonb_to_recordset(proposal.conditions) as ("accountId" uuid, "minimumAvailable" numeric, version bigint)
      ) with ordinality c
    )
  )::app_public.transaction_input
$$;

/*
 * The conversion that a proposal proposes; null where it proposes a transaction.
 */
create or replace function app_private.conversion_of_proposal(proposal app_public.transaction_proposals)
returns app_private.conversion_request
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select row(
    c.from_account_id, c.to_account_id, c.amount, c.trading_code, c.rounding_code, proposal.idempotency_key,
    proposal.effective_at, proposal.description, proposal.metadata
  )::app_private.conversion_request
  from app_public.proposed_conversions c
  where c.tenant_id = proposal.tenant_id and c.proposal_id = proposal.id
$$;
--! EndIncluded approvals/transaction_of_proposal.sql
--! Included approvals/post_proposed.sql
/*
 * Post what was proposed, a second person having agreed: a conversion if there is one, or the transaction. One
 * that was posted under the same key by another way is refused: it was not this approval that posted it.
 */
create or replace function app_private.post_proposed(
  actor app_private.actor,
  transaction app_public.transaction_input,
  conversion app_private.conversion_request
)
returns app_public.transaction_result
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_result app_public.transaction_result;
begin
  if conversion is distinct from null then
    v_result := app_private.convert(actor, conversion, is_approved => true);
  else
    v_result := (app_private.post_batch(actor, array[transaction], 'atomic', is_approved => true))[1];
  end if;
  if v_result.is_replayed then
    perform app_private.refuse('LG394', jsonb_build_object('transactionId', v_result.transaction_id));
  end if;
  return v_result;
end
$$;

/*
 * The same, and undone: what refuses it at this moment is raised, and nothing is left of it.
 */
create or replace function app_private.try_proposed(
  actor app_private.actor,
  transaction app_public.transaction_input,
  conversion app_private.conversion_request
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform app_private.post_proposed(actor, transaction, conversion);
  -- An error undoes what this block has written; this one says what it would have met unapproved.
  perform app_private.refuse('LG405');
exception when sqlstate 'LG405' then
  return;
end
$$;
--! EndIncluded approvals/post_proposed.sql
--! Included approvals/insert_proposal.sql
/*
 * The proposal that was made under this key; the refusal LG501 if it proposed something else.
 */
create or replace function app_private.proposal_of_key(tenant_id integer, key text, fingerprint bytea)
returns app_public.transaction_proposals
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_proposal app_public.transaction_proposals;
  v_difference text;
begin
  select p.* into v_proposal
  from app_public.transaction_proposals p
  where p.tenant_id = proposal_of_key.tenant_id and p.idempotency_key = key;
  v_difference := app_private.fingerprint_difference(fingerprint, v_proposal.fingerprint);
  if v_difference is not null then
    perform app_private.refuse('LG501', jsonb_build_object('field', v_difference, 'proposalId', v_proposal.id));
  end if;
  return v_proposal;
end
$$;

/*
 * Insert a proposal and what it proposes, unless one has been made under the same key meanwhile, which is
 * committed by then: that one is answered. What it proposes has been tried before.
 */
create or replace function app_private.insert_proposal(
  actor app_private.actor,
  transaction app_public.transaction_input,
  conversion app_private.conversion_request,
  fingerprint bytea,
  reason text,
  expires_at timestamptz
)
returns app_public.transaction_proposals
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_proposal app_public.transaction_proposals;
begin
  insert into app_public.transaction_proposals (
    tenant_id, proposed_by, reason, expires_at, kind, idempotency_key, fingerprint, effective_at,
    timeout_seconds, pending_id, reverses_id, description, metadata, conditions
  ) values (
    actor.tenant_id, actor.user_id, insert_proposal.reason, insert_proposal.expires_at,
    coalesce(transaction.kind, 'posted'), transaction.idempotency_key, insert_proposal.fingerprint,
    transaction.effective_at, transaction.timeout_seconds, transaction.pending_id, transaction.reverses_id,
    transaction.description, transaction.metadata,
    (
      select jsonb_agg(jsonb_build_object(
        'accountId', c.account_id, 'minimumAvailable', c.minimum_available::text, 'version', c.version::text))
      from unnest(transaction.conditions) c
    )
  )
  on conflict (tenant_id, idempotency_key) where idempotency_key is not null do nothing
  returning * into v_proposal;
  if not found then
    return app_private.proposal_of_key(actor.tenant_id, transaction.idempotency_key, insert_proposal.fingerprint);
  end if;
  insert into app_public.proposed_postings (tenant_id, proposal_id, ordinal, account_id, direction, amount)
  select v_proposal.tenant_id, v_proposal.id, p.ordinal, p.account_id, p.direction, p.amount
  from unnest(transaction.postings) with ordinality as p (account_id, direction, amount, ordinal);
  insert into app_public.proposed_conversions (
    tenant_id, proposal_id, from_account_id, to_account_id, amount, trading_code, rounding_code
  )
  select
    v_proposal.tenant_id, v_proposal.id, conversion.from_account_id, conversion.to_account_id, conversion.amount,
    conversion.trading_code, conversion.rounding_code
  where conversion is distinct from null;
  return v_proposal;
end
$$;

/*
 * Until when a proposal may be approved: seven days unless the caller says otherwise, 90 at most.
 */
create or replace function app_private.required_expiry(expires_at timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if expires_at <= now() or expires_at > now() + interval '90 days' then
    perform app_private.refuse('LG393', jsonb_build_object('expiresAt', expires_at));
  end if;
  return coalesce(expires_at, now() + interval '7 days');
end
$$;
--! EndIncluded approvals/insert_proposal.sql
--! Included approvals/propose_transaction.sql
/*
 * Put a transaction up for approval by a second person. It is tried first and undone, so that only what could
 * be posted at this moment is proposed; nothing is reserved until it is approved.
 */
create or replace function app_public.propose_transaction(
  transaction app_public.transaction_input,
  reason text,
  expires_at timestamptz default null
)
returns app_public.transaction_proposals
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor constant app_private.actor := app_private.authorize_posting(array[transaction]);
  v_reason constant text := app_private.required_reason(reason);
  v_expires_at constant timestamptz := app_private.required_expiry(propose_transaction.expires_at);
  v_fingerprint constant bytea :=
    (app_private.post_batch__read_items(array[transaction], false)).fingerprints[1];
  v_proposal app_public.transaction_proposals;
begin
  v_proposal := app_private.proposal_of_key(v_actor.tenant_id, transaction.idempotency_key, v_fingerprint);
  if v_proposal.id is not null then
    return v_proposal;
  end if;
  perform app_private.try_proposed(v_actor, transaction, null);
  return app_private.insert_proposal(v_actor, transaction, null, v_fingerprint, v_reason, v_expires_at);
end
$$;

grant execute on function app_public.propose_transaction(app_public.transaction_input, text, timestamptz) to
  tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.propose_transaction(app_public.transaction_input, text, timestamptz) is $$
Proposes a transaction, for another person to approve: what is needed from the threshold of the tenant on, and
may be done with any transaction. It is checked as if it were posted now, and nothing is posted or reserved.
Approving it checks it again. The same idempotency key answers with the same proposal.
$$;
--! EndIncluded approvals/propose_transaction.sql
--! Included approvals/propose_conversion.sql
/*
 * Put a conversion up for approval by a second person, as propose_transaction does with a transaction. What it
 * buys is decided by the rate of the moment of its approval, unless it says when it takes effect.
 */
create or replace function app_public.propose_conversion(
  from_account_id uuid,
  to_account_id uuid,
  amount app_public.amount,
  trading_code text,
  rounding_code text,
  reason text,
  idempotency_key text default null,
  effective_at timestamptz default null,
  description text default null,
  metadata jsonb default null,
  expires_at timestamptz default null
)
returns app_public.transaction_proposals
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor constant app_private.actor := app_private.authorize('transactions.convert');
  v_reason constant text := app_private.required_reason(reason);
  v_expires_at constant timestamptz := app_private.required_expiry(propose_conversion.expires_at);
  v_transaction constant app_public.transaction_input := row(
    'posted', null, idempotency_key, effective_at, null, null, null, description, metadata, null
  )::app_public.transaction_input;
  v_conversion constant app_private.conversion_request := row(
    from_account_id, to_account_id, amount, trading_code, rounding_code, idempotency_key, effective_at,
    description, metadata
  )::app_private.conversion_request;
  v_fingerprint bytea;
  v_proposal app_public.transaction_proposals;
begin
  if idempotency_key is not null then
    v_fingerprint := app_private.fingerprint(array[
      'posted', null, null, row(from_account_id, to_account_id, amount, trading_code, rounding_code)::text,
      extract(epoch from effective_at)::text, null, description, metadata::text, null
    ]);
    v_proposal := app_private.proposal_of_key(v_actor.tenant_id, idempotency_key, v_fingerprint);
    if v_proposal.id is not null then
      return v_proposal;
    end if;
  end if;
  perform app_private.try_proposed(v_actor, null, v_conversion);
  return app_private.insert_proposal(
    v_actor, v_transaction, v_conversion, v_fingerprint, v_reason, v_expires_at);
end
$$;

grant execute on function app_public.propose_conversion(
  uuid, uuid, app_public.amount, text, text, text, text, timestamptz, text, jsonb, timestamptz
) to tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.propose_conversion(
  uuid, uuid, app_public.amount, text, text, text, text, timestamptz, text, jsonb, timestamptz
) is $$
Proposes a conversion, for another person to approve, as `proposeTransaction` does with a transaction. It is
converted at the rate of the moment at which it is approved, unless `effectiveAt` says otherwise.
$$;
--! EndIncluded approvals/propose_conversion.sql
--! Included approvals/approve_proposal.sql
/*
 * Approve a proposal: its transaction is posted in the name of whoever proposed it. A refusal of the posting
 * is raised, and the proposal stays open.
 */
create or replace function app_public.approve_proposal(proposal_id uuid)
returns app_public.transaction_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor constant app_private.actor := app_private.authorize('transactions.approve');
  v_proposal app_public.transaction_proposals;
  v_result app_public.transaction_result;
begin
  v_proposal := app_private.lock_open_proposal(v_actor.tenant_id, proposal_id);
  perform app_private.refuse_decider(v_actor, v_proposal);
  v_result := app_private.post_proposed(
    app_private.proposer_of(v_actor, v_proposal), app_private.transaction_of_proposal(v_proposal),
    app_private.conversion_of_proposal(v_proposal));
  insert into app_public.proposal_decisions (
    tenant_id, proposal_id, proposed_by, outcome, decided_by, transaction_id
  ) values (
    v_proposal.tenant_id, v_proposal.id, v_proposal.proposed_by, 'approved', v_actor.user_id,
    v_result.transaction_id
  );
  return v_result;
end
$$;

grant execute on function app_public.approve_proposal(uuid) to
  tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.approve_proposal(uuid) is $$
Approves a proposal of somebody else: its transaction is posted, in the name of whoever proposed it, and keeps
both names. Where the posting is refused, the answer is that refusal and the proposal stays open.
$$;

/*
 * Refuse whoever may not be the second person: the proposer, by whatever session, and programs, which act for
 * a person who may be the proposer.
 */
create or replace function app_private.refuse_decider(
  actor app_private.actor,
  proposal app_public.transaction_proposals
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if actor.user_id = proposal.proposed_by then
    perform app_private.refuse('LG430', jsonb_build_object('proposalId', proposal.id));
  end if;
  if not exists (
    select
    from app_private.sessions s
    join app_public.users u on u.id = s.user_id
    where s.id = actor.session_id and s.kind <> 'api_key' and u.kind = 'person'
  ) then
    perform app_private.refuse('LG431', jsonb_build_object('proposalId', proposal.id));
  end if;
end
$$;

/*
 * The proposer as the one who posts: still a member, and still allowed to, or the refusal LG432. The second
 * factor is that of the approver, who is the one at hand.
 */
create or replace function app_private.proposer_of(
  actor app_private.actor,
  proposal app_public.transaction_proposals
)
returns app_private.actor
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_role app_public.member_role;
begin
  select m.role into v_role
  from app_public.memberships m
  join app_public.users u on u.id = m.user_id
  where m.tenant_id = proposal.tenant_id
    and m.user_id = proposal.proposed_by
    and m.status = 'active'
    and u.status = 'active'
    and not exists (
      select p.permission
      from unnest(app_private.permissions_of_proposal(proposal)) as p (permission)
      except
      select r.permission
      from app_public.role_permissions r
      where r.tenant_id = proposal.tenant_id and r.role = m.role
    );
  if not found then
    perform app_private.refuse('LG432', jsonb_build_object('proposedBy', proposal.proposed_by));
  end if;
  actor.user_id := proposal.proposed_by;
  actor.role := v_role;
  return actor;
end
$$;

/*
 * What whoever proposes this must be allowed to do.
 */
create or replace function app_private.permissions_of_proposal(proposal app_public.transaction_proposals)
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select case
    when exists (
      select
      from app_public.proposed_conversions c
      where c.tenant_id = proposal.tenant_id and c.proposal_id = proposal.id
    ) then array['transactions.convert']
    when proposal.reverses_id is not null then array['transactions.post', 'transactions.reverse']
    else array['transactions.post']
  end
$$;
--! EndIncluded approvals/approve_proposal.sql
--! Included approvals/reject_proposal.sql
/*
 * Reject a proposal of somebody else: it is never posted.
 */
create or replace function app_public.reject_proposal(proposal_id uuid, reason text)
returns app_public.transaction_proposals
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor constant app_private.actor := app_private.authorize('transactions.approve');
  v_reason constant text := app_private.required_reason(reason);
  v_proposal app_public.transaction_proposals;
begin
  v_proposal := app_private.lock_open_proposal(v_actor.tenant_id, proposal_id);
  perform app_private.refuse_decider(v_actor, v_proposal);
  insert into app_public.proposal_decisions (
    tenant_id, proposal_id, proposed_by, outcome, decided_by, reason
  ) values (
    v_proposal.tenant_id, v_proposal.id, v_proposal.proposed_by, 'rejected', v_actor.user_id, v_reason
  );
  return v_proposal;
end
$$;

grant execute on function app_public.reject_proposal(uuid, text) to
  tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.reject_proposal(uuid, text) is $$
Rejects a proposal of somebody else. It can no longer be approved; its transaction may be proposed anew, under
another idempotency key.
$$;
--! EndIncluded approvals/reject_proposal.sql
--! Included approvals/withdraw_proposal.sql
/*
 * Withdraw a proposal of one's own.
 */
create or replace function app_public.withdraw_proposal(proposal_id uuid)
returns app_public.transaction_proposals
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor constant app_private.actor := app_private.authorize('transactions.post');
  v_proposal app_public.transaction_proposals;
begin
  v_proposal := app_private.lock_open_proposal(v_actor.tenant_id, proposal_id);
  if v_proposal.proposed_by <> v_actor.user_id then
    perform app_private.refuse('LG433', jsonb_build_object('proposalId', proposal_id));
  end if;
  insert into app_public.proposal_decisions (tenant_id, proposal_id, proposed_by, outcome, decided_by)
  values (v_proposal.tenant_id, v_proposal.id, v_proposal.proposed_by, 'withdrawn', v_actor.user_id);
  return v_proposal;
end
$$;

grant execute on function app_public.withdraw_proposal(uuid) to
  tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.withdraw_proposal(uuid) is $$
Withdraws a proposal of the caller: it can no longer be approved.
$$;
--! EndIncluded approvals/withdraw_proposal.sql
--! Included approvals/transaction_proposal.sql
/*
 * One proposal of the tenant, by id.
 */
create or replace function app_public.transaction_proposal(id uuid)
returns app_public.transaction_proposals
language sql
stable
as $$
  select p.*
  from app_public.transaction_proposals p
  where p.tenant_id = (select app_hidden.current_tenant_id()) and p.id = transaction_proposal.id
$$;

grant execute on function app_public.transaction_proposal(uuid) to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.transaction_proposal(uuid) is $$
The proposal with this id, or null where there is none that the caller may see.
$$;

/*
 * What waits for a second person.
 */
create or replace function app_public.open_proposals()
returns setof app_public.transaction_proposals
language sql
stable
rows 20
as $$
  select p.*
  from app_public.transaction_proposals p
  where p.tenant_id = (select app_hidden.current_tenant_id())
    and p.expires_at > now()
    and not exists (
      select from app_public.proposal_decisions d where d.tenant_id = p.tenant_id and d.proposal_id = p.id
    )
  order by p.id
$$;

grant execute on function app_public.open_proposals() to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.open_proposals() is $$
The proposals that wait to be approved, the oldest first.
$$;

/*
 * What has become of a proposal. One that nobody decided in time is expired from that instant on.
 */
create or replace function app_public.transaction_proposals_status(proposal app_public.transaction_proposals)
returns app_public.proposal_status
language sql
stable
as $$
  select coalesce(
    (
      select d.outcome::text::app_public.proposal_status
      from app_public.proposal_decisions d
      where d.tenant_id = proposal.tenant_id and d.proposal_id = proposal.id
    ),
    case when proposal.expires_at <= clock_timestamp() then 'expired' else 'open' end::app_public.proposal_status
  )
$$;

grant execute on function app_public.transaction_proposals_status(app_public.transaction_proposals) to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.transaction_proposals_status(app_public.transaction_proposals) is
  'What has become of the proposal.';

/*
 * The proposal that a transaction was posted by.
 */
create or replace function app_public.transactions_proposal(transaction app_public.transactions)
returns app_public.transaction_proposals
language sql
stable
as $$
  select p.*
  from app_public.proposal_decisions d
  join app_public.transaction_proposals p on p.tenant_id = d.tenant_id and p.id = d.proposal_id
  where d.tenant_id = transaction.tenant_id and d.transaction_id = transaction.id
$$;

grant execute on function app_public.transactions_proposal(app_public.transactions) to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.transactions_proposal(app_public.transactions) is $$
The proposal that the transaction was posted by, with who approved it; null for one that needed none.
$$;

create or replace function app_public.proposed_postings_amount_formatted(posting app_public.proposed_postings)
returns text
language sql
stable
as $$
  select app_hidden.format_amount_of(posting.amount, a.currency)
  from app_public.accounts a
  where a.tenant_id = posting.tenant_id and a.id = posting.account_id
$$;

grant execute on function app_public.proposed_postings_amount_formatted(app_public.proposed_postings) to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.proposed_postings_amount_formatted(app_public.proposed_postings) is
  'The amount as a decimal at the exponent of the currency, such as "12.34".';
--! EndIncluded approvals/transaction_proposal.sql
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
--! Included access/identity.sql
/*
 * Who belongs to a tenant, and what its roles may do. A user is seen by themselves, and by the staff of
 * the tenants that they belong to who may read who is a member.
 */
drop policy if exists select_own_membership on app_public.memberships;
create policy select_own_membership on app_public.memberships for select to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_partner
  using (
    tenant_id = (select app_hidden.current_tenant_id()) and user_id = (select app_hidden.current_user_id())
  );

drop policy if exists select_staff on app_public.memberships;
create policy select_staff on app_public.memberships for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (
    tenant_id = (select app_hidden.current_tenant_id())
    and (select app_hidden.has_permission('members.read'))
  );

grant select on app_public.memberships to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_partner;

drop policy if exists select_self on app_public.users;
create policy select_self on app_public.users for select to
  tallystick_customer, tallystick_partner, tallystick_operator
  using (id = (select app_hidden.current_user_id()));

-- The memberships in the subquery are those that the staff may see: their policy holds in here too.
drop policy if exists select_staff on app_public.users;
create policy select_staff on app_public.users for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (exists (
    select
    from app_public.memberships m
    where m.tenant_id = (select app_hidden.current_tenant_id()) and m.user_id = users.id
  ));

grant select on app_public.users to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_partner, tallystick_operator;

drop policy if exists select_signed_in on app_public.permissions;
create policy select_signed_in on app_public.permissions for select to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_partner, tallystick_operator
  using (true);

grant select on app_public.permissions to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_partner, tallystick_operator;

drop policy if exists select_signed_in on app_public.grantable_permissions;
create policy select_signed_in on app_public.grantable_permissions for select to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_partner, tallystick_operator
  using (true);

grant select on app_public.grantable_permissions to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_partner, tallystick_operator;

drop policy if exists select_signed_in on app_public.role_permissions;
create policy select_signed_in on app_public.role_permissions for select to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_partner
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_public.role_permissions to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_partner;

drop policy if exists select_staff on app_public.transaction_thresholds;
create policy select_staff on app_public.transaction_thresholds for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_public.transaction_thresholds to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded access/identity.sql
--! Included access/ledger.sql
/*
 * Who reads the ledger: staff all of their tenant's, a customer the accounts that they own and what
 * happened on them. Nobody but the owner's functions writes, so there is no other grant and no policy
 * for writing.
 *
 * The accounts of a customer are read once a query, as an array, and are an index condition of the rest.
 */
drop policy if exists select_staff on app_public.accounts;
create policy select_staff on app_public.accounts for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

drop policy if exists select_customer on app_public.accounts;
create policy select_customer on app_public.accounts for select to tallystick_customer
  using (
    tenant_id = (select app_hidden.current_tenant_id())
    and owner_id = (select app_hidden.current_user_id())
  );

grant select on app_public.accounts to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

drop policy if exists select_staff on app_public.account_balances;
create policy select_staff on app_public.account_balances for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

drop policy if exists select_customer on app_public.account_balances;
create policy select_customer on app_public.account_balances for select to tallystick_customer
  using (
    tenant_id = (select app_hidden.current_tenant_id())
    and account_id = any ((select app_hidden.current_user_account_ids())::uuid[])
  );

grant select on app_public.account_balances to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

drop policy if exists select_staff on app_public.postings;
create policy select_staff on app_public.postings for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

drop policy if exists select_customer on app_public.postings;
create policy select_customer on app_public.postings for select to tallystick_customer
  using (
    tenant_id = (select app_hidden.current_tenant_id())
    and account_id = any ((select app_hidden.current_user_account_ids())::uuid[])
  );

grant select on app_public.postings to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

drop policy if exists select_staff on app_public.transactions;
create policy select_staff on app_public.transactions for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

/*
 * As an array, which is read once a query from the index of the postings alone, and is an index condition:
 * what it costs depends on how much the customer has, not on how much the tenant has. The postings in the
 * subquery are those that the customer may see: their policy holds in here too.
 */
drop policy if exists select_customer on app_public.transactions;
create policy select_customer on app_public.transactions for select to tallystick_customer
  using (
    tenant_id = (select app_hidden.current_tenant_id())
    and id = any (array(
      select p.transaction_id
      from app_public.postings p
      where p.tenant_id = (select app_hidden.current_tenant_id())
    ))
  );

grant select on app_public.transactions to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded access/ledger.sql
--! Included approvals/tg_transaction_thresholds__keep_history.sql
/*
 * Keep what the threshold of approval was and since when, so that it can be proven later that each transaction
 * was approved which had to be. A threshold that is taken away leaves a null.
 */
create or replace function app_private.tg_transaction_thresholds__keep_history()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into app_private.approval_thresholds (tenant_id, currency, amount)
  values (coalesce(new.tenant_id, old.tenant_id), coalesce(new.currency, old.currency), new.approval_amount);
  return null;
end
$$;

create or replace trigger _510_keep_history
  after insert or update or delete on app_public.transaction_thresholds
  for each row execute function app_private.tg_transaction_thresholds__keep_history();

create or replace trigger _200_refuse_change
  before update or delete or truncate on app_private.approval_thresholds
  for each statement execute function app_private.tg__refuse_change();

-- Reached through a view of checks alone: nobody may name a table of app_private.
drop policy if exists select_staff on app_private.approval_thresholds;
create policy select_staff on app_private.approval_thresholds for select to
  tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_private.approval_thresholds to
  tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded approvals/tg_transaction_thresholds__keep_history.sql
--! Included approvals/access.sql
/*
 * Proposals are the staff's to read. Nothing of them ever changes.
 */
do $$
declare
  v_table regclass;
begin
  foreach v_table in array array[
    'app_public.transaction_proposals', 'app_public.proposed_postings', 'app_public.proposed_conversions',
    'app_public.proposal_decisions'
  ]::regclass[] loop
    execute format('drop policy if exists select_staff on %s', v_table);
    execute format(
      'create policy select_staff on %s for select to
        tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
        using (tenant_id = (select app_hidden.current_tenant_id()))', v_table);
    execute format(
      'grant select on %s to
        tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin', v_table);
    execute format(
      'create or replace trigger _200_refuse_change
        before update or delete or truncate on %s
        for each statement execute function app_private.tg__refuse_change()', v_table);
  end loop;
end
$$;
--! EndIncluded approvals/access.sql
--! Included approvals/comments.sql
/*
 * What GraphQL says about proposals. See accounts/comments.sql for how it is read.
 */
comment on type app_public.proposal_outcome is 'What was decided about a proposal.';
comment on type app_public.proposal_status is 'What has become of a proposal.';

comment on table app_public.transaction_proposals is $$
@behavior +query:resource:connection +type:node

A transaction that waits, or waited, for a second person. It never changes; what is decided about it is a row
beside it.
$$;
comment on column app_public.transaction_proposals.id is $$
@behavior +attribute:filterBy +attribute:orderBy

The id, a UUID of version 7: ids sort in the order in which the proposals were made.
$$;
comment on column app_public.transaction_proposals.created_at is 'When it was proposed.';
comment on column app_public.transaction_proposals.expires_at is 'From when on it can no longer be approved.';
comment on column app_public.transaction_proposals.proposed_by is $$
@behavior +attribute:filterBy

The id of the user who proposed it.
$$;
comment on column app_public.transaction_proposals.reason is 'Why, in words.';
comment on column app_public.transaction_proposals.kind is 'What the transaction does.';
comment on column app_public.transaction_proposals.idempotency_key is 'The retry token of the caller.';
comment on column app_public.transaction_proposals.fingerprint is '@behavior -*';
comment on column app_public.transaction_proposals.effective_at is
  'When it happens in business terms; when it is approved, if null.';
comment on column app_public.transaction_proposals.timeout_seconds is
  'After how many seconds a pending transaction expires, counted from its approval.';
comment on column app_public.transaction_proposals.pending_id is
  'The id of the pending transaction that it posts or voids.';
comment on column app_public.transaction_proposals.reverses_id is 'The id of the transaction that it reverses.';
comment on column app_public.transaction_proposals.description is 'What the transaction is for, in words.';
comment on column app_public.transaction_proposals.metadata is
  'Facts that the transaction carries, a JSON object.';
comment on column app_public.transaction_proposals.conditions is
  'What is taken for granted about accounts when it is posted: accountId, minimumAvailable, version.';
comment on constraint transaction_proposals_proposed_by_fkey on app_public.transaction_proposals is $$
@fieldName proposer
@backwardBehavior -*
@forwardDescription Who proposed it, as a member of the tenant.
$$;
comment on constraint transaction_proposals_pending_id_fkey on app_public.transaction_proposals is $$
@fieldName pending
@backwardBehavior -*
@forwardDescription The pending transaction that it posts or voids.
$$;
comment on constraint transaction_proposals_reverses_id_fkey on app_public.transaction_proposals is $$
@fieldName reverses
@backwardBehavior -*
@forwardDescription The transaction that it reverses.
$$;

comment on table app_public.proposed_postings is 'One debit or credit of a proposed transaction on one account.';
comment on column app_public.proposed_postings.proposal_id is 'The id of the proposal.';
comment on column app_public.proposed_postings.ordinal is
  'The place of the posting in its transaction: 1, 2, 3 and so on.';
comment on column app_public.proposed_postings.account_id is 'The id of the account.';
comment on column app_public.proposed_postings.direction is 'The side: debit or credit.';
comment on column app_public.proposed_postings.amount is 'How much, in minor units.';
comment on constraint proposed_postings_proposal_id_fkey on app_public.proposed_postings is $$
@fieldName proposal
@foreignFieldName postings
@forwardDescription The proposal that it is part of.
@backwardDescription The debits and credits that it proposes; none where another transaction gives them.
$$;
comment on constraint proposed_postings_account_id_fkey on app_public.proposed_postings is $$
@fieldName account
@backwardBehavior -*
@forwardDescription The account.
$$;

comment on table app_public.proposed_conversions is 'What a proposal converts, where it proposes a conversion.';
comment on column app_public.proposed_conversions.proposal_id is 'The id of the proposal.';
comment on column app_public.proposed_conversions.from_account_id is 'The id of the account that gives.';
comment on column app_public.proposed_conversions.to_account_id is 'The id of the account that gets.';
comment on column app_public.proposed_conversions.amount is 'How much is given, in minor units.';
comment on column app_public.proposed_conversions.trading_code is 'The code of the trading accounts.';
comment on column app_public.proposed_conversions.rounding_code is
  'The code of the account that takes what rounding leaves.';
comment on constraint proposed_conversions_proposal_id_fkey on app_public.proposed_conversions is $$
@fieldName proposal
@foreignSingleFieldName conversion
@forwardDescription The proposal that it is part of.
@backwardDescription What it converts, if it proposes a conversion.
$$;
comment on constraint proposed_conversions_from_account_id_fkey on app_public.proposed_conversions is $$
@fieldName fromAccount
@backwardBehavior -*
@forwardDescription The account that gives.
$$;
comment on constraint proposed_conversions_to_account_id_fkey on app_public.proposed_conversions is $$
@fieldName toAccount
@backwardBehavior -*
@forwardDescription The account that gets.
$$;

comment on table app_public.proposal_decisions is $$
What was decided about a proposal, and by whom. At most one for each, and never by the proposer, but to
withdraw it.
$$;
comment on column app_public.proposal_decisions.proposal_id is 'The id of the proposal.';
comment on column app_public.proposal_decisions.proposed_by is 'The id of the user who proposed it.';
comment on column app_public.proposal_decisions.outcome is 'What was decided.';
comment on column app_public.proposal_decisions.decided_at is 'When it was decided.';
comment on column app_public.proposal_decisions.decided_by is 'The id of the user who decided.';
comment on column app_public.proposal_decisions.reason is 'Why, in words.';
comment on column app_public.proposal_decisions.transaction_id is
  'The id of the transaction that an approval posted.';
comment on constraint proposal_decisions_proposal_id_fkey on app_public.proposal_decisions is $$
@fieldName proposal
@foreignSingleFieldName decision
@forwardDescription The proposal.
@backwardDescription What was decided about it, and by whom.
$$;
comment on constraint proposal_decisions_decided_by_fkey on app_public.proposal_decisions is $$
@fieldName decider
@backwardBehavior -*
@forwardDescription Who decided, as a member of the tenant.
$$;
comment on constraint proposal_decisions_transaction_id_fkey on app_public.proposal_decisions is $$
@fieldName transaction
@backwardBehavior -*
@forwardDescription The transaction that an approval posted.
$$;
--! EndIncluded approvals/comments.sql
--! Included checks/approvals_that_do_not_fit.sql
create or replace view checks.approvals_that_do_not_fit with (security_invoker = true) as
with approval as (
  select d.tenant_id, d.proposal_id, d.transaction_id
  from app_public.proposal_decisions d
  where d.outcome = 'approved'
),
line as (
  select a.tenant_id, a.proposal_id, a.transaction_id, p.ordinal::integer as ordinal, p.account_id, p.direction,
    p.amount::numeric as amount
  from approval a
  join app_public.proposed_postings p on p.tenant_id = a.tenant_id and p.proposal_id = a.proposal_id
  union all
  select a.tenant_id, a.proposal_id, a.transaction_id, p.ordinal::integer, p.account_id, p.direction,
    -(case t.kind when 'pending' then p.pending_amount else p.posted_amount end)::numeric
  from approval a
  join app_public.transactions t
    on t.tenant_id = a.tenant_id and t.id = a.transaction_id
    and t.kind in ('posted', 'pending') and t.reverses_id is null
    and not exists (
      select
      from app_public.proposed_conversions c
      where c.tenant_id = a.tenant_id and c.proposal_id = a.proposal_id
    )
  join app_public.postings p on p.tenant_id = a.tenant_id and p.transaction_id = a.transaction_id
)
select a.tenant_id, a.proposal_id, a.transaction_id
from approval a
join app_public.transaction_proposals p on p.tenant_id = a.tenant_id and p.id = a.proposal_id
join app_public.transactions t on t.tenant_id = a.tenant_id and t.id = a.transaction_id
where (
    t.kind, t.created_by, t.pending_id, t.reverses_id, t.idempotency_key, t.description, t.metadata,
    coalesce(p.effective_at, t.effective_at)
  ) is distinct from (
    p.kind, p.proposed_by, p.pending_id, p.reverses_id, p.idempotency_key, p.description, p.metadata,
    t.effective_at
  )
union
select l.tenant_id, l.proposal_id, l.transaction_id
from line l
join app_public.transactions t
  on t.tenant_id = l.tenant_id and t.id = l.transaction_id and t.kind in ('posted', 'pending')
group by l.tenant_id, l.proposal_id, l.transaction_id, l.ordinal, l.account_id, l.direction
having sum(l.amount) <> 0
union
select a.tenant_id, a.proposal_id, a.transaction_id
from approval a
join app_public.proposed_conversions p on p.tenant_id = a.tenant_id and p.proposal_id = a.proposal_id
left join app_public.conversions c on c.tenant_id = a.tenant_id and c.transaction_id = a.transaction_id
where (c.from_account_id, c.to_account_id, c.sold_amount) is distinct from (
  p.from_account_id, p.to_account_id, p.amount
);

grant select on checks.approvals_that_do_not_fit to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.approvals_that_do_not_fit is $$
An approved proposal posted what it proposed, in the name of whoever proposed it.
$$;
--! EndIncluded checks/approvals_that_do_not_fit.sql
--! Included checks/transactions_without_approval.sql
create or replace view checks.transactions_without_approval with (security_invoker = true) as
with threshold as (
  select h.tenant_id, h.currency, h.amount, h.since,
    coalesce(
      lead(h.since) over (partition by h.tenant_id, h.currency order by h.since, h.id), 'infinity'
    ) as until
  from app_private.approval_thresholds h
),
-- Only a currency that has ever had a threshold, and only what reaches the lowest of them.
lowest as (
  select t.tenant_id, t.currency, min(t.amount) as amount
  from threshold t
  group by t.tenant_id, t.currency
),
large as (
  select p.tenant_id, p.transaction_id, p.currency,
    sum(p.posted_amount::numeric + p.pending_amount) as amount
  from lowest l
  join app_public.postings p
    on p.tenant_id = l.tenant_id and p.currency = l.currency and p.direction = 'debit'
    -- Neither what resolves a pending transaction nor what releases it: asked about when it was made.
    and p.pending_amount >= 0
  group by p.tenant_id, p.transaction_id, p.currency, l.amount
  having sum(p.posted_amount::numeric + p.pending_amount) >= l.amount
)
select g.tenant_id, g.transaction_id, g.currency, g.amount, min(h.amount) as threshold
from large g
join app_public.transactions t on t.tenant_id = g.tenant_id and t.id = g.transaction_id
-- What was in force at any time of the minute before: a posting reads it before it takes its time.
join threshold h
  on h.tenant_id = g.tenant_id
  and h.currency = g.currency
  and h.since <= t.created_at
  and h.until > t.created_at - interval '1 minute'
where t.kind in ('posted', 'pending')
  -- What the ledger does of itself, and what closes a period, asks nobody.
  and t.created_by is not null
  and not exists (
    select
    from app_public.closing_transactions c
    where c.tenant_id = t.tenant_id and c.transaction_id = t.id
  )
  and not exists (
    select
    from app_public.proposal_decisions d
    where d.tenant_id = t.tenant_id and d.transaction_id = t.id and d.outcome = 'approved'
  )
group by g.tenant_id, g.transaction_id, g.currency, g.amount, t.created_at
having bool_and(g.amount >= h.amount) and bool_and(h.amount is not null)
  and min(h.since) <= t.created_at - interval '1 minute';

grant select on checks.transactions_without_approval to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.transactions_without_approval is $$
A transaction that reached the threshold of approval of its time was approved by a second person.
$$;
--! EndIncluded checks/transactions_without_approval.sql
--! Included fx/post_conversion__plan.sql
/*
 * The postings of a conversion, and what it does to the residue that is carried. A retry with the key of
 * an earlier conversion of the same facts gets the postings of that one, whatever the rate is now.
 * The row of the rounding account in carried_residues is locked before any balance: conversions that
 * share it take turns, in one order.
 */
create or replace function app_private.post_conversion__plan(
  actor app_private.actor,
  from_account_id uuid,
  to_account_id uuid,
  amount numeric,
  trading_code text,
  rounding_code text,
  idempotency_key text,
  at timestamptz
)
returns app_private.conversion_plan
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := actor.tenant_id;
  v_from app_public.accounts := app_private.required_account(actor, from_account_id);
  v_to app_public.accounts := app_private.required_account(actor, to_account_id);
  v_trading_from uuid;
  v_trading_to uuid;
  v_plan app_private.conversion_plan;
  v_up constant app_public.direction := v_to.normal_balance;
  v_down constant app_public.direction := case when v_up = 'debit' then 'credit' else 'debit' end;
  v_sign constant integer := case when v_up = 'credit' then 1 else -1 end;
  v_rounding numeric;
begin
  if v_from.currency = v_to.currency or v_from.normal_balance <> v_to.normal_balance then
    perform app_private.refuse('LG344', jsonb_build_object(
      'fromAccountId', from_account_id, 'toAccountId', to_account_id));
  end if;
  v_trading_from := app_private.required_conversion_account(actor, trading_code, v_from.currency);
  v_trading_to := app_private.required_conversion_account(actor, trading_code, v_to.currency);
  v_plan.rounding_account_id := app_private.required_conversion_account(
    actor, rounding_code, v_to.currency);
  v_plan.sold_currency := v_from.currency;

  insert into app_private.carried_residues (tenant_id, account_id)
  values (v_tenant_id, v_plan.rounding_account_id)
  on conflict on constraint carried_residues_pkey do nothing;
  select r.residue into v_plan.carried_residue
  from app_private.carried_residues r
  where r.tenant_id = v_tenant_id and r.account_id = v_plan.rounding_account_id
  for update;

  select array_agg(
    row(p.account_id, p.direction, p.posted_amount)::app_public.posting_input order by p.ordinal)
  into v_plan.postings
  from app_public.transactions t
  join app_public.conversions c on c.tenant_id = t.tenant_id and c.transaction_id = t.id
  join app_public.postings p on p.tenant_id = t.tenant_id and p.transaction_id = t.id
  where t.tenant_id = v_tenant_id
    and t.idempotency_key = post_conversion__plan.idempotency_key
    and c.from_account_id = v_from.id and c.to_account_id = v_to.id
    and c.sold_amount = post_conversion__plan.amount
    and c.rounding_account_id = v_plan.rounding_account_id;
  if v_plan.postings is not null then
    return v_plan;
  end if;

  v_plan.bought := app_private.convert_exactly(v_tenant_id, amount, v_from.currency, v_to.currency, at);
  if (v_plan.bought).amount = 0 then
    perform app_private.refuse('LG341', jsonb_build_object(
      'exactAmount', (v_plan.bought).exact_amount::text));
  end if;
  -- Towards zero: less than a unit stays, on either side of it.
  v_plan.carried_residue := v_plan.carried_residue + v_sign * (v_plan.bought).residue;
  v_plan.rounding_amount := trunc(v_plan.carried_residue);
  v_plan.carried_residue := v_plan.carried_residue - v_plan.rounding_amount;
  v_rounding := v_sign * v_plan.rounding_amount;

  select array_agg(row(l.account_id, l.direction, l.amount)::app_public.posting_input order by l.n)
  into v_plan.postings
  from (values
    (1, v_from.id, v_down, amount),
    (2, v_trading_from, v_up, amount),
    (3, v_to.id, v_up, (v_plan.bought).amount::numeric),
    (4, v_trading_to, v_down, (v_plan.bought).amount + v_rounding),
    (5, v_plan.rounding_account_id, case when v_rounding > 0 then v_up else v_down end, abs(v_rounding))
  ) as l (n, account_id, direction, amount)
  where l.amount > 0;
  return v_plan;
end
$$;
--! EndIncluded fx/post_conversion__plan.sql
--! Included access/partner.sql
/*
 * All that a partner may ever do, in one place: what it reads, and what it calls. Its permissions and the
 * scopes of its key are within this. See docs/decisions/0010-partners.md.
 *
 * The accounts of a partner are read once a query, as an array, and are an index condition of the rest.
 */
do $$
declare
  v_table regclass;
begin
  -- What has no tenant, and no secret.
  foreach v_table in array array['app_public.refusals', 'app_public.iso_currencies']::regclass[] loop
    execute format('drop policy if exists select_partner on %s', v_table);
    execute format('create policy select_partner on %s for select to tallystick_partner using (true)', v_table);
    execute format('grant select on %s to tallystick_partner', v_table);
  end loop;

  -- What is of the tenant and needed to read an amount.
  foreach v_table in array array['app_public.currencies', 'app_public.exchange_rates']::regclass[] loop
    execute format('drop policy if exists select_partner on %s', v_table);
    execute format(
      'create policy select_partner on %s for select to tallystick_partner
        using (tenant_id = (select app_hidden.current_tenant_id()))', v_table);
    execute format('grant select on %s to tallystick_partner', v_table);
  end loop;

  -- What belongs to an account.
  foreach v_table in array array[
    'app_public.account_balances', 'app_public.postings', 'app_hidden.posting_blocks',
    'app_hidden.posting_block_entries', 'app_private.open_reservations'
  ]::regclass[] loop
    execute format('drop policy if exists select_partner on %s', v_table);
    execute format(
      'create policy select_partner on %s for select to tallystick_partner
        using (
          tenant_id = (select app_hidden.current_tenant_id())
          and account_id = any ((select app_hidden.current_partner_account_ids())::uuid[])
        )', v_table);
    execute format('grant select on %s to tallystick_partner', v_table);
  end loop;
end
$$;

drop policy if exists select_partner on app_public.tenants;
create policy select_partner on app_public.tenants for select to tallystick_partner
  using (id = (select app_hidden.current_tenant_id()));

drop policy if exists select_partner on app_public.accounts;
create policy select_partner on app_public.accounts for select to tallystick_partner
  using (
    tenant_id = (select app_hidden.current_tenant_id())
    and id = any ((select app_hidden.current_partner_account_ids())::uuid[])
  );

-- The postings in the subquery are those that the partner may see: their policy holds in here too.
drop policy if exists select_partner on app_public.transactions;
create policy select_partner on app_public.transactions for select to tallystick_partner
  using (
    tenant_id = (select app_hidden.current_tenant_id())
    and exists (
      select
      from app_public.postings p
      where p.tenant_id = (select app_hidden.current_tenant_id()) and p.transaction_id = transactions.id
    )
  );

drop policy if exists select_partner on app_public.conversions;
create policy select_partner on app_public.conversions for select to tallystick_partner
  using (
    tenant_id = (select app_hidden.current_tenant_id())
    and (
      from_account_id = any ((select app_hidden.current_partner_account_ids())::uuid[])
      or to_account_id = any ((select app_hidden.current_partner_account_ids())::uuid[])
    )
  );

grant select on
  app_public.tenants, app_public.accounts, app_public.transactions, app_public.conversions,
  app_hidden.open_reservations
to tallystick_partner;

-- Reading
grant execute on function
  app_public.account(uuid),
  app_public.account_by_code(text, text),
  app_public.accounts_balance(app_public.accounts, timestamptz, timestamptz),
  app_public.accounts_maximum_balance_formatted(app_public.accounts),
  app_public.accounts_minimum_balance_formatted(app_public.accounts),
  app_public.accounts_statement(
    app_public.accounts, integer, bigint, bigint, boolean, timestamptz, timestamptz),
  app_public.accounts_subtree_balances(app_public.accounts, timestamptz, timestamptz),
  app_public.allocate(app_public.amount, numeric[]),
  app_public.balance_available_formatted(app_public.balance),
  app_public.balance_pending_formatted(app_public.balance),
  app_public.balance_posted_formatted(app_public.balance),
  app_public.convert_amount(app_public.amount, text, text, timestamptz),
  app_public.currency(text),
  app_public.current_tenant(),
  app_public.postings_amount(app_public.postings),
  app_public.postings_amount_formatted(app_public.postings),
  app_public.resulting_balance_available_formatted(app_public.resulting_balance),
  app_public.resulting_balance_pending_formatted(app_public.resulting_balance),
  app_public.resulting_balance_posted_formatted(app_public.resulting_balance),
  app_public.statement_line_amount_formatted(app_public.statement_line),
  app_public.statement_line_posted_formatted(app_public.statement_line),
  app_public.total_balance_balance_formatted(app_public.total_balance),
  app_public.transaction(uuid),
  app_public.transaction_by_idempotency_key(text),
  app_public.transactions_status(app_public.transactions)
to tallystick_partner;

-- What the above stand on
grant execute on function
  app_hidden.balance_of(text, app_public.direction, bigint, numeric, numeric, numeric, numeric),
  app_hidden.counters_at(integer, uuid[], timestamptz, timestamptz),
  app_hidden.format_amount(numeric, integer),
  app_hidden.format_amount_of(numeric, text),
  app_hidden.posted_as_of(integer, uuid[], bigint[], timestamptz),
  app_hidden.total_of(integer, uuid[], timestamptz, timestamptz),
  app_hidden.versions_at(integer, uuid[], timestamptz)
to tallystick_partner;

-- Writing: each of them asks authorize, and names accounts of the partner only.
grant execute on function
  app_public.open_account(
    text, text, app_public.account_type, text, app_public.direction, uuid, uuid,
    app_public.amount, app_public.amount, jsonb),
  app_public.post_conversion(uuid, uuid, app_public.amount, text, text, text, timestamptz, text, jsonb),
  app_public.post_pending_transaction(uuid, app_public.posting_input[], text, timestamptz, text, jsonb),
  app_public.post_transaction(app_public.transaction_input),
  app_public.post_transactions(app_public.transaction_input[], app_public.batch_mode),
  app_public.void_pending_transaction(uuid, text, text, jsonb)
to tallystick_partner;
--! EndIncluded access/partner.sql
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
