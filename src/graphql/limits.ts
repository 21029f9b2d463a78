import "./graphile.ts";
import { depthLimit } from "@graphile/depth-limit";
import {
  type DocumentNode,
  type FragmentDefinitionNode,
  GraphQLError,
  Kind,
  type SelectionSetNode,
  type ValidationContext,
  type ValidationRule,
} from "postgraphile/graphql";

/** How much one document may ask for. Generous for people and generated clients, tight for attackers. */
export const limits = {
  /** Nested fields; GraphiQL's introspection has limits of its own, which depthLimit knows. */
  depth: 12,
  /** Lists inside lists: account → postings → transaction → postings is two. */
  listDepth: 4,
  /** The same field inside itself, such as parent → parent → parent. */
  selfReference: 4,
  /** Fields with an alias, fragments counted as often as they are spread. */
  aliases: 30,
  /** All fields, fragments counted as often as they are spread. */
  fields: 1000,
  /** Fields of Query, Mutation and Subscription, wherever they stand: each is a database transaction of its own. */
  rootFields: 20,
  directives: 50,
  /** Operations and fragments. */
  definitions: 60,
  /** Words, names and signs of the query. */
  tokens: 5_000,
  /** Characters of the query; variables are bounded by the size of the body. */
  characters: 20_000,
  /** Braces inside braces, before anything is known of their meaning. */
  nesting: 60,
} as const;

/** The refusal of a document that asks for too much. Its words are those of the catalog. */
export function tooLarge(name: string, size: number, maximum: number): GraphQLError {
  return new GraphQLError("The query asks for too much at once.", {
    extensions: { code: "LG163", detail: { [name]: size, maximum } },
  });
}

/** The refusal of a document that is nested too deeply. */
export function tooDeep(nodes?: GraphQLError["nodes"]): GraphQLError {
  return new GraphQLError("The query is nested too deeply.", {
    nodes: nodes ?? null,
    extensions: { code: "LG162", detail: { depth: limits.depth, listDepth: limits.listDepth } },
  });
}

const ruleOfDepth = depthLimit({
  maxDepth: limits.depth,
  maxListDepth: limits.listDepth,
  maxSelfReferentialDepth: limits.selfReference,
  // What the introspection query of graphql-js has: nine times `ofType`.
  maxIntrospectionDepth: 16,
  maxDepthByFieldCoordinates: { "__Type.ofType": 10 },
  // One answer for all: the names in depthLimit's own messages say nothing to a client.
  revealDetails: false,
});

/** The depth limit, with an error of ours. */
export const limitDepth: ValidationRule = (context) => {
  const reporting = Object.create(context, {
    reportError: { value: (error: GraphQLError) => context.reportError(tooDeep(error.nodes)) },
  }) as ValidationContext;
  return ruleOfDepth(reporting);
};

interface Size {
  fields: number;
  aliases: number;
  directives: number;
}

const nothing: Size = { fields: 0, aliases: 0, directives: 0 };

/**
 * What is too large about a document, before it is validated: some rules of GraphQL take time that grows
 * with the square of the number of fields.
 */
export function measureDocument(document: DocumentNode): GraphQLError | undefined {
  const { definitions } = document;
  if (definitions.length > limits.definitions) return tooLarge("definitions", definitions.length, limits.definitions);
  const isTooDeep = definitions.some((node) => "selectionSet" in node && isNested(node.selectionSet, limits.nesting));
  if (isTooDeep) return tooDeep();
  const measure = makeMeasure(document);
  for (const definition of definitions) {
    if (!("selectionSet" in definition)) continue;
    const size = measure(definition.selectionSet);
    for (const name of ["fields", "aliases", "directives"] as const) {
      if (size[name] > limits[name]) return tooLarge(name, size[name], limits[name]);
    }
  }
  return undefined;
}

function isNested(set: SelectionSetNode, left: number): boolean {
  if (left === 0) return true;
  return set.selections.some(
    (node) => "selectionSet" in node && node.selectionSet !== undefined && isNested(node.selectionSet, left - 1),
  );
}

/** Measures a selection with its fragments; each fragment is measured once, and a cycle is cut. */
function makeMeasure(document: DocumentNode): (set: SelectionSetNode) => Size {
  const fragments = fragmentsOf(document);
  const known = new Map<string, Size>();
  const ofFragment = (name: string): Size => {
    const found = known.get(name);
    if (found) return found;
    known.set(name, nothing);
    const fragment = fragments.get(name);
    const size = fragment ? measure(fragment.selectionSet) : nothing;
    known.set(name, size);
    return size;
  };
  const measure = (set: SelectionSetNode): Size => {
    const total = { ...nothing };
    for (const node of set.selections) {
      total.directives += node.directives?.length ?? 0;
      if (node.kind === Kind.FIELD) {
        total.fields += 1;
        if (node.alias) total.aliases += 1;
      }
      const inner =
        node.kind === Kind.FRAGMENT_SPREAD
          ? ofFragment(node.name.value)
          : node.selectionSet
            ? measure(node.selectionSet)
            : nothing;
      total.fields += inner.fields;
      total.aliases += inner.aliases;
      total.directives += inner.directives;
    }
    return total;
  };
  return measure;
}

/** The fragments of a document by name. */
export function fragmentsOf(document: DocumentNode): Map<string, FragmentDefinitionNode> {
  return new Map(
    document.definitions.flatMap((node) =>
      node.kind === Kind.FRAGMENT_DEFINITION ? [[node.name.value, node] as const] : [],
    ),
  );
}
