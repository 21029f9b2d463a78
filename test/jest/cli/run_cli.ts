import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "@jest/globals";
import { projectRoot } from "../../../src/paths.ts";
import type { TestDatabase } from "../../support/test_database.ts";

export interface CliResult {
  status: number;
  stdout: string;
  stderr: string;
}

export interface RunningCli {
  child: ChildProcess;
  result: Promise<CliResult>;
}

export const jwtSecret = "the secret of the command line's tests";

/** Runs the real command on a test database, as its owner; a test of its own files gives a folder. */
export function makeCli(db: TestDatabase): {
  run: (...args: string[]) => Promise<CliResult>;
  start: (...args: string[]) => RunningCli;
  /** Writes a file into the folder of these tests and tells its path. */
  file: (name: string, text: string) => string;
  /** Sets settings for the commands that come after. */
  set: (settings: Record<string, string>) => void;
} {
  const folder = mkdtempSync(join(tmpdir(), "tallystick-cli-"));
  afterAll(() => removeFolder(folder));
  const environment: Record<string, string> = {
    DATABASE_URL: db.urls.owner,
    TALLYSTICK_DATA_DIR: join(folder, "data"),
  };
  return {
    set: (settings) => void Object.assign(environment, settings),
    run: (...args) => runCli(args, environment),
    start: (...args) => startCli(args, environment),
    file: (name, text) => {
      const path = join(folder, name);
      writeFileSync(path, text);
      return path;
    },
  };
}

export async function runCli(args: string[], environment: Record<string, string>): Promise<CliResult> {
  return startCli(args, environment).result;
}

/** Starts the command and does not wait for it. */
export function startCli(args: string[], environment: Record<string, string>): RunningCli {
  const child = spawn(process.execPath, [join(projectRoot, "src/cli/tallystick.mjs"), ...args], {
    env: { PATH: process.env["PATH"] ?? "", NODE_ENV: "test", TALLYSTICK_JWT_SECRET: jwtSecret, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const result = new Promise<CliResult>((done, fail) => {
    child.on("error", fail);
    child.on("close", (code) => done({ status: code ?? -1, stdout, stderr }));
  });
  return { child, result };
}

export function removeFolder(path: string): void {
  rmSync(path, { recursive: true, force: true });
}

/** The lines of a trial balance as CSV, without the header, as a map from "account currency". */
export function parseTrialBalance(csv: string): Map<string, { debits: string; credits: string; balance: string }> {
  const [header, ...lines] = csv.trimEnd().split("\n");
  if (header !== "account,currency,debits,credits,balance") throw new Error(`Not a trial balance: ${header}`);
  return new Map(
    lines.map((line) => {
      const [balance = "", credits = "", debits = "", currency = "", ...account] = line.split(",").reverse();
      return [`${account.reverse().join(",").replaceAll('"', "")} ${currency}`, { debits, credits, balance }];
    }),
  );
}

/** Whether a program of another project is installed. On a build machine it has to be. */
export function hasProgram(name: string): boolean {
  if (spawnSync(name, ["--version"]).status === 0) return true;
  if (process.env["CI"]) throw new Error(`${name} is not installed: \`apt-get install hledger beancount\`.`);
  console.warn(`${name} is not installed, so its tests are skipped: \`apt-get install hledger beancount\`.`);
  return false;
}
