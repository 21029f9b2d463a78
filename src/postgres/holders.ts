import { mkdirSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Who uses an embedded server. Each process that uses it leaves a file named after its process
 * id in `holders/`; the last one to go stops the server. A process that was killed leaves its
 * file behind, which is why the file also tells when the process was started.
 */
export function registerHolder(dataDir: string): void {
  mkdirSync(join(dataDir, "holders"), { recursive: true, mode: 0o700 });
  writeFileSync(join(dataDir, "holders", String(process.pid)), processStart(process.pid) ?? "", { mode: 0o600 });
}

/** Takes this process off the list. */
export function unregisterHolder(dataDir: string): void {
  rmSync(join(dataDir, "holders", String(process.pid)), { force: true });
}

/** The other processes, still alive, that use the server of this data directory. */
export function otherHolders(dataDir: string): number[] {
  const alive: number[] = [];
  for (const name of listFiles(join(dataDir, "holders"))) {
    const pid = Number(name);
    if (pid === process.pid) continue;
    if (isSameProcess(pid, join(dataDir, "holders", name))) alive.push(pid);
    else rmSync(join(dataDir, "holders", name), { force: true });
  }
  return alive;
}

/**
 * Runs `work` while holding the data directory's lock, so that two commands started in the same
 * moment do not both start a server.
 */
export async function withDirectoryLock<T>(dataDir: string, work: () => Promise<T>): Promise<T> {
  const path = join(dataDir, "lock");
  const giveUpAt = Date.now() + 60_000;
  while (!tryLock(path)) {
    if (Date.now() > giveUpAt) {
      throw new Error(`Another process holds ${path} for over a minute. Stop it, or remove the file if it is gone.`);
    }
    await sleep(50);
  }
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}

function tryLock(path: string): boolean {
  try {
    writeFileSync(path, `${process.pid} ${processStart(process.pid) ?? ""}`, { flag: "wx", mode: 0o600 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  try {
    const [pid, start] = readFileSync(path, "utf8").split(" ");
    // An empty file is a lock taken this instant.
    if (!pid) return false;
    const alive = isAlive(Number(pid)) && (!start || processStart(Number(pid)) === start);
    if (!alive) unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  return false;
}

function listFiles(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isSameProcess(pid: number, file: string): boolean {
  if (!isAlive(pid)) return false;
  const start = readFileSync(file, "utf8");
  return start === "" || processStart(pid) === start;
}

/** Whether a process with this id exists, ours or not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** When a process started, in the kernel's ticks: tells a reused process id. Linux only. */
function processStart(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}
