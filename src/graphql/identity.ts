import "./graphile.ts";
import { context, type Step, sideEffect } from "postgraphile/grafast";
import { GraphQLError } from "postgraphile/graphql";
import { extendSchema } from "postgraphile/utils";
import type { Caller } from "../identity/caller.ts";
import type { Identity } from "../identity/identity.ts";
import { RefusedError } from "../identity/refused.ts";
import { identityTypes } from "./identity_types.ts";

declare global {
  namespace Grafast {
    interface Context {
      /** Accounts and sessions. */
      identity: Identity;
      caller: Caller;
    }
  }
}

/**
 * Registering, signing in, and what people do with their own account. These need what the database must not
 * do (hashing passwords, keys), so they run in Node.js, and call functions as a role of their own.
 */
export const IdentityPlugin = extendSchema(
  () => ({
    typeDefs: identityTypes,
    objects: {
      Mutation: {
        plans: {
          register: mutation(async (identity, caller, input) => {
            const result = await identity.register(caller, input as never);
            return { ...result, isConfirmationSent: result.signedIn === null && result.choices === null };
          }),
          confirmRegistration: mutation((identity, caller, input) =>
            identity.confirmRegistration(caller, input as never),
          ),
          acceptInvitation: mutation(async (identity, caller, input) => ({
            accepted: await identity.acceptInvitation(caller, input as never),
          })),
          login: mutation((identity, caller, input) => identity.login(caller, input as never)),
          refresh: mutation(async (identity, caller, input) => ({
            signedIn: await identity.refresh(caller, input as never),
          })),
          logout: done((identity, caller, input) => identity.logout(caller, input as never)),
          changePassword: done((identity, caller, input) => identity.changePassword(caller, input as never)),
          requestPasswordReset: done((identity, caller, input) =>
            identity.requestPasswordReset(caller, input as never),
          ),
          resetPassword: done((identity, caller, input) => identity.resetPassword(caller, input as never)),
          enrolSecondFactor: mutation((identity, caller, input) => identity.enrolSecondFactor(caller, input as never)),
          activateSecondFactor: mutation((identity, caller, input) =>
            identity.activateSecondFactor(caller, input as never),
          ),
          confirmSecondFactor: mutation((identity, caller, input) =>
            identity.confirmSecondFactor(caller, input as never),
          ),
          disableSecondFactor: done((identity, caller, input) => identity.disableSecondFactor(caller, input as never)),
          renewRecoveryCodes: mutation((identity, caller, input) =>
            identity.renewRecoveryCodes(caller, input as never),
          ),
        },
      },
    },
  }),
  "IdentityPlugin",
);

type Operation<Result> = (identity: Identity, caller: Caller, input: object) => Promise<Result>;

/** A mutation whose payload is what the operation answers with. The schema has checked the input. */
function mutation<Result extends object>(operation: Operation<Result>) {
  return (_$root: Step, fieldArgs: { getRaw(name: string): Step }): Step => {
    const $context = context();
    return sideEffect(
      [$context.get("identity"), $context.get("caller"), fieldArgs.getRaw("input")] as const,
      async ([identity, caller, input]) => {
        try {
          return plain(await operation(identity as Identity, caller as Caller, (input ?? {}) as object));
        } catch (error) {
          throw error instanceof RefusedError ? asGraphQLError(error) : error;
        }
      },
    );
  };
}

/** The same for an operation that answers with nothing: that it did not fail is all there is to say. */
function done(operation: Operation<void>) {
  return mutation(async (identity, caller, input) => {
    await operation(identity, caller, input);
    return { isDone: true };
  });
}

/** The words are added by maskError. */
function asGraphQLError({ code, detail, message }: RefusedError): GraphQLError {
  return new GraphQLError(message, { extensions: { code, detail } });
}

/** Dates as the scalar Datetime shows them. */
function plain<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}
