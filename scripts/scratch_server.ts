import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../src/paths.ts";
import {
  type DatabaseUrls,
  ensureDatabase,
  ensureRoles,
  loginUrls,
  prepareDatabase,
} from "../src/postgres/bootstrap.ts";
import { withClient } from "../src/postgres/client.ts";
import { type EmbeddedServer, startEmbedded } from "../src/postgres/embedded.ts";
import { migrateDatabase } from "../src/postgres/migrate.ts";
import { unpackPgtap } from "../src/postgres/pgtap.ts";
import { ensureDataDirectory, loadSecrets, makeTemporaryDirectory } from "../src/postgres/secrets.ts";
import type { ServerProfile } from "../src/postgres/settings.ts";
import { withUrl } from "../src/postgres/urls.ts";

export interface ScratchOptions {
  /** Default: a temporary directory, removed at the end. */
  dataDir?: string | undefined;
  port?: number | undefined;
  profile?: ServerProfile;
  /** More settings of the server. */
  settings?: Record<string, string>;
  say?: (message: string) => void;
}

/** A throw-away server with the roles of Tallystick and pgTAP at hand, and no database yet. */
export interface ScratchServer {
  server: EmbeddedServer;
  /** Makes a database: prepared, and migrated unless told otherwise. Tells its URLs. */
  createDatabase(name: string, options?: { migrate?: boolean }): Promise<DatabaseUrls & { superuser: string }>;
}

/** Starts a throw-away server, runs `work` with it, and stops and removes it whatever happens. */
export async function withScratchServer<T>(
  options: ScratchOptions,
  work: (scratch: ScratchServer) => Promise<T>,
): Promise<T> {
  const dataDir = options.dataDir ?? makeTemporaryDirectory("tallystick-scratch-");
  ensureDataDirectory(dataDir);
  let server: EmbeddedServer | undefined;
  try {
    server = await startEmbedded({
      dataDir,
      profile: options.profile ?? "throwaway",
      settings: { ...unpackPgtap(join(dataDir, "pgtap")), ...options.settings },
      ...(options.port === undefined ? {} : { port: options.port }),
      ...(options.say === undefined ? {} : { onProgress: options.say }),
    });
    await ensureRoles(server.superuserUrl, loadSecrets(dataDir));
    return await work(makeScratch(server, dataDir, options.say));
  } finally {
    await server?.stop();
    if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true });
  }
}

function makeScratch(server: EmbeddedServer, dataDir: string, say: ScratchOptions["say"]): ScratchServer {
  return {
    server,
    createDatabase: async (name, { migrate = true } = {}) => {
      const superuser = withUrl(server.superuserUrl, { database: name });
      await ensureDatabase(server.superuserUrl, name);
      await prepareDatabase(superuser);
      if (migrate) {
        await migrateDatabase({
          connectionString: superuser,
          includeCurrent: true,
          ...(say ? { onProgress: say } : {}),
        });
      }
      return { superuser, ...loginUrls(superuser, loadSecrets(dataDir)) };
    },
  };
}

/** Adds pgTAP, in the schema `tap`, for tests to use under every role, and the helpers of the tests. */
export async function installPgtap(superuserUrl: string): Promise<void> {
  await withClient(superuserUrl, async (client) => {
    await client.query("create schema if not exists tap; create extension if not exists pgtap schema tap");
    await client.query("grant usage on schema tap to public");
    // What the pgTAP files share needs the ledger to be there.
    const { rowCount } = await client.query("select where to_regnamespace('app_private') is not null");
    if (rowCount === 1) {
      await client.query(readFileSync(join(projectRoot, "test/pgtap/support/helpers.sql"), "utf8"));
    }
  });
}
