/**
 * Runs one test file, or several:
 *   npm run test:file -- test/jest/api/login.test.ts
 *   npm run test:file -- test/pgtap/ledger/balances.sql
 * More options are passed on to jest, for example `-t "name of a test"`.
 */
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { jestCommand } from "./jest_command.ts";

const given = process.argv.slice(2);
const sql = given.filter((argument) => argument.endsWith(".sql")).map((path) => resolve(path));
const rest = given.filter((argument) => !argument.endsWith(".sql"));
if (given.length === 0) {
  console.error("Which file? For example: npm run test:file -- test/jest/pgtap.test.ts");
  process.exit(2);
}

const options = sql.length > 0 ? ["--globals", JSON.stringify({ pgtapFiles: sql }), "test/jest/pgtap.test.ts"] : [];
const [program, ...args] = jestCommand([...options, ...rest, "--verbose"]);
process.exitCode = spawnSync(program, args, { stdio: "inherit" }).status ?? 1;
