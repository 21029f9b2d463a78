import { decryptField, encryptField, type FieldPlace } from "../crypto/fields.ts";
import type { KeyProvider } from "../crypto/keys.ts";

/** A piece of evidence of a verification case. */
export interface EvidenceKey {
  tenantId: number;
  id: string;
}

/** Encrypts the reference of a document for the piece of evidence that it becomes. */
export function encryptReference(keys: KeyProvider, of: EvidenceKey, reference: string): Promise<Buffer> {
  return encryptField(keys, placeOf(of), reference);
}

/** Decrypts the reference of a document. */
export function openReference(keys: KeyProvider, of: EvidenceKey, ciphertext: Buffer): Promise<string> {
  return decryptField(keys, placeOf(of), ciphertext);
}

function placeOf({ tenantId, id }: EvidenceKey): FieldPlace {
  return { tenantId, table: "app_public.kyc_evidence", column: "reference_ciphertext", row: id };
}
