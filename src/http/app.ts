import type { KeyObject } from "node:crypto";
import cors from "cors";
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from "express";
import helmet from "helmet";
import type pg from "pg";
import type { Logger } from "pino";
import { pinoHttp } from "pino-http";
import type { RefusalRecorder } from "../audit/refusal_recorder.ts";
import type { Config } from "../config.ts";
import { limits } from "../graphql/limits.ts";
import { maxBodyBytes } from "../graphql/preset.ts";
import type { RefusalCatalog } from "../graphql/refusals.ts";
import { authenticate, claimsOf } from "./authenticate.ts";
import { sendRefusal } from "./error_response.ts";
import { healthRoutes } from "./health.ts";
import { limitRate } from "./limit_rate.ts";
import type { Metrics } from "./metrics.ts";
import { assignRequestId, requestIdOf } from "./request_id.ts";

export interface AppOptions {
  config: Config;
  pool: pg.Pool;
  key: KeyObject;
  refusals: RefusalCatalog;
  metrics: Metrics;
  recorder: RefusalRecorder;
  log: Logger;
  isStopping: () => boolean;
}

/** Everything in front of GraphQL: ids, logs, headers, health, tokens, limits. */
export function makeApp(options: AppOptions): Express {
  const { config, pool, key, refusals, metrics, recorder, log, isStopping } = options;
  const app = express();
  app.disable("x-powered-by");
  app.set("trust proxy", config.trustProxy);
  app.use((request, response, next) => {
    assignRequestId(request, response);
    next();
  });
  app.use(logRequests(log));
  app.use(metrics.measureRequests);
  app.use(healthRoutes({ pool, isStopping }));
  app.get("/metrics", async (_request, response) => {
    response.type(metrics.registry.contentType).send(await metrics.registry.metrics());
  });
  app.use(secureHeaders(config));
  app.use(
    "/graphql",
    cors({ origin: config.corsOrigins, maxAge: 600, exposedHeaders: ["X-Request-Id", "Retry-After"] }),
  );
  app.use("/graphql", postOnly);
  app.use("/graphql", authenticate(key, refusals, recorder), limitRate(config.rateLimitPerMinute, refusals));
  app.use(
    "/graphql",
    express.json({ limit: maxBodyBytes, type: ["application/json", "application/graphql-response+json"] }),
  );
  app.use("/graphql", checkBody(refusals));
  app.use(handleErrors(refusals, log));
  return app;
}

/** What comes after GraphQL: it took none of these. */
export function addFallbacks(app: Express, refusals: RefusalCatalog, log: Logger): void {
  app.use((_request, response) => {
    response.status(404).json({ errors: [{ message: "There is nothing here.", extensions: { code: "NOT_FOUND" } }] });
  });
  app.use(handleErrors(refusals, log));
}

const postOnly: RequestHandler = (request, response, next) => {
  if (request.method === "POST") return next();
  response
    .status(405)
    .setHeader("Allow", "POST")
    .json({ errors: [{ message: "Send a POST request.", extensions: { code: "METHOD_NOT_ALLOWED" } }] });
};

/** A request of GraphQL over HTTP is one JSON object with a query; anything else ends here. */
function checkBody(refusals: RefusalCatalog): RequestHandler {
  return (request, response, next) => {
    const body: unknown = request.body;
    const { query, variables, operationName } = (isObject(body) ? body : {}) as Record<string, unknown>;
    if (
      typeof query !== "string" ||
      !(variables === undefined || variables === null || isObject(variables)) ||
      !(operationName === undefined || operationName === null || typeof operationName === "string")
    ) {
      response.status(400).json({
        errors: [
          {
            message: "The body must be a JSON object with `query`, and perhaps `variables` and `operationName`.",
            extensions: { code: "BAD_REQUEST" },
          },
        ],
      });
      return;
    }
    if (query.length > limits.characters) {
      const detail = { characters: query.length, maximum: limits.characters };
      return sendRefusal(response, refusals, { status: 400, code: "LG163", detail });
    }
    request.body = { query, variables, operationName };
    next();
  };
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function logRequests(log: Logger): RequestHandler {
  return pinoHttp({
    logger: log,
    genReqId: (request) => requestIdOf(request),
    autoLogging: { ignore: (request) => /^\/(livez|readyz|metrics)/.test(request.url ?? "") },
    customProps: (request) => {
      const claims = claimsOf(request);
      return claims ? { tenantId: claims.tenantId, userId: claims.userId, role: claims.role } : {};
    },
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

function secureHeaders(config: Config): RequestHandler {
  if (config.environment !== "development") return helmet();
  // GraphiQL runs inline scripts; it is only served in development.
  return helmet({ contentSecurityPolicy: false, strictTransportSecurity: false });
}

/** Errors of the body parser and anything unforeseen, in the shape of GraphQL and without a stack. */
function handleErrors(refusals: RefusalCatalog, log: Logger): ErrorRequestHandler {
  return (error: unknown, _request, response, next) => {
    if (response.headersSent) return next(error);
    const { status, type } = error as { status?: number; type?: string };
    if (type === "entity.too.large") {
      return sendRefusal(response, refusals, { status: 413, code: "LG164", detail: { maximum: maxBodyBytes } });
    }
    if (status !== undefined && status >= 400 && status < 500) {
      response
        .status(status)
        .json({ errors: [{ message: "The request could not be read.", extensions: { code: "BAD_REQUEST" } }] });
      return;
    }
    log.error({ err: error }, "a request failed");
    response.status(500).json({
      errors: [{ message: "An internal error occurred.", extensions: { code: "INTERNAL_SERVER_ERROR" } }],
    });
  };
}
