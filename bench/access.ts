import pg from "pg";
import { openCommandSession } from "../src/cli/ledger.ts";
import { type Load, median, transfersPerSecond } from "./load.ts";
import type { Books, Figure } from "./posting.ts";

export interface AccessUrls {
  owner: string;
  api: string;
  superuser: string;
}

/**
 * What access control costs the posting: a teller, over the login of the API, by the function that is granted
 * and asks for session and permission, under row level security; beside it the same batches given to the engine
 * by a superuser, whom nothing is asked and no policy binds. In turns, and in both orders.
 */
export async function measureAccess(
  urls: AccessUrls,
  { tenantId, accountIds }: Books,
  { rounds, seconds, progress }: { rounds: number; seconds: number; progress: (name: string) => void },
): Promise<Figure[]> {
  const figures: Figure[] = [];
  const session = await openTellerSession(urls.owner, tenantId);
  for (const size of [1, 100]) {
    const name = `as a teller, ${size === 1 ? "one at a time" : `batches of ${size}`}, 1 client`;
    progress(name);
    const asTeller = load(urls.api, size, "app_public.post_transactions($1, 'atomic')");
    const asSuperuser = load(
      urls.superuser,
      size,
      `app_private.post_batch(app_private.system_actor(${tenantId}), $1, 'atomic')`,
    );
    const teller: Load = {
      ...asTeller,
      prepare: async (client) => {
        await client.query(
          `select set_config('role', 'tallystick_teller', false), set_config('tallystick.tenant_id', $1, false),
                  set_config('tallystick.user_id', $2, false), set_config('tallystick.session_id', $3, false)`,
          [String(tenantId), session.userId, session.sessionId],
        );
      },
    };
    await transfersPerSecond({ ...teller, seconds: 1 });
    await transfersPerSecond({ ...asSuperuser, seconds: 1 });
    const values: number[] = [];
    const floors: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      for (const isTeller of round % 2 === 0 ? [true, false] : [false, true])
        (isTeller ? values : floors).push(await transfersPerSecond(isTeller ? teller : asSuperuser));
    }
    figures.push({
      name,
      unit: "transfers/s",
      value: median(values),
      floorName: "no policies, no permissions",
      floor: median(floors),
    });
  }
  return figures;

  function load(url: string, size: number, call: string): Load {
    const pick = (random: () => number): string => accountIds[Math.floor(random() * accountIds.length)] ?? "";
    const item = (random: () => number): string =>
      `(posted,"{\\"(${pick(random)},debit,5)\\",\\"(${pick(random)},credit,5)\\"}",,,,,,,,)`;
    const quoted = (text: string): string => `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
    return {
      url,
      clients: 1,
      seconds,
      next: (random) => ({
        text: `select count(*) from unnest(${call})`,
        values: [`{${Array.from({ length: size }, () => quoted(item(random))).join(",")}}`],
        transfers: size,
      }),
    };
  }
}

async function openTellerSession(url: string, tenantId: number): Promise<{ sessionId: string; userId: string }> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await openCommandSession(client, { tenantId, role: "teller", seconds: 24 * 3600 });
  } finally {
    await client.end();
  }
}
