import type { KeyObject } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { NextFunction, Request, RequestHandler, Response } from "express";
import type { RefusalRecorder } from "../audit/refusal_recorder.ts";
import type { RefusalCatalog } from "../graphql/refusals.ts";
import { makeRequestContext } from "../graphql/request_context.ts";
import { addressOf } from "./address.ts";
import { sendRefusal } from "./error_response.ts";
import { requestIdOf } from "./request_id.ts";
import { bearerToken, type Claims, TokenError, verifyToken } from "./tokens.ts";

const claimsOfRequest = new WeakMap<object, Claims>();

/** The claims of a request's verified token; undefined if it came without one. */
export function claimsOf(request: object): Claims | undefined {
  return claimsOfRequest.get(request);
}

/** Verifies the token before GraphQL sees the request. No token: anonymous. A bad one: 401, not anonymous. */
export function authenticate(key: KeyObject, refusals: RefusalCatalog, recorder: RefusalRecorder): RequestHandler {
  return (request: Request, response: Response, next: NextFunction): void => {
    try {
      const token = bearerToken(request.headers.authorization);
      if (token !== undefined) claimsOfRequest.set(request, verifyToken(token, key));
      next();
    } catch (error) {
      if (!(error instanceof TokenError)) {
        next(error);
        return;
      }
      recordBadToken(recorder, request, { error, address: addressOf(request) });
      response.setHeader("WWW-Authenticate", 'Bearer error="invalid_token"');
      sendRefusal(response, refusals, { status: 401, code: error.code });
    }
  };
}

/** A token that is not valid is a security event. One that has expired is the day's work. */
export function recordBadToken(
  recorder: RefusalRecorder,
  request: IncomingMessage,
  { error, address }: { error: TokenError; address: string },
): void {
  if (error.code === "LG461") return;
  const { pgSettings } = makeRequestContext({
    claims: undefined,
    requestId: requestIdOf(request),
    address,
  });
  recorder.record(pgSettings, [{ code: error.code }]);
}
