import { existsSync } from "node:fs";
import { CommanderError } from "commander";
import { projectRoot } from "../paths.ts";
import { describeError, say } from "./output.ts";
import { makeProgram } from "./program.ts";

if (existsSync(`${projectRoot}/.env`)) process.loadEnvFile(`${projectRoot}/.env`);

try {
  await makeProgram(process.env).parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has said what is wrong; asking for help or the version is not wrong.
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else {
    say(describeError(error));
    process.exitCode = 1;
  }
}
