import type { Claims } from "../http/tokens.ts";

/** Who asks, as far as is known before and beside a token. */
export interface Caller {
  claims: Claims | undefined;
  address: string;
  requestId: string;
  /** How the program called itself; null if it did not. */
  userAgent: string | null;
}
