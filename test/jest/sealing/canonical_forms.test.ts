import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import fc from "fast-check";
import { exportSealed } from "../../../src/cli/export/sealed.ts";
import { mustPost, openAccounts, openTenant, type TransactionInput, transfer } from "../../support/ledger.ts";
import { sealAll, verifySealed } from "../../support/seal.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/**
 * Two programs that share no code make the same canonical form, whatever is posted: SQL when it seals, and
 * tools/verify_sealed.mjs from an export.
 */
const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = db.pool("worker");
const folder = mkdtempSync(join(tmpdir(), "tallystick-canonical-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

// PostgreSQL text holds anything but NUL; half a surrogate pair is no text at all.
const text = (maxLength: number): fc.Arbitrary<string> =>
  fc
    .string({ unit: "binary", minLength: 1, maxLength })
    .map((value) => value.replaceAll("\0", "\u0001"))
    .filter((value) => value.trim() !== "");

const amount = fc.bigInt({ min: 1n, max: 10n ** 30n });

const effectiveAt = fc
  .tuple(fc.date({ min: new Date("0001-01-02"), max: new Date("9999-12-30"), noInvalidDate: true }), fc.nat(999))
  .map(([date, micros]) => date.toISOString().replace("Z", `${String(micros).padStart(3, "0")}Z`));

const item: fc.Arbitrary<Omit<TransactionInput, "postings">> = fc.record(
  {
    description: text(60),
    idempotencyKey: fc.tuple(fc.uuid(), text(40)).map((parts) => parts.join("")),
    effectiveAt,
    metadata: fc.dictionary(text(20), fc.oneof(text(20), fc.jsonValue())).map(noNul),
  },
  { requiredKeys: [] },
);

function noNul(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value)
      .replaceAll("\\u0000", "")
      .replace(/\\ud[89a-f]../gi, ""),
  );
}

/** Exports a tenant as the command line does, and has it verified. */
async function exported(tenantId: number, name: string): Promise<string> {
  const { rows } = await owner.query("select slug from app_public.tenants where id = $1", [tenantId]);
  const file = join(folder, name);
  const parts: string[] = [];
  await db.withRollback("owner", (client) =>
    exportSealed(
      { client, tenantId, slug: rows[0].slug },
      { write: async (part) => void parts.push(part), close: async () => undefined },
    ),
  );
  writeFileSync(file, parts.join(""));
  return file;
}

test("whatever is posted", async () => {
  const tenantId = await openTenant(owner);
  const [cash = "", sales = ""] = await openAccounts(owner, tenantId, 2);
  let count = 0;
  const post = fc.asyncProperty(item, amount, async (more, size) => {
    await mustPost(owner, tenantId, { postings: transfer(cash, sales, size), ...more });
    count += 1;
  });
  await fc.assert(post, { numRuns: 300 });
  await sealAll(worker, 50);
  const { status, stdout } = verifySealed("ledger", await exported(tenantId, "random.jsonl"));
  expect({ status, stdout }).toEqual({
    status: 0,
    stdout: expect.stringContaining(
      `ledger: ${Math.ceil(count / 50)} blocks, ${count} sealed rows, 0 not sealed yet\n`,
    ),
  });
});

test("every kind of transaction", async () => {
  const tenantId = await openTenant(owner);
  const [cash = "", sales = ""] = await openAccounts(owner, tenantId, 2);
  const postings = transfer(cash, sales, 100);
  const pending = () => mustPost(owner, tenantId, { kind: "pending", postings, timeoutSeconds: 3600 });
  await mustPost(owner, tenantId, { kind: "post_pending", pendingId: await pending() });
  await mustPost(owner, tenantId, { kind: "void_pending", pendingId: await pending() });
  await pending();
  const reversesId = await mustPost(owner, tenantId, { postings: [...postings, ...postings] });
  await mustPost(owner, tenantId, { reversesId });
  await sealAll(worker);
  expect(verifySealed("ledger", await exported(tenantId, "kinds.jsonl"))).toMatchObject({ status: 0, found: [] });
});

test("trees of every size", async () => {
  const tenantId = await openTenant(owner);
  const [cash = "", sales = ""] = await openAccounts(owner, tenantId, 2);
  for (let size = 1; size <= 20; size += 1) {
    for (let n = 0; n < size; n += 1) await mustPost(owner, tenantId, { postings: transfer(cash, sales, 1) });
    await sealAll(worker);
  }
  const { status, stdout } = verifySealed("ledger", await exported(tenantId, "sizes.jsonl"));
  expect({ status, stdout }).toMatchObject({
    status: 0,
    stdout: expect.stringContaining("20 blocks, 210 sealed rows"),
  });
});
