import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { PaymentAnswer, PaymentRequest } from "../provider.ts";

/** A payment in the books of the simulated provider. */
export interface BookedPayment {
  id: string;
  reference: string;
  kind: PaymentRequest["kind"];
  /** What was asked for. */
  requested: string;
  /** What was moved: another amount where that was wished. */
  amount: string;
  currency: string;
  exponent: number;
  state: PaymentAnswer["state"];
  errorCode?: string | undefined;
  message?: string | undefined;
  /** When it was taken, and when it got its present state. */
  takenAt: string;
  at: string;
  /** When it settles by itself, and when it comes back after that. */
  settlesAt?: string | undefined;
  returnsAt?: string | undefined;
}

export interface Books {
  find(reference: string): BookedPayment | undefined;
  list(): BookedPayment[];
  /** Writes how a payment stands now, and returns when it is on the disk. */
  write(payment: BookedPayment): Promise<void>;
  /** Returns when everything that `find` and `list` tell is on the disk. */
  written(): Promise<void>;
  close(): Promise<void>;
}

/**
 * The books of the simulated provider: a file with a line of JSON for each change of a payment, the last of which
 * counts. What `write` has returned from survives the end of the process; half a line that a kill left behind is
 * cut off. Without a path they are kept in memory.
 */
export async function openBooks(path?: string): Promise<Books> {
  const payments = new Map<string, BookedPayment>();
  const file = path === undefined ? undefined : await openFile(path, payments);
  let lines: string[] = [];
  let writing: Promise<void> | undefined;
  let last: Promise<void> = Promise.resolve();

  /** All lines that wait go to the disk together. */
  const flush = (): Promise<void> => {
    writing ??= last.then(async () => {
      const text = lines.join("");
      lines = [];
      writing = undefined;
      if (!file) return;
      await file.appendFile(text);
      await file.datasync();
    });
    last = writing;
    return writing;
  };
  return {
    find: (reference) => payments.get(reference),
    list: () => [...payments.values()],
    write: (payment) => {
      payments.set(payment.reference, payment);
      lines.push(`${JSON.stringify(payment)}\n`);
      return flush();
    },
    written: () => last,
    close: async () => {
      await last.catch(() => undefined);
      await file?.close();
    },
  };
}

async function openFile(path: string, payments: Map<string, BookedPayment>): Promise<FileHandle> {
  mkdirSync(dirname(path), { recursive: true });
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return Buffer.alloc(0);
    throw error;
  });
  const whole = bytes.lastIndexOf("\n") + 1;
  for (const line of bytes.toString("utf8", 0, whole).split("\n")) {
    if (line === "") continue;
    const payment = JSON.parse(line) as BookedPayment;
    payments.set(payment.reference, payment);
  }
  const file = await open(path, "a");
  if (whole < bytes.length) await file.truncate(whole);
  return file;
}

/** Takes a payment into the books for the first time. */
export function newPayment(request: PaymentRequest, how: Partial<BookedPayment>): BookedPayment {
  const now = new Date().toISOString();
  return {
    id: `simpay_${randomUUID()}`,
    reference: request.reference,
    kind: request.kind,
    requested: request.amount,
    amount: request.amount,
    currency: request.currency,
    exponent: request.exponent,
    state: "settled",
    takenAt: now,
    at: now,
    ...how,
  };
}

/** The books as others read them, in CSV. */
export function reportCsv(payments: readonly BookedPayment[]): string {
  const rows = payments.map(({ reference, id, kind, amount, currency, exponent, state, errorCode, takenAt, at }) => [
    reference,
    id,
    kind,
    amount,
    currency,
    String(exponent),
    state,
    errorCode ?? "",
    takenAt,
    at,
  ]);
  const header = "reference,id,kind,amount,currency,exponent,state,error_code,taken_at,time".split(",");
  return [header, ...rows].map((row) => `${row.map(quote).join(",")}\r\n`).join("");
}

function quote(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
