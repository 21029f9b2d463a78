import { normaliseEmail, normalisePhone } from "../crypto/fields.ts";
import { hasIbanForm, isIban } from "../iban.ts";

/** The sensitive details of a customer: each a column of app_hidden.customer_details. */
export const detailNames = ["email", "phone", "bankAccount", "identityDocument"] as const;
export type DetailName = (typeof detailNames)[number];

/** The detail in SQL: a label of app_public.customer_detail, and of a column with `_ciphertext` behind it. */
export const sqlNames: Record<DetailName, string> = {
  email: "email",
  phone: "phone",
  bankAccount: "bank_account",
  identityDocument: "identity_document",
};

/** What a detail must look like; told when it does not. */
export const rules: Record<DetailName, string> = {
  email: "an e-mail address, such as ann@example.com",
  phone: "a telephone number with the code of its country, such as +49 30 123456",
  bankAccount: "an IBAN whose check digits are right, or 4 to 34 letters, digits and hyphens",
  identityDocument: "3 to 64 printable characters, such as PASSPORT C01X00T47",
};

/** Brings a detail into the form that is kept; undefined if it does not have the form of its kind. */
export function readDetail(name: DetailName, text: string): string | undefined {
  const value = readers[name](text);
  return value !== undefined && forms[name].test(value) ? value : undefined;
}

const readers: Record<DetailName, (text: string) => string | undefined> = {
  email: normaliseEmail,
  phone: normalisePhone,
  bankAccount: (text) => {
    const value = text.normalize("NFKC").replace(/\s/g, "").toUpperCase();
    return hasIbanForm(value) && !isIban(value) ? undefined : value;
  },
  identityDocument: (text) => text.normalize("NFKC").trim(),
};

const forms: Record<DetailName, RegExp> = {
  email: /^(?=.{3,254}$)[^\s@\p{Cc}]+@[^\s@\p{Cc}]+\.[^\s@.\p{Cc}]+$/u,
  phone: /^\+[1-9]\d{6,14}$/,
  bankAccount: /^[A-Z0-9-]{4,34}$/,
  identityDocument: /^\P{Cc}{3,64}$/u,
};

/** What is shown of a detail: the end of it, a third at most, and the domain of an e-mail address. */
export function maskDetail(name: DetailName, value: string): string {
  if (name === "email") {
    const at = value.lastIndexOf("@");
    return `${at > 2 ? value.slice(0, 1) : ""}•••${value.slice(at)}`;
  }
  const shown = Math.min(4, Math.floor(value.length / 3));
  return `••••${shown === 0 ? "" : value.slice(-shown)}`;
}
