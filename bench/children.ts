import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { newKeyRing } from "../src/crypto/keys.ts";
import { projectRoot } from "../src/paths.ts";

/** Signs the tokens that the API of a bench takes. */
export const tokenSecret = "the secret of the benchmark, 32 characters or more";

export interface Child {
  /** Where it answers HTTP. */
  url: string;
  pid: number;
  stop(): Promise<void>;
}

/** Starts the API in a process of its own, with limits that no load reaches. */
export function startApi(apiDatabaseUrl: string, settings: Record<string, string> = {}): Promise<Child> {
  return startChild(["src/cli/tallystick.mjs", "start", "--only", "api"], {
    NODE_ENV: "test",
    PORT: "0",
    TALLYSTICK_API_DATABASE_URL: apiDatabaseUrl,
    TALLYSTICK_JWT_SECRET: tokenSecret,
    TALLYSTICK_FIELD_KEYS: newKeyRing("bench"),
    TALLYSTICK_RATE_LIMIT_PER_MINUTE: "100000000",
    TALLYSTICK_RATE_LIMIT_TENANT_PER_MINUTE: "100000000",
    TALLYSTICK_RATE_LIMIT_ADDRESS_PER_MINUTE: "100000000",
    TALLYSTICK_RATE_LIMIT_SIGN_IN_PER_MINUTE: "100000000",
    ...settings,
  });
}

/** Starts a program of Node.js that says `API http://…` once it answers. */
export async function startChild(args: string[], settings: Record<string, string> = {}): Promise<Child> {
  const child = spawn(process.execPath, args, {
    cwd: projectRoot,
    stdio: ["ignore", "ignore", "pipe"],
    env: { PATH: process.env["PATH"], ...settings },
  });
  // Not even an interruption may leave it behind.
  const kill = (): void => void child.kill("SIGKILL");
  process.once("exit", kill);
  const url = await readUrl(child);
  return {
    url,
    pid: child.pid ?? 0,
    stop: async () => {
      process.removeListener("exit", kill);
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}

function readUrl(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      const found = /API +(http:\S+?)\/graphql/.exec(said)?.[1];
      if (found) resolve(found);
      // What it says later is read and forgotten, so that it does not wait for a reader.
      if (said.length > 100_000) said = "";
    });
    child.once("exit", () => reject(new Error(`It did not start: ${said}`)));
  });
}
