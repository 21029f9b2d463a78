import { spawnSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { projectRoot } from "../../src/paths.ts";

/**
 * Seals all that has been committed so far, in blocks of at most `maxLeaves`. The horizon is that of the whole
 * server, so it first waits until database transactions that other test files have open no longer hold it back.
 */
export async function sealAll(worker: pg.Pool, maxLeaves = 8192): Promise<void> {
  await horizonPassed(worker);
  while ((await sealOnce(worker, maxLeaves)) > 0);
}

/** Waits until everything that has been committed so far lies below the horizon of readers. */
export async function horizonPassed(worker: pg.Pool): Promise<void> {
  const now = await worker.query<{ xid: string }>("select pg_current_xact_id()::text as xid");
  const isBehind = "select pg_snapshot_xmin(pg_current_snapshot()) <= $1::xid8 as waiting";
  while ((await worker.query<{ waiting: boolean }>(isBehind, [now.rows[0]?.xid])).rows[0]?.waiting) await sleep(5);
}

export async function sealOnce(worker: pg.Pool, maxLeaves = 8192): Promise<number> {
  const { rows } = await worker.query<{ sealed: number }>("select app_private.seal($1) as sealed", [maxLeaves]);
  return rows[0]?.sealed ?? 0;
}

export interface Verified {
  status: number | null;
  /** The findings: "name: where: text". */
  found: string[];
  stdout: string;
  stderr: string;
}

/** Runs the stand-alone verifier as anyone would. */
export function verifySealed(...args: string[]): Verified {
  const { status, stdout, stderr } = spawnSync(process.execPath, [`${projectRoot}/tools/verify_sealed.mjs`, ...args], {
    encoding: "utf8",
    env: {},
  });
  const found = [...stdout.matchAll(/^FOUND (.*)$/gm)].map((match) => match[1] ?? "");
  return { status, found, stdout, stderr };
}
