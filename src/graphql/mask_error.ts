import "./graphile.ts";
import { randomBytes } from "node:crypto";
import type { Logger } from "pino";
import { SafeError } from "postgraphile/grafast";
import { GraphQLError } from "postgraphile/graphql";
import { describeRefusal, type RefusalCatalog, type RefusalExtensions } from "./refusals.ts";
import { describeStandardError, type StandardCode } from "./standard_errors.ts";

/** What PostgreSQL tells about an error, as far as it is used here. */
interface DatabaseError {
  code: string;
  message: string;
  detail?: string;
  hint?: string;
}

/** SQLSTATEs that are not refusals of ours, and the refusal that each is answered with. */
const refusalOfSqlState: Record<string, string> = {
  "42501": "LG402", // insufficient_privilege
  "40001": "LG360", // serialization_failure
  "40P01": "LG360", // deadlock_detected
  "55P03": "LG360", // lock_not_available
  "57014": "LG361", // query_canceled: the statement timeout
  "23505": "LG362", // unique_violation
  "23503": "LG362", // foreign_key_violation
  "23514": "LG362", // check_violation
  "23P01": "LG362", // exclusion_violation
  "23502": "LG160", // not_null_violation
  "22P02": "LG160", // invalid_text_representation
  "22P05": "LG160", // untranslatable_character
  "22021": "LG160", // character_not_in_repertoire
  "22001": "LG160", // string_data_right_truncation
  "22003": "LG160", // numeric_value_out_of_range
  "22007": "LG160", // invalid_datetime_format
  "22008": "LG160", // datetime_field_overflow
  "22009": "LG160", // invalid_time_zone_displacement_value
  "22000": "LG160", // data_exception, such as a range whose ends are swapped
  "53300": "LG363", // too_many_connections
  "57P01": "LG363", // admin_shutdown
  "57P02": "LG363", // crash_shutdown
  "57P03": "LG363", // cannot_connect_now
  "25006": "LG363", // read_only_sql_transaction: a standby, or the default of a database being moved
};

/** Errors of the connection itself have the name of a system call's error instead of a SQLSTATE. */
const connectionErrors = new Set(["ECONNREFUSED", "ECONNRESET", "EPIPE", "ETIMEDOUT", "ENOTFOUND", "EHOSTUNREACH"]);

export interface MaskErrorOptions {
  refusals: RefusalCatalog;
  log: Logger;
  /** In production an error does not tell names of the schema that the client did not write. */
  isProduction: boolean;
}

/**
 * Turns any error into one that a client may see. A refusal (SQLSTATE of class LG) passes with its code,
 * detail and hint; other errors of the database are answered with a refusal of the same meaning in
 * words of ours; errors of GraphQL itself keep a standard code. Everything else is an internal error:
 * it goes to the log under an id, and the client is told the id alone.
 */
export function makeMaskError({ refusals, log, isProduction }: MaskErrorOptions) {
  return (error: GraphQLError): GraphQLError => {
    const place = { nodes: error.nodes, source: error.source, positions: error.positions, path: error.path };
    const cause = rootCause(error);
    const database = asDatabaseError(cause);
    if (database) {
      const known = describeDatabaseError(refusals, database);
      if (known) return makeError(known.message, { ...place, extensions: known.extensions });
      return internalError(log, cause, place);
    }
    const { extensions } = error;
    // Errors that TypeScript raised carry the code, and perhaps a detail; the words are those of the catalog.
    if (typeof extensions["code"] === "string" && /^LG[0-9A-Z]{3}$/.test(extensions["code"])) {
      const { code, detail } = extensions as { code: string; detail?: Record<string, unknown> };
      const described = describeRefusal(refusals, code, detail);
      return makeError(described.message, { ...place, extensions: described.extensions });
    }
    if (cause instanceof SafeError && /^Invalid ('after' )?cursor/.test(cause.message)) {
      return makeError(describeRefusal(refusals, "LG165").message, { ...place, ...describeRefusal(refusals, "LG165") });
    }
    // The filter plugin says so by an error that looks like any other.
    if (cause instanceof Error && /are forbidden in filter argument input/.test(cause.message)) {
      return makeError(describeRefusal(refusals, "LG160").message, { ...place, ...describeRefusal(refusals, "LG160") });
    }
    if (cause instanceof SafeError || cause instanceof GraphQLError || cause === undefined) {
      const message = isProduction ? withoutSuggestions(error.message) : error.message;
      return makeError(message, { ...place, extensions: describeStandardError(standardCode(error)).extensions });
    }
    return internalError(log, cause, place);
  };
}

/** The code and the detail that an error will be answered with, for the record. */
export function describeCause(
  refusals: RefusalCatalog,
  error: GraphQLError,
): { code: string; detail: Record<string, unknown> } {
  const cause = rootCause(error);
  const database = asDatabaseError(cause);
  const extensions = (database && describeDatabaseError(refusals, database)?.extensions) ?? error.extensions;
  const { code, detail } = extensions as { code?: unknown; detail?: Record<string, unknown> };
  if (typeof code === "string") return { code, detail: detail ?? {} };
  const isKnown = !database && (cause instanceof SafeError || cause instanceof GraphQLError || cause === undefined);
  return { code: isKnown ? standardCode(error) : "INTERNAL_SERVER_ERROR", detail: {} };
}

type Place = Pick<GraphQLError, "nodes" | "source" | "positions" | "path">;

function makeError(message: string, options: Place & { extensions: Record<string, unknown> }): GraphQLError {
  return new GraphQLError(message, options);
}

function internalError(log: Logger, cause: unknown, place: Place): GraphQLError {
  const errorId = randomBytes(9).toString("base64url");
  log.error({ err: cause, errorId, path: place.path?.join(".") }, "an internal error was masked");
  return new GraphQLError(`An internal error occurred. It is logged under ${errorId}.`, {
    ...place,
    extensions: { ...describeStandardError("INTERNAL_SERVER_ERROR").extensions, errorId },
  });
}

/** Errors come wrapped in GraphQL errors, once or more often. */
function rootCause(error: GraphQLError): unknown {
  let cause: unknown = error.originalError;
  while (cause instanceof GraphQLError && cause.originalError) cause = cause.originalError;
  return cause;
}

function asDatabaseError(cause: unknown): DatabaseError | undefined {
  if (!(cause instanceof Error) || cause instanceof GraphQLError || cause instanceof SafeError) return undefined;
  const code = "code" in cause ? cause.code : undefined;
  if (typeof code === "string") return cause as Error & DatabaseError;
  // pg says this when a connection ends in the middle of a query, or the pool has none left.
  const isLost =
    /Connection terminated|timeout exceeded when trying to connect|Client (has encountered|was closed)/.test(
      cause.message,
    );
  return isLost ? { code: "57P01", message: cause.message } : undefined;
}

/** Whether an error says that the database is away, and may be back in a little while. */
export function isUnavailable(refusals: RefusalCatalog, error: unknown): boolean {
  const database = asDatabaseError(error);
  return database !== undefined && describeDatabaseError(refusals, database)?.extensions.code === "LG363";
}

/** The refusal that an error of the database is answered with, if it is not an internal error. */
export function describeDatabaseError(
  refusals: RefusalCatalog,
  error: DatabaseError,
): { message: string; extensions: RefusalExtensions } | undefined {
  if (/^LG[0-9A-Z]{3}$/.test(error.code)) {
    const refusal = refusals.get(error.code);
    const { name, ...detail } = parseDetail(error.detail);
    return {
      message: error.message,
      extensions: {
        code: error.code,
        name: refusal?.name ?? String(name ?? ""),
        detail,
        hint: error.hint ?? refusal?.hint ?? null,
        isRetryable: refusal?.isRetryable ?? false,
      },
    };
  }
  const code = connectionErrors.has(error.code) || /^08/.test(error.code) ? "LG363" : refusalOfSqlState[error.code];
  return code === undefined ? undefined : describeRefusal(refusals, code);
}

function parseDetail(detail: string | undefined): Record<string, unknown> {
  if (detail === undefined) return {};
  try {
    const parsed: unknown = JSON.parse(detail);
    return typeof parsed === "object" && parsed !== null ? (parsed as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function standardCode(error: GraphQLError): StandardCode {
  if (/^Syntax Error/.test(error.message)) return "GRAPHQL_PARSE_FAILED";
  if (/^Variable "/.test(error.message)) return "BAD_USER_INPUT";
  return error.path ? "BAD_REQUEST" : "GRAPHQL_VALIDATION_FAILED";
}

/** graphql-js ends some messages with names of the schema that come close to what was written. */
function withoutSuggestions(message: string): string {
  return message.replace(/ Did you mean .*\?/s, "");
}
