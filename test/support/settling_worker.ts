import { createLogger } from "../../src/log.ts";
import { startWorker } from "../../src/worker.ts";
import { httpProvider } from "./http_payment_provider.ts";
import { taskConfig } from "./jobs.ts";

/**
 * A worker in a process of its own, for tests that kill it:
 *   node test/support/settling_worker.ts <database URL> <URL of the provider>
 * Says "ready", works until SIGTERM, and says "stopped".
 */
const [databaseUrl = "", providerUrl = ""] = process.argv.slice(2);
const config = taskConfig({ TALLYSTICK_WORKER_CONCURRENCY: "4" });
const worker = await startWorker({
  config,
  databaseUrl,
  log: createLogger(config),
  onFatal: (error) => {
    throw error;
  },
  findPaymentProvider: () => Promise.resolve(httpProvider(providerUrl)),
});
console.log("ready");
process.once("SIGTERM", async () => {
  await worker.stop();
  console.log("stopped");
});
