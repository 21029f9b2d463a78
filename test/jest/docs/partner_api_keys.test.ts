import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "@jest/globals";
import { readExamples } from "../../support/examples.ts";
import { readProjectFile } from "../../support/project_files.ts";
import { bootApi } from "../api/_api.ts";
import { inDays } from "../api_keys/_partner.ts";

/** The requests of docs/how-to/partner-api-keys.md run in order, and its shell example with the key that they made. */
const api = await bootApi();
const page = "docs/how-to/partner-api-keys.md";
const text = readProjectFile(page);
const [makeSet, createKey, rotate, revoke] = readExamples(page);
let key = { id: "", secret: "" };
const ids = new Map<string, string>([["in 90 days", inDays(90)]]);

async function run(example: typeof makeSet) {
  const variables = (example?.variables ?? "").replace(/<([\w ]+)>/g, (_match, name: string) => ids.get(name) ?? name);
  const answer = await api.ask(example?.query ?? "", JSON.parse(variables) as Record<string, unknown>);
  expect(answer.errors).toEqual([]);
  return answer.data;
}

interface ShellAnswer {
  data?: unknown;
  errors?: { extensions: { code: string } }[];
}

async function shell(): Promise<ShellAnswer> {
  const script = [...text.matchAll(/```sh\n([\s\S]*?)```/g)]
    .map(([, code = ""]) => code)
    .find((code) => /curl/.test(code));
  // Not spawnSync: the server answers from this process.
  const child = spawn("bash", ["-euo", "pipefail", "-c", script ?? "exit 1"], {
    env: {
      PATH: process.env["PATH"],
      LEDGER_URL: new URL(api.url).origin,
      API_KEY_ID: key.id,
      API_KEY_SECRET: key.secret,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  await once(child, "close");
  return JSON.parse(output) as ShellAnswer;
}

test("a set and a key are made", async () => {
  const { createAccountSet } = await run(makeSet);
  ids.set("createAccountSet", createAccountSet.accountSet.id);
  const { createApiKey } = await run(createKey);
  key = { id: createApiKey.apiKey.id, secret: createApiKey.secret };
  ids.set("createApiKey", key.id);
});

test("the shell example reads accounts with it", async () => {
  await api.get(
    `mutation ($set: UUID!, $account: UUID!) {
       addAccountToSet(input: { accountSetId: $set, accountId: $account }) { accountSet { id } } }`,
    { set: ids.get("createAccountSet"), account: api.books.wallet },
  );
  expect(await shell()).toEqual({
    data: { accounts: { nodes: [{ code: "wallet", balance: { availableFormatted: "0.00" } }] } },
  });
});

test("it is given a new secret, and revoked", async () => {
  const { rotateApiKey } = await run(rotate);
  key.secret = rotateApiKey.secret;
  expect(await shell()).toHaveProperty("data.accounts");
  const { revokeApiKey } = await run(revoke);
  expect(revokeApiKey.apiKey.status).toBe("REVOKED");
  expect((await shell()).errors?.[0]?.extensions.code).toBe("LG425");
});

test("the canonical text that is shown is that of the first vector", () => {
  const { vectors } = JSON.parse(readProjectFile("docs/api-key-vectors.json")) as {
    vectors: { canonicalRequest: string }[];
  };
  expect(text).toContain(`\`\`\`\n${vectors[0]?.canonicalRequest}\n\`\`\``);
});

test("every code of the table is in the catalog, and every code of signed requests in the table", async () => {
  const { rows } = await api.db
    .pool("owner")
    .query<{ code: string }>(
      "select code from app_public.refusals where code between 'LG420' and 'LG425' order by code",
    );
  const told = [...text.matchAll(/^\| `(LG[0-9A-Z]{3})` \|/gm)].map(([, code]) => code);
  expect(told).toEqual(rows.map(({ code }) => code));
});
