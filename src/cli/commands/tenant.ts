import { Command } from "commander";
import type pg from "pg";
import type { KeyProvider } from "../../crypto/keys.ts";
import { makeInvitation } from "../../tenants/invite.ts";
import { parseCurrency, parseEmail } from "../arguments.ts";
import { inTransaction, type Ledgers } from "../ledger.ts";
import { CommandError, formatTable, say } from "../output.ts";

export function tenantCommand(ledgers: Ledgers): Command {
  return new Command("tenant")
    .summary("create, suspend and list tenants")
    .description("Creates, suspends and lists tenants: the owners of sets of books. Nothing crosses between them.")
    .addCommand(createCommand(ledgers))
    .addCommand(inviteAdminCommand(ledgers))
    .addCommand(statusCommand(ledgers, "suspend"))
    .addCommand(statusCommand(ledgers, "resume"))
    .addCommand(listCommand(ledgers));
}

interface CreateOptions {
  name?: string;
  template?: string;
  currency?: string;
  adminEmail?: string;
}

function createCommand(ledgers: Ledgers): Command {
  const examples = `
Examples:
  $ npx tallystick tenant create home
  $ npx tallystick tenant create acme --name "Acme Trading Ltd"
  $ npx tallystick tenant create pay --template wallet --currency EUR --admin-email ada@example.com

The charts of accounts are wallet, marketplace, small-company and bank. With --admin-email the token of the
invitation is the only thing on standard output: it is shown this once.`;
  return new Command("create")
    .description("Creates a tenant, with a chart of accounts and an invitation of its admin if you like.")
    .argument("<slug>", "its short name: a lower-case letter, then letters, digits and hyphens")
    .option("--name <name>", "its full name; default: the slug")
    .option("--template <name>", "open the accounts of this chart; needs --currency")
    .option("--currency <code>", "the currency of these accounts", parseCurrency)
    .option("--admin-email <address>", "invite the first admin, and print the token of the invitation", parseEmail)
    .addHelpText("after", examples)
    .action(async (slug: string, options: CreateOptions) => {
      if ((options.template === undefined) !== (options.currency === undefined)) {
        throw new CommandError("--template and --currency go together.");
      }
      const { fieldKeys } = ledgers.readConfig();
      const token = await ledgers.withOwner((client) =>
        inTransaction(client, () => createTenant(client, fieldKeys, slug, options)),
      );
      if (token === undefined) {
        process.stdout.write(`Created the tenant ${slug}.\n`);
        say(`Next: npx tallystick import books.csv --tenant ${slug}`);
        say(`  or: npx tallystick token --tenant ${slug} --role accountant --user ${crypto.randomUUID()}`);
      } else {
        say(`Created the tenant ${slug}. Give this token to ${options.adminEmail}, who joins with it:`);
        process.stdout.write(`${token}\n`);
      }
    });
}

/** All of it or nothing. Answers with the token of the invitation, if there is one. */
async function createTenant(
  client: pg.ClientBase,
  keys: KeyProvider,
  slug: string,
  { name, template, currency, adminEmail }: CreateOptions,
): Promise<string | undefined> {
  const { rows } = await client.query<{ id: number }>("select id from app_private.create_tenant($1, $2)", [slug, name]);
  if (template !== undefined) {
    await client.query("select from app_private.apply_template($1, $2, $3)", [rows[0]?.id, template, currency]);
  }
  return adminEmail === undefined ? undefined : inviteAdmin(client, keys, slug, adminEmail);
}

function inviteAdminCommand(ledgers: Ledgers): Command {
  const examples = `
Example:
  $ npx tallystick tenant invite-admin acme ada@example.com

The token of the invitation is the only thing on standard output: it is shown this once.`;
  return new Command("invite-admin")
    .description("Invites somebody to be an admin of a tenant, and prints the token of the invitation.")
    .argument("<slug>", "the tenant")
    .argument("<email>", "the e-mail address", parseEmail)
    .addHelpText("after", examples)
    .action(async (slug: string, email: string) => {
      const { fieldKeys } = ledgers.readConfig();
      const token = await ledgers.withOwner((client) =>
        inTransaction(client, () => inviteAdmin(client, fieldKeys, slug, email)),
      );
      say(`Give this token to ${email}, who joins ${slug} with it:`);
      process.stdout.write(`${token}\n`);
    });
}

/** Invites in the name of the command line, and answers with the token. */
async function inviteAdmin(client: pg.ClientBase, keys: KeyProvider, slug: string, email: string): Promise<string> {
  const { rows } = await client.query<{ id: number }>("select id from app_private.lock_tenant($1)", [slug]);
  const tenantId = rows[0]?.id ?? 0;
  const { id, token, tokenHash, emailCiphertext, emailIndex } = await makeInvitation(keys, { tenantId, email });
  await client.query("select from app_private.invite($1, null, 'admin', $2, $3, $4, $5)", [
    tenantId,
    id,
    tokenHash,
    emailCiphertext,
    emailIndex,
  ]);
  return token;
}

const statusTexts = {
  suspend: {
    status: "suspended",
    description: "Suspends a tenant: its books are read as before, and nothing is written to them.",
    done: "is suspended",
  },
  resume: { status: "active", description: "Resumes a tenant that was suspended.", done: "is active" },
} as const;

function statusCommand(ledgers: Ledgers, verb: keyof typeof statusTexts): Command {
  const { status, description, done } = statusTexts[verb];
  return new Command(verb)
    .description(description)
    .argument("<slug>", "the tenant")
    .addHelpText("after", `\nExample:\n  $ npx tallystick tenant ${verb} acme`)
    .action(async (slug: string) => {
      await ledgers.withOwner((client) =>
        client.query("select from app_private.set_tenant_status($1, $2)", [slug, status]),
      );
      process.stdout.write(`The tenant ${slug} ${done}.\n`);
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
        client.query<{ slug: string; name: string; status: string; created: string }>(
          `select slug, name, status, to_char(created_at, 'YYYY-MM-DD') as created
           from app_public.tenants order by slug`,
        ),
      );
      if (rows.length === 0) say("There are no tenants yet. `npx tallystick tenant create SLUG` makes one.");
      else {
        const columns = [{ title: "slug" }, { title: "name" }, { title: "status" }, { title: "created" }];
        process.stdout.write(
          `${formatTable(
            columns,
            rows.map((row) => [row.slug, row.name, row.status, row.created]),
          )}\n`,
        );
      }
    });
}
