import { Command, Option } from "commander";
import { tokenKeysOf } from "../../http/token_keys.ts";
import { type Role, signToken, tenantRoles } from "../../http/tokens.ts";
import { parseDuration, parseUuid, tenantOption } from "../arguments.ts";
import { findTenant, type Ledgers, openCommandSession } from "../ledger.ts";
import { say } from "../output.ts";

interface TokenArguments {
  tenant: string;
  role: Role;
  user: string;
  expiresIn: number;
}

const examples = `
Examples:
  $ npx tallystick token --tenant home --role accountant --user 0191f3a4-0000-7000-8000-000000000001
  $ curl -s localhost:5678/graphql -H "Authorization: Bearer $(npx tallystick token -t home -r auditor -u …)" \\
      -H 'Content-Type: application/json' -d '{"query": "{ currentTenant { name } }"}'

The token is the only thing on standard output. It is signed with TALLYSTICK_JWT_KEYS or TALLYSTICK_JWT_SECRET, or
with the secret in the data directory: the server must use the same.`;

export function tokenCommand(ledgers: Ledgers): Command {
  return new Command("token")
    .summary("make a token for the API")
    .description("Prints a signed token for the API, for a user and a role of a tenant.")
    .addOption(tenantOption())
    .addOption(new Option("-r, --role <role>", "what the token may do").choices(tenantRoles).makeOptionMandatory())
    .requiredOption("-u, --user <uuid>", "who acts; a customer sees the accounts that have this owner", parseUuid)
    .option("--expires-in <time>", "how long it is good for, such as 90s, 15m, 8h (default: 15m)", parseDuration, 900)
    .addHelpText("after", examples)
    .action(async ({ tenant, role, user, expiresIn }: TokenArguments) => {
      const keys = tokenKeysOf(ledgers.readConfig());
      const token = await ledgers.withOwner(async (client) => {
        const tenantId = await findTenant(client, tenant);
        const { sessionId, userId } = await openCommandSession(client, { tenantId, role, user, seconds: expiresIn });
        return signToken({ keys, tenantId, role, userId, sessionId, expiresInSeconds: expiresIn });
      });
      process.stdout.write(`${token}\n`);
      if (process.stderr.isTTY) say(`(good until ${new Date(Date.now() + expiresIn * 1000).toISOString()})`);
    });
}
