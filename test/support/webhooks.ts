import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type pg from "pg";
import { Webhook } from "standardwebhooks";
import { createEndpoint, rotateSecret } from "../../src/webhooks/manage.ts";
import { fieldKeys } from "./field_keys.ts";
import { actAs, staff } from "./session.ts";
import type { TestDatabase } from "./test_database.ts";

/** A request that a receiver got. */
export interface Received {
  headers: IncomingHttpHeaders;
  body: string;
  at: number;
}

export interface Receiver {
  url: string;
  received: Received[];
  connections: number;
  /** How it answers from now on: a status, or whatever else. */
  answerWith(answer: number | ((response: ServerResponse, request: Received) => void)): void;
  stop(): Promise<void>;
}

/** A receiver of webhooks on this machine. */
export async function startReceiver(): Promise<Receiver> {
  let answer: (response: ServerResponse, request: Received) => void = (response) => response.writeHead(204).end();
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const got = { headers: request.headers, body: Buffer.concat(chunks).toString("utf8"), at: Date.now() };
    receiver.received.push(got);
    answer(response, got);
  });
  const receiver: Receiver = {
    url: "",
    received: [],
    connections: 0,
    answerWith: (how) => {
      answer = typeof how === "number" ? (response) => response.writeHead(how).end() : how;
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
  server.on("connection", () => {
    receiver.connections += 1;
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  return receiver;
}

/** What a delivery says, once its signature is found to be right. */
export interface Told {
  type: string;
  timestamp: string;
  data: Record<string, unknown> & { number: string; subjectId: string };
}

/** Verifies by the package of Standard Webhooks itself; throws where the signature is not right. */
export function verified({ headers, body }: Received, secret: string): Told {
  return new Webhook(secret).verify(body, headers as Record<string, string>) as Told;
}

/** Where connections come from: a test database, or what a benchmark has. */
export type ClientSource = Pick<TestDatabase, "withClient">;

/** Runs `work` on a connection that acts as an admin of the tenant. */
export function asAdmin<T>(db: ClientSource, tenantId: number, work: (client: pg.Client) => Promise<T>): Promise<T> {
  return db.withClient("owner", async (client) => {
    await actAs(client, { tenantId, role: "admin", userId: staff });
    return work(client);
  });
}

/** Makes an endpoint as the API does. */
export function addEndpoint(
  db: ClientSource,
  tenantId: number,
  url: string,
  eventKinds: string[] = ["*"],
): Promise<{ id: string; secret: string }> {
  return asAdmin(db, tenantId, (client) =>
    createEndpoint(client, { keys: fieldKeys("test"), tenantId }, { url, eventKinds }),
  );
}

/** Rotates the secret of an endpoint as the API does. */
export function rotate(
  db: ClientSource,
  tenantId: number,
  id: string,
  overlapSeconds: number,
): Promise<{ secret: string }> {
  return asAdmin(db, tenantId, (client) =>
    rotateSecret(client, { keys: fieldKeys("test"), tenantId }, { id, overlapSeconds }),
  );
}
