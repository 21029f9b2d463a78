import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import type { Express, Request } from "express";

/**
 * The address that a request comes from: that of the connection, or what the trusted proxies in front say.
 * Always an address: some proxies add a port, and a header may hold anything.
 */
export function clientAddress(request: Request): string {
  return bareAddress(request.ip) ?? bareAddress(request.socket.remoteAddress) ?? "0.0.0.0";
}

/** The same for an upgrade to a web socket, which does not come through Express. */
export function upgradeAddress(app: Express, { headers, socket }: IncomingMessage): string {
  return clientAddress(Object.assign(Object.create(app.request) as Request, { headers, socket }));
}

function bareAddress(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  // [::1]:80, 192.0.2.1:80, fe80::1%eth0
  const bare = (/^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+):\d+$/.exec(text)?.[1] ?? text).replace(
    /%.*$/s,
    "",
  );
  if (isIP(bare) === 0) return undefined;
  // IPv4 over an IPv6 socket is the same client as over an IPv4 one.
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1] ?? bare;
}
