-- Purpose: switch off the schedules that neither the file nor code names any more; what they started stays. Caller: migrate.
-- Rows: schedule. Locks: those rows. Nothing matches: all are named.
update heddle_schedule set is_enabled = false, updated_at = clock_timestamp() where is_enabled and not name = any(%(names)s::text[])
