/** A refusal of app_public.refusals that TypeScript answers with: the words are added where it goes out. */
export class RefusedError extends Error {
  readonly code: string;
  readonly detail: Record<string, unknown>;
  constructor(code: string, detail: Record<string, unknown> = {}) {
    super(`Refused with ${code}.`);
    this.name = "RefusedError";
    this.code = code;
    this.detail = detail;
  }
}
