import type pg from "pg";
import { withClient } from "../src/postgres/client.ts";
import type { Books, Urls } from "./books.ts";

const perStep = 250_000;

/**
 * Writes a year of transfers in bulk, as the engine would have written them: the triggers are off, the counters are
 * sums. Every fourth transfer is paid by the first of the ordinary accounts but one, which so gets a deep history; a
 * tenth are backdated by some days. The books must be as they were opened. The checks prove the result like any other.
 */
export async function addYear(
  urls: Urls,
  { tenantId, count }: Books,
  transfers: number,
  progress: (what: string) => void,
): Promise<void> {
  await withClient(urls.superuser, async (client) => {
    await client.query("set session_replication_role = replica; set work_mem = '256MB'; set synchronous_commit = off");
    await client.query(
      `create temp table accounts as
       select a.id, row_number() over (order by a.code = 'account 1', a.id) - 1 as n
       from app_public.accounts a
       where a.tenant_id = $1 and a.type = 'asset' and a.code <> 'account 1'`,
      [tenantId],
    );
    await client.query("alter table accounts add primary key (n); analyze accounts");
    for (let from = 0; from < transfers; from += perStep) {
      progress(
        `a history, ${(from * 2).toLocaleString("en-US")} of ${(transfers * 2).toLocaleString("en-US")} postings`,
      );
      await addStep(client, tenantId, { from, to: Math.min(from + perStep, transfers), transfers, count: count - 1 });
    }
  });
  progress("vacuum and analyze");
  await withClient(urls.superuser, async (client) => {
    await client.query("vacuum (analyze) app_public.transactions, app_public.postings, app_public.account_balances");
    await client.query("checkpoint");
  });
}

async function addStep(
  client: pg.Client,
  tenantId: number,
  { from, to, transfers, count }: { from: number; to: number; transfers: number; count: number },
): Promise<void> {
  await client.query("begin");
  await client.query(
    `create temp table step on commit drop as
     select t.n, uuidv7() as id, gen_random_uuid()::text as key, 1 + t.n * 7919 % 1000 as amount, t.created_at,
       t.created_at - case when t.n % 10 = 0 then interval '1 day' * (1 + t.n % 5) else interval '0' end
         as effective_at,
       case when t.n % 4 = 0 then 0 else 1 + (hashint8(t.n)::bigint + 2147483648) % ($4 - 1) end as debit,
       1 + (hashint8(-t.n - 1)::bigint + 2147483648) % ($4 - 1) as credit
     from (
       select n::bigint as n, date_trunc('day', now()) - interval '366 days'
         + n * (interval '365 days' / $3::double precision) as created_at
       from generate_series($1::bigint, $2::bigint - 1) n
     ) t`,
    [from, to, transfers, count],
  );
  // Who would pay itself pays the next one.
  await client.query(
    `update step set credit = case credit when $1 - 1 then 1 else credit + 1 end where credit = debit`,
    [count],
  );
  await client.query(
    `create temp table step_lines on commit drop as
     select l.*, row_number() over w as version, sum(l.amount) filter (where l.ordinal = 1) over w as debits,
       sum(l.amount) filter (where l.ordinal = 2) over w as credits
     from (
       select s.n, s.id, s.amount, s.created_at, s.effective_at, p.ordinal, a.id as account_id
       from step s
       cross join lateral (values (1, s.debit), (2, s.credit)) as p (ordinal, account)
       join accounts a on a.n = p.account
     ) l
     window w as (partition by l.account_id order by l.n)`,
  );
  await insertAs(
    client,
    "app_public.transactions",
    {
      tenant_id: "$1",
      kind: "'posted'",
      // As if each had been a database transaction of its own, as far as there have been so many.
      xact_id: `(3 + s.n * (pg_current_xact_id()::text::bigint - 4) / $2::bigint)::text::xid8`,
      created_at: "s.created_at",
      effective_at: "s.effective_at",
      id: "s.id",
      idempotency_key: "s.key",
      fingerprint: "sha256(s.key::bytea)",
    },
    "from step s where $2 > 0 order by s.n",
    [tenantId, transfers],
  );
  await insertAs(
    client,
    "app_public.postings",
    {
      tenant_id: "$1",
      direction: "case l.ordinal when 1 then 'debit' else 'credit' end::app_public.direction",
      version: "b.version + l.version",
      effective_at: "l.effective_at",
      created_at: "l.created_at",
      transaction_id: "l.id",
      account_id: "l.account_id",
      ordinal: "l.ordinal",
      currency: "b.currency",
      posted_amount: "l.amount",
      pending_amount: "0",
      posted_debits: "b.posted_debits + coalesce(l.debits, 0)",
      posted_credits: "b.posted_credits + coalesce(l.credits, 0)",
      pending_debits: "0",
      pending_credits: "0",
    },
    `from step_lines l
     join app_public.account_balances b on b.tenant_id = $1 and b.account_id = l.account_id
     order by l.n, l.ordinal`,
    [tenantId],
  );
  await client.query(
    `update app_public.account_balances b set
       version = b.version + l.version, last_created_at = l.created_at,
       last_effective_at = greatest(b.last_effective_at, l.last_effective_at),
       posted_debits = b.posted_debits + coalesce(l.debits, 0),
       posted_credits = b.posted_credits + coalesce(l.credits, 0)
     from (
       select distinct on (account_id) *, max(effective_at) over (partition by account_id) as last_effective_at
       from step_lines
       order by account_id, version desc
     ) l
     where b.tenant_id = $1 and b.account_id = l.account_id`,
    [tenantId],
  );
  await client.query("commit");
}

/** Inserts into the columns that the table has today. */
async function insertAs(
  client: pg.Client,
  target: string,
  known: Record<string, string>,
  from: string,
  values: unknown[],
): Promise<void> {
  const { rows } = await client.query<{ names: string; expressions: string }>(
    "select names, expressions from floor.columns_of($1::regclass, $2)",
    [target, JSON.stringify(known)],
  );
  const { names, expressions } = rows[0] ?? { names: "", expressions: "" };
  await client.query(`insert into ${target} (${names}) select ${expressions} ${from}`, values);
}

/** What the worker's job does each minute, in one step: each account is looked at once. */
export async function foldAll(urls: Urls, progress: (what: string) => void): Promise<void> {
  progress("folding");
  await withClient(urls.owner, async (client) => {
    for (let total = 0; ; ) {
      const { rows } = await client.query<{ folded: string }>("select app_private.fold_postings(20000000) as folded");
      const folded = Number(rows[0]?.folded);
      if (folded === 0) return;
      total += folded;
      progress(`folding, ${total.toLocaleString("en-US")} postings`);
    }
  });
}
