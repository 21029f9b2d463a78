import { existsSync, readdirSync } from "node:fs";
import { Router } from "express";
import type pg from "pg";
import { migrationsFolder } from "../paths.ts";

/**
 * GET /livez: the process answers. GET /readyz: it can serve, that is the database is reachable and has
 * every migration that this version of the program came with.
 */
export function healthRoutes(options: { pool: pg.Pool; isStopping: () => boolean }): Router {
  const { pool, isStopping } = options;
  const wanted = latestMigrationFile();
  const findProblemOnce = shareFor(1_000, () => findProblem(pool, wanted));
  const router = Router();
  router.get("/livez", (_request, response) => {
    response.json({ status: "ok" });
  });
  router.get("/readyz", async (_request, response) => {
    const problem = isStopping() ? "stopping" : await findProblemOnce();
    response.status(problem === undefined ? 200 : 503).json({ status: problem ?? "ok" });
  });
  return router;
}

/** Asks at most once in so many milliseconds: whoever may ask costs the database nothing by asking often. */
function shareFor<T>(ms: number, ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined;
  let askedAt = 0;
  return () => {
    if (answer === undefined || Date.now() - askedAt >= ms) {
      askedAt = Date.now();
      answer = ask();
    }
    return answer;
  };
}

async function findProblem(pool: pg.Pool, wanted: string | undefined): Promise<string | undefined> {
  try {
    const client = await pool.connect();
    try {
      await client.query("begin; set local role tallystick_anonymous; set local statement_timeout = '2s'");
      const { rows } = await client.query<{ done: boolean }>("select app_hidden.has_migration($1) as done", [
        wanted ?? null,
      ]);
      return rows[0]?.done ? undefined : "migrations missing";
    } finally {
      await client.query("rollback").catch(() => undefined);
      client.release();
    }
  } catch {
    return "database unreachable";
  }
}

/** The newest migration that came with the program, as graphile-migrate records it: without its slug. */
function latestMigrationFile(): string | undefined {
  const folder = `${migrationsFolder}/committed`;
  if (!existsSync(folder)) return undefined;
  return readdirSync(folder)
    .filter((name) => /^\d{6}.*\.sql$/.test(name))
    .sort()
    .at(-1)
    ?.replace(/^(\d{6}).*$/, "$1.sql");
}
