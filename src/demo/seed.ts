import pg from "pg";
import { openCommandSession } from "../cli/ledger.ts";
import type { KeyProvider } from "../crypto/keys.ts";
import type { Passwords } from "../identity/passwords.ts";
import { seededRandom } from "../random.ts";
import { addPerson } from "../tenants/people.ts";
import { setUpDemoProvider } from "./payment_provider.ts";
import { type DemoPerson, demoOperator, demoPassword, demoPeople, demoTenant, demoWallets } from "./people.ts";
import { type StoryAccount, type StoryTransaction, storyAccounts, tellStory } from "./story.ts";

export interface SeedOptions {
  ownerUrl: string;
  keys: KeyProvider;
  passwords: Passwords;
  /** What the passwords of the people are made from. */
  secret: string;
  say: (message: string) => void;
}

/**
 * Fills an empty ledger with the demonstration: a tenant, its chart of accounts and ninety days of
 * transactions, through the same functions as everybody else.
 */
export async function seedDemo({ ownerUrl, say, ...tools }: SeedOptions): Promise<void> {
  const client = new pg.Client({ connectionString: ownerUrl, application_name: "tallystick-demo" });
  await client.connect();
  try {
    // All of it or nothing: a start that is killed here finds no tenant and begins again.
    await client.query("begin");
    const { rows } = await client.query<{ id: number }>(
      "select id from app_private.create_tenant($1, 'Tally Wallets')",
      [demoTenant],
    );
    const tenantId = Number(rows[0]?.id);
    await addPeople(client, tenantId, tools);
    const { sessionId, userId } = await openCommandSession(client, {
      tenantId,
      role: "admin",
      user: demoPeople.admin.userId,
      seconds: 3600,
    });
    await client.query(
      `select set_config('tallystick.tenant_id', $1, true), set_config('tallystick.user_id', $2, true),
              set_config('tallystick.session_id', $3, true), set_config('role', 'tallystick_admin', true)`,
      [String(tenantId), userId, sessionId],
    );
    const ids = await openAccounts(client, storyAccounts);
    const story = tellStory(new Date(), seededRandom(1));
    await postStory(client, story, ids);
    await takeOneBack(client);
    await setUpDemoProvider(client, { tenantId, keys: tools.keys, secret: tools.secret, accounts: ids });
    await client.query("commit");
    say(`Made the tenant ${demoTenant}: ${ids.size} accounts, ${story.length} transactions.`);
  } finally {
    await client.end();
  }
}

/** One person for each role, who can sign in, and the other customers who have a wallet. */
async function addPeople(
  client: pg.Client,
  tenantId: number,
  tools: Pick<SeedOptions, "keys" | "passwords" | "secret">,
): Promise<void> {
  const people: DemoPerson[] = [...Object.values(demoPeople), demoOperator];
  for (const { userId: id, name, email } of people) {
    const password = demoPassword(tools.secret, { userId: id });
    await addPerson(client, tools, { id, name, email, password });
  }
  await client.query("select app_private.add_operator($1)", [demoOperator.userId]);
  const staff = Object.entries(demoPeople).map(([role, { name, userId }]) => ({ id: userId, name, role }));
  const customers = demoWallets.map(({ name, userId }) => ({ id: userId, name, role: "customer" }));
  await client.query(
    `with person as (select * from jsonb_to_recordset($2::jsonb) as p (id uuid, name text, role text)),
     made as (
       insert into app_public.users (id, name) select distinct on (id) id, name from person on conflict do nothing
     )
     insert into app_public.memberships (tenant_id, user_id, role)
     select distinct on (id) $1::integer, id, role::app_public.member_role from person`,
    [tenantId, JSON.stringify([...staff, ...customers])],
  );
}

async function openAccounts(client: pg.Client, accounts: StoryAccount[]): Promise<Map<string, string>> {
  const { rows } = await client.query<{ code: string; id: string }>(
    `select o.code, (app_public.open_account(
       o.code, o.name, o.type::app_public.account_type, 'EUR',
       owner_id => o."ownerId"::uuid, minimum_balance => o."minimumBalance"::numeric
     )).id
     from jsonb_to_recordset($1::jsonb)
       as o (code text, name text, type text, "ownerId" text, "minimumBalance" text)`,
    [JSON.stringify(accounts)],
  );
  return new Map(rows.map(({ code, id }) => [code, id]));
}

async function postStory(client: pg.Client, story: StoryTransaction[], ids: Map<string, string>): Promise<void> {
  const items = story.map(({ key, kind, at, description, postings, timeoutSeconds }) => ({
    kind,
    idempotency_key: key,
    effective_at: at,
    description,
    timeout_seconds: timeoutSeconds,
    postings: postings.map(([code, amount]) => ({
      account_id: ids.get(code),
      direction: amount > 0 ? "debit" : "credit",
      amount: Math.abs(amount),
    })),
  }));
  await client.query(
    `select app_public.post_transactions(
       array(select i from jsonb_populate_recordset(null::app_public.transaction_input, $1::jsonb) i), 'atomic'
     )`,
    [JSON.stringify(items)],
  );
}

/** A purchase that did not go well is reversed, so that the books show how that looks. */
async function takeOneBack(client: pg.Client): Promise<void> {
  await client.query(
    `select app_public.reverse_transaction(
       t.id, idempotency_key => 'demo-refund', description => 'Refund: ' || t.description
     )
     from app_public.transactions t
     where t.kind = 'posted' and t.description = 'Bakery Blum'
     order by t.effective_at desc
     limit 1`,
  );
}
