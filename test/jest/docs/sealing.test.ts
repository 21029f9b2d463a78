import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { readExamples } from "../../support/examples.ts";
import { readProjectFile } from "../../support/project_files.ts";
import { sealAll, verifySealed } from "../../support/seal.ts";
import { bootApi, postMutation, transfer } from "../api/_api.ts";

/** The worked example of docs/sealing.md is made anew, in SQL and outside of it; the how-to page runs. */
const api = await bootApi();
const worker = api.db.pool("worker");
const folder = mkdtempSync(join(tmpdir(), "tallystick-docs-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const page = readProjectFile("docs/sealing.md");
const block = (language: string): string => new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(page)?.[1] ?? "";
const canonical = block("json").trimEnd().split("\n");
const lines = block("jsonl")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line));
const hashes = [...page.matchAll(/^\| (first leaf|second leaf|root|block) \| `(\w+)` \|$/gm)].map((match) => match[2]);

interface Row {
  [name: string]: unknown;
  postings: Record<string, unknown>[];
}

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const record = (fields: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).map(([name, value]) => [snake(name), value]));

describe("the worked example", () => {
  test("is taken by the stand-alone verifier, and not with a byte changed", () => {
    const file = join(folder, "example.jsonl");
    writeFileSync(file, block("jsonl"));
    expect(verifySealed("ledger", file)).toMatchObject({ status: 0, found: [] });
    writeFileSync(file, block("jsonl").replace("order-17", "order-18"));
    expect(verifySealed("ledger", file).found).toEqual([expect.stringMatching(/^row_changed: .*0001: /)]);
  });

  test("has the canonical forms and hashes that SQL makes of the same rows", async () => {
    await api.db.withRollback("superuser", async (client) => {
      await client.query("set local session_replication_role = replica");
      for (const { row } of lines.filter(({ type }) => type === "leaf") as { row: Row }[]) {
        const { postings, fingerprint, metadata, ...fields } = row;
        const text = JSON.stringify({ ...record(fields), tenant_id: 77, metadata: JSON.parse(String(metadata)) });
        await client.query(
          `insert into app_public.transactions
           select t.* from jsonb_populate_record(null::app_public.transactions, $1::jsonb || jsonb_build_object(
             'fingerprint', '\\x' || $2::text)) t`,
          [text, fingerprint],
        );
        for (const posting of postings) {
          await client.query(
            `insert into app_public.postings
             select p.* from jsonb_populate_record(null::app_public.postings, $1) p`,
            [JSON.stringify({ ...record(posting), tenant_id: 77, transaction_id: row["id"] })],
          );
        }
      }
      const { rows } = await client.query(
        `select content, encode(leaf_hash, 'hex') as hash from app_hidden.ledger_leaves
         where tenant_id = 77 order by xact_id, id`,
      );
      expect(rows.map(({ content }) => content)).toEqual(canonical.slice(0, 2));
      expect(rows.map(({ hash }) => hash)).toEqual(hashes.slice(0, 2));
      const { rows: made } = await client.query(
        `select app_hidden.merkle_root(array_agg(leaf_hash order by xact_id, id)) as root,
           app_hidden.block_hash($1) as block
         from app_hidden.ledger_leaves where tenant_id = 77`,
        [canonical[2]],
      );
      expect([made[0].root, made[0].block]).toEqual(hashes.slice(2));
      const exported = record(lines.find(({ type }) => type === "block"));
      const { rows: headers } = await client.query(
        `select app_public.seal_blocks_header(b) as header
         from jsonb_populate_record(null::app_public.seal_blocks, $1) b`,
        [JSON.stringify(exported)],
      );
      expect(headers[0].header).toBe(canonical[2]);
    });
  });
});

describe("the how-to page", () => {
  const [sealed, proof] = readExamples("docs/how-to/prove-the-seal.md");

  test("asks how far sealing has come, and for a proof that is taken as it is", async () => {
    const { postTransaction } = await api.get(postMutation, transfer(api.books.cash, api.books.sales, "5"));
    await sealAll(worker);
    const { ledgerHead } = await api.get(sealed?.query ?? "", {}, { role: "auditor" });
    expect(ledgerHead[0]).toMatchObject({ stream: "LEDGER", sealed: "1", unsealed: "0", block: { number: 1 } });
    const id = postTransaction.result.transactionId;
    const { text } = await api.ask(proof?.query ?? "", { id }, { role: "auditor" });
    const file = join(folder, "proof.json");
    writeFileSync(file, text);
    expect(verifySealed("proof", file)).toMatchObject({ status: 0, found: [] });
  });

  test("lets the owner check what belongs to no tenant", async () => {
    const howTo = readProjectFile("docs/how-to/prove-the-seal.md");
    const sql = /```sql\n([\s\S]*?)```/.exec(howTo)?.[1] ?? "";
    const results = await api.db.withClient("owner", (client) => client.query(sql));
    expect([results].flat().map(({ rows }) => rows)).toEqual([[], []]);
  });

  test("names who holds sealing back", async () => {
    const howTo = readProjectFile("docs/how-to/prove-the-seal.md");
    const query = /`(select pid, [^`]*)`/.exec(howTo)?.[1] ?? "";
    const { rows } = await api.db.withRollback("superuser", async (client) => {
      await client.query("select pg_current_xact_id()");
      return client.query(query);
    });
    expect(rows).toContainEqual(expect.objectContaining({ query }));
  });
});
