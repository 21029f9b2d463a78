/**
 * What providers know a payment by: its id without hyphens. 32 characters fit where a bank leaves 35, and nobody
 * else makes the same.
 */
export function referenceOf(paymentId: string): string {
  return paymentId.replaceAll("-", "").toLowerCase();
}

/** The id of the payment that a reference names, with hyphens or without; undefined for what is none of ours. */
export function paymentIdOf(reference: string): string | undefined {
  const plain = reference.trim().toLowerCase();
  const match = /^([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})$/.exec(plain);
  return match ? match.slice(1).join("-") : undefined;
}
