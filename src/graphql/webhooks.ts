import "./graphile.ts";
import { type PgClient, type PgResource, sideEffectWithPgClient } from "postgraphile/@dataplan/pg";
import { context, get, lambda, object, type Step } from "postgraphile/grafast";
import { extendSchema, gql } from "postgraphile/utils";
import { checkTarget, OutboundError } from "../http/outbound.ts";
import {
  createEndpoint,
  type EndpointChange,
  type EndpointOwner,
  type EndpointRotation,
  type NewEndpoint,
  rotateSecret,
  updateEndpoint,
} from "../webhooks/manage.ts";
import { type RequestFacts, refusalError, requestFacts, requireUser } from "./request_facts.ts";

/**
 * What makes a secret of an endpoint or sets its URL: the secret is made up and encrypted here, and where the URL
 * leads is looked up here, before the database is asked. Whether it may be is decided by the functions in SQL
 * that this calls.
 */
export const WebhooksPlugin = extendSchema((build) => {
  const endpoints = build.input.pgRegistry.pgResources["webhook_endpoints"] as PgResource | undefined;
  const executor = endpoints?.executor;
  if (!endpoints || !executor) throw new Error("The table webhook_endpoints is not exposed.");
  const payload = {
    plans: {
      webhookEndpoint: ($made: Step) =>
        endpoints.get({ tenant_id: context().get("tenantId"), id: get($made, "id") as Step }),
    },
  };
  return {
    typeDefs: gql`
      extend type Mutation {
        """
        Makes an endpoint of webhooks, which is told of what happens from now on, and answers with the secret that
        requests are signed with: it is shown this once. See docs/how-to/receive-webhooks.md.
        """
        createWebhookEndpoint(
          """
          What the endpoint is to be.
          """
          input: CreateWebhookEndpointInput!
        ): CreateWebhookEndpointPayload

        """
        Changes an endpoint of webhooks. What is left out stays as it is.
        """
        updateWebhookEndpoint(
          """
          Which endpoint, and what is to change.
          """
          input: UpdateWebhookEndpointInput!
        ): UpdateWebhookEndpointPayload

        """
        Gives an endpoint of webhooks a new secret, and answers with it: it is shown this once. For a while requests
        bear a signature of the secret before it too.
        """
        rotateWebhookSecret(
          """
          Which endpoint, and how.
          """
          input: RotateWebhookSecretInput!
        ): RotateWebhookSecretPayload
      }

      """
      What an endpoint of webhooks is to be.
      """
      input CreateWebhookEndpointInput {
        """
        Where requests go: a URL that begins with https and leads to a public address.
        """
        url: String!
        """
        What it is told of, 1 to 100 of them: kinds of \`eventKinds\`, all kinds about something such as
        \`payment.*\`, or \`*\` for everything.
        """
        eventKinds: [String!]!
        """
        What it is for, in words: 1 to 1000 characters.
        """
        description: String
      }

      """
      An endpoint of webhooks was made.
      """
      type CreateWebhookEndpointPayload {
        """
        The endpoint.
        """
        webhookEndpoint: WebhookEndpoint
        """
        What requests are signed with. It cannot be asked for again.
        """
        secret: String!
      }

      """
      Which endpoint of webhooks changes, and how.
      """
      input UpdateWebhookEndpointInput {
        """
        The id of the endpoint.
        """
        id: UUID!
        """
        Where requests go, also those for what waits already.
        """
        url: String
        """
        What it is told of from where it stands on.
        """
        eventKinds: [String!]
        """
        What it is for, in words: 1 to 1000 characters.
        """
        description: String
      }

      """
      An endpoint of webhooks was changed.
      """
      type UpdateWebhookEndpointPayload {
        """
        The endpoint.
        """
        webhookEndpoint: WebhookEndpoint
      }

      """
      Which endpoint of webhooks gets a new secret.
      """
      input RotateWebhookSecretInput {
        """
        The id of the endpoint.
        """
        id: UUID!
        """
        For how many seconds requests are signed with the old secret too, 0 to 604800 (seven days); 86400 (a day)
        if left out.
        """
        overlapSeconds: Int
      }

      """
      An endpoint of webhooks has a new secret.
      """
      type RotateWebhookSecretPayload {
        """
        The endpoint.
        """
        webhookEndpoint: WebhookEndpoint
        """
        What requests are signed with from now on. It cannot be asked for again.
        """
        secret: String!
      }
    `,
    objects: {
      Mutation: {
        plans: {
          createWebhookEndpoint: (_$root, fieldArgs) =>
            sideEffectWithPgClient(executor, requestOf<NewEndpoint>(fieldArgs.getRaw("input")), (client, request) =>
              createEndpoint(client as PgClient, ownerOf(request), request.input),
            ),
          updateWebhookEndpoint: (_$root, fieldArgs) =>
            sideEffectWithPgClient(executor, requestOf<EndpointChange>(fieldArgs.getRaw("input")), (client, request) =>
              updateEndpoint(client as PgClient, request.input),
            ),
          rotateWebhookSecret: (_$root, fieldArgs) =>
            sideEffectWithPgClient(
              executor,
              requestOf<EndpointRotation>(fieldArgs.getRaw("input")),
              (client, request) => rotateSecret(client as PgClient, ownerOf(request), request.input),
            ),
        },
      },
      CreateWebhookEndpointPayload: payload,
      UpdateWebhookEndpointPayload: payload,
      RotateWebhookSecretPayload: payload,
    },
  };
}, "WebhooksPlugin");

interface EndpointRequest<Input> {
  facts: RequestFacts;
  input: Input;
}

/** The request, once its URL is checked: no connection to the database waits for that. */
function requestOf<Input>($input: Step): Step<EndpointRequest<Input>> {
  const $checked = lambda(object({ input: $input, context: context() as unknown as Step<UrlContext> }), checkedInput);
  return object({ facts: requestFacts(), input: $checked }) as unknown as Step<EndpointRequest<Input>>;
}

type UrlContext = Pick<Grafast.Context, "outbound" | "pgSettings" | "withPgClient">;

/** Looks up where the URL leads, for those who may know. */
async function checkedInput({ input, context }: { input: unknown; context: UrlContext }): Promise<unknown> {
  const { url } = input as { url?: string | null };
  if (url === undefined || url === null) return input;
  await context.withPgClient(context.pgSettings ?? null, (client) =>
    client.query({ text: "select app_hidden.authorize_webhooks()", values: [] }),
  );
  try {
    await checkTarget(url, context.outbound);
  } catch (error) {
    if (!(error instanceof OutboundError)) throw error;
    throw refusalError("LG720", "Events are not sent to this URL.", { reason: error.reason, rule: error.message });
  }
  return input;
}

function ownerOf({ facts }: EndpointRequest<unknown>): EndpointOwner {
  return { keys: facts.fieldKeys, tenantId: requireUser(facts).tenantId };
}
