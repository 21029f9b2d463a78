import { randomUUID } from "node:crypto";
import { beforeAll, describe, expect, test } from "@jest/globals";
import {
  buildClientSchema,
  type GraphQLArgument,
  type GraphQLInputField,
  type GraphQLInputType,
  type GraphQLObjectType,
  getIntrospectionQuery,
  getNamedType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
} from "graphql";
import { workerPool } from "../../support/jobs.ts";
import type { Queryable } from "../../support/ledger.ts";
import { makeProvider } from "../../support/payments.ts";
import { csvOf, importFile, makePayment, matchAll } from "../../support/reconciliation.ts";
import { actAs, staff } from "../../support/session.ts";
import { bootApi, type Caller, postMutation, transfer } from "../api/_api.ts";

/*
 * An admin of other books, who knows every id of these and has the schema and the source: nothing that they ask
 * tells whether a row of these books exists. For every argument and input field that takes an id, of every query
 * and mutation there is, the answer to an id of these books is the answer to an id that nobody has.
 */
const api = await bootApi();
const { books, otherBooks } = api;
const attacker = { tenant: otherBooks.tenant } as const;
const schema = buildClientSchema(await api.get(getIntrospectionQuery()));
const ids = new Map<string, string>();
/** A subscription that the caller may see, by the caller's account. */
const subscriptions = new Map<string, string>();
const nodeIds: string[] = [];

/** A row of each kind by which payments are charged, and of each that has to do with vouchers. */
async function makeCharges(client: Queryable): Promise<void> {
  await actAs(client, { tenantId: books.tenant, role: "admin", userId: staff });
  const make = async (kind: string, text: string, values: unknown[]): Promise<string> => {
    const { rows } = await client.query<{ id: string }>(text, values);
    ids.set(kind, rows[0]?.id ?? "");
    return rows[0]?.id ?? "";
  };
  const schedule = { code: "secret", payment_kind: "transfer", currency: "USD", method: "fixed", fixed_amount: 1 };
  await make(
    "fee schedule",
    "select id from app_public.set_fee_schedule(jsonb_populate_record(null::app_public.fee_schedule_input, $1))",
    [JSON.stringify({ ...schedule, bearer: "payer", beneficiary_account_id: books.sales })],
  );
  await make(
    "split",
    `select id from app_public.set_split_rule('secret', 'USD',
       array[row($1::uuid, null, null)::app_public.split_share_input])`,
    [books.sales],
  );
  const campaign = await make(
    "campaign",
    `select id from app_public.create_voucher_campaign('secret', 'Secret', $1, (
       select id from app_public.open_account(code => 'debts', name => 'x', type => 'liability', currency => 'USD')
      ), $2)`,
    [books.cash, books.sales],
  );
  const issue = await make("issue", "select issue_id as id from app_public.issue_vouchers($1, 1, 1)", [campaign]);
  await make("voucher", "select id from app_public.vouchers where issue_id = $1", [issue]);
}

beforeAll(async () => {
  const post = async (more: object): Promise<string> => {
    const data = await api.get(postMutation, transfer(books.cash, books.wallet, "500", more));
    return data.postTransaction.result.transactionId;
  };
  ids.set("account", books.cash).set("owned account", books.wallet).set("user", books.customer);
  ids.set("transaction", await post({ idempotencyKey: "key of acme" }));
  ids.set("pending", await post({ kind: "PENDING" }));
  const made = await api.get(
    `mutation ($transaction: TransactionInput!) {
      set: createAccountSet(input: { code: "secret", name: "Secret" }) { accountSet { id } }
      period: openPeriod(input: { name: "secret", startsAt: "2019-01-01T00:00:00Z", endsAt: "2020-01-01T00:00:00Z" }) {
        accountingPeriod { id } }
      proposal: proposeTransaction(input: { transaction: $transaction, reason: "why" }) { transactionProposal { id } }
    }`,
    transfer(books.cash, books.wallet, "1", { idempotencyKey: "proposed by acme" }),
  );
  // A customer who has signed in is a member, and may be verified.
  await api.get("{ currentTenant { name } }", {}, { role: "customer", user: books.customer });
  const { openKycCase } = await api.get(
    "mutation ($id: UUID!) { openKycCase(input: { userId: $id, requestedLevel: 1 }) { kycCase { id } } }",
    { id: books.customer },
  );
  ids.set("case", openKycCase.kycCase.id);
  ids.set("set", made.set.accountSet.id).set("period", made.period.accountingPeriod.id);
  ids.set("proposal", made.proposal.transactionProposal.id);
  const told = await api.get(
    `mutation ($until: Datetime!) {
      key: createApiKey(input: { name: "secret", scopes: ["ledger.read"], expiresAt: $until }) { apiKey { id } }
      endpoint: createWebhookEndpoint(input: { url: "https://1.1.1.1/", eventKinds: ["payment.*"] }) {
        webhookEndpoint { id } }
      invitation: inviteMember(input: { email: "ann@example.com", role: TELLER }) { invitation { id } }
    }`,
    { until: new Date(Date.now() + 86_400_000) },
  );
  ids.set("key", told.key.apiKey.id).set("invitation", told.invitation.invitation.id);
  const paid = await api.get(
    "mutation ($payment: PaymentInput!) { createPayment(input: { payment: $payment }) { payment { id } } }",
    { payment: { kind: "TRANSFER", accountId: books.cash, toAccountId: books.wallet, amount: "1" } },
  );
  ids.set("payment", paid.createPayment.payment.id);
  await makeStanding();
  await api.db.withClient("owner", async (client) => {
    for (const { tenant } of [books, otherBooks]) await makeProvider(client, tenant);
    const { rows } = await client.query<{ id: string }>(
      "insert into app_public.counterparties (tenant_id, name) values ($1, 'Carol') returning id",
      [books.tenant],
    );
    ids.set("counterparty", rows[0]?.id ?? "");
    const settlement = await client.query<{ letter: string; rule: string }>(
      `with rule as (
         insert into app_public.routing_rules (tenant_id, priority, provider_code) values ($1, 1, 'bank') returning id
       ), letter as (
         insert into app_public.dead_letters (tenant_id, source, task, payload, reason)
         values ($1, 'job', 'payments/settle', '{}', 'job_failed') returning id
       )
       select letter.id as letter, rule.id as rule from letter, rule`,
      [books.tenant],
    );
    ids.set("letter", settlement.rows[0]?.letter ?? "").set("rule", settlement.rows[0]?.rule ?? "");
    await makeCharges(client);
  });
  await addReconciliation();
  ids.set("endpoint", told.endpoint.webhookEndpoint.id);
  const { accounts, transactions, accountSets, transactionProposals } = await api.get(`{
    accounts { nodes { nodeId } } transactions { nodes { nodeId postings { nodes { nodeId } } } }
    accountSets { nodes { nodeId } } transactionProposals { nodes { nodeId } } }`);
  type Node = { nodeId: string; postings?: { nodes: Node[] } };
  for (const { nodes } of [accounts, transactions, accountSets, transactionProposals] as { nodes: Node[] }[])
    for (const node of nodes) nodeIds.push(node.nodeId, ...(node.postings?.nodes ?? []).map((one) => one.nodeId));
}, 120_000);

/** A calendar, a schedule, a plan and a subscription of these books; the others have their own. */
async function makeStanding(): Promise<void> {
  for (const { tenant, cash, wallet, sales } of [otherBooks, books]) {
    const made = await api.get(
      `mutation ($schedule: ScheduleInput!, $plan: PlanInput!) {
        calendar: createHolidayCalendar(input: { code: "secret", name: "Secret" }) { holidayCalendar { id } }
        schedule: schedulePayment(input: { schedule: $schedule }) { paymentSchedule { id } }
        plan: createPlan(input: { plan: $plan }) { plan { id } }
      }`,
      {
        schedule: {
          kind: "TRANSFER",
          accountId: cash,
          toAccountId: wallet,
          amount: "1",
          timeZone: "UTC",
          startsAt: new Date(Date.now() + 86_400_000),
        },
        plan: { code: "secret", name: "Secret", price: "1", intervalUnit: "MONTH", merchantAccountId: sales },
      },
      { tenant },
    );
    const { subscribe } = await api.get(
      `mutation ($plan: UUID!, $account: UUID!) {
        subscribe(input: { planId: $plan, accountId: $account }) { planSubscription { id } } }`,
      { plan: made.plan.plan.id, account: cash },
      { tenant },
    );
    subscriptions.set(cash, subscribe.planSubscription.id);
    // The last are those of these books.
    ids.set("calendar", made.calendar.holidayCalendar.id).set("schedule", made.schedule.paymentSchedule.id);
    ids.set("plan", made.plan.plan.id).set("subscription", subscribe.planSubscription.id);
  }
}

/** A statement of these books with an entry that a person may match to a payment. */
async function addReconciliation(): Promise<void> {
  const owner = api.db.pool("owner");
  const { clearing, suspense } = await makeProvider(owner, books.tenant, { code: "told" });
  const reconciled = { tenantId: books.tenant, account: books.wallet, clearing, suspense, expense: books.cash };
  await makePayment(owner, reconciled, { amount: 321, provider: "told" });
  const worker = workerPool(api.db);
  await importFile(worker, reconciled, csvOf([{ amount: 321 }]), { providerCode: "told" });
  await matchAll(worker, reconciled);
  const { rows } = await owner.query<{ entry_id: string; item_id: string; match_id: string; statement_id: string }>(
    `select l.entry_id, l.item_id, l.match_id, e.statement_id
     from app_public.reconciliation_match_lines l
     join app_public.statement_entries e on e.tenant_id = l.tenant_id and e.id = l.entry_id
     where l.tenant_id = $1`,
    [books.tenant],
  );
  const [row] = rows;
  if (!row) throw new Error("Nothing was proposed.");
  ids.set("entry", row.entry_id).set("item", row.item_id);
  ids.set("match", row.match_id).set("statement", row.statement_id);
}

/** Where an id can be put: the path of an argument, such as ["input", "transaction", "pendingId"]. */
function idPaths(type: GraphQLInputType, path: string[]): string[][] {
  const named = getNamedType(type);
  if (named.name === "UUID") return [path];
  // A filter is a question of its own: see the differential test.
  if (!isInputObjectType(named) || /Filter$/.test(named.name) || path.length > 4) return [];
  return Object.values(named.getFields()).flatMap((field) => idPaths(field.type, [...path, field.name]));
}

/** The least value of a type, with `id` at a path and `own`, an account of the caller, wherever else one is needed. */
function valueWith(type: GraphQLInputType, path: string[] | undefined, id: string, own: string): unknown {
  if (isNonNullType(type)) {
    const least = isListType(type.ofType) ? [] : leastScalar(getNamedType(type).name, own);
    return valueWith(type.ofType, path, id, own) ?? least;
  }
  // Two, because a transaction with one posting is refused before anybody looks at its account.
  if (isListType(type)) return path && [1, 2].map(() => valueWith(type.ofType, path, id, own));
  const named = getNamedType(type);
  if (path?.length === 0) return id;
  if (isEnumType(named)) return named.getValues()[0]?.name;
  if (!isInputObjectType(named)) return undefined;
  if (named.name === "PostingInput") return { accountId: path ? id : own, direction: "DEBIT", amount: "1" };
  if (named.name === "PaymentInput") return paymentWith(path?.[0], id, own);
  if (named.name === "ScheduleInput") return scheduleWith(path?.[0], id, own);
  if (named.name === "PlanInput")
    return { code: "told", name: "Told", price: "1", intervalUnit: "MONTH", merchantAccountId: id };
  if (named.name === "SetPaymentProviderAccountInput") return providerAccountWith(path?.[0], id, own);
  if (named.name === "ConditionInput") return { accountId: id, minimumAvailable: "99999999" };
  const entries = Object.values(named.getFields()).map((field: GraphQLInputField) => {
    const isOnPath = path?.[0] === field.name;
    const isNeeded = isNonNullType(field.type) && field.defaultValue === undefined;
    if (isOnPath || isNeeded)
      return [field.name, valueWith(field.type, isOnPath ? path?.slice(1) : undefined, id, own)];
    // What is to be resolved is named by one that resolves.
    if (field.name === "kind" && path?.[0] === "pendingId") return [field.name, "VOID_PENDING"];
    const isBesideConditions = field.name === "postings" && path?.[0] === "conditions";
    return [field.name, isBesideConditions ? balanced(own) : undefined];
  });
  return Object.fromEntries(entries);
}

/** The accounts of the provider that both books have, with `id` for one of them. */
function providerAccountWith(field: string | undefined, id: string, own: string): object {
  const accounts = { clearingAccountId: own, suspenseAccountId: walletBeside(own) };
  return { providerCode: "bank", currency: "USD", ...accounts, ...(field === undefined ? {} : { [field]: id }) };
}

const walletBeside = (own: string): string => (own === books.cash ? books.wallet : otherBooks.wallet);

/** A schedule of the kind that takes `id` in this field. */
function scheduleWith(field: string | undefined, id: string, own: string): object {
  const times = { timeZone: "UTC", startsAt: "2030-01-01T00:00:00Z" };
  if (field !== "holidayCalendarId") return { ...paymentWith(field, id, own), ...times };
  // What is looked at before the calendar is in order: the caller has an account to pay to.
  const toAccountId = walletBeside(own);
  const calendar = { holidayCalendarId: id, holidayPolicy: "SKIP" };
  return { kind: "TRANSFER", accountId: own, toAccountId, amount: "1", ...calendar, ...times };
}

/** A payment of the kind that takes `id` in this field. */
function paymentWith(field: string | undefined, id: string, own: string): object {
  if (field === "refundOfId") return { kind: "REFUND", refundOfId: id };
  const kind = field === "toAccountId" ? "TRANSFER" : "PAY_OUT";
  // Whom it goes to is looked at once the provider is known.
  if (field === "counterpartyId")
    return { kind, accountId: own, amount: "1", providerCode: "bank", counterpartyId: id };
  return { kind, accountId: own, amount: "1", ...(field === undefined ? {} : { [field]: id }) };
}

const balanced = (accountId: string): object[] =>
  ["DEBIT", "CREDIT"].map((direction) => ({ accountId, direction, amount: "1" }));

function leastScalar(name: string, own: string): unknown {
  const times = { Date: "2026-01-01", Datetime: "2026-01-01T00:00:00Z" };
  const values: Record<string, unknown> = { UUID: own, Int: 1, Boolean: true, ...times };
  return values[name] ?? "1";
}

interface Target {
  name: string;
  kind: "query" | "mutation";
  args: readonly GraphQLArgument[];
  path: string[];
  selection: string;
}

/** Where a refusal is no error but part of what is answered. */
const selections: Record<string, string> = {
  postTransactions: "{ results { transactionId refusal { code detail } } }",
};

function targets(type: GraphQLObjectType | null | undefined, kind: Target["kind"]): Target[] {
  return Object.values(type?.getFields() ?? {}).flatMap((field) => {
    const paths = field.args.flatMap((arg) => idPaths(arg.type, [arg.name]));
    const isObject = "getFields" in getNamedType(field.type);
    const selection = selections[field.name] ?? (isObject ? "{ __typename }" : "");
    return paths.map((path) => ({ name: field.name, kind, args: field.args, path, selection }));
  });
}

const all = [...targets(schema.getQueryType(), "query"), ...targets(schema.getMutationType(), "mutation")];

/** An id that nobody has, of the same age. */
const nobodys = (id: string): string => `${id.slice(0, -12)}${randomUUID().slice(-12)}`;

/** The whole answer to a target with an id in its place, without the id. */
async function answer(
  { name, kind, args, path, selection }: Target,
  id: string,
  caller: Caller = attacker,
): Promise<string> {
  const own = caller === attacker ? otherBooks.cash : books.cash;
  const used = args.filter(
    (arg) => arg.name === path[0] || (isNonNullType(arg.type) && arg.defaultValue === undefined),
  );
  const declared = used.map((arg) => `$${arg.name}: ${arg.type}`).join(", ");
  const passed = used.map((arg) => `${arg.name}: $${arg.name}`).join(", ");
  const times = { timeZone: "UTC", startsAt: "2030-01-01T00:00:00Z" };
  const beside: Record<string, unknown> = { subscriptionId: subscriptions.get(own), ...times };
  const variables = Object.fromEntries(
    used.map((arg) => {
      if (arg.name === path[0]) return [arg.name, valueWith(arg.type, path.slice(1), id, own)];
      return [arg.name, beside[arg.name] ?? valueWith(arg.type, undefined, id, own)];
    }),
  );
  const { status, text, errors } = await api.ask(
    `${kind} (${declared}) { ${name}(${passed}) ${selection} }`,
    variables,
    caller,
  );
  if (errors.some(({ extensions }) => /^(GRAPHQL|BAD|INTERNAL)_/.test(extensions.code))) throw new Error(text);
  return `${status} ${text.replaceAll(id, "<id>")}`;
}

test("there are places to put an id in", () => {
  expect(all.length).toBeGreaterThan(30);
});

describe("the answer to an id of these books is the answer to no id", () => {
  test.each(all.map((target) => [`${target.name} ${target.path.join(".")}`, target] as const))(
    "%s",
    async (_, target) => {
      const pairs = [...ids].map(async ([kind, id]) => {
        expect([kind, await answer(target, id)]).toEqual([kind, await answer(target, nobodys(id))]);
      });
      await Promise.all(pairs);
    },
  );
});

test("a node id of these books finds nothing, as one that was made up", async () => {
  expect(nodeIds.length).toBeGreaterThan(6);
  for (const nodeId of nodeIds) {
    const ask = (id: string) =>
      api.ask("query ($id: ID!) { node(nodeId: $id) { __typename nodeId } }", { id }, attacker);
    const key = JSON.parse(Buffer.from(nodeId, "base64").toString()) as string[];
    const madeUp = Buffer.from(JSON.stringify([key[0], randomUUID(), ...key.slice(2)])).toString("base64");
    const [theirs, nobodys] = [await ask(nodeId), await ask(madeUp)];
    expect(theirs.data).toEqual({ node: null });
    expect(theirs.text).toBe(nobodys.text);
    // And it is these that it was made for.
    expect((await api.get("query ($id: ID!) { node(nodeId: $id) { nodeId } }", { id: nodeId })).node).toEqual({
      nodeId,
    });
  }
});

test("a cursor of these books pages through the other books alone", async () => {
  const page =
    "query ($after: Cursor) { accounts(after: $after, orderBy: [ID_ASC]) { totalCount edges { cursor node { id } } } }";
  const [ours, theirs] = [await api.get(page), await api.get(page, {}, attacker)];
  const own = theirs.accounts.edges.map(({ node }: { node: { id: string } }) => node.id);
  for (const { cursor, node } of ours.accounts.edges) {
    const { accounts } = await api.get(page, { after: cursor }, attacker);
    expect(accounts.totalCount).toBe(own.length);
    // The cursor is an id like any other: what comes after it, whether it exists or not.
    expect(accounts.edges.map((edge: { node: { id: string } }) => edge.node.id)).toEqual(
      own.filter((id: string) => id > node.id),
    );
  }
});

describe("what is unique is so in its books: the same is free in others", () => {
  test.each([
    ["account", `openAccount(input: { code: "cash", name: "x", type: ASSET, currency: "USD" }) { account { code } }`],
    ["account set", `createAccountSet(input: { code: "secret", name: "x" }) { accountSet { code } }`],
    [
      "period",
      `openPeriod(input: { name: "secret", startsAt: "2019-01-01T00:00:00Z", endsAt: "2020-01-01T00:00:00Z" }) {
        accountingPeriod { name } }`,
    ],
  ])("%s", async (kind, field) => {
    // The books are alike, so a code that they share is taken in them by their own.
    const { errors } = await api.ask(`mutation { ${field} }`, {}, attacker);
    expect(errors.map(({ extensions }) => extensions.code)).toEqual(kind === "account" ? ["LG314"] : []);
  });

  test("idempotency keys", async () => {
    const data = await api.get(
      postMutation,
      transfer(otherBooks.cash, otherBooks.wallet, "7", { idempotencyKey: "key of acme" }),
      attacker,
    );
    expect(data.postTransaction.result.isReplayed).toBe(false);
    const proposed = await api.get(
      `mutation ($transaction: TransactionInput!) {
        proposeTransaction(input: { transaction: $transaction, reason: "x" }) { transactionProposal { status } } }`,
      transfer(otherBooks.cash, otherBooks.wallet, "8", { idempotencyKey: "proposed by acme" }),
      attacker,
    );
    expect(proposed.proposeTransaction.transactionProposal.status).toBe("OPEN");
  });
});

test("a user who belongs to both shows nothing of the books that are not asked for", async () => {
  // The attacker is a member of both here: what they are elsewhere is not told by who they are.
  const { memberships } = (
    await api.get(
      `mutation ($transaction: TransactionInput!) {
        proposeTransaction(input: { transaction: $transaction, reason: "x" }) {
          transactionProposal { proposer { user { memberships { totalCount nodes { role } } } } } } }`,
      transfer(otherBooks.cash, otherBooks.wallet, "9"),
      attacker,
    )
  ).proposeTransaction.transactionProposal.proposer.user;
  expect(memberships.totalCount).toBe(1);
});

/** Until the server has written down what it refused: it does not wait for that, and here there are thousands. */
async function untilRecorded(): Promise<void> {
  await api.db.withClient("superuser", async (client) => {
    for (let quiet = 0; quiet < 10; ) {
      await client.query("select pg_sleep(0.05)");
      const { rowCount } = await client.query(
        `select from pg_stat_activity
         where datname = $1 and application_name = 'tallystick-api' and state <> 'idle'`,
        [api.db.name],
      );
      quiet = rowCount === 0 ? quiet + 1 : 0;
    }
  });
}

// Last, because it changes the books.
test("the same questions tell an admin of these books what there is", async () => {
  const indifferent: string[] = [];
  // One that is archived is none to those that pay: it is archived after them.
  const archives = ({ name }: Target): number => Number(name === "archiveCounterparty");
  for (const target of all.toSorted((a, b) => archives(a) - archives(b))) {
    const told = [...ids.values()].map(
      async (id) => (await answer(target, id, {})) !== (await answer(target, nobodys(id), {})),
    );
    if (!(await Promise.all(told)).includes(true)) indifferent.push(`${target.name} ${target.path.join(".")}`);
  }
  await untilRecorded();
  expect(indifferent.sort()).toEqual(
    [
      // A key is refused for want of scopes, a decision for want of a reason, a reading for want of the permission.
      "createApiKey input.accountSetId",
      "createApiKey input.userId",
      "decideKycCase input.id",
      "revealCustomerDetail input.userId",
      "revealKycEvidence input.id",
      // Users are the operators' to disable.
      "disableUser input.userId",
      "enableUser input.userId",
      // An admin has no messages and these books no receipts.
      "markNotificationsRead input.ids",
      "receipt id",
      // Anybody may own an account, and who has no session, or no details, is answered as who is nobody.
      "customerDetails userId",
      "openAccount input.ownerId",
      "revokeMemberSessions input.userId",
      "revokeSession input.id",
      // The least input has not the shape of a campaign, a fee, a merchant, a split, a match or a write-off.
      "createVoucherCampaign input.breakageAccountId",
      "createVoucherCampaign input.fundingAccountId",
      "createVoucherCampaign input.liabilityAccountId",
      "setFeeSchedule input.schedule.accountSetId",
      "setFeeSchedule input.schedule.bearerAccountId",
      "setFeeSchedule input.schedule.beneficiaryAccountId",
      "setFeeSchedule input.schedule.vatAccountId",
      "setMerchant input.merchant.accountId",
      "setMerchant input.merchant.counterpartyId",
      "setSplitRule input.accountId",
      "setSplitRule input.shares.accountId",
      "matchByHand input.itemIds",
      "proposeWriteOff input.accountId",
    ].sort(),
  );
}, 240_000);
