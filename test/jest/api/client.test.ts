import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { plugin as typescript } from "@graphql-codegen/typescript";
import { plugin as operations } from "@graphql-codegen/typescript-operations";
import { afterAll, expect, test } from "@jest/globals";
import {
  buildClientSchema,
  type DocumentNode,
  getIntrospectionQuery,
  type IntrospectionQuery,
  parse,
  print,
} from "graphql";
import { ClientError, GraphQLClient } from "graphql-request";
import { projectRoot } from "../../../src/paths.ts";
import { bootApi } from "./_api.ts";

const api = await bootApi();
const folder = mkdtempSync(join(tmpdir(), "tallystick-client-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const client = new GraphQLClient(api.url, { headers: { authorization: `Bearer ${api.token({})}` } });
const document = parse(readFileSync(join(projectRoot, "test/jest/api/client/operations.graphql"), "utf8"));

/** One operation with its fragments, as a client sends it. */
function operation(name: string): string {
  const definitions = document.definitions.filter(
    (node) => node.kind === "FragmentDefinition" || (node.kind === "OperationDefinition" && node.name?.value === name),
  );
  const used = name === "Post" ? definitions.filter((node) => node.kind !== "FragmentDefinition") : definitions;
  return print({ ...document, definitions: used } as DocumentNode);
}

test("an official code generator reads the schema from the server and types the operations", async () => {
  const schema = buildClientSchema(await client.request<IntrospectionQuery>(getIntrospectionQuery()));
  const config = {
    scalars: {
      Amount: "string",
      BigInt: "string",
      UUID: "string",
      Datetime: "string",
      Cursor: "string",
      JSON: "unknown",
    },
    enumsAsTypes: true,
    useTypeImports: true,
  };
  const documents = [{ location: "operations.graphql", document }];
  const write = (name: string, output: Awaited<ReturnType<typeof typescript>>): void => {
    const { prepend = [], content } = typeof output === "string" ? { content: output } : output;
    writeFileSync(join(folder, name), [...prepend, content].join("\n"));
  };
  write("schema.ts", await typescript(schema, documents, config));
  write("types.ts", await operations(schema, documents, config, { outputFile: "types.ts" }));
  writeFileSync(
    join(folder, "use.ts"),
    `import type { Account } from "./schema.ts";
     import type { BalanceQuery, PostMutationVariables } from "./types.ts";
     export const variables: PostMutationVariables = { transaction: { postings: [
       { accountId: "x", direction: "DEBIT", amount: "1" }, { accountId: "y", direction: "CREDIT", amount: "1" } ] } };
     export const codeOf = (data: BalanceQuery): string | undefined => data.account?.currency?.code;
     export const idOf = (account: Account): string => account.id;
     // @ts-expect-error an amount is a string
     export const wrong: PostMutationVariables = { transaction: { postings: [{ amount: 1.5 }] } };
    `,
  );
  const tsc = spawnSync(
    join(projectRoot, "node_modules/.bin/tsc"),
    ["--noEmit", "--strict", "--module", "nodenext", "--allowImportingTsExtensions", "--types", "", "use.ts"],
    { cwd: folder, encoding: "utf8" },
  );
  expect(tsc.stdout).toBe("");
  expect(tsc.status).toBe(0);
});

test("an official client library runs the operations unchanged", async () => {
  const { cash, sales } = api.books;
  const posted = await client.request<{ postTransaction: { result: { transactionId: string; balances: object[] } } }>(
    operation("Post"),
    {
      transaction: {
        postings: [
          { accountId: cash, direction: "DEBIT", amount: "250" },
          { accountId: sales, direction: "CREDIT", amount: "250" },
        ],
      },
    },
  );
  expect(posted.postTransaction.result.balances).toEqual(
    expect.arrayContaining([{ accountId: cash, available: "250" }]),
  );
  const { account } = await client.request<{ account: { code: string; postings: { nodes: object[] } } }>(
    operation("Balance"),
    { id: cash },
  );
  expect(account).toMatchObject({ code: "cash", type: "ASSET", currency: { code: "USD", exponent: 2 } });
  expect(account.postings.nodes[0]).toMatchObject({
    version: "1",
    amount: "250",
    amountFormatted: "2.50",
    transaction: { id: posted.postTransaction.result.transactionId },
  });
});

test("a refusal reaches the client library with its code", async () => {
  const attempt = client.request(operation("Post"), { transaction: { postings: [] } });
  await expect(attempt).rejects.toThrow(ClientError);
  const error = await attempt.catch((cause: unknown) => cause as ClientError);
  expect((error as ClientError).response.errors?.[0]?.extensions).toMatchObject({ code: "LG103", isRetryable: false });
});
