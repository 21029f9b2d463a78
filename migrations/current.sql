---- events and audit of tenants and signing in ----

--!include audit/security_event_kinds.sql
--!include audit/exceptions.sql
--!include audit/triggers.sql
