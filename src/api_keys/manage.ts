import { newApiKeySecret, sealApiKeySecret } from "../crypto/api_key_secrets.ts";
import type { KeyProvider } from "../crypto/keys.ts";

/** What of a connection is needed here: that of a request, or of the command line. */
export interface QueryClient {
  query<T extends object>(query: { text: string; values?: readonly unknown[] }): Promise<{ rows: readonly T[] }>;
}

/** Whose keys these are, and how their secrets are encrypted. */
export interface ApiKeyOwner {
  keys: KeyProvider;
  tenantId: number;
}

/** A key with a secret that is told this once. */
export interface SecretOfKey {
  id: string;
  secret: string;
}

export interface NewApiKey {
  name: string;
  scopes: readonly string[];
  expiresAt: string;
  allowedAddresses?: readonly string[] | null | undefined;
  accountSetId?: string | null | undefined;
  userId?: string | null | undefined;
}

/** Creates an API key. The database decides whether that may be, and sees the secret encrypted only. */
export async function createApiKey(client: QueryClient, owner: ApiKeyOwner, key: NewApiKey): Promise<SecretOfKey> {
  const id = await newId(client);
  const { secretId, secret, ciphertext } = await newSecret(client, owner);
  await client.query({
    text: "select app_hidden.create_api_key($1, $2, $3, $4, $5::text[], $6::timestamptz, $7::text[], $8, $9)",
    values: [
      id,
      secretId,
      ciphertext,
      key.name,
      key.scopes,
      key.expiresAt,
      key.allowedAddresses ?? null,
      key.accountSetId ?? null,
      key.userId ?? null,
    ],
  });
  return { id, secret };
}

export interface Rotation {
  id: string;
  overlapSeconds?: number | null | undefined;
  expiresAt?: string | null | undefined;
}

/** Gives an API key a new secret. */
export async function rotateApiKey(client: QueryClient, owner: ApiKeyOwner, rotation: Rotation): Promise<SecretOfKey> {
  const { secretId, secret, ciphertext } = await newSecret(client, owner);
  await client.query({
    text: "select app_hidden.rotate_api_key($1, $2, $3, $4, $5::timestamptz)",
    values: [rotation.id, secretId, ciphertext, rotation.overlapSeconds ?? null, rotation.expiresAt ?? null],
  });
  return { id: rotation.id, secret };
}

/** A secret is encrypted for its row, so the id of the row is there first. */
async function newSecret(
  client: QueryClient,
  { keys, tenantId }: ApiKeyOwner,
): Promise<{ secretId: string; secret: string; ciphertext: Buffer }> {
  const secretId = await newId(client);
  const secret = newApiKeySecret();
  return { secretId, secret, ciphertext: await sealApiKeySecret(keys, { tenantId, secretId }, secret) };
}

async function newId(client: QueryClient): Promise<string> {
  const { rows } = await client.query<{ id: string }>({ text: "select uuidv7() as id" });
  return String(rows[0]?.id);
}
