/**
 * Graphile's libraries choose between development and production when they are first imported, from the
 * environment; unset, they say so on the console each time. Their development mode checks and prints what
 * only their own developers need, so it is production here, whatever our own environment is. Import this
 * before them. The one place besides src/config.ts that touches process.env, because it comes before it.
 */
process.env["GRAPHILE_ENV"] ??= "production";
