import express, {
  type ErrorRequestHandler,
  type NextFunction,
  type Request,
  type RequestHandler,
  type Response,
} from "express";
import { checkSkew, readSignature, type Signature, SignatureError, signatureScheme } from "../api_keys/signature.ts";
import type { RefusalRecorder } from "../audit/refusal_recorder.ts";
import { maxBodyBytes } from "../graphql/preset.ts";
import type { RefusalCatalog } from "../graphql/refusals.ts";
import { makePgSettings } from "../graphql/request_context.ts";
import type { ApiKeys, SignedRequest } from "./api_keys.ts";
import { setClaims } from "./authenticate.ts";
import { callerOf } from "./caller.ts";
import { clientAddress } from "./client_address.ts";
import { sendRefusal } from "./error_response.ts";
import type { RateLimits } from "./rate_limits.ts";

export interface AuthenticateSignedOptions {
  apiKeys: ApiKeys;
  rateLimits: RateLimits;
  refusals: RefusalCatalog;
  recorder: RefusalRecorder;
}

/** What stands in front of GraphQL for requests that are signed with an API key; others pass by. */
export interface SignedAuthentication {
  letIn: RequestHandler[];
  refuse: ErrorRequestHandler;
}

/**
 * The order matters: what can be refused without the database is; a key that has not been seen lately is
 * looked for only as often as the address may come without one; the bytes of the body are verified before
 * anybody reads them as JSON. What is not taken is answered with 401, and counts for its address.
 */
export function authenticateSigned(options: AuthenticateSignedOptions): SignedAuthentication {
  const { apiKeys, rateLimits, refusals, recorder } = options;
  const signatures = new WeakMap<object, Signature>();
  const { limitOnce, isOverLimit } = limitAddresses(rateLimits);
  const readBytes = express.raw({ limit: maxBodyBytes, inflate: false, type: () => true });

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
    if (!signature || (apiKeys.isKnown(signature.keyId) && !isOverLimit(request))) return next();
    limitOnce(request, response, next);
  };
  const readBody: RequestHandler = (request, response, next) =>
    signatures.has(request) ? readBytes(request, response, next) : next();
  const admit: RequestHandler = async (request, _response, next) => {
    const signature = signatures.get(request);
    if (signature) setClaims(request, await apiKeys.admit(signedRequest(request, signature)));
    next();
  };

  const refuse: ErrorRequestHandler = (error: unknown, request, response, next) => {
    if (!(error instanceof SignatureError)) return next(error);
    const { code, detail } = error;
    limitOnce(request, response, (trouble?: unknown) => {
      if (trouble) return next(trouble);
      const keyId = signatures.get(request)?.keyId;
      // A security event. What is refused to who has the secret, the database has written down itself.
      if (code === "LG421") recorder.record(makePgSettings(callerOf(request)), [{ code, detail: { apiKeyId: keyId } }]);
      response.setHeader("WWW-Authenticate", signatureScheme);
      sendRefusal(response, refusals, { status: 401, code, detail });
    });
  };
  return { letIn: [readHeader, countUnknown, readBody, admit], refuse };
}

function signedRequest(request: Request, signature: Signature): SignedRequest {
  return {
    signature,
    method: request.method,
    target: request.originalUrl,
    body: Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0),
    caller: callerOf(request),
  };
}

const maxOverLimit = 10_000;

/**
 * Counts a request for its address, once. From an address that is over its limit every signed request is counted
 * before it is looked at: else those with a key that exists would be told from the others by their delay.
 */
function limitAddresses({ limitAddress }: RateLimits): {
  limitOnce: (request: Request, response: Response, next: NextFunction) => void;
  isOverLimit: (request: Request) => boolean;
} {
  const counted = new WeakSet<object>();
  const overLimit = new Set<string>();
  return {
    limitOnce(request, response, next) {
      if (counted.has(request)) return next();
      counted.add(request);
      const address = clientAddress(request);
      if (overLimit.size >= maxOverLimit) overLimit.clear();
      // Until it is let pass: a request that is over the limit never comes back from there.
      overLimit.add(address);
      limitAddress(request, response, (trouble?: unknown) => {
        overLimit.delete(address);
        next(trouble);
      });
    },
    isOverLimit: (request) => overLimit.has(clientAddress(request)),
  };
}
