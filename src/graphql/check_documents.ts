import "./graphile.ts";
import type { ExecutionConfig } from "postgraphile/grafserv";
import {
  type DocumentNode,
  GraphQLError,
  type GraphQLSchema,
  getOperationAST,
  NoSchemaIntrospectionCustomRule,
  parse,
  Source,
  specifiedRules,
  type ValidationRule,
  validate,
} from "postgraphile/graphql";
import { makeCostOf } from "./cost.ts";
import { limitDepth, limits, measureDocument, tooDeep, tooLarge } from "./limits.ts";

type ParseAndValidate = ExecutionConfig["parseAndValidate"];
type Checked = ReturnType<ParseAndValidate>;

export interface CheckDocumentsOptions {
  maskError: (error: GraphQLError) => GraphQLError;
  /** Whether a client may ask what the schema is. */
  allowIntrospection: boolean;
  maxCost: number;
}

const cacheSize = 500;

/**
 * Everything that a document is checked for before it runs, over HTTP and web sockets: its size before it is
 * validated, its depth while it is, its cost when its variables are known. What is found is masked here,
 * because grafserv masks only what comes of running a document.
 */
export function checkDocuments(options: CheckDocumentsOptions): GraphileConfig.Plugin {
  const { allowIntrospection } = options;
  return {
    name: "CheckDocumentsPlugin",
    version: "1.0.0",
    grafserv: {
      middleware: {
        setPreset(next, event) {
          event.validationRules.push(limitDepth);
          if (!allowIntrospection) event.validationRules.push(NoSchemaIntrospectionCustomRule);
          const rules = event.validationRules;
          const known = new WeakMap<GraphQLSchema, Checks>();
          const wrap = (config: ExecutionConfig): ExecutionConfig => {
            const checks = known.get(config.schema) ?? makeChecks(config.schema, rules, options);
            known.set(config.schema, checks);
            return {
              ...config,
              parseAndValidate: checks.parseAndValidate,
              execute: checks.costly(config.execute),
              subscribe: checks.costly(config.subscribe),
            };
          };
          const { getExecutionConfig } = event;
          event.getExecutionConfig = function (context) {
            const config = getExecutionConfig.call(this, context);
            return "then" in config ? config.then(wrap) : wrap(config);
          };
          return next();
        },
      },
    },
  };
}

interface Checks {
  parseAndValidate: ParseAndValidate;
  costly<F extends ExecutionConfig["execute"] | ExecutionConfig["subscribe"]>(run: F): F;
}

function makeChecks(schema: GraphQLSchema, rules: ValidationRule[], options: CheckDocumentsOptions): Checks {
  const { maskError, maxCost } = options;
  const costOf = makeCostOf(schema);
  const cache = new Map<string, Checked>();
  const parseAndValidate: ParseAndValidate = (query) => {
    const found = cache.get(query);
    if (found) return found;
    const result = checkDocument(schema, rules, query);
    const checked: Checked = Array.isArray(result)
      ? { errors: result.map((error) => maskError(error)) }
      : { document: result };
    // The one that came first makes room.
    if (cache.size >= cacheSize) cache.delete(cache.keys().next().value ?? "");
    cache.set(query, checked);
    return checked;
  };
  const costly = <F extends ExecutionConfig["execute"] | ExecutionConfig["subscribe"]>(run: F): F =>
    ((args: Parameters<F>[0]) => {
      const { document, operationName, variableValues } = args;
      const operation = getOperationAST(document, operationName);
      if (operation) {
        const variables = (variableValues ?? {}) as Record<string, unknown>;
        const { cost, rootFields } = costOf(document, operation, variables);
        if (rootFields > limits.rootFields) return { errors: [tooLarge("rootFields", rootFields, limits.rootFields)] };
        if (cost > maxCost) return { errors: [tooCostly(cost, maxCost)] };
      }
      return run(args as never);
    }) as F;
  return { parseAndValidate, costly };
}

/** The document, or what is wrong with it: the first of its size, or all that GraphQL finds. */
function checkDocument(schema: GraphQLSchema, rules: ValidationRule[], query: string): DocumentNode | GraphQLError[] {
  let document: DocumentNode;
  try {
    if (query.length > limits.characters) return [tooLarge("characters", query.length, limits.characters)];
    document = parse(new Source(query, "GraphQL HTTP Request"), { maxTokens: limits.tokens });
    const error = measureDocument(document);
    if (error) return [error];
    const errors = validate(schema, document, rules, { maxErrors: 20 });
    if (errors.length > 0) return [...errors];
  } catch (error) {
    // The parser calls itself for each brace; so do some rules.
    if (error instanceof RangeError) return [tooDeep()];
    if (!(error instanceof GraphQLError)) throw error;
    const isTooLong = /^Syntax Error: Document contains more (than|that) \d+ tokens/.test(error.message);
    return [isTooLong ? tooLarge("tokens", limits.tokens + 1, limits.tokens) : error];
  }
  return document;
}

/** The refusal of an operation that asks for too much. */
export function tooCostly(cost: number, maximum: number): GraphQLError {
  return new GraphQLError("The operation could answer with more than one request may ask for.", {
    extensions: { code: "LG166", detail: { cost, maximum } },
  });
}

/** What is wrong with a document, as the server would find it before it knows the variables; nothing is masked. */
export function findFaults(schema: GraphQLSchema, query: string): readonly GraphQLError[] {
  const result = checkDocument(schema, [...specifiedRules, limitDepth], query);
  return Array.isArray(result) ? result : [];
}
