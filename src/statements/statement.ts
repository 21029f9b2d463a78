/** What a bank or provider says about one account of ours over a time, whatever the format was. */
export interface Statement {
  /** What the sender calls it: the same again is the same statement. */
  id: string;
  /** The number of the account: an IBAN, or as the bank has it. */
  account: string;
  /** The currency of the account; undefined where the file does not say. */
  currency: string | undefined;
  /** Whether this is all of a period (a statement), or only what happened (a notification). */
  kind: "statement" | "notification";
  createdAt: Date | undefined;
  /** The days that it is about. */
  from: string | undefined;
  to: string | undefined;
  openingBalance: StatementBalance | undefined;
  closingBalance: StatementBalance | undefined;
  entries: StatementEntry[];
}

export interface StatementBalance {
  /** As a decimal such as `-12.34`: below zero is owed to the bank. */
  amount: string;
  currency: string;
  /** The day, such as 2026-11-21. */
  on: string;
}

/**
 * One movement of the account. An entry of the bank that stands for many payments is told once for each payment
 * that the file names; they share the `entryId`.
 */
export interface StatementEntry {
  /** Where it is in the file: unique in the statement, and the same whenever the file is read. */
  id: string;
  /** The entry of the bank that it is part of. */
  entryId: string;
  /** What the bank calls it, to know it by in a later file. */
  bankReference: string | undefined;
  /** What we called the payment when we ordered it. */
  endToEndId: string | undefined;
  /** The other words that may say what it is for: remittance information, structured or not. */
  reference: string | undefined;
  /** As a decimal such as `12.34`, never below zero: `direction` tells which way. */
  amount: string;
  currency: string;
  /** `credit`: the account got it. */
  direction: "credit" | "debit";
  /** The bank takes back what it had booked before. */
  isReversal: boolean;
  /** Booked for good, or only announced. */
  status: "booked" | "pending" | "information";
  /** Days, such as 2026-11-21. */
  bookedOn: string | undefined;
  valueOn: string | undefined;
  counterparty: { name: string | undefined; account: string | undefined } | undefined;
  /** Why a payment came back, as ISO 20022 codes it (`AC04`); undefined if it did not. */
  returnReason: string | undefined;
}

/** A statement is not what it should be. Nothing of the file is to be used. */
export class StatementError extends Error {
  /** Where, such as the path of an element. */
  readonly place: string | undefined;

  constructor(message: string, options: ErrorOptions & { place?: string | undefined } = {}) {
    super(message, options);
    this.name = "StatementError";
    this.place = options.place;
  }
}
