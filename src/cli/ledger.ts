import { existsSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { type Config, loadConfig } from "../config.ts";
import type { Role } from "../http/tokens.ts";
import { loadSecrets } from "../postgres/secrets.ts";
import { withUrl } from "../postgres/urls.ts";
import { CommandError, say } from "./output.ts";

/** The books of one tenant, seen and written as one of the request roles. */
export interface TenantLedger {
  client: pg.Client;
  tenantId: number;
  slug: string;
}

/** The way to the ledger's database, by the configuration that the environment gives. */
export class Ledgers {
  readonly #environment: Record<string, string | undefined>;

  constructor(environment: Record<string, string | undefined>) {
    this.#environment = environment;
  }

  /** Reads the configuration; throws an error that names every mistake in it. */
  readConfig(): Config {
    return loadConfig(this.#environment);
  }

  /**
   * Connects as the database's owner, runs `work` and closes everything. The embedded server is joined
   * if it runs, and started for the duration of the command if it does not.
   */
  async withOwner<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const interrupt = (signal: NodeJS.Signals): void => {
      say(`Stopped (${signal}). What was not finished has not been kept.`);
      // An orderly exit: an embedded server that we started is stopped on the way out.
      process.exit(130);
    };
    process.on("SIGINT", interrupt);
    process.on("SIGTERM", interrupt);
    const database = await openServer(this.readConfig());
    try {
      return await withSession(database.url, work);
    } finally {
      await database.close();
      process.off("SIGINT", interrupt);
      process.off("SIGTERM", interrupt);
    }
  }

  /**
   * As withOwner, but in the place of a request: a request role, a tenant and a user, so that the same
   * functions, grants and row level security hold as for everybody else.
   */
  async withTenant<T>(
    options: { tenant: string; role: Role; user?: string | undefined },
    work: (ledger: TenantLedger) => Promise<T>,
  ): Promise<T> {
    return this.withOwner(async (client) => {
      const tenantId = await findTenant(client, options.tenant);
      const { role, user } = options;
      // As long as the longest import may take.
      const session = await openCommandSession(client, { tenantId, role, user, seconds: 24 * 3600 });
      await client.query(
        `select set_config('role', $1, false), set_config('tallystick.tenant_id', $2, false),
                set_config('tallystick.user_id', $3, false), set_config('tallystick.session_id', $4, false)`,
        [`tallystick_${role}`, String(tenantId), session.userId, session.sessionId],
      );
      return work({ client, tenantId, slug: options.tenant });
    });
  }
}

export interface CommandSessionOptions {
  tenantId: number;
  role: Role;
  /** Default: the command line itself. */
  user?: string | undefined;
  seconds: number;
}

/** Opens a session for a command, as the owner. */
export async function openCommandSession(
  client: pg.ClientBase,
  { tenantId, role, user, seconds }: CommandSessionOptions,
): Promise<{ sessionId: string; userId: string }> {
  const { rows } = await client.query<{ sessionId: string; userId: string }>(
    `select session_id as "sessionId", acting_user_id as "userId"
     from app_private.open_command_session($1, $2, $3, now() + make_interval(secs => $4))`,
    [tenantId, user ?? null, role, seconds],
  );
  if (!rows[0]) throw new Error("The ledger opened no session.");
  return rows[0];
}

/** Runs `work` in a database transaction: all of it is kept, or nothing. */
export async function inTransaction<T>(client: pg.ClientBase, work: () => Promise<T>): Promise<T> {
  await client.query("begin");
  try {
    const result = await work();
    await client.query("commit");
    return result;
  } catch (error) {
    await client.query("rollback");
    throw error;
  }
}

/** The id of a tenant, or an error that names those that there are. */
export async function findTenant(client: pg.Client, slug: string): Promise<number> {
  const { rows } = await client.query<{ id: number }>("select id from app_public.tenants where slug = $1", [slug]);
  if (rows[0]) return rows[0].id;
  const others = await client.query<{ slug: string }>("select slug from app_public.tenants order by slug limit 20");
  const known = others.rows.map((row) => row.slug).join(", ");
  throw new CommandError(
    `There is no tenant ${slug}.${known === "" ? "" : ` There are: ${known}.`}`,
    `\`npx tallystick tenant create ${slug}\` makes it.`,
  );
}

async function openServer(config: Config): Promise<{ url: string; close: () => Promise<void> }> {
  if (config.databaseUrl !== undefined) return { url: config.databaseUrl, close: async () => undefined };
  if (!existsSync(join(config.dataDir, "postgres", "PG_VERSION"))) {
    throw new CommandError(
      `There is no ledger in ${config.dataDir}.`,
      "Make and start one with `npx tallystick start`, or name another with TALLYSTICK_DATA_DIR or DATABASE_URL.",
    );
  }
  // Loaded here only: with DATABASE_URL a command answers in half the time without them.
  const { startEmbedded } = await import("../postgres/embedded.ts");
  const { embeddedDatabaseName } = await import("../postgres/database.ts");
  const { loginUrls } = await import("../postgres/bootstrap.ts");
  const server = await startEmbedded({ dataDir: config.dataDir });
  if (!server.shared) say("The ledger is not running; its database is up for this command only.");
  const { owner } = loginUrls(
    withUrl(server.superuserUrl, { database: embeddedDatabaseName }),
    loadSecrets(config.dataDir),
  );
  return { url: owner, close: () => server.stop() };
}

async function withSession<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, application_name: "tallystick-cli" });
  client.on("error", () => undefined);
  await client.connect();
  try {
    // A superuser's URL will do as well: from here on the owner's rights are all that is used.
    await client.query("set role tallystick_owner; set timezone to 'UTC'");
    const { rows } = await client.query<{ ready: boolean }>(
      "select to_regclass('app_public.transactions') is not null as ready",
    );
    if (!rows[0]?.ready) {
      throw new CommandError("The database holds no ledger yet.", "Run `npx tallystick migrate` first.");
    }
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
