import type pg from "pg";

/** An amount in minor units: a string or a bigint where a number would not be exact. */
export type Amount = bigint | number | string;
export type Direction = "credit" | "debit";
export type AccountType = "asset" | "equity" | "expense" | "liability" | "revenue";
export type Kind = "expire_pending" | "pending" | "post_pending" | "posted" | "void_pending";

export interface PostingInput {
  accountId?: string | null;
  direction?: Direction | null;
  amount?: Amount | null;
}

export interface ConditionInput {
  accountId?: string;
  minimumAvailable?: Amount | undefined;
  version?: Amount | undefined;
}

/** `app_public.transaction_input`; a field that is left out is null. */
export interface TransactionInput {
  kind?: Kind;
  postings?: PostingInput[];
  idempotencyKey?: string;
  effectiveAt?: string;
  timeoutSeconds?: number;
  pendingId?: string;
  reversesId?: string;
  description?: string;
  metadata?: unknown;
  conditions?: ConditionInput[];
}

export interface ResultingBalance {
  accountId: string;
  currency: string;
  version: string;
  posted: string;
  pending: string;
  available: string;
}

export interface TransactionResult {
  transactionId: string | null;
  isReplayed: boolean;
  balances: ResultingBalance[] | null;
  code: string | null;
  detail: Record<string, unknown> | null;
}

export interface AccountOptions {
  currency?: string;
  type?: AccountType;
  minimum?: Amount;
  maximum?: Amount;
}

export interface BatchOptions {
  mode?: "atomic" | "independent";
  mayExpire?: boolean;
}

/** Either a connection or a pool: something that runs a query. */
export type Queryable = Pick<pg.ClientBase, "query">;

let opened = 0;

/** Opens a tenant of the test's own, with the currencies USD and EUR. Needs the owner's login. */
export async function openTenant(db: Queryable): Promise<number> {
  opened += 1;
  const slug = `t${process.pid}-${Date.now().toString(36)}-${opened}`;
  const { rows } = await db.query<{ id: number }>("select id from app_private.create_tenant($1)", [slug]);
  const id = rows[0]?.id;
  if (id === undefined) throw new Error("No tenant was created.");
  await db.query(
    `insert into app_public.currencies (tenant_id, code, exponent, name)
     values ($1, 'USD', 2, 'Dollar'), ($1, 'EUR', 2, 'Euro')`,
    [id],
  );
  return id;
}

/** Opens an account: an asset in USD without limits, unless `options` says otherwise. */
export async function openAccount(db: Queryable, tenantId: number, options: AccountOptions = {}): Promise<string> {
  opened += 1;
  const { currency = "USD", type = "asset", minimum, maximum } = options;
  const normal = type === "asset" || type === "expense" ? "debit" : "credit";
  const { rows } = await db.query<{ id: string }>(
    `insert into app_public.accounts (
       tenant_id, code, name, currency, type, normal_balance, minimum_balance, maximum_balance
     ) values ($1, $2, $2, $3, $4, $5, $6, $7) returning id`,
    [tenantId, `account ${opened}`, currency, type, normal, text(minimum), text(maximum)],
  );
  const id = rows[0]?.id;
  if (id === undefined) throw new Error("No account was opened.");
  return id;
}

/** Opens several accounts that are alike. */
export async function openAccounts(
  db: Queryable,
  tenantId: number,
  count: number,
  options: AccountOptions = {},
): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i += 1) ids.push(await openAccount(db, tenantId, options));
  return ids;
}

/** The two postings of a transfer. */
export function transfer(debit: string, credit: string, amount: Amount): PostingInput[] {
  return [
    { accountId: debit, direction: "debit", amount },
    { accountId: credit, direction: "credit", amount },
  ];
}

/** The items as the rows of `app_public.transaction_input` that jsonb_populate_recordset reads. */
function toJson(items: TransactionInput[]): string {
  return JSON.stringify(
    items.map((item) => ({
      kind: item.kind,
      postings: item.postings?.map((p) => ({
        account_id: p.accountId,
        direction: p.direction,
        amount: text(p.amount),
      })),
      idempotency_key: item.idempotencyKey,
      effective_at: item.effectiveAt,
      timeout_seconds: item.timeoutSeconds,
      pending_id: item.pendingId,
      reverses_id: item.reversesId,
      description: item.description,
      metadata: item.metadata,
      conditions: item.conditions?.map((c) => ({
        account_id: c.accountId,
        minimum_available: text(c.minimumAvailable),
        version: text(c.version),
      })),
    })),
  );
}

/** Sends a batch to the engine itself, past the request roles. Needs the owner's login. */
export async function postBatch(
  db: Queryable,
  tenantId: number,
  items: TransactionInput[],
  options: BatchOptions = {},
): Promise<TransactionResult[]> {
  const { mode = "independent", mayExpire = false } = options;
  const { rows } = await db.query<TransactionResult>({
    name: "post_batch",
    text: `
      select r.transaction_id as "transactionId", r.is_replayed as "isReplayed",
        (r.refusal).code, (r.refusal).detail,
        (
          select json_agg(json_build_object(
            'accountId', b.account_id, 'currency', b.currency, 'version', b.version::text,
            'posted', b.posted::text, 'pending', b.pending::text, 'available', b.available::text
          ))
          from unnest(r.balances) b
        ) as balances
      from unnest(app_private.post_batch(
        app_private.system_actor($1),
        array(
          select i::app_public.transaction_input
          from jsonb_populate_recordset(null::app_public.transaction_input, $2) i
        ),
        $3, $4
      )) r`,
    values: [tenantId, toJson(items), mode, mayExpire],
  });
  return rows;
}

/** Sends one transaction; a refusal is part of the result. */
export async function postOne(
  db: Queryable,
  tenantId: number,
  item: TransactionInput,
  options: BatchOptions = {},
): Promise<TransactionResult> {
  const [result] = await postBatch(db, tenantId, [item], options);
  if (result === undefined) throw new Error("The engine answered nothing.");
  return result;
}

/** Sends one transaction that must be accepted, and tells its id. */
export async function mustPost(db: Queryable, tenantId: number, item: TransactionInput): Promise<string> {
  const { transactionId, code, detail } = await postOne(db, tenantId, item);
  if (transactionId === null) throw new Error(`Refused: ${code} ${JSON.stringify(detail)}`);
  return transactionId;
}

/** The SQLSTATE of an error, or undefined. */
export function sqlState(error: unknown): string | undefined {
  return typeof error === "object" && error !== null && "code" in error ? String(error.code) : undefined;
}

/** What is wrong with the books of a tenant, recomputed from the postings. Empty = proven. */
export async function findViolations(db: Queryable, tenantId: number): Promise<string[]> {
  const { rows } = await db.query<{ violation: string }>(violationsQuery, [tenantId]);
  const views = await db.query<{ name: string }>(
    `select c.relname as name from pg_class c
     where c.relnamespace = 'checks'::regnamespace and c.relkind = 'v'
     order by 1`,
  );
  const found = rows.map((row) => row.violation);
  for (const { name } of views.rows) {
    const { rows: bad } = await db.query<{ row: string }>(
      `select to_jsonb(v)::text as row from checks.${name} v where to_jsonb(v) ->> 'tenant_id' = $1 limit 3`,
      [String(tenantId)],
    );
    found.push(...bad.map(({ row }) => `checks.${name}: ${row}`));
  }
  return found;
}

const violationsQuery = `
  with posting as (select * from app_public.postings where tenant_id = $1)
  select 'unbalanced: ' || transaction_id as violation from posting
  group by transaction_id, currency
  having sum(case direction when 'debit' then 1 else -1 end * posted_amount) <> 0
    or sum(case direction when 'debit' then 1 else -1 end * pending_amount) <> 0
  union all
  select 'balance differs from postings: ' || b.account_id
  from app_public.account_balances b
  left join lateral (
    select count(*) as version,
      coalesce(sum(p.posted_amount::numeric) filter (where direction = 'debit'), 0) as posted_debits,
      coalesce(sum(p.posted_amount::numeric) filter (where direction = 'credit'), 0) as posted_credits,
      coalesce(sum(p.pending_amount::numeric) filter (where direction = 'debit'), 0) as pending_debits,
      coalesce(sum(p.pending_amount::numeric) filter (where direction = 'credit'), 0) as pending_credits
    from posting p where p.account_id = b.account_id
  ) s on true
  where b.tenant_id = $1
    and (b.version, b.posted_debits, b.posted_credits, b.pending_debits, b.pending_credits)
      is distinct from (s.version, s.posted_debits, s.posted_credits, s.pending_debits, s.pending_credits)
  union all
  select 'gap or step back: ' || account_id || ' version ' || version
  from (
    select account_id, version, created_at, transaction_id,
      lag(version, 1, 0::bigint) over w as before, lag(created_at) over w as created_before,
      lag(transaction_id) over w as transaction_before
    from posting window w as (partition by account_id order by version)
  ) p
  where version <> before + 1 or created_at < created_before
    or created_at = created_before and transaction_id <> transaction_before
  union all
  select 'resolved or reversed twice: ' || coalesce(pending_id, reverses_id)
  from app_public.transactions where tenant_id = $1 and coalesce(pending_id, reverses_id) is not null
  group by pending_id, reverses_id having count(*) > 1
  union all
  select 'transaction without two postings: ' || t.id
  from app_public.transactions t
  where t.tenant_id = $1 and (select count(*) from posting p where p.transaction_id = t.id) < 2
  union all
  select 'released other than reserved: ' || t.id
  from app_public.transactions t
  where t.tenant_id = $1 and t.pending_id is not null and exists (
    select from posting p where p.transaction_id in (t.id, t.pending_id)
    group by p.account_id, p.ordinal, p.direction having sum(p.pending_amount::numeric) <> 0
  )
  union all
  select 'an expiry would be overlooked: ' || b.account_id
  from app_public.account_balances b
  where b.tenant_id = $1 and b.next_expiry_at is distinct from least(b.next_expiry_at, (
    select min(r.expires_at) from app_private.open_reservations r
    where r.tenant_id = $1 and r.account_id = b.account_id
  ))
  union all
  select 'open reservation differs: ' || coalesce(r.transaction_id, t.transaction_id)
  from (select * from app_private.open_reservations where tenant_id = $1) r
  full join (
    select p.transaction_id, p.account_id, t.expires_at,
      coalesce(sum(p.pending_amount::numeric) filter (where p.direction = 'debit'), 0) as debits,
      coalesce(sum(p.pending_amount::numeric) filter (where p.direction = 'credit'), 0) as credits
    from app_public.transactions t
    join posting p on p.transaction_id = t.id
    where t.tenant_id = $1 and t.expires_at is not null
      and not exists (
        select from app_public.transactions x where x.tenant_id = $1 and x.pending_id = t.id
      )
    group by p.transaction_id, p.account_id, t.expires_at
  ) t using (transaction_id, account_id)
  where (r.debits, r.credits, r.expires_at) is distinct from (t.debits, t.credits, t.expires_at)`;

function text(value: Amount | null | undefined): string | null | undefined {
  return value === null || value === undefined ? value : String(value);
}
