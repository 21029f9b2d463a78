-- The migration being written. See migrations/README.md.
---- audit ----

--!include audit/tg__audit.sql
-- The one above takes what is redacted, too.
drop function if exists app_private.audit_row_key(jsonb, text[]);

--!include audit/security_event_kinds.sql
--!include audit/record_read.sql
--!include audit/exceptions.sql
--!include audit/triggers.sql

---- API keys ----

-- The role that verifies passwords asks for them too, and no request of GraphQL can.
revoke execute on function
  app_hidden.api_key_secrets(uuid), app_hidden.use_api_key(uuid, uuid, bytea, timestamptz, text)
from tallystick_anonymous;

--!include audit/security_event_kinds.sql
--!include api_keys/api_key_secrets.sql
--!include api_keys/use_api_key.sql

