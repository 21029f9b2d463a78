import { type Logger, pino } from "pino";
import type { Config } from "./config.ts";

/** The log of the process: one JSON object a line on standard output, secrets left out. */
export function createLogger(config: Pick<Config, "logLevel">): Logger {
  return pino({
    level: config.logLevel,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: serializeError, error: serializeError },
    redact: {
      paths: ["req.headers.authorization", "req.headers.cookie", "res.headers['set-cookie']", "*.password"],
      censor: "[redacted]",
    },
  });
}

/** Errors of a broken connection carry the whole connection with them, passwords included. */
function serializeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { client: _client, ...rest } = pino.stdSerializers.err(error) as unknown as Record<string, unknown>;
  return rest;
}
