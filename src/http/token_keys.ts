import {
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  type JsonWebKey,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import { readFileSync } from "node:fs";
import jwt from "jsonwebtoken";

/** The algorithms of access tokens. Which one holds is decided by the key, never by the token. */
export type TokenAlgorithm = "HS256" | "RS256" | "EdDSA";

/** What a token says, once its signature is right. Whoever gets this still checks every claim that it uses. */
export type TokenPayload = Record<string, unknown>;

/** What signs access tokens, and what tells whether one was signed here. */
export interface TokenKeys {
  sign(payload: TokenPayload): string;
  /** The payload of a token with a right signature; throws if it has none. Times and names are not looked at. */
  verify(token: string): TokenPayload;
  /** What others verify tokens with, as JSON Web Keys; empty where the key is a shared secret. */
  publicKeys: readonly JsonWebKey[];
}

/** One shared secret, for HS256. */
export function secretKeys(secret: string): TokenKeys {
  // Made once: from a string jsonwebtoken would make it anew each time, at four times the cost.
  const key = createSecretKey(Buffer.from(secret, "utf8"));
  return {
    sign: (payload) => jwt.sign(payload, key, { algorithm: "HS256" }),
    verify: remember((token) => verifyWith({ algorithm: "HS256", publicKey: key }, token)),
    publicKeys: [],
  };
}

/** How many payloads are remembered: some ten megabytes of them. */
const maxRemembered = 10_000;

/**
 * A token comes with every request until it expires, and its signature stays right: it is verified once. Only right
 * ones are remembered, so that nobody can push them out with wrong ones; claims and times are looked at each time.
 */
function remember(verifyToken: TokenKeys["verify"]): TokenKeys["verify"] {
  const payloads = new Map<string, TokenPayload>();
  return (token) => {
    const known = payloads.get(token);
    if (known) return known;
    const payload = Object.freeze(verifyToken(token));
    const [oldest] = payloads.size < maxRemembered ? [] : payloads.keys();
    if (oldest !== undefined) payloads.delete(oldest);
    payloads.set(token, payload);
    return payload;
  };
}

/** What signs access tokens here: the key set, where there is one. */
export function tokenKeysOf(config: { jwtKeys: TokenKeys | undefined; jwtSecret: string }): TokenKeys {
  return config.jwtKeys ?? secretKeys(config.jwtSecret);
}

interface TokenKey {
  id: string;
  algorithm: TokenAlgorithm;
  publicKey: KeyObject;
  privateKey: KeyObject | undefined;
  published: JsonWebKey;
}

/** Reads a key set from a file. What is wrong is thrown as the end of a sentence about the file, without a key. */
export function readTokenKeys(path: string): TokenKeys {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`should name a file that can be read (${(error as NodeJS.ErrnoException).code})`, { cause: error });
  }
  return parseTokenKeys(text);
}

/**
 * A JSON Web Key Set, `{"keys": [{"kid": "…", "kty": "OKP" or "RSA", …}]}`. The first key with a private part
 * signs; all of them verify. So a new key is put in front, and the one before stays, without its private part,
 * until the last token of it has expired.
 */
export function parseTokenKeys(text: string): TokenKeys {
  let parsed: { keys?: unknown };
  try {
    parsed = JSON.parse(text) as { keys?: unknown };
  } catch {
    throw new Error("should hold JSON");
  }
  if (!Array.isArray(parsed?.keys)) throw new Error('should hold a list of JSON Web Keys, in "keys"');
  const keys = parsed.keys.map((jwk) => importKey(jwk as JsonWebKey));
  const byId = new Map(keys.map((key) => [key.id, key]));
  if (byId.size < keys.length) throw new Error("should name each key by a `kid` of its own");
  const signing = keys.find(({ privateKey }) => privateKey !== undefined);
  if (!signing) throw new Error("should hold a private key, to sign with");
  return {
    sign: (payload) => signWith(signing, payload),
    verify: remember((token) => {
      const key = byId.get(headerOf(token).kid ?? "");
      if (!key) throw new Error("The token names no key that is known.");
      return verifyWith(key, token);
    }),
    publicKeys: keys.map(({ published }) => published),
  };
}

function importKey(jwk: JsonWebKey): TokenKey {
  const { kid: id, kty, crv, alg } = jwk ?? {};
  if (typeof id !== "string" || !/^[\w.-]{1,64}$/.test(id)) {
    throw new Error("should name each key by a `kid` of 1 to 64 letters, digits, dots, hyphens and underscores");
  }
  const algorithm = kty === "RSA" ? "RS256" : kty === "OKP" && crv === "Ed25519" ? "EdDSA" : undefined;
  if (algorithm === undefined) throw new Error(`holds a key, ${id}, that is neither RSA nor Ed25519`);
  if (alg !== undefined && alg !== algorithm)
    throw new Error(`holds a key, ${id}, for an algorithm other than ${algorithm}`);
  try {
    const privateKey = jwk.d === undefined ? undefined : createPrivateKey({ key: jwk, format: "jwk" });
    const publicKey = privateKey ? createPublicKey(privateKey) : createPublicKey({ key: jwk, format: "jwk" });
    if ((publicKey.asymmetricKeyDetails?.modulusLength ?? 2048) < 2048) throw new Error("too short");
    // From the key, not from the file, which may hold the private part.
    const published = { ...publicKey.export({ format: "jwk" }), kid: id, alg: algorithm, use: "sig" };
    return { id, algorithm, publicKey, privateKey, published };
  } catch {
    throw new Error(`holds a key, ${id}, that cannot be read or is shorter than 2048 bits`);
  }
}

function signWith({ id, algorithm, privateKey }: TokenKey, payload: TokenPayload): string {
  if (!privateKey) throw new Error("This key only verifies.");
  if (algorithm !== "EdDSA") return jwt.sign(payload, privateKey, { algorithm, keyid: id });
  // jsonwebtoken does not know EdDSA (RFC 8037), which node:crypto does.
  const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString("base64url");
  const text = `${encode({ alg: algorithm, typ: "JWT", kid: id })}.${encode(payload)}`;
  return `${text}.${sign(null, Buffer.from(text), privateKey).toString("base64url")}`;
}

function verifyWith({ algorithm, publicKey }: Pick<TokenKey, "algorithm" | "publicKey">, token: string): TokenPayload {
  const payload =
    algorithm === "EdDSA"
      ? verifyEdDsa(publicKey, token)
      : jwt.verify(token, publicKey, { algorithms: [algorithm], ignoreExpiration: true, ignoreNotBefore: true });
  if (typeof payload !== "object" || payload === null) throw new Error("The token holds no claims.");
  return payload as TokenPayload;
}

function verifyEdDsa(publicKey: KeyObject, token: string): unknown {
  const [header, payload, signature, ...more] = token.split(".");
  if (!header || !payload || !signature || more.length > 0) throw new Error("The token has not three parts.");
  if (headerOf(token).alg !== "EdDSA") throw new Error("The token was signed with another algorithm.");
  const bytes = Buffer.from(signature, "base64url");
  if (bytes.toString("base64url") !== signature) throw new Error("The signature is not in base64url.");
  if (!verify(null, Buffer.from(`${header}.${payload}`), publicKey, bytes)) throw new Error("The signature is wrong.");
  return JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
}

function headerOf(token: string): { alg?: string; kid?: string } {
  const header: unknown = JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString("utf8"));
  return typeof header === "object" && header !== null ? header : {};
}
