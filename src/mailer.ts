import type { Logger } from "pino";

/** A message to somebody, by what it is about: the words are the mailer's. */
export interface Mail {
  kind: "confirm_registration" | "reset_password";
  to: string;
  /** Opens what the message is about, once. */
  token: string;
  expiresAt: Date;
  /** What else the words need, such as the name of the books. */
  facts: Record<string, string | boolean>;
}

/** Delivers messages. What it throws is logged, and never told to who asked for the message. */
export type Mailer = (mail: Mail) => Promise<void>;

/** For development: shows messages in the terminal instead of sending them. */
export function terminalMailer(say: (message: string) => void): Mailer {
  return async ({ kind, to, token, expiresAt, facts }) => {
    say(`Message to ${to}: ${kind} ${JSON.stringify(facts)}, good until ${expiresAt.toISOString()}`);
    say(`  ${token}`);
  };
}

/** Where nothing delivers messages: says so, and nothing of what is in them. */
export function missingMailer(log: Logger): Mailer {
  return async ({ kind }) => log.warn({ kind }, "a message was not sent: no delivery is configured");
}
