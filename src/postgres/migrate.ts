import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Logger } from "@graphile/logger";
import { migrate, type Settings, watch } from "graphile-migrate";
// Not part of the documented interface, hence the exactly pinned version; see waitUntilGone.
import { clearAllPools } from "graphile-migrate/dist/pgReal.js";
import { migrationsFolder } from "../paths.ts";
import { withClient } from "./client.ts";
import { withUrl } from "./urls.ts";

export interface MigrateOptions {
  /** The owner, or a superuser: the migrations run as tallystick_owner in either case. */
  connectionString: string;
  /** Also apply migrations/current.sql, the migration being written. Not for production. */
  includeCurrent: boolean;
  onProgress?: (message: string) => void;
}

/**
 * Brings a database to the newest migration.
 * The connection becomes tallystick_owner, so that every object belongs to that role.
 */
export async function migrateDatabase(options: MigrateOptions): Promise<void> {
  const name = `tallystick-migrate-${process.pid}`;
  const settings: Settings = {
    // From the first statement on, so that graphile-migrate's own tables are the owner's too.
    connectionString: withUrl(options.connectionString, {
      applicationName: name,
      options: "-c role=tallystick_owner",
    }),
    migrationsFolder,
    pgSettings: { timezone: "UTC" },
    logger: makeLogger(options.onProgress),
  };
  try {
    if (options.includeCurrent && !isCurrentBlank()) await watch(settings, true);
    else await migrate(settings);
  } finally {
    clearAllPools();
    await waitUntilGone(options.connectionString, name);
  }
}

/**
 * graphile-migrate keeps idle connections for a moment and ends the *process* if one of them
 * breaks, as it would when the server is stopped right after migrating.
 */
async function waitUntilGone(connectionString: string, applicationName: string): Promise<void> {
  await withClient(connectionString, async (client) => {
    for (let attempt = 0; attempt < 100; attempt += 1) {
      const { rowCount } = await client.query("select from pg_catalog.pg_stat_activity where application_name = $1", [
        applicationName,
      ]);
      if (rowCount === 0) return;
      await sleep(10);
    }
  });
}

/** Whether migrations/current.sql holds nothing but comments and blanks. */
export function isCurrentBlank(): boolean {
  const path = `${migrationsFolder}/current.sql`;
  if (!existsSync(path)) return true;
  const text = readFileSync(path, "utf8");
  // `--!include` is a comment to PostgreSQL, but it is content to graphile-migrate.
  const lines = text.split("\n").filter((line) => /^--!\s*include\s/.test(line) || !/^\s*(--.*)?$/.test(line));
  return (
    lines
      .join("\n")
      .replace(/\/\*[\s\S]*?\*\//g, "")
      .trim() === ""
  );
}

/** Errors and warnings as they are; progress as one sentence for each migration that ran. */
function makeLogger(onProgress: ((message: string) => void) | undefined): Logger {
  let unchanged = false;
  return new Logger(() => (level, message) => {
    if (level === "error" || level === "warning") process.stderr.write(`${message}\n`);
    if (/current\.sql unchanged/.test(message)) unchanged = true;
    const committed = /Running migration '(.+?)'/.exec(message)?.[1];
    if (committed !== undefined) onProgress?.(`Applying ${committed}.`);
    if (/: Finished \(/.test(message) && !unchanged) onProgress?.("Applied current.sql.");
  });
}
