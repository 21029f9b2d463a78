import type { NextFunction, Request, RequestHandler, Response } from "express";
import type { RefusalCatalog } from "../graphql/refusals.ts";
import { sendRefusal } from "./error_response.ts";
import type { TokenKeys } from "./token_keys.ts";
import { bearerToken, type Claims, TokenError, verifyToken } from "./tokens.ts";

const claimsOfRequest = new WeakMap<object, Claims>();

/** The claims of a request's verified token; undefined if it came without one. */
export function claimsOf(request: object): Claims | undefined {
  return claimsOfRequest.get(request);
}

/** Verifies the token before GraphQL sees the request. No token: anonymous. A bad one: 401, not anonymous. */
export function authenticate(keys: TokenKeys, refusals: RefusalCatalog): RequestHandler {
  return (request: Request, response: Response, next: NextFunction): void => {
    try {
      const token = bearerToken(request.headers.authorization);
      if (token !== undefined) claimsOfRequest.set(request, verifyToken(token, keys));
      next();
    } catch (error) {
      if (!(error instanceof TokenError)) {
        next(error);
        return;
      }
      response.setHeader("WWW-Authenticate", 'Bearer error="invalid_token"');
      sendRefusal(response, refusals, { status: 401, code: error.code });
    }
  };
}
