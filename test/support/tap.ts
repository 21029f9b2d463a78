/** One `ok` or `not ok` line and the comment lines that follow it. */
export interface TapAssertion {
  number: number;
  ok: boolean;
  description: string;
  diagnostics: string[];
}

export interface TapResult {
  planned: number | undefined;
  assertions: TapAssertion[];
  /** Why the file did not run to its end. */
  error?: string | undefined;
}

/** Reads the output of a pgTAP file: the Test Anything Protocol, without sub-tests. */
export function parseTap(text: string): TapResult {
  let planned: number | undefined;
  const assertions: TapAssertion[] = [];
  for (const line of text.split("\n")) {
    const plan = /^1\.\.(\d+)/.exec(line);
    if (plan) planned = Number(plan[1]);
    const result = /^(not )?ok (\d+)(?: - (.*))?$/.exec(line);
    if (result) assertions.push(toAssertion(result));
    else if (line.startsWith("#")) assertions.at(-1)?.diagnostics.push(line);
  }
  return { planned, assertions };
}

function toAssertion(match: RegExpExecArray): TapAssertion {
  const [, not, number, description = ""] = match;
  // TAP would also excuse assertions that are known not to hold yet. This project has none of those.
  const excused = /# SKIP\b/i.test(description);
  return { number: Number(number), ok: not === undefined || excused, description, diagnostics: [] };
}
