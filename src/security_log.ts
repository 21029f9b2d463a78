import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import type { Level, Logger } from "pino";
import type { RunningPart } from "./api.ts";

export interface SecurityLogOptions {
  /** Connects as tallystick_worker. */
  pool: pg.Pool;
  log: Logger;
  /** How long to wait when there was nothing to tell. Default: 1 s. */
  idleMs?: number;
}

type Severity = "info" | "notice" | "warning" | "critical";

interface SecurityEvent {
  id: string;
  tenant_id: number | null;
  at: Date;
  kind: string;
  severity: Severity;
  user_id: string | null;
  session_id: string | null;
  address: string | null;
  request_id: string | null;
  detail: unknown;
}

const batchSize = 200;
const errorWaitMs = 5_000;
const levels: Record<Severity, Level> = { info: "info", notice: "info", warning: "warn", critical: "fatal" };

/**
 * Tells the log of every security event, whoever recorded it: SQL or the server. Any number of these may
 * run: the cursor is locked while one of them moves it, and moves on only after the lines were written.
 */
export function startSecurityLog({ pool, log, idleMs = 1_000 }: SecurityLogOptions): RunningPart {
  const stopping = new AbortController();
  const pause = (ms: number): Promise<unknown> =>
    sleep(ms, undefined, { signal: stopping.signal }).catch(() => undefined);
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        const told = await tellSecurityEvents(pool, log);
        if (told < batchSize) await pause(idleMs);
      } catch (error) {
        if (stopping.signal.aborted) return;
        log.warn({ err: error }, "the log of security events failed and goes on");
        await pause(errorWaitMs);
      }
    }
  };
  const ended = loop();
  return {
    stop: async () => {
      stopping.abort();
      await ended;
    },
  };
}

/** One step: how many events it told the log of. */
export async function tellSecurityEvents(pool: pg.Pool, log: Logger): Promise<number> {
  const client = await pool.connect();
  try {
    await client.query("begin");
    const { rows } = await client.query<SecurityEvent>({
      name: "take_security_events",
      text: "select * from app_private.take_security_events($1)",
      values: [batchSize],
    });
    for (const event of rows) {
      const { id, kind, severity, at, tenant_id, user_id, session_id, address, request_id, detail } = event;
      log[levels[severity]](
        {
          securityEvent: { id, kind, severity, at, address, detail },
          tenantId: tenant_id,
          userId: user_id,
          sessionId: session_id,
          requestId: request_id,
        },
        `security event: ${kind}`,
      );
    }
    await client.query("commit");
    return rows.length;
  } catch (error) {
    await client.query("rollback").catch(() => undefined);
    throw error;
  } finally {
    client.release();
  }
}
