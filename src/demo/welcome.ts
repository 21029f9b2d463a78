import { roles, signToken } from "../http/tokens.ts";
import { demoPeople, demoTenant } from "./people.ts";

const hours = 12;

/**
 * What a start of the demonstration tells: where to look, a token for each role, three things to try.
 * For development only: whoever reads the terminal may do what the tokens may.
 */
export function welcome(options: { apiUrl: string; secret: string; tenantId: number }): string[] {
  const tokens = roles.map((role) => {
    const token = signToken({
      secret: options.secret,
      tenantId: options.tenantId,
      role,
      userId: demoPeople[role].userId,
      expiresInSeconds: hours * 3600,
    });
    return { role, token };
  });
  const accountant = tokens.find(({ role }) => role === "accountant")?.token ?? "";
  return [
    `Tokens of the tenant ${demoTenant}, good for ${hours} hours (development only):`,
    ...tokens.map(({ role, token }) => `  ${role.padEnd(10)} ${token}`),
    "Try:",
    `  npx tallystick trial-balance --tenant ${demoTenant}`,
    `  npx tallystick verify --tenant ${demoTenant}`,
    `  curl -s ${options.apiUrl}/graphql -H 'content-type: application/json' \\`,
    `    -H 'authorization: Bearer ${accountant}' \\`,
    `    -d '{"query":"{ accounts(first: 5) { nodes { code balance { posted available } } } }"}'`,
  ];
}
