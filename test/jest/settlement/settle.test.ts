import { beforeEach, describe, expect, test } from "@jest/globals";
import type { PaymentId } from "../../../src/payments/settle.ts";
import { type FakeProvider, type Fault, fakeProvider } from "../../support/fake_payment_provider.ts";
import { queuedJobs, runDueJobs, taskConfig, workerPool } from "../../support/jobs.ts";
import { findViolations } from "../../support/ledger.ts";
import {
  addPayment,
  deadLetters,
  hurry,
  makeSettlementBooks,
  type PaymentOptions,
  type SettlementBooks,
  standing,
} from "../../support/settlement.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/* The job that settles payments, with providers that fail in every way they can. */
const db = await createTestDatabase();
const owner = db.pool("owner");
const worker = workerPool(db);
let books: SettlementBooks;
let providers: Record<string, FakeProvider>;

beforeEach(async () => {
  await worker.query("select graphile_worker.complete_jobs(array_agg(id)) from graphile_worker.jobs");
  books = await makeSettlementBooks(owner, ["bank", "other"]);
  providers = { bank: fakeProvider("bank"), other: fakeProvider("other") };
});

const bank = (): FakeProvider => providers["bank"] as FakeProvider;
const other = (): FakeProvider => providers["other"] as FakeProvider;

/** Runs what is due, in rounds: each makes all that waits due first. */
async function run(rounds = 1): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    if (round > 0) await hurry(owner, worker);
    await runDueJobs(worker, taskConfig(), ({ code }) => {
      const provider = providers[code];
      return provider ? Promise.resolve(provider) : Promise.reject(new Error(`no ${code}`));
    });
  }
}

async function settle(faults: Fault[], rounds: number, options: PaymentOptions = {}): Promise<PaymentId> {
  bank().faults = [...faults];
  const id = await addPayment(owner, books, options);
  await run(rounds);
  return id;
}

const wait = async (): Promise<number> => {
  const { rows } = await owner.query<{ wait: number }>(
    `select extract(epoch from next_at - answered_at)::float as wait from app_public.payment_attempts
     where tenant_id = $1 order by number desc`,
    [books.tenantId],
  );
  return rows[0]?.wait ?? Number.NaN;
};

async function setSettings(settings: Record<string, number>): Promise<void> {
  const names = Object.keys(settings);
  await owner.query(
    `insert into app_public.settlement_settings (tenant_id, provider_code, ${names.join(", ")})
     values ($1, 'bank', ${names.map((_, i) => `$${i + 2}`).join(", ")})`,
    [books.tenantId, ...Object.values(settings)],
  );
}

async function addRule(fallback: string | null): Promise<void> {
  await owner.query(
    `insert into app_public.routing_rules (tenant_id, priority, provider_code, fallback_provider_code)
     values ($1, 1, 'bank', $2)`,
    [books.tenantId, fallback],
  );
}

describe("a provider that answers", () => {
  test("is handed a payment once, which settles", async () => {
    const id = await settle([], 1, { amount: 250 });
    expect(await standing(owner, id)).toBe("settled: bank settled");
    expect(bank().requests).toEqual([
      { reference: id.paymentId, kind: "pay_out", amount: "250", currency: "USD", exponent: 2 },
    ]);
    expect(await queuedJobs(worker)).toEqual([]);
    expect(await findViolations(owner, books.tenantId)).toEqual([]);
  });

  test("is asked again, ever later, as long as it has not settled", async () => {
    bank().answer = () => ({ state: "submitted" });
    const id = await settle([], 1);
    expect(await standing(owner, id)).toBe("submitted: bank accepted");
    const waits = [await wait()];
    for (let i = 0; i < 3; i += 1) {
      await hurry(owner, worker);
      await run();
      waits.push(await wait());
    }
    for (const [i, seconds] of waits.entries()) {
      expect(seconds).toBeGreaterThanOrEqual(2.5 * 2 ** i);
      expect(seconds).toBeLessThan(5 * 2 ** i + 1);
    }
    (bank().books.get(id.paymentId) as { state: string }).state = "settled";
    await run(2);
    expect(await standing(owner, id)).toBe("settled: bank settled");
    expect(bank().calls).toEqual(["submit", "status", "status", "status", "status"]);
  });

  test.each(["failed", "cancelled"] as const)("lets it end as %s, with its money free again", async (state) => {
    bank().answer = () => ({ state, errorCode: "account_closed", message: "The account was closed." });
    const id = await settle([], 1);
    expect(await standing(owner, id)).toBe(`${state}: bank failed`);
    const { rows } = await owner.query(
      "select pending_debits::text from app_public.account_balances where account_id = $1",
      [books.account],
    );
    expect(rows).toEqual([{ pending_debits: "0" }]);
  });
});

describe("an outcome that is unknown", () => {
  test("is asked about, not tried again: what was taken settles without a second call", async () => {
    const id = await settle(["taken"], 2);
    expect(await standing(owner, id)).toBe("settled: bank settled");
    expect(bank().calls).toEqual(["submit", "status"]);
  });

  test("is tried again under the same reference where the provider has never heard of it", async () => {
    const id = await settle(["lost"], 3);
    expect(await standing(owner, id)).toBe("settled: bank abandoned, bank settled");
    expect(bank().calls).toEqual(["submit", "status", "submit"]);
    expect(new Set(bank().requests.map((request) => request.reference))).toEqual(new Set([id.paymentId]));
  });

  test("never leads to another provider, whatever a rule or a policy says", async () => {
    await addRule("other");
    await owner.query(
      `insert into app_public.payment_error_policies (tenant_id, provider_code, error_code, action)
       values ($1, 'bank', 'unknown', 'retry'), ($1, 'bank', 'time*', 'fail')`,
      [books.tenantId],
    );
    await setSettings({ max_asks: 3 });
    bank().outage = { outcome: "unknown", code: "timeout" };
    const id = await settle([], 6);
    expect(await standing(owner, id)).toBe("submitted: bank unknown");
    expect(await deadLetters(owner, books.tenantId)).toEqual(["payment no_answer"]);
    expect(bank().calls).toEqual(["submit", "status", "status", "status"]);
    expect(other().calls).toEqual([]);
    expect(await queuedJobs(worker)).toEqual([]);
  });

  test("keeps the payment with its provider, even once that never heard of it and is not to be reached", async () => {
    await addRule("other");
    const id = await settle(["lost"], 2);
    bank().outage = "unavailable";
    await run(3);
    expect(await standing(owner, id)).toMatch(/^submitted: bank abandoned(, bank failed)+$/);
    expect(other().calls).toEqual([]);
  });

  test("of a payment that was taken and is now unheard of is left to people", async () => {
    bank().answer = () => ({ state: "submitted" });
    const id = await settle([], 1);
    bank().books.clear();
    await run(2);
    expect(await deadLetters(owner, books.tenantId)).toEqual(["payment forgotten"]);
    expect(await standing(owner, id)).toBe("submitted: bank accepted");
  });
});

describe("a call that was surely not taken", () => {
  test("is tried again, ever later", async () => {
    const id = await settle(["unavailable"], 1);
    expect(await standing(owner, id)).toBe("submitted: bank failed");
    expect(await wait()).toBeGreaterThanOrEqual(1);
    expect(await wait()).toBeLessThan(2.5);
    await run(2);
    expect(await standing(owner, id)).toBe("settled: bank failed, bank settled");
  });

  test("goes to the other provider that a rule names, with its clearing account", async () => {
    await addRule("other");
    const id = await settle(["unavailable"], 1, { provider: null });
    expect(await standing(owner, id)).toBe("settled: bank failed, other settled");
    const { rows } = await owner.query(
      `select account_id, posted_credits::text from app_public.account_balances
       where account_id = any ($1) and posted_credits > 0`,
      [Object.values(books.clearing)],
    );
    expect(rows).toEqual([{ account_id: books.clearing["other"], posted_credits: "100" }]);
    expect(await findViolations(owner, books.tenantId)).toEqual([]);
  });

  test("is left to people once the attempts are used up, and rerun from there", async () => {
    await setSettings({ max_attempts: 2, failure_threshold: 100 });
    const id = await settle(["unavailable", "unavailable"], 4);
    expect(await deadLetters(owner, books.tenantId)).toEqual(["payment attempts_used_up"]);
    expect(await standing(owner, id)).toBe("submitted: bank failed, bank failed");
    expect(await queuedJobs(worker)).toEqual([]);
  });

  test("fails when its time has passed before anybody took it", async () => {
    const id = await settle(["unavailable"], 1, { expiresAt: new Date(Date.now() + 1500).toISOString() });
    await new Promise((resolve) => setTimeout(resolve, 1600));
    await run(2);
    expect(await standing(owner, id)).toBe("failed: bank failed");
    expect(bank().calls).toEqual(["submit"]);
  });
});

describe("a refusal", () => {
  test("lets the payment fail, with the code of the provider", async () => {
    const id = await settle([{ outcome: "rejected", code: "no_such_account" }], 1);
    expect(await standing(owner, id)).toBe("failed: bank failed");
    const { rows } = await owner.query(
      "select error_code from app_public.payment_moves where payment_id = $1 order by number desc limit 1",
      [id.paymentId],
    );
    expect(rows).toEqual([{ error_code: "no_such_account" }]);
  });

  test("is tried again or asked about where a policy says so; the longest pattern goes before", async () => {
    await owner.query(
      `insert into app_public.payment_error_policies (tenant_id, provider_code, error_code, action)
       values ($1, 'bank', 'busy*', 'fail'), ($1, 'bank', 'busy_later*', 'retry'), ($1, 'bank', 'twice', 'ask')`,
      [books.tenantId],
    );
    const retried = await settle([{ outcome: "rejected", code: "busy_later_on" }], 2);
    expect(await standing(owner, retried)).toBe("settled: bank failed, bank settled");
    const failed = await settle([{ outcome: "unavailable", code: "busy" }], 1);
    expect(await standing(owner, failed)).toBe("failed: bank failed");
    const asked = await settle([{ outcome: "rejected", code: "twice" }], 1);
    expect(await standing(owner, asked)).toBe("submitted: bank unknown");
  });

  test("is what the default of its kind of provider says, unless the tenant says otherwise", async () => {
    const id = await settle([{ outcome: "rejected", code: "duplicate_reference" }], 1);
    expect(await standing(owner, id)).toBe("submitted: bank unknown");
  });
});

describe("a payment that is to be cancelled", () => {
  async function cancel({ tenantId, paymentId }: PaymentId, reason?: string): Promise<void> {
    await owner.query(
      `select app_private.request_cancellation(
         app_private.system_actor($1), app_private.lock_payment($1, $2), $3)`,
      [tenantId, paymentId, reason],
    );
  }

  async function reason({ tenantId, paymentId }: PaymentId): Promise<string | undefined> {
    const { rows } = await owner.query<{ reason: string }>(
      `select reason from app_public.payment_moves
       where tenant_id = $1 and payment_id = $2 and to_status = 'cancelled'`,
      [tenantId, paymentId],
    );
    return rows[0]?.reason;
  }

  test("is cancelled by its provider, if it still can be", async () => {
    bank().answer = () => ({ state: "submitted" });
    const id = await settle([], 1);
    await cancel(id);
    await run();
    expect(bank().calls).toEqual(["submit", "cancel"]);
    expect(await standing(owner, id)).toBe("cancelled: bank failed");
  });

  test.each([
    ["its provider cancels it", []],
    ["its provider has never heard of it", ["lost"]],
    ["no provider has it", ["unavailable"]],
  ] as const)("keeps the reason that was given where %s", async (_case, faults) => {
    bank().answer = () => ({ state: "submitted" });
    const id = await settle([...faults], 1);
    await cancel(id, "Asked for twice.");
    await run(3);
    expect(await standing(owner, id)).toMatch(/^cancelled: /);
    expect(await reason(id)).toBe("Asked for twice.");
  });

  test("is cancelled by its provider though it had been left to people", async () => {
    await setSettings({ max_asks: 2 });
    bank().outage = { outcome: "unknown", code: "timeout" };
    const id = await settle([], 5);
    expect(await deadLetters(owner, books.tenantId)).toEqual(["payment no_answer"]);
    bank().outage = undefined;
    bank().calls.length = 0;
    await cancel(id, "Nobody knows.");
    await run(3);
    expect(bank().calls[0]).toBe("cancel");
    expect(await standing(owner, id)).toMatch(/^cancelled: /);
    expect(await reason(id)).toBe("Nobody knows.");
    expect(await findViolations(owner, books.tenantId)).toEqual([]);
  });

  test("is left to people again if its provider goes on saying nothing", async () => {
    await setSettings({ max_asks: 2 });
    bank().outage = { outcome: "unknown", code: "timeout" };
    const id = await settle([], 5);
    await cancel(id);
    await run(5);
    expect(bank().calls).toEqual(["submit", "status", "status", "cancel", "status"]);
    expect(await standing(owner, id)).toBe("submitted: bank unknown");
    expect(await deadLetters(owner, books.tenantId)).toEqual(["payment no_answer"]);
    expect(await queuedJobs(worker)).toEqual([]);
    const { rows } = await owner.query("select app_private.is_parked($1, $2) as parked", [
      books.tenantId,
      id.paymentId,
    ]);
    expect(rows).toEqual([{ parked: true }]);
    expect(await findViolations(owner, books.tenantId)).toEqual([]);
  });

  test("settles if its provider has settled it by then", async () => {
    const id = await settle(["taken"], 1);
    await cancel(id);
    await run();
    expect(bank().calls).toEqual(["submit", "cancel"]);
    expect(await standing(owner, id)).toBe("settled: bank settled");
  });

  test("is not handed over again where its provider has never heard of it", async () => {
    const id = await settle(["lost"], 1);
    await cancel(id);
    await run(2);
    expect(bank().calls).toEqual(["submit", "cancel", "status"]);
    expect(await standing(owner, id)).toBe("cancelled: bank abandoned");
  });

  test("is cancelled at once where no provider has it", async () => {
    const id = await settle(["unavailable"], 1);
    await cancel(id);
    expect(await standing(owner, id)).toBe("cancelled: bank failed");
    await run(2);
    expect(bank().calls).toEqual(["submit"]);
  });
});

describe("books that are suspended", () => {
  test("begin nothing new, and finish what was begun", async () => {
    const begun = await settle(["taken"], 1);
    await owner.query("update app_public.tenants set status = 'suspended' where id = $1", [books.tenantId]);
    const waiting = await addPayment(owner, books);
    await run(2);
    expect(await standing(owner, waiting)).toBe("reserved");
    expect(await standing(owner, begun)).toBe("settled: bank settled");
    await owner.query("update app_public.tenants set status = 'active' where id = $1", [books.tenantId]);
    await run(2);
    expect(await standing(owner, waiting)).toBe("settled: bank settled");
  });
});

describe("a payment for later", () => {
  test("waits for its time, is reserved then, and settles", async () => {
    const id = await settle([], 1, { executeAt: new Date(Date.now() + 1000).toISOString() });
    expect(await standing(owner, id)).toBe("requested");
    expect(bank().calls).toEqual([]);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await run();
    expect(await standing(owner, id)).toBe("settled: bank settled");
  });
});

describe("a mistake of ours or in a provider", () => {
  test("ends as a dead letter when the attempts of its job are used up, and parks the payment", async () => {
    bank().outage = "broken";
    const id = await addPayment(owner, books);
    await worker.query("update graphile_worker._private_jobs set max_attempts = 2");
    await run(2);
    expect(await standing(owner, id)).toBe("submitted: bank unknown");
    await worker.query("select app_jobs.bury_jobs()");
    expect(await deadLetters(owner, books.tenantId)).toEqual(["payment job_failed"]);
    expect(await queuedJobs(worker)).toEqual([]);
    await worker.query("select app_private.readd_lost_payment_jobs()");
    const keys = (await queuedJobs(worker)).map(({ key }) => key);
    expect(keys).not.toContain(`payment:${id.tenantId}:${id.paymentId}`);
  });
});

describe("a payment that lost its job", () => {
  test("is a violation of the books until the job of the worker gives it another", async () => {
    const id = await addPayment(owner, books);
    await worker.query("select graphile_worker.complete_jobs(array_agg(id)) from graphile_worker.jobs");
    const lost = async (): Promise<unknown[]> =>
      (await owner.query("select payment_id from checks.payments_without_a_job where tenant_id = $1", [id.tenantId]))
        .rows;
    expect(await lost()).toEqual([{ payment_id: id.paymentId }]);
    await worker.query("select app_private.readd_lost_payment_jobs()");
    expect(await lost()).toEqual([]);
    await run();
    expect(await standing(owner, id)).toBe("settled: bank settled");
  });
});
