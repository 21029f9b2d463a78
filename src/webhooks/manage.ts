import type { QueryClient } from "../api_keys/manage.ts";
import type { KeyProvider } from "../crypto/keys.ts";
import { newWebhookSecret, sealWebhookSecret } from "../crypto/webhook_secrets.ts";

/** Whose endpoints these are, and how their secrets are encrypted. */
export interface EndpointOwner {
  keys: KeyProvider;
  tenantId: number;
}

/** An endpoint with a secret that is told this once. */
export interface SecretOfEndpoint {
  id: string;
  secret: string;
}

export interface NewEndpoint {
  url: string;
  eventKinds: readonly string[];
  description?: string | null | undefined;
}

/** Makes an endpoint. The database decides whether that may be, and sees the secret encrypted only. */
export async function createEndpoint(
  client: QueryClient,
  owner: EndpointOwner,
  { url, eventKinds, description }: NewEndpoint,
): Promise<SecretOfEndpoint> {
  const { id, secretId, secret, ciphertext } = await newSecret(client, owner);
  await client.query({
    text: "select app_hidden.create_webhook_endpoint($1, $2, $3, $4, $5::text[], $6)",
    values: [id, secretId, ciphertext, url, eventKinds, description ?? null],
  });
  return { id, secret };
}

export interface EndpointChange extends Partial<NewEndpoint> {
  id: string;
}

/** Changes an endpoint; what is left out stays as it is. */
export async function updateEndpoint(
  client: QueryClient,
  { id, url, eventKinds, description }: EndpointChange,
): Promise<{ id: string }> {
  await client.query({
    text: "select app_hidden.update_webhook_endpoint($1, $2, $3::text[], $4)",
    values: [id, url ?? null, eventKinds ?? null, description ?? null],
  });
  return { id };
}

export interface EndpointRotation {
  id: string;
  overlapSeconds?: number | null | undefined;
}

/** Gives an endpoint a new secret. */
export async function rotateSecret(
  client: QueryClient,
  owner: EndpointOwner,
  { id, overlapSeconds }: EndpointRotation,
): Promise<SecretOfEndpoint> {
  const { secretId, secret, ciphertext } = await newSecret(client, owner);
  await client.query({
    text: "select app_hidden.rotate_webhook_secret($1, $2, $3, $4)",
    values: [id, secretId, ciphertext, overlapSeconds ?? null],
  });
  return { id, secret };
}

/** A secret is encrypted for its row, so the id of the row is there first; and one for an endpoint. */
async function newSecret(
  client: QueryClient,
  { keys, tenantId }: EndpointOwner,
): Promise<{ id: string; secretId: string; secret: string; ciphertext: Buffer }> {
  const { rows } = await client.query<{ id: string; secret_id: string }>({
    text: "select uuidv7() as id, uuidv7() as secret_id",
  });
  const { id, secret_id: secretId } = rows[0] ?? { id: "", secret_id: "" };
  const secret = newWebhookSecret();
  return { id, secretId, secret, ciphertext: await sealWebhookSecret(keys, { tenantId, secretId }, secret) };
}
