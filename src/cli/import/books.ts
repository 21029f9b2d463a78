import type { AccountType } from "../../books/account_types.ts";
import { accountKey } from "../../books/import_rules.ts";
import type { TenantLedger } from "../ledger.ts";

/** What a tenant's books hold already, as far as an import needs to know. */
export interface Books {
  /** Exponents of the tenant's currencies, and of ISO 4217. */
  currencies: Map<string, number>;
  isoCurrencies: Map<string, number>;
  /** By name and currency, see accountKey. */
  accounts: Map<string, { id: string; type: AccountType }>;
}

export async function readBooks({ client, tenantId }: TenantLedger): Promise<Books> {
  const currencies = await client.query<{ code: string; exponent: number }>(
    "select code, exponent from app_public.currencies where tenant_id = $1",
    [tenantId],
  );
  const iso = await client.query<{ code: string; exponent: number }>(
    "select code, exponent from app_public.iso_currencies",
  );
  const accounts = await client.query<{ id: string; code: string; currency: string; type: AccountType }>(
    "select id, code, currency, type from app_public.accounts where tenant_id = $1",
    [tenantId],
  );
  return {
    currencies: new Map(currencies.rows.map(({ code, exponent }) => [code, exponent])),
    isoCurrencies: new Map(iso.rows.map(({ code, exponent }) => [code, exponent])),
    accounts: new Map(accounts.rows.map(({ id, code, currency, type }) => [accountKey(code, currency), { id, type }])),
  };
}
