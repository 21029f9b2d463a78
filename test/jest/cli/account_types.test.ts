import { describe, expect, test } from "@jest/globals";
import { makeTypeRule, typeOfAccount } from "../../../src/books/account_types.ts";

describe("the type of an account", () => {
  test.each([
    ["Assets:Bank", "asset"],
    ["asset", "asset"],
    ["LIABILITIES:Card", "liability"],
    ["Liability:Card", "liability"],
    ["equity:conversion:GLD-USD:GLD", "equity"],
    ["Income:Salary", "revenue"],
    ["Revenues:Sales", "revenue"],
    ["revenue", "revenue"],
    ["Expenses:Rent", "expense"],
    ["expense:Rent", "expense"],
    ["Bank:Assets", undefined],
    ["Assetsmall", undefined],
    ["constructor", undefined],
    ["", undefined],
  ])("%s is %s by its name", (name, type) => {
    expect(typeOfAccount(name, [])).toBe(type);
  });

  test("a rule goes before the name, and the first rule that matches counts", () => {
    const rules = [
      makeTypeRule("Bank:*", "asset"),
      makeTypeRule("*:Loan?", "liability"),
      makeTypeRule("Assets:Car (old)", "expense"),
    ];
    expect(typeOfAccount("Bank:Current", rules)).toBe("asset");
    expect(typeOfAccount("Bank:Loan1", rules)).toBe("asset");
    expect(typeOfAccount("Home:Loan2", rules)).toBe("liability");
    expect(typeOfAccount("Home:Loan", rules)).toBeUndefined();
    expect(typeOfAccount("Assets:Car (old)", rules)).toBe("expense");
    expect(typeOfAccount("Assets:Carx(old)", rules)).toBe("asset");
  });
});
