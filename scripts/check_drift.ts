/**
 * Proves that history (migrations/committed and current.sql) and today's source (migrations/fixtures)
 * agree: on a fresh database, running every fixture again must change nothing, and the functions
 * and views of the database must be those that the fixtures create.
 */
import { readdirSync, readFileSync } from "node:fs";
import { compile } from "graphile-migrate";
import { migrationsFolder } from "../src/paths.ts";
import { withClient } from "../src/postgres/client.ts";
import { differingLines, readCatalog } from "./catalog.ts";
import { withScratchServer } from "./scratch_server.ts";

const fixturesFolder = `${migrationsFolder}/fixtures`;

const problems = await withScratchServer({}, async ({ createDatabase }) => {
  const { superuser } = await createDatabase("tallystick");
  const before = await readCatalog(superuser, { bodies: "full" });
  await runFixtures(superuser);
  const after = await readCatalog(superuser, { bodies: "full" });
  return [
    ...explain(
      "The fixtures differ from what the migrations made (- history, + fixtures):",
      differingLines(before, after),
    ),
    ...explain("Functions and views without a fixture, or fixtures that never ran:", await compareNames(superuser)),
    ...explain("migrations/fixtures/all.sql must include each file once:", checkLoadOrder()),
  ];
});

for (const line of problems) console.error(line);
if (problems.length > 0) {
  console.error(
    "\nInclude the changed fixtures in migrations/current.sql (--!include <domain>/<file>.sql), or drop there",
  );
  console.error("what no fixture creates any more.");
  process.exit(1);
}
console.log("The fixtures and the migrations agree.");

function explain(title: string, lines: string[]): string[] {
  return lines.length === 0 ? [] : ["", title, ...lines.slice(0, 60).map((line) => `  ${line}`)];
}

async function runFixtures(superuserUrl: string): Promise<void> {
  const sql = await compile(
    { connectionString: superuserUrl, migrationsFolder },
    readFileSync(`${fixturesFolder}/all.sql`, "utf8"),
  );
  await withClient(superuserUrl, async (client) => {
    await client.query("set role tallystick_owner");
    await client.query(`begin;\n${sql}\ncommit;`);
  });
}

/** Names in the database against names in the files. Triggers and policies may be made in a loop. */
async function compareNames(superuserUrl: string): Promise<string[]> {
  const inFiles = new Set(
    fixtureFiles().flatMap((file) => createdNames(readFileSync(`${fixturesFolder}/${file}`, "utf8"))),
  );
  const catalog = await readCatalog(superuserUrl, { bodies: "hash" });
  const inDatabase = new Set(
    [...catalog.matchAll(/^(?:function|view|materialized view) ([\w.]+)[ (]/gm)].map((match) => match[1] ?? ""),
  );
  return [
    ...[...inDatabase].filter((name) => !inFiles.has(name)).map((name) => `${name} has no fixture`),
    ...[...inFiles].filter((name) => !inDatabase.has(name)).map((name) => `${name} is not in the database`),
  ];
}

function createdNames(text: string): string[] {
  const sql = text.replace(/--[^\n]*|\/\*[\s\S]*?\*\//g, "");
  const head = /\bcreate\s+(?:or\s+replace\s+)?(?:materialized\s+)?(?:function|procedure|view)\s+/.source;
  const pattern = new RegExp(`${head}(?:if\\s+not\\s+exists\\s+)?([\\w.]+)`, "g");
  return [...sql.matchAll(pattern)].map((match) => match[1] ?? "");
}

function fixtureFiles(): string[] {
  return readdirSync(fixturesFolder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".sql") && name !== "all.sql")
    .map((name) => name.replaceAll("\\", "/"))
    .sort();
}

function checkLoadOrder(): string[] {
  const text = readFileSync(`${fixturesFolder}/all.sql`, "utf8");
  const included = [...text.matchAll(/^--!\s*include\s+(\S+)/gm)].map((match) => match[1] ?? "");
  return [
    ...fixtureFiles()
      .filter((file) => !included.includes(file))
      .map((file) => `${file} is not included`),
    ...included.filter((file, index) => included.indexOf(file) !== index).map((file) => `${file} is included twice`),
  ];
}
