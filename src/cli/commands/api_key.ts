import { Command } from "commander";
import { createApiKey, type QueryClient } from "../../api_keys/manage.ts";
import { parseDuration, parseUuid, tenantOption } from "../arguments.ts";
import type { Ledgers, TenantLedger } from "../ledger.ts";
import { CommandError, formatTable, say } from "../output.ts";

export function apiKeyCommand(ledgers: Ledgers): Command {
  return new Command("api-key")
    .summary("create, list and revoke API keys of partners")
    .description("Creates, lists and revokes the API keys that partners sign their requests with.")
    .addCommand(createCommand(ledgers))
    .addCommand(listCommand(ledgers))
    .addCommand(revokeCommand(ledgers));
}

interface CreateArguments {
  tenant: string;
  scope: string[];
  expiresIn: number;
  address?: string[];
  accountSet?: string;
  actAs?: string;
}

function createCommand(ledgers: Ledgers): Command {
  const examples = `
Examples:
  $ npx tallystick api-key create "Shop payouts" --tenant acme --account-set shops
  $ npx tallystick api-key create Reports -t acme --scope ledger.read --address 192.0.2.0/24 --expires-in 90d

The first line of standard output is the id of the key, the second its secret, which is shown this once.`;
  return new Command("create")
    .description("Creates an API key for a partner.")
    .argument("<name>", "its name for people")
    .addOption(tenantOption())
    .option("-s, --scope <permission...>", "what it may do", ["ledger.read", "transactions.post"])
    .option("--expires-in <time>", "how long it is good for, such as 90d", parseDuration, 365 * 86_400)
    .option("-a, --address <address...>", "where requests may come from: addresses and networks (default: anywhere)")
    .option("--account-set <code>", "the account set that it sees and posts on")
    .option("--act-as <uuid>", "the user of another key, to act as the same (default: a new one)", parseUuid)
    .addHelpText("after", examples)
    .action(async (name: string, options: CreateArguments) => {
      const keys = ledgers.readConfig().fieldKeys;
      const made = await ledgers.withTenant({ tenant: options.tenant, role: "admin" }, async (ledger) =>
        createApiKey(
          queryClient(ledger),
          { keys, tenantId: ledger.tenantId },
          {
            name,
            scopes: options.scope,
            expiresAt: new Date(Date.now() + options.expiresIn * 1000).toISOString(),
            allowedAddresses: options.address,
            accountSetId: options.accountSet && (await findAccountSet(ledger, options.accountSet)),
            userId: options.actAs,
          },
        ),
      );
      process.stdout.write(`${made.id}\n${made.secret}\n`);
      say("The second line is the secret. It is not shown again.");
    });
}

function listCommand(ledgers: Ledgers): Command {
  const examples = `
Example:
  $ npx tallystick api-key list --tenant acme`;
  return new Command("list")
    .description("Lists the API keys of a tenant, without their secrets.")
    .addOption(tenantOption())
    .addHelpText("after", examples)
    .action(async ({ tenant }: { tenant: string }) => {
      const { rows } = await ledgers.withTenant({ tenant, role: "admin" }, ({ client }) =>
        client.query<Record<"id" | "name" | "status" | "scopes" | "expires" | "used", string>>(
          `select id, name, status::text, array_to_string(scopes, ' ') as scopes,
             to_char(expires_at, 'YYYY-MM-DD') as expires,
             coalesce(to_char(last_used_at, 'YYYY-MM-DD HH24:MI'), 'never') as used
           from app_public.api_keys()`,
        ),
      );
      if (rows.length === 0) return say(`There are no API keys yet. \`npx tallystick api-key create\` makes one.`);
      const columns = ["id", "name", "status", "scopes", "expires", "used"] as const;
      const titles = columns.map((title) => ({ title }));
      const lines = rows.map((row) => columns.map((column) => row[column]));
      process.stdout.write(`${formatTable(titles, lines)}\n`);
    });
}

function revokeCommand(ledgers: Ledgers): Command {
  const examples = `
Example:
  $ npx tallystick api-key revoke 0199b4c8-7a10-7c3e-9d52-3f0a6b1c2d3e --tenant acme`;
  return new Command("revoke")
    .description("Ends an API key, at once and for good.")
    .argument("<id>", "the id of the key", parseUuid)
    .addOption(tenantOption())
    .addHelpText("after", examples)
    .action(async (id: string, { tenant }: { tenant: string }) => {
      const { rows } = await ledgers.withTenant({ tenant, role: "admin" }, ({ client }) =>
        client.query<{ name: string }>("select name from app_public.revoke_api_key($1)", [id]),
      );
      process.stdout.write(`Revoked the API key ${rows[0]?.name}.\n`);
    });
}

function queryClient({ client }: TenantLedger): QueryClient {
  return {
    query: async <T extends object>({ text, values = [] }: { text: string; values?: readonly unknown[] }) => {
      const { rows } = await client.query<T & Record<string, unknown>>(text, [...values]);
      return { rows };
    },
  };
}

async function findAccountSet({ client, slug }: TenantLedger, code: string): Promise<string> {
  const { rows } = await client.query<{ id: string }>(
    "select id from app_public.account_sets where tenant_id = app_hidden.current_tenant_id() and code = $1",
    [code],
  );
  if (rows[0]) return rows[0].id;
  throw new CommandError(`The tenant ${slug} has no account set ${code}.`);
}
