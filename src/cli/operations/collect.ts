import { globSync, readFileSync } from "node:fs";
import { relative } from "node:path";
import {
  buildSchema,
  type DocumentNode,
  type FragmentDefinitionNode,
  GraphQLError,
  type GraphQLSchema,
  Kind,
  type OperationDefinitionNode,
  parse,
  print,
  visit,
} from "graphql";
import { findFaults } from "../../graphql/check_documents.ts";
import { hashOfDocument } from "../../graphql/operations.ts";
import { CommandError } from "../output.ts";

/** An operation with the fragments that it uses, as the server keeps it. */
export interface CollectedOperation {
  id: string;
  name: string;
  type: "mutation" | "query" | "subscription";
  body: string;
  file: string;
}

export interface Collection {
  files: string[];
  operations: CollectedOperation[];
  /** Names of fragments that no operation uses. */
  unusedFragments: string[];
}

interface Found<T> {
  node: T;
  file: string;
}

/** The files of the patterns, without those of packages; throws if there are none. */
export function findFiles(patterns: readonly string[]): string[] {
  const files = globSync([...patterns], { exclude: (path) => /(^|[\\/])node_modules$/.test(path) });
  if (files.length === 0) throw new CommandError(`No file matches ${patterns.join(" ")}.`);
  return [...new Set(files)].sort();
}

/**
 * The operations of some files, each made into a document of its own. All that is wrong with them is told at
 * once: what the server would refuse is better found here.
 */
export function collectOperations(files: readonly string[], schema: GraphQLSchema): Collection {
  const problems: string[] = [];
  const fragments = new Map<string, Found<FragmentDefinitionNode>>();
  const operations = new Map<string, Found<OperationDefinitionNode>>();
  for (const path of files) {
    const file = relative(process.cwd(), path);
    for (const node of parseFile(path, file, problems).definitions) {
      if (node.kind === Kind.FRAGMENT_DEFINITION) addOnce(fragments, { node, file }, problems);
      else if (node.kind !== Kind.OPERATION_DEFINITION)
        problems.push(`${file}: only operations and fragments, no types.`);
      else if (node.name) addOnce(operations, { node, file }, problems);
      else problems.push(`${file}:${node.loc?.startToken.line}: an operation needs a name, by which clients find it.`);
    }
  }
  if (operations.size === 0 && problems.length === 0) problems.push("There is no operation in these files.");
  const used = new Set<string>();
  const collected = [...operations].map(([name, { node, file }]) => {
    const names = fragmentsUsedBy(node, fragments);
    for (const one of names) used.add(one);
    const parts = [node, ...names.map((one) => fragments.get(one)?.node).filter((one) => one !== undefined)];
    const body = `${parts.map((part) => print(part)).join("\n\n")}\n`;
    for (const fault of findFaults(schema, body)) problems.push(`${file}: ${name}: ${describeFault(fault)}`);
    return { id: hashOfDocument(body), name, type: node.operation, body, file };
  });
  if (problems.length > 0) throw new CommandError("These operations cannot be registered:", ...problems);
  return {
    files: [...files],
    operations: collected.sort((a, b) => (a.name < b.name ? -1 : 1)),
    unusedFragments: [...fragments.keys()].filter((name) => !used.has(name)).sort(),
  };
}

/** Reads the schema that operations must fit. */
export function readSchema(path: string): GraphQLSchema {
  try {
    return buildSchema(readFileSync(path, "utf8"));
  } catch (error) {
    throw new CommandError(
      `The schema ${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      "Give the schema of the server as --schema FILE: it is schema/api.graphql of the project.",
    );
  }
}

function parseFile(path: string, file: string, problems: string[]): DocumentNode {
  try {
    return parse(readFileSync(path, "utf8"));
  } catch (error) {
    if (!(error instanceof GraphQLError)) throw error;
    problems.push(`${file}:${error.locations?.[0]?.line}: ${error.message}`);
    return { kind: Kind.DOCUMENT, definitions: [] };
  }
}

/** Fragments and operations are known by their names, over all files. */
function addOnce<T extends FragmentDefinitionNode | OperationDefinitionNode>(
  known: Map<string, Found<T>>,
  found: Found<T>,
  problems: string[],
): void {
  const name = found.node.name?.value ?? "";
  const other = known.get(name);
  if (other) problems.push(`${found.file}: ${name} is in ${other.file} already.`);
  else known.set(name, found);
}

function fragmentsUsedBy(
  operation: OperationDefinitionNode,
  fragments: ReadonlyMap<string, Found<FragmentDefinitionNode>>,
): string[] {
  const names = new Set<string>();
  const look = (node: FragmentDefinitionNode | OperationDefinitionNode): void => {
    visit(node, {
      FragmentSpread({ name: { value } }) {
        if (names.has(value)) return;
        names.add(value);
        const fragment = fragments.get(value);
        if (fragment) look(fragment.node);
      },
    });
  };
  look(operation);
  return [...names].sort();
}

function describeFault({ message, extensions }: GraphQLError): string {
  return extensions["detail"] === undefined ? message : `${message} ${JSON.stringify(extensions["detail"])}`;
}
