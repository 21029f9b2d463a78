import type pg from "pg";

/** A row of app_public.refusals: the words for an error of class LG. */
export interface Refusal {
  code: string;
  name: string;
  message: string;
  hint: string;
  isRetryable: boolean;
}

/** The refusals by code. The database is their only source; the server reads them when it starts. */
export type RefusalCatalog = ReadonlyMap<string, Refusal>;

/** Reads the refusals, as the anonymous role. */
export async function loadRefusals(pool: pg.Pool): Promise<RefusalCatalog> {
  const client = await pool.connect();
  try {
    await client.query("begin; set local role tallystick_anonymous");
    const { rows } = await client.query<Refusal>(
      'select code, name, message, hint, is_retryable as "isRetryable" from app_hidden.refusal_catalog()',
    );
    return new Map(rows.map((row) => [row.code, row]));
  } finally {
    await client.query("rollback");
    client.release();
  }
}

/** What stands in `extensions` of an error of class LG, over HTTP, web sockets and in GraphQL alike. */
export interface RefusalExtensions {
  [key: string]: unknown;
  code: string;
  name: string;
  detail: unknown;
  hint: string | null;
  isRetryable: boolean;
}

/** A refusal in words, for a code that the server itself answers with. */
export function describeRefusal(
  catalog: RefusalCatalog,
  code: string,
  detail: Record<string, unknown> = {},
): { message: string; extensions: RefusalExtensions } {
  const refusal = catalog.get(code);
  if (!refusal) throw new Error(`There is no refusal ${code} in app_public.refusals.`);
  const { message, name, hint, isRetryable } = refusal;
  return { message, extensions: { code, name, detail, hint, isRetryable } };
}
