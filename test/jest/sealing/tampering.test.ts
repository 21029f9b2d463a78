import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import type pg from "pg";
import { compareAnchors } from "../../../src/cli/anchors.ts";
import { exportSealed } from "../../../src/cli/export/sealed.ts";
import { mustPost, openAccounts, openTenant, transfer } from "../../support/ledger.ts";
import { relayAll } from "../../support/relay.ts";
import { sealAll, verifySealed } from "../../support/seal.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/**
 * Somebody who owns the database and stops at nothing: triggers are disabled, rows, leaves and blocks rewritten.
 * Each tampering is made in a database transaction that is rolled back, and looked at twice: by the checks inside
 * the database, and by the stand-alone verifier on an export. Both have to name what was tampered with.
 */
const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = db.pool("worker");
const folder = mkdtempSync(join(tmpdir(), "tallystick-seal-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const tenantId = await openTenant(owner);
// Three entries of a month that is long gone: the second block of the trail, after what opened the tenant.
const { rows: old } = await owner.query<{ id: string }>(
  `insert into app_private.audit_entries (tenant_id, operation, table_name, row_key, at)
   select $1, 'read', 'old', n, '2020-02-10Z' from generate_series(0, 2) n returning id`,
  [tenantId],
);
await owner.query("select app_private.make_audit_partitions()");
await sealAll(worker);
const { slug } = (await owner.query("select slug from app_public.tenants where id = $1", [tenantId])).rows[0];
const [cash = "", sales = ""] = await openAccounts(owner, tenantId, 2);
const ids: string[] = [];
for (let n = 0; n < 12; n += 1) {
  ids.push(
    await mustPost(owner, tenantId, {
      postings: transfer(cash, sales, 100 + n),
      description: `Sale ${n}`,
      metadata: { order: n },
      idempotencyKey: `key ${n}`,
    }),
  );
  // Three blocks of four.
  if (n % 4 === 3) await sealAll(worker);
}
await relayAll(worker);

const anchors = join(folder, "anchors.jsonl");
const { rows: heads } = await owner.query("select app_private.unanchored_heads('file', 10) as anchor");
writeFileSync(anchors, heads.map(({ anchor }) => `${JSON.stringify(anchor)}\n`).join(""));

/** What the database says of itself: "check problem block row". */
async function checkedFindings(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ finding: string }>(
    `select concat_ws(' ', nullif(stream, 'ledger'), problem, 'in block', block_number, row_id) as finding
       from checks.sealed_rows_that_differ where tenant_id = $1
     union all
     select concat_ws(' ', nullif(stream, 'ledger'), problem, 'block', number)
     from checks.seal_blocks_that_differ where tenant_id = $1
     union all
     select concat_ws(' ', 'retired', entries, 'of', sealed, 'left', remaining)
     from checks.audit_retirements_that_differ where tenant_id = $1
     union all
     select concat_ws(' ', 'relayed', transaction_id) from checks.relayed_transactions_that_are_missing
      where tenant_id = $1`,
    [tenantId],
  );
  return rows.map(({ finding }) => name(finding)).sort();
}

/** Ids by their place, which reads better: #5 of the transactions, @1 of the old audit entries. */
function name(text: string): string {
  const named = ids.reduce((result, id, index) => result.replaceAll(id, `#${index}`), text);
  return old.reduce((result, { id }, index) => result.replaceAll(id, `@${index}`), named);
}

async function anchoredFindings(client: pg.Client): Promise<string[]> {
  const { differing } = await compareAnchors({ client, tenantId, slug }, anchors);
  return differing.map(({ problem, number }) => `${String(problem)} ${String(number)}`);
}

interface Tampered {
  checked: unknown[];
  anchored: string[];
  exported: unknown[];
  exportedWithAnchors: unknown[];
}

/** Tampers in SQL, and tells who finds what. */
async function tamper(statements: string, login: "superuser" | "owner" = "superuser"): Promise<Tampered> {
  return db.withRollback(login, async (client) => {
    await client.query("select set_config('tallystick.tenant_id', $1, true)", [String(tenantId)]);
    await client.query(forgery);
    await client.query(
      login === "superuser"
        ? "set local session_replication_role = replica"
        : `alter table app_public.transactions disable trigger user;
           alter table app_public.postings disable trigger user;
           alter table app_public.seal_blocks disable trigger user;
           alter table app_private.seal_leaves disable trigger user`,
    );
    await client.query(
      statements
        .replace(/#(\d+)/g, (_match, index: string) => `'${ids[Number(index)]}'`)
        .replace(/@(\d+)/g, (_match, index: string) => `'${old[Number(index)]?.id}'`)
        .replaceAll(":tenant", String(tenantId)),
    );
    const file = join(folder, "export.jsonl");
    const lines: string[] = [];
    await exportSealed(
      { client, tenantId, slug },
      { write: async (text) => void lines.push(text), close: async () => undefined },
    );
    writeFileSync(file, lines.join(""));
    const short = (found: string[]): string[] => found.map((text) => name(text.replace(/^(\w+: [^:]+):.*/, "$1")));
    return {
      checked: await checkedFindings(client),
      anchored: await anchoredFindings(client),
      exported: short(verifySealed("ledger", file).found),
      exportedWithAnchors: short(verifySealed("ledger", file, "--anchors", anchors).found),
    };
  });
}

/**
 * What a forger needs: `reseal(n)` makes the leaves of the blocks from n on from the rows as they are now, their
 * roots, headers and links, and the end of the chain; `releaf(n)` only the leaves of block n.
 */
const forgery = `
  create function pg_temp.releaf(block integer) returns void language sql as $$
    update app_private.seal_leaves s set leaf_hashes = array(
      select coalesce(l.leaf_hash, u.leaf_hash)
      from unnest(s.ids, s.leaf_hashes) with ordinality u (id, leaf_hash, n)
      left join app_hidden.ledger_leaves l on l.tenant_id = s.tenant_id and l.id = u.id
      order by u.n)
    where s.tenant_id = ${tenantId} and s.stream = 'ledger' and s.number = block $$;
  create function pg_temp.rehash(block integer) returns void language plpgsql as $$
  begin
    update app_public.seal_blocks b set
      merkle_root = app_hidden.merkle_root(l.leaf_hashes),
      leaf_count = cardinality(l.ids),
      last_position = b.first_position + cardinality(l.ids) - 1,
      previous_hash = (
        select p.block_hash from app_public.seal_blocks p
        where p.tenant_id = ${tenantId} and p.stream = 'ledger' and p.number = block - 1)
    from app_private.seal_leaves l
    where b.tenant_id = ${tenantId} and b.stream = 'ledger' and b.number = block
      and l.tenant_id = b.tenant_id and l.stream = b.stream and l.number = b.number;
    update app_public.seal_blocks b set block_hash = app_hidden.block_hash(app_public.seal_blocks_header(b))
    where b.tenant_id = ${tenantId} and b.stream = 'ledger' and b.number = block;
  end $$;
  create function pg_temp.end_chain() returns void language sql as $$
    update app_private.seal_chains c
    set number = b.number, position = b.last_position, block_hash = b.block_hash,
      xact_id = l.last_xact_id, id = l.last_id
    from app_public.seal_blocks b
    join app_private.seal_leaves l using (tenant_id, stream, number)
    where c.tenant_id = ${tenantId} and c.stream = 'ledger' and b.tenant_id = ${tenantId}
      and b.stream = 'ledger' and b.number = (
        select max(number) from app_public.seal_blocks where tenant_id = ${tenantId} and stream = 'ledger') $$;
  create function pg_temp.reseal(from_block integer) returns void language plpgsql as $$
  begin
    for block in from_block .. 3 loop
      perform pg_temp.releaf(block), pg_temp.rehash(block);
    end loop;
    perform pg_temp.end_chain();
  end $$;`;

const changeAmount = "update app_public.postings set posted_amount = posted_amount + 1 where transaction_id = #5;";

test("untouched books are sound, to everyone", async () => {
  expect(await tamper("select 1")).toEqual({ checked: [], anchored: [], exported: [], exportedWithAnchors: [] });
});

describe("a row that was tampered with is found and named", () => {
  const changed5 = {
    checked: ["changed in block 2 #5"],
    exported: ["row_changed: ledger block 2, leaf 1, transaction #5"],
  };
  test.each<[string, string, Omit<Tampered, "anchored" | "exportedWithAnchors">]>([
    ["an amount", changeAmount, changed5],
    [
      "a counter",
      "update app_public.postings set posted_debits = posted_debits + 1 where transaction_id = #5",
      changed5,
    ],
    [
      "a time",
      "update app_public.postings set created_at = created_at - '1 us'::interval where transaction_id = #5",
      changed5,
    ],
    ["one byte of a description", "update app_public.transactions set description = 'sale 5' where id = #5", changed5],
    ["a description that went", "update app_public.transactions set description = null where id = #5", changed5],
    ["metadata", `update app_public.transactions set metadata = '{"order": 6}' where id = #5`, changed5],
    ["who posted it", "update app_public.transactions set created_by = gen_random_uuid() where id = #5", changed5],
    ["its place", "update app_public.transactions set xact_id = '3' where id = #5", changed5],
    [
      "a posting removed",
      "delete from app_public.postings where transaction_id = #5 and direction = 'debit'",
      changed5,
    ],
    [
      "a posting added",
      `insert into app_public.postings select (p).* from (
         select jsonb_populate_record(p, '{"version": 99, "ordinal": 3}') as p
         from app_public.postings p where p.transaction_id = #5 and p.ordinal = 2) p`,
      changed5,
    ],
    [
      "a transaction removed",
      "delete from app_public.postings where transaction_id = #5; delete from app_public.transactions where id = #5",
      { checked: ["missing in block 2 #5"], exported: ["row_missing: ledger block 2, leaf 1, transaction #5"] },
    ],
    [
      "two transactions swapped",
      `update app_public.postings set transaction_id = case transaction_id when #5 then #6::uuid else #5::uuid end
       where transaction_id in (#5, #6)`,
      {
        checked: ["changed in block 2 #5", "changed in block 2 #6"],
        exported: [
          "row_changed: ledger block 2, leaf 1, transaction #5",
          "row_changed: ledger block 2, leaf 2, transaction #6",
        ],
      },
    ],
    [
      "a transaction moved to another tenant",
      "update app_public.transactions set tenant_id = 999 where id = #5",
      { checked: ["missing in block 2 #5"], exported: ["row_missing: ledger block 2, leaf 1, transaction #5"] },
    ],
    [
      "a transaction put between sealed ones",
      `insert into app_public.transactions (tenant_id, id, kind, xact_id, created_at, effective_at)
       select tenant_id, '01000000-0000-7000-8000-000000000001', kind, xact_id, created_at, effective_at
       from app_public.transactions where id = #5`,
      {
        checked: ["not in the seal in block 01000000-0000-7000-8000-000000000001"],
        exported: ["row_inserted: ledger transaction 01000000-0000-7000-8000-000000000001"],
      },
    ],
    [
      "a transaction that would never be sealed",
      `insert into app_public.transactions (tenant_id, id, kind, xact_id, created_at, effective_at)
       select tenant_id, '01000000-0000-7000-8000-000000000001', kind, '9000000000000', created_at, effective_at
       from app_public.transactions where id = #5`,
      {
        checked: ["of a database transaction to come in block 01000000-0000-7000-8000-000000000001"],
        exported: [],
      },
    ],
  ])("%s", async (_what, statements, found) => {
    expect(await tamper(statements)).toEqual({ anchored: [], exportedWithAnchors: found.exported, ...found });
  });

  test("by an owner who disables the triggers just the same", async () => {
    expect(await tamper(changeAmount, "owner")).toMatchObject(changed5);
  });
});

describe("a forgery of the seal is found and named", () => {
  test.each<[string, string, Omit<Tampered, "anchored" | "exportedWithAnchors">]>([
    [
      "a row and its leaf",
      `${changeAmount} select pg_temp.releaf(2)`,
      { checked: ["leaves changed block 2"], exported: ["leaves_changed: ledger block 2"] },
    ],
    [
      "a row, its leaf, and the root and hash of its block",
      `${changeAmount} select pg_temp.releaf(2), pg_temp.rehash(2)`,
      {
        checked: ["replaced: the next block was chained to another block 2"],
        exported: ["block_replaced: ledger block 2"],
      },
    ],
    [
      "the same in the last block",
      `update app_public.transactions set description = 'Forged' where id = #9;
       select pg_temp.releaf(3), pg_temp.rehash(3)`,
      { checked: ["missing: the end of the chain block 3"], exported: ["block_replaced: ledger block 3"] },
    ],
    [
      "two leaves swapped",
      `update app_private.seal_leaves set
         ids = ids[2:2] || ids[1:1] || ids[3:4],
         leaf_hashes = leaf_hashes[2:2] || leaf_hashes[1:1] || leaf_hashes[3:4]
       where stream = 'ledger' and number = 2`,
      { checked: ["leaves changed block 2"], exported: ["leaves_changed: ledger block 2"] },
    ],
    [
      "a row taken out of its block",
      `delete from app_public.transactions where id = #5;
       update app_private.seal_leaves set
         ids = ids[1:1] || ids[3:4], leaf_hashes = leaf_hashes[1:1] || leaf_hashes[3:4]
       where stream = 'ledger' and number = 2;
       select pg_temp.rehash(2)`,
      {
        checked: ["positions do not follow block 3", "replaced: the next block was chained to another block 2"],
        exported: ["block_replaced: ledger block 2", "block_changed: ledger block 3"],
      },
    ],
    [
      "a time in a header",
      `update app_public.seal_blocks set sealed_at = sealed_at - interval '1 day'
       where stream = 'ledger' and number = 2`,
      { checked: ["header changed block 2"], exported: ["block_changed: ledger block 2"] },
    ],
    [
      "a block removed",
      "delete from app_public.seal_blocks where stream = 'ledger' and number = 2",
      {
        checked: ["leaves without a block block 2", "missing block 2"],
        exported: ["leaves_changed: ledger block 2", "block_missing: ledger block 2"],
      },
    ],
    [
      "the leaves of a block removed",
      "delete from app_private.seal_leaves where stream = 'ledger' and number = 3",
      {
        checked: ["leaves missing block 3", ...[10, 11, 8, 9].map((n) => `not in the seal in block #${n}`)],
        exported: ["leaves_changed: ledger block 3"],
      },
    ],
    [
      "the last block removed, and its rows",
      `delete from app_public.postings where transaction_id in (#8, #9, #10, #11);
       delete from app_public.transactions where id in (#8, #9, #10, #11);
       delete from app_private.seal_leaves where stream = 'ledger' and number = 3;
       delete from app_public.seal_blocks where stream = 'ledger' and number = 3`,
      {
        checked: ["missing: the end of the chain block 3", "relayed #11"],
        exported: ["tail_missing: ledger block 3"],
      },
    ],
  ])("%s", async (_what, statements, found) => {
    const { checked, exported } = await tamper(statements);
    expect({ checked, exported }).toEqual(found);
  });
});

describe("the audit trail is sealed as well", () => {
  // As the job does it: the triggers are back for that.
  const retire = `set local session_replication_role = origin;
    select app_private.set_audit_retention(12); select app_private.retire_audit_partition();
    set local session_replication_role = replica;`;
  const forgeRetirement = `insert into app_private.audit_retirements
      (tenant_id, starts_at, ends_at, entries, retained_months)
    values (:tenant, '2020-02-01Z', '2020-03-01Z', 3, 12)`;

  test.each<[string, string, Omit<Tampered, "anchored" | "exportedWithAnchors">]>([
    [
      "an entry changed",
      "update app_private.audit_entries set user_id = gen_random_uuid() where id = @1",
      {
        checked: ["audit changed in block 2 @1"],
        exported: ["row_changed: audit block 2, leaf 1, audit entry @1"],
      },
    ],
    [
      "an entry removed",
      "delete from app_private.audit_entries where id = @1",
      {
        checked: ["audit missing in block 2 @1"],
        exported: ["row_missing: audit block 2, leaf 1, audit entry @1"],
      },
    ],
    [
      "an entry put between sealed ones",
      `insert into app_private.audit_entries (tenant_id, operation, table_name, id, xact_id)
       values (:tenant, 'read', 'x', '01000000-0000-7000-8000-000000000001', '3')`,
      {
        checked: ["audit not in the seal in block 01000000-0000-7000-8000-000000000001"],
        exported: ["row_inserted: audit audit entry 01000000-0000-7000-8000-000000000001"],
      },
    ],
    [
      "an entry and its leaf",
      `update app_private.audit_entries set row_key = 'x' where id = @1;
       update app_private.seal_leaves l set leaf_hashes[2] = a.leaf_hash from app_private.audit_leaves a
       where l.tenant_id = :tenant and l.stream = 'audit' and l.number = 2 and a.id = @1`,
      { checked: ["audit leaves changed block 2"], exported: ["leaves_changed: audit block 2"] },
    ],
    [
      "a month removed that nobody retired",
      "drop table app_private.audit_entries_2020_02",
      {
        checked: [0, 1, 2].map((n) => `audit missing in block 2 @${n}`),
        exported: [0, 1, 2].map((n) => `row_missing: audit block 2, leaf ${n}, audit entry @${n}`),
      },
    ],
    ["a month that was retired is not missing", retire, { checked: [], exported: [] }],
    [
      "an entry removed, under a month that is on record as retired and is there",
      `delete from app_private.audit_entries where id = @1; ${forgeRetirement}`,
      {
        checked: ["retired 3 of 3 left 2"],
        exported: ["retention_untrue: audit month of 2020-02"],
      },
    ],
    [
      "a month removed that is too young for the rule",
      `insert into app_private.audit_retirements (tenant_id, starts_at, ends_at, entries, retained_months)
       select :tenant, date_trunc('month', now(), 'UTC'), date_trunc('month', now(), 'UTC') + interval '1 month',
         sum(leaf_count), 12
       from app_public.seal_blocks where tenant_id = :tenant and stream = 'audit' and latest_at > '2021-01-01Z';
       delete from app_private.audit_entries where tenant_id = :tenant and at > '2021-01-01Z'`,
      {
        checked: [expect.stringMatching(/^retired (\d+) of \1 left 0$/)],
        exported: [expect.stringMatching(/^retention_untrue: audit month of /)],
      },
    ],
    [
      "a month retired that was more than was written down",
      `${retire} update app_private.audit_retirements set entries = 2`,
      {
        checked: ["retired 2 of 3 left 0"],
        exported: ["retention_untrue: audit month of 2020-02"],
      },
    ],
  ])("%s", async (_what, statements, found) => {
    const { checked, exported } = await tamper(statements);
    expect({ checked, exported }).toEqual(found);
  });
});

describe("what is consistent in itself is found by the anchors alone", () => {
  const replaced = {
    anchored: ["the block was replaced 3"],
    exportedWithAnchors: ["anchored_block_replaced: ledger block 3"],
  };

  test("a forged row in the last block, with everything after it made anew", async () => {
    const statements =
      "update app_public.transactions set description = 'Forged' where id = #9; select pg_temp.reseal(3)";
    expect(await tamper(statements)).toEqual({ checked: [], exported: [], ...replaced });
  });

  test("a forged row in an early block, with the whole chain made anew", async () => {
    expect(await tamper(`${changeAmount} select pg_temp.reseal(2)`)).toEqual({
      checked: [],
      exported: [],
      ...replaced,
    });
  });

  test("the end cut off, and the chain made to end there", async () => {
    const statements = `delete from app_public.postings where transaction_id in (#8, #9, #10, #11);
      delete from app_public.transactions where id in (#8, #9, #10, #11);
      delete from app_private.seal_leaves where stream = 'ledger' and number = 3;
      delete from app_public.seal_blocks where stream = 'ledger' and number = 3;
      delete from app_private.relay_cursors;
      select pg_temp.end_chain()`;
    expect(await tamper(statements)).toEqual({
      checked: [],
      exported: [],
      anchored: ["the block is missing 3"],
      exportedWithAnchors: ["anchored_block_missing: ledger block 3"],
    });
  });

  test("the chain begun anew", async () => {
    const statements = `${changeAmount}
      update app_private.seal_chains set chain_id = gen_random_uuid()
      where tenant_id = :tenant and stream = 'ledger';
      update app_public.seal_blocks b set chain_id = c.chain_id
      from app_private.seal_chains c where c.tenant_id = b.tenant_id and c.stream = b.stream;
      select pg_temp.reseal(1)`;
    expect(await tamper(statements)).toEqual({
      checked: [],
      exported: [],
      anchored: ["the chain was begun anew 3"],
      exportedWithAnchors: ["anchored_chain_replaced: ledger block 3"],
    });
  });

  test("or by the record of the anchors in the database, while it is left alone", async () => {
    const statements = `select app_private.record_anchors('file', (
        select jsonb_agg(a) from app_private.unanchored_heads('file', 10) a));
      ${changeAmount} select pg_temp.reseal(2)`;
    expect((await tamper(statements)).checked).toEqual(["other than anchored: file block 3"]);
  });
});
