import { randomBytes } from "node:crypto";
import { Command } from "commander";
import { userEmailIndex } from "../../crypto/user_contacts.ts";
import { makeGate } from "../../identity/gate.ts";
import { makePasswords } from "../../identity/passwords.ts";
import { addPerson } from "../../tenants/people.ts";
import { parseEmail } from "../arguments.ts";
import { inTransaction, type Ledgers } from "../ledger.ts";
import { CommandError, say } from "../output.ts";

export function operatorCommand(ledgers: Ledgers): Command {
  return new Command("operator")
    .summary("say who runs the installation")
    .description("Adds and removes operators: those who create and suspend tenants, and see the books of none.")
    .addCommand(addCommand(ledgers))
    .addCommand(removeCommand(ledgers));
}

function addCommand(ledgers: Ledgers): Command {
  const examples = `
Examples:
  $ npx tallystick operator add opal@example.com --name Opal

The password of a new person is the only thing on standard output: it is shown this once, and should be
changed after signing in. Who has an account already keeps the password that they have.`;
  return new Command("add")
    .description("Makes somebody an operator, and prints the password of who has no account yet.")
    .argument("<email>", "the e-mail address", parseEmail)
    .option("--name <name>", "the name for people; default: the address up to the @")
    .addHelpText("after", examples)
    .action(async (email: string, options: { name?: string }) => {
      const { fieldKeys: keys, argon2: cost, hashing } = ledgers.readConfig();
      const passwords = makePasswords({ cost, gate: makeGate(hashing) });
      const password = randomBytes(15).toString("base64url");
      const name = options.name ?? email.slice(0, email.lastIndexOf("@"));
      const isNew = await ledgers.withOwner((client) =>
        inTransaction(client, async () => {
          const person = await addPerson(client, { keys, passwords }, { name, email, password });
          await client.query("select app_private.add_operator($1)", [person.id]);
          return person.isNew;
        }),
      );
      if (isNew) {
        say(`${email} is an operator, and signs in with this password:`);
        process.stdout.write(`${password}\n`);
      } else {
        say(`${email} is an operator, and signs in with the password that they have.`);
      }
    });
}

function removeCommand(ledgers: Ledgers): Command {
  const examples = `
Example:
  $ npx tallystick operator remove opal@example.com`;
  return new Command("remove")
    .description("Makes somebody an operator no longer. The account stays.")
    .argument("<email>", "the e-mail address", parseEmail)
    .addHelpText("after", examples)
    .action(async (email: string) => {
      const index = await userEmailIndex(ledgers.readConfig().fieldKeys, email);
      const { rows } = await ledgers.withOwner((client) =>
        client.query<{ removed: boolean }>(
          "select app_private.remove_operator(app_private.user_id_by_email($1)) as removed",
          [index],
        ),
      );
      if (!rows[0]?.removed) throw new CommandError(`${email} is no operator.`);
      process.stdout.write(`${email} is an operator no longer.\n`);
    });
}
