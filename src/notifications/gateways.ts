import { createHmac } from "node:crypto";
import type { GatewaySettings } from "../config.ts";
import { OutboundError, safeRequest } from "../http/outbound.ts";
import { DeliveryError } from "./email.ts";

/** A short message by way of a provider of messages. */
export interface GatewayMessage {
  /** The same message sent twice has the same. */
  id: string;
  channel: "sms" | "chat";
  /** A telephone number; for a chat the id of the user, whom the provider knows by it. */
  to: string;
  text: string;
}

/**
 * Hands a message to a provider: a JSON object, signed as Standard Webhooks has it. Its id is the idempotency key.
 * Whoever runs the server chose the URL, so it may lead into their own network.
 */
export async function sendByGateway({ url, secret }: GatewaySettings, message: GatewayMessage): Promise<void> {
  const body = JSON.stringify({ type: `message.${message.channel}`, ...message });
  const timestamp = String(Math.floor(Date.now() / 1000));
  const signature = createHmac("sha256", secret).update(`${message.id}.${timestamp}.${body}`).digest("base64");
  const headers = {
    "content-type": "application/json",
    "webhook-id": message.id,
    "webhook-timestamp": timestamp,
    "webhook-signature": `v1,${signature}`,
  };
  const { status } = await safeRequest(url, { method: "POST", headers, body, allowPrivate: true }).catch(
    (error: unknown) => {
      if (error instanceof OutboundError) throw new DeliveryError(`The provider does not answer (${error.reason}).`);
      throw error;
    },
  );
  if (status >= 200 && status < 300) return;
  // It was read and not taken: the same again is no use. What says "later" does so with 408, 425 or 429.
  const isFinal = status >= 400 && status < 500 && ![401, 403, 404, 408, 425, 429].includes(status);
  throw new DeliveryError(`The provider answered with status ${status}.`, isFinal);
}
