import { once } from "node:events";
import type { AddressInfo } from "node:net";
import PostalMime, { type Email } from "postal-mime";
import { SMTPServer } from "smtp-server";
import type { RunningPart } from "../api.ts";
import { servePage } from "./page.ts";

/** A mail that was caught. */
export interface CaughtMail {
  id: string;
  receivedAt: Date;
  /** Whom the server was told it is for. */
  recipients: string[];
  email: Email;
  raw: Buffer;
}

export interface MailCatcher extends RunningPart {
  /** Where the page is that shows the mails. */
  url: string;
  /** What mails are sent to, as TALLYSTICK_SMTP_URL has it. */
  smtpUrl: string;
  /** The mails that were caught, the newest first. */
  mails(): readonly CaughtMail[];
}

export interface MailCatcherOptions {
  /** Default: any that is free, for each. */
  smtpPort?: number;
  pagePort?: number;
}

/** How many mails are kept, in memory alone, and how large one may be. */
const maxMails = 500;
const maxBytes = 10_000_000;

/**
 * A mail server for development: it takes every mail, delivers none, and shows them on a web page. It listens on
 * this machine alone. A mail counts as taken once it has been read.
 */
export async function startMailCatcher({ smtpPort = 0, pagePort = 0 }: MailCatcherOptions = {}): Promise<MailCatcher> {
  const mails: CaughtMail[] = [];
  const smtp = new SMTPServer({
    authOptional: true,
    disabledCommands: ["AUTH", "STARTTLS"],
    disableReverseLookup: true,
    logger: false,
    size: maxBytes,
    rejectOversized: true,
    closeTimeout: 1_000,
    onData(stream, session, callback) {
      const chunks: Buffer[] = [];
      let length = 0;
      stream.on("data", (chunk: Buffer) => {
        length += chunk.length;
        if (length <= maxBytes) chunks.push(chunk);
      });
      stream.on("error", callback);
      stream.on("end", () => {
        if (length > maxBytes) return callback(Object.assign(new Error("It is too large."), { responseCode: 552 }));
        const recipients = session.envelope.rcptTo.map(({ address }) => address);
        readMail(Buffer.concat(chunks), recipients).then((mail) => {
          mails.unshift(mail);
          mails.length = Math.min(mails.length, maxMails);
          callback();
        }, callback);
      });
    },
  });
  // A client that goes away in the middle is no trouble of ours.
  smtp.on("error", () => undefined);
  const smtpServer = smtp.listen(smtpPort, "127.0.0.1");
  await once(smtpServer, "listening");
  const page = await servePage(mails, pagePort);
  return {
    url: page.url,
    smtpUrl: `smtp://127.0.0.1:${(smtpServer.address() as AddressInfo).port}`,
    mails: () => mails,
    stop: async () => {
      await page.stop();
      await new Promise<void>((done) => smtp.close(() => done()));
    },
  };
}

async function readMail(raw: Buffer, recipients: string[]): Promise<CaughtMail> {
  const email = await PostalMime.parse(raw, { attachmentEncoding: "arraybuffer" });
  return { id: crypto.randomUUID(), receivedAt: new Date(), recipients, email, raw };
}
