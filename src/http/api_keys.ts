import { createHash } from "node:crypto";
import {
  canonicalRequest,
  isSignedWith,
  type Signature,
  type SignatureCode,
  SignatureError,
} from "../api_keys/signature.ts";
import { newApiKeySecret, openApiKeySecret, sealApiKeySecret } from "../crypto/api_key_secrets.ts";
import type { KeyProvider } from "../crypto/keys.ts";
import type { Caller } from "../identity/caller.ts";
import type { CallDatabase } from "../identity/database.ts";
import type { Claims } from "./tokens.ts";

/** A request with its signature, as far as the signature is about it. */
export interface SignedRequest {
  signature: Signature;
  method: string;
  target: string;
  body: Buffer;
  caller: Caller;
}

export interface ApiKeys {
  /** Whether this key has been found to exist within the last seconds. Never tell a caller. */
  isKnown(keyId: string): boolean;
  /** Lets a request in, or throws a SignatureError. */
  admit(request: SignedRequest): Promise<Claims>;
}

export interface ApiKeysOptions {
  callDatabase: CallDatabase;
  fieldKeys: KeyProvider;
}

/** A secret that requests may be signed with. A decoy has no id. */
interface Secret {
  id: string | undefined;
  text: string;
}

interface Entry {
  secrets: readonly Secret[];
  isKnown: boolean;
  readAt: number;
  /** Until when a signature that is wrong is no reason to read them again. */
  trustedUntil: number;
}

/** How long decrypted secrets stay in memory. Whether a key still counts is asked of the database each time. */
const keepMs = 30_000;
/** A wrong signature may be one by a secret that is newer than ours, so they are read again; not more often. */
const rereadMs = 1_000;
const maxEntries = 10_000;
/** A key has one secret, and during a rotation the one before. */
const secretsOfKey = 2;

/**
 * Authenticates signed requests: the signature here, by the secrets of the key; everything else in the
 * database, in one call that nobody gets to without the secret. An id that belongs to no key goes the same
 * way, with secrets that nobody knows, through the same cache to the same answer.
 */
export function makeApiKeys({ callDatabase, fieldKeys }: ApiKeysOptions): ApiKeys {
  const entries = new Map<string, Entry | Promise<Entry>>();
  const openDecoy = makeDecoy(fieldKeys);

  const read = async (keyId: string, caller: Caller): Promise<Entry> => {
    const found = await callDatabase<SealedSecret>(caller, "api_key_secrets", [keyId]);
    const secrets = Array.from({ length: secretsOfKey }, async (_, index): Promise<Secret> => {
      const row = found[index];
      if (!row) return { id: undefined, text: await openDecoy() };
      const place = { tenantId: row.tenant_id, secretId: row.secret_id };
      return { id: row.secret_id, text: await openApiKeySecret(fieldKeys, place, row.secret_ciphertext) };
    });
    return { secrets: await Promise.all(secrets), isKnown: found.length > 0, readAt: Date.now(), trustedUntil: 0 };
  };

  /** Requests that come at the same time share one look into the database. */
  const reread = (keyId: string, caller: Caller): Promise<Entry> => {
    const underWay = entries.get(keyId);
    if (underWay instanceof Promise) return underWay;
    const reading = read(keyId, caller).then(
      (entry) => {
        if (entries.get(keyId) === reading) entries.set(keyId, entry);
        return entry;
      },
      (error: unknown) => {
        if (entries.get(keyId) === reading) entries.delete(keyId);
        throw error;
      },
    );
    entries.delete(keyId);
    entries.set(keyId, reading);
    if (entries.size > maxEntries) entries.delete(entries.keys().next().value as string);
    return reading;
  };

  const entryOf = async (keyId: string, caller: Caller): Promise<Entry> => {
    const entry = await entries.get(keyId);
    return entry && Date.now() - entry.readAt < keepMs ? entry : reread(keyId, caller);
  };

  const entryAfterMismatch = async (keyId: string, caller: Caller, entry: Entry): Promise<Entry> => {
    if (Date.now() < entry.trustedUntil) return entry;
    const newer = await reread(keyId, caller);
    newer.trustedUntil = Date.now() + rereadMs;
    return newer;
  };

  const findSecret = async ({ signature, caller, ...parts }: SignedRequest): Promise<string | undefined> => {
    const canonical = canonicalRequest({ ...signature, ...parts });
    const match = ({ secrets }: Entry): string | undefined =>
      // All are tried before one is looked at, so that the time says nothing.
      secrets.filter(({ text }) => isSignedWith(text, canonical, signature)).find(({ id }) => id !== undefined)?.id;
    const entry = await entryOf(signature.keyId, caller);
    return match(entry) ?? match(await entryAfterMismatch(signature.keyId, caller, entry));
  };

  return {
    isKnown(keyId) {
      const entry = entries.get(keyId);
      return entry !== undefined && !(entry instanceof Promise) && entry.isKnown && Date.now() - entry.readAt < keepMs;
    },
    async admit(request) {
      const secretId = await findSecret(request);
      if (secretId === undefined) throw new SignatureError("LG421");
      return useKey(callDatabase, request, secretId);
    },
  };
}

/** A secret that nobody knows, decrypted as often as another, so that a key that is none takes as long. */
function makeDecoy(keys: KeyProvider): () => Promise<string> {
  const place = { tenantId: 0, secretId: "decoy" };
  const sealed = sealApiKeySecret(keys, place, newApiKeySecret());
  sealed.catch(() => undefined);
  return async () => openApiKeySecret(keys, place, await sealed);
}

interface SealedSecret {
  tenant_id: number;
  secret_id: string;
  secret_ciphertext: Buffer;
}

interface Verdict {
  refusal_code: SignatureCode | null;
  tenant_id: number;
  user_id: string;
  expires_at: Date;
}

async function useKey(callDatabase: CallDatabase, request: SignedRequest, secretId: string): Promise<Claims> {
  const { signature, caller } = request;
  const [verdict] = await callDatabase<Verdict>(caller, "use_api_key", [
    signature.keyId,
    secretId,
    createHash("sha256").update(signature.nonce).digest(),
    new Date(Number(signature.timestamp) * 1000).toISOString(),
    caller.address,
  ]);
  if (!verdict) throw new Error("The database did not say whether an API key may be used.");
  if (verdict.refusal_code !== null) throw new SignatureError(verdict.refusal_code);
  return {
    userId: verdict.user_id,
    sessionId: signature.keyId,
    tenantId: verdict.tenant_id,
    role: "partner",
    expiresAt: Math.floor(verdict.expires_at.getTime() / 1000),
  };
}
