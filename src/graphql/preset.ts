import "./graphile.ts";
import { PersistedPlugin } from "@grafserv/persisted";
import { PgAggregatesPreset } from "@graphile/pg-aggregates";
import { PgSimplifyInflectionPreset } from "@graphile/simplify-inflection";
import type pg from "pg";
import type { Logger } from "pino";
import type { GraphQLError } from "postgraphile/graphql";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { PostGraphileConnectionFilterPreset } from "postgraphile-plugin-connection-filter";
import { AggregatesPlugin } from "./aggregates.ts";
import { ApiKeysPlugin } from "./api_keys.ts";
import { checkDocuments } from "./check_documents.ts";
import { CounterpartiesPlugin } from "./counterparties.ts";
import { CustomerDetailsPlugin } from "./customer_details.ts";
import { DescriptionsPlugin } from "./descriptions.ts";
import { defaultBehavior, ExposurePlugin } from "./exposure.ts";
import { IdentityPlugin } from "./identity.ts";
import { TallystickInflectionPlugin } from "./inflection.ts";
import { InvitationsPlugin } from "./invitations.ts";
import { KycEvidencePlugin } from "./kyc_evidence.ts";
import { makeMaskError } from "./mask_error.ts";
import { TenantFreeNodeIdsPlugin } from "./node_ids.ts";
import { NotificationsPlugin } from "./notifications.ts";
import type { OperationRules } from "./operations.ts";
import { PagesPlugin } from "./pages.ts";
import { PaymentProvidersPlugin } from "./payment_providers.ts";
import { makePipelinedService } from "./pipelined_client.ts";
import { PostTogetherPlugin } from "./post_together.ts";
import { ReceiptsPlugin } from "./receipts.ts";
import type { RefusalCatalog } from "./refusals.ts";
import { type ReportRefusalsOptions, reportRefusals } from "./report_refusals.ts";
import { ResultRelationsPlugin } from "./results.ts";
import { StrictNumbersPlugin } from "./scalars.ts";
import { SchedulesPlugin } from "./schedules.ts";
import { StatementsPlugin } from "./statements.ts";
import { SubscriptionsPlugin } from "./subscriptions.ts";
import { WebhooksPlugin } from "./webhooks.ts";

export interface PresetOptions {
  /** Made with `pipeline: true`. */
  pool: pg.Pool;
  /** One connection, for LISTEN. */
  subscriberPool: pg.Pool;
  refusals: RefusalCatalog;
  log: Logger;
  environment: "development" | "test" | "production";
  operationRules: OperationRules;
  maxCost: number;
  /** What a request is to the database. */
  makeContext: (requestContext: Partial<Grafast.RequestContext>) => object;
  /** Told the code of every error that a client is answered with. */
  onError: (code: string) => void;
  /** Told what requests were refused. */
  report: ReportRefusalsOptions["report"];
}

/** Bytes of a request. A batch of 1,000 transactions of two postings has some 400 kB. */
export const maxBodyBytes = 2_000_000;

/** What is the same for the server and for tools: what the schema looks like. */
export const schemaPreset: GraphileConfig.Preset = {
  extends: [
    PostGraphileAmberPreset,
    PgSimplifyInflectionPreset,
    PgAggregatesPreset,
    PostGraphileConnectionFilterPreset,
  ],
  plugins: [
    TallystickInflectionPlugin,
    ExposurePlugin,
    StrictNumbersPlugin,
    PagesPlugin,
    TenantFreeNodeIdsPlugin,
    ResultRelationsPlugin,
    PostTogetherPlugin,
    InvitationsPlugin,
    IdentityPlugin,
    ApiKeysPlugin,
    AggregatesPlugin,
    SubscriptionsPlugin,
    CounterpartiesPlugin,
    CustomerDetailsPlugin,
    KycEvidencePlugin,
    SchedulesPlugin,
    StatementsPlugin,
    NotificationsPlugin,
    PaymentProvidersPlugin,
    ReceiptsPlugin,
    WebhooksPlugin,
    DescriptionsPlugin,
  ],
  disablePlugins: [
    // What has an index is decided column by column, in comments: every index here begins with the tenant.
    "PgIndexBehaviorsPlugin",
    // `filter` does what `condition` does.
    "PgConditionArgumentPlugin",
    "PgConditionCustomFieldsPlugin",
    // Whatever its options say, version 4 of the filter plugin adds filters across relations.
    "PgConnectionArgFilterBackwardRelationsPlugin",
    "PgConnectionArgFilterForwardRelationsPlugin",
    "PgConnectionArgFilterComputedAttributesPlugin",
    "PgConnectionArgFilterRecordFunctionsPlugin",
    "PgConnectionArgFilterLogicalOperatorsPlugin",
    // Edges are for lists that a client keeps; `accountEdge` in a payload says no more than `account`.
    "PgMutationPayloadEdgePlugin",
    // Everything has a natural key of its own here; nodes are looked up by `node` alone.
    "PgNodeIdAttributesPlugin",
  ],
  gather: { pgStrictFunctions: true },
  schema: {
    dontSwallowErrors: true,
    defaultBehavior,
    connectionFilterArrays: false,
    connectionFilterComputedColumns: false,
    connectionFilterSetofFunctions: false,
    connectionFilterLogicalOperators: false,
    connectionFilterAllowedOperators: [
      "isNull",
      "equalTo",
      "notEqualTo",
      "in",
      "lessThan",
      "lessThanOrEqualTo",
      "greaterThan",
      "greaterThanOrEqualTo",
      "startsWith",
    ],
  },
};

/** The preset of the server. */
export function makePreset(options: PresetOptions): GraphileConfig.Preset {
  const { pool, subscriberPool, refusals, log, environment, operationRules, maxCost, makeContext, onError } = options;
  const { operations, allowAny } = operationRules;
  const isProduction = environment === "production";
  const mask = makeMaskError({ refusals, log, isProduction });
  const maskError = (error: GraphQLError): GraphQLError => {
    const masked = mask(error);
    onError(String(masked.extensions["code"]));
    return masked;
  };
  return {
    extends: [schemaPreset],
    plugins: [
      checkDocuments({ maskError, allowIntrospection: !isProduction, maxCost }),
      reportRefusals({ refusals, log, report: options.report }),
      ...(operations ? [PersistedPlugin] : []),
    ],
    pgServices: [makePipelinedService({ pool, subscriberPool, schemas: ["app_public"] })],
    grafast: {
      context: (requestContext) => makeContext(requestContext) as Partial<Grafast.Context>,
      timeouts: { planning: 2_000, execution: 70_000 },
      explain: false,
    },
    grafserv: {
      graphqlPath: "/graphql",
      graphiqlPath: "/",
      graphiql: environment === "development",
      graphqlOverGET: false,
      graphiqlOnGraphQLGET: false,
      // src/http/web_sockets.ts serves them: it closes a socket when its token expires.
      websockets: false,
      watch: false,
      maxRequestLength: maxBodyBytes,
      maskError,
      // src/http refuses what is not registered, with an error of ours; this would, should anything come past it.
      ...(operations
        ? {
            persistedOperationsGetter: (hash: string) => operations.get(hash) ?? "",
            allowUnpersistedOperation: allowAny,
          }
        : {}),
    },
  };
}
