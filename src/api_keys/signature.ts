import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";

/** The scheme of the Authorization header, and the first line of what is signed. The number is its version. */
export const signatureScheme = "Tallystick-HMAC-SHA256-V1";

/** How far the timestamp of a request may be from our clock, either way. The database asks again, by its own. */
export const maxSkewSeconds = 300;

/** What the Authorization header of a signed request says. */
export interface Signature {
  keyId: string;
  /** Seconds since 1970, as they were written. */
  timestamp: string;
  nonce: string;
  /** The HMAC, 32 bytes. */
  mac: Buffer;
}

export type SignatureCode = "LG420" | "LG421" | "LG422" | "LG423" | "LG424" | "LG425";

/** A signed request is not let in. */
export class SignatureError extends Error {
  readonly code: SignatureCode;
  readonly detail: Record<string, unknown>;
  constructor(code: SignatureCode, detail: Record<string, unknown> = {}) {
    super(`A signed request was refused with ${code}.`);
    this.name = "SignatureError";
    this.code = code;
    this.detail = detail;
  }
}

const forms = {
  key: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i,
  timestamp: /^[1-9]\d{0,11}$/,
  nonce: /^[\w-]{16,128}$/,
  signature: /^[0-9a-f]{64}$/i,
} as const;
const names = Object.keys(forms) as (keyof typeof forms)[];

/**
 * Reads the signature of a request; undefined if it has none. A header that begins like one and is not
 * exactly one is refused: nothing is guessed, nothing that is said twice is chosen from.
 */
export function readSignature(request: IncomingMessage): Signature | undefined {
  const headers = authorizationHeaders(request.rawHeaders);
  if (!headers.some((header) => /^\s*tallystick-/i.test(header))) return undefined;
  if (headers.length > 1) throw new SignatureError("LG420", { rule: "one Authorization header" });
  const [, scheme = "", parameters = ""] = /^\s*(\S*)\s*(.*?)\s*$/s.exec(headers[0] ?? "") ?? [];
  if (scheme.toLowerCase() !== signatureScheme.toLowerCase()) {
    throw new SignatureError("LG420", { rule: `the scheme ${signatureScheme}` });
  }
  const given = readParameters(parameters);
  for (const name of names) {
    if (!forms[name].test(given.get(name) ?? "")) throw new SignatureError("LG420", { parameter: name });
  }
  const part = (name: keyof typeof forms): string => given.get(name) ?? "";
  return {
    keyId: part("key").toLowerCase(),
    timestamp: part("timestamp"),
    nonce: part("nonce"),
    mac: Buffer.from(part("signature"), "hex"),
  };
}

/** Each one, where Node would tell the first alone. */
function authorizationHeaders(rawHeaders: readonly string[]): string[] {
  return rawHeaders.filter((_text, index) => index % 2 === 1 && /^authorization$/i.test(rawHeaders[index - 1] ?? ""));
}

function readParameters(text: string): Map<string, string> {
  const given = new Map<string, string>();
  for (const pair of text.split(",")) {
    const [, name = "", value = ""] = /^\s*([a-z]+)=(\S*)\s*$/.exec(pair) ?? [];
    if (!names.some((known) => known === name) || given.has(name)) {
      throw new SignatureError("LG420", { rule: `${names.join(", ")}, each once, as name=value` });
    }
    given.set(name, value);
  }
  return given;
}

/** Refuses a timestamp that is too far away. It says nothing of the key, so it is asked before anything else. */
export function checkSkew({ timestamp }: Signature, now = Date.now()): void {
  const seconds = Math.floor(now / 1000);
  if (Math.abs(Number(timestamp) - seconds) > maxSkewSeconds) {
    throw new SignatureError("LG422", { serverTime: String(seconds), maximumSeconds: maxSkewSeconds });
  }
}

export interface SignedParts {
  method: string;
  /** Path and query, exactly as they were sent. */
  target: string;
  timestamp: string;
  nonce: string;
  body: Buffer;
}

/**
 * What is signed: six lines. Node reads the bytes of the request line as Latin-1, so that is how they are
 * turned back into bytes.
 */
export function canonicalRequest({ method, target, timestamp, nonce, body }: SignedParts): Buffer {
  const bodyHash = createHash("sha256").update(body).digest("hex");
  return Buffer.from([signatureScheme.toUpperCase(), method, target, timestamp, nonce, bodyHash].join("\n"), "latin1");
}

/** Whether this secret made the signature, in the same time for every wrong one. */
export function isSignedWith(secret: string, canonical: Buffer, { mac }: Signature): boolean {
  return timingSafeEqual(createHmac("sha256", secret).update(canonical).digest(), mac);
}
