/*
 * The roles of Tallystick. Roles belong to the whole server, not to one database, so they are
 * made here, by a superuser (or a role with createrole), and not in a migration.
 * Running this again changes nothing. Passwords are set elsewhere: none is written here.
 *
 *   tallystick_owner    owns the database and every object in it; runs the migrations
 *   tallystick_api      the login of the API: owns nothing, and is nobody until it sets a request role
 *   tallystick_worker   the login of the worker: owns the job queue
 *   tallystick_<who>    the request roles: what a request may do is what its role is granted
 *   tallystick_authenticator   one of them, for the API alone: it verifies passwords and opens sessions
 */
do $$
declare
  v_role text;
  v_login constant text[] := array['tallystick_owner', 'tallystick_api', 'tallystick_worker'];
  v_request constant text[] := array[
    'tallystick_anonymous',
    'tallystick_customer',
    'tallystick_teller',
    'tallystick_accountant',
    'tallystick_auditor',
    'tallystick_admin',
    'tallystick_partner',
    'tallystick_operator',
    'tallystick_authenticator'
  ];
begin
  foreach v_role in array v_login || v_request loop
    if not exists (select from pg_catalog.pg_roles where rolname = v_role) then
      execute format('create role %I', v_role);
    end if;
  end loop;

  -- Attributes are stated each time, so that a role that somebody widened is narrowed again.
  foreach v_role in array v_login loop
    execute format('alter role %I login noinherit', v_role);
  end loop;
  foreach v_role in array v_request loop
    execute format('alter role %I nologin noinherit', v_role);
  end loop;

  if (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then
    -- Only a superuser may speak about these. Roles that a createrole login made have them off.
    foreach v_role in array v_login || v_request loop
      execute format(
        'alter role %I nosuperuser nobypassrls noreplication nocreatedb nocreaterole',
        v_role
      );
    end loop;
  else
    -- Who makes the roles also makes the database, in the owner's name.
    execute format('grant tallystick_owner to %I with inherit true, set true', current_user);
  end if;

  -- The API becomes a request role with `set local role`, and has none of its rights before.
  -- The owner may do the same, so that tests can see the ledger through a request's eyes.
  foreach v_role in array v_request loop
    execute format('grant %I to tallystick_api with inherit false, set true', v_role);
    execute format('grant %I to tallystick_owner with inherit false, set true', v_role);
  end loop;

  -- Migrations install the job queue and its wrapper functions in the worker's name.
  grant tallystick_worker to tallystick_owner with inherit false, set true;
end;
$$;

-- What a lost or slow client can do to everybody else is bounded by the server.
alter role tallystick_api set timezone = 'UTC';
alter role tallystick_api set statement_timeout = '10s';
alter role tallystick_api set lock_timeout = '5s';
alter role tallystick_api set idle_in_transaction_session_timeout = '15s';
alter role tallystick_worker set timezone = 'UTC';
alter role tallystick_worker set lock_timeout = '10s';
alter role tallystick_worker set idle_in_transaction_session_timeout = '60s';
alter role tallystick_owner set timezone = 'UTC';
