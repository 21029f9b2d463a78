/**
 * Settles payments while workers, the API, connections and the provider are killed at random, and then compares the
 * ledger with the provider's own books, to the cent:
 *   npm run chaos -- [--kills 500] [--settlements 20000] [--workers 2] [--seed 1]
 */
import { withScratchServer } from "../scripts/scratch_server.ts";
import { type ChaosReport, runChaos } from "./harness.ts";
import { help, readOptions } from "./options.ts";

const numbers = readOptions(process.argv.slice(2));
if (numbers === "help") {
  console.log(help);
  process.exit(0);
}
if ("fault" in numbers) {
  console.error(`${numbers.fault} \`npm run chaos -- --help\` tells what there is.`);
  process.exit(2);
}
const say = (message: string): void => void process.stderr.write(`${message}\n`);

const report = await withScratchServer({ profile: "durable" }, async ({ createDatabase }) =>
  runChaos({
    urls: await createDatabase("chaos"),
    ...numbers,
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
