import "./graphile.ts";
import { depthLimit } from "@graphile/depth-limit";
import {
  type ASTVisitor,
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
  /** Root fields: each is a database transaction of its own. */
  rootFields: 20,
  directives: 50,
  /** Characters of the query; variables are bounded by the size of the body. */
  characters: 20_000,
} as const;

/** Adds the limits to what every document is checked for before it runs, over HTTP and web sockets. */
export const LimitsPlugin: GraphileConfig.Plugin = {
  name: "LimitsPlugin",
  version: "1.0.0",
  grafserv: {
    middleware: {
      setPreset(next, event) {
        event.validationRules.push(limitSize, limitDepth);
        return next();
      },
    },
  },
};

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
const limitDepth: ValidationRule = (context) => {
  const reporting = Object.create(context, {
    reportError: {
      value: (error: GraphQLError) =>
        context.reportError(
          new GraphQLError("The query is nested too deeply.", {
            nodes: error.nodes,
            extensions: { code: "LG162", detail: { depth: limits.depth, listDepth: limits.listDepth } },
          }),
        ),
    },
  }) as ValidationContext;
  return ruleOfDepth(reporting);
};

interface Size {
  fields: number;
  aliases: number;
  directives: number;
}

const nothing: Size = { fields: 0, aliases: 0, directives: 0 };

/** Refuses documents with too many fields, aliases or directives: each costs planning and execution. */
const limitSize: ValidationRule = (context: ValidationContext): ASTVisitor => ({
  Document(document) {
    const measure = makeMeasure(document);
    for (const definition of document.definitions) {
      if (definition.kind !== Kind.OPERATION_DEFINITION) continue;
      const size = { ...measure(definition.selectionSet), rootFields: definition.selectionSet.selections.length };
      for (const name of ["fields", "aliases", "directives", "rootFields"] as const) {
        if (size[name] <= limits[name]) continue;
        context.reportError(
          new GraphQLError("The query asks for too much at once.", {
            nodes: definition,
            extensions: { code: "LG163", detail: { [name]: size[name], maximum: limits[name] } },
          }),
        );
        return false;
      }
    }
    return undefined;
  },
});

/** Measures a selection with its fragments; each fragment is measured once, and a cycle is cut. */
function makeMeasure(document: DocumentNode): (set: SelectionSetNode) => Size {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const node of document.definitions)
    if (node.kind === Kind.FRAGMENT_DEFINITION) fragments.set(node.name.value, node);
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
