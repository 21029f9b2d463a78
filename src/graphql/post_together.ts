import "./graphile.ts";
import type { PgCodec, PgResource, WithPgClient } from "postgraphile/@dataplan/pg";
import {
  access,
  bakedInput,
  constant,
  context,
  each,
  list,
  ObjectStep,
  object,
  type Step,
  sideEffect,
} from "postgraphile/grafast";
import { GraphQLError, type GraphQLInputType } from "postgraphile/graphql";
import { type Posted, type PostedRow, PostingRefusedError, postedColumns, postedOf } from "../posting/post_together.ts";
import { QueueFullError } from "../posting/queue.ts";
import type { RequestContext } from "./request_context.ts";

/**
 * Lets `postTransaction` of many requests be one batch in the database. What a request is answered stays the same;
 * the balances are at hand then, without a query of their own.
 */
export const PostTogetherPlugin: GraphileConfig.Plugin = {
  name: "PostTogetherPlugin",
  version: "1.0.0",
  schema: {
    hooks: {
      // A result that was posted together is no row that a query selects.
      GraphQLObjectType: (config) =>
        config.name === "TransactionResult" || config.name === "ResultingBalance"
          ? { ...config, assertStep: null as never }
          : config,
      GraphQLObjectType_fields_field(field, build, { Self, scope: { fieldName } }) {
        const plan = plansOf(build)[`${Self.name}.${fieldName}`]?.(field.plan as Plan | undefined);
        if (!plan) return field;
        // The argument has nothing to apply itself to: there is no query of this field.
        const args = Object.entries(field.args ?? {}).map(([name, arg]) => [name, { ...arg, applyPlan: undefined }]);
        return { ...field, args: Object.fromEntries(args), plan } as unknown as typeof field;
      },
    },
  },
};

type Plan = (parent: Step, args: { getRaw(path: string | string[]): Step }, info: never) => Step;

/** The plans of fields that differ, by type and field. Each is given the plan that it takes the place of. */
function plansOf(build: GraphileBuild.Build): Record<string, ((before: Plan | undefined) => Plan) | undefined> {
  const { pgCodecs, pgResources } = build.input.pgRegistry;
  const formatted =
    (name: string) =>
    (before: Plan | undefined): Plan => {
      const resource = pgResources[`resulting_balance_${name}_formatted`] as PgResource | undefined;
      return ($balance, args, info) =>
        $balance instanceof ObjectStep && resource
          ? (resource.execute([
              { step: $balance.get("row"), pgCodec: pgCodecs["resultingBalance"] as PgCodec },
            ]) as Step)
          : (before as Plan)($balance, args, info);
    };
  return {
    "Mutation.postTransaction": () => planPosting(build),
    "PostTransactionPayload.clientMutationId": () => ($payload) => get($payload, "clientMutationId"),
    "TransactionResult.balances": (before) => ($result, args, info) =>
      $result instanceof ObjectStep
        ? each($result.get("balances"), ($row) => object({ row: $row, ...columnsOf($row, balanceColumns) }))
        : (before as Plan)($result, args, info),
    // What is refused is answered with an error.
    "TransactionResult.refusal": (before) => ($result, args, info) =>
      $result instanceof ObjectStep ? constant(null) : (before as Plan)($result, args, info),
    "ResultingBalance.postedFormatted": formatted("posted"),
    "ResultingBalance.pendingFormatted": formatted("pending"),
    "ResultingBalance.availableFormatted": formatted("available"),
  };
}

const balanceColumns = ["account_id", "currency", "version", "posted", "pending", "available"];

function columnsOf($row: Step, names: string[]): Record<string, Step> {
  return Object.fromEntries(names.map((name) => [name, access($row, name)]));
}

function get($object: Step, key: string): Step {
  return ($object as ObjectStep<Record<string, Step>>).get(key);
}

function planPosting(build: GraphileBuild.Build): Plan {
  const { pgCodecs, pgResources } = build.input.pgRegistry;
  const codec = pgCodecs["transactionInput"];
  const executor = pgResources["accounts"]?.executor;
  const inputType = build.getTypeByName("TransactionInput") as GraphQLInputType;
  if (!codec || !executor || !inputType) throw new Error("There is no TransactionInput, or no table of accounts.");
  return (_root, args) => {
    const $transaction = bakedInput(inputType, args.getRaw(["input", "transaction"]));
    const $posted = sideEffect(
      list([context(), executor.context(), $transaction]),
      ([request, { withPgClient }, transaction]) =>
        post(request as unknown as RequestContext, withPgClient, codec.toPg(transaction as never) as string),
    );
    return object({
      clientMutationId: args.getRaw(["input", "clientMutationId"]),
      result: object({
        ...columnsOf($posted, ["transaction_id", "is_replayed"]),
        balances: access($posted, "balances"),
      }),
    });
  };
}

const aloneSql = `
  select ${postedColumns}
  from app_public.post_transaction($1) r`;

/** Together with others; alone for who has no session of a member, whom the database itself turns away or checks. */
async function post(
  { caller, pgSettings, postings }: RequestContext,
  withPgClient: WithPgClient,
  transaction: string,
): Promise<Posted> {
  const { claims } = caller;
  if (claims?.tenantId == null || claims.role === "partner") {
    return withPgClient(pgSettings, async (client) => {
      const { rows } = await client.query<PostedRow>({ text: aloneSql, values: [transaction] });
      return postedOf(rows[0] as PostedRow);
    });
  }
  const { tenantId, sessionId, userId } = claims;
  try {
    return await postings.post({ tenantId, sessionId, userId, transaction });
  } catch (error) {
    if (error instanceof PostingRefusedError) {
      throw new GraphQLError(error.message, { extensions: { code: error.code, detail: error.detail } });
    }
    if (error instanceof QueueFullError) throw new GraphQLError(error.message, { extensions: { code: "LG363" } });
    throw error;
  }
}
