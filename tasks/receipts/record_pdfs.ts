import type { Task } from "graphile-worker";
import { renderReceipt } from "../../src/receipts/pdf.ts";
import { type ReceiptRow, receiptOf } from "../../src/receipts/store.ts";

const batchSize = 100;

/**
 * Makes the PDF of each new receipt once, and takes down its hash: what is served later is compared with it.
 * Several may run at once: they find the same hash.
 */
const recordPdfs: Task = async (_payload, helpers) => {
  let count: number;
  do {
    const { rows } = await helpers.query<ReceiptRow & { tenant_id: number }>(
      "select * from app_private.receipts_without_pdf($1)",
      [batchSize],
    );
    for (const row of rows) {
      const { bytes, sha256 } = await renderReceipt(receiptOf(row));
      const values = [row.tenant_id, row.id, sha256, bytes.length];
      await helpers.query("select app_private.record_receipt_pdf($1, $2, $3, $4)", values);
    }
    count = rows.length;
  } while (count === batchSize && !helpers.abortSignal?.aborted);
};

export default recordPdfs;
