/** A worker for bench/settling.ts: <database URL> <jobs at a time> <milliseconds that the provider takes>. */
import { setTimeout as sleep } from "node:timers/promises";
import { createLogger } from "../src/log.ts";
import { startWorker } from "../src/worker.ts";
import { fakeProvider } from "../test/support/fake_payment_provider.ts";
import { taskConfig } from "../test/support/jobs.ts";

const [databaseUrl = "", concurrency = "4", delay = "0"] = process.argv.slice(2);
const config = taskConfig({ TALLYSTICK_WORKER_CONCURRENCY: concurrency });
const provider = fakeProvider();
if (Number(delay) > 0) provider.before = () => sleep(Number(delay));
const worker = await startWorker({
  config,
  databaseUrl,
  log: createLogger(config),
  onFatal: (error) => {
    throw error;
  },
  findPaymentProvider: () => Promise.resolve(provider),
});
process.once("SIGTERM", () => void worker.stop());
