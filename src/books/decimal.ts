/**
 * Decimals as journals write them, exactly: strings and whole numbers, never floating point.
 */
export interface Decimal {
  /** The value times 10^scale. */
  digits: bigint;
  /** The decimals that say something: none of them is a trailing zero. */
  scale: number;
  /** The decimals as written, trailing zeros included. */
  written: number;
}

/** The most decimals that a currency may have. */
export const maxScale = 18;

export type DecimalMark = "." | ",";

const plain = /^([+-]?)(\d*)(?:\.(\d*))?$/;
// Group marks count only if the caller has said which mark is the decimal one: 1,234 is two numbers.
const grouped = {
  ".": /^[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?$/,
  ",": /^[+-]?\d{1,3}(?:\.\d{3})+(?:,\d*)?$/,
} as const;

/** Reads a decimal such as `-12.340`. Undefined: the text is not a number. */
export function parseDecimal(text: string, mark?: DecimalMark): Decimal | undefined {
  let normal = text;
  if (mark === "." && grouped["."].test(text)) normal = text.replaceAll(",", "");
  if (mark === ",") {
    if (grouped[","].test(text)) normal = text.replaceAll(".", "");
    else if (text.includes(".")) return undefined;
    normal = normal.replace(",", ".");
  }
  const match = plain.exec(normal);
  if (!match) return undefined;
  const [, sign, whole = "", fraction = ""] = match;
  if (whole === "" && fraction === "") return undefined;
  const significant = fraction.replace(/0+$/, "");
  const digits = BigInt(`${whole}${significant}`);
  return { digits: sign === "-" ? -digits : digits, scale: significant.length, written: fraction.length };
}

/** The value times 10^exponent, or undefined if that is not a whole number. */
export function toUnits(value: Decimal, exponent: number): bigint | undefined {
  if (value.scale > exponent) return undefined;
  return value.digits * powerOfTen(exponent - value.scale);
}

/** Whole units as a decimal with exactly `exponent` decimals: formatUnits(-5n, 2) is "-0.05". */
export function formatUnits(units: bigint, exponent: number): string {
  const digits = (units < 0n ? -units : units).toString().padStart(exponent + 1, "0");
  const sign = units < 0n ? "-" : "";
  if (exponent === 0) return sign + digits;
  return `${sign}${digits.slice(0, -exponent)}.${digits.slice(-exponent)}`;
}

/** Whole units as a decimal without trailing zeros: formatShort(-50n, 2) is "-0.5". */
export function formatShort(units: bigint, exponent: number): string {
  const text = formatUnits(units, exponent);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

const powers = Array.from({ length: 64 }, (_, n) => 10n ** BigInt(n));

export function powerOfTen(n: number): bigint {
  return powers[n] ?? 10n ** BigInt(n);
}
