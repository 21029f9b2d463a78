import { spawn, spawnSync } from "node:child_process";
import { parseTap, type TapResult } from "./tap.ts";

export interface ProveReport {
  /** What pg_prove itself says: 0 if it found nothing wrong. */
  status: number;
  /** What each file did, by its path. */
  results: Map<string, TapResult>;
  /** Its summary, and what went to standard error. */
  summary: string;
}

/** Whether pg_prove is there. Debian has it in the package libtap-parser-sourcehandler-pgtap-perl. */
export function hasPgProve(): boolean {
  return spawnSync("pg_prove", ["--version"], { stdio: "ignore" }).status === 0;
}

/** How a program that asks the environment, such as psql, connects to a database that has pgTAP. */
export function pgtapEnvironment(superuserUrl: string): Record<string, string> {
  const { hostname, port, password, pathname } = new URL(superuserUrl);
  return {
    PGHOST: hostname,
    PGPORT: port,
    PGUSER: "postgres",
    PGPASSWORD: decodeURIComponent(password),
    PGDATABASE: pathname.slice(1),
    PGOPTIONS: "-c search_path=tap,public",
  };
}

/** Runs pgTAP files with pg_prove, as any other project would, and tells what each of them said. */
export async function prove(superuserUrl: string, files: string[]): Promise<ProveReport> {
  const child = spawn("pg_prove", ["--verbose", "--ext", ".sql", ...files], {
    env: { PATH: process.env["PATH"], ...pgtapEnvironment(superuserUrl) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [output, errors] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const status = await new Promise<number>((done, fail) => {
    child.on("error", fail);
    child.on("close", (code) => done(code ?? 1));
  });
  return { status, ...readReport(output, errors, files) };
}

/** A file begins with its path and dots; the summary tells of paths too, but after the last file. */
function readReport(output: string, errors: string, files: string[]): Omit<ProveReport, "status"> {
  const [body = "", summary = ""] = output.split(/^(?=All tests successful\.$|Test Summary Report$)/m);
  const texts = new Map<string, string[]>();
  let lines: string[] = [];
  for (const line of body.split("\n")) {
    const file = /^(.+\.sql) \.+ *$/.exec(line)?.[1];
    if (file === undefined || !files.includes(file)) {
      lines.push(line);
      continue;
    }
    lines = [];
    texts.set(file, lines);
  }
  // Notices are none.
  const problems = errors.split("\n").filter((line) => /: (?:ERROR|FATAL|PANIC|error): /.test(line));
  const results = new Map(
    files.map((file) => {
      const missing = texts.has(file) ? [] : ["pg_prove did not run this file."];
      const error = [...missing, ...problems.filter((line) => line.includes(file))].join("\n");
      return [file, { ...parseTap((texts.get(file) ?? []).join("\n")), ...(error && { error }) }] as const;
    }),
  );
  return { results, summary: [summary.trim(), ...problems].join("\n") };
}
