import type { View } from "./templates.ts";

/** For whom a message is written. */
export interface Reader {
  language: string;
  timeZone: string;
  /** The name of the person, and of the tenant. */
  name: string;
  tenantName: string;
}

/** What a message is about, as the database knows it. */
export type Facts = Record<string, unknown>;

/**
 * What the words of a message can name: its facts, with amounts and times as its reader writes them. The link to
 * the receipt is made by whoever sends it.
 */
export function viewOf(facts: Facts, reader: Reader, more: View = {}): View {
  const { exponent, items, ...plain } = facts;
  const scalars = Object.fromEntries(Object.entries(plain).filter(([, value]) => typeof value !== "object"));
  return {
    ...scalars,
    name: reader.name,
    tenantName: reader.tenantName,
    ...(typeof facts["amount"] === "string" && typeof facts["currency"] === "string"
      ? { amount: formatAmount(facts["amount"], Number(exponent ?? 0), facts["currency"], reader.language) }
      : {}),
    ...formattedTimes(facts, reader),
    ...(Array.isArray(items)
      ? { items: items.map((item: Facts) => ({ ...item, ...formattedTimes(item, reader) })) }
      : {}),
    ...more,
  };
}

function formattedTimes(facts: Facts, reader: Reader): View {
  return Object.fromEntries(
    ["occurredAt", "expiresAt"]
      .filter((name) => typeof facts[name] === "string")
      .map((name) => [name, formatTime(String(facts[name]), reader)]),
  );
}

/** Minor units as money in a language: 1234 at 2 in EUR is €12.34. Exact, whatever the size. */
export function formatAmount(amount: string, exponent: number, currency: string, language: string): string {
  const decimal = toDecimal(amount, exponent) as Intl.StringNumericLiteral;
  const digits = { minimumFractionDigits: exponent, maximumFractionDigits: exponent };
  if (!/^[A-Z]{3}$/.test(currency)) return `${new Intl.NumberFormat(language, digits).format(decimal)} ${currency}`;
  return new Intl.NumberFormat(language, { style: "currency", currency, ...digits }).format(decimal);
}

/** Minor units as a decimal: 1234 at 2 is 12.34. */
export function toDecimal(amount: string, exponent: number): string {
  const sign = amount.startsWith("-") ? "-" : "";
  const digits = amount.replace("-", "").padStart(exponent + 1, "0");
  return exponent === 0 ? amount : `${sign}${digits.slice(0, -exponent)}.${digits.slice(-exponent)}`;
}

function formatTime(iso: string, { language, timeZone }: Reader): string {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return iso;
  const form = { day: "numeric", month: "long", year: "numeric", hour: "numeric", minute: "2-digit" } as const;
  return new Intl.DateTimeFormat(language, { ...form, timeZone, timeZoneName: "short" }).format(at);
}
