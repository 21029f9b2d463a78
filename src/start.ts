import type { Logger } from "pino";
import type { ApiOptions, RunningPart } from "./api.ts";
import type { Config } from "./config.ts";
import type { DemoProvider } from "./demo/payment_provider.ts";
import { demoTenant } from "./demo/people.ts";
import { tokenKeysOf } from "./http/token_keys.ts";
import { makeGate } from "./identity/gate.ts";
import { makePasswords } from "./identity/passwords.ts";
import { createLogger } from "./log.ts";
import type { MailCatcher } from "./mail_catcher/catcher.ts";
import { withClient } from "./postgres/client.ts";
import { type Database, openDatabase } from "./postgres/database.ts";
import { loadSecrets } from "./postgres/secrets.ts";
import { withoutPassword } from "./postgres/urls.ts";

export interface StartOptions {
  /** Only this part, on a database that another service has migrated. Default: everything. */
  only?: "api" | "worker";
  /** Where the lines for people go. */
  say: (message: string) => void;
}

/**
 * Runs Tallystick until the process is told to stop: the database, then the API and the worker.
 * Resolves with the exit status after everything has been stopped, in the opposite order.
 */
export async function start(config: Config, options: StartOptions): Promise<number> {
  const log = createLogger(config);
  const parts: RunningPart[] = [];
  const end = waitForEnd(options.say);
  try {
    // A process of its own, which gets up while the database does.
    const providing = simulateProvider(config, options, parts);
    providing.catch(() => undefined);
    const urls = await openParts(config, options, parts, end.fail);
    const catcher = await catchMails(config, options, urls, parts);
    const mail = catcher
      ? { url: catcher.smtpUrl, from: "Tallystick <mail@demo.example>", requireTls: false }
      : config.mail;
    const provider = await providing;
    const paymentProviders = { ...config.paymentProviders, ...(provider && { simulatedUrl: provider.url }) };
    const apiUrl = end.asked()
      ? undefined
      : await startParts({ ...config, mail, paymentProviders }, options, log, urls, parts, end.fail);
    if (apiUrl) await provider?.tell(apiUrl);
    for (const line of provider?.help ?? []) options.say(line);
    if (catcher) options.say(`Mails are caught, and shown at ${catcher.url}`);
    const reason = await end.reason;
    if (reason instanceof Error) throw reason;
    options.say(`Stopping (${reason}).`);
    return 0;
  } catch (error) {
    options.say(error instanceof Error ? error.message : String(error));
    log.debug({ err: error }, "stopped by an error");
    return 1;
  } finally {
    for (const part of parts.reverse()) {
      await part.stop().catch((error: unknown) => options.say(`While stopping: ${String(error)}`));
    }
  }
}

interface PartUrls {
  api: string;
  worker: string;
  /** Only known when this process prepared the database itself. */
  database?: Database;
}

async function openParts(
  config: Config,
  options: StartOptions,
  parts: RunningPart[],
  fail: (error: Error) => void,
): Promise<PartUrls> {
  const given = options.only === "api" ? config.apiDatabaseUrl : config.workerDatabaseUrl;
  if (options.only !== undefined && given !== undefined) return { api: given, worker: given };
  const database = await openDatabase(config, { migrate: true, say: options.say });
  parts.push({ stop: () => database.close() });
  void database.embedded?.died.then((reason) => fail(new Error(reason)));
  await seedIfEmpty(config, database, options.say);
  // Each part asks for its own URL only: with `--only api` the worker's need not be known.
  const { urls } = database;
  return {
    api: options.only === "worker" ? "" : urls.api,
    worker: options.only === "api" ? "" : urls.worker,
    database,
  };
}

async function startParts(
  config: Config,
  options: StartOptions,
  log: Logger,
  urls: PartUrls,
  parts: RunningPart[],
  fail: (error: Error) => void,
): Promise<string | undefined> {
  if (options.only !== "api") {
    const { startWorker } = await import("./worker.ts");
    parts.push(await startWorker({ config, databaseUrl: urls.worker, log, onFatal: fail }));
  }
  // The API is last to start and first to stop: while it answers, everything behind it is up.
  const api = options.only === "worker" ? undefined : await loadAndStartApi({ config, databaseUrl: urls.api, log });
  if (api) parts.push(api);
  options.say("Tallystick is ready. Ctrl-C stops it.");
  if (api?.url) options.say(`  API       ${api.url}/graphql`);
  if (api?.url && config.environment === "development") options.say(`  GraphiQL  ${api.url}/`);
  if (options.only !== "api") options.say(`  Worker    ${config.workerConcurrency} jobs at a time`);
  if (urls.database) {
    const kind = urls.database.embedded
      ? `embedded, in ${config.dataDir}; \`npm run db -- url\` for psql`
      : "DATABASE_URL";
    options.say(`  Database  ${withoutPassword(urls.database.urls.owner)} (${kind})`);
  }
  if (api?.url && urls.database?.embedded) await greet(config, urls.database, api.url, options.say);
  return api?.url;
}

/** What only one part needs is loaded with it: a worker does without PostGraphile, others without the demonstration. */
async function loadAndStartApi(options: ApiOptions): Promise<RunningPart> {
  const { startApi } = await import("./api.ts");
  return startApi(options);
}

/** An embedded database without a tenant is new: fill it with the demonstration data. */
async function seedIfEmpty(config: Config, database: Database, say: (message: string) => void): Promise<void> {
  if (!database.embedded) return;
  const { rows } = await withClient(database.adminUrl, (client) =>
    client.query<{ found: boolean }>("select exists (select from app_public.tenants) as found"),
  );
  if (rows[0]?.found !== false) return;
  const { seedDemo } = await import("./demo/seed.ts");
  const passwords = makePasswords({ cost: config.argon2, gate: makeGate(config.hashing) });
  const { demoSecret: secret } = loadSecrets(config.dataDir);
  await seedDemo({ ownerUrl: database.urls.owner, keys: config.fieldKeys, passwords, secret, say });
}

/** In development, on the embedded database, mails are caught and shown, unless there is a server for them. */
async function catchMails(
  config: Config,
  { only }: StartOptions,
  { database }: PartUrls,
  parts: RunningPart[],
): Promise<MailCatcher | undefined> {
  if (config.environment !== "development" || config.mail || !database?.embedded || only !== undefined)
    return undefined;
  const { startMailCatcher } = await import("./mail_catcher/catcher.ts");
  const catcher = await startMailCatcher();
  parts.push(catcher);
  return catcher;
}

/** The same for payments: where nobody names a simulated provider, one is started that settles them. */
async function simulateProvider(
  config: Config,
  { only }: StartOptions,
  parts: RunningPart[],
): Promise<DemoProvider | undefined> {
  const { environment, dataDir, databaseUrl, paymentProviders } = config;
  if (environment !== "development" || paymentProviders.simulatedUrl || databaseUrl || only !== undefined)
    return undefined;
  const { startDemoProvider } = await import("./demo/payment_provider.ts");
  const provider = await startDemoProvider({ dataDir, secret: loadSecrets(dataDir).demoSecret });
  parts.push(provider);
  return provider;
}

/** In development, with the demonstration in the books: who can sign in, tokens that are ready and things to try. */
async function greet(
  config: Config,
  database: Database,
  apiUrl: string,
  say: (message: string) => void,
): Promise<void> {
  if (config.environment !== "development") return;
  const { welcome } = await import("./demo/welcome.ts");
  const lines = await withClient(database.adminUrl, async (client) => {
    const { rows } = await client.query<{ id: number }>("select id from app_public.tenants where slug = $1", [
      demoTenant,
    ]);
    const tenantId = rows[0]?.id;
    const { demoSecret: secret } = loadSecrets(config.dataDir);
    return tenantId === undefined ? [] : welcome(client, { apiUrl, keys: tokenKeysOf(config), tenantId, secret });
  });
  for (const line of lines) say(line);
}

/** Resolves with the signal that asks us to stop, or with the error that makes us. */
function waitForEnd(say: (message: string) => void): {
  reason: Promise<NodeJS.Signals | Error>;
  asked: () => boolean;
  fail: (error: Error) => void;
} {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals | Error>();
  let asked = false;
  let askedAt = 0;
  const settle = (reason: NodeJS.Signals | Error): void => {
    asked = true;
    askedAt = Date.now();
    resolve(reason);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      // One Ctrl-C arrives up to three times: from the terminal, from npm and from our launcher.
      if (asked && Date.now() - askedAt < 500) return;
      if (asked) {
        say("Stopped at once.");
        process.exit(130);
      }
      settle(signal);
    });
  }
  return { reason: promise, asked: () => asked, fail: settle };
}
