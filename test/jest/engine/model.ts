import type { Direction, Kind, PostingInput, Queryable, TransactionInput } from "../../support/ledger.ts";

/**
 * The engine once more, small and slow, to compare with: what it decides about one transaction and
 * what that leaves on the accounts. It knows nothing of locks, batches, time or storage.
 */
export interface Model {
  accounts: Map<string, Account>;
  transactions: Map<string, Transaction>;
  keys: Map<string, { payload: string; id: string }>;
  /** Whether a closed accounting period holds this effective time; undefined is now. */
  isClosed(effectiveAt: string | undefined): boolean;
}

export interface Account {
  currency: string;
  normal: Direction;
  status: "closed" | "frozen" | "open";
  minimum: bigint | null;
  maximum: bigint | null;
  version: bigint;
  posted: Record<Direction, bigint>;
  pending: Record<Direction, bigint>;
  /** What has expired of the pending counters, but has not been released. */
  expired: Record<Direction, bigint>;
}

export interface Line {
  accountId: string;
  direction: Direction;
  posted: bigint;
  pending: bigint;
}

export interface Transaction {
  kind: Kind;
  hasExpired: boolean;
  lines: Line[];
  resolvedBy?: Kind;
  isReversed: boolean;
}

/** A code, or the id of the transaction that was made, or of the one that is replayed. */
export interface Outcome {
  code?: string;
  id?: string;
  isReplayed?: boolean;
}

const limit = 10n ** 38n;

/** The payload that a key stands for. */
export function payloadOf(item: TransactionInput): string {
  const { idempotencyKey: _, kind = "posted", ...fields } = item;
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  return JSON.stringify([kind, ...given.sort()], (_key, value) => (typeof value === "bigint" ? String(value) : value));
}

/** Decides one transaction, and applies it if it is accepted. */
export function decide(model: Model, item: TransactionInput, id: string, mayExpire: boolean): Outcome {
  const shape = shapeFault(item, mayExpire);
  if (shape !== undefined) return { code: shape };
  const taken = item.idempotencyKey === undefined ? undefined : model.keys.get(item.idempotencyKey);
  if (taken) return taken.payload === payloadOf(item) ? { id: taken.id, isReplayed: true } : { code: "LG501" };
  const lines = linesOf(model, item);
  const code = targetFault(model, item, lines) ?? stateFault(model, item, lines);
  if (code !== undefined) return { code };
  apply(model, lines, item.kind, 1n);
  const broken = limitFault(model, lines);
  if (broken !== undefined) {
    apply(model, lines, item.kind, -1n);
    return { code: broken };
  }
  remember(model, item, id, lines);
  return { id };
}

function shapeFault(item: TransactionInput, mayExpire: boolean): string | undefined {
  const kind = item.kind ?? "posted";
  const isNew = kind === "posted" || kind === "pending";
  const postings = item.postings ?? [];
  const year = item.effectiveAt === undefined ? 2000 : Number.parseInt(item.effectiveAt, 10);
  const faults: [boolean, string][] = [
    [item.idempotencyKey !== undefined && !isLength(item.idempotencyKey, 255), "LG105"],
    [item.description !== undefined && !isLength(item.description, 1000), "LG106"],
    [item.metadata !== undefined && (typeof item.metadata !== "object" || Array.isArray(item.metadata)), "LG107"],
    [!(year >= 1 && year <= 9999), "LG109"],
    [item.timeoutSeconds !== undefined && (kind !== "pending" || !isTimeout(item.timeoutSeconds)), "LG108"],
    [kind === "expire_pending" && !mayExpire, "LG110"],
    [item.pendingId !== undefined && isNew, "LG110"],
    [item.reversesId !== undefined && (kind !== "posted" || postings.length > 0), "LG110"],
    [postings.length > 0 && (kind === "void_pending" || kind === "expire_pending"), "LG110"],
    [item.pendingId === undefined && !isNew, "LG113"],
    [isNew && item.reversesId === undefined && postings.length < 2, "LG103"],
    [postings.some((p) => p.accountId == null || p.direction == null || p.amount == null), "LG104"],
    [postings.some((p) => p.amount != null && (amountOf(p) < 0n || (amountOf(p) === 0n && isNew))), "LG102"],
  ];
  return faults.find(([isFault]) => isFault)?.[1];
}

const isLength = (text: string, most: number): boolean => text.length >= 1 && text.length <= most;
const isTimeout = (seconds: number): boolean => seconds >= 1 && seconds <= 315_360_000;
const amountOf = (posting: PostingInput): bigint => BigInt(posting.amount ?? 0);

/** The lines that an item asks for, and whether a part-post names more than was reserved. */
function linesOf(model: Model, item: TransactionInput): { all: Line[]; isExcess: boolean } {
  const target = model.transactions.get(item.pendingId ?? item.reversesId ?? "");
  if (item.reversesId !== undefined) {
    const posted = (target?.lines ?? []).filter((line) => line.posted > 0n);
    return { all: posted.map((line) => ({ ...line, direction: other(line.direction), pending: 0n })), isExcess: false };
  }
  if (item.pendingId !== undefined) return releaseOf(target?.lines ?? [], item);
  const isPending = item.kind === "pending";
  const all = (item.postings ?? []).map((p) => ({
    accountId: p.accountId ?? "",
    direction: p.direction ?? "debit",
    posted: isPending ? 0n : amountOf(p),
    pending: isPending ? amountOf(p) : 0n,
  }));
  return { all, isExcess: false };
}

function releaseOf(reserved: Line[], item: TransactionInput): { all: Line[]; isExcess: boolean } {
  const named = [...(item.postings ?? [])];
  let isExcess = false;
  const all: Line[] = reserved.map((line) => {
    const at = named.findIndex((p) => p.accountId === line.accountId && p.direction === line.direction);
    const part = at < 0 ? undefined : named.splice(at, 1)[0];
    const isWhole = item.kind === "post_pending" && item.postings === undefined;
    const posted = isWhole ? line.pending : part ? amountOf(part) : 0n;
    isExcess ||= posted > line.pending;
    return { ...line, posted, pending: -line.pending };
  });
  for (const p of named) {
    isExcess = true;
    all.push({ accountId: p.accountId ?? "", direction: p.direction ?? "debit", posted: amountOf(p), pending: 0n });
  }
  return { all, isExcess };
}

function targetFault(model: Model, item: TransactionInput, lines: { all: Line[] }): string | undefined {
  const target = model.transactions.get(item.pendingId ?? item.reversesId ?? "");
  if (item.reversesId !== undefined) {
    if (!target) return "LG310";
    if (lines.all.length === 0) return "LG312";
    return target.isReversed ? "LG311" : undefined;
  }
  if (item.pendingId === undefined) return undefined;
  if (!target) return "LG304";
  if (target.kind !== "pending") return "LG308";
  if (target.resolvedBy === "post_pending") return "LG305";
  if (target.resolvedBy === "void_pending") return "LG306";
  if (target.resolvedBy === "expire_pending") return "LG307";
  if (item.kind === "expire_pending") return target.hasExpired ? undefined : "LG321";
  return target.hasExpired ? "LG307" : undefined;
}

function stateFault(
  model: Model,
  item: TransactionInput,
  { all: lines, isExcess }: { all: Line[]; isExcess: boolean },
): string | undefined {
  const conditions = item.conditions ?? [];
  const accounts = lines.map((line) => model.accounts.get(line.accountId));
  if (accounts.includes(undefined)) return "LG301";
  if (isExcess) return "LG206";
  const net = new Map<string, { posted: bigint; pending: bigint }>();
  for (const [i, line] of lines.entries()) {
    const currency = accounts[i]?.currency ?? "";
    const sum = net.get(currency) ?? { posted: 0n, pending: 0n };
    const sign = line.direction === "debit" ? 1n : -1n;
    net.set(currency, { posted: sum.posted + sign * line.posted, pending: sum.pending + sign * line.pending });
  }
  if ([...net.values()].some((sum) => sum.posted !== 0n || sum.pending !== 0n)) return "LG201";
  const moved = accounts.filter((_, i) => (lines[i]?.posted ?? 0n) > 0n || (lines[i]?.pending ?? 0n) > 0n);
  const shut = moved.find((account) => account?.status !== "open");
  if (shut) return shut.status === "closed" ? "LG303" : "LG302";
  if (model.isClosed(item.effectiveAt)) return "LG309";
  for (const { accountId = "", minimumAvailable, version } of conditions) {
    const account = model.accounts.get(accountId);
    if (!account) return "LG301";
    if (minimumAvailable !== undefined && available(account) < BigInt(minimumAvailable)) return "LG205";
    if (version !== undefined && account.version !== BigInt(version)) return "LG205";
  }
  return undefined;
}

const other = (direction: Direction): Direction => (direction === "debit" ? "credit" : "debit");

/** What the lower limit is checked against. */
export function available(account: Account): bigint {
  const out = other(account.normal);
  return account.posted[account.normal] - account.posted[out] - account.pending[out] + account.expired[out];
}

/** What the upper limit is checked against. */
function highest(account: Account): bigint {
  const { normal, posted, pending, expired } = account;
  return posted[normal] - posted[other(normal)] + pending[normal] - expired[normal];
}

function limitFault(model: Model, lines: { all: Line[] }): string | undefined {
  for (const { accountId } of lines.all) {
    const account = model.accounts.get(accountId);
    if (!account) continue;
    const { posted, pending, minimum, maximum } = account;
    if (posted.debit + pending.debit >= limit || posted.credit + pending.credit >= limit) return "LG204";
    if (minimum !== null && available(account) < minimum) return "LG202";
    if (maximum !== null && highest(account) > maximum) return "LG203";
  }
  return undefined;
}

function apply(model: Model, lines: { all: Line[] }, kind: Kind | undefined, sign: bigint): void {
  for (const line of lines.all) {
    const account = model.accounts.get(line.accountId);
    if (!account) continue;
    account.posted[line.direction] += sign * line.posted;
    account.pending[line.direction] += sign * line.pending;
    if (kind === "expire_pending") account.expired[line.direction] += sign * line.pending;
    account.version += sign;
  }
}

function remember(model: Model, item: TransactionInput, id: string, lines: { all: Line[] }): void {
  const kind = item.kind ?? "posted";
  model.transactions.set(id, { kind, hasExpired: false, lines: lines.all, isReversed: false });
  const pending = model.transactions.get(item.pendingId ?? "");
  if (pending) pending.resolvedBy = kind;
  const original = model.transactions.get(item.reversesId ?? "");
  if (original) original.isReversed = true;
  if (item.idempotencyKey !== undefined) model.keys.set(item.idempotencyKey, { payload: payloadOf(item), id });
}

/** The books of a tenant as they are, without the payloads that keys stand for: those are the caller's. */
export async function loadModel(
  db: Queryable,
  tenantId: number,
  keys: Model["keys"],
  isClosed: Model["isClosed"],
): Promise<Model> {
  const accounts = await db.query<Record<string, string | null>>(
    `select b.account_id, b.currency, b.normal_balance, b.status, b.version::text,
       b.minimum_balance::text, b.maximum_balance::text, b.posted_debits::text, b.posted_credits::text,
       b.pending_debits::text, b.pending_credits::text,
       e.debits::text as expired_debits, e.credits::text as expired_credits
     from app_public.account_balances b
     cross join lateral (
       select coalesce(sum(r.debits::numeric), 0) as debits, coalesce(sum(r.credits::numeric), 0) as credits
       from app_private.open_reservations r
       where r.tenant_id = b.tenant_id and r.account_id = b.account_id and r.expires_at <= clock_timestamp()
     ) e
     where b.tenant_id = $1`,
    [tenantId],
  );
  const transactions = await db.query<{
    id: string;
    kind: Kind;
    has_expired: boolean;
    resolved_by: Kind | null;
    is_reversed: boolean;
    lines: { account: string; direction: Direction; posted: string; pending: string }[];
  }>(
    `select t.id, t.kind, coalesce(t.expires_at <= clock_timestamp(), false) as has_expired,
       (select r.kind from app_public.transactions r where r.tenant_id = $1 and r.pending_id = t.id) as resolved_by,
       exists (select from app_public.transactions r where r.tenant_id = $1 and r.reverses_id = t.id) as is_reversed,
       (
         select json_agg(json_build_object('account', p.account_id, 'direction', p.direction,
           'posted', p.posted_amount::text, 'pending', p.pending_amount::text) order by p.ordinal)
         from app_public.postings p where p.tenant_id = $1 and p.transaction_id = t.id
       ) as lines
     from app_public.transactions t where t.tenant_id = $1`,
    [tenantId],
  );
  return {
    accounts: new Map(accounts.rows.map((row) => [String(row["account_id"]), toAccount(row)])),
    transactions: new Map(
      transactions.rows.map((row) => [
        row.id,
        {
          kind: row.kind,
          hasExpired: row.has_expired,
          isReversed: row.is_reversed,
          ...(row.resolved_by === null ? {} : { resolvedBy: row.resolved_by }),
          lines: row.lines.map((line) => ({
            accountId: line.account,
            direction: line.direction,
            posted: BigInt(line.posted),
            pending: BigInt(line.pending),
          })),
        },
      ]),
    ),
    keys,
    isClosed,
  };
}

function toAccount(row: Record<string, string | null>): Account {
  const number = (name: string): bigint => BigInt(row[name] ?? 0);
  const bound = (name: string): bigint | null => (row[name] == null ? null : number(name));
  return {
    currency: row["currency"] ?? "",
    normal: row["normal_balance"] as Direction,
    status: row["status"] as Account["status"],
    minimum: bound("minimum_balance"),
    maximum: bound("maximum_balance"),
    version: number("version"),
    posted: { debit: number("posted_debits"), credit: number("posted_credits") },
    pending: { debit: number("pending_debits"), credit: number("pending_credits") },
    expired: { debit: number("expired_debits"), credit: number("expired_credits") },
  };
}
