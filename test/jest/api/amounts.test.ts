import { describe, expect, test } from "@jest/globals";
import { bootApi, postMutation, transfer } from "./_api.ts";

const api = await bootApi();
const { cash, sales } = api.books;
const most = "9".repeat(37);

describe("an amount is taken exactly", () => {
  const good: [string, unknown, string][] = [
    ["a string of digits", "1234", "1234"],
    ["more digits than a double holds", "9007199254740993", "9007199254740993"],
    ["10 ETH in wei", "10000000000000000000", "10000000000000000000"],
    ["37 nines", most, most],
    ["a safe JSON number", 42, "42"],
    ["the greatest safe JSON number", 9007199254740991, "9007199254740991"],
  ];
  test.each(good)("%s", async (_name, amount, stored) => {
    const data = await api.get(postMutation, transfer(cash, sales, amount));
    expect(data.postTransaction.result.transaction.postings.nodes[0].amount).toBe(stored);
    const id = data.postTransaction.result.transactionId;
    await api.get(
      "mutation ($id: UUID!) { reverseTransaction(input: { transactionId: $id }) { result { transactionId } } }",
      {
        id,
      },
    );
  });

  test("a literal in the document, however long", async () => {
    const data = await api.get(literal("12345678901234567890"));
    expect(data.postTransaction.result.balances[0].version).toMatch(/^\d+$/);
  });
});

const literal = (amount: string): string => `mutation { postTransaction(input: { transaction: { postings: [
  { accountId: "${cash}", direction: DEBIT, amount: ${amount} },
  { accountId: "${sales}", direction: CREDIT, amount: ${amount} }
] } }) { result { balances { version } } } }`;

describe("an amount is refused before any SQL", () => {
  const bad: [string, unknown][] = [
    ["a fraction", 1.5],
    ["a number that JSON rounds", 2 ** 53],
    ["a great number", 1e30],
    ["a decimal string", "12.34"],
    ["an exponent", "1e3"],
    ["blanks", " 7 "],
    ["hexadecimal", "0x10"],
    ["a plus sign", "+7"],
    ["a leading zero", "007"],
    ["grouped digits", "1,000"],
    ["an underscore", "1_000"],
    ["other digits", "１２"],
    ["nothing", ""],
    ["a lone minus", "-"],
    ["39 digits", "1".repeat(39)],
    ["not a number", "NaN"],
    ["infinity", "Infinity"],
    ["true", true],
    ["a list", ["1"]],
    ["an object", { amount: 1 }],
    ["SQL", "1; drop table app_public.accounts"],
  ];
  test.each(bad)("%s", async (_name, amount) => {
    const before = await calls();
    const answer = await api.ask(postMutation, transfer(cash, sales, amount));
    expect(answer.data ?? null).toBeNull();
    expect(answer.errors[0]?.extensions).toMatchObject({ code: "LG101", name: "invalid_amount", isRetryable: false });
    expect(answer.errors[0]?.extensions.hint).toMatch(/minor units/);
    expect(await calls()).toBe(before);
  });

  test.each(['"12.34"', "1.5", "true", '" 7 "', "EUR"])("the literal %s", async (amount) => {
    const answer = await api.ask(literal(amount));
    expect(answer.data ?? null).toBeNull();
    expect(answer.errors[0]?.extensions.code).toBe("LG101");
  });

  /** How many transactions there are: a refused amount leaves no trace. */
  async function calls(): Promise<number> {
    return (await api.get("{ transactions(first: 0) { totalCount } }")).transactions.totalCount;
  }
});

test("an amount of zero or below reaches the ledger and is refused there", async () => {
  for (const amount of ["0", "-1"]) {
    const answer = await api.ask(postMutation, transfer(cash, sales, amount));
    expect(answer.errors[0]?.extensions.code).toBe("LG102");
  }
});

describe("BigInt is as strict", () => {
  const query =
    "query ($version: BigInt!) { postings(filter: { version: { equalTo: $version } }) { nodes { version } } }";
  test.each([1.5, "1.5", "0x1", " 1", 2 ** 53, "9223372036854775808", true, "1e2"])(
    "%p is refused",
    async (version) => {
      const answer = await api.ask(query, { version });
      expect(answer.data ?? null).toBeNull();
      expect(answer.errors[0]?.extensions.code).toBe("LG160");
    },
  );
  test.each([1, "1", "9223372036854775807", "-9223372036854775808"])("%p is taken", async (version) => {
    const answer = await api.ask(query, { version });
    expect(answer.errors).toEqual([]);
  });
});
