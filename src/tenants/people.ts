import type pg from "pg";
import type { KeyProvider } from "../crypto/keys.ts";
import { sealUserEmail } from "../crypto/user_contacts.ts";
import type { Passwords } from "../identity/passwords.ts";
import { newId } from "../random.ts";

/** Somebody who can sign in. */
export interface NewPerson {
  /** Default: a new one. */
  id?: string;
  name: string;
  email: string;
  password: string;
}

/**
 * Adds a person, as the owner of the database. Answers with the id: that of the user who has the address, if
 * there is one, who then stays as they are.
 */
export async function addPerson(
  client: pg.ClientBase,
  { keys, passwords }: { keys: KeyProvider; passwords: Passwords },
  { id = newId(), name, email, password }: NewPerson,
): Promise<{ id: string; isNew: boolean }> {
  const [{ ciphertext, index }, hash] = await Promise.all([sealUserEmail(keys, id, email), passwords.hash(password)]);
  const { rows } = await client.query<{ id: string }>("select app_private.add_person($1, $2, $3, $4, $5) as id", [
    id,
    name,
    ciphertext,
    index,
    hash,
  ]);
  const added = String(rows[0]?.id);
  return { id: added, isNew: added === id };
}
