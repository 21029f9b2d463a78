import type { ExportedBooks, ExportedPosting, ExportedTransaction } from "../../books/exported_books.ts";
import type { TenantLedger } from "../ledger.ts";

/** The accounts and currencies of the books, and what the export leaves out. */
export async function readExportedBooks({ client, tenantId, slug }: TenantLedger): Promise<ExportedBooks> {
  const currencies = await client.query<ExportedBooks["currencies"][number]>(
    "select code, exponent, name from app_public.currencies where tenant_id = $1 order by code",
    [tenantId],
  );
  const accounts = await client.query<ExportedBooks["accounts"][number]>(
    "select code, currency, type, name from app_public.accounts where tenant_id = $1 order by code, currency",
    [tenantId],
  );
  const first = await client.query<{ date: string | null }>(
    `select to_char(min(effective_at) at time zone 'UTC', 'YYYY-MM-DD') as date
       from app_public.transactions where tenant_id = $1 and kind in ('posted', 'post_pending')`,
    [tenantId],
  );
  return {
    tenant: slug,
    currencies: currencies.rows,
    accounts: accounts.rows,
    firstDate: first.rows[0]?.date ?? undefined,
  };
}

/** How many transactions wait to be posted or voided: they have moved nothing yet. */
export async function countPending({ client, tenantId }: TenantLedger): Promise<number> {
  const { rows } = await client.query<{ number: string }>(
    `select count(*) as number from app_public.transactions t
      where t.tenant_id = $1 and t.kind = 'pending' and not exists (
        select from app_public.transactions r where r.tenant_id = t.tenant_id and r.pending_id = t.id
      )`,
    [tenantId],
  );
  return Number(rows[0]?.number ?? 0);
}

interface Row {
  id: string;
  date: string;
  time: string;
  description: string | null;
  reverses: string | null;
  source: (ExportedTransaction["source"] & { postings?: Record<string, { status?: string; comment?: string }> }) | null;
  postings: { ordinal: number; account: string; currency: string; exponent: number; amount: string }[];
}

/** What moved posted balances, in the order in which it happened; read through a cursor, some at a time. */
export async function* readTransactions({ client, tenantId }: TenantLedger): AsyncGenerator<ExportedTransaction[]> {
  await client.query(
    `declare exported no scroll cursor for
     select
       t.id,
       to_char(t.effective_at at time zone 'UTC', 'YYYY-MM-DD') as date,
       to_char(t.effective_at at time zone 'UTC', 'HH24:MI:SS.US') as time,
       coalesce(t.description, o.description) as description,
       t.reverses_id as reverses,
       coalesce(t.metadata, o.metadata) -> 'journal' as source,
       p.postings
     from app_public.transactions t
     left join app_public.transactions o on o.tenant_id = t.tenant_id and o.id = t.pending_id
     cross join lateral (
       select json_agg(json_build_object(
         'ordinal', p.ordinal,
         'account', a.code,
         'currency', p.currency,
         'exponent', c.exponent,
         'amount', case p.direction when 'debit' then p.posted_amount else - p.posted_amount end::text
       ) order by p.ordinal) as postings
       from app_public.postings p
       join app_public.accounts a on a.tenant_id = p.tenant_id and a.id = p.account_id
       join app_public.currencies c on c.tenant_id = p.tenant_id and c.code = p.currency
       where p.tenant_id = t.tenant_id and p.transaction_id = t.id and p.posted_amount > 0
     ) p
     where t.tenant_id = ${Number(tenantId)} and t.kind in ('posted', 'post_pending') and p.postings is not null
     order by t.effective_at, t.created_at, t.id`,
  );
  for (;;) {
    const { rows } = await client.query<Row>("fetch 1000 from exported");
    if (rows.length === 0) break;
    yield rows.map(toTransaction);
  }
  await client.query("close exported");
}

function toTransaction(row: Row): ExportedTransaction {
  const { postings: notes = {}, ...source } = row.source ?? {};
  return {
    id: row.id,
    date: row.date,
    time: row.time === "00:00:00.000000" ? undefined : row.time.replace(/\.?0+$/, ""),
    description: row.description ?? "",
    reverses: row.reverses ?? undefined,
    source,
    postings: row.postings.map(({ ordinal, account, currency, exponent, amount }): ExportedPosting => {
      const note = notes[String(ordinal)];
      return {
        account,
        currency,
        exponent,
        amount: BigInt(amount),
        comment: note?.comment ?? "",
        status: note?.status ?? "",
      };
    }),
  };
}
