import type pg from "pg";
import { withClient } from "../../src/postgres/client.ts";
import type { Bench } from "../bench.ts";
import { actAs } from "../books.ts";
import { type Figure, figureOf, median } from "../figures.ts";

/** The questions, as the accountant of the tenant asks them; $1 is the account, $2 a moment, $3 a version. */
const questions: { name: string; sql: string }[] = [
  {
    name: "balance now",
    sql: "select (app_public.accounts_balance(a)).posted from app_public.accounts a where a.id = $1",
  },
  {
    name: "balance known at a past moment",
    sql: "select (app_public.accounts_balance(a, known_at => $2)).posted from app_public.accounts a where a.id = $1",
  },
  {
    name: "balance as of a past moment",
    sql: "select (app_public.accounts_balance(a, as_of => $2)).posted from app_public.accounts a where a.id = $1",
  },
  {
    name: "balance on both axes",
    sql: `select (app_public.accounts_balance(a, as_of => $2, known_at => $2::timestamptz + interval '1 hour')).posted
          from app_public.accounts a where a.id = $1`,
  },
  {
    name: "statement, 100 lines from the middle",
    sql: `select (app_public.accounts_statement(a, page_size => 100, after_version => a_half.version)) is not null
          from app_public.accounts a,
            (select version / 2 as version from app_public.account_balances where account_id = $1) a_half
          where a.id = $1`,
  },
  {
    name: "trial balance now, 2 accounts",
    sql: "select app_public.trial_balance() from app_public.accounts a where a.id = $1",
  },
  {
    name: "trial balance as of a past moment, 2 accounts",
    sql: "select app_public.trial_balance(as_of => $2) from app_public.accounts a where a.id = $1",
  },
];

/** Measures the questions on an account with many postings, a tenth of them backdated by some days. */
export async function reads({ options: { postings }, withCopy, progress }: Bench): Promise<Figure[]> {
  return withCopy("reads", async (urls) => {
    const count = postings.toLocaleString("en-US");
    progress(`an account with ${count} postings`);
    const { tenantId, accountId } = await withClient(urls.superuser, (client) => fillAccount(client, postings));
    progress("folding");
    await withClient(urls.owner, foldAll);
    return withClient(urls.owner, async (client) => {
      await actAs(client, tenantId, "admin");
      await client.query("set role tallystick_accountant");
      const figures: Figure[] = [];
      for (const { name, sql } of questions) {
        progress(name);
        const value = await medianTime(client, sql, accountId);
        figures.push(figureOf({ part: "reads", name: `${name}, ${count} postings`, unit: "ms" }, [{ value }]));
      }
      return figures;
    });
  });
}

/** What the worker's job does each minute. */
async function foldAll(client: pg.Client): Promise<void> {
  let folded: number;
  do {
    const { rows } = await client.query<{ folded: string }>("select app_private.fold_postings() as folded");
    folded = Number(rows[0]?.folded);
  } while (folded > 0);
}

async function medianTime(client: pg.Client, sql: string, accountId: string): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < 60; run += 1) {
    const moment = new Date(Date.UTC(2025, 0, 1) + ((run * 37) % 365) * 86_400_000);
    const values = sql.includes("$2") ? [accountId, moment] : [accountId];
    const started = performance.now();
    await client.query({ name: sql.slice(0, 60), text: sql, values });
    // The first runs warm the plans.
    if (run >= 20) times.push(performance.now() - started);
  }
  return median(times);
}

/**
 * Writes the history in bulk, as the engine would have written it over a year: the triggers are off, and
 * the counters are sums. The checks prove the result like any other.
 */
async function fillAccount(client: pg.Client, postings: number): Promise<{ tenantId: number; accountId: string }> {
  const { rows } = await client.query<{ id: number }>("select id from app_private.create_tenant('bench-history')");
  const tenantId = rows[0]?.id ?? 0;
  await actAs(client, tenantId, "admin");
  const opened = await client.query<{ id: string }>(
    `select (app_public.open_account(code, code, 'asset', 'USD')).id
     from unnest(array['many', 'other']) with ordinality as o (code, n) order by n`,
  );
  const [many, other] = opened.rows.map((row) => row.id);
  await client.query("begin; set local session_replication_role = replica");
  await client.query(
    `create temp table history on commit drop as
     select n, uuidv7() as id, 1 + n::bigint * 7919 % 1000 as amount,
       '2025-01-01Z'::timestamptz + n * (interval '365 days' / $1::integer) as created_at,
       '2025-01-01Z'::timestamptz + n * (interval '365 days' / $1::integer)
         - case when n % 10 = 0 then interval '1 day' * (1 + n % 5) else interval '0' end as effective_at
     from generate_series(1, $1::integer) n`,
    [postings],
  );
  await client.query(
    `insert into app_public.transactions (tenant_id, kind, created_at, effective_at, id)
     select $1, 'posted', created_at, effective_at, id from history order by n`,
    [tenantId],
  );
  for (const [account, direction] of [
    [many, "debit"],
    [other, "credit"],
  ]) {
    await client.query(
      `insert into app_public.postings (
         tenant_id, direction, version, effective_at, created_at, transaction_id, account_id, ordinal, currency,
         posted_amount, pending_amount, posted_debits, posted_credits, pending_debits, pending_credits
       )
       select $1, $3::app_public.direction, n, effective_at, created_at, id, $2,
         case $3 when 'debit' then 1 else 2 end, 'USD', amount, 0,
         case $3 when 'debit' then sum(amount) over w else 0 end,
         case $3 when 'credit' then sum(amount) over w else 0 end, 0, 0
       from history window w as (order by n)`,
      [tenantId, account, direction],
    );
  }
  await client.query(
    `update app_public.account_balances b set
       version = p.version, last_created_at = p.created_at, posted_debits = p.posted_debits,
       posted_credits = p.posted_credits, last_effective_at = h.last_effective_at
     from app_public.postings p, (select max(effective_at) as last_effective_at from history) h
     where b.tenant_id = $1 and p.tenant_id = $1 and p.account_id = b.account_id and p.version = $2`,
    [tenantId, postings],
  );
  await client.query("commit");
  await client.query("vacuum analyze app_public.transactions, app_public.postings, app_public.account_balances");
  return { tenantId, accountId: many ?? "" };
}
