import type { Receipt, ReceiptFacts } from "./pdf.ts";

/** As much of a connection as is used here. */
export type Queries = <Row extends object>(text: string, values: unknown[]) => Promise<{ rows: Row[] }>;

export interface ReceiptRow {
  id: string;
  number: string | null;
  facts: ReceiptFacts;
  issued_at: string;
}

/** A receipt from a row, whose time is in ISO form. */
export function receiptOf({ id, number, facts, issued_at }: ReceiptRow): Receipt {
  return { id, number, facts, issuedAt: new Date(issued_at) };
}

/** A receipt for the job that attaches it to a mail. */
export async function receiptForMail(query: Queries, tenantId: number, id: string): Promise<Receipt> {
  const { rows } = await query<ReceiptRow>("select * from app_private.receipt_for_mail($1, $2)", [tenantId, id]);
  const [row] = rows;
  if (!row) throw new Error("The receipt that a message is about is not there.");
  return receiptOf(row);
}
