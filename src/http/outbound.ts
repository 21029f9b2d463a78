import { Resolver, lookup as systemLookup } from "node:dns/promises";
import http, { type Agent, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import https from "node:https";
import { isIP, type LookupFunction } from "node:net";
import ipaddr from "ipaddr.js";

/** Why a request was not sent, or brought no answer. */
export type OutboundReason =
  /** The URL is none that we call. */
  | "url"
  /** The name has no address. */
  | "name"
  /** It leads to an address that we do not call. */
  | "address"
  /** It took too long. */
  | "timeout"
  /** The connection failed, TLS among it. */
  | "connection"
  /** The caller gave up. */
  | "aborted";

/** A request to somebody else's server that brought no answer. The message may be shown to who chose the URL. */
export class OutboundError extends Error {
  readonly reason: OutboundReason;
  constructor(reason: OutboundReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "OutboundError";
    this.reason = reason;
  }
}

export interface TargetOptions {
  /** Allow http and addresses that are not public: for development and tests. Default: false. */
  allowPrivate?: boolean;
  /** Finds the addresses of a name. Default: the DNS. */
  resolve?: (name: string) => Promise<string[]>;
}

export interface OutboundRequest extends TargetOptions {
  method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  headers?: Record<string, string>;
  body?: string | Buffer;
  /** For everything together: name, connection, request and the whole answer. Default: 10 seconds. */
  timeoutMs?: number;
  /** How much of an answer is read; the rest is cut off. Default: 64 KiB. */
  maxBytes?: number;
  signal?: AbortSignal | undefined;
  /** To use connections again: of makeOutboundAgents, and never for the URLs of two tenants. */
  agents?: OutboundAgents;
}

export interface OutboundAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  /** The answer was longer than maxBytes. */
  isCut: boolean;
}

/** Connections that are kept open between requests. */
export interface OutboundAgents {
  http: Agent;
  https: https.Agent;
  close(): void;
}

/**
 * Makes a place to keep connections in. A connection that is used again is to an address that was checked when
 * it was opened.
 */
export function makeOutboundAgents(): OutboundAgents {
  const options = { keepAlive: true, maxSockets: 4, maxFreeSockets: 2 };
  const agents = { http: new http.Agent(options), https: new https.Agent(options) };
  return {
    ...agents,
    close: () => {
      agents.http.destroy();
      agents.https.destroy();
    },
  };
}

/**
 * Sends a request to a URL that somebody outside chose, such as that of a webhook. It reaches public addresses
 * only: the name is resolved here, every address of it is checked, and the connection goes to what was checked,
 * so that a name which changes its mind in between wins nothing. Redirects are not followed, and time and size
 * are bounded. Any status is an answer; everything else throws an OutboundError.
 */
export async function safeRequest(url: string, options: OutboundRequest = {}): Promise<OutboundAnswer> {
  const { method = "GET", body, timeoutMs = 10_000, maxBytes = 65_536, signal, agents } = options;
  const target = readTarget(url, options);
  const tooLong = AbortSignal.timeout(timeoutMs);
  const isSecure = target.protocol === "https:";
  const { request } = isSecure ? https : http;
  const sent = request(target, {
    method,
    headers: { ...options.headers, ...(body === undefined ? {} : { "content-length": Buffer.byteLength(body) }) },
    lookup: checkedLookup(options),
    agent: agents === undefined ? false : isSecure ? agents.https : agents.http,
    signal: signal === undefined ? tooLong : AbortSignal.any([tooLong, signal]),
  });
  try {
    return await readAnswer(sent, body, maxBytes);
  } catch (error) {
    if (tooLong.aborted) throw new OutboundError("timeout", `There was no whole answer within ${timeoutMs} ms.`);
    if (signal?.aborted) throw new OutboundError("aborted", "The request was given up.");
    if (error instanceof OutboundError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? "unknown";
    throw new OutboundError("connection", `The connection failed (${code}).`, { cause: error });
  }
}

/**
 * Checks a URL as far as that is possible before it is called, where it is entered: its form, and every address
 * that its name has now. safeRequest checks both again.
 */
export async function checkTarget(url: string, options: TargetOptions = {}): Promise<void> {
  const { hostname } = readTarget(url, options);
  if (isIP(unbracketed(hostname)) === 0) await checkedAddresses(hostname, options);
}

/** Waits for the whole answer, or as much of it as is wanted. */
function readAnswer(sent: ClientRequest, body: string | Buffer | undefined, maxBytes: number): Promise<OutboundAnswer> {
  return new Promise((done, fail) => {
    sent.on("error", fail);
    sent.on("response", (response: IncomingMessage) => {
      const chunks: Buffer[] = [];
      let length = 0;
      const finish = (isCut: boolean): void => {
        const whole = Buffer.concat(chunks);
        done({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: isCut ? whole.subarray(0, maxBytes) : whole,
          isCut,
        });
      };
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        length += chunk.length;
        if (length <= maxBytes) return;
        finish(true);
        sent.destroy();
      });
      response.on("end", () => finish(false));
      response.on("error", fail);
      response.on("close", () => {
        if (!response.complete) fail(new OutboundError("connection", "The answer was broken off."));
      });
    });
    sent.end(body);
  });
}

/** The URL, if it is one that we call. */
function readTarget(url: string, { allowPrivate = false }: TargetOptions): URL {
  // The parser also writes 2130706433, 0x7f.1 and 127.1 as what they are.
  const target = URL.canParse(url) ? new URL(url) : undefined;
  if (target === undefined) throw new OutboundError("url", "It is not a URL.");
  if (target.protocol !== "https:" && !(allowPrivate && target.protocol === "http:")) {
    throw new OutboundError("url", "The URL should begin with https.");
  }
  if (target.username !== "" || target.password !== "") {
    throw new OutboundError("url", "The URL should hold no user and no password.");
  }
  const port = Number(target.port || 443);
  if (!allowPrivate && port !== 443 && port < 1024) {
    throw new OutboundError("url", "The port should be 443, or 1024 or higher.");
  }
  const host = unbracketed(target.hostname);
  if (isIP(host) !== 0 && !allowPrivate) checkAddress(host);
  return target;
}

const unbracketed = (hostname: string): string => hostname.replace(/^\[(.*)\]$/, "$1");

/** For a new connection: it goes to one of the addresses that were checked, and nothing is asked again. */
function checkedLookup(options: TargetOptions): LookupFunction {
  return (name, { all }, callback) => {
    checkedAddresses(name, options).then(
      (addresses) => {
        const found = addresses.map((address) => ({ address, family: isIP(address) }));
        const [first] = found;
        if (all) callback(null, found);
        else callback(null, first?.address ?? "", first?.family ?? 0);
      },
      (error: Error) => callback(error, "", 0),
    );
  };
}

/** All addresses of a name. One that must not be called is enough to refuse it. */
async function checkedAddresses(name: string, { allowPrivate, resolve }: TargetOptions): Promise<string[]> {
  const addresses = await (resolve ?? (allowPrivate ? resolveLocally : resolvePublicly))(name);
  if (addresses.length === 0) throw new OutboundError("name", "The name has no address.");
  if (!allowPrivate) for (const address of addresses) checkAddress(address);
  return addresses;
}

/** By the DNS alone: what files of this machine name is not public. Not in a thread of the pool, which others need. */
async function resolvePublicly(name: string): Promise<string[]> {
  const resolver = new Resolver({ timeout: 2_000, tries: 2 });
  const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  return answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
}

async function resolveLocally(name: string): Promise<string[]> {
  const found = await systemLookup(name, { all: true }).catch(() => []);
  return found.map(({ address }) => address);
}

// Addresses among the public ones that are none: where Azure answers its own machines.
const notPublic = ["168.63.129.16/32"].map((range) => ipaddr.parseCIDR(range));
// What is public in IPv6; the rest is reserved, or leads to IPv4 or elsewhere by another name.
const publicIpv6 = ipaddr.parseCIDR("2000::/3");

function checkAddress(text: string): void {
  if (!isPublic(text)) throw new OutboundError("address", "It leads to an address that is not public.");
}

function isPublic(text: string): boolean {
  if (!ipaddr.isValid(text)) return false;
  const address = ipaddr.parse(text);
  if (address.range() !== "unicast") return false;
  return address.kind() === "ipv6" ? address.match(publicIpv6) : !notPublic.some((range) => address.match(range));
}
