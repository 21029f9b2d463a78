import { describe, expect, test } from "@jest/globals";
import { demoPeople, demoTenant } from "../../../src/demo/people.ts";
import { seedTestDemo } from "../../support/demo.ts";
import { readExamples } from "../../support/examples.ts";
import { type Answer, bootApi } from "../api/_api.ts";

/**
 * Runs the examples of README.md in order, as its reader does: on the books that `npm start` makes, with the
 * token of the accountant, and in the variables what earlier examples came back with.
 */
const api = await bootApi();
await seedTestDemo(api.db);
const tenant = await api.db.withClient("owner", async (client) => {
  const { rows } = await client.query<{ id: number }>("select id from app_public.tenants where slug = $1", [
    demoTenant,
  ]);
  return Number(rows[0]?.id);
});

// The payment has a test of its own, with a worker and a provider: payment_tour.test.ts.
const tour = ["Watch", "PayIn", "Paid", "Circuit"];
const nameOf = (query: string): string => /\w+ (\w+)/.exec(query)?.[1] ?? "";
const examples = readExamples("README.md").filter(({ query }) => !tour.includes(nameOf(query)));
const known = new Map<string, string>();
const answers = new Map<string, Answer["data"]>();

/** The variables that a query declares, each with what is known under its name. */
function variablesOf(query: string): Record<string, string> {
  const names = [...query.matchAll(/\$(\w+):/g)].map((match) => match[1] ?? "");
  return Object.fromEntries(
    names.map((name) => {
      const value = name === "then" ? new Date().toISOString() : known.get(name);
      if (value === undefined) throw new Error(`No example before this one has made $${name}.`);
      return [name, value];
    }),
  );
}

describe("the example", () => {
  const named = examples.map((example) => [nameOf(example.query), example] as const);

  test.each(named)("%s runs", async (name, { query }) => {
    const caller = { tenant, role: "accountant", user: demoPeople.accountant.userId } as const;
    const { data, errors } = await api.ask(query, variablesOf(query), caller);
    expect(errors).toEqual([]);
    answers.set(name, data);
    for (const alias of ["cash", "wallet"]) {
      if (data[alias]?.account?.id !== undefined) known.set(alias, data[alias].account.id);
    }
    if (name === "Reserve") known.set("pending", data.postTransaction.result.transaction.id);
  });
});

describe("what the examples are for is what they show", () => {
  const walletAfter = (balances: { accountId: string; posted: string; available: string }[]): object | undefined =>
    balances.find(({ accountId }) => accountId === known.get("wallet"));

  test("all of them are here", () => {
    expect([...answers.keys()]).toEqual(["OpenAccounts", "TopUp", "Reserve", "PostPart", "History", "Prove"]);
  });

  test("the top-up is available at once", () => {
    const { result } = answers.get("TopUp").postTransaction;
    expect(result.isReplayed).toBe(false);
    expect(walletAfter(result.balances)).toMatchObject({ posted: "2500", available: "2500" });
  });

  test("what is reserved is posted still, and available no longer", () => {
    const { result } = answers.get("Reserve").postTransaction;
    expect(walletAfter(result.balances)).toMatchObject({ posted: "2500", available: "1500" });
  });

  test("posting a part releases the rest", () => {
    const { result } = answers.get("PostPart").postPendingTransaction;
    expect(walletAfter(result.balances)).toMatchObject({ posted: "2100", available: "2100" });
  });

  test("the history has the balance of then and of now", () => {
    const { account } = answers.get("History");
    expect(account).toMatchObject({
      code: "wallets:you",
      balance: { posted: "2100", pending: "2100", available: "2100" },
      earlier: { posted: "2100" },
    });
    expect(account.postings.nodes).toHaveLength(3);
  });

  test("the ledger proves itself, rule by rule", () => {
    const { verifyLedger } = answers.get("Prove");
    expect(verifyLedger.length).toBeGreaterThan(15);
    expect(verifyLedger.filter((check: { violations: string }) => check.violations !== "0")).toEqual([]);
  });
});
