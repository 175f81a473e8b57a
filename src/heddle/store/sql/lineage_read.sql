-- Purpose: read which history of the database this is, and the one noted. Caller: store.upkeep. Rows: reads lineage (one row). Locks: none.
-- The timeline is the first part of the name of the write-ahead log file in use (PostgreSQL 18, "System Administration Functions", 9.28.3).
select (select system_identifier from pg_control_system()) as system_identifier,
  ('x' || lpad(substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), 16, '0'))::bit(64)::bigint as timeline,
  g.system_identifier as known_identifier, g.timeline as known_timeline, g.sending_paused_at is not null as is_paused
from (select 1) one left join heddle_lineage g on true
