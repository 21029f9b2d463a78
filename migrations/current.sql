-- The migration being written. See migrations/README.md.

---- access ----

--!include access/partner.sql
---- authentication ----

--!include errors/refusals.sql
--!include identity/open_login.sql
--!include identity/second_factor.sql
