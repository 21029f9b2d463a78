import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import express from "express";

/** Express's own answer to who the client is: behind a proxy that is trusted, whom that one names. */
const ipOf = Object.getOwnPropertyDescriptor(express.request, "ip")?.get as (this: object) => string | undefined;

/**
 * The address of the client, as PostgreSQL's `inet` reads it: IPv4 as such even where the socket speaks
 * IPv6, and without a zone. Empty if there is none that makes sense. For web sockets pass the app whose
 * setting `trust proxy` counts; a request of Express knows its own.
 */
export function addressOf(request: IncomingMessage | undefined, app?: express.Express): string {
  if (!request) return "";
  const own = "app" in request ? request : { headers: request.headers, socket: request.socket, app };
  const ip = own.app ? ipOf.call(own) : request.socket.remoteAddress;
  const plain = (ip ?? "").replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, "");
  return isIP(plain) === 0 ? "" : plain;
}
