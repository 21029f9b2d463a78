import type pg from "pg";

/** The login of the API could do more than its request roles may. */
export class UnsafeLoginError extends Error {
  constructor(login: string, problems: string[]) {
    super(
      [
        `The API does not start as ${login}: it would have rights of its own.`,
        ...problems.map((problem) => `  ${problem}`),
        "Use the login tallystick_api, as migrations/roles.sql makes it.",
      ].join("\n"),
    );
    this.name = "UnsafeLoginError";
  }
}

/**
 * Refuses a login that is more than the key to the request roles: row level security does not bind
 * superusers, owners and bypassrls, and an inherited role would apply before any request has chosen one.
 */
export async function checkLogin(pool: pg.Pool): Promise<void> {
  const { rows } = await pool.query<{ login: string; problems: string[] }>(`
    select current_user::text as login, array_remove(array[
      case when r.rolsuper then 'It is a superuser.' end,
      case when r.rolbypassrls then 'It bypasses row level security.' end,
      case when r.rolcreaterole then 'It may create roles.' end,
      case when r.rolcreatedb then 'It may create databases.' end,
      case when r.rolreplication then 'It may replicate.' end,
      (select 'It inherits the rights of ' || string_agg(g.rolname, ', ' order by g.rolname) || '.'
         from pg_auth_members m join pg_roles g on g.oid = m.roleid
        where m.member = r.oid and m.inherit_option),
      (select 'It may become ' || string_agg(g.rolname, ', ' order by g.rolname) || '.'
         from pg_roles g
        where g.oid <> r.oid and pg_has_role(r.oid, g.oid, 'SET')
          and g.rolname !~ ('^tallystick_'
            '(anonymous|customer|teller|accountant|auditor|admin|partner|operator|authenticator)$')),
      (select 'It owns ' || count(*) || ' objects of the database.' from pg_shdepend d
        where d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid and d.deptype = 'o'
        having count(*) > 0)
    ], null) as problems
    from pg_roles r where r.rolname = current_user`);
  const row = rows[0];
  if (!row) throw new Error("The database does not know its own login.");
  if (row.problems.length > 0) throw new UnsafeLoginError(row.login, row.problems);
}
