import { existsSync } from "node:fs";
import { projectRoot } from "../src/paths.ts";
import type { DatabaseUrls } from "../src/postgres/bootstrap.ts";
import { readAccess } from "./access.ts";
import { readCatalog } from "./catalog.ts";
import { printErrorCodes } from "./error_codes.ts";
import { withScratchServer } from "./scratch_server.ts";

/** A file that is generated from a freshly migrated database, checked in and reviewed. */
export interface GeneratedFile {
  /** Relative to the project. */
  path: string;
  text: string;
}

type Generator = (urls: DatabaseUrls & { superuser: string }) => Promise<string>;

const generators: Record<string, Generator> = {
  "schema/catalog.txt": (urls) => readCatalog(urls.superuser, { bodies: "hash" }),
  "schema/access.txt": (urls) => readAccess(urls.superuser),
  "docs/error_codes.md": (urls) => printErrorCodes(urls.superuser),
};

/** What `src/graphql/print_schema.ts` exports. */
interface PrintSchemaModule {
  /** The sorted SDL of the GraphQL API over a database. */
  printApiSchema(apiUrl: string): Promise<string>;
}

/** Generates every file, in memory. `npm run schema:snapshot` writes them, the tests compare them. */
export async function generateFiles(): Promise<GeneratedFile[]> {
  return withScratchServer({}, async ({ createDatabase }) => {
    const urls = await createDatabase("tallystick");
    const files: GeneratedFile[] = [];
    for (const [path, generate] of Object.entries(await allGenerators())) {
      files.push({ path, text: await generate(urls) });
    }
    return files;
  });
}

async function allGenerators(): Promise<Record<string, Generator>> {
  const path = `${projectRoot}/src/graphql/print_schema.ts`;
  if (!existsSync(path)) return generators;
  const { printApiSchema } = (await import(path)) as PrintSchemaModule;
  return { ...generators, "schema/api.graphql": (urls) => printApiSchema(urls.api) };
}
