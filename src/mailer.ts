import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "pino";
import { compose, type Words } from "./notifications/compose.ts";
import { DeliveryError, type MailTransport } from "./notifications/email.ts";
import type { Rendered } from "./notifications/templates.ts";
import { newId } from "./random.ts";

/** A message to somebody about their account, by what it is about: the words are templates. */
export interface Mail {
  kind: "confirm_registration" | "reset_password" | "invitation";
  to: string;
  /** Opens what the message is about, once. */
  token: string;
  expiresAt: Date;
  /** What else the words need. */
  facts: { books?: string; hasAccount?: boolean };
  /** Whose words are used: those of the tenant, or of the only one that the person belongs to. */
  tenantId?: number;
  userId?: string;
}

/** Delivers messages. What it throws is logged, and never told to who asked for the message. */
export type Mailer = (mail: Mail) => Promise<void>;

/** The words for a message, from the database. */
export interface MailWords {
  words: Words;
  tenantName: string | null;
  timeZone: string;
}

export type FindWords = (kind: string, mail: Mail) => Promise<MailWords>;

const kinds = {
  confirm_registration: "registration.confirm",
  reset_password: "password.reset",
  invitation: "invitation.created",
} as const;

/** How long to wait after each attempt that failed. */
const defaultWaits = [1_000, 5_000, 20_000, 60_000];

export interface SmtpMailerOptions {
  transport: MailTransport;
  findWords: FindWords;
  log: Logger;
  waits?: number[];
}

/**
 * Sends messages by SMTP. The token in them is a secret, so a message is in no job and no table: what could not be
 * sent is tried again from memory, for a minute and a half, and who asked for it may ask again.
 */
export function smtpMailer({ transport, findWords, log, waits = defaultWaits }: SmtpMailerOptions): Mailer {
  return async (mail) => {
    const { subject, text, html } = await render(mail, findWords);
    const message = { to: mail.to, subject: subject ?? "", text, html: html ?? "", messageId: `account-${newId()}` };
    for (const wait of [...waits, undefined]) {
      try {
        return await transport.send(message);
      } catch (error) {
        if (wait === undefined || (error instanceof DeliveryError && error.isFinal)) throw error;
        log.warn({ kind: mail.kind, reason: (error as Error).message }, "a message was not sent, and is tried again");
        // What still waits does not keep the process from ending.
        await sleep(wait, undefined, { ref: false });
      }
    }
  };
}

async function render(mail: Mail, findWords: FindWords): Promise<Rendered> {
  const { words, tenantName, timeZone } = await findWords(kinds[mail.kind], mail);
  const { token, expiresAt, facts } = mail;
  return compose({
    channel: "email",
    words,
    facts: { token, expiresAt: expiresAt.toISOString(), hasAccount: facts.hasAccount === true },
    reader: { timeZone, name: "", tenantName: facts.books ?? tenantName ?? "Tallystick" },
  });
}

/** Where nothing delivers messages: says so, and nothing of what is in them. */
export function missingMailer(log: Logger): Mailer {
  return async ({ kind }) => log.warn({ kind }, "a message was not sent: no delivery is configured");
}
