import "./graphql/graphile.ts";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import pg from "pg";
import type { Logger } from "pino";
import { postgraphile } from "postgraphile";
import { grafserv } from "postgraphile/grafserv/express/v4";
import type { Config } from "./config.ts";
import { refuseDemoPeople } from "./demo/refuse_demo.ts";
import { makePreset } from "./graphql/preset.ts";
import { loadRefusals } from "./graphql/refusals.ts";
import { makeRequestContext } from "./graphql/request_context.ts";
import { addFallbacks, makeApp } from "./http/app.ts";
import { callerOf } from "./http/caller.ts";
import { checkLogin } from "./http/check_login.ts";
import { makeMetrics } from "./http/metrics.ts";
import { requestIdOf } from "./http/request_id.ts";
import { type TokenKeys, tokenKeysOf } from "./http/token_keys.ts";
import { claimsOfWebSocket, serveWebSockets } from "./http/web_sockets.ts";
import { callAsAuthenticator } from "./identity/database.ts";
import { makeGate } from "./identity/gate.ts";
import { type Identity, makeIdentity } from "./identity/identity.ts";
import { makePasswords } from "./identity/passwords.ts";
import { type Mailer, missingMailer } from "./mailer.ts";
import { logBrokenConnections } from "./postgres/pool.ts";

/** A part of the process that runs until it is stopped. */
export interface RunningPart {
  /** Where it answers, if it does. */
  url?: string;
  /** Finishes what is under way, then releases everything it holds. */
  stop(): Promise<void>;
}

export interface ApiOptions {
  config: Config;
  /** The URL of the login tallystick_api. */
  databaseUrl: string;
  log: Logger;
  /** Default: none, and the log says so when there is something to send. */
  mailer?: Mailer;
}

/** Starts the HTTP server: GraphQL at /graphql, subscriptions there too, and what operations need. */
export async function startApi({
  config,
  databaseUrl,
  log,
  mailer = missingMailer(log),
}: ApiOptions): Promise<RunningPart> {
  const pool = openPool({ databaseUrl, max: config.apiPoolSize, pipeline: true, log });
  const subscriberPool = openPool({ databaseUrl, max: 1, pipeline: false, log });
  const closePools = async (): Promise<void> => void (await Promise.all([pool.end(), subscriberPool.end()]));
  try {
    await checkLogin(pool);
    if (config.environment === "production") await refuseDemoPeople(pool);
    return await serve({ config, log, pool, subscriberPool, mailer, closePools });
  } catch (error) {
    await closePools();
    throw error;
  }
}

interface ServeOptions {
  config: Config;
  log: Logger;
  pool: pg.Pool;
  subscriberPool: pg.Pool;
  mailer: Mailer;
  closePools: () => Promise<void>;
}

async function serve({ config, log, pool, subscriberPool, mailer, closePools }: ServeOptions): Promise<RunningPart> {
  const refusals = await loadRefusals(pool);
  const keys = tokenKeysOf(config);
  const identity = startIdentity({ config, pool, keys, mailer, log });
  const metrics = makeMetrics(pool);
  let stopping = false;
  const instance = postgraphile(
    makePreset({
      pool,
      subscriberPool,
      refusals,
      log,
      environment: config.environment,
      onError: (code) => metrics.errors.inc({ code }),
      makeContext: ({ expressv4, ws }) =>
        expressv4
          ? makeRequestContext({ ...callerOf(expressv4.req), fieldKeys: config.fieldKeys, identity })
          : makeRequestContext({
              claims: ws?.socket && claimsOfWebSocket(ws.socket),
              requestId: requestIdOf(ws?.request ?? {}),
              address: ws?.request?.socket.remoteAddress ?? "",
              userAgent: null,
              fieldKeys: config.fieldKeys,
              identity,
            }),
    }),
  );
  const app = makeApp({ config, pool, keys, identity, refusals, metrics, log, isStopping: () => stopping });
  const server = createServer(app);
  const serv = instance.createServ(grafserv);
  await serv.addTo(app, server, false);
  await instance.getSchema();
  addFallbacks(app, refusals, log);
  const onCount = (open: number): void => metrics.sockets.set(open);
  const closeWebSockets = serveWebSockets({ server, serv, keys, refusals, log, onCount });
  server.listen(config.port, config.host);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const stop = async (): Promise<void> => {
    stopping = true;
    await closeWebSockets();
    await closeServer(server);
    await instance.release();
    for (const service of instance.getResolvedPreset().pgServices ?? []) await service.release?.();
    await closePools();
  };
  return { url: `http://${config.host}:${port}`, stop };
}

interface IdentityOptions {
  config: Config;
  pool: pg.Pool;
  keys: TokenKeys;
  mailer: Mailer;
  log: Logger;
}

function startIdentity({ config, pool, keys, mailer, log }: IdentityOptions): Identity {
  const { argon2, hashing, fieldKeys, lifetimes } = config;
  return makeIdentity({
    call: callAsAuthenticator(pool),
    passwords: makePasswords({ cost: argon2, gate: makeGate(hashing) }),
    fieldKeys,
    tokenKeys: keys,
    mailer,
    log,
    lifetimes,
    admit: async () => undefined,
  });
}

function openPool(options: { databaseUrl: string; max: number; pipeline: boolean; log: Logger }): pg.Pool {
  const { databaseUrl, max, pipeline, log } = options;
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    max,
    pipeline,
    // A client that cannot get a connection is told so, instead of waiting for ever.
    connectionTimeoutMillis: 10_000,
    application_name: "tallystick-api",
  } as pg.PoolConfig);
  logBrokenConnections(pool, log);
  return pool;
}

/** Lets requests under way finish, within reason. */
async function closeServer(server: Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), 10_000);
  await closed;
  clearTimeout(timer);
}
