import type pg from "pg";

/** The database of a server in production holds people whose passwords were printed in a terminal. */
export class DemoPeopleError extends Error {
  constructor() {
    super(
      [
        "The API does not start in production: people of the demonstration can sign in to this database.",
        "Their passwords were printed in a terminal. Use a database without the demonstration, or disable them.",
      ].join("\n"),
    );
    this.name = "DemoPeopleError";
  }
}

/** Throws a DemoPeopleError if somebody of the demonstration could sign in. */
export async function refuseDemoPeople(pool: pg.Pool): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query("begin; set local role tallystick_anonymous");
    const { rows } = await client.query<{ found: boolean }>("select app_hidden.has_demo_people() as found");
    if (rows[0]?.found !== false) throw new DemoPeopleError();
  } finally {
    await client.query("rollback");
    client.release();
  }
}
