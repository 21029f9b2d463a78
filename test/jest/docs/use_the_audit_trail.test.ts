import { describe, expect, test } from "@jest/globals";
import { readExamples } from "../../support/examples.ts";
import { readProjectFile } from "../../support/project_files.ts";
import { bootApi } from "../api/_api.ts";

/* The examples of docs/how-to/use-the-audit-trail.md run as they stand, for an auditor. */
const api = await bootApi();
const page = "docs/how-to/use-the-audit-trail.md";
const examples = readExamples(page);
const auditor = { role: "auditor", user: "00000000-0000-7000-8000-00000000a0d1" } as const;

await api.get(
  `mutation ($id: UUID!) { setAccountLimits(input: { id: $id, minimumBalance: "0" }) { account { id } } }`,
  { id: api.books.wallet },
);
await api.db.withClient("owner", (client) =>
  client.query("update app_public.accounts set name = 'By hand' where id = $1", [api.books.cash]),
);

test("there are examples", () => {
  expect(examples).toHaveLength(5);
});

describe("the example", () => {
  test.each(examples.map((example) => [example.line, example] as const))("of line %i runs", async (_line, example) => {
    const variables = JSON.parse(example.variables.replace("<wallet>", api.books.wallet)) as Record<string, unknown>;
    const answer = await api.ask(example.query, variables, auditor);
    expect(answer.errors).toEqual([]);
  });
});

test("the entry that is shown is the entry that comes", async () => {
  const [first] = examples;
  const shown = /```json[\s\S]*?```json\n([\s\S]*?)```/.exec(readProjectFile(page))?.[1] ?? "";
  const answer = await api.get(first?.query ?? "", { account: api.books.wallet }, auditor);
  expect(answer.auditEntries.nodes[0]).toMatchObject(JSON.parse(shown) as object);
});

test("whoever was at the database itself is told apart", async () => {
  const [sql = ""] = [...readProjectFile(page).matchAll(/```sql\n([\s\S]*?)```/g)].map((match) => match[1]);
  const { rows } = await api.db.withClient("owner", (client) => client.query(sql));
  expect(rows.find((row) => row.row_key === api.books.cash && row.operation === "update")).toMatchObject({
    database_user: "tallystick_owner",
    table_name: "accounts",
  });
});
