import { randomUUID } from "node:crypto";
import { beforeAll, describe, expect, test } from "@jest/globals";
import { findViolations } from "../../support/ledger.ts";
import { type Answer, bootApi, transfer } from "./_api.ts";

/* Requests that arrive together are one batch in the database, and each is answered as if it had come alone. */
const api = await bootApi({ TALLYSTICK_API_POOL_SIZE: "2" });
const small = await bootApi({ TALLYSTICK_POSTING_QUEUE: "1", TALLYSTICK_API_POOL_SIZE: "4" });
const { cash, sales, tenant } = api.books;
const owner = api.db.pool("owner");
const post = /* GraphQL */ `
  mutation ($transaction: TransactionInput!, $mine: String) {
    postTransaction(input: { transaction: $transaction, clientMutationId: $mine }) {
      clientMutationId
      result {
        transactionId isReplayed refusal { code } transaction { id createdBy }
        balances { accountId available availableFormatted postedFormatted pendingFormatted account { code } }
      }
    }
  }
`;
const people = Array.from({ length: 12 }, (_value, n) => `00000000-0000-7000-8000-0000000000${10 + n}`);

beforeAll(async () => {
  // Each has a session before the requests go out at once.
  for (const user of people) await api.get("{ currentTenant { slug } }", {}, { role: "teller", user });
});

async function xids(ids: string[]): Promise<number> {
  const { rows } = await owner.query<{ count: number }>(
    "select count(distinct xact_id)::integer as count from app_public.transactions where id = any ($1)",
    [ids],
  );
  return rows[0]?.count ?? 0;
}

const codeOf = ({ errors }: Answer): string | undefined => errors[0]?.extensions.code;

describe("requests that arrive together", () => {
  test("are posted by a few database transactions, each in the name of who asked", async () => {
    const answers = await Promise.all(
      people.map((user, n) =>
        api.get(post, { ...transfer(cash, sales, "100"), mine: `${n}` }, { role: "teller", user }),
      ),
    );
    const results = answers.map((data) => data.postTransaction);
    expect(results.map(({ clientMutationId }) => clientMutationId)).toEqual(people.map((_user, n) => `${n}`));
    expect(results.map(({ result }) => result.transaction.createdBy)).toEqual(people);
    const ids = results.map(({ result }) => result.transactionId);
    expect(new Set(ids).size).toBe(people.length);
    expect(await xids(ids)).toBeLessThan(people.length);
  });

  test("each see the balance that they left, as decimals too", async () => {
    const answers = await Promise.all(
      people.map((user) => api.get(post, transfer(cash, sales, "1"), { role: "teller", user })),
    );
    const balances = answers.map((data) =>
      data.postTransaction.result.balances.find((one: { accountId: string }) => one.accountId === cash),
    );
    const left = balances.map(({ available }) => Number(available)).sort((one, other) => one - other);
    expect(left).toEqual(people.map((_user, n) => (left[0] ?? 0) + n));
    for (const { available, availableFormatted, postedFormatted, pendingFormatted, account } of balances) {
      const decimal = (Number(available) / 100).toFixed(2);
      expect({ availableFormatted, postedFormatted, pendingFormatted, account }).toEqual({
        availableFormatted: decimal,
        postedFormatted: decimal,
        pendingFormatted: decimal,
        account: { code: "cash" },
      });
    }
  });

  test("are refused one by one, each for its own reason", async () => {
    const [first = "", second = "", third = "", fourth = "", fifth = ""] = people;
    await owner.query(
      "update app_private.sessions set revoked_at = now(), revoked_because = 'logged_out' where user_id = $1",
      [third],
    );
    const key = { idempotencyKey: randomUUID() };
    const answers = await Promise.all([
      api.ask(post, transfer(cash, sales, "7"), { role: "teller", user: first }),
      api.ask(post, transfer(cash, randomUUID(), "7"), { role: "teller", user: second }),
      api.ask(post, transfer(cash, sales, "7"), { role: "teller", user: third }),
      api.ask(post, { transaction: { reversesId: randomUUID() } }, { role: "teller", user: fourth }),
      api.ask(post, transfer(cash, sales, "7", key), { role: "teller", user: fifth }),
      api.ask(post, transfer(cash, sales, "8", key), { role: "teller", user: fifth }),
      api.ask(post, transfer(cash, sales, "7"), { role: "auditor", user: first }),
      api.ask(post, transfer(cash, sales, "7"), { role: "customer", user: api.books.customer }),
      api.ask(post, transfer(cash, sales, "7"), { role: "anonymous" }),
      api.ask(post, transfer(cash, sales, "7"), { role: "teller", user: first, tenant: api.otherBooks.tenant }),
    ]);
    expect(answers.map(codeOf)).toEqual([
      undefined,
      "LG301",
      "LG401",
      "LG402",
      undefined,
      "LG501",
      "LG402",
      "LG402",
      "LG402",
      "LG301",
    ]);
    expect(answers[3]?.errors[0]?.extensions.detail).toEqual({ permission: "transactions.reverse" });
    expect(answers[5]?.errors[0]?.extensions.detail).toMatchObject({ field: "postings" });
  });

  test("take effect once under one key, and say which was the first", async () => {
    const key = { idempotencyKey: randomUUID() };
    const answers = await Promise.all(
      people
        .filter((_user, n) => n !== 2)
        .map((user) => api.get(post, transfer(cash, sales, "3", key), { role: "teller", user })),
    );
    const results = answers.map((data) => data.postTransaction.result);
    expect(new Set(results.map(({ transactionId }) => transactionId)).size).toBe(1);
    expect(results.filter(({ isReplayed }) => !isReplayed)).toHaveLength(1);
  });

  test("keep the books proven", async () => {
    expect(await findViolations(owner, tenant)).toEqual([]);
  });
});

test("a second factor is asked of each by itself", async () => {
  await owner.query(
    `insert into app_public.transaction_thresholds (tenant_id, currency, second_factor_amount)
     values ($1, 'USD', 1000)`,
    [tenant],
  );
  const [one = "", other = "", , third = ""] = people;
  await owner.query("update app_private.sessions set second_factor_at = now() where user_id = $1 and tenant_id = $2", [
    other,
    tenant,
  ]);
  await owner.query("update app_private.sessions set second_factor_at = null where user_id = any ($1)", [[one, third]]);
  const answers = await Promise.all(
    [one, other, third, other, one].map((user) =>
      api.ask(post, transfer(cash, sales, "1000"), { role: "teller", user }),
    ),
  );
  expect(answers.map(codeOf)).toEqual(["LG406", undefined, "LG406", undefined, "LG406"]);
});

test("what finds too many waiting is turned away, and told when to come again", async () => {
  const { cash: from, sales: to } = small.books;
  const holder = await small.db.pool("owner").connect();
  await small.get(post, transfer(from, to, "1"));
  await holder.query("begin");
  await holder.query("select from app_public.account_balances for update");
  const waiting = [small.ask(post, transfer(from, to, "1")), small.ask(post, transfer(from, to, "1"))];
  let refused: Answer | undefined;
  for (let n = 0; n < 200 && refused === undefined; n += 1) {
    const answer = await Promise.race([
      small.ask(post, transfer(from, to, "1", { idempotencyKey: "again" })),
      new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 50)),
    ]);
    if (answer?.status === 503) refused = answer;
  }
  expect(refused?.headers.get("retry-after")).toBe("1");
  expect(refused?.errors[0]?.extensions).toMatchObject({ code: "LG363", isRetryable: true });
  // Reading goes on.
  expect((await small.get("{ currentTenant { slug } }")).currentTenant.slug).toBe("acme");
  await holder.query("rollback");
  holder.release();
  expect((await Promise.all(waiting)).map(({ errors }) => errors)).toEqual([[], []]);
});
