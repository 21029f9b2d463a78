import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { describe, expect, test } from "@jest/globals";
import pg from "pg";
import { projectRoot } from "../../src/paths.ts";
import { hasPgProve, prove } from "../support/pg_prove.ts";
import { parseTap, type TapResult } from "../support/tap.ts";
import { createTestDatabase } from "../support/test_database.ts";

/**
 * Runs every pgTAP file and registers each of its assertions as one jest test. The files run while jest collects the
 * tests; each has a connection of its own and rolls back what it does. All of them run under pg_prove, as any other
 * project would run them. Files that are named run without, and so does everything where pg_prove is not installed.
 */
declare const pgtapFiles: string[] | undefined;

const folder = join(projectRoot, "test/pgtap");
const files =
  typeof pgtapFiles === "undefined"
    ? readdirSync(folder, { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".sql") && !name.startsWith("support/"))
        .sort()
        .map((name) => join(folder, name))
    : pgtapFiles;

const db = await createTestDatabase({ pgtap: true, checkAfter: "all" });

test("there are pgTAP files", () => {
  expect(files.length).toBeGreaterThan(0);
});

const proves = typeof pgtapFiles === "undefined" && hasPgProve();
const report = proves ? await prove(db.urls.superuser, files) : undefined;

if (typeof pgtapFiles === "undefined") {
  // Continuous integration does not do without.
  (report || process.env["CI"] ? test : test.skip)(
    "pg_prove (libtap-parser-sourcehandler-pgtap-perl) is content with every file",
    () => {
      expect({ status: report?.status, summary: report?.summary }).toEqual({
        status: 0,
        summary: expect.stringMatching(
          new RegExp(`^All tests successful\\.\nFiles=${files.length}, [^]*Result: PASS$`),
        ),
      });
    },
  );
}

for (const file of files) {
  const result = report?.results.get(file) ?? (await runFile(file));
  describe(relative(folder, file), () => {
    test("runs to its end and runs as many assertions as it planned", () => {
      if (result.error !== undefined) throw new Error(result.error);
      expect({ assertions: result.assertions.length }).toEqual({ assertions: result.planned });
    });
    for (const assertion of result.assertions) {
      test(`${assertion.number} ${assertion.description}`, () => {
        if (!assertion.ok) throw new Error(assertion.diagnostics.join("\n") || "not ok");
      });
    }
  });
}

async function runFile(file: string): Promise<TapResult> {
  return db.withClient("superuser", async (client) => {
    await client.query("set search_path = tap, public");
    let error: string | undefined;
    const lines: string[] = [];
    try {
      const results = await client.query({ text: readFileSync(file, "utf8"), rowMode: "array" });
      for (const result of [results].flat() as pg.QueryArrayResult<unknown[]>[]) {
        for (const row of result.rows) lines.push(...row.map((cell) => String(cell ?? "")));
      }
    } catch (cause) {
      error = cause instanceof pg.DatabaseError ? describeError(cause, file) : String(cause);
    }
    return { ...parseTap(lines.join("\n")), error };
  });
}

/** The line of the file counts more than the text of the error. */
function describeError(error: pg.DatabaseError, file: string): string {
  const before = readFileSync(file, "utf8").slice(0, Number(error.position ?? 0));
  const line = error.position === undefined ? "" : `:${before.split("\n").length}`;
  return [
    `${relative(projectRoot, file)}${line}: ${error.message} (${error.code})`,
    error.detail,
    error.hint,
    error.where,
  ]
    .filter(Boolean)
    .join("\n");
}
