import { createServer, type RequestListener, type Server } from "node:http";
import type { Duplex } from "node:stream";
import { describeStandardError, type StandardCode } from "../graphql/standard_errors.ts";

/** What one connection may take of the server before a request is complete, and how many there are. */
export const connectionLimits = {
  /** All headers of a request together. */
  headerBytes: 16_384,
  /** Milliseconds until the headers, and until the whole request, must have arrived. */
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  /** How long a connection stays open for the next request: longer than a load balancer keeps it. */
  keepAliveTimeout: 65_000,
  connections: 10_000,
} as const;

/** The HTTP server: what arrives too slowly, too large or not as HTTP is answered in the shape of all errors. */
export function makeHttpServer(app: RequestListener): Server {
  const server = createServer(
    {
      maxHeaderSize: connectionLimits.headerBytes,
      headersTimeout: connectionLimits.headersTimeout,
      requestTimeout: connectionLimits.requestTimeout,
      keepAliveTimeout: connectionLimits.keepAliveTimeout,
      connectionsCheckingInterval: 2_000,
      // The application asks for it, with an answer of ours.
      requireHostHeader: false,
    },
    app,
  );
  server.maxConnections = connectionLimits.connections;
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    const [status, code] = answers[error.code ?? ""] ?? ["400 Bad Request", "BAD_REQUEST"];
    endWithError(socket, status, code);
  });
  server.on("checkExpectation", (_request, response) => {
    const { body, headers } = errorText("BAD_REQUEST");
    response.writeHead(417, headers).end(body);
  });
  return server;
}

const answers: Record<string, [status: string, code: StandardCode]> = {
  HPE_HEADER_OVERFLOW: ["431 Request Header Fields Too Large", "HEADERS_TOO_LARGE"],
  ERR_HTTP_REQUEST_TIMEOUT: ["408 Request Timeout", "REQUEST_TIMEOUT"],
};

/** Answers on a socket that has no response object, and ends it. */
export function endWithError(socket: Duplex, status: string, code: StandardCode): void {
  const { body, headers } = errorText(code);
  endWith(socket, status, body, headers);
}

/** The same with a body of the caller's. */
export function endWith(socket: Duplex, status: string, body: string, headers: Record<string, string>): void {
  // A socket that is gone says so by an error that nobody needs to hear.
  socket.on("error", () => undefined);
  // Behind an answer that has begun another one would be taken for a part of it.
  const answer = (socket as Duplex & { _httpMessage?: { headersSent: boolean } | null })._httpMessage;
  if (!socket.writable || answer?.headersSent) {
    socket.destroy();
    return;
  }
  const lines = Object.entries({ ...headers, Connection: "close" }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status}\r\n${lines.join("")}\r\n${body}`);
}

function errorText(code: StandardCode): { body: string; headers: Record<string, string> } {
  const { message, extensions } = describeStandardError(code);
  return jsonText({ errors: [{ message, extensions }] });
}

/** A JSON body with the headers that go with it. */
export function jsonText(value: unknown): { body: string; headers: Record<string, string> } {
  const body = JSON.stringify(value);
  const headers = {
    "Content-Type": "application/json; charset=utf-8",
    "Content-Length": String(Buffer.byteLength(body)),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
  };
  return { body, headers };
}
