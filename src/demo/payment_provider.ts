import { type ChildProcess, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import type pg from "pg";
import type { RunningPart } from "../api.ts";
import type { KeyProvider } from "../crypto/keys.ts";
import { projectRoot } from "../paths.ts";
import { setProviderSecret } from "../providers/payments/secrets.ts";
import { simulatedWebhookSecret } from "../providers/payments/simulated/server.ts";
import { demoTenant } from "./people.ts";

/** What the demonstration calls its provider. */
export const demoProviderCode = "simulated";

/** The secret that the ledger and the simulated provider share: made from a secret of the data directory. */
export function demoProviderSecret(secret: string): string {
  return createHmac("sha256", secret).update("payment provider").digest("hex");
}

/** Sets up the simulated provider for the books of the demonstration. The connection acts as their admin. */
export async function setUpDemoProvider(
  client: pg.Client,
  options: { tenantId: number; keys: KeyProvider; secret: string; accounts: ReadonlyMap<string, string> },
): Promise<void> {
  const { tenantId, keys, secret, accounts } = options;
  await client.query("select app_public.set_payment_provider($1, 'simulated', 'Simulated provider')", [
    demoProviderCode,
  ]);
  await client.query("select app_public.set_payment_provider_account($1, 'EUR', $2, $3)", [
    demoProviderCode,
    accounts.get("assets:simulated provider"),
    accounts.get("liabilities:suspense"),
  ]);
  const value = demoProviderSecret(secret);
  for (const [kind, text] of [["api_key", value] as const, ["webhook", simulatedWebhookSecret(value)] as const]) {
    await setProviderSecret(client, { keys, tenantId }, { providerCode: demoProviderCode, kind, value: text });
  }
}

export interface DemoProvider extends RunningPart {
  url: string;
  /** From here on it tells the API what becomes of payments. */
  tell(apiUrl: string): Promise<void>;
  /** How to break it and to mend it, for people. */
  help: string[];
}

/** Starts the simulated provider in a process of its own. Its books are kept in the data directory. */
export async function startDemoProvider(options: { dataDir: string; secret: string }): Promise<DemoProvider> {
  const secret = demoProviderSecret(options.secret);
  const child = spawn(
    process.execPath,
    [
      join(projectRoot, "src/providers/payments/simulated/main.ts"),
      ...["--port", "0", "--secret", secret, "--books", join(options.dataDir, "simulated_provider.jsonl")],
      "--until-stdin-ends",
    ],
    // Its input ends when this process does, however that comes about.
    { stdio: ["pipe", "pipe", "inherit"], detached: true },
  );
  const url = await urlOf(child);
  const command = (down: string): string =>
    `  curl -s ${url}/faults -H 'authorization: Bearer ${secret}' -d '{"down":"${down}"}'`;
  return {
    url,
    help: ["Break the payment provider, and mend it again:", command("unavailable"), command("no")],
    tell: async (apiUrl) => {
      const response = await fetch(`${url}/webhook`, {
        method: "POST",
        headers: { authorization: `Bearer ${secret}` },
        body: JSON.stringify({ url: `${apiUrl}/api/v1/webhooks/payments/${demoTenant}/${demoProviderCode}` }),
      });
      if (!response.ok) throw new Error("The simulated provider did not take the address of the API.");
    },
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}

function urlOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      const url = /answers at (http:\S+)\.$/m.exec(said)?.[1];
      if (url) resolve(url);
    });
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`The simulated payment provider did not start. ${said}`)));
  });
}
