import type pg from "pg";
import { actAs, staff } from "../../support/session.ts";
import type { TestDatabase } from "../../support/test_database.ts";

/** Books in which payments are scheduled and plans subscribed to. */
export interface Books {
  tenantId: number;
  /** Two accounts of customers, of which the first has 1000.00. */
  ann: string;
  bob: string;
  sales: string;
}

let opened = 0;

/** Opens books of their own. */
export async function openBooks(db: TestDatabase): Promise<Books> {
  opened += 1;
  return db.withClient("owner", async (client) => {
    const one = async (text: string, values: unknown[]): Promise<string> => {
      const { rows } = await client.query<{ id: string }>(text, values);
      return String(rows[0]?.id);
    };
    const tenantId = Number(await one("select id from app_private.create_tenant($1)", [`books-${opened}`]));
    await client.query("update app_public.tenants set has_kyc_limits = false where id = $1", [tenantId]);
    await actAs(client, { tenantId, role: "admin", userId: staff });
    const open = (code: string, type: string, minimum: string | null): Promise<string> =>
      one(
        `select id from app_public.open_account(code => $1, name => $1, type => $2::app_public.account_type,
           currency => 'EUR', minimum_balance => $3)`,
        [code, type, minimum],
      );
    const cash = await open("cash", "asset", null);
    const [ann, bob] = [await open("ann", "liability", "0"), await open("bob", "liability", "0")];
    const sales = await open("sales", "revenue", null);
    await client.query(
      `select app_public.post_transaction(jsonb_populate_record(null::app_public.transaction_input,
         jsonb_build_object('postings', jsonb_build_array(
           jsonb_build_object('account_id', $1::text, 'direction', 'debit', 'amount', '100000'),
           jsonb_build_object('account_id', $2::text, 'direction', 'credit', 'amount', '100000')))))`,
      [cash, ann],
    );
    return { tenantId, ann, bob, sales };
  });
}

/** Runs a statement in the name of an admin of the books, and gives back its first row. */
export async function asAdmin<Row extends pg.QueryResultRow>(
  db: TestDatabase,
  { tenantId }: Books,
  text: string,
  values: unknown[],
): Promise<Row> {
  return db.withClient("owner", async (client) => {
    await actAs(client, { tenantId, role: "admin", userId: staff });
    const { rows } = await client.query<Row>(text, values);
    return rows[0] as Row;
  });
}

/** Schedules a transfer of 1.00 from ann to bob; tells the id of the schedule. */
export async function schedule(db: TestDatabase, books: Books, more: object): Promise<string> {
  const input = {
    kind: "transfer",
    account_id: books.ann,
    to_account_id: books.bob,
    amount: "100",
    time_zone: "UTC",
    ...more,
  };
  const { id } = await asAdmin<{ id: string }>(
    db,
    books,
    "select id from app_public.schedule_payment(jsonb_populate_record(null::app_public.schedule_input, $1))",
    [JSON.stringify(input)],
  );
  return id;
}
