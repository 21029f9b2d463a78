-- The migration being written. See migrations/README.md.
---- audit ----

--!include audit/security_event_kinds.sql
--!include audit/record_read.sql
