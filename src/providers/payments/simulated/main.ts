import { once } from "node:events";
import { parseArgs } from "node:util";
import { startSimulatedPaymentProvider } from "./server.ts";

/*
 * The simulated payment provider as a process of its own:
 *
 *   npx node src/providers/payments/simulated/main.ts --port 5691 --secret <secret> --books <file>
 */
const { values } = parseArgs({
  options: {
    port: { type: "string", default: "5691" },
    host: { type: "string", default: "127.0.0.1" },
    secret: { type: "string" },
    "webhook-secret": { type: "string" },
    "webhook-url": { type: "string" },
    books: { type: "string" },
    "until-stdin-ends": { type: "boolean", default: false },
  },
});
if (values.secret === undefined) {
  console.error("Name the secret that is shared with it: --secret <secret>.");
  process.exit(2);
}
const provider = await startSimulatedPaymentProvider({
  port: Number(values.port),
  host: values.host,
  secret: values.secret,
  webhookSecret: values["webhook-secret"],
  webhookUrl: values["webhook-url"],
  booksPath: values.books,
});
console.log(`The simulated payment provider answers at ${provider.url}.`);
const ends = [once(process, "SIGINT"), once(process, "SIGTERM")];
if (values["until-stdin-ends"]) ends.push(once(process.stdin.resume(), "end"));
await Promise.race(ends);
await provider.stop();
process.stdin.destroy();
