import { DecryptionError, decryptField, type EncryptedColumn, encryptField, type FieldPlace } from "./fields.ts";
import { type KeyProvider, UnknownKeyError } from "./keys.ts";

/** As much of a connection or a pool as the rotation needs. */
export type RotationQueries = <Row extends object>(text: string, values?: unknown[]) => Promise<{ rows: Row[] }>;

export interface Rotation {
  keys: KeyProvider;
  query: RotationQueries;
  /** Values that are read, encrypted anew and written at a time. Default: 200. */
  batchSize?: number;
  /** Told after each batch. */
  onProgress?: (progress: RotationProgress) => void;
  signal?: AbortSignal | undefined;
}

export interface RotationProgress {
  table: string;
  column: string;
  keyId: string;
  /** Values of this column that have been encrypted anew, so far in this run. */
  rotated: number;
}

export interface RotationResult {
  /** Values that have been encrypted anew. */
  rotated: number;
  /** Values that do not decrypt: they are left as they are. */
  failures: { place: FieldPlace; error: Error }[];
}

/** How many values of a column a key encrypted. */
export interface KeyUse {
  table: string;
  column: string;
  keyId: string;
  count: number;
}

interface StaleValue {
  tenant_id: number;
  row_id: string;
  ciphertext: Buffer;
}

/**
 * Encrypts with the current key what another one encrypted, in every registered column. It keeps no state:
 * the key id in front of each value says what is left to do, so it may end anywhere and run again, also
 * several times at once. A value that somebody writes meanwhile is never overwritten: only the ciphertext
 * that was read is replaced. One that does not decrypt is told, and holds up no other.
 */
export async function rotateFieldKeys(rotation: Rotation): Promise<RotationResult> {
  const { rows } = await rotation.query<{ table: string; column: string }>(
    `select table_name as "table", column_name as "column" from app_private.ciphertext_columns()`,
  );
  const result: RotationResult = { rotated: 0, failures: [] };
  for (const { table, column } of rows) await rotateColumn(rotation, { table, column }, result);
  return result;
}

/** One pass over a column, in the order of its rows. */
async function rotateColumn(rotation: Rotation, of: EncryptedColumn, result: RotationResult): Promise<void> {
  const { keys, query, batchSize = 200, onProgress, signal } = rotation;
  const keyId = await keys.currentKeyId();
  let rotated = 0;
  let last: StaleValue | undefined;
  while (!signal?.aborted) {
    const { rows } = await query<StaleValue>("select * from app_private.stale_ciphertexts($1, $2, $3, $4, $5, $6)", [
      of.table,
      of.column,
      keyId,
      batchSize,
      last?.tenant_id ?? null,
      last?.row_id ?? null,
    ]);
    last = rows.at(-1);
    if (!last) return;
    const fresh: FreshValue[] = [];
    for (const value of rows) {
      const place = { ...of, tenantId: value.tenant_id, row: value.row_id };
      const replacement = await reencrypt(keys, place, value.ciphertext, result);
      if (replacement) fresh.push({ ...value, replacement });
    }
    const replaced = await replace(query, of, fresh);
    result.rotated += replaced;
    rotated += replaced;
    onProgress?.({ ...of, keyId, rotated });
  }
}

interface FreshValue extends StaleValue {
  replacement: Buffer;
}

async function reencrypt(
  keys: KeyProvider,
  place: FieldPlace,
  ciphertext: Buffer,
  { failures }: RotationResult,
): Promise<Buffer | undefined> {
  try {
    return await encryptField(keys, place, await decryptField(keys, place, ciphertext));
  } catch (error) {
    if (!(error instanceof DecryptionError || error instanceof UnknownKeyError)) throw error;
    failures.push({ place, error });
    return undefined;
  }
}

async function replace(query: RotationQueries, { table, column }: EncryptedColumn, values: FreshValue[]) {
  const { rows } = await query<{ replaced: number }>(
    "select app_private.replace_ciphertexts($1, $2, $3, $4, $5, $6) as replaced",
    [
      table,
      column,
      values.map(({ tenant_id }) => tenant_id),
      values.map(({ row_id }) => row_id),
      values.map(({ ciphertext }) => ciphertext),
      values.map(({ replacement }) => replacement),
    ],
  );
  return rows[0]?.replaced ?? 0;
}

/** Says where values are that do not decrypt, and why; the first few of them. */
export function describeFailures({ failures }: RotationResult): string {
  const lines = failures.slice(0, 10).map(({ place, error }) => {
    const tenant = place.tenantId === 0 ? "" : ` of the tenant ${place.tenantId}`;
    return `${place.table}, row ${place.row}${tenant}: ${error.message}`;
  });
  return [`Left as they were, since they do not decrypt: ${failures.length}.`, ...lines].join("\n");
}

/** Which keys are in use, column by column. */
export async function readKeyUse(query: RotationQueries): Promise<KeyUse[]> {
  const { rows } = await query<{ table: string; column: string; keyId: string; count: string }>(
    `select table_name as "table", column_name as "column", key_id as "keyId", ciphertexts as count
     from app_private.ciphertext_counts()`,
  );
  return rows.map((row) => ({ ...row, count: Number(row.count) }));
}
