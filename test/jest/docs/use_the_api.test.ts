import { describe, expect, test } from "@jest/globals";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { type Example, readExamples } from "../../support/examples.ts";
import { readProjectFile } from "../../support/project_files.ts";
import { relayAll } from "../../support/relay.ts";
import { bootApi } from "../api/_api.ts";

/**
 * Runs the examples of docs/how-to/use-the-api.md in order, each with the variables of the JSON block after it.
 * `<name>` in variables is the id that the field or alias `name` of an earlier example came back with.
 */
const api = await bootApi();
const page = "docs/how-to/use-the-api.md";
const examples = readExamples(page);
const ids = new Map<string, string>();

function variablesOf({ variables }: Example): Record<string, unknown> {
  const filled = variables.replace(/<(\w+)>/g, (_match, name: string) => {
    const id = ids.get(name);
    if (id === undefined) throw new Error(`No example before this one has made <${name}>.`);
    return id;
  });
  return JSON.parse(filled) as Record<string, unknown>;
}

type Made = Record<string, { account?: { id?: string }; result?: { transactionId?: string } } | null>;

function remember(data: Made): void {
  for (const [name, value] of Object.entries(data)) {
    const id = value?.account?.id ?? value?.result?.transactionId;
    if (id !== undefined) ids.set(name, id);
  }
}

test("there are examples", () => {
  expect(examples.length).toBeGreaterThan(12);
});

describe("the example", () => {
  test.each(examples.map((example) => [example.line, example] as const))("of line %i runs", async (_line, example) => {
    const variables = variablesOf(example);
    if (/^\s*subscription/.test(example.query)) return hear(example.query, variables);
    const answer = await api.ask(example.query, variables);
    expect(answer.errors).toEqual([]);
    remember(answer.data as Made);
  });
});

test("the error that is shown is the error that comes", async () => {
  const shown = JSON.parse(/## Errors[\s\S]*?```json\n([\s\S]*?)```/.exec(readProjectFile(page))?.[1] ?? "{}");
  const answer = await api.ask(
    `mutation ($transaction: TransactionInput!) {
      postTransaction(input: { transaction: $transaction }) { result { transactionId } } }`,
    {
      transaction: {
        postings: [
          { accountId: ids.get("wallet"), direction: "DEBIT", amount: "999999" },
          { accountId: ids.get("sales"), direction: "CREDIT", amount: "999999" },
        ],
      },
    },
  );
  const { detail, ...extensions } = shown.extensions;
  expect(answer.errors[0]).toMatchObject({ message: shown.message, path: shown.path, extensions });
  expect(Object.keys(answer.errors[0]?.extensions.detail ?? {})).toEqual(expect.arrayContaining(Object.keys(detail)));
});

/** Subscribes, posts something on the wallet, and waits until it is told. */
async function hear(query: string, variables: Record<string, unknown>): Promise<void> {
  const worker = api.db.pool("worker");
  await relayAll(worker);
  const client = createClient({
    url: api.url.replace("http", "ws"),
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${api.token({})}` },
  });
  try {
    const events = client.iterate({ query, variables });
    const heard = events.next();
    await new Promise((done) => setTimeout(done, 500));
    await api.get(
      `mutation ($cash: UUID!, $wallet: UUID!) { postTransaction(input: { transaction: { postings: [
        { accountId: $cash, direction: DEBIT, amount: "1" }, { accountId: $wallet, direction: CREDIT, amount: "1" }
      ] } }) { result { transactionId } } }`,
      { cash: ids.get("cash"), wallet: ids.get("wallet") },
    );
    await relayAll(worker);
    const { value } = await heard;
    expect(value?.errors).toBeUndefined();
    expect(Object.values(value?.data ?? {})[0]).not.toBeNull();
  } finally {
    await client.dispose();
  }
}
