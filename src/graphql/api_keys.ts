import "./graphile.ts";
import { type PgClient, type PgResource, sideEffectWithPgClient, TYPES } from "postgraphile/@dataplan/pg";
import { get, object, type Step } from "postgraphile/grafast";
import { extendSchema, gql } from "postgraphile/utils";
import { type ApiKeyOwner, createApiKey, type NewApiKey, type Rotation, rotateApiKey } from "../api_keys/manage.ts";
import { type RequestFacts, requestFacts, requireUser } from "./request_facts.ts";

/**
 * What makes a secret: it is made up and encrypted here, before the database sees it, and answered this once.
 * Whether that may be is decided by the functions in SQL that this calls.
 */
export const ApiKeysPlugin = extendSchema((build) => {
  const apiKey = build.input.pgRegistry.pgResources["api_key"] as PgResource | undefined;
  const executor = apiKey?.executor;
  if (!apiKey || !executor) throw new Error("The function api_key is not exposed.");
  const payload = {
    plans: {
      apiKey: ($made: Step) => apiKey.execute([{ step: get($made, "id") as Step, pgCodec: TYPES.uuid }]),
    },
  };
  return {
    typeDefs: gql`
      extend type Mutation {
        """
        Creates an API key for a partner, and answers with its secret: it is shown this once. See
        docs/how-to/partner-api-keys.md for how requests are signed with it.
        """
        createApiKey(
          """
          What the key is to be.
          """
          input: CreateApiKeyInput!
        ): CreateApiKeyPayload

        """
        Gives an API key a new secret, and answers with it: it is shown this once. The secret before it counts for
        a while longer; one before that no longer does.
        """
        rotateApiKey(
          """
          Which key, and how.
          """
          input: RotateApiKeyInput!
        ): RotateApiKeyPayload
      }

      """
      What an API key is to be.
      """
      input CreateApiKeyInput {
        """
        The name for people, 1 to 200 characters.
        """
        name: String!
        """
        The permissions that the key has, as far as partners of the tenant have them: one or more of those that
        \`grantablePermissions\` lists for partners. \`ledger.read\` is to read.
        """
        scopes: [String!]!
        """
        When the key ends by itself: within the next 366 days.
        """
        expiresAt: Datetime!
        """
        The addresses and networks that requests may come from, such as \`192.0.2.1\` and \`2001:db8::/32\`, 100 at
        most; from anywhere if left out.
        """
        allowedAddresses: [String!]
        """
        The id of the account set whose accounts the key sees and posts on, with those of the sets in it; only the
        accounts that its user owns if left out.
        """
        accountSetId: UUID
        """
        The id of the service user of another key, that this one shall act as; a new one if left out.
        """
        userId: UUID
      }

      """
      An API key was created.
      """
      type CreateApiKeyPayload {
        """
        The key.
        """
        apiKey: ApiKey
        """
        What requests are signed with. It cannot be asked for again.
        """
        secret: String!
      }

      """
      Which API key gets a new secret.
      """
      input RotateApiKeyInput {
        """
        The id of the key.
        """
        id: UUID!
        """
        For how many seconds the present secret still counts, 0 to 604800 (seven days); 86400 (a day) if left out.
        """
        overlapSeconds: Int
        """
        When the key ends by itself from now on: within the next 366 days; as before if left out.
        """
        expiresAt: Datetime
      }

      """
      An API key has a new secret.
      """
      type RotateApiKeyPayload {
        """
        The key.
        """
        apiKey: ApiKey
        """
        What requests are signed with from now on. It cannot be asked for again.
        """
        secret: String!
      }
    `,
    objects: {
      Mutation: {
        plans: {
          createApiKey: (_$root, fieldArgs) =>
            sideEffectWithPgClient(executor, requestOf<NewApiKey>(fieldArgs.getRaw("input")), (client, request) =>
              createApiKey(client as PgClient, ownerOf(request), request.input),
            ),
          rotateApiKey: (_$root, fieldArgs) =>
            sideEffectWithPgClient(executor, requestOf<Rotation>(fieldArgs.getRaw("input")), (client, request) =>
              rotateApiKey(client as PgClient, ownerOf(request), request.input),
            ),
        },
      },
      CreateApiKeyPayload: payload,
      RotateApiKeyPayload: payload,
    },
  };
}, "ApiKeysPlugin");

interface KeyRequest<Input> {
  facts: RequestFacts;
  input: Input;
}

function requestOf<Input>($input: Step): Step<KeyRequest<Input>> {
  return object({ facts: requestFacts(), input: $input }) as unknown as Step<KeyRequest<Input>>;
}

function ownerOf({ facts }: KeyRequest<unknown>): ApiKeyOwner {
  return { keys: facts.fieldKeys, tenantId: requireUser(facts).tenantId };
}
