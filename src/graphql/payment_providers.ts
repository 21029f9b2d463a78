import "./graphile.ts";
import { type PgClient, type PgResource, sideEffectWithPgClient } from "postgraphile/@dataplan/pg";
import { context, get, object, type Step } from "postgraphile/grafast";
import { extendSchema, gql } from "postgraphile/utils";
import { authorizeSecret, brokenRule, type NewSecret, setProviderSecret } from "../providers/payments/secrets.ts";
import { type RequestFacts, refusalError, requestFacts, requireUser } from "./request_facts.ts";

/**
 * Secrets of payment providers: encrypted here, before the database sees them, and never shown again. Whether they
 * may be set is decided by the function in SQL that this calls.
 */
export const PaymentProvidersPlugin = extendSchema((build) => {
  const providers = build.input.pgRegistry.pgResources["payment_providers"] as PgResource | undefined;
  const executor = providers?.executor;
  if (!providers || !executor) throw new Error("The table payment_providers is not exposed.");
  return {
    typeDefs: gql`
      extend type Mutation {
        """
        Gives a payment provider a secret. It is encrypted, and nobody reads it again. A new API key takes the place
        of the old one at once; of webhooks the secret before it still counts for a while. See
        docs/how-to/connect-a-provider.md.
        """
        setPaymentProviderSecret(
          """
          Which secret.
          """
          input: SetPaymentProviderSecretInput!
        ): SetPaymentProviderSecretPayload
      }

      """
      A secret of a payment provider.
      """
      input SetPaymentProviderSecretInput {
        """
        The short name of the provider.
        """
        providerCode: String!
        """
        What the secret is for.
        """
        kind: PaymentProviderSecretKind!
        """
        The secret, 8 to 500 printable characters.
        """
        value: String!
        """
        For webhooks: for how many seconds the present secret still counts, 0 to 604800 (seven days); 86400 (a day)
        if left out.
        """
        overlapSeconds: Int
      }

      """
      What a secret of a payment provider is for.
      """
      enum PaymentProviderSecretKind {
        """
        Our requests show it.
        """
        API_KEY
        """
        The messages of the provider are signed with it.
        """
        WEBHOOK
      }

      """
      A payment provider has a new secret.
      """
      type SetPaymentProviderSecretPayload {
        """
        The provider.
        """
        paymentProvider: PaymentProvider
      }
    `,
    enums: {
      PaymentProviderSecretKind: { values: { API_KEY: { value: "api_key" }, WEBHOOK: { value: "webhook" } } },
    },
    objects: {
      Mutation: {
        plans: {
          setPaymentProviderSecret: (_$root, fieldArgs) => {
            const $input = fieldArgs.getRaw("input") as Step<NewSecret>;
            const $request = object({ facts: requestFacts(), input: $input }) as unknown as Step<SecretRequest>;
            return sideEffectWithPgClient(executor, $request, (client, request) =>
              setSecret(client as PgClient, request),
            );
          },
        },
      },
      SetPaymentProviderSecretPayload: {
        plans: {
          paymentProvider: ($made: Step) =>
            providers.get({ tenant_id: context().get("tenantId"), code: get($made, "code") as Step }),
        },
      },
    },
  };
}, "PaymentProvidersPlugin");

interface SecretRequest {
  facts: RequestFacts;
  input: NewSecret;
}

async function setSecret(client: PgClient, { facts, input }: SecretRequest): Promise<{ code: string }> {
  const { tenantId } = requireUser(facts);
  const rule = brokenRule(input, await authorizeSecret(client, input.providerCode));
  if (rule !== undefined) {
    throw refusalError("LG682", "The secret does not have the form of its kind.", { field: "value", rule });
  }
  return setProviderSecret(client, { keys: facts.fieldKeys, tenantId }, input);
}
