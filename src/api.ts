import "./graphql/graphile.ts";
import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { Logger } from "pino";
import { postgraphile } from "postgraphile";
import { grafserv } from "postgraphile/grafserv/express/v4";
import type { GraphQLSchema } from "postgraphile/graphql";
import { type RefusalRecorder, startRefusalRecorder } from "./audit/refusal_recorder.ts";
import type { Config } from "./config.ts";
import { refuseDemoPeople } from "./demo/refuse_demo.ts";
import { findFaults } from "./graphql/check_documents.ts";
import { loadOperationRules, type OperationRules } from "./graphql/operations.ts";
import { makePreset } from "./graphql/preset.ts";
import { loadRefusals } from "./graphql/refusals.ts";
import { makeRequestContext } from "./graphql/request_context.ts";
import { makeApiKeys } from "./http/api_keys.ts";
import { type AppOptions, addRoutes, makeApp } from "./http/app.ts";
import { callerOf } from "./http/caller.ts";
import { checkLogin } from "./http/check_login.ts";
import { upgradeAddress } from "./http/client_address.ts";
import { countInDatabase } from "./http/count_hits.ts";
import { makeMetrics } from "./http/metrics.ts";
import { makeRateLimits, type RateLimits } from "./http/rate_limits.ts";
import { requestIdOf } from "./http/request_id.ts";
import { makeHttpServer } from "./http/serve_http.ts";
import { type TokenKeys, tokenKeysOf } from "./http/token_keys.ts";
import { claimsOfWebSocket, serveWebSockets } from "./http/web_sockets.ts";
import { callAsAuthenticator } from "./identity/database.ts";
import { makeGate } from "./identity/gate.ts";
import { type Identity, makeIdentity } from "./identity/identity.ts";
import { makePasswords } from "./identity/passwords.ts";
import { sendLater } from "./identity/tools.ts";
import { type FindWords, type Mail, type Mailer, type MailWords, missingMailer, smtpMailer } from "./mailer.ts";
import { smtpTransport } from "./notifications/email.ts";
import { logBrokenConnections } from "./postgres/pool.ts";
import { postTogether } from "./posting/post_together.ts";
import { makePostingQueue } from "./posting/queue.ts";
import { makeReceiptLinks } from "./receipts/links.ts";

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
  /** Default: the configured mail server. Without one the log says so when there is something to send. */
  mailer?: Mailer;
}

/** Starts the HTTP server: GraphQL at /graphql, subscriptions there too, and what operations need. */
export async function startApi({ config, databaseUrl, log, mailer: given }: ApiOptions): Promise<RunningPart> {
  const operationRules = loadOperationRules(config);
  const pool = openPool({ databaseUrl, max: config.apiPoolSize, pipeline: true, log });
  const transport = given || !config.mail ? undefined : smtpTransport(config.mail);
  const mailer =
    given ?? (transport ? smtpMailer({ transport, findWords: findWordsIn(pool), log }) : missingMailer(log));
  const subscriberPool = openPool({ databaseUrl, max: 1, pipeline: false, log });
  // Counting never waits for requests, nor they for it.
  const counterPool = openPool({ databaseUrl, max: 1, pipeline: true, log, timeoutMs: 2_000 });
  const recorder = startRefusalRecorder({ pool, log });
  const pools = [pool, subscriberPool, counterPool];
  const closePools = async (): Promise<void> => {
    await recorder.stop();
    transport?.close();
    await Promise.all(pools.map((one) => one.end()));
  };
  try {
    await checkLogin(pool);
    if (config.environment === "production") await refuseDemoPeople(pool);
    return await serve({
      config,
      log,
      operationRules,
      pool,
      subscriberPool,
      counterPool,
      recorder,
      mailer,
      closePools,
    });
  } catch (error) {
    await closePools();
    throw error;
  }
}

interface ServeOptions {
  config: Config;
  log: Logger;
  operationRules: OperationRules;
  pool: pg.Pool;
  subscriberPool: pg.Pool;
  counterPool: pg.Pool;
  recorder: RefusalRecorder;
  mailer: Mailer;
  closePools: () => Promise<void>;
}

async function serve(options: ServeOptions): Promise<RunningPart> {
  const { config, log, operationRules, pool, subscriberPool, counterPool, recorder, mailer, closePools } = options;
  const refusals = await loadRefusals(pool);
  const keys = tokenKeysOf(config);
  const metrics = makeMetrics(pool);
  const rateLimits = makeRateLimits({ config, refusals, countHits: countInDatabase(counterPool), log });
  const identity = startIdentity({ config, pool, keys, rateLimits, mailer, log });
  const postings = makePostingQueue({
    post: postTogether(pool),
    maxBatch: 100,
    maxBatches: Math.max(2, Math.floor(config.apiPoolSize / 2)),
    maxWaiting: config.postingQueue,
  });
  const outbound = { allowPrivate: config.webhooksAllowPrivate };
  const sendMail = (mail: Mail): void => sendLater({ mailer, log }, mail);
  const receiptLinks = makeReceiptLinks({ secret: config.jwtSecret, publicUrl: config.publicUrl });
  const services = { fieldKeys: config.fieldKeys, outbound, identity, postings, sendMail, receiptLinks };
  let stopping = false;
  const instance = postgraphile(
    makePreset({
      pool,
      subscriberPool,
      refusals,
      log,
      environment: config.environment,
      operationRules,
      maxCost: config.maxQueryCost,
      onError: (code) => metrics.errors.inc({ code }),
      report: recorder.record,
      makeContext: ({ expressv4, ws }) =>
        expressv4
          ? makeRequestContext({ ...callerOf(expressv4.req), ...services })
          : makeRequestContext({
              claims: ws?.socket && claimsOfWebSocket(ws.socket),
              requestId: requestIdOf(ws?.request ?? {}),
              address: ws?.request ? upgradeAddress(app, ws.request) : "",
              userAgent: null,
              ...services,
            }),
    }),
  );
  const isStopping = (): boolean => stopping;
  const callDatabase = callAsAuthenticator(pool);
  const apiKeys = makeApiKeys({ callDatabase, fieldKeys: config.fieldKeys });
  const appOptions: AppOptions = {
    config,
    pool,
    keys,
    apiKeys,
    callDatabase,
    identity,
    refusals,
    rateLimits,
    operationRules,
    postings,
    receiptLinks,
    metrics,
    recorder,
    log,
    isStopping,
  };
  const app = makeApp(appOptions);
  const server = makeHttpServer(app);
  const serv = instance.createServ(grafserv);
  await serv.addTo(app, server, false);
  warnOfInvalidOperations(await instance.getSchema(), operationRules, log);
  addRoutes(app, appOptions);
  const onCount = (open: number): void => metrics.sockets.set(open);
  const closeWebSockets = serveWebSockets({
    app,
    server,
    serv,
    keys,
    refusals,
    recorder,
    corsOrigins: config.corsOrigins,
    rateLimits,
    operationRules,
    log,
    onCount,
  });
  server.listen(config.port, config.host);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const stop = async (): Promise<void> => {
    stopping = true;
    // From here on /readyz says no; who asks it sends nothing new once it has heard.
    await sleep(config.drainSeconds * 1000);
    await closeWebSockets();
    await closeServer(server);
    await rateLimits.stop().catch((error: unknown) => log.warn({ err: error }, "the last requests were not counted"));
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
  rateLimits: RateLimits;
  mailer: Mailer;
  log: Logger;
}

function startIdentity({ config, pool, keys, rateLimits, mailer, log }: IdentityOptions): Identity {
  const { argon2, hashing, fieldKeys, lifetimes } = config;
  return makeIdentity({
    call: callAsAuthenticator(pool),
    passwords: makePasswords({ cost: argon2, gate: makeGate(hashing) }),
    fieldKeys,
    tokenKeys: keys,
    mailer,
    log,
    lifetimes,
    admit: ({ address }) => rateLimits.admitSignIn(address),
  });
}

/** The words of messages about accounts, which nobody who is signed in may read for others. */
function findWordsIn(pool: pg.Pool): FindWords {
  const call = callAsAuthenticator(pool);
  const nobody = { claims: undefined, address: "", requestId: "", userAgent: null };
  return async (kind, { tenantId, userId }) => {
    type Row = { words: MailWords["words"]; tenant_name: string | null; time_zone: string };
    const [row] = await call<Row>(nobody, "direct_words", [kind, tenantId ?? null, userId ?? null]);
    if (!row) throw new Error(`There are no words for ${kind}.`);
    return { words: row.words, tenantName: row.tenant_name, timeZone: row.time_zone };
  };
}

interface PoolOptions {
  databaseUrl: string;
  max: number;
  pipeline: boolean;
  log: Logger;
  timeoutMs?: number;
}

function openPool({ databaseUrl, max, pipeline, log, timeoutMs = 10_000 }: PoolOptions): pg.Pool {
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    max,
    pipeline,
    // A client that cannot get a connection is told so, instead of waiting for ever.
    connectionTimeoutMillis: timeoutMs,
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

/** A client that is out of date gets an error; whoever runs the server should know before. */
function warnOfInvalidOperations(schema: GraphQLSchema, { operations }: OperationRules, log: Logger): void {
  for (const [hash, document] of operations ?? []) {
    const [fault] = findFaults(schema, document);
    if (fault) log.warn({ operation: hash, fault: fault.message }, "a registered operation does not fit the schema");
  }
}
