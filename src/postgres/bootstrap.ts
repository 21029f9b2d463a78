import { readFileSync } from "node:fs";
import { runMigrations } from "graphile-worker";
import pg from "pg";
import { migrationsFolder } from "../paths.ts";
import { withClient } from "./client.ts";
import { quietWorkerLogger } from "./quiet_logger.ts";
import { type Secrets, scramVerifier } from "./secrets.ts";
import { databaseOf, withUrl } from "./urls.ts";

/** One URL for each login of a Tallystick database. */
export interface DatabaseUrls {
  owner: string;
  api: string;
  worker: string;
}

type Passwords = Pick<Secrets, "ownerPassword" | "apiPassword" | "workerPassword">;

/** Makes or repairs the roles of the server and gives the logins their passwords. */
export async function ensureRoles(superuserUrl: string, passwords: Partial<Passwords>): Promise<void> {
  await withClient(superuserUrl, async (client) => {
    await client.query(readFileSync(`${migrationsFolder}/roles.sql`, "utf8"));
    const logins = [
      ["tallystick_owner", passwords.ownerPassword],
      ["tallystick_api", passwords.apiPassword],
      ["tallystick_worker", passwords.workerPassword],
    ] as const;
    for (const [role, password] of logins) {
      if (password === undefined) continue;
      await client.query(`alter role ${role} password ${pg.escapeLiteral(scramVerifier(password))}`);
    }
  });
}

/** Makes the database, owned by tallystick_owner, if it is missing. Tells whether it made it. */
export async function ensureDatabase(superuserUrl: string, name: string): Promise<boolean> {
  return withClient(superuserUrl, async (client) => {
    const found = await client.query("select from pg_catalog.pg_database where datname = $1", [name]);
    if (found.rowCount !== 0) return false;
    await client.query(`create database ${pg.escapeIdentifier(name)} owner tallystick_owner`);
    return true;
  });
}

/**
 * What a database needs before its first migration: rights on the database itself and the
 * worker's schema. `adminUrl` is a superuser or the database's owner.
 */
export async function prepareDatabase(adminUrl: string): Promise<void> {
  const name = databaseOf(adminUrl);
  const script = readFileSync(`${migrationsFolder}/afterReset.sql`, "utf8");
  await withClient(adminUrl, async (client) => {
    await client.query(script.replaceAll(":DATABASE_NAME", pg.escapeIdentifier(name)));
  });
  await installWorkerSchema(adminUrl);
}

/** Installs or upgrades the schema of graphile-worker in the name of the worker role. */
export async function installWorkerSchema(adminUrl: string): Promise<void> {
  const connectionString = withUrl(adminUrl, { options: "-c role=tallystick_worker" });
  await runMigrations({ connectionString, logger: quietWorkerLogger });
  // Functions of the owner may name the worker's functions and types; the queue stays the worker's.
  await withClient(connectionString, (client) =>
    client.query("grant usage on schema graphile_worker to tallystick_owner"),
  );
}

/** The URLs of the three logins on the server and database of `url`. */
export function loginUrls(url: string, passwords: Passwords): DatabaseUrls {
  return {
    owner: withUrl(url, { user: "tallystick_owner", password: passwords.ownerPassword }),
    api: withUrl(url, { user: "tallystick_api", password: passwords.apiPassword }),
    worker: withUrl(url, { user: "tallystick_worker", password: passwords.workerPassword }),
  };
}
