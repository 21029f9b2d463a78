import { spawnSync } from "node:child_process";
import { test } from "@jest/globals";

/**
 * A test that needs a program of the system, not of npm. Where it is missing, the test fails in
 * CI (which installs such programs) and is skipped elsewhere, saying how to install it.
 */
export function testWithTool(
  tool: { command: string; debianPackage: string },
  name: string,
  body: () => Promise<void> | void,
  timeout?: number,
): void {
  const found = spawnSync(tool.command, ["--version"], { stdio: "ignore" }).error === undefined;
  if (found) {
    test(name, body, timeout);
    return;
  }
  const reason = `${tool.command} is not installed (apt-get install ${tool.debianPackage})`;
  if (process.env["CI"]) {
    test(name, () => {
      throw new Error(`${reason}. CI must have it.`);
    });
  } else test.skip(`${name}: ${reason}`, body);
}
