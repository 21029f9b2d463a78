--! Previous: sha1:06eb34c195c53415afa2a9cd27c735c3ea65dda7
--! Hash: sha1:3fea8260ba38c8cf9d2ac17b20564fd6e5c98815
--! Message: sealing

-- The migration being written. See migrations/README.md.
---- sealing ----

-- Two chains of blocks a tenant.
do $$
begin
  if to_regtype('app_public.seal_stream') is null then
    create type app_public.seal_stream as enum ('ledger', 'audit');
    create domain app_public.sha256 as text
      constraint sha256_is_64_hexadecimal_digits check (value ~ '^[0-9a-f]{64}$');
  end if;
end
$$;

-- How far each chain has come, and its last block. The id names the chain in block headers and anchors, so
-- that neither tells the number of the tenant, and a chain that was begun anew is another one.
create table if not exists app_private.seal_chains (
  tenant_id integer not null,
  stream app_public.seal_stream not null,
  chain_id uuid not null,
  number integer not null,
  position bigint not null,
  block_hash app_public.sha256 not null,
  xact_id xid8 not null,
  id uuid not null,
  constraint seal_chains_pkey primary key (tenant_id, stream),
  constraint seal_chains_chain_id_key unique (tenant_id, stream, chain_id),
  constraint seal_chains_number_is_positive check (number > 0)
);

create table if not exists app_public.seal_blocks (
  tenant_id integer not null,
  stream app_public.seal_stream not null,
  number integer not null,
  leaf_count integer not null,
  first_position bigint not null,
  last_position bigint not null,
  earliest_at timestamptz not null,
  latest_at timestamptz not null,
  sealed_at timestamptz not null,
  chain_id uuid not null,
  merkle_root app_public.sha256 not null,
  previous_hash app_public.sha256,
  block_hash app_public.sha256 not null,
  constraint seal_blocks_pkey primary key (tenant_id, stream, number),
  constraint seal_blocks_chain_id_fkey foreign key (tenant_id, stream, chain_id)
    references app_private.seal_chains (tenant_id, stream, chain_id) on delete restrict,
  constraint seal_blocks_number_is_positive check (number > 0),
  constraint seal_blocks_first_has_no_previous check ((number = 1) = (previous_hash is null)),
  constraint seal_blocks_positions_are_those_of_the_leaves check (
    leaf_count > 0 and first_position > 0 and last_position - first_position + 1 = leaf_count
  )
);

create index if not exists seal_blocks_chain_id_idx on app_public.seal_blocks (tenant_id, stream, chain_id, number);

-- The leaves of each block, in their order, and where it ends in the stream. One row a block: no index is
-- written for each transaction.
create table if not exists app_private.seal_leaves (
  tenant_id integer not null,
  stream app_public.seal_stream not null,
  number integer not null,
  last_xact_id xid8 not null,
  last_id uuid not null,
  ids uuid[] not null,
  leaf_hashes bytea[] not null,
  constraint seal_leaves_pkey primary key (tenant_id, stream, number),
  constraint seal_leaves_last_id_key unique (tenant_id, stream, last_xact_id, last_id),
  constraint seal_leaves_number_fkey foreign key (tenant_id, stream, number)
    references app_public.seal_blocks on delete restrict,
  constraint seal_leaves_each_id_has_a_hash check (cardinality(ids) = cardinality(leaf_hashes))
);

-- Hashes do not compress: trying would only cost time.
alter table app_private.seal_leaves alter column ids set storage external;
alter table app_private.seal_leaves alter column leaf_hashes set storage external;

-- The heads that were told to the outside, which an owner who rewrites a chain cannot take back.
create table if not exists app_private.seal_anchors (
  tenant_id integer not null,
  stream app_public.seal_stream not null,
  destination text not null,
  number integer not null,
  chain_id uuid not null,
  block_hash app_public.sha256 not null,
  anchored_at timestamptz not null default clock_timestamp(),
  constraint seal_anchors_pkey primary key (tenant_id, stream, destination, chain_id, number),
  constraint seal_anchors_number_fkey foreign key (tenant_id, stream, number)
    references app_public.seal_blocks on delete restrict,
  constraint seal_anchors_destination_is_a_file_or_a_webhook check (destination in ('file', 'webhook'))
);

create index if not exists seal_anchors_number_idx on app_private.seal_anchors (tenant_id, stream, number);

do $$
begin
  if to_regtype('app_public.ledger_head') is null then
    create type app_public.ledger_head as (
      stream app_public.seal_stream,
      block app_public.seal_blocks,
      sealed bigint,
      unsealed bigint,
      anchored_number integer
    );
    create type app_public.inclusion_proof as (
      transaction_id uuid,
      content text,
      leaf_hash app_public.sha256,
      leaf_index integer,
      siblings app_public.sha256[],
      block app_public.seal_blocks,
      following_blocks app_public.seal_blocks[]
    );
  end if;
end
$$;

-- It takes the names of checks now.
drop function if exists app_public.verify_ledger();

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
--! Included sealing/hashes.sql
/*
 * Hashes of what is sealed: SHA-256, with a byte before it that tells a leaf (00), an inner node (01) and
 * the header of a block (02) apart, so that none can be passed off as another (RFC 6962). docs/sealing.md
 * specifies all of it. No SET clause: the planner inlines them.
 */
create or replace function app_hidden.leaf_hash(content text)
returns bytea
language sql
stable
parallel safe
as $$
  select sha256('\x00'::bytea || convert_to(content, 'UTF8'))
$$;

create or replace function app_hidden.block_hash(header text)
returns text
language sql
stable
parallel safe
as $$
  select encode(sha256('\x02'::bytea || convert_to(header, 'UTF8')), 'hex')
$$;

/*
 * The level above in a Merkle tree: each two nodes become one, and the last of an odd number goes up as it
 * is. A level is the hashes one after the other, so that a pair is 64 bytes side by side.
 */
create or replace function app_hidden.merkle_level(nodes bytea)
returns bytea
language sql
immutable
parallel safe
as $$
  select string_agg(
    case octet_length(p.pair) when 64 then sha256('\x01'::bytea || p.pair) else p.pair end, ''::bytea order by p.at)
  from (
    select g.at, substr(nodes, g.at, 64) as pair
    from generate_series(1, octet_length(nodes), 64) as g (at)
  ) p
$$;

grant execute on function
  app_hidden.leaf_hash(text), app_hidden.block_hash(text), app_hidden.merkle_level(bytea)
  to tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded sealing/hashes.sql
--! Included sealing/merkle_root.sql
/*
 * The root of the Merkle tree over the leaves of a block, which are in their order. Null without leaves.
 */
create or replace function app_hidden.merkle_root(leaf_hashes bytea[])
returns text
language plpgsql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  v_nodes bytea;
begin
  select string_agg(l.hash, ''::bytea order by l.n) into v_nodes
  from unnest(leaf_hashes) with ordinality as l (hash, n);
  while octet_length(v_nodes) > 32 loop
    v_nodes := app_hidden.merkle_level(v_nodes);
  end loop;
  return encode(v_nodes, 'hex');
end
$$;

/*
 * What it takes to get from a leaf to the root: the sibling at each level, from the leaves up. The index
 * counts from zero. A node without a sibling goes up as it is, so its level adds none.
 */
create or replace function app_hidden.merkle_siblings(leaf_hashes bytea[], leaf_index integer)
returns text[]
language plpgsql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  v_nodes bytea;
  v_at integer := leaf_index;
  v_sibling bytea;
  v_siblings text[] := '{}';
begin
  select string_agg(l.hash, ''::bytea order by l.n) into v_nodes
  from unnest(leaf_hashes) with ordinality as l (hash, n);
  while octet_length(v_nodes) > 32 loop
    v_sibling := substr(v_nodes, (v_at # 1) * 32 + 1, 32);
    if octet_length(v_sibling) = 32 then
      v_siblings := v_siblings || encode(v_sibling, 'hex');
    end if;
    v_at := v_at >> 1;
    v_nodes := app_hidden.merkle_level(v_nodes);
  end loop;
  return v_siblings;
end
$$;

grant execute on function app_hidden.merkle_root(bytea[]) to
  tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded sealing/merkle_root.sql
--! Included sealing/canonical_forms.sql
/*
 * The canonical form of what is sealed: a JSON array of strings, nulls and arrays, with nothing between
 * its elements. That is canonical JSON as RFC 8785 has it, so that any language has a function for it.
 * Strings are what PostgreSQL prints; a time is seconds since 1970 with six decimals, whatever the time
 * zone of the session. docs/sealing.md lists the elements one by one; a change of them is a new version.
 *
 * No SET clause: the planner inlines them. In a language of another kind they would cost ten times as much.
 */
create or replace function app_hidden.canonical_time(at timestamptz)
returns text
language sql
stable
parallel safe
as $$
  select extract(epoch from at)::text
$$;

create or replace function app_hidden.canonical_posting(posting app_public.postings)
returns text
language sql
stable
parallel safe
as $$
  select array_to_json(array[
    posting.ordinal::text, posting.account_id::text, posting.version::text, posting.direction::text,
    posting.currency, posting.posted_amount::text, posting.pending_amount::text,
    posting.posted_debits::text, posting.posted_credits::text,
    posting.pending_debits::text, posting.pending_credits::text,
    app_hidden.canonical_time(posting.created_at), app_hidden.canonical_time(posting.effective_at)
  ])::text
$$;

-- `postings` are the canonical forms of its postings, in their order, with commas between them.
create or replace function app_hidden.canonical_transaction(transaction app_public.transactions, postings text)
returns text
language sql
stable
parallel safe
as $$
  select rtrim(array_to_json(array[
    'tallystick.transaction.v1', transaction.id::text, transaction.kind::text, transaction.xact_id::text,
    app_hidden.canonical_time(transaction.created_at), app_hidden.canonical_time(transaction.effective_at),
    app_hidden.canonical_time(transaction.expires_at),
    transaction.pending_id::text, transaction.reverses_id::text, transaction.created_by::text,
    transaction.idempotency_key, encode(transaction.fingerprint, 'hex'),
    transaction.description, transaction.metadata::text
  ])::text, ']') || ',[' || coalesce(postings, '') || ']]'
$$;

create or replace function app_hidden.canonical_audit_entry(entry app_private.audit_entries)
returns text
language sql
stable
parallel safe
as $$
  select array_to_json(array[
    'tallystick.audit_entry.v1', entry.id::text, entry.operation::text, entry.xact_id::text,
    app_hidden.canonical_time(entry.at),
    entry.user_id::text, entry.session_id::text, entry.address::text, entry.request_role, entry.request_id,
    entry.database_user, entry.application_name, entry.table_name, entry.row_key, entry.action,
    entry.before::text, entry.after::text
  ])::text
$$;

create or replace function app_public.seal_blocks_header(block app_public.seal_blocks)
returns text
language sql
stable
parallel safe
as $$
  select array_to_json(array[
    'tallystick.block.v1', block.chain_id::text, block.stream::text, block.number::text,
    block.first_position::text, block.leaf_count::text,
    app_hidden.canonical_time(block.earliest_at), app_hidden.canonical_time(block.latest_at),
    app_hidden.canonical_time(block.sealed_at),
    block.merkle_root, block.previous_hash
  ])::text
$$;

grant execute on function
  app_hidden.canonical_posting(app_public.postings),
  app_hidden.canonical_transaction(app_public.transactions, text)
  to tallystick_accountant, tallystick_auditor, tallystick_admin;
grant execute on function
  app_hidden.canonical_time(timestamptz), app_public.seal_blocks_header(app_public.seal_blocks)
  to tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.seal_blocks_header(app_public.seal_blocks) is $$
The canonical text of the block. SHA-256 of a byte 02 and this text is its `blockHash`.
$$;
--! EndIncluded sealing/canonical_forms.sql
--! Included sealing/ledger_leaves.sql
/*
 * The ledger as leaves: a transaction with all of its postings is one. Computed from the rows each time.
 */
create or replace view app_hidden.ledger_leaves with (security_invoker = true) as
select
  t.tenant_id, t.xact_id, t.id, t.created_at,
  app_hidden.canonical_transaction(t, p.postings) as content,
  app_hidden.leaf_hash(app_hidden.canonical_transaction(t, p.postings)) as leaf_hash
from app_public.transactions t
cross join lateral (
  select string_agg(app_hidden.canonical_posting(p), ',' order by p.ordinal, p.account_id, p.version) as postings
  from app_public.postings p
  where p.tenant_id = t.tenant_id and p.transaction_id = t.id
) p;

grant select on app_hidden.ledger_leaves to
  tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded sealing/ledger_leaves.sql
--! Included sealing/sealed_leaves.sql
/*
 * The leaves that have been sealed, one row each. The index counts from zero, as in proofs.
 */
create or replace view app_hidden.sealed_leaves with (security_invoker = true) as
select l.tenant_id, l.stream, l.number, (u.n - 1)::integer as leaf_index, u.id, u.leaf_hash
from app_private.seal_leaves l
cross join lateral unnest(l.ids, l.leaf_hashes) with ordinality as u (id, leaf_hash, n);

grant select on app_hidden.sealed_leaves to
  tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded sealing/sealed_leaves.sql
--! Included sealing/audit_leaves.sql
/*
 * The audit trail as leaves: an entry is one. For the owner alone: whoever else reads the trail is to be
 * recorded, and is by the policy of its table.
 */
create or replace view app_private.audit_leaves with (security_invoker = true) as
select
  e.tenant_id, e.xact_id, e.id, e.at,
  app_hidden.leaf_hash(app_hidden.canonical_audit_entry(e)) as leaf_hash
from app_private.audit_entries e;

/*
 * The hashes of the trail of a tenant, for the checks: they tell nothing of what is in it, so that nobody reads
 * the trail by checking it. In a request only of its own tenant.
 */
create or replace function app_hidden.audit_leaf_hashes(tenant_id integer)
returns table (xact_id xid8, id uuid, leaf_hash bytea)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select l.xact_id, l.id, l.leaf_hash
  from app_private.audit_leaves l
  where l.tenant_id = audit_leaf_hashes.tenant_id
    and audit_leaf_hashes.tenant_id = coalesce(app_hidden.current_tenant_id(), audit_leaf_hashes.tenant_id)
$$;

/*
 * How many entries the trail of a tenant has of a time, by the same rule.
 */
create or replace function app_hidden.audit_entry_count(
  tenant_id integer,
  starts_at timestamptz,
  ends_at timestamptz
)
returns bigint
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select count(*)
  from app_private.audit_entries e
  where e.tenant_id = audit_entry_count.tenant_id
    and audit_entry_count.tenant_id = coalesce(app_hidden.current_tenant_id(), audit_entry_count.tenant_id)
    and e.at >= audit_entry_count.starts_at and e.at < audit_entry_count.ends_at
$$;

grant execute on function
  app_hidden.audit_leaf_hashes(integer), app_hidden.audit_entry_count(integer, timestamptz, timestamptz)
  to tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded sealing/audit_leaves.sql
--! Included sealing/retired_blocks.sql
/*
 * The blocks whose rows the retention rule of the audit trail removed, by its own record: their leaf hashes stay.
 */
create or replace view app_hidden.retired_blocks with (security_invoker = true) as
select distinct b.tenant_id, b.stream, b.number, b.leaf_count, r.starts_at, r.ends_at
from app_public.seal_blocks b
join app_private.audit_retirements r
  on r.tenant_id = b.tenant_id and b.earliest_at >= r.starts_at and b.latest_at < r.ends_at
where b.stream = 'audit';

grant select on app_hidden.retired_blocks to
  tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded sealing/retired_blocks.sql
--! Included sealing/next_leaves.sql
/*
 * The next leaves of a chain, up to max_leaves, in the order (xact_id, id), below the oldest database
 * transaction that is still running: there everything is settled, so nothing that commits late is ever
 * passed over, and a leaf that is sealed has none before it that is not.
 */
create or replace function app_private.next_leaves(
  chain app_private.seal_chains,
  max_leaves integer,
  out ids uuid[],
  out leaf_hashes bytea[],
  out earliest_at timestamptz,
  out latest_at timestamptz,
  out last_xact_id xid8
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
as $$
begin
  if chain.stream = 'audit' then
    select n.ids, n.leaf_hashes, n.earliest_at, n.latest_at, n.last_xact_id
    into ids, leaf_hashes, earliest_at, latest_at, last_xact_id
    from app_private.next_audit_leaves(chain, max_leaves) n;
    return;
  end if;
  select
    array_agg(l.id order by l.xact_id, l.id), array_agg(l.leaf_hash order by l.xact_id, l.id),
    min(l.created_at), max(l.created_at), max(l.xact_id)
  into ids, leaf_hashes, earliest_at, latest_at, last_xact_id
  from (
    select t.tenant_id, t.id
    from app_public.transactions t
    where t.tenant_id = chain.tenant_id
      and t.xact_id >= chain.xact_id and (t.xact_id, t.id) > (chain.xact_id, chain.id)
      and t.xact_id < pg_snapshot_xmin(pg_current_snapshot())
    order by t.xact_id, t.id
    limit max_leaves
  ) t
  join app_hidden.ledger_leaves l on l.tenant_id = t.tenant_id and l.id = t.id;
end
$$;

/*
 * The same of the audit trail. No block spans two months of it, for by months it is retired: a block is
 * retired as a whole, or not at all.
 */
create or replace function app_private.next_audit_leaves(
  chain app_private.seal_chains,
  max_leaves integer,
  out ids uuid[],
  out leaf_hashes bytea[],
  out earliest_at timestamptz,
  out latest_at timestamptz,
  out last_xact_id xid8
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
as $$
begin
  select
    array_agg(m.id order by m.xact_id, m.id), array_agg(m.leaf_hash order by m.xact_id, m.id),
    min(m.at), max(m.at), max(m.xact_id)
  into ids, leaf_hashes, earliest_at, latest_at, last_xact_id
  from (
    select n.xact_id, n.id, n.at, n.leaf_hash,
      bool_and(n.month = n.first_month) over (order by n.xact_id, n.id) as is_of_first_month
    from (
      select l.xact_id, l.id, l.at, l.leaf_hash,
        date_trunc('month', l.at at time zone 'UTC') as month,
        first_value(date_trunc('month', l.at at time zone 'UTC')) over (order by l.xact_id, l.id) as first_month
      from (
        select l.xact_id, l.id, l.at, l.leaf_hash
        from app_private.audit_leaves l
        where l.tenant_id = chain.tenant_id
          and l.xact_id >= chain.xact_id and (l.xact_id, l.id) > (chain.xact_id, chain.id)
          and l.xact_id < pg_snapshot_xmin(pg_current_snapshot())
        order by l.xact_id, l.id
        limit max_leaves
      ) l
    ) n
  ) m
  where m.is_of_first_month;
end
$$;
--! EndIncluded sealing/next_leaves.sql
--! Included sealing/seal_next_block.sql
/*
 * Seal the next leaves of a chain into a block, if there are any and nobody else is at it, and tell how
 * many. The leaves are read and hashed first: only then does this database transaction write, so that it holds
 * back the horizon of other readers for a moment only. Nobody who posts waits for it, nor it for them.
 */
create or replace function app_private.seal_next_block(
  tenant_id integer,
  stream app_public.seal_stream,
  max_leaves integer
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_chain app_private.seal_chains;
  v_leaves record;
  v_block app_public.seal_blocks;
begin
  -- The upper half sets the key apart from other advisory locks.
  if not pg_try_advisory_xact_lock(
    (case stream when 'ledger' then 7155::bigint else 7156 end << 32) + seal_next_block.tenant_id)
  then
    return 0;
  end if;
  select c.* into v_chain
  from app_private.seal_chains c
  where c.tenant_id = seal_next_block.tenant_id and c.stream = seal_next_block.stream;
  if not found then
    v_chain.tenant_id := seal_next_block.tenant_id;
    v_chain.stream := seal_next_block.stream;
    v_chain.chain_id := gen_random_uuid();
    v_chain.number := 0;
    v_chain.position := 0;
    v_chain.xact_id := '0';
    v_chain.id := '00000000-0000-0000-0000-000000000000';
  end if;
  select n.* into v_leaves from app_private.next_leaves(v_chain, max_leaves) n;
  if v_leaves.ids is null then
    return 0;
  end if;

  v_block.tenant_id := v_chain.tenant_id;
  v_block.stream := v_chain.stream;
  v_block.number := v_chain.number + 1;
  v_block.leaf_count := cardinality(v_leaves.ids);
  v_block.first_position := v_chain.position + 1;
  v_block.last_position := v_chain.position + v_block.leaf_count;
  v_block.earliest_at := v_leaves.earliest_at;
  v_block.latest_at := v_leaves.latest_at;
  v_block.sealed_at := clock_timestamp();
  v_block.chain_id := v_chain.chain_id;
  v_block.merkle_root := app_hidden.merkle_root(v_leaves.leaf_hashes);
  v_block.previous_hash := v_chain.block_hash;
  v_block.block_hash := app_hidden.block_hash(app_public.seal_blocks_header(v_block));

  insert into app_private.seal_chains (
    tenant_id, stream, chain_id, number, position, block_hash, xact_id, id
  )
  values (
    v_block.tenant_id, v_block.stream, v_block.chain_id, v_block.number, v_block.last_position, v_block.block_hash,
    v_leaves.last_xact_id, v_leaves.ids[v_block.leaf_count]
  )
  on conflict on constraint seal_chains_pkey do update set
    number = excluded.number,
    position = excluded.position,
    block_hash = excluded.block_hash,
    xact_id = excluded.xact_id,
    id = excluded.id;
  insert into app_public.seal_blocks select v_block.*;
  insert into app_private.seal_leaves (tenant_id, stream, number, last_xact_id, last_id, ids, leaf_hashes)
  values (
    v_block.tenant_id, v_block.stream, v_block.number, v_leaves.last_xact_id,
    v_leaves.ids[v_block.leaf_count], v_leaves.ids, v_leaves.leaf_hashes
  );
  return v_block.leaf_count;
end
$$;
--! EndIncluded sealing/seal_next_block.sql
--! Included sealing/seal.sql
/*
 * Chains that have something to seal. Entries of the audit trail that belong to no tenant have the number 0.
 */
create or replace function app_private.chains_to_seal(max_chains integer)
returns table (tenant_id integer, stream app_public.seal_stream)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select s.tenant_id, s.stream
  from (
    select t.id as tenant_id, 'ledger'::app_public.seal_stream as stream from app_public.tenants t
    union all
    select t.id, 'audit' from app_public.tenants t
    union all
    select 0, 'audit'
  ) s
  left join app_private.seal_chains c on c.tenant_id = s.tenant_id and c.stream = s.stream
  cross join lateral (
    select coalesce(c.xact_id, '0') as xact_id, coalesce(c.id, '00000000-0000-0000-0000-000000000000') as id
  ) e
  where case s.stream
    when 'ledger' then exists (
      select from app_public.transactions n
      where n.tenant_id = s.tenant_id and n.xact_id >= e.xact_id and (n.xact_id, n.id) > (e.xact_id, e.id)
        and n.xact_id < pg_snapshot_xmin(pg_current_snapshot())
    )
    else exists (
      select from app_private.audit_entries n
      where n.tenant_id = s.tenant_id and n.xact_id >= e.xact_id and (n.xact_id, n.id) > (e.xact_id, e.id)
        and n.xact_id < pg_snapshot_xmin(pg_current_snapshot())
    )
  end
  limit max_chains
$$;

/*
 * Seal what has been settled since the last call, for the worker: a block of each of some chains, until about
 * max_leaves are sealed, and tell how many were. The task calls again until that is none. Few chains a call, so
 * that its database transaction is short: from its first write on it holds back the horizon of other readers.
 * Several workers may call it at once: a chain that one of them is at is passed by.
 */
create or replace function app_private.seal(max_leaves integer default 8192)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_chain record;
  v_sealed integer := 0;
begin
  for v_chain in select c.tenant_id, c.stream from app_private.chains_to_seal(100) c loop
    v_sealed := v_sealed + app_private.seal_next_block(
      v_chain.tenant_id, v_chain.stream, least(greatest(max_leaves, 1), 8192));
    exit when v_sealed >= max_leaves;
  end loop;
  return v_sealed;
end
$$;

grant execute on function app_private.seal(integer) to tallystick_worker;
--! EndIncluded sealing/seal.sql
--! Included sealing/out_of_reach.sql
/*
 * Tables that are out of reach in app_private; through these views they are read with the caller's own rights.
 */
create or replace view app_hidden.seal_chains with (security_invoker = true) as
  select c.tenant_id, c.stream, c.chain_id, c.number, c.position, c.block_hash, c.xact_id, c.id
  from app_private.seal_chains c;

create or replace view app_hidden.audit_retirements with (security_invoker = true) as
  select r.tenant_id, r.id, r.starts_at, r.ends_at, r.entries, r.retired_at
  from app_private.audit_retirements r;

grant select on app_hidden.seal_chains, app_hidden.audit_retirements to
  tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded sealing/out_of_reach.sql
--! Included sealing/access.sql
/*
 * Blocks are the staff's to read; they tell nothing but hashes, counts and times. What lies beneath them is
 * reached through views and functions alone: nobody may name a table of app_private.
 */
drop policy if exists select_staff on app_public.seal_blocks;
create policy select_staff on app_public.seal_blocks for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_public.seal_blocks to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

do $$
declare
  v_table regclass;
begin
  foreach v_table in array array[
    'app_private.seal_chains', 'app_private.seal_leaves', 'app_private.seal_anchors',
    'app_private.relay_cursors', 'app_private.audit_retirements'
  ]::regclass[] loop
    execute format('drop policy if exists select_staff on %s', v_table);
    execute format(
      'create policy select_staff on %s for select to
        tallystick_accountant, tallystick_auditor, tallystick_admin
        using (tenant_id = (select app_hidden.current_tenant_id()))', v_table);
    execute format(
      'grant select on %s to tallystick_accountant, tallystick_auditor, tallystick_admin', v_table);
  end loop;
end
$$;

create or replace trigger _200_refuse_change
  before update or delete or truncate on app_public.seal_blocks
  for each statement execute function app_private.tg__refuse_change();

create or replace trigger _200_refuse_change
  before update or delete or truncate on app_private.seal_leaves
  for each statement execute function app_private.tg__refuse_change();

create or replace trigger _200_refuse_change
  before update or delete or truncate on app_private.seal_anchors
  for each statement execute function app_private.tg__refuse_change();
--! EndIncluded sealing/access.sql
--! Included sealing/exported_blocks.sql
-- A time for people and programs alike, whatever the time zone of the session: 2026-11-21T10:44:26.355534Z.
create or replace function app_hidden.utc_text(at timestamptz)
returns text
language sql
stable
parallel safe
as $$
  select to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

grant execute on function app_hidden.utc_text(timestamptz) to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

/*
 * Blocks as JSON, with the names of GraphQL, for exports and proofs.
 */
create or replace view app_hidden.exported_blocks with (security_invoker = true) as
select
  b.tenant_id, b.stream, b.number,
  json_build_object(
    'stream', b.stream,
    'number', b.number,
    'chainId', b.chain_id,
    'firstPosition', b.first_position,
    'leafCount', b.leaf_count,
    'earliestAt', app_hidden.utc_text(b.earliest_at),
    'latestAt', app_hidden.utc_text(b.latest_at),
    'sealedAt', app_hidden.utc_text(b.sealed_at),
    'merkleRoot', b.merkle_root,
    'previousHash', b.previous_hash,
    'blockHash', b.block_hash
  ) as block
from app_public.seal_blocks b;

grant select on app_hidden.exported_blocks to
  tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded sealing/exported_blocks.sql
--! Included sealing/exported_transactions.sql
/*
 * Transactions as JSON for whoever checks the seal elsewhere: every field that is hashed, as text. Times are in
 * UTC. The checker makes the canonical form from these itself.
 */
create or replace view app_hidden.exported_transactions with (security_invoker = true) as
select
  t.tenant_id, t.xact_id, t.id,
  json_build_object(
    'id', t.id,
    'kind', t.kind,
    'xactId', t.xact_id::text,
    'createdAt', app_hidden.utc_text(t.created_at),
    'effectiveAt', app_hidden.utc_text(t.effective_at),
    'expiresAt', app_hidden.utc_text(t.expires_at),
    'pendingId', t.pending_id,
    'reversesId', t.reverses_id,
    'createdBy', t.created_by,
    'idempotencyKey', t.idempotency_key,
    'fingerprint', encode(t.fingerprint, 'hex'),
    'description', t.description,
    'metadata', t.metadata::text,
    'postings', p.postings
  ) as row
from app_public.transactions t
cross join lateral (
  select coalesce(json_agg(json_build_object(
    'ordinal', p.ordinal::text,
    'accountId', p.account_id,
    'version', p.version::text,
    'direction', p.direction,
    'currency', p.currency,
    'postedAmount', p.posted_amount::text,
    'pendingAmount', p.pending_amount::text,
    'postedDebits', p.posted_debits::text,
    'postedCredits', p.posted_credits::text,
    'pendingDebits', p.pending_debits::text,
    'pendingCredits', p.pending_credits::text,
    'createdAt', app_hidden.utc_text(p.created_at),
    'effectiveAt', app_hidden.utc_text(p.effective_at)
  ) order by p.ordinal, p.account_id, p.version), '[]') as postings
  from app_public.postings p
  where p.tenant_id = t.tenant_id and p.transaction_id = t.id
) p;

grant select on app_hidden.exported_transactions to
  tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded sealing/exported_transactions.sql
--! Included sealing/exported_audit_entries.sql
/*
 * Entries of the audit trail as JSON for whoever checks the seal elsewhere. With the rights of the caller: that
 * the trail is read is recorded by its policy.
 */
create or replace view app_hidden.exported_audit_entries with (security_invoker = true) as
select
  e.tenant_id, e.xact_id, e.id, e.at,
  json_build_object(
    'id', e.id,
    'operation', e.operation,
    'xactId', e.xact_id::text,
    'at', app_hidden.utc_text(e.at),
    'userId', e.user_id,
    'sessionId', e.session_id,
    'address', e.address::text,
    'requestRole', e.request_role,
    'requestId', e.request_id,
    'databaseUser', e.database_user,
    'applicationName', e.application_name,
    'tableName', e.table_name,
    'rowKey', e.row_key,
    'action', e.action,
    'before', e.before::text,
    'after', e.after::text
  ) as row
from app_private.audit_entries e;

grant select on app_hidden.exported_audit_entries to tallystick_auditor, tallystick_admin;
--! EndIncluded sealing/exported_audit_entries.sql
--! Included sealing/ledger_head.sql
/*
 * Where sealing stands. As the owner, for it looks beneath the blocks; of the tenant of the request alone.
 */
create or replace function app_public.ledger_head()
returns setof app_public.ledger_head
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := app_private.required_tenant_id();
begin
  return query
    select
      s.stream,
      case when b.number is not null then b end,
      coalesce(c.position, 0),
      case s.stream
        when 'ledger' then (
          select count(*)
          from app_public.transactions t
          where t.tenant_id = v_tenant_id
            and (c.xact_id is null or (t.xact_id >= c.xact_id and (t.xact_id, t.id) > (c.xact_id, c.id)))
        )
        else (
          select count(*)
          from app_private.audit_entries e
          where e.tenant_id = v_tenant_id
            and (c.xact_id is null or (e.xact_id >= c.xact_id and (e.xact_id, e.id) > (c.xact_id, c.id)))
        )
      end,
      (
        select max(a.number)
        from app_private.seal_anchors a
        where a.tenant_id = v_tenant_id and a.stream = s.stream
      )
    from unnest(enum_range(null::app_public.seal_stream)) as s (stream)
    left join app_private.seal_chains c on c.tenant_id = v_tenant_id and c.stream = s.stream
    left join app_public.seal_blocks b
      on b.tenant_id = c.tenant_id and b.stream = c.stream and b.number = c.number
    order by s.stream;
end
$$;

grant execute on function app_public.ledger_head() to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.ledger_head() is $$
@behavior -queryField:resource:connection +queryField:resource:list
@listSuffix omit
@allRows

How far the ledger and the audit trail have been sealed: the last block of each, and how much comes after it.
$$;
--! EndIncluded sealing/ledger_head.sql
--! Included sealing/inclusion_proof.sql
/*
 * What proves that a transaction is in a block, and the block in its chain. The content is that of the rows
 * as they are now, the hashes are those that were sealed: if they do not fit, the rows were tampered with, and
 * whoever checks the proof sees it.
 *
 * Its block is the first one that ends at or after it: one probe. As the owner, for the leaves are out of
 * reach; the content tells all postings, so it is for those who may read them.
 */
create or replace function app_public.inclusion_proof(transaction_id uuid)
returns app_public.inclusion_proof
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := app_private.required_tenant_id();
  v_proof app_public.inclusion_proof;
  v_xact_id xid8;
  v_leaves app_private.seal_leaves;
begin
  select l.id, l.content, l.xact_id into v_proof.transaction_id, v_proof.content, v_xact_id
  from app_hidden.ledger_leaves l
  where l.tenant_id = v_tenant_id and l.id = inclusion_proof.transaction_id;
  if not found then
    return null;
  end if;

  select l.* into v_leaves
  from app_private.seal_leaves l
  where l.tenant_id = v_tenant_id and l.stream = 'ledger'
    and (l.last_xact_id, l.last_id) >= (v_xact_id, inclusion_proof.transaction_id)
  order by l.last_xact_id, l.last_id
  limit 1;
  if not found then
    perform app_private.refuse('LG450');
  end if;
  v_proof.leaf_index := array_position(v_leaves.ids, inclusion_proof.transaction_id) - 1;
  if v_proof.leaf_index is null then
    perform app_private.refuse('LG451', jsonb_build_object('block', v_leaves.number));
  end if;
  v_proof.leaf_hash := encode(v_leaves.leaf_hashes[v_proof.leaf_index + 1], 'hex');
  v_proof.siblings := app_hidden.merkle_siblings(v_leaves.leaf_hashes, v_proof.leaf_index);
  select b into v_proof.block
  from app_public.seal_blocks b
  where b.tenant_id = v_tenant_id and b.stream = 'ledger' and b.number = v_leaves.number;
  v_proof.following_blocks := array(
    select b
    from app_public.seal_blocks b
    where b.tenant_id = v_tenant_id and b.stream = 'ledger' and b.number > v_leaves.number
      and b.number <= (
        select min(a.number)
        from app_private.seal_anchors a
        where a.tenant_id = v_tenant_id and a.stream = 'ledger' and a.number >= v_leaves.number
      )
    order by b.number
    limit 1000
  );
  return v_proof;
end
$$;

grant execute on function app_public.inclusion_proof(uuid) to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.inclusion_proof(uuid) is $$
The proof that a transaction was sealed: its canonical content, its place in a block, and what leads from there
to the block and on to the next anchor. `tools/verify_sealed.mjs` checks it without this server. Null where
there is no such transaction.
$$;
--! EndIncluded sealing/inclusion_proof.sql
--! Included sealing/exported_proof.sql
/*
 * A proof as JSON, with the names of GraphQL: what the command line writes. Null where there is no transaction.
 */
create or replace function app_hidden.exported_proof(transaction_id uuid)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'transactionId', p.transaction_id,
    'content', p.content,
    'leafHash', p.leaf_hash,
    'leafIndex', p.leaf_index,
    'siblings', p.siblings,
    'block', (
      select b.block from app_hidden.exported_blocks b
      where b.tenant_id = (p.block).tenant_id and b.stream = (p.block).stream and b.number = (p.block).number
    ),
    'followingBlocks', coalesce((
      select jsonb_agg(b.block order by b.number) from app_hidden.exported_blocks b
      where b.tenant_id = (p.block).tenant_id and b.stream = (p.block).stream
        and b.number > (p.block).number and b.number <= (p.block).number + cardinality(p.following_blocks)
    ), '[]')
  )
  from app_public.inclusion_proof(exported_proof.transaction_id) p
  where p.transaction_id is not null
$$;

grant execute on function app_hidden.exported_proof(uuid) to
  tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded sealing/exported_proof.sql
--! Included sealing/anchors.sql
/*
 * The last blocks that a destination has not been told of yet, as the anchors to tell it. For the worker, who
 * tells first and then records: what was told but not recorded is told again.
 */
create or replace function app_private.unanchored_heads(destination text, max_anchors integer)
returns setof jsonb
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'format', 'tallystick.anchor.v1',
    'tenant', t.slug,
    'stream', b.stream,
    'chainId', b.chain_id,
    'number', b.number,
    'lastPosition', b.last_position,
    'sealedAt', app_hidden.utc_text(b.sealed_at),
    'blockHash', b.block_hash
  )
  from app_private.seal_chains c
  join app_public.seal_blocks b
    on b.tenant_id = c.tenant_id and b.stream = c.stream and b.number = c.number
  left join app_public.tenants t on t.id = c.tenant_id
  where not exists (
    select from app_private.seal_anchors a
    where a.tenant_id = c.tenant_id and a.stream = c.stream
      and a.destination = unanchored_heads.destination and a.chain_id = c.chain_id and a.number >= c.number
  )
  order by c.tenant_id, c.stream
  limit max_anchors
$$;

create or replace function app_private.record_anchors(destination text, anchors jsonb)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into app_private.seal_anchors (tenant_id, stream, destination, number, chain_id, block_hash)
  select b.tenant_id, b.stream, record_anchors.destination, b.number, b.chain_id, b.block_hash
  from jsonb_to_recordset(anchors) as a ("chainId" uuid, number integer, "blockHash" text)
  join app_private.seal_chains c on c.chain_id = a."chainId"
  join app_public.seal_blocks b
    on b.tenant_id = c.tenant_id and b.stream = c.stream and b.number = a.number
  where b.block_hash = a."blockHash"
  on conflict do nothing
$$;

grant execute on function
  app_private.unanchored_heads(text, integer), app_private.record_anchors(text, jsonb)
  to tallystick_worker;

/*
 * Those of the anchors that are of the tenant, each with what the chain says to it; the problem is null where
 * they agree. Anchors of others are passed over: one is of this tenant if it names one of its chains, or its
 * slug. With the rights of the caller.
 */
create or replace function app_hidden.compared_anchors(anchors jsonb)
returns table (stream text, number integer, problem text, anchored_hash text, actual_hash text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select a.stream, a.number,
    case
      when c.chain_id is null then 'the chain was begun anew'
      when b.number is null then 'the block is missing'
      when b.block_hash <> a."blockHash" then 'the block was replaced'
    end,
    a."blockHash", b.block_hash
  from jsonb_to_recordset(anchors)
    as a (tenant text, stream text, "chainId" uuid, number integer, "blockHash" text)
  left join app_hidden.seal_chains c on c.chain_id = a."chainId"
  left join app_public.seal_blocks b
    on b.tenant_id = c.tenant_id and b.stream = c.stream and b.number = a.number
  where c.chain_id is not null
    or a.tenant = (
      select t.slug from app_public.tenants t where t.id = (select app_hidden.current_tenant_id())
    )
  order by a.stream, a.number
$$;

grant execute on function app_hidden.compared_anchors(jsonb) to
  tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded sealing/anchors.sql
--! Included sealing/comments.sql
/*
 * What GraphQL says about sealing. See accounts/comments.sql for how it is read.
 */
comment on type app_public.seal_stream is 'What is sealed in a chain of blocks of its own.';
comment on domain app_public.sha256 is 'A SHA-256 hash, as 64 hexadecimal digits in lower case.';

comment on table app_public.seal_blocks is $$
@behavior +query:resource:connection

A block seals rows of the ledger or of the audit trail: the root of the Merkle tree over them, and the hash of
the block before it. It never changes.
$$;
comment on column app_public.seal_blocks.stream is $$
@behavior +attribute:filterBy

What the block seals rows of.
$$;
comment on column app_public.seal_blocks.number is $$
@behavior +attribute:filterBy +attribute:orderBy

The number of the block in its chain: 1, 2, 3 and so on without a gap.
$$;
comment on column app_public.seal_blocks.leaf_count is $$
How many leaves its tree has: a transaction with its postings is one.
$$;
comment on column app_public.seal_blocks.first_position is 'The number of its first leaf in the chain, counted from 1.';
comment on column app_public.seal_blocks.last_position is 'The number of its last leaf in the chain.';
comment on column app_public.seal_blocks.earliest_at is 'The earliest recorded time of what it seals.';
comment on column app_public.seal_blocks.latest_at is 'The latest recorded time of what it seals.';
comment on column app_public.seal_blocks.sealed_at is 'When it was sealed.';
comment on column app_public.seal_blocks.chain_id is 'The id of its chain: the same in every block and anchor of it.';
comment on column app_public.seal_blocks.merkle_root is 'The root of the Merkle tree over its leaves.';
comment on column app_public.seal_blocks.previous_hash is 'The hash of the block before it; null for the first.';
comment on column app_public.seal_blocks.block_hash is $$
The hash of the block: SHA-256 of a byte 02 and its `header`.
$$;

comment on type app_public.ledger_head is 'How far a stream has been sealed.';
comment on column app_public.ledger_head.stream is 'The stream.';
comment on column app_public.ledger_head.block is 'The last block; null before the first.';
comment on column app_public.ledger_head.sealed is 'How many rows have been sealed.';
comment on column app_public.ledger_head.unsealed is $$
How many rows have been recorded since. The next run seals all of them that no running database transaction precedes.
$$;
comment on column app_public.ledger_head.anchored_number is $$
The number of the last block whose hash was told to the outside; null if none was.
$$;

comment on type app_public.inclusion_proof is $$
The proof that a transaction was sealed. SHA-256 of a byte 00 and the content is the leaf hash; with the
siblings it gives the root that stands in the header of the block.
$$;
comment on column app_public.inclusion_proof.transaction_id is 'The id of the transaction.';
comment on column app_public.inclusion_proof.content is $$
The canonical text of the transaction and its postings, made from the rows as they are now.
$$;
comment on column app_public.inclusion_proof.leaf_hash is 'The hash that was sealed.';
comment on column app_public.inclusion_proof.leaf_index is 'The place of the leaf in its block, counted from 0.';
comment on column app_public.inclusion_proof.siblings is $$
The hashes that lead from the leaf to the root, from the leaves upwards.
$$;
comment on column app_public.inclusion_proof.block is 'The block.';
comment on column app_public.inclusion_proof.following_blocks is $$
The blocks after it up to the first one that was anchored, at most 1000. None if it was anchored itself, or if
no block from it on has been anchored yet.
$$;
--! EndIncluded sealing/comments.sql
--! Included checks/audit_retirements_that_differ.sql
create or replace view checks.audit_retirements_that_differ with (security_invoker = true) as
-- A month that is on record as retired excuses that its rows are not there. So it has to be gone as a whole, to
-- have been as many entries as were sealed, and to be a year old, which the rule never falls below.
select r.tenant_id, r.starts_at, r.entries, b.sealed, h.remaining
from (
  select r.tenant_id, r.starts_at, r.ends_at, sum(r.entries) as entries
  from app_private.audit_retirements r
  group by r.tenant_id, r.starts_at, r.ends_at
) r
cross join lateral (
  select coalesce(sum(b.leaf_count), 0) as sealed
  from app_hidden.retired_blocks b
  where b.tenant_id = r.tenant_id and b.starts_at = r.starts_at and b.ends_at = r.ends_at
) b
cross join lateral app_hidden.audit_entry_count(r.tenant_id, r.starts_at, r.ends_at) as h (remaining)
where r.entries <> b.sealed or h.remaining > 0 or r.ends_at > now() - interval '12 months';

grant select on checks.audit_retirements_that_differ to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.audit_retirements_that_differ is $$
A month of the audit trail that is on record as retired is a year old and gone as a whole, and was as many entries as
were sealed.
$$;
--! EndIncluded checks/audit_retirements_that_differ.sql
--! Included checks/sealed_rows_that_differ.sql
create or replace view checks.sealed_rows_that_differ with (security_invoker = true) as
-- Grouped rather than joined: one pass whatever the planner believes, and the tenant is pushed into both sides.
select
  b.tenant_id,
  b.stream,
  min(b.number) as block_number,
  min(b.leaf_index) as leaf_index,
  b.id as row_id,
  case
    when count(b.sealed_hash) > 1 then 'sealed twice'
    when count(b.sealed_hash) = 1 and count(b.actual_hash) = 0 then 'missing'
    when count(b.sealed_hash) = 1 then 'changed'
    when bool_or(b.is_due) then 'not in the seal'
    else 'of a database transaction to come'
  end as problem
from (
  select
    l.tenant_id, l.stream, l.id, l.number, l.leaf_index, l.leaf_hash as sealed_hash,
    null::bytea as actual_hash, null::boolean as is_due, null::boolean as is_to_come,
    b.number is not null as is_retired
  from app_hidden.sealed_leaves l
  left join app_hidden.retired_blocks b
    on b.tenant_id = l.tenant_id and b.stream = l.stream and b.number = l.number
  union all
  select
    r.tenant_id, 'ledger', r.id, null, null, null, r.leaf_hash,
    (r.xact_id, r.id) <= (c.xact_id, c.id),
    r.xact_id >= pg_snapshot_xmax(pg_current_snapshot())
      and r.xact_id is distinct from pg_current_xact_id_if_assigned(),
    false
  from app_hidden.ledger_leaves r
  left join app_private.seal_chains c on c.tenant_id = r.tenant_id and c.stream = 'ledger'
  union all
  select
    c.tenant_id, 'audit', r.id, null, null, null, r.leaf_hash,
    (r.xact_id, r.id) <= (c.xact_id, c.id),
    r.xact_id >= pg_snapshot_xmax(pg_current_snapshot())
      and r.xact_id is distinct from pg_current_xact_id_if_assigned(),
    false
  from app_private.seal_chains c
  cross join lateral app_hidden.audit_leaf_hashes(c.tenant_id) r
  where c.stream = 'audit'
) b
group by b.tenant_id, b.stream, b.id
having count(b.sealed_hash) > 1
  or (count(b.sealed_hash) = 0 and (bool_or(b.is_due) or bool_or(b.is_to_come)))
  or (
    count(b.sealed_hash) = 1 and min(b.sealed_hash) is distinct from min(b.actual_hash)
    and not (bool_or(b.is_retired) and count(b.actual_hash) = 0)
  );

grant select on checks.sealed_rows_that_differ to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.sealed_rows_that_differ is $$
Each sealed row is there as it was sealed, with what belongs to it, and none has come between sealed ones.
$$;
--! EndIncluded checks/sealed_rows_that_differ.sql
--! Included checks/seal_blocks_that_differ.sql
create or replace view checks.seal_blocks_that_differ with (security_invoker = true) as
-- Each block by itself, with its leaves and with the block before it.
select b.tenant_id, b.stream, p.number, p.problem
from (
  select b, b.tenant_id, b.stream, b.number,
    lag(b.number, 1, 0) over w as number_before,
    lag(b.last_position, 1, 0::bigint) over w as last_position_before,
    lag(b.block_hash) over w as block_hash_before
  from app_public.seal_blocks b
  window w as (partition by b.tenant_id, b.stream order by b.number)
) b
left join app_private.seal_leaves l
  on l.tenant_id = b.tenant_id and l.stream = b.stream and l.number = b.number
cross join lateral (values
  (b.number_before + 1, 'missing', b.number <> b.number_before + 1),
  (b.number, 'positions do not follow',
    b.number = b.number_before + 1 and (b.b).first_position <> b.last_position_before + 1),
  (b.number_before, 'replaced: the next block was chained to another',
    b.number = b.number_before + 1 and (b.b).previous_hash is distinct from b.block_hash_before),
  (b.number, 'header changed',
    app_hidden.block_hash(app_public.seal_blocks_header(b.b)) <> (b.b).block_hash),
  (b.number, 'leaves missing', l.number is null),
  (b.number, 'leaves changed',
    cardinality(l.ids) <> (b.b).leaf_count or l.last_id <> l.ids[cardinality(l.ids)]
      or app_hidden.merkle_root(l.leaf_hashes) <> (b.b).merkle_root)
) as p (number, problem, is_so)
where p.is_so
union all
-- The end of the chain, as sealing left it.
select c.tenant_id, c.stream, c.number, 'missing: the end of the chain'
from app_private.seal_chains c
left join app_public.seal_blocks b
  on b.tenant_id = c.tenant_id and b.stream = c.stream and b.number = c.number
where b.block_hash is distinct from c.block_hash
union all
select b.tenant_id, b.stream, b.number, 'beyond the end of the chain'
from app_public.seal_blocks b
left join app_private.seal_chains c on c.tenant_id = b.tenant_id and c.stream = b.stream
where b.number > coalesce(c.number, 0)
union all
select l.tenant_id, l.stream, l.number, 'leaves without a block'
from app_private.seal_leaves l
left join app_public.seal_blocks b
  on b.tenant_id = l.tenant_id and b.stream = l.stream and b.number = l.number
where b.number is null
union all
-- What is on record as told to the outside.
select a.tenant_id, a.stream, a.number, 'other than anchored: ' || a.destination
from app_private.seal_anchors a
left join app_public.seal_blocks b
  on b.tenant_id = a.tenant_id and b.stream = a.stream and b.number = a.number
where b.block_hash is distinct from a.block_hash or b.chain_id is distinct from a.chain_id;

grant select on checks.seal_blocks_that_differ to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.seal_blocks_that_differ is $$
Blocks follow each other without a gap to the end of their chain; each hash is that of what it seals.
$$;
--! EndIncluded checks/seal_blocks_that_differ.sql
--! Included checks/relayed_transactions_that_are_missing.sql
/*
 * What is left of a transaction that was removed before it was sealed: the relay remembers the last one that
 * it told subscribers about.
 */
create or replace view checks.relayed_transactions_that_are_missing with (security_invoker = true) as
select c.tenant_id, c.consumer, c.id as transaction_id
from app_private.relay_cursors c
left join app_public.transactions t on t.tenant_id = c.tenant_id and t.id = c.id
where c.id <> '00000000-0000-0000-0000-000000000000' and t.id is null;

grant select on checks.relayed_transactions_that_are_missing to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on view checks.relayed_transactions_that_are_missing is $$
The last transaction that subscribers were told of is there: the end of the ledger was not cut off.
$$;
--! EndIncluded checks/relayed_transactions_that_are_missing.sql
--! Included checks/verify_ledger__tables.sql
/*
 * The tables of a tenant's books that a view reads, by name, from the catalog: itself or through other views.
 */
create or replace function app_private.verify_ledger__tables(view_id oid)
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with recursive read (oid) as (
    select verify_ledger__tables.view_id
    union
    select d.refobjid
    from read r
    join pg_rewrite w on w.ev_class = r.oid
    join pg_depend d
      on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
  )
  select coalesce(array_agg(distinct format('%I.%I', n.nspname, t.relname)), '{}')
  from read r
  join pg_class t on t.oid = r.oid and t.relkind in ('r', 'p')
  join pg_namespace n on n.oid = t.relnamespace
  join pg_attribute a on a.attrelid = t.oid and a.attname = 'tenant_id'
$$;

/*
 * How many rows of a tenant each of the tables holds, added to what has been counted before.
 */
create or replace function app_private.verify_ledger__count(tenant_id integer, tables text[], counted jsonb)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_table text;
  v_rows bigint;
begin
  foreach v_table in array tables loop
    if not counted ? v_table then
      execute 'select count(*) from ' || v_table || ' where tenant_id = $1' into v_rows using tenant_id;
      counted := counted || jsonb_build_object(v_table, v_rows);
    end if;
  end loop;
  return counted;
end
$$;
--! EndIncluded checks/verify_ledger__tables.sql
--! Included checks/verify_ledger.sql
/*
 * Run every check for the tenant of the request, or those that are named. The list of checks is the
 * catalog's: each view of the schema checks is one, its rows are violations, its comment says what must
 * hold. A new view runs by itself. STABLE, so that all of them look at one and the same moment.
 */
create or replace function app_public.verify_ledger(checks text[] default null)
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
  v_unknown text;
begin
  select o.name into v_unknown
  from unnest(verify_ledger.checks) as o (name)
  where to_regclass(format('checks.%I', o.name)) is null
  limit 1;
  if found then
    perform app_private.refuse('LG190', jsonb_build_object('check', v_unknown));
  end if;
  for v_check in
    select
      v.relname as name,
      btrim(obj_description(v.oid, 'pg_class'), E'\n') as description,
      app_private.verify_ledger__tables(v.oid) as tables
    from pg_class v
    where v.relnamespace = 'checks'::regnamespace and v.relkind = 'v'
      and (verify_ledger.checks is null or v.relname = any (verify_ledger.checks))
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

grant execute on function app_public.verify_ledger(text[]) to
  tallystick_accountant, tallystick_auditor, tallystick_admin;

comment on function app_public.verify_ledger(text[]) is $$
@behavior -queryField:resource:connection +queryField:resource:list
@listSuffix omit
@allRows

Proves the books: runs every check over the whole ledger, or those that are named, and answers with one result
each. No violations in any of them means that every rule held for every row.
$$;

comment on type app_public.check_result is $$
What one check found: its name, the rule that it proves, how many rows it looked at, how many of them break
the rule, and up to ten of those.
$$;
--! EndIncluded checks/verify_ledger.sql
--! Included audit/retire_audit_partitions.sql
/*
 * For how many months the trail is kept, by the configuration of the installation; null = for ever. The
 * worker says so when it starts. A change of it is in the trail.
 */
create or replace function app_private.set_audit_retention(months integer)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into app_private.audit_retention as r (months) values (set_audit_retention.months)
  on conflict on constraint audit_retention_pkey do update set months = excluded.months
  where r.months is distinct from excluded.months
$$;

grant execute on function app_private.set_audit_retention(integer) to tallystick_worker;

/*
 * Remove the oldest partition of the trail that has ended more months ago than the trail is kept, and write
 * down for each tenant what it held. Tells its name; null if there is none, or if it is not sealed yet. One a
 * call, so that the lock on the trail, which its writers wait for, is held for a moment.
 */
create or replace function app_private.retire_audit_partition()
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '3s'
as $$
declare
  v_months constant integer := (select r.months from app_private.audit_retention r);
  v_name text;
  v_starts_at timestamptz;
  v_ends_at timestamptz;
  v_is_unsealed boolean;
begin
  perform pg_advisory_xact_lock(7154::bigint << 32);
  select p.name, p.month at time zone 'UTC', (p.month + interval '1 month') at time zone 'UTC'
  into v_name, v_starts_at, v_ends_at
  from (
    select c.relname as name, to_timestamp(right(c.relname, 7), 'YYYY_MM')::timestamp as month
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'app_private.audit_entries'::regclass
      and c.relname ~ '^audit_entries_[0-9]{4}_[0-9]{2}$'
  ) p
  where (p.month + interval '1 month') at time zone 'UTC' <= now() - make_interval(months => v_months)
  order by p.month
  limit 1;
  if v_name is null then
    return null;
  end if;
  -- What is removed must have been sealed: the hashes of its entries are what stays of it.
  execute format(
    'select exists (
      select from app_private.%I e
      left join app_private.seal_chains c on c.tenant_id = e.tenant_id and c.stream = ''audit''
      where c.xact_id is null or (e.xact_id, e.id) > (c.xact_id, c.id)
    )', v_name)
  into v_is_unsealed;
  if v_is_unsealed then
    return null;
  end if;
  execute format(
    'insert into app_private.audit_retirements (tenant_id, starts_at, ends_at, entries, retained_months)
    select e.tenant_id, $1, $2, count(*), $3
    from app_private.%I e
    group by e.tenant_id', v_name)
  using v_starts_at, v_ends_at, v_months;
  execute format('alter table app_private.audit_entries detach partition app_private.%I', v_name);
  execute format('drop table app_private.%I', v_name);
  return v_name;
end
$$;

grant execute on function app_private.retire_audit_partition() to tallystick_worker;
--! EndIncluded audit/retire_audit_partitions.sql
--! Included audit/exceptions.sql
/*
 * The tables that are not audited, and why. Every other table of the ledger is: a test compares.
 * What is append-only is its own history; that it is, is tested too.
 */
create or replace function app_private.audit_exceptions()
returns table (table_name text, is_append_only boolean, reason text)
language sql
immutable
as $$
  values
    ('app_public.transactions', true, 'History itself.'),
    ('app_public.postings', true, 'History itself.'),
    ('app_public.conversions', true, 'History itself.'),
    ('app_public.closing_transactions', true, 'History itself.'),
    ('app_public.seal_blocks', true, 'History itself.'),
    ('app_private.seal_leaves', true, 'History itself.'),
    ('app_private.seal_anchors', true, 'History itself.'),
    ('app_public.kyc_decisions', true, 'History itself.'),
    ('app_private.audit_entries', true, 'The trail itself.'),
    ('app_private.security_events', true, 'History itself.'),
    ('app_public.account_balances', false, 'Follows from the postings, and is checked against them.'),
    ('app_private.open_reservations', false, 'Follows from pending transactions, and is checked against them.'),
    ('app_private.carried_residues', false, 'Follows from conversions, and is checked against them.'),
    ('app_hidden.posting_blocks', false, 'Follows from the postings, and is checked against them.'),
    ('app_hidden.posting_block_entries', false, 'Follows from the postings, and is checked against them.'),
    ('app_private.seal_chains', false, 'Follows from the blocks, and is checked against them.'),
    ('app_private.outflow_windows', false, 'Follows from the postings, and is checked against them.'),
    ('app_private.api_key_nonces', false, 'What was seen in the last minutes; nobody decides it.'),
    ('app_private.api_key_uses', false, 'When a key was last used; nobody decides it.'),
    ('app_private.rate_limit_counters', false, 'Counts of a minute; nobody decides them.'),
    ('app_private.authentication_attempts', false, 'Counts of attempts; those that matter are security events.'),
    ('app_private.refresh_tokens', false, 'Each row tells when it was made and used; reuse is a security event.'),
    ('app_private.relay_cursors', false, 'How far a reader has come; nobody decides it.'),
    ('app_private.security_event_cursor', false, 'How far a reader has come; nobody decides it.')
$$;
--! EndIncluded audit/exceptions.sql
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
