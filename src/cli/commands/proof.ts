import { Command } from "commander";
import { parseUuid, tenantOption } from "../arguments.ts";
import type { Ledgers } from "../ledger.ts";
import { CommandError, openSink } from "../output.ts";

const examples = `
Example:
  $ npx tallystick proof 0191f3a4-0000-7000-8000-000000000001 --tenant home > proof.json
  $ node tools/verify_sealed.mjs proof proof.json

The proof is that of the GraphQL query inclusionProof. tools/verify_sealed.mjs checks it without the database.`;

export function proofCommand(ledgers: Ledgers): Command {
  return new Command("proof")
    .summary("prove that a transaction was sealed")
    .description("Writes the proof that a transaction is in a sealed block, as JSON.")
    .argument("<transaction>", "the id of the transaction", parseUuid)
    .addOption(tenantOption())
    .option("-o, --output <file>", "where to write it; default: standard output")
    .addHelpText("after", examples)
    .action(async (transaction: string, { tenant, output }: { tenant: string; output?: string }) => {
      const proof = await ledgers.withTenant({ tenant, role: "auditor" }, async ({ client }) => {
        const { rows } = await client.query<{ proof: string | null }>("select app_hidden.exported_proof($1) as proof", [
          transaction,
        ]);
        return rows[0]?.proof;
      });
      if (proof == null) throw new CommandError(`There is no transaction ${transaction}.`, "Check the id.");
      const sink = openSink(output);
      await sink.write(`${JSON.stringify(proof, null, 2)}\n`);
      await sink.close();
    });
}
