import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { formatShort, formatUnits, parseDecimal, toUnits } from "../../../src/books/decimal.ts";

describe("a decimal is read", () => {
  test.each([
    ["12.34", 1234n, 2, 2],
    ["-4.00", -4n, 0, 2],
    ["489.957000000000", 489957n, 3, 12],
    ["0", 0n, 0, 0],
    ["-0.00", 0n, 0, 2],
    [".5", 5n, 1, 1],
    ["5.", 5n, 0, 0],
    ["+7", 7n, 0, 0],
    ["100", 100n, 0, 0],
    ["99999999999999999999999999999999999999.999999999999999999", 10n ** 56n - 1n, 18, 18],
  ])("%s", (text, digits, scale, written) => {
    expect(parseDecimal(text)).toEqual({ digits, scale, written });
  });

  test.each(["", "-", ".", "1,000", "1.234.567", "1e5", "NaN", "Infinity", "0x10", "1 000", "−5", "5-", "--5", "٣"])(
    "%p is not a number",
    (text) => {
      expect(parseDecimal(text)).toBeUndefined();
    },
  );

  test("marks between thousands count only where the decimal mark is known", () => {
    expect(parseDecimal("1,234.50", ".")).toMatchObject({ digits: 12345n, scale: 1 });
    expect(parseDecimal("1.234,50", ",")).toMatchObject({ digits: 12345n, scale: 1 });
    expect(parseDecimal("1234,5", ",")).toMatchObject({ digits: 12345n, scale: 1 });
    expect(parseDecimal("12,34.5", ".")).toBeUndefined();
    expect(parseDecimal("1.5", ",")).toBeUndefined();
  });
});

describe("whole units and decimals", () => {
  const units = fc.bigInt({ min: -(10n ** 38n) + 1n, max: 10n ** 38n - 1n });
  const exponent = fc.integer({ min: 0, max: 18 });

  test("what is written is read back exactly", () => {
    fc.assert(
      fc.property(units, exponent, (amount, decimals) => {
        for (const text of [formatUnits(amount, decimals), formatShort(amount, decimals)]) {
          const value = parseDecimal(text);
          expect(value && toUnits(value, decimals)).toBe(amount);
        }
      }),
    );
  });

  test("a text keeps its value in any number of decimals that has room for it", () => {
    const text = fc.stringMatching(/^-?(0|[1-9]\d{0,20})(\.\d{1,18})?$/);
    fc.assert(
      fc.property(text, (written) => {
        const value = parseDecimal(written);
        const trimmed = written.includes(".") ? written.replace(/\.?0+$/, "") : written;
        const expected = trimmed === "-0" ? "0" : trimmed;
        expect(value && formatShort(toUnits(value, 18) ?? 0n, 18)).toBe(expected);
      }),
    );
  });

  test("nothing is rounded: too few decimals give no amount at all", () => {
    expect(toUnits({ digits: 12345n, scale: 3, written: 3 }, 2)).toBeUndefined();
    expect(formatUnits(-5n, 2)).toBe("-0.05");
    expect(formatUnits(7n, 0)).toBe("7");
  });
});
