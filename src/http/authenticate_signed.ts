import express, { type ErrorRequestHandler, type Request, type RequestHandler } from "express";
import { checkSkew, readSignature, type Signature, SignatureError, signatureScheme } from "../api_keys/signature.ts";
import { maxBodyBytes } from "../graphql/preset.ts";
import type { RefusalCatalog } from "../graphql/refusals.ts";
import type { ApiKeys } from "./api_keys.ts";
import { setClaims } from "./authenticate.ts";
import { clientAddress } from "./client_address.ts";
import { sendRefusal } from "./error_response.ts";
import type { RateLimits } from "./rate_limits.ts";
import { requestIdOf } from "./request_id.ts";

export interface AuthenticateSignedOptions {
  apiKeys: ApiKeys;
  rateLimits: RateLimits;
}

const signatures = new WeakMap<object, Signature>();
const counted = new WeakSet<object>();

/**
 * Lets in requests that are signed with an API key; others pass by. The order matters: what can be refused
 * without the database is; a key that has not been seen lately is looked for only as often as the address may
 * come without one; the bytes of the body are verified before anybody reads them as JSON.
 */
export function authenticateSigned({ apiKeys, rateLimits }: AuthenticateSignedOptions): RequestHandler[] {
  const readHeader: RequestHandler = (request, _response, next) => {
    const signature = readSignature(request);
    if (!signature) return next();
    checkSkew(signature);
    // An absolute URL, as proxies are sent, has no one path.
    if (!request.originalUrl.startsWith("/")) throw new SignatureError("LG420", { rule: "a path that begins with /" });
    signatures.set(request, signature);
    next();
  };
  const countUnknown: RequestHandler = (request, response, next) => {
    const signature = signatures.get(request);
    if (!signature || apiKeys.isKnown(signature.keyId)) return next();
    counted.add(request);
    rateLimits.limitAddress(request, response, next);
  };
  const readBytes = express.raw({ limit: maxBodyBytes, inflate: false, type: () => true });
  const admit: RequestHandler = async (request, _response, next) => {
    const signature = signatures.get(request);
    if (signature) setClaims(request, await apiKeys.admit(signedRequest(request, signature)));
    next();
  };
  return [readHeader, countUnknown, onlySigned(readBytes), admit];
}

function onlySigned(handler: RequestHandler): RequestHandler {
  return (request, response, next) => (signatures.has(request) ? handler(request, response, next) : next());
}

function signedRequest(request: Request, signature: Signature): Parameters<ApiKeys["admit"]>[0] {
  return {
    signature,
    method: request.method,
    target: request.originalUrl,
    body: Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0),
    address: clientAddress(request),
    requestId: requestIdOf(request),
  };
}

/** A signature that is not taken is answered with 401, and counts for its address like a request without one. */
export function refuseSignature(refusals: RefusalCatalog, rateLimits: RateLimits): ErrorRequestHandler {
  return (error: unknown, request, response, next) => {
    if (!(error instanceof SignatureError)) return next(error);
    const refuse = (trouble?: unknown): void => {
      if (trouble) return next(trouble);
      response.setHeader("WWW-Authenticate", signatureScheme);
      sendRefusal(response, refusals, { status: 401, code: error.code, detail: error.detail });
    };
    if (counted.has(request)) refuse();
    else rateLimits.limitAddress(request, response, refuse);
  };
}
