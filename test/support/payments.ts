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
