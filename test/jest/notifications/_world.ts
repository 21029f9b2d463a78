import type pg from "pg";
import { sealUserEmail, sealUserPhone } from "../../../src/crypto/user_contacts.ts";
import { newId } from "../../../src/random.ts";
import { fieldKeys } from "../../support/field_keys.ts";
import { openAccount, openTenant, postOne, transfer } from "../../support/ledger.ts";

/** The keys that `taskConfig` gives the jobs. */
export const keys = fieldKeys("test");

/** A customer with an account, who can be reached unless told otherwise. */
export interface Customer {
  userId: string;
  accountId: string;
  email: string;
  phone: string;
}

export interface World {
  tenantId: number;
  ann: Customer;
  bob: Customer;
}

let count = 0;

/** A tenant of the test's own with two customers, each with an account and 1,000.00 USD on it. */
export async function makeWorld(owner: pg.Pool): Promise<World> {
  const tenantId = await openTenant(owner);
  await owner.query("update app_public.tenants set name = 'Acme & Sons' where id = $1", [tenantId]);
  const [ann, bob] = [await addCustomer(owner, tenantId, "Ann Arbor"), await addCustomer(owner, tenantId, "Bob")];
  const equity = await openAccount(owner, tenantId, { type: "equity" });
  const cash = await openAccount(owner, tenantId, { type: "asset" });
  for (const { accountId } of [ann, bob]) {
    await postOne(owner, tenantId, { postings: transfer(cash, accountId, 100_000) });
  }
  await postOne(owner, tenantId, { postings: transfer(cash, equity, 1) });
  return { tenantId, ann, bob };
}

export async function addCustomer(
  owner: pg.Pool,
  tenantId: number,
  name: string,
  { isReachable = true, role = "customer" } = {},
): Promise<Customer> {
  count += 1;
  const userId = newId();
  const email = `customer.${count}@example.com`;
  const phone = `+49301234${String(count).padStart(4, "0")}`;
  await owner.query("insert into app_public.users (id, name) values ($1, $2)", [userId, name]);
  await owner.query(
    "insert into app_public.memberships (tenant_id, user_id, role) values ($1, $2, $3::app_public.member_role)",
    [tenantId, userId, role],
  );
  if (isReachable) {
    const { ciphertext, index } = await sealUserEmail(keys, userId, email);
    await owner.query("select app_private.set_user_email($1, $2, $3)", [userId, ciphertext, index]);
    await owner.query("select app_private.set_user_phone($1, $2)", [userId, await sealUserPhone(keys, userId, phone)]);
  }
  const accountId = await openAccount(owner, tenantId, { type: "liability" });
  await owner.query("update app_public.accounts set owner_id = $2 where tenant_id = $1 and id = $3", [
    tenantId,
    userId,
    accountId,
  ]);
  return { userId, accountId, email, phone };
}

/** Pays from one customer to another, which settles at once; tells the id of the payment. */
export async function pay(
  owner: pg.Pool,
  { tenantId, ann, bob }: World,
  { amount = 1234, reference = null as string | null, description = null as string | null } = {},
): Promise<string> {
  const { rows } = await owner.query<{ id: string }>(
    `select (app_private.insert_payment(
       app_private.system_actor($1),
       jsonb_populate_record(null::app_public.payment_input, $2))).id`,
    [
      tenantId,
      { kind: "transfer", account_id: ann.accountId, to_account_id: bob.accountId, amount, reference, description },
    ],
  );
  return rows[0]?.id ?? "";
}

export interface NotificationRow {
  id: string;
  user_id: string;
  kind: string;
  channel: string;
  status: string;
  attempts: number;
  reason: string | null;
  subject: string | null;
  body: string | null;
  message_id: string | null;
  next_attempt_at: Date | null;
  digest_at: Date | null;
}

/** The messages of a tenant, or of one of its users, in the order in which they were made. */
export async function notificationsOf(
  owner: pg.Pool,
  tenantId: number,
  userId: string | null = null,
): Promise<NotificationRow[]> {
  const { rows } = await owner.query<NotificationRow>(
    `select * from app_public.notifications
     where tenant_id = $1 and ($2::uuid is null or user_id = $2) order by id`,
    [tenantId, userId],
  );
  return rows;
}

/** Makes everything that waits due now. */
export async function hurry(owner: pg.Pool, tenantId: number): Promise<void> {
  await owner.query(
    "update app_public.notifications set next_attempt_at = now() where tenant_id = $1 and next_attempt_at is not null",
    [tenantId],
  );
}
