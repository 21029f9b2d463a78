import { projectRoot } from "../src/paths.ts";

/** The command that runs jest on native ECMAScript modules, which Node.js still calls experimental. */
export function jestCommand(args: string[]): [string, ...string[]] {
  return [
    process.execPath,
    "--experimental-vm-modules",
    "--disable-warning=ExperimentalWarning",
    `${projectRoot}/node_modules/jest/bin/jest.js`,
    "--config",
    `${projectRoot}/jest.config.mjs`,
    ...args,
  ];
}
