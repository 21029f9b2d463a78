import {
  mustPost,
  openAccount,
  openTenant,
  postOne,
  type Queryable,
  type TransactionInput,
  transfer,
} from "../../support/ledger.ts";
import { type Model, payloadOf } from "./model.ts";

/** Books in which every state that an item can meet is there to be met. */
export interface World {
  tenantId: number;
  accounts: typeof names extends readonly (infer Name extends string)[] ? Record<Name, string> : never;
  /** All account ids by number, the odd ones last: frozen, closed, unknown, another tenant's. */
  accountIds: string[];
  /** Transactions to resolve or reverse: in every state, unknown, another tenant's. */
  targetIds: string[];
  /** Items whose keys have taken effect. */
  keyed: TransactionInput[];
  keys: Model["keys"];
}

const names = [
  "cash",
  "bank",
  "deposits",
  "capped",
  "floored",
  "full",
  "euros",
  "euroEquity",
  "held",
  "frozen",
  "closed",
  "unknown",
  "foreign",
] as const;

export const closedPeriod = { from: "2020-01-01T00:00:00Z", to: "2021-01-01T00:00:00Z" };

/** Whether the closed period of the world holds an effective time. */
export function isClosed(effectiveAt: string | undefined): boolean {
  return effectiveAt !== undefined && effectiveAt >= closedPeriod.from && effectiveAt < closedPeriod.to;
}

const nowhere = "01900000-0000-7000-8000-000000000000";

/** Builds the world, and waits until the reservations that should have expired have. */
export async function buildWorld(db: Queryable): Promise<World> {
  const tenantId = await openTenant(db);
  const stranger = await openTenant(db);
  const open = (options: Parameters<typeof openAccount>[2] = {}) => openAccount(db, tenantId, options);
  const [strange, strange2] = [await openAccount(db, stranger), await openAccount(db, stranger)];
  const accounts: World["accounts"] = {
    cash: await open(),
    bank: await open(),
    deposits: await open({ type: "liability" }),
    capped: await open({ maximum: 60 }),
    floored: await open({ type: "liability", minimum: 0 }),
    full: await open(),
    euros: await open({ currency: "EUR" }),
    euroEquity: await open({ currency: "EUR", type: "equity", minimum: -40, maximum: 40 }),
    held: await open({ minimum: 0 }),
    frozen: await open(),
    closed: await open(),
    unknown: nowhere,
    foreign: strange,
  };
  const a = accounts;
  const post = (item: TransactionInput) => mustPost(db, tenantId, item);
  const pending = (item: TransactionInput) => post({ kind: "pending", ...item });
  const foreignPending = await mustPost(db, stranger, { kind: "pending", postings: transfer(strange, strange2, 5) });

  const posted = [
    await post({ postings: transfer(a.cash, a.deposits, 500) }),
    await post({ postings: transfer(a.held, a.deposits, 50) }),
    await post({ postings: transfer(a.bank, a.floored, 30) }),
    await post({ postings: transfer(a.full, a.deposits, 10n ** 38n - 2000n) }),
    await post({ postings: [...transfer(a.euros, a.euroEquity, 10), ...transfer(a.cash, a.bank, 7)] }),
  ];
  const open_ = [
    await pending({ postings: transfer(a.cash, a.deposits, 20) }),
    await pending({ postings: transfer(a.bank, a.held, 15), timeoutSeconds: 3600 }),
    await pending({ postings: transfer(a.capped, a.floored, 12) }),
    await pending({ postings: transfer(a.frozen, a.cash, 9) }),
    await pending({
      postings: [
        ...transfer(a.cash, a.bank, 8),
        ...transfer(a.cash, a.deposits, 5),
        ...transfer(a.euros, a.euroEquity, 6),
      ],
    }),
  ];
  // More than the account could give if it had not expired.
  const expired = [
    await pending({ postings: transfer(a.cash, a.held, 30), timeoutSeconds: 1 }),
    await pending({ postings: transfer(a.capped, a.deposits, 40), timeoutSeconds: 1 }),
  ];
  const resolved = [
    await pending({ postings: transfer(a.cash, a.deposits, 3) }),
    await pending({ postings: transfer(a.cash, a.deposits, 4) }),
    await pending({ postings: [...transfer(a.cash, a.deposits, 6), ...transfer(a.bank, a.floored, 2)] }),
    await pending({ postings: transfer(a.cash, a.deposits, 5), timeoutSeconds: 1 }),
  ];
  const [toPost = "", toVoid = "", toPart = "", toExpire = ""] = resolved;
  const keyed: TransactionInput[] = [
    { postings: transfer(a.cash, a.deposits, 2), idempotencyKey: "base 1", description: "two" },
    { kind: "pending", postings: transfer(a.bank, a.cash, 6), idempotencyKey: "base 2", timeoutSeconds: 3600 },
    { kind: "post_pending", pendingId: toPost, idempotencyKey: "base 3" },
  ];
  const resolutions: string[] = [];
  for (const item of keyed) resolutions.push(await post(item));
  resolutions.push(await post({ kind: "void_pending", pendingId: toVoid }));
  resolutions.push(
    await post({ kind: "post_pending", pendingId: toPart, postings: transfer(a.cash, a.deposits, 1) }),
    await post({ reversesId: posted[4] ?? "" }),
  );
  await db.query("select pg_sleep(1.1)");
  const expiry = await postOne(db, tenantId, { kind: "expire_pending", pendingId: toExpire }, { mayExpire: true });
  resolutions.push(expiry.transactionId ?? "");
  await db.query("update app_public.accounts set status = 'frozen' where id = $1", [a.frozen]);
  await db.query("update app_public.accounts set status = 'closed', closed_at = now() where id = $1", [a.closed]);
  await db.query(
    `insert into app_public.accounting_periods (tenant_id, name, during, closed_at)
     values ($1, 'the past', tstzrange($2, $3), now())`,
    [tenantId, closedPeriod.from, closedPeriod.to],
  );
  const keys: Model["keys"] = new Map();
  for (const [i, item] of keyed.entries())
    keys.set(item.idempotencyKey ?? "", { payload: payloadOf(item), id: resolutions[i] ?? "" });
  return {
    tenantId,
    accounts,
    accountIds: names.map((name) => accounts[name]),
    targetIds: [...open_, ...expired, ...posted, ...resolved, ...resolutions, nowhere, foreignPending],
    keyed,
    keys,
  };
}
