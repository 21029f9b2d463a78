import { createHmac, timingSafeEqual } from "node:crypto";

/** The signature of a message: `t=<seconds>,v1=<HMAC-SHA256 of "seconds.body" in hex>`. */
export function sign(secret: string, body: Buffer, at = Date.now()): string {
  const seconds = Math.floor(at / 1000);
  return `t=${seconds},v1=${digest(secret, seconds, body).toString("hex")}`;
}

/** Whether a message was signed with the secret, within the last five minutes. */
export function isSignedBy(secret: string, body: Buffer, signature: string | undefined, now = Date.now()): boolean {
  const match = /^t=(\d{1,12}),v1=([0-9a-f]{64})$/.exec(signature ?? "");
  if (!match) return false;
  const seconds = Number(match[1]);
  const isRecent = Math.abs(now / 1000 - seconds) <= 300;
  return timingSafeEqual(Buffer.from(match[2] ?? "", "hex"), digest(secret, seconds, body)) && isRecent;
}

function digest(secret: string, seconds: number, body: Buffer): Buffer {
  return createHmac("sha256", secret).update(`${seconds}.`).update(body).digest();
}
