import { createHash, timingSafeEqual } from "node:crypto";
import type { RequestHandler } from "express";
import type pg from "pg";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Config } from "../config.ts";
import { sendStandardError } from "./error_response.ts";

/** What the server measures about itself, for GET /metrics. */
export interface Metrics {
  registry: Registry;
  /** Times every request. */
  measureRequests: RequestHandler;
  /** Counts GraphQL errors by code. */
  errors: Counter<"code">;
  sockets: Gauge;
}

/** A registry of its own for each server: tests run several in one process. */
export function makeMetrics(pool: pg.Pool): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const requests = new Histogram({
    name: "tallystick_http_request_seconds",
    help: "Time from the first byte of a request to the end of its answer.",
    labelNames: ["method", "route", "status"],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    registers: [registry],
  });
  const errors = new Counter({
    name: "tallystick_graphql_errors_total",
    help: "Errors that clients were answered with, by code.",
    labelNames: ["code"],
    registers: [registry],
  });
  const sockets = new Gauge({
    name: "tallystick_web_sockets",
    help: "Open web sockets.",
    registers: [registry],
  });
  new Gauge({
    name: "tallystick_pool_connections",
    help: "Connections of the API's pool, by state.",
    labelNames: ["state"],
    registers: [registry],
    collect() {
      this.set({ state: "idle" }, pool.idleCount);
      this.set({ state: "busy" }, pool.totalCount - pool.idleCount);
      this.set({ state: "waiting" }, pool.waitingCount);
    },
  });
  const routes = new Set(["/graphql", "/livez", "/readyz", "/metrics", "/"]);
  const measureRequests: RequestHandler = (request, response, next) => {
    const route = routes.has(request.path) ? request.path : "other";
    const stop = requests.startTimer({ method: request.method, route });
    response.once("close", () => stop({ status: String(response.statusCode) }));
    next();
  };
  return { registry, measureRequests, errors, sockets };
}

/** The figures of the server are for its operators: in production whoever reads them shows a token. */
export function protectMetrics({ metricsToken, environment }: Config): RequestHandler {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  const expected = metricsToken === undefined ? undefined : digest(`Bearer ${metricsToken}`);
  return (request, response, next) => {
    const isAllowed = expected
      ? timingSafeEqual(digest(request.headers.authorization ?? ""), expected)
      : environment !== "production";
    if (isAllowed) return next();
    // As if there were none.
    sendStandardError(response, { status: 404, code: "NOT_FOUND" });
  };
}
