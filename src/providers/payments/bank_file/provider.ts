import { encryptField, type FieldPlace } from "../../../crypto/fields.ts";
import { newId } from "../../../random.ts";
import { type PaymentAnswer, type PaymentProvider, PaymentProviderError, type PaymentRequest } from "../provider.ts";
import { paymentIdOf, referenceOf } from "../reference.ts";
import type { PaymentProviderRow, ProviderServices } from "../registry.ts";
import { faultOf } from "./pain001.ts";
import { type BankFileSettings, readSettings } from "./settings.ts";

interface ItemRow {
  status: PaymentAnswer["state"];
  amount: string;
  currency: string;
  kind: PaymentRequest["kind"];
}

const columns = "item_status as status, item_amount::text as amount, item_currency as currency, item_kind as kind";

/** Where the number of an account that a file pays to is kept, encrypted. */
export function placeOfAccount(tenantId: number, itemId: string): FieldPlace {
  return { tenantId, table: "app_private.bank_file_items", column: "account_ciphertext", row: itemId };
}

/**
 * A bank that takes files: submitting is taking down what the next file asks for (write.ts), and what became of it
 * is said by statements. Money that comes in waits for the statement too: the customer transfers it.
 */
export function bankFileProvider(row: PaymentProviderRow, { keys, query }: ProviderServices): PaymentProvider {
  const { tenantId, code } = row;
  const itemOf = async (call: string, reference: string): Promise<PaymentAnswer | undefined> => {
    const text = `select ${columns} from app_private.${call}($1, $2, $3)`;
    const { rows } = await query<ItemRow>(text, [tenantId, code, referenceOf(reference)]);
    return rows[0] && answerOf(rows[0], reference);
  };
  return {
    submit: async (request) => {
      const settings = requireSettings(row);
      const id = newId();
      const { name, account, bic, country } = requireCounterparty(request);
      const ciphertext = account === undefined ? null : await encryptField(keys, placeOfAccount(tenantId, id), account);
      const { rows } = await query<ItemRow>(
        `select ${columns}
         from app_private.add_bank_file_item($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
        [
          tenantId,
          id,
          code,
          referenceOf(request.reference),
          request.kind,
          request.amount,
          request.currency,
          request.exponent,
          dayFrom(new Date(), settings.executionDays),
          name ?? null,
          ciphertext,
          bic ?? null,
          country ?? null,
          request.text?.slice(0, 140) ?? null,
        ],
      );
      return requireSame(rows[0], request);
    },
    status: (reference) => (paymentIdOf(reference) ? itemOf("bank_file_item", reference) : Promise.resolve(undefined)),
    cancel: async (reference) => {
      const answer = paymentIdOf(reference) && (await itemOf("cancel_bank_file_item", reference));
      if (answer) return answer;
      throw rejected("The bank was not asked for the payment.", "not_found");
    },
    // A bank sends statements, which are imported.
    verifySignature: () => false,
    parseWebhook: () => [],
  };
}

function requireSettings({ code, settings }: PaymentProviderRow): BankFileSettings {
  const read = readSettings(settings);
  if ("settings" in read) return read.settings;
  throw new PaymentProviderError(
    "unavailable",
    `The settings of the provider ${code} are not valid: ${read.problem}.`,
    {
      errorCode: "not_configured",
    },
  );
}

function requireCounterparty(request: PaymentRequest): Partial<NonNullable<PaymentRequest["counterparty"]>> {
  const { counterparty, kind, reference } = request;
  if (paymentIdOf(reference) === undefined)
    throw rejected("The reference is not the id of a payment.", "invalid_reference");
  if (request.exponent > 5) throw rejected("A bank has no amounts of so many decimals.", "invalid_amount");
  if (kind === "pay_in") return {};
  if (counterparty === undefined) throw rejected("A bank must know whom to pay.", "counterparty_missing");
  const account = counterparty.account.replaceAll(" ", "").toUpperCase();
  const fault = faultOf({ ...request, name: counterparty.name, account });
  if (fault !== undefined) throw rejected("The bank would not take the payment.", fault);
  return { ...counterparty, account };
}

function requireSame(row: ItemRow | undefined, { reference, kind, amount, currency }: PaymentRequest): PaymentAnswer {
  if (!row) throw new Error("An item of a bank file was not stored.");
  if (row.kind === kind && row.amount === amount && row.currency === currency) return answerOf(row, reference);
  // What was asked for first may be paid: that is to be looked at.
  throw new PaymentProviderError("unknown", "The reference is of another payment.", {
    errorCode: "reference_conflict",
  });
}

function answerOf({ status: state, amount, currency }: ItemRow, reference: string): PaymentAnswer {
  return { state, providerReference: referenceOf(reference), amount, currency };
}

function rejected(message: string, errorCode: string): PaymentProviderError {
  return new PaymentProviderError("rejected", message, { errorCode });
}

function dayFrom(date: Date, days: number): string {
  return new Date(date.getTime() + days * 86_400_000).toISOString().slice(0, 10);
}
