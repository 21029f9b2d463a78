import type pg from "pg";
import type { Logger } from "pino";

/**
 * Logs connections of a pool that break, which would otherwise end the process. Not those that the
 * server ends while the pool is closing anyway.
 */
export function logBrokenConnections(pool: pg.Pool, log: Logger): void {
  const tell = (error: Error): void => {
    if (!pool.ending) log.warn({ err: error }, "a database connection broke");
  };
  pool.on("error", tell);
  pool.on("connect", (client) => void client.on("error", tell));
}
