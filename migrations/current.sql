-- The migration being written. See migrations/README.md.

---- http ----

/*
 * Hits by rate limit, caller and window, counted by all processes of the API together. The key is a keyed
 * hash: neither addresses nor users can be read from it. Unlogged, because after a crash of the database
 * a count of the last minute is worth less than a write to disk at every request.
 */
create unlogged table app_private.rate_limit_counters (
  key bytea not null,
  window_number bigint not null,
  hits bigint not null,
  expires_at timestamptz not null,
  constraint rate_limit_counters_pkey primary key (key, window_number),
  constraint rate_limit_counters_key_is_a_hash check (octet_length(key) = 16),
  constraint rate_limit_counters_hits_are_positive check (hits > 0)
) with (fillfactor = 70);
create index rate_limit_counters_expires_at_idx on app_private.rate_limit_counters (expires_at);

--!include access/row_level_security.sql
--!include http/count_hits.sql
--!include http/remove_old_rate_limit_counters.sql
--!include errors/refusals.sql
