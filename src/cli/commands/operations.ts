import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { projectRoot } from "../../paths.ts";
import { count, formatTable, say } from "../output.ts";

interface CollectArguments {
  out: string;
  schema: string;
  prune: boolean;
}

const examples = `
Examples:
  $ npx tallystick operations collect 'src/**/*.graphql' --out operations
  $ TALLYSTICK_PERSISTED_OPERATIONS=operations npx tallystick start

Each operation is written to OUT/<sha-256 of the text>.graphql, with the fragments that it uses; the server reads
the folder when it starts. OUT/manifest.json tells clients the hash of each operation, in the format of
Apollo's tools. Operations of earlier runs stay, because older versions of a client may still send them.`;

/** The operations that clients may send, where the server does not take any. */
export function operationsCommand(): Command {
  return new Command("operations")
    .summary("collect the operations that clients may send")
    .description("Registers operations: in production the server takes no others.")
    .addCommand(
      new Command("collect")
        .description("Collects the operations of GraphQL files, checks them and writes them into a folder.")
        .argument("<pattern...>", "files, such as 'src/**/*.graphql'")
        .requiredOption("--out <dir>", "the folder of registered operations")
        .option("--schema <file>", "the schema of the server", join(projectRoot, "schema/api.graphql"))
        .option("--prune", "remove operations that are in none of the files", false)
        .addHelpText("after", examples)
        .action(collect),
    );
}

async function collect(patterns: string[], { out, schema, prune }: CollectArguments): Promise<void> {
  // GraphQL is loaded for this command only: the others answer sooner without it.
  const { collectOperations, findFiles, readSchema } = await import("../operations/collect.ts");
  const { fileOfHash } = await import("../../graphql/operations.ts");
  const { files, operations, unusedFragments } = collectOperations(findFiles(patterns), readSchema(schema));
  mkdirSync(out, { recursive: true });
  const known = new Set(readdirSync(out).filter((name) => name.endsWith(".graphql")));
  const rows = operations.map(({ id, name, type, body, file }) => {
    const path = join(out, fileOfHash(id));
    const isNew = !existsSync(path);
    if (isNew) writeFileSync(path, body);
    known.delete(fileOfHash(id));
    return [isNew ? "new" : "known", type, name, id.slice(0, 12), file];
  });
  writeManifest(out, operations);
  if (prune) for (const name of known) rmSync(join(out, name));
  const columns = ["", "type", "operation", "hash", "file"].map((title) => ({ title }));
  process.stdout.write(`${formatTable(columns, rows)}\n`);
  const added = rows.filter(([state]) => state === "new").length;
  say(`${count(operations.length, "operation")} of ${count(files.length, "file")} in ${out}: ${added} new.`);
  if (known.size > 0) {
    const others = `${count(known.size, "other operation")} of earlier runs`;
    say(prune ? `Removed ${others}.` : `Kept ${others}; --prune removes them.`);
  }
  if (unusedFragments.length > 0) say(`No operation uses ${unusedFragments.join(", ")}.`);
}

function writeManifest(
  out: string,
  operations: readonly { id: string; name: string; type: string; body: string }[],
): void {
  const manifest = {
    format: "apollo-persisted-query-manifest",
    version: 1,
    operations: operations.map(({ id, name, type, body }) => ({ id, name, type, body })),
  };
  writeFileSync(join(out, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
}
