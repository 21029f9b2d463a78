import type pg from "pg";

export interface AnonymousQuestion {
  /** Of the prepared statement. */
  name: string;
  text: string;
  values: unknown[];
  /** Settings of the request, for what is recorded of it. */
  settings?: Record<string, string>;
}

/** The database did not answer, or not yet: the same question may be answered in a little while. */
export class DatabaseUnavailableError extends Error {
  constructor(cause: unknown) {
    super("The database cannot be asked at this moment.", { cause });
    this.name = "DatabaseUnavailableError";
  }
}

const setConfigSql =
  "select pg_catalog.set_config(el->>0, el->>1, true) from pg_catalog.json_array_elements($1::json) el";

/**
 * Asks the database something before it is known who asks, in the anonymous role: a database transaction of
 * its own in one round trip, because its statements are sent at once. The pool must have been made with
 * `pipeline: true`.
 */
export async function askAnonymously<Row extends pg.QueryResultRow>(
  pool: pg.Pool,
  { name, text, values, settings = {} }: AnonymousQuestion,
): Promise<Row[]> {
  const all = { role: "tallystick_anonymous", statement_timeout: "2s", ...settings };
  const client = await pool.connect().catch((error: unknown) => {
    throw new DatabaseUnavailableError(error);
  });
  let broken: Error | undefined;
  try {
    const begun = client.query("begin");
    const set = client.query({
      name: "tallystick_settings",
      text: setConfigSql,
      values: [JSON.stringify(Object.entries(all))],
    });
    const answer = client.query<Row>({ name, text, values });
    const sent = [begun, set, answer, client.query("commit")];
    // All are waited for, so that none fails unseen.
    const failure = (await Promise.allSettled(sent)).find((outcome) => outcome.status === "rejected");
    if (failure) throw failure.reason;
    return (await answer).rows;
  } catch (error) {
    broken = error instanceof Error ? error : new Error(String(error));
    throw isAnswer(error) ? error : new DatabaseUnavailableError(error);
  } finally {
    // After an error the connection is closed: it is cheaper than finding out in which state it is.
    client.release(broken);
  }
}

/** Whether the database said that something is wrong with the question, not with itself. */
function isAnswer(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return /^[0-9A-Z]{5}$/.test(code) && !/^(08|53|57)/.test(code);
}
