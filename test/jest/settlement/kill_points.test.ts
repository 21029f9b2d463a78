import { beforeAll, describe, expect, test } from "@jest/globals";
import type { PaymentId } from "../../../src/payments/settle.ts";
import { type FakeProvider, fakeProvider } from "../../support/fake_payment_provider.ts";
import { workerPool } from "../../support/jobs.ts";
import { findViolations } from "../../support/ledger.ts";
import {
  addPayment,
  hurry,
  makeSettlementBooks,
  type SettlementBooks,
  standing,
  step,
} from "../../support/settlement.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/* A worker that dies at any line of a step, and one that comes back from the dead. */
const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = workerPool(db);
let books: SettlementBooks;

beforeAll(async () => {
  books = await makeSettlementBooks(owner);
});

class Killed extends Error {}
type Query = (text: string, values: unknown[]) => Promise<{ rows: unknown[] }>;

/** A connection that breaks at the nth query: before it, or after it was committed and before it is known. */
function killedAt(n: number, when: "after" | "before"): Query {
  let count = 0;
  return async (text, values) => {
    count += 1;
    if (count === n && when === "before") throw new Killed();
    const result = await worker.query(text, values);
    if (count === n) throw new Killed();
    return result;
  };
}

/** Goes on with a payment, every step by another worker, until it is settled. */
async function finish(provider: FakeProvider, id: PaymentId, jobId: string): Promise<void> {
  for (let i = 0; i < 10 && !(await standing(owner, id)).startsWith("settled"); i += 1) {
    await step(worker, provider, id, { jobId });
    await hurry(owner, worker);
  }
}

/** Every line of a step between which a process can die: queries and the call, before and after each. */
const points: Array<[string, (provider: FakeProvider) => { query?: Query }]> = [
  ["before the first recovery point", () => ({ query: killedAt(1, "before") })],
  ["after the first recovery point", () => ({ query: killedAt(1, "after") })],
  [
    "before the call arrives",
    (provider) => {
      provider.before = () => Promise.reject(new Killed());
      return {};
    },
  ],
  [
    "after the payment was taken, before the answer arrives",
    (provider) => {
      provider.after = () => Promise.reject(new Killed());
      return {};
    },
  ],
  ["before the second recovery point", () => ({ query: killedAt(2, "before") })],
  ["after the second recovery point", () => ({ query: killedAt(2, "after") })],
];

async function expectPaidOnce(provider: FakeProvider, id: PaymentId): Promise<void> {
  expect(await standing(owner, id)).toMatch(/^settled: (bank abandoned, )*bank settled$/);
  expect([...provider.books.keys()]).toEqual([id.paymentId]);
  expect(await findViolations(owner, books.tenantId)).toEqual([]);
}

describe("killed while it submits", () => {
  test.each(points)("%s: the next worker finishes, and it is paid once", async (_name, kill) => {
    const provider = fakeProvider();
    const id = await addPayment(owner, books);
    await expect(step(worker, provider, id, kill(provider))).rejects.toThrow(Killed);
    provider.before = provider.after = () => Promise.resolve();
    await finish(provider, id, "1");
    await expectPaidOnce(provider, id);
  });
});

describe("killed while it asks", () => {
  test.each(points)("%s: the next worker finishes, and it is paid once", async (_name, kill) => {
    const provider = fakeProvider();
    provider.faults = ["taken"];
    const id = await addPayment(owner, books);
    await step(worker, provider, id);
    expect(await standing(owner, id)).toBe("submitted: bank unknown");
    await hurry(owner, worker);
    await expect(step(worker, provider, id, kill(provider))).rejects.toThrow(Killed);
    provider.before = provider.after = () => Promise.resolve();
    await hurry(owner, worker);
    await finish(provider, id, "1");
    await expectPaidOnce(provider, id);
    expect(provider.calls.filter((call) => call === "submit")).toHaveLength(1);
  });
});

/** A call that waits until it is told to go on, and tells when it has begun. */
function hold(provider: FakeProvider, where: "after" | "before"): { begun: Promise<void>; release: () => void } {
  const begun = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  provider[where] = async () => {
    provider[where] = () => Promise.resolve();
    begun.resolve();
    await held.promise;
  };
  return { begun: begun.promise, release: held.resolve };
}

async function late(id: PaymentId): Promise<unknown[]> {
  const { rows } = await owner.query<{ number: number; late_answer: string | null }>(
    "select number, late_answer from app_public.payment_attempts where payment_id = $1 order by number",
    [id.paymentId],
  );
  return rows.map(({ number, late_answer }) => [number, late_answer]);
}

describe("a worker that was taken for dead, and was only slow", () => {
  test("brings an answer that changes nothing, and is noted", async () => {
    const provider = fakeProvider();
    const id = await addPayment(owner, books);
    const { begun, release } = hold(provider, "after");
    const slow = step(worker, provider, id);
    await begun;
    provider.answer = () => ({ state: "failed" });
    await step(worker, provider, id);
    expect(await standing(owner, id)).toBe("settled: bank settled");
    (provider.books.get(id.paymentId) as { state: string }).state = "failed";
    release();
    await slow;
    expect(await standing(owner, id)).toBe("settled: bank settled");
    expect(await late(id)).toEqual([[1, "failed"]]);
  });

  test("whose call arrives after the provider was asked: both submissions are one payment", async () => {
    const provider = fakeProvider();
    const id = await addPayment(owner, books);
    const { begun, release } = hold(provider, "before");
    const slow = step(worker, provider, id);
    await begun;
    await step(worker, provider, id);
    expect(await standing(owner, id)).toBe("submitted: bank abandoned");
    await hurry(owner, worker);
    release();
    await slow;
    expect(await standing(owner, id)).toBe("submitted: bank abandoned");
    expect(await late(id)).toEqual([[1, "settled"]]);
    await step(worker, provider, id);
    await expectPaidOnce(provider, id);
    expect(provider.calls).toEqual(["submit", "status", "submit"]);
  });

  test("another job of the same payment leaves a call alone that is out, for half a minute", async () => {
    const provider = fakeProvider();
    const id = await addPayment(owner, books);
    const { begun, release } = hold(provider, "after");
    const slow = step(worker, provider, id, { jobId: "1" });
    await begun;
    await step(worker, provider, id, { jobId: "2" });
    expect(provider.calls).toEqual(["submit"]);
    await owner.query("update app_public.payment_attempts set called_at = called_at - interval '31 seconds'");
    await step(worker, provider, id, { jobId: "2" });
    expect(provider.calls).toEqual(["submit", "status"]);
    release();
    await slow;
    await expectPaidOnce(provider, id);
  });

  test("many that go on with one payment at once make one payment of it", async () => {
    const provider = fakeProvider();
    const id = await addPayment(owner, books);
    await Promise.all(Array.from({ length: 12 }, (_, i) => step(worker, provider, id, { jobId: String(i % 3) })));
    await hurry(owner, worker);
    await finish(provider, id, "0");
    await expectPaidOnce(provider, id);
  });
});
