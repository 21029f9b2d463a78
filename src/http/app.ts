import type { IncomingMessage } from "node:http";
import cors from "cors";
import express, { type ErrorRequestHandler, type Express, type RequestHandler, Router } from "express";
import helmet from "helmet";
import type pg from "pg";
import type { Logger } from "pino";
import { pinoHttp } from "pino-http";
import type { RefusalRecorder } from "../audit/refusal_recorder.ts";
import type { Config } from "../config.ts";
import { isUnavailable } from "../graphql/mask_error.ts";
import { chooseOperation, type OperationPayload, type OperationRules } from "../graphql/operations.ts";
import { maxBodyBytes } from "../graphql/preset.ts";
import type { RefusalCatalog } from "../graphql/refusals.ts";
import type { CallDatabase } from "../identity/database.ts";
import type { Identity } from "../identity/identity.ts";
import type { PostingQueue } from "../posting/queue.ts";
import type { ReceiptLinks } from "../receipts/links.ts";
import type { ApiKeys } from "./api_keys.ts";
import { authPath, authRoutes } from "./auth_routes.ts";
import { authenticate, claimsOf } from "./authenticate.ts";
import { authenticateSigned } from "./authenticate_signed.ts";
import { callerOf } from "./caller.ts";
import { clientAddress } from "./client_address.ts";
import { sendRefusal, sendStandardError } from "./error_response.ts";
import { healthRoutes } from "./health.ts";
import { kycWebhook } from "./kyc_webhook.ts";
import { type Metrics, protectMetrics } from "./metrics.ts";
import { paymentWebhooks } from "./payment_webhooks.ts";
import type { RateLimits } from "./rate_limits.ts";
import { readJson } from "./read_body.ts";
import { receiptRoute, receiptsPath } from "./receipts.ts";
import { recordBadToken } from "./record_bad_token.ts";
import { assignRequestId, requestIdOf } from "./request_id.ts";
import type { TokenKeys } from "./token_keys.ts";
import { TokenError } from "./tokens.ts";

export interface AppOptions {
  config: Config;
  pool: pg.Pool;
  keys: TokenKeys;
  identity: Identity;
  apiKeys: ApiKeys;
  callDatabase: CallDatabase;
  refusals: RefusalCatalog;
  rateLimits: RateLimits;
  operationRules: OperationRules;
  postings: Pick<PostingQueue<unknown>, "hasRoom">;
  receiptLinks: ReceiptLinks;
  metrics: Metrics;
  recorder: RefusalRecorder;
  log: Logger;
  isStopping: () => boolean;
}

/**
 * Everything in front of GraphQL: ids, logs, headers, tokens, limits. GraphQL itself comes behind it, and then the
 * other routes: nearly every request is for GraphQL, and none of these is asked whether it is meant.
 */
export function makeApp(options: AppOptions): Express {
  const { config, keys, apiKeys, refusals, rateLimits, operationRules, postings, metrics, recorder, log, isStopping } =
    options;
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.set("trust proxy", config.trustProxy);
  app.set("query parser", false);
  app.use((request, response, next) => {
    assignRequestId(request, response);
    next();
  });
  app.use(logRequests(log));
  app.use(metrics.measureRequests);
  app.use(endConnections(isStopping), secureHeaders(config), requireHost);
  const graphql = Router();
  graphql.use(allowOrigins(config), postOnly);
  const signed = authenticateSigned({ apiKeys, rateLimits, refusals, recorder });
  graphql.use(...signed.letIn);
  // Those who come without a token are counted before anything is done for them; so are bad tokens.
  graphql.use(authenticate(keys), rateLimits.limitAddress, ...rateLimits.limitCaller);
  graphql.use(refuseToken(refusals, rateLimits, recorder), signed.refuse);
  graphql.use(negotiate, readJson(refusals), checkBody(refusals, operationRules));
  graphql.use(refuseWhenFull(postings, refusals, operationRules));
  app.use("/graphql", graphql);
  return app;
}

/** What comes behind GraphQL: the other routes, and the answer to what nobody took. */
export function addRoutes(app: Express, options: AppOptions): void {
  const { config, pool, keys, callDatabase, identity, refusals, rateLimits, receiptLinks, metrics, recorder } = options;
  const { log, isStopping } = options;
  app.use(healthRoutes({ pool, isStopping }));
  app.get("/metrics", protectMetrics(config), async (_request, response) => {
    response.type(metrics.registry.contentType).send(await metrics.registry.metrics());
  });
  app.use(kycWebhook({ config, pool, rateLimits, log }));
  app.use(paymentWebhooks({ callDatabase, fieldKeys: config.fieldKeys, rateLimits, refusals, recorder, log }));
  if (keys.publicKeys.length > 0) app.get("/.well-known/jwks.json", publishKeys(keys));
  // Here the refresh token may be a cookie.
  app.use(authPath, allowOrigins(config, { credentials: true }), postOnly);
  app.use(authPath, authenticate(keys), rateLimits.limitAddress, ...rateLimits.limitCaller);
  app.use(authPath, refuseToken(refusals, rateLimits, recorder));
  app.use(authPath, readJson(refusals), authRoutes({ identity, refusals, callerOf }));
  app.use(receiptsPath, authenticate(keys), rateLimits.limitAddress, ...rateLimits.limitCaller);
  app.use(receiptsPath, refuseToken(refusals, rateLimits, recorder));
  app.use(receiptsPath, receiptRoute({ pool, refusals, receiptLinks, log }));
  app.use((_request, response) => sendStandardError(response, { status: 404, code: "NOT_FOUND" }));
  app.use(handleErrors(refusals, log));
}

/** What others verify access tokens with. */
function publishKeys({ publicKeys }: TokenKeys): RequestHandler {
  return (_request, response) => {
    response.setHeader("Cache-Control", "public, max-age=300");
    response.type("application/jwk-set+json").send(JSON.stringify({ keys: publicKeys }));
  };
}

/** While the server stops every answer ends its connection: the next request finds another server. */
function endConnections(isStopping: () => boolean): RequestHandler {
  return (_request, response, next) => {
    const writeHead = response.writeHead.bind(response) as (...args: unknown[]) => typeof response;
    // Decided as late as can be: a request may have begun before the server was told to stop.
    response.writeHead = (...args: unknown[]) => {
      if (isStopping()) response.setHeader("Connection", "close");
      return writeHead(...args);
    };
    next();
  };
}

/** Two servers in a row could read a request without a host differently. */
const requireHost: RequestHandler = (request, response, next) => {
  if (request.headers.host !== undefined || request.httpVersion === "1.0") return next();
  response.setHeader("Connection", "close");
  sendStandardError(response, { status: 400, code: "BAD_REQUEST" });
};

const postOnly: RequestHandler = (request, response, next) => {
  if (request.method === "POST") return next();
  response.setHeader("Allow", "POST");
  sendStandardError(response, { status: 405, code: "METHOD_NOT_ALLOWED" });
};

/** Web pages of the listed origins may call; of others the browser lets none through. */
function allowOrigins(config: Config, { credentials = false } = {}): RequestHandler {
  return cors({
    credentials,
    origin: config.corsOrigins,
    methods: ["POST"],
    allowedHeaders: ["Authorization", "Content-Type", "X-Request-Id"],
    exposedHeaders: ["X-Request-Id", "Retry-After", "RateLimit", "RateLimit-Policy"],
    maxAge: 600,
  });
}

/** A token that is not valid is answered with 401, as often as an address may come without one at all. */
function refuseToken(refusals: RefusalCatalog, rateLimits: RateLimits, recorder: RefusalRecorder): ErrorRequestHandler {
  return (error: unknown, request, response, next) => {
    if (!(error instanceof TokenError)) return next(error);
    rateLimits.limitAddress(request, response, (trouble?: unknown) => {
      if (trouble) return next(trouble);
      recordBadToken(recorder, { error, requestId: requestIdOf(request), address: clientAddress(request) });
      response.setHeader("WWW-Authenticate", 'Bearer error="invalid_token"');
      sendRefusal(response, refusals, { status: 401, code: error.code });
    });
  };
}

const answerTypes = ["application/graphql-response+json", "application/json"] as const;

/** Decides between the two forms of an answer, here, where a request that takes neither gets one of our errors. */
const negotiate: RequestHandler = (request, response, next) => {
  const type = request.accepts(...answerTypes);
  if (type === false) return sendStandardError(response, { status: 406, code: "NOT_ACCEPTABLE" });
  request.headers.accept = type;
  next();
};

/** A request of GraphQL over HTTP is one JSON object with an operation; anything else ends here. */
function checkBody(refusals: RefusalCatalog, rules: OperationRules): RequestHandler {
  return (request, response, next) => {
    const body: unknown = request.body;
    const { variables, operationName, ...payload } = (isObject(body) ? body : {}) as Record<string, unknown>;
    const isRead =
      isObject(body) &&
      isStringOrNothing(payload["query"]) &&
      (variables === undefined || variables === null || isObject(variables)) &&
      isStringOrNothing(operationName) &&
      namesOperation(payload);
    if (!isRead) {
      const message = "The body must be a JSON object with `query`, and perhaps `variables` and `operationName`.";
      return sendStandardError(response, { status: 400, code: "BAD_REQUEST", message });
    }
    const operation = chooseOperation(payload, rules);
    if (!operation) return sendRefusal(response, refusals, { status: 400, code: "LG167" });
    request.body = { ...operation, variables, operationName };
    // Grafserv reads the type again, and more literally.
    request.headers["content-type"] = "application/json";
    next();
  };
}

/** While too many wait to be posted, one more is turned away before anything is done for it. */
function refuseWhenFull(
  postings: AppOptions["postings"],
  refusals: RefusalCatalog,
  { operations }: OperationRules,
): RequestHandler {
  return (request, response, next) => {
    if (postings.hasRoom()) return next();
    const { query, documentId = "" } = request.body as { query?: string; documentId?: string };
    if (!/\bpostTransaction\b/.test(query ?? operations?.get(documentId) ?? "")) return next();
    response.setHeader("Retry-After", "1");
    sendRefusal(response, refusals, { status: 503, code: "LG363" });
  };
}

function namesOperation({ query, documentId, id, extensions }: OperationPayload): boolean {
  return [query, documentId, id].some((value) => typeof value === "string") || isObject(extensions);
}

function isStringOrNothing(value: unknown): boolean {
  return value === undefined || value === null || typeof value === "string";
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function logRequests(log: Logger): RequestHandler {
  return pinoHttp({
    logger: log,
    genReqId: (request) => requestIdOf(request),
    autoLogging: { ignore: (request) => /^\/(livez|readyz|metrics)/.test(request.url ?? "") },
    // Said once, when the answer is: what is said as a property of the logger is written twice, and makes it anew.
    customSuccessObject: (request, _response, value: object) => ({ ...askerOf(request), ...value }),
    customErrorObject: (request, _response, _error, value: object) => ({ ...askerOf(request), ...value }),
    // Headers and bodies are left out: tokens and personal data have no place in a log.
    serializers: {
      req: (request: { id: string; method: string; url: string }) => ({
        id: request.id,
        method: request.method,
        url: request.url.split("?")[0],
      }),
      res: (response: { statusCode: number }) => ({ statusCode: response.statusCode }),
    },
  }) as unknown as RequestHandler;
}

/** Who sent a request, as the log tells it. */
function askerOf(request: IncomingMessage): object {
  const claims = claimsOf(request);
  const address = clientAddress(request as express.Request);
  return claims ? { address, tenantId: claims.tenantId, userId: claims.userId, role: claims.role } : { address };
}

/** The API serves data and no pages, so browsers are told to do nothing with it, and nobody to keep it. */
function secureHeaders(config: Config): RequestHandler[] {
  const noStore: RequestHandler = (_request, response, next) => {
    response.setHeader("Cache-Control", "no-store");
    next();
  };
  if (config.environment === "development") {
    // GraphiQL runs inline scripts; it is only served in development.
    return [helmet({ contentSecurityPolicy: false, strictTransportSecurity: false }), noStore];
  }
  const directives = {
    defaultSrc: ["'none'"],
    baseUri: ["'none'"],
    formAction: ["'none'"],
    frameAncestors: ["'none'"],
  };
  const policies = helmet({
    contentSecurityPolicy: { useDefaults: false, directives },
    xFrameOptions: { action: "deny" },
  });
  return [policies, noStore];
}

/** Errors of the body parser and anything unforeseen, in the shape of GraphQL and without a stack. */
function handleErrors(refusals: RefusalCatalog, log: Logger): ErrorRequestHandler {
  return (error: unknown, _request, response, next) => {
    if (response.headersSent) return next(error);
    if (isUnavailable(refusals, error)) return sendRefusal(response, refusals, { status: 503, code: "LG363" });
    const { status, type, limit } = error as { status?: number; type?: string; limit?: number };
    if (type === "entity.too.large") {
      const detail = { maximum: limit ?? maxBodyBytes };
      return sendRefusal(response, refusals, { status: 413, code: "LG164", detail });
    }
    if (status === 415) return sendStandardError(response, { status, code: "UNSUPPORTED_MEDIA_TYPE" });
    if (status !== undefined && status >= 400 && status < 500) {
      return sendStandardError(response, { status, code: "BAD_REQUEST" });
    }
    log.error({ err: error }, "a request failed");
    sendStandardError(response, { status: 500, code: "INTERNAL_SERVER_ERROR" });
  };
}
