import "./graphql/graphile.ts";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import pg from "pg";
import type { Logger } from "pino";
import { postgraphile } from "postgraphile";
import { grafserv } from "postgraphile/grafserv/express/v4";
import { type RefusalRecorder, startRefusalRecorder } from "./audit/refusal_recorder.ts";
import type { Config } from "./config.ts";
import { makePreset } from "./graphql/preset.ts";
import { loadRefusals } from "./graphql/refusals.ts";
import { makeRequestContext } from "./graphql/request_context.ts";
import { addressOf } from "./http/address.ts";
import { addFallbacks, makeApp } from "./http/app.ts";
import { claimsOf } from "./http/authenticate.ts";
import { checkLogin } from "./http/check_login.ts";
import { makeMetrics } from "./http/metrics.ts";
import { requestIdOf } from "./http/request_id.ts";
import { tokenKey } from "./http/tokens.ts";
import { claimsOfWebSocket, serveWebSockets } from "./http/web_sockets.ts";
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
}

/** Starts the HTTP server: GraphQL at /graphql, subscriptions there too, and what operations need. */
export async function startApi({ config, databaseUrl, log }: ApiOptions): Promise<RunningPart> {
  const pool = openPool({ databaseUrl, max: config.apiPoolSize, pipeline: true, log });
  const recorder = startRefusalRecorder({ pool, log });
  const subscriberPool = openPool({ databaseUrl, max: 1, pipeline: false, log });
  const closePools = async (): Promise<void> => {
    await recorder.stop();
    await Promise.all([pool.end(), subscriberPool.end()]);
  };
  try {
    await checkLogin(pool);
    return await serve({ config, log, pool, subscriberPool, recorder, closePools });
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
  recorder: RefusalRecorder;
  closePools: () => Promise<void>;
}

async function serve(options: ServeOptions): Promise<RunningPart> {
  const { config, log, pool, subscriberPool, recorder, closePools } = options;
  const refusals = await loadRefusals(pool);
  const key = tokenKey(config.jwtSecret);
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
      report: recorder.record,
      makeContext: ({ expressv4, ws }) =>
        expressv4
          ? makeRequestContext({
              claims: claimsOf(expressv4.req),
              requestId: requestIdOf(expressv4.req),
              address: addressOf(expressv4.req),
            })
          : makeRequestContext({
              claims: ws?.socket && claimsOfWebSocket(ws.socket),
              requestId: requestIdOf(ws?.request ?? {}),
              address: addressOf(ws?.request, app),
            }),
    }),
  );
  const app = makeApp({ config, pool, key, refusals, metrics, recorder, log, isStopping: () => stopping });
  const server = createServer(app);
  const serv = instance.createServ(grafserv);
  await serv.addTo(app, server, false);
  await instance.getSchema();
  addFallbacks(app, refusals, log);
  const onCount = (open: number): void => metrics.sockets.set(open);
  const closeWebSockets = serveWebSockets({
    server,
    serv,
    key,
    refusals,
    recorder,
    addressOf: (request) => addressOf(request, app),
    log,
    onCount,
  });
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
