--! Previous: sha1:367244520346fdf35afac36d4e99ab0d25ec3613
--! Hash: sha1:dd7e4f8fa4ab1ba1df3d7f606c6103708f5c8670
--! Message: API keys

-- The migration being written. See migrations/README.md.
---- API keys ----

create type app_public.api_key_status as enum ('active', 'expired', 'revoked');

-- A partner acts by API keys alone, and an API key is a partner's.
alter table app_private.sessions
  add constraint sessions_partner_acts_by_api_key check ((role = 'partner') = (kind = 'api_key'));

/*
 * What an API key is beside its session, which has the same id, and which knows its tenant, its user, its
 * scopes and its end. See docs/decisions/0010-partners.md.
 */
create table app_private.api_keys (
  tenant_id integer not null,
  id uuid not null,
  name text not null,
  -- Where requests may come from; null = anywhere.
  allowed_addresses cidr[],
  -- The accounts of this set, and of those in it, beside those that the user of the key owns.
  account_set_id uuid,
  created_at timestamptz not null default now(),
  created_by uuid not null,
  rotated_at timestamptz,
  constraint api_keys_pkey primary key (tenant_id, id),
  constraint api_keys_id_fkey foreign key (id) references app_private.sessions on delete restrict,
  constraint api_keys_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint api_keys_account_set_id_fkey foreign key (tenant_id, account_set_id)
    references app_public.account_sets on delete restrict,
  constraint api_keys_created_by_fkey foreign key (created_by)
    references app_public.users on delete restrict,
  constraint api_keys_name_is_1_to_200_characters check (length(name) between 1 and 200),
  constraint api_keys_allowed_addresses_are_1_to_100 check (
    cardinality(allowed_addresses) between 1 and 100 and array_position(allowed_addresses, null) is null
  )
);

create index api_keys_id_idx on app_private.api_keys (id);
create index api_keys_account_set_id_idx on app_private.api_keys (tenant_id, account_set_id)
  where account_set_id is not null;
create index api_keys_created_by_idx on app_private.api_keys (created_by);

-- The secrets that a key signs with: one, and for a while after a rotation the one before it.
create table app_private.api_key_secrets (
  tenant_id integer not null,
  id uuid not null,
  api_key_id uuid not null,
  secret_ciphertext app_private.ciphertext not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  constraint api_key_secrets_pkey primary key (tenant_id, id),
  constraint api_key_secrets_api_key_id_fkey foreign key (tenant_id, api_key_id)
    references app_private.api_keys on delete restrict
);

create index api_key_secrets_api_key_id_idx on app_private.api_key_secrets (tenant_id, api_key_id);

-- When a key was last used, to the minute: apart, because nobody decides it.
create table app_private.api_key_uses (
  tenant_id integer not null,
  api_key_id uuid not null,
  last_used_at timestamptz not null,
  constraint api_key_uses_pkey primary key (tenant_id, api_key_id),
  constraint api_key_uses_api_key_id_fkey foreign key (tenant_id, api_key_id)
    references app_private.api_keys on delete restrict
);

/*
 * The nonces of signed requests, for as long as their timestamps are taken: none is taken twice, whichever
 * process it reaches and whatever has been restarted meanwhile. So the table is logged and its commits are
 * waited for. Without foreign keys: a row lives for minutes, and the request has just used its key.
 */
create table app_private.api_key_nonces (
  tenant_id integer not null,
  api_key_id uuid not null,
  nonce_hash bytea not null,
  expires_at timestamptz not null,
  constraint api_key_nonces_pkey primary key (tenant_id, api_key_id, nonce_hash),
  constraint api_key_nonces_hash_has_32_bytes check (octet_length(nonce_hash) = 32)
);

create index api_key_nonces_expires_at_idx on app_private.api_key_nonces (tenant_id, expires_at);

-- An API key as its tenant's administrators and auditors see it: never its secret.
create type app_public.api_key as (
  id uuid,
  name text,
  status app_public.api_key_status,
  user_id uuid,
  scopes text[],
  allowed_addresses text[],
  account_set_id uuid,
  created_at timestamptz,
  created_by uuid,
  expires_at timestamptz,
  revoked_at timestamptz,
  rotated_at timestamptz,
  previous_secret_expires_at timestamptz,
  last_used_at timestamptz
);

-- They take an actor now, in place of a tenant.
drop function app_private.post_conversion__plan(
  integer, uuid, uuid, numeric, text, text, text, timestamptz);
drop function app_private.required_conversion_account(integer, text, text);
drop function app_private.required_account(integer, uuid);

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
    'Propose it instead of posting it. See the detail for the threshold.', false),
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
  ('audit.read', 'Read the audit trail and the security events.'),
  ('charts.apply', 'Open the accounts of a chart of accounts that comes with the ledger.'),
  ('api_keys.manage', 'Create, rotate and revoke API keys of partners.'),
  ('currencies.create', 'Take up currencies.'),
  ('customer_details.set', 'Set sensitive details of customers; a customer sets their own.'),
  ('exchange_rates.set', 'Set exchange rates.'),
  ('ledger.read', 'Read accounts, balances and transactions: for API keys, since people read by their role.'),
  ('kyc.decide', 'Decide verification cases of others.'),
  ('kyc.set_limits', 'Set what each level of verification allows.'),
  ('kyc.submit', 'Open verification cases and submit evidence; a customer for themselves.'),
  ('ledger.rebuild', 'Rebuild balances from the postings.'),
  ('members.manage', 'Invite people, change what they are to the tenant, disable and enable them.'),
  ('periods.manage', 'Open and close accounting periods.'),
  ('permissions.manage', 'Give permissions to roles, and take them away.'),
  ('sensitive.read', 'Read sensitive values in full, each time with a purpose; a customer reads their own.'),
  ('sessions.revoke', 'End the sessions of members.'),
  ('tenant.manage', 'Change the settings of the tenant, and from which amounts on others must approve.'),
  ('tenants.create', 'Create tenants, and invite their admins.'),
  ('tenants.suspend', 'Suspend tenants, and resume them.'),
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
    ('auditor', 'audit.read', true),
    ('admin', 'audit.read', true),
    ('operator', 'audit.read', true),
    ('accountant', 'charts.apply', true),
    ('admin', 'charts.apply', true),
    ('admin', 'api_keys.manage', true),
    ('accountant', 'currencies.create', true),
    ('admin', 'currencies.create', true),
    ('customer', 'customer_details.set', true),
    ('teller', 'customer_details.set', true),
    ('admin', 'customer_details.set', true),
    ('accountant', 'exchange_rates.set', true),
    ('admin', 'exchange_rates.set', true),
    ('partner', 'ledger.read', true),
    ('accountant', 'kyc.decide', true),
    ('admin', 'kyc.decide', true),
    ('accountant', 'kyc.set_limits', false),
    ('admin', 'kyc.set_limits', true),
    ('customer', 'kyc.submit', true),
    ('teller', 'kyc.submit', true),
    ('admin', 'kyc.submit', true),
    ('admin', 'ledger.rebuild', true),
    ('admin', 'members.manage', true),
    ('accountant', 'periods.manage', true),
    ('admin', 'periods.manage', true),
    ('admin', 'permissions.manage', true),
    ('customer', 'sensitive.read', true),
    ('accountant', 'sensitive.read', false),
    ('admin', 'sensitive.read', false),
    ('admin', 'sessions.revoke', true),
    ('admin', 'tenant.manage', true),
    ('operator', 'tenants.create', true),
    ('operator', 'tenants.suspend', true),
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
--! Included encryption/encrypted_columns.sql
/*
 * Every column that holds ciphertexts: a test fails for one that is missing, and the rotation job would
 * never reach it.
 */
insert into app_private.encrypted_columns (table_name, column_name, row_column) values
  ('app_hidden.customer_details', 'bank_account_ciphertext', 'user_id'),
  ('app_hidden.customer_details', 'email_ciphertext', 'user_id'),
  ('app_hidden.customer_details', 'identity_document_ciphertext', 'user_id'),
  ('app_hidden.customer_details', 'phone_ciphertext', 'user_id'),
  ('app_private.api_key_secrets', 'secret_ciphertext', 'id'),
  ('app_private.invitation_tokens', 'email_ciphertext', 'invitation_id'),
  ('app_private.registrations', 'email_ciphertext', 'id'),
  ('app_private.second_factors', 'secret_ciphertext', 'user_id'),
  ('app_private.user_contacts', 'email_ciphertext', 'user_id'),
  ('app_private.user_contacts', 'phone_ciphertext', 'user_id'),
  ('app_public.kyc_evidence', 'reference_ciphertext', 'id')
on conflict (table_name, column_name) do update set row_column = excluded.row_column;
--! EndIncluded encryption/encrypted_columns.sql
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
--! Included access/partner_accounts.sql
/*
 * The accounts of a partner: those that its user owns, and those of the account set that its API key is
 * bound to, with the sets in it. See docs/decisions/0010-partners.md.
 */

-- The account set of an API key, and the sets in it, however far down.
create or replace function app_private.api_key_set_ids(tenant_id integer, api_key_id uuid)
returns uuid[]
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  with recursive tree (id) as (
    select k.account_set_id
    from app_private.api_keys k
    where k.tenant_id = api_key_set_ids.tenant_id and k.id = api_key_set_ids.api_key_id
      and k.account_set_id is not null
    union
    select m.member_set_id
    from tree t
    join app_public.account_set_members m
      on m.tenant_id = api_key_set_ids.tenant_id and m.account_set_id = t.id and m.member_set_id is not null
  )
  select array(select t.id from tree t)
$$;

/*
 * What the API key of the request reads: none without the permission ledger.read, and none as soon as the
 * key has ended. Policies call it as (select …), once a query, so that it is an index condition of the rest.
 */
create or replace function app_hidden.current_partner_account_ids()
returns uuid[]
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  with key as materialized (
    select s.tenant_id, s.user_id, app_private.api_key_set_ids(s.tenant_id, s.id) as set_ids
    from app_private.sessions s
    join app_public.role_permissions p
      on p.tenant_id = s.tenant_id and p.role = s.role and p.permission = 'ledger.read'
    where s.id = app_hidden.current_session_id()
      and s.tenant_id = app_hidden.current_tenant_id()
      and s.user_id = app_hidden.current_user_id()
      and s.role = 'partner'
      and s.revoked_at is null
      and s.expires_at > now()
      and p.permission = any (coalesce(s.scopes, array[p.permission]))
  )
  select array(
    select a.id
    from key
    join app_public.accounts a on a.tenant_id = key.tenant_id and a.owner_id = key.user_id
    union
    select m.account_id
    from key
    join app_public.account_set_members m
      on m.tenant_id = key.tenant_id and m.account_set_id = any (key.set_ids) and m.account_id is not null
  )
$$;

grant execute on function app_hidden.current_partner_account_ids() to tallystick_partner;

/*
 * Those of some accounts that a partner may name. Probes by key, whatever the number of its accounts. The
 * permission to post is enough: a key that only posts need not be able to read.
 */
create or replace function app_private.partner_accounts_among(actor app_private.actor, account_ids uuid[])
returns uuid[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_set_ids constant uuid[] := app_private.api_key_set_ids(actor.tenant_id, actor.session_id);
begin
  return array(
    select a.id
    from app_public.accounts a
    where a.tenant_id = actor.tenant_id
      and a.id = any (account_ids)
      and (
        a.owner_id = actor.user_id
        or exists (
          select
          from app_public.account_set_members m
          where m.tenant_id = actor.tenant_id and m.account_id = a.id and m.account_set_id = any (v_set_ids)
        )
      )
  );
end
$$;

/*
 * Whether somebody who writes may name an account: staff any, a partner its own.
 */
create or replace function app_private.may_name_account(actor app_private.actor, account_id uuid)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select actor.role is distinct from 'partner'
    or cardinality(app_private.partner_accounts_among(actor, array[account_id])) = 1
$$;
--! EndIncluded access/partner_accounts.sql
--! Included accounts/open_account.sql
/*
 * Open an account. The normal balance follows from the type, unless the account is a contra account.
 */
create or replace function app_public.open_account(
  code text,
  name text,
  type app_public.account_type,
  currency text,
  normal_balance app_public.direction default null,
  parent_id uuid default null,
  owner_id uuid default null,
  minimum_balance app_public.amount default null,
  maximum_balance app_public.amount default null,
  metadata jsonb default null
)
returns app_public.accounts
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_actor constant app_private.actor := app_private.authorize('accounts.open');
  v_tenant_id constant integer := v_actor.tenant_id;
  v_normal_balance constant app_public.direction := coalesce(
    open_account.normal_balance,
    case when open_account.type in ('asset', 'expense') then 'debit' else 'credit' end::app_public.direction);
  v_owner_id constant uuid := case
    when v_actor.role = 'partner' then coalesce(open_account.owner_id, v_actor.user_id)
    else open_account.owner_id
  end;
  v_account app_public.accounts;
begin
  if length(open_account.code) not between 1 and 200
    or open_account.code ~ '[[:cntrl:]]' or open_account.code <> btrim(open_account.code)
  then
    perform app_private.refuse('LG114', jsonb_build_object(
      'field', 'code', 'rule', '1 to 200 printable characters, no blank at either end'));
  end if;
  if length(open_account.name) not between 1 and 200 then
    perform app_private.refuse('LG114', jsonb_build_object('field', 'name', 'rule', '1 to 200 characters'));
  end if;
  if jsonb_typeof(open_account.metadata) <> 'object' or octet_length(open_account.metadata::text) > 16384 then
    perform app_private.refuse('LG107');
  end if;
  if open_account.minimum_balance > open_account.maximum_balance then
    perform app_private.refuse('LG115');
  end if;
  if open_account.minimum_balance > 0 or open_account.maximum_balance < 0 then
    perform app_private.refuse('LG317', jsonb_build_object('available', '0'));
  end if;
  if v_actor.role = 'partner' then
    perform app_private.open_account__for_partner(
      v_actor, open_account.parent_id, open_account.code, open_account.type, open_account.currency,
      v_normal_balance, v_owner_id, open_account.minimum_balance, open_account.maximum_balance);
  elsif open_account.parent_id is not null then
    perform app_private.required_account(v_actor, open_account.parent_id);
  end if;
  perform app_private.ensure_currency(v_tenant_id, open_account.currency);

  insert into app_public.accounts (
    tenant_id, code, currency, name, type, normal_balance, minimum_balance, maximum_balance,
    parent_id, owner_id, metadata
  ) values (
    v_tenant_id, open_account.code, open_account.currency, open_account.name, open_account.type,
    v_normal_balance, open_account.minimum_balance, open_account.maximum_balance, open_account.parent_id,
    v_owner_id, coalesce(open_account.metadata, '{}')
  )
  on conflict on constraint accounts_code_key do nothing
  returning * into v_account;
  if not found then
    perform app_private.refuse('LG314', jsonb_build_object(
      'code', open_account.code, 'currency', open_account.currency));
  end if;
  return v_account;
end
$$;

grant execute on function app_public.open_account(
  text, text, app_public.account_type, text, app_public.direction, uuid, uuid,
  app_public.amount, app_public.amount, jsonb
) to tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.open_account(
  text, text, app_public.account_type, text, app_public.direction, uuid, uuid,
  app_public.amount, app_public.amount, jsonb
) is $$
Opens an account of one currency. The code is unique per currency. A currency of ISO 4217 is taken up by
itself; another must have been created. Debit is the normal balance of assets and expenses, credit that of
the others; `normalBalance` overrides it for a contra account. Limits are in minor units; none means none.
$$;
--! EndIncluded accounts/open_account.sql
--! Included accounts/open_account__for_partner.sql
/*
 * What a partner opens is like an account that it sees: under it, of the same type, side and currency,
 * within its limits, with a code that begins with its code. So a key never gets an account by which money
 * could come from nowhere, and does not learn which codes others have.
 */
create or replace function app_private.open_account__for_partner(
  actor app_private.actor,
  parent_id uuid,
  code text,
  type app_public.account_type,
  currency text,
  normal_balance app_public.direction,
  owner_id uuid,
  minimum_balance numeric,
  maximum_balance numeric
)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_parent app_public.accounts;
  v_field text;
begin
  if parent_id is not null then
    v_parent := app_private.required_account(actor, parent_id);
  end if;
  v_field := case
    when parent_id is null then 'parentId'
    when owner_id is distinct from actor.user_id then 'ownerId'
    when type is distinct from v_parent.type then 'type'
    when normal_balance is distinct from v_parent.normal_balance then 'normalBalance'
    when currency is distinct from v_parent.currency then 'currency'
    when (minimum_balance >= v_parent.minimum_balance::numeric) is not true
      and v_parent.minimum_balance is not null then 'minimumBalance'
    when (maximum_balance <= v_parent.maximum_balance::numeric) is not true
      and v_parent.maximum_balance is not null then 'maximumBalance'
    when not starts_with(code, v_parent.code) then 'code'
  end;
  if v_field is not null then
    perform app_private.refuse('LG429', jsonb_build_object('field', v_field));
  end if;
end
$$;
--! EndIncluded accounts/open_account__for_partner.sql
--! Included engine/post_batch__decide.sql
/*
 * Step 6: decide each item in sequence, in memory. An item sees what the accepted items before it left,
 * so that a batch answers as its items one at a time would.
 *
 * The first refusal wins, in this order, which is tested:
 *   shape (LG1xx, found before) → key (LG501) → target (LG304–LG308, LG310–LG312) → account unknown
 *   (LG301) → more than reserved (LG206) → unbalanced (LG201) → closed, frozen (LG303, LG302) → period
 *   (LG309) → approval, second factor (LG405, LG406) → conditions (LG205, or LG301) → overflow and
 *   limits (LG204, LG202, LG203) → what the level of the owner allows (LG208, LG207, LG209)
 * Faults of one step are told for the first line, or condition, that has one.
 *
 * One long function, because plpgsql changes an element of an array in place only in a local variable:
 * handing arrays to a helper would copy them for every item.
 */
create or replace function app_private.post_batch__decide(
  tenant_id integer,
  at timestamptz,
  items app_private.batch_items,
  lines app_private.batch_lines,
  accounts app_private.batch_accounts,
  targets app_private.batch_targets,
  rules app_private.batch_rules
)
returns app_private.batch_decision
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  -- Items
  v_kinds app_public.transaction_kind[] := items.kinds;
  v_effective_at timestamptz[] := items.effective_at;
  v_keys text[] := items.keys;
  v_fingerprints bytea[] := items.fingerprints;
  v_same_key integer[] := items.same_key;
  v_same_target integer[] := items.same_target;
  v_codes text[] := items.codes;
  v_details jsonb[] := items.details;
  v_count integer := coalesce(cardinality(items.kinds), 0);
  v_has_references boolean := items.has_references;
  v_has_timeouts boolean := items.has_timeouts;
  v_has_thresholds boolean := rules.approval_amounts is not null;
  v_has_kyc_limits boolean := rules.out_ceilings is not null;
  v_replayed_ids uuid[] := targets.replayed_ids;
  v_replayed_fingerprints bytea[] := targets.replayed_fingerprints;
  v_ids uuid[] := array_fill(null::uuid, array[v_count]);
  v_is_replayed boolean[] := array_fill(false, array[v_count]);
  v_is_accepted boolean[] := array_fill(false, array[v_count]);
  v_created_at timestamptz[] := array_fill(null::timestamptz, array[v_count]);
  -- The item whose key, or whose resolution of a target, took effect: this one or one before it.
  v_key_owner integer[] := array_fill(null::integer, array[v_count]);
  v_target_owner integer[] := array_fill(null::integer, array[v_count]);
  -- Lines
  l_items integer[] := lines.items;
  l_accounts integer[] := lines.accounts;
  l_is_debit boolean[] := lines.is_debit;
  l_posted numeric[] := lines.posted;
  l_pending numeric[] := lines.pending;
  l_count integer := coalesce(cardinality(lines.items), 0);
  l_transaction_ids uuid[] := array_fill(null::uuid, array[l_count]);
  l_created_at timestamptz[] := array_fill(null::timestamptz, array[l_count]);
  l_effective_at timestamptz[] := array_fill(null::timestamptz, array[l_count]);
  l_currencies text[] := array_fill(null::text, array[l_count]);
  l_is_debit_normal boolean[] := array_fill(null::boolean, array[l_count]);
  l_expired_debits numeric[] := array_fill(0::numeric, array[l_count]);
  l_expired_credits numeric[] := array_fill(0::numeric, array[l_count]);
  l_versions bigint[] := array_fill(null::bigint, array[l_count]);
  l_posted_debits numeric[] := array_fill(null::numeric, array[l_count]);
  l_posted_credits numeric[] := array_fill(null::numeric, array[l_count]);
  l_pending_debits numeric[] := array_fill(null::numeric, array[l_count]);
  l_pending_credits numeric[] := array_fill(null::numeric, array[l_count]);
  -- Accounts
  a_currencies text[] := accounts.currencies;
  a_is_debit_normal boolean[] := accounts.is_debit_normal;
  a_statuses app_public.account_status[] := accounts.statuses;
  a_versions bigint[] := accounts.versions;
  a_last_created_at timestamptz[] := accounts.last_created_at;
  a_last_effective_at timestamptz[] := accounts.last_effective_at;
  a_next_expiry_at timestamptz[] := accounts.next_expiry_at;
  a_posted_debits numeric[] := accounts.posted_debits;
  a_posted_credits numeric[] := accounts.posted_credits;
  a_pending_debits numeric[] := accounts.pending_debits;
  a_pending_credits numeric[] := accounts.pending_credits;
  a_expired_debits numeric[] := accounts.expired_debits;
  a_expired_credits numeric[] := accounts.expired_credits;
  a_minimums numeric[] := accounts.minimums;
  a_maximums numeric[] := accounts.maximums;
  -- What one transaction takes out of an account, and which.
  a_taken numeric[] := array_fill(0::numeric, array[coalesce(cardinality(accounts.ids), 0)]);
  a_taken_by integer[] := array_fill(0, array[coalesce(cardinality(accounts.ids), 0)]);
  c_items integer[] := lines.condition_items;
  -- What no account, or no line, of the batch has need not be looked for in each.
  v_is_rising boolean := at > all (accounts.last_created_at);
  v_is_one_currency boolean := accounts.currencies[1] = all (accounts.currencies);
  v_are_all_open boolean := 'open' = all (accounts.statuses);
  v_has_pending boolean := 0 <> any (lines.pending);
  v_has_limits boolean :=
    cardinality(array_remove(accounts.minimums, null)) > 0
    or cardinality(array_remove(accounts.maximums, null)) > 0;
  v_has_expired boolean := 0 <> any (accounts.expired_debits || accounts.expired_credits);
  -- The item at hand
  v_next integer := 1;
  v_first integer;
  v_last integer;
  v_code text;
  v_detail jsonb;
  v_difference text;
  v_owner integer;
  v_kind app_public.transaction_kind;
  v_time timestamptz;
  v_posted numeric;
  v_pending numeric;
  v_is_mixed boolean;
  v_limit numeric;
  v_value numeric;
  a integer;
  c integer := 1;
  v_first_condition integer;
begin
  for i in 1 .. v_count loop
    v_code := v_codes[i];
    v_detail := null;
    v_kind := v_kinds[i];
    v_owner := null;
    v_first := v_next;
    while v_next <= l_count and l_items[v_next] = i loop
      v_next := v_next + 1;
    end loop;
    v_last := v_next - 1;
    v_first_condition := c;
    while c_items[c] = i loop
      c := c + 1;
    end loop;

    if v_has_references then
      -- The same key: stored before, or taken by an item before this one.
      if v_code is null and v_keys[i] is not null then
        v_owner := v_key_owner[v_same_key[i]];
        if v_owner is null and v_replayed_ids[i] is not null then
          if v_replayed_fingerprints[i] is null then
            -- Taken by a transaction that the caller may not see: see post_batch__hide_targets.
            v_code := 'LG501';
          else
            v_owner := i;
            v_ids[i] := v_replayed_ids[i];
          end if;
        end if;
        if v_owner is not null then
          v_difference := app_private.fingerprint_difference(
            v_fingerprints[i], coalesce(v_replayed_fingerprints[v_owner], v_fingerprints[v_owner]));
          if v_difference is null then
            v_ids[i] := v_ids[v_owner];
            v_is_replayed[i] := true;
          else
            v_code := 'LG501';
            v_detail := jsonb_build_object('field', v_difference, 'transactionId', v_ids[v_owner]);
          end if;
        end if;
      end if;

      -- The transaction to resolve or to reverse.
      if v_code is null and not v_is_replayed[i] then
        if items.pending_ids[i] is not null then
          v_code := case
            when targets.kinds[i] is null then 'LG304'
            when targets.kinds[i] <> 'pending' then 'LG308'
            -- Without lines it has come up since they were read: it was not there yet.
            when v_first > v_last then 'LG304'
            else case coalesce(targets.resolved_by[i], v_kinds[v_target_owner[v_same_target[i]]])
              when 'post_pending' then 'LG305'
              when 'void_pending' then 'LG306'
              when 'expire_pending' then 'LG307'
              else case
                when v_kind <> 'expire_pending' and targets.expires_at[i] <= at then 'LG307'
                when v_kind = 'expire_pending' and coalesce(targets.expires_at[i] > at, true) then 'LG321'
              end
            end
          end;
        elsif items.reverses_ids[i] is not null then
          v_code := case
            when targets.kinds[i] is null or targets.kinds[i] = 'posted' and v_first > v_last then 'LG310'
            when v_first > v_last then 'LG312'
            when targets.is_reversed[i] or v_target_owner[v_same_target[i]] is not null then 'LG311'
          end;
        end if;
        if v_code is not null then
          v_detail := jsonb_build_object(
            'transactionId', coalesce(items.pending_ids[i], items.reverses_ids[i]));
        end if;
      end if;
    end if;

    -- Accounts known, lines within what was reserved, debits equal to credits.
    if v_code is null and not v_is_replayed[i] then
      v_posted := 0;
      v_pending := 0;
      v_is_mixed := false;
      -- Each item a microsecond after the one before it, so that the times of every account rise.
      v_time := at + i * interval '1 microsecond';
      for p in v_first .. v_last loop
        a := l_accounts[p];
        if a is null then
          v_code := 'LG301';
          v_detail := jsonb_build_object('accountId', lines.account_ids[p]);
          exit;
        end if;
        if not v_is_rising and a_last_created_at[a] >= v_time then
          v_time := a_last_created_at[a] + interval '1 microsecond';
        end if;
        if not v_is_one_currency and a_currencies[a] <> a_currencies[l_accounts[v_first]] then
          v_is_mixed := true;
        end if;
        if l_is_debit[p] then
          v_posted := v_posted + l_posted[p];
        else
          v_posted := v_posted - l_posted[p];
        end if;
        if v_has_pending then
          v_pending := v_pending + case when l_is_debit[p] then l_pending[p] else -l_pending[p] end;
        end if;
      end loop;

      if v_code is null and v_kind = 'post_pending' and true = any (lines.is_excess[v_first : v_last]) then
        v_code := 'LG206';
        v_detail := jsonb_build_object('transactionId', items.pending_ids[i]);
      end if;

      if v_code is null and (v_posted <> 0 or v_pending <> 0 or v_is_mixed) then
        v_detail := app_private.post_batch__imbalance(a_currencies,
          l_accounts[v_first : v_last], lines.directions[v_first : v_last],
          l_posted[v_first : v_last], l_pending[v_first : v_last]);
        v_code := case when v_detail is not null then 'LG201' end;
      end if;

      -- Closed and frozen accounts take nothing but the release of what they hold.
      if v_code is null and not v_are_all_open then
        for p in v_first .. v_last loop
          a := l_accounts[p];
          if a_statuses[a] <> 'open' and (l_posted[p] > 0 or l_pending[p] > 0) then
            v_code := case when a_statuses[a] = 'closed' then 'LG303' else 'LG302' end;
            v_detail := jsonb_build_object('accountId', accounts.ids[a]);
            exit;
          end if;
        end loop;
      end if;

      if v_code is null and targets.closed_periods[i] is not null then
        v_code := 'LG309';
        v_detail := jsonb_build_object(
          'period', targets.closed_periods[i], 'effectiveAt', v_effective_at[i]);
      end if;

      -- What resolves a pending transaction was asked about when it was made.
      if v_code is null and v_has_thresholds and v_kind in ('posted', 'pending') then
        select r.code, r.detail into v_code, v_detail
        from app_private.post_batch__broken_rule(
          rules, a_currencies, l_accounts[v_first : v_last], l_is_debit[v_first : v_last],
          case when v_kind = 'posted' then l_posted[v_first : v_last] else l_pending[v_first : v_last] end
        ) r;
      end if;

      -- What the caller asserted, before this item touches anything.
      if v_code is null then
        for k in v_first_condition .. c - 1 loop
          a := lines.condition_accounts[k];
          if a is null then
            v_code := 'LG301';
            v_detail := jsonb_build_object('accountId', lines.condition_account_ids[k]);
            exit;
          end if;
          v_value := case when a_is_debit_normal[a]
            then a_posted_debits[a] - a_posted_credits[a] - a_pending_credits[a] + a_expired_credits[a]
            else a_posted_credits[a] - a_posted_debits[a] - a_pending_debits[a] + a_expired_debits[a]
          end;
          if v_value < lines.condition_minimums[k] or a_versions[a] <> lines.condition_versions[k] then
            v_code := 'LG205';
            v_detail := jsonb_build_object('accountId', accounts.ids[a],
              'available', v_value::text, 'version', a_versions[a]::text);
            exit;
          end if;
        end loop;
      end if;
    end if;

    -- Apply, line by line; a refusal below takes it back.
    if v_code is null and not v_is_replayed[i] then
      v_ids[i] := uuidv7();
      v_is_accepted[i] := true;
      v_created_at[i] := v_time;
      if v_effective_at[i] is null then
        v_effective_at[i] := v_time;
      end if;
      for p in v_first .. v_last loop
        a := l_accounts[p];
        if l_is_debit[p] then
          a_posted_debits[a] := a_posted_debits[a] + l_posted[p];
        else
          a_posted_credits[a] := a_posted_credits[a] + l_posted[p];
        end if;
        if v_has_pending then
          if l_is_debit[p] then
            a_pending_debits[a] := a_pending_debits[a] + l_pending[p];
          else
            a_pending_credits[a] := a_pending_credits[a] + l_pending[p];
          end if;
          if v_kind = 'expire_pending' then
            if l_is_debit[p] then
              a_expired_debits[a] := a_expired_debits[a] + l_pending[p];
            else
              a_expired_credits[a] := a_expired_credits[a] + l_pending[p];
            end if;
          end if;
        end if;
        if v_has_expired then
          l_expired_debits[p] := a_expired_debits[a];
          l_expired_credits[p] := a_expired_credits[a];
        end if;
        a_versions[a] := a_versions[a] + 1;
        l_transaction_ids[p] := v_ids[i];
        l_created_at[p] := v_time;
        l_effective_at[p] := v_effective_at[i];
        l_currencies[p] := a_currencies[a];
        l_is_debit_normal[p] := a_is_debit_normal[a];
        l_versions[p] := a_versions[a];
        l_posted_debits[p] := a_posted_debits[a];
        l_posted_credits[p] := a_posted_credits[a];
        l_pending_debits[p] := a_pending_debits[a];
        l_pending_credits[p] := a_pending_credits[a];
      end loop;

      -- The limits, on what the whole transaction left; a release alone cannot pass one.
      for p in v_first .. v_last loop
        a := l_accounts[p];
        if a_posted_debits[a] + a_pending_debits[a] >= 1e38
          or a_posted_credits[a] + a_pending_credits[a] >= 1e38
        then
          v_code := 'LG204';
          v_detail := jsonb_build_object('accountId', accounts.ids[a]);
          exit;
        end if;
        continue when not v_has_limits;
        v_limit := a_minimums[a];
        if v_limit is not null then
          v_value := case when a_is_debit_normal[a]
            then a_posted_debits[a] - a_posted_credits[a] - a_pending_credits[a] + a_expired_credits[a]
            else a_posted_credits[a] - a_posted_debits[a] - a_pending_debits[a] + a_expired_debits[a]
          end;
          if v_value < v_limit then
            v_code := 'LG202';
            v_detail := jsonb_build_object('accountId', accounts.ids[a],
              'minimumBalance', v_limit::text, 'shortBy', (v_limit - v_value)::text);
            exit;
          end if;
        end if;
        v_limit := a_maximums[a];
        if v_limit is not null then
          v_value := case when a_is_debit_normal[a]
            then a_posted_debits[a] - a_posted_credits[a] + a_pending_debits[a] - a_expired_debits[a]
            else a_posted_credits[a] - a_posted_debits[a] + a_pending_credits[a] - a_expired_credits[a]
          end;
          if v_value > v_limit then
            v_code := 'LG203';
            v_detail := jsonb_build_object('accountId', accounts.ids[a],
              'maximumBalance', v_limit::text, 'overBy', (v_value - v_limit)::text);
            exit;
          end if;
        end if;
      end loop;

      -- What the level of the owner of an account allows. What leaves it is summed over the transaction.
      if v_code is null and v_has_kyc_limits then
        for p in v_first .. v_last loop
          a := l_accounts[p];
          v_value := l_posted[p] + l_pending[p];
          continue when v_value <= 0;
          if l_is_debit[p] <> a_is_debit_normal[a] then
            a_taken[a] := v_value + case when a_taken_by[a] = i then a_taken[a] else 0 end;
            a_taken_by[a] := i;
            if a_taken[a] > rules.maximum_outs[a] then
              v_code := 'LG208';
              v_detail := jsonb_build_object('accountId', accounts.ids[a],
                'maximumTransaction', rules.maximum_outs[a]::text,
                'overBy', (a_taken[a] - rules.maximum_outs[a])::text);
              exit;
            end if;
            v_value := case when l_is_debit[p]
              then a_posted_debits[a] + a_pending_debits[a] - a_expired_debits[a]
              else a_posted_credits[a] + a_pending_credits[a] - a_expired_credits[a]
            end;
            if v_value > rules.out_ceilings[a] then
              v_code := 'LG207';
              v_detail := jsonb_build_object('accountId', accounts.ids[a],
                'overBy', (v_value - rules.out_ceilings[a])::text);
              exit;
            end if;
          else
            v_value := case when a_is_debit_normal[a]
              then a_posted_debits[a] - a_posted_credits[a] + a_pending_debits[a] - a_expired_debits[a]
              else a_posted_credits[a] - a_posted_debits[a] + a_pending_credits[a] - a_expired_credits[a]
            end;
            if v_value > rules.maximum_balances[a] then
              v_code := 'LG209';
              v_detail := jsonb_build_object('accountId', accounts.ids[a],
                'maximumBalance', rules.maximum_balances[a]::text,
                'overBy', (v_value - rules.maximum_balances[a])::text);
              exit;
            end if;
          end if;
        end loop;
      end if;

      if v_code is null then
        for p in v_first .. v_last loop
          a := l_accounts[p];
          a_last_created_at[a] := v_time;
          if v_effective_at[i] > a_last_effective_at[a] then
            a_last_effective_at[a] := v_effective_at[i];
          end if;
          if v_has_timeouts and items.timeouts[i] is not null then
            a_next_expiry_at[a] := least(a_next_expiry_at[a],
              v_time + make_interval(secs => items.timeouts[i]));
          end if;
        end loop;
      else
        v_ids[i] := null;
        v_is_accepted[i] := false;
        for p in v_first .. v_last loop
          a := l_accounts[p];
          l_transaction_ids[p] := null;
          a_versions[a] := a_versions[a] - 1;
          if l_is_debit[p] then
            a_posted_debits[a] := a_posted_debits[a] - l_posted[p];
            a_pending_debits[a] := a_pending_debits[a] - l_pending[p];
          else
            a_posted_credits[a] := a_posted_credits[a] - l_posted[p];
            a_pending_credits[a] := a_pending_credits[a] - l_pending[p];
          end if;
        end loop;
      end if;
    end if;

    v_codes[i] := v_code;
    v_details[i] := v_detail;
    if v_has_references then
      v_key_owner[i] := coalesce(v_key_owner[v_same_key[i]], v_owner,
        case when v_is_accepted[i] then i end);
      v_target_owner[i] := coalesce(v_target_owner[v_same_target[i]],
        case when v_is_accepted[i] then i end);
    end if;
  end loop;

  accounts.versions := a_versions;
  accounts.last_created_at := a_last_created_at;
  accounts.last_effective_at := a_last_effective_at;
  accounts.next_expiry_at := a_next_expiry_at;
  accounts.posted_debits := a_posted_debits;
  accounts.posted_credits := a_posted_credits;
  accounts.pending_debits := a_pending_debits;
  accounts.pending_credits := a_pending_credits;
  accounts.expired_debits := a_expired_debits;
  accounts.expired_credits := a_expired_credits;
  return row(
    v_codes, v_details, v_ids, v_is_replayed, v_is_accepted, v_created_at, v_effective_at,
    row(
      l_transaction_ids, l_created_at, l_effective_at, l_currencies, l_is_debit_normal, l_versions,
      l_posted_debits, l_posted_credits, l_pending_debits, l_pending_credits,
      l_expired_debits, l_expired_credits
    )::app_private.batch_postings,
    accounts
  )::app_private.batch_decision;
end
$$;
--! EndIncluded engine/post_batch__decide.sql
--! Included engine/post_batch__hide_targets.sql
/*
 * Step 5b, only for a partner: a transaction with a posting on an account that it may not name is none
 * that it could resolve or reverse, as if it did not exist; and of one that has taken its idempotency key
 * it learns no more than that (no fingerprint: see post_batch__decide).
 */
create or replace function app_private.post_batch__hide_targets(
  actor app_private.actor,
  items app_private.batch_items,
  targets app_private.batch_targets
)
returns app_private.batch_targets
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_hidden_ids uuid[];
begin
  with posting as (
    select p.transaction_id, p.account_id
    from app_public.postings p
    where p.tenant_id = actor.tenant_id
      and p.transaction_id = any (items.pending_ids || items.reverses_ids || targets.replayed_ids)
  )
  select array_agg(distinct p.transaction_id) into v_hidden_ids
  from posting p
  where p.account_id <> all (
    app_private.partner_accounts_among(actor, array(select distinct o.account_id from posting o)));

  for i in 1 .. coalesce(cardinality(items.kinds), 0) loop
    if coalesce(items.pending_ids[i], items.reverses_ids[i]) = any (v_hidden_ids) then
      targets.kinds[i] := null;
    end if;
    if targets.replayed_ids[i] = any (v_hidden_ids) then
      targets.replayed_fingerprints[i] := null;
    end if;
  end loop;
  return targets;
end
$$;
--! EndIncluded engine/post_batch__hide_targets.sql
--! Included engine/post_batch__attempt.sql
/*
 * One attempt at a batch: the steps in their order. See post_batch.
 */
create or replace function app_private.post_batch__attempt(
  actor app_private.actor,
  items app_public.transaction_input[],
  mode app_public.batch_mode,
  may_expire boolean,
  is_approved boolean
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
  elsif cardinality(array_remove(v_decision.codes, null)) > 0 then
    perform app_private.record_refused_items(actor, v_items.keys, v_decision.codes, v_decision.details);
  end if;

  if true = any (v_decision.is_accepted) then
    perform app_private.post_batch__write(tenant_id, actor.user_id, v_items, v_lines, v_decision);
  end if;
  return app_private.post_batch__results(tenant_id, v_lines, v_decision);
end
$$;
--! EndIncluded engine/post_batch__attempt.sql
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
--! Included fx/required_conversion_account.sql
/*
 * An account of the tenant that the actor may name, by its id, or the refusal LG301.
 */
create or replace function app_private.required_account(actor app_private.actor, id uuid)
returns app_public.accounts
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_account app_public.accounts;
begin
  select a.* into v_account
  from app_public.accounts a
  where a.tenant_id = actor.tenant_id and a.id = required_account.id;
  if not found or not app_private.may_name_account(actor, v_account.id) then
    perform app_private.refuse('LG301', jsonb_build_object('accountId', required_account.id));
  end if;
  return v_account;
end
$$;

/*
 * The trading or rounding account of a currency, by its code, or the refusal LG343: also where the actor
 * may not name it.
 */
create or replace function app_private.required_conversion_account(
  actor app_private.actor,
  code text,
  currency text
)
returns uuid
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id uuid;
begin
  select a.id into v_id
  from app_public.accounts a
  where a.tenant_id = actor.tenant_id
    and a.code = required_conversion_account.code and a.currency = required_conversion_account.currency;
  if not found or not app_private.may_name_account(actor, v_id) then
    perform app_private.refuse('LG343', jsonb_build_object('code', code, 'currency', currency));
  end if;
  return v_id;
end
$$;
--! EndIncluded fx/required_conversion_account.sql
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
--! Included fx/post_conversion.sql
/*
 * Convert: take an amount from an account and give its worth in another currency to another account, in
 * one transaction, through the trading accounts of both currencies. See docs/decisions/0004-conversions.md.
 *
 * Rounding leaves a residue below one unit. It is carried, exactly, per rounding account, and as soon as
 * a whole unit has come together it is posted there, within the conversion that completes it.
 */
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
declare
  v_actor constant app_private.actor := app_private.authorize('transactions.convert');
  v_tenant_id constant integer := v_actor.tenant_id;
  v_plan app_private.conversion_plan;
  v_result app_public.transaction_result;
begin
  if amount is null or amount <= 0 then
    perform app_private.refuse('LG102');
  end if;
  v_plan := app_private.post_conversion__plan(
    v_actor, from_account_id, to_account_id, amount, trading_code, rounding_code,
    idempotency_key, coalesce(effective_at, now()));

  v_result := (app_private.post_batch(
    v_actor,
    array[row(
      'posted', v_plan.postings, idempotency_key, effective_at, null, null, null, description, metadata, null
    )::app_public.transaction_input],
    'atomic'))[1];

  if not v_result.is_replayed then
    insert into app_public.conversions (
      tenant_id, transaction_id, sold_currency, bought_currency, from_account_id, to_account_id,
      rounding_account_id, rate, sold_amount, bought_amount, exact_amount, residue,
      rounding_amount, carried_residue
    ) values (
      v_tenant_id, v_result.transaction_id, v_plan.sold_currency, (v_plan.bought).currency,
      from_account_id, to_account_id, v_plan.rounding_account_id, (v_plan.bought).rate, amount,
      (v_plan.bought).amount, (v_plan.bought).exact_amount, (v_plan.bought).residue,
      v_plan.rounding_amount, v_plan.carried_residue
    );
    update app_private.carried_residues r set residue = v_plan.carried_residue
    where r.tenant_id = v_tenant_id and r.account_id = v_plan.rounding_account_id;
  end if;
  return v_result;
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
--! Included api_keys/address.sql
/*
 * An IPv4 address, or network, that is written as an IPv6 one (::ffff:192.0.2.1) is the IPv4 one: which of
 * the two a server sees depends on how it listens, and must not decide who is let in.
 */
create or replace function app_private.plain_address(address inet)
returns inet
language sql
immutable
strict
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select case when address <<= '::ffff:0.0.0.0/96' then
    set_masklen(
      '0.0.0.0'::inet + (set_masklen(address, 128) - '::ffff:0.0.0.0'::inet), masklen(address) - 96)
  else address end
$$;

-- Whether a request from this address is let in by a list; what is no address is let in by none.
create or replace function app_private.is_allowed_address(address text, allowed_addresses cidr[])
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select case
    when allowed_addresses is null then true
    when pg_input_is_valid(address, 'inet') then exists (
      select
      from unnest(allowed_addresses) as a (network)
      where app_private.plain_address(address::inet) <<= a.network
    )
    else false
  end
$$;

/*
 * A list of addresses and networks as somebody wrote it. An IPv4 address has all four numbers (PostgreSQL
 * takes 10.1 for 10.1.0.0/16), and a network no bits behind its mask.
 */
create or replace function app_private.required_networks(addresses text[])
returns cidr[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_address text;
  v_networks cidr[] := '{}';
begin
  if addresses is null then
    return null;
  end if;
  if cardinality(addresses) not between 1 and 100 then
    perform app_private.refuse('LG427', jsonb_build_object(
      'field', 'allowedAddresses', 'rule', '1 to 100 addresses and networks, or none at all'));
  end if;
  foreach v_address in array addresses loop
    if v_address ~ '^([0-9]+\.){3}[0-9]+(/[0-9]+)?$|:' and pg_input_is_valid(v_address, 'cidr') then
      v_networks := v_networks || app_private.plain_address(v_address::inet)::cidr;
    else
      perform app_private.refuse('LG427', jsonb_build_object(
        'field', 'allowedAddresses', 'value', left(v_address, 60),
        'rule', 'addresses such as 192.0.2.1 or 2001:db8::1, and networks such as 192.0.2.0/24'));
    end if;
  end loop;
  return v_networks;
end
$$;
--! EndIncluded api_keys/address.sql
--! Included api_keys/api_key_secrets.sql
/*
 * The secrets that a request with this key may be signed with, encrypted; none where there is no such key.
 * For the server, before it knows who is asking: src/http/api_keys.ts.
 */
create or replace function app_hidden.api_key_secrets(key_id uuid)
returns table (tenant_id integer, secret_id uuid, secret_ciphertext bytea)
language sql
stable
rows 2
security definer
set search_path = pg_catalog, pg_temp
as $$
  select s.tenant_id, s.id, s.secret_ciphertext
  from app_private.api_keys k
  join app_private.api_key_secrets s on s.tenant_id = k.tenant_id and s.api_key_id = k.id
  where k.id = key_id and (s.expires_at is null or s.expires_at > now())
  order by s.created_at desc
$$;

grant execute on function app_hidden.api_key_secrets(uuid) to tallystick_anonymous;
--! EndIncluded api_keys/api_key_secrets.sql
--! Included api_keys/use_api_key.sql
/*
 * Let a signed request in, or say why not: the second step of authentication, after the server has found
 * the signature to be right. So nobody without the secret gets here, to fill the table of nonces or to
 * learn anything of a key. In one call: whether the key is in use, whether the secret still counts, the
 * time, the address, and that the nonce is new.
 *
 * The nonce is kept ten minutes longer than its timestamp is taken, so that a clock that is set back, or a
 * standby whose clock is behind, opens no gap. Two requests with one nonce wait for each other at the
 * primary key, in whichever processes they are.
 *
 * A refusal is an answer, not an error: what is recorded here must stay.
 */
create or replace function app_hidden.use_api_key(
  key_id uuid,
  secret_id uuid,
  nonce_hash bytea,
  signed_at timestamptz,
  address text
)
returns table (refusal_code text, tenant_id integer, user_id uuid, expires_at timestamptz)
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now constant timestamptz := clock_timestamp();
  v_key record;
  v_code text;
begin
  select
    s.tenant_id, s.user_id, s.expires_at, k.allowed_addresses, u.last_used_at,
    s.revoked_at is not null or s.expires_at <= v_now as is_over,
    exists (
      select
      from app_private.api_key_secrets x
      where x.tenant_id = k.tenant_id and x.id = use_api_key.secret_id and x.api_key_id = k.id
        and (x.expires_at is null or x.expires_at > v_now)
    ) as has_secret
  into v_key
  from app_private.sessions s
  join app_private.api_keys k on k.tenant_id = s.tenant_id and k.id = s.id
  join app_private.api_key_uses u on u.tenant_id = k.tenant_id and u.api_key_id = k.id
  where s.id = use_api_key.key_id;
  v_code := case
    when not found or not v_key.has_secret then 'LG421'
    when v_key.is_over then 'LG425'
    when (use_api_key.signed_at between v_now - interval '5 minutes' and v_now + interval '5 minutes')
      is not true then 'LG422'
    when not app_private.is_allowed_address(use_api_key.address, v_key.allowed_addresses) then 'LG424'
  end;
  if v_code is null then
    insert into app_private.api_key_nonces (tenant_id, api_key_id, nonce_hash, expires_at)
    values (
      v_key.tenant_id, use_api_key.key_id, use_api_key.nonce_hash,
      use_api_key.signed_at + interval '15 minutes'
    )
    on conflict do nothing;
    if not found then
      v_code := 'LG423';
    end if;
  end if;
  if v_code is not null then
    perform app_private.record_security_event(
      'api_key_refused', 'warning',
      jsonb_build_object('apiKeyId', use_api_key.key_id, 'code', v_code, 'address', left(address, 60)),
      v_key.tenant_id, v_key.user_id);
    return query select v_code, null::integer, null::uuid, null::timestamptz;
    return;
  end if;
  if v_key.last_used_at < v_now - interval '1 minute' then
    perform app_private.touch_api_key(v_key.tenant_id, use_api_key.key_id);
  end if;
  return query select null::text, v_key.tenant_id, v_key.user_id, v_key.expires_at;
end
$$;

grant execute on function app_hidden.use_api_key(uuid, uuid, bytea, timestamptz, text) to tallystick_anonymous;

/*
 * Note that a key has been used. Of requests at the same moment one does it, and none waits.
 */
create or replace function app_private.touch_api_key(tenant_id integer, api_key_id uuid)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  update app_private.api_key_uses u
  set last_used_at = clock_timestamp()
  from (
    select o.tenant_id, o.api_key_id
    from app_private.api_key_uses o
    where o.tenant_id = touch_api_key.tenant_id and o.api_key_id = touch_api_key.api_key_id
    for no key update skip locked
  ) free
  where u.tenant_id = free.tenant_id and u.api_key_id = free.api_key_id
$$;
--! EndIncluded api_keys/use_api_key.sql
--! Included api_keys/api_key.sql
/*
 * The API keys of the tenant, without their secrets: for those who manage them, and for auditors.
 */
create or replace function app_public.api_keys()
returns setof app_public.api_key
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    k.id, k.name,
    case
      when s.revoked_at is not null then 'revoked'
      when s.expires_at <= now() then 'expired'
      else 'active'
    end::app_public.api_key_status,
    s.user_id, s.scopes, k.allowed_addresses::text[], k.account_set_id, k.created_at, k.created_by,
    s.expires_at, s.revoked_at, k.rotated_at,
    (
      select max(x.expires_at)
      from app_private.api_key_secrets x
      where x.tenant_id = k.tenant_id and x.api_key_id = k.id and x.expires_at > now()
    ),
    nullif(u.last_used_at, '-infinity')
  from app_private.api_keys k
  join app_private.sessions s on s.id = k.id
  join app_private.api_key_uses u on u.tenant_id = k.tenant_id and u.api_key_id = k.id
  where k.tenant_id = app_hidden.current_tenant_id()
  order by k.created_at desc, k.id desc
$$;

grant execute on function app_public.api_keys() to tallystick_auditor, tallystick_admin;

comment on function app_public.api_keys() is $$
The API keys of the tenant, the newest first: those that have ended too, and none with its secret.
$$;

create or replace function app_public.api_key(id uuid)
returns app_public.api_key
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select k.* from app_public.api_keys() k where k.id = api_key.id
$$;

grant execute on function app_public.api_key(uuid) to tallystick_auditor, tallystick_admin;

comment on function app_public.api_key(uuid) is $$
The API key with this id, or null where the tenant has none.
$$;
--! EndIncluded api_keys/api_key.sql
--! Included api_keys/create_api_key.sql
/*
 * Create an API key: a session of the role partner that lasts until the key expires, and a service user that
 * it acts as, unless it is to act as that of another key. Not exposed as it is: the server makes the secret,
 * encrypts it for its row, and shows it once (src/graphql/api_keys.ts).
 */
create or replace function app_hidden.create_api_key(
  id uuid,
  secret_id uuid,
  secret_ciphertext bytea,
  name text,
  scopes text[],
  expires_at timestamptz,
  allowed_addresses text[] default null,
  account_set_id uuid default null,
  user_id uuid default null
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_actor constant app_private.actor := app_private.authorize('api_keys.manage');
  v_networks constant cidr[] := app_private.required_networks(create_api_key.allowed_addresses);
  v_user_id uuid := create_api_key.user_id;
begin
  if create_api_key.name is null or length(create_api_key.name) not between 1 and 200 then
    perform app_private.refuse('LG114', jsonb_build_object('field', 'name', 'rule', '1 to 200 characters'));
  end if;
  perform app_private.check_api_key_expiry(create_api_key.expires_at);
  if create_api_key.account_set_id is not null then
    perform app_private.required_account_set(v_actor.tenant_id, create_api_key.account_set_id);
  end if;
  if v_user_id is null then
    insert into app_public.users (kind, name)
    values ('service', create_api_key.name)
    returning id into v_user_id;
    insert into app_public.memberships (tenant_id, user_id, role)
    values (v_actor.tenant_id, v_user_id, 'partner');
  elsif not exists (
    select
    from app_public.memberships m
    join app_public.users u on u.id = m.user_id and u.kind = 'service' and u.status = 'active'
    where m.tenant_id = v_actor.tenant_id and m.user_id = v_user_id and m.role = 'partner'
      and m.status = 'active'
  ) then
    perform app_private.refuse('LG427', jsonb_build_object(
      'field', 'userId', 'rule', 'a partner of the tenant, as an API key has made it'));
  end if;

  insert into app_private.sessions (id, tenant_id, user_id, role, kind, scopes, expires_at)
  values (
    create_api_key.id, v_actor.tenant_id, v_user_id, 'partner', 'api_key',
    app_private.required_scopes(create_api_key.scopes), create_api_key.expires_at
  );
  insert into app_private.api_keys (tenant_id, id, name, allowed_addresses, account_set_id, created_by)
  values (
    v_actor.tenant_id, create_api_key.id, create_api_key.name, v_networks, create_api_key.account_set_id,
    v_actor.user_id
  );
  insert into app_private.api_key_uses (tenant_id, api_key_id, last_used_at)
  values (v_actor.tenant_id, create_api_key.id, '-infinity');
  insert into app_private.api_key_secrets (tenant_id, id, api_key_id, secret_ciphertext)
  values (
    v_actor.tenant_id, create_api_key.secret_id, create_api_key.id, create_api_key.secret_ciphertext
  );
end
$$;

grant execute on function app_hidden.create_api_key(
  uuid, uuid, bytea, text, text[], timestamptz, text[], uuid, uuid
) to tallystick_admin;

/*
 * The scopes of a key: permissions that a partner can have at all, each once, and one at least. Which of
 * them the tenant lets its partners have is asked at each use.
 */
create or replace function app_private.required_scopes(scopes text[])
returns text[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_known constant text[] := array(
    select g.permission from app_public.grantable_permissions g where g.role = 'partner' order by 1);
begin
  if coalesce(cardinality(scopes), 0) = 0 or not scopes <@ v_known then
    perform app_private.refuse('LG427', jsonb_build_object('field', 'scopes', 'known', v_known));
  end if;
  return array(select distinct s.scope from unnest(scopes) as s (scope) order by 1);
end
$$;

-- Every key expires: at most 366 days from now.
create or replace function app_private.check_api_key_expiry(expires_at timestamptz)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if (expires_at > now() and expires_at <= now() + interval '366 days') is not true then
    perform app_private.refuse('LG427', jsonb_build_object(
      'field', 'expiresAt', 'rule', 'a moment within the next 366 days'));
  end if;
end
$$;
--! EndIncluded api_keys/create_api_key.sql
--! Included api_keys/rotate_api_key.sql
/*
 * Give an API key a new secret. The one before it counts for a while longer, so that a partner can change
 * over without a gap; what was before that one no longer does.
 */
create or replace function app_hidden.rotate_api_key(
  id uuid,
  secret_id uuid,
  secret_ciphertext bytea,
  overlap_seconds integer default 86400,
  expires_at timestamptz default null
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant_id constant integer := (app_private.authorize('api_keys.manage')).tenant_id;
  v_overlap constant integer := coalesce(rotate_api_key.overlap_seconds, 86400);
  v_is_over boolean;
begin
  if v_overlap not between 0 and 604800 then
    perform app_private.refuse('LG427', jsonb_build_object(
      'field', 'overlapSeconds', 'rule', '0 to 604800, which is seven days'));
  end if;
  -- Rotations of one key take turns.
  select s.revoked_at is not null or s.expires_at <= now() into v_is_over
  from app_private.api_keys k
  join app_private.sessions s on s.id = k.id
  where k.tenant_id = v_tenant_id and k.id = rotate_api_key.id
  for no key update of k;
  if not found then
    perform app_private.refuse('LG426', jsonb_build_object('apiKeyId', rotate_api_key.id));
  end if;
  if v_is_over then
    perform app_private.refuse('LG425', jsonb_build_object('apiKeyId', rotate_api_key.id));
  end if;
  if rotate_api_key.expires_at is not null then
    perform app_private.check_api_key_expiry(rotate_api_key.expires_at);
    update app_private.sessions s set expires_at = rotate_api_key.expires_at where s.id = rotate_api_key.id;
  end if;

  delete from app_private.api_key_secrets x
  where x.tenant_id = v_tenant_id and x.api_key_id = rotate_api_key.id
    and (x.expires_at is not null or v_overlap = 0);
  update app_private.api_key_secrets x
  set expires_at = now() + make_interval(secs => v_overlap)
  where x.tenant_id = v_tenant_id and x.api_key_id = rotate_api_key.id;
  insert into app_private.api_key_secrets (tenant_id, id, api_key_id, secret_ciphertext)
  values (
    v_tenant_id, rotate_api_key.secret_id, rotate_api_key.id, rotate_api_key.secret_ciphertext
  );
  update app_private.api_keys k set rotated_at = now()
  where k.tenant_id = v_tenant_id and k.id = rotate_api_key.id;
end
$$;

grant execute on function app_hidden.rotate_api_key(uuid, uuid, bytea, integer, timestamptz) to
  tallystick_admin;
--! EndIncluded api_keys/rotate_api_key.sql
--! Included api_keys/revoke_api_key.sql
/*
 * End an API key at once and for good. One that is revoked already stays as it is.
 */
create or replace function app_public.revoke_api_key(id uuid)
returns app_public.api_key
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := (app_private.authorize('api_keys.manage')).tenant_id;
  v_key app_public.api_key;
begin
  update app_private.sessions s
  set revoked_at = clock_timestamp(), revoked_because = 'API key revoked'
  where s.id = revoke_api_key.id and s.tenant_id = v_tenant_id and s.kind = 'api_key'
    and s.revoked_at is null;
  select k.* into v_key from app_public.api_key(revoke_api_key.id) k;
  if v_key.id is null then
    perform app_private.refuse('LG426', jsonb_build_object('apiKeyId', revoke_api_key.id));
  end if;
  return v_key;
end
$$;

grant execute on function app_public.revoke_api_key(uuid) to tallystick_admin;

comment on function app_public.revoke_api_key(uuid) is $$
@resultFieldName apiKey

Ends an API key: no request that is signed with it is taken any more, from now on and for good. What it has
posted stays.
$$;
--! EndIncluded api_keys/revoke_api_key.sql
--! Included api_keys/prune_api_keys.sql
/*
 * Remove what no longer counts: nonces whose timestamps are too old to be taken again, and secrets that a
 * rotation has ended. At most `batch_size` nonces; tells how many there were.
 */
create or replace function app_private.prune_api_keys(batch_size integer)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count integer;
begin
  delete from app_private.api_key_secrets s where s.expires_at <= now();
  delete from app_private.api_key_nonces n
  using (
    select o.tenant_id, o.api_key_id, o.nonce_hash
    from app_public.tenants t
    -- Tenant by tenant, so that each is a range of the index.
    cross join lateral (
      select x.tenant_id, x.api_key_id, x.nonce_hash
      from app_private.api_key_nonces x
      where x.tenant_id = t.id and x.expires_at < now()
      order by x.expires_at
      limit batch_size
      for update skip locked
    ) o
    limit batch_size
  ) old
  where n.tenant_id = old.tenant_id and n.api_key_id = old.api_key_id and n.nonce_hash = old.nonce_hash;
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

grant execute on function app_private.prune_api_keys(integer) to tallystick_worker;
--! EndIncluded api_keys/prune_api_keys.sql
--! Included api_keys/comments.sql
/*
 * What GraphQL says about API keys.
 */
comment on type app_public.api_key_status is 'Whether an API key can be used.';

comment on type app_public.api_key is $$
A key that a partner signs its requests with. Its secret is told once, when it is made.
$$;
comment on column app_public.api_key.id is 'The id of the key, which requests name.';
comment on column app_public.api_key.name is 'The name for people.';
comment on column app_public.api_key.status is 'Whether the key can be used.';
comment on column app_public.api_key.user_id is
  'The id of the service user that the key acts as: what it posts and opens bears this id.';
comment on column app_public.api_key.scopes is
  'The permissions that the key has, as far as partners of the tenant have them.';
comment on column app_public.api_key.allowed_addresses is
  'The addresses and networks that requests may come from. None: anywhere.';
comment on column app_public.api_key.account_set_id is
  'The id of the account set whose accounts the key sees, beside those that its user owns.';
comment on column app_public.api_key.created_at is 'When the key was made.';
comment on column app_public.api_key.created_by is 'The id of the user who made it.';
comment on column app_public.api_key.expires_at is 'When the key ends by itself.';
comment on column app_public.api_key.revoked_at is 'When the key was revoked, if it was.';
comment on column app_public.api_key.rotated_at is
  'When the key was given its present secret, if it was given another.';
comment on column app_public.api_key.previous_secret_expires_at is
  'Until when the secret before the present one counts, if it still does.';
comment on column app_public.api_key.last_used_at is 'When the key was last used, to the minute.';
--! EndIncluded api_keys/comments.sql
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

---- verification of customers ----

-- The audit trail has every reading of a sensitive value.
drop table app_private.sensitive_reads;

--! Included kyc/record_sensitive_read.sql
/*
 * Write into the audit trail that somebody is about to read a sensitive value in full, and what for. In the
 * database transaction that hands the ciphertext out, so that none is handed out without its entry.
 */
create or replace function app_private.record_sensitive_read(
  actor app_private.actor,
  table_name text,
  row_key text,
  column_name text,
  purpose text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if length(btrim(purpose)) between 1 and 200 then
    perform app_private.record_read(
      record_sensitive_read.table_name, array[record_sensitive_read.row_key],
      record_sensitive_read.column_name || ': ' || btrim(record_sensitive_read.purpose), actor.tenant_id);
  else
    perform app_private.refuse('LG114', jsonb_build_object('field', 'purpose', 'rule', '1 to 200 characters'));
  end if;
end
$$;
--! EndIncluded kyc/record_sensitive_read.sql
--! Included kyc/kyc_checks.sql
/*
 * The checks of the provider, for the job that asks it: tasks/identity/run_kyc_checks.ts.
 *
 * Taking one pushes its next turn into the future, so that another worker leaves it alone meanwhile, and
 * takes it over if this one dies. Waits grow with the attempts: 30 seconds at first, an hour at most. The id
 * of the check is the idempotency key at the provider, so asking twice is asking once.
 */
create or replace function app_private.take_due_kyc_check(
  out tenant_id integer,
  out id uuid,
  out case_id uuid,
  out level smallint,
  out provider_reference text
)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  update app_public.kyc_checks k
  set attempts = k.attempts + 1,
    due_at = now() + least(interval '30 seconds' * 2 ^ least(k.attempts, 10), interval '1 hour'),
    updated_at = now()
  from (
    select d.tenant_id, d.id
    from app_public.kyc_checks d
    where d.due_at <= now()
    order by d.due_at
    limit 1
    for update skip locked
  ) due
  join app_public.kyc_checks c on c.tenant_id = due.tenant_id and c.id = due.id
  join app_public.kyc_cases a on a.tenant_id = c.tenant_id and a.id = c.case_id
  where k.tenant_id = due.tenant_id and k.id = due.id
  returning k.tenant_id, k.id, k.case_id, a.requested_level, k.provider_reference
$$;

-- The evidence of the case of a check, as ciphertexts, for the provider. Recorded as read by nobody in person.
create or replace function app_private.kyc_check_evidence(tenant_id integer, id uuid)
returns table (evidence_id uuid, kind app_public.kyc_evidence_kind, ciphertext bytea)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  with evidence as (
    select e.id, e.kind, e.reference_ciphertext, e.created_at
    from app_public.kyc_checks k
    join app_public.kyc_evidence e on e.tenant_id = k.tenant_id and e.case_id = k.case_id
    where k.tenant_id = kyc_check_evidence.tenant_id and k.id = kyc_check_evidence.id
  ),
  recorded as materialized (
    select app_private.record_read(
      'app_public.kyc_evidence', array_agg(e.id::text), 'reference: check ' || kyc_check_evidence.id,
      kyc_check_evidence.tenant_id)
    from evidence e
    having count(*) > 0
  )
  select e.id, e.kind, e.reference_ciphertext::bytea from evidence e cross join recorded order by e.created_at
$$;

/*
 * Take down what the provider answered. What a check found is final: a later answer changes nothing. A need
 * for more information sends the case back; everything else waits for a person.
 */
create or replace function app_private.record_kyc_check(
  tenant_id integer,
  id uuid,
  status app_public.kyc_check_status,
  provider_reference text,
  finding text default null
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_check app_public.kyc_checks;
begin
  update app_public.kyc_checks k set
    status = record_kyc_check.status,
    provider_reference = record_kyc_check.provider_reference,
    finding = left(record_kyc_check.finding, 1000),
    due_at = case when record_kyc_check.status = 'submitted' then k.due_at end,
    updated_at = now()
  where k.tenant_id = record_kyc_check.tenant_id and k.id = record_kyc_check.id
    and k.status in ('queued', 'submitted') and record_kyc_check.status <> 'queued'
  returning * into v_check;
  if not found then
    return false;
  end if;
  if v_check.status = 'needs_information' then
    update app_public.kyc_cases c set status = 'needs_information', message = v_check.finding
    where c.tenant_id = v_check.tenant_id and c.id = v_check.case_id and c.status = 'in_review';
  end if;
  return true;
end
$$;

/*
 * The provider says that there is news about a check: it is asked at once, instead of when its turn comes.
 * What the news are is never taken from a message.
 */
create or replace function app_hidden.hasten_kyc_check(tenant_id integer, id uuid)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  update app_public.kyc_checks k set due_at = now(), attempts = 0
  where k.tenant_id = hasten_kyc_check.tenant_id and k.id = hasten_kyc_check.id and k.status = 'submitted'
$$;

grant execute on function
  app_private.take_due_kyc_check(),
  app_private.kyc_check_evidence(integer, uuid),
  app_private.record_kyc_check(integer, uuid, app_public.kyc_check_status, text, text)
to tallystick_worker;

grant execute on function app_hidden.hasten_kyc_check(integer, uuid) to tallystick_anonymous;
--! EndIncluded kyc/kyc_checks.sql
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
    ('app_public.kyc_decisions', true, 'History itself.'),
    ('app_private.audit_entries', true, 'The trail itself.'),
    ('app_private.security_events', true, 'History itself.'),
    ('app_public.account_balances', false, 'Follows from the postings, and is checked against them.'),
    ('app_private.open_reservations', false, 'Follows from pending transactions, and is checked against them.'),
    ('app_private.carried_residues', false, 'Follows from conversions, and is checked against them.'),
    ('app_hidden.posting_blocks', false, 'Follows from the postings, and is checked against them.'),
    ('app_hidden.posting_block_entries', false, 'Follows from the postings, and is checked against them.'),
    ('app_private.outflow_windows', false, 'Follows from the postings, and is checked against them.'),
    ('app_private.api_key_nonces', false, 'What was seen in the last minutes; nobody decides it.'),
    ('app_private.api_key_uses', false, 'When a key was last used; nobody decides it.'),
    ('app_private.authentication_attempts', false, 'Counts of failures; security events tell of them.'),
    ('app_private.rate_limit_counters', false, 'Counts of a minute; nobody decides them.'),
    ('app_private.relay_cursors', false, 'How far a reader has come; nobody decides it.'),
    ('app_private.security_event_cursor', false, 'How far a reader has come; nobody decides it.')
$$;
--! EndIncluded audit/exceptions.sql
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
