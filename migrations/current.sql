---- audit ----

--!include audit/tg__audit.sql
-- The one above takes what is redacted, too.
drop function if exists app_private.audit_row_key(jsonb, text[]);

--!include audit/security_event_kinds.sql
--!include audit/record_read.sql
--!include audit/exceptions.sql
--!include audit/triggers.sql
