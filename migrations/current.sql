-- The migration being written. See migrations/README.md.
---- API keys ----

-- The role that verifies passwords asks for them too, and no request of GraphQL can.
revoke execute on function
  app_hidden.api_key_secrets(uuid), app_hidden.use_api_key(uuid, uuid, bytea, timestamptz, text)
from tallystick_anonymous;

--!include audit/security_event_kinds.sql
--!include api_keys/api_key_secrets.sql
--!include api_keys/use_api_key.sql
