import "./graphile.ts";
import {
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
export function reportRefusals({ refusals, report }: ReportRefusalsOptions): GraphileConfig.Plugin {
  return {
    name: "ReportRefusalsPlugin",
    version: "1.0.0",
    grafast: {
      middleware: {
        async execute(next, { args }) {
          const result = await next();
          if (!(Symbol.asyncIterator in result)) {
            const found = findRefusals(refusals, args as Grafast.ExecutionArgs, result);
            const { pgSettings } = args.contextValue as unknown as RequestContext;
            if (found.length > 0) report(pgSettings, found);
          }
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
  // Grafserv asks for the data as JSON text; what is searched for here stands in it as it would be written.
  const text = typeof data === "string" ? data : fields.byId.length > 0 || isChange ? JSON.stringify(data ?? null) : "";
  if (isChange && /"refusal":\{|"transactionId":null/.test(text)) {
    found.push({ action: "postTransactions", hasRefusedItems: true });
  }
  const ids = fields.byId
    .filter(({ key }) => text.includes(`"${key}":null`))
    .flatMap(({ value }) => idsIn(value, args.variableValues ?? {}));
  if (ids.length > 0) found.push({ action: fields.byId[0]?.name ?? "", ids });
  return found;
}

interface Fields {
  /** The name of a field by the key that it has in the answer. */
  names: Map<string, string>;
  /** The fields that look something up by its id. */
  byId: { key: string; name: string; value: ValueNode }[];
}

const known = new WeakMap<DocumentNode, Fields>();

/** The fields of a document, wherever they stand: documents are parsed once and come again. */
function fieldsOf(document: DocumentNode): Fields {
  const before = known.get(document);
  if (before) return before;
  const fields: Fields = { names: new Map(), byId: [] };
  visit(document, {
    [Kind.FIELD](field) {
      const key = field.alias?.value ?? field.name.value;
      fields.names.set(key, field.name.value);
      for (const argument of field.arguments ?? []) {
        if (!/^(id|nodeId)$/.test(argument.name.value)) continue;
        fields.byId.push({ key, name: field.name.value, value: argument.value });
      }
    },
  });
  known.set(document, fields);
  return fields;
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
