import { createHash } from "node:crypto";
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { decryptField } from "../../../crypto/fields.ts";
import type { KeyProvider } from "../../../crypto/keys.ts";
import { type CreditTransfer, renderPain001 } from "./pain001.ts";
import { placeOfAccount } from "./provider.ts";
import { readSettings } from "./settings.ts";

export interface BankFileServices {
  /** One connection, as tallystick_worker, that nobody else uses meanwhile. */
  query: <Row extends object>(text: string, values?: unknown[]) => Promise<{ rows: Row[] }>;
  keys: KeyProvider;
  /** The folder of all files; on one file system. */
  folder: string;
  /** Told of what holds up one provider and not the others. */
  onProblem: (message: string) => void;
  signal?: AbortSignal | undefined;
  /** Called between any two steps. For tests, which end there. */
  checkpoint?: (step: string) => void;
}

interface FileRow {
  tenant_id: number;
  tenant_slug: string;
  provider_code: string;
  number: number;
  settings: unknown;
  closed_at: Date;
  item_count: number;
  sha256: Buffer | null;
}

interface ItemRow {
  id: string;
  reference: string;
  amount: string;
  currency: string;
  exponent: number;
  execution_on: string;
  counterparty_name: string;
  account_ciphertext: Buffer;
  counterparty_bic: string | null;
  counterparty_country: string | null;
  remittance: string | null;
}

const lockKey = "hashtextextended('providers/write_bank_files', 0)";

/**
 * Closes the files that are due, and writes each into the outbox of its provider exactly once:
 * `<folder>/<tenant>/<provider>/outbox/<provider>-<number>.xml`. It may end at any line and be run again. The bytes
 * are complete under `ready` before their hash is recorded, and the hash is recorded before they are moved to
 * `outbox`, by one rename: a file with a hash that is not under `ready` any more was moved before, and is never
 * written a second time, also when the bank has taken it away. One process at a time does this.
 */
export async function writeBankFiles(services: BankFileServices): Promise<void> {
  const { query } = services;
  const { rows } = await query<{ locked: boolean }>(`select pg_try_advisory_lock(${lockKey}) as locked`);
  if (!rows[0]?.locked) return;
  try {
    await closeFiles(services);
    await writeFiles(services);
  } finally {
    // If the connection is gone, so is the lock.
    await query(`select pg_advisory_unlock(${lockKey})`).catch(() => undefined);
  }
}

async function closeFiles({ query, onProblem, signal, checkpoint }: BankFileServices): Promise<void> {
  const { rows } = await query<FileRow>("select * from app_private.bank_files_to_close()");
  for (const { tenant_id, tenant_slug, provider_code, settings: given } of rows) {
    const read = readSettings(given);
    if ("problem" in read) {
      onProblem(`The settings of the bank ${provider_code} of ${tenant_slug} are not valid: ${read.problem}.`);
      continue;
    }
    const values = [tenant_id, provider_code, JSON.stringify(read.settings), read.settings.maxItems];
    let number: number | null | undefined;
    do {
      const closed = await query<{ number: number | null }>(
        "select app_private.close_bank_file($1, $2, $3, $4) as number",
        values,
      );
      number = closed.rows[0]?.number;
      checkpoint?.("closed");
    } while (number !== null && !signal?.aborted);
  }
}

async function writeFiles(services: BankFileServices): Promise<void> {
  const { rows } = await services.query<FileRow>("select * from app_private.bank_files_to_write()");
  const failures: unknown[] = [];
  for (const file of rows) {
    if (services.signal?.aborted) break;
    await writeFile(services, file).catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw failures[0];
}

async function writeFile(services: BankFileServices, file: FileRow): Promise<void> {
  const { query, checkpoint } = services;
  const key = [file.tenant_id, file.provider_code, file.number];
  const places = await placesOf(services.folder, file);
  let { sha256 } = file;
  if (sha256 === null) {
    const bytes = Buffer.from(await render(services, file));
    await writeDurably(places, bytes, checkpoint);
    sha256 = createHash("sha256").update(bytes).digest();
    // Where the connection is lost, and the lock with it, this fails and nothing is moved.
    const { rows } = await query<{ recorded: boolean }>(
      "select app_private.record_bank_file_hash($1, $2, $3, $4) as recorded",
      [...key, sha256],
    );
    if (!rows[0]?.recorded) throw new Error(`The file ${places.name} was written by somebody else meanwhile.`);
    checkpoint?.("recorded");
  }
  await publish(services, places, sha256);
  checkpoint?.("moved");
  await query("select app_private.record_bank_file_written($1, $2, $3)", key);
}

interface Places {
  name: string;
  ready: string;
  outbox: string;
}

async function placesOf(root: string, { tenant_slug, provider_code, number }: FileRow): Promise<Places> {
  // Both are checked by the database. They are parts of a path here, so they are checked again.
  for (const part of [tenant_slug, provider_code]) {
    if (!/^[a-z][a-z0-9_-]{0,62}$/.test(part)) throw new Error(`${part} is no name of a folder.`);
  }
  const folder = join(root, tenant_slug, provider_code);
  const places = { ready: join(folder, "ready"), outbox: join(folder, "outbox") };
  for (const path of Object.values(places)) await mkdir(path, { recursive: true, mode: 0o750 });
  return { ...places, name: `${provider_code}-${String(number).padStart(8, "0")}.xml` };
}

async function render({ query, keys }: BankFileServices, file: FileRow): Promise<string> {
  const { tenant_id: tenantId, provider_code: code, number } = file;
  const read = readSettings(file.settings);
  if ("problem" in read) throw new Error(`The settings of a closed file are not valid: ${read.problem}.`);
  const { rows } = await query<ItemRow>(
    `select id, reference, amount::text, currency, exponent, execution_on::text, counterparty_name,
       account_ciphertext, counterparty_bic, counterparty_country, remittance
     from app_private.items_of_bank_file($1, $2, $3)`,
    [tenantId, code, number],
  );
  if (rows.length !== file.item_count) throw new Error(`The file ${number} of ${code} lost payments.`);
  const transfers = await Promise.all(
    rows.map(
      async (row): Promise<CreditTransfer> => ({
        reference: row.reference,
        amount: row.amount,
        currency: row.currency,
        exponent: row.exponent,
        executionOn: row.execution_on,
        name: row.counterparty_name,
        account: await decryptField(keys, placeOfAccount(tenantId, row.id), row.account_ciphertext),
        bic: row.counterparty_bic ?? undefined,
        country: row.counterparty_country ?? undefined,
        text: row.remittance ?? undefined,
      }),
    ),
  );
  const messageId = `TS${tenantId}.${createHash("sha256").update(code).digest("hex").slice(0, 8)}.${number}`;
  return renderPain001({ messageId, createdAt: file.closed_at, settings: read.settings, transfers });
}

/** Under `ready` a file is there as a whole and on the disk, or not at all. */
async function writeDurably(
  { ready, name }: Places,
  bytes: Buffer,
  checkpoint: BankFileServices["checkpoint"],
): Promise<void> {
  const path = join(ready, `.${name}.tmp`);
  const file = await open(path, "w", 0o640);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  checkpoint?.("written");
  await rename(path, join(ready, name));
  await syncFolder(ready);
  checkpoint?.("ready");
}

/** Moves a file to where the bank looks, if it was not moved before. */
async function publish({ onProblem }: BankFileServices, places: Places, sha256: Buffer): Promise<void> {
  const { ready, outbox, name } = places;
  const from = join(ready, name);
  const bytes = await readFile(from).catch(ignoreMissing);
  if (bytes === undefined) {
    const isThere = (await readFile(join(outbox, name)).catch(ignoreMissing)) !== undefined;
    if (!isThere) onProblem(`The file ${name} was moved to the outbox before, and somebody has taken it.`);
    return;
  }
  if (!createHash("sha256").update(bytes).digest().equals(sha256)) {
    throw new Error(`The file ${from} is not the one that was written: somebody changed it.`);
  }
  await rename(from, join(outbox, name));
  await syncFolder(outbox);
  await syncFolder(ready);
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
