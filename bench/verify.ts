import { withClient } from "../src/postgres/client.ts";
import { actAs, type Urls } from "./books.ts";

/** Runs every check of the ledger on what was measured, and throws if one finds anything. */
export async function verify(urls: Urls, tenantId: number): Promise<{ seconds: number }> {
  return withClient(urls.owner, async (client) => {
    await actAs(client, tenantId, "admin");
    const started = performance.now();
    const { rows } = await client.query<{ name: string; violations: string }>(
      "select name, violations from app_public.verify_ledger() where violations > 0",
    );
    if (rows.length > 0) {
      const found = rows.map(({ name, violations }) => `${name} (${violations})`);
      throw new Error(`The books that were measured are not right: ${found.join(", ")}.`);
    }
    return { seconds: (performance.now() - started) / 1000 };
  });
}
