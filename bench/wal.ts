import type pg from "pg";

/** What was written to the write-ahead log between two moments. */
export interface WalUse {
  /** Bytes of all records. */
  total: number;
  /** Of those: images of whole pages, which the first change of a page after a checkpoint takes. */
  images: number;
  /** Bytes without the images, by table or index; what belongs to none, such as commits, is under "commits". */
  byRelation: Map<string, number>;
}

/** Where the log stands. */
export async function walPosition(superuser: pg.Client): Promise<string> {
  const { rows } = await superuser.query<{ position: string }>("select pg_current_wal_insert_lsn()::text as position");
  return rows[0]?.position ?? "";
}

/** What was written since; of all databases of the server, so that nobody else may write meanwhile. */
export async function walSince(superuser: pg.Client, position: string): Promise<WalUse> {
  await superuser.query("create extension if not exists pg_walinspect");
  // Past the end of the log nothing can be inspected: write what is still in memory.
  const end = (await superuser.query<{ end: string }>("select pg_current_wal_flush_lsn()::text as end")).rows[0]?.end;
  const { rows } = await superuser.query<{ name: string | null; bytes: string; images: string }>(
    `with blocks as (
       -- A record that changes several blocks counts for the first of them.
       select distinct on (start_lsn) start_lsn, relfilenode, record_length,
         sum(block_fpi_length) over (partition by start_lsn) as images
       from pg_get_wal_block_info($1, $2, false)
       order by start_lsn, block_id
     )
     select coalesce(c.oid::regclass::text, 'other') as name, sum(record_length) as bytes, sum(images) as images
     from blocks b
     left join pg_class c on pg_relation_filenode(c.oid) = b.relfilenode
     group by 1
     union all
     select null, sum(record_size) + sum(fpi_size), sum(fpi_size) from pg_get_wal_stats($1, $2, false)`,
    [position, end],
  );
  const all = rows.find(({ name }) => name === null);
  const total = Number(all?.bytes ?? 0);
  const images = Number(all?.images ?? 0);
  const byRelation = new Map<string, number>();
  for (const { name, bytes, images: ofThese } of rows)
    if (name !== null) byRelation.set(name, Number(bytes) - Number(ofThese));
  const found = [...byRelation.values()].reduce((sum, bytes) => sum + bytes, 0);
  byRelation.set("commits", total - images - found);
  return { total, images, byRelation };
}
