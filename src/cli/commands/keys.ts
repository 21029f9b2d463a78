import { Command, InvalidArgumentError } from "commander";
import { newKey, newKeyRing } from "../../crypto/keys.ts";
import {
  describeFailures,
  type KeyUse,
  type RotationQueries,
  readKeyUse,
  rotateFieldKeys,
} from "../../crypto/rotate.ts";
import type { Ledgers } from "../ledger.ts";
import { CommandError, count, formatTable, say } from "../output.ts";

export function keysCommand(ledgers: Ledgers): Command {
  return new Command("keys")
    .summary("make, see and rotate the keys of encrypted fields")
    .description("Makes, shows the use of, and rotates the keys that sensitive fields are encrypted with.")
    .addCommand(newCommand())
    .addCommand(statusCommand(ledgers))
    .addCommand(rotateCommand(ledgers));
}

function newCommand(): Command {
  const examples = `
Examples:
  $ npx tallystick keys new                        all of TALLYSTICK_FIELD_KEYS, for a new ledger
  $ npx tallystick keys new --id k2 --only-key     one more key, to go in front of the others`;
  return new Command("new")
    .description("Prints new random keys. It changes nothing.")
    .option("--id <id>", "the id of the key", parseKeyId, "k1")
    .option("--only-key", "this key alone, without one for blind indexes", false)
    .addHelpText("after", examples)
    .action(({ id, onlyKey }: { id: string; onlyKey: boolean }) => {
      process.stdout.write(`${onlyKey ? `${id}:${newKey()}` : newKeyRing(id)}\n`);
    });
}

function parseKeyId(text: string): string {
  if (/^[A-Za-z0-9._-]{1,32}$/.test(text) && text !== "index") return text;
  throw new InvalidArgumentError("It should be 1 to 32 letters, digits, dots, hyphens and underscores.");
}

function statusCommand(ledgers: Ledgers): Command {
  const examples = `
Example:
  $ npx tallystick keys status`;
  return new Command("status")
    .description("Tells how many values of each encrypted column each key encrypted.")
    .addHelpText("after", examples)
    .action(async () => {
      const keys = ledgers.readConfig().fieldKeys;
      const current = await keys.currentKeyId();
      const uses = await ledgers.withOwner((client) => readKeyUse(client.query.bind(client) as RotationQueries));
      const rows = await Promise.all(
        uses.map(async (use) => [use.table, use.column, use.keyId, String(use.count), await remark(use, current)]),
      );
      const columns = [
        { title: "table" },
        { title: "column" },
        { title: "key" },
        { title: "values", align: "right" as const },
        { title: "" },
      ];
      if (rows.length > 0) process.stdout.write(`${formatTable(columns, rows)}\n`);
      say(`New values are encrypted with the key ${current}.`);

      async function remark({ keyId }: KeyUse, currentId: string): Promise<string> {
        if (keyId === currentId) return "current";
        const isKnown = await keys.getKey(keyId).then(
          () => true,
          () => false,
        );
        return isKnown ? "to be rotated" : "NOT KNOWN: these do not decrypt";
      }
    });
}

function rotateCommand(ledgers: Ledgers): Command {
  const examples = `
Example:
  $ npx tallystick keys rotate

It may be stopped at any time, and run again: it goes on with what is left.`;
  return new Command("rotate")
    .description("Encrypts with the current key everything that another one encrypted.")
    .addHelpText("after", examples)
    .action(async () => {
      const keys = ledgers.readConfig().fieldKeys;
      const result = await ledgers.withOwner((client) =>
        rotateFieldKeys({
          keys,
          query: client.query.bind(client) as RotationQueries,
          onProgress: ({ table, column, rotated }) => say(`${table}.${column}: ${count(rotated, "value")}`),
        }),
      );
      process.stdout.write(`Encrypted ${count(result.rotated, "value")} anew.\n`);
      if (result.failures.length > 0) throw new CommandError(describeFailures(result));
    });
}
