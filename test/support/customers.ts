import { encryptField } from "../../src/crypto/fields.ts";
import type { KeyProvider } from "../../src/crypto/keys.ts";
import { encryptReference } from "../../src/customers/evidence.ts";
import type { Queryable } from "./ledger.ts";

/** What is secret of a customer. */
export const customerSecrets = {
  email: "ann.dumped@example.com",
  phone: "+49309876543210",
  bank_account: "DE89370400440532013000",
  identity_document: "PASSPORT C01X00T47",
};

export const evidenceReference = "archive:the-passport-of-ann";

export interface AddedCustomer {
  userId: string;
  caseId: string;
  evidenceId: string;
}

/** Makes a customer of the tenant with details and with a case that has evidence. */
export async function addCustomer(db: Queryable, keys: KeyProvider, tenantId: number): Promise<AddedCustomer> {
  const userId = crypto.randomUUID();
  const evidenceId = crypto.randomUUID();
  await db.query("insert into app_public.users (id, name) values ($1, 'Somebody')", [userId]);
  await db.query("insert into app_public.memberships (tenant_id, user_id, role) values ($1, $2, 'customer')", [
    tenantId,
    userId,
  ]);
  await db.query("insert into app_hidden.customer_details (tenant_id, user_id) values ($1, $2)", [tenantId, userId]);
  for (const [name, value] of Object.entries(customerSecrets)) {
    const place = { tenantId, table: "app_hidden.customer_details", column: `${name}_ciphertext`, row: userId };
    await db.query(`update app_hidden.customer_details set ${name}_ciphertext = $1 where user_id = $2`, [
      await encryptField(keys, place, value),
      userId,
    ]);
  }
  const { rows } = await db.query<{ id: string }>(
    `insert into app_public.kyc_cases (tenant_id, user_id, requested_level, status, opened_by)
     values ($1, $2, 1, 'in_review', $2) returning id`,
    [tenantId, userId],
  );
  const caseId = rows[0]?.id ?? "";
  const ciphertext = await encryptReference(keys, { tenantId, id: evidenceId }, evidenceReference);
  await db.query(
    `insert into app_public.kyc_evidence (tenant_id, id, case_id, kind, reference_ciphertext, submitted_by)
     values ($1, $2, $3, 'selfie', $4, $5)`,
    [tenantId, evidenceId, caseId, ciphertext, userId],
  );
  return { userId, caseId, evidenceId };
}
