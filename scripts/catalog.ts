import { readFileSync } from "node:fs";
import { projectRoot } from "../src/paths.ts";
import { withClient } from "../src/postgres/client.ts";

export interface CatalogOptions {
  /** `full`: whole function bodies, to compare. `hash`: their SHA-256, for the file that is reviewed. */
  bodies: "full" | "hash";
}

/**
 * Everything that migrations made in a database, as sorted text: schemas, types, tables, columns,
 * constraints, indexes, triggers, policies, views, functions, grants and comments. Two databases
 * with equal texts behave alike. The query is scripts/catalog.sql; pg_dump is not needed.
 */
export async function readCatalog(superuserUrl: string, options: CatalogOptions): Promise<string> {
  const query = readFileSync(`${projectRoot}/scripts/catalog.sql`, "utf8");
  return withClient(superuserUrl, async (client) => {
    // Every name is written with its schema, so that the text does not depend on who reads it.
    await client.query("set search_path = ''; set timezone = 'UTC'");
    await client.query("select pg_catalog.set_config('catalog.bodies', $1, false)", [options.bodies]);
    const { rows } = await client.query<{ line: string }>(query);
    return `${rows.map((row) => row.line).join("\n")}\n`;
  });
}

/** The lines that only one of two texts has: `- ` the first, `+ ` the second. */
export function differingLines(before: string, after: string): string[] {
  const [old, now] = [before.split("\n"), after.split("\n")];
  const [inOld, inNow] = [new Set(old), new Set(now)];
  return [
    ...old.filter((line) => !inNow.has(line)).map((line) => `- ${line}`),
    ...now.filter((line) => !inOld.has(line)).map((line) => `+ ${line}`),
  ];
}
