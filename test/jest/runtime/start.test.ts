import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "@jest/globals";
import { projectRoot } from "../../../src/paths.ts";
import { isAlive } from "../../../src/postgres/holders.ts";
import { makeTemporaryDirectory } from "../../../src/postgres/secrets.ts";

/**
 * The whole program as a user runs it: from nothing, again, after a crash. The tests build on
 * each other, in this order, on one data directory.
 */
const dataDir = makeTemporaryDirectory("tallystick-start-");
const running = new Set<ChildProcess>();

afterAll(async () => {
  for (const child of running) {
    child.kill("SIGTERM");
    await once(child, "exit");
  }
  const server = serverPid();
  if (server !== undefined) await endServer(server);
  rmSync(dataDir, { recursive: true, force: true });
});

interface Started {
  child: ChildProcess;
  url: string;
  said: () => string;
}

async function startProgram(): Promise<Started> {
  const startedAt = performance.now();
  const child = spawn(process.execPath, ["src/cli/tallystick.mjs", "start"], {
    cwd: projectRoot,
    // The `.env` of whoever runs the tests must not matter, so nothing is left to it.
    env: { PATH: process.env["PATH"], TALLYSTICK_DATA_DIR: dataDir, PORT: "0", DATABASE_URL: "", LOG_LEVEL: "error" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  child.once("exit", () => running.delete(child));
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk: Buffer) => (text += chunk.toString()));
  while (!/^Tallystick is ready/m.test(text) || !/http:\/\/\S+/.test(text)) {
    if (child.exitCode !== null || performance.now() - startedAt > 90_000)
      throw new Error(`It did not start:\n${text}`);
    await sleep(20);
  }
  const origin = /http:\/\/[\d.]+:\d+/.exec(text)?.[0] ?? "";
  return { child, url: origin, said: () => text };
}

function serverPid(): number | undefined {
  const file = join(dataDir, "postgres/postmaster.pid");
  return existsSync(file) ? Number(readFileSync(file, "utf8").split("\n")[0]) : undefined;
}

async function endServer(pid: number): Promise<void> {
  if (isAlive(pid)) process.kill(pid, "SIGINT");
  while (isAlive(pid)) await sleep(20);
}

async function exitStatus(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.exitCode;
}

let printed: string[] = [];
/** The lines that tell who can sign in, and with which password. */
const peopleOf = (text: string): string[] => text.match(/^ {2}\w+ +\S+@demo\.example +\S+$/gm) ?? [];

/** What is made once, and what takes its time: a second start does none of it. */
const making = (text: string): string[] =>
  ["Creating a database cluster", "Applying", "Made the tenant"].filter((what) => text.includes(what));

test("starts from nothing, answers, and stops cleanly on Ctrl-C", async () => {
  const { child, url, said } = await startProgram();
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
  expect((await fetch(`${url}/livez`)).status).toBe(200);
  child.kill("SIGINT");
  expect(await exitStatus(child)).toBe(0);
  printed = peopleOf(said());
  expect(printed).toHaveLength(6);
  expect(making(said())).toEqual(["Creating a database cluster", "Applying", "Made the tenant"]);
  expect(said()).toContain("Stopping (SIGINT)");
  expect(serverPid()).toBeUndefined();
}, 120_000);

test("starts again without making anything anew, with the same people, and says no secret of its own", async () => {
  const { child, said } = await startProgram();
  expect(making(said())).toEqual([]);
  const secrets = JSON.parse(readFileSync(join(dataDir, "secrets.json"), "utf8")) as Record<string, string>;
  for (const secret of Object.values(secrets)) expect(said()).not.toContain(secret);
  child.kill("SIGTERM");
  expect(await exitStatus(child)).toBe(0);
  expect(peopleOf(said())).toEqual(printed);
}, 120_000);

test("starts after it was killed: the server it left behind is found and replaced", async () => {
  const killed = await startProgram();
  killed.child.kill("SIGKILL");
  await exitStatus(killed.child);
  const orphan = serverPid();
  expect(orphan !== undefined && isAlive(orphan)).toBe(true);
  const { child, url } = await startProgram();
  expect(serverPid()).not.toBe(orphan);
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
  child.kill("SIGINT");
  expect(await exitStatus(child)).toBe(0);
}, 120_000);

test("starts after a crash of everything, with a stale postmaster.pid", async () => {
  const killed = await startProgram();
  const server = serverPid();
  killed.child.kill("SIGKILL");
  await exitStatus(killed.child);
  if (server === undefined) throw new Error("The server left no postmaster.pid.");
  process.kill(server, "SIGKILL");
  while (isAlive(server)) await sleep(20);
  const { child } = await startProgram();
  child.kill("SIGINT");
  expect(await exitStatus(child)).toBe(0);
}, 120_000);

test("two may share the database; the last one to go stops its server", async () => {
  const first = await startProgram();
  const second = await startProgram();
  const server = serverPid() ?? 0;
  first.child.kill("SIGINT");
  expect(await exitStatus(first.child)).toBe(0);
  expect(isAlive(server)).toBe(true);
  expect((await fetch(`${second.url}/readyz`)).status).toBe(200);
  second.child.kill("SIGINT");
  expect(await exitStatus(second.child)).toBe(0);
  expect(isAlive(server)).toBe(false);
}, 120_000);
