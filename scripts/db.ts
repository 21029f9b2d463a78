/**
 * The database of this checkout, for its developers. `npm run db -- <command>`:
 *   url [owner|api|worker|superuser]   print the URL of a login, for psql and other tools
 *   reset                              drop the embedded database, then make and migrate it anew
 *   new                                how to begin a migration
 *   commit [-m message]                commit current.sql, proven on two empty databases
 * Any other command goes to graphile-migrate (watch, status, compile, uncommit, …), with the
 * embedded server, or DATABASE_URL if that is set.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { type Config, loadConfig } from "../src/config.ts";
import { projectRoot } from "../src/paths.ts";
import { ensureDatabase } from "../src/postgres/bootstrap.ts";
import { type Database, embeddedDatabaseName, openDatabase, recreateEmbedded } from "../src/postgres/database.ts";
import { isCurrentBlank } from "../src/postgres/migrate.ts";
import { withUrl } from "../src/postgres/urls.ts";
import { withScratchServer } from "./scratch_server.ts";

const say = (message: string): void => void process.stderr.write(`${message}\n`);

if (existsSync(`${projectRoot}/.env`)) process.loadEnvFile(`${projectRoot}/.env`);

const [command = "help", ...rest] = process.argv.slice(2);
try {
  process.exitCode = await runCommand(loadConfig(process.env));
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}

async function runCommand(config: Config): Promise<number> {
  if (command === "new") return explainNew();
  if (command === "commit") return commitOnScratch();
  const database = await openDatabase(config, { migrate: false, say });
  try {
    if (command === "url") return printUrl(database);
    if (command === "reset") return await reset(config, database);
    return await graphileMigrate([command, ...rest], await migrateEnvironment(config, database));
  } finally {
    await database.close();
  }
}

function printUrl(database: Database): number {
  const urls = { ...database.urls, superuser: database.adminUrl };
  const [login = "owner"] = rest;
  const url = Object.entries(urls).find(([name]) => name === login)?.[1];
  if (url === undefined) {
    say(`There is no login ${login}. Choose one of ${Object.keys(urls).join(", ")}.`);
    return 2;
  }
  console.log(url);
  if (!database.embedded?.shared && database.embedded)
    say("The server runs only while `npm start` or another command does.");
  return 0;
}

async function reset(config: Config, database: Database): Promise<number> {
  if (!database.embedded) {
    say("DATABASE_URL is set. Only the embedded database can be reset: unset DATABASE_URL first.");
    return 1;
  }
  await recreateEmbedded(database, config, say);
  say(
    `The database is empty and migrated${database.embedded.shared ? ". Restart `npm start`, which has lost it" : ""}.`,
  );
  return 0;
}

function explainNew(): number {
  say(`Write the migration in migrations/current.sql, and the functions, views and policies that it needs in
migrations/fixtures/<domain>/<name>.sql, which current.sql includes with a line such as

  --!include ledger/post_transaction.sql

\`npm run db -- watch\` applies both each time you save. When the tests pass:

  npm run migration:commit -- -m "what changes, in a few words"

migrations/README.md tells what goes where.`);
  if (!isCurrentBlank()) say("\nmigrations/current.sql is not blank: finish or commit what it holds first.");
  return 0;
}

/**
 * graphile-migrate runs a migration again when it is committed. On a developer's database, which
 * has it already, that only works for SQL that can be repeated; on an empty one it proves that
 * the whole history can be run. So a commit uses a server of its own.
 */
async function commitOnScratch(): Promise<number> {
  return withScratchServer({ say }, async ({ server, createDatabase }) => {
    const urls = await createDatabase("tallystick", { migrate: false });
    await createDatabase("tallystick_shadow", { migrate: false });
    const environment = {
      DATABASE_URL: urls.owner,
      SHADOW_DATABASE_URL: withUrl(urls.owner, { database: "tallystick_shadow" }),
      ROOT_DATABASE_URL: server.superuserUrl,
    };
    return graphileMigrate(["commit", ...rest], environment);
  });
}

async function migrateEnvironment(config: Config, database: Database): Promise<Record<string, string>> {
  if (config.databaseUrl !== undefined || !database.embedded) return {};
  const shadow = `${embeddedDatabaseName}_shadow`;
  await ensureDatabase(database.embedded.superuserUrl, shadow);
  return {
    DATABASE_URL: database.urls.owner,
    SHADOW_DATABASE_URL: withUrl(database.urls.owner, { database: shadow }),
    ROOT_DATABASE_URL: database.embedded.superuserUrl,
  };
}

async function graphileMigrate(args: string[], environment: Record<string, string>): Promise<number> {
  const program = `${projectRoot}/node_modules/graphile-migrate/dist/cli.js`;
  const child = spawn(process.execPath, [program, ...args], {
    cwd: projectRoot,
    stdio: "inherit",
    env: { ...process.env, ...environment },
  });
  // Ctrl-C in a terminal reaches the child too; we wait for it, then stop the server.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  const [code] = (await once(child, "exit")) as [number | null];
  return code ?? 130;
}
