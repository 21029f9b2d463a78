import { expect, test } from "@jest/globals";
import { workerPool } from "../../support/jobs.ts";
import { findViolations } from "../../support/ledger.ts";
import {
  balancesOf,
  breaksOf,
  csvOf,
  importFile,
  type Line,
  lineOf,
  makePayment,
  makeReconciledBooks,
  matchAll,
} from "../../support/reconciliation.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/*
 * Payments at random, and statements that tell them with differences at random: exactly those are found,
 * whatever was imported first, and the balances are what they should be.
 */
const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = workerPool(db);

/** Numbers that are the same for the same seed (mulberry32). */
function makeRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const fates = ["fine", "fine", "fine", "fine", "missing", "wrong amount", "twice", "in two", "returned"] as const;
const seeds = [1, 2, 3, 4];

test.each(seeds)("seed %i", async (seed) => {
  const random = makeRandom(seed);
  const books = await makeReconciledBooks(owner);
  const expected: string[] = [];
  const lines: Line[] = [];
  let opened = 0;
  for (let n = 0; n < 25; n += 1) {
    // Every amount is another, so that none is proposed for another's sake.
    const amount = 1000 + n * 37 + random(10);
    const kind = random(2) === 0 ? "pay_in" : "pay_out";
    const status = random(2) === 0 ? "settled" : "submitted";
    const payment = await makePayment(owner, books, { amount, kind, status, daysAgo: 5 });
    const line = lineOf(payment);
    switch (fates[random(fates.length)]) {
      case "missing":
        expected.push(`entry_missing ${amount}`);
        break;
      case "wrong amount":
        lines.push({ ...line, amount: line.amount + Math.sign(line.amount) * 3 });
        expected.push(`amount_differs ${amount + 3}`);
        break;
      case "twice":
        lines.push(line, { ...line });
        expected.push(`duplicate ${amount}`);
        break;
      case "in two":
        lines.push({ ...line, amount: line.amount - Math.sign(line.amount) * 400 });
        lines.push({ ...line, amount: Math.sign(line.amount) * 400 });
        break;
      case "returned":
        lines.push(line, { ...line, amount: -line.amount, returnReason: "MD06" });
        break;
      default:
        lines.push(line);
    }
    if (random(6) === 0) {
      const extra = 50_000 + n * 11;
      lines.push({ amount: random(2) === 0 ? extra : -extra, reference: `nobody knows ${n}` });
      expected.push(`payment_missing ${extra}`);
    }
  }
  // In a random order, over several statements, the job running in between or not.
  for (let i = lines.length - 1; i > 0; i -= 1) {
    const j = random(i + 1);
    [lines[i], lines[j]] = [lines[j] as Line, lines[i] as Line];
  }
  while (lines.length > 0) {
    const part = lines.splice(0, 1 + random(12));
    await importFile(worker, books, csvOf(part, opened));
    opened += part.reduce((sum, { amount }) => sum + amount, 0);
    if (random(3) > 0) await matchAll(worker, books);
  }
  await matchAll(worker, books);

  const found = (await breaksOf(owner, books, 2)).map(({ kind, amount }) => `${kind} ${amount}`);
  expect(found.sort()).toEqual(expected.sort());
  expect((await balancesOf(owner, books)).statement).toBe(opened);
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
});
