import "./graphile.ts";
import type { Logger } from "pino";
import {
  type ASTNode,
  type DocumentNode,
  type GraphQLError,
  getOperationAST,
  Kind,
  type ValueNode,
  visit,
} from "postgraphile/graphql";
import type { Refusal } from "../audit/refusal_recorder.ts";
import { describeCause } from "./mask_error.ts";
import type { RefusalCatalog } from "./refusals.ts";
import type { RequestContext } from "./request_context.ts";

export interface ReportRefusalsOptions {
  refusals: RefusalCatalog;
  log: Logger;
  /** Told what a request was refused, when its answer is ready. It must return at once. */
  report: (settings: Record<string, string>, refusals: Refusal[]) => void;
}

/** Refusals that a query is recorded for: who asks has no right to. Of a mutation every failure counts. */
const deniedCodes = new Set(["LG401", "LG402", "LG403", "LG404"]);
const uuidForm = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Looks at what each operation came to, and tells of what was refused: failed mutations, denied queries, and
 * ids that were answered as unknown. The answer itself is neither changed nor waited for.
 */
export function reportRefusals({ refusals, log, report }: ReportRefusalsOptions): GraphileConfig.Plugin {
  const observe = (args: Grafast.ExecutionArgs, result: Result): void => {
    try {
      const found = findRefusals(refusals, args, result);
      const { pgSettings } = args.contextValue as unknown as RequestContext;
      if (found.length > 0) report(pgSettings, found);
    } catch (error) {
      log.error({ err: error }, "what a request was refused could not be told");
    }
  };
  return {
    name: "ReportRefusalsPlugin",
    version: "1.0.0",
    grafast: {
      middleware: {
        async execute(next, { args }) {
          const result = await next();
          // Once the answer is on its way.
          if (!(Symbol.asyncIterator in result)) setImmediate(observe, args as Grafast.ExecutionArgs, result);
          return result;
        },
      },
    },
  };
}

interface Result {
  errors?: readonly GraphQLError[];
  data?: unknown;
}

function findRefusals(catalog: RefusalCatalog, args: Grafast.ExecutionArgs, { errors, data }: Result): Refusal[] {
  const isChange = getOperationAST(args.document, args.operationName)?.operation === "mutation";
  const found: Refusal[] = [];
  const fields = fieldsOf(args.document);
  for (const error of errors ?? []) {
    const { code, detail } = describeCause(catalog, error);
    if (!isChange && !deniedCodes.has(code)) continue;
    const isUnknown = catalog.get(code)?.name.endsWith("_not_found") ?? false;
    const key = String(error.path?.[0] ?? "");
    found.push({
      code,
      action: fields.names.get(key) ?? key,
      isChange,
      detail,
      ...(isUnknown ? { ids: Object.values(detail).filter(isUuid) } : {}),
    });
  }
  const seen = survey(data, fields);
  if (isChange && fields.refused.some((key) => seen.has(key))) {
    found.push({ action: "postTransactions", hasRefusedItems: true });
  }
  const unknown = fields.byId.filter(({ key }) => seen.has(key));
  const ids = unknown.flatMap(({ value }) => idsIn(value, args.variableValues ?? {}));
  if (ids.length > 0) found.push({ action: unknown[0]?.name ?? "", ids });
  return found;
}

interface Fields {
  /** The name of a root field by the key that it has in the answer. */
  names: Map<string, string>;
  /** The fields that look something up by its id. */
  byId: { key: string; name: string; value: ValueNode }[];
  /** The fields by which the result of an item of a batch shows that it was refused. */
  refused: string[];
  /** The keys to look for in an answer: those that tell something if they are null, and if they are not. */
  nulls: Set<string>;
  values: Set<string>;
}

const known = new WeakMap<DocumentNode, Fields>();

/** The fields of a document, wherever they stand: documents are parsed once and come again. */
function fieldsOf(document: DocumentNode): Fields {
  const before = known.get(document);
  if (before) return before;
  const fields: Fields = { names: new Map(), byId: [], refused: [], nulls: new Set(), values: new Set() };
  let postsBatches = false;
  visit(document, {
    [Kind.FIELD](field, _key, _parent, _path, ancestors) {
      const key = field.alias?.value ?? field.name.value;
      if (isRoot(ancestors)) fields.names.set(key, field.name.value);
      postsBatches ||= field.name.value === "postTransactions";
      if (/^(transactionId|transaction|refusal)$/.test(field.name.value)) {
        fields.refused.push(key);
        (field.name.value === "refusal" ? fields.values : fields.nulls).add(key);
      }
      for (const argument of field.arguments ?? []) {
        if (!/^(id|nodeId)$/.test(argument.name.value)) continue;
        fields.byId.push({ key, name: field.name.value, value: argument.value });
        fields.nulls.add(key);
      }
    },
  });
  if (!postsBatches) fields.refused = [];
  known.set(document, fields);
  return fields;
}

/** Whether it stands in an operation itself, or in a fragment on the type of one: the caller names the rest. */
function isRoot(ancestors: readonly (ASTNode | readonly ASTNode[])[]): boolean {
  const nodes = ancestors.filter((node): node is ASTNode => "kind" in node);
  const fragment = nodes.find((node) => node.kind === Kind.FRAGMENT_DEFINITION);
  return (
    nodes.every(({ kind }) => kind !== Kind.FIELD) &&
    (fragment === undefined || ["Mutation", "Query"].includes(fragment.typeCondition.name.value))
  );
}

/** Which of the keys are in the answer as they are looked for. Nothing is read if none are. */
function survey(data: unknown, { byId, refused, nulls, values }: Fields): Set<string> {
  const seen = new Set<string>();
  const visitValue = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      if ((inner === null ? nulls : values).has(key)) seen.add(key);
      visitValue(inner);
    }
  };
  if (byId.length > 0 || refused.length > 0) visitValue(typeof data === "string" ? JSON.parse(data) : data);
  return seen;
}

/** The ids that an argument names: a UUID, or what a node id encodes. */
function idsIn(value: ValueNode, variables: Record<string, unknown>): string[] {
  const given = value.kind === Kind.VARIABLE ? variables[value.name.value] : "value" in value ? value.value : undefined;
  if (typeof given !== "string") return [];
  if (isUuid(given)) return [given];
  try {
    const parts: unknown = JSON.parse(Buffer.from(given, "base64").toString("utf8"));
    return Array.isArray(parts) ? parts.filter(isUuid) : [];
  } catch {
    return [];
  }
}

function isUuid(value: unknown): value is string {
  return typeof value === "string" && uuidForm.test(value);
}
