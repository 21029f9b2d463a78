import pg from "pg";
import type { Config } from "../config.ts";
import { type DatabaseUrls, ensureDatabase, ensureRoles, loginUrls, prepareDatabase } from "./bootstrap.ts";
import { withClient } from "./client.ts";
import { type EmbeddedServer, startEmbedded } from "./embedded.ts";
import { migrateDatabase } from "./migrate.ts";
import { loadSecrets, type Secrets } from "./secrets.ts";
import { databaseOf, withoutPassword, withUrl } from "./urls.ts";

/** A database that is up, prepared and migrated. */
export interface Database {
  urls: DatabaseUrls;
  /** May do everything: for the tools of a developer. */
  adminUrl: string;
  embedded: EmbeddedServer | undefined;
  /** Stops the embedded server, if there is one. */
  close(): Promise<void>;
}

type Say = (message: string) => void;

/** The database of the embedded server, or of DATABASE_URL if that is set; ready for use. */
export async function openDatabase(config: Config, options: { migrate: boolean; say: Say }): Promise<Database> {
  if (config.databaseUrl !== undefined) return openGiven(config, config.databaseUrl, options);
  const database = await openEmbedded(config, options.say);
  try {
    if (options.migrate) await migrateOpened(database.adminUrl, config, options.say);
  } catch (error) {
    await database.close();
    throw error;
  }
  return database;
}

/** Drops the database of the embedded server and makes it anew; its other users are disconnected. */
export async function recreateEmbedded(database: Database, config: Config, say: Say): Promise<void> {
  const server = withUrl(database.adminUrl, { database: "postgres" });
  await withClient(server, (client) =>
    client.query(`drop database if exists ${pg.escapeIdentifier(embeddedDatabaseName)} with (force)`),
  );
  await ensureDatabase(server, embeddedDatabaseName);
  await prepareDatabase(database.adminUrl);
  await migrateOpened(database.adminUrl, config, say);
}

/** The name of the database inside the embedded server. */
export const embeddedDatabaseName = "tallystick";

async function openEmbedded(config: Config, say: Say): Promise<Database> {
  const secrets = loadSecrets(config.dataDir);
  const embedded = await startEmbedded({ dataDir: config.dataDir, onProgress: say });
  try {
    const adminUrl = withUrl(embedded.superuserUrl, { database: embeddedDatabaseName });
    await ensureRoles(embedded.superuserUrl, secrets);
    await ensureDatabase(embedded.superuserUrl, embeddedDatabaseName);
    await prepareDatabase(adminUrl);
    return { urls: loginUrls(adminUrl, secrets), adminUrl, embedded, close: () => embedded.stop() };
  } catch (error) {
    await embedded.stop();
    throw error;
  }
}

async function openGiven(config: Config, url: string, options: { migrate: boolean; say: Say }): Promise<Database> {
  const name = databaseOf(url);
  const server = withUrl(url, { database: "postgres" });
  const rights = await readRights(server, url);
  const secrets = rights.mayCreateRoles ? givenPasswords(config) : undefined;
  if (secrets) {
    await ensureRoles(server, secrets);
    if (await ensureDatabase(server, name)) options.say(`Created the database ${name}.`);
  }
  await assertUsable(url);
  await prepareDatabase(url);
  if (options.migrate) await migrateOpened(url, config, options.say);
  const derived = secrets && loginUrls(url, secrets);
  // A command that only needs the owner must not fail because the other logins are unknown.
  const urls = {
    owner: url,
    get api() {
      return config.apiDatabaseUrl ?? derived?.api ?? missing("TALLYSTICK_API_DATABASE_URL", "tallystick_api", url);
    },
    get worker() {
      return (
        config.workerDatabaseUrl ??
        derived?.worker ??
        missing("TALLYSTICK_WORKER_DATABASE_URL", "tallystick_worker", url)
      );
    },
  };
  return { urls, adminUrl: url, embedded: undefined, close: async () => undefined };
}

/** The passwords that the given URLs state; made-up ones, kept in the data directory, for the rest. */
function givenPasswords(config: Config): Pick<Secrets, "ownerPassword" | "apiPassword" | "workerPassword"> {
  const secrets = loadSecrets(config.dataDir);
  const stated = (url: string | undefined, role: string): string | undefined => {
    if (url === undefined) return undefined;
    const { username, password } = new URL(url);
    return username === role && password !== "" ? decodeURIComponent(password) : undefined;
  };
  return {
    ownerPassword: stated(config.databaseUrl, "tallystick_owner") ?? secrets.ownerPassword,
    apiPassword: stated(config.apiDatabaseUrl, "tallystick_api") ?? secrets.apiPassword,
    workerPassword: stated(config.workerDatabaseUrl, "tallystick_worker") ?? secrets.workerPassword,
  };
}

function missing(setting: string, role: string, url: string): never {
  throw new Error(
    `${setting} is not set, and it cannot be derived: ${withoutPassword(url)} may not create roles. ` +
      `Set it to the URL of the login ${role}.`,
  );
}

async function readRights(server: string, url: string): Promise<{ mayCreateRoles: boolean }> {
  // The target database may not exist yet; a locked-down server may not let us into `postgres`.
  return askRights(server)
    .catch(() => askRights(url))
    .catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`Cannot connect to ${withoutPassword(url)} (DATABASE_URL): ${reason}`, { cause: error });
    });
}

async function askRights(url: string): Promise<{ mayCreateRoles: boolean }> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ version: number; can: boolean }>(
      `select pg_catalog.current_setting('server_version_num')::integer as version, (rolsuper or rolcreaterole) as can
         from pg_catalog.pg_roles where rolname = current_user`,
    );
    const { version, can } = rows[0] ?? { version: 0, can: false };
    if (version < 180000) {
      throw new Error(`it is PostgreSQL ${Math.floor(version / 10000)}, and Tallystick needs 18 or newer.`);
    }
    return { mayCreateRoles: can };
  });
}

/** A given database must have the roles and belong to the owner role, or the migrations would fail half-way. */
async function assertUsable(url: string): Promise<void> {
  await withClient(url, async (client) => {
    const { rows } = await client.query<{ owner: string; roles: number }>(
      `select pg_catalog.pg_get_userbyid(datdba) as owner,
              (select count(*)::integer from pg_catalog.pg_roles
                where rolname in ('tallystick_owner', 'tallystick_api', 'tallystick_worker')) as roles
         from pg_catalog.pg_database where datname = pg_catalog.current_database()`,
    );
    if (rows[0]?.roles !== 3) {
      throw new Error("The roles of Tallystick are missing. Run migrations/roles.sql as a superuser, then try again.");
    }
    if (rows[0].owner !== "tallystick_owner") {
      const name = databaseOf(url);
      throw new Error(
        `The database ${name} belongs to ${rows[0].owner}. As a superuser, run ` +
          `\`alter database "${name}" owner to tallystick_owner\`, or name a database that does not exist yet.`,
      );
    }
  });
}

async function migrateOpened(url: string, config: Config, say: Say): Promise<void> {
  const includeCurrent = config.environment !== "production";
  try {
    await migrateDatabase({ connectionString: url, includeCurrent, onProgress: say });
  } catch (error) {
    const hint = includeCurrent
      ? " If you are changing current.sql, `npm run db:reset` starts from an empty database."
      : "";
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`The migrations did not run: ${reason}.${hint}`, { cause: error });
  }
}
