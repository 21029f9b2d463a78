import type { NextFunction, Request, RequestHandler, Response } from "express";
import type { TokenKeys } from "./token_keys.ts";
import { bearerToken, type Claims, verifyToken } from "./tokens.ts";

const claimsOfRequest = new WeakMap<object, Claims>();

/** The claims of a request's verified token; undefined if it came without one. */
export function claimsOf(request: object): Claims | undefined {
  return claimsOfRequest.get(request);
}

/** Says who a request comes from, for what authenticates in another way. */
export function setClaims(request: object, claims: Claims): void {
  claimsOfRequest.set(request, claims);
}

/**
 * Verifies the token before GraphQL sees the request. No token: anonymous. A bad one: not anonymous, but a
 * TokenError for the error handler, which counts it before it answers.
 */
export function authenticate(keys: TokenKeys): RequestHandler {
  return (request: Request, _response: Response, next: NextFunction): void => {
    try {
      // A request that is signed with an API key has been let in already: see authenticate_signed.ts.
      const token = claimsOf(request) ? undefined : bearerToken(request.headers.authorization);
      if (token !== undefined) claimsOfRequest.set(request, verifyToken(token, keys));
      next();
    } catch (error) {
      next(error);
    }
  };
}
