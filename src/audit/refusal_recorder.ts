import type pg from "pg";
import type { Logger } from "pino";

/** What app_hidden.record_refusals takes: something that was refused to a request, or that it probed. */
export interface Refusal {
  code?: string;
  /** The field of the API that was called. */
  action?: string;
  /** Whether something would have been changed. */
  isChange?: boolean;
  detail?: Record<string, unknown>;
  /** Ids that were answered as unknown: they are looked for in the books of others. */
  ids?: string[];
  /** The same for those that the refused items of this request's batches named. */
  hasRefusedItems?: boolean;
}

export interface RefusalRecorder {
  /** Takes it and returns at once. The settings are those that the request had in the database. */
  record(settings: Record<string, string>, refusals: Refusal[]): void;
  /** Writes what is still waiting; what cannot be written in time goes to the log. */
  stop(): Promise<void>;
}

export interface RefusalRecorderOptions {
  /** Made with `pipeline: true`; one connection at a time is used. */
  pool: pg.Pool;
  log: Logger;
  /** How long stopping may take. Default: five seconds. */
  stopMs?: number;
}

interface Entry {
  settings: Record<string, string>;
  refusals: Refusal[];
  /** How often the same came from the same address without a token. */
  count: number;
}

/** Requests that may wait to be written; more go to the log alone. */
const maxWaiting = 5_000;
const batchSize = 100;
const delayMs = 50;
/** Without a token anybody can send anything: the same from one address is written once in this time. */
const anonymousDelayMs = 1_000;
const retryMs = 1_000;

/**
 * Writes down what requests were refused, in database transactions of its own: those of the requests were
 * rolled back. Requests do not wait for it. Who it was is told by the settings of each request, in the role
 * of that request, so nothing is recorded in another name.
 */
export function startRefusalRecorder({ pool, log, stopMs = 5_000 }: RefusalRecorderOptions): RefusalRecorder {
  const waiting: Entry[] = [];
  const byAddress = new Map<string, Entry>();
  let timer: NodeJS.Timeout | undefined;
  let dueAt = Number.POSITIVE_INFINITY;
  let flushing: Promise<void> | undefined;
  let stopBefore = Number.POSITIVE_INFINITY;

  const lose = (entry: Entry, reason: unknown): void =>
    log.error({ err: reason, settings: entry.settings, refusals: entry.refusals }, "a refusal was not recorded");

  const schedule = (ms: number): void => {
    if (Date.now() + ms >= dueAt) return;
    clearTimeout(timer);
    dueAt = Date.now() + ms;
    timer = setTimeout(() => void flush(), ms);
  };

  const flush = (): Promise<void> => {
    clearTimeout(timer);
    dueAt = Number.POSITIVE_INFINITY;
    flushing ??= flushAll().finally(() => {
      flushing = undefined;
      if (waiting.length > 0 && stopBefore === Number.POSITIVE_INFINITY) schedule(retryMs);
    });
    return flushing;
  };

  const flushAll = async (): Promise<void> => {
    while (waiting.length > 0 && Date.now() < stopBefore) {
      byAddress.clear();
      const batch = waiting.splice(0, batchSize);
      const left = await writeBatch(pool, batch, lose);
      waiting.unshift(...left);
      // The database is out of reach: a timer comes back to what is left.
      if (left.length > 0) return;
    }
  };

  const record: RefusalRecorder["record"] = (settings, refusals) => {
    const isAnonymous = !settings["tallystick.user_id"];
    const key = `${settings["tallystick.address"]} ${refusals.map(({ code, action }) => `${code} ${action}`)}`;
    const known = isAnonymous ? byAddress.get(key) : undefined;
    if (known) {
      known.count += 1;
      return;
    }
    const entry: Entry = { settings, refusals, count: 1 };
    if (waiting.length >= maxWaiting) return lose(entry, new Error("Too many refusals wait to be recorded."));
    waiting.push(entry);
    if (isAnonymous) byAddress.set(key, entry);
    schedule(isAnonymous ? anonymousDelayMs : delayMs);
  };

  const stop = async (): Promise<void> => {
    stopBefore = Date.now() + stopMs;
    await flushing;
    while (waiting.length > 0 && Date.now() < stopBefore) {
      await flush();
      if (waiting.length > 0) await new Promise((done) => setTimeout(done, delayMs));
    }
    clearTimeout(timer);
    for (const entry of waiting.splice(0)) lose(entry, new Error("The server stopped before it could be recorded."));
  };

  return { record, stop };
}

/** Writes a batch, or one by one where one of it is refused. Returns what is left if the database is gone. */
async function writeBatch(pool: pg.Pool, batch: Entry[], lose: (entry: Entry, reason: unknown) => void) {
  try {
    await write(pool, batch);
    return [];
  } catch (error) {
    if (!isAnswer(error)) return batch;
    if (batch.length > 1) {
      for (const [index, entry] of batch.entries()) {
        const left: Entry[] = await writeBatch(pool, [entry], lose);
        if (left.length > 0) return batch.slice(index);
      }
    } else if (batch[0]) lose(batch[0], error);
    return [];
  }
}

/** Whether the database answered, and would answer the same again. */
function isAnswer(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return /^[0-9A-Z]{5}$/.test(code) && !/^(08|40|53|55|57)/.test(code);
}

const settingsSql =
  "select pg_catalog.set_config(el->>0, el->>1, true) from pg_catalog.json_array_elements($1::json) el";

async function write(pool: pg.Pool, batch: Entry[]): Promise<void> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    const sent: Promise<unknown>[] = [client.query("begin")];
    for (const { settings, refusals, count } of batch) {
      const counted = count === 1 ? refusals : refusals.map((one) => ({ ...one, detail: { ...one.detail, count } }));
      sent.push(
        client.query({
          name: "refusal_settings",
          text: settingsSql,
          values: [JSON.stringify(Object.entries(settings))],
        }),
        client.query({
          name: "record_refusals",
          text: "select app_hidden.record_refusals($1)",
          values: [JSON.stringify(counted)],
        }),
      );
    }
    const failed = (await Promise.allSettled(sent)).find((outcome) => outcome.status === "rejected");
    if (failed) throw failed.reason;
    await client.query("commit");
  } catch (error) {
    await client.query("rollback").catch((cause: unknown) => {
      broken = cause instanceof Error ? cause : new Error(String(cause));
    });
    throw error;
  } finally {
    client.release(broken);
  }
}
