import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { CheckAnswer, CheckRequest } from "./provider.ts";
import { sign } from "./signature.ts";

export interface SimulatedProviderOptions {
  port: number;
  host?: string;
  secret: string;
  /** How long a check takes. Default: one second. */
  checkMs?: number;
  /** Where news are told, signed; nowhere if left out. */
  webhookUrl?: string | undefined;
}

/** What goes wrong on purpose, until it is set otherwise. */
export interface Faults {
  /** Each answer waits this long. */
  delayMs: number;
  /** The next so many requests are answered with status 500. */
  failures: number;
  /** These 500s come after the check was taken in, not before. */
  failAfterTaking: boolean;
}

export interface SimulatedProvider {
  url: string;
  /** The checks that it has taken in, by reference. */
  checks: ReadonlyMap<string, CheckRequest>;
  setFaults(faults: Partial<Faults>): void;
  stop(): Promise<void>;
}

interface Check {
  request: CheckRequest;
  id: string;
  readyAt: number;
}

/**
 * A provider of verifications to try things with: real HTTP, nothing behind it. What it finds is written in the
 * references of the evidence: `simulate:fail`, `simulate:needs-information`; everything else passes. `POST
 * /faults` makes it slow or fail.
 */
export async function startSimulatedProvider(options: SimulatedProviderOptions): Promise<SimulatedProvider> {
  const { secret, checkMs = 1000, webhookUrl } = options;
  const byReference = new Map<string, Check>();
  const byId = new Map<string, Check>();
  const faults: Faults = { delayMs: 0, failures: 0, failAfterTaking: false };
  const timers = new Set<NodeJS.Timeout>();

  const take = (request: CheckRequest): Check => {
    const known = byReference.get(request.reference);
    if (known) return known;
    const check = { request, id: `sim_${randomUUID()}`, readyAt: Date.now() + checkMs };
    byReference.set(request.reference, check);
    byId.set(check.id, check);
    if (webhookUrl !== undefined) {
      timers.add(setTimeout(() => void tell(webhookUrl, secret, request.reference), checkMs + 10));
    }
    return check;
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await readBody(request);
    if (request.headers.authorization !== `Bearer ${secret}`) return answer(response, 401, { error: "unauthorized" });
    const route = `${request.method} ${request.url}`;
    if (route === "POST /faults") {
      Object.assign(faults, JSON.parse(body.toString("utf8")));
      return answer(response, 200, faults);
    }
    if (faults.delayMs > 0) await sleep(faults.delayMs);
    const fails = faults.failures > 0;
    if (fails) faults.failures -= 1;
    if (fails && !faults.failAfterTaking) return answer(response, 500, { error: "on purpose" });
    const found =
      route === "POST /checks"
        ? take(JSON.parse(body.toString("utf8")) as CheckRequest)
        : byId.get(/^GET \/checks\/([^/]+)$/.exec(route)?.[1] ?? "");
    if (fails) return answer(response, 500, { error: "on purpose" });
    if (!found) return answer(response, 404, { error: "not found" });
    answer(response, 200, verdict(found));
  };

  const server = createServer((request, response) => {
    handle(request, response).catch(() => answer(response, 400, { error: "bad request" }));
  });
  server.listen(options.port, options.host ?? "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get checks() {
      return new Map([...byReference].map(([reference, { request }]) => [reference, request]));
    },
    setFaults: (changes) => void Object.assign(faults, changes),
    stop: async () => {
      for (const timer of timers) clearTimeout(timer);
      await close(server);
    },
  };
}

function verdict({ id, readyAt, request }: Check): CheckAnswer {
  if (Date.now() < readyAt) return { id, status: "submitted" };
  const wishes = request.evidence.map(({ reference }) => reference);
  if (wishes.includes("simulate:fail")) return { id, status: "failed", finding: "The document is not genuine." };
  if (wishes.at(-1) === "simulate:needs-information") {
    return { id, status: "needs_information", finding: "The document cannot be read. Send a better picture." };
  }
  return { id, status: "passed" };
}

async function tell(url: string, secret: string, reference: string): Promise<void> {
  const body = Buffer.from(JSON.stringify({ reference }));
  const headers = { "content-type": "application/json", "x-kyc-signature": sign(secret, body) };
  await fetch(url, { method: "POST", body, headers }).catch(() => undefined);
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

async function close(server: Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}
