/**
 * Writes the generated files under schema/ from a freshly migrated database:
 *   npm run schema:snapshot
 *   npm run schema:snapshot -- --check     change nothing; fail if a file is not up to date
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { projectRoot } from "../src/paths.ts";
import { differingLines } from "./catalog.ts";
import { generateFiles } from "./generated_files.ts";

const check = process.argv.includes("--check");
let stale = 0;
for (const { path, text } of await generateFiles()) {
  const file = join(projectRoot, path);
  const old = existsSync(file) ? readFileSync(file, "utf8") : "";
  if (old === text) {
    console.log(`${path} is up to date.`);
    continue;
  }
  stale += 1;
  if (check) {
    console.error(`${path} is not what the migrations produce (- the file, + the database):`);
    for (const line of differingLines(old, text).slice(0, 40)) console.error(`  ${line}`);
    continue;
  }
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  console.log(`${path} written.`);
}
if (check && stale > 0) {
  console.error("\nRun `npm run schema:snapshot`, review the difference and commit it.");
  process.exit(1);
}
// PostGraphile keeps timers of its own for a while; everything is written by now.
process.exit(0);
