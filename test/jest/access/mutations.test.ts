import { randomUUID } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import {
  buildClientSchema,
  type GraphQLInputType,
  type GraphQLObjectType,
  type GraphQLSchema,
  getIntrospectionQuery,
  getNamedType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
} from "graphql";
import { secretKeys } from "../../../src/http/token_keys.ts";
import { roles, signToken } from "../../../src/http/tokens.ts";
import { ensureSession, staff } from "../../support/session.ts";
import { bootApi, secret } from "../api/_api.ts";

/** What people do for themselves needs no permission of a tenant, only who they are. */
const signedIn = roles.join(" ");
const everybody = `${signedIn} anonymous`;
/** The same for what people of a tenant alone have. */
const members = "customer teller accountant auditor admin";

/**
 * Who may call each mutation with the permissions that a new tenant gives. All other roles are refused. A mutation
 * without a line fails.
 */
const callers: Record<string, string> = {
  acceptInvitation: everybody,
  activateSecondFactor: signedIn,
  addAccountToSet: "accountant admin",
  addCounterparty: "teller accountant admin",
  addHolidays: "accountant admin",
  addSetToSet: "accountant admin",
  applyTemplate: "accountant admin",
  approvePayment: "accountant admin",
  approveProposal: "accountant admin",
  archiveCounterparty: "teller accountant admin",
  archivePlan: "accountant admin",
  archiveWebhookEndpoint: "admin",
  cancelPayment: "teller accountant admin",
  cancelSubscription: "teller accountant admin",
  cancelVoucher: "accountant admin",
  cancelVoucherIssue: "accountant admin",
  changeMemberRole: "admin",
  changePassword: signedIn,
  changeSubscription: "teller accountant admin",
  closeAccount: "accountant admin",
  closePeriod: "accountant admin",
  confirmMatch: "accountant admin",
  confirmRegistration: everybody,
  confirmSecondFactor: signedIn,
  createAccountSet: "accountant admin",
  createApiKey: "admin",
  createCurrency: "accountant admin",
  createHolidayCalendar: "accountant admin",
  createPayment: "teller accountant admin",
  createPlan: "accountant admin",
  createTenant: "operator",
  createVoucherCampaign: "accountant admin",
  createWebhookEndpoint: "admin",
  decideKycCase: "accountant admin",
  disableMember: "admin",
  disableSecondFactor: signedIn,
  disableUser: "operator",
  disableWebhookEndpoint: "admin",
  discardDeadLetter: "accountant admin",
  enableMember: "admin",
  enableUser: "operator",
  enableWebhookEndpoint: "admin",
  endFeeSchedule: "accountant admin",
  endSchedule: "teller accountant admin",
  endSplitRule: "accountant admin",
  enrolSecondFactor: signedIn,
  freezeAccount: "teller accountant admin",
  grantPermission: "admin",
  importStatement: "accountant admin",
  inviteAdmin: "operator",
  inviteMember: "admin",
  issueReceipt: "customer teller accountant admin",
  issueVouchers: "accountant admin",
  login: everybody,
  logout: everybody,
  markNotificationsRead: members,
  matchByHand: "accountant admin",
  openAccount: "teller accountant admin",
  openKycCase: "customer teller admin",
  openPeriod: "accountant admin",
  pauseSchedule: "teller accountant admin",
  pauseSubscription: "teller accountant admin",
  postConversion: "teller accountant admin",
  postPendingTransaction: "teller accountant admin",
  postTransaction: "teller accountant admin",
  postTransactions: "teller accountant admin",
  proposeConversion: "teller accountant admin",
  proposeTransaction: "teller accountant admin",
  proposeWriteOff: "accountant admin",
  rebuildBalances: "admin",
  redeemVoucher: "customer teller accountant admin",
  redeliverWebhookEvents: "admin",
  refresh: everybody,
  register: everybody,
  rejectMatch: "accountant admin",
  rejectPayment: "accountant admin",
  rejectProposal: "accountant admin",
  removeAccountFromSet: "accountant admin",
  removeHoliday: "accountant admin",
  removeRoutingRule: "admin",
  removeSetFromSet: "accountant admin",
  renewRecoveryCodes: signedIn,
  requestPasswordReset: everybody,
  rerunDeadLetter: "accountant admin",
  resetCircuitBreaker: "accountant admin",
  resetNotificationTemplate: "admin",
  resetPassword: everybody,
  resumeSchedule: "teller accountant admin",
  resumeSubscription: "teller accountant admin",
  resumeTenant: "operator",
  revealCustomerDetail: "customer",
  revealKycEvidence: "customer",
  reverseTransaction: "accountant admin",
  revokeApiKey: "admin",
  revokeInvitation: "admin",
  revokeMemberSessions: "admin",
  revokeOtherSessions: signedIn,
  revokePermission: "admin",
  revokeSession: signedIn,
  rotateApiKey: "admin",
  rotateWebhookSecret: "admin",
  schedulePayment: "teller accountant admin",
  sendTestEvent: "admin",
  setAccountLimits: "accountant admin",
  setCustomerDetails: "customer teller admin",
  setExchangeRate: "accountant admin",
  setFeeSchedule: "accountant admin",
  setKycLevelLimit: "admin",
  setMatchingRule: "accountant admin",
  setMerchant: "accountant admin",
  setNotificationPreference: members,
  setNotificationProfile: members,
  setNotificationRule: "admin",
  setNotificationSettings: "admin",
  setNotificationTemplate: "admin",
  setPaymentErrorPolicy: "admin",
  setPaymentProvider: "admin",
  setPaymentProviderAccount: "admin",
  setPaymentProviderSecret: "admin",
  setRoutingRule: "admin",
  setSettlementSettings: "admin",
  setSplitRule: "accountant admin",
  setTransactionThreshold: "admin",
  setVatRate: "accountant admin",
  skipOccurrence: "teller accountant admin",
  startKycReview: "customer teller admin",
  submitKycEvidence: "customer teller admin",
  subscribe: "teller accountant admin",
  suspendTenant: "operator",
  tripCircuitBreaker: "accountant admin",
  unfreezeAccount: "accountant admin",
  updateAccount: "accountant admin",
  updateCounterparty: "teller accountant admin",
  updateTenantSettings: "admin",
  updateWebhookEndpoint: "admin",
  voidPendingTransaction: "teller accountant admin",
  withdrawProposal: "teller accountant admin",
};

const api = await bootApi();
// A thousand calls: a connection for each would take longer than the calls.
const owner = api.db.pool("owner", { max: 1 });
const superuser = api.db.pool("superuser", { max: 1 });
const schema = buildClientSchema(await api.get(getIntrospectionQuery()));
const mutations = (schema.getMutationType() as GraphQLObjectType).getFields();
const everyone = [...roles, "anonymous"] as const;

/** What comes of a mutation for a role: "refused", or "called" whatever else it answers to the least input. */
async function call(name: string, role: (typeof everyone)[number], tenant = api.books.tenant): Promise<string> {
  const of = { tenantId: role === "operator" ? null : tenant, role, userId: staff };
  let authorization = "";
  if (role !== "anonymous") {
    const sessionId = await ensureSession(owner, of);
    // An earlier call may have ended it.
    await owner.query("update app_private.sessions set revoked_at = null, revoked_because = null where id = $1", [
      sessionId,
    ]);
    authorization = `Bearer ${signToken({ ...of, role, keys: secretKeys(secret), sessionId, expiresInSeconds: 60 })}`;
  }
  const [input] = mutations[name]?.args ?? [];
  if (!input) throw new Error(`${name} takes no input.`);
  const query = `mutation ($input: ${input.type}) { ${name}(input: $input) { __typename } }`;
  const { errors, text } = await api.ask(query, { input: leastValue(schema, input.type) }, { role, authorization });
  if (errors.some(({ extensions }) => /^(GRAPHQL|BAD)_/.test(extensions.code))) throw new Error(text);
  const code = errors[0]?.extensions.code;
  // Whoever belongs to no tenant may be told so instead.
  const belongsToNone = role === "anonymous" || role === "operator";
  if (code === "LG402" || (code === "LG401" && belongsToNone)) return "refused";
  return code === "LG401" ? code : "called";
}

/** What is looked at before it is asked who may. */
const fitting: Record<string, unknown> = { email: "somebody@example.com", name: "Somebody" };

/** The smallest value that a type takes. */
function leastValue(of: GraphQLSchema, type: GraphQLInputType): unknown {
  if (!isNonNullType(type)) return null;
  if (isListType(type.ofType)) return [];
  const named = getNamedType(type);
  if (isEnumType(named)) return named.getValues()[0]?.name;
  if (isInputObjectType(named)) {
    const fields = Object.values(named.getFields()).filter(
      (field) => isNonNullType(field.type) && field.defaultValue === undefined,
    );
    return Object.fromEntries(fields.map((field) => [field.name, fitting[field.name] ?? leastValue(of, field.type)]));
  }
  const values: Record<string, unknown> = {
    UUID: randomUUID(),
    Int: 1,
    Boolean: true,
    Date: "2026-01-01",
    Datetime: "2026-01-01T00:00:00Z",
    JSON: {},
  };
  return values[named.name] ?? "1";
}

test("every mutation has its line in the table of this file, and every line its mutation", () => {
  expect(Object.keys(callers).sort()).toEqual(Object.keys(mutations).sort());
});

describe.each(Object.entries(callers))("%s", (name, allowed) => {
  test("is called by these roles alone", async () => {
    const answers: Record<string, string> = {};
    for (const role of everyone) answers[role] = await call(name, role);
    const expected = everyone.map((role) => [role, allowed.split(" ").includes(role) ? "called" : "refused"]);
    expect(answers).toEqual(Object.fromEntries(expected));
  });
});

describe("where a tenant has taken every permission away", () => {
  // What people do for themselves is not the tenant's to take, nor what operators do, nor from admins what gives
  // permissions.
  const others = Object.entries(callers).filter(
    ([name, allowed]) =>
      ![everybody, signedIn, members, "operator"].includes(allowed) && !/^(grant|revoke)Permission$/.test(name),
  );
  test.each(others)("%s is refused to all", async (name, allowed) => {
    const tenant = api.otherBooks.tenant;
    await superuser.query(
      "delete from app_public.role_permissions where tenant_id = $1 and permission <> 'permissions.manage'",
      [tenant],
    );
    for (const role of everyone.filter((one) => allowed.split(" ").includes(one)))
      expect([role, await call(name, role, tenant)]).toEqual([role, "refused"]);
  });
});
