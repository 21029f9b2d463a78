/**
 * Runs the pgTAP files with pg_prove, as any other project would: on a throw-away server that has
 * pgTAP. `npm test` does so too, in test/jest/pgtap.test.ts. Debian has pg_prove in the package
 * libtap-parser-sourcehandler-pgtap-perl.
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { projectRoot } from "../src/paths.ts";
import { hasPgProve, pgtapEnvironment } from "../test/support/pg_prove.ts";
import { installPgtap, withScratchServer } from "./scratch_server.ts";

if (!hasPgProve()) {
  console.log("Skipped: pg_prove is not installed. On Debian and Ubuntu it comes with");
  console.log("  apt-get install libtap-parser-sourcehandler-pgtap-perl postgresql-client");
  process.exit(process.env["CI"] ? 1 : 0);
}

process.exitCode = await withScratchServer({}, async ({ createDatabase }) => {
  const { superuser } = await createDatabase("tallystick");
  await installPgtap(superuser);
  const env = { ...process.env, ...pgtapEnvironment(superuser) };
  const given = process.argv.slice(2);
  const folder = `${projectRoot}/test/pgtap`;
  const all = readdirSync(folder).filter((name) => name !== "support");
  const files = given.length > 0 ? given : all.map((name) => `${folder}/${name}`);
  return spawnSync("pg_prove", ["--ext", ".sql", "--recurse", ...files], { stdio: "inherit", env }).status ?? 1;
});
