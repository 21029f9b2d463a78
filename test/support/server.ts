import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectRoot } from "../../src/paths.ts";
import { ensureDatabase, ensureRoles, loginUrls, prepareDatabase } from "../../src/postgres/bootstrap.ts";
import { withClient } from "../../src/postgres/client.ts";
import { type EmbeddedServer, startEmbedded, stopAbandoned } from "../../src/postgres/embedded.ts";
import { migrateDatabase } from "../../src/postgres/migrate.ts";
import { unpackPgtap } from "../../src/postgres/pgtap.ts";
import { loadSecrets, makeTemporaryDirectory } from "../../src/postgres/secrets.ts";
import { withUrl } from "../../src/postgres/urls.ts";

/** What a test process needs to know of the server of its run. */
export interface TestServerAddress {
  superuserUrl: string;
  owner: string;
  api: string;
  worker: string;
}

export interface TestServer {
  address: TestServerAddress;
  /** Stops the server and deletes its directory. */
  stop(): Promise<void>;
}

/** The databases that test databases are copied from: migrated, and migrated plus pgTAP. */
export const templates = { plain: "template_tallystick", pgtap: "template_pgtap" } as const;

const prefix = "tallystick-test-";

/** Starts the throw-away server of one test run and builds its template databases. */
export async function startTestServer(): Promise<TestServer> {
  await sweepAbandoned();
  const dataDir = makeTemporaryDirectory(prefix);
  const remove = (): void => rmSync(dataDir, { recursive: true, force: true });
  let server: EmbeddedServer | undefined;
  try {
    server = await startEmbedded({
      dataDir,
      profile: "throwaway",
      settings: unpackPgtap(join(dataDir, "pgtap")),
    });
    const secrets = loadSecrets(dataDir);
    await ensureRoles(server.superuserUrl, secrets);
    await buildTemplates(server.superuserUrl);
    const { superuserUrl } = server;
    const address = { superuserUrl, ...loginUrls(superuserUrl, secrets) };
    return { address, stop: () => stopAndRemove(server, remove) };
  } catch (error) {
    await stopAndRemove(server, remove);
    throw error;
  }
}

async function stopAndRemove(server: EmbeddedServer | undefined, remove: () => void): Promise<void> {
  await server?.stop();
  remove();
}

async function buildTemplates(superuserUrl: string): Promise<void> {
  const plain = withUrl(superuserUrl, { database: templates.plain });
  const pgtap = withUrl(superuserUrl, { database: templates.pgtap });
  await ensureDatabase(superuserUrl, templates.plain);
  await prepareDatabase(plain);
  await migrateDatabase({ connectionString: plain, includeCurrent: true });
  // A copy needs its original to be free of connections; from here on nobody can open one.
  await withClient(superuserUrl, async (client) => {
    await client.query(`alter database ${templates.plain} with allow_connections false`);
    await client.query(`create database ${templates.pgtap} template ${templates.plain} owner tallystick_owner`);
  });
  await withClient(pgtap, async (client) => {
    await client.query("create schema tap; create extension pgtap schema tap; grant usage on schema tap to public");
    await client.query(readFileSync(join(projectRoot, "test/pgtap/support/helpers.sql"), "utf8"));
  });
  await withClient(superuserUrl, (client) =>
    client.query(`alter database ${templates.pgtap} with allow_connections false`),
  );
}

/** Removes what test runs left behind that were killed before they could clean up. */
async function sweepAbandoned(): Promise<void> {
  const tenMinutesAgo = Date.now() - 600_000;
  for (const name of readdirSync(tmpdir()).filter((entry) => entry.startsWith(prefix))) {
    const path = join(tmpdir(), name);
    const stat = statSync(path, { throwIfNoEntry: false });
    // A young directory may belong to a run that is just starting.
    if (!stat || stat.uid !== (process.getuid?.() ?? stat.uid) || stat.mtimeMs > tenMinutesAgo) continue;
    if (await stopAbandoned(path)) rmSync(path, { recursive: true, force: true });
  }
}
