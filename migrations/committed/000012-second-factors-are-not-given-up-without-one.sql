--! Previous: sha1:3fea8260ba38c8cf9d2ac17b20564fd6e5c98815
--! Hash: sha1:eb5141d32353ad06cfc0dd49baa3d7f8487468b9
--! Message: second factors are not given up without one

-- The migration being written. See migrations/README.md.

---- access ----

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

-- As an array, as for customers: see access/ledger.sql.
drop policy if exists select_partner on app_public.transactions;
create policy select_partner on app_public.transactions for select to tallystick_partner
  using (
    tenant_id = (select app_hidden.current_tenant_id())
    and id = any (array(
      select p.transaction_id
      from app_public.postings p
      where p.tenant_id = (select app_hidden.current_tenant_id())
    ))
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
---- authentication ----

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
  ('LG483', 'second_factor_not_fresh',
    'This takes a second factor that was shown within the last five minutes.',
    'Confirm the session with `confirmSecondFactor`, then send the same request again.', false),

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
--! Included identity/open_login.sql
/*
 * The tenants that a person may sign in to, by slug.
 */
create or replace function app_private.login_choices(user_id uuid)
returns table (tenant_id integer, slug text, name text, role app_public.member_role)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select m.tenant_id, t.slug, t.name, m.role
  from app_public.memberships m
  join app_public.tenants t on t.id = m.tenant_id
  where m.user_id = login_choices.user_id and m.status = 'active' and m.role <> 'partner'
  order by t.slug
$$;

/*
 * Open a session for somebody whose password the server has verified (and whose code, if they have a second
 * factor), with the first refresh token of its family. Nothing may have changed since it looked: the hash
 * that was verified must still be the one that is stored. Outcomes:
 *
 *   opened          here is the session
 *   stale           the password was changed meanwhile, or the user disabled
 *   code_required   a second factor was set up meanwhile
 *   code_used       the code was used up by somebody who was faster
 *   no_membership   the person does not belong to the tenant that is named, or to any
 *   choose_tenant   the person belongs to several and named none; here they are
 *
 * An operator who names no tenant signs in to none.
 */
create or replace function app_hidden.open_login(
  email_index bytea,
  user_id uuid,
  verified_hash text,
  tenant_slug text,
  step bigint,
  recovery_hash bytea,
  refresh_hash bytea,
  idle interval,
  user_agent text,
  new_hash text
)
returns table (
  outcome text,
  session_id uuid,
  tenant_id integer,
  slug text,
  role app_public.member_role,
  refresh_expires_at timestamptz,
  second_factor_at timestamptz,
  choices jsonb
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_found integer;
  v_has_factor boolean;
  v_lifetime interval;
  v_address constant bytea := app_private.address_subject(app_private.current_address());
  v_subject constant bytea := app_private.account_subject(open_login.email_index, open_login.user_id);
begin
  perform
  from app_private.credentials c
  join app_public.users u on u.id = c.user_id
  where c.user_id = open_login.user_id and c.password_hash = verified_hash and u.status = 'active'
  for no key update of c
  for share of u;
  if not found then
    outcome := 'stale';
    return next;
    return;
  end if;

  v_has_factor := exists (
    select from app_private.second_factors f where f.user_id = open_login.user_id and f.activated_at is not null
  );
  if open_login.tenant_slug is null and exists (
    select from app_private.operators o where o.user_id = open_login.user_id
  ) then
    role := 'operator';
    v_lifetime := interval '12 hours';
  else
    select
      count(*), min(c.tenant_id), min(c.slug), min(c.role),
      jsonb_agg(jsonb_build_object('tenant', c.slug, 'name', c.name, 'role', c.role) order by c.slug)
    into v_found, tenant_id, slug, role, choices
    from app_private.login_choices(open_login.user_id) c
    where c.slug = open_login.tenant_slug or open_login.tenant_slug is null;
    if v_found <> 1 then
      outcome := case when v_found = 0 then 'no_membership' else 'choose_tenant' end;
      -- The password was right; but who has a second factor has not shown it here, and must not clear in this
      -- way what they are counted for guessing at it.
      if not v_has_factor then
        perform app_private.refund_attempt('address', v_address);
        perform app_private.forgive_attempts('account', v_subject);
      end if;
      select null, null, null into tenant_id, slug, role;
      return next;
      return;
    end if;
    choices := null;
    -- A change of the membership waits, and then ends the session that it finds.
    perform from app_public.memberships m
    where m.tenant_id = open_login.tenant_id and m.user_id = open_login.user_id
      and m.status = 'active' and m.role = open_login.role
    for share;
    if not found then
      outcome := 'stale';
      return next;
      return;
    end if;
    select make_interval(secs => t.session_lifetime_seconds) into v_lifetime
    from app_public.tenants t where t.id = tenant_id;
  end if;

  if v_has_factor then
    if open_login.step is null and open_login.recovery_hash is null then
      outcome := 'code_required';
      return next;
      return;
    end if;
    if not app_private.use_code(open_login.user_id, open_login.step, open_login.recovery_hash) then
      outcome := 'code_used';
      return next;
      return;
    end if;
    second_factor_at := clock_timestamp();
  end if;

  refresh_expires_at := clock_timestamp() + least(idle, v_lifetime);
  session_id := app_private.open_session(
    tenant_id, open_login.user_id, role, 'login', refresh_expires_at, null, second_factor_at);
  update app_private.sessions s
  set address = app_private.current_address(), user_agent = left(open_login.user_agent, 300)
  where s.id = open_login.session_id;
  insert into app_private.refresh_tokens (token_hash, session_id, expires_at)
  values (refresh_hash, session_id, refresh_expires_at);
  if new_hash is not null then
    update app_private.credentials c
    set password_hash = new_hash
    where c.user_id = open_login.user_id;
  end if;
  -- In the order in which begin_login counts them, so that two logins do not wait for each other in a circle.
  perform app_private.refund_attempt('address', v_address);
  perform app_private.forgive_attempts('account', v_subject);
  perform app_private.record_security_event(
    'signed_in', 'info',
    jsonb_build_object('sessionId', session_id, 'role', role, 'secondFactor', second_factor_at is not null),
    tenant_id => tenant_id, user_id => open_login.user_id);
  outcome := 'opened';
  return next;
end
$$;

grant execute on function app_hidden.open_login(
  bytea, uuid, text, text, bigint, bytea, bytea, interval, text, text
) to tallystick_authenticator;
--! EndIncluded identity/open_login.sql
--! Included identity/second_factor.sql
/*
 * Begin to set up a second factor: keep the secret, which counts only when a code of it has come back. A
 * secret that was not confirmed is replaced; an active one is not. The server has verified the password.
 */
create or replace function app_hidden.enrol_second_factor(secret_ciphertext bytea)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session constant app_private.sessions := app_private.required_session();
begin
  insert into app_private.second_factors as f (user_id, secret_ciphertext)
  values (v_session.user_id, enrol_second_factor.secret_ciphertext)
  on conflict on constraint second_factors_pkey do update set
    secret_ciphertext = excluded.secret_ciphertext,
    created_at = now()
  where f.activated_at is null;
  if not found then
    perform app_private.refuse('LG481');
  end if;
  perform app_private.forgive_attempts('user', uuid_send(v_session.user_id));
end
$$;

/*
 * A code of the secret came back: from now on it is asked for. The session has shown its second factor. The
 * secret must be the one that the code was compared with: null if it was replaced meanwhile.
 */
create or replace function app_hidden.activate_second_factor(
  secret_ciphertext bytea,
  step bigint,
  recovery_hashes bytea[]
)
returns timestamptz
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_session constant app_private.sessions := app_private.required_session();
begin
  update app_private.second_factors f
  set activated_at = now(), last_step = activate_second_factor.step
  where f.user_id = v_session.user_id
    and f.activated_at is null
    and f.secret_ciphertext = activate_second_factor.secret_ciphertext;
  if not found then
    return null;
  end if;
  insert into app_private.recovery_codes (user_id, code_hash)
  select v_session.user_id, h from unnest(recovery_hashes) as h;
  perform app_private.record_security_event('second_factor_activated', 'notice');
  return app_private.confirm_session(v_session);
end
$$;

/*
 * The session of the request, which has shown its second factor within five minutes: LG483 if not. What takes
 * the second factor away or makes new ones asks for it, or who has a session and the password could do
 * without it.
 */
create or replace function app_private.required_fresh_session()
returns app_private.sessions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session constant app_private.sessions := app_private.required_session();
begin
  if not exists (
    select from app_private.second_factors f where f.user_id = v_session.user_id and f.activated_at is not null
  ) then
    perform app_private.refuse('LG482');
  end if;
  if not coalesce(v_session.second_factor_at > now() - interval '5 minutes', false) then
    perform app_private.refuse('LG483');
  end if;
  return v_session;
end
$$;

-- The session has shown its second factor, now.
create or replace function app_private.confirm_session(session app_private.sessions)
returns timestamptz
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now constant timestamptz := clock_timestamp();
begin
  update app_private.sessions s set second_factor_at = v_now where s.id = session.id;
  perform app_private.forgive_attempts('user', uuid_send(session.user_id));
  return v_now;
end
$$;

-- Show the second factor in a session that is open: the time from which it counts, or null for a used code.
create or replace function app_hidden.confirm_second_factor(step bigint, recovery_hash bytea)
returns timestamptz
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session constant app_private.sessions := app_private.required_session();
begin
  if not app_private.use_code(
    v_session.user_id, confirm_second_factor.step, confirm_second_factor.recovery_hash)
  then
    return null;
  end if;
  return app_private.confirm_session(v_session);
end
$$;

/*
 * Do without a second factor. No session has one any more, so that none passes a step-up on the strength of
 * a factor that is gone. The server has verified the password. The second factor itself must be fresh.
 */
create or replace function app_hidden.disable_second_factor()
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session constant app_private.sessions := app_private.required_fresh_session();
begin
  delete from app_private.recovery_codes c where c.user_id = v_session.user_id;
  delete from app_private.second_factors f where f.user_id = v_session.user_id;
  update app_private.sessions s
  set second_factor_at = null
  where s.user_id = v_session.user_id and s.kind = 'login' and s.second_factor_at is not null;
  perform app_private.forgive_attempts('user', uuid_send(v_session.user_id));
  perform app_private.record_security_event('second_factor_disabled', 'warning');
end
$$;

-- New recovery codes in place of all that were there. The server has verified the password; the second factor
-- itself must be fresh.
create or replace function app_hidden.renew_recovery_codes(recovery_hashes bytea[])
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_session constant app_private.sessions := app_private.required_fresh_session();
begin
  -- Two at once wait for each other.
  perform from app_private.second_factors f where f.user_id = v_session.user_id for no key update;
  delete from app_private.recovery_codes c where c.user_id = v_session.user_id;
  insert into app_private.recovery_codes (user_id, code_hash)
  select v_session.user_id, h from unnest(recovery_hashes) as h;
  perform app_private.forgive_attempts('user', uuid_send(v_session.user_id));
  perform app_private.record_security_event('recovery_codes_renewed', 'notice');
end
$$;

grant execute on function
  app_hidden.enrol_second_factor(bytea),
  app_hidden.activate_second_factor(bytea, bigint, bytea[]),
  app_hidden.confirm_second_factor(bigint, bytea),
  app_hidden.disable_second_factor(),
  app_hidden.renew_recovery_codes(bytea[])
to tallystick_authenticator;

create or replace function app_public.own_second_factor()
returns app_public.second_factor_status
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    exists (
      select
      from app_private.second_factors f
      where f.user_id = app_hidden.current_user_id() and f.activated_at is not null
    ),
    (
      select count(*)::integer
      from app_private.recovery_codes c
      where c.user_id = app_hidden.current_user_id() and c.used_at is null
    )
$$;

grant execute on function app_public.own_second_factor() to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_operator;

comment on function app_public.own_second_factor() is
  'Whether the caller is asked for one-time passwords, and how many recovery codes are left.';
--! EndIncluded identity/second_factor.sql
