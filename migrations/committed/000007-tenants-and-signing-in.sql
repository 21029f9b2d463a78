--! Previous: sha1:b284b71a1e60b8f2f9fc8521856adc76fb013c4b
--! Hash: sha1:367244520346fdf35afac36d4e99ab0d25ec3613
--! Message: tenants and signing in

-- The migration being written. See migrations/README.md.
---- tenants ----

alter table app_public.tenants
  -- Whether strangers may register, as customers.
  add column is_registration_open boolean not null default false,
  add column invitation_lifetime_seconds integer not null default 604800,
  -- How long a login lasts at most, however often it is refreshed.
  add column session_lifetime_seconds integer not null default 2592000,
  add constraint tenants_invitation_lifetime_is_1_hour_to_90_days check (
    invitation_lifetime_seconds between 3600 and 7776000
  ),
  add constraint tenants_session_lifetime_is_5_minutes_to_1_year check (
    session_lifetime_seconds between 300 and 31536000
  );

-- What an operator may do is no choice of a tenant.
alter table app_public.role_permissions
  add constraint role_permissions_role_is_of_a_tenant check (role <> 'operator');

-- Who is asked to join. To whom it was sent, and what opens it, is in a table that no request role sees.
create table app_public.invitations (
  tenant_id integer not null,
  id uuid not null default uuidv7(),
  role app_public.member_role not null,
  invited_by uuid,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  accepted_at timestamptz,
  accepted_by uuid,
  revoked_at timestamptz,
  constraint invitations_pkey primary key (tenant_id, id),
  constraint invitations_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint invitations_invited_by_fkey foreign key (invited_by)
    references app_public.users on delete restrict,
  constraint invitations_accepted_by_fkey foreign key (accepted_by)
    references app_public.users on delete restrict,
  constraint invitations_role_is_of_people check (role not in ('partner', 'operator')),
  constraint invitations_expires_after_created check (expires_at > created_at),
  constraint invitations_accepted_knows_by_whom check ((accepted_at is null) = (accepted_by is null)),
  constraint invitations_accepted_before_expiry check (accepted_at < expires_at),
  constraint invitations_accepted_or_revoked check (accepted_at is null or revoked_at is null)
);

create index invitations_invited_by_idx on app_public.invitations (invited_by);
create index invitations_accepted_by_idx on app_public.invitations (accepted_by);

/*
 * The token of an invitation, as a hash, and the address that it is for, encrypted, with a blind index. It
 * is found by the token before any tenant is known, hence the key. A hash of 256 random bits tells nothing.
 */
create table app_private.invitation_tokens (
  token_hash bytea not null,
  tenant_id integer not null,
  invitation_id uuid not null,
  email_ciphertext app_private.ciphertext not null,
  email_index app_private.blind_index not null,
  constraint invitation_tokens_pkey primary key (token_hash),
  constraint invitation_tokens_invitation_id_key unique (tenant_id, invitation_id),
  constraint invitation_tokens_invitation_id_fkey foreign key (tenant_id, invitation_id)
    references app_public.invitations on delete restrict,
  constraint invitation_tokens_hash_is_sha_256 check (octet_length(token_hash) = 32),
  constraint invitation_tokens_email_is_at_most_2_kb check (octet_length(email_ciphertext) <= 2048)
);

create index invitation_tokens_email_index_idx on app_private.invitation_tokens (tenant_id, email_index);

-- Charts of accounts to begin with, the same for everyone. A parent comes before its children.
create table app_public.chart_templates (
  template text not null,
  name text not null,
  description text not null,
  constraint chart_templates_pkey primary key (template),
  constraint chart_templates_template_is_lower_case_words check (template ~ '^[a-z][a-z0-9-]{1,62}$')
);

create table app_public.chart_template_accounts (
  template text not null,
  position integer not null,
  code text not null,
  name text not null,
  type app_public.account_type not null,
  normal_balance app_public.direction not null,
  parent_code text,
  minimum_balance app_public.amount,
  maximum_balance app_public.amount,
  constraint chart_template_accounts_pkey primary key (template, position),
  constraint chart_template_accounts_code_key unique (template, code),
  constraint chart_template_accounts_template_fkey foreign key (template)
    references app_public.chart_templates on delete restrict,
  constraint chart_template_accounts_parent_code_fkey foreign key (template, parent_code)
    references app_public.chart_template_accounts (template, code) on delete restrict,
  constraint chart_template_accounts_minimum_is_not_above_zero check (minimum_balance <= 0),
  constraint chart_template_accounts_maximum_is_not_below_zero check (maximum_balance >= 0)
);

create index chart_template_accounts_parent_code_idx
  on app_public.chart_template_accounts (template, parent_code);

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
  ('currencies.create', 'Take up currencies.'),
  ('customer_details.set', 'Set sensitive details of customers; a customer sets their own.'),
  ('exchange_rates.set', 'Set exchange rates.'),
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
--! Included templates/chart_templates.sql
/*
 * Charts of accounts to begin with. A parent comes before its children. A heading takes no postings: both
 * its limits are zero. An account of which less than nothing would be a mistake has the minimum zero. The
 * normal balance is the one of the type, but for contra accounts.
 */
insert into app_public.chart_templates (template, name, description) values
  ('wallet', 'Wallet company',
    'Keeps wallets for customers who top them up by card, pay merchants and each other.'),
  ('marketplace', 'Marketplace',
    'Takes the money of buyers, keeps it until delivery, and pays sellers less a commission.'),
  ('small-company', 'Small company with VAT',
    'Sells goods and services, keeps input and output VAT apart.'),
  ('bank', 'Plain bank',
    'Takes deposits, makes loans, moves payments.')
on conflict (template) do update set name = excluded.name, description = excluded.description;

-- The order of a chart is part of its rows, so they are written anew.
delete from app_public.chart_template_accounts;
insert into app_public.chart_template_accounts (
  template, position, code, name, type, normal_balance, parent_code, minimum_balance, maximum_balance
)
select
  r.template, r.position, r.code, r.name, r.type::app_public.account_type,
  r.normal_balance::app_public.direction, r.parent_code, r.minimum_balance, r.maximum_balance
from (values
  ('wallet', 1, 'assets', 'Assets', 'asset', 'debit', null, 0, 0),
  ('wallet', 2, 'assets:bank', 'Bank account', 'asset', 'debit', 'assets', null, null),
  ('wallet', 3, 'assets:safeguarding', 'Money of customers, safeguarded at a bank',
    'asset', 'debit', 'assets', 0, null),
  ('wallet', 4, 'assets:card-clearing', 'Card payments on their way', 'asset', 'debit', 'assets', null, null),
  ('wallet', 5, 'assets:fees-receivable', 'Fees receivable', 'asset', 'debit', 'assets', 0, null),
  ('wallet', 6, 'assets:allowance', 'Allowance for fees that will not be paid', 'asset', 'credit', 'assets', 0, null),
  ('wallet', 7, 'liabilities', 'Liabilities', 'liability', 'credit', null, 0, 0),
  ('wallet', 8, 'liabilities:wallets', 'Wallets of customers, one account below this for each',
    'liability', 'credit', 'liabilities', 0, 0),
  ('wallet', 9, 'liabilities:merchants', 'Owed to merchants', 'liability', 'credit', 'liabilities', 0, null),
  ('wallet', 10, 'liabilities:payouts', 'Payouts on their way', 'liability', 'credit', 'liabilities', 0, null),
  ('wallet', 11, 'liabilities:payables', 'Owed to suppliers', 'liability', 'credit', 'liabilities', null, null),
  ('wallet', 12, 'liabilities:vat', 'VAT to pay', 'liability', 'credit', 'liabilities', null, null),
  ('wallet', 13, 'equity', 'Equity', 'equity', 'credit', null, 0, 0),
  ('wallet', 14, 'equity:capital', 'Capital', 'equity', 'credit', 'equity', null, null),
  ('wallet', 15, 'equity:retained-earnings', 'Retained earnings', 'equity', 'credit', 'equity', null, null),
  ('wallet', 16, 'equity:trading', 'Currency trading', 'equity', 'credit', 'equity', null, null),
  ('wallet', 17, 'revenue', 'Revenue', 'revenue', 'credit', null, 0, 0),
  ('wallet', 18, 'revenue:fees', 'Fees earned', 'revenue', 'credit', 'revenue', null, null),
  ('wallet', 19, 'revenue:interchange', 'Interchange earned', 'revenue', 'credit', 'revenue', null, null),
  ('wallet', 20, 'revenue:refunded-fees', 'Fees given back', 'revenue', 'debit', 'revenue', null, null),
  ('wallet', 21, 'revenue:rounding', 'What rounding of conversions brought',
    'revenue', 'credit', 'revenue', null, null),
  ('wallet', 22, 'expenses', 'Expenses', 'expense', 'debit', null, 0, 0),
  ('wallet', 23, 'expenses:card-processing', 'Card processing', 'expense', 'debit', 'expenses', null, null),
  ('wallet', 24, 'expenses:chargebacks', 'Chargebacks', 'expense', 'debit', 'expenses', null, null),
  ('wallet', 25, 'expenses:fraud', 'Losses by fraud', 'expense', 'debit', 'expenses', null, null),
  ('wallet', 26, 'expenses:salaries', 'Salaries', 'expense', 'debit', 'expenses', null, null),
  ('wallet', 27, 'expenses:rent', 'Rent', 'expense', 'debit', 'expenses', null, null),
  ('wallet', 28, 'expenses:technology', 'Technology', 'expense', 'debit', 'expenses', null, null),
  ('wallet', 29, 'expenses:other', 'Other expenses', 'expense', 'debit', 'expenses', null, null),
  ('marketplace', 1, 'assets', 'Assets', 'asset', 'debit', null, 0, 0),
  ('marketplace', 2, 'assets:bank', 'Bank account', 'asset', 'debit', 'assets', null, null),
  ('marketplace', 3, 'assets:escrow', 'Money of buyers and sellers, held apart', 'asset', 'debit', 'assets', 0, null),
  ('marketplace', 4, 'assets:card-clearing', 'Card payments on their way', 'asset', 'debit', 'assets', null, null),
  ('marketplace', 5, 'assets:seller-debts', 'Owed by sellers', 'asset', 'debit', 'assets', 0, null),
  ('marketplace', 6, 'assets:allowance', 'Allowance for debts of sellers', 'asset', 'credit', 'assets', 0, null),
  ('marketplace', 7, 'liabilities', 'Liabilities', 'liability', 'credit', null, 0, 0),
  ('marketplace', 8, 'liabilities:orders', 'Paid by buyers, not yet delivered',
    'liability', 'credit', 'liabilities', 0, null),
  ('marketplace', 9, 'liabilities:sellers', 'Sellers, one account below this for each',
    'liability', 'credit', 'liabilities', 0, 0),
  ('marketplace', 10, 'liabilities:payouts', 'Payouts on their way', 'liability', 'credit', 'liabilities', 0, null),
  ('marketplace', 11, 'liabilities:gift-cards', 'Gift cards outstanding',
    'liability', 'credit', 'liabilities', 0, null),
  ('marketplace', 12, 'liabilities:payables', 'Owed to suppliers', 'liability', 'credit', 'liabilities', null, null),
  ('marketplace', 13, 'liabilities:vat', 'VAT to pay', 'liability', 'credit', 'liabilities', null, null),
  ('marketplace', 14, 'equity', 'Equity', 'equity', 'credit', null, 0, 0),
  ('marketplace', 15, 'equity:capital', 'Capital', 'equity', 'credit', 'equity', null, null),
  ('marketplace', 16, 'equity:retained-earnings', 'Retained earnings', 'equity', 'credit', 'equity', null, null),
  ('marketplace', 17, 'equity:trading', 'Currency trading', 'equity', 'credit', 'equity', null, null),
  ('marketplace', 18, 'revenue', 'Revenue', 'revenue', 'credit', null, 0, 0),
  ('marketplace', 19, 'revenue:commission', 'Commission', 'revenue', 'credit', 'revenue', null, null),
  ('marketplace', 20, 'revenue:listing-fees', 'Listing fees', 'revenue', 'credit', 'revenue', null, null),
  ('marketplace', 21, 'revenue:shipping', 'Shipping', 'revenue', 'credit', 'revenue', null, null),
  ('marketplace', 22, 'revenue:discounts', 'Discounts and vouchers', 'revenue', 'debit', 'revenue', null, null),
  ('marketplace', 23, 'revenue:breakage', 'Gift cards that were never used',
    'revenue', 'credit', 'revenue', null, null),
  ('marketplace', 24, 'revenue:rounding', 'What rounding of conversions brought',
    'revenue', 'credit', 'revenue', null, null),
  ('marketplace', 25, 'expenses', 'Expenses', 'expense', 'debit', null, 0, 0),
  ('marketplace', 26, 'expenses:payment-processing', 'Payment processing', 'expense', 'debit', 'expenses', null, null),
  ('marketplace', 27, 'expenses:chargebacks', 'Chargebacks', 'expense', 'debit', 'expenses', null, null),
  ('marketplace', 28, 'expenses:goodwill', 'Refunds out of goodwill', 'expense', 'debit', 'expenses', null, null),
  ('marketplace', 29, 'expenses:shipping', 'Shipping', 'expense', 'debit', 'expenses', null, null),
  ('marketplace', 30, 'expenses:marketing', 'Marketing', 'expense', 'debit', 'expenses', null, null),
  ('marketplace', 31, 'expenses:salaries', 'Salaries', 'expense', 'debit', 'expenses', null, null),
  ('marketplace', 32, 'expenses:technology', 'Technology', 'expense', 'debit', 'expenses', null, null),
  ('marketplace', 33, 'expenses:other', 'Other expenses', 'expense', 'debit', 'expenses', null, null),
  ('small-company', 1, '1000', 'Assets', 'asset', 'debit', null, 0, 0),
  ('small-company', 2, '1010', 'Cash', 'asset', 'debit', '1000', 0, null),
  ('small-company', 3, '1020', 'Bank account', 'asset', 'debit', '1000', null, null),
  ('small-company', 4, '1100', 'Trade receivables', 'asset', 'debit', '1000', null, null),
  ('small-company', 5, '1190', 'Allowance for doubtful receivables', 'asset', 'credit', '1000', 0, null),
  ('small-company', 6, '1200', 'Inventory', 'asset', 'debit', '1000', 0, null),
  ('small-company', 7, '1300', 'Input VAT', 'asset', 'debit', '1000', null, null),
  ('small-company', 8, '1400', 'Prepaid expenses', 'asset', 'debit', '1000', 0, null),
  ('small-company', 9, '1500', 'Equipment', 'asset', 'debit', '1000', 0, null),
  ('small-company', 10, '1590', 'Accumulated depreciation', 'asset', 'credit', '1000', 0, null),
  ('small-company', 11, '2000', 'Liabilities', 'liability', 'credit', null, 0, 0),
  ('small-company', 12, '2010', 'Trade payables', 'liability', 'credit', '2000', null, null),
  ('small-company', 13, '2100', 'Output VAT', 'liability', 'credit', '2000', null, null),
  ('small-company', 14, '2110', 'VAT settlement with the tax office', 'liability', 'credit', '2000', null, null),
  ('small-company', 15, '2200', 'Wages payable', 'liability', 'credit', '2000', null, null),
  ('small-company', 16, '2210', 'Payroll taxes and social security', 'liability', 'credit', '2000', null, null),
  ('small-company', 17, '2300', 'Prepayments of customers', 'liability', 'credit', '2000', 0, null),
  ('small-company', 18, '2400', 'Loans', 'liability', 'credit', '2000', 0, null),
  ('small-company', 19, '2500', 'Income tax payable', 'liability', 'credit', '2000', null, null),
  ('small-company', 20, '3000', 'Equity', 'equity', 'credit', null, 0, 0),
  ('small-company', 21, '3010', 'Capital', 'equity', 'credit', '3000', null, null),
  ('small-company', 22, '3100', 'Retained earnings', 'equity', 'credit', '3000', null, null),
  ('small-company', 23, '3200', 'Currency trading', 'equity', 'credit', '3000', null, null),
  ('small-company', 24, '3900', 'Drawings of the owner', 'equity', 'debit', '3000', null, null),
  ('small-company', 25, '4000', 'Revenue', 'revenue', 'credit', null, 0, 0),
  ('small-company', 26, '4010', 'Sale of goods', 'revenue', 'credit', '4000', null, null),
  ('small-company', 27, '4020', 'Services', 'revenue', 'credit', '4000', null, null),
  ('small-company', 28, '4090', 'Discounts and returns', 'revenue', 'debit', '4000', null, null),
  ('small-company', 29, '4100', 'Other income', 'revenue', 'credit', '4000', null, null),
  ('small-company', 30, '4200', 'Interest and rounding', 'revenue', 'credit', '4000', null, null),
  ('small-company', 31, '5000', 'Cost of sales', 'expense', 'debit', null, 0, 0),
  ('small-company', 32, '5010', 'Goods', 'expense', 'debit', '5000', null, null),
  ('small-company', 33, '5020', 'Freight and customs', 'expense', 'debit', '5000', null, null),
  ('small-company', 34, '5090', 'Discounts of suppliers', 'expense', 'credit', '5000', null, null),
  ('small-company', 35, '6000', 'Operating expenses', 'expense', 'debit', null, 0, 0),
  ('small-company', 36, '6010', 'Wages and salaries', 'expense', 'debit', '6000', null, null),
  ('small-company', 37, '6020', 'Social security', 'expense', 'debit', '6000', null, null),
  ('small-company', 38, '6100', 'Rent', 'expense', 'debit', '6000', null, null),
  ('small-company', 39, '6110', 'Energy and water', 'expense', 'debit', '6000', null, null),
  ('small-company', 40, '6200', 'Insurance', 'expense', 'debit', '6000', null, null),
  ('small-company', 41, '6300', 'Marketing', 'expense', 'debit', '6000', null, null),
  ('small-company', 42, '6400', 'Software and telephone', 'expense', 'debit', '6000', null, null),
  ('small-company', 43, '6500', 'Travel', 'expense', 'debit', '6000', null, null),
  ('small-company', 44, '6600', 'Advice and bookkeeping', 'expense', 'debit', '6000', null, null),
  ('small-company', 45, '6700', 'Bank charges', 'expense', 'debit', '6000', null, null),
  ('small-company', 46, '6800', 'Depreciation', 'expense', 'debit', '6000', null, null),
  ('small-company', 47, '6900', 'Bad debts', 'expense', 'debit', '6000', null, null),
  ('small-company', 48, '7000', 'Interest paid', 'expense', 'debit', null, null, null),
  ('small-company', 49, '8000', 'Income tax', 'expense', 'debit', null, null, null),
  ('bank', 1, '1000', 'Assets', 'asset', 'debit', null, 0, 0),
  ('bank', 2, '1010', 'Cash in vaults and tills', 'asset', 'debit', '1000', 0, null),
  ('bank', 3, '1020', 'Reserves at the central bank', 'asset', 'debit', '1000', 0, null),
  ('bank', 4, '1030', 'Accounts at other banks', 'asset', 'debit', '1000', null, null),
  ('bank', 5, '1040', 'Payments on their way in', 'asset', 'debit', '1000', null, null),
  ('bank', 6, '1100', 'Loans to customers', 'asset', 'debit', '1000', 0, 0),
  ('bank', 7, '1110', 'Loans to households, one account below this for each', 'asset', 'debit', '1100', 0, 0),
  ('bank', 8, '1120', 'Loans to companies, one account below this for each', 'asset', 'debit', '1100', 0, 0),
  ('bank', 9, '1190', 'Allowance for loan losses', 'asset', 'credit', '1100', 0, null),
  ('bank', 10, '1200', 'Securities', 'asset', 'debit', '1000', 0, null),
  ('bank', 11, '1300', 'Accrued interest receivable', 'asset', 'debit', '1000', null, null),
  ('bank', 12, '1400', 'Premises and equipment', 'asset', 'debit', '1000', 0, null),
  ('bank', 13, '1490', 'Accumulated depreciation', 'asset', 'credit', '1000', 0, null),
  ('bank', 14, '2000', 'Liabilities', 'liability', 'credit', null, 0, 0),
  ('bank', 15, '2100', 'Deposits of customers', 'liability', 'credit', '2000', 0, 0),
  ('bank', 16, '2110', 'Current accounts, one account below this for each', 'liability', 'credit', '2100', 0, 0),
  ('bank', 17, '2120', 'Savings accounts, one account below this for each', 'liability', 'credit', '2100', 0, 0),
  ('bank', 18, '2130', 'Term deposits, one account below this for each', 'liability', 'credit', '2100', 0, 0),
  ('bank', 19, '2200', 'Deposits of other banks', 'liability', 'credit', '2000', null, null),
  ('bank', 20, '2300', 'Payments on their way out', 'liability', 'credit', '2000', null, null),
  ('bank', 21, '2400', 'Accrued interest payable', 'liability', 'credit', '2000', null, null),
  ('bank', 22, '2500', 'Bonds issued', 'liability', 'credit', '2000', 0, null),
  ('bank', 23, '2600', 'Taxes payable', 'liability', 'credit', '2000', null, null),
  ('bank', 24, '2700', 'Payables and other liabilities', 'liability', 'credit', '2000', null, null),
  ('bank', 25, '3000', 'Equity', 'equity', 'credit', null, 0, 0),
  ('bank', 26, '3010', 'Share capital', 'equity', 'credit', '3000', null, null),
  ('bank', 27, '3020', 'Legal reserves', 'equity', 'credit', '3000', null, null),
  ('bank', 28, '3100', 'Retained earnings', 'equity', 'credit', '3000', null, null),
  ('bank', 29, '3200', 'Currency trading', 'equity', 'credit', '3000', null, null),
  ('bank', 30, '3900', 'Own shares', 'equity', 'debit', '3000', 0, null),
  ('bank', 31, '4000', 'Income', 'revenue', 'credit', null, 0, 0),
  ('bank', 32, '4010', 'Interest on loans', 'revenue', 'credit', '4000', null, null),
  ('bank', 33, '4020', 'Interest on securities and reserves', 'revenue', 'credit', '4000', null, null),
  ('bank', 34, '4100', 'Fees and commissions', 'revenue', 'credit', '4000', null, null),
  ('bank', 35, '4190', 'Fees given back', 'revenue', 'debit', '4000', null, null),
  ('bank', 36, '4200', 'Gains on currencies and rounding', 'revenue', 'credit', '4000', null, null),
  ('bank', 37, '5000', 'Expenses', 'expense', 'debit', null, 0, 0),
  ('bank', 38, '5010', 'Interest on deposits', 'expense', 'debit', '5000', null, null),
  ('bank', 39, '5020', 'Interest on bonds and to other banks', 'expense', 'debit', '5000', null, null),
  ('bank', 40, '5100', 'Fees and commissions paid', 'expense', 'debit', '5000', null, null),
  ('bank', 41, '5200', 'Loan losses', 'expense', 'debit', '5000', null, null),
  ('bank', 42, '5290', 'Loan losses recovered', 'expense', 'credit', '5000', null, null),
  ('bank', 43, '5300', 'Salaries and social security', 'expense', 'debit', '5000', null, null),
  ('bank', 44, '5400', 'Premises', 'expense', 'debit', '5000', null, null),
  ('bank', 45, '5500', 'Technology', 'expense', 'debit', '5000', null, null),
  ('bank', 46, '5600', 'Depreciation', 'expense', 'debit', '5000', null, null),
  ('bank', 47, '5700', 'Supervision and deposit insurance', 'expense', 'debit', '5000', null, null),
  ('bank', 48, '5800', 'Losses by fraud and mistakes', 'expense', 'debit', '5000', null, null),
  ('bank', 49, '5900', 'Income tax', 'expense', 'debit', '5000', null, null)
) as r (template, position, code, name, type, normal_balance, parent_code, minimum_balance, maximum_balance);
--! EndIncluded templates/chart_templates.sql
--! Included templates/apply_template.sql
/*
 * Open the accounts of a chart that comes with the ledger, in one currency. Those that there are by their
 * code stay as they are, so applying it again opens only what is missing.
 */
create or replace function app_private.apply_template(tenant_id integer, template text, currency text)
returns setof app_public.accounts
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_row app_public.chart_template_accounts;
begin
  if not exists (
    select from app_public.chart_templates t where t.template = apply_template.template
  ) then
    perform app_private.refuse('LG371', jsonb_build_object('template', left(apply_template.template, 100)));
  end if;
  perform app_private.ensure_currency(apply_template.tenant_id, apply_template.currency);
  for v_row in
    select a.* from app_public.chart_template_accounts a
    where a.template = apply_template.template
    order by a.position
  loop
    return query
    insert into app_public.accounts (
      tenant_id, code, currency, name, type, normal_balance, minimum_balance, maximum_balance, parent_id
    )
    values (
      apply_template.tenant_id, v_row.code, apply_template.currency, v_row.name, v_row.type,
      v_row.normal_balance, v_row.minimum_balance, v_row.maximum_balance, (
        select p.id from app_public.accounts p
        where p.tenant_id = apply_template.tenant_id and p.code = v_row.parent_code
          and p.currency = apply_template.currency
      )
    )
    on conflict on constraint accounts_code_key do nothing
    returning *;
  end loop;
end
$$;

create or replace function app_public.apply_template(template text, currency text)
returns setof app_public.accounts
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select t.*
  from app_private.authorize('charts.apply') a
  cross join lateral app_private.apply_template(
    a.tenant_id, apply_template.template, apply_template.currency) t
$$;

grant execute on function app_public.apply_template(text, text) to tallystick_accountant, tallystick_admin;

comment on function app_public.apply_template(text, text) is $$
@resultFieldName accounts

Opens the accounts of one of the `chartTemplates` in a currency, and answers with those that it opened. An
account that there is already with the same code and currency stays as it is: applying a template again
opens what is missing, and nothing twice.
$$;
--! EndIncluded templates/apply_template.sql
--! Included tenants/set_tenant_status.sql
/*
 * A tenant by its slug, locked, or the refusal LG370. What is posted meanwhile does not wait for it.
 */
create or replace function app_private.lock_tenant(slug text)
returns app_public.tenants
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant app_public.tenants;
begin
  select t.* into v_tenant from app_public.tenants t where t.slug = lock_tenant.slug for no key update;
  if not found then
    perform app_private.refuse('LG370', jsonb_build_object('slug', left(lock_tenant.slug, 100)));
  end if;
  return v_tenant;
end
$$;

/*
 * Suspend a tenant, or resume it. Sessions stay, so that the books can be read; authorize refuses whatever
 * would write. Asking for the status that the tenant has already changes nothing.
 */
create or replace function app_private.set_tenant_status(slug text, status app_public.tenant_status)
returns app_public.tenants
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant app_public.tenants := app_private.lock_tenant(slug);
begin
  if v_tenant.status = set_tenant_status.status then
    return v_tenant;
  end if;
  update app_public.tenants t set status = set_tenant_status.status
  where t.id = v_tenant.id
  returning t.* into v_tenant;
  perform app_private.record_security_event(
    case v_tenant.status when 'suspended' then 'tenant_suspended' else 'tenant_resumed' end,
    'notice', jsonb_build_object('slug', v_tenant.slug), tenant_id => v_tenant.id);
  return v_tenant;
end
$$;
--! EndIncluded tenants/set_tenant_status.sql
--! Included tenants/create_tenant.sql
/*
 * Create a tenant as an operator, with its currency and its chart of accounts if they are named.
 */
create or replace function app_public.create_tenant(
  slug text,
  name text default null,
  template text default null,
  currency text default null
)
returns app_public.tenants
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant app_public.tenants;
begin
  perform app_private.authorize_operator('tenants.create');
  if (create_tenant.template is null) <> (create_tenant.currency is null) then
    perform app_private.refuse('LG113', jsonb_build_object(
      'field', case when create_tenant.template is null then 'template' else 'currency' end));
  end if;
  v_tenant := app_private.create_tenant(create_tenant.slug, create_tenant.name);
  if create_tenant.template is not null then
    perform app_private.apply_template(v_tenant.id, create_tenant.template, create_tenant.currency);
  end if;
  perform app_private.record_security_event(
    'tenant_created', 'notice', jsonb_build_object('slug', v_tenant.slug), tenant_id => v_tenant.id);
  return v_tenant;
end
$$;

grant execute on function app_public.create_tenant(text, text, text, text) to tallystick_operator;

comment on function app_public.create_tenant(text, text, text, text) is $$
Creates a tenant: an empty set of books, or with `template` one that has the accounts of a chart in
`currency`. Then invite its first admin: see `inviteAdmin`. For operators.
$$;
--! EndIncluded tenants/create_tenant.sql
--! Included tenants/suspend_tenant.sql
/*
 * Suspend a tenant, and resume it, as an operator.
 */
create or replace function app_public.suspend_tenant(slug text)
returns app_public.tenants
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select t.*
  from app_private.authorize_operator('tenants.suspend')
  cross join lateral app_private.set_tenant_status(suspend_tenant.slug, 'suspended') t
$$;

create or replace function app_public.resume_tenant(slug text)
returns app_public.tenants
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select t.*
  from app_private.authorize_operator('tenants.suspend')
  cross join lateral app_private.set_tenant_status(resume_tenant.slug, 'active') t
$$;

grant execute on function app_public.suspend_tenant(text), app_public.resume_tenant(text) to
  tallystick_operator;

comment on function app_public.suspend_tenant(text) is $$
Suspends a tenant: from now on nothing is written to its books, by nobody. Everyone still reads what they
read before. Suspending a suspended tenant changes nothing. For operators.
$$;
comment on function app_public.resume_tenant(text) is $$
Resumes a tenant that was suspended. Resuming an active one changes nothing. For operators.
$$;
--! EndIncluded tenants/suspend_tenant.sql
--! Included tenants/update_tenant_settings.sql
/*
 * Change the settings of the tenant. What is left out stays.
 */
create or replace function app_public.update_tenant_settings(
  name text default null,
  is_registration_open boolean default null,
  second_factor_roles app_public.member_role[] default null,
  invitation_lifetime_seconds integer default null,
  session_lifetime_seconds integer default null
)
returns app_public.tenants
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := (app_private.authorize('tenant.manage')).tenant_id;
  v_tenant app_public.tenants;
begin
  if length(update_tenant_settings.name) not between 1 and 200 then
    perform app_private.refuse('LG114', jsonb_build_object('field', 'name', 'rule', '1 to 200 characters'));
  end if;
  if update_tenant_settings.second_factor_roles && '{partner,operator}'
    or array_position(update_tenant_settings.second_factor_roles, null) is not null
  then
    perform app_private.refuse('LG413', jsonb_build_object('field', 'secondFactorRoles'));
  end if;
  if update_tenant_settings.invitation_lifetime_seconds not between 3600 and 7776000 then
    perform app_private.refuse('LG160', jsonb_build_object(
      'field', 'invitationLifetimeSeconds', 'rule', '3600 to 7776000'));
  end if;
  if update_tenant_settings.session_lifetime_seconds not between 300 and 31536000 then
    perform app_private.refuse('LG160', jsonb_build_object(
      'field', 'sessionLifetimeSeconds', 'rule', '300 to 31536000'));
  end if;
  update app_public.tenants t set
    name = coalesce(update_tenant_settings.name, t.name),
    is_registration_open = coalesce(update_tenant_settings.is_registration_open, t.is_registration_open),
    second_factor_roles = case
      when update_tenant_settings.second_factor_roles is null then t.second_factor_roles
      else array(select distinct r from unnest(update_tenant_settings.second_factor_roles) r order by r)
    end,
    invitation_lifetime_seconds =
      coalesce(update_tenant_settings.invitation_lifetime_seconds, t.invitation_lifetime_seconds),
    session_lifetime_seconds =
      coalesce(update_tenant_settings.session_lifetime_seconds, t.session_lifetime_seconds)
  where t.id = v_tenant_id
  returning t.* into v_tenant;
  perform app_private.record_security_event('tenant_settings_changed', 'notice', jsonb_build_object(
    'isRegistrationOpen', v_tenant.is_registration_open,
    'secondFactorRoles', to_jsonb(v_tenant.second_factor_roles),
    'invitationLifetimeSeconds', v_tenant.invitation_lifetime_seconds,
    'sessionLifetimeSeconds', v_tenant.session_lifetime_seconds));
  return v_tenant;
end
$$;

grant execute on function app_public.update_tenant_settings(
  text, boolean, app_public.member_role[], integer, integer
) to tallystick_admin;

comment on function app_public.update_tenant_settings(
  text, boolean, app_public.member_role[], integer, integer
) is $$
Changes the settings of the tenant; what is left out stays. A shorter lifetime holds for sessions and
invitations that begin from now on.
$$;
--! EndIncluded tenants/update_tenant_settings.sql
--! Included tenants/set_transaction_threshold.sql
/*
 * Set from which amounts on, in a currency, a transaction needs a second person or a second factor. The
 * engine checks them. An amount that is left out takes the threshold away.
 */
create or replace function app_public.set_transaction_threshold(
  currency text,
  approval_amount app_public.amount default null,
  second_factor_amount app_public.amount default null
)
returns app_public.transaction_thresholds
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant_id constant integer := (app_private.authorize('tenant.manage')).tenant_id;
  v_threshold app_public.transaction_thresholds;
begin
  if set_transaction_threshold.approval_amount <= 0 or set_transaction_threshold.second_factor_amount <= 0 then
    perform app_private.refuse('LG160', jsonb_build_object(
      'field', case when set_transaction_threshold.approval_amount <= 0
        then 'approvalAmount' else 'secondFactorAmount' end,
      'rule', 'more than zero, or null for none'));
  end if;
  perform app_private.ensure_currency(v_tenant_id, set_transaction_threshold.currency);
  if coalesce(set_transaction_threshold.approval_amount, set_transaction_threshold.second_factor_amount) is null
  then
    delete from app_public.transaction_thresholds t
    where t.tenant_id = v_tenant_id and t.currency = set_transaction_threshold.currency;
    v_threshold := (v_tenant_id, set_transaction_threshold.currency, null, null);
  else
    insert into app_public.transaction_thresholds (tenant_id, currency, approval_amount, second_factor_amount)
    values (
      v_tenant_id, set_transaction_threshold.currency,
      set_transaction_threshold.approval_amount, set_transaction_threshold.second_factor_amount
    )
    on conflict on constraint transaction_thresholds_pkey do update set
      approval_amount = excluded.approval_amount,
      second_factor_amount = excluded.second_factor_amount
    returning * into v_threshold;
  end if;
  perform app_private.record_security_event('threshold_set', 'notice', jsonb_build_object(
    'currency', v_threshold.currency,
    'approvalAmount', v_threshold.approval_amount::text,
    'secondFactorAmount', v_threshold.second_factor_amount::text));
  return v_threshold;
end
$$;

grant execute on function app_public.set_transaction_threshold(text, app_public.amount, app_public.amount) to
  tallystick_admin;

comment on function app_public.set_transaction_threshold(text, app_public.amount, app_public.amount) is $$
Sets from which sum of debits on, in minor units of a currency, a transaction waits for the approval of
another person, and from which it needs a fresh second factor. An amount that is left out takes that
threshold away. A transaction that waits already goes on waiting.
$$;
--! EndIncluded tenants/set_transaction_threshold.sql
--! Included tenants/grant_permission.sql
/*
 * Give a permission to a role, within what the role may ever be given, and take it away. authorize looks
 * each time, so both hold at once.
 */
create or replace function app_public.grant_permission(role app_public.member_role, permission text)
returns app_public.role_permissions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant_id constant integer := (app_private.authorize('permissions.manage')).tenant_id;
  v_permission app_public.role_permissions;
begin
  if grant_permission.role = 'operator' or not exists (
    select
    from app_public.grantable_permissions g
    where g.role = grant_permission.role and g.permission = grant_permission.permission
  ) then
    perform app_private.refuse('LG410', jsonb_build_object(
      'role', grant_permission.role, 'permission', left(grant_permission.permission, 100)));
  end if;
  insert into app_public.role_permissions (tenant_id, role, permission)
  values (v_tenant_id, grant_permission.role, grant_permission.permission)
  on conflict do nothing
  returning * into v_permission;
  if found then
    perform app_private.record_security_event('permission_granted', 'notice', jsonb_build_object(
      'role', v_permission.role, 'permission', v_permission.permission));
  end if;
  return (v_tenant_id, grant_permission.role, grant_permission.permission);
end
$$;

create or replace function app_public.revoke_permission(role app_public.member_role, permission text)
returns app_public.role_permissions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := (app_private.authorize('permissions.manage')).tenant_id;
begin
  if not exists (
    select from app_public.permissions p where p.permission = revoke_permission.permission
  ) then
    perform app_private.refuse('LG410', jsonb_build_object(
      'role', revoke_permission.role, 'permission', left(revoke_permission.permission, 100)));
  end if;
  delete from app_public.role_permissions r
  where r.tenant_id = v_tenant_id
    and r.role = revoke_permission.role
    and r.permission = revoke_permission.permission;
  if found then
    perform app_private.record_security_event('permission_revoked', 'notice', jsonb_build_object(
      'role', revoke_permission.role, 'permission', revoke_permission.permission));
  end if;
  return (v_tenant_id, revoke_permission.role, revoke_permission.permission);
end
$$;

grant execute on function
  app_public.grant_permission(app_public.member_role, text),
  app_public.revoke_permission(app_public.member_role, text)
to tallystick_admin;

comment on function app_public.grant_permission(app_public.member_role, text) is $$
@resultFieldName rolePermission

Gives a role of these books a permission, if it is one of the `grantablePermissions` of the role. It holds
at once. Giving it again changes nothing.
$$;
comment on function app_public.revoke_permission(app_public.member_role, text) is $$
@resultFieldName rolePermission

Takes a permission away from a role of these books. It holds at once. Taking away what the role does not
have changes nothing. Admins keep the permission to change permissions.
$$;
--! EndIncluded tenants/grant_permission.sql
--! Included tenants/tg_role_permissions__keep.sql
/*
 * Nobody locks everyone out: admins keep the permission to change permissions, whoever writes.
 */
create or replace function app_private.tg_role_permissions__keep()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform app_private.refuse('LG411', jsonb_build_object('role', OLD.role, 'permission', OLD.permission));
  return null;
end
$$;

create or replace trigger _200_keep
  before delete or update on app_public.role_permissions
  for each row when (OLD.role = 'admin' and OLD.permission = 'permissions.manage')
  execute function app_private.tg_role_permissions__keep();
--! EndIncluded tenants/tg_role_permissions__keep.sql
--! Included tenants/lock_members.sql
/*
 * Whoever changes who is an admin takes turns by tenant: this lock first, then the rows. So two admins who
 * demote each other wait in a line and not in a circle. Posting does not wait for it.
 */
create or replace function app_private.lock_members(tenant_ids integer[])
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select from app_public.tenants t where t.id = any (tenant_ids) order by t.id for no key update
$$;
--! EndIncluded tenants/lock_members.sql
--! Included tenants/tg__keep_an_admin.sql
/*
 * An active tenant that has an active admin keeps one: the last cannot be demoted, disabled or removed, by
 * whatever statement. An admin is a person; services do not count. A suspended tenant may lose its last
 * admin: so an operator can stop one who has gone astray.
 *
 * The remaining admin is locked, not only looked at. Whoever is removing that one at this moment is waited
 * for, and the row is looked at again; at the stricter isolation levels the lock fails instead. So two
 * who remove each other never both succeed.
 */
create or replace function app_private.require_other_admin(tenant_id integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform
  from app_public.memberships m
  join app_public.users u on u.id = m.user_id
  where m.tenant_id = require_other_admin.tenant_id
    and m.role = 'admin' and m.status = 'active' and u.status = 'active' and u.kind = 'person'
  limit 1
  for share of m, u;
  if not found and exists (
    select from app_public.tenants t where t.id = require_other_admin.tenant_id and t.status = 'active'
  ) then
    perform app_private.refuse('LG377');
  end if;
end
$$;

create or replace function app_private.tg_memberships__keep_an_admin()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from app_public.users u where u.id = OLD.user_id and u.status = 'active' and u.kind = 'person'
  ) then
    perform app_private.require_other_admin(OLD.tenant_id);
  end if;
  return null;
end
$$;

create or replace function app_private.tg_users__keep_an_admin()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform app_private.require_other_admin(m.tenant_id)
  from app_public.memberships m
  where m.user_id = OLD.id and m.role = 'admin' and m.status = 'active';
  return null;
end
$$;

drop trigger if exists _210_keep_an_admin on app_public.memberships;
create constraint trigger _210_keep_an_admin
  after update or delete on app_public.memberships
  deferrable initially immediate
  for each row when (OLD.role = 'admin' and OLD.status = 'active')
  execute function app_private.tg_memberships__keep_an_admin();

drop trigger if exists _210_keep_an_admin on app_public.users;
create constraint trigger _210_keep_an_admin
  after update on app_public.users
  deferrable initially immediate
  for each row when (
    OLD.status = 'active' and OLD.kind = 'person' and (NEW.status <> 'active' or NEW.kind <> 'person')
  )
  execute function app_private.tg_users__keep_an_admin();
--! EndIncluded tenants/tg__keep_an_admin.sql
--! Included tenants/change_membership.sql
/*
 * The membership that an admin is about to change, locked: of somebody else, in the tenant of the admin.
 * Everything that changes memberships begins here. The admin is authorized under the lock: one who waited
 * while another admin demoted them is an admin no longer.
 */
create or replace function app_private.lock_membership(user_id uuid)
returns app_public.memberships
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor app_private.actor;
  v_membership app_public.memberships;
begin
  perform app_private.lock_members(array[app_hidden.current_tenant_id()]);
  v_actor := app_private.authorize('members.manage');
  select m.* into v_membership
  from app_public.memberships m
  where m.tenant_id = v_actor.tenant_id and m.user_id = lock_membership.user_id
  for no key update;
  if not found then
    perform app_private.refuse('LG375', jsonb_build_object('userId', lock_membership.user_id));
  end if;
  if v_membership.user_id = v_actor.user_id then
    perform app_private.refuse('LG412');
  end if;
  return v_membership;
end
$$;

/*
 * Change a membership, and record it. Its sessions end with it: see revoke_sessions. What is as it was asked
 * for already stays untouched, with its sessions.
 */
create or replace function app_private.change_membership(
  membership app_public.memberships,
  role app_public.member_role,
  status app_public.user_status
)
returns app_public.memberships
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_membership app_public.memberships;
begin
  update app_public.memberships m set
    role = change_membership.role,
    status = change_membership.status
  where m.tenant_id = (membership).tenant_id
    and m.user_id = (membership).user_id
    and (m.role, m.status) is distinct from (change_membership.role, change_membership.status)
  returning m.* into v_membership;
  if not found then
    return membership;
  end if;
  perform app_private.record_security_event('membership_changed', 'notice', jsonb_build_object(
    'userId', v_membership.user_id,
    'role', v_membership.role, 'status', v_membership.status,
    'roleBefore', (membership).role, 'statusBefore', (membership).status));
  return v_membership;
end
$$;

create or replace function app_public.change_member_role(user_id uuid, role app_public.member_role)
returns app_public.memberships
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_membership constant app_public.memberships := app_private.lock_membership(user_id);
begin
  -- A person is never made a partner, nor a partner a person: a partner is what its API keys are.
  if change_member_role.role in ('partner', 'operator') or v_membership.role = 'partner' then
    perform app_private.refuse('LG413', jsonb_build_object(
      'role', change_member_role.role, 'roleBefore', v_membership.role));
  end if;
  return app_private.change_membership(v_membership, change_member_role.role, v_membership.status);
end
$$;

create or replace function app_public.disable_member(user_id uuid)
returns app_public.memberships
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_membership constant app_public.memberships := app_private.lock_membership(user_id);
begin
  return app_private.change_membership(v_membership, v_membership.role, 'disabled');
end
$$;

create or replace function app_public.enable_member(user_id uuid)
returns app_public.memberships
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_membership constant app_public.memberships := app_private.lock_membership(user_id);
begin
  return app_private.change_membership(v_membership, v_membership.role, 'active');
end
$$;

grant execute on function
  app_public.change_member_role(uuid, app_public.member_role),
  app_public.disable_member(uuid),
  app_public.enable_member(uuid)
to tallystick_admin;

comment on function app_public.change_member_role(uuid, app_public.member_role) is $$
Makes a member something else to these books. Their sessions end at once; they sign in again. Nobody
changes their own role, the last admin stays one, and a partner stays a partner.
$$;
comment on function app_public.disable_member(uuid) is $$
Disables a member: their sessions and API keys in these books end at once, and they cannot sign in to them.
The last admin cannot be disabled, and nobody disables themselves.
$$;
comment on function app_public.enable_member(uuid) is $$
Enables a member again, who was disabled. Their earlier sessions and API keys stay ended.
$$;
--! EndIncluded tenants/change_membership.sql
--! Included tenants/disable_user.sql
/*
 * Disable a user in every tenant at once, and enable them again, as an operator. The tenants that a user is
 * an admin of are locked first, in order: see lock_members.
 */
create or replace function app_private.set_user_status(user_id uuid, status app_public.user_status)
returns app_public.users
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user app_public.users;
begin
  perform app_private.lock_members(array(
    select m.tenant_id from app_public.memberships m
    where m.user_id = set_user_status.user_id and m.role = 'admin'
  ));
  select u.* into v_user from app_public.users u where u.id = set_user_status.user_id for no key update;
  if not found then
    perform app_private.refuse('LG378', jsonb_build_object('userId', set_user_status.user_id));
  end if;
  if v_user.status = set_user_status.status then
    return v_user;
  end if;
  update app_public.users u set
    status = set_user_status.status,
    disabled_at = case set_user_status.status when 'disabled' then clock_timestamp() end
  where u.id = v_user.id
  returning u.* into v_user;
  perform app_private.record_security_event(
    case v_user.status when 'disabled' then 'user_disabled' else 'user_enabled' end,
    'notice', jsonb_build_object('userId', v_user.id));
  return v_user;
end
$$;

create or replace function app_public.disable_user(user_id uuid)
returns app_public.users
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor constant app_private.actor := app_private.authorize_operator('users.disable');
begin
  if disable_user.user_id = v_actor.user_id then
    perform app_private.refuse('LG412');
  end if;
  return app_private.set_user_status(disable_user.user_id, 'disabled');
end
$$;

create or replace function app_public.enable_user(user_id uuid)
returns app_public.users
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform app_private.authorize_operator('users.disable');
  return app_private.set_user_status(enable_user.user_id, 'active');
end
$$;

grant execute on function app_public.disable_user(uuid), app_public.enable_user(uuid) to
  tallystick_operator;

comment on function app_public.disable_user(uuid) is $$
Disables a user everywhere: all their sessions and API keys end at once, and they cannot sign in to any
tenant. Refused for the last admin of an active tenant: suspend the tenant first. For operators.
$$;
comment on function app_public.enable_user(uuid) is $$
Enables a user again, who was disabled. Their earlier sessions and API keys stay ended. For operators.
$$;
--! EndIncluded tenants/disable_user.sql
--! Included tenants/invite.sql
/*
 * Invite somebody to a tenant. The caller made the token, of 256 random bits, and encrypted the address;
 * the database sees neither. An earlier invitation of the same address that is still open is revoked: the
 * newest one counts. Whoever calls this has made sure that they may.
 */
create or replace function app_private.invite(
  tenant_id integer,
  invited_by uuid,
  role app_public.member_role,
  id uuid,
  token_hash bytea,
  email_ciphertext app_private.ciphertext,
  email_index app_private.blind_index
)
returns app_public.invitations
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_invitation app_public.invitations;
begin
  if invite.role in ('partner', 'operator') then
    perform app_private.refuse('LG413', jsonb_build_object('role', invite.role));
  end if;
  -- Of two who invite the same address at once, the second finds what the first made.
  perform app_private.lock_members(array[invite.tenant_id]);
  update app_public.invitations i set revoked_at = clock_timestamp()
  from app_private.invitation_tokens t
  where t.tenant_id = invite.tenant_id and t.email_index = invite.email_index
    and i.tenant_id = t.tenant_id and i.id = t.invitation_id
    and i.accepted_at is null and i.revoked_at is null;
  insert into app_public.invitations (tenant_id, id, role, invited_by, expires_at)
  select
    t.id, invite.id, invite.role, invite.invited_by,
    now() + make_interval(secs => t.invitation_lifetime_seconds)
  from app_public.tenants t
  where t.id = invite.tenant_id
  returning * into strict v_invitation;
  insert into app_private.invitation_tokens (
    token_hash, tenant_id, invitation_id, email_ciphertext, email_index
  )
  values (
    invite.token_hash, invite.tenant_id, invite.id, invite.email_ciphertext, invite.email_index
  );
  perform app_private.record_security_event(
    'member_invited', 'info',
    jsonb_build_object('invitationId', v_invitation.id, 'role', v_invitation.role),
    tenant_id => v_invitation.tenant_id);
  return v_invitation;
end
$$;
--! EndIncluded tenants/invite.sql
--! Included tenants/invite_member.sql
/*
 * Invite somebody as an admin of the tenant. GraphQL shows a mutation of the same name that takes the
 * address, makes the token and calls this: src/graphql/invitations.ts.
 */
create or replace function app_public.invite_member(
  role app_public.member_role,
  id uuid,
  token_hash bytea,
  email_ciphertext bytea,
  email_index bytea
)
returns app_public.invitations
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select i.*
  from app_private.authorize('members.manage') a
  cross join lateral app_private.invite(
    a.tenant_id, a.user_id, invite_member.role, invite_member.id, invite_member.token_hash,
    invite_member.email_ciphertext, invite_member.email_index) i
$$;

/*
 * Invite somebody to be an admin of a tenant, as an operator: the first one, or another where none is left.
 */
create or replace function app_public.invite_admin(
  slug text,
  id uuid,
  token_hash bytea,
  email_ciphertext bytea,
  email_index bytea
)
returns app_public.invitations
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor constant app_private.actor := app_private.authorize_operator('tenants.create');
begin
  return app_private.invite(
    (app_private.lock_tenant(invite_admin.slug)).id, v_actor.user_id, 'admin', invite_admin.id,
    invite_admin.token_hash, invite_admin.email_ciphertext, invite_admin.email_index);
end
$$;

grant execute on function app_public.invite_member(app_public.member_role, uuid, bytea, bytea, bytea) to
  tallystick_admin;
grant execute on function app_public.invite_admin(text, uuid, bytea, bytea, bytea) to tallystick_operator;

comment on function app_public.invite_member(app_public.member_role, uuid, bytea, bytea, bytea) is $$
@behavior -*

Invites somebody to join, by their encrypted address and the hash of a token.
$$;
comment on function app_public.invite_admin(text, uuid, bytea, bytea, bytea) is $$
@behavior -*

Invites somebody to be an admin of a tenant, by their encrypted address and the hash of a token.
$$;
--! EndIncluded tenants/invite_member.sql
--! Included tenants/read_invitation_emails.sql
/*
 * The encrypted addresses of invitations of the tenant, for the server to decrypt and show to an admin. Each
 * that is handed out is recorded as read.
 */
create or replace function app_hidden.read_invitation_emails(ids uuid[])
returns table (invitation_id uuid, email_ciphertext bytea)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_actor constant app_private.actor := app_private.authorize('members.manage');
begin
  perform app_private.record_sensitive_read(
    v_actor, 'app_private.invitation_tokens', t.invitation_id::text, 'email_ciphertext', 'invitations')
  from app_private.invitation_tokens t
  where t.tenant_id = v_actor.tenant_id and t.invitation_id = any (ids);
  return query
  select t.invitation_id, t.email_ciphertext::bytea
  from app_private.invitation_tokens t
  where t.tenant_id = v_actor.tenant_id and t.invitation_id = any (ids);
end
$$;

grant execute on function app_hidden.read_invitation_emails(uuid[]) to tallystick_admin;
--! EndIncluded tenants/read_invitation_emails.sql
--! Included tenants/revoke_invitation.sql
/*
 * Revoke an invitation that nobody has accepted. Revoking it again changes nothing.
 */
create or replace function app_public.revoke_invitation(invitation_id uuid)
returns app_public.invitations
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id constant integer := (app_private.authorize('members.manage')).tenant_id;
  v_invitation app_public.invitations;
begin
  select i.* into v_invitation
  from app_public.invitations i
  where i.tenant_id = v_tenant_id and i.id = revoke_invitation.invitation_id
  for no key update;
  if not found then
    perform app_private.refuse('LG372');
  end if;
  if v_invitation.accepted_at is not null then
    perform app_private.refuse('LG373');
  end if;
  if v_invitation.revoked_at is null then
    update app_public.invitations i set revoked_at = clock_timestamp()
    where i.tenant_id = v_invitation.tenant_id and i.id = v_invitation.id
    returning i.* into v_invitation;
    perform app_private.record_security_event(
      'invitation_revoked', 'info', jsonb_build_object('invitationId', v_invitation.id));
  end if;
  return v_invitation;
end
$$;

grant execute on function app_public.revoke_invitation(uuid) to tallystick_admin;

comment on function app_public.revoke_invitation(uuid) is $$
Revokes an invitation: from now on its token opens nothing. One that was accepted is refused: disable the
member instead. Revoking it again changes nothing.
$$;
--! EndIncluded tenants/revoke_invitation.sql
--! Included tenants/accept_invitation.sql
/*
 * The open invitation that a token belongs to, locked, or a refusal. What the address is encrypted for is
 * the invitation: whoever makes a user of it decrypts it and encrypts it anew.
 */
create or replace function app_private.open_invitation(token_hash bytea)
returns app_public.invitations
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_invitation app_public.invitations;
begin
  select i.* into v_invitation
  from app_private.invitation_tokens t
  join app_public.invitations i on i.tenant_id = t.tenant_id and i.id = t.invitation_id
  where t.token_hash = open_invitation.token_hash
  for no key update of i;
  if not found or v_invitation.revoked_at is not null then
    perform app_private.refuse('LG372');
  end if;
  if v_invitation.accepted_at is not null then
    perform app_private.refuse('LG373');
  end if;
  if v_invitation.expires_at <= clock_timestamp() then
    perform app_private.refuse('LG374', jsonb_build_object('expiredAt', v_invitation.expires_at));
  end if;
  if exists (
    select from app_public.tenants t where t.id = v_invitation.tenant_id and t.status = 'suspended'
  ) then
    perform app_private.refuse('LG403');
  end if;
  return v_invitation;
end
$$;

/*
 * Accept an invitation in the name of a user, once. Whoever calls this has made sure who the user is.
 */
create or replace function app_private.accept_invitation(token_hash bytea, user_id uuid)
returns app_public.memberships
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_invitation constant app_public.invitations := app_private.open_invitation(token_hash);
  v_membership app_public.memberships;
begin
  if not exists (
    select
    from app_public.users u
    where u.id = accept_invitation.user_id and u.status = 'active' and u.kind = 'person'
  ) then
    perform app_private.refuse('LG378', jsonb_build_object('userId', accept_invitation.user_id));
  end if;
  insert into app_public.memberships (tenant_id, user_id, role)
  values (v_invitation.tenant_id, accept_invitation.user_id, v_invitation.role)
  on conflict on constraint memberships_pkey do nothing
  returning * into v_membership;
  if not found then
    perform app_private.refuse('LG376', jsonb_build_object('userId', accept_invitation.user_id));
  end if;
  update app_public.invitations i set
    -- Under the lock it had not expired.
    accepted_at = least(clock_timestamp(), i.expires_at - interval '1 microsecond'),
    accepted_by = accept_invitation.user_id
  where i.tenant_id = v_invitation.tenant_id and i.id = v_invitation.id;
  perform app_private.record_security_event(
    'invitation_accepted', 'notice',
    jsonb_build_object('invitationId', v_invitation.id, 'role', v_membership.role),
    tenant_id => v_membership.tenant_id, user_id => v_membership.user_id);
  return v_membership;
end
$$;
--! EndIncluded tenants/accept_invitation.sql
--! Included tenants/operators.sql
/*
 * Add a person with an address and a password, for the command line and the demonstration. The user who has
 * the address, with what they have, if there is one: then nothing is changed.
 */
create or replace function app_private.add_person(
  id uuid,
  name text,
  email_ciphertext app_private.ciphertext,
  email_index app_private.blind_index,
  password_hash text
)
returns uuid
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_known constant uuid := app_private.user_id_by_email(email_index);
begin
  if v_known is not null then
    return v_known;
  end if;
  if length(add_person.name) not between 1 and 200 then
    perform app_private.refuse('LG114', jsonb_build_object('field', 'name', 'rule', '1 to 200 characters'));
  end if;
  insert into app_public.users (id, name) values (add_person.id, add_person.name);
  if not app_private.set_user_email(add_person.id, add_person.email_ciphertext, add_person.email_index) then
    -- Somebody took the address at the same time.
    perform app_private.refuse('LG360');
  end if;
  insert into app_private.credentials (user_id, password_hash)
  values (add_person.id, add_person.password_hash);
  return add_person.id;
end
$$;

/*
 * Make a person an operator, and end it. What an operator does is authorized against this table each time,
 * so both hold at once.
 */
create or replace function app_private.add_operator(user_id uuid)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from app_public.users u where u.id = add_operator.user_id and u.kind = 'person'
  ) then
    perform app_private.refuse('LG378', jsonb_build_object('userId', add_operator.user_id));
  end if;
  insert into app_private.operators (user_id) values (add_operator.user_id) on conflict do nothing;
  if not found then
    return false;
  end if;
  perform app_private.record_security_event(
    'operator_added', 'notice', jsonb_build_object('userId', add_operator.user_id), tenant_id => null);
  return true;
end
$$;

create or replace function app_private.remove_operator(user_id uuid)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from app_private.operators o where o.user_id = remove_operator.user_id;
  if not found then
    return false;
  end if;
  update app_private.sessions s
  set revoked_at = clock_timestamp(), revoked_because = 'operator removed'
  where s.user_id = remove_operator.user_id and s.role = 'operator' and s.revoked_at is null;
  perform app_private.record_security_event(
    'operator_removed', 'notice', jsonb_build_object('userId', remove_operator.user_id), tenant_id => null);
  return true;
end
$$;
--! EndIncluded tenants/operators.sql
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
--! Included access/tenant.sql
/*
 * Everyone who is signed in sees their own tenant and its currencies, without which an amount cannot be
 * read. Accounting periods are the staff's.
 * The context is called as (select …), so that it is read once a query and can be an index condition.
 */
drop policy if exists select_own_tenant on app_public.tenants;
create policy select_own_tenant on app_public.tenants for select to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (id = (select app_hidden.current_tenant_id()));

-- An operator sees which tenants there are, and nothing of their books.
drop policy if exists select_operators on app_public.tenants;
create policy select_operators on app_public.tenants for select to tallystick_operator using (true);

grant select on app_public.tenants to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_operator;

drop policy if exists select_own_tenant on app_public.currencies;
create policy select_own_tenant on app_public.currencies for select to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_public.currencies to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;

drop policy if exists select_staff on app_public.accounting_periods;
create policy select_staff on app_public.accounting_periods for select to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_public.accounting_periods to
  tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin;
--! EndIncluded access/tenant.sql
--! Included access/members.sql
/*
 * Those who manage members see who was invited; the charts to begin with are no secret. Who is a member is
 * in access/identity.sql.
 */
drop policy if exists select_auditors on app_public.invitations;
create policy select_auditors on app_public.invitations for select to
  tallystick_auditor, tallystick_admin
  using (tenant_id = (select app_hidden.current_tenant_id()));

grant select on app_public.invitations to tallystick_auditor, tallystick_admin;

drop policy if exists select_signed_in on app_public.chart_templates;
create policy select_signed_in on app_public.chart_templates for select to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_operator
  using (true);

grant select on app_public.chart_templates to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_operator;

drop policy if exists select_signed_in on app_public.chart_template_accounts;
create policy select_signed_in on app_public.chart_template_accounts for select to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_operator
  using (true);

grant select on app_public.chart_template_accounts to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_operator;
--! EndIncluded access/members.sql
--! Included identity/comments.sql
/*
 * What GraphQL says about users, memberships and permissions.
 */
comment on type app_public.member_role is 'What somebody is to a tenant; an operator runs the installation.';
comment on type app_public.user_kind is 'Whether a user is a person or a program.';
comment on type app_public.user_status is 'Whether a user, or a membership, is in use.';
comment on type app_public.tenant_status is 'Whether books are written to.';
comment on type app_public.severity is 'How grave a security event is.';

comment on column app_public.tenants.status is 'A suspended tenant is read, but nothing is written to its books.';
comment on column app_public.tenants.second_factor_roles is
  'The roles whose sessions do nothing before a second factor.';

comment on column app_public.tenants.has_thresholds is '@behavior -*';

comment on table app_public.users is $$
Somebody who acts: a person or a service. A user may belong to several tenants, with another role in each.
$$;
comment on column app_public.users.id is 'The id of the user.';
comment on column app_public.users.kind is 'Whether the user is a person or a service.';
comment on column app_public.users.name is 'The name for people.';
comment on column app_public.users.status is 'A disabled user has no session and cannot sign in.';
comment on column app_public.users.created_at is 'When the user came to be.';
comment on column app_public.users.disabled_at is 'Since when the user has been disabled.';

comment on table app_public.memberships is $$
@behavior +query:resource:connection

What a user is to these books: one role.
$$;
comment on column app_public.memberships.user_id is $$
@behavior +attribute:filterBy +attribute:orderBy

The id of the user.
$$;
comment on column app_public.memberships.role is 'What the user is to these books.';
comment on column app_public.memberships.status is 'A disabled membership has no session and cannot sign in.';
comment on column app_public.memberships.created_at is 'When the user joined.';

comment on table app_public.permissions is $$
@behavior +query:resource:connection

Something that a role may be allowed to do.
$$;
comment on column app_public.permissions.permission is 'The name, such as `transactions.post`.';
comment on column app_public.permissions.description is 'What it allows.';

comment on table app_public.grantable_permissions is $$
@behavior +query:resource:connection

What a role may ever be given, by any tenant.
$$;
comment on column app_public.grantable_permissions.role is 'The role.';
comment on column app_public.grantable_permissions.permission is 'The permission.';
comment on column app_public.grantable_permissions.by_default is 'Whether a new tenant gives it to the role.';

comment on table app_public.role_permissions is $$
@behavior +query:resource:connection

What a role may do in these books.
$$;
comment on column app_public.role_permissions.role is 'The role.';
comment on column app_public.role_permissions.permission is 'The permission.';

comment on table app_public.transaction_thresholds is $$
@behavior +query:resource:connection

From which amount on a transaction needs a second person, or a second factor: measured against the sum of
its debits in the currency.
$$;
comment on column app_public.transaction_thresholds.currency is 'The currency of the amounts.';
comment on column app_public.transaction_thresholds.approval_amount is
  'From this amount on, in minor units, another person must approve. None: nobody need.';
comment on column app_public.transaction_thresholds.second_factor_amount is
  'From this amount on, in minor units, a fresh second factor is needed. None: never.';

comment on constraint grantable_permissions_permission_fkey on app_public.grantable_permissions is '@behavior -*';
comment on constraint role_permissions_role_fkey on app_public.role_permissions is '@behavior -*';
comment on constraint transaction_thresholds_currency_fkey on app_public.transaction_thresholds is '@behavior -*';
--! EndIncluded identity/comments.sql
--! Included accounts/comments.sql
/*
 * What GraphQL says about tenants, currencies and accounts. A comment is the description of its type or
 * field; lines that start with @ are read by PostGraphile: what is exposed, and under which name.
 * Filters and orders are on indexed columns only. Amounts are in minor units: each says so.
 */
comment on schema app_public is 'What GraphQL exposes.';
comment on schema app_hidden is 'The same rights as app_public, but not exposed.';
comment on schema app_private is 'Reached only through security definer functions.';
comment on schema checks is 'Views whose rows are violations of an invariant of the ledger.';

comment on domain app_public.amount is $$
An amount of money in minor units (cents, satoshi, wei): a string of digits, with a minus sign in front if
it is negative. 12.34 USD is "1234". As input a JSON number is taken too, if it is a whole number that JSON
holds exactly; anything else is refused with LG101.
$$;
comment on type app_public.direction is 'The side of a posting.';
comment on type app_public.account_type is
  'What an account stands for in the balance sheet or income statement.';
comment on type app_public.account_status is 'Whether an account takes postings.';

comment on table app_public.tenants is $$
@behavior +query:resource:connection

The owner of a set of books. Nothing crosses from one to another. An operator sees all of them, and of none
the books; everyone else sees their own.
$$;
comment on column app_public.tenants.id is '@behavior -*';
comment on column app_public.tenants.slug is $$
@behavior +attribute:filterBy +attribute:orderBy

The short name that is unique in this installation.
$$;
comment on column app_public.tenants.name is 'The name for people.';
comment on column app_public.tenants.created_at is 'When the books were opened.';

comment on table app_public.iso_currencies is $$
@behavior +query:resource:connection

A currency of ISO 4217, ready to be taken up: opening an account in it does that.
$$;
comment on column app_public.iso_currencies.code is 'The three letters of ISO 4217.';
comment on column app_public.iso_currencies.name is 'The name for people.';
comment on column app_public.iso_currencies.exponent is 'How many decimals the major unit has.';

comment on table app_public.currencies is $$
@behavior +query:resource:connection +type:node

A unit of account of these books: one of ISO 4217 or one of their own.
$$;
comment on column app_public.currencies.code is $$
@behavior +attribute:filterBy +attribute:orderBy

The code, such as USD, BTC or POINTS.
$$;
comment on column app_public.currencies.exponent is $$
How many decimals the major unit has: USD 2, JPY 0, BTC 8. An amount of minor units divided by ten to the
power of the exponent is the amount in major units. Never changes.
$$;
comment on column app_public.currencies.name is 'The name for people.';
comment on column app_public.currencies.created_at is 'When these books took the currency up.';

comment on table app_public.accounts is $$
@behavior +query:resource:connection +type:node

A bucket of exactly one currency. Its balances follow from its postings; nothing else changes them.
$$;
comment on column app_public.accounts.id is $$
@behavior +attribute:orderBy

The id, a UUID of version 7: ids sort in the order in which the accounts were opened.
$$;
comment on column app_public.accounts.code is $$
@behavior +attribute:filterBy +attribute:orderBy

The code in the chart of accounts, unique in each currency.
$$;
comment on column app_public.accounts.currency is $$
@behavior +attribute:filterBy

The code of the currency. Never changes.
$$;
comment on column app_public.accounts.name is 'The name for people.';
comment on column app_public.accounts.type is $$
@behavior +attribute:filterBy

What the account stands for. Never changes.
$$;
comment on column app_public.accounts.normal_balance is $$
The side that makes the balance larger: debit for assets and expenses, credit for the others, and the
opposite for a contra account. Never changes.
$$;
comment on column app_public.accounts.status is 'Whether the account takes postings.';
comment on column app_public.accounts.closed_at is 'When the account was closed; null until then.';
comment on column app_public.accounts.minimum_balance is $$
The lowest available balance that a transaction may leave, in minor units. Pending amounts count. Null means
no limit.
$$;
comment on column app_public.accounts.maximum_balance is $$
The highest balance that a transaction may leave, in minor units. Pending amounts count. Null means no limit.
$$;
comment on column app_public.accounts.parent_id is $$
@behavior +attribute:filterBy

The id of the account that this one is part of in the chart of accounts.
$$;
comment on column app_public.accounts.owner_id is $$
@behavior +attribute:filterBy

The user whose account this is. A customer sees their own accounts only.
$$;
comment on column app_public.accounts.metadata is
  'Facts of the caller''s own, a JSON object of at most 16 KB.';
comment on column app_public.accounts.created_at is 'When the account was opened.';
comment on column app_public.accounts.updated_at is 'When its name, status, limits or metadata last changed.';
comment on constraint accounts_currency_fkey on app_public.accounts is $$
@fieldName currency
@foreignFieldName accounts
@forwardDescription The currency of the account.
@backwardDescription The accounts in this currency.
$$;
comment on constraint accounts_parent_id_fkey on app_public.accounts is $$
@fieldName parent
@foreignFieldName children
@forwardDescription The account that this one is part of in the chart of accounts.
@backwardDescription The accounts that are part of this one in the chart of accounts.
$$;

-- The balances of an account are shown by functions: what has expired must be left out at that instant.
comment on table app_public.account_balances is $$
@behavior -*

The counters of each account, as its last posting left them.
$$;

comment on table app_public.accounting_periods is $$
@behavior +query:resource:connection +type:node

A span of time of the books. Once it is closed, no posting takes effect in it.
$$;
comment on column app_public.accounting_periods.id is $$
@behavior +attribute:orderBy

The id, a UUID.
$$;
comment on column app_public.accounting_periods.name is $$
@behavior +attribute:filterBy +attribute:orderBy

The name for people, such as 2026-Q1.
$$;
comment on column app_public.accounting_periods.during is 'From the start, inclusive, to the end, exclusive.';
comment on column app_public.accounting_periods.closed_at is 'When it was closed; null while it is open.';
comment on column app_public.accounting_periods.closed_by is 'The user who closed it.';
comment on column app_public.accounting_periods.created_at is 'When it was made.';
--! EndIncluded accounts/comments.sql
--! Included tenants/comments.sql
/*
 * What GraphQL says about the settings of tenants, invitations and charts of accounts.
 */
comment on column app_public.tenants.is_registration_open is
  'Whether anybody may register, as a customer. Otherwise people join by invitation.';
comment on column app_public.tenants.invitation_lifetime_seconds is 'For how long an invitation is good.';
comment on column app_public.tenants.session_lifetime_seconds is
  'How long a login lasts at most, however often it is refreshed.';

comment on table app_public.invitations is $$
@behavior +query:resource:connection

Somebody is asked to join. Whoever has the token of the invitation may accept it, once, until it expires or
is revoked. Admins and auditors see which there are.
$$;
comment on column app_public.invitations.id is $$
@behavior +attribute:filterBy +attribute:orderBy

The id, a UUID of version 7: ids sort in the order in which the invitations were made.
$$;
comment on column app_public.invitations.role is 'What whoever accepts it becomes.';
comment on column app_public.invitations.invited_by is 'The id of the user who invited; null for the command line.';
comment on column app_public.invitations.created_at is 'When it was made.';
comment on column app_public.invitations.expires_at is 'Until when it can be accepted.';
comment on column app_public.invitations.accepted_at is 'When it was accepted; null until then.';
comment on column app_public.invitations.accepted_by is 'The id of the user who accepted it.';
comment on column app_public.invitations.revoked_at is
  'When it was revoked, or replaced by a newer one for the same address; null if it was not.';
comment on constraint invitations_invited_by_fkey on app_public.invitations is '@behavior -*';
comment on constraint invitations_accepted_by_fkey on app_public.invitations is '@behavior -*';

comment on constraint memberships_user_id_fkey on app_public.memberships is $$
@fieldName user
@foreignFieldName memberships
@forwardDescription The user.
@backwardDescription What the user is to these books.
$$;

comment on table app_public.chart_templates is $$
@behavior +query:resource:connection

A chart of accounts to begin with. `applyTemplate` opens its accounts.
$$;
comment on column app_public.chart_templates.template is 'The name by which it is applied.';
comment on column app_public.chart_templates.name is 'The name for people.';
comment on column app_public.chart_templates.description is 'For whom it is.';

comment on table app_public.chart_template_accounts is $$
An account of a chart of accounts to begin with. A heading, which takes no postings, has zero as both limits.
$$;
comment on column app_public.chart_template_accounts.template is 'The chart that it is part of.';
comment on column app_public.chart_template_accounts.code is 'The code in the chart of accounts.';
comment on column app_public.chart_template_accounts.position is
  'The place in the chart: a parent comes before its children.';
comment on column app_public.chart_template_accounts.name is 'The name for people.';
comment on column app_public.chart_template_accounts.type is 'What the account stands for.';
comment on column app_public.chart_template_accounts.normal_balance is
  'The side that makes the balance larger; for a contra account not the one of its type.';
comment on column app_public.chart_template_accounts.parent_code is
  'The code of the account that this one is part of.';
comment on column app_public.chart_template_accounts.minimum_balance is
  'The lowest available balance, in minor units; no limit if null.';
comment on column app_public.chart_template_accounts.maximum_balance is
  'The highest balance, in minor units; no limit if null.';
comment on constraint chart_template_accounts_template_fkey on app_public.chart_template_accounts is $$
@fieldName chartTemplate
@foreignFieldName accounts
@forwardDescription The chart that it is part of.
@backwardDescription The accounts, parents before children.
$$;
comment on constraint chart_template_accounts_parent_code_fkey on app_public.chart_template_accounts is
  '@behavior -*';
--! EndIncluded tenants/comments.sql

---- authentication ----

-- The API itself, while it finds out who is asking: no request of GraphQL ever runs as this.
grant usage on schema app_hidden to tallystick_authenticator;

alter table app_private.sessions
  -- From where the session was opened, with what, and when it was last refreshed.
  add column address inet,
  add column user_agent text,
  add column last_used_at timestamptz not null default now(),
  add constraint sessions_user_agent_is_at_most_300_characters check (length(user_agent) <= 300);

-- The password of a person: Argon2id with its parameters and salt, in the form of the PHC string format.
create table app_private.credentials (
  user_id uuid not null,
  password_hash text not null,
  changed_at timestamptz not null default now(),
  constraint credentials_pkey primary key (user_id),
  constraint credentials_user_id_fkey foreign key (user_id)
    references app_public.users on delete restrict,
  constraint credentials_password_hash_is_argon2id check (
    password_hash ~ '^\$argon2id\$v=19\$m=[0-9]+,t=[0-9]+,p=[0-9]+\$[A-Za-z0-9+/]{22,86}\$[A-Za-z0-9+/]{43,86}$'
  )
);

-- The one-time passwords (TOTP) of a person: the encrypted secret, and the last time step that was used up.
create table app_private.second_factors (
  user_id uuid not null,
  secret_ciphertext app_private.ciphertext not null,
  created_at timestamptz not null default now(),
  activated_at timestamptz,
  last_step bigint,
  constraint second_factors_pkey primary key (user_id),
  constraint second_factors_user_id_fkey foreign key (user_id)
    references app_public.users on delete restrict,
  constraint second_factors_active_has_used_a_step check ((activated_at is null) = (last_step is null))
);

-- What stands in for a one-time password, once each. A hash of 80 random bits tells nothing.
create table app_private.recovery_codes (
  user_id uuid not null,
  code_hash bytea not null,
  used_at timestamptz,
  constraint recovery_codes_pkey primary key (user_id, code_hash),
  constraint recovery_codes_user_id_fkey foreign key (user_id)
    references app_private.second_factors on delete restrict,
  constraint recovery_codes_code_hash_is_sha_256 check (octet_length(code_hash) = 32)
);

/*
 * Refresh tokens: the family of a session, each made when the one before it was used. The unique index
 * lets a family have one token that is unused, so that it cannot fork. A used token keeps its successor,
 * sealed with a key that only the token itself gives, for a client whose answer got lost.
 */
create table app_private.refresh_tokens (
  token_hash bytea not null,
  session_id uuid not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz,
  successor_hash bytea,
  sealed_successor bytea,
  constraint refresh_tokens_pkey primary key (token_hash),
  constraint refresh_tokens_session_id_fkey foreign key (session_id)
    references app_private.sessions on delete restrict,
  constraint refresh_tokens_token_hash_is_sha_256 check (octet_length(token_hash) = 32),
  constraint refresh_tokens_used_knows_its_successor check ((used_at is null) = (successor_hash is null)),
  constraint refresh_tokens_sealed_successor_has_32_bytes check (octet_length(sealed_successor) = 32)
);

create index refresh_tokens_session_id_idx on app_private.refresh_tokens (session_id);
create unique index refresh_tokens_unused_key on app_private.refresh_tokens (session_id) where used_at is null;

create table app_private.password_resets (
  token_hash bytea not null,
  user_id uuid not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz,
  constraint password_resets_pkey primary key (token_hash),
  constraint password_resets_user_id_fkey foreign key (user_id)
    references app_public.users on delete restrict,
  constraint password_resets_token_hash_is_sha_256 check (octet_length(token_hash) = 32)
);

create index password_resets_user_id_idx on app_private.password_resets (user_id);

/*
 * Who asked to join, until they show that the address is theirs: there is no user before. The password is
 * that of a new user; who has an account confirms with the one that they have.
 */
create table app_private.registrations (
  id uuid not null,
  token_hash bytea not null,
  email_ciphertext app_private.ciphertext not null,
  email_index app_private.blind_index not null,
  name text not null,
  password_hash text not null,
  tenant_id integer not null,
  invitation_hash bytea,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  completed_at timestamptz,
  constraint registrations_pkey primary key (id),
  constraint registrations_token_hash_key unique (token_hash),
  constraint registrations_tenant_id_fkey foreign key (tenant_id)
    references app_public.tenants on delete restrict,
  constraint registrations_token_hash_is_sha_256 check (octet_length(token_hash) = 32),
  constraint registrations_name_is_1_to_200_characters check (length(name) between 1 and 200)
);

create index registrations_tenant_id_idx on app_private.registrations (tenant_id);

/*
 * How often something was tried that may be guesswork, by whom it is against (an account, by the blind
 * index of its address, whether there is one or not) and by where it comes from.
 */
create table app_private.authentication_attempts (
  kind text not null,
  subject bytea not null,
  failures integer not null,
  last_at timestamptz not null,
  locked_until timestamptz,
  constraint authentication_attempts_pkey primary key (kind, subject)
);

create index authentication_attempts_last_at_idx on app_private.authentication_attempts (last_at);

create type app_public.session as (
  id uuid,
  tenant_name text,
  role app_public.member_role,
  address text,
  user_agent text,
  created_at timestamptz,
  last_used_at timestamptz,
  expires_at timestamptz,
  second_factor_at timestamptz,
  is_current boolean
);

create type app_public.second_factor_status as (
  is_active boolean,
  recovery_codes_left integer
);

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
  ('app_private.invitation_tokens', 'email_ciphertext', 'invitation_id'),
  ('app_private.registrations', 'email_ciphertext', 'id'),
  ('app_private.second_factors', 'secret_ciphertext', 'user_id'),
  ('app_private.user_contacts', 'email_ciphertext', 'user_id'),
  ('app_private.user_contacts', 'phone_ciphertext', 'user_id'),
  ('app_public.kyc_evidence', 'reference_ciphertext', 'id')
on conflict (table_name, column_name) do update set row_column = excluded.row_column;
--! EndIncluded encryption/encrypted_columns.sql
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
  ('currencies.create', 'Take up currencies.'),
  ('customer_details.set', 'Set sensitive details of customers; a customer sets their own.'),
  ('exchange_rates.set', 'Set exchange rates.'),
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
--! Included identity/attempts.sql
/*
 * Count an attempt of something that may be guesswork, before it is known how it ends, so that a thousand at
 * once are a thousand. Null: it may go on. Otherwise the seconds to wait: from the first attempt beyond the
 * free ones each one that fails doubles the pause, up to a quarter of an hour; a lock is never for ever. A
 * subject is locked whether it exists or not, and what is tried meanwhile is not counted.
 *
 *   address     who signs in from there (an IPv6 network of 64 bits counts as one)
 *   account     the password of an account, by whoever is no acquaintance of it
 *   user        the password or the second factor of somebody who is signed in
 *   mail        messages that strangers have sent to an address
 */
create or replace function app_private.charge_attempt(kind text, subject bytea)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_free constant integer := case charge_attempt.kind
    when 'address' then 50 when 'account' then 10 when 'user' then 10 when 'mail' then 3 end;
  v_forgotten_after constant interval := case charge_attempt.kind
    when 'address' then interval '1 hour' else interval '1 day' end;
  v_failures integer;
  v_locked_until timestamptz;
begin
  -- The expressions are evaluated when the lock of the row is held.
  insert into app_private.authentication_attempts as a (kind, subject, failures, last_at)
  values (charge_attempt.kind, charge_attempt.subject, 1, clock_timestamp())
  on conflict on constraint authentication_attempts_pkey do update set
    failures = case
      when a.last_at < clock_timestamp() - v_forgotten_after then 1
      else least(a.failures + 1, 1000000)
    end,
    last_at = clock_timestamp(),
    locked_until = null
  where a.locked_until is null or a.locked_until <= clock_timestamp()
  returning a.failures into v_failures;
  if not found then
    select a.locked_until into v_locked_until
    from app_private.authentication_attempts a
    where a.kind = charge_attempt.kind and a.subject = charge_attempt.subject;
    return greatest(1, ceil(extract(epoch from v_locked_until - clock_timestamp())))::integer;
  end if;
  if v_failures > v_free then
    update app_private.authentication_attempts a
    set locked_until = clock_timestamp()
      + make_interval(secs => least(900, 2 ^ least(v_failures - v_free - 1, 20)))
    where a.kind = charge_attempt.kind and a.subject = charge_attempt.subject;
    -- Told when the lock begins to hurt, not at each of its seconds.
    if v_failures = v_free + 6 then
      perform app_private.record_security_event(
        'attempts_locked', 'warning', jsonb_build_object('kind', charge_attempt.kind, 'failures', v_failures));
    end if;
  end if;
  return null;
end
$$;

-- It was no guesswork: a success clears what was counted against an account, a user.
create or replace function app_private.forgive_attempts(kind text, subject bytea)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  delete from app_private.authentication_attempts a
  where a.kind = forgive_attempts.kind and a.subject = forgive_attempts.subject
$$;

-- The same for where it came from: of an address only this one attempt, or who has one account could clear it.
create or replace function app_private.refund_attempt(kind text, subject bytea)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  update app_private.authentication_attempts a
  set failures = greatest(a.failures - 1, 0)
  where a.kind = refund_attempt.kind and a.subject = refund_attempt.subject
$$;

-- Where the request comes from, as the server says: see src/http/client_address.ts.
create or replace function app_private.current_address()
returns inet
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select nullif(current_setting('tallystick.address', true), '')::inet
$$;

-- What attempts from an address are counted under; null if the address is not known.
create or replace function app_private.address_subject(address inet)
returns bytea
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
  select convert_to(
    host(network(set_masklen(address, case family(address) when 6 then 64 else 32 end))), 'UTF8')
$$;

/*
 * What attempts on an account are counted under. Where its person has signed in from of late, attempts are
 * counted apart, so that a stranger who locks an account does not lock out its person.
 */
create or replace function app_private.account_subject(email_index bytea, user_id uuid)
returns bytea
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select case
    when exists (
      select
      from app_private.sessions s
      where s.user_id = account_subject.user_id
        and s.kind = 'login'
        and s.address = app_private.current_address()
        and s.created_at > now() - interval '30 days'
    ) then sha256(email_index || convert_to(host(app_private.current_address()), 'UTF8'))
    else email_index
  end
$$;
--! EndIncluded identity/attempts.sql
--! Included identity/required_session.sql
/*
 * The session of the request, for what people do with their own account: LG401 if there is none, or it has
 * ended. It asks for no permission and no second factor, which is what some of these functions are there to
 * give. An API key has no such account.
 */
create or replace function app_private.required_session()
returns app_private.sessions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session app_private.sessions;
begin
  select s.* into v_session
  from app_private.sessions s
  where s.id = app_hidden.current_session_id()
    and s.user_id = app_hidden.current_user_id()
    and s.tenant_id is not distinct from app_hidden.current_tenant_id()
    and s.kind <> 'api_key'
    and s.revoked_at is null
    and s.expires_at > now();
  if not found then
    perform app_private.refuse('LG401');
  end if;
  return v_session;
end
$$;
--! EndIncluded identity/required_session.sql
--! Included identity/revoke_user_sessions.sql
/*
 * End the sessions of a person, in all tenants, but for one if it is named. How many there were.
 */
create or replace function app_private.revoke_user_sessions(
  user_id uuid,
  because text,
  except_session_id uuid default null
)
returns integer
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  with revoked as (
    update app_private.sessions s
    set revoked_at = clock_timestamp(), revoked_because = because
    where s.user_id = revoke_user_sessions.user_id
      and s.kind in ('login', 'command')
      and s.id is distinct from except_session_id
      and s.revoked_at is null
      and s.expires_at > now()
    returning 1
  )
  select count(*)::integer from revoked
$$;
--! EndIncluded identity/revoke_user_sessions.sql
--! Included identity/use_code.sql
/*
 * Use up a one-time password, by its time step, or a recovery code, by its hash. The server has compared it
 * with the secret; that it is used once is decided here: a step must be later than the last that was used,
 * under the lock of its row. False: it was used already, or there is no such recovery code.
 */
create or replace function app_private.use_code(user_id uuid, step bigint, recovery_hash bytea)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  if use_code.step is not null then
    update app_private.second_factors f
    set last_step = use_code.step
    where f.user_id = use_code.user_id
      and f.activated_at is not null
      and f.last_step < use_code.step;
    return found;
  end if;
  update app_private.recovery_codes c
  set used_at = clock_timestamp()
  where c.user_id = use_code.user_id and c.code_hash = use_code.recovery_hash and c.used_at is null;
  if found then
    perform app_private.record_security_event(
      'recovery_code_used', 'notice', '{}', user_id => use_code.user_id);
  end if;
  return found;
end
$$;
--! EndIncluded identity/use_code.sql
--! Included identity/begin_login.sql
/*
 * What the server needs to verify a password: the hash, and the second factor of who has one. Nothing for
 * an address that nobody has, or somebody who is disabled: the server then verifies a hash of nobody, so that
 * it takes as long. The attempt is counted first, by where it comes from and then by account; who has to wait
 * is told for how long, and gets no hash.
 */
create or replace function app_hidden.begin_login(email_index bytea)
returns table (
  retry_after_seconds integer,
  user_id uuid,
  password_hash text,
  second_factor_ciphertext bytea,
  last_step bigint
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_address constant bytea := app_private.address_subject(app_private.current_address());
begin
  select u.id into user_id
  from app_private.user_contacts c
  join app_public.users u on u.id = c.user_id
  where c.email_index = begin_login.email_index and u.status = 'active';
  if v_address is not null then
    retry_after_seconds := app_private.charge_attempt('address', v_address);
  end if;
  if retry_after_seconds is null then
    retry_after_seconds := app_private.charge_attempt(
      'account', app_private.account_subject(begin_login.email_index, user_id));
  end if;
  if retry_after_seconds is not null then
    user_id := null;
    return next;
    return;
  end if;
  select c.password_hash, f.secret_ciphertext, f.last_step
  into password_hash, second_factor_ciphertext, last_step
  from app_private.credentials c
  left join app_private.second_factors f on f.user_id = c.user_id and f.activated_at is not null
  where c.user_id = begin_login.user_id;
  return next;
end
$$;

grant execute on function app_hidden.begin_login(bytea) to tallystick_authenticator;
--! EndIncluded identity/begin_login.sql
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
      -- The password was right: nothing that anybody need wait for.
      perform app_private.forgive_attempts('account', v_subject);
      perform app_private.refund_attempt('address', v_address);
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

  if exists (
    select from app_private.second_factors f where f.user_id = open_login.user_id and f.activated_at is not null
  ) then
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
  perform app_private.forgive_attempts('account', v_subject);
  perform app_private.refund_attempt('address', v_address);
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
--! Included identity/record_failed_login.sql
/*
 * Record that signing in failed: for the tenant whose books it was about, where that is one. The attempt
 * itself was counted when it began.
 */
create or replace function app_hidden.record_failed_login(email_index bytea, reason text)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select app_private.record_security_event(
    'sign_in_failed', 'notice', jsonb_build_object('reason', reason),
    tenant_id => (
      select min(c.tenant_id) from app_private.login_choices(w.user_id) c having count(*) = 1
    ),
    user_id => w.user_id)
  from (select app_private.user_id_by_email(email_index) as user_id) w
$$;

grant execute on function app_hidden.record_failed_login(bytea, text) to tallystick_authenticator;
--! EndIncluded identity/record_failed_login.sql
--! Included identity/rotate_refresh_token.sql
/*
 * Exchange a refresh token for its successor, which the caller has made up. The lock of the session puts two
 * at once in a row: one rotates, the other one comes too late. Outcomes:
 *
 *   rotated    the successor is good from now on, and the token is not any more
 *   repeated   the token was used a moment ago, and its successor has not been used: here is that same
 *              successor again, sealed with the token. For two windows of one browser, and for a client whose
 *              answer got lost; the family does not fork, and a thief who comes in that moment is found out
 *              when the second of them uses the successor.
 *   reused     the token was used before: somebody has a copy. The session is over for both, and an alert raised
 *   ended      the token or its session has ended, or there is no such token
 */
create or replace function app_hidden.rotate_refresh_token(
  token_hash bytea,
  successor_hash bytea,
  sealed_successor bytea,
  idle interval
)
returns table (
  outcome text,
  session_id uuid,
  user_id uuid,
  tenant_id integer,
  slug text,
  role app_public.member_role,
  refresh_expires_at timestamptz,
  second_factor_at timestamptz,
  known_successor bytea
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_token app_private.refresh_tokens;
  v_session app_private.sessions;
  v_lifetime interval;
begin
  select s.* into v_session
  from app_private.refresh_tokens r
  join app_private.sessions s on s.id = r.session_id
  where r.token_hash = rotate_refresh_token.token_hash
  for no key update of s;
  -- Read after the lock, so as it stands now.
  select r.* into v_token
  from app_private.refresh_tokens r
  where r.token_hash = rotate_refresh_token.token_hash;
  select coalesce(make_interval(secs => t.session_lifetime_seconds), interval '12 hours'), t.slug
  into v_lifetime, slug
  from (select) one
  left join app_public.tenants t on t.id = v_session.tenant_id;

  if v_session.id is null or v_session.revoked_at is not null or v_session.expires_at <= clock_timestamp()
    or v_token.expires_at <= clock_timestamp()
  then
    outcome := 'ended';
  elsif v_token.used_at is null then
    outcome := 'rotated';
    refresh_expires_at := least(clock_timestamp() + idle, v_session.created_at + v_lifetime);
    if refresh_expires_at <= clock_timestamp() then
      -- The tenant has shortened its sessions.
      outcome := 'ended';
    end if;
  elsif v_token.used_at > clock_timestamp() - interval '10 seconds' and exists (
    select
    from app_private.refresh_tokens r
    where r.token_hash = v_token.successor_hash and r.used_at is null
  ) then
    outcome := 'repeated';
    known_successor := v_token.sealed_successor;
    refresh_expires_at := v_session.expires_at;
  else
    outcome := 'reused';
    update app_private.sessions s
    set revoked_at = clock_timestamp(), revoked_because = 'refresh token reused'
    where s.id = v_session.id;
    perform app_private.record_security_event(
      'refresh_token_reused', 'critical',
      jsonb_build_object('sessionId', v_session.id, 'usedAt', v_token.used_at),
      tenant_id => v_session.tenant_id, user_id => v_session.user_id);
  end if;

  if outcome = 'rotated' then
    update app_private.refresh_tokens r
    set
      used_at = clock_timestamp(),
      successor_hash = rotate_refresh_token.successor_hash,
      sealed_successor = rotate_refresh_token.sealed_successor
    where r.token_hash = v_token.token_hash;
    -- What came before can be repeated no more.
    update app_private.refresh_tokens r
    set sealed_successor = null
    where r.session_id = v_session.id and r.successor_hash = v_token.token_hash;
    insert into app_private.refresh_tokens (token_hash, session_id, expires_at)
    values (rotate_refresh_token.successor_hash, v_session.id, refresh_expires_at);
    update app_private.sessions s
    set expires_at = refresh_expires_at, last_used_at = clock_timestamp()
    where s.id = v_session.id;
  end if;
  if outcome in ('rotated', 'repeated') then
    session_id := v_session.id;
    user_id := v_session.user_id;
    tenant_id := v_session.tenant_id;
    role := v_session.role;
    second_factor_at := v_session.second_factor_at;
  else
    slug := null;
    refresh_expires_at := null;
  end if;
  return next;
end
$$;

grant execute on function app_hidden.rotate_refresh_token(bytea, bytea, bytea, interval)
  to tallystick_authenticator;
--! EndIncluded identity/rotate_refresh_token.sql
--! Included identity/end_session.sql
/*
 * Sign out: end the session that a refresh token belongs to, used or not, or else that of the request. Does
 * not tell whether there was one.
 */
create or replace function app_hidden.end_session(refresh_hash bytea default null)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  update app_private.sessions s
  set revoked_at = clock_timestamp(), revoked_because = 'signed out'
  where s.revoked_at is null
    and s.kind <> 'api_key'
    and s.id = case
      when refresh_hash is not null
        then (select r.session_id from app_private.refresh_tokens r where r.token_hash = refresh_hash)
      else (
        select o.id
        from app_private.sessions o
        where o.id = app_hidden.current_session_id() and o.user_id = app_hidden.current_user_id()
      )
    end
$$;

grant execute on function app_hidden.end_session(bytea) to tallystick_authenticator;
--! EndIncluded identity/end_session.sql
--! Included identity/begin_reauthentication.sql
/*
 * What the server needs to verify the password or the code of somebody who is signed in. Counted like an
 * attempt to sign in: a stolen access token must not be a place to guess at.
 */
create or replace function app_hidden.begin_reauthentication()
returns table (
  retry_after_seconds integer,
  user_id uuid,
  password_hash text,
  second_factor_ciphertext bytea,
  is_active boolean,
  last_step bigint,
  email_ciphertext bytea
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_session constant app_private.sessions := app_private.required_session();
begin
  retry_after_seconds := app_private.charge_attempt('user', uuid_send(v_session.user_id));
  if retry_after_seconds is null then
    select
      u.id, c.password_hash, f.secret_ciphertext, coalesce(f.activated_at is not null, false), f.last_step,
      e.email_ciphertext
    into user_id, password_hash, second_factor_ciphertext, is_active, last_step, email_ciphertext
    from app_public.users u
    left join app_private.credentials c on c.user_id = u.id
    left join app_private.second_factors f on f.user_id = u.id
    left join app_private.user_contacts e on e.user_id = u.id
    where u.id = v_session.user_id;
  end if;
  return next;
end
$$;

grant execute on function app_hidden.begin_reauthentication() to tallystick_authenticator;
--! EndIncluded identity/begin_reauthentication.sql
--! Included identity/change_password.sql
/*
 * Change the password of who is signed in, and end all of their other sessions. The hash that the server has
 * verified must still be the one that is stored: false if it is not.
 */
create or replace function app_hidden.change_password(verified_hash text, new_hash text)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session constant app_private.sessions := app_private.required_session();
begin
  update app_private.credentials c
  set password_hash = new_hash, changed_at = now()
  where c.user_id = v_session.user_id and c.password_hash = verified_hash;
  if not found then
    return false;
  end if;
  perform app_private.revoke_user_sessions(v_session.user_id, 'password changed', v_session.id);
  perform app_private.forgive_attempts('user', uuid_send(v_session.user_id));
  perform app_private.record_security_event('password_changed', 'notice');
  return true;
end
$$;

grant execute on function app_hidden.change_password(text, text) to tallystick_authenticator;
--! EndIncluded identity/change_password.sql
--! Included identity/reset_password.sql
/*
 * Somebody says that they forgot their password. A token is kept for whoever has the address, and the address
 * comes back for the message; nothing comes back where there is nobody, or enough messages were sent. The
 * caller answers the same in each case.
 */
create or replace function app_hidden.request_password_reset(
  email_index bytea,
  token_hash bytea,
  lifetime interval
)
returns table (user_id uuid, email_ciphertext bytea)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  if app_private.charge_attempt('mail', request_password_reset.email_index) is not null then
    return;
  end if;
  select u.id, c.email_ciphertext into user_id, email_ciphertext
  from app_private.user_contacts c
  join app_public.users u on u.id = c.user_id
  where c.email_index = request_password_reset.email_index and u.status = 'active' and u.kind = 'person';
  if user_id is null then
    return;
  end if;
  -- The newest message is the one that counts.
  update app_private.password_resets r
  set expires_at = now()
  where r.user_id = request_password_reset.user_id and r.used_at is null and r.expires_at > now();
  insert into app_private.password_resets (token_hash, user_id, expires_at)
  values (request_password_reset.token_hash, user_id, now() + lifetime);
  perform app_private.record_security_event(
    'password_reset_requested', 'notice', '{}', user_id => request_password_reset.user_id);
  return next;
end
$$;

-- Whose password a token may set, if it may still; the address, because no password may be like it.
create or replace function app_hidden.find_password_reset(token_hash bytea)
returns table (user_id uuid, email_ciphertext bytea)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select r.user_id, c.email_ciphertext
  from app_private.password_resets r
  join app_public.users u on u.id = r.user_id and u.status = 'active'
  left join app_private.user_contacts c on c.user_id = r.user_id
  where r.token_hash = find_password_reset.token_hash and r.used_at is null and r.expires_at > now()
$$;

/*
 * Set a new password with a token, once, and end all sessions of its person. False if the token is not, or no
 * longer, good. A second factor stays: who has lost that too needs a recovery code.
 */
create or replace function app_hidden.reset_password(token_hash bytea, new_hash text)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_user_id uuid;
begin
  update app_private.password_resets r
  set used_at = clock_timestamp()
  from app_public.users u
  where r.token_hash = reset_password.token_hash and r.used_at is null and r.expires_at > clock_timestamp()
    and u.id = r.user_id and u.status = 'active'
  returning r.user_id into v_user_id;
  if not found then
    return false;
  end if;
  insert into app_private.credentials (user_id, password_hash)
  values (v_user_id, new_hash)
  on conflict on constraint credentials_pkey do update set
    password_hash = excluded.password_hash,
    changed_at = now();
  perform app_private.revoke_user_sessions(v_user_id, 'password reset');
  perform app_private.forgive_attempts('user', uuid_send(v_user_id));
  perform app_private.forgive_attempts('account', c.email_index)
  from app_private.user_contacts c where c.user_id = v_user_id;
  perform app_private.record_security_event('password_reset', 'warning', '{}', user_id => v_user_id);
  return true;
end
$$;

grant execute on function
  app_hidden.request_password_reset(bytea, bytea, interval),
  app_hidden.find_password_reset(bytea),
  app_hidden.reset_password(bytea, text)
to tallystick_authenticator;
--! EndIncluded identity/reset_password.sql
--! Included identity/register.sql
/*
 * The address that an open invitation was sent to, for the server to decrypt and compare, or a refusal.
 */
create or replace function app_hidden.find_invitation(token_hash bytea)
returns table (tenant_id integer, invitation_id uuid, email_ciphertext bytea)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select i.tenant_id, i.id, t.email_ciphertext
  from app_private.open_invitation(find_invitation.token_hash) i
  join app_private.invitation_tokens t on t.tenant_id = i.tenant_id and t.invitation_id = i.id
$$;

-- Accept an invitation in the name of who is signed in: the books that they belong to from now on.
create or replace function app_hidden.accept_own_invitation(token_hash bytea)
returns table (tenant text, name text, role app_public.member_role)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select t.slug, t.name, m.role
  from app_private.required_session() s
  cross join lateral app_private.accept_invitation(accept_own_invitation.token_hash, s.user_id) m
  join app_public.tenants t on t.id = m.tenant_id
$$;

-- The tenant that strangers may register in, by its slug: LG480 where there is none or it is closed, alike.
create or replace function app_hidden.find_open_tenant(slug text)
returns integer
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_tenant_id integer;
begin
  select t.id into v_tenant_id
  from app_public.tenants t
  where t.slug = find_open_tenant.slug and t.is_registration_open and t.status = 'active';
  if not found then
    perform app_private.refuse('LG480');
  end if;
  return v_tenant_id;
end
$$;

/*
 * Somebody asks to join a tenant: one that lets strangers register, or by an invitation. Nobody is made yet:
 * what is kept waits for whoever has the address to confirm it with the token and the password. Refused where
 * the tenant is closed and for invitations that are not good; nothing tells whether the address has an
 * account. Outcomes:
 *
 *   invited   the address is the one that the invitation was sent to (the server says): it is confirmed already
 *   sent      a message is to be sent: "is_known" says which one, and only the message may tell
 *   silent    enough messages were sent to this address
 */
create or replace function app_hidden.begin_registration(
  id uuid,
  token_hash bytea,
  email_ciphertext bytea,
  email_index bytea,
  name text,
  password_hash text,
  tenant_id integer,
  invitation_hash bytea,
  is_invited_address boolean,
  lifetime interval
)
returns table (outcome text, is_known boolean, tenant_name text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_tenant app_public.tenants;
begin
  select t.* into v_tenant from app_public.tenants t where t.id = begin_registration.tenant_id;
  if begin_registration.invitation_hash is not null then
    if (app_private.open_invitation(begin_registration.invitation_hash)).tenant_id is distinct from v_tenant.id then
      perform app_private.refuse('LG372');
    end if;
    if is_invited_address then
      outcome := 'invited';
    end if;
  elsif not coalesce(v_tenant.is_registration_open and v_tenant.status = 'active', false) then
    perform app_private.refuse('LG480');
  end if;
  tenant_name := v_tenant.name;
  select exists (select from app_private.user_contacts c where c.email_index = begin_registration.email_index)
  into is_known;
  if outcome is null then
    outcome := case
      when app_private.charge_attempt('mail', begin_registration.email_index) is null then 'sent'
      else 'silent'
    end;
  end if;
  if outcome <> 'silent' then
    insert into app_private.registrations (
      id, token_hash, email_ciphertext, email_index, name, password_hash, tenant_id, invitation_hash, expires_at
    ) values (
      begin_registration.id, begin_registration.token_hash, begin_registration.email_ciphertext,
      begin_registration.email_index, begin_registration.name, begin_registration.password_hash, v_tenant.id,
      begin_registration.invitation_hash, now() + lifetime
    );
  end if;
  return next;
end
$$;

/*
 * What a registration needs to be confirmed: the password to verify, which is that of the account if the
 * address has one. Guesses are counted.
 */
create or replace function app_hidden.find_registration(token_hash bytea)
returns table (
  retry_after_seconds integer,
  id uuid,
  email_ciphertext bytea,
  tenant_id integer,
  tenant_slug text,
  user_id uuid,
  password_hash text
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  select r.id, r.email_ciphertext, t.id, t.slug, c.user_id,
    case when c.user_id is null then r.password_hash else p.password_hash end
  into id, email_ciphertext, tenant_id, tenant_slug, user_id, password_hash
  from app_private.registrations r
  join app_public.tenants t on t.id = r.tenant_id
  left join app_private.user_contacts c on c.email_index = r.email_index
  left join app_private.credentials p on p.user_id = c.user_id
  where r.token_hash = find_registration.token_hash and r.completed_at is null and r.expires_at > now();
  if found then
    retry_after_seconds := app_private.charge_attempt('account', find_registration.token_hash);
    return next;
  end if;
end
$$;

/*
 * The address is confirmed and the password was verified: make the user, unless there is one, and the
 * membership. The user, or null if the registration is not good any more.
 */
create or replace function app_hidden.complete_registration(
  token_hash bytea,
  verified_hash text,
  user_id uuid,
  email_ciphertext bytea,
  email_index bytea
)
returns uuid
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_registration app_private.registrations;
  v_user_id uuid;
begin
  update app_private.registrations r
  set completed_at = clock_timestamp()
  where r.token_hash = complete_registration.token_hash
    and r.email_index = complete_registration.email_index
    and r.completed_at is null and r.expires_at > clock_timestamp()
  returning r.* into v_registration;
  if not found then
    return null;
  end if;
  v_user_id := app_private.user_id_by_email(complete_registration.email_index);
  if v_user_id is null then
    if v_registration.password_hash <> verified_hash then
      return null;
    end if;
    v_user_id := complete_registration.user_id;
    insert into app_public.users (id, name) values (v_user_id, v_registration.name);
    if not app_private.set_user_email(
      v_user_id, complete_registration.email_ciphertext, complete_registration.email_index)
    then
      -- Somebody confirmed the same address at the same time.
      perform app_private.refuse('LG360');
    end if;
    insert into app_private.credentials (user_id, password_hash)
    values (v_user_id, v_registration.password_hash);
  elsif not exists (
    select
    from app_private.credentials c
    where c.user_id = v_user_id and c.password_hash = verified_hash
  ) then
    return null;
  end if;
  if v_registration.invitation_hash is not null then
    perform app_private.accept_invitation(v_registration.invitation_hash, v_user_id);
  else
    if not exists (
      select
      from app_public.tenants t
      where t.id = v_registration.tenant_id and t.is_registration_open and t.status = 'active'
    ) then
      perform app_private.refuse('LG480');
    end if;
    insert into app_public.memberships (tenant_id, user_id, role)
    values (v_registration.tenant_id, v_user_id, 'customer')
    on conflict on constraint memberships_pkey do nothing;
  end if;
  perform app_private.record_security_event(
    'registered', 'info', '{}', tenant_id => v_registration.tenant_id, user_id => v_user_id);
  return v_user_id;
end
$$;

grant execute on function
  app_hidden.find_invitation(bytea),
  app_hidden.find_open_tenant(text),
  app_hidden.accept_own_invitation(bytea),
  app_hidden.begin_registration(uuid, bytea, bytea, bytea, text, text, integer, bytea, boolean, interval),
  app_hidden.find_registration(bytea),
  app_hidden.complete_registration(bytea, text, uuid, bytea, bytea)
to tallystick_authenticator;
--! EndIncluded identity/register.sql
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
 * a factor that is gone. The server has verified the password.
 */
create or replace function app_hidden.disable_second_factor()
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session constant app_private.sessions := app_private.required_session();
begin
  delete from app_private.recovery_codes c where c.user_id = v_session.user_id;
  delete from app_private.second_factors f where f.user_id = v_session.user_id;
  if not found then
    perform app_private.refuse('LG482');
  end if;
  update app_private.sessions s
  set second_factor_at = null
  where s.user_id = v_session.user_id and s.kind = 'login' and s.second_factor_at is not null;
  perform app_private.forgive_attempts('user', uuid_send(v_session.user_id));
  perform app_private.record_security_event('second_factor_disabled', 'warning');
end
$$;

-- New recovery codes in place of all that were there. The server has verified the password.
create or replace function app_hidden.renew_recovery_codes(recovery_hashes bytea[])
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_session constant app_private.sessions := app_private.required_session();
begin
  perform
  from app_private.second_factors f
  where f.user_id = v_session.user_id and f.activated_at is not null
  for no key update;
  if not found then
    perform app_private.refuse('LG482');
  end if;
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
--! Included identity/sessions.sql
/*
 * The sessions that the caller has open, in all tenants: a person looks here for one that is not theirs.
 * An array, so that no page can cut it; there are as many as a person has devices.
 */
create or replace function app_public.own_sessions()
returns app_public.session[]
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(
    row(
      s.id, t.name, s.role, host(s.address), s.user_agent, s.created_at, s.last_used_at, s.expires_at,
      s.second_factor_at, s.id = app_hidden.current_session_id()
    )::app_public.session
    order by s.last_used_at desc, s.id
  ), '{}')
  from app_private.sessions s
  left join app_public.tenants t on t.id = s.tenant_id
  where s.user_id = app_hidden.current_user_id()
    and s.kind = 'login'
    and s.revoked_at is null
    and s.expires_at > now()
$$;

comment on function app_public.own_sessions() is $$
The sessions that the caller has open, in all books, the one used last first.
$$;

create or replace function app_public.revoke_session(id uuid)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session constant app_private.sessions := app_private.required_session();
begin
  update app_private.sessions s
  set revoked_at = clock_timestamp(), revoked_because = 'revoked by its person'
  where s.id = revoke_session.id
    and s.user_id = v_session.user_id
    and s.kind in ('login', 'command')
    and s.revoked_at is null
    and s.expires_at > now();
  return found;
end
$$;

comment on function app_public.revoke_session(uuid) is $$
@resultFieldName isRevoked

Ends one session of the caller, at once: its access token moves no money from here on. False if there is no
such session, or it had ended.
$$;

create or replace function app_public.revoke_other_sessions()
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session constant app_private.sessions := app_private.required_session();
begin
  return app_private.revoke_user_sessions(v_session.user_id, 'revoked by its person', v_session.id);
end
$$;

comment on function app_public.revoke_other_sessions() is $$
@resultFieldName revoked

Ends all sessions of the caller but this one, in all books. Answers how many there were.
$$;

create or replace function app_public.revoke_member_sessions(user_id uuid)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor constant app_private.actor := app_private.authorize('sessions.revoke');
  v_revoked integer;
begin
  update app_private.sessions s
  set revoked_at = clock_timestamp(), revoked_because = 'revoked by an admin'
  where s.tenant_id = v_actor.tenant_id
    and s.user_id = revoke_member_sessions.user_id
    and s.kind in ('login', 'command')
    and s.revoked_at is null
    and s.expires_at > now();
  get diagnostics v_revoked = row_count;
  perform app_private.record_security_event(
    'sessions_revoked', 'notice', jsonb_build_object('userId', revoke_member_sessions.user_id, 'revoked', v_revoked));
  return v_revoked;
end
$$;

comment on function app_public.revoke_member_sessions(uuid) is $$
@resultFieldName revoked

Ends all sessions that a member has in these books. Answers how many there were. Who is to stay out is
disabled instead.
$$;

grant execute on function
  app_public.own_sessions(), app_public.revoke_session(uuid), app_public.revoke_other_sessions()
to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_auditor, tallystick_admin,
  tallystick_operator;

grant execute on function app_public.revoke_member_sessions(uuid) to tallystick_admin;
--! EndIncluded identity/sessions.sql
--! Included identity/purge_sessions.sql
/*
 * Remove what has been over for long, for the worker: up to max_rows of each kind a call, so that no call
 * lives long. How many rows in all; the task calls again until there are none. What the audit trail needs of
 * a session it has copied; the sessions themselves are kept for 13 months all the same, longer than a year
 * of it. Used refresh tokens go a month after their session: until then a thief of one is told apart.
 */
create or replace function app_private.purge_sessions(max_rows integer)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit constant integer := least(greatest(max_rows, 1), 100000);
  v_total integer := 0;
  v_removed integer;
begin
  delete from app_private.refresh_tokens r
  where r.token_hash = any (array(
    select o.token_hash
    from app_private.sessions s
    join app_private.refresh_tokens o on o.session_id = s.id
    where least(s.revoked_at, s.expires_at) < now() - interval '30 days'
    limit v_limit
  ));
  get diagnostics v_removed = row_count;
  v_total := v_total + v_removed;

  delete from app_private.sessions s
  where s.id = any (array(
    select o.id
    from app_private.sessions o
    where least(o.revoked_at, o.expires_at) < now() - interval '400 days'
      and o.kind in ('login', 'command')
      and not exists (select from app_private.refresh_tokens r where r.session_id = o.id)
    limit v_limit
  ));
  get diagnostics v_removed = row_count;
  v_total := v_total + v_removed;

  delete from app_private.password_resets p
  where p.token_hash = any (array(
    select o.token_hash from app_private.password_resets o where o.expires_at < now() - interval '1 day' limit v_limit
  ));
  get diagnostics v_removed = row_count;
  v_total := v_total + v_removed;

  delete from app_private.registrations g
  where g.id = any (array(
    select o.id from app_private.registrations o where o.expires_at < now() - interval '1 day' limit v_limit
  ));
  get diagnostics v_removed = row_count;
  v_total := v_total + v_removed;

  delete from app_private.authentication_attempts a
  where a.ctid = any (array(
    select o.ctid
    from app_private.authentication_attempts o
    where o.last_at < now() - interval '2 days' and coalesce(o.locked_until < now(), true)
    limit v_limit
    for update skip locked
  ));
  get diagnostics v_removed = row_count;
  return v_total + v_removed;
end
$$;

grant execute on function app_private.purge_sessions(integer) to tallystick_worker;
--! EndIncluded identity/purge_sessions.sql
--! Included identity/sessions_comments.sql
/*
 * What GraphQL says about sessions and second factors.
 */
comment on type app_public.session is $$
A login that is open, on one device.
$$;
comment on column app_public.session.id is 'The id of the session.';
comment on column app_public.session.tenant_name is 'The name of the books; null for an operator.';
comment on column app_public.session.role is 'What the session acts as.';
comment on column app_public.session.address is 'The address that it was opened from.';
comment on column app_public.session.user_agent is 'The program that it was opened with, as it called itself.';
comment on column app_public.session.created_at is 'When it was opened.';
comment on column app_public.session.last_used_at is 'When it was opened or refreshed last.';
comment on column app_public.session.expires_at is 'When it ends, unless it is refreshed before.';
comment on column app_public.session.second_factor_at is 'When a one-time password was given in it last.';
comment on column app_public.session.is_current is 'Whether it is the session of this request.';

comment on type app_public.second_factor_status is $$
Where the second factor of a person stands.
$$;
comment on column app_public.second_factor_status.is_active is
  'Whether one-time passwords are asked for.';
comment on column app_public.second_factor_status.recovery_codes_left is
  'How many recovery codes have not been used.';
--! EndIncluded identity/sessions_comments.sql
--! Included audit/record_read.sql
/*
 * Write down that rows were read whose reading is sensitive, one entry a row; without keys, that the table
 * was. The name of the table may have its schema in front. Whoever shows such rows calls this first, in
 * the same database transaction.
 */
create or replace function app_private.record_read(
  table_name text,
  row_keys text[],
  purpose text,
  tenant_id integer default app_hidden.current_tenant_id()
)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into app_private.audit_entries (tenant_id, operation, table_name, row_key, action)
  select
    coalesce(record_read.tenant_id, 0), 'read', regexp_replace(record_read.table_name, '^.*\.', ''), k.row_key,
    purpose
  from unnest(coalesce(row_keys, array[null::text])) as k (row_key)
$$;
--! EndIncluded audit/record_read.sql

---- the demonstration ----

--! Included tenants/has_demo_people.sql
/*
 * Whether somebody of the demonstration could sign in: their passwords were printed in a terminal, so a server
 * in production does not start on such a database. The ids are those of src/demo/people.ts.
 */
create or replace function app_hidden.has_demo_people()
returns boolean
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select
    from app_public.users u
    join app_private.credentials c on c.user_id = u.id
    where u.id between '0199c0de-0000-7000-8000-000000000000' and '0199c0de-00ff-7fff-8000-0000000000ff'
      and u.id::text like '0199c0de-00__-7000-8000-0000000000__'
      and u.status = 'active'
  )
$$;

grant execute on function app_hidden.has_demo_people() to tallystick_anonymous;
--! EndIncluded tenants/has_demo_people.sql
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
