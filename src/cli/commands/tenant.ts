import { Command } from "commander";
import type { Ledgers } from "../ledger.ts";
import { formatTable, say } from "../output.ts";

export function tenantCommand(ledgers: Ledgers): Command {
  return new Command("tenant")
    .summary("create and list tenants")
    .description("Creates and lists tenants: the owners of sets of books. Nothing crosses from one to another.")
    .addCommand(createCommand(ledgers))
    .addCommand(listCommand(ledgers));
}

function createCommand(ledgers: Ledgers): Command {
  const examples = `
Examples:
  $ npx tallystick tenant create home
  $ npx tallystick tenant create acme --name "Acme Trading Ltd"`;
  return new Command("create")
    .description("Creates a tenant.")
    .argument("<slug>", "its short name: a lower-case letter, then letters, digits and hyphens")
    .option("--name <name>", "its full name; default: the slug")
    .addHelpText("after", examples)
    .action(async (slug: string, options: { name?: string }) => {
      await ledgers.withOwner((client) =>
        client.query("select from app_private.create_tenant(slug => $1, name => $2)", [slug, options.name]),
      );
      process.stdout.write(`Created the tenant ${slug}.\n`);
      say(`Next: npx tallystick import books.csv --tenant ${slug}`);
      say(`  or: npx tallystick token --tenant ${slug} --role accountant --user ${crypto.randomUUID()}`);
    });
}

function listCommand(ledgers: Ledgers): Command {
  const examples = `
Example:
  $ npx tallystick tenant list`;
  return new Command("list")
    .description("Lists the tenants.")
    .addHelpText("after", examples)
    .action(async () => {
      const { rows } = await ledgers.withOwner((client) =>
        client.query<{ slug: string; name: string; created: string }>(
          `select slug, name, to_char(created_at, 'YYYY-MM-DD') as created from app_public.tenants order by slug`,
        ),
      );
      if (rows.length === 0) say("There are no tenants yet. `npx tallystick tenant create SLUG` makes one.");
      else {
        const columns = [{ title: "slug" }, { title: "name" }, { title: "created" }];
        process.stdout.write(
          `${formatTable(
            columns,
            rows.map((row) => [row.slug, row.name, row.created]),
          )}\n`,
        );
      }
    });
}
