import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { sealAll, verifySealed } from "../../support/seal.ts";
import { bootApi, postMutation, transfer } from "./_api.ts";

const api = await bootApi();
const worker = api.db.pool("worker");
const { books, otherBooks } = api;
const folder = mkdtempSync(join(tmpdir(), "tallystick-proof-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const proofQuery = /* GraphQL */ `
  query ($id: UUID!) {
    inclusionProof(transactionId: $id) {
      transactionId content leafHash leafIndex siblings
      block { ...fields }
      followingBlocks { ...fields }
    }
  }
  fragment fields on SealBlock {
    stream number chainId firstPosition lastPosition leafCount earliestAt latestAt sealedAt
    merkleRoot previousHash blockHash header
  }
`;

async function post(n = 1, { cash, sales, tenant } = books): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < n; i += 1) {
    const data = await api.get(
      postMutation,
      transfer(cash, sales, "100", {
        description: 'Häuser "zum\tHirschen" \\ ☃ \u2028',
        metadata: { at: i, text: "é" },
      }),
      { tenant },
    );
    ids.push(data.postTransaction.result.transactionId);
  }
  return ids;
}

/** Gives an answer to the stand-alone verifier, as a client would keep it. */
function verify(answer: object, ...args: string[]) {
  const file = join(folder, "proof.json");
  writeFileSync(file, JSON.stringify(answer));
  return verifySealed("proof", file, ...args);
}

const first = await post(5);
await sealAll(worker);
await post(3);
await sealAll(worker);

describe("inclusionProof", () => {
  test("of every transaction of a block is taken by the stand-alone verifier", async () => {
    for (const [index, id] of first.entries()) {
      const { text, data } = await api.ask(proofQuery, { id }, { role: "auditor" });
      expect(data.inclusionProof).toMatchObject({ transactionId: id, leafIndex: index, followingBlocks: [] });
      expect(data.inclusionProof.block).toMatchObject({ number: 1, leafCount: 5, previousHash: null });
      expect(JSON.parse(data.inclusionProof.content)[1]).toBe(id);
      expect(verify(JSON.parse(text))).toMatchObject({ status: 0, found: [] });
    }
  });

  test("leads on to the next block that was anchored", async () => {
    const client = api.db.pool("owner");
    const { rows } = await client.query("select app_private.unanchored_heads('webhook', 10) as anchor");
    await client.query("select app_private.record_anchors('webhook', $1)", [
      JSON.stringify(rows.map(({ anchor }) => anchor)),
    ]);
    const { inclusionProof } = await api.get(proofQuery, { id: first[2] }, { role: "teller" });
    expect(inclusionProof.followingBlocks).toMatchObject([{ number: 2, previousHash: inclusionProof.block.blockHash }]);
    const anchors = join(folder, "anchors.jsonl");
    writeFileSync(anchors, rows.map(({ anchor }) => `${JSON.stringify(anchor)}\n`).join(""));
    expect(verify(inclusionProof, "--anchors", anchors)).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("Anchored: block 2."),
    });
    const { ledgerHead } = await api.get("{ ledgerHead { stream anchoredNumber block { number } } }");
    expect(ledgerHead).toMatchObject([{ stream: "LEDGER", anchoredNumber: 2 }, { stream: "AUDIT" }]);
    expect(ledgerHead[1].anchoredNumber).toBe(ledgerHead[1].block.number);
  });

  const proofOf = async (id: string | undefined) =>
    (await api.get(proofQuery, { id }, { role: "auditor" })).inclusionProof;

  test.each<[string, (proof: Awaited<ReturnType<typeof proofOf>>) => object, string]>([
    ["content", (p) => ({ ...p, content: p.content.replace('"100"', '"900"') }), "its content does not hash"],
    ["content of another", (p) => ({ ...p, transactionId: first[4] }), "its content is that of"],
    ["index", (p) => ({ ...p, leafIndex: p.leafIndex + 1 }), "do not lead to the root"],
    ["index outside", (p) => ({ ...p, leafIndex: 5 }), "do not lead to the root"],
    ["siblings", (p) => ({ ...p, siblings: p.siblings.toReversed() }), "do not lead to the root"],
    ["one sibling too many", (p) => ({ ...p, siblings: [...p.siblings, p.leafHash] }), "do not lead to the root"],
    ["root", (p) => ({ ...p, block: { ...p.block, merkleRoot: p.leafHash } }), "block 1 does not hash"],
    ["time", (p) => ({ ...p, block: { ...p.block, sealedAt: "2020-01-01T00:00:00Z" } }), "block 1 does not hash"],
    ["no time", (p) => ({ ...p, block: { ...p.block, sealedAt: "yesterday" } }), "block 1 does not hash"],
    [
      "a block left out",
      (p) => ({ ...p, followingBlocks: [{ ...p.followingBlocks[0], number: 3 }] }),
      "block 3 is not chained to block 1",
    ],
  ])("with a changed %s is not taken", async (_what, change, text) => {
    const { status, found } = verify(change(await proofOf(first[1])));
    expect({ status, found: found.join("\n") }).toEqual({ status: 1, found: expect.stringContaining(text) });
  });

  test("that no anchor covers says so", async () => {
    const anchors = join(folder, "none.jsonl");
    writeFileSync(anchors, "");
    const { status, found } = verify(await proofOf(first[0]), "--anchors", anchors);
    expect({ status, found }).toEqual({ status: 1, found: [expect.stringMatching(/^not_anchored: ledger block 1/)] });
  });

  test("of rows that were changed shows that they do not fit", async () => {
    await api.db.withClient("superuser", async (client) => {
      await client.query("set session_replication_role = replica");
      const change = "update app_public.postings set posted_amount = posted_amount + $2 where transaction_id = $1";
      await client.query(change, [first[3], 1]);
      const { found } = verify(await proofOf(first[3]));
      expect(found).toEqual([expect.stringContaining("its content does not hash to the leaf that was sealed")]);
      const { verifyLedger } = await api.get('{ verifyLedger(checks: ["sealed_rows_that_differ"]) { name sample } }');
      expect(verifyLedger).toEqual([
        {
          name: "sealed_rows_that_differ",
          sample: [{ stream: "ledger", block_number: "1", leaf_index: "3", row_id: first[3], problem: "changed" }],
        },
      ]);
      await client.query(change, [first[3], -1]);
    });
  });

  test("of what is not sealed yet is refused, and may be asked for again", async () => {
    const [id] = await post();
    const { errors } = await api.ask(proofQuery, { id });
    expect(errors).toMatchObject([{ extensions: { code: "LG450", name: "not_sealed_yet", isRetryable: true } }]);
    await sealAll(worker);
    expect((await proofOf(id)).leafIndex).toBe(0);
  });

  test("of a row that was put where all are sealed is refused", async () => {
    const id = "01000000-0000-7000-8000-000000000001";
    await api.db.withClient("superuser", async (client) => {
      await client.query("set session_replication_role = replica");
      await client.query(
        `insert into app_public.transactions (tenant_id, id, kind, xact_id, created_at, effective_at)
         select tenant_id, $2, kind, xact_id, created_at, effective_at from app_public.transactions where id = $1`,
        [first[0], id],
      );
      const { errors } = await api.ask(proofQuery, { id });
      expect(errors).toMatchObject([{ extensions: { code: "LG451", detail: { block: 1 } } }]);
      await client.query("delete from app_public.transactions where id = $1", [id]);
    });
  });

  test("of another tenant's transaction is as of one that does not exist", async () => {
    const [theirs] = await post(1, otherBooks);
    await sealAll(worker);
    for (const id of [theirs, "01000000-0000-7000-8000-000000000009"]) {
      const { data, errors } = await api.ask(proofQuery, { id }, { role: "auditor" });
      expect({ data, errors }).toEqual({ data: { inclusionProof: null }, errors: [] });
    }
  });
});

describe("who may ask", () => {
  const questions = [
    "{ ledgerHead { stream } }",
    "{ sealBlocks { nodes { number } } }",
    `{ inclusionProof(transactionId: "${first[0]}") { leafIndex } }`,
  ];

  test.each(["teller", "accountant", "auditor", "admin"] as const)("a %s", async (role) => {
    for (const question of questions) expect(await api.get(question, {}, { role })).toBeTruthy();
  });

  test.each(["customer", "anonymous"] as const)("no %s", async (role) => {
    for (const question of questions) {
      const { errors } = await api.ask(question, {}, { role, user: books.customer });
      expect(errors).toMatchObject([{ extensions: { code: expect.stringMatching(/^LG40[12]$/) } }]);
    }
  });
});

test("ledgerHead tells the last block and what comes after it", async () => {
  await post(2);
  const query = "{ ledgerHead { stream sealed unsealed block { number lastPosition blockHash } } }";
  const { ledgerHead } = await api.get(query, {}, { role: "auditor" });
  const { rows } = await api.db
    .pool("owner")
    .query("select number, block_hash from app_private.seal_chains where tenant_id = $1 order by stream", [
      books.tenant,
    ]);
  const [{ number, block_hash: blockHash }] = rows;
  expect(ledgerHead).toMatchObject([
    { stream: "LEDGER", sealed: "9", unsealed: "2", block: { number, lastPosition: "9", blockHash } },
    { stream: "AUDIT", block: { blockHash: rows[1].block_hash } },
  ]);
  const { rows: entries } = await api.db
    .pool("owner")
    .query("select count(*) from app_private.audit_entries where tenant_id = $1", [books.tenant]);
  expect(Number(ledgerHead[1].sealed) + Number(ledgerHead[1].unsealed)).toBe(Number(entries[0].count));
});

test("the chain of blocks can be read page by page", async () => {
  const query = `{ sealBlocks(filter: { stream: { equalTo: LEDGER } }, orderBy: NUMBER_ASC) {
    nodes { number previousHash blockHash } } }`;
  const { sealBlocks } = await api.get(query, {}, { role: "auditor" });
  const { nodes } = sealBlocks;
  expect(nodes.length).toBeGreaterThan(2);
  for (const [index, { number, previousHash }] of nodes.entries()) {
    expect({ number, previousHash }).toEqual({ number: index + 1, previousHash: nodes[index - 1]?.blockHash ?? null });
  }
});

test("a check that does not exist is refused by name", async () => {
  const { errors } = await api.ask('{ verifyLedger(checks: ["nothing"]) { name } }', {}, { role: "auditor" });
  expect(errors).toMatchObject([{ extensions: { code: "LG190", detail: { check: "nothing" } } }]);
});
