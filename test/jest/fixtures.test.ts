import { describe, expect, test } from "@jest/globals";
import { projectFiles, readProjectFile } from "../support/project_files.ts";

/* What the files of migrations/fixtures promise each other, and nothing else would notice. */
const folder = "migrations/fixtures/";
const fixtures = projectFiles("migrations/fixtures").filter((file) => file.endsWith(".sql"));
const loadOrder = `${folder}all.sql`;
const catalog = `${folder}errors/refusals.sql`;

function matchesIn(files: string[], pattern: RegExp): string[] {
  return files.flatMap((file) => [...readProjectFile(file).matchAll(pattern)].map((match) => match[1] ?? ""));
}

function duplicatesOf(names: string[]): string[] {
  return names.filter((name, index) => names.indexOf(name) !== index);
}

test("every file is in the load order, once, and nothing else is", () => {
  const listed = matchesIn([loadOrder], /^--!include (.+)$/gm).map((path) => folder + path);
  expect(duplicatesOf(listed)).toEqual([]);
  expect(listed.sort()).toEqual(fixtures.filter((file) => file !== loadOrder));
});

describe("a refusal", () => {
  const known = matchesIn([catalog], /^ {2}\('(LG[0-9A-Z]{3})'/gm);
  const sources = projectFiles("src").filter((file) => file.endsWith(".ts"));
  const raised = matchesIn(
    fixtures.filter((file) => file !== catalog),
    /'(LG[0-9A-Z]{3})'/g,
  );
  const answered = matchesIn(sources, /"(LG[0-9A-Z]{3})"/g);

  test("is in the catalog once, under a name of its own", () => {
    expect(known.length).toBeGreaterThan(50);
    expect(duplicatesOf(known)).toEqual([]);
    expect(duplicatesOf(matchesIn([catalog], /^ {2}\('LG[0-9A-Z]{3}', '(\w+)'/gm))).toEqual([]);
  });

  test("that is raised or answered is in the catalog", () => {
    expect([...new Set([...raised, ...answered])].filter((code) => !known.includes(code))).toEqual([]);
  });

  test("of the catalog is raised or answered somewhere", () => {
    expect(known.filter((code) => !raised.includes(code) && !answered.includes(code))).toEqual([]);
  });

  test("is raised by app_private.refuse alone", () => {
    const others = fixtures.filter((file) => file !== `${folder}errors/refuse.sql`);
    expect(others.filter((file) => /\braise\s+(exception|sqlstate)\b/i.test(readProjectFile(file)))).toEqual([]);
  });
});

test("every kind of security event that is recorded is in the list of kinds", () => {
  const list = `${folder}audit/security_event_kinds.sql`;
  const kinds = matchesIn([list], /^ {2}\('(\w+)'/gm);
  const recorded = matchesIn(
    fixtures.filter((file) => file !== list),
    /record_security_event\(\s*'(\w+)'/g,
  );
  expect(recorded).toContain("other_tenant_probe");
  expect(duplicatesOf(kinds)).toEqual([]);
  expect(recorded.filter((kind) => !kinds.includes(kind))).toEqual([]);
});

/**
 * graphile-migrate minifies with pg-minify, which takes an apostrophe between `$$` for the start of a string:
 * an odd number of them does not load, and an even number joins what is between them.
 */
test("a comment on an object has no apostrophe", () => {
  const files = [...fixtures, "migrations/current.sql"];
  const comments = (file: string): string[] =>
    [...readProjectFile(file).matchAll(/^comment on [^;]*? is (\$\w*\$)([\s\S]*?)\1/gm)].map((match) => match[2] ?? "");
  expect(files.flatMap(comments).length).toBeGreaterThan(100);
  expect(files.filter((file) => comments(file).some((comment) => comment.includes("'")))).toEqual([]);
});
