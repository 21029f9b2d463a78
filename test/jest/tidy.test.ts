import { describe, expect, test } from "@jest/globals";
import { projectFiles, readProjectFile } from "../support/project_files.ts";
import { longest } from "../support/sequencer.ts";

/**
 * What neither the compiler nor the linter sees. Each rule is a test over all files, and names the
 * places that break it as `file:line`.
 */
const files = projectFiles();
const generated = (file: string): boolean => /^(schema|migrations\/committed)\/|^package-lock\.json$/.test(file);
const code = files.filter((file) => /\.(ts|mjs|cjs|sql|sh)$/.test(file) && !generated(file));
const text = [...code, ...files.filter((file) => /\.(md|json|yml|yaml)$/.test(file) && !generated(file))];
const sql = code.filter((file) => file.endsWith(".sql"));

/** `file:line` for each line for which the rule holds. */
function places(among: string[], rule: (line: string) => boolean, read = readProjectFile): string[] {
  return among.flatMap((file) =>
    read(file)
      .split("\n")
      .flatMap((line, index) => (rule(line) ? [`${file}:${index + 1}`] : [])),
  );
}

/** SQL without comments and string literals, its line breaks kept. Function bodies stay. */
function bareSql(file: string): string {
  const blank = (found: string): string => found.replace(/[^\n]/g, " ");
  return readProjectFile(file).replace(/--[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^']|'')*'|"[^"\n]*"/g, blank);
}

describe("every file", () => {
  test("has no tabs", () => {
    expect(places(text, (line) => line.includes("\t"))).toEqual([]);
  });

  test("has no trailing blanks", () => {
    expect(places(text, (line) => /[ \t\r]$/.test(line))).toEqual([]);
  });

  test("ends with one line break", () => {
    expect(text.filter((file) => !/[^\n]\n$/.test(readProjectFile(file)) && readProjectFile(file) !== "")).toEqual([]);
  });

  test("leaves nothing to do", () => {
    // Written apart, so that this file does not find itself.
    const banned = new RegExp(`\\b(${["TO", "FIX"].join("|")})(DO|ME)\\b`);
    expect(places(text, (line) => banned.test(line))).toEqual([]);
  });
});

test("lines of code are at most 120 characters long", () => {
  expect(places(code, (line) => [...line].length > 120)).toEqual([]);
});

test("files and folders of code are named in snake_case", () => {
  const own = code.filter((file) => /^(src|tasks|test|scripts|bench|migrations\/fixtures)\//.test(file));
  const odd = own.filter((file) => !/^[a-z0-9_/]+(\.[a-z0-9_]+)*$/.test(file));
  expect(odd).toEqual([]);
});

test("only the configuration and the test support read the environment", () => {
  const readers = code.filter((file) => /^(src|tasks)\//.test(file) && readProjectFile(file).includes("process.env"));
  // The launcher runs before any TypeScript can; main.ts hands the environment to loadConfig.
  // environment.ts sets what Graphile's libraries read when they are imported, before any configuration is.
  const allowed = ["src/cli/main.ts", "src/cli/tallystick.mjs", "src/config.ts", "src/graphql/environment.ts"];
  expect(readers.filter((file) => !allowed.includes(file))).toEqual([]);
});

describe("SQL", () => {
  const words =
    "select insert update delete from where create replace function returns return language begin end declare if " +
    "then else elsif loop raise table view index trigger policy grant revoke comment alter drop and or not null true " +
    "false order group by join left on as is in exists union values set into";
  const keywords = new RegExp(`\\b(${words.toUpperCase().replaceAll(" ", "|")})\\b`);

  test("keywords are in lower case", () => {
    expect(places(sql, (line) => keywords.test(line), bareSql)).toEqual([]);
  });

  test("no `*` fills a fixed shape, which a new column would break", () => {
    const fixtures = sql.filter((file) => file.startsWith("migrations/fixtures/"));
    const shapes = [
      /\bview\s+[\w.]+\s+(?:with\s*\([^)]*\)\s*)?as\s+select\s+\*/,
      /\breturn\s+query\s+select\s+\*/,
      /\binsert\s+into[^;]{0,400}?\)\s*select\s+\*/,
    ];
    const fixedShape = new RegExp(shapes.map((shape) => shape.source).join("|"), "g");
    const found = fixtures.flatMap((file) => {
      const text = bareSql(file);
      return [...text.matchAll(fixedShape)].map(({ index }) => `${file}:${text.slice(0, index).split("\n").length}`);
    });
    expect(found).toEqual([]);
  });
});

test("the test files that are to run first are there", () => {
  expect(longest.filter((name) => !files.includes(`test/jest/${name}.test.ts`))).toEqual([]);
});
