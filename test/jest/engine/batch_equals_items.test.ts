import { expect, test } from "@jest/globals";
import fc from "fast-check";
import pg from "pg";
import { findViolations, postBatch, type TransactionInput, type TransactionResult } from "../../support/ledger.ts";
import { createTestDatabase } from "../../support/test_database.ts";
import { type Sketch, sketch, toItem } from "./items.ts";
import { available, decide, loadModel, type Model, type Outcome, payloadOf } from "./model.ts";
import { buildWorld, isClosed, type World } from "./world.ts";

/*
 * A batch answers as its items would one at a time, and as a small model of the engine says, and
 * leaves the same books. Each run starts from the same world, adds some transactions to it, and
 * rolls everything back. TALLYSTICK_SEED tries other runs than the ones that are always tried.
 */
const seed = Number(process.env["TALLYSTICK_SEED"] ?? 20_260);
const numRuns = Number(process.env["TALLYSTICK_RUNS"] ?? 250);

const db = await createTestDatabase();
let client: pg.Client;
let world: World;

interface Case {
  prefix: Sketch[];
  sketches: Sketch[];
  mayExpire: boolean;
}

const cases = fc.record<Case>({
  prefix: fc.array(sketch, { maxLength: 5 }),
  sketches: fc.array(sketch, { minLength: 1, maxLength: 12 }),
  mayExpire: fc.boolean(),
});

test("a batch equals its items one at a time, and the model", async () => {
  const seen = new Set<string>();
  const property = fc.asyncProperty(cases, async (given) => {
    await client.query("begin");
    try {
      for (const code of await compare(given)) seen.add(code);
    } finally {
      await client.query("rollback");
    }
  });
  await db.withClient("owner", async (connected) => {
    client = connected;
    world = await buildWorld(client);
    await fc.assert(property, { numRuns, seed });
  });
  // A property that never meets a refusal proves nothing about it.
  expect(codesToMeet.filter((code) => !seen.has(code))).toEqual([]);
}, 280_000);

const codesToMeet = [
  ...["LG102", "LG103", "LG104", "LG105", "LG106", "LG107", "LG108", "LG109", "LG110", "LG113"],
  ...["LG201", "LG202", "LG203", "LG204", "LG205", "LG206"],
  ...[
    "LG301",
    "LG302",
    "LG303",
    "LG304",
    "LG305",
    "LG306",
    "LG307",
    "LG308",
    "LG309",
    "LG310",
    "LG311",
    "LG312",
    "LG321",
  ],
  ...["LG501", "posted", "replayed"],
];

/** Runs one case in all three ways; tells the codes that it met. */
async function compare({ prefix, sketches, mayExpire }: Case): Promise<string[]> {
  const { tenantId } = world;
  const keys = new Map(world.keys);
  const before = await loadModel(client, tenantId, keys, isClosed);
  const first = prefix.map((s) => toItem(world, world.targetIds, before, s));
  if (first.length > 0) remember(keys, first, await postBatch(client, tenantId, first, { mayExpire }));

  const model = await loadModel(client, tenantId, keys, isClosed);
  const known = [...model.transactions.keys()];
  const made = known.filter((id) => !before.transactions.has(id));
  const items = sketches.map((s) => toItem(world, [...made, ...made, ...world.targetIds], model, s));

  await client.query("savepoint start");
  const together = await postBatch(client, tenantId, items, { mayExpire });
  const leftTogether = await booksAfter(together, known);
  expect(await findViolations(client, tenantId)).toEqual([]);
  await client.query("rollback to savepoint start");
  const single: TransactionResult[] = [];
  for (const item of items) single.push(...(await postBatch(client, tenantId, [item], { mayExpire })));
  const leftSingle = await booksAfter(single, known);
  const balancesSingle = await balancesOf(tenantId);
  expect(await findViolations(client, tenantId)).toEqual([]);

  expect(anonymous(together)).toEqual(anonymous(single));
  expect(leftTogether).toEqual(leftSingle);
  await client.query("rollback to savepoint start");
  await compareAtomic(items, single, mayExpire, known);
  const outcomes = items.map((item, i) => decide(model, item, `#${i}`, mayExpire));
  expect(anonymous(single).map(toOutcome)).toEqual(outcomes);
  expect(balancesSingle).toEqual(modelBalances(model));
  return single.map((result) => result.code ?? (result.isReplayed ? "replayed" : "posted"));
}

/** An atomic batch does all that its items do, or nothing but tell the first refusal that one of them meets. */
async function compareAtomic(
  items: TransactionInput[],
  single: TransactionResult[],
  mayExpire: boolean,
  known: string[],
): Promise<void> {
  const before = await booksAfter([], known);
  const refused = single.findIndex(({ code }) => code !== null);
  const { code, detail } = single[refused] ?? {};
  try {
    const results = await postBatch(client, world.tenantId, items, { mayExpire, mode: "atomic" });
    expect(refused).toBe(-1);
    expect(anonymous(results)).toEqual(anonymous(single));
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    expect({ refused: error.code }).toEqual({ refused: code });
    // The transaction of a conflict within the batch never came to be, so no id of it is told.
    const { transactionId, ...facts } = { ...detail };
    const told = known.includes(String(transactionId)) || code !== "LG501" ? detail : facts;
    expect(JSON.parse(error.detail ?? "")).toMatchObject({ ...told, ...(items.length > 1 ? { item: refused } : {}) });
    await client.query("rollback to savepoint start");
    expect(await booksAfter([], known)).toEqual(before);
  }
}

function remember(keys: Model["keys"], items: TransactionInput[], results: TransactionResult[]): void {
  for (const [i, { transactionId, isReplayed }] of results.entries()) {
    const item = items[i];
    if (item?.idempotencyKey !== undefined && transactionId !== null && !isReplayed)
      keys.set(item.idempotencyKey, { payload: payloadOf(item), id: transactionId });
  }
}

/** New transactions by the number of the item that made them. */
function numbers(results: TransactionResult[]): Map<string, string> {
  const byId = new Map<string, string>();
  for (const [i, { transactionId, isReplayed }] of results.entries())
    if (transactionId !== null && !isReplayed) byId.set(transactionId, `#${i}`);
  return byId;
}

/** Results with `#number` in place of new ids. */
function anonymous(results: TransactionResult[]): TransactionResult[] {
  const byId = numbers(results);
  return JSON.parse(JSON.stringify(results), (_, value) => byId.get(value) ?? value);
}

function toOutcome({ code, transactionId, isReplayed }: TransactionResult): Outcome {
  if (code !== null) return { code };
  return { id: transactionId ?? "", ...(isReplayed ? { isReplayed } : {}) };
}

/** All that a batch left, but for ids and times. */
async function booksAfter(results: TransactionResult[], known: string[]): Promise<unknown> {
  const byId = numbers(results);
  const { rows } = await client.query<{ books: unknown }>(booksQuery, [world.tenantId, known]);
  const books = JSON.parse(JSON.stringify(rows[0]?.books), (_, value) => byId.get(value) ?? value);
  // One statement may give several transactions one time, so only the numbers put them in order.
  books.transactions.sort((a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1));
  books.reservations.sort((a: object, b: object) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  return books;
}

const booksQuery = `
  select json_build_object(
    'transactions', coalesce((
      select json_agg(json_build_object(
        'id', t.id, 'kind', t.kind, 'pending', t.pending_id, 'reverses', t.reverses_id,
        'key', t.idempotency_key, 'fingerprint', t.fingerprint::text, 'description', t.description,
        'metadata', t.metadata, 'seconds', extract(epoch from t.expires_at - t.created_at),
        'effective', case when t.effective_at <> t.created_at then t.effective_at end
      ))
      from app_public.transactions t where t.tenant_id = $1 and t.id <> all ($2)
    ), '[]'),
    'postings', coalesce((
      select json_agg(json_build_array(
        p.account_id, p.version, p.transaction_id, p.ordinal, p.direction, p.currency,
        p.posted_amount::text, p.pending_amount::text, p.posted_debits::text, p.posted_credits::text,
        p.pending_debits::text, p.pending_credits::text
      ) order by p.account_id, p.version)
      from app_public.postings p where p.tenant_id = $1 and p.transaction_id <> all ($2)
    ), '[]'),
    'balances', (
      select json_agg(json_build_array(
        b.account_id, b.version, b.posted_debits::text, b.posted_credits::text, b.pending_debits::text,
        b.pending_credits::text, b.expired_debits::text, b.expired_credits::text
      ) order by b.account_id)
      from app_public.account_balances b where b.tenant_id = $1
    ),
    'reservations', coalesce((
      select json_agg(json_build_array(r.account_id, r.transaction_id, r.debits::text, r.credits::text))
      from app_private.open_reservations r where r.tenant_id = $1
    ), '[]')
  ) as books`;

/** The balances at this instant, as the tables tell them. */
async function balancesOf(tenantId: number): Promise<unknown> {
  const model = await loadModel(client, tenantId, new Map(), isClosed);
  return modelBalances(model);
}

function modelBalances(model: Model): unknown {
  return [...model.accounts]
    .map(([id, account]) => ({
      id,
      version: String(account.version),
      posted: Object.values(account.posted).map(String),
      pending: Object.values(account.pending).map(String),
      available: String(available(account)),
    }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}
