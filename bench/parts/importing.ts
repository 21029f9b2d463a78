import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectRoot } from "../../src/paths.ts";
import { seededRandom } from "../../src/random.ts";
import type { Bench } from "../bench.ts";
import { type Figure, figureOf } from "../figures.ts";

/** Imports a journal with the command-line tool, as a user would. */
export async function importing({ options, withCopy, progress }: Bench): Promise<Figure[]> {
  const transactions = options.full ? 100_000 : 10_000;
  const name = `import of ${transactions.toLocaleString("en-US")} transactions from a file`;
  const folder = mkdtempSync(join(tmpdir(), "tallystick-bench-"));
  try {
    const file = join(folder, "journal.csv");
    writeFileSync(file, makeJournal(transactions));
    return await withCopy("importing", async ({ owner }) => {
      progress(name);
      await tallystick(owner, ["tenant", "create", "bench-import"]);
      const started = performance.now();
      await tallystick(owner, ["import", file, "--tenant", "bench-import"]);
      const seconds = (performance.now() - started) / 1000;
      return [figureOf({ part: "importing", name, unit: "transactions/s" }, [{ value: transactions / seconds }])];
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function makeJournal(transactions: number): string {
  const random = seededRandom(7);
  const lines = ["txnidx,date,description,account,amount,commodity"];
  for (let n = 1; n <= transactions; n += 1) {
    const date = new Date(Date.UTC(2024, 0, 1) + Math.floor((n * 365 * 86_400_000) / transactions));
    const amount = (1 + Math.floor(random() * 100_000)) / 100;
    const start = `${n},${date.toISOString().slice(0, 10)},Purchase ${n}`;
    lines.push(`${start},expenses:shop ${Math.floor(random() * 200)},${amount.toFixed(2)},EUR`);
    lines.push(`${start},assets:bank ${Math.floor(random() * 20)},-${amount.toFixed(2)},EUR`);
  }
  return `${lines.join("\n")}\n`;
}

async function tallystick(ownerUrl: string, args: string[]): Promise<void> {
  const child = spawn(process.execPath, [join(projectRoot, "src/cli/tallystick.mjs"), ...args], {
    env: { ...process.env, DATABASE_URL: ownerUrl },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const [status] = (await once(child, "exit")) as [number];
  if (status !== 0) throw new Error(`tallystick ${args[0]} ended with status ${status}.`);
}
