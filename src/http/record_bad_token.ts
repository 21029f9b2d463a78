import type { RefusalRecorder } from "../audit/refusal_recorder.ts";
import { makePgSettings } from "../graphql/request_context.ts";
import type { TokenError } from "./tokens.ts";

export interface BadToken {
  error: TokenError;
  requestId: string;
  address: string;
}

/** A token that is not valid is a security event. One that has expired is the day's work. */
export function recordBadToken(recorder: RefusalRecorder, { error, requestId, address }: BadToken): void {
  if (error.code === "LG461") return;
  recorder.record(makePgSettings({ claims: undefined, requestId, address }), [{ code: error.code }]);
}
