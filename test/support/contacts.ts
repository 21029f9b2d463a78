import type { KeyProvider } from "../../src/crypto/keys.ts";
import { openUserEmail, openUserPhone, sealUserEmail, sealUserPhone } from "../../src/crypto/user_contacts.ts";
import type { Queryable } from "./ledger.ts";

export interface Contact {
  userId: string;
  email: string;
  phone: string;
}

/** Makes users with an e-mail address and a telephone number of their own. */
export async function addContacts(
  db: Queryable,
  keys: KeyProvider,
  count: number,
  prefix = "user",
): Promise<Contact[]> {
  const contacts = Array.from({ length: count }, (_, n) => ({
    userId: crypto.randomUUID(),
    email: `${prefix}.${n}@example.com`,
    phone: `+49 30 ${String(100_000 + n)}`,
  }));
  const sealed = await Promise.all(contacts.map(({ userId, email }) => sealUserEmail(keys, userId, email)));
  const phones = await Promise.all(contacts.map(({ userId, phone }) => sealUserPhone(keys, userId, phone)));
  const ids = contacts.map(({ userId }) => userId);
  await db.query("insert into app_public.users (id, name) select id, 'Somebody' from unnest($1::uuid[]) as u (id)", [
    ids,
  ]);
  await db.query(
    `select app_private.set_user_email(id, email, index), app_private.set_user_phone(id, phone)
     from unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bytea[]) as c (id, email, index, phone)`,
    [ids, sealed.map(({ ciphertext }) => ciphertext), sealed.map(({ index }) => index), phones],
  );
  return contacts;
}

/** What the database holds of these users, decrypted. */
export async function readContacts(db: Queryable, keys: KeyProvider, ids: string[]): Promise<Contact[]> {
  const { rows } = await db.query<{ userId: string; email: Buffer; phone: Buffer }>(
    `select user_id as "userId", email_ciphertext as email, phone_ciphertext as phone
     from app_private.user_contacts where user_id = any ($1) order by array_position($1, user_id)`,
    [ids],
  );
  return Promise.all(
    rows.map(async ({ userId, email, phone }) => ({
      userId,
      email: await openUserEmail(keys, userId, email),
      phone: await openUserPhone(keys, userId, phone),
    })),
  );
}
