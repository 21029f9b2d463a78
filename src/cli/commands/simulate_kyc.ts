import { once } from "node:events";
import { Command, Option } from "commander";
import type { Ledgers } from "../ledger.ts";
import { CommandError, say } from "../output.ts";

export function simulateKycCommand(ledgers: Ledgers): Command {
  const examples = `
Example:
  $ npx tallystick simulate-kyc --port 5690
  $ TALLYSTICK_KYC_PROVIDER_URL=http://127.0.0.1:5690 npx tallystick start

Both need the same TALLYSTICK_KYC_PROVIDER_SECRET. Evidence whose reference is simulate:fail or
simulate:needs-information is answered so; everything else passes.`;
  return new Command("simulate-kyc")
    .summary("run a simulated provider of verifications")
    .description("Runs a provider that verifies customers, over real HTTP and with nothing behind it. Ctrl-C stops it.")
    .addOption(new Option("--port <port>", "where it listens, on this machine only").default(5690).argParser(Number))
    .option("--webhook-url <url>", "where it tells that a check is done")
    .addHelpText("after", examples)
    .action(async (options: { port: number; webhookUrl?: string }) => {
      const config = ledgers.readConfig();
      if (config.environment === "production") throw new CommandError("Production needs a real provider.");
      const { startSimulatedProvider } = await import("../../providers/kyc/simulated.ts");
      const secret = config.kycProviderSecret;
      if (secret === undefined) throw new CommandError("Set TALLYSTICK_KYC_PROVIDER_SECRET.");
      const provider = await startSimulatedProvider({ port: options.port, secret, webhookUrl: options.webhookUrl });
      say(`The simulated provider answers at ${provider.url}.`);
      await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
      await provider.stop();
    });
}
