/*
 * What a new database needs before its first migration, run by a superuser. The worker's schema
 * is installed right after this, in the worker's name. Running it again changes nothing.
 */
revoke all on database :DATABASE_NAME from public;
grant connect on database :DATABASE_NAME to tallystick_api, tallystick_worker;
-- The worker installs its own schema, so that it owns the queue and nobody else does.
grant create on database :DATABASE_NAME to tallystick_worker;
revoke all on schema public from public;
