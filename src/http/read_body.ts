import { isUtf8 } from "node:buffer";
import express, { type Request, type RequestHandler } from "express";
import { maxBodyBytes } from "../graphql/preset.ts";
import type { RefusalCatalog } from "../graphql/refusals.ts";
import { sendRefusal, sendStandardError } from "./error_response.ts";
import { isTextTooDeep, maxJsonDepth } from "./json_depth.ts";

/**
 * Reads a body that must be JSON in UTF-8. Strict where the usual parser is lenient: bytes that are no UTF-8
 * would be replaced in silence, a compressed body may be a bomb, and whatever calls itself with each level
 * of a value needs to know that there are not too many.
 */
export function readJson(refusals: RefusalCatalog): RequestHandler[] {
  const readBytes = express.raw({ limit: maxBodyBytes, inflate: false, type: () => true });
  const parse: RequestHandler = (request, response, next) => {
    const body: unknown = request.body;
    if (!Buffer.isBuffer(body) || !isUtf8(body))
      return sendStandardError(response, { status: 400, code: "BAD_REQUEST" });
    if (isTextTooDeep(body)) {
      return sendRefusal(response, refusals, { status: 400, code: "LG168", detail: { maximum: maxJsonDepth } });
    }
    try {
      request.body = JSON.parse(body.toString("utf8")) as unknown;
    } catch {
      return sendStandardError(response, { status: 400, code: "BAD_REQUEST" });
    }
    next();
  };
  return [requireJson, readBytes, parse];
}

const requireJson: RequestHandler = (request, response, next) => {
  // A form can be sent by any web page without asking; JSON cannot.
  if (isJson(request)) return next();
  sendStandardError(response, { status: 415, code: "UNSUPPORTED_MEDIA_TYPE" });
};

function isJson(request: Request): boolean {
  const form = /^\s*application\/json\s*(?:;\s*charset\s*=\s*"?utf-?8"?\s*)?;?\s*$/i;
  return form.test(request.headers["content-type"] ?? "");
}
