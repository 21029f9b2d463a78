import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { projectRoot } from "../src/paths.ts";

/** A process that is started again whenever it was killed. */
export interface Phoenix {
  readonly name: string;
  /** Kills it without a warning, and starts it anew. Resolves when the new one is up. */
  kill(): Promise<void>;
  /** Ends it for good, letting it finish what it does. */
  stop(): Promise<void>;
}

export interface PhoenixOptions {
  name: string;
  args: string[];
  settings: Record<string, string>;
  /** What it says when it is up. */
  ready: RegExp;
}

/** Starts a process of this project, and waits until it is up. */
export async function startPhoenix({ name, args, settings, ready }: PhoenixOptions): Promise<Phoenix> {
  let child = await start();
  let isStopping = false;
  // It does not outlive this process, which may end by an error of its own.
  const end = (): void => void child.kill("SIGKILL");
  process.once("exit", end);

  async function start(): Promise<ChildProcess> {
    const started = spawn(process.execPath, args, {
      cwd: projectRoot,
      env: { PATH: process.env["PATH"], ...settings },
      // Their input ends when this process does, however that comes about.
      stdio: ["pipe", "pipe", "pipe"],
    });
    await isUp(started, name, ready);
    return started;
  }

  return {
    name,
    kill: async () => {
      const victim = child;
      victim.kill("SIGKILL");
      await gone(victim);
      if (!isStopping) child = await start();
    },
    stop: async () => {
      isStopping = true;
      child.kill("SIGTERM");
      await gone(child);
      process.off("exit", end);
    },
  };
}

async function gone(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

function isUp(child: ChildProcess, name: string, ready: RegExp): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = "";
    const listen = (chunk: Buffer): void => {
      said = (said + chunk.toString()).slice(-10_000);
      if (ready.test(said)) resolve();
    };
    child.stdout?.on("data", listen);
    child.stderr?.on("data", listen);
    // Killed while it started, it is up again some time later: the harness goes on meanwhile.
    child.once("exit", (code) => reject(new Error(`The ${name} ended with ${code} while it started:\n${said}`)));
  });
}

/** A port that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
