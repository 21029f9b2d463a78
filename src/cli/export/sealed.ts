import type { TenantLedger } from "../ledger.ts";
import type { Sink } from "../output.ts";

/** What a stream exports its rows from. */
const rowViews = {
  ledger: "app_hidden.exported_transactions",
  audit: "app_hidden.exported_audit_entries",
} as const;
type Stream = keyof typeof rowViews;

export interface SealedCounts {
  blocks: number;
  leaves: number;
  unsealed: number;
}

/**
 * Writes all that has been sealed, and what has not been yet, as JSON lines that tools/verify_sealed.mjs reads:
 * the end of each chain, then block by block its header and its leaves with their rows. docs/sealing.md
 * describes them. Needs a database transaction with one snapshot that may write: the audit trail records that
 * it was read, once a query.
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
  const unsealedBefore = counts.unsealed;
  const { rows: chain } = await client.query<{ line: string }>(
    `select json_build_object('type', 'chain', 'stream', c.stream, 'chainId', c.chain_id, 'number', c.number,
       'lastPosition', c.position, 'blockHash', c.block_hash)::text as line
     from app_hidden.seal_chains c where c.tenant_id = $1 and c.stream = $2
     union all
     select json_build_object('type', 'retention', 'stream', 'audit', 'startsAt', app_hidden.utc_text(r.starts_at),
       'endsAt', app_hidden.utc_text(r.ends_at), 'entries', r.entries,
       'retiredAt', app_hidden.utc_text(r.retired_at))::text
     from app_hidden.audit_retirements r where r.tenant_id = $1 and $2 = 'audit'`,
    [tenantId, stream],
  );
  await sink.write(chain.map(({ line }) => `${line}\n`).join(""));
  const { rows: blocks } = await client.query<{ number: number; block: object }>(
    "select number, block from app_hidden.exported_blocks where tenant_id = $1 and stream = $2 order by number",
    [tenantId, stream],
  );
  const headers = blocks.map(({ number, block }) => ({
    number,
    line: `${JSON.stringify({ type: "block", ...block })}\n`,
  }));
  // The leaves of a block come after its header. A block without leaves, which was tampered with, is there too.
  const writeHeaders = async (before: number): Promise<void> => {
    while (headers[0] && headers[0].number <= before) {
      await sink.write(headers.shift()?.line ?? "");
      counts.blocks += 1;
    }
  };
  for await (const leaves of readRows(ledger, leavesOf(stream, tenantId))) {
    for (const { number, line } of leaves) {
      if (headers[0] && headers[0].number <= number) await writeHeaders(number);
      await sink.write(`${line}\n`);
    }
    counts.leaves += leaves.length;
  }
  await writeHeaders(Number.POSITIVE_INFINITY);
  for await (const rows of readRows(ledger, unsealedOf(stream, tenantId))) {
    if (chain.length === 0 && counts.unsealed === unsealedBefore) await sink.write(unbegunChain(stream));
    counts.unsealed += rows.length;
    await sink.write(rows.map(({ line }) => `${line}\n`).join(""));
  }
}

/** What stands for a chain before its first block. */
function unbegunChain(stream: Stream): string {
  return `${JSON.stringify({ type: "chain", stream, chainId: null, number: 0, lastPosition: 0, blockHash: null })}\n`;
}

function leavesOf(stream: Stream, tenantId: number): string {
  return `
    select l.number, json_build_object('type', 'leaf', 'stream', l.stream, 'block', l.number, 'index', l.leaf_index,
      'id', l.id, 'leafHash', encode(l.leaf_hash, 'hex'), 'row', r.row)::text as line
    from app_hidden.sealed_leaves l
    left join ${rowViews[stream]} r on r.tenant_id = l.tenant_id and r.id = l.id
    where l.tenant_id = ${Number(tenantId)} and l.stream = '${stream}'
    order by l.number, l.leaf_index`;
}

/** What is in no block: mostly the newest rows, and whatever was put where all have been sealed. */
function unsealedOf(stream: Stream, tenantId: number): string {
  return `
    with chain as (
      -- Before the first seal there is no chain, and nothing is sealed.
      select coalesce(c.xact_id, '0') as xact_id, coalesce(c.id, '00000000-0000-0000-0000-000000000000') as id
      from (select) one
      left join app_hidden.seal_chains c on c.tenant_id = ${Number(tenantId)} and c.stream = '${stream}'
    )
    select null as number, json_build_object('type', 'unsealed', 'stream', '${stream}', 'row', r.row)::text as line
    from ${rowViews[stream]} r
    where r.tenant_id = ${Number(tenantId)} and (
      (r.xact_id, r.id) > (select c.xact_id, c.id from chain c)
      or r.id = any (array(
        select d.row_id from checks.sealed_rows_that_differ d
        where d.tenant_id = ${Number(tenantId)} and d.stream = '${stream}' and d.problem = 'not in the seal'
      ))
    )
    order by r.xact_id, r.id`;
}

async function* readRows(
  { client }: TenantLedger,
  query: string,
): AsyncGenerator<{ number: number; line: string }[], void> {
  await client.query(`declare sealed no scroll cursor for ${query}`);
  for (;;) {
    const { rows } = await client.query<{ number: number; line: string }>("fetch 1000 from sealed");
    if (rows.length === 0) break;
    yield rows;
  }
  await client.query("close sealed");
}
