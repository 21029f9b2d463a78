import { createTransport } from "nodemailer";
import type { MailSettings } from "../config.ts";

/** A mail as it goes out. */
export interface OutgoingMail {
  to: string;
  subject: string;
  text: string;
  html: string;
  /** What the receiver knows it by: the same mail sent twice has the same. */
  messageId: string;
  attachments?: { filename: string; content: Buffer; contentType: string }[];
}

export interface MailTransport {
  send(mail: OutgoingMail): Promise<void>;
  close(): void;
}

/** A message did not go out. What it says names no address and nothing of the message. */
export class DeliveryError extends Error {
  /** To try again is no use. */
  readonly isFinal: boolean;
  constructor(message: string, isFinal = false) {
    super(message);
    this.name = "DeliveryError";
    this.isFinal = isFinal;
  }
}

/** Sends mails to an SMTP server, over TLS where that is required, over a few connections that are kept open. */
export function smtpTransport({ url, from, requireTls }: MailSettings): MailTransport {
  const { protocol, hostname, port, username, password } = new URL(url);
  const secure = protocol === "smtps:";
  const transport = createTransport({
    host: hostname.replace(/^\[(.*)\]$/, "$1"),
    port: Number(port || (secure ? 465 : 587)),
    secure,
    requireTLS: requireTls,
    ...(username === "" ? {} : { auth: { user: decodeURIComponent(username), pass: decodeURIComponent(password) } }),
    tls: { minVersion: "TLSv1.2" },
    pool: true,
    maxConnections: 4,
    connectionTimeout: 10_000,
    greetingTimeout: 10_000,
    socketTimeout: 30_000,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  const domain = /@([A-Za-z0-9.-]+)>?$/.exec(from)?.[1] ?? "localhost";
  return {
    async send({ to, messageId, ...mail }) {
      try {
        await transport.sendMail({
          ...mail,
          from,
          // As an object it is one address, whatever is in it.
          to: { name: "", address: to },
          messageId: `<${messageId}@${domain}>`,
          headers: { "Auto-Submitted": "auto-generated" },
        });
      } catch (error) {
        throw describeFailure(error);
      }
    },
    close: () => transport.close(),
  };
}

function describeFailure(error: unknown): DeliveryError {
  const { code, responseCode } = error as { code?: string; responseCode?: number };
  // The message is to blame for what the server says to its address and to itself, not to a sign-in or to STARTTLS.
  const isAboutMessage = code === "EENVELOPE" || code === "EMESSAGE";
  const isFinal = isAboutMessage && responseCode !== undefined && responseCode >= 500 && responseCode < 600;
  return new DeliveryError(
    `The mail server did not take it (${[code, responseCode].filter(Boolean).join(" ")}).`,
    isFinal,
  );
}
