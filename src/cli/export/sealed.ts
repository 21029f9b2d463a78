import type { TenantLedger } from "../ledger.ts";
import type { Sink } from "../output.ts";

/** What a stream exports its rows from. */
const rowViews = { ledger: "app_hidden.exported_transactions" } as const;
type Stream = keyof typeof rowViews;

export interface SealedCounts {
  blocks: number;
  leaves: number;
  unsealed: number;
}

/**
 * Writes all that has been sealed, and what has not been yet, as JSON lines that tools/verify_sealed.mjs reads:
 * the end of each chain, then block by block its header and its leaves with their rows. docs/sealing.md
 * describes them. Needs a database transaction with one snapshot.
 */
export async function exportSealed(ledger: TenantLedger, sink: Sink): Promise<SealedCounts> {
  const counts = { blocks: 0, leaves: 0, unsealed: 0 };
  const write = (line: object): Promise<void> => sink.write(`${JSON.stringify(line)}\n`);
  await write({ type: "books", format: "tallystick.sealed.v1", tenant: ledger.slug });
  for (const stream of Object.keys(rowViews) as Stream[]) await exportStream(ledger, stream, sink, counts);
  await write({ type: "end", ...counts });
  return counts;
}

async function exportStream(ledger: TenantLedger, stream: Stream, sink: Sink, counts: SealedCounts): Promise<void> {
  const { client, tenantId } = ledger;
  const chain = await readLines(
    ledger,
    `select json_build_object('type', 'chain', 'stream', c.stream, 'chainId', c.chain_id, 'number', c.number,
       'lastPosition', c.position, 'blockHash', c.block_hash)::text as line
     from app_hidden.seal_chains c where c.tenant_id = $1 and c.stream = $2`,
    [tenantId, stream],
  );
  if (chain.length === 0) return;
  await sink.write(chain.join(""));
  const blocks = await client.query<{ number: number; block: object }>(
    "select number, block from app_hidden.exported_blocks where tenant_id = $1 and stream = $2 order by number",
    [tenantId, stream],
  );
  for (const { number, block } of blocks.rows) {
    const leaves = await readLines(
      ledger,
      `select json_build_object('type', 'leaf', 'stream', l.stream, 'block', l.number, 'index', l.leaf_index,
         'id', l.id, 'leafHash', encode(l.leaf_hash, 'hex'), 'row', r.row)::text as line
       from app_hidden.sealed_leaves l
       left join ${rowViews[stream]} r on r.tenant_id = l.tenant_id and r.id = l.id
       where l.tenant_id = $1 and l.stream = $2 and l.number = $3
       order by l.leaf_index`,
      [tenantId, stream, number],
    );
    await sink.write(`${JSON.stringify({ type: "block", ...block })}\n${leaves.join("")}`);
    counts.blocks += 1;
    counts.leaves += leaves.length;
  }
  counts.unsealed += await exportUnsealed(ledger, stream, sink);
}

/** What is in no block: mostly the newest rows, and whatever was put where all have been sealed. */
async function exportUnsealed({ client, tenantId }: TenantLedger, stream: Stream, sink: Sink): Promise<number> {
  await client.query(
    `declare unsealed no scroll cursor for
     with chain as (
       select c.xact_id, c.id from app_hidden.seal_chains c
       where c.tenant_id = ${Number(tenantId)} and c.stream = '${stream}'
     )
     select json_build_object('type', 'unsealed', 'stream', '${stream}', 'row', r.row)::text as line
     from ${rowViews[stream]} r
     where r.tenant_id = ${Number(tenantId)} and (
       (r.xact_id, r.id) > (select c.xact_id, c.id from chain c)
       or r.id = any (array(
         select d.row_id from checks.sealed_rows_that_differ d
         where d.tenant_id = ${Number(tenantId)} and d.stream = '${stream}' and d.problem = 'not in the seal'
       ))
     )
     order by r.xact_id, r.id`,
  );
  let count = 0;
  for (;;) {
    const { rows } = await client.query<{ line: string }>("fetch 1000 from unsealed");
    if (rows.length === 0) break;
    count += rows.length;
    await sink.write(rows.map(({ line }) => `${line}\n`).join(""));
  }
  await client.query("close unsealed");
  return count;
}

async function readLines({ client }: TenantLedger, text: string, values: unknown[]): Promise<string[]> {
  const { rows } = await client.query<{ line: string }>(text, values);
  return rows.map(({ line }) => `${line}\n`);
}
