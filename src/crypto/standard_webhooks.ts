import { createHmac, timingSafeEqual } from "node:crypto";

/** A message as Standard Webhooks has it: its id, when it was sent, and the bytes of its body. */
export interface SignedMessage {
  id: string;
  sentAt: Date;
  body: Buffer;
}

/** The headers that a signed message is sent with. */
export interface SignatureHeaders {
  "webhook-id": string;
  "webhook-timestamp": string;
  "webhook-signature": string;
}

/** How far the clocks of sender and receiver may be apart, and how old a message may be. */
export const toleranceSeconds = 300;

const prefix = "whsec_";
const idForm = /^[\x21-\x2d\x2f-\x7e]{1,255}$/;

/** The bytes of a secret such as `whsec_MfKQ…`; undefined if it is none of 24 to 64 bytes, as the standard wants. */
export function readWebhookSecret(secret: string): Buffer | undefined {
  const text = secret.startsWith(prefix) ? secret.slice(prefix.length) : secret;
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  const key = Buffer.from(text, "base64");
  const isWhole = key.toString("base64").replace(/=+$/, "") === text.replace(/=+$/, "");
  return isWhole && key.length >= 24 && key.length <= 64 ? key : undefined;
}

/** Signs a message with one secret or, while they are in rotation, with several. */
export function signMessage(secrets: readonly string[], { id, sentAt, body }: SignedMessage): SignatureHeaders {
  const seconds = String(Math.floor(sentAt.getTime() / 1000));
  const signatures = secrets.map((secret) => {
    const key = readWebhookSecret(secret);
    if (!key) throw new Error("The secret of a webhook has 24 to 64 bytes in base64.");
    return `v1,${digest(key, id, seconds, body).toString("base64")}`;
  });
  return { "webhook-id": id, "webhook-timestamp": seconds, "webhook-signature": signatures.join(" ") };
}

/** Whether one of the secrets signed the message, and no longer ago than the tolerance. */
export function isSignedMessage(
  secrets: readonly string[],
  { body, headers }: { body: Buffer; headers: Record<string, string | undefined> },
  now = new Date(),
): boolean {
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
    const expected = digest(key, id, seconds, body);
    for (const signature of given) {
      if (signature.length === expected.length && timingSafeEqual(signature, expected)) isSigned = true;
    }
  }
  return isSigned;
}

function digest(key: Buffer, id: string, seconds: string, body: Buffer): Buffer {
  return createHmac("sha256", key).update(`${id}.${seconds}.`).update(body).digest();
}
