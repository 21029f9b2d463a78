import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import {
  type Binaries,
  chooseUser,
  findBinaries,
  type RunAs,
  reachableBinaries,
  reachableCluster,
  realOrSame,
  runToEnd,
} from "./binaries.ts";
import { isAlive, otherHolders, registerHolder, unregisterHolder, withDirectoryLock } from "./holders.ts";
import { ensureDataDirectory, loadSecrets } from "./secrets.ts";
import { type ServerProfile, serverArguments } from "./settings.ts";

export interface EmbeddedOptions {
  /** Where the cluster, its log and the passwords live. Made if missing. */
  dataDir: string;
  profile?: ServerProfile;
  /** A fixed port; default: the port used last time if it is free, else any free one. */
  port?: number;
  /** More server settings, for example `extension_control_path`. */
  settings?: Record<string, string>;
  /** Told what is going on, one short sentence at a time. */
  onProgress?: (message: string) => void;
}

export interface EmbeddedServer {
  port: number;
  /** The superuser's URL; replace the database as needed. */
  superuserUrl: string;
  /** Whether another command had started the server already. */
  shared: boolean;
  /** Resolves, with a reason, if the server ends without being asked to. Never, when shared. */
  died: Promise<string>;
  /** Stops the server, unless another process still uses it. May be called twice. */
  stop(): Promise<void>;
}

interface Running {
  pid: number;
  port: number;
}

/**
 * Starts a PostgreSQL server on the data directory, or joins the one that another command of
 * this checkout has started there. A server left behind by a killed process is restarted.
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedServer> {
  const dataDir = resolve(options.dataDir);
  ensureDataDirectory(dataDir);
  return withDirectoryLock(dataDir, async () => {
    const { superuserPassword } = loadSecrets(dataDir);
    const cluster = realOrSame(join(dataDir, "postgres"));
    const running = findRunning(cluster);
    if (running && otherHolders(dataDir).length > 0) {
      const superuserUrl = makeUrl(running.port, superuserPassword);
      await waitUntilReady(superuserUrl, () => undefined);
      registerHolder(dataDir);
      return makeHandle({ dataDir, cluster, port: running.port, superuserUrl, shared: true });
    }
    if (running) {
      options.onProgress?.("Stopping the database server that an earlier run left behind.");
      await stopServer(cluster, running.pid);
    }
    return startNew(options, dataDir, superuserPassword);
  });
}

async function startNew(options: EmbeddedOptions, dataDir: string, password: string): Promise<EmbeddedServer> {
  const who = chooseUser(realOrSame(join(dataDir, "postgres")));
  const binaries = reachableBinaries(await findBinaries(), who, options.onProgress);
  const cluster = reachableCluster(dataDir, who, options.onProgress);
  if (!existsSync(join(cluster, "PG_VERSION"))) {
    options.onProgress?.("Creating a database cluster.");
    createCluster(binaries, who, cluster, password);
  }
  const port = await choosePort(dataDir, options.port);
  const args = ["-D", cluster, "-p", String(port), ...serverArguments(options.profile ?? "durable", options.settings)];
  const log = openSync(join(dataDir, "postgres.log"), "a", 0o600);
  // Its own process group: Ctrl-C reaches us only, so that we close our connections first.
  const child = spawn(binaries.postgres, args, {
    ...who,
    cwd: "/",
    detached: true,
    stdio: ["ignore", log, log],
    env: { PATH: "/usr/bin:/bin", LC_ALL: "C.UTF-8", TZ: "UTC" },
  });
  const superuserUrl = makeUrl(port, password);
  await waitUntilReady(superuserUrl, () => startFailure(child, dataDir));
  writeFileSync(join(dataDir, "port"), String(port), { mode: 0o600 });
  child.unref();
  registerHolder(dataDir);
  return makeHandle({ dataDir, cluster, port, superuserUrl, shared: false, child });
}

function createCluster(binaries: Binaries, who: RunAs, cluster: string, password: string): void {
  // What is there without PG_VERSION is a creation that was cut short: nothing of value.
  rmSync(cluster, { recursive: true, force: true });
  mkdirSync(cluster, { mode: 0o700 });
  const passwordFile = `${cluster}.password`;
  writeFileSync(passwordFile, password, { mode: 0o600 });
  try {
    if (who.uid !== undefined && who.gid !== undefined) {
      chownSync(cluster, who.uid, who.gid);
      chownSync(passwordFile, who.uid, who.gid);
    }
    chmodSync(cluster, 0o700);
    // The builtin locale sorts the same on every machine and never changes under an index.
    const locale = ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"];
    const access = ["-U", "postgres", "--auth=scram-sha-256", `--pwfile=${passwordFile}`];
    runToEnd(binaries.initdb, ["-D", cluster, ...access, ...locale, "--no-instructions"], who);
  } finally {
    rmSync(passwordFile, { force: true });
  }
}

/**
 * Stops the server of a data directory that nobody uses any more. False: somebody still does.
 */
export async function stopAbandoned(dataDir: string): Promise<boolean> {
  if (otherHolders(dataDir).length > 0) return false;
  const cluster = realOrSame(join(dataDir, "postgres"));
  const running = findRunning(cluster);
  if (running) await stopServer(cluster, running.pid);
  return true;
}

/** The server that runs on a cluster directory, if any, by the file that PostgreSQL keeps. */
function findRunning(cluster: string): Running | undefined {
  const file = join(cluster, "postmaster.pid");
  if (!existsSync(file)) return undefined;
  const lines = readFileSync(file, "utf8").split("\n");
  const pid = Number(lines[0]);
  const port = Number(lines[3]);
  if (!Number.isInteger(pid) || pid <= 1 || !isAlive(pid) || !isPostgres(pid, cluster)) return undefined;
  return { pid, port };
}

/** Guards against a process id that was reused after a reboot. Elsewhere than on Linux: trust. */
function isPostgres(pid: number, cluster: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(cluster);
  } catch {
    return process.platform !== "linux";
  }
}

async function stopServer(cluster: string, pid: number): Promise<void> {
  // SIGINT is PostgreSQL's fast shutdown: sessions end, data is flushed. SIGQUIT is the last resort.
  for (const [signal, seconds] of [["SIGINT", 30] as const, ["SIGQUIT", 10] as const]) {
    if (!isAlive(pid)) return;
    process.kill(pid, signal);
    const giveUpAt = Date.now() + seconds * 1000;
    while (Date.now() < giveUpAt) {
      if (!isAlive(pid)) return;
      await sleep(10);
    }
  }
  throw new Error(`The database server on ${cluster} (process ${pid}) does not stop. End it by hand, then try again.`);
}

function makeHandle(parts: {
  dataDir: string;
  cluster: string;
  port: number;
  superuserUrl: string;
  shared: boolean;
  child?: ChildProcess;
}): EmbeddedServer {
  let stopping = false;
  const { dataDir, cluster, child } = parts;
  // Not even process.exit() or an uncaught error may leave a server behind.
  const onExit = (): void => {
    unregisterHolder(dataDir);
    const running = findRunning(cluster);
    if (running && otherHolders(dataDir).length === 0) process.kill(running.pid, "SIGINT");
  };
  process.once("exit", onExit);
  const died = new Promise<string>((tell) => {
    child?.once("exit", (code, signal) => {
      if (stopping) return;
      tell(`The database server ended by itself (${signal ?? `status ${code}`}).\n${logTail(dataDir)}`);
    });
  });
  const stop = async (): Promise<void> => {
    if (stopping) return;
    stopping = true;
    process.removeListener("exit", onExit);
    await withDirectoryLock(dataDir, async () => {
      unregisterHolder(dataDir);
      const running = findRunning(cluster);
      if (running && otherHolders(dataDir).length === 0) await stopServer(cluster, running.pid);
    });
  };
  return { port: parts.port, superuserUrl: parts.superuserUrl, shared: parts.shared, died, stop };
}

function makeUrl(port: number, password: string): string {
  return `postgres://postgres:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`;
}

async function choosePort(dataDir: string, wanted: number | undefined): Promise<number> {
  if (wanted !== undefined && wanted !== 0) {
    if (await isFree(wanted)) return wanted;
    throw new Error(`Port ${wanted} is taken. Choose another port for the database server.`);
  }
  const file = join(dataDir, "port");
  const last = existsSync(file) ? Number(readFileSync(file, "utf8")) : 0;
  if (last > 0 && (await isFree(last))) return last;
  return freePort();
}

/** A TCP port of the loopback interface that nobody uses at this moment. */
export function freePort(): Promise<number> {
  return listenOnce(0);
}

async function isFree(port: number): Promise<boolean> {
  return listenOnce(port).then(
    () => true,
    () => false,
  );
}

function listenOnce(port: number): Promise<number> {
  return new Promise((done, fail) => {
    const probe = createServer();
    probe.once("error", fail);
    probe.listen(port, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => done(typeof address === "object" && address ? address.port : port));
    });
  });
}

/** Polls a connection rather than the log: what counts is that a client gets an answer. */
async function waitUntilReady(url: string, failure: () => string | undefined): Promise<void> {
  const giveUpAt = Date.now() + 60_000;
  for (;;) {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
    client.on("error", () => undefined);
    try {
      await client.connect();
      await client.query("select 1");
      return;
    } catch (error) {
      const reason = failure();
      if (reason !== undefined) throw new Error(reason);
      const code = (error as { code?: string }).code;
      if (code === "28P01") {
        throw new Error("The database server refuses our password: secrets.json is not the one it was made with.");
      }
      if (Date.now() > giveUpAt)
        throw new Error("The database server did not answer within a minute.", { cause: error });
      await sleep(15);
    } finally {
      await client.end().catch(() => undefined);
    }
  }
}

function startFailure(child: ChildProcess, dataDir: string): string | undefined {
  if (child.exitCode === null && child.signalCode === null) return undefined;
  return `The database server did not start.\n${logTail(dataDir)}`;
}

function logTail(dataDir: string): string {
  const path = join(dataDir, "postgres.log");
  const lines = existsSync(path) ? readFileSync(path, "utf8").trimEnd().split("\n").slice(-10) : [];
  return [`The last lines of ${path}:`, ...lines.map((line) => `  ${line}`)].join("\n");
}
