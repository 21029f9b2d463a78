import { openAccount, type Queryable } from "./ledger.ts";

export interface TestProvider {
  code: string;
  clearing: string;
  suspense: string;
}

export interface ProviderOptions {
  code?: string;
  currency?: string;
  kind?: "bank_file" | "simulated" | "stripe";
  settings?: object;
}

/** Sets up a provider with its accounts in one currency. Needs the owner's login. */
export async function makeProvider(
  db: Queryable,
  tenantId: number,
  { code = "bank", currency = "USD", kind = "simulated", settings = {} }: ProviderOptions = {},
): Promise<TestProvider> {
  const clearing = await openAccount(db, tenantId, { currency });
  const suspense = await openAccount(db, tenantId, { currency, type: "liability" });
  await db.query(
    `insert into app_public.payment_providers (tenant_id, code, kind, name, settings)
     values ($1, $2, $3::app_public.payment_provider_kind, $2, $4)`,
    [tenantId, code, kind, JSON.stringify(settings)],
  );
  await db.query(
    `insert into app_public.payment_provider_accounts
       (tenant_id, provider_code, currency, clearing_account_id, suspense_account_id)
     values ($1, $2, $3, $4, $5)`,
    [tenantId, code, currency, clearing, suspense],
  );
  return { code, clearing, suspense };
}

/** `app_public.payment_input`; a field that is left out is null. */
export interface PaymentInput {
  kind: "pay_in" | "pay_out" | "refund" | "transfer";
  accountId?: string;
  toAccountId?: string;
  amount?: bigint | number | string;
  providerCode?: string;
  refundOfId?: string;
  idempotencyKey?: string;
  expiresAt?: string;
}

export interface PaymentRow {
  id: string;
  status: string;
}

/** Asks for a payment in the name of the ledger itself. Needs the owner's login. */
export async function insertPayment(db: Queryable, tenantId: number, input: PaymentInput): Promise<PaymentRow> {
  const { rows } = await db.query<PaymentRow>(
    `select p.id, p.status
     from app_private.insert_payment(
       app_private.system_actor($1), jsonb_populate_record(null::app_public.payment_input, $2)) p`,
    [
      tenantId,
      JSON.stringify({
        kind: input.kind,
        account_id: input.accountId,
        to_account_id: input.toAccountId,
        amount: input.amount?.toString(),
        provider_code: input.providerCode,
        refund_of_id: input.refundOfId,
        idempotency_key: input.idempotencyKey,
        expires_at: input.expiresAt,
      }),
    ],
  );
  return theRow(rows);
}

const movers = {
  submit: "app_private.submit_payment(app_private.system_actor($1), $1, $2)",
  settle: "app_private.settle_payment(app_private.system_actor($1), $1, $2)",
  fail: "app_private.fail_payment(app_private.system_actor($1), $1, $2, 'declined')",
  cancel: "app_private.void_payment(app_private.system_actor($1), $1, $2, 'cancelled')",
  expire: "app_private.void_payment(app_private.system_actor($1), $1, $2, 'expired')",
  return: "app_private.return_payment(app_private.system_actor($1), $1, $2, 'AC04')",
};
export type Move = keyof typeof movers;
export const moves = Object.keys(movers) as Move[];

/** Moves a payment. Needs the owner's login. */
export async function movePayment(db: Queryable, tenantId: number, id: string, move: Move): Promise<PaymentRow> {
  const { rows } = await db.query<PaymentRow>(`select p.id, p.status from ${movers[move]} p`, [tenantId, id]);
  return theRow(rows);
}

function theRow(rows: PaymentRow[]): PaymentRow {
  if (!rows[0]) throw new Error("No payment was answered.");
  return rows[0];
}
