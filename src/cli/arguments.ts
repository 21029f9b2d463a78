import { InvalidArgumentError, Option } from "commander";
import { accountTypes, makeTypeRule, parseAccountType, type TypeRule } from "../books/account_types.ts";
import { type Decimal, parseDecimal } from "../books/decimal.ts";
import { isCurrencyCode } from "../books/import_rules.ts";
import { isEmailAddress } from "../email_address.ts";

/** Splits `left=right` at the last equals sign, which no right side may hold. */
function splitPair(text: string, form: string): [string, string] {
  const at = text.lastIndexOf("=");
  if (at < 1 || at === text.length - 1) throw new InvalidArgumentError(`It should have the form ${form}.`);
  return [text.slice(0, at), text.slice(at + 1)];
}

export function collectTypeRule(text: string, rules: TypeRule[] = []): TypeRule[] {
  const [glob, word] = splitPair(text, "'GLOB=type', such as 'Bank:*=asset'");
  const type = parseAccountType(word);
  if (type === undefined) throw new InvalidArgumentError(`The type should be one of ${accountTypes.join(", ")}.`);
  return [...rules, makeTypeRule(glob, type)];
}

export function collectCurrency(text: string, codes = new Map<string, string>()): Map<string, string> {
  const [commodity, code] = splitPair(text, "'COMMODITY=CODE', such as '$=USD'");
  return new Map(codes).set(commodity, parseCurrency(code));
}

export function collectExponent(text: string, exponents = new Map<string, number>()): Map<string, number> {
  const [code, exponent] = splitPair(text, "CODE=DECIMALS, such as USD=5");
  if (!/^\d{1,2}$/.test(exponent) || Number(exponent) > 18) {
    throw new InvalidArgumentError("The number of decimals should be a whole number from 0 to 18.");
  }
  return new Map(exponents).set(parseCurrency(code), Number(exponent));
}

export function parseCurrency(code: string): string {
  if (isCurrencyCode(code)) return code;
  throw new InvalidArgumentError(
    "A currency's code is 1 to 24 characters: a capital letter, then capitals, digits, dots, hyphens or underscores.",
  );
}

/** A commodity as the file would write it; --currency may say which currency it stands for. */
export function parseCommodity(text: string): string {
  if (text.trim() !== "") return text.trim();
  throw new InvalidArgumentError("It should be a commodity or a currency's code, such as USD.");
}

export function parseTolerance(text: string): Decimal {
  const value = parseDecimal(text);
  if (value && value.digits >= 0n && value.scale <= 18) return value;
  throw new InvalidArgumentError("It should be an amount such as 0.01.");
}

export function parseUuid(text: string): string {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError("It should be a UUID, such as 0191f3a4-0000-7000-8000-000000000001.");
}

export function parseEmail(text: string): string {
  if (isEmailAddress(text)) return text.trim();
  throw new InvalidArgumentError("It should be an e-mail address.");
}

/** A moment; a date alone means its last microsecond, so that the whole day is in. Times without a zone are UTC. */
export function parseMoment(text: string): string {
  const match = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)(Z|[+-]\d{2}(?::?\d{2})?)?)?$/.exec(
    text,
  );
  if (match) {
    const [, date, time, zone = "Z"] = match;
    const moment = time === undefined ? `${date}T23:59:59.999999Z` : `${date}T${time}${zone}`;
    const day = new Date(`${date}T00:00:00Z`);
    if (!Number.isNaN(day.getTime()) && day.toISOString().startsWith(date ?? "-")) return moment;
  }
  throw new InvalidArgumentError("It should be a date or a time such as 2026-01-31 or 2026-01-31T17:30:00+01:00.");
}

/** The tenant that a command works for. */
export function tenantOption(): Option {
  return new Option("-t, --tenant <slug>", "the tenant whose books these are").makeOptionMandatory();
}

/** A length of time such as 15m, in seconds. */
export function parseDuration(text: string): number {
  const match = /^(\d{1,9})(s|m|h|d)$/.exec(text);
  const seconds =
    Number(match?.[1]) * { s: 1, m: 60, h: 3_600, d: 86_400 }[(match?.[2] ?? "s") as "s" | "m" | "h" | "d"];
  if (match && seconds >= 1 && seconds <= 365 * 86_400) return seconds;
  throw new InvalidArgumentError("It should be a number with its unit, such as 90s, 15m, 8h or 30d, at most 365d.");
}
