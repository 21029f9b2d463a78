import "./graphile.ts";
import { context, object, SafeError, type Step } from "postgraphile/grafast";
import { GraphQLError } from "postgraphile/graphql";
import type { KeyProvider } from "../crypto/keys.ts";

declare global {
  namespace Grafast {
    interface Context {
      /** The user of the token. */
      userId: string | null;
      /** The keys of encrypted fields. */
      fieldKeys: KeyProvider;
    }
  }
}

/** What a resolver that encrypts or decrypts needs of a request. */
export interface RequestFacts {
  tenantId: number | null;
  userId: string | null;
  fieldKeys: KeyProvider;
}

/** A step with the facts of the request. */
export function requestFacts(): Step<RequestFacts> {
  return object({
    tenantId: context().get("tenantId"),
    userId: context().get("userId"),
    fieldKeys: context().get("fieldKeys"),
  }) as Step<RequestFacts>;
}

/** The tenant and user of a request; a refusal for one that has none. */
export function requireUser({ tenantId, userId }: RequestFacts): { tenantId: number; userId: string } {
  if (tenantId === null || userId === null) {
    throw new SafeError("There is no session, or it has ended.", { code: "LG401" });
  }
  return { tenantId, userId };
}

/** A refusal that is found before the database is asked. The words are those of app_public.refusals. */
export function refusalError(code: string, message: string, detail: Record<string, unknown>): GraphQLError {
  return new GraphQLError(message, { extensions: { code, detail } });
}

/** As much of PostGraphile's client as is used here. */
export interface PgQueries {
  query<Row>(query: { text: string; values: unknown[] }): Promise<{ rows: readonly Row[] }>;
}
