import { createHmac, timingSafeEqual } from "node:crypto";

/** A message as it arrived: the bytes that were signed, and the headers in lower case. */
export interface ReceivedMessage {
  body: Buffer;
  headers: Record<string, string | undefined>;
}

/** How far the clocks of sender and receiver may be apart, and how old a message may be. */
export const toleranceSeconds = 300;

const prefix = "whsec_";
const idForm = /^[\x21-\x2d\x2f-\x7e]{1,255}$/;

/** The key of a secret such as `whsec_MfKQ…`; undefined if it is none of 24 to 64 bytes, as Standard Webhooks wants. */
export function readWebhookSecret(secret: string): Buffer | undefined {
  const text = secret.startsWith(prefix) ? secret.slice(prefix.length) : secret;
  const key = Buffer.from(text, "base64");
  const isWhole = key.toString("base64").replace(/=+$/, "") === text.replace(/=+$/, "");
  return isWhole && key.length >= 24 && key.length <= 64 ? key : undefined;
}

/**
 * Whether one of the secrets signed the message as https://www.standardwebhooks.com has it, and no longer ago than
 * the tolerance.
 */
export function isSignedMessage(secrets: readonly string[], message: ReceivedMessage, now = new Date()): boolean {
  const { body, headers } = message;
  const id = headers["webhook-id"] ?? "";
  const seconds = headers["webhook-timestamp"] ?? "";
  if (!idForm.test(id) || !/^[1-9]\d{0,11}$/.test(seconds)) return false;
  if (Math.abs(now.getTime() / 1000 - Number(seconds)) > toleranceSeconds) return false;
  // More signatures than a sender has secrets would only make us compare.
  const given = (headers["webhook-signature"] ?? "").split(" ", 10).flatMap((text) => {
    const [version, signature] = text.split(",");
    return version === "v1" && signature ? [Buffer.from(signature, "base64")] : [];
  });
  let isSigned = false;
  for (const secret of secrets) {
    const key = readWebhookSecret(secret);
    if (!key) continue;
    const expected = createHmac("sha256", key).update(`${id}.${seconds}.`).update(body).digest();
    for (const signature of given) {
      if (signature.length === expected.length && timingSafeEqual(signature, expected)) isSigned = true;
    }
  }
  return isSigned;
}
