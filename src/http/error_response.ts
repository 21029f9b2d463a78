import type { Response } from "express";
import { describeRefusal, type RefusalCatalog } from "../graphql/refusals.ts";
import { describeStandardError, type StandardCode } from "../graphql/standard_errors.ts";

/** Answers with an error in the shape of GraphQL, so that a client has one way to read errors. */
export function sendRefusal(
  response: Response,
  refusals: RefusalCatalog,
  options: { status: number; code: string; detail?: Record<string, unknown> },
): void {
  const { message, extensions } = describeRefusal(refusals, options.code, options.detail);
  response.status(options.status).json({ errors: [{ message, extensions }] });
}

/** The same for an error of HTTP itself. */
export function sendStandardError(
  response: Response,
  options: { status: number; code: StandardCode; message?: string },
): void {
  const { message, extensions } = describeStandardError(options.code);
  response.status(options.status).json({ errors: [{ message: options.message ?? message, extensions }] });
}
