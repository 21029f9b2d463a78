/**
 * Settles payments while workers, the API, connections and the provider are killed at random, and then compares the
 * ledger with the provider's own books, to the cent:
 *   npm run chaos -- [--kills 500] [--settlements 20000] [--workers 2] [--seed 1]
 */
import { parseArgs } from "node:util";
import { withScratchServer } from "../scripts/scratch_server.ts";
import { type ChaosReport, runChaos } from "./harness.ts";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "50" },
    settlements: { type: "string", default: "2000" },
    workers: { type: "string", default: "2" },
    seed: { type: "string", default: "1" },
    help: { type: "boolean", short: "h" },
  },
});
if (values.help) {
  console.log("npm run chaos -- [--kills 50] [--settlements 2000] [--workers 2] [--seed 1]");
  process.exit(0);
}
const say = (message: string): void => void process.stderr.write(`${message}\n`);

const report = await withScratchServer({ profile: "durable" }, async ({ createDatabase }) =>
  runChaos({
    urls: await createDatabase("chaos"),
    kills: Number(values.kills),
    settlements: Number(values.settlements),
    workers: Number(values.workers),
    seed: Number(values.seed),
    limitMs: 60 * 60_000,
    say,
  }),
);
console.log(inWords(report));
process.exitCode = report.differences.length === 0 ? 0 : 1;

function inWords({ settlements, kills, seconds, perSecond, longestStandstillSeconds, ...rest }: ChaosReport): string {
  const { worker, api, connections, provider } = kills;
  return [
    `${settlements} payments in ${seconds.toFixed(0)} s (${perSecond.toFixed(0)} a second), while ${worker} workers,`,
    `the API ${api} times, connections ${connections} times and the provider ${provider} times were killed.`,
    `The longest time in which none came to an end: ${longestStandstillSeconds.toFixed(1)} s.`,
    `Requests that clients sent again: ${rest.retriesOfClients}.`,
    rest.differences.length === 0
      ? "The ledger and the books of the provider agree to the cent, and every check is empty."
      : ["The books differ:", ...rest.differences.slice(0, 50).map((one) => `  ${one}`)].join("\n"),
  ].join("\n");
}
