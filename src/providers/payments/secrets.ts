import type { QueryClient } from "../../api_keys/manage.ts";
import type { KeyProvider } from "../../crypto/keys.ts";
import { sealProviderSecret } from "../../crypto/provider_secrets.ts";
import { newId } from "../../random.ts";
import { readWebhookSecret } from "../../webhooks/verify.ts";

export const secretKinds = ["api_key", "webhook"] as const;
export type SecretKind = (typeof secretKinds)[number];

export interface NewSecret {
  providerCode: string;
  kind: SecretKind;
  value: string;
  overlapSeconds?: number | null | undefined;
}

/** The rule that a secret breaks, for people; undefined if it has the form of its kind. */
export function brokenRule({ kind, value }: NewSecret, providerKind: string | undefined): string | undefined {
  if (!/^[\x21-\x7e]{8,500}$/.test(value)) return "8 to 500 printable characters without blanks";
  if (kind === "api_key") return undefined;
  if (providerKind === "simulated" && readWebhookSecret(value) === undefined) {
    return "whsec_ and 24 to 64 bytes in base64";
  }
  return providerKind === "stripe" && !value.startsWith("whsec_")
    ? "what Stripe shows: it begins with whsec_"
    : undefined;
}

/** Of which kind a provider is, if the caller may give it a secret; a refusal if not. */
export async function authorizeSecret(client: QueryClient, providerCode: string): Promise<string | undefined> {
  const { rows } = await client.query<{ kind: string }>({
    text: "select app_hidden.authorize_provider_secret($1) as kind",
    values: [providerCode],
  });
  return rows[0]?.kind;
}

/** Gives a provider a secret. The database decides whether that may be, and sees it encrypted only. */
export async function setProviderSecret(
  client: QueryClient,
  { keys, tenantId }: { keys: KeyProvider; tenantId: number },
  { providerCode, kind, value, overlapSeconds }: NewSecret,
): Promise<{ code: string }> {
  const secretId = newId();
  const ciphertext = await sealProviderSecret(keys, { tenantId, secretId }, value);
  await client.query({
    text: "select app_hidden.set_payment_provider_secret($1, $2, $3, $4, $5)",
    values: [providerCode, kind, secretId, ciphertext, overlapSeconds ?? null],
  });
  return { code: providerCode };
}
