import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { collectOperations, findFiles, readSchema } from "../../../src/cli/operations/collect.ts";
import { ConfigError } from "../../../src/config.ts";
import { hashOfDocument, loadOperationRules } from "../../../src/graphql/operations.ts";
import { projectRoot } from "../../../src/paths.ts";
import { readProjectFile } from "../../support/project_files.ts";
import { bootApi } from "../api/_api.ts";

/** Does what docs/how-to/lock-down-the-api.md says, in a folder of its own, with the page's own files and commands. */
const page = readProjectFile("docs/how-to/lock-down-the-api.md");
const folder = mkdtempSync(join(tmpdir(), "tallystick-operations-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

for (const [, name = "", text = ""] of page.matchAll(/```graphql file=(\S+)\n([\s\S]*?)```/g)) {
  writeFileSync(join(folder, name), text);
}
writeFileSync(join(folder, "posted.graphql"), "subscription Posted { transactionPosted { transaction { id } } }\n");
const [command = ""] = [...page.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1] ?? "");
const shown = [...page.matchAll(/```json\n([\s\S]*?)```/g)].map((match) => match[1] ?? "");

function tallystick(shellCommand: string): { status: number | null; stdout: string; stderr: string } {
  const launcher = `"${process.execPath}" "${join(projectRoot, "src/cli/tallystick.mjs")}"`;
  return spawnSync("sh", ["-c", shellCommand.replace("npx tallystick", launcher)], { cwd: folder, encoding: "utf8" });
}

const schema = readSchema(join(projectRoot, "schema/api.graphql"));
const collected = tallystick(command);
const operations = join(folder, "operations");
const manifest = JSON.parse(readFileSync(join(operations, "manifest.json"), "utf8")) as {
  format: string;
  operations: { id: string; name: string; type: string; body: string }[];
};
const ids = new Map(manifest.operations.map(({ id, name }) => [name, id]));
const api = await bootApi({ NODE_ENV: "production", TALLYSTICK_PERSISTED_OPERATIONS: operations });
const authorization = `Bearer ${api.token({})}`;
const filled = (text: string): string => text.replace(/<(\w+)>/g, (_match, name: string) => ids.get(name) ?? "");
const send = (body: string) => api.send(body, { authorization });

describe("collecting", () => {
  test("tells what it did", () => {
    expect(collected.status).toBe(0);
    for (const name of ["Accounts", "Rename", "Posted"]) expect(collected.stdout).toContain(name);
    expect(collected.stderr).toContain("3 operations of 3 files in operations: 3 new.");
  });
  test("writes each operation under the hash of its text, with its fragments", () => {
    for (const { id, body } of manifest.operations) {
      expect(hashOfDocument(body)).toBe(id);
      expect(readFileSync(join(operations, `${id}.graphql`), "utf8")).toBe(body);
    }
    const [accounts] = manifest.operations;
    expect([manifest.format, accounts?.name]).toEqual(["apollo-persisted-query-manifest", "Accounts"]);
    expect(accounts?.body).toContain("fragment AccountRow on Account");
  });
  test("again changes nothing, and keeps what was there until it is pruned", () => {
    const before = readdirSync(operations);
    writeFileSync(join(folder, "more.graphql"), "query More { currentTenant { slug } }");
    expect(tallystick(command).stderr).toContain("4 operations of 4 files in operations: 1 new.");
    rmSync(join(folder, "more.graphql"));
    const kept = tallystick(command);
    expect(kept.stderr).toContain("0 new.\nKept 1 other operation of earlier runs; --prune removes them.");
    expect(readdirSync(operations)).toHaveLength(before.length + 1);
    expect(tallystick(`${command.trim()} --prune`).stderr).toContain("Removed 1 other operation");
    expect(readdirSync(operations)).toEqual(before);
  });
  test.each([
    ["query { currentTenant { slug } }", "bad.graphql:1: an operation needs a name"],
    ["query Bad { currentTenant { slugg } }", 'bad.graphql: Bad: Cannot query field "slugg" on type "Tenant".'],
    ["query Bad { currentTenant { ...Missing } }", 'bad.graphql: Bad: Unknown fragment "Missing".'],
    ["query Bad { currentTenant {", "bad.graphql:1: Syntax Error"],
    ["query Accounts { currentTenant { slug } }", "Accounts is in "],
    ["type Bad { id: ID }", "bad.graphql: only operations and fragments, no types."],
    [`query Bad { accounts { nodes { ${"parent { ".repeat(12)} id ${"} ".repeat(12)} } } }`, "nested too deeply"],
    [`query Bad { ${"currentTenant { slug } ".repeat(600)} }`, '{"fields":1200,"maximum":1000}'],
  ])("refuses %s", (text, problem) => {
    const path = join(folder, "bad.graphql");
    writeFileSync(path, text);
    const files = [path, join(folder, "accounts.graphql"), join(folder, "fragments.graphql")];
    const collect = () => collectOperations(files, schema);
    expect(collect).toThrow("These operations cannot be registered:");
    expect(collect).toThrow(problem);
    rmSync(path);
  });
  test("writes nothing if one operation is refused", () => {
    const before = readdirSync(operations);
    writeFileSync(
      join(folder, "bad.graphql"),
      "query Fine { currentTenant { slug } } query Bad { currentTenant { slugg } }",
    );
    const { status, stderr } = tallystick(command);
    rmSync(join(folder, "bad.graphql"));
    expect([status, stderr]).toEqual([1, expect.stringContaining('Cannot query field "slugg"')]);
    expect(readdirSync(operations)).toEqual(before);
  });
  test("says so if there is no file, no operation or no schema", () => {
    expect(() => findFiles([join(folder, "x/*.graphql")])).toThrow("No file matches ");
    expect(() => collectOperations([join(folder, "fragments.graphql")], schema)).toThrow("There is no operation");
    expect(() => readSchema("nowhere.graphql")).toThrow("nowhere.graphql cannot be read");
  });
  test("names fragments that nothing uses", () => {
    const path = join(folder, "unused.graphql");
    writeFileSync(path, "fragment Unused on Account { id } query Fine { currentTenant { slug } }");
    expect(collectOperations([path], schema).unusedFragments).toEqual(["Unused"]);
    rmSync(path);
  });
});

describe("the server", () => {
  test.each([0, 1, 2])("takes the hash in form %i of the page", async (index) => {
    const answer = await send(filled(shown[index] ?? ""));
    expect(answer.errors).toEqual([]);
    expect(answer.data.accounts.nodes.length).toBeGreaterThan(2);
  });
  test("takes it with its algorithm before it, and in capitals", async () => {
    const id = ids.get("Accounts") ?? "";
    for (const documentId of [`sha256:${id}`, id.toUpperCase()]) {
      expect((await send(JSON.stringify({ documentId, variables: { first: 1 } }))).errors).toEqual([]);
    }
  });
  test("takes a mutation by its hash", async () => {
    const variables = { id: api.books.cash, name: "Petty cash" };
    const answer = await send(JSON.stringify({ documentId: ids.get("Rename"), variables }));
    expect(answer.data.updateAccount.account.name).toBe("Petty cash");
  });
  test.each([
    ["a document", { query: "{ currentTenant { slug } }" }],
    ["the text of a registered one", { query: manifest.operations[0]?.body }],
    ["an unknown hash", { documentId: "0".repeat(64) }],
    [
      "an unknown hash with its text, as Apollo registers it elsewhere",
      {
        query: "{ currentTenant { slug } }",
        extensions: { persistedQuery: { version: 1, sha256Hash: hashOfDocument("{ currentTenant { slug } }") } },
      },
    ],
    ["the path of a file", { documentId: "../operations/manifest" }],
    ["the name of a property", { documentId: "__proto__" }],
    ["a hash cut short", { documentId: ids.get("Accounts")?.slice(0, 12) }],
    ["introspection", { query: "{ __schema { types { name } } }" }],
  ])("refuses %s, with the error of the page", async (_name, body) => {
    const answer = await send(JSON.stringify(body));
    expect(answer.status).toBe(400);
    expect(answer.errors).toEqual([JSON.parse(shown.at(-1) ?? "")]);
  });
  test("runs the registered document, whatever text comes with its hash", async () => {
    const answer = await send(
      JSON.stringify({ query: "{ currentTenant { slug } }", documentId: ids.get("Accounts"), variables: { first: 1 } }),
    );
    expect(Object.keys(answer.data)).toEqual(["accounts"]);
  });
  test("does the same over a web socket", async () => {
    const client = createClient({
      url: api.url.replace("http", "ws"),
      webSocketImpl: WebSocket,
      connectionParams: { authorization },
      retryAttempts: 0,
    });
    try {
      const refused = client.iterate({ query: "subscription { transactionPosted { transaction { id } } }" });
      await expect(refused.next()).rejects.toMatchObject([{ extensions: { code: "LG167" } }]);
      const taken = client.iterate(JSON.parse(filled(shown[3] ?? "")) as { query: string });
      const first = await Promise.race([
        taken.next().then(
          () => "answered",
          () => "refused",
        ),
        new Promise((done) => setTimeout(() => done("listens"), 500)),
      ]);
      expect(first).toBe("listens");
      await taken.return?.();
    } finally {
      await client.dispose();
    }
  });
});

describe("the server does not start", () => {
  const load =
    (settings: Partial<Parameters<typeof loadOperationRules>[0]>) => (): ReturnType<typeof loadOperationRules> =>
      loadOperationRules({
        environment: "production",
        persistedOperations: undefined,
        allowAnyOperation: false,
        ...settings,
      });
  const folderWith = (name: string, files: Record<string, string>): string => {
    const path = join(folder, name);
    mkdirSync(path);
    for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
    return path;
  };
  test("in production without a folder, unless it is told to take anything", () => {
    expect(load({})).toThrow(ConfigError);
    expect(load({})).toThrow("TALLYSTICK_PERSISTED_OPERATIONS is required in production");
    expect(load({ allowAnyOperation: true })()).toEqual({ operations: undefined, allowAny: true });
    expect(load({ environment: "development" })()).toEqual({ operations: undefined, allowAny: true });
  });
  test("with a folder that is missing or empty", () => {
    const setting = (path: string) => load({ persistedOperations: path });
    expect(setting(join(folder, "nowhere"))).toThrow("TALLYSTICK_PERSISTED_OPERATIONS cannot be read");
    expect(setting(folderWith("empty", {}))).toThrow("has no operation");
  });
  test("with a file that is not what its name says", () => {
    const text = "{ currentTenant { slug } }";
    const path = folderWith("tampered", { [`${hashOfDocument(text)}.graphql`]: `${text} ` });
    expect(load({ persistedOperations: path })).toThrow("is not what its name says");
  });
});

test("with both settings registered operations are taken, and others", async () => {
  const rules = loadOperationRules({
    environment: "production",
    persistedOperations: operations,
    allowAnyOperation: true,
  });
  expect([rules.operations?.size, rules.allowAny]).toEqual([3, true]);
  expect((await both.send(JSON.stringify({ query: "{ __typename }" }))).data).toEqual({ __typename: "Query" });
  const body = JSON.stringify({ documentId: ids.get("Accounts"), variables: { first: 1 } });
  expect((await both.send(body, { authorization: `Bearer ${both.token({})}` })).errors).toEqual([]);
});
const both = await bootApi({ TALLYSTICK_PERSISTED_OPERATIONS: operations, TALLYSTICK_ALLOW_ANY_OPERATION: "true" });
