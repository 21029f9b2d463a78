import type pg from "pg";
import { openCommandSession } from "../cli/ledger.ts";
import type { TokenKeys } from "../http/token_keys.ts";
import { signToken } from "../http/tokens.ts";
import { type DemoPerson, demoPeople, demoTenant } from "./people.ts";

const hours = 12;

/**
 * What a start of the demonstration tells: where to look, a token for each role, three things to try.
 * For development only: whoever reads the terminal may do what the tokens may.
 */
export async function welcome(
  client: pg.Client,
  { apiUrl, keys, tenantId }: { apiUrl: string; keys: TokenKeys; tenantId: number },
): Promise<string[]> {
  const expiresInSeconds = hours * 3600;
  const tokens: { role: string; token: string }[] = [];
  for (const [role, { userId: user }] of Object.entries(demoPeople) as [keyof typeof demoPeople, DemoPerson][]) {
    const session = await openCommandSession(client, { tenantId, role, user, seconds: expiresInSeconds });
    tokens.push({ role, token: signToken({ keys, tenantId, role, ...session, expiresInSeconds }) });
  }
  const accountant = tokens.find(({ role }) => role === "accountant")?.token ?? "";
  return [
    `Tokens of the tenant ${demoTenant}, good for ${hours} hours (development only):`,
    ...tokens.map(({ role, token }) => `  ${role.padEnd(10)} ${token}`),
    "Try:",
    `  npx tallystick trial-balance --tenant ${demoTenant}`,
    `  npx tallystick verify --tenant ${demoTenant}`,
    `  curl -s ${apiUrl}/graphql -H 'content-type: application/json' \\`,
    `    -H 'authorization: Bearer ${accountant}' \\`,
    `    -d '{"query":"{ accounts(first: 5) { nodes { code balance { posted available } } } }"}'`,
  ];
}
