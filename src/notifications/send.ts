import type { Config } from "../config.ts";
import { decryptField } from "../crypto/fields.ts";
import type { KeyProvider } from "../crypto/keys.ts";
import { openUserEmail, openUserPhone } from "../crypto/user_contacts.ts";
import { linkSeconds, makeReceiptLinks, type ReceiptLinks } from "../receipts/links.ts";
import { renderReceipt } from "../receipts/pdf.ts";
import { type Queries, receiptForMail } from "../receipts/store.ts";
import { compose, type Words } from "./compose.ts";
import { type MailTransport, type OutgoingMail, smtpTransport } from "./email.ts";
import { sendByGateway } from "./gateways.ts";
import type { Channel, Rendered } from "./templates.ts";
import type { Facts, Reader } from "./words.ts";

interface Item {
  id: string;
  kind: string;
  facts: Facts;
  words: Words;
}

/** A message as app_private.take_due_notification hands it out. */
export interface DueMessage {
  tenant_id: number;
  message_id: string;
  channel: Channel;
  attempt: number;
  is_digest: boolean;
  user_id: string;
  user_name: string;
  tenant_name: string;
  time_zone: string;
  attach_receipts: boolean;
  contact_source: "user_contacts" | "customer_details" | null;
  contact_ciphertext: Buffer | null;
  digest_words: Words | null;
  items: Item[] | null;
}

/** What came of a message. */
export type Outcome =
  | { kind: "sent" }
  | { kind: "shown"; subject: string | null; text: string }
  | { kind: "suppressed"; reason: string };

export interface Sender {
  /** Sends one message; a DeliveryError says why it did not go out. */
  send(message: DueMessage): Promise<Outcome>;
  close(): void;
}

interface Tools {
  config: Config;
  query: Queries;
  links: ReceiptLinks;
  transport: MailTransport | undefined;
}

/** More of them would make a mail that nobody takes. */
const maxAttachments = 20;

/** Sends messages by the channels that are configured. It keeps connections open until it is closed. */
export function makeSender(config: Config, query: Queries): Sender {
  const transport = config.mail && smtpTransport(config.mail);
  const links = makeReceiptLinks({ secret: config.jwtSecret, publicUrl: config.publicUrl });
  const tools = { config, query, links, transport };
  return { send: (message) => send(tools, message), close: () => transport?.close() };
}

async function send(tools: Tools, message: DueMessage): Promise<Outcome> {
  const { channel, items } = message;
  const [first] = items ?? [];
  if (!first) return { kind: "suppressed", reason: "nothing_to_say" };
  if (channel === "email") return sendMail(tools, message);
  const { subject, text } = renderItem(tools, message, first);
  if (channel === "in_app") return { kind: "shown", subject, text };
  const gateway = tools.config.gateways[channel];
  if (!gateway) return { kind: "suppressed", reason: "not_configured" };
  const to = channel === "chat" ? message.user_id : await openContact(tools.config.fieldKeys, message);
  if (to === undefined) return { kind: "suppressed", reason: "no_contact" };
  await sendByGateway(gateway, { id: message.message_id, channel, to, text });
  return { kind: "sent" };
}

async function sendMail(tools: Tools, message: DueMessage): Promise<Outcome> {
  if (!tools.transport) return { kind: "suppressed", reason: "not_configured" };
  const to = await openContact(tools.config.fieldKeys, message);
  if (to === undefined) return { kind: "suppressed", reason: "no_contact" };
  const { subject, text, html } = renderMail(tools, message);
  const attachments = message.attach_receipts ? await attachReceipts(tools, message) : [];
  await tools.transport.send({
    to,
    subject: subject ?? "",
    text,
    html: html ?? "",
    messageId: `notification-${message.message_id}`,
    attachments,
  });
  return { kind: "sent" };
}

function renderMail(tools: Tools, message: DueMessage): Rendered {
  const items = message.items ?? [];
  const [first] = items;
  if (!message.is_digest && first) return renderItem(tools, message, first);
  if (!message.digest_words) throw new Error("There are no words for digests.");
  const inside = items.map((item) => {
    const { subject, text } = renderItem(tools, message, item);
    return { subject, text: linesInside(text, message), occurredAt: item.facts["occurredAt"] };
  });
  const words = message.digest_words;
  return compose({ channel: "email", words, facts: { items: inside }, reader: readerOf(message) });
}

/** Of a mail what matters in a list: not whom it greets and who signs it. */
function linesInside(text: string, { user_name, tenant_name }: DueMessage): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const inner = lines.filter((line, index) => {
    const greets = index === 0 && lines.length > 1 && line.includes(user_name);
    const signs = index === lines.length - 1 && lines.length > 1 && line.startsWith(tenant_name);
    return !greets && !signs;
  });
  return inner.join(" ");
}

function renderItem(tools: Tools, message: DueMessage, item: Item): Rendered {
  const { channel } = message;
  const { words, facts } = item;
  return compose({ channel, words, facts, reader: readerOf(message), more: linkOf(tools, message, item) });
}

/** A link that opens the receipt belongs into mails alone: what is shown in the app stays there. */
function linkOf(
  { links }: Tools,
  { channel, tenant_id: tenantId }: DueMessage,
  { facts }: Item,
): { receiptUrl?: string } {
  const id = facts["receiptId"];
  if (channel !== "email" || typeof id !== "string") return {};
  return { receiptUrl: links.make({ tenantId, id }, linkSeconds.mail) };
}

function readerOf({ user_name, tenant_name, time_zone }: DueMessage): Omit<Reader, "language"> {
  return { timeZone: time_zone, name: user_name, tenantName: tenant_name };
}

async function attachReceipts(
  { query }: Tools,
  message: DueMessage,
): Promise<NonNullable<OutgoingMail["attachments"]>> {
  const ids = (message.items ?? []).map(({ facts }) => facts["receiptId"]).filter((id) => typeof id === "string");
  return Promise.all(
    ids.slice(0, maxAttachments).map(async (id) => {
      const receipt = await receiptForMail(query, message.tenant_id, id);
      const { bytes } = await renderReceipt(receipt);
      return {
        filename: `receipt-${receipt.number ?? receipt.id}.pdf`,
        content: bytes,
        contentType: "application/pdf",
      };
    }),
  );
}

/** The address to send to: decrypted here, at the last moment, and kept nowhere. */
async function openContact(keys: KeyProvider, message: DueMessage): Promise<string | undefined> {
  const {
    channel,
    tenant_id: tenantId,
    user_id: row,
    contact_source: source,
    contact_ciphertext: ciphertext,
  } = message;
  if (source === null || ciphertext === null) return undefined;
  if (source === "user_contacts") return (channel === "email" ? openUserEmail : openUserPhone)(keys, row, ciphertext);
  const column = channel === "email" ? "email_ciphertext" : "phone_ciphertext";
  return decryptField(keys, { tenantId, table: "app_hidden.customer_details", column, row }, ciphertext);
}
