---- authentication ----

--!include errors/refusals.sql
--!include identity/open_login.sql
--!include identity/second_factor.sql
