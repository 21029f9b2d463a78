import type { JobHelpers, Task } from "graphile-worker";
import { renderReceipt } from "../../src/receipts/pdf.ts";
import { type ReceiptRow, receiptOf } from "../../src/receipts/store.ts";

const batchSize = 100;

let isRunning = false;
let isAskedAgain = false;

/**
 * Makes the PDF of each new receipt once, and takes down its hash: what is served later is compared with it.
 * Several processes may run it at once: they find the same hash. In one process a second job leaves its receipts to the
 * first: drawing takes the processor, and the jobs of payments wait for a place meanwhile.
 */
const recordPdfs: Task = async (_payload, helpers) => {
  isAskedAgain = true;
  if (isRunning) return;
  isRunning = true;
  try {
    let count = 0;
    while ((isAskedAgain || count === batchSize) && !helpers.abortSignal?.aborted) {
      isAskedAgain = false;
      count = await recordSome(helpers);
    }
  } finally {
    isRunning = false;
  }
};

async function recordSome(helpers: JobHelpers): Promise<number> {
  const { rows } = await helpers.query<ReceiptRow & { tenant_id: number }>(
    "select * from app_private.receipts_without_pdf($1)",
    [batchSize],
  );
  for (const row of rows) {
    const { bytes, sha256 } = await renderReceipt(receiptOf(row));
    const values = [row.tenant_id, row.id, sha256, bytes.length];
    await helpers.query("select app_private.record_receipt_pdf($1, $2, $3, $4)", values);
  }
  return rows.length;
}

export default recordPdfs;
