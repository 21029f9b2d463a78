import "./graphile.ts";
import type { GrafastSubscriber } from "postgraphile/grafast";
import { SafeError } from "postgraphile/grafast";

/** What the relay tells about, and the table that its ids are of. */
const tables = {
  transactions: "transactions",
  balances: "accounts",
  events: "events",
  notifications: "notifications",
  payments: "payments",
} as const;
export type EventKind = keyof typeof tables;

/** Admins see the messages to others, and are not told of them. */
const onlyOwn = "and user_id = (select app_hidden.current_user_id()) and body is not null";

/** One row that something happened to, which the subscriber may see. */
export interface LedgerEvent {
  id: string;
}

/** The parts of a request's context that events need. */
export type EventContext = Pick<Grafast.Context, "tenantId" | "pgSettings" | "pgSubscriber" | "withPgClient">;

/**
 * The events of the caller's tenant, as far as the caller may see them. A notification holds the ids of
 * many rows; which of them row level security lets the caller see is asked in one query, under the
 * caller's role, and each becomes an event. What the caller may not see leaves no trace.
 */
export function makeLedgerEvents(context: EventContext, options: { kind: EventKind; onlyId?: string | null }) {
  const { tenantId, pgSubscriber } = context;
  if (tenantId === null || tenantId === undefined) {
    throw new SafeError("The request names no tenant or no user.", { code: "LG401" });
  }
  const channel = `tallystick:${tenantId}:${options.kind}`;
  const subscriber: GrafastSubscriber<Record<string, LedgerEvent>> = {
    async subscribe() {
      if (!pgSubscriber) throw new Error("There is no connection to listen on.");
      const notifications = (await pgSubscriber.subscribe(channel)) as AsyncIterableIterator<string>;
      return new VisibleEvents(notifications, (ids) => visibleIds(context, options, ids));
    },
  };
  return subscriber;
}

/**
 * Not an async generator: one that waits for its next notification could not be ended until that comes,
 * and would go on listening for a client that has left.
 */
class VisibleEvents implements AsyncIterableIterator<LedgerEvent> {
  private readonly notifications: AsyncIterableIterator<string>;
  private readonly select: (ids: string[]) => Promise<string[]>;
  private readonly ready: string[] = [];

  constructor(notifications: AsyncIterableIterator<string>, select: (ids: string[]) => Promise<string[]>) {
    this.notifications = notifications;
    this.select = select;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<LedgerEvent>> {
    while (this.ready.length === 0) {
      const { done, value } = await this.notifications.next();
      if (done) return { done: true, value: undefined };
      this.ready.push(...(await this.select(idsOf(value))));
    }
    return { done: false, value: { id: this.ready.shift() as string } };
  }

  async return(): Promise<IteratorResult<LedgerEvent>> {
    await this.notifications.return?.();
    return { done: true, value: undefined };
  }

  async throw(error: unknown): Promise<IteratorResult<LedgerEvent>> {
    await this.notifications.throw?.(error);
    return { done: true, value: undefined };
  }
}

function idsOf(payload: string): string[] {
  const { ids } = JSON.parse(payload) as { ids: string[] };
  return ids;
}

/** Those of the ids that the caller may see, in the order given. */
async function visibleIds(
  { withPgClient, pgSettings }: EventContext,
  { kind, onlyId }: { kind: EventKind; onlyId?: string | null },
  ids: string[],
): Promise<string[]> {
  const wanted = onlyId ? ids.filter((id) => id === onlyId.toLowerCase()) : ids;
  if (wanted.length === 0) return [];
  const { rows } = await withPgClient(pgSettings ?? null, (client) =>
    client.query<{ id: string }>({
      name: `visible_${kind}`,
      text: `select id from app_public.${tables[kind]}
              where tenant_id = (select app_hidden.current_tenant_id()) and id = any ($1::uuid[])
              ${kind === "notifications" ? onlyOwn : ""}`,
      values: [wanted],
    }),
  );
  const visible = new Set(rows.map((row) => row.id));
  return wanted.filter((id) => visible.has(id));
}
