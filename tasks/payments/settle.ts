import type { Task } from "graphile-worker";
import { z } from "zod";
import { settleStep } from "../../src/payments/settle.ts";
import type { TaskServices } from "../../src/worker.ts";

const payload = z.object({ tenantId: z.int(), paymentId: z.uuid() });

/**
 * Goes on with a payment: app_private.take_settlement says how. Waits are jobs that SQL adds; the retries of the
 * queue itself are for what should not happen, such as a database that is away or a mistake in a provider.
 */
export function makeTask({ config, findPaymentProvider }: TaskServices): Task {
  return async (given, { job, query }) => {
    const services = { keys: config.fieldKeys, findProvider: findPaymentProvider, query };
    await settleStep(services, payload.parse(given), job.id);
  };
}
