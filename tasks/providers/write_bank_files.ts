import type { Task } from "graphile-worker";
import { writeBankFiles } from "../../src/providers/payments/bank_file/write.ts";
import type { TaskServices } from "../../src/worker.ts";

/** Writes what banks are asked for into files, each once. */
export function makeTask({ config }: TaskServices): Task {
  const folder = config.paymentProviders.bankFileFolder;
  return async (_payload, helpers) => {
    if (folder === undefined) return;
    // The lock that lets one process at a time do this is of the connection.
    await helpers.withPgClient((client) =>
      writeBankFiles({
        query: (text, values) => client.query(text, values),
        keys: config.fieldKeys,
        folder,
        onProblem: (message) => helpers.logger.error(message),
        signal: helpers.abortSignal,
      }),
    );
  };
}
