import { readFileSync } from "node:fs";
import type pg from "pg";
import { projectRoot } from "../src/paths.ts";
import { withClient } from "../src/postgres/client.ts";

/**
 * Who may do what in a database, as text for people to review: every role, schema, table, view, sequence and
 * function with its grants and policies. The query is scripts/access.sql.
 */
export async function readAccess(superuserUrl: string): Promise<string> {
  return withClient(superuserUrl, accessOf);
}

/** The same over a connection, as its database transaction sees it. */
export async function accessOf(client: pg.ClientBase): Promise<string> {
  const query = readFileSync(`${projectRoot}/scripts/access.sql`, "utf8");
  // Every name is written with its schema, so that the text does not depend on who reads it.
  await client.query("set search_path = ''");
  const { rows } = await client.query<{ line: string }>(query);
  return `${rows.map((row) => row.line).join("\n")}\n`;
}
