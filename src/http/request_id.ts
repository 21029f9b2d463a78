import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";

const ids = new WeakMap<object, string>();

/** The id of a request: in the log, in the answer's header X-Request-Id and in the database's settings. */
export function requestIdOf(request: object): string {
  const known = ids.get(request);
  if (known !== undefined) return known;
  const id = randomUUID();
  ids.set(request, id);
  return id;
}

/** Takes the id of a proxy in front if it looks like one, and tells it to the client. */
export function assignRequestId(request: IncomingMessage, response: ServerResponse): string {
  const given = request.headers["x-request-id"];
  if (typeof given === "string" && /^[\w.-]{8,64}$/.test(given)) ids.set(request, given);
  const id = requestIdOf(request);
  response.setHeader("X-Request-Id", id);
  return id;
}
