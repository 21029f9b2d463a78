import "./graphile.ts";
import pg from "pg";
import { pino } from "pino";
import { postgraphile } from "postgraphile";
import { lexicographicSortSchema, printSchema } from "postgraphile/graphql";
import { makePreset } from "./preset.ts";

/** The GraphQL schema over a database, as sorted SDL. `apiUrl` is the URL of the login tallystick_api. */
export async function printApiSchema(apiUrl: string): Promise<string> {
  const pool = new pg.Pool({ connectionString: apiUrl, max: 2, pipeline: true } as pg.PoolConfig);
  const subscriberPool = new pg.Pool({ connectionString: apiUrl, max: 1 });
  // A throw-away server is stopped right after this, perhaps while a connection is still closing.
  for (const one of [pool, subscriberPool]) {
    one.on("error", () => undefined);
    one.on("connect", (client) => client.on("error", () => undefined));
  }
  const preset = makePreset({
    pool,
    subscriberPool,
    refusals: new Map(),
    log: pino({ level: "silent" }),
    environment: "production",
    operationRules: { operations: undefined, allowAny: true },
    maxCost: 0,
    makeContext: () => ({}),
    onError: () => undefined,
    report: () => undefined,
  });
  const instance = postgraphile(preset);
  try {
    return `${printSchema(lexicographicSortSchema(await instance.getSchema()))}\n`;
  } finally {
    await instance.release();
    for (const service of instance.getResolvedPreset().pgServices ?? []) await service.release?.();
    await Promise.all([pool.end(), subscriberPool.end()]);
  }
}
