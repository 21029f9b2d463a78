import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import type { Express } from "express";
import type { ServerOptions } from "graphql-ws";
import { useServer } from "graphql-ws/use/ws";
import type { Logger } from "pino";
import { type GrafservBase, makeGraphQLWSConfig } from "postgraphile/grafserv";
import { type ExecutionArgs, GraphQLError, getOperationAST } from "postgraphile/graphql";
import { type WebSocket, WebSocketServer } from "ws";
import type { RefusalRecorder } from "../audit/refusal_recorder.ts";
import { chooseOperation, type OperationRules } from "../graphql/operations.ts";
import { describeRefusal, type RefusalCatalog } from "../graphql/refusals.ts";
import { upgradeAddress } from "./client_address.ts";
import { isValueTooDeep, maxJsonDepth } from "./json_depth.ts";
import type { RateLimits } from "./rate_limits.ts";
import { recordBadToken } from "./record_bad_token.ts";
import { requestIdOf } from "./request_id.ts";
import { endWith, endWithError, jsonText } from "./serve_http.ts";
import type { TokenKeys } from "./token_keys.ts";
import { bearerToken, type Claims, TokenError, verifyToken } from "./tokens.ts";

export interface WebSocketOptions {
  /** Knows which proxies to trust. */
  app: Express;
  server: Server;
  serv: GrafservBase;
  keys: TokenKeys;
  refusals: RefusalCatalog;
  recorder: RefusalRecorder;
  corsOrigins: readonly string[];
  rateLimits: RateLimits;
  operationRules: OperationRules;
  log: Logger;
  /** Told how many sockets are open. */
  onCount: (open: number) => void;
}

/** Close codes as graphql-ws uses them, and the sentence that goes with them. */
const closeCodes = { forbidden: 4403, tokenExpired: 4401, tooMany: 4429, goingAway: 1001 } as const;

const maxMessageBytes = 100_000;
const maxSubscriptionsPerSocket = 20;
const maxSocketsPerTenant = 200;
const keepAliveMs = 15_000;

const claimsOfSocket = new WeakMap<object, Claims>();

/** The claims that a web socket was opened with. */
export function claimsOfWebSocket(socket: object): Claims | undefined {
  return claimsOfSocket.get(socket);
}

/**
 * Subscriptions over graphql-ws at /graphql. A socket belongs to the token that its first message carried
 * and is closed when that expires; it takes subscriptions only, because limits and logs of requests do
 * not reach here. Returns what closes all sockets.
 */
export function serveWebSockets(options: WebSocketOptions): () => Promise<void> {
  const { app, server, serv, keys, refusals, recorder, corsOrigins, rateLimits, operationRules, log, onCount } =
    options;
  const sockets = new WebSocketServer({ noServer: true, maxPayload: maxMessageBytes });
  const openByTenant = new Map<number, number>();
  const base = makeGraphQLWSConfig(serv);
  const refuse = (code: string, detail?: Record<string, unknown>): GraphQLError => {
    const { message, extensions } = describeRefusal(refusals, code, detail);
    return new GraphQLError(message, { extensions });
  };
  const config: ServerOptions<Record<string, unknown>, { socket: WebSocket; request: IncomingMessage }> = {
    ...(base as object),
    connectionInitWaitTimeout: 5_000,
    onConnect(ctx) {
      const { socket } = ctx.extra;
      try {
        const token = bearerToken(ctx.connectionParams?.["authorization"] ?? ctx.connectionParams?.["Authorization"]);
        if (token === undefined) throw new TokenError("LG460");
        const claims = verifyToken(token, keys);
        const { tenantId } = claims;
        if (tenantId === null) {
          socket.close(closeCodes.forbidden, closeReason(refusals, "LG402"));
          return false;
        }
        const open = openByTenant.get(tenantId) ?? 0;
        if (open >= maxSocketsPerTenant) {
          socket.close(closeCodes.tooMany, "Too many web sockets of these books are open.");
          return false;
        }
        openByTenant.set(tenantId, open + 1);
        claimsOfSocket.set(socket, claims);
        closeWhenExpired(socket, claims, refusals);
        socket.once("close", () => openByTenant.set(tenantId, (openByTenant.get(tenantId) ?? 1) - 1));
        return true;
      } catch (error) {
        if (!(error instanceof TokenError)) throw error;
        const { request } = ctx.extra;
        recordBadToken(recorder, { error, requestId: requestIdOf(request), address: upgradeAddress(app, request) });
        socket.close(closeCodes.forbidden, closeReason(refusals, error.code));
        return false;
      }
    },
    async onSubscribe(ctx, id, payload) {
      if (Object.keys(ctx.subscriptions).length > maxSubscriptionsPerSocket) {
        return [refuse("LG163", { subscriptions: maxSubscriptionsPerSocket + 1, maximum: maxSubscriptionsPerSocket })];
      }
      const claims = claimsOfSocket.get(ctx.extra.socket);
      if (!claims || !(await rateLimits.countCaller(claims))) return [refuse("LG462")];
      const { variables, operationName } = payload;
      if (isValueTooDeep(variables)) return [refuse("LG168", { maximum: maxJsonDepth })];
      const chosen = chooseOperation(payload, operationRules);
      if (!chosen) return [refuse("LG167")];
      const operation = { query: "", ...chosen, variables, operationName };
      // Errors are masked on their way out, by onError.
      const result = (await base.onSubscribe?.(ctx as never, id, operation)) as ExecutionArgs | readonly GraphQLError[];
      if (!("document" in result)) return result;
      const ast = getOperationAST(result.document, result.operationName);
      return ast?.operation === "subscription" ? result : [refuse("LG463")];
    },
  };
  const disposable = useServer(config, sockets, keepAliveMs);
  sockets.on("connection", (socket) => {
    onCount(sockets.clients.size);
    socket.on("error", (error) => log.debug({ err: error }, "a web socket broke"));
    socket.once("close", () => setImmediate(() => onCount(sockets.clients.size)));
  });
  const refuseUpgrade = (socket: Duplex, status: string, code: string): void => {
    const { message, extensions } = describeRefusal(refusals, code);
    const { body, headers } = jsonText({ errors: [{ message, extensions }] });
    endWith(socket, status, body, code === "LG462" ? { ...headers, "Retry-After": "60" } : headers);
  };
  const upgrade = async (request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    if (request.url?.split("?")[0] !== "/graphql") return endWithError(socket, "404 Not Found", "NOT_FOUND");
    if (!isOriginAllowed(request, corsOrigins)) return refuseUpgrade(socket, "403 Forbidden", "LG464");
    if (!(await rateLimits.countAddress(upgradeAddress(app, request)))) {
      return refuseUpgrade(socket, "429 Too Many Requests", "LG462");
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => sockets.emit("connection", webSocket, request));
  };
  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    // Until the web socket has it, nobody else listens to what goes wrong with the connection.
    const ignore = (): void => undefined;
    socket.on("error", ignore);
    upgrade(request, socket, head).then(
      () => socket.off("error", ignore),
      (error: unknown) => {
        log.error({ err: error }, "a web socket could not be opened");
        socket.destroy();
      },
    );
  };
  server.on("upgrade", onUpgrade);
  return async () => {
    server.off("upgrade", onUpgrade);
    for (const socket of sockets.clients) socket.close(closeCodes.goingAway, "The server is stopping.");
    await disposable.dispose();
  };
}

/** Programs send no origin; a web page must be ours or listed, as for other requests. */
function isOriginAllowed({ headers }: IncomingMessage, corsOrigins: readonly string[]): boolean {
  const { origin, host } = headers;
  if (origin === undefined || corsOrigins.includes(origin)) return true;
  return URL.canParse(origin) && new URL(origin).host === host;
}

function closeWhenExpired(socket: WebSocket, claims: Claims, refusals: RefusalCatalog): void {
  // A timer holds at most 24.8 days; a token that lives longer is checked again then.
  const check = (): void => {
    const left = claims.expiresAt * 1000 - Date.now();
    if (left <= 0) socket.close(closeCodes.tokenExpired, closeReason(refusals, "LG461"));
    else timer = setTimeout(check, Math.min(left, 2 ** 31 - 1));
  };
  let timer: NodeJS.Timeout | undefined;
  check();
  socket.once("close", () => clearTimeout(timer));
}

function closeReason(refusals: RefusalCatalog, code: string): string {
  return `${code} ${describeRefusal(refusals, code).message}`;
}
