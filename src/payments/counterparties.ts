import { decryptField, encryptField, type FieldPlace } from "../crypto/fields.ts";
import type { KeyProvider } from "../crypto/keys.ts";
import { maskDetail, readDetail, rules } from "../customers/details.ts";

/** Whose account outside it is. */
export interface CounterpartyKey {
  tenantId: number;
  id: string;
}

/** What the number of an account outside must look like; told when it does not. */
export const accountRule = rules.bankAccount;

/** The number of an account in the form that is kept; undefined if it has none, such as an IBAN that was mistyped. */
export function readAccount(text: string): string | undefined {
  return readDetail("bankAccount", text);
}

/** Encrypts the number of an account for its counterparty, with what of it is shown. */
export async function sealAccount(
  keys: KeyProvider,
  of: CounterpartyKey,
  account: string,
): Promise<{ ciphertext: Buffer; hint: string }> {
  return { ciphertext: await encryptField(keys, placeOf(of), account), hint: maskDetail("bankAccount", account) };
}

/** Decrypts the number of an account, for the provider that pays to it. */
export function openAccountNumber(keys: KeyProvider, of: CounterpartyKey, ciphertext: Buffer): Promise<string> {
  return decryptField(keys, placeOf(of), ciphertext);
}

function placeOf({ tenantId, id }: CounterpartyKey): FieldPlace {
  return { tenantId, table: "app_private.counterparty_accounts", column: "account_ciphertext", row: id };
}
