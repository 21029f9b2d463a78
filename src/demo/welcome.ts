import type pg from "pg";
import { openCommandSession } from "../cli/ledger.ts";
import type { TokenKeys } from "../http/token_keys.ts";
import { signToken } from "../http/tokens.ts";
import { type DemoPerson, demoOperator, demoPassword, demoPeople, demoTenant } from "./people.ts";

const hours = 12;

export interface WelcomeOptions {
  apiUrl: string;
  /** What signs access tokens. */
  keys: TokenKeys;
  tenantId: number;
  /** What the passwords of the people are made from. */
  secret: string;
}

/**
 * What a start of the demonstration tells: who can sign in, a token for each role, things to try. For
 * development only: whoever reads the terminal may do what these people may.
 */
export async function welcome(client: pg.Client, options: WelcomeOptions): Promise<string[]> {
  const { apiUrl, keys, tenantId, secret } = options;
  const expiresInSeconds = hours * 3600;
  const tokens: { role: string; token: string }[] = [];
  for (const [role, { userId: user }] of Object.entries(demoPeople) as [keyof typeof demoPeople, DemoPerson][]) {
    const session = await openCommandSession(client, { tenantId, role, user, seconds: expiresInSeconds });
    tokens.push({ role, token: signToken({ keys, tenantId, role, ...session, expiresInSeconds }) });
  }
  const accountant = tokens.find(({ role }) => role === "accountant")?.token ?? "";
  const people: [string, DemoPerson][] = [...Object.entries(demoPeople), ["operator", demoOperator]];
  return [
    `People of the tenant ${demoTenant}, and an operator, with their passwords (development only):`,
    ...people.map(
      ([role, person]) => `  ${role.padEnd(10)} ${person.email.padEnd(18)} ${demoPassword(secret, person)}`,
    ),
    `Tokens, good for ${hours} hours:`,
    ...tokens.map(({ role, token }) => `  ${role.padEnd(10)} ${token}`),
    "Try:",
    `  npx tallystick trial-balance --tenant ${demoTenant}`,
    `  npx tallystick verify --tenant ${demoTenant}`,
    `  curl -s ${apiUrl}/graphql -H 'content-type: application/json' \\`,
    `    -H 'authorization: Bearer ${accountant}' \\`,
    `    -d '{"query":"{ accounts(first: 5) { nodes { code balance { posted available } } } }"}'`,
  ];
}
