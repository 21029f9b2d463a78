import pg from "pg";
import { openCommandSession } from "../src/cli/ledger.ts";
import type { Role } from "../src/http/tokens.ts";
import type { DatabaseUrls } from "../src/postgres/bootstrap.ts";
import { withClient } from "../src/postgres/client.ts";
import { randomOf } from "./load.ts";
import { postingScript } from "./scripts.ts";
import { pairs, uniform } from "./shapes.ts";

export type Urls = DatabaseUrls & { superuser: string };

/** A tenant with accounts to post to. */
export interface Books {
  tenantId: number;
  /** The ordinary accounts, then those of `places`. */
  accountIds: string[];
  /** How many ordinary accounts there are. */
  count: number;
  /** Where the accounts lie that are like no other. */
  places: {
    /** Only ever credited. */
    credited: number;
    /** Has a minimum balance, and enough to pay from. */
    limited: number;
    /** Has a minimum balance of zero, and nothing: it can pay nobody. */
    empty: number;
  };
}

/** Opens a tenant with ordinary accounts and the three that are like no other. */
export async function openBooks(urls: Urls, slug: string, count: number): Promise<Books> {
  const tenantId = await withClient(urls.owner, async (client) => {
    const { rows } = await client.query<{ id: number }>("select id from app_private.create_tenant($1)", [slug]);
    return rows[0]?.id ?? 0;
  });
  const special = await withClient(urls.owner, async (client) => {
    await actAs(client, tenantId, "admin");
    const { rows } = await client.query<{ id: string }>(
      `select (app_public.open_account(o.code, o.code, 'liability', 'USD', minimum_balance => o.minimum)).id
       from unnest(array['credited', 'limited', 'empty'], array[null, 0, 0]) with ordinality as o (code, minimum, n)
       order by o.n`,
    );
    return rows.map(({ id }) => id);
  });
  const accountIds = [...(await addAccounts(urls.superuser, tenantId, count)), ...special];
  const books = { tenantId, accountIds, count, places: { credited: count, limited: count + 1, empty: count + 2 } };
  await fund(urls.owner, books);
  return books;
}

/**
 * Accounts in bulk, with the balances that the trigger of each would have written: a hundred thousand in seconds.
 */
async function addAccounts(superuserUrl: string, tenantId: number, count: number): Promise<string[]> {
  return withClient(superuserUrl, async (client) => {
    await client.query("begin; set local session_replication_role = replica");
    const { rows } = await client.query<{ id: string }>(
      `insert into app_public.accounts (tenant_id, code, currency, name, type, normal_balance)
       select $1, 'account ' || n, 'USD', 'Account ' || n, 'asset', 'debit' from generate_series(1, $2::integer) n
       returning id`,
      [tenantId, count],
    );
    await client.query(
      `insert into app_public.account_balances (tenant_id, account_id, currency, normal_balance, status)
       select a.tenant_id, a.id, a.currency, a.normal_balance, a.status
       from app_public.accounts a
       left join app_public.account_balances b on b.tenant_id = a.tenant_id and b.account_id = a.id
       where a.tenant_id = $1 and b.account_id is null
       order by a.id`,
      [tenantId],
    );
    await client.query("commit");
    await client.query("vacuum (analyze) app_public.accounts, app_public.account_balances");
    return rows.map(({ id }) => id);
  });
}

async function fund(ownerUrl: string, { tenantId, accountIds, places }: Books): Promise<void> {
  await withClient(ownerUrl, async (client) => {
    await actAs(client, tenantId, "admin");
    const amount = 10n ** 15n;
    const postings = `{"(${accountIds[0]},debit,${amount})","(${accountIds[places.limited]},credit,${amount})"}`;
    await client.query(
      "select app_public.post_transaction(row('posted', $1, null, null, null, null, null, null, null, null))",
      [postings],
    );
  });
}

/** Ten thousand transactions for a start, and what PostgreSQL knows of its tables once they are in use. */
export async function addHistory(urls: Urls, books: Books, seed: number): Promise<void> {
  await withClient(urls.owner, async (client) => {
    await actAs(client, books.tenantId, "admin");
    const next = postingScript(books, pairs(uniform(books.count)), { size: 1000 })(randomOf(`${seed} history`), 0);
    for (let n = 0; n < 10; n += 1) {
      const { text, values } = next();
      await client.query(text, values);
      if (n === 0) await client.query("analyze");
    }
  });
  await withClient(urls.superuser, (client) => client.query("vacuum analyze"));
}

/** A session of somebody of the tenant, for as long as the connection lasts. As the owner of the database. */
export async function actAs(client: pg.ClientBase, tenantId: number, role: Role): Promise<void> {
  const session = await openCommandSession(client, { tenantId, role, seconds: 24 * 3600 });
  await setSession(client, { tenantId, ...session });
}

export interface Session {
  tenantId: number;
  sessionId: string;
  userId: string;
}

/** A session of a tenant's for clients of the API. */
export async function openSession(urls: Urls, tenantId: number, role: Role): Promise<Session> {
  return withClient(urls.owner, async (client) => ({
    tenantId,
    ...(await openCommandSession(client, { tenantId, role, seconds: 24 * 3600 })),
  }));
}

/** Puts a connection of the API's login in the place of a request: its role, its tenant, its session. */
export async function beRequest(client: pg.ClientBase, role: Role, session: Session): Promise<void> {
  await client.query(`set role ${pg.escapeIdentifier(`tallystick_${role}`)}`);
  await setSession(client, session);
}

async function setSession(client: pg.ClientBase, { tenantId, userId, sessionId }: Session): Promise<void> {
  await client.query(
    `select set_config('tallystick.tenant_id', $1, false), set_config('tallystick.user_id', $2, false),
            set_config('tallystick.session_id', $3, false)`,
    [String(tenantId), userId, sessionId],
  );
}
