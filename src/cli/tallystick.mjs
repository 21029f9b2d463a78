#!/usr/bin/env node
// Starts the command-line program with the Node.js that this project pins. Plain JavaScript,
// because it also has to run under an older Node.js, which cannot read TypeScript.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import * as module from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("./main.ts", import.meta.url));
// Graphile's libraries warn unless they are told; why production: src/graphql/environment.ts.
process.env.GRAPHILE_ENV ??= "production";
// What is loaded is kept compiled, which halves the time to start. Beside the packages, not in the temporary
// directory, where another user could leave code for us to run. Where it cannot be written it is done without.
process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL("../../node_modules/.cache/compiled", import.meta.url));
module.enableCompileCache?.(process.env.NODE_COMPILE_CACHE);

if (Number(process.versions.node.split(".")[0]) >= 24) await import(main);
else runPinned();

function runPinned() {
  const node = findPinned();
  if (node === undefined) {
    console.error(`Tallystick needs Node.js 24 and this is ${process.version}. Run \`npm ci\` in its folder first.`);
    process.exit(1);
  }
  const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: "inherit" });
  // The child decides when to end. What it gets twice, because a terminal signals both of us, it
  // takes for one.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    console.error(`Cannot run ${node}: ${error.message}`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

function findPinned() {
  try {
    const folder = dirname(module.createRequire(import.meta.url).resolve("node/package.json"));
    const path = join(folder, "bin", process.platform === "win32" ? "node.exe" : "node");
    return existsSync(path) ? path : undefined;
  } catch {
    return undefined;
  }
}
