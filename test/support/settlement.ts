import type pg from "pg";
import { type PaymentId, settleStep } from "../../src/payments/settle.ts";
import type { PaymentProvider } from "../../src/providers/payments/provider.ts";
import { fieldKeys } from "./field_keys.ts";
import { openAccount, openTenant, type Queryable } from "./ledger.ts";
import { makeProvider } from "./payments.ts";

/** Books with providers, and an account that pays. */
export interface SettlementBooks {
  tenantId: number;
  account: string;
  clearing: Record<string, string>;
}

export async function makeSettlementBooks(db: Queryable, codes: string[] = ["bank"]): Promise<SettlementBooks> {
  const tenantId = await openTenant(db);
  const account = await openAccount(db, tenantId, { type: "liability" });
  const clearing: Record<string, string> = {};
  for (const code of codes) clearing[code] = (await makeProvider(db, tenantId, { code })).clearing;
  return { tenantId, account, clearing };
}

export interface PaymentOptions {
  amount?: number;
  provider?: string | null;
  executeAt?: string;
  expiresAt?: string;
  kind?: "pay_in" | "pay_out";
}

/** Asks for a payment in the name of the ledger itself. Needs the owner's login. */
export async function addPayment(
  db: Queryable,
  { tenantId, account }: SettlementBooks,
  { amount = 100, provider = "bank", executeAt, expiresAt, kind = "pay_out" }: PaymentOptions = {},
): Promise<PaymentId> {
  const { rows } = await db.query<{ id: string }>(
    `select (app_private.insert_payment(app_private.system_actor($1), jsonb_populate_record(
       null::app_public.payment_input, $2))).id`,
    [
      tenantId,
      JSON.stringify({
        kind,
        account_id: account,
        amount,
        provider_code: provider,
        execute_at: executeAt,
        expires_at: expiresAt,
      }),
    ],
  );
  return { tenantId, paymentId: rows[0]?.id ?? "" };
}

/** The statuses of a payment and of its attempts, in order. */
export async function standing(db: Queryable, { tenantId, paymentId }: PaymentId): Promise<string> {
  const { rows } = await db.query<{ text: string }>(
    `select concat_ws(': ', p.status, (
       select string_agg(concat_ws(' ', a.provider_code, a.status), ', ' order by a.number)
       from app_public.payment_attempts a where a.tenant_id = p.tenant_id and a.payment_id = p.id)) as text
     from app_public.payments p where p.tenant_id = $1 and p.id = $2`,
    [tenantId, paymentId],
  );
  return rows[0]?.text ?? "";
}

/** Lets everything that waits be due. */
export async function hurry(owner: Queryable, worker: Queryable): Promise<void> {
  await owner.query("update app_public.payment_attempts set next_at = clock_timestamp() where next_at is not null");
  await worker.query("update graphile_worker._private_jobs set run_at = now() where locked_at is null");
}

/** One step of a payment, past the queue, as a worker would take it. */
export async function step(
  worker: pg.Pool,
  provider: PaymentProvider,
  id: PaymentId,
  {
    jobId = "1",
    query,
  }: { jobId?: string; query?: (text: string, values: unknown[]) => Promise<{ rows: unknown[] }> } = {},
): Promise<void> {
  const services = {
    keys: fieldKeys("test"),
    findProvider: () => Promise.resolve(provider),
    query: query ?? ((text: string, values: unknown[]) => worker.query(text, values)),
  };
  await settleStep(services, id, jobId);
}

/** The open dead letters of a tenant, by reason. */
export async function deadLetters(db: Queryable, tenantId: number): Promise<string[]> {
  const { rows } = await db.query<{ text: string }>(
    `select concat_ws(' ', source, reason) as text from app_public.dead_letters
     where tenant_id = $1 and resolved_at is null order by id`,
    [tenantId],
  );
  return rows.map(({ text }) => text);
}
