import type { RefusalExtensions } from "./refusals.ts";

/**
 * Errors that are not the ledger's: of HTTP and of GraphQL itself. Their codes are the ones that clients of
 * GraphQL know; everything else about them has the shape of a refusal, so that a client reads all errors alike.
 */
const standardErrors = {
  BAD_REQUEST: ["The request could not be read.", "Send one JSON object, in UTF-8."],
  NOT_FOUND: ["There is nothing here.", "GraphQL is at /graphql."],
  METHOD_NOT_ALLOWED: ["Send a POST request.", "Queries and mutations alike are sent by POST."],
  NOT_ACCEPTABLE: ["The answer is JSON, which the request does not accept.", "Send `Accept: application/json`."],
  UNSUPPORTED_MEDIA_TYPE: [
    "The body must be JSON in UTF-8, not compressed.",
    "Send `Content-Type: application/json` and no Content-Encoding.",
  ],
  REQUEST_TIMEOUT: ["The request took too long to arrive.", "Send it again."],
  HEADERS_TOO_LARGE: ["The headers of the request are too large.", "Send fewer or shorter headers."],
  GRAPHQL_PARSE_FAILED: ["The document is not GraphQL.", "See the message for where it stops being so."],
  GRAPHQL_VALIDATION_FAILED: ["The document does not fit the schema.", "See schema/api.graphql for what there is."],
  BAD_USER_INPUT: ["A variable has a value that it does not take.", "See the message for which one."],
  INTERNAL_SERVER_ERROR: ["An internal error occurred.", "Tell the operator the X-Request-Id of the answer."],
} as const satisfies Record<string, readonly [message: string, hint: string]>;

export type StandardCode = keyof typeof standardErrors;

/** An error with a standard code, in the shape of a refusal. */
export function describeStandardError(
  code: StandardCode,
  detail: Record<string, unknown> = {},
): { message: string; extensions: RefusalExtensions } {
  const [message, hint] = standardErrors[code];
  const isRetryable = code === "REQUEST_TIMEOUT";
  return { message, extensions: { code, name: code.toLowerCase(), detail, hint, isRetryable } };
}
