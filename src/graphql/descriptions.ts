import "./graphile.ts";

/**
 * Descriptions that SQL has no place for: arguments and the labels of enums cannot carry a comment. Types,
 * columns and functions are described where they are made, in the comments of migrations/fixtures. A
 * test fails for whatever is described in neither place.
 */

/** Arguments by name, or by "field.argument" where one name means different things. */
const argumentTexts: Record<string, string> = {
  id: "The id.",
  accountId: "The id of the account.",
  transactionId: "The id of the transaction.",
  pendingId: "The id of the pending transaction.",
  code: "The code.",
  currency: "The code of the currency.",
  currencyCode: "The code of the currency.",
  key: "The idempotency key.",
  name: "The name for people, 1 to 200 characters.",
  description: "What it is for, in words: 1 to 1000 characters.",
  metadata: "Facts of the caller's own, a JSON object of at most 16 KB.",
  effectiveAt: "When it happened in business terms; now if left out. It must not lie in a closed period.",
  idempotencyKey: "The caller's retry token, 1 to 255 characters: a request sent twice takes effect once.",
  exponent: "How many decimals the major unit has, 0 to 18. May be left out for a currency of ISO 4217.",
  "createCurrency.code": "The code: a capital letter, then up to 23 capitals, digits, dots, dashes and underscores.",
  "createCurrency.name": "The name for people; that of ISO 4217, or the code, if left out.",
  "openAccount.code": "The code in the chart of accounts, 1 to 200 characters, unique in its currency.",
  "openAccount.type": "What the account stands for. It never changes.",
  "openAccount.currency": "The code of the currency. It never changes.",
  normalBalance: "The side that makes the balance larger. It follows from the type, but for a contra account.",
  parentId: "The account that it shall be part of in the chart of accounts.",
  ownerId: "The user whose account it is.",
  minimumBalance: "The lowest available balance that a transaction may leave, in minor units; no limit if null.",
  maximumBalance: "The highest balance that a transaction may leave, in minor units; no limit if null.",
  transaction: "The transaction to post.",
  payment: "The payment to make.",
  paymentId: "The id of the payment.",
  "cancelPayment.reason": "Why, in words: 1 to 1000 characters.",
  bic: "The BIC of their bank.",
  country: "Their country: two letters of ISO 3166.",
  "updateCounterparty.name": "Their name, as their bank knows it: 1 to 140 characters.",
  "setPaymentProvider.code": "The short name: a lower-case letter, then up to 49 lower-case letters, digits, _ and -.",
  "setPaymentProvider.kind": "How it is spoken to. It never changes.",
  settings: "What its kind needs to know and is no secret, a JSON object of at most 16 KB.",
  isEnabled: "Whether new payments may go through it.",
  clearingAccountId: "The id of the account whose balance is what the provider should hold.",
  suspenseAccountId: "The id of the account of money of which nobody knows yet what it is for.",
  transactions: "The transactions to post, 1 to 10,000; each sees what those before it did.",
  mode: "Whether they succeed or fail one by one (INDEPENDENT) or all together (ATOMIC).",
  asOf: "The effective time that is asked about; now if left out.",
  knownAt: "As the books stood at this recorded time; now if left out.",
  at: "The moment that is asked about; now if left out.",
  startsAt: "The start, inclusive.",
  endsAt: "The end, exclusive.",
  "incomeStatement.startsAt": "The effective time from which on it counts, inclusive; from the first if left out.",
  "incomeStatement.endsAt": "The effective time until which it counts, exclusive; now if left out.",
  amount: "The amount, in minor units.",
  ratios: "The shares, none below zero and not all zero.",
  fromCurrency: "The code of the currency that is converted.",
  toCurrency: "The code of the currency that it is converted to.",
  baseCurrency: "The code of the currency that is priced.",
  quoteCurrency: "The code of the currency that it is priced in.",
  rate: "What one major unit of the base is worth in major units of the quote, as a decimal.",
  validFrom: "From when on it holds; now if left out.",
  validTo: "Until when it holds; until further notice if left out.",
  fromAccountId: "The id of the account that gives.",
  toAccountId: "The id of the account that gets.",
  tradingCode: "The code of the trading account, one in each of the two currencies.",
  roundingCode: "The code of the account in the bought currency that takes what rounding leaves.",
  accountSetId: "The id of the set.",
  memberSetId: "The id of the set that is part of it.",
  "createAccountSet.code": "The code, 1 to 200 characters, unique among the sets.",
  periodId: "The id of the period.",
  checks: "The names of the checks to run; all of them if left out.",
  "proposeConversion.amount": "How much is given, in minor units.",
  proposalId: "The id of the proposal.",
  reason: "Why, in words: 1 to 1000 characters.",
  expiresAt: "Until when it may be approved, within 90 days; seven days from now if left out.",
  "proposeTransaction.transaction": "The transaction to propose.",
  retainedEarningsCode:
    "The code of the equity accounts, one a currency, that revenue and expense move to; nothing moves if left out.",
  repair: "Whether to set right what differs, or only to tell.",
  pageSize: "How many lines.",
  afterVersion: "Go on after the line with this version.",
  beforeVersion: "Go back before the line with this version.",
  newestFirst: "Whether the newest line comes first.",
  recordedFrom: "From this recorded time on, inclusive.",
  recordedBefore: "Until this recorded time, exclusive.",
  userId: "The id of the user.",
  "decideKycCase.reason": "Why, for the staff: 1 to 1000 characters.",
  "decideKycCase.expiresAt": "Until when it is granted, within ten years; a year from now if left out.",
  "openKycCase.userId": "The id of the customer; the caller if left out.",
  "kycProfile.userId": "The id of the customer; the caller if left out.",
  "revealCustomerDetail.userId": "The id of the customer; the caller if left out.",
  requestedLevel: "The level that is asked for, 1 to 3.",
  decision: "What the case becomes: APPROVED, REJECTED or NEEDS_INFORMATION.",
  message: "What the customer is told or asked for, 1 to 1000 characters.",
  "decideKycCase.level": "The level that is granted, at most the one that was asked for, which it is if left out.",
  "setKycLevelLimit.level": "The level, 0 to 3. Who is not verified has level 0.",
  maximumTransaction: "What one transaction may take out of an account, in minor units; no limit if null.",
  maximumOutPerDay: "What may leave an account on a day (UTC), in minor units; no limit if null.",
  maximumOutPerMonth: "What may leave an account in a month (UTC), in minor units; no limit if null.",
  slug: "The short name: a lower-case letter, then up to 62 lower-case letters, digits and hyphens.",
  template: "The name of the chart of accounts: one of `chartTemplates`.",
  "createTenant.template": "The chart of accounts to begin with, one of `chartTemplates`; none if left out.",
  "createTenant.currency": "The code of the currency of its accounts. Only with a template.",
  "createTenant.name": "The name for people, 1 to 200 characters; the short name if left out.",
  role: "The role.",
  "changeMemberRole.role": "What the member becomes: CUSTOMER, TELLER, ACCOUNTANT, AUDITOR or ADMIN.",
  permission: "The name of the permission, such as `transactions.post`.",
  invitationId: "The id of the invitation.",
  isRegistrationOpen: "Whether anybody may register, as a customer.",
  secondFactorRoles: "The roles whose sessions do nothing before a second factor; an empty list for none.",
  invitationLifetimeSeconds: "For how long an invitation is good: an hour to 90 days.",
  sessionLifetimeSeconds: "How long a login lasts at most: 5 minutes to a year.",
  approvalAmount: "From this sum of debits on, in minor units, another person must approve; nobody if null.",
  secondFactorAmount: "From this sum of debits on, in minor units, a fresh second factor is needed; none if null.",
  "setCustomerDetails.userId": "The id of the customer; the caller if left out.",
  deadLetterId: "The id of the dead letter.",
  "discardDeadLetter.reason": "Why it is not tried again: 1 to 1000 characters.",
  providerCode: "The code of the payment provider.",
  "tripCircuitBreaker.reason": "Why calls are stopped: 1 to 1000 characters.",
  errorCode: "The error, as the provider codes it. An asterisk at the end stands for anything.",
  action: "What is done about it; the default if left out.",
  "setRoutingRule.priority": "Its place among the rules, 1 to 100000: lower numbers go before.",
  "setRoutingRule.kind": "The kind of payments that it is for, PAY_IN or PAY_OUT; both if left out.",
  "setRoutingRule.currency": "The code of their currency; any if left out.",
  "setRoutingRule.minimumAmount": "The least amount that it is for, in minor units; any if left out.",
  "setRoutingRule.maximumAmount": "The largest amount that it is for, in minor units; any if left out.",
  "setRoutingRule.accountSetId": "The id of the set of accounts that pay or are paid; any account if left out.",
  fallbackProviderCode: "The code of the provider that takes over; none if left out.",
  routingRuleId: "The id of the routing rule.",
  maxAttempts: "How often a payment is handed to it, 1 to 100.",
  maxAsks: "How often it is asked about a payment of which it is not known whether it has it, 1 to 1000.",
  retrySeconds: "The first wait before it is tried again, which doubles each time.",
  maxRetrySeconds: "The longest of these waits, a day at most.",
  pollSeconds: "The first wait before it is asked how a payment that it took stands, which doubles each time.",
  maxPollSeconds: "The longest of these waits, a day at most.",
  failureThreshold: "How many calls in a row that bring no answer open its circuit, 1 to 1000.",
  windowSeconds: "In how much time these calls count, an hour at most.",
  openSeconds: "How long the circuit stays open at first, an hour at most.",
  probes: "How many calls must go well before the circuit closes, 1 to 100.",
  probeSeconds: "After how long a probe that is not back does not count, an hour at most.",
  postings: "What to post of it: account, direction and amount of each posting. All of it if left out.",
};

/** Labels of enums, by "Type.LABEL". */
const labelTexts: Record<string, string> = {
  "AccountStatus.OPEN": "Takes postings.",
  "AccountStatus.FROZEN": "Takes no postings until it is unfrozen, but for voids and expiries.",
  "AccountStatus.CLOSED": "Takes no postings any more. Final.",
  "WebhookDeliveryOutcome.DELIVERED": "It was taken.",
  "WebhookDeliveryOutcome.FAILED": "It was not taken, or nobody knows.",
  "WebhookDisablingReason.BY_HAND": "Somebody disabled it.",
  "WebhookDisablingReason.FAILING": "Nothing could be delivered for five days.",
  "WebhookDisablingReason.GONE": "It answered with status 410.",
  "WebhookEndpointStatus.ARCHIVED": "It has ended for good.",
  "WebhookEndpointStatus.DISABLED": "It is told of nothing for now.",
  "WebhookEndpointStatus.ENABLED": "It is told of events.",
  "ApiKeyStatus.ACTIVE": "It can be used.",
  "ApiKeyStatus.EXPIRED": "Its time is over.",
  "ApiKeyStatus.REVOKED": "It was revoked.",
  "AccountType.ASSET": "What is owned or owed to the owner of the books. Normal balance debit.",
  "AccountType.LIABILITY": "What is owed to others. Normal balance credit.",
  "AccountType.EQUITY": "What remains of the assets after the liabilities. Normal balance credit.",
  "AccountType.REVENUE": "What was earned. Normal balance credit.",
  "AccountType.EXPENSE": "What was spent. Normal balance debit.",
  "MemberRole.CUSTOMER": "Sees their own accounts.",
  "MemberRole.TELLER": "Opens accounts and posts.",
  "MemberRole.ACCOUNTANT": "Keeps the books: limits, rates, periods, reversals.",
  "MemberRole.AUDITOR": "Sees everything of the tenant, and changes nothing.",
  "MemberRole.ADMIN": "Decides who belongs to the tenant and what they may do.",
  "MemberRole.PARTNER": "A program that acts by an API key.",
  "MemberRole.OPERATOR": "Runs the installation, and belongs to no tenant.",
  "UserKind.PERSON": "Somebody who signs in.",
  "UserKind.SERVICE": "A program, or the command line.",
  "UserStatus.ACTIVE": "In use.",
  "UserStatus.DISABLED": "Signs in nowhere, and has no session.",
  "KycStatus.UNVERIFIED": "Nobody has verified the customer yet: level 0.",
  "KycStatus.VERIFIED": "The customer has been verified, for a level and a time.",
  "KycStatus.REJECTED": "The customer was not accepted: level 0.",
  "KycCaseStatus.OPEN": "Evidence is gathered.",
  "KycCaseStatus.IN_REVIEW": "A provider checks the evidence, and a person decides.",
  "KycCaseStatus.NEEDS_INFORMATION": "More evidence is asked for.",
  "KycCaseStatus.APPROVED": "The level was granted. Final.",
  "KycCaseStatus.REJECTED": "The level was refused. Final.",
  "KycEvidenceKind.IDENTITY_DOCUMENT": "Who somebody is: a passport, an identity card.",
  "KycEvidenceKind.PROOF_OF_ADDRESS": "Where somebody lives.",
  "KycEvidenceKind.SOURCE_OF_FUNDS": "Where the money is from.",
  "KycEvidenceKind.SELFIE": "What somebody looks like.",
  "KycCheckStatus.QUEUED": "The provider has not been asked yet.",
  "KycCheckStatus.SUBMITTED": "The provider has been asked, and works on it.",
  "KycCheckStatus.PASSED": "The provider found nothing against it.",
  "KycCheckStatus.FAILED": "The provider found something against it.",
  "KycCheckStatus.NEEDS_INFORMATION": "The provider needs more evidence.",
  "TenantStatus.ACTIVE": "The books are written to.",
  "TenantStatus.SUSPENDED": "Nothing is written to the books.",
  "BatchMode.INDEPENDENT": "Each transaction is posted or refused by itself.",
  "BatchMode.ATOMIC": "All transactions are posted, or none.",
  "Direction.DEBIT": "Debit: makes assets and expenses larger.",
  "Direction.CREDIT": "Credit: makes liabilities, equity and revenue larger.",
  "SealStream.LEDGER": "Transactions with their postings.",
  "SealStream.AUDIT": "The audit trail.",
  "TransactionKind.POSTED": "Moves money at once.",
  "TransactionKind.PENDING": "Reserves money until it is posted, voided or expires.",
  "TransactionKind.POST_PENDING": "Posts a pending transaction, wholly or in part, and releases the rest.",
  "TransactionKind.VOID_PENDING": "Releases what a pending transaction reserved.",
  "TransactionKind.EXPIRE_PENDING": "Releases what a pending transaction reserved, because its time has passed.",
  "TransactionStatus.PENDING": "It reserves money and waits to be posted or voided.",
  "TransactionStatus.POSTED": "It moved money, or a later transaction posted it.",
  "TransactionStatus.VOIDED": "It was voided: what it reserved is released.",
  "TransactionStatus.EXPIRED": "Its time passed before it was posted: what it reserved is released.",
  "PaymentKind.PAY_IN": "Money comes in through a provider, onto an account.",
  "PaymentKind.PAY_OUT": "Money goes out through a provider, from an account.",
  "PaymentKind.TRANSFER": "Money goes from one account of these books to another, at once.",
  "PaymentKind.REFUND": "A payment is given back, in whole or in part.",
  "PaymentStatus.REQUESTED": "It was asked for, and has reserved nothing yet.",
  "PaymentStatus.RESERVED": "Its money is reserved.",
  "PaymentStatus.SUBMITTED": "It was handed to its provider, which alone ends it from then on.",
  "PaymentStatus.SETTLED": "Its money is posted.",
  "PaymentStatus.FAILED": "It was not paid, and what it had reserved is free again. Final.",
  "PaymentStatus.CANCELLED": "It was taken back before it was paid. Final.",
  "PaymentStatus.EXPIRED": "Its time passed before it was handed to its provider. Final.",
  "PaymentStatus.RETURNED": "It had settled, and the money came back. Final.",
  "CircuitState.CLOSED": "Calls go through.",
  "CircuitState.HALF_OPEN": "Some calls go through, to find out whether the provider is back.",
  "CircuitState.OPEN": "No calls go through.",
  "DeadLetterResolution.DISCARDED": "It is not tried again.",
  "DeadLetterResolution.RERUN": "It was tried again.",
  "DeadLetterSource.JOB": "A job that has used up its attempts.",
  "DeadLetterSource.MESSAGE": "A message to somebody that could not be sent.",
  "DeadLetterSource.PAYMENT": "A payment that goes on no further by itself.",
  "DeadLetterSource.WEBHOOK": "A message of a provider that could not be processed.",
  "PaymentAttemptStatus.ABANDONED": "The provider has never heard of it, although it was called.",
  "PaymentAttemptStatus.ACCEPTED": "The provider has it, and has not settled it yet.",
  "PaymentAttemptStatus.CALLING": "It is being handed to the provider.",
  "PaymentAttemptStatus.FAILED": "The provider surely does not have it, or refused it.",
  "PaymentAttemptStatus.SETTLED": "The provider has settled it.",
  "PaymentAttemptStatus.STARTED": "It waits for its turn; the provider has not been called.",
  "PaymentAttemptStatus.UNKNOWN": "The provider was called, and it is not known whether it has it.",
  "PaymentErrorAction.ASK": "It is asked how the payment stands.",
  "PaymentErrorAction.FAIL": "The payment fails.",
  "PaymentErrorAction.RETRY": "The payment is tried again, with another provider if a rule names one.",
  "ProviderCall.ASK": "How the payment stands.",
  "ProviderCall.CANCEL": "To cancel the payment, if it still can be.",
  "ProviderCall.SUBMIT": "To make the payment.",
  "PaymentProviderKind.SIMULATED": "The provider for trying things out that comes with the ledger.",
  "PaymentProviderKind.STRIPE": "Stripe, over its API.",
  "PaymentProviderKind.BANK_FILE": "A bank that takes files of ISO 20022 and sends statements.",
  "ProposalOutcome.APPROVED": "The transaction was posted.",
  "ProposalOutcome.REJECTED": "Somebody else decided against it.",
  "ProposalOutcome.WITHDRAWN": "Whoever proposed it took it back.",
  "ProposalStatus.OPEN": "It waits for a second person.",
  "ProposalStatus.APPROVED": "A second person approved it, and its transaction was posted.",
  "ProposalStatus.REJECTED": "A second person decided against it.",
  "ProposalStatus.WITHDRAWN": "Whoever proposed it took it back.",
  "ProposalStatus.EXPIRED": "Its time passed before anybody decided.",
  "AuditOperation.INSERT": "A row was inserted.",
  "AuditOperation.UPDATE": "A row was changed.",
  "AuditOperation.DELETE": "A row was removed.",
  "AuditOperation.TRUNCATE": "All rows of a table were removed; `before` tells how many.",
  "AuditOperation.REFUSED": "A change was asked for and refused.",
  "AuditOperation.READ": "Something sensitive was read.",
  "Severity.INFO": "Good to know.",
  "Severity.NOTICE": "Worth a look if it comes often.",
  "Severity.WARNING": "Somebody should look at it.",
  "Severity.CRITICAL": "Somebody should look at it now.",
  "PostingGroupBy.ACCOUNT_ID": "By account.",
  "PostingGroupBy.CURRENCY_CODE": "By currency.",
  "PostingGroupBy.DIRECTION": "By side.",
  "PostingGroupBy.EFFECTIVE_AT_TRUNCATED_TO_DAY": "By the day on which it took effect, in UTC.",
};

/** Types that PostGraphile and its plugins make and leave without a description. */
const typeTexts: [RegExp, string][] = [
  [/SumAggregates$/, "Sums over the rows that match the filter."],
  [/Aggregates$/, "What the rows that match the filter add up to."],
];

const scalarTexts: Record<string, string> = {
  BigFloat: 'A decimal of any length, as a string: "1.0825". As input a whole JSON number is taken too.',
};

/** Fields of the same, by name. */
const fieldTexts: Record<string, string> = {
  keys: "The values that the rows of this group share, in the order of `groupBy`.",
  result: "What became of it.",
  results: "One result for each transaction that was sent, in the same order.",
};

const aggregateTexts: Record<string, string> = {
  aggregates: "Sums over all rows that match the filter, whatever the page. All are read: filter by account or time.",
  groupedAggregates: "The same, by group. All rows are read and all groups returned: filter by account or time.",
};

export const DescriptionsPlugin: GraphileConfig.Plugin = {
  name: "DescriptionsPlugin",
  version: "1.0.0",
  gather: {
    hooks: {
      // A domain's comment is kept, as that of a type or table is.
      pgCodecs_domainOfCodec_extensions(_info, event) {
        const { description } = event.pgType.getTagsAndDescription();
        if (description) Object.assign(event.extensions, { description });
      },
    },
  },
  schema: {
    hooks: {
      GraphQLScalarType(config, build) {
        const codec = Object.values(build.input.pgRegistry.pgCodecs).find(
          (one) => one.domainOfCodec && build.inflection.scalarCodecTypeName(one as never) === config.name,
        );
        const text = (codec?.extensions as { description?: string } | undefined)?.description;
        return { ...config, description: tidy(scalarTexts[config.name] ?? text ?? config.description) };
      },
      GraphQLObjectType: (config) => ({ ...config, description: tidy(config.description ?? textOfType(config.name)) }),
      // PostGraphile says "An input for mutations affecting …" of every composite type.
      GraphQLInputObjectType: (config, _build, { scope }) => ({
        ...config,
        description: tidy(scope.pgCodec?.description ?? textOfOperators(config.name) ?? config.description),
      }),
      GraphQLEnumType: (config) => ({ ...config, description: tidy(config.description) }),
      GraphQLInterfaceType: (config) => ({ ...config, description: tidy(config.description) }),
      GraphQLObjectType_fields_field(field, _build, { Self, scope }) {
        const given = aggregateTexts[scope.fieldName] ?? field.description ?? fieldTexts[scope.fieldName];
        const ofSum = /SumAggregates$/.test(Self.name)
          ? `The sum of \`${scope.fieldName}\`, in minor units.`
          : undefined;
        const ofPayload = /Payload$/.test(Self.name) ? "What was made or changed." : undefined;
        return { ...field, description: tidy(ofSum ?? given ?? ofPayload) };
      },
      GraphQLObjectType_fields_field_args_arg: (arg, _build, { scope }) => ({
        ...arg,
        description: tidy(arg.description ?? textOfArgument(scope.fieldName, scope.argName)),
      }),
      GraphQLInputObjectType_fields_field(field, _build, { Self, scope }) {
        const mutation = Self.name.replace(/Input$/, "").replace(/^./, (letter) => letter.toLowerCase());
        return { ...field, description: tidy(field.description ?? textOfArgument(mutation, scope.fieldName)) };
      },
      GraphQLEnumType_values_value(value, _build, { Self, scope }) {
        const text = value.description ?? labelTexts[`${Self.name}.${scope.valueName}`] ?? textOfOrder(scope.valueName);
        return { ...value, description: tidy(text) };
      },
    },
  },
};

function textOfArgument(field: string, argument: string): string | undefined {
  return argumentTexts[`${field}.${argument}`] ?? argumentTexts[argument];
}

function textOfType(name: string): string | undefined {
  return typeTexts.find(([form]) => form.test(name))?.[1];
}

const valueTypes =
  /^(UUID|String|BigInt|Datetime|Date|Int|Boolean|Amount|Severity|[A-Z]\w*(Type|Status|Kind|Operation|Outcome|Source|Stream))$/;

/** UUIDFilter and the like: what the fields of another filter are made of. */
function textOfOperators(name: string): string | undefined {
  const type = /^(\w+)Filter$/.exec(name)?.[1];
  const isValue = type !== undefined && valueTypes.test(type);
  return !isValue ? undefined : `Conditions on a value of type ${type}: all of them must hold.`;
}

/** CODE_ASC: "By code, rising." */
function textOfOrder(label: string): string | undefined {
  if (label === "NATURAL") return "In the order in which the database finds them.";
  const match = /^(.+)_(ASC|DESC)$/.exec(label);
  if (!match?.[1]) return undefined;
  return `By ${match[1].toLowerCase().replaceAll("_", " ")}, ${match[2] === "ASC" ? "rising" : "falling"}.`;
}

/** Comments in dollar quotes begin and end with a line break, and are wrapped where SQL is. */
function tidy<T extends string | null | undefined>(text: T): T {
  return (typeof text === "string" ? text.trim() : text) as T;
}
