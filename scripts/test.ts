/**
 * `npm test`: every check of the project, with a summary. The quick checks run first; then jest
 * (which includes the pgTAP files, under pg_prove) beside the checks that need a database of their own.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectRoot } from "../src/paths.ts";
import { jestCommand } from "./jest_command.ts";

interface Outcome {
  name: string;
  passed: number;
  failed: number;
  skipped: string[];
  seconds: number;
}

const bin = (name: string): string => `${projectRoot}/node_modules/.bin/${name}`;
const script = (name: string, ...args: string[]): string[] => [
  process.execPath,
  `${projectRoot}/scripts/${name}`,
  ...args,
];
const reportFolder = mkdtempSync(join(tmpdir(), "tallystick-report-"));

try {
  const outcomes = await Promise.all([
    runCheck("types", [bin("tsc"), "-p", projectRoot]),
    runCheck("lint and format", [bin("biome"), "ci", "--colors=off", "--error-on-warnings", projectRoot]),
  ]);
  outcomes.push(...(await Promise.all([runJest(), runDatabaseChecks()])).flat());
  process.exitCode = summarise(outcomes);
} finally {
  rmSync(reportFolder, { recursive: true, force: true });
}

/** One after the other: each starts a database server, and jest is using the other core. */
async function runDatabaseChecks(): Promise<Outcome[]> {
  return [
    await runCheck("fixtures and migrations agree", script("check_drift.ts")),
    await runCheck("generated files", script("schema_snapshot.ts", "--check")),
  ];
}

/** Runs a command that is one check. Its output is shown if it fails, or if it says it was skipped. */
async function runCheck(name: string, command: string[]): Promise<Outcome> {
  const { status, output, seconds } = await run(command, false);
  const skipped = /^Skipped: .*$/m.exec(output)?.[0];
  say(`${status === 0 ? (skipped ? "skipped" : "passed ") : "FAILED "} ${name} (${seconds.toFixed(1)} s)`);
  if (status !== 0) say(output.trimEnd());
  const ok = status === 0;
  return { name, passed: ok && !skipped ? 1 : 0, failed: ok ? 0 : 1, skipped: ok && skipped ? [skipped] : [], seconds };
}

async function runJest(): Promise<Outcome[]> {
  const report = join(reportFolder, "jest.json");
  const colour = process.stderr.isTTY ? ["--colors"] : [];
  const ci = process.env["CI"] ? ["--ci"] : [];
  const { status, seconds } = await run(jestCommand(["--json", `--outputFile=${report}`, ...colour, ...ci]), true);
  return [{ ...readReport(report, status), seconds }];
}

interface JestReport {
  numPassedTests: number;
  numFailedTests: number;
  numRuntimeErrorTestSuites: number;
  testResults: { assertionResults: { status: string; fullName: string }[] }[];
}

/** A test file that cannot be loaded counts as one failure, and so does jest ending without a report. */
function readReport(path: string, status: number): Omit<Outcome, "seconds"> {
  let report: JestReport;
  try {
    report = JSON.parse(readFileSync(path, "utf8")) as JestReport;
  } catch {
    return { name: "jest", passed: 0, failed: 1, skipped: [] };
  }
  const failed = report.numFailedTests + report.numRuntimeErrorTestSuites;
  const skipped = report.testResults
    .flatMap((file) => file.assertionResults)
    .filter((test) => test.status !== "passed" && test.status !== "failed")
    .map((test) => `Skipped: ${test.fullName}`);
  // Jest may fail without a failing test, for example when the set-up breaks.
  return { name: "jest", passed: report.numPassedTests, failed: failed || (status === 0 ? 0 : 1), skipped };
}

function run(command: string[], show: boolean): Promise<{ status: number; output: string; seconds: number }> {
  const startedAt = performance.now();
  const [program = "", ...args] = command;
  return new Promise((done) => {
    // Jest prints its progress on standard error and, with --json, its report on standard output.
    const child = spawn(program, args, { cwd: projectRoot, stdio: ["ignore", "pipe", show ? "inherit" : "pipe"] });
    let output = "";
    const keep = (chunk: Buffer): void => {
      if (!show) output += chunk.toString("utf8");
    };
    child.stdout?.on("data", keep);
    child.stderr?.on("data", keep);
    child.on("error", (error) => {
      output += `${error.message}\n`;
    });
    child.on("close", (code) => {
      done({ status: code ?? 1, output, seconds: (performance.now() - startedAt) / 1000 });
    });
  });
}

function summarise(outcomes: Outcome[]): number {
  say("");
  for (const { name, passed, failed, skipped, seconds } of outcomes) {
    const counts = `${passed} passed, ${failed} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ""}`;
    say(`${name.padEnd(32)} ${counts.padEnd(36)} ${seconds.toFixed(1).padStart(6)} s`);
  }
  for (const line of outcomes.flatMap((outcome) => outcome.skipped)) say(line);
  const total = (pick: (outcome: Outcome) => number): number => outcomes.reduce((sum, one) => sum + pick(one), 0);
  const [passed, failed] = [total((one) => one.passed), total((one) => one.failed)];
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0 ? 0 : 1;
}

function say(line: string): void {
  console.log(line);
}
