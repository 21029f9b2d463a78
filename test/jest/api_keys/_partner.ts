import { createHash, createHmac, randomBytes } from "node:crypto";
import { request as httpRequest } from "node:http";
import type { AnswerError, TestApi } from "../api/_api.ts";

/** An API key as createApiKey answered with it. */
export interface PartnerKey {
  id: string;
  secret: string;
  userId: string;
}

export const createMutation = /* GraphQL */ `
  mutation ($input: CreateApiKeyInput!) {
    createApiKey(input: $input) { secret apiKey { id name status userId scopes allowedAddresses expiresAt } }
  }
`;

export const inDays = (days: number): string => new Date(Date.now() + days * 86_400_000).toISOString();

/** Makes a key over the API, as an admin does. */
export async function makeKey(api: TestApi, input: object = {}, tenant = api.books.tenant): Promise<PartnerKey> {
  const given = {
    name: "Partner",
    scopes: ["ledger.read", "transactions.post"],
    expiresAt: inDays(30),
    ...input,
  };
  const { createApiKey } = await api.get(createMutation, { input: given }, { tenant });
  return { id: createApiKey.apiKey.id, userId: createApiKey.apiKey.userId, secret: createApiKey.secret };
}

/** A request, with everything that can be wrong with it. */
export interface SignedOptions {
  method?: string;
  target?: string;
  body?: string | Buffer;
  timestamp?: number | string;
  nonce?: string;
  secret?: string;
  keyId?: string;
  /** What is signed in place of what is sent. */
  signed?: { method?: string; target?: string; body?: string; timestamp?: string; nonce?: string };
  /** Makes another header of the right one. */
  header?: (right: string) => string | string[] | undefined;
  headerName?: string;
  headers?: Record<string, string>;
  contentType?: string;
}

export interface SignedAnswer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  // biome-ignore lint/suspicious/noExplicitAny: each test knows the shape of what it asked for.
  data: any;
  errors: AnswerError[];
  code: string | undefined;
  text: string;
}

export const tenantQuery = JSON.stringify({ query: "{ currentTenant { slug } }" });

/** The value of the header, by a third implementation beside those of the server and of the client. */
export function signatureHeader(key: PartnerKey, options: SignedOptions = {}): string {
  const { method = "POST", target = "/graphql", body = tenantQuery, keyId = key.id, secret = key.secret } = options;
  const { timestamp = Math.floor(Date.now() / 1000), nonce = randomBytes(16).toString("hex"), signed = {} } = options;
  const hash = createHash("sha256")
    .update(signed.body ?? body)
    .digest("hex");
  const lines = [
    "TALLYSTICK-HMAC-SHA256-V1",
    signed.method ?? method,
    signed.target ?? target,
    signed.timestamp ?? timestamp,
    signed.nonce ?? nonce,
    hash,
  ];
  const signature = createHmac("sha256", secret)
    .update(Buffer.from(lines.join("\n"), "latin1"))
    .digest("hex");
  return `Tallystick-HMAC-SHA256-V1 key=${keyId}, timestamp=${timestamp}, nonce=${nonce}, signature=${signature}`;
}

/** Sends a signed request, byte for byte. */
export function sendSigned(url: string, key: PartnerKey, options: SignedOptions = {}): Promise<SignedAnswer> {
  const { method = "POST", target = "/graphql", body = tenantQuery, contentType = "application/json" } = options;
  const right = signatureHeader(key, options);
  const authorization = options.header ? options.header(right) : right;
  const headers: [string, string][] = [
    ["Host", new URL(url).host],
    ["Content-Type", contentType],
    ["Content-Length", String(Buffer.byteLength(body))],
    ...[authorization ?? []].flat().map((value): [string, string] => [options.headerName ?? "Authorization", value]),
    ...Object.entries(options.headers ?? {}),
  ];
  const { hostname, port } = new URL(url);
  return new Promise((done, fail) => {
    const sent = httpRequest(
      { hostname, port, method, path: target, headers: headers.flat(), agent: false },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("end", () => {
          const text = Buffer.concat(chunks).toString("utf8");
          const { data, errors = [] } = parse(text);
          done({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            data,
            errors,
            code: errors[0]?.extensions.code,
            text,
          });
        });
      },
    );
    sent.on("error", fail);
    sent.end(body);
  });
}

function parse(text: string): { data?: unknown; errors?: AnswerError[] } {
  try {
    return JSON.parse(text) as { data?: unknown; errors?: AnswerError[] };
  } catch {
    return {};
  }
}
