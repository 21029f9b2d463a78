-- The migration being written. See migrations/README.md.

---- verification of customers ----

-- The audit trail has every reading of a sensitive value.
drop table app_private.sensitive_reads;

--!include kyc/record_sensitive_read.sql
--!include kyc/kyc_checks.sql
--!include audit/exceptions.sql
