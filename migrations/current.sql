-- The migration being written. See migrations/README.md.

---- access ----

--!include access/partner.sql
