import type { Config } from "../../config.ts";
import type { KeyProvider } from "../../crypto/keys.ts";
import { openProviderSecret } from "../../crypto/provider_secrets.ts";
import type { FindPaymentProvider } from "../../payments/settle.ts";
import { bankFileProvider } from "./bank_file/provider.ts";
import { type PaymentProvider, PaymentProviderError } from "./provider.ts";
import { simulatedProvider } from "./simulated/client.ts";
import { stripeProvider } from "./stripe/provider.ts";

/** A row of payment_providers, with its secrets in clear. */
export interface PaymentProviderRow {
  tenantId: number;
  tenantSlug: string;
  code: string;
  kind: "simulated" | "stripe" | "bank_file";
  settings: unknown;
  apiKey: string | undefined;
  /** Two while they are in rotation. */
  webhookSecrets: readonly string[];
}

export interface ProviderServices {
  config: Pick<Config, "paymentProviders">;
  keys: KeyProvider;
  /** As tallystick_worker. */
  query: <Row extends object>(text: string, values: unknown[]) => Promise<{ rows: Row[] }>;
}

/**
 * Makes the provider that a row describes. Where it is reached is the configuration of this installation and never
 * a setting of a tenant, who could point the server at anything.
 */
export function providerFor(row: PaymentProviderRow, services: ProviderServices): PaymentProvider {
  const { simulatedUrl: url, stripeUrl } = services.config.paymentProviders;
  const { apiKey, webhookSecrets } = row;
  if (row.kind === "bank_file") return bankFileProvider(row, services);
  if (apiKey === undefined) return notConfigured(row, "it has no API key");
  if (row.kind === "stripe") return stripeProvider({ apiKey, webhookSecrets, url: stripeUrl });
  if (url === undefined) return notConfigured(row, "TALLYSTICK_SIMULATED_PROVIDER_URL is not set");
  return simulatedProvider({ url, apiKey, webhookSecrets });
}

/** Nothing is asked of anybody, so it is tried again, and works when somebody has set it up. */
function notConfigured({ code }: PaymentProviderRow, why: string): PaymentProvider {
  const refuse = (): Promise<never> =>
    Promise.reject(
      new PaymentProviderError("unavailable", `The provider ${code} cannot be used: ${why}.`, {
        errorCode: "not_configured",
      }),
    );
  return { submit: refuse, status: refuse, cancel: refuse, verifySignature: () => false, parseWebhook: () => [] };
}

/** Finds providers in the database, as the worker. */
export function makeFindPaymentProvider(services: ProviderServices): FindPaymentProvider {
  return async (place) => providerFor(await readProvider(services, place), services);
}

interface SecretRow {
  tenant_slug: string;
  kind: PaymentProviderRow["kind"];
  settings: unknown;
  secret_id: string | null;
  secret_kind: "api_key" | "webhook" | null;
  secret_ciphertext: Buffer | null;
}

async function readProvider(
  { query, keys }: ProviderServices,
  { tenantId, code }: { tenantId: number; code: string },
): Promise<PaymentProviderRow> {
  const { rows } = await query<SecretRow>("select * from app_private.read_payment_provider($1, $2)", [tenantId, code]);
  const [row] = rows;
  if (!row) throw new Error(`The tenant ${tenantId} has no provider ${code}.`);
  const secretsOf = (kind: SecretRow["secret_kind"]): Promise<string[]> =>
    Promise.all(
      rows.flatMap(({ secret_id: secretId, secret_kind, secret_ciphertext }) =>
        secretId !== null && secret_ciphertext !== null && secret_kind === kind
          ? [openProviderSecret(keys, { tenantId, secretId }, secret_ciphertext)]
          : [],
      ),
    );
  const [[apiKey], webhookSecrets] = await Promise.all([secretsOf("api_key"), secretsOf("webhook")]);
  const { tenant_slug: tenantSlug, kind, settings } = row;
  return { tenantId, tenantSlug, code, kind, settings, apiKey, webhookSecrets };
}
