import * as account from "./account.ts";
import type { Caller } from "./caller.ts";
import * as registration from "./register.ts";
import * as signIn from "./sign_in.ts";
import type { IdentityTools } from "./tools.ts";

const operations = {
  register: registration.register,
  confirmRegistration: registration.confirmRegistration,
  acceptInvitation: registration.acceptInvitation,
  login: signIn.login,
  refresh: signIn.refresh,
  logout: signIn.logout,
  changePassword: account.changePassword,
  requestPasswordReset: account.requestPasswordReset,
  resetPassword: account.resetPassword,
  enrolSecondFactor: account.enrolSecondFactor,
  activateSecondFactor: account.activateSecondFactor,
  confirmSecondFactor: account.confirmSecondFactor,
  disableSecondFactor: account.disableSecondFactor,
  renewRecoveryCodes: account.renewRecoveryCodes,
};

/** The names of the operations, which are those of the mutations. */
export const identityOperations = Object.keys(operations);

type Operations = typeof operations;
type Bound<F> = F extends (tools: IdentityTools, caller: Caller, input: infer I) => infer R
  ? (caller: Caller, input: I) => R
  : never;

/** Accounts and sessions: what GraphQL and the REST routes both call. */
export type Identity = { [K in keyof Operations]: Bound<Operations[K]> };

/** The operations, with their tools in hand. */
export function makeIdentity(tools: IdentityTools): Identity {
  const bound = Object.entries(operations).map(([name, operation]) => [
    name,
    (caller: Caller, input: never) => (operation as (...args: unknown[]) => unknown)(tools, caller, input),
  ]);
  return Object.fromEntries(bound) as Identity;
}
