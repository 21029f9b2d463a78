import { powerOfTen } from "../../../books/decimal.ts";
import { PaymentProviderError } from "../provider.ts";

/*
 * Amounts as Stripe counts them (https://docs.stripe.com/currencies): mostly in hundredths, whatever a tenant has
 * its currency count in.
 */
const zeroDecimal = new Set("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split(" "));
const threeDecimal = new Set(["BHD", "JOD", "KWD", "OMR", "TND"]);
// Without fractions by now, and still counted in hundredths.
const wholeOnly = new Set(["ISK", "UGX"]);
const wholePayouts = new Set(["HUF", "ISK", "TWD", "UGX"]);

/** How many decimals an amount of Stripe has. */
export function stripeExponent(currency: string): number {
  if (zeroDecimal.has(currency)) return 0;
  return threeDecimal.has(currency) ? 3 : 2;
}

/** Our amount as Stripe's; an amount that Stripe cannot move is a rejection before anybody is asked. */
export function toStripeAmount(of: { amount: string; currency: string; exponent: number; isPayout: boolean }): number {
  const { amount, currency, exponent, isPayout } = of;
  const value = rescale(BigInt(amount), exponent, stripeExponent(currency));
  const step = threeDecimal.has(currency) ? 10n : (isPayout ? wholePayouts : wholeOnly).has(currency) ? 100n : 1n;
  if (value === undefined || value % step !== 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new PaymentProviderError("rejected", `Stripe does not move this amount of ${currency}.`, {
      errorCode: "invalid_amount",
    });
  }
  return Number(value);
}

/** Stripe's amount as ours. One that our currency cannot hold fits no payment of ours, and is told as it is. */
export function fromStripeAmount(amount: number, currency: string, exponent: number): string {
  return String(rescale(BigInt(amount), stripeExponent(currency), exponent) ?? BigInt(amount));
}

function rescale(value: bigint, from: number, to: number): bigint | undefined {
  if (to >= from) return value * powerOfTen(to - from);
  const divisor = powerOfTen(from - to);
  return value % divisor === 0n ? value / divisor : undefined;
}
