import { z } from "zod";
import { isIban } from "../../../iban.ts";
import { toBankText } from "./text.ts";

const settingsForm = z.object({
  /** Whose account is debited, as the bank knows them. */
  debtorName: z
    .string()
    .max(140)
    .refine((text) => toBankText(text, 70) !== "", { error: "should have letters or digits" }),
  /** The account that is debited. */
  debtorAccount: z
    .string()
    .transform((text) => text.replaceAll(" ", "").toUpperCase())
    .refine(isIban, { error: "should be an IBAN" }),
  debtorBic: z
    .string()
    .regex(/^[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$/, { error: "should be a BIC" })
    .optional(),
  /** How many days after a payment was submitted the bank is to execute it. */
  executionDays: z.number().int().min(0).max(30).default(0),
  /** For how long the first payment of a file waits for others; read in SQL. */
  batchMinutes: z.number().int().min(0).max(99_999).default(0),
  /** How many payments a file has at most. */
  maxItems: z.number().int().min(1).max(50_000).default(5_000),
  /** Whether the account shows one debit for the file, or one for each payment. */
  batchBooking: z.boolean().default(false),
});

/** What a bank that takes files has in `settings` of its row. */
export type BankFileSettings = z.infer<typeof settingsForm>;

/** Reads the settings, or tells what is wrong with them. */
export function readSettings(settings: unknown): { settings: BankFileSettings } | { problem: string } {
  const read = settingsForm.safeParse(settings);
  if (read.success) return { settings: read.data };
  return { problem: read.error.issues.map(({ path, message }) => `${path.join(".")} ${message}`).join("; ") };
}
