import type { Task } from "graphile-worker";
import { z } from "zod";
import { deliverToEndpoint } from "../../src/webhooks/deliver.ts";
import type { TaskServices } from "../../src/worker.ts";

const payloadForm = z.object({ tenantId: z.number().int(), endpointId: z.uuid() });
const waitSeconds = 1;

/**
 * Tells one endpoint of the events that wait for it. A receiver may keep a delivery waiting: no more than half of
 * the jobs that this worker runs at a time are deliveries, so that it does not keep payments waiting too.
 */
export function makeTask({ config }: TaskServices): Task {
  const atOnce = Math.max(1, Math.floor(config.workerConcurrency / 2));
  let running = 0;
  return async (payload, helpers) => {
    const endpoint = payloadForm.parse(payload);
    if (running >= atOnce) {
      await helpers.query("select app_private.put_off_webhook_job($1, $2, $3)", [
        endpoint.tenantId,
        endpoint.endpointId,
        waitSeconds,
      ]);
      return;
    }
    running += 1;
    try {
      await deliverToEndpoint(
        {
          query: helpers.query,
          keys: config.fieldKeys,
          allowPrivate: config.webhooksAllowPrivate,
          signal: helpers.abortSignal,
          onError: (error) => helpers.logger.error(`endpoint ${endpoint.endpointId}: ${String(error)}`),
        },
        endpoint,
      );
    } finally {
      running -= 1;
    }
  };
}
