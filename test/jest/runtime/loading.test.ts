import { spawnSync } from "node:child_process";
import { expect, test } from "@jest/globals";
import { projectRoot } from "../../../src/paths.ts";

/** The packages that are loaded when Node.js imports modules of ours, in a process of its own. */
function packagesOf(...modules: string[]): string[] {
  const program = `
    import { registerHooks } from "node:module";
    const packages = new Set();
    registerHooks({
      load(url, context, next) {
        const name = /.*\\/node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(url)?.[1];
        if (name) packages.add(name);
        return next(url, context);
      },
    });
    for (const module of ${JSON.stringify(modules)}) await import(module);
    console.log(JSON.stringify([...packages]));
    process.exit();`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], {
    cwd: projectRoot,
    env: { PATH: process.env["PATH"], GRAPHILE_ENV: "production" },
    encoding: "utf8",
  });
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout) as string[];
}

test("a worker does without what only the API needs, which takes longest to load", () => {
  expect(packagesOf("./src/api.ts")).toEqual(expect.arrayContaining(["postgraphile", "grafast", "graphql"]));
  const ofWorkers = packagesOf("./src/start.ts", "./src/worker.ts");
  expect(ofWorkers).toContain("graphile-worker");
  expect(ofWorkers.filter((name) => /^(postgraphile|grafast|grafserv|graphile-build.*|graphql)$/.test(name))).toEqual(
    [],
  );
});
