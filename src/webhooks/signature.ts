import { createHmac } from "node:crypto";
import { webhookKey } from "../crypto/webhook_secrets.ts";

/** What is sent to an endpoint. */
export interface WebhookMessage {
  /** The id of the event, the same at each attempt. */
  id: string;
  body: string;
}

/**
 * The headers of a delivery, by https://www.standardwebhooks.com: one signature for each secret that counts, so
 * that a receiver who knows any of them takes it.
 */
export function signedHeaders(
  { id, body }: WebhookMessage,
  secrets: string[],
  at = Date.now(),
): Record<string, string> {
  const timestamp = String(Math.floor(at / 1000));
  const sign = (secret: string): string =>
    `v1,${createHmac("sha256", webhookKey(secret)).update(`${id}.${timestamp}.${body}`).digest("base64")}`;
  return {
    "content-type": "application/json",
    "user-agent": "Tallystick-Webhooks/1",
    "webhook-id": id,
    "webhook-timestamp": timestamp,
    "webhook-signature": secrets.map(sign).join(" "),
  };
}
