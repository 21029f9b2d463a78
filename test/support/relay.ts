import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { relayEventsOnce, relayOnce } from "../../src/relay.ts";

/**
 * Relays all that has been committed so far. The horizon of the relay is that of the whole server, so it first
 * waits until database transactions that other test files have open no longer hold it back.
 */
export async function relayAll(worker: pg.Pool): Promise<void> {
  const now = await worker.query<{ xid: string }>("select pg_current_xact_id()::text as xid");
  const xid = now.rows[0]?.xid;
  const isBehind = "select pg_snapshot_xmin(pg_current_snapshot()) < $1::xid8 as waiting";
  while ((await worker.query<{ waiting: boolean }>(isBehind, [xid])).rows[0]?.waiting) await sleep(5);
  while ((await relayOnce(worker)) > 0);
  while ((await relayEventsOnce(worker)) > 0);
}
