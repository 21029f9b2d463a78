import type { Task } from "graphile-worker";
import { importStatements, type RunQuery } from "../../src/statements/import.ts";
import { readStatementFile } from "../../src/statements/read.ts";
import type { TaskServices } from "../../src/worker.ts";

/**
 * Fetches what providers tell of their own books, where they do so over their API, and imports what is new of it.
 * A provider that does not answer is asked again the next time; the others are not held up.
 */
export function makeTask({ findPaymentProvider }: TaskServices): Task {
  return async (_payload, { query, withPgClient, logger, abortSignal }) => {
    const { rows } = await query<{ tenant_id: number; provider_code: string }>(
      "select * from app_private.providers_to_report()",
    );
    for (const { tenant_id: tenantId, provider_code: providerCode } of rows) {
      if (abortSignal?.aborted) return;
      try {
        const provider = await findPaymentProvider({ tenantId, code: providerCode });
        const report = await provider.fetchReport?.();
        if (!report) continue;
        const file = await readStatementFile(report, "report");
        await withPgClient((client) =>
          atOnce(client, (run) => importStatements({ run, tenantId }, file, { providerCode })),
        );
      } catch (error) {
        logger.warn(`the report of ${providerCode}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  };
}

/** Runs `work` in one database transaction. */
async function atOnce(client: Client, work: (run: RunQuery) => Promise<unknown>): Promise<void> {
  await client.query("begin");
  try {
    await work(async <Row>(text: string, values: unknown[]) => (await client.query(text, values)).rows as Row[]);
    await client.query("commit");
  } catch (error) {
    await client.query("rollback");
    throw error;
  }
}

interface Client {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
}
