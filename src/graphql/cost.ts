import "./graphile.ts";
import {
  type DocumentNode,
  type FieldNode,
  type GraphQLCompositeType,
  type GraphQLField,
  type GraphQLSchema,
  getNamedType,
  getNullableType,
  isCompositeType,
  isInterfaceType,
  isListType,
  isObjectType,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
  valueFromASTUntyped,
} from "postgraphile/graphql";
import { assumedLengths, costOfField, defaultLength } from "./cost_weights.ts";
import { fragmentsOf } from "./limits.ts";
import { defaultPageSize, maxPageSize } from "./pages.ts";

type Variables = Record<string, unknown>;

/** In tenths, so that sums are exact. */
const [ofObject, ofValue] = [10, 1];

/** What an operation asks for, known before it runs. */
export interface OperationCost {
  /** About as many objects as the answer may have; reading many rows for few counts as many. */
  cost: number;
  /** Fields of Query, Mutation and Subscription, wherever they stand. */
  rootFields: number;
}

/**
 * The static cost of an operation: an object costs 1, a value 0.1, and what is in a list costs as often as
 * the list may be long. A page is as long as `first` says; of a variable that has no number the page is
 * taken to be full. Conditions are taken to hold. Fields that do more than that have a weight of their own.
 */
export function makeCostOf(
  schema: GraphQLSchema,
): (document: DocumentNode, operation: OperationDefinitionNode, variables: Variables) => OperationCost {
  const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()];
  return (document, operation, variables) => {
    const type = schema.getRootType(operation.operation);
    if (!type) return { cost: 0, rootFields: 0 };
    const given = { ...defaultsOf(operation), ...variables };
    const fragments = fragmentsOf(document);
    const known = new Map<string, OperationCost>();

    const ofSet = (set: SelectionSetNode, parent: GraphQLCompositeType, lengths: Lengths): OperationCost => {
      const total = { cost: 0, rootFields: 0 };
      for (const node of set.selections) {
        const one =
          node.kind === Kind.FIELD
            ? ofField(node, parent, lengths)
            : node.kind === Kind.FRAGMENT_SPREAD
              ? ofFragment(node.name.value, lengths)
              : ofSet(node.selectionSet, conditionOf(node.typeCondition?.name.value) ?? parent, lengths);
        total.cost += one.cost;
        total.rootFields += one.rootFields;
      }
      return total;
    };
    const conditionOf = (name: string | undefined): GraphQLCompositeType | undefined => {
      const condition = name === undefined ? undefined : schema.getType(name);
      return isCompositeType(condition) ? condition : undefined;
    };
    const ofFragment = (name: string, lengths: Lengths): OperationCost => {
      const key = `${name} ${lengths.page} ${lengths.input}`;
      const found = known.get(key);
      if (found) return found;
      const fragment = fragments.get(name);
      const condition = conditionOf(fragment?.typeCondition.name.value);
      const result =
        fragment && condition ? ofSet(fragment.selectionSet, condition, lengths) : { cost: 0, rootFields: 0 };
      known.set(key, result);
      return result;
    };
    const ofField = (node: FieldNode, parent: GraphQLCompositeType, lengths: Lengths): OperationCost => {
      const isRoot = roots.some((root) => root === parent);
      const field = fieldOf(parent, node.name.value);
      // Introspection: its depth is limited, and it reads no row.
      if (!field) return { cost: node.selectionSet ? 1_000 * ofObject : ofValue, rootFields: isRoot ? 1 : 0 };
      const args = argumentsOf(node, given);
      const own = costOfField(parent.name, field.name);
      const type = getNamedType(field.type);
      const inner: Lengths = { page: pageSizeOf(field, args), input: isRoot ? inputLengthOf(args) : lengths.input };
      const isList = isListType(getNullableType(field.type));
      const times = isList ? lengthOf(parent.name, field, lengths, inner) : 1;
      const { cost, rootFields } =
        node.selectionSet && isCompositeType(type) ? ofSet(node.selectionSet, type, inner) : { cost: 0, rootFields: 0 };
      const each = node.selectionSet ? ofObject : ofValue;
      return { cost: own * ofObject + times * (each + cost), rootFields: rootFields + (isRoot ? 1 : 0) };
    };

    const { cost, rootFields } = ofSet(operation.selectionSet, type, {});
    return { cost: Math.ceil(cost / ofObject), rootFields };
  };
}

/** How long the lists are that a field may hold. */
interface Lengths {
  /** Of the page that the field is: its `nodes` and `edges`. */
  page?: number | undefined;
  /** Of the longest list among the arguments of the mutation: its results. */
  input?: number | undefined;
}

function fieldOf(parent: GraphQLCompositeType, name: string): GraphQLField<unknown, unknown> | undefined {
  return isObjectType(parent) || isInterfaceType(parent) ? parent.getFields()[name] : undefined;
}

function lengthOf(parent: string, field: GraphQLField<unknown, unknown>, outer: Lengths, inner: Lengths): number {
  if (parent.endsWith("Connection") && (field.name === "nodes" || field.name === "edges")) {
    return outer.page ?? defaultPageSize;
  }
  if (inner.page !== undefined) return inner.page;
  if (parent.endsWith("Payload") && outer.input !== undefined) return outer.input;
  return assumedLengths[`${parent}.${field.name}`] ?? defaultLength;
}

/** The size of a page, if the field has pages: what was asked for, within what is allowed. */
function pageSizeOf(field: GraphQLField<unknown, unknown>, args: Variables): number | undefined {
  const name = ["first", "pageSize"].find((one) => field.args.some((arg) => arg.name === one));
  if (name === undefined) return undefined;
  const value = args[name];
  if (value === undefined || value === null) return defaultPageSize;
  return typeof value === "number" && value >= 0 ? Math.min(value, maxPageSize) : maxPageSize;
}

function inputLengthOf(args: Variables): number | undefined {
  const values = Object.values(args).flatMap((value) =>
    typeof value === "object" && value !== null ? [value, ...Object.values(value)] : [],
  );
  const lengths = values.filter((value) => Array.isArray(value)).map((list) => list.length);
  return lengths.length > 0 ? Math.max(...lengths) : undefined;
}

function argumentsOf(node: FieldNode, variables: Variables): Variables {
  return Object.fromEntries(
    (node.arguments ?? []).map(({ name, value }) => [name.value, valueFromASTUntyped(value, variables)]),
  );
}

function defaultsOf(operation: OperationDefinitionNode): Variables {
  return Object.fromEntries(
    (operation.variableDefinitions ?? []).flatMap(({ variable, defaultValue }) =>
      defaultValue ? [[variable.name.value, valueFromASTUntyped(defaultValue)]] : [],
    ),
  );
}
