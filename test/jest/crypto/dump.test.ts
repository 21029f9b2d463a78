import { spawnSync } from "node:child_process";
import { expect, test } from "@jest/globals";
import { addContacts } from "../../support/contacts.ts";
import { addCustomer, customerSecrets, evidenceReference } from "../../support/customers.ts";
import { fieldKeys } from "../../support/field_keys.ts";
import { openTenant } from "../../support/ledger.ts";
import { createTestDatabase } from "../../support/test_database.ts";

/* A copy of the database says nothing of what is encrypted in it: pg_dump, or COPY of every table. */
const db = await createTestDatabase();
const owner = db.pool("owner");
const keys = fieldKeys("k1");

/** The value as it is, and in the forms in which a dump could hold it. */
function disguises(text: string): string[] {
  const bytes = Buffer.from(text);
  return [
    text,
    text.toUpperCase(),
    bytes.toString("hex"),
    bytes.toString("base64").replace(/=+$/, "").slice(0, -1),
    bytes.toString("base64url").replace(/=+$/, "").slice(0, -1),
  ];
}

function pgDump(): string | undefined {
  const { status, stdout } = spawnSync("pg_dump", ["--data-only", "--inserts", db.urls.superuser], {
    encoding: "utf8",
    maxBuffer: 100_000_000,
  });
  return status === 0 ? stdout : undefined;
}

async function copyOfEveryTable(): Promise<string> {
  return db.withClient("superuser", async (client) => {
    const { rows } = await client.query<{ name: string }>(
      `select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where c.relkind in ('r', 'm', 'p') and n.nspname !~ '^(pg_|information_schema)'`,
    );
    const parts: string[] = [];
    for (const { name } of rows) {
      const copy = await client.query<{ row: string }>(`select t::text as row from ${name} t`);
      parts.push(`-- ${name}`, ...copy.rows.map(({ row }) => row));
    }
    return parts.join("\n");
  });
}

test("a dump of the database holds none of the values", async () => {
  const [contact] = await addContacts(owner, keys, 1, "contact.of.ann");
  const tenantId = await openTenant(owner);
  const { userId } = await addCustomer(owner, keys, tenantId);

  const dump = pgDump() ?? (await copyOfEveryTable());
  // The rows are in it, and what is not secret can be read.
  expect(dump).toContain(userId);
  expect(dump).toContain("Somebody");
  const values = [...Object.values(customerSecrets), evidenceReference, contact?.email ?? "", contact?.phone ?? ""];
  expect(values.every((value) => value.length > 5)).toBe(true);
  const found = values.flatMap(disguises).filter((form) => dump.toLowerCase().includes(form.toLowerCase()));
  expect(found).toEqual([]);
});
