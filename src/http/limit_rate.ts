import type { Request, RequestHandler } from "express";
import { ipKeyGenerator, rateLimit } from "express-rate-limit";
import type { RefusalCatalog } from "../graphql/refusals.ts";
import { claimsOf } from "./authenticate.ts";
import { sendRefusal } from "./error_response.ts";

/** Requests a minute for each tenant, or for each address without a token. Counted in this process alone. */
export function limitRate(perMinute: number, refusals: RefusalCatalog): RequestHandler {
  return rateLimit({
    windowMs: 60_000,
    limit: perMinute,
    standardHeaders: "draft-8",
    legacyHeaders: false,
    keyGenerator: (request: Request) => {
      const claims = claimsOf(request);
      return claims ? `tenant:${claims.tenantId}:${claims.userId}` : `ip:${ipKeyGenerator(request.ip ?? "")}`;
    },
    handler: (_request, response) => sendRefusal(response, refusals, { status: 429, code: "LG462" }),
  });
}
