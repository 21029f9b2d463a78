/**
 * Signs requests to Tallystick with an API key. One file, no dependency, only what the web platform has: it
 * runs on Node 20 and later, on Deno and Bun, and in workers. Copy it into your project. The form of a
 * signature is in docs/how-to/partner-api-keys.md, test vectors are in docs/api-key-vectors.json.
 *
 *     const answer = await sendSigned({ id, secret }, "https://ledger.example.com/graphql", { query, variables });
 */

/** An API key as `createApiKey` answered with it. Keep the secret where your other secrets are. */
export interface ApiKey {
  id: string;
  secret: string;
}

/** What is sent: the very bytes of the body, not a value that something else turns into JSON later. */
export interface RequestToSign {
  /** Default: POST. */
  method?: string;
  url: string | URL;
  /** Default: an empty body. */
  body?: string | Uint8Array<ArrayBuffer>;
  /** For tests. Default: now. */
  timestamp?: number;
  /** For tests. Default: 128 random bits. Never use one twice. */
  nonce?: string;
}

/** What the API answers, whatever the status of the response is. */
export interface Answer {
  data?: unknown;
  errors?: { message: string; extensions: Record<string, unknown> }[];
}

const scheme = "Tallystick-HMAC-SHA256-V1";
const encoder = new TextEncoder();

/** The value of the header Authorization for one request. A request that is sent again is signed again. */
export async function signRequest(key: ApiKey, request: RequestToSign): Promise<string> {
  const { timestamp = Math.floor(Date.now() / 1000), nonce = randomNonce() } = request;
  const canonical = encoder.encode(await canonicalRequest({ ...request, timestamp, nonce }));
  const hmac = { name: "HMAC", hash: "SHA-256" };
  const secret = await crypto.subtle.importKey("raw", encoder.encode(key.secret), hmac, false, ["sign"]);
  const signature = toHex(await crypto.subtle.sign("HMAC", secret, canonical));
  return `${scheme} key=${key.id}, timestamp=${timestamp}, nonce=${nonce}, signature=${signature}`;
}

/** What is signed: six lines, without a line break at the end. */
export async function canonicalRequest(
  request: RequestToSign & Required<Pick<RequestToSign, "timestamp" | "nonce">>,
): Promise<string> {
  const { method = "POST", url, body = "", timestamp, nonce } = request;
  // What follows the host, as fetch sends it; what follows a # is not sent.
  const target = new URL(url).href.replace(/#.*$/s, "").replace(/^[^:]*:\/\/[^/]*/, "");
  const bytes = typeof body === "string" ? encoder.encode(body) : body;
  const bodyHash = toHex(await crypto.subtle.digest("SHA-256", bytes));
  return [scheme.toUpperCase(), method, target, timestamp, nonce, bodyHash].join("\n");
}

/** Sends an operation of GraphQL, signed, and gives the answer: `data`, and `errors` if there are any. */
export async function sendSigned(
  key: ApiKey,
  url: string | URL,
  operation: { query?: string; documentId?: string; variables?: Record<string, unknown>; operationName?: string },
): Promise<Answer> {
  const body = JSON.stringify(operation);
  const headers = { authorization: await signRequest(key, { url, body }), "content-type": "application/json" };
  const response = await fetch(url, { method: "POST", headers, body, redirect: "error" });
  return (await response.json()) as Answer;
}

function randomNonce(): string {
  return toHex(crypto.getRandomValues(new Uint8Array(16)).buffer);
}

function toHex(bytes: ArrayBuffer): string {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
