import type { Request } from "express";
import type { Caller } from "../identity/caller.ts";
import { claimsOf } from "./authenticate.ts";
import { clientAddress } from "./client_address.ts";
import { requestIdOf } from "./request_id.ts";

/** Who sends a request, as far as its token, its connection and its headers tell. */
export function callerOf(request: Request): Caller {
  return {
    claims: claimsOf(request),
    address: clientAddress(request),
    requestId: requestIdOf(request),
    userAgent: request.headers["user-agent"] ?? null,
  };
}
